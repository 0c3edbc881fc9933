//! Talking to the server on its local socket.

use std::path::Path;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::UnixStream;

/// The largest answer, in bytes.
const MAX_ANSWER: usize = 64 * 1024 * 1024;

/// A connection to the server that has a data folder.
pub(crate) struct Local(SendRequest<Full<Bytes>>);

/// What the server refused, in its words.
#[derive(Debug, thiserror::Error)]
#[error("{words}")]
pub(crate) struct Refused {
    pub status: StatusCode,
    pub words: String,
}

impl Local {
    /// Connects; `None` if no server runs there.
    pub(crate) async fn try_connect(data: &Path) -> Result<Option<Self>> {
        let path = data.join(safeconduct_server::SOCKET);
        let Ok(stream) = UnixStream::connect(&path).await else { return Ok(None) };
        let (sender, connection) =
            handshake(TokioIo::new(stream)).await.context("the local socket does not speak HTTP")?;
        tokio::spawn(connection);
        Ok(Some(Self(sender)))
    }

    /// Connects, or says what to do.
    pub(crate) async fn connect(data: &Path) -> Result<Self> {
        let connected = Self::try_connect(data).await?;
        connected.with_context(|| format!("no server runs on {}; start it with `safeconduct up`", data.display()))
    }

    async fn send(&mut self, method: Method, path: &str, body: Option<&Value>) -> Result<http::Response<Incoming>> {
        let request = Request::builder().method(method).uri(path).header("host", "local");
        let request = match body {
            Some(body) => request.header("content-type", "application/json").body(Full::from(body.to_string()))?,
            None => request.body(Full::default())?,
        };
        // The connection may still be putting the last answer away.
        self.0.ready().await.context("the server closed its local socket")?;
        self.0.send_request(request).await.context("the server does not answer on its local socket")
    }

    /// Asks and takes the answer as JSON. What the server refuses is a [`Refused`].
    pub(crate) async fn ask(&mut self, method: Method, path: &str, body: Option<&Value>) -> Result<Value> {
        let answer = self.send(method, path, body).await?;
        let status = answer.status();
        let bytes = http_body_util::Limited::new(answer.into_body(), MAX_ANSWER).collect().await;
        let bytes = bytes.map_err(|e| anyhow::anyhow!("the answer broke off: {e}"))?.to_bytes();
        let value: Value = if bytes.is_empty() { Value::Null } else { serde_json::from_slice(&bytes)? };
        if status.is_success() {
            return Ok(value);
        }
        let words = value.pointer("/error/words").and_then(Value::as_str).unwrap_or("the server refused");
        Err(Refused { status, words: words.to_owned() }.into())
    }

    /// Follows a stream of events; each `data:` line is handed on until `each` says `false`.
    pub(crate) async fn follow(&mut self, path: &str, mut each: impl FnMut(&str) -> bool) -> Result<()> {
        let answer = self.send(Method::GET, path, None).await?;
        if !answer.status().is_success() {
            bail!("the server refused: {}", answer.status());
        }
        let mut body = answer.into_body();
        let mut rest = Vec::new();
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame?.into_data() else { continue };
            rest.extend_from_slice(&data);
            while let Some(end) = rest.iter().position(|b| *b == b'\n') {
                let line: Vec<u8> = rest.drain(..=end).collect();
                let line = String::from_utf8_lossy(&line);
                if let Some(data) = line.strip_prefix("data:")
                    && !each(data.trim())
                {
                    return Ok(());
                }
            }
            if rest.len() > MAX_ANSWER {
                bail!("the server sends lines without an end");
            }
        }
        Ok(())
    }
}
