//! The id of the stack's HTTP API in models. Only AWS knows it, and only once the API exists, so a desired model carries
//! a placeholder: filled in when the model is applied, put back into what is read.

use crate::aws::client::context::Context;
use crate::aws::client::error::AwsError;
use crate::aws::kinds::apigateway;
use crate::aws::read::reader::Reader;
use crate::resource::ResourceId;

/// Stands for the API's id, alone or inside a longer text.
pub const API_ID: &str = "{{api-id}}";

/// Fills the id in. A text without the placeholder stays as it is, whether or not there is an API.
pub fn fill(context: &Context, text: &str) -> Result<String, AwsError> {
    if !text.contains(API_ID) {
        return Ok(text.to_owned());
    }
    Ok(text.replace(
        API_ID,
        &context.output(&ResourceId::new(apigateway::api::KIND, "api"), "api_id")?,
    ))
}

/// What is put back into texts that were read.
#[derive(Debug, Clone, Default)]
pub struct Mask {
    api_id: Option<String>,
}

impl Mask {
    /// For the API that exists now.
    pub async fn read(reader: &Reader) -> Result<Self, AwsError> {
        let id = reader.api().await?.map(|api| api.id().to_owned());
        Ok(Self {
            api_id: id.filter(|id| !id.is_empty()),
        })
    }

    /// Puts the placeholder in the id's place.
    pub fn apply(&self, text: &str) -> String {
        match &self.api_id {
            Some(id) => text.replace(id, API_ID),
            None => text.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_is_put_back_wherever_it_stands() {
        let mask = Mask {
            api_id: Some("a1b2c3d4e5".to_owned()),
        };
        assert_eq!(mask.apply("a1b2c3d4e5"), "{{api-id}}");
        assert_eq!(
            mask.apply("https://a1b2c3d4e5.execute-api"),
            "https://{{api-id}}.execute-api"
        );
        assert_eq!(Mask::default().apply("a1b2c3d4e5"), "a1b2c3d4e5");
    }
}
