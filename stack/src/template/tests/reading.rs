//! What a template comes to: defaults, stages, short forms, variables.

use super::read;
use crate::template::model::{Access, AlarmMetric, GrantTarget, MetricSubject, ReleasePolicy};
use crate::template::{Options, Source, load};

fn with(lines: &str) -> String {
    format!("app: shop\nregion: eu-central-1\n{lines}\n")
}

#[test]
fn a_function_has_the_documented_defaults() {
    let stack = read(&with("functions: {tasks: }"), "dev").stack;
    insta::assert_json_snapshot!(stack.functions, @r#"
    {
      "tasks": {
        "name": null,
        "binary": "tasks",
        "description": null,
        "architecture": "x86_64",
        "memory_mb": 512,
        "timeout_seconds": 30,
        "environment": {},
        "grants": [],
        "permissions_boundary": null,
        "log_retention_days": 30,
        "log_level": "INFO",
        "tracing": false,
        "reserved_concurrency": null,
        "ephemeral_storage_mb": 512
      }
    }
    "#);
}

#[test]
fn a_table_and_a_bucket_have_the_documented_defaults() {
    let stack = read(
        &with("tables: {tasks: {partition_key: id}}\nbuckets: {assets: }"),
        "dev",
    )
    .stack;
    insta::assert_json_snapshot!((stack.tables, stack.buckets), @r#"
    [
      {
        "tasks": {
          "name": null,
          "partition_key": {
            "name": "id",
            "type": "string"
          },
          "sort_key": null,
          "indexes": {},
          "ttl_attribute": null,
          "point_in_time_recovery_days": 35,
          "deletion_protection": false,
          "kms_key": null,
          "stream": null
        }
      },
      {
        "assets": {
          "name": null,
          "expire_days": null,
          "abort_incomplete_upload_days": 7,
          "cors": null,
          "website": null,
          "versioning": false,
          "kms_key": null
        }
      }
    ]
    "#);
}

#[test]
fn code_that_is_not_built_here_has_a_runtime_and_a_handler() {
    let text = "functions:\n  own: {code: own, runtime: provided.al2023}\n  other: {code: other.zip, runtime: python3.13, handler: app.handler}\n  built:";
    let functions = read(&with(text), "dev").stack.functions;
    let code = |name: &str| {
        let code = functions[name].code.as_ref()?;
        Some((&*code.path, &*code.runtime, &*code.handler, code.brings_runtime()))
    };
    assert_eq!(code("own"), Some(("own", "provided.al2023", "bootstrap", true)));
    assert_eq!(code("other"), Some(("other.zip", "python3.13", "app.handler", false)));
    assert_eq!(code("built"), None);
}

#[test]
fn a_statement_is_read_for_its_stage() {
    let text = r#"functions:
  mail:
    statements:
      - actions: ses:SendEmail
        resources: arn:${partition}:ses:${region}:${account}:identity/${stage}.example.org
        conditions: {StringEquals: {ses:FromAddress: ['${app}@example.org']}, Bool: {aws:SecureTransport: true}}
      - {actions: ['rekognition:*', 'textract:DetectDocumentText'], resources: '*', allow_wildcard: they know no resources}"#;
    let functions = read(&with(text), "dev").stack.functions;
    insta::assert_json_snapshot!(functions["mail"].statements, @r#"
    [
      {
        "actions": [
          "ses:SendEmail"
        ],
        "resources": [
          "arn:${partition}:ses:eu-central-1:${account}:identity/dev.example.org"
        ],
        "conditions": {
          "Bool": {
            "aws:SecureTransport": [
              "true"
            ]
          },
          "StringEquals": {
            "ses:FromAddress": [
              "shop@example.org"
            ]
          }
        }
      },
      {
        "actions": [
          "rekognition:*",
          "textract:DetectDocumentText"
        ],
        "resources": [
          "*"
        ]
      }
    ]
    "#);
}

#[test]
fn an_api_has_the_documented_defaults() {
    let stack = read(&with("functions: {tasks: }\napi:\n  cors: {allow_origins: ['http://localhost:1580']}\n  routes: {GET /tasks: tasks}"), "dev").stack;
    insta::assert_json_snapshot!(stack.api, @r#"
    {
      "name": null,
      "description": null,
      "cors": {
        "allow_origins": [
          "http://localhost:1580"
        ],
        "allow_methods": [
          "GET",
          "POST",
          "PUT",
          "PATCH",
          "DELETE",
          "OPTIONS"
        ],
        "allow_headers": [
          "content-type",
          "authorization",
          "idempotency-key",
          "if-match",
          "if-none-match"
        ],
        "expose_headers": [
          "etag",
          "location",
          "retry-after",
          "x-request-id",
          "x-release",
          "x-version"
        ],
        "max_age_seconds": 3600,
        "allow_credentials": false
      },
      "throttle_rate": 1000,
      "throttle_burst": 500,
      "access_log_retention_days": 30,
      "detailed_metrics": false,
      "routes": [
        {
          "key": "GET /tasks",
          "function": "tasks",
          "throttle_rate": null,
          "throttle_burst": null
        }
      ]
    }
    "#);
}

#[test]
fn the_standard_alarms() {
    let stack = read(
        &with("functions: {tasks: }\ntables: {tasks: {partition_key: id}}\napi: {routes: {GET /tasks: tasks}}"),
        "dev",
    )
    .stack;
    insta::assert_json_snapshot!(stack.alarms, @r#"
    {
      "api-5xx": {
        "name": null,
        "description": "More than 10 answers of live were 5xx within 1 minute. Look: taskctl logs --app shop --stage dev --region eu-central-1 --since 15m --level ERROR. Go back: taskctl rollback --app shop --stage dev --region eu-central-1",
        "metric": {
          "type": "single",
          "subject": {
            "of": "api-live"
          },
          "metric": "5xx",
          "statistic": "Sum"
        },
        "period_seconds": 60,
        "evaluation_periods": 1,
        "datapoints_to_alarm": 1,
        "threshold": 10.0,
        "comparison": "greater-than",
        "treat_missing_data": "not-breaching",
        "topics": []
      },
      "api-latency": {
        "name": null,
        "description": "1 request in 100 took longer than 1 s, in 3 of 5 minutes. Look: taskctl logs --app shop --stage dev --region eu-central-1 --since 15m --level ERROR. Go back: taskctl rollback --app shop --stage dev --region eu-central-1",
        "metric": {
          "type": "single",
          "subject": {
            "of": "api-live"
          },
          "metric": "Latency",
          "statistic": "p99"
        },
        "period_seconds": 60,
        "evaluation_periods": 5,
        "datapoints_to_alarm": 3,
        "threshold": 1000.0,
        "comparison": "greater-than",
        "treat_missing_data": "not-breaching",
        "topics": []
      },
      "tasks-errors": {
        "name": null,
        "description": "tasks failed 5 times or more within 5 minutes. Look: taskctl logs tasks --app shop --stage dev --region eu-central-1 --since 15m --level ERROR. Go back: taskctl rollback --app shop --stage dev --region eu-central-1",
        "metric": {
          "type": "single",
          "subject": {
            "of": "function",
            "name": "tasks"
          },
          "metric": "Errors",
          "statistic": "Sum"
        },
        "period_seconds": 300,
        "evaluation_periods": 1,
        "datapoints_to_alarm": 1,
        "threshold": 5.0,
        "comparison": "greater-than-or-equal",
        "treat_missing_data": "not-breaching",
        "topics": []
      },
      "tasks-table-throttles": {
        "name": null,
        "description": "Requests to the table tasks were throttled within 5 minutes. Look: taskctl logs --app shop --stage dev --region eu-central-1 --since 15m --level ERROR. Go back: taskctl rollback --app shop --stage dev --region eu-central-1",
        "metric": {
          "type": "math",
          "expression": "FILL(reads, 0) + FILL(writes, 0)",
          "label": "throttled requests",
          "metrics": {
            "reads": {
              "subject": {
                "of": "table",
                "name": "tasks"
              },
              "metric": "ReadThrottleEvents",
              "statistic": "Sum"
            },
            "writes": {
              "subject": {
                "of": "table",
                "name": "tasks"
              },
              "metric": "WriteThrottleEvents",
              "statistic": "Sum"
            }
          }
        },
        "period_seconds": 300,
        "evaluation_periods": 1,
        "datapoints_to_alarm": 1,
        "threshold": 0.0,
        "comparison": "greater-than",
        "treat_missing_data": "not-breaching",
        "topics": []
      },
      "tasks-throttles": {
        "name": null,
        "description": "tasks was throttled within 5 minutes: its concurrency is used up. Look: taskctl logs tasks --app shop --stage dev --region eu-central-1 --since 15m --level ERROR. Go back: taskctl rollback --app shop --stage dev --region eu-central-1",
        "metric": {
          "type": "single",
          "subject": {
            "of": "function",
            "name": "tasks"
          },
          "metric": "Throttles",
          "statistic": "Sum"
        },
        "period_seconds": 300,
        "evaluation_periods": 1,
        "datapoints_to_alarm": 1,
        "threshold": 0.0,
        "comparison": "greater-than",
        "treat_missing_data": "not-breaching",
        "topics": []
      }
    }
    "#);
}

#[test]
fn alarm_texts_are_ascii_and_fit() {
    for stage in ["dev", "prod"] {
        for alarm in read(crate::template::embedded("platform").unwrap(), stage)
            .stack
            .alarms
            .values()
        {
            assert!(
                alarm.description.is_ascii() && alarm.description.len() <= 1024,
                "{}",
                alarm.description
            );
            assert!(alarm.description.contains(&format!(
                "taskctl rollback --app platform --stage {stage} --region eu-central-1"
            )));
        }
    }
}

#[test]
fn generated_alarms_are_changed_removed_and_switched_off_by_name() {
    let lines =
        "functions: {tasks: }\napi: {routes: {GET /a: tasks}}\nalarms: {tasks-errors: {threshold: 9}, api-5xx: false}";
    let stack = read(&with(lines), "dev").stack;
    assert_eq!(
        stack.alarms.keys().collect::<Vec<_>>(),
        ["api-latency", "tasks-errors", "tasks-throttles"]
    );
    assert!((stack.alarms["tasks-errors"].threshold - 9.0).abs() < f64::EPSILON);
    assert_eq!(stack.alarms["tasks-errors"].period_seconds, 300);
    let stack = read(
        &with(
            &format!("{lines}\ndefaults: {{alarm: {{generate: false}}}}")
                .replace("alarms: {tasks-errors: {threshold: 9}, api-5xx: false}", ""),
        ),
        "dev",
    )
    .stack;
    assert!(stack.alarms.is_empty());
}

#[test]
fn an_expression_may_have_lines() {
    let lines = "functions: {tasks: }\ndefaults: {alarm: {generate: false}}\nalarms:\n  rate:\n    expression: |\n      IF(inv > 20,\n        100 * err / inv, 0)\n    metrics:\n      err: {function: tasks, metric: Errors}\n      inv: {function: tasks, metric: Invocations}\n    threshold: 5\n";
    let AlarmMetric::Math { expression, .. } = &read(&with(lines), "dev").stack.alarms["rate"].metric else {
        panic!("an expression")
    };
    assert_eq!(expression, "IF(inv > 20, 100 * err / inv, 0)");
}

/// Their requests are throttled on their own, and do not count among those of the table.
#[test]
fn throttled_requests_of_indexes_count() {
    let indexes = |count: usize| {
        let indexes: Vec<String> = (1..=count)
            .map(|n| format!("index-{n}: {{partition_key: a{n}}}"))
            .collect();
        let lines = format!(
            "functions: {{tasks: }}\ntables:\n  tasks:\n    partition_key: id\n    indexes: {{{}}}\n",
            indexes.join(", ")
        );
        let alarms = read(&with(&lines), "dev").stack.alarms;
        let throttles = alarms.into_iter().filter(|(name, _)| name.contains("table-throttles"));
        let told = throttles.map(|(name, alarm)| match alarm.metric {
            AlarmMetric::Math {
                expression, metrics, ..
            } => (name, expression, metrics),
            AlarmMetric::Single(_) => panic!("an expression"),
        });
        told.collect::<Vec<_>>()
    };
    let names = |count| indexes(count).into_iter().map(|(name, ..)| name).collect::<Vec<_>>();
    assert_eq!(names(0), ["tasks-table-throttles"]);
    assert_eq!(names(3), ["tasks-table-throttles"]);
    assert_eq!(
        names(7),
        [
            "tasks-table-throttles",
            "tasks-table-throttles-2",
            "tasks-table-throttles-3"
        ]
    );
    let (_, expression, metrics) = indexes(1).remove(0);
    assert_eq!(
        expression,
        "FILL(reads, 0) + FILL(writes, 0) + FILL(reads_1, 0) + FILL(writes_1, 0)"
    );
    let subject = MetricSubject::Index {
        table: "tasks".to_owned(),
        index: "index-1".to_owned(),
    };
    let (reads, writes) = (&metrics["reads_1"], &metrics["writes_1"]);
    assert_eq!(
        (&reads.subject, reads.metric.as_str()),
        (&subject, "ReadThrottleEvents")
    );
    assert_eq!(
        (&writes.subject, writes.metric.as_str()),
        (&subject, "WriteThrottleEvents")
    );
}

#[test]
fn each_stage_may_have_an_account() {
    let text = with("account: 111122223333\nstages: {dev: , prod: {account: '012345678901'}}");
    let account = |stage: &str| read(&text, stage).stack.account;
    assert_eq!(account("dev").as_deref(), Some("111122223333"));
    assert_eq!(account("prod").as_deref(), Some("012345678901"));
    assert_eq!(read(&with(""), "dev").stack.account, None);
}

#[test]
fn an_own_alarm_over_an_expression() {
    let lines = "functions: {tasks: }\ntopics: {ops: }\ndefaults: {alarm: {generate: false, topics: [ops]}}\nalarms:\n  rate:\n    expression: IF(inv > 20, 100 * err / inv, 0)\n    metrics:\n      err: {function: tasks, metric: Errors}\n      inv: {namespace: Own, metric: Calls, dimensions: {Shard: 1}, statistic: p99}\n    threshold: 5\n    comparison: greater-than\n    period: 1m\n    evaluation_periods: 3\n    datapoints_to_alarm: 2\n";
    let alarm = read(&with(lines), "dev").stack.alarms["rate"].clone();
    assert_eq!(alarm.topics, ["ops"]);
    let AlarmMetric::Math { metrics, .. } = alarm.metric else {
        panic!("an expression")
    };
    assert_eq!(metrics["err"].subject, MetricSubject::Function("tasks".to_owned()));
    let custom = MetricSubject::Custom {
        namespace: "Own".to_owned(),
        dimensions: [("Shard".to_owned(), "1".to_owned())].into(),
    };
    assert_eq!(metrics["inv"].subject, custom);
}

#[test]
fn every_statistic_of_cloudwatch_is_one() {
    for statistic in [
        "SampleCount",
        "Average",
        "Sum",
        "Minimum",
        "Maximum",
        "p0",
        "p99.9",
        "p100",
        "tm90",
        "tc99.5",
        "ts0",
        "wm98",
        "IQM",
        "PR(:300)",
        "PR(100:2000)",
        "TM(2%:98%)",
        "TM(150:1000)",
        "TC(:0.5)",
        "TS(80%:)",
        "WM(10%:90%)",
    ] {
        let lines = format!(
            "functions: {{tasks: }}\ndefaults: {{alarm: {{generate: false}}}}\nalarms:\n  own: {{function: tasks, metric: Duration, statistic: \"{statistic}\", threshold: 1}}\n"
        );
        let alarm = read(&with(&lines), "dev").stack.alarms["own"].clone();
        let AlarmMetric::Single(metric) = alarm.metric else {
            panic!("one metric")
        };
        assert_eq!(metric.statistic, statistic);
    }
}

#[test]
fn a_stage_changes_adds_and_removes() {
    let text = with(
        "stages:\n  dev:\n  prod:\n    protected: true\n    functions: {a: {memory: 1024}, b: null, c: {}}\n    tags: {team: null, cost: 7}\n    api: {routes: {GET /a: {throttle: {rate: 5, burst: 6}}, GET /b: null}}\nfunctions: {a: {timeout: 5s}, b: }\ntags: {team: red}\ntables: {t: {partition_key: id}}\napi: {routes: {GET /a: a, GET /b: b}}",
    );
    let (dev, prod) = (read(&text, "dev"), read(&text, "prod"));
    assert_eq!(dev.stages, ["dev", "prod"]);
    assert_eq!(dev.stack.functions.keys().collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(prod.stack.functions.keys().collect::<Vec<_>>(), ["a", "c"]);
    assert_eq!(
        (dev.stack.functions["a"].memory_mb, prod.stack.functions["a"].memory_mb),
        (512, 1024)
    );
    assert_eq!(prod.stack.functions["a"].timeout_seconds, 5);
    assert_eq!(
        prod.stack.tags.iter().collect::<Vec<_>>(),
        [(&"cost".to_owned(), &"7".to_owned())]
    );
    assert!(prod.stack.tables["t"].settings.deletion_protection && !dev.stack.tables["t"].settings.deletion_protection);
    assert_eq!(
        (dev.stack.release_policy, prod.stack.release_policy),
        (ReleasePolicy::Immediate, ReleasePolicy::Manual)
    );
    let routes = prod.stack.api.unwrap().routes;
    assert_eq!(routes.len(), 1);
    assert_eq!(
        (
            routes[0].function.as_str(),
            routes[0].throttle_rate,
            routes[0].throttle_burst
        ),
        ("a", Some(5), Some(6))
    );
}

#[test]
fn defaults_lie_under_every_stage() {
    let text = with(
        "defaults: {function: {memory: 256, environment: {LEVEL: low, KEEP: yes}, permissions_boundary: 'arn:aws:iam::111122223333:policy/cap'}}\nstages: {dev: , prod: {defaults: {function: {memory: 2048}}}}\nfunctions: {a: , b: {memory: 128, environment: {LEVEL: high}, permissions_boundary: null}}",
    );
    let (dev, prod) = (read(&text, "dev").stack, read(&text, "prod").stack);
    assert_eq!(
        (
            dev.functions["a"].memory_mb,
            prod.functions["a"].memory_mb,
            prod.functions["b"].memory_mb
        ),
        (256, 2048, 128)
    );
    assert_eq!(dev.functions["b"].environment["LEVEL"], "high");
    assert_eq!(dev.functions["b"].environment["KEEP"], "yes");
    assert!(dev.functions["a"].permissions_boundary.is_some() && dev.functions["b"].permissions_boundary.is_none());
}

#[test]
fn variables_are_filled_in() {
    let text = with(
        "tags: {where: '${region}'}\nfunctions:\n  a: {name: '${app}-${stage}-x', description: 'costs $${stage} and $5', environment: {STAGE: '${stage}', PORT: 8080}}",
    );
    let stack = read(&text, "dev").stack;
    let function = &stack.functions["a"];
    assert_eq!(function.name.as_deref(), Some("shop-dev-x"));
    assert_eq!(function.description.as_deref(), Some("costs ${stage} and $5"));
    assert_eq!(
        (
            function.environment["STAGE"].as_str(),
            function.environment["PORT"].as_str()
        ),
        ("dev", "8080")
    );
    assert_eq!(stack.tags["where"], "eu-central-1");
}

#[test]
fn a_given_region_counts_before_the_template() {
    let options = Options {
        region: Some("us-west-2".to_owned()),
    };
    let read = |text: &str| load(&Source::new("taskctl.yaml", text), "dev", &options).unwrap().stack;
    assert_eq!(read("app: shop\nregion: eu-central-1\n").region, "us-west-2");
    assert_eq!(read("app: shop\nstages: {dev: , prod: }\n").region, "us-west-2");
}

#[test]
fn grants_are_sorted_and_said_once() {
    let stack = read(
        &with("tables: {t: {partition_key: id}}\nfunctions: {a: {grants: [{table: t, access: [write, read, write]}]}}"),
        "dev",
    )
    .stack;
    let grant = &stack.functions["a"].grants[0];
    assert_eq!(
        (&grant.on, grant.access.as_slice()),
        (&GrantTarget::Table("t".to_owned()), &[Access::Read, Access::Write][..])
    );
}

#[test]
fn aliases_are_followed() {
    let stack = read(
        &with("functions:\n  a: &common {memory: 256, environment: {X1: y}}\n  b: *common"),
        "dev",
    )
    .stack;
    assert_eq!(stack.functions["b"].memory_mb, 256);
}

#[test]
fn parts_know_their_place() {
    let loaded = read(
        &with("functions:\n  tasks: {}\napi:\n  routes:\n    GET /tasks: tasks"),
        "dev",
    );
    assert_eq!(loaded.position("functions.tasks").unwrap(), "taskctl.yaml:4:3");
    assert_eq!(loaded.position("api.routes.GET /tasks").unwrap(), "taskctl.yaml:7:5");
    assert_eq!(loaded.position("functions.other"), None);
    let fault = crate::template::Fault::error(crate::template::Code::UnknownReference, "no binary `tasks`");
    assert!(
        loaded
            .fault_at("functions.tasks", fault)
            .render(crate::template::Color::Plain)
            .contains("taskctl.yaml:4:3")
    );
}

#[test]
fn the_hash_is_of_the_text() {
    let (one, other) = (read(&with(""), "dev"), read(&with("# comment"), "dev"));
    assert_eq!(one.hash.len(), 64);
    assert_ne!(one.hash, other.hash);
}
