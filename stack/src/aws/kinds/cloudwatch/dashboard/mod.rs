//! CloudWatch dashboard. What is on it stands in `compile::dashboard`; here it is kept, compared by meaning, and
//! written whole. Dashboards belong to the account, not to a region, so their names carry the region.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use async_trait::async_trait;
use futures::future::try_join_all;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::aws::client::context::Context;
use crate::aws::client::error::AwsError;
use crate::aws::client::error::{found, gone};
use crate::aws::client::identity::Identity;
use crate::aws::client::op::op;
use crate::aws::client::tags::Tags;
use crate::aws::kinds::cloudwatch;
use crate::aws::kinds::kind::{Discovered, Fields, Kind, Spec};
use crate::aws::kinds::placeholder;
use crate::aws::kinds::placeholder::Mask;
use crate::aws::policy::reach::Reach;
use crate::aws::read::inventory::{Naming, logical, ours};
use crate::aws::read::reader::{Reader, ownership};
use crate::plan::{Replacement, Rollback};
use crate::resource::{Observed, Outputs, Ownership, ResourceId, outputs};

/// The kind.
pub struct CloudwatchDashboard;

/// Settings of a dashboard.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Model {
    /// Name, 1–255 characters of `[A-Za-z0-9_-]`.
    pub name: String,
    /// What it shows. The API's id is [`placeholder::API_ID`].
    pub body: Body,
    /// Tags.
    pub tags: BTreeMap<String, String>,
}

/// What a dashboard shows.
/// <https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/CloudWatch-Dashboard-Body-Structure.html>
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Body {
    /// Widgets by their place in the list, `000`, `001`, …, so that a difference names the widget.
    pub widgets: BTreeMap<String, Value>,
    /// Everything beside the widgets: `start`, `periodOverride`, …
    pub settings: Map<String, Value>,
}

/// Name of the kind.
pub const KIND: &str = "cloudwatch_dashboard";

static SPEC: Spec = Spec {
    name: KIND,
    title: "dashboard",
    documentation: "https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutDashboard.html",
    read_actions: &[
        "cloudwatch:ListDashboards",
        "cloudwatch:GetDashboard",
        "cloudwatch:ListTagsForResource",
        "tag:GetResources",
        "apigateway:GET",
    ],
    write_actions: &[
        "cloudwatch:PutDashboard",
        "cloudwatch:TagResource",
        "cloudwatch:UntagResource",
    ],
    delete_actions: &["cloudwatch:DeleteDashboards"],
    rollback: Rollback::Immediate,
    replacement: Replacement::CreateFirst,
    replace_on: &["name"],
    usual: Duration::from_millis(300),
    reach: Reach::Dashboards,
    reaches: &[("cloudwatch:ListDashboards", Reach::Account)],
    ..Spec::of(&cloudwatch::SERVICE)
};

impl Body {
    /// A body of these widgets, in order.
    pub fn new(widgets: impl IntoIterator<Item = Value>, settings: Map<String, Value>) -> Self {
        let widgets = widgets
            .into_iter()
            .enumerate()
            .map(|(place, widget)| (format!("{place:03}"), widget));
        Self {
            widgets: widgets.collect(),
            settings,
        }
    }

    /// Reads a body. Text that is none becomes a setting, to be seen and replaced.
    pub fn parse(text: &str) -> Self {
        match serde_json::from_str(text) {
            Ok(Value::Object(mut settings)) => match settings.remove("widgets") {
                Some(Value::Array(widgets)) => Self::new(widgets, settings),
                Some(_) | None => Self::new([], settings),
            },
            Ok(_) | Err(_) => Self::new([], Map::from_iter([("text".to_owned(), json!(text))])),
        }
    }

    /// The body as CloudWatch takes it.
    pub fn to_json(&self) -> String {
        let Self { widgets, settings } = self;
        let mut body = settings.clone();
        body.insert("widgets".to_owned(), widgets.values().cloned().collect());
        Value::Object(body).to_string()
    }
}

/// A dashboard's ARN, which names no region.
pub fn arn(context: &Context, name: &str) -> String {
    let identity = context.identity();
    format!(
        "arn:{}:cloudwatch::{}:dashboard/{name}",
        identity.partition, identity.account
    )
}

