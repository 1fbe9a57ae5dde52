//! `taskctl invoke`: one call of a function, with its answer and what it logged.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use clap_complete::ArgValueCandidates;
use jiff::Timestamp;
use serde_json::{Value, json};
use taskctl_local::gateway::SampleEvent;
use taskctl_stack::aws::client::context::Context;
use taskctl_stack::aws::kinds::apigateway::state::ApiState;
use taskctl_stack::aws::release::sight::Sight;
use taskctl_stack::engine::EngineError;
use taskctl_stack::observe::invoke::{self as observe, Invoked};
use taskctl_stack::observe::logs::LogEvent;

use crate::answers::InvokeResult;
use crate::cli::Output;
use crate::complete;
use crate::env::absolute;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::log_line::Line;
use crate::report::plan::Details;
use crate::report::{Lines, Purpose, json_answer};
use crate::session::{self, Invocation, Session};
use crate::ui::style::{Style, Tone};
use crate::ui::text::{plain, safe_json};

#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Logical name of the function
    #[arg(value_name = "FUNCTION", add = ArgValueCandidates::new(complete::functions))]
    function: String,
    /// File with the event as JSON; - for standard input
    #[arg(long, value_name = "FILE", conflicts_with = "route")]
    event: Option<PathBuf>,
    /// Send the event of this request, such as 'GET /counter'
    #[arg(long, value_name = "REQUEST")]
    route: Option<String>,
    /// Body of the --route request
    #[arg(long, value_name = "TEXT", requires = "route")]
    body: Option<String>,
    /// Invoke the version in preview instead of live
    #[arg(long)]
    preview: bool,
    /// Invoke the version of this release
    #[arg(long, value_name = "RELEASE", conflicts_with = "preview")]
    release: Option<u64>,
}

pub fn run(invocation: &Invocation, args: Args) -> Exit {
    session::run(invocation, Purpose::Answer, Details::Changes, async |session| {
        invoke(&session, &args).await
    })
}

async fn invoke(session: &Session, args: &Args) -> Result<Exit, Failure> {
    let event = event(args.event.as_deref())?;
    let line = args.route.as_deref().map(request_line).transpose()?;
    let stack_ref = session.stack_ref()?;
    let engine = session.connect_quietly(&stack_ref).await?;
    let context = engine.context();
    let Sight { gateway, facts } = session
        .unless_stopped(Sight::read(context))
        .await?
        .map_err(EngineError::from)?;
    let slot = if args.preview { &facts.preview } else { &facts.live };
    let release = args.release.or(slot.as_ref().and_then(|slot| slot.release));
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
                format!("function {} has no version in that release", args.function),
                match known.as_slice() {
                    [] => "`taskctl releases` lists the releases".to_owned(),
                    known => format!("functions in that release: {}", known.join(", ")),
                },
            )
        })?;
    let function = gateway.physical_name(&args.function);
    let payload = match line {
        Some(line) => {
            let mut variables = slot
                .as_ref()
                .map(|slot| slot.variables.as_map().clone())
                .unwrap_or_default();
            variables.extend(release.map(|release| ("release".to_owned(), release.to_string())));
            let state = ApiState::read(context).await.map_err(EngineError::from)?;
            let state = state.ok_or_else(|| {
                Failure::usage("the stack has no API, and so no routes", "give the event: --event FILE")
            })?;
            request(context, &state, variables, line, args.body.as_deref())?
        }
        None => event,
    };
    let calling = observe::invoke(context, &function, version, &payload);
    let Invoked {
        payload: body,
        log,
        error,
    } = session.unless_stopped(calling).await?.map_err(EngineError::from)?;
    let answer = InvokeResult {
        payload: serde_json::from_str(&body).unwrap_or_else(|_| json!(body)),
        error: error.clone(),
        version: version.clone(),
        function,
        ..InvokeResult::of_log(&log)
    };
    let text = match session.global.output {
        Output::Json => json_answer("the answer", &answer, Lines::Many)?,
        Output::Human | Output::Github => render(&answer, &args.function, &session.env.out),
    };
    session.reporter.answer(text);
    match error {
        None => Ok(Exit::Ok),
        Some(kind) => Err(Failure::new(
            Exit::Error,
            format!("{} failed ({kind})", args.function),
            format!("see `taskctl logs {}`", args.function),
        )),
    }
}

