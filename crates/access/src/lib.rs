//! Leases: sessions, step-up, grants, and the index that says which live connections rest on a fact.
//!
//! It keeps the books and knows neither clock, network nor store: `now` and every secret's hash are arguments.
//!
//! ```
//! use safeconduct_access::{Lifetimes, Sessions, TokenHash};
//! use safeconduct_model::{Duration, Method, Timestamp};
//!
//! let mut sessions = Sessions::new(Lifetimes { absolute: Duration::from_hours(12), idle: Duration::from_hours(1) });
//! let now = Timestamp::from_millis(1_790_000_000_000);
//! let secret = TokenHash::of(b"256 bits of randomness");
//! let portal = "portal.example.com".parse()?;
//! sessions.begin("s1".parse()?, "ada".parse()?, [Method::Passkey].into(), portal, secret, [127, 0, 0, 1].into(), now)?;
//! assert!(sessions.find(&secret, &"portal.example.com".parse()?, now).is_some());
//! assert!(sessions.find(&secret, &"wiki.example.com".parse()?, now).is_none(), "a secret never travels");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod bound;
mod grant;
mod lease;
mod locks;
mod session;
mod visitor;

pub use grant::{Grant, Grantee, grant_for};
pub use lease::{Interests, LeaseId, Leases, Signal};
pub use locks::{Locks, LocksFull, MAX_LOCKS};
pub use session::{
    Lifetimes, MAX_HOSTS_PER_SESSION, MAX_SESSIONS, MAX_SESSIONS_PER_PERSON, Session, SessionError, Sessions, TokenHash,
};
pub use visitor::Visitor;
