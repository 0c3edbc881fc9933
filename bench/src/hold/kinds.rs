//! The kinds of live connections, from the client's side: how each begins and how its end is seen.

use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http2::SendRequest;
use hyper::ext::Protocol;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::ServerName;
use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::group::Place;

/// What is held open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// A WebSocket.
    Websocket,
    /// Events over HTTP/1.1.
    Events,
    /// An exchange over HTTP/1.1 whose answer is of known length and never complete.
    Exchange,
    /// A stream of HTTP/2.
    Stream,
    /// A WebSocket over HTTP/2 (RFC 8441).
    Websocket2,
    /// TCP to a port of this machine that `safeconduct connect` listens on.
    Tunnel,
}

impl Kind {
    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::Websocket | Self::Websocket2 => "/ws",
            Self::Events | Self::Stream | Self::Tunnel => "/events",
            Self::Exchange => "/slow",
        }
    }

    /// The version of HTTP that it is held over; a tunnel is asked for by another program.
    pub(crate) fn http(self) -> u8 {
        if matches!(self, Self::Stream | Self::Websocket2) { 2 } else { 1 }
    }

    fn is_websocket(self) -> bool {
        matches!(self, Self::Websocket | Self::Websocket2)
    }
}

/// Something that lives, until it is read to its end.
pub(crate) enum Live {
    Bytes(Box<dyn AsyncRead + Send + Unpin>, Frames),
    Stream(hyper::body::Incoming),
}

/// The frames of a WebSocket, as far as their end must be seen.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    websocket: bool,
    head: Vec<u8>,
    skip: u64,
}

impl Live {
    /// Reads until the other side ends it. `heard` is called whenever something came.
    pub(crate) async fn ended(&mut self, heard: impl Fn()) {
        match self {
            Self::Bytes(stream, frames) => {
                let mut buffer = [0; 4_096];
                // An error is an end as well.
                while let Ok(n @ 1..) = stream.read(&mut buffer).await {
                    heard();
                    if frames.closed(&buffer[..n]) {
                        break;
                    }
                }
            }
            Self::Stream(body) => {
                while let Some(Ok(_)) = body.frame().await {
                    heard();
                }
            }
        }
    }
}

impl Frames {
    /// Of a WebSocket, or of what is none.
    pub(crate) fn of(kind: Kind) -> Self {
        Self { websocket: kind.is_websocket(), ..Self::default() }
    }

    /// Whether the other side said that it closes.
    pub(crate) fn closed(&mut self, mut bytes: &[u8]) -> bool {
        while self.websocket && !bytes.is_empty() {
            if self.skip > 0 {
                let now = usize::try_from(self.skip).unwrap_or(usize::MAX).min(bytes.len());
                self.skip -= now as u64;
                bytes = &bytes[now..];
                continue;
            }
            self.head.push(bytes[0]);
            bytes = &bytes[1..];
            let length = match self.head.as_slice() {
                [_, short] if *short < 126 => u64::from(*short),
                [_, 126, a, b] => u64::from(u16::from_be_bytes([*a, *b])),
                [_, 127, rest @ ..] => match <[u8; 8]>::try_from(rest) {
                    Ok(eight) => u64::from_be_bytes(eight),
                    Err(_) => continue,
                },
                _ => continue,
            };
            if self.head[0] & 0x0f == 8 {
                return true;
            }
            self.skip = length;
            self.head.clear();
        }
        false
    }
}

/// Connects over TLS.
pub(crate) async fn connect(place: &Place, number: usize) -> Result<TlsStream<TcpStream>> {
    let socket = TcpSocket::new_v4()?;
    if let Some(from) = place.from.get(number % place.from.len().max(1)) {
        socket.bind((*from, 0).into())?;
    }
    let stream = socket.connect(place.at(number)).await.context("cannot connect")?;
    stream.set_nodelay(true)?;
    let host = place.authority.rsplit_once(':').map_or(place.authority.as_str(), |(host, _)| host).to_owned();
    let connector = TlsConnector::from(Arc::clone(&place.tls));
    connector.connect(ServerName::try_from(host)?, stream).await.context("the TLS handshake failed")
}

/// Opens one connection of HTTP/1.1 and waits for the first byte of what it shall hold.
pub(crate) async fn one(place: &Place, kind: Kind, path: &str, number: usize) -> Result<Live> {
    let stream = connect(place, number).await?;
    let mut request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\n", place.authority);
    for (name, value) in &place.headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    if kind.is_websocket() {
        let origin = format!("Origin: https://{}\r\n", place.authority);
        let key = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
        request.push_str(&origin);
        request.push_str(key);
    }
    request.push_str("\r\n");
    begin(stream, &request, kind).await
}

/// Opens one connection to a port that leads through a tunnel, and asks the application at its other end as if there were none.
pub(crate) async fn tunnel(place: &Place, path: &str, number: usize) -> Result<Live> {
    let stream = TcpStream::connect(place.at(number)).await.context("cannot connect")?;
    stream.set_nodelay(true)?;
    begin(stream, &format!("GET {path} HTTP/1.1\r\nHost: tunnel\r\n\r\n"), Kind::Tunnel).await
}

/// Sends a request, and waits for the head of its answer and the first byte after it.
async fn begin<S>(mut stream: S, request: &str, kind: Kind) -> Result<Live>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    stream.write_all(request.as_bytes()).await?;
    let wanted = if kind.is_websocket() { "101" } else { "200" };
    let mut head = Vec::with_capacity(1_024);
    let end = loop {
        if let Some(end) = head.windows(4).position(|w| w == b"\r\n\r\n") {
            break end + 4;
        }
        ensure!(head.len() < 64 * 1_024 && stream.read_buf(&mut head).await? > 0, "no whole head was answered");
    };
    let first = String::from_utf8_lossy(&head[..head.len().min(64)]).into_owned();
    ensure!(first.split(' ').nth(1) == Some(wanted), "answered {}", first.lines().next().unwrap_or_default());
    lives(stream, head.split_off(end), kind).await
}

