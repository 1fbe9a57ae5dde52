//! Calls on event source mappings.
//! <https://docs.aws.amazon.com/lambda/latest/api/API_CreateEventSourceMapping.html>

use ::http::Method;
use ::http::request::Parts;
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use super::model::{Change, Input, Mapping, Settings};
use super::rules::{check_members, settings};
use super::stream::{SHARD, sequence};
use super::streams::{self, is_stream, may_read};
use super::{Mappings, arn, check_tags, is_of};
use crate::ports::{FunctionAddress, FunctionSource as _, Resolved};
use crate::protocol::classify::{Call, query_parameter, query_parameters};
use crate::protocol::emulator_client::{Caller, EmulatorClient, EmulatorError};
use crate::services::iam::permissions;
use crate::services::iam::policy::Verdict;
use crate::services::iam::required::Actions;
use crate::services::lambda::Owner;
use crate::services::lambda::address::parse_name;
use crate::services::lambda::model::function_arn;
use crate::services::lambda::rest::{TagsInput, parsed};
use crate::services::lambda::rules::{absent, conflict, constraint, invalid, missing};
use crate::services::queues::Queue;
use crate::services::{Fault, Reply, Services, now_seconds, page};

/// Largest page of a list. <https://docs.aws.amazon.com/lambda/latest/api/API_ListEventSourceMappings.html>
const PAGE: usize = 100;
/// Calls of streams of tables.
const STREAMS: &str = "DynamoDBStreams_20120810";
/// What the role of a function needs. <https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html>
const QUEUE_ACTIONS: [&str; 3] = ["ReceiveMessage", "DeleteMessage", "GetQueueAttributes"];

/// Whether a path of the Lambda API is about mappings.
pub(in crate::services::lambda) fn is_of_mappings(path: &str) -> bool {
    let path = percent_decode_str(path).decode_utf8_lossy();
    let mut segments = path.split('/').skip(2);
    match segments.next() {
        Some("event-source-mappings") => true,
        // Other ARNs are refused where those of functions are.
        Some("tags") => match path.split(':').collect::<Vec<_>>().as_slice() {
            [_, _, "lambda", _, _, "event-source-mapping", id] => uuid::Uuid::try_parse(id).is_ok(),
            _ => false,
        },
        _ => false,
    }
}

impl Services {
    pub(in crate::services::lambda) async fn call_mappings(
        &self,
        call: &Call,
        parts: &Parts,
        body: &[u8],
    ) -> Result<Reply, Fault> {
        let owner = Owner {
            account: &call.account,
            region: &call.region,
        };
        let path = percent_decode_str(parts.uri.path()).decode_utf8_lossy().into_owned();
        let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
        let query = parts.uri.query().unwrap_or_default();
        match (&parts.method, segments.get(1..).unwrap_or_default()) {
            (&Method::GET, ["event-source-mappings"]) => self.mappings.list(owner, query),
            (&Method::POST, ["event-source-mappings"]) => {
                let input = parsed(body)?;
                Ok(Reply::json(202, &self.create_mapping(call, owner, &input).await?))
            }
            (&Method::GET, ["event-source-mappings", uuid]) => {
                let shown = self.mappings.read(owner, uuid, |mapping| self.mappings.view(mapping));
                Ok(Reply::json(200, &shown.ok_or_else(unknown)?))
            }
            (&Method::PUT, ["event-source-mappings", uuid]) => {
                let input = parsed(body)?;
                Ok(Reply::json(202, &self.update_mapping(owner, uuid, &input).await?))
            }
            (&Method::DELETE, ["event-source-mappings", uuid]) => {
                Ok(Reply::json(202, &self.mappings.delete(owner, uuid)?))
            }
            (method, ["tags", arn @ ..]) => self.mappings.call_tags(owner, method, &arn.join("/"), query, body),
            (method, _) => Err(invalid(format!("{method} {path} is not served by the local target"))),
        }
    }

