//! A body on its way: read from one side, its framing checked, written to the other side in canonical framing.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use safeconduct_http::{Decoder, Encoder, Refused};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::scratch;

/// Why a body did not arrive.
#[derive(Debug)]
pub(crate) enum PipeError {
    /// The side that sends failed, or ended too early.
    Read,
    /// The side that receives failed.
    Write,
    /// The framing is broken, or a bound is met.
    Refused(Refused),
}

/// Data as short as this are copied behind the head: a second slice costs the kernel more.
const SHORT: usize = 4 * 1024;

/// One body, with the head that goes in front of it.
#[derive(Debug)]
pub(crate) struct Pipe {
    decoder: Decoder,
    encoder: Encoder,
    /// Read and not yet written.
    pub(crate) input: BytesMut,
    /// Stands in front of the data,
    front: Vec<u8>,
    front_at: usize,
    /// which are so many bytes of the input,
    data: usize,
    /// and this behind them.
    back: Vec<u8>,
    back_at: usize,
    ending: bool,
    unflushed: bool,
    /// Whether a byte was written.
    wrote: bool,
    done: bool,
}

impl Pipe {
    /// A body that begins with `input`, behind the head `front`.
    pub(crate) fn new(front: Vec<u8>, decoder: Decoder, encoder: Encoder, input: BytesMut) -> Self {
        Self {
            decoder,
            encoder,
            input,
            front,
            front_at: 0,
            data: 0,
            back: Vec::new(),
            back_at: 0,
            ending: false,
            unflushed: false,
            wrote: false,
            done: false,
        }
    }

    /// Whether everything was written.
    pub(crate) fn is_done(&self) -> bool {
        self.done
    }

    /// Whether a byte was written to the other side.
    pub(crate) fn has_written(&self) -> bool {
        self.wrote
    }

    /// Whether a byte of it was read that cannot be read again.
    pub(crate) fn has_body(&self) -> bool {
        !self.decoder.ended()
    }

    /// The memory of what stood in front, when everything was written.
    pub(crate) fn front(&mut self) -> Vec<u8> {
        if self.done { std::mem::take(&mut self.front) } else { Vec::new() }
    }

    /// The memory of the head, for use again.
    pub(crate) fn into_parts(self) -> (Vec<u8>, BytesMut) {
        (self.front, self.input)
    }

