//! The release machine: how live moves from one release to another. Pure: what is seen and what has happened go in, the
//! next effect comes out. A driver carries effects out; when it dies, a new machine begins from what AWS shows.
//!
//! ```text
//! promote   clearing → checking → (shifting → baking)* → switching → clearing → confirming → done
//! rollback  clearing → switching → confirming → done
//! ```
//!
//! Whatever goes wrong before the switch ends with all traffic where it was; a promotion that cannot be confirmed after
//! the switch goes back.

/// Where live moves to, as a kind of transition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Aim {
    /// Forward, to what was checked.
    Promote,
    /// Back, to a release that is kept. Nothing is checked: it was live, and what is live now is bad.
    Rollback,
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
    /// The judgement is bad.
    Bad(String),
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
}

impl Machine {
    /// Begins. `is_diverted`: a share of live's traffic is diverted, by a canary that was cut off.
    pub fn begin(aim: Aim, steps: Vec<u8>, is_diverted: bool) -> Self {
        let phase = match (aim, is_diverted) {
            (Aim::Promote, true) => Phase::Clearing(After::Check),
            (Aim::Promote, false) => Phase::Checking,
            (Aim::Rollback, true) => Phase::Clearing(After::Switch),
            (Aim::Rollback, false) => Phase::Switching,
        };
        let steps = match aim {
            Aim::Promote => steps,
            Aim::Rollback => Vec::new(),
        };
        Self { aim, steps, phase }
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
        let after_the_switch = if self.steps.is_empty() {
            Phase::Confirming
        } else {
            Phase::Clearing(After::Confirm)
        };
        self.phase = match (&self.phase, outcome) {
            // Clearing is not interrupted: it is how an interruption ends.
            (Phase::Clearing(after), Outcome::Good | Outcome::Interrupted) => match after {
                After::Check => Phase::Checking,
                After::Switch => Phase::Switching,
                After::Confirm => Phase::Confirming,
                After::Stop(reason) => Phase::Ended(End::Stopped(reason.clone())),
            },
            (Phase::Checking, Outcome::Good) => match self.steps.first() {
                Some(_) => Phase::Shifting(0),
                None => Phase::Switching,
            },
            (Phase::Checking, Outcome::Bad(why)) => Phase::Ended(End::Refused(Reason::Unhealthy(why))),
            (Phase::Checking, Outcome::Interrupted) => Phase::Ended(End::Stopped(Reason::Interrupted)),
            (Phase::Shifting(step), Outcome::Good) => Phase::Baking(*step),
            (Phase::Shifting(_) | Phase::Baking(_), Outcome::Bad(why)) => {
                Phase::Clearing(After::Stop(Reason::Unhealthy(why)))
            }
            (Phase::Shifting(_) | Phase::Baking(_), Outcome::Interrupted) => {
                Phase::Clearing(After::Stop(Reason::Interrupted))
            }
            (Phase::Baking(step), Outcome::Good) if step + 1 < self.steps.len() => Phase::Shifting(step + 1),
            (Phase::Baking(_), Outcome::Good) => Phase::Switching,
            // Asked to stop while the call was on its way: it is done, and what follows is short.
            (Phase::Switching, Outcome::Good | Outcome::Interrupted) => after_the_switch,
            (Phase::Confirming, Outcome::Good) => Phase::Ended(End::Done),
            (Phase::Confirming, Outcome::Bad(why)) => match self.aim {
                Aim::Promote => Phase::Returning(Reason::Unhealthy(why)),
                Aim::Rollback => Phase::Ended(End::Unconfirmed(Reason::Unhealthy(why))),
            },
            (Phase::Confirming, Outcome::Interrupted) => Phase::Ended(End::Unconfirmed(Reason::Interrupted)),
            (Phase::Returning(reason), Outcome::Good | Outcome::Interrupted) => {
                Phase::Ended(End::Returned(reason.clone()))
            }
            (Phase::Clearing(_) | Phase::Switching | Phase::Returning(_), Outcome::Bad(_)) | (Phase::Ended(_), _) => {
                return Err(illegal);
            }
        };
        Ok(())
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
        machine: Machine,
        checked: bool,
        bad: bool,
    }

