//! What the template asks for and an operator should know before it is exposed. Pure.

use super::Inputs;
use crate::plan::{PlanWarning, WarningCode};

/// The warnings of a stack.
pub fn warnings(inputs: &Inputs<'_>) -> Vec<PlanWarning> {
    let routes = inputs.stack.api.as_ref().map_or(0, |api| api.routes.len());
    open_routes(routes).into_iter().chain(plain_sites(inputs)).collect()
}

/// How many routes there are, and that none of them asks who calls.
pub fn unauthenticated(routes: usize) -> String {
    match routes {
        1 => "1 route, and it does not ask who calls".to_owned(),
        routes => format!("{routes} routes, none asks who calls"),
    }
}

/// The template knows no authorizers yet, so no route has one.
fn open_routes(routes: usize) -> Option<PlanWarning> {
    (routes > 0).then(|| PlanWarning {
        code: WarningCode::UnauthenticatedRoutes,
        message: format!(
            "{}: anyone who knows the URL of the API can read and change what is behind it; taskctl has no authorizers yet, so \
             keep personal data out of this stage or put a proxy that authenticates in front of it",
            unauthenticated(routes)
        ),
    })
}

/// S3 serves web sites over HTTP alone. A site on this machine does not leave it.
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/WebsiteEndpoints.html>
fn plain_sites(inputs: &Inputs<'_>) -> Vec<PlanWarning> {
    let sites = inputs
        .stack
        .buckets
        .iter()
        .filter(|(_, bucket)| bucket.website.is_some());
    let plain = sites.filter(|(logical, _)| {
        let url = (inputs.website_url)(&inputs.bucket(logical));
        url.strip_prefix("http://").is_some_and(|rest| !is_this_machine(rest))
    });
    plain
        .map(|(logical, _)| PlanWarning {
            code: WarningCode::PlainHttpSite,
            message: format!(
                "web site `{logical}` is served over plain HTTP: S3's website endpoints have no TLS, so its pages can be read and \
                 changed on the way; put a CDN with a certificate in front of the bucket before people sign in or type anything"
            ),
        })
        .collect()
}

/// A warning of policies of former releases that no record confirms.
pub fn unrecorded_grants(policies: &[String]) -> Option<PlanWarning> {
    (!policies.is_empty()).then(|| PlanWarning {
        code: WarningCode::UnrecordedGrants,
        message: format!(
            "what {} allows cannot be compared: the ledger has no record of some of those releases, so it stays until they are \
             out of reach; `aws iam get-role-policy` shows it",
            policies.join(", ")
        ),
    })
}

/// Whether the host of a URL, given without its scheme, is this machine.
fn is_this_machine(rest: &str) -> bool {
    let host = rest.split(['/', ':']).next().unwrap_or_default();
    host == "localhost" || host.ends_with(".localhost") || host == "127.0.0.1"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_are_counted() {
        assert_eq!(open_routes(0), None);
        assert_eq!(unauthenticated(1), "1 route, and it does not ask who calls");
        assert_eq!(unauthenticated(18), "18 routes, none asks who calls");
    }

    #[test]
    fn a_site_on_this_machine_is_no_plain_site() {
        for (rest, expected) in [
            ("b.localhost:1580", true),
            ("127.0.0.1:1580/x", true),
            ("b.s3-website-us-east-1.amazonaws.com", false),
            ("localhost.example.com", false),
        ] {
            assert_eq!(is_this_machine(rest), expected, "{rest}");
        }
    }
}
