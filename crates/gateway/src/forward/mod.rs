//! Forwarding: one exchange with the application that a permit opens.

mod frames;
mod pool;
mod streams;
mod tunnel;

use std::sync::Arc;
use std::time::Duration;

use http::header::{self, HeaderName, HeaderValue};
use http::{Request, Response, StatusCode};
use hyper::body::{Body as _, Incoming};
use safeconduct_policy::Permit;
use thiserror::Error;
use tokio::time::timeout;

use crate::body::Body;
use crate::limits::Limits;
use crate::normal::headers::{is_hop_by_hop, is_ours};
use crate::normal::{CanonicalRequest, Upgrade};
use pool::Connection;
pub(crate) use pool::Upstreams;
pub(crate) use streams::{Download, Lease, Upload, Uploaded};
pub(crate) use tunnel::tunnel;

/// Why an exchange with an application failed.
#[derive(Debug, Error)]
pub(crate) enum ForwardError {
    #[error("the upstream address cannot be used: {0}")]
    Address(String),
    #[error("the upstream took no connection: {0}")]
    Connect(String),
    #[error("connecting took too long")]
    ConnectTimeout,
    #[error("the answer took too long")]
    FirstByteTimeout,
    #[error("the exchange broke: {0}")]
    Broken(String),
    #[error("the upstream changed the protocol without being asked")]
    WrongUpgrade,
    #[error("the lease was lost")]
    Lost,
    #[error("{0}")]
    Site(crate::sites::NoWay),
}

/// What the gateway adds to a request, after everything of the kind was taken out.
pub(crate) struct OwnHeaders<'a> {
    pub(crate) client: std::net::IpAddr,
    pub(crate) proto: &'static str,
    pub(crate) request: &'a str,
    pub(crate) assertion: Option<String>,
}

/// The request as the upstream gets it: the canonical form that was decided on, hop-by-hop fields gone, own fields set.
pub(crate) fn outgoing(
    canonical: &CanonicalRequest,
    own: OwnHeaders<'_>,
    body: Body,
) -> Result<Request<Body>, ForwardError> {
    let fault = |e: http::Error| ForwardError::Broken(e.to_string());
    let mut request =
        Request::builder().method(canonical.method.as_str()).uri(canonical.target()).body(body).map_err(fault)?;
    let value = |text: &str| HeaderValue::from_str(text).map_err(|e| fault(e.into()));
    let fields = request.headers_mut();
    fields.insert(header::HOST, value(&canonical.authority.to_string())?);
    for field in &canonical.headers {
        let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(|e| fault(e.into()))?;
        fields.append(name, HeaderValue::from_bytes(&field.value).map_err(|e| fault(e.into()))?);
    }
    if canonical.upgrade == Upgrade::WebSocket {
        fields.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        fields.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    }
    fields.insert("x-forwarded-for", value(&own.client.to_string())?);
    fields.insert("x-forwarded-proto", HeaderValue::from_static(own.proto));
    fields.insert("x-forwarded-host", value(&canonical.authority.to_string())?);
    fields.insert("x-request-id", value(own.request)?);
    if let Some(assertion) = own.assertion {
        fields.insert("x-safeconduct-assertion", value(&assertion)?);
    }
    Ok(request)
}

/// The head of the answer as the client gets it: nothing about the connection behind us, nothing in our name.
pub(crate) fn clean_response(head: &mut http::response::Parts, cookies: &[String]) {
    let nominated: Vec<String> = head
        .headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|v| v.to_str().ok())
        .flat_map(|v| v.split(',').map(|n| n.trim().to_ascii_lowercase()).collect::<Vec<_>>())
        .collect();
    let gone: Vec<HeaderName> = head
        .headers
        .keys()
        .filter(|n| {
            let name = n.as_str();
            is_hop_by_hop(name) || is_ours(name) || name == "alt-svc" || nominated.iter().any(|x| x == name)
        })
        .cloned()
        .collect();
    for name in gone {
        head.headers.remove(name);
    }
    keep_own_cookies(head, cookies);
    head.version = http::Version::default();
    head.extensions.clear();
}

/// An application may not set the cookies of the gateway.
fn keep_own_cookies(head: &mut http::response::Parts, cookies: &[String]) {
    let all: Vec<HeaderValue> = head.headers.get_all(header::SET_COOKIE).iter().cloned().collect();
    let is_ours = |v: &HeaderValue| {
        let name = v.as_bytes().split(|b| *b == b'=').next().unwrap_or_default().trim_ascii();
        cookies.iter().any(|c| c.as_bytes() == name)
    };
    if all.iter().any(is_ours) {
        head.headers.remove(header::SET_COOKIE);
        for value in all.into_iter().filter(|v| !is_ours(v)) {
            head.headers.append(header::SET_COOKIE, value);
        }
    }
}

