//! What a resource kind is. A kind is one file that implements [`Kind`] and one line in the registry; everything else
//! (planning, execution, tests, reference pages, the deployer's policy) follows from it.

use std::fmt::Debug;
use std::time::Duration;

use async_trait::async_trait;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::aws::client::context::Context;
use crate::aws::client::error::{AwsError, ErrorKind};
use crate::aws::client::service::Service;
use crate::aws::policy::reach::{Reach, is_look};
use crate::aws::read::reader::Reader;
use crate::plan::{Change, Effect, KindRules, Replacement, Rollback, Scope, Sensitivity};
use crate::resource::{Observed, Outputs, ResourceId};

/// What is fixed about a kind.
#[derive(Debug)]
pub struct Spec {
    /// Name in identities and output, `service_thing`.
    pub name: &'static str,
    /// For people: `DynamoDB table`.
    pub title: &'static str,
    /// AWS's page about it.
    pub documentation: &'static str,
    /// IAM actions that reading it takes.
    pub read_actions: &'static [&'static str],
    /// IAM actions that making and changing it takes, beside reading.
    pub write_actions: &'static [&'static str],
    /// IAM actions that deleting it takes, beside reading.
    pub delete_actions: &'static [&'static str],
    /// Whether deleting it loses people's data.
    pub holds_data: bool,
    /// Whether `rollback` brings its former state back.
    pub rollback: Rollback,
    /// How a replacement goes.
    pub replacement: Replacement,
    /// Fields (or their parents) that AWS cannot change in place.
    pub replace_on: &'static [&'static str],
    /// Parts of a table's indexes that AWS cannot change, as the start of their paths and what follows the index's name.
    pub rebuild_on: &'static [(&'static str, &'static str)],
    /// The field that says what a table's stream carries: with another value another stream begins.
    pub stream_field: Option<&'static str>,
    /// Fields (or their parents) whose values are never shown.
    pub hidden: &'static [&'static str],
    /// Fields that change along with another one: the field, and the other.
    pub implied: &'static [(&'static str, &'static str)],
    /// Kinds that may refer to it: it is deleted after they were deleted, or changed so that they no longer do.
    pub deleted_after: &'static [(&'static str, Scope)],
    /// How long making one usually takes; decides what starts first.
    pub usual: Duration,
    /// The AWS service it belongs to.
    pub service: &'static Service,
    /// Whether reading it takes more than its name: the content of the functions' packages.
    pub reads_by_content: bool,
    /// Whether it serves the function of the same logical name, and stays as long as a release needs that function.
    pub serves_function: bool,
    /// Whether requests or alarms fail without it, and one listing finds it by its name: `status` and `doctor` say when one that
    /// was deployed is gone.
    pub needed_at_runtime: bool,
    /// The kind whose deletion takes this one along.
    pub contained_in: Option<&'static str>,
    /// Kinds that must be changed only after an orphan of this kind is gone.
    pub deleted_before: &'static [&'static str],
    /// Those of its actions that `promote` and `rollback` take, too: it follows live.
    pub release_actions: &'static [&'static str],
    /// On what the deployer may call its actions that change something; those that only look need no more than to see the stack.
    pub reach: Reach,
    /// Actions with a reach of their own: whole names, or the start of several followed by `*`.
    pub reaches: &'static [(&'static str, Reach)],
    /// Actions that it can take and no template asks for: a generated policy never has them. Reverting such a change made by
    /// another principal needs that principal's rights.
    pub withheld_actions: &'static [&'static str],
}

