//! `taskctl releases`: the history.

use taskctl_stack::release::history::{Release, State};
use taskctl_stack::release::record::who;

use crate::cli::Output;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::report::plan::Details;
use crate::report::{Lines, Purpose, json_answer};
use crate::session::{self, Invocation, Session};
use crate::ui::clock::{local, zone_name};
use crate::ui::style::{Style, Tone};
use crate::ui::table::{Cell, table};
use crate::ui::text::{cut, duration, plain};

pub fn run(invocation: &Invocation) -> Exit {
    session::run(invocation, Purpose::Answer, Details::Changes, async |session| {
        show(&session).await
    })
}

async fn show(session: &Session) -> Result<Exit, Failure> {
    let stack_ref = session.stack_ref()?;
    let engine = session.connect_quietly(&stack_ref).await?;
    let releases = session.unless_stopped(engine.releases()).await??;
    let text = match session.global.output {
        Output::Json => json_answer("the releases", &releases, Lines::Many)?,
        Output::Human | Output::Github => render(&releases, &session.env.out),
    };
    session.reporter.answer(text);
    Ok(Exit::Ok)
}

/// Columns from which on there is room for the year and the duration.
const WIDE: usize = 110;

/// The releases as a table.
pub fn render(releases: &[Release], style: &Style) -> String {
    let is_narrow = style.width < WIDE;
    let heads = [
        "release",
        "state",
        "commit",
        "deployed",
        "by",
        "changes",
        "moved live",
        "took",
    ];
    let columns = if is_narrow { heads.len() - 1 } else { heads.len() };
    let newest = releases.iter().filter_map(|one| one.at).max();
    // The zone is named once.
    let deployed = newest.map_or("deployed".to_owned(), |at| format!("deployed {}", zone_name(at)));
    let heads = heads.map(|head| if head == "deployed" { deployed.as_str() } else { head });
    let mut table = table(style, &heads[..columns]);
    for one in releases {
        let tone = match one.state {
            State::Live => Tone::Good,
            State::Waiting => Tone::Warn,
            State::Previous | State::Kept => Tone::Strong,
            State::Gone => Tone::Faint,
        };
        let changes = one.changes.map_or("-".to_owned(), |counts| {
            let parts = [
                ("+", counts.create),
                ("~", counts.update),
                ("±", counts.replace),
                ("-", counts.delete),
            ];
            let told: Vec<String> = parts
                .into_iter()
                .filter(|(_, count)| *count > 0)
                .map(|(sign, count)| format!("{sign}{count}"))
                .collect();
            if told.is_empty() {
                "none".to_owned()
            } else {
                told.join(" ")
            }
        });
        let moved = one.moves.last().map_or("-".to_owned(), |last| {
            // The reason is in `--output json`; here it would leave no room.
            let end = last.end.split(':').next().unwrap_or_default();
            let at = local(last.at).strftime("%m-%d %H:%M");
            format!("{at} {}", plain(end))
        });
        let text = |value: &Option<String>| value.as_ref().map_or("-".to_owned(), |text| plain(text));
        let user = one.user.as_deref();
        let user = user.map(|user| who(user, one.principal.as_deref()).to_owned());
        let form = if is_narrow { "%m-%d %H:%M" } else { "%Y-%m-%d %H:%M" };
        let cells = [
            Cell::from(format!("{}", one.release)),
            Cell::toned(tone, one.state.as_str()),
            Cell::from(text(&one.commit)),
            Cell::from(one.at.map_or("-".to_owned(), |at| local(at).strftime(form).to_string())),
            Cell::from(cut(&text(&user), if is_narrow { 10 } else { 20 })),
            Cell::from(changes),
            Cell::from(moved),
            Cell::from(one.millis.map_or("-".to_owned(), duration)),
        ];
        table.add_row(cells.into_iter().take(columns));
    }
    table.to_string()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::ui::style::screens;

    #[test]
    fn the_history_fits() {
        let release = |release: u64, state: &str, end: &str| {
            serde_json::json!({
                "release": release, "state": state, "commit": "1a2b3c4d+", "user": "ada.lovelace", "at": "2026-03-01T12:01:00Z",
                "millis": 12_400, "changes": {"create": 2, "update": 3, "replace": 0, "delete": 1, "unchanged": 70, "kept": 0},
                "moves": [{
                    "from": release - 1, "to": release, "cause": "promote", "end": end, "user": "ada.lovelace",
                    "at": "2026-03-01T12:02:00Z", "millis": 900, "fence": 7,
                }],
            })
        };
        let gone = serde_json::json!({
            "release": 40, "state": "gone", "commit": null, "user": null, "at": null, "millis": null, "changes": null, "moves": [],
        });
        let all = serde_json::json!([
            release(43, "waiting", "stopped: p99 of tasks is 511 ms, before it was 145 ms"),
            release(42, "live", "live"),
            release(41, "previous", "live"),
            gone,
        ]);
        let releases: Vec<Release> = serde_json::from_value(all).unwrap();
        screens("releases", |style| render(&releases, style));
    }
}
