//! Nobody but the operator gets into the local target: not a page in the browser, not another user of this machine, not a
//! client without its keys.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use aws_sdk_s3::presigning::PresigningConfig;
use serde_json::{Value, json};
use taskctl_local::signing::{Payload, Scope, Signable, presigned_url, signed_headers};
use taskctl_local::{Credentials, DEFAULT_ACCOUNT};
use taskctl_tests::{Browser, Local, Project};

const FOREIGN: &str = "http://evil.example";

/// A request that does harm, or tells secrets, to whoever may make it.
#[derive(Clone)]
struct Attack {
    service: &'static str,
    method: &'static str,
    path: String,
    headers: Vec<(&'static str, &'static str)>,
    body: String,
}

fn attack(service: &'static str, method: &'static str, path: impl Into<String>, body: impl ToString) -> Attack {
    let (path, body) = (path.into(), body.to_string());
    let headers = Vec::new();
    Attack {
        service,
        method,
        path,
        headers,
        body,
    }
}

impl Attack {
    fn with(mut self, name: &'static str, value: &'static str) -> Self {
        self.headers.push((name, value));
        self
    }
}

/// What the review of the endpoint did, and the other services.
fn attacks(project: &Project, api: &str, bucket: &str) -> Vec<Attack> {
    let trust = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"lambda.amazonaws.com"},"Action":"sts:AssumeRole"}]}"#;
    let role = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs([
            ("Action", "CreateRole"),
            ("Version", "2010-05-08"),
            ("RoleName", "evil"),
            ("AssumeRolePolicyDocument", trust),
        ])
        .finish();
    let function = json!({
        "FunctionName": "evil", "Runtime": "provided.al2023", "Role": "arn:aws:iam::000000000000:role/evil", "Handler": "bootstrap",
        "Code": {"ZipFile": ""},
    });
    let (table, health) = (project.name("tasks"), project.name("health"));
    let form = |action: &str| format!("Action={action}&Version=2010-05-08");
    vec![
        attack("iam", "POST", "/", role).with("content-type", "application/x-www-form-urlencoded"),
        attack("sts", "POST", "/", form("GetCallerIdentity")).with("content-type", "application/x-www-form-urlencoded"),
        attack("sns", "POST", "/", form("ListTopics")).with("content-type", "application/x-www-form-urlencoded"),
        attack("lambda", "POST", "/2015-03-31/functions", function).with("content-type", "text/plain"),
        attack(
            "lambda",
            "POST",
            format!("/2015-03-31/functions/{health}/invocations"),
            "{}",
        )
        .with("content-type", "text/plain"),
        attack("lambda", "GET", format!("/2015-03-31/functions/{health}"), ""),
        attack("dynamodb", "POST", "/", json!({"TableName": table})).with("x-amz-target", "DynamoDB_20120810.Scan"),
        attack("dynamodb", "POST", "/", json!({"TableName": table}))
            .with("x-amz-target", "DynamoDB_20120810.DeleteTable"),
        attack("s3", "GET", format!("/{bucket}/private.txt"), ""),
        attack("s3", "PUT", format!("/{bucket}/private.txt"), "other"),
        attack("s3", "DELETE", format!("/{bucket}/private.txt"), ""),
        attack("s3", "GET", "/", ""),
        attack("apigateway", "GET", "/v2/apis", ""),
        attack("apigateway", "DELETE", format!("/v2/apis/{api}"), ""),
        attack("logs", "POST", "/", "{}").with("x-amz-target", "Logs_20140328.DescribeLogGroups"),
        attack("events", "POST", "/", "{}").with("x-amz-target", "AWSEvents.ListRules"),
        attack("monitoring", "POST", "/", "{}").with("x-amz-target", "GraniteServiceVersion20100801.DescribeAlarms"),
        attack(
            "monitoring",
            "POST",
            "/service/GraniteServiceVersion20100801/operation/DescribeAlarms",
            "",
        )
        .with("smithy-protocol", "rpc-v2-cbor"),
        attack("tagging", "POST", "/", "{}").with("x-amz-target", "ResourceGroupsTaggingAPI_20170126.GetResources"),
        attack("sqs", "POST", "/", "{}").with("x-amz-target", "AmazonSQS.ListQueues"),
    ]
}

