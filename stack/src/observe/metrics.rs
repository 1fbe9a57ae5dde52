//! What a stack did lately, in numbers: requests, errors, latency, throttles and cold starts of its API and functions, and
//! the capacity that its tables used.
//!
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-metrics.html>
//! <https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html>
//! <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/metrics-dimensions.html>

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::future::try_join_all;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::aws::client::context::Context;
use crate::aws::client::error::AwsError;
use crate::aws::kinds::apigateway::stage::{LIVE, stage_of};
use crate::aws::kinds::dynamodb;
use crate::aws::kinds::kind::Discovered;
use crate::aws::kinds::lambda;
use crate::aws::read::metrics::{Query, fetch, mean};
use crate::aws::read::reader::Reader;
use crate::aws::registry;
use crate::aws::release::sight::Sight;
use crate::release::label::ReleaseLabel;
use crate::release::slots::ReleaseState;

/// The numbers of a stage in a window.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Metrics {
    /// Application.
    pub app: String,
    /// Stage.
    pub stage: String,
    /// Region.
    pub region: String,
    /// Begin of the window.
    #[serde(serialize_with = "crate::time::serialize")]
    #[schemars(with = "jiff::Timestamp")]
    pub from: Timestamp,
    /// End of the window.
    #[serde(serialize_with = "crate::time::serialize")]
    #[schemars(with = "jiff::Timestamp")]
    pub to: Timestamp,
    /// Length of a period.
    pub period_seconds: u64,
    /// The API's live slot; none without an API.
    pub api: Option<Measures>,
    /// Functions, by name.
    pub functions: Vec<FunctionMetrics>,
    /// Names of all functions, of which those above were asked for.
    #[serde(skip)]
    pub known: BTreeSet<String>,
    /// Tables, and their indexes as `TABLE/INDEX`, by name.
    pub tables: BTreeMap<String, Measures>,
}

/// The numbers of a function.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FunctionMetrics {
    /// Logical name.
    pub name: String,
    /// All its versions together.
    pub all: Measures,
    /// The versions of the releases that are live, in preview, or were live before.
    pub versions: Vec<VersionMetrics>,
}

/// The numbers of a function's version, from what the functions themselves count.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct VersionMetrics {
    /// Version.
    pub version: String,
    /// Releases that use it.
    pub releases: Vec<u64>,
    /// Its numbers.
    pub measures: Measures,
}

/// Numbers by name, such as `requests` or `p99`.
pub type Measures = BTreeMap<String, Series>;

/// A number over time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Series {
    /// `count`, `ms` or `units`.
    pub unit: String,
    /// Of the whole window: the sum of counts, the highest of maxima, the mean of percentiles by requests. None without data.
    pub total: Option<f64>,
    /// By period; none where there is no data.
    pub values: Vec<Option<f64>>,
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// Begin.
    pub from: Timestamp,
    /// End.
    pub to: Timestamp,
    /// Length of a period.
    pub period: Duration,
}

/// Periods that are drawn at most.
const PERIODS: i64 = 60;
/// Lengths of a period that people can read, in minutes.
const LENGTHS: [i64; 9] = [1, 2, 5, 10, 15, 30, 60, 180, 360];

impl Window {
    /// A window that ends at the next full period, with at most 60 periods of a readable length.
    pub fn of(length: Duration, now: Timestamp) -> Self {
        let seconds = i64::try_from(length.as_secs()).unwrap_or(i64::MAX).max(60);
        let minutes = LENGTHS
            .into_iter()
            .find(|minutes| minutes * 60 * PERIODS >= seconds)
            .unwrap_or(1_440);
        let period = minutes * 60;
        let to = now
            .as_second()
            .div_euclid(period)
            .saturating_add(1)
            .saturating_mul(period);
        let from = to.saturating_sub((seconds + period - 1) / period * period);
        let at = |second| Timestamp::from_second(second).unwrap_or(Timestamp::UNIX_EPOCH);
        Self {
            from: at(from),
            to: at(to),
            period: Duration::from_secs(period.unsigned_abs()),
        }
    }

    fn starts(&self) -> impl Iterator<Item = i64> + use<> {
        let (from, to) = (self.from.as_second(), self.to.as_second());
        let period = i64::try_from(self.period.as_secs()).unwrap_or(60).max(1);
        (0..)
            .map(move |place| from + place * period)
            .take_while(move |start| *start < to)
    }
}

