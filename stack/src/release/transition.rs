//! Which way live can go: the promotion of what waits, the way back. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::grants::Refusal;
use super::label::ReleaseLabel;
use super::machine::Aim;
use super::slots::{Color, ReleaseState, SlotState, UNSET};
use crate::aws::client::context::Identity;
use crate::aws::client::error::AwsError;
use crate::aws::kinds::apigateway;
use crate::aws::kinds::apigateway::state::ApiState;
use crate::aws::release::traffic_shift::Changed;
use crate::event::Endpoints;

/// Why live did not move.
#[derive(Debug, thiserror::Error)]
pub enum MoveError {
    /// AWS refused or could not be reached.
    #[error(transparent)]
    Aws(#[from] AwsError),
    /// There is nothing here that could move.
    #[error("{0}")]
    Nothing(String),
    /// There is no release to go to.
    #[error("{message}")]
    NoTarget {
        /// What is missing.
        message: String,
        /// Releases that could be named.
        kept: BTreeSet<u64>,
    },
    /// What the release was allowed is not given back, since nothing proves it.
    #[error("{message}")]
    GrantsUnproven {
        /// Which record, and what it has.
        message: String,
        /// What to do.
        hint: String,
    },
    /// The caller may not give back what the release was allowed.
    #[error(
        "release {release} needs grants that are not in place, and this caller may not write them; live was not moved"
    )]
    GrantsDenied {
        /// The release.
        release: u64,
        /// What IAM answered.
        source: AwsError,
    },
}

impl MoveError {
    /// A release's record in the control bucket is not believed.
    pub fn grants(label: &ReleaseLabel, record: &str, refusal: Refusal) -> Self {
        let release = label.number;
        let why = match refusal.differs {
            true => {
                format!("its record {record} has other grants than the release was made with, so somebody changed it")
            }
            false => format!(
                "it was made before labels carried a hash of its grants, so nothing proves what its record {record} says, and \
                 its functions do not have all of that now"
            ),
        };
        let mut message = format!("release {release} does not go live, and nothing was granted: {why}");
        if !refusal.beyond.is_empty() {
            message.push_str("\n  what the record grants and is not in place:");
        }
        for line in &refusal.beyond {
            message.push_str("\n    ");
            message.push_str(line);
        }
        let code = label.commit.as_ref().map_or_else(
            || format!("the code and template of release {release}"),
            |commit| format!("`git checkout {}`", commit.trim_end_matches('+')),
        );
        let look = match refusal.differs {
            true => format!(
                "find out who wrote the record (`aws s3api head-object` shows when), then delete it with `aws s3 rm {record}`; "
            ),
            false => String::new(),
        };
        Self::GrantsUnproven {
            message,
            hint: format!(
                "{look}{code} and `taskctl deploy` make its content a new release with the grants of its template; \
                 `taskctl releases` lists the others"
            ),
        }
    }

    /// What to do.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Aws(error) => error.hint(),
            Self::GrantsUnproven { hint, .. } => Some(hint.clone()),
            Self::GrantsDenied { release, .. } => Some(format!(
                "a rollback to a release that was live before the last one can need the policy of `taskctl export policy --for \
                 deploy`: run `taskctl rollback --to {release}` with such credentials"
            )),
            Self::Nothing(_) => {
                Some("`taskctl deploy` makes the first release; check --stage, --region and --profile".to_owned())
            }
            Self::NoTarget { kept, .. } if kept.is_empty() => Some("`taskctl deploy` makes a release".to_owned()),
            Self::NoTarget { kept, .. } => {
                let kept: Vec<String> = kept.iter().map(u64::to_string).collect();
                Some(format!(
                    "releases that are kept: {}; name one with --to",
                    kept.join(", ")
                ))
            }
        }
    }
}

