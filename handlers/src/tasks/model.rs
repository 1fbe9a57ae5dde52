//! A task: its fields, their rules, how it is shown and how it is stored.

use std::str::FromStr as _;

use jiff::Timestamp;
use serde::Serialize;

use crate::http::{Failure, Fields, Given, Request, check_length};
use crate::idempotency::KEPT_ANSWER;
use crate::listing::{LIST_PARTITION, Place, STATUS_PARTITION};
use crate::ports::{Item, REVISION};
use crate::record::{Millis, RecordId};

/// Partition key attribute of the table.
pub(super) const KEY: &str = "taskId";

const TITLE_LENGTH: usize = 200;
const DESCRIPTION_LENGTH: usize = 4000;
const TAG_COUNT: usize = 20;
const TAG_LENGTH: usize = 50;

/// How far a task is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Status {
    /// `TODO` or `Open`
    #[default]
    Todo,
    /// `IN_PROGRESS` or `In Progress`
    InProgress,
    /// `DONE` or `Completed`
    Done,
}

impl Status {
    /// Reads either vocabulary in any case.
    pub fn read(name: &'static str, text: &str) -> Result<Self, Failure> {
        match text.trim().to_ascii_uppercase().replace([' ', '-'], "_").as_str() {
            "TODO" | "OPEN" => Ok(Self::Todo),
            "IN_PROGRESS" => Ok(Self::InProgress),
            "DONE" | "COMPLETED" => Ok(Self::Done),
            _ => Err(Failure::field(
                name,
                "must be TODO, IN_PROGRESS or DONE (or Open, In Progress, Completed)",
            )),
        }
    }

    /// As it is written in responses and in the table.
    pub fn word(self) -> &'static str {
        match self {
            Self::Todo => "TODO",
            Self::InProgress => "IN_PROGRESS",
            Self::Done => "DONE",
        }
    }
}

/// How urgent a task is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Priority {
    /// `LOW`
    Low,
    /// `MEDIUM`
    #[default]
    Medium,
    /// `HIGH`
    High,
}

impl Priority {
    fn read(text: &str) -> Result<Self, Failure> {
        match text.trim().to_ascii_uppercase().as_str() {
            "LOW" => Ok(Self::Low),
            "MEDIUM" => Ok(Self::Medium),
            "HIGH" => Ok(Self::High),
            _ => Err(Failure::field("priority", "must be LOW, MEDIUM or HIGH")),
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Low => "LOW",
            Self::Medium => "MEDIUM",
            Self::High => "HIGH",
        }
    }
}

/// A task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// Id; carries the creation time.
    pub id: RecordId,
    /// 1–200 characters.
    pub title: String,
    /// At most 4000 characters.
    pub description: Option<String>,
    /// Status.
    pub status: Status,
    /// Priority.
    pub priority: Priority,
    /// RFC 3339 in UTC.
    pub due_at: Option<String>,
    /// At most 20, of at most 50 characters.
    pub tags: Vec<String>,
    /// Last change.
    pub updated: Millis,
    /// Number of changes, from 1.
    pub revision: i64,
    /// Its position in the lists.
    pub place: Place,
    /// Key of the item that keeps the answer to its create, when one was kept.
    pub kept_answer: Option<String>,
}

/// A task as responses show it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct TaskView<'a> {
    task_id: String,
    title: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    status: Status,
    priority: Priority,
    #[serde(skip_serializing_if = "Option::is_none")]
    due_at: Option<&'a str>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    tags: &'a [String],
    created_at: String,
    updated_at: String,
}

/// Label of the partitions by status, and by tag too.
pub(super) fn status_label(status: Status, tag: Option<&str>) -> String {
    match tag {
        None => format!("status:{}", status.word()),
        Some(tag) => format!("status:{} tag:{tag}", status.word()),
    }
}

/// Label of the partitions by tag.
pub(super) fn tag_label(tag: &str) -> String {
    format!("tag:{tag}")
}

/// Prefix of the id in a posting's key.
pub(super) fn posting_prefix(tag: &str) -> String {
    format!("tag#{tag}#")
}

