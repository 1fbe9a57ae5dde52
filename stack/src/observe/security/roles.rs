//! What functions may do.

use std::collections::{BTreeMap, BTreeSet};

use super::{Finding, Stage};
use crate::aws::client::error::AwsError;
use crate::aws::kinds::dynamodb;
use crate::aws::kinds::iam;
use crate::aws::kinds::iam::role::{POLICY, Policies, former_release};
use crate::aws::kinds::kind::Discovered;
use crate::aws::kinds::s3;
use crate::aws::policy::document::{Document, Effect};
use crate::aws::policy::evaluation::{allowed_on, allows, unknown_actions};
use crate::aws::policy::grants::own_statements;
use crate::aws::registry;
use crate::aws::release::control_bucket::ControlBucket;
use crate::aws::release::ledger;
use crate::aws::release::sight::Sight;
use crate::release::grants::is_believed;
use crate::release::grants::recorded;
use crate::release::record::ReleaseRecord;
use crate::template::model::{Function, GrantTarget};

/// What no function of a stack may do to anything, whatever it is granted, and what it would do it to.
const NEVER: &[(&str, &str)] = &[
    ("dynamodb:CreateTable", "table"),
    ("dynamodb:DeleteTable", "table"),
    ("dynamodb:PutResourcePolicy", "table"),
    ("dynamodb:UpdateTable", "table"),
    ("iam:AttachRolePolicy", "role"),
    ("iam:CreateRole", "role"),
    ("iam:CreateUser", "user"),
    ("iam:PassRole", "role"),
    ("iam:PutRolePolicy", "role"),
    ("iam:UpdateAssumeRolePolicy", "role"),
    ("lambda:AddPermission", "function"),
    ("lambda:CreateFunction", "function"),
    ("lambda:CreateFunctionUrlConfig", "function"),
    ("lambda:UpdateFunctionCode", "function"),
    ("lambda:UpdateFunctionConfiguration", "function"),
    ("s3:DeleteBucket", "bucket"),
    ("s3:PutBucketPolicy", "bucket"),
    ("s3:PutBucketPublicAccessBlock", "bucket"),
    ("sts:AssumeRole", "role"),
];
/// What only a grant on a table allows.
const TABLE: &[&str] = &[
    "dynamodb:BatchGetItem",
    "dynamodb:BatchWriteItem",
    "dynamodb:ConditionCheckItem",
    "dynamodb:DeleteItem",
    "dynamodb:GetItem",
    "dynamodb:PutItem",
    "dynamodb:Query",
    "dynamodb:Scan",
    "dynamodb:UpdateItem",
];
/// What only a grant on a bucket allows.
const BUCKET: &[&str] = &["s3:DeleteObject", "s3:GetObject", "s3:PutObject"];
/// What functions may be allowed beside the use of tables and buckets: to write their logs and traces, and the keys of what
/// they use.
const OTHERWISE: &[&str] = &[
    "kms:Decrypt",
    "kms:GenerateDataKey",
    "logs:CreateLogStream",
    "logs:PutLogEvents",
    "xray:PutTelemetryRecords",
    "xray:PutTraceSegments",
];

