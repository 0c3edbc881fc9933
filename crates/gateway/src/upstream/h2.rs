//! Applications over HTTP/2: gRPC, and whatever else wants trailers and streams. One connection per thread carries all of them.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, COOKIE, HeaderName, HeaderValue, TE};
use http::{HeaderMap, Request, Response, Version};
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use safeconduct_http::{Framing, Head, Refused, names};
use tokio::time::timeout;

use super::{ForwardError, Io, Open, Target};
use crate::body::{Body, BodyError, boxed};
use crate::exchange::{Client, Exchange};
use crate::gather::Gather;
use crate::lease::Lease;
use crate::limits::Limits;
use crate::live::Entry;
use crate::metrics::AppMetrics;

/// A connection to an application over HTTP/2. Clones share it.
pub(crate) type Shared = SendRequest<Body>;

/// The windows of a connection and of a stream.
const CONNECTION_WINDOW: u32 = 1 << 20;
const STREAM_WINDOW: u32 = 256 << 10;

/// Begins HTTP/2 on a connection.
pub(super) async fn begin(io: Io, limits: &Limits, metrics: &Arc<AppMetrics>) -> Result<Shared, ForwardError> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .initial_connection_window_size(CONNECTION_WINDOW)
        .initial_stream_window_size(STREAM_WINDOW)
        .max_header_list_size(u32::try_from(limits.response_head_bytes).unwrap_or(u32::MAX))
        .keep_alive_interval(limits.h2_ping)
        .keep_alive_timeout(limits.h2_ping);
    let failed = |e: hyper::Error| ForwardError::Connect(e.to_string());
    let io = Gather::new(io);
    let (sender, mut driver) = builder.handshake(TokioIo::new(io.clone())).await.map_err(failed)?;
    let open = Open::new(metrics);
    tokio::spawn(async move {
        if let Err(error) = poll_fn(|cx| io.turn(cx, |cx| Pin::new(&mut driver).poll(cx))).await {
            tracing::debug!(%error, "a connection to an application over HTTP/2 ended");
        }
        drop(open);
    });
    Ok(sender)
}

/// Sends a permitted request and waits for the head of the answer.
pub(crate) async fn exchange(
    exchange: &Exchange<'_>,
    client: &Client,
    head: &Head,
    (host, trace): (&str, &[u8]),
    lease: &Lease,
    body: Body,
) -> Result<Response<Incoming>, ForwardError> {
    let (worker, app) = (exchange.worker, &lease.standing.target);
    let limits = &worker.core.limits;
    let target = Target::of(&app.upstream).ok_or_else(|| ForwardError::Address(app.upstream.clone()))?;
    let (entry, sent) = (Arc::clone(lease.entry()), Arc::<Sent>::default());
    let length = if let Framing::Length(n) = head.framing() { Some(n) } else { None };
    let counted = Counted {
        inner: body,
        entry: Arc::clone(&entry),
        sent: Arc::clone(&sent),
        bound: limits.body_bytes,
        length,
        total: 0,
        held: None,
        trailers: None,
        over: false,
    };
    let mut request = Request::new(boxed(counted));
    let bad = || ForwardError::Broken("request");
    let scheme = if target.tls { "https" } else { "http" };
    *request.method_mut() = http::Method::from_bytes(head.method().as_bytes()).map_err(|_| bad())?;
    *request.uri_mut() = format!("{scheme}://{host}{}", head.path_and_query()).parse().map_err(|_| bad())?;
    *request.version_mut() = Version::HTTP_2;
    let fields = request.headers_mut();
    for (name, value) in head.forwarded() {
        put(fields, name.as_bytes(), value);
    }
    if let Some(cookies) = head.cookies() {
        put(fields, COOKIE.as_str().as_bytes(), cookies.as_bytes());
    }
    // gRPC asks for trailers, and some of its servers insist (RFC 9110, 10.1.4).
    if head.raw("te").any(|te| te == b"trailers") {
        fields.insert(TE, HeaderValue::from_static("trailers"));
    }
    if let Some(n) = length {
        fields.insert(CONTENT_LENGTH, n.into());
    }
    put_own(fields, exchange, client, (host, trace), lease);
    let sending = async {
        let mut sender = worker.pools.shared(&lease.standing).await?;
        let sending = sender.send_request(request);
        first_byte(sending, &entry, &sent, limits).await?.map_err(|error| {
            tracing::debug!(%error, app = %app.id, "an exchange over HTTP/2 failed");
            // What the client did wrong is not told of the application.
            sent.fault.get().map_or(ForwardError::Broken("closed"), |refused| ForwardError::Client(refused.clone()))
        })
    };
    tokio::select! {
        biased;
        () = lease.entry().lost() => Err(ForwardError::Lost),
        answer = sending => answer,
    }
}

