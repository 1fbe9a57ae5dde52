//! Who may invoke a version: the resource-based policy of its alias `v{n}`. A policy belongs to exactly one qualifier,
//! so each version has its own. Statements are added and removed one at a time, never side by side for one function.
//! <https://docs.aws.amazon.com/lambda/latest/dg/access-control-resource-based.html>

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::aws::client::context::Context;
use crate::aws::client::error::{AwsError, ErrorKind};
use crate::aws::client::error::{found, gone};
use crate::aws::client::op::op;
use crate::aws::kinds::apigateway;
use crate::aws::kinds::kind::{Discovered, Fields, Kind, Spec};
use crate::aws::kinds::lambda;
use crate::aws::policy::reach::Reach;
use crate::aws::read::reader::{Cells, Reader};
use crate::plan::{Replacement, Rollback};
use crate::resource::{Observed, Outputs, ResourceId, outputs};

/// The kind.
pub struct LambdaPermission;

/// The policy of one version's alias.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Model {
    /// Name of the function.
    pub function: String,
    /// Fingerprint of the version.
    pub fingerprint: String,
    /// Statements by id.
    pub statements: Statements,
}

/// A statement that allows a service to invoke.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statement {
    /// Service principal, e.g. `apigateway.amazonaws.com`.
    pub principal: String,
    /// ARN pattern of the caller; [`THIS_API`] stands for every stage and route of the stack's API, [`ANYTHING`] for none.
    pub source: String,
    /// What is allowed, where it is not just to invoke; never desired.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// Conditions beside that on the caller's ARN, `operator key` to values; never desired.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub conditions: BTreeMap<String, String>,
}

impl Statement {
    /// Allows a service to invoke on behalf of a source.
    pub fn new(principal: impl Into<String>, source: impl Into<String>) -> Self {
        Self {
            principal: principal.into(),
            source: source.into(),
            action: None,
            conditions: BTreeMap::new(),
        }
    }

    /// Reads a statement of a function's policy.
    fn parse(statement: &Value) -> Self {
        let effect = statement["Effect"].as_str().unwrap_or("Allow");
        let actions = words(&statement["Action"]);
        let action = match (effect, actions.as_str(), &statement["NotAction"]) {
            ("Allow", INVOKE, Value::Null) => None,
            ("Allow", _, Value::Null) => Some(actions),
            (effect, _, Value::Null) => Some(format!("{effect} {actions}")),
            (effect, _, others) => Some(format!("{effect} all but {}", words(others))),
        };
        let mut source = None;
        let mut conditions = BTreeMap::new();
        for (operator, keys) in statement["Condition"].as_object().into_iter().flatten() {
            for (key, values) in keys.as_object().into_iter().flatten() {
                if operator == "ArnLike" && key.eq_ignore_ascii_case("AWS:SourceArn") && source.is_none() {
                    source = Some(words(values));
                } else {
                    conditions.insert(format!("{operator} {key}"), words(values));
                }
            }
        }
        Self {
            principal: principal(statement),
            source: source.unwrap_or_else(|| ANYTHING.to_owned()),
            action,
            conditions,
        }
    }
}

impl fmt::Display for Statement {
    /// `everyone may lambda:* from anything`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let who = match self.principal.as_str() {
            "*" => "everyone",
            principal => principal,
        };
        write!(f, "{who} may {}", self.action.as_deref().unwrap_or(INVOKE))?;
        if self.source != ANYTHING {
            write!(f, " for {}", self.source)?;
        }
        for (condition, values) in &self.conditions {
            write!(f, " if {condition} {values}")?;
        }
        Ok(())
    }
}

/// Statements by id.
pub type Statements = BTreeMap<String, Statement>;

/// Stands for the ARN pattern of the stack's own API, whose id AWS makes.
pub const THIS_API: &str = "this API";
/// Stands for no condition on the caller's ARN.
pub const ANYTHING: &str = "anything";
/// What callers are allowed.
const INVOKE: &str = "lambda:InvokeFunction";

