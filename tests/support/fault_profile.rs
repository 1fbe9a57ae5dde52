//! Faults that the network and AWS inject into calls, drawn from a fixed seed so that a run can be repeated.

use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use hyper::HeaderMap;
use hyper::body::Bytes;

/// A kind of trouble.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultProfile {
    /// One call in ten ends with an internal error, half of them after it was processed.
    Errors,
    /// One call in ten loses its connection, half of them after it was processed.
    Resets,
    /// Every service takes a quarter of what it documents.
    Throttling,
    /// One call in twenty is answered seconds later.
    Slow,
    /// The clock of AWS is ten minutes ahead.
    Skewed,
    /// The credentials end after so many calls.
    Expiring(u32),
    /// A service, by the name that requests are signed for, is unavailable.
    Down(&'static str),
    /// Every answer takes this much longer: AWS is far away.
    Distant(Duration),
    /// Every call is refused with a message that tries to take over the terminal.
    Hostile,
}

/// What a hostile message says.
const EVIL: &str = "\u{1b}[31mred\u{1b}[2J\r\n::error::forged\u{9b}31m\u{202e}";

/// What happens to one call.
#[derive(Debug, Clone)]
pub(crate) enum Fault {
    /// It passes unharmed.
    Pass,
    /// This is the answer, and nothing was done.
    Refuse(Refusal),
    /// It was done, and this is the answer.
    RefuseAfter(Refusal),
    /// The connection ends; whether the call was processed.
    Cut(bool),
    /// The answer comes later.
    Delay(Duration),
}

/// An error answer.
#[derive(Debug, Clone)]
pub(crate) struct Refusal {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: Bytes,
}

/// Draws the fault of each call.
pub(crate) struct FaultPlan {
    profile: FaultProfile,
    state: Mutex<State>,
}

struct State {
    random: fastrand::Rng,
    calls: u32,
    /// Tokens by quota, and when they were counted.
    tokens: BTreeMap<&'static str, (f64, Instant)>,
}

/// A quarter of the documented rates a second, and bursts. First match wins.
/// <https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html>
/// <https://docs.aws.amazon.com/apigateway/latest/developerguide/limits.html>
/// <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/cloudwatch_limits.html>
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ServiceQuotas.html>
const QUARTERS: [(&str, f64, f64); 7] = [
    ("lambda", 3.75, 4.0),
    ("apigateway", 2.5, 10.0),
    ("monitoring", 0.75, 1.0),
    ("logs", 1.25, 2.5),
    ("dynamodb", 2.5, 5.0),
    ("iam", 5.0, 10.0),
    ("tagging", 3.75, 4.0),
];

impl FaultPlan {
    pub(crate) fn new(profile: FaultProfile) -> Self {
        Self {
            profile,
            state: Mutex::new(State {
                random: fastrand::Rng::with_seed(0x9e37_79b9_7f4a_7c15),
                calls: 0,
                tokens: BTreeMap::new(),
            }),
        }
    }

    /// What happens to a call. `reads`: it changes nothing.
    pub(crate) fn next(&self, headers: &HeaderMap, reads: bool) -> Fault {
        let service = service(headers);
        let refusal =
            |status, xml_code, json_code, message| Refusal::of(headers, &service, status, xml_code, json_code, message);
        let mut state = self.state.lock();
        state.calls += 1;
        let chance = state.random.f64();
        let afterwards = !reads && state.random.f64() < 0.5;
        match self.profile {
            FaultProfile::Errors if chance < 0.1 => {
                let refusal = refusal(500, "InternalError", "InternalFailure", "it broke");
                match afterwards {
                    true => Fault::RefuseAfter(refusal),
                    false => Fault::Refuse(refusal),
                }
            }
            FaultProfile::Resets if chance < 0.1 => Fault::Cut(afterwards),
            FaultProfile::Slow if chance < 0.05 => Fault::Delay(Duration::from_secs(2 + u64::from(afterwards) * 4)),
            FaultProfile::Throttling if !state.take(&service) => Fault::Refuse(match service.as_str() {
                "lambda" | "apigateway" => refusal(429, "", "TooManyRequestsException", "Rate exceeded"),
                _ => refusal(400, "Throttling", "ThrottlingException", "Rate exceeded"),
            }),
            FaultProfile::Skewed if is_skewed(headers) => Fault::Refuse(refusal(
                403,
                "RequestTimeTooSkewed",
                "InvalidSignatureException",
                "Signature not yet current: the difference between the request time and the current time is too large.",
            )),
            FaultProfile::Expiring(after) if state.calls > after => Fault::Refuse(refusal(
                403,
                "ExpiredToken",
                "ExpiredTokenException",
                "The security token included in the request is expired",
            )),
            FaultProfile::Down(name) if service == name => Fault::Refuse(refusal(
                503,
                "ServiceUnavailable",
                "ServiceUnavailableException",
                "Service Unavailable",
            )),
            FaultProfile::Distant(delay) => Fault::Delay(delay),
            FaultProfile::Hostile => Fault::Refuse(refusal(400, "ValidationError", "ValidationException", EVIL)),
            _ => Fault::Pass,
        }
    }

