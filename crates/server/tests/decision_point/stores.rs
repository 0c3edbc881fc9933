//! Programs that ask stores.

use safeconduct_model::{Reason, Said};
use serde_json::{Value, json};

use crate::stage::{GATEWAY, PROGRAM, Stage, header, status};

fn alice(action: &str, record: &str) -> Value {
    json!({ "subject": { "type": "user", "id": "alice" }, "action": { "name": action }, "resource": { "type": "record", "id": record } })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_asks_and_every_answer_is_recorded_before_it_is_given() {
    let stage = Stage::put_up().await;
    assert_eq!(
        stage.post("/access/v1/evaluation", &alice("read", "record-1")).await,
        (200, json!({ "decision": true }))
    );
    let (_, no) = stage.post("/stores/certification/access/v1/evaluation", &alice("read", "record-2")).await;
    assert_eq!((&no["decision"], &no["context"]["reason"]), (&json!(false), &json!("no_rule")));
    let batch = json!({
        "subject": { "type": "user", "id": "alice" }, "resource": { "type": "record", "id": "record-1" },
        "options": { "evaluations_semantic": "deny_on_first_deny" },
        "evaluations": [{ "action": { "name": "write" } }, { "action": 7 }, { "action": { "name": "read" } }],
    });
    let (_, told) = stage.post("/access/v1/evaluations", &batch).await;
    let told: Vec<&Value> = told["evaluations"].as_array().expect("a list").iter().map(|e| &e["decision"]).collect();
    assert_eq!(told, [&json!(true), &json!(false)], "it ends at the first no");
    let find = json!({ "subject": { "type": "user" }, "action": { "name": "read" }, "resource": { "type": "record", "id": "record-1" }, "page": { "limit": 1 } });
    let (_, page) = stage.post("/access/v1/search/subject", &find).await;
    assert_eq!(page["results"], json!([{ "type": "user", "id": "alice" }]));
    let mut next = find.clone();
    next["page"] = json!({ "token": page["page"]["next_token"] });
    let (_, page) = stage.post("/access/v1/search/subject", &next).await;
    assert_eq!(
        (&page["results"], &page["page"]["next_token"]),
        (&json!([{ "type": "user", "id": "bob" }]), &json!(""))
    );
    next["action"]["name"] = json!("write");
    assert_eq!(stage.post("/access/v1/search/subject", &next).await.0, 400, "the cursor is of another question");

    let questions = stage.questions();
    let said: Vec<&Said> = questions.iter().map(|q| &q.said).collect();
    let deny = |reason| Said::Deny { reason };
    let wanted = [
        &Said::Permit,
        &deny(Reason::NoRule),
        &Said::Permit,
        &deny(Reason::BadRequest),
        &Said::Found { results: 1 },
        &Said::Found { results: 1 },
    ];
    assert_eq!(said, wanted);
    let first = &questions[0];
    let told = (first.client.as_str(), first.store.as_str(), first.subject.as_str(), first.resource.as_str());
    assert_eq!(told, ("program", "certification", "user:alice", "record:record-1"));
    assert_eq!(first.rules, ["staff-read"]);
    stage.take_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_prove_itself_or_may_not_gets_no_answer() {
    let stage = Stage::put_up().await;
    let body = alice("read", "record-1").to_string();
    let post = |path: &str, proof: &str| {
        format!(
            "POST {path} HTTP/1.1\r\nhost: pdp\r\nconnection: close\r\nx-request-id: r-7\r\n{proof}content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    let answer = stage.ask(&post("/access/v1/evaluation", "")).await;
    assert_eq!((status(&answer), header(&answer, "x-request-id").as_deref()), (401, Some("r-7")));
    assert_eq!(header(&answer, "www-authenticate").as_deref(), Some("Bearer realm=\"safeconduct\""));
    for (token, path, wanted) in [
        ("nobody", "/access/v1/evaluation", 401),
        (GATEWAY, "/access/v1/evaluation", 403),
        (PROGRAM, "/stores/nowhere/access/v1/evaluation", 403),
        (PROGRAM, "/access/v1/evaluation", 200),
    ] {
        let answer = stage.ask(&post(path, &format!("authorization: Bearer {token}\r\n"))).await;
        assert_eq!(status(&answer), wanted, "{token} {path}: {answer}");
    }
    assert_eq!(stage.questions().len(), 1);
    stage.take_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn discovery_tells_the_endpoints_of_a_store() {
    let stage = Stage::put_up().await;
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nhost: pdp\r\nconnection: close\r\n\r\n");
    let answer = stage.ask(&get("/.well-known/authzen-configuration/stores/cluster")).await;
    let body: Value = serde_json::from_str(crate::stage::body_of(&answer)).expect("JSON");
    let base = format!("http://{}/stores/cluster", stage.point);
    assert_eq!(body["policy_decision_point"], json!(base));
    assert_eq!(body["search_action_endpoint"], json!(format!("{base}/access/v1/search/action")));
    assert_eq!(status(&stage.ask(&get("/.well-known/authzen-configuration")).await), 200);
    assert_eq!(status(&stage.ask(&get("/.well-known/authzen-configuration/stores/nowhere")).await), 404);
    stage.take_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_gateways_own_policies_answer_with_the_facts_that_are_handed_in() {
    let stage = Stage::put_up().await;
    let ask = |context: Value| {
        json!({ "subject": { "type": "person", "id": "admin" }, "action": { "name": "admin" },
            "resource": { "type": "application", "id": "safeconduct" }, "context": context })
    };
    let path = "/stores/safeconduct/access/v1/evaluation";
    let told = async |context| {
        let (_, answer) = stage.post(path, &ask(context)).await;
        answer["context"]["reason"].as_str().unwrap_or(if answer["decision"] == true { "yes" } else { "?" }).to_owned()
    };
    let net = json!({ "ip": "10.0.0.1" });
    assert_eq!(told(json!({ "net": net, "auth": { "mfa": true, "age": 60 } })).await, "yes");
    assert_eq!(told(json!({ "net": net, "auth": { "age": 60 } })).await, "step_up_required");
    assert_eq!(told(json!({ "net": net })).await, "sign_in_required");
    assert_eq!(told(json!({ "auth": { "mfa": true, "age": 60 } })).await, "bad_request");
    let mut who = ask(json!({ "net": net, "auth": { "mfa": true, "age": 60 } }));
    who["subject"] = json!({ "type": "person" });
    let (_, page) = stage.post("/stores/safeconduct/access/v1/search/subject", &who).await;
    assert_eq!(page["results"], json!([{ "type": "person", "id": "admin" }]));
    assert!(stage.questions().iter().all(|q| q.store == "safeconduct"), "a question is no access");
    stage.take_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_asks_in_its_own_words() {
    let stage = Stage::put_up().await;
    let review = |user: &str, groups: &[&str], verb: &str, namespace: &str| {
        json!({ "apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": {
            "user": user, "groups": groups,
            "resourceAttributes": { "verb": verb, "resource": "pods", "namespace": namespace, "version": "v1" } } })
    };
    let path = "/stores/cluster/subject-access-review";
    let (_, yes) = stage.post(path, &review("ann", &["dev"], "get", "shop")).await;
    assert_eq!((&yes["kind"], &yes["status"]["allowed"]), (&json!("SubjectAccessReview"), &json!(true)));
    let (_, silent) = stage.post(path, &review("bob", &[], "get", "shop")).await;
    assert_eq!((&silent["status"]["allowed"], &silent["status"]["denied"]), (&json!(false), &Value::Null));
    let (_, no) = stage.post(path, &review("ann", &["dev"], "delete", "kube-system")).await;
    assert_eq!((&no["status"]["allowed"], &no["status"]["denied"]), (&json!(false), &json!(true)));
    let health = json!({ "apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview",
        "spec": { "user": "ann", "nonResourceAttributes": { "verb": "get", "path": "/healthz" } } });
    assert_eq!(stage.post(path, &health).await.1["status"]["allowed"], json!(true));
    assert_eq!(stage.post(path, &json!({ "kind": "Pod" })).await.0, 400);
    assert_eq!(stage.questions().len(), 4);
    stage.take_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_does_not_validate_is_a_fault_and_the_old_one_keeps_answering() {
    let stage = Stage::put_up().await;
    let file = stage.dir.path().join("stores/certification/record.cedar");
    let good = std::fs::read_to_string(&file).expect("readable");
    std::fs::write(&file, "permit(principal, action, resource)\nwhen { resource.colour == 1 };\n").expect("written");
    let faults = stage.running.reload().await.expect_err("the schema knows no colour");
    assert_eq!((faults[0].file.as_str(), faults[0].line), ("stores/certification/record.cedar", 1));
    assert!(faults[0].what.contains("colour"), "{}", faults[0]);
    assert_eq!(stage.post("/access/v1/evaluation", &alice("read", "record-1")).await.1["decision"], json!(true));
    std::fs::write(&file, good.replace("staff-read", "all-read")).expect("written");
    // The server looks at its files on its own too; either of the two takes the change.
    stage.running.reload().await.expect("it validates");
    stage.post("/access/v1/evaluation", &alice("read", "record-1")).await;
    let rules: Vec<String> = stage.questions().into_iter().flat_map(|q| q.rules).collect();
    assert_eq!(rules, ["staff-read", "all-read"]);
    stage.take_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_person_is_denied_to_whoever_asks_about_them_and_found_in_no_search() {
    let stage = Stage::put_up().await;
    let asked = json!({
        "subject": { "type": "person", "id": "admin" }, "action": { "name": "read" },
        "resource": { "type": "application", "id": "wiki" },
        "context": { "auth": { "mfa": true, "age": 5 }, "net": { "ip": "10.0.0.1" } },
    });
    let evaluation = "/stores/safeconduct/access/v1/evaluation";
    assert_eq!(stage.post(evaluation, &asked).await.1["decision"], json!(true));
    let body = json!({ "target": { "person": "admin" }, "message": "Call 7-300.", "force": true }).to_string();
    let socket = stage.dir.path().join("data").join(safeconduct_server::SOCKET);
    let mut local = tokio::net::UnixStream::connect(socket).await.expect("the socket is there");
    let head = "POST /api/v1/locks HTTP/1.1\r\nhost: local\r\nconnection: close\r\ncontent-type: application/json";
    let request = format!("{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    tokio::io::AsyncWriteExt::write_all(&mut local, request.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    tokio::io::AsyncReadExt::read_to_string(&mut local, &mut answer).await.expect("an answer");
    assert_eq!(status(&answer), 201, "{answer}");
    let (_, no) = stage.post(evaluation, &asked).await;
    assert_eq!((&no["decision"], &no["context"]["reason"]), (&json!(false), &json!("locked")), "{no}");
    let mut who = asked.clone();
    who["subject"] = json!({ "type": "person" });
    let (_, page) = stage.post("/stores/safeconduct/access/v1/search/subject", &who).await;
    assert_eq!(page["results"], json!([]));
    stage.take_down().await;
}
