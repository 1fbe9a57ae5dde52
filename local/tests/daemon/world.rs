//! A local target of one test, and a client that speaks the AWS protocols to it.

use std::ffi::OsString;
use std::io::{Cursor, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use taskctl_local::signing::{Payload, Scope, Signable, signed_headers};
use taskctl_local::{
    AskedPorts, Credentials, DEFAULT_ACCOUNT, DaemonCommand, LocalOptions, LocalStatus, credentials, down, up,
};
use tempfile::TempDir;

/// Says that this program is the background process.
pub const DAEMON: &str = "TASKCTL_TEST_DAEMON";
/// The region of the tests.
pub const REGION: &str = "eu-central-1";
const PATIENCE: Duration = Duration::from_secs(30);

/// The cache folder: shared, so that the tests install the emulator once.
pub fn cache() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("cache")
}

/// A local target with a root of its own, ended when it is dropped.
pub struct World {
    pub options: LocalOptions,
    client: Client<HttpConnector, Full<Bytes>>,
    _directory: TempDir,
}

impl World {
    /// One that does not run yet.
    pub fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let options = LocalOptions {
            asked: AskedPorts {
                endpoint: Some(free_port()),
                websites: Some(free_port()),
                first_api: Some(free_port()),
            },
            ..LocalOptions::new(directory.path(), &cache())
        };
        Self {
            options,
            client: Client::builder(TokioExecutor::new()).build_http(),
            _directory: directory,
        }
    }

    /// One that runs.
    pub async fn running() -> Self {
        let world = Self::new();
        world.up().await;
        world
    }

    /// How the background process is started.
    pub fn daemon(&self) -> DaemonCommand {
        let mark = OsString::from(format!("{DAEMON}=1"));
        let program = std::env::current_exe().unwrap().into_os_string();
        let flags = ["daemon_process", "--exact", "--ignored", "--nocapture"].map(OsString::from);
        DaemonCommand {
            program: "/usr/bin/env".into(),
            arguments: [mark, program].into_iter().chain(flags).collect(),
        }
    }

    pub async fn up(&self) -> LocalStatus {
        up(&self.options, &self.daemon(), |_| ()).await.unwrap()
    }

    pub async fn down(&self) {
        down(&self.options).await.unwrap();
    }

    /// Sends a request as it is.
    pub async fn send(&self, request: Request<Full<Bytes>>) -> Response<Bytes> {
        let (parts, body) = self.client.request(request).await.unwrap().into_parts();
        Response::from_parts(parts, body.collect().await.unwrap().to_bytes())
    }

    /// Credentials of the operator of this root.
    pub fn credentials(&self) -> Credentials {
        credentials(&self.options, DEFAULT_ACCOUNT, None).unwrap()
    }

    /// A plain GET.
    pub async fn get(&self, url: &str) -> Response<Bytes> {
        self.send(Request::get(url).body(Full::default()).unwrap()).await
    }

    /// A call to the endpoint, signed for a service.
    pub async fn call(
        &self,
        service: &str,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Answer {
        let (url, body) = (format!("{}{path}", self.options.ports().endpoint_url()), body.into());
        let scope = Scope {
            region: REGION,
            service,
            time: SystemTime::now(),
        };
        let signable = Signable {
            method: method.as_str(),
            url: &url,
            headers,
            body: Payload::Bytes(&body),
        };
        let signed = signed_headers(&self.credentials(), scope, signable).unwrap();
        let mut request = Request::builder().method(&method).uri(&url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        for (name, value) in &signed {
            request = request.header(name, value);
        }
        let response = self.send(request.body(Full::new(body)).unwrap()).await;
        Answer {
            status: response.status().as_u16(),
            kind: response
                .headers()
                .get("x-amzn-errortype")
                .map(|kind| kind.to_str().unwrap().to_owned()),
            headers: response.headers().clone(),
            body: response.into_body(),
        }
    }

    /// A call of a REST-JSON service.
    pub async fn rest(&self, service: &str, method: &str, path: &str, input: Value) -> Answer {
        let body = if input.is_null() {
            String::new()
        } else {
            input.to_string()
        };
        self.call(service, method.parse().unwrap(), path, &[], body).await
    }

    /// A call of a JSON service.
    pub async fn json(&self, service: &str, target: &str, input: Value) -> Answer {
        let headers = [("x-amz-target", target), ("content-type", "application/x-amz-json-1.1")];
        self.call(service, Method::POST, "/", &headers, input.to_string()).await
    }

    /// A call of a query service.
    pub async fn query(&self, service: &str, parameters: &[(&str, &str)]) -> Answer {
        let body = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(parameters)
            .finish();
        let headers = [("content-type", "application/x-www-form-urlencoded")];
        self.call(service, Method::POST, "/", &headers, body).await
    }

    /// Makes a role that functions can have.
    pub async fn role(&self, name: &str) -> String {
        self.role_of(name, "lambda.amazonaws.com").await
    }

    /// Makes a role that a service can take on.
    pub async fn role_of(&self, name: &str, service: &str) -> String {
        let trust = json!({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}]});
        let parameters = [
            ("Action", "CreateRole"),
            ("Version", "2010-05-08"),
            ("RoleName", name),
            ("AssumeRolePolicyDocument", &trust.to_string()),
        ];
        self.query("iam", &parameters).await.ok();
        format!("arn:aws:iam::000000000000:role/{name}")
    }

    /// Lets a role do something with a resource.
    pub async fn allow(&self, role: &str, action: &str, resource: &str) {
        let statement = json!({"Effect": "Allow", "Action": action, "Resource": resource});
        let document = json!({"Version": "2012-10-17", "Statement": [statement]}).to_string();
        let parameters = [
            ("Action", "PutRolePolicy"),
            ("Version", "2010-05-08"),
            ("RoleName", role),
            ("PolicyName", &action.replace([':', '*'], "-")),
            ("PolicyDocument", &document),
        ];
        self.query("iam", &parameters).await.ok();
    }

    /// Makes a function that answers with `says` and its version.
    pub async fn function(&self, name: &str, says: &str) -> Value {
        self.function_of(name, &package(says)).await
    }

    /// Makes a function of a package.
    pub async fn function_of(&self, name: &str, package: &[u8]) -> Value {
        let role = self.role(&format!("{name}-role")).await;
        let input = json!({
            "FunctionName": name, "Runtime": "provided.al2023", "Role": role, "Handler": "bootstrap", "Timeout": 20,
            "MemorySize": 256, "Architectures": [architecture()], "Code": {"ZipFile": BASE64.encode(package)},
            "Tags": {"app": "x"},
        });
        self.rest("lambda", "POST", "/2015-03-31/functions", input)
            .await
            .value()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // Ends what a failed test left running; the process is the leader of a session of its own.
        let options = self.options.clone();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            let _ = runtime.block_on(down(&options));
        })
        .join()
        .unwrap();
    }
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub kind: Option<String>,
    pub headers: http::HeaderMap,
    pub body: Bytes,
}

