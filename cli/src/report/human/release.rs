//! While a release goes live: its checks, its canary, the switch.

use super::Human;
use crate::ui::style::Tone;
use crate::ui::text::{count, duration};

impl Human {
    pub(super) fn promoted(&mut self, release: u64, color: &str, previous: Option<u64>) {
        let message = format!("release {release}, {color}{}", instead_of(previous));
        self.labelled("live:", Tone::Good, &message);
    }

    pub(super) fn rolled_back(&mut self, release: u64, color: &str, from: Option<u64>) {
        let message = format!("rolled back to release {release}, {color}{}", instead_of(from));
        self.labelled("live:", Tone::Good, &message);
    }

    pub(super) fn checked(&mut self, release: u64, requests: usize, assertions: usize) {
        let large = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        let message = format!(
            "release {release} passed its checks in preview ({}, {})",
            count(large(requests), "request"),
            count(large(assertions), "assertion")
        );
        self.labelled("checked:", Tone::Good, &message);
    }

    pub(super) fn diverted(&mut self, release: u64, percent: u8, functions: &[String]) {
        let message = format!("release {release} receives {percent}% of {}", functions.join(", "));
        self.labelled("canary:", Tone::Good, &message);
    }

    pub(super) fn judged(&mut self, release: u64, requests: u64, errors: u64) {
        let message = format!(
            "release {release} performs as well as the previous release: {}, {}",
            count(requests, "request"),
            count(errors, "error")
        );
        self.labelled("judged:", Tone::Good, &message);
    }

    pub(super) fn confirmed(&mut self, release: u64, requests: u32, tail_millis: u64) {
        let tail = match tail_millis {
            0 => String::new(),
            millis => format!(
                ", last response of another release {} after the switch",
                duration(millis)
            ),
        };
        let requests = count(u64::from(requests), "request");
        let message = format!("live serves release {release} ({requests}{tail})");
        self.labelled("confirmed:", Tone::Good, &message);
    }
}

fn instead_of(previous: Option<u64>) -> String {
    previous
        .map(|number| format!(" (previously release {number})"))
        .unwrap_or_default()
}