    async fn create_mapping(&self, call: &Call, owner: Owner<'_>, input: &Input) -> Result<Value, Fault> {
        let name = input.function_name.as_deref().ok_or_else(|| absent("functionName"))?;
        let source = input.event_source_arn.as_deref().unwrap_or_default();
        let address = self.mapped_function(owner, name)?;
        check_tags(&input.tags)?;
        let mut settings = checked_settings(input, source, None)?;
        self.check_source(owner, source, &address).await?;
        if let Some(stream) = settings
            .stream
            .as_mut()
            .filter(|stream| stream.starting_position == "LATEST")
        {
            // What is written from now on is brought, also before the first look.
            stream.after = self.newest_record(&caller_of(owner), source).await;
            if stream.after.is_none() {
                stream.reads_all = true;
            }
        }
        let mapping = Mapping {
            uuid: uuid::Uuid::new_v4().to_string(),
            account: call.account.clone(),
            region: call.region.clone(),
            function_arn: address.qualified_arn(),
            source_arn: source.to_owned(),
            enabled: input.enabled.unwrap_or(true),
            settings,
            tags: input.tags.clone(),
            modified: now_seconds(),
            last_result: None,
            transition: self.mappings.begin_change(Change::Creating),
        };
        self.mappings.check_unique(owner, &mapping)?;
        let shown = view(&mapping, Change::Creating.name());
        self.mappings.insert(mapping)?;
        Ok(shown)
    }

    async fn update_mapping(&self, owner: Owner<'_>, uuid: &str, input: &Input) -> Result<Value, Fault> {
        let before = self.mappings.read(owner, uuid, Clone::clone).ok_or_else(unknown)?;
        self.mappings.check_settled(&before, "update")?;
        let changed = checked_settings(input, &before.source_arn, Some(&before.settings))?;
        let address = match input.function_name.as_deref() {
            Some(name) => self.mapped_function(owner, name)?,
            None => FunctionAddress::parse(&before.function_arn).ok_or_else(unknown)?,
        };
        // One that is switched off is, whatever has become of its function.
        if input.enabled != Some(false) {
            self.check_source(owner, &before.source_arn, &address).await?;
        }
        let kind = match input.enabled {
            Some(true) if !before.enabled => Change::Enabling,
            Some(false) if before.enabled => Change::Disabling,
            _ => Change::Updating,
        };
        let after = Mapping {
            function_arn: address.qualified_arn(),
            enabled: input.enabled.unwrap_or(before.enabled),
            settings: changed,
            modified: now_seconds(),
            transition: self.mappings.begin_change(kind),
            ..before
        };
        if input.function_name.is_some() {
            self.mappings.check_unique(owner, &after)?;
        }
        self.mappings.change(owner, uuid, unknown, |mapping| {
            let read = mapping.settings.stream.take().and_then(|stream| stream.after);
            *mapping = after;
            if let Some(stream) = &mut mapping.settings.stream {
                stream.after = read;
            }
            Ok(view(mapping, kind.name()))
        })
    }

    /// The function that a mapping names.
    fn mapped_function(&self, owner: Owner<'_>, text: &str) -> Result<FunctionAddress, Fault> {
        let (name, qualifier) = parse_name(owner, text)?;
        self.functions
            .address(owner, &name, qualifier.as_deref())
            .map_err(|fault| match fault.status {
                404 => invalid("Function does not exist"),
                _ => fault,
            })
    }

    /// Whether the function may have the source.
    async fn check_source(&self, owner: Owner<'_>, arn: &str, address: &FunctionAddress) -> Result<(), Fault> {
        let resolved = self.functions.resolve(address);
        let resolved = resolved.map_err(|_| invalid("Function does not exist"))?;
        match Queue::parse(arn) {
            Some(queue) => self.check_queue(&queue, &resolved).await,
            None => {
                let role = resolved.targets.first().map(|target| target.version.role.clone());
                self.check_stream(&caller_of(owner), arn, &role.unwrap_or_default())
                    .await
            }
        }
    }

