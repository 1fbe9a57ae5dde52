//! One changed field: before → after, with what is equal in long values left out.

use serde_json::Value;
use taskctl_stack::plan::{Change, Effect};

use crate::ui::style::{Style, Tone};
use crate::ui::text::{columns, cut, plain, wrap};

/// Characters shown before a difference within a long text.
const CONTEXT: usize = 24;

/// A change of an existing value: on one line if it fits, else before and after on lines of their own.
pub fn change_lines(change: &Change, style: &Style, room: usize) -> Vec<String> {
    let field = plain(&change.field);
    let forced = match change.effect {
        Effect::Replace => "  (forces replacement)",
        Effect::RebuildIndex => "  (the index is deleted and built again)",
        Effect::ReplaceStream => "  (the stream is replaced: new ARN; the old one's records stay readable for 24 h)",
        Effect::InPlace => "",
    };
    let painted = |removed: &str, added: &str| {
        let mark = |tone, text: &str| {
            if text.is_empty() {
                String::new()
            } else {
                style.paint(tone, text)
            }
        };
        (mark(Tone::Delete, removed), mark(Tone::Create, added))
    };
    let (short, long) = match (&change.before, &change.after) {
        (Some(Value::Array(before)), Some(Value::Array(after))) if is_regrouped(before, after) => {
            let (gone, new) = (missing(before, after), missing(after, before));
            let (removed, added) = painted(&marked("-", &gone).join(" "), &marked("+", &new).join(" "));
            let gap = if removed.is_empty() || added.is_empty() {
                ""
            } else {
                " "
            };
            (format!("{removed}{gap}{added}"), (gone, new))
        }
        (before, after) => {
            let (removed, added) = painted(&shown(before.as_ref()), &shown(after.as_ref()));
            let long = match (before, after) {
                (Some(Value::String(before)), Some(Value::String(after))) => differing(before, after, room),
                (before, after) => (shown(before.as_ref()), shown(after.as_ref())),
            };
            (format!("{removed} → {added}"), (vec![long.0], vec![long.1]))
        }
    };
    let line = format!("{field}: {short}{}", style.paint(Tone::Replace, forced));
    if columns(&line) <= room {
        return vec![line];
    }
    let mut lines = heading_lines(&field, forced, style, room);
    for (tone, texts) in [
        (Tone::Delete, marked("-", &long.0)),
        (Tone::Create, marked("+", &long.1)),
    ] {
        lines.extend(
            texts
                .iter()
                .map(|text| format!("  {}", style.paint(tone, &cut(text, room.saturating_sub(2))))),
        );
    }
    lines
}

/// The field alone with what its change does, on one line if it fits.
fn heading_lines(field: &str, forced: &str, style: &Style, room: usize) -> Vec<String> {
    if columns(field) + 1 + columns(forced) <= room {
        return vec![format!("{field}:{}", style.paint(Tone::Replace, forced))];
    }
    let parts = wrap(forced.trim(), room.saturating_sub(2)).into_iter();
    std::iter::once(format!("{field}:"))
        .chain(parts.map(|part| format!("  {}", style.paint(Tone::Replace, &part))))
        .collect()
}

/// A field of something that comes.
pub fn value_line(change: &Change, room: usize) -> String {
    let field = plain(&change.field);
    let room = room.saturating_sub(columns(&field) + 2);
    format!("{field}: {}", cut(&shown(change.after.as_ref()), room))
}

fn shown(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => "unset".to_owned(),
        Some(value) => plain(&value.to_string()),
    }
}

/// Whether two lists differ in what they hold, not in the order alone.
fn is_regrouped(before: &[Value], after: &[Value]) -> bool {
    !missing(before, after).is_empty() || !missing(after, before).is_empty()
}

/// What of a list another does not have.
fn missing(of: &[Value], from: &[Value]) -> Vec<String> {
    of.iter()
        .filter(|value| !from.contains(value))
        .map(|value| shown(Some(value)))
        .collect()
}

fn marked(mark: &str, texts: &[String]) -> Vec<String> {
    texts.iter().map(|text| format!("{mark} {text}")).collect()
}

