//! Event source mappings of queues and streams: kept here, polled by [`poller`] for as long as they are there.
//! <https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html>

mod batch;
mod calls;
mod model;
pub(crate) mod poller;
mod rules;
mod stream;
mod stream_poller;
mod streams;

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::watch;

pub(super) use self::calls::is_of_mappings;
use self::model::{Change, Mapping, Transition};
use super::Owner;
use super::rules::{invalid, missing};
use crate::error::LocalError;
use crate::files;
use crate::services::{Fault, now_ms};

/// Most tags of a mapping.
const MOST_TAGS: usize = 50;

/// All event source mappings.
pub(crate) struct Mappings {
    file: PathBuf,
    /// How long a change takes until it is in effect.
    settling_ms: u64,
    /// By id.
    kept: Mutex<BTreeMap<String, Mapping>>,
    /// How many turns of each mapping are not over.
    turns: Arc<Mutex<HashMap<String, usize>>>,
    changes: watch::Sender<u64>,
}

/// Whether a mapping may bring events now.
enum Begin {
    Turn(Box<Turn>),
    /// Not now: another time, or after a change.
    Later,
    /// Never again.
    Gone,
}

/// A turn of a mapping, from before it looks for events until all of them are dealt with. A mapping that is disabled or deleted
/// is so once its turns are over.
struct Turn {
    mapping: Mapping,
    turns: Arc<Mutex<HashMap<String, usize>>>,
    changes: watch::Sender<u64>,
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut turns = self.turns.lock();
        if let Some(count) = turns.get_mut(&self.mapping.uuid) {
            *count -= 1;
            if *count == 0 {
                turns.remove(&self.mapping.uuid);
                self.changes.send_modify(|count| *count += 1);
            }
        }
    }
}

impl Mappings {
    /// Reads the state on disk. Changes take so many milliseconds until they are in effect.
    pub(crate) fn open(file: PathBuf, settling_ms: u64) -> Result<Self, LocalError> {
        let kept: Vec<Mapping> = files::read_json(&file)?.unwrap_or_default();
        Ok(Self {
            file,
            settling_ms,
            kept: Mutex::new(kept.into_iter().map(|one| (one.uuid.clone(), one)).collect()),
            turns: Arc::default(),
            changes: watch::Sender::new(0),
        })
    }

    /// ARN and tags of every mapping of an account and region.
    pub(crate) fn tagged(&self, account: &str, region: &str) -> Vec<(String, BTreeMap<String, String>)> {
        let kept = self.kept.lock();
        let of_caller = kept.values().filter(|one| is_of(one, Owner { account, region }));
        let there = of_caller.filter(|one| self.state(one).is_some());
        there.map(|one| (arn(one), one.tags.clone())).collect()
    }

    /// The function of the mapping that an ARN names.
    pub(crate) fn function_of(&self, mapping_arn: &str) -> Option<String> {
        let kept = self.kept.lock();
        let found = kept.get(mapping_arn.rsplit(':').next()?)?;
        (arn(found) == mapping_arn).then(|| found.function_arn.clone())
    }

    /// Changes the tags of a mapping, named by ARN, and returns them.
    pub(crate) fn tags(
        &self,
        owner: Owner<'_>,
        mapping_arn: &str,
        change: impl FnOnce(&mut BTreeMap<String, String>),
    ) -> Result<BTreeMap<String, String>, Fault> {
        let absent = || missing(format!("Event source mapping not found: {mapping_arn}"));
        let uuid = mapping_arn.rsplit(':').next().unwrap_or_default();
        self.change(owner, uuid, absent, |mapping| {
            change(&mut mapping.tags);
            check_tags(&mapping.tags)?;
            Ok(mapping.tags.clone())
        })
    }

