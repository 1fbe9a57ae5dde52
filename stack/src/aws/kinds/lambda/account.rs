//! What an account lets its functions run at once. New accounts begin with few: often ten in all.
//! <https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html>

use crate::aws::client::context::Context;
use crate::aws::client::error::{AwsError, ErrorKind};
use crate::aws::client::op::op;

/// Invocations at once that always stay for functions without a reservation.
/// <https://docs.aws.amazon.com/lambda/latest/dg/configuration-concurrency.html>
pub const UNRESERVED_MINIMUM: i32 = 100;

/// Invocations that an account lets run at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Concurrency {
    /// In all.
    pub limit: i32,
    /// Of these, not reserved for a function.
    pub unreserved: i32,
}

/// What the account lets run at once in this region; none when the caller may not know.
pub async fn concurrency(context: &Context) -> Result<Option<Concurrency>, AwsError> {
    let client = &context.clients().lambda;
    let answer = context
        .call(op("lambda", "GetAccountSettings"), || {
            client.get_account_settings().send()
        })
        .await;
    let limit = match answer {
        Err(error) if error.kind == ErrorKind::Denied => return Ok(None),
        other => other?.account_limit,
    };
    Ok(limit.and_then(|limit| {
        Some(Concurrency {
            limit: limit.concurrent_executions,
            unreserved: limit.unreserved_concurrent_executions?,
        })
    }))
}
