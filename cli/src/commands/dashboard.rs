//! `taskctl dashboard`: where the stage's dashboard is.

use taskctl_stack::event::Event;
use taskctl_stack::partition::console_domain;

use crate::answers::DashboardLink;
use crate::cli::Output;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::report::plan::Details;
use crate::report::{Lines, Purpose, json_answer};
use crate::session::{self, Invocation, Session};
use crate::target::Target;
use crate::ui::style::Tone;

pub fn run(invocation: &Invocation) -> Exit {
    session::run(invocation, Purpose::Answer, Details::Changes, async |session| {
        show(&session).await
    })
}

async fn show(session: &Session) -> Result<Exit, Failure> {
    let stack_ref = session.stack_ref()?;
    let engine = session.connect_quietly(&stack_ref).await?;
    let identity = engine.context().identity();
    let names = session.unless_stopped(engine.dashboards()).await??;
    if names.is_empty() {
        session.unless_stopped(engine.require_deployed()).await??;
        return Err(Failure::new(
            Exit::Error,
            format!("{}/{} has no dashboard", identity.app, identity.stage),
            "`dashboard: true` in the template (the default) creates one; `taskctl metrics` shows the numbers here",
        ));
    }
    // An emulator keeps dashboards and shows none; a link to AWS's console would lead to another account's.
    let elsewhere = elsewhere(session);
    let links: Vec<DashboardLink> = names
        .iter()
        .map(|name| DashboardLink {
            name: name.clone(),
            url: match elsewhere {
                Some(_) => None,
                None => Some(link(&identity.region, name)),
            },
        })
        .collect();
    match session.global.output {
        Output::Json => session.reporter.answer(json_answer("the links", &links, Lines::Many)?),
        Output::Human | Output::Github => {
            let urls = links.iter().filter_map(|link| link.url.as_ref());
            let lines: String = urls
                .map(|url| format!("{}\n", session.env.out.paint(Tone::Copy, url)))
                .collect();
            session.reporter.answer(lines);
        }
    }
    if let Some(elsewhere) = elsewhere {
        let names: Vec<&str> = links.iter().map(|link| link.name.as_str()).collect();
        session.reporter.emit(Event::Note {
            message: format!(
                "{elsewhere} has no console that shows dashboard {}; `taskctl metrics` shows the numbers, `taskctl alarms` the \
                 alarms",
                names.join(", ")
            ),
        });
    }
    Ok(Exit::Ok)
}

/// What is not AWS itself.
fn elsewhere(session: &Session) -> Option<String> {
    match (&session.target, &session.global.target.endpoint_url) {
        (Target::Local(_), _) => Some("the local target".to_owned()),
        (Target::Aws, Some(url)) => Some(url.clone()),
        (Target::Aws, None) => None,
    }
}

/// The console's page of a dashboard.
fn link(region: &str, name: &str) -> String {
    let domain = console_domain(region);
    format!("https://{region}.{domain}/cloudwatch/home?region={region}#dashboards/dashboard/{name}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_lead_to_the_partitions_console() {
        assert_eq!(
            link("eu-central-1", "shop-prod"),
            "https://eu-central-1.console.aws.amazon.com/cloudwatch/home?region=eu-central-1#dashboards/dashboard/shop-prod"
        );
        assert!(link("cn-north-1", "x").starts_with("https://cn-north-1.console.amazonaws.cn/"));
    }
}
