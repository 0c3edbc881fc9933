//! What differs between two snapshots, rule by rule.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use safeconduct_model::{AppId, Mode, RuleId};
use safeconduct_policy::{Rule, Snapshot};
use serde::Serialize;

/// A rule as a reader sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RuleText {
    /// In words.
    pub words: String,
    /// In Cedar.
    pub cedar: String,
    /// The file it stands in.
    pub file: String,
    /// The line it begins at.
    pub line: u32,
}

impl RuleText {
    fn of(rule: &Rule) -> Self {
        Self { words: rule.five_ws().sentence(), cedar: rule.text.clone(), file: rule.file.clone(), line: rule.line }
    }
}

/// What became of one rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "change")]
pub enum RuleChange {
    /// Only the candidate has it.
    Added {
        /// Its id.
        id: RuleId,
        /// The rule.
        after: RuleText,
    },
    /// Only the current snapshot has it.
    Removed {
        /// Its id.
        id: RuleId,
        /// The rule.
        before: RuleText,
    },
    /// Both have it, with different texts.
    Changed {
        /// Its id.
        id: RuleId,
        /// The current rule.
        before: RuleText,
        /// The rule of the candidate.
        after: RuleText,
        /// Whether it reads the same in words: only notes, layout or an unworded detail changed.
        same_words: bool,
    },
}

/// What became of an application.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "change")]
pub enum AppChange {
    /// Only the candidate has it.
    Added {
        /// Which.
        id: AppId,
    },
    /// Only the current snapshot has it.
    Removed {
        /// Which.
        id: AppId,
    },
    /// Verdicts begin or cease to bind.
    Mode {
        /// Which.
        id: AppId,
        /// As it is.
        before: Mode,
        /// As it would be.
        after: Mode,
    },
}

/// What differs between two snapshots.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Default)]
pub struct Difference {
    /// By rule id.
    pub rules: Vec<RuleChange>,
    /// By application id.
    pub applications: Vec<AppChange>,
}

/// Compares two snapshots by rule id.
#[must_use]
pub fn difference(current: &Snapshot, candidate: &Snapshot) -> Difference {
    let by_id = |s: &Snapshot| -> BTreeMap<RuleId, Arc<Rule>> {
        s.rules().iter().map(|r| (r.id.clone(), Arc::clone(r))).collect()
    };
    let (old, new) = (by_id(current), by_id(candidate));
    let mut rules = Vec::new();
    for (id, rule) in &old {
        let (id, before) = (id.clone(), RuleText::of(rule));
        match new.get(&id) {
            None => rules.push(RuleChange::Removed { id, before }),
            Some(other) if other.text != rule.text => {
                let after = RuleText::of(other);
                let same_words = before.words == after.words;
                rules.push(RuleChange::Changed { id, before, after, same_words });
            }
            Some(_) => {}
        }
    }
    let added = new.iter().filter(|(id, _)| !old.contains_key(id));
    rules.extend(added.map(|(id, rule)| RuleChange::Added { id: id.clone(), after: RuleText::of(rule) }));
    rules.sort_by(|a, b| a.id().cmp(b.id()));
    Difference { rules, applications: applications(current, candidate) }
}

fn applications(current: &Snapshot, candidate: &Snapshot) -> Vec<AppChange> {
    let modes = |s: &Snapshot| -> BTreeMap<AppId, Mode> {
        s.sources().applications.iter().map(|a| (a.id.clone(), a.mode)).collect()
    };
    let (old, new) = (modes(current), modes(candidate));
    let mut found: Vec<AppChange> = old
        .iter()
        .filter_map(|(id, before)| match new.get(id) {
            None => Some(AppChange::Removed { id: id.clone() }),
            Some(after) if after != before => Some(AppChange::Mode { id: id.clone(), before: *before, after: *after }),
            Some(_) => None,
        })
        .collect();
    found.extend(new.keys().filter(|id| !old.contains_key(id)).map(|id| AppChange::Added { id: id.clone() }));
    found
}

impl RuleChange {
    /// Which rule.
    #[must_use]
    pub fn id(&self) -> &RuleId {
        match self {
            Self::Added { id, .. } | Self::Removed { id, .. } | Self::Changed { id, .. } => id,
        }
    }
}

impl Difference {
    /// Whether the two are the same.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty() && self.applications.is_empty()
    }

    /// One line for each change, in words.
    #[must_use]
    pub fn report(&self) -> String {
        let mut text = String::new();
        for change in &self.rules {
            let _ = match change {
                RuleChange::Added { id, after } => writeln!(text, "+ {id}: {}", after.words),
                RuleChange::Removed { id, before } => writeln!(text, "- {id}: {}", before.words),
                RuleChange::Changed { id, after, same_words: true, .. } => {
                    writeln!(text, "~ {id}: {} (same in words; the text differs)", after.words)
                }
                RuleChange::Changed { id, before, after, .. } => {
                    writeln!(text, "~ {id}: {}\n  -> {}", before.words, after.words)
                }
            };
        }
        for change in &self.applications {
            let _ = match change {
                AppChange::Added { id } => writeln!(text, "+ application {id}"),
                AppChange::Removed { id } => writeln!(text, "- application {id}"),
                AppChange::Mode { id, before, after } => {
                    writeln!(text, "~ application {id}: {} -> {}", before.name(), after.name())
                }
            };
        }
        text
    }
}