    async fn check_stream(&self, caller: &Caller, arn: &str, role: &str) -> Result<(), Fault> {
        if !may_read(&self.emulator, caller, arn, role).await {
            return Err(invalid(format!(
                "Cannot access stream {arn}. Please ensure the role can perform the GetRecords, GetShardIterator, DescribeStream, and \
                 ListStreams Actions on your stream in IAM."
            )));
        }
        let input = json!({"StreamArn": arn});
        let described = self
            .emulator
            .json(caller, "dynamodb", &format!("{STREAMS}.DescribeStream"), &input)
            .await;
        match described {
            Ok(_) => Ok(()),
            Err(EmulatorError::Refused { .. }) => Err(invalid(format!("Stream not found: {arn}"))),
            Err(EmulatorError::NoAnswer(error)) => Err(Fault::new(503, "ServiceException", error.to_string())),
        }
    }

    /// The newest record of a stream.
    async fn newest_record(&self, caller: &Caller, arn: &str) -> Option<String> {
        let ask = async |operation: &str, input: Value| {
            self.emulator
                .json(caller, "dynamodb", &format!("{STREAMS}.{operation}"), &input)
                .await
                .ok()
        };
        let input = json!({"StreamArn": arn, "ShardId": SHARD, "ShardIteratorType": "TRIM_HORIZON"});
        let mut iterator = ask("GetShardIterator", input).await?["ShardIterator"]
            .as_str()?
            .to_owned();
        let mut newest = None;
        loop {
            let page = ask("GetRecords", json!({"ShardIterator": iterator})).await?;
            let Some(last) = page["Records"].as_array().and_then(|records| records.last()) else {
                return newest;
            };
            newest = Some(sequence(last).to_owned());
            iterator = page["NextShardIterator"].as_str()?.to_owned();
        }
    }

    /// Whether the function may have the queue, and can be done before a message is visible again.
    async fn check_queue(&self, source: &Queue, resolved: &Resolved) -> Result<(), Fault> {
        let attributes = source.attributes(&self.emulator).await.map_err(|error| match error {
            EmulatorError::Refused { .. } => invalid(
                "Error occurred while ReceiveMessage. SQS Error Code: AWS.SimpleQueueService.NonExistentQueue. SQS Error Message: \
                 The specified queue does not exist.",
            ),
            EmulatorError::NoAnswer(error) => Fault::new(503, "ServiceException", error.to_string()),
        })?;
        let role = resolved.targets.first().map(|target| target.version.role.clone());
        may_poll(&self.emulator, source, &role.unwrap_or_default())
            .await
            .map_err(|action| {
                invalid(format!(
                    "The provided execution role does not have permissions to call {action} on SQS"
                ))
            })?;
        let visible = attributes["VisibilityTimeout"]
            .as_str()
            .and_then(|text| text.parse().ok());
        let visible: u64 = visible.unwrap_or(30);
        let timeouts = resolved.targets.iter().map(|target| target.version.timeout.as_secs());
        let timeout = timeouts.max().unwrap_or_default();
        match visible < timeout {
            true => Err(invalid(format!(
                "Queue visibility timeout: {visible} seconds is less than Function timeout: {timeout} seconds"
            ))),
            false => Ok(()),
        }
    }
}

/// The settings of a mapping of a source that is known.
fn checked_settings(input: &Input, source_arn: &str, before: Option<&Settings>) -> Result<Settings, Fault> {
    if is_stream(source_arn) {
        return streams::settings(input, source_arn, before);
    }
    let queue = Queue::parse(source_arn).ok_or_else(|| invalid("Unrecognized event source."))?;
    check_members(input)?;
    settings(input, queue.is_fifo(), before)
}

