//! `policy test --coverage`: what the tests prove about each rule, and what traffic did with it.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::Result;
use safeconduct_model::{Record, RuleId, Timestamp};
use safeconduct_policy::{Coverage, Part, RuleCoverage};
use safeconduct_store::Entries;
use serde::Serialize;
use serde_json::json;

use crate::commands::Offline;
use crate::out::{self, Answer, put};

/// How often a rule spoke in recorded traffic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
struct Traffic {
    count: u64,
    last: Option<Timestamp>,
}

pub(super) fn tell(offline: &Offline, json: bool) -> Result<Answer> {
    let current = &offline.current;
    let coverage = Coverage::of(&current.snapshot, current.fixtures.iter().map(|f| (f.ask(), f.at())));
    let traffic = traffic(offline)?;
    if json {
        let rows: Vec<_> = coverage
            .rules
            .iter()
            .map(|r| json!({ "tests": r, "traffic": traffic.get(&r.rule).copied().unwrap_or_default(), "gaps": r.gaps() }))
            .collect();
        out::json(&json!({
            "fixtures": current.fixtures.len(),
            "rules_decided": coverage.decided(),
            "rules_nearly_decided": coverage.near_missed(),
            "condition_sides": coverage.sides(),
            "rules_in_traffic": seen(&coverage, &traffic),
            "rules": rows,
        }))?;
        return Ok(Answer::Done);
    }
    put(report(&coverage, current.fixtures.len(), &traffic));
    Ok(Answer::Done)
}

/// The rules of every recorded verdict. A configuration that never ran has no ledger, and no traffic.
fn traffic(offline: &Offline) -> Result<BTreeMap<RuleId, Traffic>> {
    let mut found: BTreeMap<RuleId, Traffic> = BTreeMap::new();
    let ledger = offline.ledger();
    if !ledger.is_dir() {
        return Ok(found);
    }
    for entry in Entries::from_seq(&ledger, 0)? {
        let entry = entry?.entry;
        let Record::Access(access) = &entry.record else { continue };
        if access.again {
            continue;
        }
        for rule in &access.rules {
            let row = found.entry(rule.clone()).or_default();
            row.count += 1;
            row.last = row.last.max(Some(access.decided));
        }
    }
    Ok(found)
}

fn seen(coverage: &Coverage, traffic: &BTreeMap<RuleId, Traffic>) -> Part {
    let of = coverage.rules.iter().filter(|r| traffic.contains_key(&r.rule)).count();
    Part { of, all: coverage.rules.len() }
}

/// Totals first, then every rule, then what no test tries.
fn report(coverage: &Coverage, fixtures: usize, traffic: &BTreeMap<RuleId, Traffic>) -> String {
    let mut text = format!("{fixtures} tests hold\n");
    for (part, what) in [
        (coverage.decided(), "of the rules decide some test"),
        (coverage.near_missed(), "of the rules with conditions stay silent in some test because of one"),
        (coverage.sides(), "of the sides of conditions, met and not met, are tried"),
        (seen(coverage, traffic), "of the rules spoke in recorded traffic"),
    ] {
        let _ = writeln!(text, "{} {what} ({} of {})", percent(part), part.of, part.all);
    }
    text.push('\n');
    for rule in &coverage.rules {
        let _ = writeln!(text, "{}  {}", rule.rule, row(rule, traffic.get(&rule.rule)));
    }
    let gaps: Vec<String> = coverage.rules.iter().flat_map(RuleCoverage::gaps).collect();
    if !gaps.is_empty() {
        text.push_str("\nnot tried\n");
    }
    for gap in gaps {
        let _ = writeln!(text, "  {gap}");
    }
    text
}

fn row(rule: &RuleCoverage, traffic: Option<&Traffic>) -> String {
    let sides: usize = rule.atoms.iter().map(|a| usize::from(a.held > 0) + usize::from(a.failed > 0)).sum();
    let spoke = match traffic {
        Some(Traffic { count, last: Some(last) }) => format!("spoke {count} times, last {last}"),
        _ => "never spoke in traffic".to_owned(),
    };
    let verb = if rule.forbids { "forbids" } else { "permits" };
    let (decided, near, all) = (rule.decided, rule.near_misses, 2 * rule.atoms.len());
    format!("{verb} in {decided} tests, near miss in {near}, {sides} of {all} sides of conditions; {spoke}")
}

/// Rounded towards zero, so that nothing short of all reads as 100 %.
fn percent(part: Part) -> String {
    match (part.of * 1_000).checked_div(part.all) {
        None => "– %".to_owned(),
        Some(permille) => format!("{}.{} %", permille / 10, permille % 10),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use safeconduct_policy::AtomCoverage;

    #[test]
    fn totals_come_first_and_every_gap_is_named() {
        let atom = |words: &str, held: u64, failed: u64| AtomCoverage {
            condition: String::new(),
            words: words.into(),
            unless: false,
            line: 4,
            held,
            failed,
        };
        let rule = |id: &str, decided: u64, atoms: Vec<AtomCoverage>| RuleCoverage {
            rule: id.parse().expect("id"),
            file: "a.cedar".into(),
            line: 2,
            forbids: false,
            decided,
            near_misses: 0,
            atoms,
        };
        let rules = vec![rule("a", 2, vec![atom("from 08:00", 2, 0)]), rule("b", 0, vec![])];
        let last = Timestamp::from_millis(1_790_776_920_000);
        let traffic = [("a".parse().expect("id"), Traffic { count: 7, last: Some(last) })].into();
        let text = report(&Coverage { rules }, 3, &traffic);
        let expected = "3 tests hold
50.0 % of the rules decide some test (1 of 2)
0.0 % of the rules with conditions stay silent in some test because of one (0 of 1)
50.0 % of the sides of conditions, met and not met, are tried (1 of 2)
50.0 % of the rules spoke in recorded traffic (1 of 2)

a  permits in 2 tests, near miss in 0, 1 of 2 sides of conditions; spoke 7 times, last 2026-09-30T14:02:00.000Z
b  permits in 0 tests, near miss in 0, 0 of 0 sides of conditions; never spoke in traffic

not tried
  a.cedar:4: `a`: no test in which when \"from 08:00\" is not met
  a.cedar:2: no test shows that `b` permits anything
";
        assert_eq!(text, expected);
    }
}
