//! A client connection over HTTP/1.1: heads in, one at a time, each answered before the next is looked at.

mod forward;
mod portal;
mod respond;
mod websocket;

use std::io;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::Response;
use safeconduct_http::{Answer, Authority, Decoder, Head, Refused};
use safeconduct_model::{Application, RequestId};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::answer;
use crate::body::Body;
use crate::exchange::{Client, Exchange, Memory, Route};
use crate::hang_up::HangUp;
use crate::lease::Lease;
use crate::patience::Patience;
use crate::relay::relay;
use crate::scratch;
use crate::span::{Told, Tracing};
use crate::stop::cancelled;
use crate::tunnel::{Opened, Socket};
use crate::upstream::Up;
use crate::worker::Worker;

/// How much input is thrown away before a connection is closed, so that the last answer arrives.
const LINGER_BYTES: usize = 256 * 1024;
/// How long that may take.
const LINGER: Duration = Duration::from_millis(500);
/// How much of the requests behind the present one is read ahead.
const AHEAD_BYTES: usize = 64 * 1024;

/// A client connection.
pub(crate) struct Conn<S> {
    io: S,
    worker: Arc<Worker>,
    client: Client,
    /// The client of the present request, where a trusted hop speaks for several.
    behind: Option<Client>,
    /// The trace of the present request, as lines.
    trace: Vec<u8>,
    /// Read and not yet understood.
    input: BytesMut,
    head: Head,
    answer: Answer,
    /// The status that was answered last.
    status: u16,
    /// What that answer said of itself.
    told: Option<Told>,
    /// Memory for what is written.
    out: Vec<u8>,
    patience: Patience,
    memory: Memory,
}

/// What comes after an exchange.
enum Next {
    /// Another request.
    Keep,
    /// The end of the connection. What the client still sends is thrown away for a moment.
    Close,
    /// The end at once: the client must see that the answer is not whole.
    Abort,
    /// The same, since the lease was lost: the client is to see it before anything is cleared up.
    Cut(Box<(Up, Lease)>),
    /// Bytes of another protocol.
    Relay(Box<(Up, Lease)>),
    /// Bytes of a tunnel.
    Tunnel(Box<Opened>),
}

/// What the client did.
enum Heard {
    /// It sent a head.
    Head,
    /// It sent something else.
    Refused(Refused),
    /// It closed, or rested for too long.
    Gone,
    /// It began a head and did not end it.
    Late,
    /// The gateway stops.
    Stopping,
}

/// Serves a connection until it ends, or until it becomes something else: that is given back, to be run where it does not keep
/// the memory of a connection that serves requests.
pub(crate) async fn serve<S>(
    worker: Arc<Worker>,
    io: S,
    client: Client,
    shutdown: CancellationToken,
) -> Option<BoxFuture<'static, ()>>
where
    S: AsyncRead + AsyncWrite + HangUp + Unpin + Send + 'static,
{
    let mut conn = Conn {
        io,
        worker,
        client,
        behind: None,
        trace: Vec::new(),
        input: BytesMut::new(),
        head: Head::default(),
        answer: Answer::default(),
        status: 0,
        told: None,
        out: Vec::new(),
        patience: Patience::default(),
        memory: Memory::default(),
    };
    let last = conn.talk(&shutdown).await;
    match last {
        Next::Keep | Next::Close => {
            Box::pin(conn.linger()).await;
            None
        }
        Next::Abort => None,
        Next::Cut(rest) => {
            conn.io.hang_up();
            let (up, lease) = *rest;
            lease.leave(async move { drop((conn, up)) });
            None
        }
        Next::Tunnel(opened) => {
            let Conn { io, .. } = conn;
            Some(Box::pin(async move { opened.carry(Socket::new(io)).await }))
        }
        Next::Relay(streams) => {
            let Conn { io, input, .. } = conn;
            let (up, lease) = *streams;
            let Up { io: upstream, input: from_upstream, open, .. } = up;
            Some(Box::pin(async move {
                let _open = open;
                relay((io, input), (upstream, from_upstream), lease).await;
            }))
        }
    }
}

