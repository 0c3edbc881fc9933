//! Generated fortnights with a planted truth.

use std::collections::BTreeSet;

use jiff::tz::TimeZone;
use proptest::prelude::*;
use safeconduct_model::{
    Access, Action, Application, Ask, Auth, Check, Class, DeviceFacts, Duration, Entry, GroupId, Hardening, Method,
    Mode, Outcome, Person, PersonId, Place, Principal, Reason, Record, Stated, Timestamp, What, Who, Why,
};
use safeconduct_policy::{FixtureText, PolicyText, Snapshot, Sources, parse_fixtures, run_fixtures};

use crate::{
    Against, Answer, Changes, Directory, LeftOutBecause, Observed, Options, Proposal, ProposeError, Rehearsal,
    Settings, Target, compare, difference, propose, rehearse, replay,
};

mod guards;

/// Monday, 2026-08-31T00:00:00Z.
const MONDAY: i64 = 1_788_134_400_000;

fn app(id: &str) -> Application {
    Application {
        id: id.parse().expect("id"),
        name: id.into(),
        hosts: vec![],
        upstream: "http://127.0.0.1:1".into(),
        connector: None,
        mode: Mode::Enforce,
        class: Class::Moderate,
        assets: BTreeSet::new(),
        owner: Some("olga".parse().expect("id")),
        routes: vec![],
        hardening: Hardening::default(),
    }
}

fn snapshot(rules: &str) -> Snapshot {
    let sources = Sources {
        policies: vec![PolicyText { file: "p.cedar".into(), text: rules.into() }],
        applications: vec![app("books"), app("wiki")],
        assets: vec![],
        zone: TimeZone::UTC,
    };
    match Snapshot::build(2, sources) {
        Ok(s) => s,
        Err(faults) => panic!("{}", faults.iter().map(|f| format!("{f}\n")).collect::<String>()),
    }
}

/// One use, as small as a test wants it.
#[derive(Clone, Debug)]
struct Use {
    who: String,
    groups: Vec<&'static str>,
    app: &'static str,
    action: Action,
    day: i64,
    minute: i64,
    device: Option<(bool, Vec<Check>)>,
    mfa: bool,
    network: Option<String>,
    purpose: Option<String>,
    outcome: Option<Reason>,
    mode: Mode,
    grant: Option<safeconduct_model::GrantFacts>,
}

fn entry(seq: u64, u: &Use) -> Entry {
    let decided = Timestamp::from_millis(MONDAY + u.day * 86_400_000 + u.minute * 60_000);
    let methods = if u.mfa { vec![Method::Passkey] } else { vec![Method::Password] };
    let auth = Auth {
        session: "s".parse().expect("id"),
        methods: methods.into_iter().collect(),
        at: decided - Duration::from_mins(5),
        until: decided + Duration::from_hours(8),
    };
    let device = u.device.as_ref().map(|(managed, passed)| DeviceFacts {
        id: "lt-1".parse().expect("id"),
        managed: *managed,
        reported: Some(decided - Duration::from_mins(1)),
        max_age: Duration::from_mins(15),
        passed: passed.iter().copied().collect(),
        required: [Check::EndpointProtection, Check::DiskEncrypted].into(),
    });
    let groups = u.groups.iter().map(|g| g.parse().expect("id")).collect();
    let ask = Ask {
        request: format!("r{seq}").parse().expect("id"),
        who: Who { principal: Principal::Person(u.who.parse().expect("id")), groups, auth: Some(auth) },
        what: What { app: u.app.parse().expect("id"), action: u.action, method: "GET".into(), path: "/q".into() },
        place: Place { ip: [10, 0, 0, 1].into(), network: u.network.clone(), country: None, device },
        why: Why { stated: u.purpose.clone().map(|purpose| Stated { purpose, ticket: None }), grant: u.grant.clone() },
        lock: None,
    };
    let outcome = match u.outcome {
        None => Outcome::Permit { until: decided },
        Some(reason) => Outcome::Deny { reason, failing: vec![], remedies: vec![] },
    };
    let access = Access {
        ask,
        decided,
        outcome,
        mode: u.mode,
        revision: 1,
        rules: vec![],
        facts: vec![],
        took_us: 0,
        again: false,
        would: None,
    };
    Entry { seq, at: decided, record: Record::Access(Box::new(access)) }
}