/// Paths that are nobody's, signed or not.
const ADMINISTRATIVE: [(&str, &str); 10] = [
    ("POST", "/_ministack/reset"),
    ("POST", "/%5Fministack/reset"),
    ("POST", "//_ministack/reset"),
    ("POST", "/_ministack/config"),
    ("GET", "/_ministack/health"),
    ("GET", "/_localstack/health"),
    ("GET", "/_aws/lambda-url/x"),
    ("GET", "/health"),
    ("GET", "/_taskctl/status"),
    ("GET", "/_taskctl/code/0"),
];

/// The endpoint under attack.
struct Door {
    port: u16,
    credentials: Credentials,
}

impl Door {
    /// Sends exactly these bytes and returns the status and everything that came back.
    fn send(&self, method: &str, path: &str, headers: &[(String, String)], body: &str) -> (u16, String) {
        let mut text = format!(
            "{method} {path} HTTP/1.1\r\nconnection: close\r\ncontent-length: {}\r\n",
            body.len()
        );
        for (name, value) in headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text.push_str(&format!("\r\n{body}"));
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.write_all(text.as_bytes()).unwrap();
        let mut answer = Vec::new();
        // An answer that comes before the body was read ends the connection.
        let _ = stream.read_to_end(&mut answer);
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
        (
            status.unwrap_or_else(|| panic!("no answer to {method} {path}: {answer:?}")),
            answer,
        )
    }

    fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The headers of an attack, signed by somebody for a host at a time.
    fn signed(
        &self,
        attack: &Attack,
        credentials: &Credentials,
        host: &str,
        time: SystemTime,
    ) -> Vec<(String, String)> {
        let url = format!("http://{host}{}", attack.path);
        let signable = Signable {
            method: attack.method,
            url: &url,
            headers: &attack.headers,
            body: Payload::Bytes(attack.body.as_bytes()),
        };
        let scope = Scope {
            region: "eu-central-1",
            service: attack.service,
            time,
        };
        let mut headers = plain(attack, host);
        headers.extend(signed_headers(credentials, scope, signable).unwrap());
        headers
    }

    #[track_caller]
    fn refused(&self, what: &str, attack: &Attack, headers: &[(String, String)]) {
        let (status, answer) = self.send(attack.method, &attack.path, headers, &attack.body);
        assert_eq!(
            status, 403,
            "{what}: {} {} {}\n{answer}",
            attack.service, attack.method, attack.path
        );
        assert!(
            !answer.to_ascii_lowercase().contains("access-control-"),
            "{what}: {answer}"
        );
    }
}

fn plain(attack: &Attack, host: &str) -> Vec<(String, String)> {
    let given = attack
        .headers
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    std::iter::once(("host".to_owned(), host.to_owned()))
        .chain(given)
        .collect()
}

fn and(headers: &[(String, String)], more: &[(&str, &str)]) -> Vec<(String, String)> {
    let more = more
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    headers.iter().cloned().chain(more).collect()
}

fn credentials(key: &str, secret: &str) -> Credentials {
    Credentials {
        access_key_id: key.to_owned(),
        secret_access_key: secret.to_owned(),
        session_token: None,
    }
}

fn door(local: &Local) -> Door {
    let (key, secret) = local.credentials();
    let port = local.endpoint().rsplit(':').next().unwrap().parse().unwrap();
    Door {
        port,
        credentials: credentials(&key, &secret),
    }
}

/// A stack with something to lose.
fn stack(app: &str) -> (Project, String) {
    let project = Project::platform(app);
    project.run(&["deploy", "--yes"]).expect(0);
    let bucket = format!("{app}-dev-assets-{DEFAULT_ACCOUNT}-{}", project.region());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let clients = project.clients().await;
        let put = clients.s3.put_object().bucket(&bucket).key("private.txt");
        put.body(b"private".to_vec().into()).send().await.unwrap();
    });
    (project, bucket)
}

