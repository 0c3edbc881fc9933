//! A client connection over HTTP/2. The library does the framing; the canonical form, the decision and the application's side
//! are the same as over HTTP/1.1.

mod download;
mod forward;
mod upload;
mod websocket;

use std::future::poll_fn;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt;
use http::{Request, Response};
use http_body_util::BodyExt;
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use safeconduct_http::{Framing, Head, Refused, Upgrade};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::answer;
use crate::body::{Body, boxed, holding};
use crate::exchange::{Client, Exchange, Memory, Route};
use crate::gather::Gather;
use crate::live::lock;
use crate::span::{Told, Tracing};
use crate::stop::cancelled;
use crate::worker::Worker;

/// How often a resting connection is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// What the streams of a connection share.
pub(crate) struct Shared {
    pub(crate) worker: Arc<Worker>,
    pub(crate) client: Client,
    memory: Mutex<Memory>,
    rest: Arc<Rest>,
    /// Ends the connection.
    pub(crate) cut: CancellationToken,
}

/// Serves a connection until it ends.
pub(crate) async fn serve<S>(worker: Arc<Worker>, io: S, client: Client, shutdown: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let limits = worker.core.limits.clone();
    let peer = client.peer;
    let rest = Arc::new(Rest::default());
    let cut = CancellationToken::new();
    let shared =
        Arc::new(Shared { worker, client, memory: Mutex::default(), rest: Arc::clone(&rest), cut: cut.clone() });
    let service = service_fn(move |request| {
        // It is moved several times before it runs, so its memory stays where it is.
        let work = Box::pin(serve_one(Arc::clone(&shared), request));
        async { Ok::<_, std::convert::Infallible>(work.await) }
    });
    let mut builder = http2::Builder::new(crate::tunnel::Streams);
    builder
        .timer(TokioTimer::new())
        .enable_connect_protocol()
        .max_concurrent_streams(limits.h2_streams)
        .max_header_list_size(u32::try_from(limits.head_bytes).unwrap_or(u32::MAX))
        .max_pending_accept_reset_streams(limits.h2_pending_resets)
        .max_local_error_reset_streams(limits.h2_error_resets)
        .keep_alive_interval(limits.h2_ping)
        .keep_alive_timeout(limits.h2_ping);
    let io = Gather::new(io);
    let serving = builder.serve_connection(TokioIo::new(io.clone()), service);
    let mut serving = std::pin::pin!(serving);
    let ended = tokio::select! {
        ended = poll_fn(|cx| io.turn(cx, |cx| serving.as_mut().poll(cx))) => ended,
        () = cancelled(&cut) => Ok(()),
        () = either(cancelled(&shutdown), rest.lasts(limits.idle)) => {
            serving.as_mut().graceful_shutdown();
            tokio::select! {
                ended = poll_fn(|cx| io.turn(cx, |cx| serving.as_mut().poll(cx))) => ended,
                () = cancelled(&cut) => Ok(()),
            }
        }
    };
    if let Err(e) = ended {
        tracing::debug!(%peer, error = %e, "connection ended");
    }
}

/// One request, from its head to the head of its answer. Never fails, never panics.
async fn serve_one(shared: Arc<Shared>, request: Request<Incoming>) -> Response<Body> {
    let busy = shared.rest.begin();
    let work = AssertUnwindSafe(handle(&shared, request)).catch_unwind();
    match work.await {
        Ok(answer) => answer.map(|body| holding(body, busy)),
        Err(_) => {
            shared.worker.core.alarm("a panic while a request was served; it was denied");
            answer::last_resort()
        }
    }
}

async fn handle(shared: &Arc<Shared>, request: Request<Incoming>) -> Response<Body> {
    let mut head = shared.worker.head();
    let answer = handle_head(shared, request, &mut head).await;
    shared.worker.give_back(head);
    answer
}