/// A transition that is possible.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transition {
    pub(crate) aim: Aim,
    pub(crate) api_id: String,
    /// Release that live serves now.
    pub from: Option<u64>,
    /// Release that it shall serve.
    pub to: u64,
    pub(crate) live: SlotState,
    pub(crate) deployment: String,
    pub(crate) color: Color,
    pub(crate) live_url: String,
    pub(crate) preview_url: String,
    pub(crate) probes: Vec<String>,
    pub(crate) unreached: BTreeSet<String>,
    /// Content of each web site, by bucket, of the target and of what live serves now.
    pub(crate) sites: BTreeMap<String, String>,
    /// Functions of live, with the target's version where that is another.
    pub(crate) changed: Vec<Changed>,
    pub(crate) former_sites: BTreeMap<String, String>,
}

impl Transition {
    /// Where the slots answer.
    pub fn endpoints(&self) -> Endpoints {
        Endpoints {
            live: Some(self.live_url.clone()),
            preview: Some(self.preview_url.clone()),
            site: None,
        }
    }
}
/// The promotion that is possible; none when nothing waits.
pub fn promotion(identity: &Identity, state: &ApiState, facts: &ReleaseState) -> Result<Option<Transition>, MoveError> {
    let (live, preview) = slots(facts)?;
    let to = preview.release.ok_or_else(|| MoveError::NoTarget {
        message: "preview serves a deployment that is no release".to_owned(),
        kept: facts.releases.keys().copied().collect(),
    })?;
    if live.release == Some(to) {
        return Ok(None);
    }
    transition(identity, Aim::Promote, state, facts, live, to).map(Some)
}

/// The rollback that is possible: to the release before, or to a kept one.
pub fn rollback(
    identity: &Identity,
    state: &ApiState,
    facts: &ReleaseState,
    to: Option<u64>,
) -> Result<Option<Transition>, MoveError> {
    let (live, _) = slots(facts)?;
    let kept: BTreeSet<u64> = facts
        .releases
        .keys()
        .copied()
        .filter(|number| Some(*number) != live.release)
        .collect();
    let previous = live.variables.get("previousRelease").and_then(|text| text.parse().ok());
    let to = match (to, previous) {
        (Some(to), _) | (None, Some(to)) => to,
        (None, None) => {
            let now = live.release.map_or_else(
                || "a deployment that is no release".to_owned(),
                |n| format!("release {n}"),
            );
            return Err(MoveError::NoTarget {
                message: format!("live serves {now}, and nothing says what was live before it"),
                kept,
            });
        }
    };
    if live.release == Some(to) {
        return Ok(None);
    }
    if !kept.contains(&to) {
        return Err(MoveError::NoTarget {
            message: format!("release {to} is not kept"),
            kept,
        });
    }
    transition(identity, Aim::Rollback, state, facts, live, to).map(Some)
}

fn slots(facts: &ReleaseState) -> Result<(&SlotState, &SlotState), MoveError> {
    match (&facts.live, &facts.preview) {
        (Some(live), Some(preview)) => Ok((live, preview)),
        _ => Err(MoveError::Nothing("the API has no live and preview yet".to_owned())),
    }
}

fn transition(
    identity: &Identity,
    aim: Aim,
    state: &ApiState,
    facts: &ReleaseState,
    live: &SlotState,
    to: u64,
) -> Result<Transition, MoveError> {
    let deployment = facts.deployments.get(&to).cloned().ok_or_else(|| MoveError::NoTarget {
        message: format!("release {to} has no deployment any more"),
        kept: facts.releases.keys().copied().collect(),
    })?;
    let urls = crate::status::endpoints(state, None);
    let (probes, unreached) = probes(state);
    let changed = changed(identity, state, facts, Some(to));
    let color = match live.variables.get("color").map(String::as_str) {
        Some("blue") => Color::Green,
        _ => Color::Blue,
    };
    Ok(Transition {
        aim,
        api_id: state.id().to_owned(),
        from: live.release,
        to,
        live: live.clone(),
        deployment,
        color,
        live_url: urls.live.unwrap_or_default(),
        preview_url: urls.preview.unwrap_or_default(),
        probes,
        unreached,
        changed,
        sites: sites(facts, Some(to)),
        former_sites: sites(facts, live.release),
    })
}

