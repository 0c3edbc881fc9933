//! Envoy's external authorization: over HTTP below `/ext-authz`, and as the gRPC service
//! `envoy.service.auth.v3.Authorization`.

mod proto;

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::{any, post};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use http_body_util::{BodyExt, Full};
use safeconduct_config::Surface;

use crate::ApiError;
use crate::forward_auth::{Judged, Original, fields, last_address, relayed, single};
use crate::point::{ByGateway, ByProgram, DecisionPoint, Point};
use proto::{Check, Message};

/// What stands in front of the original path.
const PREFIX: &str = "/ext-authz";
/// The header that carries the address of the client. Not the usual one: to that, Envoy adds an address of its own when it asks.
const CLIENT: &str = "x-safeconduct-client";
/// The frame of a message: whether it is compressed, and its length.
const FRAME: usize = 5;

pub(crate) fn routes() -> Router<Arc<dyn DecisionPoint>> {
    Router::new()
        .route(&format!("{PREFIX}/"), any(over_http))
        .route(&format!("{PREFIX}/{{*path}}"), any(over_http))
        .route("/envoy.service.auth.v3.Authorization/Check", post(over_grpc))
}

async fn over_http(State(point): Point, ByGateway(proof): ByGateway, parts: Parts) -> Result<Response, ApiError> {
    let asker = point.admit(&proof, Surface::ExtAuthz, None)?;
    let target = parts.uri.path_and_query().map_or("", |t| t.as_str());
    let host = single(&parts.headers, "host").or_else(|| parts.uri.authority().map(|a| a.as_str()));
    let proto = single(&parts.headers, "x-forwarded-proto");
    let missing =
        |what: &str| ApiError::bad_request(format!("The gateway must send {what}; see docs/decision-point.md."));
    let original = Original {
        method: parts.method.to_string(),
        scheme: proto.ok_or_else(|| missing("x-forwarded-proto"))?.to_owned(),
        host: host.ok_or_else(|| missing("the host"))?.to_owned(),
        target: target.strip_prefix(PREFIX).unwrap_or_default().to_owned(),
        client: single(&parts.headers, CLIENT).and_then(last_address).ok_or_else(|| missing(CLIENT))?,
        headers: fields(&parts.headers, single(&parts.headers, "upgrade")),
    };
    let judged = point.judge(&asker, original).await?;
    let remove = if let Judged::Allowed { headers } = &judged { unsaid(headers).join(",") } else { String::new() };
    let mut response = relayed(judged)?;
    if let Ok(names) = HeaderValue::from_str(&remove)
        && !names.is_empty()
    {
        response.headers_mut().insert("x-envoy-auth-headers-to-remove", names);
    }
    Ok(response)
}

/// The fields of which we have nothing to say this time; a client may not send them either.
fn unsaid(said: &[(HeaderName, HeaderValue)]) -> Vec<&'static str> {
    let ours = ["cookie", "x-safeconduct-assertion"];
    ours.into_iter().filter(|name| said.iter().all(|(n, _)| n != name)).collect()
}

async fn over_grpc(State(point): Point, ByProgram(proof): ByProgram, headers: HeaderMap, body: Bytes) -> Response {
    if single(&headers, "content-type").is_none_or(|kind| !kind.starts_with("application/grpc")) {
        return StatusCode::UNSUPPORTED_MEDIA_TYPE.into_response();
    }
    match check(&*point, proof, &body).await {
        Ok(message) => framed(message),
        Err(error) => {
            let code = match error.status() {
                StatusCode::UNAUTHORIZED => proto::UNAUTHENTICATED,
                StatusCode::FORBIDDEN => proto::PERMISSION_DENIED,
                StatusCode::BAD_REQUEST => 3,
                StatusCode::SERVICE_UNAVAILABLE => 14,
                _ => 13,
            };
            failed(code, error.code())
        }
    }
}

async fn check(point: &dyn DecisionPoint, proof: crate::Proof, body: &[u8]) -> Result<Message, ApiError> {
    let asker = point.admit(&proof, Surface::ExtAuthz, None)?;
    let malformed = || ApiError::bad_request("The body is not one uncompressed CheckRequest.");
    let (frame, message) = body.split_at_checked(FRAME).ok_or_else(malformed)?;
    let length = frame.get(1..).and_then(|l| <[u8; 4]>::try_from(l).ok()).map(u32::from_be_bytes);
    if frame.first() != Some(&0) || length.and_then(|l| usize::try_from(l).ok()) != Some(message.len()) {
        return Err(malformed());
    }
    let check = Check::read(message).map_err(|_| malformed())?;
    let judged = point.judge(&asker, original(check)?).await?;
    Ok(match judged {
        Judged::Allowed { headers } => {
            let without = unsaid(&headers);
            let fields: Vec<_> = headers.iter().map(|(n, v)| (n.as_str(), v.as_bytes())).collect();
            proto::allowed(&fields, &without)
        }
        Judged::Denied { status, sign_in, headers, body, .. } => {
            let mut fields: Vec<_> = headers.iter().map(|(n, v)| (n.as_str(), v.as_bytes())).collect();
            let unauthenticated = status == StatusCode::UNAUTHORIZED;
            let code = if unauthenticated { proto::UNAUTHENTICATED } else { proto::PERMISSION_DENIED };
            match sign_in.as_deref().filter(|_| unauthenticated) {
                Some(to) => {
                    fields.push(("location", to.as_bytes()));
                    proto::denied(code, StatusCode::FOUND.as_u16(), &fields, b"")
                }
                None => proto::denied(code, status.as_u16(), &fields, &body),
            }
        }
    })
}

fn original(check: Check) -> Result<Original, ApiError> {
    let mut told = HeaderMap::new();
    for (name, value) in &check.headers {
        if name.starts_with(':') {
            continue;
        }
        let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) else {
            return Err(ApiError::bad_request("A header field of the request is malformed."));
        };
        told.append(name, value);
    }
    let upgrade = single(&told, "upgrade").map(str::to_owned);
    let client = check.source.parse().map_err(|_| ApiError::bad_request("The address of the client is missing."))?;
    let scheme = single(&told, "x-forwarded-proto").map_or(check.scheme, str::to_owned);
    let headers = fields(&told, upgrade.as_deref());
    Ok(Original { method: check.method, scheme, host: check.host, target: check.path, client, headers })
}

fn framed(message: Message) -> Response {
    let message = message.into_bytes();
    let mut body = vec![0];
    body.extend_from_slice(&u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes());
    body.extend_from_slice(&message);
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    let body = Full::new(Bytes::from(body)).with_trailers(async move { Some(Ok(trailers)) });
    let mut response = Response::new(Body::new(body));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    response
}

fn failed(code: u64, words: &'static str) -> Response {
    let mut response = Response::new(Body::empty());
    let fields = response.headers_mut();
    fields.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    fields.insert("grpc-status", HeaderValue::from(code));
    fields.insert("grpc-message", HeaderValue::from_static(words));
    response
}
