//! What is written by an AWS call reads back as AWS would give it.

use std::os::unix::fs::PermissionsExt as _;

use http::Method;
use serde_json::{Value, json};

use crate::lifecycle::location;
use crate::world::{World, base64, package, sha256, until};

/// Checks some members of an object.
fn check(found: &Value, expected: Value) {
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(&found[name], value, "{name} in {found}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn functions() {
    let world = World::running().await;
    let functions = "/2015-03-31/functions";
    let path = |rest: &str| format!("{functions}/f{rest}");
    let lambda = |method: &'static str, path: String, input: Value| {
        let world = &world;
        async move { world.rest("lambda", method, &path, input).await }
    };
    let first = package("one");
    let created = world.function("f", "one").await;
    check(
        &created,
        json!({"CodeSha256": sha256(&first), "Version": "$LATEST", "State": "Pending"}),
    );
    let no_role = json!({"FunctionName": "g", "Runtime": "provided.al2023", "Role": "arn:aws:iam::000000000000:role/none", "Handler": "bootstrap", "Code": {"ZipFile": base64(&first)}});
    lambda("POST", functions.to_owned(), no_role)
        .await
        .refused(400, "InvalidParameterValueException");

    let read = lambda("GET", path(""), json!(null)).await.value();
    let defaults = json!({
        "Timeout": 20, "MemorySize": 256, "Description": "", "EphemeralStorage": {"Size": 512}, "PackageType": "Zip",
        "TracingConfig": {"Mode": "PassThrough"}, "LoggingConfig": {"LogFormat": "Text", "LogGroup": "/aws/lambda/f"},
    });
    check(&read["Configuration"], defaults);
    assert_eq!(read["Tags"], json!({"app": "x"}));
    let code = world.get(read["Code"]["Location"].as_str().unwrap()).await;
    assert_eq!(sha256(code.body()), sha256(&first));

    // Versions keep code and configuration of their moment; nothing changed gives the version that is there.
    let one = lambda("POST", path("/versions"), json!({"Description": "first"}))
        .await
        .value();
    check(&one, json!({"Version": "1", "Description": "first"}));
    check(
        &lambda("POST", path("/versions"), json!({})).await.value(),
        json!({"Version": "1"}),
    );
    let second = package("two");
    let dry = json!({"ZipFile": base64(&second), "DryRun": true});
    check(
        &lambda("PUT", path("/code"), dry).await.value(),
        json!({"CodeSha256": sha256(&second)}),
    );
    check(
        &lambda("GET", path("/configuration"), json!(null)).await.value(),
        json!({"CodeSha256": sha256(&first)}),
    );
    lambda("PUT", path("/configuration"), json!({"Timeout": 9})).await.ok();
    let two = lambda(
        "PUT",
        path("/code"),
        json!({"ZipFile": base64(&second), "Publish": true}),
    )
    .await
    .value();
    check(
        &two,
        json!({"Version": "2", "Timeout": 9, "CodeSha256": sha256(&second)}),
    );
    let kept = lambda("GET", path("/configuration?Qualifier=1"), json!(null))
        .await
        .value();
    check(
        &kept,
        json!({"Version": "1", "Timeout": 20, "CodeSha256": sha256(&first)}),
    );

    // Aliases, weights and policies by qualifier.
    lambda("POST", path("/aliases"), json!({"Name": "v1", "FunctionVersion": "1"}))
        .await
        .ok();
    lambda("POST", path("/aliases"), json!({"Name": "v1", "FunctionVersion": "1"}))
        .await
        .refused(409, "ResourceConflictException");
    let weights = json!({"RoutingConfig": {"AdditionalVersionWeights": {"2": 1.0}}});
    check(
        &lambda("PUT", path("/aliases/v1"), weights.clone()).await.value(),
        weights,
    );
    let says = lambda("POST", path("/invocations?Qualifier=v1"), json!({}))
        .await
        .value();
    assert_eq!(says["body"], "two 2");
    let none = json!({"RoutingConfig": {"AdditionalVersionWeights": {}}});
    check(
        &lambda("PUT", path("/aliases/v1"), none).await.value(),
        json!({"RoutingConfig": null}),
    );
    let says = lambda("POST", path("/invocations?Qualifier=v1"), json!({})).await;
    assert_eq!(says.headers["x-amz-executed-version"], "1");
    assert_eq!(says.value()["body"], "one 1");
    lambda("DELETE", path("?Qualifier=1"), json!(null))
        .await
        .refused(409, "ResourceConflictException");
    lambda("GET", path("/policy?Qualifier=v1"), json!(null))
        .await
        .refused(404, "ResourceNotFoundException");

    // Concurrency: 0 switches the function off.
    let off = json!({"ReservedConcurrentExecutions": 0});
    lambda("PUT", "/2017-10-31/functions/f/concurrency".to_owned(), off)
        .await
        .ok();
    let throttled = lambda("POST", path("/invocations"), json!({})).await;
    throttled.refused(429, "TooManyRequestsException");
    assert!(
        throttled
            .text()
            .contains("ReservedFunctionConcurrentInvocationLimitExceeded")
    );
    lambda("DELETE", path(""), json!(null)).await.ok();
    lambda("GET", path(""), json!(null))
        .await
        .refused(404, "ResourceNotFoundException");
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_of_functions_come_into_their_group() {
    let world = World::running().await;
    world.function("quiet", "x").await;
    world.function("talker", "x").await;
    world.allow("talker-role", "logs:CreateLogGroup", "*").await;
    for function in ["quiet", "talker"] {
        let path = format!("/2015-03-31/functions/{function}/invocations");
        world.rest("lambda", "POST", &path, json!({})).await.ok();
    }
    let lines = until("the log", || async {
        let input = json!({"logGroupName": "/aws/lambda/talker", "filterPattern": "handled"});
        let answer = world.json("logs", "Logs_20140328.FilterLogEvents", input).await;
        let events = if answer.status == 200 {
            answer.value()["events"].as_array().cloned()
        } else {
            None
        };
        events.filter(|events| !events.is_empty())
    })
    .await;
    assert_eq!(lines.len(), 1);
    // A role that may not make groups makes none: a function that was destroyed leaves no group behind.
    let groups = world
        .json("logs", "Logs_20140328.DescribeLogGroups", json!({}))
        .await
        .value();
    let names: Vec<&str> = groups["logGroups"]
        .as_array()
        .unwrap()
        .iter()
        .map(|group| group["logGroupName"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["/aws/lambda/talker"]);
    let invocations = until("the metric", || async {
        let now = jiff::Timestamp::now().as_second();
        let query = json!({
            "MetricDataQueries": [{"Id": "m", "MetricStat": {"Metric": {"Namespace": "AWS/Lambda", "MetricName": "Invocations", "Dimensions": [{"Name": "FunctionName", "Value": "talker"}]}, "Period": 60, "Stat": "Sum"}, "ReturnData": false}, {"Id": "e", "Expression": "m * 2"}],
            "StartTime": now - 600, "EndTime": now + 60,
        });
        let output = world.json("monitoring", "GraniteServiceVersion20100801.GetMetricData", query).await.value();
        output["MetricDataResults"][0]["Values"][0].as_f64()
    })
    .await;
    assert!((invocations - 2.0).abs() < f64::EPSILON, "{invocations}");
}

#[tokio::test(flavor = "multi_thread")]
async fn http_apis() {
    let world = World::running().await;
    let gateway = |method: &'static str, path: String, input: Value| {
        let world = &world;
        async move { world.rest("apigateway", method, &path, input).await }
    };
    let cors = json!({"allowOrigins": ["http://localhost:1580"], "allowMethods": ["GET"], "allowHeaders": ["X-Key"]});
    let api = json!({"name": "a", "protocolType": "HTTP", "corsConfiguration": cors, "tags": {"app": "x"}});
    let api = gateway("POST", "/v2/apis".to_owned(), api).await.value();
    let id = api["apiId"].as_str().unwrap().to_owned();
    let path = |rest: &str| format!("/v2/apis/{id}{rest}");
    assert_eq!(api["corsConfiguration"]["allowHeaders"], json!(["x-key"]));
    let any = json!({"corsConfiguration": {"allowOrigins": ["*"], "allowCredentials": true}});
    gateway("PATCH", path(""), any)
        .await
        .refused(400, "BadRequestException");

    let uri = "arn:aws:lambda:eu-central-1:000000000000:function:f:v1";
    let integration = json!({"integrationType": "AWS_PROXY", "integrationUri": uri, "payloadFormatVersion": "2.0"});
    let integration = gateway("POST", path("/integrations"), integration).await.value();
    check(
        &integration,
        json!({"integrationMethod": "POST", "timeoutInMillis": 30_000, "connectionType": "INTERNET"}),
    );
    let integration = integration["integrationId"].as_str().unwrap().to_owned();
    let route = json!({"routeKey": "GET /x/{id}", "target": format!("integrations/{integration}")});
    gateway("POST", path("/deployments"), json!({}))
        .await
        .refused(400, "BadRequestException");
    let made = gateway("POST", path("/routes"), route.clone()).await.value();
    check(&made, json!({"authorizationType": "NONE", "apiKeyRequired": false}));
    gateway("POST", path("/routes"), route)
        .await
        .refused(409, "ConflictException");
    gateway("DELETE", path(&format!("/integrations/{integration}")), json!(null))
        .await
        .refused(409, "ConflictException");

    let deployment = gateway("POST", path("/deployments"), json!({"description": "r1"}))
        .await
        .value();
    check(
        &deployment,
        json!({"deploymentStatus": "DEPLOYED", "autoDeployed": false, "description": "r1"}),
    );
    let stage = json!({
        "stageName": "$default", "deploymentId": deployment["deploymentId"],
        "stageVariables": {"release": "1", "color": "blue"}, "routeSettings": {"GET /x/{id}": {"throttlingRateLimit": 5.0}},
    });
    gateway("POST", path("/stages"), stage).await.ok();
    let default = path("/stages/%24default");
    let merged = gateway(
        "PATCH",
        default.clone(),
        json!({"stageVariables": {"release": "2", "color": ""}}),
    )
    .await
    .value();
    check(
        &merged,
        json!({"stageVariables": {"release": "2"}, "autoDeploy": false, "defaultRouteSettings": {"detailedMetricsEnabled": false}}),
    );
    let unknown = json!({"routeSettings": {"GET /y": {"throttlingRateLimit": 5.0}}});
    gateway("PATCH", default.clone(), unknown)
        .await
        .refused(404, "NotFoundException");
    let key = "/stages/%24default/routesettings/GET%20%2Fx%2F%7Bid%7D";
    gateway("DELETE", path(key), json!(null)).await.ok();
    check(
        &gateway("GET", default, json!(null)).await.value(),
        json!({"routeSettings": {}}),
    );
    let used = path(&format!(
        "/deployments/{}",
        deployment["deploymentId"].as_str().unwrap()
    ));
    gateway("DELETE", used, json!(null))
        .await
        .refused(400, "BadRequestException");
    gateway("DELETE", path(""), json!(null)).await.ok();
    gateway("GET", path(""), json!(null))
        .await
        .refused(404, "NotFoundException");
}

/// A deployment serves what it was made of, whatever happens to the working copy.
#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_is_a_snapshot() {
    let world = World::running().await;
    let arn = world.function("f", "one").await["FunctionArn"]
        .as_str()
        .unwrap()
        .to_owned();
    let gateway = |method: &'static str, path: String, input: Value| {
        let world = &world;
        async move { world.rest("apigateway", method, &path, input).await.value() }
    };
    let api = gateway(
        "POST",
        "/v2/apis".to_owned(),
        json!({"name": "a", "protocolType": "HTTP"}),
    )
    .await;
    let id = api["apiId"].as_str().unwrap().to_owned();
    let path = |rest: &str| format!("/v2/apis/{id}{rest}");
    let permission =
        json!({"StatementId": "s", "Action": "lambda:InvokeFunction", "Principal": "apigateway.amazonaws.com"});
    world
        .rest("lambda", "POST", "/2015-03-31/functions/f/policy", permission)
        .await
        .ok();
    let integration = json!({"integrationType": "AWS_PROXY", "integrationUri": arn, "payloadFormatVersion": "2.0"});
    let integration = gateway("POST", path("/integrations"), integration).await;
    let target = format!("integrations/{}", integration["integrationId"].as_str().unwrap());
    let route = gateway(
        "POST",
        path("/routes"),
        json!({"routeKey": "GET /old", "target": target}),
    )
    .await;
    let first = gateway("POST", path("/deployments"), json!({})).await["deploymentId"].clone();
    gateway(
        "POST",
        path("/stages"),
        json!({"stageName": "$default", "deploymentId": first}),
    )
    .await;
    let renamed = path(&format!("/routes/{}", route["routeId"].as_str().unwrap()));
    gateway("PATCH", renamed, json!({"routeKey": "GET /new"})).await;
    let second = gateway("POST", path("/deployments"), json!({})).await["deploymentId"].clone();

    let url = api["apiEndpoint"].as_str().unwrap();
    let serves = async |old: u16, new: u16| {
        assert_eq!(world.get(&format!("{url}/old")).await.status(), old);
        assert_eq!(world.get(&format!("{url}/new")).await.status(), new);
    };
    serves(200, 404).await;
    for (deployment, old, new) in [(&second, 404, 200), (&first, 200, 404)] {
        gateway("PATCH", path("/stages/%24default"), json!({"deploymentId": deployment})).await;
        serves(old, new).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn buckets_and_websites() {
    let world = World::running().await;
    let s3 = |method: Method, path: &'static str, body: String| {
        let world = &world;
        async move { world.call("s3", method, path, &[], body).await }
    };
    s3(Method::PUT, "/site", location().to_owned()).await.ok();
    let block = s3(Method::GET, "/site?publicAccessBlock", String::new())
        .await
        .ok()
        .text();
    assert_eq!(block.matches(">true<").count(), 4, "{block}");
    assert!(
        s3(Method::GET, "/site?ownershipControls", String::new())
            .await
            .ok()
            .text()
            .contains("BucketOwnerEnforced")
    );
    assert!(
        s3(Method::GET, "/site?encryption", String::new())
            .await
            .ok()
            .text()
            .contains("AES256")
    );
    let policy = json!({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::site/*"}]}).to_string();
    s3(Method::PUT, "/site?policy", policy.clone())
        .await
        .refused(403, "AccessDenied");
    s3(Method::PUT, "/site?policy", "{nope".to_owned())
        .await
        .refused(400, "MalformedPolicy");

    let website = "<WebsiteConfiguration><IndexDocument><Suffix>index.html</Suffix></IndexDocument><ErrorDocument><Key>404.html</Key></ErrorDocument></WebsiteConfiguration>";
    s3(Method::PUT, "/site?website", website.to_owned()).await.ok();
    for (key, text) in [
        ("/site/index.html", "start"),
        ("/site/404.html", "nothing here"),
        ("/site/sub/index.html", "sub"),
    ] {
        world
            .call("s3", Method::PUT, key, &[("content-type", "text/html")], text)
            .await
            .ok();
    }
    let plain = format!("http://127.0.0.1:{}", world.options.ports().websites);
    assert_eq!(world.get(&plain).await.status(), 403);
    let open =
        "<PublicAccessBlockConfiguration><BlockPublicPolicy>false</BlockPublicPolicy></PublicAccessBlockConfiguration>";
    s3(Method::PUT, "/site?publicAccessBlock", open.to_owned()).await.ok();
    s3(Method::PUT, "/site?policy", policy).await.ok();
    let named = format!("http://site.localhost:{}/", world.options.ports().websites);
    for (url, status, text) in [
        (format!("{plain}/"), 200, "start"),
        (format!("{plain}/sub/"), 200, "sub"),
        (format!("{plain}/missing"), 404, "nothing here"),
    ] {
        let page = world.get(&url).await;
        assert_eq!(
            (page.status().as_u16(), &page.body()[..]),
            (status, text.as_bytes()),
            "{url}"
        );
    }
    let redirect = world.get(&format!("{plain}/sub")).await;
    assert_eq!(
        (
            redirect.status().as_u16(),
            redirect.headers()["location"].to_str().unwrap()
        ),
        (302, "/sub/")
    );
    assert_eq!(taskctl_local::status(&world.options).await.websites["site"], named);

    let lock = |headers: &'static [(&'static str, &'static str)], method: Method| {
        let world = &world;
        async move { world.call("s3", method, "/site/lock", headers, "x").await }
    };
    lock(&[("if-none-match", "*")], Method::PUT).await.ok();
    lock(&[("if-none-match", "*")], Method::PUT)
        .await
        .refused(412, "PreconditionFailed");
    lock(&[("if-match", "\"0\"")], Method::PUT)
        .await
        .refused(412, "PreconditionFailed");
    lock(&[("if-match", "\"0\"")], Method::DELETE)
        .await
        .refused(412, "PreconditionFailed");
    lock(&[("x-amz-expected-bucket-owner", "111111111111")], Method::GET)
        .await
        .refused(403, "AccessDenied");
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_that_the_emulator_loses() {
    let world = World::running().await;
    let table = json!({
        "TableName": "things", "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
        "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}], "Tags": [{"Key": "app", "Value": "x"}],
    });
    let dynamodb = async |operation: &str, input: Value| {
        world
            .json("dynamodb", &format!("DynamoDB_20120810.{operation}"), input)
            .await
    };
    dynamodb("CreateTable", table).await.ok();
    let days = json!({"TableName": "things", "PointInTimeRecoverySpecification": {"PointInTimeRecoveryEnabled": true, "RecoveryPeriodInDays": 7}});
    dynamodb("UpdateContinuousBackups", days).await.ok();
    let backups = dynamodb("DescribeContinuousBackups", json!({"TableName": "things"}))
        .await
        .value();
    let recovery = &backups["ContinuousBackupsDescription"]["PointInTimeRecoveryDescription"];
    check(
        recovery,
        json!({"PointInTimeRecoveryStatus": "ENABLED", "RecoveryPeriodInDays": 7}),
    );

    let metrics = json!([
        {"Id": "e", "Expression": "IF(inv > 20, 100 * err / inv, 0)", "Label": "rate", "ReturnData": true},
        {"Id": "inv", "MetricStat": {"Metric": {"Namespace": "N", "MetricName": "I"}, "Period": 60, "Stat": "Sum"}, "ReturnData": false},
        {"Id": "err", "MetricStat": {"Metric": {"Namespace": "N", "MetricName": "E"}, "Period": 60, "Stat": "Sum"}, "ReturnData": false},
    ]);
    let alarm = json!({
        "AlarmName": "a", "EvaluationPeriods": 1, "Threshold": 5.0, "ComparisonOperator": "GreaterThanThreshold",
        "TreatMissingData": "notBreaching", "Metrics": metrics, "Tags": [{"Key": "app", "Value": "x"}],
    });
    let cloudwatch = async |operation: &str, input: Value| {
        world
            .json(
                "monitoring",
                &format!("GraniteServiceVersion20100801.{operation}"),
                input,
            )
            .await
    };
    cloudwatch("PutMetricAlarm", alarm).await.ok();
    let found = cloudwatch("DescribeAlarms", json!({"AlarmNamePrefix": "a"}))
        .await
        .value();
    check(
        &found["MetricAlarms"][0],
        json!({"Metrics": metrics, "MetricName": null, "Period": null, "TreatMissingData": "notBreaching"}),
    );

    world.function("f", "x").await;
    world
        .json(
            "logs",
            "Logs_20140328.CreateLogGroup",
            json!({"logGroupName": "/g", "tags": {"app": "x"}}),
        )
        .await
        .ok();
    let api = json!({"name": "a", "protocolType": "HTTP", "tags": {"app": "x"}});
    world.rest("apigateway", "POST", "/v2/apis", api).await.ok();
    let filter = json!({"TagFilters": [{"Key": "app", "Values": ["x"]}]});
    let tagged = world
        .json("tagging", "ResourceGroupsTaggingAPI_20170126.GetResources", filter)
        .await
        .value();
    let arns: Vec<&str> = tagged["ResourceTagMappingList"]
        .as_array()
        .unwrap()
        .iter()
        .map(|resource| resource["ResourceARN"].as_str().unwrap())
        .collect();
    for part in [":table/things", ":alarm:a", ":function:f", ":log-group:/g", "::/apis/"] {
        assert!(arns.iter().any(|arn| arn.contains(part)), "{part} in {arns:?}");
    }

    let rule = json!({"Name": "warm", "ScheduleExpression": "rate(5 minutes)"});
    world.json("events", "AWSEvents.PutRule", rule).await.ok();
    let targets =
        json!({"Rule": "warm", "Targets": [{"Id": "1", "Arn": "arn:aws:lambda:eu-central-1:000000000000:function:f"}]});
    world.json("events", "AWSEvents.PutTargets", targets).await.ok();
    world
        .json("events", "AWSEvents.DeleteRule", json!({"Name": "warm"}))
        .await
        .refused(400, "ValidationException");

    let topic = world
        .query("sns", &[("Action", "CreateTopic"), ("Name", "t")])
        .await
        .ok()
        .text();
    let topic = topic
        .split_once("<TopicArn>")
        .unwrap()
        .1
        .split_once('<')
        .unwrap()
        .0
        .to_owned();
    let subscribe = [
        ("Action", "Subscribe"),
        ("TopicArn", &topic),
        ("Protocol", "email"),
        ("Endpoint", "a@example.com"),
    ];
    assert!(
        world
            .query("sns", &subscribe)
            .await
            .ok()
            .text()
            .contains("pending confirmation")
    );
    let list = world
        .query("sns", &[("Action", "ListSubscriptionsByTopic"), ("TopicArn", &topic)])
        .await
        .ok()
        .text();
    assert!(list.contains("PendingConfirmation"), "{list}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_emulator_takes_and_aws_refuses() {
    let world = World::running().await;
    world.role("r").await;
    let iam = async |members: &[(&str, &str)]| {
        let all: Vec<(&str, &str)> = members.iter().copied().chain([("Version", "2010-05-08")]).collect();
        world.query("iam", &all).await
    };
    let put = async |name: &str, document: &str| {
        let members = [
            ("Action", "PutRolePolicy"),
            ("RoleName", "r"),
            ("PolicyName", name),
            ("PolicyDocument", document),
        ];
        iam(&members).await
    };
    let policy = |resource: &str| {
        json!({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:GetObject", "Resource": resource}]})
            .to_string()
    };
    let long = policy(&format!("arn:aws:s3:::{}", "b".repeat(6_000)));
    put("one", &long).await.ok();
    // The same one again takes the place of itself.
    put("one", &long).await.ok();
    put("two", &long).await.refused(409, "LimitExceeded");
    put("two", &policy("*")).await.ok();
    put("three", "{nope").await.refused(400, "MalformedPolicyDocument");
    let attach = [
        ("Action", "AttachRolePolicy"),
        ("RoleName", "r"),
        ("PolicyArn", "arn:aws:iam::000000000000:policy/none"),
    ];
    iam(&attach).await.refused(404, "NoSuchEntity");

    let topic = async |value: &str| {
        let members = [
            ("Action", "CreateTopic"),
            ("Name", "t"),
            ("Tags.member.1.Key", "k"),
            ("Tags.member.1.Value", value),
        ];
        world.query("sns", &members).await
    };
    topic("a").await.ok();
    topic("a").await.ok();
    topic("b").await.refused(400, "InvalidParameter");

    let bucket = async |name: &str, ownership: &str| {
        let headers = [("x-amz-object-ownership", ownership)];
        world
            .call("s3", Method::PUT, &format!("/{name}"), &headers, location())
            .await
    };
    bucket("writers", "ObjectWriter").await.ok();
    let shown = world
        .call("s3", Method::GET, "/writers?ownershipControls", &[], "")
        .await
        .ok()
        .text();
    assert!(shown.contains("ObjectWriter"), "{shown}");
    bucket("nobodys", "Nobody").await.refused(400, "InvalidArgument");
}

/// An alarm looks at its own dimensions only.
#[tokio::test(flavor = "multi_thread")]
async fn alarms_follow_their_metric() {
    let world = World::running().await;
    let cloudwatch = async |operation: &str, input: Value| {
        world
            .json(
                "monitoring",
                &format!("GraniteServiceVersion20100801.{operation}"),
                input,
            )
            .await
    };
    for function in ["good", "bad"] {
        let alarm = json!({
            "AlarmName": function, "Namespace": "AWS/Lambda", "MetricName": "Errors", "Statistic": "Sum", "Period": 60,
            "Dimensions": [{"Name": "FunctionName", "Value": function}], "EvaluationPeriods": 1, "Threshold": 5.0,
            "ComparisonOperator": "GreaterThanOrEqualToThreshold", "TreatMissingData": "notBreaching",
        });
        cloudwatch("PutMetricAlarm", alarm).await.ok();
    }
    let errors = json!({"Namespace": "AWS/Lambda", "MetricData": [{
        "MetricName": "Errors", "Dimensions": [{"Name": "FunctionName", "Value": "bad"}], "Value": 9.0,
        "Timestamp": jiff::Timestamp::now().as_second(),
    }]});
    cloudwatch("PutMetricData", errors).await.ok();
    until("both verdicts", || async {
        let found = cloudwatch("DescribeAlarms", json!({})).await.value();
        let state = |index: usize| found["MetricAlarms"][index]["StateValue"].as_str().map(str::to_owned);
        (state(0).as_deref() == Some("ALARM") && state(1).as_deref() == Some("OK")).then_some(())
    })
    .await;
}

/// Parameters keep a hundred versions and what is labelled; what is encrypted is not shown.
#[tokio::test(flavor = "multi_thread")]
async fn parameters() {
    let world = World::running().await;
    let ssm = |operation: &str, input: Value| {
        let (world, target) = (&world, format!("AmazonSSM.{operation}"));
        async move { world.json("ssm", &target, input).await }
    };
    let name = "/app/dev/KEY";
    let put = |value: String, overwrite: bool| {
        let input = json!({"Name": name, "Value": value, "Type": "SecureString", "Overwrite": overwrite});
        ssm("PutParameter", input)
    };
    assert_eq!(put("canary-1".to_owned(), false).await.value()["Version"], 1);
    put("canary-2".to_owned(), false)
        .await
        .refused(400, "ParameterAlreadyExists");
    let label = json!({"Name": name, "ParameterVersion": 1, "Labels": ["kept"]});
    ssm("LabelParameterVersion", label.clone()).await.ok();
    for version in 2..=100 {
        put(format!("canary-{version}"), true).await.ok();
    }
    put("canary-101".to_owned(), true)
        .await
        .refused(400, "ParameterMaxVersionLimitExceeded");
    let read = |selector: &str, decrypts: bool| {
        ssm(
            "GetParameters",
            json!({"Names": [format!("{name}{selector}")], "WithDecryption": decrypts}),
        )
    };
    let value = |answer: Value| answer["Parameters"][0]["Value"].as_str().map(str::to_owned);
    assert_eq!(value(read(":kept", true).await.value()).as_deref(), Some("canary-1"));
    let hidden = value(read(":1", false).await.value()).unwrap();
    assert!(
        !hidden.contains("canary") && !hidden.contains(&base64(b"canary-1")),
        "{hidden}"
    );
    let removed = ssm("UnlabelParameterVersion", label).await.value();
    assert_eq!(removed["RemovedLabels"], json!(["kept"]));
    assert_eq!(put("canary-101".to_owned(), true).await.value()["Version"], 101);
    assert_eq!(
        read(":1", true).await.value()["InvalidParameters"],
        json!([format!("{name}:1")])
    );
    let tags = json!({"ResourceType": "Parameter", "ResourceId": name, "Tags": [{"Key": "app", "Value": "x"}]});
    ssm("AddTagsToResource", tags).await.ok();
    let found = |tag: &str| {
        let filters =
            json!([{"Key": "tag:app", "Values": [tag]}, {"Key": "Path", "Option": "Recursive", "Values": ["/app"]}]);
        ssm("DescribeParameters", json!({"ParameterFilters": filters}))
    };
    assert_eq!(found("x").await.value()["Parameters"].as_array().map(Vec::len), Some(1));
    assert_eq!(found("y").await.value()["Parameters"].as_array().map(Vec::len), Some(0));
    let large = json!({"Name": "/app/dev/LARGE", "Value": "x".repeat(4097), "Type": "String"});
    ssm("PutParameter", large).await.refused(400, "ValidationException");
    // Nobody else reads what is kept, and no log has it.
    world.down().await;
    for log in ["daemon.log", "emulator.log"] {
        let text = std::fs::read_to_string(world.options.root.join(log)).unwrap();
        assert!(!text.contains("canary"), "{log}");
    }
    let kept = world.options.root.join("state/services/ssm.json");
    let mode = std::fs::metadata(&kept).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}