/// The log as `taskctl logs` shows it, then the answer.
fn render(answer: &InvokeResult, function: &str, style: &Style) -> String {
    let sources = BTreeSet::from([function.to_owned()]);
    let mut text = String::new();
    for message in &answer.log {
        let parsed: Value = serde_json::from_str(message).unwrap_or_default();
        let time = ["timestamp", "time"].into_iter().find_map(|name| parsed[name].as_str());
        let time: Option<Timestamp> = time.and_then(|time| time.parse().ok());
        let event = LogEvent {
            id: String::new(),
            source: function.to_owned(),
            stream: format!("[{}]", answer.version),
            timestamp: time.map_or(0, Timestamp::as_millisecond),
            message: message.clone(),
        };
        text.push_str(&match time {
            Some(_) => Line::of(&event).pretty(&event, &sources, style),
            None => format!("{}\n", style.paint(Tone::Faint, &plain(message))),
        });
    }
    text + &safe_json(&format!("{:#}\n", answer.payload))
}

/// The event of a file; an empty one when there is none.
fn event(path: Option<&Path>) -> Result<String, Failure> {
    let Some(path) = path else {
        return Ok("{}".to_owned());
    };
    let text = if path.as_os_str() == "-" {
        std::io::read_to_string(std::io::stdin())
    } else {
        std::fs::read_to_string(absolute(path))
    };
    let text = text.map_err(|error| Failure::io("reading", path, &error))?;
    // As some editors begin a file.
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    match serde_json::from_str::<Value>(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(Failure::usage(
            format!("{} is not valid JSON: {error}", path.display()),
            "the event must be a single JSON value",
        )),
    }
}

/// Method and path, with its query.
fn request_line(route: &str) -> Result<(&str, &str), Failure> {
    let (method, target) = route.split_once(' ').unwrap_or(("GET", route));
    match target.starts_with('/') {
        true => Ok((method, target)),
        false => Err(Failure::usage(
            format!("`{route}` is not a request"),
            "give a method and a path, such as 'GET /tasks?limit=5'",
        )),
    }
}

/// The event of a request, as the stack's API makes it.
fn request(
    context: &Context,
    state: &ApiState,
    variables: BTreeMap<String, String>,
    (method, target): (&str, &str),
    body: Option<&str>,
) -> Result<String, Failure> {
    let identity = context.identity();
    let keys = state.routes.iter().filter_map(|route| route.route_key.clone());
    let api = state.api.api_id.as_deref().unwrap_or_default();
    let sample = SampleEvent::new((&identity.account, &identity.region, api), keys, variables);
    let event = sample.event(&method.to_ascii_uppercase(), target, body, Timestamp::now());
    let event = event.map_err(|error| Failure::caused("the event cannot be serialized", &error, None))?;
    Ok(String::from_utf8_lossy(&event).into_owned())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::ui::style::lines;

    #[test]
    fn an_event_may_begin_with_a_byte_order_mark() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "\u{feff}{\"a\": 1}\r\n").unwrap();
        let read = event(Some(file.path())).map_err(|failure| failure.summary());
        assert_eq!(read, Ok("{\"a\": 1}\r\n".to_owned()));
        std::fs::write(file.path(), "\u{feff}{").unwrap();
        assert!(event(Some(file.path())).is_err());
    }

    #[test]
    fn an_answer_comes_with_its_log() {
        let log = [
            r#"{"time":"2026-03-01T12:00:00.100Z","type":"platform.start","record":{"requestId":"7f9c","version":"3"}}"#,
            r#"{"timestamp":"2026-03-01T12:00:00.110Z","level":"INFO","message":"request","route":"GET /counter","status":200,"durationMs":6.2,"coldStart":true,"release":4,"requestId":"8d7f"}"#,
            "not \u{1b}[31mJSON",
            r#"{"time":"2026-03-01T12:00:00.120Z","type":"platform.report","record":{"requestId":"7f9c","status":"success","metrics":{"durationMs":8.4,"billedDurationMs":21,"initDurationMs":12.1,"memorySizeMB":512,"maxMemoryUsedMB":18}}}"#,
        ];
        let answer = InvokeResult {
            version: "3".to_owned(),
            payload: json!({"statusCode": 200, "body": "{\"value\":7}"}),
            ..InvokeResult::of_log(&log.join("\n"))
        };
        assert_eq!((answer.duration_ms, answer.init_ms), (Some(8.4), Some(12.1)));
        lines("invoke", |style| render(&answer, "counter", style));
    }
}
