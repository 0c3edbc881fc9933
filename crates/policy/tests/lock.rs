//! Locks stand in front of the rules.

#![expect(clippy::panic, reason = "a test that cannot go on panics")]

use std::collections::BTreeSet;

use jiff::tz::TimeZone;
use safeconduct_model::{
    Action, Application, Ask, Auth, Class, Duration, Failing, GrantFacts, Hardening, Lock, LockTarget, Method, Mode,
    Place, Principal, Reason, Remedy, Timestamp, What, Who, Why,
};
use safeconduct_policy::{Denial, PolicyText, Snapshot, Sources, Verdict};

/// Everybody may read the wiki, and write it with a grant to repair it.
const RULES: &str = r#"
@id("read") permit(principal in Group::"staff", action == Action::"read", resource);
@id("repair") permit(principal in Group::"staff", action == Action::"write", resource)
when { context.granted && context has purpose && context.purpose == "repair" };
"#;

const NOW: Timestamp = Timestamp::from_millis(1_790_000_000_000);

fn snapshot(mode: Mode) -> Snapshot {
    let wiki = Application {
        id: "wiki".parse().expect("id"),
        name: "Wiki".into(),
        hosts: vec![],
        upstream: "http://127.0.0.1:1".into(),
        connector: None,
        mode,
        class: Class::Low,
        assets: BTreeSet::new(),
        owner: Some("bo".parse().expect("id")),
        routes: vec![],
        hardening: Hardening::default(),
    };
    let policies = vec![PolicyText { file: "p.cedar".into(), text: RULES.into() }];
    Snapshot::build(3, Sources { policies, applications: vec![wiki], assets: vec![], zone: TimeZone::UTC })
        .unwrap_or_else(|faults| panic!("{}", faults[0]))
}

fn grant() -> GrantFacts {
    GrantFacts {
        id: "g1".parse().expect("id"),
        purpose: "repair".into(),
        ticket: None,
        from: NOW - Duration::from_days(1),
        until: NOW + Duration::from_days(1),
    }
}

fn ask(action: Action) -> Ask {
    Ask {
        request: "r1".parse().expect("id"),
        who: Who {
            principal: Principal::Person("ada".parse().expect("id")),
            groups: ["staff".parse().expect("id")].into(),
            auth: Some(Auth {
                session: "s1".parse().expect("id"),
                methods: [Method::Passkey].into(),
                at: NOW,
                until: NOW + Duration::from_hours(8),
            }),
        },
        what: What { app: "wiki".parse().expect("id"), action, method: "GET".into(), path: "/".into() },
        place: Place { ip: [10, 0, 0, 1].into(), network: None, country: None, device: None },
        why: Why { stated: None, grant: Some(grant()) },
        lock: None,
    }
}

fn lock(target: LockTarget, until: Option<Timestamp>) -> Lock {
    Lock {
        id: "l1".parse().expect("id"),
        target,
        message: "Call 7-300.".parse().expect("a message"),
        by: "cli".into(),
        placed: NOW,
        until,
    }
}

fn locked(action: Action, target: LockTarget, until: Option<Timestamp>) -> Ask {
    Ask { lock: Some(Box::new(lock(target, until).facts(None))), ..ask(action) }
}

fn denial(verdict: Verdict) -> Denial {
    match verdict {
        Verdict::Denial(denial) => denial,
        Verdict::Permit(permit) => panic!("permitted by {:?}", permit.grounds().rules),
    }
}

