//! Runs a plan: everything that may run does, the longest chain first; a failure stops only what waits for it; a stop
//! asked for lets the calls in flight finish. It decides nothing: the plan has.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::aws::Registry;
use crate::aws::client::context::Context;
use crate::aws::client::error::{AwsError, ErrorKind};
use crate::aws::client::on_behalf::Spent;
use crate::aws::kinds::kind::{AnyKind, Emptiness, Fields};
use crate::aws::read::reader::Reader;
use crate::event::{ErrorReport, Event, millis};
use crate::graph::Graph;
use crate::plan::{Action, Change, Data, Effect, Plan, Step, Verb};
use crate::resource::{Observed, Outputs, Ownership, ResourceId};

/// How an execution ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Execution {
    /// Done.
    pub done: Vec<ResourceId>,
    /// Tried and failed.
    pub failed: Vec<(ResourceId, AwsError)>,
    /// Data stores that were to be deleted, and were not empty when their turn came.
    pub kept: Vec<ResourceId>,
    /// Not tried.
    pub skipped: Vec<ResourceId>,
    /// When and how long each was worked on, in the order of their ends.
    pub timings: Vec<Timing>,
}

/// How a resource spent its time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timing {
    /// Resource.
    pub id: ResourceId,
    /// When it began, since the execution did.
    pub began: Duration,
    /// How long it took.
    pub took: Duration,
    /// What of it were calls and waits.
    pub spent: Spent,
    /// The last of what it waited for before it began.
    pub after: Option<ResourceId>,
}

impl Execution {
    /// Whether everything was done.
    pub fn is_complete(&self) -> bool {
        self.failed.is_empty() && self.skipped.is_empty() && self.kept.is_empty()
    }

    /// Whether everything was done but for data stores that were not empty any more.
    pub fn has_only_kept(&self) -> bool {
        !self.kept.is_empty() && self.failed.is_empty() && self.skipped.is_empty()
    }

    /// The chain of resources that decided how long it took, first to last.
    pub fn critical_path(&self) -> Vec<&Timing> {
        let by_id: BTreeMap<&ResourceId, &Timing> = self.timings.iter().map(|one| (&one.id, one)).collect();
        let last = self.timings.iter().max_by_key(|one| one.began + one.took);
        let mut path: Vec<&Timing> =
            std::iter::successors(last, |one| one.after.as_ref().and_then(|id| by_id.get(id).copied())).collect();
        path.reverse();
        path
    }
}

/// Actions that run side by side. AWS's quotas are kept by pacing; this bounds memory and open connections.
const CONCURRENCY: usize = 48;

/// Runs a plan.
pub async fn execute(context: &Context, registry: &'static Registry, plan: &Plan) -> Execution {
    learn_standing(context, plan);
    let steps: BTreeMap<ResourceId, Step> = plan.changes().map(|step| (step.id.clone(), step.clone())).collect();
    context.emit(Event::ExecutionStarted { actions: steps.len() });
    let Ok(graph) = Graph::new(steps.values().map(|step| (step.id.clone(), step.after.clone()))) else {
        // The plan lint has refused cycles before anything gets here.
        return Execution {
            skipped: steps.into_keys().collect(),
            ..Execution::default()
        };
    };
    let urgency = graph.urgency(|id| registry.kind(&id.kind).spec().usual);
    let mut run = Run {
        context,
        registry,
        graph: &graph,
        urgency: &urgency,
        open: BTreeMap::new(),
        ready: Vec::new(),
        released_by: BTreeMap::new(),
        began: Instant::now(),
        end: Execution::default(),
    };
    for id in steps.keys() {
        let waits = graph.before(id).len();
        if waits == 0 {
            run.ready.push(id.clone());
        }
        run.open.insert(id.clone(), waits);
    }
    let mut tasks: JoinSet<Ended> = JoinSet::new();
    loop {
        run.start(&steps, &mut tasks);
        match tasks.join_next().await {
            Some(Ok(ended)) => run.finish(&steps, ended),
            Some(Err(_)) => {} // A panic in a task: its resource stays open and is reported as skipped below.
            None => break,
        }
    }
    let left: Vec<ResourceId> = run.open.keys().cloned().collect();
    run.end.skipped.extend(left);
    run.end
}

