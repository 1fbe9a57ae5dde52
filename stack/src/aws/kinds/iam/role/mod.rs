//! IAM role of a function: who may take it on, one inline policy with the function's grants, and nothing else. Policies
//! that somebody attached or added are drift and go. Whether a policy may only grow at this point of a release is decided
//! where the desired model is made, not here.

mod change;
mod former;
mod observe;

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use self::change::{
    attach, delete_policy, detach, iam_tags, put_boundary, put_policy, put_settings, put_trust, replace_managed, retag,
    set_policy, turn,
};
use self::observe::{await_details, list_attached, list_inline, list_instance_profiles, model};
use crate::aws::client::context::Context;
use crate::aws::client::error::{AwsError, ErrorKind, gone};
use crate::aws::client::op::op;
use crate::aws::kinds::iam;
use crate::aws::kinds::kind::{Discovered, Fields, Kind, Spec};
use crate::aws::kinds::lambda;
use crate::aws::policy::document::{Document, INLINE_LIMIT, Statement, TRUST_LIMIT};
use crate::aws::policy::reach::Reach;
use crate::aws::read::inventory::logical;
use crate::aws::read::reader::{Purpose, Reader, ownership};
use crate::plan::{Replacement, Rollback, Scope};
use crate::resource::{Observed, Outputs, ResourceId, outputs};

