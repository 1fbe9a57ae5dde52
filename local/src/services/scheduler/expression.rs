//! Schedule expressions: `rate(…)`, `cron(…)` and `at(…)`, with their time zones. Pure.
//! <https://docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html>

use std::collections::BTreeSet;

use jiff::civil::{Date, DateTime, Weekday};
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{SignedDuration, Timestamp, ToSpan as _};

/// When a schedule is due.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Expression {
    Rate(SignedDuration),
    Cron(Box<Cron>),
    At(DateTime),
}

/// The fields of a `cron(…)`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Cron {
    minutes: BTreeSet<i16>,
    hours: BTreeSet<i16>,
    days: Days,
    months: BTreeSet<i16>,
    years: BTreeSet<i16>,
}

/// Days of a month, by date or by weekday.
#[derive(Debug, Clone, PartialEq)]
enum Days {
    OfMonth(BTreeSet<i16>),
    /// So many days before the last one.
    Last(i16),
    /// The weekday nearest to a day; `None` is the last day.
    NearestWeekday(Option<i16>),
    /// 1 is Sunday.
    OfWeek(BTreeSet<i16>),
    /// The last such weekday of the month.
    LastOfWeek(i16),
    /// Such a weekday for the n-th time in the month.
    Nth(i16, i16),
}

const MONTHS: [&str; 12] = [
    "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC",
];
const WEEKDAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];
/// Years that cron knows.
const YEARS: (i16, i16) = (1970, 2199);

impl Expression {
    /// Reads an expression; `None` where it is none.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let inner = |name: &str| text.strip_prefix(name)?.strip_prefix('(')?.strip_suffix(')');
        if let Some(rate) = inner("rate") {
            let (count, unit) = rate.split_once(' ')?;
            let is_number = !count.is_empty() && count.bytes().all(|byte| byte.is_ascii_digit());
            let count: i64 = count.parse().ok().filter(|count| is_number && *count > 0)?;
            let minutes = match unit {
                "minute" | "minutes" => 1,
                "hour" | "hours" => 60,
                "day" | "days" => 24 * 60,
                _ => return None,
            };
            return Some(Self::Rate(SignedDuration::from_mins(count.checked_mul(minutes)?)));
        }
        if let Some(at) = inner("at") {
            let is_whole = at.len() == "2022-11-20T13:00:00".len();
            return at.parse().ok().filter(|_| is_whole).map(Self::At);
        }
        Cron::parse(inner("cron")?).map(|cron| Self::Cron(Box::new(cron)))
    }

    pub(super) fn is_once(&self) -> bool {
        matches!(self, Self::At(_))
    }

    /// When it is due next after a moment. A rate is due at its anchor, and from then on.
    pub(super) fn next(&self, zone: &TimeZone, anchor: Timestamp, after: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Rate(every) => {
                if after < anchor {
                    return Some(anchor);
                }
                let passed = after.duration_since(anchor).as_secs() / every.as_secs();
                let next = SignedDuration::from_secs(every.as_secs().checked_mul(passed + 1)?);
                anchor.checked_add(next).ok()
            }
            Self::At(at) => {
                let at = zone.to_ambiguous_timestamp(*at).compatible().ok()?;
                (at > after).then_some(at)
            }
            Self::Cron(cron) => cron.next(zone, after),
        }
    }
}

impl Cron {
    fn parse(text: &str) -> Option<Self> {
        let fields: Vec<&str> = text.split_whitespace().collect();
        let [minutes, hours, of_month, months, of_week, years] = fields.as_slice() else {
            return None;
        };
        let days = match (*of_month, *of_week) {
            ("?", "?") => return None,
            (of_month, "?") => days_of_month(of_month)?,
            ("?", of_week) => days_of_week(of_week)?,
            _ => return None,
        };
        Some(Self {
            minutes: values(minutes, (0, 59), &[])?,
            hours: values(hours, (0, 23), &[])?,
            days,
            months: values(months, (1, 12), &MONTHS)?,
            years: values(years, YEARS, &[])?,
        })
    }

    /// An hour that a change of the clock leaves out is left out, too; one that comes twice counts once.
    fn next(&self, zone: &TimeZone, after: Timestamp) -> Option<Timestamp> {
        let from = after.to_zoned(zone.clone()).datetime();
        let mut date = from.date();
        for year in self.years.range(date.year()..) {
            if *year > date.year() {
                date = Date::new(*year, 1, 1).ok()?;
            }
            while date.year() == *year {
                if self.months.contains(&date.month().into()) && self.days.include(date) {
                    let found = self.next_of(date, zone, after);
                    if found.is_some() {
                        return found;
                    }
                }
                date = date.checked_add(1.day()).ok()?;
            }
        }
        None
    }

