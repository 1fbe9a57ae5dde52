//! Checks as they are written.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path as FilePath;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use crate::assertion::{Assertion, JsonType, Subject, Test};
use crate::path::Path;
use crate::shipped::component;
use crate::variables::{UUID, used};

/// The parts of a stack that decide which suites apply.
pub trait Parts {
    /// Whether it has a function.
    fn has_function(&self, name: &str) -> bool;
    /// Whether it has a route, such as `GET /tasks` or `$default`.
    fn has_route(&self, key: &str) -> bool;
}

/// Checks of one file.
#[derive(Debug, Clone)]
pub struct Suite {
    /// Name: the file's, without `.yaml`.
    pub name: String,
    /// The function that is checked; without it in the stack the suite does not apply.
    pub function: Option<String>,
    /// The route that is checked, as the template writes it; without it in the stack the suite does not apply.
    pub route: Option<String>,
    /// Values that are made once a run.
    pub variables: BTreeMap<String, String>,
    /// The checks, run one after another.
    pub checks: Vec<Check>,
}

/// A request and the expected answer.
#[derive(Debug, Clone)]
pub struct Check {
    /// Name.
    pub name: String,
    /// Its folder.
    pub folder: Folder,
    /// Whether it changes data.
    pub writes: bool,
    /// Whether it removes data of checks before it: it also runs after a stop.
    pub cleanup: bool,
    /// The request.
    pub request: Request,
    /// The assertions.
    pub assertions: Vec<Assertion>,
    /// Values for later checks: name, and place in the answer.
    pub capture: BTreeMap<String, Capture>,
}

/// Where a captured value is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Capture {
    /// In the JSON body.
    Json(Path),
    /// A header.
    Header(String),
}

/// Sorts of checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, serde::Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Folder {
    /// Each route does what it says.
    Functional,
    /// Answers come in time.
    Performance,
    /// Forbidden requests are refused.
    Security,
    /// Requests that belong together.
    Integration,
}

impl Folder {
    /// All, in the order they are shown.
    pub const ALL: [Self; 4] = [Self::Functional, Self::Performance, Self::Security, Self::Integration];

    /// As written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Functional => "functional",
            Self::Performance => "performance",
            Self::Security => "security",
            Self::Integration => "integration",
        }
    }
}

/// A request.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Method.
    #[serde(default = "get")]
    pub method: String,
    /// Path below the URL that is checked.
    pub path: Option<String>,
    /// A whole URL instead, such as a captured one.
    pub url: Option<String>,
    /// Headers.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Body, as JSON.
    pub json: Option<Value>,
    /// Body, as it is.
    pub body: Option<String>,
}

fn get() -> String {
    "GET".to_owned()
}

/// The expected answer, as written.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expect {
    status: Option<Value>,
    latency: Option<String>,
    #[serde(default)]
    headers: BTreeMap<String, Value>,
    #[serde(default)]
    json: BTreeMap<String, Value>,
    body: Option<Value>,
    schema: Option<Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenSuite {
    function: Option<String>,
    route: Option<String>,
    #[serde(default)]
    variables: BTreeMap<String, String>,
    checks: Vec<WrittenCheck>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenCheck {
    name: String,
    folder: Folder,
    #[serde(default)]
    writes: bool,
    #[serde(default)]
    cleanup: bool,
    request: Request,
    expect: Expect,
    #[serde(default)]
    capture: BTreeMap<String, String>,
}

/// Checks that cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// The file cannot be read.
    #[error("reading {file} failed: {source}")]
    Io {
        /// The file.
        file: String,
        /// Why.
        source: std::io::Error,
    },
    /// The file is no YAML of the right shape.
    #[error("{file}: {message}")]
    Shape {
        /// The file.
        file: String,
        /// What is wrong, with the place.
        message: String,
        /// Line and column, from 1, where known.
        at: Option<(u64, u64)>,
    },
    /// A check is wrong.
    #[error("{file}, check `{check}`: {message}")]
    Check {
        /// The file.
        file: String,
        /// Its name.
        check: String,
        /// What is wrong.
        message: String,
        /// Line and column of its name, from 1, where known.
        at: Option<(u64, u64)>,
    },
}

impl CheckError {
    /// What to do.
    pub fn hint(&self) -> Option<String> {
        Some("docs/checks.md says how checks are written".to_owned())
    }

    /// The file, with line and column from 1.
    pub fn place(&self) -> Option<(&str, u64, u64)> {
        match self {
            Self::Io { .. } => None,
            Self::Shape { file, at, .. } | Self::Check { file, at, .. } => {
                let (line, column) = (*at)?;
                Some((file, line, column))
            }
        }
    }
}

/// Where the name of a check stands, the given number of them before it.
fn place_of(text: &str, name: &str, before: usize) -> Option<(u64, u64)> {
    let mut named = text.lines().enumerate().filter_map(|(index, line)| {
        let rest = line.trim_start().trim_start_matches("- ").trim_start();
        let value = rest.strip_prefix("name:")?.trim();
        let value = value.trim_matches(|mark| mark == '"' || mark == '\'');
        let number = |place: usize| u64::try_from(place + 1).unwrap_or(u64::MAX);
        (value == name).then(|| (number(index), number(line.len() - rest.len())))
    });
    named.nth(before)
}

