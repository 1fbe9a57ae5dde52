//! Resource policies: one per qualifier, and whether one allows a caller.

use serde_json::{Map, Value, json};

use super::functions::{find, find_or_alias, new_revision};
use super::model::{FunctionRecord, PermissionInput, Policy, Version, function_arn};
use super::rules::{READ_POLICY, absent, check_revision, conflict, constraint, invalid, missing};
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
        let input = checked(input)?;
        self.change(owner, name, |record| {
            if qualifier == Some("$LATEST") {
                return Err(invalid("We currently do not support adding policies for $LATEST."));
            }
            let (_, arn) = find_or_alias(owner, record, qualifier)?;
            check_revision(input.revision_id.as_deref(), revision(record, qualifier), READ_POLICY)?;
            let statement_id = input.statement_id.clone();
            let policy = record.policies.entry(slot(qualifier).to_owned()).or_default();
            if policy.statements.iter().any(|known| known["Sid"] == statement_id.as_str()) {
                return Err(conflict(format!(
                    "The statement id ({statement_id}) provided already exists. Please provide a new statement id, or remove \
                     the existing statement."
                )));
            }
            let statement = statement(&arn, input);
            policy.statements.push(statement.clone());
            revise(record, qualifier);
            Ok(json!({"Statement": statement.to_string()}))
        })
    }

    pub(super) fn remove_permission(
        &self,
        owner: Owner<'_>,
        name: &str,
        qualifier: Option<&str>,
        statement_id: &str,
        given: Option<&str>,
    ) -> Result<(), Fault> {
        let unknown = || {
            let arn = function_arn(owner.account, owner.region, name);
            missing(format!("No policy found for: {arn}"))
        };
        self.change_or(owner, name, unknown, |record| {
            find_or_alias(owner, record, qualifier)?;
            let current = revision(record, qualifier).to_owned();
            let policy = record
                .policies
                .get_mut(slot(qualifier))
                .ok_or_else(|| missing("No policy is associated with the given resource."))?;
            let before = policy.statements.len();
            policy.statements.retain(|statement| statement["Sid"] != statement_id);
            if policy.statements.len() == before {
                return Err(missing(format!(
                    "Statement {statement_id} is not found in resource policy."
                )));
            }
            check_revision(given, &current, READ_POLICY)?;
            if policy.statements.is_empty() {
                record.policies.remove(slot(qualifier));
            }
            revise(record, qualifier);
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
            Ok(json!({"Policy": document.to_string(), "RevisionId": revision(record, qualifier)}))
        })
    }
}

/// The revision of a policy is that of the version or alias that has it.
fn revision<'record>(record: &'record FunctionRecord, qualifier: Option<&str>) -> &'record str {
    let qualifier = qualifier.unwrap_or("$LATEST");
    match record.aliases.get(qualifier) {
        Some(alias) => &alias.revision_id,
        None => record.version(qualifier).map(Version::revision).unwrap_or_default(),
    }
}

/// A policy was changed.
fn revise(record: &mut FunctionRecord, qualifier: Option<&str>) {
    match qualifier {
        None => record.latest.revise(),
        Some(qualifier) => match record.aliases.get_mut(qualifier) {
            Some(alias) => alias.revision_id = new_revision(),
            None => {
                let number = qualifier.parse().ok();
                if let Some(version) = number.and_then(|number: u64| record.versions.get_mut(&number)) {
                    version.revise();
                }
            }
        },
    }
}

/// Where the policy of a qualifier is kept: one on `$LATEST` is the function's own.
/// <https://docs.aws.amazon.com/lambda/latest/api/API_AddPermission.html>
pub(super) fn slot(qualifier: Option<&str>) -> &str {
    qualifier.filter(|name| *name != "$LATEST").unwrap_or_default()
}

/// An input of `AddPermission` that has what it must.
struct Permission {
    statement_id: String,
    action: String,
    /// As a statement names it.
    principal: Value,
    revision_id: Option<String>,
    conditions: Map<String, Value>,
}

