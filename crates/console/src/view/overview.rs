//! How far the organisation is, and what is next.

use safeconduct_model::Duration;

use super::{Link, Share};

/// The overview.
#[derive(Clone, Debug)]
pub struct Overview {
    /// The five steps in their order.
    pub steps: Vec<Step>,
    /// What to do next, the best move first.
    pub next: Vec<Move>,
    /// The board figures in their order.
    pub figures: Vec<Figure>,
    /// The last 24 hours in counts.
    pub today: Today,
}

/// A room of the product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// What may not be lost.
    Protect,
    /// Who uses what.
    Map,
    /// Behind the gateway.
    Build,
    /// Who may do what.
    Policy,
    /// What happens.
    Watch,
}

impl Room {
    /// The five steps in their order.
    pub const ALL: [Self; 5] = [Self::Protect, Self::Map, Self::Build, Self::Policy, Self::Watch];

    /// The name of the step.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Protect => "Protect",
            Self::Map => "Map",
            Self::Build => "Build",
            Self::Policy => "Policy",
            Self::Watch => "Watch",
        }
    }
    /// What the step asks.
    #[must_use]
    pub const fn question(self) -> &'static str {
        match self {
            Self::Protect => "What may we not lose?",
            Self::Map => "Who uses it?",
            Self::Build => "Is it behind the gateway?",
            Self::Policy => "Who may, and why?",
            Self::Watch => "What is happening?",
        }
    }
    /// The page of the step.
    #[must_use]
    pub const fn href(self) -> &'static str {
        match self {
            Self::Protect => "/console/protect",
            Self::Map => "/console/map",
            Self::Build => "/console/apps",
            Self::Policy => "/console/policy",
            Self::Watch => "/console/watch",
        }
    }
}

/// One step with its progress.
#[derive(Clone, Debug)]
pub struct Step {
    /// Which step.
    pub room: Room,
    /// How much of it is done.
    pub done: Share,
    /// What the share counts: "assets with an owner".
    pub words: String,
}

/// A move worth making.
#[derive(Clone, Debug)]
pub struct Move {
    /// What to do, as an order.
    pub title: String,
    /// Why this one, with its numbers.
    pub because: String,
    /// Where it is done.
    pub action: Link,
}

/// One of the board figures.
#[derive(Clone, Debug)]
pub struct Figure {
    /// Its short code, `K01`.
    pub code: String,
    /// Its name.
    pub name: String,
    /// What was measured.
    pub measure: Measure,
    /// Which way is better.
    pub better: Better,
    /// Earlier values, oldest first; the unit does not matter.
    pub trend: Vec<f64>,
    /// What exactly is counted.
    pub meaning: String,
}

/// What was measured.
#[derive(Clone, Debug)]
pub enum Measure {
    /// A share.
    Share(Share),
    /// A span of time, over a number of cases.
    Span {
        /// The span.
        span: Duration,
        /// Over how many cases.
        cases: u64,
    },
    /// Not known.
    Unknown {
        /// Which source would tell.
        source: String,
    },
}

/// Which way is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Better {
    /// More.
    Higher,
    /// Less.
    Lower,
}

/// The last 24 hours in counts.
#[derive(Clone, Copy, Debug, Default)]
pub struct Today {
    /// Verdicts that allowed.
    pub allowed: u64,
    /// Verdicts that denied and bound.
    pub denied: u64,
    /// Verdicts that would have denied under enforcement.
    pub would_deny: u64,
    /// Connections cut because a fact changed.
    pub cut: u64,
    /// Live sessions at this moment.
    pub sessions: u64,
}
