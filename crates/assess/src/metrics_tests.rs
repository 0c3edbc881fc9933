use std::collections::BTreeMap;

use proptest::prelude::*;
use safeconduct_model::{
    Access, Action, Ask, Auth, Check, Cut, CutCause, DeviceFacts, Duration, Entry, Method, Mode, Outcome, Place,
    Principal, Reason, Record, SessionEvent, SessionEventKind, Timestamp, What, Who, Why,
};

use crate::{
    Alike, CISA_ZTMM, Estate, Evidence, GrantSpan, Integrity, Measurement, Metrics, RuleShape, Source, Stage,
    Statistic, evaluate, load_framework,
};

const START: i64 = 1_790_776_920_000;

fn at(minutes: u64) -> Timestamp {
    Timestamp::from_millis(START) + Duration::from_mins(minutes)
}

#[derive(Clone)]
struct Use {
    session: &'static str,
    methods: &'static [Method],
    action: Action,
    device: Option<u64>,
    rules: &'static [&'static str],
    facts: &'static [&'static str],
    permitted: bool,
}

const PLAIN: Use = Use {
    session: "s1",
    methods: &[Method::Passkey],
    action: Action::Read,
    device: Some(1),
    rules: &["r1"],
    facts: &["minute", "device.managed"],
    permitted: true,
};

fn entry(seq: u64, u: &Use) -> Entry {
    let now = at(seq);
    let auth = Auth {
        session: u.session.parse().expect("id"),
        methods: u.methods.iter().copied().collect(),
        at: now,
        until: Timestamp::MAX,
    };
    let device = u.device.map(|age| DeviceFacts {
        id: format!("lt-{}", u.session).parse().expect("id"),
        managed: true,
        reported: Some(now - Duration::from_mins(age)),
        max_age: Duration::from_mins(15),
        passed: [Check::Firewall].into(),
        required: [Check::Firewall].into(),
    });
    let ask = Ask {
        request: format!("r{seq}").parse().expect("id"),
        who: Who { principal: Principal::Person("ada".parse().expect("id")), groups: [].into(), auth: Some(auth) },
        what: What { app: "wiki".parse().expect("id"), action: u.action, method: "GET".into(), path: "/".into() },
        place: Place { ip: [10, 0, 0, 1].into(), network: None, country: None, device },
        why: Why::default(),
        lock: None,
    };
    let outcome = if u.permitted {
        Outcome::Permit { until: Timestamp::MAX }
    } else {
        Outcome::Deny { reason: Reason::NoRule, failing: vec![], remedies: vec![] }
    };
    let access = Access {
        ask,
        decided: now,
        outcome,
        mode: Mode::Enforce,
        revision: 1,
        rules: u.rules.iter().map(|r| r.parse().expect("id")).collect(),
        facts: u.facts.iter().map(|f| (*f).to_owned()).collect(),
        took_us: 0,
        again: false,
        would: None,
    };
    Entry { seq, at: now, record: Record::Access(Box::new(access)) }
}

fn measured(uses: &[Use], estate: &Estate) -> BTreeMap<String, Measurement> {
    let mut metrics = Metrics::default();
    uses.iter().enumerate().for_each(|(i, u)| metrics.add(&entry(i as u64, u)));
    metrics.finish(estate, at(1_000))
}

fn figure(found: &BTreeMap<String, Measurement>, id: &str) -> (u64, u64, u64) {
    let m = &found[id];
    (m.num, m.den, m.unknown)
}

#[test]
fn a_session_counts_as_strong_only_if_all_its_accesses_were() {
    let weak = Use { methods: &[Method::Password], ..PLAIN };
    let other = Use { session: "s2", methods: &[Method::Password, Method::Totp], action: Action::Admin, ..PLAIN };
    let found = measured(&[weak, PLAIN, other], &Estate::default());
    assert_eq!(figure(&found, "K10"), (1, 2, 0));
    assert_eq!(figure(&found, "K10(privileged)"), (1, 1, 0));
    assert_eq!(figure(&found, "K11"), (0, 2, 0));
    assert_eq!(figure(&found, "K12"), (0, 2, 0), "a session that ever used a password is not passwordless");
}

