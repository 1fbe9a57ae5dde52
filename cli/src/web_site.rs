//! Whether a web site that was just published can be seen.

use std::time::Duration;

use taskctl_stack::aws::client::error::{ACCOUNT_BLOCKS, ACCOUNT_BLOCKS_HINT};
use taskctl_stack::aws::kinds::s3::bucket::{PublicAccessBlock, account_public_access_block};
use taskctl_stack::aws::kinds::{s3, site};
use taskctl_stack::aws::release::driver::Probe;
use taskctl_stack::event::Event;
use taskctl_stack::execute::Execution;
use taskctl_stack::resource::ResourceId;
use tokio::time::{Instant, sleep};

use crate::prepare::Prepared;
use crate::session::Session;

/// How long a web site may be forbidden: the policy of its bucket is not known everywhere at once.
const FORBIDDEN_FOR: Duration = Duration::from_secs(15);

/// Fetches the web site once after its bucket or its pages changed, and warns where nobody can see it.
pub async fn fetch(session: &Session, prepared: &Prepared, execution: &Execution, probe: &dyn Probe) {
    let Some(url) = &prepared.planned.site_url else { return };
    let is_published = |id: &ResourceId| [s3::bucket::KIND, site::pages::KIND].contains(&id.kind.as_str());
    // An emulator behind an endpoint serves no web sites where AWS does.
    let is_elsewhere = session.global.target.endpoint_url.is_some();
    if is_elsewhere || !execution.done.iter().any(is_published) || !stays_forbidden(url, probe).await {
        return;
    }
    let block = account_public_access_block(prepared.engine.context()).await;
    session.reporter.emit(Event::Warning {
        message: forbidden(url, block.ok().flatten().as_ref()),
    });
}

/// Whether a URL answers 403 all the time. One that cannot be reached from here is not known to be forbidden.
async fn stays_forbidden(url: &str, probe: &dyn Probe) -> bool {
    let until = Instant::now() + FORBIDDEN_FOR;
    while probe.get(url).await.is_ok_and(|answer| answer.status == 403) {
        if Instant::now() >= until {
            return true;
        }
        sleep(Duration::from_secs(1)).await;
    }
    false
}

fn forbidden(url: &str, account: Option<&PublicAccessBlock>) -> String {
    let why = match account.is_some_and(PublicAccessBlock::keeps_closed) {
        true => format!("{ACCOUNT_BLOCKS}; {ACCOUNT_BLOCKS_HINT}"),
        false => format!(
            "a policy of the organization or Block Public Access of the account may keep its bucket closed; `aws s3control \
             get-public-access-block` shows the latter. {ACCOUNT_BLOCKS_HINT}"
        ),
    };
    format!("the web site cannot be seen: {url} answers 403: {why}")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::atomic::{AtomicU16, Ordering};

    use async_trait::async_trait;
    use taskctl_stack::aws::release::driver::Checked;
    use taskctl_stack::release::answer::Answer;

    use super::*;

    /// A web site that answers 403 so many times, and with this status from then on.
    struct Site(AtomicU16, Result<u16, String>);

    #[async_trait]
    impl Probe for Site {
        async fn get(&self, _: &str) -> Result<Answer, String> {
            let is_early = self
                .0
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
            let status = if is_early.is_ok() { 403 } else { self.1.clone()? };
            Ok(Answer {
                status,
                headers: BTreeMap::new(),
                body: Vec::new(),
            })
        }

        async fn run(&self, _: &str, _: &[(&str, String)]) -> Result<(), String> {
            Ok(())
        }

        async fn check(&self, _: &str) -> Checked {
            Checked::default()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_site_that_stays_forbidden_is_noticed() {
        let unreachable = Err("connection refused".to_owned());
        for (early, then, expected) in [
            (0, Ok(200), false),
            (5, Ok(200), false),
            (0, unreachable, false),
            (30, Ok(200), true),
        ] {
            let site = Site(AtomicU16::new(early), then);
            assert_eq!(stays_forbidden("http://site", &site).await, expected, "{early}");
        }
    }

    #[test]
    fn the_accounts_block_is_named() {
        let closed = PublicAccessBlock {
            restrict_public_buckets: true,
            ..PublicAccessBlock::NONE
        };
        assert_eq!(
            forbidden("http://site", Some(&closed)),
            format!("the web site cannot be seen: http://site answers 403: {ACCOUNT_BLOCKS}; {ACCOUNT_BLOCKS_HINT}")
        );
        for unknown in [None, Some(&PublicAccessBlock::NONE)] {
            assert!(forbidden("http://site", unknown).contains("may keep its bucket closed"));
        }
    }
}
