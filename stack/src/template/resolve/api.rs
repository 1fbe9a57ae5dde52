//! The HTTP API of the resolved stack.

use std::collections::BTreeMap;

use super::{Resolver, route_key, rules};
use crate::template::fault::{Code, Fault, Span};
use crate::template::grammar::{NamedValue, Short, Switch};
use crate::template::language::{ApiSource, CorsSource, RouteSource};
use crate::template::model::{Api, Cors, Route};

/// Routes of an API. <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-quotas.html>
const MOST_ROUTES: usize = 300;

/// Longest wait for a function, seconds. The same page.
const LONGEST_INTEGRATION: u32 = 30;

impl Resolver<'_> {
    pub(super) fn api(&mut self) -> Option<Api> {
        let api = &self.source.api.as_ref()?.value;
        self.mark("api".to_owned(), api.span);
        let routes = self.routes(api);
        let access_log_retention_days = match &api.access_log.value {
            Switch::Off => None,
            Switch::On(log) => {
                self.retention(log.retention.value.units(), log.retention.span);
                Some(log.retention.value.units())
            }
        };
        Some(Api {
            name: self.physical_name(&rules::API, "api", api.span, api.name.as_ref()),
            description: api
                .description
                .as_ref()
                .map(|text| self.fill(&text.value.text, text.span)),
            cors: match &api.cors.value {
                Switch::Off => None,
                Switch::On(cors) => Some(self.cors(cors)),
            },
            throttle_rate: api.throttle.value.rate.value.u32(),
            throttle_burst: api.throttle.value.burst.value.u32(),
            access_log_retention_days,
            detailed_metrics: api.detailed_metrics.value,
            routes,
        })
    }

    fn cors(&mut self, cors: &CorsSource) -> Cors {
        for origin in &cors.allow_origins.value {
            if origin.value.text == "*" && cors.allow_credentials.value {
                let fault = Fault::error(
                    Code::Conflict,
                    "browsers refuse credentials together with the origin `*`",
                )
                .labelled(origin.span, "any origin")
                .with(cors.allow_credentials.span, "with credentials")
                .help("name the origins, or set `allow_credentials: false`");
                self.report(fault);
            }
        }
        if cors.allow_origins.value.is_empty() && !self.has_site() {
            let fault = Fault::warning(
                Code::Suspicious,
                "CORS is on, but no origin is allowed and the stack has no site of its own",
            )
            .at(cors.span)
            .help("list `allow_origins`, e.g. http://localhost:1580");
            self.report(fault);
        }
        Cors {
            allow_origins: cors
                .allow_origins
                .value
                .iter()
                .map(|origin| origin.value.text.clone())
                .collect(),
            allow_methods: cors
                .allow_methods
                .value
                .iter()
                .map(|method| method.value.text.clone())
                .collect(),
            allow_headers: cors
                .allow_headers
                .value
                .iter()
                .map(|header| header.value.text.clone())
                .collect(),
            expose_headers: cors
                .expose_headers
                .value
                .iter()
                .map(|header| header.value.text.clone())
                .collect(),
            max_age_seconds: cors.max_age.value.units(),
            allow_credentials: cors.allow_credentials.value,
        }
    }

    fn routes(&mut self, api: &ApiSource) -> Vec<Route> {
        if api.routes.value.names().next().is_none() {
            let fault = Fault::error(Code::MissingKey, "the API needs `routes`").at(api.routes.span);
            self.report(fault.help("e.g. `routes: {GET /tasks: tasks}`"));
        }
        if api.routes.value.len() > MOST_ROUTES {
            let fault = Fault::error(Code::TooMany, format!("the API has {} routes", api.routes.value.len()))
                .at(api.routes.span);
            self.report(fault.help(format!(
                "an HTTP API has at most {MOST_ROUTES}; `ANY /path/{{proxy+}}` takes many paths"
            )));
        }
        let mut routes = Vec::with_capacity(api.routes.value.len());
        let mut seen: BTreeMap<String, (String, Span)> = BTreeMap::new();
        for (
            key,
            NamedValue {
                key: span,
                value: Short(route),
            },
        ) in api.routes.value.iter()
        {
            self.mark(format!("api.routes.{key}"), *span);
            match route_key::pattern(key, *span) {
                Err(fault) => self.report(*fault),
                Ok(pattern) => match seen.get(&pattern) {
                    Some((first, at)) => {
                        let fault = Fault::error(Code::Collision, format!("`{key}` takes the same requests as `{first}`"))
                            .labelled(*span, "this route")
                            .with(*at, "this one came first")
                            .help("parameters at the same place match the same requests, whatever they are called: keep one route");
                        self.report(fault);
                    }
                    None => {
                        seen.insert(pattern, (key.to_owned(), *span));
                    }
                },
            }
            self.target(key, route);
            routes.push(Route {
                key: key.to_owned(),
                function: route.function.value.text.clone(),
                throttle_rate: route.throttle.as_ref().map(|throttle| throttle.value.rate.value.u32()),
                throttle_burst: route.throttle.as_ref().map(|throttle| throttle.value.burst.value.u32()),
            });
        }
        routes
    }

    fn target(&mut self, key: &str, route: &RouteSource) {
        let function = &route.function;
        if !self.refer("function", &function.value.text, function.span) {
            return;
        }
        if let Some(target) = self.source.functions.value.get(&function.value.text)
            && target.value.timeout.value.units() > LONGEST_INTEGRATION
        {
            let timeout = &target.value.timeout;
            let message = format!(
                "`{}` may run {} s, but the API answers 503 after {LONGEST_INTEGRATION} s",
                function.value.text,
                timeout.value.units()
            );
            let fault = Fault::warning(Code::Suspicious, message)
                .at(timeout.span)
                .with(function.span, format!("`{key}` waits for it"))
                .help(format!("set `timeout: {LONGEST_INTEGRATION}s` or less"));
            self.report(fault);
        }
    }
}
