//! The users function: `/users`.

mod email;
mod model;

use serde_json::json;

use crate::aws::{DynamoStore, Environment, EnvironmentError, number, required};
use crate::contention::{Attempt, until_finished};
use crate::http::{Failure, Function, IfMatch, Request, Response, RouteSpec, etag, shortened};
use crate::idempotency::{Created, IdempotencyKey, create, forget, refuse};
use crate::listing::{Index, List, Listing, PageRequest};
use crate::ports::{
    Below, Clock, Commit, Condition, Ids, IndexQuery, OWNER, Refusal, Store, SystemClock, SystemIds, Write,
};
use crate::record::{Millis, RecordId};

pub use email::Email;
pub use model::{Changes, Draft, User};

use model::KEY;

/// The users function.
#[derive(Debug)]
pub struct Users<S, C, I> {
    store: S,
    clock: C,
    ids: I,
    listing: Listing,
}

/// Its routes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// Create a user.
    Create,
    /// Find users by e-mail address, or list all.
    List,
    /// Read a user.
    Get,
    /// Change a user.
    Update,
    /// Delete a user.
    Delete,
}

/// The function as Lambda runs it.
pub fn function() -> Result<Users<DynamoStore, SystemClock, SystemIds>, EnvironmentError> {
    let store = DynamoStore::new(Environment::read()?.dynamodb(), required("USERS_TABLE")?, KEY);
    let partitions = number("LIST_PARTITIONS", "a whole number from 1 to 16", 1..=16, 1)?;
    Ok(Users::new(store, SystemClock, SystemIds, partitions))
}

impl<S: Store, C: Clock, I: Ids> Function for Users<S, C, I> {
    type Route = Route;
    const ROUTES: &'static [RouteSpec<Route>] = &[
        ("POST /users", Route::Create),
        ("GET /users", Route::List),
        ("GET /users/{userId}", Route::Get),
        ("PUT /users/{userId}", Route::Update),
        ("DELETE /users/{userId}", Route::Delete),
    ];

    async fn handle(&self, route: Route, request: &Request) -> Result<Response, Failure> {
        match route {
            Route::Create => self.create(request).await,
            Route::List => self.list(request).await,
            Route::Get => self.get(request).await,
            Route::Update => self.update(request).await,
            Route::Delete => self.delete(request).await,
        }
    }
}

impl<S: Store, C: Clock, I: Ids> Users<S, C, I> {
    /// The function over its ports; `partitions` is the least number of list partitions a month.
    pub fn new(store: S, clock: C, ids: I, partitions: usize) -> Self {
        Self {
            store,
            clock,
            ids,
            listing: Listing::new(partitions),
        }
    }

    async fn create(&self, request: &Request) -> Result<Response, Failure> {
        let now = self.clock.now();
        let key = IdempotencyKey::of(request)?;
        let draft = match Draft::read(request, now) {
            Ok(draft) => draft,
            Err(failure) => return Err(refuse(&self.store, key.as_ref(), failure, now).await),
        };
        let id = self.ids.next();
        let place = self.listing.place(&self.store, id, now).await?;
        let user = draft.into_user(id, place, key.as_ref().map(IdempotencyKey::kept_answer));
        let body = json!({"message": "User created successfully", "userId": id.to_string(), "data": user.view()});
        let answer = Response::json(201, &body)
            .header("location", format!("/users/{id}"))
            .header("etag", etag(user.revision));
        let writes = vec![
            Write::Put {
                item: user.item(),
                when: Condition::Absent,
            },
            Write::Put {
                item: user.reservation(),
                when: free_for(&user, now),
            },
        ];
        match create(&self.store, key.as_ref(), id, writes, &answer, now).await {
            Ok(Created::New) => Ok(answer),
            Ok(Created::Replayed(kept)) => Ok(kept),
            Ok(Created::Refused(_)) => Err(taken()),
            Err(failure) => {
                self.listing.relieve(&self.store, &failure, now).await;
                Err(failure)
            }
        }
    }

    async fn get(&self, request: &Request) -> Result<Response, Failure> {
        let user = self.find(request).await?;
        Ok(Response::json(200, &user.view()).header("etag", etag(user.revision)))
    }

    async fn list(&self, request: &Request) -> Result<Response, Failure> {
        let page = PageRequest::of(request)?;
        if let Some(text) = request.query.value("email")? {
            return self.look_up(&Email::read(text)?).await;
        }
        let now = self.clock.now();
        let list = List {
            index: Index::ByCreation,
            label: "all".to_owned(),
            key_prefix: String::new(),
            since: None,
        };
        let page = self
            .listing
            .page(&self.store, &list, page, now, async |entries| {
                let users = entries.iter().filter_map(|entry| User::from_item(&entry.item, now));
                Ok(users.map(|user| (user.id, user)).collect())
            })
            .await?;
        Ok(shown_list(&page.items, page.next))
    }

