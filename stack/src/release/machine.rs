//! The release machine: how live moves from one release to another. Pure: what is seen and what has happened go in, the
//! next effect comes out. A driver carries effects out; when it dies, a new machine begins from what AWS shows.
//!
//! ```text
//! promote   clearing → checking → (shifting → baking)* → switching → clearing → confirming → done
//! rollback  clearing → switching → confirming → done       a share is diverted from what the target serves, too
//!           switching → clearing → confirming → done       it is diverted from what live serves now alone
//! ```
//!
//! Whatever goes wrong before the switch ends with all traffic where it was; a promotion whose release fails after the
//! switch goes back. Weights that cannot be cleared keep nothing from happening that makes things better, and are part of
//! the end.

/// Where live moves to, as a kind of transition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Aim {
    /// Forward, to what was checked.
    Promote,
    /// Back, to a release that is kept. Nothing is checked: it was live, and what is live now is bad.
    Rollback,
}

/// Which aliases send a share of their requests elsewhere, as a transition begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Weights {
    /// None.
    Unset,
    /// Aliases that live leaves with the switch.
    OnFormer,
    /// Aliases that the target serves, too.
    OnTarget,
}

/// Where a transition is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Weights go, and are read back empty; then the next phase begins.
    Clearing(After),
    /// The release in preview is asked.
    Checking,
    /// A share of live's traffic is being diverted; index into the policy's steps.
    Shifting(usize),
    /// The share is being watched.
    Baking(usize),
    /// The one call that moves live.
    Switching,
    /// Live is asked from outside.
    Confirming,
    /// Live goes back.
    Returning(Reason),
    /// Over.
    Ended(End),
}

/// What follows clearing.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum After {
    /// The beginning of a promotion.
    Check,
    /// The beginning of a rollback.
    Switch,
    /// The switch is done.
    Confirm,
    /// It went wrong before the switch.
    Stop(Reason),
    /// It went wrong after the switch, and the weights are still where live goes back to.
    Return(Reason),
}

/// Why something went wrong, for people.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Reason {
    /// What was found.
    Unhealthy(String),
    /// The operator stopped it.
    Interrupted,
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unhealthy(text) => f.write_str(text),
            Self::Interrupted => f.write_str("stopped by the operator"),
        }
    }
}

/// How a transition ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum End {
    /// Live serves the target.
    Done,
    /// The checks failed; live was not touched.
    Refused(Reason),
    /// Live serves what it served before; nothing is diverted.
    Stopped(Reason),
    /// Live served the target and serves again what it served before.
    Returned(Reason),
    /// Live serves the target, and that was not confirmed from outside.
    Unconfirmed(Reason),
    /// A share of live's traffic may still go elsewhere: the weights could not be cleared.
    StillDiverted {
        /// Whether live serves the target.
        at_target: bool,
        /// Why, and what went wrong besides.
        why: String,
    },
}

/// What is to be done next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Take all weights off live's aliases and read them back.
    ClearWeights,
    /// Run the checks against preview.
    Check,
    /// Divert this percentage.
    Divert(u8),
    /// Watch for one period of the policy, then judge.
    Bake(usize),
    /// Move live to the target.
    Switch,
    /// Ask live from outside.
    Confirm,
    /// Move live back to where it was.
    SwitchBack,
    /// Nothing more.
    End(End),
}

/// What came of an effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It was carried out; where it judges, the judgement is good.
    Good,
    /// The judgement is bad, or it could not be carried out.
    Bad(String),
    /// There is no judgement yet: nothing is wrong, and it is not right either.
    Unsettled(String),
    /// The operator asked to stop meanwhile.
    Interrupted,
}

/// An outcome that the phase cannot have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the release machine cannot continue from {phase:?} with {outcome:?}")]
pub struct Illegal {
    /// The phase.
    pub phase: Phase,
    /// The outcome.
    pub outcome: Outcome,
}

