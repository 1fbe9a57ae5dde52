//! Lists, newest first, by month partitions of an index: where a record goes, which partitions there are, and the walk over them.
//! `docs/data-model.md` describes the layout and its cost.

mod directory;
mod month;
mod walk;

use std::cell::RefCell;

use crate::http::{Failure, Query, Request};
use crate::ports::{Attribute, HotSpot, Item, Store, StoreError};
use crate::record::{Millis, RecordId};

pub use month::Month;

use directory::Directory;

/// Item that names the list partitions of a table.
pub const DIRECTORY_KEY: &str = "directory";
/// Index attribute of the unfiltered lists.
pub const LIST_PARTITION: &str = "listPartition";
/// Index attribute of the lists by status.
pub const STATUS_PARTITION: &str = "statusPartition";

/// Which index a list is read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Index {
    /// `createdAt-index`, sorted by the table's key.
    ById,
    /// `createdAt-index`, sorted by `createdAt`.
    ByCreation,
    /// `status-index`, sorted by the table's key.
    ByStatus,
}

/// One list: an index, a label in it, and the prefix of the id in the table's key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct List {
    /// Index.
    pub index: Index,
    /// Label of its partitions, e.g. `all`.
    pub label: String,
    /// Prefix of the id in the table's key; empty for records.
    pub key_prefix: String,
    /// Months that ended before this time hold nothing any more.
    pub since: Option<Millis>,
}

/// Where a page begins and how long it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageRequest {
    /// Records wanted, 1–100.
    pub limit: usize,
    /// Last id of the page before.
    pub after: Option<RecordId>,
}

impl PageRequest {
    /// `limit` and `lastKey` of a request.
    pub fn of(request: &Request) -> Result<Self, Failure> {
        Self::from_query(&request.query)
    }

    fn from_query(query: &Query) -> Result<Self, Failure> {
        let after = match query.value("lastKey")? {
            None => None,
            Some(text) => match RecordId::parse(text) {
                Some(id) => Some(id),
                None => return Err(Failure::field("lastKey", "must be the 'nextKey' of the page before")),
            },
        };
        Ok(Self {
            limit: query.limit()?,
            after,
        })
    }
}

/// The records that entries of a list point at, in the entries' order; those that are gone are left out.
pub async fn fetch<S: Store>(store: &S, entries: &[Entry]) -> Result<Vec<Item>, StoreError> {
    const BATCH: usize = 100;
    let keys: Vec<String> = entries.iter().map(|entry| entry.id.to_string()).collect();
    let mut found = Vec::with_capacity(keys.len());
    for keys in keys.chunks(BATCH) {
        found.extend(store.get_many(keys).await?);
    }
    // Keys are ids, so their order is the list's.
    found.sort_by(|one, other| other.text(store.key_attribute()).cmp(&one.text(store.key_attribute())));
    Ok(found)
}

/// A page of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListPage<T> {
    /// The records.
    pub items: Vec<T>,
    /// Where the next page begins, if there may be more: the last id of this page, or a place beyond it when the page is short
    /// because its reads were used up.
    pub next: Option<RecordId>,
}

/// An entry of an index: a record, or a posting that points at one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Id of the record.
    pub id: RecordId,
    /// What the index holds of it.
    pub item: Item,
}

/// A record's position in the lists; fixed when it is created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place(String);

impl Place {
    /// Reads it back from a record.
    pub fn of(item: &Item) -> Option<Self> {
        let partition = item.text(LIST_PARTITION)?;
        let (rest, number) = partition.rsplit_once('/')?;
        let (_, month) = rest.rsplit_once('/')?;
        Some(Self(format!("{month}/{number}")))
    }

    /// The partition key of a label at this place.
    pub fn partition(&self, label: &str) -> Attribute {
        Attribute::Text(format!("{label}/{}", self.0))
    }
}

/// The lists of one table.
#[derive(Debug)]
pub struct Listing {
    directory: RefCell<Directory>,
}

impl Listing {
    /// Lists whose months have at least `partitions` partitions (1–16).
    pub fn new(partitions: usize) -> Self {
        Self {
            directory: RefCell::new(Directory::new(partitions)),
        }
    }

    /// The place for a new record; opens its month when this is the first one.
    pub async fn place<S: Store>(&self, store: &S, id: RecordId, now: Millis) -> Result<Place, StoreError> {
        self.refresh(store, now).await?;
        let missing = self.directory.borrow().missing(Month::of(id.created()), now);
        if !missing.is_empty() {
            store.extend_set(DIRECTORY_KEY, "partitions", missing.clone()).await?;
            self.directory.borrow_mut().add(missing);
        }
        let number = self.directory.borrow().choose(id, now);
        Ok(Place(format!("{}/{number}", Month::of(id.created()))))
    }

    /// Opens more partitions when a create was throttled because of an index.
    pub async fn relieve<S: Store>(&self, store: &S, failure: &Failure, now: Millis) {
        let Failure::Unavailable(cause) = failure else { return };
        let Some(StoreError::Throttled {
            hot: HotSpot::IndexPartition,
            ..
        }) = cause.downcast_ref()
        else {
            return;
        };
        let wider = self.directory.borrow().wider(Month::of(now), now);
        if wider.is_empty() {
            return;
        }
        match store.extend_set(DIRECTORY_KEY, "partitions", wider.clone()).await {
            Ok(()) => self.directory.borrow_mut().add(wider),
            Err(error) => tracing::warn!(%error, "list partitions could not be added"),
        }
    }

    /// A page of a list. `accept` turns entries into records, leaving out those that do not belong (any more). The page is shorter than
    /// asked for at the list's end, and when it has read as much as one request may; then it may be empty, and the next page continues.
    pub async fn page<S: Store, T>(
        &self,
        store: &S,
        list: &List,
        request: PageRequest,
        now: Millis,
        mut accept: impl AsyncFnMut(Vec<Entry>) -> Result<Vec<(RecordId, T)>, Failure>,
    ) -> Result<ListPage<T>, Failure> {
        self.refresh(store, now).await?;
        let months = self.directory.borrow().months(request.after, list.since, now);
        let mut walk = walk::Walk::new(store, list, months, request.after);
        let mut found: Vec<(RecordId, T)> = Vec::new();
        // One more than asked for shows whether there is a next page.
        while found.len() <= request.limit {
            let entries = walk.next(request.limit + 1 - found.len()).await?;
            if entries.is_empty() {
                break;
            }
            found.extend(accept(entries).await?);
        }
        let next = if found.len() > request.limit {
            found.truncate(request.limit);
            found.last().map(|(id, _)| *id)
        } else {
            walk.place()
        };
        Ok(ListPage {
            items: found.into_iter().map(|(_, record)| record).collect(),
            next,
        })
    }

    async fn refresh<S: Store>(&self, store: &S, now: Millis) -> Result<(), StoreError> {
        if self.directory.borrow().fresh(now) {
            return Ok(());
        }
        let item = store.get(DIRECTORY_KEY).await?;
        self.directory.borrow_mut().replace(item.as_ref(), now);
        Ok(())
    }
}
