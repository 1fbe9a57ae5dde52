//! README's screens are what the program prints: each is compared with a rendering made here.

use parking_lot::Mutex;

/// Tests run side by side, and may write.
static FILE: Mutex<()> = Mutex::new(());

/// Compares the lines below `$ command` in README with a screen. `TASKCTL_UPDATE_DOCS=1` writes them instead.
///
/// # Panics
/// When README has no such command, or other lines below it.
pub fn check(command: &str, screen: &str) {
    let _guard = FILE.lock();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md");
    let readme = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{error}"));
    let head = format!("$ {command}\n");
    let Some(start) = readme.find(&head).map(|at| at + head.len()) else {
        panic!("README.md does not show `{command}`");
    };
    let ends = ["\n$ ", "\n```"].iter().filter_map(|mark| readme[start..].find(mark));
    let end = start + ends.min().map_or(0, |at| at + 1);
    let screen: String = screen.lines().map(|line| format!("{}\n", line.trim_end())).collect();
    if std::env::var_os("TASKCTL_UPDATE_DOCS").is_some() {
        let updated = format!("{}{screen}{}", &readme[..start], &readme[end..]);
        std::fs::write(path, updated).unwrap_or_else(|error| panic!("{error}"));
        return;
    }
    assert_eq!(
        &readme[start..end],
        screen,
        "README.md is not current: run TASKCTL_UPDATE_DOCS=1 cargo test --workspace readme"
    );
}
