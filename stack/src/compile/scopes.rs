//! How far the name of each kind reaches, and that no region and no account takes what stands in another one for an orphan of
//! its own.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Value, json};

use super::samples::{full_platform, identity, platform, resources, without_api};
use crate::aws::client::context::tests::context_over;
use crate::aws::client::fake::{Answer, Call, cbor, clients};
use crate::aws::client::identity::Identity;
use crate::aws::kinds::{apigateway, cloudwatch, dynamodb, events, iam, lambda, logs, s3, site, sns};
use crate::aws::read::reader::Reader;
use crate::aws::registry;
use crate::plan::{Action, FoundResource, Observations, Request, build, observation, orphans_of_deploy};
use crate::resource::{Outputs, Resource};
use crate::template::model::Stack;

/// In what a kind's names are unique, with the ARN of a name.
enum Scope {
    /// A region of an account: the service keeps regions apart.
    Region(fn(&Identity, &str) -> String),
    /// An account: all of its regions see each other's.
    Account(fn(&Identity, &str) -> String),
    /// The partition: all accounts share the names.
    Global(fn(&Identity, &str) -> String),
    /// Another resource, which the field names that holds it; the API where none does.
    Within(&'static str),
}

use Scope::{Account, Global, Region, Within};

/// The scope of every kind.
static SCOPES: [(&str, Scope); 20] = [
    (
        dynamodb::table::KIND,
        Region(|here, name| here.arn("dynamodb", &format!("table/{name}"))),
    ),
    (s3::bucket::KIND, Global(|_, name| format!("arn:aws:s3:::{name}"))),
    (sns::topic::KIND, Region(|here, name| here.arn("sns", name))),
    (
        iam::role::KIND,
        Account(|here, name| here.role_arn(&here.names().role_path(), name)),
    ),
    (
        logs::group::KIND,
        Region(|here, name| here.arn("logs", &format!("log-group:{name}"))),
    ),
    (
        lambda::function::KIND,
        Region(|here, name| here.arn("lambda", &format!("function:{name}"))),
    ),
    (lambda::version::KIND, Within("function")),
    (lambda::permission::KIND, Within("function")),
    (lambda::release::KIND, Within("function")),
    (lambda::alias::KIND, Within("function")),
    (
        apigateway::api::KIND,
        Region(|here, _| format!("arn:aws:apigateway:{}::/apis/{}", here.region, api_id(&here.region))),
    ),
    (apigateway::integration::KIND, Within("api_id")),
    (apigateway::route::KIND, Within("api_id")),
    (apigateway::deployment::KIND, Within("api_id")),
    (apigateway::stage::KIND, Within("api_id")),
    (site::content::KIND, Within("bucket")),
    (site::pages::KIND, Within("bucket")),
    (
        cloudwatch::alarm::KIND,
        Region(|here, name| here.arn("cloudwatch", &format!("alarm:{name}"))),
    ),
    (
        events::warmup_rule::KIND,
        Region(|here, name| here.arn("events", &format!("rule/{name}"))),
    ),
    (
        cloudwatch::dashboard::KIND,
        Account(|here, name| format!("arn:aws:cloudwatch::{}:dashboard/{name}", here.account)),
    ),
];

const FRANKFURT: &str = "eu-central-1";
const IRELAND: &str = "eu-west-1";
const OURS: &str = "111122223333";
const THEIRS: &str = "444455556666";

fn scope(kind: &str) -> Option<&'static Scope> {
    SCOPES.iter().find(|(name, _)| *name == kind).map(|(_, scope)| scope)
}

fn api_id(region: &str) -> String {
    region.replace('-', "")
}

/// Something with a name and an ARN of its own.
struct Standing {
    kind: String,
    region: String,
    name: String,
    arn: String,
    body: String,
}

/// A stack that was deployed.
struct Deployed {
    identity: Identity,
    resources: Vec<Resource>,
}

impl Deployed {
    fn new(stack: &Stack, identity: Identity) -> Self {
        let resources = resources(stack, &identity);
        Self { identity, resources }
    }

    fn standing(&self) -> Vec<Standing> {
        let named = self.resources.iter().filter_map(|resource| {
            let arn = match scope(&resource.id.kind)? {
                Region(arn) | Account(arn) | Global(arn) => arn,
                Within(_) => return None,
            };
            let name = resource.desired["name"].as_str()?.to_owned();
            let is_dashboard = resource.id.kind == cloudwatch::dashboard::KIND;
            let body = is_dashboard.then(|| {
                serde_json::from_value::<cloudwatch::dashboard::Model>(resource.desired.clone()).expect("one")
            });
            Some(Standing {
                kind: resource.id.kind.clone(),
                region: self.identity.region.clone(),
                arn: arn(&self.identity, &name),
                name,
                body: body.map(|model| model.body.to_json()).unwrap_or_default(),
            })
        });
        named.collect()
    }

