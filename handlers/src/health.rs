//! `GET /health`: whether the database answers. In the visitor counter it also answers every other path and method, with 403.

use serde_json::{Map, Value, json};
use taskctl_lambda::cause_chain;

use crate::aws::{DynamoProbe, Environment, EnvironmentError, optional};
use crate::counter::{COUNTER_ID, COUNTER_KEY};
use crate::http::{Failure, Function, Request, Response, RouteSpec};
use crate::ports::{Clock, Probe, SystemClock};

/// Tables that it may have been granted, best first: variable, partition key attribute, key read.
const TABLES: [(&str, &str, &str); 4] = [
    ("COUNTER_TABLE", COUNTER_KEY, COUNTER_ID),
    ("TASKS_TABLE", "taskId", "health"),
    ("USERS_TABLE", "userId", "health"),
    ("ASSETS_TABLE", "assetId", "health"),
];

/// The health function.
#[derive(Debug)]
pub struct Health<P, C> {
    probe: P,
    clock: C,
    /// What the count is when nothing has been counted; none where nothing counts.
    uncounted: Option<i64>,
    identity: Identity,
    elsewhere: Elsewhere,
}

/// The service that answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Function name.
    pub service: String,
    /// Function version.
    pub version: String,
}

/// What requests for other paths and methods get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Elsewhere {
    /// 404
    NotFound,
    /// 403
    Forbidden,
}

/// Its routes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// Report.
    Report,
}

/// The function as Lambda runs it. `FALLBACK_STATUS` (404 or 403, default 404) is the answer of a `$default` route to it.
pub fn function() -> Result<Health<DynamoProbe, SystemClock>, EnvironmentError> {
    let granted = TABLES
        .iter()
        .find_map(|(variable, key, value)| Some((optional(variable)?, *key, *value)));
    let (table, key, value) = granted.ok_or(EnvironmentError::NoneOf(
        "COUNTER_TABLE, TASKS_TABLE, USERS_TABLE, ASSETS_TABLE",
    ))?;
    let elsewhere = match optional("FALLBACK_STATUS").as_deref() {
        None | Some("404") => Elsewhere::NotFound,
        Some("403") => Elsewhere::Forbidden,
        Some(other) => {
            let allowed = "403 or 404";
            return Err(EnvironmentError::Invalid {
                name: "FALLBACK_STATUS",
                value: other.to_owned(),
                allowed,
            });
        }
    };
    let identity = Identity {
        service: optional("AWS_LAMBDA_FUNCTION_NAME").unwrap_or_default(),
        version: optional("AWS_LAMBDA_FUNCTION_VERSION").unwrap_or_default(),
    };
    let probe = DynamoProbe::new(Environment::read()?.dynamodb(), table, key, value);
    let uncounted = (key == COUNTER_KEY).then_some(0);
    Ok(Health::new(probe, SystemClock, uncounted, identity, elsewhere))
}

impl<P: Probe, C: Clock> Health<P, C> {
    /// The function over its ports; `uncounted` is the count when nothing has been counted, none where nothing counts.
    pub fn new(probe: P, clock: C, uncounted: Option<i64>, identity: Identity, elsewhere: Elsewhere) -> Self {
        Self {
            probe,
            clock,
            uncounted,
            identity,
            elsewhere,
        }
    }
}

impl<P: Probe, C: Clock> Function for Health<P, C> {
    type Route = Route;
    const ROUTES: &'static [RouteSpec<Route>] = &[("GET /health", Route::Report)];

