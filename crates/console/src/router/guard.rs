//! Who may ask: the visitor of a page, the operator of the console, and the token on every form.

use axum::extract::{Form, FromRequest, FromRequestParts, Query, Request};
use axum::http::header::{CONTENT_TYPE, HOST, ORIGIN};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use maud::Markup;
use safeconduct_access::Visitor;
use subtle::ConstantTimeEq;

use super::Shared;
use crate::parts::url;
use crate::view::{Frame, Link, Problem};
use crate::{Trouble, pages};

/// Where the portal serves its assets.
const ASSETS: &str = "/assets";

/// A page with its status.
pub(crate) fn page(status: StatusCode, markup: Markup) -> Response {
    (status, [(CONTENT_TYPE, "text/html; charset=utf-8")], markup.into_string()).into_response()
}

/// An error page of the portal.
pub(crate) fn problem(shared: &Shared, status: StatusCode, detail: Option<String>) -> Response {
    let view = Problem {
        assets: ASSETS.to_owned(),
        status: status.as_u16(),
        detail,
        next: Some(Link::to("My access", "/")),
        request: None,
        now: shared.backend.now(),
    };
    page(status, pages::problem(&view))
}

/// The page of a trouble.
pub(crate) fn trouble(shared: &Shared, what: Trouble) -> Response {
    match what {
        Trouble::NotFound => problem(shared, StatusCode::NOT_FOUND, None),
        Trouble::Refused { reason } => problem(shared, StatusCode::FORBIDDEN, Some(reason)),
        Trouble::Unavailable { what } => problem(shared, StatusCode::SERVICE_UNAVAILABLE, Some(what)),
    }
}

/// The frame of a page, whoever looks.
pub(crate) struct Anyone(pub(crate) Frame);

/// The frame of a page for someone who is signed in.
pub(crate) struct Signed(pub(crate) Frame, pub(crate) Visitor);

/// The frame of a page for someone whom policy lets into the console.
pub(crate) struct Operator(pub(crate) Frame, pub(crate) Visitor);

impl FromRequestParts<Shared> for Anyone {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, shared: &Shared) -> Result<Self, Response> {
        let query = Query::<Vec<(String, String)>>::try_from_uri(&parts.uri).map_err(|_| {
            problem(shared, StatusCode::BAD_REQUEST, Some("The address has a query that cannot be read.".into()))
        })?;
        Ok(Self(Frame {
            visitor: parts.extensions.get::<Visitor>().cloned(),
            now: shared.backend.now(),
            organisation: shared.backend.organisation(),
            path: parts.uri.path().to_owned(),
            query: query.0,
            assets: ASSETS.to_owned(),
        }))
    }
}

impl FromRequestParts<Shared> for Signed {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, shared: &Shared) -> Result<Self, Response> {
        let Anyone(frame) = Anyone::from_request_parts(parts, shared).await?;
        match frame.visitor.clone() {
            Some(visitor) => Ok(Self(frame, visitor)),
            None if parts.method == Method::GET => {
                let back = parts.uri.path_and_query().map_or("/", |p| p.as_str());
                Err(Redirect::to(&format!("/sign-in?return={}", url::encode(back))).into_response())
            }
            None => Err(problem(shared, StatusCode::UNAUTHORIZED, Some("Sign in, then do it again.".into()))),
        }
    }
}

impl FromRequestParts<Shared> for Operator {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, shared: &Shared) -> Result<Self, Response> {
        let Signed(frame, visitor) = Signed::from_request_parts(parts, shared).await?;
        if visitor.operator {
            return Ok(Self(frame, visitor));
        }
        Err(problem(shared, StatusCode::FORBIDDEN, Some("No rule opens the console for you.".into())))
    }
}

/// The fields of a form that carries the right token.
pub(crate) struct Checked(Vec<(String, String)>);

impl Checked {
    /// The first value of a field; empty if it is absent.
    pub(crate) fn take(&mut self, name: &str) -> String {
        self.0.iter_mut().find(|(k, _)| k == name).map(|(_, v)| std::mem::take(v)).unwrap_or_default()
    }
}

impl FromRequest<Shared> for Checked {
    type Rejection = Response;

    /// Where a visitor is known the token must be theirs. Before sign-in there is none; then [`same_site`] holds alone.
    async fn from_request(request: Request, shared: &Shared) -> Result<Self, Response> {
        let expected = request.extensions().get::<Visitor>().map(|v| v.csrf.clone());
        let header = request.headers().get("x-csrf-token").and_then(|v| v.to_str().ok()).map(str::to_owned);
        let fields = if request.headers().contains_key(CONTENT_TYPE) {
            let form = Form::<Vec<(String, String)>>::from_request(request, shared).await;
            form.map_err(|e| problem(shared, e.status(), Some("The form cannot be read.".into())))?.0
        } else {
            Vec::new()
        };
        let given = fields.iter().find(|(k, _)| k == "csrf").map(|(_, v)| v.clone()).or(header).unwrap_or_default();
        let fits = match expected {
            // An empty token would fit an empty field: a visitor without a token can change nothing.
            Some(token) => !token.is_empty() && bool::from(token.as_bytes().ct_eq(given.as_bytes())),
            None => true,
        };
        if fits {
            Ok(Self(fields))
        } else {
            let why = "The form was not made for this session. Open the page again, then repeat what you did.";
            Err(problem(shared, StatusCode::FORBIDDEN, Some(why.into())))
        }
    }
}

/// Refuses what another site makes a browser send. Holds for forms before sign-in too, where no token exists.
pub(crate) async fn same_site(request: Request, next: Next) -> Response {
    if request.method() == Method::GET
        || request.method() == Method::HEAD
        || is_same_site(request.headers(), request.uri().authority().map(axum::http::uri::Authority::as_str))
    {
        next.run(request).await
    } else {
        (
            StatusCode::FORBIDDEN,
            [(CONTENT_TYPE, "text/plain; charset=utf-8")],
            "This form came from another site. Open the page itself, then repeat what you did.\n",
        )
            .into_response()
    }
}

/// Browsers tell by `Sec-Fetch-Site`, older ones by `Origin`. A client that sends neither is no browser with cookies of ours.
fn is_same_site(headers: &HeaderMap, authority: Option<&str>) -> bool {
    let text = |name: &str| headers.get(name).map(|v| v.to_str().unwrap_or("unreadable"));
    match (text("sec-fetch-site"), text(ORIGIN.as_str())) {
        (Some(site), _) => matches!(site, "same-origin" | "none"),
        (None, Some(origin)) => {
            let of_origin = origin.split_once("://").map(|(_, host)| host);
            of_origin.is_some() && of_origin == text(HOST.as_str()).or(authority)
        }
        (None, None) => true,
    }
}
