use std::collections::HashMap;
use std::sync::Mutex;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use p256::ecdsa::signature::Signer as _;
use p256::ecdsa::{Signature, SigningKey};
use safeconduct_model::Method;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::*;
use crate::testing::{NOW, Staff, accounts, person, reload};

/// A provider on loopback that answers what the test tells it to.
#[derive(Default)]
struct Fake {
    issuer: String,
    metadata: Value,
    keys: Value,
    token: Value,
    seen: Vec<HashMap<String, String>>,
    key_fetches: usize,
}

type Shared = Arc<Mutex<Fake>>;

fn key(seed: u8) -> SigningKey {
    SigningKey::from_slice(&[seed; 32]).expect("in range")
}

fn jwk(seed: u8, kid: &str) -> Value {
    let point = key(seed).verifying_key().to_sec1_point(false);
    let (x, y) = point.as_bytes()[1..].split_at(32);
    json!({ "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": kid, "x": B64.encode(x), "y": B64.encode(y) })
}

async fn fake() -> Shared {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let issuer = format!("http://{}", listener.local_addr().expect("bound"));
    let metadata = json!({
        "issuer": issuer,
        "authorization_endpoint": format!("{issuer}/auth"),
        "token_endpoint": format!("{issuer}/token"),
        "jwks_uri": format!("{issuer}/jwks"),
        "response_types_supported": ["code"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256"],
        "authorization_response_iss_parameter_supported": true,
    });
    let keys = json!({ "keys": [jwk(1, "k1")] });
    let state: Shared = Arc::new(Mutex::new(Fake { issuer, metadata, keys, ..Fake::default() }));
    let shared = Arc::clone(&state);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let shared = Arc::clone(&shared);
            let serve = hyper::service::service_fn(move |request| answer(Arc::clone(&shared), request));
            tokio::spawn(
                hyper::server::conn::http1::Builder::new()
                    .serve_connection(hyper_util::rt::TokioIo::new(stream), serve),
            );
        }
    });
    state
}

async fn answer(
    shared: Shared,
    request: http::Request<hyper::body::Incoming>,
) -> Result<http::Response<Full<Bytes>>, std::convert::Infallible> {
    let path = request.uri().path().to_owned();
    let body = request.into_body().collect().await.map(|b| b.to_bytes()).unwrap_or_default();
    let mut fake = shared.lock().expect("lock");
    let value = match path.as_str() {
        "/.well-known/openid-configuration" => fake.metadata.clone(),
        "/jwks" => {
            fake.key_fetches += 1;
            fake.keys.clone()
        }
        "/token" => {
            let form = openidconnect::url::form_urlencoded::parse(&body).into_owned().collect();
            fake.seen.push(form);
            fake.token.clone()
        }
        _ => Value::Null,
    };
    let response = http::Response::builder().header("content-type", "application/json");
    Ok(response.body(Full::new(Bytes::from(value.to_string()))).expect("response"))
}

fn sign(seed: u8, header: &Value, claims: &Value) -> String {
    let signed = format!("{}.{}", B64.encode(header.to_string()), B64.encode(claims.to_string()));
    let signature: Signature = key(seed).sign(signed.as_bytes());
    format!("{signed}.{}", B64.encode(signature.to_bytes()))
}

struct World {
    fake: Shared,
    providers: Providers,
    accounts: Arc<Accounts>,
}

/// A sign-in in progress: what the browser holds.
struct Browser {
    query: HashMap<String, String>,
    flow: String,
}

impl World {
    async fn new(link: Link) -> Self {
        let fake = fake().await;
        let (_, accounts) = accounts().await;
        let issuer = fake.lock().expect("lock").issuer.clone();
        let config = ProviderConfig {
            id: "corp".to_owned(),
            issuer,
            client_id: "safeconduct".to_owned(),
            client_secret: Some(ClientSecretText::new("canary-client-secret".to_owned())),
            redirect_uri: "https://portal.clinic.example/sign-in/oidc/corp/callback".to_owned(),
            scopes: vec!["email".to_owned()],
            link,
            groups_claim: Some("groups".to_owned()),
            trust_methods: true,
        };
        let other = ProviderConfig { id: "other".to_owned(), ..config.clone() };
        let http = HttpsClient::new(&[], true).expect("roots");
        let providers =
            Providers::new(vec![config, other], &http, Arc::clone(&accounts), Arc::new(Staff)).expect("config");
        Self { fake, providers, accounts }
    }

