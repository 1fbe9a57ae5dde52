//! `taskctl metrics`: what a stage did lately, in numbers and charts.

use std::time::Duration;

use clap_complete::ArgValueCandidates;
use jiff::Timestamp;
use taskctl_stack::engine::{Engine, EngineError};
use taskctl_stack::observe::metrics::{
    self, FunctionMetrics, Measures, Metrics, REQUESTS, Series, VersionMetrics, Window,
};

use crate::cli::Output;
use crate::complete;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::name_pattern::{matches, select};
use crate::refresh::refresh;
use crate::report::plan::Details;
use crate::report::{Lines, Purpose, json_answer, where_to};
use crate::session::{self, Invocation, Session};
use crate::time_arg::ago;
use crate::ui::chart;
use crate::ui::clock::{local, minute, zone_name};
use crate::ui::style::{Style, Tone};
use crate::ui::table::{Cell, table};
use crate::ui::text::plain;

#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Logical names of functions, or patterns such as 'task*' [default: all, with API and tables]
    #[arg(value_name = "FUNCTION", add = ArgValueCandidates::new(complete::functions))]
    functions: Vec<String>,
    /// How far to look back, such as 15m, 1h30m, 7d or 1w
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = ago)]
    since: Duration,
    /// Refresh until Ctrl-C
    #[arg(long, short)]
    watch: bool,
}

/// Interval of refreshing, where what is read costs nothing.
const EVERY: Duration = Duration::from_secs(10);
/// The same on AWS: CloudWatch counts by the minute, and every metric that is asked for costs.
const EVERY_MINUTE: Duration = Duration::from_secs(60);

pub fn run(invocation: &Invocation, args: Args) -> Exit {
    session::run(invocation, Purpose::Answer, Details::Changes, async |session| {
        show(&session, &args).await
    })
}

async fn show(session: &Session, args: &Args) -> Result<Exit, Failure> {
    let stack_ref = session.stack_ref()?;
    let engine = session.connect_quietly(&stack_ref).await?;
    if args.watch {
        let every = if session.target.metering().partial {
            EVERY
        } else {
            EVERY_MINUTE
        };
        return refresh(session, every, async || fetch(session, args, &engine).await).await;
    }
    let text = session.unless_stopped(fetch(session, args, &engine)).await??;
    session.reporter.answer(text);
    Ok(Exit::Ok)
}

async fn fetch(session: &Session, args: &Args, engine: &Engine) -> Result<String, Failure> {
    let window = Window::of(args.since, engine.context().aws_now());
    let is_meant = |name: &str| args.functions.iter().any(|pattern| matches(pattern, name));
    let only: Option<&(dyn Fn(&str) -> bool + Sync)> = if args.functions.is_empty() {
        None
    } else {
        Some(&is_meant)
    };
    let metrics = metrics::read(engine.context(), &window, only)
        .await
        .map_err(EngineError::from)?;
    let identity = engine.context().identity();
    let Some(metrics) = metrics else {
        return Err(engine.not_deployed().await.into());
    };
    select(&args.functions, metrics.known.iter().map(String::as_str))?;
    match session.global.output {
        Output::Json => {
            // One look is one line when there are many.
            let lines = if args.watch { Lines::One } else { Lines::Many };
            json_answer("the metrics", &metrics, lines)
        }
        Output::Human | Output::Github => Ok(render(&metrics, Some(&identity.account), &session.env.out)),
    }
}

