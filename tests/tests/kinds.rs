//! What every resource kind that stands alone must do, over HTTP: an example plans to Create; what was created then plans to
//! NoOp; every single-field change is seen, applied, and then NoOp; deleting twice succeeds.

mod extras;
mod stores;

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;
use taskctl_stack::aws::client::cancel::Cancel;
use taskctl_stack::aws::client::clients::{Clients, Connection};
use taskctl_stack::aws::client::context::{Clock, Context};
use taskctl_stack::aws::client::error::ErrorKind;
use taskctl_stack::aws::client::identity::Identity;
use taskctl_stack::aws::kinds::kind::{AnyKind, Fields};
use taskctl_stack::aws::kinds::registry::services;
use taskctl_stack::aws::read::reader::Reader;
use taskctl_stack::aws::registry;
use taskctl_stack::event::Recorder;
use taskctl_stack::plan::{Action, Observations, Plan, Request, build};
use taskctl_stack::resource::{Observed, Outputs, Ownership, Resource, ResourceId};
use taskctl_tests::Local;

/// Kinds that stand alone: nothing else must exist before them.
const ALONE: &[&str] = &["dynamodb_table", "s3_bucket", "sns_topic", "iam_role", "warmup_rule"];

/// Some calls differ between the first region and the rest, where the other tests are.
const REGION: &str = "us-east-1";

/// How long something on its way may take.
const PATIENCE: Duration = Duration::from_secs(120);

struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> jiff::Timestamp {
        jiff::Timestamp::now()
    }

    fn since_boot(&self) -> Duration {
        static BEGAN: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(Instant::now);
        BEGAN.elapsed()
    }
}

/// One kind under test.
struct Bench {
    context: Context,
    kind: &'static dyn AnyKind,
    id: ResourceId,
}

impl Bench {
    fn name(&self) -> &'static str {
        self.kind.spec().name
    }

    async fn read(&self, desired: &Value) -> Option<Observed> {
        self.kind
            .read(&Reader::new(self.context.clone()), &self.id, desired)
            .await
            .unwrap()
    }

    /// Reads until nothing of a field is on its way.
    async fn settled(&self, desired: &Value, field: &str) -> Option<Observed> {
        let began = Instant::now();
        loop {
            let observed = self.read(desired).await;
            let moving = observed
                .iter()
                .flat_map(|one| &one.pending)
                .any(|pending| pending.field == field);
            if !moving {
                return observed;
            }
            assert!(
                began.elapsed() < PATIENCE,
                "{}: {field} is still on its way: {observed:?}",
                self.name()
            );
            tokio::task::yield_now().await;
        }
    }

    async fn plan(&self, desired: &Value) -> Plan {
        self.plan_from(self.read(desired).await, desired)
    }

    fn plan_from(&self, observed: Option<Observed>, desired: &Value) -> Plan {
        if let Some(observed) = &observed {
            assert_eq!(observed.ownership, Ownership::Ours, "{}", self.name());
        }
        let resource = Resource {
            id: self.id.clone(),
            desired: desired.clone(),
            depends_on: Vec::new(),
        };
        let observed: Observations = observed.into_iter().map(|one| (self.id.clone(), one)).collect();
        build(
            &Request {
                resources: vec![resource],
                orphans: Vec::new(),
            },
            &observed,
            registry(),
        )
    }

    async fn expect_nothing(&self, desired: &Value, after: &str) {
        let plan = self.plan(desired).await;
        assert!(
            !plan.has_changes(),
            "{} after {after}: {:#?}",
            self.name(),
            plan.steps[0].action.changes()
        );
    }

    /// Creates as the engine does: what exists already is brought to what is desired.
    async fn create(&self, desired: &Value) {
        let plan = self.plan(desired).await;
        assert!(
            matches!(plan.steps[0].action, Action::Create { .. }),
            "{}: {:?}",
            self.name(),
            plan.steps[0].action.verb()
        );
        match self.kind.create(&self.context, &self.id, desired).await {
            Ok(outputs) => self.context.learn(&self.id, outputs),
            Err(error) if error.kind == ErrorKind::AlreadyExists => self.apply(desired, None).await,
            Err(error) => panic!("{}: {error}", self.name()),
        }
    }

    async fn apply(&self, desired: &Value, expected: Option<&str>) {
        // What the tagging API says may be some seconds old: then the change shows a little later.
        let began = Instant::now();
        let (observed, plan) = loop {
            let observed = self.read(desired).await.unwrap();
            let plan = self.plan_from(Some(observed.clone()), desired);
            if plan.has_changes() || expected.is_none() || began.elapsed() > PATIENCE {
                break (observed, plan);
            }
        };
        let changes = plan.steps[0].action.changes();
        if let Some(field) = expected {
            let seen = |path: &str| {
                path.strip_prefix(field)
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
            };
            assert!(!changes.is_empty(), "{}: a change of {field} is seen", self.name());
            assert!(
                changes.iter().all(|change| seen(&change.field)),
                "{}: only {field} changes: {changes:#?}",
                self.name()
            );
        }
        let outputs = self
            .kind
            .update(&self.context, &self.id, desired, &observed, &Fields::new(changes))
            .await;
        self.context.learn(
            &self.id,
            outputs.unwrap_or_else(|error| panic!("{}: {expected:?}: {error}", self.name())),
        );
    }

    async fn delete(&self, desired: &Value) {
        let outputs = match self.read(desired).await {
            Some(observed) => observed.outputs,
            None => self.context.outputs(&self.id),
        };
        self.kind
            .delete(&self.context, &self.id, &outputs)
            .await
            .unwrap_or_else(|error| panic!("{}: {error}", self.name()));
    }
}