/// Resources that do not change provide their ids to those that do.
fn learn_standing(context: &Context, plan: &Plan) {
    for step in &plan.steps {
        let observed = match &step.action {
            Action::NoOp { observed }
            | Action::Update { observed, .. }
            | Action::CreateThenDelete { observed, .. }
            | Action::Delete { observed, .. } => observed.as_ref(),
            Action::Create { .. } | Action::DeleteThenCreate { .. } | Action::Keep { .. } => None,
        };
        if let Some(observed) = observed {
            context.learn(&step.id, observed.outputs.clone());
        }
    }
}

struct Run<'a> {
    context: &'a Context,
    registry: &'static Registry,
    graph: &'a Graph<ResourceId>,
    urgency: &'a BTreeMap<ResourceId, Duration>,
    /// Not yet started, with the number of steps each still waits for.
    open: BTreeMap<ResourceId, usize>,
    ready: Vec<ResourceId>,
    /// What let a step begin: the last of those that it waited for.
    released_by: BTreeMap<ResourceId, ResourceId>,
    began: Instant,
    end: Execution,
}

/// A step that was tried.
struct Ended {
    verb: Verb,
    timing: Timing,
    result: Result<Acted, AwsError>,
}

/// What came of a step.
enum Acted {
    /// It is done; ids and ARNs that are now known.
    Done(Outputs),
    /// The store holds data that `--delete-data` does not name, and is kept: what it holds.
    Kept(String),
}

impl Run<'_> {
    /// Starts what may start, the most urgent first.
    fn start(&mut self, steps: &BTreeMap<ResourceId, Step>, tasks: &mut JoinSet<Ended>) {
        self.ready
            .sort_by_key(|id| self.urgency.get(id).copied().unwrap_or_default());
        while tasks.len() < CONCURRENCY {
            let Some(id) = self.ready.pop() else { break };
            let Some(step) = steps.get(&id) else { continue };
            self.open.remove(&id);
            let verb = step.action.verb();
            if self.context.cancel().is_cancelled() {
                self.skip(&id, verb, "stopped");
                continue;
            }
            let (context, kind, step) = (self.context.clone(), self.registry.kind(&id.kind), step.clone());
            let (start, after) = (self.began, self.released_by.remove(&id));
            tasks.spawn(async move {
                context.emit(Event::ActionStarted { id: id.clone(), verb });
                let began = Instant::now();
                let (result, spent) = Context::on_behalf(id.clone(), act(&context, kind, &step)).await;
                let timing = Timing {
                    id,
                    began: began - start,
                    took: began.elapsed(),
                    spent,
                    after,
                };
                if let Ok(Acted::Done(outputs)) = &result {
                    context.emit(Event::ActionFinished {
                        id: timing.id.clone(),
                        verb,
                        millis: millis(timing.took),
                        outputs: outputs.clone(),
                        began_millis: millis(timing.began),
                        calls: spent.calls,
                        calling_millis: millis(spent.calling),
                        waiting_millis: millis(spent.waiting),
                        after: timing.after.clone(),
                    });
                }
                Ended { verb, timing, result }
            });
        }
    }

    fn finish(&mut self, steps: &BTreeMap<ResourceId, Step>, ended: Ended) {
        let Ended { verb, timing, result } = ended;
        let id = &timing.id.clone();
        self.end.timings.push(timing);
        match result {
            Ok(Acted::Kept(found)) => {
                self.context.emit(Event::ActionKept {
                    id: id.clone(),
                    verb,
                    reason: format!("{found}; `taskctl destroy --delete-data {}` deletes it", id.name),
                });
                self.end.kept.push(id.clone());
                self.skip_behind(steps, id, id);
            }
            Ok(Acted::Done(outputs)) => {
                self.context.learn(id, outputs);
                self.end.done.push(id.clone());
                for next in self.graph.behind(id) {
                    if let Some(waits) = self.open.get_mut(next) {
                        *waits -= 1;
                        if *waits == 0 {
                            self.released_by.insert(next.clone(), id.clone());
                            self.ready.push(next.clone());
                        }
                    }
                }
            }
            Err(error) => {
                if error.kind == ErrorKind::Interrupted {
                    self.context.emit(Event::ActionSkipped {
                        id: id.clone(),
                        verb,
                        reason: "stopped".to_owned(),
                    });
                    self.end.skipped.push(id.clone());
                } else {
                    self.context.emit(Event::ActionFailed {
                        id: id.clone(),
                        verb,
                        error: report(&error),
                    });
                    self.end.failed.push((id.clone(), error));
                }
                self.skip_behind(steps, id, id);
            }
        }
    }

    /// Everything that waits for a failed step, however far behind, is not tried.
    fn skip_behind(&mut self, steps: &BTreeMap<ResourceId, Step>, failed: &ResourceId, at: &ResourceId) {
        let behind: BTreeSet<ResourceId> = self.graph.behind(at).into_iter().cloned().collect();
        for next in behind {
            if self.open.remove(&next).is_some() {
                let verb = steps.get(&next).map_or(Verb::NoOp, |step| step.action.verb());
                self.skip(&next, verb, &format!("{failed} comes first"));
                self.skip_behind(steps, failed, &next);
            }
        }
    }

    fn skip(&mut self, id: &ResourceId, verb: Verb, reason: &str) {
        self.context.emit(Event::ActionSkipped {
            id: id.clone(),
            verb,
            reason: reason.to_owned(),
        });
        self.end.skipped.push(id.clone());
    }
}

