//! EventBridge: rules are the emulator's, but one with targets is not deleted; schedules are fired here.

mod actions;
pub(crate) mod schedule;

use ::http::request::Parts;
use ::http::{Request, Response};
use serde_json::{Value, json};

use super::Services;
use super::compat::{LARGEST_BODY, refuse, too_large};
use crate::protocol::classify::Call;
use crate::protocol::emulator_client::Caller;
use crate::protocol::http::{Body, collect, full};

impl Services {
    pub(super) async fn call_events(&self, call: &Call, parts: Parts, body: Body) -> Response<Body> {
        let caller = Caller::of(call);
        match call.operation.as_deref() {
            Some("PutRule") => {
                self.memory.change(|kept| {
                    let pair = (caller.account.clone(), caller.region.clone());
                    if !kept.rules.contains(&pair) {
                        kept.rules.push(pair);
                    }
                });
                self.pass(Request::from_parts(parts, body)).await
            }
            Some("DeleteRule") => {
                let Ok(body) = collect(body, LARGEST_BODY).await else {
                    return too_large();
                };
                let input: Value = serde_json::from_slice(&body).unwrap_or_default();
                let of_rule =
                    json!({"Rule": input["Name"], "EventBusName": input["EventBusName"].as_str().unwrap_or("default")});
                let targets = self
                    .emulator
                    .json(&caller, "events", "AWSEvents.ListTargetsByRule", &of_rule)
                    .await;
                if targets.is_ok_and(|output| output["Targets"].as_array().is_some_and(|targets| !targets.is_empty())) {
                    return refuse(
                        400,
                        "ValidationException",
                        "Rule can't be deleted since it has targets.",
                    );
                }
                self.pass(Request::from_parts(parts, full(body))).await
            }
            _ => self.pass(Request::from_parts(parts, body)).await,
        }
    }
}
