//! Sets of 10 to 1 000 rules with one rule loosened or tightened.

use safeconduct_model::{Ask, Timestamp};
use safeconduct_policy::Snapshot;
use safeconduct_rehearse::prove::{Outcome, permits_no_more};

use crate::common::{MONDAY, build};
use crate::generator::{Dice, EDITS, Pair, Way, pair, request};

/// Checks one pair and says whether it widens.
fn check(name: &str, pair: Pair, requests: usize) -> bool {
    let (apps, rules) = (pair.current.applications.len(), pair.current.policies[0].text.matches("@id").count());
    let (current, candidate) = (build(pair.current), build(pair.candidate));
    let permits = |s: &Snapshot, (ask, now): &(Ask, Timestamp)| s.opinion(ask, *now).is_ok();
    let proof = permits_no_more(&current, &candidate, MONDAY);
    match &proof.outcome {
        Outcome::NotProven { because } => panic!("{name}: {because:?}"),
        Outcome::Proved => {
            assert!(!(pair.alone && pair.way == Way::Looser), "{name}: a widening was missed\n{}", pair.edited);
            let mut dice = Dice::new(77);
            for _ in 0..requests {
                let moment = request(&mut dice, apps, (rules / 10).max(3));
                assert!(permits(&current, &moment) || !permits(&candidate, &moment), "{name}: {moment:?}");
            }
            false
        }
        Outcome::Refuted(shown) => {
            assert_eq!(pair.way, Way::Looser, "{name}: tightened, but {}\n{}", shown.report(), pair.edited);
            let moment = (shown.moment.ask.clone(), shown.moment.now);
            assert!(!permits(&current, &moment) && permits(&candidate, &moment), "{name}: not confirmed");
            true
        }
    }
}

/// One in `every` of all edits of `seeds` sets.
fn all(size: usize, seeds: u64, every: usize, requests: usize) {
    let (mut pairs, mut widened, mut count) = (0, 0, 0);
    for seed in 1..=seeds {
        for kind in EDITS {
            for (way, alone) in [(Way::Looser, true), (Way::Looser, false), (Way::Tighter, true), (Way::Tighter, false)]
            {
                count += 1;
                let taken = count % every == 0;
                if let Some(pair) = taken.then(|| pair(seed, size, kind, way, alone)).flatten() {
                    pairs += 1;
                    widened +=
                        usize::from(check(&format!("{size} rules, seed {seed}, {kind}, {way:?}"), pair, requests));
                }
            }
        }
    }
    assert!(pairs > 4 && widened * 5 > pairs, "{widened} of {pairs} widen: the sets tell nothing");
}

#[test]
fn every_edit_of_ten_rules_is_judged_rightly() {
    all(10, 3, 1, 300);
}

#[test]
fn every_edit_of_a_hundred_rules_is_judged_rightly() {
    all(100, 1, 5, 300);
}

#[test]
fn an_edit_of_a_thousand_rules_is_judged_rightly() {
    for (kind, way) in [("condition", Way::Looser), ("hours", Way::Tighter)] {
        let pair = pair(9, 1_000, kind, way, true).expect("some rule takes the edit");
        assert_eq!(check(kind, pair, 100), way == Way::Looser);
    }
}