fn entries(uses: &[Use]) -> Vec<Entry> {
    uses.iter().enumerate().map(|(i, u)| entry(i as u64, u)).collect()
}

fn accountant(n: usize, day: i64, minute: i64) -> Use {
    Use {
        who: format!("acc-{n}"),
        groups: vec!["accountants", "staff"],
        app: "books",
        action: Action::Read,
        day,
        minute,
        device: Some((true, vec![Check::EndpointProtection])),
        mfa: true,
        network: None,
        purpose: Some("close".into()),
        outcome: None,
        mode: Mode::Observe,
        grant: None,
    }
}

fn clerk(n: usize, day: i64, minute: i64) -> Use {
    Use {
        who: format!("clerk-{n}"),
        groups: vec!["clerks", "staff"],
        device: Some((true, vec![Check::EndpointProtection, Check::DiskEncrypted])),
        network: Some("office".into()),
        purpose: None,
        ..accountant(n, day, minute)
    }
}

/// Six accountants read in business hours from managed, protected devices; four clerks read and write in the morning from
/// compliant ones in the office. Thirty others use something else.
fn fortnight() -> Vec<Use> {
    let mut uses = Vec::new();
    for day in (0..14).filter(|d| d % 7 < 5) {
        for n in 0..6 {
            for k in 0..4 {
                uses.push(accountant(n, day, 485 + k * 175 + (n as i64 * 7 + day * 11) % 60));
            }
        }
        for n in 0..4 {
            for k in 0..3 {
                uses.push(clerk(n, day, 365 + k * 90 + (n as i64 * 13 + day * 5) % 50));
                uses.push(Use {
                    action: Action::Write,
                    ..clerk(n, day, 367 + k * 90 + (n as i64 * 13 + day * 5) % 50)
                });
            }
        }
    }
    uses.sort_by_key(|u| (u.day, u.minute));
    uses
}

fn directory() -> Directory {
    let person = |id: String, groups: &[&str]| Person {
        name: id.clone(),
        id: id.parse().expect("id"),
        email: None,
        groups: groups.iter().map(|g| g.parse().expect("id")).collect(),
        active: true,
    };
    let group = |id: &str, parents: &[&str]| safeconduct_model::Group {
        id: id.parse().expect("id"),
        name: id.into(),
        parents: parents.iter().map(|g| g.parse().expect("id")).collect(),
    };
    let mut people: Vec<Person> = (0..6).map(|n| person(format!("acc-{n}"), &["accountants"])).collect();
    people.extend((0..4).map(|n| person(format!("clerk-{n}"), &["clerks"])));
    people.extend((0..30).map(|n| person(format!("other-{n}"), &["staff"])));
    people.push(Person { active: false, ..person("gone".into(), &["accountants"]) });
    Directory::of(&people, &[group("accountants", &["staff"]), group("clerks", &["staff"]), group("staff", &[])])
}

fn observed(uses: &[Use]) -> Observed {
    let mut seen = Observed::new("books".parse().expect("id"), TimeZone::UTC);
    entries(uses).iter().for_each(|e| seen.add(e));
    seen
}

fn mined(uses: &[Use], settings: &Settings) -> Proposal {
    match propose(&observed(uses), &app("books"), &directory(), settings) {
        Ok(p) => p,
        Err(e) => panic!("{e}"),
    }
}

fn words(p: &Proposal) -> Vec<&str> {
    p.rules.iter().map(|r| r.words.as_str()).collect()
}

fn left_out(p: &Proposal) -> Vec<(LeftOutBecause, u64)> {
    p.left_out.iter().map(|l| (l.because, l.count)).collect()
}

const ACCOUNTANTS: &str = "People in accountants with two factors may read books, Monday to Friday, from 08:00 until 18:00, \
                           from a managed device with current endpoint protection, for close.";
const CLERKS: &str = "People in clerks with two factors may read and write books, Monday to Friday, from 06:00 until 10:00, \
                      from a managed device from a compliant device from the network office.";

