//! Accept: listeners, TLS, connections and their bounds.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures_util::future::BoxFuture;
use rustls::ServerConfig;
use safeconduct_model::{Reason, Record, Refusal};
use sha2::{Digest, Sha256};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::exchange::Client;
use crate::gateway::{Core, Gateway};
use crate::metrics::{Handshake, Met};
use crate::ports::ClientCertificate;
use crate::stop::cancelled;
use crate::tls::CHALLENGE_PROTOCOL;
use crate::worker::Worker;
use crate::{h1, h2};

/// How long the listener rests when the system gives no connection, for want of descriptors for example.
const ACCEPT_PAUSE: std::time::Duration = std::time::Duration::from_millis(50);

/// How often a worker looks over what it keeps.
const TIDY: std::time::Duration = std::time::Duration::from_millis(100);
/// Leases whose time is up are looked for no more often than this.
const LEAST_TICK: std::time::Duration = std::time::Duration::from_millis(1);

/// What a listener is for.
#[derive(Clone)]
enum Purpose {
    Serve(Option<Arc<ServerConfig>>),
    Redirect { port: u16 },
}

impl Gateway {
    /// Serves connections until `shutdown`, then lets open exchanges end for a while, and cuts what is left. Without `tls` the
    /// listener speaks plain HTTP, for loopback and tests only: HTTP/1.1, and HTTP/2 to a client that begins with it.
    ///
    /// Everything runs on the runtime that calls it. Several runtimes may serve, each with a listener of its own: they share
    /// what is decided and what is live, and no connection.
    pub async fn serve(&self, listener: TcpListener, tls: Option<Arc<ServerConfig>>, shutdown: CancellationToken) {
        let worker = Worker::new(&self.core);
        let ticking = self.tick(&worker, shutdown.clone());
        let accepting = self.accept(&worker, listener, Purpose::Serve(tls), shutdown);
        let serving = async {
            tokio::select! {
                () = accepting => {}
                () = ticking => {}
            }
            self.drain().await;
        };
        tokio::select! {
            () = serving => {}
            () = self.core.aftermath.clear(&self.core.live.telling) => {}
        }
        worker.pools.close();
    }

    /// Sends every plain HTTP request for a known host to the same address over HTTPS, and serves nothing.
    pub async fn serve_redirect(&self, listener: TcpListener, https_port: u16, shutdown: CancellationToken) {
        let worker = Worker::new(&self.core);
        self.accept(&worker, listener, Purpose::Redirect { port: https_port }, shutdown).await;
    }

    /// Looks after leases whose time is up, once for all, and after what the worker keeps.
    async fn tick(&self, worker: &Worker, shutdown: CancellationToken) {
        let first = !self.core.ticking.swap(true, Ordering::SeqCst);
        let mut tidied = Instant::now();
        while !shutdown.is_cancelled() {
            let tick = self.core.limits.lease_tick;
            // A lease ends when its time is up, and not a tick later.
            sleep(if first { self.core.next_due().clamp(LEAST_TICK.min(tick), tick) } else { tick }).await;
            if first {
                self.core.settle_tunnels();
                self.expire();
                self.core.live.press(self.core.limits.cut_grace);
            }
            if tidied.elapsed() >= TIDY {
                tidied = Instant::now();
                worker.tidy(self.core.live.epoch(), self.core.control.now());
                worker.pools.tidy();
            }
        }
        // The acceptor ends by itself; it must not be dropped before.
        std::future::pending::<()>().await;
    }

