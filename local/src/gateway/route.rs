//! Route keys and the table that finds the route of a request.
//!
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-routes.html>: a full match comes
//! before one with a greedy variable, and `$default` last. Within a group the leftmost segment that differs decides, static
//! before variable; for the same path a method comes before `ANY`.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use crate::ports::{DeploymentSnapshot, RouteSnapshot};

/// The key of the route that takes all other requests.
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
    /// Takes the rest of the path, which may be empty after a slash, but not at the root.
    Greedy(String),
}

/// A route and the values of its variables.
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

    /// The table of routes.
    pub(super) fn of(routes: impl IntoIterator<Item = RouteSnapshot>) -> Self {
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
        for (index, segment) in segments.iter().enumerate() {
            let (head, tail) = match rest?.split_once('/') {
                Some((head, tail)) => (head, Some(tail)),
                None => (rest?, None),
            };
            match segment {
                Segment::Static(own) if own == head => {}
                Segment::Static(_) => return None,
                Segment::Variable(_) if head.is_empty() => return None,
                Segment::Variable(name) => drop(parameters.insert(name.as_str(), head.to_owned())),
                Segment::Greedy(_) if index == 0 && rest?.is_empty() => return None,
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn table(keys: &[&str]) -> RouteTable {
        RouteTable::of(keys.iter().map(|key| RouteSnapshot {
            route_id: format!("id of {key}"),
            route_key: (*key).to_owned(),
            integration_id: None,
            authorization_type: "NONE".to_owned(),
            authorizer_id: None,
            authorization_scopes: Vec::new(),
        }))
    }

    fn found(table: &RouteTable, request: &str) -> String {
        let (method, path) = request.split_once(' ').unwrap_or_default();
        match table.find(method, path) {
            None => "-".to_owned(),
            Some(found) => {
                let parameters: Vec<String> = found
                    .path_parameters
                    .iter()
                    .map(|(name, value)| format!("{name}={value}"))
                    .collect();
                format!("{} {}", found.route.route_key, parameters.join(" "))
                    .trim_end()
                    .to_owned()
            }
        }
    }

    fn check(keys: &[&str], cases: &[(&str, &str)]) {
        let table = table(keys);
        for (request, expected) in cases {
            assert_eq!(found(&table, request), *expected, "{request} among {keys:?}");
        }
    }

    #[test]
    fn the_documented_example() {
        let keys = [
            "GET /pets/dog/1",
            "GET /pets/dog/{id}",
            "GET /pets/{proxy+}",
            "ANY /{proxy+}",
            "$default",
        ];
        check(
            &keys,
            &[
                ("GET /pets/dog/1", "GET /pets/dog/1"),
                ("GET /pets/dog/2", "GET /pets/dog/{id} id=2"),
                ("GET /pets/cat/1", "GET /pets/{proxy+} proxy=cat/1"),
                ("POST /test/5", "ANY /{proxy+} proxy=test/5"),
                ("POST /pets/dog/1", "ANY /{proxy+} proxy=pets/dog/1"),
                ("GET /", "$default"),
            ],
        );
    }

    #[test]
    fn a_full_match_comes_before_a_greedy_one() {
        check(
            &["GET /{a}/{b}", "GET /x/{proxy+}", "GET /{proxy+}"],
            &[
                ("GET /x/y", "GET /{a}/{b} a=x b=y"),
                ("GET /x/y/z", "GET /x/{proxy+} proxy=y/z"),
                ("GET /y", "GET /{proxy+} proxy=y"),
                ("GET /x", "GET /{proxy+} proxy=x"),
            ],
        );
    }

    #[test]
    fn a_static_segment_comes_before_a_variable_one() {
        check(
            &["GET /tasks/{id}", "GET /tasks/new", "GET /{z}/new", "GET /{b}/{c}"],
            &[
                ("GET /tasks/new", "GET /tasks/new"),
                ("GET /tasks/7", "GET /tasks/{id} id=7"),
                ("GET /users/new", "GET /{z}/new z=users"),
                ("GET /users/7", "GET /{b}/{c} b=users c=7"),
            ],
        );
    }

    #[test]
    fn a_method_comes_before_any() {
        check(
            &["ANY /tasks", "GET /tasks", "ANY /only", "GET /{proxy+}"],
            &[
                ("GET /tasks", "GET /tasks"),
                ("POST /tasks", "ANY /tasks"),
                ("GET /only", "ANY /only"),
                ("POST /other", "-"),
                ("get /tasks", "ANY /tasks"),
            ],
        );
    }

    #[test]
    fn slashes_and_case_count() {
        check(
            &["GET /tasks", "GET /tasks/{id}", "GET /x/{proxy+}", "GET /"],
            &[
                ("GET /tasks/", "-"),
                ("GET //tasks", "-"),
                ("GET /Tasks", "-"),
                ("GET /tasks/a/b", "-"),
                ("GET /x", "-"),
                ("GET /x/", "GET /x/{proxy+} proxy="),
                ("GET /x/a/", "GET /x/{proxy+} proxy=a/"),
                ("GET /", "GET /"),
                ("GET tasks", "-"),
            ],
        );
        check(&["GET /thing/"], &[("GET /thing/", "GET /thing/"), ("GET /thing", "-")]);
    }

    #[test]
    fn a_greedy_variable_takes_the_empty_rest_after_a_slash() {
        check(
            &["ANY /files/{proxy+}"],
            &[
                ("GET /files/", "ANY /files/{proxy+} proxy="),
                ("GET /files", "-"),
                ("GET /files//", "ANY /files/{proxy+} proxy=/"),
            ],
        );
        check(
            &["ANY /{proxy+}"],
            &[("GET /", "-"), ("GET /a", "ANY /{proxy+} proxy=a")],
        );
    }

    #[test]
    fn a_decoded_slash_may_choose_another_route() {
        let keys = ["GET /files/{name}", "GET /files/{proxy+}"];
        check(
            &keys,
            &[
                ("GET /files/a", "GET /files/{name} name=a"),
                ("GET /files/a/b", "GET /files/{proxy+} proxy=a/b"),
            ],
        );
    }

    #[test]
    fn unreadable_keys_never_match() {
        check(
            &["GET", "tasks", "GET tasks", ""],
            &[("GET /tasks", "-"), ("GET /", "-")],
        );
    }

    /// The rule in the simplest words: of the routes that match, the one that no other one precedes.
    fn reference(keys: &[String], method: &str, path: &str) -> Option<String> {
        let rank = |key: &str| -> Option<(u8, Vec<u8>, u8)> {
            if key == DEFAULT_ROUTE {
                return Some((2, Vec::new(), 0));
            }
            let (own, pattern) = key.split_once(' ')?;
            if own != "ANY" && own != method {
                return None;
            }
            let pattern: Vec<&str> = pattern[1..].split('/').collect();
            let segments: Vec<&str> = path[1..].split('/').collect();
            let greedy = pattern.last().is_some_and(|last| last.ends_with("+}"));
            let fits = if greedy {
                segments.len() >= pattern.len() && path != "/"
            } else {
                segments.len() == pattern.len()
            };
            let mut kinds = Vec::new();
            for (own, segment) in pattern.iter().zip(&segments) {
                match own.strip_prefix('{') {
                    None if own == segment => kinds.push(0),
                    None => return None,
                    Some(name) if name.ends_with("+}") => kinds.push(2),
                    Some(_) if segment.is_empty() => return None,
                    Some(_) => kinds.push(1),
                }
            }
            fits.then_some((u8::from(greedy), kinds, u8::from(own == "ANY")))
        };
        keys.iter()
            .filter_map(|key| Some((rank(key)?, key.clone())))
            .min()
            .map(|(_, key)| key)
    }

    fn segment() -> impl Strategy<Value = String> {
        prop_oneof![4 => "[ab]", 1 => Just(String::new())]
    }

    fn key() -> impl Strategy<Value = String> {
        let method = prop_oneof![Just("GET"), Just("POST"), Just("ANY")];
        // One name per position, so that no two keys match the same paths.
        let segments = proptest::collection::vec(prop_oneof!["[ab]".prop_map(Some), Just(None)], 1..4);
        let path = (segments, any::<bool>()).prop_map(|(segments, greedy)| {
            let mut path: Vec<String> = segments
                .into_iter()
                .enumerate()
                .map(|(place, fixed)| fixed.unwrap_or_else(|| format!("{{v{place}}}")))
                .collect();
            if greedy {
                path.push("{proxy+}".to_owned());
            }
            path.join("/")
        });
        prop_oneof![
            9 => (method, path).prop_map(|(method, path)| format!("{method} /{path}")),
            1 => Just(DEFAULT_ROUTE.to_owned()),
        ]
    }

    proptest! {
        #[test]
        fn the_answer_is_the_rules_and_does_not_depend_on_order(
            keys in proptest::collection::btree_set(key(), 0..12),
            shift in 0_usize..12,
            method in prop_oneof![Just("GET"), Just("POST"), Just("PUT")],
            path in proptest::collection::vec(segment(), 1..5),
        ) {
            let path = format!("/{}", path.join("/"));
            let mut keys: Vec<String> = keys.into_iter().collect();
            let expected = reference(&keys, method, &path);
            for _ in 0..2 {
                let borrowed: Vec<&str> = keys.iter().map(String::as_str).collect();
                let table = table(&borrowed);
                let found = table.find(method, &path).map(|found| found.route.route_key.clone());
                prop_assert_eq!(&found, &expected, "{} {}", method, path);
                let middle = shift.min(keys.len());
                keys.rotate_left(middle);
                keys.reverse();
            }
        }
    }
}