    fn next_of(&self, date: Date, zone: &TimeZone, after: Timestamp) -> Option<Timestamp> {
        let times = self.hours.iter();
        let times = times.flat_map(|hour| self.minutes.iter().map(move |minute| (*hour, *minute)));
        let moments = times.filter_map(|(hour, minute)| {
            let at = date.at(hour.try_into().ok()?, minute.try_into().ok()?, 0, 0);
            let ambiguous = zone.to_ambiguous_timestamp(at);
            match matches!(ambiguous.offset(), AmbiguousOffset::Gap { .. }) {
                true => None,
                false => ambiguous.earlier().ok(),
            }
        });
        moments.into_iter().find(|moment| *moment > after)
    }
}

impl Days {
    fn include(&self, date: Date) -> bool {
        let day = i16::from(date.day());
        let last = i16::from(date.days_in_month());
        let weekday = i16::from(date.weekday().to_sunday_one_offset());
        match self {
            Self::OfMonth(days) => days.contains(&day),
            Self::Last(before) => day == last - before,
            Self::NearestWeekday(of) => nearest_weekday(date, of.unwrap_or(last)) == Some(date),
            Self::OfWeek(days) => days.contains(&weekday),
            Self::LastOfWeek(wanted) => weekday == *wanted && day > last - 7,
            Self::Nth(wanted, count) => weekday == *wanted && (day - 1) / 7 + 1 == *count,
        }
    }
}

/// The weekday nearest to a day within its month.
fn nearest_weekday(date: Date, day: i16) -> Option<Date> {
    let wanted = Date::new(date.year(), date.month(), day.try_into().ok()?).ok()?;
    let last = i16::from(date.days_in_month());
    let days = match wanted.weekday() {
        Weekday::Saturday if day == 1 => 2,
        Weekday::Saturday => -1,
        Weekday::Sunday if day == last => -2,
        Weekday::Sunday => 1,
        _ => 0,
    };
    wanted.checked_add(days.days()).ok()
}

fn days_of_month(text: &str) -> Option<Days> {
    if let Some(day) = text.strip_suffix('W') {
        return match day {
            "L" => Some(Days::NearestWeekday(None)),
            day => Some(Days::NearestWeekday(Some(number(day, (1, 31), &[])?))),
        };
    }
    match text.split_once('-') {
        _ if text == "L" => Some(Days::Last(0)),
        Some(("L", before)) => Some(Days::Last(number(before, (1, 30), &[])?)),
        _ => values(text, (1, 31), &[]).map(Days::OfMonth),
    }
}

fn days_of_week(text: &str) -> Option<Days> {
    if let Some((day, count)) = text.split_once('#') {
        return Some(Days::Nth(number(day, (1, 7), &WEEKDAYS)?, number(count, (1, 5), &[])?));
    }
    match text.strip_suffix('L') {
        Some("") => Some(Days::OfWeek(BTreeSet::from([7]))),
        Some(day) => Some(Days::LastOfWeek(number(day, (1, 7), &WEEKDAYS)?)),
        None => values(text, (1, 7), &WEEKDAYS).map(Days::OfWeek),
    }
}

/// The values of a field: lists of ranges with steps.
fn values(text: &str, range: (i16, i16), names: &[&str]) -> Option<BTreeSet<i16>> {
    let mut all = BTreeSet::new();
    for part in text.split(',') {
        let (span, step) = match part.split_once('/') {
            Some((span, step)) => (span, Some(number(step, (1, i16::MAX), &[])?)),
            None => (part, None),
        };
        let (first, last) = match span.split_once('-') {
            _ if span == "*" => range,
            Some((first, last)) => (number(first, range, names)?, number(last, range, names)?),
            None => {
                let first = number(span, range, names)?;
                (first, if step.is_some() { range.1 } else { first })
            }
        };
        let step = usize::try_from(step.unwrap_or(1)).ok()?;
        match first <= last {
            true => all.extend((first..=last).step_by(step)),
            // Over the end of the week or the year.
            false if !names.is_empty() => {
                all.extend((first..=range.1).chain(range.0..=last).step_by(step));
            }
            false => return None,
        }
    }
    Some(all)
}