/// Key of the posting of a tag.
pub(super) fn posting_key(tag: &str, id: RecordId) -> String {
    format!("{}{id}", posting_prefix(tag))
}

impl Task {
    /// As responses show it.
    pub(super) fn view(&self) -> TaskView<'_> {
        TaskView {
            task_id: self.id.to_string(),
            title: &self.title,
            description: self.description.as_deref(),
            status: self.status,
            priority: self.priority,
            due_at: self.due_at.as_deref(),
            tags: &self.tags,
            created_at: self.id.created().rfc3339(),
            updated_at: self.updated.rfc3339(),
        }
    }

    /// As the table holds it.
    pub(super) fn item(&self) -> Item {
        Item::default()
            .with(KEY, self.id.to_string())
            .with("title", self.title.clone())
            .with_some("description", self.description.clone())
            .with("status", self.status.word())
            .with("priority", self.priority.word())
            .with_some("dueAt", self.due_at.clone())
            .with_some("tags", (!self.tags.is_empty()).then(|| self.tags.clone()))
            .with("createdAt", self.id.created().rfc3339())
            .with("updatedAt", self.updated.rfc3339())
            .with(REVISION, self.revision)
            .with_some(KEPT_ANSWER, self.kept_answer.clone())
            .with(LIST_PARTITION, self.place.partition("all"))
            .with(STATUS_PARTITION, self.place.partition(&status_label(self.status, None)))
    }

    /// The item that lists it under a tag.
    pub(super) fn posting(&self, tag: &str) -> Item {
        Item::default()
            .with(KEY, posting_key(tag, self.id))
            .with(LIST_PARTITION, self.place.partition(&tag_label(tag)))
            .with(
                STATUS_PARTITION,
                self.place.partition(&status_label(self.status, Some(tag))),
            )
    }

    /// Reads an item; none when it is no task.
    pub(super) fn from_item(item: &Item) -> Option<Self> {
        let id = RecordId::parse(item.text(KEY)?)?;
        let updated = item.text("updatedAt").and_then(|text| Timestamp::from_str(text).ok());
        Some(Self {
            id,
            title: item.text("title")?.to_owned(),
            description: item.text("description").map(str::to_owned),
            status: item
                .text("status")
                .and_then(|text| Status::read("status", text).ok())
                .unwrap_or_default(),
            priority: item
                .text("priority")
                .and_then(|text| Priority::read(text).ok())
                .unwrap_or_default(),
            due_at: item.text("dueAt").map(str::to_owned),
            tags: item.texts("tags").to_vec(),
            updated: updated.map_or(id.created(), |updated| Millis(updated.as_millisecond())),
            revision: item.number(REVISION)?,
            place: Place::of(item)?,
            kept_answer: item.text(KEPT_ANSWER).map(str::to_owned),
        })
    }
}

/// The body of a create.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    title: String,
    description: Option<String>,
    status: Status,
    priority: Priority,
    due_at: Option<String>,
    tags: Vec<String>,
}

impl Draft {
    /// Reads and checks it.
    pub fn read(request: &Request) -> Result<Self, Failure> {
        let mut fields = Fields::read(request)?;
        let given = FieldsOfTask::read(&mut fields)?;
        fields.finish()?;
        Ok(Self {
            title: given.title.required("title")?,
            description: given.description.value(),
            status: given.status.value().unwrap_or_default(),
            priority: given.priority.value().unwrap_or_default(),
            due_at: given.due_at.value(),
            tags: given.tags.value().unwrap_or_default(),
        })
    }

    /// The task made of it.
    pub(super) fn into_task(self, id: RecordId, place: Place, kept_answer: Option<String>) -> Task {
        let Self {
            title,
            description,
            status,
            priority,
            due_at,
            tags,
        } = self;
        Task {
            id,
            title,
            description,
            status,
            priority,
            due_at,
            tags,
            updated: id.created(),
            revision: 1,
            place,
            kept_answer,
        }
    }
}

/// The body of an update: what is given changes, `null` clears.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changes {
    title: Option<String>,
    description: Given<String>,
    status: Given<Status>,
    priority: Given<Priority>,
    due_at: Given<String>,
    tags: Given<Vec<String>>,
}