/// Name of the kind.
pub const KIND: &str = "lambda_permission";

static SPEC: Spec = Spec {
    name: KIND,
    title: "invoke permission",
    documentation: "https://docs.aws.amazon.com/lambda/latest/api/API_AddPermission.html",
    read_actions: &["lambda:GetPolicy", "lambda:ListAliases"],
    write_actions: &["lambda:AddPermission", "lambda:RemovePermission"],
    delete_actions: &["lambda:RemovePermission"],
    rollback: Rollback::WithRelease,
    replacement: Replacement::CreateFirst,
    replace_on: &["function"],
    // A hash over the function's variables, too: in a plan it would let its readers try guesses.
    hidden: &["fingerprint"],
    usual: Duration::from_millis(400),
    reads_by_content: true,
    contained_in: Some(lambda::function::KIND),
    reach: Reach::Functions,
    reaches: &[("lambda:AddPermission", Reach::Invokers)],
    ..Spec::of(&lambda::SERVICE)
};

/// ARN pattern of every stage and route of an API.
pub fn api_pattern(context: &Context, api_id: &str) -> String {
    context.identity().arn("execute-api", &format!("{api_id}/*/*"))
}

#[async_trait]
impl Kind for LambdaPermission {
    type Model = Model;

    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn examples(&self) -> Vec<Model> {
        let api = Statement::new("apigateway.amazonaws.com", THIS_API);
        vec![Model {
            function: "shop-dev-tasks".into(),
            fingerprint: "0123456789abcdef".into(),
            statements: BTreeMap::from([("api".to_owned(), api)]),
        }]
    }

    async fn read(
        &self,
        reader: &Reader,
        id: &ResourceId,
        desired: &Model,
    ) -> Result<Option<Observed<Model>>, AwsError> {
        let context = reader.context();
        let found = lambda::version::find(reader, id, &desired.function, &desired.fingerprint).await?;
        let Some(alias) = found else {
            return Ok(None);
        };
        let alias = alias.name();
        let Some(statements) = reader.policy(&desired.function, Some(&alias)).await? else {
            return Ok(None);
        };
        let this_api = match reader.api().await? {
            Some(api) => api_pattern(context, api.id()),
            None => String::new(),
        };
        let statements = statements
            .into_iter()
            .map(|(sid, mut statement)| {
                if statement.source == this_api {
                    statement.source = THIS_API.to_owned();
                }
                (sid, statement)
            })
            .collect();
        Ok(Some(Observed::ours(
            Model {
                statements,
                ..desired.clone()
            },
            outputs([("function", desired.function.clone()), ("alias", alias)]),
        )))
    }

    async fn enumerate(&self, _: &Reader) -> Result<Vec<Discovered>, AwsError> {
        // A version's policy goes with the version.
        Ok(Vec::new())
    }

    async fn create(&self, context: &Context, id: &ResourceId, desired: &Model) -> Result<Outputs, AwsError> {
        let alias = match context.output(&ResourceId::new(lambda::version::KIND, id.name.clone()), "alias") {
            Ok(alias) => alias,
            // A version of a former release: it is not part of this run.
            Err(unmade) => {
                let reader = Reader::confirming(context.clone());
                let found = lambda::version::find(&reader, id, &desired.function, &desired.fingerprint).await?;
                found.ok_or(unmade)?.name()
            }
        };
        let _turn = context.serial(format!("lambda/{}", desired.function)).await;
        for (sid, statement) in &desired.statements {
            match add(context, &desired.function, &alias, sid, statement).await {
                Err(error) if error.kind == ErrorKind::AlreadyExists => {
                    let present = read_policy(context, &desired.function, Some(&alias)).await?;
                    if present.and_then(|mut all| all.remove(sid)) != Some(with_source(context, statement)?) {
                        replace(context, &desired.function, &alias, sid, statement).await?;
                    }
                }
                other => other?,
            }
        }
        context.grant(&id.name);
        Ok(outputs([("function", desired.function.clone()), ("alias", alias)]))
    }

