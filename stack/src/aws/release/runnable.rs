//! Whether a release still runs: Lambda refuses versions whose role was deleted since they were published (decision 0312). A move
//! asks for that beside what it reads anyway, and does without the answer where there is none soon.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::future::try_join_all;

use super::error::MoveError;
use super::traffic_shift::{self, Seen};
use crate::aws::client::context::Context;
use crate::aws::client::error::AwsError;
use crate::aws::kinds::lambda::version;
use crate::aws::read::reader::Reader;
use crate::release::machine::Aim;
use crate::release::slots::ReleaseState;
use crate::release::transition::{Transition, VersionAlias};

/// How long IAM is waited for: users are waiting, too.
const WITHIN: Duration = Duration::from_secs(1);

/// Ids of the roles of functions, by the functions' logical names; none for a role that is gone.
type RoleIds = BTreeMap<String, Option<String>>;

/// What the aliases of a move show.
#[derive(Debug)]
pub struct Sighted {
    /// The aliases.
    pub aliases: Result<Seen, AwsError>,
    role_ids: Option<RoleIds>,
}

impl Sighted {
    /// Reads the aliases of a move, and beside them the roles of their functions.
    pub async fn read(context: &Context, aliases: &[VersionAlias], aim: Aim) -> Self {
        let seeing = async {
            match aim {
                Aim::Promote => traffic_shift::see(context, aliases).await,
                Aim::Rollback => traffic_shift::see_now(context, aliases).await,
            }
        };
        let asking = tokio::time::timeout(WITHIN, role_ids(context, aliases));
        let (aliases, role_ids) = futures::join!(seeing, asking);
        Self {
            aliases,
            role_ids: role_ids.ok().and_then(Result::ok),
        }
    }

    /// Refuses a move to a release whose functions fail where those of live do not.
    pub fn require_runnable(&self, transition: &Transition, facts: &ReleaseState) -> Result<(), MoveError> {
        let (Ok(seen), Some(role_ids)) = (&self.aliases, &self.role_ids) else {
            return Ok(());
        };
        let functions = cut_off(transition, seen, role_ids);
        match functions.is_empty() {
            true => Ok(()),
            false => Err(MoveError::cut_off(
                transition.aim,
                transition.to,
                facts.releases.get(&transition.to),
                &functions,
            )),
        }
    }
}

async fn role_ids(context: &Context, aliases: &[VersionAlias]) -> Result<RoleIds, AwsError> {
    let reader = Reader::new(context.clone());
    let names: BTreeSet<&str> = aliases.iter().map(|one| one.name.as_str()).collect();
    let asking = names.into_iter().map(|name| {
        let reader = &reader;
        async move { Ok::<_, AwsError>((name.to_owned(), version::role_id(reader, name).await?)) }
    });
    Ok(try_join_all(asking).await?.into_iter().collect())
}

/// Functions that the target has cut off and live has not: what fails in both is no worse there.
fn cut_off(transition: &Transition, seen: &Seen, role_ids: &RoleIds) -> Vec<String> {
    let is_cut_off = |name: &str, version: &str| {
        let mut aliases = transition.aliases.iter();
        let alias = aliases.find(|one| one.name == name && one.version.to_string() == version)?;
        let description = seen.descriptions.get(alias);
        let role_id = role_ids.get(name)?.as_deref();
        Some(description.is_some_and(|description| version::is_cut_off(description, role_id)))
    };
    let target = transition.versions.iter();
    target
        .filter(|(name, version)| is_cut_off(name, version) == Some(true))
        .filter(|(name, _)| {
            let live = transition.former_versions.get(*name);
            live.and_then(|version| is_cut_off(name, version)) != Some(true)
        })
        .map(|(name, _)| name.clone())
        .collect()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::aws::client::context::tests::{context_over, identity};
    use crate::aws::client::fake;
    use crate::release::transition::tests::facts;
    use crate::release::transition::{Gateway, rollback};

    /// Live serves release 2, whose function was published under the present role; release 1 is the one before.
    fn of_two_releases() -> (Transition, ReleaseState) {
        let mut facts = facts(2, 2, Some(1));
        for (number, version) in [(1, "1"), (2, "2")] {
            let label = facts.releases.get_mut(&number).unwrap();
            label.versions = BTreeMap::from([("tasks".to_owned(), version.to_owned())]);
            label.commit = Some("1a2b3c4".to_owned());
        }
        let transition = rollback(&Gateway::default(), &facts, None).unwrap().unwrap();
        (transition, facts)
    }

    /// Aliases `v1` and `v2` with these role ids.
    fn sighted(then: [&str; 2], now: Option<&str>) -> Sighted {
        let (transition, _) = of_two_releases();
        let described = transition.aliases.into_iter().map(|alias| {
            let then = if alias.version == 1 { then[0] } else { then[1] };
            (alias, format!("taskctl 0123456789abcdef role={then}"))
        });
        Sighted {
            aliases: Ok(Seen {
                descriptions: described.collect(),
                ..Seen::default()
            }),
            role_ids: Some(BTreeMap::from([("tasks".to_owned(), now.map(str::to_owned))])),
        }
    }

    #[test]
    fn a_release_whose_role_was_deleted_is_refused() {
        let (transition, facts) = of_two_releases();
        let refused = sighted(["AROA1", "AROA2"], Some("AROA2"))
            .require_runnable(&transition, &facts)
            .unwrap_err();
        insta::assert_snapshot!(format!("{refused}\n{}", refused.hint().unwrap()), @r"
        release 1 does not go live: the role of tasks was deleted since it was made, so Lambda refuses to run the versions in it, and users would get errors
        `git checkout 1a2b3c4` and `taskctl deploy` make its content a new release; `taskctl releases` lists the others
        ");
    }

    #[test]
    fn what_runs_or_fails_in_live_as_well_is_no_reason() {
        let (transition, facts) = of_two_releases();
        for (then, now) in [
            (["AROA1", "AROA1"], Some("AROA1")),
            (["AROA1", "AROA1"], Some("AROA2")),
            (["AROA1", "AROA2"], None),
        ] {
            let moved = sighted(then, now).require_runnable(&transition, &facts);
            assert!(moved.is_ok(), "{then:?} {now:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn iam_is_not_waited_for() {
        let clients = fake::clients("eu-central-1", |call| match call.service.as_str() {
            "iam" => (503, Vec::new()),
            _ => (
                200,
                br#"{"Description":"taskctl 0123456789abcdef role=AROA1"}"#.to_vec(),
            ),
        });
        let context = context_over(identity(), clients);
        let (transition, facts) = of_two_releases();
        let began = tokio::time::Instant::now();
        let sighted = Sighted::read(&context, &transition.aliases, Aim::Rollback).await;
        assert!(began.elapsed() <= WITHIN, "{:?}", began.elapsed());
        assert_eq!(sighted.aliases.as_ref().unwrap().descriptions.len(), 2);
        sighted.require_runnable(&transition, &facts).unwrap();
    }
}