pub(super) async fn examine(stage: &Stage<'_>, control: &ControlBucket) -> Result<Vec<Finding>, AwsError> {
    let registry = registry();
    let (roles, tables, buckets) = futures::try_join!(
        registry.kind(iam::role::KIND).enumerate(&stage.reader),
        registry.kind(dynamodb::table::KIND).enumerate(&stage.reader),
        registry.kind(s3::bucket::KIND).enumerate(&stage.reader)
    )?;
    let read = roles.iter().map(|role| async move {
        let name = role.outputs.get("name").map_or("", String::as_str);
        let policies = iam::role::all_policies(stage.context, name).await?;
        Ok::<_, AwsError>(policies.map(|policies| (role, policies)))
    });
    let roles: Vec<(&Discovered, Policies)> = futures::future::try_join_all(read)
        .await?
        .into_iter()
        .flatten()
        .collect();
    // What former releases need is known to the ledger alone.
    let has_former = |policies: &Policies| policies.inline.keys().any(|name| former_release(name).is_some());
    let records = match roles.iter().any(|(_, policies)| has_former(policies)) {
        true => {
            let records = ledger::records(stage.context, control).await?;
            let sight = Sight::read_with(&stage.reader).await?;
            let releases = sight.map(|sight| sight.facts.releases).unwrap_or_default();
            let believed = |record: &ReleaseRecord| is_believed(&releases, record.release, &record.grants);
            records.into_iter().filter(believed).collect()
        }
        false => Vec::new(),
    };
    let physical = |found: &[Discovered]| -> BTreeSet<String> {
        found
            .iter()
            .filter_map(|one| one.outputs.get("name").cloned())
            .collect()
    };
    let stores = Stores {
        tables: physical(&tables)
            .into_iter()
            .chain(stage.tables().into_values())
            .collect(),
        buckets: physical(&buckets)
            .into_iter()
            .chain(stage.buckets().into_values())
            .collect(),
    };
    let findings = roles.iter().flat_map(|(role, policies)| {
        let one = Role {
            stage,
            logical: &role.id.name,
            name: role.outputs.get("name").map_or("", String::as_str),
            function: stage.stack.functions.get(&role.id.name),
            policies,
            records: &records,
        };
        one.findings(&stores)
    });
    Ok(findings.collect())
}

/// Physical names of the stack's stores: the template's and those that exist.
struct Stores {
    tables: BTreeSet<String>,
    buckets: BTreeSet<String>,
}

struct Role<'a> {
    stage: &'a Stage<'a>,
    logical: &'a str,
    name: &'a str,
    function: Option<&'a Function>,
    policies: &'a Policies,
    records: &'a [ReleaseRecord],
}

