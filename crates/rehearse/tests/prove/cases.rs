//! Questions one by one: what is shown, what is left open, and why.

use safeconduct_model::{Class, Mode};
use safeconduct_policy::{PolicyText, Sources};
use safeconduct_rehearse::prove::{
    Because, Invariants, Outcome, Proof, Relation, both_ways, permits_no_more, unreachable,
};

use crate::common::{MONDAY, app, build, snapshot, sources};

/// Whether the second set permits no more than the first.
fn ask(current: &str, candidate: &str) -> Proof {
    permits_no_more(&snapshot(current), &snapshot(candidate), MONDAY)
}

/// The reasons for which nothing was shown.
fn open(current: &str, candidate: &str) -> String {
    match ask(current, candidate).outcome {
        Outcome::NotProven { because } => because.iter().map(|b| b.words()).collect::<Vec<_>>().join("\n"),
        other => panic!("{other:?}"),
    }
}

/// A permit for staff with these conditions.
fn staff(conditions: &str) -> String {
    format!("@id(\"staff\") permit(principal in Group::\"staff\", action, resource) when {{ {conditions} }};")
}

#[track_caller]
fn narrower(current: &str, candidate: &str) {
    let both = both_ways(&snapshot(current), &snapshot(candidate), MONDAY);
    assert_eq!(both.relation, Relation::Narrower, "{both:#?}");
}

#[track_caller]
fn same(current: &str, candidate: &str) {
    let both = both_ways(&snapshot(current), &snapshot(candidate), MONDAY);
    assert_eq!(both.relation, Relation::Same, "{both:#?}");
}

#[test]
fn each_kind_of_condition_narrows() {
    let free = staff("true");
    for condition in [
        "context.auth.mfa",
        "context.auth.age < 60",
        "context.device.compliant",
        "context.weekday <= 5",
        "context.minute >= 480",
        "context.time < 1790000000000",
        "context.method == \"GET\"",
        "context.path like \"/public/*\"",
        "context.net.zone == \"office\"",
        "context.net.ip.isInRange(ip(\"10.0.0.0/8\"))",
        "context.net has country && context.net.country == \"NL\"",
        "context has purpose && context.purpose == \"close\"",
        "context has ticket",
        "context.granted",
        "resource.class != \"critical\"",
        "action != Action::\"admin\"",
        "principal in Group::\"night\"",
        "principal is Person",
    ] {
        narrower(&free, &staff(condition));
    }
    narrower(&staff("context.minute >= 480"), &staff("context.minute >= 540"));
    narrower(
        &staff("context.net.ip.isInRange(ip(\"10.0.0.0/8\"))"),
        &staff("context.net.ip.isInRange(ip(\"10.9.0.0/16\"))"),
    );
    narrower(&staff("context.path like \"/a/*\""), &staff("context.path like \"/a/*.json\""));
    narrower(
        &staff("context.net.ip.isInRange(ip(\"::/0\"))"),
        &staff("context.net.ip.isInRange(ip(\"::ffff:0:0/96\"))"),
    );
}

#[test]
fn what_the_facts_make_impossible_is_no_difference() {
    same(&staff("context.auth.phishing_resistant"), &staff("context.auth.phishing_resistant && context.auth.mfa"));
    same(&staff("context.device.managed"), &staff("context.device.managed && context.device.known"));
    same(&staff("context.granted"), &staff("context.granted && context has purpose"));
    same(&staff("context has ticket"), &staff("context has ticket && context has purpose"));
    same(&staff("true"), &staff("context.weekday >= 1 && context.minute < 1440 && context.auth.age >= 0"));
    let all = "context.device.disk_encrypted && context.device.endpoint_protection && context.device.os_current && \
               context.device.firewall && context.device.screen_lock";
    same(&staff(all), &staff(&format!("{all} && context.device.compliant")));
    // The whole of 2026-08-31 is a Monday.
    let monday = "context.time >= 1788134400000 && context.time < 1788220800000";
    same(&staff(monday), &staff(&format!("{monday} && context.weekday == 1")));
    same(&staff("context.weekday == 1"), &staff("context.weekday < 2"));
    same(&staff("principal == Person::\"Not An Id\" || context.granted"), &staff("context.granted"));
}

#[test]
fn ids_notes_and_order_are_no_difference() {
    let one = "@id(\"a\") @why(\"x\") permit(principal, action, resource == Application::\"wiki\"); \
               @id(\"b\") forbid(principal, action, resource) unless { context.auth.mfa };";
    let two = "@id(\"c\") forbid(principal, action, resource) unless { context.auth.mfa }; \
               @id(\"d\") permit(principal, action, resource == Application::\"wiki\");";
    same(one, two);
    assert_eq!(ask(one, two).effort.changed, 0);
}

