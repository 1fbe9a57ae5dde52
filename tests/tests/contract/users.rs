//! Users.

use serde_json::{Value, json};

use super::{Deployed, at_once, check_error, unique};

#[test]
fn a_user_is_created_found_changed_and_deleted() {
    let api = Deployed::shared();
    let email = format!("{}@Example.com", unique("Ann"));
    let made = api
        .post("/users", &json!({"email": email, "name": "Ann", "department": "ops"}))
        .expect(201)
        .json();
    let id = made["userId"].as_str().unwrap().to_owned();
    assert!(
        made["data"]["createdAt"].as_i64().unwrap() > 1_700_000_000_000,
        "epoch milliseconds"
    );
    let found = api
        .get(&format!("/users?email={}", email.to_lowercase()))
        .expect(200)
        .json();
    assert_eq!(
        (&found["items"][0]["userId"], &found["nextKey"]),
        (&json!(id), &Value::Null)
    );
    let other = format!("{}@example.com", unique("anna"));
    let changed = api
        .put(&format!("/users/{id}"), &json!({"email": other}))
        .expect(200)
        .json();
    assert_eq!(
        (&changed["data"]["name"], &changed["data"]["email"]),
        (&json!("Ann"), &json!(other))
    );
    // The address that was given up is free again, the new one is taken.
    api.post("/users", &json!({"email": email, "name": "Bea"})).expect(201);
    check_error(
        &api.post("/users", &json!({"email": other.to_uppercase(), "name": "Cid"}))
            .expect(409),
        "Conflict",
    );
    api.delete(&format!("/users/{id}")).expect(204);
    api.get(&format!("/users/{id}")).expect(404);
    api.post("/users", &json!({"email": other, "name": "Dan"})).expect(201);
}

#[test]
fn of_sixteen_with_the_same_address_one_is_created() {
    let api = Deployed::shared();
    let email = format!("{}@example.com", unique("race"));
    let answers = at_once(|number| {
        let email = if number % 2 == 0 {
            email.to_uppercase()
        } else {
            email.clone()
        };
        api.post("/users", &json!({"email": email, "name": format!("n{number}")}))
            .status
    });
    assert_eq!(
        answers.iter().filter(|status| **status == 201).count(),
        1,
        "{answers:?}"
    );
    assert_eq!(
        answers.iter().filter(|status| **status == 409).count(),
        15,
        "{answers:?}"
    );
}

#[test]
fn users_are_listed_newest_first() {
    let api = Deployed::shared();
    let made: Vec<String> = (0..5)
        .map(|number| {
            let email = format!("{}@example.com", unique("list"));
            let body = json!({"email": email, "name": format!("n{number}")});
            api.post("/users", &body).expect(201).json()["userId"]
                .as_str()
                .unwrap()
                .to_owned()
        })
        .collect();
    let (items, _) = api.walk("/users", 3);
    let listed: Vec<&str> = items.iter().filter_map(|item| item["userId"].as_str()).collect();
    let places: Vec<usize> = made
        .iter()
        .map(|id| listed.iter().position(|listed| listed == id).unwrap())
        .collect();
    assert!(places.windows(2).all(|pair| pair[0] > pair[1]), "{places:?}");
    let unique: std::collections::BTreeSet<&&str> = listed.iter().collect();
    assert_eq!(unique.len(), listed.len());
}

#[test]
fn wrong_users_are_refused() {
    let api = Deployed::shared();
    for body in [
        json!({"name": "x"}),
        json!({"email": "a@b.example"}),
        json!({"email": "not an address", "name": "x"}),
        json!({"email": "a@b.example", "name": ""}),
        json!({"email": "a@b.example", "name": "x", "admin": true}),
    ] {
        check_error(&api.post("/users", &body).expect(400), "Validation Error");
    }
}
