//! The states that a function passes through after a change: `Pending` once it is made, `InProgress` after an update. Pure.
//! <https://docs.aws.amazon.com/lambda/latest/dg/functions-states.html>

use serde::{Deserialize, Serialize};

use super::functions::new_revision;
use super::model::Version;
use super::rules::conflict;
use crate::services::{Fault, now_ms};

/// A change that takes effect later than it is answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Settling {
    pub kind: Change,
    /// Milliseconds since the epoch.
    until: i64,
    /// Revision from then on: a state is part of it.
    revision_id: String,
}

/// What is taking effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Change {
    Creation,
    Update,
}

impl Version {
    /// Begins a change that takes so many milliseconds.
    pub(super) fn begin(&mut self, kind: Change, milliseconds: u64) {
        self.settling = Some(Settling {
            kind,
            until: now_ms().saturating_add_unsigned(milliseconds),
            revision_id: new_revision(),
        });
    }

    /// The change that is not over.
    pub(super) fn change(&self) -> Option<Change> {
        let settling = self.settling.as_ref()?;
        (now_ms() < settling.until).then_some(settling.kind)
    }

    /// The revision as it is now.
    pub(super) fn revision(&self) -> &str {
        match &self.settling {
            Some(settling) if self.change().is_none() => &settling.revision_id,
            _ => &self.revision_id,
        }
    }

    /// Another revision of the same code and configuration.
    pub(super) fn revise(&mut self) {
        if self.change().is_none() {
            self.settling = None;
        }
        self.revision_id = new_revision();
    }

    /// Refuses what cannot be done before the last change is in effect.
    pub(super) fn check_settled(&self, arn: &str) -> Result<(), Fault> {
        match self.change() {
            None => Ok(()),
            Some(Change::Creation) => Err(pending()),
            Some(Change::Update) => Err(conflict(format!(
                "The operation cannot be performed at this time. An update is in progress for resource: {arn}"
            ))),
        }
    }
}

