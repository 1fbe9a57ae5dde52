//! The HTTP API as `docs/handlers.md` and `docs/openapi.yaml` describe it, over HTTP against real handler processes: one module per part of the contract.

mod assets;
mod bad_input;
mod bounded;
mod counter;
mod idempotency;
mod observed;
mod tasks;
mod users;

use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::Value;
use taskctl_tests::Project;

/// The platform stack, deployed once for all contract tests.
pub struct Deployed {
    pub project: Project,
    pub live: String,
    agent: ureq::Agent,
}

/// An answer.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: ureq::http::HeaderMap,
    pub text: String,
}

impl Reply {
    /// The body as JSON; null when it is none.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or(Value::Null)
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }

    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text);
        self
    }
}

impl Deployed {
    /// The deployment that the tests running now share.
    pub fn shared() -> Arc<Self> {
        static SHARED: Mutex<Weak<Deployed>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock();
        if let Some(deployed) = shared.upgrade() {
            return deployed;
        }
        let deployed = Arc::new(Self::fresh("contract"));
        *shared = Arc::downgrade(&deployed);
        deployed
    }

    /// A deployment of one's own.
    pub fn fresh(app: &str) -> Self {
        let project = Project::platform(app);
        project.run(&["deploy"]).expect(0);
        let live = project.live("dev");
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(40)))
            .build();
        Self {
            project,
            live,
            agent: ureq::Agent::new_with_config(config),
        }
    }

    /// A request with any headers and any body.
    pub fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
        let url = if path.starts_with("http") {
            path.to_owned()
        } else {
            format!("{}{path}", self.live)
        };
        let mut request = ureq::http::Request::builder().method(method).uri(url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut answer = if body.is_empty() {
            self.agent.run(request.body(()).unwrap()).unwrap()
        } else {
            self.agent.run(request.body(body.to_vec()).unwrap()).unwrap()
        };
        Reply {
            status: answer.status().as_u16(),
            headers: answer.headers().clone(),
            text: answer.body_mut().read_to_string().unwrap(),
        }
    }

    pub fn get(&self, path: &str) -> Reply {
        self.send("GET", path, &[], b"")
    }

    pub fn delete(&self, path: &str) -> Reply {
        self.send("DELETE", path, &[], b"")
    }

    pub fn with_json(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &Value) -> Reply {
        let mut all = vec![("content-type", "application/json")];
        all.extend_from_slice(headers);
        self.send(method, path, &all, body.to_string().as_bytes())
    }

    pub fn post(&self, path: &str, body: &Value) -> Reply {
        self.with_json("POST", path, &[], body)
    }

    pub fn put(&self, path: &str, body: &Value) -> Reply {
        self.with_json("PUT", path, &[], body)
    }

    /// All items of a list, page by page, with the sizes of the pages.
    #[track_caller]
    pub fn walk(&self, path: &str, limit: usize) -> (Vec<Value>, Vec<usize>) {
        let sign = if path.contains('?') { '&' } else { '?' };
        let (mut items, mut sizes, mut key) = (Vec::new(), Vec::new(), None::<String>);
        loop {
            let last = key.map(|key| format!("&lastKey={key}")).unwrap_or_default();
            let page = self.get(&format!("{path}{sign}limit={limit}{last}")).expect(200).json();
            let found = page["items"].as_array().unwrap().clone();
            sizes.push(found.len());
            items.extend(found);
            assert!(sizes.len() < 200, "paging does not end");
            match page["nextKey"].as_str() {
                Some(next) => key = Some(next.to_owned()),
                None => return (items, sizes),
            }
        }
    }
}

/// What comes back when 16 clients do the same at once.
pub fn at_once<T: Send>(work: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let barrier = std::sync::Barrier::new(16);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..16)
            .map(|number| {
                let (barrier, work) = (&barrier, &work);
                scope.spawn(move || {
                    barrier.wait();
                    work(number)
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

/// A word that no other test uses.
pub fn unique(prefix: &str) -> String {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_nanos();
    format!("{prefix}-{now:x}-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Every error has a class, a message and the request's id, and shows nothing of the inside.
#[track_caller]
pub fn check_error(reply: &Reply, class: &str) {
    let body = reply.json();
    assert_eq!(body["error"], class, "{}", reply.text);
    assert!(
        body["message"].as_str().is_some_and(|text| !text.is_empty()),
        "{}",
        reply.text
    );
    assert_eq!(body["requestId"], reply.header("x-request-id"), "{}", reply.text);
    for inside in ["panicked", "dynamodb", "arn:aws", "src/"] {
        assert!(!reply.text.to_lowercase().contains(inside), "{}", reply.text);
    }
}
