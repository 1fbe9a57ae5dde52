//! The policy of whoever runs taskctl: the actions that the kinds of a template declare, and those of the engine itself, on
//! the names that the stack can have. Pure.
//!
//! What changes something is bounded in one of these ways, the narrowest that AWS knows for it:
//! - tables, buckets and dashboards: by their exact names, those of the template and those that stand;
//! - APIs: by their ids, once there is one; before, by the tags that their creation gives them;
//! - functions, log groups, alarms, topics, rules: by the start of their names, and never what has another stack's tags;
//! - roles: by the stack's path, and by the permissions boundary where the template has one;
//! - keys: by alias or ARN, only through the service and only for its own grants.
//!
//! <https://docs.aws.amazon.com/service-authorization/latest/reference/reference_policies_actions-resources-contextkeys.html>

use std::collections::{BTreeMap, BTreeSet};

use crate::aws::client::identity::Identity;
use crate::aws::kinds::apigateway;
use crate::aws::kinds::kind::Spec;
use crate::aws::policy::arns::Arns;
use crate::aws::policy::document::{Document, Statement};
use crate::aws::policy::reach::Reach;
use crate::aws::registry;
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

/// What stands on AWS and is the stack's, by its tags.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Standing {
    /// Ids of its APIs; more than one where the answer of a create was lost.
    pub apis: BTreeSet<String>,
    /// Physical names of its tables.
    pub tables: BTreeSet<String>,
    /// Physical names of its buckets.
    pub buckets: BTreeSet<String>,
    /// Physical names of its dashboards.
    pub dashboards: BTreeSet<String>,
}

/// What the engine does beside the kinds: lease, release records, metrics and logs.
fn of_engine(commands: Commands) -> &'static [(Reach, &'static str)] {
    const READ: &[(Reach, &str)] = &[
        (Reach::Account, "cloudwatch:DescribeAlarmHistory"),
        (Reach::Account, "cloudwatch:GetMetricData"),
        (Reach::Account, "logs:GetQueryResults"),
        (Reach::Account, "logs:StopQuery"),
        // Not by `s3:prefix`: without the right to list a bucket S3 answers 403 for an object that is not there, and whether
        // the lease is there has to be known. https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html
        (Reach::ControlBucket, "s3:ListBucket"),
        (Reach::ControlObjects, "s3:GetObject"),
        (Reach::LogGroups, "logs:FilterLogEvents"),
        (Reach::LogGroups, "logs:StartLiveTail"),
        (Reach::LogGroups, "logs:StartQuery"),
        (Reach::Read, "lambda:GetAlias"),
        (Reach::Read, "lambda:ListVersionsByFunction"),
    ];
    const WRITE: &[(Reach, &str)] = &[
        (Reach::ControlBucket, "s3:CreateBucket"),
        (Reach::ControlBucket, "s3:GetBucketPolicy"),
        (Reach::ControlBucket, "s3:GetBucketPublicAccessBlock"),
        (Reach::ControlBucket, "s3:PutBucketPublicAccessBlock"),
        (Reach::ControlObjects, "s3:AbortMultipartUpload"),
        (Reach::ControlObjects, "s3:DeleteObject"),
        (Reach::ControlObjects, "s3:PutObject"),
    ];
    const MOVE: &[(Reach, &str)] = &[
        (Reach::ApiChanges, "apigateway:PATCH"),
        (Reach::ApiRemovals, "apigateway:DELETE"),
        (Reach::ControlBucket, "s3:CreateBucket"),
        (Reach::ControlBucket, "s3:GetBucketPublicAccessBlock"),
        (Reach::ControlBucket, "s3:PutBucketPublicAccessBlock"),
        (Reach::ControlObjects, "s3:DeleteObject"),
        (Reach::ControlObjects, "s3:PutObject"),
        (Reach::Functions, "lambda:DeleteAlias"),
        (Reach::Functions, "lambda:InvokeFunction"),
        (Reach::Functions, "lambda:UpdateAlias"),
        (Reach::Roles, "iam:DeleteRolePolicy"),
        (Reach::Versions, "lambda:DeleteFunction"),
    ];
    match commands {
        Commands::Read => READ,
        Commands::Deploy | Commands::Destroy => WRITE,
        Commands::Release => MOVE,
    }
}

