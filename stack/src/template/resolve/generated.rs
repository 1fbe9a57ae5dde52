//! The standard alarms, as words of the template: they are laid under `alarms`, where the author's own words change or
//! remove them by name.

use std::rc::Rc;

use crate::template::fault::Span;
use crate::template::grammar::TextRule;
use crate::template::language::{IndexName, LogicalName};
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
        .chain(tables.iter().flat_map(|key| table_alarms(root, key, commands)));
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

/// Indexes whose throttled requests one alarm counts beside those of their table: two metrics each, and an alarm has nine.
const INDEXES: usize = 3;

/// Throttled requests of a table and of its indexes, which are throttled on their own.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/metrics-dimensions.html>
fn table_alarms(root: &Mapping, key: &Key, commands: &Commands<'_>) -> Vec<(String, Span, Words)> {
    let (table, span) = (key.text.as_str(), key.span);
    let indexes = index_names(root, table);
    let mut groups = indexes.chunks(INDEXES);
    let what = format!("Requests to the table {table} were throttled within 5 minutes.");
    let words = throttles(key, true, groups.next().unwrap_or_default(), &what, commands);
    let mut alarms = vec![(format!("{table}-table-throttles"), span, words)];
    for (number, group) in (2..).zip(groups) {
        let what = format!("Requests to indexes of the table {table} were throttled within 5 minutes.");
        let words = throttles(key, false, group, &what, commands);
        alarms.push((format!("{table}-table-throttles-{number}"), span, words));
    }
    alarms
}

/// An alarm on throttled requests of a table, of some of its indexes, or both.
fn throttles(key: &Key, has_table: bool, indexes: &[String], what: &str, commands: &Commands<'_>) -> Words {
    let (table, span) = (key.text.as_str(), key.span);
    let own = has_table.then(|| (String::new(), None)).into_iter();
    let others = indexes.iter().enumerate();
    let others = others.map(|(place, index)| (format!("_{}", place + 1), Some(index.as_str())));
    let mut metrics = Vec::new();
    for (suffix, index) in own.chain(others) {
        for (id, name) in [("reads", "ReadThrottleEvents"), ("writes", "WriteThrottleEvents")] {
            let mut words = vec![("table", Node::plain(table, span)), ("metric", Node::plain(name, span))];
            words.extend(index.map(|index| ("index", Node::quoted(index, span))));
            metrics.push((format!("{id}{suffix}"), Node::mapping(words, span)));
        }
    }
    let terms: Vec<String> = metrics.iter().map(|(id, _)| format!("FILL({id}, 0)")).collect();
    let named = metrics.iter().map(|(id, words)| (id.as_str(), words.clone()));
    vec![
        ("description", Node::quoted(commands.describe(what, None), span)),
        ("expression", Node::plain(terms.join(" + "), span)),
        ("label", Node::plain("throttled requests", span)),
        ("metrics", Node::mapping(named, span)),
        ("threshold", Node::plain("0", span)),
        ("comparison", Node::plain("greater-than", span)),
        ("period", Node::plain("5m", span)),
    ]
}

/// The names of a table's indexes, without those that are at fault themselves.
fn index_names(root: &Mapping, table: &str) -> Vec<String> {
    let below = |mapping: &Mapping, key: &str| mapping.get(key).map(|entry| Rc::clone(&entry.value));
    let table = below(root, "tables").and_then(|tables| tables.as_mapping().and_then(|tables| below(tables, table)));
    let indexes = table.and_then(|table| table.as_mapping().and_then(|table| below(table, "indexes")));
    let indexes = indexes.iter().filter_map(|indexes| indexes.as_mapping());
    let keys = indexes.flat_map(|indexes| &indexes.entries).map(|entry| &entry.key);
    keys.filter(|key| IndexName::check(&key.text, key.span).is_ok())
        .map(|key| key.text.clone())
        .collect()
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
