//! One exchange between a client over HTTP/2 and an application over HTTP/1.1.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use bytes::Buf;
use http::{HeaderName, HeaderValue, Response, StatusCode};
use hyper::body::{Body as _, Incoming};
use safeconduct_http::{Answer, Bounds, Decoder, Head, Own, Refused, ResponseFraming, Upgrade, binds_connection};
use safeconduct_model::{Application, Class};

use super::Shared;
use super::download::Download;
use super::upload::Upload;
use crate::answer;
use crate::body::{Body, boxed, empty};
use crate::exchange::{Decided, Exchange, Refusing};
use crate::gateway::Core;
use crate::lease::Lease;
use crate::limits::Limits;
use crate::scratch;
use crate::upstream::{ForwardError, HEAD_BYTES, INTERIM, Up, is_h2, is_idempotent, may_repeat};

/// The fields that are put to those of an application's answer: its length and the id of the request.
const OWN_FIELDS: usize = 2;

/// An exchange with an application, on its way.
pub(super) struct Exchanging {
    pub(super) up: Up,
    pub(super) upload: Upload,
    pub(super) answer: Answer,
    interim: usize,
    /// How much of the body had been sent at the last look, and whether it waited for the client.
    seen: (u64, bool),
}

pub(super) async fn forward(
    shared: &Arc<Shared>,
    exchange: &Exchange<'_>,
    head: &Head,
    (host, trace): (&str, &[u8]),
    decided: Decided,
    body: Incoming,
) -> Response<Body> {
    if is_h2(&decided.lease.standing.target.upstream) {
        let forwarding = forward_h2(shared, exchange, head, (host, trace), decided, boxed(body));
        return Box::pin(forwarding).await;
    }
    let body = Some(body).filter(|b| !b.is_end_stream());
    let (exchanging, lease) = match permitted(shared, exchange, head, (host, trace), decided, body).await {
        Ok(pair) => pair,
        Err(answer) => return answer,
    };
    let worker = &shared.worker;
    let Exchanging { up, upload, answer, .. } = exchanging;
    let mut response = Response::new(empty());
    *response.status_mut() = StatusCode::from_u16(answer.status()).unwrap_or(StatusCode::BAD_GATEWAY);
    let fields = response.headers_mut();
    fields.reserve(answer.field_count() + OWN_FIELDS);
    for (name, value) in answer.shared_fields(&worker.core.cookies) {
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_maybe_shared(value))
        {
            fields.append(name, value);
        }
    }
    let framing = answer.framing();
    if let Some(n) = answer.length() {
        response.headers_mut().insert(http::header::CONTENT_LENGTH, n.into());
    }
    let bound =
        answer.binds_connection() || head.header("authorization").is_some_and(|a| binds_connection(a.as_bytes()));
    let keep = answer.persistent() && !bound;
    worker.give_back_answer(answer);
    let decoder = Decoder::answer(framing, &worker.core.answer_bounds);
    if framing == ResponseFraming::None && upload.is_done() {
        if keep && !lease.entry().is_lost() {
            drop(lease);
            worker.pools.give_back(up, std::time::Instant::now());
        }
    } else {
        *response.body_mut() = boxed(Download::new(Arc::clone(worker), up, upload, decoder, framing, lease, keep));
    }
    answer::stamp(response, &exchange.id)
}

/// One exchange with an application that speaks HTTP/2 too: frames and trailers go through as they are.
async fn forward_h2(
    shared: &Arc<Shared>,
    exchange: &Exchange<'_>,
    head: &Head,
    place: (&str, &[u8]),
    decided: Decided,
    body: Body,
) -> Response<Body> {
    let Decided { lease, mut receipt } = decided;
    let app = Arc::clone(&lease.standing.target);
    if app.class == Class::Critical
        && let Err(refused) = receipt.durable().await
    {
        return Box::pin(exchange.deny(head, place.0, &app, Refusing::unrecorded(&lease, refused))).await;
    }
    let answered = crate::upstream::h2::exchange(exchange, exchange.client, head, place, &lease, body).await;
    if let Err(refused) = receipt.written().await {
        return Box::pin(exchange.deny(head, place.0, &app, Refusing::unrecorded(&lease, refused))).await;
    }
    match answered {
        Ok(response) => {
            let response = crate::upstream::h2::answer(response, &shared.worker.core.cookies, lease);
            answer::stamp(response, &exchange.id)
        }
        Err(error) => exchange.failed(head, &lease, &error),
    }
}

/// Sends a request whose verdict is recorded and waits for the head of the answer; or says what the client gets instead.
pub(super) async fn permitted(
    shared: &Arc<Shared>,
    exchange: &Exchange<'_>,
    head: &Head,
    (host, trace): (&str, &[u8]),
    decided: Decided,
    body: Option<Incoming>,
) -> Result<(Exchanging, Lease), Response<Body>> {
    let Decided { lease, receipt } = decided;
    let app = Arc::clone(&lease.standing.target);
    let mut receipt = Some(receipt);
    if app.class == Class::Critical
        && let Some(mut receipt) = receipt.take()
        && let Err(refused) = receipt.durable().await
    {
        return Err(Box::pin(exchange.deny(head, host, &app, Refusing::unrecorded(&lease, refused))).await);
    }
    let sent = send(shared, exchange, head, (host, trace), &lease, body).await;
    if let Some(mut receipt) = receipt.take()
        && let Err(refused) = receipt.written().await
    {
        return Err(Box::pin(exchange.deny(head, host, &app, Refusing::unrecorded(&lease, refused))).await);
    }
    match sent {
        Ok(exchanging) => {
            lease.answered(exchanging.answer.status());
            Ok((exchanging, lease))
        }
        Err(error) => Err(exchange.failed(head, &lease, &error)),
    }
}