async fn connect(local: &Local) -> Context {
    let connection = Connection {
        region: REGION.to_owned(),
        endpoint_url: Some(local.endpoint()),
        credentials: Some(local.credentials()),
        ..Connection::default()
    };
    let clients = Clients::connect(&connection).await.expect("no profile is asked for");
    let account = clients.sts.get_caller_identity().send().await.unwrap().account.unwrap();
    let identity = Identity {
        app: "shop".to_owned(),
        stage: "dev".to_owned(),
        region: REGION.to_owned(),
        account,
        partition: "aws".to_owned(),
    };
    Context::new(
        identity,
        clients,
        services(),
        Arc::new(Recorder::default()),
        Arc::new(SystemClock),
        Cancel::default(),
    )
}

/// An example as it would be in this stack: our tags, this account.
fn ours(example: &Value, context: &Context) -> Value {
    let text = example.to_string().replace("000000000000", &context.identity().account);
    let mut model: Value = serde_json::from_str(&text).unwrap();
    if let Some(Value::Object(tags)) = model.get_mut("tags") {
        tags.extend(
            context
                .identity()
                .tags()
                .into_iter()
                .map(|(key, value)| (key, Value::from(value))),
        );
    }
    model
}

async fn check(bench: &Bench) {
    let examples: Vec<Value> = bench
        .kind
        .examples()
        .iter()
        .map(|example| ours(example, &bench.context))
        .collect();
    let [small, full] = examples.as_slice() else {
        panic!("{} has a small and a full example", bench.name())
    };
    for example in [small, full] {
        bench.create(example).await;
        bench.expect_nothing(example, "create").await;
        let found = bench.kind.enumerate(&Reader::new(bench.context.clone())).await.unwrap();
        let outputs = bench.read_outputs(example).await;
        assert!(
            found.iter().any(|one| one.outputs.get("name") == outputs.get("name")),
            "{}: {found:?}",
            bench.name()
        );
        if example == full {
            single_changes(bench, small, full).await;
        }
        let unprotected = unprotected(example);
        if unprotected != *example {
            let refused = bench
                .kind
                .delete(&bench.context, &bench.id, &bench.read_outputs(example).await)
                .await;
            assert_eq!(
                refused.unwrap_err().kind,
                ErrorKind::Invalid,
                "{}: protected",
                bench.name()
            );
            bench.apply(&unprotected, None).await;
        }
        let outputs = bench.read_outputs(example).await;
        bench.delete(example).await;
        bench.kind.delete(&bench.context, &bench.id, &outputs).await.unwrap();
        assert_eq!(bench.read(example).await, None, "{}", bench.name());
    }
}

impl Bench {
    async fn read_outputs(&self, desired: &Value) -> Outputs {
        self.read(desired).await.unwrap().outputs
    }
}

/// The model without what makes AWS refuse its deletion.
fn unprotected(model: &Value) -> Value {
    let mut model = model.clone();
    if let Some(protection) = model.get_mut("deletion_protection") {
        *protection = Value::Bool(false);
    }
    model
}