fn caller_of(owner: Owner<'_>) -> Caller {
    Caller {
        account: owner.account.to_owned(),
        region: owner.region.to_owned(),
    }
}

/// Whether a role may do with a queue what a poller does; the first action that it may not.
pub(super) async fn may_poll(emulator: &EmulatorClient, queue: &Queue, role: &str) -> Result<(), &'static str> {
    let call = Call::internal("sqs", queue.region(), role.split(':').nth(4).unwrap_or_default());
    let permissions = permissions::read(emulator, &Caller::of(&call), role).await;
    let at = Actions { call: &call };
    let denied = QUEUE_ACTIONS.into_iter().find(|action| {
        let wanted = at.on(format!("sqs:{action}"), &queue.arn);
        permissions.judge(&wanted) != Verdict::Allowed
    });
    denied.map_or(Ok(()), Err)
}

impl Mappings {
    fn list(&self, owner: Owner<'_>, query: &str) -> Result<Reply, Fault> {
        let source = query_parameter(query, "EventSourceArn");
        let function = match query_parameter(query, "FunctionName") {
            None => None,
            Some(text) => {
                let (name, qualifier) = parse_name(owner, &text)?;
                let function_arn = function_arn(owner.account, owner.region, &name);
                Some(
                    FunctionAddress {
                        function_arn,
                        qualifier,
                    }
                    .qualified_arn(),
                )
            }
        };
        let size = match query_parameter(query, "MaxItems") {
            None => PAGE,
            Some(text) => match text.parse() {
                Ok(size @ 1..=10_000) => PAGE.min(size),
                _ => {
                    let rule = "Member must have value less than or equal to 10000";
                    return Err(constraint(&text, "maxItems", rule));
                }
            },
        };
        let is_wanted = |mapping: &&Mapping| {
            is_of(mapping, owner)
                && source.as_ref().is_none_or(|source| *source == mapping.source_arn)
                && function
                    .as_ref()
                    .is_none_or(|function| *function == mapping.function_arn)
        };
        let kept = self.kept.lock();
        let all: Vec<Value> = kept
            .values()
            .filter(is_wanted)
            .filter_map(|mapping| Some(view(mapping, self.state(mapping)?)))
            .collect();
        drop(kept);
        let marker = query_parameter(query, "Marker");
        let (items, next) = page(all, size, marker.as_deref()).map_err(|()| invalid("The marker is not valid."))?;
        let mut body = json!({"EventSourceMappings": items});
        if let Some(next) = next {
            body["NextMarker"] = next.into();
        }
        Ok(Reply::json(200, &body))
    }

    fn delete(&self, owner: Owner<'_>, uuid: &str) -> Result<Value, Fault> {
        let before = self.read(owner, uuid, Clone::clone).ok_or_else(unknown)?;
        self.check_settled(&before, "delete")?;
        let transition = self.begin_change(Change::Deleting);
        let mut shown = Value::Null;
        self.change(owner, uuid, unknown, |mapping| {
            mapping.enabled = false;
            mapping.transition = transition;
            shown = view(mapping, Change::Deleting.name());
            Ok(())
        })?;
        Ok(shown)
    }

    fn call_tags(
        &self,
        owner: Owner<'_>,
        method: &Method,
        arn: &str,
        query: &str,
        body: &[u8],
    ) -> Result<Reply, Fault> {
        match *method {
            Method::GET => {
                let tags = self.tags(owner, arn, |_| ())?;
                Ok(Reply::json(200, &json!({"Tags": tags})))
            }
            Method::POST => {
                let given: TagsInput = parsed(body)?;
                self.tags(owner, arn, |tags| tags.extend(given.tags))?;
                Ok(Reply::empty(204))
            }
            _ => {
                let keys = query_parameters(query, "tagKeys");
                self.tags(owner, arn, |tags| tags.retain(|key, _| !keys.contains(key)))?;
                Ok(Reply::empty(204))
            }
        }
    }

