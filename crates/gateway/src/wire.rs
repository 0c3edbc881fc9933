//! The scanner in front of the HTTP/1.1 library: it hands on only heads that were accepted as a whole, and follows the bodies
//! between them strictly, so that it never loses its place.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::limits::Limits;
use crate::normal::Refused;
use crate::normal::chunk::Chunks;
use crate::normal::scan::{Framing, STAND_IN, end_of_head, head};

/// The bytes of one read.
const READ_BYTES: usize = 16 * 1024;
/// How much input is thrown away before a connection is closed, so that the last answer arrives.
const LINGER_BYTES: usize = 256 * 1024;
/// How long that may take.
const LINGER: std::time::Duration = std::time::Duration::from_millis(500);

/// What the scanner and the stages tell each other about one connection.
#[derive(Debug, Default)]
pub(crate) struct WireState(Mutex<Shared>);

#[derive(Debug, Default)]
struct Shared {
    refused: Option<Refused>,
    next: Next,
    waker: Option<Waker>,
    /// Requests whose answers have not ended.
    busy: usize,
    /// When the last of them ended.
    rests_since: Option<Instant>,
    timed_out: Option<&'static str>,
}

/// What follows a head that asked for an upgrade.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Next {
    /// Not known before the answer.
    #[default]
    Unknown,
    /// Another request.
    Http,
    /// Bytes of the new protocol.
    Raw,
}

impl WireState {
    /// Why the input was refused, if it was.
    pub(crate) fn refused(&self) -> Option<Refused> {
        self.lock().refused.clone()
    }

