//! Alarms of the resolved stack: own and generated ones alike, since the generated ones are words of the template too.

use std::collections::BTreeMap;

use super::{Resolver, rules};
use crate::template::fault::{Code, Fault, Span};
use crate::template::grammar::{NamedValue, OneOf, Spanned, Switch, Text};
use crate::template::language::{AlarmSource, ApiSlot, Dimensions, IndexName, LogicalName, Namespace};
use crate::template::model::{Alarm, AlarmMetric, MetricStat, MetricSubject};

/// Metrics of an expression alarm beside the expression.
/// <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/cloudwatch_limits.html>
const MOST_METRICS: usize = 9;

/// Longest time that an alarm looks back over periods below an hour, seconds.
/// <https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricAlarm.html>
const LONGEST_LOOK_BACK: u64 = 86_400;

/// The same for periods of an hour and more.
const LONGEST_LOOK_BACK_BY_HOURS: u64 = 604_800;

/// Topics that an alarm can notify. The same page.
const MOST_TOPICS: usize = 5;

/// The keys that say whose metric it is.
struct Subject<'a> {
    function: &'a Option<Spanned<Text<LogicalName>>>,
    table: &'a Option<Spanned<Text<LogicalName>>>,
    index: &'a Option<Spanned<Text<IndexName>>>,
    api: &'a Option<Spanned<OneOf<ApiSlot>>>,
    namespace: &'a Option<Spanned<Text<Namespace>>>,
    dimensions: &'a Option<Spanned<Dimensions>>,
    owner: Span,
}

