//! What the front of the service checks in an input before anything else, all of it together. Pure.

use serde_json::Value;

use super::Owner;
use super::rules::{deprecated, invalid, malformed};
use crate::services::Fault;

/// Runtimes that functions can be made with, in the service's order.
const RUNTIMES: [&str; 25] = [
    "nodejs20.x",
    "python3.14",
    "provided.al2023",
    "python3.12",
    "python3.13",
    "nodejs24.x",
    "nodejs22.x",
    "java25",
    "python3.10",
    "python3.11",
    "java21",
    "ruby3.3",
    "ruby3.4",
    "ruby3.2",
    "python3.8",
    "python3.9",
    "java17",
    "nodejs16.x",
    "dotnet10",
    "dotnet8",
    "java11",
    "dotnet6",
    "nodejs18.x",
    "provided.al2",
    "java8.al2",
];
/// Runtimes that functions could be made with once.
/// <https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtimes.html#runtimes-deprecated>
const DEPRECATED: [&str; 21] = [
    "dotnetcore1.0",
    "dotnetcore2.0",
    "dotnetcore2.1",
    "dotnetcore3.1",
    "go1.x",
    "java8",
    "nodejs",
    "nodejs10.x",
    "nodejs12.x",
    "nodejs14.x",
    "nodejs4.3",
    "nodejs4.3-edge",
    "nodejs6.10",
    "nodejs8.10",
    "provided",
    "python2.7",
    "python3.6",
    "python3.7",
    "ruby2.5",
    "ruby2.7",
    "dotnet5.0",
];
const LAYER_PATTERN: &str = r"(arn:(aws[a-zA-Z-]*)?:lambda:(eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:\d{12}:layer:[a-zA-Z0-9-_]+:[0-9]+)|(arn:[a-zA-Z0-9-]+:lambda:::awslayer:[a-zA-Z0-9-_]+)";
const ROLE_PATTERN: &str = r"arn:(aws[a-zA-Z-]*)?:iam::\d{12}:role/?[a-zA-Z_0-9+=,.@\-_/]+";

/// Checks the members of `CreateFunction` and `UpdateFunction…` that their shapes bound.
pub(super) fn check_function(input: &Value) -> Result<(), Fault> {
    let mut faults = Vec::new();
    let mut fault = |value: String, member: &str, rule: String| {
        faults.push(format!(
            "Value '{value}' at '{member}' failed to satisfy constraint: {rule}"
        ));
    };
    if let Some(given) = list(&input["Architectures"]) {
        let known = given.iter().all(|name| matches!(*name, "x86_64" | "arm64"));
        if !known {
            let rule = "Member must satisfy constraint: [Member must satisfy enum value set: [x86_64, arm64], Member must not be null]";
            fault(shown(&given), "architectures", rule.to_owned());
        } else if given.len() > 1 {
            fault(
                shown(&given),
                "architectures",
                "Member must have length less than or equal to 1".to_owned(),
            );
        }
    }
    if let Some(role) = input["Role"].as_str().filter(|role| !is_role(role)) {
        let rule = format!("Member must satisfy regular expression pattern: {ROLE_PATTERN}");
        fault(role.to_owned(), "role", rule);
    }
    if let Some(apply) = input["SnapStart"]["ApplyOn"].as_str()
        && !matches!(apply, "PublishedVersions" | "None")
    {
        let rule = "Member must satisfy enum value set: [PublishedVersions, None]";
        fault(apply.to_owned(), "snapStart.applyOn", rule.to_owned());
    }
    if let Some(layers) = list(&input["Layers"])
        && !layers.iter().all(|layer| Layer::parse(layer).is_some())
    {
        let rule = format!(
            "Member must satisfy constraint: [Member must have length less than or equal to 2048, Member must have length greater \
             than or equal to 1, Member must satisfy regular expression pattern: {LAYER_PATTERN}, Member must not be null]"
        );
        fault(shown(&layers), "layers", rule);
    }
    let of_vpc = [
        (
            "SecurityGroupIds",
            "vpcConfig.securityGroupIds",
            "sg-",
            "sg-[0-9a-zA-Z]*",
        ),
        ("SubnetIds", "vpcConfig.subnetIds", "subnet-", "subnet-[0-9a-z]*"),
    ];
    for (name, member, prefix, pattern) in of_vpc {
        let Some(ids) = list(&input["VpcConfig"][name]) else {
            continue;
        };
        let is_id = |id: &&str| {
            let rest = id.strip_prefix(prefix);
            rest.is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_alphanumeric()))
        };
        if !ids.iter().all(is_id) {
            let rule = format!(
                "Member must satisfy constraint: [Member must have length less than or equal to 1024, Member must have length \
                 greater than or equal to 0, Member must satisfy regular expression pattern: {pattern}]"
            );
            fault(shown(&ids), member, rule);
        }
    }
    malformed(&faults)
}

/// A runtime must be one of today.
pub(super) fn check_runtime(runtime: &str) -> Result<(), Fault> {
    if RUNTIMES.contains(&runtime) {
        return Ok(());
    }
    if DEPRECATED.contains(&runtime) {
        return Err(deprecated(runtime));
    }
    Err(invalid(format!(
        "Value {runtime} at 'runtime' failed to satisfy constraint: Member must satisfy enum value set: [{}] or be a valid ARN",
        RUNTIMES.join(", ")
    )))
}

