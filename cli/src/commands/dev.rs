//! `taskctl dev`: the local target follows the files. A saved change is served right after its build.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use taskctl_stack::event::Event;

use crate::cli::{CodeArgs, Output, PromotionArgs};
use crate::deployment::{Request, deploy};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::log_view::follow_all;
use crate::project::find;
use crate::report::Purpose;
use crate::report::plan::Details;
use crate::session::{self, Invocation, Session};
use crate::ui::text::count;

#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Do not follow the logs
    #[arg(long)]
    no_logs: bool,
    #[command(flatten)]
    code: CodeArgs,
}

pub fn run(invocation: &Invocation, args: Args) -> Exit {
    let mut invocation = invocation.clone();
    // Nothing on this machine is lost that the template does not say.
    invocation.global.yes = true;
    invocation.global.target.local = invocation.global.target.endpoint_url.is_none();
    session::run(&invocation, Purpose::Change, Details::Changes, async |session| {
        dev(&session, &args).await
    })
}

async fn dev(session: &Arc<Session>, args: &Args) -> Result<Exit, Failure> {
    let request = Request {
        saved: None,
        code: args.code.clone(),
        promotion: PromotionArgs {
            promote: true,
            no_promote: false,
        },
        timings: false,
    };
    // A template that is wrong now may be right after the next save, but one that is not there is no project.
    find(&session.global, &session.env)?;
    let mut tail = None;
    loop {
        // What is saved from here on is not in what is being built.
        let seen = Files::of(session, args);
        match deploy(session, &request).await {
            Ok(Exit::Interrupted) => return Ok(Exit::Interrupted),
            Ok(_) => {}
            Err(failure) if session.cancel.is_cancelled() => return Err(failure),
            Err(failure) => session.reporter.fail(failure),
        }
        if session.cancel.is_cancelled() {
            return Ok(Exit::Interrupted);
        }
        // Programs read events alone; `taskctl logs --follow` beside it gives them the lines.
        if tail.is_none() && !args.no_logs && session.global.output == Output::Human {
            tail = follow(session).await;
        }
        session.reporter.emit(Event::Note {
            message: format!("watching {} for changes", count(seen.count(), "file")),
        });
        let Ok(changed) = session.unless_stopped(changed(session, args, &seen)).await else {
            return Ok(Exit::Interrupted);
        };
        session.reporter.emit(Event::Note {
            message: format!("changed: {}", listed(&changed)),
        });
    }
}

/// Follows the logs for as long as the command runs.
async fn follow(session: &Arc<Session>) -> Option<tokio::task::JoinHandle<()>> {
    let stack_ref = session.stack_ref().ok()?;
    let engine = session.connect_quietly(&stack_ref).await.ok()?;
    let session = Arc::clone(session);
    Some(tokio::spawn(async move { follow_all(&session, &engine).await }))
}

/// Interval of scanning the files.
const EVERY: Duration = Duration::from_millis(150);
/// A save is over when nothing has changed for so long.
const QUIET: Duration = Duration::from_millis(60);

/// Waits until files have changed, and for the end of the change: editors write in several steps.
async fn changed(session: &Session, args: &Args, seen: &Files) -> Vec<PathBuf> {
    loop {
        tokio::time::sleep(EVERY).await;
        let mut now = Files::of(session, args);
        if now == *seen {
            continue;
        }
        loop {
            tokio::time::sleep(QUIET).await;
            let later = Files::of(session, args);
            if later == now {
                return now.differing(seen);
            }
            now = later;
        }
    }
}

/// The first few names, and how many more.
fn listed(paths: &[PathBuf]) -> String {
    let names: Vec<String> = paths
        .iter()
        .take(3)
        .map(|path| {
            path.file_name()
                .unwrap_or(path.as_os_str())
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    match paths.len().saturating_sub(names.len()) {
        0 => names.join(", "),
        more => format!("{} and {more} more", names.join(", ")),
    }
}

/// Files, with when they were written and how long they are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Files {
    files: BTreeMap<PathBuf, (SystemTime, u64)>,
}

/// More files than this are no project.
const MOST: usize = 20_000;

impl Files {
    /// The template, the code and the pages.
    fn of(session: &Session, args: &Args) -> Self {
        let mut files = Self::default();
        if let Some(template) = find(&session.global, &session.env)
            .ok()
            .filter(|file| file.directory.is_some())
        {
            files.add(Path::new(&template.source.name));
        }
        // While the template is invalid, the working directory is watched.
        let folders = match session.project() {
            Ok(project) => {
                let websites = project.template.stack.buckets.iter().filter_map(|(name, bucket)| {
                    let website = bucket.website.as_ref()?;
                    Some(project.directory.join(website.source.as_deref().unwrap_or(name)))
                });
                websites
                    .chain([project.handlers(args.code.handlers.as_deref())])
                    .collect()
            }
            Err(_) => vec![session.env.directory.clone()],
        };
        for folder in args.code.artifacts.iter().chain(&folders) {
            files.walk(folder);
        }
        files
    }

    fn walk(&mut self, folder: &Path) {
        let Ok(entries) = fs::read_dir(folder) else {
            return;
        };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let is_skipped = name.to_string_lossy().starts_with('.') || name == "target" || name == "node_modules";
            if is_skipped || self.files.len() >= MOST {
                continue;
            }
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => self.walk(&entry.path()),
                Ok(kind) if kind.is_file() => self.add(&entry.path()),
                Ok(_) | Err(_) => {}
            }
        }
    }

    fn add(&mut self, path: &Path) {
        if let Ok(found) = fs::metadata(path) {
            let written = found.modified().unwrap_or(SystemTime::UNIX_EPOCH);
            self.files.insert(path.to_owned(), (written, found.len()));
        }
    }

    fn count(&self) -> u64 {
        u64::try_from(self.files.len()).unwrap_or(u64::MAX)
    }

    /// What is in one and not the same in the other.
    fn differing(&self, other: &Self) -> Vec<PathBuf> {
        let mut paths: Vec<PathBuf> = self
            .files
            .keys()
            .chain(other.files.keys())
            .filter(|path| self.files.get(*path) != other.files.get(*path))
            .cloned()
            .collect();
        paths.sort();
        paths.dedup();
        paths
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn what_was_saved_made_and_removed_differs() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in ["target/x", ".git/x", "src/kept.rs", "src/saved.rs", "src/removed.rs"] {
            fs::create_dir_all(at(name).parent().unwrap()).unwrap();
            fs::write(at(name), "1").unwrap();
        }
        let walk = || {
            let mut files = Files::default();
            files.walk(folder.path());
            files
        };
        let before = walk();
        assert_eq!(before.count(), 3);
        fs::write(at("src/saved.rs"), "22").unwrap();
        fs::write(at("src/made.rs"), "1").unwrap();
        fs::write(at("target/x"), "22").unwrap();
        fs::remove_file(at("src/removed.rs")).unwrap();
        let changed = walk().differing(&before);
        assert_eq!(changed, ["src/made.rs", "src/removed.rs", "src/saved.rs"].map(at));
        assert_eq!(listed(&changed), "made.rs, removed.rs, saved.rs");
        assert_eq!(
            listed(&[changed.clone(), changed].concat()),
            "made.rs, removed.rs, saved.rs and 3 more"
        );
    }
}