/// The numbers as text.
fn render(metrics: &Metrics, account: Option<&str>, style: &Style) -> String {
    let mut out = format!(
        "{}\n{}\n",
        style.paint(
            Tone::Strong,
            &where_to(&metrics.app, &metrics.stage, &metrics.region, account)
        ),
        window_text(metrics)
    );
    if let Some(api) = &metrics.api {
        out.push_str(&format!("\n{}\n", style.paint(Tone::Strong, "API, live")));
        out.push_str(&api_text(api, metrics, style));
    }
    if !metrics.functions.is_empty() {
        out.push_str(&format!("\n{}", functions_text(metrics, style)));
    }
    if !metrics.tables.is_empty() {
        let mut rows = table(style, &["table", "read units", "write units", "throttled"]).with_right(1..4);
        for (name, measures) in &metrics.tables {
            let throttled = match (total(measures, "read_throttles"), total(measures, "write_throttles")) {
                (None, None) => None,
                (read, write) => Some(read.unwrap_or(0.0) + write.unwrap_or(0.0)),
            };
            let units = |name: &str| number(total(measures, name), 1);
            rows.add_row([plain(name), units("read"), units("write"), number(throttled, 0)]);
        }
        out.push_str(&format!("\n{rows}"));
    }
    out
}

fn window_text(metrics: &Metrics) -> String {
    let period = match metrics.period_seconds / 60 {
        minutes @ 0..60 => format!("{minutes} min"),
        minutes => format!("{} h", minutes / 60),
    };
    format!(
        "{} to {} {}, one column per {period}",
        minute(metrics.from),
        minute(metrics.to),
        zone_name(metrics.to)
    )
}

fn total(measures: &Measures, name: &str) -> Option<f64> {
    measures.get(name).and_then(|series| series.total)
}

/// A number with so many digits behind the point, `-` for none.
fn number(value: Option<f64>, digits: usize) -> String {
    let Some(value) = value else {
        return "-".to_owned();
    };
    let text = format!("{value:.digits$}");
    let (whole, rest) = text.split_at(text.find('.').unwrap_or(text.len()));
    let mut grouped = String::new();
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped + rest
}

fn ms(value: Option<f64>) -> String {
    number(value, usize::from(value.is_some_and(|value| value < 10.0)))
}

/// Rate and shares, then the requests and the latency over time.
fn api_text(api: &Measures, metrics: &Metrics, style: &Style) -> String {
    let requests = total(api, REQUESTS);
    let Some(some) = requests.filter(|requests| *requests > 0.0) else {
        return "  no requests\n".to_owned();
    };
    let seconds = (metrics.to.as_second() - metrics.from.as_second()).max(1);
    #[expect(clippy::cast_precision_loss, reason = "seconds of a window fit")]
    let rate = some / seconds as f64;
    let share = |name: &str, tone: Tone| {
        let failed = total(api, name).unwrap_or(0.0);
        let text = format!("{name} {} ({:.2}%)", number(Some(failed), 0), failed * 100.0 / some);
        if failed > 0.0 { style.paint(tone, &text) } else { text }
    };
    let mut out = format!(
        "  {} requests, {rate:.1}/s; {}, {}\n  p50 {} ms, p90 {} ms, p99 {} ms\n",
        number(requests, 0),
        share("4xx", Tone::Warn),
        share("5xx", Tone::Bad),
        ms(total(api, "p50")),
        ms(total(api, "p90")),
        ms(total(api, "p99")),
    );
    for (title, name, unit) in [("requests", REQUESTS, ""), ("p99", "p99", " ms")] {
        if let Some(series) = api.get(name) {
            out.push_str(&area(title, series, unit, metrics, style));
        }
    }
    out
}

/// The highest value of any period, with its unit.
fn highest(series: &Series, unit: &str) -> String {
    let highest = Some(chart::highest(&series.values));
    match unit {
        "" => number(highest, 0),
        unit => format!("{}{unit}", ms(highest)),
    }
}

/// Lines of a chart.
const HEIGHT: usize = 4;

