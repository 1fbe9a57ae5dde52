//! What Lambda checks in the settings of an event source mapping. Pure.
//! <https://docs.aws.amazon.com/lambda/latest/api/API_CreateEventSourceMapping.html>

use super::model::{Input, REPORT_ITEMS, Settings};
use crate::services::Fault;
use crate::services::lambda::rules::{constraint, invalid};
use crate::services::pattern::Pattern;

/// Largest batch of a FIFO queue, and of any queue without a window.
const SMALL_BATCH: usize = 10;
/// Most filters of a mapping. <https://docs.aws.amazon.com/lambda/latest/dg/invocation-eventfiltering.html>
const MOST_FILTERS: usize = 5;

/// The settings of a mapping of a queue: absent members stay as they were, or are the service's defaults.
pub(super) fn settings(input: &Input, is_fifo: bool, before: Option<&Settings>) -> Result<Settings, Fault> {
    let mut settings = before.cloned().unwrap_or(Settings {
        batch_size: SMALL_BATCH,
        window_seconds: 0,
        filters: Vec::new(),
        response_types: Vec::new(),
        maximum_concurrency: None,
        stream: None,
    });
    set_common(&mut settings, input)?;
    if let Some(scaling) = &input.scaling_config {
        let most = scaling.maximum_concurrency;
        let most = most.map(|most| in_range(most, 2, 1_000, "scalingConfig.maximumConcurrency"));
        settings.maximum_concurrency = most.transpose()?;
    }
    if is_fifo && settings.window_seconds > 0 {
        return Err(invalid("Batching window is not supported for FIFO queues"));
    }
    if is_fifo && settings.batch_size > SMALL_BATCH {
        return Err(invalid(format!(
            "Batch size must be less than or equal to {SMALL_BATCH} for FIFO queues"
        )));
    }
    if settings.batch_size > SMALL_BATCH && settings.window_seconds == 0 {
        return Err(invalid(
            "Maximum batch window in seconds must be greater than 0 if maximum batch size is greater than 10",
        ));
    }
    Ok(settings)
}

/// Sets what mappings of all sources have.
pub(super) fn set_common(settings: &mut Settings, input: &Input) -> Result<(), Fault> {
    if let Some(size) = input.batch_size {
        settings.batch_size = in_range(size, 1, 10_000, "batchSize")?;
    }
    if let Some(seconds) = input.maximum_batching_window_in_seconds {
        let seconds = in_range(seconds, 0, 300, "maximumBatchingWindowInSeconds")?;
        settings.window_seconds = seconds.try_into().unwrap_or_default();
    }
    if let Some(criteria) = &input.filter_criteria {
        let filters = criteria.filters.iter().map(|filter| filter.pattern.clone());
        settings.filters = checked_filters(filters.collect())?;
    }
    if let Some(types) = &input.function_response_types {
        if let Some(other) = types.iter().find(|one| *one != REPORT_ITEMS) {
            let rule = format!("Member must satisfy enum value set: [{REPORT_ITEMS}]");
            return Err(constraint(&format!("[{other}]"), "functionResponseTypes", &rule));
        }
        settings.response_types = types.clone();
    }
    Ok(())
}

/// Members that mappings of queues do not have.
pub(super) fn check_members(input: &Input) -> Result<(), Fault> {
    if input.destination_config.is_some() {
        return Err(invalid(
            "Unsupported DestinationConfig parameter for given event source mapping type.",
        ));
    }
    if input.starting_position.is_some() {
        return Err(invalid("StartingPosition is not valid for SQS event sources"));
    }
    Ok(())
}

fn checked_filters(filters: Vec<String>) -> Result<Vec<String>, Fault> {
    if filters.len() > MOST_FILTERS {
        return Err(invalid(format!(
            "Number of filters exceeds the limit of {MOST_FILTERS} filters."
        )));
    }
    match filters.iter().all(|text| Pattern::parse(text).is_some()) {
        true => Ok(filters),
        false => Err(invalid("Invalid filter pattern definition.")),
    }
}

pub(super) fn in_range(value: i64, lowest: i64, highest: i64, member: &str) -> Result<usize, Fault> {
    Fault::in_range(value, lowest, highest, member)?;
    Ok(value.try_into().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test ends where something is wrong")]

    use serde_json::{Value, json};

    use super::*;

    fn read(input: Value, is_fifo: bool) -> Result<Settings, String> {
        let input = serde_json::from_value(input).unwrap();
        settings(&input, is_fifo, None).map_err(|fault| format!("{} {}", fault.code, fault.message))
    }

    #[test]
    fn defaults_and_what_stays() {
        let defaults = read(json!({}), false).unwrap();
        assert_eq!((defaults.batch_size, defaults.window_seconds), (10, 0));
        let given = json!({"ScalingConfig": {"MaximumConcurrency": 2}, "FunctionResponseTypes": [REPORT_ITEMS]});
        let given = read(given, false).unwrap();
        assert!(given.reports_items());
        let change = serde_json::from_value(json!({"BatchSize": 1, "ScalingConfig": {}})).unwrap();
        let changed = settings(&change, false, Some(&given)).unwrap();
        assert_eq!((changed.batch_size, changed.maximum_concurrency), (1, None));
        assert!(changed.reports_items());
    }

    #[test]
    fn what_is_refused() {
        let refused = |input: Value, is_fifo: bool, expected: &str| {
            let message = read(input.clone(), is_fifo).unwrap_err();
            assert!(message.contains(expected), "{input}: {message}");
        };
        refused(json!({"BatchSize": 0}), false, "ValidationException");
        refused(
            json!({"BatchSize": 11}),
            false,
            "must be greater than 0 if maximum batch size",
        );
        refused(json!({"BatchSize": 11}), true, "FIFO");
        let window = json!({"MaximumBatchingWindowInSeconds": 1});
        refused(window, true, "Batching window is not supported for FIFO queues");
        refused(json!({"MaximumBatchingWindowInSeconds": 301}), false, "300");
        refused(
            json!({"ScalingConfig": {"MaximumConcurrency": 1}}),
            false,
            "scalingConfig",
        );
        refused(json!({"FunctionResponseTypes": ["x"]}), false, "functionResponseTypes");
        let filter = json!({"FilterCriteria": {"Filters": [{"Pattern": r#"{"body": "x"}"#}]}});
        refused(filter, false, "Invalid filter pattern definition.");
    }
}
