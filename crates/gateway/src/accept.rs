//! Accept: listeners, TLS, connections and their bounds.

use std::net::SocketAddr;
use std::sync::Arc;

use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::ServerConfig;
use safeconduct_model::{Reason, Record, Refusal};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{interval, sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::gateway::{Core, Gateway};
use crate::metrics::{Handshake, Met};
use crate::ports::ClientCertificate;
use crate::stages::{Client, serve};
use crate::tls::CHALLENGE_PROTOCOL;
use crate::wire::{Wire, WireState};

/// How long the listener rests when the system gives no connection, for want of descriptors for example.
const ACCEPT_PAUSE: std::time::Duration = std::time::Duration::from_millis(50);

/// What a listener is for.
#[derive(Clone)]
enum Purpose {
    Serve(Option<Arc<ServerConfig>>),
    Redirect { port: u16 },
}

impl Gateway {
    /// Serves connections until `shutdown`, then lets open exchanges end for a while, and cuts what is left. Without `tls` the
    /// listener speaks plain HTTP/1.1: for loopback and tests only.
    pub async fn serve(&self, listener: TcpListener, tls: Option<Arc<ServerConfig>>, shutdown: CancellationToken) {
        let ticking = self.tick(shutdown.clone());
        let accepting = self.accept(listener, Purpose::Serve(tls), shutdown);
        tokio::select! {
            () = accepting => {}
            () = ticking => {}
        }
        self.drain().await;
    }

    /// Sends every plain HTTP request for a known host to the same address over HTTPS, and serves nothing.
    pub async fn serve_redirect(&self, listener: TcpListener, https_port: u16, shutdown: CancellationToken) {
        self.accept(listener, Purpose::Redirect { port: https_port }, shutdown).await;
    }

    /// Looks after leases whose time is up.
    async fn tick(&self, shutdown: CancellationToken) {
        let mut ticks = interval(self.core.limits.lease_tick);
        while !shutdown.is_cancelled() {
            ticks.tick().await;
            self.expire();
            self.core.live.press(self.core.limits.cut_grace);
        }
        // The acceptor ends by itself; it must not be dropped before.
        std::future::pending::<()>().await;
    }

    async fn accept(&self, listener: TcpListener, purpose: Purpose, shutdown: CancellationToken) {
        loop {
            let accepted = tokio::select! {
                biased;
                () = shutdown.cancelled() => return,
                accepted = listener.accept() => accepted,
            };
            let (stream, peer) = match accepted {
                Ok(pair) => pair,
                Err(e) => {
                    tracing::warn!(error = %e, "no connection could be accepted");
                    sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let peer = plain(peer);
            self.core.metrics.accepted();
            let limits = &self.core.limits;
            // The clients behind a trusted hop are counted one by one, once their addresses are known.
            let most_here = if self.core.hops.trusts(peer.ip()) { usize::MAX } else { limits.connections_per_address };
            let Some(place) = self.core.counts.enter(peer.ip(), limits.connections, most_here) else {
                self.core.metrics.met(Met::Connections);
                tracing::debug!(%peer, "too many connections");
                continue;
            };
            let (core, purpose, shutdown) = (Arc::clone(&self.core), purpose.clone(), shutdown.clone());
            self.core.tasks.spawn(async move {
                let stop_now = core.stop_now.clone();
                tokio::select! {
                    () = connection(core, stream, peer, purpose, shutdown) => {}
                    () = stop_now.cancelled() => {}
                }
                drop(place);
            });
        }
    }

    async fn drain(&self) {
        let core = &self.core;
        core.tasks.close();
        if timeout(core.limits.drain, core.tasks.wait()).await.is_err() {
            self.cut_all();
            if timeout(core.limits.cut_grace * 2, core.tasks.wait()).await.is_err() {
                core.stop_now.cancel();
                core.tasks.wait().await;
            }
        }
        core.upstreams.close().await;
    }
}

async fn connection(
    core: Arc<Core>,
    mut stream: TcpStream,
    hop: SocketAddr,
    purpose: Purpose,
    shutdown: CancellationToken,
) {
    if let Err(e) = stream.set_nodelay(true) {
        tracing::debug!(error = %e, "no_delay");
    }
    let peer = match core.hops.client(&mut stream, hop, &core.limits).await {
        Ok(client) => client,
        Err(error) => {
            tracing::debug!(%hop, %error, "no client");
            return refused(&core, hop, Reason::BadRequest, "proxy_header");
        }
    };
    let behind = core.behind.enter(peer.ip(), usize::MAX, core.limits.connections_per_address);
    if peer != hop && behind.is_none() {
        core.metrics.met(Met::ConnectionsPerAddress);
        return tracing::debug!(%peer, "too many connections");
    }
    let (wire, cut) = (Arc::<WireState>::default(), CancellationToken::new());
    let client = Client { peer, certificate: None, tls: false, h1: true, wire, cut };
    let config = match purpose {
        Purpose::Serve(Some(config)) => config,
        Purpose::Serve(None) => return h1(core, stream, client, shutdown).await,
        Purpose::Redirect { port } => return crate::redirect::serve(&core, stream, port, shutdown).await,
    };
    let limits = &core.limits;
    let Some(shaking) = core.handshakes.enter(peer.ip(), limits.handshakes, limits.handshakes_per_address) else {
        core.metrics.met(Met::Handshakes);
        tracing::debug!(%peer, "too many handshakes");
        return;
    };
    let handshake = timeout(core.limits.handshake, TlsAcceptor::from(config).accept(stream)).await;
    drop(shaking);
    let stream = match handshake {
        Ok(Ok(stream)) => {
            core.metrics.handshake(Handshake::Done);
            stream
        }
        Ok(Err(e)) => {
            core.metrics.handshake(Handshake::Failed);
            tracing::debug!(%peer, error = %e, "no TLS");
            return;
        }
        Err(_) => {
            core.metrics.handshake(Handshake::Slow);
            return refused(&core, peer, Reason::LimitReached, "slow_handshake");
        }
    };
    let session = stream.get_ref().1;
    if session.alpn_protocol() == Some(CHALLENGE_PROTOCOL) {
        return;
    }
    let certificate = session
        .peer_certificates()
        .and_then(|chain| chain.first())
        .map(|leaf| ClientCertificate { der: leaf.as_ref().into(), sha256: Sha256::digest(leaf).into() });
    tracing::debug!(%peer, group = ?session.negotiated_key_exchange_group().map(|g| g.name()), "TLS");
    let is_h2 = session.alpn_protocol() == Some(b"h2");
    let client = Client { certificate, tls: true, h1: !is_h2, ..client };
    if is_h2 { h2(core, stream, client, shutdown).await } else { h1(core, stream, client, shutdown).await }
}

fn refused(core: &Core, peer: SocketAddr, reason: Reason, detail: &'static str) {
    core.metrics.refused(detail);
    core.note(Record::Refusal(Refusal {
        request: core.control.new_request_id(),
        ip: peer.ip(),
        reason,
        detail: detail.into(),
        app: None,
    }));
}

/// HTTP/1.1 behind the scanner.
async fn h1<S>(core: Arc<Core>, stream: S, client: Client, shutdown: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (state, cut, peer) = (Arc::clone(&client.wire), client.cut.clone(), client.peer);
    let client = Arc::new(client);
    let wire = Wire::new(stream, Arc::clone(&state), Arc::clone(&core.limits));
    let shared = Arc::clone(&core);
    let service = service_fn(move |request| {
        let work = serve(Arc::clone(&shared), Arc::clone(&client), request);
        async { Ok::<_, std::convert::Infallible>(work.await) }
    });
    let mut builder = http1::Builder::new();
    // Twice the bound of the scanner: what it let through is never refused by size behind it.
    builder.max_buf_size((2 * core.limits.head_bytes).max(16 * 1024)).max_headers(core.limits.header_count + 1);
    let serving = builder.serve_connection(TokioIo::new(wire), service).with_upgrades();
    let mut serving = std::pin::pin!(serving);
    let ended = tokio::select! {
        ended = serving.as_mut() => ended,
        () = late(&cut, core.limits.cut_grace) => Ok(()),
        () = shutdown.cancelled() => {
            serving.as_mut().graceful_shutdown();
            tokio::select! {
                ended = serving.as_mut() => ended,
                () = late(&cut, core.limits.cut_grace) => Ok(()),
            }
        }
    };
    if let Err(e) = ended {
        tracing::debug!(%peer, error = %e, "connection ended");
        // What the scanner let through and the library did not: answered with 400 there, recorded here.
        if e.is_parse() {
            refused(&core, peer, Reason::BadRequest, "unparsable");
        }
    }
    if let Some(clock) = state.timed_out().filter(|clock| *clock != "idle") {
        refused(&core, peer, Reason::LimitReached, clock);
    }
}

/// A cut exchange may say its last words, then its connection is gone.
async fn late(cut: &CancellationToken, grace: std::time::Duration) {
    cut.cancelled().await;
    sleep(grace).await;
}

/// HTTP/2. The library refuses bad framing; the normaliser looks at the rest.
async fn h2<S>(core: Arc<Core>, stream: S, client: Client, shutdown: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let limits = Arc::clone(&core.limits);
    let (state, cut, peer) = (Arc::clone(&client.wire), client.cut.clone(), client.peer);
    let client = Arc::new(client);
    let service = service_fn(move |request| {
        let work = serve(Arc::clone(&core), Arc::clone(&client), request);
        async { Ok::<_, std::convert::Infallible>(work.await) }
    });
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.h2_streams)
        .max_header_list_size(u32::try_from(limits.head_bytes).unwrap_or(u32::MAX))
        .max_pending_accept_reset_streams(limits.h2_pending_resets)
        .max_local_error_reset_streams(limits.h2_error_resets)
        .keep_alive_interval(limits.h2_ping)
        .keep_alive_timeout(limits.h2_ping);
    let serving = builder.serve_connection(TokioIo::new(stream), service);
    let mut serving = std::pin::pin!(serving);
    let ended = tokio::select! {
        ended = serving.as_mut() => ended,
        () = cut.cancelled() => Ok(()),
        () = either(shutdown.cancelled(), rested(&state, limits.idle)) => {
            serving.as_mut().graceful_shutdown();
            tokio::select! {
                ended = serving.as_mut() => ended,
                () = cut.cancelled() => Ok(()),
            }
        }
    };
    if let Err(e) = ended {
        tracing::debug!(%peer, error = %e, "connection ended");
    }
}

/// Until one of the two is over.
async fn either(one: impl Future<Output = ()>, other: impl Future<Output = ()>) {
    tokio::select! { () = one => {}, () = other => {} }
}

/// Until nothing has been asked for a while.
async fn rested(state: &WireState, idle: std::time::Duration) {
    let began = tokio::time::Instant::now();
    loop {
        let rests = state.rests(began);
        if rests >= idle {
            return;
        }
        sleep((idle - rests).max(ACCEPT_PAUSE)).await;
    }
}

/// A listener for both versions tells an IPv4 client as `::ffff:a.b.c.d`; rules and limits speak of `a.b.c.d`.
fn plain(peer: SocketAddr) -> SocketAddr {
    SocketAddr::new(peer.ip().to_canonical(), peer.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_over_ipv4_has_one_address_whatever_the_listener() {
        let mapped: SocketAddr = "[::ffff:10.1.2.3]:7".parse().unwrap();
        assert_eq!(plain(mapped), "10.1.2.3:7".parse().unwrap());
        let six: SocketAddr = "[2001:db8::1]:7".parse().unwrap();
        assert_eq!(plain(six), six);
    }
}
