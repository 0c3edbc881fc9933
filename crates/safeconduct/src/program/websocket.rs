//! A tunnel over a WebSocket: the payloads of binary messages are its bytes, an empty message is the end of a direction.

use anyhow::{Context, Result};
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use http::{Request, StatusCode, header};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use super::link::{Ended, Local, last_words, left, number};
use super::net::Address;
use super::told::ENDED;

/// The bytes of one read.
const BUFFER_BYTES: usize = 16 * 1024;

/// A refusal: its status, the number of the request, its body.
pub(super) type Refused = (StatusCode, Option<String>, Vec<u8>);

type Stream = Box<WebSocketStream<TlsStream<TcpStream>>>;

/// An open tunnel.
pub(crate) struct Socket(Stream);

/// Asks for a tunnel. The inner error is a refusal with its body.
pub(crate) async fn open(
    stream: TlsStream<TcpStream>,
    to: &Address,
    path: &str,
    token: &str,
    proof: &str,
) -> Result<Result<(Option<String>, Socket), Refused>> {
    let request = Request::builder()
        .uri(format!("wss://{}{path}", to.authority()))
        .header(header::HOST, to.authority())
        .header(header::CONNECTION, "Upgrade")
        .header(header::UPGRADE, "websocket")
        .header(header::SEC_WEBSOCKET_VERSION, "13")
        .header(header::SEC_WEBSOCKET_KEY, generate_key())
        .header(header::AUTHORIZATION, format!("DPoP {token}"))
        .header("dpop", proof)
        .body(())?;
    match Box::pin(client_async(request, stream)).await {
        Ok((socket, answer)) => Ok(Ok((number(answer.headers()), Socket(Box::new(socket))))),
        Err(Error::Http(response)) => {
            let (head, body) = response.into_parts();
            Ok(Err((head.status, number(&head.headers), body.unwrap_or_default())))
        }
        Err(error) => Err(error).with_context(|| format!("{to} opens no WebSocket")),
    }
}

impl Socket {
    pub(crate) async fn carry<R, W>(self, local: Local<R, W>) -> Result<Ended>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        let (mut sink, mut source) = self.0.split();
        let both = {
            let up = up(&mut sink, local.read);
            let down = async {
                down(&mut source, local.write).await?;
                last_words(local.linger).await
            };
            tokio::try_join!(up, down)
        };
        let _ = sink.close().await;
        Ok(match both {
            Ok(_) => Ended::Closed,
            Err(ended) => ended,
        })
    }
}

fn broken(error: &Error) -> Ended {
    Ended::Cut(format!("the connection to the gateway broke: {error}"))
}

async fn up<R: AsyncRead + Unpin>(sink: &mut SplitSink<Stream, Message>, mut from: R) -> Result<(), Ended> {
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let n = from.read(&mut buffer).await.map_err(left)?;
        // An empty message is the end: what was read at the end is just that.
        sink.send(Message::binary(buffer[..n].to_vec())).await.map_err(|e| broken(&e))?;
        if n == 0 {
            return Ok(());
        }
    }
}

async fn down<W: AsyncWrite + Unpin>(source: &mut SplitStream<Stream>, mut to: W) -> Result<(), Ended> {
    loop {
        match source.next().await {
            Some(Ok(Message::Binary(data))) if data.is_empty() => {
                let _ = to.shutdown().await;
                return Ok(());
            }
            Some(Ok(Message::Binary(data))) => {
                to.write_all(&data).await.map_err(left)?;
                to.flush().await.map_err(left)?;
            }
            Some(Ok(Message::Close(Some(frame)))) if frame.code != CloseCode::Normal => {
                return Err(Ended::Cut(format!("{ENDED}{}", frame.reason)));
            }
            Some(Ok(Message::Close(_))) | None => return Err(Ended::Cut("the gateway closed the tunnel".to_owned())),
            Some(Ok(_)) => {}
            Some(Err(error)) => return Err(broken(&error)),
        }
    }
}
