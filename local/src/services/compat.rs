//! Corrections of the emulator's answers, and the state that they need.

use std::collections::BTreeMap;
use std::path::PathBuf;

use ::http::header;
use ::http::request::Parts;
use ::http::{Request, Response, StatusCode};
use bytes::Bytes;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Services, unreachable_emulator};
use crate::error::LocalError;
use crate::files;
use crate::protocol::emulator_client::Caller;
use crate::protocol::http::{Body, answer, full, remove_connection_headers};

/// Largest body of a call whose answer is corrected.
pub(super) const LARGEST_BODY: usize = 4 * 1024 * 1024;
/// Where it is kept, under the name that earlier versions gave it.
pub(crate) const MEMORY_FILE: &str = "mends.json";

/// State of the emulator's services that only the endpoint keeps, on disk.
pub(crate) struct Memory {
    file: PathBuf,
    kept: Mutex<Kept>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Kept {
    /// Days of point-in-time recovery by account, region and table.
    pub recovery_days: BTreeMap<String, u64>,
    /// Saved Logs Insights queries by account, region and id.
    pub queries: BTreeMap<String, Value>,
    /// Accounts and regions that have rules.
    pub rules: Vec<(String, String)>,
}

impl Memory {
    /// Reads the state on disk.
    pub(crate) fn open(file: PathBuf) -> Result<Self, LocalError> {
        let kept = files::read_json(&file)?.unwrap_or_default();
        Ok(Self {
            file,
            kept: Mutex::new(kept),
        })
    }

    pub(super) fn change<T>(&self, change: impl FnOnce(&mut Kept) -> T) -> T {
        let mut kept = self.kept.lock();
        let result = change(&mut kept);
        if let Err(error) = files::write_json(&self.file, &*kept) {
            tracing::warn!(%error, "a setting could not be saved");
        }
        result
    }

    pub(super) fn read<T>(&self, look: impl FnOnce(&Kept) -> T) -> T {
        look(&self.kept.lock())
    }

    /// Accounts and regions that have rules.
    pub(crate) fn callers_with_rules(&self) -> Vec<Caller> {
        let caller = |(account, region): &(String, String)| Caller {
            account: account.clone(),
            region: region.clone(),
        };
        self.read(|kept| kept.rules.iter().map(caller).collect())
    }
}

pub(super) fn key(caller: &Caller, name: &str) -> String {
    format!("{}/{}/{name}", caller.account, caller.region)
}

impl Services {
    /// Hands a JSON call over and edits its answer when it succeeded.
    pub(super) async fn corrected(&self, parts: Parts, body: Bytes, edit: impl FnOnce(&mut Value)) -> Response<Body> {
        let mut request = Request::from_parts(parts, full(body));
        request.headers_mut().remove(header::CONTENT_LENGTH);
        match self.emulator.call(request).await {
            Ok(response) => {
                let (parts, bytes) = response.into_parts();
                let parsed = serde_json::from_slice::<Value>(&bytes)
                    .ok()
                    .filter(|_| parts.status.is_success());
                match parsed {
                    Some(mut output) => {
                        edit(&mut output);
                        edited(parts, output.to_string())
                    }
                    None => edited(parts, bytes),
                }
            }
            Err(error) => unreachable_emulator(&error),
        }
    }
}

/// An answer whose body was changed: length and checksum are not the old ones.
pub(super) fn edited(mut parts: ::http::response::Parts, body: impl Into<Bytes>) -> Response<Body> {
    remove_connection_headers(&mut parts.headers);
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.headers.remove("x-amz-crc32");
    Response::from_parts(parts, full(body))
}

pub(super) fn too_large() -> Response<Body> {
    refuse(413, "RequestEntityTooLargeException", "the request is too large")
}

pub(super) fn refuse(status: u16, code: &str, message: &str) -> Response<Body> {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST);
    answer(
        status,
        "application/x-amz-json-1.1",
        json!({"__type": code, "message": message}).to_string(),
    )
}
