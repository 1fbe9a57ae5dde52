//! `Idempotency-Key`: the answer of a POST is kept for 24 hours in the transaction that does its work, and given again to the same
//! key and body. Only answers that did something are kept, and only as long as what they made is there.

use sha2::{Digest as _, Sha256};

use crate::contention::{Attempt, until_finished};
use crate::http::{Body, Failure, Request, Response};
use crate::ports::{Commit, Condition, Item, OWNER, Refusal, Store, TTL, Write};
use crate::record::{Millis, RecordId};

/// How long an answer is kept.
const KEPT_SECONDS: i64 = 24 * 3600;
/// Attribute of a record: key of the item that keeps the answer to its create.
pub const KEPT_ANSWER: &str = "keptAnswer";
/// Longest key taken.
const KEY_LIMIT: usize = 255;

/// A request that is to be done key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey {
    item_key: String,
    fingerprint: String,
}

/// How a create ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Created {
    /// It was done now.
    New,
    /// The same request was answered before, like this.
    Replayed(Response),
    /// It was not done: these of its writes were refused.
    Refused(Vec<Refusal>),
}

impl IdempotencyKey {
    /// The request's key, when it has one: 1–255 visible ASCII characters.
    pub fn of(request: &Request) -> Result<Option<Self>, Failure> {
        let Some(key) = request.headers.get("idempotency-key") else {
            return Ok(None);
        };
        let key = key.trim();
        if key.is_empty() || key.len() > KEY_LIMIT || !key.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
            return Err(Failure::field(
                "Idempotency-Key",
                format_args!("must have 1 to {KEY_LIMIT} visible ASCII characters"),
            ));
        }
        let scope = format!("{}\n{}\n{key}", request.method, request.path);
        let body = match &request.body {
            Body::Bytes(bytes) => bytes.as_slice(),
            Body::Empty | Body::Undecodable => &[],
        };
        Ok(Some(Self {
            item_key: format!("idempotency#{}", hex(scope.as_bytes())),
            fingerprint: hex(body),
        }))
    }

    /// Key of the item that keeps the answer; the record that is made remembers it, to take it along when it goes.
    pub fn kept_answer(&self) -> String {
        self.item_key.clone()
    }

    fn write(&self, key_attribute: &'static str, kept: &Response, made: RecordId, now: Millis) -> Write {
        let header = |wanted: &str| {
            kept.headers
                .iter()
                .find(|(name, _)| *name == wanted)
                .map(|(_, value)| value.clone())
        };
        let item = Item::default()
            .with(key_attribute, self.item_key.clone())
            .with("fingerprint", self.fingerprint.clone())
            .with(OWNER, made.to_string())
            .with("status", i64::from(kept.status))
            .with_some("location", header("location"))
            .with_some("etag", header("etag"))
            .with_some("body", kept.body.clone())
            .with(TTL, now.plus_seconds(KEPT_SECONDS).seconds());
        Write::Put {
            item,
            when: Condition::AbsentOrExpired(now),
        }
    }

    fn replay(&self, kept: &Item) -> Result<Response, Failure> {
        if kept.text("fingerprint") != Some(&self.fingerprint) {
            return Err(Failure::Unprocessable(
                "'Idempotency-Key' was used with another body; use a new key for a new request".to_owned(),
            ));
        }
        let status = kept
            .number("status")
            .and_then(|status| u16::try_from(status).ok())
            .unwrap_or(200);
        let body = kept.text("body").unwrap_or_default().to_owned();
        let mut response = Response::json_text(status, body);
        for name in ["location", "etag"] {
            response
                .headers
                .extend(kept.text(name).map(|value| (name, value.to_owned())));
        }
        Ok(response)
    }
}

/// Does the writes, which make the record `made`, once, and keeps `answer` for the key, all in one transaction.
pub async fn create<S: Store>(
    store: &S,
    key: Option<&IdempotencyKey>,
    made: RecordId,
    mut writes: Vec<Write>,
    answer: &Response,
    now: Millis,
) -> Result<Created, Failure> {
    let own = writes.len();
    writes.extend(key.map(|key| key.write(store.key_attribute(), answer, made, now)));
    until_finished(async || {
        let refusals = match store.commit(&writes).await? {
            Commit::Done => return Ok(Attempt::Finished(Created::New)),
            Commit::Contended => return Ok(Attempt::Again),
            Commit::Refused(refusals) => refusals,
        };
        let Some(key) = key else {
            return Ok(Attempt::Finished(Created::Refused(refusals)));
        };
        let Some(refusal) = refusals.iter().find(|refusal| refusal.write == own) else {
            return Ok(Attempt::Finished(Created::Refused(refusals)));
        };
        let kept = match &refusal.existing {
            Some(kept) => Some(kept.clone()),
            None => store.get(&key.item_key).await?,
        };
        // It expired and went between the transaction and the read.
        let Some(kept) = kept else {
            return Ok(Attempt::Again);
        };
        let Some(gone) = gone(store, &kept, now).await? else {
            return Ok(Attempt::Finished(Created::Replayed(key.replay(&kept)?)));
        };
        store.commit(&[forgotten(&key.item_key, gone, now)]).await?;
        Ok(Attempt::Again)
    })
    .await
}

/// The record that a kept answer shows, when it is no longer there: its time is over, or it was deleted around this function.
async fn gone<S: Store>(store: &S, kept: &Item, now: Millis) -> Result<Option<String>, Failure> {
    let Some(owner) = kept.text(OWNER) else { return Ok(None) };
    let lives = store.get(owner).await?.is_some_and(|record| !record.expired(now));
    Ok((!lives).then(|| owner.to_owned()))
}

fn forgotten(kept_answer: &str, owner: String, now: Millis) -> Write {
    Write::Delete {
        key: kept_answer.to_owned(),
        when: Condition::FreeFor { now, owner },
    }
}

/// What is deleted with a record: the answer to its create, unless that is over, when its key may be another record's.
pub fn forget(kept_answer: Option<&str>, id: RecordId, now: Millis) -> Option<Write> {
    let lives = now.seconds() < id.created().plus_seconds(KEPT_SECONDS).seconds();
    kept_answer
        .filter(|_| lives)
        .map(|kept_answer| forgotten(kept_answer, id.to_string(), now))
}

/// The failure of a body that is not valid: 422 when its key was used with another one, which is the better advice.
pub async fn refuse<S: Store>(store: &S, key: Option<&IdempotencyKey>, failure: Failure, now: Millis) -> Failure {
    let (Some(key), Failure::Validation(_)) = (key, &failure) else {
        return failure;
    };
    match store.get(&key.item_key).await {
        Ok(Some(kept)) if !kept.expired(now) => key.replay(&kept).err().unwrap_or(failure),
        Ok(_) => failure,
        Err(error) => error.into(),
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    Sha256::digest(bytes)
        .iter()
        .fold(String::with_capacity(64), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}
