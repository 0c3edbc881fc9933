//! Tunnels: any protocol over TCP, with the same identity, decision, lease and record as a request.
//!
//! A program on a person's machine asks for an application whose upstream is `tcp://host:port`, over one of two carriers that
//! mean the same:
//!
//! | carrier | how it is asked for | end of one direction | cut |
//! |---|---|---|---|
//! | HTTP/2 | `CONNECT`, `:authority` the application's host (RFC 9113, 8.5) | `END_STREAM` | `RST_STREAM` |
//! | WebSocket | `GET` of [`PATH`] on the application's host | an empty message | close 1008 |
//!
//! It proves itself with a token bound to its key (`Authorization: DPoP …`, `DPoP: …`), never with a cookie: a page in a
//! browser cannot open a tunnel. The order is that of a request: prove and identify, decide, take a lease, record, and only
//! then dial. From then on nothing of the protocol inside is looked at.

mod admit;
mod door;
pub(crate) mod frames;
mod relay;
mod socket;
mod stream;
mod token;

use http::HeaderMap;
use std::sync::Arc;

use safeconduct_http::Authority;
use safeconduct_model::{Application, RequestId};

use crate::exchange::Client;

pub(crate) use admit::Opened;
pub(crate) use door::{accepted, connect, websocket};
pub(crate) use socket::Socket;
pub(crate) use stream::Streams;
pub use token::{BoundToken, TokenRefused, TokenShown};

/// Where the WebSocket carrier is asked for, on the host of an application. The proof of either carrier names this address.
pub const PATH: &str = "/.safeconduct/tunnel";
/// The method and the path that policy is asked about.
const METHOD: &str = "CONNECT";
const ASKED_PATH: &str = "/";

/// Somebody at the door, before anything is known of them.
pub(crate) struct Knock<'a> {
    /// The request.
    pub(crate) id: &'a RequestId,
    /// The application that is asked for.
    pub(crate) app: &'a Arc<Application>,
    /// The host that it was asked for by.
    pub(crate) authority: &'a Authority,
    /// The fields of the request.
    pub(crate) headers: &'a HeaderMap,
    /// The method that the proof must name.
    pub(crate) method: &'static str,
    /// The connection.
    pub(crate) client: &'a Client,
}

impl Knock<'_> {
    /// The address that the proof must name.
    fn uri(&self) -> String {
        format!("https://{}{PATH}", self.authority)
    }
}
