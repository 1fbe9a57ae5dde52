use axum::Router;
use axum::extract::Path;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::{Value, json};

fn show(status: StatusCode, body: &Value) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}

async fn all() -> Response {
    show(StatusCode::OK, &json!({"articles": prices::PRICES.map(|(name, _)| name)}))
}

async fn one(Path(article): Path<String>) -> Response {
    match prices::of(&article) {
        Some(price) => show(StatusCode::OK, &json!({"article": article, "cents": price})),
        None => show(StatusCode::NOT_FOUND, &json!({"message": "no such article"})),
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    let app = Router::new()
        .route("/articles", get(all))
        .route("/articles/{article}", get(one));
    lambda_http::run(app).await
}
