//! All measurements, interleaved: in every round everybody is measured in every case, in another order each time, so that what
//! slows the machine down slows everybody down.

use std::collections::BTreeMap;

use anyhow::Result;

use super::contestant::{Case, Contestant, Size, Who};
use super::measure::{Generator, Measured};
use super::{Plan, cases};
use crate::terminal::say;

/// The parts of saturation at which the open loop runs, in percent.
pub(crate) const LEVELS: [u32; 3] = [25, 50, 75];

/// A level of the open loop for one contestant.
#[derive(Clone, Debug, Default)]
pub(crate) struct Level {
    pub rate: f64,
    pub rounds: Vec<Measured>,
    /// Without a proxy, at the same rate.
    pub direct: Vec<Measured>,
}

impl Level {
    /// Whether somebody watched the cores in every round, with the proxy and without it.
    pub(crate) fn watched(&self) -> bool {
        self.rounds.iter().chain(&self.direct).all(|m| m.watched.is_some())
    }
}

/// Everything that was measured.
#[derive(Clone, Debug, Default)]
pub(crate) struct Results {
    pub closed: BTreeMap<(Case, Who), Vec<Measured>>,
    pub open: BTreeMap<(Case, Who, u32), Level>,
}

/// Measures everybody in the closed loop, after a start.
pub(crate) fn closed(
    generator: &Generator<'_>,
    contestants: &[Contestant],
    plan: Plan,
    start: usize,
    results: &mut Results,
) -> Result<()> {
    for round in start * plan.rounds..(start + 1) * plan.rounds {
        say(format!("closed loop, round {} of {} ...", round + 1, plan.starts * plan.rounds));
        for case in cases(plan) {
            for contestant in rotated(contestants, round) {
                if let Some(measured) = generator.run(contestant, case, None, plan.closed)? {
                    results.closed.entry((case, contestant.who)).or_default().push(measured);
                }
            }
        }
    }
    Ok(())
}

/// Measures everybody in the open loop, at parts of what the closed loop came to.
pub(crate) fn open(
    generator: &Generator<'_>,
    contestants: &[Contestant],
    plan: Plan,
    results: &mut Results,
) -> Result<()> {
    let rounds = plan.open_rounds.max(plan.large_rounds);
    for round in 0..rounds {
        say(format!("open loop, round {} of {rounds} ...", round + 1));
        for case in cases(plan) {
            if case.size == Size::Large && round >= plan.large_rounds {
                continue;
            }
            for level in LEVELS {
                at_level(generator, contestants, plan, results, case, level, round)?;
            }
        }
    }
    Ok(())
}

fn at_level(
    generator: &Generator<'_>,
    contestants: &[Contestant],
    plan: Plan,
    results: &mut Results,
    case: Case,
    level: u32,
    round: usize,
) -> Result<()> {
    let direct = contestants.iter().find(|c| c.who == Who::Direct);
    for contestant in rotated(contestants, round).filter(|c| c.who != Who::Direct) {
        let Some(saturation) = results.closed.get(&(case, contestant.who)).and_then(|all| saturation(all)) else {
            continue;
        };
        let rate = saturation * f64::from(level) / 100.0;
        let Some(measured) = generator.run(contestant, case, Some(rate), plan.open)? else { continue };
        // What there is without a proxy at this rate, right behind: for the contestant that is judged, and one to compare.
        let without = match direct.filter(|_| matches!(contestant.who, Who::One | Who::Nginx)) {
            Some(direct) => generator.run(direct, case, Some(rate), plan.open)?,
            None => None,
        };
        let entry = results.open.entry((case, contestant.who, level)).or_default();
        entry.rate = rate;
        entry.rounds.push(measured);
        entry.direct.extend(without);
    }
    Ok(())
}

/// The most that was answered in a second, as the median of the rounds; none if there were errors.
pub(crate) fn saturation(rounds: &[Measured]) -> Option<f64> {
    if rounds.iter().any(|m| !m.errors.is_empty() || m.answers == 0) {
        return None;
    }
    median(rounds.iter().map(|m| m.per_second).collect())
}

pub(crate) fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let upper = *values.get(middle)?;
    Some(if values.len() % 2 == 1 { upper } else { f64::midpoint(upper, *values.get(middle - 1)?) })
}

fn rotated(all: &[Contestant], round: usize) -> impl Iterator<Item = &Contestant> {
    let (before, after) = all.split_at(round * 3 % all.len().max(1));
    after.iter().chain(before)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![4.0, 1.0]), Some(2.5));
        assert_eq!(median(vec![]), None);
    }

    #[test]
    fn a_round_with_an_error_has_no_saturation() {
        let good = Measured { answers: 10, per_second: 5.0, ..Measured::default() };
        assert_eq!(saturation(&[good.clone(), good.clone()]), Some(5.0));
        let bad = Measured { errors: vec!["x".into()], ..good.clone() };
        assert_eq!(saturation(&[good, bad]), None);
    }
}
