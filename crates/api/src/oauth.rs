//! Signing a program in: the endpoints of an authorisation server (RFC 8414, 8628, 6749 with PKCE, 9449), as narrow as our own
//! command line needs them.
//!
//! Every request carries a `DPoP` proof, and every token that is given out is bound to its key. Bodies are forms and errors
//! have the shape of OAuth, because that is what programs for this purpose speak; everything else of the house is JSON.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use axum::extract::rejection::FormRejection;
use axum::extract::{DefaultBodyLimit, Form, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Router, middleware};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use safeconduct_model::{AppId, Method, PersonId, SessionId, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::Client;
use crate::error::{finish, no_method, no_route};

/// The longest form, in bytes.
const MAX_FORM_BYTES: usize = 8 * 1024;
/// The grant of RFC 8628.
pub const DEVICE_GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";

/// What the desk answers, in time.
pub type OAuthAnswer<'a, T> = Pin<Box<dyn Future<Output = Result<T, OAuthError>> + Send + 'a>>;

/// A refusal in the shape of OAuth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OAuthError {
    status: StatusCode,
    error: &'static str,
    words: String,
    challenge: bool,
}

impl OAuthError {
    /// A refusal with a code of the standards.
    #[must_use]
    pub fn new(error: &'static str, words: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, error, words: words.into(), challenge: false }
    }

    /// The proof of the key does not hold.
    #[must_use]
    pub fn proof(words: impl Into<String>) -> Self {
        Self::new("invalid_dpop_proof", words)
    }

    /// The token that came along does not count.
    #[must_use]
    pub fn token(words: impl Into<String>) -> Self {
        Self { status: StatusCode::UNAUTHORIZED, challenge: true, ..Self::new("invalid_token", words) }
    }

    /// Too often.
    #[must_use]
    pub fn too_often() -> Self {
        let words = "Too many sign-ins from this address. Wait a few minutes.";
        Self { status: StatusCode::TOO_MANY_REQUESTS, ..Self::new("temporarily_unavailable", words) }
    }

    /// Something that is needed does not answer.
    #[must_use]
    pub fn unavailable(words: impl Into<String>) -> Self {
        Self { status: StatusCode::SERVICE_UNAVAILABLE, ..Self::new("temporarily_unavailable", words) }
    }

    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        self.error
    }
}

impl IntoResponse for OAuthError {
    fn into_response(self) -> Response {
        let body = json!({ "error": self.error, "error_description": self.words });
        let mut response = (self.status, axum::Json(body)).into_response();
        if self.challenge {
            let challenge = HeaderValue::from_static("DPoP error=\"invalid_token\", algs=\"ES256\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        }
        response
    }
}

/// A machine that may wait for its answer. Its codes do not print.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct DeviceBegun {
    /// The code of the machine, secret.
    pub device_code: String,
    /// The code for the person.
    pub user_code: String,
    /// Where the person types it.
    pub verification_uri: String,
    /// The same with the code in it.
    pub verification_uri_complete: String,
    /// How long it counts, in seconds.
    pub expires_in: u64,
    /// How long to wait between two looks, in seconds.
    pub interval: u64,
}

impl fmt::Debug for DeviceBegun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DeviceBegun([redacted])")
    }
}

/// What a program trades for tokens. None of it prints.
#[derive(Clone, PartialEq, Eq)]
pub enum Grant {
    /// The code of a machine that waits.
    Device {
        /// The code.
        code: String,
    },
    /// The code that a browser brought back.
    Code {
        /// The code.
        code: String,
        /// What the challenge was made of.
        verifier: String,
        /// Where the browser came back to.
        redirect: String,
    },
    /// The refresh token of the last pair.
    Refresh {
        /// The token.
        token: String,
    },
}

/// Tokens for a program. They do not print.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct Issued {
    /// The access token.
    pub access_token: String,
    /// How it is used.
    pub token_type: &'static str,
    /// How long it counts, in seconds.
    pub expires_in: u64,
    /// What buys the next pair.
    pub refresh_token: String,
    /// The session that all of this belongs to.
    pub session: SessionId,
}

impl fmt::Debug for Issued {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Issued({}, [redacted])", self.session)
    }
}

/// A token with its proof, as a program shows them.
#[derive(Clone, PartialEq, Eq)]
pub struct Shown {
    /// The access token.
    pub token: String,
    /// The proof.
    pub proof: String,
}

/// Who a program is signed in as, and what it can open a tunnel to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ProgramSession {
    /// Which session.
    pub session: SessionId,
    /// Whose.
    pub person: PersonId,
    /// The name of the person.
    pub name: String,
    /// The methods proven.
    pub methods: Vec<Method>,
    /// When something was last proven.
    pub proven: Timestamp,
    /// When it ends at the latest.
    pub until: Timestamp,
    /// The applications with tunnels.
    pub applications: Vec<TunnelRow>,
}

