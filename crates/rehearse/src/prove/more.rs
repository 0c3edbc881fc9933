//! "The candidate permits no more than the current rules", and what follows from asking it both ways.

use std::collections::BTreeMap;
use std::sync::Arc;

use safeconduct_model::{Application, Mode, RuleId, Timestamp};
use safeconduct_policy::{Effect, Rule, Snapshot, Stage};
use serde::Serialize;

use super::compile::{Env, scope};
use super::hunt::{Confirm, Hunt};
use super::instant::same_zone;
use super::outcome::{Counterexample, Outcome, Proof, RuleAt, Unproven};
use super::search::Cover;
use super::side::{Side, Speaking, covers, may_fail, places};
use super::witness::{Moment, World};
use super::words;

/// Whether `candidate` permits nothing that `current` denies. `now` only makes the example timely.
///
/// A request is newly permitted where a rule that `current` lacks permits it, or where a forbid is gone. So only the rules
/// that differ are hunted, in the places of their scopes.
#[must_use]
pub fn permits_no_more(current: &Snapshot, candidate: &Snapshot, now: Timestamp) -> Proof {
    let mut question = Question::new(current, candidate, now);
    let shown = question.answer();
    let Question { hunt, old, new, .. } = question;
    let mut effort = hunt.effort;
    effort.rules = old.looked_at() + new.looked_at();
    let outcome = match shown {
        Some(shown) => Outcome::Refuted(Box::new(shown)),
        None if hunt.unproven.is_empty() => Outcome::Proved,
        None => Outcome::NotProven { because: hunt.unproven.into_iter().collect() },
    };
    Proof { outcome, effort }
}

/// How two rule sets lie to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Relation {
    /// They permit the same.
    Same,
    /// The second permits less.
    Narrower,
    /// The second permits more.
    Wider,
    /// Each permits something that the other does not.
    Both,
    /// Not all of it could be shown.
    Unknown,
}

/// Both ways at once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BothWays {
    /// How the second lies to the first.
    pub relation: Relation,
    /// Whether the second permits no more than the first.
    pub no_wider: Proof,
    /// Whether the second permits no less than the first.
    pub no_narrower: Proof,
}

/// Compares two snapshots both ways.
#[must_use]
pub fn both_ways(first: &Snapshot, second: &Snapshot, now: Timestamp) -> BothWays {
    let (no_wider, no_narrower) = (permits_no_more(first, second, now), permits_no_more(second, first, now));
    let relation = match (&no_wider.outcome, &no_narrower.outcome) {
        (Outcome::Proved, Outcome::Proved) => Relation::Same,
        (Outcome::Proved, Outcome::Refuted(_)) => Relation::Narrower,
        (Outcome::Refuted(_), Outcome::Proved) => Relation::Wider,
        (Outcome::Refuted(_), Outcome::Refuted(_)) => Relation::Both,
        _ => Relation::Unknown,
    };
    BothWays { relation, no_wider, no_narrower }
}

struct Question<'s> {
    old: Side<'s>,
    new: Side<'s>,
    hunt: Hunt<'s>,
    /// The rules that only the current set has, by place in it.
    gone: Vec<usize>,
    /// The rules that only the candidate has.
    came: Vec<usize>,
}

impl<'s> Question<'s> {
    fn new(current: &'s Snapshot, candidate: &'s Snapshot, now: Timestamp) -> Self {
        let (gone, came) = changed(current.rules(), candidate.rules());
        let mut hunt = Hunt::new(World { zone: candidate.zone(), now });
        hunt.effort.changed = gone.len().max(came.len());
        Self { old: Side::of(current), new: Side::of(candidate), hunt, gone, came }
    }

