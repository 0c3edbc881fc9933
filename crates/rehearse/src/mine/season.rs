//! The seasonal guard: what is used once a month, a quarter or a year is not cut because the window did not see it, and what
//! no observation can judge is said.

use std::collections::{BTreeMap, BTreeSet};

use safeconduct_model::{Action, Duration, Principal, Timestamp};
use serde::Serialize;

use super::draft::{Draft, Mine};
use super::observe::Use;
use super::propose::Settings;
use crate::words::date;

/// How far a period may drift: quarter ends fall on weekends, and jobs run a little late.
const SLACK_DAYS: i32 = 7;
/// How many kept or unjudged rights are listed; all are counted.
const MAX_LISTED: usize = 50;

/// How often something recurs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Period {
    /// Once a month.
    Month,
    /// Once a quarter.
    Quarter,
    /// Once a year.
    Year,
}

impl Period {
    /// Every period, the shortest first.
    pub const ALL: [Self; 3] = [Self::Month, Self::Quarter, Self::Year];

    /// Its greatest length in days.
    #[must_use]
    pub const fn days(self) -> i32 {
        match self {
            Self::Month => 31,
            Self::Quarter => 92,
            Self::Year => 366,
        }
    }

    /// In words.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Month => "monthly",
            Self::Quarter => "quarterly",
            Self::Year => "yearly",
        }
    }
}

/// A right that is kept although the window alone would have cut it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Kept {
    /// Whose.
    pub who: Principal,
    /// To do what.
    pub action: Action,
    /// How often it recurs, as far as was seen.
    pub period: Period,
    /// How many uses were seen.
    pub uses: u64,
    /// The local date of the last one.
    pub last: String,
}

/// What the guard did, and what nobody can judge.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Season {
    /// How many rights are kept because they recur.
    pub kept: u64,
    /// The first of them.
    pub examples: Vec<Kept>,
    /// The periods that what was observed does not hold once: use that recurs with them may be missing.
    pub unseen: Vec<Period>,
    /// Rights that exist now, that nobody used in all that was observed, and that the proposal cuts; `None` where verdicts
    /// do not bind, so that everybody has every right.
    pub unjudged: Option<u64>,
    /// The first of them.
    pub unjudged_examples: Vec<(Principal, Action)>,
}

/// One right and its uses, in order of time.
type Rights<'u> = BTreeMap<(Principal, Action), Vec<&'u Use>>;

/// Uses of rights that recur and that `drafts` do not permit: those inside the window that are too rare to speak for a
/// person, and those of the last quarter and of the same quarter a year ago that lie before it.
pub(crate) fn recurring<'u>(
    mine: &Mine<'_>,
    drafts: &[Draft],
    all: &[&'u Use],
    from: Timestamp,
    to: Timestamp,
) -> (Vec<&'u Use>, Vec<Kept>) {
    let mut rights: Rights<'_> = BTreeMap::new();
    for one in all.iter().copied().filter(|u| mine.counts(u) && u.at <= to && (!mine.narrow || u.exists)) {
        rights.entry((mine.seen.principal(one).clone(), one.action)).or_default().push(one);
    }
    let granted = mine.pairs(drafts);
    let (mut uses, mut kept) = (Vec::new(), Vec::new());
    for ((who, action), of_right) in rights.into_iter().filter(|(right, _)| !granted.contains(right)) {
        let Some(period) = period(&of_right, from, to, mine.settings) else { continue };
        let last = of_right.last().map(|u| date(u.at, mine.seen.zone())).unwrap_or_default();
        kept.push(Kept { who, action, period, uses: of_right.len() as u64, last });
        uses.extend(of_right);
    }
    (uses, kept)
}

/// With which period a right recurs, if it does.
fn period(uses: &[&Use], from: Timestamp, to: Timestamp, s: &Settings) -> Option<Period> {
    let days: BTreeSet<i32> = uses.iter().map(|u| u.day).collect();
    let repeats = |p: &Period| {
        let near = |gap: i32| (gap - p.days()).abs() <= SLACK_DAYS;
        days.iter().any(|a| days.range(a + p.days() - SLACK_DAYS..).any(|b| near(b - a)))
    };
    if let Some(period) = Period::ALL.into_iter().find(repeats) {
        return Some(period);
    }
    // Seen once in the same season, often enough to be work and not curiosity.
    let back = |p: Period| to - Duration::from_days(u64::from((p.days() + SLACK_DAYS).unsigned_abs()));
    let quarter = Duration::from_days(u64::from(Period::Quarter.days().unsigned_abs()));
    let between = |first: Timestamp, last: Timestamp| uses.iter().filter(|u| first <= u.at && u.at < last).count();
    if back(Period::Quarter) < from && between(back(Period::Quarter), from) >= s.min_uses {
        return Some(Period::Quarter);
    }
    let year_ago = back(Period::Year);
    (year_ago < from && between(year_ago, from.min(year_ago + quarter)) >= s.min_uses).then_some(Period::Year)
}

/// What the guard kept, and which rights that exist now nobody was seen using.
pub(crate) fn told(
    mine: &Mine<'_>,
    drafts: &[Draft],
    all: &[&Use],
    kept: Vec<Kept>,
    now: Option<&BTreeSet<(Principal, Action)>>,
) -> Season {
    let days: BTreeSet<i32> = all.iter().map(|u| u.day).collect();
    let span = days.last().zip(days.first()).map_or(0, |(last, first)| last - first + 1);
    let used: BTreeSet<(Principal, Action)> = all.iter().map(|u| (mine.seen.principal(u).clone(), u.action)).collect();
    let granted = mine.pairs(drafts);
    let cut = now.map(|now| now.iter().filter(|r| !used.contains(*r) && !granted.contains(*r)).collect::<Vec<_>>());
    Season {
        kept: kept.len() as u64,
        examples: kept.into_iter().take(MAX_LISTED).collect(),
        unseen: Period::ALL.into_iter().filter(|p| span < p.days()).collect(),
        unjudged: cut.as_ref().map(|c| c.len() as u64),
        unjudged_examples: cut.into_iter().flatten().take(MAX_LISTED).cloned().collect(),
    }
}