#[test]
fn only_signed_requests_of_the_operator_are_answered() {
    let (project, bucket) = stack("door");
    let door = door(&project.local);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let clients = runtime.block_on(project.clients());
    let apis = runtime
        .block_on(clients.apigateway.get_apis().max_results("500").send())
        .unwrap();
    let own = apis
        .items()
        .iter()
        .find(|api| api.name().is_some_and(|name| name.starts_with("door-dev")));
    let api = own.and_then(|api| api.api_id()).unwrap().to_owned();
    let (now, host) = (SystemTime::now(), door.host());
    let known = [
        credentials("test", "test"),
        credentials("local", "local"),
        credentials(DEFAULT_ACCOUNT, "test"),
    ];

    for attack in attacks(&project, &api, &bucket) {
        let unsigned = plain(&attack, &host);
        door.refused("unsigned", &attack, &unsigned);
        door.refused(
            "a form of a foreign page",
            &attack,
            &and(&unsigned, &[("origin", FOREIGN), ("sec-fetch-site", "cross-site")]),
        );
        door.refused(
            "an image of a foreign page",
            &attack,
            &and(&unsigned, &[("sec-fetch-site", "cross-site")]),
        );
        door.refused("a foreign name", &attack, &plain(&attack, "evil.example"));
        let scope = format!(
            "Credential={DEFAULT_ACCOUNT}/20260101/eu-central-1/{}/aws4_request",
            attack.service
        );
        let fake = format!("AWS4-HMAC-SHA256 {scope}, SignedHeaders=host, Signature=0");
        door.refused(
            "a signature that is none",
            &attack,
            &and(&unsigned, &[("authorization", &fake)]),
        );
        let named = Attack {
            path: format!("{}?X-Amz-{}", attack.path, scope.replace('/', "%2F")),
            ..attack.clone()
        };
        door.refused("a service named in the query", &named, &unsigned);
        for other in &known {
            door.refused("known keys", &attack, &door.signed(&attack, other, &host, now));
        }
        let signed = |host: &str, time| door.signed(&attack, &door.credentials, host, time);
        door.refused("a foreign name, signed", &attack, &signed("evil.example", now));
        door.refused(
            "a name that ends as ours begin",
            &attack,
            &signed("localhost.evil.example:4580", now),
        );
        door.refused("an hour ago", &attack, &signed(&host, now - Duration::from_secs(3_600)));
        let right = signed(&host, now);
        for (what, more) in [
            ("a foreign origin", &[("origin", FOREIGN)][..]),
            ("an origin on this machine", &[("origin", "http://127.0.0.1:9999")]),
            ("no origin", &[("origin", "null")]),
            ("another page of this machine", &[("sec-fetch-site", "same-site")]),
            ("a foreign page", &[("sec-fetch-site", "cross-site")]),
            ("two hosts", &[("host", "evil.example")]),
        ] {
            door.refused(what, &attack, &and(&right, more));
        }
        let changed = Attack {
            body: format!("{} ", attack.body),
            ..attack.clone()
        };
        door.refused("another body", &changed, &right);
        let preflight = Attack {
            method: "OPTIONS",
            ..attack.clone()
        };
        let asks = [("origin", FOREIGN), ("access-control-request-method", attack.method)];
        door.refused("a preflight", &preflight, &and(&plain(&preflight, &host), &asks));
        door.refused("options", &preflight, &plain(&preflight, &host));
    }
    for (method, path) in ADMINISTRATIVE {
        let attack = attack("s3", method, path, "");
        door.refused("administrative, unsigned", &attack, &plain(&attack, &host));
        door.refused(
            "administrative, signed",
            &attack,
            &door.signed(&attack, &door.credentials, &host, now),
        );
    }

    // Nothing has changed, and the operator gets in.
    runtime.block_on(async {
        assert!(clients.iam.get_role().role_name("evil").send().await.is_err());
        assert!(
            clients
                .lambda
                .get_function()
                .function_name("evil")
                .send()
                .await
                .is_err()
        );
        let object = clients
            .s3
            .get_object()
            .bucket(&bucket)
            .key("private.txt")
            .send()
            .await
            .unwrap();
        assert_eq!(&*object.body.collect().await.unwrap().into_bytes(), b"private");
    });
    project.run(&["plan"]).expect(0);
    let status = attack("taskctl", "GET", "/_taskctl/status", "");
    let (code, _) = door.send(
        "GET",
        &status.path,
        &door.signed(&status, &door.credentials, &host, now),
        "",
    );
    assert_eq!(code, 200);
    project.run(&["destroy", "--yes", "--delete-data", "all"]).expect(0);
}

