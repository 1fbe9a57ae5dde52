//! A plan: what exists is read while the functions are packaged, and both are compared.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt, stream};

use super::former::Kept;
use super::{Engine, EngineError, READS};
use crate::aws::client::error::AwsError;
use crate::aws::kinds::apigateway;
use crate::aws::kinds::kind::Discovered;
use crate::aws::kinds::lambda;
use crate::aws::kinds::lambda::account::{Concurrency, UNRESERVED_MINIMUM};
use crate::aws::read::reader::Reader;
use crate::aws::release::ledger;
use crate::aws::release::release_state;
use crate::compile::{self, Inputs};
use crate::event::{Event, millis};
use crate::package::{Package, PackageError};
use crate::plan::{FoundResource, LintError, Observations, Plan, Request, build, lint, orphans_of_deploy};
use crate::release::by_alias::MAX_DESCRIPTION;
use crate::release::grants::Grants;
use crate::release::label::MAX_LENGTH;
use crate::release::record::{Cause, MoveRecord, newer};
use crate::release::slots::{Carrier, GoLive, ReleaseState, Slots};
use crate::resource::{Observed, Resource, ResourceId};
use crate::site::Site;
use crate::template::model::{ReleasePolicy, Stack};

/// What a plan is made from, beside AWS.
pub struct PlanInputs<'a> {
    /// The template.
    pub stack: &'a Stack,
    /// URL at which a bucket's web site is served, by the bucket's physical name.
    pub website_url: &'a (dyn Fn(&str) -> String + Sync),
    /// Commit of the code.
    pub commit: Option<String>,
    /// Whether a new release goes live; none = as the stage's policy says.
    pub go_live: Option<GoLive>,
    /// Content of the web sites, by the bucket's logical name.
    pub sites: BTreeMap<String, Arc<Site>>,
}

/// A plan with what it was made from.
pub struct Planned {
    /// The plan.
    pub plan: Plan,
    /// Where releases are after it.
    pub slots: Option<Slots>,
    /// Where they are now.
    pub facts: ReleaseState,
    /// Everything wrong with it.
    pub errors: Vec<LintError>,
    /// Commit of the code.
    pub commit: Option<String>,
    /// Fingerprint of the release's content.
    pub fingerprint: Option<String>,
    /// What goes later, because former releases need it, and why live would move without a new release; for people.
    pub notes: Vec<String>,
    /// Origin of the stage's web site.
    pub site_url: Option<String>,
    pub(super) grants: Grants,
    pub(super) packages: Vec<Package>,
    pub(super) sites: BTreeMap<String, Arc<Site>>,
}

/// What was read before the functions were packaged.
struct Early {
    reader: Reader,
    observed: ReadResult,
    facts: ReleaseState,
    found: Vec<Discovered>,
}

impl Engine {
    /// Plans: reads what exists while the functions are packaged, and compares.
    pub async fn plan(
        &self,
        inputs: &PlanInputs<'_>,
        packages: impl Future<Output = Result<Vec<Package>, PackageError>>,
    ) -> Result<Planned, EngineError> {
        let began = tokio::time::Instant::now();
        let early = self.early(inputs);
        let packages = async { packages.await.map_err(EngineError::from) };
        let (packages, early) = futures::try_join!(packages, early)?;
        let Early {
            reader,
            mut observed,
            facts,
            found,
        } = early;
        let hashes: BTreeMap<String, String> = packages
            .iter()
            .map(|package| (package.function.clone(), package.code_sha256.clone()))
            .collect();
        let inputs = self.inputs(inputs, &hashes);
        let mut resources = compile::standing(&inputs);
        let (released, slots) = compile::released(&inputs, &facts);
        resources.extend(released);
        let late = resources.iter().filter(|one| !observed.read.contains(&one.id));
        let late = self.read(&reader, late.cloned().collect()).await?;
        observed.found.extend(late.found);
        self.context.emit(Event::ReadFinished {
            millis: millis(began.elapsed()),
            calls: self.context.calls(),
        });
        let grants = compile::all_grants(&inputs);
        let kept = match &slots {
            Some(slots) => self.keep_former(&mut resources, &observed.found, &facts, slots).await?,
            None => Kept::default(),
        };
        let mut notes = kept.deferred;
        if let Some(slots) = &slots {
            notes.extend(self.standing_release(&facts, slots).await?);
        }
        notes.extend(note_of_cut_off(&facts));
        let request = Request {
            orphans: orphans_of_deploy(&resources, self.judged(found, &facts), &mut observed.found),
            resources,
        };
        let mut plan = build(&request, &observed.found, self.registry);
        plan.warnings = compile::warnings(&inputs);
        plan.warnings.extend(compile::unrecorded_grants(&kept.unrecorded));
        let mut errors = lint(&plan, &request, &observed.found, self.registry);
        errors.extend(label_too_long(&request.resources));
        errors.extend(self.too_much_reserved(&request.resources, &observed.found).await?);
        let sites = inputs.sites.iter();
        Ok(Planned {
            fingerprint: slots.as_ref().map(|slots| slots.fingerprint.clone()),
            sites: sites
                .map(|(logical, site)| (inputs.bucket(logical), Arc::clone(site)))
                .collect(),
            site_url: inputs.site_url(),
            commit: inputs.commit.clone(),
            notes,
            plan,
            slots,
            facts,
            errors,
            packages,
            grants,
        })
    }

