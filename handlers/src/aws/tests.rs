//! The adapters against answers of AWS, replayed.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region};
use serde_json::{Value, json};

use super::replay::Replay;
use super::*;
use crate::counter::{COUNTER_ID, COUNTER_KEY};
use crate::ports::{
    Below, Commit, Condition, Counter, HotSpot, IndexQuery, Item, Objects, Probe, Refusal, Store, StoreError, Upload,
    Write,
};
use crate::record::Millis;

const NOW: Millis = Millis(1_763_681_475_123);

fn dynamodb(replay: &Replay) -> aws_sdk_dynamodb::Client {
    let config = aws_sdk_dynamodb::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("eu-central-1"))
        .credentials_provider(Credentials::new("key", "secret", None, None, "test"))
        .retry_config(RetryConfig::standard().with_max_attempts(4))
        .http_client(replay.clone());
    aws_sdk_dynamodb::Client::from_conf(config.build())
}

fn store(replay: &Replay) -> DynamoStore {
    DynamoStore::new(dynamodb(replay), "tasks".to_owned(), "taskId")
}

fn error(code: &str) -> Value {
    json!({"__type": format!("com.amazonaws.dynamodb.v20120810#{code}"), "message": "told"})
}

fn item() -> Item {
    Item::default().with("taskId", "t").with("revision", 1)
}

#[tokio::test(start_paused = true)]
async fn a_create_whose_first_answer_was_lost_recognises_itself() {
    let mut refused = error("ConditionalCheckFailedException");
    refused["Item"] = json!({"taskId": {"S": "t"}, "revision": {"N": "1"}});
    let replay = Replay::of(&[(500, error("InternalServerError")), (400, refused)]);
    let write = Write::Put {
        item: item(),
        when: Condition::Absent,
    };
    assert_eq!(store(&replay).commit(&[write]).await.unwrap(), Commit::Done);
    assert_eq!(
        replay
            .sent()
            .iter()
            .map(|(target, _)| target.as_str())
            .collect::<Vec<_>>(),
        ["PutItem", "PutItem"]
    );
}

#[tokio::test]
async fn another_ones_item_is_not_taken_for_ones_own() {
    let mut refused = error("ConditionalCheckFailedException");
    refused["Item"] = json!({"taskId": {"S": "t"}, "revision": {"N": "2"}});
    let replay = Replay::of(&[(400, refused)]);
    let write = Write::Put {
        item: item(),
        when: Condition::Absent,
    };
    let existing = Some(Item::default().with("taskId", "t").with("revision", 2));
    assert_eq!(
        store(&replay).commit(&[write]).await.unwrap(),
        Commit::Refused(vec![Refusal { write: 0, existing }])
    );
}

#[tokio::test(start_paused = true)]
async fn a_repeated_transaction_carries_the_same_token() {
    let replay = Replay::of(&[(500, error("InternalServerError")), (200, json!({}))]);
    let write = Write::Delete {
        key: "t".to_owned(),
        when: Condition::Revision(3),
    };
    assert_eq!(store(&replay).commit(&[write]).await.unwrap(), Commit::Done);
    let tokens: Vec<Value> = replay
        .sent()
        .into_iter()
        .map(|(_, body)| body["ClientRequestToken"].clone())
        .collect();
    assert!(
        tokens.len() == 2 && tokens[0].is_string() && tokens[0] == tokens[1],
        "{tokens:?}"
    );
}

