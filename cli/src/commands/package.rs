//! `taskctl package`: the functions' zips, for every stage the same.

use std::path::PathBuf;

use taskctl_stack::event::{Endpoints, Outcome};
use taskctl_stack::package::{PackageError, write_artifacts};

use crate::cli::{BuildArgs, Output};
use crate::code_source::CodeSource;
use crate::env::absolute;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::report::Purpose;
use crate::report::plan::Details;
use crate::session::{self, Invocation, Session};
use crate::ui::table::table;
use crate::ui::text::size;

#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Write the packages and their manifest here, for `deploy --artifacts`
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    #[command(flatten)]
    build: BuildArgs,
}

pub fn run(invocation: &Invocation, args: Args) -> Exit {
    session::run(invocation, Purpose::Package, Details::Changes, async |session| {
        package(&session, &args).await
    })
}

async fn package(session: &Session, args: &Args) -> Result<Exit, Failure> {
    let project = session.project()?;
    let code = CodeSource::build(&project, &args.build, session.target.destination(), &session.env);
    let version = code.version().await;
    let events = session.events();
    let mut packages = tokio::select! {
        packages = code.packages(&events) => packages.map_err(|error| project.failure(error.into()))?,
        () = session.cancel.cancelled() => return Err(PackageError::Interrupted.into()),
    };
    if let Some(out) = &args.out {
        packages = write_artifacts(&absolute(out), &packages, version)?;
    }
    session.finished(Outcome::Done, 0, Endpoints::default());
    if session.global.output == Output::Human {
        let mut table = table(&session.env.out, &["function", "arch", "zip", "CodeSha256"]);
        for package in &packages {
            let architecture = serde_json::to_value(package.architecture).unwrap_or_default();
            table.add_row([
                package.function.clone(),
                architecture.as_str().unwrap_or_default().to_owned(),
                size(package.zip_bytes),
                package.code_sha256.clone(),
            ]);
        }
        session.reporter.answer(table.to_string());
    }
    Ok(Exit::Ok)
}
