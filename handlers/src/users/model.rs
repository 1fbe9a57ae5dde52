//! A user: its fields, their rules, how it is shown and how it is stored.

use serde::Serialize;

use super::Email;
use crate::http::{Failure, Fields, Given, Request, check_length};
use crate::idempotency::KEPT_ANSWER;
use crate::listing::{LIST_PARTITION, Place};
use crate::ports::{Item, OWNER, REVISION, TTL};
use crate::record::{Millis, RecordId};

/// Partition key attribute of the table.
pub(super) const KEY: &str = "userId";

const NAME_LENGTH: usize = 200;
const DEPARTMENT_LENGTH: usize = 200;
/// 9999-12-31T23:59:59Z.
const LATEST_SECOND: i64 = 253_402_300_799;

/// A user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Id; carries the creation time.
    pub id: RecordId,
    /// Unique among users.
    pub email: Email,
    /// 1–200 characters.
    pub name: String,
    /// At most 200 characters.
    pub department: Option<String>,
    /// Epoch second from which the user is gone.
    pub ttl: Option<i64>,
    /// Last change.
    pub updated: Millis,
    /// Number of changes, from 1.
    pub revision: i64,
    /// Its position in the list.
    pub place: Place,
    /// Key of the item that keeps the answer to its create, when one was kept.
    pub kept_answer: Option<String>,
}

/// A user as responses show it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct UserView<'a> {
    user_id: String,
    email: &'a str,
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    department: Option<&'a str>,
    created_at: i64,
    updated_at: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl: Option<i64>,
}

impl User {
    /// As responses show it.
    pub(super) fn view(&self) -> UserView<'_> {
        UserView {
            user_id: self.id.to_string(),
            email: self.email.as_str(),
            name: &self.name,
            department: self.department.as_deref(),
            created_at: self.id.created().0,
            updated_at: self.updated.0,
            ttl: self.ttl,
        }
    }

    /// As the table holds it.
    pub(super) fn item(&self) -> Item {
        Item::default()
            .with(KEY, self.id.to_string())
            .with("email", self.email.as_str())
            .with("name", self.name.clone())
            .with_some("department", self.department.clone())
            .with("createdAt", self.id.created().0)
            .with("updatedAt", self.updated.0)
            .with_some(TTL, self.ttl)
            .with(REVISION, self.revision)
            .with_some(KEPT_ANSWER, self.kept_answer.clone())
            .with(LIST_PARTITION, self.place.partition("all"))
    }

    /// The item that reserves its address; expires with the user.
    pub(super) fn reservation(&self) -> Item {
        Item::default()
            .with(KEY, self.email.reservation_key())
            .with(OWNER, self.id.to_string())
            .with_some(TTL, self.ttl)
    }

    /// Reads an item; none when it is no user, or one whose time is over.
    pub(super) fn from_item(item: &Item, now: Millis) -> Option<Self> {
        if item.expired(now) {
            return None;
        }
        let id = RecordId::parse(item.text(KEY)?)?;
        Some(Self {
            id,
            email: Email::stored(item.text("email")?),
            name: item.text("name")?.to_owned(),
            department: item.text("department").map(str::to_owned),
            ttl: item.number(TTL),
            updated: item.number("updatedAt").map_or(id.created(), Millis),
            revision: item.number(REVISION)?,
            place: Place::of(item)?,
            kept_answer: item.text(KEPT_ANSWER).map(str::to_owned),
        })
    }
}

/// The body of a create.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    email: Email,
    name: String,
    department: Option<String>,
    ttl: Option<i64>,
}

impl Draft {
    /// Reads and checks it.
    pub fn read(request: &Request, now: Millis) -> Result<Self, Failure> {
        let mut fields = Fields::read(request)?;
        let given = FieldsOfUser::read(&mut fields, now)?;
        fields.finish()?;
        Ok(Self {
            email: given.email.required("email")?,
            name: given.name.required("name")?,
            department: given.department.value(),
            ttl: given.ttl.value(),
        })
    }

    /// The user made of it.
    pub(super) fn into_user(self, id: RecordId, place: Place, kept_answer: Option<String>) -> User {
        let Self {
            email,
            name,
            department,
            ttl,
        } = self;
        User {
            id,
            email,
            name,
            department,
            ttl,
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
    email: Option<Email>,
    name: Option<String>,
    department: Given<String>,
    ttl: Given<i64>,
}

impl Changes {
    /// Reads and checks it. A `userId` is allowed when it equals the path's.
    pub fn read(request: &Request, now: Millis) -> Result<Self, Failure> {
        let mut fields = Fields::read(request)?;
        let FieldsOfUser {
            email,
            name,
            department,
            ttl,
        } = FieldsOfUser::read(&mut fields, now)?;
        fields.same_id("userId", request.parameter("userId"))?;
        fields.finish()?;
        Ok(Self {
            email: email.not_null("email")?,
            name: name.not_null("name")?,
            department,
            ttl,
        })
    }

    /// The user after the change; the same one when nothing changes.
    pub(super) fn apply(&self, before: &User, now: Millis) -> User {
        let mut after = before.clone();
        if let Some(email) = &self.email {
            after.email.clone_from(email);
        }
        if let Some(name) = &self.name {
            after.name.clone_from(name);
        }
        self.department.change(&mut after.department);
        self.ttl.change(&mut after.ttl);
        if after != *before {
            after.updated = now.max(before.updated);
            after.revision = before.revision + 1;
        }
        after
    }
}

/// The fields of either body, checked one by one.
struct FieldsOfUser {
    email: Given<Email>,
    name: Given<String>,
    department: Given<String>,
    ttl: Given<i64>,
}

impl FieldsOfUser {
    fn read(fields: &mut Fields, now: Millis) -> Result<Self, Failure> {
        Ok(Self {
            email: fields.text("email")?.try_map(|email| Email::read(&email))?,
            name: fields.text("name")?.try_map(|name| {
                let name = name.trim().to_owned();
                check_length("name", &name, 1, NAME_LENGTH).map(|()| name)
            })?,
            department: fields.text("department")?.try_map(|department| {
                check_length("department", &department, 0, DEPARTMENT_LENGTH).map(|()| department)
            })?,
            ttl: fields.number("ttl")?.try_map(|ttl| {
                if (now.seconds() + 1..=LATEST_SECOND).contains(&ttl) {
                    Ok(ttl)
                } else {
                    Err(Failure::field(
                        "ttl",
                        "must be a time in the future, in seconds since 1970",
                    ))
                }
            })?,
        })
    }
}