#[tokio::test]
async fn each_write_says_what_it_requires() {
    let replay = Replay::of(&[(200, json!({}))]);
    let set = Item::default().with("title", "x").with("revision", 2);
    let writes = [
        Write::Update {
            key: "t".to_owned(),
            set,
            remove: vec!["dueAt".to_owned()],
            when: Condition::Revision(1),
        },
        Write::Put {
            item: item().with("tags", vec!["a".to_owned()]),
            when: Condition::AbsentOrExpired(NOW),
        },
        Write::Put {
            item: item(),
            when: Condition::FreeFor {
                now: NOW,
                owner: "u".to_owned(),
            },
        },
        Write::Delete {
            key: "p".to_owned(),
            when: Condition::Always,
        },
    ];
    store(&replay).commit(&writes).await.unwrap();
    let (target, mut body) = replay.sent().remove(0);
    body.as_object_mut().unwrap().remove("ClientRequestToken");
    assert_eq!(target, "TransactWriteItems");
    let expected = json!({"TransactItems": [
        {"Update": {"TableName": "tasks", "Key": {"taskId": {"S": "t"}},
            "UpdateExpression": "SET #s0 = :s0, #s1 = :s1 REMOVE #r0", "ConditionExpression": "#revision = :revision",
            "ExpressionAttributeNames": {"#revision": "revision", "#s0": "revision", "#s1": "title", "#r0": "dueAt"},
            "ExpressionAttributeValues": {":revision": {"N": "1"}, ":s0": {"N": "2"}, ":s1": {"S": "x"}},
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD"}},
        {"Put": {"TableName": "tasks", "Item": {"taskId": {"S": "t"}, "revision": {"N": "1"}, "tags": {"L": [{"S": "a"}]}},
            "ConditionExpression": "attribute_not_exists(#key) OR #ttl <= :now",
            "ExpressionAttributeNames": {"#key": "taskId", "#ttl": "ttl"}, "ExpressionAttributeValues": {":now": {"N": "1763681475"}},
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD"}},
        {"Put": {"TableName": "tasks", "Item": {"taskId": {"S": "t"}, "revision": {"N": "1"}},
            "ConditionExpression": "attribute_not_exists(#key) OR #ttl <= :now OR #owner = :owner",
            "ExpressionAttributeNames": {"#key": "taskId", "#ttl": "ttl", "#owner": "owner"},
            "ExpressionAttributeValues": {":now": {"N": "1763681475"}, ":owner": {"S": "u"}},
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD"}},
        {"Delete": {"TableName": "tasks", "Key": {"taskId": {"S": "p"}}}},
    ]});
    assert_eq!(body, expected);
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_transaction_tells_why() {
    let cancelled = |reasons: Value| {
        let mut body = error("TransactionCanceledException");
        body["CancellationReasons"] = reasons;
        (400, body)
    };
    let replay = Replay::of(&[
        cancelled(json!([{"Code": "None"}, {"Code": "ConditionalCheckFailed", "Item": {"taskId": {"S": "t"}}}])),
        cancelled(json!([{"Code": "TransactionConflict", "Message": "busy"}, {"Code": "None"}])),
        cancelled(json!([{"Code": "ThrottlingError", "Message": "slow down"}, {"Code": "None"}])),
        cancelled(json!([{"Code": "ValidationError", "Message": "too big"}, {"Code": "None"}])),
        (400, error("TransactionInProgressException")),
    ]);
    let store = store(&replay);
    let writes = [
        Write::Put {
            item: item(),
            when: Condition::Always,
        },
        Write::Delete {
            key: "p".to_owned(),
            when: Condition::Always,
        },
    ];
    let existing = Some(Item::default().with("taskId", "t"));
    assert_eq!(
        store.commit(&writes).await.unwrap(),
        Commit::Refused(vec![Refusal { write: 1, existing }])
    );
    assert_eq!(store.commit(&writes).await.unwrap(), Commit::Contended);
    assert!(matches!(
        store.commit(&writes).await,
        Err(StoreError::Throttled {
            hot: HotSpot::IndexPartition,
            ..
        })
    ));
    let failed = store.commit(&writes).await.unwrap_err();
    assert_eq!(
        taskctl_lambda::cause_chain(&failed),
        "TransactWriteItems failed: ValidationError"
    );
}

#[tokio::test(start_paused = true)]
async fn throttling_is_retried_and_then_told_with_its_place() {
    let mut hot = error("ThrottlingException");
    hot["throttlingReasons"] =
        json!([{"reason": "IndexWriteKeyRangeThroughputExceeded", "resource": "arn:…/index/createdAt-index"}]);
    let table = error("ProvisionedThroughputExceededException");
    let answers: Vec<(u16, Value)> = [vec![(400, hot); 4], vec![(400, table); 4]].concat();
    let replay = Replay::of(&answers);
    let store = store(&replay);
    let write = [Write::Put {
        item: item(),
        when: Condition::Absent,
    }];
    assert!(matches!(
        store.commit(&write).await,
        Err(StoreError::Throttled {
            hot: HotSpot::IndexPartition,
            ..
        })
    ));
    assert!(matches!(
        store.commit(&write).await,
        Err(StoreError::Throttled {
            hot: HotSpot::Elsewhere,
            ..
        })
    ));
    assert_eq!(replay.sent().len(), 8);
}

#[tokio::test]
async fn a_query_reads_an_index_downwards() {
    let replay = Replay::of(&[(
        200,
        json!({"Items": [{"taskId": {"S": "t"}, "odd": {"BOOL": true}}], "LastEvaluatedKey": {"taskId": {"S": "t"}}}),
    )]);
    let below = Below::Text {
        attribute: "taskId",
        less_than: "z".to_owned(),
    };
    let query = IndexQuery {
        index: "createdAt-index",
        partition_attribute: "listPartition",
        partition: "all/2025-11/0".to_owned(),
        below,
        limit: 21,
        start: Some(item()),
    };
    let page = store(&replay).query(&query).await.unwrap();
    assert_eq!(
        (page.items, page.next),
        (
            vec![Item::default().with("taskId", "t")],
            Some(Item::default().with("taskId", "t"))
        )
    );
    let expected = json!({"TableName": "tasks", "IndexName": "createdAt-index", "Limit": 21, "ScanIndexForward": false,
        "KeyConditionExpression": "#p = :p AND #s < :s", "ExpressionAttributeNames": {"#p": "listPartition", "#s": "taskId"},
        "ExpressionAttributeValues": {":p": {"S": "all/2025-11/0"}, ":s": {"S": "z"}},
        "ExclusiveStartKey": {"taskId": {"S": "t"}, "revision": {"N": "1"}}});
    assert_eq!(replay.sent(), [("Query".to_owned(), expected)]);
}

#[tokio::test(start_paused = true)]
async fn what_a_batch_leaves_is_asked_for_again() {
    let found = |id: &str| json!({"taskId": {"S": id}});
    let replay = Replay::of(&[
        (
            200,
            json!({"Responses": {"tasks": [found("a")]}, "UnprocessedKeys": {"tasks": {"Keys": [found("b")], "ConsistentRead": true}}}),
        ),
        (
            200,
            json!({"Responses": {"tasks": [found("b")]}, "UnprocessedKeys": {}}),
        ),
    ]);
    let began = tokio::time::Instant::now();
    let items = store(&replay)
        .get_many(&["a".to_owned(), "b".to_owned()])
        .await
        .unwrap();
    let waited = began.elapsed().as_millis();
    assert!((50..=401).contains(&waited), "{waited}");
    assert_eq!(
        items
            .iter()
            .map(|item| item.text("taskId").unwrap())
            .collect::<Vec<_>>(),
        ["a", "b"]
    );
    assert!(
        replay
            .sent()
            .iter()
            .all(|(_, body)| body["RequestItems"]["tasks"]["ConsistentRead"] == true)
    );
}

#[tokio::test(start_paused = true)]
async fn the_counter_is_raised_again_after_throttling_only() {
    let counted = (200, json!({"Attributes": {"visit_count": {"N": "7"}}}));
    let throttled = Replay::of(&[
        (400, error("ThrottlingException")),
        (400, error("ProvisionedThroughputExceededException")),
        counted,
    ]);
    let counter = |replay: &Replay| DynamoCounter::new(dynamodb(replay), "counter".to_owned());
    assert_eq!(counter(&throttled).raise(NOW).await.unwrap(), 7);
    assert_eq!(throttled.sent().len(), 3);
    let values = &throttled.sent()[0].1["ExpressionAttributeValues"];
    assert_eq!(
        values[":expires"],
        json!({"N": (1_763_681_475 + 30 * 24 * 3600).to_string()})
    );
    let ambiguous = Replay::of(&[(500, error("InternalServerError"))]);
    assert!(matches!(
        counter(&ambiguous).raise(NOW).await,
        Err(StoreError::Failed { .. })
    ));
    assert_eq!(ambiguous.sent().len(), 1, "it may have been counted");
}

#[tokio::test]
async fn a_probe_reads_one_item() {
    let replay = Replay::of(&[(200, json!({"Item": {"visit_count": {"N": "41"}}})), (200, json!({}))]);
    let probe = DynamoProbe::new(dynamodb(&replay), "counter".to_owned(), COUNTER_KEY, COUNTER_ID);
    assert_eq!(
        (probe.read().await.unwrap(), probe.read().await.unwrap()),
        (Some(41), None)
    );
}

fn bucket(replay: &Replay) -> S3Objects {
    let config = aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("eu-central-1"))
        .credentials_provider(Credentials::new("key", "secret", None, None, "test"))
        .http_client(replay.clone());
    S3Objects::new(aws_sdk_s3::Client::from_conf(config.build()), "bucket".to_owned())
}

#[tokio::test]
async fn an_object_that_may_not_be_seen_is_not_there() {
    let replay = Replay::of(&[(404, Value::Null), (403, Value::Null)]);
    let bucket = bucket(&replay);
    assert_eq!(bucket.head("a").await.unwrap(), None);
    assert_eq!(bucket.head("a").await.unwrap(), None);
}

#[tokio::test]
async fn urls_are_signed_for_type_length_place_and_an_hour() {
    let upload = Upload {
        key: "assets/i/a b.txt",
        content_type: "text/plain",
        size: 5,
        replaces: "\"r\"",
    };
    let bucket = bucket(&Replay::of(&[]));
    let signed = bucket.upload_url(&upload, 3600).await.unwrap();
    assert!(
        signed
            .url
            .starts_with("https://bucket.s3.eu-central-1.amazonaws.com/assets/i/a%20b.txt?"),
        "{}",
        signed.url
    );
    for part in [
        "X-Amz-Expires=3600",
        "X-Amz-SignedHeaders=content-length%3Bcontent-type%3Bhost%3Bif-match",
    ] {
        assert!(signed.url.contains(part), "{part}: {}", signed.url);
    }
    assert_eq!(
        signed.headers.into_iter().collect::<Vec<_>>(),
        [
            ("content-type".to_owned(), "text/plain".to_owned()),
            ("if-match".to_owned(), "\"r\"".to_owned())
        ]
    );
    let signed = bucket
        .download_url("k", "attachment; filename=\"a\"", 3600)
        .await
        .unwrap();
    assert!(
        signed
            .url
            .contains("response-content-disposition=attachment%3B%20filename%3D%22a%22"),
        "{}",
        signed.url
    );
}

/// What AWS says may hold what was sent to it: a log line has the operation and the code, and nothing of a request.
#[tokio::test(start_paused = true)]
async fn nothing_that_was_sent_is_in_a_log_line() {
    use taskctl_lambda::{LogLevel, Process};

    use crate::memory::{CountedIds, ManualClock};
    use crate::runtime::Host;
    use crate::users::Users;

    const CANARY: &str = "canary-7f3a@example.com";
    let said = |code: &str| {
        let mut body = error(code);
        body["message"] = json!(format!("invalid value: {{\"email\":{{\"S\":\"{CANARY}\"}}}}"));
        body
    };
    let cancelled = |reasons: Value| {
        let mut body = said("TransactionCanceledException");
        body["CancellationReasons"] = reasons;
        body
    };
    let reason = |code: &str| {
        json!([{"Code": code, "Message": format!("the item of {CANARY} is wrong"),
            "Item": {"userId": {"S": format!("email#{CANARY}")}}}, {"Code": "None"}])
    };
    let answers = [
        (
            400,
            said("ValidationException"),
            "TransactWriteItems failed: ValidationException",
        ),
        (
            400,
            said("AccessDeniedException"),
            "TransactWriteItems failed: AccessDeniedException",
        ),
        (
            400,
            said("ResourceNotFoundException"),
            "TransactWriteItems failed: ResourceNotFoundException",
        ),
        (
            400,
            said("ThrottlingException"),
            "TransactWriteItems was throttled: ThrottlingException",
        ),
        (
            400,
            said("ItemCollectionSizeLimitExceededException"),
            "TransactWriteItems failed: ItemCollectionSizeLimitExceededException",
        ),
        (400, json!({"message": CANARY}), "TransactWriteItems failed"),
        (
            400,
            json!({"__type": CANARY, "message": CANARY}),
            "TransactWriteItems failed",
        ),
        (500, json!(CANARY), "TransactWriteItems failed"),
        (200, json!(CANARY), "TransactWriteItems failed"),
        (
            400,
            cancelled(reason("ValidationError")),
            "TransactWriteItems failed: ValidationError",
        ),
        (
            400,
            cancelled(reason("ThrottlingError")),
            "TransactWriteItems was throttled: ThrottlingError",
        ),
        (400, cancelled(reason(CANARY)), "TransactWriteItems failed"),
        (
            400,
            cancelled(json!([])),
            "TransactWriteItems failed: TransactionCanceledException",
        ),
    ];
    for (status, body, told) in answers {
        let opened = json!({"Item": {"userId": {"S": "directory"}, "partitions": {"SS": ["2025-11/0"]}}});
        let mut all = vec![(200, opened)];
        all.extend(vec![(status, body.clone()); 4]);
        // A throttled create opens another partition.
        all.push((200, json!({})));
        let replay = Replay::of(&all);
        let store = DynamoStore::new(dynamodb(&replay), "users".to_owned(), "userId");
        let clock = ManualClock::new();
        let users = Users::new(store, clock.clone(), CountedIds::new(&clock), 1);
        let process = Process {
            function: "app-dev-users".to_owned(),
            version: "3".to_owned(),
            counts_cold_starts: true,
            log_level: LogLevel::Info,
        };
        let event = json!({"version": "2.0", "routeKey": "POST /users", "rawPath": "/users",
            "headers": {"content-type": "application/json"}, "requestContext": {"http": {"method": "POST"}},
            "body": json!({"email": CANARY, "name": "Canary"}).to_string()});
        let (_, line) = Host::new(users, process, clock).invoke("r-1", &event.to_string()).await;
        let read: Value = serde_json::from_str(&line).unwrap();
        assert!(
            read["error"].as_str().is_some_and(|error| error.starts_with(told)),
            "{told} in {line} for {body}"
        );
        for part in ["canary", "example.com", "invalid value"] {
            assert!(!line.to_lowercase().contains(part), "{part} in {line}");
        }
    }
}
