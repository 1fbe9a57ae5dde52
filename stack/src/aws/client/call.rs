//! The one way in which AWS is called: paced, cancellable, guarded by the lease, repeated as the error table says, and
//! reported as events.

use std::collections::HashMap;
use std::future::Future;
use std::time::Duration;

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use tokio::time::Instant;

use crate::aws::client::context::Context;
use crate::aws::client::error::{AwsError, ErrorKind, Patience, patience};
use crate::aws::client::on_behalf::{on_whose_behalf, spend};
use crate::aws::client::op::{Guard, Missing, Op, Repeat};
use crate::aws::client::poll::Polling;
use crate::event::{Event, millis};

/// Longest pause before a call is repeated that AWS is not ready for, times the number of such calls: together they stay
/// below quotas, and a lone one is repeated soon.
const UNREADY_SHARE: Duration = Duration::from_millis(125);
/// Least value of that longest pause.
const UNREADY_PAUSE: Duration = Duration::from_millis(500);
impl Context {
    /// Calls AWS.
    pub async fn call<T, E, F>(&self, op: Op, request: impl Fn() -> F) -> Result<T, AwsError>
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
        F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    {
        let began = Instant::now();
        let mut retries = Retries::default();
        let mut unready: Option<Polling<'_>> = None;
        loop {
            self.may_call(op)?;
            self.turn(op).await?;
            let error = match self.attempt(op, &request).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let kind = match (error.kind, op.missing) {
                (ErrorKind::NotFound, Missing::NotYet) => ErrorKind::Settling,
                (ErrorKind::Transient, _) if op.repeat == Repeat::Never => return Err(error),
                (kind, _) => kind,
            };
            let Some(patience) = retries.patience(kind) else {
                return Err(error);
            };
            let limit = match (error.is_unreached, kind) {
                (true, _) => op.reached_within,
                (false, ErrorKind::Transient) => op.well_within,
                (false, _) => None,
            };
            if limit.is_some_and(|limit| began.elapsed() >= limit / 2) {
                return Err(error);
            }
            let longest = match kind {
                ErrorKind::Settling | ErrorKind::Busy => {
                    let unready = unready.get_or_insert_with(|| Polling::begin(self.unready()));
                    longest_pause(unready.count(), patience.longest)
                }
                _ => patience.longest,
            };
            self.back_off(op, &error, kind, retries.attempts, patience.first, longest)
                .await?;
        }
    }

    /// Calls what makes another one each time. Where nobody knows whether it was made, `look` finds out before it is called
    /// again, with the patience of the error table over all attempts.
    pub async fn call_once<T, E, F, L>(
        &self,
        op: Op,
        request: impl Fn() -> F,
        look: impl Fn() -> L,
    ) -> Result<T, AwsError>
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
        F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
        L: Future<Output = Result<Option<T>, AwsError>>,
    {
        let mut retries = Retries::default();
        loop {
            let error = match self.call(op.once(), &request).await {
                Err(error) if error.kind == ErrorKind::Transient => error,
                other => return other,
            };
            if let Some(made) = look().await? {
                return Ok(made);
            }
            let Some(Patience { first, longest, .. }) = retries.patience(error.kind) else {
                return Err(error);
            };
            self.back_off(op, &error, error.kind, retries.attempts, first, longest)
                .await?;
        }
    }

    /// Waits before the next attempt, longer after each.
    async fn back_off(
        &self,
        op: Op,
        error: &AwsError,
        kind: ErrorKind,
        attempt: u32,
        first: Duration,
        longest: Duration,
    ) -> Result<(), AwsError> {
        let grown = first.saturating_mul(1 << (attempt - 1).min(10)).min(longest);
        let delay = jittered(grown, self.calls(), kind);
        self.emit(Event::Retrying {
            id: on_whose_behalf(),
            operation: format!("{}:{}", op.service, op.name),
            attempt,
            reason: error.message.clone(),
            delay_millis: millis(delay),
        });
        self.pause(op, delay).await
    }

