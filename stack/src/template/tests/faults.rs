//! Bad templates, and what is said of them.

use super::faults;
use crate::template::{Code, Color, Options, Position, Severity, Source, load};

/// A template around a few lines, so that only they are at fault.
fn with(lines: &str) -> String {
    format!("app: shop\nregion: eu-central-1\n{lines}\n")
}

/// The codes of the faults of a template, in the order they are told.
fn codes(text: impl Into<Vec<u8>>) -> Vec<Code> {
    match load(&Source::new("taskctl.yaml", text), "dev", &Options::default()) {
        Ok(loaded) => loaded.warnings.list().iter().map(|fault| fault.code).collect(),
        Err(faults) => faults.list().iter().map(|fault| fault.code).collect(),
    }
}

#[test]
fn nothing_at_all() {
    insta::assert_snapshot!(faults(""), @"
    error[empty]: the template is empty
    --> taskctl.yaml
     = help: `taskctl init` writes one; the least is `app`, `region` and what it shall have
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

    error[unknown-reference]: no anchor `&nothing` stands before this alias
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
      = help: keys of `stack`: app, region, handlers, tags, protected, release, defaults, stages, tables, buckets, functions, api, alarms, topics, dashboard, warmup

    error[unknown-key]: unknown key `memroy` in `functions.tasks`
     --> taskctl.yaml:6:5
      |
    5 |   tasks:
    6 |     memroy: 256
      |     ^^^^^^
    7 |     timeout: 5s
      |
      = help: did you mean `memory`?
      = help: keys of `function`: name, binary, description, architecture, memory, timeout, environment, grants, permissions_boundary, log_retention, log_level, tracing, reserved_concurrency, ephemeral_storage

    error[duplicate-key]: the key `timeout` stands here twice
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

    error[duplicate-key]: the key `tasks` stands here twice
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
    let loaded = super::read(&text, "dev");
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
fn routes_that_collide() {
    let text = with(
        "functions: {tasks: {}}\napi:\n  routes:\n    GET /tasks/{id}: tasks\n    GET /tasks/{taskId}: tasks\n    ANY /a/{rest+}: tasks\n    ANY /a/{proxy+}: tasks\n    GET /tasks/list: tasks",
    );
    insta::assert_snapshot!(faults(&text), @"
    error[collision]: `GET /tasks/{taskId}` takes the same requests as `GET /tasks/{id}`
     --> taskctl.yaml:7:5
      |
    5 |   routes:
    6 |     GET /tasks/{id}: tasks
      |     --------------- this one came first
    7 |     GET /tasks/{taskId}: tasks
      |     ^^^^^^^^^^^^^^^^^^^ this route
    8 |     ANY /a/{rest+}: tasks
      |
      = help: parameters at the same place match the same requests, whatever they are called: keep one route

    error[collision]: `ANY /a/{proxy+}` takes the same requests as `ANY /a/{rest+}`
      --> taskctl.yaml:9:5
       |
     7 |     GET /tasks/{taskId}: tasks
     8 |     ANY /a/{rest+}: tasks
       |     -------------- this one came first
     9 |     ANY /a/{proxy+}: tasks
       |     ^^^^^^^^^^^^^^^ this route
    10 |     GET /tasks/list: tasks
       |
       = help: parameters at the same place match the same requests, whatever they are called: keep one route
    ");
}

#[test]
fn routes_that_cannot_be() {
    let text = with(
        "functions: {tasks: {}}\napi:\n  routes:\n    GTE /a: tasks\n    GET b: tasks\n    GET /preview: tasks\n    GET /preview/x: tasks\n    GET /c/{a+}/d: tasks\n    GET /e/{id}/{id}: tasks\n    GET /f/x{id}: tasks\n    GET /g/{}: tasks\n    GET: tasks\n    GET /previews: tasks",
    );
    insta::assert_snapshot!(faults(&text), @"
    error[bad-value]: `GTE` is not a method of a route
     --> taskctl.yaml:6:5
      |
    5 |   routes:
    6 |     GTE /a: tasks
      |     ^^^^^^
    7 |     GET b: tasks
      |
      = help: did you mean `GET`?
      = help: allowed: ANY, DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT

    error[bad-value]: the path `b` does not begin with `/`
     --> taskctl.yaml:7:5
      |
    6 |     GTE /a: tasks
    7 |     GET b: tasks
      |     ^^^^^
    8 |     GET /preview: tasks
      |
      = help: write `GET /tasks`

    error[bad-value]: `/preview` would never be reached: `/preview` is the slot where releases wait
     --> taskctl.yaml:8:5
      |
    7 |     GET b: tasks
    8 |     GET /preview: tasks
      |     ^^^^^^^^^^^^
    9 |     GET /preview/x: tasks
      |
      = help: choose another path

    error[bad-value]: `/preview/x` would never be reached: `/preview` is the slot where releases wait
      --> taskctl.yaml:9:5
       |
     8 |     GET /preview: tasks
     9 |     GET /preview/x: tasks
       |     ^^^^^^^^^^^^^^
    10 |     GET /c/{a+}/d: tasks
       |
       = help: choose another path

    error[bad-value]: `{a+}` takes the whole rest and must come last
      --> taskctl.yaml:10:5
       |
     9 |     GET /preview/x: tasks
    10 |     GET /c/{a+}/d: tasks
       |     ^^^^^^^^^^^^^
    11 |     GET /e/{id}/{id}: tasks
       |
       = help: move it to the end

    error[bad-value]: the parameter `id` stands in the path twice
      --> taskctl.yaml:11:5
       |
    10 |     GET /c/{a+}/d: tasks
    11 |     GET /e/{id}/{id}: tasks
       |     ^^^^^^^^^^^^^^^^
    12 |     GET /f/x{id}: tasks
       |
       = help: give each its own name

    error[bad-value]: `x{id}` mixes a parameter with text
      --> taskctl.yaml:12:5
       |
    11 |     GET /e/{id}/{id}: tasks
    12 |     GET /f/x{id}: tasks
       |     ^^^^^^^^^^^^
    13 |     GET /g/{}: tasks
       |
       = help: a parameter is a whole segment: `/tasks/{taskId}`

    error[bad-value]: `{}` is not a path parameter
      --> taskctl.yaml:13:5
       |
    12 |     GET /f/x{id}: tasks
    13 |     GET /g/{}: tasks
       |     ^^^^^^^^^
    14 |     GET: tasks
       |
       = help: a parameter's name has letters, digits, `_`, `-` and `.`

    error[bad-value]: `GET` is not a route
      --> taskctl.yaml:14:5
       |
    13 |     GET /g/{}: tasks
    14 |     GET: tasks
       |     ^^^
    15 |     GET /previews: tasks
       |
       = help: a route is a method and a path, `GET /tasks/{taskId}`, or `$default`
    ");
}

#[test]
fn three_hundred_routes_are_the_most() {
    let mut text = with("functions: {tasks: {}}\napi:\n  routes:");
    for route in 0..301 {
        text.push_str(&format!("    GET /r{route}: tasks\n"));
    }
    assert_eq!(codes(text), [Code::TooMany]);
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
fn tables_against_the_rules_of_dynamodb() {
    let text = with(
        "tables:\n  tasks:\n    partition_key: id\n    sort_key: id\n    ttl: id\n    indexes:\n      ix: {partition_key: {name: id, type: number}}\n      one: {partition_key: a, projection: include}\n      two: {partition_key: a, attributes: [x]}",
    );
    insta::assert_snapshot!(faults(&text), @"
    error[conflict]: sort key and partition key are the same attribute
     --> taskctl.yaml:6:15
      |
    4 |   tasks:
    5 |     partition_key: id
      |                    -- partition key
    6 |     sort_key: id
      |               ^^ sort key
    7 |     ttl: id
      |

    error[conflict]: the expiry `id` is a key of type string
     --> taskctl.yaml:7:10
      |
    4 |   tasks:
    5 |     partition_key: id
      |                    -- key
    6 |     sort_key: id
    7 |     ttl: id
      |          ^^
    8 |     indexes:
      |
      = help: DynamoDB expires items by a number attribute of epoch seconds

    error[bad-name]: `ix` is not an index name
      --> taskctl.yaml:9:7
       |
     8 |     indexes:
     9 |       ix: {partition_key: {name: id, type: number}}
       |       ^^
    10 |       one: {partition_key: a, projection: include}
       |
       = help: allowed: 3 to 255 of a-z, A-Z, 0-9, `_`, `-` and `.`

    error[conflict]: the attribute `id` of table `tasks` has two types
      --> taskctl.yaml:9:34
       |
     8 |     indexes:
     9 |       ix: {partition_key: {name: id, type: number}}
       |                                  ^^ number
    10 |       one: {partition_key: a, projection: include}
       |
      ::: taskctl.yaml:5:20
       |
     4 |   tasks:
     5 |     partition_key: id
       |                    -- string
     6 |     sort_key: id
       |
       = help: an attribute has one type in the table and all its indexes

    error[missing-key]: `projection: include` needs the list `attributes`
      --> taskctl.yaml:10:43
       |
     9 |       ix: {partition_key: {name: id, type: number}}
    10 |       one: {partition_key: a, projection: include}
       |                                           ^^^^^^^
    11 |       two: {partition_key: a, attributes: [x]}
       |
       = help: name the attributes that the index copies beside the keys

    error[conflict]: `attributes` is only used with `projection: include`
      --> taskctl.yaml:11:43
       |
    10 |       one: {partition_key: a, projection: include}
    11 |       two: {partition_key: a, attributes: [x]}
       |                                           ^^^
       |
       = help: add `projection: include`, or remove `attributes`
    ");
    let mut text = with("tables:\n  tasks:\n    partition_key: id\n    indexes:");
    for index in 0..21 {
        text.push_str(&format!("      index{index}: {{partition_key: a{index}}}\n"));
    }
    assert_eq!(codes(text), [Code::TooMany]);
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

#[test]
fn alarms() {
    let text = with(
        "functions: {tasks: {}}\ntables: {tasks: {partition_key: id}}\nalarms:\n  own: {threshold: 1}\n  both: {threshold: 1, metric: Errors, expression: a}\n  odd: {threshold: 1, metric: Errors, statistic: p999, function: tasks, period: 45s}\n  two: {threshold: 1, metric: Errors, statistic: Sum, function: tasks, table: tasks}\n  late: {threshold: 1, metric: Errors, statistic: Sum, function: tasks, period: 5m, evaluation_periods: 300, datapoints_to_alarm: 301}\n  math: {threshold: 1, expression: a / bb, metrics: {a: {metric: Errors, function: tasks}, b: {metric: Errors, function: tasks}, C: {metric: Errors}}}\n  live: {threshold: 1, metric: 5xx, statistic: Sum, api: live}\n  tasks-errors: {threshold: many}\ntopics:\n  ops: {emails: [nobody, a@example.org]}",
    );
    insta::assert_snapshot!(faults(&text), @"
    error[missing-key]: the alarm `own` needs `metric` or `expression`
     --> taskctl.yaml:6:3
      |
    5 | alarms:
    6 |   own: {threshold: 1}
      |   ^^^
    7 |   both: {threshold: 1, metric: Errors, expression: a}
      |
      = help: e.g. `metric: Errors`, `statistic: Sum`, `function: tasks`; a generated alarm is changed under its own name

    error[conflict]: the alarm `both` has both `metric` and `expression`
     --> taskctl.yaml:7:52
      |
    6 |   own: {threshold: 1}
    7 |   both: {threshold: 1, metric: Errors, expression: a}
      |                                ------ metric       ^ expression
    8 |   odd: {threshold: 1, metric: Errors, statistic: p999, function: tasks, period: 45s}
      |
      = help: an alarm looks at one metric or at one expression

    error[bad-value]: `alarms.odd.statistic`: `p999` is not a statistic
     --> taskctl.yaml:8:50
      |
    7 |   both: {threshold: 1, metric: Errors, expression: a}
    8 |   odd: {threshold: 1, metric: Errors, statistic: p999, function: tasks, period: 45s}
      |                                                  ^^^^
    9 |   two: {threshold: 1, metric: Errors, statistic: Sum, function: tasks, table: tasks}
      |
      = help: allowed: Sum, Average, Minimum, Maximum, SampleCount, or a percentile such as p99 or p99.9

    error[bad-value]: an alarm cannot have periods of 45 s
     --> taskctl.yaml:8:81
      |
    7 |   both: {threshold: 1, metric: Errors, expression: a}
    8 |   odd: {threshold: 1, metric: Errors, statistic: p999, function: tasks, period: 45s}
      |                                                                                 ^^^
    9 |   two: {threshold: 1, metric: Errors, statistic: Sum, function: tasks, table: tasks}
      |
      = help: allowed: 10s, 20s, 30s and whole minutes

    error[conflict]: a metric belongs to one of `function`, `table`, `api` and `namespace`
      --> taskctl.yaml:9:79
       |
     8 |   odd: {threshold: 1, metric: Errors, statistic: p999, function: tasks, period: 45s}
     9 |   two: {threshold: 1, metric: Errors, statistic: Sum, function: tasks, table: tasks}
       |                                                                 ----- this    ^^^^^ and this
    10 |   late: {threshold: 1, metric: Errors, statistic: Sum, function: tasks, period: 5m, evaluation_periods: 300, datapoints_to_alarm: 301}
       |

    error[out-of-range]: 300 periods of 300 s are longer than an alarm looks back
      --> taskctl.yaml:10:105
       |
     9 |   two: {threshold: 1, metric: Errors, statistic: Sum, function: tasks, table: tasks}
    10 |   late: {threshold: 1, metric: Errors, statistic: Sum, function: tasks, period: 5m, evaluation_periods: 300, datapoints_to_alarm: 301}
       |                                                                                                         ^^^
    11 |   math: {threshold: 1, expression: a / bb, metrics: {a: {metric: Errors, function: tasks}, b: {metric: Errors, function: tasks}, C: ...
       |
       = help: allowed: one day together with periods below an hour, else seven days

    error[out-of-range]: 301 of 300 periods cannot breach
      --> taskctl.yaml:10:131
       |
     9 | ...ks, table: tasks}
    10 | ...sks, period: 5m, evaluation_periods: 300, datapoints_to_alarm: 301}
       |                                                                   ^^^
    11 | ...rors, function: tasks}, b: {metric: Errors, function: tasks}, C: {metric: Errors}}}
       |
       = help: `datapoints_to_alarm` is at most `evaluation_periods`

    error[unknown-reference]: the expression uses `bb`, which is not one of its metrics
      --> taskctl.yaml:11:36
       |
    10 |   late: {threshold: 1, metric: Errors, statistic: Sum, function: tasks, period: 5m, evaluation_periods: 300, datapoints_to_alarm: 301}
    11 |   math: {threshold: 1, expression: a / bb, metrics: {a: {metric: Errors, function: tasks}, b: {metric: Errors, function: tasks}, C: ...
       |                                    ^^^^^^
    12 |   live: {threshold: 1, metric: 5xx, statistic: Sum, api: live}
       |
       = help: did you mean `b`?
       = help: metrics of the expression: a, b, C

    error[bad-name]: `C` is not a metric's id
      --> taskctl.yaml:11:130
       |
    10 | ...tasks, period: 5m, evaluation_periods: 300, datapoints_to_alarm: 301}
    11 | ...Errors, function: tasks}, b: {metric: Errors, function: tasks}, C: {metric: Errors}}}
       |                                                                    ^
    12 | ...
       |
       = help: allowed: a lower-case letter, then letters, digits and `_`

    error[missing-key]: a metric needs `function`, `table`, `api` or `namespace`
      --> taskctl.yaml:11:130
       |
    10 | ...tasks, period: 5m, evaluation_periods: 300, datapoints_to_alarm: 301}
    11 | ...Errors, function: tasks}, b: {metric: Errors, function: tasks}, C: {metric: Errors}}}
       |                                                                    ^
    12 | ...
       |
       = help: say whose metric it is, e.g. `function: tasks`

    error[unknown-reference]: the template has no `api` to measure
      --> taskctl.yaml:12:58
       |
    11 |   math: {threshold: 1, expression: a / bb, metrics: {a: {metric: Errors, function: tasks}, b: {metric: Errors, function: tasks}, C: ...
    12 |   live: {threshold: 1, metric: 5xx, statistic: Sum, api: live}
       |                                                          ^^^^
    13 |   tasks-errors: {threshold: many}
       |

    error[wrong-type]: `alarms.tasks-errors.threshold` must be a number, not `many`
      --> taskctl.yaml:13:29
       |
    12 |   live: {threshold: 1, metric: 5xx, statistic: Sum, api: live}
    13 |   tasks-errors: {threshold: many}
       |                             ^^^^
    14 | topics:
       |

    error[bad-value]: `topics.ops.emails.0`: `nobody` is not an e-mail address
      --> taskctl.yaml:15:18
       |
    14 | topics:
    15 |   ops: {emails: [nobody, a@example.org]}
       |                  ^^^^^^
       |
       = help: an address such as ops@example.org

    warning[suspicious]: the expression does not use the metric `b`
      --> taskctl.yaml:11:36
       |
    10 |   late: {threshold: 1, metric: Errors, statistic: Sum, function: tasks, period: 5m, evaluation_periods: 300, datapoints_to_alarm: 301}
    11 |   math: {threshold: 1, expression: a / bb, metrics: {a: {metric: Errors, function: tasks}, b: {metric: Errors, function: tasks}, C: ...
       |                                    ^^^^^^
    12 |   live: {threshold: 1, metric: 5xx, statistic: Sum, api: live}
       |
       = help: use it or remove it

    warning[suspicious]: the expression does not use the metric `C`
      --> taskctl.yaml:11:36
       |
    10 |   late: {threshold: 1, metric: Errors, statistic: Sum, function: tasks, period: 5m, evaluation_periods: 300, datapoints_to_alarm: 301}
    11 |   math: {threshold: 1, expression: a / bb, metrics: {a: {metric: Errors, function: tasks}, b: {metric: Errors, function: tasks}, C: ...
       |                                    ^^^^^^
    12 |   live: {threshold: 1, metric: 5xx, statistic: Sum, api: live}
       |
       = help: use it or remove it
    ");
}

#[test]
fn credentials_for_any_origin() {
    let text = with(
        "functions: {a: {}}\napi:\n  cors:\n    allow_origins: ['*', 'example.org', 'https://example.org/path']\n    allow_credentials: true\n  routes: {GET /a: a}",
    );
    insta::assert_snapshot!(faults(&text), @"
    error[conflict]: browsers refuse credentials together with the origin `*`
     --> taskctl.yaml:6:21
      |
    5 |   cors:
    6 |     allow_origins: ['*', 'example.org', 'https://example.org/path']
      |                     ^^^ any origin
    7 |     allow_credentials: true
      |                        ---- with credentials
    8 |   routes: {GET /a: a}
      |
      = help: name the origins, or set `allow_credentials: false`

    error[bad-value]: `api.cors.allow_origins.1`: `example.org` is not an origin
     --> taskctl.yaml:6:26
      |
    5 |   cors:
    6 |     allow_origins: ['*', 'example.org', 'https://example.org/path']
      |                          ^^^^^^^^^^^^^
    7 |     allow_credentials: true
      |
      = help: an origin is scheme, host and port without a path: https://example.org, http://localhost:1580, or `*`

    error[bad-value]: `api.cors.allow_origins.2`: `https://example.org/path` is not an origin
     --> taskctl.yaml:6:41
      |
    5 |   cors:
    6 |     allow_origins: ['*', 'example.org', 'https://example.org/path']
      |                                         ^^^^^^^^^^^^^^^^^^^^^^^^^^
    7 |     allow_credentials: true
      |
      = help: an origin is scheme, host and port without a path: https://example.org, http://localhost:1580, or `*`
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

#[test]
fn an_unknown_stage() {
    let source = Source::new("taskctl.yaml", with("stages: {dev: {}, prod: {}}"));
    let refused = load(&source, "prd", &Options::default()).unwrap_err();
    insta::assert_snapshot!(refused.render(Color::Plain), @"
    error[unknown-stage]: the template has no stage `prd`
    --> taskctl.yaml
     = help: did you mean `prod`?
     = help: stages of the template: dev, prod
    ");
    let refused = load(&source, "Pro duction", &Options::default()).unwrap_err();
    assert_eq!(refused.list()[0].code, Code::BadName);
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
    assert_eq!(codes("app: shop\nregion: ue-central-1\n"), [Code::Suspicious]);
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
fn a_function_slower_than_the_api_waits() {
    let loaded = super::read(
        &with("functions:\n  slow: {timeout: 1m}\napi:\n  routes: {GET /slow: slow}"),
        "dev",
    );
    insta::assert_snapshot!(loaded.warnings.render(Color::Plain), @"
    warning[suspicious]: `slow` may run 60 s, but the API answers 503 after 30 s
     --> taskctl.yaml:4:19
      |
    3 | functions:
    4 |   slow: {timeout: 1m}
      |                   ^^
    5 | api:
    6 |   routes: {GET /slow: slow}
      |                       ---- `GET /slow` waits for it
      |
      = help: set `timeout: 30s` or less
    ");
    assert_eq!(loaded.warnings.list()[0].severity, Severity::Warning);
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
            "keys of `stack`: app, region, handlers, tags, protected, release, defaults, stages, tables, buckets, functions, api, alarms, topics, dashboard, warmup"
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
