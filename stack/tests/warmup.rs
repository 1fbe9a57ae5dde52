//! The warm-up rule's event is a ping to the shipped handlers, not a request that they would refuse, log and count.

use std::collections::BTreeMap;

use taskctl_handlers::runtime::Event;
use taskctl_stack::aws::client::identity::Identity;
use taskctl_stack::compile::{self, Inputs};
use taskctl_stack::release::slots::{GoLive, ReleaseState};
use taskctl_stack::template::{Options, Source, embedded, load};

#[test]
fn the_compiled_event_is_a_ping_to_every_shipped_handler() {
    let template = embedded("platform").expect("a shipped template");
    let source = Source::new("platform", format!("{template}\nwarmup: {{every: 5m}}\n"));
    let options = Options {
        region: Some("eu-central-1".into()),
    };
    let stack = load(&source, "dev", &options).expect("it is valid").stack;
    let identity = Identity {
        app: stack.app.clone(),
        stage: stack.stage.clone(),
        region: stack.region.clone(),
        account: "123456789012".into(),
        partition: "aws".into(),
    };
    let inputs = Inputs {
        stack: &stack,
        identity: &identity,
        packages: &BTreeMap::new(),
        website_url: &|bucket| format!("http://{bucket}.example"),
        commit: None,
        go_live: GoLive::AtOnce,
        sites: &BTreeMap::new(),
    };
    let (resources, _) = compile::released(&inputs, &ReleaseState::default());
    let mut pinged = Vec::new();
    for rule in resources.iter().filter(|one| one.id.kind == "warmup_rule") {
        let targets = rule.desired["targets"].as_object().expect("targets by function");
        for (function, target) in targets {
            let input = target["input"].as_str().expect("an event of its own");
            assert!(
                matches!(Event::read("r", input), Event::Ping),
                "{function} gets {input}"
            );
            pinged.push(function.as_str());
        }
    }
    pinged.sort_unstable();
    assert_eq!(pinged, stack.functions.keys().map(String::as_str).collect::<Vec<_>>());
}
