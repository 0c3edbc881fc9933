//! What the fuzz targets of this crate ask, shared with their replay in the tests. Not part of the interface.
//!
//! Each question takes bytes and says what differs, in words. Another reader is handed in ([`Server`]), because it does input
//! and output and this crate does not.

mod answer;
mod body;
mod path;
mod request;

pub use answer::answer;
pub use body::body;
pub use path::path;
pub use request::request;

use safeconduct_model::Hardening;

use crate::Bounds;

/// A request as another server saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Its method.
    pub method: String,
    /// Its target, as text.
    pub target: String,
    /// Its `Host` fields.
    pub hosts: Vec<Vec<u8>>,
    /// Its body; `None` if that was not whole.
    pub body: Option<Vec<u8>>,
}

/// The requests that another server finds on a connection, in order, until it refuses or the bytes end.
pub type Server = fn(&[u8]) -> Vec<Seen>;

/// A second request that stands behind what is asked about: whoever reads the framing alike finds it, and nothing else.
const NEXT: &[u8] = b"PUT /next HTTP/1.1\r\nhost: next\r\n\r\n";

/// Whether the last of what was seen is [`NEXT`].
fn is_next(seen: &Seen) -> bool {
    seen.method == "PUT" && seen.target == "/next" && seen.hosts == [b"next".to_vec()]
}

/// Returns the words if the condition does not hold.
macro_rules! hold {
    ($condition:expr, $($words:tt)+) => {
        if !$condition {
            return Err(format!($($words)+));
        }
    };
}
use hold;

/// Bounds that short inputs can meet.
fn small() -> Bounds {
    Bounds { head_bytes: 300, header_count: 6, target_bytes: 60, body_bytes: Some(200) }
}

/// The opt-outs whose bits are set.
fn hardening(bits: usize) -> Hardening {
    Hardening {
        allow_encoded_slash: bits & 1 != 0,
        merge_slashes: bits & 2 != 0,
        allow_semicolon: bits & 4 != 0,
        drop_underscore_headers: bits & 8 != 0,
    }
}

/// Bytes for a message.
fn show(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}