    async fn attempt<T, E, F>(&self, op: Op, request: &impl Fn() -> F) -> Result<T, AwsError>
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
        F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    {
        self.count_calls(1);
        let start = Instant::now();
        let answer = match tokio::time::timeout(op.limit, request()).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => {
                let error = AwsError::from_sdk(op.service, op.name, self.rules(op.service), &error);
                Err(error.at(|| self.clients().endpoint(op.service, self.identity())))
            }
            Err(_) => Err(AwsError::own(
                op.service,
                op.name,
                ErrorKind::Transient,
                format!("no answer within {} s", op.limit.as_secs()),
            )),
        };
        let took = start.elapsed();
        spend(|spent| {
            spent.calls += 1;
            spent.calling += took;
        });
        self.emit(Event::Call {
            operation: format!("{}:{}", op.service, op.name),
            millis: millis(took),
            outcome: match &answer {
                Ok(_) => "ok".to_owned(),
                Err(error) => error.code.clone().unwrap_or_else(|| format!("{:?}", error.kind)),
            },
        });
        answer
    }

    /// Whether another call may start.
    fn may_call(&self, op: Op) -> Result<(), AwsError> {
        if op.guard == Guard::None {
            return Ok(());
        }
        if op.guard == Guard::Lease && self.cancel().is_cancelled() {
            return Err(AwsError::own(
                op.service,
                op.name,
                ErrorKind::Interrupted,
                "stopped before the call was made",
            ));
        }
        match self.lease() {
            Some(lease) if !lease.outlives(op.guarded) => Err(AwsError::own(
                op.service,
                op.name,
                ErrorKind::LeaseLost,
                "the lease on this stage was lost before the call was made",
            )),
            Some(_) | None => Ok(()),
        }
    }

    /// Waits for the call's turn under its quota.
    async fn turn(&self, op: Op) -> Result<(), AwsError> {
        let turn = async {
            let began = Instant::now();
            self.pacer().pace(op.service, op.name).await;
            spend(|spent| spent.waiting += began.elapsed());
        };
        if op.guard != Guard::Lease {
            turn.await;
            return self.may_call(op);
        }
        tokio::select! {
            () = turn => self.may_call(op),
            () = self.cancel().cancelled() => self.may_call(op),
        }
    }

    pub(super) async fn pause(&self, op: Op, delay: Duration) -> Result<(), AwsError> {
        spend(|spent| spent.waiting += delay);
        if op.guard != Guard::Lease {
            tokio::time::sleep(delay).await;
            return self.may_call(op);
        }
        tokio::select! {
            () = tokio::time::sleep(delay) => Ok(()),
            () = self.cancel().cancelled() => self.may_call(op),
        }
    }
}

/// How often a call was repeated, and how long for each kind of error. Kinds that take turns are not a reason to begin anew.
#[derive(Default)]
struct Retries {
    attempts: u32,
    spent: HashMap<ErrorKind, Duration>,
    last: Option<(ErrorKind, Instant)>,
}

impl Retries {
    /// Counts a failure; none when the patience with its kind is at its end.
    fn patience(&mut self, kind: ErrorKind) -> Option<Patience> {
        self.attempts += 1;
        if let Some((last, at)) = self.last.replace((kind, Instant::now())) {
            *self.spent.entry(last).or_default() += at.elapsed();
        }
        let spent = self.spent.get(&kind).copied().unwrap_or_default();
        patience(kind).filter(|patience| spent < patience.total)
    }
}

/// Longest pause before one of `unready` calls is repeated.
fn longest_pause(unready: u32, longest: Duration) -> Duration {
    (UNREADY_SHARE * unready).max(UNREADY_PAUSE).min(longest)
}

/// A pause somewhere in the upper part of what backing off allows: throttled calls are spread over all of it.
fn jittered(grown: Duration, seed: u64, kind: ErrorKind) -> Duration {
    let spread = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40;
    #[expect(clippy::cast_precision_loss, reason = "24 bits")]
    let share = spread as f64 / f64::from(1u32 << 24);
    match kind {
        ErrorKind::Throttled => grown.mul_f64(0.3 + 0.7 * share),
        _ => grown.mul_f64(0.8 + 0.2 * share),
    }
}

#[cfg(test)]
mod tests {
    use aws_smithy_types::body::SdkBody;
    use aws_smithy_types::error::ErrorMetadata;
    use futures::future::join_all;

    use super::*;
    use crate::aws::client::context::tests::context;
    use crate::aws::client::op::op;

