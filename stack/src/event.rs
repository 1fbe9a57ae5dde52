//! What happened, as data: the engine's only way out. Reporters (human, json, github) render these; nothing in this
//! crate prints. The JSON form is versioned by [`SCHEMA_VERSION`]; fields are added, never renamed, within a version.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::plan::{Plan, Verb};
use crate::resource::{Outputs, ResourceId};

/// Version of the event schema, in every JSON event as `v`.
pub const SCHEMA_VERSION: u32 = 1;

/// One fact.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// A command began.
    Started {
        /// `plan`, `deploy`, `destroy`, …
        command: String,
        /// Application.
        app: String,
        /// Stage.
        stage: String,
        /// Region.
        region: String,
        /// Account id, once known.
        account: Option<String>,
    },
    /// The handlers are being built.
    BuildStarted {
        /// The command line that runs.
        command: String,
    },
    /// A line the build printed that a person wants to see.
    BuildOutput {
        /// The line.
        line: String,
    },
    /// The handlers were built.
    BuildFinished {
        /// Duration.
        millis: u64,
    },
    /// A function's package is ready.
    Packaged {
        /// Logical name.
        function: String,
        /// Bytes of the zip.
        zip_bytes: u64,
        /// base64 of the SHA-256 of the zip, as AWS shows it.
        code_sha256: String,
    },
    /// Existing resources are being read.
    ReadStarted {
        /// How many are looked for.
        resources: usize,
    },
    /// Existing resources were read.
    ReadFinished {
        /// Duration.
        millis: u64,
        /// AWS calls so far.
        calls: u64,
    },
    /// A plan was made.
    Planned {
        /// The plan.
        plan: Plan,
    },
    /// Execution begins.
    ExecutionStarted {
        /// Number of actions.
        actions: usize,
    },
    /// A resource's action began.
    ActionStarted {
        /// Resource.
        id: ResourceId,
        /// What is done to it.
        verb: Verb,
    },
    /// A resource waits for AWS.
    Waiting {
        /// Resource.
        id: ResourceId,
        /// What for, e.g. `function to become active`.
        reason: String,
    },
    /// A call is tried again.
    Retrying {
        /// Resource, where the call belongs to one.
        id: Option<ResourceId>,
        /// `lambda:CreateFunction`.
        operation: String,
        /// Attempt just failed, from 1.
        attempt: u32,
        /// Why.
        reason: String,
        /// Pause before the next attempt.
        delay_millis: u64,
    },
    /// A resource's action succeeded.
    ActionFinished {
        /// Resource.
        id: ResourceId,
        /// What was done.
        verb: Verb,
        /// Duration.
        millis: u64,
        /// Ids and ARNs now known.
        outputs: Outputs,
        /// When it began, since the execution did.
        #[serde(default)]
        began_millis: u64,
        /// AWS calls, repeated ones included.
        #[serde(default)]
        calls: u32,
        /// How long those took, one after the other.
        #[serde(default)]
        calling_millis: u64,
        /// How long it waited for quotas, for AWS to get ready, before repeating a call.
        #[serde(default)]
        waiting_millis: u64,
        /// What it waited for longest before it began.
        #[serde(default)]
        after: Option<ResourceId>,
    },
    /// A resource's action failed.
    ActionFailed {
        /// Resource.
        id: ResourceId,
        /// What was tried.
        verb: Verb,
        /// What happened, why, and what to do.
        error: ErrorReport,
    },
    /// A data store was not deleted, because it was not empty when its turn came.
    ActionKept {
        /// Resource.
        id: ResourceId,
        /// What would have been done.
        verb: Verb,
        /// What was found, and what deletes it all the same.
        reason: String,
    },
    /// A resource's action was not tried.
    ActionSkipped {
        /// Resource.
        id: ResourceId,
        /// What would have been done.
        verb: Verb,
        /// Why not.
        reason: String,
    },
    /// A call to AWS ended (`--trace` shows these).
    Call {
        /// `lambda:GetFunction`.
        operation: String,
        /// Duration of the attempt.
        millis: u64,
        /// `ok`, or the error code.
        outcome: String,
    },
    /// A release went live.
    Promoted {
        /// Release number.
        release: u64,
        /// Its colour.
        color: String,
        /// The release that was live before.
        previous: Option<u64>,
    },
    /// Live went back to a release.
    RolledBack {
        /// Release number.
        release: u64,
        /// Its colour.
        color: String,
        /// The release that was live.
        from: Option<u64>,
    },
    /// A deploy ended, and its release is not live: it waits in preview.
    InPreview {
        /// Release number.
        release: u64,
        /// Its colour.
        color: String,
        /// The release that is live.
        live: u64,
    },
    /// The release in preview answered as it should.
    Checked {
        /// Release number.
        release: u64,
        /// Requests made.
        requests: usize,
        /// What was asserted of the answers.
        assertions: usize,
    },
    /// A share of live's traffic was diverted to a release.
    Diverted {
        /// Release number.
        release: u64,
        /// Percent; 0: nothing is diverted any more.
        percent: u8,
        /// Logical names of the functions whose version changes.
        functions: Vec<String>,
    },
    /// The diverted share is being watched: what its versions and live's did so far.
    Baking {
        /// Release number.
        release: u64,
        /// Percent of live's traffic that it has.
        percent: u8,
        /// How long it has been watched.
        millis: u64,
        /// How long it will be.
        of_millis: u64,
        /// Requests that the release answered meanwhile, as metrics say.
        requests: u64,
        /// Errors among them.
        errors: u64,
        /// Requests that live's versions of the same functions answered.
        live_requests: u64,
        /// Errors among them.
        live_errors: u64,
    },
    /// The diverted share was judged.
    Judged {
        /// Release number.
        release: u64,
        /// Requests that the release answered meanwhile, as metrics say.
        requests: u64,
        /// Errors among them.
        errors: u64,
    },
    /// Live answered from outside as the release, often enough in a row.
    Confirmed {
        /// Release number.
        release: u64,
        /// Requests made.
        requests: u32,
        /// How long after the switch the last other answer came.
        tail_millis: u64,
        /// What shows that it was the release.
        #[serde(default)]
        by: Evidence,
    },
    /// The user asked to stop; calls in flight are finished first.
    Stopping,
    /// Something a person should know, that is no failure.
    Note {
        /// Text.
        message: String,
    },
    /// Something that may hurt later.
    Warning {
        /// Text.
        message: String,
    },
    /// A command ended.
    Finished {
        /// How.
        outcome: Outcome,
        /// Duration.
        millis: u64,
        /// AWS calls made.
        calls: u64,
        /// Endpoints that answer now.
        endpoints: Endpoints,
        /// What can be done next: command lines that work as they are.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        next: Vec<String>,
    },
}

