//! Batches of stream records: the event that a function gets, what is left after an answer, what becomes of records that are given
//! up. Pure.
//! <https://docs.aws.amazon.com/lambda/latest/dg/with-ddb.html>

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use serde_json::{Value, json};

use super::model::StreamSettings;
use crate::ports::{FunctionError, InvokeOutcome};

/// Records that are brought together, and how often they were in vain.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Lot {
    pub records: Vec<Value>,
    pub attempts: u64,
}

/// What comes after an invocation.
#[derive(Debug, PartialEq)]
pub(super) enum Next {
    /// All records are dealt with.
    Done,
    /// These come next, first to last; the first ones were dealt with. After a pause.
    Again(Vec<Lot>),
}

/// The records that a table's stream gave, as a function sees them.
pub(super) fn seen(mut record: Value, source_arn: &str) -> Value {
    record["eventSourceARN"] = source_arn.into();
    record
}

pub(super) fn sequence(record: &Value) -> &str {
    record["dynamodb"]["SequenceNumber"].as_str().unwrap_or_default()
}

/// When it was written, seconds since the epoch.
pub(super) fn written(record: &Value) -> f64 {
    record["dynamodb"]["ApproximateCreationDateTime"]
        .as_f64()
        .unwrap_or_default()
}

/// Records of the same key stay in one lane, in their order.
pub(super) fn lanes(records: Vec<Value>, count: usize) -> Vec<Vec<Value>> {
    let mut lanes = vec![Vec::new(); count.max(1)];
    let places = u64::try_from(lanes.len()).unwrap_or(1);
    for record in records {
        let mut hasher = DefaultHasher::new();
        record["dynamodb"]["Keys"].to_string().hash(&mut hasher);
        let lane = usize::try_from(hasher.finish() % places).unwrap_or_default();
        lanes[lane].push(record);
    }
    lanes.retain(|lane| !lane.is_empty());
    lanes
}

/// What comes after an invocation with some records.
pub(super) fn next(outcome: &InvokeOutcome, lot: Lot, settings: &StreamSettings, reports_items: bool) -> Next {
    let Lot { mut records, attempts } = lot;
    let (failed_at, counts) = match outcome {
        InvokeOutcome::Completed(completed) if completed.function_error.is_none() => {
            match reports_items
                .then(|| first_failed(&completed.payload, &records))
                .flatten()
            {
                None => return Next::Done,
                Some(place) => (place, 1),
            }
        }
        InvokeOutcome::Completed(_) => (0, 1),
        // The function did not get them.
        _ => (0, 0),
    };
    if failed_at > 0 {
        // What comes before the failure is dealt with.
        let rest = records.split_off(failed_at);
        return Next::Again(vec![Lot {
            records: rest,
            attempts: attempts + counts,
        }]);
    }
    if settings.bisect && counts > 0 && records.len() > 1 {
        // Splitting is no retry: <https://docs.aws.amazon.com/lambda/latest/dg/services-ddb-params.html>.
        let rest = records.split_off(records.len() / 2);
        let both = [records, rest];
        return Next::Again(both.map(|records| Lot { records, attempts }).into());
    }
    Next::Again(vec![Lot {
        records,
        attempts: attempts + counts,
    }])
}

/// The first record that an answer names as failed; all of them failed where it cannot be understood.
/// <https://docs.aws.amazon.com/lambda/latest/dg/services-ddb-batchfailurereporting.html>
fn first_failed(answer: &[u8], records: &[Value]) -> Option<usize> {
    if answer.is_empty() {
        return None;
    }
    let items = match serde_json::from_slice(answer) {
        Ok(Value::Null) => return None,
        Ok(Value::Object(mut answer)) => match answer.remove("batchItemFailures") {
            None | Some(Value::Null) => return None,
            Some(Value::Array(items)) => items,
            Some(_) => return Some(0),
        },
        _ => return Some(0),
    };
    let place = |item: &Value| {
        let id = item["itemIdentifier"].as_str()?;
        records.iter().position(|record| sequence(record) == id)
    };
    items.iter().map(|item| place(item).unwrap_or(0)).min()
}

