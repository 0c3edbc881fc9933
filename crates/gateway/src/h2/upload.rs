//! A request over HTTP/2 on its way to an application over HTTP/1.1: the head, then the body frame by frame.

use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};

use bytes::Buf;
use hyper::body::{Body as _, Incoming};
use safeconduct_http::{Encoder, Framing, Refused, names};
use tokio::io::AsyncWrite;

use crate::live::Entry;
use crate::upstream::{ForwardError, Io};

/// A request on its way up.
pub(super) struct Upload {
    /// `None` when all of it was read.
    body: Option<Incoming>,
    encoder: Encoder,
    out: Vec<u8>,
    at: usize,
    total: u64,
    bound: Option<u64>,
    declared: Framing,
    /// The last byte of a declared length, until the end of the stream is known: with it an application would take the
    /// request for whole.
    held: Option<u8>,
    unflushed: bool,
    wrote: bool,
}

impl Upload {
    /// A request that begins with the head `out`.
    pub(super) fn new(
        out: Vec<u8>,
        body: Option<Incoming>,
        encoder: Encoder,
        declared: Framing,
        bound: Option<u64>,
    ) -> Self {
        let mut this =
            Self { body, encoder, out, at: 0, total: 0, bound, declared, held: None, unflushed: true, wrote: false };
        if this.body.is_none() {
            this.encoder.end(b"", &mut this.out);
        }
        this
    }

    /// Whether everything was sent.
    pub(super) fn is_done(&self) -> bool {
        self.body.is_none() && self.at == self.out.len() && !self.unflushed
    }

    /// Whether it waits for the client.
    pub(super) fn waits_for_client(&self) -> bool {
        self.body.is_some() && self.at == self.out.len()
    }

    /// Whether a byte was written.
    pub(super) fn has_written(&self) -> bool {
        self.wrote
    }

    /// Whether nothing of it can be sent again.
    pub(super) fn has_body(&self) -> bool {
        self.body.is_some() || self.total > 0
    }

    /// Takes the body back, if nothing of it was read.
    pub(super) fn into_body(self) -> Option<Incoming> {
        self.body
    }

    /// Goes on as far as both sides allow. Ready when all of it was sent.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, io: &mut Io, entry: &Entry) -> Poll<Result<(), ForwardError>> {
        let broken = || ForwardError::Broken("request");
        loop {
            while self.at < self.out.len() {
                match ready!(Pin::new(&mut *io).poll_write(cx, &self.out[self.at..])) {
                    Ok(n @ 1..) => {
                        self.at += n;
                        self.wrote = true;
                    }
                    _ => return Poll::Ready(Err(broken())),
                }
                self.unflushed = true;
            }
            let Some(body) = &mut self.body else {
                if self.unflushed {
                    ready!(Pin::new(&mut *io).poll_flush(cx)).map_err(|_| broken())?;
                    self.unflushed = false;
                }
                return Poll::Ready(Ok(()));
            };
            self.out.clear();
            self.at = 0;
            let frame = match Pin::new(body).poll_frame(cx) {
                Poll::Pending => {
                    if self.unflushed && Pin::new(&mut *io).poll_flush(cx).map_err(|_| broken())?.is_ready() {
                        self.unflushed = false;
                    }
                    return Poll::Pending;
                }
                Poll::Ready(None) => {
                    self.end(b"")?;
                    continue;
                }
                Poll::Ready(Some(Err(_))) => {
                    return Poll::Ready(Err(ForwardError::Client(Refused::bad("broken_body"))));
                }
                Poll::Ready(Some(Ok(frame))) => frame,
            };
            match frame.into_data() {
                Ok(data) if data.has_remaining() => {
                    self.total += data.len() as u64;
                    entry.up.fetch_add(data.len() as u64, Ordering::Relaxed);
                    if self.bound.is_some_and(|bound| self.total > bound) {
                        return Poll::Ready(Err(ForwardError::Client(Refused::limit(413, "body_too_long"))));
                    }
                    match (self.declared, data.split_last()) {
                        (Framing::Length(n), _) if self.total > n => {
                            return Poll::Ready(Err(ForwardError::Client(Refused::bad("broken_body"))));
                        }
                        (Framing::Length(n), Some((last, rest))) if self.total == n => {
                            self.out.extend_from_slice(rest);
                            self.held = Some(*last);
                        }
                        _ => {
                            self.encoder.before(data.len(), &mut self.out);
                            self.out.extend_from_slice(&data);
                            self.out.extend_from_slice(self.encoder.after());
                        }
                    }
                }
                Ok(_) => {}
                Err(frame) => {
                    let lines = frame.into_trailers().map(|fields| trailer_lines(&fields)).unwrap_or_default();
                    self.end(&lines)?;
                }
            }
        }
    }

    fn end(&mut self, trailers: &[u8]) -> Result<(), ForwardError> {
        self.body = None;
        match self.declared {
            Framing::Length(n) if n != self.total => Err(ForwardError::Client(Refused::bad("broken_body"))),
            _ => {
                self.out.extend(self.held.take());
                self.encoder.end(trailers, &mut self.out);
                Ok(())
            }
        }
    }
}

/// The trailers that go on, as lines.
fn trailer_lines(fields: &http::HeaderMap) -> Vec<u8> {
    let mut lines = Vec::new();
    for (name, value) in fields {
        let name = name.as_str();
        if names::name(name.as_bytes()) == names::Name::EndToEnd && name != "authorization" && name != "trailer" {
            lines.extend_from_slice(name.as_bytes());
            lines.extend_from_slice(b": ");
            lines.extend_from_slice(value.as_bytes());
            lines.extend_from_slice(b"\r\n");
        }
    }
    lines
}
