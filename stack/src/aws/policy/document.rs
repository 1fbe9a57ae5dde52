//! IAM policy documents as data: parsed and normalised so that documents that mean the same are equal, printed, and held
//! against IAM's limits. Pure. Which permissions a function gets stands in [`crate::aws::policy::grants`].
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements.html>

use std::collections::{BTreeMap, BTreeSet};

use percent_encoding::percent_decode_str;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// Characters of all inline policies of a role together, white space not counted.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html>
pub const INLINE_LIMIT: usize = 10_240;

/// Characters of a role's trust policy, unless the account's quota was raised. Same page.
pub const TRUST_LIMIT: usize = 2_048;

/// What the keys of statements without a Sid begin with; no Sid can.
const NAMELESS: char = '#';

/// A document: its statements by Sid, which is unique within a document. Statements without one are numbered.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Document {
    statements: BTreeMap<String, Statement>,
}

/// One statement. Order and repetition mean nothing in IAM, hence sets.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Statement {
    /// Allow or deny.
    pub effect: Effect,
    /// Who, by type of principal (`Service`, `AWS`, …; `*` for everyone).
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub principals: BTreeMap<String, BTreeSet<String>>,
    /// Everyone but these.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub not_principals: BTreeMap<String, BTreeSet<String>>,
    /// Actions, `service:Operation`.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub actions: BTreeSet<String>,
    /// All actions but these.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub not_actions: BTreeSet<String>,
    /// ARNs.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub resources: BTreeSet<String>,
    /// All resources but these.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub not_resources: BTreeSet<String>,
    /// Values by operator and key.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub conditions: BTreeMap<String, BTreeMap<String, BTreeSet<String>>>,
}

/// What a statement does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Effect {
    /// Allows.
    #[default]
    Allow,
    /// Denies, whatever else allows.
    Deny,
}

/// A document that IAM would not take.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A character outside tab, line feed, carriage return and U+0020–U+00FF.
    #[error("the policy contains `{character}` in `{text}`; IAM takes Latin-1 characters only")]
    Character {
        /// The character.
        character: char,
        /// The text it stands in.
        text: String,
    },
    /// More than the quota.
    #[error(
        "the policy has {length} characters, IAM takes {limit}; split the function, or grant it on fewer tables and buckets"
    )]
    Length {
        /// Characters, white space not counted.
        length: usize,
        /// Characters allowed.
        limit: usize,
    },
}

/// Text that is no policy document.
#[derive(Debug, thiserror::Error)]
pub enum ParseError {
    /// Not JSON.
    #[error("the policy document is not JSON")]
    Json(#[from] serde_json::Error),
    /// JSON of another shape.
    #[error("the policy document has no list of statements")]
    Shape,
}

impl Document {
    /// A document of these statements, by Sid (`[0-9A-Za-z]*`). Of two with the same Sid the later is renamed.
    pub fn new(statements: impl IntoIterator<Item = (String, Statement)>) -> Self {
        let mut document = Self::default();
        for (sid, statement) in statements {
            let free = (2..)
                .map(|n| format!("{sid}x{n}"))
                .find(|sid| !document.statements.contains_key(sid));
            let key = if document.statements.contains_key(&sid) {
                free.unwrap_or(sid)
            } else {
                sid
            };
            document.statements.insert(key, statement);
        }
        document
    }

    /// A trust policy that lets AWS services take on the role.
    pub fn trusting(services: &[&str]) -> Self {
        let principals = BTreeMap::from([("Service".to_owned(), services.iter().map(|&s| s.to_owned()).collect())]);
        let actions = BTreeSet::from(["sts:AssumeRole".to_owned()]);
        Self::new([(
            "Assume".to_owned(),
            Statement {
                principals,
                actions,
                ..Statement::default()
            },
        )])
    }

    /// Reads a document, URL-encoded as IAM returns it or plain.
    /// <https://docs.aws.amazon.com/IAM/latest/APIReference/API_GetRolePolicy.html>
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        let plain = if text.trim_start().starts_with('{') {
            text.into()
        } else {
            percent_decode_str(text).decode_utf8_lossy()
        };
        let document: Value = serde_json::from_str(&plain)?;
        let statements = match document.get("Statement") {
            Some(Value::Array(statements)) => statements.as_slice(),
            Some(statement @ Value::Object(_)) => std::slice::from_ref(statement),
            Some(_) | None => return Err(ParseError::Shape),
        };
        Ok(Self::new(statements.iter().enumerate().map(|(index, statement)| {
            let sid = statement
                .get("Sid")
                .and_then(Value::as_str)
                .filter(|sid| !sid.is_empty());
            (
                sid.map_or_else(|| format!("{NAMELESS}{}", index + 1), str::to_owned),
                Statement::parse(statement),
            )
        })))
    }

