//! The way out: all text passes here before a terminal, GitHub's runner or a program reads it. What others wrote (log lines,
//! answers of AWS, records of the ledger, a template) can neither speak to the terminal nor give commands to the runner.
//!
//! This is the last gate, for the whole of the text; what is shown in a line or a cell of its own passes [`crate::ui::text::plain`]
//! before. Bytes for programs are left as they are.

use std::borrow::Cow;
use std::io::{self, Write};

use super::style::{Paint, Reader, Style};
use super::text::{escaped, is_unsafe};

/// Where text goes.
pub type Out = Box<dyn Write + Send>;

/// A stream whose reader is known.
pub struct Guard {
    out: Out,
    reader: Reader,
    paint: Paint,
}

impl Guard {
    /// A stream, guarded for its reader.
    pub fn new(out: Out, style: &Style) -> Self {
        Self {
            out,
            reader: style.reader,
            paint: style.paint,
        }
    }

    /// Writes whole lines. A reader that went away is no error: the work goes on, unseen.
    pub fn text(&mut self, text: &str) {
        let text = guarded(text, self.reader, self.paint);
        let _ = self.out.write_all(text.as_bytes());
        let _ = self.out.flush();
    }

    /// Writes a control sequence of our own.
    pub fn control(&mut self, sequence: &'static str) {
        let _ = self.out.write_all(sequence.as_bytes());
        let _ = self.out.flush();
    }

    /// Writes a workflow command, whose parts come from [`command`].
    pub fn command(&mut self, command: &Command) {
        let _ = self.out.write_all(command.0.as_bytes());
        let _ = self.out.flush();
    }
}

/// Whole lines at a time.
impl Write for Guard {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        self.out.write_all(guarded(&text, self.reader, self.paint).as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Text of whole lines as its reader may have it.
pub fn guarded(text: &str, reader: Reader, paint: Paint) -> Cow<'_, str> {
    match reader {
        Reader::Program => Cow::Borrowed(text),
        Reader::Terminal => Cow::Owned(printable(text, paint)),
        Reader::Runner => Cow::Owned(without_commands(&printable(text, paint))),
    }
}

/// Text without anything that a terminal would obey, but for line ends, tabs and the colours that [`Style::paint`] gives.
fn printable(text: &str, paint: Paint) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(character) = rest.chars().next() {
        let own = match paint {
            Paint::Colored => colour(rest),
            Paint::Plain => None,
        };
        let taken = match (own, character) {
            (Some(length), _) => {
                out.push_str(&rest[..length]);
                length
            }
            (None, '\r') if rest.starts_with("\r\n") => 1,
            (None, '\n' | '\t') => {
                out.push(character);
                1
            }
            (None, _) if is_unsafe(character) => {
                out.push_str(&escaped(character));
                character.len_utf8()
            }
            (None, _) => {
                out.push(character);
                character.len_utf8()
            }
        };
        rest = &rest[taken..];
    }
    out
}

/// The length of a colour at the beginning: the foregrounds and weights in use here, nothing that hides, blinks or moves.
fn colour(text: &str) -> Option<usize> {
    let parameters = text.strip_prefix("\u{1b}[")?;
    let end = parameters.find(|character: char| !(character.is_ascii_digit() || character == ';'))?;
    let is_known = |parameter: &str| {
        matches!(
            parameter,
            "" | "0" | "1" | "2" | "22" | "31" | "32" | "33" | "34" | "35" | "36" | "39"
        ) || matches!(parameter.as_bytes(), [b'9', b'1'..=b'6'])
    };
    let is_colour = parameters[end..].starts_with('m') && parameters[..end].split(';').all(is_known);
    is_colour.then_some("\u{1b}[".len() + end + 1)
}

/// Lines of which none is a command to GitHub's runner: it takes `::` after white space at the beginning of a line, and `##[`
/// anywhere in it. <https://github.com/actions/runner/blob/main/src/Runner.Common/ActionCommand.cs>
fn without_commands(text: &str) -> String {
    text.split_inclusive('\n')
        .map(|line| {
            let is_blank = |character: char| character.is_whitespace() || is_invisible(character);
            let begin = line.len() - line.trim_start_matches(is_blank).len();
            let line = match line[begin..].strip_prefix("::") {
                Some(rest) => format!("{}: :{rest}", &line[..begin]),
                None => line.to_owned(),
            };
            line.replace("##[", "## [")
        })
        .collect()
}

/// Characters that comparisons by the rules of a language pass over.
fn is_invisible(character: char) -> bool {
    matches!(character, '\u{ad}' | '\u{200b}'..='\u{200d}' | '\u{2060}'..='\u{2064}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}')
}

/// A command to GitHub's runner.
/// <https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-commands>
pub struct Command(String);

/// `::name property=value,…::message`. Names are ours; values and message may be anybody's.
pub fn command(name: &'static str, properties: &[(&'static str, &str)], message: &str) -> Command {
    let properties: Vec<String> = properties
        .iter()
        .map(|(name, value)| {
            let value = data(value).replace(':', "%3A").replace(',', "%2C");
            format!("{name}={value}")
        })
        .collect();
    let gap = if properties.is_empty() { "" } else { " " };
    Command(format!("::{name}{gap}{}::{}\n", properties.join(","), data(message)))
}

