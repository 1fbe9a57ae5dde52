//! The services' rules for physical names, and for regions.

use crate::template::fault::{Code, Fault, Span};
use crate::template::grammar::{TextRule, did_you_mean, matches};
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

/// The regions of all partitions, those of AWS's isolated ones included.
/// <https://docs.aws.amazon.com/global-infrastructure/latest/regions/aws-regions.html>
const REGIONS: &[&str] = &[
    "af-south-1",
    "ap-east-1",
    "ap-east-2",
    "ap-northeast-1",
    "ap-northeast-2",
    "ap-northeast-3",
    "ap-south-1",
    "ap-south-2",
    "ap-southeast-1",
    "ap-southeast-2",
    "ap-southeast-3",
    "ap-southeast-4",
    "ap-southeast-5",
    "ap-southeast-6",
    "ap-southeast-7",
    "ca-central-1",
    "ca-west-1",
    "cn-north-1",
    "cn-northwest-1",
    "eu-central-1",
    "eu-central-2",
    "eu-isoe-west-1",
    "eu-north-1",
    "eu-south-1",
    "eu-south-2",
    "eu-west-1",
    "eu-west-2",
    "eu-west-3",
    "eusc-de-east-1",
    "il-central-1",
    "me-central-1",
    "me-south-1",
    "mx-central-1",
    "sa-east-1",
    "us-east-1",
    "us-east-2",
    "us-gov-east-1",
    "us-gov-west-1",
    "us-iso-east-1",
    "us-iso-west-1",
    "us-isob-east-1",
    "us-isob-west-1",
    "us-isof-east-1",
    "us-isof-south-1",
    "us-west-1",
    "us-west-2",
];

/// Places by which people know regions.
const PLACES: &[(&str, &str)] = &[
    ("bahrain", "me-south-1"),
    ("bangkok", "ap-southeast-7"),
    ("beijing", "cn-north-1"),
    ("calgary", "ca-west-1"),
    ("california", "us-west-1"),
    ("cape town", "af-south-1"),
    ("dublin", "eu-west-1"),
    ("frankfurt", "eu-central-1"),
    ("hong kong", "ap-east-1"),
    ("hyderabad", "ap-south-2"),
    ("ireland", "eu-west-1"),
    ("jakarta", "ap-southeast-3"),
    ("london", "eu-west-2"),
    ("melbourne", "ap-southeast-4"),
    ("milan", "eu-south-1"),
    ("montreal", "ca-central-1"),
    ("mumbai", "ap-south-1"),
    ("ningxia", "cn-northwest-1"),
    ("ohio", "us-east-2"),
    ("oregon", "us-west-2"),
    ("osaka", "ap-northeast-3"),
    ("paris", "eu-west-3"),
    ("sao paulo", "sa-east-1"),
    ("seoul", "ap-northeast-2"),
    ("singapore", "ap-southeast-1"),
    ("spain", "eu-south-2"),
    ("stockholm", "eu-north-1"),
    ("sydney", "ap-southeast-2"),
    ("taipei", "ap-east-2"),
    ("tel aviv", "il-central-1"),
    ("tokyo", "ap-northeast-1"),
    ("virginia", "us-east-1"),
    ("zurich", "eu-central-2"),
];

/// Whether a partition has, or may come to have, this region. AWS opens regions: one that differs from a known one by its last
/// digit is let through.
pub(crate) fn is_region(name: &str) -> bool {
    let area = |region: &str| match region.rsplit_once('-') {
        Some((area, number)) if number.len() == 1 => Some(area.to_owned()),
        _ => None,
    };
    REGIONS.contains(&name)
        || area(name).is_some_and(|own| REGIONS.iter().any(|known| area(known).as_ref() == Some(&own)))
}

/// What to write instead of something that is no region.
pub(crate) fn region_help(name: &str) -> Vec<String> {
    let place = name.to_lowercase().replace(['-', '_'], " ");
    let known = PLACES.iter().find(|(known, _)| *known == place);
    let meant = match known {
        Some((_, region)) => Some(format!("did you mean `{region}`?")),
        None => did_you_mean(name, REGIONS.iter().copied()),
    };
    let shape = "regions look like eu-central-1: `aws account list-regions` shows those there are".to_owned();
    meant.into_iter().chain([shape]).collect()
}

/// A region of the template that no partition has.
pub(super) fn region(name: &str, span: Span) -> Option<Fault> {
    // Its form has been refused with the words of the template.
    if RegionName::check(name, span).is_err() || is_region(name) {
        return None;
    }
    let fault = Fault::error(Code::BadValue, format!("`{}` is not a region of AWS", shorten(name))).at(span);
    Some(region_help(name).into_iter().fold(fault, Fault::help))
}
