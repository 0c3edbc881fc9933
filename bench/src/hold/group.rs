//! Many connections of one kind with the same credentials, and when each of them ended.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;
use rustls::ClientConfig;
use serde::Deserialize;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::kinds::{Kind, Live, acquainted, one, stream, tunnel, two};

/// So many are opened at a time.
const AT_A_TIME: usize = 64;
/// This side of a connection that ended is closed so much later.
const CLOSED_AFTER: Duration = Duration::from_secs(2);
/// So many failures are told in words.
const TOLD: usize = 5;

/// What shall be held.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Order {
    pub name: String,
    pub kind: Kind,
    pub at: SocketAddr,
    /// More places like it; they are taken in turn.
    #[serde(default)]
    pub also: Vec<SocketAddr>,
    pub ca: PathBuf,
    pub authority: String,
    #[serde(default)]
    pub path: Option<String>,
    pub headers: Vec<(String, String)>,
    pub count: usize,
    /// Streams on each connection of HTTP/2.
    #[serde(default = "hundred")]
    pub streams: usize,
    #[serde(default)]
    pub from: Vec<IpAddr>,
    /// What a device shows: its certificate and its key, PEM.
    #[serde(default)]
    pub certificate: Option<PathBuf>,
    #[serde(default)]
    pub key: Option<PathBuf>,
}

fn hundred() -> usize {
    100
}

/// Where connections go.
pub(crate) struct Place {
    at: Vec<SocketAddr>,
    pub authority: String,
    pub headers: Vec<(String, String)>,
    pub from: Vec<IpAddr>,
    pub tls: Arc<ClientConfig>,
}

impl Place {
    /// The place of an order, over this version of HTTP.
    pub(crate) fn of(order: &Order, http: u8) -> Result<Self> {
        let device = order.certificate.as_deref().zip(order.key.as_deref());
        Ok(Self {
            at: std::iter::once(order.at).chain(order.also.iter().copied()).collect(),
            authority: order.authority.clone(),
            headers: order.headers.clone(),
            from: order.from.clone(),
            tls: Arc::new(crate::load::client_config(&order.ca, http, device)?),
        })
    }

    /// Where the connection of this number goes.
    pub(crate) fn at(&self, number: usize) -> SocketAddr {
        self.at[number % self.at.len()]
    }
}

/// A group that is held.
pub(crate) struct Group {
    pub kind: Kind,
    pub open: usize,
    ended: Arc<Mutex<Vec<Instant>>>,
    /// When something was last heard on each, in milliseconds since the group began.
    heard: Arc<Mutex<Vec<Arc<AtomicU64>>>>,
    began: Instant,
}

impl Group {
    /// Opens all of them; what could not be opened is told.
    pub(crate) async fn open(order: Order) -> Result<(Self, usize, Vec<String>)> {
        let path: Arc<str> = order.path.as_deref().unwrap_or(order.kind.path()).into();
        let place = Arc::new(Place::of(&order, order.kind.http())?);
        let ended = Arc::<Mutex<Vec<Instant>>>::default();
        let (all_heard, began) = (Arc::<Mutex<Vec<Arc<AtomicU64>>>>::default(), Instant::now());
        let (room, opened) = (Arc::new(Semaphore::new(AT_A_TIME)), Arc::new(AtomicUsize::new(0)));
        let each = if order.kind.http() == 2 { order.streams.max(1) } else { 1 };
        let mut opening = JoinSet::new();
        for number in 0..order.count.div_ceil(each) {
            let (place, path) = (Arc::clone(&place), Arc::clone(&path));
            let (ended, opened, all_heard) = (Arc::clone(&ended), Arc::clone(&opened), Arc::clone(&all_heard));
            let permit = Arc::clone(&room).acquire_owned().await?;
            let count = each.min(order.count - number * each);
            let kind = order.kind;
            opening.spawn(async move {
                let _permit = permit;
                let keep = |mut live: Live| {
                    opened.fetch_add(1, Ordering::Relaxed);
                    let ended = Arc::clone(&ended);
                    let heard = Arc::new(AtomicU64::new(since_ms(began)));
                    all_heard.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&heard));
                    tokio::spawn(async move {
                        live.ended(|| heard.store(since_ms(began), Ordering::Relaxed)).await;
                        ended.lock().unwrap_or_else(PoisonError::into_inner).push(Instant::now());
                        // Thousands end at once; closing this side now would make the others seem later than they were.
                        tokio::time::sleep(CLOSED_AFTER).await;
                        drop(live);
                    });
                };
                match kind {
                    Kind::Websocket | Kind::Events | Kind::Exchange => keep(one(&place, kind, &path, number).await?),
                    Kind::Tunnel => keep(tunnel(&place, &path, number).await?),
                    Kind::Stream | Kind::Websocket2 => {
                        let mut sender = two(&place, number).await?;
                        if kind == Kind::Websocket2 {
                            acquainted(&place, &mut sender).await?;
                        }
                        for _ in 0..count {
                            keep(stream(&place, kind, &path, &mut sender).await?);
                        }
                    }
                }
                anyhow::Ok(())
            });
        }
        let (mut failed, mut words) = (0, Vec::new());
        while let Some(done) = opening.join_next().await {
            if let Err(error) = done.map_err(anyhow::Error::from).and_then(|r| r) {
                failed += 1;
                if words.len() < TOLD {
                    words.push(format!("{}: {error:#}", order.name));
                }
            }
        }
        let open = opened.load(Ordering::Relaxed);
        Ok((Self { kind: order.kind, open, ended, heard: all_heard, began }, failed, words))
    }

    /// How many have heard nothing for so long.
    pub(crate) fn silent(&self, longest: Duration) -> usize {
        let now = since_ms(self.began);
        let longest = u64::try_from(longest.as_millis()).unwrap_or(u64::MAX);
        let all = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().filter(|heard| now.saturating_sub(heard.load(Ordering::Relaxed)) > longest).count()
    }

    /// When connections of this group ended, earliest first.
    pub(crate) fn ended(&self) -> Vec<Instant> {
        let mut all = self.ended.lock().unwrap_or_else(PoisonError::into_inner).clone();
        all.sort_unstable();
        all
    }
}

fn since_ms(began: Instant) -> u64 {
    u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX)
}
