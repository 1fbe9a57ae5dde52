//! The walk over list partitions: months newest first in growing rounds, the partitions of a month merged, within a budget of reads.

use std::cell::Cell;
use std::collections::VecDeque;

use futures::future::try_join_all;

use super::{Entry, Index, LIST_PARTITION, List, Month, STATUS_PARTITION};
use crate::ports::{Below, IndexQuery, Item, Store, StoreError};
use crate::record::RecordId;

/// Most months queried at once.
const WIDEST_ROUND: usize = 8;

/// Most reads of one request: three months of the most partitions.
pub(super) const MOST_READS: usize = 48;

/// A walk in progress.
pub(super) struct Walk<'a, S> {
    store: &'a S,
    list: &'a List,
    after: Option<RecordId>,
    /// Months not begun yet, newest first.
    ahead: VecDeque<(Month, Vec<usize>)>,
    /// Months begun, newest first; the first one is being read.
    begun: VecDeque<(Month, Vec<Stream>)>,
    round: usize,
    reads: Reads,
    /// Everything that comes before this place has been seen.
    place: Option<RecordId>,
    ended: bool,
}

/// Reads made so far.
#[derive(Default)]
struct Reads(Cell<usize>);

impl Reads {
    fn count(&self) {
        self.0.set(self.0.get() + 1);
    }

    fn left(&self) -> usize {
        MOST_READS.saturating_sub(self.0.get())
    }
}

impl<'a, S: Store> Walk<'a, S> {
    pub(super) fn new(store: &'a S, list: &'a List, months: Vec<(Month, Vec<usize>)>, after: Option<RecordId>) -> Self {
        Self {
            store,
            list,
            after,
            ahead: months.into(),
            begun: VecDeque::new(),
            round: 1,
            reads: Reads::default(),
            place: None,
            ended: false,
        }
    }

    /// The next entries: `wanted` of them, fewer only at the end or when the reads are used up.
    pub(super) async fn next(&mut self, wanted: usize) -> Result<Vec<Entry>, StoreError> {
        let mut entries = Vec::with_capacity(wanted);
        while entries.len() < wanted {
            if self.begun.is_empty() {
                if self.ahead.is_empty() {
                    self.ended = true;
                    break;
                }
                if !self.begin_round(wanted - entries.len()).await? {
                    break;
                }
            }
            let (store, list, after) = (self.store, self.list, self.after);
            let Some((month, streams)) = self.begun.front_mut() else {
                break;
            };
            let empty = streams.iter().filter(|stream| stream.needs_reading()).count();
            if empty > self.reads.left() && self.place.is_some() {
                break;
            }
            for stream in streams.iter_mut() {
                stream
                    .fill(store, list, after, wanted - entries.len(), &self.reads)
                    .await?;
            }
            let newest = streams
                .iter_mut()
                .max_by_key(|stream| stream.settled.front().map(|entry| entry.id));
            match newest.and_then(|stream| stream.settled.pop_front()) {
                Some(entry) => {
                    self.place = Some(entry.id);
                    entries.push(entry);
                }
                None => {
                    self.place = Some(month.first_id());
                    self.begun.pop_front();
                }
            }
        }
        if !entries.is_empty() {
            // Entries may name records that are fetched then.
            self.reads.count();
        }
        Ok(entries)
    }

    /// Where the next page begins when this one is short; none at the end of the list.
    pub(super) fn place(&self) -> Option<RecordId> {
        if self.ended { None } else { self.place }
    }

    /// Starts the next months, twice as many as the time before, all their first pages at once, as far as the reads last.
    async fn begin_round(&mut self, wanted: usize) -> Result<bool, StoreError> {
        let mut left = self.reads.left();
        let mut count = 0;
        for (_, numbers) in self.ahead.iter().take(self.round) {
            if numbers.len() > left {
                break;
            }
            left -= numbers.len();
            count += 1;
        }
        if count == 0 && self.place.is_none() {
            count = 1;
        }
        self.round = (self.round * 2).min(WIDEST_ROUND);
        let mut months: Vec<(Month, Vec<Stream>)> = self
            .ahead
            .drain(..count)
            .map(|(month, numbers)| {
                let streams = numbers
                    .iter()
                    .map(|number| Stream::new(format!("{}/{month}/{number}", self.list.label)));
                (month, streams.collect())
            })
            .collect();
        let (store, list, after, reads) = (self.store, self.list, self.after, &self.reads);
        try_join_all(
            months
                .iter_mut()
                .flat_map(|(_, streams)| streams)
                .map(|stream| stream.fill(store, list, after, wanted, reads)),
        )
        .await?;
        self.begun.extend(months);
        Ok(count > 0)
    }
}

