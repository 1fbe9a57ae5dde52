//! The local targets of a user, one file each in the cache folder: where they are, and which ports they have. A port of one that
//! does not run is still its own, so that URLs stay what they were.

use std::fs::File;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::LocalError;
use crate::files;
use crate::options::{LocalOptions, Ports};

/// A local target of the user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Target {
    /// Its root.
    pub root: PathBuf,
    /// Its ports.
    pub ports: Ports,
}

impl Target {
    /// Whether it has this port for itself.
    pub(crate) fn has(&self, port: u16) -> bool {
        [self.ports.endpoint, self.ports.websites].contains(&port)
    }
}

/// Nobody else chooses ports while the file is open.
pub(crate) fn lock(cache: &Path) -> Result<File, LocalError> {
    files::lock(&folder(cache).join("lock"))
}

/// All local targets, by root. One whose root is gone is forgotten.
pub(crate) fn all(cache: &Path) -> Result<Vec<Target>, LocalError> {
    let mut targets = Vec::new();
    for path in files::children(&folder(cache))? {
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        // One that cannot be read was written by another version; it says so again when it is started.
        let Ok(Some(target)) = files::read_json::<Target>(&path) else {
            continue;
        };
        match target.root.is_dir() {
            true => targets.push(target),
            false => files::remove(&path)?,
        }
    }
    targets.sort_by(|one, other| one.root.cmp(&other.root));
    Ok(targets)
}

/// Adds a local target, or changes its ports.
pub(crate) fn register(options: &LocalOptions, ports: &Ports) -> Result<(), LocalError> {
    let name: String = Sha256::digest(options.root.as_os_str().as_encoded_bytes())
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let target = Target {
        root: options.root.clone(),
        ports: *ports,
    };
    files::write_json(&folder(&options.cache).join(format!("{name}.json")), &target)
}

fn folder(cache: &Path) -> PathBuf {
    cache.join("targets")
}
