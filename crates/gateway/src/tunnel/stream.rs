//! A stream of an HTTP/2 connection as the side of a client, and the way to reset it.
//!
//! The HTTP library ends the stream of a `CONNECT` with a clean end whatever happened: what drops it looks like what came to
//! its end. A tunnel that was cut must not. The library hands the sending half of each such stream to its executor as a task,
//! within the very poll in which the answer was given; so the executor takes along a token that was laid down just before,
//! and dropping the task resets the stream.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::rt::Executor;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::sync::CancellationToken;

use super::relay::{Carrier, Ended};

thread_local! {
    /// The token of the stream whose answer is being given in this poll.
    static ANSWERING: RefCell<Option<CancellationToken>> = const { RefCell::new(None) };
}

/// Lays down the token for the stream that this answer opens. To be called in the last step before the answer is returned.
pub(super) fn answering(token: CancellationToken) {
    ANSWERING.with(|slot| *slot.borrow_mut() = Some(token));
}

/// Runs the tasks of an HTTP/2 connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Streams;

impl<F> Executor<F> for Streams
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    fn execute(&self, task: F) {
        match ANSWERING.with(|slot| slot.borrow_mut().take()) {
            Some(token) => tokio::spawn(async move {
                tokio::select! {
                    biased;
                    () = token.cancelled() => {}
                    _ = task => {}
                }
            }),
            None => tokio::spawn(async move {
                let mut task = std::pin::pin!(task);
                std::future::poll_fn(|cx| {
                    let polled = task.as_mut().poll(cx);
                    // An answer that could not be given opened no stream: its token must not go to another.
                    ANSWERING.with(|slot| slot.borrow_mut().take());
                    polled
                })
                .await;
            }),
        };
    }
}

/// The side of a client.
pub(super) struct Stream {
    pub(super) io: TokioIo<Upgraded>,
    pub(super) reset: CancellationToken,
}

impl Carrier for Stream {
    async fn part(&mut self, ended: Ended) {
        if ended != Ended::Closed {
            self.reset.cancel();
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_read(cx, buf)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(cx)
    }
}