/// Two long texts, cut to where they differ when they do not fit.
fn differing(before: &str, after: &str, room: usize) -> (String, String) {
    let (old, new): (Vec<char>, Vec<char>) = (before.chars().collect(), after.chars().collect());
    let start = old.iter().zip(&new).take_while(|(old, new)| old == new).count();
    let part = |text: &[char]| {
        if text.len() + 4 <= room {
            return plain(&text.iter().collect::<String>());
        }
        // Where there is room, more of what is equal is shown before it.
        let from = start.saturating_sub(CONTEXT).min((text.len() + 5).saturating_sub(room));
        let head = if from > 0 { "…" } else { "" };
        format!("{head}{}", plain(&text[from..].iter().collect::<String>()))
    };
    (part(&old), part(&new))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(before: Value, after: Value, room: usize, expected: &[&str]) {
        let some = |value: Value| (!value.is_null()).then_some(value);
        let change = Change {
            field: "f".to_owned(),
            before: some(before),
            after: some(after),
            effect: Effect::InPlace,
            implied: false,
        };
        let lines = change_lines(&change, &Style::PLAIN, room);
        assert_eq!(lines, expected);
        assert!(lines.iter().all(|line| columns(line) <= room), "{lines:?}");
    }

    #[test]
    fn an_index_with_another_key_is_no_change_in_place() {
        let change = Change {
            field: "indexes.by-email.partition_key.name".to_owned(),
            before: Some(json!("email")),
            after: Some(json!("mail")),
            effect: Effect::RebuildIndex,
            implied: false,
        };
        assert_eq!(
            change_lines(&change, &Style::PLAIN, 120),
            ["indexes.by-email.partition_key.name: \"email\" → \"mail\"  (the index is deleted and built again)"]
        );
    }

    #[test]
    fn a_stream_with_another_view_is_another_stream() {
        let change = Change {
            field: "stream".to_owned(),
            before: Some(json!("new-image")),
            after: Some(json!("keys-only")),
            effect: Effect::ReplaceStream,
            implied: false,
        };
        let note = "the stream is replaced: new ARN; the old one's records stay readable for 24 h";
        assert_eq!(
            change_lines(&change, &Style::PLAIN, 120),
            [format!("stream: \"new-image\" → \"keys-only\"  ({note})")]
        );
        // On a narrow screen it is not cut either.
        let narrow = change_lines(&change, &Style::PLAIN, 72);
        assert_eq!(narrow.concat().matches("24 h)").count(), 1, "{narrow:?}");
        assert!(narrow.iter().all(|line| columns(line) <= 72), "{narrow:?}");
    }

    #[test]
    fn values_are_shown_before_and_after() {
        check(json!(30), json!(60), 60, &["f: 30 → 60"]);
        check(json!(null), json!("x"), 60, &["f: unset → \"x\""]);
        check(json!({"a": 1}), json!(null), 60, &["f: {\"a\":1} → unset"]);
    }

    #[test]
    fn lists_show_what_left_and_what_joined() {
        check(json!(["a", "b"]), json!(["b", "c"]), 60, &["f: - \"a\" + \"c\""]);
        check(json!(["a"]), json!(["a", "b"]), 60, &["f: + \"b\""]);
        check(
            json!(["a", "b"]),
            json!(["b", "a"]),
            60,
            &["f: [\"a\",\"b\"] → [\"b\",\"a\"]"],
        );
        check(
            json!(["aaaa", "bbbb"]),
            json!(["cccc"]),
            16,
            &["f:", "  - \"aaaa\"", "  - \"bbbb\"", "  + \"cccc\""],
        );
    }

    #[test]
    fn long_texts_begin_shortly_before_they_differ() {
        let long = |middle: &str| format!("{}{middle}{}", "x".repeat(200), "y".repeat(200));
        check(
            json!(long("OLD")),
            json!(long("NEWER")),
            40,
            &[
                "f:",
                "  - …xxxxxxxxxxxxxxxxxxxxxxxxOLDyyyyyyy…",
                "  + …xxxxxxxxxxxxxxxxxxxxxxxxNEWERyyyyy…",
            ],
        );
        check(json!("aaa"), json!("aab"), 10, &["f:", "  - aaa", "  + aab"]);
    }

    #[test]
    fn escapes_from_elsewhere_stay_escaped() {
        check(json!("\u{1b}[31m"), json!("ok"), 60, &["f: \"\\u001b[31m\" → \"ok\""]);
        check(
            json!("\u{1b}[31m"),
            json!("ok"),
            20,
            &["f:", "  - \\u{1b}[31m", "  + ok"],
        );
    }
}
