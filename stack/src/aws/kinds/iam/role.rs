//! IAM role of a function: who may take it on, one inline policy with the function's grants, and nothing else. Policies
//! that somebody attached or added are drift and go. Whether a policy may only grow at this point of a release is decided
//! where the desired model is made, not here.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_iam::types::{Role, Tag};
use serde::{Deserialize, Serialize};

use crate::aws::client::context::Context;
use crate::aws::client::error::{AwsError, ErrorKind};
use crate::aws::client::error::{found, gone};
use crate::aws::client::op::{Op, op};
use crate::aws::client::tags::{self, Difference, Tags, managed};
use crate::aws::kinds::iam;
use crate::aws::kinds::kind::{Discovered, Fields, Kind, Spec};
use crate::aws::kinds::lambda;
use crate::aws::policy::document::{Document, INLINE_LIMIT, ParseError, Statement, TRUST_LIMIT};
use crate::aws::policy::reach::Reach;
use crate::aws::read::inventory::logical;
use crate::aws::read::reader::{Purpose, Reader, ownership};
use crate::plan::{Replacement, Rollback, Scope};
use crate::release::grants::InPlace;
use crate::resource::{Observed, Outputs, ResourceId, outputs};

/// The kind.
pub struct IamRole;

/// Name of the one inline policy that is ours.
pub const POLICY: &str = "taskctl";

/// Settings of a role.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Model {
    /// Name, 1–64 characters, unique in the account whatever the path.
    pub name: String,
    /// Path, with a slash at either end.
    pub path: String,
    /// Description, at most 1,000 characters.
    pub description: Option<String>,
    /// Who may take it on.
    pub trust: Document,
    /// What it allows, at most 10,240 characters; empty = nothing.
    pub policy: Document,
    /// ARN of the managed policy that caps it.
    pub permissions_boundary: Option<String>,
    /// ARNs of attached managed policies, sorted; desired: none.
    pub managed_policies: Vec<String>,
    /// Names of inline policies beside ours, sorted; desired: those that keep grants of former releases.
    pub other_inline_policies: Vec<String>,
    /// What the inline policies allow that keep grants of former releases, by their names; desired: what those releases were
    /// recorded to need.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub former_policies: BTreeMap<String, Document>,
    /// Statements that releases before this one need and the policy has no more; desired only. They move to the inline policy
    /// that is named after the newest of those releases.
    #[serde(default, skip_serializing_if = "Document::is_empty")]
    pub former: Document,
    /// Longest session, seconds, 3600–43200.
    pub max_session_seconds: i32,
    /// Tags.
    pub tags: BTreeMap<String, String>,
}

impl Model {
    /// A function's role: AWS's defaults but for what is given.
    pub fn new(name: impl Into<String>, path: impl Into<String>, policy: Document) -> Self {
        Self {
            name: name.into(),
            path: path.into(),
            description: None,
            trust: Document::trusting(&["lambda.amazonaws.com"]),
            policy,
            permissions_boundary: None,
            managed_policies: Vec::new(),
            other_inline_policies: Vec::new(),
            former_policies: BTreeMap::new(),
            former: Document::default(),
            max_session_seconds: 3_600,
            tags: BTreeMap::new(),
        }
    }

    /// Whether IAM would take its documents.
    pub fn lint(&self) -> Result<(), crate::aws::policy::document::Fault> {
        self.trust.lint(TRUST_LIMIT)?;
        self.policy.lint(INLINE_LIMIT)
    }
}

/// Name of the kind.
pub const KIND: &str = "iam_role";

