//! A file name: one path segment that stays what it looks like.

use std::fmt::Write as _;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::http::{Failure, check_length};

/// Longest name in characters.
const LENGTH: usize = 255;
/// Longest name in bytes; with the prefix below S3's 1024: <https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html>.
const BYTES: usize = 900;

/// What `filename*` may hold as it is: <https://www.rfc-editor.org/rfc/rfc8187#section-3.2.1>.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'!')
    .remove(b'#')
    .remove(b'$')
    .remove(b'&')
    .remove(b'+')
    .remove(b'-')
    .remove(b'.')
    .remove(b'^')
    .remove(b'_')
    .remove(b'`')
    .remove(b'|')
    .remove(b'~');

/// A file name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileName(String);

impl FileName {
    /// Reads and checks a name: no separators, no `.` or `..`, no control characters and none that turn the writing direction.
    pub fn read(text: &str) -> Result<Self, Failure> {
        check_length("fileName", text, 1, LENGTH)?;
        let misleading = |c: char| {
            c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        };
        let fault = if text.len() > BYTES {
            "must have at most 900 bytes in UTF-8"
        } else if text.contains(['/', '\\']) {
            "must be a name without a path"
        } else if text == "." || text == ".." {
            "must not be '.' or '..'"
        } else if text.contains(misleading) {
            "must not contain control characters"
        } else if text.trim() != text {
            "must not begin or end with a blank"
        } else {
            return Ok(Self(text.to_owned()));
        };
        Err(Failure::field("fileName", fault))
    }

    /// As the table holds it.
    pub(super) fn stored(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The header that gives a download this name: plain for old clients, exact for all others (<https://www.rfc-editor.org/rfc/rfc6266>).
    pub fn disposition(&self) -> String {
        let plain: String = self
            .0
            .chars()
            .map(|c| {
                if (' '..='~').contains(&c) && !"\"\\%".contains(c) {
                    c
                } else {
                    '_'
                }
            })
            .collect();
        let mut header = format!("attachment; filename=\"{plain}\"");
        let _ = write!(header, "; filename*=UTF-8''{}", utf8_percent_encode(&self.0, PLAIN));
        header
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_without_tricks() {
        let long = "x".repeat(255);
        for good in [
            "a.txt",
            "Bericht 2026 (final).pdf",
            "..a",
            "a..b",
            ".profile",
            "100%.csv",
            "日本.txt",
            "%2e%2e%2fa",
            &long,
        ] {
            assert!(FileName::read(good).is_ok(), "{good}");
        }
        let longer = "x".repeat(256);
        let wide = "日".repeat(301);
        for bad in [
            "",
            ".",
            "..",
            "a/b",
            "../a",
            "/a",
            "a\\b",
            "..\\a",
            "a\0b",
            "a\nb",
            " a",
            "a ",
            "gpj\u{202e}exe",
            "a\u{7f}",
            &longer,
            &wide,
        ] {
            assert!(FileName::read(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn the_header_cannot_be_broken_out_of() {
        let shown = |name: &str| FileName::stored(name).disposition();
        assert_eq!(
            shown("a b.txt"),
            "attachment; filename=\"a b.txt\"; filename*=UTF-8''a%20b.txt"
        );
        assert_eq!(
            shown("é\"; x=\"y"),
            "attachment; filename=\"__; x=_y\"; filename*=UTF-8''%C3%A9%22%3B%20x%3D%22y"
        );
    }
}
