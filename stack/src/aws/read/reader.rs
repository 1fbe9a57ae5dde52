//! Reading what exists, in one wave. Calls that answer for many resources at once are made once per run and shared;
//! a kind asks for them as if they were its own.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt, stream};
use tokio::sync::OnceCell;

use crate::aws::client::context::{Context, op};
use crate::aws::client::error::AwsError;
use crate::aws::kinds::apigateway::state::ApiState;
use crate::aws::kinds::lambda::permission::Statements;
use crate::aws::kinds::site::objects::Objects;
use crate::resource::Ownership;

/// Tags of a resource.
pub type Tags = BTreeMap<String, String>;

/// What a reader is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Finding out what exists: what no listing shows does not, and nothing more is asked about it.
    Planning,
    /// Reading again what AWS has just said exists: where listings lag behind, the resource itself is asked for.
    Confirming,
}

/// Shared reads of one run.
#[derive(Clone)]
pub struct Reader {
    context: Context,
    purpose: Purpose,
    expected: Option<Arc<BTreeSet<String>>>,
    shared: Arc<Shared>,
}

/// Answers of one call each, by what was asked about.
type Cells<K, V> = tokio::sync::Mutex<BTreeMap<K, Arc<OnceCell<V>>>>;

#[derive(Default)]
struct Shared {
    tagged: OnceCell<BTreeMap<String, Tags>>,
    own_tags: Cells<String, Tags>,
    roles: OnceCell<Vec<aws_sdk_iam::types::Role>>,
    log_groups: OnceCell<Vec<aws_sdk_cloudwatchlogs::types::LogGroup>>,
    alarms: OnceCell<Vec<aws_sdk_cloudwatch::types::MetricAlarm>>,
    dashboards: OnceCell<Vec<String>>,
    rules: OnceCell<Vec<aws_sdk_eventbridge::types::Rule>>,
    api: OnceCell<Option<ApiState>>,
    aliases: Cells<String, Vec<aws_sdk_lambda::types::AliasConfiguration>>,
    policies: Cells<(String, Option<String>), Option<Statements>>,
    objects: Cells<String, Option<Objects>>,
}

/// Upper bound of pages followed in one listing, against an endless token.
const MAX_PAGES: usize = 1_000;

impl Reader {
    /// A reader that has read nothing yet.
    pub fn new(context: Context) -> Self {
        Self {
            context,
            purpose: Purpose::Planning,
            expected: None,
            shared: Arc::default(),
        }
    }

    /// A reader for what AWS has just said exists (a create that answered "already exists").
    pub fn confirming(context: Context) -> Self {
        Self {
            context,
            purpose: Purpose::Confirming,
            expected: None,
            shared: Arc::default(),
        }
    }

    /// Knows the physical names of everything that is wanted, and so what would be an orphan.
    pub fn expecting(mut self, names: BTreeSet<String>) -> Self {
        self.expected = Some(Arc::new(names));
        self
    }

    /// Physical names of everything that is wanted, where that is known.
    pub fn expected(&self) -> Option<&BTreeSet<String>> {
        self.expected.as_deref()
    }

    /// What it is for.
    pub fn purpose(&self) -> Purpose {
        self.purpose
    }

    /// The context.
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// Tags by ARN of everything that carries our ownership tags, as the tagging API knows it. It lags behind by
    /// seconds to minutes and also lists what is deleted: a hint, to be confirmed where it disagrees.
    /// <https://docs.aws.amazon.com/resourcegroupstagging/latest/APIReference/API_GetResources.html>
    pub async fn tagged(&self) -> Result<&BTreeMap<String, Tags>, AwsError> {
        self.shared
            .tagged
            .get_or_try_init(|| async {
                let client = &self.context.clients().tagging;
                let filters: Vec<_> = self
                    .context
                    .identity()
                    .tags()
                    .into_iter()
                    .map(|(key, value)| {
                        aws_sdk_resourcegroupstagging::types::TagFilter::builder()
                            .key(key)
                            .values(value)
                            .build()
                    })
                    .collect();
                let mut found = BTreeMap::new();
                let mut token: Option<String> = None;
                for _ in 0..MAX_PAGES {
                    let page = self
                        .context
                        .call(op("tag", "GetResources"), || {
                            client
                                .get_resources()
                                .set_tag_filters(Some(filters.clone()))
                                .resources_per_page(100)
                                .set_pagination_token(token.clone())
                                .send()
                        })
                        .await?;
                    for mapping in page.resource_tag_mapping_list() {
                        let tags = mapping
                            .tags()
                            .iter()
                            .map(|tag| (tag.key().to_owned(), tag.value().to_owned()))
                            .collect();
                        found.insert(mapping.resource_arn().unwrap_or_default().to_owned(), managed(tags));
                    }
                    token = page
                        .pagination_token()
                        .filter(|token| !token.is_empty())
                        .map(str::to_owned);
                    if token.is_none() {
                        break;
                    }
                }
                Ok(found)
            })
            .await
    }

