//! Which stack, where, and as whom: what names and ARNs are made of.

use std::sync::Arc;

use super::{Engine, EngineError};
use crate::aws::client::cancel::Cancel;
use crate::aws::client::clients::{Clients, Connection, is_in_the_clear};
use crate::aws::client::context::{Clock, Context};
use crate::aws::client::identity::Identity;
use crate::aws::client::op::op;
use crate::aws::kinds::registry::services;
use crate::aws::registry;
use crate::aws::release::control_bucket::ControlBucket;
use crate::event::Events;

/// Which stack, and where.
#[derive(Debug, Clone)]
pub struct Target {
    /// Application.
    pub app: String,
    /// Stage.
    pub stage: String,
    /// How AWS is reached.
    pub connection: Connection,
    /// The account that the stage belongs to, where its template names it: another one is refused.
    pub account: Option<String>,
    /// Name of the control bucket; none = derived from account and region.
    pub control_bucket: Option<String>,
}

impl Engine {
    /// Connects: who we are decides names and ARNs.
    pub async fn connect(
        target: &Target,
        events: Events,
        clock: Arc<dyn Clock>,
        cancel: Cancel,
    ) -> Result<Self, EngineError> {
        let clients = Clients::connect(&target.connection).await?;
        if let Some(url) = clients.endpoint_url.as_ref().filter(|url| is_in_the_clear(url)) {
            return Err(EngineError::InTheClear(url.clone()));
        }
        // The partition is known once AWS has answered.
        let unknown = Identity {
            app: target.app.clone(),
            stage: target.stage.clone(),
            region: target.connection.region.clone(),
            account: String::new(),
            partition: "aws".to_owned(),
        };
        let anonymous = Context::new(
            unknown.clone(),
            clients.clone(),
            services(),
            events.clone(),
            clock.clone(),
            cancel.clone(),
        );
        let sts = &clients.sts;
        let caller = anonymous
            .call(op("sts", "GetCallerIdentity").first(), || {
                sts.get_caller_identity().send()
            })
            .await?;
        let partition = caller
            .arn()
            .and_then(|arn| arn.split(':').nth(1))
            .unwrap_or("aws")
            .to_owned();
        let account = caller.account().unwrap_or_default().to_owned();
        let principal = caller.arn().unwrap_or_default().to_owned();
        if let Some(expected) = target.account.as_ref().filter(|expected| **expected != account) {
            return Err(EngineError::WrongAccount {
                stage: target.stage.clone(),
                expected: expected.clone(),
                account,
                principal,
            });
        }
        let context = Context::new(
            Identity {
                account,
                partition,
                ..unknown
            },
            clients,
            services(),
            events,
            clock,
            cancel,
        );
        context.count_calls(anonymous.calls());
        let control = ControlBucket::new(&context, target.control_bucket.as_deref());
        Ok(Self {
            context,
            principal,
            control,
            registry: registry(),
        })
    }
}
