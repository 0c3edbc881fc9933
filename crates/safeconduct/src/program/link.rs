//! Tunnels to one application: many over an HTTP/2 connection, or each over a WebSocket where a proxy lets no other pass.

use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use h2::client::SendRequest;
use h2::{Reason, RecvStream, SendStream};
use http::{Method, Request, Response, StatusCode, Uri, header};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::keyring::Keyring;
use super::net::{Address, Net};
use super::portal::proof;
use super::told::{ENDED, Told};
use super::websocket;

/// The path that the proof of either carrier names.
const PATH: &str = "/.safeconduct/tunnel";
/// The bytes of one read.
const BUFFER_BYTES: usize = 16 * 1024;
/// The bytes that may be on their way to this machine in one tunnel, and in all.
const WINDOW: u32 = 256 * 1024;
const WINDOW_OF_ALL: u32 = 4 * 1024 * 1024;
/// How long the gateway may take to open a tunnel.
const PATIENCE: Duration = Duration::from_secs(30);
/// Connections at a time; each carries as many tunnels as the gateway lets it.
const CONNECTIONS: usize = 8;
/// The longest refusal that is read, in bytes.
const MAX_TOLD_BYTES: usize = 64 * 1024;

/// The longest number of a request.
const MAX_NUMBER: usize = 64;

/// How a tunnel ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// Both directions came to their end.
    Closed,
    /// The gateway ended it, with its words if it gave any.
    Cut(String),
    /// The program on this machine broke it off.
    Left,
}

/// The local end of a tunnel.
pub(crate) struct Local<R, W> {
    pub(crate) read: R,
    pub(crate) write: W,
    /// How long the local direction may go on after the application has ended its own; as long as it likes if nothing is set.
    /// Standard output cannot be closed alone, so whoever reads it learns of the end only by the end of this program.
    pub(crate) linger: Option<Duration>,
}

/// The direction to this machine has ended: the other one may go on for a while.
pub(super) async fn last_words(linger: Option<Duration>) -> Result<(), Ended> {
    match linger {
        Some(linger) => {
            tokio::time::sleep(linger).await;
            Err(Ended::Closed)
        }
        None => Ok(()),
    }
}

/// An open tunnel.
pub(crate) struct Tunnel {
    carrier: Carrier,
    /// The number of the request that opened it.
    request: Option<String>,
    portal: Address,
}

/// What carries it.
enum Carrier {
    Stream(SendStream<Bytes>, RecvStream, Place),
    Socket(Box<websocket::Socket>),
}

/// The place of a tunnel on its connection, until it is dropped.
type Place = Arc<()>;

/// A connection of HTTP/2, and the places that are taken on it.
struct Kept {
    sender: SendRequest<Bytes>,
    places: Place,
}

impl Kept {
    fn taken(&self) -> usize {
        Arc::strong_count(&self.places) - 1
    }

    /// A stream more than the gateway takes would wait for another to end.
    fn has_room(&self) -> bool {
        self.taken() < self.sender.current_max_send_streams()
    }

    fn place(&self) -> (SendRequest<Bytes>, Place) {
        (self.sender.clone(), Arc::clone(&self.places))
    }
}

/// The way to one application.
#[derive(Clone)]
pub(crate) struct Link {
    keyring: Keyring,
    net: Net,
    pub(crate) to: Address,
    /// Whether only the WebSocket is tried.
    websocket: bool,
    connections: Arc<Mutex<Vec<Kept>>>,
}

/// What the gateway said to a request for a tunnel.
enum Answer {
    Opened(Carrier, Option<String>),
    Refused(StatusCode, Option<String>, Vec<u8>),
    /// Something between us and the gateway does not let HTTP/2 pass.
    NoHttp2,
}

impl Link {
    pub(crate) fn new(keyring: Keyring, net: Net, to: Address, websocket: bool) -> Self {
        Self { keyring, net, to, websocket, connections: Arc::default() }
    }

