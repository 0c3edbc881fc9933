//! Requests that we answer ourselves.

use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use bytes::{Buf, Bytes};
use hyper::body::Frame;
use safeconduct_http::{Authority, Decoder, Refused};
use safeconduct_model::{Application, RequestId};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use super::{Conn, Next};
use crate::answer;
use crate::body::{Feed, empty, fed};
use crate::exchange::Exchange;
use crate::scratch;

impl<S> Conn<S>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    pub(super) async fn portal(
        &mut self,
        id: RequestId,
        authority: &Authority,
        text: &str,
        app: Option<&Arc<Application>>,
        close: bool,
    ) -> Next {
        let worker = Arc::clone(&self.worker);
        let mut decoder = Decoder::request(self.head.framing(), &worker.core.bounds);
        let (feed, body) = match decoder.ended() {
            true => (None, empty()),
            false => {
                let (feed, body) = fed();
                (Some(feed), body)
            }
        };
        let exchange = Exchange { worker: &worker, client: self.client(), id: id.clone() };
        let request = match exchange.portal_request(&self.head, authority, text, app, body) {
            Ok(request) => request,
            Err(refused) => {
                let refusal = exchange.refuse(&refused, app);
                self.respond(refusal, true).await;
                return Next::Close;
            }
        };
        if self.head.expects_continue() && self.input.is_empty() && !self.say_continue().await {
            return Next::Abort;
        }
        let mut answering = pin!(worker.core.control.portal(request));
        let answered = match feed {
            None => answering.await,
            Some(feed) => {
                let feeding = async {
                    self.feed(&mut decoder, feed).await?;
                    std::future::pending().await
                };
                tokio::select! {
                    biased;
                    answered = answering.as_mut() => answered,
                    broken = feeding => {
                        let broken: Result<(), Refused> = broken;
                        let refused = broken.err().unwrap_or(Refused::bad("broken_body"));
                        let exchange = Exchange { worker: &worker, client: self.client(), id };
                        let refusal = exchange.refuse(&refused, app);
                        self.respond(refusal, true).await;
                        return Next::Close;
                    }
                }
            }
        };
        let close = close || !decoder.ended();
        let whole = self.respond(answer::stamp(answered, &id), close).await;
        match (whole, close) {
            (false, _) => Next::Abort,
            (true, true) => Next::Close,
            (true, false) => Next::Keep,
        }
    }

    /// Hands the body of the request on, piece by piece, as its taker wants it, and says when it was whole.
    pub(super) async fn feed(&mut self, decoder: &mut Decoder, feed: Feed) -> Result<(), Refused> {
        self.patience.set(self.worker.core.limits.body_idle);
        while !decoder.ended() {
            if !self.input.is_empty() {
                let piece = decoder.next(&self.input)?;
                self.input.advance(piece.skip);
                if piece.data > 0 {
                    let data: Bytes = self.input.split_to(piece.data).freeze();
                    if !feed.give(Frame::data(data)).await {
                        return Ok(());
                    }
                }
                continue;
            }
            let read = std::future::poll_fn(|cx| match scratch::poll_read(&mut self.io, &mut self.input, cx) {
                Poll::Ready(read) => Poll::Ready(Some(read)),
                Poll::Pending if self.patience.poll(cx) => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
            });
            match read.await {
                Some(Ok(n @ 1..)) => {
                    let _ = n;
                    self.patience.set(self.worker.core.limits.body_idle);
                }
                Some(_) => return Err(Refused::bad("broken_body")),
                None => return Err(Refused::limit(408, "slow_body")),
            }
        }
        feed.end().await;
        Ok(())
    }

    /// Tells the client to send its body. Says whether that arrived.
    pub(super) async fn say_continue(&mut self) -> bool {
        self.io.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await.is_ok() && self.io.flush().await.is_ok()
    }
}
