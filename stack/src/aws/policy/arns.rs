//! The resources of a deployer's policy: the ARNs that a stack's resources have or could have, and the conditions that bound what
//! ARNs cannot. Pure.

use std::collections::{BTreeMap, BTreeSet};

use crate::aws::client::identity::Identity;
use crate::aws::policy::deployer::{Commands, Standing};
use crate::aws::policy::document::Statement;
use crate::aws::policy::reach::Reach;
use crate::partition::dns_suffix;
use crate::template::model::Stack;
use crate::template::names::Names;

/// Services that invoke functions of a stack.
const INVOKERS: &[&str] = &["apigateway.amazonaws.com", "events.amazonaws.com"];

/// API Gateway, where it acts in an account itself.
const API_GATEWAY: &str = "ops.apigateway.amazonaws.com";

type Conditions = BTreeMap<String, BTreeMap<String, BTreeSet<String>>>;

/// One condition.
fn condition<'a>(operator: &str, key: &str, values: impl IntoIterator<Item = &'a str>) -> Conditions {
    let values = values.into_iter().map(str::to_owned).collect();
    BTreeMap::from([(operator.to_owned(), BTreeMap::from([(key.to_owned(), values)]))])
}

/// The ARNs that a stack's resources have or could have.
pub(super) struct Arns<'a> {
    pub stack: &'a Stack,
    pub identity: &'a Identity,
    pub control_bucket: &'a str,
    pub standing: &'a Standing,
    pub wanted: &'a BTreeSet<Commands>,
}

