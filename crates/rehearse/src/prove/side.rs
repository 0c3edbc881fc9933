//! One rule set with its regions, made when they are first needed.

use std::collections::HashMap;
use std::sync::Arc;

use safeconduct_model::{Action, Application};
use safeconduct_policy::{Effect, Expr, Rule, Snapshot, Stage};

use super::compile::{Env, is_same_everywhere, regions};
use super::pattern::TooComplex;
use super::region::Region;
use super::search::Cover;

/// The regions of one rule in one place, or that they are too many.
pub(crate) type Regions = Result<Arc<Vec<Region>>, TooComplex>;

/// A snapshot as a prover sees it.
pub(crate) struct Side<'s> {
    pub(crate) snapshot: &'s Snapshot,
    /// The regions of rules that ask nothing of the application.
    everywhere: HashMap<usize, Regions>,
}

/// The rules that speak of one place, each with its regions.
pub(crate) type Speaking = Vec<(usize, Regions)>;

impl<'s> Side<'s> {
    pub(crate) fn of(snapshot: &'s Snapshot) -> Self {
        Self { snapshot, everywhere: HashMap::new() }
    }

    pub(crate) fn rule(&self, at: usize) -> &'s Arc<Rule> {
        &self.snapshot.rules()[at]
    }

    pub(crate) fn app(&self, app: &Application) -> Option<&'s Arc<Application>> {
        self.snapshot.application(&app.id)
    }

    /// How many rules were taken apart.
    pub(crate) fn looked_at(&self) -> usize {
        self.everywhere.len()
    }

    /// The regions of a rule in a place of its scope.
    pub(crate) fn regions(&mut self, at: usize, env: Env<'_>) -> Regions {
        let rule = &self.snapshot.rules()[at];
        if is_same_everywhere(rule) {
            let made = || regions(rule, env).map(Arc::new);
            return self.everywhere.entry(at).or_insert_with(made).clone();
        }
        self.everywhere.entry(at).or_insert(Err(TooComplex));
        regions(rule, env).map(Arc::new)
    }

    /// The rules of one effect that speak of an application, in any way.
    pub(crate) fn about(&self, app: &Application) -> Vec<usize> {
        let all = self.snapshot.rules().iter().enumerate();
        all.filter(|(_, rule)| rule.covers_application(app)).map(|(at, _)| at).collect()
    }

    /// Of these rules, those of one effect that speak of an action, with their regions.
    pub(crate) fn speaking(&mut self, about: &[usize], effect: Effect, env: Env<'_>) -> Speaking {
        let speaks = |side: &Self, at: usize| {
            let rule = side.rule(at);
            rule.effect == effect && rule.actions.contains(&env.action)
        };
        let chosen: Vec<usize> = about.iter().copied().filter(|at| speaks(self, *at)).collect();
        chosen.into_iter().map(|at| (at, self.regions(at, env))).collect()
    }
}

/// Every region of the rules as something that takes points away. A rule that is too complex takes none.
pub(crate) fn covers<'c>(speaking: &'c [(usize, Regions)], from: usize) -> impl Iterator<Item = Cover<'c>> {
    let known = speaking.iter().filter_map(|(at, regions)| Some((at, regions.as_ref().ok()?)));
    known.flat_map(move |(at, regions)| regions.iter().map(move |region| Cover { rule: from + at, region }))
}

/// Whether a rule can fail while it is evaluated: only arithmetic can, and all of it is outside the fragment.
pub(crate) fn may_fail(rule: &Rule) -> bool {
    let mut found = false;
    if rule.stage == Stage::Shadow {
        return false;
    }
    for condition in rule.when.iter().chain(&rule.unless) {
        // A sign inside a text is taken for one that computes: that leaves a question open and makes no wrong answer.
        let computes = |text: &str| {
            text.contains(['+', '-', '*'])
                || ["offset", "duration", "toTime", "toDate"].iter().any(|f| text.contains(f))
        };
        condition.walk(&mut |e| found |= matches!(e, Expr::Other { text, .. } if computes(text)));
    }
    found
}

/// Every place of a snapshot.
pub(crate) fn places(snapshot: &Snapshot) -> impl Iterator<Item = Env<'_>> {
    let apps = snapshot.sources().applications.iter();
    apps.flat_map(|app| Action::ALL.into_iter().map(move |action| Env { app, action, before: false }))
}
