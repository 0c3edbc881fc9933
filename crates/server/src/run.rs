//! Starting, running, draining.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration as StdDuration;

use anyhow::{Context, Result};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};
use safeconduct_api::{Client, LocalSocket};
use safeconduct_gateway::{Gateway, GatewayConfig, Hops, Signal, Signer, TlsSettings, server_config};
use safeconduct_model::{Fault, SessionId};
use safeconduct_store::{Follower, LedgerKey, LedgerWriter, Options};
use tokio::net::UnixListener;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::acme;
use crate::certificates::{HostCertificates, authority};
use crate::clock::Clock;
use crate::connectors::Links;
use crate::control::Desk;
use crate::decision_point;
use crate::files;
use crate::house::{House, Opening, Unsigned, new_request_id};
use crate::limits;
use crate::plane::{self, Doors};
use crate::portal::{Portal, admin};
use crate::probes;
use crate::publish::Looked;
use crate::rollouts;
use crate::rooms;
use crate::secrets::write_private;
use crate::sign_in::encode;
use crate::traces;
use crate::upgrade::{self, Door, Inherited, Sockets, Taken};

/// The name of the local socket in the data folder.
pub const SOCKET: &str = "control.sock";
/// How often the files of the configuration are looked at.
const LOOK: StdDuration = StdDuration::from_secs(1);
/// How often sessions are looked over for those that grew too old.
const EXPIRE: StdDuration = StdDuration::from_secs(5);
/// How far the ledger may be ahead of the clock at start.
const CLOCK_TOLERANCE: safeconduct_model::Duration = safeconduct_model::Duration::from_secs(2);

/// What a start is told.
pub struct Start {
    /// The folder of the configuration.
    pub dir: PathBuf,
    /// The clock.
    pub clock: Clock,
    /// Listens here instead of where the configuration says; port 0 takes any free port.
    pub https: Option<SocketAddr>,
}

/// A server that runs.
pub struct Running {
    /// The house.
    pub house: Arc<House>,
    /// Where TLS is served.
    pub https: SocketAddr,
    /// Where plain HTTP is served, on a loopback address.
    pub plain: Option<SocketAddr>,
    /// Where health is told.
    pub health: Option<SocketAddr>,
    /// Where other programs and gateways ask.
    pub decision_point: Option<SocketAddr>,
    /// The one-time link of the first administrator, if there is no account yet.
    pub setup_link: Option<String>,
    gateway: Arc<Gateway>,
    follower: Option<Follower>,
    /// Whether one does.
    taken: Arc<Taken>,
    /// Cancelled first: `/readyz` says no.
    leaving: CancellationToken,
    /// Cancelled next: nothing new is accepted, what is open drains.
    stop: CancellationToken,
    tasks: TaskTracker,
    /// Cancelled last: nobody answers probes.
    stopped: CancellationToken,
    probes: TaskTracker,
}

/// Why a start failed: faults of the configuration, or something else.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration has faults.
    #[error("{}", crate::proposals::told(.0))]
    Faults(Vec<Fault>),
    /// Anything else.
    #[error("{0:#}")]
    Other(#[from] anyhow::Error),
}

/// Starts everything and returns when it serves.
pub async fn start(start: Start) -> Result<Running, StartError> {
    let built = files::read(&start.dir).and_then(|texts| files::build(texts, 1)).map_err(StartError::Faults)?;
    told(serve(start, built, Inherited::default()).await)
}

/// Like [`start`], and takes over from the process that serves this folder, if there is one: its listening sockets at once, its
/// ledger when its last exchange is recorded. A configuration with faults is told before anybody is asked to go.
pub async fn take_over(start: Start) -> Result<Running, StartError> {
    let built = files::read(&start.dir).and_then(|texts| files::build(texts, 1)).map_err(StartError::Faults)?;
    let data = start.dir.join(&built.config.settings.data);
    let taken = tokio::task::spawn_blocking(move || Inherited::take(&data)).await;
    let inherited = taken.map_err(anyhow::Error::from).and_then(|taken| taken)?;
    told(serve(start, built, inherited).await)
}

fn told(served: Result<Running>) -> Result<Running, StartError> {
    served.map_err(|error| match error.downcast::<Unsigned>() {
        Ok(Unsigned(faults)) => StartError::Faults(faults),
        Err(error) => StartError::Other(error),
    })
}

