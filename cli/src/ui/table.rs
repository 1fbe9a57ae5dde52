//! Tables as wide as the terminal.

use comfy_table::{ContentArrangement, Table, presets};

use super::style::Style;

/// A table without lines, as wide as the terminal at most.
pub fn table(style: &Style, headings: &[&str]) -> Table {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic);
    table.set_width(u16::try_from(style.width).unwrap_or(80));
    table.set_header(headings);
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table
}
