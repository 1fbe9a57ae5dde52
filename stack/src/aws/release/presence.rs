//! Whether a stage is deployed where it is looked for, and where else it is.

use std::collections::BTreeSet;
use std::fmt;

use crate::aws::client::context::Context;
use crate::aws::client::error::AwsError;
use crate::aws::kinds::apigateway;
use crate::aws::kinds::lambda;
use crate::aws::read::reader::Reader;
use crate::aws::registry;
use crate::template::is_region;

/// A stage that is not deployed where it is looked for. Every command says it with these words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct NotDeployed {
    /// Application.
    pub app: String,
    /// Stage.
    pub stage: String,
    /// Region that was looked in.
    pub region: String,
    /// Account that was looked in.
    pub account: String,
    /// Regions of the account in which it is deployed, as far as the caller may see.
    pub elsewhere: BTreeSet<String>,
}

impl fmt::Display for NotDeployed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            app,
            stage,
            region,
            account,
            elsewhere,
        } = self;
        write!(f, "{app}/{stage} is not deployed in {region} (account {account})")?;
        if !elsewhere.is_empty() {
            let regions: Vec<&str> = elsewhere.iter().map(String::as_str).collect();
            write!(f, "; it is deployed in: {}", regions.join(", "))?;
        }
        Ok(())
    }
}

impl NotDeployed {
    /// What to do.
    pub fn hint(&self) -> String {
        match self.elsewhere.first() {
            Some(region) => format!("add --region {region}, or set AWS_REGION"),
            None => "create it with `taskctl deploy`, or check --app, --stage, --region and --profile".to_owned(),
        }
    }
}

/// Whether anything of the stage exists in the region; with the API, which nearly every stack has, one call tells.
pub async fn is_deployed(context: &Context) -> Result<bool, AwsError> {
    if !apigateway::state::find(context).await?.is_empty() {
        return Ok(true);
    }
    let reader = Reader::new(context.clone());
    let functions = registry().kind(lambda::function::KIND);
    let (functions, tagged) = futures::try_join!(functions.enumerate(&reader), reader.tagged())?;
    Ok(!functions.is_empty() || tagged.keys().any(|arn| is_in_region(arn, &context.identity().region)))
}

/// Whether a tagged resource is in the region. The tagging API also lists what belongs to the account as a whole, such as roles. ARNs of
/// buckets name no region: it lists those of its own.
pub fn is_in_region(arn: &str, region: &str) -> bool {
    let mut parts = arn.split(':').skip(2);
    match (parts.next(), parts.next()) {
        (Some("s3"), _) => true,
        (_, Some(own)) => own == region,
        _ => false,
    }
}

/// Describes the absence of the stage. Roles are the one kind that one call lists for all regions: their path names app and stage,
/// and their names end with the region. Whoever may not list them gets no regions.
pub async fn not_deployed(context: &Context) -> NotDeployed {
    let identity = context.identity();
    let reader = Reader::new(context.clone());
    let roles = reader.roles().await.unwrap_or_default();
    let regions = roles.iter().filter_map(|role| region_at_end(role.role_name()));
    NotDeployed {
        app: identity.app.clone(),
        stage: identity.stage.clone(),
        region: identity.region.clone(),
        account: identity.account.clone(),
        elsewhere: regions
            .filter(|region| *region != identity.region)
            .map(str::to_owned)
            .collect(),
    }
}

/// The region that a name ends with: `eu-central-1` of `shop-prod-tasks-eu-central-1`, `us-gov-west-1`, `eu-isoe-west-1`.
fn region_at_end(name: &str) -> Option<&str> {
    let after_dashes = name.match_indices('-').map(|(place, _)| &name[place + 1..]);
    std::iter::once(name).chain(after_dashes).find(|text| is_region(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_ends_with_its_region() {
        for (name, region) in [
            ("shop-prod-tasks-eu-central-1", Some("eu-central-1")),
            ("shop-prod-tasks-us-gov-west-1", Some("us-gov-west-1")),
            ("shop-prod-tasks-eu-isoe-west-1", Some("eu-isoe-west-1")),
            ("shop-eu-west-2-ab-tasks-ap-southeast-5", Some("ap-southeast-5")),
            ("shop-prod-tasks", None),
            ("", None),
        ] {
            assert_eq!(region_at_end(name), region, "{name}");
        }
    }

    #[test]
    fn what_belongs_to_the_account_is_in_no_region() {
        for (arn, is_here) in [
            ("arn:aws:dynamodb:eu-west-1:1:table/shop-prod-tasks", true),
            ("arn:aws:dynamodb:eu-central-1:1:table/shop-prod-tasks", false),
            ("arn:aws:iam::1:role/taskctl/shop/prod/shop-prod-tasks-eu-west-1", false),
            ("arn:aws:cloudwatch::1:dashboard/shop-prod-main-eu-west-1", false),
            ("arn:aws:s3:::shop-prod-site-1-eu-west-1", true),
            ("", false),
        ] {
            assert_eq!(is_in_region(arn, "eu-west-1"), is_here, "{arn}");
        }
    }

    #[test]
    fn the_answer_names_account_and_regions() {
        let mut absent = NotDeployed {
            app: "shop".to_owned(),
            stage: "prod".to_owned(),
            region: "eu-west-1".to_owned(),
            account: "123456789012".to_owned(),
            elsewhere: BTreeSet::new(),
        };
        assert_eq!(
            (absent.to_string(), absent.hint()),
            (
                "shop/prod is not deployed in eu-west-1 (account 123456789012)".to_owned(),
                "create it with `taskctl deploy`, or check --app, --stage, --region and --profile".to_owned()
            )
        );
        absent.elsewhere = BTreeSet::from(["eu-central-1".to_owned(), "us-east-1".to_owned()]);
        assert_eq!(
            (absent.to_string(), absent.hint()),
            (
                "shop/prod is not deployed in eu-west-1 (account 123456789012); it is deployed in: eu-central-1, us-east-1"
                    .to_owned(),
                "add --region eu-central-1, or set AWS_REGION".to_owned()
            )
        );
    }
}
