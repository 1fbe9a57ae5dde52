//! `docs/openapi.yaml` against the code: routes, fields, limits, and every kind of answer. Only tests; the document itself is written by hand.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeSet;

use jsonschema::Validator;
use serde_json::{Value, json};

use crate::assets::Assets;
use crate::counter::Visits;
use crate::health::{Elsewhere, Health, Identity};
use crate::http::{Failure, Function, Request, path_parameter};
use crate::memory::{
    CountedIds, Fault, ManualClock, MemoryCounter, MemoryObjects, MemoryStore, Reply, START, request, send, with_header,
};
use crate::ports::HotSpot;
use crate::tasks::Tasks;
use crate::users::Users;

type TestTasks = Tasks<MemoryStore, ManualClock, CountedIds>;
type TestUsers = Users<MemoryStore, ManualClock, CountedIds>;
type TestAssets = Assets<MemoryStore, MemoryObjects, ManualClock, CountedIds>;
type TestCounter<'a> = Visits<&'a MemoryCounter, ManualClock>;
type TestHealth<'a> = Health<&'a MemoryCounter, ManualClock>;

const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

fn document() -> Value {
    serde_yaml::from_str(include_str!("../../docs/openapi.yaml")).unwrap()
}

/// Replaces `{"$ref": "#/…"}` by what it names, one step.
fn resolved<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    match value["$ref"].as_str() {
        Some(reference) => document
            .pointer(reference.strip_prefix('#').unwrap())
            .unwrap_or_else(|| panic!("no {reference}")),
        None => value,
    }
}

/// A schema of the document, with all that it refers to.
fn validator(document: &Value, schema: &Value) -> Validator {
    let mut whole = json!({"components": document["components"]});
    whole
        .as_object_mut()
        .unwrap()
        .extend(schema.as_object().unwrap().clone());
    jsonschema::options()
        .should_validate_formats(true)
        .build(&whole)
        .unwrap()
}

fn component(document: &Value, name: &str) -> Validator {
    validator(document, &json!({"$ref": format!("#/components/schemas/{name}")}))
}

fn operation<'a>(document: &'a Value, key: &str) -> &'a Value {
    let (method, path) = key.split_once(' ').unwrap();
    &document["paths"][path][method.to_lowercase()]
}

fn keys<F: Function>() -> impl Iterator<Item = String> {
    F::ROUTES.iter().map(|(key, _)| (*key).to_owned())
}

#[test]
fn the_document_has_the_routes_of_the_functions_and_no_others() {
    let document = document();
    let documented: BTreeSet<String> = document["paths"]
        .as_object()
        .unwrap()
        .iter()
        .flat_map(|(path, item)| {
            METHODS
                .iter()
                .filter(|method| item.get(**method).is_some())
                .map(move |method| format!("{} {path}", method.to_uppercase()))
        })
        .collect();
    let served: BTreeSet<String> = keys::<TestTasks>()
        .chain(keys::<TestUsers>())
        .chain(keys::<TestAssets>())
        .chain(keys::<TestCounter>())
        .chain(keys::<TestHealth>())
        .collect();
    assert_eq!(documented, served);
    let ids: BTreeSet<&str> = served
        .iter()
        .map(|key| operation(&document, key)["operationId"].as_str().unwrap())
        .collect();
    assert_eq!(ids.len(), served.len(), "operation ids are unique");
}

#[test]
fn path_parameters_are_declared() {
    let document = document();
    for (path, item) in document["paths"].as_object().unwrap() {
        let declared: Vec<&str> = item["parameters"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|parameter| resolved(&document, parameter)["name"].as_str().unwrap())
            .collect();
        let wanted: Vec<&str> = path.split('/').filter_map(path_parameter).collect();
        assert_eq!(declared, wanted, "{path}");
    }
}

#[test]
fn every_reference_leads_somewhere_and_every_schema_is_one() {
    fn walk(document: &Value, value: &Value) {
        resolved(document, value);
        match value {
            Value::Object(members) => members.values().for_each(|value| walk(document, value)),
            Value::Array(values) => values.iter().for_each(|value| walk(document, value)),
            _ => {}
        }
    }
    let document = document();
    walk(&document, &document);
    for name in document["components"]["schemas"].as_object().unwrap().keys() {
        component(&document, name);
    }
}

/// The fields that a body may have, as listed when an unknown one is refused.
fn known_fields(failure: &Failure) -> BTreeSet<String> {
    let (_, _, message) = failure.shown();
    let (_, known) = message.split_once("known are ").unwrap_or_else(|| panic!("{message}"));
    known.split(", ").map(str::to_owned).collect()
}

