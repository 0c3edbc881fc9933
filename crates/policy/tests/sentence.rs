//! The sentence that must work, and each of its five Ws flipped.

#![expect(clippy::panic, reason = "a test that cannot go on panics")]

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::LazyLock;

use jiff::tz::TimeZone;
use proptest::prelude::*;
use safeconduct_model::{
    Action, Application, Ask, Auth, Check, Class, DeviceFacts, Duration, GrantFacts, Hardening, Method, Mode, Place,
    Principal, Reason, Remedy, Stated, Timestamp, What, Who, Why,
};
use safeconduct_policy::{PolicyText, Snapshot, Sources, Verdict};

const RULES: &str = r#"
@id("finance-close") @owner("cfo") @why("Quarter-end close")
permit(principal == Person::"ada", action == Action::"read", resource == Application::"q3-finance")
when {
  context.auth.mfa &&
  context.device.managed && context.device.endpoint_protection &&
  [1, 2, 3, 4, 5].contains(context.weekday) && context.minute >= 480 && context.minute < 1080 &&
  context has purpose && context.purpose == "quarter-end-close"
};

@id("wiki-staff")
permit(principal in Group::"staff", action in [Action::"read", Action::"write"], resource == Application::"wiki");

@id("wiki-no-stale-devices")
forbid(principal, action, resource == Application::"wiki")
unless { context.device.compliant };
"#;

fn app(id: &str, mode: Mode) -> Application {
    Application {
        id: id.parse().expect("id"),
        name: id.to_owned(),
        hosts: vec![],
        upstream: "http://127.0.0.1:1".into(),
        connector: None,
        mode,
        class: Class::Critical,
        assets: BTreeSet::new(),
        owner: Some("cfo".parse().expect("id")),
        routes: vec![],
        hardening: Hardening::default(),
    }
}

fn snapshot_of(rules: &str, mode: Mode) -> Snapshot {
    Snapshot::build(
        7,
        Sources {
            policies: vec![PolicyText { file: "p.cedar".into(), text: rules.into() }],
            applications: vec![app("q3-finance", mode), app("wiki", mode)],
            assets: vec![],
            zone: TimeZone::get("Europe/Berlin").expect("the bundled database knows Berlin"),
        },
    )
    .unwrap_or_else(|faults| panic!("{}", faults[0]))
}

fn snapshot() -> &'static Snapshot {
    static SNAPSHOT: LazyLock<Snapshot> = LazyLock::new(|| snapshot_of(RULES, Mode::Enforce));
    &SNAPSHOT
}

fn at(text: &str) -> Timestamp {
    Timestamp::from_millis(text.parse::<jiff::Timestamp>().expect("instant").as_millisecond())
}

/// A Wednesday, 14:02 in Berlin.
fn now() -> Timestamp {
    at("2026-09-30T14:02:00+02:00")
}

fn ada() -> Ask {
    Ask {
        request: "r1".parse().expect("id"),
        who: Who {
            principal: Principal::Person("ada".parse().expect("id")),
            groups: ["accountants", "staff"].map(|g| g.parse().expect("id")).into(),
            auth: Some(Auth {
                session: "s1".parse().expect("id"),
                methods: [Method::Passkey].into(),
                at: now() - Duration::from_mins(5),
                until: now() + Duration::from_hours(10),
            }),
        },
        what: What {
            app: "q3-finance".parse().expect("id"),
            action: Action::Read,
            method: "GET".into(),
            path: "/".into(),
        },
        place: Place {
            ip: IpAddr::from([10, 1, 2, 3]),
            network: None,
            country: None,
            device: Some(DeviceFacts {
                id: "lt-7".parse().expect("id"),
                managed: true,
                reported: Some(now() - Duration::from_mins(1)),
                max_age: Duration::from_hours(24),
                passed: Check::ALL.into(),
                required: [Check::DiskEncrypted].into(),
            }),
        },
        why: Why { stated: Some(Stated { purpose: "quarter-end-close".into(), ticket: None }), grant: None },
        lock: None,
    }
}

fn denied(ask: &Ask, when: Timestamp) -> (Reason, Vec<Remedy>) {
    match snapshot().decide(ask, when) {
        Verdict::Denial(d) => (d.reason, d.remedies),
        Verdict::Permit(_) => panic!("permitted"),
    }
}