static SPEC: Spec = Spec {
    name: KIND,
    title: "IAM role",
    documentation: "https://docs.aws.amazon.com/IAM/latest/APIReference/API_CreateRole.html",
    read_actions: &[
        "iam:ListRoles",
        "iam:GetRole",
        "iam:GetRolePolicy",
        "iam:ListRolePolicies",
        "iam:ListAttachedRolePolicies",
    ],
    write_actions: &[
        "iam:CreateRole",
        "iam:UpdateRole",
        "iam:UpdateAssumeRolePolicy",
        "iam:PutRolePolicy",
        "iam:DeleteRolePolicy",
        "iam:AttachRolePolicy",
        "iam:DetachRolePolicy",
        "iam:PutRolePermissionsBoundary",
        "iam:DeleteRolePermissionsBoundary",
        "iam:TagRole",
        "iam:UntagRole",
    ],
    delete_actions: &[
        "iam:DeleteRole",
        "iam:DeleteRolePolicy",
        "iam:DetachRolePolicy",
        "iam:ListInstanceProfilesForRole",
    ],
    rollback: Rollback::Immediate,
    replacement: Replacement::DeleteFirst,
    replace_on: &["name", "path"],
    deleted_after: &[(lambda::function::KIND, Scope::Same)],
    // Most of it is the time until Lambda sees the role, so roles start before everything else.
    usual: Duration::from_secs(10),
    serves_function: true,
    reach: Reach::Roles,
    reaches: &[
        ("iam:ListRoles", Reach::Account),
        ("iam:CreateRole", Reach::RolePermissions),
        ("iam:PutRolePermissionsBoundary", Reach::RolePermissions),
        ("iam:PutRolePolicy", Reach::RolePermissions),
    ],
    withheld_actions: &[
        // Roles of functions have inline policies only.
        "iam:AttachRolePolicy",
        // The boundary is what bounds the deployer's own policy.
        "iam:DeleteRolePermissionsBoundary",
        // IAM has no condition for the content of a trust policy; that of a function's role never changes.
        "iam:UpdateAssumeRolePolicy",
    ],
    ..Spec::of(&iam::SERVICE)
};

/// The role's ARN. Computed: right after its creation IAM may show a unique id in its place.
pub fn arn(context: &Context, path: &str, name: &str) -> String {
    context.identity().role_arn(path, name)
}

#[async_trait]
impl Kind for IamRole {
    type Model = Model;

    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn examples(&self) -> Vec<Model> {
        let logs = "arn:aws:logs:us-east-1:000000000000:log-group:/aws/lambda/shop-dev-tasks:*".to_owned();
        let table = "arn:aws:dynamodb:us-east-1:000000000000:table/shop-dev-tasks".to_owned();
        let write = Statement::allow(&["logs:CreateLogStream", "logs:PutLogEvents"], [logs]);
        let read = Statement::allow(&["dynamodb:GetItem", "dynamodb:Query"], [table]);
        let small = Document::new([("Logs".to_owned(), write.clone())]);
        let full = Document::new([("Logs".to_owned(), write), ("TableTasks".to_owned(), read)]);
        vec![
            Model {
                description: Some("Execution role of shop-dev-tasks".into()),
                ..Model::new("shop-dev-tasks-us-east-1", "/taskctl/shop/dev/", small)
            },
            Model {
                description: Some("Execution role of shop-dev-users".into()),
                permissions_boundary: Some("arn:aws:iam::aws:policy/PowerUserAccess".into()),
                managed_policies: vec!["arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole".into()],
                max_session_seconds: 7_200,
                tags: BTreeMap::from([("app".to_owned(), "shop".to_owned())]),
                ..Model::new("shop-dev-users-us-east-1", "/taskctl/shop/dev/", full)
            },
        ]
    }

