//! A panic fails its request; the process continues.

use std::any::Any;
use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::panic::{self, AssertUnwindSafe};
use std::pin::pin;
use std::task::Poll;

thread_local! {
    static PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// A request's code panicked.
#[derive(Debug, thiserror::Error)]
#[error("panicked at {place}: {message}")]
pub struct Panicked {
    place: String,
    message: &'static str,
}

/// Keeps the place of a panic for the request's log line instead of printing a line of its own.
pub(crate) fn remember_places() {
    panic::set_hook(Box::new(|info| {
        let place = info.location().map(ToString::to_string);
        PLACE.with_borrow_mut(|kept| *kept = place);
    }));
}

/// Runs a future; a panic in it is an error.
pub async fn caught<T>(future: impl Future<Output = T>) -> Result<T, Panicked> {
    let mut future = pin!(future);
    // A future that panicked is not polled again: it is ready with the error.
    poll_fn(|context| match caught_at_once(|| future.as_mut().poll(context)) {
        Ok(Poll::Pending) => Poll::Pending,
        Ok(Poll::Ready(value)) => Poll::Ready(Ok(value)),
        Err(panicked) => Poll::Ready(Err(panicked)),
    })
    .await
}

/// Runs code that does not wait; a panic in it is an error.
pub(crate) fn caught_at_once<T>(code: impl FnOnce() -> T) -> Result<T, Panicked> {
    panic::catch_unwind(AssertUnwindSafe(code)).map_err(|payload| Panicked {
        place: PLACE.take().unwrap_or_else(|| "an unknown place".to_owned()),
        message: message(payload.as_ref()),
    })
}

/// A message written in the code. One made at run time may hold anything that the request had in it: the debug text of an
/// error, the text that was sliced in the wrong place.
fn message(payload: &(dyn Any + Send)) -> &'static str {
    payload
        .downcast_ref::<&'static str>()
        .copied()
        .unwrap_or("its message is left out")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_an_error_with_its_message() {
        let outcome = caught(async {
            if true {
                panic!("seven is not prime")
            }
        })
        .await;
        assert!(outcome.is_err_and(|error| error.to_string().contains("seven is not prime")));
        assert_eq!(caught(async { 7 }).await.ok(), Some(7));
    }

    #[tokio::test]
    async fn a_message_made_at_run_time_is_left_out() {
        let email = String::from("ann@example.com");
        let outcome = caught(async {
            if true {
                panic!("no place for {email}")
            }
        })
        .await;
        let shown = outcome.map_err(|error| error.to_string()).err().unwrap_or_default();
        assert!(
            shown.ends_with("its message is left out") && !shown.contains("ann"),
            "{shown}"
        );
    }
}
