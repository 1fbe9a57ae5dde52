//! Evaluates Logs Insights queries over log events.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashSet};

use jiff::Timestamp;
use serde_json::Value as Json;

use super::syntax::{AGGREGATES, Clause, Expression, Named, Operator, Order};

/// A log event.
#[derive(Debug, Clone, Default)]
pub(super) struct Event {
    pub timestamp: i64,
    pub ingested: i64,
    pub message: String,
    pub stream: String,
    /// Account and name of the group, as `@log`.
    pub log: String,
    pub id: String,
}

/// The result.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Column and value, without the columns a row lacks.
    pub rows: Vec<Vec<(String, String)>>,
    pub matched: usize,
}

/// A value of a field.
#[derive(Debug, Clone, PartialEq)]
enum Value {
    Missing,
    Bool(bool),
    Number(f64),
    Text(String),
    /// Milliseconds since 1970.
    Time(i64),
}

/// A row: an event with its computed fields, or a row of `stats`.
#[derive(Debug, Clone, Default)]
struct Row {
    event: Option<Event>,
    parsed: Option<Json>,
    set: BTreeMap<String, Value>,
}

/// Runs a query over events.
pub(super) fn run(clauses: &[Clause], events: Vec<Event>, most: usize) -> Found {
    let mut table = Table::of(events, most);
    for clause in clauses {
        table.apply(clause);
    }
    table.found()
}

/// The rows while a query works on them.
struct Table {
    rows: Vec<Row>,
    columns: Vec<String>,
    /// Rows that passed the filters, before they were counted.
    matched: usize,
    limit: usize,
    is_counted: bool,
    is_sorted: bool,
}

impl Table {
    fn of(events: Vec<Event>, most: usize) -> Self {
        Self {
            matched: events.len(),
            rows: events.into_iter().map(Row::of).collect(),
            columns: Vec::new(),
            limit: most,
            is_counted: false,
            is_sorted: false,
        }
    }

    fn apply(&mut self, clause: &Clause) {
        match clause {
            Clause::Fields(fields) => self.show(fields),
            Clause::Display(fields) => {
                self.columns.clear();
                self.show(fields);
            }
            Clause::Filter(condition) => {
                self.rows.retain(|row| row.named(condition).holds());
                if !self.is_counted {
                    self.matched = self.rows.len();
                }
            }
            Clause::Parse { from, pattern, names } => {
                for row in &mut self.rows {
                    let text = row.named(from).text();
                    let captures = pattern.captures(&text);
                    for (number, name) in names.iter().enumerate() {
                        let part = captures.as_ref().and_then(|captures| captures.get(number + 1));
                        let value = part.map_or(Value::Missing, |part| Value::Text(part.as_str().to_owned()));
                        row.set.insert(name.clone(), value);
                    }
                }
            }
            Clause::Stats { of, by } => {
                self.rows = grouped(&self.rows, of, by);
                self.columns = by.iter().chain(of).map(|one| one.name.clone()).collect();
                self.is_counted = true;
            }
            Clause::Sort(keys) => {
                self.is_sorted = true;
                self.rows.sort_by(|a, b| compared(a, b, keys));
            }
            Clause::Dedup(keys) => {
                let mut seen = HashSet::new();
                self.rows.retain(|row| {
                    let key: Vec<Value> = keys.iter().map(|key| row.named(key)).collect();
                    // A row that lacks a field stays.
                    key.contains(&Value::Missing) || seen.insert(key.iter().map(Value::text).collect::<Vec<_>>())
                });
            }
            Clause::Limit(number) => self.limit = self.limit.min(*number),
        }
    }

    fn show(&mut self, fields: &[Named]) {
        for row in &mut self.rows {
            for field in fields {
                let value = row.named(field);
                row.set.insert(field.name.clone(), value);
            }
        }
        for field in fields {
            if !self.columns.contains(&field.name) {
                self.columns.push(field.name.clone());
            }
        }
    }

    fn found(mut self) -> Found {
        if !self.is_sorted && !self.is_counted {
            self.rows
                .sort_by_key(|row| std::cmp::Reverse(row.event.as_ref().map(|event| event.timestamp)));
        }
        self.rows.truncate(self.limit);
        if self.columns.is_empty() {
            self.columns = vec!["@timestamp".to_owned(), "@message".to_owned()];
        }
        let shown = |row: &Row| {
            let fields = self.columns.iter().map(|column| (column.clone(), row.field(column)));
            let mut fields: Vec<(String, String)> = fields
                .filter(|(_, value)| *value != Value::Missing)
                .map(|(column, value)| (column, value.text()))
                .collect();
            if let Some(event) = &row.event {
                fields.push(("@ptr".to_owned(), event.id.clone()));
            }
            fields
        };
        Found {
            rows: self.rows.iter().map(shown).collect(),
            matched: self.matched,
        }
    }
}

