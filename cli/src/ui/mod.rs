//! What the terminal shows: styles, tables, charts, progress. Knows no event and no command.

pub mod chart;
pub mod clock;
pub mod confirm;
pub mod guard;
pub mod progress;
pub mod style;
pub mod table;
pub mod text;

#[cfg(test)]
pub use guard::tests as hostile;
