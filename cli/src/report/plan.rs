//! A plan as text: what comes, changes, is replaced and goes, field by field, and what stays although one might think
//! otherwise.

use taskctl_stack::plan::{Action, Change, Plan, Reason, Rollback, Step, Verb};

use super::change::value_line;
use super::statement::{changes_lines, created_lines};
use crate::ui::style::{Style, Tone};
use crate::ui::text::{columns, cut, fill, plain, wrap};

/// How much is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Details {
    /// The fields of what changes; what comes by name only.
    Changes,
    /// The fields of what comes, too.
    Everything,
}

/// Columns before a field.
const FIELD_INDENT: usize = 8;

/// The plan's text, ending in its summary line.
pub fn render(plan: &Plan, style: &Style, details: Details) -> String {
    let mut out = String::new();
    let mut line = |text: String| {
        out.push_str(&text);
        out.push('\n');
    };
    for step in plan.changes() {
        line(heading(step, style));
        for text in body(step, style, details) {
            line(format!("{:FIELD_INDENT$}{text}", ""));
        }
    }
    let pending: Vec<String> = plan
        .steps
        .iter()
        .flat_map(|step| step.pending.iter().map(move |pending| (step, pending)))
        .map(|(step, pending)| format!("{} {}: {}", step.id, pending.field, pending.doing))
        .collect();
    let kept = |of_destroy: bool| -> Vec<String> {
        let steps = plan.steps.iter().filter_map(|step| match &step.action {
            Action::Keep { reason } if reason.is_of_destroy() == of_destroy => Some(format!("{}: {reason}", step.id)),
            Action::NoOp { .. }
            | Action::Create { .. }
            | Action::Update { .. }
            | Action::CreateThenDelete { .. }
            | Action::DeleteThenCreate { .. }
            | Action::Delete { .. }
            | Action::Keep { .. } => None,
        });
        steps.collect()
    };
    let had_changes = plan.has_changes();
    for (title, items) in [
        ("AWS is still working on (no change needed):", pending),
        ("Kept although not in the template:", kept(false)),
        ("Kept with their data:", kept(true)),
    ] {
        if items.is_empty() {
            continue;
        }
        if had_changes {
            line(String::new());
        }
        line(style.paint(Tone::Strong, title));
        for item in items {
            for (index, part) in wrap(&item, style.width.saturating_sub(6)).into_iter().enumerate() {
                line(format!("  {} {part}", if index == 0 { "·" } else { " " }));
            }
        }
    }
    if plan.changes().any(is_of_destroy) {
        line(String::new());
        line(style.paint(Tone::Faint, "The stage is destroyed. No rollback brings it back."));
    }
    if plan.changes().any(is_marked) {
        line(String::new());
        line(style.paint(
            Tone::Faint,
            "! takes effect immediately and is not undone by a rollback",
        ));
    }
    let warnings = warnings(plan, style);
    if had_changes || !warnings.is_empty() {
        line(String::new());
    }
    for text in warnings {
        line(text);
    }
    line(summary(plan, style));
    out
}

/// The plan's warnings, wrapped.
pub fn warnings(plan: &Plan, style: &Style) -> Vec<String> {
    const HEAD: &str = "warning:";
    let width = style.width.saturating_sub(HEAD.len() + 1);
    let lines = plan.warnings.iter().flat_map(|warning| {
        let parts = wrap(&warning.message, width).into_iter().enumerate();
        parts.map(|(index, part)| match index {
            0 => format!("{} {part}", style.paint(Tone::Warn, HEAD)),
            _ => format!("{:width$} {part}", "", width = HEAD.len()),
        })
    });
    lines.collect()
}