#[async_trait]
impl Kind for CloudwatchDashboard {
    type Model = Model;

    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn examples(&self) -> Vec<Model> {
        let text =
            json!({"type": "text", "x": 0, "y": 0, "width": 24, "height": 2, "properties": {"markdown": "# shop"}});
        let metric = json!({
            "type": "metric", "x": 0, "y": 2, "width": 12, "height": 6,
            "properties": {
                "title": "Errors", "region": "us-east-1", "view": "timeSeries", "stat": "Sum", "period": 60,
                "metrics": [["AWS/Lambda", "Errors", "FunctionName", "shop-dev-tasks"]],
            },
        });
        let small = Model {
            name: "shop-dev-overview-us-east-1".into(),
            body: Body::new([text.clone()], Map::new()),
            tags: BTreeMap::new(),
        };
        let full = Model {
            name: "shop-dev-operations-us-east-1".into(),
            body: Body::new(
                [text, metric],
                Map::from_iter([("periodOverride".to_owned(), json!("inherit"))]),
            ),
            tags: BTreeMap::from([("app".to_owned(), "shop".to_owned())]),
        };
        vec![small, full]
    }

    async fn read(
        &self,
        reader: &Reader,
        _: &ResourceId,
        desired: &Model,
    ) -> Result<Option<Observed<Model>>, AwsError> {
        let context = reader.context();
        // A name that the template gives is in no listing: whether there is one, its body tells.
        let is_derived = desired.name.starts_with(&context.identity().prefix());
        if is_derived && !reader.dashboards().await?.contains(&desired.name) {
            return Ok(None);
        }
        let arn = arn(context, &desired.name);
        let tags = reader.tags(&arn, &desired.tags, async || read_tags(context, &arn).await);
        let (body, mask, tags) = futures::try_join!(read_body(context, &desired.name), Mask::read(reader), tags)?;
        let Some(text) = body else {
            return Ok(None);
        };
        let body = Body::parse(&mask.apply(&text));
        let elsewhere = shown_elsewhere(context.identity(), &desired.name, &text);
        let model = Model {
            name: desired.name.clone(),
            body,
            tags: tags.clone(),
        };
        let mut observed = Observed::ours(model, dashboard_outputs(context, &desired.name));
        observed.ownership = match elsewhere {
            Some(found) => Ownership::Foreign { found },
            None => ownership(context, &tags),
        };
        Ok(Some(observed))
    }

    /// Dashboards of all regions are listed. A derived name ends in its region; of a name that the template gives, what the
    /// dashboard shows says whose it is.
    async fn enumerate(&self, reader: &Reader) -> Result<Vec<Discovered>, AwsError> {
        let context = reader.context();
        let start = arn(context, "");
        let (dashboards, tagged) = futures::try_join!(reader.dashboards(), reader.tagged())?;
        let given = tagged
            .keys()
            .filter_map(|arn| arn.strip_prefix(&start))
            .filter(|name| !is_of_region(context.identity(), name));
        let judged = given.map(|name| async move {
            let body = read_body(context, name).await?;
            let is_here = body.is_some_and(|body| shows(&body).contains(&context.identity().region));
            Ok::<_, AwsError>(is_here.then(|| name.to_owned()))
        });
        let given: BTreeSet<String> = try_join_all(judged).await?.into_iter().flatten().collect();
        let is_here = |name: &str| is_of_region(context.identity(), name) || given.contains(name);
        let listed = dashboards.iter().filter(|name| is_here(name)).cloned().collect();
        let own_tags = |name: String| async move {
            let arn = arn(context, &name);
            reader.own_tags(&arn, read_tags(context, &arn)).await
        };
        let naming = Naming {
            start,
            is_here: &is_here,
            inside: &['/', ':'],
        };
        let names = ours(reader, &naming, listed, own_tags).await?;
        let suffix = suffix(context.identity());
        let found = names.iter().map(|name| Discovered {
            id: ResourceId::new(SPEC.name, logical(context.identity(), name, &suffix)),
            outputs: dashboard_outputs(context, name),
        });
        Ok(found.collect())
    }

    async fn create(&self, context: &Context, _: &ResourceId, desired: &Model) -> Result<Outputs, AwsError> {
        put(context, desired).await?;
        Ok(dashboard_outputs(context, &desired.name))
    }

    async fn update(
        &self,
        context: &Context,
        _: &ResourceId,
        desired: &Model,
        observed: &Observed<Model>,
        changes: &Fields,
    ) -> Result<Outputs, AwsError> {
        if changes.touch("body") {
            put(context, desired).await?;
        }
        if changes.touch("tags") {
            cloudwatch::tags::change(
                context,
                &arn(context, &desired.name),
                &observed.model.tags,
                &desired.tags,
            )
            .await?;
        }
        Ok(dashboard_outputs(context, &desired.name))
    }