#[test]
fn bodies_have_the_fields_that_the_code_takes() {
    let (document, asked) = (document(), request("POST", "/", json!({"?": 0})));
    let asked: &Request = &asked;
    for (schema, known) in [
        (
            "TaskDraft",
            known_fields(&crate::tasks::Draft::read(asked).unwrap_err()),
        ),
        (
            "TaskChanges",
            known_fields(&crate::tasks::Changes::read(asked).unwrap_err()),
        ),
        (
            "UserDraft",
            known_fields(&crate::users::Draft::read(asked, START).unwrap_err()),
        ),
        (
            "UserChanges",
            known_fields(&crate::users::Changes::read(asked, START).unwrap_err()),
        ),
        (
            "AssetDraft",
            known_fields(&crate::assets::Draft::read(asked, 0).unwrap_err()),
        ),
    ] {
        let properties = document["components"]["schemas"][schema]["properties"]
            .as_object()
            .unwrap();
        assert_eq!(properties.keys().cloned().collect::<BTreeSet<_>>(), known, "{schema}");
    }
}

/// Bodies at and just beyond each limit: the document and the code must agree on each.
#[tokio::test]
async fn limits_of_the_document_are_those_of_the_code() {
    let document = document();
    let text = |length: usize| "x".repeat(length);
    let task = |extra: Value| merged(json!({"title": "t"}), extra);
    let user = |extra: Value| merged(json!({"email": "a@b.co", "name": "n"}), extra);
    let asset = |extra: Value| merged(json!({"fileName": "f", "contentType": "a/b", "sizeBytes": 1}), extra);
    let cases = [
        (
            "/tasks",
            "TaskDraft",
            vec![
                json!({}),
                task(json!({})),
                task(json!({"title": null})),
                task(json!({"title": ""})),
                task(json!({"title": text(200)})),
                task(json!({"title": text(201)})),
                task(json!({"description": text(4000)})),
                task(json!({"description": text(4001)})),
                task(json!({"description": null})),
                task(json!({"description": 1})),
                task(json!({"priority": "HIGH"})),
                task(json!({"priority": "URGENT"})),
                task(json!({"priority": null})),
                task(json!({"status": null})),
                task(json!({"status": 1})),
                task(json!({"dueAt": "2026-12-01T10:00:00Z"})),
                task(json!({"dueAt": "2026-12-01T10:00:00.25+02:00"})),
                task(json!({"dueAt": "2026-12-01"})),
                task(json!({"dueAt": null})),
                task(json!({"tags": [text(50)]})),
                task(json!({"tags": [text(51)]})),
                task(json!({"tags": [""]})),
                task(json!({"tags": null})),
                task(json!({"tags": (0..20).map(|n| n.to_string()).collect::<Vec<_>>()})),
                task(json!({"tags": (0..21).map(|n| n.to_string()).collect::<Vec<_>>()})),
                task(json!({"other": 1})),
            ],
        ),
        (
            "/users",
            "UserDraft",
            vec![
                json!({}),
                user(json!({})),
                user(json!({"email": "x"})),
                user(json!({"email": null})),
                user(json!({"name": text(200)})),
                user(json!({"name": text(201)})),
                user(json!({"name": ""})),
                user(json!({"department": text(200)})),
                user(json!({"department": text(201)})),
                user(json!({"department": null})),
                user(json!({"ttl": 253_402_300_799_i64})),
                user(json!({"ttl": 253_402_300_800_i64})),
                user(json!({"ttl": null})),
                user(json!({"ttl": "1"})),
                user(json!({"other": 1})),
            ],
        ),
        (
            "/assets",
            "AssetDraft",
            vec![
                json!({}),
                asset(json!({})),
                asset(json!({"fileName": text(255)})),
                asset(json!({"fileName": text(256)})),
                asset(json!({"fileName": "a/b"})),
                asset(json!({"fileName": "a\\b"})),
                asset(json!({"fileName": ""})),
                asset(json!({"contentType": "png"})),
                asset(json!({"contentType": format!("a/{}", text(253))})),
                asset(json!({"contentType": format!("a/{}", text(254))})),
                asset(json!({"sizeBytes": 0})),
                asset(json!({"sizeBytes": -1})),
                asset(json!({"sizeBytes": 5_368_709_120_i64})),
                asset(json!({"sizeBytes": 5_368_709_121_i64})),
                asset(json!({"sizeBytes": null})),
                json!({"fileName": "f", "contentType": "a/b"}),
                asset(json!({"other": 1})),
            ],
        ),
    ];
    for (path, schema, bodies) in cases {
        let schema = component(&document, schema);
        for body in bodies {
            let world = World::new();
            let reply = world.send(request("POST", path, body.clone())).await;
            assert_eq!(
                reply.status == 201,
                schema.is_valid(&body),
                "{path} {body}: {}",
                reply.body
            );
        }
    }
}

