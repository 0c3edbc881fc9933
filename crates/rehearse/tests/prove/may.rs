//! Who may do what under some circumstances, against the engine.

use safeconduct_model::Action;
use safeconduct_policy::Snapshot;
use safeconduct_rehearse::prove::{Question, Reached, may};

use crate::common::{MONDAY, build, sources};

const RULES: &str = r#"
    @id("staff") permit(principal in Group::"staff", action == Action::"read", resource)
        when { context.device.compliant && context.minute >= 480 && context.minute < 1080 };
    @id("ops") permit(principal in Group::"ops", action, resource == Application::"wiki") when { context has purpose };
    @id("ann") permit(principal == Person::"ann", action == Action::"admin", resource in Asset::"ledger");
    @id("never") permit(principal in Group::"interns", action, resource) when { context.minute < 10 && context.minute > 20 };
    @id("no-guests") forbid(principal in Group::"guests", action, resource);
    @id("later") @mode("shadow") permit(principal in Group::"guests", action, resource);
"#;

fn reach(snapshot: &Snapshot, person: &str, groups: &[&str], app: &str, action: Action) -> Reached {
    let question = Question {
        person: person.parse().expect("id"),
        groups: groups.iter().map(|g| g.parse().expect("id")).collect(),
        app: app.parse().expect("id"),
        action,
    };
    let told = may(snapshot, vec![question.clone()], MONDAY).unwrap_or_else(|f| panic!("{}", f[0]));
    assert_eq!((told.len(), &told[0].question), (1, &question));
    if let Reached::Yes { moment, .. } = &told[0].answer {
        // The example is about this person with these groups, and the engine lets it pass.
        assert_eq!(moment.ask.who.principal.person(), Some(&question.person));
        assert!(moment.ask.who.groups.iter().all(|g| question.groups.contains(g)), "{:?}", moment.ask.who.groups);
        assert!(snapshot.opinion(&moment.ask, moment.now).is_ok());
        assert_eq!((&moment.ask.what.app, moment.ask.what.action), (&question.app, action));
    }
    told[0].answer.clone()
}

#[test]
fn who_may_is_shown_by_a_request_and_who_may_not_is_proved() {
    let snapshot = build(sources(RULES));
    let yes = |r: Reached| matches!(r, Reached::Yes { .. });
    assert!(yes(reach(&snapshot, "bob", &["staff"], "books", Action::Read)));
    assert_eq!(reach(&snapshot, "bob", &["staff"], "books", Action::Write), Reached::No);
    assert!(yes(reach(&snapshot, "bob", &["ops"], "wiki", Action::Write)));
    assert_eq!(reach(&snapshot, "bob", &["ops"], "books", Action::Read), Reached::No);
    assert!(yes(reach(&snapshot, "ann", &[], "books", Action::Admin)));
    assert_eq!(reach(&snapshot, "ann", &[], "wiki", Action::Admin), Reached::No);
    assert_eq!(reach(&snapshot, "ann", &["guests"], "books", Action::Admin), Reached::No);
    assert_eq!(reach(&snapshot, "ida", &["interns"], "wiki", Action::Read), Reached::No);
    assert_eq!(reach(&snapshot, "eve", &["elsewhere"], "wiki", Action::Read), Reached::No);
}

#[test]
fn many_questions_are_answered_in_their_order() {
    let snapshot = build(sources(RULES));
    let people = ["ann", "bob", "eve"];
    let questions: Vec<Question> = people
        .iter()
        .map(|p| Question {
            person: p.parse().expect("id"),
            groups: if *p == "bob" { ["staff".parse().expect("id")].into() } else { Default::default() },
            app: "books".parse().expect("id"),
            action: Action::Read,
        })
        .collect();
    let told = may(&snapshot, questions, MONDAY).unwrap_or_else(|f| panic!("{}", f[0]));
    let yes: Vec<&str> =
        told.iter().filter(|r| matches!(r.answer, Reached::Yes { .. })).map(|r| r.question.person.as_str()).collect();
    assert_eq!(yes, ["bob"]);
    assert!(may(&snapshot, vec![], MONDAY).unwrap_or_default().is_empty());
}
