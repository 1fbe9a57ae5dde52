//! Cross-origin rules of buckets, as S3 applies them. Pages of other origins reach objects by these rules alone.
//!
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/cors.html>

use ::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use ::http::{Method, StatusCode};
use serde::Deserialize;

use crate::hosts::website_origin;
use crate::protocol::classify::header_text;
use crate::protocol::emulator_client::Caller;
use crate::protocol::emulator_client::EmulatorClient;

/// The rules of a bucket.
#[derive(Debug, Default, PartialEq, Deserialize)]
pub(crate) struct Cors {
    #[serde(rename = "CORSRule", default)]
    rules: Vec<Rule>,
}

/// A rule.
#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Rule {
    #[serde(rename = "AllowedOrigin", default)]
    origins: Vec<String>,
    #[serde(rename = "AllowedMethod", default)]
    methods: Vec<String>,
    #[serde(rename = "AllowedHeader", default)]
    headers: Vec<String>,
    #[serde(rename = "ExposeHeader", default)]
    exposed: Vec<String>,
    #[serde(rename = "MaxAgeSeconds", default)]
    max_age: Option<u32>,
}

/// The permissions of a page of an origin.
#[derive(Debug, PartialEq)]
pub(crate) struct Grant<'a> {
    rule: &'a Rule,
    origin: String,
}

/// The request of a page.
#[derive(Debug)]
pub(crate) struct Asked<'a> {
    origin: &'a str,
    method: &'a str,
    /// Headers that a preflight names.
    headers: Vec<String>,
}

impl<'a> Asked<'a> {
    /// The request of a page: itself, or the one that a preflight is for. `None` when it does not say where it
    /// comes from.
    pub(crate) fn of(method: &'a Method, headers: &'a HeaderMap) -> Option<Self> {
        let origin = header_text(headers, "origin")?;
        if method != Method::OPTIONS {
            return Some(Self {
                origin,
                method: method.as_str(),
                headers: Vec::new(),
            });
        }
        let named = header_text(headers, "access-control-request-headers").unwrap_or_default();
        let named = named.split(',').map(|name| name.trim().to_ascii_lowercase());
        Some(Self {
            origin,
            method: header_text(headers, "access-control-request-method")?,
            headers: named.filter(|name| !name.is_empty()).collect(),
        })
    }
}

impl Cors {
    /// Reads the rules of a bucket; one without rules has none.
    pub(crate) async fn of_bucket(emulator: &EmulatorClient, caller: &Caller, bucket: &str, website_port: u16) -> Self {
        let answer = emulator.s3(caller, Method::GET, &format!("/{bucket}?cors")).await;
        match answer {
            Ok(answer) if answer.status() == StatusCode::OK => {
                Self::parse(&String::from_utf8_lossy(answer.body())).served_here(website_port)
            }
            _ => Self::default(),
        }
    }

    /// Pages of this target's web sites come from its port.
    fn served_here(mut self, website_port: u16) -> Self {
        for rule in &mut self.rules {
            let here = rule
                .origins
                .iter()
                .filter_map(|origin| website_origin(origin, website_port));
            let here: Vec<String> = here.collect();
            rule.origins.extend(here);
        }
        self
    }

    fn parse(xml: &str) -> Self {
        quick_xml::de::from_str(xml).unwrap_or_default()
    }