fn merged(mut one: Value, other: Value) -> Value {
    one.as_object_mut().unwrap().extend(other.as_object().unwrap().clone());
    one
}

/// All five functions over the same ports.
struct World {
    tasks: TestTasks,
    users: TestUsers,
    assets: TestAssets,
    counter: MemoryCounter,
    stores: [MemoryStore; 3],
    objects: MemoryObjects,
}

impl World {
    fn new() -> Self {
        let (clock, objects) = (ManualClock::new(), MemoryObjects::default());
        let ids = CountedIds::new(&clock);
        let stores = ["taskId", "userId", "assetId"].map(MemoryStore::new);
        Self {
            tasks: Tasks::new(stores[0].clone(), clock.clone(), ids.clone(), 1),
            users: Users::new(stores[1].clone(), clock.clone(), ids.clone(), 1),
            // The document has the most that the ceiling may be set to.
            assets: Assets::new(stores[2].clone(), objects.clone(), clock, ids, 1).with_upload_limit(5_368_709_120),
            counter: MemoryCounter::default(),
            stores,
            objects,
        }
    }

    async fn send(&self, request: Request) -> Reply {
        match request.path.split('/').nth(1).unwrap() {
            "tasks" => send(&self.tasks, request).await,
            "users" => send(&self.users, request).await,
            "assets" => send(&self.assets, request).await,
            "counter" => send(&Visits::new(&self.counter, ManualClock::new()), request).await,
            "health" => {
                let identity = Identity {
                    service: "health".to_owned(),
                    version: "3".to_owned(),
                };
                send(
                    &Health::new(
                        &self.counter,
                        ManualClock::new(),
                        Some(0),
                        identity,
                        Elsewhere::NotFound,
                    ),
                    request,
                )
                .await
            }
            other => panic!("no function serves {other}"),
        }
    }

    /// The next write of that kind of record fails like this.
    fn fail(&self, kind: &str, fault: Fault) {
        let store = match kind {
            "task" => 0,
            "user" => 1,
            _ => 2,
        };
        *self.stores[store].faults.borrow_mut() = vec![fault];
    }
}

/// Sends a request for a route, and holds the answer against the document.
async fn checked(world: &World, document: &Value, seen: &mut BTreeSet<String>, key: &str, request: Request) -> Reply {
    let reply = world.send(request).await;
    let response = resolved(
        document,
        &operation(document, key)["responses"][reply.status.to_string()],
    );
    assert!(
        response.is_object(),
        "{key} answered {}, which the document does not have: {}",
        reply.status,
        reply.body
    );
    match response["content"].get("application/json") {
        None => assert_eq!(reply.body, Value::Null, "{key} {}", reply.status),
        Some(content) => {
            let errors: Vec<String> = validator(document, &content["schema"])
                .iter_errors(&reply.body)
                .map(|error| error.to_string())
                .collect();
            assert_eq!(errors, [""; 0], "{key} {}: {}", reply.status, reply.body);
        }
    }
    let documented = response["headers"]
        .as_object()
        .into_iter()
        .flat_map(|headers| headers.keys().map(|name| name.to_lowercase()));
    for name in documented {
        assert!(
            reply.headers.contains_key(name.as_str()),
            "{key} {} has no {name}",
            reply.status
        );
    }
    seen.insert(format!("{key} {}", reply.status));
    reply
}

