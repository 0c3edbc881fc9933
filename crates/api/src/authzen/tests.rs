//! What is read, what is refused, and what is said.

use safeconduct_model::Reason;
use safeconduct_policy::engine::Sought;
use safeconduct_policy::store::{Decision, Page, Row};
use serde_json::{Map, Value, json};

use super::wire::{self, Asked, MAX_EVALUATIONS, Until};

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(members) => members,
        other => panic!("{other} is no object"),
    }
}

fn whole() -> Value {
    json!({ "subject": { "type": "user", "id": "a" }, "action": { "name": "read" }, "resource": { "type": "doc", "id": "1" } })
}

fn refused(body: Value) -> String {
    wire::evaluation(&object(body)).map_or_else(|e| e.to_string(), |_| "read".to_owned())
}

#[test]
fn every_missing_or_wrong_member_is_named() {
    assert_eq!(refused(whole()), "read");
    for (part, value, words) in [
        ("subject", Value::Null, "`subject` is missing."),
        ("subject", json!("alice"), "`subject` must be an object."),
        ("subject", json!({ "id": "a" }), "`subject.type` is missing."),
        ("subject", json!({ "type": "user", "id": 7 }), "`subject.id` must be a text."),
        ("subject", json!({ "type": "user", "id": "" }), "`subject.id` is empty."),
        ("action", json!({}), "`action.name` is missing."),
        ("action", json!({ "name": 123 }), "`action.name` must be a text."),
        ("resource", json!({ "type": "doc", "id": "1", "properties": [] }), "`resource.properties` must be an object."),
        ("context", json!(1), "`context` must be an object."),
    ] {
        let mut body = whole();
        body[part] = value;
        assert_eq!(refused(body), format!("bad_request: {words}"));
    }
    let mut more = whole();
    more["future"] = json!({ "nested": true });
    assert_eq!(refused(more), "read", "unknown members are ignored");
}

#[test]
fn an_item_takes_whole_parts_from_what_is_shared() {
    let mut body = whole();
    body["resource"]["properties"] = json!({ "status": "active" });
    body["evaluations"] = json!([{}, { "resource": { "type": "doc", "id": "2" } }, { "subject": "x" }, 5]);
    body["options"] = json!({ "evaluations_semantic": "permit_on_first_permit" });
    let Ok(Asked::Several(batch)) = wire::evaluations(&object(body.clone())) else { panic!("a batch") };
    assert_eq!(batch.until, Until::FirstPermit);
    let first = batch.items[0].as_ref().unwrap();
    assert_eq!((first.resource.id.as_str(), &first.resource.properties["status"]), ("1", &json!("active")));
    let second = batch.items[1].as_ref().unwrap();
    assert_eq!((second.resource.id.as_str(), second.resource.properties.len()), ("2", 0), "parts are not merged");
    assert!(batch.items[2].is_err() && batch.items[3].is_err(), "a broken item stands for itself");
    body["options"]["evaluations_semantic"] = json!("whatever");
    assert!(wire::evaluations(&object(body.clone())).is_err());
    body["evaluations"] = json!(vec![json!({}); MAX_EVALUATIONS + 1]);
    body["options"] = Value::Null;
    assert!(wire::evaluations(&object(body.clone())).unwrap_err().to_string().contains("256 at most"));
    for none in [Value::Null, json!([])] {
        body["evaluations"] = none;
        assert!(matches!(wire::evaluations(&object(body.clone())), Ok(Asked::One(_))));
    }
}

#[test]
fn a_search_needs_everything_but_what_it_seeks() {
    let mut body = whole();
    assert_eq!(wire::search(&object(body.clone()), Sought::Principal).unwrap().ask.subject.id, "", "an id is ignored");
    body["subject"] = json!({ "type": "user" });
    assert!(wire::search(&object(body.clone()), Sought::Principal).is_ok());
    assert!(wire::search(&object(body.clone()), Sought::Resource).is_err());
    assert!(wire::search(&object(body.clone()), Sought::Action).is_err());
    for (page, fits) in [
        (json!({ "limit": 1 }), true),
        (json!({ "limit": 0 }), false),
        (json!({ "limit": "1" }), false),
        (json!({ "token": 1 }), false),
        (json!([]), false),
    ] {
        body["page"] = page.clone();
        assert_eq!(wire::search(&object(body.clone()), Sought::Principal).is_ok(), fits, "{page}");
    }
}

#[test]
fn a_yes_says_no_more_and_a_no_says_why() {
    let mut decision = Decision { permitted: true, reason: None, for_user: None, detail: "d".into(), rules: vec![] };
    assert_eq!(wire::decision(&decision), json!({ "decision": true }));
    decision =
        Decision { permitted: false, reason: Some(Reason::Forbidden), for_user: Some("Ask Bo.".into()), ..decision };
    let told = json!({ "decision": false, "context": { "reason": "forbidden", "reason_user": { "en": "Ask Bo." }, "reason_admin": { "en": "d" } } });
    assert_eq!(wire::decision(&decision), told);
}

#[test]
fn the_page_stands_first_and_its_token_is_always_a_text() {
    let seek = wire::search(&object(whole()), Sought::Resource).unwrap();
    let page = Page { rows: vec![Row { id: "1".into() }], next: None };
    let told = wire::results(&seek, &page);
    assert!(told.to_string().starts_with(r#"{"page":"#), "{told}");
    let page = json!({ "next_token": "", "count": 1 });
    assert_eq!(told, json!({ "page": page, "results": [{ "type": "doc", "id": "1" }] }));
}
