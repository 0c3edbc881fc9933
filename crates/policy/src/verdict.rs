//! The answer. Only this crate builds a [`Permit`], and connecting to an application takes one.

use std::collections::BTreeSet;
use std::sync::Arc;

use safeconduct_model::{Access, Application, Ask, Failing, Mode, Outcome, Reason, Remedy, RuleId, Timestamp, Would};

/// Yes or no. Neither is an error.
#[derive(Debug)]
#[must_use]
pub enum Verdict {
    /// Yes, until an instant.
    Permit(Permit),
    /// No, with the reason.
    Denial(Denial),
}

/// A permission for one request on one application. It is not `Clone`: one decision, one use.
#[derive(Debug)]
pub struct Permit {
    pub(crate) target: Arc<Application>,
    pub(crate) until: Timestamp,
    pub(crate) basis: Basis,
    pub(crate) grounds: Grounds,
    pub(crate) obligations: Vec<String>,
}

/// Why a permit was given.
#[derive(Debug)]
pub(crate) enum Basis {
    /// Rules permit.
    Rules,
    /// The application is only observed; policy would have denied.
    Observed(Denial),
}

/// A denial that explains itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denial {
    /// The stable reason.
    pub reason: Reason,
    /// The conditions of the nearest rule that did not hold.
    pub failing: Vec<Failing>,
    /// What would help, cheapest first.
    pub remedies: Vec<Remedy>,
    /// What it rests on.
    pub grounds: Grounds,
}

/// What a verdict rests on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Grounds {
    /// The revision of the snapshot.
    pub revision: u64,
    /// The rules that spoke.
    pub rules: Vec<RuleId>,
    /// The facts that the candidate rules read.
    pub facts: Arc<BTreeSet<String>>,
    /// What the answer would be if the rules in shadow bound too; nothing if it would be the same.
    pub would: Option<Box<Would>>,
}

impl Permit {
    /// The application that it opens, and no other.
    #[must_use]
    pub fn target(&self) -> &Arc<Application> {
        &self.target
    }
    /// When it ends at the latest.
    #[must_use]
    pub fn until(&self) -> Timestamp {
        self.until
    }
    /// What it rests on.
    #[must_use]
    pub fn grounds(&self) -> &Grounds {
        &self.grounds
    }
    /// What the application must do when it lets the request through: `@obligation` of the rules that decided.
    #[must_use]
    pub fn obligations(&self) -> &[String] {
        &self.obligations
    }
    /// What policy would have said, if the application is only observed.
    #[must_use]
    pub fn observed(&self) -> Option<&Denial> {
        match &self.basis {
            Basis::Rules => None,
            Basis::Observed(denial) => Some(denial),
        }
    }
}

impl Denial {
    /// A denial that no policy was asked for.
    #[must_use]
    pub fn plain(reason: Reason, remedies: Vec<Remedy>) -> Self {
        Self { reason, failing: Vec::new(), remedies, grounds: Grounds::default() }
    }

    fn outcome(&self) -> Outcome {
        Outcome::Deny { reason: self.reason, failing: self.failing.clone(), remedies: self.remedies.clone() }
    }
}

impl Verdict {
    /// Whether access is given.
    #[must_use]
    pub fn is_permit(&self) -> bool {
        matches!(self, Self::Permit(_))
    }

    /// Whether policy itself says yes; in observe mode this may be no although access is given.
    #[must_use]
    pub fn policy_permits(&self) -> bool {
        matches!(self, Self::Permit(p) if p.observed().is_none())
    }

    /// The denial that policy speaks, whether it binds or not.
    #[must_use]
    pub fn denial(&self) -> Option<&Denial> {
        match self {
            Self::Permit(p) => p.observed(),
            Self::Denial(d) => Some(d),
        }
    }

    /// What it rests on.
    #[must_use]
    pub fn grounds(&self) -> &Grounds {
        match self {
            Self::Permit(p) => &p.grounds,
            Self::Denial(d) => &d.grounds,
        }
    }

    /// The record of this verdict. `mode` is the mode of the application; `took_us` how long the decision took.
    /// What a lock says binds in any mode.
    #[must_use]
    pub fn record(&self, ask: &Ask, decided: Timestamp, mode: Mode, took_us: u32) -> Access {
        let mode = if ask.shut_by(decided).is_some() { Mode::Enforce } else { mode };
        let outcome = match self {
            Self::Permit(Permit { basis: Basis::Rules, until, .. }) => Outcome::Permit { until: *until },
            Self::Permit(Permit { basis: Basis::Observed(denial), .. }) => denial.outcome(),
            Self::Denial(denial) => denial.outcome(),
        };
        let grounds = self.grounds();
        Access {
            ask: ask.clone(),
            decided,
            outcome,
            mode,
            revision: grounds.revision,
            rules: grounds.rules.clone(),
            facts: grounds.facts.iter().cloned().collect(),
            took_us,
            again: false,
            would: grounds.would.as_deref().cloned(),
        }
    }
}