/// How the values of periods become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fold {
    Sum,
    Highest,
    /// Each period counts as much as it has of [`REQUESTS`].
    Mean,
}

/// A number: its name, metric, statistic and unit.
struct Measure {
    name: &'static str,
    metric: &'static str,
    statistic: &'static str,
    unit: &'static str,
}

const fn measure(name: &'static str, metric: &'static str, statistic: &'static str, unit: &'static str) -> Measure {
    Measure {
        name,
        metric,
        statistic,
        unit,
    }
}

impl Measure {
    fn fold(&self) -> Fold {
        match self.statistic {
            "Sum" => Fold::Sum,
            "Maximum" => Fold::Highest,
            _ => Fold::Mean,
        }
    }
}

/// Name of the number of requests.
pub const REQUESTS: &str = "requests";

const API: [Measure; 6] = [
    measure(REQUESTS, "Count", "Sum", "count"),
    measure("4xx", "4xx", "Sum", "count"),
    measure("5xx", "5xx", "Sum", "count"),
    measure("p50", "Latency", "p50", "ms"),
    measure("p90", "Latency", "p90", "ms"),
    measure("p99", "Latency", "p99", "ms"),
];

const FUNCTION: [Measure; 7] = [
    measure(REQUESTS, "Invocations", "Sum", "count"),
    measure("errors", "Errors", "Sum", "count"),
    measure("throttles", "Throttles", "Sum", "count"),
    measure("concurrency", "ConcurrentExecutions", "Maximum", "count"),
    measure("p50", "Duration", "p50", "ms"),
    measure("p90", "Duration", "p90", "ms"),
    measure("p99", "Duration", "p99", "ms"),
];

const VERSION: [Measure; 6] = [
    measure(REQUESTS, "Requests", "Sum", "count"),
    measure("5xx", "Responses5xx", "Sum", "count"),
    measure("cold_starts", "ColdStart", "Sum", "count"),
    measure("p50", "Latency", "p50", "ms"),
    measure("p90", "Latency", "p90", "ms"),
    measure("p99", "Latency", "p99", "ms"),
];

/// Of a table, and of each of its indexes, whose requests the table's own metrics do not count.
const TABLE: [Measure; 4] = [
    measure("read", "ConsumedReadCapacityUnits", "Sum", "units"),
    measure("write", "ConsumedWriteCapacityUnits", "Sum", "units"),
    measure("read_throttles", "ReadThrottleEvents", "Sum", "count"),
    measure("write_throttles", "WriteThrottleEvents", "Sum", "count"),
];

/// Whose numbers.
struct Subject {
    namespace: &'static str,
    measures: &'static [Measure],
    dimensions: Vec<(String, String)>,
}

impl Subject {
    fn new(namespace: &'static str, measures: &'static [Measure], dimensions: &[(&str, &str)]) -> Self {
        Self {
            namespace,
            measures,
            dimensions: dimensions
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
        }
    }

    fn queries(&self, place: usize, period: Duration) -> impl Iterator<Item = Query> {
        self.measures.iter().enumerate().map(move |(number, measure)| Query {
            id: id(place, number),
            namespace: self.namespace.to_owned(),
            name: measure.metric.to_owned(),
            statistic: measure.statistic.to_owned(),
            dimensions: self.dimensions.clone(),
            period,
        })
    }

    fn measures(&self, place: usize, window: &Window, found: &BTreeMap<String, BTreeMap<i64, f64>>) -> Measures {
        let none = BTreeMap::new();
        let of = |number: usize| found.get(&id(place, number)).unwrap_or(&none);
        let requests = of(0);
        let series = |(number, measure): (usize, &Measure)| {
            let values = of(number);
            let total = match measure.fold() {
                Fold::Sum => (!values.is_empty()).then(|| values.values().sum()),
                Fold::Highest => values.values().copied().reduce(f64::max),
                Fold::Mean => mean(values, requests),
            };
            let series = Series {
                unit: measure.unit.to_owned(),
                total,
                values: window.starts().map(|start| values.get(&start).copied()).collect(),
            };
            (measure.name.to_owned(), series)
        };
        self.measures.iter().enumerate().map(series).collect()
    }
}

fn id(place: usize, number: usize) -> String {
    format!("m{place}_{number}")
}

/// All that is asked for at once; the place of each tells its numbers in the answer.
#[derive(Default)]
struct Subjects(Vec<Subject>);

