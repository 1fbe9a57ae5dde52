//! Calls that take many names at once, made by many callers with one name each. Whoever's turn comes first takes along
//! all who wait, so that a crowd costs two calls and nobody waits for a timer.

use parking_lot::Mutex;
use std::collections::HashMap;

use tokio::sync::oneshot;

use crate::aws::client::context::Context;
use crate::aws::client::error::AwsError;

type Answer = Result<(), AwsError>;

/// Who waits, by queue.
#[derive(Debug, Default)]
pub struct Batches {
    waiting: Mutex<HashMap<&'static str, Vec<Waiting>>>,
}

#[derive(Debug)]
struct Waiting {
    name: String,
    answer: oneshot::Sender<Answer>,
}

impl Batches {
    /// Does something to `name` in one call with others of the same queue, at most `limit` at a time. All of a call share
    /// its answer.
    pub async fn join<F: Future<Output = Answer>>(
        context: &Context,
        queue: &'static str,
        limit: usize,
        name: &str,
        call: impl Fn(Vec<String>) -> F,
    ) -> Answer {
        let mut answer = context.batches().wait(queue, name);
        // Callers that start together are all waiting before the first one goes.
        tokio::task::yield_now().await;
        let _turn = context.serial(queue).await;
        loop {
            match answer.try_recv() {
                Ok(answer) => return answer,
                Err(oneshot::error::TryRecvError::Empty) => {}
                // Whoever took this one along was stopped before the answer came.
                Err(oneshot::error::TryRecvError::Closed) => answer = context.batches().wait(queue, name),
            }
            let batch = context.batches().take(queue, limit);
            let outcome = call(batch.iter().map(|waiting| waiting.name.clone()).collect()).await;
            for waiting in batch {
                // One that has stopped waiting needs no answer.
                let _ = waiting.answer.send(outcome.clone());
            }
        }
    }

    fn wait(&self, queue: &'static str, name: &str) -> oneshot::Receiver<Answer> {
        let (answer, receiver) = oneshot::channel();
        let mut waiting = self.waiting.lock();
        waiting.entry(queue).or_default().push(Waiting {
            name: name.to_owned(),
            answer,
        });
        receiver
    }

    fn take(&self, queue: &'static str, limit: usize) -> Vec<Waiting> {
        let mut waiting = self.waiting.lock();
        let all = waiting.entry(queue).or_default();
        // One who was stopped while waiting is not served.
        all.retain(|one| !one.answer.is_closed());
        all.drain(..limit.min(all.len())).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures::future::join_all;

    use super::*;
    use crate::aws::client::context::tests::context;
    use crate::aws::client::error::ErrorKind;

    #[tokio::test]
    async fn a_crowd_shares_calls_and_each_gets_the_answer_of_its_own() {
        let context = context().await;
        let sizes = Mutex::new(Vec::new());
        let names: Vec<String> = (0..250).map(|n| n.to_string()).collect();
        let answers = join_all(names.iter().map(|name| {
            Batches::join(&context, "queue", 100, name, |names| {
                sizes.lock().push(names.len());
                async move {
                    tokio::task::yield_now().await;
                    match names.iter().any(|name| name == "249") {
                        true => Err(AwsError::own("test", "Delete", ErrorKind::Invalid, "no")),
                        false => Ok(()),
                    }
                }
            })
        }))
        .await;
        let sizes = sizes.into_inner();
        assert_eq!(sizes, [100, 100, 50]);
        assert_eq!(answers.iter().filter(|answer| answer.is_err()).count(), 50);
    }

    #[tokio::test]
    async fn whoever_was_taken_along_by_one_that_stopped_goes_again() {
        let context = context().await;
        let calls = AtomicUsize::new(0);
        let stuck = Batches::join(&context, "queue", 100, "a", |_| std::future::pending());
        let other = Batches::join(&context, "queue", 100, "b", |names| {
            calls.fetch_add(1, Ordering::Relaxed);
            async move {
                assert_eq!(names, ["b"]);
                Ok(())
            }
        });
        let stopped = async {
            tokio::select! {
                biased;
                _ = stuck => {}
                () = async { for _ in 0..10 { tokio::task::yield_now().await; } } => {}
            }
        };
        let ((), answer) = futures::join!(stopped, other);
        assert_eq!((answer, calls.load(Ordering::Relaxed)), (Ok(()), 1));
    }
}