pub use former::{drop_former, former_name, former_release, in_place, put_former};
pub use observe::{Policies, all_policies};

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
    needed_at_runtime: true,
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
        let Some(details) = details else { return Ok(None) };
        let outputs = role_outputs(
            context,
            &details.role.path,
            &details.role.role_name,
            &details.role.role_id,
        );
        let model = model(context, details).await?;
        let ownership = ownership(context, &model.tags);
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
            outputs: role_outputs(context, &role.path, &role.role_name, &role.role_id),
        });
        Ok(found.collect())
    }

    async fn create(&self, context: &Context, id: &ResourceId, desired: &Model) -> Result<Outputs, AwsError> {
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
        let made = context
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
        context.grant(&id.name);
        let role_id = made.role.map(|role| role.role_id).unwrap_or_default();
        Ok(role_outputs(context, path, name, &role_id))
    }

    async fn update(
        &self,
        context: &Context,
        id: &ResourceId,
        desired: &Model,
        observed: &Observed<Model>,
        changes: &Fields,
    ) -> Result<Outputs, AwsError> {
        let Model {
            name,
            path: _,
            description: _,
            trust,
            policy,
            permissions_boundary,
            managed_policies,
            other_inline_policies,
            former_policies: _,
            former: _,
            max_session_seconds: _,
            tags,
        } = desired;
        check(desired)?;
        let _turn = turn(context, name).await;
        // First, since a deployer may be allowed to write policies only of roles that have the boundary.
        if changes.touch("permissions_boundary") {
            put_boundary(context, name, permissions_boundary.as_deref()).await?;
        }
        former::keep(context, desired, &observed.model).await?;
        if changes.touch("trust") {
            put_trust(context, name, trust).await?;
        }
        if changes.touch_any(&["description", "max_session_seconds"]) {
            put_settings(context, desired).await?;
        }
        if changes.touch("policy") {
            set_policy(context, name, policy).await?;
            context.grant(&id.name);
        }
        replace_managed(context, name, &observed.model.managed_policies, managed_policies).await?;
        let others = observed.model.other_inline_policies.iter();
        for other in others.filter(|one| !other_inline_policies.contains(one)) {
            delete_policy(context, name, other).await?;
        }
        if changes.touch("tags") {
            retag(context, name, &observed.model.tags, tags).await?;
        }
        Ok(observed.outputs.clone())
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

/// Output with the id that a role gets when it is made: one that was deleted and made again has another.
const ID: &str = "role_id";

fn role_outputs(context: &Context, path: &str, name: &str, id: &str) -> Outputs {
    outputs([
        ("name", name.to_owned()),
        ("arn", arn(context, path, name)),
        (ID, id.to_owned()),
    ])
}

/// The id of a function's role, once this run has read or made it.
pub fn id_of(context: &Context, function: &str) -> Option<String> {
    let role = context.outputs(&ResourceId::new(KIND, function));
    role.get(ID).filter(|id| !id.is_empty()).cloned()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parking_lot::Mutex;

    use super::*;
    use crate::aws::client::context::tests::{context_over, identity};
    use crate::aws::client::fake::{Call, clients};

    /// A context over an IAM that answers with the content of each operation's result, and what it was asked.
    fn iam(answer: impl Fn(&Call) -> String + Send + Sync + 'static) -> (Context, Arc<Mutex<Vec<Call>>>) {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&asked);
        let fake = clients("eu-central-1", move |call| {
            let (operation, content) = (call.operation.clone(), answer(&call));
            seen.lock().push(call);
            let text =
                format!("<{operation}Response><{operation}Result>{content}</{operation}Result></{operation}Response>");
            (200, text.into_bytes())
        });
        (context_over(identity(), fake), asked)
    }

    #[tokio::test(start_paused = true)]
    async fn a_tag_whose_key_changes_its_case_stays() {
        let (context, asked) = iam(|_| String::new());
        let tags = |text: &str| -> BTreeMap<String, String> {
            let pairs = text.split_whitespace().filter_map(|pair| pair.split_once('='));
            pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
        };
        retag(
            &context,
            "r",
            &tags("Team=a Stage=x stage=dev"),
            &tags("team=a stage=dev"),
        )
        .await
        .expect("it is done");
        let asked = asked.lock();
        let said: Vec<(&str, Vec<&String>)> = asked
            .iter()
            .map(|call| {
                let keys = call.fields.iter().filter(|(field, _)| field.starts_with("Tag"));
                let keys = keys.filter(|(field, _)| !field.ends_with("Value"));
                (call.operation.as_str(), keys.map(|(_, key)| key).collect())
            })
            .collect();
        let (team, stage) = (&"team".to_owned(), &"stage".to_owned());
        let (former_team, former_stage) = (&"Team".to_owned(), &"Stage".to_owned());
        assert_eq!(
            said,
            [
                ("UntagRole", vec![former_stage, former_team]),
                ("TagRole", vec![stage, team])
            ]
        );
    }

    #[tokio::test(start_paused = true)]
    async fn policies_beyond_the_first_page_are_seen() {
        let (context, _) = iam(|call| {
            let (list, member, element) = match call.operation.as_str() {
                "ListRolePolicies" => ("PolicyNames", "P", ""),
                "ListAttachedRolePolicies" => ("AttachedPolicies", "P", "PolicyArn"),
                _ => ("InstanceProfiles", "P", "InstanceProfileName"),
            };
            let (page, more) = match call.fields.get("Marker") {
                None => (1, "<IsTruncated>true</IsTruncated><Marker>m</Marker>"),
                Some(_) => (2, ""),
            };
            let value = match (element, list) {
                ("", _) => format!("{member}{page}"),
                (_, "InstanceProfiles") => format!(
                    "<Path>/</Path><InstanceProfileName>{member}{page}</InstanceProfileName><InstanceProfileId>i</InstanceProfileId>\
                     <Arn>a</Arn><CreateDate>2026-01-01T00:00:00Z</CreateDate><Roles/>"
                ),
                _ => format!("<{element}>{member}{page}</{element}>"),
            };
            format!("<{list}><member>{value}</member></{list}>{more}")
        });
        let both = Some(vec!["P1".to_owned(), "P2".to_owned()]);
        assert_eq!(list_inline(&context, "r").await, Ok(both.clone()));
        assert_eq!(list_attached(&context, "r").await, Ok(both.clone()));
        assert_eq!(list_instance_profiles(&context, "r").await, Ok(both));
    }
}
