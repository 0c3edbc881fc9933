//! A web server on hyper, the parser that a Rust application has.

use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use anyhow::Result;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

/// Lines of what it saw, in the form of all logs.
pub(crate) type Lines = Arc<Mutex<Vec<String>>>;

/// Starts it on a thread of its own, which ends with the process. Returns its port.
pub(crate) fn start(lines: Lines) -> Result<u16> {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    listener.set_nonblocking(true)?;
    let port = listener.local_addr()?.port();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    thread::spawn(move || {
        runtime.block_on(async move {
            let Ok(listener) = TcpListener::from_std(listener) else { return };
            while let Ok((stream, _)) = listener.accept().await {
                let lines = Arc::clone(&lines);
                let service = service_fn(move |request| answer(request, Arc::clone(&lines)));
                let serving =
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
                tokio::spawn(serving);
            }
        });
    });
    Ok(port)
}

async fn answer(request: Request<Incoming>, lines: Lines) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let size = body.collect().await.map(|b| b.to_bytes().len()).unwrap_or_default();
    let of = |name: &str| {
        let value = head.headers.get(name).map(hyper::header::HeaderValue::as_bytes).unwrap_or_default();
        value.escape_ascii().to_string()
    };
    let path = decoded(head.uri.path());
    let line = format!(
        "{}\t{} {} HTTP/1.1\t{}\t{}\t{}\t{size}",
        of("x-request-id"),
        head.method,
        head.uri,
        path.escape_ascii(),
        of("host"),
        of("x-nt")
    );
    lines.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    Ok(Response::new(Full::new(Bytes::from_static(b"hyper"))))
}

/// A path with its encodings taken back, as an application decodes it.
pub(crate) fn decoded(path: &str) -> Vec<u8> {
    let (mut out, mut rest) = (Vec::new(), path.as_bytes());
    while let Some((byte, after)) = rest.split_first() {
        let digit =
            |at: usize| rest.get(at).and_then(|b| char::from(*b).to_digit(16)).and_then(|d| u8::try_from(d).ok());
        match (byte, digit(1), digit(2)) {
            (b'%', Some(high), Some(low)) => {
                out.push(high << 4 | low);
                rest = &rest[3..];
            }
            _ => {
                out.push(*byte);
                rest = after;
            }
        }
    }
    out
}
