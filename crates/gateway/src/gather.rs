//! What a connection writes in one turn, in one piece.
//!
//! A library that writes frame by frame costs a call to the system, and with TLS a record, for each. Here the frames of a turn are
//! put together in memory that the whole thread shares and go out when the turn is over, so a connection that rests holds none
//! of it; only what the other side does not take is kept.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::live::lock;
use crate::scratch;

/// What is put together at most: four frames of HTTP/2 and what stands around them, as much as TLS seals at once.
const MOST: usize = 68 * 1024;

/// A connection whose writes are put together. Clones are the same connection.
pub(crate) struct Gather<S>(Arc<Mutex<Inner<S>>>);

struct Inner<S> {
    io: S,
    /// What this turn wrote; `None` outside of one. There is some only if nothing is kept.
    turn: Option<Vec<u8>>,
    /// What the other side did not take.
    kept: BytesMut,
    /// Why it takes no more.
    broken: Option<io::ErrorKind>,
}

impl<S> Clone for Gather<S> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Gather<S> {
    pub(crate) fn new(io: S) -> Self {
        Self(Arc::new(Mutex::new(Inner { io, turn: None, kept: BytesMut::new(), broken: None })))
    }

    /// One turn of the one who reads and writes: what it writes goes out behind it.
    pub(crate) fn turn<T>(&self, cx: &mut Context<'_>, turn: impl FnOnce(&mut Context<'_>) -> T) -> T {
        lock(&self.0).turn = Some(scratch::lend());
        let turned = turn(cx);
        let mut inner = lock(&self.0);
        // What is not taken now goes out later: whoever waits for that is woken.
        if inner.poll_flush(cx).is_ready() && inner.broken.is_some() {
            cx.waker().wake_by_ref();
        }
        if let Some(memory) = inner.turn.take() {
            scratch::give_back(memory);
        }
        turned
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Inner<S> {
    /// Writes what there is and tells the other side.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(cx))?;
        Pin::new(&mut self.io).poll_flush(cx)
    }

    /// Writes what was kept, or what was put together. What is not taken is kept.
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(broken) = self.broken {
            return Poll::Ready(Err(broken.into()));
        }
        let mut turn = self.turn.take();
        let pushed = match &mut turn {
            Some(staged) if !staged.is_empty() => {
                let (taken, pushed) = push(&mut self.io, cx, staged);
                self.kept.extend_from_slice(&staged[taken..]);
                staged.clear();
                pushed
            }
            _ => {
                let (taken, pushed) = push(&mut self.io, cx, &self.kept);
                self.kept.advance(taken);
                pushed
            }
        };
        self.turn = turn;
        if self.kept.is_empty() {
            self.kept = BytesMut::new();
        }
        if let Poll::Ready(Err(error)) = &pushed {
            self.broken = Some(error.kind());
            self.kept = BytesMut::new();
        }
        pushed
    }
}

