//! Reading requests: strict types, strict sizes.

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use http::request::Parts;
use http::{HeaderMap, StatusCode, header};
use safeconduct_authn::strict_json;
use serde::de::DeserializeOwned;

use crate::{ApiError, Client};

/// The longest body, in bytes.
pub const MAX_BODY_BYTES: usize = 64 * 1024;

/// A JSON body of exactly the expected shape.
pub(crate) struct Json<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let bytes = body(request, state, "application/json").await?;
        strict_json::from_slice(&bytes)
            .map(Self)
            .map_err(|e| ApiError::bad_request(format!("The body is not as expected: {e}.")))
    }
}

/// A compact JWS as the whole body.
pub(crate) struct Jws(pub(crate) String);

impl<S: Send + Sync> FromRequest<S> for Jws {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let bytes = body(request, state, "application/jwt").await?;
        let text = String::from_utf8(bytes.to_vec()).map_err(|_| ApiError::bad_request("The body is not a token."))?;
        Ok(Self(text))
    }
}

/// A query of exactly the expected shape.
pub(crate) struct Asked<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Asked<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let query = Query::<T>::from_request_parts(parts, state).await;
        query
            .map(|Query(q)| Self(q))
            .map_err(|_| ApiError::bad_request("The query has an unknown, repeated or malformed parameter."))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Client {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        parts.extensions.get::<Self>().cloned().ok_or_else(|| {
            tracing::error!("a request came without its client: the router is mounted without the extension");
            ApiError::internal()
        })
    }
}

async fn body<S: Send + Sync>(request: Request, state: &S, kind: &'static str) -> Result<Bytes, ApiError> {
    if !has_type(request.headers(), kind) {
        let words = format!("The body must be {kind}.");
        return Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "wrong_content_type", words));
    }
    Bytes::from_request(request, state).await.map_err(|e| {
        if e.status() == StatusCode::PAYLOAD_TOO_LARGE {
            let words = format!("The body may have {MAX_BODY_BYTES} bytes at most.");
            ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", words)
        } else {
            ApiError::bad_request("The body could not be read.")
        }
    })
}

/// Whether there is exactly one content type, the expected one, in UTF-8.
fn has_type(headers: &HeaderMap, kind: &str) -> bool {
    let mut values = headers.get_all(header::CONTENT_TYPE).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return false };
    let Ok(value) = value.to_str() else { return false };
    let value = value.to_ascii_lowercase();
    match value.split_once(';') {
        None => value.trim() == kind,
        Some((essence, parameter)) => essence.trim() == kind && parameter.trim() == "charset=utf-8",
    }
}