fn checked(input: PermissionInput) -> Result<Permission, Fault> {
    const PATTERN: &str = "Member must satisfy regular expression pattern: ";
    let PermissionInput {
        action,
        event_source_token,
        function_url_auth_type,
        principal,
        principal_org_id,
        revision_id,
        source_account,
        source_arn,
        statement_id,
    } = input;
    let statement_id = statement_id.ok_or_else(|| absent("statementId"))?;
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if statement_id.is_empty() || !statement_id.chars().all(allowed) {
        return Err(constraint(
            &statement_id,
            "statementId",
            &format!("{PATTERN}([a-zA-Z0-9-_]+)"),
        ));
    }
    if statement_id.len() > 100 {
        let rule = "Member must have length less than or equal to 100";
        return Err(constraint(&statement_id, "statementId", rule));
    }
    let action = action.ok_or_else(|| absent("action"))?;
    let operation = action.strip_prefix("lambda:").unwrap_or(&action);
    let is_named = action.starts_with("lambda:")
        && !operation.is_empty()
        && operation.bytes().all(|byte| byte.is_ascii_alphabetic());
    if operation != "*" && !is_named {
        let rule = format!("{PATTERN}(lambda:[*]|lambda:[a-zA-Z]+|[*])");
        return Err(constraint(&action, "action", &rule));
    }
    let principal = principal_of(&principal.ok_or_else(|| absent("principal"))?)?;
    let mut conditions = Map::new();
    let mut condition = |operator: &str, key: &str, value: Option<String>| {
        if let Some(value) = value {
            let group = conditions.entry(operator).or_insert_with(|| json!({}));
            group[key] = json!(value);
        }
    };
    condition("StringEquals", "AWS:SourceAccount", source_account);
    condition("StringEquals", "aws:PrincipalOrgID", principal_org_id);
    condition("StringEquals", "lambda:EventSourceToken", event_source_token);
    condition("StringEquals", "lambda:FunctionUrlAuthType", function_url_auth_type);
    condition("ArnLike", "AWS:SourceArn", source_arn);
    Ok(Permission {
        statement_id,
        action,
        principal,
        revision_id,
        conditions,
    })
}

/// Everyone, an account, a principal of IAM, or a service.
fn principal_of(text: &str) -> Result<Value, Fault> {
    let is_account = |text: &str| text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit());
    if text == "*" {
        return Ok(json!("*"));
    }
    if is_account(text) {
        return Ok(json!({"AWS": format!("arn:aws:iam::{text}:root")}));
    }
    let fields: Vec<&str> = text.splitn(6, ':').collect();
    if let ["arn", _, "iam" | "sts", "", account, resource] = fields.as_slice()
        && is_account(account)
        && !resource.is_empty()
    {
        return Ok(json!({"AWS": text}));
    }
    let domains = [".amazonaws.com", ".amazonaws.com.cn", ".amazonaws.eu", ".alexa.com"];
    let is_name = |name: &str| {
        !name.is_empty()
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte))
    };
    if domains
        .iter()
        .any(|domain| text.strip_suffix(domain).is_some_and(is_name))
    {
        return Ok(json!({"Service": text}));
    }
    Err(invalid(
        "The provided principal was invalid. Please check the principal and try again.",
    ))
}

/// A statement as the service stores it.
fn statement(arn: &str, permission: Permission) -> Value {
    let mut statement = json!({
        "Sid": permission.statement_id,
        "Effect": "Allow",
        "Principal": permission.principal,
        "Action": permission.action,
        "Resource": arn,
    });
    if !permission.conditions.is_empty() {
        statement["Condition"] = Value::Object(permission.conditions);
    }
    statement
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
            statement_id: Some("s".to_owned()),
            ..PermissionInput::default()
        };
        let statements = vec![statement("arn:f", checked(input).unwrap())];
        let policy = Policy { statements };
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

    #[test]
    fn principals_and_actions_that_aws_knows() {
        let refused = |action: &str, principal: &str| {
            let input = PermissionInput {
                action: Some(action.to_owned()),
                principal: Some(principal.to_owned()),
                statement_id: Some("s".to_owned()),
                ..PermissionInput::default()
            };
            checked(input).err().map(|fault| fault.code)
        };
        for principal in [
            "*",
            "000000000000",
            "arn:aws:iam::000000000000:role/r",
            "events.amazonaws.com",
        ] {
            assert_eq!(refused("lambda:InvokeFunction", principal), None, "{principal}");
        }
        for principal in ["somebody", "arn:aws:s3:::b", "events.example.com"] {
            let expected = Some("InvalidParameterValueException");
            assert_eq!(refused("lambda:InvokeFunction", principal), expected, "{principal}");
        }
        assert_eq!(refused("lambda:*", "*"), None);
        assert_eq!(refused("s3:GetObject", "*"), Some("ValidationException"));
    }
}
