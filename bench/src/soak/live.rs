//! Connections that live: WebSockets, events and streams, opened again when they end.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use http_body_util::BodyExt;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::{sleep, timeout};

use super::expect::Came;
use super::talk::{PATIENCE, answer, head, send};
use super::tally::Tally;
use crate::hold::group::Place;
use crate::hold::kinds::{Frames, Kind, acquainted, connect, request, two};

/// The other side speaks every two seconds.
const SILENCE: Duration = Duration::from_secs(10);
/// How long something may live after its permit was lost.
const LATE: Duration = Duration::from_secs(2);
/// An end belongs to what happened so long before.
const LEEWAY: Duration = Duration::from_secs(3);
/// The pause before it is opened again.
const PAUSE: Duration = Duration::from_millis(400);
const LOOK: Duration = Duration::from_millis(250);

/// One place where something lives.
#[derive(Clone)]
pub(crate) struct Slot {
    pub who: Arc<str>,
    pub kind: Kind,
    pub place: Arc<Place>,
    pub number: usize,
    pub tally: Tally,
}

enum Opened {
    /// With what its connection would end without, if there is such a thing.
    Bytes(Box<dyn AsyncRead + Send + Unpin>, Frames, Box<dyn Send>),
    /// With its connection, which would end without a sender.
    Stream(hyper::body::Incoming, Box<dyn Send>),
}

impl Slot {
    fn what(&self) -> &'static str {
        match self.kind {
            Kind::Websocket => "WebSocket",
            Kind::Events => "events",
            Kind::Exchange => "exchange",
            Kind::Stream => "stream",
            Kind::Websocket2 => "WebSocket over HTTP/2",
            Kind::Tunnel => "tunnel",
        }
    }

    pub(crate) async fn keep(self) {
        loop {
            let asked = Instant::now();
            let opened = timeout(PATIENCE, self.open()).await.map_err(anyhow::Error::from).and_then(|r| r);
            match opened {
                Ok((came, id, live)) => {
                    self.tally.answered(&self.who, self.what(), asked, came, id.as_deref());
                    if let Some(live) = live {
                        self.hold(live).await;
                    }
                }
                Err(_) => self.tally.answered(&self.who, self.what(), asked, Came::Nothing, None),
            }
            sleep(PAUSE).await;
        }
    }

    /// Holds it until it ends.
    async fn hold(&self, mut live: Opened) {
        let (mut heard, mut told) = (Instant::now(), false);
        loop {
            match timeout(LOOK, more(&mut live)).await {
                Ok(true) => heard = Instant::now(),
                Ok(false) => return self.tally.ended(&self.who, self.what(), LEEWAY),
                Err(_) => {}
            }
            if heard.elapsed() > SILENCE {
                self.tally.wrong(&format!("{}: {}: silent", self.who, self.what()));
                return;
            }
            if !told && self.tally.outlives(&self.who, LATE) {
                told = true;
                self.tally.wrong(&format!("{}: {}: it lives without a permit", self.who, self.what()));
            }
        }
    }

    async fn open(&self) -> Result<(Came, Option<String>, Option<Opened>)> {
        if self.kind.http() == 2 {
            return self.open_stream().await;
        }
        let mut line = connect(&self.place, self.number).await?;
        let mut request = head(&self.place, "GET", self.kind.path());
        if self.kind == Kind::Websocket {
            request.push_str(&format!("Origin: https://{}\r\n", self.place.authority));
            request.push_str("Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n");
            request.push_str("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n");
        }
        send(&mut line, (request + "\r\n").as_bytes()).await?;
        let head = answer(&mut line).await?;
        let wanted = if self.kind == Kind::Websocket { 101 } else { 200 };
        if head.status != wanted {
            return Ok((Came::Status(head.status), head.id, None));
        }
        let mut frames = Frames::of(self.kind);
        let live = (!frames.closed(&head.rest)).then(|| Opened::Bytes(Box::new(line), frames, Box::new(())));
        Ok((Came::Right, head.id, live))
    }

    async fn open_stream(&self) -> Result<(Came, Option<String>, Option<Opened>)> {
        let mut sender = two(&self.place, self.number).await?;
        if self.kind == Kind::Websocket2 {
            acquainted(&self.place, &mut sender).await?;
        }
        sender.ready().await?;
        let answer = sender.send_request(request(&self.place, self.kind, self.kind.path())?).await?;
        let status = answer.status().as_u16();
        let id = answer.headers().get("x-request-id").and_then(|id| id.to_str().ok()).map(str::to_owned);
        if status != 200 {
            return Ok((Came::Status(status), id, None));
        }
        if self.kind == Kind::Websocket2 {
            let line = TokioIo::new(hyper::upgrade::on(answer).await?);
            return Ok((Came::Right, id, Some(Opened::Bytes(Box::new(line), Frames::of(self.kind), Box::new(sender)))));
        }
        Ok((Came::Right, id, Some(Opened::Stream(answer.into_body(), Box::new(sender)))))
    }
}

/// Waits for something more; false at the end.
async fn more(live: &mut Opened) -> bool {
    match live {
        Opened::Bytes(line, frames, _connection) => {
            let mut buffer = [0; 4_096];
            match line.read(&mut buffer).await {
                Ok(n @ 1..) => !frames.closed(&buffer[..n]),
                _ => false,
            }
        }
        Opened::Stream(body, _connection) => matches!(body.frame().await, Some(Ok(_))),
    }
}
