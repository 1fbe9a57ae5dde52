//! The services' rules for physical names, and for regions.

use crate::template::fault::{Code, Fault, Span};
use crate::template::grammar::{TextRule, matches};
use crate::template::language::RegionName;
use crate::template::names::{Names, longest};
use crate::template::tree::shorten;

/// A kind of resource as far as its names go.
pub(super) struct Naming {
    /// What it is, with its article.
    pub(super) what: &'static str,
    shortest: usize,
    longest: usize,
    pattern: &'static str,
    allowed: &'static str,
    /// Why a name that follows all this is refused nevertheless.
    refusal: fn(&str) -> Option<String>,
    /// The name when the template gives none.
    pub(super) derived: fn(&Names<'_>, &str) -> String,
}

const WORDS: &str = "a-z, A-Z, 0-9, `_` and `-`";

/// Names of tables.
pub(super) const TABLE: Naming = Naming {
    what: "a DynamoDB table",
    shortest: 3,
    longest: longest::TABLE,
    pattern: "^[a-zA-Z0-9_.-]+$",
    allowed: "a-z, A-Z, 0-9, `_`, `.` and `-`",
    refusal: |_| None,
    derived: |names, logical| names.table(logical),
};

/// Names of buckets. <https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html>
pub(super) const BUCKET: Naming = Naming {
    what: "an S3 bucket",
    shortest: 3,
    longest: longest::BUCKET,
    pattern: "^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$",
    allowed: "a-z, 0-9, `-` and `.`, beginning and ending with a letter or digit",
    refusal: bucket_refusal,
    derived: |names, logical| names.bucket(logical),
};

/// Names of functions.
pub(super) const FUNCTION: Naming = Naming {
    what: "a Lambda function",
    shortest: 1,
    longest: longest::FUNCTION,
    pattern: "^[a-zA-Z0-9_-]+$",
    allowed: WORDS,
    refusal: |_| None,
    derived: |names, logical| names.function(logical),
};

/// Names of HTTP APIs.
pub(super) const API: Naming = Naming {
    what: "an HTTP API",
    shortest: 1,
    longest: longest::API,
    pattern: "^[ -~]+$",
    allowed: "printable ASCII",
    refusal: |_| None,
    derived: |names, _| names.api(),
};

/// Names of alarms.
pub(super) const ALARM: Naming = Naming {
    what: "a CloudWatch alarm",
    shortest: 1,
    longest: longest::ALARM,
    pattern: "^[ -~]+$",
    allowed: "printable ASCII",
    refusal: |_| None,
    derived: |names, logical| names.alarm(logical),
};

/// Names of topics.
pub(super) const TOPIC: Naming = Naming {
    what: "an SNS topic",
    shortest: 1,
    longest: longest::TOPIC,
    pattern: "^[a-zA-Z0-9_-]+$",
    allowed: WORDS,
    refusal: |_| None,
    derived: |names, logical| names.topic(logical),
};

/// Names of dashboards.
pub(super) const DASHBOARD: Naming = Naming {
    what: "a CloudWatch dashboard",
    shortest: 1,
    longest: longest::DASHBOARD,
    pattern: "^[a-zA-Z0-9_-]+$",
    allowed: WORDS,
    refusal: |_| None,
    derived: |names, logical| names.dashboard(logical),
};

impl Naming {
    /// Checks a name by the service's rule.
    pub(super) fn check(&self, name: &str, span: Span) -> Result<(), Fault> {
        let Self {
            what,
            shortest,
            longest,
            pattern,
            allowed,
            refusal,
            derived: _,
        } = self;
        let length = name.chars().count();
        let help = format!("allowed: {shortest} to {longest} of {allowed}");
        if length > *longest {
            let message = format!(
                "`{}` has {length} characters; the name of {what} has at most {longest}",
                shorten(name)
            );
            return Err(Fault::error(Code::NameTooLong, message).at(span).help(help));
        }
        if length < *shortest || !matches(pattern, name) {
            let message = format!("`{}` cannot be the name of {what}", shorten(name));
            return Err(Fault::error(Code::BadName, message).at(span).help(help));
        }
        match refusal(name) {
            Some(why) => {
                Err(Fault::error(Code::BadName, format!("`{name}` cannot be the name of {what}: {why}")).at(span))
            }
            None => Ok(()),
        }
    }
}

fn bucket_refusal(name: &str) -> Option<String> {
    if name.contains("..") {
        return Some("it has two dots in a row".to_owned());
    }
    if name.split('.').count() == 4 && name.split('.').all(|part| part.parse::<u8>().is_ok()) {
        return Some("it looks like an IP address".to_owned());
    }
    let beginnings = ["xn--", "sthree-", "amzn-s3-demo-"];
    if let Some(beginning) = beginnings.into_iter().find(|beginning| name.starts_with(beginning)) {
        return Some(format!("S3 keeps the beginning `{beginning}` for itself"));
    }
    let endings = ["-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3"];
    let ending = endings.into_iter().find(|ending| name.ends_with(ending))?;
    Some(format!("S3 keeps the ending `{ending}` for itself"))
}

/// Beginnings of the regions of all partitions.
/// <https://docs.aws.amazon.com/whitepapers/latest/aws-fault-isolation-boundaries/partitions.html>
const AREAS: &[&str] = &["us", "eu", "ap", "sa", "ca", "me", "af", "il", "mx", "cn", "eusc"];

/// A region that follows the form and belongs to no partition is probably misspelt.
pub(super) fn region(name: &str, span: Span) -> Option<Fault> {
    let area = name.split('-').next().unwrap_or_default();
    if AREAS.contains(&area) || RegionName::check(name, span).is_err() {
        return None;
    }
    let message = format!("no AWS partition has regions that begin with `{}-`", shorten(area));
    let help = format!("regions begin with one of: {}", AREAS.join(", "));
    Some(Fault::warning(Code::Suspicious, message).at(span).help(help))
}
