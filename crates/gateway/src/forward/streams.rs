//! The bodies in both directions, tied to the lease of their exchange.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use tokio_util::sync::WaitForCancellationFutureOwned;

use super::pool::{Connection, Upstreams};
use crate::body::BodyError;
use crate::live::Entry;
use crate::normal::headers::{is_hop_by_hop, is_protected};
use crate::wire::Busy;

/// What happens when a lease is given back.
type OnEnd = Box<dyn FnOnce(&Entry) + Send + Sync>;

/// Holds a lease for as long as its connection lives. Dropping it gives the lease back and records a cut.
pub(crate) struct Lease {
    entry: Arc<Entry>,
    on_end: Option<OnEnd>,
}

impl Lease {
    pub(crate) fn new(entry: Arc<Entry>, on_end: impl FnOnce(&Entry) + Send + Sync + 'static) -> Self {
        Self { entry, on_end: Some(Box::new(on_end)) }
    }

    pub(crate) fn entry(&self) -> &Arc<Entry> {
        &self.entry
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(on_end) = self.on_end.take() {
            on_end(&self.entry);
        }
    }
}

/// How far the body of a request came.
#[derive(Debug, Default)]
pub(crate) struct Uploaded {
    bytes: AtomicU64,
    complete: AtomicBool,
    failed: AtomicBool,
}

impl Uploaded {
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Whether the client broke its own body.
    pub(crate) fn failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }
}

/// The body of a request on its way up.
pub(crate) struct Upload {
    inner: Incoming,
    uploaded: Arc<Uploaded>,
    entry: Arc<Entry>,
    lost: Pin<Box<WaitForCancellationFutureOwned>>,
    bound: Option<u64>,
}

impl Upload {
    pub(crate) fn new(inner: Incoming, uploaded: Arc<Uploaded>, entry: Arc<Entry>, bound: Option<u64>) -> Self {
        if inner.is_end_stream() {
            uploaded.complete.store(true, Ordering::Relaxed);
        }
        let lost = Box::pin(entry.lost.clone().cancelled_owned());
        Self { inner, uploaded, entry, lost, bound }
    }
}

impl HttpBody for Upload {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        if this.lost.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Some(Err("the lease was lost".into())));
        }
        let frame = match Pin::new(&mut this.inner).poll_frame(cx) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(None) => {
                this.uploaded.complete.store(true, Ordering::Relaxed);
                return Poll::Ready(None);
            }
            Poll::Ready(Some(Err(e))) => {
                this.uploaded.failed.store(true, Ordering::Relaxed);
                return Poll::Ready(Some(Err(e.into())));
            }
            Poll::Ready(Some(Ok(frame))) => frame,
        };
        if let Some(data) = frame.data_ref() {
            let n = data.len() as u64;
            this.entry.up.fetch_add(n, Ordering::Relaxed);
            let total = this.uploaded.bytes.fetch_add(n, Ordering::Relaxed) + n;
            if this.bound.is_some_and(|bound| total > bound) {
                this.uploaded.failed.store(true, Ordering::Relaxed);
                return Poll::Ready(Some(Err("the body is too long".into())));
            }
        }
        if this.inner.is_end_stream() {
            this.uploaded.complete.store(true, Ordering::Relaxed);
        }
        Poll::Ready(Some(Ok(clean_trailers(frame, is_protected))))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// The body of an answer on its way down. It owns the lease: when it is gone, so is the lease.
pub(crate) struct Download {
    inner: Incoming,
    lease: Lease,
    lost: Pin<Box<WaitForCancellationFutureOwned>>,
    connection: Option<Connection>,
    uploaded: Arc<Uploaded>,
    pool: Option<Arc<Upstreams>>,
    _busy: Option<Busy>,
}

impl Download {
    /// `pool` is where the connection goes afterwards; `None` if it must not serve another request.
    pub(crate) fn new(
        inner: Incoming,
        lease: Lease,
        connection: Connection,
        uploaded: Arc<Uploaded>,
        pool: Option<Arc<Upstreams>>,
        busy: Option<Busy>,
    ) -> Self {
        let lost = Box::pin(lease.entry().lost.clone().cancelled_owned());
        Self { inner, lease, lost, connection: Some(connection), uploaded, pool, _busy: busy }
    }
}

impl HttpBody for Download {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        if this.lost.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Some(Err("the lease was lost".into())));
        }
        match Pin::new(&mut this.inner).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                let n = frame.data_ref().map_or(0, Bytes::len) as u64;
                this.lease.entry().down.fetch_add(n, Ordering::Relaxed);
                Poll::Ready(Some(Ok(clean_trailers(frame, crate::normal::headers::is_ours))))
            }
            Poll::Ready(Some(Err(e))) => Poll::Ready(Some(Err(e.into()))),
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl Drop for Download {
    /// The connection goes back only if both bodies are over and the lease was not lost; else it is closed.
    fn drop(&mut self) {
        let Some(connection) = self.connection.take() else { return };
        let over = self.inner.is_end_stream() && self.uploaded.complete.load(Ordering::Relaxed);
        match &self.pool {
            // The end of the lease comes first: a later cut must not close a connection that serves another.
            Some(pool) if over && self.lease.entry().end().is_none() => pool.give_back(connection),
            _ => connection.abort_token().cancel(),
        }
    }
}

/// Takes out of trailers what may not stand there.
fn clean_trailers(frame: Frame<Bytes>, forbidden: impl Fn(&str) -> bool) -> Frame<Bytes> {
    match frame.into_trailers() {
        Err(frame) => frame,
        Ok(mut trailers) => {
            let gone: Vec<_> = trailers
                .keys()
                .filter(|n| forbidden(n.as_str()) || is_hop_by_hop(n.as_str()) || n.as_str().contains('_'))
                .cloned()
                .collect();
            for name in gone {
                trailers.remove(name);
            }
            Frame::trailers(trailers)
        }
    }
}