    async fn begin(&self, purpose: OidcPurpose) -> Browser {
        let begun = self.providers.begin("corp", purpose, ReturnTo::start(), NOW).await.expect("begun");
        let location = openidconnect::url::Url::parse(&begun.location).expect("address");
        Browser { query: location.query_pairs().into_owned().collect(), flow: begun.flow }
    }

    fn claims(&self, browser: &Browser) -> Value {
        json!({
            "iss": self.fake.lock().expect("lock").issuer,
            "sub": "4711",
            "aud": "safeconduct",
            "exp": NOW.millis() / 1_000 + 300,
            "iat": NOW.millis() / 1_000,
            "nonce": browser.query["nonce"],
            "email": "ada@clinic.example",
            "email_verified": true,
            "preferred_username": "ada",
            "groups": ["nurses"],
        })
    }

    fn will_send(&self, id_token: &str) {
        let token = json!({ "access_token": "canary-access-token", "token_type": "Bearer", "id_token": id_token });
        self.fake.lock().expect("lock").token = token;
    }

    fn callback(&self, browser: &Browser) -> OidcAnswer {
        OidcAnswer {
            code: Some("c0de".to_owned()),
            state: Some(browser.query["state"].clone()),
            iss: Some(self.fake.lock().expect("lock").issuer.clone()),
            error: None,
            flow: Some(browser.flow.clone()),
        }
    }

    async fn finish(&self, answer: OidcAnswer) -> Result<Federated, ProviderError> {
        self.providers.finish("corp", answer, None, NOW).await
    }

    /// A sign-in whose ID token is changed by the test.
    async fn with_claims(&self, change: impl FnOnce(&mut Value)) -> Result<Federated, ProviderError> {
        let browser = self.begin(OidcPurpose::SignIn).await;
        let mut claims = self.claims(&browser);
        change(&mut claims);
        self.will_send(&sign(1, &json!({ "alg": "ES256", "kid": "k1" }), &claims));
        self.finish(self.callback(&browser)).await
    }

    /// A sign-in whose ID token has this header and is signed with this key.
    async fn with_header(&self, seed: u8, header: Value) -> Result<Federated, ProviderError> {
        let browser = self.begin(OidcPurpose::SignIn).await;
        self.will_send(&sign(seed, &header, &self.claims(&browser)));
        self.finish(self.callback(&browser)).await
    }
}

#[tokio::test]
async fn a_first_sign_in_links_and_the_next_one_finds_the_link() {
    let world = World::new(Link::Email).await;
    let first = world.with_claims(|c| c["amr"] = json!(["pwd", "mfa"])).await.expect("good");
    assert_eq!(first.proven, Proven::new(person("ada"), [Method::Oidc, Method::OidcMfa]));
    assert_eq!((first.newly_linked, first.groups.as_slice()), (true, ["nurses".to_owned()].as_slice()));
    // Now the address is Bob's; the identity is still Ada's.
    let next = world.with_claims(|c| c["email"] = json!("bob@clinic.example")).await.expect("good");
    assert_eq!((next.proven.person, next.newly_linked), (person("ada"), false));
}

#[tokio::test]
async fn the_request_has_state_nonce_and_pkce_and_the_code_is_redeemed_with_the_verifier() {
    let world = World::new(Link::Email).await;
    let browser = world.begin(OidcPurpose::SignIn).await;
    let q = &browser.query;
    assert_eq!((q["response_type"].as_str(), q["code_challenge_method"].as_str()), ("code", "S256"));
    assert_eq!(q["scope"], "openid email");
    assert_eq!(q["redirect_uri"], "https://portal.clinic.example/sign-in/oidc/corp/callback");
    world.will_send(&sign(1, &json!({ "alg": "ES256", "kid": "k1" }), &world.claims(&browser)));
    world.finish(world.callback(&browser)).await.expect("good");
    let seen = world.fake.lock().expect("lock").seen.pop().expect("asked");
    assert_eq!(B64.encode(Sha256::digest(&seen["code_verifier"])), q["code_challenge"]);
    assert_eq!(seen["redirect_uri"], q["redirect_uri"]);
    assert_ne!(world.begin(OidcPurpose::SignIn).await.query["state"], q["state"]);
}

