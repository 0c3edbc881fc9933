//! Everything that a browser sees: the console of the operators, the pages of end users, sign-in, denials and errors.
//!
//! What: view structs ([`view`]) hold plain data, pages ([`pages`]) are pure functions from a view to HTML, [`Backend`]
//! says what the pages need to know and do, and [`router`] joins them. What not: this crate decides nothing, stores
//! nothing, reads no clock and knows no other shell; the JSON ceremonies of passkeys and devices are served elsewhere.
//!
//! Whoever builds the router puts a [`safeconduct_access::Visitor`] as an extension on each request that has a session.
//! Without one, only sign-in, set-up and error pages answer; without `operator`, nothing under `/console` does.
//!
//! ```
//! use safeconduct_console::{pages, view};
//! use safeconduct_model::{Reason, Timestamp};
//!
//! let page = pages::denied(&view::Denied {
//!     assets: "/.safeconduct/assets".into(),
//!     portal: "https://portal.example".into(),
//!     organisation: "Example".into(),
//!     app: None,
//!     person: None,
//!     reason: Reason::OutsideHours,
//!     failing: vec![],
//!     remedies: vec![],
//!     wanted: "GET /".into(),
//!     back: "https://ledger.example/".into(),
//!     request: "4bf92f3577b34da6a3ce929d0e0e4736".into(),
//!     now: Timestamp::from_millis(1_790_776_920_000),
//! });
//! assert!(page.into_string().contains("This is not open at this time."));
//! ```

mod backend;
mod draw;
pub mod pages;
mod parts;
mod router;
pub mod view;

pub use backend::{Answer, Backend, Events, Trouble};
pub use router::assets::{Asset, asset, css_path, js_path};
pub use router::headers::{CONTENT_SECURITY_POLICY, protect};
pub use router::router;
