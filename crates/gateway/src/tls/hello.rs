//! The first message of a client, looked at before it is known who answers it.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::BufMut;
use rustls::server::{Accepted, Acceptor};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

/// The most bytes of a first message.
const HELLO_BYTES: usize = 0xffff;
/// The bytes of one read of it.
const STEP_BYTES: usize = 4 * 1024;

/// What was read, and the message if it is a proper one; what is none is for the handshake to refuse.
pub(crate) async fn hello<S: AsyncRead + Unpin>(io: &mut S) -> io::Result<(Vec<u8>, Option<Box<Accepted>>)> {
    let (mut acceptor, mut first) = (Box::new(Acceptor::default()), Vec::new());
    while first.len() < HELLO_BYTES {
        let from = first.len();
        first.reserve(STEP_BYTES);
        if io.read_buf(&mut (&mut first).limit(STEP_BYTES.min(HELLO_BYTES - from))).await? == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "tls handshake eof"));
        }
        let mut new = &first[from..];
        while !new.is_empty() {
            let heard = acceptor.read_tls(&mut new);
            match acceptor.accept() {
                Ok(Some(accepted)) => return Ok((first, Some(Box::new(accepted)))),
                Ok(None) if matches!(heard, Ok(1..)) => {}
                Ok(None) | Err(_) => return Ok((first, None)),
            }
        }
    }
    Ok((first, None))
}

/// A connection of which something was read before; it is read once more.
#[derive(Debug)]
pub struct Replayed<S> {
    first: Vec<u8>,
    at: usize,
    io: S,
}

impl<S> Replayed<S> {
    /// A connection that begins with `first`.
    pub(crate) fn new(first: Vec<u8>, io: S) -> Self {
        Self { first, at: 0, io }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Replayed<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.at == this.first.len() {
            return Pin::new(&mut this.io).poll_read(cx, into);
        }
        let n = into.remaining().min(this.first.len() - this.at);
        into.put_slice(&this.first[this.at..this.at + n]);
        this.at += n;
        if this.at == this.first.len() {
            (this.first, this.at) = (Vec::new(), 0);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Replayed<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write(cx, data)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write_vectored(cx, data)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rustls::pki_types::ServerName;
    use rustls::{ClientConfig, ClientConnection, RootCertStore};
    use tokio::io::{AsyncWriteExt, DuplexStream, duplex};

    use super::*;

    fn a_hello(protocols: &[&str]) -> Vec<u8> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let mut config = builder.with_root_certificates(RootCertStore::empty()).with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|p| p.as_bytes().to_vec()).collect();
        let mut client = ClientConnection::new(Arc::new(config), ServerName::try_from("wiki.test").unwrap()).unwrap();
        let mut wire = Vec::new();
        client.write_tls(&mut wire).unwrap();
        wire
    }

    /// A connection over which these bytes come, so many at a time, and then nothing.
    fn coming(bytes: &[u8], step: usize) -> DuplexStream {
        let (mut from, to) = duplex(step);
        let bytes = bytes.to_vec();
        tokio::spawn(async move { from.write_all(&bytes).await });
        to
    }

    #[tokio::test]
    async fn the_protocols_of_a_hello_are_known_and_no_byte_of_it_is_lost() {
        let long: Vec<String> = (0..100).map(|n| format!("{n:0200}")).collect();
        let long: Vec<&str> = long.iter().map(String::as_str).collect();
        for protocols in [&[][..], &["h2", "http/1.1"], &long] {
            let wire = a_hello(protocols);
            for step in [1, 1_000, 1 << 20] {
                let mut io = coming(&wire, step);
                let (first, accepted) = hello(&mut io).await.unwrap();
                let accepted = accepted.expect("a proper hello");
                let told = accepted.client_hello().alpn().map(|p| p.map(<[u8]>::to_vec).collect::<Vec<_>>());
                let expected: Vec<Vec<u8>> = protocols.iter().map(|p| p.as_bytes().to_vec()).collect();
                assert_eq!(told.unwrap_or_default(), expected);
                assert_eq!(first, wire);
            }
        }
    }

    #[tokio::test]
    async fn what_is_no_hello_is_given_back_as_it_is() {
        let mut alert = vec![21, 3, 3, 0, 2, 1, 0];
        alert.extend(a_hello(&["h2"]));
        let mut bent = a_hello(&["h2"]);
        bent[5] ^= 0xff;
        for garbage in [b"GET / HTTP/1.1\r\n\r\n".to_vec(), alert, bent] {
            let (first, accepted) = hello(&mut coming(&garbage, 1 << 20)).await.unwrap();
            assert!(accepted.is_none());
            assert_eq!(first, garbage);
        }
        for cut in [0, 4, 100] {
            let error = hello(&mut coming(&a_hello(&[])[..cut], 1)).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        }
    }

    #[tokio::test]
    async fn a_hello_without_end_meets_the_bound() {
        let record = [&[22, 3, 1, 1, 0][..], &[0; 256]].concat();
        let mut endless = record.repeat(400);
        endless[5..9].copy_from_slice(&[1, 0, 0xff, 0xff]);
        let mut io = coming(&endless, 1_000);
        let (first, accepted) = hello(&mut io).await.unwrap();
        assert!(accepted.is_none() && first.len() <= HELLO_BYTES, "{}", first.len());
        assert!(endless.starts_with(&first));
    }

    #[tokio::test]
    async fn what_was_read_before_is_read_once_more_and_then_what_comes() {
        let mut replayed = Replayed::new(b"abc".to_vec(), coming(b"def", 2));
        let mut space = [0; 2];
        assert_eq!(replayed.read(&mut space).await.unwrap(), 2);
        let mut rest = Vec::new();
        replayed.read_to_end(&mut rest).await.unwrap();
        assert_eq!([&space[..], &rest].concat(), b"abcdef");
        assert_eq!(replayed.first.capacity(), 0, "it holds nothing any more");
    }
}