/// An error for people and programs.
pub fn report(error: &AwsError) -> ErrorReport {
    ErrorReport::new(error, error.hint())
}

async fn act(context: &Context, kind: &'static dyn AnyKind, step: &Step) -> Result<Acted, AwsError> {
    let delete = async |observed: &Option<Observed>| match observed {
        Some(observed) => delete(context, kind, step, &observed.outputs).await,
        None => Ok(Acted::Done(Outputs::new())),
    };
    let made = match &step.action {
        Action::NoOp { .. } | Action::Keep { .. } => Outputs::new(),
        Action::Create { desired, .. } => create(context, kind, &step.id, desired).await?,
        Action::Update {
            desired,
            observed,
            changes,
        } => match observed {
            None => create(context, kind, &step.id, desired).await?,
            Some(observed) => {
                let updated = kind
                    .update(context, &step.id, desired, observed, &Fields::new(changes))
                    .await;
                match updated {
                    Err(error) if error.kind == ErrorKind::NotFound => {
                        recreate(context, kind, &step.id, desired, error).await?
                    }
                    other => other?,
                }
            }
        },
        Action::CreateThenDelete { desired, observed, .. } => {
            let made = create(context, kind, &step.id, desired).await?;
            if let Acted::Kept(found) = delete(observed).await? {
                return Ok(Acted::Kept(found));
            }
            made
        }
        Action::DeleteThenCreate { desired, observed, .. } => {
            if let Acted::Kept(found) = delete(observed).await? {
                return Ok(Acted::Kept(found));
            }
            create(context, kind, &step.id, desired).await?
        }
        Action::Delete { observed, .. } => {
            let acted = delete(observed).await?;
            if let Acted::Done(_) = acted {
                context.forget(&step.id);
            }
            return Ok(acted);
        }
    };
    Ok(Acted::Done(made))
}

/// Deletes as the plan says: a data store that was not named only if it is empty now.
async fn delete(
    context: &Context,
    kind: &'static dyn AnyKind,
    step: &Step,
    outputs: &Outputs,
) -> Result<Acted, AwsError> {
    match step.action.data() {
        Data::OnlyIfEmpty => Ok(match kind.delete_if_empty(context, &step.id, outputs).await? {
            Emptiness::Gone => Acted::Done(Outputs::new()),
            Emptiness::HoldsData(found) => Acted::Kept(found),
        }),
        Data::None | Data::Named => {
            kind.delete(context, &step.id, outputs).await?;
            Ok(Acted::Done(Outputs::new()))
        }
    }
}

/// Creates what went away between reading and writing. "Not found" may also be about something that it refers to: then it is
/// still there, and what AWS said stands.
async fn recreate(
    context: &Context,
    kind: &'static dyn AnyKind,
    id: &ResourceId,
    desired: &serde_json::Value,
    refused: AwsError,
) -> Result<Outputs, AwsError> {
    match kind.read(&Reader::confirming(context.clone()), id, desired).await? {
        Some(_) => Err(refused),
        None => create(context, kind, id, desired).await,
    }
}