    async fn read(
        &self,
        reader: &Reader,
        _: &ResourceId,
        desired: &Model,
    ) -> Result<Option<Observed<Model>>, AwsError> {
        let context = reader.context();
        let details = match reader.purpose() {
            Purpose::Confirming => await_details(context, &desired.name, 20).await?,
            Purpose::Planning => {
                if !reader.roles().await?.iter().any(|role| role.role_name == desired.name) {
                    return Ok(None);
                }
                await_details(context, &desired.name, 8).await?
            }
        };
        let Some(Details {
            role,
            policy,
            mut inline,
            mut attached,
        }) = details
        else {
            return Ok(None);
        };
        inline.retain(|name| name != POLICY);
        inline.sort();
        attached.sort();
        let former_policies = former_policies(context, &role.role_name, &inline).await?;
        let tags: Tags = role
            .tags()
            .iter()
            .map(|tag| (tag.key.clone(), tag.value.clone()))
            .collect();
        let tags = managed(tags);
        let outputs = role_outputs(context, &role.path, &role.role_name);
        let ownership = ownership(context, &tags);
        let model = Model {
            name: role.role_name,
            path: role.path,
            description: role.description.filter(|text| !text.is_empty()),
            trust: document("GetRole", role.assume_role_policy_document.as_deref())?,
            policy: document("GetRolePolicy", policy.as_deref())?,
            permissions_boundary: role
                .permissions_boundary
                .and_then(|boundary| boundary.permissions_boundary_arn),
            managed_policies: attached,
            other_inline_policies: inline,
            former_policies,
            former: Document::default(),
            max_session_seconds: role.max_session_duration.unwrap_or(3_600),
            tags,
        };
        Ok(Some(Observed {
            model,
            outputs,
            ownership,
            pending: Vec::new(),
        }))
    }

    /// Roles are listed by path, which all regions of a stage share; their names end in the region.
    async fn enumerate(&self, reader: &Reader) -> Result<Vec<Discovered>, AwsError> {
        let context = reader.context();
        let suffix = format!("-{}", context.identity().region);
        let roles = reader
            .roles()
            .await?
            .iter()
            .filter(|role| role.role_name.ends_with(&suffix));
        let found = roles.map(|role| Discovered {
            id: ResourceId::new(SPEC.name, logical(context.identity(), &role.role_name, &suffix)),
            outputs: role_outputs(context, &role.path, &role.role_name),
        });
        Ok(found.collect())
    }

    async fn create(&self, context: &Context, _: &ResourceId, desired: &Model) -> Result<Outputs, AwsError> {
        let Model {
            name,
            path,
            description,
            trust,
            policy,
            permissions_boundary,
            managed_policies,
            other_inline_policies: _,
            former_policies: _,
            former: _,
            max_session_seconds,
            tags,
        } = desired;
        check(desired)?;
        let _turn = turn(context, name).await;
        let client = &context.clients().iam;
        let trust = trust.to_json();
        let tags = iam_tags(tags)?;
        context
            .call(op("iam", "CreateRole"), || {
                client
                    .create_role()
                    .role_name(name)
                    .path(path)
                    .set_description(description.clone())
                    .assume_role_policy_document(&trust)
                    .set_permissions_boundary(permissions_boundary.clone())
                    .max_session_duration(*max_session_seconds)
                    .set_tags((!tags.is_empty()).then(|| tags.clone()))
                    .send()
            })
            .await?;
        if !policy.is_empty() {
            put_policy(context, op("iam", "PutRolePolicy").just_made(), name, policy).await?;
        }
        for arn in managed_policies {
            attach(context, op("iam", "AttachRolePolicy").just_made(), name, arn).await?;
        }
        Ok(role_outputs(context, path, name))
    }