/// An application with tunnels.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TunnelRow {
    /// Its id.
    pub id: AppId,
    /// Its name.
    pub name: String,
    /// The address of its first host, `https://host[:port]`.
    pub address: String,
}

/// What a program says that an access is for.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Purpose {
    /// For which application.
    pub app: AppId,
    /// The purpose.
    pub purpose: String,
    /// The ticket; empty if there is none.
    #[serde(default)]
    pub ticket: String,
}

/// What the server implements.
pub trait Tokens: Send + Sync + 'static {
    /// The origin of the portal, `https://host[:port]`.
    fn origin(&self) -> &str;
    /// Lets a machine wait for the answer of a person.
    fn begin_device<'a>(&'a self, client: &'a Client, proof: String, machine: String) -> OAuthAnswer<'a, DeviceBegun>;
    /// Trades a grant for tokens.
    fn trade<'a>(&'a self, client: &'a Client, proof: String, grant: Grant) -> OAuthAnswer<'a, Issued>;
    /// Ends the session to which a refresh token belongs. Whether there was one is not told.
    fn revoke<'a>(&'a self, client: &'a Client, proof: String, token: String) -> OAuthAnswer<'a, ()>;
    /// Who a program is signed in as.
    fn session<'a>(&'a self, client: &'a Client, shown: Shown) -> OAuthAnswer<'a, ProgramSession>;
    /// Keeps what an access is for.
    fn state<'a>(&'a self, client: &'a Client, shown: Shown, purpose: Purpose) -> OAuthAnswer<'a, ()>;
}

type Backend = State<Arc<dyn Tokens>>;

/// The routes, on the portal's host. Requests carry [`Client`].
pub fn oauth(backend: Arc<dyn Tokens>) -> Router {
    Router::new()
        .route("/oauth/device_authorization", post(begin_device))
        .route("/oauth/token", post(trade))
        .route("/oauth/revoke", post(revoke))
        .route("/oauth/session", get(session))
        .route("/oauth/purpose", post(state))
        .route("/.well-known/oauth-authorization-server", get(metadata))
        .fallback(no_route)
        .method_not_allowed_fallback(no_method)
        .layer(DefaultBodyLimit::max(MAX_FORM_BYTES))
        .layer(middleware::from_fn(finish))
        .with_state(backend)
}

/// A form; a parameter that comes twice is refused (RFC 6749, 3.2), one that nobody knows is ignored.
fn read<T>(form: Result<Form<T>, FormRejection>) -> Result<T, OAuthError> {
    let Form(read) = form.map_err(|_| OAuthError::new("invalid_request", "The form is not as expected."))?;
    Ok(read)
}

/// The one proof that came along.
fn proof(headers: &HeaderMap) -> Result<String, OAuthError> {
    let mut all = headers.get_all("dpop").iter();
    match (all.next().map(HeaderValue::to_str), all.next()) {
        (Some(Ok(proof)), None) => Ok(proof.to_owned()),
        _ => Err(OAuthError::proof("Exactly one DPoP field is needed.")),
    }
}

/// The one token that came along, never as a bearer.
fn shown(headers: &HeaderMap) -> Result<Shown, OAuthError> {
    let mut all = headers.get_all(header::AUTHORIZATION).iter();
    let text = match (all.next().map(HeaderValue::to_str), all.next()) {
        (Some(Ok(text)), None) => text,
        _ => return Err(OAuthError::token("Exactly one token is needed.")),
    };
    let (scheme, token) = text.split_once(' ').unwrap_or_default();
    if !scheme.eq_ignore_ascii_case("dpop") {
        return Err(OAuthError::token("The token is bound to a key: it comes as DPoP, with a proof."));
    }
    Ok(Shown { token: token.trim().to_owned(), proof: proof(headers)? })
}

#[derive(Deserialize)]
struct Machine {
    #[serde(default)]
    machine: String,
}

async fn begin_device(
    State(backend): Backend,
    client: Client,
    headers: HeaderMap,
    form: Result<Form<Machine>, FormRejection>,
) -> Result<axum::Json<DeviceBegun>, OAuthError> {
    let Machine { machine } = read(form)?;
    backend.begin_device(&client, proof(&headers)?, machine).await.map(axum::Json)
}

#[derive(Deserialize)]
struct Trade {
    grant_type: String,
    device_code: Option<String>,
    code: Option<String>,
    code_verifier: Option<String>,
    redirect_uri: Option<String>,
    refresh_token: Option<String>,
}

