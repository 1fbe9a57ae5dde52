//! Assets, with real uploads to presigned URLs.

use serde_json::{Value, json};

use super::{Deployed, Reply, check_error};

fn upload(api: &Deployed, made: &Value, bytes: &[u8]) -> Reply {
    let headers: Vec<(String, String)> = made["headers"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned()))
        .collect();
    let headers: Vec<(&str, &str)> = headers.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    api.send("PUT", made["uploadUrl"].as_str().unwrap(), &headers, bytes)
}

#[test]
fn an_asset_is_uploaded_downloaded_and_deleted() {
    let api = Deployed::shared();
    let body = json!({"fileName": "käse report.txt", "contentType": "text/plain", "sizeBytes": 11});
    let made = api.post("/assets", &body).expect(201).json();
    let id = made["assetId"].as_str().unwrap().to_owned();
    assert_eq!((&made["method"], &made["expiresIn"]), (&json!("PUT"), &json!(3600)));
    assert_eq!(made["data"]["status"], "PENDING");
    assert!(
        made["data"]["s3Key"]
            .as_str()
            .unwrap()
            .starts_with(&format!("assets/{id}/"))
    );
    check_error(&api.get(&format!("/assets/{id}/download")).expect(409), "Conflict");
    upload(&api, &made, b"hello world").expect(200);
    let seen = api.get(&format!("/assets/{id}")).expect(200).json();
    assert_eq!((&seen["status"], &seen["sizeBytes"]), (&json!("UPLOADED"), &json!(11)));
    let download = api.get(&format!("/assets/{id}/download")).expect(200).json();
    assert_eq!(download["expiresIn"], 3600);
    let object = api.get(download["downloadUrl"].as_str().unwrap()).expect(200);
    assert_eq!(object.text, "hello world");
    assert!(
        object.header("content-disposition").contains("filename"),
        "{:?}",
        object.headers
    );
    let listed = api.get("/assets?status=UPLOADED&limit=100").expect(200).json();
    assert!(
        listed["items"]
            .as_array()
            .unwrap()
            .iter()
            .any(|item| item["assetId"] == id.as_str())
    );
    api.delete(&format!("/assets/{id}")).expect(204);
    api.get(&format!("/assets/{id}")).expect(404);
    assert_eq!(api.get(download["downloadUrl"].as_str().unwrap()).status, 404);
}

#[test]
fn a_file_name_cannot_leave_its_place() {
    let api = Deployed::shared();
    for name in [
        "../../etc/passwd",
        "/etc/passwd",
        "a/../b",
        "..",
        "",
        "a\u{0}b",
        "a\\b",
        "x\ny",
    ] {
        let body = json!({"fileName": name, "contentType": "text/plain", "sizeBytes": 1});
        let reply = api.post("/assets", &body);
        if reply.status == 201 {
            let key = reply.json()["data"]["s3Key"].as_str().unwrap().to_owned();
            assert_eq!(key.split('/').count(), 3, "{key}");
            assert!(!key.contains(".."), "{key}");
        } else {
            check_error(&reply.expect(400), "Validation Error");
        }
    }
}

#[test]
fn more_than_was_announced_is_noticed() {
    let api = Deployed::shared();
    let body = json!({"fileName": "a.bin", "contentType": "application/octet-stream", "sizeBytes": 4});
    let made = api.post("/assets", &body).expect(201).json();
    let refused = upload(&api, &made, b"far more than four").status;
    let seen = api
        .get(&format!("/assets/{}", made["assetId"].as_str().unwrap()))
        .json();
    assert!(
        refused >= 400 || seen["sizeBytes"] != 4 || seen["status"] != "UPLOADED",
        "upload answered {refused}, asset is {seen}"
    );
}

fn announced(api: &Deployed, size: usize) -> Value {
    let body = json!({"fileName": "a.txt", "contentType": "text/plain", "sizeBytes": size});
    api.post("/assets", &body).expect(201).json()
}

fn place(made: &Value) -> String {
    format!("/assets/{}", made["assetId"].as_str().unwrap())
}

#[test]
fn a_size_is_required_has_a_ceiling_and_is_signed() {
    let api = Deployed::shared();
    let without = json!({"fileName": "a.txt", "contentType": "text/plain"});
    let refused = api.post("/assets", &without).expect(400);
    check_error(&refused, "Validation Error");
    assert!(refused.text.contains("sizeBytes"), "{}", refused.text);
    let mut too_large = without;
    too_large["sizeBytes"] = json!(100 * 1024 * 1024 + 1);
    let refused = api.post("/assets", &too_large).expect(413);
    check_error(&refused, "Too Large");

    let made = announced(&api, 4);
    let signed = made["uploadUrl"].as_str().unwrap();
    assert!(signed.contains("X-Amz-SignedHeaders=content-length"), "{signed}");
    let told: Vec<&String> = made["headers"].as_object().unwrap().keys().collect();
    assert_eq!(told, ["content-type", "if-match"]);
    for other in [&b"far more than four"[..], b"few"] {
        assert_eq!(upload(&api, &made, other).status, 403);
        assert_eq!(api.get(&place(&made)).json()["status"], "PENDING");
    }
    upload(&api, &made, b"four").expect(200);
    assert_eq!(api.get(&place(&made)).json()["status"], "UPLOADED");
}

#[test]
fn an_upload_url_is_good_for_one_upload() {
    let api = Deployed::shared();
    // Used again before anything looked, after the upload is recorded, and after the asset is gone.
    let made = announced(&api, 5);
    upload(&api, &made, b"first").expect(200);
    upload(&api, &made, b"other").expect(412);
    let seen = api.get(&place(&made)).expect(200).json();
    assert_eq!(seen["status"], "UPLOADED");
    upload(&api, &made, b"other").expect(412);
    let download = api.get(&format!("{}/download", place(&made))).expect(200).json();
    let link = download["downloadUrl"].as_str().unwrap();
    assert_eq!(api.get(link).expect(200).text, "first");
    api.delete(&place(&made)).expect(204);
    upload(&api, &made, b"other").expect(404);
    api.get(link).expect(404);

    // Without the headers that came with the URL there is no upload at all.
    let made = announced(&api, 5);
    let url = made["uploadUrl"].as_str().unwrap();
    api.send("PUT", url, &[("content-type", "text/plain")], b"first")
        .expect(403);
    assert_eq!(api.get(&place(&made)).json()["status"], "PENDING");

    // An asset that goes before its upload leaves nothing that could be written to.
    api.delete(&place(&made)).expect(204);
    upload(&api, &made, b"first").expect(404);
}

#[test]
fn an_upload_that_is_signed_again_is_the_same_upload() {
    let api = Deployed::shared();
    let key = super::unique("again");
    let body = json!({"fileName": "a.txt", "contentType": "text/plain", "sizeBytes": 5});
    let ask = || {
        api.with_json("POST", "/assets", &[("idempotency-key", key.as_str())], &body)
            .expect(201)
            .json()
    };
    let (first, again) = (ask(), ask());
    assert_eq!(first["data"], again["data"]);
    upload(&api, &again, b"longer than five").expect(403);
    upload(&api, &again, b"bytes").expect(200);
    upload(&api, &first, b"other").expect(412);
    upload(&api, &ask(), b"other").expect(412);
    api.delete(&place(&first)).expect(204);
    upload(&api, &first, b"other").expect(404);
    assert_ne!(ask()["assetId"], first["assetId"], "its kept answer went with it");
}