#[test]
fn exactly_the_planted_policy_comes_out() {
    let p = mined(&fortnight(), &Settings::default());
    assert_eq!(words(&p), [ACCOUNTANTS, CLERKS], "{}", p.cedar);
    assert_eq!(left_out(&p), []);
    let f = &p.figures;
    assert_eq!((f.uses, f.covered, f.unused_pairs, f.granted_pairs), (480, 480, 0, 6 + 8));
    assert_eq!((f.days, f.people, f.under_privilege), (12, 10, Some(0.0)));
    assert!(
        p.cedar.contains(
            "@owner(\"olga\")\n@why(\"observed use, 240 accesses by 6 people, from 2026-08-31 to 2026-09-11\")"
        )
    );
}

/// The fortnight with things worth finding.
fn troubled() -> Vec<Use> {
    let mut uses = fortnight();
    uses.push(accountant(1, 3, 190));
    uses.push(Use { device: Some((false, vec![Check::EndpointProtection])), ..accountant(2, 4, 600) });
    uses.push(Use { outcome: Some(Reason::NoRule), mode: Mode::Enforce, ..accountant(3, 4, 610) });
    let other =
        |n: usize, k: i64| Use { who: format!("other-{n}"), groups: vec!["staff"], ..accountant(0, 8, 600 + k) };
    uses.push(other(1, 0));
    uses.extend((0..9).map(|k| other(2, k)));
    uses.extend((0..40).map(|k| Use { who: "gone".into(), groups: vec![], ..accountant(0, 9, 600 + k) }));
    uses.push(Use { outcome: Some(Reason::Forbidden), ..accountant(4, 9, 700) });
    uses
}

#[test]
fn what_stands_out_is_left_out_and_said() {
    let p = mined(&troubled(), &Settings::default());
    assert_eq!(words(&p)[..2], [ACCOUNTANTS, CLERKS], "{}", p.cedar);
    assert_eq!(
        words(&p)[2],
        "other-2 with two factors may read books, from a managed device with current endpoint protection, for close."
    );
    use LeftOutBecause as B;
    let found = [
        (B::DeniedAttempt, 1),
        (B::Forbidden, 1),
        (B::NotInDirectory, 40),
        (B::LittleSupport, 1),
        (B::OddHours, 1),
        (B::OtherDevice, 1),
    ];
    assert_eq!(left_out(&p), found, "{}", p.report());
    assert!(p.cedar.contains("// no group fits these, each has a rule: other-2"), "{}", p.cedar);
    assert!(p.cedar.contains("acc-1 read on Thursday 2026-09-03 at 03:10, from a managed device"), "{}", p.cedar);
}

#[test]
fn flagged_people_are_no_evidence_and_are_let_in_by_no_rule() {
    let flagged = Principal::Person("acc-5".parse().expect("id"));
    let mut uses = fortnight();
    uses.extend((0..60).map(|k| accountant(5, 5, 60 + k)));
    let settings = Settings { flagged: [flagged].into(), ..Settings::default() };
    let p = mined(&uses, &settings);
    assert!(words(&p)[0].starts_with("People in accountants"), "{}", p.cedar);
    assert!(p.cedar.contains("unless { principal == Person::\"acc-5\" }"), "{}", p.cedar);
    let built = snapshot(&p.cedar);
    let ask = |who: usize| {
        let Record::Access(a) = entry(0, &accountant(who, 1, 600)).record else { panic!("an access") };
        built.decide(&a.ask, a.decided).policy_permits()
    };
    assert!(ask(0) && !ask(5));
    assert_eq!(left_out(&p), [(LeftOutBecause::Flagged, 40 + 60)]);
}

#[test]
fn whoever_only_reads_gets_read() {
    let p = mined(&fortnight(), &Settings::default());
    let actions: Vec<_> = p.rules.iter().map(|r| (r.draft.target.clone(), r.draft.actions.len())).collect();
    let group = |id: &str| Target::Group(id.parse().expect("id"));
    assert_eq!(actions, [(group("accountants"), 1), (group("clerks"), 2)]);
}

