//! What a proposal never does: widen, rest on exceptions, cut what a short window cannot judge.

use safeconduct_model::GrantFacts;

use super::*;
use crate::{BREAK_GLASS, Baseline, Today, propose_within};

/// Wide, but not without conditions.
const NOW: &str = r#"@id("now") permit(principal in Group::"staff", action in [Action::"read", Action::"write"],
    resource == Application::"books")
when { context.minute >= 300 && context.minute < 1320 && context.device.known && context.net.ip.isInRange(ip("10.0.0.0/8")) }
unless { context.path like "/secret*" };"#;

fn under(rules: &str, uses: &[Use], settings: &Settings) -> Result<Proposal, ProposeError> {
    let (current, directory) = (snapshot(rules), directory());
    let mut today = Today::of(&current, &directory);
    let mut seen = Observed::new("books".parse().expect("id"), TimeZone::UTC);
    entries(uses).iter().for_each(|e| seen.add_under(e, &mut today));
    propose_within(&seen, &app("books"), &directory, settings, Some(&current))
}

fn enforced(uses: Vec<Use>) -> Vec<Use> {
    uses.into_iter().map(|u| Use { mode: Mode::Enforce, ..u }).collect()
}

#[test]
fn a_proposal_repeats_what_the_rule_of_now_asks_for_and_asks_for_more() {
    let p = under(NOW, &enforced(fortnight()), &Settings::default()).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(p.narrowing.baseline, Baseline::Rules);
    assert_eq!((p.narrowing.compared, p.narrowing.widened, p.narrowing.loose.len()), (480, 0, 0));
    assert_eq!(p.narrowing.remaining, []);
    for text in
        ["principal in Group::\"staff\"", "isInRange(ip(\"10.0.0.0/8\"))", "unless { context.path like \"/secret*\" }"]
    {
        assert_eq!(p.cedar.matches(text).count(), 2, "{text} in {}", p.cedar);
    }
    assert!(!p.cedar.contains(">= 300"), "the narrower hours say it already: {}", p.cedar);
    let r = compare(entries(&enforced(fortnight())), &snapshot(NOW), &snapshot(&p.cedar));
    assert_eq!((r.newly_allowed.total, r.newly_denied.total), (0, 0), "{}", p.cedar);
    let fixtures = FixtureText { file: "f.toml".into(), text: p.fixtures.clone() };
    assert!(p.fixtures.contains("expect = \"permit\"") || p.fixtures.lines().count() == 1, "{}", p.fixtures);
    assert!(parse_fixtures(&fixtures, &|_| None).is_ok());
}

#[test]
fn what_the_rules_of_now_deny_is_no_evidence_unless_a_person_asks() {
    let mut uses = enforced(fortnight());
    // Recorded as passed under some earlier rule; the rule of now says no to it.
    uses.extend((0..30).map(|k| Use {
        action: Action::Admin,
        mode: Mode::Enforce,
        ..accountant(k % 6, (k % 5) as i64, 600)
    }));
    let p = under(NOW, &uses, &Settings::default()).unwrap_or_else(|e| panic!("{e}"));
    assert!(p.rules.iter().all(|r| !r.draft.actions.contains(&Action::Admin)), "{}", p.cedar);
    assert_eq!(left_out(&p), [(LeftOutBecause::NotAllowedNow, 30)]);
    let wider = under(NOW, &uses, &Settings { widen: true, ..Settings::default() }).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!((wider.narrowing.baseline, wider.narrowing.widened), (Baseline::Widening, 30), "{}", wider.cedar);
    assert!(wider.report().contains("WIDENING, as asked: 30 of 510"), "{}", wider.report());
}

#[test]
fn exceptions_are_no_evidence() {
    let glass =
        |k: usize| Use { purpose: Some(BREAK_GLASS.into()), action: Action::Write, ..accountant(k % 6, 3, 600) };
    let grant = GrantFacts {
        id: "g".parse().expect("id"),
        purpose: "migration".into(),
        ticket: None,
        from: Timestamp::from_millis(MONDAY),
        until: Timestamp::from_millis(MONDAY + 30 * 86_400_000),
    };
    let granted = |k: usize| Use { grant: Some(grant.clone()), action: Action::Admin, ..accountant(k % 6, 4, 600) };
    let mut uses = fortnight();
    uses.extend((0..20).map(glass));
    uses.extend((0..20).map(granted));
    let p = mined(&uses, &Settings::default());
    assert_eq!(words(&p), [ACCOUNTANTS, CLERKS], "{}", p.cedar);
    assert_eq!(left_out(&p), [(LeftOutBecause::Exception, 40)]);
}