#[tokio::test]
async fn a_state_counts_once_in_its_browser_and_at_its_provider() {
    let world = World::new(Link::Email).await;
    let good = |browser: &Browser| world.will_send(&sign(1, &json!({ "alg": "ES256" }), &world.claims(browser)));
    let not_open =
        |result: Result<Federated, ProviderError>| matches!(result, Err(ProviderError::SignIn(SignInError::NotOpen)));
    let browser = world.begin(OidcPurpose::SignIn).await;
    good(&browser);
    assert!(world.finish(world.callback(&browser)).await.is_ok());
    assert!(not_open(world.finish(world.callback(&browser)).await), "reused state");
    let (mine, victims) = (world.begin(OidcPurpose::SignIn).await, world.begin(OidcPurpose::SignIn).await);
    let crossed = OidcAnswer { flow: Some(victims.flow.clone()), ..world.callback(&mine) };
    assert!(not_open(world.finish(crossed).await), "login forgery: the attacker's state in the victim's browser");
    assert!(not_open(world.finish(world.callback(&mine)).await), "and it is burnt");
    let no_cookie = OidcAnswer { flow: None, ..world.callback(&victims) };
    assert!(not_open(world.finish(no_cookie).await));
    let browser = world.begin(OidcPurpose::SignIn).await;
    assert!(not_open(world.providers.finish("other", world.callback(&browser), None, NOW).await), "another provider");
    let late = world.begin(OidcPurpose::SignIn).await;
    let after = NOW + crate::CEREMONY_LIFE;
    assert!(not_open(world.providers.finish("corp", world.callback(&late), None, after).await));
}

#[tokio::test]
async fn nt_17_a_token_for_someone_else_or_another_time_is_refused() {
    let world = World::new(Link::Email).await;
    let seconds = NOW.millis() / 1_000;
    for (name, value) in [
        ("iss", json!("https://evil.example")),
        ("aud", json!("another-client")),
        ("aud", json!(["safeconduct", "another-client"])),
        ("azp", json!("another-client")),
        ("exp", json!(seconds - 61)),
        ("iat", json!(seconds + 61)),
        ("iat", json!(seconds - 601)),
        ("nonce", json!("another-nonce")),
        ("nonce", Value::Null),
        ("at_hash", json!("77QmUPtjPfzWtF2AnpK9RQ")),
        ("sub", json!("")),
    ] {
        let result = world.with_claims(|c| c[name] = value.clone()).await;
        assert!(matches!(result, Err(ProviderError::Token(_) | ProviderError::Check(_))), "{name} {value} {result:?}");
    }
    let fits = checks::Alg::Es256.half_hash("canary-access-token");
    assert!(world.with_claims(|c| c["at_hash"] = json!(fits)).await.is_ok());
}

