//! Checks as a Postman collection, which Newman runs: the same requests, captures and assertions.
//! <https://schema.postman.com/collection/json/v2.1.0/draft-07/docs/index.html>

use serde_json::{Value, json};

use crate::assertion::{Assertion, Subject, Test};
use crate::model::{Capture, Check, Folder, Suite};
use crate::path::{Path, Step};

/// The beginning of every test script.
const PRELUDE: &str = "const body = (() => { try { return pm.response.json(); } catch (e) { return undefined; } })();
const at = (...path) => path.reduce((value, step) => value === undefined || value === null ? undefined : value[step], body);
const filled = (value) => typeof value === 'string' ? pm.variables.replaceIn(value) : value;
const text = (value) => typeof value === 'string' ? value : JSON.stringify(value);
const size = (value) => value && typeof value === 'object' && !Array.isArray(value) ? Object.keys(value).length : Array.from(value).length;
const kind = (value) => value === null ? 'null' : Array.isArray(value) ? 'array' : typeof value;
const holds = (value, wanted) => Array.isArray(value) ? value.includes(wanted) : text(value).includes(text(wanted));
const utf8 = (value) => { try { return decodeURIComponent(escape(value)); } catch (e) { return value; } };
const header = (name) => { const all = pm.response.headers.all().filter((one) => one.key.toLowerCase() === name.toLowerCase()); return all.length ? utf8(all[0].value) : undefined; };";

/// Sets a variable, and the same as it is written within a text of JSON.
const KEEP: &str = "const keep = (name, value) => { const text = typeof value === 'string' ? value : JSON.stringify(value); pm.collectionVariables.set(name, text); pm.collectionVariables.set(name + '__json', text === undefined ? text : JSON.stringify(text).slice(1, -1)); };";

/// What Postman does of its own accord and `check` does not: following redirects, keeping cookies, leaving out bodies, adding
/// headers. <https://learning.postman.com/docs/sending-requests/create-requests/request-settings/>
fn as_written() -> Value {
    let added = [
        "accept",
        "accept-encoding",
        "cache-control",
        "content-type",
        "postman-token",
        "user-agent",
    ];
    let added: serde_json::Map<String, Value> = added.iter().map(|name| ((*name).to_owned(), json!(true))).collect();
    json!({
        "followRedirects": false,
        "disableCookies": true,
        "disableBodyPruning": true,
        "disabledSystemHeaders": added,
    })
}

/// The collection of an application: a folder for each sort of check.
pub fn collection(app: &str, suites: &[Suite]) -> Value {
    let folders = Folder::ALL.into_iter().filter_map(|folder| {
        let items: Vec<Value> = suites
            .iter()
            .flat_map(|suite| {
                suite
                    .checks
                    .iter()
                    .filter(|check| check.folder == folder)
                    .map(|check| item(suite, check))
            })
            .collect();
        (!items.is_empty()).then(|| json!({"name": folder.as_str(), "item": items}))
    });
    let once = suites.iter().flat_map(|suite| {
        suite.variables.iter().map(|(name, value)| {
            let value = json!(postman_text(suite, value));
            let name = json!(scoped(suite, name));
            format!("if (!pm.collectionVariables.get({name})) keep({name}, pm.variables.replaceIn({value}));")
        })
    });
    let once: Vec<String> = std::iter::once(KEEP.to_owned()).chain(once).collect();
    json!({
        "info": {
            "name": format!("{app} checks"),
            "description": "Written by `taskctl export postman`; run it with one of the environments beside it.",
            "schema": "https://schema.getpostman.com/json/collection/v2.1.0/collection.json",
        },
        "item": folders.collect::<Vec<_>>(),
        "event": [{"listen": "prerequest", "script": {"type": "text/javascript", "exec": once}}],
    })
}

/// An environment: where the collection is run.
pub fn environment(name: &str, url: &str) -> Value {
    json!({
        "name": name,
        "values": [{"key": "baseUrl", "value": url, "type": "default", "enabled": true}],
        "_postman_variable_scope": "environment",
    })
}

