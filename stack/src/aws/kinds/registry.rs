//! The resource kinds, one line each, roots first. The order is the display order.

use std::sync::LazyLock;

use crate::aws::kinds::kind::{AnyKind, Kind, Registered};
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
    registry.add(crate::aws::kinds::dynamodb::table::DynamodbTable);
    registry.add(crate::aws::kinds::s3::bucket::S3Bucket);
    registry.add(crate::aws::kinds::sns::topic::SnsTopic);
    registry.add(crate::aws::kinds::iam::role::IamRole);
    registry.add(crate::aws::kinds::logs::group::LogGroup);
    registry.add(crate::aws::kinds::lambda::function::LambdaFunction);
    registry.add(crate::aws::kinds::lambda::version::LambdaVersion);
    registry.add(crate::aws::kinds::lambda::permission::LambdaPermission);
    registry.add(crate::aws::kinds::apigateway::api::HttpApi);
    registry.add(crate::aws::kinds::apigateway::integration::ApiIntegration);
    registry.add(crate::aws::kinds::apigateway::route::ApiRoute);
    registry.add(crate::aws::kinds::apigateway::deployment::ApiDeployment);
    registry.add(crate::aws::kinds::apigateway::stage::ApiStage);
    registry.add(crate::aws::kinds::site::content::SiteContent);
    registry.add(crate::aws::kinds::site::pages::SitePages);
    registry.add(crate::aws::kinds::cloudwatch::alarm::CloudwatchAlarm);
    registry.add(crate::aws::kinds::events::warmup_rule::WarmupRule);
    registry.add(crate::aws::kinds::cloudwatch::dashboard::CloudwatchDashboard);
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
