//! Listings that come in pages.

use std::future::Future;

use crate::aws::client::context::Context;
use crate::aws::client::error::{AwsError, ErrorKind};

/// Most pages of one listing: a service that returns new tokens for ever must not hold a run.
const MOST: usize = 1_000;

/// How often a listing is begun anew whose token has expired.
const AGAIN: usize = 2;

/// Whether a token is good for nothing any more: the listing begins anew.
/// <https://docs.aws.amazon.com/resourcegroupstagging/latest/APIReference/API_GetResources.html>
fn is_expired(error: &AwsError) -> bool {
    let code = error.code.as_deref().unwrap_or_default();
    code.strip_suffix("Exception").unwrap_or(code) == "PaginationTokenExpired"
}

impl Context {
    /// All items of a listing. `page` asks for the page at a token, none for the first, and returns its items with the token
    /// of the next page; an empty token ends the listing like none. A token that comes back, or pages without end, are an error.
    pub(crate) async fn pages<T, F>(&self, page: impl Fn(Option<String>) -> F) -> Result<Vec<T>, AwsError>
    where
        F: Future<Output = Result<(Vec<T>, Option<String>), AwsError>>,
    {
        let mut all = Vec::new();
        let mut cursor: Cursor<Option<String>> = Cursor::first(MOST);
        let mut again = AGAIN;
        loop {
            let (items, next) = match page(cursor.token().clone()).await {
                Err(error) if again > 0 && is_expired(&error) => {
                    again -= 1;
                    all.clear();
                    cursor = Cursor::first(MOST);
                    continue;
                }
                other => other?,
            };
            all.extend(items);
            let next = next.filter(|token| !token.is_empty());
            if next.is_none() {
                return Ok(all);
            }
            cursor.advance(next)?;
        }
    }
}

/// Where a listing is that is followed page by page.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cursor<T> {
    token: T,
    most: usize,
    left: usize,
}

impl<T: PartialEq> Cursor<T> {
    /// At the first page of a listing that has at most so many.
    pub fn first(most: usize) -> Self
    where
        T: Default,
    {
        Self {
            token: T::default(),
            most,
            left: most,
        }
    }

    /// The token of the page.
    pub fn token(&self) -> &T {
        &self.token
    }

    /// Goes on to the next page. Refused where that is the one that was just read, and after the last that is followed.
    pub fn advance(&mut self, next: T) -> Result<(), AwsError> {
        if self.token == next {
            return Err(endless("a listing returned the same page token twice".to_owned()));
        }
        self.follow(next)
    }

    /// Goes on as [`Self::advance`], of a service that may answer the same page again until it has something.
    pub fn follow(&mut self, next: T) -> Result<(), AwsError> {
        self.left = self.left.saturating_sub(1);
        if self.left == 0 {
            return Err(endless(format!("a listing did not end after {} pages", self.most)));
        }
        self.token = next;
        Ok(())
    }

    /// A page had something: as many more may follow.
    pub fn was_fruitful(&mut self) {
        self.left = self.most;
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
    async fn a_listing_whose_token_expires_begins_anew() {
        let context = context().await;
        let asked = std::cell::Cell::new(0);
        let pages = |token: Option<String>| {
            asked.set(asked.get() + 1);
            let expires = asked.get() == 2;
            async move {
                match token {
                    None => Ok((vec![1], Some("a".to_owned()))),
                    Some(_) if expires => Err(AwsError {
                        code: Some("PaginationTokenExpiredException".to_owned()),
                        ..AwsError::own("tag", "GetResources", ErrorKind::Invalid, "expired")
                    }),
                    Some(_) => Ok((vec![2], None)),
                }
            }
        };
        assert_eq!(context.pages(pages).await.unwrap(), [1, 2]);
        assert_eq!(asked.get(), 4);
    }

    #[test]
    fn a_page_with_something_is_followed_by_as_many_again() {
        let mut cursor = Cursor::<usize>::first(3);
        for page in 1..10 {
            cursor.advance(page).unwrap();
            cursor.was_fruitful();
        }
        cursor.advance(10).unwrap();
        cursor.advance(11).unwrap();
        let error = cursor.advance(12).unwrap_err();
        assert_eq!(error.message, "a listing did not end after 3 pages");
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
