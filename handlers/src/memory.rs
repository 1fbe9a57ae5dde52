//! The ports in memory, for tests: a table with DynamoDB's conditions, transactions and index pages, a bucket, a clock that is set by hand,
//! and requests.

use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;

use serde_json::Value;

use crate::http::{Body, Failure, Function, Query, Request, Response, resolve};
use crate::ports::{
    Attribute, Below, Clock, Commit, Condition, Counter, HotSpot, Ids, IndexQuery, Item, OWNER, ObjectHead, Objects,
    Page, Probe, REVISION, Refusal, SignedUrl, Store, StoreError, TTL, Upload, Write,
};
use crate::record::{Millis, RecordId};

/// 2025-11-20T23:31:15.123Z
pub(crate) const START: Millis = Millis(1_763_681_475_123);

/// A clock that stops until it is moved.
#[derive(Debug, Clone)]
pub(crate) struct ManualClock(pub(crate) Rc<Cell<i64>>);

impl ManualClock {
    pub(crate) fn new() -> Self {
        Self(Rc::new(Cell::new(START.0)))
    }

    pub(crate) fn advance(&self, millis: i64) {
        self.0.set(self.0.get() + millis);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Millis {
        Millis(self.0.get())
    }
}

/// Ids at that clock's time, made unique by a counter; unordered within a millisecond.
#[derive(Debug, Clone)]
pub(crate) struct CountedIds(pub(crate) ManualClock, Rc<Cell<u64>>);

impl CountedIds {
    pub(crate) fn new(clock: &ManualClock) -> Self {
        Self(clock.clone(), Rc::default())
    }
}

impl Ids for CountedIds {
    fn next(&self) -> RecordId {
        let count = self.1.get() + 1;
        self.1.set(count);
        let mixed = count.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes();
        let mut bits = [0; 10];
        bits[..8].copy_from_slice(&mixed);
        RecordId::from_parts(self.0.now(), bits)
    }
}

/// A table. Clones share it, as two processes would.
#[derive(Debug, Clone)]
pub(crate) struct MemoryStore {
    key: &'static str,
    items: Rc<RefCell<BTreeMap<String, Item>>>,
    /// Commits to come that fail like this, the next one first.
    pub(crate) faults: Rc<RefCell<Vec<Fault>>>,
    /// Calls so far.
    pub(crate) calls: Rc<RefCell<Vec<&'static str>>>,
}

/// How a commit goes wrong.
#[derive(Debug, Clone)]
pub(crate) enum Fault {
    Throttled,
    Failed,
    Contended,
    /// Another request changes the record first.
    Overtaken(Vec<Write>),
}

impl MemoryStore {
    pub(crate) fn new(key: &'static str) -> Self {
        Self {
            key,
            items: Rc::default(),
            faults: Rc::default(),
            calls: Rc::default(),
        }
    }

    pub(crate) fn item(&self, key: &str) -> Option<Item> {
        self.items.borrow().get(key).cloned()
    }

    pub(crate) fn keys(&self) -> Vec<String> {
        self.items.borrow().keys().cloned().collect()
    }

    fn key_of(&self, item: &Item) -> String {
        item.text(self.key).expect("an item has its key").to_owned()
    }

    fn apply(&self, writes: &[Write]) -> Commit {
        let mut items = self.items.borrow_mut();
        let keys: BTreeSet<String> = writes.iter().map(|write| self.target(write)).collect();
        assert_eq!(keys.len(), writes.len(), "a transaction writes no item twice");
        assert!(writes.len() <= 100, "a transaction has at most 100 items");
        let refusals: Vec<Refusal> = writes
            .iter()
            .enumerate()
            .filter_map(|(number, write)| {
                let (Write::Put { when, .. } | Write::Update { when, .. } | Write::Delete { when, .. }) = write;
                let existing = items.get(&self.target(write));
                (!holds(when, existing)).then(|| Refusal {
                    write: number,
                    existing: existing.cloned(),
                })
            })
            .collect();
        if !refusals.is_empty() {
            return Commit::Refused(refusals);
        }
        for write in writes {
            match write {
                Write::Put { item, .. } => {
                    items.insert(self.key_of(item), item.clone());
                }
                Write::Update { key, set, remove, .. } => {
                    let item = items
                        .entry(key.clone())
                        .or_insert_with(|| Item::default().with(self.key, key.clone()));
                    item.0.extend(set.0.clone());
                    item.0.retain(|name, _| !remove.contains(name));
                }
                Write::Delete { key, .. } => {
                    items.remove(key);
                }
            }
        }
        Commit::Done
    }

