//! Which rules and which of their conditions a set of asks tries: what tests prove, and what they leave to luck.

use safeconduct_model::{Ask, RuleId, Timestamp};
use serde::Serialize;

use crate::expr::Expr;
use crate::rule::{Effect, Rule};
use crate::snapshot::{Kept, Snapshot};
use crate::words;

/// What one rule says to one ask that it speaks of.
struct Tried {
    /// The place of the rule in [`Snapshot::rules`].
    rule: usize,
    /// Whether each condition holds: first every `when`, then every `unless`, each split at its `&&`.
    holds: Vec<bool>,
}

/// What every rule that speaks of this asker, kind of use and application says, condition by condition.
fn tried(snapshot: &Snapshot, ask: &Ask, now: Timestamp) -> Vec<Tried> {
    let Some(app) = snapshot.app(&ask.what.app) else { return vec![] };
    let Some(mut view) = snapshot.view(app, ask) else { return vec![] };
    let prepared = view.at(ask, now);
    let speaks = |r: &Rule| {
        r.covers_principal(ask) && r.covers_application(&app.application) && r.actions.contains(&ask.what.action)
    };
    let speaking = snapshot.every().enumerate().filter(|(_, (rule, _))| speaks(rule));
    let atoms = |kept: &Kept| kept.atoms().map(|atom| atom.holds(prepared)).collect();
    speaking.map(|(rule, (_, kept))| Tried { rule, holds: atoms(kept) }).collect()
}

/// The conditions of a rule, and whether each stands in an `unless`.
fn atoms(rule: &Rule) -> impl Iterator<Item = (&Expr, bool)> {
    let when = rule.when.iter().flat_map(Expr::conjuncts).map(|e| (e, false));
    when.chain(rule.unless.iter().flat_map(Expr::conjuncts).map(|e| (e, true)))
}

/// How often a condition was seen to hold, and not to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AtomCoverage {
    /// In Cedar.
    pub condition: String,
    /// In words.
    pub words: String,
    /// Whether it stands in an `unless`.
    pub unless: bool,
    /// The line it stands at.
    pub line: u32,
    /// Asks in which it held.
    pub held: u64,
    /// Asks in which it did not.
    pub failed: u64,
}

/// How well one rule is tried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RuleCoverage {
    /// Its id.
    pub rule: RuleId,
    /// The file it stands in.
    pub file: String,
    /// The line it begins at.
    pub line: u32,
    /// Whether it forbids.
    pub forbids: bool,
    /// Asks that it decided.
    pub decided: u64,
    /// Asks of which it speaks, and where some condition kept it silent.
    pub near_misses: u64,
    /// Its conditions.
    pub atoms: Vec<AtomCoverage>,
}

/// How well a set of asks tries a snapshot.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Coverage {
    /// Every rule, in file order.
    pub rules: Vec<RuleCoverage>,
}

/// A part of a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Part {
    /// The part.
    pub of: usize,
    /// The whole.
    pub all: usize,
}

impl Coverage {
    /// Tries every ask.
    #[must_use]
    pub fn of<'a>(snapshot: &Snapshot, asks: impl IntoIterator<Item = (&'a Ask, Timestamp)>) -> Self {
        let mut found = Self { rules: snapshot.rules().iter().map(|r| RuleCoverage::none(r)).collect() };
        for (ask, now) in asks {
            let spoke = match snapshot.opinion(ask, now) {
                Ok(grounds) => grounds.rules,
                Err(denial) => denial.grounds.rules,
            };
            for tried in tried(snapshot, ask, now) {
                let row = &mut found.rules[tried.rule];
                let decided = spoke.contains(&row.rule);
                row.decided += u64::from(decided);
                let silent = |(atom, held): (&AtomCoverage, &bool)| atom.unless == *held;
                row.near_misses += u64::from(!decided && row.atoms.iter().zip(&tried.holds).any(silent));
                for (atom, held) in row.atoms.iter_mut().zip(tried.holds) {
                    if held {
                        atom.held += 1;
                    } else {
                        atom.failed += 1;
                    }
                }
            }
        }
        found
    }

    /// Rules that decided some ask.
    #[must_use]
    pub fn decided(&self) -> Part {
        Part { of: self.rules.iter().filter(|r| r.decided > 0).count(), all: self.rules.len() }
    }

    /// Rules with conditions that nearly decided some ask.
    #[must_use]
    pub fn near_missed(&self) -> Part {
        let conditional = || self.rules.iter().filter(|r| !r.atoms.is_empty());
        Part { of: conditional().filter(|r| r.near_misses > 0).count(), all: conditional().count() }
    }

    /// Conditions seen to hold and seen not to hold: each counts twice.
    #[must_use]
    pub fn sides(&self) -> Part {
        let atoms = || self.rules.iter().flat_map(|r| &r.atoms);
        let seen = |a: &AtomCoverage| usize::from(a.held > 0) + usize::from(a.failed > 0);
        Part { of: atoms().map(seen).sum(), all: 2 * atoms().count() }
    }
}

impl RuleCoverage {
    fn none(rule: &Rule) -> Self {
        let atom = |(e, unless): (&Expr, bool)| AtomCoverage {
            condition: e.to_string(),
            words: Some(words::condition(e)).filter(|w| !w.is_empty()).unwrap_or_else(|| e.to_string()),
            unless,
            line: line_of(rule, e),
            held: 0,
            failed: 0,
        };
        Self {
            rule: rule.id.clone(),
            file: rule.file.clone(),
            line: rule.line,
            forbids: rule.effect == Effect::Forbid,
            decided: 0,
            near_misses: 0,
            atoms: atoms(rule).map(atom).collect(),
        }
    }

    /// What no ask tried, one sentence each.
    #[must_use]
    pub fn gaps(&self) -> Vec<String> {
        let mut found = Vec::new();
        if self.decided == 0 {
            let verb = if self.forbids { "forbids" } else { "permits" };
            found.push(format!("{}:{}: no test shows that `{}` {verb} anything", self.file, self.line, self.rule));
        }
        for atom in &self.atoms {
            let place = format!("{}:{}: `{}`", self.file, atom.line, self.rule);
            let (clause, what) = if atom.unless { ("unless", "lifts it") } else { ("when", "is met") };
            if atom.held == 0 {
                found.push(format!("{place}: no test in which {clause} \"{}\" {what}", atom.words));
            }
            if atom.failed == 0 {
                let what = if atom.unless { "does not lift it" } else { "is not met" };
                found.push(format!("{place}: no test in which {clause} \"{}\" {what}", atom.words));
            }
        }
        found
    }
}

/// The line at which a condition stands, by its text or by the first thing that it reads; else that of the rule.
fn line_of(rule: &Rule, atom: &Expr) -> u32 {
    let text = atom.to_string();
    let path = atom.reads().first().map(|p| format!("context.{p}"));
    let at = rule.text.find(&text).or_else(|| path.and_then(|p| rule.text.find(&p))).unwrap_or(0);
    let before = rule.text.get(..at).unwrap_or_default();
    rule.line + u32::try_from(before.matches('\n').count()).unwrap_or(0)
}
