//! Locks stand in front of the rules: where one is in force, no rule is asked, so none can permit around it.

use safeconduct_model::{Failing, LockFacts, Reason, Remedy};

use crate::verdict::{Denial, Grounds};

/// The denial that a lock speaks: what is locked, what whoever placed it says, and who can lift it.
pub(crate) fn denial(lock: &LockFacts, grounds: Grounds) -> Denial {
    let failing = Failing {
        condition: format!("lock {}", lock.lock),
        words: "no lock in force".into(),
        found: format!("{}: {}", lock.on.words(), lock.message),
    };
    let end = lock.until.map(|at| Remedy::WaitUntil { at });
    let remedies = end.into_iter().chain([Remedy::AskOperators]).collect();
    Denial { reason: Reason::Locked, failing: vec![failing], remedies, grounds }
}
