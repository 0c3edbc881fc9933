//! What a snapshot answers to a recorded ask.

use safeconduct_model::{Ask, Reason, RuleId, Timestamp};
use safeconduct_policy::Snapshot;
use serde::Serialize;

/// What policy says, without the end of the lease and without remedies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Answer {
    /// Whether policy itself says yes; an application that is only observed changes nothing here.
    pub permitted: bool,
    /// The reason of a denial.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// The rules that spoke.
    pub rules: Vec<RuleId>,
}

impl Answer {
    /// What `snapshot` says.
    #[must_use]
    pub fn of(snapshot: &Snapshot, ask: &Ask, at: Timestamp) -> Self {
        match snapshot.opinion(ask, at) {
            Ok(grounds) => Self { permitted: true, reason: None, rules: grounds.rules },
            Err(denial) => Self { permitted: false, reason: Some(denial.reason), rules: denial.grounds.rules },
        }
    }

    /// In words: `permitted`, or `denied (no_rule)`.
    #[must_use]
    pub fn words(&self) -> String {
        match self.reason {
            None => "permitted".to_owned(),
            Some(reason) => format!("denied ({reason})"),
        }
    }
}
