//! What requests call a function, and what qualifies it. Pure.
//! <https://docs.aws.amazon.com/lambda/latest/api/API_GetFunction.html>

use super::Owner;
use super::rules::{constraint, invalid, missing};
use crate::services::Fault;

/// Longest `FunctionName`, ARNs included.
const LONGEST: usize = 140;
/// Longest name of a function itself.
const LONGEST_NAME: usize = 64;
const NAME_PATTERN: &str = r"(arn:(aws[a-zA-Z-]*)?:lambda:)?((eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:)?(\d{12}:)?(function:)?([a-zA-Z0-9-_\.]+)(:(\$LATEST(\.PUBLISHED)?|[a-zA-Z0-9-_]+))?";
const NEW_NAME_PATTERN: &str = r"(arn:(aws[a-zA-Z-]*)?:lambda:)?((eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:)?(\d{12}:)?(function:)?([a-zA-Z0-9-_]+)(:(\$LATEST|[a-zA-Z0-9-_]+))?";
const QUALIFIER_PATTERN: &str = r"\$(LATEST(\.PUBLISHED)?)|[a-zA-Z0-9-_$]+";
const RESOURCE_PATTERN: &str = r"arn:(aws[a-zA-Z-]*):lambda:(eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:\d{12}:(function:[a-zA-Z0-9-_]+(:(\$LATEST|[a-zA-Z0-9-_]+))?|layer:([a-zA-Z0-9-_]+)|code-signing-config:csc-[a-z0-9]{17}|event-source-mapping:[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}|capacity-provider:[a-zA-Z0-9-_]+)";

/// The parts of `name`, `name:qualifier`, `account:function:name`, or an ARN.
#[derive(Debug, PartialEq)]
struct Parts<'text> {
    region: Option<&'text str>,
    account: Option<&'text str>,
    name: &'text str,
    qualifier: Option<&'text str>,
}

/// The name and qualifier that a request gives a function of `owner`, in its path.
pub(super) fn parse_name(owner: Owner<'_>, text: &str) -> Result<(String, Option<String>), Fault> {
    let parts = split(text).ok_or_else(|| malformed(text, NAME_PATTERN))?;
    checked(owner, text, &parts)
}

/// The name of a function that is made.
pub(super) fn new_name(owner: Owner<'_>, text: &str) -> Result<String, Fault> {
    let parts = split(text).ok_or_else(|| malformed(text, NEW_NAME_PATTERN))?;
    if parts.name.contains('.') {
        return Err(malformed(text, NEW_NAME_PATTERN));
    }
    let (name, _) = checked(owner, text, &parts)?;
    if name.len() > LONGEST_NAME {
        // Its own check, not that of the front, which takes ARNs.
        return Err(invalid(format!(
            "1 validation error detected: Value '{name}' at 'functionName' failed to satisfy constraint: Member must have length \
             less than or equal to {LONGEST_NAME}"
        )));
    }
    Ok(name)
}

/// The function that tags are for, named by its ARN.
pub(super) fn tagged_name(owner: Owner<'_>, arn: &str) -> Result<String, Fault> {
    let malformed = || {
        let rule = format!("Member must satisfy regular expression pattern: {RESOURCE_PATTERN}");
        constraint(arn, "resource", &rule)
    };
    let fields: Vec<&str> = arn.splitn(6, ':').collect();
    let ["arn", _, "lambda", region, account, resource] = fields.as_slice() else {
        return Err(malformed());
    };
    let is_plain = |name: &str| !name.is_empty() && name.chars().all(is_name_character);
    if !is_region(region) || !is_account(account) {
        return Err(malformed());
    }
    match resource.split(':').collect::<Vec<_>>().as_slice() {
        ["event-source-mapping", id] if uuid::Uuid::try_parse(id).is_ok() => {
            Err(missing(format!("Event source mapping not found: {arn}")))
        }
        ["capacity-provider", name] if is_plain(name) => Err(missing(format!("Capacity provider not found: {arn}"))),
        ["function", name] if is_plain(name) => parse_name(owner, arn).map(|(name, _)| name),
        ["function", name, qualifier] if is_plain(name) && (*qualifier == "$LATEST" || is_plain(qualifier)) => Err(
            invalid("Tags on function aliases and versions are not supported. Please specify a function ARN."),
        ),
        _ => Err(malformed()),
    }
}

/// The qualifier of a request: that of its query, which must not contradict the one in its name.
pub(super) fn one_qualifier(of_name: Option<String>, of_query: Option<String>) -> Result<Option<String>, Fault> {
    let of_query = of_query.filter(|text| !text.is_empty());
    if let Some(text) = &of_query {
        let is_latest = matches!(text.as_str(), "$LATEST" | "$LATEST.PUBLISHED");
        if !is_latest && !text.chars().all(|c| is_name_character(c) || c == '$') {
            let rule = format!("Member must satisfy regular expression pattern: {QUALIFIER_PATTERN}");
            return Err(constraint(text, "qualifier", &rule));
        }
    }
    match (of_name, of_query) {
        (Some(name), Some(query)) if name != query => Err(invalid(
            "The derived qualifier from the function name does not match the specified qualifier.",
        )),
        (name, query) => Ok(query.or(name)),
    }
}

/// Whether a qualifier can be the name of an alias: neither a version nor `$LATEST`.
pub(super) fn names_alias(qualifier: &str) -> bool {
    !qualifier.chars().all(|c| c.is_ascii_digit()) && qualifier.chars().all(is_name_character)
}

