//! The real background process with the real emulator.

#![expect(clippy::unwrap_used, reason = "a test ends where something is wrong")]

use std::ffi::OsString;
use std::net::TcpListener;
use std::path::Path;
use std::time::{Duration, Instant};

use taskctl_local::{DaemonCommand, LocalOptions, LocalState, down, status, up};

const ROOT: &str = "TASKCTL_TEST_DAEMON_ROOT";

/// Not a test: the background process of the tests, which is this very program.
#[tokio::test]
#[ignore = "the background process of the other tests"]
async fn daemon_process() {
    let root = std::env::var_os(ROOT).unwrap();
    taskctl_local::serve(LocalOptions::load(Path::new(&root)))
        .await
        .unwrap();
}

fn daemon(options: &LocalOptions) -> DaemonCommand {
    let mut root = OsString::from(format!("{ROOT}="));
    root.push(&options.root);
    let program = std::env::current_exe().unwrap().into_os_string();
    let flags = ["daemon_process", "--exact", "--ignored", "--nocapture"].map(OsString::from);
    let arguments = [root, program].into_iter().chain(flags).collect();
    DaemonCommand {
        program: "/usr/bin/env".into(),
        arguments,
    }
}

fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0))
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

fn options(root: &Path) -> LocalOptions {
    let venv = Path::new(env!("CARGO_TARGET_TMPDIR")).join("emulator");
    LocalOptions {
        port: free_port(),
        website_port: free_port(),
        first_api_port: free_port(),
        venv,
        ..LocalOptions::new(root)
    }
}

#[tokio::test]
async fn up_status_down() {
    let directory = tempfile::tempdir().unwrap();
    let options = options(directory.path());
    let mut seen = Vec::new();
    let started = Instant::now();
    let first = up(&options, &daemon(&options), |progress| seen.push(progress))
        .await
        .unwrap();
    eprintln!("first up {:?}: {seen:?}", started.elapsed());
    assert_eq!(first.state, LocalState::Running);

    let again = Instant::now();
    let second = up(&options, &daemon(&options), |progress| unreachable!("{progress:?}"))
        .await
        .unwrap();
    eprintln!("second up {:?}", again.elapsed());
    assert!(again.elapsed() < Duration::from_millis(50));
    assert_eq!(second.pid, first.pid);
    assert_eq!(status(&options).await.pid, first.pid);

    let ending = Instant::now();
    down(&options).await.unwrap();
    eprintln!("down {:?}", ending.elapsed());
    assert_eq!(status(&options).await.state, LocalState::Stopped);
    let third = Instant::now();
    up(&options, &daemon(&options), |_| ()).await.unwrap();
    eprintln!("third up {:?}", third.elapsed());
    down(&options).await.unwrap();
}
