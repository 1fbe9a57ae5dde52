//! The probes: each asks AWS one thing and says what it did.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::time::{Duration, Instant};

use aws_sdk_apigatewayv2::types::{AccessLogSettings, Cors, IntegrationType, ProtocolType};
use aws_sdk_cloudwatch::types::{Dimension, Metric, MetricDataQuery, MetricStat};
use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::{
    AliasRoutingConfiguration, ApplicationLogLevel, FunctionCode, LogFormat, LoggingConfig, Runtime, State,
};
use serde_json::{Value, json};

use super::sandbox::Sandbox;

type Said<'a> = Pin<Box<dyn Future<Output = Result<String, String>> + 'a>>;

/// Something to ask.
pub struct Probe {
    pub name: &'static str,
    /// What depends on it.
    pub because: &'static str,
    pub run: for<'a> fn(&'a Sandbox) -> Said<'a>,
}

macro_rules! probes {
    ($($name:literal, $run:ident, $because:literal;)*) => {
        pub const ALL: &[Probe] = &[$(Probe { name: $name, because: $because, run: |sandbox| Box::pin($run(sandbox)) }),*];
    };
}

probes! {
    "log-delivery", log_delivery, "CreateStage with an access log is repeated while CloudWatch Logs does not know of it";
    "alias-and-permission", alias_and_permission, "a deploy waits 15 s for functions that no probe reaches";
    "default-source-arn", default_source_arn, "permissions name the API and all its stages";
    "weights", weights, "weights are read until they are gone, and a share may come for some seconds more";
    "metrics", metrics, "a canary waits two minutes for counts";
    "emf-by-level", emf_by_level, "`log_level` above INFO must not switch metrics off";
    "cors-in-deployments", cors_in_deployments, "CORS follows the template at once, not the release";
    "fresh-role", fresh_role, "CreateFunction is repeated while Lambda cannot assume a new role";
    "pending-version", pending_version, "a version gets traffic once it is Active";
    "user-agent-in-access-log", user_agent, "access log lines are read as JSON";
    "switch", switch, "an answer of the former release is expected for some seconds";
    "guarantees", guarantees, "they are what taskctl promises";
}

