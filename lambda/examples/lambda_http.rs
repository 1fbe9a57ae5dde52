//! A function of `lambda_http`, with the cause of a failure for the log.

use std::process::ExitCode;

use lambda_http::http::StatusCode;
use lambda_http::{Body, Error, Request, RequestExt as _, Response, service_fn};
use taskctl_lambda::http::Cause;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    taskctl_lambda::http::run(service_fn(hello)).await
}

async fn hello(request: Request) -> Result<Response<Body>, Error> {
    match std::fs::read_to_string("greeting.txt") {
        Ok(greeting) => {
            let name = request.path_parameters().first("name").unwrap_or("world").to_owned();
            Ok(Response::new(format!("{greeting}, {name}").into()))
        }
        Err(error) => {
            let mut response = Response::new(Body::from("Please try again later."));
            *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
            response.extensions_mut().insert(Cause::of(&error));
            Ok(response)
        }
    }
}