    /// Which clock ran out, if one did.
    pub(crate) fn timed_out(&self) -> Option<&'static str> {
        self.lock().timed_out
    }

    /// Tells what follows a head that asked for an upgrade.
    pub(crate) fn answered(&self, next: Next) {
        let mut shared = self.lock();
        shared.next = next;
        if let Some(waker) = shared.waker.take() {
            waker.wake();
        }
    }

    /// A request began; its answer has ended when the guard is dropped.
    pub(crate) fn begin(self: &Arc<Self>) -> Busy {
        self.lock().busy += 1;
        Busy(Arc::clone(self))
    }

    /// How long nothing has been asked; `began` is when the connection began.
    pub(crate) fn rests(&self, began: Instant) -> std::time::Duration {
        let shared = self.lock();
        if shared.busy > 0 { std::time::Duration::ZERO } else { shared.rests_since.unwrap_or(began).elapsed() }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Shared> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps a connection from being seen as resting.
#[derive(Debug)]
pub(crate) struct Busy(Arc<WireState>);

impl Drop for Busy {
    fn drop(&mut self) {
        let mut shared = self.0.lock();
        shared.busy = shared.busy.saturating_sub(1);
        shared.rests_since = Some(Instant::now());
    }
}

/// A client stream behind the scanner.
pub(crate) struct Wire<S> {
    io: S,
    state: Arc<WireState>,
    limits: Arc<Limits>,
    phase: Phase,
    /// Where reads go first.
    space: Box<[u8]>,
    /// Read from the client, not yet judged.
    input: BytesMut,
    /// How much of a head in `input` was judged.
    judged: usize,
    /// Accepted, not yet taken by the library.
    output: Bytes,
    timer: Option<(Clock, Pin<Box<Sleep>>)>,
    lingered: usize,
    linger: Option<Pin<Box<Sleep>>>,
}

#[derive(Debug)]
enum Phase {
    Head,
    Length(u64),
    Chunked(Chunks),
    /// After a head that asked for an upgrade.
    Asked,
    Raw,
    /// The client closed.
    Ended,
    /// The client was refused: nothing more is heard from it.
    Refused,
    /// A body broke its framing.
    Broken(&'static str),
}

/// Which pause is being timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Clock {
    Idle,
    Head,
    Body,
}

impl<S> Wire<S> {
    pub(crate) fn new(io: S, state: Arc<WireState>, limits: Arc<Limits>) -> Self {
        Self {
            io,
            state,
            limits,
            phase: Phase::Head,
            space: vec![0; READ_BYTES].into(),
            input: BytesMut::new(),
            judged: 0,
            output: Bytes::new(),
            timer: None,
            lingered: 0,
            linger: None,
        }
    }

    /// Judges what was read. `true`: something changed; `false`: more input is needed.
    fn judge(&mut self) -> bool {
        if self.input.is_empty() {
            return false;
        }
        match &mut self.phase {
            Phase::Head => match self.judge_head() {
                Ok(moved) => moved,
                Err(refused) => {
                    self.refuse(refused);
                    true
                }
            },
            Phase::Length(left) => {
                let n = usize::try_from(*left).unwrap_or(usize::MAX).min(self.input.len());
                *left -= n as u64;
                if *left == 0 {
                    self.phase = Phase::Head;
                }
                self.output = self.input.split_to(n).freeze();
                true
            }
            Phase::Chunked(chunks) => match chunks.follow(&self.input) {
                Ok(n) => {
                    if chunks.ended() {
                        self.phase = Phase::Head;
                    }
                    self.output = self.input.split_to(n).freeze();
                    true
                }
                Err(refused) => {
                    self.phase = Phase::Broken(refused.code);
                    self.state.lock().refused = Some(refused);
                    true
                }
            },
            Phase::Raw => {
                self.output = self.input.split().freeze();
                true
            }
            Phase::Asked | Phase::Ended | Phase::Refused | Phase::Broken(_) => false,
        }
    }

    fn judge_head(&mut self) -> Result<bool, Refused> {
        let Some(end) = end_of_head(&self.input, self.judged, &self.limits)? else {
            self.judged = self.input.len();
            return Ok(false);
        };
        let accepted = head(&self.input[..end], &self.limits)?;
        self.judged = 0;
        self.phase = match accepted.framing {
            Framing::None if accepted.upgrade => {
                self.state.lock().next = Next::Unknown;
                Phase::Asked
            }
            Framing::None | Framing::Length(0) => Phase::Head,
            Framing::Length(n) => Phase::Length(n),
            Framing::Chunked => Phase::Chunked(Chunks::new(self.limits.body_bytes, self.limits.head_bytes)),
        };
        self.output = self.input.split_to(end).freeze();
        Ok(true)
    }

    /// Puts a request in the place of the refused one, so that the answer comes in its turn; nothing is read after it.
    fn refuse(&mut self, refused: Refused) {
        self.state.lock().refused = Some(refused);
        self.input.clear();
        self.phase = Phase::Refused;
        self.output = Bytes::from(format!("{STAND_IN} / HTTP/1.1\r\nhost: refused\r\nconnection: close\r\n\r\n"));
    }

    fn clock(&self) -> Option<Clock> {
        match self.phase {
            Phase::Head if self.input.is_empty() => Some(Clock::Idle),
            Phase::Head => Some(Clock::Head),
            Phase::Length(_) | Phase::Chunked(_) => Some(Clock::Body),
            Phase::Asked | Phase::Raw | Phase::Ended | Phase::Refused | Phase::Broken(_) => None,
        }
    }

    /// Whether the pause that is going on has lasted too long.
    fn late(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(clock) = self.clock() else {
            self.timer = None;
            return false;
        };
        let span = match clock {
            Clock::Idle => self.limits.idle,
            Clock::Head => self.limits.head_read,
            Clock::Body => self.limits.body_idle,
        };
        loop {
            let (_, sleep) = match &mut self.timer {
                Some(timer) if timer.0 == clock => timer,
                timer => timer.insert((clock, Box::pin(sleep_until(Instant::now() + span)))),
            };
            if sleep.as_mut().poll(cx).is_pending() {
                return false;
            }
            // A head cannot be late, and nothing rests, while an earlier answer is still being sent.
            if clock == Clock::Body || self.state.lock().busy == 0 {
                let name = match clock {
                    Clock::Idle => "idle",
                    Clock::Head => "slow_head",
                    Clock::Body => "slow_body",
                };
                self.state.lock().timed_out = Some(name);
                return true;
            }
            sleep.as_mut().reset(Instant::now() + span);
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Wire<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            if this.output.has_remaining() {
                let n = this.output.len().min(out.remaining());
                out.put_slice(&this.output[..n]);
                this.output.advance(n);
                return Poll::Ready(Ok(()));
            }
            match this.phase {
                Phase::Ended => return Poll::Ready(Ok(())),
                // The answer closes the connection; an end of the input could overtake it.
                Phase::Refused => return Poll::Pending,
                Phase::Broken(code) => return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, code))),
                Phase::Raw if this.input.is_empty() => return Pin::new(&mut this.io).poll_read(cx, out),
                Phase::Asked => {
                    let mut shared = this.state.lock();
                    match shared.next {
                        Next::Unknown => {
                            shared.waker = Some(cx.waker().clone());
                            return Poll::Pending;
                        }
                        Next::Http => this.phase = Phase::Head,
                        Next::Raw => this.phase = Phase::Raw,
                    }
                    drop(shared);
                    continue;
                }
                _ => {}
            }
            if this.judge() {
                continue;
            }
            let mut read = ReadBuf::new(&mut this.space);
            match Pin::new(&mut this.io).poll_read(cx, &mut read) {
                Poll::Ready(Ok(())) if read.filled().is_empty() => this.phase = Phase::Ended,
                Poll::Ready(Ok(())) => {
                    this.input.extend_from_slice(read.filled());
                    // A head is timed from its first byte, a body from its last.
                    if this.timer.as_ref().is_some_and(|(clock, _)| *clock != Clock::Head) {
                        this.timer = None;
                    }
                }
                Poll::Ready(Err(e)) => return Poll::Ready(Err(e)),
                Poll::Pending => {
                    if !this.late(cx) {
                        return Poll::Pending;
                    }
                    match this.phase {
                        Phase::Head => this.phase = Phase::Ended,
                        _ => this.phase = Phase::Broken("slow_body"),
                    }
                }
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Wire<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(cx)
    }

    /// Closes our side, then for a moment throws away what the client still sends: a reset would overtake the last answer.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(Pin::new(&mut this.io).poll_shutdown(cx))?;
        if matches!(this.phase, Phase::Raw | Phase::Ended) {
            return Poll::Ready(Ok(()));
        }
        while this.lingered < LINGER_BYTES {
            let mut read = ReadBuf::new(&mut this.space);
            match Pin::new(&mut this.io).poll_read(cx, &mut read) {
                Poll::Ready(Ok(())) if !read.filled().is_empty() => this.lingered += read.filled().len(),
                Poll::Ready(_) => break,
                Poll::Pending => {
                    let sleep = this.linger.get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + LINGER)));
                    return sleep.as_mut().poll(cx).map(Ok);
                }
            }
        }
        Poll::Ready(Ok(()))
    }
}
