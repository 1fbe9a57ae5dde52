//! The query string: decoded pairs, each known name at most once.

use percent_encoding::percent_decode_str;

use super::Failure;

/// Longest page of a list.
pub const LIMIT_MAX: usize = 100;
/// Page of a list when nothing is said.
pub const LIMIT_DEFAULT: usize = 20;

/// A query string.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query(Vec<(String, Option<String>)>);

impl Query {
    /// Reads `a=1&b=2`. A value that is not UTF-8 is kept as none, and refused when it is asked for.
    pub fn parse(raw: &str) -> Self {
        let decode = |text: &str| {
            percent_decode_str(&text.replace('+', " "))
                .decode_utf8()
                .ok()
                .map(|text| text.into_owned())
        };
        let pairs = raw.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(name).unwrap_or_default(), decode(value))
        });
        Self(pairs.collect())
    }

    /// Decoded pairs, for a gateway that sends no raw query string.
    pub fn from_pairs(pairs: impl IntoIterator<Item = (String, String)>) -> Self {
        Self(pairs.into_iter().map(|(name, value)| (name, Some(value))).collect())
    }

    /// The value of a name. Given twice, or with bytes that are no text, is a 400.
    pub fn value(&self, name: &str) -> Result<Option<&str>, Failure> {
        let mut found = self.0.iter().filter(|(given, _)| given == name);
        let Some((_, value)) = found.next() else {
            return Ok(None);
        };
        if found.next().is_some() {
            return Err(Failure::field(name, "is given more than once"));
        }
        match value {
            None => Err(Failure::field(name, "is not valid UTF-8")),
            Some(value) if value.contains('\0') => Err(Failure::field(name, "must not contain NUL")),
            Some(value) => Ok(Some(value)),
        }
    }

    /// `limit`: 1–100, default 20.
    pub fn limit(&self) -> Result<usize, Failure> {
        let Some(text) = self.value("limit")? else {
            return Ok(LIMIT_DEFAULT);
        };
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        match text.parse() {
            Ok(limit) if digits && (1..=LIMIT_MAX).contains(&limit) => Ok(limit),
            _ => Err(Failure::field(
                "limit",
                format_args!("must be a whole number from 1 to {LIMIT_MAX}"),
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(raw: &str) -> Option<usize> {
        Query::parse(raw).limit().ok()
    }

    #[test]
    fn limits() {
        assert_eq!(limit(""), Some(20));
        assert_eq!(limit("limit=1"), Some(1));
        assert_eq!(limit("limit=100"), Some(100));
        for bad in [
            "limit=0",
            "limit=101",
            "limit=",
            "limit",
            "limit=-1",
            "limit=+1",
            "limit=1.0",
            "limit=1&limit=2",
            "limit=%ff",
            "limit=99999999999999999999",
            "limit=1%00",
        ] {
            assert_eq!(limit(bad), None, "{bad}");
        }
    }

    #[test]
    fn values_are_decoded() {
        let query = Query::parse("tag=a%2Cb+c%26d&x");
        assert_eq!(query.value("tag").ok(), Some(Some("a,b c&d")));
        assert_eq!(query.value("x").ok(), Some(Some("")));
        assert_eq!(query.value("y").ok(), Some(None));
    }
}