fn number(text: &str, (lowest, highest): (i16, i16), names: &[&str]) -> Option<i16> {
    let named = names.iter().position(|name| name.eq_ignore_ascii_case(text));
    if let Some(place) = named {
        return Some(lowest + i16::try_from(place).ok()?);
    }
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number: i16 = text.parse().ok().filter(|_| is_number)?;
    (lowest..=highest).contains(&number).then_some(number)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test ends where something is wrong")]

    use super::*;

    fn check(expression: &str, zone: &str, after: &str, expected: &[&str]) {
        let zone = TimeZone::get(zone).unwrap();
        let anchor: Timestamp = "2026-01-01T00:00:30Z".parse().unwrap();
        let mut after: Timestamp = after.parse().unwrap();
        let parsed = Expression::parse(expression).unwrap();
        let mut found = Vec::new();
        for _ in expected {
            after = parsed.next(&zone, anchor, after).unwrap();
            found.push(after.to_string());
        }
        assert_eq!(found, expected, "{expression}");
    }

    #[test]
    fn rates_are_due_at_once_and_then_again_and_again() {
        let before = "2026-01-01T00:00:00Z";
        check(
            "rate(5 minutes)",
            "UTC",
            before,
            &["2026-01-01T00:00:30Z", "2026-01-01T00:05:30Z"],
        );
        check("rate(1 day)", "UTC", "2026-01-03T12:00:00Z", &["2026-01-04T00:00:30Z"]);
    }

    #[test]
    fn clocks() {
        let after = "2026-01-30T12:00:00Z";
        check(
            "cron(0/30 12 ? * * *)",
            "UTC",
            after,
            &["2026-01-30T12:30:00Z", "2026-01-31T12:00:00Z"],
        );
        check(
            "cron(0 8 ? * MON-FRI *)",
            "Europe/Berlin",
            after,
            &["2026-02-02T07:00:00Z"],
        );
        check(
            "cron(0 0 L * ? *)",
            "UTC",
            after,
            &["2026-01-31T00:00:00Z", "2026-02-28T00:00:00Z"],
        );
        check("cron(0 0 L-1 * ? *)", "UTC", after, &["2026-02-27T00:00:00Z"]);
        check("cron(0 0 LW * ? *)", "UTC", after, &["2026-02-27T00:00:00Z"]);
        check("cron(0 0 1W 2 ? *)", "UTC", after, &["2026-02-02T00:00:00Z"]);
        check("cron(0 0 ? * 6#3 *)", "UTC", after, &["2026-02-20T00:00:00Z"]);
        check("cron(0 0 ? * 6L *)", "UTC", after, &["2026-02-27T00:00:00Z"]);
        check("cron(0 0 29 FEB ? *)", "UTC", after, &["2028-02-29T00:00:00Z"]);
        check(
            "cron(0 0 ? * SAT-SUN *)",
            "UTC",
            after,
            &["2026-01-31T00:00:00Z", "2026-02-01T00:00:00Z"],
        );
    }

    #[test]
    fn changes_of_the_clock() {
        // 02:30 is not there on the last Sunday of March, and comes twice on that of October.
        let cron = "cron(30 2 * * ? *)";
        check(cron, "Europe/Berlin", "2026-03-28T02:00:00Z", &["2026-03-30T00:30:00Z"]);
        check(
            cron,
            "Europe/Berlin",
            "2026-10-24T12:00:00Z",
            &["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"],
        );
        check(
            "at(2026-07-01T12:00:00)",
            "Europe/Berlin",
            "2026-01-01T00:00:00Z",
            &["2026-07-01T10:00:00Z"],
        );
    }

    #[test]
    fn what_is_over_is_never_due() {
        let none = |expression: &str| {
            let parsed = Expression::parse(expression).unwrap();
            let after: Timestamp = "2026-07-01T00:00:00Z".parse().unwrap();
            assert_eq!(parsed.next(&TimeZone::UTC, after, after), None, "{expression}");
        };
        none("at(2026-06-30T12:00:00)");
        none("cron(0 0 1 1 ? 2026)");
    }

    /// As AWS was recorded to refuse and take them.
    #[test]
    fn what_is_an_expression() {
        for text in [
            " rate(10 minutes)",
            "at(2021-12-31)",
            "at(2021-12-31T23:59:59Z)",
            "cron()",
            "cron(0 1 * * * *)",
            "cron(0 dummy ? * MON-FRI *)",
            "cron(7 20 * * NOT *)",
            "cron(71 8 1 * ? *)",
            "cron(INVALID)",
            "rate( 10 minutes )",
            "rate()",
            "rate(-10 minutes)",
            "rate(10 minutess)",
            "rate(10 seconds)",
            "rate(10 years)",
            "rate(10)",
            "rate(foo minutes)",
            "rate(0 minutes)",
        ] {
            assert_eq!(Expression::parse(text), None, "{text}");
        }
        assert!(Expression::parse("cron(0-15/1 8-8 ? * 2,3,4,5,6,7 *)").is_some());
    }
}