impl Resolver<'_> {
    pub(super) fn alarms(&mut self) -> BTreeMap<String, Alarm> {
        let mut alarms = BTreeMap::new();
        for (logical, NamedValue { key, value }) in self.source.alarms.value.iter() {
            self.mark(format!("alarms.{logical}"), *key);
            match value {
                Switch::Off => {}
                Switch::On(alarm) => {
                    if let Some(alarm) = self.alarm(logical, *key, alarm) {
                        alarms.insert(logical.to_owned(), alarm);
                    }
                }
            }
        }
        for topic in &self.source.defaults.value.alarm.value.topics.value {
            self.refer("topic", &topic.value.text, topic.span);
        }
        alarms
    }

    fn alarm(&mut self, logical: &str, key: Span, alarm: &AlarmSource) -> Option<Alarm> {
        let metric = self.alarm_metric(logical, key, alarm);
        let datapoints = alarm
            .datapoints_to_alarm
            .map_or(alarm.evaluation_periods.value.u32(), |points| points.value.u32());
        self.periods(alarm, datapoints);
        let topics = match &alarm.topics {
            Some(topics) => {
                for topic in &topics.value {
                    self.refer("topic", &topic.value.text, topic.span);
                }
                if topics.value.len() > MOST_TOPICS {
                    let fault = Fault::error(
                        Code::TooMany,
                        format!("the alarm `{logical}` notifies {} topics", topics.value.len()),
                    );
                    self.report(
                        fault
                            .at(topics.span)
                            .help(format!("an alarm has at most {MOST_TOPICS} actions per state")),
                    );
                }
                &topics.value
            }
            None => &self.source.defaults.value.alarm.value.topics.value,
        };
        let description = match &alarm.description {
            Some(text) => self.fill(&text.value.text, text.span),
            None => format!(
                "See: taskctl status --app {} --stage {} --region {}",
                self.source.app.value.text, self.stage, self.region
            ),
        };
        Some(Alarm {
            name: self.physical_name(&rules::ALARM, logical, key, alarm.name.as_ref()),
            description,
            metric: metric?,
            period_seconds: alarm.period.value.units(),
            evaluation_periods: alarm.evaluation_periods.value.u32(),
            datapoints_to_alarm: datapoints,
            threshold: alarm.threshold.value,
            comparison: alarm.comparison.value.0,
            treat_missing_data: alarm.missing_data.value.0,
            topics: topics.iter().map(|topic| topic.value.text.clone()).collect(),
        })
    }

    fn alarm_metric(&mut self, logical: &str, key: Span, alarm: &AlarmSource) -> Option<AlarmMetric> {
        match (&alarm.metric, &alarm.expression) {
            (Some(metric), None) => {
                if let Some(metrics) = &alarm.metrics {
                    let fault =
                        Fault::error(Code::Conflict, "`metrics` is only used with `expression`").at(metrics.span);
                    self.report(fault.help("add an `expression`, or remove `metrics`"));
                }
                let statistic = alarm.statistic.as_ref();
                if statistic.is_none() {
                    let fault = Fault::error(Code::MissingKey, format!("the alarm `{logical}` needs `statistic`"))
                        .at(metric.span);
                    self.report(fault.help("e.g. `statistic: Sum` or `statistic: p99`"));
                }
                let subject = Subject {
                    function: &alarm.function,
                    table: &alarm.table,
                    index: &alarm.index,
                    api: &alarm.api,
                    namespace: &alarm.namespace,
                    dimensions: &alarm.dimensions,
                    owner: metric.span,
                };
                let subject = self.subject(&subject);
                Some(AlarmMetric::Single(MetricStat {
                    subject: subject?,
                    metric: metric.value.text.clone(),
                    statistic: statistic?.value.text.clone(),
                }))
            }
            (None, Some(expression)) => self.math(logical, alarm, expression.span, &one_line(&expression.value.text)),
            (Some(metric), Some(expression)) => {
                let fault = Fault::error(
                    Code::Conflict,
                    format!("the alarm `{logical}` has both `metric` and `expression`"),
                )
                .labelled(expression.span, "expression")
                .with(metric.span, "metric")
                .help("an alarm looks at one metric or at one expression");
                self.report(fault);
                None
            }
            (None, None) => {
                let fault = Fault::error(
                    Code::MissingKey,
                    format!("the alarm `{logical}` needs `metric` or `expression`"),
                )
                .at(key);
                self.report(fault.help(
                    "e.g. `metric: Errors`, `statistic: Sum`, `function: tasks`; a generated alarm is changed under its own name",
                ));
                None
            }
        }
    }

    fn math(&mut self, logical: &str, alarm: &AlarmSource, span: Span, expression: &str) -> Option<AlarmMetric> {
        let Some(sources) = &alarm.metrics else {
            let fault = Fault::error(
                Code::MissingKey,
                format!("the expression of `{logical}` needs `metrics`"),
            )
            .at(span);
            self.report(fault.help("e.g. `metrics: {errors: {function: tasks, metric: Errors}}`"));
            return None;
        };
        for (key, given) in [
            ("statistic", alarm.statistic.as_ref().map(|text| text.span)),
            ("function", alarm.function.as_ref().map(|text| text.span)),
            ("table", alarm.table.as_ref().map(|text| text.span)),
            ("index", alarm.index.as_ref().map(|text| text.span)),
            ("api", alarm.api.as_ref().map(|slot| slot.span)),
            ("namespace", alarm.namespace.as_ref().map(|text| text.span)),
        ] {
            if let Some(span) = given {
                let fault = Fault::error(
                    Code::Conflict,
                    format!("`{key}` belongs to each of `metrics` when there is an `expression`"),
                )
                .at(span);
                self.report(fault.help("move it into the metrics"));
            }
        }
        if sources.value.len() > MOST_METRICS {
            let fault = Fault::error(
                Code::TooMany,
                format!("the expression of `{logical}` has {} metrics", sources.value.len()),
            );
            self.report(
                fault
                    .at(sources.span)
                    .help(format!("at most {MOST_METRICS} beside the expression")),
            );
        }
        self.expression_ids(expression, span, &sources.value.names().collect::<Vec<_>>());
        let mut metrics = BTreeMap::new();
        for (id, NamedValue { key, value: metric }) in sources.value.iter() {
            if id == "result" {
                let fault = Fault::error(Code::Collision, "`result` is the id of the expression itself").at(*key);
                self.report(fault.help("choose another id"));
            }
            let subject = Subject {
                function: &metric.function,
                table: &metric.table,
                index: &metric.index,
                api: &metric.api,
                namespace: &metric.namespace,
                dimensions: &metric.dimensions,
                owner: *key,
            };
            if let Some(subject) = self.subject(&subject) {
                let stat = MetricStat {
                    subject,
                    metric: metric.metric.value.text.clone(),
                    statistic: metric.statistic.value.text.clone(),
                };
                metrics.insert(id.to_owned(), stat);
            }
        }
        Some(AlarmMetric::Math {
            expression: expression.to_owned(),
            label: alarm.label.as_ref().map(|label| label.value.text.clone()),
            metrics,
        })
    }

    /// Lower-case words of an expression are ids: each must be one of the metrics, and each metric must be used.
    fn expression_ids(&mut self, expression: &str, span: Span, ids: &[&str]) {
        let words: Vec<&str> = expression
            .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
            .filter(|word| word.starts_with(|c: char| c.is_ascii_lowercase()))
            .collect();
        if expression.contains(['\'', '"']) {
            return;
        }
        for word in &words {
            if !ids.contains(word) {
                let fault = Fault::error(
                    Code::UnknownReference,
                    format!("the expression uses `{word}`, which is not one of its metrics"),
                )
                .at(span)
                .maybe_help(crate::template::grammar::did_you_mean(word, ids.iter().copied()))
                .help(format!("metrics of the expression: {}", ids.join(", ")));
                self.report(fault);
            }
        }
        for id in ids.iter().filter(|id| !words.contains(id)) {
            let fault = Fault::warning(
                Code::Suspicious,
                format!("the expression does not use the metric `{id}`"),
            )
            .at(span);
            self.report(fault.help("use it or remove it"));
        }
    }

    fn subject(&mut self, subject: &Subject<'_>) -> Option<MetricSubject> {
        let given = [
            subject.function.as_ref().map(|text| text.span),
            subject.table.as_ref().map(|text| text.span),
            subject.api.as_ref().map(|slot| slot.span),
            subject.namespace.as_ref().map(|text| text.span),
        ];
        let mut given = given.into_iter().flatten();
        let (first, second) = (given.next(), given.next());
        if let (Some(first), Some(second)) = (first, second) {
            let fault = Fault::error(
                Code::Conflict,
                "a metric belongs to one of `function`, `table`, `api` and `namespace`",
            );
            self.report(fault.labelled(second, "and this").with(first, "this"));
            return None;
        }
        if let (Some(dimensions), None) = (subject.dimensions, subject.namespace) {
            let fault = Fault::error(Code::Conflict, "`dimensions` is only used with `namespace`").at(dimensions.span);
            self.report(fault.help("`function`, `table` and `api` have their dimensions"));
        }
        if let (Some(index), None) = (subject.index, subject.table) {
            let fault = Fault::error(Code::Conflict, "`index` is only used with `table`").at(index.span);
            self.report(fault.help("say which table has it, e.g. `table: tasks`"));
        }
        if let Some(function) = subject.function {
            return self
                .refer("function", &function.value.text, function.span)
                .then(|| MetricSubject::Function(function.value.text.clone()));
        }
        if let Some(table) = subject.table {
            let name = &table.value.text;
            if !self.refer("table", name, table.span) {
                return None;
            }
            return match subject.index {
                Some(index) => self.index_subject(name, index),
                None => Some(MetricSubject::Table(name.clone())),
            };
        }
        if let Some(slot) = subject.api {
            if self.source.api.is_none() {
                let fault = Fault::error(Code::UnknownReference, "the template has no `api` to measure").at(slot.span);
                self.report(fault);
                return None;
            }
            return Some(MetricSubject::ApiLive);
        }
        let Some(namespace) = subject.namespace else {
            let fault = Fault::error(
                Code::MissingKey,
                "a metric needs `function`, `table`, `api` or `namespace`",
            )
            .at(subject.owner);
            self.report(fault.help("say whose metric it is, e.g. `function: tasks`"));
            return None;
        };
        let dimensions = subject.dimensions.as_ref().map_or_else(BTreeMap::new, |dimensions| {
            dimensions
                .value
                .iter()
                .map(|(name, value)| (name.to_owned(), value.value.value.text.clone()))
                .collect()
        });
        Some(MetricSubject::Custom {
            namespace: namespace.value.text.clone(),
            dimensions,
        })
    }

    /// An index of a table that is there.
    fn index_subject(&mut self, table: &str, index: &Spanned<Text<IndexName>>) -> Option<MetricSubject> {
        let name = &index.value.text;
        let source = self.source.tables.value.get(table);
        let known: Vec<&str> = source
            .into_iter()
            .flat_map(|table| table.value.indexes.value.names())
            .collect();
        if !known.contains(&name.as_str()) {
            let fault = Fault::error(
                Code::UnknownReference,
                format!("the table `{table}` has no index `{name}`"),
            )
            .at(index.span)
            .maybe_help(crate::template::grammar::did_you_mean(name, known.iter().copied()));
            let fault = match known.is_empty() {
                true => fault.help("it has none"),
                false => fault.help(format!("its indexes: {}", known.join(", "))),
            };
            self.report(fault);
            return None;
        }
        Some(MetricSubject::Index {
            table: table.to_owned(),
            index: name.clone(),
        })
    }

    fn periods(&mut self, alarm: &AlarmSource, datapoints: u32) {
        let (period, periods) = (alarm.period.value.units(), alarm.evaluation_periods.value.u32());
        if !matches!(period, 10 | 20 | 30) && period % 60 != 0 {
            let fault = Fault::error(Code::BadValue, format!("an alarm cannot have periods of {period} s"))
                .at(alarm.period.span);
            self.report(fault.help("allowed: 10s, 20s, 30s and whole minutes"));
        }
        let longest = if period < 3600 {
            LONGEST_LOOK_BACK
        } else {
            LONGEST_LOOK_BACK_BY_HOURS
        };
        if u64::from(period) * u64::from(periods) > longest {
            let fault = Fault::error(
                Code::OutOfRange,
                format!("{periods} periods of {period} s are longer than an alarm looks back"),
            )
            .at(alarm.evaluation_periods.span)
            .help("allowed: one day together with periods below an hour, else seven days");
            self.report(fault);
        }
        if datapoints > periods {
            let span = alarm
                .datapoints_to_alarm
                .map_or(alarm.evaluation_periods.span, |points| points.span);
            let fault = Fault::error(
                Code::OutOfRange,
                format!("{datapoints} of {periods} periods cannot breach"),
            )
            .at(span)
            .help("`datapoints_to_alarm` is at most `evaluation_periods`");
            self.report(fault);
        }
    }
}

/// An expression of several lines, as block text has it, in one.
fn one_line(expression: &str) -> String {
    let lines = expression.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.collect::<Vec<_>>().join(" ")
}