    /// Why live would move although no release is made.
    async fn standing_release(&self, facts: &ReleaseState, slots: &Slots) -> Result<Option<String>, EngineError> {
        let live = facts.live.as_ref().and_then(|slot| slot.release);
        if slots.is_new || live.is_none_or(|live| live == slots.release) {
            return Ok(None);
        }
        let latest = ledger::latest(&self.context, &self.control).await?;
        let moved = newer(latest.moved, facts.unrecorded());
        Ok(note_of_standing(slots, moved.as_ref()))
    }

    /// Refuses reservations for functions that AWS would refuse once everything else had been made.
    async fn too_much_reserved(
        &self,
        resources: &[Resource],
        observed: &Observations,
    ) -> Result<Option<LintError>, EngineError> {
        let more = newly_reserved(resources, observed);
        if more <= 0 {
            return Ok(None);
        }
        let account = lambda::account::concurrency(&self.context).await?;
        Ok(account.and_then(|account| over_the_limit(more, account)))
    }

    /// What can be read before the functions are packaged: all that neither their code nor which releases exist decides.
    async fn early(&self, inputs: &PlanInputs<'_>) -> Result<Early, EngineError> {
        let nothing = BTreeMap::new();
        let inputs = self.inputs(inputs, &nothing);
        let functions = inputs.functions();
        let standing = compile::standing(&inputs);
        let names = standing.iter().filter_map(|one| one.desired["name"].as_str());
        let reader = Reader::new(self.context.clone()).expecting(names.map(str::to_owned).collect());
        // The settings of pages are written into them, so comparing takes their text.
        for (logical, site) in inputs.sites {
            self.context.add_site(&inputs.bucket(logical), Arc::clone(site));
        }
        let early: Vec<Resource> = standing
            .into_iter()
            .filter(|one| !self.registry.kind(&one.id.kind).spec().reads_by_content)
            .collect();
        self.context.emit(Event::ReadStarted { resources: early.len() });
        let (observed, facts, found) = futures::try_join!(
            self.read(&reader, early),
            async { Ok(release_state::read(&reader, carrier_of(inputs.stack), &functions).await?) },
            self.enumerate(&reader)
        )?;
        Ok(Early {
            reader,
            observed,
            facts,
            found,
        })
    }

    pub(super) fn inputs<'a>(
        &'a self,
        inputs: &'a PlanInputs<'a>,
        packages: &'a BTreeMap<String, String>,
    ) -> Inputs<'a> {
        let by_policy = match inputs.stack.release_policy {
            ReleasePolicy::Immediate => GoLive::AtOnce,
            ReleasePolicy::Manual | ReleasePolicy::Canary { .. } | ReleasePolicy::Linear { .. } => GoLive::Wait,
        };
        Inputs {
            stack: inputs.stack,
            identity: self.context.identity(),
            packages,
            website_url: inputs.website_url,
            commit: inputs.commit.clone(),
            go_live: inputs.go_live.unwrap_or(by_policy),
            sites: &inputs.sites,
        }
    }

    async fn read(&self, reader: &Reader, resources: Vec<Resource>) -> Result<ReadResult, EngineError> {
        let read = resources.iter().map(|resource| resource.id.clone()).collect();
        let found: Vec<(ResourceId, Option<Observed>)> = stream::iter(resources)
            .map(|resource| async move {
                let kind = self.registry.kind(&resource.id.kind);
                let observed = kind.read(reader, &resource.id, &resource.desired).await?;
                Ok::<_, AwsError>((resource.id, observed))
            })
            .buffer_unordered(READS)
            .try_collect()
            .await?;
        let found = found
            .into_iter()
            .filter_map(|(id, observed)| Some((id, observed?)))
            .collect();
        Ok(ReadResult { read, found })
    }

    pub(super) async fn enumerate(&self, reader: &Reader) -> Result<Vec<Discovered>, EngineError> {
        let found: Vec<Vec<Discovered>> = stream::iter(self.registry.kinds())
            .map(|kind| kind.enumerate(reader))
            .buffer_unordered(READS)
            .try_collect()
            .await?;
        Ok(found.into_iter().flatten().collect())
    }

    /// What was found, with what decides over it.
    fn judged(&self, found: Vec<Discovered>, facts: &ReleaseState) -> Vec<FoundResource> {
        let needed = facts.needed_functions();
        let found = found.into_iter().map(|Discovered { id, outputs }| {
            let kind = self.registry.kind(&id.kind);
            FoundResource {
                holds_data: kind.holds_data(),
                needed_by: needed.get(&id.name).copied().filter(|_| kind.spec().serves_function),
                id,
                outputs,
            }
        });
        found.collect()
    }
}