impl Arns<'_> {
    /// The tags that tell a stack's resources, under `aws:ResourceTag` or `aws:RequestTag`.
    fn tags(&self, operator: &str, key: &str) -> Conditions {
        let mut keys = BTreeMap::new();
        for (tag, value) in [("app", &self.identity.app), ("stage", &self.identity.stage)] {
            keys.insert(format!("{key}/{tag}"), BTreeSet::from([value.clone()]));
        }
        BTreeMap::from([(operator.to_owned(), keys)])
    }

    pub(super) fn conditions(&self, reach: Reach, boundaries: Option<&BTreeSet<&str>>) -> Conditions {
        // What does not stand yet, and what AWS does not tell the tags of, has no such key; another stack's has another value.
        let not_of_others = || self.tags("StringEqualsIfExists", "aws:ResourceTag");
        match reach {
            // https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsidentityandaccessmanagementiam.html
            Reach::PassRoles => condition("StringEquals", "iam:PassedToService", ["lambda.amazonaws.com"]),
            Reach::RolePermissions => match boundaries {
                Some(boundaries) => condition("StringEquals", "iam:PermissionsBoundary", boundaries.iter().copied()),
                None => Conditions::new(),
            },
            // https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-tagging-iam-policy.html
            Reach::NewApi => {
                let mut conditions = self.tags("StringEquals", "aws:RequestTag");
                conditions.extend(not_of_others());
                conditions
            }
            Reach::ServiceRole => condition("StringEquals", "iam:AWSServiceName", [API_GATEWAY]),
            Reach::ApiChanges | Reach::ApiRemovals if self.standing.apis.is_empty() => {
                self.tags("StringEquals", "aws:ResourceTag")
            }
            // https://docs.aws.amazon.com/service-authorization/latest/reference/list_awslambda.html
            Reach::Invokers => {
                let mut conditions = condition("StringEquals", "lambda:Principal", INVOKERS.iter().copied());
                conditions.extend(not_of_others());
                conditions
            }
            Reach::Alarms | Reach::Functions | Reach::LogGroups | Reach::Rules | Reach::Topics | Reach::Versions => {
                not_of_others()
            }
            Reach::Account
            | Reach::ApiChanges
            | Reach::ApiRemovals
            | Reach::Buckets
            | Reach::ControlBucket
            | Reach::ControlObjects
            | Reach::Dashboards
            | Reach::Keys
            | Reach::Layers
            | Reach::Networks
            | Reach::Objects
            | Reach::Read
            | Reach::Roles
            | Reach::Sites
            | Reach::Tables => Conditions::new(),
        }
    }

    /// The use of each key of a table: through DynamoDB, and only for grants that it makes for itself.
    /// <https://docs.aws.amazon.com/kms/latest/developerguide/conditions-kms.html>
    pub(super) fn keys(&self, actions: &BTreeSet<&str>) -> Vec<Statement> {
        let Identity { region, .. } = self.identity;
        let keys: BTreeSet<&str> = self
            .stack
            .tables
            .values()
            .filter_map(|table| table.settings.kms_key.as_deref())
            .collect();
        let via = format!("dynamodb.{region}.{}", dns_suffix(region));
        let (granting, using): (Vec<&str>, Vec<&str>) =
            actions.iter().partition(|action| **action == "kms:CreateGrant");
        let mut statements = Vec::new();
        for key in keys {
            for actions in [&granting, &using].into_iter().filter(|actions| !actions.is_empty()) {
                let mut conditions = condition("StringEquals", "kms:ViaService", [via.as_str()]);
                if std::ptr::eq(actions, &granting) {
                    conditions.extend(condition("Bool", "kms:GrantIsForAWSResource", ["true"]));
                }
                let alias = key
                    .strip_prefix("alias/")
                    .or_else(|| key.split_once(":alias/").map(|(_, alias)| alias));
                let resource = match alias {
                    // A policy cannot name an alias as a resource; the condition narrows the keys down to the one that has it.
                    Some(alias) => {
                        let alias = format!("alias/{alias}");
                        conditions.extend(condition(
                            "ForAnyValue:StringEquals",
                            "kms:ResourceAliases",
                            [alias.as_str()],
                        ));
                        self.identity.arn("kms", "key/*")
                    }
                    None if key.starts_with("arn:") => key.to_owned(),
                    None => self.identity.arn("kms", &format!("key/{key}")),
                };
                statements.push(Statement {
                    conditions,
                    ..Statement::allow(actions, [resource])
                });
            }
        }
        statements
    }

    /// Exact names of what holds data: those of the template, and those that stand.
    fn exact<'b>(
        &self,
        derived: Vec<String>,
        given: Vec<&Option<String>>,
        standing: impl IntoIterator<Item = &'b String>,
    ) -> BTreeSet<String> {
        let mut names: BTreeSet<String> = standing.into_iter().cloned().collect();
        for (derived, given) in derived.into_iter().zip(given) {
            names.insert(given.clone().unwrap_or(derived));
        }
        names
    }

    fn names(&self) -> Names<'_> {
        self.identity.names()
    }

    fn tables(&self) -> BTreeSet<String> {
        let tables = &self.stack.tables;
        let derived = tables.keys().map(|logical| self.names().table(logical)).collect();
        self.exact(
            derived,
            tables.values().map(|one| &one.name).collect(),
            &self.standing.tables,
        )
    }

    /// Buckets, or those of web sites alone.
    fn buckets(&self, sites_alone: bool) -> BTreeSet<String> {
        let buckets = self
            .stack
            .buckets
            .iter()
            .filter(|(_, one)| !sites_alone || one.website.is_some());
        let buckets: Vec<_> = buckets.collect();
        let derived = buckets
            .iter()
            .map(|(logical, _)| self.names().bucket(logical))
            .collect();
        let nothing = BTreeSet::new();
        let standing = if sites_alone { &nothing } else { &self.standing.buckets };
        self.exact(derived, buckets.iter().map(|(_, one)| &one.name).collect(), standing)
    }

    fn s3(&self, resource: &str) -> String {
        format!("arn:{}:s3:::{resource}", self.identity.partition)
    }

    fn gateway(&self, path: &str) -> String {
        let Identity { partition, region, .. } = self.identity;
        format!("arn:{partition}:apigateway:{region}::{path}")
    }

    fn table(&self, name: &str) -> String {
        self.identity.arn("dynamodb", &format!("table/{name}"))
    }

    /// Dashboards belong to no region.
    fn dashboard(&self, name: &str) -> String {
        let Identity { partition, account, .. } = self.identity;
        format!("arn:{partition}:cloudwatch::{account}:dashboard/{name}")
    }

    /// The start of the names that the stack derives.
    fn derived(&self) -> String {
        format!("{}*", self.identity.prefix())
    }

    /// Names by pattern, those given in the template after them.
    fn by_pattern<'b>(&self, given: impl IntoIterator<Item = &'b Option<String>>) -> Vec<String> {
        let given = given.into_iter().flatten().cloned();
        std::iter::once(self.derived()).chain(given).collect()
    }

    fn functions(&self) -> Vec<String> {
        self.by_pattern(self.stack.functions.values().map(|one| &one.name))
    }

    fn dashboards(&self) -> BTreeSet<String> {
        let dashboards = &self.stack.dashboards;
        let derived = dashboards.keys().map(|logical| self.names().dashboard(logical));
        self.exact(
            derived.collect(),
            dashboards.values().map(|one| &one.name).collect(),
            &self.standing.dashboards,
        )
    }

    /// Before there is an API its tags tell which it is.
    fn api_ids(&self) -> Vec<&str> {
        match self.standing.apis.is_empty() {
            true => vec!["*"],
            false => self.standing.apis.iter().map(String::as_str).collect(),
        }
    }

    fn of_apis(&self, parts: &[&str]) -> Vec<String> {
        let ids = self.api_ids().into_iter();
        ids.flat_map(|id| parts.iter().map(move |part| format!("/apis/{id}{part}")))
            .map(|path| self.gateway(&path))
            .collect()
    }

    /// The path of a tag call holds an ARN, encoded or not.
    fn tags_of_apis(&self) -> Vec<String> {
        let ids = self.api_ids().into_iter();
        ids.map(|id| self.gateway(&format!("/tags/*apis*{id}*"))).collect()
    }

    /// Not the deployments that stand: their descriptions are the labels of releases.
    fn api_changes(&self) -> Vec<String> {
        if !self.wanted.contains(&Commands::Deploy) {
            return self.of_apis(&["/stages/*"]);
        }
        let mut all = self.of_apis(&["", "/deployments", "/integrations*", "/routes*", "/stages*"]);
        all.extend(self.tags_of_apis());
        all
    }

    fn api_removals(&self) -> Vec<String> {
        let wanted = self.wanted;
        let mut parts = BTreeSet::new();
        if wanted.contains(&Commands::Release) {
            parts.extend(["/deployments/*", "/stages/*/routesettings/*"]);
        }
        if wanted.contains(&Commands::Destroy) {
            parts.insert("");
        }
        if wanted.contains(&Commands::Deploy) {
            parts.extend(["", "/cors", "/integrations/*", "/routes/*", "/stages/*"]);
        }
        let mut all = self.of_apis(&parts.into_iter().collect::<Vec<_>>());
        if wanted.contains(&Commands::Deploy) {
            all.extend(self.tags_of_apis());
        }
        all
    }

    fn functions_and_versions(&self) -> Vec<String> {
        let mut names = self.functions();
        // The pattern has the versions already.
        let versions: Vec<String> = names.iter().skip(1).map(|name| format!("{name}:*")).collect();
        names.extend(versions);
        let arns = names.iter();
        arns.map(|name| self.identity.arn("lambda", &format!("function:{name}")))
            .collect()
    }

    fn log_groups(&self) -> Vec<String> {
        let of_functions = self.functions().into_iter();
        of_functions
            .map(|name| self.names().function_log_group(&name))
            .chain([format!("{}*", self.names().access_log_prefix())])
            .flat_map(|name| match name.ends_with('*') {
                true => vec![name],
                false => vec![format!("{name}:*"), name],
            })
            .map(|name| self.identity.arn("logs", &format!("log-group:{name}")))
            .collect()
    }

    /// What is only read is bounded by the start of its name also where what is changed is named exactly.
    fn reads(&self) -> Vec<String> {
        let Self { stack, identity, .. } = self;
        let mut all = self.of_apis(&["", "/*"]);
        all.push(self.gateway("/apis"));
        for reach in [
            Reach::Alarms,
            Reach::Functions,
            Reach::LogGroups,
            Reach::Roles,
            Reach::Rules,
            Reach::Topics,
        ] {
            all.extend(self.of(reach));
        }
        let tables = self.by_pattern(stack.tables.values().map(|one| &one.name));
        all.extend(tables.iter().map(|name| self.table(name)));
        all.push(self.s3(&format!("{}-{}-{}", self.derived(), identity.account, identity.region)));
        let buckets = stack.buckets.values().filter_map(|one| one.name.as_deref());
        all.extend(buckets.map(|name| self.s3(name)));
        let dashboards = self.by_pattern(stack.dashboards.values().map(|one| &one.name));
        all.extend(dashboards.iter().map(|name| self.dashboard(name)));
        all
    }

    /// The resources that actions of a reach are allowed on.
    pub(super) fn of(&self, reach: Reach) -> Vec<String> {
        let Self {
            stack,
            identity,
            control_bucket,
            ..
        } = self;
        let Identity { app, stage, region, .. } = identity;
        match reach {
            Reach::Account => vec!["*".to_owned()],
            Reach::Alarms => {
                let names = self.by_pattern(stack.alarms.values().map(|one| &one.name)).into_iter();
                names
                    .map(|name| identity.arn("cloudwatch", &format!("alarm:{name}")))
                    .collect()
            }
            Reach::ApiChanges => self.api_changes(),
            Reach::ApiRemovals => self.api_removals(),
            Reach::NewApi => vec![self.gateway("/apis"), self.gateway("/tags/*")],
            Reach::Buckets => self.buckets(false).iter().map(|name| self.s3(name)).collect(),
            Reach::ControlBucket => vec![self.s3(control_bucket)],
            Reach::ControlObjects => vec![self.s3(&format!("{control_bucket}/{app}/{stage}/*"))],
            Reach::Dashboards => self.dashboards().iter().map(|name| self.dashboard(name)).collect(),
            Reach::Functions | Reach::Invokers => self.functions_and_versions(),
            Reach::Versions => {
                let names = self.functions().into_iter();
                names
                    .map(|name| identity.arn("lambda", &format!("function:{name}:*")))
                    .collect()
            }
            Reach::Keys => Vec::new(),
            Reach::Layers => {
                let layers = stack.functions.values().flat_map(|function| &function.layers);
                layers.cloned().collect::<BTreeSet<_>>().into_iter().collect()
            }
            // EC2 knows no resource for these.
            // https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonec2.html
            Reach::Networks => match stack.functions.values().any(|function| function.vpc.is_some()) {
                true => vec!["*".to_owned()],
                false => Vec::new(),
            },
            Reach::LogGroups => self.log_groups(),
            Reach::Objects => {
                let names = self.buckets(false).into_iter();
                names.map(|name| self.s3(&format!("{name}/*"))).collect()
            }
            // Names of roles end in the region.
            Reach::PassRoles | Reach::RolePermissions | Reach::Roles => {
                vec![identity.role_arn(&self.names().role_path(), &format!("*-{region}"))]
            }
            // https://docs.aws.amazon.com/apigateway/latest/developerguide/using-service-linked-roles.html
            Reach::ServiceRole => {
                let path = format!("/aws-service-role/{API_GATEWAY}/");
                vec![identity.role_arn(&path, "AWSServiceRoleForAPIGateway")]
            }
            Reach::Rules => vec![identity.arn("events", &format!("rule/{}", self.derived()))],
            Reach::Sites => {
                let names = self.buckets(true).into_iter();
                names
                    .flat_map(|name| [self.s3(&name), self.s3(&format!("{name}/*"))])
                    .collect()
            }
            Reach::Tables => self.tables().iter().map(|name| self.table(name)).collect(),
            Reach::Topics => {
                let names = self.by_pattern(stack.topics.values().map(|one| &one.name)).into_iter();
                names.map(|name| identity.arn("sns", &name)).collect()
            }
            Reach::Read => self.reads(),
        }
    }
}
