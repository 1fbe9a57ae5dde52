//! The function `hello`: answers `GET /hello`, and `GET /hello?name=Ada` to Ada.

use aws_lambda_events::apigw::ApiGatewayV2httpRequest;
use lambda_runtime::{Error, LambdaEvent, run, service_fn, tracing};
use serde_json::{Value, json};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    tracing::init_default_subscriber();
    run(service_fn(hello)).await
}

/// JSON without a status code is answered with 200.
async fn hello(event: LambdaEvent<ApiGatewayV2httpRequest>) -> Result<Value, Error> {
    let name = event.payload.query_string_parameters.first("name").unwrap_or("world");
    tracing::info!(name, "said hello");
    Ok(json!({ "message": format!("Hello, {name}!") }))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use lambda_runtime::Context;

    use super::*;

    async fn answer(parameters: &[(&str, &str)]) -> Value {
        let parameters = parameters
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let mut payload = ApiGatewayV2httpRequest::default();
        payload.query_string_parameters = parameters.collect::<HashMap<_, _>>().into();
        let event = LambdaEvent::new(payload, Context::default());
        hello(event).await.expect("an answer")
    }

    #[tokio::test]
    async fn greets_by_name() {
        assert_eq!(answer(&[]).await["message"], "Hello, world!");
        assert_eq!(answer(&[("name", "Ada")]).await["message"], "Hello, Ada!");
    }
}