async fn serve(start: Start, built: files::Built, mut inherited: Inherited) -> Result<Running> {
    // Two providers in the program would make rustls guess; this one is named. A second start in one process finds it there.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let Start { dir, clock, https } = start;
    let settings = built.config.settings.clone();
    let data = dir.join(&settings.data);
    fs::create_dir_all(data.join("keys")).with_context(|| format!("cannot make the data folder {}", data.display()))?;
    fs::set_permissions(&data, fs::Permissions::from_mode(0o700)).context("cannot close the data folder to others")?;

    let wanted = https.unwrap_or(settings.listen.https);
    let backlog = u32::try_from(settings.limits.backlog).unwrap_or(u32::MAX);
    let listener = inherited.listen("https", wanted, backlog)?;
    let https = listener.local_addr().context("the listener has no address")?;
    let (mut sockets, mut others) = (Sockets::default(), Vec::new());
    sockets.keep("https", &listener)?;
    let probed = settings.listen.health.filter(|at| wanted.port() != 0 || at.port() == 0);
    let asked = settings.decision_point.as_ref().map(|point| point.listen);
    for (name, at) in [
        ("plain", settings.listen.plain),
        ("redirect", settings.listen.redirect),
        ("health", probed),
        ("decision_point", asked),
    ] {
        others.push(match at {
            None => None,
            Some(at) => {
                let listener = inherited.listen(name, at, backlog)?;
                sockets.keep(name, &listener)?;
                Some(listener)
            }
        });
    }
    let others = others.try_into().map_err(|_| anyhow::anyhow!("four listeners were asked for"))?;
    let [plain, redirect, health, point] = others;
    let point = point.map(decision_point::Bound::of).transpose()?;
    inherited
        .wait(StdDuration::from_millis(settings.limits.drain.millis() + settings.limits.hand_over.millis()))
        .await?;

    let key = LedgerKey::load_or_create(&data.join("keys/ledger.key"))?;
    let options = Options {
        sync_interval: StdDuration::from_millis(settings.ledger_sync.millis()),
        clock_tolerance: CLOCK_TOLERANCE,
        queue_records: usize::try_from(settings.limits.ledger_queue).unwrap_or(usize::MAX),
        ..Options::default()
    };
    let ledger = LedgerWriter::open(&data.join("ledger"), &key, clock.now(), options)?;
    let repairs: Vec<String> = ledger.repairs().iter().map(|r| format!("{r:?}")).collect();
    let authority = authority(&data, &settings.organisation)?;
    let opening = Opening { clock, dir, data, built, port: https.port(), ledger, authority };
    let house = Arc::new(House::open(opening).await?);
    house.index.catch_up().await?;
    let follower = house.index.follow(house.ledger.subscribe());
    for repair in &repairs {
        tracing::warn!(repair, "the ledger was repaired after an unclean stop");
        house.record_system("repair", repair);
    }
    house.record_system("start", &format!("version {}, {}", env!("CARGO_PKG_VERSION"), house.origin));

    let portal = Portal::new(&house);
    let signer = Signer::new(&house.origin, &assertion_key(&house.data)?)?;
    let (spans, exporter) = traces::open(&house.dir, settings.traces.as_ref())?;
    let threads = settings.threads.unwrap_or_else(cores);
    let config = GatewayConfig {
        spans,
        limits: limits::of(&settings.limits),
        hops: Hops { trusted: settings.listen.trusted_proxies.clone(), proxy_protocol: settings.listen.proxy_protocol },
        threads,
        signer: Some(signer),
        cookies: {
            use safeconduct_api::Cookie;
            [Cookie::SESSION, Cookie::FLOW, Cookie::ARRIVAL].map(str::to_owned).into()
        },
        upstream_tls: Some(crate::upstream::tls(&house.dir, settings.upstream_ca.as_deref())?),
        sites: None,
    };
    let sites = house.open_sites()?;
    let config = GatewayConfig { sites: Some(Arc::new(Links(Arc::clone(&sites)))), ..config };
    let desk = Desk { house: Arc::clone(&house), portal: Arc::new(portal), main: tokio::runtime::Handle::current() };
    let gateway = Arc::new(Gateway::new(config, Arc::new(desk)));
    house.set_gateway(Arc::clone(&gateway));
    let keeper = settings.acme.clone().map(|acme| acme::Keeper::open(&house.dir, &house.data, acme)).transpose()?;
    let public = keeper.as_ref().map(acme::Keeper::certificates);
    let tls = server_config(&TlsSettings {
        certificates: Arc::new(HostCertificates::of(&house, public.clone())?),
        client_authorities: vec![house.authority.certificate().clone()],
    })?;

    let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
    let (leaving, stopped, probes) = (CancellationToken::new(), CancellationToken::new(), TaskTracker::new());
    let plain_at = plain.as_ref().and_then(|l| l.local_addr().ok());
    {
        let doors = Doors { https: (listener, tls), plain };
        let serving = plane::serve(&gateway, doors, threads, &stop)?;
        let sites = Arc::clone(&sites);
        tasks.spawn(async move {
            serving.await;
            // Exchanges that were let end went through the links.
            sites.close().await;
        });
    }
    if let Some(listener) = redirect {
        let (gateway, stop) = (Arc::clone(&gateway), stop.clone());
        tasks.spawn(async move { gateway.serve_redirect(listener, https.port(), stop).await });
    }
    if let Some(exporter) = exporter {
        probes.spawn(exporter.run(stopped.clone()));
    }
    if let Some(keeper) = keeper {
        tasks.spawn(keeper.run(Arc::clone(&house), stop.clone()));
    }
    tasks.spawn(rooms::follow(Arc::clone(&house), stop.clone()));
    tasks.spawn(look_after_files(Arc::clone(&house), stop.clone()));
    tasks.spawn(rollouts::look_after(Arc::clone(&house), stop.clone()));
    let stopping = stop.clone();
    tasks.spawn(async move { sites.look_after(stopping).await });
    tasks.spawn(look_after_sessions(Arc::clone(&house), stop.clone()));
    let health_at = health.as_ref().and_then(|l| l.local_addr().ok());
    if let Some(listener) = health {
        probes.spawn(probes::serve(Arc::clone(&house), listener, leaving.clone(), public, stopped.clone()));
    }
    let (door, taken) = Door::open(&house.data, sockets)?;
    tasks.spawn(door.watch(stop.clone()));
    tasks.spawn(local_socket(Arc::clone(&house), socket(&house.data)?, stop.clone()));
    let point_at = point.as_ref().map(|bound| bound.at);
    if let Some(bound) = point {
        tasks.spawn(decision_point::run(&house, bound, stop.clone())?);
    }
    let setup_link = first_administrator(&house).await?;
    Ok(Running {
        house,
        https,
        plain: plain_at,
        health: health_at,
        decision_point: point_at,
        setup_link,
        gateway,
        follower: Some(follower),
        taken,
        leaving,
        stop,
        tasks,
        stopped,
        probes,
    })
}

