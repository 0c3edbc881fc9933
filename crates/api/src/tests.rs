use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex};

use axum::body::Body;
use axum::{Extension, Router};
use futures_util::StreamExt as _;
use http::{Request, StatusCode, header};
use http_body_util::BodyExt as _;
use safeconduct_access::Visitor;
use safeconduct_model::{
    Auth, ConnectorName, DeviceId, Entry, Lock, LockId, LockTarget, Method, PersonId, SessionId, SiteId, Timestamp,
};
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::*;

const ORIGIN: &str = "https://portal.clinic.example";
const CSRF: &str = "c2VjcmV0LWZvcmdlcnktdG9rZW4";

/// A backend that notes what it is asked and always says yes.
#[derive(Default)]
struct Yes {
    asked: Mutex<Vec<String>>,
}

impl Yes {
    fn note<T: Send + 'static>(&self, what: String, answer: T) -> Answer<'_, T> {
        self.asked.lock().expect("lock").push(what);
        Box::pin(async move { Ok(answer) })
    }
}

fn begun() -> Begun {
    Begun { ceremony: "c1".to_owned(), public_key: json!({ "challenge": "x" }) }
}

fn signed_in() -> SignedIn {
    let cookie = Cookie::new(Cookie::SESSION, "new-secret".to_owned(), None);
    SignedIn { location: "/home".to_owned(), cookies: vec![cookie] }
}

fn lt7() -> DeviceId {
    "lt-7".parse().expect("id")
}

impl Ceremonies for Yes {
    fn origin(&self) -> &str {
        ORIGIN
    }
    fn begin_sign_in<'a>(&'a self, client: &'a Client, person: Option<String>, to: String) -> Answer<'a, Begun> {
        self.note(format!("begin_sign_in {} {person:?} {to}", client.ip), begun())
    }
    fn finish_sign_in<'a>(&'a self, _: &'a Client, ceremony: String, credential: Value) -> Answer<'a, SignedIn> {
        self.note(format!("finish_sign_in {ceremony} {credential}"), signed_in())
    }
    fn begin_step_up<'a>(&'a self, _: &'a Client, visitor: &'a Visitor, to: String) -> Answer<'a, Begun> {
        self.note(format!("begin_step_up {} {to}", visitor.person), begun())
    }
    fn finish_step_up<'a>(&'a self, _: &'a Client, v: &'a Visitor, c: String, _: Value) -> Answer<'a, SignedIn> {
        self.note(format!("finish_step_up {} {c}", v.person), signed_in())
    }
    fn begin_registration<'a>(&'a self, _: &'a Client, v: &'a Visitor, name: String) -> Answer<'a, Begun> {
        self.note(format!("begin_registration {} {name}", v.person), begun())
    }
    fn finish_registration<'a>(&'a self, _: &'a Client, v: &'a Visitor, c: String, _: Value) -> Answer<'a, SignedIn> {
        self.note(format!("finish_registration {} {c}", v.person), signed_in())
    }
    fn device_challenge<'a>(&'a self, _: &'a Client, v: Option<&'a Visitor>) -> Answer<'a, String> {
        self.note(format!("device_challenge {}", v.is_some()), "Y2hhbGxlbmdl".to_owned())
    }
    fn prove_device<'a>(
        &'a self,
        _: &'a Client,
        v: &'a Visitor,
        proof: DeviceProof,
        to: String,
    ) -> Answer<'a, SignedIn> {
        self.note(format!("prove_device {} {}{to}", v.person, proof.device), signed_in())
    }
    fn enrol_device<'a>(&'a self, _: &'a Client, v: &'a Visitor, e: DeviceEnrolment) -> Answer<'a, DeviceId> {
        self.note(format!("enrol_device {} {}", v.person, e.name), lt7())
    }
    fn begin_oidc<'a>(
        &'a self,
        _: &'a Client,
        _: Option<&'a Visitor>,
        provider: String,
        to: String,
    ) -> Answer<'a, OidcBegun> {
        let cookie = Cookie::new(Cookie::FLOW, "flow-secret".to_owned(), None);
        self.note(
            format!("begin_oidc {provider} {to}"),
            OidcBegun { location: "https://id.example/auth".into(), cookie },
        )
    }
    fn finish_oidc<'a>(
        &'a self,
        _: &'a Client,
        _: Option<&'a Visitor>,
        provider: String,
        callback: Callback,
        flow: Option<String>,
    ) -> Answer<'a, SignedIn> {
        self.note(format!("finish_oidc {provider} {:?} {:?} {flow:?}", callback.code, callback.state), signed_in())
    }
    fn posture<'a>(&'a self, _: &'a Client, token: String) -> Answer<'a, ()> {
        self.note(format!("posture {token}"), ())
    }
    fn jwks(&self) -> Value {
        json!({ "keys": [] })
    }
}