fn item(suite: &Suite, check: &Check) -> Value {
    let request = &check.request;
    let url = match (&request.path, &request.url) {
        (Some(path), _) => format!("{{{{baseUrl}}}}{}", postman_text(suite, path)),
        (None, Some(url)) => postman_text(suite, url),
        (None, None) => "{{baseUrl}}".to_owned(),
    };
    let mut headers: Vec<Value> = request
        .headers
        .iter()
        .map(|(name, value)| json!({"key": name, "value": postman_text(suite, value)}))
        .collect();
    let body = match (&request.json, &request.body) {
        (Some(json), _) => {
            if !request
                .headers
                .keys()
                .any(|name| name.eq_ignore_ascii_case("content-type"))
            {
                headers.push(json!({"key": "Content-Type", "value": "application/json"}));
            }
            Some(postman_json(suite, &json.to_string()))
        }
        (None, Some(body)) => Some(postman_text(suite, body)),
        (None, None) => None,
    };
    let mut written = json!({"method": request.method, "header": headers, "url": url});
    if let (Some(body), Some(request)) = (body, written.as_object_mut()) {
        request.insert("body".to_owned(), json!({"mode": "raw", "raw": body}));
    }
    let mut script: Vec<String> = PRELUDE.lines().chain([KEEP]).map(str::to_owned).collect();
    script.extend(check.assertions.iter().map(|assertion| test(suite, assertion)));
    for (name, place) in &check.capture {
        let value = match place {
            Capture::Header(name) => format!("header({})", json!(name)),
            Capture::Json(path) => at(path),
        };
        script.push(format!("keep({}, {value});", json!(scoped(suite, name))));
    }
    json!({
        "name": format!("{}: {}", suite.name, check.name),
        "request": written,
        "protocolProfileBehavior": as_written(),
        "event": [{"listen": "test", "script": {"type": "text/javascript", "exec": script}}],
    })
}

/// Variables of suites do not meet.
fn scoped(suite: &Suite, name: &str) -> String {
    format!("{}_{name}", suite.name)
}

/// A text with its variables in Postman's spelling.
fn postman_text(suite: &Suite, text: &str) -> String {
    respelled(text, |name| scoped(suite, name))
}

/// The same of a text of JSON: the variables are written in as JSON writes them.
fn postman_json(suite: &Suite, text: &str) -> String {
    respelled(text, |name| format!("{}__json", scoped(suite, name)))
}

fn respelled(text: &str, spelled: impl Fn(&str) -> String) -> String {
    let mut written = String::new();
    let mut rest = text;
    while let Some((plain, after)) = rest.split_once("{{") {
        let Some((name, after)) = after.split_once("}}") else {
            break;
        };
        written.push_str(plain);
        match name.trim() {
            "uuid" => written.push_str("{{$guid}}"),
            name => written.push_str(&format!("{{{{{}}}}}", spelled(name))),
        }
        rest = after;
    }
    written.push_str(rest);
    written
}

fn at(path: &Path) -> String {
    let steps: Vec<String> = path
        .steps()
        .iter()
        .map(|step| match step {
            Step::Name(name) => json!(name).to_string(),
            Step::Index(index) => index.to_string(),
        })
        .collect();
    format!("at({})", steps.join(", "))
}

fn test(suite: &Suite, assertion: &Assertion) -> String {
    let subject = match &assertion.subject {
        Subject::Status => "pm.response.code".to_owned(),
        Subject::Latency => "pm.response.responseTime".to_owned(),
        Subject::Header(name) => format!("header({})", json!(name)),
        Subject::Json(path) => at(path),
        Subject::Body => "pm.response.text()".to_owned(),
    };
    let value = |value: &Value| match value {
        Value::String(text) => format!("filled({})", json!(postman_text(suite, text))),
        other => other.to_string(),
    };
    let expect = format!("pm.expect({subject})");
    let holds = match &assertion.test {
        Test::Equals(wanted) => format!("{expect}.to.eql({})", value(wanted)),
        Test::OneOf(wanted) => {
            let wanted: Vec<String> = wanted.iter().map(value).collect();
            format!("{expect}.to.be.oneOf([{}])", wanted.join(", "))
        }
        Test::Matches(pattern) => match javascript(pattern) {
            Some((pattern, flags)) => format!(
                "pm.expect(text({subject})).to.match(new RegExp({}, {}))",
                json!(pattern),
                json!(flags)
            ),
            None => format!(
                "throw new Error({})",
                json!(format!("JavaScript has no regular expression like {pattern}"))
            ),
        },
        Test::Present(true) => format!("{expect}.to.not.be.undefined"),
        Test::Present(false) => format!("{expect}.to.be.undefined"),
        Test::Type(kind) => format!("pm.expect(kind({subject})).to.equal({})", json!(kind.as_str())),
        Test::Contains(wanted) => format!("pm.expect(holds({subject}, {})).to.be.true", value(wanted)),
        Test::Lacks(wanted) => format!("pm.expect(holds({subject}, {})).to.be.false", value(wanted)),
        Test::Min(least) => format!("{expect}.to.be.at.least({least})"),
        Test::Max(most) => format!("{expect}.to.be.at.most({most})"),
        Test::MinLength(least) => format!("pm.expect(size({subject})).to.be.at.least({least})"),
        Test::MaxLength(most) => format!("pm.expect(size({subject})).to.be.at.most({most})"),
        Test::Within(limit) => format!("{expect}.to.be.at.most({})", limit.as_millis()),
        Test::Schema(_, schema) => format!("pm.response.to.have.jsonSchema({schema})"),
    };
    let name = json!(assertion.to_string());
    format!("pm.test({name}, () => {{ {holds}; }});")
}

