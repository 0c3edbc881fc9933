//! One exchange between a client and an application, both over HTTP/1.1.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Buf, BytesMut};
use safeconduct_http::{AnswerOwn, Decoder, Encoder, Framing, Own, Refused, Upgrade, binds_connection};
use safeconduct_model::{Class, RequestId};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{AHEAD_BYTES, Conn, Next};
use crate::body::{empty, fed};
use crate::exchange::{Decided, Exchange, Refusing};
use crate::lease::Lease;
use crate::pipe::{Pipe, PipeError};
use crate::scratch;
use crate::upstream::{ForwardError, HEAD_BYTES, INTERIM, Up, h2, is_h2, is_idempotent, may_repeat};

/// The request on its way up, and what is known of it.
struct Upward {
    pipe: Pipe,
    /// How much of the body had been sent at the last look.
    seen: u64,
}

impl<S> Conn<S>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    pub(super) async fn forward(
        &mut self,
        id: RequestId,
        host: &str,
        decided: Decided,
        shutdown: &CancellationToken,
    ) -> Next {
        let over_h2 = is_h2(&decided.lease.standing.target.upstream);
        if over_h2 && self.head.upgrade() == Upgrade::WebSocket {
            return Box::pin(self.websocket_h2(id, host, decided)).await;
        }
        if over_h2 {
            return Box::pin(self.forward_h2(id, host, decided, shutdown)).await;
        }
        let Decided { lease, receipt } = decided;
        let worker = Arc::clone(&self.worker);
        let mut receipt = Some(receipt);
        if lease.standing.target.class == Class::Critical
            && let Some(mut receipt) = receipt.take()
            && let Err(refused) = receipt.durable().await
        {
            return Box::pin(self.unrecorded(id, host, &lease, refused)).await;
        }
        let exchanged = self.exchange(&id, host, &lease).await;
        if let Some(mut receipt) = receipt.take()
            && let Err(refused) = receipt.written().await
        {
            return Box::pin(self.unrecorded(id, host, &lease, refused)).await;
        }
        let (mut up, mut upward) = match exchanged {
            Ok(pair) => pair,
            Err(ForwardError::ClientGone) => return Next::Abort,
            Err(error) => {
                let exchange = Exchange { worker: &worker, client: self.client(), id };
                let failure = exchange.failed(&self.head, &lease, &error);
                let close = !self.head.persistent() || matches!(error, ForwardError::Client(_) | ForwardError::Lost);
                return match self.head.framing() {
                    Framing::None if !close => {
                        Box::pin(self.respond(failure, false)).await;
                        Next::Keep
                    }
                    _ => {
                        Box::pin(self.respond(failure, true)).await;
                        Next::Close
                    }
                };
            }
        };
        if self.answer.is_websocket() {
            self.status = self.answer.status();
            return Box::pin(self.upgrade(&id, up, upward, lease)).await;
        }
        let answered = lease.answered(self.answer.status());
        self.status = self.answer.status();
        let close = !self.head.persistent() || shutdown.is_cancelled();
        let mut out = upward.pipe.front();
        out.clear();
        let own =
            AnswerOwn { request: id.as_str(), cookies: &worker.core.cookies, close, version: self.head.version() };
        let encoder = self.answer.write(&own, &mut out);
        let close = close || encoder.is_none();
        let decoder = Decoder::answer(self.answer.framing(), &worker.core.answer_bounds);
        let mut down = Pipe::new(out, decoder, encoder.unwrap_or(Encoder::Plain), std::mem::take(&mut up.input));
        self.patience.set_from(answered.into(), worker.core.limits.body_idle);
        let relayed = std::future::poll_fn(|cx| self.poll_down(cx, &mut up, &mut upward, &mut down, &lease)).await;
        let (out, left) = down.into_parts();
        self.out = out;
        up.input = left;
        self.put_back(upward.pipe.into_parts());
        match relayed {
            Ok(true) => {
                let bound = self.answer.binds_connection()
                    || self.head.header("authorization").is_some_and(|a| binds_connection(a.as_bytes()));
                if self.answer.persistent() && !bound && !lease.entry().is_lost() {
                    // The lease ends first: a later cut must not touch a connection that serves another.
                    let now = std::time::Instant::now();
                    lease.end_at(now);
                    worker.pools.give_back(up, now);
                }
                if close { Next::Close } else { Next::Keep }
            }
            // The answer is whole, and the request is not: nothing behind it can be understood.
            Ok(false) => Next::Close,
            Err(()) if lease.entry().is_lost() => Next::Cut(Box::new((up, lease))),
            Err(()) => Next::Abort,
        }
    }

    /// One exchange with an application that speaks HTTP/2.
    async fn forward_h2(&mut self, id: RequestId, host: &str, decided: Decided, shutdown: &CancellationToken) -> Next {
        let Decided { lease, mut receipt } = decided;
        let worker = Arc::clone(&self.worker);
        if lease.standing.target.class == Class::Critical
            && let Err(refused) = receipt.durable().await
        {
            return Box::pin(self.unrecorded(id, host, &lease, refused)).await;
        }
        if self.head.expects_continue() && self.input.is_empty() && !self.say_continue().await {
            return Next::Abort;
        }
        let mut decoder = Decoder::request(self.head.framing(), &worker.core.bounds);
        let (feed, body) = match decoder.ended() {
            true => (None, empty()),
            false => {
                let (feed, body) = fed();
                (Some(feed), body)
            }
        };
        // The head is lent out while the body is fed.
        let (head, trace) = (std::mem::take(&mut self.head), std::mem::take(&mut self.trace));
        let client = self.behind.take();
        let answered = {
            let lent = self.client.of_connection();
            let exchange = Exchange { worker: &worker, client: client.as_ref().unwrap_or(&lent), id: id.clone() };
            let mut sending = pin!(h2::exchange(&exchange, exchange.client, &head, (host, &trace), &lease, body));
            match feed {
                None => sending.await,
                Some(feed) => {
                    let feeding = async {
                        match self.feed(&mut decoder, feed).await {
                            Ok(()) => std::future::pending().await,
                            Err(refused) => ForwardError::Client(refused),
                        }
                    };
                    tokio::select! {
                        biased;
                        answered = sending.as_mut() => answered,
                        error = feeding => Err(error),
                    }
                }
            }
        };
        (self.head, self.trace, self.behind) = (head, trace, client);
        if let Err(refused) = receipt.written().await {
            return Box::pin(self.unrecorded(id, host, &lease, refused)).await;
        }
        let close = !self.head.persistent() || shutdown.is_cancelled() || !decoder.ended();
        let whole = match answered {
            Ok(response) => {
                let response = h2::answer(response, &worker.core.cookies, lease);
                self.respond(crate::answer::stamp(response, &id), close).await
            }
            Err(error) => {
                let exchange = Exchange { worker: &worker, client: self.client(), id };
                let failure = exchange.failed(&self.head, &lease, &error);
                self.respond(failure, close).await
            }
        };
        match (whole, close) {
            (false, _) => Next::Abort,
            (true, true) => Next::Close,
            (true, false) => Next::Keep,
        }
    }

    pub(super) async fn unrecorded(
        &mut self,
        id: RequestId,
        host: &str,
        lease: &Lease,
        refused: crate::ports::RecordRefused,
    ) -> Next {
        let worker = Arc::clone(&self.worker);
        let exchange = Exchange { worker: &worker, client: self.client(), id };
        let refusing = Refusing::unrecorded(lease, refused);
        let denial = exchange.deny(&self.head, host, &lease.standing.target, refusing).await;
        self.respond(denial, true).await;
        Next::Close
    }

    /// Sends the request and waits for the head of the answer.
    async fn exchange(&mut self, id: &RequestId, host: &str, lease: &Lease) -> Result<(Up, Upward), ForwardError> {
        let worker = Arc::clone(&self.worker);
        let app = &lease.standing.target;
        let mut continued = !self.head.expects_continue();
        let mut lost = 0;
        loop {
            let resting = if lost == 0 { worker.pools.take(&lease.standing, lease.began()) } else { None };
            let mut up = match resting {
                Some(up) => up,
                None => {
                    let connecting = Box::pin(worker.pools.connect(&lease.standing));
                    tokio::select! {
                        biased;
                        () = lease.entry().lost() => return Err(ForwardError::Lost),
                        up = connecting => up?,
                    }
                }
            };
            if !continued {
                continued = true;
                if self.input.is_empty() && !self.say_continue().await {
                    return Err(ForwardError::ClientGone);
                }
            }
            let mut out = std::mem::take(&mut self.out);
            out.clear();
            out.reserve(HEAD_BYTES);
            let own = Own {
                client: &self.client().address,
                proto: self.client.scheme(),
                request: id.as_str(),
                more: &lease.standing.lines,
                trace: &self.trace,
            };
            let encoder = self.head.write_request(host, &own, &mut out);
            let decoder = Decoder::request(self.head.framing(), &worker.core.bounds);
            let input = std::mem::take(&mut self.input);
            let mut upward = Upward { pipe: Pipe::new(out, decoder, encoder, input), seen: 0 };
            let safe = !upward.pipe.has_body() && is_idempotent(self.head.method());
            let now = if lost == 0 { lease.began().into() } else { Instant::now() };
            up.patience.set_from(now, worker.core.limits.first_byte);
            self.patience.set_from(now, worker.core.limits.body_idle);
            let mut interim = 0;
            let head = std::future::poll_fn(|cx| self.poll_answer(cx, &mut up, &mut upward, lease, &mut interim)).await;
            match head {
                Ok(()) => return Ok((up, upward)),
                Err(ForwardError::Broken(_)) if up.input.is_empty() && interim == 0 => {
                    let unsent = !upward.pipe.has_written() && self.head.framing() != Framing::Chunked;
                    let again = may_repeat(&up, app, safe, unsent, lost);
                    if !up.reused {
                        lost += 1;
                    }
                    self.put_back(upward.pipe.into_parts());
                    if !again {
                        return Err(ForwardError::Broken("closed"));
                    }
                }
                Err(error) => {
                    self.put_back(upward.pipe.into_parts());
                    return Err(error);
                }
            }
        }
    }

    /// Gives memory back, and what was read and not used.
    fn put_back(&mut self, (out, input): (Vec<u8>, BytesMut)) {
        if self.out.capacity() < out.capacity() {
            self.out = out;
        }
        if self.input.is_empty() {
            self.input = input;
        } else if !input.is_empty() {
            let mut all = input;
            all.extend_from_slice(&self.input);
            self.input = all;
        }
    }

    /// Drives the request up until the head of the answer is there.
    fn poll_answer(
        &mut self,
        cx: &mut Context<'_>,
        up: &mut Up,
        upward: &mut Upward,
        lease: &Lease,
        interim: &mut usize,
    ) -> Poll<Result<(), ForwardError>> {
        if lease.entry().poll_lost(cx).is_ready() {
            return Poll::Ready(Err(ForwardError::Lost));
        }
        if let Poll::Ready(Err(error)) = self.poll_up(cx, up, upward, lease) {
            // An application may refuse the body and say so.
            if !matches!(error, ForwardError::Broken("request")) || up.input.is_empty() {
                let heard = scratch::poll_read(&mut up.io, &mut up.input, cx);
                if !matches!(heard, Poll::Ready(Ok(1..))) || !matches!(error, ForwardError::Broken("request")) {
                    return Poll::Ready(Err(error));
                }
            }
        }
        let to_head = self.head.is_method("HEAD");
        let mut grown = !up.input.is_empty();
        loop {
            if grown {
                match self.answer.read(&up.input, to_head, &self.worker.core.answer_bounds) {
                    Ok(Some(n)) => {
                        up.input.advance(n);
                        match self.answer.status() {
                            101 if self.head.upgrade() == Upgrade::WebSocket && self.answer.is_websocket() => {
                                return Poll::Ready(Ok(()));
                            }
                            101 => return Poll::Ready(Err(ForwardError::WrongUpgrade)),
                            100..=199 if *interim < INTERIM => *interim += 1,
                            100..=199 => return Poll::Ready(Err(ForwardError::BadAnswer("answer_interim"))),
                            _ => return Poll::Ready(Ok(())),
                        }
                        grown = !up.input.is_empty();
                        continue;
                    }
                    Ok(None) => {}
                    Err(bad) => return Poll::Ready(Err(ForwardError::BadAnswer(bad.0))),
                }
            }
            match scratch::poll_read(&mut up.io, &mut up.input, cx) {
                Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Err(ForwardError::Broken("closed"))),
                Poll::Ready(Ok(_)) => grown = true,
                Poll::Pending => break,
            }
        }
        if upward.pipe.is_done() && self.poll_gone(cx) {
            return Poll::Ready(Err(ForwardError::ClientGone));
        }
        if up.patience.poll(cx) {
            return Poll::Ready(Err(ForwardError::FirstByteTimeout));
        }
        Poll::Pending
    }

    /// Drives the body of the request.
    fn poll_up(
        &mut self,
        cx: &mut Context<'_>,
        up: &mut Up,
        upward: &mut Upward,
        lease: &Lease,
    ) -> Poll<Result<(), ForwardError>> {
        if upward.pipe.is_done() {
            return Poll::Ready(Ok(()));
        }
        let limits = &self.worker.core.limits;
        let count = &lease.entry().up;
        let polled = upward.pipe.poll(cx, &mut self.io, &mut up.io, count);
        let now = count.load(std::sync::atomic::Ordering::Relaxed);
        if now != upward.seen {
            // The time for the answer runs from the last byte of the request.
            upward.seen = now;
            up.patience.set(limits.first_byte);
            self.patience.set(limits.body_idle);
        }
        match polled {
            Poll::Ready(Ok(())) => Poll::Ready(Ok(())),
            Poll::Ready(Err(PipeError::Read)) => Poll::Ready(Err(ForwardError::Client(Refused::bad("broken_body")))),
            Poll::Ready(Err(PipeError::Refused(refused))) => Poll::Ready(Err(ForwardError::Client(refused))),
            Poll::Ready(Err(PipeError::Write)) => Poll::Ready(Err(ForwardError::Broken("request"))),
            Poll::Pending if self.patience.poll(cx) => {
                Poll::Ready(Err(ForwardError::Client(Refused::limit(408, "slow_body"))))
            }
            Poll::Pending => Poll::Pending,
        }
    }

    /// Drives the answer down, and what is left of the request up. Ready with whether the request was sent whole.
    fn poll_down(
        &mut self,
        cx: &mut Context<'_>,
        up: &mut Up,
        upward: &mut Upward,
        down: &mut Pipe,
        lease: &Lease,
    ) -> Poll<Result<bool, ()>> {
        if lease.entry().poll_lost(cx).is_ready() {
            return Poll::Ready(Err(()));
        }
        let sent = match self.poll_up(cx, up, upward, lease) {
            Poll::Ready(Ok(())) => true,
            // The application wants no more of it: its answer goes on all the same.
            Poll::Ready(Err(ForwardError::Broken(_))) | Poll::Pending => false,
            Poll::Ready(Err(_)) => return Poll::Ready(Err(())),
        };
        match down.poll(cx, &mut up.io, &mut self.io, &lease.entry().down) {
            Poll::Ready(Ok(())) => Poll::Ready(Ok(sent)),
            Poll::Ready(Err(_)) => Poll::Ready(Err(())),
            Poll::Pending if sent && self.poll_gone(cx) => Poll::Ready(Err(())),
            Poll::Pending => Poll::Pending,
        }
    }

    /// Whether the client went away. What it sends ahead is kept, within bounds.
    fn poll_gone(&mut self, cx: &mut Context<'_>) -> bool {
        while self.input.len() < AHEAD_BYTES {
            match scratch::poll_read(&mut self.io, &mut self.input, cx) {
                Poll::Ready(Ok(0) | Err(_)) => return true,
                Poll::Ready(Ok(_)) => {}
                Poll::Pending => return false,
            }
        }
        false
    }

    /// Both sides become a WebSocket.
    async fn upgrade(&mut self, id: &RequestId, mut up: Up, upward: Upward, lease: Lease) -> Next {
        let mut out = std::mem::take(&mut self.out);
        out.clear();
        let own = AnswerOwn {
            request: id.as_str(),
            cookies: &self.worker.core.cookies,
            close: false,
            version: self.head.version(),
        };
        let _ = self.answer.write(&own, &mut out);
        self.put_back(upward.pipe.into_parts());
        let written = {
            use tokio::io::AsyncWriteExt;
            let writing = async { self.io.write_all(&out).await.is_ok() && self.io.flush().await.is_ok() };
            let mut lost = pin!(lease.entry().lost());
            tokio::select! {
                biased;
                () = lost.as_mut() => false,
                written = writing => written,
            }
        };
        if !written {
            return Next::Abort;
        }
        lease.entry().open();
        up.patience.clear();
        Next::Relay(Box::new((up, lease)))
    }
}
