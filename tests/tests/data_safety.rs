//! Data is never deleted unless it was named: emptiness counts only when it is looked at after everything that could write
//! is gone, right before the delete.

use aws_sdk_dynamodb::types::AttributeValue;
use serde_json::Value;
use taskctl_stack::aws::client::clients::Clients;
use taskctl_tests::{FaultProxy, Project};
use tokio::runtime::Runtime;

/// What stands besides the stores: an API with a function.
const SERVING: &str = "functions:\n  health: {}\napi:\n  routes: {GET /health: health}\n";

/// A project with these tables and buckets, and what happens in them behind taskctl's back.
struct World {
    project: Project,
    runtime: Runtime,
    clients: Clients,
}

impl World {
    fn new(app: &str, tables: &[&str], buckets: &[(&str, &str)]) -> Self {
        let project = Project::platform(app);
        let keys = tables
            .iter()
            .map(|table| format!("  {table}: {{partition_key: id}}\n"))
            .collect::<String>();
        let settings = buckets
            .iter()
            .map(|(bucket, settings)| format!("  {bucket}: {{{settings}}}\n"))
            .collect::<String>();
        project.write(&format!(
            "app: {app}\nregion: eu-central-1\nstages: {{dev: {{}}}}\ntables:\n{keys}buckets:\n{settings}{SERVING}"
        ));
        let runtime = Runtime::new().unwrap();
        let clients = runtime.block_on(project.clients());
        project.run(&["deploy"]).expect(0);
        Self {
            project,
            runtime,
            clients,
        }
    }

    fn bucket(&self, logical: &str) -> String {
        format!("{}-000000000000-eu-central-1", self.project.name(logical))
    }

    /// Writes an item.
    fn insert(&self, table: &str) {
        let put = self.clients.dynamodb.put_item().table_name(self.project.name(table));
        let put = put.item("id", AttributeValue::S("late".to_owned()));
        self.runtime.block_on(put.send()).unwrap();
    }

    /// Writes an object.
    fn upload(&self, bucket: &str, key: &str) {
        let put = self.clients.s3.put_object().bucket(self.bucket(bucket)).key(key);
        let put = put.body(b"late".to_vec().into());
        self.runtime.block_on(put.send()).unwrap();
    }

    fn items(&self, table: &str) -> Option<i32> {
        let scan = self.clients.dynamodb.scan().table_name(self.project.name(table));
        self.runtime.block_on(scan.send()).ok().map(|page| page.count())
    }

    fn objects(&self, bucket: &str) -> Option<usize> {
        let list = self.clients.s3.list_object_versions().bucket(self.bucket(bucket));
        self.runtime
            .block_on(list.send())
            .ok()
            .map(|page| page.versions().len())
    }

    fn has_api(&self) -> bool {
        let apis = self.clients.apigateway.get_apis().max_results("500");
        let apis = self.runtime.block_on(apis.send()).unwrap();
        let name = format!("{}-dev", self.project.app);
        apis.items().iter().any(|api| api.name() == Some(&name))
    }
}

/// Ids in events of a kind, sorted.
fn ids(events: &[Value], kind: &str) -> Vec<String> {
    let of_kind = events.iter().filter(|event| event["event"] == kind);
    let mut ids: Vec<String> = of_kind.map(|event| event["id"].as_str().unwrap().to_owned()).collect();
    ids.sort();
    ids
}

/// How the plan's step of a resource says what becomes of it.
fn reason(events: &[Value], id: &str) -> String {
    let steps = events.iter().find_map(|event| event.pointer("/plan/steps"));
    let steps = steps.and_then(Value::as_array).unwrap();
    let step = steps.iter().find(|step| step["id"] == id).unwrap();
    format!(
        "{} {}",
        step["action"].as_str().unwrap(),
        step["reason"].as_str().unwrap()
    )
}