/// The answer as the client gets it. Its body owns the lease.
pub(crate) fn answer(response: Response<Incoming>, cookies: &[String], lease: Lease) -> Response<Body> {
    lease.answered(response.status().as_u16());
    let (mut head, body) = response.into_parts();
    clean_fields(&mut head.headers, cookies);
    head.extensions.clear();
    head.version = Version::default();
    Response::from_parts(head, boxed(Carried { inner: body, lease }))
}

/// Takes out of the head of an answer what no application may say.
pub(super) fn clean_fields(fields: &mut HeaderMap, cookies: &[String]) {
    let gone: Vec<HeaderName> = fields
        .keys()
        .filter(|n| {
            let name = n.as_str();
            names::is_hop_by_hop(name.as_bytes()) || names::is_ours(name) || name == "alt-svc"
        })
        .cloned()
        .collect();
    for name in gone {
        fields.remove(name);
    }
    let set: Vec<HeaderValue> = fields.get_all(http::header::SET_COOKIE).iter().cloned().collect();
    let ours = |v: &HeaderValue| {
        let name = v.as_bytes().split(|b| *b == b'=').next().unwrap_or_default().trim_ascii();
        cookies.iter().any(|c| c.as_bytes() == name)
    };
    if set.iter().any(ours) {
        fields.remove(http::header::SET_COOKIE);
        for value in set.into_iter().filter(|v| !ours(v)) {
            fields.append(http::header::SET_COOKIE, value);
        }
    }
}

/// Waits for the head of the answer. The time runs from the last byte of the request; while a client pauses, its own runs.
async fn first_byte<T>(
    answer: impl Future<Output = T>,
    entry: &Entry,
    sent: &Sent,
    limits: &Limits,
) -> Result<T, ForwardError> {
    let mut answer = std::pin::pin!(answer);
    let look = || (entry.up.load(Ordering::Relaxed), sent.waits.load(Ordering::Relaxed));
    let mut seen = look();
    loop {
        let span = if seen.1 { limits.body_idle } else { limits.first_byte };
        if let Ok(answer) = timeout(span, answer.as_mut()).await {
            return Ok(answer);
        }
        match (look() == seen, seen.1) {
            (true, true) => return Err(ForwardError::Client(Refused::limit(408, "slow_body"))),
            (true, false) => return Err(ForwardError::FirstByteTimeout),
            (false, _) => seen = look(),
        }
    }
}

/// What the gateway tells the application on its own.
pub(super) fn put_own(
    fields: &mut HeaderMap,
    exchange: &Exchange<'_>,
    client: &Client,
    (host, trace): (&str, &[u8]),
    lease: &Lease,
) {
    for (name, value) in [
        ("x-forwarded-for", client.address.as_str()),
        ("x-forwarded-proto", client.scheme()),
        ("x-forwarded-host", host),
        ("x-request-id", exchange.id.as_str()),
    ] {
        put(fields, name.as_bytes(), value.as_bytes());
    }
    put_lines(fields, &lease.standing.lines);
    put_lines(fields, trace);
}

pub(super) fn put(fields: &mut HeaderMap, name: &[u8], value: &[u8]) {
    if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
        fields.append(name, value);
    }
}

fn put_lines(fields: &mut HeaderMap, lines: &[u8]) {
    for line in lines.split(|b| *b == b'\n') {
        if let Some(colon) = line.iter().position(|b| *b == b':') {
            put(fields, &line[..colon], line[colon + 1..].trim_ascii());
        }
    }
}

/// Takes out of trailers what may not stand there.
fn clean(frame: Frame<Bytes>, forbidden: impl Fn(&str) -> bool) -> Frame<Bytes> {
    match frame.into_trailers() {
        Err(frame) => frame,
        Ok(mut trailers) => {
            let gone: Vec<_> = trailers
                .keys()
                .filter(|n| {
                    let name = n.as_str();
                    forbidden(name) || names::is_hop_by_hop(name.as_bytes()) || name.contains('_')
                })
                .cloned()
                .collect();
            for name in gone {
                trailers.remove(name);
            }
            Frame::trailers(trailers)
        }
    }
}