/// Reads all `*.yaml` of a folder, by name.
pub fn read_folder(folder: &FilePath) -> Result<Vec<Suite>, CheckError> {
    let io = |file: &FilePath, source| CheckError::Io {
        file: file.display().to_string(),
        source,
    };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(|error| io(folder, error))? {
        let path = entry.map_err(|error| io(folder, error))?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "yaml" || extension == "yml")
        {
            files.push(path);
        }
    }
    files.sort();
    files
        .iter()
        .map(|path| {
            let text = std::fs::read_to_string(path).map_err(|error| io(path, error))?;
            parse(&path.display().to_string(), &text)
        })
        .collect()
}

/// Reads a file's text.
pub fn parse(file: &str, text: &str) -> Result<Suite, CheckError> {
    let written: WrittenSuite = serde_yaml::from_str(text).map_err(|error| CheckError::Shape {
        file: file.to_owned(),
        message: error.to_string(),
        at: error.location().map(|at| (at.line(), at.column())),
    })?;
    let mut known: BTreeSet<String> = written.variables.keys().cloned().collect();
    known.insert(UUID.to_owned());
    let mut checks = Vec::new();
    for one in written.checks {
        let name = one.name.clone();
        let before = checks.iter().filter(|other: &&Check| other.name == name).count();
        let check = Check::of(one, &mut known).map_err(|message| CheckError::Check {
            file: file.to_owned(),
            at: place_of(text, &name, before),
            check: name,
            message,
        })?;
        checks.push(check);
    }
    let name = FilePath::new(file)
        .file_stem()
        .map_or_else(String::new, |stem| stem.to_string_lossy().into_owned());
    Ok(Suite {
        name,
        function: written.function,
        route: written.route,
        variables: written.variables,
        checks,
    })
}

impl Suite {
    /// Whether the suite applies to a stack.
    pub fn applies(&self, stack: &impl Parts) -> bool {
        self.function.as_deref().is_none_or(|name| stack.has_function(name))
            && self.route.as_deref().is_none_or(|key| stack.has_route(key))
    }
}

impl Check {
    /// Checks a check; what it captures is known to those after it.
    fn of(written: WrittenCheck, known: &mut BTreeSet<String>) -> Result<Self, String> {
        let request = &written.request;
        match (&request.path, &request.url) {
            (Some(path), None) if path.starts_with('/') => {}
            (Some(path), None) => return Err(format!("the path `{path}` does not begin with /")),
            (None, Some(_)) => {}
            (Some(_), Some(_)) | (None, None) => return Err("a request has either `path` or `url`".to_owned()),
        }
        if request.json.is_some() && request.body.is_some() {
            return Err("a request has either `json` or `body`".to_owned());
        }
        if !request.method.bytes().all(|byte| byte.is_ascii_uppercase()) {
            return Err(format!("`{}` is not a method such as GET or POST", request.method));
        }
        if written.cleanup && !written.writes {
            return Err("a cleanup check also needs `writes: true`".to_owned());
        }
        let assertions = written.expect.assertions()?;
        if assertions.is_empty() {
            return Err("`expect` has no assertions".to_owned());
        }
        let json = request.json.as_ref().map(Value::to_string).unwrap_or_default();
        let texts = [&request.path, &request.url, &request.body]
            .into_iter()
            .flatten()
            .chain(request.headers.values())
            .chain([&json]);
        for text in texts {
            if let Some(unknown) = used(text).into_iter().find(|name| !known.contains(*name)) {
                return Err(format!(
                    "`{unknown}` is neither a variable nor captured by an earlier check"
                ));
            }
        }
        let capture: BTreeMap<String, Capture> = written
            .capture
            .iter()
            .map(|(name, place)| {
                let place = match place.strip_prefix("header ") {
                    Some(header) => Capture::Header(header.to_ascii_lowercase()),
                    None => Capture::Json(Path::parse(place).map_err(|error| error.to_string())?),
                };
                Ok((name.clone(), place))
            })
            .collect::<Result<_, String>>()?;
        known.extend(capture.keys().cloned());
        Ok(Self {
            name: written.name,
            folder: written.folder,
            writes: written.writes,
            cleanup: written.cleanup,
            request: written.request,
            assertions,
            capture,
        })
    }

    /// `POST /tasks`.
    pub fn line(&self) -> String {
        let Request { method, path, url, .. } = &self.request;
        format!("{method} {}", path.as_deref().or(url.as_deref()).unwrap_or_default())
    }
}

