//! The AWS CLI, for command lines that people are told to run.

use std::process::Command;

use crate::installed::install_once;
use crate::local::{Local, run_tool, scratch};

/// The last of the first major version that is known to work here; it comes from the Python package index.
const AWS_CLI: &str = "awscli==1.44.49";

/// Runs a command line of the AWS CLI in a shell, as the operator of a local target. Returns what it wrote.
///
/// # Panics
/// When it cannot be installed, or fails.
pub fn aws(local: &Local, line: &str) -> String {
    let venv = scratch().join("aws-cli");
    let installed = install_once(&venv, AWS_CLI, || {
        run_tool(Command::new("python3").args(["-m", "venv"]).arg(&venv));
        run_tool(Command::new(venv.join("bin/pip")).args([
            "install",
            "--quiet",
            "--disable-pip-version-check",
            AWS_CLI,
        ]));
    });
    installed.unwrap_or_else(|error| panic!("{}: {error}", venv.display()));
    let (key, secret) = local.credentials();
    let path = format!(
        "{}:{}",
        venv.join("bin").display(),
        std::env::var("PATH").unwrap_or_default()
    );
    let mut shell = Command::new("sh");
    shell.args(["-c", line]).env("PATH", path);
    for (name, value) in [
        ("AWS_ACCESS_KEY_ID", key.as_str()),
        ("AWS_SECRET_ACCESS_KEY", &secret),
        ("AWS_EC2_METADATA_DISABLED", "true"),
    ] {
        shell.env(name, value);
    }
    shell.env_remove("AWS_PROFILE").env_remove("AWS_SESSION_TOKEN");
    let answer = shell.output().unwrap_or_else(|error| panic!("{line}: {error}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(answer.status.success(), "{line}: {}", text(&answer.stderr));
    text(&answer.stdout)
}