fn compared(a: &Row, b: &Row, keys: &[(Named, Order)]) -> Ordering {
    keys.iter()
        .map(|(key, order)| {
            let by_key = a.named(key).order(&b.named(key));
            match order {
                Order::Ascending => by_key,
                Order::Descending => by_key.reverse(),
            }
        })
        .find(|order| order.is_ne())
        .unwrap_or(Ordering::Equal)
}

/// One row for each group.
fn grouped(rows: &[Row], of: &[Named], by: &[Named]) -> Vec<Row> {
    let mut groups: BTreeMap<Vec<String>, Vec<&Row>> = BTreeMap::new();
    for row in rows {
        let key = by.iter().map(|one| row.named(one).text()).collect();
        groups.entry(key).or_default().push(row);
    }
    if by.is_empty() && groups.is_empty() {
        groups.insert(Vec::new(), Vec::new());
    }
    groups
        .into_values()
        .map(|members| {
            let mut row = Row::default();
            for one in by {
                let value = members.first().map_or(Value::Missing, |first| first.named(one));
                row.set.insert(one.name.clone(), value);
            }
            for one in of {
                row.set.insert(one.name.clone(), together(&one.expression, &members));
            }
            row
        })
        .collect()
}

/// The value of an expression for a group.
fn together(expression: &Expression, rows: &[&Row]) -> Value {
    match expression {
        Expression::Call(name, arguments) if AGGREGATES.contains(&name.as_str()) => aggregate(name, arguments, rows),
        Expression::Call(name, arguments) => {
            let values = arguments.iter().map(|argument| together(argument, rows)).collect();
            called(name, values)
        }
        Expression::Binary(operator, left, right) => {
            calculated(*operator, &together(left, rows), &together(right, rows))
        }
        Expression::Minus(inner) => together(inner, rows)
            .number()
            .map_or(Value::Missing, |number| Value::Number(-number)),
        other => rows
            .first()
            .map_or_else(|| Row::default().value(other), |row| row.value(other)),
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of log lines")]
fn aggregate(name: &str, arguments: &[Expression], rows: &[&Row]) -> Value {
    let of = match arguments.first() {
        None | Some(Expression::Everything) => return Value::Number(rows.len() as f64),
        Some(of) => of,
    };
    let values = || {
        rows.iter()
            .map(|row| row.value(of))
            .filter(|value| *value != Value::Missing)
    };
    let mut numbers: Vec<f64> = Vec::new();
    if !matches!(name, "count" | "count_distinct" | "earliest" | "latest") {
        numbers = values().filter_map(|value| value.number()).collect();
        numbers.sort_by(f64::total_cmp);
    }
    let number = |number: Option<f64>| number.map_or(Value::Missing, Value::Number);
    let mean = || (!numbers.is_empty()).then(|| numbers.iter().sum::<f64>() / numbers.len() as f64);
    let at_rank = |percent: f64| {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rank")]
        let rank = (percent.clamp(0.0, 100.0) / 100.0 * numbers.len() as f64).ceil() as usize;
        numbers.get(rank.saturating_sub(1)).copied()
    };
    let by_time = |latest: bool| {
        let timed = rows.iter().filter(|row| row.value(of) != Value::Missing);
        let time = |row: &&&Row| row.event.as_ref().map(|event| event.timestamp);
        let chosen = if latest {
            timed.max_by_key(time)
        } else {
            timed.min_by_key(time)
        };
        chosen.map_or(Value::Missing, |row| row.value(of))
    };
    let sorted = || {
        let mut all: Vec<Value> = values().collect();
        all.sort_by(Value::order);
        all
    };
    match name {
        "count" => Value::Number(values().count() as f64),
        "count_distinct" => Value::Number(values().map(|value| value.text()).collect::<HashSet<_>>().len() as f64),
        "sum" => Value::Number(numbers.iter().sum()),
        "avg" => number(mean()),
        // Of texts and times, too.
        "min" | "sortsfirst" => sorted().first().cloned().unwrap_or(Value::Missing),
        "max" | "sortslast" => sorted().last().cloned().unwrap_or(Value::Missing),
        "median" => number(at_rank(50.0)),
        "pct" | "percentile" => {
            let percent = arguments
                .get(1)
                .and_then(|percent| Row::default().value(percent).number());
            number(percent.and_then(at_rank))
        }
        "stddev" => number(mean().map(|mean| {
            let squares: f64 = numbers.iter().map(|number| (number - mean).powi(2)).sum();
            (squares / numbers.len() as f64).sqrt()
        })),
        "earliest" => by_time(false),
        "latest" => by_time(true),
        _ => Value::Missing,
    }
}

impl Row {
    fn of(event: Event) -> Self {
        Self {
            parsed: serde_json::from_str(&event.message).ok().filter(Json::is_object),
            event: Some(event),
            set: BTreeMap::new(),
        }
    }

    /// A column that is already there under this name, or the value of the expression.
    fn named(&self, named: &Named) -> Value {
        match self.set.get(&named.name) {
            Some(value) => value.clone(),
            None => self.value(&named.expression),
        }
    }

    fn field(&self, name: &str) -> Value {
        if let Some(value) = self.set.get(name) {
            return value.clone();
        }
        let Some(event) = &self.event else {
            return Value::Missing;
        };
        match name {
            "@timestamp" => Value::Time(event.timestamp),
            "@ingestionTime" => Value::Time(event.ingested),
            "@message" => Value::Text(event.message.trim_end().to_owned()),
            "@logStream" => Value::Text(event.stream.clone()),
            "@log" => Value::Text(event.log.clone()),
            "@ptr" => Value::Text(event.id.clone()),
            _ => match (&self.parsed, name.strip_prefix('@')) {
                (Some(parsed), _) => member(parsed, name).map_or(Value::Missing, of_json),
                (None, Some(name)) => of_platform(&event.message, name).unwrap_or(Value::Missing),
                (None, None) => Value::Missing,
            },
        }
    }

    fn value(&self, expression: &Expression) -> Value {
        match expression {
            Expression::Number(number) => Value::Number(*number),
            Expression::Text(text) => Value::Text(text.clone()),
            Expression::Field(name) => self.field(name),
            #[expect(clippy::cast_precision_loss, reason = "a period")]
            Expression::Period(millis) => Value::Number(*millis as f64),
            Expression::Pattern(_) | Expression::Everything | Expression::List(_) => Value::Missing,
            Expression::Not(inner) => Value::Bool(!self.value(inner).holds()),
            Expression::Minus(inner) => self
                .value(inner)
                .number()
                .map_or(Value::Missing, |number| Value::Number(-number)),
            Expression::Binary(operator @ (Operator::Like | Operator::NotLike), left, right) => {
                let text = self.value(left);
                let fits = match right.as_ref() {
                    Expression::Pattern(pattern) => pattern.is_match(&text.text()),
                    right => text.text().contains(&self.value(right).text()),
                };
                Value::Bool((fits && text != Value::Missing) == (*operator == Operator::Like))
            }
            Expression::Binary(operator @ (Operator::In | Operator::NotIn), left, right) => {
                let value = self.value(left);
                let is_in = match right.as_ref() {
                    Expression::List(all) => all.iter().any(|one| value.equals(&self.value(one))),
                    right => value.equals(&self.value(right)),
                };
                Value::Bool(is_in == (*operator == Operator::In))
            }
            Expression::Binary(Operator::And, left, right) => {
                Value::Bool(self.value(left).holds() && self.value(right).holds())
            }
            Expression::Binary(Operator::Or, left, right) => {
                Value::Bool(self.value(left).holds() || self.value(right).holds())
            }
            Expression::Binary(operator, left, right) => calculated(*operator, &self.value(left), &self.value(right)),
            Expression::Call(name, arguments) if name == "bin" => {
                let time = self.event.as_ref().map_or(0, |event| event.timestamp);
                let millis = arguments.first().and_then(|period| self.value(period).number());
                #[expect(clippy::cast_possible_truncation, reason = "a period")]
                let period = (millis.unwrap_or(60_000.0) as i64).max(1);
                Value::Time(time - time.rem_euclid(period))
            }
            Expression::Call(name, arguments) => {
                called(name, arguments.iter().map(|argument| self.value(argument)).collect())
            }
        }
    }
}

/// A comparison or a calculation.
fn calculated(operator: Operator, left: &Value, right: &Value) -> Value {
    let order = || left.compare(right);
    match operator {
        Operator::Equal => Value::Bool(left.equals(right)),
        // A field that is not there differs from every value.
        Operator::NotEqual => Value::Bool(!left.equals(right)),
        Operator::Less => Value::Bool(order().is_some_and(Ordering::is_lt)),
        Operator::LessOrEqual => Value::Bool(order().is_some_and(Ordering::is_le)),
        Operator::Greater => Value::Bool(order().is_some_and(Ordering::is_gt)),
        Operator::GreaterOrEqual => Value::Bool(order().is_some_and(Ordering::is_ge)),
        Operator::And => Value::Bool(left.holds() && right.holds()),
        Operator::Or => Value::Bool(left.holds() || right.holds()),
        _ => {
            let (Some(a), Some(b)) = (left.number(), right.number()) else {
                return Value::Missing;
            };
            let result = match operator {
                Operator::Plus => a + b,
                Operator::Minus => a - b,
                Operator::Times => a * b,
                Operator::Divide => a / b,
                Operator::Remainder => a % b,
                Operator::Power => a.powf(b),
                _ => return Value::Missing,
            };
            if result.is_finite() {
                Value::Number(result)
            } else {
                Value::Missing
            }
        }
    }
}

/// A function of values. <https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CWL_QuerySyntax-operations-functions.html>
fn called(name: &str, values: Vec<Value>) -> Value {
    let first = values.first().cloned().unwrap_or(Value::Missing);
    let second = values.get(1).cloned().unwrap_or(Value::Missing);
    match name {
        "ispresent" => return Value::Bool(first != Value::Missing),
        "isempty" => return Value::Bool(first.text().is_empty()),
        "isblank" => return Value::Bool(first.text().trim().is_empty()),
        "coalesce" => {
            return values
                .into_iter()
                .find(|value| *value != Value::Missing)
                .unwrap_or(first);
        }
        "concat" => return Value::Text(values.iter().map(Value::text).collect()),
        "if" => {
            let otherwise = values.get(2).cloned().unwrap_or(Value::Missing);
            return if first.holds() { second } else { otherwise };
        }
        "now" => return Value::Time(Timestamp::now().as_millisecond()),
        _ if first == Value::Missing => return Value::Missing,
        _ => {}
    }
    let number = |change: fn(f64) -> f64| first.number().map(change).filter(|number| number.is_finite());
    let of_number = |number: Option<f64>| number.map_or(Value::Missing, Value::Number);
    let text = first.text();
    let numbers = || values.iter().filter_map(Value::number);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "places in a text"
    )]
    let place = |value: Option<&Value>| value.and_then(Value::number).map(|number| number.max(0.0) as usize);
    #[expect(clippy::cast_possible_truncation, reason = "times")]
    let floored = |up: i64| {
        let time = first.number()? as i64;
        let period = (second.number()? as i64).max(1);
        let rest = time.rem_euclid(period);
        Some(Value::Time(time - rest + if rest > 0 { period * up } else { 0 }))
    };
    match name {
        "abs" => of_number(number(f64::abs)),
        "ceil" => of_number(number(f64::ceil)),
        "floor" => of_number(number(f64::floor)),
        "log" => of_number(number(f64::ln)),
        "sqrt" => of_number(number(f64::sqrt)),
        "greatest" => of_number(numbers().reduce(f64::max)),
        "least" => of_number(numbers().reduce(f64::min)),
        "datefloor" => floored(0).unwrap_or(Value::Missing),
        "dateceil" => floored(1).unwrap_or(Value::Missing),
        #[expect(clippy::cast_possible_truncation, reason = "a time")]
        "frommillis" => first
            .number()
            .map_or(Value::Missing, |millis| Value::Time(millis as i64)),
        "tomillis" => of_number(first.number()),
        #[expect(clippy::cast_precision_loss, reason = "a length")]
        "strlen" => Value::Number(text.chars().count() as f64),
        "strcontains" => Value::Bool(text.contains(&second.text())),
        "tolower" => Value::Text(text.to_lowercase()),
        "toupper" => Value::Text(text.to_uppercase()),
        "trim" => Value::Text(text.trim().to_owned()),
        "ltrim" => Value::Text(text.trim_start().to_owned()),
        "rtrim" => Value::Text(text.trim_end().to_owned()),
        "replace" => Value::Text(text.replace(&second.text(), &values.get(2).map(Value::text).unwrap_or_default())),
        "substr" => {
            let rest = text.chars().skip(place(values.get(1)).unwrap_or(0));
            Value::Text(rest.take(place(values.get(2)).unwrap_or(usize::MAX)).collect())
        }
        "isvalidip" => Value::Bool(text.parse::<std::net::IpAddr>().is_ok()),
        _ => Value::Missing,
    }
}