async fn send(
    shared: &Arc<Shared>,
    exchange: &Exchange<'_>,
    head: &Head,
    (host, trace): (&str, &[u8]),
    lease: &Lease,
    mut body: Option<Incoming>,
) -> Result<Exchanging, ForwardError> {
    let (worker, app) = (&shared.worker, &lease.standing.target);
    let mut lost = 0;
    loop {
        let resting = if lost == 0 { worker.pools.take(&lease.standing, lease.began()) } else { None };
        let mut up = match resting {
            Some(up) => up,
            None => tokio::select! {
                biased;
                () = lease.entry().lost() => return Err(ForwardError::Lost),
                up = Box::pin(worker.pools.connect(&lease.standing)) => up?,
            },
        };
        let mut out = Vec::with_capacity(HEAD_BYTES);
        let own = Own {
            client: &exchange.client.address,
            proto: shared.client.scheme(),
            request: exchange.id.as_str(),
            more: &lease.standing.lines,
            trace,
        };
        let encoder = head.write_request(host, &own, &mut out);
        up.patience.set(worker.core.limits.first_byte);
        let upload = Upload::new(out, body.take(), encoder, head.framing(), worker.core.limits.body_bytes);
        let mut exchanging = Exchanging { up, upload, answer: worker.answer(), interim: 0, seen: (0, false) };
        let core = &worker.core;
        let heard = std::future::poll_fn(|cx| exchanging.poll(cx, lease, head, core)).await;
        match heard {
            Ok(()) => return Ok(exchanging),
            Err(ForwardError::Broken(_)) if exchanging.may_repeat(app, head, lost) => {
                if !exchanging.up.reused {
                    lost += 1;
                }
                body = exchanging.upload.into_body();
            }
            Err(error) => return Err(error),
        }
    }
}

impl Exchanging {
    fn may_repeat(&self, app: &Application, head: &Head, lost: usize) -> bool {
        let safe = !self.upload.has_body() && is_idempotent(head.method());
        let unheard = self.up.input.is_empty() && self.interim == 0;
        unheard && may_repeat(&self.up, app, safe, !self.upload.has_written(), lost)
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        lease: &Lease,
        head: &Head,
        core: &Core,
    ) -> Poll<Result<(), ForwardError>> {
        if lease.entry().poll_lost(cx).is_ready() {
            return Poll::Ready(Err(ForwardError::Lost));
        }
        let (bounds, limits): (&Bounds, &Limits) = (&core.answer_bounds, &core.limits);
        if !self.upload.is_done() {
            match self.upload.poll(cx, &mut self.up.io, lease.entry()) {
                // The time for the answer runs from the last byte of the request.
                Poll::Ready(Ok(())) => self.up.patience.set(limits.first_byte),
                Poll::Ready(Err(ForwardError::Broken(_))) => {}
                Poll::Pending => {
                    let now = (lease.entry().up.load(Ordering::Relaxed), self.upload.waits_for_client());
                    if now != self.seen {
                        self.seen = now;
                        self.up.patience.set(if now.1 { limits.body_idle } else { limits.first_byte });
                    }
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            }
        }
        let to_head = head.is_method("HEAD");
        let mut grown = !self.up.input.is_empty();
        loop {
            if grown {
                match self.answer.read(&self.up.input, to_head, bounds) {
                    Ok(Some(n)) => {
                        self.up.input.advance(n);
                        match self.answer.status() {
                            101 if head.upgrade() == Upgrade::WebSocket && self.answer.is_websocket() => {
                                return Poll::Ready(Ok(()));
                            }
                            101 => return Poll::Ready(Err(ForwardError::WrongUpgrade)),
                            100..=199 if self.interim < INTERIM => self.interim += 1,
                            100..=199 => return Poll::Ready(Err(ForwardError::BadAnswer("answer_interim"))),
                            _ => return Poll::Ready(Ok(())),
                        }
                        grown = !self.up.input.is_empty();
                        continue;
                    }
                    Ok(None) => {}
                    Err(bad) => return Poll::Ready(Err(ForwardError::BadAnswer(bad.0))),
                }
            }
            match scratch::poll_read(&mut self.up.io, &mut self.up.input, cx) {
                Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Err(ForwardError::Broken("closed"))),
                Poll::Ready(Ok(_)) => grown = true,
                Poll::Pending => break,
            }
        }
        if !self.up.patience.poll(cx) {
            return Poll::Pending;
        }
        Poll::Ready(Err(match self.upload.waits_for_client() {
            true => ForwardError::Client(Refused::limit(408, "slow_body")),
            false => ForwardError::FirstByteTimeout,
        }))
    }
}
