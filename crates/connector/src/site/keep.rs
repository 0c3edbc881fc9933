//! Keeping a link to every address of the gateway: begun again when it is lost, replaced before it is dropped, left in good
//! order.

use std::sync::Arc;

use safeconduct_config::GatewayAddress;
use safeconduct_model::Timestamp;
use thiserror::Error;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::backoff::Backoff;
use super::carry::{Carrier, carry};
use super::dial::UpstreamTls;
use super::identity::{Identity, IdentityError, State};
use super::join::{JoinError, connect, join, renew};
use super::{Settings, trust};
use crate::HouseKey;
use crate::bounds::{ABOUT_TIME, DRAIN, PONG};
use crate::choose::Dice;

/// How often it is looked whether the certificate should be renewed.
const RENEW_LOOK: std::time::Duration = std::time::Duration::from_secs(1);
/// A link that lived as long as this was a good one: the next pause is short again.
const GOOD: std::time::Duration = std::time::Duration::from_secs(10);

/// Why a connector does not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// It has no certificate, and no token to get one with.
    #[error(
        "this connector has not joined yet: make a token with `safeconduct connector token {0}` on the gateway, and give it with --join"
    )]
    NotJoined(safeconduct_model::SiteId),
    /// It could not join.
    #[error(transparent)]
    Join(#[from] JoinError),
    /// Key or certificate is not usable.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The authority's certificate is not usable.
    #[error("the authority of the gateway has no usable key; remove the folder of the connector and join again")]
    Authority,
    /// An authority of applications is not usable.
    #[error("a certificate of the authorities of applications is not usable: {0}")]
    Authorities(rustls::Error),
    /// There is no randomness.
    #[error("the system gives no random bytes: {0}")]
    Random(getrandom::Error),
}

/// A connector, ready to run.
pub struct Connector {
    settings: Settings,
    state: State,
    identity: Identity,
    carrier: Arc<Carrier>,
    dice: Arc<Dice>,
}

impl Connector {
    /// Loads the identity, or joins to get one.
    pub async fn start(settings: Settings) -> Result<Self, StartError> {
        let state = State::open(&settings.state)?;
        let present = state.identity(&settings.name)?.filter(|i| (settings.clock)() < i.until);
        let identity = match (present, &settings.join) {
            (Some(identity), _) => identity,
            (None, None) => return Err(StartError::NotJoined(settings.name.site.clone())),
            (None, Some(token)) => {
                join(&state, &settings.gateways, &settings.name, token).await?;
                (settings.tell)(&format!("{} has joined", settings.name));
                state.identity(&settings.name)?.ok_or_else(|| StartError::NotJoined(settings.name.site.clone()))?
            }
        };
        let house = HouseKey::of_authority(&identity.authority).ok_or(StartError::Authority)?;
        let mut seed = [0; 8];
        getrandom::fill(&mut seed).map_err(StartError::Random)?;
        let tls = UpstreamTls::new(&settings.authorities).map_err(StartError::Authorities)?;
        let (name, only) = (settings.name.clone(), settings.only.clone());
        let carrier = Carrier::new(name, house, only, tls, settings.clock, &settings.version);
        let dice = Arc::new(Dice::new(u64::from_ne_bytes(seed)));
        Ok(Self { settings, state, identity, carrier: Arc::new(carrier), dice })
    }

    /// When the present certificate ends.
    #[must_use]
    pub fn until(&self) -> Timestamp {
        self.identity.until
    }

    /// Keeps the links until `stop`, then lets their streams end.
    pub async fn run(self, stop: CancellationToken) {
        let Self { settings, state, identity, carrier, dice } = self;
        let (fresh, present) = watch::channel(identity);
        // Whoever drops this future ends every link.
        let mut keepers = JoinSet::new();
        for gateway in settings.gateways.clone() {
            let keeper = Keeper {
                gateway,
                present: present.clone(),
                carrier: Arc::clone(&carrier),
                dice: Arc::clone(&dice),
                tell: settings.tell,
            };
            keepers.spawn(keeper.keep(stop.clone()));
        }
        let renewing = look_after_certificate(&settings, &state, &fresh, &dice);
        tokio::select! {
            () = renewing => {}
            () = stop.cancelled() => {}
        }
        while keepers.join_next().await.is_some() {}
    }
}