async fn handle_head(shared: &Arc<Shared>, mut request: Request<Incoming>, head: &mut Head) -> Response<Body> {
    let worker = &shared.worker;
    let id = worker.core.control.new_request_id();
    let unread = Exchange { worker, client: &shared.client, id: id.clone() };
    let upgrade = request.extensions_mut().remove::<hyper::upgrade::OnUpgrade>();
    let protocol = request.extensions_mut().remove::<hyper::ext::Protocol>();
    let (parts, mut body) = request.into_parts();
    if let Err(refused) = head.read_h2(&parts, body.is_end_stream(), &worker.core.bounds) {
        return unread.refuse(&refused, None);
    }
    if let Some(protocol) = protocol {
        head.connect_protocol(protocol.as_str());
    }
    let behind = match shared.client.behind(head, &worker.core) {
        Ok(behind) => behind,
        Err(refused) => return unread.refuse(&refused, None),
    };
    let exchange = Exchange { worker, client: behind.as_ref().unwrap_or(&shared.client), id: id.clone() };
    if head.is_method("CONNECT")
        && !head.is_extended_connect()
        && let Some(upgrade) = upgrade
    {
        let tunnel = crate::tunnel::connect(&exchange, head, &parts.headers, shared.rest.begin(), upgrade);
        return Box::pin(tunnel).await;
    }
    drop(parts);
    let trace = shared.client.trace(&id, head, &worker.core);
    let mut tracing = Tracing::begin(&worker.core, trace.as_ref(), head, &id, exchange.client.scheme());
    let mut lines = Vec::with_capacity(crate::trace::LINE_BYTES);
    crate::trace::write(trace.as_ref(), &id, &mut lines);
    // To an application over HTTP/1.1 a length of nothing is the whole request: it is not sent before that is known to be so.
    if head.framing() == Framing::Length(0)
        && let Err(refused) = Box::pin(nothing_follows(&mut body, worker.core.limits.body_idle)).await
    {
        return exchange.refuse(&refused, None);
    }
    let answer = answer_head(shared, &exchange, head, body, upgrade, &lines, tracing.as_mut()).await;
    if let Some(tracing) = tracing {
        tracing.end(&worker.core, answer.status().as_u16(), Told::of(&answer));
    }
    answer
}

/// Waits for the end of a stream that said that it has no data.
async fn nothing_follows(body: &mut Incoming, patience: Duration) -> Result<(), Refused> {
    while !body.is_end_stream() {
        match timeout(patience, body.frame()).await {
            Ok(None) => return Ok(()),
            Ok(Some(Ok(frame))) if frame.data_ref().is_none_or(bytes::Bytes::is_empty) => {}
            Ok(Some(_)) => return Err(Refused::bad("broken_body")),
            Err(_) => return Err(Refused::limit(408, "slow_body")),
        }
    }
    Ok(())
}

async fn answer_head(
    shared: &Arc<Shared>,
    exchange: &Exchange<'_>,
    head: &mut Head,
    body: Incoming,
    upgrade: Option<hyper::upgrade::OnUpgrade>,
    trace: &[u8],
    tracing: Option<&mut Tracing>,
) -> Response<Body> {
    let worker = &shared.worker;
    let routed = exchange.route(head, &mut lock(&shared.memory));
    let (route, authority, text) = match routed {
        Ok(routed) => routed,
        Err((refused, app)) => return exchange.refuse(&refused, app.as_ref()),
    };
    if let Some(tracing) = tracing {
        tracing.routed(authority.host.as_str(), route.application(), head);
    }
    match route {
        // Its door over HTTP/2 is CONNECT.
        Route::Tunnel(app) => exchange.refuse(&Refused::bad("no_websocket"), Some(&app)),
        Route::Portal(app) => match exchange.portal_request(head, &authority, &text, app.as_ref(), boxed(body)) {
            Ok(request) => answer::stamp(worker.core.control.portal(request).await, &exchange.id),
            Err(refused) => exchange.refuse(&refused, app.as_ref()),
        },
        Route::Application(app) => {
            let decided = exchange.decide(head, &authority, &app, &mut lock(&shared.memory));
            match decided {
                Err(refusing) => Box::pin(exchange.deny(head, &text, &app, *refusing)).await,
                Ok(decided) => {
                    decided.lease.entry().end_late_with(shared.cut.clone());
                    match (head.upgrade(), upgrade) {
                        (Upgrade::WebSocket, Some(upgrade)) => {
                            let opening = websocket::open(shared, exchange, head, (&text, trace), decided, upgrade);
                            Box::pin(opening).await
                        }
                        _ => forward::forward(shared, exchange, head, (&text, trace), decided, body).await,
                    }
                }
            }
        }
    }
}

/// Until one of the two is over.
async fn either(one: impl Future<Output = ()>, other: impl Future<Output = ()>) {
    tokio::select! { () = one => {}, () = other => {} }
}

/// Whether anything is asked over a connection, and since when nothing is.
#[derive(Debug, Default)]
struct Rest(Mutex<Resting>);

#[derive(Debug, Default)]
struct Resting {
    busy: usize,
    since: Option<Instant>,
}

/// Keeps a connection from being seen as resting.
#[derive(Debug)]
struct Busy(Arc<Rest>);

impl Rest {
    fn begin(self: &Arc<Self>) -> Busy {
        lock(&self.0).busy += 1;
        Busy(Arc::clone(self))
    }

    /// Until nothing has been asked for so long.
    async fn lasts(&self, idle: Duration) {
        let began = Instant::now();
        loop {
            let rests = {
                let resting = lock(&self.0);
                if resting.busy > 0 { Duration::ZERO } else { resting.since.unwrap_or(began).elapsed() }
            };
            if rests >= idle {
                return;
            }
            sleep((idle - rests).max(LOOK)).await;
        }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let mut resting = lock(&self.0.0);
        resting.busy = resting.busy.saturating_sub(1);
        resting.since = Some(Instant::now());
    }
}
