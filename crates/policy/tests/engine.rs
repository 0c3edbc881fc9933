//! The compiled engine by example: what is not compiled, templates and links, the early exit, faults in the input.

use proptest::prelude::*;
use safeconduct_policy::engine::{
    Answer, Builder, Cedar, Engine, Entities, Mode, Outcome, Request, Rules, Schema, Scratch,
};
use serde_json::json;

const PEOPLE: &str = r#"[
    {"uid": {"type": "User", "id": "ann"}, "attrs": {"age": 30}, "parents": [{"type": "Group", "id": "staff"}]},
    {"uid": {"type": "Group", "id": "staff"}, "attrs": {}, "parents": [{"type": "Group", "id": "all"}]}
]"#;

fn people() -> Entities {
    Entities::parse(PEOPLE, None).expect("the texts of the tests are well-formed")
}

fn asks(principal: &str) -> Request {
    let request = json!({ "principal": format!("User::\"{principal}\""), "action": "Action::\"read\"", "resource": "App::\"wiki\"",
        "context": { "n": 3 } });
    Request::from_json(&request, None).expect("the texts of the tests are well-formed")
}

fn rules(text: &str) -> Rules {
    let mut rules = Rules::default();
    rules.add_text(text).expect("the texts of the tests are well-formed");
    rules
}

fn decide(engine: &Engine, mode: Mode, principal: &str) -> (Outcome, Answer) {
    let (request, mut scratch) = (asks(principal), Scratch::default());
    let prepared = engine.prepare(&request).expect("the texts of the tests are well-formed");
    let outcome = prepared.decide(mode, &mut scratch);
    (outcome, prepared.answer(outcome, &scratch))
}

#[test]
fn what_the_compiler_does_not_cover_is_decided_by_cedar_and_counted() {
    // Cedar's evaluator gives up when the stack of a test is short, so this one gets a long one.
    let long = std::thread::Builder::new().stack_size(64 * 1024 * 1024);
    long.spawn(deep_rules_are_decided_by_cedar).unwrap().join().unwrap();
}

#[test]
fn a_rule_that_is_nested_beyond_the_stack_takes_no_process_down() {
    let chain = vec!["context.n == 3"; 5_000].join(" && ");
    let text = format!("permit(principal, action, resource) when {{ {chain} }};");
    let long = std::thread::Builder::new().stack_size(512 * 1024 * 1024);
    let compile = move || Engine::compile(&rules(&text), &people()).map(|engine| engine.metrics().fallbacks);
    assert_eq!(long.spawn(compile).unwrap().join().unwrap().unwrap(), 1);
    let chain = vec!["context.n == 3"; 1_000].join(" && ");
    let engine =
        Engine::compile(&rules(&format!("permit(principal, action, resource) when {{ {chain} }};")), &people())
            .unwrap();
    assert_eq!((engine.metrics().fallbacks, decide(&engine, Mode::Exhaustive, "ann").0), (0, Outcome::Permit));
}