impl Administration for Yes {
    fn origin(&self) -> &str {
        ORIGIN
    }
    fn sessions(&self) -> Answer<'_, Vec<SessionRow>> {
        self.note("sessions".to_owned(), Vec::new())
    }
    fn cut_session<'a>(&'a self, actor: Actor, session: SessionId) -> Answer<'a, u64> {
        self.note(format!("cut {actor:?} {session}"), 3)
    }
    fn end_sessions<'a>(&'a self, actor: Actor, person: PersonId) -> Answer<'a, u64> {
        self.note(format!("end {actor:?} {person}"), 2)
    }
    fn verdicts(&self, query: VerdictQuery) -> Answer<'_, Vec<Entry>> {
        self.note(format!("verdicts {:?} {:?}", query.person, query.limit), Vec::new())
    }
    fn events(&self) -> Answer<'_, Events> {
        let entry: Entry =
            serde_json::from_value(json!({ "seq": 7, "at": 1, "kind": "system", "event": "start", "detail": "began" }))
                .expect("an entry");
        let events: Events = futures_util::stream::iter([entry]).boxed();
        Box::pin(async move { Ok(events) })
    }
    fn publish<'a>(&'a self, actor: Actor, from: PublishFrom) -> Answer<'a, Published> {
        self.note(format!("publish {actor:?} {from:?}"), Published { revision: 9, difference: String::new() })
    }
    fn add_device<'a>(&'a self, actor: Actor, device: NewDevice) -> Answer<'a, DeviceId> {
        self.note(format!("add_device {actor:?} {}", device.name), lt7())
    }
    fn setup_link<'a>(&'a self, actor: Actor, person: PersonId) -> Answer<'a, String> {
        self.note(format!("setup_link {actor:?} {person}"), format!("{ORIGIN}/setup/x"))
    }
    fn connectors(&self) -> Answer<'_, Vec<ConnectorRow>> {
        self.note("connectors".to_owned(), Vec::new())
    }
    fn connector_token<'a>(&'a self, actor: Actor, site: SiteId) -> Answer<'a, ConnectorToken> {
        let made = ConnectorToken { token: "t.p".to_owned(), until: Timestamp::from_millis(1) };
        self.note(format!("connector_token {actor:?} {site}"), made)
    }
    fn revoke_connector<'a>(&'a self, actor: Actor, name: ConnectorName) -> Answer<'a, u64> {
        self.note(format!("revoke {actor:?} {name}"), 1)
    }
    fn locks(&self) -> Answer<'_, Vec<Lock>> {
        self.note("locks".to_owned(), Vec::new())
    }
    fn place_lock<'a>(&'a self, actor: Actor, new: NewLock) -> Answer<'a, Lock> {
        let (said, lock) = (format!("lock {actor:?} {} {:?} {}", new.target, new.seconds, new.force), lock(new.target));
        self.note(said, lock)
    }
    fn lift_lock<'a>(&'a self, actor: Actor, id: LockId) -> Answer<'a, Lock> {
        let target = LockTarget::of("person", "ada").expect("a target");
        self.note(format!("lift {actor:?} {id}"), lock(target))
    }
    fn health(&self) -> Answer<'_, Health> {
        self.note(
            "health".to_owned(),
            Health { healthy: false, parts: [("store".to_owned(), "full".to_owned())].into() },
        )
    }
}

fn lock(target: LockTarget) -> Lock {
    Lock {
        id: "0a1b".parse().expect("id"),
        target,
        message: "Call us.".parse().expect("a message"),
        by: "cli".to_owned(),
        placed: Timestamp::from_millis(1),
        until: None,
    }
}

