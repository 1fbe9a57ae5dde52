//! The tasks function: `/tasks`.

mod list;
mod model;

use std::collections::BTreeSet;

use serde_json::json;

use crate::aws::{DynamoStore, Environment, EnvironmentError, number, required};
use crate::contention::{Attempt, until_finished};
use crate::http::{Failure, Function, IfMatch, Request, Response, RouteSpec, etag, shortened};
use crate::idempotency::{Created, IdempotencyKey, create, forget, refuse};
use crate::listing::{Listing, PageRequest};
use crate::ports::{Clock, Commit, Condition, Ids, Store, SystemClock, SystemIds, Write};
use crate::record::RecordId;

pub use list::Filter;
pub use model::{Changes, Draft, Priority, Status, Task};

use model::{KEY, posting_key, status_label, tag_label};

/// The tasks function.
#[derive(Debug)]
pub struct Tasks<S, C, I> {
    store: S,
    clock: C,
    ids: I,
    listing: Listing,
}

/// Its routes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// Create a task.
    Create,
    /// List tasks.
    List,
    /// Read a task.
    Get,
    /// Change a task.
    Update,
    /// Delete a task.
    Delete,
}

/// The function as Lambda runs it.
pub fn function() -> Result<Tasks<DynamoStore, SystemClock, SystemIds>, EnvironmentError> {
    let store = DynamoStore::new(Environment::read()?.dynamodb(), required("TASKS_TABLE")?, KEY);
    let partitions = number("LIST_PARTITIONS", "a whole number from 1 to 16", 1..=16, 1)?;
    Ok(Tasks::new(store, SystemClock, SystemIds, partitions))
}

impl<S: Store, C: Clock, I: Ids> Function for Tasks<S, C, I> {
    type Route = Route;
    const ROUTES: &'static [RouteSpec<Route>] = &[
        ("POST /tasks", Route::Create),
        ("GET /tasks", Route::List),
        ("GET /tasks/{taskId}", Route::Get),
        ("PUT /tasks/{taskId}", Route::Update),
        ("PATCH /tasks/{taskId}", Route::Update),
        ("DELETE /tasks/{taskId}", Route::Delete),
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

impl<S: Store, C: Clock, I: Ids> Tasks<S, C, I> {
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
        let draft = match Draft::read(request) {
            Ok(draft) => draft,
            Err(failure) => return Err(refuse(&self.store, key.as_ref(), failure, now).await),
        };
        let id = self.ids.next();
        let place = self.listing.place(&self.store, id, now).await?;
        let task = draft.into_task(id, place, key.as_ref().map(IdempotencyKey::kept_answer));
        let body = json!({"message": "Task created successfully", "taskId": id.to_string(), "data": task.view()});
        let answer = Response::json(201, &body)
            .header("location", format!("/tasks/{id}"))
            .header("etag", etag(task.revision));
        let mut writes = vec![Write::Put {
            item: task.item(),
            when: Condition::Absent,
        }];
        writes.extend(task.tags.iter().map(|tag| Write::Put {
            item: task.posting(tag),
            when: Condition::Always,
        }));
        match create(&self.store, key.as_ref(), id, writes, &answer, now).await {
            Ok(Created::New) => Ok(answer),
            Ok(Created::Replayed(kept)) => Ok(kept),
            Ok(Created::Refused(_)) => Err(Failure::Conflict(format!(
                "Task '{id}' exists already; repeat the request"
            ))),
            Err(failure) => {
                self.listing.relieve(&self.store, &failure, now).await;
                Err(failure)
            }
        }
    }

    async fn get(&self, request: &Request) -> Result<Response, Failure> {
        let task = self.find(request).await?;
        Ok(Response::json(200, &task.view()).header("etag", etag(task.revision)))
    }

    async fn list(&self, request: &Request) -> Result<Response, Failure> {
        let page = PageRequest::of(request)?;
        let filter = Filter::of(request)?;
        let page = list::page(&self.listing, &self.store, &filter, page, self.clock.now()).await?;
        let items: Vec<_> = page.items.iter().map(Task::view).collect();
        Ok(Response::json(
            200,
            &json!({"items": items, "nextKey": page.next.map(|id| id.to_string())}),
        ))
    }

    async fn update(&self, request: &Request) -> Result<Response, Failure> {
        let if_match = IfMatch::of(request);
        let changes = Changes::read(request)?;
        let task = until_finished(async || {
            let before = self.find(request).await?;
            if_match.check(before.revision)?;
            let after = changes.apply(&before, self.clock.now());
            if after == before {
                return Ok(Attempt::Finished(before));
            }
            match self.store.commit(&update_writes(&before, &after)).await? {
                Commit::Done => Ok(Attempt::Finished(after)),
                Commit::Refused(_) | Commit::Contended => Ok(Attempt::Again),
            }
        })
        .await?;
        let body = json!({"message": "Task updated successfully", "data": task.view()});
        Ok(Response::json(200, &body).header("etag", etag(task.revision)))
    }

    async fn delete(&self, request: &Request) -> Result<Response, Failure> {
        let if_match = IfMatch::of(request);
        until_finished(async || {
            let task = self.find(request).await?;
            if_match.check(task.revision)?;
            let mut writes = vec![Write::Delete {
                key: task.id.to_string(),
                when: Condition::Revision(task.revision),
            }];
            writes.extend(task.tags.iter().map(|tag| Write::Delete {
                key: posting_key(tag, task.id),
                when: Condition::Always,
            }));
            writes.extend(forget(task.kept_answer.as_deref(), task.id, self.clock.now()));
            match self.store.commit(&writes).await? {
                Commit::Done => Ok(Attempt::Finished(())),
                Commit::Refused(_) | Commit::Contended => Ok(Attempt::Again),
            }
        })
        .await?;
        Ok(Response::no_content())
    }

    /// The task of the path; what is no id names no task.
    async fn find(&self, request: &Request) -> Result<Task, Failure> {
        let given = request.parameter("taskId");
        let missing = || Failure::NotFound(format!("Task with ID '{}' not found", shortened(given)));
        let id = RecordId::parse(given).ok_or_else(missing)?;
        let item = self.store.get(&id.to_string()).await?;
        item.as_ref().and_then(Task::from_item).ok_or_else(missing)
    }
}

/// The task's own change, and what it means to its postings.
fn update_writes(before: &Task, after: &Task) -> Vec<Write> {
    let (set, remove) = before.item().changes_to(&after.item());
    let mut writes = vec![Write::Update {
        key: after.id.to_string(),
        set,
        remove,
        when: Condition::Revision(before.revision),
    }];
    let (old, new): (BTreeSet<&String>, BTreeSet<&String>) =
        (before.tags.iter().collect(), after.tags.iter().collect());
    writes.extend(old.difference(&new).map(|tag| Write::Delete {
        key: posting_key(tag, after.id),
        when: Condition::Always,
    }));
    let changed = new
        .into_iter()
        .filter(|tag| before.status != after.status || !old.contains(tag));
    writes.extend(changed.map(|tag| Write::Put {
        item: after.posting(tag),
        when: Condition::Always,
    }));
    writes
}

#[cfg(test)]
mod tests;
