//! Times as people read them: by the operator's clock, with the zone named once on a screen. Programs get UTC.

use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

/// The operator's time zone. Tests have one that is not UTC, so that a time that is not converted shows.
fn zone() -> TimeZone {
    if cfg!(test) {
        return TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap_or(TimeZone::UTC);
    }
    TimeZone::system()
}

/// A time on the operator's clock.
pub fn local(at: Timestamp) -> Zoned {
    at.to_zoned(zone())
}

/// The zone's name at a time, such as `CET`.
pub fn zone_name(at: Timestamp) -> String {
    local(at).strftime("%Z").to_string()
}

/// `2026-03-01 13:00:05 CET`.
pub fn full(at: Timestamp) -> String {
    local(at).strftime("%Y-%m-%d %H:%M:%S %Z").to_string()
}

/// `2026-03-01 13:00`, on a screen that names the zone.
pub fn minute(at: Timestamp) -> String {
    local(at).strftime("%Y-%m-%d %H:%M").to_string()
}

/// `13:00:05`, with its day unless that is today; on a screen that names the zone.
pub fn second(at: Timestamp, now: Timestamp) -> String {
    let (at, now) = (local(at), local(now));
    let form = if at.date() == now.date() {
        "%H:%M:%S"
    } else {
        "%Y-%m-%d %H:%M:%S"
    };
    at.strftime(form).to_string()
}

/// `13:00 CET`, with its day unless that is today.
pub fn minute_with_zone(at: Timestamp, now: Timestamp) -> String {
    let (at, now) = (local(at), local(now));
    let form = if at.date() == now.date() {
        "%H:%M %Z"
    } else {
        "%Y-%m-%d %H:%M %Z"
    };
    at.strftime(form).to_string()
}

/// A date on the operator's calendar, with the zone: `2026-03-01 CET`.
pub fn day(at: Timestamp) -> String {
    local(at).strftime("%Y-%m-%d %Z").to_string()
}

/// CloudWatch's reason of an alarm by the operator's clock: it writes `(01/03/26 11:59:00)`, day first and in UTC.
pub fn reason(text: &str) -> String {
    let Ok(times) = regex_lite::Regex::new(r"\((\d\d/\d\d/\d\d \d\d:\d\d:\d\d)\)") else {
        return text.to_owned();
    };
    times
        .replace_all(text, |found: &regex_lite::Captures<'_>| {
            let utc = jiff::civil::DateTime::strptime("%d/%m/%y %H:%M:%S", &found[1])
                .and_then(|time| time.to_zoned(TimeZone::UTC));
            match utc {
                Ok(time) => format!("({})", full(time.timestamp())),
                Err(_) => found[0].to_owned(),
            }
        })
        .into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_read_their_own_time() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap_or(Timestamp::UNIX_EPOCH);
        let time = at("2026-03-01T12:00:05.123456Z");
        assert_eq!(full(time), "2026-03-01 13:00:05 CET");
        assert_eq!(full(at("2026-07-01T12:00:05Z")), "2026-07-01 14:00:05 CEST");
        assert_eq!(second(time, at("2026-03-01T22:59:00Z")), "13:00:05");
        assert_eq!(second(time, at("2026-03-01T23:01:00Z")), "2026-03-01 13:00:05");
        assert_eq!(
            (minute(time), zone_name(time)),
            ("2026-03-01 13:00".to_owned(), "CET".to_owned())
        );
        assert_eq!(minute_with_zone(time, time), "13:00 CET");
        assert_eq!(
            reason("1 datapoint [7.0 (01/03/26 11:59:00)] was greater than (5.0)."),
            "1 datapoint [7.0 (2026-03-01 12:59:00 CET)] was greater than (5.0)."
        );
    }
}
