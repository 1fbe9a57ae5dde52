//! placeholder
use super::context::{Context, op};
use super::error::AwsError;
use super::kind::found;

/// All aliases of a function; none when it does not exist.
pub async fn list_aliases(context: &Context, function: &str) -> Result<Vec<aws_sdk_lambda::types::AliasConfiguration>, AwsError> {
    let client = &context.clients().lambda;
    let mut aliases = Vec::new();
    let mut marker: Option<String> = None;
    loop {
        let page = found(
            context
                .call(op("lambda", "ListAliases"), || {
                    client.list_aliases().function_name(function).set_marker(marker.clone()).send()
                })
                .await,
        )?;
        let Some(page) = page else { return Ok(Vec::new()) };
        aliases.extend(page.aliases.unwrap_or_default());
        marker = page.next_marker;
        if marker.is_none() {
            return Ok(aliases);
        }
    }
}
