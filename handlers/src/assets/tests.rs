//! The assets function over the ports in memory.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use serde_json::{Value, json};

use super::*;
use crate::memory::{CountedIds, Fault, ManualClock, MemoryObjects, MemoryStore, Reply, request, send, with_header};

type TestAssets = Assets<MemoryStore, MemoryObjects, ManualClock, CountedIds>;

fn assets() -> (TestAssets, MemoryStore, MemoryObjects, ManualClock) {
    let (store, objects, clock) = (MemoryStore::new(KEY), MemoryObjects::default(), ManualClock::new());
    (
        Assets::new(
            store.clone(),
            objects.clone(),
            clock.clone(),
            CountedIds::new(&clock),
            1,
        ),
        store,
        objects,
        clock,
    )
}

fn draft() -> Value {
    json!({"fileName": "a b.txt", "contentType": "text/plain", "sizeBytes": 5})
}

async fn created(assets: &TestAssets, body: Value) -> Value {
    let reply = send(assets, request("POST", "/assets", body)).await;
    assert_eq!(reply.status, 201, "{}", reply.body);
    reply.body["data"].clone()
}

async fn get(assets: &TestAssets, asset: &Value, rest: &str) -> Reply {
    send(
        assets,
        request(
            "GET",
            &format!("/assets/{}{rest}", asset["assetId"].as_str().unwrap()),
            None,
        ),
    )
    .await
}

fn upload(objects: &MemoryObjects, asset: &Value, size: i64) {
    objects.put(asset["s3Key"].as_str().unwrap(), size);
}

#[tokio::test]
async fn an_asset_lives_and_goes() {
    let (assets, store, objects, clock) = assets();
    let reply = send(&assets, request("POST", "/assets", draft())).await;
    let id = reply.body["assetId"].as_str().unwrap().to_owned();
    let data = json!({"assetId": id, "fileName": "a b.txt", "contentType": "text/plain", "sizeBytes": 5,
        "s3Key": format!("assets/{id}/a b.txt"), "s3Bucket": "bucket", "status": "PENDING",
        "createdAt": 1_763_681_475_123_i64, "updatedAt": 1_763_681_475_123_i64, "ttl": 1_763_681_475 + 30 * 24 * 3600});
    let whole = json!({"message": "Asset created successfully", "assetId": id, "uploadUrl": format!("put:assets/{id}/a b.txt?size=5&for=3600"),
        "method": "PUT", "headers": {"content-type": "text/plain", "if-match": "\"r1\""}, "expiresIn": 3600, "data": data});
    assert_eq!(
        (reply.status, reply.body, &reply.headers["location"]),
        (201, whole, &format!("/assets/{id}"))
    );

    assert_eq!(get(&assets, &data, "").await.body, data);
    assert_eq!(get(&assets, &data, "/download").await.status, 409);

    upload(&objects, &data, 5);
    clock.advance(1000);
    let reply = get(&assets, &data, "").await;
    assert_eq!((reply.status, reply.headers["etag"].as_str()), (200, "\"2\""));
    assert_eq!(
        (&reply.body["status"], &reply.body["sizeBytes"], &reply.body["etag"]),
        (&json!("UPLOADED"), &json!(5), &json!("\"e5\""))
    );
    assert_eq!(get(&assets, &data, "").await, reply, "looked at once");
    let url =
        format!("get:assets/{id}/a b.txt?as=attachment; filename=\"a b.txt\"; filename*=UTF-8''a%20b.txt&for=3600");
    assert_eq!(
        get(&assets, &data, "/download").await.body,
        json!({"downloadUrl": url, "expiresIn": 3600})
    );

    let delete = || request("DELETE", &format!("/assets/{id}"), None);
    assert_eq!(
        send(&assets, with_header(delete(), "if-match", "\"1\"")).await.status,
        412
    );
    assert_eq!(send(&assets, delete()).await.status, 204);
    assert_eq!(send(&assets, delete()).await.status, 404);
    assert_eq!(get(&assets, &data, "/download").await.status, 404);
    assert_eq!((store.keys(), objects.len()), (vec!["directory".to_owned()], 0));
}

#[tokio::test]
async fn a_download_looks_for_itself() {
    let (assets, _, objects, _) = assets();
    let asset = created(&assets, json!({"fileName": "x", "contentType": "a/b", "sizeBytes": 7})).await;
    upload(&objects, &asset, 7);
    assert_eq!(get(&assets, &asset, "/download").await.status, 200);
}

#[tokio::test]
async fn more_than_announced_is_noticed_and_not_handed_out() {
    let (assets, _, objects, _) = assets();
    let asset = created(&assets, draft()).await;
    upload(&objects, &asset, 6);
    let shown = get(&assets, &asset, "").await.body;
    assert_eq!(
        (&shown["status"], &shown["sizeBytes"], &shown["announcedBytes"]),
        (&json!("REJECTED"), &json!(6), &json!(5))
    );
    let refused = get(&assets, &asset, "/download").await;
    assert_eq!(refused.status, 409);
    assert!(
        refused.body["message"]
            .as_str()
            .unwrap()
            .contains("6 bytes, more than the 5 announced")
    );
    upload(&objects, &asset, 4);
    assert_eq!(get(&assets, &asset, "/download").await.status, 200, "put right");
}