impl Role<'_> {
    fn findings(&self, stores: &Stores) -> Vec<Finding> {
        let (logical, name) = (self.logical, self.name);
        let asked = format!("GetRolePolicy of {name}");
        let finding = |holds: String, wrong: &BTreeSet<String>| Finding::new("functions", holds, asked.clone(), wrong);
        // What the template says itself is no finding.
        let own = self
            .function
            .map(|function| own_statements(self.stage.context.identity(), function));
        let own = Document::new(own.unwrap_or_default());
        let inline: BTreeMap<&String, Document> = self
            .policies
            .inline
            .iter()
            .map(|(policy, document)| (policy, document.without(&own)))
            .collect();
        let all: Vec<&Document> = inline.values().collect();
        let mut findings = vec![
            finding(
                format!("{logical} cannot change the stack or anything else"),
                &self.changes(&all),
            ),
            finding(
                format!("{logical} cannot touch what is not this stack's"),
                &self.foreign(&all, stores),
            ),
        ];
        let (formers, strange) = self.formers();
        let mut present: Vec<&Document> = inline
            .iter()
            .filter(|(policy, _)| former_release(policy).is_none())
            .map(|(_, document)| document)
            .collect();
        present.extend(formers.values());
        let (tables, buckets) = (self.granted(true), self.granted(false));
        // A function that only former releases have keeps what those were granted.
        let stands = self.function.is_some();
        for table in stores.tables.difference(&tables).filter(|_| stands) {
            let arn = self.table_arn(table);
            let wrong = allowed(&present, TABLE, &[arn.clone(), format!("{arn}/index/x")]);
            findings.push(finding(
                format!("{logical} cannot touch table {}", self.short(table)),
                &wrong,
            ));
        }
        for bucket in stores.buckets.difference(&buckets).filter(|_| stands) {
            let wrong = allowed(&present, BUCKET, &[format!("{}/x", self.stage.bucket_arn(bucket))]);
            findings.push(finding(
                format!("{logical} cannot touch bucket {}", self.short(bucket)),
                &wrong,
            ));
        }
        findings.push(Finding::new(
            "functions",
            format!("{logical} has its own policy and no other"),
            format!("ListRolePolicies and ListAttachedRolePolicies of {name}"),
            &self.others(strange),
        ));
        findings.push(Finding::new(
            "functions",
            format!("only Lambda takes on the role of {logical}"),
            format!("GetRole of {name}"),
            &self.trusted(),
        ));
        findings
    }

    /// What a name is without the stack's prefix.
    fn short<'n>(&self, physical: &'n str) -> &'n str {
        let identity = self.stage.context.identity();
        let rest = physical.strip_prefix(&identity.prefix()).unwrap_or(physical);
        rest.strip_suffix(&format!("-{}-{}", identity.account, identity.region))
            .unwrap_or(rest)
    }

    fn table_arn(&self, name: &str) -> String {
        self.stage.context.identity().arn("dynamodb", &format!("table/{name}"))
    }

    /// Something of another stack.
    fn foreign_arn(&self, what: &str) -> String {
        let identity = self.stage.context.identity();
        let global = |resource: &str| format!("arn:{}:iam::{}:{resource}", identity.partition, identity.account);
        match what {
            "table" => self.table_arn("somebody-elses"),
            "function" => identity.arn("lambda", "function:somebody-elses"),
            "bucket" => self.stage.bucket_arn("somebody-elses"),
            kind => global(&format!("{kind}/somebody-elses")),
        }
    }

    /// Physical names of what the template grants.
    fn granted(&self, of_tables: bool) -> BTreeSet<String> {
        let (tables, buckets) = (self.stage.tables(), self.stage.buckets());
        let grants = self.function.into_iter().flat_map(|function| &function.grants);
        grants
            .filter_map(|grant| match (&grant.on, of_tables) {
                (GrantTarget::Table(name), true) => tables.get(name.as_str()).cloned(),
                (GrantTarget::Bucket(name), false) => buckets.get(name.as_str()).cloned(),
                (GrantTarget::Table(_), false) | (GrantTarget::Bucket(_), true) => None,
            })
            .collect()
    }

    /// What no function may do, and every action that no grant gives.
    fn changes(&self, all: &[&Document]) -> BTreeSet<String> {
        let mut wrong = BTreeSet::new();
        for (action, what) in NEVER {
            let on = allowed_on(all, action, &self.foreign_arn(what));
            wrong.extend(
                on.into_iter()
                    .map(|resource| format!("its role allows {action} on {resource}")),
            );
        }
        let known: Vec<&str> = [TABLE, BUCKET, OTHERWISE].concat();
        let named: BTreeSet<&str> = NEVER.iter().map(|(action, _)| *action).collect();
        let unknown = unknown_actions(all, &known).into_iter();
        let unknown = unknown.filter(|one| !named.contains(one.action.as_str()));
        wrong.extend(unknown.map(|one| {
            format!(
                "its role allows {} on {}, which no grant gives",
                one.action, one.resource
            )
        }));
        wrong
    }

    /// Where tables, buckets, logs and keys are used that are not this stack's.
    fn foreign(&self, all: &[&Document], stores: &Stores) -> BTreeSet<String> {
        let identity = self.stage.context.identity();
        let own_tables: Vec<String> = stores.tables.iter().map(|name| self.table_arn(name)).collect();
        let own_buckets: Vec<String> = stores.buckets.iter().map(|name| self.stage.bucket_arn(name)).collect();
        let group = self.function.and_then(|function| function.name.clone());
        let group = group.unwrap_or_else(|| self.stage.names().function(self.logical));
        let group = identity.arn(
            "logs",
            &format!("log-group:{}", identity.names().function_log_group(&group)),
        );
        let within = |resource: &str, own: &[String], mark: char| {
            own.iter().any(|one| {
                resource == one
                    || resource
                        .strip_prefix(one.as_str())
                        .is_some_and(|rest| rest.starts_with(mark))
            })
        };
        let mut wrong = BTreeSet::new();
        let mut collect = |actions: &[&str], foreign: &str, is_own: &dyn Fn(&str) -> bool| {
            for action in actions {
                let on = allowed_on(all, action, foreign);
                let strange = on.into_iter().filter(|resource| !is_own(resource));
                wrong.extend(strange.map(|resource| format!("its role allows {action} on {resource}")));
            }
        };
        collect(TABLE, &self.foreign_arn("table"), &|resource| {
            within(resource, &own_tables, '/')
        });
        collect(BUCKET, &format!("{}/x", self.foreign_arn("bucket")), &|resource| {
            within(resource, &own_buckets, '/')
        });
        let logs = ["logs:CreateLogStream", "logs:PutLogEvents"];
        collect(
            &logs,
            &identity.arn("logs", "log-group:somebody-elses:*"),
            &|resource| within(resource, std::slice::from_ref(&group), ':'),
        );
        // Keys are used through the service of what they encrypt, or not at all.
        for document in all {
            for statement in document.statements().values().filter(|one| one.effect == Effect::Allow) {
                let uses_key = statement.actions.iter().any(|action| action.starts_with("kms:"));
                let through = statement
                    .conditions
                    .values()
                    .any(|keys| keys.contains_key("kms:ViaService"));
                if uses_key && !through {
                    wrong.insert("its role may use keys past the service that they encrypt for".to_owned());
                }
            }
        }
        wrong
    }

    /// What policies of former releases allow beyond what those were recorded to need, by policy, and what is to be said of it.
    fn formers(&self) -> (BTreeMap<String, Document>, BTreeSet<String>) {
        let known: Vec<_> = self.records.iter().map(|record| record.grants.clone()).collect();
        let recorded = recorded(&known, self.logical);
        let (mut strange, mut said) = (BTreeMap::new(), BTreeSet::new());
        for (policy, document) in &self.policies.inline {
            let Some(release) = former_release(policy) else {
                continue;
            };
            let beyond = document.without(&recorded);
            if beyond.is_empty() {
                continue;
            }
            let sids: Vec<&str> = beyond.statements().keys().map(String::as_str).collect();
            said.insert(match self.records.iter().any(|record| record.release == release) {
                true => format!(
                    "{policy} allows more than was recorded for release {release}: {}",
                    sids.join(", ")
                ),
                false => format!(
                    "{policy} cannot be compared: the ledger has no record of release {release} ({})",
                    sids.join(", ")
                ),
            });
            strange.insert(policy.clone(), beyond);
        }
        (strange, said)
    }

    fn others(&self, strange: BTreeSet<String>) -> BTreeSet<String> {
        let Policies {
            trust: _,
            inline,
            managed,
        } = self.policies;
        let attached = managed.iter().map(|arn| format!("{arn} is attached"));
        let inline = inline
            .keys()
            .filter(|name| *name != POLICY && former_release(name).is_none())
            .map(|name| format!("{name} is not taskctl's"));
        strange.into_iter().chain(attached).chain(inline).collect()
    }

    fn trusted(&self) -> BTreeSet<String> {
        let mut wrong = BTreeSet::new();
        for statement in self.policies.trust.statements().values() {
            if statement.effect == Effect::Deny {
                continue;
            }
            for (kind, who) in &statement.principals {
                let strange = who
                    .iter()
                    .filter(|who| kind != "Service" || *who != "lambda.amazonaws.com");
                wrong.extend(strange.map(|who| format!("{who} may, too")));
            }
            if !statement.not_principals.is_empty() {
                wrong.insert("everyone may who is not named".to_owned());
            }
        }
        wrong
    }
}

/// What of these is allowed on one of these.
fn allowed(documents: &[&Document], actions: &[&str], on: &[String]) -> BTreeSet<String> {
    let of = actions
        .iter()
        .flat_map(|action| on.iter().map(move |resource| (action, resource)));
    of.filter(|(action, resource)| allows(documents, action, resource))
        .map(|(action, _)| format!("its role allows {action}"))
        .collect()
}
