//! Tokens that are fresh: read from this machine, refreshed before they expire, shared with the other programs of this person.

use std::sync::Arc;
use std::time::Duration as StdDuration;

use anyhow::Result;
use safeconduct_authn::SigningKey;
use safeconduct_model::{Duration, Timestamp};
use safeconduct_server::clock;
use serde::Deserialize;
use tokio::sync::Mutex;

use super::home::{Home, Saved};
use super::net::Net;
use super::portal::{OAuth, Portal};
use super::told::Told;

/// How long before its end a token is refreshed.
const EARLY: Duration = Duration::from_mins(2);

/// How often it is looked whether that is so, while tunnels live.
const LOOK: StdDuration = StdDuration::from_secs(30);

/// The key and the tokens of this machine.
#[derive(Clone)]
pub(crate) struct Keyring {
    pub(crate) home: Home,
    pub(crate) portal: Portal,
    pub(crate) key: Arc<SigningKey>,
    one_at_a_time: Arc<Mutex<()>>,
}

/// Tokens, as the portal gives them.
#[derive(Deserialize)]
pub(crate) struct Issued {
    access_token: String,
    expires_in: u64,
    refresh_token: String,
    session: String,
}

impl Issued {
    /// What is kept of them.
    pub(crate) fn saved(self, now: Timestamp) -> Saved {
        Saved {
            session: self.session,
            access_token: self.access_token,
            access_until: now + Duration::from_secs(self.expires_in),
            refresh_token: self.refresh_token,
        }
    }
}

/// Who this machine is signed in as.
#[derive(Deserialize)]
pub(crate) struct Session {
    pub(crate) session: String,
    pub(crate) person: String,
    pub(crate) name: String,
    pub(crate) methods: Vec<String>,
    pub(crate) until: Timestamp,
    pub(crate) applications: Vec<Application>,
}

/// An application with tunnels.
#[derive(Deserialize)]
pub(crate) struct Application {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) address: String,
}

impl Keyring {
    /// Asks the portal who this machine is signed in as. If it is not, that is a [`Told`].
    pub(crate) async fn session(&self) -> Result<Session> {
        let mut refused: Option<String> = None;
        loop {
            let token = self.token(refused.as_deref()).await?;
            match self.portal.get(&self.key, "/oauth/session", &token).await {
                Err(error) if error.downcast_ref::<OAuth>().is_some_and(|e| e.code == "invalid_token") => {
                    if refused.replace(token).is_some() {
                        return Err(Told::signed_out(&self.home.portal).into());
                    }
                }
                other => return other,
            }
        }
    }

    /// The key and the tokens of a machine that is signed in; if it is not, that is a [`Told`].
    pub(crate) fn open(home: Home, net: Net) -> Result<Self> {
        if home.saved().is_none() {
            return Err(Told::signed_out(&home.portal).into());
        }
        let key = home.key()?;
        Ok(Self::new(home.clone(), Portal::new(home.portal, net), key))
    }

    /// Refreshes the tokens for as long as tunnels live, so that a session in use does not rest. Ends, and says why, when the
    /// person must sign in again.
    pub(crate) async fn keep_fresh(self) -> Told {
        loop {
            tokio::time::sleep(LOOK).await;
            match self.token(None).await {
                Ok(_) => {}
                Err(error) => match error.downcast::<Told>() {
                    Ok(told) => return told,
                    Err(error) => tracing::debug!(%error, "the tokens could not be refreshed yet"),
                },
            }
        }
    }

    pub(crate) fn new(home: Home, portal: Portal, key: SigningKey) -> Self {
        Self { home, portal, key: Arc::new(key), one_at_a_time: Arc::default() }
    }

    /// An access token that counts for a while. `refused` is one that was just refused: it is not given again.
    pub(crate) async fn token(&self, refused: Option<&str>) -> Result<String> {
        let good = |saved: &Saved| {
            clock::system() + EARLY < saved.access_until && refused != Some(saved.access_token.as_str())
        };
        let _first = self.one_at_a_time.lock().await;
        if let Some(saved) = self.home.saved().filter(good) {
            return Ok(saved.access_token);
        }
        let home = self.home.clone();
        // Another program of this machine may be refreshing: wait for it, and look again.
        let _lock = tokio::task::spawn_blocking(move || home.lock()).await??;
        let saved = self.home.saved().ok_or_else(|| Told::signed_out(&self.home.portal))?;
        if good(&saved) {
            return Ok(saved.access_token);
        }
        let fields = [("grant_type", "refresh_token"), ("refresh_token", saved.refresh_token.as_str())];
        match self.portal.post::<Issued>(&self.key, "/oauth/token", &fields, None).await {
            Ok(issued) => {
                let saved = issued.saved(clock::system());
                self.home.save(&saved)?;
                Ok(saved.access_token)
            }
            Err(error) if error.downcast_ref::<OAuth>().is_some_and(|e| e.code == "invalid_grant") => {
                Err(Told::signed_out(&self.home.portal).into())
            }
            Err(error) => Err(error),
        }
    }
}
