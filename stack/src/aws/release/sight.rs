//! Where live is, read in as few round trips as can be: what people wait for in a bad minute.

use std::collections::BTreeMap;

use aws_sdk_apigatewayv2::types::Api;

use super::error::MoveError;
use super::presence::{is_deployed, not_deployed};
use super::{gateway, release_state};
use crate::aws::client::context::Context;
use crate::aws::client::error::{AwsError, ErrorKind};
use crate::aws::kinds::apigateway::state::{self, ApiState};
use crate::aws::read::reader::Reader;
use crate::release::label::ReleaseLabel;
use crate::release::slots::{ReleaseState, SlotState};
use crate::release::transition::{Gateway, TransitionError};

/// APIs with the stage's tags, looked for while AWS says who the caller is.
#[derive(Debug, Clone, Default)]
pub struct Found(Vec<Api>);

impl Found {
    /// Looks for them.
    pub(crate) async fn look(context: &Context) -> Result<Self, AwsError> {
        state::find(context).await.map(Self)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The account and the partition that the API's functions are in: for a caller that STS does not answer.
    pub(crate) async fn account(&self, context: &Context) -> Result<Option<(String, String)>, AwsError> {
        for api in &self.0 {
            let integrations = state::integrations(context, api.api_id().unwrap_or_default()).await?;
            let mut uris = integrations.iter().filter_map(|one| one.integration_uri());
            if let Some(found) = uris.find_map(account_of) {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }
}

/// Account and partition in the ARN of a function.
fn account_of(uri: &str) -> Option<(String, String)> {
    let (before, _) = uri.split_once(":function:")?;
    let arn = &before[before.rfind("arn:")?..];
    let mut parts = arn.split(':').skip(1);
    let (partition, account) = (parts.next()?, parts.nth(2)?);
    let is_account = account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit());
    is_account.then(|| (account.to_owned(), partition.to_owned()))
}

/// Where live is.
#[derive(Debug, Clone)]
pub struct Sight {
    /// The API, as releases see it.
    pub gateway: Gateway,
    /// What AWS has of releases.
    pub facts: ReleaseState,
}

impl Sight {
    /// Reads it anew.
    pub async fn read(context: &Context) -> Result<Self, MoveError> {
        match Self::read_with(&Reader::new(context.clone())).await? {
            Some(sight) => sight.readable(),
            None => Err(match is_deployed(context).await? {
                true => TransitionError::Nothing("the stack has no functions, and so no releases".to_owned()).into(),
                false => not_deployed(context).await.into(),
            }),
        }
    }

    /// What a reader sees, whoever wrote it; none where there is neither an API nor a function.
    pub async fn read_with(reader: &Reader) -> Result<Option<Self>, AwsError> {
        if let Some(state) = reader.api().await? {
            return Ok(Some(Self::in_api(reader.context(), &state)));
        }
        let (facts, functions) = release_state::of_functions(reader).await?;
        let gateway = Gateway {
            functions,
            prefix: reader.context().identity().prefix(),
            ..Gateway::default()
        };
        Ok((!gateway.functions.is_empty()).then_some(Self { gateway, facts }))
    }

    fn in_api(context: &Context, state: &ApiState) -> Self {
        Self {
            facts: release_state::of(state, BTreeMap::new()),
            gateway: gateway::of(context.identity(), state),
        }
    }

    /// The label of the release in a slot.
    pub fn label(&self, slot: Option<&SlotState>) -> Option<&ReleaseLabel> {
        self.facts.releases.get(&slot?.release?)
    }

    fn readable(self) -> Result<Self, MoveError> {
        release_state::readable(&self.facts)?;
        Ok(self)
    }

    /// Reads it of the API that was found: one round trip.
    pub async fn of(context: &Context, found: &Found) -> Result<Self, MoveError> {
        match ApiState::read_found(context, found.0.clone()).await {
            Ok(Some(state)) => Self::in_api(context, &state).readable(),
            Ok(None) => Self::read(context).await,
            // It was made anew meanwhile.
            Err(error) if error.kind == ErrorKind::NotFound => Self::read(context).await,
            Err(error) => Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_names_its_account() {
        let in_path = "arn:aws-us-gov:apigateway:us-gov-west-1:lambda:path/2015-03-31/functions/\
                       arn:aws-us-gov:lambda:us-gov-west-1:123456789012:function:shop-dev-a:v1/invocations";
        for (uri, found) in [
            (
                "arn:aws:lambda:eu-west-1:123456789012:function:shop-dev-a:v1",
                Some(("123456789012", "aws")),
            ),
            (in_path, Some(("123456789012", "aws-us-gov"))),
            ("arn:aws:lambda:eu-west-1:x:function:a", None),
            ("https://example.com/:function:", None),
            ("", None),
        ] {
            let read = account_of(uri);
            let read = read
                .as_ref()
                .map(|(account, partition)| (account.as_str(), partition.as_str()));
            assert_eq!(read, found, "{uri}");
        }
    }
}
