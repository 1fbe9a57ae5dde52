//! Style of an output stream: colors, width, whether it is live. Decided once, from flags and environment.

use owo_colors::OwoColorize as _;

/// Whether escape codes are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Paint {
    Colored,
    Plain,
}

/// Whether output is live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Motion {
    /// A terminal: progress is drawn and redrawn.
    Live,
    /// A file or pipe: lines, each written once.
    Lines,
}

/// Who reads a stream, which decides what may be in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reader {
    /// A terminal, also a dumb one: it obeys control characters.
    Terminal,
    /// The runner of GitHub Actions: it obeys lines.
    Runner,
    /// A program, or a file: it gets every byte.
    Program,
}

/// The style of one output stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style {
    pub paint: Paint,
    pub width: usize,
    pub motion: Motion,
    pub reader: Reader,
}

/// What colour is used for. The words and marks beside it say the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// Something comes.
    Create,
    /// Something changes.
    Change,
    /// Something is replaced.
    Replace,
    /// Something goes.
    Delete,
    /// Nothing special.
    Plain,
    /// A heading, a name.
    Strong,
    /// Of lesser interest.
    Faint,
    /// Went well.
    Good,
    /// Went wrong.
    Bad,
    /// May hurt later.
    Warn,
    /// A URL or command to copy.
    Copy,
}

/// What decides about colour.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ColorWishes {
    pub no_color_flag: bool,
    /// `NO_COLOR`. <https://no-color.org>
    pub no_color: Option<String>,
    /// `CLICOLOR_FORCE`. <https://bixense.com/clicolors>
    pub clicolor_force: Option<String>,
    pub term: Option<String>,
}

/// Columns where there is no terminal.
pub const WIDTH: usize = 80;

impl Style {
    /// Plain lines of 80 columns.
    pub const PLAIN: Self = Self {
        paint: Paint::Plain,
        width: WIDTH,
        motion: Motion::Lines,
        reader: Reader::Program,
    };

    /// Plain lines for GitHub's runner.
    pub const RUNNER: Self = Self {
        reader: Reader::Runner,
        ..Self::PLAIN
    };

    /// The style of a stream: a terminal with this many columns, or none, then read by `otherwise`.
    pub fn decide(wishes: &ColorWishes, terminal_width: Option<usize>, otherwise: Reader) -> Self {
        let set = |value: &Option<String>| value.as_deref().is_some_and(|value| !value.is_empty());
        let dumb = wishes.term.as_deref() == Some("dumb");
        let forced = set(&wishes.clicolor_force) && wishes.clicolor_force.as_deref() != Some("0");
        let live = terminal_width.is_some() && !dumb;
        let paint = if wishes.no_color_flag || set(&wishes.no_color) {
            Paint::Plain
        } else if forced || live {
            Paint::Colored
        } else {
            Paint::Plain
        };
        Self {
            paint,
            width: terminal_width.unwrap_or(WIDTH).clamp(40, 200),
            motion: if live { Motion::Live } else { Motion::Lines },
            reader: terminal_width.map_or(otherwise, |_| Reader::Terminal),
        }
    }

    /// Columns that a value may take: on a terminal it is cut to fit, elsewhere it is whole.
    pub fn room(&self) -> usize {
        match self.reader {
            Reader::Terminal => self.width,
            Reader::Runner | Reader::Program => usize::MAX,
        }
    }

    /// Text in a tone.
    pub fn paint(&self, tone: Tone, text: &str) -> String {
        match self.paint {
            Paint::Plain => text.to_owned(),
            Paint::Colored if tone == Tone::Plain => text.to_owned(),
            Paint::Colored => text.style(escapes(tone)).to_string(),
        }
    }
}

fn escapes(tone: Tone) -> owo_colors::Style {
    let plain = owo_colors::Style::new();
    match tone {
        Tone::Plain => plain,
        Tone::Create | Tone::Good => plain.green(),
        Tone::Change | Tone::Warn => plain.yellow(),
        Tone::Replace => plain.magenta(),
        Tone::Delete => plain.red(),
        Tone::Strong => plain.bold(),
        Tone::Faint => plain.dimmed(),
        Tone::Bad => plain.red().bold(),
        Tone::Copy => plain.cyan(),
    }
}

/// Keeps a screen as a snapshot at 80 and 120 columns, plain and coloured; no line may be wider.
///
/// # Panics
/// When one is.
#[cfg(test)]
pub fn screens(name: &str, draw: impl Fn(&Style) -> String) {
    lines(name, |style| {
        let text = draw(style);
        for line in text.lines() {
            let width = style.width;
            assert!(console::measure_text_width(line) <= width, "{width}: {line}");
        }
        text
    });
}

/// The same of lines that are as long as they are, such as those of logs. Times of day are left out: they depend on the
/// machine's time zone.
///
/// # Panics
/// When a snapshot is another.
#[cfg(test)]
pub fn lines(name: &str, draw: impl Fn(&Style) -> String) {
    let time = regex_lite::Regex::new(r"\d\d:\d\d:\d\d\.\d{3}").unwrap_or_else(|error| panic!("{error}"));
    for (paint, suffix) in [(Paint::Plain, "plain"), (Paint::Colored, "colored")] {
        for width in [80, 120] {
            let style = Style {
                paint,
                width,
                reader: Reader::Terminal,
                ..Style::PLAIN
            };
            let text = draw(&style).replace('\u{1b}', "ESC");
            insta::assert_snapshot!(
                format!("{name}_{width}_{suffix}"),
                time.replace_all(&text, "hh:mm:ss.mmm")
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colour_is_decided_by_flag_then_environment_then_terminal() {
        fn check(flag: bool, no_color: &str, force: &str, term: &str, terminal: bool, expected: Paint) {
            let wish = |text: &str| (text != "-").then(|| text.to_owned());
            let wishes = ColorWishes {
                no_color_flag: flag,
                no_color: wish(no_color),
                clicolor_force: wish(force),
                term: wish(term),
            };
            assert_eq!(
                Style::decide(&wishes, terminal.then_some(80), Reader::Program).paint,
                expected,
                "{wishes:?} {terminal}"
            );
        }
        use Paint::{Colored, Plain};
        check(false, "-", "-", "xterm", true, Colored);
        check(false, "-", "-", "xterm", false, Plain);
        check(true, "-", "-", "xterm", true, Plain);
        check(false, "1", "-", "xterm", true, Plain);
        check(false, "", "-", "xterm", true, Colored);
        check(false, "-", "1", "-", false, Colored);
        check(false, "-", "0", "-", false, Plain);
        check(true, "-", "1", "xterm", true, Plain);
        check(false, "1", "1", "xterm", true, Plain);
        check(false, "-", "-", "dumb", true, Plain);
    }

    #[test]
    fn a_dumb_terminal_gets_lines() {
        let wishes = ColorWishes {
            term: Some("dumb".to_owned()),
            ..ColorWishes::default()
        };
        let style = Style::decide(&wishes, Some(120), Reader::Program);
        assert_eq!((style.motion, style.width), (Motion::Lines, 120));
        assert_eq!(style.reader, Reader::Terminal, "and nothing that it would obey");
    }
}