    /// Names by kind.
    fn names(&self) -> BTreeSet<(String, String)> {
        self.standing().into_iter().map(|one| (one.kind, one.name)).collect()
    }

    fn routes(&self) -> Vec<String> {
        let routes = self.resources.iter();
        routes
            .filter(|one| one.id.kind == apigateway::route::KIND)
            .map(|one| one.id.name.clone())
            .collect()
    }
}

/// A template whose resources all have names of their own, the same in every region.
fn with_given_names(mut stack: Stack) -> Stack {
    let given = |kind: &str, logical: &str| Some(format!("given-{kind}-{logical}"));
    for (logical, one) in &mut stack.tables {
        one.name = given("table", logical);
    }
    for (logical, one) in &mut stack.buckets {
        one.name = given("bucket", logical);
    }
    for (logical, one) in &mut stack.functions {
        one.name = given("function", logical);
    }
    for (logical, one) in &mut stack.alarms {
        one.name = given("alarm", logical);
    }
    for (logical, one) in &mut stack.topics {
        one.name = given("topic", logical);
    }
    for (logical, one) in &mut stack.dashboards {
        one.name = given("dashboard", logical);
    }
    stack
}

/// One account as AWS answers for it in a region. Its tagging API keeps no regions apart, which is more than AWS's shows.
struct Answers {
    all: Vec<Standing>,
    routes: Vec<String>,
    here: Identity,
    /// The tagging API has caught up with nothing yet.
    lags: bool,
}

impl Answers {
    /// What a listing of a kind has.
    fn listed<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Standing> {
        let is_regional = matches!(scope(kind), Some(Region(_)));
        let all = self.all.iter().filter(move |one| one.kind == kind);
        all.filter(move |one| !is_regional || one.region == self.here.region)
    }

    /// Those whose names begin so.
    fn under<'a>(&'a self, kind: &'a str, prefix: &str) -> Vec<&'a Standing> {
        let listed = self.listed(kind).filter(|one| one.name.starts_with(prefix));
        listed.collect()
    }

    fn tags(&self) -> Vec<Value> {
        let tags = self.here.tags().into_iter();
        tags.map(|(key, value)| json!({"Key": key, "Value": value})).collect()
    }

    fn answer(&self, call: &Call) -> Answer {
        let json = |value: Value| (200, value.to_string().into_bytes());
        match (call.service.as_str(), call.operation.as_str()) {
            ("monitoring", _) => (200, cbor(&self.cloudwatch(call))),
            ("s3", _) => (200, self.s3(call).into_bytes()),
            ("sns" | "iam", _) => (200, self.queried(call).into_bytes()),
            ("tagging", "GetResources") => {
                let all = self.all.iter().filter(|one| !self.lags && one.kind != iam::role::KIND);
                let mapping = all.map(|one| json!({"ResourceARN": one.arn, "Tags": self.tags()}));
                json(json!({"ResourceTagMappingList": mapping.collect::<Vec<_>>()}))
            }
            ("dynamodb", "ListTables") => {
                let names: Vec<&str> = self
                    .listed(dynamodb::table::KIND)
                    .map(|one| one.name.as_str())
                    .collect();
                json(json!({"TableNames": names}))
            }
            ("logs", "DescribeLogGroups") => {
                let body: Value = serde_json::from_slice(&call.body).expect("JSON");
                let groups = self.under(
                    logs::group::KIND,
                    body["logGroupNamePrefix"].as_str().unwrap_or_default(),
                );
                let groups = groups.iter().map(|one| json!({"logGroupName": one.name}));
                json(json!({"logGroups": groups.collect::<Vec<_>>()}))
            }
            ("lambda", operation) if operation.ends_with("/functions") || operation.ends_with("/functions/") => {
                let functions = self.listed(lambda::function::KIND);
                let functions = functions.map(|one| json!({"FunctionName": one.name}));
                json(json!({"Functions": functions.collect::<Vec<_>>()}))
            }
            ("events", "ListRules") => {
                let rules = self
                    .listed(events::warmup_rule::KIND)
                    .map(|one| json!({"Name": one.name}));
                json(json!({"Rules": rules.collect::<Vec<_>>()}))
            }
            ("apigateway", operation) => json(json!({"items": self.apigateway(operation)})),
            ("lambda", _) => json(json!({"Tags": self.here.tags()})),
            ("logs", "ListTagsForResource") => json(json!({"tags": self.here.tags()})),
            ("dynamodb" | "events", "ListTagsOfResource" | "ListTagsForResource") => json(json!({"Tags": self.tags()})),
            _ => panic!("not expected: {call:?}"),
        }
    }

