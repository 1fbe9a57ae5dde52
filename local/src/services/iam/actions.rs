//! The actions that calls of IAM take.

use std::collections::BTreeMap;

use crate::services::iam::required::{Actions, Required, Role};

impl Actions<'_> {
    /// <https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsidentityandaccessmanagementiam.html>
    pub(in crate::services) fn iam(
        &self,
        input: &BTreeMap<String, String>,
        role: impl Fn(&str) -> Role,
    ) -> Vec<Required> {
        let action = input.get("Action").map(String::as_str).unwrap_or_default();
        let named = input.get("RoleName").map(|name| role(name));
        let resource = match (input.get("RoleName"), input.get("Path")) {
            (Some(name), Some(path)) => format!("arn:aws:iam::{}:role{path}{name}", self.call.account),
            (Some(_), None) => named.as_ref().map(|role| role.arn.clone()).unwrap_or_default(),
            (None, _) => "*".to_owned(),
        };
        let mut wanted = self.on(format!("iam:{action}"), resource.clone());
        // The boundary that a call sets; of a call that changes a role's permissions, the one that the role has.
        let boundary = match action {
            "CreateRole" | "PutRolePermissionsBoundary" => input.get("PermissionsBoundary").cloned(),
            "AttachRolePolicy"
            | "DeleteRolePermissionsBoundary"
            | "DeleteRolePolicy"
            | "DetachRolePolicy"
            | "PutRolePolicy" => named.and_then(|role| role.boundary),
            _ => None,
        };
        let keys = [
            ("iam:permissionsboundary", boundary),
            ("iam:policyarn", input.get("PolicyArn").cloned()),
        ];
        let keys = keys
            .into_iter()
            .filter_map(|(key, value)| Some((key.to_owned(), value?)));
        wanted.context.extend(keys);
        let tags = input.iter().filter_map(|(key, tag)| {
            let place = key.strip_prefix("Tags.member.")?.strip_suffix(".Key")?;
            let value = input.get(&format!("Tags.member.{place}.Value"))?;
            Some((tag.clone(), value.clone()))
        });
        let mut all = vec![self.giving(wanted, tags)];
        if action == "CreateRole" && input.keys().any(|key| key.starts_with("Tags.")) {
            all.push(self.on("iam:TagRole", resource));
        }
        all
    }
}
