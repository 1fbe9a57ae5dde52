//! Which stage a request is for, and which path is left for its routes.
//!
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-stages.html>: a first segment that names a
//! stage chooses it, whatever routes `$default` has.

use std::sync::Arc;

use percent_encoding::percent_decode_str;

use crate::ports::{ApiSnapshot, StageSnapshot};

/// The stage without a path prefix.
const DEFAULT_STAGE: &str = "$default";

/// The path of a request that is not well-formed: a `%` without two hexadecimal digits, or not UTF-8 when decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed;

/// Decodes a path, `%2F` included: the gateway decodes before it looks for a route.
pub(super) fn decode(path: &str) -> Result<String, Malformed> {
    let digits = |escape: &str| escape.bytes().take(2).filter(u8::is_ascii_hexdigit).count() == 2;
    if !path.split('%').skip(1).all(digits) {
        return Err(Malformed);
    }
    percent_decode_str(path)
        .decode_utf8()
        .map(|path| path.into_owned())
        .map_err(|_| Malformed)
}

/// The stage of a decoded path, and the path without the stage's prefix.
pub(super) fn stage<'a>(api: &'a ApiSnapshot, path: &'a str) -> Option<(&'a Arc<StageSnapshot>, &'a str)> {
    let after_slash = path.strip_prefix('/').unwrap_or(path);
    let first = after_slash.split('/').next().unwrap_or_default();
    if first != DEFAULT_STAGE
        && let Some(stage) = api.stages.get(first)
    {
        let rest = &after_slash[first.len()..];
        return Some((stage, if rest.is_empty() { "/" } else { rest }));
    }
    Some((api.stages.get(DEFAULT_STAGE)?, path))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
    use proptest::prelude::*;

    use super::*;
    use crate::ports::{ExecuteApiEndpoint, RouteSettings};

    fn api(stages: &[&str]) -> ApiSnapshot {
        let stage = |name: &&str| {
            let stage = StageSnapshot {
                name: (*name).to_owned(),
                deployment: None,
                variables: BTreeMap::new(),
                default_route_settings: RouteSettings::default(),
                route_settings: BTreeMap::new(),
                access_log: None,
            };
            ((*name).to_owned(), Arc::new(stage))
        };
        ApiSnapshot {
            api_id: "a1".to_owned(),
            region: "eu-central-1".to_owned(),
            account: "000000000000".to_owned(),
            endpoint: ExecuteApiEndpoint::Enabled,
            stages: stages.iter().map(stage).collect(),
        }
    }

    fn check(stages: &[&str], path: &str, expected: Option<(&str, &str)>) {
        let api = api(stages);
        let found = stage(&api, path).map(|(stage, rest)| (stage.name.as_str(), rest));
        assert_eq!(found, expected, "{path}");
    }

    #[test]
    fn named_stages_come_before_the_default_one() {
        let both = ["$default", "preview"];
        check(&both, "/tasks", Some(("$default", "/tasks")));
        check(&both, "/preview/tasks", Some(("preview", "/tasks")));
        check(&both, "/preview", Some(("preview", "/")));
        check(&both, "/preview/", Some(("preview", "/")));
        check(&both, "/previews", Some(("$default", "/previews")));
        check(&both, "/Preview/tasks", Some(("$default", "/Preview/tasks")));
        check(&both, "/$default/tasks", Some(("$default", "/$default/tasks")));
        check(&both, "/", Some(("$default", "/")));
        check(&["preview"], "/tasks", None);
        check(&["preview"], "/preview//tasks", Some(("preview", "//tasks")));
    }

    #[test]
    fn paths_are_decoded_whole() {
        assert_eq!(decode("/a%2Fb%20c/%C3%BC"), Ok("/a/b c/ü".to_owned()));
        assert_eq!(decode("/a+b"), Ok("/a+b".to_owned()));
        for malformed in ["/%", "/%2", "/%zz", "/%%41", "/%ff"] {
            assert_eq!(decode(malformed), Err(Malformed), "{malformed}");
        }
    }

    proptest! {
        #[test]
        fn what_is_encoded_decodes_to_itself(path in "\\PC{0,20}") {
            let encoded = utf8_percent_encode(&path, NON_ALPHANUMERIC).to_string();
            prop_assert_eq!(decode(&encoded), Ok(path));
        }

        #[test]
        fn any_path_is_decoded_or_malformed(path in "[/%a-f0-9]{0,12}") {
            let _ = decode(&path);
        }

        #[test]
        fn the_prefix_and_the_rest_are_the_path(first in "(preview|tasks|\\PC{0,6})", rest in "(/\\PC{0,6})?") {
            let api = api(&["$default", "preview"]);
            let path = format!("/{first}{rest}");
            let (stage, left) = stage(&api, &path).ok_or_else(|| TestCaseError::fail("no stage"))?;
            match stage.name.as_str() {
                "$default" => prop_assert_eq!(left, path.as_str()),
                name => {
                    let whole = format!("/{name}{left}");
                    let with_slash = format!("{path}/");
                    prop_assert!(whole == path || whole == with_slash, "{} of {}", whole, path);
                }
            }
        }
    }
}
