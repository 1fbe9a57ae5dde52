//! Streams as sources: their settings, and who may read them.

use serde_json::Value;

use super::model::{Input, Settings, StreamSettings};
use super::rules::{self, in_range};
use crate::protocol::classify::Call;
use crate::protocol::emulator_client::{Caller, EmulatorClient};
use crate::services::Fault;
use crate::services::iam::permissions;
use crate::services::iam::policy::Verdict;
use crate::services::iam::required::Actions;
use crate::services::lambda::rules::{constraint, invalid};
use crate::services::pattern::Pattern;

const BATCH: usize = 100;
/// What the role of a function needs. <https://docs.aws.amazon.com/lambda/latest/dg/services-dynamodb-eventsourcemapping.html>
const STREAM_ACTIONS: [&str; 4] = ["GetRecords", "GetShardIterator", "DescribeStream", "ListStreams"];

/// Whether an ARN is that of a table's stream.
pub(super) fn is_stream(arn: &str) -> bool {
    arn.contains(":dynamodb:") && arn.contains(":table/") && arn.contains("/stream/")
}

/// Whether one of the patterns takes a record; without any, all do.
pub(super) fn is_taken(record: &Value, patterns: &[Pattern]) -> bool {
    patterns.is_empty() || patterns.iter().any(|pattern| pattern.matches(record))
}

/// The settings of a mapping of a stream: absent members stay as they were, or are the service's defaults.
/// <https://docs.aws.amazon.com/lambda/latest/dg/services-ddb-params.html>
pub(super) fn settings(input: &Input, source_arn: &str, before: Option<&Settings>) -> Result<Settings, Fault> {
    let mut settings = before.cloned().unwrap_or(Settings {
        batch_size: BATCH,
        window_seconds: 0,
        filters: Vec::new(),
        response_types: Vec::new(),
        maximum_concurrency: None,
        stream: Some(StreamSettings {
            starting_position: starting_position(input, source_arn)?,
            bisect: false,
            maximum_retries: None,
            maximum_age: None,
            lanes: 1,
            on_failure: None,
            reads_all: false,
            after: None,
        }),
    });
    rules::set_common(&mut settings, input)?;
    let Some(stream) = &mut settings.stream else {
        return Ok(settings);
    };
    stream.bisect = input.bisect_batch_on_function_error.unwrap_or(stream.bisect);
    if let Some(most) = input.maximum_retry_attempts {
        // -1 is for ever.
        stream.maximum_retries = match most {
            -1 => None,
            most => Some(
                in_range(most, 0, 10_000, "maximumRetryAttempts")?
                    .try_into()
                    .unwrap_or_default(),
            ),
        };
    }
    if let Some(age) = input.maximum_record_age_in_seconds {
        stream.maximum_age = match age {
            -1 => None,
            age => Some(
                in_range(age, 60, 604_800, "maximumRecordAgeInSeconds")?
                    .try_into()
                    .unwrap_or_default(),
            ),
        };
    }
    if let Some(lanes) = input.parallelization_factor {
        stream.lanes = in_range(lanes, 1, 10, "parallelizationFactor")?;
    }
    if let Some(config) = &input.destination_config {
        let destination = config["OnFailure"]["Destination"].as_str();
        stream.on_failure = destination.filter(|arn| !arn.is_empty()).map(str::to_owned);
    }
    Ok(settings)
}

fn starting_position(input: &Input, source_arn: &str) -> Result<String, Fault> {
    match input.starting_position.as_deref() {
        Some(known @ ("LATEST" | "TRIM_HORIZON")) => Ok(known.to_owned()),
        Some("AT_TIMESTAMP") => Err(invalid(format!(
            "Unsupported starting position for arn type: {source_arn}"
        ))),
        Some(other) => {
            let rule = "Member must satisfy enum value set: [LATEST, AT_TIMESTAMP, TRIM_HORIZON]";
            Err(constraint(other, "startingPosition", rule))
        }
        None => Err(invalid(
            "1 validation error detected: Value null at 'startingPosition' failed to satisfy constraint: Member must not be null.",
        )),
    }
}

/// Whether a role may read a stream.
pub(super) async fn may_read(emulator: &EmulatorClient, caller: &Caller, source_arn: &str, role: &str) -> bool {
    let call = Call::internal("dynamodb", &caller.region, &caller.account);
    let permissions = permissions::read(emulator, caller, role).await;
    let at = Actions { call: &call };
    STREAM_ACTIONS.into_iter().all(|action| {
        let on = |resource: &str| permissions.judge(&at.on(format!("dynamodb:{action}"), resource)) == Verdict::Allowed;
        // Streams can be listed on all resources alone.
        on(source_arn) || action == "ListStreams" && on("*")
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test ends where something is wrong")]

    use serde_json::json;

    use super::*;

    fn read(input: Value) -> Result<Settings, String> {
        let input = serde_json::from_value(input).unwrap();
        settings(&input, "arn:s", None).map_err(|fault| fault.message)
    }

    #[test]
    fn settings_of_streams() {
        let defaults = read(json!({"StartingPosition": "LATEST"})).unwrap();
        assert_eq!(
            (defaults.batch_size, defaults.stream.unwrap().maximum_retries),
            (100, None)
        );
        let given = read(json!({
            "StartingPosition": "TRIM_HORIZON", "MaximumRetryAttempts": 2, "BisectBatchOnFunctionError": true,
            "ParallelizationFactor": 3, "MaximumRecordAgeInSeconds": -1,
        }));
        let stream = given.unwrap().stream.unwrap();
        assert_eq!(
            (stream.maximum_retries, stream.bisect, stream.lanes, stream.maximum_age),
            (Some(2), true, 3, None)
        );
        for (input, expected) in [
            (json!({}), "Value null at 'startingPosition'"),
            (
                json!({"StartingPosition": "AT_TIMESTAMP"}),
                "Unsupported starting position for arn type: arn:s",
            ),
            (json!({"StartingPosition": "x"}), "enum value set"),
            (
                json!({"StartingPosition": "LATEST", "ParallelizationFactor": 11}),
                "parallelizationFactor",
            ),
            (
                json!({"StartingPosition": "LATEST", "MaximumRecordAgeInSeconds": 59}),
                "maximumRecordAgeInSeconds",
            ),
        ] {
            let message = read(input).unwrap_err();
            assert!(message.contains(expected), "{message}");
        }
    }

    #[test]
    fn sources() {
        assert!(is_stream(
            "arn:aws:dynamodb:eu-central-1:000000000000:table/t/stream/2026-01-01T00:00:00.000"
        ));
        assert!(!is_stream("arn:aws:dynamodb:eu-central-1:000000000000:table/t"));
    }
}
