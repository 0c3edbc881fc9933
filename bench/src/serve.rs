//! `serve`: an upstream that keeps connections open: WebSockets, endless answers, slow answers. It prints where it listens, and
//! ends when its input ends. With a name it tells it in each of its plain answers, with the path and the request id that it saw,
//! so that a client knows who answered whom.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A connection that lives says something this often.
const TICK: Duration = Duration::from_secs(2);
/// The largest head of a request.
const MAX_HEAD: usize = 16 * 1024;
/// RFC 6455, section 1.3.
const WEBSOCKET: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Serves until the input ends. At port 0 any port is taken.
pub(crate) async fn run(at: SocketAddr, name: Option<&str>, told: impl FnOnce(String)) -> Result<()> {
    let listener = TcpListener::bind(at).await.with_context(|| format!("cannot listen on {at}"))?;
    let name: Option<Arc<str>> = name.map(Into::into);
    told(serde_json::json!({ "at": listener.local_addr()?.to_string() }).to_string());
    let mut input = tokio::io::stdin();
    let mut nothing = [0; 64];
    loop {
        tokio::select! {
            n = input.read(&mut nothing) => if n? == 0 { return Ok(()) },
            accepted = listener.accept() => {
                // Who goes away has nothing more to hear.
                if let Ok((stream, _)) = accepted {
                    let name = name.clone();
                    tokio::spawn(async move { let _ = connection(stream, name.as_deref()).await; });
                }
            }
        }
    }
}

async fn connection(mut stream: TcpStream, name: Option<&str>) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut read = Vec::with_capacity(1_024);
    loop {
        let Some(end) = read.windows(4).position(|w| w == b"\r\n\r\n") else {
            if read.len() > MAX_HEAD || stream.read_buf(&mut read).await? == 0 {
                return Ok(());
            }
            continue;
        };
        let head = String::from_utf8_lossy(&read[..end]).into_owned();
        read.drain(..end + 4);
        let whole = head.split(' ').nth(1).unwrap_or_default();
        let path = whole.split('?').next().unwrap_or_default();
        let mut body = field(&head, "content-length").and_then(|n| n.parse::<usize>().ok()).unwrap_or(0);
        while body > 0 {
            let now = body.min(read.len());
            read.drain(..now);
            body -= now;
            if body > 0 && stream.read_buf(&mut read).await? == 0 {
                return Ok(());
            }
        }
        match path {
            "/ws" | "/ws-idle" => return socket(stream, &head, path == "/ws").await,
            "/events" => return events(stream).await,
            "/slow" => return slow(stream).await,
            _ => {
                let id = field(&head, "x-request-id").unwrap_or_default();
                let body = name.map_or_else(|| "ok".to_owned(), |name| format!("{name} {whole} {id}"));
                let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
                stream.write_all(answer.as_bytes()).await?;
            }
        }
    }
}

/// What a head says of a name.
fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut fields = head.lines().filter_map(|l| l.split_once(':'));
    fields.find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
}

/// A WebSocket that says the time, or nothing.
async fn socket(mut stream: TcpStream, head: &str, speaks: bool) -> Result<()> {
    let key = field(head, "sec-websocket-key").unwrap_or_default();
    let accept = STANDARD.encode(Sha1::new().chain_update(key).chain_update(WEBSOCKET).finalize());
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
    );
    stream.write_all(answer.as_bytes()).await?;
    // A text frame of four letters; an idle one says this once, so that the client knows that it stands.
    live(stream, b"\x81\x04tick", speaks).await
}

/// Events without an end.
async fn events(mut stream: TcpStream) -> Result<()> {
    let head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\nTransfer-Encoding: chunked\r\n\r\n";
    stream.write_all(head).await?;
    live(stream, b"c\r\ndata: tick\n\n\r\n", true).await
}

/// An answer whose length is known and that comes piece by piece for a day.
async fn slow(mut stream: TcpStream) -> Result<()> {
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 172800\r\n\r\n").await?;
    live(stream, b"tick", true).await
}

/// Says a word now and again until the other side is gone.
async fn live(mut stream: TcpStream, word: &[u8], speaks: bool) -> Result<()> {
    let mut heard = [0; 512];
    stream.write_all(word).await?;
    loop {
        tokio::select! {
            n = stream.read(&mut heard) => if n? == 0 {
                // Thousands end at once; closing them may wait until that is over.
                tokio::time::sleep(TICK).await;
                return Ok(());
            },
            () = tokio::time::sleep(TICK), if speaks => stream.write_all(word).await?,
        }
    }
}