    async fn accept(&self, worker: &Arc<Worker>, listener: TcpListener, purpose: Purpose, shutdown: CancellationToken) {
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
            let (worker, purpose, shutdown) = (Arc::clone(worker), purpose.clone(), shutdown.clone());
            self.core.tasks.spawn(async move {
                let (stop_now, tasks) = (worker.core.stop_now.clone(), worker.core.tasks.clone());
                let rest = tokio::select! {
                    rest = connection(worker, stream, peer, purpose, shutdown) => rest,
                    () = cancelled(&stop_now) => None,
                };
                // What goes on for long has a task of its own, no larger than it needs.
                if let Some(rest) = rest {
                    tasks.spawn(async move {
                        tokio::select! {
                            () = rest => {}
                            () = cancelled(&stop_now) => {}
                        }
                        drop(place);
                    });
                }
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
    }
}

async fn connection(
    worker: Arc<Worker>,
    mut stream: TcpStream,
    hop: SocketAddr,
    purpose: Purpose,
    shutdown: CancellationToken,
) -> Option<BoxFuture<'static, ()>> {
    let core = &worker.core;
    if let Err(e) = stream.set_nodelay(true) {
        tracing::debug!(error = %e, "no_delay");
    }
    let peer = match core.hops.client(&mut stream, hop, &core.limits).await {
        Ok(client) => client,
        Err(error) => {
            tracing::debug!(%hop, %error, "no client");
            refused(core, hop, Reason::BadRequest, "proxy_header");
            return None;
        }
    };
    let behind = core.behind.enter(peer.ip(), usize::MAX, core.limits.connections_per_address);
    if peer != hop && behind.is_none() {
        core.metrics.met(Met::ConnectionsPerAddress);
        tracing::debug!(%peer, "too many connections");
        return None;
    }
    let mut client = Client::new(peer);
    let config = match purpose {
        Purpose::Serve(Some(config)) => config,
        Purpose::Serve(None) => {
            let begin = tokio::select! {
                begin = timeout(core.limits.idle, begins_http_2(&stream)) => begin,
                () = shutdown.cancelled() => return None,
            };
            return match begin {
                Ok(true) => {
                    Box::pin(h2::serve(worker, stream, client, shutdown)).await;
                    None
                }
                Ok(false) => Box::pin(h1::serve(worker, stream, client, shutdown)).await,
                Err(_) => None,
            };
        }
        Purpose::Redirect { port } => {
            crate::redirect::serve(core, stream, port, shutdown).await;
            return None;
        }
    };
    let limits = &core.limits;
    let Some(shaking) = core.handshakes.enter(peer.ip(), limits.handshakes, limits.handshakes_per_address) else {
        core.metrics.met(Met::Handshakes);
        tracing::debug!(%peer, "too many handshakes");
        return None;
    };
    let sites = core.sites.as_deref();
    let handshake = Box::pin(timeout(limits.handshake, crate::sites::shake(sites, config, stream))).await;
    drop(shaking);
    let shaken = match handshake {
        Ok(Ok(shaken)) => {
            core.metrics.handshake(Handshake::Done);
            shaken
        }
        Ok(Err(e)) => {
            core.metrics.handshake(Handshake::Failed);
            tracing::debug!(%peer, error = %e, "no TLS");
            return None;
        }
        Err(_) => {
            core.metrics.handshake(Handshake::Slow);
            refused(core, peer, Reason::LimitReached, "slow_handshake");
            return None;
        }
    };
    let stream = crate::sites::taken(sites, shaken, peer)?;
    let session = stream.session();
    if session.alpn_protocol() == Some(CHALLENGE_PROTOCOL) {
        return None;
    }
    client.certificate = session
        .peer_certificates()
        .and_then(|chain| chain.first())
        .map(|leaf| ClientCertificate { der: leaf.as_ref().into(), sha256: Sha256::digest(leaf).into() });
    client.tls = true;
    tracing::debug!(%peer, group = ?session.negotiated_key_exchange_group().map(|g| g.name()), "TLS");
    match session.alpn_protocol() == Some(b"h2") {
        true => {
            Box::pin(h2::serve(worker, stream, client, shutdown)).await;
            None
        }
        false => Box::pin(h1::serve(worker, stream, client, shutdown)).await,
    }
}

/// Whether a plain connection begins with the preface of HTTP/2 (RFC 9113, 3.4). Nothing is taken from it.
async fn begins_http_2(stream: &TcpStream) -> bool {
    const BEGIN: &[u8] = b"PRI * HTTP/2.0";
    let mut seen = [0; BEGIN.len()];
    loop {
        match stream.peek(&mut seen).await {
            Ok(n @ 1..) if n < BEGIN.len() && BEGIN.starts_with(&seen[..n]) => sleep(ACCEPT_PAUSE).await,
            Ok(n) => return seen[..n] == *BEGIN,
            Err(_) => return false,
        }
    }
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