impl Spec {
    /// What most kinds of a service have in common; a kind states the rest.
    pub const fn of(service: &'static Service) -> Self {
        Self {
            name: "",
            title: "",
            documentation: "",
            read_actions: &[],
            write_actions: &[],
            delete_actions: &[],
            holds_data: false,
            rollback: Rollback::Immediate,
            replacement: Replacement::DeleteFirst,
            replace_on: &[],
            rebuild_on: &[],
            stream_field: None,
            hidden: &[],
            implied: &[],
            deleted_after: &[],
            usual: Duration::from_millis(300),
            service,
            reads_by_content: false,
            serves_function: false,
            needed_at_runtime: false,
            contained_in: None,
            deleted_before: &[],
            release_actions: &[],
            reach: Reach::Account,
            reaches: &[],
            withheld_actions: &[],
        }
    }

    /// On what the deployer may call an action.
    pub fn reach_of(&self, action: &str) -> Reach {
        let fits = |name: &str| match name.strip_suffix('*') {
            Some(start) => action.starts_with(start),
            None => action == name,
        };
        match self.reaches.iter().find(|(name, _)| fits(name)) {
            Some((_, reach)) => *reach,
            None if action == "tag:GetResources" => Reach::Account,
            None if is_look(action) => Reach::Read,
            None => self.reach,
        }
    }
}

/// Something found on AWS that carries our tags or name, wanted or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Discovered {
    /// Identity it would have.
    pub id: ResourceId,
    /// What deleting it needs.
    pub outputs: Outputs,
}

/// What came of deleting a data store that may only go when it is empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Emptiness {
    /// It was empty, and is gone.
    Gone,
    /// It stays: what it holds, as in `it holds data`.
    HoldsData(String),
}

impl Emptiness {
    /// It holds data.
    pub fn data() -> Self {
        Self::HoldsData("it holds data".to_owned())
    }
}

/// A resource kind.
#[async_trait]
pub trait Kind: Send + Sync + 'static {
    /// The settings that taskctl manages. Desired and observed have the same shape.
    type Model: Serialize + DeserializeOwned + Clone + PartialEq + Debug + Send + Sync;

    /// What is fixed about it.
    fn spec(&self) -> &'static Spec;

    /// Examples for tests and the reference page: a small one first, then one that sets every field.
    fn examples(&self) -> Vec<Self::Model>;

    /// Reads it by the name in its desired model. `None`: does not exist.
    async fn read(
        &self,
        reader: &Reader,
        id: &ResourceId,
        desired: &Self::Model,
    ) -> Result<Option<Observed<Self::Model>>, AwsError>;

    /// Everything of this kind that is ours, from calls that planning makes anyway.
    async fn enumerate(&self, reader: &Reader) -> Result<Vec<Discovered>, AwsError>;

    /// Whether a data store has no data. Only asked of kinds that hold data.
    async fn is_empty(&self, _context: &Context, _outputs: &Outputs) -> Result<bool, AwsError> {
        Ok(false)
    }

    /// Whether AWS would refuse to delete a data store, whatever it holds.
    async fn is_protected(&self, _context: &Context, _outputs: &Outputs) -> Result<bool, AwsError> {
        Ok(false)
    }

    /// Makes it and waits until it can be used. Finding it already there (an earlier run was cut off) is no error for
    /// the engine: on [`ErrorKind::AlreadyExists`] it reads again and updates.
    async fn create(&self, context: &Context, id: &ResourceId, desired: &Self::Model) -> Result<Outputs, AwsError>;

    /// Changes the named fields.
    async fn update(
        &self,
        context: &Context,
        id: &ResourceId,
        desired: &Self::Model,
        observed: &Observed<Self::Model>,
        changes: &Fields,
    ) -> Result<Outputs, AwsError>;

    /// Deletes it. Not being there is success. `outputs` are those of reading or enumerating.
    async fn delete(&self, context: &Context, id: &ResourceId, outputs: &Outputs) -> Result<(), AwsError>;

    /// Deletes a data store if it is empty, looked at as late as can be. Where AWS itself refuses to delete one that is not,
    /// that is left to AWS.
    async fn delete_if_empty(
        &self,
        context: &Context,
        id: &ResourceId,
        outputs: &Outputs,
    ) -> Result<Emptiness, AwsError> {
        if !self.is_empty(context, outputs).await? {
            return Ok(Emptiness::data());
        }
        self.delete(context, id, outputs).await?;
        Ok(Emptiness::Gone)
    }
}

