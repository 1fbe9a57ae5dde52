//! While a release goes live: its checks, its canary, the switch.

use std::time::Duration;

use taskctl_stack::event::Evidence;

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

    pub(super) fn checked(&mut self, requests: usize, assertions: usize) {
        let large = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        let message = format!(
            "{}, {}",
            count(large(requests), "request"),
            count(large(assertions), "assertion")
        );
        self.labelled("preview passed:", Tone::Good, &message);
    }

    pub(super) fn diverted(&mut self, release: u64, percent: u8, functions: &[String]) {
        let message = format!("release {release} receives {percent}% of {}", functions.join(", "));
        self.labelled("canary:", Tone::Good, &message);
    }

    /// How the release does beside live, while it has a share: on a terminal in place, elsewhere a line each time.
    pub(super) fn baking(&mut self, percent: u8, time: (u64, u64), new: (u64, u64), live: (u64, u64)) {
        let (millis, of_millis) = time;
        let did = |(requests, errors)| format!("{}, {}", count(requests, "request"), count(errors, "error"));
        let counts = format!("new: {}; live: {}", did(new), did(live));
        match self.live() {
            Some(live) => live.baking(percent, Duration::from_millis(millis), of_millis, &counts),
            // At the beginning there is nothing to count.
            None if millis < 500 => {}
            None => {
                let time = format!("{} of {}", duration(millis), duration(of_millis));
                self.labelled("canary:", Tone::Faint, &format!("{percent}%, {time}; {counts}"));
            }
        }
    }

    pub(super) fn judged(&mut self, release: u64, requests: u64, errors: u64) {
        if let Some(live) = self.live() {
            live.baked();
        }
        let message = format!(
            "release {release}, {}, {}",
            count(requests, "request"),
            count(errors, "error")
        );
        self.labelled("canary passed:", Tone::Good, &message);
    }

    pub(super) fn confirmed(&mut self, release: u64, requests: u32, tail_millis: u64, by: Evidence) {
        let tail = match tail_millis {
            0 => String::new(),
            millis => format!(
                ", last response of another release {} after the switch",
                duration(millis)
            ),
        };
        let requests = count(u64::from(requests), "request");
        match by {
            Evidence::Answers => {
                let message = format!("live serves release {release} ({requests}{tail})");
                self.labelled("confirmed:", Tone::Good, &message);
            }
            Evidence::Status => {
                let message = format!(
                    "live serves release {release} ({requests} answered; the functions do not name their release)"
                );
                self.labelled("confirmed by status:", Tone::Good, &message);
            }
        }
    }
}

fn instead_of(previous: Option<u64>) -> String {
    previous
        .map(|number| format!(" (previously release {number})"))
        .unwrap_or_default()
}
