//! The services' rules for physical names given in a template, and for regions.

use regex_lite::Regex;

use crate::template::fault::{Code, Fault, Span};
use crate::template::names::longest;
use crate::template::tree::shorten;

/// A table: 3 to 255 of `[a-zA-Z0-9_.-]`.
pub(super) fn table(name: &str, span: Span) -> Result<(), Fault> {
    follow(
        name,
        span,
        "a DynamoDB table",
        3,
        longest::TABLE,
        "^[a-zA-Z0-9_.-]+$",
        "a-z, A-Z, 0-9, `_`, `.` and `-`",
    )
}

/// A function: 1 to 64 of `[a-zA-Z0-9-_]`.
pub(super) fn function(name: &str, span: Span) -> Result<(), Fault> {
    follow(
        name,
        span,
        "a Lambda function",
        1,
        longest::FUNCTION,
        "^[a-zA-Z0-9_-]+$",
        "a-z, A-Z, 0-9, `_` and `-`",
    )
}

/// An HTTP API: 1 to 128 characters.
pub(super) fn api(name: &str, span: Span) -> Result<(), Fault> {
    follow(
        name,
        span,
        "an HTTP API",
        1,
        longest::API,
        "^[ -~]+$",
        "printable ASCII",
    )
}

/// An alarm: 1 to 255 characters.
pub(super) fn alarm(name: &str, span: Span) -> Result<(), Fault> {
    follow(
        name,
        span,
        "a CloudWatch alarm",
        1,
        longest::ALARM,
        "^[ -~]+$",
        "printable ASCII",
    )
}

/// A topic: 1 to 256 of `[a-zA-Z0-9_-]`.
pub(super) fn topic(name: &str, span: Span) -> Result<(), Fault> {
    follow(
        name,
        span,
        "an SNS topic",
        1,
        longest::TOPIC,
        "^[a-zA-Z0-9_-]+$",
        "a-z, A-Z, 0-9, `_` and `-`",
    )
}

/// A dashboard: 1 to 255 of `[a-zA-Z0-9_-]`.
pub(super) fn dashboard(name: &str, span: Span) -> Result<(), Fault> {
    follow(
        name,
        span,
        "a CloudWatch dashboard",
        1,
        longest::DASHBOARD,
        "^[a-zA-Z0-9_-]+$",
        "a-z, A-Z, 0-9, `_` and `-`",
    )
}

/// A bucket. <https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html>
pub(super) fn bucket(name: &str, span: Span) -> Result<(), Fault> {
    follow(
        name,
        span,
        "an S3 bucket",
        3,
        longest::BUCKET,
        "^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$",
        "a-z, 0-9, `-` and `.`, beginning and ending with a letter or digit",
    )?;
    let refused = |why: &str| {
        Err(Fault::error(
            Code::BadName,
            format!("`{}` cannot be the name of an S3 bucket: {why}", shorten(name)),
        )
        .at(span))
    };
    if name.contains("..") {
        return refused("it has two dots in a row");
    }
    if name.split('.').count() == 4 && name.split('.').all(|part| part.parse::<u8>().is_ok()) {
        return refused("it looks like an IP address");
    }
    if let Some(prefix) = ["xn--", "sthree-", "amzn-s3-demo-"]
        .into_iter()
        .find(|prefix| name.starts_with(prefix))
    {
        return refused(&format!("S3 keeps the beginning `{prefix}` for itself"));
    }
    let reserved = ["-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3"];
    if let Some(suffix) = reserved.into_iter().find(|suffix| name.ends_with(suffix)) {
        return refused(&format!("S3 keeps the ending `{suffix}` for itself"));
    }
    Ok(())
}

fn follow(
    name: &str,
    span: Span,
    what: &str,
    shortest: usize,
    longest: usize,
    pattern: &str,
    allowed: &str,
) -> Result<(), Fault> {
    let length = name.chars().count();
    let help = format!("allowed: {shortest} to {longest} of {allowed}");
    if length > longest {
        let message = format!(
            "`{}` has {length} characters; the name of {what} has at most {longest}",
            shorten(name)
        );
        return Err(Fault::error(Code::NameTooLong, message).at(span).help(help));
    }
    if length < shortest || !Regex::new(pattern).is_ok_and(|pattern| pattern.is_match(name)) {
        return Err(Fault::error(
            Code::BadName,
            format!("`{}` cannot be the name of {what}", shorten(name)),
        )
        .at(span)
        .help(help));
    }
    Ok(())
}

/// Beginnings of the regions of all partitions.
/// <https://docs.aws.amazon.com/whitepapers/latest/aws-fault-isolation-boundaries/partitions.html>
const AREAS: &[&str] = &["us", "eu", "ap", "sa", "ca", "me", "af", "il", "mx", "cn", "eusc"];

/// A region that follows the form and belongs to no partition is probably misspelt.
pub(super) fn region(name: &str, span: Span) -> Option<Fault> {
    let area = name.split('-').next().unwrap_or_default();
    if area.is_empty() || AREAS.contains(&area) {
        return None;
    }
    Some(
        Fault::warning(
            Code::Suspicious,
            format!("no AWS partition has regions that begin with `{}-`", shorten(area)),
        )
        .at(span)
        .help(format!("regions begin with one of: {}", AREAS.join(", "))),
    )
}