/// Renews the certificate when a third of its life is left, and tries again until it works.
async fn look_after_certificate(settings: &Settings, state: &State, fresh: &watch::Sender<Identity>, dice: &Dice) {
    let mut backoff = Backoff::default();
    loop {
        sleep(RENEW_LOOK).await;
        let identity = fresh.borrow().clone();
        if (settings.clock)() < identity.renew_at() {
            continue;
        }
        match renew(state, &settings.gateways, &identity).await {
            Ok(renewed) => {
                (settings.tell)(&format!("the certificate of {} is renewed", renewed.name));
                backoff.reset();
                fresh.send_replace(renewed);
            }
            Err(error) => {
                tracing::warn!(%error, "the certificate could not be renewed");
                sleep(backoff.next(dice.roll())).await;
            }
        }
    }
}

/// Keeps a link to one address.
struct Keeper {
    gateway: GatewayAddress,
    present: watch::Receiver<Identity>,
    carrier: Arc<Carrier>,
    dice: Arc<Dice>,
    tell: fn(&str),
}

/// A link that the gateway has taken.
struct Linked {
    running: JoinHandle<hyper::Result<()>>,
    leave: CancellationToken,
}

impl Drop for Linked {
    fn drop(&mut self) {
        self.running.abort();
    }
}

impl Linked {
    /// Leaves in good order.
    async fn leave(mut self) {
        self.leave.cancel();
        let _ = timeout(DRAIN + PONG * 2, &mut self.running).await;
    }
}

impl Keeper {
    async fn keep(mut self, stop: CancellationToken) {
        let mut backoff = Backoff::default();
        let mut left = JoinSet::new();
        let mut old: Option<Linked> = None;
        while !stop.is_cancelled() {
            let since = tokio::time::Instant::now();
            let linking = tokio::select! {
                linked = self.link() => linked,
                () = stop.cancelled() => break,
            };
            match linking {
                Ok(mut linked) => {
                    (self.tell)(&format!("linked to {}", self.gateway));
                    if let Some(old) = old.take() {
                        left.spawn(old.leave());
                    }
                    tokio::select! {
                        ended = &mut linked.running => {
                            let why = match ended {
                                Ok(Ok(())) => "the gateway closed it".to_owned(),
                                Ok(Err(error)) => error.to_string(),
                                Err(_) => "it broke".to_owned(),
                            };
                            (self.tell)(&format!("the link to {} is lost: {why}", self.gateway));
                            if since.elapsed() >= GOOD {
                                backoff.reset();
                            }
                        }
                        // A new certificate: a second link first, then this one is left.
                        Ok(()) = self.present.changed() => {
                            old = Some(linked);
                            continue;
                        }
                        () = stop.cancelled() => {
                            left.spawn(linked.leave());
                            break;
                        }
                    }
                }
                Err(error) => tracing::warn!(gateway = %self.gateway, error, "no link"),
            }
            tokio::select! {
                () = sleep(backoff.next(self.dice.roll())) => {}
                () = stop.cancelled() => {}
            }
        }
        if let Some(old) = old.take() {
            left.spawn(old.leave());
        }
        while left.join_next().await.is_some() {}
    }

    /// One link, taken by the gateway: TLS alone says nothing, for who is refused learns it afterwards.
    async fn link(&mut self) -> Result<Linked, String> {
        let identity = self.present.borrow_and_update().clone();
        let config = trust::linking(&identity).map_err(|e| e.to_string())?;
        let stream = connect(&self.gateway, config).await.map_err(|e| e.to_string())?;
        let (told, mut linked) = watch::channel(false);
        let leave = CancellationToken::new();
        let running = tokio::spawn(carry(Arc::clone(&self.carrier), stream, told, leave.clone()));
        let mut linking = Linked { running, leave };
        tokio::select! {
            ended = &mut linking.running => Err(match ended {
                Ok(Err(error)) => why(&error),
                _ => "the gateway closed it; was this connector revoked?".to_owned(),
            }),
            taken = linked.wait_for(|linked| *linked) => match taken.map(|_| ()) {
                Ok(()) => Ok(linking),
                Err(_) => Err("the gateway closed it; was this connector revoked?".to_owned()),
            },
            () = sleep(ABOUT_TIME) => Err("the gateway says nothing".to_owned()),
        }
    }
}

/// An error with what caused it: the alert of the gateway is the cause.
fn why(error: &hyper::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(e) = cause {
        text = format!("{text}: {e}");
        cause = e.source();
    }
    text
}
