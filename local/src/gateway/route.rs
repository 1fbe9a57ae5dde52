//! Route keys and the table that finds the route of a request.
//!
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-routes.html>: a full match comes
//! before one with a greedy variable, and `$default` last. Within a group the leftmost segment that differs decides, static
//! before variable; for the same path a method comes before `ANY`.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use crate::ports::{DeploymentSnapshot, RouteSnapshot};

/// The key of the route that takes what no other takes.
pub(super) const DEFAULT_ROUTE: &str = "$default";

/// The routes of a deployment, ready to be searched.
#[derive(Debug)]
pub(super) struct RouteTable {
    /// The first one that matches is the right one.
    routes: Vec<CompiledRoute>,
}

#[derive(Debug)]
struct CompiledRoute {
    pattern: Pattern,
    route: RouteSnapshot,
}

/// A parsed route key.
#[derive(Debug, PartialEq, Eq)]
enum Pattern {
    Path { method: Method, segments: Vec<Segment> },
    Default,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Method {
    One(String),
    Any,
}

#[derive(Debug, PartialEq, Eq)]
enum Segment {
    Static(String),
    Variable(String),
    /// Takes the rest of the path, at least one character.
    Greedy(String),
}

/// A route and what its variables stand for.
#[derive(Debug)]
pub(super) struct RouteMatch<'a> {
    pub(super) route: &'a RouteSnapshot,
    pub(super) path_parameters: BTreeMap<&'a str, String>,
}

impl RouteTable {
    /// The table of a deployment. A key that cannot be read never matches.
    pub(super) fn new(deployment: &DeploymentSnapshot) -> Self {
        Self::of(deployment.routes.iter().cloned())
    }

    fn of(routes: impl IntoIterator<Item = RouteSnapshot>) -> Self {
        let compiled = routes.into_iter().filter_map(|route| {
            let pattern = Pattern::parse(&route.route_key)?;
            Some(CompiledRoute { pattern, route })
        });
        let mut routes: Vec<CompiledRoute> = compiled.collect();
        routes.sort_by(|left, right| {
            left.pattern
                .preference(&right.pattern)
                .then_with(|| left.route.route_id.cmp(&right.route.route_id))
        });
        Self { routes }
    }

    /// The route of a request. `path` is decoded and without stage prefix.
    pub(super) fn find(&self, method: &str, path: &str) -> Option<RouteMatch<'_>> {
        self.routes.iter().find_map(|compiled| {
            let path_parameters = compiled.pattern.matches(method, path)?;
            Some(RouteMatch {
                route: &compiled.route,
                path_parameters,
            })
        })
    }
}

impl Pattern {
    fn parse(route_key: &str) -> Option<Self> {
        if route_key == DEFAULT_ROUTE {
            return Some(Self::Default);
        }
        let (method, path) = route_key.split_once(' ')?;
        let method = match method {
            "ANY" => Method::Any,
            method => Method::One(method.to_owned()),
        };
        let segments = path.strip_prefix('/')?.split('/').map(Segment::parse).collect();
        Some(Self::Path { method, segments })
    }

    fn preference(&self, other: &Self) -> Ordering {
        match (self, other) {
            (
                Self::Path { method, segments },
                Self::Path {
                    method: other_method,
                    segments: other_segments,
                },
            ) => {
                let greedy = |segments: &[Segment]| matches!(segments.last(), Some(Segment::Greedy(_)));
                greedy(segments)
                    .cmp(&greedy(other_segments))
                    .then_with(|| {
                        segments
                            .iter()
                            .map(Segment::rank)
                            .cmp(other_segments.iter().map(Segment::rank))
                    })
                    .then_with(|| method.cmp(other_method))
            }
            (Self::Path { .. }, Self::Default) => Ordering::Less,
            (Self::Default, Self::Path { .. }) => Ordering::Greater,
            (Self::Default, Self::Default) => Ordering::Equal,
        }
    }

    fn matches(&self, method: &str, path: &str) -> Option<BTreeMap<&str, String>> {
        let (own, segments) = match self {
            Self::Default => return Some(BTreeMap::new()),
            Self::Path { method, segments } => (method, segments),
        };
        match own {
            Method::One(own) if own != method => return None,
            Method::One(_) | Method::Any => {}
        }
        let mut rest = Some(path.strip_prefix('/')?);
        let mut parameters = BTreeMap::new();
        for segment in segments {
            let (head, tail) = match rest?.split_once('/') {
                Some((head, tail)) => (head, Some(tail)),
                None => (rest?, None),
            };
            match segment {
                Segment::Static(own) if own == head => {}
                Segment::Static(_) => return None,
                Segment::Variable(_) if head.is_empty() => return None,
                Segment::Variable(name) => drop(parameters.insert(name.as_str(), head.to_owned())),
                Segment::Greedy(_) if rest?.is_empty() => return None,
                Segment::Greedy(name) => {
                    parameters.insert(name.as_str(), rest?.to_owned());
                    return Some(parameters);
                }
            }
            rest = tail;
        }
        rest.is_none().then_some(parameters)
    }
}

impl Segment {
    /// In order of preference. Two different static segments never take the same path.
    fn rank(&self) -> u8 {
        match self {
            Self::Static(_) => 0,
            Self::Variable(_) => 1,
            Self::Greedy(_) => 2,
        }
    }

    fn parse(segment: &str) -> Self {
        match segment.strip_prefix('{').and_then(|name| name.strip_suffix('}')) {
            Some(name) => match name.strip_suffix('+') {
                Some(name) => Self::Greedy(name.to_owned()),
                None => Self::Variable(name.to_owned()),
            },
            None => Self::Static(segment.to_owned()),
        }
    }
}