impl<S> Conn<S>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    async fn talk(&mut self, shutdown: &CancellationToken) -> Next {
        let mut stopping = pin!(cancelled(shutdown));
        self.patience.set(self.worker.core.limits.idle);
        loop {
            scratch::shrink(&mut self.input);
            let heard = std::future::poll_fn(|cx| self.poll_head(cx, stopping.as_mut())).await;
            let next = match heard {
                Heard::Head => {
                    let work = AssertUnwindSafe(self.serve_one(shutdown)).catch_unwind().await;
                    match work {
                        Ok(next) => next,
                        Err(_) => {
                            self.worker.core.alarm("a panic while a request was served; it was denied");
                            Box::pin(self.respond(answer::last_resort(), true)).await;
                            Next::Close
                        }
                    }
                }
                Heard::Refused(refused) => {
                    let id = self.worker.core.control.new_request_id();
                    let exchange = Exchange { worker: &self.worker, client: self.client(), id };
                    let refusal = exchange.refuse(&refused, None);
                    Box::pin(self.respond(refusal, true)).await;
                    Next::Close
                }
                Heard::Late => {
                    let late = Refused::limit(408, "slow_head");
                    let id = self.worker.core.control.new_request_id();
                    let refusal = Exchange { worker: &self.worker, client: self.client(), id }.refuse(&late, None);
                    Box::pin(self.respond(refusal, true)).await;
                    Next::Close
                }
                Heard::Gone => Next::Abort,
                Heard::Stopping => Next::Close,
            };
            if !matches!(next, Next::Keep) {
                return next;
            }
        }
    }

    /// Waits for the next head.
    fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        mut stopping: std::pin::Pin<&mut impl Future<Output = ()>>,
    ) -> Poll<Heard> {
        let limits = &self.worker.core.limits;
        let mut grown = !self.input.is_empty();
        let mut begun = false;
        loop {
            if grown {
                match self.head.read_h1(&self.input, &self.worker.core.bounds) {
                    Ok(Some(n)) => {
                        self.input.advance(n);
                        return Poll::Ready(Heard::Head);
                    }
                    Ok(None) => {}
                    Err(refused) => return Poll::Ready(Heard::Refused(refused)),
                }
            }
            let began = self.input.is_empty();
            match scratch::poll_read(&mut self.io, &mut self.input, cx) {
                Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Heard::Gone),
                Poll::Ready(Ok(_)) => {
                    grown = true;
                    begun |= began;
                }
                Poll::Pending => {
                    // Most heads are there at once: the clock is read for the others.
                    if begun {
                        self.patience.set(limits.head_read);
                    }
                    if self.input.is_empty() && stopping.as_mut().poll(cx).is_ready() {
                        return Poll::Ready(Heard::Stopping);
                    }
                    if self.patience.poll(cx) {
                        return Poll::Ready(if self.input.is_empty() { Heard::Gone } else { Heard::Late });
                    }
                    return Poll::Pending;
                }
            }
        }
    }

    fn client(&self) -> &Client {
        self.behind.as_ref().unwrap_or(&self.client)
    }

    async fn serve_one(&mut self, shutdown: &CancellationToken) -> Next {
        let id = self.worker.core.control.new_request_id();
        let worker = Arc::clone(&self.worker);
        let core = &worker.core;
        // Whom the hop spoke for in the request before is nobody in this one.
        self.behind = None;
        let behind = self.client.behind(&self.head, core);
        let trace = self.client.trace(&id, &self.head, core);
        self.trace.clear();
        crate::trace::write(trace.as_ref(), &id, &mut self.trace);
        self.told = None;
        let mut tracing = Tracing::begin(core, trace.as_ref(), &self.head, &id, self.client.scheme());
        let routed = match behind {
            Err(refused) => Err((refused, None)),
            Ok(behind) => {
                self.behind = behind;
                let client = self.behind.as_ref().unwrap_or(&self.client);
                let exchange = Exchange { worker: &worker, client, id: id.clone() };
                exchange.route(&mut self.head, &mut self.memory)
            }
        };
        let (route, authority, text) = match routed {
            Ok(routed) => routed,
            Err((refused, app)) => {
                let exchange = Exchange { worker: &worker, client: self.client(), id };
                let refusal = exchange.refuse(&refused, app.as_ref());
                Box::pin(self.respond(refusal, true)).await;
                if let Some(tracing) = tracing {
                    tracing.end(core, self.status, self.told);
                }
                return Next::Close;
            }
        };
        if let Some(tracing) = &mut tracing {
            tracing.routed(authority.host.as_str(), route.application(), &self.head);
        }
        let persistent = self.head.persistent();
        let closes = || !persistent || shutdown.is_cancelled();
        let next = match route {
            // What is rare has its memory elsewhere: a connection that rests keeps room for what is usual.
            Route::Tunnel(app) => Box::pin(self.tunnel(id, &authority, &app, closes())).await,
            Route::Portal(app) => Box::pin(self.portal(id, &authority, &text, app.as_ref(), closes())).await,
            Route::Application(app) => {
                let decided = {
                    let client = self.behind.as_ref().unwrap_or(&self.client);
                    let exchange = Exchange { worker: &worker, client, id: id.clone() };
                    exchange.decide(&self.head, &authority, &app, &mut self.memory)
                };
                match decided {
                    Ok(decided) => self.forward(id, &text, decided, shutdown).await,
                    Err(refusing) => {
                        let exchange = Exchange { worker: &worker, client: self.client(), id };
                        let denial = Box::pin(exchange.deny(&self.head, &text, &app, *refusing)).await;
                        Box::pin(self.respond_unread(denial, closes())).await
                    }
                }
            }
        };
        if let Some(tracing) = tracing {
            tracing.end(core, self.status, self.told);
        }
        self.patience.set(core.limits.idle);
        next
    }

    /// Opens a tunnel over a WebSocket.
    async fn tunnel(&mut self, id: RequestId, authority: &Authority, app: &Arc<Application>, close: bool) -> Next {
        let worker = Arc::clone(&self.worker);
        let exchange = Exchange { worker: &worker, client: self.client(), id };
        match crate::tunnel::websocket(&exchange, app, authority, &self.head).await {
            // Nothing may be sent before the answer: what is there already belongs to nobody.
            Ok((opened, answer)) if self.input.is_empty() => {
                if self.respond_switch(answer).await {
                    Next::Tunnel(Box::new(opened))
                } else {
                    Next::Abort
                }
            }
            Ok(_) => Next::Abort,
            Err(answer) => self.respond_unread(answer, close).await,
        }
    }

    /// Answers a request whose body was not read. A body that is there already is passed over; any other ends the connection.
    async fn respond_unread(&mut self, response: Response<Body>, close: bool) -> Next {
        let mut decoder = Decoder::request(self.head.framing(), &self.worker.core.bounds);
        while !decoder.ended() && !self.input.is_empty() {
            match decoder.next(&self.input) {
                Ok(piece) => self.input.advance(piece.skip + piece.data),
                Err(_) => break,
            }
        }
        let close = close || !decoder.ended();
        self.respond(response, close).await;
        if close { Next::Close } else { Next::Keep }
    }

    /// Closes our side, then for a moment throws away what the client still sends: a reset would overtake the last answer.
    async fn linger(&mut self) {
        let discard = async {
            self.io.shutdown().await?;
            let mut left = LINGER_BYTES;
            while left > 0 {
                self.input.clear();
                let n = std::future::poll_fn(|cx| scratch::poll_read(&mut self.io, &mut self.input, cx)).await?;
                if n == 0 {
                    break;
                }
                left = left.saturating_sub(n);
            }
            io::Result::Ok(())
        };
        let _ = timeout(LINGER, discard).await;
    }
}
