//! Lists of tasks: all, by status, by tag, by both; each combination is an index partition of its own.

use super::model::{posting_prefix, read_tag};
use super::{Status, Task, status_label, tag_label};
use crate::http::{Failure, Request};
use crate::listing::{Index, List, ListPage, Listing, PageRequest, fetch};
use crate::ports::Store;
use crate::record::Millis;

/// Which tasks are wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only with this status.
    pub status: Option<Status>,
    /// Only with this tag.
    pub tag: Option<String>,
}

impl Filter {
    /// `status` and `tag` of a request.
    pub fn of(request: &Request) -> Result<Self, Failure> {
        let status = request
            .query
            .value("status")?
            .map(|text| Status::read("status", text))
            .transpose()?;
        let tag = request
            .query
            .value("tag")?
            .map(|text| read_tag("tag", text))
            .transpose()?;
        Ok(Self { status, tag })
    }

    fn matches(&self, task: &Task) -> bool {
        self.status.is_none_or(|status| status == task.status)
            && self.tag.as_ref().is_none_or(|tag| task.tags.contains(tag))
    }

    fn list(&self) -> List {
        let (index, label) = match (self.status, self.tag.as_deref()) {
            (None, None) => (Index::ById, "all".to_owned()),
            (None, Some(tag)) => (Index::ById, tag_label(tag)),
            (Some(status), tag) => (Index::ByStatus, status_label(status, tag)),
        };
        let key_prefix = self.tag.as_deref().map(posting_prefix).unwrap_or_default();
        List {
            index,
            label,
            key_prefix,
            since: None,
        }
    }
}

/// A page of the tasks that match.
pub(super) async fn page<S: Store>(
    listing: &Listing,
    store: &S,
    filter: &Filter,
    request: PageRequest,
    now: Millis,
) -> Result<ListPage<Task>, Failure> {
    let list = filter.list();
    // The unfiltered list's index holds whole tasks; the others name them.
    let whole = *filter == Filter::default();
    listing
        .page(store, &list, request, now, async |entries| {
            let items = if whole {
                entries.into_iter().map(|entry| entry.item).collect()
            } else {
                fetch(store, &entries).await?
            };
            let tasks = items
                .iter()
                .filter_map(Task::from_item)
                .filter(|task| filter.matches(task));
            Ok(tasks.map(|task| (task.id, task)).collect())
        })
        .await
}
