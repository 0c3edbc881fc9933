use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use safeconduct_model::{Duration, Timestamp};

use crate::evaluate::{all_of, interval};
use crate::{
    Attestation, CISA_ZTMM, Class, Condition, Evidence, Framework, Kind, Measurement, OutOfScope, Source, Stage, Truth,
    compare, evaluate, load_framework,
};

fn now() -> Timestamp {
    Timestamp::from_millis(1_790_776_920_000)
}

fn window() -> (Timestamp, Timestamp) {
    (now() - Duration::from_days(30), now())
}

fn shipped() -> Framework {
    match load_framework("cisa-ztmm-2.0.toml", CISA_ZTMM) {
        Ok(framework) => framework,
        Err(faults) => panic!("{}", faults.iter().map(|f| format!("{f}\n")).collect::<String>()),
    }
}

#[test]
fn the_shipped_file_has_all_rows_of_the_model() {
    let f = shipped();
    let count = |pillar: &str, kind| f.rows.iter().filter(|r| r.pillar == pillar && r.kind == kind).count();
    for (pillar, functions) in [("identity", 4), ("devices", 4), ("networks", 4), ("applications", 5), ("data", 5)] {
        assert_eq!((count(pillar, Kind::Function), count(pillar, Kind::CrossCutting)), (functions, 3), "{pillar}");
    }
    assert_eq!(count("enterprise", Kind::Enterprise), 3);
    assert_eq!(f.rows.len(), 37 + 3);
    let class = |class| f.rows.iter().filter(|r| r.class == class).count();
    assert_eq!([Class::Decidable, Class::Mixed, Class::Attested].map(class), [20, 14, 6]);
    let counted = f.rows.iter().flat_map(|r| &r.criteria).filter(|c| match &c.condition {
        Condition::Metric(test) => f.metrics[&test.metric].unit == crate::Unit::Count && test.at_least,
        _ => false,
    });
    for c in counted {
        let share = ["Most ", "Some ", "Every ", "Each ", "Almost ", "Half "].iter().any(|w| c.text.starts_with(w));
        assert!(!share, "{}: one thing is not a share: {}", c.id, c.text);
    }
    let unused: Vec<&String> = f.metrics.keys().filter(|m| !reads(&f).contains(*m)).collect();
    assert!(unused.is_empty(), "{unused:?}");
}

fn reads(f: &Framework) -> BTreeSet<String> {
    let tests = f.rows.iter().flat_map(|r| &r.criteria).flat_map(|c| match &c.condition {
        Condition::Metric(test) => vec![test.metric.clone()],
        Condition::AnyOf(tests) => tests.iter().map(|t| t.metric.clone()).collect(),
        Condition::Attest => vec![],
    });
    tests.collect()
}

#[test]
fn without_evidence_everything_is_possible_and_nothing_is_proven() {
    let a = evaluate(&shipped(), &Evidence::default(), now());
    for row in &a.rows {
        assert_eq!((row.proven, row.possible), (Stage::Traditional, Stage::Optimal), "{}", row.id);
        assert!(!row.would_decide.is_empty(), "{} says which source would decide it", row.id);
        assert!(row.findings.iter().all(|f| f.truth == Truth::Unknown && !f.would_decide.is_empty()), "{}", row.id);
    }
    assert_eq!((a.all.proven, a.all.floor, a.all.possible_floor), ([40, 0, 0, 0], Stage::Traditional, Stage::Optimal));
    assert_eq!(a.mix.measured + a.mix.attested, 0);
    let text = a.report();
    assert!(text.contains("[#---] Identity                   proven 7 T  0 I  0 A  0 O"), "{text}");
    assert!(text.contains("[#---] ID-1  Authentication: proven Traditional, possible Optimal"), "{text}");
    assert!(text.contains("would decide it: the gateway's ledger, the policy store, an identity provider"), "{text}");
}

/// A small framework: one row, one metric of each unit.
const SMALL: &str = r#"
[framework]
id = "small"
name = "Small"
edition = "1"
note = "for tests"
rows = 1
[quantifiers]
some = 0.10
half = 0.50
most = 0.80
all_events = 0.98
all_exceptions = 0.05
[[pillar]]
id = "p"
name = "P"
[[metric]]
id = "S"
name = "sessions"
unit = "share_of_events"
sources = ["gateway"]
fresh_hours = 1
[[metric]]
id = "I"
name = "items"
unit = "share_of_items"
sources = ["gateway", "inventory"]
[[metric]]
id = "D"
name = "delay"
unit = "duration"
sources = ["gateway"]
[[row]]
id = "R-1"
pillar = "p"
kind = "function"
class = "CLASS"
name = "Row"
traditional = "t"
initial = "i"
advanced = "a"
optimal = "o"
criteria = [
    { stage = "initial", metric = "S", at_least = "MOST" },
    { stage = "advanced", metric = "I", at_least = "ALL" },
    { stage = "optimal", metric = "D", statistic = "p95", at_most = 60 },
]
"#;

