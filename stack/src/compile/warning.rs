//! What the template asks for and an operator should know before it is exposed. Pure.

use super::Inputs;
use crate::plan::{PlanWarning, WarningCode};
use crate::template::model::Stack;

/// The warnings of a stack.
pub fn warnings(inputs: &Inputs<'_>) -> Vec<PlanWarning> {
    let routes = inputs.stack.api.as_ref().map_or(0, |api| api.routes.len());
    open_routes(routes)
        .into_iter()
        .chain(plain_sites(inputs))
        .chain(no_account(inputs.stack, &inputs.identity.account))
        .collect()
}

/// Account of emulators; AWS has none of this number.
const NO_ACCOUNT: &str = "000000000000";

/// With credentials of another account a protected stage would be made a second time there.
fn no_account(stack: &Stack, account: &str) -> Option<PlanWarning> {
    (stack.protected && stack.account.is_none() && account != NO_ACCOUNT).then(|| PlanWarning {
        code: WarningCode::NoAccount,
        message: format!(
            "stage {} is protected, but the template does not name its account, so credentials of any account do; \
             `account: \"{account}\"` under the stage names this one",
            stack.stage
        ),
    })
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
    fn a_protected_stage_names_its_account() -> Result<(), String> {
        let stack = |lines: &str| {
            let text = format!("app: shop\nregion: eu-central-1\n{lines}\n");
            let source = crate::template::Source::new("taskctl.yaml", text);
            let loaded = crate::template::load(&source, "dev", &crate::template::Options::default());
            loaded
                .map(|loaded| loaded.stack)
                .map_err(|faults| format!("{faults:?}"))
        };
        let unguarded = stack("protected: true")?;
        let told = no_account(&unguarded, "111122223333").map(|warning| warning.message);
        assert_eq!(
            told.as_deref(),
            Some(
                "stage dev is protected, but the template does not name its account, so credentials of any account do; \
                 `account: \"111122223333\"` under the stage names this one"
            )
        );
        assert_eq!(no_account(&unguarded, NO_ACCOUNT), None);
        assert_eq!(
            no_account(&stack("protected: true\naccount: '111122223333'")?, "111122223333"),
            None
        );
        assert_eq!(no_account(&stack("protected: false")?, "111122223333"), None);
        Ok(())
    }

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