async fn single_changes(bench: &Bench, small: &Value, full: &Value) {
    let replaced = bench.kind.spec().replace_on;
    for (field, value) in small.as_object().unwrap() {
        if full[field] == *value || replaced.contains(&field.as_str()) {
            continue;
        }
        let mut changed = full.clone();
        changed[field] = value.clone();
        for (desired, way) in [(&changed, "there"), (full, "back")] {
            let observed = bench.settled(desired, field).await.unwrap();
            let part = format!("{field}.");
            // An address that nobody has confirmed cannot be taken away.
            if !observed.pending.iter().any(|pending| pending.field.starts_with(&part)) {
                bench.apply(desired, Some(field)).await;
            }
            bench.expect_nothing(desired, &format!("{field} {way}")).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_does_what_a_kind_must() {
    let local = Local::shared();
    for name in ALONE {
        check(&Bench {
            context: connect(&local).await,
            kind: registry().kind(name),
            id: ResourceId::new(*name, "example"),
        })
        .await;
    }
}

/// What somebody added to a role by hand is seen and goes.
#[tokio::test(flavor = "multi_thread")]
async fn policies_added_to_a_role_by_hand_go() {
    let local = Local::shared();
    let bench = Bench {
        context: connect(&local).await,
        kind: registry().kind("iam_role"),
        id: ResourceId::new("iam_role", "by-hand"),
    };
    let mut desired = ours(&bench.kind.examples()[0], &bench.context);
    desired["name"] = Value::from("shop-dev-by-hand-us-east-1");
    bench.create(&desired).await;
    let iam = &bench.context.clients().iam;
    let (role, policy) = (
        "shop-dev-by-hand-us-east-1",
        r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"*"}]}"#,
    );
    let reworded = r#"{"Statement":{"Sid":"Assume","Principal":{"Service":"lambda.amazonaws.com"},"Action":["sts:AssumeRole"],"Effect":"Allow"}}"#;
    iam.update_assume_role_policy()
        .role_name(role)
        .policy_document(reworded)
        .send()
        .await
        .unwrap();
    bench
        .expect_nothing(&desired, "another wording of the same trust")
        .await;
    iam.put_role_policy()
        .role_name(role)
        .policy_name("more")
        .policy_document(policy)
        .send()
        .await
        .unwrap();
    bench.apply(&desired, Some("other_inline_policies")).await;
    bench.expect_nothing(&desired, "a policy added").await;
    iam.put_role_policy()
        .role_name(role)
        .policy_name("taskctl")
        .policy_document(policy)
        .send()
        .await
        .unwrap();
    bench.apply(&desired, Some("policy")).await;
    bench.expect_nothing(&desired, "our policy changed").await;
    iam.delete_role_policy()
        .role_name(role)
        .policy_name("taskctl")
        .send()
        .await
        .unwrap();
    bench.apply(&desired, Some("policy")).await;
    bench.expect_nothing(&desired, "our policy deleted").await;
    bench.delete(&desired).await;
    assert_eq!(bench.read(&desired).await, None);
}

/// A role that the listing does not show yet is found when it is known to be there.
#[tokio::test(flavor = "multi_thread")]
async fn a_role_outside_the_listing_is_confirmed_and_foreign() {
    let local = Local::shared();
    let bench = Bench {
        context: connect(&local).await,
        kind: registry().kind("iam_role"),
        id: ResourceId::new("iam_role", "elsewhere"),
    };
    let mut desired = ours(&bench.kind.examples()[0], &bench.context);
    let name = "shop-dev-elsewhere-us-east-1";
    desired["name"] = Value::from(name);
    let iam = &bench.context.clients().iam;
    let trust = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"}]}"#;
    iam.create_role()
        .role_name(name)
        .assume_role_policy_document(trust)
        .send()
        .await
        .unwrap();
    assert_eq!(bench.read(&desired).await, None);
    let refused = bench.kind.create(&bench.context, &bench.id, &desired).await;
    assert_eq!(refused.unwrap_err().kind, ErrorKind::AlreadyExists);
    let confirmed = bench
        .kind
        .read(&Reader::confirming(bench.context.clone()), &bench.id, &desired)
        .await
        .unwrap();
    assert!(matches!(confirmed.unwrap().ownership, Ownership::Foreign { .. }));
    iam.delete_role().role_name(name).send().await.unwrap();
}