/// Where a stack of this template keeps its releases.
fn carrier_of(stack: &Stack) -> Carrier {
    match stack.api {
        Some(_) => Carrier::Api,
        None => Carrier::Functions,
    }
}

/// The resource that is the release.
pub(super) fn release_id(carrier: Carrier) -> ResourceId {
    match carrier {
        Carrier::Api => apigateway::deployment::id(),
        Carrier::Functions => lambda::release::id(),
    }
}

/// How many more invocations at once are reserved for functions than now.
fn newly_reserved(resources: &[Resource], observed: &Observations) -> i32 {
    let reserved = |model: &serde_json::Value| -> i64 { model["reserved_concurrency"].as_i64().unwrap_or(0) };
    let functions = resources.iter().filter(|one| one.id.kind == lambda::function::KIND);
    let more: i64 = functions
        .map(|one| reserved(&one.desired) - observed.get(&one.id).map_or(0, |now| reserved(&now.model)))
        .sum();
    i32::try_from(more).unwrap_or(i32::MAX)
}

fn over_the_limit(more: i32, account: Concurrency) -> Option<LintError> {
    let Concurrency { limit, unreserved } = account;
    (unreserved.saturating_sub(more) < UNRESERVED_MINIMUM).then_some(LintError::ConcurrencyReserved {
        more,
        limit,
        unreserved,
        kept: UNRESERVED_MINIMUM,
    })
}

/// Refuses a release whose label AWS would not take, once everything that it names had been made.
fn label_too_long(resources: &[Resource]) -> Option<LintError> {
    let desired = |id: ResourceId| resources.iter().find(|one| one.id == id).map(|one| one.desired.clone());
    let in_api = || {
        let model: apigateway::deployment::Model = serde_json::from_value(desired(release_id(Carrier::Api))?).ok()?;
        Some((model.label_length(), MAX_LENGTH))
    };
    let in_functions = || {
        let model: lambda::release::Model = serde_json::from_value(desired(release_id(Carrier::Functions))?).ok()?;
        Some((model.description_length(), MAX_DESCRIPTION))
    };
    let (length, most) = in_api().or_else(in_functions)?;
    (length > most).then_some(LintError::LabelTooLong { length, most })
}

/// The note on a release that exists, has the wanted content and is not live.
fn note_of_standing(slots: &Slots, moved: Option<&MoveRecord>) -> Option<String> {
    let Slots { release, .. } = slots;
    let goes_live = slots.live.release == *release;
    let was_left = moved.is_some_and(|moved| moved.cause == Cause::Rollback && moved.from == Some(*release));
    match (was_left, goes_live) {
        (true, true) => Some(format!("release {release} was rolled back; deploy makes it live again")),
        (true, false) => Some(format!(
            "release {release} was rolled back; `taskctl promote` makes it live again"
        )),
        (false, true) => Some(format!("release {release} waits in preview; deploy makes it live")),
        (false, false) => None,
    }
}

/// The note on releases that cannot be reached any more, although they are kept.
fn note_of_cut_off(facts: &ReleaseState) -> Option<String> {
    let mut releases = Vec::new();
    let mut functions = BTreeSet::new();
    for number in facts.releases.keys() {
        let gone = facts.cut_off_in(*number);
        if !gone.is_empty() {
            releases.push(number.to_string());
            functions.extend(gone);
        }
    }
    let functions: Vec<&str> = functions.into_iter().collect();
    let (them, releases) = match releases.as_slice() {
        [] => return None,
        [one] => ("it", format!("release {one}")),
        many => ("them", format!("releases {}", many.join(", "))),
    };
    Some(format!(
        "{releases}: the role of {} was deleted since, so Lambda refuses to run the versions in {them}; a rollback to {them} \
         answers errors",
        functions.join(", ")
    ))
}

struct ReadResult {
    read: BTreeSet<ResourceId>,
    found: Observations,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::short_sha256;
    use crate::release::record::DONE;
    use crate::release::retention::tests::facts;
    use crate::release::slots::slots;