    /// Opens a tunnel. A refusal is a [`Told`]. A token that expired meanwhile is refreshed, once.
    pub(crate) async fn open(&self) -> Result<Tunnel> {
        let mut refused: Option<String> = None;
        loop {
            let token = self.keyring.token(refused.as_deref()).await?;
            let asked = timeout(PATIENCE, Box::pin(self.ask(&token))).await;
            let portal = &self.keyring.home.portal;
            let (status, request, body) = match asked.with_context(|| format!("{} takes too long", self.to))?? {
                Answer::Opened(carrier, request) => return Ok(Tunnel { carrier, request, portal: portal.clone() }),
                Answer::Refused(status, request, body) => (status, request, body),
                Answer::NoHttp2 => bail!("{} speaks no HTTP/2; try --carrier websocket", self.to),
            };
            if status == StatusCode::UNAUTHORIZED && refused.is_none() {
                refused = Some(token);
                continue;
            }
            return Err(Told::read(status.as_u16(), &body, request, portal).into());
        }
    }

    async fn ask(&self, token: &str) -> Result<Answer> {
        if !self.websocket {
            match self.ask_http2(token).await? {
                Answer::NoHttp2 => {}
                answer => return Ok(answer),
            }
        }
        let uri = format!("{}{PATH}", self.to.origin());
        let proof = proof(&self.keyring.key, "GET", &uri, Some(token))?;
        let stream = self.net.connect(&self.to, &["http/1.1"]).await?;
        match websocket::open(stream, &self.to, PATH, token, &proof).await? {
            Ok((request, socket)) => Ok(Answer::Opened(Carrier::Socket(Box::new(socket)), request)),
            Err((status, request, body)) => Ok(Answer::Refused(status, request, body)),
        }
    }

    async fn ask_http2(&self, token: &str) -> Result<Answer> {
        // A connection that rested may be gone: then one more is made.
        for fresh in [false, true] {
            let Some((sender, place)) = self.place(fresh).await? else { return Ok(Answer::NoHttp2) };
            match self.send(sender, token).await {
                Ok((response, send)) => return Self::answered(response, send, place).await,
                Err(error) if !fresh => tracing::debug!(%error, "the connection was gone"),
                Err(error) => return Err(error).with_context(|| format!("{} opens no stream", self.to)),
            }
        }
        Ok(Answer::NoHttp2)
    }

    async fn send(&self, sender: SendRequest<Bytes>, token: &str) -> Result<(Response<RecvStream>, SendStream<Bytes>)> {
        let uri = format!("{}{PATH}", self.to.origin());
        // A CONNECT names the host and nothing else (RFC 9113, 8.5).
        let target = Uri::builder().authority(self.to.authority()).build()?;
        let request = Request::builder()
            .method(Method::CONNECT)
            .uri(target)
            .header(header::AUTHORIZATION, format!("DPoP {token}"))
            .header("dpop", proof(&self.keyring.key, "CONNECT", &uri, Some(token))?)
            .body(())?;
        let mut sender = sender.ready().await?;
        let (response, send) = sender.send_request(request, false)?;
        Ok((response.await?, send))
    }

    async fn answered(response: Response<RecvStream>, send: SendStream<Bytes>, place: Place) -> Result<Answer> {
        let (head, mut body) = response.into_parts();
        let request = number(&head.headers);
        if head.status == StatusCode::OK {
            return Ok(Answer::Opened(Carrier::Stream(send, body, place), request));
        }
        let mut told = Vec::new();
        while let Some(Ok(data)) = body.data().await {
            let _ = body.flow_control().release_capacity(data.len());
            if told.len() + data.len() > MAX_TOLD_BYTES {
                break;
            }
            told.extend_from_slice(&data);
        }
        Ok(Answer::Refused(head.status, request, told))
    }

    /// A place on a connection that has room, or on a new one; none where HTTP/2 is not agreed on. Where it must be fresh,
    /// those that there were get no more tunnels.
    async fn place(&self, fresh: bool) -> Result<Option<(SendRequest<Bytes>, Place)>> {
        let mut kept = self.connections.lock().await;
        if fresh {
            kept.clear();
        }
        let most = kept.len() >= CONNECTIONS;
        let emptiest = kept.iter().min_by_key(|k| k.taken()).filter(|k| most || k.has_room());
        if let Some(found) = emptiest {
            return Ok(Some(found.place()));
        }
        let stream = self.net.connect(&self.to, &["h2", "http/1.1"]).await?;
        if stream.get_ref().1.alpn_protocol() != Some(b"h2") {
            return Ok(None);
        }
        let (sender, connection) = h2::client::Builder::new()
            .initial_window_size(WINDOW)
            .initial_connection_window_size(WINDOW_OF_ALL)
            .enable_push(false)
            .handshake::<_, Bytes>(stream)
            .await?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "the connection to the gateway ended");
            }
        });
        let new = Kept { sender, places: Place::default() };
        let place = new.place();
        kept.push(new);
        Ok(Some(place))
    }
}

