//! Times on the command line: durations, ages and moments.

use std::time::Duration;

use jiff::{Timestamp, civil};

use crate::failure::Failure;
use crate::ui::clock::local;

/// Units of durations, and their seconds.
const UNITS: [(&str, f64); 6] = [
    ("ms", 0.001),
    ("s", 1.0),
    ("m", 60.0),
    ("h", 3_600.0),
    ("d", 86_400.0),
    ("w", 604_800.0),
];

/// `500ms`, `30s`, `5m`, `1h30m`.
pub fn duration(text: &str) -> Result<Duration, String> {
    sum(text).ok_or_else(|| "expected a duration such as 500ms, 30s, 5m or 1h30m".to_owned())
}

/// How long ago: `5m`, `1h30m`, `3d`, `1w`.
pub fn ago(text: &str) -> Result<Duration, String> {
    sum(text).ok_or_else(|| format!("`{text}` is not a duration such as 15m, 1h30m, 3d or 1w"))
}

/// Numbers with their units, one after the other.
fn sum(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|one: char| !one.is_ascii_digit() && one != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let word = rest.find(|one: char| one.is_ascii_digit()).unwrap_or(rest.len());
        let (_, unit) = UNITS.iter().find(|(unit, _)| *unit == &rest[..word])?;
        seconds += number * unit;
        rest = &rest[word..];
    }
    let is_given = !text.is_empty();
    is_given.then(|| Duration::try_from_secs_f64(seconds).ok()).flatten()
}

/// A moment: so long ago, by the operator's clock (`19:00`, `2026-01-30T10:15`, `2026-01-30`), with a zone, or in seconds or
/// milliseconds since 1970.
pub fn moment(text: &str, now: Timestamp) -> Result<Timestamp, Failure> {
    let parsed = ago(text)
        .ok()
        .map(|ago| now.checked_sub(ago).unwrap_or(Timestamp::UNIX_EPOCH))
        .or_else(|| epoch(text))
        .or_else(|| text.parse().ok())
        .or_else(|| time_of_day(text, now))
        .or_else(|| on_calendar(text, now));
    parsed.ok_or_else(|| {
        Failure::usage(
            format!("`{text}` is not a time"),
            "for example: 5m, 1h30m, 3d, 1w, 19:00, 2026-01-30T10:15, 2026-01-30T09:15:00Z, or seconds since 1970",
        )
    })
}

/// Seconds since 1970 have ten digits from 2001 to 2286, milliseconds thirteen.
fn epoch(text: &str) -> Option<Timestamp> {
    let number: i64 = text
        .parse()
        .ok()
        .filter(|_| text.chars().all(|one| one.is_ascii_digit()))?;
    match text.len() {
        10 => Timestamp::from_second(number).ok(),
        13 => Timestamp::from_millisecond(number).ok(),
        _ => None,
    }
}

/// The last time that the operator's clock showed this.
fn time_of_day(text: &str, now: Timestamp) -> Option<Timestamp> {
    // Also numbers such as `1015`, and times with a date, would be read as a time of day.
    let is_time_alone = text.contains(':') && !text.contains('-');
    let time: civil::Time = is_time_alone.then(|| text.parse().ok()).flatten()?;
    let now = local(now);
    let today = now.date().to_datetime(time).to_zoned(now.time_zone().clone()).ok()?;
    match today <= now {
        true => Some(today.timestamp()),
        false => {
            let yesterday = now.date().yesterday().ok()?.to_datetime(time);
            Some(yesterday.to_zoned(now.time_zone().clone()).ok()?.timestamp())
        }
    }
}

fn on_calendar(text: &str, now: Timestamp) -> Option<Timestamp> {
    let date_time = text
        .parse::<civil::DateTime>()
        .or_else(|_| text.parse::<civil::Date>().map(|date| date.at(0, 0, 0, 0)));
    let zone = local(now).time_zone().clone();
    Some(date_time.ok()?.to_zoned(zone).ok()?.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("5m"), Ok(Duration::from_secs(300)));
        assert_eq!(duration("1h30m"), Ok(Duration::from_secs(5_400)));
        assert_eq!(duration("1.5h"), Ok(Duration::from_secs(5_400)));
        assert_eq!(ago("1w"), Ok(Duration::from_secs(7 * 86_400)));
        for wrong in ["", "5", "-1s", "xs", "m", "1h30", "1x", "1.2.3s", "1e400d", "5 m"] {
            assert!(duration(wrong).is_err() && ago(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn times_are_ago_or_moments() {
        // 11:00 by the clock of tests.
        let now: Timestamp = "2026-01-30T10:00:00Z".parse().unwrap_or(Timestamp::UNIX_EPOCH);
        let at = |text: &str| moment(text, now).map(|time| time.to_string()).map_err(|_| ());
        for (text, expected) in [
            ("5m", "2026-01-30T09:55:00Z"),
            ("2d", "2026-01-28T10:00:00Z"),
            ("1w", "2026-01-23T10:00:00Z"),
            ("1h30m", "2026-01-30T08:30:00Z"),
            ("2026-01-29T00:00:00Z", "2026-01-29T00:00:00Z"),
            ("2026-01-29T00:00:00+02:00", "2026-01-28T22:00:00Z"),
            ("2026-01-29T10:15", "2026-01-29T09:15:00Z"),
            ("2026-01-29 10:15", "2026-01-29T09:15:00Z"),
            ("2026-01-29", "2026-01-28T23:00:00Z"),
            ("10:15", "2026-01-30T09:15:00Z"),
            ("11:00", "2026-01-30T10:00:00Z"),
            // Not yet today.
            ("19:00", "2026-01-29T18:00:00Z"),
            ("19:00:30", "2026-01-29T18:00:30Z"),
            ("1769767200", "2026-01-30T10:00:00Z"),
            ("1769767200123", "2026-01-30T10:00:00.123Z"),
        ] {
            assert_eq!(at(text), Ok(expected.to_owned()), "{text}");
        }
        for wrong in ["yesterday", "", "1015", "25:00", "-5m", "12345678901"] {
            assert!(at(wrong).is_err(), "{wrong}");
        }
    }
}