#[test]
fn posture_counts_as_it_was_when_the_session_began() {
    let later_fresh = Use { session: "s2", device: Some(60), ..PLAIN };
    let none = Use { session: "s3", device: None, ..PLAIN };
    let then = Use { session: "s2", ..PLAIN };
    let found = measured(&[PLAIN, later_fresh, none, then], &Estate::default());
    assert_eq!(figure(&found, "K30"), (2, 3, 0));
    assert_eq!(figure(&found, "K31"), (1, 3, 0));
    assert_eq!(figure(&found, "K32"), (2, 2, 0), "a device counts as it was last seen");
}

#[test]
fn an_observed_application_is_not_covered() {
    let modes = [("wiki", Mode::Enforce), ("bank", Mode::Observe)];
    let applications = modes.map(|(id, mode)| (id.parse().expect("id"), mode)).into();
    let found = measured(&[], &Estate { applications, ..Estate::default() });
    assert_eq!(figure(&found, "K01"), (1, 2, 0));
}

#[test]
fn five_ws_need_every_w_of_every_rule_that_spoke() {
    let shape = |reads: &[&str], why| RuleShape {
        permits: true,
        principal: true,
        action: true,
        resource: true,
        why,
        reads: reads.iter().map(|r| (*r).to_owned()).collect(),
    };
    let rules = [
        ("r1", shape(&["minute", "device.managed"], true)),
        ("r2", shape(&["minute", "device.managed"], false)),
        ("r3", shape(&["minute"], true)),
    ];
    let rules = rules.map(|(id, s)| (id.parse().expect("id"), s)).into();
    let estate = Estate { rules, ..Estate::default() };
    let with = |rules| Use { rules, ..PLAIN };
    let uses = [with(&["r1"]), with(&["r2"]), with(&["r3"]), with(&["r1", "r3"]), with(&["gone"])];
    assert_eq!(figure(&measured(&uses, &estate), "K06"), (1, 5, 1));
}

#[test]
fn an_unexplained_decision_is_seen() {
    let denied = Use { permitted: false, rules: &[], ..PLAIN };
    let bare = Use { rules: &[], ..PLAIN };
    let found = measured(&[PLAIN, denied, bare], &Estate::default());
    assert_eq!(figure(&found, "K72"), (2, 3, 0));
    assert_eq!(found["K07"].statistics[&Statistic::P50], 3, "identity, time, device");
}

#[test]
fn grants_without_an_end_do_not_expire() {
    let grant = |days| GrantSpan { from: at(0), until: at(0) + Duration::from_days(days) };
    let grants = vec![grant(1), grant(90), GrantSpan { from: at(0), until: Timestamp::MAX }];
    let estate = Estate { grants, max_grant: Duration::from_days(30), ..Estate::default() };
    assert_eq!(figure(&measured(&[], &estate), "K27"), (1, 3, 0));
    assert_eq!(figure(&measured(&[], &Estate::default()), "K27"), (0, 0, 0), "no grants prove nothing");
}

#[test]
fn the_time_to_revoke_is_measured_where_something_caused_it() {
    let mut metrics = Metrics::default();
    let cut = |cause, delay: Option<u64>| {
        Record::Cut(Cut {
            request: "r".parse().expect("id"),
            principal: Principal::Nobody,
            app: "wiki".parse().expect("id"),
            cause,
            lasted: Duration::from_secs(9),
            delay: delay.map(Duration::from_millis),
            bytes: None,
        })
    };
    for (i, ms) in (1..=100).enumerate() {
        metrics.add(&Entry { seq: i as u64, at: at(0), record: cut(CutCause::DeviceChanged, Some(ms)) });
    }
    metrics.add(&Entry { seq: 100, at: at(0), record: cut(CutCause::Closed, Some(9_999)) });
    metrics.add(&Entry { seq: 101, at: at(0), record: cut(CutCause::TimePassed, None) });
    let m = &metrics.finish(&Estate::default(), at(1))["K26"];
    let of = |s| m.statistics[&s];
    assert_eq!((m.den, of(Statistic::P50), of(Statistic::P95), of(Statistic::Max)), (100, 50, 95, 100));
}

