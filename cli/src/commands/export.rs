//! `taskctl export`: what other tools need to know of a stack.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use taskctl_checks::{OPENAPI, collection, environment};
use taskctl_stack::aws::policy::deployer::{Commands, MANAGED_LIMIT, alike, amounts_to};
use taskctl_stack::aws::policy::document::{Document, Fault, INLINE_LIMIT};
use taskctl_stack::engine::PlanInputs;
use taskctl_stack::event::{Endpoints, Event};
use taskctl_stack::template::model::Stack;

use crate::cli::{CheckArgs, Output};
use crate::env::absolute;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::file::{self, Readers};
use crate::promotion_gate::PromotionGate;
use crate::report::Purpose;
use crate::report::plan::Details;
use crate::session::{self, Invocation, Session};
use crate::stack_ref::StackRef;

/// What is exported.
#[derive(Debug, Clone, clap::Subcommand)]
pub enum Command {
    /// Print the OpenAPI 3.1 document of the template's routes, with the live URL; JSON with --output json
    Openapi,
    /// Print the IAM policy needed to run taskctl on this stack
    Policy {
        /// Commands to allow
        #[arg(
            long = "for",
            value_name = "COMMANDS",
            value_enum,
            value_delimiter = ',',
            default_value = "deploy,destroy"
        )]
        commands: Vec<Permitted>,
        /// Write into this directory instead, one file per managed policy needed
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
    },
    /// Print the bucket policy of the control bucket, which holds locks and release records
    ControlBucketPolicy,
    /// Print the request checks as a Postman collection, with environments for live and preview
    Postman {
        /// Write the collection and its environments into this directory instead of printing the collection
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
        #[command(flatten)]
        checks: CheckArgs,
    },
}

/// Commands that take the same permissions.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub enum Permitted {
    /// Read-only: `plan`, `status`, `releases`, `logs`, `metrics`, `alarms`, `doctor`, `check --security`, `export`
    Read,
    /// `deploy`, and everything in read and release
    Deploy,
    /// `promote`, `rollback`, `prune`, `invoke`, and everything in read
    Release,
    /// `destroy`, and everything in read
    Destroy,
}

impl From<Permitted> for Commands {
    fn from(permitted: Permitted) -> Self {
        match permitted {
            Permitted::Read => Self::Read,
            Permitted::Deploy => Self::Deploy,
            Permitted::Release => Self::Release,
            Permitted::Destroy => Self::Destroy,
        }
    }
}

pub fn run(invocation: &Invocation, command: Command) -> Exit {
    session::run(invocation, Purpose::Answer, Details::Changes, async |session| {
        let text = match &command {
            Command::Openapi => openapi(&session).await?,
            Command::Policy { commands, out } => policy(&session, commands, out.as_deref()).await?,
            Command::ControlBucketPolicy => control_bucket_policy(&session).await?,
            Command::Postman { out, checks } => postman(&session, out.as_deref(), checks).await?,
        };
        session.reporter.answer(text);
        Ok(Exit::Ok)
    })
}