    fn apigateway(&self, operation: &str) -> Vec<Value> {
        match operation.rsplit('/').next() {
            Some("apis") => self
                .listed(apigateway::api::KIND)
                .map(|one| json!({"apiId": api_id(&one.region), "name": one.name, "tags": self.here.tags()}))
                .collect(),
            Some("routes") => self
                .routes
                .iter()
                .map(|key| json!({"routeKey": key, "routeId": key}))
                .collect(),
            Some("stages") => vec![json!({"stageName": "$default"}), json!({"stageName": "preview"})],
            _ => Vec::new(),
        }
    }

    fn cloudwatch(&self, call: &Call) -> Value {
        let prefix = self.here.prefix();
        match call.operation.as_str() {
            "DescribeAlarms" => {
                let asked = String::from_utf8_lossy(&call.body).into_owned();
                let alarms: Vec<&Standing> = match asked.contains("AlarmNames") {
                    true => {
                        let listed = self.listed(cloudwatch::alarm::KIND);
                        listed.filter(|one| asked.contains(&one.name)).collect()
                    }
                    false => self.under(cloudwatch::alarm::KIND, &prefix),
                };
                json!({"MetricAlarms": alarms.into_iter().map(|one| json!({"AlarmName": one.name})).collect::<Vec<_>>()})
            }
            "ListDashboards" => {
                let all = self.under(cloudwatch::dashboard::KIND, &prefix).into_iter();
                json!({"DashboardEntries": all.map(|one| json!({"DashboardName": one.name})).collect::<Vec<_>>()})
            }
            "GetDashboard" => {
                let asked = String::from_utf8_lossy(&call.body).into_owned();
                let named = self
                    .listed(cloudwatch::dashboard::KIND)
                    .filter(|one| asked.contains(&one.name));
                let named = named.max_by_key(|one| one.name.len()).expect("it was listed");
                json!({"DashboardName": named.name, "DashboardBody": named.body})
            }
            "ListTagsForResource" => json!({"Tags": self.tags()}),
            _ => panic!("not expected: {call:?}"),
        }
    }

    fn s3(&self, call: &Call) -> String {
        if call.bucket.is_some() {
            let tags = self.here.tags().into_iter();
            let tags = tags.map(|(key, value)| format!("<Tag><Key>{key}</Key><Value>{value}</Value></Tag>"));
            return format!("<Tagging><TagSet>{}</TagSet></Tagging>", tags.collect::<String>());
        }
        let prefix = call.fields.get("prefix").map_or("", String::as_str);
        let buckets = self.under(s3::bucket::KIND, prefix).into_iter();
        let buckets = buckets.filter(|one| call.fields.get("bucket-region") == Some(&one.region));
        let buckets = buckets.map(|one| format!("<Bucket><Name>{}</Name></Bucket>", one.name));
        format!(
            "<ListAllMyBucketsResult><Buckets>{}</Buckets></ListAllMyBucketsResult>",
            buckets.collect::<String>()
        )
    }

    fn queried(&self, call: &Call) -> String {
        let member = |text: String| format!("<member>{text}</member>");
        let (list, members): (&str, String) = match call.operation.as_str() {
            "ListTopics" => {
                let topics = self
                    .listed(sns::topic::KIND)
                    .map(|one| format!("<TopicArn>{}</TopicArn>", one.arn));
                ("Topics", topics.map(member).collect())
            }
            "ListRoles" => {
                let path = self.here.names().role_path();
                assert_eq!(call.fields.get("PathPrefix"), Some(&path));
                let role = |one: &Standing| {
                    format!(
                        "<Path>{path}</Path><RoleName>{}</RoleName><RoleId>A</RoleId><Arn>{}</Arn>\
                         <CreateDate>2026-01-01T00:00:00Z</CreateDate>",
                        one.name, one.arn
                    )
                };
                ("Roles", self.listed(iam::role::KIND).map(role).map(member).collect())
            }
            "ListTagsForResource" => {
                let tags = self.here.tags().into_iter();
                let tags = tags.map(|(key, value)| format!("<Key>{key}</Key><Value>{value}</Value>"));
                ("Tags", tags.map(member).collect())
            }
            _ => panic!("not expected: {call:?}"),
        };
        let operation = &call.operation;
        format!(
            "<{operation}Response><{operation}Result><{list}>{members}</{list}></{operation}Result></{operation}Response>"
        )
    }
}

