//! AWS as a list of answers, for tests.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use serde_json::Value;

/// Answers in order, and keeps what was asked.
#[derive(Debug, Clone)]
pub(super) struct Replay(Arc<Mutex<Inner>>);

#[derive(Debug)]
struct Inner {
    answers: VecDeque<(u16, Value)>,
    sent: Vec<(String, Value)>,
}

impl Replay {
    /// Status and body of each answer; null is an empty body.
    pub(super) fn of(answers: &[(u16, Value)]) -> Self {
        Self(Arc::new(Mutex::new(Inner {
            answers: answers.iter().cloned().collect(),
            sent: Vec::new(),
        })))
    }

    /// Operations of DynamoDB that were called, with their bodies.
    pub(super) fn sent(&self) -> Vec<(String, Value)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).sent.clone()
    }
}

impl HttpClient for Replay {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Replay {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let target = request.headers().get("x-amz-target").unwrap_or_default();
        let operation = target.rsplit('.').next().unwrap_or_default().to_owned();
        let body = request.body().bytes().unwrap_or_default();
        inner
            .sent
            .push((operation, serde_json::from_slice(body).unwrap_or_default()));
        let (status, body) = inner.answers.pop_front().expect("there is an answer for each call");
        let text = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let status = status.try_into().expect("a status");
        HttpConnectorFuture::ready(Ok(HttpResponse::new(status, SdkBody::from(text))))
    }
}