/// The refusal of what a function cannot do that is `Pending`.
pub(super) fn pending() -> Fault {
    conflict(
        "The operation cannot be performed at this time. The function is currently in the following state: Pending",
    )
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test ends where something is wrong")]

    use std::path::Path;

    use http::Method;
    use serde_json::{Value, json};

    use crate::keys::Keys;
    use crate::ports::FunctionSource as _;
    use crate::services::Fault;
    use crate::services::lambda::{Downloads, Functions, StoredCode, TEST_OWNER as OWNER};

    fn functions(directory: &Path, settling_ms: u64) -> Functions {
        let downloads = Downloads {
            endpoint_url: "http://127.0.0.1:1".to_owned(),
            keys: Keys::random().unwrap(),
        };
        Functions::open(directory, downloads, settling_ms).unwrap()
    }

    fn call(functions: &Functions, method: &Method, path: &str, input: &Value) -> Result<Value, Fault> {
        let code = StoredCode {
            sha256: "AAAA".to_owned(),
            size: 1,
        };
        let path = format!("/2015-03-31/functions{path}");
        let body = if input.is_null() {
            String::new()
        } else {
            input.to_string()
        };
        let reply = functions.call(OWNER, method, &path, "", body.as_bytes(), Some(code))?;
        Ok(reply.body.unwrap_or_default())
    }

    fn make(functions: &Functions) -> Value {
        let input = json!({
            "FunctionName": "f", "Runtime": "provided.al2023", "Role": "arn:aws:iam::000000000000:role/r", "Handler": "h",
        });
        call(functions, &Method::POST, "", &input).unwrap()
    }

    fn read(functions: &Functions) -> Value {
        call(functions, &Method::GET, "/f/configuration", &json!(null)).unwrap()
    }

    #[test]
    fn a_function_that_is_made_is_pending_and_can_do_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let slow = functions(directory.path(), 60_000);
        let made = make(&slow);
        assert_eq!(
            (&made["State"], &made["StateReasonCode"]),
            (&json!("Pending"), &json!("Creating"))
        );
        let shown = read(&slow);
        assert_eq!(
            (&shown["State"], &shown["RevisionId"]),
            (&json!("Pending"), &made["RevisionId"])
        );
        let refused = |method: &Method, path: &str, input: Value| call(&slow, method, path, &input).unwrap_err();
        for (method, path, input) in [
            (Method::PUT, "/f/configuration", json!({"Timeout": 5})),
            (Method::PUT, "/f/code", json!({})),
            (Method::POST, "/f/versions", json!({})),
            (
                Method::POST,
                "/f/aliases",
                json!({"Name": "a", "FunctionVersion": "$LATEST"}),
            ),
        ] {
            let fault = refused(&method, path, input);
            assert_eq!((fault.status, fault.code), (409, "ResourceConflictException"), "{path}");
            assert!(fault.message.ends_with("state: Pending"), "{path}: {}", fault.message);
        }
        assert!(slow.address(OWNER, "f", None).is_err());
        let at = crate::ports::FunctionAddress::parse("arn:aws:lambda:eu-central-1:000000000000:function:f").unwrap();
        assert!(slow.resolve(&at).is_err());
    }

    #[test]
    fn an_update_is_in_progress_and_keeps_others_out() {
        let directory = tempfile::tempdir().unwrap();
        let quick = functions(directory.path(), 0);
        let made = make(&quick);
        let active = read(&quick);
        assert_eq!(
            (&made["State"], &active["State"]),
            (&json!("Pending"), &json!("Active"))
        );
        assert_eq!(active["LastUpdateStatus"], "Successful");
        assert_ne!(
            made["RevisionId"], active["RevisionId"],
            "a state is part of a revision"
        );

        let slow = functions(directory.path(), 60_000);
        let update = |functions: &Functions, seconds: u32, revision: &Value| {
            let input = json!({"Timeout": seconds, "RevisionId": revision});
            call(functions, &Method::PUT, "/f/configuration", &input)
        };
        let stale = update(&slow, 5, &made["RevisionId"]).unwrap_err();
        assert_eq!((stale.status, stale.code), (412, "PreconditionFailedException"));
        let updated = update(&slow, 5, &active["RevisionId"]).unwrap();
        assert_eq!(
            (&updated["State"], &updated["LastUpdateStatus"]),
            (&json!("Active"), &json!("InProgress"))
        );
        let fault = update(&slow, 6, &json!(null)).unwrap_err();
        let expected = "The operation cannot be performed at this time. An update is in progress for resource: \
                        arn:aws:lambda:eu-central-1:000000000000:function:f";
        assert_eq!((fault.status, fault.message.as_str()), (409, expected));
        assert!(slow.address(OWNER, "f", None).is_ok(), "the former code answers");
        call(
            &slow,
            &Method::POST,
            "/f/aliases",
            &json!({"Name": "a", "FunctionVersion": "$LATEST"}),
        )
        .unwrap();
    }

    #[test]
    fn a_version_is_there_before_it_can_be_called() {
        let directory = tempfile::tempdir().unwrap();
        make(&functions(directory.path(), 0));
        let slow = functions(directory.path(), 60_000);
        let published = call(&slow, &Method::POST, "/f/versions", &json!({})).unwrap();
        assert_eq!(published["State"], "Active");
        assert!(slow.address(OWNER, "f", Some("1")).is_err());
        assert!(slow.address(OWNER, "f", Some("$LATEST")).is_ok());
    }

    #[test]
    fn a_policy_is_part_of_the_revision_and_starts_nothing_anew() {
        let directory = tempfile::tempdir().unwrap();
        let functions = functions(directory.path(), 0);
        make(&functions);
        let running = functions.versions()[0].revision.clone();
        let permission = |revision: &Value| {
            let input = json!({
                "StatementId": "s", "Action": "lambda:InvokeFunction", "Principal": "events.amazonaws.com", "RevisionId": revision,
            });
            call(&functions, &Method::POST, "/f/policy", &input)
        };
        assert_eq!(
            permission(&json!("other")).unwrap_err().code,
            "PreconditionFailedException"
        );
        let before = read(&functions)["RevisionId"].clone();
        permission(&before).unwrap();
        let policy = call(&functions, &Method::GET, "/f/policy", &json!(null)).unwrap();
        assert_ne!(policy["RevisionId"], before);
        assert_eq!(policy["RevisionId"], read(&functions)["RevisionId"]);
        assert_eq!(functions.versions()[0].revision, running);
    }
}