fn checked(owner: Owner<'_>, text: &str, parts: &Parts<'_>) -> Result<(String, Option<String>), Fault> {
    if text.len() > LONGEST {
        let rule = format!("Member must have length less than or equal to {LONGEST}");
        return Err(constraint(text, "functionName", &rule));
    }
    if let Some(region) = parts.region.filter(|region| *region != owner.region) {
        return Err(missing(format!(
            "Functions from '{region}' are not reachable in this region ('{}')",
            owner.region
        )));
    }
    if parts.account.is_some_and(|account| account != owner.account) {
        let message = format!(
            "User: arn:aws:iam::{}:root is not authorized to perform this action on resource: {text} because no resource-based \
             policy allows it",
            owner.account
        );
        return Err(Fault::new(403, "AccessDeniedException", message));
    }
    Ok((parts.name.to_owned(), parts.qualifier.map(str::to_owned)))
}

fn malformed(text: &str, pattern: &str) -> Fault {
    let rule = format!("Member must satisfy regular expression pattern: {pattern}");
    constraint(text, "functionName", &rule)
}

/// Splits by the pattern of `FunctionName`. `None` where it does not match.
fn split(text: &str) -> Option<Parts<'_>> {
    let all: Vec<&str> = text.split(':').collect();
    let mut rest = all.as_slice();
    if let ["arn", partition, "lambda", ..] = rest {
        let is_partition =
            partition.starts_with("aws") && partition.chars().all(|c| c.is_ascii_alphabetic() || c == '-');
        if !is_partition {
            return None;
        }
        rest = &rest[3..];
    }
    let mut optional = |matches: &dyn Fn(&str) -> bool| match rest {
        [first, after @ ..] if !after.is_empty() && matches(first) => {
            rest = after;
            Some(*first)
        }
        _ => None,
    };
    let region = optional(&is_region);
    let account = optional(&is_account);
    optional(&|text| text == "function");
    let is_name = |name: &str| !name.is_empty() && name.chars().all(|c| is_name_character(c) || c == '.');
    let is_qualifier = |text: &str| {
        matches!(text, "$LATEST" | "$LATEST.PUBLISHED") || (!text.is_empty() && text.chars().all(is_name_character))
    };
    let (name, qualifier) = match rest {
        [name] => (*name, None),
        [name, qualifier] if is_qualifier(qualifier) => (*name, Some(*qualifier)),
        _ => return None,
    };
    is_name(name).then_some(Parts {
        region,
        account,
        name,
        qualifier,
    })
}

fn is_name_character(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '-' || c == '_'
}

fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// `eu-central-1`, `us-gov-west-1`.
fn is_region(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let (Some(last), true) = (parts.last(), parts.len() >= 3) else {
        return false;
    };
    let names = &parts[..parts.len() - 1];
    let is_word = |word: &&str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase());
    last.len() == 1 && last.bytes().all(|byte| byte.is_ascii_digit()) && names.iter().all(is_word)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test ends where something is wrong")]

    use super::*;
    use crate::services::lambda::TEST_OWNER as OWNER;

    fn refusal(text: &str) -> (u16, &'static str) {
        let fault = parse_name(OWNER, text).unwrap_err();
        (fault.status, fault.code)
    }

    #[test]
    fn names() {
        let check = |text: &str, name: &str, qualifier: Option<&str>| {
            let expected = (name.to_owned(), qualifier.map(str::to_owned));
            assert_eq!(parse_name(OWNER, text), Ok(expected), "{text}");
        };
        check("f", "f", None);
        check("f:v1", "f", Some("v1"));
        check("function:f", "f", None);
        check("arn:aws:lambda:eu-central-1:000000000000:function:f", "f", None);
        check(
            "arn:aws:lambda:eu-central-1:000000000000:function:f:$LATEST",
            "f",
            Some("$LATEST"),
        );
        check("000000000000:function:f:3", "f", Some("3"));
        for text in [
            "",
            "a b",
            "a:b:c",
            "f:$OTHER",
            "arn:aws:lambda:eu-central-1:1@function:f",
        ] {
            assert_eq!(refusal(text), (400, "ValidationException"), "{text}");
        }
    }

    #[test]
    fn functions_of_other_regions_and_accounts_are_not_the_own_ones() {
        let other = "arn:aws:lambda:us-east-1:000000000000:function:f";
        assert_eq!(refusal(other), (404, "ResourceNotFoundException"));
        let other = "arn:aws:lambda:eu-central-1:111111111111:function:f";
        assert_eq!(refusal(other), (403, "AccessDeniedException"));
    }

    #[test]
    fn name_and_qualifier_agree() {
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(one_qualifier(text("1"), text("1")), Ok(text("1")));
        assert_eq!(one_qualifier(None, text("live")), Ok(text("live")));
        assert_eq!(one_qualifier(text("1"), None), Ok(text("1")));
        assert!(one_qualifier(text("1"), text("2")).is_err());
        assert!(one_qualifier(None, text("a?")).is_err());
    }

    #[test]
    fn tags_are_of_functions() {
        let arn = |rest: &str| format!("arn:aws:lambda:eu-central-1:000000000000:{rest}");
        assert_eq!(tagged_name(OWNER, &arn("function:f")), Ok("f".to_owned()));
        for (rest, code) in [
            ("function:f:1", "InvalidParameterValueException"),
            ("other:f", "ValidationException"),
            ("capacity-provider:p", "ResourceNotFoundException"),
        ] {
            assert_eq!(tagged_name(OWNER, &arn(rest)).unwrap_err().code, code, "{rest}");
        }
    }
}