/// One transition of live.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Machine {
    aim: Aim,
    /// Percentages, rising; empty = the switch alone.
    steps: Vec<u8>,
    phase: Phase,
    /// Whether weights may be set.
    is_diverted: bool,
    /// Why they could not be cleared.
    uncleared: Option<String>,
}

impl Machine {
    /// Begins. `weights`: what a canary that was cut off has left.
    pub fn begin(aim: Aim, steps: Vec<u8>, weights: Weights) -> Self {
        let phase = match (aim, weights) {
            (Aim::Promote, Weights::OnFormer | Weights::OnTarget) => Phase::Clearing(After::Check),
            (Aim::Promote, Weights::Unset) => Phase::Checking,
            (Aim::Rollback, Weights::OnTarget) => Phase::Clearing(After::Switch),
            // The switch alone takes live away from them.
            (Aim::Rollback, Weights::OnFormer | Weights::Unset) => Phase::Switching,
        };
        let steps = match aim {
            Aim::Promote => steps,
            Aim::Rollback => Vec::new(),
        };
        Self {
            aim,
            steps,
            phase,
            is_diverted: weights != Weights::Unset,
            uncleared: None,
        }
    }

    /// Where it is.
    pub fn phase(&self) -> &Phase {
        &self.phase
    }

    /// What is to be done in this phase.
    pub fn effect(&self) -> Effect {
        match &self.phase {
            Phase::Clearing(_) => Effect::ClearWeights,
            Phase::Checking => Effect::Check,
            Phase::Shifting(step) => Effect::Divert(self.steps.get(*step).copied().unwrap_or(0)),
            Phase::Baking(step) => Effect::Bake(*step),
            Phase::Switching => Effect::Switch,
            Phase::Confirming => Effect::Confirm,
            Phase::Returning(_) => Effect::SwitchBack,
            Phase::Ended(end) => Effect::End(end.clone()),
        }
    }

    /// The next phase, by what came of the effect.
    pub fn step(&mut self, outcome: Outcome) -> Result<(), Illegal> {
        let illegal = Illegal {
            phase: self.phase.clone(),
            outcome: outcome.clone(),
        };
        self.phase = match (self.phase.clone(), outcome) {
            // Clearing is not interrupted: it is how an interruption ends.
            (Phase::Clearing(after), Outcome::Good | Outcome::Interrupted) => {
                (self.is_diverted, self.uncleared) = (false, None);
                self.after_clearing(after)
            }
            (Phase::Clearing(after), Outcome::Bad(why)) => {
                self.uncleared = Some(why);
                match after {
                    // Nothing has begun.
                    After::Check => self.end(End::Stopped(Reason::Unhealthy(String::new()))),
                    after => self.after_clearing(after),
                }
            }
            (Phase::Checking, Outcome::Good) if self.steps.is_empty() => Phase::Switching,
            (Phase::Checking, Outcome::Good) => self.shift(0),
            (Phase::Checking, Outcome::Bad(why)) => Phase::Ended(End::Refused(Reason::Unhealthy(why))),
            (Phase::Checking, Outcome::Interrupted) => Phase::Ended(End::Stopped(Reason::Interrupted)),
            (Phase::Shifting(step), Outcome::Good) => Phase::Baking(step),
            (Phase::Shifting(_) | Phase::Baking(_), Outcome::Bad(why)) => self.stop(Reason::Unhealthy(why)),
            (Phase::Shifting(_) | Phase::Baking(_), Outcome::Interrupted) => self.stop(Reason::Interrupted),
            (Phase::Baking(step), Outcome::Good) if step + 1 < self.steps.len() => self.shift(step + 1),
            (Phase::Baking(_), Outcome::Good) => Phase::Switching,
            // Asked to stop while the call was on its way: it is done, and what follows is short.
            (Phase::Switching, Outcome::Good | Outcome::Interrupted) => match self.is_diverted {
                true => Phase::Clearing(After::Confirm),
                false => Phase::Confirming,
            },
            (Phase::Switching, Outcome::Bad(why)) => self.stop(Reason::Unhealthy(why)),
            (Phase::Confirming, Outcome::Good) => self.end(End::Done),
            (Phase::Confirming, Outcome::Bad(why)) => self.failed(Reason::Unhealthy(why)),
            (Phase::Confirming, Outcome::Unsettled(why)) => self.end(End::Unconfirmed(Reason::Unhealthy(why))),
            (Phase::Confirming, Outcome::Interrupted) => self.end(End::Unconfirmed(Reason::Interrupted)),
            (Phase::Returning(reason), Outcome::Good | Outcome::Interrupted) => self.end(End::Returned(reason)),
            (Phase::Returning(reason), Outcome::Bad(why)) => {
                let reason = Reason::Unhealthy(format!("{reason}; live could not be moved back: {why}"));
                self.end(End::Unconfirmed(reason))
            }
            (
                Phase::Clearing(_)
                | Phase::Checking
                | Phase::Shifting(_)
                | Phase::Baking(_)
                | Phase::Switching
                | Phase::Returning(_),
                Outcome::Unsettled(_),
            )
            | (Phase::Ended(_), _) => return Err(illegal),
        };
        Ok(())
    }