#[test]
fn objects_are_reached_by_presigned_urls_and_the_rules_of_their_bucket() {
    let (project, bucket) = stack("presigned");
    let door = door(&project.local);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let clients = runtime.block_on(project.clients());
    let presigned = |expires: u64| {
        let config = PresigningConfig::expires_in(Duration::from_secs(expires)).unwrap();
        let get = clients.s3.get_object().bucket(&bucket).key("private.txt");
        let url = runtime.block_on(get.presigned(config)).unwrap().uri().to_owned();
        url.split_once("127.0.0.1")
            .unwrap()
            .1
            .split_once('/')
            .map(|(_, path)| format!("/{path}"))
            .unwrap()
    };
    let host = vec![("host".to_owned(), door.host())];
    let get = |path: &str, more: &[(&str, &str)]| door.send("GET", path, &and(&host, more), "");
    let url = presigned(600);
    assert_eq!(get(&url, &[]).0, 200);
    assert_eq!(
        get(&url, &[("sec-fetch-site", "cross-site")]).0,
        200,
        "a link on a page"
    );
    assert_eq!(get(&url.replace("private.txt", "other.txt"), &[]).0, 403);
    assert_eq!(get(&url.replace("X-Amz-Expires=600", "X-Amz-Expires=6000"), &[]).0, 403);
    assert_eq!(get(&format!("{url}&X-Amz-Date=20200101T000000Z"), &[]).0, 403);
    assert_eq!(door.send("PUT", &url, &host, "other").0, 403);
    assert_eq!(
        door.send("GET", &url, &[("host".to_owned(), "evil.example".to_owned())], "")
            .0,
        403
    );
    let old = SystemTime::now() - Duration::from_secs(120);
    let request = format!("http://{}/{bucket}/private.txt", door.host());
    let signable = Signable {
        method: "GET",
        url: &request,
        headers: &[],
        body: Payload::Named("UNSIGNED-PAYLOAD"),
    };
    let at = |time| {
        let scope = Scope {
            region: "eu-central-1",
            service: "s3",
            time,
        };
        let url = presigned_url(&door.credentials, scope, signable, Duration::from_secs(60)).unwrap();
        url.replacen(&format!("http://{}", door.host()), "", 1)
    };
    assert_eq!(get(&at(SystemTime::now()), &[]).0, 200);
    let (status, answer) = get(&at(old), &[]);
    assert!(status == 403 && answer.contains("Request has expired"), "{answer}");

    // The bucket's rules let pages of the stack's own site in, and no others.
    let site = "http://127.0.0.1:1580";
    let (status, answer) = get(&url, &[("origin", site), ("sec-fetch-site", "cross-site")]);
    assert!(
        status == 200 && answer.contains(&format!("access-control-allow-origin: {site}")),
        "{answer}"
    );
    for foreign in [FOREIGN, "null", "http://127.0.0.1:9999", "http://evil.localhost:1580"] {
        let (status, answer) = get(&url, &[("origin", foreign)]);
        assert!(
            status == 403 && !answer.contains("access-control-"),
            "{foreign}: {answer}"
        );
    }
    let asks = |origin: &str, method: &str| {
        let asked = [
            ("origin", origin),
            ("access-control-request-method", method),
            ("access-control-request-headers", "content-type"),
        ];
        door.send("OPTIONS", &url, &and(&host, &asked), "")
    };
    let (status, answer) = asks(site, "PUT");
    assert!(
        status == 200 && answer.contains("access-control-allow-methods"),
        "{answer}"
    );
    assert_eq!((asks(FOREIGN, "PUT").0, asks(site, "DELETE").0), (403, 403));
    project.run(&["destroy", "--yes", "--delete-data", "all"]).expect(0);
}