    async fn update(
        &self,
        context: &Context,
        _: &ResourceId,
        desired: &Model,
        observed: &Observed<Model>,
        changes: &Fields,
    ) -> Result<Outputs, AwsError> {
        let Model {
            name,
            path,
            description,
            trust,
            policy,
            permissions_boundary,
            managed_policies,
            other_inline_policies,
            former_policies,
            former,
            max_session_seconds,
            tags,
        } = desired;
        check(desired)?;
        let _turn = turn(context, name).await;
        let client = &context.clients().iam;
        // First, since a deployer may be allowed to write policies only of roles that have the boundary.
        if changes.touch("permissions_boundary") {
            put_boundary(context, name, permissions_boundary.as_deref()).await?;
        }
        let kept = kept_formers(other_inline_policies, former_policies, former);
        for (policy, statements) in &kept {
            if observed.model.former_policies.get(policy) != Some(statements) {
                put_named(context, op("iam", "PutRolePolicy"), name, policy, statements).await?;
            }
        }
        if changes.touch("trust") {
            let trust = trust.to_json();
            context
                .call(op("iam", "UpdateAssumeRolePolicy"), || {
                    client
                        .update_assume_role_policy()
                        .role_name(name)
                        .policy_document(&trust)
                        .send()
                })
                .await?;
        }
        if changes.touch_any(&["description", "max_session_seconds"]) {
            context
                .call(op("iam", "UpdateRole"), || {
                    client
                        .update_role()
                        .role_name(name)
                        .description(description.as_deref().unwrap_or_default())
                        .max_session_duration(*max_session_seconds)
                        .send()
                })
                .await?;
        }
        if changes.touch("policy") {
            if policy.is_empty() {
                delete_policy(context, name, POLICY).await?;
            } else {
                put_policy(context, op("iam", "PutRolePolicy"), name, policy).await?;
            }
        }
        // What is new comes before what goes, so that the function never has less than it needs.
        for arn in managed_policies
            .iter()
            .filter(|arn| !observed.model.managed_policies.contains(arn))
        {
            attach(context, op("iam", "AttachRolePolicy"), name, arn).await?;
        }
        for arn in observed
            .model
            .managed_policies
            .iter()
            .filter(|arn| !managed_policies.contains(arn))
        {
            detach(context, name, arn).await?;
        }
        for other in observed
            .model
            .other_inline_policies
            .iter()
            .filter(|one| !other_inline_policies.contains(one))
        {
            delete_policy(context, name, other).await?;
        }
        if changes.touch("tags") {
            retag(context, name, &observed.model.tags, tags).await?;
        }
        Ok(role_outputs(context, path, name))
    }

    async fn delete(&self, context: &Context, _: &ResourceId, outputs: &Outputs) -> Result<(), AwsError> {
        let Some(name) = outputs.get("name") else { return Ok(()) };
        let _turn = turn(context, name).await;
        let client = &context.clients().iam;
        let (attached, inline, profiles) = futures::try_join!(
            list_attached(context, name),
            list_inline(context, name),
            list_instance_profiles(context, name)
        )?;
        // DeleteRole would answer DeleteConflict for as long as it is there.
        if let Some(profile) = profiles.into_iter().flatten().next() {
            return Err(AwsError::own(
                "iam",
                "DeleteRole",
                ErrorKind::Invalid,
                format!(
                    "role {name} is in instance profile {profile}, which taskctl did not make; take it out \
                     (`aws iam remove-role-from-instance-profile`) and run the same command again"
                ),
            ));
        }
        for arn in attached.into_iter().flatten() {
            detach(context, name, &arn).await?;
        }
        for policy in inline.into_iter().flatten() {
            delete_policy(context, name, &policy).await?;
        }
        let deleted = context
            .call(op("iam", "DeleteRole"), || client.delete_role().role_name(name).send())
            .await;
        gone(deleted.map(drop))
    }
}

/// A role with everything that ListRoles does not tell.
struct Details {
    role: Role,
    policy: Option<String>,
    inline: Vec<String>,
    attached: Vec<String>,
}

/// Reads a role that should be there. IAM's reads lag behind its writes, so a few misses are no answer yet.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_general.html>
async fn await_details(context: &Context, name: &str, misses: u32) -> Result<Option<Details>, AwsError> {
    let missed = AtomicU32::new(0);
    context
        .poll("role to be known everywhere", Duration::from_secs(60), || async {
            match details(context, name).await? {
                Some(details) => Ok(Some(Some(details))),
                None if missed.fetch_add(1, Ordering::Relaxed) >= misses => Ok(Some(None)),
                None => Ok(None),
            }
        })
        .await
}

