//! hyper's server on bytes in memory: what it makes of them.

use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper::{Request, Response};
use safeconduct_http::fuzzing::Seen;

/// More headers than a head of ours can have.
const HEADERS: usize = 300;
/// Nobody wakes anybody in here: it is asked so often, each time a step further.
const TURNS: usize = 20_000;

/// Bytes that were sent before the connection was closed; what is answered is lost.
struct Sent<'b>(&'b [u8]);

impl Read for Sent<'_> {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, mut to: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        let (part, rest) = self.0.split_at(self.0.len().min(to.remaining()));
        to.put_slice(part);
        self.0 = rest;
        Poll::Ready(Ok(()))
    }
}

impl Write for Sent<'_> {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// The requests that hyper finds in the bytes, until it refuses or they end.
pub(crate) fn server(bytes: &[u8]) -> Vec<Seen> {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let service = hyper::service::service_fn(|request: Request<Incoming>| {
        let seen = Arc::clone(&seen);
        async move {
            let (parts, body) = request.into_parts();
            let body = body.collect().await.map(|all| all.to_bytes().to_vec()).ok();
            let one = Seen {
                method: parts.method.to_string(),
                target: parts.uri.to_string(),
                hosts: parts.headers.get_all("host").iter().map(|h| h.as_bytes().to_vec()).collect(),
                body,
            };
            seen.lock().expect("nobody panics with it").push(one);
            Ok::<_, std::convert::Infallible>(Response::new(Empty::<Bytes>::new()))
        }
    });
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder.max_headers(HEADERS).half_close(true).auto_date_header(false).header_read_timeout(None);
    {
        let mut connection = pin!(builder.serve_connection(Sent(bytes), service));
        let mut context = Context::from_waker(Waker::noop());
        let mut turns = 0;
        while connection.as_mut().poll(&mut context).is_pending() {
            turns += 1;
            assert!(turns < TURNS, "hyper does not come to an end: {}", bytes.escape_ascii());
        }
    }
    let mut seen = seen.lock().expect("nobody panics with it");
    std::mem::take(&mut *seen)
}
