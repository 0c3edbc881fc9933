//! HTTP as bytes: one strict parse, the one canonical form, and what is written of it.
//!
//! Two programs that read one request in two ways are the most common hole in access gateways. So a request is read once, by
//! rules that leave no second reading; policy decides on the outcome, and the outcome is what is written to the application.
//! What could be read in two ways is refused ([`Refused`]), never repaired.
//!
//! The crate does no input or output: bytes in, value or bytes out.
//!
//! | part | what it does |
//! |---|---|
//! | [`Head`] | the head of a request, from the bytes of HTTP/1.1 or the parts of HTTP/2; [`Head::settle`] makes it canonical |
//! | [`Answer`] | the head of an answer of an application over HTTP/1.1 |
//! | [`Decoder`], [`Encoder`] | the framing of bodies (RFC 9112, 6 and 7) |
//! | [`path`] | the path: one spelling |
//! | [`names`] | what a field name means to a gateway |
//! | [`reference`](mod@reference) | the same rules byte by byte, without a library: it names faults, and tests hold the fast reader against it |
//!
//! ```
//! use safeconduct_http::{Bounds, Head, Own};
//! use safeconduct_model::OptOuts;
//!
//! let (mut head, bounds) = (Head::default(), Bounds::default());
//! let raw = b"GET /a/%62?x=1 HTTP/1.1\r\nHost: Wiki.example.com\r\nX-Forwarded-For: 1.2.3.4\r\nAccept: */*\r\n\r\n";
//! assert_eq!(head.read_h1(raw, &bounds), Ok(Some(raw.len())));
//! head.settle(OptOuts::default(), &[], &bounds)?;
//! assert_eq!((head.method(), head.path(), head.query()), ("GET", "/a/b", Some("x=1")));
//!
//! let mut out = Vec::new();
//! let own = Own { client: "192.0.2.7", proto: "https", request: "r1", more: b"", trace: b"" };
//! head.write_request("wiki.example.com", &own, &mut out);
//! let written = String::from_utf8(out).expect("ASCII");
//! assert!(written.starts_with("GET /a/b?x=1 HTTP/1.1\r\nhost: wiki.example.com\r\naccept: */*\r\nx-forwarded-for: 192.0.2.7\r\n"));
//!
//! let two = b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n";
//! assert_eq!(head.read_h1(two, &bounds).unwrap_err().code, "two_hosts");
//! # Ok::<(), safeconduct_http::Refused>(())
//! ```

mod answer;
mod authority;
mod before;
mod body;
mod chunk;
#[doc(hidden)]
pub mod fuzzing;
mod head;
pub mod names;
pub mod path;
pub mod reference;
mod refused;
mod settle;
mod write;

pub use answer::{Answer, BadAnswer, ResponseFraming, binds_connection};
pub use authority::Authority;
pub use body::{Decoder, Encoder, Piece};
pub use head::{Bounds, Framing, Head, MAX_FIELDS, Version};
pub use refused::Refused;
pub use settle::Upgrade;
pub use write::{AnswerOwn, Own};