/// The permissions boundaries that cap the roles of all functions; none when a function has none.
pub fn boundaries(stack: &Stack) -> Option<BTreeSet<&str>> {
    let of = |function: &'_ crate::template::model::Function| function.permissions_boundary.is_some();
    let all = !stack.functions.is_empty() && stack.functions.values().all(of);
    let named = stack
        .functions
        .values()
        .filter_map(|function| function.permissions_boundary.as_deref());
    all.then(|| named.collect())
}

/// What a policy amounts to, in plain words: what it gives beyond the names in it.
pub fn amounts_to(commands: &BTreeSet<Commands>, stack: &Stack) -> Vec<String> {
    let mut told = Vec::new();
    if commands.contains(&Commands::Deploy) && !stack.functions.is_empty() {
        let (app, stage) = (&stack.app, &stack.stage);
        match boundaries(stack) {
            None => {
                let open = stack.functions.iter().filter(|(_, function)| function.permissions_boundary.is_none());
                let open: Vec<&str> = open.map(|(name, _)| name.as_str()).collect();
                told.push(format!(
                    "whoever has this policy can become administrator of the account: it may write any permission into the \
                     roles below /taskctl/{app}/{stage}/ and run code with them, since {} no permissions boundary ({}); \
                     `permissions_boundary` below `defaults: {{function: …}}` bounds it",
                    if open.len() == 1 { "a function has" } else { "functions have" },
                    open.join(", ")
                ));
            }
            Some(boundaries) => told.push(format!(
                "whoever has this policy can do whatever {} allows: it may give that to the roles below \
                 /taskctl/{app}/{stage}/, run code with them, and make new ones that others may take on, since IAM has no \
                 condition for the trust policy of a new role",
                boundaries.into_iter().collect::<Vec<_>>().join(" or ")
            )),
        }
    }
    told
}

/// Other stages whose names begin like this one's: `prod-eu` beside `prod`.
pub fn alike<'a>(stage: &str, stages: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let begins = |longer: &str, shorter: &str| longer.strip_prefix(shorter).is_some_and(|rest| rest.starts_with('-'));
    stages.filter(|other| begins(other, stage)).collect()
}

/// The policy for some commands on a stack. `kinds` are those that the template has.
pub fn deployer_policy(
    commands: &BTreeSet<Commands>,
    kinds: &BTreeSet<String>,
    stack: &Stack,
    identity: &Identity,
    control_bucket: &str,
    standing: &Standing,
) -> Document {
    let mut wanted = commands.clone();
    wanted.insert(Commands::Read);
    if wanted.contains(&Commands::Deploy) {
        wanted.insert(Commands::Release);
    }
    let boundaries = boundaries(stack);
    let arns = Arns {
        stack,
        identity,
        control_bucket,
        standing,
        wanted: &wanted,
    };
    let mut statements = Vec::new();
    for (reach, actions) in allowed(&wanted, kinds, boundaries.is_some()) {
        if reach == Reach::Keys {
            let keys = arns.keys(&actions).into_iter();
            statements.extend(keys.map(|statement| (format!("{reach:?}"), statement)));
            continue;
        }
        let resources = arns.of(reach);
        if actions.is_empty() || resources.is_empty() {
            continue;
        }
        let mut statement = Statement::allow(&actions.into_iter().collect::<Vec<_>>(), resources);
        statement.conditions = arns.conditions(reach, boundaries.as_ref());
        statements.push((format!("{reach:?}"), statement));
    }
    Document::new(statements)
}

