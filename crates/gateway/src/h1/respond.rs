//! Writing an answer that is not relayed from an application over HTTP/1.1: our own pages, denials, the portal.

use std::task::Poll;
use std::time::{Duration, UNIX_EPOCH};

use bytes::{Buf, Bytes};
use http::header::{CONNECTION, CONTENT_LENGTH, DATE, HeaderName, TRANSFER_ENCODING};
use http::{HeaderMap, Response};
use http_body_util::BodyExt;
use hyper::body::Body as _;
use safeconduct_http::{Encoder, Version, names};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use super::Conn;
use crate::body::Body;
use crate::span::Told;

impl<S> Conn<S>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    /// Writes an answer. Says whether it arrived whole.
    pub(super) async fn respond(&mut self, response: Response<Body>, close: bool) -> bool {
        self.told = Told::of(&response);
        let (head, mut body) = response.into_parts();
        let status = head.status.as_u16();
        self.status = status;
        let to_head = self.head.is_method("HEAD");
        let bodiless = status < 200 || matches!(status, 204 | 304);
        let mut out = std::mem::take(&mut self.out);
        out.clear();
        let reason = head.status.canonical_reason().unwrap_or_default();
        out.extend_from_slice(format!("HTTP/1.1 {status} {reason}\r\n").as_bytes());
        write_fields(&head.headers, &mut out);
        if !head.headers.contains_key(DATE) {
            let now = Duration::from_millis(u64::try_from(self.worker.core.control.now().millis()).unwrap_or(0));
            out.extend_from_slice(format!("date: {}\r\n", httpdate::fmt_http_date(UNIX_EPOCH + now)).as_bytes());
        }
        let mut encoder = Encoder::Plain;
        let mut close = close;
        if let Some(n) = body.size_hint().exact() {
            if !bodiless {
                out.extend_from_slice(format!("content-length: {n}\r\n").as_bytes());
            }
        } else if self.head.version() == Version::Http10 {
            close = true;
        } else if !bodiless {
            out.extend_from_slice(b"transfer-encoding: chunked\r\n");
            encoder = Encoder::Chunked;
        }
        if close {
            out.extend_from_slice(b"connection: close\r\n");
        }
        out.extend_from_slice(b"\r\n");
        let whole = if to_head || bodiless {
            self.io.write_all(&out).await.is_ok()
        } else {
            self.write_body(&mut out, &mut body, encoder).await
        };
        let flushed = self.io.flush().await.is_ok();
        self.out = out;
        whole && flushed
    }

    /// Tells the client that its protocol changes now. Says whether that arrived.
    pub(super) async fn respond_switch(&mut self, response: Response<Body>) -> bool {
        self.status = response.status().as_u16();
        let mut out = b"HTTP/1.1 101 Switching Protocols\r\n".to_vec();
        for (name, value) in response.headers() {
            out.extend_from_slice(name.as_str().as_bytes());
            out.extend_from_slice(b": ");
            out.extend_from_slice(value.as_bytes());
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b"\r\n");
        self.io.write_all(&out).await.is_ok() && self.io.flush().await.is_ok()
    }

    async fn write_body(&mut self, out: &mut Vec<u8>, body: &mut Body, encoder: Encoder) -> bool {
        loop {
            // What is there already travels with the head.
            let frame =
                match std::future::poll_fn(|cx| Poll::Ready(std::pin::Pin::new(&mut *body).poll_frame(cx))).await {
                    Poll::Ready(frame) => frame,
                    Poll::Pending => {
                        if self.io.write_all(out).await.is_err() || self.io.flush().await.is_err() {
                            return false;
                        }
                        out.clear();
                        body.frame().await
                    }
                };
            match frame {
                None => {
                    encoder.end(b"", out);
                    break;
                }
                Some(Err(_)) => return false,
                Some(Ok(frame)) => {
                    let Ok(mut data) = frame.into_data() else { continue };
                    if data.has_remaining() {
                        encoder.before(data.len(), out);
                        take(&mut data, out);
                        out.extend_from_slice(encoder.after());
                    }
                }
            }
        }
        self.io.write_all(out).await.is_ok()
    }
}

fn take(data: &mut Bytes, out: &mut Vec<u8>) {
    out.extend_from_slice(data);
    data.clear();
}

fn write_fields(fields: &HeaderMap, out: &mut Vec<u8>) {
    let framing = |name: &HeaderName| *name == CONTENT_LENGTH || *name == TRANSFER_ENCODING || *name == CONNECTION;
    for (name, value) in fields {
        if framing(name) || names::is_hop_by_hop(name.as_str().as_bytes()) {
            continue;
        }
        out.extend_from_slice(name.as_str().as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
}
