//! What a person sees at a terminal: what was drawn while a command ran is gone when it has ended.

use std::collections::BTreeSet;

use taskctl_tests::Project;

/// Drawn while something is being worked on, in no line that stays.
const DRAWN: [&str; 8] = ["━", "╸", "⠋", "⠙", "⠹", "⠸", "reading resources", "ing  "];

/// Asserts that a screen has a line for each resource, once, and nothing of a frame.
fn check(screen: &[String], mark: &str, word: &str) {
    let text = screen.join("\n");
    for drawn in DRAWN {
        assert!(!text.contains(drawn), "{drawn:?} was left behind:\n{text}");
    }
    let begin = format!("  {mark} {word} ");
    let done: Vec<&String> = screen.iter().filter(|line| line.starts_with(&begin)).collect();
    let distinct: BTreeSet<&String> = done.iter().copied().collect();
    assert_eq!(done.len(), distinct.len(), "{text}");
    let ending = format!("Done: {} {word} in ", done.len());
    let endings = screen.iter().filter(|line| line.starts_with(&ending)).count();
    assert_eq!(endings, 1, "{ending}\n{text}");
}

#[test]
fn no_frame_is_left_behind_by_deploy_and_destroy() {
    let project = Project::platform("drawn");
    let mut terminal = project.start_on_screen(80, &["deploy", "--yes"]);
    terminal.wait_for("  + created ");
    terminal.resize(132);
    let (code, screen) = terminal.end_on_screen();
    assert_eq!(code, 0, "{screen:?}");
    check(&screen, "+", "created");

    let (code, screen) = project.start_on_screen(120, &["destroy", "--yes"]).end_on_screen();
    assert_eq!(code, 0, "{screen:?}");
    check(&screen, "-", "deleted");
}
