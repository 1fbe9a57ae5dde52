//! An AWS call by name: how long it may take, whether it may be repeated, whether it needs the lease.

use std::time::Duration;

/// A call to be made: its names, and whether repeating it can do harm.
#[derive(Debug, Clone, Copy)]
pub struct Op {
    pub(super) service: &'static str,
    pub(super) name: &'static str,
    pub(super) repeat: Repeat,
    /// How long one attempt may take.
    pub(super) limit: Duration,
    /// How long the lease must last when it begins.
    pub(super) guarded: Duration,
    pub(super) missing: Missing,
    pub(super) guard: Guard,
    /// How long it is repeated while nothing can be reached, where that is shorter than for other calls.
    pub(super) reached_within: Option<Duration>,
    /// How long it is repeated while the service fails, where that is shorter than for other calls.
    pub(super) well_within: Option<Duration>,
}

/// Whether a call needs the lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Guard {
    Lease,
    /// It brings back order: a stop does not keep it from being made.
    LeaseAlone,
    /// It is about the lease itself, or about its book-keeping.
    None,
}

/// Whether a call may be repeated when nobody knows if it was processed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Repeat {
    Safe,
    /// It would make a second one: see `Context::call_once`.
    Never,
}

/// What "not found" means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Missing {
    /// An answer.
    Answer,
    /// It was made a moment ago and is not known everywhere yet.
    NotYet,
}

/// A call that may be repeated.
pub const fn op(service: &'static str, name: &'static str) -> Op {
    Op {
        service,
        name,
        repeat: Repeat::Safe,
        limit: Duration::from_secs(30),
        guarded: Duration::from_secs(30),
        missing: Missing::Answer,
        guard: Guard::Lease,
        reached_within: None,
        well_within: None,
    }
}

impl Op {
    /// A call that is not repeated after an unknown outcome.
    pub const fn once(mut self) -> Self {
        self.repeat = Repeat::Never;
        self
    }

    /// The first call of a command: where there is no network it says so soon.
    pub const fn first(mut self) -> Self {
        self.reached_within = Some(Duration::from_secs(5));
        self
    }

    /// A call that something urgent can do without: a service that fails is not waited for.
    pub const fn dispensable(mut self) -> Self {
        self.reached_within = Some(Duration::from_secs(3));
        self.well_within = self.reached_within;
        self.limit = Duration::from_secs(5);
        self
    }

    /// A call that carries a package. It may take as long as a lease surely lasts between two renewals.
    pub const fn upload(mut self) -> Self {
        self.limit = Duration::from_secs(40);
        self.guarded = self.limit;
        self
    }

    /// A call that waits for a function's answer. It may take longer than a lease lasts without being renewed: it writes nothing
    /// of the stage's.
    pub const fn answering_within(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// A call that is made although the operator has asked to stop: it ends something half done.
    pub const fn even_when_stopped(mut self) -> Self {
        self.guard = Guard::LeaseAlone;
        self
    }

    /// A call that is made with or without the lease.
    pub const fn unguarded(mut self) -> Self {
        self.guard = Guard::None;
        self
    }

    /// "Not found" means "not yet": what the call is about was made a moment ago.
    pub const fn just_made(mut self) -> Self {
        self.missing = Missing::NotYet;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A function may take 15 minutes, a lease lasts one.
    #[test]
    fn a_function_is_waited_for_as_long_as_it_may_take() {
        let op = op("lambda", "Invoke").answering_within(Duration::from_secs(920));
        assert_eq!((op.limit.as_secs(), op.guarded.as_secs()), (920, 30));
    }
}
