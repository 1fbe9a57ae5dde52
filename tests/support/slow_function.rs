//! A function that answers right, but late.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use base64::Engine as _;
use serde_json::Value;
use sha2::Digest as _;

use crate::local::artifacts;

/// A function that answers right, but late: the runtime API's loop in Python.
const SLOW: &str = r#"#!/usr/bin/env python3
import json, os, time, urllib.request
base = f"http://{os.environ['AWS_LAMBDA_RUNTIME_API']}/2018-06-01/runtime/invocation"
version = os.environ["AWS_LAMBDA_FUNCTION_VERSION"]
while True:
    with urllib.request.urlopen(f"{base}/next") as event:
        request = event.headers["Lambda-Runtime-Aws-Request-Id"]
        event.read()
    time.sleep(1.5)
    answer = {"statusCode": 200, "headers": {"x-version": version}, "body": "{}"}
    body = json.dumps(answer).encode()
    urllib.request.urlopen(urllib.request.Request(f"{base}/{request}/response", data=body, method="POST")).read()
"#;

/// Makes packages in which the counter is slow.
///
/// # Panics
/// When they cannot be written.
pub fn slow_packages(directory: &Path) {
    if let Err(error) = write(directory) {
        panic!("no packages in {}: {error}", directory.display());
    }
}

fn write(directory: &Path) -> std::io::Result<()> {
    fs::create_dir(directory)?;
    for entry in fs::read_dir(artifacts())? {
        let entry = entry?;
        fs::copy(entry.path(), directory.join(entry.file_name()))?;
    }
    let path = directory.join("counter.zip");
    let mut zip = zip::ZipWriter::new(fs::File::create(&path)?);
    zip.start_file(
        "bootstrap",
        zip::write::SimpleFileOptions::default().unix_permissions(0o755),
    )?;
    zip.write_all(SLOW.as_bytes())?;
    zip.finish()?;
    let bytes = fs::read(&path)?;
    let hash = base64::engine::general_purpose::STANDARD.encode(sha2::Sha256::digest(&bytes));
    let list = directory.join("packages.json");
    let mut packages: Value = serde_json::from_str(&fs::read_to_string(&list)?)?;
    packages["packages"]["counter"]["codeSha256"] = hash.into();
    packages["packages"]["counter"]["bytes"] = bytes.len().into();
    fs::write(list, packages.to_string())
}
