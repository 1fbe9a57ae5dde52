//! Brings the records of tables' streams to functions: in their order, again and again until they are dealt with or given up.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::model::{Mapping, StreamSettings};
use super::poller::{Permission, Pollers, changed_or_later};
use super::stream::{Lot, Next, SHARD, given_up, lanes, next, record_of_failure, seen, sequence, written};
use super::streams::{is_taken, may_read};
use super::{Begin, Turn};
use crate::ports::{
    Destinations as _, FunctionAddress, InvokeKind, InvokeOutcome, InvokeRequest, LogTail, MetricDatum, Outgoing,
    OutgoingKind, Sent,
};
use crate::protocol::emulator_client::{Caller, EmulatorError};
use crate::services::destinations::ResultDestinations;
use crate::services::pattern::Pattern;
use crate::services::{now_ms, now_seconds};

const TARGET: &str = "DynamoDBStreams_20120810";
/// How often a stream is read: <https://docs.aws.amazon.com/lambda/latest/dg/with-ddb.html>.
const INTERVAL: Duration = Duration::from_millis(250);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Where a poller reads on.
#[derive(Default)]
struct Place {
    iterator: Option<String>,
}

impl Pollers {
    /// Polls for a mapping of a stream until it is gone.
    pub(super) async fn poll_stream(self: &Arc<Self>, uuid: &str, mut stop: watch::Receiver<bool>) {
        let mut changes = self.mappings.changes.subscribe();
        let mut place = Place::default();
        let mut permission = Permission::default();
        while !*stop.borrow() {
            changes.borrow_and_update();
            let turn = match self.mappings.begin(uuid) {
                Begin::Gone => return,
                Begin::Turn(turn) => turn,
                Begin::Later => {
                    changed_or_later(&mut changes, &mut stop).await;
                    continue;
                }
            };
            tokio::select! {
                read = self.read_stream(&turn, &mut place, &mut permission) => if let Err(error) = read {
                    tracing::debug!(%error, uuid, "a stream could not be read");
                    place = Place::default();
                },
                // What runs is given up: its records are not checked off, and come again.
                _ = stop.wait_for(|stop| *stop) => return,
            }
            drop(turn);
            tokio::select! {
                () = sleep(INTERVAL) => {}
                _ = stop.wait_for(|stop| *stop) => {}
            }
        }
    }