#[test]
fn functions_have_keys_of_their_own_and_other_clients_those_of_local_env() {
    let local = Local::shared();
    let folder = tempfile::tempdir().unwrap();
    let environment = |arguments: &[&str]| {
        let all = [&["local", "env", "--output", "json"], arguments].concat();
        let run = local.run(&all, folder.path()).expect(0);
        serde_json::from_str::<Value>(&run.out).unwrap()
    };
    let operator = environment(&[]);
    let (key, secret) = local.credentials();
    assert_eq!(
        (operator["accessKeyId"].as_str(), operator["secretAccessKey"].as_str()),
        (Some(&*key), Some(&*secret))
    );
    assert_eq!(operator["endpointUrl"], json!(local.endpoint()));
    let other = environment(&["--account", "111122223333"]);
    assert_eq!(other["accessKeyId"], json!("111122223333"));
    assert_ne!(other["secretAccessKey"], operator["secretAccessKey"]);
    let role = environment(&["--role", "arn:aws:iam::000000000000:role/nobody"]);
    assert!(role["sessionToken"].is_string());
    local.run(&["local", "env", "--account", "1"], folder.path()).expect(64);
    local
        .run(&["local", "env", "--role", "x'; ls"], folder.path())
        .expect(64);

    // A real client: the one that comes with the emulator.
    let script = folder.path().join("client.py");
    std::fs::write(&script, CLIENT).unwrap();
    let client = |arguments: &str| {
        let binary = taskctl_tests::binary().display();
        let python = local.emulator_python();
        let line = format!(
            "eval \"$({binary} local env --region eu-central-1 {arguments})\" && {} {}",
            python.display(),
            script.display()
        );
        let mut command = Command::new("sh");
        command
            .args(["-c", &line])
            .current_dir(folder.path())
            .envs(local.variables());
        let output = command.output().unwrap();
        (
            output.status.code(),
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr),
        )
    };
    let (code, said) = client("");
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("account 000000000000 arn:aws:iam::000000000000:root")
            && said.contains("objects as they were put"),
        "{said}"
    );
    let (_, said) = client("--account 111122223333");
    assert!(said.contains("account 111122223333"), "{said}");
    let (_, said) = client("--role arn:aws:iam::000000000000:role/nobody");
    assert!(
        said.contains("arn:aws:sts::000000000000:assumed-role/nobody/local") && said.contains("AccessDenied"),
        "{said}"
    );
}

/// Says who it is; then puts and gets objects in the ways that botocore has, and takes them away.
const CLIENT: &str = r#"
import io, urllib.request
import botocore.session
from botocore.config import Config
session = botocore.session.get_session()
me = session.create_client("sts").get_caller_identity()
print("account", me["Account"], me["Arn"])
for payload in ({}, {"payload_signing_enabled": True}, {"payload_signing_enabled": False}):
    config = Config(s3={"addressing_style": "path", **payload}, retries={"max_attempts": 0})
    s3 = session.create_client("s3", config=config)
    bucket = "clients-" + me["Account"]
    s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": session.get_config_variable("region")})
    for more in ({}, {"ChecksumAlgorithm": "SHA256"}, {"ChecksumAlgorithm": "CRC32"}):
        body = b"x" * 100_000
        s3.put_object(Bucket=bucket, Key="a b/ü+&.txt", Body=io.BytesIO(body), **more)
        assert s3.get_object(Bucket=bucket, Key="a b/ü+&.txt")["Body"].read() == body
    put = s3.generate_presigned_url("put_object", {"Bucket": bucket, "Key": "p", "ContentType": "text/plain"})
    urllib.request.urlopen(urllib.request.Request(put, b"body", {"Content-Type": "text/plain"}, method="PUT"))
    get = s3.generate_presigned_url("get_object", {"Bucket": bucket, "Key": "p"})
    assert urllib.request.urlopen(get).read() == b"body"
    for key in ("a b/ü+&.txt", "p"):
        s3.delete_object(Bucket=bucket, Key=key)
    s3.delete_bucket(Bucket=bucket)
