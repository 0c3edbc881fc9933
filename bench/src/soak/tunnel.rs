//! TCP connections to a port of this machine that `safeconduct connect` listens on, with an application at the other end of each
//! tunnel that says what it heard.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::talk::{PATIENCE, right};
use super::tally::Tally;

/// The pause before a tunnel is opened again.
const PAUSE: Duration = Duration::from_millis(400);
/// An end belongs to what happened so long before.
const LEEWAY: Duration = Duration::from_secs(3);
const MAX_ANSWER: usize = 4 * 1_024;

/// One place where a tunnel is used.
#[derive(Clone)]
pub(crate) struct Tunnel {
    pub who: Arc<str>,
    /// The name that the application answers with.
    pub name: Arc<str>,
    pub at: SocketAddr,
    pub every: Duration,
    pub number: usize,
    pub tally: Tally,
}

impl Tunnel {
    /// Says something through it again and again; opens it anew when it ends.
    pub(crate) async fn keep(self) {
        for n in 0_u64.. {
            match timeout(PATIENCE, TcpStream::connect(self.at)).await {
                Ok(Ok(stream)) => {
                    // Some live on, some have but a few words to say.
                    let most = if self.number.is_multiple_of(2) { u64::MAX } else { 20 };
                    if !self.talk(stream, n, most).await {
                        self.tally.ended(&self.who, "tunnel", LEEWAY);
                    }
                }
                // One that is refused at once may be reset before it stands.
                _ => self.tally.ended(&self.who, "tunnel", LEEWAY),
            }
            sleep(PAUSE).await;
        }
    }

    /// Whether all that was to be said was said.
    async fn talk(&self, mut stream: TcpStream, tunnel: u64, most: u64) -> bool {
        for n in 0..most {
            let (asked, path) = (Instant::now(), format!("/tunnel/{}/{tunnel}/{n}", self.number));
            match timeout(PATIENCE, word(&mut stream, &path)).await {
                Ok(Ok(body)) => self.tally.carried(&self.who, asked, right(&self.name, &path, None, &body)),
                Ok(Err(_)) => return false,
                Err(_) => {
                    self.tally.wrong(&format!("{}: tunnel: no answer within {} s", self.who, PATIENCE.as_secs()));
                    return false;
                }
            }
            sleep(self.every).await;
        }
        true
    }
}

/// One exchange with the application, as if there were no tunnel.
async fn word(stream: &mut TcpStream, path: &str) -> Result<Vec<u8>> {
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: tunnel\r\n\r\n").as_bytes()).await?;
    let mut read = Vec::with_capacity(512);
    loop {
        if let Some(end) = read.windows(4).position(|w| w == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&read[..end]).to_ascii_lowercase();
            let length = head.lines().find_map(|l| l.strip_prefix("content-length: ")?.parse::<usize>().ok());
            if length.is_some_and(|length| read.len() >= end + 4 + length) {
                return Ok(read.split_off(end + 4));
            }
        }
        ensure!(read.len() < MAX_ANSWER && stream.read_buf(&mut read).await? > 0, "the tunnel ended");
    }
}
