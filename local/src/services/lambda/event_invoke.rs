//! How functions, versions and aliases are invoked asynchronously: retries, age, and where results go.
//! <https://docs.aws.amazon.com/lambda/latest/api/API_PutFunctionEventInvokeConfig.html>

use serde::Deserialize;
use serde_json::{Value, json};

use super::model::{FunctionRecord, InvokeConfig, function_arn};
use super::rules::{constraint, invalid, missing};
use super::{Functions, Owner};
use crate::ports::FunctionAddress;
use crate::services::{Fault, now_seconds};

/// The members of `PutFunctionEventInvokeConfig` and `UpdateFunctionEventInvokeConfig`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct InvokeConfigInput {
    maximum_retry_attempts: Option<i64>,
    maximum_event_age_in_seconds: Option<i64>,
    destination_config: Option<DestinationInput>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct DestinationInput {
    on_success: Option<OneDestination>,
    on_failure: Option<OneDestination>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct OneDestination {
    destination: Option<String>,
}

impl InvokeConfigInput {
    /// The destinations that are given.
    pub(super) fn destinations(&self) -> Vec<String> {
        let given = self.destination_config.as_ref();
        let both = given.map(|given| [&given.on_success, &given.on_failure]);
        let both = both.into_iter().flatten().flatten();
        both.filter_map(|one| one.destination.clone().filter(|arn| !arn.is_empty()))
            .collect()
    }

    fn checked(&self) -> Result<(), Fault> {
        let bounds = [
            (self.maximum_retry_attempts, 0, 2, "maximumRetryAttempts"),
            (
                self.maximum_event_age_in_seconds,
                60,
                21_600,
                "maximumEventAgeInSeconds",
            ),
        ];
        for (given, lowest, highest, member) in bounds {
            let Some(value) = given.filter(|value| !(lowest..=highest).contains(value)) else {
                continue;
            };
            let rule = match value < lowest {
                true => format!("Member must have value greater than or equal to {lowest}"),
                false => format!("Member must have value less than or equal to {highest}"),
            };
            return Err(constraint(&value.to_string(), member, &rule));
        }
        Ok(())
    }

    /// What is given over what was there.
    fn over(self, before: Option<InvokeConfig>, now: f64) -> InvokeConfig {
        let mut config = before.unwrap_or_default();
        config.modified = now;
        let number = |given: Option<i64>| given.and_then(|given| given.try_into().ok());
        config.retries = number(self.maximum_retry_attempts).or(config.retries);
        config.maximum_age_seconds = number(self.maximum_event_age_in_seconds).or(config.maximum_age_seconds);
        if let Some(given) = self.destination_config {
            let arn = |one: OneDestination| one.destination.filter(|arn| !arn.is_empty());
            config.on_success = given.on_success.map_or(config.on_success, arn);
            config.on_failure = given.on_failure.map_or(config.on_failure, arn);
        }
        config
    }
}

impl Functions {
    pub(super) fn put_invoke_config(
        &self,
        owner: Owner<'_>,
        name: &str,
        qualifier: Option<&str>,
        input: InvokeConfigInput,
        keeps: bool,
    ) -> Result<Value, Fault> {
        input.checked()?;
        let is_empty = input.maximum_retry_attempts.is_none()
            && input.maximum_event_age_in_seconds.is_none()
            && input.destination_config.is_none();
        if is_empty {
            return Err(invalid(
                "You must specify at least one of error handling or destination setting.",
            ));
        }
        for arn in input.destinations() {
            self.check_destination(owner, name, &arn)?;
        }
        let no_function = || missing("The function doesn't exist.");
        self.change_or(owner, name, no_function, |record| {
            let slot = qualifier.unwrap_or(LATEST);
            let exists = record.version(slot).is_some() || record.aliases.contains_key(slot);
            if !exists {
                return Err(no_function());
            }
            let before = record.invoke_configs.get(slot).cloned();
            if keeps && before.is_none() {
                return Err(none(owner, name, slot));
            }
            let config = input.over(before.filter(|_| keeps), now_seconds());
            let shown = view(record, slot, &config);
            record.invoke_configs.insert(slot.to_owned(), config);
            Ok(shown)
        })
    }

    pub(super) fn get_invoke_config(
        &self,
        owner: Owner<'_>,
        name: &str,
        qualifier: Option<&str>,
    ) -> Result<Value, Fault> {
        let slot = qualifier.unwrap_or(LATEST);
        let absent = || none(owner, name, slot);
        self.read_or(owner, name, absent, |record| {
            let config = record.invoke_configs.get(slot).ok_or_else(absent)?;
            Ok(view(record, slot, config))
        })
    }

    pub(super) fn delete_invoke_config(
        &self,
        owner: Owner<'_>,
        name: &str,
        qualifier: Option<&str>,
    ) -> Result<(), Fault> {
        let slot = qualifier.unwrap_or(LATEST);
        let absent = || none(owner, name, slot);
        self.change_or(owner, name, absent, |record| {
            record.invoke_configs.remove(slot).map(drop).ok_or_else(absent)
        })
    }

    pub(super) fn list_invoke_configs(&self, owner: Owner<'_>, name: &str) -> Result<Vec<Value>, Fault> {
        let no_function = || missing("The function doesn't exist.");
        self.read_or(owner, name, no_function, |record| {
            let all = record.invoke_configs.iter();
            Ok(all.map(|(slot, config)| view(record, slot, config)).collect())
        })
    }

    /// A queue, topic, bus or other function.
    pub(super) fn check_destination(&self, owner: Owner<'_>, name: &str, arn: &str) -> Result<(), Fault> {
        let service = arn.split(':').nth(2).unwrap_or_default();
        let is_known = arn.starts_with("arn:") && matches!(service, "sqs" | "sns" | "lambda" | "events");
        if !is_known {
            return Err(invalid(format!("The provided destination config {arn} is invalid.")));
        }
        let Some(address) = FunctionAddress::parse(arn) else {
            return Ok(());
        };
        if address.function_arn == function_arn(owner.account, owner.region, name) {
            return Err(invalid("You can't specify the function as a destination for itself."));
        }
        let exists = self.read(owner, address.function_name(), |_| Ok(())).is_ok();
        match exists {
            true => Ok(()),
            false => Err(invalid(format!("The destination ARN {arn} is invalid."))),
        }
    }
}

/// Where the configuration of the function itself is kept.
pub(super) const LATEST: &str = "$LATEST";

fn view(record: &FunctionRecord, slot: &str, config: &InvokeConfig) -> Value {
    let InvokeConfig {
        retries,
        maximum_age_seconds,
        on_success,
        on_failure,
        modified,
    } = config;
    let destination = |arn: &Option<String>| {
        arn.as_ref()
            .map_or_else(|| json!({}), |arn| json!({"Destination": arn}))
    };
    let mut shown = json!({
        "LastModified": modified,
        "FunctionArn": format!("{}:{slot}", record.arn()),
        "DestinationConfig": {"OnSuccess": destination(on_success), "OnFailure": destination(on_failure)},
    });
    if let Some(retries) = retries {
        shown["MaximumRetryAttempts"] = json!(retries);
    }
    if let Some(seconds) = maximum_age_seconds {
        shown["MaximumEventAgeInSeconds"] = json!(seconds);
    }
    shown
}

fn none(owner: Owner<'_>, name: &str, slot: &str) -> Fault {
    let arn = function_arn(owner.account, owner.region, name);
    missing(format!("The function {arn}:{slot} doesn't have an EventInvokeConfig"))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test ends where something is wrong")]

    use http::Method;

    use super::*;
    use crate::keys::Keys;
    use crate::ports::FunctionSource as _;
    use crate::services::lambda::{Downloads, StoredCode, TEST_OWNER as OWNER};

    fn call(functions: &Functions, method: &Method, rest: &str, query: &str, input: &Value) -> Result<Value, Fault> {
        let code = StoredCode {
            sha256: "AAAA".to_owned(),
            size: 1,
        };
        let (path, body) = (format!("/2019-09-25/functions{rest}"), input.to_string());
        let reply = functions.call(OWNER, method, &path, query, body.as_bytes(), Some(code))?;
        Ok(reply.body.unwrap_or_default())
    }

    fn functions(directory: &std::path::Path) -> Functions {
        let downloads = Downloads {
            endpoint_url: "http://127.0.0.1:1".to_owned(),
            keys: Keys::random().unwrap(),
        };
        let functions = Functions::open(directory, downloads, 0).unwrap();
        let input = json!({
            "FunctionName": "f", "Runtime": "provided.al2023", "Role": "arn:aws:iam::000000000000:role/r", "Handler": "h",
            "DeadLetterConfig": {"TargetArn": "arn:aws:sqs:eu-central-1:000000000000:dead"},
        });
        call(&functions, &Method::POST, "", "", &input).unwrap();
        call(&functions, &Method::POST, "/f/versions", "", &json!({})).unwrap();
        let live = json!({"Name": "live", "FunctionVersion": "1"});
        call(&functions, &Method::POST, "/f/aliases", "", &live).unwrap();
        functions
    }

    #[test]
    fn each_qualifier_has_its_own_configuration() {
        let directory = tempfile::tempdir().unwrap();
        let functions = functions(directory.path());
        let on = |method: &Method, query: &str, input: Value| {
            call(&functions, method, "/f/event-invoke-config", query, &input)
        };
        let live = "Qualifier=live";
        let queue = "arn:aws:sqs:eu-central-1:000000000000:lost";
        let put = json!({"MaximumRetryAttempts": 1, "DestinationConfig": {"OnFailure": {"Destination": queue}}});
        let shown = on(&Method::PUT, live, put).unwrap();
        assert_eq!(
            shown["FunctionArn"],
            "arn:aws:lambda:eu-central-1:000000000000:function:f:live"
        );
        assert_eq!(
            shown["DestinationConfig"],
            json!({"OnSuccess": {}, "OnFailure": {"Destination": queue}})
        );
        assert_eq!(shown["MaximumEventAgeInSeconds"], Value::Null);
        assert_eq!(on(&Method::GET, "", json!(null)).unwrap_err().status, 404);
        // An update keeps what it does not name, a put does not.
        let updated = on(&Method::POST, live, json!({"MaximumEventAgeInSeconds": 60})).unwrap();
        assert_eq!(
            (&updated["MaximumRetryAttempts"], &updated["MaximumEventAgeInSeconds"]),
            (&json!(1), &json!(60))
        );
        let address = |qualifier: Option<&str>| functions.address(OWNER, "f", qualifier).unwrap();
        let asynchronous = functions.asynchronous(&address(Some("live")));
        assert_eq!(
            (asynchronous.retries, asynchronous.on_failure.as_deref()),
            (1, Some(queue))
        );
        assert_eq!(
            asynchronous.dead_letters.as_deref(),
            Some("arn:aws:sqs:eu-central-1:000000000000:dead")
        );
        assert_eq!(functions.asynchronous(&address(None)).retries, 2);
        let put = on(&Method::PUT, live, json!({"MaximumRetryAttempts": 0})).unwrap();
        assert_eq!(put["DestinationConfig"], json!({"OnSuccess": {}, "OnFailure": {}}));
        let listed = call(
            &functions,
            &Method::GET,
            "/f/event-invoke-config/list",
            "",
            &json!(null),
        )
        .unwrap();
        assert_eq!(listed["FunctionEventInvokeConfigs"].as_array().map(Vec::len), Some(1));
        on(&Method::DELETE, live, json!(null)).unwrap();
        assert_eq!(on(&Method::DELETE, live, json!(null)).unwrap_err().status, 404);
    }

    #[test]
    fn what_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let functions = functions(directory.path());
        let check = |input: Value, expected: &str| {
            let fault = call(&functions, &Method::PUT, "/f/event-invoke-config", "", &input).unwrap_err();
            assert!(fault.message.contains(expected), "{}", fault.message);
        };
        let to = |arn: &str| json!({"DestinationConfig": {"OnSuccess": {"Destination": arn}}});
        check(json!({}), "at least one of error handling or destination setting");
        check(json!({"MaximumRetryAttempts": 3}), "less than or equal to 2");
        check(json!({"MaximumEventAgeInSeconds": 59}), "greater than or equal to 60");
        check(to("arn:aws:iam:eu-central-1:000000000000:function:f"), "is invalid");
        check(
            to("arn:aws:lambda:eu-central-1:000000000000:function:f"),
            "destination for itself",
        );
        check(to("arn:aws:lambda:eu-central-1:000000000000:function:g"), "is invalid");
        let input = json!({"MaximumRetryAttempts": 1});
        let fault = call(&functions, &Method::PUT, "/g/event-invoke-config", "", &input).unwrap_err();
        assert_eq!(
            (fault.status, fault.message.as_str()),
            (404, "The function doesn't exist.")
        );
    }
}
