//! The IAM policy that a deployer of the stack needs.

use std::collections::{BTreeMap, BTreeSet};

use super::{Engine, EngineError, PlanInputs};
use crate::aws::client::error::AwsError;
use crate::aws::kinds::apigateway;
use crate::aws::kinds::cloudwatch;
use crate::aws::kinds::dynamodb;
use crate::aws::kinds::s3;
use crate::aws::kinds::site;
use crate::aws::policy::deployer::{Commands, Standing, deployer_policy};
use crate::aws::policy::document::Document;
use crate::aws::read::reader::Reader;
use crate::compile;
use crate::release::slots::ReleaseState;

impl Engine {
    /// The policy that a principal needs to run these commands on this stack, as it is now.
    pub async fn policy(
        &self,
        commands: &BTreeSet<Commands>,
        inputs: &PlanInputs<'_>,
    ) -> Result<Document, EngineError> {
        let nothing = BTreeMap::new();
        let inputs = self.inputs(inputs, &nothing);
        let mut resources = compile::standing(&inputs);
        resources.extend(compile::released(&inputs, &ReleaseState::default()).0);
        let mut kinds: BTreeSet<String> = resources.into_iter().map(|one| one.id.kind).collect();
        // Their content is not needed to know that they come.
        if inputs.stack.buckets.values().any(|bucket| bucket.website.is_some()) {
            kinds.extend([site::content::KIND.to_owned(), site::pages::KIND.to_owned()]);
        }
        Ok(deployer_policy(
            commands,
            &kinds,
            inputs.stack,
            self.context.identity(),
            self.control.name(),
            &self.standing().await?,
        ))
    }

    /// What exists of a stack and is named in policies one by one.
    pub(super) async fn standing(&self) -> Result<Standing, EngineError> {
        let reader = Reader::new(self.context.clone());
        let names = async |kind: &str| {
            let found = self.registry.kind(kind).enumerate(&reader).await?;
            let names = found.into_iter().filter_map(|mut one| one.outputs.remove("name"));
            Ok::<BTreeSet<String>, AwsError>(names.collect())
        };
        let (apis, tables, buckets, dashboards) = futures::try_join!(
            apigateway::state::find(&self.context),
            names(dynamodb::table::KIND),
            names(s3::bucket::KIND),
            names(cloudwatch::dashboard::KIND),
        )?;
        Ok(Standing {
            apis: apis.into_iter().filter_map(|api| api.api_id).collect(),
            tables,
            buckets,
            dashboards,
        })
    }
}
