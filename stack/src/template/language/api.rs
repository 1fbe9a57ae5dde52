//! The HTTP API.

use super::{Description, Header, LogicalName, Method, NameText, Origin, RouteKey};
use crate::template::grammar::{
    Days, Decode, Duration, Integer, Named, Reserved, Seconds, Shape, Short, Shorthand, Spanned, Switch, Text, record,
};

record! {
    /// An HTTP API with the slots live and preview.
    pub(crate) struct ApiSource as "api" {
        /// Name instead of the derived one.
        name: Option<Spanned<Text<NameText>>>,
        /// What it does, for people.
        description: Option<Spanned<Text<Description>>>,
        /// Which pages of other origins may use the API; `false` for none. The stack's own site always may.
        cors: Spanned<Switch<CorsSource>> = "false",
        /// How many requests live takes over all routes.
        throttle: Spanned<ThrottleSource> = "{}",
        /// Access log.
        access_log: Spanned<Switch<AccessLogSource>> = "true",
        /// Metrics per route, which CloudWatch charges for.
        detailed_metrics: Spanned<bool> = "false",
        /// Routes, at least one: `GET /tasks: tasks`, method and path to function.
        routes: Spanned<Named<RouteKey, Short<RouteSource>>> = "{}",
        /// JWT authorizers.
        authorizers: Reserved,
        /// A custom domain name.
        domain: Reserved,
    }
}

record! {
    /// Cross-origin settings.
    pub(crate) struct CorsSource as "cors" {
        /// Origins that may read answers. Buckets take those of the API.
        allow_origins: Spanned<Vec<Spanned<Text<Origin>>>> = "[]",
        /// Methods.
        allow_methods: Spanned<Vec<Spanned<Text<Method>>>> = "[GET, POST, PUT, PATCH, DELETE, OPTIONS]",
        /// Request headers.
        allow_headers: Spanned<Vec<Spanned<Text<Header>>>> = "[content-type, authorization, idempotency-key, if-match, if-none-match]",
        /// Response headers that scripts may read.
        expose_headers: Spanned<Vec<Spanned<Text<Header>>>> = "[etag, location, retry-after, x-request-id, x-release, x-version]",
        /// How long browsers may remember the answer to a preflight.
        max_age: Spanned<Duration<Seconds, 0, 86400>> = "1h",
        /// Allow cookies and credentials.
        allow_credentials: Spanned<bool> = "false",
    }
}

record! {
    /// Throttling.
    pub(crate) struct ThrottleSource as "throttle" {
        /// Requests a second.
        rate: Spanned<Integer<1, 100000>> = "1000",
        /// Requests at once.
        burst: Spanned<Integer<1, 100000>> = "500",
    }
}

record! {
    /// The access log.
    pub(crate) struct AccessLogSource as "access log" {
        /// How long it is kept; the values of `log_retention`.
        retention: Spanned<Duration<Days, 1, 3653>> = "30d",
    }
}

record! {
    /// A route. `GET /tasks: tasks` is short for `GET /tasks: {function: tasks}`.
    pub(crate) struct RouteSource as "route" {
        /// Logical name of the function that answers.
        function: Spanned<Text<LogicalName>>,
        /// A limit of this route's own.
        throttle: Option<Spanned<RouteThrottleSource>>,
        /// The authorizer that requests pass.
        authorizer: Reserved,
    }
}

record! {
    /// A limit of a route's own.
    pub(crate) struct RouteThrottleSource as "route throttle" {
        /// Requests a second.
        rate: Spanned<Integer<1, 100000>>,
        /// Requests at once.
        burst: Spanned<Integer<1, 100000>>,
    }
}

impl Shorthand for RouteSource {
    const KEY: &'static str = "function";

    fn short() -> Shape {
        Text::<LogicalName>::shape()
    }
}