fn small() -> Framework {
    load_framework("small.toml", &SMALL.replace("CLASS", "decidable")).expect("valid")
}

fn evidence(given: &[(&str, Measurement)], connected: &[Source]) -> Evidence {
    Evidence {
        measurements: given.iter().map(|(id, m)| ((*id).to_owned(), m.clone())).collect(),
        connected: connected.iter().copied().collect(),
        ..Evidence::default()
    }
}

fn share(num: u64, den: u64) -> Measurement {
    Measurement::share(num, den, window())
}

fn stages(e: &Evidence) -> (Stage, Stage) {
    let row = &evaluate(&small(), e, now()).rows[0];
    (row.proven, row.possible)
}

#[test]
fn stages_are_cumulative_and_a_failed_one_ends_what_is_possible() {
    use Source::{Gateway, Inventory};
    use Stage::{Advanced, Initial, Optimal, Traditional};
    let both = [Gateway, Inventory];
    let delay = |ms| Measurement { statistics: [(crate::Statistic::P95, ms)].into(), ..share(5, 5) };
    for (given, proven, possible) in [
        (vec![("S", share(8, 10))], Initial, Optimal),
        (vec![("S", share(7, 10))], Traditional, Traditional),
        (vec![("S", share(0, 0))], Traditional, Optimal),
        (vec![("I", share(3, 3))], Traditional, Optimal),
        (vec![("I", share(2, 3))], Traditional, Initial),
        (vec![("S", share(8, 10)), ("I", share(3, 3))], Advanced, Optimal),
        (vec![("S", share(8, 10)), ("I", share(3, 3)), ("D", delay(60_000))], Optimal, Optimal),
        (vec![("S", share(8, 10)), ("I", share(3, 3)), ("D", delay(60_001))], Advanced, Advanced),
        (vec![("S", share(8, 10)), ("I", share(3, 3)), ("D", share(5, 5))], Advanced, Optimal),
    ] {
        assert_eq!(stages(&evidence(&given, &both)), (proven, possible), "{given:?}");
    }
}

#[test]
fn exceptions_and_unknown_items_count_for_neither_side() {
    use Stage::{Advanced, Initial, Optimal};
    let both = [Source::Gateway, Source::Inventory];
    let items = |num, den, excepted, unknown| {
        let m = Measurement { excepted, unknown, ..share(num, den) };
        stages(&evidence(&[("S", share(1, 1)), ("I", m)], &both))
    };
    assert_eq!(items(95, 100, 5, 0), (Advanced, Optimal), "five of a hundred may be excepted");
    assert_eq!(items(94, 100, 6, 0), (Initial, Initial), "six may not");
    assert_eq!(items(99, 100, 0, 1), (Initial, Optimal), "one that is unknown may be either");
    assert_eq!(items(98, 100, 0, 1), (Initial, Initial), "one that fails decides");
}

#[test]
fn a_stale_figure_proves_nothing_and_says_so() {
    let old = Measurement { computed_at: now() - Duration::from_mins(61), ..share(10, 10) };
    let a = evaluate(&small(), &evidence(&[("S", old)], &[Source::Gateway]), now());
    assert_eq!(a.rows[0].findings[0].truth, Truth::Stale);
    assert_eq!((a.rows[0].proven, a.rows[0].possible, a.mix.stale), (Stage::Traditional, Stage::Optimal, 1));
    let ahead = Measurement { computed_at: now() + Duration::from_mins(1), ..share(10, 10) };
    let a = evaluate(&small(), &evidence(&[("S", ahead)], &[Source::Gateway]), now());
    assert_eq!((a.rows[0].findings[0].truth, a.rows[0].proven), (Truth::Unknown, Stage::Traditional));
}

