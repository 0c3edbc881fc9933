//! Maturity as intervals from proven to possible.

use super::Share;

/// The assessment.
#[derive(Clone, Debug, Default)]
pub struct Assess {
    /// The name of the framework.
    pub framework: String,
    /// The pillars in their order.
    pub pillars: Vec<Pillar>,
    /// What the evidence is made of.
    pub mix: EvidenceMix,
    /// The sources that would decide the most unknown criteria: name and how many.
    pub sources: Vec<(String, u64)>,
}

/// A stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Stage {
    /// Needs no proof.
    #[default]
    Traditional,
    /// Initial.
    Initial,
    /// Advanced.
    Advanced,
    /// Optimal.
    Optimal,
}

impl Stage {
    /// All of them, the lowest first.
    pub const ALL: [Self; 4] = [Self::Traditional, Self::Initial, Self::Advanced, Self::Optimal];

    /// The name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Traditional => "Traditional",
            Self::Initial => "Initial",
            Self::Advanced => "Advanced",
            Self::Optimal => "Optimal",
        }
    }
    /// 0 to 3.
    #[must_use]
    pub const fn level(self) -> u8 {
        match self {
            Self::Traditional => 0,
            Self::Initial => 1,
            Self::Advanced => 2,
            Self::Optimal => 3,
        }
    }
}

/// One pillar. Its proven stage is the lowest of its rows; so is the possible one.
#[derive(Clone, Debug)]
pub struct Pillar {
    /// Its name.
    pub name: String,
    /// Its rows.
    pub rows: Vec<MaturityRow>,
    /// What is proven for the whole pillar.
    pub proven: Stage,
    /// What is not excluded.
    pub possible: Stage,
}

/// How far evidence can decide a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Evidence decides it.
    Decidable,
    /// Partly.
    Mixed,
    /// People attest it.
    Attested,
}

/// One row.
#[derive(Clone, Debug)]
pub struct MaturityRow {
    /// Its id, `ID-1`.
    pub id: String,
    /// Its name.
    pub name: String,
    /// How far evidence can decide it.
    pub kind: Kind,
    /// What is proven.
    pub proven: Stage,
    /// What is not excluded.
    pub possible: Stage,
    /// Its criteria.
    pub criteria: Vec<Criterion>,
}

/// Whether a criterion holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Truth {
    /// It holds, measured.
    True,
    /// It holds, by a person's word.
    Attested,
    /// It does not hold.
    False,
    /// No source tells.
    Unknown,
    /// The source has been silent for too long.
    Stale,
    /// Out of scope by a decision.
    NotApplicable,
}

/// One criterion.
#[derive(Clone, Debug)]
pub struct Criterion {
    /// For which stage.
    pub stage: Stage,
    /// What must hold, in words.
    pub words: String,
    /// Whether it holds.
    pub truth: Truth,
    /// What was measured, if it is a share.
    pub found: Option<Share>,
    /// The source that decides it, or would.
    pub source: String,
}

/// What the evidence is made of, in criteria.
#[derive(Clone, Copy, Debug, Default)]
pub struct EvidenceMix {
    /// Measured.
    pub measured: u64,
    /// Attested.
    pub attested: u64,
    /// Stale.
    pub stale: u64,
    /// Unknown.
    pub unknown: u64,
}
