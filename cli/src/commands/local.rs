//! `taskctl local`: the local target by itself.

mod env;

use taskctl_local::{
    Ended, LocalOptions, LocalState, LocalStatus, PartState, ServeSettings, down, fire, list, reset, serve, status,
};
use taskctl_stack::event::Event;
use tokio::runtime::Builder;

use crate::cli::Output;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::report::plan::Details;
use crate::report::{Lines, Purpose, direct, json_answer};
use crate::session::{self, Invocation, Session};
use crate::target;
use crate::ui::clock;
use crate::ui::confirm::{Confirmation, Expected, Place, Unattended};
use crate::ui::style::{Style, Tone};
use crate::ui::table::{Cell, table};
use crate::ui::text::{plain, wrap};

pub const EXAMPLES: &str = "\
Examples:
  taskctl local up
  taskctl local status
  taskctl local list
  eval \"$(taskctl local env)\" && aws dynamodb list-tables
  taskctl local fire nightly
  taskctl local reset --yes";

#[derive(Debug, Clone, clap::Subcommand)]
pub enum Command {
    /// Start the local target; install the emulator on first use
    Up,
    /// Stop the local target; keep its data
    Down,
    /// Show whether the local target is running, and its URLs
    Status,
    /// List your local targets: which projects have one, whether it is running, and its ports
    List,
    /// Stop the local target and delete its data: tables, objects, functions, APIs, logs
    Reset,
    /// Print environment variables for other AWS clients: eval "$(taskctl local env)"
    Env(env::Args),
    /// Fire a schedule now, whether it is due or not
    Fire {
        /// Name of the schedule on AWS, or the one in the template where no other ends with it
        schedule: String,
    },
    /// Run the background process
    #[command(hide = true)]
    Serve {
        /// What to serve, in JSON
        settings: ServeSettings,
    },
}

pub fn run(invocation: &Invocation, command: Command) -> Exit {
    match command {
        Command::Serve { settings } => background(invocation, settings),
        Command::Up
        | Command::Down
        | Command::Status
        | Command::List
        | Command::Reset
        | Command::Fire { .. }
        | Command::Env(_) => {
            let purpose = match command {
                Command::Up | Command::Status | Command::List | Command::Env(_) => Purpose::Answer,
                _ => Purpose::Change,
            };
            session::run(invocation, purpose, Details::Changes, async |session| {
                let options = target::local_options(&session.global, &session.env);
                match command {
                    Command::Env(args) => env::run(&session, &options, &args).await,
                    Command::Up => {
                        let events = session.events();
                        let up = target::up(&options, &events);
                        let status = session.unless_stopped(up).await??;
                        answer(&session, &status)
                    }
                    Command::List => show_all(&session, &list(&options.cache).await?),
                    Command::Down => end(&session, &options).await,
                    Command::Fire { schedule } => {
                        let arn = fire(&options, &schedule).await?;
                        report(&session, &format!("fired {arn}"));
                        Ok(Exit::Ok)
                    }
                    Command::Reset => start_over(&session, &options).await,
                    Command::Status | Command::Serve { .. } => answer(&session, &status(&options).await),
                }
            })
        }
    }
}

/// The background process. It has signals and a log of its own.
fn background(invocation: &Invocation, settings: ServeSettings) -> Exit {
    let served =
        session::runtime(&mut Builder::new_multi_thread()).and_then(|runtime| Ok(runtime.block_on(serve(settings))?));
    match served {
        Ok(()) => Exit::Ok,
        Err(failure) => direct::fail(&invocation.env, &failure),
    }
}

async fn end(session: &Session, options: &LocalOptions) -> Result<Exit, Failure> {
    let ended = session.unless_stopped(down(options)).await??;
    report(
        session,
        match ended {
            Ended::Stopped => "the local target was stopped; its data is kept",
            Ended::WasStopped => "the local target was not running",
        },
    );
    Ok(Exit::Ok)
}

async fn start_over(session: &Session, options: &LocalOptions) -> Result<Exit, Failure> {
    let confirmation = Confirmation {
        question: "Delete all local tables, objects and releases?".to_owned(),
        expected: Expected::Yes,
        unattended: Unattended::Refuse(
            "deleting all local tables, objects and releases needs confirmation, and there is no terminal to ask on"
                .to_owned(),
        ),
    };
    session.confirm_change(&Place::Local, confirmation).await?;
    reset(options).await?;
    report(session, "the local target was stopped and its data deleted");
    Ok(Exit::Ok)
}

/// Reports what was done; programs get an event.
fn report(session: &Session, message: &str) {
    match session.global.output {
        Output::Json => session.reporter.emit(Event::Note {
            message: message.to_owned(),
        }),
        Output::Human | Output::Github => session.reporter.answer(format!("{message}\n")),
    }
}

/// Answers with the status; one that is not whole is an error for scripts.
fn answer(session: &Session, status: &LocalStatus) -> Result<Exit, Failure> {
    let text = match session.global.output {
        Output::Json => json_answer("the status", status, Lines::Many)?,
        Output::Human | Output::Github => render(status, &session.env.out),
    };
    session.reporter.answer(text);
    Ok(match status.state {
        LocalState::Running | LocalState::Starting | LocalState::Stopped => Exit::Ok,
        LocalState::Degraded | LocalState::NotAnswering => Exit::CheckFailed,
    })
}

