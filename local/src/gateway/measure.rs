//! The metrics in the namespace `AWS/ApiGateway`.
//!
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-metrics.html>

use std::time::Duration;

use super::record::Record;
use super::route::DEFAULT_ROUTE;
use crate::ports::MetricDatum;

/// Namespace of the metrics.
pub(super) const NAMESPACE: &str = "AWS/ApiGateway";

/// The values of one answered request.
pub(super) fn data(record: &Record<'_>) -> Vec<MetricDatum> {
    let flag = |set: bool| if set { 1.0 } else { 0.0 };
    let milliseconds = |duration: Duration| duration.as_secs_f64() * 1_000.0;
    let bytes = record.request_length + record.response_length;
    let mut values = vec![
        ("Count", 1.0, "Count"),
        ("4xx", flag(record.status.is_client_error()), "Count"),
        ("5xx", flag(record.status.is_server_error()), "Count"),
        ("Latency", milliseconds(record.latency), "Milliseconds"),
        ("DataProcessed", bytes as f64, "Bytes"),
    ];
    if let Some(integration) = &record.integration {
        values.push(("IntegrationLatency", milliseconds(integration.latency), "Milliseconds"));
    }
    let sets = dimension_sets(record);
    let timestamp_ms = record.time.as_millisecond();
    let datum = |(name, value, unit): (&str, f64, &str), dimensions: &Vec<(String, String)>| MetricDatum {
        name: name.to_owned(),
        dimensions: dimensions.clone(),
        timestamp_ms,
        value,
        unit: unit.to_owned(),
    };
    values
        .into_iter()
        .flat_map(|value| sets.iter().map(move |set| datum(value, set)))
        .collect()
}

fn dimension_sets(record: &Record<'_>) -> Vec<Vec<(String, String)>> {
    let dimension = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let api = dimension("ApiId", &record.api.api_id);
    let mut sets = vec![vec![api.clone()]];
    let Some(stage) = record.stage else { return sets };
    let stage_name = dimension("Stage", &stage.name);
    sets.push(vec![api.clone(), stage_name.clone()]);
    if let Some(route_key) = &record.route_key {
        let settings = stage
            .route_settings
            .get(route_key)
            .unwrap_or(&stage.default_route_settings);
        if settings.detailed_metrics {
            let (method, resource) = route_key.split_once(' ').unwrap_or((DEFAULT_ROUTE, DEFAULT_ROUTE));
            sets.push(vec![
                api,
                stage_name,
                dimension("Method", method),
                dimension("Resource", resource),
            ]);
        }
    }
    sets
}