    /// The state of a mapping; `None` once it is deleted.
    /// <https://docs.aws.amazon.com/lambda/latest/api/API_EventSourceMappingConfiguration.html>
    fn state(&self, mapping: &Mapping) -> Option<&'static str> {
        match (self.transition(mapping), &mapping.transition) {
            (Some(change), _) => Some(change.name()),
            (None, Some(over)) if over.kind == Change::Deleting => None,
            (None, _) if mapping.enabled => Some("Enabled"),
            (None, _) => Some("Disabled"),
        }
    }

    /// The change that is not over: it takes its time, and what was begun before it is ended first.
    fn transition(&self, mapping: &Mapping) -> Option<Change> {
        let Transition { kind, until } = mapping.transition.as_ref()?;
        let waits = matches!(kind, Change::Disabling | Change::Deleting);
        let is_busy = waits && self.turns.lock().contains_key(&mapping.uuid);
        (is_busy || now_ms() < *until).then_some(*kind)
    }

    /// Begins a turn of a mapping, if it may.
    fn begin(&self, uuid: &str) -> Begin {
        let kept = self.kept.lock();
        let Some(mapping) = kept.get(uuid) else {
            return Begin::Gone;
        };
        let is_ready = !matches!(self.transition(mapping), Some(Change::Creating | Change::Enabling));
        match mapping.transition.as_ref().map(|transition| transition.kind) {
            Some(Change::Deleting) => Begin::Gone,
            _ if mapping.enabled && is_ready => {
                *self.turns.lock().entry(uuid.to_owned()).or_default() += 1;
                Begin::Turn(Box::new(Turn {
                    mapping: mapping.clone(),
                    turns: Arc::clone(&self.turns),
                    changes: self.changes.clone(),
                }))
            }
            _ => Begin::Later,
        }
    }

    /// Whether a mapping goes on.
    fn is_enabled(&self, uuid: &str) -> bool {
        self.kept.lock().get(uuid).is_some_and(|mapping| mapping.enabled)
    }

    fn is_of_stream(&self, uuid: &str) -> bool {
        let kept = self.kept.lock();
        kept.get(uuid).is_some_and(|mapping| mapping.settings.stream.is_some())
    }

    /// Records of a stream are dealt with up to this one.
    fn note_position(&self, uuid: &str, last: String) {
        let mut kept = self.kept.lock();
        if let Some(stream) = kept.get_mut(uuid).and_then(|mapping| mapping.settings.stream.as_mut()) {
            stream.after = Some(last);
        }
        if let Err(error) = files::write_json(&self.file, &kept.values().collect::<Vec<_>>()) {
            tracing::warn!(%error, uuid, "how far a stream was read could not be saved");
        }
    }

    fn note_result(&self, uuid: &str, result: &str) {
        if let Some(mapping) = self.kept.lock().get_mut(uuid) {
            mapping.last_result = Some(result.to_owned());
        }
    }

    fn ids(&self) -> Vec<String> {
        self.kept.lock().keys().cloned().collect()
    }

    fn insert(&self, mapping: Mapping) -> Result<(), Fault> {
        let mut kept = self.kept.lock();
        let mut next = kept.clone();
        next.insert(mapping.uuid.clone(), mapping);
        self.keep(&mut kept, next)
    }

    /// Looks at a mapping of the caller that is there.
    fn read<T>(&self, owner: Owner<'_>, uuid: &str, look: impl FnOnce(&Mapping) -> T) -> Option<T> {
        let kept = self.kept.lock();
        let found = kept.get(uuid).filter(|one| is_of(one, owner))?;
        self.state(found)?;
        Some(look(found))
    }

    /// Changes a mapping of the caller: kept on disk, then visible. Nothing changes when `change` or the disk refuses.
    fn change<T>(
        &self,
        owner: Owner<'_>,
        uuid: &str,
        absent: impl FnOnce() -> Fault,
        change: impl FnOnce(&mut Mapping) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let mut kept = self.kept.lock();
        let mut next = kept.clone();
        let found = next.get_mut(uuid).filter(|one| is_of(one, owner));
        let found = found.filter(|one| self.state(one).is_some()).ok_or_else(absent)?;
        let result = change(found)?;
        self.keep(&mut kept, next)?;
        Ok(result)
    }

    /// Begins a change of a mapping of the caller.
    fn begin_change(&self, kind: Change) -> Option<Transition> {
        let until = now_ms().saturating_add_unsigned(self.settling_ms);
        Some(Transition { kind, until })
    }

    fn keep(&self, kept: &mut BTreeMap<String, Mapping>, mut next: BTreeMap<String, Mapping>) -> Result<(), Fault> {
        next.retain(|_, mapping| self.state(mapping).is_some());
        files::write_json(&self.file, &next.values().collect::<Vec<_>>())?;
        *kept = next;
        self.changes.send_modify(|count| *count += 1);
        Ok(())
    }
}

fn check_tags(tags: &BTreeMap<String, String>) -> Result<(), Fault> {
    match tags.len() > MOST_TAGS {
        true => Err(invalid("Number of tags exceeds resource tag limit.")),
        false => Ok(()),
    }
}

fn is_of(mapping: &Mapping, owner: Owner<'_>) -> bool {
    mapping.account == owner.account && mapping.region == owner.region
}