    fn check_unique(&self, owner: Owner<'_>, new: &Mapping) -> Result<(), Fault> {
        let kept = self.kept.lock();
        let is_same = |one: &&Mapping| {
            one.uuid != new.uuid
                && is_of(one, owner)
                && self.state(one).is_some()
                && one.source_arn == new.source_arn
                && one.function_arn == new.function_arn
        };
        let Some(found) = kept.values().find(is_same) else {
            return Ok(());
        };
        let name = FunctionAddress::parse(&new.function_arn);
        let name = name.as_ref().map(FunctionAddress::function_name).unwrap_or_default();
        if is_stream(&new.source_arn) {
            return Err(conflict(format!(
                "The event source arn (\" {} \") and function (\" {name} \") provided mapping already exists. Please update or delete the \
                 existing mapping with UUID {}",
                new.source_arn, found.uuid
            )));
        }
        Err(conflict(format!(
            "An event source mapping with SQS arn (\" {} \") and function (\" {name} \") already exists. Please update or delete the \
             existing mapping with UUID {}",
            new.source_arn, found.uuid
        )))
    }

    /// Refuses what cannot be done before the last change is in effect.
    fn check_settled(&self, mapping: &Mapping, verb: &str) -> Result<(), Fault> {
        match self.transition(mapping) {
            None => Ok(()),
            Some(_) => Err(Fault::new(
                400,
                "ResourceInUseException",
                format!("Cannot {verb} the event source mapping because it is in use."),
            )
            .with("Type", "User")),
        }
    }

    fn view(&self, mapping: &Mapping) -> Value {
        view(mapping, self.state(mapping).unwrap_or(Change::Deleting.name()))
    }
}

/// `EventSourceMappingConfiguration`, whose members are those of its kind of source.
fn view(mapping: &Mapping, state: &str) -> Value {
    let Settings {
        batch_size,
        window_seconds,
        filters,
        response_types,
        maximum_concurrency,
        stream,
    } = &mapping.settings;
    let mut shown = json!({
        "UUID": mapping.uuid,
        "BatchSize": batch_size,
        "MaximumBatchingWindowInSeconds": window_seconds,
        "EventSourceArn": mapping.source_arn,
        "FunctionArn": mapping.function_arn,
        "LastModified": mapping.modified,
        "State": state,
        "StateTransitionReason": "USER_INITIATED",
        "FunctionResponseTypes": response_types,
        "EventSourceMappingArn": arn(mapping),
    });
    if !filters.is_empty() {
        let filters: Vec<Value> = filters.iter().map(|text| json!({"Pattern": text})).collect();
        shown["FilterCriteria"] = json!({"Filters": filters});
    }
    if let Some(most) = maximum_concurrency {
        shown["ScalingConfig"] = json!({"MaximumConcurrency": most});
    }
    if let Some(stream) = stream {
        let forever = |given: Option<u64>| given.map_or_else(|| json!(-1), |given| json!(given));
        let on_failure = match &stream.on_failure {
            Some(arn) => json!({"Destination": arn}),
            None => json!({}),
        };
        for (member, value) in [
            ("StartingPosition", json!(stream.starting_position)),
            ("BisectBatchOnFunctionError", json!(stream.bisect)),
            ("MaximumRetryAttempts", forever(stream.maximum_retries)),
            ("MaximumRecordAgeInSeconds", forever(stream.maximum_age)),
            ("ParallelizationFactor", json!(stream.lanes)),
            ("TumblingWindowInSeconds", json!(0)),
            ("DestinationConfig", json!({"OnFailure": on_failure})),
            (
                "LastProcessingResult",
                json!(mapping.last_result.as_deref().unwrap_or("No records processed")),
            ),
            ("StateTransitionReason", json!("User action")),
        ] {
            shown[member] = value;
        }
    }
    shown
}

fn unknown() -> Fault {
    missing("The resource you requested does not exist.")
}