/// The actions of the engine and of the kinds, by how far they reach.
fn allowed(
    wanted: &BTreeSet<Commands>,
    kinds: &BTreeSet<String>,
    is_bounded: bool,
) -> BTreeMap<Reach, BTreeSet<&'static str>> {
    let mut allowed: BTreeMap<Reach, BTreeSet<&str>> = BTreeMap::new();
    for commands in wanted {
        for (reach, action) in of_engine(*commands) {
            allowed.entry(*reach).or_default().insert(action);
        }
    }
    for kind in registry().kinds() {
        let spec = kind.spec();
        let is_used = kinds.contains(spec.name);
        for action in of_kind(spec, wanted) {
            // Without a boundary in the template there is none to be put.
            if spec.withheld_actions.contains(&action) || action == "iam:PutRolePermissionsBoundary" && !is_bounded {
                continue;
            }
            let reach = spec.reach_of(action);
            // A kind that the template lacks is still looked for, and whose it is what is found.
            let is_look = matches!(reach, Reach::Account | Reach::Read) && spec.read_actions.contains(&action);
            if is_used || is_look {
                allowed.entry(reach).or_default().insert(action);
                if reach == Reach::ApiChanges && spec.name == apigateway::api::KIND && action != "apigateway:PATCH" {
                    allowed.entry(Reach::NewApi).or_default().insert(action);
                }
            }
        }
    }
    // Who may do it to a function may do it to each of its versions.
    if let (Some(functions), Some(versions)) = (
        allowed.get(&Reach::Functions).cloned(),
        allowed.get_mut(&Reach::Versions),
    ) {
        versions.retain(|action| !functions.contains(action));
    }
    allowed
}