async fn details(context: &Context, name: &str) -> Result<Option<Details>, AwsError> {
    let client = &context.clients().iam;
    let role = async {
        found(
            context
                .call(op("iam", "GetRole"), || client.get_role().role_name(name).send())
                .await,
        )
    };
    let policy = async {
        found(
            context
                .call(op("iam", "GetRolePolicy"), || {
                    client.get_role_policy().role_name(name).policy_name(POLICY).send()
                })
                .await,
        )
    };
    let (role, policy, inline, attached) =
        futures::try_join!(role, policy, list_inline(context, name), list_attached(context, name))?;
    let (Some(role), Some(inline), Some(attached)) = (role.and_then(|answer| answer.role), inline, attached) else {
        return Ok(None);
    };
    Ok(Some(Details {
        role,
        policy: policy.map(|answer| answer.policy_document),
        inline,
        attached,
    }))
}

/// Names of a role's inline policies; none when there is no such role.
async fn list_inline(context: &Context, name: &str) -> Result<Option<Vec<String>>, AwsError> {
    let client = &context.clients().iam;
    let answer = context
        .call(op("iam", "ListRolePolicies"), || {
            client.list_role_policies().role_name(name).max_items(1_000).send()
        })
        .await;
    Ok(found(answer)?.map(|answer| answer.policy_names))
}

/// ARNs of the managed policies attached to a role; none when there is no such role.
async fn list_attached(context: &Context, name: &str) -> Result<Option<Vec<String>>, AwsError> {
    let client = &context.clients().iam;
    let answer = context
        .call(op("iam", "ListAttachedRolePolicies"), || {
            client
                .list_attached_role_policies()
                .role_name(name)
                .max_items(1_000)
                .send()
        })
        .await;
    let policies = found(answer)?.map(|answer| answer.attached_policies.unwrap_or_default());
    Ok(policies.map(|policies| policies.into_iter().filter_map(|policy| policy.policy_arn).collect()))
}

async fn list_instance_profiles(context: &Context, name: &str) -> Result<Option<Vec<String>>, AwsError> {
    let client = &context.clients().iam;
    let answer = context
        .call(op("iam", "ListInstanceProfilesForRole"), || {
            client.list_instance_profiles_for_role().role_name(name).send()
        })
        .await;
    let profiles = found(answer)?.map(|answer| answer.instance_profiles);
    Ok(profiles.map(|profiles| {
        profiles
            .into_iter()
            .map(|profile| profile.instance_profile_name)
            .collect()
    }))
}

/// What the inline policies that keep the grants of former releases are called; the release's number follows.
const FORMER: &str = "former-r";

/// Name of the policy that keeps what releases up to this one need.
pub fn former_name(release: u64) -> String {
    format!("{FORMER}{release}")
}

/// The release that a policy's name names.
pub fn former_release(policy: &str) -> Option<u64> {
    policy.strip_prefix(FORMER)?.parse().ok()
}

/// What the policies of former releases should say: what they are known to need, and in the newest what the role's own policy
/// is about to lose. It is written before that is lost.
fn kept_formers(names: &[String], known: &BTreeMap<String, Document>, lost: &Document) -> BTreeMap<String, Document> {
    let mut kept = known.clone();
    let newest = names.iter().filter_map(|name| former_release(name)).max();
    if let (Some(newest), false) = (newest, lost.is_empty()) {
        let policy = kept.entry(former_name(newest)).or_default();
        *policy = policy.with(lost);
    }
    kept.retain(|name, _| names.contains(name));
    kept
}