impl Value {
    fn holds(&self) -> bool {
        match self {
            Self::Missing => false,
            Self::Bool(holds) => *holds,
            Self::Number(number) => *number != 0.0,
            Self::Text(text) => !text.is_empty(),
            Self::Time(_) => true,
        }
    }

    fn number(&self) -> Option<f64> {
        match self {
            Self::Missing => None,
            Self::Bool(holds) => Some(f64::from(u8::from(*holds))),
            Self::Number(number) => Some(*number),
            Self::Text(text) => text.trim().parse().ok().filter(|number: &f64| number.is_finite()),
            #[expect(clippy::cast_precision_loss, reason = "milliseconds")]
            Self::Time(millis) => Some(*millis as f64),
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Missing => String::new(),
            Self::Bool(holds) => u8::from(*holds).to_string(),
            Self::Number(number) if number.fract() == 0.0 && number.abs() < 1e15 => format!("{number:.0}"),
            Self::Number(number) => {
                let text = format!("{number:.4}");
                text.trim_end_matches('0').trim_end_matches('.').to_owned()
            }
            Self::Text(text) => text.clone(),
            Self::Time(millis) => {
                let time = Timestamp::from_millisecond(*millis).unwrap_or(Timestamp::UNIX_EPOCH);
                time.strftime("%Y-%m-%d %H:%M:%S.%3f").to_string()
            }
        }
    }