/// Writes as much of these bytes as the other side takes at once; returns how many.
fn push<S: AsyncWrite + Unpin>(io: &mut S, cx: &mut Context<'_>, bytes: &[u8]) -> (usize, Poll<io::Result<()>>) {
    let mut taken = 0;
    while taken < bytes.len() {
        match Pin::new(&mut *io).poll_write(cx, &bytes[taken..]) {
            Poll::Ready(Ok(n @ 1..)) => taken += n,
            Poll::Ready(Ok(_)) => return (taken, Poll::Ready(Err(io::ErrorKind::WriteZero.into()))),
            Poll::Ready(Err(broken)) => return (taken, Poll::Ready(Err(broken))),
            Poll::Pending => return (taken, Poll::Pending),
        }
    }
    (taken, Poll::Ready(Ok(())))
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Gather<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut inner = lock(&self.0);
        if let Some(broken) = inner.broken {
            return Poll::Ready(Err(broken.into()));
        }
        Pin::new(&mut inner.io).poll_read(cx, into)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Gather<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let inner = &mut *lock(&self.0);
        let full = inner.turn.as_ref().is_none_or(|staged| staged.len() >= MOST);
        if full || !inner.kept.is_empty() || inner.broken.is_some() {
            ready!(inner.poll_drain(cx))?;
        }
        let Some(staged) = &mut inner.turn else {
            return Pin::new(&mut inner.io).poll_write_vectored(cx, slices);
        };
        let before = staged.len();
        for slice in slices {
            let room = MOST - staged.len();
            staged.extend_from_slice(&slice[..slice.len().min(room)]);
        }
        Poll::Ready(Ok(staged.len() - before))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// Ready while the other side takes everything: what this turn wrote goes out behind it.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut inner = lock(&self.0);
        match inner.turn.is_some() && inner.kept.is_empty() && inner.broken.is_none() {
            true => Poll::Ready(Ok(())),
            false => inner.poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut inner = lock(&self.0);
        ready!(inner.poll_drain(cx))?;
        Pin::new(&mut inner.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use proptest::prelude::*;
    use tokio::io::AsyncReadExt;

    use super::*;

    /// A connection that notes each write and takes only so many bytes of all.
    struct Notes {
        writes: Writes,
        room: Rc<RefCell<usize>>,
    }

    impl AsyncRead for Notes {
        fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }
    }

    impl AsyncWrite for Notes {
        fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            let n = bytes.len().min(*self.room.borrow());
            if n == 0 {
                return Poll::Pending;
            }
            *self.room.borrow_mut() -= n;
            self.writes.borrow_mut().push(bytes[..n].to_vec());
            Poll::Ready(Ok(n))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    type Writes = Rc<RefCell<Vec<Vec<u8>>>>;

    fn noted(room: usize) -> (Gather<Notes>, Writes, Rc<RefCell<usize>>) {
        let (writes, room) = (Writes::default(), Rc::new(RefCell::new(room)));
        (Gather::new(Notes { writes: Rc::clone(&writes), room: Rc::clone(&room) }), writes, room)
    }

    fn write(gather: &Gather<Notes>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<usize> {
        Pin::new(&mut gather.clone()).poll_write(cx, bytes).map(|n| n.expect("nothing is broken"))
    }

    #[test]
    fn what_a_turn_writes_goes_out_in_one_piece_behind_it() {
        let (gather, writes, _) = noted(usize::MAX);
        let mut cx = Context::from_waker(std::task::Waker::noop());
        gather.turn(&mut cx, |cx| {
            assert_eq!(write(&gather, cx, b"one "), Poll::Ready(4));
            assert!(Pin::new(&mut gather.clone()).poll_flush(cx).is_ready());
            assert_eq!(write(&gather, cx, b"two"), Poll::Ready(3));
            assert!(writes.borrow().is_empty());
        });
        assert_eq!(*writes.borrow(), [b"one two"]);
        assert_eq!(write(&gather, &mut cx, b"outside"), Poll::Ready(7));
        assert_eq!(writes.borrow().len(), 2, "outside of a turn nothing waits");
    }

    #[test]
    fn who_takes_nothing_holds_up_the_writer() {
        let (gather, writes, room) = noted(3);
        let mut cx = Context::from_waker(std::task::Waker::noop());
        gather.turn(&mut cx, |cx| assert_eq!(write(&gather, cx, b"abcdef"), Poll::Ready(6)));
        gather.turn(&mut cx, |cx| {
            assert_eq!(write(&gather, cx, b"more"), Poll::Pending);
            assert!(Pin::new(&mut gather.clone()).poll_flush(cx).is_pending());
            assert!(Pin::new(&mut gather.clone()).poll_shutdown(cx).is_pending());
        });
        *room.borrow_mut() = 100;
        gather.turn(&mut cx, |cx| assert_eq!(write(&gather, cx, b"more"), Poll::Ready(4)));
        assert_eq!(writes.borrow().concat(), b"abcdefmore");
        assert_eq!(lock(&gather.0).kept.capacity(), 0, "who keeps nothing holds no memory");
    }

    #[tokio::test]
    async fn a_break_is_told_to_the_reader_and_to_the_writer() {
        let (near, far) = tokio::io::duplex(10);
        drop(far);
        let mut gather = Gather::new(near);
        let again = gather.clone();
        std::future::poll_fn(|cx| gather.turn(cx, |cx| Pin::new(&mut again.clone()).poll_write(cx, b"lost")))
            .await
            .expect("it is not known before the turn is over");
        assert!(gather.read_u8().await.is_err_and(|e| e.kind() == io::ErrorKind::BrokenPipe));
        let late = std::future::poll_fn(|cx| gather.turn(cx, |cx| Pin::new(&mut again.clone()).poll_write(cx, b"x")));
        assert!(late.await.is_err());
    }

    proptest! {
        #[test]
        fn everything_arrives_once_and_in_order(
            turns in prop::collection::vec(
                (prop::collection::vec(1usize..40_000, 0..6), 0usize..100_000, any::<bool>()), 1..12
            )
        ) {
            let (gather, writes, room) = noted(0);
            let mut cx = Context::from_waker(std::task::Waker::noop());
            let (mut sent, mut next) = (Vec::new(), 0u8);
            for (sizes, more, flush) in turns {
                *room.borrow_mut() += more;
                gather.turn(&mut cx, |cx| {
                    for size in sizes {
                        next = next.wrapping_add(1);
                        let bytes = vec![next; size];
                        if let Poll::Ready(n) = write(&gather, cx, &bytes) {
                            sent.extend_from_slice(&bytes[..n]);
                        }
                    }
                    if flush {
                        let _ = Pin::new(&mut gather.clone()).poll_flush(cx);
                    }
                });
                prop_assert!(lock(&gather.0).kept.len() <= MOST);
            }
            *room.borrow_mut() = usize::MAX;
            gather.turn(&mut cx, |_| ());
            prop_assert_eq!(writes.borrow().concat(), sent);
        }
    }
}