/// Takes the records off the front that are given up, with why.
pub(super) fn given_up(lots: &mut VecDeque<Lot>, settings: &StreamSettings, now: f64) -> Option<(Lot, &'static str)> {
    let first = lots.front_mut()?;
    let is_old = |record: &Value| {
        settings
            .maximum_age
            .is_some_and(|age| now - written(record) > age as f64)
    };
    let old = first.records.iter().take_while(|record| is_old(record)).count();
    if old > 0 {
        let rest = first.records.split_off(old);
        let attempts = first.attempts;
        let records = std::mem::replace(&mut first.records, rest);
        if first.records.is_empty() {
            lots.pop_front();
        }
        return Some((Lot { records, attempts }, "RecordAgeExceeded"));
    }
    let is_exhausted = settings.maximum_retries.is_some_and(|most| first.attempts > most);
    if is_exhausted {
        return lots.pop_front().map(|lot| (lot, "RetryAttemptsExhausted"));
    }
    None
}

/// What an on-failure destination is told of records that were given up.
/// <https://docs.aws.amazon.com/lambda/latest/dg/services-dynamodb-errors.html>
pub(super) fn record_of_failure(
    lot: &Lot,
    condition: &str,
    function_arn: &str,
    source_arn: &str,
    last: Option<&InvokeOutcome>,
    now: jiff::Timestamp,
) -> Value {
    let time = |record: Option<&Value>| {
        let ms = record.map_or(0.0, |record| written(record) * 1000.0) as i64;
        shown(jiff::Timestamp::from_millisecond(ms).unwrap_or_default())
    };
    let (first, end) = (lot.records.first(), lot.records.last());
    let mut record = json!({
        "requestContext": {
            "requestId": uuid::Uuid::new_v4().to_string(),
            "functionArn": function_arn,
            "condition": condition,
            "approximateInvokeCount": lot.attempts,
        },
        "version": "1.0",
        "timestamp": shown(now),
        "DDBStreamBatchInfo": {
            "shardId": SHARD,
            "startSequenceNumber": first.map(sequence),
            "endSequenceNumber": end.map(sequence),
            "approximateArrivalOfFirstRecord": time(first),
            "approximateArrivalOfLastRecord": time(end),
            "batchSize": lot.records.len(),
            "streamArn": source_arn,
        },
    });
    if let Some(InvokeOutcome::Completed(completed)) = last {
        record["requestContext"]["requestId"] = completed.request_id.clone().into();
        record["responseContext"] = json!({"statusCode": 200, "executedVersion": completed.executed_version});
        if let Some(error) = completed.function_error {
            record["responseContext"]["functionError"] = json!(match error {
                FunctionError::Handled => "Handled",
                FunctionError::Unhandled => "Unhandled",
            });
        }
    }
    record
}

/// The only shard of a stream of the emulator.
pub(super) const SHARD: &str = "shardId-00000000000000000000-00000000";