impl Trade {
    fn grant(self) -> Result<Grant, OAuthError> {
        let missing = || OAuthError::new("invalid_request", "A parameter of this grant is missing.");
        match self.grant_type.as_str() {
            DEVICE_GRANT => Ok(Grant::Device { code: self.device_code.ok_or_else(missing)? }),
            "authorization_code" => Ok(Grant::Code {
                code: self.code.ok_or_else(missing)?,
                verifier: self.code_verifier.ok_or_else(missing)?,
                redirect: self.redirect_uri.ok_or_else(missing)?,
            }),
            "refresh_token" => Ok(Grant::Refresh { token: self.refresh_token.ok_or_else(missing)? }),
            _ => Err(OAuthError::new(
                "unsupported_grant_type",
                "There are device_code, authorization_code, refresh_token.",
            )),
        }
    }
}

async fn trade(
    State(backend): Backend,
    client: Client,
    headers: HeaderMap,
    form: Result<Form<Trade>, FormRejection>,
) -> Result<axum::Json<Issued>, OAuthError> {
    let grant = read(form)?.grant()?;
    backend.trade(&client, proof(&headers)?, grant).await.map(axum::Json)
}

#[derive(Deserialize)]
struct Revoke {
    token: String,
}

async fn revoke(
    State(backend): Backend,
    client: Client,
    headers: HeaderMap,
    form: Result<Form<Revoke>, FormRejection>,
) -> Result<StatusCode, OAuthError> {
    let Revoke { token } = read(form)?;
    backend.revoke(&client, proof(&headers)?, token).await.map(|()| StatusCode::OK)
}

async fn session(
    State(backend): Backend,
    client: Client,
    headers: HeaderMap,
) -> Result<axum::Json<ProgramSession>, OAuthError> {
    backend.session(&client, shown(&headers)?).await.map(axum::Json)
}

async fn state(
    State(backend): Backend,
    client: Client,
    headers: HeaderMap,
    form: Result<Form<Purpose>, FormRejection>,
) -> Result<StatusCode, OAuthError> {
    let purpose = read(form)?;
    backend.state(&client, shown(&headers)?, purpose).await.map(|()| StatusCode::NO_CONTENT)
}

