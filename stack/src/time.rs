//! Times in answers and records: RFC 3339 in UTC, always with milliseconds, so that the texts sort as the times do.

use jiff::Timestamp;
use serde::Serializer;

/// Of a time.
pub fn serialize<S: Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{at:.3}"))
}

/// Of a time that may be unknown.
pub fn serialize_known<S: Serializer>(at: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
    match at {
        Some(at) => serialize(at, serializer),
        None => serializer.serialize_none(),
    }
}

#[cfg(test)]
mod tests {
    use serde::Serialize;

    use super::*;

    #[test]
    fn times_have_milliseconds() {
        #[derive(Serialize)]
        struct Times(
            #[serde(serialize_with = "serialize")] Timestamp,
            #[serde(serialize_with = "serialize_known")] Option<Timestamp>,
        );
        let at = Timestamp::new(1_772_366_405, 123_456_789).unwrap_or(Timestamp::UNIX_EPOCH);
        let shown = serde_json::to_string(&[Times(at, None), Times(Timestamp::UNIX_EPOCH, Some(at))]);
        assert_eq!(
            shown.unwrap_or_default(),
            r#"[["2026-03-01T12:00:05.123Z",null],["1970-01-01T00:00:00.000Z","2026-03-01T12:00:05.123Z"]]"#
        );
    }
}
