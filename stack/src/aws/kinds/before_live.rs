//! What is asked before live moves in a deploy. Several resources move live (the gateway's stage, the functions' aliases): the
//! first that is about to asks, and what it hears counts for all.

use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::OnceCell;

use crate::aws::client::context::Context;
use crate::aws::client::error::AwsError;

/// What is asked before live moves.
#[async_trait]
pub trait BeforeLive: Send + Sync {
    /// Whether live may move. An error keeps it where it is.
    async fn ask(&self, context: &Context) -> Result<(), AwsError>;
}

/// A question, and what came of it.
struct Question {
    asked: Arc<dyn BeforeLive>,
    answer: OnceCell<Result<(), AwsError>>,
}

/// What this run asks before live moves.
#[derive(Default)]
struct Asked(Mutex<Option<Arc<Question>>>);

impl Context {
    /// From now on this is asked before live moves to another release.
    pub fn before_live(&self, asked: Arc<dyn BeforeLive>) {
        let answer = OnceCell::new();
        *self.extension::<Asked>().0.lock() = Some(Arc::new(Question { asked, answer }));
    }

    /// Asks, unless that was done.
    pub(super) async fn ask_before_live(&self) -> Result<(), AwsError> {
        let question = self.extension::<Asked>().0.lock().clone();
        let Some(question) = question else { return Ok(()) };
        let mut is_first = false;
        let asking = question.answer.get_or_init(|| {
            is_first = true;
            question.asked.ask(self)
        });
        match asking.await {
            // Once is enough.
            Err(error) if !is_first => Err(AwsError {
                message: "live stays as it was".to_owned(),
                ..error.clone()
            }),
            answer => answer.clone(),
        }
    }
}