print("objects as they were put")
for service, call in (("dynamodb", "list_tables"), ("lambda", "list_functions"), ("iam", "list_roles"), ("logs", "describe_log_groups"), ("events", "list_rules"), ("sns", "list_topics"), ("cloudwatch", "describe_alarms"), ("apigatewayv2", "get_apis"), ("resourcegroupstaggingapi", "get_resources"), ("sqs", "list_queues"), ("ssm", "describe_parameters"), ("kms", "list_keys")):
    getattr(session.create_client(service), call)()
print("all services answer")
"#;

#[test]
fn the_emulator_and_the_secret_are_out_of_reach() {
    let local = Local::shared();
    let run = local
        .run(&["local", "status", "--output", "json"], Path::new("/"))
        .expect(0);
    let status: Value = serde_json::from_str(&run.out).unwrap();
    let parts = status["parts"].as_array().unwrap();
    let emulator = parts.iter().find(|part| part["name"] == "emulator").unwrap();
    assert_eq!(emulator["port"], Value::Null);
    let pid = emulator["pid"].as_u64().unwrap();
    assert_eq!(listening(pid), BTreeSet::new(), "the emulator listens on a port");

    // What the background process was started with: functions are its children and can look.
    let daemon = status["pid"].as_u64().unwrap();
    if let Ok(environment) = std::fs::read(format!("/proc/{daemon}/environ")) {
        let names = String::from_utf8_lossy(&environment).into_owned();
        let names: BTreeSet<&str> = names
            .split('\0')
            .filter_map(|pair| pair.split_once('='))
            .map(|(name, _)| name)
            .collect();
        let kept = ["PATH", "HOME", "TMPDIR", "LANG", "LC_ALL", "TZ"].into();
        assert!(names.is_subset(&kept), "{names:?}");
    }

    // Another user of this machine.
    if !is_root() {
        return;
    }
    let secret = local.root().join("secret");
    let socket = socket_of(pid);
    let other = |program: &str, arguments: &[&str]| {
        let mut command = Command::new(program);
        command
            .args(arguments)
            .uid(65_534)
            .gid(65_534)
            .current_dir("/")
            .output()
            .unwrap()
            .status
            .success()
    };
    assert!(other("true", &[]));
    assert!(!other("cat", &[&secret.to_string_lossy()]));
    let connect = format!("import socket; socket.socket(socket.AF_UNIX).connect({socket:?})");
    assert!(!other("python3", &["-c", &connect]));
    assert!(
        Command::new("python3")
            .args(["-c", &connect])
            .status()
            .unwrap()
            .success(),
        "the path is right"
    );
}

fn is_root() -> bool {
    let own = Command::new("id").arg("-u").output().unwrap();
    String::from_utf8_lossy(&own.stdout).trim() == "0"
}

/// Inodes of the sockets of a process.
fn sockets(pid: u64) -> BTreeSet<String> {
    let descriptors = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten();
    let targets = descriptors.filter_map(|descriptor| std::fs::read_link(descriptor.path()).ok());
    let sockets = targets.filter_map(|target| {
        let text = target.to_string_lossy().into_owned();
        Some(text.strip_prefix("socket:[")?.trim_end_matches(']').to_owned())
    });
    sockets.collect()
}