    /// The document as IAM takes it.
    pub fn to_json(&self) -> String {
        let statements: Vec<Value> = self
            .statements
            .iter()
            .map(|(sid, statement)| statement.to_json(sid))
            .collect();
        json!({"Version": "2012-10-17", "Statement": statements}).to_string()
    }

    /// Whether it says nothing.
    pub fn is_empty(&self) -> bool {
        self.statements.is_empty()
    }

    /// Statements by Sid.
    pub fn statements(&self) -> &BTreeMap<String, Statement> {
        &self.statements
    }

    /// The statements that `other` does not have.
    pub fn without(&self, other: &Self) -> Self {
        let lost = |statement: &&Statement| !other.statements.values().any(|one| one == *statement);
        let left = self.statements.iter().filter(|(_, statement)| lost(statement));
        Self {
            statements: left.map(|(sid, statement)| (sid.clone(), statement.clone())).collect(),
        }
    }

    /// The statements that `other` has, too.
    pub fn common(&self, other: &Self) -> Self {
        self.without(&self.without(other))
    }

    /// These statements and those of `other`.
    pub fn with(&self, other: &Self) -> Self {
        let more = other.without(self).statements;
        Self::new(self.statements.clone().into_iter().chain(more))
    }

    /// Whether IAM would take it within a limit of characters.
    pub fn lint(&self, limit: usize) -> Result<(), Fault> {
        let text = self.to_json();
        let allowed = |c: char| matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{ff}');
        if let Some(character) = text.chars().find(|&c| !allowed(c)) {
            let text = text
                .split('"')
                .find(|part| part.contains(character))
                .unwrap_or_default()
                .to_owned();
            return Err(Fault::Character { character, text });
        }
        let length = text.chars().filter(|c| !c.is_whitespace()).count();
        if length > limit {
            Err(Fault::Length { length, limit })
        } else {
            Ok(())
        }
    }
}

impl Statement {
    /// Allows actions on resources.
    pub fn allow(actions: &[&str], resources: impl IntoIterator<Item = String>) -> Self {
        Self {
            actions: actions.iter().map(|&action| action.to_owned()).collect(),
            resources: resources.into_iter().collect(),
            ..Self::default()
        }
    }

    fn parse(value: &Value) -> Self {
        Self {
            effect: match value.get("Effect").and_then(Value::as_str) {
                Some("Deny") => Effect::Deny,
                Some(_) | None => Effect::Allow,
            },
            principals: principals(value.get("Principal")),
            not_principals: principals(value.get("NotPrincipal")),
            actions: texts(value.get("Action")),
            not_actions: texts(value.get("NotAction")),
            resources: texts(value.get("Resource")),
            not_resources: texts(value.get("NotResource")),
            conditions: by_name(value.get("Condition"), |keys| {
                by_name(Some(keys), |values| texts(Some(values)))
            }),
        }
    }

    fn to_json(&self, sid: &str) -> Value {
        let Self {
            effect,
            principals,
            not_principals,
            actions,
            not_actions,
            resources,
            not_resources,
            conditions,
        } = self;
        let mut out = Map::new();
        if !sid.starts_with(NAMELESS) {
            out.insert("Sid".to_owned(), json!(sid));
        }
        out.insert("Effect".to_owned(), json!(effect));
        for (name, principals) in [("Principal", principals), ("NotPrincipal", not_principals)] {
            if principals.keys().eq(["*"]) {
                out.insert(name.to_owned(), json!("*"));
            } else if !principals.is_empty() {
                out.insert(name.to_owned(), json!(principals));
            }
        }
        for (name, set) in [
            ("Action", actions),
            ("NotAction", not_actions),
            ("Resource", resources),
            ("NotResource", not_resources),
        ] {
            if !set.is_empty() {
                out.insert(name.to_owned(), json!(set));
            }
        }
        if !conditions.is_empty() {
            out.insert("Condition".to_owned(), json!(conditions));
        }
        Value::Object(out)
    }
}

fn principals(value: Option<&Value>) -> BTreeMap<String, BTreeSet<String>> {
    match value {
        Some(Value::String(everyone)) => BTreeMap::from([(everyone.clone(), BTreeSet::from([everyone.clone()]))]),
        other => by_name(other, |values| texts(Some(values))),
    }
}

/// A string, or an array of them; booleans and numbers count as what they read.
fn texts(value: Option<&Value>) -> BTreeSet<String> {
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    match value {
        None | Some(Value::Null) => BTreeSet::new(),
        Some(Value::Array(values)) => values.iter().map(text).collect(),
        Some(value) => BTreeSet::from([text(value)]),
    }
}

