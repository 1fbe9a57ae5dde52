//! `taskctl status`: one screen about a stage.

use comfy_table::{ContentArrangement, Table, presets};
use taskctl_stack::release::lease::LeaseRecord;
use taskctl_stack::status::{self, SlotStatus, Status};

use crate::args::{Global, Output};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::look::{Look, Tone};
use crate::place::Place;
use crate::project::Project;
use crate::report::plan::Details;
use crate::report::text::plain;
use crate::report::{Purpose, where_to};
use crate::session::{self, Named, Session};

/// Runs it.
pub fn run(global: &Global) -> Exit {
    session::run(global, Purpose::Answer, Details::Changes, async |session| {
        show(&session).await
    })
}

async fn show(session: &Session) -> Result<Exit, Failure> {
    let named = named(session)?;
    let place = Place::of(&session.global, &session.surroundings);
    let engine = session.connect_quietly(&place, &named).await?;
    let site = |bucket: &str| place.website_url(bucket, &named.region);
    let reading = status::read(engine.context(), site);
    let status = session
        .unless_stopped(reading)
        .await?
        .map_err(taskctl_stack::engine::EngineError::from)?;
    let Some(status) = status else {
        let Named { app, region } = &named;
        let stage = &session.global.stage;
        return Err(Failure::new(
            Exit::Error,
            format!("nothing of {app}/{stage} stands in {region}"),
            "`taskctl deploy` makes it; check --stage, --region and --profile",
        ));
    };
    match session.global.output {
        Output::Json => {
            let text = serde_json::to_string_pretty(&status)
                .map_err(|error| Failure::caused("the status cannot be written as JSON", &error, None))?;
            session.reporter.answer(format!("{text}\n"));
        }
        Output::Human | Output::Github => {
            let mut text = render(&status, &session.surroundings.out);
            if status.functions.iter().any(|function| function.diverted.is_some()) {
                let holder = session.unless_stopped(engine.holder()).await??;
                text.push_str(&canary(&status, holder.as_ref(), &session.surroundings.out));
            }
            session.reporter.answer(text);
        }
    }
    Ok(Exit::Ok)
}

/// The stack by name: from `--app`, or from the template.
pub fn named(session: &Session) -> Result<Named, Failure> {
    let Some(app) = &session.global.app else {
        let project = Project::open(&session.global, &session.surroundings)?;
        let stack = project.template.stack;
        return Ok(Named {
            app: stack.app,
            region: stack.region,
        });
    };
    let region = session
        .global
        .region
        .clone()
        .or_else(|| session.surroundings.region.clone());
    let Some(region) = region else {
        return Err(Failure::usage(
            "with --app there is no template to say the region",
            "give --region REGION, or set AWS_REGION",
        ));
    };
    Ok(Named {
        app: app.clone(),
        region,
    })
}

/// The status as text.
pub fn render(status: &Status, look: &Look) -> String {
    let Status {
        app,
        stage,
        region,
        account,
        endpoints,
        live,
        preview,
        functions,
        alarms,
    } = status;
    let mut out = format!(
        "{}\n\n",
        look.paint(Tone::Strong, &where_to(app, stage, region, Some(account)))
    );
    let slots = [
        ("live", live, &endpoints.live),
        ("preview", preview, &endpoints.preview),
    ];
    for (name, slot, url) in slots {
        let url = url
            .as_deref()
            .map_or("-".to_owned(), |url| look.paint(Tone::Copy, &plain(url)));
        out.push_str(&format!("{name:<8} {url}\n{:9}{}\n", "", slot_text(slot.as_ref())));
    }
    if let Some(site) = &endpoints.site {
        out.push_str(&format!("{:<8} {}\n", "site", look.paint(Tone::Copy, &plain(site))));
    }
    if !functions.is_empty() {
        let mut table = table(look, &["function", "live", "preview", "state", "memory", "cpu"]);
        for function in functions {
            let version =
                |version: &Option<String>| version.as_ref().map_or("-".to_owned(), |version| format!("v{version}"));
            table.add_row([
                plain(&function.name),
                version(&function.live_version),
                version(&function.preview_version),
                plain(&function.state),
                function
                    .memory_mb
                    .map_or("-".to_owned(), |memory| format!("{memory} MB")),
                function.architecture.clone().unwrap_or_else(|| "-".to_owned()),
            ]);
        }
        out.push_str(&format!("\n{}\n", table.trim_fmt()));
    }
    out.push_str(&alarms_text(alarms, look));
    out
}

/// What of live's traffic is diverted, and who attends it.
fn canary(status: &Status, holder: Option<&(LeaseRecord, i64)>, look: &Look) -> String {
    let diverted: Vec<String> = status
        .functions
        .iter()
        .filter_map(|function| Some(format!("{} % of {}", function.diverted?, plain(&function.name))))
        .collect();
    let (tone, attended) = match holder {
        // One that has been silent for longer than a lease lasts is dead.
        Some((record, silent)) if *silent < 60 => (Tone::Warn, format!("{} attends it", plain(&record.holder.user))),
        Some(_) | None => (
            Tone::Bad,
            "nobody attends it: `taskctl promote --abort` ends it, `taskctl promote` begins again".to_owned(),
        ),
    };
    format!(
        "\ncanary   {}\n",
        look.paint(tone, &format!("{}; {attended}", diverted.join(", ")))
    )
}