    /// Tags of one resource: what the tagging API says when that is what is wanted, else what the service itself says.
    pub async fn tags(
        &self,
        arn: &str,
        desired: &Tags,
        confirm: impl AsyncFnOnce() -> Result<Tags, AwsError>,
    ) -> Result<Tags, AwsError> {
        match self.tagged().await?.get(arn) {
            Some(tags) if tags == desired => Ok(tags.clone()),
            Some(_) | None => self.own_tags(arn, confirm()).await,
        }
    }

    /// Tags of one resource as its service tells them, asked for once a run.
    pub async fn own_tags(
        &self,
        arn: &str,
        ask: impl Future<Output = Result<Tags, AwsError>>,
    ) -> Result<Tags, AwsError> {
        let cell = Arc::clone(self.shared.own_tags.lock().await.entry(arn.to_owned()).or_default());
        let tags = cell.get_or_try_init(|| ask).await?;
        Ok(managed(tags.clone()))
    }

    /// Roles under the stack's path. <https://docs.aws.amazon.com/IAM/latest/APIReference/API_ListRoles.html>
    pub async fn roles(&self) -> Result<&[aws_sdk_iam::types::Role], AwsError> {
        let roles = self
            .shared
            .roles
            .get_or_try_init(|| async {
                let client = &self.context.clients().iam;
                let path = role_path(&self.context);
                let mut roles = Vec::new();
                let mut marker: Option<String> = None;
                for _ in 0..MAX_PAGES {
                    let page = self
                        .context
                        .call(op("iam", "ListRoles"), || {
                            client.list_roles().path_prefix(&path).set_marker(marker.clone()).send()
                        })
                        .await?;
                    roles.extend(page.roles);
                    marker = page.marker.filter(|_| page.is_truncated);
                    if marker.is_none() {
                        break;
                    }
                }
                Ok(roles)
            })
            .await?;
        Ok(roles)
    }

    /// Log groups under the stack's prefixes.
    /// <https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_DescribeLogGroups.html>
    pub async fn log_groups(&self) -> Result<&[aws_sdk_cloudwatchlogs::types::LogGroup], AwsError> {
        let groups = self
            .shared
            .log_groups
            .get_or_try_init(|| async {
                let prefixes = [
                    format!("/aws/lambda/{}", self.context.identity().prefix()),
                    crate::aws::kinds::logs::group::access_log_prefix(self.context.identity()),
                ];
                let found: Vec<Vec<_>> = stream::iter(prefixes)
                    .map(|prefix| self.log_groups_under(prefix))
                    .buffered(2)
                    .try_collect()
                    .await?;
                Ok::<_, AwsError>(found.into_iter().flatten().collect())
            })
            .await?;
        Ok(groups)
    }

    async fn log_groups_under(&self, prefix: String) -> Result<Vec<aws_sdk_cloudwatchlogs::types::LogGroup>, AwsError> {
        let client = &self.context.clients().logs;
        let (context, prefix) = (&self.context, &prefix);
        let groups = context.pages(|token| async move {
            let page = context
                .call(op("logs", "DescribeLogGroups"), || {
                    client
                        .describe_log_groups()
                        .log_group_name_prefix(prefix)
                        .set_next_token(token.clone())
                        .send()
                })
                .await?;
            Ok((page.log_groups.unwrap_or_default(), page.next_token))
        });
        groups.await
    }

    /// Metric alarms under the stack's prefix.
    /// <https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_DescribeAlarms.html>
    pub async fn alarms(&self) -> Result<&[aws_sdk_cloudwatch::types::MetricAlarm], AwsError> {
        let alarms = self
            .shared
            .alarms
            .get_or_try_init(|| async {
                let client = &self.context.clients().cloudwatch;
                let prefix = self.context.identity().prefix();
                let mut alarms = Vec::new();
                let mut token: Option<String> = None;
                for _ in 0..MAX_PAGES {
                    let page = self
                        .context
                        .call(op("cloudwatch", "DescribeAlarms"), || {
                            client
                                .describe_alarms()
                                .alarm_name_prefix(&prefix)
                                .max_records(100)
                                .set_next_token(token.clone())
                                .send()
                        })
                        .await?;
                    alarms.extend(page.metric_alarms.unwrap_or_default());
                    token = page.next_token;
                    if token.is_none() {
                        break;
                    }
                }
                Ok::<_, AwsError>(alarms)
            })
            .await?;
        Ok(alarms)
    }