impl Changes {
    /// Reads and checks it. A `taskId` is allowed when it equals the path's.
    pub fn read(request: &Request) -> Result<Self, Failure> {
        let mut fields = Fields::read(request)?;
        let given = FieldsOfTask::read(&mut fields)?;
        fields.same_id("taskId", request.parameter("taskId"))?;
        fields.finish()?;
        let FieldsOfTask {
            title,
            description,
            status,
            priority,
            due_at,
            tags,
        } = given;
        Ok(Self {
            title: title.not_null("title")?,
            description,
            status,
            priority,
            due_at,
            tags,
        })
    }

    /// The task after the change; the same one when nothing changes.
    pub(super) fn apply(&self, before: &Task, now: Millis) -> Task {
        let mut after = before.clone();
        if let Some(title) = &self.title {
            after.title.clone_from(title);
        }
        self.description.change(&mut after.description);
        self.due_at.change(&mut after.due_at);
        self.status.set(&mut after.status);
        self.priority.set(&mut after.priority);
        self.tags.set(&mut after.tags);
        if after != *before {
            after.updated = now.max(before.updated);
            after.revision = before.revision + 1;
        }
        after
    }
}

/// The fields of either body, checked one by one.
struct FieldsOfTask {
    title: Given<String>,
    description: Given<String>,
    status: Given<Status>,
    priority: Given<Priority>,
    due_at: Given<String>,
    tags: Given<Vec<String>>,
}

impl FieldsOfTask {
    fn read(fields: &mut Fields) -> Result<Self, Failure> {
        let title = fields.text("title")?.try_map(|title| {
            let title = title.trim().to_owned();
            check_length("title", &title, 1, TITLE_LENGTH).map(|()| title)
        })?;
        let description = fields.text("description")?.try_map(|description| {
            check_length("description", &description, 0, DESCRIPTION_LENGTH).map(|()| description)
        })?;
        Ok(Self {
            title,
            description,
            status: fields
                .text("status")?
                .try_map(|status| Status::read("status", &status))?,
            priority: fields.text("priority")?.try_map(|priority| Priority::read(&priority))?,
            due_at: fields.text("dueAt")?.try_map(|due_at| read_time("dueAt", &due_at))?,
            tags: fields.texts("tags")?.try_map(read_tags)?,
        })
    }
}

/// A time in RFC 3339, brought to UTC. Jiff reads more than that standard allows, so the shape is looked at first.
fn read_time(name: &'static str, text: &str) -> Result<String, Failure> {
    let bytes = text.as_bytes();
    let shaped = bytes.len() >= 20
        && bytes.len() <= 40
        && bytes[..4].iter().all(u8::is_ascii_digit)
        && matches!(bytes[10], b'T' | b't')
        && !bytes.contains(&b'[')
        && (matches!(bytes.last(), Some(b'Z' | b'z')) || matches!(bytes[bytes.len() - 6], b'+' | b'-'));
    let read = shaped.then(|| Timestamp::from_str(text).ok()).flatten();
    match read {
        Some(timestamp) => Ok(timestamp.to_string()),
        None => Err(Failure::field(
            name,
            "must be a time in RFC 3339, such as 2026-12-01T10:00:00Z",
        )),
    }
}

fn read_tags(given: Vec<String>) -> Result<Vec<String>, Failure> {
    if given.len() > TAG_COUNT {
        return Err(Failure::field(
            "tags",
            format_args!("must have at most {TAG_COUNT} entries"),
        ));
    }
    let mut tags: Vec<String> = Vec::with_capacity(given.len());
    for tag in given {
        let tag = read_tag("tags", &tag)?;
        if !tags.contains(&tag) {
            tags.push(tag);
        }
    }
    Ok(tags)
}

/// A tag without the blanks around it.
pub(super) fn read_tag(name: &'static str, text: &str) -> Result<String, Failure> {
    let tag = text.trim();
    check_length(name, tag, 1, TAG_LENGTH)?;
    Ok(tag.to_owned())
}
