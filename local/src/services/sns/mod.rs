//! SNS: topics are the emulator's; subscriptions by mail stay unconfirmed.

mod actions;

use ::http::request::Parts;
use ::http::{Request, Response};

use super::compat::{LARGEST_BODY, edited, too_large};
use super::{Services, unreachable_emulator};
use crate::protocol::http::{Body, collect, full};
use crate::protocol::xml::Element;

impl Services {
    pub(super) async fn call_sns(&self, parts: Parts, body: Body) -> Response<Body> {
        let Ok(body) = collect(body, LARGEST_BODY).await else {
            return too_large();
        };
        let parameter = |name: &str| {
            url::form_urlencoded::parse(&body)
                .find(|(key, _)| key == name)
                .map(|(_, value)| value.into_owned())
        };
        let action = parameter("Action").unwrap_or_default();
        let by_mail = parameter("Protocol").is_some_and(|protocol| protocol.starts_with("email"));
        let asked_for_arn = parameter("ReturnSubscriptionArn").as_deref() == Some("true");
        let edit: fn(&mut Element) = match action.as_str() {
            "Subscribe" if by_mail && !asked_for_arn => |output| {
                output.set_first("SubscriptionArn", "pending confirmation");
            },
            "ListSubscriptions" | "ListSubscriptionsByTopic" => unconfirmed_mail,
            _ => return self.pass(Request::from_parts(parts, full(body))).await,
        };
        match self.emulator.call(Request::from_parts(parts, full(body))).await {
            Ok(response) => {
                let (parts, bytes) = response.into_parts();
                match Element::parse(&bytes) {
                    Some(mut output) => {
                        edit(&mut output);
                        edited(parts, output.to_xml())
                    }
                    None => edited(parts, bytes),
                }
            }
            Err(error) => unreachable_emulator(&error),
        }
    }
}

/// Confirmation mails are not sent, so such a subscription stays pending.
fn unconfirmed_mail(output: &mut Element) {
    output.change_all("member", &|member| {
        if member
            .text_of("Protocol")
            .is_some_and(|protocol| protocol.starts_with("email"))
        {
            member.set_first("SubscriptionArn", "PendingConfirmation");
        }
    });
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test ends where something is wrong")]

    use super::*;

    #[test]
    fn mail_is_never_confirmed() {
        let xml = "<Subscriptions><member><SubscriptionArn>arn:1</SubscriptionArn><Protocol>email</Protocol></member>\
                   <member><SubscriptionArn>arn:2</SubscriptionArn><Protocol>sqs</Protocol></member></Subscriptions>";
        let mut output = Element::parse(xml.as_bytes()).unwrap();
        unconfirmed_mail(&mut output);
        let mended = String::from_utf8(output.to_xml()).unwrap();
        assert!(
            mended.contains("<SubscriptionArn>PendingConfirmation</SubscriptionArn><Protocol>email"),
            "{mended}"
        );
        assert!(mended.contains("arn:2"), "{mended}");
    }
}
