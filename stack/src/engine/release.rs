//! Moves live between releases, and says which there are.

use std::collections::BTreeMap;

use futures::{StreamExt, TryStreamExt, stream};

use super::{Engine, EngineError, READS};
use crate::aws::client::error::{AwsError, ErrorKind};
use crate::aws::client::lifetime::Lifetime;
use crate::aws::kinds::{iam, lambda, site};
use crate::aws::read::reader::Reader;
use crate::aws::release::driver::{self, Hold, Moved, Probe, Proposal, RolloutOptions};
use crate::aws::release::error::MoveError;
use crate::aws::release::lease::Lease;
use crate::aws::release::runnable::Sighted;
use crate::aws::release::sight::{Found, Sight};
use crate::aws::release::{followers, ledger};
use crate::release::canary::Rollout;
use crate::release::grants::{self, InPlace, Restoration};
use crate::release::history;
use crate::release::machine::Aim;
use crate::release::slots::ReleaseState;
use crate::release::transition::{self, Gateway, Transition, TransitionError};
use crate::site::md5;

/// Where live moves to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// To what waits in preview.
    Promotion,
    /// To the release before, or to a kept one.
    Rollback {
        /// Its number.
        to: Option<u64>,
    },
}

/// What has not followed live.
#[derive(Debug, Default)]
pub struct Late {
    /// Web sites whose users do not see its pages: content by bucket.
    pages: BTreeMap<String, String>,
    /// Aliases of functions that are not at its versions: where they should be.
    aliases: Vec<lambda::alias::Place>,
}

impl Late {
    /// Whether everything has.
    pub fn is_empty(&self) -> bool {
        self.pages.is_empty() && self.aliases.is_empty()
    }
}

impl Wanted {
    fn aim(self) -> Aim {
        match self {
            Self::Promotion => Aim::Promote,
            Self::Rollback { .. } => Aim::Rollback,
        }
    }
}

impl Engine {
    /// The releases there are: what AWS keeps, with what the ledger remembers of it. Newest first.
    pub async fn releases(&self) -> Result<Vec<history::Release>, EngineError> {
        let looking = async { Ok(Sight::read(&self.context).await?) };
        let records = async { Ok::<_, EngineError>(ledger::records(&self.context, &self.control).await?) };
        let moves = async { Ok::<_, EngineError>(ledger::moves(&self.context, &self.control).await?) };
        let (Sight { facts, .. }, records, mut moves) = futures::try_join!(looking, records, moves)?;
        if let Some(made) = facts
            .unrecorded()
            .filter(|made| moves.iter().all(|known| known.at != made.at))
        {
            moves.push(made);
        }
        Ok(history::releases(&facts, &records, &moves))
    }

    /// What could move now: the promotion of what waits, or a rollback.
    pub async fn transition(&self, wanted: Wanted) -> Result<Option<Transition>, EngineError> {
        let sight = Sight::read(&self.context).await?;
        Ok(transition_of(&sight, wanted).map_err(MoveError::from)?)
    }

    /// The same of the API that was found, with all that carrying it out takes.
    pub async fn proposal(&self, found: &Found, wanted: Wanted) -> Result<Option<Proposal>, EngineError> {
        let sight = Sight::of(&self.context, found).await?;
        let transition = transition_of(&sight, wanted).map_err(MoveError::from)?;
        Ok(transition.map(|transition| Proposal {
            transition,
            sight,
            shares: None,
        }))
    }

    /// The same once nobody else may move live, with the aliases that `expected` names read meanwhile. A release that Lambda
    /// refuses to run is refused.
    pub async fn settled_proposal(
        &self,
        found: &Found,
        wanted: Wanted,
        expected: Option<&Proposal>,
    ) -> Result<Option<Proposal>, EngineError> {
        let aliases = expected
            .map(|expected| expected.transition.aliases.clone())
            .unwrap_or_default();
        let reading = Sighted::read(&self.context, &aliases, wanted.aim());
        let (proposal, mut sighted) = futures::join!(self.proposal(found, wanted), reading);
        let Some(mut proposal) = proposal? else {
            return Ok(None);
        };
        if proposal.transition.aliases != aliases {
            sighted = Sighted::read(&self.context, &proposal.transition.aliases, wanted.aim()).await;
        }
        sighted.require_runnable(&proposal.transition, &proposal.sight.facts)?;
        proposal.shares = Some(sighted.aliases.map(|seen| seen.shares));
        Ok(Some(proposal))
    }

    /// Refuses a proposal to which live will not be moved: before somebody is asked about it.
    pub async fn require_runnable(&self, proposal: &Proposal, wanted: Wanted) -> Result<(), EngineError> {
        let sighted = Sighted::read(&self.context, &proposal.transition.aliases, wanted.aim()).await;
        Ok(sighted.require_runnable(&proposal.transition, &proposal.sight.facts)?)
    }

    /// Ends a canary: no share of live's traffic goes elsewhere any more. Returns what did, in percent by function.
    pub async fn abort(&self, lease: &Lease) -> Result<BTreeMap<String, u8>, EngineError> {
        Ok(driver::abort(&self.context, lease).await?)
    }

