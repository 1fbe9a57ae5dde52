//! Changed statements of IAM policies, one line for each action on each resource: `+ s3:DeleteObject on arn:…`. Who reviews
//! permissions reads what may be done where, not lists within lists.

use std::collections::BTreeSet;

use serde_json::{Map, Value};
use taskctl_stack::plan::Change;

use super::change::change_lines;
use crate::ui::style::{Style, Tone};
use crate::ui::text::{cut, cut_within, plain};

/// The lines of changed fields, with statements as what they allow.
pub fn changes_lines(
    changes: &[&Change],
    observed: Option<&Value>,
    desired: &Value,
    style: &Style,
    room: usize,
) -> Vec<String> {
    let mut lines = Vec::new();
    let mut shown = BTreeSet::new();
    for change in changes {
        let place = statement_at(&change.field, &[observed, Some(desired)]);
        let (field, before, after) = match place {
            Some(place) => (
                place,
                observed.and_then(|observed| at(observed, place)),
                at(desired, place),
            ),
            None if has_statements(change) => (change.field.as_str(), change.before.as_ref(), change.after.as_ref()),
            None => {
                lines.extend(change_lines(change, style, room));
                continue;
            }
        };
        if shown.insert(field) {
            lines.extend(permission_lines(field, before, after, style, room));
        }
    }
    lines
}

/// The permissions of a value that comes as a whole; none when it has no statements.
pub fn created_lines(change: &Change, style: &Style, room: usize) -> Option<Vec<String>> {
    has_statements(change).then(|| permission_lines(&change.field, None, change.after.as_ref(), style, room))
}

fn permission_lines(
    field: &str,
    before: Option<&Value>,
    after: Option<&Value>,
    style: &Style,
    room: usize,
) -> Vec<String> {
    let (before, after) = (permissions(before), permissions(after));
    let marked = |tone, mark: &str, one: &String| {
        let text = cut_within(&plain(one), room.saturating_sub(4));
        style.paint(tone, &format!("{mark} {text}"))
    };
    let removed = before.difference(&after).map(|one| marked(Tone::Delete, "-", one));
    let added = after.difference(&before).map(|one| marked(Tone::Create, "+", one));
    let head = cut(&format!("{}:", plain(field)), room);
    std::iter::once(head)
        .chain(removed.chain(added).map(|line| format!("  {line}")))
        .collect()
}

/// The path of the statement that a field lies in.
fn statement_at<'a>(field: &'a str, models: &[Option<&Value>]) -> Option<&'a str> {
    let ends = field.match_indices('.').map(|(end, _)| end).chain([field.len()]);
    ends.map(|end| &field[..end]).find(|path| {
        let found = models.iter().flatten().find_map(|model| at(model, path));
        found.is_some_and(is_statement)
    })
}

fn at<'a>(model: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').try_fold(model, |value, key| value.get(key))
}

fn is_statement(value: &Value) -> bool {
    let has = |key: &str| value.get(key).is_some();
    has("effect") && (has("actions") || has("not_actions"))
}

/// Whether a changed value is a statement, or statements by their ids.
fn has_statements(change: &Change) -> bool {
    let is_document = |value: &Value| {
        let statements = value.as_object();
        statements.is_some_and(|statements| !statements.is_empty() && statements.values().all(is_statement))
    };
    let values = [&change.before, &change.after];
    values
        .into_iter()
        .flatten()
        .any(|value| is_statement(value) || is_document(value))
}

/// Each action on each resource, of a statement or of statements by their ids.
fn permissions(value: Option<&Value>) -> BTreeSet<String> {
    let Some(Value::Object(fields)) = value else {
        return BTreeSet::new();
    };
    match value.is_some_and(is_statement) {
        true => of_statement(fields),
        false => fields.values().flat_map(|one| permissions(Some(one))).collect(),
    }
}

