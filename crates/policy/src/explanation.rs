//! One ask explained in full, for whoever answers for the rules: what was decided, by which rules and facts, and how far
//! every other permit was from holding.

use safeconduct_model::{Ask, Failing, Reason, Remedy, RuleId, Timestamp, Would};
use serde::Serialize;

use crate::explain;
use crate::facts::Facts;
use crate::remedies;
use crate::rule::Rule;
use crate::snapshot::Snapshot;

/// How many permits an explanation tells, nearest first.
pub const NEAREST: usize = 5;

/// One ask explained.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// The instant.
    pub at: Timestamp,
    /// Whether policy permits it; an application that is only observed changes nothing here.
    pub permitted: bool,
    /// When the permit ends at the latest, if it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// The rules that decided.
    pub rules: Vec<Spoke>,
    /// What the application must do when it lets the request through.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub obligations: Vec<String>,
    /// What the rules about this use read, by the name in the schema and as found.
    pub facts: Vec<(String, String)>,
    /// The permits that speak of the asker and do not hold, nearest first; at most [`NEAREST`].
    pub nearest: Vec<Near>,
    /// What the asker is told would help, cheapest first.
    pub remedies: Vec<Remedy>,
    /// What the answer would be if the rules in shadow bound too; nothing if it would be the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub would: Option<Would>,
}

/// A rule as a reader finds it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Spoke {
    /// Its id.
    pub id: RuleId,
    /// In words.
    pub sentence: String,
    /// The file it stands in.
    pub file: String,
    /// The line it begins at.
    pub line: u32,
}

/// A permit that does not hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Near {
    /// The rule.
    pub rule: Spoke,
    /// The heaviest of what it misses.
    pub reason: Reason,
    /// Everything that it misses.
    pub misses: Vec<Failing>,
    /// What would satisfy it.
    pub remedies: Vec<Remedy>,
}

impl Spoke {
    fn of(rule: &Rule) -> Self {
        Self { id: rule.id.clone(), sentence: rule.five_ws().sentence(), file: rule.file.clone(), line: rule.line }
    }
}

impl Snapshot {
    /// Explains one ask at one instant. It takes its time; [`Snapshot::decide`] does not.
    #[must_use]
    pub fn explain(&self, ask: &Ask, now: Timestamp) -> Explanation {
        let verdict = self.decide(ask, now);
        let grounds = verdict.grounds();
        let facts = Facts::of(ask, now, self.calendar());
        let rules = grounds.rules.iter().filter_map(|id| self.rule(id)).map(|rule| Spoke::of(rule)).collect();
        let denial = verdict.denial();
        let near = self.app(&ask.what.app).filter(|_| denial.is_some() && ask.shut_by(now).is_none()).map(|app| {
            let ranked = explain::ranked(self, app, ask, now);
            let near = ranked.into_iter().take(NEAREST).map(|(rule, misses)| {
                let told: Vec<_> = misses.iter().map(|m| (m.reason, m.told(ask, &facts))).collect();
                Near {
                    rule: Spoke::of(rule),
                    reason: explain::reason(&misses).unwrap_or(Reason::NoRule),
                    remedies: remedies::of(self, app, ask, now, &told),
                    misses: told.into_iter().map(|(_, failing)| failing).collect(),
                }
            });
            near.collect()
        });
        Explanation {
            at: now,
            permitted: denial.is_none(),
            until: match &verdict {
                crate::Verdict::Permit(permit) if denial.is_none() => Some(permit.until()),
                _ => None,
            },
            reason: denial.map(|d| d.reason),
            rules,
            obligations: match &verdict {
                crate::Verdict::Permit(permit) => permit.obligations().to_vec(),
                crate::Verdict::Denial(_) => Vec::new(),
            },
            facts: grounds.facts.iter().map(|path| (path.clone(), facts.show(path))).collect(),
            nearest: near.unwrap_or_default(),
            remedies: denial.map(|d| d.remedies.clone()).unwrap_or_default(),
            would: grounds.would.as_deref().cloned(),
        }
    }
}
