//! The real background process with the real emulator, over HTTP.

#![expect(clippy::unwrap_used, reason = "a test ends where something is wrong")]

mod conformance;
mod deliveries;
mod lifecycle;
mod world;

/// Not a test: the background process of the tests, which is this very program.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "the background process of the other tests"]
async fn daemon_process() {
    if std::env::var_os(world::DAEMON).is_some() {
        let settings = std::env::args().next_back().unwrap();
        taskctl_local::serve(settings.parse().unwrap()).await.unwrap();
    }
}
