//! What a function's role allows: the actions its declared grants need, on exactly the resources they name, its own log
//! group, and tracing when asked for. Pure.
//! <https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazondynamodb.html>
//! <https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazons3.html>

use std::collections::{BTreeMap, BTreeSet};

use crate::aws::client::identity::Identity;
use crate::aws::policy::document::{Document, Effect, Statement};
use crate::digest::short_sha256;
use crate::template::model::{Access, Function, GrantTarget, OwnStatement, Stack};

/// The policy of one function's role. `name` is the function's physical name, `resolve` gives that of a table or bucket.
pub fn statements(
    identity: &Identity,
    stack: &Stack,
    function: &Function,
    name: &str,
    resolve: impl Fn(&GrantTarget) -> String,
) -> Document {
    let group = identity.names().function_log_group(name);
    let group = identity.arn("logs", &format!("log-group:{group}:*"));
    let mut statements = vec![(
        "Logs".to_owned(),
        Statement::allow(&["logs:CreateLogStream", "logs:PutLogEvents"], [group]),
    )];
    if function.tracing {
        // X-Ray knows no resource for these.
        // https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsx-ray.html
        let actions = ["xray:PutTelemetryRecords", "xray:PutTraceSegments"];
        statements.push(("Tracing".to_owned(), Statement::allow(&actions, ["*".to_owned()])));
    }
    if function.vpc.is_some() {
        statements.extend(in_network(identity, name));
    }
    for ((target, prefix), access) in merged(function) {
        let name = resolve(target);
        match target {
            GrantTarget::Table(logical) => {
                statements.extend(on_table(identity, stack, logical, &name, &access));
            }
            GrantTarget::Bucket(logical) => {
                statements.extend(on_bucket(identity, stack, logical, &name, prefix, &access));
            }
        }
    }
    statements.extend(own_statements(identity, function));
    Document::new(statements)
}

/// What Lambda does in the function's name to put it into a network, and the function itself must not do.
/// <https://docs.aws.amazon.com/lambda/latest/dg/configuration-vpc.html#configuration-vpc-permissions>
fn in_network(identity: &Identity, name: &str) -> [(String, Statement); 2] {
    let actions = [
        "ec2:AssignPrivateIpAddresses",
        "ec2:CreateNetworkInterface",
        "ec2:DeleteNetworkInterface",
        "ec2:DescribeNetworkInterfaces",
        "ec2:DescribeSubnets",
        "ec2:UnassignPrivateIpAddresses",
    ];
    let allowed = Statement::allow(&actions, ["*".to_owned()]);
    let own = BTreeSet::from([identity.arn("lambda", &format!("function:{name}"))]);
    let source = BTreeMap::from([("lambda:SourceFunctionArn".to_owned(), own)]);
    let denied = Statement {
        effect: Effect::Deny,
        conditions: BTreeMap::from([("ArnEquals".to_owned(), source)]),
        ..allowed.clone()
    };
    [("Network".to_owned(), allowed), ("NetworkByItself".to_owned(), denied)]
}

/// What the template itself says that the role allows, by a Sid that is made of its content: moving a statement changes nothing.
pub fn own_statements(identity: &Identity, function: &Function) -> Vec<(String, Statement)> {
    let fill = |text: &String| {
        let text = text.replace("${account}", &identity.account);
        text.replace("${partition}", &identity.partition)
    };
    let own = |statement: &OwnStatement| {
        let conditions = statement.conditions.iter().map(|(operator, keys)| {
            let keys = keys
                .iter()
                .map(|(key, values)| (key.clone(), values.iter().map(fill).collect()));
            (operator.clone(), keys.collect())
        });
        let statement = Statement {
            actions: statement.actions.clone(),
            resources: statement.resources.iter().map(fill).collect(),
            conditions: conditions.collect(),
            ..Statement::default()
        };
        let content = serde_json::to_string(&statement).unwrap_or_default();
        (format!("Own{}", short_sha256(content, 12)), statement)
    };
    function.statements.iter().map(own).collect()
}

/// Grants on the same thing, put together.
fn merged(function: &Function) -> BTreeMap<(&GrantTarget, Option<&str>), BTreeSet<Access>> {
    let mut merged: BTreeMap<_, BTreeSet<Access>> = BTreeMap::new();
    for grant in &function.grants {
        let prefix = match grant.on {
            GrantTarget::Table(_) => None,
            GrantTarget::Bucket(_) => grant.prefix.as_deref(),
        };
        merged
            .entry((&grant.on, prefix))
            .or_default()
            .extend(grant.access.iter().copied());
    }
    merged
}