/// A function's physical name: it stands in its integration; one that has none any more has its derived name.
pub fn physical_name(identity: &Identity, state: &ApiState, logical: &str) -> String {
    let found = state
        .integrations
        .iter()
        .find(|one| apigateway::integration::name_of(one) == Some(logical));
    let uri = found.and_then(|one| one.integration_uri()).unwrap_or_default();
    let name = uri
        .split(":function:")
        .nth(1)
        .and_then(|rest| rest.split([':', '/']).next());
    name.map_or_else(|| format!("{}{logical}", identity.prefix()), str::to_owned)
}

/// The functions of live with their physical names, and what a release has instead of them.
pub(crate) fn changed(identity: &Identity, state: &ApiState, facts: &ReleaseState, to: Option<u64>) -> Vec<Changed> {
    let label = |release: Option<u64>| release.and_then(|release| facts.releases.get(&release));
    let live = label(facts.live.as_ref().and_then(|live| live.release));
    let target = label(to);
    let functions = live.into_iter().flat_map(|label| &label.versions);
    functions
        .filter_map(|(name, version)| {
            let old: u64 = version.parse().ok()?;
            let new = target.and_then(|label| label.versions.get(name)?.parse().ok());
            Some(Changed {
                name: name.clone(),
                function: physical_name(identity, state, name),
                old,
                new: new.filter(|new| *new != old),
            })
        })
        .collect()
}

fn sites(facts: &ReleaseState, release: Option<u64>) -> BTreeMap<String, String> {
    let label = release.and_then(|release| facts.releases.get(&release));
    label.map(|label| label.sites.clone()).unwrap_or_default()
}

/// Paths that reach functions and change nothing: reads of one item that cannot exist, and the health check. Which
/// functions none of them reaches.
fn probes(state: &ApiState) -> (Vec<String>, BTreeSet<String>) {
    /// No generated id looks like this one.
    const NOBODY: &str = "00000000-0000-7000-8000-000000000000";
    let mut by_target: BTreeMap<&str, Option<String>> = BTreeMap::new();
    for route in &state.routes {
        let (Some(key), Some(target)) = (route.route_key(), route.target()) else {
            continue;
        };
        let probe = match key.split_once(' ') {
            Some(("GET", path)) if path == "/health" => Some(path.to_owned()),
            Some(("GET", path)) if path.contains('{') => Some(
                path.split('/')
                    .map(|part| if part.starts_with('{') { NOBODY } else { part })
                    .collect::<Vec<_>>()
                    .join("/"),
            ),
            _ => None,
        };
        let known = by_target.entry(target).or_default();
        if let Some(probe) = probe
            && known.as_ref().is_none_or(|known| probe.len() < known.len())
        {
            *known = Some(probe);
        }
    }
    let name = |target: &str| {
        let id = target.strip_prefix("integrations/").unwrap_or(target);
        let integration = state.integrations.iter().find(|one| one.integration_id() == Some(id));
        let uri = integration.and_then(|one| one.integration_uri()).unwrap_or(id);
        uri.split(":function:")
            .nth(1)
            .and_then(|rest| rest.split([':', '/']).next())
            .unwrap_or(uri)
            .to_owned()
    };
    let unreached = by_target
        .iter()
        .filter(|(_, probe)| probe.is_none())
        .map(|(target, _)| name(target))
        .collect();
    (by_target.into_values().flatten().collect(), unreached)
}
/// Stage variables of live once it serves the target. After a rollback nothing says what was live before: a second
/// rollback must not land on what the first one left.
pub(crate) fn forward(transition: &Transition) -> BTreeMap<String, String> {
    let mut variables = BTreeMap::from([
        ("release".to_owned(), transition.to.to_string()),
        ("color".to_owned(), transition.color.as_str().to_owned()),
    ]);
    if let (Aim::Promote, Some(from)) = (transition.aim, transition.from) {
        variables.insert("previousRelease".to_owned(), from.to_string());
        variables.insert("previousDeployment".to_owned(), transition.live.deployment.clone());
    }
    for key in transition.live.variables.keys() {
        variables.entry(key.clone()).or_insert_with(|| UNSET.to_owned());
    }
    variables
}

