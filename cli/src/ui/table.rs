//! Tables as wide as the terminal. Columns are measured as they are seen, without escape codes. One that is too wide is wrapped
//! between words, headings first; a word, such as an id or a time, is never broken, so that it can be copied.

use std::fmt;
use std::ops::Range;

use super::style::{Style, Tone};
use super::text::{columns, fill};

/// A cell: its text, and the tone it is painted in.
#[derive(Debug, Clone)]
pub struct Cell {
    text: String,
    tone: Tone,
}

impl Cell {
    pub fn toned(tone: Tone, text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            tone,
        }
    }

    fn width(&self) -> usize {
        columns(&self.text)
    }

    fn longest_word(&self) -> usize {
        self.text.split(' ').map(columns).max().unwrap_or(0)
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::toned(Tone::Plain, text)
    }
}

/// A table without lines, as wide as the terminal at most.
pub struct Table {
    style: Style,
    headings: Vec<Cell>,
    rows: Vec<Vec<Cell>>,
    /// Columns whose cells are on the right.
    right: Range<usize>,
}

/// Space between columns.
const GAP: usize = 2;

/// A table with these headings.
pub fn table(style: &Style, headings: &[&str]) -> Table {
    Table {
        style: *style,
        headings: headings.iter().map(|heading| Cell::from(*heading)).collect(),
        rows: Vec::new(),
        right: 0..0,
    }
}

impl Table {
    pub fn add_row<T: Into<Cell>>(&mut self, cells: impl IntoIterator<Item = T>) {
        let mut cells: Vec<Cell> = cells.into_iter().map(Into::into).collect();
        cells.resize_with(self.headings.len(), || Cell::from(""));
        self.rows.push(cells);
    }

    /// With these columns, of numbers, on the right.
    pub fn with_right(mut self, columns: Range<usize>) -> Self {
        self.right = columns;
        self
    }

    /// Columns of each cell.
    fn widths(&self) -> Vec<usize> {
        let of_rows = |column: usize, measure: fn(&Cell) -> usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(measure).max().unwrap_or(0)
        };
        let count = self.headings.len();
        let rows: Vec<usize> = (0..count).map(|column| of_rows(column, Cell::width)).collect();
        let floors: Vec<usize> = (0..count)
            .map(|column| of_rows(column, Cell::longest_word).max(self.headings[column].longest_word()))
            .collect();
        let mut widths: Vec<usize> = (0..count)
            .map(|column| rows[column].max(self.headings[column].width()))
            .collect();
        let excess = |widths: &[usize]| {
            let total = widths.iter().sum::<usize>() + GAP * count.saturating_sub(1);
            total.saturating_sub(self.style.width)
        };
        // Headings that are wider than what is below them are wrapped first, the last ones before the others.
        for column in (0..count).rev() {
            let least = rows[column].max(floors[column]);
            widths[column] -= excess(&widths).min(widths[column] - least.min(widths[column]));
        }
        // Then the widest column, as far as its longest word allows.
        while excess(&widths) > 0 {
            let can_shrink = (0..count).filter(|column| widths[*column] > floors[*column]);
            match can_shrink.max_by_key(|column| widths[*column]) {
                Some(column) => widths[column] -= 1,
                None => break,
            }
        }
        widths
    }

    fn lines(&self, row: &[Cell], widths: &[usize]) -> Vec<String> {
        let wrapped: Vec<Vec<String>> = row
            .iter()
            .zip(widths)
            .map(|(cell, width)| match cell.width() > *width {
                true => fill(&cell.text, *width),
                false => vec![cell.text.clone()],
            })
            .collect();
        let height = wrapped.iter().map(Vec::len).max().unwrap_or(0);
        (0..height)
            .map(|line| {
                let mut out = String::new();
                // Spaces that are due before the next text: none at the end of a line.
                let mut due = 0;
                for (column, (cell, width)) in row.iter().zip(widths).enumerate() {
                    let text = wrapped[column].get(line).map_or("", String::as_str);
                    let free = width.saturating_sub(columns(text));
                    let (before, after) = if self.right.contains(&column) {
                        (free, 0)
                    } else {
                        (0, free)
                    };
                    if !text.is_empty() {
                        out.push_str(&" ".repeat(due + before));
                        out.push_str(&self.style.paint(cell.tone, text));
                        due = after + GAP;
                    } else {
                        due += width + GAP;
                    }
                }
                out
            })
            .collect()
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widths = self.widths();
        for row in std::iter::once(&self.headings).chain(&self.rows) {
            for line in self.lines(row, &widths) {
                writeln!(f, "{}", line.trim_end())?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::style::Paint;

    fn sample(width: usize, paint: Paint) -> String {
        let style = Style {
            width,
            paint,
            ..Style::PLAIN
        };
        let mut table = table(&style, &["name", "moved live", "n"]).with_right(2..3);
        table.add_row([
            Cell::toned(Tone::Bad, "tasks"),
            Cell::from("03-01 12:01 stopped"),
            Cell::from("1,204"),
        ]);
        table.add_row(["a", "", "7"]);
        table.to_string()
    }

    #[test]
    fn colour_changes_no_column() {
        let plain = sample(80, Paint::Plain);
        assert_eq!(
            plain,
            "name   moved live               n\n\
             tasks  03-01 12:01 stopped  1,204\n\
             a                               7\n"
        );
        assert_eq!(console::strip_ansi_codes(&sample(80, Paint::Colored)), plain);
    }

    #[test]
    fn words_stay_whole_at_any_width() {
        assert_eq!(
            sample(26, Paint::Plain),
            "name   moved live        n\n\
             tasks  03-01 12:01   1,204\n\
             \u{20}      stopped\n\
             a                        7\n"
        );
        for width in 1..60 {
            let text = sample(width, Paint::Colored);
            for word in ["tasks", "03-01", "12:01", "stopped", "1,204"] {
                assert!(text.contains(word), "{width}: {text}");
            }
        }
    }
}
