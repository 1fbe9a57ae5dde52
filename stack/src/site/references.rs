//! Where a file of a site names another: attributes in HTML, `url()` and `@import` in CSS, imports in JavaScript.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::LazyLock;

use regex_lite::Regex;

/// A place that names another file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reference {
    /// Where the file's name, without its directory, is in the text.
    range: Range<usize>,
    /// Path of the file.
    pub(super) target: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Language {
    Html,
    Css,
    JavaScript,
}

fn language(path: &str) -> Option<Language> {
    match path.rsplit_once('.')?.1.to_ascii_lowercase().as_str() {
        "html" | "htm" => Some(Language::Html),
        "css" => Some(Language::Css),
        "js" | "mjs" => Some(Language::JavaScript),
        _ => None,
    }
}

/// Whether a file may name others.
pub(super) fn is_searched(path: &str) -> bool {
    language(path).is_some()
}

/// The references of a text to files of the site, in order.
pub(super) fn find(path: &str, text: &str, known: &BTreeSet<&str>) -> Vec<Reference> {
    static HTML: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new(r#"(?i)\s(?:src|href|poster)\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+))"#).ok());
    static CSS: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new(r#"(?i)(?:url\(\s*|@import\s+)(?:"([^"]*)"|'([^']*)'|([^\s"')]+))"#).ok());
    // Only imports that begin with a path: a bare name is not a file.
    static SCRIPT: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new(r#"\b(?:from|import)\s*\(?\s*(?:"([./][^"]*)"|'([./][^']*)')"#).ok());
    let language = language(path);
    let pattern = match language {
        Some(Language::Html) => &HTML,
        Some(Language::Css) => &CSS,
        Some(Language::JavaScript) => &SCRIPT,
        None => return Vec::new(),
    };
    let Some(pattern) = pattern.as_ref() else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for captures in pattern.captures_iter(text) {
        let Some(given) = captures.iter().skip(1).flatten().next() else {
            continue;
        };
        let end = given.as_str().find(['?', '#']).unwrap_or(given.as_str().len());
        let named = &given.as_str()[..end];
        let Some(target) = resolve(path, named).filter(|target| known.contains(target.as_str())) else {
            continue;
        };
        // Pages are reached by their names.
        if self::language(&target) == Some(Language::Html) {
            continue;
        }
        let name = super::name(named).len();
        let end = given.start() + end;
        found.push(Reference {
            range: end - name..end,
            target,
        });
    }
    found
}

/// The text with the names of its references replaced.
pub(super) fn replace<'a>(text: &str, references: &[Reference], name: impl Fn(&str) -> Option<&'a str>) -> String {
    let mut replaced = String::with_capacity(text.len() + references.len() * 11);
    let mut at = 0;
    for Reference { range, target } in references {
        let Some(name) = name(target) else { continue };
        replaced.push_str(&text[at..range.start]);
        replaced.push_str(name);
        at = range.end;
    }
    replaced.push_str(&text[at..]);
    replaced
}

/// The path in the site that a relative or root-relative reference means.
fn resolve(from: &str, named: &str) -> Option<String> {
    if named.is_empty() || named.contains(':') || named.starts_with("//") {
        return None;
    }
    let mut parts: Vec<&str> = match named.starts_with('/') {
        true => Vec::new(),
        false => from
            .split('/')
            .rev()
            .skip(1)
            .collect::<Vec<_>>()
            .into_iter()
            .rev()
            .collect(),
    };
    for part in named.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::resolve;

    #[test]
    fn references_are_resolved_within_the_site() {
        assert_eq!(resolve("a/b.html", "c.css").as_deref(), Some("a/c.css"));
        assert_eq!(resolve("a/b.html", "../c.css").as_deref(), Some("c.css"));
        assert_eq!(resolve("a/b.html", "/c.css").as_deref(), Some("c.css"));
        assert_eq!(resolve("b.html", "../../etc/passwd"), None);
        assert_eq!(resolve("b.html", "https://example.com/c.css"), None);
        assert_eq!(resolve("b.html", "//example.com/c.css"), None);
    }
}
