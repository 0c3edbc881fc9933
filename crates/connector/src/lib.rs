//! The connector: it dials out from where applications live, so that nothing listens there, and carries streams to them.
//!
//! What it does: [`site`] is the end that runs beside the applications. It keeps a TLS connection to every address of the
//! gateway, with a key that never leaves its machine and a certificate of the house's authority. [`house`] is the end beside
//! the gateway: [`house::Sites`] takes those connections, and [`house::Sites::dial`] opens a stream to an application through
//! one of them. Inside, HTTP/2 with the roles turned: the gateway is the client, and one CONNECT is one connection to an
//! application.
//!
//! What it does not do: it takes no request from a site, so a connector can ask the gateway for nothing. It knows no store and
//! no policy; who is a member, and what a warrant says, comes through [`house::House`], which the server implements. A
//! connector dials no address that the house did not sign for that application, and no special one (loopback, link-local,
//! metadata) unless the site's list names it.
//!
//! | file | idea |
//! |---|---|
//! | `words`, `bounds` | what the two ends say to each other; every bound |
//! | `token`, `warrant` | the one-time word that lets in; the signed word that says where to dial |
//! | `house/` | TLS, the join door, links, choosing one, dialling |
//! | `site/` | key and certificate, joining, links that come back, dialling, relaying |
//!
//! ```
//! use safeconduct_connector::JoinToken;
//!
//! let token = JoinToken::new("c2VjcmV0", [7; 32]);
//! let again: JoinToken = token.reveal().parse()?;
//! assert_eq!(again.authority(), &[7; 32], "it says by which authority the gateway is known");
//! assert!("c2VjcmV0".parse::<JoinToken>().is_err(), "without that a connector would talk to anybody");
//! # Ok::<(), safeconduct_connector::JoinTokenError>(())
//! ```

pub mod bounds;
mod choose;
pub mod house;
pub mod site;
mod tasks;
mod token;
mod warrant;
pub mod words;

pub use token::{JoinToken, JoinTokenError};
pub use warrant::{HouseKey, Warrant, WarrantError, WarrantTls};
