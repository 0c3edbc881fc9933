//! Mining against a generated enterprise whose truth is known.

mod enterprise;

use enterprise::generate;
use enterprise::judge::{built, judge, mine};
use safeconduct_model::{Action, Duration, Record, Timestamp};
use safeconduct_rehearse::{Period, Settings};

/// Of what is needed in the week after, the share that may be denied.
const MOST_UNDER: f64 = 0.005;
/// Of what is granted, the share that may lie idle for the month after, weighted by class.
const MOST_OVER: f64 = 0.20;

#[test]
fn hardly_anybody_misses_anything_next_week_and_little_is_left_over() {
    let (mut noise, mut became_rights) = (0, 0);
    for seed in [1, 2, 3] {
        let e = generate(seed, 22);
        let r = judge(&e, &Settings::default(), e.last - Duration::from_days(28));
        let shown = format!("seed {seed}: {:?}", (r.under(), r.over(), &r));
        assert!(r.needed > 1_000 && r.granted > 300, "{shown}");
        assert!(r.under() <= MOST_UNDER, "{shown}");
        assert!(r.over() <= MOST_OVER, "{shown}");
        assert!(r.least_reliability >= Settings::default().min_reliability, "{shown}");
        noise += r.noise;
        became_rights += r.noise_permitted;
    }
    assert!(
        noise > 0 && became_rights * 2 <= noise,
        "curiosity hardly ever becomes a right: {became_rights} of {noise}"
    );
}

/// The quarter is closed from 27 to 30 September; rules are written on the 24th, from thirty days.
#[test]
fn the_close_of_the_quarter_is_kept_because_the_last_one_is_remembered() {
    let e = generate(1, 18);
    let (cut, settings) =
        (e.last - Duration::from_days(10), Settings { window: Duration::from_days(30), ..Settings::default() });
    let books = e.apps.iter().find(|a| a.id.as_str() == "books").expect("books");
    let closed = |from: Timestamp| {
        let proposal = mine(&e, books, from, cut, &settings).unwrap_or_else(|error| panic!("{error}"));
        let engine = built(books, &proposal);
        let asks =
            e.entries.iter().filter(|x| x.at >= cut && e.needed.contains(&x.seq)).filter_map(|x| match &x.record {
                Record::Access(a) if a.ask.what.app == books.id && a.ask.what.action == Action::Admin => Some(a),
                _ => None,
            });
        let (permitted, denied): (Vec<_>, Vec<_>) = asks.partition(|a| engine.opinion(&a.ask, a.decided).is_ok());
        (permitted.len(), denied.len(), proposal)
    };
    let (permitted, denied, proposal) = closed(Timestamp::default());
    assert!(permitted > 5 && denied == 0, "{permitted} {denied} {}", proposal.report());
    let kept = &proposal.season;
    assert!(kept.kept >= 4 && kept.examples.iter().any(|k| k.period == Period::Quarter), "{kept:?}");
    assert!(proposal.cedar.contains("-seasonal"), "{}", proposal.cedar);
    // Without the memory the same work is denied, and the proposal says what it cannot judge.
    let (permitted, denied, blind) = closed(cut - Duration::from_days(30));
    assert!(permitted == 0 && denied > 5, "{permitted} {denied} {}", blind.report());
    assert!(blind.season.unseen.contains(&Period::Quarter), "{:?}", blind.season);
    assert!(blind.season.unjudged.is_some_and(|n| n > 0), "{:?}", blind.season);
}

#[test]
fn a_team_that_never_uses_it_is_taken_out_of_its_group() {
    let e = generate(2, 6);
    let prod = e.apps.iter().find(|a| a.id.as_str() == "prod").expect("prod");
    let p =
        mine(&e, prod, Timestamp::default(), e.last, &Settings::default()).unwrap_or_else(|error| panic!("{error}"));
    assert!(p.cedar.contains("unless { principal in Group::\"contractors\" }"), "{}", p.cedar);
    let trusting = Settings { min_reliability: 0.0, ..Settings::default() };
    let loose = mine(&e, prod, Timestamp::default(), e.last, &trusting).unwrap_or_else(|error| panic!("{error}"));
    let least = |p: &safeconduct_rehearse::Proposal| p.measured.least_reliability.expect("there are rules");
    assert!(!loose.cedar.contains("contractors") && least(&loose) < 0.1 && least(&p) > 0.8, "{}", loose.report());
    let row = loose.rules.iter().find(|r| r.draft.id.as_str() == "prod-engineering-read").expect("the rule");
    assert_eq!(row.reliability.worst.as_deref(), Some("to read, of those in contractors"));
}
