//! The decision point: what every surface for other programs and gateways shares.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, FromRequestParts, Request};
use axum::middleware::{self, Next};
use axum::response::Response;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use safeconduct_authn::strict_json;
use safeconduct_config::Surface;
use safeconduct_policy::store::{Decision, Page, Seek};
use serde_json::{Map, Value};

use crate::authzen::Batch;
use crate::error::{finish, no_method, no_route};
use crate::forward_auth::{Judged, Original};
use crate::{Answer, ApiError, Client, MAX_BODY_BYTES};

/// The header in which another gateway proves itself; `Authorization` belongs to the request that it asks about.
pub const TOKEN_HEADER: &str = "x-safeconduct-token";
/// The longest id of a request that is echoed.
const MAX_REQUEST_ID: usize = 256;

/// What the server implements: who may ask, and the answers. Every answer is recorded before it is given.
pub trait DecisionPoint: Send + Sync + 'static {
    /// Who asks, if it proved itself and may ask this of that store.
    ///
    /// # Errors
    /// 401 if it did not, 403 if it may not.
    fn admit(&self, proof: &Proof, surface: Surface, store: Option<&str>) -> Result<Asker, ApiError>;

    /// The origin of the decision point, and the name of the store that answers for `store`, if there is one.
    fn origin_of(&self, store: Option<&str>) -> Option<String>;

    /// Decides one question or several.
    fn evaluate<'a>(&'a self, asker: &'a Asker, batch: Batch) -> Answer<'a, Vec<Decision>>;

    /// One page of a search.
    fn search<'a>(&'a self, asker: &'a Asker, seek: Seek) -> Answer<'a, Page>;

    /// Decides a request that stands at another gateway.
    fn judge<'a>(&'a self, asker: &'a Asker, original: Original) -> Answer<'a, Judged>;
}

/// The routes of the decision point. Requests carry [`Client`], and [`CertificateNames`] where a certificate was shown.
pub fn decision_point(point: Arc<dyn DecisionPoint>) -> Router {
    Router::new()
        .merge(crate::authzen::routes())
        .merge(crate::ext_authz::routes())
        .merge(crate::forward_auth::routes())
        .merge(crate::review::routes())
        .fallback(no_route)
        .method_not_allowed_fallback(no_method)
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(middleware::from_fn(finish))
        .layer(middleware::from_fn(echo))
        .with_state(point)
}

/// The state of every route.
pub(crate) type Point = axum::extract::State<Arc<dyn DecisionPoint>>;

/// A client that proved itself and may ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asker {
    /// Its name in the configuration.
    pub name: String,
    /// The store that it asks; empty where it asks none.
    pub store: String,
}

/// The names in the certificate that a client showed in the TLS handshake; an extension of its requests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CertificateNames(pub Arc<[String]>);

/// What a client proves itself with. The token does not print.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Proof {
    /// The token, if there is exactly one.
    pub token: Option<String>,
    /// The names in the certificate.
    pub names: CertificateNames,
    /// From where.
    pub ip: Option<IpAddr>,
}

impl fmt::Debug for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proof").field("token", &"[redacted]").field("names", &self.names).finish_non_exhaustive()
    }
}

impl Proof {
    /// The proof of a program, with its token in `Authorization`, or in the header for gateways.
    fn of(parts: &Parts, gateway: bool) -> Self {
        let one = |name: &str| {
            let mut values = parts.headers.get_all(name).iter();
            let (value, None) = (values.next()?, values.next()) else { return None };
            value.to_str().ok()
        };
        let bearer = || {
            let (scheme, token) = one("authorization")?.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
        };
        let token = if gateway { one(TOKEN_HEADER) } else { one(TOKEN_HEADER).or_else(bearer) };
        let names = parts.extensions.get::<CertificateNames>().cloned().unwrap_or_default();
        let ip = parts.extensions.get::<Client>().map(|client| client.ip);
        Self { token: token.filter(|t| !t.is_empty()).map(str::to_owned), names, ip }
    }
}

/// The proof of a program.
pub(crate) struct ByProgram(pub(crate) Proof);

/// The proof of another gateway.
pub(crate) struct ByGateway(pub(crate) Proof);

impl<S: Send + Sync> FromRequestParts<S> for ByProgram {
    type Rejection = ApiError;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        Ok(Self(Proof::of(parts, false)))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for ByGateway {
    type Rejection = ApiError;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        Ok(Self(Proof::of(parts, true)))
    }
}

/// A JSON object. Unknown members are ignored, repeated ones are not.
pub(crate) fn object(headers: &HeaderMap, body: &[u8]) -> Result<Map<String, Value>, ApiError> {
    let mut kinds = headers.get_all(header::CONTENT_TYPE).iter().filter_map(|v| v.to_str().ok());
    let kind = kinds.next().unwrap_or_default().split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if kind != "application/json" || kinds.next().is_some() {
        return Err(ApiError::bad_request("The content type must be application/json."));
    }
    let value: Value = strict_json::from_slice(body)
        .map_err(|e| ApiError::bad_request(format!("The body is not as expected: {e}.")))?;
    match value {
        Value::Object(members) => Ok(members),
        _ => Err(ApiError::bad_request("The body must be a JSON object.")),
    }
}

/// The outermost layer: echoes the id that the caller gave to its request, and says how a client proves itself.
async fn echo(request: Request, next: Next) -> Response {
    let id = request.headers().get("x-request-id").filter(|id| id.len() <= MAX_REQUEST_ID).cloned();
    let mut response = next.run(request).await;
    if let Some(id) = id {
        response.headers_mut().insert("x-request-id", id);
    }
    if response.status() == StatusCode::UNAUTHORIZED && !response.headers().contains_key(header::WWW_AUTHENTICATE) {
        let challenge = HeaderValue::from_static("Bearer realm=\"safeconduct\"");
        response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    }
    response
}