#[test]
fn an_inside_view_carries_no_further_than_initial_but_it_can_fail() {
    let only = [Source::Gateway];
    let all = evidence(&[("S", share(1, 1)), ("I", share(3, 3))], &only);
    let row = &evaluate(&small(), &all, now()).rows[0];
    assert_eq!((row.proven, row.possible), (Stage::Initial, Stage::Optimal));
    assert!(row.findings[1].found.contains("inside view"), "{}", row.findings[1].found);
    assert!(row.would_decide.contains(&Source::Inventory));
    assert_eq!(stages(&evidence(&[("S", share(1, 1)), ("I", share(2, 3))], &only)), (Stage::Initial, Stage::Initial));
}

fn attested(criterion: &str, mut e: Evidence, days: u64) -> Evidence {
    let statement = Attestation {
        by: "ada".parse().expect("id"),
        reviewer: "bob".parse().expect("id"),
        statement: "it is so".into(),
        from: now() - Duration::from_days(days),
        until: now() + Duration::from_days(1),
    };
    e.attestations.insert(criterion.to_owned(), statement);
    e
}

#[test]
fn a_statement_never_overrules_a_figure() {
    let e = attested("R-1.I.1", evidence(&[("S", share(1, 10))], &[Source::Gateway]), 1);
    let a = evaluate(&small(), &e, now());
    assert_eq!((a.rows[0].proven, a.rows[0].possible), (Stage::Traditional, Stage::Traditional));
    assert!(a.rows[0].findings[0].contradiction);
    assert!(a.report().contains("contradiction at R-1.I.1: attested, but S: 10.0 % (1 of 10)"), "{}", a.report());
}

#[test]
fn a_statement_carries_a_decidable_row_to_initial_only_and_is_shown_as_such() {
    let e = attested("R-1.A.1", attested("R-1.I.1", Evidence::default(), 1), 1);
    let row = &evaluate(&small(), &e, now()).rows[0];
    assert_eq!((row.proven, row.attested), (Stage::Initial, true));
    let mixed = load_framework("m.toml", &SMALL.replace("CLASS", "mixed")).expect("valid");
    assert_eq!(evaluate(&mixed, &e, now()).rows[0].proven, Stage::Advanced);
    let mut alone = attested("R-1.I.1", Evidence::default(), 1);
    if let Some(a) = alone.attestations.get_mut("R-1.I.1") {
        a.reviewer = a.by.clone();
    }
    assert_eq!(evaluate(&small(), &alone, now()).rows[0].proven, Stage::Traditional, "nobody reviews themselves");
}

#[test]
fn what_is_not_applicable_is_skipped_but_proves_nothing_alone() {
    let mut e = evidence(&[], &[]);
    let scope = OutOfScope { by: "ada".parse().expect("id"), reason: "no such thing".into(), until: Timestamp::MAX };
    e.out_of_scope.insert("R-1.I.1".into(), scope);
    let a = evaluate(&small(), &e, now());
    assert_eq!((a.rows[0].proven, a.mix.not_applicable), (Stage::Traditional, 1));
    assert_eq!(all_of([Truth::NotApplicable, Truth::True].into_iter()), Truth::True);
}

#[test]
fn every_fault_of_a_file_is_told_with_its_line() {
    let bad = SMALL
        .replace("CLASS", "sure")
        .replace("rows = 1", "rows = 2\nspeed = 3")
        .replace("metric = \"S\"", "metric = \"Q\"")
        .replace("metric = \"I\", at_least = \"ALL\"", "metric = \"I\", at_least = 3")
        .replace("statistic = \"p95\", at_most = 60", "at_most = \"MOST\"")
        .replace("name = \"items\"", "name = 7");
    let faults: Vec<String> =
        load_framework("f.toml", &bad).expect_err("faulty").iter().map(|f| f.to_string()).collect();
    for wanted in [
        "f.toml:8: unknown key `speed`\n    remove it, or use one of: id, name, edition, note, rows",
        "f.toml:26: `name` is not a text in quotes",
        "f.toml:38: `class` cannot be `sure`\n    use one of: decidable, mixed, attested",
        "f.toml:45: no metric is called `Q`",
        "f.toml:46: no metric is called `I`",
        "f.toml:47: `D` and its statistic do not fit",
        "f.toml:47: `D` cannot be compared with a quantifier here",
        "f.toml: the file says that it has 2 rows, but it has 1",
    ] {
        assert!(faults.iter().any(|f| f.starts_with(wanted)), "{wanted}\nnot in\n{}", faults.join("\n"));
    }
    assert_eq!(faults.len(), 8, "no fault is told twice: {}", faults.join("\n"));
    let broken = load_framework("f.toml", "[framework\n").expect_err("syntax");
    assert_eq!(broken[0].line, 1);
}

