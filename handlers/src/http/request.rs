//! A request as the functions see it.

use std::collections::HashMap;

use taskctl_lambda::Stage;

use super::{Failure, Query};

/// Largest body, bytes.
pub const BODY_LIMIT: usize = 256 * 1024;

/// A body as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// None.
    Empty,
    /// Bytes, decoded where the gateway sent base64.
    Bytes(Vec<u8>),
    /// Said to be base64, and is not.
    Undecodable,
}

/// A request.
#[derive(Debug, Clone)]
pub struct Request {
    /// Lambda's request id.
    pub id: String,
    /// Method, upper case.
    pub method: String,
    /// The route that the gateway matched, e.g. `GET /tasks/{taskId}` or `$default`.
    pub route_key: String,
    /// Path without the stage's prefix, decoded.
    pub path: String,
    /// Values of the route's `{…}` parts, decoded.
    pub path_parameters: HashMap<String, String>,
    /// Headers by lower-case name.
    pub headers: HashMap<String, String>,
    /// Query string.
    pub query: Query,
    /// Body.
    pub body: Body,
    /// Stage variables.
    pub stage: Stage,
}

impl Request {
    /// A header's value; an empty one counts as absent.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .get(name)
            .map(|value| value.trim())
            .filter(|value| !value.is_empty())
    }

    /// The body's bytes, when they are JSON by name and not too many.
    pub fn json_body(&self) -> Result<&[u8], Failure> {
        let bytes = match &self.body {
            Body::Empty => &[][..],
            Body::Bytes(bytes) => bytes,
            Body::Undecodable => return Err(Failure::Validation("the body is not valid base64".to_owned())),
        };
        if bytes.len() > BODY_LIMIT {
            let message = format!("the body has {} bytes; at most {BODY_LIMIT} are taken", bytes.len());
            return Err(Failure::TooLarge(message));
        }
        if let Some(content_type) = self.header("content-type") {
            check_content_type(content_type)?;
        }
        if bytes.is_empty() {
            return Err(Failure::Validation("the body is empty; send a JSON object".to_owned()));
        }
        Ok(bytes)
    }

    /// A path parameter as the client wrote it.
    pub fn parameter(&self, name: &str) -> &str {
        self.path_parameters.get(name).map_or("", String::as_str)
    }
}

/// Only JSON, in UTF-8 where a charset is named.
fn check_content_type(content_type: &str) -> Result<(), Failure> {
    let mut parts = content_type.split(';').map(str::trim);
    let media = parts.next().unwrap_or("").to_ascii_lowercase();
    let json = media == "application/json" || (media.starts_with("application/") && media.ends_with("+json"));
    let charset = parts
        .filter_map(|part| part.split_once('='))
        .find(|(name, _)| name.trim().eq_ignore_ascii_case("charset"));
    let utf8 = charset.is_none_or(|(_, value)| {
        let value = value.trim().trim_matches('"');
        value.eq_ignore_ascii_case("utf-8") || value.eq_ignore_ascii_case("utf8")
    });
    if json && utf8 {
        return Ok(());
    }
    let given = super::failure::shortened(content_type);
    Err(Failure::UnsupportedMediaType(format!(
        "'content-type' is '{given}'; send application/json in UTF-8"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_by_any_of_its_names_is_taken_and_nothing_else() {
        for good in [
            "application/json",
            "Application/JSON; charset=UTF-8",
            "application/merge-patch+json",
            "application/json;charset=\"utf-8\"",
        ] {
            assert!(check_content_type(good).is_ok(), "{good}");
        }
        for bad in [
            "text/plain",
            "application/x-www-form-urlencoded",
            "json",
            "application/json; charset=latin1",
            "multipart/form-data; boundary=x",
        ] {
            assert!(
                matches!(check_content_type(bad), Err(Failure::UnsupportedMediaType(_))),
                "{bad}"
            );
        }
    }
}
