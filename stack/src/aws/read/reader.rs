//! Reading what exists, in one wave. Calls that answer for many resources at once are made once per run and shared;
//! a kind asks for them as if they were its own.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::Arc;

use futures::future::try_join_all;
use tokio::sync::OnceCell;

use crate::aws::client::context::Context;
use crate::aws::client::error::AwsError;
use crate::aws::client::extensions::Extensions;
use crate::aws::client::identity::Identity;
use crate::aws::client::op::op;
use crate::aws::client::tags::{Tags, managed};
use crate::resource::Ownership;

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
pub(in crate::aws) struct Cells<K, V>(tokio::sync::Mutex<BTreeMap<K, Arc<OnceCell<V>>>>);

impl<K, V> Default for Cells<K, V> {
    fn default() -> Self {
        Self(tokio::sync::Mutex::default())
    }
}

impl<K: Ord, V: Clone> Cells<K, V> {
    /// The answer about `key`: `ask` is awaited when there is none yet.
    pub async fn get<E>(&self, key: K, ask: impl Future<Output = Result<V, E>>) -> Result<V, E> {
        let cell = Arc::clone(self.0.lock().await.entry(key).or_default());
        // On the heap: reading many things side by side would make one deep type.
        cell.get_or_try_init(|| Box::pin(ask)).await.cloned()
    }
}

/// Names that one DescribeAlarms takes.
/// <https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_DescribeAlarms.html>
const ALARM_NAMES: usize = 100;