    /// Goes on as far as both sides allow. Ready when all of it was written.
    pub(crate) fn poll<R, W>(
        &mut self,
        cx: &mut Context<'_>,
        reader: &mut R,
        writer: &mut W,
        count: &AtomicU64,
    ) -> Poll<Result<(), PipeError>>
    where
        R: AsyncRead + Unpin + ?Sized,
        W: AsyncWrite + Unpin + ?Sized,
    {
        while !self.done {
            let mut kept = std::mem::take(&mut self.input);
            let (read, pushed) = if self.gathers(kept.len()) {
                let read = |cx: &mut Context<'_>, bytes: &[u8]| self.push(cx, bytes, writer, count);
                let (read, pushed) = scratch::gather(&mut kept, reader, cx, read);
                (Some(read), pushed)
            } else {
                let (taken, pushed) = self.push(cx, &kept, writer, count);
                kept.advance(taken);
                (None, pushed)
            };
            self.input = kept;
            if matches!(read, Some(Poll::Ready(Err(_)))) && !self.ending {
                return Poll::Ready(Err(PipeError::Read));
            }
            ready!(pushed)?;
            if self.ending {
                ready!(Pin::new(&mut *writer).poll_flush(cx)).map_err(|_| PipeError::Write)?;
                self.done = true;
                break;
            }
            match read {
                Some(Poll::Ready(Ok(0))) if self.decoder.close() => {}
                None | Some(Poll::Ready(Ok(1..))) => {}
                Some(Poll::Ready(_)) => return Poll::Ready(Err(PipeError::Read)),
                Some(Poll::Pending) => {
                    if self.unflushed && Pin::new(&mut *writer).poll_flush(cx).map_err(|_| PipeError::Write)?.is_ready()
                    {
                        self.unflushed = false;
                    }
                    return Poll::Pending;
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Whether more is read before what is there is written, so that both go on in one piece.
    fn gathers(&self, kept: usize) -> bool {
        self.data == 0 && self.back.is_empty() && kept <= scratch::HEAD_BYTES && self.decoder.wants(kept)
    }

    /// Writes what is staged and what these bytes bring, as far as the other side takes it. Returns how many of the bytes are
    /// done with; ready when nothing waits.
    fn push<W: AsyncWrite + Unpin + ?Sized>(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[u8],
        writer: &mut W,
        count: &AtomicU64,
    ) -> (usize, Poll<Result<(), PipeError>>) {
        let mut taken = 0;
        loop {
            if self.data == 0 && self.back.is_empty() && !self.ending {
                match self.stage(&bytes[taken..], count) {
                    Ok(n) => taken += n,
                    Err(refused) => return (taken, Poll::Ready(Err(PipeError::Refused(refused)))),
                }
            }
            if !self.is_staged() {
                return (taken, Poll::Ready(Ok(())));
            }
            match self.poll_write(cx, &bytes[taken..taken + self.data], writer) {
                Poll::Ready(Ok(n)) => taken += n,
                Poll::Ready(Err(_)) => return (taken, Poll::Ready(Err(PipeError::Write))),
                Poll::Pending => return (taken, Poll::Pending),
            }
        }
    }

    /// Takes the next data off the front of these bytes; returns how many of them are done with.
    fn stage(&mut self, bytes: &[u8], count: &AtomicU64) -> Result<usize, Refused> {
        let mut taken = 0;
        if !self.decoder.ended() && !bytes.is_empty() {
            let piece = self.decoder.next(bytes)?;
            taken = piece.skip;
            if piece.data > 0 {
                count.fetch_add(piece.data as u64, Ordering::Relaxed);
                self.encoder.before(piece.data, &mut self.front);
                if piece.data <= SHORT && self.front.len() <= SHORT {
                    self.front.extend_from_slice(&bytes[taken..taken + piece.data]);
                    taken += piece.data;
                    self.front.extend_from_slice(self.encoder.after());
                } else {
                    self.data = piece.data;
                    self.back.extend_from_slice(self.encoder.after());
                }
            }
        }
        if self.decoder.ended() {
            self.ending = true;
            self.encoder.end(self.decoder.trailers(), &mut self.back);
        }
        Ok(taken)
    }

    fn is_staged(&self) -> bool {
        self.front_at < self.front.len() || self.data > 0 || self.back_at < self.back.len()
    }

    /// Writes what is staged, `data` being those that stand between front and back; returns how many of them were taken.
    fn poll_write<W: AsyncWrite + Unpin + ?Sized>(
        &mut self,
        cx: &mut Context<'_>,
        data: &[u8],
        writer: &mut W,
    ) -> Poll<io::Result<usize>> {
        let slices =
            [IoSlice::new(&self.front[self.front_at..]), IoSlice::new(data), IoSlice::new(&self.back[self.back_at..])];
        // Whatever cannot take several slices takes the first that has bytes.
        let first = slices.iter().position(|s| !s.is_empty()).unwrap_or(0);
        let mut n = match slices[first..].iter().filter(|s| !s.is_empty()).count() {
            1 => ready!(Pin::new(writer).poll_write(cx, &slices[first]))?,
            _ => ready!(Pin::new(writer).poll_write_vectored(cx, &slices[first..]))?,
        };
        if n == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        self.unflushed = true;
        self.wrote = true;
        let front = n.min(self.front.len() - self.front_at);
        self.front_at += front;
        n -= front;
        let data = n.min(self.data);
        self.data -= data;
        self.back_at += n - data;
        if self.front_at == self.front.len() {
            self.front.clear();
            self.front_at = 0;
        }
        if self.back_at == self.back.len() {
            self.back.clear();
            self.back_at = 0;
        }
        Poll::Ready(Ok(data))
    }
}

#[cfg(test)]
mod tests {
    use safeconduct_http::{Bounds, Framing, ResponseFraming};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// Pipes `wire` in steps through a narrow writer; what arrived, and what was left behind the body.
    async fn through(wire: &[u8], step: usize, room: usize, framing: Framing, encoder: Encoder) -> (Vec<u8>, Vec<u8>) {
        let (mut sender, mut reader) = tokio::io::duplex(1 << 20);
        let (mut writer, mut receiver) = tokio::io::duplex(room);
        let wire = wire.to_vec();
        let sending = async move {
            for part in wire.chunks(step) {
                let _ = sender.write_all(part).await;
                tokio::task::yield_now().await;
            }
            sender
        };
        let receiving = async {
            let mut all = Vec::new();
            receiver.read_to_end(&mut all).await.unwrap();
            all
        };
        let piping = async move {
            let decoder = Decoder::request(framing, &Bounds::default());
            let mut pipe = Pipe::new(b"HEAD ".to_vec(), decoder, encoder, BytesMut::new());
            let count = AtomicU64::new(0);
            std::future::poll_fn(|cx| pipe.poll(cx, &mut reader, &mut writer, &count)).await.unwrap();
            drop(writer);
            pipe.into_parts().1.to_vec()
        };
        let (_sender, all, left) = tokio::join!(sending, receiving, piping);
        (all, left)
    }

    #[tokio::test]
    async fn a_body_arrives_whole_whatever_the_steps_and_the_room_are() {
        let chunked = b"5\r\nhello\r\n1;x=1\r\n!\r\n0\r\nx-sum: 1\r\n\r\nNEXT";
        for step in [1, 2, 7, 100] {
            for room in [1, 3, 64] {
                let (all, left) = through(chunked, step, room, Framing::Chunked, Encoder::Chunked).await;
                let text = String::from_utf8(all).unwrap();
                let body = text.strip_prefix("HEAD ").unwrap();
                let (mut decoder, mut rest, mut data) =
                    (Decoder::request(Framing::Chunked, &Bounds::default()), body.as_bytes(), Vec::new());
                while !decoder.ended() {
                    let piece = decoder.next(rest).unwrap();
                    data.extend_from_slice(&rest[piece.skip..piece.skip + piece.data]);
                    rest = &rest[piece.skip + piece.data..];
                }
                assert_eq!((data.as_slice(), rest), (&b"hello!"[..], &b""[..]), "{step} {room}");
                assert!(b"NEXT".starts_with(&left), "nothing behind the body is taken for it");
                let (all, _) = through(b"hello", step, room, Framing::Length(5), Encoder::Plain).await;
                assert_eq!(all, b"HEAD hello");
            }
        }
    }

    /// A reader that gives these, one after the other, and a writer that notes each write, or takes none.
    struct Ends {
        comes: Vec<io::Result<&'static [u8]>>,
        writes: Vec<usize>,
        full: bool,
    }

    impl AsyncRead for Ends {
        fn poll_read(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            out: &mut tokio::io::ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            let comes = &mut self.get_mut().comes;
            if comes.is_empty() {
                return Poll::Pending;
            }
            Poll::Ready(comes.remove(0).map(|bytes| out.put_slice(bytes)))
        }
    }

    impl AsyncWrite for Ends {
        fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            let this = self.get_mut();
            if this.full {
                return Poll::Pending;
            }
            this.writes.push(bytes.len());
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    fn polled(
        framing: ResponseFraming,
        kept: &[u8],
        comes: Vec<io::Result<&'static [u8]>>,
        full: bool,
    ) -> (Ends, Poll<bool>) {
        let mut reader = Ends { comes, writes: Vec::new(), full };
        let mut writer = Ends { comes: Vec::new(), writes: Vec::new(), full };
        let decoder = Decoder::answer(framing, &Bounds::default());
        let mut pipe = Pipe::new(b"HEAD".to_vec(), decoder, Encoder::Plain, BytesMut::from(kept));
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let polled = pipe.poll(&mut cx, &mut reader, &mut writer, &AtomicU64::new(0));
        (writer, polled.map(|done| done.is_ok()))
    }

    #[test]
    fn the_head_what_was_kept_and_what_is_there_go_on_in_one_piece() {
        let (writer, done) = polled(ResponseFraming::Length(9), b"kept", vec![Ok(b"fresh")], false);
        assert_eq!((writer.writes, done), (vec![13], Poll::Ready(true)));
        // What is there already and is everything waits for nothing.
        let (writer, done) = polled(ResponseFraming::Length(4), b"kept", vec![], false);
        assert_eq!((writer.writes, done), (vec![8], Poll::Ready(true)));
        // What is not there yet holds nothing up.
        let (writer, done) = polled(ResponseFraming::Length(9), b"kept", vec![], false);
        assert_eq!((writer.writes, done), (vec![8], Poll::Pending));
    }

    #[test]
    fn a_break_is_no_end_even_if_the_other_side_takes_nothing() {
        for full in [false, true] {
            let broken = vec![Err(io::ErrorKind::ConnectionReset.into()), Ok(&b""[..])];
            let (_, done) = polled(ResponseFraming::UntilClose, b"", broken, full);
            assert_eq!(done, Poll::Ready(false), "{full}");
        }
    }
}
