//! What one request may cost, however much there is.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use aws_sdk_dynamodb::types::AttributeValue;
use serde_json::{Value, json};

use super::{Deployed, unique};

/// Two years of lists with 16 partitions a month, as pressure opens them.
async fn open_partitions(api: &Deployed) {
    let months = (2024..2026).flat_map(|year| (1..=12).map(move |month| (year, month)));
    let members: Vec<String> = months
        .flat_map(|(year, month)| (0..16).map(move |number| format!("{year}-{month:02}/{number}@1")))
        .collect();
    let clients = api.project.clients().await;
    clients
        .dynamodb
        .update_item()
        .table_name(api.project.name("tasks"))
        .key("taskId", AttributeValue::S("directory".to_owned()))
        .update_expression("ADD #set :members")
        .expression_attribute_names("#set", "partitions")
        .expression_attribute_values(":members", AttributeValue::Ss(members))
        .send()
        .await
        .unwrap();
}

#[test]
fn a_list_over_many_partitions_is_read_in_short_pages() {
    let api = Deployed::fresh("bounded");
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(open_partitions(&api));
    let tag = unique("rare");
    let made = api
        .post("/tasks", &json!({"title": "x", "tags": [tag]}))
        .expect(201)
        .json();
    let list = |key: &str| api.get(&format!("/tasks?tag={tag}{key}")).expect(200).json();
    // A function that has read the directory already believes it for ten seconds.
    let began = Instant::now();
    let mut page = list("");
    while page["nextKey"].is_null() && began.elapsed() < Duration::from_secs(12) {
        page = list("");
    }
    let mut found: Vec<Value> = Vec::new();
    let mut seen = BTreeSet::new();
    loop {
        found.extend(page["items"].as_array().unwrap().clone());
        let Some(next) = page["nextKey"].as_str() else { break };
        assert!(seen.insert(next.to_owned()), "{next} twice: the walk does not end");
        page = list(&format!("&lastKey={next}"));
    }
    assert_eq!(found, [made["data"].clone()]);
    let pages = seen.len() + 1;
    assert!(pages >= 384 / 48, "{pages} pages over 384 partitions");
}
