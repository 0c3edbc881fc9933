//! Stores as callers meet them.

use serde_json::json;

use super::*;
use crate::PolicyText;
use crate::engine::Sought;

macro_rules! texts {
    ($name:literal, $($file:literal),*) => {{
        let mut texts = StoreTexts::default();
        $(texts.take(PolicyText {
            file: concat!("stores/", $name, "/", $file).into(),
            text: include_str!(concat!("../../../../tests/stores/", $name, "/", $file)).into(),
        });)*
        texts
    }};
}

fn certification() -> Store {
    built(&texts!("certification", "record.cedar", "record.cedarschema", "entities.json"))
}

fn built(texts: &StoreTexts) -> Store {
    Store::build("stores/s", texts).unwrap_or_else(|faults| panic!("{}", faults[0]))
}

fn small(schema: &str, policies: &str, entities: &str) -> StoreTexts {
    let mut texts = StoreTexts::default();
    for (file, text) in [("s/s.cedarschema", schema), ("s/p.cedar", policies), ("s/entities.json", entities)] {
        texts.take(PolicyText { file: file.into(), text: text.into() });
    }
    texts
}

fn ask(subject: &str, action: &str, resource: &str) -> Evaluation {
    Evaluation {
        subject: Thing::new("user", subject),
        action: Deed::new(action),
        resource: Thing::new("record", resource),
        context: Map::new(),
    }
}

fn seek(sought: Sought, ask: Evaluation) -> Seek {
    Seek { sought, ask, token: None, limit: None }
}

fn ids(page: &Page) -> Vec<&str> {
    page.rows.iter().map(|r| r.id.as_str()).collect()
}

#[test]
fn the_eight_rules_of_the_certification_hold() {
    let store = certification();
    let plain = |s, a, r| store.evaluate(&ask(s, a, r)).permitted;
    assert!(
        plain("alice", "read", "record-1") && plain("alice", "write", "record-1") && plain("bob", "read", "record-1")
    );
    assert!(!plain("bob", "write", "record-1"), "an admin opens only what is archived");
    let mut archived = ask("alice", "write", "record-1");
    archived.resource.properties.insert("status".into(), "archived".into());
    assert!(!store.evaluate(&archived).permitted, "what the question states goes before what is stored");
    archived.subject.properties.insert("role".into(), "admin".into());
    let yes = store.evaluate(&archived);
    assert_eq!((yes.permitted, yes.rules), (true, vec!["admin-writes-archived".to_owned()]));
    let mut delete = ask("alice", "delete", "record-1");
    assert!(!store.evaluate(&delete).permitted);
    delete.action.properties.insert("soft".into(), true.into());
    assert!(store.evaluate(&delete).permitted);
    delete.action.properties.insert("soft".into(), false.into());
    delete.context.insert("action".into(), json!({ "soft": true }));
    assert!(!store.evaluate(&delete).permitted, "only the action's own properties speak of the action");
}

#[test]
fn what_is_said_counts_for_one_question_only() {
    let store = certification();
    let mut said = ask("alice", "write", "record-2");
    said.subject.properties.insert("role".into(), "admin".into());
    assert!(store.evaluate(&said).permitted);
    assert!(!store.evaluate(&ask("alice", "write", "record-2")).permitted);
}

#[test]
fn what_does_not_fit_the_schema_is_denied_with_its_place() {
    let store = certification();
    let mut odd = ask("alice", "read", "record-1");
    odd.resource.properties.insert("status".into(), 7.into());
    let no = store.evaluate(&odd);
    assert_eq!((no.permitted, no.reason), (false, Some(Reason::BadRequest)));
    assert_eq!(no.detail, "`resource.properties.status` is not a text");
    odd.resource = Thing::new("spaceship", "x");
    assert_eq!(store.evaluate(&odd).detail, "the schema knows no resource type `spaceship`");
    odd.resource = Thing::new("user", "bob");
    assert_eq!(store.evaluate(&odd).detail, "the schema does not let a `user` read a `user`");
    odd.action = Deed::new("launch");
    assert_eq!(store.evaluate(&odd).detail, "the schema knows no action `launch`");
}

#[test]
fn searches_answer_as_the_scenario_says() {
    let store = certification();
    let found = |sought, ask| ids(&store.search(&seek(sought, ask)).unwrap()).join(" ");
    assert_eq!(found(Sought::Principal, ask("", "read", "record-1")), "alice bob");
    assert_eq!(found(Sought::Resource, ask("alice", "read", "")), "record-1");
    assert_eq!(found(Sought::Action, ask("alice", "", "record-1")), "read write");
    assert_eq!(found(Sought::Resource, ask("bob", "write", "")), "record-2");
    assert_eq!(found(Sought::Action, ask("bob", "", "record-2")), "write");
    assert_eq!(found(Sought::Principal, ask("", "read", "record-9")), "");
    let mut said = ask("", "write", "record-2");
    said.subject.properties.insert("role".into(), "admin".into());
    assert_eq!(found(Sought::Principal, said), "alice bob", "what is said of the subject is said of each");
    let mut unknown = ask("", "read", "record-1");
    unknown.subject.kind = "spaceship".into();
    assert_eq!(found(Sought::Principal, unknown), "");
}