impl Upstreams {
    /// Sends one request to the target of the permit and waits for the head of the answer.
    pub(crate) async fn exchange(
        &self,
        permit: &Permit,
        request: Request<Body>,
        lease: &Lease,
        uploaded: &Arc<Uploaded>,
    ) -> Result<(Response<Incoming>, Connection), ForwardError> {
        let lost = lease.entry().lost.clone();
        tokio::select! {
            biased;
            () = lost.cancelled() => Err(ForwardError::Lost),
            answer = self.try_exchange(permit, request, lease, uploaded) => answer,
        }
    }

    async fn try_exchange(
        &self,
        permit: &Permit,
        mut request: Request<Body>,
        lease: &Lease,
        uploaded: &Arc<Uploaded>,
    ) -> Result<(Response<Incoming>, Connection), ForwardError> {
        let mut spare = Spare::of(permit, &request);
        loop {
            let resting = if spare.is_used() { None } else { self.take(permit).await };
            let (mut connection, reused) = match resting {
                Some(connection) => (connection, true),
                None => (self.connect(permit).await?, false),
            };
            lease.entry().end_with(connection.abort_token());
            let sending = connection.sender.try_send_request(request);
            match first_byte(sending, uploaded, self.limits()).await {
                None => return Err(ForwardError::FirstByteTimeout),
                Some(Ok(response)) => return Ok((response, connection)),
                Some(Err(mut failure)) => match failure.take_message() {
                    // A resting connection was closed before a byte was sent: nothing happened yet.
                    Some(unsent) if reused => request = unsent,
                    message => match spare.take(message) {
                        Some(again) => request = again,
                        None => return Err(ForwardError::Broken(failure.error().to_string())),
                    },
                },
            }
        }
    }
}

/// A second try for a request to an application behind a connector that was lost. Once, on a new connection: a request that
/// was not sent at all, whatever it is; one of which something was sent only if it is safe to repeat (GET, HEAD, OPTIONS, TRACE
/// without a body) and nothing of the answer came.
struct Spare {
    head: Option<http::request::Parts>,
    behind_connector: bool,
    used: bool,
}

impl Spare {
    fn of(permit: &Permit, request: &Request<Body>) -> Self {
        let behind_connector = permit.target().connector.is_some();
        let repeatable = behind_connector && request.method().is_safe() && request.body().is_end_stream();
        let head = repeatable.then(|| {
            let mut copy = Request::new(()).into_parts().0;
            copy.method = request.method().clone();
            copy.uri = request.uri().clone();
            copy.headers = request.headers().clone();
            copy
        });
        Self { head, behind_connector, used: false }
    }

    fn is_used(&self) -> bool {
        self.used
    }

    /// The request to send again, of one that came back unsent or of the copy; `None` if it may not be repeated.
    fn take(&mut self, unsent: Option<Request<Body>>) -> Option<Request<Body>> {
        if self.used || !self.behind_connector {
            return None;
        }
        self.used = true;
        unsent.or_else(|| self.head.take().map(|head| Request::from_parts(head, crate::body::empty())))
    }
}

/// Waits for the head of the answer. The time runs from the last byte of the request.
async fn first_byte<T>(answer: impl Future<Output = T>, uploaded: &Uploaded, limits: &Limits) -> Option<T> {
    let span: Duration = limits.first_byte;
    let mut answer = std::pin::pin!(answer);
    let mut seen = uploaded.bytes();
    loop {
        if let Ok(answer) = timeout(span, answer.as_mut()).await {
            return Some(answer);
        }
        if uploaded.bytes() == seen {
            return None;
        }
        seen = uploaded.bytes();
    }
}

/// Whether an answer turns the connection into a WebSocket, as was asked.
pub(crate) fn is_websocket_answer(response: &Response<Incoming>, asked: Upgrade) -> Result<bool, ForwardError> {
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Ok(false);
    }
    let agreed =
        response.headers().get(header::UPGRADE).is_some_and(|u| u.as_bytes().eq_ignore_ascii_case(b"websocket"));
    if asked == Upgrade::WebSocket && agreed { Ok(true) } else { Err(ForwardError::WrongUpgrade) }
}
