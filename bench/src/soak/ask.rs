//! Requests at a steady pace, over HTTP/1.1 and HTTP/2, each with a path that no other has.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http2::SendRequest;
use tokio::time::{sleep, timeout};

use super::expect::Came;
use super::talk::{Line, PATIENCE, head, right, send, whole};
use super::tally::Tally;
use crate::hold::group::Place;
use crate::hold::kinds::{connect, two};

/// The pause after a connection that could not be used.
const PAUSE: Duration = Duration::from_millis(100);

/// Who asks whom.
#[derive(Clone)]
pub(crate) struct Asker {
    pub who: Arc<str>,
    /// The name that the right application answers with.
    pub name: Arc<str>,
    pub place: Arc<Place>,
    pub every: Duration,
    pub number: usize,
    pub tally: Tally,
}

impl Asker {
    fn path(&self, n: u64) -> String {
        format!("/soak/{}/{}?n={n}", self.who, self.number)
    }

    fn came(&self, what: &str, asked: Instant, came: Came, id: Option<&str>) {
        self.tally.answered(&self.who, what, asked, came, id);
    }

    /// One request after the other on a connection that is kept.
    pub(crate) async fn one(self) {
        let mut line: Option<Line> = None;
        for n in 0_u64.. {
            let asked = Instant::now();
            let mut kept = match line.take() {
                Some(line) => line,
                None => match timeout(PATIENCE, connect(&self.place, self.number)).await {
                    Ok(Ok(line)) => line,
                    _ => {
                        self.tally.wrong(&format!("{}: no connection", self.who));
                        sleep(PAUSE).await;
                        continue;
                    }
                },
            };
            let path = self.path(n);
            let exchange = async {
                send(&mut kept, (head(&self.place, "GET", &path) + "\r\n").as_bytes()).await?;
                whole(&mut kept, &self.name, &path).await
            };
            match timeout(PATIENCE, exchange).await {
                Ok(Ok((came, id, again))) => {
                    self.came("HTTP/1.1", asked, came, id.as_deref());
                    line = again.then_some(kept);
                }
                _ => self.came("HTTP/1.1", asked, Came::Nothing, None),
            }
            sleep(self.every).await;
        }
    }

    /// A few streams at a time on one connection.
    pub(crate) async fn two(self, streams: usize) {
        let mut sender = None;
        for n in 0_u64.. {
            let at = match sender.take() {
                Some(sender) => sender,
                None => match timeout(PATIENCE, two(&self.place, self.number)).await {
                    Ok(Ok(sender)) => sender,
                    _ => {
                        self.tally.wrong(&format!("{}: no connection of HTTP/2", self.who));
                        sleep(PAUSE).await;
                        continue;
                    }
                },
            };
            let mut all = tokio::task::JoinSet::new();
            for stream in 0..streams {
                let (asker, sender) = (self.clone(), at.clone());
                all.spawn(async move { asker.stream(sender, n * 1_000 + stream as u64).await });
            }
            let mut well = true;
            while let Some(done) = all.join_next().await {
                well &= done.unwrap_or(false);
            }
            sender = well.then_some(at);
            sleep(self.every).await;
        }
    }

    async fn stream(&self, mut sender: SendRequest<Empty<Bytes>>, n: u64) -> bool {
        let (asked, path) = (Instant::now(), self.path(n));
        match timeout(PATIENCE, self.exchange(&mut sender, &path)).await {
            Ok(Ok((came, id))) => self.came("HTTP/2", asked, came, id.as_deref()),
            _ => {
                self.came("HTTP/2", asked, Came::Nothing, None);
                return false;
            }
        }
        true
    }

    async fn exchange(&self, sender: &mut SendRequest<Empty<Bytes>>, path: &str) -> Result<(Came, Option<String>)> {
        sender.ready().await?;
        let mut request = http::Request::builder().uri(format!("https://{}{path}", self.place.authority));
        for (name, value) in &self.place.headers {
            request = request.header(name, value);
        }
        let answer = sender.send_request(request.body(Empty::new())?).await?;
        let status = answer.status().as_u16();
        let id = answer.headers().get("x-request-id").and_then(|id| id.to_str().ok()).map(str::to_owned);
        let body = answer.into_body().collect().await.context("the answer ends early")?.to_bytes();
        let came = if status == 200 { right(&self.name, path, id.as_deref(), &body) } else { Came::Status(status) };
        Ok((came, id))
    }
}