/// The value of a workflow command, in its escapes.
fn data(text: &str) -> String {
    printable(text, Paint::Plain)
        .replace("##[", "## [")
        .replace('%', "%25")
        .replace('\r', "%0D")
        .replace('\n', "%0A")
}

#[cfg(test)]
pub mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Text as an attacker would write it into a log line, a tag or an error.
    pub fn hostile() -> impl Strategy<Value = String> {
        let part = prop_oneof![
            Just("\u{1b}]0;owned\u{7}".to_owned()),
            Just("\u{1b}[2J\u{1b}[31m\u{1b}[8m".to_owned()),
            Just("\u{9b}31m\u{9d}52;c;aGk=\u{9c}".to_owned()),
            Just("\r::error::not from here".to_owned()),
            Just("\n::set-output name=x::y".to_owned()),
            Just("\n \t\u{2028}\u{a0}\u{feff}::add-mask::a".to_owned()),
            Just("a ##[add-mask]b\n##[error]c".to_owned()),
            Just("###[group]d\u{2029}##[e".to_owned()),
            Just("\u{202e}\u{2066}\u{200f}\u{61c}".to_owned()),
            Just("\n```\n<img src=x>![x](y)".to_owned()),
            Just("=HYPERLINK(\"x\")".to_owned()),
            Just("\u{0}\u{8}\u{7f}\u{85}".to_owned()),
            "[ -~]{0,12}",
            any::<String>(),
        ];
        proptest::collection::vec(part, 0..5).prop_map(|parts| parts.concat())
    }

    /// What a terminal would obey in a text, its own colours left out.
    pub fn obeyed(text: &str, paint: Paint) -> Vec<char> {
        let mut rest = text;
        let mut found = Vec::new();
        while let Some(character) = rest.chars().next() {
            let skipped = if paint == Paint::Colored { colour(rest) } else { None };
            let control = (character.is_control() && !matches!(character, '\n' | '\t'))
                || matches!(character, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
            if skipped.is_none() && control {
                found.push(character);
            }
            rest = &rest[skipped.unwrap_or(character.len_utf8())..];
        }
        found
    }

    /// The commands that GitHub's runner would take from a text, by the rules of its parser.
    pub fn commands(text: &str) -> Vec<&str> {
        let is_command = |line: &&str| {
            let by_name = line
                .trim_start()
                .strip_prefix("::")
                .is_some_and(|rest| rest.contains("::"));
            let by_brackets = line.split_once("##[").is_some_and(|(_, rest)| rest.contains(']'));
            by_name || by_brackets
        };
        // .NET's ReadLine ends lines at \r, too.
        text.split(['\n', '\r']).filter(is_command).collect()
    }

    proptest! {
        #[test]
        fn no_terminal_obeys(text in hostile()) {
            for paint in [Paint::Plain, Paint::Colored] {
                let shown = guarded(&text, Reader::Terminal, paint);
                prop_assert!(obeyed(&shown, paint).is_empty(), "{}", shown.escape_debug());
            }
        }

        #[test]
        fn no_runner_obeys(text in hostile()) {
            let shown = guarded(&text, Reader::Runner, Paint::Plain);
            prop_assert!(commands(&shown).is_empty() && obeyed(&shown, Paint::Plain).is_empty(), "{}", shown.escape_debug());
        }

        #[test]
        fn programs_get_every_byte(text in hostile()) {
            prop_assert_eq!(&*guarded(&text, Reader::Program, Paint::Plain), &*text);
        }

        #[test]
        fn a_command_is_one_line_and_as_written(title in hostile(), text in hostile()) {
            let Command(line) = command("error", &[("title", &title)], &text);
            prop_assert_eq!(line.lines().count(), 1);
            prop_assert!(line.ends_with('\n') && !line.contains('\r') && obeyed(&line, Paint::Plain).is_empty());
            let rest = line.trim_end().strip_prefix("::error title=").unwrap_or_default();
            let (title, message) = rest.split_once("::").unwrap_or_default();
            prop_assert!(!title.contains([':', ',']));
            // A percent sign begins an escape, and nothing else does.
            for value in [title, message] {
                prop_assert!(value.split('%').skip(1).all(|rest| ["25", "0D", "0A", "3A", "2C"].iter().any(|code| rest.starts_with(code))));
            }
        }
    }

    #[test]
    fn colours_stay_and_nothing_else() {
        let painted = "\u{1b}[31;1mred\u{1b}[0m \u{1b}[2mfaint\u{1b}[m";
        assert_eq!(guarded(painted, Reader::Terminal, Paint::Colored), painted);
        assert_eq!(
            guarded(
                "\u{1b}[8mhidden\u{1b}[7m\u{1b}[38;5;1m\u{1b}[5A",
                Reader::Terminal,
                Paint::Colored
            ),
            "\\u{1b}[8mhidden\\u{1b}[7m\\u{1b}[38;5;1m\\u{1b}[5A"
        );
        assert_eq!(guarded("a\r\nb\rc", Reader::Terminal, Paint::Plain), "a\nb\\u{d}c");
    }

    /// <https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-commands>
    #[test]
    fn commands_are_spelled_as_documented() {
        let Command(line) = command("error", &[("file", "a,b:c"), ("line", "3")], "50 %\nlost: a, b");
        assert_eq!(line, "::error file=a%2Cb%3Ac,line=3::50 %25%0Alost: a, b\n");
        let Command(line) = command("endgroup", &[], "");
        assert_eq!(line, "::endgroup::\n");
    }
}
