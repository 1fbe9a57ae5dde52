//! Names that a service does not take, and names that collide.

use super::{faults, read, with};
use crate::template::Color;

#[test]
fn names_too_long_for_their_service() {
    let long = "a".repeat(80);
    let text = with(&format!(
        "functions:\n  tasks: {{name: {long}}}\n  {long}: {{}}\ntables:\n  tasks: {{partition_key: id, name: a}}\nbuckets:\n  assets: {{name: Assets}}\n  site: {{name: 10.0.0.1}}"
    ));
    insta::assert_snapshot!(faults(&text), @"
    error[name-too-long]: `aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa…` has 80 characters; the name of a Lambda function has at most 64
     --> taskctl.yaml:4:17
      |
    3 | functions:
    4 |   tasks: {name: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa}
      |                 ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
    5 |   aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa: {}
      |
      = help: allowed: 1 to 64 of a-z, A-Z, 0-9, `_` and `-`

    error[name-too-long]: `aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa…` has 80 characters; a logical name has at most 40
     --> taskctl.yaml:5:3
      |
    4 |   tasks: {name: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa}
    5 |   aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa: {}
      |   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
    6 | tables:
      |
      = help: allowed: 1 to 40 of a-z, 0-9 and `-`, beginning with a letter and not ending with `-`

    error[bad-name]: `a` cannot be the name of a DynamoDB table
     --> taskctl.yaml:7:36
      |
    6 | tables:
    7 |   tasks: {partition_key: id, name: a}
      |                                    ^
    8 | buckets:
      |
      = help: allowed: 3 to 255 of a-z, A-Z, 0-9, `_`, `.` and `-`

    error[bad-name]: `Assets` cannot be the name of an S3 bucket
      --> taskctl.yaml:9:18
       |
     8 | buckets:
     9 |   assets: {name: Assets}
       |                  ^^^^^^
    10 |   site: {name: 10.0.0.1}
       |
       = help: allowed: 3 to 63 of a-z, 0-9, `-` and `.`, beginning and ending with a letter or digit

    error[bad-name]: `10.0.0.1` cannot be the name of an S3 bucket: it looks like an IP address
      --> taskctl.yaml:10:16
       |
     9 |   assets: {name: Assets}
    10 |   site: {name: 10.0.0.1}
       |                ^^^^^^^^
    ");
}

#[test]
fn a_name_that_will_be_cut_is_a_warning_of_every_stage() {
    let text = format!(
        "app: a-very-long-application-name\nregion: eu-central-1\nstages: {{dev: {{}}, a-longer-stage: {{}}}}\nfunctions:\n  {}: {{}}\n",
        "f".repeat(30)
    );
    let loaded = read(&text, "dev");
    insta::assert_snapshot!(loaded.warnings.render(Color::Plain), @"
    warning[name-too-long]: `a-very-long-application-name-a-longer-stage-ffffffffffffffffffffffffffffff` is too long for a Lambda function and becomes `a-very-long-application-name-a-longer-stage-fffffffffff-77d3f3b3` (stage `a-longer-stage`)
     --> taskctl.yaml:5:3
      |
    4 | functions:
    5 |   ffffffffffffffffffffffffffffff: {}
      |   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
      |
      = help: shorten `app`, the stage or the logical name, or give the function a `name`
    ");
}

#[test]
fn physical_names_that_collide() {
    let text = with(
        "stages: {dev: {}, prod: {}}\ntables:\n  a: {partition_key: id, name: shop-dev-b}\n  b: {partition_key: id}\nbuckets:\n  site: {name: shop-site}",
    );
    insta::assert_snapshot!(faults(&text), @"
    error[collision]: `a` and `b` would both be a DynamoDB table named `shop-dev-b`
     --> taskctl.yaml:6:3
      |
    4 | tables:
    5 |   a: {partition_key: id, name: shop-dev-b}
      |                                ---------- first
    6 |   b: {partition_key: id}
      |   ^ again
    7 | buckets:
      |
      = help: give each its own `name`, or none at all

    warning[collision]: the stages `dev` and `prod` would share a DynamoDB table named `shop-dev-b`
     --> taskctl.yaml:5:32
      |
    4 | tables:
    5 |   a: {partition_key: id, name: shop-dev-b}
      |                                ^^^^^^^^^^
    6 |   b: {partition_key: id}
      |
      = help: put `${stage}` into the name, unless each stage has an account of its own

    warning[collision]: the stages `dev` and `prod` would share an S3 bucket named `shop-site`
     --> taskctl.yaml:8:16
      |
    7 | buckets:
    8 |   site: {name: shop-site}
      |                ^^^^^^^^^
      |
      = help: put `${stage}` into the name, unless each stage has an account of its own
    ");
}

#[test]
fn tags_that_iam_does_not_tell_apart() {
    let text = with("tags: {team: a, Team: b, Stage: x, stage: y}");
    insta::assert_snapshot!(faults(&text), @"
    error[bad-name]: tag `Team` differs from `team` by case alone, which IAM does not tell apart
     --> taskctl.yaml:3:17
      |
    2 | region: eu-central-1
    3 | tags: {team: a, Team: b, Stage: x, stage: y}
      |                 ^^^^
      |
      = help: write the key once, in one case

    error[bad-name]: tag `Stage` differs from `stage` by case alone, which IAM does not tell apart
     --> taskctl.yaml:3:26
      |
    2 | region: eu-central-1
    3 | tags: {team: a, Team: b, Stage: x, stage: y}
      |                          ^^^^^
      |
      = help: write the key once, in one case
    ");
}
