//! A headless Chromium, driven over WebDriver: <https://www.w3.org/TR/webdriver2/>.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use serde_json::{Value, json};

use crate::eventually;
use crate::local::free_port;

/// How long a page may take for what is waited for.
const PATIENCE: Duration = Duration::from_secs(20);

/// A browser with one page.
pub struct Browser {
    driver: Child,
    session: String,
    agent: ureq::Agent,
}

/// Keys as WebDriver writes them.
pub mod key {
    /// Enter.
    pub const ENTER: &str = "\u{e007}";
    /// Tab.
    pub const TAB: &str = "\u{e004}";
    /// Escape.
    pub const ESCAPE: &str = "\u{e00c}";
    /// Space.
    pub const SPACE: &str = " ";
}

impl Browser {
    /// Starts one with a window of this size. None where no Chromium and driver are installed, unless
    /// `TASKCTL_TEST_BROWSER` says that they must be.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start(width: u32, height: u32) -> Option<Self> {
        let port = free_port();
        let driver = Command::new("chromedriver")
            .arg(format!("--port={port}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let driver = match driver {
            Ok(driver) => driver,
            Err(error) if std::env::var_os("TASKCTL_TEST_BROWSER").is_some() => panic!("chromedriver: {error}"),
            Err(_) => return None,
        };
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let mut browser = Self {
            driver,
            session: format!("http://127.0.0.1:{port}"),
            agent,
        };
        let arguments = [
            "--headless=new".to_owned(),
            "--no-sandbox".to_owned(),
            "--disable-gpu".to_owned(),
            "--disable-dev-shm-usage".to_owned(),
            format!("--window-size={width},{height}"),
        ];
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "browserName": "chrome",
            "goog:chromeOptions": {"args": arguments},
            "goog:loggingPrefs": {"browser": "ALL"},
        }}});
        let made = eventually("a session of the browser", PATIENCE, || {
            browser.try_call("POST", "/session", Some(&wanted)).ok()
        });
        let id = made["sessionId"].as_str().unwrap_or_default().to_owned();
        browser.session = format!("{}/session/{id}", browser.session);
        // A phone is narrower than the narrowest window.
        let metrics = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500});
        browser.devtools("Emulation.setDeviceMetricsOverride", &metrics);
        Some(browser)
    }

    /// Opens a page.
    pub fn open(&self, url: &str) {
        self.call("POST", "/url", Some(&json!({ "url": url })));
    }

    /// Runs a script; its `return` comes back.
    pub fn run(&self, script: &str) -> Value {
        self.call("POST", "/execute/sync", Some(&json!({"script": script, "args": []})))
    }

    /// Runs the body of an asynchronous function and waits for what it returns.
    pub fn asynchronous(&self, script: &str) -> Value {
        self.run(&format!("return (async () => {{ {script} }})()"))
    }

    /// Types into what has the focus.
    pub fn press(&self, keys: &str) {
        let actions: Vec<Value> = keys
            .chars()
            .flat_map(|key| {
                [
                    json!({"type": "keyDown", "value": key}),
                    json!({"type": "keyUp", "value": key}),
                ]
            })
            .collect();
        let all = json!({"actions": [{"type": "key", "id": "keyboard", "actions": actions}]});
        self.call("POST", "/actions", Some(&all));
    }

    /// Clicks the first element of a selector.
    ///
    /// # Panics
    /// When there is none.
    pub fn click(&self, selector: &str) {
        let found = self.call(
            "POST",
            "/element",
            Some(&json!({"using": "css selector", "value": selector})),
        );
        let Some(element) = found
            .as_object()
            .and_then(|object| object.values().next())
            .and_then(Value::as_str)
        else {
            panic!("no {selector}: {found}")
        };
        self.call("POST", &format!("/element/{element}/click"), Some(&json!({})));
    }

    /// Waits until an expression is true.
    ///
    /// # Panics
    /// When it does not become true.
    #[track_caller]
    pub fn until(&self, expression: &str) {
        let began = Instant::now();
        eventually(expression, PATIENCE + Duration::from_secs(1), || {
            let is_true = self.run(&format!("return Boolean({expression})")) == json!(true);
            assert!(
                is_true || began.elapsed() < PATIENCE,
                "not true: {expression}\n{}",
                self.run("return document.body.innerText").as_str().unwrap_or_default()
            );
            is_true.then_some(())
        });
    }

    /// Whether the page reaches the network.
    pub fn network(&self, reachable: bool) {
        let conditions = json!({"network_conditions": {
            "offline": !reachable, "latency": 0, "download_throughput": -1, "upload_throughput": -1,
        }});
        self.call("POST", "/chromium/network_conditions", Some(&conditions));
    }

    /// What the console was told since it was last asked: level and message.
    pub fn console(&self) -> Vec<(String, String)> {
        let log = self.call("POST", "/se/log", Some(&json!({"type": "browser"})));
        let text = |entry: &Value, name: &str| entry[name].as_str().unwrap_or_default().to_owned();
        let entries = log.as_array().cloned().unwrap_or_default();
        entries
            .iter()
            .map(|entry| (text(entry, "level"), text(entry, "message")))
            .collect()
    }

    /// Keeps a picture of the page in `docs/images/` when `TASKCTL_PICTURES` is set.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn picture(&self, name: &str) {
        let taken = self.call("GET", "/screenshot", None);
        let bytes = base64::engine::general_purpose::STANDARD.decode(taken.as_str().unwrap_or_default());
        let Ok(bytes) = bytes else {
            panic!("no picture: {taken}")
        };
        assert!(bytes.len() > 1_000, "an empty picture");
        if std::env::var_os("TASKCTL_PICTURES").is_some() {
            let path = crate::repository().join("docs/images").join(name);
            let written = std::fs::create_dir_all(crate::repository().join("docs/images"))
                .and_then(|()| std::fs::write(&path, bytes));
            if let Err(error) = written {
                panic!("{}: {error}", path.display());
            }
        }
    }

    fn devtools(&self, command: &str, parameters: &Value) {
        self.call(
            "POST",
            "/goog/cdp/execute",
            Some(&json!({"cmd": command, "params": parameters})),
        );
    }

    fn call(&self, method: &str, path: &str, body: Option<&Value>) -> Value {
        match self.try_call(method, path, body) {
            Ok(value) => value,
            Err(error) => panic!("{method} {path}: {error}"),
        }
    }

    fn try_call(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value, String> {
        let url = format!("{}{path}", self.session);
        let answer = match (method, body) {
            ("GET", _) => self.agent.get(&url).call(),
            ("DELETE", _) => self.agent.delete(&url).call(),
            (_, body) => self.agent.post(&url).send_json(body.unwrap_or(&Value::Null)),
        };
        let mut answer = answer.map_err(|error| error.to_string())?;
        let status = answer.status().as_u16();
        let mut read: Value = answer.body_mut().read_json().map_err(|error| error.to_string())?;
        if status >= 400 {
            return Err(read["value"]["message"].as_str().unwrap_or("failed").to_owned());
        }
        Ok(read["value"].take())
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.try_call("DELETE", "", None);
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}
