//! The control planes that the local target keeps itself, because the emulator's are too far from AWS to build on:
//! HTTP APIs and functions. They are configured only by AWS calls and keep what they know on disk.

pub(crate) mod apigateway;
pub(crate) mod cloudwatch;
mod fault;
pub(crate) mod lambda;

pub(crate) use fault::Fault;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

/// A successful answer of a REST-JSON service.
#[derive(Debug)]
pub(crate) struct Reply {
    /// HTTP status.
    pub status: u16,
    /// JSON body; none is an empty one.
    pub body: Option<Value>,
}

impl Reply {
    /// An answer with a body.
    pub(crate) fn json(status: u16, body: &impl Serialize) -> Self {
        Self {
            status,
            body: serde_json::to_value(body).ok(),
        }
    }

    /// An answer without a body.
    pub(crate) fn empty(status: u16) -> Self {
        Self { status, body: None }
    }
}

/// A new id of so many characters out of `[a-z0-9]`, as API Gateway makes them.
pub(crate) fn new_id(length: usize) -> String {
    const ALPHABET: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
    let mut random = uuid::Uuid::new_v4().as_u128();
    (0..length)
        .map(|_| {
            let index = usize::try_from(random % 36).unwrap_or_default();
            random /= 36;
            char::from(ALPHABET[index])
        })
        .collect()
}

/// The time now, RFC 3339 in whole seconds.
pub(crate) fn now() -> String {
    Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// One page of a list, and where the next one begins.
pub(crate) fn page<T>(items: Vec<T>, size: usize, token: Option<&str>) -> Result<(Vec<T>, Option<String>), ()> {
    let start: usize = token.map_or(Ok(0), str::parse).map_err(drop)?;
    let next = start.saturating_add(size);
    let more = next < items.len();
    Ok((
        items.into_iter().skip(start).take(size).collect(),
        more.then(|| next.to_string()),
    ))
}

/// Whether `pattern` with `*` (any characters) and `?` (one) matches all of `text`, as in ARN conditions.
pub(crate) fn wildcard_match(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        if p < pattern.len() && pattern[p] == '*' {
            star = Some((p, t));
            p += 1;
        } else if p < pattern.len() && (pattern[p] == '?' || pattern[p] == text[t]) {
            (p, t) = (p + 1, t + 1);
        } else if let Some((at, from)) = star {
            star = Some((at, from + 1));
            (p, t) = (at + 1, from + 1);
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|character| *character == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("a*c", "abbbc", true),
            ("a*c", "abbb", false),
            ("arn:*:api/*/*", "arn:aws:api/$default/GET/x", true),
            ("arn:*:api/prod/*", "arn:aws:api/dev/GET/x", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("**x", "x", true),
            ("", "x", false),
        ] {
            assert_eq!(wildcard_match(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn ids() {
        assert_eq!(new_id(10).len(), 10);
        assert_ne!(new_id(10), new_id(10));
    }

    #[test]
    fn pages() {
        assert_eq!(page(vec![1, 2, 3], 2, None), Ok((vec![1, 2], Some("2".to_owned()))));
        assert_eq!(page(vec![1, 2, 3], 2, Some("2")), Ok((vec![3], None)));
        assert_eq!(page(vec![1, 2], 2, None), Ok((vec![1, 2], None)));
        assert_eq!(page(vec![1], 2, Some("x")), Err(()));
    }
}