    async fn handle(&self, route: Route, request: &Request) -> Result<Response, Failure> {
        let Route::Report = route;
        let Identity { service, version } = &self.identity;
        let timestamp = self.clock.now().rfc3339();
        let count = match self.probe.read().await {
            Ok(count) => count,
            Err(error) => {
                let body = json!({
                    "status": "unhealthy", "service": service, "database": "error", "error": "Unavailable",
                    "message": "The database does not answer. Please try again later.",
                    "requestId": request.id, "timestamp": timestamp,
                });
                return Ok(Response::json(503, &body)
                    .header("retry-after", "1")
                    .caused_by(cause_chain(&error)));
            }
        };
        let mut body = Map::new();
        body.insert("status".to_owned(), "healthy".into());
        body.insert("service".to_owned(), service.as_str().into());
        body.insert("database".to_owned(), "connected".into());
        if let Some(count) = count.or(self.uncounted) {
            body.insert("counter_value".to_owned(), count.into());
        }
        body.insert("version".to_owned(), version.as_str().into());
        body.insert("release".to_owned(), request.stage.release.as_str().into());
        body.insert("color".to_owned(), request.stage.color.as_str().into());
        body.insert("timestamp".to_owned(), timestamp.into());
        Ok(Response::json(200, &Value::Object(body)))
    }

    fn unmatched(&self) -> Failure {
        match self.elsewhere {
            Elsewhere::NotFound => {
                Failure::NotFound("There is nothing here; see the API's documentation for its routes.".to_owned())
            }
            Elsewhere::Forbidden => Failure::Forbidden,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::{ManualClock, MemoryCounter, request, send};

    fn health(
        probe: &MemoryCounter,
        uncounted: Option<i64>,
        elsewhere: Elsewhere,
    ) -> Health<&MemoryCounter, ManualClock> {
        let identity = Identity {
            service: "app-dev-health".to_owned(),
            version: "3".to_owned(),
        };
        Health::new(probe, ManualClock::new(), uncounted, identity, elsewhere)
    }

    #[tokio::test]
    async fn it_reads_the_count_and_leaves_it() {
        let counter = MemoryCounter::default();
        let body = |count: i64| {
            json!({"status": "healthy", "service": "app-dev-health", "database": "connected", "counter_value": count,
                "version": "3", "release": "7", "color": "blue", "timestamp": "2025-11-20T23:31:15.123Z"})
        };
        let health = health(&counter, Some(0), Elsewhere::NotFound);
        assert_eq!(send(&health, request("GET", "/health", None)).await.body, body(0));
        counter.count.set(41);
        assert_eq!(send(&health, request("GET", "/health", None)).await.body, body(41));
        assert_eq!(counter.count.get(), 41);
    }

    #[tokio::test]
    async fn without_a_counter_there_is_no_count() {
        let reply = send(
            &health(&MemoryCounter::default(), None, Elsewhere::NotFound),
            request("GET", "/health", None),
        )
        .await;
        assert_eq!((reply.status, reply.body.get("counter_value")), (200, None));
    }

    #[tokio::test]
    async fn an_unhealthy_database_is_not_described() {
        let counter = MemoryCounter::default();
        counter.broken.set(true);
        let reply = send(
            &health(&counter, Some(0), Elsewhere::NotFound),
            request("GET", "/health", None),
        )
        .await;
        let body = json!({"status": "unhealthy", "service": "app-dev-health", "database": "error", "error": "Unavailable",
            "message": "The database does not answer. Please try again later.", "requestId": "request-1",
            "timestamp": "2025-11-20T23:31:15.123Z"});
        assert_eq!((reply.status, reply.body), (503, body));
    }

    #[tokio::test]
    async fn elsewhere_is_404_or_403() {
        let counter = MemoryCounter::default();
        for (elsewhere, status, class) in [
            (Elsewhere::NotFound, 404, "Not Found"),
            (Elsewhere::Forbidden, 403, "Forbidden"),
        ] {
            for asked in [
                request("POST", "/health", None),
                request("GET", "/", None),
                request("GET", "/health/x", None),
            ] {
                let reply = send(&health(&counter, None, elsewhere), asked).await;
                assert_eq!((reply.status, &reply.body["error"]), (status, &json!(class)));
            }
        }
    }
}