#[test]
fn one_rule_cut_in_two_says_the_same() {
    same(
        &staff("context.minute >= 480 && context.minute < 1080"),
        &(staff("context.minute >= 480 && context.minute < 700")
            + "@id(\"late\") permit(principal in Group::\"staff\", action, resource) when \
               { context.minute >= 700 && context.minute < 1080 };"),
    );
}

#[test]
fn the_example_is_a_whole_request_with_its_cause() {
    let current = staff("context.device.managed && context.weekday <= 5");
    let candidate = staff("context.weekday <= 5");
    let proof = ask(&current, &candidate);
    let shown = proof.counterexample().expect("it widens");
    assert_eq!(
        shown.sentence,
        "somebody (a person in staff, signed in with one factor 0 s ago): read books, GET /, from an unknown device at \
         192.0.2.10 in the network other, on Monday 2026-08-31 00:00"
    );
    assert!(shown.before.starts_with("denied ("), "{}", shown.before);
    assert_eq!(shown.after, "permitted by staff");
    assert_eq!(shown.cause, "rule staff is new or changed");
    assert_eq!((shown.rules[0].file.as_str(), shown.rules[0].line), ("p.cedar", 1));
    let json = serde_json::to_value(&proof).expect("JSON");
    assert_eq!(json["outcome"], "refuted");
    assert_eq!(json["ask"]["what"]["app"], "books");
    let report = proof.report("it permits no more", "it would newly allow");
    assert!(report.starts_with("it would newly allow:\n  somebody"), "{report}");
}

#[test]
fn a_forbid_that_goes_is_a_widening() {
    let open = "@id(\"all\") permit(principal in Group::\"staff\", action, resource);";
    let closed =
        format!("{open} @id(\"no-x\") forbid(principal, action, resource) when {{ context.net.zone == \"lab\" }};");
    let proof = ask(&closed, open);
    let shown = proof.counterexample().expect("it widens");
    assert_eq!(shown.cause, "forbid no-x is gone or changed");
    assert_eq!(shown.moment.ask.place.network.as_deref(), Some("lab"));
    assert!(ask(open, &closed).holds());
    // Where nothing is permitted, a forbid that goes opens nothing.
    let idle = "@id(\"all\") permit(principal, action, resource) when { context.net.zone == \"office\" };";
    same(
        &format!("{idle} @id(\"no\") forbid(principal, action, resource) when {{ context.net.zone == \"lab\" }};"),
        idle,
    );
}

#[test]
fn what_lies_outside_the_fragment_is_left_open_and_named() {
    let sum = staff("context.minute + 10 < 55");
    let text = open(&staff("context.minute < 50"), &sum);
    assert!(text.contains("p.cedar:1: rule staff: `") && text.contains("is outside the fragment"), "{text}");
    // The same condition on both sides is the same, whatever it means; only that the old rule may fail is left.
    let text = open(&sum, &staff("context.minute + 10 < 55 && context.granted"));
    assert_eq!(text, "p.cedar:1: rule staff: it may fail while it is evaluated, and what fails is denied");
    let safe = "(if context.granted then context.auth.mfa else false)";
    assert!(ask(&staff(safe), &staff(&format!("{safe} && context.device.known"))).holds());
    // What looks alike may mean two things.
    let left = staff("(context.granted == (context.minute < 5)) == context.auth.mfa");
    let right = staff("context.granted == ((context.minute < 5) == context.auth.mfa)");
    assert!(!ask(&left, &right).holds());
    // An example that the engine confirms is shown even so.
    assert!(ask(&staff("context.granted"), &staff("context.minute + 10 < 2000")).counterexample().is_some());
}

#[test]
fn a_rule_that_failed_and_is_gone_is_never_proved_away() {
    let fails = "@id(\"all\") permit(principal, action, resource); \
                 @id(\"odd\") permit(principal, action, resource) when { context.time + 9223372036854775807 > 0 };";
    let proof = ask(fails, "@id(\"all\") permit(principal, action, resource);");
    let shown = proof.counterexample().expect("what failed was denied");
    assert_eq!(shown.cause, "rule odd failed there, and what fails is denied");
}

#[test]
fn a_rule_in_shadow_says_nothing_and_a_canary_binds_some() {
    let rule = |mode: &str| format!("@id(\"r\") @mode(\"{mode}\") permit(principal, action, resource);");
    same("", &rule("shadow"));
    narrower(&rule("enforce"), &rule("canary:30"));
    narrower(&rule("canary:30"), &rule("canary:10"));
    assert!(ask(&rule("shadow"), &rule("canary:1")).counterexample().is_some());
    let forbid = |mode: &str| {
        format!(
            "@id(\"p\") permit(principal, action, resource); @id(\"f\") @mode(\"{mode}\") forbid(principal, action, resource);"
        )
    };
    narrower(&forbid("canary:10"), &forbid("canary:30"));
    // A canary under another name binds others.
    let other = rule("canary:30").replace("\"r\"", "\"s\"");
    assert_eq!(both_ways(&snapshot(&rule("canary:30")), &snapshot(&other), MONDAY).relation, Relation::Both);
}

