//! Canaries watched: a rule that binds a share of the people goes back into shadow when those it binds are denied more than
//! the others.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use safeconduct_model::{Access, AppId, RuleId};

use crate::rule::{Rule, Stage};
use crate::snapshot::Snapshot;

/// How long a verdict counts, in minutes.
pub const WINDOW_MINUTES: i64 = 10;
/// Fewer verdicts on people that the rule binds say nothing.
pub const LEAST_ASKED: u64 = 20;
/// By how many percent points more of them may be denied than of the others, unless the rule says `@rollback_above("N")`.
pub const JUMP_PERCENT: u64 = 5;

const MINUTE: i64 = 60_000;

/// Watches every canary of one snapshot.
#[derive(Default)]
pub struct Rollout {
    watched: Vec<Watched>,
}

struct Watched {
    rule: Arc<Rule>,
    apps: BTreeSet<AppId>,
    jump: u64,
    minutes: VecDeque<Minute>,
    told: bool,
}

#[derive(Clone, Copy, Default)]
struct Minute {
    at: i64,
    bound: Count,
    others: Count,
}

/// Verdicts about what a rule speaks of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// How many.
    pub asked: u64,
    /// Those in which policy said no.
    pub denied: u64,
}

/// A canary that denies too much.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rollback {
    /// The rule.
    pub rule: RuleId,
    /// On people whom it binds.
    pub bound: Count,
    /// On everybody else, about the same applications and kinds of use.
    pub others: Count,
}

impl Count {
    fn add(&mut self, denied: bool) {
        self.asked += 1;
        self.denied += u64::from(denied);
    }

    /// In percent, rounded down.
    #[must_use]
    pub fn percent(self) -> u64 {
        self.denied * 100 / self.asked.max(1)
    }
}

impl std::fmt::Display for Rollback {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { rule, bound, others } = self;
        write!(
            f,
            "canary {rule}: {} of {} denied where it binds, {} of {} elsewhere, within {WINDOW_MINUTES} minutes",
            bound.denied, bound.asked, others.denied, others.asked
        )
    }
}

impl Rollout {
    /// Watches the canaries of a snapshot, from nothing.
    #[must_use]
    pub fn of(snapshot: &Snapshot) -> Self {
        let canaries = snapshot.rules().iter().filter(|rule| matches!(rule.stage, Stage::Canary(_)));
        let watched = canaries.map(|rule| {
            let apps = &snapshot.sources().applications;
            let apps = apps.iter().filter(|app| rule.covers_application(app)).map(|app| app.id.clone()).collect();
            let jump = rule.note("rollback_above").and_then(|n| n.parse().ok()).unwrap_or(JUMP_PERCENT);
            Watched { rule: Arc::clone(rule), apps, jump, minutes: VecDeque::new(), told: false }
        });
        Self { watched: watched.collect() }
    }

    /// Whether there is nothing to watch.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.watched.is_empty()
    }

    /// Takes a verdict of the same snapshot; tells the canary that should go back into shadow, once.
    pub fn see(&mut self, access: &Access) -> Option<Rollback> {
        self.watched.iter_mut().find_map(|watched| watched.see(access))
    }
}

impl Watched {
    fn see(&mut self, access: &Access) -> Option<Rollback> {
        let (rule, what) = (&self.rule, &access.ask.what);
        let about = self.apps.contains(&what.app) && rule.actions.contains(&what.action);
        if self.told || !about || !rule.covers_principal(&access.ask) {
            return None;
        }
        let at = access.decided.millis() / MINUTE;
        if self.minutes.back().is_none_or(|last| last.at < at) {
            self.minutes.push_back(Minute { at, ..Minute::default() });
        }
        while self.minutes.front().is_some_and(|first| first.at <= at - WINDOW_MINUTES) {
            self.minutes.pop_front();
        }
        let binds = rule.stage.binds(&rule.id, &access.ask.who.principal);
        if let Some(minute) = self.minutes.back_mut() {
            let count = if binds { &mut minute.bound } else { &mut minute.others };
            count.add(!access.permitted());
        }
        let sum = |of: fn(&Minute) -> Count| {
            self.minutes.iter().map(of).fold(Count::default(), |sum, count| Count {
                asked: sum.asked + count.asked,
                denied: sum.denied + count.denied,
            })
        };
        let (bound, others) = (sum(|m| m.bound), sum(|m| m.others));
        let jumps = bound.asked >= LEAST_ASKED && bound.percent() > others.percent() + self.jump;
        self.told = jumps;
        jumps.then(|| Rollback { rule: rule.id.clone(), bound, others })
    }
}

/// The text of a policy file with one of its rules back in shadow; nothing if the rule does not stand in it as it was read.
#[must_use]
pub fn shadowed(text: &str, rule: &Rule) -> Option<String> {
    let mode = format!("@mode(\"{}\")", rule.stage);
    if !text.contains(&rule.text) || !rule.text.contains(&mode) {
        return None;
    }
    let shadow = rule.text.replacen(&mode, "@mode(\"shadow\")", 1);
    Some(text.replacen(&rule.text, &shadow, 1))
}