    fn begin(aim: Aim, steps: &[u8], world: World) -> State {
        // Where live serves the target there is nothing to move: the next run aims at another release.
        let world = World {
            at_target: false,
            ..world
        };
        State {
            world,
            machine: Machine::begin(aim, steps.to_vec(), world.diverted),
            checked: false,
            bad: false,
        }
    }

    /// Carries the effect out in the world, checking what must never be.
    fn apply(aim: Aim, state: &State) -> World {
        let mut world = state.world;
        match state.machine.effect() {
            Effect::ClearWeights => world.diverted = false,
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
                    Aim::Rollback => assert!(!world.diverted, "lands on weights: {state:?}"),
                }
                world.at_target = true;
            }
            Effect::SwitchBack => {
                assert!(!world.diverted && state.bad, "{state:?}");
                world.at_target = false;
            }
            Effect::Check | Effect::Bake(_) | Effect::Confirm | Effect::End(_) => {}
        }
        world
    }

    fn outcomes(effect: &Effect) -> Vec<Outcome> {
        let judged = matches!(
            effect,
            Effect::Check | Effect::Bake(_) | Effect::Confirm | Effect::Divert(_)
        );
        let mut all = vec![Outcome::Good, Outcome::Interrupted];
        if judged {
            all.push(Outcome::Bad("bad".to_owned()));
        }
        all
    }

    fn check_end(aim: Aim, state: &State, end: &End) {
        assert!(!state.world.diverted, "traffic is diverted at the end: {state:?}");
        let at_target = match end {
            End::Done | End::Unconfirmed(_) => true,
            End::Refused(_) | End::Stopped(_) | End::Returned(_) => false,
        };
        assert_eq!(state.world.at_target, at_target, "{aim:?} {state:?}");
    }

    /// Every reachable state: all outcomes, with death before and after every effect and a new run of either aim afterwards.
    #[test]
    fn every_reachable_state_keeps_its_word() {
        let mut seen = HashSet::new();
        let policies: [&[u8]; 3] = [&[], &[10], &[10, 40, 70]];
        let mut open: Vec<(Aim, &[u8], State)> = Vec::new();
        for steps in policies {
            for aim in [Aim::Promote, Aim::Rollback] {
                for at_target in [false, true] {
                    for diverted in [false, true] {
                        open.push((aim, steps, begin(aim, steps, World { at_target, diverted })));
                    }
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
            let after = apply(aim, &state);
            // Death before and after the effect; the next run may want either.
            for world in [state.world, after] {
                for next in [Aim::Promote, Aim::Rollback] {
                    open.push((next, steps, begin(next, steps, world)));
                }
            }
            for outcome in outcomes(&effect) {
                let mut next = State {
                    world: after,
                    ..state.clone()
                };
                next.checked |= effect == Effect::Check && outcome == Outcome::Good;
                next.machine.step(outcome.clone()).unwrap();
                next.bad |= matches!(outcome, Outcome::Bad(_));
                open.push((aim, steps, next));
            }
        }
        assert!(seen.len() > 60, "{} states", seen.len());
    }

    /// Whatever was left behind, a run in which all goes well arrives.
    #[test]
    fn a_run_in_which_all_goes_well_arrives() {
        for aim in [Aim::Promote, Aim::Rollback] {
            for at_target in [false, true] {
                for diverted in [false, true] {
                    let mut state = begin(aim, &[10, 50], World { at_target, diverted });
                    for _ in 0..12 {
                        let effect = state.machine.effect();
                        if let Effect::End(end) = effect {
                            assert_eq!(end, End::Done);
                            break;
                        }
                        state.world = apply(
                            aim,
                            &State {
                                checked: true,
                                ..state.clone()
                            },
                        );
                        state.machine.step(Outcome::Good).unwrap();
                    }
                    assert!(matches!(state.machine.phase(), Phase::Ended(End::Done)));
                    assert!(state.world.at_target && !state.world.diverted);
                }
            }
        }
    }

    #[test]
    fn an_impossible_outcome_is_an_error() {
        let mut machine = Machine::begin(Aim::Rollback, Vec::new(), false);
        let refused = machine.step(Outcome::Bad("?".to_owned())).unwrap_err();
        assert_eq!(refused.phase, Phase::Switching);
    }
}