fn on_table(
    identity: &Identity,
    stack: &Stack,
    logical: &str,
    name: &str,
    access: &BTreeSet<Access>,
) -> Vec<(String, Statement)> {
    let actions = actions(access, table_actions);
    if actions.is_empty() {
        return Vec::new();
    }
    let sid = format!("Table{}", pascal(logical));
    let table = identity.arn("dynamodb", &format!("table/{name}"));
    let settings = stack.tables.get(logical);
    let mut statements = Vec::new();
    if actions.contains("dynamodb:Query") {
        let indexes: BTreeSet<String> = settings
            .into_iter()
            .flat_map(|table| table.settings.indexes.keys())
            .map(|index| format!("{table}/index/{index}"))
            .collect();
        if !indexes.is_empty() {
            statements.push((format!("{sid}Indexes"), Statement::allow(&["dynamodb:Query"], indexes)));
        }
    }
    if let Some(key) = settings.and_then(|table| table.settings.kms_key.as_deref()) {
        // DynamoDB uses the caller's right to the key. https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/encryption.usagenotes.html
        statements.push((
            format!("{sid}Key"),
            through(identity, key, "dynamodb", &["kms:Decrypt"]),
        ));
    }
    statements.push((
        sid,
        Statement {
            actions,
            ..Statement::allow(&[], [table])
        },
    ));
    statements
}

fn on_bucket(
    identity: &Identity,
    stack: &Stack,
    logical: &str,
    name: &str,
    prefix: Option<&str>,
    access: &BTreeSet<Access>,
) -> Vec<(String, Statement)> {
    let actions = actions(access, bucket_actions);
    if actions.is_empty() {
        return Vec::new();
    }
    let sid = format!("Bucket{}", pascal(logical));
    let objects = format!("arn:{}:s3:::{name}/{}*", identity.partition, prefix.unwrap_or_default());
    let mut statements = Vec::new();
    if let Some(key) = stack.buckets.get(logical).and_then(|bucket| bucket.kms_key.as_deref()) {
        // https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingKMSEncryption.html
        let uses: Vec<&str> = [("s3:GetObject", "kms:Decrypt"), ("s3:PutObject", "kms:GenerateDataKey")]
            .iter()
            .filter(|(action, _)| actions.contains(*action))
            .map(|(_, key_action)| *key_action)
            .collect();
        if !uses.is_empty() {
            statements.push((format!("{sid}Key"), through(identity, key, "s3", &uses)));
        }
    }
    statements.push((
        sid,
        Statement {
            actions,
            ..Statement::allow(&[], [objects])
        },
    ));
    statements
}

/// Transactions and conditions have no action of their own: each part needs that of the plain operation.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/transaction-apis-iam.html>
fn table_actions(access: Access) -> &'static [&'static str] {
    match access {
        Access::Read => &[
            "dynamodb:BatchGetItem",
            "dynamodb:ConditionCheckItem",
            "dynamodb:GetItem",
            "dynamodb:Query",
        ],
        Access::Write => &[
            "dynamodb:BatchWriteItem",
            "dynamodb:ConditionCheckItem",
            "dynamodb:DeleteItem",
            "dynamodb:PutItem",
            "dynamodb:UpdateItem",
        ],
        Access::Increment => &["dynamodb:UpdateItem"],
        Access::Get => &["dynamodb:GetItem"],
        Access::Presign | Access::Delete => &[],
    }
}

/// HeadObject needs GetObject and nothing else.
fn bucket_actions(access: Access) -> &'static [&'static str] {
    match access {
        Access::Read | Access::Get => &["s3:GetObject"],
        Access::Write => &["s3:DeleteObject", "s3:PutObject"],
        Access::Presign => &["s3:GetObject", "s3:PutObject"],
        Access::Delete => &["s3:DeleteObject"],
        Access::Increment => &[],
    }
}

fn actions(access: &BTreeSet<Access>, of: impl Fn(Access) -> &'static [&'static str]) -> BTreeSet<String> {
    access
        .iter()
        .flat_map(|&access| of(access))
        .map(|&action| action.to_owned())
        .collect()
}

/// The use of a key, through one service only.
/// <https://docs.aws.amazon.com/kms/latest/developerguide/conditions-kms.html>
fn through(identity: &Identity, key: &str, service: &str, actions: &[&str]) -> Statement {
    let via = format!("{service}.{}.amazonaws.com", identity.region);
    let mut conditions = BTreeMap::from([(
        "StringEquals".to_owned(),
        BTreeMap::from([("kms:ViaService".to_owned(), [via].into())]),
    )]);
    let alias = key
        .strip_prefix("alias/")
        .or_else(|| key.split_once(":alias/").map(|(_, alias)| alias));
    let resource = match alias {
        // A policy cannot name an alias as a resource; the condition narrows the keys down to the one that has it.
        Some(alias) => {
            let aliases = BTreeMap::from([("kms:ResourceAliases".to_owned(), [format!("alias/{alias}")].into())]);
            conditions.insert("ForAnyValue:StringEquals".to_owned(), aliases);
            identity.arn("kms", "key/*")
        }
        None if key.starts_with("arn:") => key.to_owned(),
        None => identity.arn("kms", &format!("key/{key}")),
    };
    Statement {
        conditions,
        ..Statement::allow(actions, [resource])
    }
}