    fn equals(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Missing, _) | (_, Self::Missing) => false,
            (Self::Bool(holds), Self::Text(text)) | (Self::Text(text), Self::Bool(holds)) => {
                text == if *holds { "true" } else { "false" } || *text == u8::from(*holds).to_string()
            }
            _ => self.compare(other).is_some_and(Ordering::is_eq),
        }
    }

    /// As numbers where both are, else as texts.
    fn compare(&self, other: &Self) -> Option<Ordering> {
        if *self == Self::Missing || *other == Self::Missing {
            return None;
        }
        match (self.number(), other.number()) {
            (Some(a), Some(b)) => a.partial_cmp(&b),
            _ => Some(self.text().cmp(&other.text())),
        }
    }

    /// For sorting: missing values come first.
    fn order(&self, other: &Self) -> Ordering {
        let is_there = |value: &Self| *value != Self::Missing;
        self.compare(other)
            .unwrap_or_else(|| is_there(self).cmp(&is_there(other)))
    }
}

/// A member of an object by its name, or by the names on the way to it.
fn member<'a>(object: &'a Json, name: &str) -> Option<&'a Json> {
    if let Some(found) = object.get(name) {
        return Some(found);
    }
    name.match_indices('.').find_map(|(at, _)| {
        let (head, rest) = (&name[..at], &name[at + 1..]);
        let inner = match object {
            Json::Array(all) => all.get(head.parse::<usize>().ok()?)?,
            _ => object.get(head)?,
        };
        member(inner, rest).or_else(|| inner.as_array()?.get(rest.parse::<usize>().ok()?))
    })
}