#[test]
fn uses_that_only_an_emergency_rule_lets_pass_are_no_evidence() {
    let rules =
        format!("{NOW} @id(\"glass\") @break_glass(\"yes\") permit(principal, action == Action::\"admin\", resource);");
    let mut uses = enforced(fortnight());
    uses.extend((0..20).map(|k| Use { action: Action::Admin, mode: Mode::Enforce, ..accountant(k % 6, 3, 600) }));
    let p = under(&rules, &uses, &Settings::default()).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(left_out(&p), [(LeftOutBecause::Exception, 20)]);
}

#[test]
fn a_window_of_a_few_days_cuts_nothing() {
    let short: Vec<Use> = enforced(fortnight()).into_iter().filter(|u| u.day < 4).collect();
    let error = under(NOW, &short, &Settings::default()).expect_err("it cannot judge");
    let text = error.to_string();
    // Forty people may read and write, and four days saw ten of them.
    assert!(text.starts_with("4 days of use cannot judge the 66 rights of `books` that would be cut ("), "{text}");
    assert!(text.ends_with("observe for 7 days at least"), "{text}");
    let whole = under(NOW, &enforced(fortnight()), &Settings::default()).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(whole.season.unjudged, Some(66));
}

#[test]
fn where_verdicts_do_not_bind_everything_is_narrower() {
    let observing = |uses: &[Use]| {
        let (mut books, directory) = (app("books"), directory());
        books.mode = Mode::Observe;
        let sources =
            Sources { policies: vec![], applications: vec![books.clone()], assets: vec![], zone: TimeZone::UTC };
        let current = Snapshot::build(2, sources).unwrap_or_else(|f| panic!("{}", f[0]));
        let mut today = Today::of(&current, &directory);
        let mut seen = Observed::new("books".parse().expect("id"), TimeZone::UTC);
        entries(uses).iter().for_each(|e| seen.add_under(e, &mut today));
        propose_within(&seen, &books, &directory, &Settings::default(), Some(&current))
    };
    let p = observing(&fortnight()).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!((p.narrowing.baseline, p.narrowing.widened), (Baseline::Observed, 0));
    assert_eq!(words(&p), [ACCOUNTANTS, CLERKS]);
}

#[test]
fn the_figures_are_split_by_time() {
    let p = mined(&fortnight(), &Settings::default());
    let m = &p.measured;
    let next = m.next.as_ref().expect("a fortnight can be split");
    assert!(next.needed > 50 && next.denied == 0 && next.granted == 14, "{next:?}");
    assert_eq!((next.train_days, next.test_days), (9, 3), "{next:?}");
    // On the last day the accountants write, too: what was mined before does not know it.
    let mut uses = fortnight();
    uses.extend((0..40).map(|k| Use { action: Action::Write, ..accountant(k % 6, 11, 500 + k as i64) }));
    let p = mined(&uses, &Settings::default());
    let next = p.measured.next.as_ref().expect("a split");
    assert_eq!((next.denied, p.figures.test_denied), (40, 40), "{next:?}");
    assert_eq!(p.measured.stable_after, None, "the rules changed on the last days");
    assert!(p.measured.blind.iter().any(|b| b.starts_with("quarterly use")), "{:?}", p.measured.blind);
}

#[test]
fn a_rule_for_several_applications_goes_on_and_that_is_said() {
    let everywhere = NOW.replace("resource == Application::\"books\"", "resource");
    let p = under(&everywhere, &enforced(fortnight()), &Settings::default()).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(p.narrowing.remaining, ["now".parse().expect("id")]);
    assert!(p.notes().iter().any(|n| n.starts_with("goes on beside it: now,")), "{:?}", p.notes());
}

#[test]
fn a_rule_that_says_less_than_the_rule_of_now_is_found() {
    let now = snapshot(NOW);
    let is_below = |rule: &str| {
        let built = snapshot(rule);
        crate::mine::is_below_now(&built.rules()[0], &now, &app("books"))
    };
    let whole = r#"@id("r") permit(principal in Group::"clerks", action == Action::"read", resource == Application::"books")
        when { principal in Group::"staff" && context.minute >= 400 && 1200 > context.minute && context.device.known &&
            context.net.ip.isInRange(ip("10.0.0.0/8")) } unless { context.path like "/secret*" };"#;
    assert!(is_below(whole));
    for (what, with) in [
        ("principal in Group::\"staff\" &&", ""),
        (">= 400", ">= 200"),
        ("1200 >", "1400 >"),
        ("context.device.known &&", ""),
        ("10.0.0.0/8", "0.0.0.0/0"),
        ("unless { context.path like \"/secret*\" }", ""),
        ("/secret*", "/secret"),
        ("Action::\"read\"", "Action::\"admin\""),
        ("action == Action::\"read\"", "action"),
    ] {
        assert!(whole.contains(what) && !is_below(&whole.replace(what, with)), "{what} → {with}");
    }
}