/// What shows that live serves a release.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Evidence {
    /// The answers: they name it.
    #[default]
    Answers,
    /// AWS, which shows its deployment on live; functions answered, and do not name their release.
    Status,
}

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Everything is as the template says; nothing had to be done.
    NoChanges,
    /// Everything was done.
    Done,
    /// There are changes to apply (`plan`).
    Changes,
    /// Everything was done, but data stores stay that were to be deleted: they were not empty any more.
    Kept,
    /// Some of it failed; running it again resumes.
    Failed,
    /// Stopped by the user; running it again resumes.
    Interrupted,
}

/// Where the stack answers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Endpoints {
    /// URL of live, no trailing slash.
    pub live: Option<String>,
    /// URL of preview.
    pub preview: Option<String>,
    /// URL of the web site.
    pub site: Option<String>,
}

/// An error for people and programs: what happened, why, what to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ErrorReport {
    /// What happened.
    pub message: String,
    /// The chain of causes, outermost first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<String>,
    /// What to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl ErrorReport {
    /// From an error and its sources.
    pub fn new(error: &dyn std::error::Error, hint: Option<String>) -> Self {
        let mut causes = Vec::new();
        let mut source = error.source();
        while let Some(cause) = source {
            causes.push(cause.to_string());
            source = cause.source();
        }
        Self {
            message: error.to_string(),
            causes,
            hint,
        }
    }
}

/// Several pieces of advice as one text: `did you mean …? Regions look like …`, `do this; or that`.
pub fn joined_advice<T: AsRef<str>>(pieces: impl IntoIterator<Item = T>) -> String {
    let mut text = String::new();
    for piece in pieces {
        let piece = piece.as_ref();
        match text.chars().next_back() {
            None => text.push_str(piece),
            // A sentence has ended: the next one begins.
            Some('?' | '.' | '!') => {
                let mut rest = piece.chars();
                let first = rest.next().into_iter().flat_map(char::to_uppercase);
                text.push(' ');
                text.extend(first);
                text.push_str(rest.as_str());
            }
            Some(_) => {
                text.push_str("; ");
                text.push_str(piece);
            }
        }
    }
    text
}

/// Takes events. Must not block.
pub trait EventSink: Send + Sync {
    /// Takes one.
    fn emit(&self, event: Event);
}

/// A duration as events carry it.
pub fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// A shared sink.
pub type Events = Arc<dyn EventSink>;

/// Keeps every event, for tests and for replay.
#[derive(Debug, Default)]
pub struct Recorder {
    events: Mutex<Vec<Event>>,
}

impl Recorder {
    /// What was recorded, in order.
    pub fn take(&self) -> Vec<Event> {
        std::mem::take(&mut *self.events.lock())
    }
}

impl EventSink for Recorder {
    fn emit(&self, event: Event) {
        self.events.lock().push(event);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advice_is_joined_as_sentences_are() {
        let check = |pieces: &[&str], expected: &str| assert_eq!(joined_advice(pieces), expected);
        check(&[], "");
        check(&["deploy it"], "deploy it");
        check(&["deploy it", "or leave it out"], "deploy it; or leave it out");
        check(
            &[
                "did you mean `eu-central-1`?",
                "regions look like eu-central-1",
                "or not",
            ],
            "did you mean `eu-central-1`? Regions look like eu-central-1; or not",
        );
        check(&["did you mean `a`?", "`b` exists"], "did you mean `a`? `b` exists");
    }
}
