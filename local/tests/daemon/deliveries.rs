//! Events reach functions, as AWS brings them.

use http::Method;
use serde_json::{Value, json};
use taskctl_local::fire;

use crate::world::{World, base64, until, zipped};

/// A function that says which messages and records it handled, with its version. Its first version fails at poison; records of poison
/// are handled by none.
const HANDLER: &str = r#"#!/usr/bin/env python3
import json, os, urllib.request
base = "http://" + os.environ["AWS_LAMBDA_RUNTIME_API"] + "/2018-06-01/runtime/invocation/"
version = os.environ["AWS_LAMBDA_FUNCTION_VERSION"]
while True:
    with urllib.request.urlopen(base + "next") as event:
        request = event.headers["Lambda-Runtime-Aws-Request-Id"]
        given = json.load(event)
    records = [{"body": given["detail"]["order"]}] if "detail" in given else given["Records"]
    failures = []
    for record in records:
        change = record.get("dynamodb", {})
        if "Sns" in record:
            record = {"body": record["Sns"]["Message"]}
        if "s3" in record:
            record = {"body": record["eventName"] + " " + record["s3"]["object"]["key"]}
        text, item = record.get("body"), record.get("messageId") or change.get("SequenceNumber")
        if change:
            values = [change.get(image, {}).get("v", {}).get("N", "none") for image in ("OldImage", "NewImage")]
            text = " ".join([record["eventName"], change["Keys"]["id"]["S"], *values])
        fails = text == "poison" and version == "1" or "poison" in text and change
        print(("failed at " if fails else "handled ") + text + " in " + version, flush=True)
        if fails:
            failures.append({"itemIdentifier": item})
            if change:
                break
    answer = json.dumps({"batchItemFailures": failures}).encode()
    urllib.request.urlopen(urllib.request.Request(base + request + "/response", data=answer))
"#;
const MAPPINGS: &str = "/2015-03-31/event-source-mappings";
const FUNCTION: &str = "/2015-03-31/functions/worker";

/// The ARN of a queue.
fn arn(name: &str) -> String {
    format!("arn:aws:sqs:eu-central-1:000000000000:{name}")
}

impl World {
    async fn sqs(&self, operation: &str, input: Value) -> Value {
        let answer = self.json("sqs", &format!("AmazonSQS.{operation}"), input).await;
        answer.value()
    }

    async fn put(&self, queue: &str, body: &str) {
        self.sqs("SendMessage", json!({"QueueUrl": queue, "MessageBody": body}))
            .await;
    }

    /// Messages of a queue, visible or not.
    async fn messages(&self, queue: &str) -> u64 {
        let names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"];
        let found = self
            .sqs(
                "GetQueueAttributes",
                json!({"QueueUrl": queue, "AttributeNames": ["All"]}),
            )
            .await;
        let count = |name: &&str| found["Attributes"][*name].as_str().unwrap().parse::<u64>().unwrap();
        names.iter().map(count).sum()
    }

    /// How often the function wrote a line.
    async fn lines(&self, text: &str) -> usize {
        let input = json!({"logGroupName": "/aws/lambda/worker", "filterPattern": format!("\"{text}\"")});
        let answer = self.json("logs", "Logs_20140328.FilterLogEvents", input).await;
        let found: Value = serde_json::from_slice(&answer.body).unwrap();
        found["events"].as_array().map_or(0, Vec::len)
    }

    async fn wrote(&self, text: &str, times: usize) {
        until(text, || async { (self.lines(text).await >= times).then_some(()) }).await;
        assert_eq!(self.lines(text).await, times, "{text}");
    }