/// Answers with all local targets of the user.
fn show_all(session: &Session, targets: &[LocalStatus]) -> Result<Exit, Failure> {
    let text = match session.global.output {
        Output::Json => json_answer("the local targets", &targets, Lines::Many)?,
        Output::Human | Output::Github => render_all(targets, &session.env.out),
    };
    session.reporter.answer(text);
    Ok(Exit::Ok)
}

fn render_all(targets: &[LocalStatus], style: &Style) -> String {
    if targets.is_empty() {
        return "no local targets yet; `taskctl local up` starts one\n".to_owned();
    }
    let mut table = table(style, &["state", "process", "AWS", "sites", "APIs", "data in"]);
    for target in targets {
        let (tone, word) = state_in_words(target.state);
        table.add_row([
            Cell::toned(tone, word),
            target.pid.map_or_else(|| "-".to_owned(), |pid| pid.to_string()).into(),
            target.ports.endpoint.to_string().into(),
            target.ports.websites.to_string().into(),
            format!("{}+", target.ports.first_api).into(),
            plain(&target.root.display().to_string()).into(),
        ]);
    }
    table.to_string()
}

fn state_in_words(state: LocalState) -> (Tone, &'static str) {
    match state {
        LocalState::Stopped => (Tone::Faint, "not running"),
        LocalState::Starting => (Tone::Warn, "starting"),
        LocalState::Running => (Tone::Good, "running"),
        LocalState::Degraded => (Tone::Bad, "running, but a component is down"),
        LocalState::NotAnswering => (Tone::Bad, "not responding"),
    }
}

fn render(status: &LocalStatus, style: &Style) -> String {
    let (tone, word) = state_in_words(status.state);
    let pid = status.pid.map(|pid| format!(" (process {pid})")).unwrap_or_default();
    let mut out = format!("local    {}{pid}\n", style.paint(tone, word));
    if status.state == LocalState::Stopped {
        out.push_str(&format!("data in  {}\n", status.root.display()));
        return out;
    }
    out.push_str(&format!("AWS      {}\n", style.paint(Tone::Copy, &status.endpoint_url)));
    for api in &status.apis {
        out.push_str(&format!(
            "API      {}  {} ({})\n",
            style.paint(Tone::Copy, &plain(&api.url)),
            plain(&api.name),
            api.region
        ));
    }
    for (bucket, url) in &status.websites {
        out.push_str(&format!(
            "site     {}  {}\n",
            style.paint(Tone::Copy, &plain(url)),
            plain(bucket)
        ));
    }
    out.push_str(&format!("data in  {}\n", status.root.display()));
    if !status.parts.is_empty() {
        let mut table = table(style, &["component", "state", "port", "process", ""]);
        for part in &status.parts {
            let state = match part.state {
                PartState::Starting => "starting",
                PartState::Running => "running",
                PartState::Failed => "failed",
            };
            let number = |number: Option<String>| number.unwrap_or_else(|| "-".to_owned());
            table.add_row([
                plain(&part.name),
                state.to_owned(),
                number(part.port.map(|port| port.to_string())),
                number(part.pid.map(|pid| pid.to_string())),
                plain(part.message.as_deref().unwrap_or_default()),
            ]);
        }
        out.push_str(&format!("\n{table}"));
    }
    for incident in &status.incidents {
        let at = incident.at.parse().map_or_else(|_| incident.at.clone(), clock::full);
        let text = format!("{at} {}: {}", incident.part, incident.message);
        for line in wrap(&text, style.width) {
            out.push_str(&format!("{}\n", style.paint(Tone::Warn, &line)));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::style::screens;

    #[test]
    fn the_local_target_fits_on_a_screen() {
        let part = |name: &str, state: &str, message: Option<&str>| serde_json::json!({"name": name, "pid": 4711, "port": 4581, "state": state, "message": message});
        let status = serde_json::json!({
            "state": "degraded", "endpoint_url": "http://127.0.0.1:4580", "root": "/home/ada/.local/share/taskctl", "pid": 4242,
            "version": "0.1.0", "started": "2026-03-01T12:00:00Z",
            "parts": [part("endpoint", "running", None), part("emulator", "failed", Some("ended with code 1; it is started again"))],
            "apis": [{"id": "a1b2c3", "name": "shop-dev", "region": "eu-central-1", "url": "http://127.0.0.1:4580/_api/a1b2c3"}],
            "websites": {"shop-dev-site": "http://127.0.0.1:4590/shop-dev-site/"},
            "incidents": [{"at": "2026-03-01T12:03:00Z", "part": "emulator", "message": "it ended with code 1 and was started again; what it held is kept"}],
        });
        let status: LocalStatus = serde_json::from_value(status).unwrap_or_else(|error| panic!("{error}"));
        screens("local_status", |style| render(&status, style));
    }

    #[test]
    fn local_targets_are_listed() {
        let target = |state: &str, root: &str, pid: Option<u32>, offset: u16| {
            let status = serde_json::json!({
                "state": state, "endpoint_url": "", "root": root, "pid": pid, "version": null, "started": null,
                "ports": {"endpoint": 4580 + offset, "websites": 1580 + offset, "first_api": 4600 + offset * 100},
                "parts": [], "apis": [], "websites": {}, "incidents": [],
            });
            serde_json::from_value::<LocalStatus>(status).unwrap_or_else(|error| panic!("{error}"))
        };
        let targets = [
            target("running", "/home/ada/shop/.taskctl/local", Some(4711), 0),
            target("stopped", "/home/ada/blog/.taskctl/local", None, 1),
        ];
        screens("local_list", |style| render_all(&targets, style));
        assert!(render_all(&[], &Style::PLAIN).contains("taskctl local up"));
    }
}