    /// Reads once and deals with what was there.
    async fn read_stream(
        self: &Arc<Self>,
        turn: &Turn,
        place: &mut Place,
        permission: &mut Permission,
    ) -> Result<(), EmulatorError> {
        let mapping = &turn.mapping;
        let Some(settings) = mapping.settings.stream.clone() else {
            return Ok(());
        };
        let caller = Caller {
            account: mapping.account.clone(),
            region: mapping.region.clone(),
        };
        let role = self.role_of(&mapping.function_arn);
        let may = may_read(&self.emulator, &caller, &mapping.source_arn, &role);
        if !permission.holds(&role, &mapping.source_arn, may).await {
            return Ok(());
        }
        let ask = async |operation: &str, input: Value| {
            self.emulator
                .json(&caller, "dynamodb", &format!("{TARGET}.{operation}"), &input)
                .await
        };
        let iterator = match place.iterator.take() {
            Some(iterator) => iterator,
            None => {
                let from = match &settings.after {
                    Some(last) => json!({"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "SequenceNumber": last}),
                    None if settings.reads_all => json!({"ShardIteratorType": "TRIM_HORIZON"}),
                    None => json!({"ShardIteratorType": settings.starting_position}),
                };
                let mut input = json!({"StreamArn": mapping.source_arn, "ShardId": SHARD});
                for (member, value) in from.as_object().into_iter().flatten() {
                    input[member] = value.clone();
                }
                let found = match ask("GetShardIterator", input.clone()).await {
                    // What it had last is trimmed: it goes on with the oldest.
                    Err(error) if error.is("TrimmedDataAccessException") => {
                        input["ShardIteratorType"] = json!("TRIM_HORIZON");
                        ask("GetShardIterator", input).await?
                    }
                    found => found?,
                };
                found["ShardIterator"].as_str().unwrap_or_default().to_owned()
            }
        };
        let limit = mapping.settings.batch_size.min(1_000);
        let mut page = ask("GetRecords", json!({"ShardIterator": iterator, "Limit": limit})).await?;
        let next = page["NextShardIterator"].as_str().map(str::to_owned);
        let records = match page["Records"].take() {
            Value::Array(records) => records,
            _ => Vec::new(),
        };
        if let Some(last) = records.last().map(|record| sequence(record).to_owned()) {
            let patterns: Vec<Pattern> = mapping
                .settings
                .filters
                .iter()
                .filter_map(|text| Pattern::parse(text))
                .collect();
            let records = records.into_iter().map(|record| seen(record, &mapping.source_arn));
            let taken: Vec<Value> = records.filter(|record| is_taken(record, &patterns)).collect();
            if !self.bring_records(turn, &settings, taken).await {
                // It was switched off in between: what was left comes again.
                return Ok(());
            }
            self.mappings.note_position(&mapping.uuid, last);
        }
        place.iterator = next;
        Ok(())
    }

    /// The role of a function; nothing where there is none.
    fn role_of(&self, function_arn: &str) -> String {
        let address = FunctionAddress::parse(function_arn);
        let resolved = address.and_then(|address| self.functions.resolve(&address).ok());
        let role = resolved.and_then(|resolved| Some(resolved.targets.first()?.version.role.clone()));
        role.unwrap_or_default()
    }

    /// Deals with records, those of a key in their order. False where the mapping was switched off before all were dealt with.
    async fn bring_records(self: &Arc<Self>, turn: &Turn, settings: &StreamSettings, records: Vec<Value>) -> bool {
        let mut running = JoinSet::new();
        for lane in lanes(records, settings.lanes) {
            let (pollers, mapping, settings) = (Arc::clone(self), turn.mapping.clone(), settings.clone());
            running.spawn(async move { pollers.bring_lane(&mapping, &settings, lane).await });
        }
        let mut all = true;
        while let Some(done) = running.join_next().await {
            all &= done.unwrap_or(false);
        }
        all
    }

    async fn bring_lane(&self, mapping: &Mapping, settings: &StreamSettings, records: Vec<Value>) -> bool {
        let Some(address) = FunctionAddress::parse(&mapping.function_arn) else {
            return false;
        };
        let all: Vec<String> = records.iter().map(|record| sequence(record).to_owned()).collect();
        let mut lots = VecDeque::from([Lot { records, attempts: 0 }]);
        let mut pause = FIRST_PAUSE;
        let mut last = None;
        loop {
            while let Some((lot, condition)) = given_up(&mut lots, settings, now_seconds()) {
                self.tell_failure(mapping, settings, &address, &lot, condition, last.as_ref())
                    .await;
            }
            let Some(lot) = lots.pop_front() else {
                return true;
            };
            // What comes before is dealt with; of several lanes that is known of all together alone.
            let here = lot.records.first().map(sequence).unwrap_or_default();
            let before = all
                .iter()
                .position(|one| one == here)
                .and_then(|place| place.checked_sub(1));
            if let Some(before) = before.filter(|_| settings.lanes == 1) {
                self.mappings.note_position(&mapping.uuid, all[before].clone());
            }
            if !self.mappings.is_enabled(&mapping.uuid) {
                return false;
            }
            let request = InvokeRequest {
                address: address.clone(),
                payload: Bytes::from(json!({"Records": lot.records}).to_string()),
                kind: InvokeKind::RequestResponse,
                log_tail: LogTail::Omit,
                client_context: None,
                trace_id: None,
            };
            let newest = lot.records.last().map(written).unwrap_or_default();
            let outcome = self.invoker.invoke(request).await;
            self.measure_age(&address, newest);
            let reports_items = mapping.settings.reports_items();
            let failed = match next(&outcome, lot, settings, reports_items) {
                Next::Done => false,
                Next::Again(again) => {
                    for lot in again.into_iter().rev() {
                        lots.push_front(lot);
                    }
                    true
                }
            };
            self.mappings.note_result(
                &mapping.uuid,
                if failed { "PROBLEM: Function call failed" } else { "OK" },
            );
            last = Some(outcome);
            if failed {
                sleep(pause).await;
                pause = (2 * pause).min(LONGEST_PAUSE);
            } else {
                pause = FIRST_PAUSE;
            }
        }
    }

    /// <https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html>
    fn measure_age(&self, address: &FunctionAddress, newest: f64) {
        let function = ("FunctionName".to_owned(), address.function_name().to_owned());
        let resource = match &address.qualifier {
            Some(qualifier) => format!("{}:{qualifier}", address.function_name()),
            None => address.function_name().to_owned(),
        };
        let resource = ("Resource".to_owned(), resource);
        let age = (now_ms() as f64 - newest * 1000.0).max(0.0);
        let datum = |dimensions| MetricDatum {
            name: "IteratorAge".to_owned(),
            dimensions,
            timestamp_ms: now_ms(),
            value: age,
            unit: "Milliseconds".to_owned(),
        };
        let data = vec![datum(vec![function.clone()]), datum(vec![function, resource])];
        self.metrics.put(address.region(), "AWS/Lambda", data);
    }

    async fn tell_failure(
        &self,
        mapping: &Mapping,
        settings: &StreamSettings,
        address: &FunctionAddress,
        lot: &Lot,
        condition: &str,
        last: Option<&InvokeOutcome>,
    ) {
        tracing::warn!(
            uuid = mapping.uuid,
            condition,
            records = lot.records.len(),
            "records of a stream were given up"
        );
        let Some(destination) = settings.on_failure.clone() else {
            return;
        };
        let function_arn = address.qualified_arn();
        let record = record_of_failure(
            lot,
            condition,
            &function_arn,
            &mapping.source_arn,
            last,
            jiff::Timestamp::now(),
        );
        let outgoing = Outgoing {
            role: self.role_of(&function_arn),
            destination,
            body: record.to_string(),
            kind: OutgoingKind::Failure { function_arn },
        };
        let destinations = ResultDestinations {
            emulator: self.emulator.clone(),
        };
        match destinations.send(outgoing).await {
            Ok(Sent::Delivered) => {}
            Ok(Sent::ToInvoke) => tracing::warn!(
                uuid = mapping.uuid,
                "records that were given up go to queues and topics only"
            ),
            Err(error) => tracing::warn!(error, "records that were given up could not be told of"),
        }
    }
}
