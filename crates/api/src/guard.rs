//! Whether a browser means what it sends: origin, fetch metadata, forgery token.

use axum::extract::{FromRequestParts, OptionalFromRequestParts};
use http::HeaderMap;
use http::request::Parts;
use safeconduct_access::Visitor;
use safeconduct_authn::one_time::same_text;

use crate::ApiError;

/// The header that carries the forgery token of the session.
pub const CSRF_HEADER: &str = "x-csrf-token";

/// Refuses a state-changing request that a browser sends from a page that is not ours. A program that is no browser sends
/// neither header, and has no cookies that someone else could ride on.
pub(crate) fn same_site(headers: &HeaderMap, origin: &str) -> Result<(), ApiError> {
    let all = |name: &str, fits: &dyn Fn(&str) -> bool| {
        headers.get_all(name).iter().all(|value| value.to_str().is_ok_and(fits))
    };
    let from_us = all("origin", &|given| given == origin) && all("sec-fetch-site", &|given| given == "same-origin");
    if from_us { Ok(()) } else { Err(ApiError::forged()) }
}

/// Refuses a state-changing request of a session without its forgery token.
pub(crate) fn meant(headers: &HeaderMap, origin: &str, visitor: &Visitor) -> Result<(), ApiError> {
    same_site(headers, origin)?;
    let mut given = headers.get_all(CSRF_HEADER).iter();
    match (given.next().map(|value| value.to_str()), given.next()) {
        (Some(Ok(token)), None) if !visitor.csrf.is_empty() && same_text(token, &visitor.csrf) => Ok(()),
        _ => Err(ApiError::forged()),
    }
}

/// The visitor behind a request, which must be there.
pub(crate) struct SignedInVisitor(pub(crate) Visitor);

impl<S: Send + Sync> FromRequestParts<S> for SignedInVisitor {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        parts.extensions.get::<Visitor>().cloned().map(Self).ok_or_else(ApiError::sign_in_required)
    }
}

impl<S: Send + Sync> OptionalFromRequestParts<S> for SignedInVisitor {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, ApiError> {
        Ok(parts.extensions.get::<Visitor>().cloned().map(Self))
    }
}
