//! `taskctl dashboard`: where the stage's dashboard is.

use taskctl_stack::aws::read::reader::Reader;
use taskctl_stack::engine::EngineError;
use taskctl_stack::event::Event;

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
    let reader = Reader::new(engine.context().clone());
    let names = session
        .unless_stopped(reader.dashboards())
        .await?
        .map_err(EngineError::from)?;
    // Dashboards are the account's: their names end with the region.
    let suffix = format!("-{}", identity.region);
    let names: Vec<&String> = names.iter().filter(|name| name.ends_with(&suffix)).collect();
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
            name: (*name).clone(),
            url: match elsewhere {
                Some(_) => None,
                None => Some(link(&identity.partition, &identity.region, name)),
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
/// <https://docs.aws.amazon.com/general/latest/gr/aws-service-information.html>
fn link(partition: &str, region: &str, name: &str) -> String {
    let domain = match partition {
        "aws-cn" => "console.amazonaws.cn",
        "aws-us-gov" => "console.amazonaws-us-gov.com",
        _ => "console.aws.amazon.com",
    };
    format!("https://{region}.{domain}/cloudwatch/home?region={region}#dashboards/dashboard/{name}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_lead_to_the_partitions_console() {
        assert_eq!(
            link("aws", "eu-central-1", "shop-prod"),
            "https://eu-central-1.console.aws.amazon.com/cloudwatch/home?region=eu-central-1#dashboards/dashboard/shop-prod"
        );
        assert!(link("aws-cn", "cn-north-1", "x").starts_with("https://cn-north-1.console.amazonaws.cn/"));
    }
}
