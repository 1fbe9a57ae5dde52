//! The functions' aliases `live`, which follow live: what calls a function by another way than the API's routes names them. In a
//! stack without an API they are live.

use futures::future::{join_all, try_join_all};

use super::by_hand::Place as Region;
use crate::aws::client::context::Context;
use crate::aws::client::error::AwsError;
use crate::aws::client::op::{Op, op};
use crate::aws::kinds::lambda::alias::{self, Place};
use crate::release::by_alias::SlotText;
use crate::release::slots::{Carrier, LIVE, ReleaseState, SlotVariables};
use crate::release::transition::{Follower, Gateway, Transition};

/// What the aliases say once they are there: `ahead` is which of the moves of this run it is.
pub(super) fn text(transition: &Transition, variables: SlotVariables, ahead: u64) -> String {
    let text = match transition.carrier {
        // The API says what is live.
        Carrier::Api => SlotText::default(),
        Carrier::Functions => SlotText {
            variables,
            moved: transition.moves + ahead,
        },
    };
    text.describe()
}

fn place(function: &str, version: &str, text: &str) -> Place {
    Place {
        function: function.to_owned(),
        alias: LIVE.to_owned(),
        version: version.to_owned(),
        description: text.to_owned(),
    }
}

/// Where they are once live serves the target. Beside an API those stay whose version is the same.
pub(super) fn at_target(transition: &Transition, text: &str) -> Vec<Place> {
    let moves = |one: &&Follower| transition.carrier == Carrier::Functions || one.from.as_ref() != Some(&one.to);
    let followers = transition.followers.iter().filter(moves);
    followers.map(|one| place(&one.function, &one.to, text)).collect()
}

/// Where they were.
pub(super) fn at_former(transition: &Transition, text: &str) -> Vec<Place> {
    let followers = transition.followers.iter();
    let former = followers.filter_map(|one| Some((one, one.from.as_ref()?)));
    former
        .filter(|(one, from)| transition.carrier == Carrier::Functions || one.to != **from)
        .map(|(one, from)| place(&one.function, from, text))
        .collect()
}

/// Moves aliases, all at once. Every one is tried, whatever becomes of another.
pub(super) async fn put(context: &Context, places: &[Place], call: Op) -> Result<(), AwsError> {
    let moved = join_all(places.iter().map(|place| place.put(context, call))).await;
    moved.into_iter().collect()
}

/// Command lines that move them.
pub(super) fn by_hand(context: &Context, places: &[Place]) -> Vec<String> {
    let region = Region::of(context);
    places.iter().map(|place| region.point(place)).collect()
}

/// Whether all are at the target, as AWS shows it.
pub(super) async fn are_at_target(context: &Context, transition: &Transition) -> bool {
    let looking = transition.followers.iter().map(|one| async move {
        let shown = show(context, &one.function).await;
        shown.is_ok_and(|shown| {
            shown.is_some_and(|(version, release)| version == one.to && release == Some(transition.to))
        })
    });
    join_all(looking).await.into_iter().all(|is_there| is_there)
}

/// The version that a function's alias `live` names, and the release that it says.
async fn show(context: &Context, function: &str) -> Result<Option<(String, Option<u64>)>, AwsError> {
    let alias = alias::get(context, op("lambda", "GetAlias").even_when_stopped(), function, LIVE).await?;
    Ok(alias.map(|alias| {
        let text = SlotText::parse(alias.description().unwrap_or_default()).unwrap_or_default();
        (alias.function_version.unwrap_or_default(), text.variables.release())
    }))
}

/// The aliases that are not where live is: a run ended between the moves. Where live should have them.
pub(crate) async fn late(context: &Context, gateway: &Gateway, facts: &ReleaseState) -> Result<Vec<Place>, AwsError> {
    let Some(live) = &facts.live else { return Ok(Vec::new()) };
    let label = live.release.and_then(|release| facts.releases.get(&release));
    let Some(label) = label else { return Ok(Vec::new()) };
    let text = match facts.carrier {
        Carrier::Api => SlotText::default(),
        Carrier::Functions => SlotText {
            variables: live.variables.clone(),
            moved: facts.moves,
        },
    };
    let text = text.describe();
    let called = label
        .versions
        .iter()
        .filter(|(name, _)| label.callers.contains_key(*name));
    let looking = called.map(|(name, version)| {
        let (function, text) = (gateway.physical_name(name), &text);
        async move {
            let is_late = match facts.carrier {
                Carrier::Functions => facts.late.contains(name),
                Carrier::Api => show(context, &function).await?.map(|(shown, _)| shown).as_ref() != Some(version),
            };
            Ok::<_, AwsError>(is_late.then(|| place(&function, version, text)))
        }
    });
    Ok(try_join_all(looking).await?.into_iter().flatten().collect())
}

/// Brings late aliases where live is.
pub(crate) async fn finish(context: &Context, places: &[Place]) -> Result<(), AwsError> {
    put(context, places, op("lambda", "UpdateAlias")).await
}
