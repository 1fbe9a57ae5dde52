//! Functions that nobody wrote for taskctl: the runtime API's loop in Python.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use base64::Engine as _;
use serde_json::Value;
use sha2::Digest as _;

use crate::local::artifacts;

/// The loop; `answer` is what comes of an event.
const LOOP: &str = r#"#!/usr/bin/env python3
import json, os, time, urllib.request

BASE = f"http://{os.environ['AWS_LAMBDA_RUNTIME_API']}/2018-06-01/runtime/invocation"

ANSWER

while True:
    with urllib.request.urlopen(f"{BASE}/next") as event:
        request = event.headers["Lambda-Runtime-Aws-Request-Id"]
        body = json.dumps(answer(json.load(event))).encode()
    urllib.request.urlopen(urllib.request.Request(f"{BASE}/{request}/response", data=body, method="POST")).read()
"#;

/// Answers right, but late.
const SLOW: &str = r#"
def answer(event):
    time.sleep(1.5)
    return {"statusCode": 200, "headers": {"x-version": os.environ["AWS_LAMBDA_FUNCTION_VERSION"]}, "body": "{}"}
"#;

/// Answers as functions of other people do: names no release, writes no metrics, has no order of any id. `LISTING` is the
/// status of the list.
const FOREIGN: &str = r#"
def answer(event):
    if "id" in event.get("pathParameters", {}):
        return {"statusCode": 404, "headers": {"content-type": "application/json"}, "body": '{"error":"no such order"}'}
    return {"statusCode": int(os.environ["LISTING"]), "body": "[]"}
"#;

/// Makes packages in which the counter is slow.
///
/// # Panics
/// When they cannot be written.
pub fn slow_packages(directory: &Path) {
    packages(directory, "counter", SLOW);
}

/// Makes packages with a function `orders` that knows nothing of taskctl.
///
/// # Panics
/// When they cannot be written.
pub fn foreign_packages(directory: &Path) {
    packages(directory, "orders", FOREIGN);
}

/// Writes a program `bootstrap` that answers events so: code of a function that is not built.
///
/// # Panics
/// When it cannot be written.
pub fn python_function(directory: &Path, answer: &str) {
    let path = directory.join("bootstrap");
    let written = fs::create_dir_all(directory)
        .and_then(|()| fs::write(&path, LOOP.replace("ANSWER", answer.trim())))
        .and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(0o755)));
    if let Err(error) = written {
        panic!("{}: {error}", path.display());
    }
}

fn packages(directory: &Path, function: &str, answer: &str) {
    if let Err(error) = write(directory, function, &LOOP.replace("ANSWER", answer.trim())) {
        panic!("no packages in {}: {error}", directory.display());
    }
}

fn write(directory: &Path, function: &str, bootstrap: &str) -> std::io::Result<()> {
    fs::create_dir(directory)?;
    for entry in fs::read_dir(artifacts())? {
        let entry = entry?;
        fs::copy(entry.path(), directory.join(entry.file_name()))?;
    }
    let file = format!("{function}.zip");
    let path = directory.join(&file);
    let mut zip = zip::ZipWriter::new(fs::File::create(&path)?);
    zip.start_file(
        "bootstrap",
        zip::write::SimpleFileOptions::default().unix_permissions(0o755),
    )?;
    zip.write_all(bootstrap.as_bytes())?;
    zip.finish()?;
    let bytes = fs::read(&path)?;
    let hash = base64::engine::general_purpose::STANDARD.encode(sha2::Sha256::digest(&bytes));
    let list = directory.join("packages.json");
    let mut packages: Value = serde_json::from_str(&fs::read_to_string(&list)?)?;
    let mut package = packages["packages"]["counter"].clone();
    package["file"] = file.into();
    package["codeSha256"] = hash.into();
    package["bytes"] = bytes.len().into();
    packages["packages"][function] = package;
    fs::write(list, packages.to_string())
}
