//! A handler of HTTP API events, without a framework.

use std::process::ExitCode;

use lambda_runtime::{Error, LambdaEvent};
use serde_json::{Value, json};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    taskctl_lambda::run(hello).await
}

async fn hello(event: LambdaEvent<Value>) -> Result<Value, Error> {
    let name = event.payload["pathParameters"]["name"].as_str().unwrap_or("world");
    let body = json!({"hello": name}).to_string();
    Ok(json!({"statusCode": 200, "headers": {"content-type": "application/json"}, "body": body}))
}
