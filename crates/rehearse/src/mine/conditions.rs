//! What held for the uses of a rule, and what did not fit.

use std::collections::{BTreeMap, BTreeSet};

use safeconduct_model::Check;
use serde::Serialize;

use super::observe::{Observed, Use, bit};
use super::propose::Settings;

/// The conditions of a proposed rule. Everything that is off or `None` asks nothing.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "each is one independent condition with a name of its own")]
pub struct Conditions {
    /// Monday to Friday only.
    pub weekdays: bool,
    /// From this minute of the day until that one, which is too late.
    pub window: Option<(u16, u16)>,
    /// From a known device.
    pub known: bool,
    /// From a managed device.
    pub managed: bool,
    /// From a compliant device.
    pub compliant: bool,
    /// From a device that passes these checks.
    pub checks: BTreeSet<Check>,
    /// With two factors.
    pub mfa: bool,
    /// From this named network.
    pub network: Option<String>,
    /// For one of these purposes; empty asks for none.
    pub purposes: BTreeSet<String>,
}

/// The condition of a rule that a use does not meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Miss {
    Hours,
    Device,
    Factors,
    Network,
    Purpose,
}

impl Conditions {
    /// Which conditions the use does not meet.
    pub(crate) fn misses(&self, one: &Use, seen: &Observed) -> BTreeSet<Miss> {
        let in_window = self.window.is_none_or(|(from, to)| from <= one.minute && one.minute < to);
        let on_days = !self.weekdays || one.weekday <= 5;
        let device = (!self.known || one.known)
            && (!self.managed || one.managed)
            && (!self.compliant || one.compliant)
            && self.checks.iter().all(|c| one.checks & bit(*c) != 0);
        let network = match &self.network {
            None => true,
            Some(wanted) => one.network.is_some_and(|n| seen.networks.name(n) == wanted),
        };
        let purpose =
            self.purposes.is_empty() || one.purpose.is_some_and(|p| self.purposes.contains(seen.purposes.name(p)));
        let holds = [
            (Miss::Hours, in_window && on_days),
            (Miss::Device, device),
            (Miss::Factors, !self.mfa || one.mfa),
            (Miss::Network, network),
            (Miss::Purpose, purpose),
        ];
        holds.into_iter().filter(|(_, held)| !held).map(|(miss, _)| miss).collect()
    }

    /// The same without hours: two kinds of use of one group that agree in it become one rule.
    pub(crate) fn without_hours(&self) -> Self {
        Self { weekdays: false, window: None, ..self.clone() }
    }

    /// What held for all of these uses, or for all but a few that stand out.
    pub(crate) fn of(uses: &[&Use], seen: &Observed, s: &Settings) -> Self {
        let mut kept: Vec<&Use> = uses.to_vec();
        let mut found = Self::default();
        let mut few = Few::of(&kept, s);
        // Factors first: they need no outliers, a weaker sign-in is common and says nothing about the person.
        found.mfa = few.all_but_few(&mut kept, &|u| u.mfa);
        if few.all_but_few(&mut kept, &|u| u.managed) {
            found.managed = true;
        } else if few.all_but_few(&mut kept, &|u| u.known) {
            found.known = true;
        }
        if (found.managed || found.known) && few.all_but_few(&mut kept, &|u| u.compliant) {
            found.compliant = true;
        } else if found.managed || found.known {
            for check in Check::ALL {
                if few.all_but_few(&mut kept, &|u| u.checks & bit(check) != 0) {
                    found.checks.insert(check);
                }
            }
        }
        if let Some(network) = most_frequent(kept.iter().filter_map(|u| u.network))
            && few.all_but_few(&mut kept, &|u| u.network == Some(network))
        {
            found.network = Some(seen.networks.name(network).clone());
        }
        let purposes: BTreeSet<u32> = kept.iter().filter_map(|u| u.purpose).collect();
        if (1..=s.max_purposes).contains(&purposes.len()) && kept.iter().all(|u| u.purpose.is_some()) {
            found.purposes = purposes.into_iter().map(|p| seen.purposes.name(p).clone()).collect();
        }
        hours(&mut found, &mut kept, &mut few, s);
        found
    }
}