#[test]
fn the_sentence_is_permitted_until_business_hours_end() {
    let Verdict::Permit(permit) = snapshot().decide(&ada(), now()) else { panic!("denied") };
    assert_eq!(permit.until(), at("2026-09-30T18:00:00+02:00"));
    assert_eq!(permit.grounds().rules, ["finance-close".parse().expect("id")]);
    assert_eq!(permit.grounds().revision, 7);
    assert!(permit.grounds().facts.contains("device.endpoint_protection"));
    assert!(permit.observed().is_none());
}

#[test]
fn who_flipped_another_accountant_is_told_to_ask_and_sees_no_rule() {
    let mut ask = ada();
    ask.who.principal = Principal::Person("bob".parse().expect("id"));
    let Verdict::Denial(denial) = snapshot().decide(&ask, now()) else { panic!("permitted") };
    assert_eq!(denial.reason, Reason::NoRule);
    assert!(denial.failing.is_empty(), "a rule for somebody else is not shown");
    assert_eq!(denial.remedies, [Remedy::AskOwner { owner: Some("cfo".into()) }]);
}

#[test]
fn what_flipped_writing_is_not_reading() {
    let mut ask = ada();
    ask.what.action = Action::Write;
    assert_eq!(denied(&ask, now()).0, Reason::ActionNotAllowed);
}

#[test]
fn when_flipped_it_says_when_it_opens() {
    let night = at("2026-10-02T19:00:00+02:00");
    let mut ask = ada();
    ask.who.auth.as_mut().expect("auth").until = night + Duration::from_hours(1);
    ask.place.device.as_mut().expect("device").reported = Some(night);
    let (reason, remedies) = denied(&ask, night);
    assert_eq!(reason, Reason::OutsideHours);
    assert_eq!(
        remedies,
        [Remedy::WaitUntil { at: at("2026-10-05T08:00:00+02:00") }],
        "Friday evening waits for Monday"
    );
}

#[test]
fn where_flipped_names_the_check_and_the_repair() {
    let mut ask = ada();
    ask.place.device.as_mut().expect("device").passed.remove(&Check::EndpointProtection);
    let (reason, remedies) = denied(&ask, now());
    assert_eq!(reason, Reason::DeviceNotCompliant);
    assert_eq!(remedies, [Remedy::FixDevice { steps: vec!["start the endpoint protection and let it update".into()] }]);
    ask.place.device.as_mut().expect("device").managed = false;
    assert_eq!(denied(&ask, now()).0, Reason::DeviceNotManaged);
    ask.place.device = None;
    assert_eq!(denied(&ask, now()).0, Reason::DeviceUnknown);
}

#[test]
fn why_flipped_asks_for_a_purpose_that_would_do() {
    let mut ask = ada();
    ask.why = Why::default();
    assert_eq!(
        denied(&ask, now()),
        (Reason::PurposeRequired, vec![Remedy::StatePurpose { accepted: vec!["quarter-end-close".into()] }])
    );
    ask.why.stated = Some(Stated { purpose: "curiosity".into(), ticket: None });
    assert_eq!(denied(&ask, now()).0, Reason::PurposeNotAccepted);
}

#[test]
fn how_flipped_one_factor_needs_a_step_up() {
    let mut ask = ada();
    ask.who.auth.as_mut().expect("auth").methods = [Method::Password].into();
    assert_eq!(denied(&ask, now()), (Reason::StepUpRequired, vec![Remedy::StepUp { phishing_resistant: false }]));
}

#[test]
fn an_ended_session_and_nobody_are_told_to_sign_in() {
    let mut ask = ada();
    ask.who.auth.as_mut().expect("auth").until = now();
    assert_eq!(denied(&ask, now()).0, Reason::SignInRequired);
    ask.who.principal = Principal::Nobody;
    ask.who.auth = None;
    assert_eq!(denied(&ask, now()), (Reason::SignInRequired, vec![Remedy::SignIn]));
}

#[test]
fn an_unknown_application_is_denied() {
    let mut ask = ada();
    ask.what.app = "ghost".parse().expect("id");
    assert_eq!(denied(&ask, now()).0, Reason::UnknownApplication);
}

#[test]
fn a_forbid_wins_and_says_what_lifts_it() {
    let mut ask = ada();
    ask.what.app = "wiki".parse().expect("id");
    assert!(snapshot().decide(&ask, now()).is_permit());
    ask.place.device.as_mut().expect("device").passed.remove(&Check::DiskEncrypted);
    let Verdict::Denial(denial) = snapshot().decide(&ask, now()) else { panic!("permitted") };
    assert_eq!(denial.reason, Reason::DeviceNotCompliant);
    assert_eq!(denial.grounds.rules, ["wiki-no-stale-devices".parse().expect("id")]);
    assert_eq!(denial.remedies, [Remedy::FixDevice { steps: vec!["turn on disk encryption".into()] }]);
}

