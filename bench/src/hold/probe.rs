//! A probe asks again and again with the same credentials, each time anew, and notes what it was answered.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinHandle;

use super::group::{Order, Place};
use super::kinds::connect;

/// How often it asks.
const EVERY: Duration = Duration::from_millis(20);
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// One question: when it was sent, and the status of its answer; none if the connection broke.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    pub sent: Instant,
    pub status: Option<u16>,
}

/// A probe at work, until it is dropped.
pub(crate) struct Probe {
    asked: Arc<Mutex<Vec<Asked>>>,
    task: JoinHandle<()>,
}

impl Probe {
    pub(crate) fn begin(order: Order) -> Result<Self> {
        let place = Place::of(&order, 1)?;
        let path = order.path.unwrap_or_else(|| "/1k".to_owned());
        let asked = Arc::<Mutex<Vec<Asked>>>::default();
        let notes = Arc::clone(&asked);
        let task = tokio::spawn(async move {
            let mut line = None;
            loop {
                let stream = match line.take() {
                    Some(stream) => Ok(stream),
                    None => connect(&place, 0).await,
                };
                let sent = Instant::now();
                let status = match stream {
                    Ok(stream) => match tokio::time::timeout(PATIENCE, ask(stream, &place, &path)).await {
                        Ok(Ok((status, stream))) => {
                            line = stream;
                            Some(status)
                        }
                        _ => None,
                    },
                    Err(_) => None,
                };
                notes.lock().unwrap_or_else(PoisonError::into_inner).push(Asked { sent, status });
                tokio::time::sleep(EVERY).await;
            }
        });
        Ok(Self { asked, task })
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        self.task.abort();
    }
}

type Line = tokio_rustls::client::TlsStream<tokio::net::TcpStream>;

/// Asks once. The connection comes back if it may be used again.
async fn ask(mut stream: Line, place: &Place, path: &str) -> Result<(u16, Option<Line>)> {
    let mut request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\n", place.authority);
    for (name, value) in &place.headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request.push_str("\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut read = Vec::with_capacity(4_096);
    loop {
        if let Some(end) = read.windows(4).position(|w| w == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&read[..end]).to_ascii_lowercase();
            let status = head.split(' ').nth(1).unwrap_or_default().parse()?;
            let length = head.lines().find_map(|l| l.strip_prefix("content-length:")?.trim().parse::<usize>().ok());
            // Only the plain yes is worth reading to its end.
            let Some(length) = length.filter(|_| status == 200) else { return Ok((status, None)) };
            while read.len() < end + 4 + length {
                anyhow::ensure!(stream.read_buf(&mut read).await? > 0, "the answer ends early");
            }
            return Ok((status, Some(stream)));
        }
        anyhow::ensure!(stream.read_buf(&mut read).await? > 0, "no answer");
    }
}