fn visitor(operator: bool) -> Visitor {
    Visitor {
        person: "ada".parse().expect("id"),
        name: "Ada".to_owned(),
        auth: Auth {
            session: "s1".parse().expect("id"),
            methods: [Method::Passkey].into(),
            at: Timestamp::from_millis(1),
            until: Timestamp::from_millis(2),
        },
        device: None,
        csrf: CSRF.to_owned(),
        operator,
    }
}

struct Told {
    status: StatusCode,
    headers: http::HeaderMap,
    body: String,
}

impl Told {
    fn code(&self) -> String {
        let body: Value = serde_json::from_str(&self.body).unwrap_or_default();
        body["error"]["code"].as_str().unwrap_or_default().to_owned()
    }
}

/// One request: `headers` are `name: value` lines.
fn request(line: &str, headers: &[&str], body: impl Into<Body>) -> Request<Body> {
    let (method, path) = line.split_once(' ').expect("method and path");
    let mut request = Request::builder().method(method).uri(path);
    for line in headers {
        let (name, value) = line.split_once(": ").expect("name and value");
        request = request.header(name, value);
    }
    request.body(body.into()).expect("request")
}

async fn ask(router: Router, request: Request<Body>) -> Told {
    let client = Client { ip: IpAddr::V4(Ipv4Addr::LOCALHOST), request: "r1".parse().expect("id") };
    let response = router.layer(Extension(client)).oneshot(request).await.expect("infallible");
    let (parts, body) = response.into_parts();
    let body = body.collect().await.expect("body").to_bytes();
    Told { status: parts.status, headers: parts.headers, body: String::from_utf8_lossy(&body).into_owned() }
}

fn asked(backend: &Yes) -> String {
    backend.asked.lock().expect("lock").join("; ")
}

const JSON: &str = "content-type: application/json";
const FROM_US: &str = "origin: https://portal.clinic.example";
const SAME: &str = "sec-fetch-site: same-origin";
const TOKEN: &str = "x-csrf-token: c2VjcmV0LWZvcmdlcnktdG9rZW4";

async fn portal_says(signed_in: bool, line: &str, headers: &[&str], body: impl Into<Body>) -> (Told, String) {
    let backend = Arc::new(Yes::default());
    let mut router = portal(Arc::<Yes>::clone(&backend));
    if signed_in {
        router = router.layer(Extension(visitor(false)));
    }
    let told = ask(router, request(line, headers, body)).await;
    (told, asked(&backend))
}

enum From {
    Nobody,
    Socket,
    Visitor,
    Operator,
}

async fn admin_says(from: From, line: &str, headers: &[&str], body: impl Into<Body>) -> (Told, String) {
    let backend = Arc::new(Yes::default());
    let router = admin(Arc::<Yes>::clone(&backend));
    let router = match from {
        From::Nobody => router,
        From::Socket => router.layer(Extension(LocalSocket)),
        From::Visitor => router.layer(Extension(visitor(false))),
        From::Operator => router.layer(Extension(visitor(true))),
    };
    let told = ask(router, request(line, headers, body)).await;
    (told, asked(&backend))
}

