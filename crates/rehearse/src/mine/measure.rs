//! How good a proposal is: figures of what it was written from, and figures of how the same method did on use that it had not
//! seen. The split is by time, never by chance: yesterday must not be judged with what is known tomorrow.

use std::collections::BTreeSet;

use safeconduct_model::{Action, Class, Duration, Principal, Timestamp};
use serde::{Deserialize, Serialize};

use super::draft::{Draft, Mine, Target};
use super::observe::Use;
use super::{conditions::Conditions, season};
use crate::words::{self, ratio};

/// From this many days on the last week is the test part; in a shorter window its last quarter is.
const DAYS_FOR_A_WEEK: u64 = 21;
/// The most weekly splits, and the most steps in which stability is looked for.
const MAX_SPLITS: u64 = 12;
const DAY: u64 = 86_400_000;

/// Mined from all but the last part of a span, and tried on that part.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Split {
    /// The days that were mined.
    pub train_days: u64,
    /// The days on which the result was tried.
    pub test_days: u64,
    /// Uses in the test part.
    pub needed: u64,
    /// Those of them that the result denies.
    pub denied: u64,
    /// `denied / needed`: under-privilege.
    pub under: Option<f64>,
    /// Combinations of person and kind of use that the result grants.
    pub granted: u64,
    /// Those of them that nobody used in the test part.
    pub unused: u64,
    /// `unused / granted`: over-privilege.
    pub over: Option<f64>,
    /// Rules.
    pub rules: u64,
    /// Weighted structural complexity.
    pub complexity: u64,
}

/// How the method did, and how large its result is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// The last part of the window; `None` if it is too short to be split.
    pub next: Option<Split>,
    /// Each week after those before it, where there are at least two. In a window of three weeks or more the last of them is
    /// the last part, too.
    pub weeks: Vec<Split>,
    /// Weighted structural complexity of the whole proposal: one for whom, for each kind of use and for the application, one
    /// for each condition and for each further choice in it.
    pub complexity: u64,
    /// The least reliability of a rule.
    pub least_reliability: Option<f64>,
    /// After how many days the rules came out as they are now; `None` if they still changed at the end.
    pub stable_after: Option<u64>,
    /// The weight of the application among others: what a wrong grant costs there.
    pub weight: u64,
    /// What the figures do not show, in words.
    pub blind: Vec<String>,
}

/// How much a wrong grant weighs for an application of this class.
#[must_use]
pub const fn weight(class: Class) -> u64 {
    match class {
        Class::Low => 1,
        Class::Moderate => 2,
        Class::High => 5,
        Class::Critical => 10,
    }
}

/// How good a proposal is.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Figures {
    /// Observed uses: everything that got through and that no rule forbade.
    pub uses: u64,
    /// Those that the proposal permits.
    pub covered: u64,
    /// `covered / uses`.
    pub coverage: f64,
    /// Pairs of person and kind of use that the proposal grants.
    pub granted_pairs: u64,
    /// Those of them that were never used.
    pub unused_pairs: u64,
    /// `unused / granted`.
    pub over_grant: Option<f64>,
    /// Uses in the last part of the window.
    pub test_uses: u64,
    /// Those of them that a proposal from the part before would have denied.
    pub test_denied: u64,
    /// `denied / uses` of the last part: what people would have missed.
    pub under_privilege: Option<f64>,
    /// The first use.
    pub from: Timestamp,
    /// The last use.
    pub to: Timestamp,
    /// The local dates of both.
    pub dates: (String, String),
    /// The length of the window in days, begun ones counted.
    pub days: u64,
    /// Who was seen using it.
    pub people: u64,
    /// Older asks that found no room.
    pub dropped: u64,
}

/// Weighted structural complexity.
pub(crate) fn complexity(drafts: &[Draft]) -> u64 {
    let of = |d: &Draft| {
        let c: &Conditions = &d.conditions;
        let flags = [c.weekdays, c.known, c.managed, c.compliant, c.mfa].into_iter().filter(|on| *on).count();
        let window = c.window.map_or(0, |(from, to)| usize::from(from > 0) + usize::from(to < 1440));
        let choices = c.checks.len() + usize::from(c.network.is_some()) + c.purposes.len();
        2 + d.actions.len()
            + d.without.len()
            + d.except.len()
            + flags
            + window
            + choices
            + usize::from(d.within.is_some())
    };
    drafts.iter().map(of).sum::<usize>() as u64
}