impl Subjects {
    fn add(&mut self, subject: Subject) -> usize {
        self.0.push(subject);
        self.0.len() - 1
    }

    fn queries(&self, period: Duration) -> Vec<Query> {
        let subjects = self.0.iter().enumerate();
        subjects
            .flat_map(|(place, subject)| subject.queries(place, period))
            .collect()
    }

    fn measures(&self, place: usize, window: &Window, found: &BTreeMap<String, BTreeMap<i64, f64>>) -> Measures {
        let subject = self.0.get(place);
        subject
            .map(|subject| subject.measures(place, window, found))
            .unwrap_or_default()
    }
}

/// Where the numbers of a function are.
struct FunctionPlaces {
    name: String,
    all: usize,
    /// Version, the releases that use it, and its place.
    versions: Vec<(String, Vec<u64>, usize)>,
}

impl FunctionPlaces {
    /// Asks for a function, and for its versions in some releases.
    fn add(function: Discovered, labels: &[&ReleaseLabel], subjects: &mut Subjects) -> Self {
        let name = function.id.name;
        let physical = function.outputs.get("name").cloned().unwrap_or_default();
        let all = subjects.add(Subject::new("AWS/Lambda", &FUNCTION, &[("FunctionName", &physical)]));
        let mut releases: BTreeMap<String, Vec<u64>> = BTreeMap::new();
        for label in labels {
            if let Some(version) = label.versions.get(&name) {
                releases.entry(version.clone()).or_default().push(label.number);
            }
        }
        let versions = releases
            .into_iter()
            .map(|(version, releases)| {
                let dimensions = [("FunctionName", physical.as_str()), ("Version", version.as_str())];
                let place = subjects.add(Subject::new("Taskctl", &VERSION, &dimensions));
                (version, releases, place)
            })
            .collect();
        Self { name, all, versions }
    }

    fn metrics(self, measures: impl Fn(usize) -> Measures) -> FunctionMetrics {
        FunctionMetrics {
            name: self.name,
            all: measures(self.all),
            versions: self
                .versions
                .into_iter()
                .map(|(version, releases, place)| VersionMetrics {
                    version,
                    releases,
                    measures: measures(place),
                })
                .collect(),
        }
    }
}

/// A table with its physical name and those of its indexes.
async fn with_indexes(context: &Context, table: Discovered) -> Result<(String, String, Vec<String>), AwsError> {
    let physical = table.outputs.get("name").cloned().unwrap_or_default();
    let indexes = dynamodb::table::index_names(context, &physical).await?;
    Ok((table.id.name, physical, indexes))
}

/// The sums of two parts of something. A part without data leaves the other as it is.
fn add(mut whole: Measures, part: Measures) -> Measures {
    let sum = |a: Option<f64>, b: Option<f64>| match (a, b) {
        (Some(a), Some(b)) => Some(a + b),
        (a, b) => a.or(b),
    };
    for (name, part) in part {
        match whole.get_mut(&name) {
            Some(series) => {
                series.total = sum(series.total, part.total);
                let values = series.values.iter().zip(part.values);
                series.values = values.map(|(a, b)| sum(*a, b)).collect();
            }
            None => drop(whole.insert(name, part)),
        }
    }
    whole
}

/// The releases whose versions are told apart: live, in preview, and live before.
fn shown_releases(facts: &ReleaseState) -> BTreeSet<u64> {
    let previous = facts.live.as_ref().and_then(|live| live.variables.previous_release());
    let slots = [&facts.live, &facts.preview].into_iter().flatten();
    slots.filter_map(|slot| slot.release).chain(previous).collect()
}

/// Which functions are asked for.
pub type Meant<'a> = Option<&'a (dyn Fn(&str) -> bool + Sync)>;

