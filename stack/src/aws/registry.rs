//! The resource kinds, one line each, roots first. The order is the display order.

use std::sync::LazyLock;

use super::kind::{AnyKind, Kind, Registered};
use crate::plan::{KindRules, Rules};

/// All kinds.
pub struct Registry {
    kinds: Vec<Box<dyn AnyKind>>,
}

/// The kinds that taskctl manages.
pub fn registry() -> &'static Registry {
    static REGISTRY: LazyLock<Registry> = LazyLock::new(kinds);
    &REGISTRY
}

fn kinds() -> Registry {
    let mut registry = Registry { kinds: Vec::new() };
    registry.add(super::dynamodb_table::DynamodbTable);
    registry.add(super::s3_bucket::S3Bucket);
    registry.add(super::sns_topic::SnsTopic);
    registry.add(super::iam_role::IamRole);
    registry.add(super::log_group::LogGroup);
    registry.add(super::lambda_function::LambdaFunction);
    registry.add(super::lambda_version::LambdaVersion);
    registry.add(super::lambda_permission::LambdaPermission);
    registry.add(super::http_api::HttpApi);
    registry.add(super::api_integration::ApiIntegration);
    registry.add(super::api_route::ApiRoute);
    registry.add(super::api_deployment::ApiDeployment);
    registry.add(super::api_stage::ApiStage);
    registry.add(super::site_content::SiteContent);
    registry.add(super::site_pages::SitePages);
    registry.add(super::cloudwatch_alarm::CloudwatchAlarm);
    registry.add(super::warmup_rule::WarmupRule);
    registry.add(super::cloudwatch_dashboard::CloudwatchDashboard);
    registry
}

impl Registry {
    fn add(&mut self, kind: impl Kind) {
        let order = self.kinds.len();
        self.kinds.push(Box::new(Registered { kind, order }));
    }

    /// All kinds, in order.
    pub fn kinds(&self) -> impl Iterator<Item = &dyn AnyKind> {
        self.kinds.iter().map(AsRef::as_ref)
    }

    /// A kind by name.
    ///
    /// # Panics
    /// When no such kind is registered: names come from the registry itself.
    pub fn kind(&self, name: &str) -> &dyn AnyKind {
        match self.kinds.iter().find(|kind| kind.spec().name == name) {
            Some(kind) => kind.as_ref(),
            None => unreachable!("no kind is called {name}"),
        }
    }
}

impl Rules for Registry {
    fn of(&self, kind: &str) -> &dyn KindRules {
        self.kind(kind)
    }
}