#[test]
fn a_rule_that_fails_while_it_is_evaluated_denies_even_if_another_permits() {
    // Passes strict validation, overflows at run time.
    let rules = format!(
        "{RULES}\n@id(\"overflow\") forbid(principal, action, resource == Application::\"wiki\")\n\
         when {{ context.time * 9223372036854775807 > 0 && context.minute < 0 }};"
    );
    let mut ask = ada();
    ask.what.app = "wiki".parse().expect("id");
    let Verdict::Denial(denial) = snapshot_of(&rules, Mode::Enforce).decide(&ask, now()) else { panic!("permitted") };
    assert_eq!(denial.reason, Reason::EvaluationError);
}

#[test]
fn observing_lets_a_signed_in_person_pass_and_keeps_what_policy_said() {
    let observed = snapshot_of(RULES, Mode::Observe);
    let mut ask = ada();
    ask.what.action = Action::Write;
    let verdict = observed.decide(&ask, now());
    assert!(verdict.is_permit() && !verdict.policy_permits());
    let record = verdict.record(&ask, now(), Mode::Observe, 3);
    assert_eq!(record.reason(), Some(Reason::ActionNotAllowed));
    assert!(record.passed() && !record.permitted());
    ask.who.auth = None;
    assert!(!observed.decide(&ask, now()).is_permit(), "observing is not anonymous access");
}

#[test]
fn an_empty_policy_set_denies_everything() {
    let Verdict::Denial(denial) = snapshot_of("", Mode::Enforce).decide(&ada(), now()) else { panic!("permitted") };
    assert_eq!(denial.reason, Reason::NoRule);
}

#[test]
fn a_grant_carries_the_purpose_while_it_holds() {
    let mut ask = ada();
    ask.why = Why {
        stated: None,
        grant: Some(GrantFacts {
            id: "g1".parse().expect("id"),
            purpose: "quarter-end-close".into(),
            ticket: None,
            from: now() - Duration::from_hours(1),
            until: now() + Duration::from_mins(7),
        }),
    };
    let Verdict::Permit(permit) = snapshot().decide(&ask, now()) else { panic!("denied") };
    assert_eq!(permit.until(), now() + Duration::from_mins(7), "the grant ends first");
    assert_eq!(denied(&ask, now() + Duration::from_mins(7)).0, Reason::PurposeRequired);
}

#[test]
fn a_rule_reads_as_one_sentence() {
    let snapshot = snapshot();
    let rule = snapshot.rule(&"finance-close".parse().expect("id")).expect("exists");
    assert_eq!(
        rule.five_ws().sentence(),
        "ada with two factors may read q3-finance, Monday to Friday, from 08:00 until 18:00, \
         from a managed device with current endpoint protection, for quarter-end-close."
    );
}

fn permitted(ask: &Ask, when: Timestamp) -> bool {
    snapshot().decide(ask, when).is_permit()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// The naive model: step minute by minute and look when the permit turns into a denial.
    #[test]
    fn the_end_of_a_lease_is_the_first_minute_that_denies(
        start in 0i64..10_080, session in 1u64..1_440, report_age in 0u64..120, max_age in 60u64..600, grant in proptest::option::of(1u64..300),
    ) {
        let monday = at("2026-10-19T00:00:00+02:00");
        let begin = monday + Duration::from_mins(start.unsigned_abs());
        let mut ask = ada();
        let auth = ask.who.auth.as_mut().expect("auth");
        auth.at = begin;
        auth.until = begin + Duration::from_mins(session);
        let device = ask.place.device.as_mut().expect("device");
        device.reported = Some(begin - Duration::from_mins(report_age));
        device.max_age = Duration::from_mins(max_age);
        if let Some(minutes) = grant {
            ask.why = Why { stated: None, grant: Some(GrantFacts {
                id: "g".parse().expect("id"), purpose: "quarter-end-close".into(), ticket: None,
                from: begin, until: begin + Duration::from_mins(minutes),
            }) };
        }
        if let Verdict::Permit(permit) = snapshot().decide(&ask, begin) {
            let naive = (1..=session).map(|m| begin + Duration::from_mins(m)).find(|t| !permitted(&ask, *t));
            prop_assert_eq!(Some(permit.until()), naive);
        }
    }
}
