//! What the functions need from outside, as small traits: a table, a bucket, a clock, ids. Not their implementations, which are
//! `aws` for real and `memory` in tests.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::future::Future;

use crate::record::{Millis, RecordId};

/// The value of an attribute, as far as these functions use them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attribute {
    /// `S`
    Text(String),
    /// `N`, whole numbers.
    Number(i64),
    /// `L` of `S`
    Texts(Vec<String>),
    /// `SS`
    Set(BTreeSet<String>),
}

impl From<&str> for Attribute {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Attribute {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<Vec<String>> for Attribute {
    fn from(texts: Vec<String>) -> Self {
        Self::Texts(texts)
    }
}

impl From<i64> for Attribute {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

/// An item of a table: attributes by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Item(pub BTreeMap<String, Attribute>);

impl Item {
    /// This item with one attribute more.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Attribute>) -> Self {
        self.0.insert(name.to_owned(), value.into());
        self
    }

    /// This item with the attribute, when there is a value.
    #[must_use]
    pub fn with_some(self, name: &str, value: Option<impl Into<Attribute>>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    /// A text attribute.
    pub fn text(&self, name: &str) -> Option<&str> {
        match self.0.get(name) {
            Some(Attribute::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// A number attribute.
    pub fn number(&self, name: &str) -> Option<i64> {
        match self.0.get(name) {
            Some(Attribute::Number(number)) => Some(*number),
            _ => None,
        }
    }

    /// A list of texts; none is an empty list.
    pub fn texts(&self, name: &str) -> &[String] {
        match self.0.get(name) {
            Some(Attribute::Texts(texts)) => texts,
            _ => &[],
        }
    }

    /// What to set and what to remove to make this item the other one.
    pub fn changes_to(&self, other: &Self) -> (Self, Vec<String>) {
        let set = other.0.iter().filter(|(name, value)| self.0.get(*name) != Some(*value));
        let removed = self.0.keys().filter(|name| !other.0.contains_key(*name));
        (
            Self(set.map(|(name, value)| (name.clone(), value.clone())).collect()),
            removed.cloned().collect(),
        )
    }

    /// Whether the item's time to live is over. DynamoDB deletes late, so readers look:
    /// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/howitworks-ttl.html>.
    pub fn expired(&self, now: Millis) -> bool {
        self.number(TTL).is_some_and(|ttl| ttl <= now.seconds())
    }
}

/// Attribute that holds the expiry of an item, epoch seconds.
pub const TTL: &str = "ttl";
/// Attribute that counts the changes of a record.
pub const REVISION: &str = "revision";
/// Attribute of an item that belongs to a record: the record's id.
pub const OWNER: &str = "owner";

/// What a write of a transaction requires of the item that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// Nothing.
    Always,
    /// There is none.
    Absent,
    /// There is none, or its time to live is over.
    AbsentOrExpired(Millis),
    /// There is none, its time to live is over, or it is reserved for this owner.
    FreeFor {
        /// The time to judge expiry by.
        now: Millis,
        /// The owner.
        owner: String,
    },
    /// It is there and has been changed so many times.
    Revision(i64),
}

/// One write of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Write {
    /// The item as given, instead of what is there.
    Put {
        /// The whole item with its key.
        item: Item,
        /// What must hold.
        when: Condition,
    },
    /// These attributes changed, others left alone.
    Update {
        /// Key of the item.
        key: String,
        /// Attributes to set.
        set: Item,
        /// Attributes to remove.
        remove: Vec<String>,
        /// What must hold.
        when: Condition,
    },
    /// The item gone.
    Delete {
        /// Key of the item.
        key: String,
        /// What must hold.
        when: Condition,
    },
}

/// How a transaction ended, other than by failing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Commit {
    /// All writes are there, once, whatever happened on the way.
    Done,
    /// None is: these conditions did not hold.
    Refused(Vec<Refusal>),
    /// None is: another transaction was writing the same item. Try again.
    Contended,
}

/// A write whose condition did not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Which write, counted from 0.
    pub write: usize,
    /// What is there.
    pub existing: Option<Item>,
}

/// A read of one index partition, newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexQuery {
    /// Index name.
    pub index: &'static str,
    /// The index's partition key attribute.
    pub partition_attribute: &'static str,
    /// Its value.
    pub partition: String,
    /// Upper end of the sort key.
    pub below: Below,
    /// At most so many items, at least 1.
    pub limit: usize,
    /// Where the page before ended.
    pub start: Option<Item>,
}

/// Upper end of a query's sort key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Below {
    /// None: from the newest on.
    Open,
    /// Texts less than this one.
    Text {
        /// The index's sort key attribute.
        attribute: &'static str,
        /// First value that is too great.
        less_than: String,
    },
    /// Numbers up to this one.
    Number {
        /// The index's sort key attribute.
        attribute: &'static str,
        /// Last value that counts.
        at_most: i64,
    },
}

