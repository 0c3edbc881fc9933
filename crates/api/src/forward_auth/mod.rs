//! Traefik's forwardAuth, Caddy's `forward_auth` and nginx's `auth_request`: a gateway asks before it lets a request pass.

use std::net::IpAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use safeconduct_config::Surface;
use safeconduct_model::Reason;

use crate::ApiError;
use crate::point::{ByGateway, DecisionPoint, Point, TOKEN_HEADER};

/// The header that tells nginx where to send someone who is not signed in.
const SIGN_IN: &str = "x-safeconduct-sign-in";
/// The header that carries the reason of a denial.
const REASON: &str = "x-safeconduct-reason";

/// A request that stands at another gateway, as that gateway tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Original {
    /// Its method.
    pub method: String,
    /// `https` or `http`.
    pub scheme: String,
    /// Its host, perhaps with a port.
    pub host: String,
    /// Path and query, as the client sent them.
    pub target: String,
    /// The address of the client.
    pub client: IpAddr,
    /// Its header fields.
    pub headers: HeaderMap,
}

/// The answer about such a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judged {
    /// It may pass, with these fields instead of any that the client sent under their names.
    Allowed {
        /// What the application is told about the asker.
        headers: Vec<(HeaderName, HeaderValue)>,
    },
    /// It may not.
    Denied {
        /// 401, 403 or another error.
        status: StatusCode,
        /// Why.
        reason: Reason,
        /// Where to sign in, if that would help and a person looks at the answer.
        sign_in: Option<String>,
        /// The fields of an answer that explains it.
        headers: HeaderMap,
        /// The explanation: a page for a person, JSON for a program.
        body: Bytes,
    },
}

pub(crate) fn routes() -> Router<Arc<dyn DecisionPoint>> {
    Router::new().route("/forward-auth", any(forward_auth)).route("/auth-request", any(auth_request))
}

/// One field, if it is there exactly once.
pub(crate) fn single<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().ok().map(str::trim).filter(|v| !v.is_empty()),
        _ => None,
    }
}

fn needed<'h>(headers: &'h HeaderMap, names: &[&str]) -> Result<&'h str, ApiError> {
    let found = names.iter().find_map(|name| single(headers, name));
    found.ok_or_else(|| ApiError::bad_request(format!("The gateway must send {} exactly once.", names.join(" or "))))
}

/// The address that the gateway itself saw: the last one, for those before it were claimed by others.
pub(crate) fn last_address(list: &str) -> Option<IpAddr> {
    let last = list.rsplit(',').next().unwrap_or_default().trim();
    let bare = last.strip_prefix('[').and_then(|l| l.split(']').next()).unwrap_or(last);
    bare.parse().ok().or_else(|| last.parse::<std::net::SocketAddr>().ok().map(|at| at.ip()))
}

fn client(headers: &HeaderMap) -> Result<IpAddr, ApiError> {
    let all: Vec<&str> = headers.get_all("x-forwarded-for").iter().filter_map(|v| v.to_str().ok()).collect();
    let found = all.last().copied().and_then(last_address);
    found.ok_or_else(|| ApiError::bad_request("The gateway must send the address of the client in X-Forwarded-For."))
}

/// The fields of the original request: without those that the gateway added for us. A protocol that the client wants to change
/// to is told apart, since not every gateway passes it on.
pub(crate) fn fields(headers: &HeaderMap, upgrade: Option<&str>) -> HeaderMap {
    let mut fields = headers.clone();
    for name in [TOKEN_HEADER, "host", "content-length", "transfer-encoding", "connection", "upgrade"] {
        fields.remove(name);
    }
    if let Some(wanted) = upgrade.and_then(|v| HeaderValue::from_str(v).ok()) {
        fields.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        fields.insert(header::UPGRADE, wanted);
    }
    fields
}

async fn forward_auth(State(point): Point, ByGateway(proof): ByGateway, parts: Parts) -> Result<Response, ApiError> {
    let asker = point.admit(&proof, Surface::ForwardAuth, None)?;
    let told = &parts.headers;
    let original = Original {
        method: needed(told, &["x-forwarded-method"])?.to_owned(),
        scheme: needed(told, &["x-forwarded-proto"])?.to_owned(),
        host: needed(told, &["x-forwarded-host"])?.to_owned(),
        target: needed(told, &["x-forwarded-uri"])?.to_owned(),
        client: client(told)?,
        // These gateways do not say whether the protocol is to change; what a client says of it is not believed.
        headers: fields(told, None),
    };
    relayed(point.judge(&asker, original).await?)
}

/// The answer for a gateway that relays it to the client as it is.
pub(crate) fn relayed(judged: Judged) -> Result<Response, ApiError> {
    Ok(match judged {
        Judged::Denied { status: StatusCode::UNAUTHORIZED, sign_in: Some(to), .. } => {
            let mut response = StatusCode::FOUND.into_response();
            let to = HeaderValue::from_str(&to).map_err(|_| ApiError::internal())?;
            response.headers_mut().insert(header::LOCATION, to);
            response
        }
        other => answer(other),
    })
}

async fn auth_request(State(point): Point, ByGateway(proof): ByGateway, parts: Parts) -> Result<Response, ApiError> {
    let asker = point.admit(&proof, Surface::AuthRequest, None)?;
    let told = &parts.headers;
    let original = Original {
        method: needed(told, &["x-original-method"])?.to_owned(),
        scheme: needed(told, &["x-original-proto", "x-forwarded-proto"])?.to_owned(),
        host: needed(told, &["x-original-host", "x-forwarded-host"])?.to_owned(),
        target: needed(told, &["x-original-uri"])?.to_owned(),
        client: client(told)?,
        headers: fields(told, single(told, "x-original-upgrade")),
    };
    Ok(match point.judge(&asker, original).await? {
        Judged::Denied { status: StatusCode::UNAUTHORIZED, reason, sign_in, mut headers, body } => {
            if let Some(to) = sign_in.as_deref().and_then(|to| HeaderValue::from_str(to).ok()) {
                headers.insert(SIGN_IN, to);
            }
            answer(Judged::Denied { status: StatusCode::UNAUTHORIZED, reason, sign_in, headers, body })
        }
        // nginx knows 401 and 403; with anything else it answers 500 itself, which lets nobody pass either.
        other => answer(other),
    })
}

fn answer(judged: Judged) -> Response {
    match judged {
        Judged::Allowed { headers } => {
            let mut response = StatusCode::OK.into_response();
            response.headers_mut().extend(headers);
            response
        }
        Judged::Denied { status, reason, headers, body, .. } => {
            let mut response = (status, body).into_response();
            let fields = response.headers_mut();
            fields.remove(header::CONTENT_TYPE);
            fields.extend(headers);
            fields.insert(REASON, HeaderValue::from_static(reason.code()));
            if status == StatusCode::UNAUTHORIZED {
                let challenge = HeaderValue::from_static("Safeconduct realm=\"safeconduct\"");
                fields.insert(header::WWW_AUTHENTICATE, challenge);
            }
            response
        }
    }
}
