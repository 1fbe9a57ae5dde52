//! SNS: topics are the emulator's; subscriptions by mail stay unconfirmed.

mod actions;

use std::collections::BTreeMap;

use ::http::request::Parts;
use ::http::{Request, Response, StatusCode};

use super::compat::{LARGEST_BODY, edited, too_large};
use super::{Services, unreachable_emulator};
use crate::protocol::classify::Call;
use crate::protocol::emulator_client::Caller;
use crate::protocol::fault::{Style, fault};
use crate::protocol::http::{Body, collect, full};
use crate::protocol::xml::Element;

impl Services {
    pub(super) async fn call_sns(&self, call: &Call, parts: Parts, body: Body) -> Response<Body> {
        let Ok(body) = collect(body, LARGEST_BODY).await else {
            return too_large();
        };
        let parameter = |name: &str| {
            url::form_urlencoded::parse(&body)
                .find(|(key, _)| key == name)
                .map(|(_, value)| value.into_owned())
        };
        let action = parameter("Action").unwrap_or_default();
        if action == "CreateTopic" && self.has_other_tags(call, &body).await {
            let message = "Invalid parameter: Tags Reason: Topic already exists with different tags";
            return fault(
                Style::Query,
                false,
                StatusCode::BAD_REQUEST,
                "InvalidParameter",
                message,
            );
        }
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

impl Services {
    /// Whether a call makes a topic that is there, with tags that it does not have.
    async fn has_other_tags(&self, call: &Call, body: &[u8]) -> bool {
        let form: BTreeMap<String, String> = url::form_urlencoded::parse(body).into_owned().collect();
        let given = tags(&form);
        let (Some(name), false) = (form.get("Name"), given.is_empty()) else {
            return false;
        };
        let arn = format!("arn:aws:sns:{}:{}:{name}", call.region, call.account);
        let parameters = [
            ("Action", "ListTagsForResource"),
            ("Version", "2010-03-31"),
            ("ResourceArn", arn.as_str()),
        ];
        let found = self.emulator.query(&Caller::of(call), "sns", &parameters).await;
        let Some(found) = found.ok().filter(|found| found.status().is_success()) else {
            return false;
        };
        let known = Element::parse(found.body());
        let known = known.iter().flat_map(|known| known.all("member"));
        let known: BTreeMap<String, String> = known
            .filter_map(|tag| Some((tag.text_of("Key")?, tag.text_of("Value").unwrap_or_default())))
            .collect();
        known != given
    }
}

/// The tags of a form: `Tags.member.1.Key` and so on.
fn tags(form: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let pair = |(name, key): (&String, &String)| {
        let place = name.strip_prefix("Tags.")?.strip_suffix(".Key")?;
        let value = form.get(&format!("Tags.{place}.Value")).cloned();
        Some((key.clone(), value.unwrap_or_default()))
    };
    form.iter().filter_map(pair).collect()
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
    fn tags_of_a_form() {
        let form = |pairs: &[(&str, &str)]| pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
        let two = form(&[
            ("Name", "t"),
            ("Tags.member.1.Key", "a"),
            ("Tags.member.1.Value", "b"),
            ("Tags.member.2.Key", "c"),
        ]);
        assert_eq!(tags(&two), form(&[("a", "b"), ("c", "")]));
    }

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
