//! How fast and how right proofs are: sets of 10 to 1 000 rules, one rule edited. Prints one JSON object for each size.
//! `cargo xtask bench prove` runs it and writes the figures down.

use std::io::Write;
use std::time::Instant;

use safeconduct_model::{Ask, Timestamp};
use safeconduct_policy::{Snapshot, Sources};
use safeconduct_rehearse::prove::{Outcome, permits_no_more};
use serde_json::json;

#[path = "../tests/prove/generator.rs"]
mod generator;

use generator::{Dice, EDITS, Way, pair, request};

/// How many random requests are tried where a proof says that nothing widens.
const REQUESTS: usize = 2_000;
/// A proof is timed this often, and the shortest time counts: the machine is not alone.
const RUNS: usize = 3;

#[derive(Default)]
struct Figures {
    millis: Vec<f64>,
    right: usize,
    shown: usize,
    confirmed: usize,
    wrong: Vec<String>,
}

fn main() {
    let seeds = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(3);
    for (size, seeds) in [(10, seeds * 4), (100, seeds * 2), (1_000, seeds)] {
        let mut figures = Figures::default();
        for seed in 1..=seeds {
            for kind in EDITS {
                for way in [Way::Looser, Way::Tighter] {
                    for alone in [true, false] {
                        figures.add(
                            &format!("{size} rules, seed {seed}, {kind}, {way:?}"),
                            pair(seed, size, kind, way, alone),
                        );
                    }
                }
            }
        }
        let told = figures.told(size);
        let _ = writeln!(std::io::stdout(), "{told}");
    }
}

impl Figures {
    fn add(&mut self, name: &str, pair: Option<generator::Pair>) {
        let Some(pair) = pair else { return };
        let apps = pair.current.applications.len();
        let groups = (pair.current.policies.iter().map(|p| p.text.matches("@id").count()).sum::<usize>() / 10).max(3);
        let (current, candidate) = (build(pair.current), build(pair.candidate));
        let now = Timestamp::from_millis(1_788_134_400_000);
        let mut best = f64::MAX;
        let mut proof = None;
        for _ in 0..RUNS {
            let began = Instant::now();
            proof = Some(permits_no_more(&current, &candidate, now));
            best = best.min(began.elapsed().as_secs_f64() * 1_000.0);
        }
        self.millis.push(best);
        let permits = |s: &Snapshot, ask: &Ask, now: Timestamp| s.opinion(ask, now).is_ok();
        let right = match proof.map(|p| p.outcome) {
            Some(Outcome::Proved) => {
                let mut dice = Dice::new(77);
                let mut requests = (0..REQUESTS).map(|_| request(&mut dice, apps, groups));
                !(pair.alone && pair.way == Way::Looser)
                    && requests.all(|(ask, now)| permits(&current, &ask, now) || !permits(&candidate, &ask, now))
            }
            Some(Outcome::Refuted(shown)) => {
                let (ask, now) = (&shown.moment.ask, shown.moment.now);
                let confirmed = !permits(&current, ask, now) && permits(&candidate, ask, now);
                self.shown += 1;
                self.confirmed += usize::from(confirmed);
                confirmed && pair.way == Way::Looser
            }
            Some(Outcome::NotProven { .. }) | None => false,
        };
        self.right += usize::from(right);
        if !right {
            self.wrong.push(format!("{name}: {}", pair.edited));
        }
    }

    fn told(mut self, size: usize) -> serde_json::Value {
        self.millis.sort_by(f64::total_cmp);
        let at = |percent: usize| self.millis.get(self.millis.len().saturating_sub(1) * percent / 100).copied();
        json!({
            "rules": size,
            "proofs": self.millis.len(),
            "median_ms": at(50),
            "p99_ms": at(99),
            "right": self.right,
            "counterexamples": self.shown,
            "confirmed": self.confirmed,
            "wrong": self.wrong,
        })
    }
}

fn build(sources: Sources) -> Snapshot {
    match Snapshot::build(1, sources) {
        Ok(snapshot) => snapshot,
        Err(faults) => unreachable!("generated rules are valid: {}", faults[0]),
    }
}
