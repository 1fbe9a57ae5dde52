//! The engine's front door: connect, plan, apply, destroy, status. It orchestrates and decides nothing by itself – what
//! should exist is `compile`'s, what happens is the plan's, how is the executor's.

mod apply;
mod connect;
mod destroy;
mod error;
mod former;
mod plan;
mod policy;
mod prune;
mod release;

use std::time::Duration;

use crate::aws::Registry;
use crate::aws::client::context::Context;
use crate::aws::kinds::{apigateway, cloudwatch};
use crate::aws::read::reader::Reader;
use crate::aws::release::control_bucket::ControlBucket;
use crate::aws::release::gateway;
use crate::aws::release::lease::{self, Force, Holder, Lease, LeaseRecord, Machine};
use crate::aws::release::presence::{is_deployed, not_deployed};
use crate::event::Endpoints;

pub use apply::Applied;
pub use connect::Target;
pub use destroy::DeleteData;
pub use error::EngineError;
pub use plan::{PlanInputs, Planned};
pub use prune::Pruned;
pub use release::Wanted;

/// The engine, connected.
pub struct Engine {
    context: Context,
    principal: String,
    control: ControlBucket,
    registry: &'static Registry,
}

/// Reads that run side by side.
const READS: usize = 64;

impl Engine {
    /// The context, for what runs beside the engine.
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// ARN of the principal whose credentials are used.
    pub fn principal(&self) -> &str {
        &self.principal
    }

    /// Acquires the lease on the stage: no other taskctl changes it, and no call is made without it.
    pub async fn lock(&self, holder: Holder, nonce: String, machine: &dyn Machine) -> Result<Lease, EngineError> {
        let holder = Holder {
            principal: Some(self.principal.clone()).filter(|principal| principal.starts_with("arn:")),
            ..holder
        };
        Ok(Lease::acquire(&self.context, &self.control, holder, nonce, machine).await?)
    }

    /// The control bucket.
    pub fn control(&self) -> &ControlBucket {
        &self.control
    }

    /// Who holds the stage, and for how many seconds that lease has been silent.
    pub async fn holder(&self) -> Result<Option<(LeaseRecord, i64)>, EngineError> {
        Ok(lease::holder(&self.context, &self.control).await?)
    }

    /// Refuses a stage that somebody is known to hold. Whether anybody does is not known where the control bucket does not answer
    /// in time.
    pub async fn refuse_known_holder(&self, within: Duration, machine: &dyn Machine) -> Result<(), EngineError> {
        let looking = tokio::time::timeout(within, lease::holder(&self.context, &self.control));
        let Ok(Ok(Some((record, silent)))) = looking.await else {
            return Ok(());
        };
        match lease::still_held(&self.context, record, silent, machine) {
            Some(held) => Err(held.into()),
            None => Ok(()),
        }
    }

    /// Takes the lease away from its holder.
    pub async fn unlock(&self, force: Force, machine: &dyn Machine) -> Result<Option<LeaseRecord>, EngineError> {
        Ok(lease::take_away(&self.context, &self.control, force, machine).await?)
    }

    /// Refuses a stage that is not deployed here, with the regions in which it is.
    pub async fn require_deployed(&self) -> Result<(), EngineError> {
        match is_deployed(&self.context).await? {
            true => Ok(()),
            false => Err(self.not_deployed().await),
        }
    }

    /// That the stage is not deployed here, with the regions in which it is.
    pub async fn not_deployed(&self) -> EngineError {
        not_deployed(&self.context).await.into()
    }

    /// Names of the stack's dashboards.
    pub async fn dashboards(&self) -> Result<Vec<String>, EngineError> {
        let reader = Reader::new(self.context.clone());
        let found = self
            .registry
            .kind(cloudwatch::dashboard::KIND)
            .enumerate(&reader)
            .await?;
        Ok(found
            .into_iter()
            .filter_map(|mut one| one.outputs.remove("name"))
            .collect())
    }

    /// Where the stack answers.
    pub async fn endpoints(&self, site: Option<String>) -> Result<Endpoints, EngineError> {
        if let Some(known) = self.known_endpoints(&site) {
            return Ok(known);
        }
        let reader = Reader::new(self.context.clone());
        Ok(match reader.api().await? {
            Some(state) => gateway::endpoints(&state, site),
            None => Endpoints {
                site,
                ..Endpoints::default()
            },
        })
    }

    /// The same, from what this run has read or made.
    fn known_endpoints(&self, site: &Option<String>) -> Option<Endpoints> {
        let base = self.context.output(&apigateway::api::id(), "endpoint").ok()?;
        let stands = |slot: &str| !self.context.outputs(&apigateway::stage::id(slot)).is_empty();
        (stands(apigateway::stage::LIVE) && stands(apigateway::stage::PREVIEW) && !base.is_empty()).then(|| Endpoints {
            live: Some(base.clone()),
            preview: Some(format!("{base}/{}", apigateway::stage::PREVIEW)),
            site: site.clone(),
        })
    }
}
