//! The normaliser: bytes from a client become one [`CanonicalRequest`], or are refused.
//!
//! Order: framing (`scan`, `chunk`, in front of the HTTP library) → host → header names → path. What comes out is what is
//! decided on and what is forwarded. Nothing here repairs a request that two parsers could read in two ways.

pub(crate) mod chunk;
pub(crate) mod headers;
pub(crate) mod host;
pub(crate) mod path;
pub(crate) mod scan;

use http::request::Parts;
use http::{Version, header};
use safeconduct_model::{Hardening, Reason};

use crate::limits::Limits;
use crate::ports::CookieToken;
pub(crate) use headers::Header;
pub(crate) use host::Authority;

/// A request that is refused before policy is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    /// The HTTP status.
    pub(crate) status: u16,
    /// The reason of the record.
    pub(crate) reason: Reason,
    /// The stable detail code of the record. The client is not told.
    pub(crate) code: &'static str,
}

impl Refused {
    /// Malformed or ambiguous.
    pub(crate) const fn bad(code: &'static str) -> Self {
        Self { status: 400, reason: Reason::BadRequest, code }
    }

    /// Over a bound.
    pub(crate) const fn limit(status: u16, code: &'static str) -> Self {
        Self { status, reason: Reason::LimitReached, code }
    }
}

/// A request in its one canonical form. No stage after the edge looks at the types of the HTTP library.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CanonicalRequest {
    /// The method, as given.
    pub(crate) method: String,
    /// The one host that it came for.
    pub(crate) authority: Authority,
    /// The canonical path.
    pub(crate) path: String,
    /// The query, as given.
    pub(crate) query: Option<String>,
    /// End-to-end fields that may be forwarded, in the order of arrival.
    pub(crate) headers: Vec<Header>,
    /// The session cookie, already taken out of the fields.
    pub(crate) cookie: Option<CookieToken>,
    /// Whether it wants to become something else.
    pub(crate) upgrade: Upgrade,
    /// The length that the client declared for the body.
    pub(crate) length: Option<u64>,
    /// Whether the client waits for `100 Continue`.
    pub(crate) expects_continue: bool,
}

/// What a connection may become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Upgrade {
    /// It stays as it is.
    None,
    /// A WebSocket, if the upstream agrees.
    WebSocket,
}

impl CanonicalRequest {
    /// The first field of this name.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|h| h.name == name).and_then(|h| std::str::from_utf8(&h.value).ok())
    }

    /// Path and query, as forwarded.
    pub(crate) fn target(&self) -> String {
        match &self.query {
            Some(query) => format!("{}?{query}", self.path),
            None => self.path.clone(),
        }
    }
}

/// The host of a request, before anything else is looked at.
pub(crate) fn authority(parts: &Parts) -> Result<Authority, Refused> {
    let mut hosts = parts.headers.get_all(header::HOST).iter();
    let host = hosts.next();
    if hosts.next().is_some() {
        return Err(Refused::bad("two_hosts"));
    }
    let host = host.map(|h| Authority::parse(h.as_bytes())).transpose()?;
    let in_target = parts.uri.authority().map(|a| Authority::parse(a.as_str().as_bytes())).transpose()?;
    match (host, in_target) {
        (Some(host), Some(target)) if host == target => Ok(host),
        (Some(_), Some(_)) => Err(Refused::bad("host_differs")),
        (Some(host), None) => Ok(host),
        // Only HTTP/2 may go without a Host field.
        (None, Some(target)) if parts.version == Version::HTTP_2 => Ok(target),
        (None, _) => Err(Refused::bad("no_host")),
    }
}

/// The canonical form of a request whose host is known, under the opt-outs of its application.
pub(crate) fn canonical(
    parts: &Parts,
    authority: Authority,
    hardening: Hardening,
    limits: &Limits,
    cookies: &[String],
) -> Result<CanonicalRequest, Refused> {
    let method = parts.method.as_str();
    match method {
        "CONNECT" => return Err(Refused::limit(501, "connect")),
        "TRACE" => return Err(Refused { status: 405, ..Refused::bad("trace") }),
        _ => {}
    }
    if parts.uri.scheme_str().is_some_and(|s| s != "https" && s != "http") {
        return Err(Refused::bad("scheme"));
    }
    let fields = headers::canonical(parts, hardening, limits, cookies)?;
    let target_bytes = parts.uri.path().len() + parts.uri.query().map_or(0, |q| q.len() + 1);
    if target_bytes > limits.target_bytes {
        return Err(Refused::limit(414, "target_too_long"));
    }
    let path = path::canonical(parts.uri.path().as_bytes(), hardening).map_err(Refused::bad)?;
    let query = parts.uri.query().map(path::query).transpose().map_err(Refused::bad)?;
    if let (Some(bound), Some(length)) = (limits.body_bytes, fields.length)
        && length > bound
    {
        return Err(Refused::limit(413, "body_too_long"));
    }
    let upgrade = match fields.websocket {
        true if parts.version == Version::HTTP_11 && method == "GET" && fields.length.unwrap_or(0) == 0 => {
            Upgrade::WebSocket
        }
        true => return Err(Refused::bad("websocket")),
        false => Upgrade::None,
    };
    Ok(CanonicalRequest {
        method: method.to_owned(),
        authority,
        path,
        query,
        headers: fields.headers,
        cookie: fields.cookie,
        upgrade,
        length: fields.length,
        expects_continue: fields.expects_continue,
    })
}
