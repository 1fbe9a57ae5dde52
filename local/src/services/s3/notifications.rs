//! Notifications of buckets: delivered by the emulator, but functions must let the bucket invoke them.
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/how-to-enable-disable-notification-intro.html>

use ::http::request::Parts;
use ::http::{Request, Response, StatusCode};

use super::error;
use crate::ports::{FunctionAddress, FunctionSource as _};
use crate::protocol::http::{Body, collect, full};
use crate::protocol::xml::Element;
use crate::services::Services;
use crate::services::compat::{LARGEST_BODY, too_large};

impl Services {
    pub(super) async fn put_notifications(&self, bucket: &str, parts: Parts, body: Body) -> Response<Body> {
        let Ok(body) = collect(body, LARGEST_BODY).await else {
            return too_large();
        };
        let skips = parts.headers.get("x-amz-skip-destination-validation");
        let skips = skips.is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"true"));
        let source = format!("arn:aws:s3:::{bucket}");
        let may = |arn: &String| {
            FunctionAddress::parse(arn)
                .is_some_and(|address| self.functions.may_invoke(&address, "s3.amazonaws.com", &source))
        };
        let refused: Vec<String> = functions(&body).into_iter().filter(|arn| !may(arn)).collect();
        if !refused.is_empty() && !skips {
            let message = "Unable to validate the following destination configurations";
            return error(&parts.method, StatusCode::BAD_REQUEST, "InvalidArgument", message);
        }
        self.pass(Request::from_parts(parts, full(body))).await
    }
}

/// The functions of a configuration.
fn functions(body: &[u8]) -> Vec<String> {
    let configuration = Element::parse(body);
    let all = configuration
        .iter()
        .flat_map(|configuration| configuration.all("CloudFunction"));
    all.map(Element::text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_of_a_configuration() {
        let xml = b"<NotificationConfiguration><CloudFunctionConfiguration><CloudFunction>arn:f:live</CloudFunction>\
                    <Event>s3:ObjectCreated:*</Event></CloudFunctionConfiguration><QueueConfiguration><Queue>arn:q</Queue>\
                    </QueueConfiguration></NotificationConfiguration>";
        assert_eq!(functions(xml), ["arn:f:live"]);
        assert!(functions(b"").is_empty());
    }
}
