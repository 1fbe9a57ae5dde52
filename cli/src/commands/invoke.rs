//! `taskctl invoke`: one call of a function, with its answer and what it logged.

use std::path::PathBuf;

use clap::ValueEnum;
use serde_json::{Value, json};
use taskctl_stack::engine::EngineError;
use taskctl_stack::observe::invoke::{self as observe, Invoked};
use taskctl_stack::release::driver::look;
use taskctl_stack::release::movement::physical_name;

use crate::args::{Global, Output};
use crate::commands::status::named;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::look::Tone;
use crate::place::Place;
use crate::report::Purpose;
use crate::report::plan::Details;
use crate::report::text::plain;
use crate::session::{self, Session};
use crate::surroundings::absolute;

/// Arguments of `invoke`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Function, by its logical name.
    #[arg(value_name = "FUNCTION")]
    function: String,
    /// File with the event, JSON; - for standard input.
    #[arg(long, value_name = "FILE", conflicts_with = "route")]
    event: Option<PathBuf>,
    /// Make the event of a request, such as 'GET /counter'.
    #[arg(long, value_name = "REQUEST")]
    route: Option<String>,
    /// Body of the request of --route.
    #[arg(long, value_name = "TEXT", requires = "route")]
    body: Option<String>,
    /// Which version: that of live, or of preview.
    #[arg(long, value_enum, value_name = "SLOT", default_value = "live")]
    slot: Slot,
    /// The version of this release.
    #[arg(long, value_name = "RELEASE", conflicts_with = "slot")]
    release: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Slot {
    /// What users reach.
    Live,
    /// What waits.
    Preview,
}

/// Runs it.
pub fn run(global: &Global, args: Args) -> Exit {
    session::run(global, Purpose::Answer, Details::Changes, async |session| {
        invoke(&session, &args).await
    })
}

async fn invoke(session: &Session, args: &Args) -> Result<Exit, Failure> {
    let payload = payload(args)?;
    let named = named(session)?;
    let place = Place::of(&session.global, &session.surroundings);
    let engine = session.connect_quietly(&place, &named).await?;
    let context = engine.context();
    let (state, facts) = session
        .unless_stopped(look(context))
        .await?
        .map_err(EngineError::from)?;
    let release = match (args.release, args.slot) {
        (Some(release), _) => Some(release),
        (None, Slot::Live) => facts.live.as_ref().and_then(|slot| slot.release),
        (None, Slot::Preview) => facts.preview.as_ref().and_then(|slot| slot.release),
    };
    let label = release.and_then(|release| facts.releases.get(&release));
    let version = label
        .and_then(|label| label.versions.get(&args.function))
        .ok_or_else(|| {
            let known: Vec<&str> = label
                .into_iter()
                .flat_map(|label| label.versions.keys())
                .map(String::as_str)
                .collect();
            Failure::usage(
                format!("no version of {} is in that release", args.function),
                match known.as_slice() {
                    [] => "`taskctl releases` lists the releases".to_owned(),
                    known => format!("functions in it: {}", known.join(", ")),
                },
            )
        })?;
    let function = physical_name(context.identity(), &state, &args.function);
    let calling = observe::invoke(context, &function, version, &payload);
    let Invoked {
        payload: body,
        log,
        error,
    } = session.unless_stopped(calling).await?.map_err(EngineError::from)?;
    let parsed: Value = serde_json::from_str(&body).unwrap_or_else(|_| json!(body));
    let text = match session.global.output {
        Output::Json => {
            let lines: Vec<&str> = log.lines().collect();
            let told = json!({
                "function": function, "version": version, "error": error, "payload": parsed, "log": lines,
            });
            format!("{told:#}\n")
        }
        Output::Human | Output::Github => {
            let look = &session.surroundings.out;
            let mut text = String::new();
            for line in log.lines() {
                text.push_str(&format!("{}\n", look.paint(Tone::Faint, &plain(line))));
            }
            text + &format!("{parsed:#}\n")
        }
    };
    session.reporter.answer(text);
    match error {
        None => Ok(Exit::Ok),
        Some(kind) => Err(Failure::new(
            Exit::Error,
            format!("{} failed ({kind})", args.function),
            format!("taskctl logs {} says what it did before", args.function),
        )),
    }
}

fn payload(args: &Args) -> Result<String, Failure> {
    if let Some(route) = &args.route {
        return Ok(request(route, args.body.as_deref()).to_string());
    }
    let Some(path) = &args.event else {
        return Ok("{}".to_owned());
    };
    let text = if path.as_os_str() == "-" {
        std::io::read_to_string(std::io::stdin())
    } else {
        std::fs::read_to_string(absolute(path))
    };
    let text = text.map_err(|error| Failure::io("reading", path, &error))?;
    match serde_json::from_str::<Value>(&text) {
        Ok(_) => Ok(text),
        Err(error) => Err(Failure::usage(
            format!("{} is no JSON: {error}", path.display()),
            "an event is one JSON value",
        )),
    }
}

/// The event of a request, as an HTTP API makes it (payload format 2.0).
/// <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html>
fn request(route: &str, body: Option<&str>) -> Value {
    let (method, target) = route.split_once(' ').unwrap_or(("GET", route));
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let parameters: serde_json::Map<String, Value> = query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (name.to_owned(), json!(value)))
        .collect();
    let mut event = json!({
        "version": "2.0",
        "routeKey": format!("{method} {path}"),
        "rawPath": path,
        "rawQueryString": query,
        "headers": {"content-type": "application/json", "host": "taskctl-invoke", "user-agent": "taskctl"},
        "stageVariables": {"release": "0", "color": "blue"},
        "requestContext": {
            "accountId": "000000000000", "apiId": "taskctl-invoke", "domainName": "taskctl-invoke", "domainPrefix": "taskctl",
            "http": {"method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "127.0.0.1", "userAgent": "taskctl"},
            "requestId": "taskctl-invoke", "routeKey": format!("{method} {path}"), "stage": "$default",
            "time": "01/Jan/2026:00:00:00 +0000", "timeEpoch": 1_767_225_600_000_i64,
        },
        "isBase64Encoded": false,
    });
    if !parameters.is_empty() {
        event["queryStringParameters"] = Value::Object(parameters);
    }
    if let Some(body) = body {
        event["body"] = json!(body);
    }
    event
}