fn slot_text(slot: Option<&SlotStatus>) -> String {
    let Some(slot) = slot else {
        return "no release".to_owned();
    };
    let release = slot
        .release
        .map_or("not a release of ours".to_owned(), |number| format!("release {number}"));
    let color = slot
        .color
        .as_ref()
        .map(|color| format!(" ({})", plain(color)))
        .unwrap_or_default();
    let commit = slot
        .commit
        .as_ref()
        .map(|commit| format!(" {}", plain(commit)))
        .unwrap_or_default();
    format!("{release}{color}{commit}")
}

/// Alarms that are red with their reason; of the others how many there are.
fn alarms_text(alarms: &[taskctl_stack::status::AlarmStatus], look: &Look) -> String {
    if alarms.is_empty() {
        return String::new();
    }
    let (red, calm): (Vec<_>, Vec<_>) = alarms.iter().partition(|alarm| alarm.state == "ALARM");
    let unknown = calm.iter().filter(|alarm| alarm.state != "OK").count();
    let mut out = match (red.len(), unknown) {
        (0, 0) => format!(
            "\nalarms   {}\n",
            look.paint(Tone::Good, &format!("all {} OK", alarms.len()))
        ),
        (0, unknown) => format!("\nalarms   {} OK, {unknown} without data yet\n", calm.len() - unknown),
        (red, _) => format!(
            "\nalarms   {}\n",
            look.paint(Tone::Bad, &format!("{red} of {} in alarm", alarms.len()))
        ),
    };
    for alarm in red {
        let since = alarm
            .since
            .as_ref()
            .map(|since| format!(" since {since}"))
            .unwrap_or_default();
        out.push_str(&format!("  {}{since}\n", look.paint(Tone::Bad, &plain(&alarm.name))));
        for reason in alarm.reason.iter() {
            for line in crate::report::text::wrap(reason, look.width.saturating_sub(4)) {
                out.push_str(&format!("    {line}\n"));
            }
        }
    }
    out
}

/// A table without lines, as wide as the terminal at most.
pub fn table(look: &Look, headings: &[&str]) -> Table {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic);
    table.set_width(u16::try_from(look.width).unwrap_or(80));
    table.set_header(headings);
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_stage_fits_on_a_screen() {
        let slot = |release: u64, color: &str| json!({"color": color, "release": release, "commit": "1a2b3c4d", "previous_release": release - 1});
        let function = |name: &str, live: &str, preview: &str| {
            json!({
                "name": name, "function": format!("shop-prod-{name}"), "live_version": live, "preview_version": preview,
                "state": "Active", "memory_mb": 512, "architecture": "arm64",
            })
        };
        let alarm = |name: &str, state: &str| json!({"name": name, "state": state, "since": "2026-03-01T12:00:00Z", "reason": "Threshold Crossed: 1 datapoint [7.0 (01/03/26 11:59:00)] was greater than the threshold (5.0)."});
        let status = |alarms: Vec<serde_json::Value>| {
            let url = "https://a1b2c3d4e5.execute-api.eu-central-1.amazonaws.com";
            let status = json!({
                "app": "shop", "stage": "prod", "region": "eu-central-1", "account": "123456789012",
                "endpoints": {"live": url, "preview": format!("{url}/preview"), "site": null},
                "live": slot(41, "blue"), "preview": slot(42, "green"),
                "functions": [function("health", "3", "3"), function("tasks", "17", "18")],
                "alarms": alarms,
            });
            serde_json::from_value::<Status>(status).unwrap_or_else(|error| panic!("{error}"))
        };
        let text = |alarms| render(&status(alarms), &Look::PLAIN);
        insta::assert_snapshot!(text(vec![alarm("shop-prod-errors", "ALARM"), alarm("shop-prod-throttles", "OK")]), @r"
        shop/prod in eu-central-1, account 123456789012

        live     https://a1b2c3d4e5.execute-api.eu-central-1.amazonaws.com
                 release 41 (blue) 1a2b3c4d
        preview  https://a1b2c3d4e5.execute-api.eu-central-1.amazonaws.com/preview
                 release 42 (green) 1a2b3c4d

        function  live  preview  state   memory  cpu
        health    v3    v3       Active  512 MB  arm64
        tasks     v17   v18      Active  512 MB  arm64

        alarms   1 of 2 in alarm
          shop-prod-errors since 2026-03-01T12:00:00Z
            Threshold Crossed: 1 datapoint [7.0 (01/03/26 11:59:00)] was greater than
            the threshold (5.0).
        ");
        assert!(text(vec![alarm("a", "OK"), alarm("b", "OK")]).ends_with("\nalarms   all 2 OK\n"));
        assert!(
            text(vec![alarm("a", "OK"), alarm("b", "INSUFFICIENT_DATA")])
                .ends_with("\nalarms   1 OK, 1 without data yet\n")
        );
    }
}
