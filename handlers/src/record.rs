//! Identity and time of a record: a UUIDv7 that carries its creation time. Not the record's contents.

use std::fmt;

use uuid::Uuid;

pub use taskctl_lambda::Millis;

/// Id of a task, user or asset: a UUIDv7, so ids sort by creation time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordId(Uuid);

impl RecordId {
    /// Length of the written form.
    pub const LENGTH: usize = 36;

    /// A new id, later than every other made by this process.
    pub fn new() -> Self {
        Self(Uuid::now_v7())
    }

    /// An id made of a time and bits that distinguish it from others of that millisecond.
    pub fn from_parts(time: Millis, bits: [u8; 10]) -> Self {
        Self(uuid::Builder::from_unix_timestamp_millis(u64::try_from(time.0).unwrap_or(0), &bits).into_uuid())
    }

    /// Reads the hyphenated form of a UUIDv7, in any case. Nothing else is an id.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() != Self::LENGTH {
            return None;
        }
        let id = Uuid::try_parse(text).ok()?;
        (id.get_version_num() == 7 && id.get_variant() == uuid::Variant::RFC4122).then_some(Self(id))
    }

    /// When the record was made.
    pub fn created(self) -> Millis {
        Millis(i64::try_from(self.0.as_u128() >> 80).unwrap_or(i64::MAX))
    }

    /// A number that is evenly spread over ids, however few of their bits are random.
    pub fn spread(self) -> u64 {
        const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
        let (high, low) = self.0.as_u64_pair();
        (high ^ low).wrapping_mul(GOLDEN) >> 20
    }
}

impl Default for RecordId {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Display for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_hyphenated().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_carries_its_time_and_sorts_by_it() {
        let early = RecordId::from_parts(Millis(1_763_681_475_123), [0xff; 10]);
        let late = RecordId::from_parts(Millis(1_763_681_475_124), [0; 10]);
        assert_eq!(early.created(), Millis(1_763_681_475_123));
        assert!(early < late);
        assert!(early.to_string() < late.to_string());
        assert_eq!(early.created().rfc3339(), "2025-11-20T23:31:15.123Z");
    }

    #[test]
    fn only_a_hyphenated_v7_is_an_id() {
        let id = RecordId::new();
        assert_eq!(RecordId::parse(&id.to_string()), Some(id));
        assert_eq!(RecordId::parse(&id.to_string().to_uppercase()), Some(id));
        for text in [
            "",
            "directory",
            "6f9619ff-8b86-4011-b42d-00cf4fc964ff",
            &id.to_string().replace('-', ""),
            &format!("{{{id}}}"),
        ] {
            assert_eq!(RecordId::parse(text), None, "{text}");
        }
    }
}