/// A logical name as part of a Sid, which takes letters and digits only.
fn pascal(logical: &str) -> String {
    logical
        .split(|c: char| !c.is_ascii_alphanumeric())
        .map(|word| {
            let mut letters = word.chars();
            letters
                .next()
                .map(|first| first.to_ascii_uppercase())
                .into_iter()
                .chain(letters)
                .collect::<String>()
        })
        .collect()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use serde_json::json;

    use super::*;

    fn identity() -> Identity {
        Identity {
            app: "shop".into(),
            stage: "dev".into(),
            region: "eu-central-1".into(),
            account: "123456789012".into(),
            partition: "aws".into(),
        }
    }

    fn stack() -> Stack {
        let key = json!({"name": "id", "type": "string"});
        let index = json!({"partition_key": key, "sort_key": null, "projection": {"type": "all"}});
        let table = |indexes: serde_json::Value, kms_key: serde_json::Value| {
            json!({
                "name": null, "partition_key": key, "sort_key": null, "indexes": indexes, "ttl_attribute": null,
                "point_in_time_recovery_days": null, "deletion_protection": false, "kms_key": kms_key, "stream": null,
            })
        };
        serde_json::from_value(json!({
            "app": "shop", "stage": "dev", "region": "eu-central-1", "protected": false,
            "release_policy": {"type": "immediate"}, "keep_releases": 10,
            "hooks": {"before": [], "after": []}, "tags": {},
            "tables": {
                "tasks": table(json!({"createdAt-index": index, "status-index": index}), json!(null)),
                "counter": table(json!({}), json!(null)),
                "secret": table(json!({}), json!("alias/shop")),
            },
            "buckets": {"assets": {
                "name": null, "expire_days": null, "abort_incomplete_upload_days": null, "cors": null, "website": null,
                "versioning": false, "kms_key": "0f0f",
            }},
            "functions": {}, "api": null, "alarms": {}, "topics": {}, "dashboards": {}, "warmup": null,
        }))
        .unwrap()
    }

    fn function(grants: serde_json::Value, tracing: bool) -> Function {
        serde_json::from_value(json!({
            "name": null, "binary": "tasks", "description": null, "architecture": "arm64", "memory_mb": 512,
            "timeout_seconds": 30, "environment": {}, "grants": grants, "permissions_boundary": null,
            "log_retention_days": 30, "log_level": "INFO", "tracing": tracing, "reserved_concurrency": null,
            "ephemeral_storage_mb": 512,
        }))
        .unwrap()
    }

    /// One line per statement: Sid, actions, resources, conditions.
    fn granted(grants: serde_json::Value, tracing: bool) -> String {
        let resolve = |target: &GrantTarget| match target {
            GrantTarget::Table(name) => format!("shop-dev-{name}"),
            GrantTarget::Bucket(name) => format!("shop-dev-{name}-123456789012-eu-central-1"),
        };
        let document = statements(
            &identity(),
            &stack(),
            &function(grants, tracing),
            "shop-dev-tasks",
            resolve,
        );
        document.lint(crate::aws::policy::document::INLINE_LIMIT).unwrap();
        let join = |set: &BTreeSet<String>| set.iter().cloned().collect::<Vec<_>>().join(" ");
        let lines = document.statements().iter().map(|(sid, statement)| {
            let conditions = if statement.conditions.is_empty() {
                String::new()
            } else {
                format!(" if {}", serde_json::to_string(&statement.conditions).unwrap())
            };
            format!(
                "{sid}: {} on {}{conditions}",
                join(&statement.actions),
                join(&statement.resources)
            )
        });
        lines.collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn what_the_template_says_itself_is_said_under_a_name_of_its_own() {
        let mut function = function(json!([]), false);
        function.statements = serde_json::from_value(json!([
            {"actions": ["ses:SendEmail"], "resources": ["arn:${partition}:ses:eu-central-1:${account}:identity/a"],
             "conditions": {"StringEquals": {"aws:SourceAccount": ["${account}"]}}},
            {"actions": ["rekognition:DetectText"], "resources": ["*"]},
        ]))
        .unwrap();
        let own = own_statements(&identity(), &function);
        insta::assert_snapshot!(serde_json::to_string_pretty(&own).unwrap(), @r#"
        [
          [
            "Own9ca243cfa9a7",
            {
              "effect": "Allow",
              "actions": [
                "ses:SendEmail"
              ],
              "resources": [
                "arn:aws:ses:eu-central-1:123456789012:identity/a"
              ],
              "conditions": {
                "StringEquals": {
                  "aws:SourceAccount": [
                    "123456789012"
                  ]
                }
              }
            }
          ],
          [
            "Own78696d676718",
            {
              "effect": "Allow",
              "actions": [
                "rekognition:DetectText"
              ],
              "resources": [
                "*"
              ]
            }
          ]
        ]
        "#);
        function.statements.reverse();
        let moved = own_statements(&identity(), &function);
        assert_eq!(Document::new(own), Document::new(moved));
    }

    #[test]
    fn a_function_without_grants_may_log_and_trace() {
        insta::assert_snapshot!(granted(json!([]), true), @r#"
        Logs: logs:CreateLogStream logs:PutLogEvents on arn:aws:logs:eu-central-1:123456789012:log-group:/aws/lambda/shop-dev-tasks:*
        Tracing: xray:PutTelemetryRecords xray:PutTraceSegments on *
        "#);
    }

    #[test]
    fn tables() {
        insta::assert_snapshot!(granted(json!([
            {"on": {"table": "tasks"}, "access": ["read"], "prefix": null},
            {"on": {"table": "tasks"}, "access": ["write"], "prefix": null},
            {"on": {"table": "counter"}, "access": ["increment", "get"], "prefix": null},
            {"on": {"table": "secret"}, "access": ["get"], "prefix": null},
        ]), false), @r#"
        Logs: logs:CreateLogStream logs:PutLogEvents on arn:aws:logs:eu-central-1:123456789012:log-group:/aws/lambda/shop-dev-tasks:*
        TableCounter: dynamodb:GetItem dynamodb:UpdateItem on arn:aws:dynamodb:eu-central-1:123456789012:table/shop-dev-counter
        TableSecret: dynamodb:GetItem on arn:aws:dynamodb:eu-central-1:123456789012:table/shop-dev-secret
        TableSecretKey: kms:Decrypt on arn:aws:kms:eu-central-1:123456789012:key/* if {"ForAnyValue:StringEquals":{"kms:ResourceAliases":["alias/shop"]},"StringEquals":{"kms:ViaService":["dynamodb.eu-central-1.amazonaws.com"]}}
        TableTasks: dynamodb:BatchGetItem dynamodb:BatchWriteItem dynamodb:ConditionCheckItem dynamodb:DeleteItem dynamodb:GetItem dynamodb:PutItem dynamodb:Query dynamodb:UpdateItem on arn:aws:dynamodb:eu-central-1:123456789012:table/shop-dev-tasks
        TableTasksIndexes: dynamodb:Query on arn:aws:dynamodb:eu-central-1:123456789012:table/shop-dev-tasks/index/createdAt-index arn:aws:dynamodb:eu-central-1:123456789012:table/shop-dev-tasks/index/status-index
        "#);
    }

    #[test]
    fn buckets() {
        insta::assert_snapshot!(granted(json!([
            {"on": {"bucket": "assets"}, "access": ["read", "presign", "delete"], "prefix": "assets/"},
            {"on": {"bucket": "assets"}, "access": ["delete"], "prefix": null},
        ]), false), @r#"
        BucketAssets: s3:DeleteObject on arn:aws:s3:::shop-dev-assets-123456789012-eu-central-1/*
        BucketAssetsKey: kms:Decrypt kms:GenerateDataKey on arn:aws:kms:eu-central-1:123456789012:key/0f0f if {"StringEquals":{"kms:ViaService":["s3.eu-central-1.amazonaws.com"]}}
        BucketAssetsx2: s3:DeleteObject s3:GetObject s3:PutObject on arn:aws:s3:::shop-dev-assets-123456789012-eu-central-1/assets/*
        Logs: logs:CreateLogStream logs:PutLogEvents on arn:aws:logs:eu-central-1:123456789012:log-group:/aws/lambda/shop-dev-tasks:*
        "#);
    }

    #[test]
    fn nothing_is_allowed_everywhere_where_an_arn_exists() {
        let all = granted(
            json!([
                {"on": {"table": "tasks"}, "access": ["read", "write", "increment", "get"], "prefix": null},
                {"on": {"bucket": "assets"}, "access": ["read", "write", "presign", "delete"], "prefix": "assets/"},
            ]),
            true,
        );
        let everywhere: Vec<&str> = all.lines().filter(|line| line.contains(" on *")).collect();
        assert_eq!(everywhere.len(), 1, "{all}");
        assert!(everywhere[0].starts_with("Tracing: xray:"), "{all}");
        assert!(!all.contains(":* "), "an action with a wildcard: {all}");
    }
}
