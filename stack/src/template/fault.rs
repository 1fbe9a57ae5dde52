//! Faults of a template: what is wrong, where, what is allowed. Collected all together and rendered as text with the
//! source around them, or as JSON. Nothing here knows what a template may say; that is `language` and `rules`.

use std::fmt;
use std::ops::Range;

use annotate_snippets::{AnnotationKind, Level, Message, Origin, Renderer, Snippet};
use serde::Serialize;
use serde_json::json;

/// Faults shown in full by [`Faults::render`]; the rest is counted. All of them are in [`Faults::to_json`].
const RENDERED_IN_FULL: usize = 50;

/// Lines shown before and after a fault.
const CONTEXT_LINES: usize = 1;

/// Longest stretch of source shown for one fault, bytes; a longer one is shown by its position only.
const LONGEST_SNIPPET: usize = 4096;

/// A place in the template's text, in bytes of UTF-8 without its byte order mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize)]
pub struct Span {
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

impl Span {
    /// The bytes from `start` to `end`.
    #[must_use]
    pub fn new(start: usize, end: usize) -> Self {
        Self {
            start,
            end: end.max(start),
        }
    }
}

/// Whether a fault stops the template from being used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The template is refused.
    Error,
    /// The template is used; have a look.
    Warning,
}

/// What kind of fault it is. The words are stable: JSON output and `docs/template.md` have them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Code {
    /// The file is larger than a template may be.
    TooLarge,
    /// The text is not UTF-8.
    NotUtf8,
    /// There is nothing in the file.
    Empty,
    /// The text is not YAML.
    Syntax,
    /// A part of YAML that templates do not use: tags, merge keys, several documents, keys that are not text.
    Unsupported,
    /// Nested too deeply, or too much when aliases are followed.
    Expansion,
    /// The same key twice in one mapping.
    DuplicateKey,
    /// A key that the language does not have here.
    UnknownKey,
    /// A required key is not there.
    MissingKey,
    /// A key that a later version will have.
    NotYet,
    /// The template says that it needs a newer taskctl.
    NewerTaskctl,
    /// A list where a number belongs, and the like.
    WrongType,
    /// A value of the right type that is not allowed.
    BadValue,
    /// A number or duration outside its range.
    OutOfRange,
    /// A name that does not follow its rule.
    BadName,
    /// A name longer than the service takes.
    NameTooLong,
    /// A reference to something that is not in the template.
    UnknownReference,
    /// References that lead back to themselves.
    Cycle,
    /// Two things that exclude each other.
    Collision,
    /// More of something than the service takes.
    TooMany,
    /// Settings that exclude each other.
    Conflict,
    /// The stage asked for is not in the template.
    UnknownStage,
    /// A setting that is fixed for good, such as the application's name.
    Permanent,
    /// Something that is allowed and probably not meant.
    Suspicious,
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = serde_json::to_value(self).ok();
        f.write_str(word.as_ref().and_then(|word| word.as_str()).unwrap_or("fault"))
    }
}

/// A marked place and what to say about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Mark {
    /// Where.
    pub span: Span,
    /// What to say there; may be empty.
    pub label: String,
}

/// A flag of the command line that says how a template is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Flag {
    /// `--region`
    Region,
    /// `--stage`
    Stage,
}

/// One fault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// Whether it stops the template.
    pub severity: Severity,
    /// Its kind.
    pub code: Code,
    /// What is wrong: a lower-case fragment.
    pub message: String,
    /// Where; none for what concerns no place.
    pub primary: Option<Mark>,
    /// The flag whose value is wrong; then the template is not at fault.
    pub flag: Option<Flag>,
    /// Other places that belong to it.
    pub related: Vec<Mark>,
    /// What is allowed, what to do, what was probably meant.
    pub help: Vec<String>,
}