/// What the policies among a role's inline ones allow that keep grants of former releases.
async fn former_policies(
    context: &Context,
    role: &str,
    inline: &[String],
) -> Result<BTreeMap<String, Document>, AwsError> {
    let formers = inline.iter().filter(|name| former_release(name).is_some());
    let read = formers.map(|policy| async move {
        let text = read_policy(context, role, policy).await?;
        Ok::<_, AwsError>((policy.clone(), text))
    });
    // One that is listed and not known yet is left alone.
    let read = futures::future::try_join_all(read).await?.into_iter();
    read.filter_map(|(policy, text)| Some((policy, document("GetRolePolicy", Some(&text?)))))
        .map(|(policy, document)| Ok((policy, document?)))
        .collect()
}

/// Everything that a role has of policies.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Policies {
    /// Who may take it on.
    pub trust: Document,
    /// Inline policies by name.
    pub inline: BTreeMap<String, Document>,
    /// ARNs of managed policies attached to it.
    pub managed: Vec<String>,
}

/// Reads all policies of a role; none when there is no such role.
pub async fn all_policies(context: &Context, name: &str) -> Result<Option<Policies>, AwsError> {
    let Some(details) = details(context, name).await? else {
        return Ok(None);
    };
    let Details {
        role,
        policy: _,
        inline,
        attached,
    } = details;
    let read = inline.iter().map(|policy| async move {
        let text = read_policy(context, name, policy).await?;
        Ok::<_, AwsError>((policy.clone(), document("GetRolePolicy", text.as_deref())?))
    });
    Ok(Some(Policies {
        trust: document("GetRole", role.assume_role_policy_document.as_deref())?,
        inline: futures::future::try_join_all(read).await?.into_iter().collect(),
        managed: attached,
    }))
}

/// Writes statements that a former release needs, under its name.
pub async fn put_former(context: &Context, role: &str, release: u64, policy: &Document) -> Result<(), AwsError> {
    put_named(context, op("iam", "PutRolePolicy"), role, &former_name(release), policy).await
}

/// What a role's own policy allows, and what it keeps for a release and later ones; none when there is no such role.
pub async fn in_place(context: &Context, role: &str, release: u64) -> Result<Option<InPlace>, AwsError> {
    let own = async { read_policy(context, role, POLICY).await };
    let (own, inline) = futures::try_join!(own, list_inline(context, role))?;
    let Some(inline) = inline else { return Ok(None) };
    let mut former = Document::default();
    for name in inline
        .iter()
        .filter(|name| former_release(name).is_some_and(|kept| kept >= release))
    {
        let kept = read_policy(context, role, name).await?;
        former = former.with(&document("GetRolePolicy", kept.as_deref())?);
    }
    Ok(Some(InPlace {
        role: role.to_owned(),
        own: document("GetRolePolicy", own.as_deref())?,
        former,
    }))
}

/// Takes away what releases before `oldest` needed. Returns how many policies.
pub async fn drop_former(context: &Context, role: &str, oldest: u64) -> Result<usize, AwsError> {
    let inline = list_inline(context, role).await?.unwrap_or_default();
    let old = inline
        .iter()
        .filter(|name| former_release(name).is_some_and(|release| release < oldest));
    let mut dropped = 0;
    for name in old {
        delete_policy(context, role, name).await?;
        dropped += 1;
    }
    Ok(dropped)
}

async fn read_policy(context: &Context, role: &str, policy: &str) -> Result<Option<String>, AwsError> {
    let client = &context.clients().iam;
    let answer = context
        .call(op("iam", "GetRolePolicy"), || {
            client.get_role_policy().role_name(role).policy_name(policy).send()
        })
        .await;
    Ok(found(answer)?.map(|answer| answer.policy_document))
}

async fn put_policy(context: &Context, op: Op, name: &str, policy: &Document) -> Result<(), AwsError> {
    put_named(context, op, name, POLICY, policy).await
}

async fn put_named(
    context: &Context,
    op: Op,
    name: &str,
    policy_name: &str,
    policy: &Document,
) -> Result<(), AwsError> {
    let client = &context.clients().iam;
    let text = policy.to_json();
    context
        .call(op, || {
            client
                .put_role_policy()
                .role_name(name)
                .policy_name(policy_name)
                .policy_document(&text)
                .send()
        })
        .await
        .map(drop)
}