#[test]
fn a_cursor_belongs_to_one_question_at_one_revision() {
    let (store, all) = (certification(), seek(Sought::Principal, ask("", "read", "record-1")));
    let first = store.search(&Seek { limit: Some(1), ..all.clone() }).unwrap();
    assert_eq!(ids(&first), ["alice"]);
    let second = store.search(&Seek { token: first.next.clone(), ..all.clone() }).unwrap();
    assert_eq!((ids(&second), &second.next), (vec!["bob"], &None));
    let other = seek(Sought::Principal, ask("", "write", "record-1"));
    assert_eq!(store.search(&Seek { token: first.next.clone(), ..other }), Err(SearchRefused::Foreign));
    assert_eq!(store.search(&Seek { token: Some("x".into()), ..all.clone() }), Err(SearchRefused::Foreign));
    let mut texts = texts!("certification", "record.cedar", "record.cedarschema", "entities.json");
    texts.policies[0].text.push('\n');
    let told = built(&texts).search(&Seek { token: first.next, ..all }).unwrap_err().to_string();
    assert!(told.contains(store.revision()) && told.contains("begin the search again"), "{told}");
}

#[test]
fn actions_come_in_pages_too() {
    let store = certification();
    let all = seek(Sought::Action, ask("alice", "", "record-1"));
    let first = store.search(&Seek { limit: Some(1), ..all.clone() }).unwrap();
    assert_eq!(ids(&first), ["read"]);
    let second = store.search(&Seek { token: first.next, ..all }).unwrap();
    assert_eq!((ids(&second), &second.next), (vec!["write"], &None));
}

#[test]
fn types_are_found_by_the_configured_name_else_by_their_own() {
    let schema =
        "namespace App { entity User; entity Doc; action see appliesTo { principal: [User], resource: [Doc] }; }";
    let mut texts = small(schema, "permit(principal, action == App::Action::\"see\", resource);", "[]");
    let asked = Evaluation {
        subject: Thing::new("person", "a"),
        action: Deed::new("see"),
        resource: Thing::new("App::Doc", "d"),
        context: Map::new(),
    };
    assert_eq!(built(&texts).evaluate(&asked).detail, "the schema knows no subject type `person`");
    texts.types.insert("person".into(), "App::User".into());
    assert!(built(&texts).evaluate(&asked).permitted);
    texts.types.insert("person".into(), "App::Usr".into());
    assert!(Store::build("s", &texts).err().unwrap()[0].what.contains("`App::Usr`, which the schema does not declare"));
}

#[test]
fn a_rule_that_cannot_be_evaluated_denies_and_is_named() {
    let schema =
        "entity User = { level: Long }; entity Doc; action see appliesTo { principal: [User], resource: [Doc] };";
    let rules = "@id(\"all\") permit(principal, action, resource);\npermit(principal, action, resource) when { principal.level > 1 };";
    let store = built(&small(schema, rules, "[]"));
    let mut asked = ask("nobody", "see", "1");
    asked.resource.kind = "doc".into();
    let no = store.evaluate(&asked);
    assert_eq!((no.reason, no.rules), (Some(Reason::EvaluationError), vec!["s/p.cedar:2".to_owned()]));
    assert!(ids(&store.search(&seek(Sought::Resource, asked.clone())).unwrap()).is_empty());
    asked.subject.properties.insert("level".into(), 0.into());
    assert!(store.evaluate(&asked).permitted);
}

#[test]
fn a_forbid_speaks_to_the_person() {
    let schema = "entity User; entity Doc; action see appliesTo { principal: [User], resource: [Doc] };";
    let rules = "permit(principal, action, resource);\n@reason_user(\"Ask the archive.\") forbid(principal, action, resource == Doc::\"1\");";
    let mut asked = ask("a", "see", "1");
    asked.resource.kind = "doc".into();
    let no = built(&small(schema, rules, "[]")).evaluate(&asked);
    assert_eq!((no.reason, no.for_user.as_deref()), (Some(Reason::Forbidden), Some("Ask the archive.")));
}

#[test]
fn every_fault_of_a_store_is_told_with_its_line() {
    let schema = "entity User; entity Doc; action see appliesTo { principal: [User], resource: [Doc] };";
    let rules = "permit(principal, action, resource);\n\npermit(principal, action, resource) when { principal.pay > 1 };\npermit(principal, action, resource";
    let faults = Store::build("s", &small(schema, rules, "[\n{")).err().unwrap();
    let places: Vec<String> = faults.iter().map(|f| format!("{}:{}", f.file, f.line)).collect();
    assert_eq!(places, ["s/entities.json:2", "s/p.cedar:3", "s/p.cedar:4"], "{faults:#?}");
    let told = |texts: &StoreTexts| Store::build("s", texts).err().unwrap()[0].to_string();
    assert!(told(&StoreTexts::default()).contains("0 schemas"));
    let template = "permit(principal == ?principal, action, resource);";
    assert!(told(&small(schema, template, "[]")).contains("templates decide nothing here"));
    let wrong = r#"[{ "uid": { "type": "Ship", "id": "1" }, "attrs": {}, "parents": [] }]"#;
    assert!(told(&small(schema, "", wrong)).contains("Ship"));
}