impl Fault {
    /// An error of this kind.
    #[must_use]
    pub fn error(code: Code, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            code,
            message: message.into(),
            primary: None,
            flag: None,
            related: Vec::new(),
            help: Vec::new(),
        }
    }

    /// A warning of this kind.
    #[must_use]
    pub fn warning(code: Code, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(code, message)
        }
    }

    /// With the place where it is.
    #[must_use]
    pub fn at(self, span: Span) -> Self {
        self.labelled(span, "")
    }

    /// Of a flag's value instead of the template.
    #[must_use]
    pub fn of_flag(self, flag: Flag) -> Self {
        Self {
            primary: None,
            flag: Some(flag),
            ..self
        }
    }

    /// With the place where it is and a word about it.
    #[must_use]
    pub fn labelled(mut self, span: Span, label: impl Into<String>) -> Self {
        self.primary = Some(Mark {
            span,
            label: label.into(),
        });
        self
    }

    /// With another place that belongs to it.
    #[must_use]
    pub fn with(mut self, span: Span, label: impl Into<String>) -> Self {
        self.related.push(Mark {
            span,
            label: label.into(),
        });
        self
    }

    /// With a word on what to do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help.push(help.into());
        self
    }

    /// With a word on what to do, when there is one.
    #[must_use]
    pub fn maybe_help(mut self, help: Option<String>) -> Self {
        self.help.extend(help);
        self
    }
}

/// Line and column, both counted from 1; columns count characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Position {
    /// Line.
    pub line: usize,
    /// Column.
    pub column: usize,
}

impl Position {
    /// The position of a byte in a text.
    #[must_use]
    pub fn of(text: &str, offset: usize) -> Self {
        let before = text.get(..offset).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Self {
            line: before.bytes().filter(|byte| *byte == b'\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        }
    }
}

/// Whether rendered text carries terminal colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Color {
    /// ANSI colours.
    Ansi,
    /// Plain text.
    Plain,
}

/// All faults of one template, with the text they are in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Faults {
    name: String,
    text: String,
    list: Vec<Fault>,
}

impl Faults {
    /// Faults of the template `name` with this text, sorted by place.
    #[must_use]
    pub fn new(name: impl Into<String>, text: impl Into<String>, mut list: Vec<Fault>) -> Self {
        list.sort_by_key(|fault| (fault.severity, fault.primary.as_ref().map(|mark| mark.span)));
        Self {
            name: name.into(),
            text: text.into(),
            list,
        }
    }

    /// The faults, errors first, then in the order of the text.
    #[must_use]
    pub fn list(&self) -> &[Fault] {
        &self.list
    }

    /// The fault of a flag, when it is one that made reading the template impossible.
    #[must_use]
    pub fn of_flag(&self) -> Option<&Fault> {
        self.list.iter().find(|fault| fault.flag.is_some())
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Whether one of them stops the template from being used.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.list.iter().any(|fault| fault.severity == Severity::Error)
    }

    /// How many stop the template from being used.
    #[must_use]
    pub fn error_count(&self) -> usize {
        self.list
            .iter()
            .filter(|fault| fault.severity == Severity::Error)
            .count()
    }

    /// `file:line:col` of a fault, or the file alone.
    #[must_use]
    pub fn place(&self, fault: &Fault) -> String {
        match &fault.primary {
            Some(mark) => {
                let Position { line, column } = Position::of(&self.text, mark.span.start);
                format!("{}:{line}:{column}", self.name)
            }
            None => self.name.clone(),
        }
    }