#[tokio::test]
async fn nt_17_a_token_by_another_key_or_algorithm_is_refused() {
    let world = World::new(Link::Email).await;
    for (seed, header) in [
        (2, json!({ "alg": "ES256", "kid": "k1" })),
        (2, json!({ "alg": "ES256", "kid": "k2" })),
        (2, json!({ "alg": "ES256" })),
        (2, json!({ "alg": "ES256", "jwk": jwk(2, "k1") })),
        (1, json!({ "alg": "none" })),
        (1, json!({ "alg": "HS256", "kid": "k1" })),
        (1, json!({ "alg": "RS256", "kid": "k1" })),
        (1, json!({ "alg": "ES256", "kid": "k1", "crit": ["x"], "x": 1 })),
        (1, json!({ "alg": "ES256", "kid": "k1", "typ": "logout+jwt" })),
    ] {
        let result = world.with_header(seed, header.clone()).await;
        assert!(matches!(result, Err(ProviderError::Token(_) | ProviderError::Check(_))), "{header} {result:?}");
    }
    let browser = world.begin(OidcPurpose::SignIn).await;
    let unsigned = format!("{}.{}.", B64.encode(r#"{"alg":"none"}"#), B64.encode(world.claims(&browser).to_string()));
    world.will_send(&unsigned);
    assert!(world.finish(world.callback(&browser)).await.is_err());
}

#[tokio::test]
async fn a_new_key_is_fetched_when_it_is_first_seen_and_not_more_often() {
    let world = World::new(Link::Email).await;
    assert!(world.with_header(1, json!({ "alg": "ES256", "kid": "k1" })).await.is_ok());
    world.fake.lock().expect("lock").keys = json!({ "keys": [jwk(1, "k1"), jwk(2, "k2")] });
    assert!(world.with_header(2, json!({ "alg": "ES256", "kid": "k2" })).await.is_err(), "within the cooldown");
    assert_eq!(world.fake.lock().expect("lock").key_fetches, 1);
    let later = NOW + Duration::from_secs(61);
    let browser = world.begin(OidcPurpose::SignIn).await;
    world.will_send(&sign(2, &json!({ "alg": "ES256", "kid": "k2" }), &world.claims(&browser)));
    let result = world.providers.finish("corp", world.callback(&browser), None, later).await;
    assert!(result.is_ok(), "{result:?}");
    assert_eq!(world.fake.lock().expect("lock").key_fetches, 2);
}

#[tokio::test]
async fn the_answer_names_its_issuer_and_may_be_a_refusal() {
    let world = World::new(Link::Email).await;
    for iss in [None, Some("https://evil.example".to_owned())] {
        let browser = world.begin(OidcPurpose::SignIn).await;
        let answer = OidcAnswer { iss, ..world.callback(&browser) };
        assert!(matches!(world.finish(answer).await, Err(ProviderError::Check(checks::OidcError::Issuer))));
    }
    let browser = world.begin(OidcPurpose::SignIn).await;
    let answer = OidcAnswer { error: Some("access_denied\r\n<b>".to_owned()), ..world.callback(&browser) };
    let error = world.finish(answer).await.expect_err("declined").to_string();
    assert_eq!(error, "the identity provider did not sign the person in (access_denied<b>)");
}

#[tokio::test]
async fn nt_28_only_a_verified_address_of_a_known_person_links() {
    let world = World::new(Link::Email).await;
    for (name, value) in [
        ("email_verified", json!(false)),
        ("email_verified", json!("true")),
        ("email_verified", Value::Null),
        ("email", json!("eve@clinic.example")),
        ("email", json!("ada@evil@clinic.example")),
        ("email", json!("ada@evil.example")),
        ("email", Value::Null),
    ] {
        let result = world.with_claims(|c| c[name] = value.clone()).await;
        assert!(matches!(result, Err(ProviderError::NotLinked | ProviderError::Token(_))), "{name} {value} {result:?}");
    }
    assert!(world.accounts.nobody_can_sign_in());
}

#[tokio::test]
async fn a_claim_links_where_configured_and_nothing_links_where_not() {
    let world = World::new(Link::Claim("preferred_username".to_owned())).await;
    for bad in [json!("Ada"), json!("eve"), json!(7), Value::Null] {
        let result = world.with_claims(|c| c["preferred_username"] = bad.clone()).await;
        assert!(matches!(result, Err(ProviderError::NotLinked | ProviderError::Token(_))), "{bad}");
    }
    assert_eq!(world.with_claims(|_| ()).await.expect("good").proven.person, person("ada"));
    let world = World::new(Link::None).await;
    assert!(matches!(world.with_claims(|_| ()).await, Err(ProviderError::NotLinked)));
    let issuer = world.fake.lock().expect("lock").issuer.clone();
    world.accounts.link(&issuer, "4711", &person("bob")).await.expect("linked");
    assert_eq!(world.with_claims(|_| ()).await.expect("linked").proven.person, person("bob"));
}

#[tokio::test]
async fn someone_who_left_does_not_sign_in_by_an_old_link() {
    let world = World::new(Link::Email).await;
    let issuer = world.fake.lock().expect("lock").issuer.clone();
    world.accounts.link(&issuer, "4711", &person("eve")).await.expect("linked");
    assert!(matches!(world.with_claims(|_| ()).await, Err(ProviderError::NotLinked)));
}

#[tokio::test]
async fn nt_34_a_step_up_is_anew_and_for_the_same_person_and_session() {
    let world = World::new(Link::Email).await;
    let s1: SessionId = "s1".parse().expect("id");
    let (ada, bob) = (person("ada"), person("bob"));
    let step_up = |who: &PersonId| OidcPurpose::StepUp(who.clone(), s1.clone());
    let browser = world.begin(step_up(&ada)).await;
    assert_eq!((browser.query["prompt"].as_str(), browser.query["max_age"].as_str()), ("login", "300"));
    let send = |browser: &Browser, auth_time: Value| {
        let mut claims = world.claims(browser);
        claims["auth_time"] = auth_time;
        world.will_send(&sign(1, &json!({ "alg": "ES256" }), &claims));
    };
    let now = json!(NOW.millis() / 1_000);
    send(&browser, now.clone());
    let done = world.providers.finish("corp", world.callback(&browser), Some((&ada, &s1)), NOW).await.expect("good");
    assert_eq!(done.purpose, step_up(&ada));
    for (auth_time, who) in [(Value::Null, &ada), (json!(NOW.millis() / 1_000 - 3_600), &ada)] {
        let browser = world.begin(step_up(who)).await;
        send(&browser, auth_time);
        let result = world.providers.finish("corp", world.callback(&browser), Some((who, &s1)), NOW).await;
        assert!(matches!(result, Err(ProviderError::Check(checks::OidcError::AuthTime))), "{result:?}");
    }
    let browser = world.begin(step_up(&bob)).await;
    send(&browser, now.clone());
    let result = world.providers.finish("corp", world.callback(&browser), Some((&bob, &s1)), NOW).await;
    assert!(matches!(result, Err(ProviderError::OtherPerson)), "Ada's identity for Bob's session");
    let browser = world.begin(step_up(&ada)).await;
    send(&browser, now);
    let result = world.providers.finish("corp", world.callback(&browser), None, NOW).await;
    assert!(matches!(result, Err(ProviderError::OtherPerson)), "the session is gone");
}

#[tokio::test]
async fn a_provider_that_says_it_is_another_one_is_refused() {
    let world = World::new(Link::Email).await;
    world.fake.lock().expect("lock").metadata["issuer"] = json!("https://evil.example");
    let result = world.providers.begin("corp", OidcPurpose::SignIn, ReturnTo::start(), NOW).await;
    assert!(matches!(result, Err(ProviderError::Document("metadata", _))), "{result:?}");
    assert_eq!(world.providers.warm_up(NOW).await.len(), 2, "and says so at the start");
}

#[tokio::test]
async fn a_provider_that_is_down_is_asked_again_after_a_moment() {
    let world = World::new(Link::Email).await;
    let good = world.fake.lock().expect("lock").metadata.take();
    let begin = |now| world.providers.begin("corp", OidcPurpose::SignIn, ReturnTo::start(), now);
    assert!(begin(NOW).await.is_err());
    world.fake.lock().expect("lock").metadata = good;
    assert!(begin(NOW + Duration::from_secs(1)).await.is_err());
    assert!(begin(NOW + Duration::from_secs(6)).await.is_ok());
}

#[tokio::test]
async fn nt_19_no_error_tells_a_token_or_secret() {
    let world = World::new(Link::Email).await;
    let browser = world.begin(OidcPurpose::SignIn).await;
    world.fake.lock().expect("lock").token =
        json!({ "access_token": "canary-access-token", "token_type": 7, "id_token": "canary-id-token" });
    let error = world.finish(world.callback(&browser)).await.expect_err("malformed");
    let mut text = format!("{error} {error:?}");
    let error = world.with_header(2, json!({ "alg": "ES256", "kid": "k1" })).await.expect_err("forged");
    text.push_str(&format!("{error} {error:?}"));
    assert!(!text.contains("canary"), "{text}");
    assert!(!format!("{:?}", world.providers.provider("corp").map(|p| p.config.clone()).ok()).contains("canary"));
}

#[tokio::test]
async fn links_survive_a_restart() {
    let (keep, accounts) = accounts().await;
    accounts.link("https://id.example", "4711", &person("ada")).await.expect("linked");
    assert_eq!(reload(&keep).await.linked("https://id.example", "4711"), Some(person("ada")));
}

#[test]
fn a_link_rule_reads_as_the_configuration_writes_it() {
    assert_eq!(Link::from_text("email"), Some(Link::Email));
    assert_eq!(Link::from_text("none"), Some(Link::None));
    assert_eq!(Link::from_text("claim:upn"), Some(Link::Claim("upn".to_owned())));
    for bad in ["", "claim:", "Email", "mail"] {
        assert_eq!(Link::from_text(bad), None, "{bad}");
    }
}
