//! What an answer from outside says about who made it. Pure.
//!
//! API Gateway marks nothing as its own: `apigw-requestid` is on every answer, and which integration made one is only in the
//! access log. Its own answers have a shape instead: a status, a message that goes with it, and no header of anybody else.
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-troubleshooting-lambda.html>

use std::collections::BTreeMap;

/// An answer to an HTTP request from outside.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// Status.
    pub status: u16,
    /// Headers, their names in small letters.
    pub headers: BTreeMap<String, String>,
    /// The beginning of its body.
    pub body: Vec<u8>,
}

/// Most bytes of a body that say anything here.
pub const BODY: usize = 256;

/// The gateway's own answers.
const MESSAGES: [(u16, &str); 9] = [
    (400, "Bad Request"),
    (401, "Unauthorized"),
    (403, "Forbidden"),
    (404, "Not Found"),
    (413, "Request Entity Too Large"),
    (429, "Too Many Requests"),
    (500, "Internal Server Error"),
    (503, "Service Unavailable"),
    (504, "Gateway Timeout"),
];

/// Headers of an answer that no function has touched: the gateway's, and those that proxies on the way add.
const HEADERS: [&str; 14] = [
    "age",
    "apigw-requestid",
    "connection",
    "content-length",
    "content-type",
    "date",
    "keep-alive",
    "proxy-connection",
    "server",
    "vary",
    "via",
    "www-authenticate",
    "x-cache",
    "x-cache-lookup",
];

/// How the headers begin that the gateway adds where the API has CORS.
const CORS: &str = "access-control-";

impl Answer {
    /// The release that made it, where the function names it.
    pub fn release(&self) -> Option<&str> {
        self.headers.get("x-release").map(String::as_str)
    }

    /// Whether the gateway may have made it itself. What it surely has not made has another text, type or header; a function
    /// can also answer exactly as the gateway does.
    pub fn may_be_the_gateways(&self) -> bool {
        let message = MESSAGES.iter().find(|(status, _)| *status == self.status);
        let Some((_, message)) = message else { return false };
        let is_json = self
            .headers
            .get("content-type")
            .is_some_and(|kind| kind == "application/json");
        let is_untouched = |name: &String| HEADERS.contains(&name.as_str()) || name.starts_with(CORS);
        is_json
            && self.headers.keys().all(is_untouched)
            && self.body == format!("{{\"message\":\"{message}\"}}").into_bytes()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// An answer with JSON and the headers that each one has.
    pub(crate) fn answer(status: u16, headers: &[(&str, &str)], body: &str) -> Answer {
        let usual = [
            ("apigw-requestid", "TYxk_iYxFiAEJ7A="),
            ("content-type", "application/json"),
        ];
        let headers = usual.iter().chain(headers);
        Answer {
            status,
            headers: headers
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            body: body.into(),
        }
    }

    #[test]
    fn the_gateways_own_answers_have_its_shape_and_nothing_else() {
        let check = |answer: Answer, expected: bool| assert_eq!(answer.may_be_the_gateways(), expected, "{answer:?}");
        for (status, message) in MESSAGES {
            check(answer(status, &[], &format!("{{\"message\":\"{message}\"}}")), true);
        }
        let cors = [
            ("access-control-allow-origin", "*"),
            ("vary", "origin"),
            ("via", "1.1 proxy"),
        ];
        check(answer(404, &cors, r#"{"message":"Not Found"}"#), true);
        // A function's: other words, another status, another type, a header of its own.
        check(answer(404, &[], r#"{"message":"no such order"}"#), false);
        check(answer(404, &[], r#"{"message": "Not Found"}"#), false);
        check(answer(404, &[], ""), false);
        check(answer(403, &[], r#"{"message":"Not Found"}"#), false);
        check(answer(200, &[], r#"{"message":"OK"}"#), false);
        check(
            answer(
                404,
                &[("content-type", "application/json; charset=utf-8")],
                r#"{"message":"Not Found"}"#,
            ),
            false,
        );
        check(
            answer(404, &[("x-request-id", "7")], r#"{"message":"Not Found"}"#),
            false,
        );
        check(answer(404, &[("x-release", "2")], r#"{"message":"Not Found"}"#), false);
    }
}