#[tokio::test(start_paused = true)]
async fn two_looks_at_once_record_it_once() {
    let (assets, store, objects, _) = assets();
    let asset = created(&assets, draft()).await;
    upload(&objects, &asset, 5);
    let rival = Assets::new(
        store.clone(),
        objects.clone(),
        assets.clock.clone(),
        assets.ids.clone(),
        1,
    );
    *store.faults.borrow_mut() = vec![Fault::Contended];
    let (one, other) = futures::join!(get(&assets, &asset, ""), get(&rival, &asset, ""));
    assert_eq!((one.headers["etag"].as_str(), one.body), ("\"2\"", other.body));
}

#[tokio::test]
async fn lists_by_status_follow_the_status() {
    let (assets, _, objects, clock) = assets();
    let mut all = Vec::new();
    for _ in 0..6 {
        clock.advance(1);
        all.push(created(&assets, draft()).await);
    }
    for asset in &all[..3] {
        upload(&objects, asset, 5);
        get(&assets, asset, "").await;
    }
    let count = async |query: &str| {
        send(&assets, request("GET", &format!("/assets{query}"), None))
            .await
            .body["items"]
            .as_array()
            .unwrap()
            .len()
    };
    assert_eq!(
        (
            count("").await,
            count("?status=pending").await,
            count("?status=UPLOADED").await
        ),
        (6, 3, 3)
    );
    assert_eq!(
        (count("?status=Rejected").await, count("?status=UPLOADED&limit=2").await),
        (0, 2)
    );
    assert_eq!(
        send(&assets, request("GET", "/assets?status=GONE", None)).await.status,
        400
    );
}

#[tokio::test]
async fn after_thirty_days_it_is_gone() {
    let (assets, _, objects, clock) = assets();
    let old = created(&assets, draft()).await;
    upload(&objects, &old, 5);
    clock.advance(29 * 24 * 3600 * 1000);
    let young = created(&assets, draft()).await;
    assert_eq!(get(&assets, &old, "").await.status, 200);
    clock.advance(24 * 3600 * 1000);
    assert_eq!(get(&assets, &old, "").await.status, 404);
    assert_eq!(get(&assets, &old, "/download").await.status, 404);
    for query in ["", "?status=PENDING"] {
        let reply = send(&assets, request("GET", &format!("/assets{query}"), None)).await;
        assert_eq!(reply.body, json!({"items": [young], "nextKey": null}));
    }
}

#[tokio::test]
async fn what_a_body_may_not_be() {
    let (assets, store, _, _) = assets();
    for (change, field) in [
        (json!({"fileName": null}), "fileName"),
        (json!({"fileName": "../x"}), "fileName"),
        (json!({"fileName": "a\u{0}"}), "fileName"),
        (json!({"contentType": null}), "contentType"),
        (json!({"contentType": "text"}), "contentType"),
        (json!({"contentType": "text/plain\r\nx: y"}), "contentType"),
        (json!({"sizeBytes": -1}), "sizeBytes"),
        (json!({"sizeBytes": null}), "sizeBytes"),
        (json!({"sizeBytes": 1.5}), "sizeBytes"),
        (json!({"sizeBytes": "5"}), "sizeBytes"),
        (json!({"s3Key": "x"}), "s3Key"),
    ] {
        let mut body = draft();
        body.as_object_mut()
            .unwrap()
            .extend(change.as_object().unwrap().clone());
        let reply = send(&assets, request("POST", "/assets", body.clone())).await;
        assert_eq!(reply.status, 400, "{body}");
        assert!(
            reply.body["message"].as_str().unwrap().contains(&format!("'{field}'")),
            "{body}: {}",
            reply.body
        );
    }
    assert_eq!(store.keys(), [""; 0]);
}

#[tokio::test]
async fn the_same_key_is_the_same_asset_with_a_url_signed_anew() {
    let (assets, store, objects, _) = assets();
    let keyed = |body: Value| with_header(request("POST", "/assets", body), "idempotency-key", "k");
    let first = send(&assets, keyed(draft())).await;
    assert_eq!(send(&assets, keyed(draft())).await, first);
    assert_eq!(objects.len(), 1, "an object for the asset, and none for the repetition");
    assert_eq!(
        send(
            &assets,
            keyed(json!({"fileName": "y", "contentType": "a/b", "sizeBytes": 5}))
        )
        .await
        .status,
        422
    );
    let kept = store
        .keys()
        .into_iter()
        .find(|key| key.starts_with("idempotency#"))
        .unwrap();
    assert!(
        !store.item(&kept).unwrap().text("body").unwrap().contains("put:"),
        "no URL is kept"
    );
}

