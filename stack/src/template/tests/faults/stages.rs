//! Stages and regions.

use super::{codes, faults, with};
use crate::template::{Code, Color, Flag, Options, Source, load};

#[test]
fn stages() {
    let text = with(
        "stages:\n  dev:\n    app: other\n    functions: {helth: null}\n  Prod: {}\n  prod: {functions: {health: {memory: 1}}}\n  odd: 5\nfunctions: {health: {}}",
    );
    insta::assert_snapshot!(faults(&text), @"
    error[permanent]: a stage cannot change `app`
     --> taskctl.yaml:5:5
      |
    4 |   dev:
    5 |     app: other
      |     ^^^
    6 |     functions: {helth: null}
      |
      = help: it is the same for all stages; another application is another template

    error[unknown-reference]: `helth: null` removes what is not there
     --> taskctl.yaml:6:17
      |
    5 |     app: other
    6 |     functions: {helth: null}
      |                 ^^^^^
    7 |   Prod: {}
      |
      = help: did you mean `health`?
      = help: in a stage `null` removes what the base has; write `{}` to add something with its defaults

    error[bad-name]: `Prod` is not a stage name
     --> taskctl.yaml:7:3
      |
    6 |     functions: {helth: null}
    7 |   Prod: {}
      |   ^^^^
    8 |   prod: {functions: {health: {memory: 1}}}
      |
      = help: allowed: 1 to 16 of a-z, 0-9 and `-`, beginning with a letter and not ending with `-`

    error[out-of-range]: `functions.health.memory` is 1 (stage `prod`)
     --> taskctl.yaml:8:39
      |
    7 |   Prod: {}
    8 |   prod: {functions: {health: {memory: 1}}}
      |                                       ^
    9 |   odd: 5
      |
      = help: allowed: 128 to 10240

    error[wrong-type]: `stages.odd` must be a mapping of what the stage sets differently, not `5`
      --> taskctl.yaml:9:8
       |
     8 |   prod: {functions: {health: {memory: 1}}}
     9 |   odd: 5
       |        ^
    10 | functions: {health: {}}
       |
    ");
}

#[test]
fn twenty_stages_are_the_most() {
    let stages: String = (0..20).map(|stage| format!("s{stage}: {{}}, ")).collect();
    assert_eq!(
        codes(with(&format!("stages: {{dev: {{}}, {stages}}}"))),
        [Code::TooMany]
    );
}

#[test]
fn an_unknown_stage() {
    let source = Source::new("taskctl.yaml", with("stages: {dev: {}, prod: {}}"));
    let refused = load(&source, "prd", &Options::default()).unwrap_err();
    insta::assert_snapshot!(refused.render(Color::Plain), @"
    error[unknown-stage]: --stage prd: the template has no such stage
     |
     = help: did you mean `prod`?
     = help: stages of the template: dev, prod
    ");
    let flag = |faults: &crate::template::Faults| faults.of_flag().and_then(|fault| fault.flag);
    assert_eq!(flag(&refused), Some(Flag::Stage));
    let refused = load(&source, "Pro duction", &Options::default()).unwrap_err();
    assert_eq!(
        (refused.list()[0].code, flag(&refused)),
        (Code::UnknownStage, Some(Flag::Stage))
    );
}

#[test]
fn a_missing_or_odd_region() {
    insta::assert_snapshot!(faults("app: shop\n"), @"
    error[missing-key]: no region: the template has none and none was given
     --> taskctl.yaml:1:1
      |
    1 | app: shop
      | ^
      |
      = help: add `region: eu-central-1` (or another) to the template, or give --region
    ");
    assert_eq!(codes("app: shop\nregion: Frankfurt\n"), [Code::BadValue]);
    assert_eq!(codes("app: shop\nregion: eu-central-9\n"), []);
    insta::assert_snapshot!(faults("app: shop\nregion: eu-centrl-1\n"), @"
    error[bad-value]: `eu-centrl-1` is not a region of AWS
     --> taskctl.yaml:2:9
      |
    1 | app: shop
    2 | region: eu-centrl-1
      |         ^^^^^^^^^^^
      |
      = help: did you mean `eu-central-1`?
      = help: regions look like eu-central-1: `aws account list-regions` shows those there are
    ");
}

#[test]
fn regions_of_all_partitions_are_known() {
    for region in [
        "us-iso-east-1",
        "us-isob-east-1",
        "eu-isoe-west-1",
        "us-isof-south-1",
        "eusc-de-east-1",
    ] {
        assert_eq!(codes(format!("app: shop\nregion: {region}\n")), [], "{region}");
    }
    for region in ["eu-west-99", "eu-west", "xx-west-1"] {
        assert_eq!(
            codes(format!("app: shop\nregion: {region}\n")),
            [Code::BadValue],
            "{region}"
        );
    }
}

/// The template is not at fault for what a flag says.
#[test]
fn a_region_that_does_not_exist_is_a_fault_of_its_flag() {
    let refused = |region: &str| {
        let given = Options {
            region: Some(region.to_owned()),
        };
        let refused = load(&Source::new("taskctl.yaml", "app: shop\n"), "dev", &given).unwrap_err();
        assert_eq!(refused.of_flag().and_then(|fault| fault.flag), Some(Flag::Region));
        refused.render(Color::Plain)
    };
    insta::assert_snapshot!(refused("Frankfurt"), @"
    error[bad-value]: --region Frankfurt: AWS has no such region
     |
     = help: did you mean `eu-central-1`?
     = help: regions look like eu-central-1: `aws account list-regions` shows those there are
    ");
    insta::assert_snapshot!(refused("eu-centrl-1"), @"
    error[bad-value]: --region eu-centrl-1: AWS has no such region
     |
     = help: did you mean `eu-central-1`?
     = help: regions look like eu-central-1: `aws account list-regions` shows those there are
    ");
    insta::assert_snapshot!(refused("eu-west-99"), @"
    error[bad-value]: --region eu-west-99: AWS has no such region
     |
     = help: did you mean `eu-west-1`?
     = help: regions look like eu-central-1: `aws account list-regions` shows those there are
    ");
}

#[test]
fn a_fault_in_what_a_stage_changes_is_told_once_and_with_its_stage() {
    let text = with("stages: {dev: {}, prod: {functions: {a: {memory: 1}}}, test: {}}\nfunctions: {a: {timeout: 1h}}");
    let refused = load(&Source::new("taskctl.yaml", text), "dev", &Options::default()).unwrap_err();
    let told: Vec<&str> = refused.list().iter().map(|fault| fault.message.as_str()).collect();
    assert_eq!(
        told,
        [
            "`functions.a.memory` is 1 (stage `prod`)",
            "`functions.a.timeout` is 1h"
        ]
    );
}

#[test]
fn an_account_has_twelve_digits() {
    for account in ["1111-2222-3333", "11112222333", "arn:aws:iam::111122223333:root"] {
        assert_eq!(
            codes(with(&format!("account: '{account}'"))),
            [Code::BadValue],
            "{account}"
        );
    }
}

#[test]
fn stages_whose_names_begin_alike() {
    let loaded = super::super::read(&with("stages: {prod: , prod-eu: , production: }"), "prod");
    let told = loaded.warnings.render(Color::Plain);
    assert!(
        told.contains("names of stage `prod-eu` begin like those of stage `prod`"),
        "{told}"
    );
    assert!(!told.contains("of stage `production`"), "{told}");
}
