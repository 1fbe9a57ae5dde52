//! Environments from start to end: what a function sees, how it fails, how many there are, that none is left behind.

use serde_json::json;

use crate::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn an_environment_is_used_again() {
    let world = World::new();
    let (address, version) = world.function("echo", |_| {});
    let first = world.describe(&address).await;
    let second = world.describe(&address).await;
    assert_eq!(first["pid"], second["pid"]);
    assert_eq!(second["runs"], json!(2));
    assert_eq!(world.host.environments(&version), 1);
}
