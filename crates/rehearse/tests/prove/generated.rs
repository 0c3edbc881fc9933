//! Sets of 10 to 1 000 rules with one rule loosened or tightened.

use safeconduct_model::{Action, Ask, Auth, Check, DeviceFacts, Duration, Method, Place, Principal, Stated, Timestamp, What, Who, Why};
use safeconduct_policy::Snapshot;
use safeconduct_rehearse::prove::{Outcome, permits_no_more};

use crate::common::{MONDAY, build};
use crate::generator::{Dice, EDITS, Pair, Way, pair};

/// A random request of the kind that the generated rules are about.
fn request(dice: &mut Dice, apps: usize, groups: usize) -> (Ask, Timestamp) {
    let now = Timestamp::from_millis(MONDAY.millis() + i64::try_from(dice.below(7 * 1_440)).expect("small") * 60_000);
    let methods = [vec![Method::Password], vec![Method::Password, Method::Totp], vec![Method::Passkey]];
    let passed = if dice.one_in(2) { vec![Check::DiskEncrypted] } else { vec![] };
    let required = if dice.one_in(2) { vec![] } else { vec![Check::Firewall] };
    let byte = |dice: &mut Dice| u8::try_from(dice.below(8)).expect("small");
    let net = [*dice.pick(&[10, 192]), byte(dice), byte(dice), 1];
    let purposes = ["support", "close", "audit", "release", "other"];
    let ask = Ask {
        request: "r".parse().expect("id"),
        who: Who {
            principal: Principal::Person("ada".parse().expect("id")),
            groups: (0..3).map(|_| format!("g{}", 1 + dice.below(groups)).parse().expect("id")).collect(),
            auth: Some(Auth {
                session: "s".parse().expect("id"),
                methods: dice.pick(&methods).iter().copied().collect(),
                at: now - Duration::from_secs(if dice.one_in(4) { 40_000 } else { 60 }),
                until: now + Duration::from_hours(1),
            }),
        },
        what: What {
            app: format!("app-{}", dice.below(apps)).parse().expect("id"),
            action: *dice.pick(&Action::ALL),
            method: "GET".into(),
            path: format!("/part-{}/x", dice.below(5)),
        },
        place: Place {
            ip: net.into(),
            network: dice.one_in(4).then(|| "guest".into()),
            country: None,
            device: (!dice.one_in(4)).then(|| DeviceFacts {
                id: "lt-1".parse().expect("id"),
                managed: dice.one_in(2),
                reported: Some(now),
                max_age: Duration::from_hours(1),
                passed: passed.into_iter().collect(),
                required: required.into_iter().collect(),
            }),
        },
        why: Why {
            stated: dice.one_in(2).then(|| Stated { purpose: (*dice.pick(&purposes)).into(), ticket: None }),
            grant: None,
        },
    };
    (ask, now)
}

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
            for (way, alone) in [(Way::Looser, true), (Way::Looser, false), (Way::Tighter, true), (Way::Tighter, false)] {
                count += 1;
                let taken = count % every == 0;
                if let Some(pair) = taken.then(|| pair(seed, size, kind, way, alone)).flatten() {
                    pairs += 1;
                    widened += usize::from(check(&format!("{size} rules, seed {seed}, {kind}, {way:?}"), pair, requests));
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
