//! Resource policies: one per qualifier, and whether one allows a caller.

use serde_json::{Map, Value, json};

use super::functions::{find, new_revision};
use super::model::{PermissionInput, Policy};
use super::rules::{check_revision, conflict, constraint, missing};
use super::{Functions, Owner};
use crate::services::Fault;
use crate::services::iam::wildcard;

impl Functions {
    pub(super) fn add_permission(
        &self,
        owner: Owner<'_>,
        name: &str,
        qualifier: Option<&str>,
        input: PermissionInput,
    ) -> Result<Value, Fault> {
        self.change(owner, name, |record| {
            let (_, arn) = find(owner, record, qualifier)?;
            let statement_id = input.statement_id.clone().unwrap_or_default();
            let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
            if statement_id.is_empty() || statement_id.len() > 100 || !statement_id.chars().all(allowed) {
                let rule = "Member must satisfy regular expression pattern: ([a-zA-Z0-9-_]+) and have length less than or equal to 100";
                return Err(constraint(&statement_id, "statementId", rule));
            }
            let slot = slot(qualifier);
            let mut policy = record.policies.get(slot).cloned().unwrap_or_else(|| Policy {
                revision_id: new_revision(),
                statements: Vec::new(),
            });
            check_revision(input.revision_id.as_deref(), &policy.revision_id)?;
            if policy.statements.iter().any(|known| known["Sid"] == statement_id.as_str()) {
                return Err(conflict(format!(
                    "The statement id ({statement_id}) provided already exists. Please provide a new statement id, or remove \
                     the existing statement."
                )));
            }
            let statement = statement(&arn, &statement_id, input)?;
            policy.statements.push(statement.clone());
            policy.revision_id = new_revision();
            record.policies.insert(slot.to_owned(), policy);
            Ok(json!({"Statement": statement.to_string()}))
        })
    }

    pub(super) fn remove_permission(
        &self,
        owner: Owner<'_>,
        name: &str,
        qualifier: Option<&str>,
        statement_id: &str,
        revision: Option<&str>,
    ) -> Result<(), Fault> {
        self.change(owner, name, |record| {
            let (_, arn) = find(owner, record, qualifier)?;
            let slot = slot(qualifier);
            let absent = || {
                missing(format!(
                    "Statement {statement_id} is not found in resource policy of {arn}."
                ))
            };
            let policy = record
                .policies
                .get_mut(slot)
                .ok_or_else(|| missing("No policy is associated with the given resource."))?;
            check_revision(revision, &policy.revision_id)?;
            let before = policy.statements.len();
            policy.statements.retain(|statement| statement["Sid"] != statement_id);
            if policy.statements.len() == before {
                return Err(absent());
            }
            policy.revision_id = new_revision();
            if policy.statements.is_empty() {
                record.policies.remove(slot);
            }
            Ok(())
        })
    }

    pub(super) fn get_policy(&self, owner: Owner<'_>, name: &str, qualifier: Option<&str>) -> Result<Value, Fault> {
        self.read(owner, name, |record| {
            find(owner, record, qualifier)?;
            let policy = record
                .policies
                .get(slot(qualifier))
                .ok_or_else(|| missing("The resource you requested does not exist."))?;
            let document = json!({"Version": "2012-10-17", "Id": "default", "Statement": policy.statements});
            Ok(json!({"Policy": document.to_string(), "RevisionId": policy.revision_id}))
        })
    }
}

/// Where the policy of a qualifier is kept. AWS takes none on `$LATEST`; here that is the function's own, so that what is put
/// there is seen where it counts.
/// <https://docs.aws.amazon.com/lambda/latest/api/API_AddPermission.html>
pub(super) fn slot(qualifier: Option<&str>) -> &str {
    qualifier.filter(|name| *name != "$LATEST").unwrap_or_default()
}

