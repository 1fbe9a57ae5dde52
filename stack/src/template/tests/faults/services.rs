//! Rules of DynamoDB and CloudWatch.

use super::{codes, faults, with};
use crate::template::Code;

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
      = help: allowed: Sum, Average, Minimum, Maximum, SampleCount, a percentile such as p99 or p99.9, or one of tm90, tc90, ts90, wm90, IQM, PR(:300), TM(2%:98%)

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