    async fn update(
        &self,
        context: &Context,
        id: &ResourceId,
        desired: &Model,
        observed: &Observed<Model>,
        _: &Fields,
    ) -> Result<Outputs, AwsError> {
        let function = &desired.function;
        let alias = observed.outputs.get("alias").cloned().unwrap_or_default();
        let _turn = context.serial(format!("lambda/{function}")).await;
        // The alias may have traffic: what is wanted comes before what is not goes.
        for (sid, statement) in &desired.statements {
            match observed.model.statements.get(sid) {
                None => add(context, function, &alias, sid, statement).await?,
                Some(present) if present != statement => replace(context, function, &alias, sid, statement).await?,
                Some(_) => continue,
            }
            context.grant(&id.name);
        }
        let spare = observed.model.statements.keys();
        for sid in spare.filter(|sid| !desired.statements.contains_key(*sid)) {
            remove(context, function, Some(&alias), sid).await?;
        }
        Ok(observed.outputs.clone())
    }

    async fn delete(&self, context: &Context, _: &ResourceId, outputs: &Outputs) -> Result<(), AwsError> {
        let (Some(function), Some(alias)) = (outputs.get("function"), outputs.get("alias")) else {
            return Ok(());
        };
        let _turn = context.serial(format!("lambda/{function}")).await;
        let policy = read_policy(context, function, Some(alias)).await?;
        for sid in policy.unwrap_or_default().keys() {
            remove(context, function, Some(alias), sid).await?;
        }
        Ok(())
    }
}

/// A statement as AWS has it: with the ARN pattern of this API.
fn with_source(context: &Context, statement: &Statement) -> Result<Statement, AwsError> {
    let mut statement = statement.clone();
    if statement.source == THIS_API {
        let api = context.output(&ResourceId::new(apigateway::api::KIND, "api"), "api_id")?;
        statement.source = api_pattern(context, &api);
    }
    Ok(statement)
}

/// Replaces a statement under its id. A second one stands in while there is none, so that no call is refused.
async fn replace(
    context: &Context,
    function: &str,
    alias: &str,
    sid: &str,
    statement: &Statement,
) -> Result<(), AwsError> {
    let stand_in = format!("{sid}-new");
    match add(context, function, alias, &stand_in, statement).await {
        // An earlier run was cut off here.
        Err(error) if error.kind == ErrorKind::AlreadyExists => {
            remove(context, function, Some(alias), &stand_in).await?;
            add(context, function, alias, &stand_in, statement).await?;
        }
        other => other?,
    }
    remove(context, function, Some(alias), sid).await?;
    add(context, function, alias, sid, statement).await?;
    remove(context, function, Some(alias), &stand_in).await
}

async fn add(context: &Context, function: &str, alias: &str, sid: &str, statement: &Statement) -> Result<(), AwsError> {
    let client = &context.clients().lambda;
    let Statement { principal, source, .. } = with_source(context, statement)?;
    context
        .call(op("lambda", "AddPermission").just_made(), || {
            client
                .add_permission()
                .function_name(function)
                .qualifier(alias)
                .statement_id(sid)
                .action(INVOKE)
                .principal(&principal)
                .source_arn(&source)
                .send()
        })
        .await
        .map(drop)
}

/// Removes a statement from the policy of an alias, or of the function itself.
pub(in crate::aws) async fn remove(
    context: &Context,
    function: &str,
    qualifier: Option<&str>,
    sid: &str,
) -> Result<(), AwsError> {
    let client = &context.clients().lambda;
    let removed = context
        .call(op("lambda", "RemovePermission"), || {
            client
                .remove_permission()
                .function_name(function)
                .set_qualifier(qualifier.map(str::to_owned))
                .statement_id(sid)
                .send()
        })
        .await;
    gone(removed.map(drop))
}