/// A statement as the service stores it.
fn statement(arn: &str, statement_id: &str, input: PermissionInput) -> Result<Value, Fault> {
    let (Some(action), Some(principal)) = (input.action, input.principal) else {
        return Err(constraint("null", "principal", "Member must not be null"));
    };
    let principal = if principal == "*" {
        json!("*")
    } else if principal.starts_with("arn:") {
        json!({"AWS": principal})
    } else if principal.len() == 12 && principal.bytes().all(|byte| byte.is_ascii_digit()) {
        json!({"AWS": format!("arn:aws:iam::{principal}:root")})
    } else {
        json!({"Service": principal})
    };
    let mut conditions = Map::new();
    let mut condition = |operator: &str, key: &str, value: Option<String>| {
        if let Some(value) = value {
            let group = conditions.entry(operator).or_insert_with(|| json!({}));
            group[key] = json!(value);
        }
    };
    condition("StringEquals", "AWS:SourceAccount", input.source_account);
    condition("StringEquals", "aws:PrincipalOrgID", input.principal_org_id);
    condition("StringEquals", "lambda:EventSourceToken", input.event_source_token);
    condition(
        "StringEquals",
        "lambda:FunctionUrlAuthType",
        input.function_url_auth_type,
    );
    condition("ArnLike", "AWS:SourceArn", input.source_arn);
    let mut statement = json!({
        "Sid": statement_id,
        "Effect": "Allow",
        "Principal": principal,
        "Action": action,
        "Resource": arn,
    });
    if !conditions.is_empty() {
        statement["Condition"] = Value::Object(conditions);
    }
    Ok(statement)
}

/// Whether a policy lets `principal` invoke on behalf of `source_arn`.
pub(super) fn allows(policy: &Policy, principal: &str, source_arn: &str) -> bool {
    let account = source_arn.split(':').nth(4).unwrap_or_default();
    policy.statements.iter().any(|statement| {
        let action = statement["Action"].as_str().unwrap_or_default();
        let who = &statement["Principal"];
        let condition = &statement["Condition"];
        let source = condition["ArnLike"]["AWS:SourceArn"].as_str();
        let of_account = condition["StringEquals"]["AWS:SourceAccount"].as_str();
        statement["Effect"] == "Allow"
            && matches!(action, "lambda:InvokeFunction" | "lambda:*" | "*")
            && (who == "*" || who["Service"] == principal)
            && source.is_none_or(|pattern| wildcard::matches(pattern, source_arn))
            && of_account.is_none_or(|wanted| account.is_empty() || wanted == account)
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test ends where something is wrong")]

    use super::*;

    fn check(source_arn: Option<&str>, principal: &str, caller: &str, expected: bool) {
        let input = PermissionInput {
            action: Some("lambda:InvokeFunction".to_owned()),
            principal: Some(principal.to_owned()),
            source_arn: source_arn.map(str::to_owned),
            ..PermissionInput::default()
        };
        let statements = vec![statement("arn:f", "s", input).unwrap()];
        let policy = Policy {
            revision_id: String::new(),
            statements,
        };
        assert_eq!(
            allows(&policy, "apigateway.amazonaws.com", caller),
            expected,
            "{source_arn:?} {caller}"
        );
    }

    #[test]
    fn who_is_let_in() {
        let caller = "arn:aws:execute-api:eu-central-1:000000000000:abc/$default/GET/tasks";
        let gateway = "apigateway.amazonaws.com";
        check(
            Some("arn:aws:execute-api:eu-central-1:000000000000:abc/*/*"),
            gateway,
            caller,
            true,
        );
        check(
            Some("arn:aws:execute-api:eu-central-1:000000000000:abc/preview/*"),
            gateway,
            caller,
            false,
        );
        check(
            Some("arn:aws:execute-api:eu-central-1:000000000000:other/*/*"),
            gateway,
            caller,
            false,
        );
        check(None, gateway, caller, true);
        check(None, "events.amazonaws.com", caller, false);
        check(None, "*", caller, true);
    }
}