impl Running {
    /// Decides again everything that is live, as after a jump of the clock.
    pub fn decide_again(&self) {
        self.gateway.signal(&Signal::Everything);
    }

    /// An address that carries a session of this process's own to a browser, once and within a minute. Only the process that
    /// runs the server can make one; the demo does, so that a visitor can look through the eyes of its people.
    pub fn portal_link(&self, session: &SessionId, to: &str) -> Result<String> {
        let portal = self.house.current().config.settings.portal.clone();
        let code = self.house.send(session, &portal, None)?;
        let to = self.house.return_to(to);
        Ok(format!("{}/.safeconduct/arrive?code={}&to={}", self.house.origin, code.reveal(), encode(to.as_str())))
    }

    /// Until a new process takes over; then [`stop`](Self::stop) is due.
    pub async fn taken_over(&self) {
        self.taken.asked().await;
    }

    /// Reads the configuration again now.
    pub async fn reload(&self) -> Result<Option<u64>, Vec<Fault>> {
        self.house.reload().await
    }

    /// Stops: probes are told, then nothing new is accepted, open exchanges may end, live streams are cut, everything is written.
    pub async fn stop(mut self) -> Result<()> {
        let handed = self.taken.is_asked();
        let limits = self.house.current().config.settings.limits.clone();
        self.house.record_system("stop", if handed { "a new process takes over" } else { "asked to stop" });
        self.leaving.cancel();
        if !handed {
            tokio::time::sleep(StdDuration::from_millis(limits.announce.millis())).await;
        }
        self.stop.cancel();
        self.tasks.close();
        let hand_over = StdDuration::from_millis(limits.hand_over.millis());
        if handed && timeout(hand_over, self.tasks.wait()).await.is_err() {
            self.gateway.cut_all();
        }
        self.tasks.wait().await;
        self.stopped.cancel();
        self.probes.close();
        self.probes.wait().await;
        if let Some(follower) = self.follower.take() {
            follower.stop().await;
        }
        let house = Arc::clone(&self.house);
        tokio::task::spawn_blocking(move || house.ledger.close()).await.context("the ledger could not be closed")?;
        self.house.index.close().await;
        self.house.control.close().await;
        let _ = fs::remove_file(self.house.data.join(SOCKET));
        upgrade::close(&self.house.data);
        self.taken.gone();
        Ok(())
    }
}

