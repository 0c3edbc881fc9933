//! The JSON interface: what the pages' script, devices, the command line and other programs say to Safeconduct.
//!
//! Only this crate knows these wire forms. It parses strictly, checks that a browser means what it sends (origin and forgery
//! token), and hands typed values to a backend that the server implements: [`Ceremonies`] for everyone, [`Administration`]
//! for operators and for the command line on the local socket. It decides nothing about people, devices or policy.
//!
//! - Every error has one shape: `{"error":{"code","words","request"}}`. Codes are stable.
//! - Bodies are `application/json` (a posture report is `application/jwt`), at most [`MAX_BODY_BYTES`], no member twice,
//!   no unknown member.
//! - Every answer carries `cache-control: no-store`.
//!
//! [`portal`] is mounted on the portal's host with two request extensions: [`Client`] always, and
//! [`Visitor`](safeconduct_access::Visitor) where the session cookie proved one. [`admin`] is mounted on the local socket
//! with the extension [`LocalSocket`], and on the portal's host for operators.
//!
//! ```
//! use safeconduct_api::{ApiError, Cookie};
//!
//! let cookie = Cookie::new(Cookie::SESSION, "secret".to_owned(), None);
//! assert_eq!(cookie.to_header(), "__Host-safeconduct=secret; Path=/; Secure; HttpOnly; SameSite=Lax");
//! assert_eq!(format!("{cookie:?}"), "Cookie(__Host-safeconduct=[redacted])");
//! assert_eq!(ApiError::sign_in_required().code(), "sign_in_required");
//! ```

mod admin;
mod authzen;
mod backend;
mod connectors;
mod cookie;
mod error;
mod ext_authz;
mod forward_auth;
mod guard;
mod locks;
mod oauth;
mod point;
mod portal;
mod request;
mod review;

pub use admin::admin;
pub use authzen::{Batch, MAX_EVALUATIONS, Until};
pub use backend::{
    Actor, Administration, Answer, Begun, Callback, Ceremonies, Client, DeviceEnrolment, DeviceProof, Events, Health,
    LocalSocket, NewDevice, OidcBegun, ProvesBy, PublishFrom, Published, SessionRow, SignedIn, VerdictQuery,
};
pub use connectors::{ConnectorLink, ConnectorRow, ConnectorToken};
pub use cookie::Cookie;
pub use error::ApiError;
pub use forward_auth::{Judged, Original};
pub use guard::CSRF_HEADER;
pub use locks::NewLock;
pub use oauth::{
    DEVICE_GRANT, DeviceBegun, Grant, Issued, OAuthAnswer, OAuthError, ProgramSession, Purpose, Shown, Tokens,
    TunnelRow, oauth,
};
pub use point::{Asker, CertificateNames, DecisionPoint, Proof, TOKEN_HEADER, decision_point};
pub use portal::portal;
pub use request::MAX_BODY_BYTES;

#[cfg(test)]
mod tests;
