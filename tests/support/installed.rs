//! Tools of others that tests run, installed once below the target folder.

use std::fs::{self, File};
use std::io;
use std::path::Path;

/// Installs `version` of a tool into a folder. Tests run at the same time, also in several processes: one installs, the others
/// wait for it.
pub fn install_once(root: &Path, version: &str, install: impl FnOnce()) -> io::Result<()> {
    fs::create_dir_all(root)?;
    let lock = File::create(root.join("lock"))?;
    lock.lock()?;
    // Written last: an interrupted installation is made again.
    let installed = root.join("installed");
    if fs::read_to_string(&installed).ok().as_deref() != Some(version) {
        install();
        fs::write(installed, version)?;
    }
    Ok(())
}
