//! Standing invariants: what the rules must never permit, whoever changes them.
//!
//! An invariant is a Cedar `forbid` in a folder of its own. It decides nothing; it says "whatever the rules permit, it is
//! never this":
//!
//! ```cedar
//! @id("critical-needs-a-healthy-device")
//! @why("nobody reaches what is critical without a compliant device")
//! forbid(principal, action, resource)
//! when { resource.class == "critical" && !context.device.compliant };
//! ```

use std::sync::Arc;

use safeconduct_model::{Fault, RuleId, Timestamp};
use safeconduct_policy::{Effect, PolicyText, Rule, Snapshot, Sources};
use serde::Serialize;

use super::compile::Env;
use super::hunt::{Confirm, Hunt};
use super::more::TOO_MANY;
use super::outcome::{Outcome, Proof, RuleAt};
use super::search::Cover;
use super::side::{Side, covers, places};
use super::witness::{Moment, World};
use super::words;

/// What opens everything, so that an invariant can be asked about one request.
const OPEN: &str = "@id(\"everything\") permit(principal, action, resource);";

/// Checked invariants.
pub struct Invariants {
    texts: Vec<PolicyText>,
    rules: Vec<Arc<Rule>>,
}

/// One invariant and whether the rules keep it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Standing {
    /// Which.
    pub invariant: RuleAt,
    /// What it is for.
    pub why: String,
    /// Whether it holds.
    pub proof: Proof,
}

impl Invariants {
    /// Checks the texts as policies are checked, and that each statement is a `forbid` that says what it is for.
    pub fn read(texts: Vec<PolicyText>, sources: &Sources) -> Result<Self, Vec<Fault>> {
        let checked = Snapshot::build(0, Sources { policies: texts.clone(), ..sources.clone() })?;
        let mut faults = Vec::new();
        for rule in checked.rules() {
            let mut tell = |what: String, remedy: &str| faults.push(Fault::new(&rule.file, rule.line, what, remedy));
            if rule.effect == Effect::Permit {
                let what = format!("invariant `{}` is a permit", rule.id);
                tell(what, "write what must never be permitted, as a forbid");
            }
            if rule.note("why").is_none() {
                let what = format!("invariant `{}` does not say what it is for", rule.id);
                tell(what, "give it a sentence, as in @why(\"nobody reaches what is critical without …\")");
            }
            if rule.id.as_str() == "everything" {
                tell("the name `everything` is taken".to_owned(), "give the invariant another @id");
            }
        }
        if faults.is_empty() { Ok(Self { texts, rules: checked.rules().to_vec() }) } else { Err(faults) }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rules.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Whether each of them holds under the rules.
    pub fn under(&self, snapshot: &Snapshot, now: Timestamp) -> Result<Vec<Standing>, Vec<Fault>> {
        let open = PolicyText { file: "everything".to_owned(), text: OPEN.to_owned() };
        let policies = self.texts.iter().cloned().chain([open]).collect();
        let guard = Snapshot::build(0, Sources { policies, ..snapshot.sources().clone() })?;
        let mut rules = Side::of(snapshot);
        let mut invariants = Side::of(&guard);
        let mut told = Vec::new();
        for (at, rule) in guard.rules().iter().enumerate().filter(|(_, r)| r.effect == Effect::Forbid) {
            let proof = holds(rule, at, &mut invariants, &mut rules, World { zone: snapshot.zone(), now });
            let why = rule.note("why").unwrap_or_default().to_owned();
            told.push(Standing { invariant: RuleAt::of(rule), why, proof });
        }
        Ok(told)
    }
}

/// Whether nothing that the rules permit is covered by the invariant.
fn holds(invariant: &Rule, at: usize, guard: &mut Side<'_>, rules: &mut Side<'_>, world: World<'_>) -> Proof {
    let mut hunt = Hunt::new(world);
    let (snapshot, guarded) = (rules.snapshot, guard.snapshot);
    let breaks = |id: &RuleId, m: &Moment| {
        let covered = guarded.opinion(&m.ask, m.now).is_err_and(|denial| denial.grounds.rules.contains(id));
        covered && snapshot.opinion(&m.ask, m.now).is_ok()
    };
    let confirm: Confirm<'_> = &|m: &Moment| breaks(&invariant.id, m);
    for env in places(snapshot) {
        if !invariant.actions.contains(&env.action) || !invariant.covers_application(env.app) {
            continue;
        }
        hunt.effort.places += 1;
        let Ok(forbidden) = guard.regions(at, env) else {
            hunt.doubt(invariant, TOO_MANY);
            break;
        };
        if let Some(moment) = passing(&forbidden, env, rules, &mut hunt, confirm) {
            let cause = format!("the invariant {} covers it", invariant.id);
            let mut shown = words::counterexample(guarded, snapshot, moment, cause);
            "never to be permitted".clone_into(&mut shown.before);
            hunt.effort.rules = rules.looked_at();
            return Proof { outcome: Outcome::Refuted(Box::new(shown)), effort: hunt.effort };
        }
    }
    hunt.effort.rules = rules.looked_at();
    let outcome = if hunt.unproven.is_empty() {
        Outcome::Proved
    } else {
        Outcome::NotProven { because: hunt.unproven.into_iter().collect() }
    };
    Proof { outcome, effort: hunt.effort }
}

fn passing(
    forbidden: &[super::region::Region],
    env: Env<'_>,
    rules: &mut Side<'_>,
    hunt: &mut Hunt<'_>,
    confirm: Confirm<'_>,
) -> Option<Moment> {
    let about = rules.about(env.app);
    let permits = rules.speaking(&about, Effect::Permit, env);
    let forbids = rules.speaking(&about, Effect::Forbid, env);
    let taken: Vec<Cover<'_>> = covers(&forbids, 0).collect();
    for (opener, opened) in &permits {
        let rule = Arc::clone(rules.rule(*opener));
        let Ok(opened) = opened else {
            hunt.doubt(&rule, TOO_MANY);
            continue;
        };
        for (open, never) in opened.iter().flat_map(|o| forbidden.iter().map(move |f| (o, f))) {
            match open.intersection(never) {
                Err(_) => hunt.doubt(&rule, TOO_MANY),
                Ok(None) => {}
                Ok(Some(both)) => {
                    let found = hunt.run(&rule, &both, &taken, env, confirm);
                    if found.is_some() {
                        return found;
                    }
                }
            }
        }
    }
    None
}