    /// Names of dashboards under the stack's prefix.
    /// <https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_ListDashboards.html>
    pub async fn dashboards(&self) -> Result<&[String], AwsError> {
        let names = self
            .shared
            .dashboards
            .get_or_try_init(|| async {
                let client = &self.context.clients().cloudwatch;
                let prefix = self.context.identity().prefix();
                let page = self
                    .context
                    .call(op("cloudwatch", "ListDashboards"), || {
                        client.list_dashboards().dashboard_name_prefix(&prefix).send()
                    })
                    .await?;
                let entries = page.dashboard_entries.unwrap_or_default();
                Ok::<_, AwsError>(entries.into_iter().filter_map(|entry| entry.dashboard_name).collect())
            })
            .await?;
        Ok(names)
    }

    /// EventBridge rules under the stack's prefix.
    /// <https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_ListRules.html>
    pub async fn rules(&self) -> Result<&[aws_sdk_eventbridge::types::Rule], AwsError> {
        let rules = self
            .shared
            .rules
            .get_or_try_init(|| async {
                let client = &self.context.clients().events;
                let prefix = self.context.identity().prefix();
                let page = self
                    .context
                    .call(op("events", "ListRules"), || {
                        client.list_rules().name_prefix(&prefix).send()
                    })
                    .await?;
                Ok::<_, AwsError>(page.rules.unwrap_or_default())
            })
            .await?;
        Ok(rules)
    }

    /// The stack's HTTP API with everything in it.
    pub async fn api(&self) -> Result<Option<&ApiState>, AwsError> {
        let state = self
            .shared
            .api
            .get_or_try_init(|| ApiState::read(&self.context))
            .await?;
        Ok(state.as_ref())
    }

    /// Aliases of a function; none when the function does not exist.
    /// <https://docs.aws.amazon.com/lambda/latest/api/API_ListAliases.html>
    pub async fn aliases(&self, function: &str) -> Result<Vec<aws_sdk_lambda::types::AliasConfiguration>, AwsError> {
        let cell = Arc::clone(self.shared.aliases.lock().await.entry(function.to_owned()).or_default());
        let aliases = cell
            .get_or_try_init(|| crate::aws::kinds::lambda::version::list_aliases(&self.context, function))
            .await?;
        Ok(aliases.clone())
    }

    /// What a web site's bucket has; none when there is no such bucket.
    pub(in crate::aws) async fn objects(&self, bucket: &str) -> Result<Option<Objects>, AwsError> {
        let cell = Arc::clone(self.shared.objects.lock().await.entry(bucket.to_owned()).or_default());
        let objects = cell
            .get_or_try_init(|| crate::aws::kinds::site::objects::list(&self.context, bucket))
            .await?;
        Ok(objects.clone())
    }

    /// Who may call an alias, or the function itself; none = nobody beside the account.
    pub(in crate::aws) async fn policy(
        &self,
        function: &str,
        alias: Option<&str>,
    ) -> Result<Option<Statements>, AwsError> {
        let key = (function.to_owned(), alias.map(str::to_owned));
        let cell = Arc::clone(self.shared.policies.lock().await.entry(key).or_default());
        let policy = cell
            .get_or_try_init(|| crate::aws::kinds::lambda::permission::read_policy(&self.context, function, alias))
            .await?;
        Ok(policy.clone())
    }
}

/// The path of the stack's roles.
pub(in crate::aws) fn role_path(context: &Context) -> String {
    let identity = context.identity();
    format!("/taskctl/{}/{}/", identity.app, identity.stage)
}

/// Tags without those that AWS sets itself.
pub fn managed(mut tags: Tags) -> Tags {
    tags.retain(|key, _| !key.starts_with("aws:"));
    tags
}

/// Whether tags say that a resource is this stack's.
pub fn ownership(context: &Context, tags: &Tags) -> Ownership {
    let ours = context.identity().tags();
    if ours.iter().all(|(key, value)| tags.get(key) == Some(value)) {
        return Ownership::Ours;
    }
    let found = if tags.is_empty() {
        "it has no tags".to_owned()
    } else {
        let listed: Vec<String> = ours
            .keys()
            .map(|key| format!("{key}={}", tags.get(key).map_or("–", String::as_str)))
            .collect();
        format!("its tags are {}", listed.join(", "))
    };
    Ownership::Foreign { found }
}