fn told(error: impl std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

/// Tries until it works or patience ends. Returns how long it took, how often it was refused, and the refusals.
async fn until_taken<T, E: std::error::Error>(
    sandbox: &Sandbox,
    attempt: impl AsyncFn() -> Result<T, E>,
) -> Result<(T, String), String> {
    let began = Instant::now();
    let mut refusals: Vec<String> = Vec::new();
    loop {
        match attempt().await {
            Ok(made) => {
                let said = match refusals.last() {
                    None => "taken at once".to_owned(),
                    Some(last) => format!(
                        "taken after {} and {} refusals: {last}",
                        seconds(began.elapsed()),
                        refusals.len()
                    ),
                };
                return Ok((made, said));
            }
            Err(error) => refusals.push(told(error)),
        }
        if began.elapsed() > sandbox.patience {
            return Err(refusals.pop().unwrap_or_default());
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// Status and body of a GET.
async fn get(url: String, headers: &[(&str, &str)]) -> (u16, String, HashMap<String, String>) {
    let headers: Vec<(String, String)> = headers
        .iter()
        .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
        .collect();
    let asked = tokio::task::spawn_blocking(move || request("GET", &url, &headers));
    asked.await.unwrap_or_default()
}

fn request(method: &str, url: &str, headers: &[(String, String)]) -> (u16, String, HashMap<String, String>) {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(Duration::from_secs(30)))
        .build()
        .into();
    let mut request = ureq::http::Request::builder().method(method).uri(url);
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let Ok(request) = request.body(()) else {
        return Default::default();
    };
    match agent.run(request) {
        Ok(mut answer) => {
            let headers = answer.headers().iter();
            let headers =
                headers.map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()));
            let headers = headers.collect();
            let status = answer.status().as_u16();
            (status, answer.body_mut().read_to_string().unwrap_or_default(), headers)
        }
        Err(error) => (0, error.to_string(), HashMap::new()),
    }
}

/// An API of the probes' own, deleted at the end.
struct OwnApi {
    id: String,
    endpoint: String,
}

impl OwnApi {
    async fn make(sandbox: &Sandbox, name: &str) -> Result<Self, String> {
        let api = sandbox.clients.apigateway.create_api();
        let api = api
            .name(name)
            .protocol_type(ProtocolType::Http)
            .tags("app", &sandbox.app)
            .send()
            .await
            .map_err(told)?;
        Ok(Self {
            id: api.api_id().unwrap_or_default().to_owned(),
            endpoint: api.api_endpoint().unwrap_or_default().to_owned(),
        })
    }

    /// Sends GET /health to an alias of the function `health`, on a stage `$default` without automatic deployments.
    async fn lead_to(&self, sandbox: &Sandbox, alias: &str) -> Result<(), String> {
        let gateway = &sandbox.clients.apigateway;
        let function = sandbox.function("health");
        let uri = format!(
            "arn:aws:lambda:{}:{}:function:{function}:{alias}",
            sandbox.region, sandbox.account
        );
        let made = gateway
            .create_integration()
            .api_id(&self.id)
            .integration_type(IntegrationType::AwsProxy)
            .integration_uri(uri)
            .payload_format_version("2.0")
            .send()
            .await
            .map_err(told)?;
        gateway
            .create_route()
            .api_id(&self.id)
            .route_key("GET /health")
            .target(format!("integrations/{}", made.integration_id().unwrap_or_default()))
            .send()
            .await
            .map_err(told)?;
        let deployment = gateway
            .create_deployment()
            .api_id(&self.id)
            .send()
            .await
            .map_err(told)?;
        let stage = gateway.create_stage().api_id(&self.id).stage_name("$default");
        stage
            .set_deployment_id(deployment.deployment_id().map(str::to_owned))
            .send()
            .await
            .map(drop)
            .map_err(told)
    }

    async fn delete(&self, sandbox: &Sandbox) -> Result<(), String> {
        let gone = sandbox.clients.apigateway.delete_api().api_id(&self.id).send().await;
        gone.map(drop).map_err(told)
    }
}

/// Makes an alias of the function `health`, at version 1.
async fn alias(sandbox: &Sandbox, name: &str) -> Result<(), String> {
    let made = sandbox.clients.lambda.create_alias();
    made.function_name(sandbox.function("health"))
        .name(name)
        .function_version("1")
        .send()
        .await
        .map(drop)
        .map_err(told)
}

async fn permit(sandbox: &Sandbox, alias: &str, source: &str) -> Result<(), String> {
    let grant = sandbox.clients.lambda.add_permission();
    grant
        .function_name(sandbox.function("health"))
        .qualifier(alias)
        .statement_id("probe")
        .action("lambda:InvokeFunction")
        .principal("apigateway.amazonaws.com")
        .source_arn(source)
        .send()
        .await
        .map(drop)
        .map_err(told)
}

async fn drop_alias(sandbox: &Sandbox, name: &str) -> Result<(), String> {
    let gone = sandbox.clients.lambda.delete_alias();
    let gone = gone.function_name(sandbox.function("health")).name(name).send().await;
    gone.map(drop).map_err(told)
}

async fn log_delivery(sandbox: &Sandbox) -> Result<String, String> {
    let api = OwnApi::make(sandbox, "tcprobe-log").await?;
    let group = format!("/aws/vendedlogs/{}/probe", sandbox.app);
    let made = sandbox
        .clients
        .logs
        .create_log_group()
        .log_group_name(&group)
        .send()
        .await;
    made.map_err(told)?;
    let arn = format!("arn:aws:logs:{}:{}:log-group:{group}", sandbox.region, sandbox.account);
    let settings = AccessLogSettings::builder()
        .destination_arn(arn)
        .format("{\"id\":\"$context.requestId\"}");
    let settings = settings.build();
    let taken = until_taken(sandbox, async || {
        let stage = sandbox.clients.apigateway.create_stage();
        let stage = stage
            .api_id(&api.id)
            .stage_name("probe")
            .access_log_settings(settings.clone());
        stage.send().await
    });
    let (_, said) = taken.await?;
    api.delete(sandbox).await?;
    let gone = sandbox
        .clients
        .logs
        .delete_log_group()
        .log_group_name(&group)
        .send()
        .await;
    gone.map_err(told)?;
    Ok(format!(
        "a stage with an access log, right after its API and log group: {said}"
    ))
}

/// Asks an API until it answers 200 without a break.
async fn until_it_answers(sandbox: &Sandbox, api: &OwnApi) -> String {
    let began = Instant::now();
    let mut seen: Vec<u16> = Vec::new();
    let mut good_since: Option<Instant> = None;
    let mut last_bad = None;
    while began.elapsed() < sandbox.patience {
        let (status, ..) = get(format!("{}/health", api.endpoint), &[]).await;
        if seen.last() != Some(&status) {
            seen.push(status);
        }
        if status == 200 {
            let since = *good_since.get_or_insert_with(Instant::now);
            if since.elapsed() > sandbox.silence {
                break;
            }
        } else {
            last_bad = Some(began.elapsed());
            good_since = None;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let last_bad = last_bad.map_or("none that was not 200".to_owned(), |last| {
        format!("the last that was not 200 after {}", seconds(last))
    });
    format!("answers {seen:?}, {last_bad}")
}

/// Leads an API of its own to a new alias, permits it from `source` below the API, and says how it answers.
async fn reached(sandbox: &Sandbox, name: &str, source: &str) -> Result<String, String> {
    let api = OwnApi::make(sandbox, &format!("tc{name}")).await?;
    alias(sandbox, name).await?;
    api.lead_to(sandbox, name).await?;
    let source = format!(
        "arn:aws:execute-api:{}:{}:{}/{source}",
        sandbox.region, sandbox.account, api.id
    );
    permit(sandbox, name, &source).await?;
    let said = until_it_answers(sandbox, &api).await;
    api.delete(sandbox).await?;
    drop_alias(sandbox, name).await?;
    Ok(said)
}

async fn alias_and_permission(sandbox: &Sandbox) -> Result<String, String> {
    let said = reached(sandbox, "probe-permission", "*/*").await?;
    Ok(format!("a new alias with a new permission: {said}"))
}

async fn default_source_arn(sandbox: &Sandbox) -> Result<String, String> {
    let said = reached(sandbox, "probe-source", "$default/GET/health").await?;
    Ok(format!("with SourceArn …/$default/GET/health: {said}"))
}

/// The version that an invocation of an alias ran.
async fn invoked(sandbox: &Sandbox, alias: &str) -> Result<String, String> {
    let event = json!({
        "version": "2.0", "routeKey": "GET /health", "rawPath": "/health", "rawQueryString": "", "headers": {},
        "requestContext": {
            "accountId": "", "apiId": "", "domainName": "", "domainPrefix": "", "requestId": "probe", "routeKey": "GET /health",
            "stage": "$default", "time": "01/Jan/2026:00:00:00 +0000", "timeEpoch": 0,
            "http": {"method": "GET", "path": "/health", "protocol": "HTTP/1.1", "sourceIp": "127.0.0.1", "userAgent": "probe"},
        },
        "isBase64Encoded": false,
    });
    let call = sandbox.clients.lambda.invoke();
    let call = call.function_name(sandbox.function("health")).qualifier(alias);
    let answer = call.payload(Blob::new(event.to_string())).send().await.map_err(told)?;
    Ok(answer.executed_version().unwrap_or_default().to_owned())
}

async fn weights(sandbox: &Sandbox) -> Result<String, String> {
    alias(sandbox, "probe-weights").await?;
    let lambda = &sandbox.clients.lambda;
    let function = sandbox.function("health");
    let set = async |weights: HashMap<String, f64>| {
        let routing = AliasRoutingConfiguration::builder()
            .set_additional_version_weights(Some(weights))
            .build();
        let set = lambda
            .update_alias()
            .function_name(&function)
            .name("probe-weights")
            .routing_config(routing);
        set.send().await.map(drop).map_err(told)
    };
    set(HashMap::from([("2".to_owned(), 0.5)])).await?;
    let began = Instant::now();
    let mut first = None;
    while began.elapsed() < sandbox.patience && first.is_none() {
        first = (invoked(sandbox, "probe-weights").await? == "2").then(|| began.elapsed());
    }
    set(HashMap::new()).await?;
    let began = Instant::now();
    let (mut last, mut shown) = (Duration::ZERO, Duration::ZERO);
    while began.elapsed() < last + sandbox.silence {
        if invoked(sandbox, "probe-weights").await? == "2" {
            last = began.elapsed();
        }
        let read = lambda
            .get_alias()
            .function_name(&function)
            .name("probe-weights")
            .send()
            .await
            .map_err(told)?;
        let weights = read
            .routing_config()
            .and_then(|routing| routing.additional_version_weights());
        if weights.is_some_and(|weights| !weights.is_empty()) {
            shown = began.elapsed();
        }
    }
    drop_alias(sandbox, "probe-weights").await?;
    let first = first.map_or("never".to_owned(), |first| format!("after {}", seconds(first)));
    Ok(format!(
        "a weight of 50 % served {first}; once cleared, GetAlias showed it for {} and it served for {}",
        seconds(shown),
        seconds(last)
    ))
}

async fn sum(sandbox: &Sandbox, namespace: &str, name: &str, dimensions: &[(&str, &str)]) -> Result<f64, String> {
    let now = jiff::Timestamp::now().as_second();
    let metric = dimensions.iter().fold(
        Metric::builder().namespace(namespace).metric_name(name),
        |metric, (name, value)| metric.dimensions(Dimension::builder().name(*name).value(*value).build()),
    );
    let stat = MetricStat::builder()
        .metric(metric.build())
        .period(60)
        .stat("Sum")
        .build();
    let query = MetricDataQuery::builder().id("a").metric_stat(stat).build();
    let time = aws_sdk_cloudwatch::primitives::DateTime::from_secs;
    let read = sandbox.clients.cloudwatch.get_metric_data().metric_data_queries(query);
    let read = read
        .start_time(time(now - 3_600))
        .end_time(time(now + 60))
        .send()
        .await
        .map_err(told)?;
    let results = read.metric_data_results().iter();
    Ok(results.flat_map(|result| result.values()).sum())
}

async fn metrics(sandbox: &Sandbox) -> Result<String, String> {
    alias(sandbox, "probe-metrics").await?;
    let function = sandbox.function("health");
    let resource = format!("{function}:probe-metrics");
    for _ in 0..10 {
        invoked(sandbox, "probe-metrics").await?;
    }
    let began = Instant::now();
    let (mut first, mut whole) = (None, None);
    while began.elapsed() < sandbox.patience && whole.is_none() {
        let counted = sum(
            sandbox,
            "AWS/Lambda",
            "Invocations",
            &[("FunctionName", &function), ("Resource", &resource)],
        )
        .await?;
        if counted > 0.0 {
            first.get_or_insert(began.elapsed());
        }
        if counted >= 10.0 {
            whole = Some(began.elapsed());
        }
        tokio::time::sleep(sandbox.silence / 20).await;
    }
    drop_alias(sandbox, "probe-metrics").await?;
    let after = |time: Option<Duration>| time.map_or("never".to_owned(), |time| format!("after {}", seconds(time)));
    Ok(format!(
        "of 10 invocations of an alias the first were counted {}, all {}",
        after(first),
        after(whole)
    ))
}

/// A function of the probes' own, with a role that was just made.
async fn own_function(sandbox: &Sandbox, name: &str, logging: Option<LoggingConfig>) -> Result<String, String> {
    let trust = json!({"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole",
    }]});
    let role = sandbox.clients.iam.create_role().role_name(name);
    let role = role
        .assume_role_policy_document(trust.to_string())
        .send()
        .await
        .map_err(told)?;
    let arn = role.role().map(|role| role.arn().to_owned()).unwrap_or_default();
    let logs = json!({"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Action": ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"], "Resource": "*",
    }]});
    let policy = sandbox
        .clients
        .iam
        .put_role_policy()
        .role_name(name)
        .policy_name("logs");
    policy.policy_document(logs.to_string()).send().await.map_err(told)?;
    let code = FunctionCode::builder()
        .zip_file(Blob::new(sandbox.package("health")))
        .build();
    let deployed = sandbox.clients.lambda.get_function_configuration();
    let deployed = deployed
        .function_name(sandbox.function("health"))
        .send()
        .await
        .map_err(told)?;
    let variables = deployed.environment().and_then(|set| set.variables().cloned());
    let environment = aws_sdk_lambda::types::Environment::builder()
        .set_variables(variables)
        .build();
    let (_, said) = until_taken(sandbox, async || {
        let function = sandbox.clients.lambda.create_function();
        let function = function
            .function_name(name)
            .role(&arn)
            .runtime(Runtime::from("provided.al2023"))
            .handler("bootstrap")
            .environment(environment.clone())
            .set_logging_config(logging.clone())
            .code(code.clone());
        function.send().await
    })
    .await?;
    Ok(said)
}

