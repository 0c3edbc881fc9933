//! Every bound of the gateway, on one page. All of them hold before anyone is identified.

use std::time::Duration;

use safeconduct_http::Bounds;

/// The bounds. Each has a name, a unit and a default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The bytes of one request head, and of one trailer section.
    pub head_bytes: usize,
    /// The header fields of one request.
    pub header_count: usize,
    /// The bytes of the request target.
    pub target_bytes: usize,
    /// The bytes of one request body; `None` streams without an end.
    pub body_bytes: Option<u64>,
    /// Open client connections in all.
    pub connections: usize,
    /// Open client connections of one address.
    pub connections_per_address: usize,
    /// TLS handshakes at a time, in all.
    pub handshakes: usize,
    /// TLS handshakes at a time of one address.
    pub handshakes_per_address: usize,
    /// How long a TLS handshake may take, and the header of the PROXY protocol before it.
    pub handshake: Duration,
    /// How long a request head may take from its first byte.
    pub head_read: Duration,
    /// How long a connection may rest between requests.
    pub idle: Duration,
    /// How long a request body may pause.
    pub body_idle: Duration,
    /// Streams at a time on one HTTP/2 connection.
    pub h2_streams: u32,
    /// Streams that an HTTP/2 client may reset before they were accepted.
    pub h2_pending_resets: usize,
    /// Streams that we reset for an error of the client before the connection is given up.
    pub h2_error_resets: usize,
    /// How often an HTTP/2 connection is asked whether it lives, and how long the answer may take.
    pub h2_ping: Duration,
    /// How long connecting to an upstream may take.
    pub connect: Duration,
    /// How long an upstream may take to answer after the last byte of the request.
    pub first_byte: Duration,
    /// The bytes of one response head.
    pub response_head_bytes: usize,
    /// The header fields of one response.
    pub response_header_count: usize,
    /// Resting connections per upstream and thread.
    pub upstream_idle: usize,
    /// How long a connection to an upstream may rest.
    pub upstream_idle_for: Duration,
    /// Tunnels at a time.
    pub tunnels: usize,
    /// How long a tunnel may rest.
    pub tunnel_idle: Duration,
    /// How long open exchanges may take to end when the gateway stops.
    pub drain: Duration,
    /// How often the leases are looked over for those whose time is up.
    pub lease_tick: Duration,
    /// How long a cut HTTP/1.1 exchange may take to end in good order before its connection is dropped.
    pub cut_grace: Duration,
    /// Connections that the system holds until they are accepted.
    pub backlog: u32,
}

impl Limits {
    /// How large a request may be.
    pub(crate) fn of_requests(&self) -> Bounds {
        Bounds {
            head_bytes: self.head_bytes,
            header_count: self.header_count,
            target_bytes: self.target_bytes,
            body_bytes: self.body_bytes,
        }
    }

    /// How large an answer may be.
    pub(crate) fn of_answers(&self) -> Bounds {
        Bounds { head_bytes: self.response_head_bytes, header_count: self.response_header_count, ..Bounds::default() }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head_bytes: 32 * 1024,
            header_count: 100,
            target_bytes: 8 * 1024,
            body_bytes: None,
            connections: 20_000,
            connections_per_address: 1_000,
            handshakes: 1_024,
            handshakes_per_address: 128,
            handshake: Duration::from_secs(10),
            head_read: Duration::from_secs(10),
            idle: Duration::from_secs(75),
            body_idle: Duration::from_secs(60),
            h2_streams: 128,
            h2_pending_resets: 20,
            h2_error_resets: 64,
            h2_ping: Duration::from_secs(20),
            connect: Duration::from_secs(5),
            first_byte: Duration::from_secs(60),
            response_head_bytes: 64 * 1024,
            response_header_count: 200,
            upstream_idle: 128,
            upstream_idle_for: Duration::from_secs(30),
            tunnels: 20_000,
            tunnel_idle: Duration::from_secs(3_600),
            drain: Duration::from_secs(10),
            lease_tick: Duration::from_millis(50),
            cut_grace: Duration::from_millis(200),
            backlog: 1_024,
        }
    }
}