fn of_json(value: &Json) -> Value {
    match value {
        Json::Null => Value::Missing,
        Json::Bool(holds) => Value::Bool(*holds),
        Json::Number(number) => number.as_f64().map_or(Value::Missing, Value::Number),
        Json::String(text) => Value::Text(text.clone()),
        other => Value::Text(other.to_string()),
    }
}

/// The fields that Insights discovers in text lines of Lambda's platform.
/// <https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CWL_AnalyzeLogData-discoverable-fields.html>
fn of_platform(message: &str, name: &str) -> Option<Value> {
    let kind = ["START", "END", "REPORT"]
        .into_iter()
        .find(|kind| message.starts_with(kind))?;
    let after = |label: &str| {
        let (_, rest) = message.split_once(label)?;
        rest.split_whitespace().next().map(str::to_owned)
    };
    let number = |label: &str, factor: f64| {
        let number: f64 = after(label)?.parse().ok()?;
        Some(Value::Number(number * factor))
    };
    match name {
        "type" => Some(Value::Text(kind.to_owned())),
        "requestId" => after("RequestId: ").map(Value::Text),
        "duration" => number("\tDuration: ", 1.0),
        "billedDuration" => number("Billed Duration: ", 1.0),
        "initDuration" => number("Init Duration: ", 1.0),
        // In bytes.
        "memorySize" => number("Memory Size: ", 1e6),
        "maxMemoryUsed" => number("Max Memory Used: ", 1e6),
        _ => None,
    }
}
