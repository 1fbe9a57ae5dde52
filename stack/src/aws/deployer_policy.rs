//! The policy of whoever runs taskctl: the actions that the kinds of a template declare, and those of the engine itself, on
//! exactly the names that the stack can have. Pure.
//! <https://docs.aws.amazon.com/service-authorization/latest/reference/reference_policies_actions-resources-contextkeys.html>

use std::collections::{BTreeMap, BTreeSet};

use super::context::Identity;
use super::policy_document::{Document, Statement};
use super::registry;
use crate::template::model::Stack;

/// Characters of a managed policy, white space not counted.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html>
pub const MANAGED_LIMIT: usize = 6_144;

/// Commands that take the same permissions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Commands {
    /// They change nothing: `plan`, `status`, `releases`, `logs`, `export`.
    Read,
    /// `deploy`, and everything that [`Commands::Release`] can.
    Deploy,
    /// `promote`, `rollback`, `prune`, `invoke`.
    Release,
    /// `destroy`.
    Destroy,
}

/// On what an action is allowed. The name is the statement's Sid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Scope {
    /// Actions that AWS cannot narrow to a resource.
    Account,
    Alarms,
    Apis,
    Buckets,
    ControlBucket,
    ControlObjects,
    Dashboards,
    Functions,
    Keys,
    LogGroups,
    Objects,
    PassRoles,
    Roles,
    Rules,
    Tables,
    Topics,
    Versions,
}

/// Actions that list, or whose resource AWS does not look at.
const ACCOUNT: &[&str] = &[
    "cloudwatch:DescribeAlarms",
    "cloudwatch:GetMetricData",
    "cloudwatch:ListDashboards",
    "dynamodb:ListTables",
    "events:ListRules",
    "iam:ListRoles",
    "lambda:ListFunctions",
    "logs:CreateLogDelivery",
    "logs:DeleteLogDelivery",
    "logs:DescribeLogGroups",
    "logs:DescribeResourcePolicies",
    "logs:GetLogDelivery",
    "logs:ListLogDeliveries",
    "logs:PutResourcePolicy",
    "logs:UpdateLogDelivery",
    "s3:ListAllMyBuckets",
    "sns:ListTopics",
    "tag:GetResources",
];

/// Actions on objects of a bucket.
const OBJECTS: &[&str] = &[
    "s3:AbortMultipartUpload",
    "s3:DeleteObject",
    "s3:DeleteObjectVersion",
    "s3:GetObject",
    "s3:PutObject",
];

/// What the engine does beside the kinds: lease, release records, metrics and logs.
fn of_engine(commands: Commands) -> &'static [(Scope, &'static str)] {
    const READ: &[(Scope, &str)] = &[
        (Scope::Account, "cloudwatch:DescribeAlarmHistory"),
        (Scope::Account, "cloudwatch:GetMetricData"),
        (Scope::Account, "logs:GetQueryResults"),
        (Scope::Account, "logs:StopQuery"),
        (Scope::ControlBucket, "s3:ListBucket"),
        (Scope::ControlObjects, "s3:GetObject"),
        (Scope::Functions, "lambda:GetAlias"),
        (Scope::Functions, "lambda:ListVersionsByFunction"),
        (Scope::LogGroups, "logs:FilterLogEvents"),
        (Scope::LogGroups, "logs:StartLiveTail"),
        (Scope::LogGroups, "logs:StartQuery"),
    ];
    const WRITE: &[(Scope, &str)] = &[
        (Scope::ControlBucket, "s3:CreateBucket"),
        (Scope::ControlBucket, "s3:PutBucketPublicAccessBlock"),
        (Scope::ControlObjects, "s3:DeleteObject"),
        (Scope::ControlObjects, "s3:PutObject"),
    ];
    const MOVE: &[(Scope, &str)] = &[
        (Scope::Apis, "apigateway:PATCH"),
        (Scope::Apis, "apigateway:DELETE"),
        (Scope::ControlBucket, "s3:CreateBucket"),
        (Scope::ControlBucket, "s3:PutBucketPublicAccessBlock"),
        (Scope::ControlObjects, "s3:DeleteObject"),
        (Scope::ControlObjects, "s3:PutObject"),
        (Scope::Functions, "lambda:DeleteAlias"),
        (Scope::Functions, "lambda:InvokeFunction"),
        (Scope::Functions, "lambda:UpdateAlias"),
        (Scope::Roles, "iam:DeleteRolePolicy"),
        (Scope::Roles, "iam:PutRolePolicy"),
        (Scope::Versions, "lambda:DeleteFunction"),
    ];
    match commands {
        Commands::Read => READ,
        Commands::Deploy | Commands::Destroy => WRITE,
        Commands::Release => MOVE,
    }
}