/// Reads the numbers of a stage, or none where nothing is deployed. Only of the functions that are meant; of all, with the API and
/// the tables, when it is not said.
pub async fn read(context: &Context, window: &Window, only: Meant<'_>) -> Result<Option<Metrics>, AwsError> {
    let reader = Reader::new(context.clone());
    let registry = registry();
    let (api, functions, tables) = futures::try_join!(
        reader.api(),
        registry.kind(lambda::function::KIND).enumerate(&reader),
        registry.kind(dynamodb::table::KIND).enumerate(&reader)
    )?;
    let api = api.as_deref();
    if api.is_none() && functions.is_empty() && tables.is_empty() {
        return Ok(None);
    }
    let mut subjects = Subjects::default();
    let of_api = api.filter(|_| only.is_none()).map(|state| {
        let dimensions = [("ApiId", state.id()), ("Stage", stage_of(LIVE))];
        subjects.add(Subject::new("AWS/ApiGateway", &API, &dimensions))
    });
    let facts = Sight::read_with(&reader).await?.map(|sight| sight.facts);
    let shown = facts.as_ref().map(shown_releases).unwrap_or_default();
    let labels: Vec<&ReleaseLabel> = facts
        .iter()
        .flat_map(|facts| facts.releases.values())
        .filter(|label| shown.contains(&label.number))
        .collect();
    let known = functions.iter().map(|function| function.id.name.clone()).collect();
    let of_functions: Vec<FunctionPlaces> = functions
        .into_iter()
        .filter(|function| only.is_none_or(|is_meant| is_meant(&function.id.name)))
        .map(|function| FunctionPlaces::add(function, &labels, &mut subjects))
        .collect();
    let tables = tables.into_iter().filter(|_| only.is_none());
    let mut of_tables = Vec::new();
    for (name, physical, indexes) in try_join_all(tables.map(|table| with_indexes(context, table))).await? {
        let own = vec![("TableName", physical.as_str())];
        let indexes = indexes.iter().map(|index| {
            let index = ("GlobalSecondaryIndexName", index.as_str());
            own.iter().copied().chain([index]).collect()
        });
        let whose = std::iter::once(own.clone()).chain(indexes);
        let places: Vec<usize> = whose
            .map(|dimensions: Vec<_>| subjects.add(Subject::new("AWS/DynamoDB", &TABLE, &dimensions)))
            .collect();
        of_tables.push((name, places));
    }
    let queries = subjects.queries(window.period);
    let found = fetch(context, &queries, window.from.as_second(), window.to.as_second()).await?;
    let measures = |place: usize| subjects.measures(place, window, &found);
    let mut functions: Vec<FunctionMetrics> = of_functions
        .into_iter()
        .map(|function| function.metrics(measures))
        .collect();
    functions.sort_by(|a, b| a.name.cmp(&b.name));
    let identity = context.identity();
    Ok(Some(Metrics {
        app: identity.app.clone(),
        stage: identity.stage.clone(),
        region: identity.region.clone(),
        from: window.from,
        to: window.to,
        period_seconds: window.period.as_secs(),
        api: of_api.map(measures),
        functions,
        known,
        tables: of_tables
            .into_iter()
            .map(|(name, places)| (name, places.into_iter().map(measures).fold(Measures::new(), add)))
            .collect(),
    }))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_table_counts_what_its_indexes_count() {
        let series = |values: [Option<f64>; 3]| Series {
            unit: "count".to_owned(),
            total: values.iter().flatten().copied().reduce(|a, b| a + b),
            values: values.to_vec(),
        };
        let measures = |values| Measures::from([("read_throttles".to_owned(), series(values))]);
        let parts = [
            measures([Some(1.0), None, None]),
            measures([Some(2.0), Some(4.0), None]),
            measures([None, None, None]),
        ];
        let whole = parts.into_iter().fold(Measures::new(), add);
        let all = &whole["read_throttles"];
        assert_eq!(
            (all.total, &*all.values),
            (Some(7.0), &[Some(3.0), Some(4.0), None][..])
        );
    }

    #[test]
    fn a_window_has_readable_periods() {
        let window = |minutes: u64| {
            let now: Timestamp = "2026-01-30T10:07:31Z".parse().unwrap();
            let window = Window::of(Duration::from_secs(minutes * 60), now);
            let periods = window.starts().count();
            format!("{} {} {periods} x {}", window.from, window.to, window.period.as_secs())
        };
        assert_eq!(window(0), "2026-01-30T10:07:00Z 2026-01-30T10:08:00Z 1 x 60");
        assert_eq!(window(60), "2026-01-30T09:08:00Z 2026-01-30T10:08:00Z 60 x 60");
        assert_eq!(window(180), "2026-01-30T07:10:00Z 2026-01-30T10:10:00Z 36 x 300");
        assert_eq!(window(1_440), "2026-01-29T10:30:00Z 2026-01-30T10:30:00Z 48 x 1800");
        assert_eq!(
            window(7 * 1_440),
            "2026-01-23T12:00:00Z 2026-01-30T12:00:00Z 56 x 10800"
        );
    }
}
