//! What identity policies allow, told from the documents alone. Careful rather than exact: a condition of an allowing
//! statement counts as met, one of a denying statement as not met. Pure.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html>

use std::collections::BTreeSet;

use crate::aws::policy::document::{Document, Effect, Statement};

/// What a wildcard is filled with to get one resource that a pattern covers. Nothing of a stack is called so.
const FILLER: &str = "0somebody-elses0";

/// Something that is allowed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Allowed {
    /// The action, or a pattern of actions.
    pub action: String,
    /// The resource as the policy writes it.
    pub resource: String,
}

/// Whether an action is allowed on a resource.
pub fn allows(documents: &[&Document], action: &str, resource: &str) -> bool {
    let covers = |statement: &Statement| covers_action(statement, action) && covers_resource(statement, resource);
    statements(documents).any(|one| one.effect == Effect::Allow && covers(one))
        && !is_denied(documents, action, resource)
}

/// On which resources an action is allowed, whichever they are. `foreign` is one of the action's resources that is not the
/// stack's: what `*` stands for.
pub fn allowed_on(documents: &[&Document], action: &str, foreign: &str) -> BTreeSet<String> {
    let allowing = statements(documents).filter(|one| one.effect == Effect::Allow && covers_action(one, action));
    allowing
        .flat_map(|statement| resources(statement, foreign))
        .filter(|(_, instance)| !is_denied(documents, action, instance))
        .map(|(pattern, _)| pattern)
        .collect()
}

/// Actions of allowing statements that are not literally among the known ones: patterns, and everything that is unknown.
pub fn unknown_actions(documents: &[&Document], known: &[&str]) -> BTreeSet<Allowed> {
    let is_known = |action: &str| known.iter().any(|one| one.eq_ignore_ascii_case(action));
    let mut unknown = BTreeSet::new();
    for statement in statements(documents).filter(|one| one.effect == Effect::Allow) {
        let resource = resources(statement, "*")
            .into_iter()
            .map(|(pattern, _)| pattern)
            .collect::<Vec<_>>();
        let others = statement.not_actions.iter().map(|action| format!("all but {action}"));
        let actions = statement.actions.iter().filter(|action| !is_known(action)).cloned();
        unknown.extend(actions.chain(others).map(|action| Allowed {
            action,
            resource: resource.join(" "),
        }));
    }
    unknown
}

fn statements<'a>(documents: &'a [&Document]) -> impl Iterator<Item = &'a Statement> {
    documents.iter().flat_map(|document| document.statements().values())
}

fn is_denied(documents: &[&Document], action: &str, resource: &str) -> bool {
    statements(documents).any(|one| {
        one.effect == Effect::Deny
            && one.conditions.is_empty()
            && covers_action(one, action)
            && covers_resource(one, resource)
    })
}

fn covers_action(statement: &Statement, action: &str) -> bool {
    let action = action.to_ascii_lowercase();
    let matches = |patterns: &BTreeSet<String>| patterns.iter().any(|one| like(&one.to_ascii_lowercase(), &action));
    match statement.not_actions.is_empty() {
        true => matches(&statement.actions),
        false => !matches(&statement.not_actions),
    }
}

fn covers_resource(statement: &Statement, resource: &str) -> bool {
    let matches = |patterns: &BTreeSet<String>| patterns.iter().any(|one| like(&plain(one), resource));
    match statement.not_resources.is_empty() {
        true => matches(&statement.resources),
        false => !matches(&statement.not_resources),
    }
}

/// The resources of a statement as it writes them, each with one that it covers.
fn resources(statement: &Statement, foreign: &str) -> Vec<(String, String)> {
    let all_but = statement
        .not_resources
        .iter()
        .map(|one| (format!("all but {one}"), foreign.to_owned()));
    let named = statement.resources.iter().map(|one| {
        let instance = match one.as_str() {
            "*" => foreign.to_owned(),
            pattern => plain(pattern).replace(['*', '?'], FILLER),
        };
        (one.clone(), instance)
    });
    named.chain(all_but).collect()
}

