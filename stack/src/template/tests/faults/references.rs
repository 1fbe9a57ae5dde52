//! References, grants and environments.

use super::{codes, faults, with};
use crate::template::Code;

#[test]
fn metrics_of_indexes_that_are_not_there() {
    let text = with(
        "tables:\n  tasks: {partition_key: id, indexes: {by-age: {partition_key: age}}}\n  users: {partition_key: id}\ndefaults: {alarm: {generate: false}}\nalarms:\n  one: {table: tasks, index: by-ages, metric: ReadThrottleEvents, statistic: Sum, threshold: 1}\n  two: {table: users, index: by-age, metric: ReadThrottleEvents, statistic: Sum, threshold: 1}\n  three: {index: by-age, namespace: Own, metric: X, statistic: Sum, threshold: 1}",
    );
    insta::assert_snapshot!(faults(&text), @"
    error[unknown-reference]: the table `tasks` has no index `by-ages`
     --> taskctl.yaml:8:30
      |
    7 | alarms:
    8 |   one: {table: tasks, index: by-ages, metric: ReadThrottleEvents, statistic: Sum, threshold: 1}
      |                              ^^^^^^^
    9 |   two: {table: users, index: by-age, metric: ReadThrottleEvents, statistic: Sum, threshold: 1}
      |
      = help: did you mean `by-age`?
      = help: its indexes: by-age

    error[unknown-reference]: the table `users` has no index `by-age`
      --> taskctl.yaml:9:30
       |
     8 |   one: {table: tasks, index: by-ages, metric: ReadThrottleEvents, statistic: Sum, threshold: 1}
     9 |   two: {table: users, index: by-age, metric: ReadThrottleEvents, statistic: Sum, threshold: 1}
       |                              ^^^^^^
    10 |   three: {index: by-age, namespace: Own, metric: X, statistic: Sum, threshold: 1}
       |
       = help: it has none

    error[conflict]: `index` is only used with `table`
      --> taskctl.yaml:10:18
       |
     9 |   two: {table: users, index: by-age, metric: ReadThrottleEvents, statistic: Sum, threshold: 1}
    10 |   three: {index: by-age, namespace: Own, metric: X, statistic: Sum, threshold: 1}
       |                  ^^^^^^
       |
       = help: say which table has it, e.g. `table: tasks`
    ");
}

#[test]
fn references_that_lead_nowhere() {
    let text = with(
        "tables: {tasks: {partition_key: id}}\nfunctions:\n  tasks:\n    grants:\n      - {table: task, access: read}\n      - {bucket: assets, access: [presign, increment]}\n      - {table: tasks, bucket: tasks, access: read}\n      - {access: read}\n      - {table: tasks, access: [raed], prefix: x}\napi:\n  routes: {GET /x: taks}\ndefaults: {alarm: {topics: [ops]}}\nwarmup: {functions: [tsks]}",
    );
    insta::assert_snapshot!(faults(&text), @"
    error[unknown-reference]: there is no table `task`
     --> taskctl.yaml:7:17
      |
    6 |     grants:
    7 |       - {table: task, access: read}
      |                 ^^^^
    8 |       - {bucket: assets, access: [presign, increment]}
      |
      = help: did you mean `tasks`?
      = help: tables of the template: tasks

    error[unknown-reference]: there is no bucket `assets`
     --> taskctl.yaml:8:18
      |
    7 |       - {table: task, access: read}
    8 |       - {bucket: assets, access: [presign, increment]}
      |                  ^^^^^^
    9 |       - {table: tasks, bucket: tasks, access: read}
      |
      = help: the template has no buckets; add it under `buckets`

    error[bad-value]: `increment` cannot be granted on a bucket
     --> taskctl.yaml:8:44
      |
    7 |       - {table: task, access: read}
    8 |       - {bucket: assets, access: [presign, increment]}
      |                                            ^^^^^^^^^
    9 |       - {table: tasks, bucket: tasks, access: read}
      |
      = help: allowed on a bucket: read, write, delete, presign

    error[conflict]: a grant is on a table or on a bucket, not on both
      --> taskctl.yaml:9:32
       |
     8 |       - {bucket: assets, access: [presign, increment]}
     9 |       - {table: tasks, bucket: tasks, access: read}
       |                 ----- table    ^^^^^ bucket
    10 |       - {access: read}
       |
       = help: write two grants

    error[missing-key]: a grant needs `table` or `bucket`
      --> taskctl.yaml:10:9
       |
     9 |       - {table: tasks, bucket: tasks, access: read}
    10 |       - {access: read}
       |         ^^^^^^^^^^^^^^
    11 |       - {table: tasks, access: [raed], prefix: x}
       |
       = help: e.g. `{table: tasks, access: [read, write]}`

    error[bad-value]: `functions.tasks.grants.4.access.0`: `raed` is not an access
      --> taskctl.yaml:11:33
       |
    10 |       - {access: read}
    11 |       - {table: tasks, access: [raed], prefix: x}
       |                                 ^^^^
    12 | api:
       |
       = help: did you mean `read`?
       = help: allowed: read, get, write, increment, presign, delete

    error[conflict]: `prefix` is for buckets
      --> taskctl.yaml:11:48
       |
    10 |       - {access: read}
    11 |       - {table: tasks, access: [raed], prefix: x}
       |                                                ^
    12 | api:
       |
       = help: remove it; a table is granted as a whole

    error[unknown-reference]: there is no function `taks`
      --> taskctl.yaml:13:20
       |
    12 | api:
    13 |   routes: {GET /x: taks}
       |                    ^^^^
    14 | defaults: {alarm: {topics: [ops]}}
       |
       = help: did you mean `tasks`?
       = help: functions of the template: tasks

    error[unknown-reference]: there is no topic `ops`
      --> taskctl.yaml:14:29
       |
    13 |   routes: {GET /x: taks}
    14 | defaults: {alarm: {topics: [ops]}}
       |                             ^^^
    15 | warmup: {functions: [tsks]}
       |
       = help: the template has no topics; add it under `topics`

    error[unknown-reference]: there is no function `tsks`
      --> taskctl.yaml:15:22
       |
    14 | defaults: {alarm: {topics: [ops]}}
    15 | warmup: {functions: [tsks]}
       |                      ^^^^
       |
       = help: did you mean `tasks`?
       = help: functions of the template: tasks
    ");
}

#[test]
fn a_reference_to_something_faulty_is_not_a_second_fault() {
    let text = with("tables: {tasks: 5}\nfunctions:\n  tasks:\n    grants: [{table: tasks, access: read}]");
    assert_eq!(codes(text), [Code::WrongType]);
}

#[test]
fn environments() {
    let big = "x".repeat(4096);
    let text = with(&format!(
        "tables: {{tasks: {{partition_key: id}}}}\nfunctions:\n  tasks:\n    grants: [{{table: tasks, access: read}}]\n    environment:\n      AWS_REGION: x\n      TASKS_TABLE: mine\n      A: x\n      BIG: {big}\n      EMPTY:\n      STAGE: ${{stag}}\n      OPEN: ${{stage"
    ));
    assert_eq!(
        codes(text.clone()),
        [
            Code::BadName,
            Code::TooMany,
            Code::Collision,
            Code::BadName,
            Code::WrongType,
            Code::UnknownReference,
            Code::BadValue
        ]
    );
    insta::assert_snapshot!(faults(&text.replace(&big, "small")), @r#"
    error[bad-name]: Lambda keeps the variable `AWS_REGION` for itself
     --> taskctl.yaml:8:7
      |
    7 |     environment:
    8 |       AWS_REGION: x
      |       ^^^^^^^^^^
    9 |       TASKS_TABLE: mine
      |
      = help: choose another name

    error[collision]: `TASKS_TABLE` is set by a grant of `tasks`
      --> taskctl.yaml:9:7
       |
     8 |       AWS_REGION: x
     9 |       TASKS_TABLE: mine
       |       ^^^^^^^^^^^
    10 |       A: x
       |
       = help: remove it: the grant sets it to the physical name

    error[bad-name]: `A` is not an environment variable's name
      --> taskctl.yaml:10:7
       |
     9 |       TASKS_TABLE: mine
    10 |       A: x
       |       ^
    11 |       BIG: small
       |
       = help: allowed: a letter, then at least one of a-z, A-Z, 0-9 and `_`

    error[wrong-type]: `functions.tasks.environment.EMPTY` must be an environment variable's value (`""` for an empty text), not nothing
      --> taskctl.yaml:12:12
       |
    11 |       BIG: small
    12 |       EMPTY:
       |            ^
    13 |       STAGE: ${stag}
       |

    error[unknown-reference]: `${stag}` is not a variable of templates
      --> taskctl.yaml:13:14
       |
    12 |       EMPTY:
    13 |       STAGE: ${stag}
       |              ^^^^^^^
    14 |       OPEN: ${stage
       |
       = help: did you mean `stage`?
       = help: known: `${app}`, `${stage}`, `${region}`; `$${` stands for `${`; other values go into `stages`

    error[bad-value]: a `${` is not closed
      --> taskctl.yaml:14:13
       |
    13 |       STAGE: ${stag}
    14 |       OPEN: ${stage
       |             ^^^^^^^
       |
       = help: write `${app}`, `${stage}` or `${region}`; `$${` stands for `${`
    "#);
}

/// Lambda keeps single names, not all that begin alike.
#[test]
fn environment_names_are_those_that_lambda_takes() {
    let refused = |name: &str| {
        let text = with(&format!("functions: {{a: {{environment: {{{name}: x}}}}}}"));
        codes(text) == [Code::BadName]
    };
    for name in [
        "AWS_LAMBDA_EXEC_WRAPPER",
        "AWS_LAMBDA_HTTP_IGNORE_STAGE_IN_PATH",
        "AWS_PROFILE",
        "TZ",
        "LD_PRELOAD",
    ] {
        assert!(!refused(name), "{name}");
    }
    for name in [
        "AWS_LAMBDA_RUNTIME_API",
        "AWS_LAMBDA_FUNCTION_NAME",
        "AWS_REGION",
        "LAMBDA_TASK_ROOT",
        "_HANDLER",
    ] {
        assert!(refused(name), "{name}");
    }
}

#[test]
fn a_role_that_will_not_fit() {
    let mut text = with("functions:\n  tasks:\n    grants:");
    let mut tables = String::from("tables:\n");
    for table in 0..30 {
        text.push_str(&format!("      - {{table: t{table}, access: [read, write]}}\n"));
        tables.push_str(&format!("  t{table}: {{partition_key: id}}\n"));
    }
    assert_eq!(codes(format!("{text}{tables}")), [Code::TooMany]);
}

#[test]
fn a_warm_up_needs_an_api() {
    let functions = "functions: {jobs: {}}\nwarmup: true\n";
    assert_eq!(codes(with(functions)), [Code::Conflict]);
    assert_eq!(
        codes(with(&format!("{functions}api: {{routes: {{GET /jobs: jobs}}}}"))),
        []
    );
}

#[test]
fn code_that_is_not_built_here_says_how_it_is_run() {
    let check = |keys: &str, expected: &[Code]| {
        let text = with(&format!("functions: {{api: {{{keys}}}}}"));
        assert_eq!(codes(text), expected, "{keys}");
    };
    check("code: api.zip, runtime: python3.13, handler: app.handler", &[]);
    check("code: api, runtime: provided.al2023", &[]);
    check(
        "layers: ['arn:aws:lambda:eu-central-1:123456789012:layer:tools:3']",
        &[],
    );
    check(
        "layers: ['arn:aws:lambda:eu-west-1:123456789012:layer:tools:3']",
        &[Code::BadValue],
    );
    check(
        "layers: ['arn:aws:lambda:eu-central-1:123456789012:layer:tools']",
        &[Code::BadValue],
    );
    let six = "'arn:aws:lambda:eu-central-1:123456789012:layer:tools:3', ".repeat(6);
    check(&format!("layers: [{six}]"), &[Code::BadValue]);
    check("vpc: {subnets: [subnet-1], security_groups: [sg-1]}", &[]);
    check(
        "vpc: {subnets: [], security_groups: []}",
        &[Code::BadValue, Code::BadValue],
    );
    check(
        "vpc: {subnets: [eu-central-1a], security_groups: [sg-1]}",
        &[Code::BadValue],
    );
    check("check_event: '{\"Records\": []}'", &[]);
    check("check_event: '{Records: []'", &[Code::BadValue]);
    check("code: api", &[Code::MissingKey]);
    check("code: api, runtime: python3.13", &[Code::MissingKey]);
    check("runtime: python3.13", &[Code::MissingKey]);
    check("handler: app.handler", &[Code::MissingKey]);
    check("code: api, runtime: provided.al2023, binary: api", &[Code::Conflict]);
    check("code: api, runtime: 'Python 3'", &[Code::BadName, Code::MissingKey]);
    check("code: api, runtime: python3.13, handler: 'a b'", &[Code::BadValue]);
}

#[test]
fn a_statement_is_narrow_or_says_why_not() {
    let text = r#"functions:
  mail:
    statements:
      - {actions: ['ses:*', ses:SendEmail], resources: '*'}
      - {actions: SendEmail, resources: identity/example.org}
      - {actions: ses:SendEmail, resources: 'arn:aws:ses:${acount}:1:identity/a', conditions: {stringEquals: {From: a}}}"#;
    insta::assert_snapshot!(faults(&with(text)), @r"
    error[bad-value]: `ses:*` would be allowed on everything
     --> taskctl.yaml:6:20
      |
    5 |     statements:
    6 |       - {actions: ['ses:*', ses:SendEmail], resources: '*'}
      |                    ^^^^^^^
    7 |       - {actions: SendEmail, resources: identity/example.org}
      |
      = help: name the actions or the resources, or say why it must be so: `allow_wildcard: REASON`

    error[bad-value]: `functions.mail.statements.1.actions`: `SendEmail` is not an IAM action
     --> taskctl.yaml:7:19
      |
    6 |       - {actions: ['ses:*', ses:SendEmail], resources: '*'}
    7 |       - {actions: SendEmail, resources: identity/example.org}
      |                   ^^^^^^^^^
    8 |       - {actions: ses:SendEmail, resources: 'arn:aws:ses:${acount}:1:identity/a', conditions: {stringEquals: {From: a}}}
      |
      = help: SERVICE:Operation, e.g. ses:SendEmail; `*` and `?` stand for others

    error[bad-value]: `functions.mail.statements.1.resources`: `identity/example.org` is not an ARN
     --> taskctl.yaml:7:41
      |
    6 |       - {actions: ['ses:*', ses:SendEmail], resources: '*'}
    7 |       - {actions: SendEmail, resources: identity/example.org}
      |                                         ^^^^^^^^^^^^^^^^^^^^
    8 |       - {actions: ses:SendEmail, resources: 'arn:aws:ses:${acount}:1:identity/a', conditions: {stringEquals: {From: a}}}
      |
      = help: an ARN such as arn:${partition}:ses:${region}:${account}:identity/example.org, or `*`

    error[unknown-reference]: `${acount}` is not a variable of templates
     --> taskctl.yaml:8:45
      |
    7 |       - {actions: SendEmail, resources: identity/example.org}
    8 |       - {actions: ses:SendEmail, resources: 'arn:aws:ses:${acount}:1:identity/a', conditions: {stringEquals: {From: a}}}
      |                                             ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
      |
      = help: known: `${app}`, `${stage}`, `${region}`; `$${` stands for `${`; other values go into `stages`

    error[bad-name]: `stringEquals` is not an operator of a condition
     --> taskctl.yaml:8:96
      |
    7 |       - {actions: SendEmail, resources: identity/example.org}
    8 |       - {actions: ses:SendEmail, resources: 'arn:aws:ses:${acount}:1:identity/a', conditions: {stringEquals: {From: a}}}
      |                                                                                                ^^^^^^^^^^^^
      |
      = help: an operator of IAM, such as StringEquals or ForAnyValue:StringLike

    error[bad-name]: `From` is not a key of a condition
     --> taskctl.yaml:8:111
      |
    7 |       - {actions: SendEmail, resources: identity/example.org}
    8 |       - {actions: ses:SendEmail, resources: 'arn:aws:ses:${acount}:1:identity/a', conditions: {stringEquals: {From: a}}}
      |                                                                                                               ^^^^
      |
      = help: a key of IAM, such as aws:SourceVpc or ses:FromAddress
    ");
}