/// A regular expression in JavaScript's spelling, with its flags; none when JavaScript has none that means the same.
fn javascript(pattern: &str) -> Option<(String, String)> {
    let mut flags = String::new();
    let mut rest = pattern;
    // Flags at the beginning are about everything.
    while let Some((given, after)) = rest.strip_prefix("(?").and_then(|after| after.split_once(')')) {
        let is_flags = !given.is_empty() && given.chars().all(|flag| "ims".contains(flag));
        if !is_flags {
            break;
        }
        flags.extend(given.chars().filter(|flag| !flags.contains(*flag)).collect::<Vec<_>>());
        rest = after;
    }
    let mut written = String::new();
    let mut in_class = false;
    while let Some(next) = rest.chars().next() {
        let after = &rest[next.len_utf8()..];
        let (length, text) = match next {
            '\\' => {
                let escaped = after.chars().next()?;
                let length = next.len_utf8() + escaped.len_utf8();
                match escaped {
                    'A' => (length, "^"),
                    'z' => (length, "$"),
                    _ => (length, &rest[..length]),
                }
            }
            '[' if rest.starts_with("[[:") => return None,
            '[' => {
                in_class = true;
                (1, "[")
            }
            ']' => {
                in_class = false;
                (1, "]")
            }
            '(' if !in_class && rest.starts_with("(?P<") => (4, "(?<"),
            '(' if !in_class && rest.starts_with("(?") && !rest.starts_with("(?:") && !rest.starts_with("(?<") => {
                return None;
            }
            other => (other.len_utf8(), &rest[..other.len_utf8()]),
        };
        written.push_str(text);
        rest = &rest[length..];
    }
    // Here `^` and `$` of the whole text are those of a line.
    let is_multiline = flags.contains('m') && (pattern.contains("\\A") || pattern.contains("\\z"));
    (!is_multiline).then_some((written, flags))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::model::parse;

    #[test]
    fn regular_expressions_are_respelled() {
        let of = |pattern: &str| javascript(pattern).map(|(pattern, flags)| format!("/{pattern}/{flags}"));
        for (pattern, expected) in [
            ("^JUST A", Some("/^JUST A/")),
            ("(?i)^JUST A", Some("/^JUST A/i")),
            ("(?i)(?s)a.b", Some("/a.b/is")),
            (r"\Aa\.\\z", Some(r"/^a\.\\z/")),
            (r"a\z", Some("/a$/")),
            ("(?P<year>[0-9(?]+)", Some("/(?<year>[0-9(?]+)/")),
            ("a(?:b|ü)", Some("/a(?:b|ü)/")),
            ("a(?i:b)", None),
            ("a(?i)b", None),
            ("[[:alpha:]]", None),
            (r"(?m)\Aa", None),
        ] {
            assert_eq!(of(pattern).as_deref(), expected, "{pattern}");
        }
    }

    #[test]
    fn a_check_becomes_a_request_with_the_same_assertions() {
        let text = r#"
variables: {title: "Check {{uuid}}"}
checks:
  - name: create
    folder: functional
    writes: true
    request: {method: POST, path: /tasks, json: {title: "{{title}}"}}
    expect: {status: 201, json: {$.data.title: "{{title}}", "$.data.tags[0]": {present: false}}}
    capture: {id: $.taskId}
"#;
        let suite = parse("tasks.yaml", text).unwrap();
        let written = collection("shop", std::slice::from_ref(&suite));
        let item = &written["item"][0]["item"][0];
        assert_eq!(item["request"]["body"]["raw"], "{\"title\":\"{{tasks_title__json}}\"}");
        assert_eq!(item["protocolProfileBehavior"]["followRedirects"], false);
        let script: Vec<&str> = item["event"][0]["script"]["exec"]
            .as_array()
            .unwrap()
            .iter()
            .map(|line| line.as_str().unwrap())
            .collect();
        let tests = script.iter().filter(|line| line.starts_with("pm.test(")).count();
        assert_eq!(tests, suite.checks[0].assertions.len());
        assert!(script.iter().any(|line| line.contains("\"tasks_id\"")));
        assert!(
            written["event"][0]["script"]["exec"][1]
                .as_str()
                .unwrap()
                .contains("{{$guid}}")
        );
    }
}
