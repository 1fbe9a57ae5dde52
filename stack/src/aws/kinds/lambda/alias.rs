//! The aliases `live` and `preview` of a function: what calls it by another way than the API's routes names `live`, which moves
//! with the release. In a stack without an API their descriptions say which release that is (`release::by_alias`).

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_lambda::operation::get_alias::GetAliasOutput;
use aws_sdk_lambda::types::{AliasConfiguration, AliasRoutingConfiguration};
use serde::{Deserialize, Serialize};

use crate::aws::client::context::Context;
use crate::aws::client::error::{AwsError, ErrorKind, found, gone};
use crate::aws::client::op::{Op, op};
use crate::aws::kinds::kind::{Discovered, Fields, Kind, Spec};
use crate::aws::kinds::lambda;
use crate::aws::policy::reach::Reach;
use crate::aws::read::reader::Reader;
use crate::plan::{Replacement, Rollback};
use crate::release::by_alias::{Alias, SlotText};
use crate::release::slots::{LIVE, SlotVariables};
use crate::resource::{Observed, Outputs, Ownership, ResourceId, outputs};

/// The kind.
pub struct LambdaAlias;

/// An alias that should exist.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Model {
    /// Name of the function.
    pub function: String,
    /// Name of the alias: `live` or `preview`.
    pub alias: String,
    /// The version that it names; the number expected when it was planned where `is_wanted`.
    pub version: String,
    /// Whether that is the version of the template's content, which this run may have to publish first.
    pub is_wanted: bool,
    /// Release that it serves, in a stack without an API.
    pub release: Option<u64>,
    /// The slot's variables, in a stack without an API.
    pub variables: BTreeMap<String, String>,
    /// Number of the move that brings it there, in a stack without an API.
    pub moved: u64,
    /// Shares of other versions; none, unless a canary was abandoned or somebody else set them.
    pub shares: BTreeMap<String, String>,
}

/// Name of the kind.
pub const KIND: &str = "lambda_alias";

static SPEC: Spec = Spec {
    name: KIND,
    title: "function alias",
    documentation: "https://docs.aws.amazon.com/lambda/latest/dg/configuration-aliases.html",
    read_actions: &["lambda:ListAliases"],
    write_actions: &["lambda:CreateAlias", "lambda:UpdateAlias"],
    delete_actions: &["lambda:DeleteAlias"],
    implied: &[("variables", "release"), ("moved", "release")],
    rollback: Rollback::WithRelease,
    replacement: Replacement::CreateFirst,
    replace_on: &["function", "alias"],
    usual: Duration::from_millis(400),
    reads_by_content: true,
    contained_in: Some(lambda::function::KIND),
    reach: Reach::Functions,
    release_actions: &["lambda:CreateAlias", "lambda:UpdateAlias"],
    ..Spec::of(&lambda::SERVICE)
};

/// Identity of an alias of a function.
pub fn id(function: &str, alias: &str) -> ResourceId {
    ResourceId::new(KIND, format!("{function}.{alias}"))
}

/// The logical name of the function that an alias is of.
fn function_of(id: &ResourceId) -> &str {
    id.name
        .rsplit_once('.')
        .map_or(id.name.as_str(), |(function, _)| function)
}

/// What releases need to know of an alias.
pub fn view(alias: &AliasConfiguration) -> Alias {
    Alias {
        name: alias.name().unwrap_or_default().to_owned(),
        version: alias.function_version().unwrap_or_default().to_owned(),
        description: alias.description().unwrap_or_default().to_owned(),
    }
}

#[async_trait]
impl Kind for LambdaAlias {
    type Model = Model;

    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn examples(&self) -> Vec<Model> {
        let small = Model {
            function: "shop-dev-jobs".into(),
            alias: LIVE.into(),
            version: "1".into(),
            is_wanted: false,
            release: None,
            variables: BTreeMap::new(),
            moved: 0,
            shares: BTreeMap::new(),
        };
        let full = Model {
            is_wanted: true,
            release: Some(1),
            variables: BTreeMap::from([
                ("release".to_owned(), "1".to_owned()),
                ("color".to_owned(), "blue".to_owned()),
            ]),
            moved: 1,
            ..small.clone()
        };
        vec![small, full]
    }

    async fn read(
        &self,
        reader: &Reader,
        _: &ResourceId,
        desired: &Model,
    ) -> Result<Option<Observed<Model>>, AwsError> {
        let aliases = reader.aliases(&desired.function).await?;
        let Some(alias) = aliases.iter().find(|alias| alias.name() == Some(&desired.alias)) else {
            return Ok(None);
        };
        let text = SlotText::parse(alias.description().unwrap_or_default());
        let is_ours = text.is_some();
        let SlotText { variables, moved } = text.unwrap_or_default();
        let mut model = Model {
            version: alias.function_version().unwrap_or_default().to_owned(),
            release: variables.release(),
            variables: variables.as_map().clone(),
            shares: shares(alias),
            ..desired.clone()
        };
        // Which move it was counts only where it did not come here.
        if model != *desired {
            model.moved = moved;
        }
        let mut observed = Observed::ours(model, alias_outputs(&desired.function, &desired.alias));
        if !is_ours {
            observed.ownership = Ownership::Foreign {
                found: format!(
                    "alias {} of {} was not made by taskctl",
                    desired.alias, desired.function
                ),
            };
        }
        Ok(Some(observed))
    }

    async fn enumerate(&self, _: &Reader) -> Result<Vec<Discovered>, AwsError> {
        // Former releases may need it; it goes with its function.
        Ok(Vec::new())
    }