/// Creates; when it is there already (an earlier run was cut off after AWS had made it, or reading lagged), takes it as
/// it is and brings it to what is wanted.
async fn create(
    context: &Context,
    kind: &'static dyn AnyKind,
    id: &ResourceId,
    desired: &serde_json::Value,
) -> Result<Outputs, AwsError> {
    let refused = match kind.create(context, id, desired).await {
        Err(error) if error.kind == ErrorKind::AlreadyExists => error,
        other => return other,
    };
    let observed = context
        .poll(
            "resource that exists already to be readable",
            Duration::from_secs(60),
            || async { kind.read(&Reader::confirming(context.clone()), id, desired).await },
        )
        .await?;
    let why = match &observed.ownership {
        Ownership::Ours => return converge(context, kind, id, desired, &observed).await,
        Ownership::Foreign { found } => format!("it does not belong to this stack ({found})"),
        Ownership::Taken { by } => format!("{by}; choose another name"),
    };
    Err(AwsError {
        message: format!("{}; {why}", refused.message),
        ..refused
    })
}

/// Brings something found to what is wanted, without a plan of its own.
async fn converge(
    context: &Context,
    kind: &'static dyn AnyKind,
    id: &ResourceId,
    desired: &serde_json::Value,
    observed: &Observed,
) -> Result<Outputs, AwsError> {
    let changes: Vec<Change> = crate::plan::diff(&observed.model, desired, &|field| kind.effect(field), &|field| {
        kind.sensitivity(field)
    });
    if changes.is_empty() {
        return Ok(observed.outputs.clone());
    }
    if let Some(change) = changes.iter().find(|change| change.effect == Effect::Replace) {
        return Err(AwsError::own(
            "taskctl",
            "create",
            ErrorKind::Invalid,
            format!(
                "{id} exists already and its {} cannot be changed in place; run the command again to see the plan",
                change.field
            ),
        ));
    }
    kind.update(context, id, desired, observed, &Fields::new(&changes))
        .await
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parking_lot::Mutex;
    use serde_json::json;

    use super::*;
    use crate::aws::client::context::tests::{context_over, identity};
    use crate::aws::client::fake::clients;
    use crate::aws::kinds::logs;
    use crate::aws::registry;
    use crate::plan::Rollback;

    /// Tags a log group that AWS says is not there, which listings have or have not: what is called, and the end.
    async fn update(is_listed: bool) -> (Vec<String>, Result<(), ErrorKind>) {
        let calls = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&calls);
        let name = "/aws/lambda/shop-dev-tasks";
        let fake = clients("eu-central-1", move |call| {
            seen.lock().push(call.operation.clone());
            let answer = match call.operation.as_str() {
                "TagResource" => {
                    let refused = json!({"__type": "ResourceNotFoundException", "message": "no such thing"});
                    return (400, refused.to_string().into_bytes());
                }
                "DescribeLogGroups" if is_listed => json!({"logGroups": [{"logGroupName": name}]}),
                "DescribeLogGroups" => json!({"logGroups": []}),
                "GetResources" => json!({"ResourceTagMappingList": []}),
                "ListTagsForResource" | "CreateLogGroup" => json!({"tags": {}}),
                other => panic!("not expected: {other}"),
            };
            (200, answer.to_string().into_bytes())
        });
        let context = context_over(identity(), fake);
        let model = |tags| json!({"name": name, "retention_days": null, "tags": tags});
        let step = Step {
            id: ResourceId::new(logs::group::KIND, "tasks"),
            action: Action::Update {
                desired: model(json!({"app": "shop"})),
                observed: Some(Observed::ours(model(json!({})), Outputs::new())),
                changes: vec![Change {
                    field: "tags.app".to_owned(),
                    before: None,
                    after: Some(json!("shop")),
                    effect: Effect::InPlace,
                    implied: false,
                }],
            },
            after: Vec::new(),
            pending: Vec::new(),
            rollback: Rollback::Immediate,
        };
        let acted = act(&context, registry().kind(logs::group::KIND), &step).await;
        let calls = calls.lock().clone();
        (calls, acted.map(drop).map_err(|error| error.kind))
    }

    #[tokio::test(start_paused = true)]
    async fn not_found_is_an_absence_only_when_the_thing_itself_is_gone() {
        let (calls, end) = update(true).await;
        assert_eq!(end, Err(ErrorKind::NotFound));
        assert!(!calls.iter().any(|call| call == "CreateLogGroup"), "{calls:?}");
        let (calls, end) = update(false).await;
        assert_eq!(end, Ok(()));
        assert!(calls.iter().any(|call| call == "CreateLogGroup"), "{calls:?}");
    }
}
