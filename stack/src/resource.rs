//! Resources as the engine sees them: an identity, a desired model as data, and what must exist before.
//! Not how AWS is called (that is a kind, in `aws`).

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Identity of a resource within a stack: `kind.name`, e.g. `dynamodb_table.tasks`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResourceId {
    /// Name of the kind, as the registry spells it.
    pub kind: String,
    /// Logical name, unique within the kind.
    pub name: String,
}

impl ResourceId {
    /// Builds an identity.
    pub fn new(kind: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            kind: kind.into(),
            name: name.into(),
        }
    }
}

impl fmt::Display for ResourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.kind, self.name)
    }
}

impl Serialize for ResourceId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ResourceId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let (kind, name) = text
            .split_once('.')
            .ok_or_else(|| serde::de::Error::custom(format!("`{text}` is not of the form kind.name")))?;
        Ok(Self::new(kind, name))
    }
}

impl JsonSchema for ResourceId {
    fn schema_name() -> Cow<'static, str> {
        "ResourceId".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "description": "`kind.name`", "pattern": "^[a-z0-9_]+\\..+$"})
    }
}

/// What a resource provides to others once it exists: ARNs, server-made ids, published versions.
pub type Outputs = BTreeMap<String, String>;

/// A resource that should exist.
#[derive(Debug, Clone, PartialEq)]
pub struct Resource {
    /// Identity.
    pub id: ResourceId,
    /// The kind's model, as data.
    pub desired: Value,
    /// Resources that AWS wants to exist first. Nothing else belongs here: each edge costs time.
    pub depends_on: Vec<ResourceId>,
}

/// Whether a resource that was found is ours to change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "is")]
pub enum Ownership {
    /// It carries our tags, or lives inside something that does.
    Ours,
    /// It has our name but not our tags.
    Foreign {
        /// What was seen instead.
        found: String,
    },
    /// Its name is taken where nothing of it can be read or changed.
    Taken {
        /// Who has it: `bucket shop-assets belongs to another account`.
        by: String,
    },
}

/// A setting that AWS has accepted but not reached yet. It is shown, and is no drift.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Pending {
    /// Path of the field in the model.
    pub field: String,
    /// What AWS is doing.
    pub doing: String,
}

/// A resource as AWS has it now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Observed<M = Value> {
    /// The settings that taskctl manages, in the same shape as the desired model.
    pub model: M,
    /// Ids and ARNs.
    pub outputs: Outputs,
    /// Ours or another owner's.
    pub ownership: Ownership,
    /// Settings on their way.
    pub pending: Vec<Pending>,
}

impl<M> Observed<M> {
    /// Something of ours without anything on its way.
    pub fn ours(model: M, outputs: Outputs) -> Self {
        Self {
            model,
            outputs,
            ownership: Ownership::Ours,
            pending: Vec::new(),
        }
    }
}

/// Builds an output map.
pub fn outputs<const N: usize>(pairs: [(&str, String); N]) -> Outputs {
    pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}