    fn target(&self, write: &Write) -> String {
        match write {
            Write::Put { item, .. } => self.key_of(item),
            Write::Update { key, .. } | Write::Delete { key, .. } => key.clone(),
        }
    }
}

fn holds(when: &Condition, existing: Option<&Item>) -> bool {
    let expired = |now: &Millis| existing.is_some_and(|item| item.number(TTL).is_some_and(|ttl| ttl <= now.seconds()));
    match when {
        Condition::Always => true,
        Condition::Absent => existing.is_none(),
        Condition::AbsentOrExpired(now) => existing.is_none() || expired(now),
        Condition::FreeFor { now, owner } => {
            existing.is_none_or(|item| item.text(OWNER) == Some(owner)) || expired(now)
        }
        Condition::Revision(revision) => existing.is_some_and(|item| item.number(REVISION) == Some(*revision)),
    }
}

/// Order of an index: the sort key, then something of no meaning.
fn position(item: &Item, key: &str) -> (Reverse<(i64, String)>, u64) {
    let id = item.text(key).unwrap_or_default().to_owned();
    let jumble = id
        .bytes()
        .fold(7_u64, |sum, byte| sum.wrapping_mul(0x0100_0000_01b3) ^ u64::from(byte));
    match item.number("createdAt") {
        // Users are sorted by number alone; ties come in any order.
        Some(number) if key == "userId" => (Reverse((number, String::new())), jumble),
        Some(_) | None => (Reverse((0, id)), 0),
    }
}

impl Store for MemoryStore {
    fn key_attribute(&self) -> &'static str {
        self.key
    }

    async fn get(&self, key: &str) -> Result<Option<Item>, StoreError> {
        self.calls.borrow_mut().push("get");
        Ok(self.item(key))
    }

    async fn get_many(&self, keys: &[String]) -> Result<Vec<Item>, StoreError> {
        self.calls.borrow_mut().push("get_many");
        assert!((1..=100).contains(&keys.len()), "a batch has 1 to 100 keys");
        Ok(keys.iter().filter_map(|key| self.item(key)).collect())
    }

    async fn query(&self, query: &IndexQuery) -> Result<Page, StoreError> {
        self.calls.borrow_mut().push("query");
        assert!(query.limit >= 1, "a page has at least one item");
        let items = self.items.borrow();
        let mut found: Vec<&Item> = items
            .values()
            .filter(|item| item.text(query.partition_attribute) == Some(&query.partition))
            .filter(|item| match &query.below {
                Below::Open => true,
                Below::Text { attribute, less_than } => {
                    item.text(attribute).is_some_and(|text| text < less_than.as_str())
                }
                Below::Number { attribute, at_most } => item.number(attribute).is_some_and(|number| number <= *at_most),
            })
            .filter(|item| {
                query
                    .start
                    .as_ref()
                    .is_none_or(|start| position(item, self.key) > position(start, self.key))
            })
            .collect();
        found.sort_by_key(|item| position(item, self.key));
        let more = found.len() >= query.limit;
        found.truncate(query.limit);
        let next = if more {
            found.last().map(|item| (*item).clone())
        } else {
            None
        };
        let shown = |item: &&Item| match query.index {
            "status-index" => {
                let kept = [self.key, query.partition_attribute];
                Item(
                    item.0
                        .iter()
                        .filter(|(name, _)| kept.contains(&name.as_str()))
                        .map(|(n, v)| (n.clone(), v.clone()))
                        .collect(),
                )
            }
            _ => (*item).clone(),
        };
        Ok(Page {
            items: found.iter().map(shown).collect(),
            next,
        })
    }

    async fn commit(&self, writes: &[Write]) -> Result<Commit, StoreError> {
        self.calls.borrow_mut().push("commit");
        let fault = { self.faults.borrow_mut().pop() };
        match fault {
            None => Ok(self.apply(writes)),
            Some(Fault::Contended) => Ok(Commit::Contended),
            Some(Fault::Throttled) => Err(StoreError::Throttled {
                operation: "commit",
                hot: HotSpot::IndexPartition,
                source: "too hot".into(),
            }),
            Some(Fault::Failed) => Err(StoreError::Failed {
                operation: "commit",
                source: "broken pipe".into(),
            }),
            Some(Fault::Overtaken(others)) => {
                assert_eq!(self.apply(&others), Commit::Done);
                Ok(self.apply(writes))
            }
        }
    }

    async fn extend_set(
        &self,
        key: &str,
        attribute: &'static str,
        members: BTreeSet<String>,
    ) -> Result<(), StoreError> {
        self.calls.borrow_mut().push("extend_set");
        let mut items = self.items.borrow_mut();
        let item = items
            .entry(key.to_owned())
            .or_insert_with(|| Item::default().with(self.key, key));
        let set = item
            .0
            .entry(attribute.to_owned())
            .or_insert_with(|| Attribute::Set(BTreeSet::new()));
        let Attribute::Set(set) = set else {
            panic!("{attribute} is no set")
        };
        set.extend(members);
        Ok(())
    }
}

/// A bucket.
#[derive(Debug, Clone, Default)]
pub(crate) struct MemoryObjects {
    objects: Rc<RefCell<BTreeMap<String, ObjectHead>>>,
    reserved: Rc<Cell<u32>>,
}