/// Which fields change.
#[derive(Debug, Clone, Default)]
pub struct Fields {
    paths: Vec<String>,
}

impl Fields {
    /// From the plan's changes.
    pub fn new(changes: &[Change]) -> Self {
        Self {
            paths: changes.iter().map(|change| change.field.clone()).collect(),
        }
    }

    /// Whether a field, or something inside it, changes.
    pub fn touch(&self, field: &str) -> bool {
        self.paths.iter().any(|path| within(path, field))
    }

    /// Whether any of these changes.
    pub fn touch_any(&self, fields: &[&str]) -> bool {
        fields.iter().any(|field| self.touch(field))
    }

    /// Whether anything but this field changes.
    pub fn touch_beyond(&self, field: &str) -> bool {
        self.paths.iter().any(|path| !within(path, field))
    }
}

/// Whether a path is a field or lies inside it.
fn within(path: &str, field: &str) -> bool {
    path.strip_prefix(field)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// A kind without its type, as the registry keeps it.
#[async_trait]
pub trait AnyKind: KindRules + Send + Sync {
    /// What is fixed about it.
    fn spec(&self) -> &'static Spec;
    /// Examples, as data.
    fn examples(&self) -> Vec<Value>;
    /// Reads.
    async fn read(&self, reader: &Reader, id: &ResourceId, desired: &Value) -> Result<Option<Observed>, AwsError>;
    /// Enumerates.
    async fn enumerate(&self, reader: &Reader) -> Result<Vec<Discovered>, AwsError>;
    /// See [`Kind::is_empty`].
    async fn is_empty(&self, context: &Context, outputs: &Outputs) -> Result<bool, AwsError>;
    /// See [`Kind::is_protected`].
    async fn is_protected(&self, context: &Context, outputs: &Outputs) -> Result<bool, AwsError>;
    /// Creates.
    async fn create(&self, context: &Context, id: &ResourceId, desired: &Value) -> Result<Outputs, AwsError>;
    /// Updates.
    async fn update(
        &self,
        context: &Context,
        id: &ResourceId,
        desired: &Value,
        observed: &Observed,
        changes: &Fields,
    ) -> Result<Outputs, AwsError>;
    /// Deletes.
    async fn delete(&self, context: &Context, id: &ResourceId, outputs: &Outputs) -> Result<(), AwsError>;
    /// See [`Kind::delete_if_empty`].
    async fn delete_if_empty(
        &self,
        context: &Context,
        id: &ResourceId,
        outputs: &Outputs,
    ) -> Result<Emptiness, AwsError>;
}

/// A registered kind with its place in the order.
pub(in crate::aws) struct Registered<K> {
    pub kind: K,
    pub order: usize,
}

impl<K: Kind> KindRules for Registered<K> {
    fn order(&self) -> usize {
        self.order
    }

    fn effect(&self, field: &str) -> Effect {
        if self.kind.spec().replace_on.iter().any(|path| within(field, path)) {
            return Effect::Replace;
        }
        if self.kind.spec().stream_field == Some(field) {
            return Effect::ReplaceStream;
        }
        let is_part = |(start, part): &(&str, &str)| field.strip_prefix(start).is_some_and(|rest| rest.contains(part));
        match self.kind.spec().rebuild_on.iter().any(is_part) {
            true => Effect::RebuildIndex,
            false => Effect::InPlace,
        }
    }

    fn sensitivity(&self, field: &str) -> Sensitivity {
        if self.kind.spec().hidden.iter().any(|path| within(field, path)) {
            Sensitivity::Hidden
        } else {
            Sensitivity::Plain
        }
    }

    fn implied_by(&self, field: &str) -> Option<&'static str> {
        let mut implied = self.kind.spec().implied.iter();
        implied.find(|(path, _)| within(field, path)).map(|(_, cause)| *cause)
    }

    fn replacement(&self) -> Replacement {
        self.kind.spec().replacement
    }

    fn holds_data(&self) -> bool {
        self.kind.spec().holds_data
    }

    fn rollback(&self) -> Rollback {
        self.kind.spec().rollback
    }

    fn deleted_after(&self) -> &'static [(&'static str, Scope)] {
        self.kind.spec().deleted_after
    }

    fn deleted_before(&self) -> &'static [&'static str] {
        self.kind.spec().deleted_before
    }
}

