//! Keys of routes, as API Gateway takes them: a method and a path of whole parts.
//!
//! What the documentation leaves open is as AWS's own re-implementation has it:
//! <https://github.com/aws/aws-lambda-dotnet/blob/master/Tools/LambdaTestTool-v2/src/Amazon.Lambda.TestTool/Services/ApiGatewayRouteConfigService.cs>

use std::collections::BTreeSet;

use crate::template::fault::{Code, Fault, Span};
use crate::template::grammar::did_you_mean;

/// Methods of a route. <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-routes.html>
const METHODS: &[&str] = &["ANY", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"];

/// The requests that a route takes: its key with the names of parameters left out. A fault comes boxed, since it is large.
pub(super) fn pattern(key: &str, span: Span) -> Result<String, Box<Fault>> {
    if key == "$default" {
        return Ok(key.to_owned());
    }
    // A key without a space has been refused with the words of the template.
    let (method, path) = key.split_once(' ').unwrap_or((key, "/"));
    let refuse = |message: String, help: &str| Box::new(Fault::error(Code::BadValue, message).at(span).help(help));
    if !METHODS.contains(&method) {
        let fault = Fault::error(Code::BadValue, format!("`{method}` is not a method of a route")).at(span);
        return Err(Box::new(
            fault
                .maybe_help(did_you_mean(method, METHODS.iter().copied()))
                .help(format!("allowed: {}", METHODS.join(", "))),
        ));
    }
    let Some(rest) = path.strip_prefix('/') else {
        return Err(refuse(
            format!("the path `{path}` does not begin with `/`"),
            "write `GET /tasks`",
        ));
    };
    if rest == "preview" || rest.starts_with("preview/") {
        return Err(refuse(
            format!("`{path}` would never be reached: `/preview` is the slot where releases wait"),
            "choose another path",
        ));
    }
    if rest.is_empty() {
        return Ok(format!("{method} /"));
    }
    if rest.ends_with('/') {
        return Err(refuse(
            format!("the path `{path}` ends with `/`, which API Gateway refuses"),
            "leave the last `/` out; `/path/{proxy+}` takes what follows it",
        ));
    }
    let mut pattern = format!("{method} ");
    let mut parameters = BTreeSet::new();
    let last = rest.split('/').count() - 1;
    for (index, part) in rest.split('/').enumerate() {
        let part = Part::parse(part).map_err(|(message, help)| refuse(message, help))?;
        if let Part::Parameter(name) | Part::Greedy(name) = part
            && !parameters.insert(name)
        {
            return Err(refuse(
                format!("the path has the parameter `{name}` twice"),
                "give each its own name",
            ));
        }
        pattern.push('/');
        match part {
            Part::Plain(text) => pattern.push_str(text),
            Part::Parameter(_) => pattern.push_str("{}"),
            Part::Greedy(name) if index != last => {
                return Err(refuse(
                    format!("`{{{name}+}}` takes the whole rest and must come last"),
                    "move it to the end",
                ));
            }
            Part::Greedy(_) => pattern.push_str("{+}"),
        }
    }
    Ok(pattern)
}

/// The text between two slashes.
#[derive(Clone, Copy)]
enum Part<'a> {
    Plain(&'a str),
    Parameter(&'a str),
    Greedy(&'a str),
}

impl<'a> Part<'a> {
    fn parse(part: &'a str) -> Result<Self, (String, &'static str)> {
        let Some(name) = part.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) else {
            return match part {
                "" => Err((
                    "a part of the path is empty".to_owned(),
                    "write one `/` between two parts",
                )),
                _ if part.contains(['{', '}']) => Err((
                    format!("`{part}` mixes a parameter with text"),
                    "a parameter is a whole segment: `/tasks/{taskId}`",
                )),
                _ if !part.bytes().all(is_plain) => Err((
                    format!("`{part}` has characters that API Gateway refuses in a route"),
                    "allowed: letters, digits, `-`, `_`, `.` and `:`; a parameter, `/{name}`, takes any other",
                )),
                _ => Ok(Self::Plain(part)),
            };
        };
        let (name, is_greedy) = name.strip_suffix('+').map_or((name, false), |name| (name, true));
        if name.is_empty() || !name.bytes().all(is_plain) {
            return Err((
                format!("`{part}` is not a path parameter"),
                "a parameter's name has letters, digits, `-`, `_`, `.` and `:`",
            ));
        }
        Ok(match is_greedy {
            true => Self::Greedy(name),
            false => Self::Parameter(name),
        })
    }
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What API Gateway takes is taken, what it refuses is refused.
    #[test]
    fn routes_are_those_that_api_gateway_takes() {
        let taken = [
            "$default",
            "GET /",
            "ANY /{proxy+}",
            "GET /a-b/_c/d.e/f:g",
            "PATCH /tasks/{taskId}/items/{item.id}",
            "GET /files/{rest+}",
            "GET /{a:b}",
        ];
        for key in taken {
            assert!(pattern(key, Span::default()).is_ok(), "{key}");
        }
        let refused = [
            "GET /metrics/",
            "GET //",
            "GET /a//b",
            "GET /files/*",
            "GET /a~b",
            "GET /100%25",
            "GET /@me",
            "GET /it's(ok)!",
            "GET /a,b",
            "GET /a;b",
            "GET /a=b",
            "GET /a&b",
            "GET /a+b",
            "GET /$metadata",
            "GET /über",
            "GET /{a}{b}",
            "GET /{proxy+}/",
            "TRACE /a",
            "get /a",
        ];
        for key in refused {
            assert!(pattern(key, Span::default()).is_err(), "{key}");
        }
    }
}
