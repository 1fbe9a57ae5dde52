use super::evaluate::{Event, Found, run};
use super::syntax::parse;

fn events() -> Vec<Event> {
    let line = |number: i64, message: &str| Event {
        timestamp: 1_769_767_200_000 + number * 1_000,
        message: message.to_owned(),
        stream: format!("2026/01/30/[{}]a", number % 2 + 1),
        log: "000000000000:/aws/lambda/tasks".to_owned(),
        id: number.to_string(),
        ..Event::default()
    };
    vec![
        line(
            0,
            r#"{"level":"INFO","route":"GET /tasks","status":200,"durationMs":10,"coldStart":true}"#,
        ),
        line(
            1,
            r#"{"level":"INFO","route":"GET /tasks","status":200,"durationMs":30.5,"coldStart":false}"#,
        ),
        line(
            2,
            r#"{"level":"ERROR","route":"POST /tasks","status":500,"durationMs":20,"error":"no way"}"#,
        ),
        line(
            61,
            r#"{"type":"platform.report","record":{"status":"success","metrics":{"initDurationMs":5.5},"list":[1,2]}}"#,
        ),
        line(62, "user ann did sing\n"),
        line(
            63,
            "REPORT RequestId: 1-2\tDuration: 3.21 ms\tBilled Duration: 4 ms\tMemory Size: 512 MB\tMax Memory Used: 18 MB\t\n",
        ),
    ]
}

fn ask(query: &str) -> Found {
    run(
        &parse(query).unwrap_or_else(|why| panic!("{query}: {why}")),
        events(),
        1_000,
    )
}

/// Rows as `column=value` without the pointer.
fn rows(query: &str) -> Vec<String> {
    let shown = |row: &Vec<(String, String)>| {
        let fields = row.iter().filter(|(column, _)| column != "@ptr");
        fields
            .map(|(column, value)| format!("{column}={value}"))
            .collect::<Vec<_>>()
            .join("; ")
    };
    ask(query).rows.iter().map(shown).collect()
}

#[test]
fn fields_filters_and_order() {
    assert_eq!(
        rows(
            "fields @timestamp, route, status | filter status >= 200 and route like /^GET/ | sort durationMs desc | limit 1"
        ),
        ["@timestamp=2026-01-30 10:00:01.000; route=GET /tasks; status=200"]
    );
    assert_eq!(rows("filter level = 'ERROR' | display error"), ["error=no way"]);
    assert_eq!(
        rows(r#"filter route in ["POST /tasks", "PUT /x"] | display status"#),
        ["status=500"]
    );
    assert_eq!(
        rows(
            "filter ispresent(record.metrics.initDurationMs) | display record.metrics.initDurationMs as init, record.list.1"
        ),
        ["init=5.5; record.list.1=2"]
    );
    assert_eq!(
        rows("filter not (level = \"INFO\") and ispresent(level) | display level # a remark"),
        ["level=ERROR"]
    );
    assert_eq!(
        rows("filter coldStart = 1 | display durationMs * 2 + 1 as more"),
        ["more=21"]
    );
    assert_eq!(rows("filter @logStream like '[2]' | stats count(*)"), ["count(*)=3"]);
    assert_eq!(
        rows("fields @message | filter @message not like 'a' and status > 1 | limit 0"),
        Vec::<String>::new()
    );
}

#[test]
fn newest_first_unless_told() {
    let all = rows("fields @timestamp");
    assert_eq!(all.len(), 6);
    assert_eq!(all[0], "@timestamp=2026-01-30 10:01:03.000");
    assert!(rows("filter @message like 'sing'")[0].starts_with("@timestamp=2026-01-30 10:01:02.000; @message=user"));
}

#[test]
fn many_rows_become_one() {
    assert_eq!(
        rows(
            "filter ispresent(route) | stats count(*) as n, avg(durationMs), pct(durationMs, 99) as p99, max(durationMs) by route | sort n desc"
        ),
        [
            "route=GET /tasks; n=2; avg(durationMs)=20.25; p99=30.5; max(durationMs)=30.5",
            "route=POST /tasks; n=1; avg(durationMs)=20; p99=20; max(durationMs)=20"
        ]
    );
    assert_eq!(
        rows("stats count(*) by bin(1m)"),
        [
            "bin(1m)=2026-01-30 10:00:00.000; count(*)=3",
            "bin(1m)=2026-01-30 10:01:00.000; count(*)=3"
        ]
    );
    assert_eq!(
        rows("stats sum(status) / count(status) as mean, count_distinct(route) as routes, latest(status) as last"),
        ["mean=300; routes=2; last=500"]
    );
    assert_eq!(
        rows("filter level = 'NONE' | stats count(*) as n, avg(durationMs) as mean"),
        ["n=0"]
    );
    assert_eq!(
        rows("stats max(durationMs) as slow by route | filter slow > 25 | display route"),
        ["route=GET /tasks"]
    );
    assert_eq!(
        rows("filter ispresent(route) | dedup route | stats count(*) as n"),
        ["n=2"]
    );
}

#[test]
fn parts_of_lines() {
    assert_eq!(
        rows("parse @message 'user * did *' as who, what | filter ispresent(who) | display who, what"),
        ["who=ann; what=sing"]
    );
    assert_eq!(
        rows(r"parse @message /did (?<what>\w+)/ | filter ispresent(what) | display toupper(what) as what"),
        ["what=sing"]
    );
    assert_eq!(
        rows("filter @type = 'REPORT' | display @requestId, @duration, @maxMemoryUsed"),
        ["@requestId=1-2; @duration=3.21; @maxMemoryUsed=18000000"]
    );
}

#[test]
fn what_is_counted() {
    let found = ask("filter ispresent(status) | filter status = 500");
    assert_eq!((found.matched, found.rows.len()), (1, 1));
}

#[test]
fn what_is_not_understood_is_said() {
    for (query, why) in [
        ("", "empty"),
        ("| |", "empty"),
        ("pattern @message", "`pattern` is not known"),
        ("fields nonsense(a)", "`nonsense` is not known"),
        ("stats route by status", "no one value"),
        ("filter a = ", "ends where"),
        ("filter (a = 1", "`)` is missing"),
        ("filter a = 1 2", "`2` is not expected"),
        ("limit many", "whole number"),
        ("parse @message 'a * b' as c, d", "1 parts"),
        ("filter a like /(/", "not a valid pattern"),
        ("fields \"open", "no end"),
        ("filter a = 1 ; drop", "`;`"),
    ] {
        let error = parse(query).expect_err(query);
        assert!(error.contains(why), "{query}: {error}");
    }
    let deep = format!("filter {}a{}", "(".repeat(100), ")".repeat(100));
    assert!(parse(&deep).is_err());
}

proptest::proptest! {
    #[test]
    fn nothing_makes_it_panic(text in "[a-z@ |,()=<>!\"'/*%^+\\-`\\[\\]0-9.\\\\é]{0,60}") {
        if let Ok(clauses) = parse(&text) {
            let _ = run(&clauses, events(), 10);
        }
        let _ = parse(&format!("filter {text}"));
        let _ = parse(&format!("parse @message {text}"));
    }
}