fn deep_rules_are_decided_by_cedar() {
    let nested = (0..220).fold("true".to_owned(), |e, _| format!("if {e} then true else false"));
    let text = format!(
        "permit(principal in Group::\"all\", action, resource) when {{ {nested} }};
         forbid(principal == User::\"eve\", action, resource) when {{ {nested} && context.n == 3 }};
         permit(principal, action, resource) when {{ {nested} && principal.age > 1 }};
         permit(principal, action, resource) when {{ context.n > 5 }};"
    );
    let engine = Engine::compile(&rules(&text), &people()).expect("the people are plain values");
    assert_eq!(engine.metrics().fallbacks, 3);
    let cedar = Cedar::new(rules(&text), people());
    for who in ["ann", "bob", "eve"] {
        assert_eq!(decide(&engine, Mode::Exhaustive, who).1, cedar.answer(&asks(who)), "{who}");
    }
    assert_eq!(decide(&engine, Mode::Exhaustive, "ann").1.determining, ["policy0", "policy2"]);
    assert_eq!(decide(&engine, Mode::EarlyExit, "eve").0, Outcome::Forbid);
}

#[test]
fn templates_decide_where_they_are_linked() {
    let set = json!({
        "staticPolicies": {},
        "templates": { "readers": {
            "effect": "permit", "principal": { "op": "in", "slot": "?principal" }, "action": { "op": "All" },
            "resource": { "op": "==", "slot": "?resource" }, "conditions": [],
        } },
        "templateLinks": [{ "templateId": "readers", "newId": "wiki-readers", "values": {
            "?principal": { "type": "Group", "id": "all" }, "?resource": { "type": "App", "id": "wiki" } } }],
    });
    let mut linked = Rules::default();
    linked.add_json(&set.to_string()).unwrap();
    let engine = Engine::compile(&linked, &people()).unwrap();
    assert_eq!((engine.metrics().rules, engine.metrics().fallbacks), (1, 0));
    assert_eq!(decide(&engine, Mode::Exhaustive, "ann").1.determining, ["wiki-readers"]);
    assert_eq!(decide(&engine, Mode::Exhaustive, "bob").0, Outcome::NoMatch);
    assert_eq!(Cedar::new(linked, people()).answer(&asks("ann")).determining, ["wiki-readers"]);
}

#[test]
fn a_link_that_the_compiler_does_not_cover_fails_only_where_its_scope_fits() {
    // A call with a wrong number of arguments has no place in the syntax tree; Cedar evaluates it to an error.
    let text = "permit(principal in ?principal, action, resource) when { ip(\"10.0.0.1\", true).isIpv4() };";
    let linked = || {
        let mut linked = rules(text);
        linked.link("policy0", "staff", Some("Group::\"staff\""), None).unwrap();
        linked
    };
    let (engine, cedar) = (Engine::compile(&linked(), &people()).unwrap(), Cedar::new(linked(), people()));
    assert_eq!(engine.metrics().fallbacks, 1);
    for (who, errors) in [("ann", vec!["staff".to_owned()]), ("bob", vec![])] {
        let answer = decide(&engine, Mode::Exhaustive, who).1;
        assert_eq!((&answer, &answer.errors), (&cedar.answer(&asks(who)), &errors), "{who}");
    }
}

#[test]
fn a_template_in_a_text_takes_a_number_and_decides_nothing() {
    let text =
        "permit(principal == ?principal, action, resource); permit(principal in Group::\"staff\", action, resource);";
    let mut builder = Builder::new(&people()).unwrap();
    builder.add_text(text).unwrap();
    builder.add_text("permit(principal, action, resource);").unwrap();
    let engine = builder.finish();
    assert_eq!(decide(&engine, Mode::Exhaustive, "ann").1.determining, ["policy1", "policy2"]);
    assert_eq!(Engine::compile(&rules(text), &people()).unwrap().metrics().rules, 1);
}

#[test]
fn an_error_that_is_met_denies_in_the_early_exit_and_is_named_in_both_modes() {
    let text = "forbid(principal, action, resource) when { principal.age < 18 }; permit(principal, action, resource);";
    let engine = Engine::compile(&rules(text), &people()).unwrap();
    let (outcome, answer) = decide(&engine, Mode::Exhaustive, "stranger");
    assert_eq!((outcome, answer.errors), (Outcome::Permit, vec!["policy0".to_owned()]));
    let (outcome, answer) = decide(&engine, Mode::EarlyExit, "stranger");
    assert_eq!((outcome, answer.decision, answer.errors), (Outcome::Error, "deny", vec!["policy0".to_owned()]));
    assert_eq!(decide(&engine, Mode::EarlyExit, "ann").0, Outcome::Permit);
}

#[test]
fn rules_that_can_never_hold_are_not_kept_and_equal_conditions_stand_once() {
    let condition = "context.n < 9 && ip(\"10.0.0.1\").isInRange(ip(\"10.0.0.0/8\"))";
    let one = rules(&format!("permit(principal, action, resource) when {{ {condition} }};"));
    let mut many = String::from("permit(principal, action, resource) when { 1 > 2 };");
    for i in 0..50 {
        many += &format!("permit(principal == User::\"{i}\", action, resource) when {{ {condition} }};");
    }
    let (one, many) = (Engine::compile(&one, &people()).unwrap(), Engine::compile(&rules(&many), &people()).unwrap());
    assert_eq!((many.metrics().rules, many.metrics().dead), (51, 1));
    // The dead rule has a constant of its own; the other fifty add nothing.
    assert!(many.metrics().nodes <= one.metrics().nodes + 5, "{:?} {:?}", one.metrics(), many.metrics());
}

#[test]
fn input_that_is_not_cedar_is_told_with_its_line() {
    let fault =
        Rules::default().add_text("permit(principal, action, resource);\n\npermit(principal, action);").unwrap_err();
    assert_eq!(fault.line, 3, "{fault}");
    let cycle = r#"[{"uid": {"type": "G", "id": "a"}, "attrs": {}, "parents": [{"type": "G", "id": "b"}]},
        {"uid": {"type": "G", "id": "b"}, "attrs": {}, "parents": [{"type": "G", "id": "a"}]}]"#;
    let fault = Entities::parse(cycle, None).err().unwrap();
    assert!(fault.what.contains("cycle"), "{fault}");
    let schema = Schema::parse("entity User; action read appliesTo { principal: User, resource: User };").unwrap();
    let fault = Entities::parse(r#"[{"uid": {"type": "Usr", "id": "a"}, "attrs": {}, "parents": []}]"#, Some(&schema))
        .err()
        .unwrap();
    assert!(fault.what.contains("Usr"), "{fault}");
    let fault =
        Request::from_json(&json!({ "principal": "User::\"a\"", "action": "Action::\"read\"" }), None).err().unwrap();
    assert_eq!(fault.what, "`resource` is missing");
    let wrong = rules("permit(principal, action, resource) when { principal.age > 1 };");
    assert!(wrong.validate(&schema).iter().any(|e| e.contains("age")), "{:?}", wrong.validate(&schema));
}

const SOME: [&str; 12] = [
    "permit(principal, action, resource);",
    "permit(principal in Group::\"staff\", action, resource) when { context.n == 3 };",
    "permit(principal in Group::\"all\", action == Action::\"read\", resource);",
    "permit(principal == User::\"ann\", action in [Action::\"read\", Action::\"write\"], resource == App::\"wiki\");",
    "permit(principal is User, action, resource is App) when { principal.age > 18 };",
    "forbid(principal, action, resource) when { context.n > 5 };",
    "forbid(principal in Group::\"staff\", action, resource) unless { context.n < 4 };",
    "forbid(principal, action, resource) when { principal has age && principal.age < 10 };",
    "forbid(principal == User::\"eve\", action, resource);",
    "permit(principal, action, resource) when { context.missing };",
    "forbid(principal, action, resource) when { context.n + 9223372036854775807 > 0 };",
    "permit(principal, action, resource) when { false };",
];

fn answer_in_words(engine: &Engine, texts: &[&str], principal: &str) -> (Outcome, Vec<String>, Vec<String>) {
    let (outcome, answer) = decide(engine, Mode::Exhaustive, principal);
    let words = |ids: &[String]| {
        let number = |id: &String| id.trim_start_matches("policy").parse::<usize>().expect("rules are numbered");
        let mut words: Vec<String> = ids.iter().map(|id| texts[number(id)].to_owned()).collect();
        words.sort_unstable();
        words
    };
    (outcome, words(&answer.determining), words(&answer.errors))
}

proptest! {
    #[test]
    fn a_changed_set_is_the_set_that_it_became(
        first in prop::collection::vec(0..SOME.len(), 0..8),
        steps in prop::collection::vec((prop::collection::vec(any::<prop::sample::Index>(), 0..3), prop::collection::vec(0..SOME.len(), 0..3)), 1..4),
    ) {
        let text = |numbers: &[usize]| numbers.iter().map(|n| SOME[*n]).collect::<Vec<_>>().join("\n");
        let mut builder = Builder::new(&people()).unwrap();
        builder.add_text(&text(&first)).unwrap();
        let mut engine = builder.finish();
        // Every text that ever came, by its number, and whether it still stands.
        let mut all: Vec<(usize, bool)> = first.iter().map(|n| (*n, true)).collect();
        for (out, with) in steps {
            let before = engine.metrics();
            let mut gone = Vec::new();
            if !all.is_empty() {
                for index in out {
                    let at = index.index(all.len());
                    all[at].1 = false;
                    gone.push(format!("policy{at}"));
                }
            }
            let gone: Vec<&str> = gone.iter().map(String::as_str).collect();
            let changed = engine.change(&gone, &text(&with)).unwrap();
            prop_assert_eq!(engine.metrics(), before);
            engine = changed;
            all.extend(with.iter().map(|n| (*n, true)));
            let standing: Vec<usize> = all.iter().filter(|(_, stands)| *stands).map(|(n, _)| *n).collect();
            let mut anew = Builder::new(&people()).unwrap();
            anew.add_text(&text(&standing)).unwrap();
            let anew = anew.finish();
            let ever: Vec<&str> = all.iter().map(|(n, _)| SOME[*n]).collect();
            let now: Vec<&str> = standing.iter().map(|n| SOME[*n]).collect();
            for principal in ["ann", "eve"] {
                prop_assert_eq!(answer_in_words(&engine, &ever, principal), answer_in_words(&anew, &now, principal));
            }
        }
    }
}