#[test]
fn data_written_at_the_prompt_after_consent_and_after_the_api_is_gone_survives() {
    let world = World::new(
        "late",
        &["prompted", "agreed", "last", "empty"],
        &[
            ("asked", ""),
            ("granted", ""),
            ("final", ""),
            ("void", "versioning: true"),
        ],
    );
    let relay = FaultProxy::before(&world.project.local.endpoint());
    let mut terminal = world.project.start_at_terminal(&relay.endpoint, &["destroy"]);
    terminal.wait_for("Type the stage's name");
    world.insert("prompted");
    world.upload("asked", "a");
    let first = relay.hold("DELETE", "/v2/apis");
    let look = relay.hold("Scan", &world.project.name("last"));
    let delete = relay.hold("DELETE", &world.bucket("final"));
    terminal.type_line("dev");
    first.meanwhile(|| {
        world.insert("agreed");
        world.upload("granted", "a");
    });
    look.meanwhile(|| {
        assert!(!world.has_api(), "what can write goes first");
        world.insert("last");
    });
    delete.meanwhile(|| world.upload("final", "a"));
    let run = terminal.end().expect(4);
    for table in ["prompted", "agreed", "last"] {
        assert_eq!(world.items(table), Some(1), "{table}");
        let told = format!("kept     dynamodb_table.{table}");
        assert!(run.err.contains(&told), "{told}: {}", run.err);
    }
    for bucket in ["asked", "granted", "final"] {
        assert_eq!(world.objects(bucket), Some(1), "{bucket}");
        let told = format!("kept     s3_bucket.{bucket}");
        assert!(run.err.contains(&told), "{told}: {}", run.err);
    }
    assert_eq!((world.items("empty"), world.objects("void")), (None, None));

    // Again: nothing is left to do, and the plan says why.
    let again = world.project.run(&["destroy", "--yes", "--output", "json"]).expect(0);
    assert_eq!(again.changes(), Vec::<String>::new());
    assert!(reason(&again.events(), "dynamodb_table.last").starts_with("keep it holds data"));

    // The stage can be stood up again around what was kept, and without anybody to ask it is no different.
    world.project.run(&["deploy"]).expect(0);
    assert_eq!((world.items("prompted"), world.objects("asked")), (Some(1), Some(1)));
    let first = relay.hold("DELETE", "/v2/apis");
    let destroy = world
        .project
        .start_at(&relay.endpoint, &["destroy", "--yes", "--output", "json"]);
    first.meanwhile(|| {
        world.insert("empty");
        world.upload("void", "a");
    });
    let run = destroy.end().expect(4);
    let events = run.events();
    assert_eq!(ids(&events, "action-kept"), ["dynamodb_table.empty", "s3_bucket.void"]);
    assert_eq!(ids(&events, "action-failed"), Vec::<String>::new());
    assert!(reason(&events, "dynamodb_table.empty").contains("it is empty now"));
    assert_eq!(events.last().unwrap()["outcome"], "kept");
    assert_eq!((world.items("empty"), world.objects("void")), (Some(1), Some(1)));

    // Named, it goes.
    let named = ["destroy", "--yes", "--delete-data", "all", "--output", "json"];
    world.project.run(&named).expect(0);
    assert_eq!((world.items("empty"), world.objects("void")), (None, None));
    assert_eq!((world.items("last"), world.objects("final")), (None, None));
}

#[test]
fn what_is_left_of_data_is_data() {
    let world = World::new(
        "left",
        &["plain"],
        &[
            ("begun", ""),
            ("hidden", "versioning: true"),
            ("marked", "versioning: true"),
            ("site", "website: true, versioning: true"),
        ],
    );
    let s3 = &world.clients.s3;
    let remove = |bucket: &str, key: &str| {
        let delete = s3.delete_object().bucket(world.bucket(bucket)).key(key);
        world.runtime.block_on(delete.send()).unwrap();
    };
    // Somebody's upload is on its way; only a version is left that is not current; so in a bucket of a web site.
    let begin = s3.create_multipart_upload().bucket(world.bucket("begun")).key("half");
    world.runtime.block_on(begin.send()).unwrap();
    world.upload("hidden", "old");
    remove("hidden", "old");
    world.upload("site", "theirs.txt");
    remove("site", "theirs.txt");
    // A mark of something that never was is none.
    remove("marked", "never-there");

    let run = world.project.run(&["destroy", "--yes", "--output", "json"]).expect(0);
    let events = run.events();
    for bucket in ["begun", "hidden", "site"] {
        let reason = reason(&events, &format!("s3_bucket.{bucket}"));
        assert!(reason.starts_with("keep it holds data"), "{bucket}: {reason}");
    }
    assert!(world.objects("site").unwrap() > 1, "with the pages");
    assert_eq!((world.items("plain"), world.objects("marked")), (None, None));
    world
        .project
        .run(&["destroy", "--yes", "--delete-data", "all"])
        .expect(0);
    assert_eq!((world.objects("begun"), world.objects("hidden")), (None, None));
}

/// A protected stage is refused before AWS is asked anything; with the protection lifted in the template but not on AWS, before
/// anything is deleted.
#[test]
fn a_protected_stage_is_not_destroyed() {
    let world = World::new("shielded", &["kept"], &[]);
    let project = &world.project;
    let plain = project.template();
    let protected = plain.replace("stages: {dev: {}}", "stages: {dev: {protected: true}}");
    assert_ne!(plain, protected);
    project.write(&protected);
    project.run(&["deploy", "--yes"]).expect(0);
    let refused = project
        .run(&["destroy", "--yes", "--delete-data", "all", "--output", "json"])
        .expect(64);
    assert!(refused.out.contains("shielded/dev is protected"), "{}", refused.out);
    assert!(world.has_api() && world.items("kept") == Some(0));

    // AWS still refuses to delete the table.
    project.write(&plain);
    let refused = project
        .run(&["destroy", "--yes", "--delete-data", "all", "--output", "json"])
        .expect(1);
    assert!(
        refused
            .out
            .contains("dynamodb_table.kept would be deleted, but AWS refuses it"),
        "{}",
        refused.out
    );
    assert!(world.has_api());

    project.run(&["deploy", "--yes"]).expect(0);
    project.run(&["destroy", "--yes", "--delete-data", "all"]).expect(0);
    assert!(!world.has_api());
}