    #[test]
    fn a_label_that_does_not_fit_is_refused_before_anything_is_made() {
        let release = |functions: usize| {
            // Names that nothing makes shorter.
            let versions = (0..functions).map(|place| (short_sha256(place.to_string(), 30), "17".to_owned()));
            let model = apigateway::deployment::Model {
                release: 42,
                fingerprint: "0".repeat(16),
                versions: versions.collect(),
                callers: BTreeMap::new(),
                commit: Some("1a2b3c4d".to_owned()),
                sites: BTreeMap::new(),
                grants: "0".repeat(64),
            };
            let desired = serde_json::to_value(model).expect("it is data");
            let depends_on = Vec::new();
            [Resource {
                id: apigateway::deployment::id(),
                desired,
                depends_on,
            }]
        };
        assert_eq!(label_too_long(&release(25)), None);
        assert_eq!(label_too_long(&release(36)), None, "it is compressed");
        let refused = label_too_long(&release(70)).expect("it does not fit");
        assert!(
            refused.to_string().contains("of which API Gateway takes 1024"),
            "{refused}"
        );
    }

    #[test]
    fn reservations_that_an_account_does_not_have_are_refused() {
        let model = |reserved: Option<i32>| serde_json::json!({"reserved_concurrency": reserved});
        let resource = |name: &str, reserved| Resource {
            id: ResourceId::new(lambda::function::KIND, name),
            desired: model(reserved),
            depends_on: Vec::new(),
        };
        let seen = |reserved| Observed::ours(model(reserved), crate::resource::Outputs::new());
        let wanted = [resource("a", Some(5)), resource("b", Some(3)), resource("c", None)];
        let standing = Observations::from([
            (wanted[1].id.clone(), seen(Some(3))),
            (wanted[2].id.clone(), seen(Some(1))),
        ]);
        assert_eq!(newly_reserved(&wanted, &Observations::new()), 8);
        assert_eq!(newly_reserved(&wanted, &standing), 4);
        let account = |limit, unreserved| Concurrency { limit, unreserved };
        let refused = over_the_limit(4, account(10, 10)).expect("a new account has ten");
        insta::assert_snapshot!(refused, @"the plan reserves 4 more invocations at once (`reserved_concurrency`), but of the 10 that the account has here 10 are not reserved, of which 100 must stay");
        assert!(over_the_limit(900, account(1_000, 1_000)).is_none());
        assert!(over_the_limit(901, account(1_000, 1_000)).is_some());
    }

    #[test]
    fn releases_whose_role_was_deleted_are_named() {
        let mut facts = facts(&[(1, 1), (2, 2), (3, 3)], 3, 3, Some(2));
        assert_eq!(note_of_cut_off(&facts), None);
        facts.cut_off = BTreeMap::from([("tasks".to_owned(), BTreeSet::from([1]))]);
        assert_eq!(
            note_of_cut_off(&facts).as_deref(),
            Some(
                "release 1: the role of tasks was deleted since, so Lambda refuses to run the versions in it; a rollback to it \
                 answers errors"
            )
        );
        facts.cut_off = BTreeMap::from([("tasks".to_owned(), BTreeSet::from([1, 2]))]);
        let note = note_of_cut_off(&facts).expect("two are gone");
        assert!(
            note.starts_with("releases 1, 2: the role of tasks") && note.ends_with("a rollback to them answers errors")
        );
    }

    #[test]
    fn a_release_that_was_rolled_back_is_named() {
        // Live is 1, release 2 waits in preview, and the template has the content of 2.
        let mut facts = facts(&[(1, 1), (2, 2)], 1, 2, None);
        if let Some(live) = facts.releases.get_mut(&1) {
            live.fingerprint = "1".repeat(16);
        }
        let wanted = facts.releases[&2].fingerprint.clone();
        let note = |go_live, moved: Option<&MoveRecord>| {
            let slots = slots(&facts, &wanted, &BTreeMap::new(), go_live);
            assert!(!slots.is_new);
            note_of_standing(&slots, moved)
        };
        let rollback = MoveRecord {
            from: Some(2),
            to: 1,
            cause: Cause::Rollback,
            end: DONE.to_owned(),
            user: "ann".to_owned(),
            principal: None,
            at: jiff::Timestamp::UNIX_EPOCH,
            millis: 1,
            fence: 1,
        };
        let told = [
            note(GoLive::AtOnce, Some(&rollback)),
            note(GoLive::Wait, Some(&rollback)),
            note(GoLive::AtOnce, None),
            note(GoLive::Wait, None),
        ];
        let expected = [
            Some("release 2 was rolled back; deploy makes it live again"),
            Some("release 2 was rolled back; `taskctl promote` makes it live again"),
            Some("release 2 waits in preview; deploy makes it live"),
            None,
        ];
        assert_eq!(told.each_ref().map(Option::as_deref), expected);
    }
}
