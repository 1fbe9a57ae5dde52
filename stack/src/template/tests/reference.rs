//! The page and the schema say what the decoder does.

use std::path::Path;

use crate::template::reference;

const MARK: &str = "<!-- Made from the decoder: TASKCTL_UPDATE_DOCS=1 cargo test -p taskctl-stack reference -->\n";

#[test]
fn the_reference_page_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/template.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let (written, _) = page.split_once(MARK).unwrap();
    let expected = format!("{written}{MARK}{}", reference());
    if std::env::var_os("TASKCTL_UPDATE_DOCS").is_some() {
        std::fs::write(&path, &expected).unwrap();
        return;
    }
    assert!(
        page == expected,
        "docs/template.md is not current: run TASKCTL_UPDATE_DOCS=1 cargo test -p taskctl-stack reference"
    );
}