/// One partition, read page by page.
struct Stream {
    partition: String,
    /// Entries in their final order.
    settled: VecDeque<Entry>,
    /// Entries of one millisecond, of which the next page may bring more.
    unsettled: Vec<Entry>,
    next: Next,
}

enum Next {
    Start,
    From(Item),
    End,
}

impl Stream {
    fn new(partition: String) -> Self {
        Self {
            partition,
            settled: VecDeque::new(),
            unsettled: Vec::new(),
            next: Next::Start,
        }
    }

    fn needs_reading(&self) -> bool {
        self.settled.is_empty() && !matches!(self.next, Next::End)
    }

    /// Reads pages until there is an entry to give, or no more.
    async fn fill<S: Store>(
        &mut self,
        store: &S,
        list: &List,
        after: Option<RecordId>,
        wanted: usize,
        reads: &Reads,
    ) -> Result<(), StoreError> {
        while self.settled.is_empty() {
            let start = match std::mem::replace(&mut self.next, Next::End) {
                Next::Start => None,
                Next::From(start) => Some(start),
                Next::End => return Ok(()),
            };
            let query = self.query(store, list, after, wanted, start);
            reads.count();
            let page = store.query(&query).await?;
            let key = store.key_attribute();
            let entries = page.items.into_iter().filter_map(|item| {
                let id = RecordId::parse(item.text(key)?.strip_prefix(&list.key_prefix)?)?;
                after.is_none_or(|after| id < after).then_some(Entry { id, item })
            });
            self.unsettled.extend(entries);
            if let Some(next) = page.next {
                self.next = Next::From(next);
            }
            self.settle(list.index);
        }
        Ok(())
    }

    /// Moves on what later pages cannot come before. Keys are unique, so they settle at once; entries with equal `createdAt` come in
    /// any order, so the last millisecond of a page stays until the next one is known.
    fn settle(&mut self, index: Index) {
        let ended = matches!(self.next, Next::End);
        let cut = match (index, self.unsettled.last()) {
            (Index::ByCreation, Some(last)) if !ended => {
                let last = last.id.created();
                self.unsettled
                    .iter()
                    .position(|entry| entry.id.created() == last)
                    .unwrap_or(0)
            }
            (Index::ById | Index::ByCreation | Index::ByStatus, _) => self.unsettled.len(),
        };
        let mut settled: Vec<Entry> = self.unsettled.drain(..cut).collect();
        settled.sort_by_key(|entry| std::cmp::Reverse(entry.id));
        self.settled.extend(settled);
    }

    fn query<S: Store>(
        &self,
        store: &S,
        list: &List,
        after: Option<RecordId>,
        wanted: usize,
        start: Option<Item>,
    ) -> IndexQuery {
        let (index, partition_attribute) = match list.index {
            Index::ById | Index::ByCreation => ("createdAt-index", LIST_PARTITION),
            Index::ByStatus => ("status-index", STATUS_PARTITION),
        };
        let below = match (list.index, after) {
            (_, None) => Below::Open,
            (Index::ById | Index::ByStatus, Some(after)) => Below::Text {
                attribute: store.key_attribute(),
                less_than: format!("{}{after}", list.key_prefix),
            },
            (Index::ByCreation, Some(after)) => Below::Number {
                attribute: "createdAt",
                at_most: after.created().0,
            },
        };
        // With ties possible, one more settles the last wanted one.
        let limit = match list.index {
            Index::ById | Index::ByStatus => wanted,
            Index::ByCreation => wanted + 1,
        };
        IndexQuery {
            index,
            partition_attribute,
            partition: self.partition.clone(),
            below,
            limit,
            start,
        }
    }
}