    /// The permissions by the first rule that matches.
    pub(crate) fn grant(&self, asked: &Asked<'_>) -> Option<Grant<'_>> {
        let rule = self.rules.iter().find(|rule| {
            rule.origins.iter().any(|pattern| matches(pattern, asked.origin))
                && rule.methods.iter().any(|method| method == asked.method)
                && asked.headers.iter().all(|name| {
                    let allowed = rule.headers.iter().map(|pattern| pattern.to_ascii_lowercase());
                    allowed.into_iter().any(|pattern| matches(&pattern, name))
                })
        })?;
        let is_any = rule.origins.iter().any(|origin| origin == "*");
        Some(Grant {
            rule,
            origin: if is_any {
                "*".to_owned()
            } else {
                asked.origin.to_owned()
            },
        })
    }
}

impl Grant<'_> {
    /// Adds the headers that a browser looks for.
    pub(crate) fn apply(&self, headers: &mut HeaderMap, preflight: Option<&Asked<'_>>) {
        let mut set = |name: HeaderName, value: String| {
            if let Ok(value) = HeaderValue::from_str(&value) {
                headers.insert(name, value);
            }
        };
        set(header::ACCESS_CONTROL_ALLOW_ORIGIN, self.origin.clone());
        set(header::ACCESS_CONTROL_ALLOW_METHODS, self.rule.methods.join(", "));
        if self.origin != "*" {
            set(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, "true".to_owned());
        }
        if !self.rule.exposed.is_empty() {
            set(header::ACCESS_CONTROL_EXPOSE_HEADERS, self.rule.exposed.join(", "));
        }
        if let Some(asked) = preflight {
            if !asked.headers.is_empty() {
                set(header::ACCESS_CONTROL_ALLOW_HEADERS, asked.headers.join(", "));
            }
            if let Some(seconds) = self.rule.max_age {
                set(header::ACCESS_CONTROL_MAX_AGE, seconds.to_string());
            }
        }
        let vary = "Origin, Access-Control-Request-Headers, Access-Control-Request-Method";
        set(header::VARY, vary.to_owned());
    }
}

/// Removes the CORS headers of an answer.
pub(crate) fn forget(headers: &mut HeaderMap) {
    let names: Vec<HeaderName> = headers.keys().cloned().collect();
    for name in names.iter().filter(|name| name.as_str().starts_with("access-control-")) {
        headers.remove(name);
    }
}

/// Whether a pattern with at most one `*` is a text.
fn matches(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        Some((before, after)) => {
            text.len() >= before.len() + after.len() && text.starts_with(before) && text.ends_with(after)
        }
        None => pattern == text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const XML: &str = "<?xml version=\"1.0\"?><CORSConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><CORSRule><AllowedOrigin>http://localhost:1580</AllowedOrigin><AllowedOrigin>http://*.example.com</AllowedOrigin><AllowedMethod>PUT</AllowedMethod><AllowedHeader>Content-*</AllowedHeader><ExposeHeader>ETag</ExposeHeader><MaxAgeSeconds>600</MaxAgeSeconds></CORSRule><CORSRule><AllowedOrigin>*</AllowedOrigin><AllowedMethod>GET</AllowedMethod></CORSRule></CORSConfiguration>";

    fn check(origin: &str, method: &str, headers: &[&str], expected: Option<&str>) {
        let cors = Cors::parse(XML);
        let asked = Asked {
            origin,
            method,
            headers: headers.iter().map(|name| (*name).to_owned()).collect(),
        };
        let granted = cors.grant(&asked).map(|grant| grant.origin);
        assert_eq!(granted.as_deref(), expected, "{origin} {method} {headers:?}");
    }

    #[test]
    fn the_first_rule_that_fits_decides() {
        check(
            "http://localhost:1580",
            "PUT",
            &["content-type"],
            Some("http://localhost:1580"),
        );
        check("http://a.example.com", "PUT", &[], Some("http://a.example.com"));
        check("http://a.example.com", "PUT", &["x-other"], None);
        check("http://evil.example", "PUT", &[], None);
        check("http://evil.example", "GET", &[], Some("*"));
        check("http://localhost:1580", "DELETE", &[], None);
        check("null", "PUT", &[], None);
    }

    #[test]
    fn pages_of_web_sites_come_from_their_port() {
        let cors = Cors::parse(XML).served_here(1590);
        let granted = |origin| {
            let asked = Asked {
                origin,
                method: "PUT",
                headers: Vec::new(),
            };
            cors.grant(&asked).is_some()
        };
        assert!(granted("http://localhost:1590") && granted("http://localhost:1580"));
        assert!(!granted("http://localhost:1591"));
    }

    #[test]
    fn a_bucket_without_rules_lets_no_page_in() {
        assert_eq!(Cors::parse("<Error/>"), Cors::default());
        assert_eq!(Cors::parse(""), Cors::default());
    }
}