/// TCP ports that a process listens on.
fn listening(pid: u64) -> BTreeSet<String> {
    const LISTEN: &str = "0A";
    let own = sockets(pid);
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(|table| std::fs::read_to_string(table).unwrap_or_default());
    let lines = tables.iter().flat_map(|table| table.lines().skip(1));
    let fields = lines.map(|line| line.split_whitespace().collect::<Vec<_>>());
    let open = fields.filter(|fields| fields[3] == LISTEN && own.contains(fields[9]));
    open.map(|fields| fields[1].to_owned()).collect()
}

/// The path of the socket that a process listens on.
fn socket_of(pid: u64) -> String {
    let own = sockets(pid);
    let table = std::fs::read_to_string("/proc/net/unix").unwrap();
    let lines = table
        .lines()
        .skip(1)
        .map(|line| line.split_whitespace().collect::<Vec<_>>());
    let mut named = lines.filter(|fields| fields.len() > 7 && own.contains(fields[6]));
    named.next().map(|fields| fields[7].to_owned()).unwrap()
}

#[test]
fn pages_in_a_real_browser_reach_objects_and_nothing_else() {
    let Some(browser) = Browser::start(1000, 760) else {
        eprintln!("no Chromium and chromedriver here: the page is not tried in a browser");
        return;
    };
    let project = Project::platform("browser");
    // The shipped page talks to its API alone; one of a project that uploads may go to its bucket, too.
    std::fs::write(
        project.directory().join("site/upload.html"),
        "<title>Upload</title><p id=empty>",
    )
    .unwrap();
    project.run(&["deploy"]).expect(0);
    let site = project.status("dev")["endpoints"]["site"].as_str().unwrap().to_owned();
    let (live, endpoint) = (project.live("dev"), project.local.endpoint());
    browser.open(&format!("{site}/upload.html"));
    browser.until("document.getElementById('empty')");
    // The stack's own page uploads and downloads.
    let upload = format!(
        "const text = 'from a page';
         const made = await (await fetch('{live}/assets', {{method: 'POST', headers: {{'content-type': 'application/json'}},
             body: JSON.stringify({{fileName: 'a.txt', contentType: 'text/plain', sizeBytes: text.length}})}})).json();
         const put = await fetch(made.uploadUrl, {{method: 'PUT', headers: made.headers, body: text}});
         const seen = await (await fetch('{live}/assets/' + made.assetId)).json();
         const link = await (await fetch('{live}/assets/' + made.assetId + '/download')).json();
         const got = await (await fetch(link.downloadUrl, {{headers: link.headers ?? {{}}}})).text();
         return [put.status, seen.status, got].join(' ');"
    );
    assert_eq!(browser.asynchronous(&upload), "200 UPLOADED from a page");

    // A page from elsewhere does neither: not by forms, not by scripts.
    browser.open("data:text/html,<title>evil</title>");
    let attacks = format!(
        "const tried = [];
         for (const [path, body] of [['/', 'Action=CreateRole&Version=2010-05-08&RoleName=browser-evil&AssumeRolePolicyDocument=%7B%22Statement%22%3A%5B%5D%7D'],
                                     ['/2015-03-31/functions', '{{}}'], ['/_ministack/reset', '']]) {{
             await fetch('{endpoint}' + path + '?X-Amz-Credential=000000000000%2F20260101%2Feu-central-1%2Fiam%2Faws4_request', {{method: 'POST', mode: 'no-cors', body}}).catch(() => 'blocked');
             tried.push(await fetch('{endpoint}' + path, {{method: 'POST', body}}).then(r => r.type, e => 'blocked'));
             tried.push(await fetch('{endpoint}' + path, {{headers: {{'x-amz-target': 'DynamoDB_20120810.ListTables'}}, method: 'POST', body}}).then(r => r.type, e => 'blocked'));
         }}
         return tried.join(' ');"
    );
    assert_eq!(
        browser.asynchronous(&attacks),
        "blocked blocked blocked blocked blocked blocked"
    );
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let clients = project.clients().await;
        assert!(clients.iam.get_role().role_name("browser-evil").send().await.is_err());
    });
    project.run(&["plan"]).expect(0);
    project.run(&["destroy", "--yes", "--delete-data", "all"]).expect(0);
}