/// Waits for the first byte, where none was read yet.
async fn lives<S>(mut stream: S, mut read: Vec<u8>, kind: Kind) -> Result<Live>
where
    S: AsyncRead + Send + Unpin + 'static,
{
    if read.is_empty() {
        ensure!(stream.read_buf(&mut read).await? > 0, "nothing came after the head");
    }
    let mut frames = Frames::of(kind);
    ensure!(!frames.closed(&read), "it was closed at once");
    Ok(Live::Bytes(Box::new(stream), frames))
}

/// Opens one connection of HTTP/2.
pub(crate) async fn two(place: &Place, number: usize) -> Result<SendRequest<Empty<Bytes>>> {
    let stream = connect(place, number).await?;
    let io = TokioIo::new(stream);
    let (sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await?;
    tokio::spawn(connection);
    Ok(sender)
}

/// What is asked for on a connection of HTTP/2.
pub(crate) fn request(place: &Place, kind: Kind, path: &str) -> Result<Request<Empty<Bytes>>> {
    let mut request = Request::builder().uri(format!("https://{}{path}", place.authority));
    for (name, value) in &place.headers {
        request = request.header(name, value);
    }
    if kind.is_websocket() {
        let protocol = Protocol::from_static("websocket");
        request = request.method("CONNECT").extension(protocol).header("sec-websocket-version", "13");
        request = request.header("origin", format!("https://{}", place.authority));
    }
    Ok(request.body(Empty::new())?)
}

/// A client asks for a WebSocket only once it was told that it may (RFC 8441, section 3): the settings of the other side come
/// before its first answer.
pub(crate) async fn acquainted(place: &Place, sender: &mut SendRequest<Empty<Bytes>>) -> Result<()> {
    sender.ready().await?;
    let answer = sender.send_request(request(place, Kind::Stream, "/1k")?).await?;
    answer.into_body().collect().await?;
    Ok(())
}

/// Asks on a connection of HTTP/2 and waits for the first of what it shall hold.
pub(crate) async fn stream(
    place: &Place,
    kind: Kind,
    path: &str,
    sender: &mut SendRequest<Empty<Bytes>>,
) -> Result<Live> {
    sender.ready().await?;
    let mut answer = sender.send_request(request(place, kind, path)?).await?;
    if !answer.status().is_success() {
        bail!("answered {}", answer.status());
    }
    if kind.is_websocket() {
        let upgraded = hyper::upgrade::on(answer).await.context("no WebSocket was opened")?;
        return lives(TokioIo::new(upgraded), Vec::new(), kind).await;
    }
    let first = answer.body_mut().frame().await.context("nothing came after the head")?;
    first.context("it was ended at once")?;
    Ok(Live::Stream(answer.into_body()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_close_of_a_websocket_is_seen_however_it_is_cut() {
        let long = [&[0x82, 126, 1, 0][..], &[8; 256], b"\x81\x04tick", &[0x88, 2, 3, 0xe8]].concat();
        for cut in 0..long.len() {
            let mut frames = Frames { websocket: true, ..Frames::default() };
            let first = frames.closed(&long[..cut]);
            assert!(first || frames.closed(&long[cut..]), "{cut}");
            assert_eq!(first, cut >= long.len() - 2, "{cut}");
        }
        assert!(!Frames::default().closed(&[0x88, 0, 0x88, 0]), "not a WebSocket");
    }

    /// The other side answers with this, and goes.
    async fn begun(kind: Kind, answer: &[u8]) -> Result<Live> {
        let (ours, mut theirs) = tokio::io::duplex(4_096);
        theirs.write_all(answer).await?;
        theirs.shutdown().await?;
        begin(ours, "ask", kind).await
    }

    #[tokio::test]
    async fn only_what_was_answered_and_said_something_lives() {
        let (ok, switched) = ("HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 101 Switching Protocols\r\n\r\n");
        assert!(begun(Kind::Tunnel, format!("{ok}tick").as_bytes()).await.is_ok());
        assert!(begun(Kind::Tunnel, ok.as_bytes()).await.is_err(), "it ended at once");
        assert!(begun(Kind::Tunnel, format!("{switched}tick").as_bytes()).await.is_err(), "not what was wanted");
        assert!(begun(Kind::Tunnel, b"").await.is_err(), "a tunnel that was refused");
        let frame = |more: &[u8]| [switched.as_bytes(), more].concat();
        assert!(begun(Kind::Websocket, &frame(b"\x81\x04tick")).await.is_ok());
        assert!(begun(Kind::Websocket, &frame(b"\x88\x00")).await.is_err(), "closed at once");
        assert!(begun(Kind::Tunnel, &[ok.as_bytes(), b"\x88\x00"].concat()).await.is_ok(), "not a WebSocket");
    }

    #[tokio::test]
    async fn the_last_word_of_a_websocket_is_its_end_although_the_stream_goes_on() {
        for (kind, ends) in [(Kind::Websocket2, true), (Kind::Tunnel, false)] {
            let (ours, mut theirs) = tokio::io::duplex(64);
            theirs.write_all(b"\x81\x04tick").await.expect("room");
            let mut live = lives(ours, Vec::new(), kind).await.expect("alive");
            theirs.write_all(b"\x88\x02\x03\xf0").await.expect("room");
            let ended = tokio::time::timeout(std::time::Duration::from_millis(200), live.ended(|| {})).await;
            assert_eq!(ended.is_ok(), ends, "{kind:?}");
            drop(theirs);
            live.ended(|| {}).await;
        }
    }
}
