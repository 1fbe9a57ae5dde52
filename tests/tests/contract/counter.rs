//! The counter, health, and what has no route.

use super::{Deployed, at_once};

#[test]
fn sixteen_visitors_raise_the_counter_by_sixteen() {
    let api = Deployed::shared();
    let before = api.get("/health").expect(200).json()["counter_value"].as_u64().unwrap();
    let mut counts = at_once(|_| {
        let body = api.get("/counter").expect(200).json();
        assert_eq!(body["status"], "success");
        assert!(body["timestamp"].is_string() && body["requestId"].is_string());
        body["count"].as_u64().unwrap()
    });
    counts.sort_unstable();
    assert_eq!(counts, (before + 1..=before + 16).collect::<Vec<_>>());
}

#[test]
fn health_reads_and_changes_nothing() {
    let api = Deployed::shared();
    let body = api.get("/health").expect(200).json();
    for (key, value) in [
        ("status", "healthy"),
        ("database", "connected"),
        ("release", "1"),
        ("color", "blue"),
    ] {
        assert_eq!(body[key], value);
    }
    for key in ["service", "version", "timestamp"] {
        assert!(body[key].is_string(), "{key}");
    }
}

#[test]
fn what_has_no_route_is_the_gateways_404() {
    let api = Deployed::shared();
    for (method, path) in [
        ("GET", "/nowhere"),
        ("POST", "/health"),
        ("DELETE", "/tasks"),
        ("GET", "/"),
    ] {
        let reply = api.send(method, path, &[], b"").expect(404);
        assert_eq!(reply.json()["message"], "Not Found");
        assert_eq!(reply.header("x-release"), "", "no function was reached");
    }
}
