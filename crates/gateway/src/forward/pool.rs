//! Connections to applications: opened only with a permit, kept for a while, never shared where a connection carries a login.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use safeconduct_model::Application;
use safeconduct_policy::Permit;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::ForwardError;
use crate::body::Body;
use crate::limits::Limits;
use crate::sites::{NoWay, Reached, Sites};

/// How many upstreams may have resting connections.
const UPSTREAMS: usize = 1_024;
/// The library refuses to work with less.
const SMALLEST_BUFFER: usize = 8 * 1024;
/// How long a resting connection may take to say that it is ready.
const READY: std::time::Duration = std::time::Duration::from_millis(20);

/// An open connection to an upstream.
pub(crate) struct Connection {
    pub(super) sender: http1::SendRequest<Body>,
    upstream: String,
    abort: CancellationToken,
    /// Cancelled when the connector that carries it leaves: it ends its exchange and begins no other.
    leaving: Option<CancellationToken>,
    /// Whether no exchange runs on it.
    resting: Arc<AtomicBool>,
}

impl Connection {
    fn leaves(&self) -> bool {
        self.leaving.as_ref().is_some_and(CancellationToken::is_cancelled)
    }

    /// Cancelling it closes the connection.
    pub(super) fn abort_token(&self) -> CancellationToken {
        self.abort.clone()
    }
}

/// The pools.
pub(crate) struct Upstreams {
    limits: Arc<Limits>,
    tasks: TaskTracker,
    idle: Mutex<HashMap<String, Vec<Idle>>>,
    sites: Option<Arc<dyn Sites>>,
}

struct Idle {
    connection: Connection,
    since: Instant,
}

impl Upstreams {
    pub(crate) fn new(limits: Arc<Limits>, tasks: TaskTracker, sites: Option<Arc<dyn Sites>>) -> Self {
        Self { limits, tasks, idle: Mutex::default(), sites }
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Opens a connection to the target of the permit. There is no other way to open one.
    pub(super) async fn connect(&self, permit: &Permit) -> Result<Connection, ForwardError> {
        let target = permit.target();
        let opening = async {
            // An application of a site is never dialled from here.
            if target.connector.is_some() {
                let sites = self.sites.as_deref().ok_or(ForwardError::Site(NoWay::Away))?;
                let Reached { io, leaving } = sites.dial(target).await.map_err(ForwardError::Site)?;
                return self.begin(io, key(target), Some(leaving)).await;
            }
            let address = address(&target.upstream).ok_or_else(|| ForwardError::Address(target.upstream.clone()))?;
            let stream = TcpStream::connect(&*address).await.map_err(|e| ForwardError::Connect(e.to_string()))?;
            stream.set_nodelay(true).map_err(|e| ForwardError::Connect(e.to_string()))?;
            self.begin(stream, key(target), None).await
        };
        timeout(self.limits.connect, opening).await.map_err(|_| ForwardError::ConnectTimeout)?
    }

    /// Begins HTTP/1.1 on a connection.
    async fn begin<S>(
        &self,
        stream: S,
        upstream: String,
        leaving: Option<CancellationToken>,
    ) -> Result<Connection, ForwardError>
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + 'static,
    {
        let (sender, driver) = http1::Builder::new()
            .max_buf_size(self.limits.response_head_bytes.max(SMALLEST_BUFFER))
            .max_headers(self.limits.response_header_count)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|e| ForwardError::Connect(e.to_string()))?;
        let (abort, resting) = (CancellationToken::new(), Arc::<AtomicBool>::default());
        let (stop, rests, leaves) = (abort.clone(), Arc::clone(&resting), leaving.clone());
        self.tasks.spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = left_at_rest(leaves, &rests) => {}
                ended = driver.with_upgrades() => if let Err(e) = ended {
                    tracing::debug!(error = %e, "upstream connection ended");
                },
            }
        });
        Ok(Connection { sender, upstream, abort, leaving, resting })
    }

    /// A resting connection to the target of the permit, if there is a usable one.
    pub(super) async fn take(&self, permit: &Permit) -> Option<Connection> {
        loop {
            let mut idle = self.pop(&key(permit.target()))?;
            idle.connection.resting.store(false, Ordering::SeqCst);
            let fresh = idle.since.elapsed() < self.limits.upstream_idle_for
                && !idle.connection.sender.is_closed()
                && !idle.connection.leaves();
            if fresh && matches!(timeout(READY, idle.connection.sender.ready()).await, Ok(Ok(()))) {
                return Some(idle.connection);
            }
            idle.connection.abort.cancel();
        }
    }

    fn pop(&self, upstream: &str) -> Option<Idle> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).get_mut(upstream)?.pop()
    }

    /// Takes a connection back whose exchange has ended in order.
    pub(super) fn give_back(&self, connection: Connection) {
        // Either this sees that the connector leaves, or the driver sees that the connection rests.
        connection.resting.store(true, Ordering::SeqCst);
        if connection.leaves() {
            return connection.abort.cancel();
        }
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() >= UPSTREAMS && !idle.contains_key(&connection.upstream) {
            idle.clear();
        }
        let resting = idle.entry(connection.upstream.clone()).or_default();
        resting.retain(|i| i.since.elapsed() < self.limits.upstream_idle_for && !i.connection.sender.is_closed());
        if resting.len() < self.limits.upstream_idle {
            resting.push(Idle { connection, since: Instant::now() });
        }
    }

    /// Closes every resting connection and waits for the tasks that drive them.
    pub(crate) async fn close(&self) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.tasks.close();
        if timeout(self.limits.cut_grace, self.tasks.wait()).await.is_err() {
            tracing::warn!("connections to upstreams outlived the gateway");
        }
    }
}

/// Until the connector of a resting connection leaves. One that is in use is closed when it is given back.
async fn left_at_rest(leaving: Option<CancellationToken>, resting: &AtomicBool) {
    match leaving {
        Some(leaving) => leaving.cancelled().await,
        None => std::future::pending().await,
    }
    if !resting.load(Ordering::SeqCst) {
        std::future::pending::<()>().await;
    }
}

/// What a connection is kept under: an upstream, and for one behind connectors its site and application too.
fn key(target: &Application) -> String {
    match &target.connector {
        None => target.upstream.clone(),
        Some(site) => format!("{site} {} {}", target.id, target.upstream),
    }
}

/// `host:port` of `http://host:port`.
fn address(upstream: &str) -> Option<String> {
    let rest = upstream.strip_prefix("http://")?;
    let authority = rest.strip_suffix('/').unwrap_or(rest);
    let plain = !authority.is_empty() && !authority.contains(['/', '@', '?', '#']);
    let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    match (plain, has_port) {
        (false, _) => None,
        (true, true) => Some(authority.to_owned()),
        (true, false) => Some(format!("{authority}:80")),
    }
}

#[cfg(test)]
mod tests {
    use super::address;

    #[test]
    fn an_upstream_is_a_host_and_a_port() {
        assert_eq!(address("http://127.0.0.1:81").as_deref(), Some("127.0.0.1:81"));
        assert_eq!(address("http://wiki.internal/").as_deref(), Some("wiki.internal:80"));
        for bad in ["https://a", "http://", "http://a/b", "http://u@a:1", "a:80"] {
            assert_eq!(address(bad), None, "{bad}");
        }
    }
}