/// A reader of an account in a region.
fn reader(here: &Identity, account: &[&Deployed], lags: bool) -> Reader {
    let own = account.iter().find(|one| one.identity == *here);
    let answers = Answers {
        all: account.iter().flat_map(|one| one.standing()).collect(),
        routes: own.map(|own| own.routes()).unwrap_or_default(),
        here: here.clone(),
        lags,
    };
    let answers = Arc::new(answers);
    let clients = clients(&here.region, move |call| answers.answer(&call));
    Reader::new(context_over(here.clone(), clients))
}

/// Everything that a region of an account takes for its own, by kind.
async fn found(here: &Identity, account: &[&Deployed], lags: bool, wanted: Option<&Deployed>) -> Vec<FoundResource> {
    let mut reader = reader(here, account, lags);
    if let Some(wanted) = wanted {
        reader = reader.expecting(wanted.names().into_iter().map(|(_, name)| name).collect());
    }
    let mut all = Vec::new();
    for kind in registry().kinds() {
        let found = kind.enumerate(&reader).await;
        let found = found.unwrap_or_else(|error| panic!("{}: {error:?}", kind.spec().name));
        all.extend(found.into_iter().map(|one| FoundResource {
            id: one.id,
            outputs: one.outputs,
            holds_data: kind.holds_data(),
            needed_by: None,
        }));
    }
    all
}

/// Whether something that was found is, or lies in, something of a stack.
fn is_of(found: &FoundResource, own: &Deployed) -> bool {
    let names = own.names();
    let output = |key: &str| found.outputs.get(key).cloned().unwrap_or_default();
    match scope(&found.id.kind).expect("it is stated") {
        Within("api_id") => output("api_id") == api_id(&own.identity.region),
        Within(field) => names.iter().any(|(_, name)| *name == output(field)),
        _ if found.id.kind == apigateway::api::KIND => output("api_id") == api_id(&own.identity.region),
        Region(_) | Account(_) | Global(_) => names.contains(&(found.id.kind.clone(), output("name"))),
    }
}

/// What a deploy of `wanted` deletes.
fn deleted(wanted: &[Resource], found: Vec<FoundResource>) -> BTreeSet<String> {
    let names = wanted
        .iter()
        .filter_map(|one| Some((one, one.desired["name"].as_str()?)));
    let mut observed: Observations = names
        .map(|(one, name)| {
            (
                one.id.clone(),
                observation(Outputs::from([("name".to_owned(), name.to_owned())])),
            )
        })
        .collect();
    let request = Request {
        orphans: orphans_of_deploy(wanted, found, &mut observed),
        resources: wanted.to_vec(),
    };
    let plan = build(&request, &observed, registry());
    let steps = plan.steps.iter();
    let deleted = steps.filter(|step| matches!(step.action, Action::Delete { .. }));
    deleted.map(|step| step.id.to_string()).collect()
}

#[test]
fn the_scope_of_every_kind_is_stated_and_kept_by_its_names() {
    let unstated: Vec<&str> = registry()
        .kinds()
        .map(|kind| kind.spec().name)
        .filter(|kind| scope(kind).is_none())
        .collect();
    assert!(
        unstated.is_empty(),
        "say in SCOPES where their names are unique: {unstated:?}"
    );
    for template in [platform, full_platform] {
        let deployed = |region: &str, account: &str| {
            let identity = identity(region, account);
            Deployed::new(&template(&identity), identity)
        };
        let [here, there, other] = [
            deployed(FRANKFURT, OURS),
            deployed(IRELAND, OURS),
            deployed(FRANKFURT, THEIRS),
        ];
        let shared = |kind: &str, one: &Deployed, other: &Deployed| -> Vec<String> {
            let of_kind = |deployed: &Deployed| -> BTreeSet<String> {
                let names = deployed.names().into_iter().filter(|(name, _)| name == kind);
                names.map(|(_, name)| name).collect()
            };
            of_kind(one).intersection(&of_kind(other)).cloned().collect()
        };
        for kind in registry().kinds().map(|kind| kind.spec().name) {
            let nothing: Vec<String> = Vec::new();
            match scope(kind) {
                Some(Account(_)) => assert_eq!(shared(kind, &here, &there), nothing, "{kind}"),
                Some(Global(_)) => {
                    assert_eq!(shared(kind, &here, &there), nothing, "{kind}");
                    assert_eq!(shared(kind, &here, &other), nothing, "{kind}");
                }
                Some(Region(_) | Within(_)) | None => {}
            }
        }
    }
    let here = identity(FRANKFURT, OURS);
    let full: BTreeMap<String, usize> = [full_platform(&here), without_api(&here)]
        .iter()
        .flat_map(|stack| resources(stack, &here))
        .fold(BTreeMap::new(), |mut counts, one| {
            *counts.entry(one.id.kind).or_default() += 1;
            counts
        });
    let unused: Vec<&str> = registry()
        .kinds()
        .map(|kind| kind.spec().name)
        .filter(|kind| !full.contains_key(*kind))
        .collect();
    assert!(unused.is_empty(), "the full templates have none of {unused:?}");
}

