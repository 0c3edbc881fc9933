//! The body of an answer over HTTP/1.1 on its way to a client over HTTP/2. It owns the lease: when it is gone, so is the lease.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::{Buf, Bytes};
use http::{HeaderMap, HeaderName, HeaderValue};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use safeconduct_http::{Decoder, ResponseFraming};

use super::upload::Upload;
use crate::body::BodyError;
use crate::lease::Lease;
use crate::scratch;
use crate::upstream::{ForwardError, Up};
use crate::worker::Worker;

/// The body of an answer on its way down.
pub(super) struct Download {
    worker: Arc<Worker>,
    up: Option<Up>,
    upload: Upload,
    decoder: Decoder,
    left: Option<u64>,
    lease: Option<Lease>,
    /// Whether the connection may serve another exchange.
    keep: bool,
    over: bool,
}

impl Download {
    pub(super) fn new(
        worker: Arc<Worker>,
        up: Up,
        upload: Upload,
        decoder: Decoder,
        framing: ResponseFraming,
        lease: Lease,
        keep: bool,
    ) -> Self {
        let left = match framing {
            ResponseFraming::None => Some(0),
            ResponseFraming::Length(n) => Some(n),
            ResponseFraming::Chunked | ResponseFraming::UntilClose => None,
        };
        Self { worker, up: Some(up), upload, decoder, left, lease: Some(lease), keep, over: false }
    }

    /// The exchange is over in good order: its connection serves others.
    fn finish(&mut self) {
        self.over = true;
        let (lost, now) = (self.lease.as_ref().is_none_or(|l| l.entry().is_lost()), Instant::now());
        // The lease ends first: a later cut must not touch a connection that serves another.
        if let Some(lease) = self.lease.take() {
            lease.end_at(now);
        }
        if let Some(up) = self.up.take()
            && self.keep
            && !lost
            && self.upload.is_done()
        {
            self.worker.pools.give_back(up, now);
        }
    }
}

impl HttpBody for Download {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        let (Some(lease), Some(up)) = (&this.lease, &mut this.up) else { return Poll::Ready(None) };
        if lease.entry().poll_lost(cx).is_ready() {
            if let (Some(lease), up) = (this.lease.take(), this.up.take()) {
                lease.leave(async move { drop(up) });
            }
            return Poll::Ready(Some(Err("the lease was lost".into())));
        }
        if !this.upload.is_done()
            && let Poll::Ready(Err(error)) = this.upload.poll(cx, &mut up.io, lease.entry())
            // The application wants no more of it: its answer goes on all the same.
            && !matches!(error, ForwardError::Broken(_))
        {
            return Poll::Ready(Some(Err(error.into())));
        }
        loop {
            if !this.decoder.ended() && !up.input.is_empty() {
                let piece = this.decoder.next(&up.input).map_err(|_| ForwardError::BadAnswer("answer_bad_chunk"))?;
                up.input.advance(piece.skip);
                if piece.data > 0 {
                    let data = match piece.data == up.input.len() && piece.data > scratch::LARGE {
                        true => scratch::passed_on(std::mem::take(&mut up.input)),
                        false => up.input.split_to(piece.data).freeze(),
                    };
                    lease.entry().down.fetch_add(data.len() as u64, Ordering::Relaxed);
                    this.left = this.left.map(|left| left.saturating_sub(data.len() as u64));
                    if this.decoder.ended() && this.decoder.trailers().is_empty() {
                        this.finish();
                    }
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                if piece.skip > 0 && !this.decoder.ended() {
                    continue;
                }
            }
            if this.decoder.ended() {
                let trailers = trailers(this.decoder.trailers());
                this.finish();
                return Poll::Ready(trailers.map(|fields| Ok(Frame::trailers(fields))));
            }
            match ready!(scratch::poll_read(&mut up.io, &mut up.input, cx)) {
                Ok(1..) => {}
                Ok(0) if this.decoder.close() => {}
                Ok(_) | Err(_) => return Poll::Ready(Some(Err("the answer ended too early".into()))),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.over
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map(SizeHint::with_exact).unwrap_or_default()
    }
}

fn trailers(lines: &[u8]) -> Option<HeaderMap> {
    let mut fields = HeaderMap::new();
    for line in lines.split(|b| *b == b'\n').filter(|l| !l.is_empty()) {
        let colon = line.iter().position(|b| *b == b':')?;
        let name = HeaderName::from_bytes(&line[..colon]).ok()?;
        fields.append(name, HeaderValue::from_bytes(line[colon + 1..].trim_ascii()).ok()?);
    }
    (!fields.is_empty()).then_some(fields)
}
