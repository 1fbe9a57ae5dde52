//! `taskctl export`: what other tools need to know of a stack.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use taskctl_checks::{OPENAPI, collection, environment};
use taskctl_stack::event::Endpoints;
use taskctl_stack::template::model::Stack;

use crate::args::{Checks, Global, Output};
use crate::commands::status::named;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::gate::Gate;
use crate::place::Place;
use crate::project::Project;
use crate::report::Purpose;
use crate::report::plan::Details;
use crate::session::{self, Session};
use crate::surroundings::absolute;

/// What is exported.
#[derive(Debug, Clone, clap::Subcommand)]
pub enum Command {
    /// The OpenAPI 3.1 document of the routes that the template has, with the live URL; JSON with `--output json`.
    Openapi,
    /// The request checks as a Postman collection, with environments for live and preview.
    Postman {
        /// Write the collection and the environments into this folder instead of printing the collection.
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
        #[command(flatten)]
        checks: Checks,
    },
}

/// Runs it.
pub fn run(global: &Global, command: Command) -> Exit {
    session::run(global, Purpose::Plan, Details::Changes, async |session| {
        let text = match &command {
            Command::Openapi => openapi(&session).await?,
            Command::Postman { out, checks } => postman(&session, out.as_deref(), checks).await?,
        };
        session.reporter.answer(text);
        Ok(Exit::Ok)
    })
}

async fn openapi(session: &Session) -> Result<String, Failure> {
    let project = Project::open(&session.global, &session.surroundings)?;
    let endpoints = endpoints(session).await?;
    let mut document: Value = serde_yaml::from_str(OPENAPI)
        .map_err(|error| Failure::caused("the API's document cannot be read", &error, None))?;
    narrow(&mut document, &project.template.stack);
    document["info"]["title"] = json!(format!("{} API", project.template.stack.app));
    if let Some(live) = endpoints.live {
        let mut servers = vec![json!({"url": live, "description": "live"})];
        servers.extend(
            endpoints
                .preview
                .map(|url| json!({"url": url, "description": "preview"})),
        );
        document["servers"] = json!(servers);
    }
    Ok(match session.global.output {
        Output::Json => format!("{document:#}\n"),
        Output::Human | Output::Github => serde_yaml::to_string(&document)
            .map_err(|error| Failure::caused("the document cannot be written as YAML", &error, None))?,
    })
}

/// Leaves the routes that the stack has.
fn narrow(document: &mut Value, stack: &Stack) {
    let routes: Vec<&str> = stack
        .api
        .iter()
        .flat_map(|api| &api.routes)
        .map(|route| route.key.as_str())
        .collect();
    let Some(paths) = document["paths"].as_object_mut() else {
        return;
    };
    for (path, operations) in paths.iter_mut() {
        let Some(operations) = operations.as_object_mut() else {
            continue;
        };
        operations.retain(|method, _| {
            let key = format!("{} {path}", method.to_uppercase());
            method == "parameters" || routes.contains(&key.as_str())
        });
    }
    paths.retain(|_, operations| {
        operations
            .as_object()
            .is_some_and(|all| all.keys().any(|key| key != "parameters"))
    });
    let tags: Vec<Value> = paths
        .values()
        .filter_map(Value::as_object)
        .flat_map(|operations| operations.values())
        .filter_map(|operation| operation["tags"][0].as_str())
        .fold(Vec::new(), |mut seen, tag| {
            if !seen.contains(&tag) {
                seen.push(tag);
            }
            seen
        })
        .into_iter()
        .map(|tag| json!({"name": tag}))
        .collect();
    document["tags"] = json!(tags);
}

async fn postman(session: &Session, out: Option<&Path>, checks: &Checks) -> Result<String, Failure> {
    let gate = Gate::open(session, checks)?;
    let named = named(session)?;
    let stage = &session.global.stage;
    let collection = collection(&named.app, &gate.suites);
    let Some(out) = out else {
        return Ok(format!("{collection:#}\n"));
    };
    let endpoints = endpoints(session).await?;
    let (Some(live), Some(preview)) = (endpoints.live, endpoints.preview) else {
        return Err(Failure::new(
            Exit::Error,
            format!("{}/{stage} has no URL yet that an environment could name", named.app),
            "`taskctl deploy` makes it; without --out the collection alone is printed",
        ));
    };
    let out = absolute(out);
    fs::create_dir_all(&out).map_err(|error| Failure::io("making", &out, &error))?;
    let environments = [("live", live), ("preview", preview)].map(|(slot, url)| {
        let name = format!("{} {stage} {slot}", named.app);
        (
            format!("{stage}-{slot}.postman_environment.json"),
            environment(&name, &url),
        )
    });
    let files = std::iter::once((format!("{}.postman_collection.json", named.app), collection)).chain(environments);
    let mut told = String::new();
    for (name, value) in files {
        let path = out.join(name);
        fs::write(&path, format!("{value:#}\n")).map_err(|error| Failure::io("writing", &path, &error))?;
        told.push_str(&format!("wrote {}\n", path.display()));
    }
    Ok(told)
}

/// Where the stack answers; nowhere before its first deploy.
async fn endpoints(session: &Session) -> Result<Endpoints, Failure> {
    let named = named(session)?;
    let place = Place::of(&session.global, &session.surroundings);
    let engine = session.connect_quietly(&place, &named).await?;
    Ok(session.unless_stopped(engine.endpoints(None)).await??)
}