#[test]
fn a_lock_on_any_kind_of_target_denies_with_its_reason_and_its_message() {
    let snapshot = snapshot(Mode::Enforce);
    assert!(snapshot.decide(&ask(Action::Read), NOW).is_permit(), "without a lock it is permitted");
    for kind in LockTarget::KINDS {
        let target = LockTarget::of(kind, if kind == "connector" { "a/b" } else { "x" }).expect("a target");
        let ask = locked(Action::Read, target.clone(), None);
        let denial = denial(snapshot.decide(&ask, NOW));
        assert_eq!((denial.reason, denial.reason.code()), (Reason::Locked, "locked"), "{kind}");
        let [Failing { condition, found, .. }] = denial.failing.as_slice() else { panic!("{kind}: {denial:?}") };
        assert_eq!((condition.as_str(), found.clone()), ("lock l1", format!("{}: Call 7-300.", target.words())));
        assert_eq!(denial.remedies, [Remedy::AskOperators]);
        assert!(denial.grounds.rules.is_empty() && denial.grounds.revision == 3, "no rule was asked");
        let opinion = snapshot.opinion(&ask, NOW).expect_err("a rehearsal hears the same");
        assert_eq!(opinion.reason, Reason::Locked);
        assert!(snapshot.explain(&ask, NOW).nearest.is_empty(), "no rule would have helped");
    }
}

#[test]
fn a_lock_ends_with_its_instant_and_says_so() {
    let snapshot = snapshot(Mode::Enforce);
    let end = NOW + Duration::from_hours(1);
    let ask = locked(Action::Read, LockTarget::Person("ada".parse().expect("id")), Some(end));
    let denial = denial(snapshot.decide(&ask, end - Duration::from_millis(1)));
    assert_eq!(denial.remedies, [Remedy::WaitUntil { at: end }, Remedy::AskOperators]);
    assert!(snapshot.decide(&ask, end).is_permit(), "everything is as before");
}

#[test]
fn a_lock_binds_where_policy_is_only_observed_and_is_recorded_as_binding() {
    let snapshot = snapshot(Mode::Observe);
    assert!(snapshot.decide(&ask(Action::Write), NOW).is_permit());
    let ask = locked(Action::Write, LockTarget::Application("wiki".parse().expect("id")), None);
    let verdict = snapshot.decide(&ask, NOW);
    assert!(!verdict.is_permit());
    let record = verdict.record(&ask, NOW, Mode::Observe, 1);
    assert_eq!((record.mode, record.passed(), record.reason()), (Mode::Enforce, false, Some(Reason::Locked)));
    let text = serde_json::to_string(&record).expect("JSON");
    let again: safeconduct_model::Access = serde_json::from_str(&text).expect("a record");
    assert_eq!(denial(snapshot.decide(&again.ask, again.decided)).reason, Reason::Locked, "a record can be replayed");
}

#[test]
fn who_is_not_signed_in_learns_of_no_lock() {
    let snapshot = snapshot(Mode::Enforce);
    let mut ask = locked(Action::Read, LockTarget::Application("wiki".parse().expect("id")), None);
    ask.who.auth = None;
    ask.who.principal = Principal::Nobody;
    assert_eq!(denial(snapshot.decide(&ask, NOW)).reason, Reason::SignInRequired);
    let mut ended = locked(Action::Read, LockTarget::Person("ada".parse().expect("id")), None);
    ended.who.auth.as_mut().expect("a session").until = NOW;
    assert_eq!(denial(snapshot.decide(&ended, NOW)).reason, Reason::SignInRequired);
}

#[test]
fn a_locked_grant_shuts_what_it_alone_opens_and_nothing_else() {
    let snapshot = snapshot(Mode::Enforce);
    assert!(snapshot.decide(&ask(Action::Write), NOW).is_permit(), "with the grant it is permitted");
    let facts = lock(LockTarget::Grant("g1".parse().expect("id")), None).facts(Some(grant()));
    let withheld = |action| Ask { lock: Some(Box::new(facts.clone())), why: Why::default(), ..ask(action) };
    let write = denial(snapshot.decide(&withheld(Action::Write), NOW));
    assert_eq!(write.reason, Reason::Locked);
    assert!(snapshot.decide(&withheld(Action::Read), NOW).is_permit(), "this never needed the grant");
    let mut elsewhere = withheld(Action::Write);
    elsewhere.who.groups.clear();
    assert_eq!(denial(snapshot.decide(&elsewhere, NOW)).reason, Reason::NoRule, "the grant would not have helped");
}
