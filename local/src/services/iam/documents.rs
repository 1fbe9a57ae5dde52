//! What IAM checks in the documents of policies before it keeps them. Pure.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_grammar.html>

use serde_json::{Map, Value};

/// What a document is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// What its owner may do.
    Permissions,
    /// Who may take on a role.
    Trust,
}

/// The message of `MalformedPolicyDocument`, where there is something to say.
pub(super) fn fault(document: &str, purpose: Purpose) -> Option<String> {
    let Ok(parsed) = serde_json::from_str::<Value>(document) else {
        return Some("This policy contains invalid Json".to_owned());
    };
    let Some(members) = parsed.as_object() else {
        return Some("Syntax errors in policy.".to_owned());
    };
    let version = members
        .get("Version")
        .map(|version| version.as_str().unwrap_or_default());
    if version.is_some_and(|version| !matches!(version, "2008-10-17" | "2012-10-17")) {
        return Some("The policy must contain a valid version string".to_owned());
    }
    if let Some(name) = unknown(members, &["Version", "Id", "Statement"]) {
        return Some(format!("Syntax error at element {name}."));
    }
    let statements = match members.get("Statement") {
        Some(Value::Array(all)) => all.iter().collect(),
        Some(one @ Value::Object(_)) => vec![one],
        _ => return Some("Missing required field Statement".to_owned()),
    };
    statements
        .into_iter()
        .find_map(|statement| of_statement(statement, purpose))
}

fn of_statement(statement: &Value, purpose: Purpose) -> Option<String> {
    const ELEMENTS: [&str; 9] = [
        "Sid",
        "Effect",
        "Action",
        "NotAction",
        "Resource",
        "NotResource",
        "Principal",
        "NotPrincipal",
        "Condition",
    ];
    let Some(members) = statement.as_object() else {
        return Some("Syntax errors in policy.".to_owned());
    };
    if let Some(name) = unknown(members, &ELEMENTS) {
        return Some(format!("Syntax error at element {name}."));
    }
    let has = |name: &str| members.contains_key(name);
    match members.get("Effect").map(|effect| effect.as_str().unwrap_or_default()) {
        None => return Some("Missing required field Effect".to_owned()),
        Some("Allow" | "Deny") => (),
        Some(other) => return Some(format!("Invalid effect: {other}")),
    }
    if has("Action") == has("NotAction") {
        return Some("Policy statement must contain actions.".to_owned());
    }
    let of_resource = has("Resource") || has("NotResource");
    let of_principal = has("Principal") || has("NotPrincipal");
    match purpose {
        Purpose::Permissions if !of_resource => Some("Policy statement must contain resources.".to_owned()),
        Purpose::Permissions if of_principal => Some("Policy document should not specify a principal.".to_owned()),
        Purpose::Permissions => {
            let is_named =
                |action: &str| action == "*" || action.split_once(':').is_some_and(|(service, _)| !service.is_empty());
            let actions = texts(&statement["Action"]).chain(texts(&statement["NotAction"]));
            let mut actions = actions.filter(|action| !is_named(action));
            actions
                .next()
                .map(|_| "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.".to_owned())
        }
        Purpose::Trust if of_resource => Some("Has prohibited field Resource".to_owned()),
        Purpose::Trust if !has("Principal") => Some("Missing required field Principal".to_owned()),
        Purpose::Trust => {
            let mut actions = texts(&statement["Action"]);
            let other = actions.any(|action| !action.starts_with("sts:") && action != "*");
            other.then(|| "AssumeRole policy may only specify STS AssumeRole actions.".to_owned())
        }
    }
}

fn unknown<'a>(members: &'a Map<String, Value>, known: &[&str]) -> Option<&'a String> {
    members.keys().find(|name| !known.contains(&name.as_str()))
}

fn texts(value: &Value) -> impl Iterator<Item = &str> {
    let one = value.as_str();
    let many = value.as_array().into_iter().flatten().filter_map(Value::as_str);
    one.into_iter().chain(many)
}

/// The size of a document as it counts: without whitespace.
pub(super) fn size(document: &str) -> usize {
    document.chars().filter(|c| !c.is_whitespace()).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(purpose: Purpose, statement: &str, expected: Option<&str>) {
        let document = format!(r#"{{"Version": "2012-10-17", "Statement": {statement}}}"#);
        assert_eq!(fault(&document, purpose).as_deref(), expected, "{document}");
    }

    #[test]
    fn documents() {
        let permissions = |statement, expected| check(Purpose::Permissions, statement, expected);
        permissions(r#"{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}"#, None);
        permissions(
            r#"[{"Effect": "Deny", "NotAction": ["iam:*"], "NotResource": "*"}]"#,
            None,
        );
        permissions("[]", None);
        permissions(
            r#"{"Effect": "allow", "Action": "s3:*", "Resource": "*"}"#,
            Some("Invalid effect: allow"),
        );
        permissions(
            r#"{"Effect": "Allow", "Action": "s3:*"}"#,
            Some("Policy statement must contain resources."),
        );
        permissions(
            r#"{"Effect": "Allow", "Resource": "*"}"#,
            Some("Policy statement must contain actions."),
        );
        permissions(
            r#"{"Effect": "Allow", "Action": "getobject", "Resource": "*"}"#,
            Some("Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc."),
        );
        permissions(
            r#"{"Effect": "Allow", "Action": "s3:*", "Resource": "*", "Conditions": {}}"#,
            Some("Syntax error at element Conditions."),
        );
        let trust = |statement, expected| check(Purpose::Trust, statement, expected);
        trust(
            r#"{"Effect": "Allow", "Principal": {"Service": "a"}, "Action": "sts:AssumeRole"}"#,
            None,
        );
        trust(
            r#"{"Effect": "Allow", "Principal": "*", "Action": "sts:AssumeRole", "Resource": "*"}"#,
            Some("Has prohibited field Resource"),
        );
        trust(
            r#"{"Effect": "Allow", "Action": "sts:AssumeRole"}"#,
            Some("Missing required field Principal"),
        );
        assert_eq!(
            fault("nope", Purpose::Trust).as_deref(),
            Some("This policy contains invalid Json")
        );
        assert_eq!(
            fault("{}", Purpose::Trust).as_deref(),
            Some("Missing required field Statement")
        );
    }

    #[test]
    fn whitespace_does_not_count() {
        assert_eq!(size("{ \"a\":\n 1 }"), 7);
    }
}
