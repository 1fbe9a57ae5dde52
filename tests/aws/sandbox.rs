//! The stack that the probes ask: the visitor counter with two releases, on the local target or on an account.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use taskctl_stack::aws::client::clients::{Clients, Connection};
use taskctl_tests::{Project, Run, artifacts, binary, repository};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// What it costs and takes, before anything is made.
const COST: &str = "\
This makes, for about 30 minutes, a stack of two functions, a table (on demand), an HTTP API, log groups, roles and a control
bucket, and calls them some thousand times. It costs less than 0.10 $. Everything is deleted in the end; what is left after an
interruption is found by the tag app=tcprobe and deleted by
  taskctl destroy --app tcprobe --stage dev --delete-data all";

enum Place {
    Local(Project),
    Account { directory: TempDir, packages: PathBuf },
}

/// A deployed stack, and clients that ask AWS beside taskctl.
pub struct Sandbox {
    pub runtime: Runtime,
    pub clients: Clients,
    pub account: String,
    pub region: String,
    pub app: String,
    /// How long the slowest propagation is waited for.
    pub patience: Duration,
    /// How long a silence must last that shows that nothing comes any more.
    pub silence: Duration,
    place: Place,
}

impl Sandbox {
    /// On the local target.
    pub fn local() -> Self {
        let project = Project::shipped("visitor-counter", "tcprobe");
        let runtime = Runtime::new().unwrap();
        let clients = runtime.block_on(project.clients());
        let sandbox = Self {
            clients,
            account: "000000000000".to_owned(),
            region: project.region(),
            app: project.app.clone(),
            patience: Duration::from_secs(10),
            silence: Duration::from_secs(1),
            place: Place::Local(project),
            runtime,
        };
        sandbox.deploy();
        sandbox
    }

    /// On the account of the environment's credentials, which TASKCTL_AWS_CONFORMANCE must name.
    pub fn account() -> Self {
        println!("{COST}\n");
        let runtime = Runtime::new().unwrap();
        let region = std::env::var("AWS_REGION").unwrap_or("eu-central-1".to_owned());
        let connection = Connection {
            region: region.clone(),
            ..Connection::default()
        };
        let clients = runtime.block_on(Clients::connect(&connection)).unwrap();
        let caller = runtime.block_on(clients.sts.get_caller_identity().send()).unwrap();
        let account = caller.account().unwrap_or_default().to_owned();
        assert_eq!(
            std::env::var("TASKCTL_AWS_CONFORMANCE").ok().as_ref(),
            Some(&account),
            "to go on, set TASKCTL_AWS_CONFORMANCE to the account that these credentials are of"
        );
        let apis = runtime.block_on(clients.apigateway.get_apis().send()).unwrap();
        assert!(
            apis.items().is_empty(),
            "the account's region {region} has APIs: take an empty one"
        );
        let directory = TempDir::new().unwrap();
        let template = fs::read_to_string(repository().join("templates/visitor-counter.yaml")).unwrap();
        let template = template.replacen("app: visitor-counter", "app: tcprobe", 1).replacen(
            "region: eu-central-1",
            &format!("region: {region}"),
            1,
        );
        fs::write(directory.path().join("taskctl.yaml"), template).unwrap();
        let packages = directory.path().join("packages");
        let sandbox = Self {
            clients,
            account,
            region,
            app: "tcprobe".to_owned(),
            patience: Duration::from_secs(600),
            silence: Duration::from_secs(60),
            place: Place::Account { directory, packages },
            runtime,
        };
        let handlers = repository().display().to_string();
        sandbox
            .run(&["package", "--handlers", &handlers, "--out", "packages"])
            .expect(0);
        sandbox.deploy();
        sandbox
    }

    /// Two releases: 1 is live, 2 waits.
    fn deploy(&self) {
        self.run(&["deploy", "--yes"]).expect(0);
        let path = self.directory().join("taskctl.yaml");
        let text = fs::read_to_string(&path).unwrap();
        let changed = text.replacen("  counter:\n    grants", "  counter:\n    memory: 640\n    grants", 1);
        let changed = changed.replacen("  health:\n", "  health:\n    memory: 640\n", 1);
        assert_ne!(text, changed);
        fs::write(path, changed).unwrap();
        self.run(&["deploy", "--yes", "--no-promote"]).expect(0);
    }

    fn directory(&self) -> PathBuf {
        match &self.place {
            Place::Local(project) => project.directory().to_owned(),
            Place::Account { directory, .. } => directory.path().to_owned(),
        }
    }

    /// Runs taskctl there.
    pub fn run(&self, arguments: &[&str]) -> Run {
        let Place::Account { directory, packages } = &self.place else {
            let Place::Local(project) = &self.place else {
                unreachable!()
            };
            return project.run(arguments);
        };
        let mut command = Command::new(binary());
        command.args(arguments).current_dir(directory.path());
        if matches!(arguments.first(), Some(&"plan" | &"deploy")) {
            command.arg("--artifacts").arg(packages);
        }
        let output = command.output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Run {
            code: output.status.code().unwrap_or(-1),
            out: text(output.stdout),
            err: text(output.stderr),
        }
    }

    /// Where this is, for the report.
    pub fn place(&self) -> String {
        match &self.place {
            Place::Local(_) => "the local target".to_owned(),
            Place::Account { .. } => format!("AWS, region {}, {:.0}", self.region, jiff::Timestamp::now()),
        }
    }

    /// Physical name of a function.
    pub fn function(&self, logical: &str) -> String {
        format!("{}-dev-{logical}", self.app)
    }

    /// The package of a function.
    pub fn package(&self, logical: &str) -> Vec<u8> {
        let folder = match &self.place {
            Place::Local(_) => artifacts(),
            Place::Account { packages, .. } => packages,
        };
        fs::read(folder.join(format!("{logical}.zip"))).unwrap()
    }

    /// Destroys the stack. Returns what is left of it.
    pub fn clean(&self) -> Vec<String> {
        self.run(&["destroy", "--yes", "--delete-data", "all"]).expect(0);
        let tagged = self.clients.tagging.get_resources().tag_filters(
            aws_sdk_resourcegroupstagging::types::TagFilter::builder()
                .key("app")
                .values(&self.app)
                .build(),
        );
        let tagged = self.runtime.block_on(tagged.send()).unwrap();
        let left = tagged.resource_tag_mapping_list().iter();
        // The tagging API names what was deleted a while ago, too.
        left.filter_map(|one| one.resource_arn().map(str::to_owned)).collect()
    }
}
