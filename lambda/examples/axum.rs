//! An axum router.

use std::process::ExitCode;

use axum::Router;
use axum::extract::Path;
use axum::routing::get;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let app = Router::new().route("/hello", get(async || "hello, world")).route(
        "/hello/{name}",
        get(async |Path(name): Path<String>| format!("hello, {name}")),
    );
    taskctl_lambda::http::run(app).await
}