#[test]
fn the_proposed_fixtures_hold_and_flip_each_fact() {
    let p = mined(&fortnight(), &Settings::default());
    let built = snapshot(&p.cedar);
    let people = |_: &PersonId| -> Option<BTreeSet<GroupId>> { None };
    let text = FixtureText { file: "books.toml".into(), text: p.fixtures.clone() };
    let fixtures = parse_fixtures(&text, &people).unwrap_or_else(|f| panic!("{}\n{}", f[0], p.fixtures));
    assert_eq!(run_fixtures(&built, &fixtures), []);
    let reasons: Vec<&str> = p.fixtures.lines().filter_map(|l| l.strip_prefix("reason = ")).collect();
    let first =
        ["no_rule", "action_not_allowed", "outside_hours", "outside_hours", "device_unknown", "device_not_managed"];
    assert_eq!(reasons[..6], first.map(|r| format!("\"{r}\"")), "{}", p.fixtures);
    for reason in ["device_not_compliant", "step_up_required", "purpose_required", "network_not_allowed"] {
        assert!(p.fixtures.contains(&format!("reason = \"{reason}\"")), "{reason} in {}", p.fixtures);
    }
    assert_eq!(p.fixtures.matches("expect = \"permit\"").count(), 2);
    assert!(!run_fixtures(&snapshot(""), &fixtures).is_empty(), "the fixtures can fail");
}

#[test]
fn free_texts_cannot_break_out_of_a_rule() {
    let nasty = "x\" || true };\npermit(principal, action, resource); //\\";
    let rename =
        |u: Use| Use { network: u.network.map(|_| nasty.into()), purpose: u.purpose.map(|_| nasty.into()), ..u };
    let uses: Vec<Use> = fortnight().into_iter().map(rename).collect();
    let p = mined(&uses, &Settings::default());
    assert_eq!(snapshot(&p.cedar).rules().len(), 2);
    assert_eq!(replay(entries(&uses), &snapshot(&p.cedar)).newly_denied.total, 0);
    let text = FixtureText { file: "f.toml".into(), text: p.fixtures.clone() };
    assert!(parse_fixtures(&text, &|_| None).is_ok(), "{}", p.fixtures);
}

#[test]
fn what_a_lock_denied_is_neither_mined_nor_replayed() {
    let locked = |k: i64| Use { outcome: Some(Reason::Locked), mode: Mode::Enforce, ..accountant(4, 9, 120 + k) };
    let mut with = fortnight();
    with.extend((0..30).map(locked));
    let (with_locks, without) = (mined(&with, &Settings::default()), mined(&fortnight(), &Settings::default()));
    assert_eq!(with_locks.cedar, without.cedar);
    let mut history = crate::History::default();
    for entry in entries(&[accountant(1, 3, 600), locked(0), accountant(1, 3, 610)]) {
        if let Record::Access(access) = entry.record {
            history.push(entry.seq, &access);
        }
    }
    assert_eq!(history.len(), 2);
}

#[test]
fn nobody_used_it_is_an_answer_of_its_own() {
    let denied = [Use { outcome: Some(Reason::NoRule), mode: Mode::Enforce, ..accountant(0, 0, 600) }];
    let nothing = propose(&observed(&denied), &app("books"), &directory(), &Settings::default());
    assert_eq!(nothing, Err(ProposeError::NoUse("books".parse().expect("id"))));
}

#[test]
fn few_uses_give_no_hours() {
    let uses: Vec<Use> = (0..3).flat_map(|n| (0..3).map(move |k| accountant(n, 0, 600 + k))).collect();
    let p = mined(&uses, &Settings::default());
    assert!(p.rules.iter().all(|r| r.draft.conditions.window.is_none() && !r.draft.conditions.weekdays), "{}", p.cedar);
}

const OPEN: &str = r#"@id("books") permit(principal in Group::"staff", action, resource == Application::"books");"#;

#[test]
fn a_replay_tells_who_would_lose_and_who_would_gain() {
    let mut uses = vec![accountant(0, 0, 600), clerk(1, 0, 400)];
    uses.push(Use { outcome: Some(Reason::OutsideHours), mode: Mode::Enforce, ..accountant(2, 0, 60) });
    uses.push(Use { outcome: Some(Reason::NoRule), mode: Mode::Enforce, app: "wiki", ..accountant(3, 0, 60) });
    let only = r#"@id("acc") permit(principal in Group::"accountants", action == Action::"read", resource == Application::"books");"#;
    let r = replay(entries(&uses), &snapshot(only));
    assert_eq!((r.same, r.newly_denied.total, r.newly_allowed.total), (2, 1, 1));
    let lost = &r.newly_denied.examples[0];
    assert_eq!((lost.seq, lost.before.as_str(), lost.after.as_str()), (1, "permitted", "denied (no_rule)"));
    assert!(
        lost.sentence
            .starts_with("clerk-1: read books /q, from lt-1 (managed, compliant) in office, at 2026-08-31T06:40")
    );
    assert_eq!(r.newly_allowed.by_reason.keys().copied().collect::<Vec<_>>(), [Reason::OutsideHours]);
    let report = r.report();
    assert!(report.starts_with("decided again: 4 of 4 recorded verdicts (100.0 %)\n"), "{report}");
    assert!(
        report.contains(
            "newly denied: 1\n  by person: clerk-1 1\n  by application: books 1\n  by owner: olga 1\n  by reason: no_rule 1\n"
        ),
        "{report}"
    );
}

