use aws_lambda_events::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse};
use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use serde_json::{Value, json};

/// What an order comes to: `{"apple": 3}` is 120 cents.
fn total(order: &Value) -> Option<u64> {
    let lines = order.as_object()?.iter();
    lines
        .map(|(article, amount)| Some(u64::from(prices::of(article)?) * amount.as_u64()?))
        .sum()
}

async fn order(event: LambdaEvent<ApiGatewayV2httpRequest>) -> Result<ApiGatewayV2httpResponse, Error> {
    let body = event.payload.body.unwrap_or_default();
    let order = serde_json::from_str(&body).unwrap_or_default();
    let mut response = ApiGatewayV2httpResponse::default();
    let answer = match total(&order) {
        Some(cents) => {
            response.status_code = 200;
            json!({"cents": cents})
        }
        None => {
            response.status_code = 400;
            json!({"message": "an order is an object of articles and amounts"})
        }
    };
    response.body = Some(answer.to_string().into());
    Ok(response)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    run(service_fn(order)).await
}