impl Tunnel {
    /// Carries bytes between a local program and the application, until both directions have ended.
    pub(crate) async fn carry<R, W>(self, local: Local<R, W>) -> Result<Ended>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        let ended = match self.carrier {
            // The place is given back at the end.
            Carrier::Stream(send, receive, _place) => over_stream(send, receive, local).await,
            Carrier::Socket(socket) => Box::pin(socket.carry(local)).await,
        }?;
        Ok(match ended {
            Ended::Cut(words) => Ended::Cut(Told::cut(words, self.request, &self.portal).to_string()),
            other => other,
        })
    }
}

/// The number of a request, as an answer names it.
pub(super) fn number(fields: &http::HeaderMap) -> Option<String> {
    let text = fields.get("x-request-id")?.to_str().ok()?;
    let plain = !text.is_empty() && text.len() <= MAX_NUMBER && text.bytes().all(|b| b.is_ascii_alphanumeric());
    plain.then(|| text.to_owned())
}

async fn over_stream<R, W>(mut send: SendStream<Bytes>, receive: RecvStream, local: Local<R, W>) -> Result<Ended>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let both = {
        let up = up(&mut send, local.read);
        let down = async {
            down(receive, local.write).await?;
            last_words(local.linger).await
        };
        tokio::try_join!(up, down)
    };
    match both {
        Ok(_) | Err(Ended::Closed) => Ok(Ended::Closed),
        Err(ended) => {
            // Not CANCEL: the other side takes that for an end like any other.
            send.send_reset(Reason::CONNECT_ERROR);
            Ok(ended)
        }
    }
}

/// What a broken local end is told as.
pub(super) fn left(_: io::Error) -> Ended {
    Ended::Left
}

fn cut(error: &h2::Error) -> Ended {
    tracing::debug!(%error, "the stream was reset");
    Ended::Cut(match error.is_io() {
        true => format!("the connection to the gateway broke: {error}"),
        false => {
            format!("{ENDED}access was withdrawn, or the application broke the connection")
        }
    })
}

async fn up<R: AsyncRead + Unpin>(send: &mut SendStream<Bytes>, mut from: R) -> Result<(), Ended> {
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let n = tokio::select! {
            reset = poll_fn(|cx| send.poll_reset(cx)) => return match reset {
                // The other side wants no more; what it sends may still come.
                Ok(Reason::NO_ERROR) => Ok(()),
                Ok(reason) => Err(cut(&reason.into())),
                Err(error) => Err(cut(&error)),
            },
            read = from.read(&mut buffer) => read.map_err(left)?,
        };
        if n == 0 {
            return send.send_data(Bytes::new(), true).map_err(|e| cut(&e));
        }
        let mut rest = Bytes::copy_from_slice(&buffer[..n]);
        while !rest.is_empty() {
            send.reserve_capacity(rest.len());
            // As much as the gateway takes: a slow application slows the program here.
            let room = match poll_fn(|cx| send.poll_capacity(cx)).await {
                Some(room) => room.map_err(|e| cut(&e))?,
                None => return Err(Ended::Cut("the gateway closed the tunnel".to_owned())),
            };
            let part = rest.split_to(room.min(rest.len()));
            send.send_data(part, false).map_err(|e| cut(&e))?;
        }
    }
}

async fn down<W: AsyncWrite + Unpin>(mut receive: RecvStream, mut to: W) -> Result<(), Ended> {
    while let Some(data) = receive.data().await {
        let data = data.map_err(|e| cut(&e))?;
        to.write_all(&data).await.map_err(left)?;
        to.flush().await.map_err(left)?;
        receive.flow_control().release_capacity(data.len()).map_err(|e| cut(&e))?;
    }
    let _ = to.shutdown().await;
    Ok(())
}