    async fn create(&self, context: &Context, id: &ResourceId, desired: &Model) -> Result<Outputs, AwsError> {
        let place = place(context, id, desired);
        place.create(context, op("lambda", "CreateAlias").just_made()).await?;
        Ok(alias_outputs(&desired.function, &desired.alias))
    }

    async fn update(
        &self,
        context: &Context,
        id: &ResourceId,
        desired: &Model,
        _: &Observed<Model>,
        changes: &Fields,
    ) -> Result<Outputs, AwsError> {
        if desired.alias == LIVE && changes.touch_any(&["version", "variables"]) {
            context.ask_before_live().await?;
        }
        place(context, id, desired)
            .update(context, op("lambda", "UpdateAlias").just_made())
            .await?;
        Ok(alias_outputs(&desired.function, &desired.alias))
    }

    async fn delete(&self, context: &Context, _: &ResourceId, outputs: &Outputs) -> Result<(), AwsError> {
        let (Some(function), Some(alias)) = (outputs.get("function"), outputs.get("alias")) else {
            return Ok(());
        };
        delete(context, function, alias).await
    }
}

/// Deletes an alias.
pub async fn delete(context: &Context, function: &str, alias: &str) -> Result<(), AwsError> {
    let client = &context.clients().lambda;
    let _turn = context.serial(format!("lambda/{function}")).await;
    let deleted = context
        .call(op("lambda", "DeleteAlias"), || {
            client.delete_alias().function_name(function).name(alias).send()
        })
        .await;
    gone(deleted.map(drop))
}

fn place(context: &Context, id: &ResourceId, desired: &Model) -> Place {
    let text = SlotText {
        variables: SlotVariables::from_iter(desired.variables.clone()),
        moved: desired.moved,
    };
    Place {
        function: desired.function.clone(),
        alias: desired.alias.clone(),
        version: match desired.is_wanted {
            true => lambda::version::published_here(context, function_of(id), &desired.version),
            false => desired.version.clone(),
        },
        description: text.describe(),
    }
}

/// Where an alias is to stand, without shares of other versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Name of the function.
    pub function: String,
    /// Name of the alias.
    pub alias: String,
    /// The version.
    pub version: String,
    /// The description.
    pub description: String,
}

impl Place {
    /// Makes the alias; one that is there already is moved.
    pub async fn create(&self, context: &Context, call: Op) -> Result<(), AwsError> {
        let turn = context.serial(format!("lambda/{}", self.function)).await;
        let made = create(context, call, self).await;
        drop(turn);
        match made {
            Err(error) if error.kind == ErrorKind::AlreadyExists => {
                self.update(context, op("lambda", "UpdateAlias")).await
            }
            other => other,
        }
    }

    /// Moves the alias, and takes shares of other versions away.
    pub async fn update(&self, context: &Context, call: Op) -> Result<(), AwsError> {
        let _turn = context.serial(format!("lambda/{}", self.function)).await;
        let change = Change {
            function: &self.function,
            alias: &self.alias,
            version: Some(&self.version),
            description: Some(&self.description),
            shares: HashMap::new(),
        };
        change.send(context, call).await
    }

    /// Moves the alias, or makes it where the function has none yet.
    pub async fn put(&self, context: &Context, call: Op) -> Result<(), AwsError> {
        match self.update(context, call).await {
            Err(error) if error.kind == ErrorKind::NotFound => self.create(context, op("lambda", "CreateAlias")).await,
            other => other,
        }
    }
}

/// Makes an alias, in the turn of whoever asks.
pub(super) async fn create(context: &Context, call: Op, place: &Place) -> Result<(), AwsError> {
    let client = &context.clients().lambda;
    let made = context
        .call(call, || {
            client
                .create_alias()
                .function_name(&place.function)
                .name(&place.alias)
                .function_version(&place.version)
                .description(&place.description)
                .send()
        })
        .await;
    made.map(drop)
}

/// What changes of an alias; what is none stays.
pub struct Change<'a> {
    /// Name of the function.
    pub function: &'a str,
    /// Name of the alias.
    pub alias: &'a str,
    /// The version that it names.
    pub version: Option<&'a str>,
    /// Its description.
    pub description: Option<&'a str>,
    /// Shares of other versions: these and no more.
    pub shares: HashMap<String, f64>,
}

impl Change<'_> {
    /// Makes it, in the turn of whoever asks.
    pub async fn send(&self, context: &Context, call: Op) -> Result<(), AwsError> {
        let client = &context.clients().lambda;
        let routing = AliasRoutingConfiguration::builder();
        let routing = routing
            .set_additional_version_weights(Some(self.shares.clone()))
            .build();
        let changed = context
            .call(call, || {
                client
                    .update_alias()
                    .function_name(self.function)
                    .name(self.alias)
                    .set_function_version(self.version.map(str::to_owned))
                    .set_description(self.description.map(str::to_owned))
                    .routing_config(routing.clone())
                    .send()
            })
            .await;
        changed.map(drop)
    }
}

/// An alias of a function; none where it is gone.
pub async fn get(context: &Context, call: Op, function: &str, alias: &str) -> Result<Option<GetAliasOutput>, AwsError> {
    let client = &context.clients().lambda;
    let answer = context
        .call(call, || client.get_alias().function_name(function).name(alias).send())
        .await;
    found(answer)
}

fn shares(alias: &AliasConfiguration) -> BTreeMap<String, String> {
    let weights = alias
        .routing_config()
        .and_then(|routing| routing.additional_version_weights());
    let weights = weights.into_iter().flatten();
    weights
        .map(|(version, weight)| (format!("version {version}"), format!("{:.0}%", weight * 100.0)))
        .collect()
}

fn alias_outputs(function: &str, alias: &str) -> Outputs {
    outputs([("function", function.to_owned()), ("alias", alias.to_owned())])
}