/// A page of a query.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// Items in descending order of the sort key.
    pub items: Vec<Item>,
    /// Where to go on; none at the end.
    pub next: Option<Item>,
}

/// Why a store could not do it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Too many requests; nothing was changed.
    #[error("{operation} was throttled")]
    Throttled {
        /// What was asked.
        operation: &'static str,
        /// Whether an index partition may be what is too hot.
        hot: HotSpot,
        /// What the service said.
        source: Box<dyn Error + Send + Sync>,
    },
    /// Anything else; a write may or may not have happened.
    #[error("{operation} failed")]
    Failed {
        /// What was asked.
        operation: &'static str,
        /// What the service said.
        source: Box<dyn Error + Send + Sync>,
    },
}

/// What throttling is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HotSpot {
    /// Writes to one partition of an index, possibly.
    IndexPartition,
    /// Something that more partitions do not help.
    Elsewhere,
}

/// One table.
pub trait Store {
    /// Name of the partition key attribute.
    fn key_attribute(&self) -> &'static str;

    /// Reads an item, consistently.
    fn get(&self, key: &str) -> impl Future<Output = Result<Option<Item>, StoreError>>;

    /// Reads up to 100 items, consistently; those that are not there are left out, the order is any.
    fn get_many(&self, keys: &[String]) -> impl Future<Output = Result<Vec<Item>, StoreError>>;

    /// Reads a page of an index partition, newest first; eventually consistent.
    fn query(&self, query: &IndexQuery) -> impl Future<Output = Result<Page, StoreError>>;

    /// All of these writes, or none. At most 100, each on another item.
    fn commit(&self, writes: &[Write]) -> impl Future<Output = Result<Commit, StoreError>>;

    /// Adds members to a set attribute, making item and attribute when they are not there.
    fn extend_set(
        &self,
        key: &str,
        attribute: &'static str,
        members: BTreeSet<String>,
    ) -> impl Future<Output = Result<(), StoreError>>;
}

/// The visitor counter's item.
pub trait Counter {
    /// Raises the count by one and answers the new one. A failure other than throttling leaves open whether it was raised.
    fn raise(&self, now: Millis) -> impl Future<Output = Result<i64, StoreError>>;
}

/// A read that proves that the database answers.
pub trait Probe {
    /// The count, or none where the item or the counter does not exist.
    fn read(&self) -> impl Future<Output = Result<Option<i64>, StoreError>>;
}

/// What is known of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectHead {
    /// Size, bytes.
    pub size: i64,
    /// Entity tag, with its quotes.
    pub etag: String,
}

/// An upload to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Upload<'a> {
    /// Object key.
    pub key: &'a str,
    /// Media type that it must have.
    pub content_type: &'a str,
    /// Size that it must have, bytes.
    pub size: i64,
    /// Entity tag of what it replaces, with its quotes; anything else there, or nothing, and it is refused.
    pub replaces: &'a str,
}

/// A URL that needs no credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedUrl {
    /// The URL.
    pub url: String,
    /// Headers that the request must carry.
    pub headers: BTreeMap<String, String>,
}

/// One bucket.
pub trait Objects {
    /// Name of the bucket.
    fn bucket(&self) -> &str;

    /// Looks at an object; none when it is not there.
    fn head(&self, key: &str) -> impl Future<Output = Result<Option<ObjectHead>, StoreError>>;

    /// Removes an object; one that is not there is no error.
    fn delete(&self, key: &str) -> impl Future<Output = Result<(), StoreError>>;

    /// Puts an object there that stands for an upload to come, unlike any other, and answers its entity tag.
    fn reserve(&self, key: &str) -> impl Future<Output = Result<String, StoreError>>;

    /// A URL for that upload, valid for `seconds`.
    fn upload_url(&self, upload: &Upload<'_>, seconds: u32) -> impl Future<Output = Result<SignedUrl, StoreError>>;

    /// A URL to download from, valid for `seconds`, with that `content-disposition`.
    fn download_url(
        &self,
        key: &str,
        disposition: &str,
        seconds: u32,
    ) -> impl Future<Output = Result<SignedUrl, StoreError>>;
}

/// The time.
pub trait Clock {
    /// Now.
    fn now(&self) -> Millis;
}

/// New ids.
pub trait Ids {
    /// An id that no other record has, carrying the current time.
    fn next(&self) -> RecordId;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Millis {
        Millis::now()
    }
}

/// Random ids at the machine's time.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemIds;

impl Ids for SystemIds {
    fn next(&self) -> RecordId {
        RecordId::new()
    }
}