#[test]
fn an_application_that_is_new_or_reclassified_is_looked_at_whole() {
    let rules = "@id(\"low\") permit(principal, action, resource) when { resource.class == \"low\" };";
    let current = build(sources(rules));
    let mut more = sources(rules);
    more.applications.push(app("new", Class::Low, &[]));
    let proof = permits_no_more(&current, &build(more), MONDAY);
    assert_eq!(proof.counterexample().map(|c| c.cause.as_str()), Some("the application new is new"));
    let mut lower = sources(rules);
    lower.applications[0] = app("books", Class::Low, &["ledger"]);
    let proof = permits_no_more(&current, &build(lower), MONDAY);
    let cause = proof.counterexample().map(|c| c.cause.as_str());
    assert_eq!(cause, Some("the class or the assets of books changed"));
    let hidden = "@id(\"h\") permit(principal, action, resource) when \
                  { if resource.class == \"low\" then true else context.granted };";
    let mut lower = sources(hidden);
    lower.applications[0] = app("books", Class::Low, &["ledger"]);
    assert!(!permits_no_more(&snapshot(hidden), &build(lower), MONDAY).holds(), "the same text means more now");
    let mut observed = sources(rules);
    observed.applications[1].mode = Mode::Observe;
    let proof = permits_no_more(&current, &build(observed), MONDAY);
    assert!(matches!(&proof.outcome, Outcome::NotProven { because } if because[0].why.contains("only be observed")));
    let zone = Sources { zone: jiff::tz::TimeZone::get("Europe/Amsterdam").expect("bundled"), ..sources(rules) };
    assert!(permits_no_more(&current, &build(zone), MONDAY).holds(), "no rule reads the clock");
}

#[test]
fn rules_that_do_nothing_are_told_with_the_reason() {
    let text = "@id(\"wide\") permit(principal in Group::\"staff\", action, resource);
        @id(\"narrow\") permit(principal in Group::\"staff\", action == Action::\"read\", resource);
        @id(\"never\") permit(principal, action, resource) when { context.minute > 700 && context.minute < 600 };
        @id(\"shut\") permit(principal, action, resource == Application::\"wiki\") when { context.net.zone == \"lab\" };
        @id(\"nowhere\") permit(principal, action, resource in Asset::\"spare\");
        @id(\"no-lab\") forbid(principal, action, resource) when { context.net.zone == \"lab\" };
        @id(\"twice\") forbid(principal, action, resource == Application::\"wiki\") when { context.net.zone == \"lab\" };";
    let found: Vec<(String, Because)> =
        unreachable(&snapshot(text), MONDAY).into_iter().map(|u| (u.rule.id.to_string(), u.because)).collect();
    let id = |t: &str| vec![t.parse().expect("id")];
    assert_eq!(
        found,
        [
            ("narrow".to_owned(), Because::Covered(id("wide"))),
            ("never".to_owned(), Because::Contradiction),
            ("shut".to_owned(), Because::Forbidden(id("no-lab"))),
            ("nowhere".to_owned(), Because::NoApplication),
            ("twice".to_owned(), Because::Covered(id("no-lab"))),
        ]
    );
}

#[test]
fn an_invariant_is_kept_or_broken_by_a_request() {
    let never = "@id(\"healthy\") @why(\"nobody reaches what is critical without a compliant device\")
        forbid(principal, action, resource) when { resource.class == \"critical\" } unless { context.device.compliant };";
    let read =
        |text: &str| Invariants::read(vec![PolicyText { file: "i.cedar".into(), text: text.into() }], &sources(""));
    let invariants = read(never).unwrap_or_else(|f| panic!("{}", f[0]));
    let kept = "@id(\"a\") permit(principal, action, resource == Application::\"wiki\");
        @id(\"b\") permit(principal, action, resource) when { context.device.compliant };";
    let told =
        |rules: &str| invariants.under(&snapshot(rules), MONDAY).unwrap_or_else(|f| panic!("{}", f[0])).remove(0);
    assert!(told(kept).proof.holds());
    let broken =
        told(&format!("{kept} @id(\"c\") permit(principal in Group::\"ops\", action, resource in Asset::\"ledger\");"));
    let shown = broken.proof.counterexample().expect("ops get through");
    assert_eq!((shown.before.as_str(), shown.after.as_str()), ("never to be permitted", "permitted by c"));
    let fault = |text: &str| read(text).map(|_| ()).expect_err("refused")[0].to_string();
    assert!(fault("@id(\"x\") @why(\"y\") permit(principal, action, resource);").contains("is a permit"));
    assert!(fault("@id(\"x\") forbid(principal, action, resource);").contains("does not say what it is for"));
    assert!(
        fault("@id(\"x\") @why(\"y\") forbid(principal, action, resource in Asset::\"gone\");")
            .contains("does not exist")
    );
}
