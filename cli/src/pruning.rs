//! Deletes what no kept release uses, and reports it. Used by `prune` and after a promotion.

use taskctl_stack::engine::{Engine, Pruned};
use taskctl_stack::event::Event;

use crate::session::Session;
use crate::ui::text::count;

/// Prunes after a promotion. What cannot be taken away now goes the next time.
pub async fn after_promotion(session: &Session, engine: &Engine, keep: usize) {
    match engine.prune(keep).await {
        Ok(pruned) => report(session, &pruned),
        Err(error) => session.reporter.emit(Event::Warning {
            message: format!("old releases were not pruned: {error}; run `taskctl prune` to retry"),
        }),
    }
}

pub fn report(session: &Session, pruned: &Pruned) {
    if pruned.is_nothing() {
        return;
    }
    let large = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
    let parts = [
        (pruned.releases.len(), "release"),
        (pruned.versions, "function version"),
        (pruned.grants, "former grant"),
        (pruned.files, "page file"),
    ];
    let told: Vec<String> = parts
        .into_iter()
        .filter(|(number, _)| *number > 0)
        .map(|(number, noun)| count(large(number), noun))
        .collect();
    session.reporter.emit(Event::Note {
        message: format!("pruned as no longer needed: {}", told.join(", ")),
    });
}