#[derive(Default)]
struct Shared {
    tagged: OnceCell<BTreeMap<String, Tags>>,
    own_tags: Cells<String, Tags>,
    roles: OnceCell<Vec<aws_sdk_iam::types::Role>>,
    log_groups: OnceCell<Vec<aws_sdk_cloudwatchlogs::types::LogGroup>>,
    alarms: OnceCell<Vec<aws_sdk_cloudwatch::types::MetricAlarm>>,
    dashboards: OnceCell<Vec<String>>,
    rules: OnceCell<Vec<aws_sdk_eventbridge::types::Rule>>,
    /// What a kind reads once for several resources.
    extensions: Extensions,
}

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

    /// What a kind shares among its reads: one value of each type, made when it is first asked for.
    pub(in crate::aws) fn extension<T: Any + Send + Sync + Default>(&self) -> Arc<T> {
        self.shared.extensions.get()
    }

    /// Tags by ARN of everything that carries our ownership tags, as the tagging API knows it. It lags behind by
    /// seconds to minutes and also lists what is deleted: a hint, to be confirmed where it disagrees.
    /// <https://docs.aws.amazon.com/resourcegroupstagging/latest/APIReference/API_GetResources.html>
    pub async fn tagged(&self) -> Result<&BTreeMap<String, Tags>, AwsError> {
        self.shared.tagged.get_or_try_init(|| self.list_tagged()).await
    }

    async fn list_tagged(&self) -> Result<BTreeMap<String, Tags>, AwsError> {
        let context = &self.context;
        let client = &context.clients().tagging;
        let filter = |(key, value)| {
            aws_sdk_resourcegroupstagging::types::TagFilter::builder()
                .key(key)
                .values(value)
                .build()
        };
        let filters: &Vec<_> = &context.identity().tags().into_iter().map(filter).collect();
        let found = context.pages(|token| async move {
            let page = context
                .call(op("tag", "GetResources"), || {
                    client
                        .get_resources()
                        .set_tag_filters(Some(filters.clone()))
                        .resources_per_page(100)
                        .set_pagination_token(token.clone())
                        .send()
                })
                .await?;
            let found = page.resource_tag_mapping_list().iter().map(|mapping| {
                let tags = mapping.tags().iter();
                let tags = tags.map(|tag| (tag.key().to_owned(), tag.value().to_owned()));
                (
                    mapping.resource_arn().unwrap_or_default().to_owned(),
                    managed(tags.collect()),
                )
            });
            Ok((found.collect(), page.pagination_token().map(str::to_owned)))
        });
        Ok(found.await?.into_iter().collect())
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
        Ok(managed(self.shared.own_tags.get(arn.to_owned(), ask).await?))
    }

    /// Roles under the stack's path. <https://docs.aws.amazon.com/IAM/latest/APIReference/API_ListRoles.html>
    pub async fn roles(&self) -> Result<&[aws_sdk_iam::types::Role], AwsError> {
        let roles = self.shared.roles.get_or_try_init(|| self.list_roles());
        Ok(roles.await?)
    }

    async fn list_roles(&self) -> Result<Vec<aws_sdk_iam::types::Role>, AwsError> {
        let context = &self.context;
        let client = &context.clients().iam;
        let path = &context.identity().names().role_path();
        let roles = context.pages(|marker| async move {
            let page = context
                .call(op("iam", "ListRoles"), || {
                    client.list_roles().path_prefix(path).set_marker(marker.clone()).send()
                })
                .await?;
            Ok((page.roles, page.marker.filter(|_| page.is_truncated)))
        });
        roles.await
    }

    /// Names that no prefix finds, since the template gives them: those that the tagging API knows. `start` is an ARN up to its
    /// name.
    async fn given(&self, start: &str, prefixes: &[&str]) -> Result<Vec<String>, AwsError> {
        let names = self.tagged().await?.keys().filter_map(|arn| arn.strip_prefix(start));
        let given = names.filter(|name| !prefixes.iter().any(|prefix| name.starts_with(prefix)));
        Ok(given.map(str::to_owned).collect())
    }

    /// Log groups under the stack's prefixes, and those with names of the template's own.
    /// <https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_DescribeLogGroups.html>
    pub async fn log_groups(&self) -> Result<&[aws_sdk_cloudwatchlogs::types::LogGroup], AwsError> {
        let groups = self
            .shared
            .log_groups
            .get_or_try_init(|| async {
                let identity = self.context.identity();
                let [functions, access] = log_group_prefixes(identity);
                let given = async {
                    let start = identity.arn("logs", "log-group:");
                    let names = self.given(&start, &[&functions, &access]).await?;
                    try_join_all(names.into_iter().map(|name| self.log_group_named(name))).await
                };
                let (functions, access, given) = futures::try_join!(
                    self.log_groups_under(functions.clone()),
                    self.log_groups_under(access.clone()),
                    given
                )?;
                let given = given.into_iter().flatten();
                Ok::<_, AwsError>(functions.into_iter().chain(access).chain(given).collect())
            })
            .await?;
        Ok(groups)
    }

    /// A log group: of those listed, else asked for by its name, since the tagging API lags behind.
    pub async fn log_group(&self, name: &str) -> Result<Option<aws_sdk_cloudwatchlogs::types::LogGroup>, AwsError> {
        let mut listed = self.log_groups().await?.iter();
        if let Some(found) = listed.find(|group| group.log_group_name() == Some(name)) {
            return Ok(Some(found.clone()));
        }
        let prefixes = log_group_prefixes(self.context.identity());
        match prefixes.iter().any(|prefix| name.starts_with(prefix)) {
            true => Ok(None),
            false => self.log_group_named(name.to_owned()).await,
        }
    }

    /// Names are listed in order: the first that begins so is the one.
    async fn log_group_named(&self, name: String) -> Result<Option<aws_sdk_cloudwatchlogs::types::LogGroup>, AwsError> {
        let client = &self.context.clients().logs;
        let answer = self
            .context
            .call(op("logs", "DescribeLogGroups"), || {
                client
                    .describe_log_groups()
                    .log_group_name_prefix(&name)
                    .limit(1)
                    .send()
            })
            .await?;
        let mut groups = answer.log_groups.unwrap_or_default().into_iter();
        Ok(groups.find(|group| group.log_group_name() == Some(name.as_str())))
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

    /// Metric alarms under the stack's prefix, and those with names of the template's own.
    /// <https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_DescribeAlarms.html>
    pub async fn alarms(&self) -> Result<&[aws_sdk_cloudwatch::types::MetricAlarm], AwsError> {
        let alarms = self.shared.alarms.get_or_try_init(|| self.list_alarms());
        Ok(alarms.await?)
    }

    async fn list_alarms(&self) -> Result<Vec<aws_sdk_cloudwatch::types::MetricAlarm>, AwsError> {
        let context = &self.context;
        let client = &context.clients().cloudwatch;
        let prefix = &context.identity().prefix();
        let start = context.identity().arn("cloudwatch", "alarm:");
        let named = async { self.alarms_named(self.given(&start, &[prefix]).await?).await };
        let alarms = context.pages(|token| async move {
            let page = context
                .call(op("cloudwatch", "DescribeAlarms"), || {
                    client
                        .describe_alarms()
                        .alarm_name_prefix(prefix)
                        .max_records(100)
                        .set_next_token(token.clone())
                        .send()
                })
                .await?;
            Ok((page.metric_alarms.unwrap_or_default(), page.next_token))
        });
        let (mut alarms, named) = futures::try_join!(alarms, named)?;
        alarms.extend(named);
        Ok(alarms)
    }

    /// An alarm: of those listed, else asked for by its name, since the tagging API lags behind.
    pub async fn alarm(&self, name: &str) -> Result<Option<aws_sdk_cloudwatch::types::MetricAlarm>, AwsError> {
        let mut listed = self.alarms().await?.iter();
        if let Some(found) = listed.find(|alarm| alarm.alarm_name() == Some(name)) {
            return Ok(Some(found.clone()));
        }
        match name.starts_with(&self.context.identity().prefix()) {
            true => Ok(None),
            false => Ok(self.alarms_named(vec![name.to_owned()]).await?.pop()),
        }
    }

    async fn alarms_named(&self, names: Vec<String>) -> Result<Vec<aws_sdk_cloudwatch::types::MetricAlarm>, AwsError> {
        let (context, client) = (&self.context, &self.context.clients().cloudwatch);
        let some = names.chunks(ALARM_NAMES).map(|names| async move {
            let answer = context
                .call(op("cloudwatch", "DescribeAlarms"), || {
                    client
                        .describe_alarms()
                        .set_alarm_names(Some(names.to_vec()))
                        .max_records(100)
                        .send()
                })
                .await?;
            Ok::<_, AwsError>(answer.metric_alarms.unwrap_or_default())
        });
        Ok(try_join_all(some).await?.into_iter().flatten().collect())
    }

    /// Names of dashboards under the stack's prefix, in any region: dashboards belong to the account.
    /// <https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_ListDashboards.html>
    pub async fn dashboards(&self) -> Result<&[String], AwsError> {
        let names = self.shared.dashboards.get_or_try_init(|| self.list_dashboards());
        Ok(names.await?)
    }

    async fn list_dashboards(&self) -> Result<Vec<String>, AwsError> {
        let context = &self.context;
        let client = &context.clients().cloudwatch;
        let prefix = &context.identity().prefix();
        let names = context.pages(|token| async move {
            let page = context
                .call(op("cloudwatch", "ListDashboards"), || {
                    client
                        .list_dashboards()
                        .dashboard_name_prefix(prefix)
                        .set_next_token(token.clone())
                        .send()
                })
                .await?;
            let entries = page.dashboard_entries.unwrap_or_default();
            let names = entries.into_iter().filter_map(|entry| entry.dashboard_name);
            Ok((names.collect(), page.next_token))
        });
        names.await
    }

    /// EventBridge rules under the stack's prefix.
    /// <https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_ListRules.html>
    pub async fn rules(&self) -> Result<&[aws_sdk_eventbridge::types::Rule], AwsError> {
        let rules = self.shared.rules.get_or_try_init(|| self.list_rules());
        Ok(rules.await?)
    }

    async fn list_rules(&self) -> Result<Vec<aws_sdk_eventbridge::types::Rule>, AwsError> {
        let context = &self.context;
        let client = &context.clients().events;
        let prefix = &context.identity().prefix();
        let rules = context.pages(|token| async move {
            let page = context
                .call(op("events", "ListRules"), || {
                    client
                        .list_rules()
                        .name_prefix(prefix)
                        .set_next_token(token.clone())
                        .send()
                })
                .await?;
            Ok((page.rules.unwrap_or_default(), page.next_token))
        });
        rules.await
    }
}

/// How the derived names of the stack's log groups begin.
fn log_group_prefixes(identity: &Identity) -> [String; 2] {
    let names = identity.names();
    [names.function_log_group(&identity.prefix()), names.access_log_prefix()]
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