async fn delete_policy(context: &Context, name: &str, policy: &str) -> Result<(), AwsError> {
    let client = &context.clients().iam;
    let deleted = context
        .call(op("iam", "DeleteRolePolicy"), || {
            client.delete_role_policy().role_name(name).policy_name(policy).send()
        })
        .await;
    gone(deleted.map(drop))
}

async fn attach(context: &Context, op: Op, name: &str, arn: &str) -> Result<(), AwsError> {
    let client = &context.clients().iam;
    context
        .call(op, || {
            client.attach_role_policy().role_name(name).policy_arn(arn).send()
        })
        .await
        .map(drop)
}

async fn detach(context: &Context, name: &str, arn: &str) -> Result<(), AwsError> {
    let client = &context.clients().iam;
    let detached = context
        .call(op("iam", "DetachRolePolicy"), || {
            client.detach_role_policy().role_name(name).policy_arn(arn).send()
        })
        .await;
    gone(detached.map(drop))
}

async fn put_boundary(context: &Context, name: &str, boundary: Option<&str>) -> Result<(), AwsError> {
    let client = &context.clients().iam;
    match boundary {
        Some(arn) => context
            .call(op("iam", "PutRolePermissionsBoundary"), || {
                client
                    .put_role_permissions_boundary()
                    .role_name(name)
                    .permissions_boundary(arn)
                    .send()
            })
            .await
            .map(drop),
        None => {
            let deleted = context
                .call(op("iam", "DeleteRolePermissionsBoundary"), || {
                    client.delete_role_permissions_boundary().role_name(name).send()
                })
                .await;
            gone(deleted.map(drop))
        }
    }
}

async fn retag(context: &Context, name: &str, observed: &Tags, desired: &Tags) -> Result<(), AwsError> {
    let client = &context.clients().iam;
    let Difference { set, remove } = tags::diff(observed, desired);
    if !set.is_empty() {
        let tags = iam_tags(&set)?;
        context
            .call(op("iam", "TagRole"), || {
                client.tag_role().role_name(name).set_tags(Some(tags.clone())).send()
            })
            .await?;
    }
    if !remove.is_empty() {
        context
            .call(op("iam", "UntagRole"), || {
                client
                    .untag_role()
                    .role_name(name)
                    .set_tag_keys(Some(remove.clone()))
                    .send()
            })
            .await?;
    }
    Ok(())
}

/// IAM does not take writes to one role side by side (ConcurrentModification).
async fn turn(context: &Context, name: &str) -> tokio::sync::OwnedMutexGuard<()> {
    context.serial(format!("iam-role:{name}")).await
}

fn check(model: &Model) -> Result<(), AwsError> {
    model.lint().map_err(|fault| {
        AwsError::own(
            "iam",
            "PutRolePolicy",
            ErrorKind::Invalid,
            format!("role {}: {fault}", model.name),
        )
    })
}

fn document(operation: &'static str, text: Option<&str>) -> Result<Document, AwsError> {
    let Some(text) = text.filter(|text| !text.is_empty()) else {
        return Ok(Document::default());
    };
    Document::parse(text)
        .map_err(|error: ParseError| AwsError::own("iam", operation, ErrorKind::Invalid, error.to_string()))
}

fn iam_tags(tags: &Tags) -> Result<Vec<Tag>, AwsError> {
    tags.iter()
        .map(|(key, value)| Tag::builder().key(key).value(value).build())
        .collect::<Result<_, _>>()
        .map_err(|error| AwsError::own("iam", "TagRole", ErrorKind::Invalid, error.to_string()))
}

fn role_outputs(context: &Context, path: &str, name: &str) -> Outputs {
    outputs([("name", name.to_owned()), ("arn", arn(context, path, name))])
}
