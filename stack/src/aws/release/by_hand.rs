//! What cannot wait for taskctl, as command lines of the AWS CLI that anyone with credentials can run.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::followers;
use super::sight::Sight;
use crate::aws::client::context::Context;
use crate::aws::kinds::apigateway::stage::{LIVE, stage_of};
use crate::aws::kinds::lambda;
use crate::release::slots::Carrier;
use crate::release::transition::{self, Transition, VersionAlias, forward};

/// What can be done without taskctl.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ByHand {
    /// Release that live goes back to.
    pub release: u64,
    /// Moves live there.
    pub rollback: String,
    /// Take back the shares of a canary: one for each alias that may divert.
    pub end_canary: Vec<String>,
    /// Shows what live serves.
    pub show: String,
}

/// What can be done by hand; none where there is no release to go back to.
pub fn of(context: &Context, sight: &Sight) -> Option<ByHand> {
    let transition = transition::rollback(&sight.gateway, &sight.facts, None)
        .ok()
        .flatten()?;
    let place = Place::of(context);
    let text = followers::text(&transition, forward(&transition), 1);
    let aliases = followers::at_target(&transition, &text);
    let stage = (transition.carrier == Carrier::Api).then(|| place.switch(&transition));
    let moves: Vec<String> = stage
        .into_iter()
        .chain(aliases.iter().map(|alias| place.point(alias)))
        .collect();
    Some(ByHand {
        release: transition.to,
        rollback: moves.join(" && "),
        end_canary: transition.aliases.iter().map(|alias| place.clear(alias)).collect(),
        show: match (transition.carrier, transition.followers.first()) {
            (Carrier::Functions, Some(one)) => place.show_alias(&one.function),
            _ => place.show(&transition.api_id),
        },
    })
}

/// Where the command lines work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place(String);

impl Place {
    pub(super) fn of(context: &Context) -> Self {
        let endpoint = context.clients().endpoint_url.as_ref();
        let endpoint = endpoint.map(|url| format!(" --endpoint-url {url}")).unwrap_or_default();
        Self(format!("--region {}{endpoint}", context.identity().region))
    }

    fn switch(&self, transition: &Transition) -> String {
        let variables = serde_json::to_string(forward(transition).as_map()).unwrap_or_default();
        format!(
            "aws apigatewayv2 update-stage {} --api-id {} --stage-name '{}' --deployment-id {} --stage-variables '{variables}'",
            self.0,
            transition.api_id,
            stage_of(LIVE),
            transition.deployment
        )
    }

    /// Takes the weights of an alias away.
    pub(super) fn clear(&self, alias: &VersionAlias) -> String {
        format!(
            "aws lambda update-alias {} --function-name {} --name {} --routing-config AdditionalVersionWeights={{}}",
            self.0,
            alias.function,
            alias.alias()
        )
    }

    fn show_alias(&self, function: &str) -> String {
        format!(
            "aws lambda get-alias {} --function-name {function} --name {}",
            self.0, LIVE
        )
    }

    /// Moves an alias.
    pub(super) fn point(&self, place: &lambda::alias::Place) -> String {
        format!(
            "aws lambda update-alias {} --function-name {} --name {} --function-version {} --description '{}' --routing-config \
             AdditionalVersionWeights={{}}",
            self.0, place.function, place.alias, place.version, place.description
        )
    }

    fn show(&self, api: &str) -> String {
        format!(
            "aws apigatewayv2 get-stage {} --api-id {api} --stage-name '{}'",
            self.0,
            stage_of(LIVE)
        )
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::release::transition::tests::facts;
    use crate::release::transition::{Gateway, rollback};

    #[test]
    fn live_goes_back_with_one_line() {
        let gateway = Gateway {
            api_id: "a1b2".to_owned(),
            ..Gateway::default()
        };
        let transition = rollback(&gateway, &facts(2, 2, Some(1)), None).unwrap().unwrap();
        let place = Place("--region eu-west-1".to_owned());
        assert_eq!(
            place.switch(&transition),
            "aws apigatewayv2 update-stage --region eu-west-1 --api-id a1b2 --stage-name '$default' --deployment-id d1 \
             --stage-variables '{\"color\":\"green\",\"previousDeployment\":\"-\",\"previousRelease\":\"-\",\"release\":\"1\"}'"
        );
        assert_eq!(
            place.show("a1b2"),
            "aws apigatewayv2 get-stage --region eu-west-1 --api-id a1b2 --stage-name '$default'"
        );
    }
}
