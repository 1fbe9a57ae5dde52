//! Text on its way to a terminal: what must not get there, what does not fit, how numbers read.

use std::borrow::Cow;

use console::{measure_text_width, truncate_str};
use textwrap::{Options, WordSeparator, WordSplitter, WrapAlgorithm};

/// Text from elsewhere, on one line and without anything that a terminal would obey.
pub fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\n' | '\r' | '\t' => out.push(' '),
            _ if is_unsafe(character) => out.push_str(&escaped(character)),
            _ => out.push(character),
        }
    }
    out
}

/// The same, line by line.
pub fn plain_lines(text: &str) -> impl Iterator<Item = String> {
    text.lines().map(|line| plain(&line.replace('\t', "    ")))
}

/// Control characters, those that turn the direction of text, and those that some take for the end of a line.
/// <https://www.unicode.org/reports/tr9/#Directional_Formatting_Characters>
pub fn is_unsafe(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A character by its number.
pub fn escaped(character: char) -> String {
    character.escape_unicode().to_string()
}

/// JSON as it is, but for characters in its texts that a terminal or GitHub's runner would obey: JSON leaves some of them
/// unescaped, and reads the escapes as the same characters.
pub fn safe_json(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for character in json.chars() {
        match character {
            '\n' => out.push(character),
            // `##[` is a command anywhere.
            '[' if out.ends_with("##") => {
                out.pop();
                out.push_str("\\u0023[");
            }
            _ if is_unsafe(character) => out.push_str(&format!("\\u{:04x}", u32::from(character))),
            _ => out.push(character),
        }
    }
    out
}

/// Cut to so many columns.
pub fn cut(text: &str, columns: usize) -> String {
    truncate_str(text, columns, "…").into_owned()
}

/// The same, from the middle: both ends of an ARN say more than what is between them.
pub fn cut_within(text: &str, columns: usize) -> String {
    if measure_text_width(text) <= columns {
        return text.to_owned();
    }
    let end = columns.saturating_sub(1) * 3 / 5;
    let mut begin = text.chars().count();
    let mut width = 0;
    for character in text.chars().rev() {
        width += measure_text_width(character.encode_utf8(&mut [0; 4]));
        if width > end {
            break;
        }
        begin -= 1;
    }
    let tail: String = text.chars().skip(begin).collect();
    let head = columns.saturating_sub(measure_text_width(&tail));
    format!("{}{tail}", truncate_str(text, head, "…"))
}

/// Columns that text takes.
pub fn columns(text: &str) -> usize {
    measure_text_width(text)
}

/// `0.4 s`, `12 s`, `3 min 5 s`.
pub fn duration(millis: u64) -> String {
    match millis {
        0..10_000 => format!("{}.{} s", millis / 1_000, millis % 1_000 / 100),
        10_000..60_000 => format!("{} s", millis / 1_000),
        _ => format!("{} min {} s", millis / 60_000, millis % 60_000 / 1_000),
    }
}

/// Of something long: `42 s`, `12 min`, `5 h`, `3 d`.
pub fn long_duration(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// `512 B`, `3.4 KiB`, `1.2 MiB`.
pub fn size(bytes: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    for (unit, name) in UNITS {
        if bytes >= unit {
            return format!("{}.{} {name}", bytes / unit, bytes % unit * 10 / unit);
        }
    }
    format!("{bytes} B")
}

/// `1 call`, `2 calls`.
pub fn count(number: u64, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// Text from elsewhere in lines of so many columns. Lines that are there stay; what is indented, and words longer than a
/// line, are not cut.
pub fn wrap(text: &str, width: usize) -> Vec<String> {
    plain_lines(text)
        .flat_map(|line| {
            if line.starts_with(' ') {
                vec![line]
            } else {
                fill(&line, width)
            }
        })
        .collect()
}

/// Own words in lines of so many columns. Words longer than a line are not cut, so that they can be copied.
pub fn fill(text: &str, width: usize) -> Vec<String> {
    let options = Options::new(width)
        .break_words(false)
        .word_separator(WordSeparator::AsciiSpace)
        .word_splitter(WordSplitter::NoHyphenation)
        .wrap_algorithm(WrapAlgorithm::FirstFit);
    let lines = textwrap::wrap(text, options).into_iter();
    lines.map(Cow::into_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_gets_through_that_a_terminal_would_obey() {
        assert_eq!(
            plain("a\u{1b}[31mb\u{7}\nc\u{202e}d\u{9b}e"),
            "a\\u{1b}[31mb\\u{7} c\\u{202e}d\\u{9b}e"
        );
        assert_eq!(plain("größer → 東京"), "größer → 東京");
    }

    #[test]
    fn numbers_read_well() {
        let durations: Vec<String> = [0, 49, 1_250, 9_999, 10_000, 59_999, 60_000, 185_000]
            .map(duration)
            .into();
        assert_eq!(
            durations,
            [
                "0.0 s",
                "0.0 s",
                "1.2 s",
                "9.9 s",
                "10 s",
                "59 s",
                "1 min 0 s",
                "3 min 5 s"
            ]
        );
        let sizes: Vec<String> = [0, 1_023, 1_024, 3_500, 1 << 20, 4_404_019, 3 << 30].map(size).into();
        assert_eq!(
            sizes,
            ["0 B", "1023 B", "1.0 KiB", "3.4 KiB", "1.0 MiB", "4.1 MiB", "3.0 GiB"]
        );
        assert_eq!(count(1, "call"), "1 call");
        assert_eq!(count(0, "call"), "0 calls");
    }

    #[test]
    fn what_is_cut_within_keeps_both_ends() {
        assert_eq!(cut_within("abcdefghij", 10), "abcdefghij");
        assert_eq!(cut_within("abcdefghij", 6), "ab…hij");
        assert_eq!(cut_within("東京東京東京", 7), "東京…京");
    }

    #[test]
    fn long_text_is_wrapped_and_given_lines_stay() {
        assert_eq!(wrap("aaa bbb ccc", 7), ["aaa bbb", "ccc"]);
        assert_eq!(wrap("aaaaaaaaaa b", 4), ["aaaaaaaaaa", "b"]);
        assert_eq!(
            wrap("do:\n  cargo build --release", 10),
            ["do:", "  cargo build --release"]
        );
    }
}