#[tokio::test(start_paused = true)]
async fn answers_are_as_documented() {
    let (document, world, mut seen) = (document(), World::new(), BTreeSet::new());
    let drafts = [
        (
            "task",
            json!({"title": "t", "description": "d", "dueAt": "2026-12-01T10:00:00Z", "tags": ["a"]}),
        ),
        (
            "user",
            json!({"email": "a@b.co", "name": "n", "department": "d", "ttl": 1_900_000_000}),
        ),
        ("asset", json!({"fileName": "f", "contentType": "a/b", "sizeBytes": 5})),
    ];
    for (kind, draft) in drafts {
        let (all, one) = (format!("/{kind}s"), format!("/{kind}s/{{{kind}Id}}"));
        let post = format!("POST {all}");
        let mut send = async |key: &str, request: Request| checked(&world, &document, &mut seen, key, request).await;
        // Creates, and what keeps them from it.
        let keyed = |body: &Value| with_header(request("POST", &all, body.clone()), "idempotency-key", "k");
        let created = send(&post, keyed(&draft)).await;
        let id = created.body[format!("{kind}Id")].as_str().unwrap().to_owned();
        send(&post, keyed(&json!({"other": 1}))).await;
        send(&post, request("POST", &all, json!({"other": 1}))).await;
        send(&post, request("POST", &all, json!({"title": "x".repeat(300_000)}))).await;
        send(
            &post,
            with_header(request("POST", &all, draft.clone()), "content-type", "text/plain"),
        )
        .await;
        for fault in [Fault::Throttled, Fault::Failed] {
            world.fail(kind, fault);
            send(&post, request("POST", &all, draft.clone())).await;
        }
        if kind == "user" {
            send(&post, request("POST", &all, draft.clone())).await;
        }
        // Lists.
        let list = format!("GET {all}");
        send(&list, request("GET", &format!("{all}?limit=1"), None)).await;
        send(&list, request("GET", &format!("{all}?limit=0"), None)).await;
        // One of them.
        let at = |id: &str| format!("{all}/{id}");
        send(&format!("GET {one}"), request("GET", &at(&id), None)).await;
        send(&format!("GET {one}"), request("GET", &at("x"), None)).await;
        for method in ["PUT", "PATCH"]
            .into_iter()
            .filter(|method| kind == "task" || (kind == "user" && *method == "PUT"))
        {
            let key = format!("{method} {one}");
            let name = if kind == "task" { "title" } else { "name" };
            send(&key, request(method, &at(&id), json!({name: method}))).await;
            send(&key, request(method, &at("x"), json!({name: "new"}))).await;
            send(&key, request(method, &at(&id), json!({"other": 1}))).await;
            send(&key, request(method, &at(&id), json!({"other": "x".repeat(300_000)}))).await;
            send(
                &key,
                with_header(request(method, &at(&id), json!({})), "content-type", "text/plain"),
            )
            .await;
            send(
                &key,
                with_header(request(method, &at(&id), json!({})), "if-match", "\"9\""),
            )
            .await;
            for fault in [Fault::Throttled, Fault::Failed] {
                world.fail(kind, fault);
                send(&key, request(method, &at(&id), json!({name: "newer"}))).await;
            }
        }
        if kind == "user" {
            let mut other = draft.clone();
            other["email"] = json!("c@b.co");
            world.fail(kind, Fault::Contended);
            send(&post, request("POST", &all, other)).await;
            send(
                &format!("PUT {one}"),
                request("PUT", &at(&id), json!({"email": "c@b.co"})),
            )
            .await;
        }
        if kind == "asset" {
            let download = format!("GET {one}/download");
            send(&download, request("GET", &format!("{}/download", at("x")), None)).await;
            send(&download, request("GET", &format!("{}/download", at(&id)), None)).await;
            world.objects.put(&format!("assets/{id}/f"), 4);
            for fault in [Fault::Throttled, Fault::Failed] {
                world.fail(kind, fault.clone());
                send(&download, request("GET", &format!("{}/download", at(&id)), None)).await;
                world.fail(kind, fault);
                send(&format!("GET {one}"), request("GET", &at(&id), None)).await;
            }
            send(&download, request("GET", &format!("{}/download", at(&id)), None)).await;
            send(&format!("GET {one}"), request("GET", &at(&id), None)).await;
        }
        let delete = format!("DELETE {one}");
        send(
            &delete,
            with_header(request("DELETE", &at(&id), None), "if-match", "\"9\""),
        )
        .await;
        for fault in [Fault::Throttled, Fault::Failed] {
            world.fail(kind, fault);
            send(&delete, request("DELETE", &at(&id), None)).await;
        }
        send(&delete, request("DELETE", &at(&id), None)).await;
        send(&delete, request("DELETE", &at(&id), None)).await;
    }
    for key in ["GET /counter", "GET /health"] {
        let ask = || request("GET", key.split_once(' ').unwrap().1, None);
        checked(&world, &document, &mut seen, key, ask()).await;
        world.counter.broken.set(true);
        checked(&world, &document, &mut seen, key, ask()).await;
        world.counter.broken.set(false);
        world.counter.fault.set(Some(HotSpot::Elsewhere));
        checked(&world, &document, &mut seen, key, ask()).await;
        world.counter.fault.set(None);
    }
    // What is documented was seen, but for failures of reads, which the table in memory does not have.
    let reads =
        |key: &str| key.starts_with("GET /tasks") || key.starts_with("GET /users") || key.starts_with("GET /assets");
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in METHODS.iter().filter(|method| item.get(**method).is_some()) {
            for status in item[*method]["responses"].as_object().unwrap().keys() {
                let key = format!("{} {path}", method.to_uppercase());
                let seen = seen.contains(&format!("{key} {status}"));
                assert!(
                    seen || (reads(&key) && matches!(status.as_str(), "500" | "503")),
                    "{key} never answered {status}"
                );
            }
        }
    }
}
