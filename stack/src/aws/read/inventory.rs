//! Which resources of a service are ours, found without knowing what is wanted. Neither source is enough: the tagging
//! API lags behind and lists what is gone, and a listing shows names, which anyone can use.

use std::collections::BTreeSet;

use futures::future::try_join_all;

use crate::aws::client::error::AwsError;
use crate::aws::client::error::found;
use crate::aws::client::identity::Identity;
use crate::aws::client::tags::Tags;
use crate::aws::read::reader::{Reader, ownership};
use crate::resource::Ownership;

/// How resources of a service are named in ARNs: `{start}{name}`.
pub(in crate::aws) struct Naming<'a> {
    /// ARN up to the name.
    pub start: String,
    /// Of names that the regions of an account share: whether one belongs to this region.
    pub is_here: &'a (dyn Fn(&str) -> bool + Sync),
    /// What no name has: behind it an ARN names something inside a resource.
    pub inside: &'static [char],
}

impl Naming<'static> {
    /// Names of a service that keeps each region's resources apart.
    pub fn regional(start: String) -> Self {
        Self {
            start,
            is_here: &|_| true,
            inside: &['/', ':'],
        }
    }

    /// The same, of a service whose names may have any character, and whose resources have nothing inside.
    pub fn of_any_characters(start: String) -> Self {
        Self {
            inside: &[],
            ..Self::regional(start)
        }
    }
}

impl Naming<'_> {
    /// The name in an ARN: of this region, and not of something inside a resource.
    fn name<'a>(&self, arn: &'a str) -> Option<&'a str> {
        let name = arn.strip_prefix(&self.start)?;
        let is_name = !name.contains(self.inside);
        (is_name && (self.is_here)(name)).then_some(name)
    }
}

/// Names of what is ours, where nothing is in doubt: the reader knows what is wanted, and the tagging API has nothing
/// beside it. A listing, which grows with the account, is then not needed; what the tagging API has not caught up with
/// yet is wanted anyway, or is found by the next plan.
pub(in crate::aws) async fn settled(
    reader: &Reader,
    naming: &Naming<'_>,
) -> Result<Option<BTreeSet<String>>, AwsError> {
    let Some(expected) = reader.expected() else {
        return Ok(None);
    };
    let tagged = reader.tagged().await?;
    let names: BTreeSet<String> = tagged
        .keys()
        .filter_map(|arn| naming.name(arn))
        .map(str::to_owned)
        .collect();
    Ok(names.is_subset(expected).then_some(names))
}

/// Names of what is ours: at once where listing and tagging API agree; where they do not, the resource's own tags
/// decide (they are asked for, and "not found" is "no").
pub(in crate::aws) async fn ours<F>(
    reader: &Reader,
    naming: &Naming<'_>,
    listed: BTreeSet<String>,
    own_tags: impl Fn(String) -> F,
) -> Result<Vec<String>, AwsError>
where
    F: Future<Output = Result<Tags, AwsError>> + Send,
{
    let context = reader.context();
    let prefix = context.identity().prefix();
    let tagged: BTreeSet<String> = reader
        .tagged()
        .await?
        .keys()
        .filter_map(|arn| naming.name(arn))
        .map(str::to_owned)
        .collect();
    let doubtful = listed
        .iter()
        .filter(|name| name.starts_with(&prefix) && (naming.is_here)(name) && !tagged.contains(*name))
        .chain(tagged.iter().filter(|name| !listed.contains(*name)));
    let judged = doubtful.map(|name| {
        let tags = own_tags(name.clone());
        async move {
            let tags = found(tags.await)?;
            let ours = tags.is_some_and(|tags| ownership(context, &tags) == Ownership::Ours);
            Ok::<_, AwsError>(ours.then(|| name.clone()))
        }
    });
    let judged = try_join_all(judged).await?;
    let agreed = listed.intersection(&tagged).cloned();
    Ok(agreed.chain(judged.into_iter().flatten()).collect())
}

/// The logical name in a derived name; a name of its own stands for itself.
pub(in crate::aws) fn logical<'a>(identity: &Identity, name: &'a str, suffix: &str) -> &'a str {
    name.strip_prefix(&identity.prefix())
        .and_then(|rest| rest.strip_suffix(suffix))
        .unwrap_or(name)
}