fn by_name<T>(value: Option<&Value>, inner: impl Fn(&Value) -> T) -> BTreeMap<String, T> {
    value
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .map(|(name, value)| (name.clone(), inner(value)))
        .collect()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check_same(a: &str, b: &str) {
        assert_eq!(Document::parse(a).unwrap(), Document::parse(b).unwrap());
    }

    #[test]
    fn order_repetition_and_arrays_of_one_mean_nothing() {
        check_same(
            r#"{"Statement":{"Sid":"A","Effect":"Allow","Action":"s3:GetObject","Resource":["x"]}}"#,
            r#"{"Version":"2012-10-17","Statement":[{"Resource":"x","Action":["s3:GetObject","s3:GetObject"],"Effect":"Allow","Sid":"A"}]}"#,
        );
        check_same(
            r#"{"Statement":[{"Sid":"A","Effect":"Deny","Action":["b:B","a:A"],"Resource":"*","Condition":{"Bool":{"aws:SecureTransport":false}}}]}"#,
            r#"{"Statement":[{"Sid":"A","Effect":"Deny","Action":["a:A","b:B"],"Resource":"*","Condition":{"Bool":{"aws:SecureTransport":["false"]}}}]}"#,
        );
    }

    #[test]
    fn encoded_documents_are_read() {
        let plain = Document::trusting(&["lambda.amazonaws.com"]);
        let encoded: String =
            percent_encoding::utf8_percent_encode(&plain.to_json(), percent_encoding::NON_ALPHANUMERIC).collect();
        assert_eq!(Document::parse(&encoded).unwrap(), plain);
    }

    #[test]
    fn a_trust_policy_is_printed() {
        insta::assert_snapshot!(
            Document::trusting(&["lambda.amazonaws.com"]).to_json(),
            @r#"{"Version":"2012-10-17","Statement":[{"Sid":"Assume","Effect":"Allow","Principal":{"Service":["lambda.amazonaws.com"]},"Action":["sts:AssumeRole"]}]}"#
        );
    }

    #[test]
    fn what_iam_refuses_is_found() {
        let with = |resource: &str| {
            Document::new([(
                "A".to_owned(),
                Statement::allow(&["s3:GetObject"], [resource.to_owned()]),
            )])
        };
        assert_eq!(with("arn:aws:s3:::büro").lint(INLINE_LIMIT), Ok(()));
        assert_eq!(
            with("arn:aws:s3:::a→b").lint(INLINE_LIMIT).unwrap_err().to_string(),
            "the policy contains `→` in `arn:aws:s3:::a→b`; IAM takes Latin-1 characters only"
        );
        let long = with(&"x".repeat(3_000));
        assert!(matches!(
            long.lint(TRUST_LIMIT),
            Err(Fault::Length {
                length: 3_000..,
                limit: TRUST_LIMIT
            })
        ));
        assert_eq!(long.lint(INLINE_LIMIT), Ok(()));
    }

    #[test]
    fn statements_of_one_name_are_both_kept() {
        let statement = |action| Statement::allow(&[action], ["*".to_owned()]);
        let document = Document::new([("A".to_owned(), statement("a:A")), ("A".to_owned(), statement("b:B"))]);
        assert_eq!(document.statements().keys().collect::<Vec<_>>(), ["A", "Ax2"]);
    }

    #[test]
    fn text_that_is_no_document_is_refused() {
        assert!(matches!(Document::parse("hello"), Err(ParseError::Json(_))));
        assert!(matches!(Document::parse("{}"), Err(ParseError::Shape)));
    }

    fn texts() -> impl Strategy<Value = BTreeSet<String>> {
        prop::collection::btree_set("[a-z]{1,3}:[A-Za-z*%\"/]{1,6}", 0..3)
    }

    fn maps() -> impl Strategy<Value = BTreeMap<String, BTreeSet<String>>> {
        prop::collection::btree_map(
            "[A-Z][a-z]{1,4}",
            prop::collection::btree_set("[a-z.*]{1,6}", 1..3),
            0..2,
        )
    }

    prop_compose! {
        fn statement()(
            deny: bool,
            principals in maps(),
            actions in texts(),
            not_actions in texts(),
            resources in texts(),
            conditions in prop::collection::btree_map("[A-Z][a-z]{1,4}", maps(), 0..2),
        ) -> Statement {
            let effect = if deny { Effect::Deny } else { Effect::Allow };
            Statement { effect, principals, actions, not_actions, resources, conditions, ..Statement::default() }
        }
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read(statements in prop::collection::btree_map("[A-Z][A-Za-z0-9]{0,5}", statement(), 1..4)) {
            let document = Document::new(statements);
            prop_assert_eq!(Document::parse(&document.to_json()).unwrap(), document);
        }
    }
}