#[test]
fn prompts_are_counted_per_person_and_day() {
    let mut metrics = Metrics::default();
    let event = |minutes, event| Entry {
        seq: 0,
        at: at(minutes),
        record: Record::Session(SessionEvent {
            session: "s1".parse().expect("id"),
            person: "ada".parse().expect("id"),
            event,
            methods: vec![Method::Password],
            device: None,
            ip: [10, 0, 0, 1].into(),
        }),
    };
    for e in [
        event(0, SessionEventKind::Began),
        event(1, SessionEventKind::SteppedUp),
        event(2, SessionEventKind::SignedOut),
    ] {
        metrics.add(&e);
    }
    let found = metrics.finish(&Estate::default(), at(9));
    assert_eq!(figure(&found, "K91"), (2, 1, 0));
    assert_eq!(figure(&found, "K10"), (0, 1, 0), "a session without an access counts by what it declared");
}

#[test]
fn the_gateway_alone_proves_a_little_and_never_more_than_initial() {
    let framework = load_framework("cisa", CISA_ZTMM).expect("valid");
    let estate = Estate {
        applications: [("wiki".parse().expect("id"), Mode::Enforce)].into(),
        integrity: Some(Integrity { segments: 3, verified: 3, at: at(990) }),
        ..Estate::default()
    };
    let evidence = Evidence {
        measurements: measured(&[PLAIN, PLAIN], &estate),
        connected: [Source::Gateway, Source::Policies].into(),
        ..Evidence::default()
    };
    let a = evaluate(&framework, &evidence, at(1_000));
    assert!(a.rows.iter().all(|r| r.proven <= Stage::Initial));
    let row = |id: &str| a.rows.iter().find(|r| r.id == id).map(|r| (r.proven, r.possible)).expect("row");
    assert_eq!(row("AW-1"), (Stage::Initial, Stage::Optimal));
    assert_eq!(row("DV-3"), (Stage::Initial, Stage::Optimal));
    assert_eq!(row("NW-1"), (Stage::Traditional, Stage::Optimal));
    assert!(a.would_decide[&Source::Flows].contains(&"NW-1".to_owned()));
}

proptest! {
    #[test]
    fn no_figure_exceeds_its_population(picks in prop::collection::vec((0usize..4, 0usize..3, any::<bool>(), prop::option::of(0u64..30)), 0..50)) {
        let sessions = ["s1", "s2", "s3", "s4"];
        let methods: [&'static [Method]; 3] = [&[Method::Password], &[Method::Passkey], &[]];
        let uses: Vec<Use> = picks.iter().map(|(s, m, permitted, device)| Use {
            session: sessions[*s], methods: methods[*m], permitted: *permitted, device: *device, ..PLAIN
        }).collect();
        for (id, m) in measured(&uses, &Estate::default()) {
            prop_assert!(id == "K91" || m.num + m.unknown <= m.den, "{id}: {m:?}");
        }
    }

    #[test]
    fn verdicts_like_each_other_count_together_as_they_do_one_by_one(picks in prop::collection::vec((0usize..4, any::<bool>(), prop::option::of(0u64..30), 1u64..6), 0..30)) {
        let sessions = ["s1", "s2", "s3", "s4"];
        let (mut one_by_one, mut together, mut minute) = (Metrics::default(), Metrics::default(), 0);
        for (session, permitted, device, times) in picks {
            let u = Use { session: sessions[session], permitted, device, ..PLAIN };
            let Record::Access(first) = entry(minute, &u).record else { unreachable!("it is a verdict") };
            let mut alike = Alike::one(at(minute), at(minute));
            for n in 0..times {
                let now = at(minute + n);
                if n > 0 {
                    alike.more(now, now);
                }
                let access = Access { decided: now, ..(*first).clone() };
                one_by_one.add(&Entry { seq: minute + n, at: now, record: Record::Access(Box::new(access)) });
            }
            together.add_like(&first, &alike);
            minute += times;
        }
        prop_assert_eq!(format!("{one_by_one:?}"), format!("{together:?}"));
    }
}