/// The number of cores that this process may use.
fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// The key that signs identity assertions.
fn assertion_key(data: &Path) -> Result<String> {
    let path = data.join("keys/assertion.key");
    match fs::read_to_string(&path) {
        Ok(pem) => Ok(pem),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            let pem = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?.serialize_pem();
            write_private(&path, pem.as_bytes())?;
            Ok(pem)
        }
        Err(e) => Err(e).with_context(|| format!("cannot read {}", path.display())),
    }
}

/// A link for the first administrator, as long as nobody has an account.
async fn first_administrator(house: &Arc<House>) -> Result<Option<String>> {
    if !house.accounts.nobody_can_sign_in() {
        return Ok(None);
    }
    let current = house.current();
    let operators = &current.config.settings.operators;
    let estate = &current.config.estate;
    let belongs = |p: &&safeconduct_model::Person| {
        p.active && estate.groups_of(&p.id).is_some_and(|groups| groups.contains(operators))
    };
    let Some(person) = estate.people.values().find(belongs) else {
        tracing::warn!(group = %operators, "nobody is in the group of the operators, so nobody can administer");
        return Ok(None);
    };
    let secret = house.setup_links.make(&person.id, house.now()).await?;
    Ok(Some(format!("{}/setup/{secret}", house.origin)))
}

async fn look_after_files(house: Arc<House>, stop: CancellationToken) {
    let hangup = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup());
    let Ok(mut hangup) = hangup else {
        tracing::warn!("SIGHUP cannot be received; the files are looked at every second all the same");
        return poll_files(house, stop).await;
    };
    let mut last = Looked::default();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = hangup.recv() => last = Looked::default(),
            () = tokio::time::sleep(LOOK) => {}
        }
        house.look_at_files(&mut last).await;
    }
}

async fn poll_files(house: Arc<House>, stop: CancellationToken) {
    let mut last = Looked::default();
    while tokio::time::timeout(LOOK, stop.cancelled()).await.is_err() {
        house.look_at_files(&mut last).await;
    }
}

async fn look_after_sessions(house: Arc<House>, stop: CancellationToken) {
    while tokio::time::timeout(EXPIRE, stop.cancelled()).await.is_err() {
        if let Err(error) = house.expire_sessions().await {
            tracing::warn!(error = format!("{error:#}"), "sessions expired but could not be kept as ended");
        }
    }
}

/// The local socket, which only the owner of the data folder can open.
fn socket(data: &Path) -> Result<UnixListener> {
    let path = data.join(SOCKET);
    // The lock on the ledger is held: a socket that is still there belongs to a process that is gone.
    let _ = fs::remove_file(&path);
    let listener = UnixListener::bind(&path).with_context(|| format!("cannot listen on {}", path.display()))?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).context("cannot close the local socket to others")?;
    Ok(listener)
}

async fn local_socket(house: Arc<House>, listener: UnixListener, stop: CancellationToken) {
    let router = safeconduct_api::admin(Arc::new(admin::Desk(house)));
    let router = router.layer(axum::middleware::from_fn(
        |mut request: axum::extract::Request, next: axum::middleware::Next| async move {
            let client = Client { ip: std::net::IpAddr::from([127, 0, 0, 1]), request: new_request_id() };
            request.extensions_mut().insert(LocalSocket);
            request.extensions_mut().insert(client);
            next.run(request).await
        },
    ));
    let served = axum::serve(listener, router).with_graceful_shutdown(async move { stop.cancelled().await }).await;
    if let Err(error) = served {
        tracing::warn!(%error, "the local socket ended");
    }
}