    fn refused(status: u16, code: &str) -> SdkError<ErrorMetadata, HttpResponse> {
        let answer = HttpResponse::new(status.try_into().expect("a status"), SdkBody::empty());
        SdkError::service_error(ErrorMetadata::builder().code(code).build(), answer)
    }

    #[tokio::test(start_paused = true)]
    async fn errors_that_take_turns_end_as_well() {
        let context = context().await;
        let began = Instant::now();
        let calls = std::cell::Cell::new(0);
        let answer: Result<(), AwsError> = context
            .call(op("lambda", "GetFunction"), || {
                calls.set(calls.get() + 1);
                let is_even = calls.get() % 2 == 0;
                async move {
                    Err(match is_even {
                        true => refused(500, "ServiceException"),
                        false => refused(429, "TooManyRequestsException"),
                    })
                }
            })
            .await;
        assert!(answer.is_err());
        assert!(began.elapsed() < Duration::from_secs(400), "{:?}", began.elapsed());
    }

    /// CreateApi and its like: AWS answers 500 for ever, and nothing was made.
    #[tokio::test(start_paused = true)]
    async fn what_must_not_be_made_twice_is_tried_as_long_as_anything_else() {
        let context = context().await;
        let began = Instant::now();
        let made: Result<(), AwsError> = context
            .call_once(
                op("apigateway", "CreateApi"),
                || async { Err(refused(500, "InternalFailure")) },
                || async { Ok(None) },
            )
            .await;
        assert_eq!(made.map_err(|error| error.kind), Err(ErrorKind::Transient));
        let took = began.elapsed();
        assert!((50..=70).contains(&took.as_secs()), "{took:?}");
        assert!(context.calls() < 40, "{}", context.calls());
    }

    #[tokio::test]
    async fn what_was_made_although_nobody_said_so_is_taken() {
        let context = context().await;
        let made = context
            .call_once(
                op("apigateway", "CreateApi"),
                || async { Err::<u8, _>(refused(500, "InternalFailure")) },
                || async { Ok(Some(7)) },
            )
            .await;
        assert_eq!((made, context.calls()), (Ok(7), 1));
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_network_the_first_call_fails_soon_and_says_what_it_wanted() {
        let context = context().await;
        let nobody = || async {
            let error = std::io::Error::other("failed to lookup address information");
            let error = aws_smithy_runtime_api::client::result::ConnectorError::io(error.into());
            Err::<(), SdkError<ErrorMetadata, HttpResponse>>(SdkError::dispatch_failure(error))
        };
        let check = async |op: Op, longest: u64| {
            let began = Instant::now();
            let error = context.call(op, nobody).await.expect_err("there is no network");
            let took = began.elapsed();
            assert!(took <= Duration::from_secs(longest), "{took:?}");
            error
        };
        let error = check(op("sts", "GetCallerIdentity").first(), 5).await;
        assert_eq!(
            error.message,
            "sts.eu-central-1.amazonaws.com cannot be reached: failed to lookup address information"
        );
        check(op("lambda", "GetFunction"), 70).await;
    }

    /// As many tables as given, made at once, whose backups can be switched on after `ready`: how long each call waited
    /// longer than that at most, and how many calls there were.
    async fn unready(tables: usize, ready: Duration) -> (Duration, u64) {
        let context = context().await;
        let began = Instant::now();
        let calls = (0..tables).map(|_| {
            context.call(op("dynamodb", "UpdateContinuousBackups"), || async {
                if began.elapsed() >= ready {
                    return Ok(());
                }
                Err(refused(400, "ContinuousBackupsUnavailableException"))
            })
        });
        let taken = join_all(calls).await;
        assert!(taken.iter().all(Result::is_ok));
        (began.elapsed().saturating_sub(ready), context.calls())
    }

    #[tokio::test(start_paused = true)]
    async fn lone_waiter_polls_fast_within_quota() {
        let (late, calls) = unready(4, Duration::from_secs(6)).await;
        assert!(late <= UNREADY_PAUSE, "{late:?}");
        assert!(calls <= 4 * 16, "{calls}");
        // Many together have ten calls a second, and so a turn every four seconds.
        let (late, calls) = unready(40, Duration::from_secs(60)).await;
        assert!(late <= Duration::from_secs(6), "{late:?}");
        assert!(calls <= 700, "{calls}");
    }
}