    fn answer(&mut self) -> Option<Counterexample> {
        self.outside_the_rules();
        let candidate = self.new.snapshot;
        let mut last: Option<(&Application, Change<'s>, Vec<usize>, Vec<usize>)> = None;
        for env in places(candidate) {
            if last.as_ref().is_none_or(|(app, ..)| app.id != env.app.id) {
                let change = Change::of(self.old.app(env.app), env.app);
                let touched = !matches!(change, Change::None) || self.touches(env.app);
                let about = |side: &Side<'_>| if touched { side.about(env.app) } else { vec![] };
                last = Some((env.app, change, about(&self.old), about(&self.new)));
            }
            let Some((_, change, about_old, about_new)) = &last else { continue };
            let (change, about_old, about_new) = (*change, about_old.clone(), about_new.clone());
            if let Some(found) = self.place(env, change, &about_old, &about_new) {
                return Some(found);
            }
        }
        None
    }

    /// What no rule shows: verdicts that cease to bind, another clock.
    fn outside_the_rules(&mut self) {
        let (current, candidate) = (self.old.snapshot, self.new.snapshot);
        for app in &candidate.sources().applications {
            let bound = current.application(&app.id).is_some_and(|a| a.mode == Mode::Enforce);
            if bound && app.mode == Mode::Observe {
                let why = format!("{} would only be observed: whoever is signed in gets through", app.id);
                self.hunt.unproven.insert(Unproven::plain(why));
            }
        }
        let reads_clock = |s: &Snapshot| {
            let clock = |r: &Arc<Rule>| r.reads().iter().any(|p| p == "weekday" || p == "minute");
            s.rules().iter().any(clock)
        };
        if !same_zone(current.zone(), candidate.zone()) && (reads_clock(current) || reads_clock(candidate)) {
            let why = "the two sets mean their weekdays and hours in different time zones";
            self.hunt.unproven.insert(Unproven::plain(why));
        }
    }

    fn touches(&self, app: &Application) -> bool {
        self.came.iter().any(|at| self.new.rule(*at).covers_application(app))
            || self.gone.iter().any(|at| self.old.rule(*at).covers_application(app))
    }

    fn place(
        &mut self,
        env: Env<'s>,
        change: Change<'s>,
        about_old: &[usize],
        about_new: &[usize],
    ) -> Option<Counterexample> {
        let whole = !matches!(change, Change::None);
        let speaks = |rule: &Rule| rule.actions.contains(&env.action);
        let opens = |at: &usize| self.new.rule(*at).effect == Effect::Permit && speaks(self.new.rule(*at));
        let came: Vec<usize> =
            about_new.iter().copied().filter(|at| whole || self.came.contains(at)).filter(opens).collect();
        let gone: Vec<usize> = about_old
            .iter()
            .copied()
            .filter(|at| (whole || self.gone.contains(at)) && speaks(self.old.rule(*at)))
            .collect();
        let old_rules = self.old.snapshot.rules();
        let loosens = |at: &usize| old_rules[*at].effect == Effect::Forbid || may_fail(&old_rules[*at]);
        if came.is_empty() && !gone.iter().any(loosens) {
            return None;
        }
        self.hunt.effort.places += 1;
        let (current, candidate) = (self.old.snapshot, self.new.snapshot);
        let confirm: Confirm<'_> =
            &|m: &Moment| current.opinion(&m.ask, m.now).is_err() && candidate.opinion(&m.ask, m.now).is_ok();
        let forbids = self.new.speaking(about_new, Effect::Forbid, env);
        let old_env = match change {
            Change::NewApp => None,
            Change::None => Some(env),
            Change::Other(app) => Some(Env { app, action: env.action, before: true }),
        };
        let permitted = old_env.map(|env| self.old.speaking(about_old, Effect::Permit, env)).unwrap_or_default();
        let after_old = self.new.snapshot.rules().len();
        let all: Vec<Cover<'_>> = covers(&forbids, 0).chain(covers(&permitted, after_old)).collect();
        for at in came {
            let rule = Arc::clone(self.new.rule(at));
            let Ok(regions) = self.new.regions(at, env) else {
                self.hunt.doubt(&rule, TOO_MANY);
                continue;
            };
            for region in regions.iter() {
                if let Some(moment) = self.hunt.run(&rule, region, &all, env, confirm) {
                    let cause = match change {
                        Change::NewApp => format!("the application {} is new", env.app.id),
                        Change::Other(_) => format!("the class or the assets of {} changed", env.app.id),
                        Change::None => format!("rule {} is new or changed", rule.id),
                    };
                    return Some(self.shown(moment, cause));
                }
            }
        }
        let still: Vec<Cover<'_>> = covers(&forbids, 0).collect();
        let old_env = old_env?;
        if gone.iter().any(loosens) {
            let permits = self.new.speaking(about_new, Effect::Permit, env);
            for at in gone.iter().copied().filter(|at| old_rules[*at].effect == Effect::Forbid) {
                let found = self.reopened(at, old_env, env, &permits, &still, confirm);
                if found.is_some() {
                    return found;
                }
            }
            for at in gone.iter().copied().filter(|at| may_fail(&old_rules[*at])) {
                let found = self.no_longer_fails(at, old_env, env, &permits, &still, confirm);
                if found.is_some() {
                    return found;
                }
            }
        }
        None
    }

    /// A request that a forbid kept out and that passes now.
    fn reopened(
        &mut self,
        at: usize,
        old_env: Env<'_>,
        env: Env<'_>,
        permits: &Speaking,
        still: &[Cover<'_>],
        confirm: Confirm<'_>,
    ) -> Option<Counterexample> {
        let rule = Arc::clone(self.old.rule(at));
        let Ok(regions) = self.old.regions(at, old_env) else {
            self.hunt.doubt(&rule, TOO_MANY);
            return None;
        };
        let moment = self.passing(&rule, &regions, env, permits, still, confirm)?;
        let cause = format!("forbid {} is gone or changed", rule.id);
        Some(self.shown(moment, cause))
    }

    /// A rule that fails denies; without it something may pass.
    fn no_longer_fails(
        &mut self,
        at: usize,
        old_env: Env<'_>,
        env: Env<'_>,
        permits: &Speaking,
        still: &[Cover<'_>],
        confirm: Confirm<'_>,
    ) -> Option<Counterexample> {
        let rule = Arc::clone(self.old.rule(at));
        let fails: Confirm<'_> = confirm;
        let before = self.hunt.unproven.clone();
        let regions = scope(&rule, old_env).unwrap_or_default();
        let moment = self.passing(&rule, &regions, env, permits, still, fails);
        if moment.is_none() && self.hunt.unproven != before {
            // The requests that were tried do not fail; whether others do is unknown.
            self.hunt.unproven = before;
            self.hunt.doubt(&rule, "it may fail while it is evaluated, and what fails is denied");
        }
        moment.map(|moment| {
            let cause = format!("rule {} failed there, and what fails is denied", rule.id);
            self.shown(moment, cause)
        })
    }

    fn passing(
        &mut self,
        rule: &Rule,
        regions: &[super::region::Region],
        env: Env<'_>,
        permits: &Speaking,
        still: &[Cover<'_>],
        confirm: Confirm<'_>,
    ) -> Option<Moment> {
        for region in regions {
            for (opener, opened) in permits {
                let Ok(opened) = opened else {
                    let opener = Arc::clone(self.new.rule(*opener));
                    self.hunt.doubt(&opener, TOO_MANY);
                    continue;
                };
                for opened in opened.iter() {
                    let Ok(both) = region.intersection(opened) else {
                        self.hunt.doubt(rule, TOO_MANY);
                        continue;
                    };
                    let Some(both) = both else { continue };
                    if let Some(moment) = self.hunt.run(rule, &both, still, env, confirm) {
                        return Some(moment);
                    }
                }
            }
        }
        None
    }

    fn shown(&self, moment: Moment, cause: String) -> Counterexample {
        words::counterexample(self.old.snapshot, self.new.snapshot, moment, cause)
    }
}

pub(crate) const TOO_MANY: &str = "its conditions come to too many cases";

/// How an application differs, as far as rules can see it.
#[derive(Clone, Copy)]
enum Change<'a> {
    None,
    NewApp,
    Other(&'a Application),
}

impl<'a> Change<'a> {
    fn of(old: Option<&'a Arc<Application>>, new: &Application) -> Self {
        match old {
            None => Self::NewApp,
            Some(old) if old.class == new.class && old.assets == new.assets => Self::None,
            Some(old) => Self::Other(old),
        }
    }
}

/// The places of the rules that only the one or only the other set has. Notes and ids do not count.
fn changed(old: &[Arc<Rule>], new: &[Arc<Rule>]) -> (Vec<usize>, Vec<usize>) {
    let by_id: BTreeMap<&RuleId, usize> = old.iter().enumerate().map(|(at, r)| (&r.id, at)).collect();
    let mut gone = vec![true; old.len()];
    let mut came = Vec::new();
    for (at, rule) in new.iter().enumerate() {
        match by_id.get(&rule.id) {
            Some(same) if says_the_same(&old[*same], rule) => gone[*same] = false,
            _ => came.push(at),
        }
    }
    let gone: Vec<usize> = (0..old.len()).filter(|at| gone[*at]).collect();
    // A rule under another id is no change either.
    let still_came = came.iter().copied().filter(|at| !old.iter().any(|r| says_the_same(r, &new[*at]))).collect();
    let still_gone = gone.into_iter().filter(|at| !new.iter().any(|r| says_the_same(r, &old[*at]))).collect();
    (still_gone, still_came)
}

fn says_the_same(a: &Rule, b: &Rule) -> bool {
    a.effect == b.effect
        && a.actions == b.actions
        && a.principal == b.principal
        && a.resource == b.resource
        && a.when == b.when
        && a.unless == b.unless
        && a.stage == b.stage
        // Whom a canary binds depends on its name.
        && (a.id == b.id || !matches!(a.stage, Stage::Canary(_)))
}

/// The rules among `ids`, as a reader wants them.
pub(crate) fn rules_at(snapshot: &Snapshot, ids: &[RuleId]) -> Vec<RuleAt> {
    ids.iter().filter_map(|id| snapshot.rule(id)).map(|rule| RuleAt::of(rule)).collect()
}
