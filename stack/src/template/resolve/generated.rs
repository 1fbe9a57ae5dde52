//! The standard alarms, as words of the template: they are laid under `alarms`, where the author's own words change or
//! remove them by name.

use std::rc::Rc;

use crate::template::fault::Span;
use crate::template::grammar::TextRule;
use crate::template::language::LogicalName;
use crate::template::merge::{merge, with};
use crate::template::tree::{Content, Entry, Key, Mapping, Node, Scalar, Style};

/// How the commands in an alarm's text reach this stage.
struct Commands<'a> {
    app: &'a str,
    stage: &'a str,
    region: &'a str,
}

impl Commands<'_> {
    fn target(&self) -> String {
        format!("--app {} --stage {} --region {}", self.app, self.stage, self.region)
    }

    /// What happened, and what to run; ASCII only, because some services refuse anything else.
    fn describe(&self, what: &str, function: Option<&str>) -> String {
        let function = function.map_or_else(String::new, |function| format!("{function} "));
        format!(
            "{what} Look: taskctl logs {function}{target} --since 15m --level ERROR. Go back: taskctl rollback {target}",
            target = self.target()
        )
    }
}

/// The tree of a stage with the standard alarms under `alarms`, unless `defaults.alarm.generate` is false.
pub(crate) fn with_generated_alarms(root: &Rc<Node>, app: &str, stage: &str, region: &str) -> Rc<Node> {
    let Some(mapping) = root.as_mapping() else {
        return Rc::clone(root);
    };
    if !generate(mapping) {
        return Rc::clone(root);
    }
    let commands = Commands { app, stage, region };
    let generated = Rc::new(alarms(mapping, &commands, root.span));
    if mapping.get("alarms").is_some() {
        return with(root, "alarms", |entry| {
            if entry.value.is_null() {
                Some(generated)
            } else {
                Some(merge(&generated, &entry.value, &mut |_, _| {}))
            }
        });
    }
    let mut entries = mapping.entries.clone();
    entries.push(Entry {
        key: Key {
            text: "alarms".to_owned(),
            span: root.span,
        },
        value: generated,
    });
    Rc::new(Node {
        span: root.span,
        content: Content::Mapping(Mapping { entries }),
    })
}

fn generate(root: &Mapping) -> bool {
    let word = |mapping: &Mapping, key: &str| mapping.get(key).map(|entry| Rc::clone(&entry.value));
    let alarm =
        word(root, "defaults").and_then(|defaults| defaults.as_mapping().and_then(|defaults| word(defaults, "alarm")));
    let generate = alarm.and_then(|alarm| alarm.as_mapping().and_then(|alarm| word(alarm, "generate")));
    !generate.is_some_and(
        |node| matches!(&node.content, Content::Scalar(Scalar { text, style: Style::Plain }) if text == "false"),
    )
}

/// The words of one alarm.
type Words = Vec<(&'static str, Node)>;

fn alarms(root: &Mapping, commands: &Commands<'_>, owner: Span) -> Node {
    let functions = keys(root, "functions");
    let tables = keys(root, "tables");
    let api = root.get("api").filter(|api| api.value.as_mapping().is_some());
    let all = functions
        .iter()
        .flat_map(|key| function_alarms(key, commands))
        .chain(api.into_iter().flat_map(|api| api_alarms(api.key.span, commands)))
        .chain(tables.iter().map(|key| table_alarm(key, commands)));
    let entries = all.map(|(name, span, words)| Entry {
        key: Key { text: name, span },
        value: Rc::new(Node::mapping(words, span)),
    });
    Node {
        span: owner,
        content: Content::Mapping(Mapping {
            entries: entries.collect(),
        }),
    }
}

/// Errors and throttles of a function.
fn function_alarms(key: &Key, commands: &Commands<'_>) -> [(String, Span, Words); 2] {
    let (function, span) = (key.text.as_str(), key.span);
    let words = |metric: &str, threshold: &str, comparison: &str, what: &str| {
        vec![
            (
                "description",
                Node::quoted(commands.describe(what, Some(function)), span),
            ),
            ("function", Node::plain(function, span)),
            ("metric", Node::plain(metric, span)),
            ("statistic", Node::plain("Sum", span)),
            ("threshold", Node::plain(threshold, span)),
            ("comparison", Node::plain(comparison, span)),
            ("period", Node::plain("5m", span)),
        ]
    };
    let failed = format!("{function} failed 5 times or more within 5 minutes.");
    let throttled = format!("{function} was throttled within 5 minutes: its concurrency is used up.");
    [
        (
            format!("{function}-errors"),
            span,
            words("Errors", "5", "greater-than-or-equal", &failed),
        ),
        (
            format!("{function}-throttles"),
            span,
            words("Throttles", "0", "greater-than", &throttled),
        ),
    ]
}

/// Latency and 5xx of live.
fn api_alarms(span: Span, commands: &Commands<'_>) -> [(String, Span, Words); 2] {
    let words = |metric: &str, statistic: &str, threshold: &str, periods: &str, datapoints: &str, what: &str| {
        vec![
            ("description", Node::quoted(commands.describe(what, None), span)),
            ("api", Node::plain("live", span)),
            ("metric", Node::plain(metric, span)),
            ("statistic", Node::plain(statistic, span)),
            ("threshold", Node::plain(threshold, span)),
            ("comparison", Node::plain("greater-than", span)),
            ("period", Node::plain("1m", span)),
            ("evaluation_periods", Node::plain(periods, span)),
            ("datapoints_to_alarm", Node::plain(datapoints, span)),
        ]
    };
    let slow = "1 request in 100 took longer than 1 s, in 3 of 5 minutes.";
    let failing = "More than 10 answers of live were 5xx within 1 minute.";
    [
        (
            "api-latency".to_owned(),
            span,
            words("Latency", "p99", "1000", "5", "3", slow),
        ),
        ("api-5xx".to_owned(), span, words("5xx", "Sum", "10", "1", "1", failing)),
    ]
}

/// Throttled requests of a table.
fn table_alarm(key: &Key, commands: &Commands<'_>) -> (String, Span, Words) {
    let (table, span) = (key.text.as_str(), key.span);
    let metric = |name: &str| {
        Node::mapping(
            [("table", Node::plain(table, span)), ("metric", Node::plain(name, span))],
            span,
        )
    };
    let what = format!("Requests to the table {table} were throttled within 5 minutes.");
    let metrics = [
        ("reads", metric("ReadThrottleEvents")),
        ("writes", metric("WriteThrottleEvents")),
    ];
    let words = vec![
        ("description", Node::quoted(commands.describe(&what, None), span)),
        ("expression", Node::plain("FILL(reads, 0) + FILL(writes, 0)", span)),
        ("label", Node::plain("throttled requests", span)),
        ("metrics", Node::mapping(metrics, span)),
        ("threshold", Node::plain("0", span)),
        ("comparison", Node::plain("greater-than", span)),
        ("period", Node::plain("5m", span)),
    ];
    (format!("{table}-table-throttles"), span, words)
}

/// The names in a section, without those that are at fault themselves.
fn keys(root: &Mapping, section: &str) -> Vec<Key> {
    let mapping = root.get(section).and_then(|entry| entry.value.as_mapping());
    let keys = mapping
        .into_iter()
        .flat_map(|mapping| &mapping.entries)
        .map(|entry| &entry.key);
    keys.filter(|key| LogicalName::check(&key.text, key.span).is_ok())
        .cloned()
        .collect()
}