    async fn delete(&self, context: &Context, _: &ResourceId, outputs: &Outputs) -> Result<(), AwsError> {
        let Some(name) = outputs.get("name") else { return Ok(()) };
        let client = &context.clients().cloudwatch;
        let deleted = context
            .call(op("cloudwatch", "DeleteDashboards"), || {
                client.delete_dashboards().dashboard_names(name).send()
            })
            .await;
        gone(deleted.map(drop))
    }
}

/// The end of derived names, which tells regions apart.
fn suffix(identity: &Identity) -> String {
    format!("-{}", identity.region)
}

/// Whether a name is derived, for this region.
fn is_of_region(identity: &Identity, name: &str) -> bool {
    name.starts_with(&identity.prefix()) && name.ends_with(&suffix(identity))
}

/// The regions of the metrics on a dashboard.
fn shows(body: &str) -> BTreeSet<String> {
    let widgets = Body::parse(body).widgets.into_values();
    let regions = widgets.filter_map(|widget| Some(widget["properties"]["region"].as_str()?.to_owned()));
    regions.collect()
}

/// Says so when a dashboard shows other regions alone: it is theirs. A derived name needs no such proof.
fn shown_elsewhere(identity: &Identity, name: &str, body: &str) -> Option<String> {
    let regions = shows(body);
    let is_here = is_of_region(identity, name) || regions.is_empty() || regions.contains(&identity.region);
    (!is_here).then(|| {
        let regions: Vec<String> = regions.into_iter().collect();
        format!("it shows {}", regions.join(", "))
    })
}

async fn read_body(context: &Context, name: &str) -> Result<Option<String>, AwsError> {
    let client = &context.clients().cloudwatch;
    let answer = context
        .call(op("cloudwatch", "GetDashboard"), || {
            client.get_dashboard().dashboard_name(name).send()
        })
        .await;
    Ok(found(answer)?.and_then(|answer| answer.dashboard_body))
}

/// Writes the whole dashboard. Tags count on creation only.
async fn put(context: &Context, desired: &Model) -> Result<(), AwsError> {
    let Model { name, body, tags } = desired;
    let client = &context.clients().cloudwatch;
    let body = placeholder::fill(context, &body.to_json())?;
    let tags = cloudwatch::tags::build(tags);
    context
        .call(op("cloudwatch", "PutDashboard"), || {
            client
                .put_dashboard()
                .dashboard_name(name)
                .dashboard_body(&body)
                .set_tags((!tags.is_empty()).then(|| tags.clone()))
                .send()
        })
        .await
        .map(drop)
}

/// Tags of a dashboard that exists. Where dashboards cannot have any (they are the newest of CloudWatch's taggable
/// things) its ARN is not found: then its name alone says whose it is.
async fn read_tags(context: &Context, arn: &str) -> Result<Tags, AwsError> {
    Ok(found(cloudwatch::tags::read(context, arn).await)?.unwrap_or_else(|| context.identity().tags()))
}

fn dashboard_outputs(context: &Context, name: &str) -> Outputs {
    outputs([("name", name.to_owned()), ("arn", arn(context, name))])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_read_as_it_was_written() {
        for model in CloudwatchDashboard.examples() {
            assert_eq!(Body::parse(&model.body.to_json()), model.body);
        }
    }

    #[test]
    fn a_dashboard_belongs_to_the_region_of_its_name_or_of_what_it_shows() {
        let identity = |region: &str| Identity {
            app: "shop".into(),
            stage: "dev".into(),
            region: region.into(),
            account: "123456789012".into(),
            partition: "aws".into(),
        };
        let body = |region: &str| {
            let widget = json!({"type": "metric", "properties": {"region": region, "metrics": []}});
            Body::new([widget], Map::new()).to_json()
        };
        let check = |region: &str, name: &str, shown: &str, expected: Option<&str>| {
            let found = shown_elsewhere(&identity(region), name, &body(shown));
            assert_eq!(found.as_deref(), expected, "{name} of {shown} in {region}");
        };
        check("eu-west-1", "operations", "eu-central-1", Some("it shows eu-central-1"));
        check("eu-west-1", "operations", "eu-west-1", None);
        check("eu-west-1", "shop-dev-overview-eu-west-1", "eu-central-1", None);
        assert!(!is_of_region(&identity("eu-west-1"), "shop-dev-overview-eu-central-1"));
        assert!(!is_of_region(&identity("eu-west-1"), "cart-dev-overview-eu-west-1"));
        assert!(is_of_region(&identity("eu-west-1"), "shop-dev-overview-eu-west-1"));
    }

    #[test]
    fn text_that_is_no_body_is_kept_to_be_seen() {
        assert_eq!(Body::parse("hello").settings.get("text"), Some(&json!("hello")));
    }
}