fn area(title: &str, series: &Series, unit: &str, metrics: &Metrics, style: &Style) -> String {
    let most = highest(series, unit);
    let gutter = most.chars().count().max(3);
    // Each period as wide as possible, up to three columns.
    let room = style.width.saturating_sub(gutter + 6);
    let wide = (room / series.values.len().max(1)).clamp(1, 3);
    let values: Vec<Option<f64>> = series
        .values
        .iter()
        .flat_map(|value| std::iter::repeat_n(*value, wide))
        .collect();
    let drawn = chart::area(&values, room, HEIGHT);
    let columns = drawn.first().map_or(0, |line| line.chars().count());
    let mut out = format!("\n  {}\n", style.paint(Tone::Faint, title));
    for (index, line) in drawn.iter().enumerate() {
        let label = if index == 0 { most.as_str() } else { "" };
        out.push_str(&format!(
            "  {label:>gutter$} ┤{}\n",
            style.paint(Tone::Copy, line.trim_end())
        ));
    }
    let clock = |time: Timestamp| {
        let long = metrics.to.as_second() - metrics.from.as_second() > 86_400;
        let form = if long { "%m-%d %H:%M" } else { "%H:%M" };
        local(time).strftime(form).to_string()
    };
    let (from, to) = (clock(metrics.from), clock(metrics.to));
    let space = columns.saturating_sub(to.chars().count());
    out.push_str(&format!("  {:>gutter$} └{from:<space$}{to}\n", 0));
    out
}

fn functions_text(metrics: &Metrics, style: &Style) -> String {
    let heads = [
        "function",
        "requests",
        "failed",
        "5xx",
        "throttled",
        "cold",
        "at once",
        "p50",
        "p90",
        "p99 ms",
    ];
    let mut rows = table(style, &heads).with_right(1..heads.len());
    for function in &metrics.functions {
        rows.add_row(function_row(function));
        // A single version would only repeat the function.
        if function.versions.len() > 1 {
            for version in &function.versions {
                rows.add_row(version_row(version));
            }
        }
    }
    let mut out = rows.to_string();
    for (title, name, unit) in [("requests", REQUESTS, ""), ("p99", "p99", " ms")] {
        out.push_str(&function_charts(metrics, (title, name, unit), style));
    }
    out
}

/// Failed invocations and 5xx responses are two things: a function that answers 500 has not failed for Lambda.
fn function_row(function: &FunctionMetrics) -> [Cell; 10] {
    let of_versions = |name: &str| {
        let values = function
            .versions
            .iter()
            .filter_map(|version| total(&version.measures, name));
        values.reduce(|a, b| a + b)
    };
    let all = &function.all;
    [
        Cell::from(plain(&function.name)),
        Cell::from(number(total(all, REQUESTS), 0)),
        bad(total(all, "errors")),
        bad(of_versions("5xx")),
        bad(total(all, "throttles")),
        Cell::from(number(of_versions("cold_starts"), 0)),
        Cell::from(number(total(all, "concurrency"), 0)),
        Cell::from(ms(total(all, "p50"))),
        Cell::from(ms(total(all, "p90"))),
        Cell::from(ms(total(all, "p99"))),
    ]
}

/// A count of what should not be.
fn bad(value: Option<f64>) -> Cell {
    let tone = if value.is_some_and(|value| value > 0.0) {
        Tone::Bad
    } else {
        Tone::Plain
    };
    Cell::toned(tone, number(value, 0))
}

fn version_row(version: &VersionMetrics) -> [Cell; 10] {
    let releases: Vec<String> = version.releases.iter().map(u64::to_string).collect();
    let measures = &version.measures;
    [
        Cell::from(format!("  v{} of {}", plain(&version.version), releases.join(", "))),
        Cell::from(number(total(measures, REQUESTS), 0)),
        Cell::from(""),
        bad(total(measures, "5xx")),
        Cell::from(""),
        Cell::from(number(total(measures, "cold_starts"), 0)),
        Cell::from(""),
        Cell::from(ms(total(measures, "p50"))),
        Cell::from(ms(total(measures, "p90"))),
        Cell::from(ms(total(measures, "p99"))),
    ]
}

