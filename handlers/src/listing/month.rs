//! A calendar month in UTC, written `2026-11`: the time bucket of the lists.

use std::fmt;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use crate::record::{Millis, RecordId};

/// A month.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Month {
    year: i16,
    month: i8,
}

impl Month {
    /// The month that a time is in.
    pub fn of(time: Millis) -> Self {
        // An id's 48 bits reach beyond the last year that has four digits.
        let timestamp = Timestamp::from_millisecond(time.0).unwrap_or(Timestamp::MAX);
        let date = TimeZone::UTC.to_datetime(timestamp);
        Self {
            year: date.year(),
            month: date.month(),
        }
    }

    /// Reads `2026-11`.
    pub fn parse(text: &str) -> Option<Self> {
        let (year, month) = text.split_once('-')?;
        let month = month.parse().ok().filter(|month| (1..=12).contains(month))?;
        Some(Self {
            year: year.parse().ok()?,
            month,
        })
    }

    /// The first id that a record of this month can have.
    pub fn first_id(self) -> RecordId {
        let first = DateTime::constant(self.year, self.month, 1, 0, 0, 0, 0);
        let timestamp = TimeZone::UTC.to_timestamp(first).unwrap_or(Timestamp::UNIX_EPOCH);
        RecordId::from_parts(Millis(timestamp.as_millisecond()), [0; 10])
    }

    /// The month before.
    pub fn before(self) -> Self {
        match self.month {
            1 => Self {
                year: self.year - 1,
                month: 12,
            },
            month => Self {
                year: self.year,
                month: month - 1,
            },
        }
    }
}

impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}", self.year, self.month)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_turn_at_midnight_utc() {
        let last = Month::of(Millis(1_767_225_599_999));
        let first = Month::of(Millis(1_767_225_600_000));
        assert_eq!(
            (last.to_string(), first.to_string()),
            ("2025-12".to_owned(), "2026-01".to_owned())
        );
        assert_eq!(first.before(), last);
        assert_eq!(Month::parse("2026-01"), Some(first));
        assert_eq!(Month::parse("2026-13"), None);
        assert_eq!(Month::of(Millis((1 << 48) - 1)).to_string(), "9999-12");
    }

    #[test]
    fn a_month_begins_with_its_first_id() {
        let first = Month::of(Millis(1_767_225_600_000)).first_id();
        assert_eq!(first.to_string(), "019b76da-a800-7000-8000-000000000000");
        assert_eq!(first.created(), Millis(1_767_225_600_000));
        let before = RecordId::from_parts(Millis(1_767_225_599_999), [0xff; 10]);
        assert!(before < first);
    }
}