/// What is known of a body on its way up.
#[derive(Default)]
struct Sent {
    /// What the client did wrong with it, if anything.
    fault: OnceLock<Refused>,
    /// Whether the client is waited for.
    waits: AtomicBool,
}

/// The body of a request on its way up.
struct Counted {
    inner: Body,
    entry: Arc<Entry>,
    sent: Arc<Sent>,
    bound: Option<u64>,
    /// The length that was declared.
    length: Option<u64>,
    total: u64,
    /// The last byte of a declared length, until the end of the body is known: with it an application that counts would take
    /// the request for whole.
    held: Option<Bytes>,
    /// What stands behind it.
    trailers: Option<Frame<Bytes>>,
    over: bool,
}

impl Counted {
    /// Ends the stream to the application for what the client did.
    fn refuse(&mut self, refused: Refused) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let words = refused.code;
        // The first fault stays.
        let _ = self.sent.fault.set(refused);
        (self.over, self.held, self.trailers) = (true, None, None);
        Poll::Ready(Some(Err(words.into())))
    }
}

impl HttpBody for Counted {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        loop {
            if this.over {
                return Poll::Ready(this.trailers.take().map(Ok));
            }
            let polled = Pin::new(&mut this.inner).poll_frame(cx);
            this.sent.waits.store(polled.is_pending(), Ordering::Relaxed);
            let polled = std::task::ready!(polled);
            if this.entry.is_lost() {
                return Poll::Ready(Some(Err("the lease was lost".into())));
            }
            let frame = match polled {
                Some(Ok(frame)) => frame,
                Some(Err(_)) => return this.refuse(Refused::bad("broken_body")),
                None if this.length.is_some_and(|n| n != this.total) => {
                    return this.refuse(Refused::bad("broken_body"));
                }
                None => {
                    this.over = true;
                    return Poll::Ready(this.held.take().map(|last| Ok(Frame::data(last))));
                }
            };
            let mut data = match frame.into_data() {
                Ok(data) => data,
                Err(_) if this.length.is_some_and(|n| n != this.total) => {
                    return this.refuse(Refused::bad("broken_body"));
                }
                Err(frame) => {
                    this.over = true;
                    this.trailers = Some(clean(frame, names::is_protected));
                    let last = this.held.take().map(Frame::data).or_else(|| this.trailers.take());
                    return Poll::Ready(last.map(Ok));
                }
            };
            this.total += data.len() as u64;
            this.entry.up.fetch_add(data.len() as u64, Ordering::Relaxed);
            if this.bound.is_some_and(|bound| this.total > bound) {
                return this.refuse(Refused::limit(413, "body_too_long"));
            }
            match this.length {
                Some(n) if this.total > n => return this.refuse(Refused::bad("broken_body")),
                Some(n) if this.total == n && !data.is_empty() && !this.inner.is_end_stream() => {
                    this.held = Some(data.split_off(data.len() - 1));
                    if data.is_empty() {
                        continue;
                    }
                }
                _ => {}
            }
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
    }

    fn is_end_stream(&self) -> bool {
        match self.over {
            true => self.trailers.is_none(),
            false => self.held.is_none() && self.inner.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        // The declared length is told on its own.
        SizeHint::default()
    }
}

/// The body of an answer on its way down. It owns the lease: when it is gone, so is the lease.
struct Carried {
    inner: Incoming,
    lease: Lease,
}

impl HttpBody for Carried {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        if this.lease.entry().poll_lost(cx).is_ready() {
            return Poll::Ready(Some(Err("the lease was lost".into())));
        }
        Poll::Ready(match std::task::ready!(Pin::new(&mut this.inner).poll_frame(cx)) {
            Some(Ok(frame)) => {
                let n = frame.data_ref().map_or(0, Bytes::len) as u64;
                this.lease.entry().down.fetch_add(n, Ordering::Relaxed);
                Some(Ok(clean(frame, names::is_ours)))
            }
            Some(Err(error)) => Some(Err(error.into())),
            None => None,
        })
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