async fn drop_function(sandbox: &Sandbox, name: &str) -> Result<(), String> {
    let gone = sandbox
        .clients
        .lambda
        .delete_function()
        .function_name(name)
        .send()
        .await;
    gone.map_err(told)?;
    // Its log group was made by its first line.
    let group = format!("/aws/lambda/{name}");
    let _ = sandbox
        .clients
        .logs
        .delete_log_group()
        .log_group_name(group)
        .send()
        .await;
    let policy = sandbox
        .clients
        .iam
        .delete_role_policy()
        .role_name(name)
        .policy_name("logs");
    policy.send().await.map_err(told)?;
    let role = sandbox.clients.iam.delete_role().role_name(name).send().await;
    role.map(drop).map_err(told)
}

async fn fresh_role(sandbox: &Sandbox) -> Result<String, String> {
    let said = own_function(sandbox, "tcprobe-role", None).await?;
    drop_function(sandbox, "tcprobe-role").await?;
    Ok(format!("CreateFunction right after CreateRole: {said}"))
}

async fn pending_version(sandbox: &Sandbox) -> Result<String, String> {
    own_function(sandbox, "tcprobe-pending", None).await?;
    let lambda = &sandbox.clients.lambda;
    let published = until_taken(sandbox, async || {
        lambda.publish_version().function_name("tcprobe-pending").send().await
    });
    let (version, said) = published.await?;
    let version = version.version().unwrap_or_default().to_owned();
    let began = Instant::now();
    let mut states: Vec<String> = Vec::new();
    while began.elapsed() < sandbox.patience {
        let read = lambda
            .get_function_configuration()
            .function_name("tcprobe-pending")
            .qualifier(&version);
        let read = read.send().await.map_err(told)?;
        let state = read.state().cloned();
        let shown = state
            .as_ref()
            .map_or("no state".to_owned(), |state| state.as_str().to_owned());
        if states.last() != Some(&shown) {
            states.push(shown);
        }
        if state.is_none_or(|state| state == State::Active) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let took = began.elapsed();
    drop_function(sandbox, "tcprobe-pending").await?;
    Ok(format!(
        "PublishVersion right after CreateFunction: {said}; the version was {} within {}",
        states.join(", then "),
        seconds(took)
    ))
}

async fn emf_by_level(sandbox: &Sandbox) -> Result<String, String> {
    let mut said = Vec::new();
    for (name, level) in [
        ("tcprobe-emf-info", ApplicationLogLevel::Info),
        ("tcprobe-emf-warn", ApplicationLogLevel::Warn),
    ] {
        let logging = LoggingConfig::builder()
            .log_format(LogFormat::Json)
            .application_log_level(level.clone())
            .build();
        own_function(sandbox, name, Some(logging)).await?;
        let call = sandbox.clients.lambda.invoke().function_name(name);
        let event = json!({"version": "2.0", "routeKey": "GET /health", "rawPath": "/health", "headers": {}, "isBase64Encoded": false,
            "requestContext": {"http": {"method": "GET", "path": "/health"}, "requestId": "probe", "stage": "$default"}});
        let invoked = until_taken(sandbox, async || {
            call.clone().payload(Blob::new(event.to_string())).send().await
        });
        invoked.await?;
        let began = Instant::now();
        let mut arrived = None;
        while began.elapsed() < sandbox.silence * 5 && arrived.is_none() {
            let counted = sum(
                sandbox,
                "Taskctl",
                "Requests",
                &[("FunctionName", name), ("Version", "$LATEST")],
            )
            .await?;
            arrived = (counted > 0.0).then(|| began.elapsed());
            tokio::time::sleep(sandbox.silence / 10).await;
        }
        said.push(match arrived {
            Some(after) => format!("at {} metrics arrive after {}", level.as_str(), seconds(after)),
            None => format!("at {} none arrives", level.as_str()),
        });
        drop_function(sandbox, name).await?;
    }
    Ok(format!("embedded metrics in a JSON log: {}", said.join("; ")))
}

async fn cors_in_deployments(sandbox: &Sandbox) -> Result<String, String> {
    let api = OwnApi::make(sandbox, "tcprobe-cors").await?;
    alias(sandbox, "probe-cors").await?;
    api.lead_to(sandbox, "probe-cors").await?;
    let cors = Cors::builder()
        .allow_origins("https://probe.example")
        .allow_methods("GET")
        .build();
    let set = sandbox
        .clients
        .apigateway
        .update_api()
        .api_id(&api.id)
        .cors_configuration(cors)
        .send()
        .await;
    set.map_err(told)?;
    let began = Instant::now();
    let mut seen = None;
    while began.elapsed() < sandbox.silence * 2 && seen.is_none() {
        let url = format!("{}/health", api.endpoint);
        let headers = [
            ("origin", "https://probe.example"),
            ("access-control-request-method", "GET"),
        ];
        let headers: Vec<(String, String)> = headers
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect();
        let asked = tokio::task::spawn_blocking(move || request("OPTIONS", &url, &headers))
            .await
            .unwrap_or_default();
        seen = asked
            .2
            .contains_key("access-control-allow-origin")
            .then(|| began.elapsed());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    api.delete(sandbox).await?;
    drop_alias(sandbox, "probe-cors").await?;
    Ok(match seen {
        Some(after) => format!(
            "CORS of the API reached a stage without a new deployment after {}",
            seconds(after)
        ),
        None => format!(
            "CORS of the API did not reach a stage without a new deployment within {}",
            seconds(sandbox.silence * 2)
        ),
    })
}

fn status(sandbox: &Sandbox) -> Value {
    let run = sandbox.run(&["status", "--output", "json"]);
    serde_json::from_str(&run.out).unwrap_or_default()
}

async fn user_agent(sandbox: &Sandbox) -> Result<String, String> {
    let live = status(sandbox)["endpoints"]["live"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    let marker = "probe\"quote\\back";
    get(format!("{live}/health"), &[("user-agent", marker)]).await;
    let group = format!("/aws/vendedlogs/taskctl/{}/dev/api", sandbox.app);
    let began = Instant::now();
    while began.elapsed() < sandbox.patience {
        let read = sandbox.clients.logs.filter_log_events().log_group_name(&group);
        let read = read.send().await.map_err(told)?;
        let lines = read.events().iter().filter_map(|event| event.message());
        let line = lines
            .into_iter()
            .find(|line| line.contains("quote") && line.contains("back"));
        if let Some(line) = line {
            let is_json = serde_json::from_str::<Value>(line).is_ok();
            let agent = line
                .find("probe")
                .map(|from| &line[from..line.len().min(from + 24)])
                .unwrap_or_default();
            return Ok(match is_json {
                true => format!("{marker} is written as {agent:?}: the line is JSON"),
                false => format!("{marker} is written as {agent:?}: the line is no JSON"),
            });
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    Ok("no line of the access log has it; it may not be logged".to_owned())
}

/// Asks live again and again while `act` runs and for a while after it.
async fn asking(sandbox: &Sandbox, live: &str, act: &[&str]) -> (Ended, Vec<(Duration, u16, String)>) {
    let began = Instant::now();
    let url = format!("{live}/health");
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let asker = tokio::spawn(async move {
        let mut seen = Vec::new();
        while !*stopped.borrow() {
            let (status, _, headers) = get(url.clone(), &[]).await;
            let release = headers.get("x-release").cloned().unwrap_or_default();
            seen.push((began.elapsed(), status, release));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        seen
    });
    let run = tokio::task::block_in_place(|| sandbox.run(act));
    let ended = began.elapsed();
    tokio::time::sleep(sandbox.silence).await;
    let _ = stop.send(true);
    (Ended { code: run.code, ended }, asker.await.unwrap_or_default())
}

/// How a command ended, and when.
struct Ended {
    code: i32,
    ended: Duration,
}

async fn switch(sandbox: &Sandbox) -> Result<String, String> {
    let live = status(sandbox)["endpoints"]["live"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    let mut said = Vec::new();
    for (command, release) in [("promote", "2"), ("rollback", "1")] {
        let (run, seen) = asking(sandbox, &live, &[command, "--yes"]).await;
        let first = seen.iter().find(|(_, _, served)| served == release).map(|(at, ..)| *at);
        let last = seen
            .iter()
            .rev()
            .find(|(_, _, served)| served != release)
            .map(|(at, ..)| *at);
        let (Some(first), Some(last)) = (first, last) else {
            return Err(format!(
                "{command} ended with {} and release {release} was not seen",
                run.code
            ));
        };
        let tail = last.saturating_sub(first);
        said.push(format!(
            "{command}: first answer of the other release after {}, the last of the former {} later, command over after {}",
            seconds(first),
            seconds(tail),
            seconds(run.ended)
        ));
    }
    Ok(said.join("; "))
}

async fn guarantees(sandbox: &Sandbox) -> Result<String, String> {
    let live = status(sandbox)["endpoints"]["live"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    let mut broken = Vec::new();
    let mut asked = 0;
    for command in ["promote", "rollback", "promote"] {
        let (run, seen) = asking(sandbox, &live, &[command, "--yes"]).await;
        asked += seen.len();
        let lost = seen.iter().filter(|(_, status, _)| *status != 200).count();
        if run.code != 0 || lost > 0 {
            broken.push(format!(
                "{command} ended with {}, {lost} of {} requests failed",
                run.code,
                seen.len()
            ));
        }
    }
    let plan = tokio::task::block_in_place(|| sandbox.run(&["plan"]));
    if plan.code != 0 {
        broken.push(format!("the plan of what was just deployed is not empty: {}", plan.out));
    }
    Ok(match broken.is_empty() {
        true => format!("all held: no request of {asked} was lost in three moves of live, and the plan is empty"),
        false => format!("BROKEN: {}", broken.join("; ")),
    })
}