/// Policies that a reader has read, by function and alias.
#[derive(Default)]
struct Policies(Cells<(String, Option<String>), Option<Statements>>);

impl Reader {
    /// Who may call an alias, or the function itself; none = nobody beside the account.
    pub(in crate::aws) async fn policy(
        &self,
        function: &str,
        alias: Option<&str>,
    ) -> Result<Option<Statements>, AwsError> {
        let policies = self.extension::<Policies>();
        let key = (function.to_owned(), alias.map(str::to_owned));
        policies.0.get(key, read_policy(self.context(), function, alias)).await
    }
}

/// The statements of the policy of a version, an alias, or of the function itself; none when it has no policy or is not
/// there.
/// <https://docs.aws.amazon.com/lambda/latest/api/API_GetPolicy.html>
pub async fn read_policy(
    context: &Context,
    function: &str,
    qualifier: Option<&str>,
) -> Result<Option<Statements>, AwsError> {
    let client = &context.clients().lambda;
    let answer = context
        .call(op("lambda", "GetPolicy"), || {
            let policy = client.get_policy().function_name(function);
            policy.set_qualifier(qualifier.map(str::to_owned)).send()
        })
        .await;
    let Some(text) = found(answer)?.and_then(|answer| answer.policy) else {
        return Ok(None);
    };
    Ok(Some(statements(&text)))
}

/// The statements of a policy document. One without a name gets its place.
fn statements(policy: &str) -> Statements {
    let policy: Value = serde_json::from_str(policy).unwrap_or_default();
    let all = match &policy["Statement"] {
        one @ Value::Object(_) => std::slice::from_ref(one),
        Value::Array(all) => all,
        _ => &[],
    };
    let named = all.iter().enumerate().map(|(place, statement)| {
        let sid = statement["Sid"].as_str().filter(|sid| !sid.is_empty());
        let sid = sid.map_or_else(|| format!("#{}", place + 1), str::to_owned);
        (sid, Statement::parse(statement))
    });
    named.collect()
}

fn principal(statement: &Value) -> String {
    match &statement["Principal"] {
        Value::String(text) => text.clone(),
        kinds @ Value::Object(_) => {
            let all = words(kinds);
            match all.split(' ').any(|who| who == "*") {
                true => "*".to_owned(),
                false => all,
            }
        }
        _ => format!("all but {}", words(&statement["NotPrincipal"])),
    }
}