/// The actions of a kind that commands take.
fn of_kind(spec: &Spec, wanted: &BTreeSet<Commands>) -> Vec<&'static str> {
    let mut actions = spec.read_actions.to_vec();
    if wanted.contains(&Commands::Deploy) {
        actions.extend(spec.write_actions);
    }
    // What somebody's data is in goes with `destroy` alone.
    if wanted.contains(&Commands::Destroy) || (wanted.contains(&Commands::Deploy) && !spec.holds_data) {
        actions.extend(spec.delete_actions);
    }
    if wanted.contains(&Commands::Release) {
        actions.extend(spec.release_actions);
    }
    actions
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::aws::policy::reach::is_look;
    use crate::template::{Options, Source, load};

    fn identity() -> Identity {
        Identity {
            app: "shop".into(),
            stage: "prod".into(),
            region: "eu-central-1".into(),
            account: "123456789012".into(),
            partition: "aws".into(),
        }
    }

    fn stack(boundary: &str) -> Stack {
        let text = format!(
            "app: shop\nregion: eu-central-1\nstages: {{prod: }}\ndefaults: {{function: {{architecture: x86_64{boundary}}}}}\n\
             tables:\n  tasks: {{partition_key: id, kms_key: alias/shop}}\n  users: {{partition_key: id, name: people}}\n\
             buckets: {{assets: , site: {{website: true}}}}\n\
             functions: {{tasks: {{grants: [{{table: tasks, access: read}}]}}}}\n\
             api: {{routes: {{GET /tasks: tasks}}}}\ntopics: {{ops: {{emails: []}}}}\n\
             warmup: {{functions: [tasks]}}\n"
        );
        match load(&Source::new("taskctl.yaml", text), "prod", &Options::default()) {
            Ok(loaded) => loaded.stack,
            Err(faults) => panic!("{}", faults.render(crate::template::Color::Plain)),
        }
    }

    fn policy(commands: &[Commands], boundary: &str, standing: &Standing) -> Document {
        let kinds = registry().kinds().map(|kind| kind.spec().name.to_owned()).collect();
        let commands = commands.iter().copied().collect();
        deployer_policy(
            &commands,
            &kinds,
            &stack(boundary),
            &identity(),
            "taskctl-control",
            standing,
        )
    }

    fn standing() -> Standing {
        Standing {
            apis: BTreeSet::from(["a1b2c3".to_owned()]),
            ..Standing::default()
        }
    }

    const EVERY: [Commands; 4] = [Commands::Read, Commands::Release, Commands::Deploy, Commands::Destroy];
    const CAP: &str = ", permissions_boundary: 'arn:aws:iam::123456789012:policy/cap'";

    /// What changes something names what it changes, but for these.
    #[test]
    fn nothing_is_changed_on_every_resource() {
        let open = [
            // AWS has no resources for deliveries and resource policies of CloudWatch Logs, nor for queries.
            // https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazoncloudwatchlogs.html
            "logs:CreateLogDelivery",
            "logs:DeleteLogDelivery",
            "logs:PutResourcePolicy",
            "logs:StopQuery",
            "logs:UpdateLogDelivery",
        ];
        for commands in EVERY {
            for standing in [Standing::default(), standing()] {
                for (sid, statement) in policy(&[commands], CAP, &standing).statements() {
                    assert!(
                        statement.not_actions.is_empty() && statement.not_resources.is_empty(),
                        "{sid}"
                    );
                    assert!(statement.actions.iter().all(|action| !action.contains('*')), "{sid}");
                    if statement.resources.contains("*") {
                        let changing = statement
                            .actions
                            .iter()
                            .filter(|action| !is_look(action) && !action.contains(":List"));
                        let unknown: Vec<_> = changing.filter(|action| !open.contains(&action.as_str())).collect();
                        assert!(unknown.is_empty(), "{commands:?} {sid}: {unknown:?}");
                    }
                }
            }
        }
    }

    /// Sid, resources and conditions of the statements that allow an action.
    fn allowing(document: &Document, action: &str) -> String {
        let statements = document
            .statements()
            .iter()
            .filter(|(_, one)| one.actions.contains(action));
        let lines = statements.map(|(sid, one)| {
            let resources: Vec<&str> = one.resources.iter().map(String::as_str).collect();
            let conditions = serde_json::to_string(&one.conditions).unwrap();
            format!("{sid}: {} {conditions}", resources.join(" "))
        });
        lines.collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn keys_are_used_through_the_service_alone() {
        let deploy = policy(&[Commands::Deploy], "", &standing());
        assert_eq!(
            allowing(&deploy, "kms:CreateGrant"),
            r#"Keys: arn:aws:kms:eu-central-1:123456789012:key/* {"Bool":{"kms:GrantIsForAWSResource":["true"]},"ForAnyValue:StringEquals":{"kms:ResourceAliases":["alias/shop"]},"StringEquals":{"kms:ViaService":["dynamodb.eu-central-1.amazonaws.com"]}}"#
        );
        for action in [
            "kms:DescribeKey",
            "kms:Encrypt",
            "kms:Decrypt",
            "kms:ReEncryptFrom",
            "kms:ReEncryptTo",
            "kms:GenerateDataKey",
        ] {
            let allowed = allowing(&deploy, action);
            assert!(
                allowed.contains("kms:ResourceAliases") && allowed.contains("kms:ViaService"),
                "{allowed}"
            );
        }
    }

    #[test]
    fn permissions_go_to_roles_with_the_boundary_only() {
        let bounded = policy(&EVERY, CAP, &standing());
        for action in ["iam:CreateRole", "iam:PutRolePolicy", "iam:PutRolePermissionsBoundary"] {
            assert_eq!(
                allowing(&bounded, action),
                r#"RolePermissions: arn:aws:iam::123456789012:role/taskctl/shop/prod/*-eu-central-1 {"StringEquals":{"iam:PermissionsBoundary":["arn:aws:iam::123456789012:policy/cap"]}}"#
            );
        }
        let open = policy(&EVERY, "", &standing());
        for document in [&bounded, &open] {
            for action in [
                "iam:AttachRolePolicy",
                "iam:DeleteRolePermissionsBoundary",
                "iam:UpdateAssumeRolePolicy",
            ] {
                assert_eq!(allowing(document, action), "", "{action}");
            }
            assert_eq!(
                allowing(document, "lambda:AddPermission").split(' ').next_back(),
                Some(
                    r#"{"StringEquals":{"lambda:Principal":["apigateway.amazonaws.com","events.amazonaws.com"]},"StringEqualsIfExists":{"aws:ResourceTag/app":["shop"],"aws:ResourceTag/stage":["prod"]}}"#
                )
            );
        }
        assert_eq!(allowing(&open, "iam:PutRolePermissionsBoundary"), "");
        for commands in [Commands::Read, Commands::Release, Commands::Destroy] {
            let document = policy(&[commands], "", &standing());
            for action in ["iam:CreateRole", "iam:PutRolePolicy"] {
                assert_eq!(allowing(&document, action), "", "{commands:?}");
            }
        }
    }

    #[test]
    fn what_holds_data_is_named_exactly() {
        let deploy = policy(&[Commands::Deploy, Commands::Release], "", &standing());
        assert_eq!(
            allowing(&deploy, "dynamodb:UpdateTable"),
            "Tables: arn:aws:dynamodb:eu-central-1:123456789012:table/people arn:aws:dynamodb:eu-central-1:123456789012:table/shop-prod-tasks {}"
        );
        for action in ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"] {
            let allowed = allowing(&deploy, action);
            let sites = "Sites: arn:aws:s3:::shop-prod-site-123456789012-eu-central-1 arn:aws:s3:::shop-prod-site-123456789012-eu-central-1/* {}";
            assert_eq!(allowed.lines().last(), Some(sites), "{allowed}");
            assert!(!allowed.contains("assets"), "{allowed}");
        }
        let left = Standing {
            tables: BTreeSet::from(["shop-prod-former".to_owned()]),
            ..standing()
        };
        let destroy = policy(&[Commands::Destroy], "", &left);
        assert!(allowing(&destroy, "dynamodb:DeleteTable").contains("table/shop-prod-former"));
    }

    #[test]
    fn the_api_is_named_by_its_id() {
        let release = policy(&[Commands::Release], "", &standing());
        assert_eq!(
            allowing(&release, "apigateway:PATCH"),
            "ApiChanges: arn:aws:apigateway:eu-central-1::/apis/a1b2c3/stages/* {}"
        );
        assert_eq!(
            allowing(&release, "apigateway:DELETE"),
            "ApiRemovals: arn:aws:apigateway:eu-central-1::/apis/a1b2c3/deployments/* \
             arn:aws:apigateway:eu-central-1::/apis/a1b2c3/stages/*/routesettings/* {}"
        );
        let first = policy(&[Commands::Deploy], "", &Standing::default());
        assert_eq!(
            allowing(&first, "iam:CreateServiceLinkedRole"),
            "ServiceRole: arn:aws:iam::123456789012:role/aws-service-role/ops.apigateway.amazonaws.com/AWSServiceRoleForAPIGateway \
             {\"StringEquals\":{\"iam:AWSServiceName\":[\"ops.apigateway.amazonaws.com\"]}}"
        );
        assert_eq!(allowing(&release, "iam:CreateServiceLinkedRole"), "");
        let by = |key: &str| format!(r#"{{"StringEquals":{{"aws:{key}/app":["shop"],"aws:{key}/stage":["prod"]}}"#);
        let post = allowing(&first, "apigateway:POST");
        for (sid, condition) in [("ApiChanges", by("ResourceTag")), ("NewApi", by("RequestTag"))] {
            let line = post.lines().find(|line| line.starts_with(sid)).unwrap();
            assert!(line.contains(&condition), "{line}");
        }
        assert!(allowing(&first, "apigateway:DELETE").contains(&by("ResourceTag")));
    }

    #[test]
    fn what_it_amounts_to_is_told() {
        let deploy = BTreeSet::from([Commands::Deploy]);
        let told = amounts_to(&deploy, &stack("")).join("\n");
        assert!(
            told.contains("administrator of the account") && told.contains("(tasks)"),
            "{told}"
        );
        let told = amounts_to(&deploy, &stack(CAP)).join("\n");
        assert!(
            told.contains("whatever arn:aws:iam::123456789012:policy/cap allows"),
            "{told}"
        );
        assert!(amounts_to(&BTreeSet::from([Commands::Release]), &stack("")).is_empty());
    }

    #[test]
    fn names_that_begin_alike() {
        assert_eq!(
            alike("prod", ["dev", "prod", "prod-eu", "production"].into_iter()),
            ["prod-eu"]
        );
    }
}
