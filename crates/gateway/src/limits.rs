//! Every bound of the gateway, on one page. All of them hold before anyone is identified.

use std::ops::Deref;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use safeconduct_http::Bounds;
use thiserror::Error;

/// How many changes of its limits one process takes. What held before is kept, so that whoever reads a limit waits for nobody
/// and copies nothing.
const CHANGES: usize = 1_024;

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
    /// How often leases are looked over at least; one ends when its time is up.
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
            upstream_idle: 512,
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

/// The limits changed too often.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("the limits of this process changed {CHANGES} times; more changes take effect at the next start")]
pub struct TooManyChanges;

/// The limits that hold now, for everybody who reads them.
#[derive(Clone)]
pub(crate) struct Now(Arc<History>);

struct History {
    versions: Box<[OnceLock<Box<Version>>]>,
    /// The one that holds.
    at: AtomicUsize,
}

struct Version {
    limits: Limits,
    requests: Bounds,
    answers: Bounds,
}

impl Now {
    pub(crate) fn new(limits: Limits) -> Self {
        let versions: Box<[_]> = (0..=CHANGES).map(|_| OnceLock::new()).collect();
        let first = versions.first().and_then(|v| v.set(Version::of(limits)).err());
        debug_assert!(first.is_none(), "nobody set it before");
        Self(Arc::new(History { versions, at: AtomicUsize::new(0) }))
    }

    /// Lets other limits hold from now on. Says whether they are others.
    pub(crate) fn change(&self, limits: Limits) -> Result<bool, TooManyChanges> {
        if **self == limits {
            return Ok(false);
        }
        let mut version = Version::of(limits);
        loop {
            let next = self.0.at.load(Ordering::Acquire) + 1;
            let place = self.0.versions.get(next).ok_or(TooManyChanges)?;
            match place.set(version) {
                Ok(()) => {
                    self.0.at.store(next, Ordering::Release);
                    return Ok(true);
                }
                // Somebody else changes them at this instant: this change comes after that one.
                Err(back) => {
                    version = back;
                    std::thread::yield_now();
                }
            }
        }
    }

    fn version(&self) -> &Version {
        let version = self.0.versions.get(self.0.at.load(Ordering::Acquire)).and_then(OnceLock::get);
        version.expect("a version is set before it is named")
    }

    /// The bounds of a request, as they hold now.
    pub(crate) fn requests(&self) -> RequestBounds {
        RequestBounds(self.clone())
    }

    /// The bounds of an answer, as they hold now.
    pub(crate) fn answers(&self) -> AnswerBounds {
        AnswerBounds(self.clone())
    }
}

impl Version {
    fn of(limits: Limits) -> Box<Self> {
        Box::new(Self { requests: limits.of_requests(), answers: limits.of_answers(), limits })
    }
}

impl Deref for Now {
    type Target = Limits;

    fn deref(&self) -> &Limits {
        &self.version().limits
    }
}

/// How large a request may be now.
pub(crate) struct RequestBounds(Now);

impl Deref for RequestBounds {
    type Target = Bounds;

    fn deref(&self) -> &Bounds {
        &self.0.version().requests
    }
}

/// How large an answer may be now.
pub(crate) struct AnswerBounds(Now);

impl Deref for AnswerBounds {
    type Target = Bounds;

    fn deref(&self) -> &Bounds {
        &self.0.version().answers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_seen_by_all_who_read_and_only_so_many_are_taken() {
        let now = Now::new(Limits::default());
        let (requests, other) = (now.requests(), now.clone());
        assert_eq!(now.change(Limits::default()), Ok(false), "nothing changed");
        let before: &Limits = &other;
        for n in 0..CHANGES {
            assert_eq!(now.change(Limits { head_bytes: 5_000 + n, ..Limits::default() }), Ok(true));
            assert_eq!((other.head_bytes, requests.head_bytes), (5_000 + n, 5_000 + n));
        }
        assert_eq!(before.head_bytes, Limits::default().head_bytes, "what was read goes on to be read");
        assert_eq!(now.change(Limits::default()), Err(TooManyChanges));
        assert_eq!(other.head_bytes, 5_000 + CHANGES - 1);
    }
}