#[test]
fn a_decidable_row_may_not_rest_on_statements() {
    let bad = SMALL.replace("CLASS", "decidable").replace("metric = \"I\", at_least = \"ALL\"", "attest = \"so\"");
    let faults = load_framework("f.toml", &bad).expect_err("faulty");
    assert!(faults[0].what.contains("decidable"), "{}", faults[0]);
    let none = SMALL.replace("CLASS", "mixed").replace("stage = \"optimal\"", "stage = \"advanced\"");
    assert!(
        load_framework("f.toml", &none).expect_err("faulty")[0].what.contains("no criterion for the stage Optimal")
    );
}

#[test]
fn two_assessments_are_compared_row_by_row() {
    let before = evaluate(&small(), &Evidence::default(), now());
    let after = evaluate(&small(), &evidence(&[("S", share(1, 1))], &[Source::Gateway]), now());
    let moves = compare(&before, &after);
    assert_eq!(moves[0].after, Some((Stage::Initial, Stage::Optimal)));
    assert!(compare(&after, &after).is_empty());
}

fn truth() -> impl Strategy<Value = Truth> {
    prop::sample::select(vec![Truth::True, Truth::False, Truth::Unknown, Truth::Stale])
}

fn stage() -> impl Strategy<Value = Stage> {
    prop::sample::select(vec![Stage::Initial, Stage::Advanced, Stage::Optimal])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn knowing_more_only_narrows_an_interval(mut found in prop::collection::vec((stage(), truth()), 1..12), at in 0usize..12, yes in any::<bool>()) {
        let (proven, possible) = interval(found.iter().copied());
        prop_assert!(proven <= possible);
        let at = at % found.len();
        if matches!(found[at].1, Truth::Unknown | Truth::Stale) {
            found[at].1 = if yes { Truth::True } else { Truth::False };
            let (more_proven, less_possible) = interval(found.iter().copied());
            prop_assert!(proven <= more_proven && more_proven <= less_possible && less_possible <= possible);
        }
        // The naive reading: proven means that every criterion up to there is true, and there is one for each stage.
        for s in [Stage::Initial, Stage::Advanced, Stage::Optimal] {
            let (proven, _) = interval(found.iter().copied());
            if proven >= s {
                prop_assert!(found.iter().any(|(t, _)| *t == s));
                prop_assert!(found.iter().filter(|(t, _)| *t <= s).all(|(_, truth)| *truth == Truth::True));
            }
        }
    }

    #[test]
    fn a_figure_never_proves_more_than_its_criteria_say(figures in prop::collection::vec((any::<prop::sample::Index>(), 0u64..30, 0u64..30, 0u64..3), 0..12)) {
        let f = shipped();
        let keys: Vec<String> = f.rows.iter().flat_map(|r| &r.criteria).filter_map(|c| match &c.condition {
            Condition::Metric(t) => Some(t.key()),
            _ => None,
        }).collect();
        let mut e = Evidence { connected: Source::ALL.iter().copied().collect(), ..Evidence::default() };
        let mut known: BTreeMap<String, ()> = BTreeMap::new();
        for (index, num, den, unknown) in figures {
            let key = &keys[index.index(keys.len())];
            let before = evaluate(&f, &e, now());
            let new = known.insert(key.clone(), ()).is_none();
            let m = Measurement { unknown, ..share(num, den) };
            e.measurements.insert(key.clone(), m);
            let after = evaluate(&f, &e, now());
            for (b, a) in before.rows.iter().zip(&after.rows) {
                // Knowing one figure more narrows; what is proven rests on true findings alone.
                if new {
                    prop_assert!(b.proven <= a.proven && a.possible <= b.possible, "{}", a.id);
                }
                prop_assert!(a.findings.iter().filter(|x| x.stage <= a.proven).all(|x| x.truth == Truth::True));
            }
        }
    }
}

#[test]
fn an_assessment_is_json() {
    let a = evaluate(&small(), &evidence(&[("S", share(1, 1))], &[Source::Gateway]), now());
    let text = serde_json::to_string(&a).expect("an assessment is JSON");
    assert!(text.contains(r#""proven":"initial","possible":"optimal""#), "{text}");
    assert!(text.contains(r#""would_decide":{"inventory":["R-1"]}"#), "{text}");
}
