//! Numbers over time, drawn with blocks.

/// An eighth of a line to a whole one.
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// Values gathered to at most so many columns: the highest of each group. None where a group has no data.
fn gathered(values: &[Option<f64>], columns: usize) -> Vec<Option<f64>> {
    let group = values.len().div_ceil(columns.max(1)).max(1);
    let highest = |some: &[Option<f64>]| some.iter().copied().flatten().reduce(f64::max);
    values.chunks(group).map(highest).collect()
}

/// The highest value, 0 without any.
pub fn highest(values: &[Option<f64>]) -> f64 {
    values.iter().copied().flatten().fold(0.0, f64::max)
}

/// Eighths of a line that a value takes, of so many lines; at least one, when it is more than nothing.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "0 to 8 times the lines"
)]
fn eighths(value: f64, most: f64, lines: usize) -> usize {
    if value <= 0.0 || most <= 0.0 {
        return 0;
    }
    let eighths = u32::try_from(lines * 8).unwrap_or(8);
    ((value / most * f64::from(eighths)).round() as usize).clamp(1, lines * 8)
}

/// One line of bars; a blank where there is no data, `▁` for nothing.
pub fn line(values: &[Option<f64>], columns: usize) -> String {
    let most = highest(values);
    let bar = |value: Option<f64>| value.map_or(' ', |value| BARS[eighths(value, most, 1).saturating_sub(1).min(7)]);
    gathered(values, columns).into_iter().map(bar).collect()
}

/// A chart of so many lines, the highest first, without axes. Nothing is a blank.
pub fn area(values: &[Option<f64>], columns: usize, lines: usize) -> Vec<String> {
    let most = highest(values);
    let heights: Vec<usize> = gathered(values, columns)
        .into_iter()
        .map(|value| value.map_or(0, |value| eighths(value, most, lines)))
        .collect();
    let row = |line: usize| {
        let below = (lines - 1 - line) * 8;
        heights
            .iter()
            .map(|height| match height.saturating_sub(below) {
                0 => ' ',
                above => BARS[above.min(8) - 1],
            })
            .collect::<String>()
    };
    (0..lines).map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some(values: &[f64]) -> Vec<Option<f64>> {
        values.iter().copied().map(Some).collect()
    }

    #[test]
    fn lines_show_the_highest_of_what_is_gathered() {
        assert_eq!(line(&some(&[0.0, 1.0, 4.0, 8.0]), 80), "▁▁▄█");
        assert_eq!(line(&some(&[0.0, 8.0, 4.0, 1.0]), 2), "█▄");
        assert_eq!(line(&[Some(1.0), None, Some(1.0)], 80), "█ █");
        assert_eq!(line(&some(&[0.0, 0.0]), 80), "▁▁");
        assert_eq!(line(&[], 80), "");
    }

    #[test]
    fn an_area_is_as_high_as_its_highest_value() {
        assert_eq!(area(&some(&[0.0, 2.0, 4.0, 0.01]), 80, 2), ["  █ ", " ██▁"]);
        assert_eq!(area(&some(&[0.0]), 80, 2), [" ", " "]);
    }
}