/// A string, or the strings of a list or of an object's members.
fn words(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(all) => all.iter().map(words).collect::<Vec<_>>().join(" "),
        Value::Object(members) => members.values().map(words).collect::<Vec<_>>().join(" "),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parking_lot::Mutex;
    use serde_json::json;

    use super::*;
    use crate::aws::client::context::tests::{context_over, identity};
    use crate::aws::client::fake::clients;

    fn check(statement: &str, expected: &str) {
        let found = statements(&format!(r#"{{"Statement": [{statement}]}}"#));
        let shown: Vec<String> = found.iter().map(|(sid, one)| format!("{sid}: {one}")).collect();
        assert_eq!(shown, [expected], "{statement}");
    }

    #[test]
    fn statements_are_read_whole() {
        let ours = r#"{"Sid":"api","Effect":"Allow","Principal":{"Service":"apigateway.amazonaws.com"},"Action":"lambda:InvokeFunction","Resource":"r","Condition":{"ArnLike":{"AWS:SourceArn":"arn:x"}}}"#;
        check(
            ours,
            "api: apigateway.amazonaws.com may lambda:InvokeFunction for arn:x",
        );
        let read = statements(&format!(r#"{{"Statement": {ours}}}"#));
        assert_eq!(read["api"], Statement::new("apigateway.amazonaws.com", "arn:x"));
        check(
            r#"{"Sid":"open","Effect":"Allow","Principal":"*","Action":"lambda:*","Resource":"r"}"#,
            "open: everyone may lambda:*",
        );
        check(
            r#"{"Effect":"Allow","Principal":{"AWS":["*","arn:aws:iam::1:root"]},"Action":["lambda:A","lambda:B"],"Resource":"r"}"#,
            "#1: everyone may lambda:A lambda:B",
        );
        check(
            r#"{"Sid":"org","Effect":"Allow","Principal":"*","Action":"lambda:InvokeFunction","Resource":"r","Condition":{"StringEquals":{"aws:PrincipalOrgID":"o-1"},"ArnLike":{"AWS:SourceArn":"arn:x"}}}"#,
            "org: everyone may lambda:InvokeFunction for arn:x if StringEquals aws:PrincipalOrgID o-1",
        );
        check(
            r#"{"Sid":"not","Effect":"Allow","NotPrincipal":{"AWS":"a"},"NotAction":"lambda:X","Resource":"r"}"#,
            "not: all but a may Allow all but lambda:X",
        );
    }

    /// What is called of a version's policy that has the statement `present` (a source) under the id that is wanted.
    async fn calls(present: &'static str, is_update: bool) -> Vec<String> {
        let made = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&made);
        let policy = move || {
            let statement = json!({
                "Sid": "api", "Effect": "Allow", "Principal": {"Service": "apigateway.amazonaws.com"}, "Action": INVOKE,
                "Resource": "r", "Condition": {"ArnLike": {"AWS:SourceArn": present}},
            });
            json!({"Policy": json!({"Statement": [statement]}).to_string()})
        };
        let fake = clients("eu-central-1", move |call| {
            let (verb, path) = call.operation.split_once(' ').expect("a method and a path");
            let body: Value = serde_json::from_slice(&call.body).unwrap_or_default();
            match (verb, body["StatementId"].as_str()) {
                ("GET", _) => return (200, policy().to_string().into_bytes()),
                ("POST", Some(sid)) => {
                    seen.lock().push(format!("add {sid}"));
                    let is_there = sid == "api" && !seen.lock().contains(&"remove api".to_owned());
                    if is_there {
                        let refused = json!({
                            "Type": "User", "message": "The statement id (api) provided already exists.",
                            "__type": "ResourceConflictException",
                        });
                        return (409, refused.to_string().into_bytes());
                    }
                }
                ("DELETE", _) => {
                    let sid = path.rsplit('/').next().unwrap_or_default();
                    seen.lock().push(format!("remove {sid}"));
                }
                other => panic!("not expected: {other:?}"),
            }
            (201, b"{}".to_vec())
        });
        let context = context_over(identity(), fake);
        let id = ResourceId::new(KIND, "tasks");
        let version = ResourceId::new(lambda::version::KIND, "tasks");
        context.learn(&version, outputs([("alias", "v3".to_owned())]));
        let model = |source: &str| Model {
            function: "shop-dev-tasks".to_owned(),
            fingerprint: "f".to_owned(),
            statements: BTreeMap::from([("api".to_owned(), Statement::new("apigateway.amazonaws.com", source))]),
        };
        let desired = model("arn:x");
        match is_update {
            true => {
                let observed = Observed::ours(model(present), outputs([("alias", "v3".to_owned())]));
                let fields = Fields::default();
                LambdaPermission
                    .update(&context, &id, &desired, &observed, &fields)
                    .await
            }
            false => LambdaPermission.create(&context, &id, &desired).await,
        }
        .expect("it is done");
        made.lock().clone()
    }

    #[tokio::test(start_paused = true)]
    async fn a_permission_of_an_alias_with_traffic_is_never_missing() {
        assert_eq!(calls("arn:x", false).await, ["add api"]);
        let replaced = ["add api-new", "remove api", "add api", "remove api-new"];
        let refused_first: Vec<&str> = std::iter::once("add api").chain(replaced).collect();
        assert_eq!(calls("arn:y", false).await, refused_first);
        assert_eq!(calls("arn:y", true).await, replaced);
    }
}