/// The layers of a function: at most five, one version of each, of its region. The local target keeps none, so that those of
/// the own account are not there.
pub(super) fn check_layers(owner: Owner<'_>, layers: &[String]) -> Result<(), Fault> {
    if layers.len() > 5 {
        return Err(invalid("Cannot reference more than 5 layers."));
    }
    let parsed: Vec<Layer<'_>> = layers.iter().filter_map(|arn| Layer::parse(arn)).collect();
    if parsed.iter().any(|layer| layer.region != owner.region) {
        return Err(invalid(format!(
            "Layers are not in the same region as the function. Layers are expected to be in region {}.",
            owner.region
        )));
    }
    for (place, layer) in parsed.iter().enumerate() {
        if let Some(other) = parsed[..place]
            .iter()
            .find(|other| other.unversioned == layer.unversioned)
        {
            return Err(invalid(format!(
                "Two different versions of the same layer are not allowed to be referenced in the same function. {} and {} are \
                 versions of the same layer.",
                other.arn, layer.arn
            )));
        }
    }
    match parsed.iter().find(|layer| layer.account == owner.account) {
        Some(own) => Err(invalid(format!("Layer version {} does not exist.", own.arn))),
        None => Ok(()),
    }
}

/// A version of a layer.
struct Layer<'arn> {
    arn: &'arn str,
    unversioned: &'arn str,
    region: &'arn str,
    account: &'arn str,
}

impl<'arn> Layer<'arn> {
    fn parse(arn: &'arn str) -> Option<Self> {
        let fields: Vec<&str> = arn.split(':').collect();
        let ["arn", _, "lambda", region, account, "layer", name, version] = fields.as_slice() else {
            return None;
        };
        let is_named = !name.is_empty() && !version.is_empty() && version.bytes().all(|byte| byte.is_ascii_digit());
        Some(Self {
            arn,
            unversioned: arn.rsplit_once(':').map_or(arn, |(layer, _)| layer),
            region: *region,
            account: *account,
        })
        .filter(|_| is_named)
    }
}

fn is_role(arn: &str) -> bool {
    let fields: Vec<&str> = arn.splitn(6, ':').collect();
    let ["arn", partition, "iam", "", account, resource] = fields.as_slice() else {
        return false;
    };
    let name = resource
        .strip_prefix("role")
        .map(|rest| rest.strip_prefix('/').unwrap_or(rest));
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || "+=,.@-_/".contains(c);
    partition.starts_with("aws")
        && account.len() == 12
        && account.bytes().all(|byte| byte.is_ascii_digit())
        && name.is_some_and(|name| !name.is_empty() && name.chars().all(is_allowed))
}

fn list(value: &Value) -> Option<Vec<&str>> {
    let items = value.as_array()?;
    Some(items.iter().filter_map(Value::as_str).collect())
}

fn shown(items: &[&str]) -> String {
    format!("[{}]", items.join(", "))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test ends where something is wrong")]

    use serde_json::json;

    use super::*;
    use crate::services::lambda::TEST_OWNER as OWNER;

    #[test]
    fn all_faults_are_said_at_once() {
        assert_eq!(
            check_function(&json!({"Architectures": ["arm64"], "Layers": []})),
            Ok(())
        );
        let fault = check_function(&json!({"Role": "r1", "SnapStart": {"ApplyOn": "x"}})).unwrap_err();
        assert_eq!(fault.code, "ValidationException");
        let expected = "2 validation errors detected: Value 'r1' at 'role' failed to satisfy constraint: Member must satisfy regular \
                        expression pattern: arn:(aws[a-zA-Z-]*)?:iam::\\d{12}:role/?[a-zA-Z_0-9+=,.@\\-_/]+; Value 'x' at \
                        'snapStart.applyOn' failed to satisfy constraint: Member must satisfy enum value set: [PublishedVersions, None]";
        assert_eq!(fault.message, expected);
    }

    #[test]
    fn runtimes_of_today() {
        assert_eq!(check_runtime("provided.al2023"), Ok(()));
        let message = |runtime| check_runtime(runtime).unwrap_err().message;
        assert!(
            message("provided").contains("is no longer supported"),
            "{}",
            message("provided")
        );
        assert!(
            message("provided.al2024").contains("enum value set"),
            "{}",
            message("provided.al2024")
        );
    }

    #[test]
    fn layers_of_others_in_the_region_once() {
        let check = |arns: &[&str]| {
            let arns: Vec<String> = arns.iter().map(|arn| (*arn).to_owned()).collect();
            check_layers(OWNER, &arns).map_err(|fault| fault.message)
        };
        let insights = "arn:aws:lambda:eu-central-1:580247275435:layer:LambdaInsightsExtension:53";
        assert_eq!(check(&[insights]), Ok(()));
        let message = |arns: &[&str]| check(arns).unwrap_err();
        assert!(message(&[insights, insights]).contains("of the same layer"));
        assert!(message(&["arn:aws:lambda:us-east-1:580247275435:layer:L:1"]).contains("not in the same region"));
        assert!(message(&["arn:aws:lambda:eu-central-1:000000000000:layer:own:1"]).ends_with("does not exist."));
    }
}
