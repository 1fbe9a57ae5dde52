//! Which stack, where, and as whom: what names and ARNs are made of.

use std::sync::Arc;

use super::{Engine, EngineError};
use crate::aws::client::cancel::Cancel;
use crate::aws::client::clients::{Clients, Connection, is_in_the_clear};
use crate::aws::client::context::{Clock, Context};
use crate::aws::client::error::{AwsError, ErrorKind};
use crate::aws::client::identity::Identity;
use crate::aws::client::op::{Op, op};
use crate::aws::kinds::registry::services;
use crate::aws::registry;
use crate::aws::release::control_bucket::ControlBucket;
use crate::aws::release::sight::Found;
use crate::event::{Event, Events};

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

/// Who calls, as STS says it.
struct Caller {
    account: String,
    partition: String,
    principal: String,
}

impl Engine {
    /// Connects: who we are decides names and ARNs.
    pub async fn connect(
        target: &Target,
        events: Events,
        clock: Arc<dyn Clock>,
        cancel: Cancel,
    ) -> Result<Self, EngineError> {
        let nobody = nobody(target, events, clock, cancel).await?;
        let caller = caller(&nobody, op("sts", "GetCallerIdentity").first()).await?;
        refuse_other_account(target, &caller).map_err(|refusal| *refusal)?;
        Ok(Self::of(target, &nobody, caller))
    }

    /// The same for a command that moves live: the API is looked for meanwhile, and where STS fails, the API's functions say which
    /// account this is.
    pub async fn connect_to_move(
        target: &Target,
        events: Events,
        clock: Arc<dyn Clock>,
        cancel: Cancel,
    ) -> Result<(Self, Found), EngineError> {
        let nobody = nobody(target, events, clock, cancel).await?;
        let asking = caller(&nobody, op("sts", "GetCallerIdentity").first().dispensable());
        let (caller, found) = futures::join!(asking, Found::look(&nobody));
        let (caller, found) = match (caller, found) {
            (Err(error), Ok(found)) if error.kind == ErrorKind::Transient => {
                let Some((account, partition)) = found.account(&nobody).await? else {
                    return Err(error.into());
                };
                nobody.emit(Event::Warning {
                    message: format!(
                        "STS does not say who calls; account {account} is that of the API's functions: {error}"
                    ),
                });
                let principal = format!("unknown principal of account {account}");
                (
                    Caller {
                        account,
                        partition,
                        principal,
                    },
                    found,
                )
            }
            (caller, found) => (caller?, found?),
        };
        refuse_other_account(target, &caller).map_err(|refusal| *refusal)?;
        Ok((Self::of(target, &nobody, caller), found))
    }

    fn of(target: &Target, nobody: &Context, caller: Caller) -> Self {
        let Caller {
            account,
            partition,
            principal,
        } = caller;
        let context = Context::new(
            Identity {
                account,
                partition,
                ..nobody.identity().clone()
            },
            nobody.clients().clone(),
            services(),
            Arc::clone(nobody.events()),
            Arc::clone(nobody.clock()),
            nobody.cancel().clone(),
        );
        context.count_calls(nobody.calls());
        let control = ControlBucket::new(&context, target.control_bucket.as_deref());
        Self {
            context,
            principal,
            control,
            registry: registry(),
        }
    }
}

/// Refuses credentials of another account than the template names for the stage.
fn refuse_other_account(target: &Target, caller: &Caller) -> Result<(), Box<EngineError>> {
    match &target.account {
        Some(expected) if *expected != caller.account => Err(Box::new(EngineError::WrongAccount {
            stage: target.stage.clone(),
            expected: expected.clone(),
            account: caller.account.clone(),
            principal: caller.principal.clone(),
        })),
        Some(_) | None => Ok(()),
    }
}

/// A context before it is known who calls. The partition is known once AWS has answered.
async fn nobody(
    target: &Target,
    events: Events,
    clock: Arc<dyn Clock>,
    cancel: Cancel,
) -> Result<Context, EngineError> {
    let clients = Clients::connect(&target.connection).await?;
    if let Some(url) = clients.endpoint_url.as_ref().filter(|url| is_in_the_clear(url)) {
        return Err(EngineError::InTheClear(url.clone()));
    }
    let unknown = Identity {
        app: target.app.clone(),
        stage: target.stage.clone(),
        region: target.connection.region.clone(),
        account: String::new(),
        partition: "aws".to_owned(),
    };
    Ok(Context::new(unknown, clients, services(), events, clock, cancel))
}

async fn caller(nobody: &Context, call: Op) -> Result<Caller, AwsError> {
    let sts = &nobody.clients().sts;
    let answer = nobody.call(call, || sts.get_caller_identity().send()).await?;
    let principal = answer.arn().unwrap_or_default().to_owned();
    Ok(Caller {
        partition: principal.split(':').nth(1).unwrap_or("aws").to_owned(),
        account: answer.account().unwrap_or_default().to_owned(),
        principal,
    })
}
