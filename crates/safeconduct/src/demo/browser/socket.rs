//! A WebSocket through the gateway, opened with the cookies of the browser.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use futures_util::StreamExt;
use http::{Request, header};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::{WebSocketStream, client_async};

use super::{Address, Browser};

/// How long opening may take.
const OPENING: Duration = Duration::from_secs(10);

/// An open WebSocket.
pub(crate) struct Socket(Box<WebSocketStream<TlsStream<TcpStream>>>);

impl Browser {
    /// Opens a WebSocket as a page of the same origin does.
    pub(crate) async fn socket(&self, address: &str) -> Result<Socket> {
        let to: Address = address.parse()?;
        let mut request = Request::builder()
            .uri(format!("wss://{}{}", to.authority(), to.path))
            .header(header::HOST, to.authority())
            .header(header::ORIGIN, to.origin())
            .header(header::CONNECTION, "Upgrade")
            .header(header::UPGRADE, "websocket")
            .header(header::SEC_WEBSOCKET_VERSION, "13")
            .header(header::SEC_WEBSOCKET_KEY, generate_key());
        if let Some(cookies) = self.cookies(&to.host) {
            request = request.header(header::COOKIE, cookies);
        }
        let stream = Box::pin(self.net().connect(&to.host)).await?;
        let opened = tokio::time::timeout(OPENING, Box::pin(client_async(request.body(())?, stream))).await;
        let (socket, _) = opened.context("the WebSocket took too long to open")?.context("no WebSocket")?;
        Ok(Socket(Box::new(socket)))
    }
}

impl Socket {
    /// The next text; `None` when the stream has ended.
    pub(crate) async fn next(&mut self) -> Option<String> {
        loop {
            match self.0.next().await {
                Some(Ok(Message::Text(text))) => return Some(text.as_str().to_owned()),
                Some(Ok(Message::Close(_)) | Err(_)) | None => return None,
                Some(Ok(_)) => {}
            }
        }
    }

    /// Reads until the stream ends; the instant of the end, or `None` if it did not within `patience`.
    pub(crate) async fn ended(&mut self, patience: Duration) -> Option<Instant> {
        tokio::time::timeout(patience, async {
            while self.next().await.is_some() {}
            Instant::now()
        })
        .await
        .ok()
    }
}
