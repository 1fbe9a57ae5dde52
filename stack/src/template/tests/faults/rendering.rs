//! How faults are shown.

use super::{faults, with};
use crate::template::{Color, Options, Position, Source, load};

#[test]
fn colour_and_json() {
    let refused = load(
        &Source::new("taskctl.yaml", with("tabels: {}")),
        "dev",
        &Options::default(),
    )
    .unwrap_err();
    assert!(refused.render(Color::Ansi).contains("\u{1b}["));
    assert!(!refused.render(Color::Plain).contains('\u{1b}'));
    insta::assert_json_snapshot!(refused.to_json(), @r#"
    {
      "file": "taskctl.yaml",
      "faults": [
        {
          "severity": "error",
          "code": "unknown-key",
          "message": "unknown key `tabels`",
          "at": {
            "label": "",
            "line": 3,
            "column": 1,
            "endLine": 3,
            "endColumn": 7
          },
          "related": [],
          "help": [
            "did you mean `tables`?",
            "keys of `stack`: app, region, account, requires, handlers, tags, protected, release, defaults, stages, tables, buckets, functions, api, alarms, topics, dashboard, warmup, queries"
          ]
        }
      ]
    }
    "#);
    assert_eq!(refused.to_string(), "template taskctl.yaml has 1 fault");
}

#[test]
fn positions_count_characters() {
    assert_eq!(Position::of("é\nüa", 5), Position { line: 2, column: 2 });
}

#[test]
fn a_hundred_faults_are_counted_and_the_first_are_shown() {
    let lines: String = (0..100).map(|key| format!("wrong{key}: 1\n")).collect();
    let text = faults(&with(&lines));
    assert_eq!(text.matches("error[unknown-key]").count(), 50);
    assert!(text.ends_with("… and 50 more\n"), "{text}");
}