async fn metadata(State(backend): Backend) -> axum::Json<Value> {
    let at = |path: &str| format!("{}{path}", backend.origin());
    axum::Json(json!({
        "issuer": backend.origin(),
        "authorization_endpoint": at("/oauth/authorize"),
        "device_authorization_endpoint": at("/oauth/device_authorization"),
        "token_endpoint": at("/oauth/token"),
        "revocation_endpoint": at("/oauth/revoke"),
        "response_types_supported": ["code"],
        "grant_types_supported": [DEVICE_GRANT, "authorization_code", "refresh_token"],
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": ["none"],
        "dpop_signing_alg_values_supported": ["ES256"],
        "authorization_response_iss_parameter_supported": true,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;
    use http::Request;
    use http_body_util::BodyExt;
    use std::sync::Mutex;
    use tower::ServiceExt;

    #[derive(Default)]
    struct Fake(Mutex<Vec<String>>);

    impl Fake {
        fn told<T>(&self, what: String, answer: Result<T, OAuthError>) -> OAuthAnswer<'_, T>
        where
            T: Send + 'static,
        {
            self.0.lock().expect("not poisoned").push(what);
            Box::pin(async { answer })
        }
    }

    impl Tokens for Fake {
        fn origin(&self) -> &str {
            "https://portal"
        }
        fn begin_device<'a>(&'a self, _: &'a Client, proof: String, machine: String) -> OAuthAnswer<'a, DeviceBegun> {
            self.told(format!("begin {proof} {machine}"), Err(OAuthError::too_often()))
        }
        fn trade<'a>(&'a self, _: &'a Client, proof: String, grant: Grant) -> OAuthAnswer<'a, Issued> {
            let what = match grant {
                Grant::Device { code } => format!("device {code}"),
                Grant::Code { code, verifier, redirect } => format!("code {code} {verifier} {redirect}"),
                Grant::Refresh { token } => format!("refresh {token}"),
            };
            self.told(format!("{what} {proof}"), Err(OAuthError::new("authorization_pending", "Wait.")))
        }
        fn revoke<'a>(&'a self, _: &'a Client, proof: String, token: String) -> OAuthAnswer<'a, ()> {
            self.told(format!("revoke {token} {proof}"), Ok(()))
        }
        fn session<'a>(&'a self, _: &'a Client, shown: Shown) -> OAuthAnswer<'a, ProgramSession> {
            self.told(format!("session {} {}", shown.token, shown.proof), Err(OAuthError::token("No.")))
        }
        fn state<'a>(&'a self, _: &'a Client, shown: Shown, purpose: Purpose) -> OAuthAnswer<'a, ()> {
            self.told(format!("state {} {}", shown.token, purpose.purpose), Ok(()))
        }
    }

    async fn ask(method: &str, path: &str, fields: &[(&str, &str)], body: &str) -> (u16, String, Vec<String>) {
        let fake = Arc::new(Fake::default());
        let client = Client { ip: [127, 0, 0, 1].into(), request: "r1".parse().expect("id") };
        let mut request = Request::builder().method(method).uri(path).extension(client);
        if method == "POST" {
            request = request.header("content-type", "application/x-www-form-urlencoded");
        }
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::from(body.to_owned())).expect("a request");
        let answer = oauth(Arc::clone(&fake) as Arc<dyn Tokens>).oneshot(request).await.expect("an answer");
        assert_eq!(answer.headers()["cache-control"], "no-store");
        let status = answer.status().as_u16();
        let bytes = answer.into_body().collect().await.expect("a body").to_bytes();
        let asked = fake.0.lock().expect("not poisoned").clone();
        (status, String::from_utf8_lossy(&bytes).into_owned(), asked)
    }

    #[tokio::test]
    async fn each_grant_is_read_with_its_parameters() {
        let device = format!("grant_type={DEVICE_GRANT}&device_code=d1&client_id=ignored");
        for (body, expected) in [
            (device.as_str(), "device d1 p"),
            (
                "grant_type=authorization_code&code=c&code_verifier=v&redirect_uri=http%3A%2F%2F127.0.0.1%3A1%2F",
                "code c v http://127.0.0.1:1/ p",
            ),
            ("grant_type=refresh_token&refresh_token=t", "refresh t p"),
        ] {
            let (status, text, asked) = ask("POST", "/oauth/token", &[("dpop", "p")], body).await;
            assert_eq!((status, asked), (400, vec![expected.to_owned()]));
            assert_eq!(text, r#"{"error":"authorization_pending","error_description":"Wait."}"#);
        }
    }

    #[tokio::test]
    async fn what_is_missing_or_comes_twice_never_reaches_the_desk() {
        let refresh = "grant_type=refresh_token&refresh_token=t";
        for (fields, body, error) in [
            (&[][..], refresh, "invalid_dpop_proof"),
            (&[("dpop", "p"), ("dpop", "q")], refresh, "invalid_dpop_proof"),
            (&[("dpop", "p")], "grant_type=refresh_token", "invalid_request"),
            (&[("dpop", "p")], "refresh_token=t", "invalid_request"),
            (&[("dpop", "p")], "grant_type=refresh_token&refresh_token=t&refresh_token=u", "invalid_request"),
            (&[("dpop", "p")], "grant_type=password&username=a&password=b", "unsupported_grant_type"),
            (&[("dpop", "p")], "grant_type=client_credentials", "unsupported_grant_type"),
        ] {
            let (status, text, asked) = ask("POST", "/oauth/token", fields, body).await;
            assert_eq!((status, asked.len()), (400, 0), "{body}");
            assert!(text.contains(&format!("\"{error}\"")), "{text}");
        }
        let (status, _, asked) = ask("POST", "/oauth/token", &[("dpop", "p")], &"x".repeat(MAX_FORM_BYTES + 1)).await;
        assert!(status == 400 && asked.is_empty());
        assert_eq!(ask("GET", "/oauth/token", &[], "").await.0, 405);
    }

    #[tokio::test]
    async fn nt_18_a_bound_token_is_no_bearer() {
        for fields in [
            &[("authorization", "Bearer t"), ("dpop", "p")][..],
            &[("authorization", "DPoP t"), ("authorization", "DPoP u"), ("dpop", "p")],
            &[("dpop", "p")],
            &[("authorization", "DPoP t")],
        ] {
            let (status, _, asked) = ask("GET", "/oauth/session", fields, "").await;
            assert!(matches!(status, 400 | 401) && asked.is_empty(), "{fields:?}");
        }
        let (status, _, asked) = ask("GET", "/oauth/session", &[("authorization", "DPoP t"), ("dpop", "p")], "").await;
        assert_eq!((status, asked), (401, vec!["session t p".to_owned()]));
    }

    #[tokio::test]
    async fn the_other_endpoints_answer_and_the_metadata_names_them() {
        assert_eq!(ask("POST", "/oauth/revoke", &[("dpop", "p")], "token=t").await.0, 200);
        assert_eq!(ask("POST", "/oauth/device_authorization", &[("dpop", "p")], "machine=m").await.0, 429);
        let shown = [("authorization", "DPoP t"), ("dpop", "p")];
        assert_eq!(ask("POST", "/oauth/purpose", &shown, "app=db&purpose=audit").await.0, 204);
        let (status, text, _) = ask("GET", "/.well-known/oauth-authorization-server", &[], "").await;
        assert!(status == 200 && text.contains("https://portal/oauth/token"), "{text}");
    }
}