    fn after_clearing(&self, after: After) -> Phase {
        match after {
            After::Check => Phase::Checking,
            After::Switch => Phase::Switching,
            After::Confirm => Phase::Confirming,
            After::Stop(reason) => self.end(End::Stopped(reason)),
            After::Return(reason) => Phase::Returning(reason),
        }
    }

    fn shift(&mut self, step: usize) -> Phase {
        self.is_diverted = true;
        Phase::Shifting(step)
    }

    /// Live stays where it is, without weights.
    fn stop(&self, reason: Reason) -> Phase {
        match self.is_diverted {
            true => Phase::Clearing(After::Stop(reason)),
            false => self.end(End::Stopped(reason)),
        }
    }

    /// The target fails after the switch. A rollback stays: what was live before it is bad, too.
    fn failed(&self, reason: Reason) -> Phase {
        match (self.aim, self.is_diverted) {
            (Aim::Rollback, _) => self.end(End::Unconfirmed(reason)),
            (Aim::Promote, true) => Phase::Clearing(After::Return(reason)),
            (Aim::Promote, false) => Phase::Returning(reason),
        }
    }

    /// The end; where weights could not be cleared, that is the news.
    fn end(&self, end: End) -> Phase {
        let Some(left) = &self.uncleared else {
            return Phase::Ended(end);
        };
        let (at_target, besides) = match end {
            End::Done => (true, None),
            End::Unconfirmed(reason) => (true, Some(reason)),
            End::Refused(reason) | End::Stopped(reason) | End::Returned(reason) => (false, Some(reason)),
            End::StillDiverted { .. } => return Phase::Ended(end),
        };
        let besides = besides.map(|reason| reason.to_string()).filter(|text| !text.is_empty());
        let why = std::iter::once(left.clone())
            .chain(besides)
            .collect::<Vec<_>>()
            .join("; ");
        Phase::Ended(End::StillDiverted { at_target, why })
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::collections::HashSet;

    use super::*;

    /// What AWS would show, as far as the machine touches it.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
    struct World {
        at_target: bool,
        diverted: bool,
    }

    /// A machine at work: what it did since it began.
    #[derive(Debug, Clone, PartialEq, Eq, Hash)]
    struct State {
        world: World,
        /// Where the weights are that were found.
        found: Weights,
        machine: Machine,
        checked: bool,
        bad: bool,
    }

    fn begin(aim: Aim, steps: &[u8], world: World, found: Weights) -> State {
        // Where live serves the target there is nothing to move: the next run aims at another release.
        let world = World {
            at_target: false,
            ..world
        };
        let found = if world.diverted { found } else { Weights::Unset };
        State {
            world,
            found,
            machine: Machine::begin(aim, steps.to_vec(), found),
            checked: false,
            bad: false,
        }
    }

    /// Carries the effect out in the world, checking what must never be.
    fn apply(aim: Aim, state: &State, outcome: &Outcome) -> World {
        let mut world = state.world;
        let tried_to_clear = state.machine.uncleared.is_some();
        let is_done = !matches!(outcome, Outcome::Bad(_));
        match state.machine.effect() {
            Effect::ClearWeights => world.diverted &= !is_done,
            Effect::Divert(percent) => {
                assert!(
                    percent > 0 && state.checked && !state.bad && !world.at_target,
                    "{state:?}"
                );
                world.diverted = true;
            }
            Effect::Switch => {
                assert!(!state.bad, "{state:?}");
                match aim {
                    Aim::Promote => assert!(state.checked, "not checked: {state:?}"),
                    Aim::Rollback => assert!(
                        !world.diverted || state.found == Weights::OnFormer || tried_to_clear,
                        "lands on weights: {state:?}"
                    ),
                }
                world.at_target = is_done;
            }
            Effect::SwitchBack => {
                assert!((!world.diverted || tried_to_clear) && state.bad, "{state:?}");
                world.at_target = !is_done;
            }
            Effect::Check | Effect::Bake(_) | Effect::Confirm | Effect::End(_) => {}
        }
        world
    }

    fn outcomes(effect: &Effect) -> Vec<Outcome> {
        let mut all = vec![Outcome::Good, Outcome::Bad("bad".to_owned()), Outcome::Interrupted];
        if *effect == Effect::Confirm {
            all.push(Outcome::Unsettled("slow".to_owned()));
        }
        all
    }

    fn check_end(aim: Aim, state: &State, end: &End) {
        let says_so = matches!(end, End::StillDiverted { .. });
        assert_eq!(
            state.world.diverted, says_so,
            "traffic is diverted at the end: {state:?}"
        );
        let at_target = match end {
            End::Done | End::Unconfirmed(_) => true,
            End::Refused(_) | End::Stopped(_) | End::Returned(_) => false,
            End::StillDiverted { at_target, .. } => *at_target,
        };
        assert_eq!(state.world.at_target, at_target, "{aim:?} {state:?}");
    }

    const FOUND: [Weights; 2] = [Weights::OnFormer, Weights::OnTarget];

    /// Every reachable state: all outcomes, with death before and after every effect and a new run of either aim afterwards.
    #[test]
    fn every_reachable_state_keeps_its_word() {
        let mut seen = HashSet::new();
        let policies: [&[u8]; 3] = [&[], &[10], &[10, 40, 70]];
        let mut open: Vec<(Aim, &[u8], State)> = Vec::new();
        let runs = |steps, world| {
            let aims = [Aim::Promote, Aim::Rollback].into_iter();
            aims.flat_map(move |aim| FOUND.map(|found| (aim, steps, begin(aim, steps, world, found))))
        };
        for steps in policies {
            for at_target in [false, true] {
                for diverted in [false, true] {
                    open.extend(runs(steps, World { at_target, diverted }));
                }
            }
        }
        while let Some((aim, steps, state)) = open.pop() {
            if !seen.insert((aim, steps, state.clone())) {
                continue;
            }
            let effect = state.machine.effect();
            if let Effect::End(end) = &effect {
                check_end(aim, &state, end);
                assert!(state.machine.clone().step(Outcome::Good).is_err());
                continue;
            }
            let sends_back = matches!(effect, Effect::ClearWeights | Effect::SwitchBack);
            assert!(
                !state.bad || sends_back,
                "unhealthy, and something else comes first: {state:?}"
            );
            // Death before the effect; the next run may want either.
            open.extend(runs(steps, state.world));
            for outcome in outcomes(&effect) {
                let after = apply(aim, &state, &outcome);
                // Death after it.
                open.extend(runs(steps, after));
                let mut next = State {
                    world: after,
                    ..state.clone()
                };
                next.checked |= effect == Effect::Check && outcome == Outcome::Good;
                next.machine.step(outcome.clone()).unwrap();
                next.bad |= matches!(outcome, Outcome::Bad(_)) && effect != Effect::ClearWeights;
                open.push((aim, steps, next));
            }
        }
        assert!(seen.len() > 100, "{} states", seen.len());
    }

    /// Whatever was left behind, a run in which all goes well arrives.
    #[test]
    fn a_run_in_which_all_goes_well_arrives() {
        for aim in [Aim::Promote, Aim::Rollback] {
            for (at_target, diverted, found) in [false, true]
                .into_iter()
                .flat_map(|at| [false, true].map(|diverted| (at, diverted)))
                .flat_map(|(at, diverted)| FOUND.map(|found| (at, diverted, found)))
            {
                let mut state = begin(aim, &[10, 50], World { at_target, diverted }, found);
                for _ in 0..12 {
                    let effect = state.machine.effect();
                    if let Effect::End(end) = effect {
                        assert_eq!(end, End::Done);
                        break;
                    }
                    let checked = State {
                        checked: true,
                        ..state.clone()
                    };
                    state.world = apply(aim, &checked, &Outcome::Good);
                    state.machine.step(Outcome::Good).unwrap();
                }
                assert!(matches!(state.machine.phase(), Phase::Ended(End::Done)));
                assert!(state.world.at_target && !state.world.diverted);
            }
        }
    }

    /// The effects of a run whose outcomes are given, and its end.
    fn played(aim: Aim, steps: &[u8], weights: Weights, outcomes: &[Outcome]) -> (Vec<Effect>, End) {
        let mut machine = Machine::begin(aim, steps.to_vec(), weights);
        let mut effects = Vec::new();
        for outcome in outcomes {
            effects.push(machine.effect());
            machine.step(outcome.clone()).unwrap();
        }
        match machine.effect() {
            Effect::End(end) => (effects, end),
            other => panic!("not at its end: {other:?}"),
        }
    }

    #[test]
    fn a_rollback_switches_before_it_clears_what_live_leaves() {
        let good = || Outcome::Good;
        let (effects, end) = played(Aim::Rollback, &[], Weights::OnFormer, &[good(), good(), good()]);
        assert_eq!(effects, [Effect::Switch, Effect::ClearWeights, Effect::Confirm]);
        assert_eq!(end, End::Done);
        // What cannot be cleared does not keep live on the bad release; it is tried once more, and said.
        let bad = || Outcome::Bad("weights are STILL set".to_owned());
        let (effects, end) = played(Aim::Rollback, &[], Weights::OnTarget, &[bad(), good(), bad(), good()]);
        assert_eq!(
            effects,
            [
                Effect::ClearWeights,
                Effect::Switch,
                Effect::ClearWeights,
                Effect::Confirm
            ]
        );
        let why = "weights are STILL set".to_owned();
        assert_eq!(end, End::StillDiverted { at_target: true, why });
    }

    #[test]
    fn a_switch_that_fails_after_a_canary_clears_the_weights() {
        let outcomes = [
            Outcome::Good,
            Outcome::Good,
            Outcome::Good,
            Outcome::Bad("UpdateStage failed".to_owned()),
            Outcome::Good,
        ];
        let (effects, end) = played(Aim::Promote, &[10], Weights::Unset, &outcomes);
        assert_eq!(effects[3..], [Effect::Switch, Effect::ClearWeights]);
        assert_eq!(end, End::Stopped(Reason::Unhealthy("UpdateStage failed".to_owned())));
    }

    #[test]
    fn a_promotion_that_is_only_slow_to_show_does_not_go_back() {
        let outcomes = [
            Outcome::Good,
            Outcome::Good,
            Outcome::Unsettled("release 1 still answers".to_owned()),
        ];
        let (_, end) = played(Aim::Promote, &[], Weights::Unset, &outcomes);
        assert_eq!(
            end,
            End::Unconfirmed(Reason::Unhealthy("release 1 still answers".to_owned()))
        );
    }

    #[test]
    fn an_impossible_outcome_is_an_error() {
        let mut machine = Machine::begin(Aim::Rollback, Vec::new(), Weights::Unset);
        let refused = machine.step(Outcome::Unsettled("?".to_owned())).unwrap_err();
        assert_eq!(refused.phase, Phase::Switching);
    }
}