#[test]
fn enforcing_an_observed_application_shows_what_would_break() {
    let through = Use { outcome: Some(Reason::NoRule), ..accountant(0, 0, 600) };
    let r = replay(entries(&[through, accountant(1, 0, 600)]), &snapshot(""));
    assert_eq!((r.same, r.newly_denied.total, r.would_break.total), (1, 1, 2));
    let r = replay(entries(&[Use { mode: Mode::Enforce, ..accountant(1, 0, 600) }]), &snapshot(""));
    assert_eq!((r.newly_denied.total, r.would_break.total), (1, 0));
}

#[test]
fn a_record_that_lacks_a_fact_is_counted_and_not_compared() {
    let country = r#"@id("c") permit(principal, action, resource == Application::"books") when { context.net has country && context.net.country == "AT" };"#;
    let r = replay(entries(&[accountant(0, 0, 600)]), &snapshot(country));
    assert_eq!((r.coverage.records, r.coverage.sufficient, r.coverage.missing["net.country"]), (1, 0, 1));
    assert_eq!(r.newly_denied.total, 0);
    assert!(r.report().contains("1 lack net.country"), "{}", r.report());
}

#[test]
fn results_are_json() {
    let p = mined(&troubled(), &Settings::default());
    let text = serde_json::to_string(&p).expect("a proposal is JSON");
    assert!(text.contains("\"because\":\"odd_hours\""), "{text}");
    let r = replay(entries(&troubled()), &snapshot(""));
    let text = serde_json::to_string(&r).expect("a rehearsal is JSON");
    assert!(text.contains("{\"key\":{\"person\":\"acc-0\"},\"count\":40}"), "{text}");
}

#[test]
fn progress_is_told_and_examples_are_bounded() {
    let mut told = Vec::new();
    let options = Options { examples: 2, at_once: 200 };
    let r = rehearse(entries(&fortnight()), Against::Recorded, &snapshot(""), options, &mut |n| told.push(n));
    assert_eq!((told, r.newly_denied.total, r.newly_denied.examples.len()), (vec![200, 400, 480], 480, 2));
}

#[test]
fn two_snapshots_differ_by_rule_and_by_answer() {
    let narrow = r#"@id("books") permit(principal in Group::"staff", action == Action::"read", resource == Application::"books");
        @id("wiki") permit(principal, action, resource == Application::"wiki");"#;
    let d = difference(&snapshot(OPEN), &snapshot(narrow));
    assert_eq!(
        d.report(),
        "~ books: People in staff may use books.\n  -> People in staff may read books.\n\
         + wiki: Everybody who is signed in may use wiki.\n"
    );
    assert!(difference(&snapshot(OPEN), &snapshot(OPEN)).is_empty());
    let write = Use { action: Action::Write, ..accountant(0, 0, 600) };
    let r = compare(entries(&[write, accountant(0, 0, 600)]), &snapshot(OPEN), &snapshot(narrow));
    assert_eq!((r.same, r.newly_denied.total), (1, 1));
    assert_eq!(r.newly_denied.examples[0].after, "denied (action_not_allowed)");
}

/// Rules that read many kinds of facts in many ways.
const MANY: &str = r#"
@id("a") permit(principal in Group::"accountants", action == Action::"read", resource == Application::"books")
    when { context.weekday <= 5 && context.minute >= 480 && 1080 > context.minute && context.device.managed };
@id("b") permit(principal in Group::"clerks", action, resource == Application::"books")
    when { context.auth.mfa && context.device.compliant || context.net.zone == "office" } unless { [6, 7].contains(context.weekday) };
@id("c") permit(principal == Person::"acc-1", action, resource)
    when { context has purpose && ["close", "audit"].contains(context.purpose) && context.auth.age < 300 };
