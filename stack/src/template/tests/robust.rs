//! No text makes the reader panic, hang or waver.

use proptest::prelude::*;

use crate::template::{Color, EMBEDDED, Options, Source, load};

fn try_to_read(text: &[u8]) {
    for stage in ["dev", "prod"] {
        match load(&Source::new("taskctl.yaml", text), stage, &Options::default()) {
            Ok(loaded) => drop(loaded.warnings.render(Color::Plain)),
            Err(faults) => {
                assert!(faults.has_errors());
                assert!(!faults.render(Color::Ansi).is_empty());
                assert!(!faults.to_json().is_null());
            }
        }
    }
}

/// A shipped template with some of its bytes replaced, removed and doubled.
fn damaged() -> impl Strategy<Value = Vec<u8>> {
    let edit = (
        any::<prop::sample::Index>(),
        0..4_u8,
        prop::sample::select(&b"{}[]:,&*!|>'\"#%@`-? \n\tab0\\$\xff\xc3"[..]),
    );
    (0..EMBEDDED.len(), prop::collection::vec(edit, 1..12)).prop_map(|(template, edits)| {
        let mut text = EMBEDDED[template].text.as_bytes().to_vec();
        for (at, kind, byte) in edits {
            let at = at.index(text.len());
            match kind {
                0 => text[at] = byte,
                1 => text.insert(at, byte),
                2 => drop(text.remove(at)),
                _ => {
                    let line: Vec<u8> = text[at..].iter().copied().take_while(|byte| *byte != b'\n').collect();
                    text.splice(at..at, line);
                }
            }
        }
        text
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn any_text(text in "\\PC{0,200}") {
        try_to_read(text.as_bytes());
    }

    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        try_to_read(&bytes);
    }

    #[test]
    fn any_yaml(text in "([ -]{0,4}(app|region|tables|functions|api|routes|stages|a|dev|[&*]x|<<|\\?)?(: |:|, |\\{|\\}|\\[|\\]|\n|'|\"|5m|-1|true|null|~|\\$\\{stage\\}|GET /\\{x\\})){0,60}") {
        try_to_read(text.as_bytes());
    }

    #[test]
    fn a_damaged_template(text in damaged()) {
        try_to_read(&text);
    }
}

#[test]
fn reading_twice_gives_the_same() {
    for template in EMBEDDED {
        let read = || load(&Source::new("taskctl.yaml", template.text), "prod", &Options::default()).unwrap();
        assert_eq!(read(), read());
    }
}

#[test]
fn the_resolved_stack_survives_json() {
    for template in EMBEDDED {
        let stack = super::read(template.text, "prod").stack;
        let json = serde_json::to_string(&stack).unwrap();
        assert_eq!(
            serde_json::from_str::<crate::template::model::Stack>(&json).unwrap(),
            stack
        );
    }
}
