//! Every link, and dialling through them.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustls::ServerConfig;
use safeconduct_model::{Application, ConnectorName, SiteId};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Semaphore;
use tokio::time::{interval, timeout};
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::link::{Arrival, Link, Unfit, begin};
use super::tls::Configs;
use super::{DialError, Event, House, LinkView, Stream, TlsError, What, door};
use crate::bounds::{ABOUT_TIME, CONNECT, JOINS, LINKS, LINKS_OF_ONE, REVIEW, TRIES, TRY};
use crate::choose::{Dice, choose};
use crate::words::{DOOR, LINK, Refusal};

/// The sites, as the gateway sees them. All threads share one.
pub struct Sites {
    house: Arc<dyn House>,
    configs: Configs,
    links: Mutex<Vec<Arc<Link>>>,
    dice: Dice,
    ids: AtomicU64,
    joins: Arc<Semaphore>,
    renewals: Arc<Semaphore>,
    arriving: Arc<Semaphore>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Sites {
    /// No links yet. `seed` is random.
    pub fn new(house: Arc<dyn House>, seed: u64) -> Result<Arc<Self>, TlsError> {
        Ok(Arc::new(Self {
            configs: Configs::of(&house)?,
            house,
            links: Mutex::default(),
            dice: Dice::new(seed),
            ids: AtomicU64::new(0),
            joins: Arc::new(Semaphore::new(JOINS)),
            renewals: Arc::new(Semaphore::new(JOINS)),
            arriving: Arc::new(Semaphore::new(LINKS)),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
        }))
    }

    /// The TLS for a client that offers these protocols, if one of them is a connector's.
    pub fn tls<'a>(&self, protocols: impl IntoIterator<Item = &'a [u8]>) -> Option<Arc<ServerConfig>> {
        protocols.into_iter().find_map(|p| match p {
            LINK => Some(Arc::clone(&self.configs.link)),
            DOOR => Some(Arc::clone(&self.configs.door)),
            _ => None,
        })
    }