/// Stage variables of live as they were.
pub(crate) fn back(transition: &Transition) -> BTreeMap<String, String> {
    let mut variables = transition.live.variables.clone();
    for key in forward(transition).into_keys() {
        variables.entry(key).or_insert_with(|| UNSET.to_owned());
    }
    variables
}
#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn identity() -> Identity {
        Identity {
            app: "shop".to_owned(),
            stage: "dev".to_owned(),
            region: "eu-central-1".to_owned(),
            account: "123456789012".to_owned(),
            partition: "aws".to_owned(),
        }
    }

    fn facts(live: u64, preview: u64, previous: Option<u64>) -> ReleaseState {
        let slot = |release: u64, variables: &[(&str, String)]| SlotState {
            release: Some(release),
            deployment: format!("d{release}"),
            variables: variables.iter().map(|(k, v)| ((*k).to_owned(), v.clone())).collect(),
        };
        let mut variables = vec![("release", live.to_string()), ("color", "blue".to_owned())];
        if let Some(previous) = previous {
            variables.push(("previousRelease", previous.to_string()));
            variables.push(("previousDeployment", format!("d{previous}")));
        }
        let label = |number| super::super::label::ReleaseLabel {
            number,
            fingerprint: "0".repeat(16),
            versions: BTreeMap::new(),
            commit: None,
            sites: BTreeMap::new(),
            format: 1,
            grants: None,
        };
        ReleaseState {
            releases: (1..=3).map(|number| (number, label(number))).collect(),
            deployments: (1..=3).map(|number| (number, format!("d{number}"))).collect(),
            live: Some(slot(live, &variables)),
            preview: Some(slot(preview, &[])),
            versions: BTreeMap::new(),
            diverted: BTreeMap::new(),
        }
    }

    fn state() -> ApiState {
        ApiState {
            api: aws_sdk_apigatewayv2::types::Api::builder().api_id("a1").build(),
            routes: ["GET /health", "GET /tasks", "GET /tasks/{taskId}", "GET /counter"]
                .into_iter()
                .map(|key| {
                    let target = match key {
                        "GET /health" => "integrations/h",
                        "GET /counter" => "integrations/c",
                        _ => "integrations/t",
                    };
                    aws_sdk_apigatewayv2::types::Route::builder()
                        .route_key(key)
                        .target(target)
                        .build()
                })
                .collect(),
            integrations: Vec::new(),
            stages: Vec::new(),
            deployments: Vec::new(),
            duplicates: Vec::new(),
        }
    }

    #[test]
    fn what_waits_goes_live_and_remembers_what_was() {
        let transition = promotion(&identity(), &state(), &facts(1, 2, None)).unwrap().unwrap();
        assert_eq!(
            (transition.from, transition.to, transition.deployment.as_str()),
            (Some(1), 2, "d2")
        );
        let variables = forward(&transition);
        assert_eq!(
            (variables["previousRelease"].as_str(), variables["color"].as_str()),
            ("1", "green")
        );
        assert_eq!(back(&transition)["previousRelease"], UNSET);
        assert!(
            promotion(&identity(), &state(), &facts(2, 2, Some(1)))
                .unwrap()
                .is_none()
        );
    }

    #[test]
    fn a_rollback_goes_to_what_was_live_also_while_another_waits_and_not_twice() {
        let transition = rollback(&identity(), &state(), &facts(2, 3, Some(1)), None)
            .unwrap()
            .unwrap();
        assert_eq!((transition.from, transition.to), (Some(2), 1));
        assert_eq!(forward(&transition)["previousRelease"], UNSET);
        let refused = rollback(&identity(), &state(), &facts(1, 3, None), None).unwrap_err();
        assert!(refused.hint().unwrap().contains("2, 3"), "{refused}");
        assert!(rollback(&identity(), &state(), &facts(2, 3, Some(1)), Some(9)).is_err());
    }

    #[test]
    fn functions_are_asked_by_what_changes_nothing() {
        let (paths, unreached) = probes(&state());
        assert_eq!(paths, ["/health", "/tasks/00000000-0000-7000-8000-000000000000"]);
        assert_eq!(unreached.into_iter().collect::<Vec<_>>(), ["c"]);
    }
}