impl MemoryObjects {
    /// Puts an object there, whatever is there.
    pub(crate) fn put(&self, key: &str, size: i64) {
        let etag = format!("\"e{size}\"");
        self.objects
            .borrow_mut()
            .insert(key.to_owned(), ObjectHead { size, etag });
    }

    /// The status of a PUT with `If-Match`, as S3 gives it.
    pub(crate) fn put_if_match(&self, key: &str, size: i64, etag: &str) -> u16 {
        let there = self.objects.borrow().get(key).map(|head| head.etag == etag);
        match there {
            None => 404,
            Some(false) => 412,
            Some(true) => {
                self.put(key, size);
                200
            }
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.objects.borrow().len()
    }
}

impl Objects for MemoryObjects {
    fn bucket(&self) -> &str {
        "bucket"
    }

    async fn head(&self, key: &str) -> Result<Option<ObjectHead>, StoreError> {
        Ok(self.objects.borrow().get(key).cloned())
    }

    async fn delete(&self, key: &str) -> Result<(), StoreError> {
        self.objects.borrow_mut().remove(key);
        Ok(())
    }

    async fn reserve(&self, key: &str) -> Result<String, StoreError> {
        self.reserved.set(self.reserved.get() + 1);
        let etag = format!("\"r{}\"", self.reserved.get());
        let head = ObjectHead {
            size: 36,
            etag: etag.clone(),
        };
        self.objects.borrow_mut().insert(key.to_owned(), head);
        Ok(etag)
    }

    async fn upload_url(&self, upload: &Upload<'_>, seconds: u32) -> Result<SignedUrl, StoreError> {
        let Upload {
            key,
            content_type,
            size,
            replaces,
        } = *upload;
        let headers = BTreeMap::from([
            ("content-type".to_owned(), content_type.to_owned()),
            ("if-match".to_owned(), replaces.to_owned()),
        ]);
        Ok(SignedUrl {
            url: format!("put:{key}?size={size}&for={seconds}"),
            headers,
        })
    }

    async fn download_url(&self, key: &str, disposition: &str, seconds: u32) -> Result<SignedUrl, StoreError> {
        Ok(SignedUrl {
            url: format!("get:{key}?as={disposition}&for={seconds}"),
            headers: BTreeMap::new(),
        })
    }
}

/// A counter, or one that fails like this.
#[derive(Debug, Default)]
pub(crate) struct MemoryCounter {
    pub(crate) count: Cell<i64>,
    pub(crate) fault: Cell<Option<HotSpot>>,
    pub(crate) broken: Cell<bool>,
}

impl MemoryCounter {
    fn check(&self) -> Result<(), StoreError> {
        if let Some(hot) = self.fault.get() {
            return Err(StoreError::Throttled {
                operation: "UpdateItem",
                hot,
                source: "too hot".into(),
            });
        }
        if self.broken.get() {
            return Err(StoreError::Failed {
                operation: "UpdateItem",
                source: "secret host name".into(),
            });
        }
        Ok(())
    }
}

impl Counter for &MemoryCounter {
    async fn raise(&self, _: Millis) -> Result<i64, StoreError> {
        self.check()?;
        self.count.set(self.count.get() + 1);
        Ok(self.count.get())
    }
}

impl Probe for &MemoryCounter {
    async fn read(&self) -> Result<Option<i64>, StoreError> {
        self.check()?;
        Ok((self.count.get() > 0).then(|| self.count.get()))
    }
}

/// A request as the gateway would send it.
pub(crate) fn request(method: &str, target: &str, body: impl Into<Option<Value>>) -> Request {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let body: Option<Value> = body.into();
    let mut headers = HashMap::new();
    if body.is_some() {
        headers.insert("content-type".to_owned(), "application/json".to_owned());
    }
    Request {
        id: "request-1".to_owned(),
        method: method.to_owned(),
        route_key: "$default".to_owned(),
        path: path.to_owned(),
        path_parameters: HashMap::new(),
        headers,
        query: Query::parse(query),
        body: body.map_or(Body::Empty, |body| Body::Bytes(body.to_string().into_bytes())),
        stage: taskctl_lambda::Stage {
            release: "7".to_owned(),
            color: "blue".to_owned(),
        },
    }
}

/// That request with a header.
pub(crate) fn with_header(mut request: Request, name: &str, value: &str) -> Request {
    request.headers.insert(name.to_owned(), value.to_owned());
    request
}

/// An answer, its body read.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<&'static str, String>,
    pub(crate) body: Value,
}

/// Sends a request to a function.
pub(crate) async fn send<F: Function>(function: &F, mut request: Request) -> Reply {
    let response: Response = match resolve(F::ROUTES, &mut request) {
        None => function.unmatched().into_response(&request.id),
        Some((_, route)) => match function.handle(route, &request).await {
            Ok(response) => response,
            Err(failure) => Failure::into_response(failure, &request.id),
        },
    };
    let body = response
        .body
        .map_or(Value::Null, |body| serde_json::from_str(&body).expect("a body is JSON"));
    Reply {
        status: response.status,
        headers: response.headers.into_iter().collect(),
        body,
    }
}
