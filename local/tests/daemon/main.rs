//! The real background process with the real emulator, over HTTP.

#![expect(clippy::unwrap_used, reason = "a test ends where something is wrong")]

mod conformance;
mod lifecycle;
mod world;

use std::path::Path;

use taskctl_local::LocalOptions;

/// Not a test: the background process of the tests, which is this very program.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "the background process of the other tests"]
async fn daemon_process() {
    if let Some(root) = std::env::var_os(world::ROOT) {
        let options = LocalOptions {
            venv: world::venv(),
            ..LocalOptions::load(Path::new(&root))
        };
        taskctl_local::serve(options).await.unwrap();
    }
}
