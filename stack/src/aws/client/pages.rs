//! Listings that come in pages.

use std::future::Future;

use crate::aws::client::context::Context;
use crate::aws::client::error::{AwsError, ErrorKind};

/// Most pages of one listing: a service that returns new tokens for ever must not hold a run.
const MOST: usize = 1_000;

impl Context {
    /// All items of a listing. `page` asks for the page at a token, none for the first, and returns its items with the token
    /// of the next page; an empty token ends the listing like none. A token that comes back, or pages without end, are an error.
    pub(in crate::aws) async fn pages<T, F>(&self, page: impl Fn(Option<String>) -> F) -> Result<Vec<T>, AwsError>
    where
        F: Future<Output = Result<(Vec<T>, Option<String>), AwsError>>,
    {
        let mut all = Vec::new();
        let mut token = None;
        for _ in 0..MOST {
            let (items, next) = page(token.clone()).await?;
            all.extend(items);
            let next = next.filter(|token| !token.is_empty());
            if next.is_none() {
                return Ok(all);
            }
            advanced(&token, &next)?;
            token = next;
        }
        Err(endless(format!("a listing did not end after {MOST} pages")))
    }
}

/// Refuses a listing whose next page is the one that was just read.
pub(in crate::aws) fn advanced<T: PartialEq>(read: &T, next: &T) -> Result<(), AwsError> {
    match read == next {
        true => Err(endless("a listing returned the same page token twice".to_owned())),
        false => Ok(()),
    }
}

fn endless(message: String) -> AwsError {
    AwsError::own("taskctl", "list", ErrorKind::Invalid, message)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::aws::client::context::tests::context;

    #[tokio::test]
    async fn pages_are_followed_to_an_empty_token() {
        let context = context().await;
        let pages = |token: Option<String>| async move {
            Ok(match token.as_deref() {
                None => (vec![1, 2], Some("a".to_owned())),
                Some("a") => (vec![], Some("b".to_owned())),
                Some(_) => (vec![3], Some(String::new())),
            })
        };
        assert_eq!(context.pages(pages).await.unwrap(), [1, 2, 3]);
    }

    #[tokio::test]
    async fn a_listing_without_end_is_an_error() {
        let context = context().await;
        let pages = std::cell::Cell::new(0);
        let endless = |_| {
            pages.set(pages.get() + 1);
            let token = pages.get().to_string();
            async { Ok((vec![()], Some(token))) }
        };
        let error = context.pages(endless).await.unwrap_err();
        assert_eq!((error.kind, pages.get()), (ErrorKind::Invalid, MOST));
    }

    #[tokio::test]
    async fn a_token_that_comes_back_is_an_error() {
        let context = context().await;
        let pages = std::cell::Cell::new(0);
        let again = |_| {
            pages.set(pages.get() + 1);
            async { Ok((vec![()], Some("again".to_owned()))) }
        };
        let error = context.pages(again).await.unwrap_err();
        assert_eq!((error.kind, pages.get()), (ErrorKind::Invalid, 2));
    }
}