    /// Refuses a rollout that the credentials may not outlast: a share would stay diverted, which nobody could take back.
    pub async fn require_lifetime(&self, rollout: &Rollout) -> Result<(), EngineError> {
        let steps = u32::try_from(rollout.steps.len()).unwrap_or(u32::MAX);
        let bakes = rollout.bake.saturating_mul(steps);
        if bakes.is_zero() {
            return Ok(());
        }
        let lifetime = self.context.clients().lifetime().await;
        match lifetime {
            Lifetime::Ends(end) if !lifetime.outlasts(bakes, self.context.aws_now()) => {
                Err(EngineError::SessionEnds { end, bakes })
            }
            Lifetime::Ends(_) | Lifetime::Renewed => Ok(()),
        }
    }

    /// Moves live.
    pub async fn run(
        &self,
        proposal: Proposal,
        hold: Hold<'_>,
        options: &RolloutOptions,
        outside: &dyn Probe,
        user: &str,
    ) -> Result<Moved, EngineError> {
        self.require_lifetime(&options.rollout).await?;
        Ok(driver::run(&self.context, &self.control, hold, proposal, options, outside, user).await?)
    }

    /// What has not followed live: a run ended between the switch and this.
    pub async fn late(&self) -> Result<Late, EngineError> {
        let Sight { gateway, facts } = Sight::read(&self.context).await?;
        let (pages, aliases) = futures::try_join!(self.late_pages(&gateway, &facts), async {
            Ok(followers::late(&self.context, &gateway, &facts).await?)
        })?;
        Ok(Late { pages, aliases })
    }

    async fn late_pages(
        &self,
        gateway: &Gateway,
        facts: &ReleaseState,
    ) -> Result<BTreeMap<String, String>, EngineError> {
        let live = facts.live.as_ref().and_then(|live| live.release);
        let label = live.and_then(|live| facts.releases.get(&live));
        let config = site::objects::config(gateway.endpoints.live.as_deref().unwrap_or_default());
        let mut late = BTreeMap::new();
        for (bucket, content) in label.into_iter().flat_map(|label| &label.sites) {
            let objects = site::objects::list(&self.context, bucket).await?.unwrap_or_default();
            if site::objects::seen(&objects, content, Some(&md5(&config)), None).as_ref() != Some(content) {
                late.insert(bucket.clone(), content.clone());
            }
        }
        Ok(late)
    }

    /// Brings what is late where live is.
    pub async fn finish(&self, late: &Late) -> Result<(), EngineError> {
        followers::finish(&self.context, &late.aliases).await?;
        Ok(driver::show_pages(&self.context, &late.pages).await?)
    }

    /// What the functions' roles get back before live goes to a kept release that is neither live, in preview nor the one
    /// before live. Its record in the ledger says what it needs, its label on AWS whether that is true.
    pub async fn restoration(&self, proposal: &Proposal) -> Result<Restoration, EngineError> {
        let context = &self.context;
        let facts = &proposal.sight.facts;
        let release = proposal.transition.to;
        let nothing = Restoration {
            release,
            ..Restoration::default()
        };
        let Some(label) = facts.releases.get(&release) else {
            return Ok(nothing);
        };
        if facts.reachable().first().is_none_or(|oldest| *oldest <= release) {
            return Ok(nothing);
        }
        let reader = Reader::new(context.clone());
        let roles = self.registry.kind(iam::role::KIND).enumerate(&reader);
        let record = ledger::of_release(context, &self.control, release);
        let (roles, record) = futures::try_join!(roles, record)?;
        let roles = roles
            .into_iter()
            .filter_map(|mut role| Some((role.id.name, role.outputs.remove("name")?)));
        let in_place: Vec<Option<(String, InPlace)>> = stream::iter(roles)
            .map(|(function, role)| async move {
                let now = iam::role::in_place(context, &role, release).await?;
                Ok::<_, AwsError>(now.map(|now| (function, now)))
            })
            .buffer_unordered(READS)
            .try_collect()
            .await?;
        let in_place = in_place.into_iter().flatten().collect();
        let record = record.map(|record| record.grants);
        grants::restoration(label, record.as_ref(), &in_place).map_err(|refusal| {
            let record = format!("s3://{}/{}", self.control.name(), ledger::key_of(context, release));
            MoveError::grants(label, &record, refusal).into()
        })
    }

    /// Refuses a stage that is not deployed here, of which an API may have been found.
    pub async fn require_found(&self, found: &Found) -> Result<(), EngineError> {
        match found.is_empty() {
            true => self.require_deployed().await,
            false => Ok(()),
        }
    }

    /// Gives it back.
    pub async fn restore(&self, restoration: &Restoration) -> Result<(), EngineError> {
        for one in restoration.roles.values() {
            iam::role::put_former(&self.context, &one.role, restoration.release, &one.needed)
                .await
                .map_err(|error| match error.kind {
                    ErrorKind::Denied => EngineError::Move(MoveError::GrantsDenied {
                        release: restoration.release,
                        source: error,
                    }),
                    _ => error.into(),
                })?;
        }
        Ok(())
    }
}

fn transition_of(sight: &Sight, wanted: Wanted) -> Result<Option<Transition>, TransitionError> {
    let Sight { gateway, facts } = sight;
    match wanted {
        Wanted::Promotion => transition::promotion(gateway, facts),
        Wanted::Rollback { to } => transition::rollback(gateway, facts, to),
    }
}