    /// What the answers give as the time, where it is not the time.
    pub(crate) fn date(&self) -> Option<String> {
        let shown = |now: jiff::Timestamp| now.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
        (self.profile == FaultProfile::Skewed).then(|| shown(clock_of_aws()))
    }
}

fn clock_of_aws() -> jiff::Timestamp {
    jiff::Timestamp::now() + jiff::SignedDuration::from_mins(10)
}

/// Whether a signature is more than five minutes away from the clock of AWS.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-troubleshooting.html>
fn is_skewed(headers: &HeaderMap) -> bool {
    let signed = headers.get("x-amz-date").and_then(|value| value.to_str().ok());
    let signed = signed.and_then(|text| jiff::civil::DateTime::strptime("%Y%m%dT%H%M%SZ", text).ok());
    let signed = signed.and_then(|time| time.to_zoned(jiff::tz::TimeZone::UTC).ok());
    signed.is_some_and(|signed| {
        clock_of_aws().duration_since(signed.timestamp()).abs() > jiff::SignedDuration::from_mins(5)
    })
}

impl State {
    /// Takes a token of a service's quota.
    fn take(&mut self, service: &str) -> bool {
        let Some((name, rate, burst)) = QUARTERS.iter().find(|(name, _, _)| *name == service) else {
            return true;
        };
        let now = Instant::now();
        let (tokens, counted) = self.tokens.entry(name).or_insert((*burst, now));
        *tokens = (*tokens + (now - *counted).as_secs_f64() * rate).min(*burst);
        *counted = now;
        let is_free = *tokens >= 1.0;
        if is_free {
            *tokens -= 1.0;
        }
        is_free
    }
}

/// Whom a request was signed for.
fn service(headers: &HeaderMap) -> String {
    let authorization = headers.get("authorization").and_then(|value| value.to_str().ok());
    let scope = authorization.and_then(|text| text.split("Credential=").nth(1));
    let name = scope.and_then(|scope| scope.split('/').nth(3));
    name.unwrap_or_default().to_owned()
}

impl Refusal {
    /// An error as a service words it: XML services have one code, JSON services another.
    fn of(headers: &HeaderMap, service: &str, status: u16, xml_code: &str, json_code: &str, message: &str) -> Self {
        let fault = format!("<Error><Type>Sender</Type><Code>{xml_code}</Code><Message>{message}</Message></Error>");
        let (content_type, body) = match service {
            "s3" => ("application/xml", fault.into_bytes()),
            "iam" | "sns" | "sts" => (
                "text/xml",
                format!("<ErrorResponse>{fault}</ErrorResponse>").into_bytes(),
            ),
            _ if headers.contains_key("smithy-protocol") => ("application/cbor", cbor(json_code, message)),
            _ => (
                "application/json",
                serde_json::json!({"__type": json_code, "message": message})
                    .to_string()
                    .into_bytes(),
            ),
        };
        let mut headers = vec![
            ("content-type", content_type.to_owned()),
            ("x-amzn-errortype", json_code.to_owned()),
        ];
        if content_type == "application/cbor" {
            headers.push(("smithy-protocol", "rpc-v2-cbor".to_owned()));
        }
        Self {
            status,
            headers,
            body: body.into(),
        }
    }
}

/// `{"__type": code, "message": message}`.
fn cbor(code: &str, message: &str) -> Vec<u8> {
    let mut bytes = vec![0xa2];
    for text in ["__type", code, "message", message] {
        // A text of less than 256 bytes.
        bytes.extend([0x78, u8::try_from(text.len()).unwrap_or(u8::MAX)]);
        bytes.extend(text.as_bytes());
    }
    bytes
}