    /// What fails in the background ends where its function is configured to send it.
    async fn results(&self) {
        self.sqs("CreateQueue", json!({"QueueName": "failed"})).await;
        let config = json!({
            "MaximumRetryAttempts": 0, "DestinationConfig": {"OnFailure": {"Destination": arn("failed")}},
        });
        let path = "/2019-09-25/functions/worker/event-invoke-config?Qualifier=live";
        let refused = self.rest("lambda", "PUT", path, config.clone()).await;
        assert!(
            refused
                .text()
                .contains("does not have permissions to call SendMessage on"),
            "{}",
            refused.text()
        );
        self.allow("worker-role", "sqs:SendMessage", &arn("failed")).await;
        self.rest("lambda", "PUT", path, config).await.ok();
        let invoke = format!("{FUNCTION}/invocations?Qualifier=live");
        let background = [("x-amz-invocation-type", "Event")];
        let taken = self
            .call("lambda", Method::POST, &invoke, &background, r#"{"no": "records"}"#)
            .await;
        assert_eq!(taken.status, 202);
        until("its result", || async {
            (self.messages("failed").await == 1).then_some(())
        })
        .await;
        let found = self.sqs("ReceiveMessage", json!({"QueueUrl": "failed"})).await;
        let record: Value = serde_json::from_str(found["Messages"][0]["Body"].as_str().unwrap()).unwrap();
        assert_eq!(record["requestContext"]["condition"], "RetriesExhausted");
        assert_eq!(record["requestPayload"], json!({"no": "records"}));
        assert_eq!(record["responseContext"]["executedVersion"], "2");
    }

    /// Puts an item, or deletes it.
    async fn write(&self, id: &str, value: Option<u32>) {
        let key = json!({"S": id});
        let (operation, member, item) = match value {
            Some(value) => ("PutItem", "Item", json!({"id": key, "v": {"N": value.to_string()}})),
            None => ("DeleteItem", "Key", json!({"id": key})),
        };
        let input = json!({"TableName": "orders", member: item});
        self.json("dynamodb", &format!("DynamoDB_20120810.{operation}"), input)
            .await
            .ok();
    }

    /// Every write of a table reaches the function, in order; what it never deals with is told of. Returns the mapping.
    async fn stream(&self) -> String {
        let table = json!({
            "TableName": "orders", "BillingMode": "PAY_PER_REQUEST",
            "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
            "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
            "StreamSpecification": {"StreamEnabled": true, "StreamViewType": "NEW_AND_OLD_IMAGES"},
        });
        let made = self
            .json("dynamodb", "DynamoDB_20120810.CreateTable", table)
            .await
            .value();
        let stream = made["TableDescription"]["LatestStreamArn"].as_str().unwrap().to_owned();
        self.write("a", Some(1)).await;
        let mapping = json!({
            "FunctionName": "worker:live", "EventSourceArn": stream, "StartingPosition": "TRIM_HORIZON", "MaximumRetryAttempts": 1, "BisectBatchOnFunctionError": true,
            "FunctionResponseTypes": ["ReportBatchItemFailures"], "DestinationConfig": {"OnFailure": {"Destination": arn("failed")}},
        });
        let create = || self.rest("lambda", "POST", MAPPINGS, mapping.clone());
        let refused = create().await;
        assert!(
            refused
                .text()
                .contains("Please ensure the role can perform the GetRecords"),
            "{}",
            refused.text()
        );
        self.allow("worker-role", "dynamodb:*", &stream).await;
        let made = create().await.value();
        assert_eq!(
            (&made["BatchSize"], &made["MaximumRecordAgeInSeconds"]),
            (&json!(100), &json!(-1))
        );
        self.write("a", Some(2)).await;
        self.write("poison", Some(1)).await;
        self.write("a", None).await;
        self.wrote("handled REMOVE a 2 none in 2", 1).await;
        self.wrote("handled INSERT a none 1 in 2", 1).await;
        self.wrote("handled MODIFY a 1 2 in 2", 1).await;
        until("what is told of", || async {
            (self.messages("failed").await == 2).then_some(())
        })
        .await;
        // Once more than it is tried again where others were in its batch.
        assert!((2..=3).contains(&self.lines("failed at INSERT poison none 1 in 2").await));
        let input = json!({"Namespace": "AWS/Lambda", "MetricName": "IteratorAge"});
        let input = &input;
        until("the age", || async move {
            let found = self
                .json("monitoring", "GraniteServiceVersion20100801.ListMetrics", input.clone())
                .await;
            found.text().contains("worker:live").then_some(())
        })
        .await;
        format!("{MAPPINGS}/{}", made["UUID"].as_str().unwrap())
    }

    /// Topics, buckets and buses reach functions that let them, and queues whose policies do.
    async fn fan_out(&self) {
        let worker = "arn:aws:lambda:eu-central-1:000000000000:function:worker:live";
        let topic = "arn:aws:sns:eu-central-1:000000000000:news";
        let sns = |parameters: Vec<(&'static str, &'static str)>| async move {
            let version = [("Version", "2010-03-31")];
            self.query("sns", &[&parameters[..], &version].concat()).await.ok()
        };
        sns(vec![("Action", "CreateTopic"), ("Name", "news")]).await;
        self.sqs("CreateQueue", json!({"QueueName": "copies"})).await;
        let subscribe = |protocol, endpoint| {
            vec![
                ("Action", "Subscribe"),
                ("TopicArn", topic),
                ("Protocol", protocol),
                ("Endpoint", endpoint),
            ]
        };
        let only = [
            ("Attributes.entry.1.key", "FilterPolicy"),
            ("Attributes.entry.1.value", r#"{"kind": ["wanted"]}"#),
            ("Attributes.entry.2.key", "FilterPolicyScope"),
            ("Attributes.entry.2.value", "MessageBody"),
        ];
        sns([subscribe("lambda", worker), only.to_vec()].concat()).await;
        sns(subscribe("sqs", "arn:aws:sqs:eu-central-1:000000000000:copies")).await;
        let publish = |message| sns(vec![("Action", "Publish"), ("TopicArn", topic), ("Message", message)]);
        // Neither function nor queue lets it.
        publish(r#"{"kind": "wanted", "n": "first"}"#).await;
        until("its refusal", || async {
            let log = std::fs::read_to_string(self.options.root.join("daemon.log")).unwrap();
            log.contains("does not allow it to be invoked for this").then_some(())
        })
        .await;

        let bucket = self.call("s3", Method::PUT, "/uploads", &[], r#"<CreateBucketConfiguration><LocationConstraint>eu-central-1</LocationConstraint></CreateBucketConfiguration>"#).await;
        bucket.ok();
        let configuration = format!(
            "<NotificationConfiguration><CloudFunctionConfiguration><CloudFunction>{worker}</CloudFunction>\
             <Event>s3:ObjectCreated:*</Event><Filter><S3Key><FilterRule><Name>prefix</Name><Value>in/</Value></FilterRule></S3Key></Filter>\
             </CloudFunctionConfiguration></NotificationConfiguration>"
        );
        let notify = || self.call("s3", Method::PUT, "/uploads?notification", &[], configuration.clone());
        notify().await.refused(400, "InvalidArgument");
        for (id, principal, source) in [
            ("topic", "sns.amazonaws.com", topic),
            ("bucket", "s3.amazonaws.com", "arn:aws:s3:::uploads"),
            (
                "rule",
                "events.amazonaws.com",
                "arn:aws:events:eu-central-1:000000000000:rule/orders",
            ),
        ] {
            let permission = json!({"StatementId": id, "Action": "lambda:InvokeFunction", "Principal": principal, "SourceArn": source});
            self.rest(
                "lambda",
                "POST",
                &format!("{FUNCTION}/policy?Qualifier=live"),
                permission,
            )
            .await
            .ok();
        }
        let statement = json!({
            "Effect": "Allow", "Principal": {"Service": "sns.amazonaws.com"}, "Action": "sqs:SendMessage", "Resource": arn("copies"),
            "Condition": {"ArnEquals": {"aws:SourceArn": topic}},
        });
        let policy = json!({"Version": "2012-10-17", "Statement": [statement]}).to_string();
        self.sqs(
            "SetQueueAttributes",
            json!({"QueueUrl": "copies", "Attributes": {"Policy": policy}}),
        )
        .await;
        notify().await.ok();
        let event = |name: &str, input: Value| {
            let target = format!("AWSEvents.{name}");
            async move { self.json("events", &target, input).await }
        };
        event(
            "PutRule",
            json!({"Name": "orders", "EventPattern": r#"{"source": ["shop"]}"#}),
        )
        .await
        .ok();
        event(
            "PutTargets",
            json!({"Rule": "orders", "Targets": [{"Id": "1", "Arn": worker}]}),
        )
        .await
        .ok();

        publish(r#"{"kind": "wanted", "n": "second"}"#).await;
        publish(r#"{"kind": "other", "n": "third"}"#).await;
        self.call("s3", Method::PUT, "/uploads/in/one.txt", &[], "x").await.ok();
        self.call("s3", Method::PUT, "/uploads/out/two.txt", &[], "x")
            .await
            .ok();
        let entry = |source: &str, order: &str| json!({"Source": source, "DetailType": "order", "Detail": json!({"order": order}).to_string()});
        event(
            "PutEvents",
            json!({"Entries": [entry("shop", "sold"), entry("other", "lost")]}),
        )
        .await
        .ok();
        self.wrote("second", 1).await;
        self.wrote("handled ObjectCreated:Put in/one.txt in 2", 1).await;
        self.wrote("handled sold in 2", 1).await;
        for lost in ["first", "third", "two.txt", "handled lost"] {
            assert_eq!(self.lines(lost).await, 0, "{lost}");
        }
        assert_eq!(self.messages("copies").await, 2);
    }

    /// A schedule is fired when it is due and when it is asked for; what its target does not take is a dead letter.
    async fn schedules(&self) {
        let make = |path: &'static str, input: Value| self.rest("scheduler", "POST", path, input);
        let group = json!({"ClientToken": "1", "Tags": [{"Key": "app", "Value": "x"}]});
        make("/schedule-groups/app-dev", group).await.ok();
        let worker = "arn:aws:lambda:eu-central-1:000000000000:function:worker";
        let schedule = |qualifier: &str, role: &str| {
            json!({
                "GroupName": "app-dev", "ScheduleExpression": "rate(1 hour)", "FlexibleTimeWindow": {"Mode": "OFF"},
                "Target": {
                    "Arn": format!("{worker}:{qualifier}"), "RoleArn": format!("arn:aws:iam::000000000000:role/{role}"),
                    "Input": r#"{"Records": [{"body": "tick", "messageId": "m"}]}"#,
                    "RetryPolicy": {"MaximumRetryAttempts": 0}, "DeadLetterConfig": {"Arn": arn("dead")},
                },
            })
        };
        let refused = make("/schedules/app-dev-tick", schedule("live", "worker-role")).await;
        assert!(
            refused
                .text()
                .contains("must allow AWS EventBridge Scheduler to assume"),
            "{}",
            refused.text()
        );
        let role = self.role_of("clock", "scheduler.amazonaws.com").await;
        self.allow("clock", "lambda:InvokeFunction", &format!("{worker}:*"))
            .await;
        self.allow("clock", "sqs:SendMessage", &arn("dead")).await;
        assert!(role.ends_with("role/clock"));
        make("/schedules/app-dev-tick", schedule("live", "clock")).await.ok();
        self.wrote("handled tick in 2", 1).await;
        let fired = fire(&self.options, "tick").await.unwrap();
        assert_eq!(
            fired,
            "arn:aws:scheduler:eu-central-1:000000000000:schedule/app-dev/app-dev-tick"
        );
        self.wrote("handled tick in 2", 2).await;
        assert!(
            fire(&self.options, "tock")
                .await
                .unwrap_err()
                .to_string()
                .contains("tock")
        );
        make("/schedules/app-dev-lost", schedule("none", "clock")).await.ok();
        until("its dead letter", || async {
            (self.messages("dead").await == 1).then_some(())
        })
        .await;
        self.call("scheduler", Method::DELETE, "/schedule-groups/app-dev", &[], "")
            .await
            .ok();
        self.rest(
            "scheduler",
            "GET",
            "/schedules/app-dev-tick?groupName=app-dev",
            Value::Null,
        )
        .await
        .refused(404, "ResourceNotFoundException");
    }

    async fn settled(&self, mapping: &str, state: &str) {
        until(state, || async {
            let found = self.rest("lambda", "GET", mapping, Value::Null).await.value();
            (found["State"] == state).then_some(())
        })
        .await;
    }
}

/// A queue `jobs` with dead letters, and a function with an alias `live` on its first version.
async fn world() -> World {
    let world = World::running().await;
    world.sqs("CreateQueue", json!({"QueueName": "dead"})).await;
    let redrive = json!({"deadLetterTargetArn": arn("dead"), "maxReceiveCount": 2}).to_string();
    let attributes = json!({"VisibilityTimeout": "1", "RedrivePolicy": redrive});
    world
        .sqs("CreateQueue", json!({"QueueName": "jobs", "Attributes": attributes}))
        .await;
    world.function_of("worker", &zipped(HANDLER)).await;
    let rest = |path: &str, input: Value| {
        let (world, path) = (&world, format!("{FUNCTION}/{path}"));
        async move { world.rest("lambda", "POST", &path, input).await.ok() }
    };
    let quick = json!({"Timeout": 2});
    world
        .rest("lambda", "PUT", &format!("{FUNCTION}/configuration"), quick)
        .await
        .ok();
    rest("versions", json!({})).await;
    rest("aliases", json!({"Name": "live", "FunctionVersion": "1"})).await;
    world
}

async fn mapped(world: &World) -> String {
    let mapping = json!({
        "FunctionName": "worker:live", "EventSourceArn": arn("jobs"), "FunctionResponseTypes": ["ReportBatchItemFailures"],
        "Tags": {"app": "x"},
    });
    let create = || world.rest("lambda", "POST", MAPPINGS, mapping.clone());
    let refused = async |expected: &str| {
        let answer = create().await;
        assert!(answer.text().contains(expected), "{}", answer.text());
    };
    refused("does not have permissions to call ReceiveMessage on SQS").await;
    world.allow("worker-role", "sqs:*", &arn("jobs")).await;
    world.allow("worker-role", "logs:CreateLogGroup", "*").await;
    refused("Queue visibility timeout: 1 seconds is less than Function timeout: 2 seconds").await;
    let visible = json!({"QueueUrl": "jobs", "Attributes": {"VisibilityTimeout": "2"}});
    world.sqs("SetQueueAttributes", visible).await;
    let made = create().await;
    assert_eq!(made.status, 202);
    let made = made.value();
    assert_eq!((&made["State"], &made["BatchSize"]), (&json!("Creating"), &json!(10)));
    create().await.refused(409, "ResourceConflictException");
    format!("{MAPPINGS}/{}", made["UUID"].as_str().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_records_schedules_and_events_reach_functions_or_end_as_dead_letters() {
    let world = world().await;
    let mapping = mapped(&world).await;
    world.settled(&mapping, "Enabled").await;
    let listed = |query: String| {
        let (world, path) = (&world, format!("{MAPPINGS}?{query}"));
        async move { world.rest("lambda", "GET", &path, Value::Null).await.value() }
    };
    let count = |listed: Value| listed["EventSourceMappings"].as_array().unwrap().len();
    assert_eq!(count(listed(format!("EventSourceArn={}", arn("jobs"))).await), 1);
    assert_eq!(count(listed("FunctionName=worker:live".to_owned()).await), 1);
    assert_eq!(count(listed("FunctionName=worker".to_owned()).await), 0);

    for body in ["one", "poison", "two"] {
        world.put("jobs", body).await;
    }
    until("the dead letter", || async {
        (world.messages("dead").await == 1).then_some(())
    })
    .await;
    world.wrote("handled one in 1", 1).await;
    world.wrote("handled two in 1", 1).await;
    world.wrote("failed at poison in 1", 2).await;
    assert_eq!(world.messages("jobs").await, 0);
    until("a metric", || async {
        let input = json!({"Namespace": "AWS/SQS", "MetricName": "ApproximateAgeOfOldestMessage"});
        let found = world
            .json("monitoring", "GraniteServiceVersion20100801.ListMetrics", input)
            .await;
        found.text().contains("dead").then_some(())
    })
    .await;

    // The next version can handle it: it is moved back.
    let code = json!({"ZipFile": base64(&zipped(&format!("{HANDLER}\n")))});
    world
        .rest("lambda", "PUT", &format!("{FUNCTION}/code"), code)
        .await
        .ok();
    world
        .rest("lambda", "POST", &format!("{FUNCTION}/versions"), json!({}))
        .await
        .ok();
    let live = json!({"FunctionVersion": "2"});
    world
        .rest("lambda", "PUT", &format!("{FUNCTION}/aliases/live"), live)
        .await
        .ok();
    let sources = world
        .sqs(
            "ListDeadLetterSourceQueues",
            json!({"QueueUrl": "http://x/000000000000/dead"}),
        )
        .await;
    assert_eq!(sources["queueUrls"], json!(["http://x/000000000000/jobs"]));
    let wrong = world
        .json(
            "sqs",
            "AmazonSQS.StartMessageMoveTask",
            json!({"SourceArn": arn("jobs")}),
        )
        .await;
    wrong.refused(400, "InvalidParameterValue");
    world
        .sqs("StartMessageMoveTask", json!({"SourceArn": arn("dead")}))
        .await;
    world.wrote("handled poison in 2", 1).await;
    let moved = world
        .sqs("ListMessageMoveTasks", json!({"SourceArn": arn("dead")}))
        .await;
    assert_eq!(moved["Results"][0]["ApproximateNumberOfMessagesMoved"], 1);

    world.schedules().await;
    world.results().await;
    let stream = world.stream().await;
    world.fan_out().await;

    // Switched off it leaves messages alone, over a restart, too; switched on it brings them.
    let switch = |enabled: bool| world.rest("lambda", "PUT", &mapping, json!({"Enabled": enabled}));
    assert_eq!(switch(false).await.value()["State"], "Disabling");
    world.settled(&mapping, "Disabled").await;
    world.put("jobs", "three").await;
    world.down().await;
    world.up().await;
    world.settled(&mapping, "Disabled").await;
    assert_eq!(world.messages("jobs").await, 1);
    world.write("a", Some(3)).await;
    world.wrote("handled INSERT a none 3 in 2", 1).await;
    assert_eq!(world.lines("handled INSERT a none 1 in 2").await, 1);
    assert_eq!(
        world.rest("lambda", "GET", &stream, Value::Null).await.value()["LastProcessingResult"],
        "OK"
    );
    assert_eq!(switch(true).await.value()["State"], "Enabling");
    world.wrote("handled three in 2", 1).await;
    let tags = format!(
        "/2017-03-31/tags/arn:aws:lambda:eu-central-1:000000000000:event-source-mapping:{}",
        &mapping[MAPPINGS.len() + 1..]
    );
    assert_eq!(
        world.rest("lambda", "GET", &tags, Value::Null).await.value()["Tags"],
        json!({"app": "x"})
    );

    let deleted = world.call("lambda", Method::DELETE, &mapping, &[], "").await;
    assert_eq!(deleted.value()["State"], "Deleting");
    until("the end of the mapping", || async {
        let found = world.rest("lambda", "GET", &mapping, Value::Null).await;
        (found.status == 404).then_some(())
    })
    .await;
}