    /// The users with that address: one or none, as a list.
    async fn look_up(&self, email: &Email) -> Result<Response, Failure> {
        let now = self.clock.now();
        let query = IndexQuery {
            index: "email-index",
            partition_attribute: "email",
            partition: email.as_str().to_owned(),
            below: Below::Open,
            limit: 10,
            start: None,
        };
        let page = self.store.query(&query).await?;
        let mut users: Vec<User> = page
            .items
            .iter()
            .filter_map(|item| User::from_item(item, now))
            .collect();
        if users.is_empty() && page.next.is_some() {
            // More users with that address than one page has have expired and not been deleted yet; the reservation names its owner.
            users.extend(self.reserved_for(email, now).await?);
        }
        Ok(shown_list(&users, None))
    }

    /// The user whom an address is reserved for.
    async fn reserved_for(&self, email: &Email, now: Millis) -> Result<Option<User>, Failure> {
        let reservation = self.store.get(&email.reservation_key()).await?;
        let Some(owner) = reservation.as_ref().and_then(|item| item.text(OWNER)) else {
            return Ok(None);
        };
        let user = self.store.get(owner).await?;
        let user = user.and_then(|item| User::from_item(&item, now));
        Ok(user.filter(|user| user.email == *email))
    }

    async fn update(&self, request: &Request) -> Result<Response, Failure> {
        let if_match = IfMatch::of(request);
        let changes = Changes::read(request, self.clock.now())?;
        let user = until_finished(async || {
            let now = self.clock.now();
            let before = self.find(request).await?;
            if_match.check(before.revision)?;
            let after = changes.apply(&before, now);
            if after == before {
                return Ok(Attempt::Finished(before));
            }
            match self.store.commit(&update_writes(&before, &after, now)).await? {
                Commit::Done => Ok(Attempt::Finished(after)),
                Commit::Refused(refusals) if is_taken(&refusals) => Err(taken()),
                Commit::Refused(_) | Commit::Contended => Ok(Attempt::Again),
            }
        })
        .await?;
        let body = json!({"message": "User updated successfully", "data": user.view()});
        Ok(Response::json(200, &body).header("etag", etag(user.revision)))
    }

    async fn delete(&self, request: &Request) -> Result<Response, Failure> {
        let if_match = IfMatch::of(request);
        until_finished(async || {
            let user = self.find(request).await?;
            if_match.check(user.revision)?;
            let now = self.clock.now();
            let mut writes = vec![
                Write::Delete {
                    key: user.id.to_string(),
                    when: Condition::Revision(user.revision),
                },
                Write::Delete {
                    key: user.email.reservation_key(),
                    when: free_for(&user, now),
                },
            ];
            writes.extend(forget(user.kept_answer.as_deref(), user.id, now));
            match self.store.commit(&writes).await? {
                Commit::Done => Ok(Attempt::Finished(())),
                Commit::Refused(_) | Commit::Contended => Ok(Attempt::Again),
            }
        })
        .await?;
        Ok(Response::no_content())
    }

    /// The user of the path; what is no id names no user.
    async fn find(&self, request: &Request) -> Result<User, Failure> {
        let given = request.parameter("userId");
        let missing = || Failure::NotFound(format!("User with ID '{}' not found", shortened(given)));
        let id = RecordId::parse(given).ok_or_else(missing)?;
        let item = self.store.get(&id.to_string()).await?;
        item.as_ref()
            .and_then(|item| User::from_item(item, self.clock.now()))
            .ok_or_else(missing)
    }
}

fn shown_list(users: &[User], next: Option<RecordId>) -> Response {
    let items: Vec<_> = users.iter().map(User::view).collect();
    Response::json(200, &json!({"items": items, "nextKey": next.map(|id| id.to_string())}))
}

fn taken() -> Failure {
    Failure::Conflict("A user with this 'email' exists already".to_owned())
}

fn free_for(user: &User, now: Millis) -> Condition {
    Condition::FreeFor {
        now,
        owner: user.id.to_string(),
    }
}

/// Place of the reservation's write in an update's transaction.
const RESERVATION: usize = 1;

/// Whether it is the address that was refused, while the user itself is as it was read.
fn is_taken(refusals: &[Refusal]) -> bool {
    refusals.iter().all(|refusal| refusal.write == RESERVATION)
}

/// The user's own change, and its reservation: the new one with the user's expiry, the old one gone.
fn update_writes(before: &User, after: &User, now: Millis) -> Vec<Write> {
    let (set, remove) = before.item().changes_to(&after.item());
    let mut writes = vec![Write::Update {
        key: after.id.to_string(),
        set,
        remove,
        when: Condition::Revision(before.revision),
    }];
    if before.email != after.email || before.ttl != after.ttl {
        writes.push(Write::Put {
            item: after.reservation(),
            when: free_for(after, now),
        });
    }
    if before.email != after.email {
        writes.push(Write::Delete {
            key: before.email.reservation_key(),
            when: free_for(before, now),
        });
    }
    writes
}

#[cfg(test)]
mod tests;
