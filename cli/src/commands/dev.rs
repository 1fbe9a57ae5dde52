//! `taskctl dev`: the local target follows the files. A saved change is served right after its build.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use taskctl_stack::event::Event;
use taskctl_stack::package::functions_of;

use crate::cli::{CodeArgs, Output, PromotionArgs};
use crate::deployment::{Request, deploy};
use crate::env::absolute;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::log_view::follow_all;
use crate::project::find;
use crate::report::Purpose;
use crate::report::plan::Details;
use crate::session::{self, Invocation, Session};
use crate::ui::text::count;
use crate::watch::{Files, Watch};

const EXAMPLES: &str = "\
Examples:
  taskctl dev
  taskctl dev -f platform --no-logs";

#[derive(Debug, Clone, clap::Args)]
#[command(after_help = EXAMPLES)]
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
        let (began, before) = (SystemTime::now(), watch(session, args).await.files());
        session.begin_round();
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
        // Only a build says all that it reads.
        let watch = watch(session, args).await;
        let seen = watch.files().seen_by(&before, began);
        session.reporter.emit(Event::Note {
            message: format!("watching {} for changes", count(seen.count(), "file")),
        });
        let Ok(changed) = session.unless_stopped(changed(&watch, &seen)).await else {
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
async fn changed(watch: &Watch, seen: &Files) -> Vec<PathBuf> {
    loop {
        tokio::time::sleep(EVERY).await;
        let mut now = watch.files();
        if now == *seen {
            continue;
        }
        loop {
            tokio::time::sleep(QUIET).await;
            let later = watch.files();
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

/// What the deploy is made of: the template, the code and the pages.
async fn watch(session: &Session, args: &Args) -> Watch {
    let template = find(&session.global, &session.env)
        .ok()
        .filter(|file| file.directory.is_some());
    let mut watch = Watch::file(
        template
            .as_ref()
            .map_or(Path::new(""), |file| Path::new(&file.source.name)),
    );
    if let Some(artifacts) = &args.code.artifacts {
        watch.folder(absolute(artifacts));
    }
    // While the template is invalid, it alone counts.
    let Ok(project) = session.project() else {
        return watch;
    };
    let stack = &project.template.stack;
    for (name, bucket) in &stack.buckets {
        if let Some(website) = &bucket.website {
            watch.folder(project.directory.join(website.source.as_deref().unwrap_or(name)));
        }
    }
    if args.code.artifacts.is_none() {
        let mut binaries = BTreeSet::new();
        for function in functions_of(stack) {
            match function.code {
                Some(code) => watch.folder(project.directory.join(code.path)),
                None => drop(binaries.insert(function.binary)),
            }
        }
        if binaries.is_empty() {
            return watch;
        }
        let handlers = project.handlers(args.code.build.handlers.as_deref());
        watch.code(&session.env.cargo(&handlers), binaries).await;
    }
    watch
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_few_changes_are_named() {
        let paths: Vec<PathBuf> = ["src/a.rs", "b.rs", "c.rs", "d.rs", "e.rs"].map(PathBuf::from).into();
        assert_eq!(listed(&paths[..3]), "a.rs, b.rs, c.rs");
        assert_eq!(listed(&paths), "a.rs, b.rs, c.rs and 2 more");
    }
}