/// A line of bars for each function; empty when no function has the measure.
fn function_charts(metrics: &Metrics, (title, name, unit): (&str, &str, &str), style: &Style) -> String {
    let width = metrics
        .functions
        .iter()
        .map(|function| function.name.chars().count())
        .max()
        .unwrap_or(0);
    let drawn: Vec<String> = metrics
        .functions
        .iter()
        .filter_map(|function| {
            let series = function.all.get(name)?;
            series.total?;
            let line = chart::line(&series.values, style.width.saturating_sub(width + 20));
            Some(format!(
                "  {:<width$}  {}  max {}",
                plain(&function.name),
                style.paint(Tone::Copy, &line),
                highest(series, unit)
            ))
        })
        .collect();
    if drawn.is_empty() {
        return String::new();
    }
    format!("\n{}\n{}\n", style.paint(Tone::Faint, title), drawn.join("\n"))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use jiff::ToSpan as _;

    use super::*;
    use crate::ui::style::screens;

    fn series(total: f64, values: impl IntoIterator<Item = f64>) -> Series {
        Series {
            unit: "count".to_owned(),
            total: Some(total),
            values: values.into_iter().map(Some).collect(),
        }
    }

    fn measures(names: &[(&str, f64)]) -> Measures {
        let wave = |total: f64| (0..60_i32).map(move |at| total / 60.0 * (1.0 + (f64::from(at) / 9.0).sin()));
        names
            .iter()
            .map(|(name, total)| ((*name).to_owned(), series(*total, wave(*total))))
            .collect()
    }

    fn sample() -> Metrics {
        let from: Timestamp = "2026-01-30T09:08:00Z".parse().unwrap();
        let function = |name: &str, requests: f64, errors: f64| FunctionMetrics {
            name: name.to_owned(),
            all: measures(&[
                (REQUESTS, requests),
                ("errors", errors),
                ("throttles", 0.0),
                ("concurrency", 12.0),
                ("p50", 3.4),
                ("p90", 11.2),
                ("p99", 48.0),
            ]),
            versions: ["17", "18"]
                .iter()
                .zip([vec![40, 41], vec![42]])
                .map(|(version, releases)| VersionMetrics {
                    version: (*version).to_owned(),
                    releases,
                    measures: measures(&[
                        (REQUESTS, requests / 2.0),
                        ("5xx", errors),
                        ("cold_starts", 4.0),
                        ("p99", 48.0),
                    ]),
                })
                .collect(),
        };
        Metrics {
            app: "shop".to_owned(),
            stage: "prod".to_owned(),
            region: "eu-central-1".to_owned(),
            from,
            to: from + 1.hour(),
            period_seconds: 60,
            api: Some(measures(&[
                (REQUESTS, 1_234_567.0),
                ("4xx", 120.0),
                ("5xx", 3.0),
                ("p50", 8.2),
                ("p90", 20.0),
                ("p99", 118.0),
            ])),
            functions: vec![function("counter", 1_200_000.0, 0.0), function("tasks", 34_567.0, 3.0)],
            known: BTreeSet::new(),
            tables: BTreeMap::from([("tasks".to_owned(), measures(&[("read", 812.5), ("write", 40.0)]))]),
        }
    }

    #[test]
    fn numbers_and_charts_fit() {
        screens("metrics", |style| render(&sample(), Some("123456789012"), style));
    }

    #[test]
    fn nothing_is_shown_as_nothing() {
        let mut empty = sample();
        let none = Series {
            unit: String::new(),
            total: None,
            values: vec![None; 60],
        };
        empty.api = Some(BTreeMap::from([(REQUESTS.to_owned(), none)]));
        empty.functions.clear();
        empty.tables.clear();
        let text = render(&empty, None, &Style::PLAIN);
        assert!(text.ends_with("API, live\n  no requests\n"), "{text}");
    }

    #[test]
    fn numbers_are_grouped() {
        assert_eq!(number(Some(1_234_567.0), 0), "1,234,567");
        assert_eq!(number(Some(812.54), 1), "812.5");
        assert_eq!(number(None, 0), "-");
    }
}
