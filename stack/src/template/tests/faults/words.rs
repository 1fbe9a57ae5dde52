//! Keys and values that the language does not have.

use super::{codes, faults, with};
use crate::template::{Code, Color, Options, Source, load};

#[test]
fn unknown_and_duplicate_keys() {
    let text = with("tabels: {}\nfunctions:\n  tasks:\n    memroy: 256\n    timeout: 5s\n    timeout: 6s\n  tasks: {}");
    insta::assert_snapshot!(faults(&text), @"
    error[unknown-key]: unknown key `tabels`
     --> taskctl.yaml:3:1
      |
    2 | region: eu-central-1
    3 | tabels: {}
      | ^^^^^^
    4 | functions:
      |
      = help: did you mean `tables`?
      = help: keys of `stack`: app, region, account, requires, handlers, tags, protected, release, defaults, stages, tables, buckets, functions, api, alarms, topics, dashboard, warmup, queries

    error[unknown-key]: unknown key `memroy` in `functions.tasks`
     --> taskctl.yaml:6:5
      |
    5 |   tasks:
    6 |     memroy: 256
      |     ^^^^^^
    7 |     timeout: 5s
      |
      = help: did you mean `memory`?
      = help: keys of `function`: name, binary, code, runtime, handler, description, architecture, memory, timeout, environment, grants, statements, layers, vpc, permissions_boundary, log_retention, log_level, tracing, reserved_concurrency, ephemeral_storage, check_event

    error[duplicate-key]: the key `timeout` is here twice
     --> taskctl.yaml:8:5
      |
    6 |     memroy: 256
    7 |     timeout: 5s
      |     ------- first here
    8 |     timeout: 6s
      |     ^^^^^^^ again
    9 |   tasks: {}
      |
      = help: keep one of them

    error[duplicate-key]: the key `tasks` is here twice
     --> taskctl.yaml:9:3
      |
    8 |     timeout: 6s
    9 |   tasks: {}
      |   ^^^^^ again
      |
     ::: taskctl.yaml:5:3
      |
    4 | functions:
    5 |   tasks:
      |   ----- first here
    6 |     memroy: 256
      |
      = help: keep one of them
    ");
}

#[test]
fn missing_keys() {
    insta::assert_snapshot!(faults("tables:\n  tasks: {}\napi: {}\n"), @"
    error[missing-key]: the template needs `app`, the application's name
     --> taskctl.yaml:1:1
      |
    1 | tables:
      | ^
    2 |   tasks: {}
      |
      = help: allowed: 1 to 31 of a-z, 0-9 and `-`, beginning with a letter and not ending with `-`

    error[missing-key]: no region: the template has none and none was given
     --> taskctl.yaml:1:1
      |
    1 | tables:
      | ^
    2 |   tasks: {}
      |
      = help: add `region: eu-central-1` (or another) to the template, or give --region

    error[missing-key]: `tables.tasks` needs `partition_key`
     --> taskctl.yaml:2:10
      |
    1 | tables:
    2 |   tasks: {}
      |          ^^
    3 | api: {}
      |

    error[missing-key]: the API needs `routes`
     --> taskctl.yaml:3:6
      |
    2 |   tasks: {}
    3 | api: {}
      |      ^^
      |
      = help: e.g. `routes: {GET /tasks: tasks}`
    ");
}

#[test]
fn wrong_types_and_ranges() {
    let text = with(
        "protected: yes\nfunctions:\n  tasks:\n    memory: 64\n    timeout: 20m\n    tracing: 1\n    log_level: LOUD\n    grants: all\n    log_retention: 8d\n    environment: [A]",
    );
    insta::assert_snapshot!(faults(&text), @"
    error[wrong-type]: `protected` must be true or false, not `yes`
     --> taskctl.yaml:3:12
      |
    2 | region: eu-central-1
    3 | protected: yes
      |            ^^^
    4 | functions:
      |
      = help: write `true`

    error[out-of-range]: `functions.tasks.memory` is 64
     --> taskctl.yaml:6:13
      |
    5 |   tasks:
    6 |     memory: 64
      |             ^^
    7 |     timeout: 20m
      |
      = help: allowed: 128 to 10240

    error[out-of-range]: `functions.tasks.timeout` is 20m
     --> taskctl.yaml:7:14
      |
    6 |     memory: 64
    7 |     timeout: 20m
      |              ^^^
    8 |     tracing: 1
      |
      = help: allowed: 1 to 900 whole seconds

    error[wrong-type]: `functions.tasks.tracing` must be true or false, not `1`
     --> taskctl.yaml:8:14
      |
    7 |     timeout: 20m
    8 |     tracing: 1
      |              ^
    9 |     log_level: LOUD
      |

    error[bad-value]: `functions.tasks.log_level`: `LOUD` is not a log level
      --> taskctl.yaml:9:16
       |
     8 |     tracing: 1
     9 |     log_level: LOUD
       |                ^^^^
    10 |     grants: all
       |
       = help: allowed: TRACE, DEBUG, INFO, WARN, ERROR, FATAL

    error[wrong-type]: `functions.tasks.grants` must be a list, not `all`
      --> taskctl.yaml:10:13
       |
     9 |     log_level: LOUD
    10 |     grants: all
       |             ^^^
    11 |     log_retention: 8d
       |

    error[bad-value]: CloudWatch Logs cannot keep logs for 8 days
      --> taskctl.yaml:11:20
       |
    10 |     grants: all
    11 |     log_retention: 8d
       |                    ^^
    12 |     environment: [A]
       |
       = help: did you mean `14d`?
       = help: allowed days: 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653

    error[wrong-type]: `functions.tasks.environment` must be a mapping of names, not a list
      --> taskctl.yaml:12:18
       |
    11 |     log_retention: 8d
    12 |     environment: [A]
       |                  ^^^
    ");
}

#[test]
fn what_is_not_built_yet() {
    let text = with(
        "composite_alarms: {}\nfunctions:\n  a: {provisioned_concurrency: 5}\nbuckets:\n  site: {website: {cdn: true}}\n  plain: {website: {cdn: false}}\napi:\n  domain: example.org\n  authorizers: {}\n  routes:\n    GET /a: {function: a, authorizer: jwt}",
    );
    insta::assert_snapshot!(faults(&text), @"
    error[not-yet]: `composite_alarms` is reserved and not yet built
     --> taskctl.yaml:3:1
      |
    2 | region: eu-central-1
    3 | composite_alarms: {}
      | ^^^^^^^^^^^^^^^^
    4 | functions:
      |
      = help: remove it; this version of taskctl would otherwise deploy a stack without it

    error[not-yet]: `provisioned_concurrency` is reserved and not yet built
     --> taskctl.yaml:5:7
      |
    4 | functions:
    5 |   a: {provisioned_concurrency: 5}
      |       ^^^^^^^^^^^^^^^^^^^^^^^
    6 | buckets:
      |
      = help: remove it; this version of taskctl would otherwise deploy a stack without it

    error[not-yet]: `cdn` is reserved and not yet built
     --> taskctl.yaml:7:20
      |
    6 | buckets:
    7 |   site: {website: {cdn: true}}
      |                    ^^^
    8 |   plain: {website: {cdn: false}}
      |
      = help: remove it; this version of taskctl would otherwise deploy a stack without it

    error[not-yet]: `domain` is reserved and not yet built
      --> taskctl.yaml:10:3
       |
     9 | api:
    10 |   domain: example.org
       |   ^^^^^^
    11 |   authorizers: {}
       |
       = help: remove it; this version of taskctl would otherwise deploy a stack without it

    error[not-yet]: `authorizers` is reserved and not yet built
      --> taskctl.yaml:11:3
       |
    10 |   domain: example.org
    11 |   authorizers: {}
       |   ^^^^^^^^^^^
    12 |   routes:
       |
       = help: remove it; this version of taskctl would otherwise deploy a stack without it

    error[not-yet]: `authorizer` is reserved and not yet built
      --> taskctl.yaml:13:27
       |
    12 |   routes:
    13 |     GET /a: {function: a, authorizer: jwt}
       |                           ^^^^^^^^^^
       |
       = help: remove it; this version of taskctl would otherwise deploy a stack without it
    ");
}

#[test]
fn a_newer_taskctl_is_required_before_what_only_it_knows() {
    let text = with("requires: 99.1\nhologram: {}");
    let refused = load(&Source::new("taskctl.yaml", text), "dev", &Options::default()).unwrap_err();
    let shown = refused.render(Color::Plain).replace(env!("CARGO_PKG_VERSION"), "0.1.0");
    insta::assert_snapshot!(shown, @"
    error[newer-taskctl]: the template requires taskctl 99.1 or later; this is 0.1.0
     --> taskctl.yaml:3:11
      |
    2 | region: eu-central-1
    3 | requires: 99.1
      |           ^^^^
    4 | hologram: {}
      |
      = help: update taskctl
    ");
    assert_eq!(codes(with("requires: 0.1")), []);
    for wrong in ["soon", "1.2.3.4", "'>=0.1'", "-1"] {
        assert_eq!(codes(with(&format!("requires: {wrong}"))), [Code::BadValue], "{wrong}");
    }
}