/// `Plan: 3 to create, 1 to change; 70 unchanged`, or that there is nothing to do.
pub fn summary(plan: &Plan, style: &Style) -> String {
    let counts = plan.counts();
    let parts: Vec<String> = [
        (counts.create, "to create", Tone::Create),
        (counts.update, "to change", Tone::Change),
        (counts.replace, "to replace", Tone::Replace),
        (counts.delete, "to delete", Tone::Delete),
    ]
    .iter()
    .filter(|(number, ..)| *number > 0)
    .map(|(number, words, tone)| style.paint(*tone, &format!("{number} {words}")))
    .collect();
    let mut rest = format!("{} unchanged", counts.unchanged);
    if counts.kept > 0 {
        rest.push_str(&format!(", {} kept", counts.kept));
    }
    let text = if parts.is_empty() {
        format!("{} {rest}.", style.paint(Tone::Strong, "No changes:"))
    } else {
        format!("{} {}; {rest}.", style.paint(Tone::Strong, "Plan:"), parts.join(", "))
    };
    fill(&text, style.width).join("\n")
}

/// The mark, word and tone of a verb.
pub fn sign(verb: Verb) -> (&'static str, &'static str, Tone) {
    match verb {
        Verb::Create => ("+", "create", Tone::Create),
        Verb::Update => ("~", "change", Tone::Change),
        Verb::Replace => ("±", "replace", Tone::Replace),
        Verb::Delete => ("-", "delete", Tone::Delete),
        Verb::NoOp => (" ", "keep", Tone::Faint),
        Verb::Keep => ("·", "leave", Tone::Faint),
    }
}

/// Whether the step belongs to the end of a stage, where nothing is undone by a rollback.
fn is_of_destroy(step: &Step) -> bool {
    matches!(&step.action, Action::Delete { reason, .. } if reason.is_of_destroy())
}

/// Whether the step is marked as not undone by a rollback; a new resource does no harm.
fn is_marked(step: &Step) -> bool {
    !is_of_destroy(step)
        && match (step.rollback, step.action.verb()) {
            (Rollback::Immediate, Verb::Update | Verb::Replace | Verb::Delete) => true,
            (Rollback::Immediate, Verb::Create | Verb::NoOp | Verb::Keep) | (Rollback::WithRelease, _) => false,
        }
}

fn heading(step: &Step, style: &Style) -> String {
    let (mark, word, tone) = sign(step.action.verb());
    let note = match &step.action {
        Action::CreateThenDelete { .. } => "  (create the new one, then delete the old one)",
        Action::DeleteThenCreate { .. } => "  (delete the old one, then create the new one)",
        Action::NoOp { .. }
        | Action::Create { .. }
        | Action::Update { .. }
        | Action::Delete { .. }
        | Action::Keep { .. } => "",
    };
    let immediate = if is_marked(step) { " !" } else { "" };
    let id = plain(&step.id.to_string());
    let room = style.room().saturating_sub(12 + columns(immediate));
    let note = if columns(&id) + columns(note) <= room { note } else { "" };
    format!(
        "  {} {} {}{}{}",
        style.paint(tone, mark),
        style.paint(tone, &format!("{word:<7}")),
        style.paint(Tone::Strong, &cut(&id, room)),
        style.paint(Tone::Warn, immediate),
        style.paint(Tone::Faint, note),
    )
}

fn body(step: &Step, style: &Style, details: Details) -> Vec<String> {
    let room = style.room().saturating_sub(FIELD_INDENT);
    match &step.action {
        Action::Create { changes, .. } => match details {
            Details::Changes => Vec::new(),
            Details::Everything => changes
                .iter()
                .flat_map(|change| created_lines(change, style, room).unwrap_or_else(|| vec![value_line(change, room)]))
                .collect(),
        },
        Action::Update {
            changes,
            observed,
            desired,
        }
        | Action::CreateThenDelete {
            changes,
            observed,
            desired,
            ..
        }
        | Action::DeleteThenCreate {
            changes,
            observed,
            desired,
            ..
        } => {
            let changes: Vec<&Change> = changes.iter().filter(|change| !change.implied).collect();
            let model = observed.as_ref().map(|observed| &observed.model);
            changes_lines(&changes, model, desired, style, room)
        }
        // Said once, below.
        Action::Delete {
            reason: Reason::StageDestroyed,
            ..
        } => Vec::new(),
        Action::Delete { reason, .. } => vec![style.paint(Tone::Faint, &cut(&plain(&reason.to_string()), room))],
        Action::NoOp { .. } | Action::Keep { .. } => Vec::new(),
    }
}
