//! What must not be possible on a deployed stage. It is judged by what AWS has – documents of roles, policies of
//! functions and buckets – and by what the template grants, never by what a deploy would write.

mod buckets;
mod functions;
mod roles;

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::aws::client::context::Context;
use crate::aws::client::error::AwsError;
use crate::aws::read::reader::Reader;
use crate::aws::release::control_bucket::ControlBucket;
use crate::compile::unauthenticated;
use crate::template::model::Stack;
use crate::template::names::Names;

/// Something that must not be possible.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What it is about: `functions`, `callers` or `buckets`.
    pub about: &'static str,
    /// What must hold.
    pub holds: String,
    /// What was asked.
    pub asked: String,
    /// What is wrong; none when it holds.
    pub wrong: Option<String>,
}

impl Finding {
    fn new(about: &'static str, holds: String, asked: String, wrong: &BTreeSet<String>) -> Self {
        Self {
            about,
            holds,
            asked,
            wrong: wrong.iter().cloned().reduce(|all, one| format!("{all}; {one}")),
        }
    }
}

/// Asks for everything that must not be possible.
pub async fn examine(context: &Context, control: &ControlBucket, stack: &Stack) -> Result<Vec<Finding>, AwsError> {
    let stage = Stage {
        context,
        stack,
        reader: Reader::new(context.clone()),
    };
    let (roles, functions, callers, buckets) = futures::try_join!(
        roles::examine(&stage, control),
        functions::examine(&stage),
        callers(&stage),
        buckets::examine(&stage)
    )?;
    Ok(roles
        .into_iter()
        .chain(functions)
        .chain(callers)
        .chain(buckets)
        .collect())
}

/// The stage that is examined.
struct Stage<'a> {
    context: &'a Context,
    stack: &'a Stack,
    reader: Reader,
}

impl Stage<'_> {
    fn names(&self) -> Names<'_> {
        self.context.identity().names()
    }

    /// Physical names of the template's tables by logical name.
    fn tables(&self) -> BTreeMap<&str, String> {
        let tables = self.stack.tables.iter();
        tables
            .map(|(name, table)| {
                let given = table.name.clone();
                (name.as_str(), given.unwrap_or_else(|| self.names().table(name)))
            })
            .collect()
    }

    /// Physical names of the template's buckets by logical name.
    fn buckets(&self) -> BTreeMap<&str, String> {
        let buckets = self.stack.buckets.iter();
        buckets
            .map(|(name, bucket)| {
                let given = bucket.name.clone();
                (name.as_str(), given.unwrap_or_else(|| self.names().bucket(name)))
            })
            .collect()
    }

    fn bucket_arn(&self, name: &str) -> String {
        format!("arn:{}:s3:::{name}", self.context.identity().partition)
    }
}

/// Whether routes ask who calls, on a stage that is worth protecting.
async fn callers(stage: &Stage<'_>) -> Result<Option<Finding>, AwsError> {
    if !stage.stack.protected {
        return Ok(None);
    }
    let Some(api) = stage.reader.api().await? else {
        return Ok(None);
    };
    let open = api.open_routes();
    let all = api.routes.len();
    let wrong = match (open, all) {
        (0, _) => None,
        (open, all) if open == all => Some(unauthenticated(all)),
        (open, all) => Some(format!("{open} of {all} routes do not ask who calls")),
    };
    Ok(Some(Finding {
        about: "callers",
        holds: "every route asks who calls".to_owned(),
        asked: format!("GetRoutes of API {}", api.id()),
        wrong,
    }))
}
