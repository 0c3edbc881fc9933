//! Every observed ask that no proposed rule permits, by cause. Nothing is dropped in silence: the uses in here and those that
//! are covered are all uses.

use std::collections::{BTreeMap, BTreeSet};

use safeconduct_model::{Action, Principal, Timestamp};
use serde::Serialize;

use super::conditions::Miss;
use super::draft::{Draft, Mine};
use super::observe::Use;

/// How many examples are kept of everything that is left out.
const EXAMPLES: usize = 5;
/// How many people are named of everything that is left out.
const PEOPLE: usize = 50;

/// Why something was left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LeftOutBecause {
    /// The principal is flagged.
    Flagged,
    /// It was denied; denied attempts never become permits.
    DeniedAttempt,
    /// It got through only because the application is observed: a rule forbids it.
    Forbidden,
    /// It rests on a dated grant or on breaking the glass: an exception.
    Exception,
    /// What binds now does not let it pass; only a person widens.
    NotAllowedNow,
    /// It lies before the window, and does not recur.
    BeforeWindow,
    /// The person is not, or no longer, in the directory.
    NotInDirectory,
    /// Too few uses to speak for the person.
    LittleSupport,
    /// At a time at which almost nobody else uses it.
    OddHours,
    /// From a device unlike those of almost all other uses.
    OtherDevice,
    /// With a weaker sign-in than almost all other uses.
    WeakerSignIn,
    /// From another network than almost all other uses.
    OtherNetwork,
    /// Without the purpose that all other uses state.
    OtherPurpose,
    /// The identity was not proven, or the groups were others at the time.
    OtherIdentity,
}

impl LeftOutBecause {
    /// In words.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Flagged => "by flagged principals",
            Self::DeniedAttempt => "denied attempts",
            Self::Forbidden => "forbidden by a rule, got through because the application is observed",
            Self::Exception => "under a dated grant or by breaking the glass, which are exceptions",
            Self::NotAllowedNow => "which the rules of now do not allow; only a person widens",
            Self::BeforeWindow => "from before the window, which do not recur",
            Self::NotInDirectory => "by people who are not in the directory",
            Self::LittleSupport => "too rare to speak for a person",
            Self::OddHours => "at odd hours",
            Self::OtherDevice => "from other devices than almost all uses",
            Self::WeakerSignIn => "with a weaker sign-in than almost all uses",
            Self::OtherNetwork => "from another network than almost all uses",
            Self::OtherPurpose => "without the usual purpose",
            Self::OtherIdentity => "with an unproven identity or other groups than now",
        }
    }
}

/// Observed asks that the proposal does not permit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    /// Why.
    pub because: LeftOutBecause,
    /// How many.
    pub count: u64,
    /// By whom, up to a bound.
    pub people: BTreeSet<Principal>,
    /// The first ones: place in the ledger, and words.
    pub examples: Vec<(u64, String)>,
}

impl Mine<'_> {
    pub(crate) fn left_out(&self, drafts: &[Draft], from: Timestamp) -> Vec<LeftOut> {
        let mut found: BTreeMap<LeftOutBecause, LeftOut> = BTreeMap::new();
        for one in self.seen.all() {
            if one.passed && drafts.iter().any(|d| self.permits(d, one)) {
                continue;
            }
            let because = self.because(drafts, one, from);
            let list = found.entry(because).or_insert_with(|| LeftOut {
                because,
                count: 0,
                people: BTreeSet::new(),
                examples: Vec::new(),
            });
            list.count += 1;
            if list.people.len() < PEOPLE {
                list.people.insert(self.seen.principal(one).clone());
            }
            if list.examples.len() < EXAMPLES {
                list.examples.push((one.seq, self.seen.sentence(one)));
            }
        }
        found.into_values().collect()
    }

    fn because(&self, drafts: &[Draft], one: &Use, from: Timestamp) -> LeftOutBecause {
        use LeftOutBecause as B;
        let principal = self.seen.principal(one);
        if one.forbidden {
            return B::Forbidden;
        }
        if !one.passed {
            return B::DeniedAttempt;
        }
        if self.settings.flagged.contains(principal) {
            return B::Flagged;
        }
        if principal.person().is_some_and(|p| !self.directory.people.contains(p)) {
            return B::NotInDirectory;
        }
        if one.exception {
            return B::Exception;
        }
        if self.narrow && !one.allowed {
            return B::NotAllowedNow;
        }
        if one.at < from {
            return B::BeforeWindow;
        }
        let speaking = drafts.iter().filter(|d| self.speaks_of(d, one));
        let nearest = speaking.map(|d| d.conditions.misses(one, self.seen)).min_by_key(BTreeSet::len);
        match nearest.and_then(|misses| misses.first().copied()) {
            Some(Miss::Hours) => B::OddHours,
            Some(Miss::Device) => B::OtherDevice,
            Some(Miss::Factors) => B::WeakerSignIn,
            Some(Miss::Network) => B::OtherNetwork,
            Some(Miss::Purpose) => B::OtherPurpose,
            None if !one.proven || self.granted_now(drafts, principal, one.action) => B::OtherIdentity,
            None => B::LittleSupport,
        }
    }

    fn granted_now(&self, drafts: &[Draft], principal: &Principal, action: Action) -> bool {
        drafts.iter().any(|d| d.actions.contains(&action) && self.granted(d).contains(principal))
    }
}
