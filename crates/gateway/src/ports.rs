//! What the gateway asks of the house, and what it hands out. The server implements [`Control`].

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::future::BoxFuture;
use safeconduct_ledger::{Pattern, Varying};
use safeconduct_model::{
    AppId, Application, DeviceFacts, Failing, Host, LockFacts, PersonId, Place, Principal, Reason, Record, Remedy,
    RequestId, RuleId, Timestamp, Who, Why,
};
use safeconduct_policy::Snapshot;
use thiserror::Error;

use crate::body::Body;
use crate::tunnel::{BoundToken, TokenRefused, TokenShown};

/// Everything that the gateway needs from the rest of the house. All of it is called on the request path: nothing here may
/// block, and only what returns a future may wait.
pub trait Control: Send + Sync + 'static {
    /// The trusted clock.
    fn now(&self) -> Timestamp;

    /// Whether the clock can be trusted. If not, every ask is denied.
    fn clock_ok(&self) -> bool;

    /// Both, from one look at the clock.
    fn reading(&self) -> (Timestamp, bool) {
        (self.now(), self.clock_ok())
    }

    /// The policies and applications that hold now.
    fn snapshot(&self) -> Arc<Snapshot>;

    /// Whether the portal is served under this host.
    fn is_portal(&self, host: &Host) -> bool;

    /// Who stands behind these credentials, for this application. In memory, without waiting.
    fn identify(&self, credentials: &Credentials, app: &AppId, now: Timestamp) -> Identity;

    /// Proves that a token counts, and that whoever shows it holds its key; once for each proof. In memory, without waiting.
    /// Without an implementation no token counts.
    fn prove_token(&self, _shown: &TokenShown<'_>, _now: Timestamp) -> Result<BoundToken, TokenRefused> {
        Err(TokenRefused("no_tokens"))
    }

    /// Takes a record into the ledger, in the order of the calls.
    fn record(&self, record: Record) -> Result<Box<dyn Receipt>, RecordRefused>;

    /// Takes the verdict about one more request of a standing into the ledger.
    fn record_like(&self, pattern: &Arc<Pattern>, varying: &Varying<'_>) -> Result<Box<dyn Receipt>, RecordRefused> {
        self.record(Record::Access(Box::new(pattern.with(varying))))
    }

    /// Answers a request to the portal host, or to [`RESERVED_PREFIX`](crate::RESERVED_PREFIX) on the host of an application.
    fn portal(&self, request: PortalRequest) -> BoxFuture<'static, http::Response<Body>>;

    /// Where someone signs in who wants `return_to`, an absolute URL on the host of `app`.
    fn sign_in_url(&self, app: &AppId, return_to: &str) -> String;

    /// The page that explains a denial, whole HTML.
    fn denial_page(&self, page: &DenialPage) -> String;

    /// The page that tells of a failure, whole HTML.
    fn problem_page(&self, problem: &Problem) -> String;

    /// A fresh id: 32 random hexadecimal digits.
    fn new_request_id(&self) -> RequestId;
}

/// The promise that a record is kept.
pub trait Receipt: Send {
    /// Whether it is known already that the record is written. It costs nothing to ask.
    fn is_written(&self) -> bool {
        false
    }

    /// Ready when the record is written: a crash of the process does not lose it.
    fn poll_written(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), RecordRefused>>;

    /// Ready when the record is durable: a loss of power does not lose it.
    fn poll_durable(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), RecordRefused>>;
}

impl dyn Receipt {
    /// Waits until the record is written. Whoever asks first may have to write what waits, so all others whose turn it is on
    /// this thread go first: their records are written along.
    pub(crate) async fn written(&mut self) -> Result<(), RecordRefused> {
        if !self.is_written() {
            tokio::task::yield_now().await;
        }
        std::future::poll_fn(|cx| self.poll_written(cx)).await
    }

