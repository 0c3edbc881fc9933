//! Rules that do nothing: they can never speak, or everything that they say is said without them. And rules that meet.

use std::collections::BTreeSet;
use std::sync::Arc;

use safeconduct_model::{RuleId, Timestamp};
use safeconduct_policy::{Effect, Snapshot};
use serde::Serialize;

use super::compile::Env;
use super::outcome::RuleAt;
use super::pattern::TooComplex;
use super::region::Region;
use super::search::{Cover, Search};
use super::side::{Side, covers, places};
use super::witness::{Moment, World, realise};

/// A rule without which every answer stays the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unreachable {
    /// Which.
    pub rule: RuleAt,
    /// Why it does nothing.
    pub because: Because,
}

/// Why a rule does nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "because", content = "rules")]
pub enum Because {
    /// No application lies in its scope.
    NoApplication,
    /// Its conditions contradict each other.
    Contradiction,
    /// Other rules say all that it says, perhaps together with forbids that take the rest away.
    Covered(Vec<RuleId>),
    /// Forbids take away all that it permits.
    Forbidden(Vec<RuleId>),
}

impl Because {
    /// In words.
    #[must_use]
    pub fn words(&self) -> String {
        let list = |ids: &[RuleId]| ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        match self {
            Self::NoApplication => "no application lies in its scope".to_owned(),
            Self::Contradiction => "no request can meet its conditions".to_owned(),
            Self::Covered(by) => format!("without it {} say the same", list(by)),
            Self::Forbidden(by) => format!("all that it permits is taken away by {}", list(by)),
        }
    }
}

/// Every rule that does nothing. Only what is certain is told: a rule that is too complex counts as reachable.
///
/// Of rules that say the same, the first one stays; so all that are told can be removed together.
#[must_use]
pub fn unreachable(snapshot: &Snapshot, now: Timestamp) -> Vec<Unreachable> {
    let world = World { zone: snapshot.zone(), now };
    let mut side = Side::of(snapshot);
    let rules = snapshot.rules();
    let mut gone: BTreeSet<usize> = BTreeSet::new();
    let mut found = Vec::new();
    let all: Vec<Env<'_>> = places(snapshot).collect();
    for at in (0..rules.len()).rev() {
        let rule = &rules[at];
        let scope: Vec<Env<'_>> = all
            .iter()
            .copied()
            .filter(|e| rule.actions.contains(&e.action) && rule.covers_application(e.app))
            .collect();
        let because =
            if scope.is_empty() { Some(Because::NoApplication) } else { idle(&mut side, at, &scope, &gone, world) };
        if let Some(because) = because {
            gone.insert(at);
            found.push(Unreachable { rule: RuleAt::of(rule), because });
        }
    }
    found.reverse();
    found
}

/// Why a rule does nothing in any place of its scope, if it does nothing.
fn idle(
    side: &mut Side<'_>,
    at: usize,
    scope: &[Env<'_>],
    gone: &BTreeSet<usize>,
    world: World<'_>,
) -> Option<Because> {
    let effect = side.rule(at).effect;
    let (mut contradicts, mut by) = (true, BTreeSet::new());
    for env in scope {
        let regions = side.regions(at, *env).ok()?;
        let real: Vec<&Region> =
            regions.iter().filter(|region| !matches!(realise(region, *env, world), Ok(None))).collect();
        if real.is_empty() {
            continue;
        }
        contradicts = false;
        let others: Vec<usize> =
            side.about(env.app).into_iter().filter(|other| *other != at && !gone.contains(other)).collect();
        let forbids = side.speaking(&others, Effect::Forbid, *env);
        let permits = if effect == Effect::Permit { side.speaking(&others, Effect::Permit, *env) } else { vec![] };
        let taken: Vec<Cover<'_>> = covers(&forbids, 0).chain(covers(&permits, 0)).collect();
        for region in real {
            let mut search = Search::new(&taken);
            let outside = search.outside(region, &mut |r| realise(r, *env, world));
            if !matches!(outside, Ok(None)) {
                return None;
            }
            by.extend(search.used);
        }
    }
    if contradicts {
        return Some(Because::Contradiction);
    }
    let forbidden = by.iter().all(|other| side.rule(*other).effect == Effect::Forbid);
    let ids = by.iter().map(|other| side.rule(*other).id.clone()).collect();
    Some(if forbidden && effect == Effect::Permit { Because::Forbidden(ids) } else { Because::Covered(ids) })
}

/// Two rules that speak of one request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Overlap {
    /// The one.
    pub first: RuleAt,
    /// The other.
    pub second: RuleAt,
    /// Whether the one opens what the other closes.
    pub opposed: bool,
    /// A request of which both speak.
    pub moment: Moment,
}

/// Pairs of rules that speak of one request, `limit` at most.
#[must_use]
pub fn overlaps(snapshot: &Snapshot, now: Timestamp, limit: usize) -> Vec<Overlap> {
    let world = World { zone: snapshot.zone(), now };
    let mut side = Side::of(snapshot);
    let rules = snapshot.rules();
    let (mut found, mut met) = (Vec::new(), BTreeSet::new());
    for env in places(snapshot) {
        let about = side.about(env.app);
        let both = [Effect::Permit, Effect::Forbid];
        let speaking: Vec<_> = both.into_iter().flat_map(|effect| side.speaking(&about, effect, env)).collect();
        for (i, (a, of_a)) in speaking.iter().enumerate() {
            for (b, of_b) in &speaking[i + 1..] {
                let pair = (*a.min(b), *a.max(b));
                let (Ok(of_a), Ok(of_b)) = (of_a, of_b) else { continue };
                if met.contains(&pair) {
                    continue;
                }
                if let Ok(Some(moment)) = common(of_a, of_b, env, world) {
                    if found.len() >= limit {
                        return found;
                    }
                    met.insert(pair);
                    let [first, second] = [pair.0, pair.1].map(|at| Arc::clone(&rules[at]));
                    let opposed = first.effect != second.effect;
                    found.push(Overlap { first: RuleAt::of(&first), second: RuleAt::of(&second), opposed, moment });
                }
            }
        }
    }
    found
}

fn common(a: &[Region], b: &[Region], env: Env<'_>, world: World<'_>) -> Result<Option<Moment>, TooComplex> {
    for x in a {
        for y in b {
            // What rests on a condition outside the fragment is not certain, and not told.
            if let Some(both) = x.intersection(y)?.filter(|r| r.opaque().next().is_none())
                && let Some(moment) = realise(&both, env, world)?
            {
                return Ok(Some(moment));
            }
        }
    }
    Ok(None)
}
