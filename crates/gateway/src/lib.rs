//! The gateway: the one door to every application. Five plain stages: accept, identify, decide, forward, record.
//!
//! What it does: it takes connections (TLS, HTTP/1.1, HTTP/2), reads each request once into a canonical form or refuses it,
//! asks [`Control`] who is behind it and the [`Snapshot`](safeconduct_policy::Snapshot) whether that is permitted, hands the
//! verdict to the ledger, and only then sends exactly the canonical form to the one application that the permit names. Every
//! permitted exchange and WebSocket holds a lease; [`Gateway::signal`] decides again those that rest on a changed fact, and cuts
//! what is no longer permitted.
//!
//! What it does not do: it knows no store, no cookie format, no page and no clock. All of that comes through [`Control`], which
//! the server implements. It follows no redirect, caches no answer, and speaks to no upstream without a permit.
//!
//! How a request goes:
//!
//! | step | where | what can happen |
//! |---|---|---|
//! | accept | `accept`, `h1`, `h2` | bounds, TLS, the head, the canonical form ([`safeconduct_http`]); or a refusal, recorded |
//! | identify | `exchange` | [`Control::identify`]; a panic or a doubtful clock denies |
//! | decide | `exchange`, `standing`, `live` | a lease is taken before the verdict counts, so that no signal is missed |
//! | record | `exchange` | no record, no access; critical applications wait until it is durable |
//! | forward | `h1`, `h2`, `upstream` | one exchange or one WebSocket, tied to the lease |
//!
//! Each runtime thread has a `worker`: its own connections to applications and its own standings. What is permitted once is
//! permitted to the next request with the same facts, until a signal comes or its time is up (`standing`).
//!
//! ```
//! use std::sync::Arc;
//! use safeconduct_gateway::{Control, Gateway, GatewayConfig, Limits, Signal};
//! use tokio_util::sync::CancellationToken;
//!
//! async fn run(control: Arc<dyn Control>, stop: CancellationToken) -> std::io::Result<()> {
//!     let limits = Limits { connections_per_address: 200, ..Limits::default() };
//!     let gateway = Gateway::new(GatewayConfig { limits, ..GatewayConfig::default() }, control);
//!     let listener = tokio::net::TcpListener::bind("127.0.0.1:8080").await?;
//!     let serving = tokio::spawn({ let gateway = gateway.clone(); async move { gateway.serve(listener, None, stop).await } });
//!     gateway.signal(&Signal::PolicyPublished);
//!     assert!(gateway.live().is_empty());
//!     serving.await.map_err(std::io::Error::other)
//! }
//! ```

mod accept;
mod aftermath;
mod again;
mod answer;
mod assertion;
mod body;
pub mod ca;
mod crowd;
mod exchange;
mod frames;
#[doc(hidden)]
pub mod fuzzing;
mod gateway;
mod gather;
mod h1;
mod h2;
mod hang_up;
mod hops;
mod judge;
mod lease;
mod limits;
mod live;
pub mod metrics;
mod patience;
mod pipe;
mod places;
mod ports;
pub mod proxy_protocol;
mod redirect;
mod relay;
mod routes;
mod scratch;
mod sites;
mod span;
mod standing;
mod stop;
mod telling;
mod tls;
pub mod trace;
pub mod tunnel;
mod upstream;
mod way;
mod worker;

pub use assertion::{Signer, SignerError};
pub use body::{Body, BodyError, boxed, empty, full};
pub use gateway::{Gateway, GatewayConfig};
pub use hops::Hops;
pub use judge::{Elsewhere, Judgement};
pub use limits::{Limits, TooManyChanges};
pub use live::{LiveKind, LiveView};
pub use metrics::Metrics;
pub use ports::{
    ClientCertificate, Control, CookieToken, Credentials, DenialPage, Identity, PortalRequest, Problem, Receipt,
    RecordRefused,
};
pub use safeconduct_access::{LeaseId, Signal};
pub use sites::{Io, NoWay, Reached, Replayed, Sites};
pub use tls::{Certificates, TlsError, TlsSettings, server_config};
pub use tunnel::{BoundToken, TokenRefused, TokenShown};

/// Paths on the host of an application that the house answers itself.
pub const RESERVED_PREFIX: &str = "/.safeconduct/";
