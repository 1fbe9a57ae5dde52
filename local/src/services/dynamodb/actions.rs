//! The actions that calls of DynamoDB take.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use serde_json::Value;

use crate::services::iam::required::{Actions, Required};

/// The stream that an iterator of the emulator is of.
fn stream_of(iterator: &str) -> Option<String> {
    let json = URL_SAFE.decode(iterator).ok()?;
    let iterator: Value = serde_json::from_slice(&json).ok()?;
    iterator["arn"].as_str().map(str::to_owned)
}

impl Actions<'_> {
    pub(in crate::services) fn dynamodb(&self, input: &Value) -> Vec<Required> {
        let table = |name: &str| match name.starts_with("arn:") {
            true => name.to_owned(),
            false => self.arn("dynamodb", &format!("table/{name}")),
        };
        let operation = self.operation();
        let name = |item: &Value| table(item["TableName"].as_str().unwrap_or_default());
        match operation {
            "TransactWriteItems" | "TransactGetItems" => {
                let items = input["TransactItems"].as_array().into_iter().flatten();
                let parts = items.flat_map(|item| item.as_object().into_iter().flatten());
                parts
                    .map(|(what, part)| {
                        let action = match what.as_str() {
                            "Put" => "PutItem",
                            "Update" => "UpdateItem",
                            "Delete" => "DeleteItem",
                            "ConditionCheck" => "ConditionCheckItem",
                            _ => "GetItem",
                        };
                        self.on(format!("dynamodb:{action}"), name(part))
                    })
                    .collect()
            }
            "BatchGetItem" | "BatchWriteItem" => {
                let tables = input["RequestItems"].as_object().into_iter().flatten();
                tables
                    .map(|(named, _)| self.on(self.named("dynamodb"), table(named)))
                    .collect()
            }
            "DescribeStream" | "GetShardIterator" => {
                let stream = input["StreamArn"].as_str().unwrap_or("*");
                vec![self.on(self.named("dynamodb"), stream)]
            }
            "GetRecords" => {
                let stream = input["ShardIterator"].as_str().and_then(stream_of);
                vec![self.on(self.named("dynamodb"), stream.unwrap_or_else(|| "*".to_owned()))]
            }
            "ListStreams" | "ListTables" | "DescribeLimits" | "DescribeEndpoints" => {
                vec![self.on(self.named("dynamodb"), "*")]
            }
            _ => {
                let arn = match input["ResourceArn"].as_str() {
                    Some(arn) => arn.to_owned(),
                    None => name(input),
                };
                let resource = match input["IndexName"].as_str() {
                    Some(index) if matches!(operation, "Query" | "Scan") => format!("{arn}/index/{index}"),
                    _ => arn.clone(),
                };
                let mut all = vec![self.on(self.named("dynamodb"), resource)];
                if operation == "CreateTable" && input["Tags"].is_array() {
                    all.push(self.on("dynamodb:TagResource", arn));
                }
                all
            }
        }
    }
}
