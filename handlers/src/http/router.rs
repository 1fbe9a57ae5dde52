//! Which of a function's routes a request is for.

use std::collections::HashMap;
use std::future::Future;

use super::{Failure, Request, Response};

/// A route key and what it means to the function.
pub type RouteSpec<R> = (&'static str, R);

/// A function: its routes and what each does.
pub trait Function {
    /// One route.
    type Route: Copy + PartialEq + std::fmt::Debug + 'static;

    /// All routes by key, in the gateway's spelling.
    const ROUTES: &'static [RouteSpec<Self::Route>];

    /// Answers a request for a route.
    fn handle(&self, route: Self::Route, request: &Request) -> impl Future<Output = Result<Response, Failure>>;

    /// What a request for none of the routes gets.
    fn unmatched(&self) -> Failure {
        Failure::NotFound("There is nothing here; see the API's documentation for its routes.".to_owned())
    }
}

/// The route of a request: by the key that the gateway matched, else (`$default`, `ANY …`) by method and path. Path parameters that
/// the gateway did not give are filled in.
pub fn resolve<R: Copy>(routes: &'static [RouteSpec<R>], request: &mut Request) -> Option<RouteSpec<R>> {
    if let Some(found) = routes.iter().find(|(key, _)| *key == request.route_key) {
        return Some(*found);
    }
    let (spec, parameters) = routes.iter().find_map(|spec| {
        let (method, template) = spec.0.split_once(' ')?;
        let parameters = (method == request.method).then(|| parameters(template, &request.path))??;
        Some((*spec, parameters))
    })?;
    request.path_parameters.extend(parameters);
    Some(spec)
}

/// The name of a template's part, when it is a parameter.
pub fn path_parameter(part: &str) -> Option<&str> {
    part.strip_prefix('{')?.strip_suffix('}')
}

fn parameters(template: &str, path: &str) -> Option<HashMap<String, String>> {
    let mut found = HashMap::new();
    let (mut wanted, mut given) = (template.split('/'), path.split('/'));
    loop {
        match (wanted.next(), given.next()) {
            (None, None) => return Some(found),
            (Some(wanted), Some(given)) => match path_parameter(wanted) {
                Some(name) if !given.is_empty() => {
                    found.insert(name.to_owned(), given.to_owned());
                }
                None if wanted == given => {}
                Some(_) | None => return None,
            },
            (Some(_), None) | (None, Some(_)) => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_fills_a_template_whole_or_not_at_all() {
        assert_eq!(
            parameters("/tasks/{taskId}", "/tasks/7").map(|found| found["taskId"].clone()),
            Some("7".to_owned())
        );
        assert!(parameters("/tasks", "/tasks").is_some());
        for path in ["/tasks/", "/tasks", "/tasks/7/8", "/Tasks/7", "tasks/7"] {
            assert!(parameters("/tasks/{taskId}", path).is_none(), "{path}");
        }
    }
}