    /// The faults as text with the source around them. Ends with a newline.
    #[must_use]
    pub fn render(&self, color: Color) -> String {
        let renderer = match color {
            Color::Ansi => Renderer::styled(),
            Color::Plain => Renderer::plain(),
        };
        let mut out = String::new();
        for fault in self.list.iter().take(RENDERED_IN_FULL) {
            out.push_str(&self.render_one(&renderer, fault));
            out.push_str("\n\n");
        }
        if self.list.len() > RENDERED_IN_FULL {
            out.push_str(&format!("… and {} more\n", self.list.len() - RENDERED_IN_FULL));
        }
        if out.ends_with("\n\n") {
            out.pop();
        }
        // The snippets show ASCII control characters as pictures, but let others through that a terminal would obey.
        let obeyed = |c: char| matches!(c, '\u{7f}'..='\u{9f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        out.replace(obeyed, "\u{fffd}")
    }

    fn render_one(&self, renderer: &Renderer, fault: &Fault) -> String {
        let level = match fault.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let code = fault.code.to_string();
        let mut group = level
            .primary_title(&fault.message)
            .id(code)
            .elements(Vec::<Message<'_>>::new());
        match &fault.primary {
            None if fault.flag.is_some() => {}
            None => group = group.element(Origin::path(&self.name)),
            Some(primary) => {
                let mut clusters = vec![(self.window(primary.span), vec![(AnnotationKind::Primary, primary)])];
                for mark in &fault.related {
                    clusters.push((self.window(mark.span), vec![(AnnotationKind::Context, mark)]));
                }
                for (window, marks) in join_close(clusters) {
                    let Some(source) = self
                        .text
                        .get(window.clone())
                        .filter(|text| text.len() <= LONGEST_SNIPPET)
                    else {
                        let at = Position::of(&self.text, marks[0].1.span.start);
                        group = group.element(Origin::path(&self.name).line(at.line).char_column(at.column));
                        continue;
                    };
                    let mut snippet = Snippet::source(source)
                        .path(&self.name)
                        .line_start(Position::of(&self.text, window.start).line)
                        .fold(false);
                    for (kind, mark) in marks {
                        let span = self.within(mark.span, &window);
                        let label = (!mark.label.is_empty()).then_some(mark.label.as_str());
                        snippet = snippet.annotation(kind.span(span).label(label));
                    }
                    group = group.element(snippet);
                }
            }
        }
        for help in &fault.help {
            group = group.element(Level::HELP.message(help));
        }
        renderer.render(&[group])
    }

    /// The whole lines around a span.
    fn window(&self, span: Span) -> Range<usize> {
        let text = self.text.as_str();
        let clamp = |offset: usize| {
            let mut offset = offset.min(text.len());
            while !text.is_char_boundary(offset) {
                offset -= 1;
            }
            offset
        };
        let (mut start, mut end) = (clamp(span.start), clamp(span.end));
        for step in 0..=CONTEXT_LINES {
            start = text[..start]
                .rfind('\n')
                .map_or(0, |newline| if step < CONTEXT_LINES { newline } else { newline + 1 });
        }
        for step in 0..=CONTEXT_LINES {
            end = text[end..]
                .find('\n')
                .map_or(text.len(), |newline| end + newline + usize::from(step < CONTEXT_LINES));
        }
        start..end.max(start)
    }

    /// A span relative to its window, cut at the end of its first line so that a whole mapping is not underlined.
    fn within(&self, span: Span, window: &Range<usize>) -> Range<usize> {
        let length = window.end - window.start;
        let start = span.start.clamp(window.start, window.end) - window.start;
        let source = &self.text[window.clone()];
        let mut end = (span.end.clamp(window.start, window.end) - window.start).max(start);
        if let Some(newline) = source.get(start..end).and_then(|marked| marked.find('\n')) {
            end = start + newline;
        }
        if end == start {
            end = source[start..]
                .chars()
                .next()
                .filter(|next| *next != '\n')
                .map_or(start, |next| start + next.len_utf8());
        }
        start..end.min(length)
    }

    /// The faults as JSON: `{"file", "faults": [{severity, code, message, line, column, endLine, endColumn, related,
    /// help}]}`.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        let place = |mark: &Mark| {
            let (start, end) = (
                Position::of(&self.text, mark.span.start),
                Position::of(&self.text, mark.span.end),
            );
            json!({
                "label": mark.label, "line": start.line, "column": start.column,
                "endLine": end.line, "endColumn": end.column,
            })
        };
        let faults: Vec<_> = self
            .list
            .iter()
            .map(|fault| {
                json!({
                    "severity": fault.severity,
                    "code": fault.code,
                    "message": fault.message,
                    "at": fault.primary.as_ref().map(place),
                    "related": fault.related.iter().map(place).collect::<Vec<_>>(),
                    "help": fault.help,
                })
            })
            .collect();
        json!({ "file": self.name, "faults": faults })
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.error_count();
        write!(
            f,
            "template {} has {count} {}",
            self.name,
            if count == 1 { "fault" } else { "faults" }
        )
    }
}

impl std::error::Error for Faults {}

type Cluster<'a> = (Range<usize>, Vec<(AnnotationKind, &'a Mark)>);

/// Windows that touch become one, so that a source line is not shown twice.
fn join_close(clusters: Vec<Cluster<'_>>) -> Vec<Cluster<'_>> {
    let mut joined: Vec<Cluster<'_>> = Vec::new();
    for (window, marks) in clusters {
        let touching = joined.iter_mut().find(|(other, _)| {
            let union = other.start.min(window.start)..other.end.max(window.end);
            window.start <= other.end + 1 && other.start <= window.end + 1 && union.len() <= LONGEST_SNIPPET
        });
        match touching {
            Some((other, others)) => {
                *other = other.start.min(window.start)..other.end.max(window.end);
                others.extend(marks);
            }
            None => joined.push((window, marks)),
        }
    }
    joined
}
