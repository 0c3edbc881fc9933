//! Every page over the demo company, from a real start: what is answered, and what the actions do.

use std::fs;
use std::path::Path;

use axum::Router;
use axum::body::Body;
use http::{Request, StatusCode, header};
use http_body_util::BodyExt;
use safeconduct_model::{Ask, Mode, Record};
use tower::ServiceExt;

use super::*;
use crate::clock::Clock;
use crate::run::{Running, Start, start};

/// The server, its pages, and the operator who looks at them.
struct Stage {
    _dir: tempfile::TempDir,
    running: Running,
    pages: Router,
    visitor: Option<Visitor>,
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder").filter_map(Result::ok) {
        let target = to.join(entry.file_name());
        match entry.path().is_dir() {
            true => copy(&entry.path(), &target),
            false => drop(fs::copy(entry.path(), target).expect("copied")),
        }
    }
}

/// The text of a page without its tags.
fn words(page: &str) -> String {
    let parts = page.split('<').map(|part| part.split_once('>').map_or(part, |(_, text)| text).trim());
    parts.filter(|t| !t.is_empty()).collect::<Vec<_>>().join(" ")
}

impl Stage {
    /// Starts, and uses the one-time link of the first administrator.
    async fn set() -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../demo"), dir.path());
        let https = Some("127.0.0.1:0".parse().expect("an address"));
        let started = start(Start { dir: dir.path().to_owned(), clock: Clock::system(), https }).await;
        let running = started.unwrap_or_else(|e| panic!("{e}"));
        let pages = safeconduct_console::router(Arc::new(Rooms::new(Arc::clone(&running.house))));
        let mut stage = Self { _dir: dir, running, pages, visitor: None };
        let link = stage.running.setup_link.clone().expect("nobody has an account yet");
        let path = link[link.find("/setup/").expect("a link")..].to_owned();
        let shown = stage.get(&path).await;
        assert!(shown.0 == StatusCode::OK && shown.1.contains("one-time link"), "{}", words(&shown.1));
        let (status, _, cookie) = stage.post(&path, "person=&name=x").await;
        assert_eq!(status, StatusCode::SEE_OTHER);
        assert!(cookie.starts_with("__Host-safeconduct="), "{cookie}");
        assert_eq!(stage.post(&path, "person=&name=x").await.0, StatusCode::NOT_FOUND, "a link works once");
        let session = stage.running.house.sessions().all()[0].clone();
        stage.visitor = Some(Visitor {
            person: session.person.clone(),
            name: "Jonas".into(),
            auth: session.auth(),
            device: None,
            csrf: "right".into(),
            operator: true,
        });
        stage
    }

    async fn ask(&self, request: Request<Body>) -> (StatusCode, String, String) {
        let mut request = request;
        if let Some(visitor) = &self.visitor {
            request.extensions_mut().insert(visitor.clone());
        }
        let answer = self.pages.clone().oneshot(request).await.expect("it answers");
        let header = |name| answer.headers().get(name).and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned();
        let told = format!("{}{}", header(header::SET_COOKIE), header(header::LOCATION));
        let status = answer.status();
        let body = answer.into_body().collect().await.expect("a body").to_bytes();
        (status, String::from_utf8_lossy(&body).into_owned(), told)
    }

    async fn get(&self, path: &str) -> (StatusCode, String) {
        let request = Request::get(path).body(Body::empty()).expect("a request");
        let (status, body, _) = self.ask(request).await;
        (status, body)
    }

    async fn post(&self, path: &str, form: &str) -> (StatusCode, String, String) {
        let form = format!("csrf=right&{form}");
        let request = Request::post(path).header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        self.ask(request.body(Body::from(form)).expect("a request")).await
    }

    /// The page, which must be there and say all of this.
    async fn says(&self, path: &str, all: &[&str]) -> String {
        let (status, body) = self.get(path).await;
        assert_eq!(status, StatusCode::OK, "{path}: {}", words(&body));
        for text in all {
            assert!(words(&body).contains(text), "{path} does not say {text:?}: {}", words(&body));
        }
        body
    }

    /// Puts asks to policy and records the verdicts, as the gateway would.
    async fn use_it(&self, who: &[&str], app: &str, times: usize) {
        let house = &self.running.house;
        let current = house.current();
        let mut last = None;
        for n in 0..times {
            let (now, who) = (house.now(), who[n % who.len()]);
            let person = who.parse().expect("id");
            let groups = current.config.estate.groups_of(&person).expect("a person of the demo");
            let ask = serde_json::json!({
                "request": format!("{app}-{who}-{n}"),
                "who": {"principal": {"person": who}, "groups": groups,
                        "auth": {"session": format!("s-{who}"), "methods": ["password"], "at": now, "until": now + Duration::from_hours(1)}},
                "what": {"app": app, "action": "read", "method": "GET", "path": format!("/page/{}", n % 3)},
                "place": {"ip": "10.20.0.7", "network": "office"},
            });
            let ask: Ask = serde_json::from_value(ask).expect("an ask");
            let mode = current.snapshot.application(&ask.what.app).map_or(Mode::Enforce, |a| a.mode);
            let access = current.snapshot.decide(&ask, now).record(&ask, now, mode, 40);
            last = Some(house.record(Record::Access(Box::new(access))).expect("taken"));
        }
        let seq = last.expect("at least one").durable().await.expect("written");
        house.index.reached(seq).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_answers_over_an_empty_ledger_and_over_use() {
    let stage = Stage::set().await;
    let pages = [
        "/console",
        "/console/protect",
        "/console/map",
        "/console/policy",
        "/console/watch",
        "/console/assess",
        "/console/apps",
        "/console/people",
        "/console/devices",
        "/console/connectors",
        "/console/health",
        "/",
        "/me/security",
        "/me/devices",
        "/step-up",
        "/why?app=q3-finance",
    ];
    for path in pages {
        stage.says(path, &[]).await;
    }
    stage.use_it(&["mira", "jonas"], "crm", 60).await;
    stage.use_it(&["mira"], "q3-finance", 3).await;
    for path in pages {
        stage.says(path, &[]).await;
    }
    stage.says("/console", &["Propose rules for", "60 requests of 2 people in 30 days", "K26", "not known"]).await;
    stage.says("/console/map", &["63 requests"]).await;
    stage.says("/console/watch?answer=would_deny", &["would be denied"]).await;
    stage.says("/console/watch?app=q3-finance&answer=denied", &["Mira Okafor"]).await;
    stage.says("/console/apps/crm", &["Who uses it", "Mira Okafor", "No rule opens this for you"]).await;
    stage.says("/console/people/mira", &["Mira Okafor", "mira@brightwater.example"]).await;
    stage.says("/console/health", &["Every part that is checked works."]).await;
    for path in [
        "/console/apps/none",
        "/console/people/none",
        "/console/devices/none",
        "/console/verdicts/999999",
        "/why?app=none",
    ] {
        assert_eq!(stage.get(path).await.0, StatusCode::NOT_FOUND, "{path}");
    }
    stage.running.stop().await.expect("stopped");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_verdict_is_recorded_with_its_reason_and_decided_again() {
    let stage = Stage::set().await;
    stage.use_it(&["mira"], "q3-finance", 1).await;
    let seq = stage.running.house.index.totals().await.expect("counted").entries - 1;
    let page = stage
        .says(&format!("/console/verdicts/{seq}?again=1"), &["Denied:", "Mira Okafor", "Where", "the same as then"])
        .await;
    let located =
        safeconduct_store::Entries::from_seq(&stage.running.house.ledger_dir(), seq).expect("readable").next();
    let hash = located.expect("there").expect("whole").hash;
    assert!(page.contains(&hash), "the hash of the line itself");

    let refusal = safeconduct_model::Refusal {
        request: "refused-1".parse().expect("id"),
        ip: [10, 0, 0, 9].into(),
        reason: safeconduct_model::Reason::BadRequest,
        detail: "two content lengths".into(),
        app: None,
    };
    let written =
        stage.running.house.record(Record::Refusal(refusal)).expect("taken").durable().await.expect("written");
    stage.running.house.index.reached(written).await;
    let row = ["a client at 10.0.0.9", "two content lengths", "The request is malformed"];
    stage.says("/console/watch?answer=refused", &row).await;
    stage.says("/console/watch", &row).await;
    stage
        .says(&format!("/console/verdicts/{written}"), &["Refused:", "two content lengths", "before policy was asked"])
        .await;
    stage.running.stop().await.expect("stopped");
}

#[tokio::test(flavor = "multi_thread")]
async fn use_becomes_a_proposal_that_is_judged_and_binds() {
    let stage = Stage::set().await;
    let (status, body, _) = stage.post("/console/policy/propose", "app=reports").await;
    assert!(
        status == StatusCode::FORBIDDEN && words(&body).contains("nobody used `reports`"),
        "{status} {}",
        words(&body)
    );
    let (status, body, _) = stage.post("/console/policy/propose", "app=safeconduct").await;
    assert!(status == StatusCode::FORBIDDEN && body.contains("written by hand"), "{}", words(&body));
    stage.use_it(&["mira", "jonas"], "crm", 60).await;
    let (status, body, location) = stage.post("/console/policy/propose", "app=crm").await;
    assert_eq!(status, StatusCode::SEE_OTHER, "{}", words(&body));
    stage
        .says(
            &location,
            &["of observed use covered: 60 of 60", "Nobody loses anything", "policy tests hold", "Publish: binds"],
        )
        .await;
    stage.says("/console/policy", &["as configured", "60 of 60 requests in 30 days without a rule"]).await;
    let (status, body, _) = stage.post(&format!("{location}/publish"), "").await;
    assert!(
        status == StatusCode::OK && body.contains("Revision 2 answers now") && body.contains("from observe to enforce"),
        "{}",
        words(&body)
    );
    stage
        .says(
            "/console/policy",
            &["Revision 2 , published", "by Jonas Lindqvist", "0 of 60 requests in 30 days without a rule"],
        )
        .await;
    stage.says("/console", &["60 of 60"]).await;
    stage.says(&location, &["ublished"]).await;
    assert_eq!(stage.post(&format!("{location}/discard"), "").await.0, StatusCode::FORBIDDEN, "it is closed");
    stage.running.stop().await.expect("stopped");
}

#[tokio::test(flavor = "multi_thread")]
async fn people_change_how_they_sign_in_and_end_their_sessions() {
    let mut stage = Stage::set().await;
    let (status, body, _) = stage.post("/me/password", "password=short").await;
    assert!(status == StatusCode::UNPROCESSABLE_ENTITY && body.contains("assword"), "{status} {}", words(&body));
    assert_eq!(stage.post("/me/password", "password=correct+horse+battery").await.2, "/me/security");
    stage.post("/me/totp/begin", "").await;
    let page = stage.says("/me/security", &["Enter this secret"]).await;
    assert!(!words(&page).contains(" d ago"), "the instant comes from the record: {}", words(&page));
    let person = stage.visitor.as_ref().expect("signed in").person.clone();
    assert_eq!(stage.post(&format!("/console/people/{person}/end-sessions"), "").await.0, StatusCode::OK);
    stage.visitor = None;
    let (status, body, _) =
        stage.post("/sign-in/password", &format!("person={person}&password=wrong+horse+battery")).await;
    assert!(status == StatusCode::UNPROCESSABLE_ENTITY && body.contains("is not right"), "{status} {}", words(&body));
    let back = "return=https%3A%2F%2Fevil.example%2F";
    let form = format!("person={person}&password=correct+horse+battery&{back}");
    let (status, body, told) = stage.post("/sign-in/password", &form).await;
    assert!(status == StatusCode::SEE_OTHER && told.ends_with("/device/prove?return=/"), "{status} {told} {body}");
    let session = stage.running.house.sessions().all()[0].id.clone();
    stage.visitor = Some(Visitor {
        person,
        name: "Jonas".into(),
        auth: stage.running.house.sessions().all()[0].auth(),
        device: None,
        csrf: "right".into(),
        operator: true,
    });
    let form = "app=q3-finance&purpose=invented&return=/";
    assert_eq!(stage.post("/why", form).await.0, StatusCode::UNPROCESSABLE_ENTITY);
    let form = "app=q3-finance&purpose=quarter-end-close&return=/";
    assert_eq!(stage.post("/why", form).await.2, "/device/prove?return=/");
    let (status, body, _) = stage.post(&format!("/console/sessions/{session}/cut"), "").await;
    assert!(status == StatusCode::OK && body.contains("Ended 1 session of Jonas Lindqvist"), "{}", words(&body));
    assert!(stage.running.house.sessions().all().is_empty());
    stage.running.stop().await.expect("stopped");
}

#[tokio::test(flavor = "multi_thread")]
async fn verdicts_arrive_as_they_happen_if_they_fit() {
    use futures_util::StreamExt;
    let stage = Stage::set().await;
    let query = view::WatchQuery { app: Some("q3-finance".into()), ..view::WatchQuery::default() };
    let mut events = watch::events(&stage.running.house, &query);
    stage.use_it(&["mira"], "crm", 2).await;
    stage.use_it(&["mira"], "q3-finance", 1).await;
    let first = tokio::time::timeout(StdDuration::from_secs(5), events.next()).await.expect("soon").expect("a row");
    assert_eq!((first.app.text.as_str(), first.answered), ("Q3 finance server", view::Answered::Denied));
    stage.running.stop().await.expect("stopped");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_our_own_places_are_gone_back_to() {
    let stage = Stage::set().await;
    let house = &stage.running.house;
    let port = house.origin.rsplit_once(':').map_or("443", |(_, p)| p).to_owned();
    let back = |wanted: &str| house.place(wanted);
    assert_eq!(back("/me/security?x=1"), "/me/security?x=1");
    assert_eq!(back("https://evil.example/"), "/");
    assert_eq!(back("//evil.example/"), "/");
    let wiki = house.current().config.estate.applications[&"wiki".parse().expect("id")].hosts[0].clone();
    let there = format!("https://{wiki}:{port}/a?b=c");
    assert_eq!(back(&there), format!("/continue?return={}", crate::sign_in::encode(&there)));
    assert_eq!(back(&back(&there)), back(&there), "it may be asked twice");
    assert_eq!(back(&format!("{}/console", house.origin)), "/console");
    stage.running.stop().await.expect("stopped");
}