fn arn(mapping: &Mapping) -> String {
    let Mapping {
        uuid, account, region, ..
    } = mapping;
    format!("arn:aws:lambda:{region}:{account}:event-source-mapping:{uuid}")
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test ends where something is wrong")]

    use std::path::Path;

    use super::model::{Settings, StreamSettings};
    use super::*;
    use crate::services::lambda::TEST_OWNER as OWNER;

    fn opened(directory: &Path, settling_ms: u64) -> Mappings {
        Mappings::open(directory.join("mappings.json"), settling_ms).unwrap()
    }

    fn made(mappings: &Mappings) {
        let settings = Settings {
            batch_size: 10,
            window_seconds: 0,
            filters: Vec::new(),
            response_types: Vec::new(),
            maximum_concurrency: None,
            stream: None,
        };
        let mapping = Mapping {
            uuid: "u".to_owned(),
            account: OWNER.account.to_owned(),
            region: OWNER.region.to_owned(),
            function_arn: "arn:f".to_owned(),
            source_arn: "arn:q".to_owned(),
            enabled: true,
            settings,
            tags: BTreeMap::new(),
            modified: 0.0,
            last_result: None,
            transition: mappings.begin_change(Change::Creating),
        };
        mappings.insert(mapping).unwrap();
    }

    fn state(mappings: &Mappings) -> Option<&'static str> {
        mappings.read(OWNER, "u", |mapping| mappings.state(mapping)).flatten()
    }

    fn switch(mappings: &Mappings, enabled: bool, kind: Change) {
        let transition = mappings.begin_change(kind);
        let change = |mapping: &mut Mapping| {
            mapping.enabled = enabled;
            mapping.transition = transition;
            Ok(())
        };
        mappings.change(OWNER, "u", || missing("u"), change).unwrap();
    }

    #[test]
    fn a_mapping_that_is_made_brings_nothing_before_it_is_enabled() {
        let directory = tempfile::tempdir().unwrap();
        let slow = opened(directory.path(), 60_000);
        made(&slow);
        assert_eq!(state(&slow), Some("Creating"));
        assert!(matches!(slow.begin("u"), Begin::Later));
        switch(&slow, true, Change::Updating);
        assert_eq!(state(&slow), Some("Updating"));
        assert!(matches!(slow.begin("u"), Begin::Turn(_)));
    }

    #[test]
    fn what_was_begun_is_ended_before_a_mapping_is_disabled_or_gone() {
        let directory = tempfile::tempdir().unwrap();
        let quick = opened(directory.path(), 0);
        made(&quick);
        assert_eq!(state(&quick), Some("Enabled"));
        let Begin::Turn(turn) = quick.begin("u") else {
            panic!("no turn");
        };
        switch(&quick, false, Change::Disabling);
        assert_eq!(state(&quick), Some("Disabling"));
        assert!(matches!(quick.begin("u"), Begin::Later));
        drop(turn);
        assert_eq!(state(&quick), Some("Disabled"));
        switch(&quick, false, Change::Deleting);
        assert_eq!(state(&quick), None);
        assert!(matches!(quick.begin("u"), Begin::Gone));
    }

    #[test]
    fn a_stream_is_read_on_where_it_was_left() {
        let directory = tempfile::tempdir().unwrap();
        let mappings = opened(directory.path(), 0);
        made(&mappings);
        assert!(!mappings.is_of_stream("u"));
        let stream = StreamSettings {
            starting_position: "LATEST".to_owned(),
            bisect: false,
            maximum_retries: None,
            maximum_age: None,
            lanes: 1,
            on_failure: None,
            reads_all: false,
            after: None,
        };
        let change = |mapping: &mut Mapping| {
            mapping.settings.stream = Some(stream);
            Ok(())
        };
        mappings.change(OWNER, "u", || missing("u"), change).unwrap();
        mappings.note_position("u", "7".to_owned());
        let after = |mapping: &Mapping| mapping.settings.stream.as_ref().and_then(|stream| stream.after.clone());
        assert_eq!(
            opened(directory.path(), 0).read(OWNER, "u", after).flatten().as_deref(),
            Some("7")
        );
    }

    #[test]
    fn mappings_are_there_after_a_restart() {
        let directory = tempfile::tempdir().unwrap();
        made(&opened(directory.path(), 0));
        let again = opened(directory.path(), 0);
        assert_eq!(state(&again), Some("Enabled"));
        let arn = "arn:aws:lambda:eu-central-1:000000000000:event-source-mapping:u";
        assert_eq!(again.function_of(arn).as_deref(), Some("arn:f"));
        again
            .tags(OWNER, arn, |tags| drop(tags.insert("a".to_owned(), "b".to_owned())))
            .unwrap();
        assert_eq!(opened(directory.path(), 0).tagged(OWNER.account, OWNER.region).len(), 1);
    }
}