    /// Waits until the record is durable.
    pub(crate) async fn durable(&mut self) -> Result<(), RecordRefused> {
        std::future::poll_fn(|cx| self.poll_durable(cx)).await
    }
}

/// The ledger could not take a record. No record, no access.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("the ledger took no record: {0}")]
pub struct RecordRefused(pub String);

/// What a client proved itself with. Kept with a live connection, to identify it again when something changes.
#[derive(Clone)]
pub struct Credentials {
    /// The session cookie of this host, if there is exactly one.
    pub cookie: Option<CookieToken>,
    /// The token of a program, proven at the door. Where there is one, the cookie does not count.
    pub token: Option<BoundToken>,
    /// The certificate that the client proved possession of in the TLS handshake.
    pub certificate: Option<ClientCertificate>,
    /// The address of the client.
    pub peer: IpAddr,
    /// The host that the request came for; a session secret is good for one host only.
    pub host: Host,
}

/// The secret of a session, as it came in the cookie.
#[derive(Clone, PartialEq, Eq)]
pub struct CookieToken(Arc<str>);

impl CookieToken {
    /// Takes the value of the cookie.
    #[must_use]
    pub fn new(value: &str) -> Self {
        Self(value.into())
    }

    /// The value, for comparison with a stored digest.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for CookieToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// A client certificate that TLS verified against the authority of this house.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The leaf, DER.
    pub der: Arc<[u8]>,
    /// Its SHA-256.
    pub sha256: [u8; 32],
}

/// Who asks, as far as it is proven, and what else the verdict may read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Who.
    pub who: Who,
    /// The device, if it proved itself in this session.
    pub device: Option<DeviceFacts>,
    /// What for.
    pub why: Why,
    /// The lock that speaks, if one does.
    pub lock: Option<Box<LockFacts>>,
    /// The named network of the address.
    pub network: Option<String>,
    /// The country of the address.
    pub country: Option<String>,
}

impl Identity {
    /// Nobody, from nowhere in particular.
    #[must_use]
    pub fn nobody() -> Self {
        let who = Who { principal: Principal::Nobody, groups: std::collections::BTreeSet::new(), auth: None };
        Self { who, device: None, why: Why::default(), lock: None, network: None, country: None }
    }

    pub(crate) fn place(&self, ip: IpAddr) -> Place {
        Place { ip, network: self.network.clone(), country: self.country.clone(), device: self.device.clone() }
    }
}

/// A request that the server answers in process.
pub struct PortalRequest {
    /// The request in canonical form. Its body streams.
    pub request: http::Request<Body>,
    /// Its id.
    pub id: RequestId,
    /// The host it came for, without port.
    pub host: Host,
    /// The address and port of the client.
    pub peer: SocketAddr,
    /// The certificate of the client.
    pub certificate: Option<ClientCertificate>,
    /// The application whose host it came for; `None` on the portal host.
    pub app: Option<AppId>,
    /// Whether it came over TLS.
    pub tls: bool,
}

/// What a denial page tells. Everything in it is already known to the asker, or meant for the asker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DenialPage {
    /// The request, to quote to a help desk.
    pub request: RequestId,
    /// When.
    pub at: Timestamp,
    /// The application.
    pub app: Arc<Application>,
    /// Who was denied; `None` if nobody is signed in.
    pub person: Option<PersonId>,
    /// The method.
    pub method: String,
    /// The canonical path.
    pub path: String,
    /// The absolute URL to come back to.
    pub return_to: String,
    /// The stable reason.
    pub reason: Reason,
    /// The conditions that did not hold.
    pub failing: Vec<Failing>,
    /// What would help, cheapest first.
    pub remedies: Vec<Remedy>,
    /// The rules that spoke.
    pub rules: Vec<RuleId>,
}

/// What a failure page tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The request, to quote to a help desk.
    pub request: RequestId,
    /// The HTTP status.
    pub status: u16,
    /// The stable reason.
    pub reason: Reason,
    /// The application, where it is no secret that it exists.
    pub app: Option<AppId>,
}
