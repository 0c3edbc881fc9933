//! Clients that the limits are there for: heads and bodies that dribble, and handshakes that never end.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;
use tokio::time::{sleep, timeout};

use super::expect::Came;
use super::talk::{Line, answer, head, send, whole};
use super::tally::Tally;
use crate::hold::group::Place;
use crate::hold::kinds::connect;

/// Whatever is slow is let go so much later than its limit, at the latest.
const GRACE: Duration = Duration::from_secs(5);
/// One byte so often.
const DRIBBLE: Duration = Duration::from_millis(300);
/// A body that is slow and still comes to its end.
const BODY: usize = 12;
/// The first bytes of a TLS record whose rest never comes.
const HALF: &[u8] = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";

/// Somebody who is slow.
#[derive(Clone)]
pub(crate) struct Slow {
    pub who: Arc<str>,
    pub name: Arc<str>,
    pub place: Arc<Place>,
    pub number: usize,
    /// The limit for a head, and that for a pause in a body.
    pub limit: Duration,
    pub tally: Tally,
}

impl Slow {
    /// A head that comes byte by byte, until somebody has had enough.
    pub(crate) async fn heads(self) {
        loop {
            let Ok(mut line) = connect(&self.place, self.number).await else {
                self.tally.wrong("slow head: no connection");
                sleep(DRIBBLE).await;
                continue;
            };
            let began = Instant::now();
            let text = head(&self.place, "GET", "/slow-head");
            let dribble = async {
                for byte in text.as_bytes().iter().cycle() {
                    if line.write_all(&[*byte]).await.is_err() {
                        break;
                    }
                    if let Ok(told) = timeout(DRIBBLE, answer(&mut line)).await {
                        return told.ok();
                    }
                }
                None
            };
            match timeout(self.limit + GRACE, dribble).await {
                Ok(Some(told)) => self.tally.noted("slow head", &told.status.to_string(), told.id.as_deref()),
                Ok(None) => self.tally.noted("slow head", "closed", None),
                Err(_) => self.tally.wrong(&format!("slow head: still open after {} s", began.elapsed().as_secs())),
            }
        }
    }

    /// Bodies that come slowly and to their end, in turn with those that stop.
    pub(crate) async fn bodies(self) {
        for n in 0_u64.. {
            let Ok(mut line) = connect(&self.place, self.number).await else {
                self.tally.wrong("slow body: no connection");
                sleep(DRIBBLE).await;
                continue;
            };
            let asked = Instant::now();
            if n.is_multiple_of(2) {
                let path = format!("/slow-body?n={n}");
                let patience = DRIBBLE * u32::try_from(BODY).unwrap_or(1) + GRACE;
                match timeout(patience, self.dribble(&mut line, &path, BODY)).await {
                    Ok(Ok((came, id, _))) => {
                        self.tally.answered(&self.who, "slow body", asked, came, id.as_deref());
                    }
                    // Whoever is denied before the body is there hears it while still talking, or not at all.
                    Ok(Err(_)) => self.tally.answered(&self.who, "slow body", asked, Came::Nothing, None),
                    Err(_) => self.tally.wrong("slow body: no answer"),
                }
                continue;
            }
            match timeout(self.limit + GRACE, self.stops(&mut line)).await {
                Ok(Ok(told)) => self.tally.noted("stopped body", &told.status.to_string(), told.id.as_deref()),
                Ok(Err(_)) => self.tally.noted("stopped body", "closed", None),
                Err(_) => self.tally.wrong(&format!("stopped body: open after {} s", asked.elapsed().as_secs())),
            }
        }
    }

    fn post(&self, path: &str) -> String {
        head(&self.place, "POST", path)
            + &format!("Origin: https://{}\r\nContent-Length: {BODY}\r\n\r\n", self.place.authority)
    }

    async fn dribble(&self, line: &mut Line, path: &str, bytes: usize) -> Result<(Came, Option<String>, bool)> {
        send(line, self.post(path).as_bytes()).await?;
        for _ in 0..bytes {
            sleep(DRIBBLE).await;
            send(line, b"x").await?;
        }
        whole(line, &self.name, path).await
    }

    async fn stops(&self, line: &mut Line) -> Result<super::talk::Head> {
        send(line, self.post("/stopped-body").as_bytes()).await?;
        send(line, b"half").await?;
        answer(line).await
    }
}

/// Handshakes that begin and do not go on.
#[derive(Clone)]
pub(crate) struct Half {
    pub at: SocketAddr,
    pub from: Vec<IpAddr>,
    pub limit: Duration,
    pub tally: Tally,
}

impl Half {
    /// So many in all, evenly spread over this time.
    pub(crate) async fn pile(self, count: usize, over: Duration) {
        let each = over / u32::try_from(count.max(1)).unwrap_or(u32::MAX);
        let began = tokio::time::Instant::now();
        for n in 0..count {
            tokio::time::sleep_until(began + each * u32::try_from(n).unwrap_or(u32::MAX)).await;
            let half = self.clone();
            tokio::spawn(async move { half.one(n).await });
        }
    }

    async fn one(self, n: usize) {
        let began = Instant::now();
        let held = async {
            let socket = TcpSocket::new_v4()?;
            if let Some(from) = self.from.get(n % self.from.len().max(1)) {
                socket.bind((*from, 0).into())?;
            }
            let mut stream = socket.connect(self.at).await?;
            // Some say nothing at all, some stop somewhere in their first record.
            stream.write_all(&HALF[..n % (HALF.len() + 1)]).await?;
            let mut read = [0; 64];
            while matches!(stream.read(&mut read).await, Ok(1..)) {}
            anyhow::Ok(())
        };
        match timeout(self.limit + GRACE, held).await {
            Ok(Ok(())) if began.elapsed() + Duration::from_millis(500) < self.limit => {
                self.tally.noted("half-open handshake", "closed before its time", None);
            }
            Ok(Ok(())) => self.tally.noted("half-open handshake", "closed", None),
            Ok(Err(error)) => self.tally.noted("half-open handshake", &error.to_string(), None),
            Err(_) => {
                self.tally.wrong(&format!("half-open handshake: still open after {} s", began.elapsed().as_secs()));
            }
        }
    }
}