impl Expect {
    fn assertions(self) -> Result<Vec<Assertion>, String> {
        let mut all = Vec::new();
        let mut add = |subject: Subject, test: Test| all.push(Assertion { subject, test });
        match self.status {
            Some(Value::Array(statuses)) => add(Subject::Status, Test::OneOf(statuses)),
            Some(status @ Value::Number(_)) => add(Subject::Status, Test::Equals(status)),
            Some(other) => return Err(format!("`status: {other}` is neither a number nor a list of them")),
            None => {}
        }
        if let Some(latency) = self.latency {
            let limit = duration(&latency).ok_or_else(|| format!("`latency: {latency}` looks like 500ms or 1s"))?;
            add(Subject::Latency, Test::Within(limit));
        }
        for (name, wanted) in self.headers {
            for test in tests(wanted)? {
                add(Subject::Header(name.to_ascii_lowercase()), test);
            }
        }
        for (path, wanted) in self.json {
            let path = Path::parse(&path).map_err(|error| error.to_string())?;
            for test in tests(wanted)? {
                add(Subject::Json(path.clone()), test);
            }
        }
        if let Some(wanted) = self.body {
            for test in tests(wanted)? {
                add(Subject::Body, test);
            }
        }
        match self.schema {
            Some(Value::String(name)) => {
                let schema = component(&name).ok_or_else(|| format!("the API's document has no schema `{name}`"))?;
                add(Subject::Body, Test::Schema(name, schema));
            }
            Some(schema @ Value::Object(_)) => add(Subject::Body, Test::Schema("the schema".to_owned(), schema)),
            Some(other) => return Err(format!("`schema: {other}` is neither a name nor a JSON Schema")),
            None => {}
        }
        Ok(all)
    }
}

/// A mapping of tests.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Tests {
    equals: Option<Value>,
    one_of: Option<Vec<Value>>,
    matches: Option<String>,
    present: Option<bool>,
    r#type: Option<JsonType>,
    contains: Option<Value>,
    lacks: Option<Value>,
    min: Option<f64>,
    max: Option<f64>,
    min_length: Option<u64>,
    max_length: Option<u64>,
}

/// A plain value is compared; a mapping lists tests.
fn tests(wanted: Value) -> Result<Vec<Test>, String> {
    let Value::Object(_) = wanted else {
        return Ok(vec![Test::Equals(wanted)]);
    };
    let tests: Tests = serde_json::from_value(wanted).map_err(|error| error.to_string())?;
    if let Some(pattern) = &tests.matches {
        regex_lite::Regex::new(pattern).map_err(|error| format!("`{pattern}` is not a regular expression: {error}"))?;
    }
    let Tests {
        equals,
        one_of,
        matches,
        present,
        r#type,
        contains,
        lacks,
        min,
        max,
        min_length,
        max_length,
    } = tests;
    Ok([
        present.map(Test::Present),
        r#type.map(Test::Type),
        equals.map(Test::Equals),
        one_of.map(Test::OneOf),
        matches.map(Test::Matches),
        contains.map(Test::Contains),
        lacks.map(Test::Lacks),
        min.map(Test::Min),
        max.map(Test::Max),
        min_length.map(Test::MinLength),
        max_length.map(Test::MaxLength),
    ]
    .into_iter()
    .flatten()
    .collect())
}

/// `500ms`, `1.5s`.
fn duration(text: &str) -> Option<Duration> {
    let (number, unit) = match text.strip_suffix("ms") {
        Some(number) => (number, 0.001),
        None => (text.strip_suffix('s')?, 1.0),
    };
    Duration::try_from_secs_f64(number.trim().parse::<f64>().ok()? * unit).ok()
}

#[cfg(test)]
mod tests_of_reading {
    use super::*;

    fn error(check: &str) -> String {
        let text = format!("checks:\n  - name: a\n    folder: functional\n{check}");
        match parse("x.yaml", &text) {
            Ok(_) => panic!("accepted: {check}"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        let cases = [
            (
                "    request: {path: tasks}\n    expect: {status: 200}",
                "does not begin with /",
            ),
            (
                "    request: {path: /t, url: x}\n    expect: {status: 200}",
                "either `path` or `url`",
            ),
            ("    request: {path: /t}\n    expect: {}", "has no assertions"),
            (
                "    request: {path: \"/t/{{id}}\"}\n    expect: {status: 200}",
                "`id` is neither",
            ),
            ("    request: {path: /t}\n    expect: {json: {title: x}}", "not a path"),
            (
                "    request: {path: /t}\n    expect: {json: {$.a: {is: x}}}",
                "unknown field",
            ),
            ("    request: {path: /t}\n    expect: {latency: fast}", "500ms"),
            ("    request: {path: /t}\n    expect: {schema: Nothing}", "no schema"),
            (
                "    request: {path: /t, method: get}\n    expect: {status: 1}",
                "not a method",
            ),
            ("    request: {path: /t, wrong: 1}\n    expect: {status: 1}", "wrong"),
        ];
        for (check, told) in cases {
            let error = error(check);
            assert!(error.contains(told) && error.contains("x.yaml"), "{error}");
        }
    }

    #[test]
    fn durations_have_units() {
        assert_eq!(duration("342ms"), Some(Duration::from_millis(342)));
        assert_eq!(duration("1.5s"), Some(Duration::from_millis(1500)));
        assert_eq!(duration("3"), None);
        assert_eq!(duration("-3s"), None);
    }
}
