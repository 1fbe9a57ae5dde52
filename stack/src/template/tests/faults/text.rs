//! The text itself: empty, too large, not YAML, growing without bounds.

use super::{codes, faults, with};
use crate::template::{Code, Color, Options, Source, load};

#[test]
fn nothing_at_all() {
    insta::assert_snapshot!(faults(""), @"
    error[empty]: the template is empty
    --> taskctl.yaml
     = help: `taskctl init` writes one; it needs `app`, `region` and at least one resource
    ");
    assert_eq!(codes("# only a comment\n"), [Code::Empty]);
    assert_eq!(codes("---\n"), [Code::Empty]);
    assert_eq!(codes("~"), [Code::Empty]);
}

#[test]
fn not_a_mapping() {
    insta::assert_snapshot!(faults("- app\n- region\n"), @"
    error[wrong-type]: a template is a mapping, not a list
     --> taskctl.yaml:1:1
      |
    1 | - app
      | ^^^^^
    2 | - region
      |
      = help: it begins with `app: name`
    ");
}

#[test]
fn five_megabytes_are_refused_at_once() {
    let text = "x".repeat(5_000_000);
    insta::assert_snapshot!(faults(&text), @"
    error[too-large]: the template has 5000000 bytes; the largest has 1000000
    --> taskctl.yaml
     = help: is this the right file? Templates have a few kilobytes
    ");
}

#[test]
fn not_utf8() {
    let bytes = b"app: caf\xe9\n".to_vec();
    let refused = load(&Source::new("taskctl.yaml", bytes), "dev", &Options::default()).unwrap_err();
    insta::assert_snapshot!(refused.render(Color::Plain), @"
    error[not-utf8]: the template is not UTF-8 (byte 9)
    --> taskctl.yaml
     = help: save the file as UTF-8
    ");
}

#[test]
fn a_byte_order_mark_is_read_over() {
    let text = format!("\u{feff}{}", with("tabels: {}"));
    let refused = load(&Source::new("taskctl.yaml", text), "dev", &Options::default()).unwrap_err();
    assert_eq!(refused.place(&refused.list()[0]), "taskctl.yaml:3:1");
}

#[test]
fn a_tab() {
    insta::assert_snapshot!(faults("app: shop\ntables:\n\ttasks: {}\n"), @"
    error[syntax]: a tab indents this line; YAML is indented with spaces
     --> taskctl.yaml:3:1
      |
    2 | tables:
    3 |     tasks: {}
      | ^^^^
      |
      = help: replace the tab by spaces, two for each level
    ");
}

#[test]
fn broken_yaml() {
    insta::assert_snapshot!(faults(&with("tables: {tasks: [}")), @"
    error[syntax]: this is not YAML: mismatched bracket '[' closed by '}'
     --> taskctl.yaml:3:17
      |
    2 | region: eu-central-1
    3 | tables: {tasks: [}
      |                 ^
    ");
}

#[test]
fn an_alias_bomb() {
    let mut text = with("tags: {}");
    text.push_str("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..12 {
        let below = format!("*a{}, ", level - 1).repeat(10);
        text.push_str(&format!("a{level}: &a{level} [{below}]\n"));
    }
    insta::assert_snapshot!(faults(&text), @"
    error[expansion]: the template has more than 20000 values when its aliases are followed
     --> taskctl.yaml:8:10
      |
    7 | a3: &a3 [*a2, *a2, *a2, *a2, *a2, *a2, *a2, *a2, *a2, *a2, ]
    8 | a4: &a4 [*a3, *a3, *a3, *a3, *a3, *a3, *a3, *a3, *a3, *a3, ]
      |          ^^^
    9 | a5: &a5 [*a4, *a4, *a4, *a4, *a4, *a4, *a4, *a4, *a4, *a4, ]
      |
      = help: templates have a few hundred values; write less with aliases of aliases
    ");
}

#[test]
fn an_alias_inside_its_own_anchor() {
    insta::assert_snapshot!(faults(&with("tables: &tables\n  tasks: *tables")), @"
    error[cycle]: the alias `*tables` refers to a value that it is part of
     --> taskctl.yaml:4:10
      |
    3 | tables: &tables
    4 |   tasks: *tables
      |          ^^^^^^^
      |
      = help: write the value out, or move the anchor to a value that does not contain the alias
    ");
}

#[test]
fn nested_without_end() {
    let text = format!("app: {}{}\n", "[".repeat(5000), "]".repeat(5000));
    assert_eq!(codes(text), [Code::Expansion]);
    let deep: String = (0..200).map(|level| format!("{}a:\n", " ".repeat(level))).collect();
    assert_eq!(codes(deep), [Code::Expansion]);
}

#[test]
fn yaml_that_templates_do_not_use() {
    let text = with(
        "tags: !secret {a: b}\nbuckets:\n  site: &site {website: true}\n  copy:\n    <<: *site\n  other: *nothing\n? [a]\n: b",
    );
    insta::assert_snapshot!(faults(&text), @"
    error[unsupported]: the tag `!secret` has no meaning in a template
     --> taskctl.yaml:3:15
      |
    2 | region: eu-central-1
    3 | tags: !secret {a: b}
      |               ^
    4 | buckets:
      |
      = help: remove the tag; a text that begins with `!` needs quotes

    error[unsupported]: merge keys are not used in templates
     --> taskctl.yaml:7:5
      |
    6 |   copy:
    7 |     <<: *site
      |     ^^
    8 |   other: *nothing
      |
      = help: put what functions share under `defaults.function`, or alias the whole value

    error[unknown-reference]: there is no anchor `&nothing` before this alias
     --> taskctl.yaml:8:10
      |
    7 |     <<: *site
    8 |   other: *nothing
      |          ^^^^^^^^
    9 | ? [a]
      |
      = help: an anchor is set with `&name` before the value; a text that begins with `*` needs quotes

    error[unsupported]: a key must be text, not a collection
      --> taskctl.yaml:9:3
       |
     8 |   other: *nothing
     9 | ? [a]
       |   ^^^
    10 | : b
       |
    ");
    assert_eq!(codes(format!("{}---\napp: b\n", with(""))), [Code::Unsupported]);
}

#[test]
fn a_long_text_repeated_by_aliases_is_not_copied() {
    let long = "x".repeat(500_000);
    let many = (0..5000).map(|tag| format!("t{tag}: *a, ")).collect::<String>();
    let refused = load(
        &Source::new("taskctl.yaml", with(&format!("tags: {{t: &a {long}, {many}}}"))),
        "dev",
        &Options::default(),
    );
    assert_eq!(refused.unwrap_err().list()[0].code, Code::BadValue);
}