async fn openapi(session: &Session) -> Result<String, Failure> {
    let project = session.project()?;
    let endpoints = endpoints(session).await?;
    let mut document: Value = serde_yaml::from_str(OPENAPI)
        .map_err(|error| Failure::caused("the OpenAPI document cannot be parsed", &error, None))?;
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

async fn control_bucket_policy(session: &Session) -> Result<String, Failure> {
    let stack_ref = session.stack_ref()?;
    let engine = session.connect_quietly(&stack_ref).await?;
    let policy = engine.control().policy(engine.context().identity());
    printed(&policy)
}

/// A policy for people and for `aws … --policy`.
fn printed(policy: &Document) -> Result<String, Failure> {
    let document: Value = serde_json::from_str(&policy.to_json())
        .map_err(|error| Failure::caused("the policy cannot be serialized", &error, None))?;
    Ok(format!("{document:#}\n"))
}

async fn policy(session: &Session, commands: &[Permitted], out: Option<&Path>) -> Result<String, Failure> {
    let project = session.project()?;
    let stack = &project.template.stack;
    let stack_ref = StackRef::of(stack);
    let engine = session.connect_quietly(&stack_ref).await?;
    let commands: BTreeSet<Commands> = commands.iter().copied().map(Commands::from).collect();
    let inputs = PlanInputs {
        stack,
        website_url: &|_| String::new(),
        commit: None,
        go_live: None,
        sites: BTreeMap::new(),
    };
    let policy = session.unless_stopped(engine.policy(&commands, &inputs)).await??;
    for message in amounts_to(&commands, stack) {
        session.reporter.emit(Event::Warning { message });
    }
    let alike = alike(&stack.stage, project.template.stages.iter().map(String::as_str));
    if !alike.is_empty() {
        let message = format!(
            "resource names of stage {} start like those of {}: where IAM cannot see the tags of a resource, this policy also \
             allows reading (but never changing) theirs",
            alike.join(", "),
            stack.stage
        );
        session.reporter.emit(Event::Note { message });
    }
    if let Some(directory) = out {
        let mut written = String::new();
        for (number, part) in parts(&policy).into_iter().enumerate() {
            let text = printed(&part)?;
            let path = directory.join(format!("policy-{}.json", number + 1));
            fs::create_dir_all(directory).map_err(|error| Failure::io("making", directory, &error))?;
            file::write(&path, text.as_bytes(), Readers::Usual)?;
            written.push_str(&format!("{}\n", path.display()));
        }
        return Ok(written);
    }
    if let Err(Fault::Length { length, limit }) = policy.lint(MANAGED_LIMIT) {
        let message = format!(
            "the policy has {length} characters, more than the {limit} of a managed policy: `--out DIR` splits it; inline \
             policies of a role may have {INLINE_LIMIT}"
        );
        session.reporter.emit(Event::Note { message });
    }
    printed(&policy)
}

/// The policy as documents of which each fits into a managed policy.
fn parts(policy: &Document) -> Vec<Document> {
    let mut parts: Vec<Document> = Vec::new();
    for (sid, statement) in policy.statements() {
        let one = Document::new([(sid.clone(), statement.clone())]);
        let room = parts.iter_mut().find_map(|part| {
            let both = part.with(&one);
            both.lint(MANAGED_LIMIT).is_ok().then_some((part, both))
        });
        match room {
            Some((part, both)) => *part = both,
            None => parts.push(one),
        }
    }
    parts
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

async fn postman(session: &Session, out: Option<&Path>, checks: &CheckArgs) -> Result<String, Failure> {
    let gate = PromotionGate::open(session, checks)?;
    let stack_ref = session.stack_ref()?;
    let stage = &session.global.target.stage;
    let collection = collection(&stack_ref.app, &gate.suites);
    let Some(out) = out else {
        return Ok(format!("{collection:#}\n"));
    };
    let endpoints = endpoints(session).await?;
    let (Some(live), Some(preview)) = (endpoints.live, endpoints.preview) else {
        return Err(Failure::new(
            Exit::Error,
            format!("{}/{stage} has no URL yet for an environment", stack_ref.app),
            "create it with `taskctl deploy`; without --out only the collection is printed",
        ));
    };
    let out = absolute(out);
    fs::create_dir_all(&out).map_err(|error| Failure::io("making", &out, &error))?;
    let environments = [("live", live), ("preview", preview)].map(|(slot, url)| {
        let name = format!("{} {stage} {slot}", stack_ref.app);
        (
            format!("{stage}-{slot}.postman_environment.json"),
            environment(&name, &url),
        )
    });
    let files = std::iter::once((format!("{}.postman_collection.json", stack_ref.app), collection)).chain(environments);
    let mut told = String::new();
    for (name, value) in files {
        let path = out.join(name);
        file::write(&path, format!("{value:#}\n").as_bytes(), Readers::Usual)?;
        told.push_str(&format!("wrote {}\n", path.display()));
    }
    Ok(told)
}

/// Where the stack answers; nowhere before its first deploy.
async fn endpoints(session: &Session) -> Result<Endpoints, Failure> {
    let stack_ref = session.stack_ref()?;
    let engine = session.connect_quietly(&stack_ref).await?;
    Ok(session.unless_stopped(engine.endpoints(None)).await??)
}
