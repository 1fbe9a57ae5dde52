//! A project of one test: the shipped platform template under an application name of its own, so that tests running at the
//! same time do not meet.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use serde_json::Value;
use taskctl_stack::aws::client::clients::{Clients, Connection};
use tempfile::TempDir;

use crate::Terminal;
use crate::local::{Local, Run, Running, artifacts, repository};

/// A project and the target it is deployed to.
pub struct Project {
    /// The target.
    pub local: Arc<Local>,
    /// Application name.
    pub app: String,
    /// A control bucket of its own, for tests that harm it.
    pub control_bucket: Option<String>,
    directory: TempDir,
}

impl Project {
    /// The platform template as `app`.
    ///
    /// # Panics
    /// When the template cannot be copied.
    pub fn platform(app: &str) -> Self {
        Self::shipped("platform", app)
    }

    /// A shipped template as `app`.
    ///
    /// # Panics
    /// When the template cannot be copied.
    pub fn shipped(template: &str, app: &str) -> Self {
        let text = read(&repository().join(format!("templates/{template}.yaml")));
        let project = Self::empty(app);
        project.write(&renamed(&text, app));
        copy(&repository().join("templates/site"), &project.directory().join("site"));
        project
    }

    /// A project of `examples/` as `app`.
    ///
    /// # Panics
    /// When it cannot be copied.
    pub fn example(name: &str, app: &str) -> Self {
        let project = Self::empty(app);
        copy(&repository().join("examples").join(name), project.directory());
        project.write(&renamed(&project.template(), app));
        project
    }

    fn empty(app: &str) -> Self {
        let directory = match TempDir::new() {
            Ok(directory) => directory,
            Err(error) => panic!("no directory for the project: {error}"),
        };
        Self {
            local: Local::shared(),
            app: app.to_owned(),
            control_bucket: None,
            directory,
        }
    }

    /// The project's directory.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The template's text.
    pub fn template(&self) -> String {
        read(&self.directory().join("taskctl.yaml"))
    }

