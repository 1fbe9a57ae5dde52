//! Identity policies, judged as IAM does: a deny wins, an allow is needed. Pure.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html>

use std::collections::BTreeMap;

use serde_json::Value;

use super::required::Required;
use super::wildcard;

/// A statement as written in a document.
#[derive(Debug, Clone)]
pub(crate) struct Statement {
    is_deny: bool,
    actions: Patterns,
    resources: Patterns,
    conditions: Vec<(String, String, Vec<String>)>,
}

/// Patterns of which one must match; or none may.
#[derive(Debug, Clone)]
struct Patterns {
    any: Vec<String>,
    negated: bool,
}

/// The verdict of the policies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Allowed,
    /// No statement allows it.
    NotAllowed,
    /// A statement denies it.
    Denied,
    /// The policies allow it, the permissions boundary does not.
    OutOfBounds,
}

/// The statements of a document; none of one that cannot be read.
pub(crate) fn statements(document: &str) -> Vec<Statement> {
    let document: Value = serde_json::from_str(document).unwrap_or_default();
    let statements = match &document["Statement"] {
        Value::Array(all) => all.clone(),
        Value::Object(one) => vec![Value::Object(one.clone())],
        _ => Vec::new(),
    };
    statements
        .iter()
        .map(|statement| Statement {
            is_deny: statement["Effect"] == "Deny",
            actions: Patterns::of(statement, "Action", "NotAction"),
            resources: Patterns::of(statement, "Resource", "NotResource"),
            conditions: conditions(&statement["Condition"]),
        })
        .collect()
}

/// Judges one action.
pub(crate) fn judge<'a>(statements: impl Iterator<Item = &'a Statement>, wanted: &Required) -> Verdict {
    let mut verdict = Verdict::NotAllowed;
    for statement in statements {
        if !statement.actions.match_one(&wanted.action.to_ascii_lowercase(), true)
            || !statement.resources.match_one(&wanted.resource, false)
            || !holds(&statement.conditions, &wanted.context, statement.is_deny)
        {
            continue;
        }
        if statement.is_deny {
            return Verdict::Denied;
        }
        verdict = Verdict::Allowed;
    }
    verdict
}

impl Patterns {
    fn of(statement: &Value, name: &str, negated: &str) -> Self {
        if statement[negated].is_null() {
            return Self {
                any: texts(&statement[name]),
                negated: false,
            };
        }
        Self {
            any: texts(&statement[negated]),
            negated: true,
        }
    }

    fn match_one(&self, text: &str, lowercase: bool) -> bool {
        let matches = self.any.iter().any(|pattern| match lowercase {
            true => wildcard::matches(&pattern.to_ascii_lowercase(), text),
            false => wildcard::matches(pattern, text),
        });
        matches != self.negated
    }
}

fn conditions(block: &Value) -> Vec<(String, String, Vec<String>)> {
    let operators = block.as_object().into_iter().flatten();
    operators
        .flat_map(|(operator, keys)| {
            let keys = keys.as_object().into_iter().flatten();
            keys.map(move |(key, values)| (operator.clone(), key.to_ascii_lowercase(), texts(values)))
        })
        .collect()
}

impl Statement {
    /// Whether a condition asks for the tags of the resource.
    pub(crate) fn asks_for_tags(&self) -> bool {
        let mut keys = self.conditions.iter().map(|(_, key, _)| key);
        keys.any(|key| key.starts_with(RESOURCE_TAG))
    }
}

/// Prefixes of condition keys about tags of the resource, lower case.
pub(crate) const RESOURCE_TAG: &str = "aws:resourcetag/";
/// Prefixes of condition keys about tags of the request, lower case.
pub(crate) const REQUEST_TAG: &str = "aws:requesttag/";

/// Operators that are judged here, beside `Null`.
const KNOWN: [&str; 11] = [
    "StringEquals",
    "StringNotEquals",
    "StringEqualsIgnoreCase",
    "StringNotEqualsIgnoreCase",
    "StringLike",
    "StringNotLike",
    "ArnEquals",
    "ArnNotEquals",
    "ArnLike",
    "ArnNotLike",
    "Bool",
];

/// Whether all conditions hold. A key that a request does not have matches nothing. What cannot be judged here is not allowed: an
/// operator that is not known holds in a Deny, and in no Allow. A key has one value here, so that any of them is all of them.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html>
fn holds(conditions: &[(String, String, Vec<String>)], context: &BTreeMap<String, String>, is_deny: bool) -> bool {
    conditions.iter().all(|(operator, key, values)| {
        if operator == "Null" {
            let is_absent = !context.contains_key(key);
            return values.iter().all(|value| *value == is_absent.to_string());
        }
        let (operator, for_all) = match operator.split_once(':') {
            Some(("ForAllValues", operator)) => (operator, true),
            Some(("ForAnyValue", operator)) => (operator, false),
            _ => (operator.as_str(), false),
        };
        let (operator, if_exists) = match operator.strip_suffix("IfExists") {
            Some(operator) => (operator, true),
            None => (operator, for_all),
        };
        if !KNOWN.contains(&operator) {
            return is_deny;
        }
        let Some(actual) = context.get(key) else {
            return if_exists || operator.contains("Not");
        };
        let any = |matches: &dyn Fn(&str) -> bool| values.iter().any(|value| matches(value));
        match operator {
            "StringEquals" | "Bool" => any(&|value| value == actual),
            "StringNotEquals" => !any(&|value| value == actual),
            "StringEqualsIgnoreCase" => any(&|value| value.eq_ignore_ascii_case(actual)),
            "StringNotEqualsIgnoreCase" => !any(&|value| value.eq_ignore_ascii_case(actual)),
            "StringLike" | "ArnLike" | "ArnEquals" => any(&|value| wildcard::matches(value, actual)),
            // The last ones of those that are known.
            _ => !any(&|value| wildcard::matches(value, actual)),
        }
    })
}

fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => vec![text.clone()],
        Value::Bool(flag) => vec![flag.to_string()],
        Value::Array(all) => all.iter().flat_map(texts).collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "arn:aws:dynamodb:eu-central-1:000000000000:table/tasks";

    fn check(document: &str, expected: Verdict) {
        let statements = statements(document);
        let wanted = Required {
            action: "dynamodb:PutItem".to_owned(),
            resource: TABLE.to_owned(),
            context: BTreeMap::from([("aws:securetransport".to_owned(), "true".to_owned())]),
        };
        assert_eq!(judge(statements.iter(), &wanted), expected, "{document}");
    }

    #[test]
    fn an_allow_is_needed_and_a_deny_wins() {
        check(r#"{"Statement": []}"#, Verdict::NotAllowed);
        let allow = r#"{"Effect": "Allow", "Action": "dynamodb:*", "Resource": "*"}"#;
        check(&format!(r#"{{"Statement": {allow}}}"#), Verdict::Allowed);
        let deny = r#"{"Effect": "Deny", "NotAction": "dynamodb:GetItem", "Resource": "*/tasks"}"#;
        check(&format!(r#"{{"Statement": [{allow}, {deny}]}}"#), Verdict::Denied);
        let other = r#"{"Effect": "Allow", "Action": ["dynamodb:putitem"], "NotResource": "*/tasks"}"#;
        check(&format!(r#"{{"Statement": [{other}]}}"#), Verdict::NotAllowed);
    }

    #[test]
    fn conditions_hold_or_the_statement_does_not_count() {
        for (condition, expected) in [
            (r#"{"Bool": {"aws:SecureTransport": true}}"#, Verdict::Allowed),
            (
                r#"{"StringEquals": {"aws:SecureTransport": ["no"]}}"#,
                Verdict::NotAllowed,
            ),
            (
                r#"{"StringEquals": {"aws:PrincipalTag/team": "a"}}"#,
                Verdict::NotAllowed,
            ),
            (
                r#"{"StringEqualsIfExists": {"aws:PrincipalTag/team": "a"}}"#,
                Verdict::Allowed,
            ),
            (r#"{"Fancy": {"aws:SecureTransport": "true"}}"#, Verdict::NotAllowed),
            (r#"{"Null": {"aws:SecureTransport": "false"}}"#, Verdict::Allowed),
            (r#"{"Null": {"aws:SecureTransport": true}}"#, Verdict::NotAllowed),
            (r#"{"Null": {"aws:ResourceTag/app": true}}"#, Verdict::Allowed),
            (
                r#"{"ForAnyValue:StringEquals": {"aws:SecureTransport": ["true", "no"]}}"#,
                Verdict::Allowed,
            ),
            (
                r#"{"ForAnyValue:StringEquals": {"kms:ResourceAliases": "alias/a"}}"#,
                Verdict::NotAllowed,
            ),
            (
                r#"{"ForAllValues:StringEquals": {"aws:TagKeys": "app"}}"#,
                Verdict::Allowed,
            ),
        ] {
            let statement =
                format!(r#"{{"Effect": "Allow", "Action": "*", "Resource": "*", "Condition": {condition}}}"#);
            check(&format!(r#"{{"Statement": [{statement}]}}"#), expected);
        }
    }

    #[test]
    fn a_deny_counts_where_its_condition_cannot_be_judged() {
        let allow = r#"{"Effect": "Allow", "Action": "*", "Resource": "*"}"#;
        for (condition, expected) in [
            (r#"{"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}"#, Verdict::Denied),
            (
                r#"{"DateGreaterThanIfExists": {"aws:CurrentTime": "2030-01-01T00:00:00Z"}}"#,
                Verdict::Denied,
            ),
            (
                r#"{"ForAnyValue:NumericLessThan": {"aws:MultiFactorAuthAge": "5"}}"#,
                Verdict::Denied,
            ),
            (r#"{"StringEquals": {"aws:PrincipalTag/team": "a"}}"#, Verdict::Allowed),
            (r#"{"Bool": {"aws:SecureTransport": "false"}}"#, Verdict::Allowed),
            (
                r#"{"StringNotEqualsIgnoreCase": {"aws:SecureTransport": "TRUE"}}"#,
                Verdict::Allowed,
            ),
        ] {
            let deny = format!(r#"{{"Effect": "Deny", "Action": "*", "Resource": "*", "Condition": {condition}}}"#);
            check(&format!(r#"{{"Statement": [{allow}, {deny}]}}"#), expected);
        }
    }

    #[test]
    fn patterns() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("a*c", "abbc", true),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("*/index/*", "table/t/index/by", true),
            ("table/t", "table/t/index/by", false),
        ] {
            assert_eq!(wildcard::matches(pattern, text), expected, "{pattern} {text}");
        }
    }
}
