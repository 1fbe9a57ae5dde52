use lambda_http::{Body, Error, Request, RequestExt, Response, run, service_fn};
use serde_json::json;

const QUOTES: [(&str, &str); 3] = [
    ("hopper", "A ship in port is safe, but that is not what ships are for."),
    ("lovelace", "That brain of mine is something more than merely mortal."),
    ("hamilton", "There was no choice but to be pioneers."),
];

async fn answer(request: Request) -> Result<Response<Body>, Error> {
    let parameters = request.path_parameters();
    let (status, body) = match parameters.first("author") {
        None => (200, json!(QUOTES.map(|(author, _)| author))),
        Some(wanted) => match QUOTES.iter().find(|(author, _)| *author == wanted) {
            Some((author, text)) => (200, json!({"author": author, "text": text})),
            None => (404, json!({"message": "nobody of that name"})),
        },
    };
    let response = Response::builder()
        .status(status)
        .header("content-type", "application/json")
        .body(body.to_string().into())?;
    Ok(response)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    run(service_fn(answer)).await
}
