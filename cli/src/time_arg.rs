//! Times on the command line: durations, ages and moments.

use std::time::Duration;

use jiff::{Timestamp, civil, tz::TimeZone};

use crate::failure::Failure;

/// `500ms`, `30s`, `5m`.
pub fn duration(text: &str) -> Result<Duration, String> {
    let units = [("ms", 0.001), ("s", 1.0), ("m", 60.0), ("h", 3600.0)];
    let parsed = units.iter().find_map(|(unit, seconds)| {
        let number: f64 = text.strip_suffix(unit)?.parse().ok()?;
        Duration::try_from_secs_f64(number * seconds).ok()
    });
    parsed.ok_or_else(|| "expected a duration such as 500ms, 30s or 5m".to_owned())
}

/// How long ago: `5m`, `2h`, `3d`.
pub fn ago(text: &str) -> Result<Duration, String> {
    let Some(days) = text.strip_suffix('d') else {
        return duration(text);
    };
    let seconds = days.parse::<u64>().ok().and_then(|days| days.checked_mul(86_400));
    seconds
        .map(Duration::from_secs)
        .ok_or_else(|| format!("`{text}` is not a duration such as 3d"))
}

/// A time: so long ago, with a zone, or local.
pub fn moment(text: &str, now: Timestamp) -> Result<Timestamp, Failure> {
    if let Ok(ago) = ago(text) {
        return Ok(now.checked_sub(ago).unwrap_or(Timestamp::UNIX_EPOCH));
    }
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(time);
    }
    let local = text
        .parse::<civil::DateTime>()
        .or_else(|_| text.parse::<civil::Date>().map(|date| date.at(0, 0, 0, 0)));
    let local = local.ok().and_then(|time| time.to_zoned(TimeZone::system()).ok());
    local.map(|time| time.timestamp()).ok_or_else(|| {
        Failure::usage(
            format!("`{text}` is not a time"),
            "for example: 5m, 2h, 3d, 2026-01-30T10:15 or 2026-01-30T09:15:00Z",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("5m"), Ok(Duration::from_secs(300)));
        for wrong in ["", "5", "-1s", "xs"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn times_are_ago_or_moments() {
        let now: Timestamp = "2026-01-30T10:00:00Z".parse().unwrap_or(Timestamp::UNIX_EPOCH);
        let at = |text: &str| moment(text, now).map(|time| time.to_string()).map_err(|_| ());
        assert_eq!(at("5m"), Ok("2026-01-30T09:55:00Z".to_owned()));
        assert_eq!(at("2d"), Ok("2026-01-28T10:00:00Z".to_owned()));
        assert_eq!(at("2026-01-29T00:00:00Z"), Ok("2026-01-29T00:00:00Z".to_owned()));
        assert!(at("2026-01-29T10:15").is_ok() && at("2026-01-29").is_ok());
        assert!(at("yesterday").is_err());
    }
}