/// The policy for some commands on a stack. `kinds` are those that the template has.
pub fn deployer_policy(
    commands: &BTreeSet<Commands>,
    kinds: &BTreeSet<String>,
    stack: &Stack,
    identity: &Identity,
    control_bucket: &str,
) -> Document {
    let mut wanted = commands.clone();
    wanted.insert(Commands::Read);
    if wanted.contains(&Commands::Deploy) {
        wanted.insert(Commands::Release);
    }
    let mut allowed: BTreeMap<Scope, BTreeSet<&str>> = BTreeMap::new();
    for commands in &wanted {
        for (scope, action) in of_engine(*commands) {
            allowed.entry(*scope).or_default().insert(action);
        }
    }
    for kind in registry().kinds() {
        let spec = kind.spec();
        let is_used = kinds.contains(spec.name);
        let mut actions: Vec<&str> = spec.read_actions.to_vec();
        if wanted.contains(&Commands::Deploy) {
            actions.extend(spec.write_actions);
        }
        // What somebody's data is in goes with `destroy` alone.
        if wanted.contains(&Commands::Destroy) || (wanted.contains(&Commands::Deploy) && !spec.holds_data) {
            actions.extend(spec.delete_actions);
        }
        if wanted.contains(&Commands::Release) && spec.name == "site_pages" {
            actions.extend(spec.write_actions);
        }
        for action in actions {
            let scope = scope(spec.name, action);
            // A kind that the template lacks is still looked for.
            if is_used || scope == Scope::Account && spec.read_actions.contains(&action) {
                allowed.entry(scope).or_default().insert(action);
            }
        }
    }
    // Who may do it to a function may do it to each of its versions.
    if let (Some(functions), Some(versions)) = (
        allowed.get(&Scope::Functions).cloned(),
        allowed.get_mut(&Scope::Versions),
    ) {
        versions.retain(|action| !functions.contains(action));
    }
    let names = Patterns {
        stack,
        identity,
        control_bucket,
    };
    let statements = allowed.into_iter().filter_map(|(scope, actions)| {
        let resources = names.of(scope);
        if actions.is_empty() || resources.is_empty() {
            return None;
        }
        let mut statement = Statement::allow(&actions.into_iter().collect::<Vec<_>>(), resources);
        if scope == Scope::PassRoles {
            let services = BTreeSet::from(["lambda.amazonaws.com".to_owned()]);
            let key = BTreeMap::from([("iam:PassedToService".to_owned(), services)]);
            statement.conditions = BTreeMap::from([("StringEquals".to_owned(), key)]);
        }
        Some((format!("{scope:?}"), statement))
    });
    Document::new(statements)
}

fn scope(kind: &str, action: &str) -> Scope {
    if ACCOUNT.contains(&action) {
        return Scope::Account;
    }
    let is_object = OBJECTS.contains(&action);
    match (action.split(':').next().unwrap_or_default(), kind) {
        ("apigateway", _) => Scope::Apis,
        ("cloudwatch", "cloudwatch_dashboard") => Scope::Dashboards,
        ("cloudwatch", _) => Scope::Alarms,
        ("dynamodb", _) => Scope::Tables,
        ("events", _) => Scope::Rules,
        ("iam", _) if action == "iam:PassRole" => Scope::PassRoles,
        ("iam", _) => Scope::Roles,
        ("kms", _) => Scope::Keys,
        ("lambda", _) => Scope::Functions,
        ("logs", _) => Scope::LogGroups,
        // Packages lie in the control bucket.
        ("s3", "lambda_function") => Scope::ControlObjects,
        ("s3", _) if is_object => Scope::Objects,
        ("s3", _) => Scope::Buckets,
        ("sns", _) => Scope::Topics,
        _ => Scope::Account,
    }
}

/// The ARNs that a stack's resources have or could have: by the start of derived names, since a resource that left the
/// template must be found and deleted too, and each name that the template gives itself.
struct Patterns<'a> {
    stack: &'a Stack,
    identity: &'a Identity,
    control_bucket: &'a str,
}