#[tokio::test(start_paused = true)]
async fn what_stands_in_another_region_or_account_is_no_orphan_of_this_one() {
    let deployed = |region: &str, account: &str, given: bool| {
        let identity = identity(region, account);
        let stack = full_platform(&identity);
        Deployed::new(&if given { with_given_names(stack) } else { stack }, identity)
    };
    for has_given_names in [false, true] {
        let frankfurt = deployed(FRANKFURT, OURS, has_given_names);
        let ireland = deployed(IRELAND, OURS, false);
        let other = deployed(FRANKFURT, THEIRS, false);
        let account = [&frankfurt, &ireland];
        for (own, account) in [(&frankfurt, &account[..]), (&ireland, &account), (&other, &[&other])] {
            for lags in [false, true] {
                for wanted in [None, Some(own)] {
                    let found = found(&own.identity, account, lags, wanted).await;
                    let strange: Vec<&FoundResource> = found.iter().filter(|one| !is_of(one, own)).collect();
                    assert!(strange.is_empty(), "of another region or account: {strange:#?}");
                    let kinds: BTreeSet<&str> = found.iter().map(|one| one.id.kind.as_str()).collect();
                    assert_eq!(deleted(&own.resources, found.clone()), BTreeSet::new());
                    // The control: its own is found, so that nothing strange was looked for in vain.
                    if !lags && !std::ptr::eq(own, &frankfurt) {
                        for kind in registry().kinds().filter(|kind| kind.spec().needed_at_runtime) {
                            let mut all = found.iter().filter(|one| one.id.kind == kind.spec().name);
                            assert!(all.all(|one| one.outputs.contains_key("name")), "{}", kind.spec().name);
                        }
                        for (kind, scope) in &SCOPES {
                            assert!(
                                matches!(scope, Within(_)) || kinds.contains(kind),
                                "no {kind} was found"
                            );
                        }
                        assert!(!deleted(&[], found.clone()).is_empty());
                    }
                }
            }
        }
        // A region in which nothing was ever deployed.
        let nowhere = identity("us-east-1", OURS);
        for lags in [false, true] {
            let found = found(&nowhere, &account, lags, None).await;
            assert!(found.is_empty(), "{found:#?}");
        }
    }
}

/// Names that the template gives begin with nothing that a listing could be asked for.
#[tokio::test(start_paused = true)]
async fn what_has_a_name_of_its_own_is_found() {
    let identity = identity(FRANKFURT, OURS);
    let own = Deployed::new(&with_given_names(full_platform(&identity)), identity.clone());
    let listed = [cloudwatch::alarm::KIND, cloudwatch::dashboard::KIND, logs::group::KIND];
    for lags in [false, true] {
        for is_confirming in [false, true] {
            let mut reader = reader(&identity, &[&own], lags);
            if is_confirming {
                reader = Reader::confirming(reader.context().clone());
            }
            for one in own
                .resources
                .iter()
                .filter(|one| listed.contains(&one.id.kind.as_str()))
            {
                let read = registry().kind(&one.id.kind).read(&reader, &one.id, &one.desired).await;
                let read = read.unwrap_or_else(|error| panic!("{}: {error:?}", one.id));
                assert!(read.is_some(), "{} is not found; lags: {lags}", one.id);
            }
        }
    }
    // And without knowing what is wanted, as `status` and `logs` look.
    let found = found(&identity, &[&own], false, None).await;
    let names: BTreeSet<(&str, &str)> = found
        .iter()
        .filter_map(|one| Some((one.id.kind.as_str(), one.outputs.get("name")?.as_str())))
        .collect();
    for (kind, name) in own.names() {
        if registry().kind(&kind).spec().needed_at_runtime || kind == cloudwatch::dashboard::KIND {
            assert!(
                names.contains(&(kind.as_str(), name.as_str())),
                "{kind} {name} is not found"
            );
        }
    }
}