fn shown(time: jiff::Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;

    use super::*;
    use crate::ports::{Completed, ThrottleReason};

    fn record(number: u32, key: &str) -> Value {
        json!({"dynamodb": {"SequenceNumber": number.to_string(), "ApproximateCreationDateTime": number, "Keys": {"id": {"S": key}}}})
    }

    fn settings(bisect: bool) -> StreamSettings {
        StreamSettings {
            starting_position: "LATEST".to_owned(),
            bisect,
            maximum_retries: Some(1),
            maximum_age: Some(60),
            lanes: 1,
            on_failure: None,
            reads_all: false,
            after: None,
        }
    }

    fn completed(answer: &'static str, function_error: Option<FunctionError>) -> InvokeOutcome {
        InvokeOutcome::Completed(Completed {
            request_id: "r".to_owned(),
            payload: Bytes::from_static(answer.as_bytes()),
            function_error,
            executed_version: "1".to_owned(),
            log_tail: None,
            duration: Duration::ZERO,
        })
    }

    fn check(outcome: &InvokeOutcome, bisect: bool, expected: Option<&[(&[&str], u64)]>) {
        let records = (1..=4).map(|number| record(number, "a")).collect();
        let lot = Lot { records, attempts: 0 };
        let found = match next(outcome, lot, &settings(bisect), true) {
            Next::Done => None,
            Next::Again(lots) => Some(lots),
        };
        let found = found.as_ref().map(|lots| {
            let shown = |lot: &Lot| {
                (
                    lot.records
                        .iter()
                        .map(|one| sequence(one).to_owned())
                        .collect::<Vec<_>>(),
                    lot.attempts,
                )
            };
            lots.iter().map(shown).collect::<Vec<_>>()
        });
        let expected = expected.map(|lots| {
            let owned = |(ids, attempts): &(&[&str], u64)| (ids.iter().map(|id| (*id).to_owned()).collect(), *attempts);
            lots.iter().map(owned).collect::<Vec<(Vec<String>, u64)>>()
        });
        assert_eq!(found, expected, "{outcome:?}");
    }

    #[test]
    fn what_comes_after_an_invocation() {
        let failed = completed("{}", Some(FunctionError::Unhandled));
        check(&completed("null", None), false, None);
        check(&failed, false, Some(&[(&["1", "2", "3", "4"], 1)]));
        check(&failed, true, Some(&[(&["1", "2"], 0), (&["3", "4"], 0)]));
        let third = r#"{"batchItemFailures": [{"itemIdentifier": "4"}, {"itemIdentifier": "3"}]}"#;
        check(&completed(third, None), false, Some(&[(&["3", "4"], 1)]));
        check(&completed(third, None), true, Some(&[(&["3", "4"], 1)]));
        check(&completed(r#"{"batchItemFailures": []}"#, None), false, None);
        let unknown = r#"{"batchItemFailures": [{"itemIdentifier": "9"}]}"#;
        check(&completed(unknown, None), false, Some(&[(&["1", "2", "3", "4"], 1)]));
        let throttled = InvokeOutcome::Throttled {
            request_id: String::new(),
            reason: ThrottleReason::ConcurrentInvocationLimitExceeded,
        };
        check(&throttled, true, Some(&[(&["1", "2", "3", "4"], 0)]));
    }

    #[test]
    fn records_are_given_up_when_they_are_old_or_were_tried_too_often() {
        let lot = |first: u32, attempts| Lot {
            records: (first..first + 2).map(|number| record(number, "a")).collect(),
            attempts,
        };
        let mut lots = VecDeque::from([lot(1, 0), lot(100, 2), lot(100, 1)]);
        let settings = settings(false);
        let given =
            |lots: &mut VecDeque<Lot>| given_up(lots, &settings, 62.0).map(|(lot, why)| (lot.records.len(), why));
        assert_eq!(given(&mut lots), Some((1, "RecordAgeExceeded")));
        assert_eq!(given(&mut lots), None);
        lots.pop_front();
        assert_eq!(given(&mut lots), Some((2, "RetryAttemptsExhausted")));
        assert_eq!(given(&mut lots), None);
    }

    #[test]
    fn a_key_stays_in_its_lane() {
        let records: Vec<Value> = (0..40)
            .map(|number| record(number, &(number % 8).to_string()))
            .collect();
        let lanes = lanes(records, 3);
        assert!((1..=3).contains(&lanes.len()));
        assert_eq!(lanes.iter().map(Vec::len).sum::<usize>(), 40);
        for lane in lanes {
            let numbers = lane.iter().map(|one| sequence(one).parse().unwrap_or_default());
            assert!(numbers.collect::<Vec<u32>>().is_sorted());
        }
    }
}