    /// Writes the template.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn write(&self, text: &str) {
        if let Err(error) = fs::write(self.directory().join("taskctl.yaml"), text) {
            panic!("the template was not written: {error}");
        }
    }

    /// Runs a command of the project against the local target.
    pub fn run(&self, arguments: &[&str]) -> Run {
        self.start(arguments).end()
    }

    /// Starts a command and does not wait for it.
    pub fn start(&self, arguments: &[&str]) -> Running {
        let all = Self::local_arguments(arguments);
        let all: Vec<&str> = all.iter().map(String::as_str).collect();
        self.local.start_with(&all, self.directory(), &self.environment(&[]))
    }

    fn local_arguments(arguments: &[&str]) -> Vec<String> {
        let mut all: Vec<String> = arguments.iter().copied().map(str::to_owned).collect();
        all.push("--local".to_owned());
        if matches!(arguments.first(), Some(&"plan" | &"deploy")) {
            all.extend(["--artifacts".to_owned(), artifacts().to_string_lossy().into_owned()]);
        }
        all
    }

    /// Starts a command against an AWS endpoint, and does not wait for it.
    pub fn start_at(&self, endpoint: &str, arguments: &[&str]) -> Running {
        let (key, secret) = self.local.credentials();
        let credentials = [("AWS_ACCESS_KEY_ID", &*key), ("AWS_SECRET_ACCESS_KEY", &*secret)];
        self.start_as(endpoint, arguments, &credentials)
    }

    /// Starts a command against an AWS endpoint as somebody, and does not wait for it.
    pub fn start_as(&self, endpoint: &str, arguments: &[&str], credentials: &[(&str, &str)]) -> Running {
        let dist = artifacts().to_string_lossy().into_owned();
        let mut all: Vec<&str> = arguments.to_vec();
        all.extend(["--endpoint-url", endpoint]);
        if matches!(arguments.first(), Some(&"plan" | &"deploy")) {
            all.extend(["--artifacts", &dist]);
        }
        self.local
            .start_with(&all, self.directory(), &self.environment(credentials))
    }

    /// Starts a command against an AWS endpoint at a terminal, where it can ask.
    pub fn start_at_terminal(&self, endpoint: &str, arguments: &[&str]) -> Terminal {
        let (key, secret) = self.local.credentials();
        let credentials = [("AWS_ACCESS_KEY_ID", &*key), ("AWS_SECRET_ACCESS_KEY", &*secret)];
        let all = [arguments, &["--endpoint-url", endpoint]].concat();
        self.local
            .start_at_terminal(200, &all, self.directory(), &self.environment(&credentials))
    }

    /// Starts a command of the project against the local target, at a terminal of so many columns.
    pub fn start_on_screen(&self, columns: u16, arguments: &[&str]) -> Terminal {
        let all = Self::local_arguments(arguments);
        let all: Vec<&str> = all.iter().map(String::as_str).collect();
        self.local
            .start_at_terminal(columns, &all, self.directory(), &self.environment(&[]))
    }

    fn environment<'a>(&'a self, credentials: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
        let bucket = self.control_bucket.iter();
        let bucket = bucket.map(|name| ("TASKCTL_CONTROL_BUCKET", name.as_str()));
        bucket.chain(credentials.iter().copied()).collect()
    }

    /// The status of a stage, as JSON.
    ///
    /// # Panics
    /// When it is not one JSON object.
    pub fn status(&self, stage: &str) -> Value {
        let run = self.run(&["status", "--stage", stage, "--output", "json"]).expect(0);
        match serde_json::from_str(&run.out) {
            Ok(status) => status,
            Err(error) => panic!("{error} in {}", run.out),
        }
    }

    /// SDK clients that change things behind taskctl's back.
    pub async fn clients(&self) -> Clients {
        let connection = Connection {
            region: self.region(),
            profile: None,
            endpoint_url: Some(self.local.endpoint()),
            credentials: Some(self.local.credentials()),
            session_ends: None,
        };
        Clients::connect(&connection).await.expect("no profile is asked for")
    }

    /// Lets the lease on stage dev be that of another machine: whether its holder is still there cannot be seen from here.
    ///
    /// # Panics
    /// When nobody holds the stage.
    pub async fn hold_elsewhere(&self) {
        let s3 = self.clients().await.s3;
        let (bucket, key) = (
            format!("taskctl-000000000000-{}", self.region()),
            format!("{}/dev/lease.json", self.app),
        );
        let stored = s3.get_object().bucket(&bucket).key(&key).send().await;
        let stored = stored.expect("the stage is held").body.collect().await;
        let stored = stored.expect("it is read").into_bytes();
        let mut lease: Value = serde_json::from_slice(&stored).expect("it is JSON");
        lease["holder"]["host"] = "elsewhere".into();
        let body = lease.to_string().into_bytes().into();
        let put = s3.put_object().bucket(&bucket).key(&key).body(body).send().await;
        put.expect("it is written");
    }

    /// The template's region.
    ///
    /// # Panics
    /// When the template names none.
    pub fn region(&self) -> String {
        match self.template().lines().find_map(|line| line.strip_prefix("region:")) {
            Some(region) => region.trim().to_owned(),
            None => panic!("the template has no region"),
        }
    }

    /// Physical name of a table or function on stage dev.
    pub fn name(&self, logical: &str) -> String {
        format!("{}-dev-{logical}", self.app)
    }

    /// URL of live.
    ///
    /// # Panics
    /// When nothing is live.
    pub fn live(&self, stage: &str) -> String {
        match self.status(stage)["endpoints"]["live"].as_str() {
            Some(url) => url.to_owned(),
            None => panic!("stage {stage} has no live endpoint"),
        }
    }
}

/// A template under another application name.
fn renamed(template: &str, app: &str) -> String {
    let lines = template.lines().map(|line| {
        if line.starts_with("app:") {
            format!("app: {app}")
        } else {
            line.to_owned()
        }
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Copies a folder, without what was built in it.
fn copy(from: &Path, to: &Path) {
    let copied = fs::create_dir_all(to).and_then(|()| {
        for entry in fs::read_dir(from)? {
            let entry = entry?;
            let target = to.join(entry.file_name());
            if !entry.file_type()?.is_dir() {
                fs::copy(entry.path(), target)?;
            } else if entry.file_name() != "target" {
                copy(&entry.path(), &target);
            }
        }
        Ok(())
    });
    if let Err(error) = copied {
        panic!("{} was not copied: {error}", from.display());
    }
}

fn read(path: &Path) -> String {
    match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => panic!("{}: {error}", path.display()),
    }
}
