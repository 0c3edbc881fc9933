//! Connections to applications over HTTP/1.1: kept for a while, by one thread, never shared where a connection carries a login.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use bytes::BytesMut;
use safeconduct_model::Application;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::{ForwardError, Io, Target, UpstreamTls, h2};
use crate::limits::Now;
use crate::live::lock;
use crate::metrics::AppMetrics;
use crate::patience::Patience;
use crate::scratch;
use crate::sites::{NoWay, Reached, Sites};
use crate::standing::Standing;

/// How many applications may have resting connections.
const UPSTREAMS: usize = 1_024;

/// An open connection to an application.
pub(crate) struct Up {
    pub(crate) io: Io,
    /// Read and not yet understood.
    pub(crate) input: BytesMut,
    /// Whether it served an exchange before.
    pub(crate) reused: bool,
    pub(crate) patience: Patience,
    key: Arc<str>,
    /// Cancelled when the connector that carries it leaves: it ends its exchange and begins no other.
    leaving: Option<CancellationToken>,
    /// Goes with the stream, whatever that is used for.
    pub(crate) open: Open,
}

/// Counts a connection to an application, for as long as it is open.
pub(crate) struct Open {
    metrics: Arc<AppMetrics>,
    rests: bool,
}

impl Open {
    pub(super) fn new(metrics: &Arc<AppMetrics>) -> Self {
        metrics.connected();
        Self { metrics: Arc::clone(metrics), rests: false }
    }

    fn rest(&mut self) {
        self.rests = true;
        self.metrics.rested();
    }

    fn resume(&mut self) {
        if std::mem::take(&mut self.rests) {
            self.metrics.resumed();
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.resume();
        self.metrics.disconnected();
    }
}

impl Up {
    fn leaves(&self) -> bool {
        self.leaving.as_ref().is_some_and(CancellationToken::is_cancelled)
    }
}

/// The resting connections of one thread.
pub(crate) struct Pools {
    limits: Now,
    sites: Option<Arc<dyn Sites>>,
    tls: Option<UpstreamTls>,
    idle: Mutex<BTreeMap<Arc<str>, Vec<Idle>>>,
    /// Connections over HTTP/2.
    shared: Mutex<HashMap<Arc<str>, Common>>,
}

/// A connection over HTTP/2 that exchanges share.
struct Common {
    sender: h2::Shared,
    /// As of [`Up`]: what runs may end, nothing begins.
    leaving: Option<CancellationToken>,
}

impl Common {
    fn is_usable(&self) -> bool {
        !self.sender.is_closed() && !self.leaving.as_ref().is_some_and(CancellationToken::is_cancelled)
    }
}

struct Idle {
    up: Up,
    since: Instant,
}

impl Pools {
    pub(crate) fn new(limits: Now, sites: Option<Arc<dyn Sites>>, tls: Option<UpstreamTls>) -> Self {
        Self { limits, sites, tls, idle: Mutex::default(), shared: Mutex::default() }
    }

    /// A resting connection to the application, if there is a usable one.
    pub(crate) fn take(&self, standing: &Standing, now: Instant) -> Option<Up> {
        let app = &standing.target;
        let mut idle = lock(&self.idle);
        let resting = idle.get_mut(&*key(app))?;
        while let Some(Idle { mut up, since }) = resting.pop() {
            if now.saturating_duration_since(since) < self.limits.upstream_idle_for && !up.leaves() && up.io.is_quiet()
            {
                up.reused = true;
                up.open.resume();
                return Some(up);
            }
        }
        None
    }

    /// Opens a connection to the application of a standing. There is no other way to open one, and no standing without a permit.
    pub(crate) async fn connect(&self, standing: &Standing) -> Result<Up, ForwardError> {
        let app = &*standing.target;
        let opening = self.reach(app);
        let (io, leaving) = timeout(self.limits.connect, opening).await.map_err(|_| ForwardError::ConnectTimeout)??;
        Ok(self.carried(standing, io, leaving))
    }

