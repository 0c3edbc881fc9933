//! The one shape of errors: `{"error":{"code","words","request"}}`.

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use safeconduct_model::Reason;
use serde_json::json;
use thiserror::Error;

use crate::Client;

/// An answer that is not what was asked for. The words are for whoever asked; they hold nothing that they may not know.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{code}: {words}")]
pub struct ApiError {
    status: StatusCode,
    code: &'static str,
    words: String,
}

impl ApiError {
    /// An error with a status of its own. `code` is stable: once published it is never renamed.
    #[must_use]
    pub fn new(status: StatusCode, code: &'static str, words: impl Into<String>) -> Self {
        Self { status, code, words: words.into() }
    }

    /// 400: the request is malformed; the words say where and what to do.
    #[must_use]
    pub fn bad_request(words: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_request", words)
    }

    /// 401: nobody is signed in.
    #[must_use]
    pub fn sign_in_required() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, Reason::SignInRequired.code(), Reason::SignInRequired.words())
    }

    /// 401: the proof of identity did not hold. Deliberately says no more.
    #[must_use]
    pub fn sign_in_failed() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "sign_in_failed", "The sign-in did not succeed. Try again.")
    }

    /// 403: policy or role says no.
    #[must_use]
    pub fn forbidden(reason: Reason) -> Self {
        Self::new(StatusCode::FORBIDDEN, reason.code(), reason.words())
    }

    /// 403: the request does not come from a page of ours.
    #[must_use]
    pub fn forged() -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "forged",
            "The request does not come from a page of Safeconduct. Reload the page.",
        )
    }

    /// 404: there is no such thing.
    #[must_use]
    pub fn not_found(words: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", words)
    }

    /// 409: it does not fit what is there.
    #[must_use]
    pub fn conflict(words: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "conflict", words)
    }

    /// 422: well-formed, but refused by a check; the words say where and what to do.
    #[must_use]
    pub fn refused(words: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "refused", words)
    }

    /// 429: too often.
    #[must_use]
    pub fn limit_reached() -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, Reason::LimitReached.code(), "Too many attempts. Wait a few minutes.")
    }

    /// 503: something that is needed does not answer.
    #[must_use]
    pub fn unavailable(words: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", words)
    }

    /// 500: something failed on our side. What it was goes to the log, not to the asker.
    #[must_use]
    pub fn internal() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, Reason::InternalError.code(), Reason::InternalError.words())
    }

    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        self.code
    }

    /// The status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }
}

impl IntoResponse for ApiError {
    /// An empty answer that carries the error; the outermost layer writes the body, which needs the id of the request.
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// The outermost layer: writes errors in their one shape and forbids caches to keep anything.
pub(crate) async fn finish(request: Request, next: Next) -> Response {
    let id = request.extensions().get::<Client>().map(|client| client.request.clone());
    let mut response = next.run(request).await;
    if let Some(error) = response.extensions_mut().remove::<ApiError>() {
        let body = json!({ "error": { "code": error.code, "words": error.words, "request": id } });
        response = (error.status, axum::Json(body)).into_response();
    }
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// No such route.
pub(crate) async fn no_route() -> ApiError {
    ApiError::not_found("There is nothing here.")
}

/// A route, but not with this method.
pub(crate) async fn no_method() -> ApiError {
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "This address does not take this method.")
}