impl Answer {
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Must have succeeded.
    pub fn ok(self) -> Self {
        assert!((200..300).contains(&self.status), "{} {}", self.status, self.text());
        self
    }

    /// The JSON of a success.
    pub fn value(self) -> Value {
        let answer = self.ok();
        if answer.body.is_empty() {
            Value::Null
        } else {
            serde_json::from_slice(&answer.body).unwrap()
        }
    }

    /// Must have been refused so.
    pub fn refused(&self, status: u16, code: &str) {
        let text = self.text();
        let said = self.kind.as_deref() == Some(code) || text.contains(code);
        assert!(
            self.status == status && said,
            "wanted {status} {code}, got {} {:?} {text}",
            self.status,
            self.kind
        );
    }
}

/// This machine's architecture, as Lambda names it.
pub fn architecture() -> &'static str {
    if cfg!(target_arch = "aarch64") {
        "arm64"
    } else {
        "x86_64"
    }
}

/// A zip with a `bootstrap` that answers with `says` and its version.
pub fn package(says: &str) -> Vec<u8> {
    let program = format!(
        r#"#!/usr/bin/env python3
import json, os, urllib.request
base = "http://" + os.environ["AWS_LAMBDA_RUNTIME_API"] + "/2018-06-01/runtime/invocation/"
while True:
    with urllib.request.urlopen(base + "next") as event:
        request = event.headers["Lambda-Runtime-Aws-Request-Id"]
        event.read()
    print("handled " + request, flush=True)
    body = json.dumps({{"statusCode": 200, "body": "{says} " + os.environ["AWS_LAMBDA_FUNCTION_VERSION"]}})
    urllib.request.urlopen(urllib.request.Request(base + request + "/response", data=body.encode()))
"#
    );
    zipped(&program)
}

/// A zip with this `bootstrap`.
pub fn zipped(program: &str) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let file = zip::write::SimpleFileOptions::default().unix_permissions(0o755);
    zip.start_file("bootstrap", file).unwrap();
    zip.write_all(program.as_bytes()).unwrap();
    zip.finish().unwrap().into_inner()
}

/// The hash of a zip as `CodeSha256` shows it.
pub fn sha256(zip: &[u8]) -> String {
    use sha2::Digest;
    BASE64.encode(sha2::Sha256::digest(zip))
}

/// base64 of some bytes.
pub fn base64(bytes: &[u8]) -> String {
    BASE64.encode(bytes)
}

/// A port that nobody listens on, below those that the system gives to connections, with some above it that no other test is
/// given.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = u16::try_from(std::process::id() % 900).unwrap() * 10;
    loop {
        let port = 20_000 + (start + NEXT.fetch_add(10, Ordering::Relaxed)) % 12_000;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// Asks until there is an answer.
pub async fn until<T, Asked: Future<Output = Option<T>>>(what: &str, mut ask: impl FnMut() -> Asked) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = ask().await {
            return found;
        }
        assert!(Instant::now() < deadline, "{what} did not come");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
