//! Answers that the gateway gives itself: denials, failures, the way to sign in.

use http::header::{self, HeaderValue};
use http::{Response, StatusCode};
use safeconduct_http::Head;
use safeconduct_model::{AppId, Application, Ask, Principal, Reason, RequestId, Timestamp};
use safeconduct_policy::Denial;
use std::sync::Arc;

use crate::body::{Body, empty, full};
use crate::ports::{Control, DenialPage, Problem};
use crate::span::Told;
use crate::trace::Outcome;

/// What the pages of the gateway may load: their own style, script and pictures, from the same host, nothing inline.
const CSP: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; font-src 'self'; \
                   form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// Whether a person looks at the answer: only then a page or a redirect is of use.
pub(crate) fn is_page_load(request: &Head) -> bool {
    if !matches!(request.method(), "GET" | "HEAD") {
        return false;
    }
    match request.header("sec-fetch-mode") {
        Some(mode) => mode == "navigate",
        None => {
            request.header("x-requested-with").is_none()
                && request.header("accept").is_some_and(|a| a.to_ascii_lowercase().contains("text/html"))
        }
    }
}

/// The answer to a denied request.
pub(crate) struct Denied<'a> {
    pub(crate) app: &'a Arc<Application>,
    pub(crate) ask: &'a Ask,
    pub(crate) denial: &'a Denial,
    pub(crate) now: Timestamp,
    pub(crate) scheme: &'static str,
    /// The canonical authority of the request.
    pub(crate) authority: &'a str,
}

impl Denied<'_> {
    pub(crate) fn answer(&self, control: &dyn Control, request: &Head) -> Response<Body> {
        Told::put(self.written(control, request), Outcome::Denied, self.denial.reason)
    }

    fn written(&self, control: &dyn Control, request: &Head) -> Response<Body> {
        let id = &self.ask.request;
        let signed_out = self.denial.reason == Reason::SignInRequired;
        let status = match self.denial.reason {
            Reason::SignInRequired => StatusCode::UNAUTHORIZED,
            Reason::RecordUnavailable | Reason::ClockUnreliable => StatusCode::SERVICE_UNAVAILABLE,
            Reason::InternalError => StatusCode::INTERNAL_SERVER_ERROR,
            _ => StatusCode::FORBIDDEN,
        };
        if !is_page_load(request) {
            let mut response = json(status, self.denial, id);
            if signed_out {
                let challenge = HeaderValue::from_static("Safeconduct realm=\"safeconduct\"");
                response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
            }
            return response;
        }
        let return_to = format!("{}://{}{}", self.scheme, self.authority, request.path_and_query());
        if signed_out {
            return redirect(&control.sign_in_url(&self.app.id, &return_to), id);
        }
        let page = DenialPage {
            request: id.clone(),
            at: self.now,
            app: Arc::clone(self.app),
            person: match &self.ask.who.principal {
                Principal::Person(person) => Some(person.clone()),
                Principal::Workload(_) | Principal::Nobody => None,
            },
            method: self.ask.what.method.clone(),
            path: self.ask.what.path.clone(),
            return_to,
            reason: self.denial.reason,
            failing: self.denial.failing.clone(),
            remedies: self.denial.remedies.clone(),
            rules: self.denial.grounds.rules.clone(),
        };
        html(status, control.denial_page(&page), id)
    }
}

/// The answer to a request that failed.
pub(crate) fn problem(
    control: &dyn Control,
    request: Option<&Head>,
    id: &RequestId,
    status: u16,
    reason: Reason,
    app: Option<&AppId>,
) -> Response<Body> {
    let code = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if request.is_some_and(is_page_load) {
        let page = Problem { request: id.clone(), status: code.as_u16(), reason, app: app.cloned() };
        return Told::put(html(code, control.problem_page(&page), id), Outcome::Failed, reason);
    }
    Told::put(json(code, &Denial::plain(reason, Vec::new()), id), Outcome::Failed, reason)
}

/// A refusal of bytes that are not a request. It says as little as possible, and the connection ends.
pub(crate) fn refusal(id: &RequestId, status: u16, reason: Reason) -> Response<Body> {
    let code = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST);
    Told::put(json(code, &Denial::plain(reason, Vec::new()), id), Outcome::Refused, reason)
}

/// The answer when everything else failed: it needs nobody.
pub(crate) fn last_resort() -> Response<Body> {
    let body = r#"{"error":{"code":"internal_error","words":"Something failed on our side, so the answer is no."}}"#;
    with_type(StatusCode::INTERNAL_SERVER_ERROR, "application/json", body.to_owned())
}

fn redirect(to: &str, id: &RequestId) -> Response<Body> {
    let Ok(location) = HeaderValue::from_str(to) else { return last_resort() };
    let mut response = Response::new(empty());
    *response.status_mut() = StatusCode::SEE_OTHER;
    response.headers_mut().insert(header::LOCATION, location);
    finish(response, id)
}

pub(crate) fn json(status: StatusCode, denial: &Denial, id: &RequestId) -> Response<Body> {
    let body = serde_json::json!({ "error": {
        "code": denial.reason,
        "words": denial.reason.words(),
        "failing": denial.failing,
        "remedies": denial.remedies,
        "request": id,
    }});
    Told::put(finish(with_type(status, "application/json", body.to_string()), id), Outcome::Denied, denial.reason)
}

fn html(status: StatusCode, page: String, id: &RequestId) -> Response<Body> {
    finish(with_type(status, "text/html; charset=utf-8", page), id)
}

fn with_type(status: StatusCode, kind: &'static str, body: String) -> Response<Body> {
    let mut response = Response::new(full(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

fn finish(mut response: Response<Body>, id: &RequestId) -> Response<Body> {
    let fields = response.headers_mut();
    fields.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    fields.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(CSP));
    fields.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    fields.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    stamp(response, id)
}

/// Puts the request id on an answer.
pub(crate) fn stamp(mut response: Response<Body>, id: &RequestId) -> Response<Body> {
    if let Ok(mut value) = HeaderValue::from_str(id.as_str()) {
        // No two are the same, so over HTTP/2 it is no entry of the table of fields (RFC 7541, 6.2.3).
        value.set_sensitive(true);
        response.headers_mut().insert("x-request-id", value);
    }
    response
}