fn of_statement(statement: &Map<String, Value>) -> BTreeSet<String> {
    let texts = |key: &str| -> Vec<String> {
        let list = statement.get(key).and_then(Value::as_array);
        let texts = list.into_iter().flatten().filter_map(Value::as_str);
        texts.map(str::to_owned).collect()
    };
    let but = |key: &str| match texts(key) {
        list if list.is_empty() => Vec::new(),
        list => vec![format!("everything but {}", list.join(", "))],
    };
    let either = |key: &str, other: &str| [texts(key), but(other)].concat();
    let denies = statement.get("effect").and_then(Value::as_str) == Some("Deny");
    let head = if denies { "deny " } else { "" };
    let mut tail = String::new();
    for (key, word) in [
        ("principals", "for"),
        ("not_principals", "for everyone but"),
        ("conditions", "if"),
    ] {
        if let Some(value) = statement.get(key) {
            tail.push_str(&format!(" {word} {value}"));
        }
    }
    let resources = either("resources", "not_resources");
    let mut lines = BTreeSet::new();
    for action in either("actions", "not_actions") {
        // A trust policy has no resource.
        if resources.is_empty() {
            lines.insert(format!("{head}{action}{tail}"));
        }
        for resource in &resources {
            lines.insert(format!("{head}{action} on {resource}{tail}"));
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use taskctl_stack::plan::Effect;

    use super::*;
    use crate::ui::text::columns;

    const BUCKET: &str = "arn:aws:s3:::shop-dev-assets-000000000000-eu-central-1/assets/*";

    fn change(field: &str, before: Value, after: Value) -> Change {
        let some = |value: Value| (!value.is_null()).then_some(value);
        Change {
            field: field.to_owned(),
            before: some(before),
            after: some(after),
            effect: Effect::InPlace,
            implied: false,
        }
    }

    fn statement(actions: &[&str]) -> Value {
        json!({"effect": "Allow", "actions": actions, "resources": [BUCKET]})
    }

    #[test]
    fn a_changed_statement_shows_what_may_be_done_where() {
        let observed = json!({"policy": {"Bucket": statement(&["s3:DeleteObject", "s3:GetObject"])}});
        let desired = json!({"policy": {"Bucket": statement(&["s3:GetObject", "s3:PutObject"])}});
        let changed = change(
            "policy.Bucket.actions",
            json!(["s3:DeleteObject", "s3:GetObject"]),
            json!(["s3:GetObject", "s3:PutObject"]),
        );
        let lines = changes_lines(&[&changed], Some(&observed), &desired, &Style::PLAIN, usize::MAX);
        assert_eq!(
            lines,
            [
                "policy.Bucket:".to_owned(),
                format!("  - s3:DeleteObject on {BUCKET}"),
                format!("  + s3:PutObject on {BUCKET}")
            ]
        );
    }

    #[test]
    fn statements_that_come_and_go_are_shown_whole() {
        let lines = |changed: Change| changes_lines(&[&changed], None, &Value::Null, &Style::PLAIN, usize::MAX);
        assert_eq!(
            lines(change("policy.Bucket", Value::Null, statement(&["s3:GetObject"]))),
            ["policy.Bucket:".to_owned(), format!("  + s3:GetObject on {BUCKET}")]
        );
        let denied = json!({
            "effect": "Deny", "actions": ["s3:*"], "not_resources": [BUCKET],
            "conditions": {"Bool": {"aws:SecureTransport": ["false"]}}
        });
        assert_eq!(
            lines(change(
                "former",
                json!({"A": denied, "B": statement(&["s3:GetObject"])}),
                Value::Null
            )),
            [
                "former:".to_owned(),
                format!(
                    "  - deny s3:* on everything but {BUCKET} if {{\"Bool\":{{\"aws:SecureTransport\":[\"false\"]}}}}"
                ),
                format!("  - s3:GetObject on {BUCKET}")
            ]
        );
    }

    #[test]
    fn at_a_terminal_the_end_of_an_arn_stays() {
        let added = change("policy.Bucket", Value::Null, statement(&["s3:GetObject"]));
        let lines = changes_lines(&[&added], None, &Value::Null, &Style::PLAIN, 60);
        assert!(lines[1].ends_with("-eu-central-1/assets/*"), "{lines:?}");
        assert!(lines.iter().all(|line| columns(line) <= 60), "{lines:?}");
    }

    #[test]
    fn other_fields_are_shown_as_ever() {
        let changed = change("timeout", json!(30), json!(60));
        let lines = changes_lines(&[&changed], None, &Value::Null, &Style::PLAIN, 60);
        assert_eq!(lines, ["timeout: 30 → 60"]);
    }
}
