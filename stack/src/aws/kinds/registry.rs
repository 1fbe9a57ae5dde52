//! The resource kinds, one line each, roots first. The order is the display order.

use std::sync::LazyLock;

use crate::aws::client::service::{Service, quota};
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

/// The tagging API, which planning asks for every kind.
static TAGGING: Service = Service {
    name: "tag",
    quotas: &[quota(&[], 15.0, 15.0)],
    errors: &[],
};

/// The services of all kinds: their quotas and errors.
pub fn services() -> &'static [&'static Service] {
    static SERVICES: LazyLock<Vec<&'static Service>> = LazyLock::new(|| {
        let mut services = vec![&TAGGING];
        for kind in registry().kinds() {
            let service = kind.spec().service;
            if services.iter().all(|one| one.name != service.name) {
                services.push(service);
            }
        }
        services
    });
    &SERVICES
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
    registry.add(crate::aws::kinds::lambda::release::LambdaRelease);
    registry.add(crate::aws::kinds::lambda::alias::LambdaAlias);
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

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::path::{Path, PathBuf};

    use super::*;

    /// Names of kinds that also are the name of a model's field, and the file that has the field.
    const FIELDS: [(&str, &str); 1] = [(crate::aws::kinds::logs::group::KIND, "lambda/function/mod.rs")];

    fn sources(folder: &Path, files: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                sources(&path, files);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }

    #[test]
    fn the_name_of_a_kind_is_a_literal_once() {
        let mut files = Vec::new();
        let stack = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        sources(&stack, &mut files);
        sources(&stack.join("../../cli/src"), &mut files);
        assert!(files.len() > 150, "{}", files.len());
        let mut strays = Vec::new();
        let mut declared = 0;
        for file in &files {
            let text = std::fs::read_to_string(file).unwrap();
            for (number, line) in text.lines().enumerate() {
                let code = line.split("//").next().unwrap_or_default();
                for kind in registry().kinds() {
                    let name = kind.spec().name;
                    if !code.contains(&format!("\"{name}\"")) {
                        continue;
                    }
                    if code.starts_with("pub const KIND: ") {
                        declared += 1;
                    } else if !FIELDS
                        .iter()
                        .any(|(field, place)| *field == name && file.ends_with(place))
                    {
                        strays.push(format!("{}:{}: {name}", file.display(), number + 1));
                    }
                }
            }
        }
        assert!(strays.is_empty(), "use the kind's KIND:\n{}", strays.join("\n"));
        assert_eq!(declared, registry().kinds().count());
    }

    /// What a kind says of others names kinds that are registered.
    #[test]
    fn kinds_name_each_other_rightly() {
        for kind in registry().kinds() {
            let spec = kind.spec();
            let after = spec.deleted_after.iter().map(|(name, _)| *name);
            for other in after
                .chain(spec.contained_in)
                .chain(spec.deleted_before.iter().copied())
            {
                assert_eq!(registry().kind(other).spec().name, other);
            }
            let services = services().iter().filter(|one| one.name == spec.service.name);
            assert_eq!(services.count(), 1, "{}", spec.name);
        }
    }
}
