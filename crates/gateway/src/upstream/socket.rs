//! A WebSocket to an application over HTTP/2 (RFC 8441).
//!
//! Each has a connection of its own, as over HTTP/1.1: one that is not read, or is cut, holds up no other. The application says
//! in its settings whether it takes WebSockets so; nothing is asked of one that does not say it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use h2::client::{Builder, Connection, SendRequest};
use h2::ext::Protocol;
use h2::{Ping, Reason, RecvStream, SendStream};
use http::header::{CONTENT_LENGTH, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY};
use http::{HeaderMap, Method, Request, StatusCode, Version};
use safeconduct_http::Head;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{ForwardError, Io, Target, Up, h2 as over};
use crate::exchange::Exchange;
use crate::lease::Lease;
use crate::limits::Limits;

/// The window of a WebSocket: what may wait in both directions.
const WINDOW: u32 = 256 << 10;
/// The most that is copied at once.
const PIECE: usize = 16 << 10;
/// How long a connection whose WebSocket is gone may take to say so.
const FAREWELL: Duration = Duration::from_millis(200);

/// What an application said to the request for a WebSocket.
pub(crate) enum Said {
    /// It took it.
    Yes(HeaderMap, Box<Up>),
    /// It did not.
    No(StatusCode, HeaderMap),
}

/// Asks the application of a lease for a WebSocket.
pub(crate) async fn open(
    exchange: &Exchange<'_>,
    head: &Head,
    place: (&str, &[u8]),
    lease: &Lease,
) -> Result<Said, ForwardError> {
    let (worker, app) = (exchange.worker, &lease.standing.target);
    let limits = &worker.core.limits;
    let target = Target::of(&app.upstream).ok_or_else(|| ForwardError::Address(app.upstream.clone()))?;
    let request = request(exchange, head, place, lease, &target)?;
    let asking = async {
        let opening = async {
            let (io, leaving) = worker.pools.reach(app).await?;
            let (sender, gone) = begin(io, limits).await?;
            Ok::<_, ForwardError>((sender, gone, leaving))
        };
        let opened = timeout(limits.connect, opening).await.map_err(|_| ForwardError::ConnectTimeout)?;
        let (mut sender, gone, leaving) = opened?;
        if !sender.is_extended_connect_protocol_enabled() {
            return Err(ForwardError::NoWebSocket);
        }
        let broken = |_| ForwardError::Broken("closed");
        let (answer, up) = sender.send_request(request, false).map_err(broken)?;
        let answer = timeout(limits.first_byte, answer).await.map_err(|_| ForwardError::FirstByteTimeout)?;
        let (answer, down) = answer.map_err(broken)?.into_parts();
        let mut fields = answer.headers;
        over::clean_fields(&mut fields, &worker.core.cookies);
        fields.remove(CONTENT_LENGTH);
        fields.remove(SEC_WEBSOCKET_ACCEPT);
        if !answer.status.is_success() {
            return Ok(Said::No(answer.status, fields));
        }
        let socket = Socket { up, down, rest: Bytes::new(), said_all: false, _sender: sender, _gone: gone };
        let up = worker.pools.carried(&lease.standing, Io::Other(Box::new(socket)), leaving);
        Ok(Said::Yes(fields, Box::new(up)))
    };
    tokio::select! {
        biased;
        () = lease.entry().lost() => Err(ForwardError::Lost),
        said = asking => said,
    }
}

fn request(
    exchange: &Exchange<'_>,
    head: &Head,
    place: (&str, &[u8]),
    lease: &Lease,
    target: &Target,
) -> Result<Request<()>, ForwardError> {
    let mut request = Request::new(());
    let scheme = if target.tls { "https" } else { "http" };
    *request.method_mut() = Method::CONNECT;
    let uri = format!("{scheme}://{}{}", place.0, head.path_and_query());
    *request.uri_mut() = uri.parse().map_err(|_| ForwardError::Broken("request"))?;
    *request.version_mut() = Version::HTTP_2;
    request.extensions_mut().insert(Protocol::from_static("websocket"));
    let fields = request.headers_mut();
    // The key proves nothing over HTTP/2 (RFC 8441, 5.1).
    for (name, value) in head.forwarded().filter(|(name, _)| *name != SEC_WEBSOCKET_KEY.as_str()) {
        over::put(fields, name.as_bytes(), value);
    }
    if let Some(cookies) = head.cookies() {
        over::put(fields, b"cookie", cookies.as_bytes());
    }
    over::put_own(fields, exchange, exchange.client, place, lease);
    Ok(request)
}

/// Begins HTTP/2 and waits until the settings of the application are known.
async fn begin(io: Io, limits: &Limits) -> Result<(SendRequest<Bytes>, DropGuard), ForwardError> {
    let failed = |e: h2::Error| ForwardError::Connect(e.to_string());
    let mut builder = Builder::new();
    builder
        .enable_push(false)
        .initial_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .max_header_list_size(u32::try_from(limits.response_head_bytes).unwrap_or(u32::MAX));
    let (sender, mut connection): (_, Connection<Io, Bytes>) = builder.handshake(io).await.map_err(failed)?;
    let mut pings = connection.ping_pong().ok_or(ForwardError::Broken("closed"))?;
    let gone = CancellationToken::new();
    let watched = gone.clone();
    tokio::spawn(async move {
        let left = async {
            watched.cancelled().await;
            tokio::time::sleep(FAREWELL).await;
        };
        tokio::select! {
            _ = connection => {}
            () = left => {}
        }
    });
    let gone = gone.drop_guard();
    // Settings are the first word of a server, so they are known when it answers anything.
    pings.ping(Ping::opaque()).await.map_err(failed)?;
    Ok((sender, gone))
}

/// The bytes of a WebSocket. Dropping it ends the connection.
struct Socket {
    up: SendStream<Bytes>,
    down: RecvStream,
    /// What was received and not yet read.
    rest: Bytes,
    said_all: bool,
    _sender: SendRequest<Bytes>,
    _gone: DropGuard,
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while this.rest.is_empty() {
            match ready!(this.down.poll_data(cx)) {
                Some(Ok(piece)) => this.rest = piece,
                None => return Poll::Ready(Ok(())),
                Some(Err(e)) => return Poll::Ready(Err(broken(e))),
            }
        }
        let n = this.rest.len().min(out.remaining());
        out.put_slice(&this.rest[..n]);
        this.rest.advance(n);
        // Room for the application only once somebody took the bytes.
        this.down.flow_control().release_capacity(n).map_err(broken)?;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        if this.said_all {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        this.up.reserve_capacity(bytes.len().min(PIECE));
        while this.up.capacity() == 0 {
            match ready!(this.up.poll_capacity(cx)) {
                Some(Ok(_)) => {}
                Some(Err(e)) => return Poll::Ready(Err(broken(e))),
                None => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            }
        }
        let n = this.up.capacity().min(bytes.len()).min(PIECE);
        this.up.send_data(Bytes::copy_from_slice(&bytes[..n]), false).map_err(broken)?;
        Poll::Ready(Ok(n))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The connection writes by itself.
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !std::mem::replace(&mut this.said_all, true) {
            this.up.send_data(Bytes::new(), true).map_err(broken)?;
        }
        Poll::Ready(Ok(()))
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // An end that was said stays one; anything else is given up.
        if !(self.said_all && self.down.is_end_stream()) {
            self.up.send_reset(Reason::CANCEL);
        }
    }
}

fn broken(error: h2::Error) -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionReset, error)
}