impl Patterns<'_> {
    fn of(&self, scope: Scope) -> Vec<String> {
        let Self {
            stack,
            identity,
            control_bucket,
        } = self;
        let Identity {
            app,
            stage,
            region,
            account,
            partition,
        } = identity;
        let derived = format!("{}*", identity.prefix());
        let global = |service: &str, resource: &str| format!("arn:{partition}:{service}::{account}:{resource}");
        let s3 = |resource: &str| format!("arn:{partition}:s3:::{resource}");
        // Names by pattern, those given in the template after them.
        let names = |derived: &str, given: Vec<&Option<String>>| -> Vec<String> {
            let given = given.into_iter().flatten().cloned();
            std::iter::once(derived.to_owned()).chain(given).collect()
        };
        let functions = || names(&derived, stack.functions.values().map(|one| &one.name).collect());
        let buckets = || {
            let derived = format!("{derived}-{account}-{region}");
            names(&derived, stack.buckets.values().map(|one| &one.name).collect())
        };
        let each = |names: Vec<String>, arn: &dyn Fn(&str) -> String| names.iter().map(|name| arn(name)).collect();
        match scope {
            Scope::Account => vec!["*".to_owned()],
            Scope::Alarms => each(
                names(&derived, stack.alarms.values().map(|one| &one.name).collect()),
                &|name| identity.arn("cloudwatch", &format!("alarm:{name}")),
            ),
            // An API's id is not known before it is made, and routes and stages have no tags of their own.
            Scope::Apis => ["/apis", "/apis/*", "/tags/*"]
                .map(|path| format!("arn:{partition}:apigateway:{region}::{path}"))
                .to_vec(),
            Scope::Buckets => each(buckets(), &|name| s3(name)),
            Scope::ControlBucket => vec![s3(control_bucket)],
            Scope::ControlObjects => vec![s3(&format!("{control_bucket}/{app}/{stage}/*"))],
            Scope::Dashboards => each(
                names(&derived, stack.dashboards.values().map(|one| &one.name).collect()),
                &|name| global("cloudwatch", &format!("dashboard/{name}")),
            ),
            Scope::Functions => {
                let mut names = functions();
                // The pattern has the versions already.
                let versions: Vec<String> = names.iter().skip(1).map(|name| format!("{name}:*")).collect();
                names.extend(versions);
                each(names, &|name| identity.arn("lambda", &format!("function:{name}")))
            }
            Scope::Versions => each(functions(), &|name| {
                identity.arn("lambda", &format!("function:{name}:*"))
            }),
            Scope::Keys => {
                let keys = stack.tables.values().map(|table| &table.kms_key);
                let keys: BTreeSet<String> = keys
                    .chain(stack.buckets.values().map(|bucket| &bucket.kms_key))
                    .flatten()
                    .map(|key| match key.starts_with("arn:") && key.contains(":key/") {
                        true => key.clone(),
                        // An alias says nothing of the key that policies are about.
                        false => identity.arn("kms", "key/*"),
                    })
                    .collect();
                keys.into_iter().collect()
            }
            Scope::LogGroups => {
                let of_functions = functions().into_iter().map(|name| format!("/aws/lambda/{name}"));
                let names: Vec<String> = of_functions
                    .chain([format!("/aws/vendedlogs/taskctl/{app}/{stage}/*")])
                    .flat_map(|name| match name.ends_with('*') {
                        true => vec![name],
                        false => vec![format!("{name}:*"), name],
                    })
                    .collect();
                each(names, &|name| identity.arn("logs", &format!("log-group:{name}")))
            }
            Scope::Objects => each(buckets(), &|name| s3(&format!("{name}/*"))),
            Scope::PassRoles | Scope::Roles => vec![global("iam", &format!("role/taskctl/{app}/{stage}/*"))],
            Scope::Rules => vec![identity.arn("events", &format!("rule/{derived}"))],
            Scope::Tables => each(
                names(&derived, stack.tables.values().map(|one| &one.name).collect()),
                &|name| identity.arn("dynamodb", &format!("table/{name}")),
            ),
            Scope::Topics => each(
                names(&derived, stack.topics.values().map(|one| &one.name).collect()),
                &|name| identity.arn("sns", name),
            ),
        }
    }
}