impl Mine<'_> {
    /// Drafts from everything until `to`: from the window before it, and what recurs.
    pub(crate) fn until(&self, all: &[&Use], to: Timestamp) -> (Vec<Draft>, Vec<season::Kept>) {
        let from = to - self.settings.window;
        let recent: Vec<&Use> = all.iter().copied().filter(|u| from <= u.at && u.at <= to).collect();
        let mut drafts = self.drafts(&recent, self.settings.min_uses, false);
        let (uses, kept) = season::recurring(self, &drafts, all, from, to);
        drafts.extend(self.drafts(&uses, 1, true));
        (drafts, kept)
    }

    fn split(&self, all: &[&Use], cut: Timestamp, end: Timestamp) -> Option<Split> {
        let train: Vec<&Use> = all.iter().copied().filter(|u| u.at < cut).collect();
        let is_needed = |u: &&Use| {
            let expected = u.passed && !u.exception && (!self.narrow || u.allowed);
            expected && cut <= u.at && u.at < end && !self.settings.flagged.contains(self.seen.principal(u))
        };
        let test: Vec<&Use> = all.iter().copied().filter(is_needed).collect();
        let first = train.iter().map(|u| u.at).min()?;
        let (drafts, _) = self.until(&train, cut);
        let denied = test.iter().filter(|u| !drafts.iter().any(|d| self.permits(d, u))).count() as u64;
        let granted = self.pairs(&drafts);
        let used: BTreeSet<(Principal, Action)> =
            test.iter().map(|u| (self.seen.principal(u).clone(), u.action)).collect();
        let unused = granted.difference(&used).count() as u64;
        Some(Split {
            train_days: length(first.max(cut - self.settings.window), cut),
            test_days: length(cut, end),
            needed: test.len() as u64,
            denied,
            under: ratio(denied, test.len() as u64),
            granted: granted.len() as u64,
            unused,
            over: ratio(unused, granted.len() as u64),
            rules: drafts.len() as u64,
            complexity: complexity(&drafts),
        })
    }

    pub(crate) fn measured(
        &self,
        all: &[&Use],
        drafts: &[Draft],
        (from, to): (Timestamp, Timestamp),
        least_reliability: Option<f64>,
    ) -> Measured {
        let whole = days(from, to);
        let part = if whole >= DAYS_FOR_A_WEEK { 7 * DAY } else { to.since(from).millis() / 4 };
        let end = to + Duration::from_millis(1);
        let next = self.split(all, end - Duration::from_millis(part.max(1)), end);
        let count = (whole / 7).min(MAX_SPLITS + 1);
        let cuts = (1..count).rev().map(|k| end - Duration::from_millis(k * 7 * DAY));
        let weeks: Vec<Split> = if count < 2 {
            vec![]
        } else {
            cuts.filter_map(|cut| self.split(all, cut, cut + Duration::from_millis(7 * DAY))).collect()
        };
        Measured {
            next,
            weeks,
            complexity: complexity(drafts),
            least_reliability,
            stable_after: self.stable_after(all, drafts, from, to),
            weight: weight(self.app.class),
            blind: self.blind(whole),
        }
    }

    /// After how many days the rules came out as in the end. Names count, and whom and what they let in; hours still move by
    /// half an hour now and then, which changes nothing that a reader would call another rule.
    fn stable_after(&self, all: &[&Use], drafts: &[Draft], from: Timestamp, to: Timestamp) -> Option<u64> {
        type Shape<'d> = BTreeSet<(&'d Target, Vec<&'d safeconduct_model::GroupId>, Vec<Action>)>;
        fn shape(drafts: &[Draft]) -> Shape<'_> {
            drafts
                .iter()
                .map(|d| (&d.target, d.without.iter().collect(), d.actions.iter().copied().collect()))
                .collect()
        }
        let whole = days(from, to);
        let step = whole.div_ceil(MAX_SPLITS).max(1);
        let last = shape(drafts);
        let mut stable = None;
        let mut back = step;
        while back < whole {
            let (earlier, _) = self.until(all, to - Duration::from_millis(back * DAY));
            if shape(&earlier) != last {
                break;
            }
            stable = Some(whole - back);
            back += step;
        }
        stable
    }

    fn blind(&self, days: u64) -> Vec<String> {
        let mut found = vec![
            "use that came from nowhere in the window: an emergency, a new duty, a new colleague".to_owned(),
            "whether an observed use was right: it got through and nobody flagged it, no more".to_owned(),
            "hours and devices: a combination counts as used however it was used".to_owned(),
        ];
        for period in season::Period::ALL.into_iter().filter(|p| days < u64::from(p.days().unsigned_abs())) {
            found.push(format!(
                "{} use that did not fall into these {days} days, unless the ledger holds it further back",
                period.words()
            ));
        }
        found
    }

    pub(crate) fn figures(&self, all: &[&Use], uses: &[&Use], drafts: &[Draft], measured: &Measured) -> Figures {
        let covered = uses.iter().filter(|u| drafts.iter().any(|d| self.permits(d, u))).count() as u64;
        let granted = self.pairs(drafts);
        let used: BTreeSet<(Principal, Action)> =
            all.iter().map(|u| (self.seen.principal(u).clone(), u.action)).collect();
        let unused = granted.difference(&used).count() as u64;
        let (from, to) = span(uses).unwrap_or_default();
        let total = uses.len() as u64;
        let next = measured.next.as_ref();
        Figures {
            uses: total,
            covered,
            coverage: ratio(covered, total).unwrap_or(0.0),
            granted_pairs: granted.len() as u64,
            unused_pairs: unused,
            over_grant: ratio(unused, granted.len() as u64),
            test_uses: next.map_or(0, |n| n.needed),
            test_denied: next.map_or(0, |n| n.denied),
            under_privilege: next.and_then(|n| n.under),
            from,
            to,
            dates: (words::date(from, self.seen.zone()), words::date(to, self.seen.zone())),
            days: days(from, to),
            people: uses.iter().map(|u| u.who).collect::<BTreeSet<_>>().len() as u64,
            dropped: self.seen.dropped(),
        }
    }
}

/// The first and the last instant.
pub(crate) fn span(uses: &[&Use]) -> Option<(Timestamp, Timestamp)> {
    uses.iter().map(|u| u.at).min().zip(uses.iter().map(|u| u.at).max())
}

/// The length of a span in days, rounded up.
fn length(from: Timestamp, to: Timestamp) -> u64 {
    to.since(from).millis().div_ceil(DAY)
}

/// Days between two instants, begun ones counted.
pub(crate) fn days(from: Timestamp, to: Timestamp) -> u64 {
    1 + to.since(from).millis() / DAY
}