fn most_frequent(items: impl Iterator<Item = u32>) -> Option<u32> {
    let mut counts: BTreeMap<u32, usize> = BTreeMap::new();
    for item in items {
        *counts.entry(item).or_default() += 1;
    }
    counts.into_iter().max_by_key(|(item, count)| (*count, std::cmp::Reverse(*item))).map(|(item, _)| item)
}

fn hours(found: &mut Conditions, kept: &mut Vec<&Use>, few: &mut Few, s: &Settings) {
    let days: BTreeSet<i32> = kept.iter().map(|u| u.day).collect();
    if kept.len() < s.min_uses_for_hours || days.len() < s.min_days_for_hours {
        return;
    }
    let span = days.last().zip(days.first()).map_or(0, |(last, first)| last - first + 1);
    // A weekend without use says something only if one was observed.
    if span >= 7 {
        found.weekdays = few.all_but_few(kept, &|u| u.weekday <= 5);
    }
    let Some(window) = window(kept, s) else { return };
    let fits = |u: &Use| window.0 <= u.minute && u.minute < window.1;
    if window.1 - window.0 <= s.longest_window && few.all_but_few(kept, &fits) {
        found.window = Some(window);
    }
}

/// The hours that hold the uses, rounded outward to the half hour. A few uses at either end that lie far off do not stretch
/// them.
fn window(kept: &[&Use], s: &Settings) -> Option<(u16, u16)> {
    let mut minutes: Vec<u16> = kept.iter().map(|u| u.minute).collect();
    minutes.sort_unstable();
    let few = share_of(minutes.len(), s.outlier_share.max(s.one_person_share));
    let far = |a: u16, b: u16| b - a > s.gap_minutes;
    let last = minutes.len().checked_sub(1)?;
    let from = (1..=few.min(last)).rev().find(|i| far(minutes[i - 1], minutes[*i])).unwrap_or(0);
    let to = (last.saturating_sub(few)..last).find(|i| *i >= from && far(minutes[*i], minutes[i + 1])).unwrap_or(last);
    let (from, to) = (minutes[from] / 30 * 30, minutes[to] / 30 * 30 + 30);
    let wider = if minutes.len() < s.uses_for_sharp_hours { 30 } else { 0 };
    Some((from.saturating_sub(wider), (to + wider).min(1440)))
}

/// A share of a number of uses, rounded down.
#[expect(clippy::cast_precision_loss, reason = "numbers of uses are far below 2^52")]
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a length is a length")]
fn share_of(uses: usize, share: f64) -> usize {
    (uses as f64 * share.clamp(0.0, 1.0)) as usize
}

/// The budget for uses that do not fit.
struct Few {
    uses: usize,
    people: usize,
    left: usize,
    per_person: bool,
    one_person_share: f64,
}

impl Few {
    fn of(uses: &[&Use], s: &Settings) -> Self {
        let people: BTreeSet<u32> = uses.iter().map(|u| u.who).collect();
        Self {
            uses: uses.len(),
            people: people.len(),
            left: share_of(uses.len(), s.outlier_share),
            per_person: people.len() >= s.people_for_outlier,
            one_person_share: s.one_person_share,
        }
    }

    /// Whether `holds` for all of `kept`, or for all but a few: then those few are removed and the budget shrinks. A few
    /// are a small share, or a somewhat larger one of a single person among several.
    fn all_but_few(&mut self, kept: &mut Vec<&Use>, holds: &dyn Fn(&Use) -> bool) -> bool {
        let odd: Vec<u32> = kept.iter().filter(|u| !holds(u)).map(|u| u.who).collect();
        if kept.is_empty() || odd.len() == kept.len() {
            return false;
        }
        let by_one = odd.iter().collect::<BTreeSet<_>>().len() <= 1;
        let small_for_one = odd.len() <= share_of(self.uses, self.one_person_share);
        if odd.len() <= self.left || (self.per_person && self.people > 1 && by_one && small_for_one) {
            self.left = self.left.saturating_sub(odd.len());
            kept.retain(|u| holds(u));
            return true;
        }
        false
    }
}
