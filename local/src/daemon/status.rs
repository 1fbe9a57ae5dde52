//! The status of the local target.

use std::collections::BTreeMap;
use std::path::PathBuf;

use parking_lot::Mutex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::options::Ports;

/// State of the local target and its parts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LocalStatus {
    /// State of the whole.
    pub state: LocalState,
    /// URL of the AWS endpoint.
    pub endpoint_url: String,
    /// Ports; of one that does not run those that it had last.
    #[serde(default)]
    pub ports: Ports,
    /// Directory of everything that is kept.
    pub root: PathBuf,
    /// Process id of the background process.
    pub pid: Option<u32>,
    /// Version of taskctl that runs there.
    pub version: Option<String>,
    /// When it started, RFC 3339.
    pub started: Option<String>,
    /// The parts.
    pub parts: Vec<PartStatus>,
    /// HTTP APIs and where they are served.
    pub apis: Vec<ApiStatus>,
    /// Websites by bucket.
    pub websites: BTreeMap<String, String>,
    /// What went wrong and was repaired since it started, oldest first.
    pub incidents: Vec<Incident>,
}

/// State of the whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LocalState {
    /// Nothing runs.
    Stopped,
    /// Not ready yet.
    Starting,
    /// Everything runs.
    Running,
    /// It runs, but a part does not.
    Degraded,
    /// The background process exists and does not answer.
    NotAnswering,
}

/// State of one part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PartStatus {
    /// Name, e.g. `emulator`.
    pub name: String,
    /// Process id, where it is a process of its own.
    pub pid: Option<u32>,
    /// Port on 127.0.0.1.
    pub port: Option<u16>,
    /// State.
    pub state: PartState,
    /// What there is to say.
    pub message: Option<String>,
}

/// State of a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PartState {
    /// Not ready yet.
    Starting,
    /// Works.
    Running,
    /// Does not work.
    Failed,
}

/// An HTTP API and where it is served.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ApiStatus {
    /// Id of the API.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its region.
    pub region: String,
    /// Where `$default` is served.
    pub url: String,
}

/// Something that went wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Incident {
    /// When, RFC 3339.
    pub at: String,
    /// Which part.
    pub part: String,
    /// What happened and what was done.
    pub message: String,
}

/// Keeps the state of the parts, inside of the background process.
#[derive(Debug)]
pub(crate) struct StatusBoard {
    status: Mutex<LocalStatus>,
}

/// Incidents that are remembered.
const INCIDENTS: usize = 50;

impl StatusBoard {
    pub(crate) fn new(status: LocalStatus) -> Self {
        Self {
            status: Mutex::new(status),
        }
    }

    /// Sets or adds a part.
    pub(crate) fn set(&self, part: PartStatus) {
        let mut status = self.status.lock();
        match status.parts.iter_mut().find(|known| known.name == part.name) {
            Some(known) => *known = part,
            None => status.parts.push(part),
        }
        status.state = overall(&status.parts);
    }

    /// Removes a part.
    pub(crate) fn remove(&self, name: &str) {
        let mut status = self.status.lock();
        status.parts.retain(|part| part.name != name);
        status.state = overall(&status.parts);
    }

    /// Remembers that something went wrong.
    pub(crate) fn incident(&self, part: &str, message: String) {
        tracing::warn!(part, %message, "incident");
        let mut status = self.status.lock();
        if status.incidents.len() == INCIDENTS {
            status.incidents.remove(0);
        }
        status.incidents.push(Incident {
            at: jiff::Timestamp::now().to_string(),
            part: part.to_owned(),
            message,
        });
    }

    /// A copy of it all.
    pub(crate) fn read(&self) -> LocalStatus {
        self.status.lock().clone()
    }
}

fn overall(parts: &[PartStatus]) -> LocalState {
    let any = |state| parts.iter().any(|part| part.state == state);
    if any(PartState::Failed) {
        LocalState::Degraded
    } else if any(PartState::Starting) {
        LocalState::Starting
    } else {
        LocalState::Running
    }
}