#[tokio::test]
async fn a_passkey_sign_in_begins_and_ends() {
    let body = r#"{"person":"ada","return":"/x"}"#;
    let (told, asked) = portal_says(false, "POST /sign-in/passkey/begin", &[JSON, FROM_US, SAME], body).await;
    assert_eq!(told.status, StatusCode::OK);
    assert_eq!(told.body, r#"{"ceremony":"c1","publicKey":{"challenge":"x"}}"#);
    assert_eq!(asked, "begin_sign_in 127.0.0.1 Some(\"ada\") /x");
    let body = r#"{"ceremony":"c1","credential":{"id":"k"}}"#;
    let (told, asked) = portal_says(false, "POST /sign-in/passkey/finish", &[JSON, FROM_US], body).await;
    assert_eq!((told.status, told.body.as_str()), (StatusCode::OK, r#"{"location":"/home"}"#));
    assert_eq!(asked, "finish_sign_in c1 {\"id\":\"k\"}");
    let cookie = told.headers[header::SET_COOKIE].to_str().expect("text");
    assert_eq!(cookie, "__Host-safeconduct=new-secret; Path=/; Secure; HttpOnly; SameSite=Lax");
    assert_eq!(told.headers[header::CACHE_CONTROL], "no-store");
}

#[tokio::test]
async fn errors_have_one_shape_everywhere() {
    for (line, headers, body, status, code) in [
        ("GET /nothing", &[][..], "", 404, "not_found"),
        ("GET /sign-in/passkey/begin", &[], "", 405, "method_not_allowed"),
        ("POST /sign-in/passkey/begin", &[], "{}", 415, "wrong_content_type"),
        ("POST /sign-in/passkey/begin", &["content-type: text/plain"], "{}", 415, "wrong_content_type"),
        (
            "POST /sign-in/passkey/begin",
            &["content-type: application/json; charset=utf-16"],
            "{}",
            415,
            "wrong_content_type",
        ),
        ("POST /sign-in/passkey/begin", &[JSON], "{", 400, "bad_request"),
        ("POST /sign-in/passkey/begin", &[JSON], r#"{"person":null,"x":1}"#, 400, "bad_request"),
        ("POST /sign-in/passkey/begin", &[JSON], r#"{"person":"ada","person":"eve"}"#, 400, "bad_request"),
        ("POST /sign-in/passkey/begin", &[JSON], r#"{"person":7}"#, 400, "bad_request"),
        ("POST /sign-in/passkey/finish", &[JSON], r#"{"ceremony":"c1"}"#, 400, "bad_request"),
        ("GET /sign-in/oidc/corp?return=a&return=b", &[], "", 400, "bad_request"),
        ("GET /api/v1/whoami", &[], "", 401, "sign_in_required"),
        ("POST /me/passkeys/begin", &[JSON], r#"{"name":"x"}"#, 401, "sign_in_required"),
    ] {
        let (told, asked) = portal_says(false, line, headers, body).await;
        assert_eq!((told.status.as_u16(), told.code().as_str()), (status, code), "{line} {}", told.body);
        assert!(told.body.contains(r#""request":"r1""#) && told.body.contains("\"words\":"), "{}", told.body);
        assert_eq!(told.headers[header::CACHE_CONTROL], "no-store", "{line}");
        assert!(told.headers[header::CONTENT_TYPE].to_str().is_ok_and(|t| t.starts_with("application/json")));
        assert!(asked.is_empty(), "{asked}");
    }
}

#[tokio::test]
async fn nt_12_a_body_is_bounded() {
    let body = format!(r#"{{"person":"{}"}}"#, "x".repeat(MAX_BODY_BYTES));
    let (told, asked) = portal_says(false, "POST /sign-in/passkey/begin", &[JSON], body).await;
    assert_eq!((told.status, told.code().as_str(), asked.as_str()), (StatusCode::PAYLOAD_TOO_LARGE, "too_large", ""));
}

#[tokio::test]
async fn another_site_can_neither_sign_a_browser_in_nor_use_its_session() {
    let foreign: [&[&str]; 7] = [
        &["origin: https://evil.example"],
        &["origin: null"],
        &["origin: https://portal.clinic.example.evil.example"],
        &["origin: http://portal.clinic.example"],
        &["sec-fetch-site: cross-site", FROM_US],
        &["sec-fetch-site: same-site"],
        &[FROM_US, "origin: https://evil.example"],
    ];
    for headers in foreign {
        for (signed_in, line, body) in [
            (false, "POST /sign-in/passkey/begin", "{}"),
            (false, "POST /sign-in/passkey/finish", r#"{"ceremony":"c","credential":{}}"#),
            (false, "POST /device/challenge", ""),
            (true, "POST /step-up/passkey/begin", "{}"),
            (true, "POST /me/passkeys/begin", r#"{"name":"x"}"#),
        ] {
            let mut all = vec![JSON, TOKEN];
            all.extend(headers);
            let (told, asked) = portal_says(signed_in, line, &all, body).await;
            assert_eq!((told.status, told.code().as_str()), (StatusCode::FORBIDDEN, "forged"), "{line} {headers:?}");
            assert!(asked.is_empty());
        }
    }
}

#[tokio::test]
async fn every_change_of_a_session_needs_its_forgery_token() {
    let proof = r#"{"device":"lt-7","challenge":"Yw","signature":"cw"}"#;
    let enrolment = r#"{"name":"n","public_key":"k","challenge":"c","signature":"s"}"#;
    let routes = [
        ("POST /step-up/passkey/begin", r#"{"return":"/x"}"#, "begin_step_up ada /x"),
        ("POST /step-up/passkey/finish", r#"{"ceremony":"c","credential":{}}"#, "finish_step_up ada c"),
        ("POST /me/passkeys/begin", r#"{"name":"x"}"#, "begin_registration ada x"),
        ("POST /me/passkeys/finish", r#"{"ceremony":"c","credential":{}}"#, "finish_registration ada c"),
        ("POST /me/devices/enrol", enrolment, "enrol_device ada n"),
        ("POST /device/prove?return=%2Fx", proof, "prove_device ada lt-7/x"),
        ("POST /device/challenge", "", "device_challenge true"),
    ];
    for (line, body, expected) in routes {
        for bad in [&[][..], &["x-csrf-token: wrong"], &["x-csrf-token: "], &[TOKEN, TOKEN]] {
            let mut headers = vec![JSON, FROM_US, SAME];
            headers.extend(bad);
            let (told, asked) = portal_says(true, line, &headers, body).await;
            assert_eq!((told.code().as_str(), asked.as_str()), ("forged", ""), "{line} {bad:?}");
        }
        let (told, asked) = portal_says(true, line, &[JSON, FROM_US, SAME, TOKEN], body).await;
        assert_eq!((told.status, asked.as_str()), (StatusCode::OK, expected), "{line} {}", told.body);
    }
}

#[tokio::test]
async fn an_openid_sign_in_redirects_with_its_cookie_and_forgets_it_after() {
    let (told, asked) =
        portal_says(false, "GET /sign-in/oidc/corp?return=%2Fx", &["sec-fetch-site: cross-site"], "").await;
    assert_eq!((told.status, asked.as_str()), (StatusCode::SEE_OTHER, "begin_oidc corp /x"));
    assert_eq!(told.headers[header::LOCATION], "https://id.example/auth");
    assert!(
        told.headers[header::SET_COOKIE].to_str().is_ok_and(|c| c.starts_with("__Host-safeconduct-flow=flow-secret; "))
    );
    let line = "GET /sign-in/oidc/corp/callback?code=c&state=s&iss=i&session_state=ignored";
    let (told, asked) = portal_says(false, line, &["cookie: __Host-safeconduct-flow=flow-secret"], "").await;
    assert_eq!(asked, "finish_oidc corp Some(\"c\") Some(\"s\") Some(\"flow-secret\")");
    assert_eq!((told.status, told.headers[header::LOCATION].to_str().ok()), (StatusCode::SEE_OTHER, Some("/home")));
    let cookies: Vec<_> = told.headers.get_all(header::SET_COOKIE).iter().filter_map(|c| c.to_str().ok()).collect();
    assert!(
        cookies[0].starts_with("__Host-safeconduct=new-secret")
            && cookies[1].contains("flow=; ")
            && cookies[1].contains("Max-Age=0")
    );
}

#[tokio::test]
async fn a_posture_report_is_a_token_and_nothing_else() {
    let (told, asked) = portal_says(false, "POST /api/v1/posture", &["content-type: application/jwt"], "a.b.c").await;
    assert_eq!((told.status, asked.as_str()), (StatusCode::NO_CONTENT, "posture a.b.c"));
    let (told, asked) = portal_says(false, "POST /api/v1/posture", &[JSON], "a.b.c").await;
    assert_eq!((told.status, asked.as_str()), (StatusCode::UNSUPPORTED_MEDIA_TYPE, ""));
}

#[tokio::test]
async fn nt_19_whoami_tells_no_secret() {
    let (told, _) = portal_says(true, "GET /api/v1/whoami", &[], "").await;
    assert_eq!(
        told.body,
        r#"{"person":"ada","name":"Ada","session":"s1","methods":["passkey"],"at":1,"until":2,"device":null,"operator":false}"#
    );
}

#[tokio::test]
async fn administration_is_for_the_socket_and_for_operators() {
    let routes = [
        ("GET /api/v1/sessions", "", "sessions"),
        ("POST /api/v1/sessions/s9/cut", "", "cut Cli s9"),
        ("POST /api/v1/people/eve/end-sessions", "", "end Cli eve"),
        ("POST /api/v1/people/eve/setup-link", "", "setup_link Cli eve"),
        ("GET /api/v1/connectors", "", "connectors"),
        ("POST /api/v1/sites/berlin/connector-token", "", "connector_token Cli berlin"),
        ("POST /api/v1/connectors/berlin/a/revoke", "", "revoke Cli berlin/a"),
        ("GET /api/v1/verdicts?person=ada&limit=5", "", "verdicts Some(PersonId(\"ada\")) Some(5)"),
        ("POST /api/v1/policy/publish", r#"{"proposal":"p1"}"#, "publish Cli Proposal(\"p1\")"),
        ("POST /api/v1/devices", r#"{"name":"n","managed":true,"public_key":"k"}"#, "add_device Cli n"),
        ("GET /api/v1/locks", "", "locks"),
        (
            "POST /api/v1/locks",
            r#"{"target":{"person":"eve"},"message":"m","seconds":60}"#,
            "lock Cli person eve Some(60) false",
        ),
        ("POST /api/v1/locks/0a1b/lift", "", "lift Cli 0a1b"),
        ("GET /api/v1/health", "", "health"),
    ];
    for (line, body, expected) in routes {
        let (told, asked) = admin_says(From::Nobody, line, &[JSON], body).await;
        assert_eq!((told.code().as_str(), asked.as_str()), ("sign_in_required", ""), "{line}");
        let (told, asked) = admin_says(From::Visitor, line, &[JSON, FROM_US, TOKEN], body).await;
        assert_eq!((told.code().as_str(), asked.as_str()), ("forbidden", ""), "{line}");
        let (_, asked) = admin_says(From::Socket, line, &[JSON], body).await;
        assert_eq!(asked, expected, "{line}");
        let (_, asked) = admin_says(From::Operator, line, &[JSON, FROM_US, TOKEN], body).await;
        assert_eq!(asked, expected.replace("Cli", "Operator(PersonId(\"ada\"))"), "{line}");
        if line.starts_with("POST") {
            let (told, asked) = admin_says(From::Operator, line, &[JSON, FROM_US], body).await;
            assert_eq!((told.code().as_str(), asked.as_str()), ("forged", ""), "{line}");
        }
    }
}

#[tokio::test]
async fn administration_reads_ids_and_queries_strictly() {
    for (line, body) in [
        ("POST /api/v1/sessions/S9/cut", ""),
        ("POST /api/v1/people/E%20ve/end-sessions", ""),
        ("GET /api/v1/verdicts?persn=ada", ""),
        ("GET /api/v1/verdicts?person=Ada", ""),
        ("POST /api/v1/policy/publish", r#"{"proposal":"p","directory":"d"}"#),
        ("POST /api/v1/policy/publish", r#""proposal""#),
        ("POST /api/v1/devices", r#"{"name":"n","public_key":"k"}"#),
        ("POST /api/v1/locks", r#"{"target":{"person":"eve"}}"#),
        ("POST /api/v1/locks", r#"{"target":{"person":"eve","group":"all"},"message":"m"}"#),
        ("POST /api/v1/locks", r#"{"target":{"persona":"eve"},"message":"m"}"#),
        ("POST /api/v1/locks", r#"{"target":{"person":"eve"},"message":" "}"#),
        ("POST /api/v1/locks", r#"{"target":{"person":"eve"},"message":"m","second":1}"#),
    ] {
        let (told, asked) = admin_says(From::Socket, line, &[JSON], body).await;
        assert_eq!((told.code().as_str(), asked.as_str()), ("bad_request", ""), "{line} {body}");
    }
}

#[tokio::test]
async fn ill_health_is_a_503_that_says_what() {
    let (told, _) = admin_says(From::Socket, "GET /api/v1/health", &[], "").await;
    assert_eq!(told.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(told.body, r#"{"healthy":false,"parts":{"store":"full"}}"#);
}

#[tokio::test]
async fn events_are_a_stream_of_entries() {
    let (told, _) = admin_says(From::Socket, "GET /api/v1/events", &[], "").await;
    assert_eq!(told.headers[header::CONTENT_TYPE], "text/event-stream");
    assert_eq!(told.headers[header::CACHE_CONTROL], "no-store");
    assert!(told.body.starts_with("event: verdict\nid: 7\ndata: {\"seq\":7,"), "{}", told.body);
}

#[tokio::test]
async fn nt_25_a_router_without_its_client_answers_500_and_asks_nothing() {
    let backend = Arc::new(Yes::default());
    let router = portal(Arc::<Yes>::clone(&backend));
    let response = router.oneshot(request("POST /sign-in/passkey/begin", &[JSON], "{}")).await.expect("infallible");
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert!(asked(&backend).is_empty());
}
