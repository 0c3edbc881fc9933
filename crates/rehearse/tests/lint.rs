//! Lints: each finds its rule, and says nothing of a good one.
#![expect(clippy::panic, reason = "a test that cannot go on fails")]

use std::collections::BTreeSet;

use jiff::tz::TimeZone;
use safeconduct_model::{Application, Class, Duration, Hardening, Mode, Timestamp};
use safeconduct_policy::{PolicyText, Snapshot, Sources};
use safeconduct_rehearse::{Level, Linting, Matches, lint};

/// Monday, 2026-08-31T00:00:00Z.
const NOW: Timestamp = Timestamp::from_millis(1_788_134_400_000);

fn app(id: &str, class: Class) -> Application {
    Application {
        id: id.parse().expect("id"),
        name: id.into(),
        hosts: vec![],
        upstream: "http://127.0.0.1:1".into(),
        connector: None,
        mode: Mode::Enforce,
        class,
        assets: BTreeSet::new(),
        owner: None,
        routes: vec![],
        hardening: Hardening::default(),
    }
}

/// The lints of a text as `level name rule`.
fn found(text: &str, matches: &Matches) -> Vec<String> {
    let sources = Sources {
        policies: vec![PolicyText { file: "p.cedar".into(), text: text.into() }],
        applications: vec![app("books", Class::Critical), app("crm", Class::High), app("wiki", Class::Low)],
        assets: vec![],
        zone: TimeZone::UTC,
    };
    let snapshot = Snapshot::build(1, sources).unwrap_or_else(|f| panic!("{}", f[0]));
    let groups = Some(["staff".to_owned()].into());
    let against = Linting { now: NOW, matches, idle_after: Duration::from_days(30), groups };
    lint(&snapshot, &against).iter().map(|l| format!("{} {} {}", l.level, l.name, l.rule.id)).collect()
}

fn plain(text: &str) -> Vec<String> {
    found(&format!("@owner(\"mira\") @why(\"work\") {text}"), &Matches::default())
}

#[test]
fn a_good_rule_is_not_spoken_of() {
    let good = "@id(\"a\") @expires(\"2026-12-31\") permit(principal in Group::\"staff\", action, resource);";
    assert_eq!(plain(good), [""; 0]);
    assert_eq!(plain("@id(\"a\") permit(principal, action, resource == Application::\"wiki\");"), [""; 0]);
    assert_eq!(
        plain("@id(\"a\") permit(principal, action, resource) when { principal in Group::\"staff\" };"),
        [""; 0]
    );
}

#[test]
fn each_lint_finds_its_rule() {
    let one = |text: &str| plain(text).join(", ");
    assert_eq!(one("@id(\"a\") permit(principal, action, resource);"), "error over-broad a");
    assert_eq!(
        one("@id(\"a\") permit(principal is Person, action, resource == Application::\"crm\");"),
        "warning over-broad a"
    );
    let staff = |note: &str| format!("@id(\"a\") {note} permit(principal in Group::\"staff\", action, resource);");
    assert_eq!(one(&staff("@expires(\"2026-08-30\")")), "error expires a");
    assert_eq!(one(&staff("@expires(\"2026-08-31\")")), "warning expires a");
    assert_eq!(one(&staff("@expires(\"soon\")")), "error expires a");
    assert_eq!(one(&staff("@expires(\"2026-10-01T00:00:00Z\")")), "");
    assert_eq!(one("@id(\"a\") permit(principal in Group::\"staf\", action, resource);"), "warning unknown-name a");
    assert_eq!(
        one("@id(\"a\") permit(principal in Group::\"staff\", action, resource) when { context.minute < 0 };"),
        "error unreachable a"
    );
    assert_eq!(
        found("@id(\"a\") permit(principal in Group::\"staff\", action, resource);", &Matches::default()),
        ["warning no-owner a", "warning no-why a"]
    );
    assert!(Level::Error > Level::Warning);
}

#[test]
fn a_rule_that_decided_nothing_is_told_only_if_the_ledger_is_old_enough() {
    let text = "@id(\"a\") @owner(\"mira\") @why(\"work\") permit(principal in Group::\"staff\", action, resource);";
    let days = |n| NOW - Duration::from_days(n);
    let mut matches = Matches { window: Some((days(20), NOW)), ..Matches::default() };
    assert_eq!(found(text, &matches), [""; 0]);
    matches.window = Some((days(40), NOW));
    assert_eq!(found(text, &matches), ["warning unused a"]);
    matches.rules.insert("a".parse().expect("id"), (3, days(35)));
    assert_eq!(found(text, &matches), ["warning unused a"]);
    matches.rules.insert("a".parse().expect("id"), (4, days(2)));
    assert_eq!(found(text, &matches), [""; 0]);
}