    /// Takes a connection that came through the handshake of [`Sites::tls`]. It returns at once.
    pub fn take<S>(self: &Arc<Self>, stream: TlsStream<S>, from: SocketAddr)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let session = stream.get_ref().1;
        let protocol = session.alpn_protocol().map(<[u8]>::to_vec);
        let leaf = session.peer_certificates().and_then(|chain| chain.first()).map(|leaf| leaf.as_ref().to_vec());
        match (protocol.as_deref(), leaf) {
            (Some(LINK), Some(leaf)) => self.link(stream, leaf, from),
            (Some(DOOR), leaf) => {
                // Strangers who knock without end keep no member from renewing.
                let places = if leaf.is_some() { &self.renewals } else { &self.joins };
                let Ok(place) = Arc::clone(places).try_acquire_owned() else {
                    tracing::warn!(%from, "too many connectors join or renew at a time");
                    return;
                };
                let (house, stop) = (Arc::clone(&self.house), self.stop.clone());
                self.tasks.spawn(async move {
                    tokio::select! {
                        () = door::serve(house, stream, leaf, from) => {}
                        () = stop.cancelled() => {}
                    }
                    drop(place);
                });
            }
            _ => {}
        }
    }

    fn link<S>(self: &Arc<Self>, stream: S, leaf: Vec<u8>, from: SocketAddr)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Some(member) = self.house.member(&leaf) else { return };
        let of_this = self.links().iter().filter(|l| l.name == member.name).count();
        let place = Arc::clone(&self.arriving).try_acquire_owned();
        let (Ok(place), true) = (place, of_this < LINKS_OF_ONE) else {
            return self.told(&member.name, from, What::TooMany);
        };
        let cut = self.stop.child_token();
        let arrival = Arrival {
            id: self.ids.fetch_add(1, Ordering::Relaxed),
            member,
            from,
            leaf,
            since: self.house.now(),
            cut: cut.clone(),
        };
        let this = Arc::clone(self);
        self.tasks.spawn(async move {
            match timeout(ABOUT_TIME, begin(stream, arrival)).await {
                Ok(Ok((link, driver))) => this.keep(link, driver).await,
                Ok(Err(error)) => tracing::info!(%from, %error, "no link: what came is no connector"),
                Err(_) => tracing::info!(%from, "no link: the connector told nothing of itself in time"),
            }
            cut.cancel();
            drop(place);
        });
    }

    /// A link from its first to its last stream.
    async fn keep(&self, link: Arc<Link>, driver: impl Future<Output = Result<(), Unfit>>) {
        {
            let mut links = self.links();
            // Several may have begun at a time.
            if links.iter().filter(|l| l.name == link.name).count() >= LINKS_OF_ONE {
                drop(links);
                link.cut();
                return self.told(&link.name, link.from, What::TooMany);
            }
            links.push(Arc::clone(&link));
        }
        self.told(&link.name, link.from, What::Linked);
        let mut driver = std::pin::pin!(driver);
        let leaving = tokio::select! {
            biased;
            told = link.until_it_leaves() => told.is_ok(),
            _ = driver.as_mut() => false,
        };
        link.leaving().cancel();
        // A link that ended in between has said so, too.
        if leaving {
            self.told(&link.name, link.from, What::Leaves);
            // Streams that run may end. When the other end goes, they fail, and are given back too.
            tokio::select! {
                () = link.until_empty() => {}
                _ = driver.as_mut() => {}
            }
        }
        let was_cut = link.is_cut();
        link.cut();
        self.links().retain(|l| l.id != link.id);
        let what = match (was_cut, leaving) {
            (true, _) => What::Cut,
            (false, true) => What::Left,
            (false, false) => What::Lost,
        };
        self.told(&link.name, link.from, what);
    }

    fn told(&self, name: &ConnectorName, from: SocketAddr, what: What) {
        self.house.happened(&Event { name: name.clone(), from, what });
    }

    /// Opens a connection to an application through a connector of its site. There is no other way to one.
    ///
    /// A stream that could not be opened carried nothing, so it is tried on another connector, [`TRIES`] in all.
    pub async fn dial(&self, app: &Application) -> Result<Stream, DialError> {
        let site = app.connector.as_ref().ok_or(DialError::NoSite)?;
        let warrant = self.house.warrant(app).ok_or(DialError::NoSite)?;
        let mut tried: Vec<u64> = Vec::with_capacity(TRIES);
        let mut error = DialError::NoConnector(site.clone());
        while tried.len() < TRIES
            && let Some((link, alone)) = self.pick(site, &tried)
        {
            tried.push(link.id);
            let patience = if alone { CONNECT } else { TRY };
            match timeout(patience, link.open(&app.id, &warrant)).await {
                Ok(Ok(stream)) => return Ok(stream),
                // What a connector says tells more than that one was lost.
                Ok(Err(told @ DialError::Refused(_, said))) => {
                    if said != Refusal::Draining || !matches!(error, DialError::Refused(..)) {
                        error = told;
                    }
                }
                Ok(Err(told)) => {
                    if !matches!(error, DialError::Refused(..)) {
                        error = told;
                    }
                }
                Err(_) => error = DialError::Refused(link.name.clone(), Refusal::Slow),
            }
        }
        if matches!(error, DialError::Refused(_, Refusal::Draining)) {
            error = DialError::NoConnector(site.clone());
        }
        Err(error)
    }

    /// The link for the next stream, and whether it is the only one left.
    fn pick(&self, site: &SiteId, tried: &[u64]) -> Option<(Arc<Link>, bool)> {
        let links = self.links();
        let fit: Vec<&Arc<Link>> =
            links.iter().filter(|l| l.name.site == *site && !tried.contains(&l.id) && l.has_room()).collect();
        let loads: Vec<usize> = fit.iter().map(|l| l.load()).collect();
        let chosen = choose(&loads, &self.dice)?;
        fit.get(chosen).map(|link| (Arc::clone(link), fit.len() == 1))
    }

    /// Every link.
    #[must_use]
    pub fn views(&self) -> Vec<LinkView> {
        self.links().iter().map(|l| l.view()).collect()
    }

    /// Holds every link against the house, and cuts those whose connector is no member any more: revoked, expired, site gone.
    pub fn review(&self) {
        let links: Vec<Arc<Link>> = self.links().clone();
        for link in links {
            if self.house.member(&link.leaf).is_none_or(|member| member.name != link.name) {
                link.cut();
            }
        }
    }

    /// Reviews the links until `stop`.
    pub async fn look_after(&self, stop: CancellationToken) {
        let mut ticks = interval(REVIEW);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = ticks.tick() => self.review(),
            }
        }
    }

    /// Ends every link.
    pub async fn close(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    fn links(&self) -> MutexGuard<'_, Vec<Arc<Link>>> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