    /// What carries an exchange with an application.
    pub(super) fn carried(&self, standing: &Standing, io: Io, leaving: Option<CancellationToken>) -> Up {
        let (key, open) = (key(&standing.target).into(), Open::new(&standing.metrics));
        Up { io, input: BytesMut::new(), reused: false, patience: Patience::default(), key, leaving, open }
    }

    /// Opens a stream to an application, wherever it is.
    pub(super) async fn reach(&self, app: &Application) -> Result<(Io, Option<CancellationToken>), ForwardError> {
        // An application of a site is never dialled from here.
        if app.connector.is_some() {
            let sites = self.sites.as_deref().ok_or(ForwardError::Site(NoWay::Away))?;
            let Reached { io, leaving } = sites.dial(app).await.map_err(ForwardError::Site)?;
            return Ok((Io::Other(io), Some(leaving)));
        }
        Ok((self.dial(app).await?, None))
    }

    /// The connection over HTTP/2 that all exchanges with an application share; opened if there is none.
    pub(crate) async fn shared(&self, standing: &Standing) -> Result<h2::Shared, ForwardError> {
        let app = &*standing.target;
        let known = lock(&self.shared).get(&*key(app)).filter(|c| c.is_usable()).map(|c| c.sender.clone());
        if let Some(mut known) = known
            && known.ready().await.is_ok()
        {
            return Ok(known);
        }
        let opening = async {
            let (io, leaving) = self.reach(app).await?;
            let sender = h2::begin(io, &self.limits, &standing.metrics).await?;
            Ok::<_, ForwardError>(Common { sender, leaving })
        };
        let opened = timeout(self.limits.connect, opening).await.map_err(|_| ForwardError::ConnectTimeout)??;
        let sender = opened.sender.clone();
        let mut shared = lock(&self.shared);
        if shared.len() >= UPSTREAMS {
            shared.retain(|_, c| c.is_usable());
        }
        shared.insert(key(app).into(), opened);
        Ok(sender)
    }

    /// Dials an application from here.
    async fn dial(&self, app: &Application) -> Result<Io, ForwardError> {
        let unusable = || ForwardError::Address(app.upstream.clone());
        let target = Target::of(&app.upstream).ok_or_else(unusable)?;
        let failed = |e: std::io::Error| ForwardError::Connect(e.to_string());
        let stream = TcpStream::connect(&*target.address).await.map_err(failed)?;
        stream.set_nodelay(true).map_err(failed)?;
        match (target.tls, &self.tls) {
            (false, _) => Ok(Io::Tcp(stream)),
            (true, Some(tls)) => tls.connect(stream, &target).await,
            (true, None) => Err(unusable()),
        }
    }

    /// Takes a connection back whose exchange has ended in order. Bytes that nobody asked for are never the next answer.
    pub(crate) fn give_back(&self, mut up: Up, now: Instant) {
        if !up.input.is_empty() || up.leaves() {
            return;
        }
        scratch::shrink(&mut up.input);
        up.patience.clear();
        let mut idle = lock(&self.idle);
        if !idle.contains_key(&up.key) {
            if idle.len() >= UPSTREAMS {
                idle.clear();
            }
            idle.insert(Arc::clone(&up.key), Vec::new());
        }
        let Some(resting) = idle.get_mut(&up.key) else { return };
        if resting.len() < self.limits.upstream_idle {
            up.open.rest();
            resting.push(Idle { up, since: now });
        }
    }

    /// Closes what rested too long.
    pub(crate) fn tidy(&self) {
        lock(&self.shared).retain(|_, c| c.is_usable());
        lock(&self.idle).retain(|_, resting| {
            resting.retain_mut(|i| {
                i.since.elapsed() < self.limits.upstream_idle_for && !i.up.leaves() && i.up.io.is_quiet()
            });
            !resting.is_empty()
        });
    }

    /// Closes every resting connection.
    pub(crate) fn close(&self) {
        lock(&self.idle).clear();
        lock(&self.shared).clear();
    }
}

/// What a connection is kept under: an upstream, and for one behind connectors its site and application too.
fn key(app: &Application) -> Cow<'_, str> {
    match &app.connector {
        None => Cow::Borrowed(app.upstream.as_str()),
        Some(site) => Cow::Owned(format!("{site} {} {}", app.id, app.upstream)),
    }
}
