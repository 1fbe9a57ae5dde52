//! `GET /counter`: one more visit. The count is raised by an atomic `ADD`; how is the port's matter.

use serde_json::json;

use crate::aws::{DynamoCounter, Environment, EnvironmentError, required};
use crate::http::{Failure, Function, Request, Response, RouteSpec};
use crate::ports::{Clock, Counter, SystemClock};

/// Partition key attribute of the counter table.
pub const COUNTER_KEY: &str = "counter_id";
/// The counter's key.
pub const COUNTER_ID: &str = "main_counter";
/// Attribute that holds the count.
pub const COUNT: &str = "visit_count";
/// The item expires 30 days after the last visit.
pub const KEPT_SECONDS: i64 = 30 * 24 * 3600;

/// The counter function.
#[derive(Debug)]
pub struct Visits<T, C> {
    counter: T,
    clock: C,
}

/// Its routes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// Count a visit.
    Visit,
}

/// The function as Lambda runs it.
pub fn function() -> Result<Visits<DynamoCounter, SystemClock>, EnvironmentError> {
    let table = required("COUNTER_TABLE")?;
    Ok(Visits::new(
        DynamoCounter::new(Environment::read()?.dynamodb(), table),
        SystemClock,
    ))
}

impl<T: Counter, C: Clock> Visits<T, C> {
    /// The function over its ports.
    pub fn new(counter: T, clock: C) -> Self {
        Self { counter, clock }
    }
}

impl<T: Counter, C: Clock> Function for Visits<T, C> {
    type Route = Route;
    const ROUTES: &'static [RouteSpec<Route>] = &[("GET /counter", Route::Visit)];

    async fn handle(&self, route: Route, request: &Request) -> Result<Response, Failure> {
        let Route::Visit = route;
        let now = self.clock.now();
        match self.counter.raise(now).await {
            Ok(count) => Ok(Response::json(
                200,
                &json!({"count": count, "timestamp": now.rfc3339(), "status": "success", "requestId": request.id}),
            )),
            Err(error) => Ok(failed(error.into(), &request.id)),
        }
    }
}

/// The counter's own error body; headers and cause are those of any other failure.
fn failed(failure: Failure, request_id: &str) -> Response {
    let (_, class, message) = failure.shown();
    let body = json!({"status": "error", "error": class, "message": message, "requestId": request_id});
    let response = failure.into_response(request_id);
    Response {
        body: Some(body.to_string()),
        ..response
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::{ManualClock, MemoryCounter, request, send};
    use crate::ports::HotSpot;

    #[tokio::test]
    async fn each_visit_counts() {
        let (counter, clock) = (MemoryCounter::default(), ManualClock::new());
        let visits = Visits::new(&counter, clock);
        send(&visits, request("GET", "/counter", None)).await;
        let reply = send(&visits, request("GET", "/counter", None)).await;
        let body =
            json!({"count": 2, "timestamp": "2025-11-20T23:31:15.123Z", "status": "success", "requestId": "request-1"});
        assert_eq!((reply.status, reply.body), (200, body));
    }

    #[tokio::test]
    async fn failures_have_the_counters_own_body() {
        let counter = MemoryCounter::default();
        let visits = Visits::new(&counter, ManualClock::new());
        counter.broken.set(true);
        let reply = send(&visits, request("GET", "/counter", None)).await;
        let body = json!({"status": "error", "error": "Internal Server Error",
            "message": "An unexpected error occurred. Please try again later.", "requestId": "request-1"});
        assert_eq!((reply.status, reply.body), (500, body));
        counter.fault.set(Some(HotSpot::Elsewhere));
        let reply = send(&visits, request("GET", "/counter", None)).await;
        assert_eq!((reply.status, reply.headers["retry-after"].as_str()), (503, "1"));
        assert_eq!(
            (&reply.body["status"], &reply.body["error"]),
            (&json!("error"), &json!("Unavailable"))
        );
        assert_eq!(counter.count.get(), 0);
    }
}