@id("d") forbid(principal, action == Action::"write", resource == Application::"books")
    when { context.minute + 5 > 1000 } unless { context.device.disk_encrypted };
@id("e") permit(principal in Group::"staff", action, resource == Application::"wiki")
    when { context.device == {"known": true, "managed": true, "compliant": true, "disk_encrypted": true,
        "endpoint_protection": true, "os_current": false, "firewall": false, "screen_lock": false} };
"#;

fn any_use() -> impl Strategy<Value = Use> {
    let checks = prop::sample::subsequence(vec![Check::EndpointProtection, Check::DiskEncrypted], 0..=2);
    let minutes = prop_oneof![0i64..1440, prop::sample::select(vec![0i64, 479, 480, 994, 995, 996, 1079, 1080, 1439])];
    (
        (
            0usize..3,
            any::<bool>(),
            prop::sample::select(vec!["books", "wiki"]),
            prop::sample::select(Action::ALL.to_vec()),
        ),
        (0i64..14, minutes),
        (prop::option::of((any::<bool>(), checks)), any::<bool>()),
        prop::option::of(Just("office".to_owned())),
        prop::option::of(prop::sample::select(vec!["close".to_owned(), "audit".to_owned(), "fun".to_owned()])),
        prop::sample::select(vec![None, Some(Reason::NoRule), Some(Reason::Forbidden)]),
        prop::sample::select(vec![Mode::Observe, Mode::Enforce]),
    )
        .prop_map(|((n, acc, app, action), (day, minute), (device, mfa), network, purpose, outcome, mode)| {
            let base = if acc { accountant(n, day, minute) } else { clerk(n, day, minute) };
            Use { app, action, device, mfa, network, purpose, outcome, mode, ..base }
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn a_rehearsal_finds_what_asking_one_by_one_finds(uses in prop::collection::vec(any_use(), 1..80), at_once in 1usize..90) {
        let (built, entries) = (snapshot(MANY), entries(&uses));
        let options = Options { at_once, examples: usize::MAX };
        let found = rehearse(&entries, Against::Recorded, &built, options, &mut |_| {});
        let (mut denied, mut allowed, mut other, mut same) = (vec![], vec![], vec![], 0);
        for e in &entries {
            let Record::Access(a) = &e.record else { continue };
            let after = Answer::of(&built, &a.ask, a.decided);
            match (a.reason(), after.reason) {
                (None, Some(_)) => denied.push((e.seq, after.words())),
                (Some(_), None) => allowed.push((e.seq, after.words())),
                (Some(a), Some(b)) if a != b => other.push((e.seq, after.words())),
                _ => same += 1,
            }
        }
        let told = |c: &Changes| c.examples.iter().map(|e| (e.seq, e.after.clone())).collect::<Vec<_>>();
        prop_assert_eq!((told(&found.newly_denied), told(&found.newly_allowed), told(&found.reason_changed)), (denied, allowed, other));
        prop_assert_eq!(found.same, same);
    }

    #[test]
    fn the_coverage_of_a_proposal_is_what_replay_finds(extra in prop::collection::vec(any_use(), 0..60), from in 0usize..300) {
        let mut uses: Vec<Use> = fortnight().into_iter().skip(from).take(180).collect();
        uses.extend(extra);
        let p = mined(&uses, &Settings::default());
        let built = snapshot(&p.cedar);
        let passed: Vec<Entry> = entries(&uses).into_iter().filter(|e| match &e.record {
            Record::Access(a) => {
                a.passed() && a.reason() != Some(Reason::Forbidden) && a.ask.what.app.as_str() == "books"
            }
            _ => false,
        }).collect();
        prop_assert_eq!(p.figures.uses, passed.len() as u64);
        let permitted = |r: &Rehearsal| r.coverage.records - r.newly_denied.total - r.reason_changed.total;
        let r = compare(&passed, &snapshot(OPEN), &built);
        prop_assert_eq!(p.figures.covered, permitted(&r));
        let left: u64 = p.left_out.iter().filter(|l| !matches!(l.because, LeftOutBecause::DeniedAttempt | LeftOutBecause::Forbidden)).map(|l| l.count).sum();
        prop_assert_eq!(p.figures.covered + left, p.figures.uses);
        for rule in &p.rules {
            prop_assert!(!rule.words.contains("where") && !rule.words.contains("()"), "{}", rule.words);
        }
    }
}
