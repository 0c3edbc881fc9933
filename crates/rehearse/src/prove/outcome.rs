//! What a proof comes to.

use safeconduct_model::RuleId;
use safeconduct_policy::Rule;
use serde::Serialize;

use super::witness::Moment;

/// A question, answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Proof {
    /// The answer.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// What was done for it.
    pub effort: Effort,
}

/// The answer to a question.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "outcome")]
pub enum Outcome {
    /// Yes, for every request that there can be.
    Proved,
    /// No: this request shows it. The engine was asked, and says so too.
    Refuted(Box<Counterexample>),
    /// Neither was shown. Never to be read as yes.
    NotProven {
        /// Why not, one for each thing that stood in the way.
        because: Vec<Unproven>,
    },
}

/// A request that shows that the answer is no.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Counterexample {
    /// In words.
    pub sentence: String,
    /// What is said before, in words.
    pub before: String,
    /// What is said after.
    pub after: String,
    /// Why the answers differ, in words.
    pub cause: String,
    /// The rules that let it pass.
    pub rules: Vec<RuleAt>,
    /// The request itself.
    #[serde(flatten)]
    pub moment: Moment,
}

/// A rule, where it stands, and what it says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RuleAt {
    /// Its id.
    pub id: RuleId,
    /// The file it stands in.
    pub file: String,
    /// The line it begins at.
    pub line: u32,
    /// What it says, in words.
    pub words: String,
}

impl RuleAt {
    pub(crate) fn of(rule: &Rule) -> Self {
        Self { id: rule.id.clone(), file: rule.file.clone(), line: rule.line, words: rule.five_ws().sentence() }
    }
}

/// What stood in the way of a proof.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Unproven {
    /// The rule, if it is one.
    pub rule: Option<RuleId>,
    /// The file it stands in.
    pub file: String,
    /// The line it begins at; 0 where there is no rule.
    pub line: u32,
    /// Why.
    pub why: String,
}

impl Unproven {
    pub(crate) fn of(rule: &Rule, why: impl Into<String>) -> Self {
        Self { rule: Some(rule.id.clone()), file: rule.file.clone(), line: rule.line, why: why.into() }
    }

    pub(crate) fn plain(why: impl Into<String>) -> Self {
        Self { rule: None, file: String::new(), line: 0, why: why.into() }
    }
}

/// What was done for an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Effort {
    /// Rules that differ.
    pub changed: usize,
    /// Rules that were taken apart.
    pub rules: usize,
    /// Pairs of application and kind of use that were looked at.
    pub places: usize,
    /// Steps of the search.
    pub steps: usize,
}

impl Proof {
    /// Whether the answer is yes.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.outcome == Outcome::Proved
    }

    /// The request that shows the contrary, if there is one.
    #[must_use]
    pub fn counterexample(&self) -> Option<&Counterexample> {
        if let Outcome::Refuted(shown) = &self.outcome { Some(shown) } else { None }
    }
}