fn typed<M: DeserializeOwned>(kind: &'static str, value: &Value) -> Result<M, AwsError> {
    M::deserialize(value).map_err(|error| {
        AwsError::own(
            "taskctl",
            "model",
            ErrorKind::Invalid,
            format!("a {kind} model does not fit: {error}"),
        )
    })
}

fn untyped<M: Serialize>(kind: &'static str, model: &M) -> Result<Value, AwsError> {
    serde_json::to_value(model).map_err(|error| {
        AwsError::own(
            "taskctl",
            "model",
            ErrorKind::Invalid,
            format!("a {kind} model does not fit: {error}"),
        )
    })
}

#[async_trait]
impl<K: Kind> AnyKind for Registered<K> {
    fn spec(&self) -> &'static Spec {
        self.kind.spec()
    }

    fn examples(&self) -> Vec<Value> {
        self.kind
            .examples()
            .iter()
            .filter_map(|model| serde_json::to_value(model).ok())
            .collect()
    }

    async fn read(&self, reader: &Reader, id: &ResourceId, desired: &Value) -> Result<Option<Observed>, AwsError> {
        let name = self.kind.spec().name;
        let Some(observed) = self.kind.read(reader, id, &typed(name, desired)?).await? else {
            return Ok(None);
        };
        let Observed {
            model,
            outputs,
            ownership,
            pending,
        } = observed;
        Ok(Some(Observed {
            model: untyped(name, &model)?,
            outputs,
            ownership,
            pending,
        }))
    }

    async fn enumerate(&self, reader: &Reader) -> Result<Vec<Discovered>, AwsError> {
        self.kind.enumerate(reader).await
    }

    async fn is_empty(&self, context: &Context, outputs: &Outputs) -> Result<bool, AwsError> {
        self.kind.is_empty(context, outputs).await
    }

    async fn is_protected(&self, context: &Context, outputs: &Outputs) -> Result<bool, AwsError> {
        self.kind.is_protected(context, outputs).await
    }

    async fn create(&self, context: &Context, id: &ResourceId, desired: &Value) -> Result<Outputs, AwsError> {
        self.kind
            .create(context, id, &typed(self.kind.spec().name, desired)?)
            .await
    }

    async fn update(
        &self,
        context: &Context,
        id: &ResourceId,
        desired: &Value,
        observed: &Observed,
        changes: &Fields,
    ) -> Result<Outputs, AwsError> {
        let name = self.kind.spec().name;
        let seen = Observed {
            model: typed(name, &observed.model)?,
            outputs: observed.outputs.clone(),
            ownership: observed.ownership.clone(),
            pending: observed.pending.clone(),
        };
        self.kind
            .update(context, id, &typed(name, desired)?, &seen, changes)
            .await
    }

    async fn delete(&self, context: &Context, id: &ResourceId, outputs: &Outputs) -> Result<(), AwsError> {
        self.kind.delete(context, id, outputs).await
    }

    async fn delete_if_empty(
        &self,
        context: &Context,
        id: &ResourceId,
        outputs: &Outputs,
    ) -> Result<Emptiness, AwsError> {
        self.kind.delete_if_empty(context, id, outputs).await
    }
}