/// A pattern with its variables (`${aws:username}`) as wildcards.
fn plain(pattern: &str) -> String {
    let mut text = String::new();
    let mut rest = pattern;
    while let Some((before, variable)) = rest.split_once("${") {
        text.push_str(before);
        text.push('*');
        rest = variable.split_once('}').map_or("", |(_, after)| after);
    }
    text.push_str(rest);
    text
}

/// Whether a text is what a pattern with `*` and `?` says.
fn like(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t) = (0, 0);
    let mut star = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(b'?') => (p, t) = (p + 1, t + 1),
            Some(c) if *c == text[t] => (p, t) = (p + 1, t + 1),
            _ => {
                let Some((at, from)) = star else { return false };
                star = Some((at, from + 1));
                (p, t) = (at + 1, from + 1);
            }
        }
    }
    pattern[p..].iter().all(|c| *c == b'*')
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    const FOREIGN: &str = "arn:aws:dynamodb:eu-central-1:123456789012:table/somebody-elses";

    fn check(statements: &str, expected: &[&str]) {
        let document = Document::parse(&format!(r#"{{"Statement": [{statements}]}}"#)).unwrap();
        let found = allowed_on(&[&document], "dynamodb:DeleteTable", FOREIGN);
        assert_eq!(
            found.iter().map(String::as_str).collect::<Vec<_>>(),
            expected,
            "{statements}"
        );
    }

    #[test]
    fn an_action_is_found_on_whatever_it_is_allowed() {
        check("", &[]);
        check(
            r#"{"Effect": "Allow", "Action": "dynamodb:GetItem", "Resource": "*"}"#,
            &[],
        );
        check(
            r#"{"Effect": "Allow", "Action": "dynamodb:delete*", "Resource": "*"}"#,
            &["*"],
        );
        let narrow = "arn:aws:dynamodb:eu-central-1:123456789012:table/pay?oll-*";
        check(
            &format!(r#"{{"Effect": "Allow", "NotAction": "s3:*", "Resource": "{narrow}"}}"#),
            &[narrow],
        );
        check(
            r#"{"Effect": "Allow", "Action": "*", "NotResource": "arn:aws:s3:::b"}"#,
            &["all but arn:aws:s3:::b"],
        );
        check(
            r#"{"Effect": "Allow", "Action": "*", "NotResource": "*"}"#,
            &["all but *"],
        );
    }

    #[test]
    fn a_deny_counts_where_it_holds_without_conditions() {
        let allow = r#"{"Effect": "Allow", "Action": "dynamodb:*", "Resource": "arn:aws:dynamodb:*:*:table/*"}"#;
        let deny = r#""Effect": "Deny", "Action": "dynamodb:DeleteTable""#;
        check(&format!(r#"{allow}, {{{deny}, "Resource": "*"}}"#), &[]);
        check(
            &format!(r#"{allow}, {{{deny}, "Resource": "arn:aws:dynamodb:*:*:table/a"}}"#),
            &["arn:aws:dynamodb:*:*:table/*"],
        );
        check(
            &format!(r#"{allow}, {{{deny}, "Resource": "*", "Condition": {{"Bool": {{"a": "b"}}}}}}"#),
            &["arn:aws:dynamodb:*:*:table/*"],
        );
    }

    #[test]
    fn conditions_of_an_allowing_statement_count_as_met() {
        let document = Document::parse(
            r#"{"Statement": [{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::b/${aws:username}/*",
                "Condition": {"Bool": {"aws:SecureTransport": "true"}}}]}"#,
        )
        .unwrap();
        assert!(allows(&[&document], "s3:GetObject", "arn:aws:s3:::b/anyone/x"));
        assert!(!allows(&[&document], "s3:GetObject", "arn:aws:s3:::other/anyone/x"));
    }

    #[test]
    fn patterns_of_actions_are_never_known() {
        let document = Document::parse(
            r#"{"Statement": [{"Effect": "Allow", "Action": ["s3:getobject", "s3:Get*", "iam:PassRole"], "Resource": "r"}]}"#,
        )
        .unwrap();
        let found = unknown_actions(&[&document], &["s3:GetObject"]);
        let actions: Vec<&str> = found.iter().map(|one| one.action.as_str()).collect();
        assert_eq!(actions, ["iam:PassRole", "s3:Get*"]);
    }
}