#[tokio::test]
async fn a_size_is_required_and_has_a_ceiling() {
    let (assets, store, _, _) = assets();
    for (size, status) in [
        (Value::Null, 400),
        (json!(104_857_600), 201),
        (json!(104_857_601), 413),
        (json!(5_368_709_121_i64), 413),
        (json!(i64::MAX), 413),
    ] {
        let body = json!({"fileName": "x", "contentType": "a/b", "sizeBytes": size});
        let reply = send(&assets, request("POST", "/assets", body)).await;
        assert_eq!(reply.status, status, "{size}: {}", reply.body);
        let named = reply.body["message"].as_str().unwrap().contains("'sizeBytes'");
        assert!(status == 201 || named, "{}", reply.body);
    }
    let reply = send(
        &assets,
        request("POST", "/assets", json!({"fileName": "x", "contentType": "a/b"})),
    )
    .await;
    assert_eq!(reply.status, 400);
    assert_eq!(store.keys().len(), 2, "directory, one asset");
}

#[tokio::test]
async fn a_deleted_asset_takes_its_kept_answer_along() {
    let (assets, store, _, _) = assets();
    let keyed = || with_header(request("POST", "/assets", draft()), "idempotency-key", "k");
    let first = send(&assets, keyed()).await.body["assetId"]
        .as_str()
        .unwrap()
        .to_owned();
    let deleted = send(&assets, request("DELETE", &format!("/assets/{first}"), None)).await;
    assert_eq!((deleted.status, store.keys()), (204, vec!["directory".to_owned()]));
    assert_ne!(send(&assets, keyed()).await.body["assetId"], json!(first));
}

/// The upload of a create's answer, as S3 takes it.
fn send_upload(objects: &MemoryObjects, made: &Value, size: i64) -> u16 {
    let key = made["data"]["s3Key"].as_str().unwrap();
    objects.put_if_match(key, size, made["headers"]["if-match"].as_str().unwrap())
}

#[tokio::test]
async fn an_upload_url_is_good_for_one_upload() {
    let (assets, _, objects, _) = assets();
    let ask = async || {
        let reply = send(&assets, request("POST", "/assets", draft())).await;
        assert_eq!(reply.status, 201);
        reply.body
    };
    let made = ask().await;
    assert_eq!(send_upload(&objects, &made, 5), 200);
    assert_eq!(send_upload(&objects, &made, 4), 412, "before anything looked");
    assert_eq!(get(&assets, &made, "").await.body["sizeBytes"], 5);
    assert_eq!(send_upload(&objects, &made, 4), 412, "once it is recorded");
    let delete = |made: &Value| {
        request(
            "DELETE",
            &format!("/assets/{}", made["assetId"].as_str().unwrap()),
            None,
        )
    };
    assert_eq!(send(&assets, delete(&made)).await.status, 204);
    assert_eq!(send_upload(&objects, &made, 4), 404, "once the asset is gone");
    let made = ask().await;
    assert_eq!(send(&assets, delete(&made)).await.status, 204);
    assert_eq!(
        (send_upload(&objects, &made, 5), objects.len()),
        (404, 0),
        "gone before its upload"
    );
}

#[tokio::test]
async fn what_is_no_longer_what_was_uploaded_is_not_handed_out() {
    let (assets, _, objects, _) = assets();
    let asset = created(&assets, draft()).await;
    upload(&objects, &asset, 5);
    assert_eq!(get(&assets, &asset, "/download").await.status, 200);
    upload(&objects, &asset, 4);
    let refused = get(&assets, &asset, "/download").await;
    assert_eq!((refused.status, &refused.body["error"]), (409, &json!("Conflict")));
}

/// A release before this one, answering meanwhile or rolled back to, records the object that stands for the upload as the upload.
#[tokio::test]
async fn an_upload_that_was_recorded_before_it_came_is_still_awaited() {
    let (assets, store, objects, _) = assets();
    let reply = send(&assets, request("POST", "/assets", draft())).await.body;
    let set = crate::ports::Item::default()
        .with("status", "REJECTED")
        .with("sizeBytes", 36)
        .with("etag", reply["headers"]["if-match"].as_str().unwrap())
        .with("revision", 2);
    let theirs = Write::Update {
        key: reply["assetId"].as_str().unwrap().to_owned(),
        set,
        remove: vec![],
        when: Condition::Revision(1),
    };
    assert_eq!(store.commit(&[theirs]).await.unwrap(), Commit::Done);
    let shown = get(&assets, &reply, "").await.body;
    assert_eq!((&shown["status"], &shown["sizeBytes"]), (&json!("PENDING"), &json!(5)));
    assert_eq!(send_upload(&objects, &reply, 5), 200);
    let shown = get(&assets, &reply, "").await.body;
    assert_eq!(
        (&shown["status"], &shown["etag"]),
        (&json!("UPLOADED"), &json!("\"e5\""))
    );
    assert_eq!(get(&assets, &reply, "/download").await.status, 200);
}

#[tokio::test]
async fn the_ceiling_is_the_templates() {
    let (assets, ..) = assets();
    let assets = assets.with_upload_limit(4);
    let refused = send(&assets, request("POST", "/assets", draft())).await;
    assert_eq!((refused.status, &refused.body["error"]), (413, &json!("Too Large")));
}
