//! What the links ask of the house.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use futures_util::future::BoxFuture;
use rustls::pki_types::CertificateDer;
use rustls::sign::CertifiedKey;
use safeconduct_connector::Warrant;
use safeconduct_connector::house::{Event, House as Asked, Member};
use safeconduct_connector::words::{Admitted, DOOR_NAME, Join, NotAdmitted, Renew};
use safeconduct_gateway::ca::certified_key;
use safeconduct_model::{AppId, Application, Duration, Host, Timestamp};

use super::RollError;
use crate::certificates::serial;
use crate::clock;
use crate::house::House;

/// How long the certificate of the door holds, and how long before its end there is another.
const DOOR_LIFE: Duration = Duration::from_days(7);
const DOOR_RENEW: Duration = Duration::from_days(2);
/// How long a warrant must hold still to be given out again.
const STILL: Duration = Duration::from_mins(30);

/// The door of a house.
pub(super) struct Door {
    /// The house owns the links, and the links own this.
    house: Weak<House>,
    authority: CertificateDer<'static>,
    key: Mutex<Option<(Arc<CertifiedKey>, Timestamp)>>,
    warrants: Mutex<HashMap<AppId, Sealed>>,
}

struct Sealed {
    warrant: Warrant,
    text: Arc<str>,
}

impl Door {
    pub(super) fn of(house: &Arc<House>) -> Self {
        Self {
            house: Arc::downgrade(house),
            authority: house.authority.certificate().clone(),
            key: Mutex::default(),
            warrants: Mutex::default(),
        }
    }

    fn make_key(&self, now: Timestamp) -> anyhow::Result<(Arc<CertifiedKey>, Timestamp)> {
        let house = self.house.upgrade().ok_or_else(|| anyhow::anyhow!("the house is gone"))?;
        let name: Host = DOOR_NAME.parse()?;
        let issued = house.authority.issue_host(&[name], serial()?, now, DOOR_LIFE)?;
        // A connector that joins knows the authority by its digest alone, so it is shown too.
        let chain = format!("{}{}", issued.certificate_pem, house.authority.certificate_pem());
        let key = certified_key(&chain, issued.key_pem.as_deref().unwrap_or_default())?;
        Ok((key, issued.until))
    }
}

impl Asked for Door {
    fn now(&self) -> Timestamp {
        clock::system()
    }

    fn authority(&self) -> CertificateDer<'static> {
        self.authority.clone()
    }

    fn door_key(&self) -> Option<Arc<CertifiedKey>> {
        let now = clock::system();
        let mut key = self.key.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, until)) = key.as_ref()
            && now < *until - DOOR_RENEW
        {
            return Some(Arc::clone(known));
        }
        match self.make_key(now) {
            Ok(made) => Some(Arc::clone(&key.insert(made).0)),
            Err(error) => {
                tracing::warn!(error = format!("{error:#}"), "the door for connectors has no certificate");
                None
            }
        }
    }

    fn member(&self, leaf: &[u8]) -> Option<Member> {
        self.house.upgrade()?.connector_shown(leaf)
    }

    fn redeem(&self, join: Join, from: SocketAddr) -> BoxFuture<'_, Result<Admitted, NotAdmitted>> {
        Box::pin(async move {
            let house = self.house.upgrade().ok_or_else(|| no("the gateway stops"))?;
            house.join_connector(join, from.ip()).await.map_err(|error| refused(&error, from))
        })
    }

    fn renew(&self, member: Member, renew: Renew) -> BoxFuture<'_, Result<Admitted, NotAdmitted>> {
        Box::pin(async move {
            let house = self.house.upgrade().ok_or_else(|| no("the gateway stops"))?;
            let renewed = house.renew_connector(&member, &renew).await;
            renewed.map_err(|error| {
                tracing::warn!(connector = %member.name, %error, "a certificate was not renewed");
                no(&error.to_string())
            })
        })
    }

    fn warrant(&self, app: &Application) -> Option<Arc<str>> {
        let house = self.house.upgrade()?;
        let current = house.current();
        let site = current.config.estate.sites.get(app.connector.as_ref()?)?;
        let now = clock::system();
        let mut warrants = self.warrants.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = Warrant::of(app, site, now)?;
        let known = warrants.get(&app.id);
        if let Some(known) = known.filter(|k| k.warrant.says_as(&fresh) && now + STILL < k.warrant.until) {
            return Some(Arc::clone(&known.text));
        }
        // A clock that stepped back must not make a new warrant look older than the last one.
        let signed = known.map_or(now, |k| now.max(k.warrant.signed + Duration::from_millis(1)));
        let warrant = Warrant { signed, ..fresh };
        let text: Arc<str> = match warrant.seal(|text| house.authority.sign(text)) {
            Ok(text) => text.into(),
            Err(error) => {
                tracing::warn!(app = %app.id, %error, "no warrant could be signed");
                return None;
            }
        };
        warrants.retain(|id, _| current.config.estate.applications.contains_key(id));
        warrants.insert(app.id.clone(), Sealed { warrant, text: Arc::clone(&text) });
        Some(text)
    }

    fn happened(&self, event: &Event) {
        if let Some(house) = self.house.upgrade() {
            let detail = format!("{} from {}", event.name, event.from);
            house.record_system(&format!("connector.{}", event.what.word()), &detail);
        }
    }
}

fn refused(error: &RollError, from: SocketAddr) -> NotAdmitted {
    match error {
        RollError::Failed(cause) => {
            tracing::warn!(error = format!("{cause:#}"), %from, "a connector could not join");
        }
        other => tracing::info!(error = %other, %from, "a connector was not let in"),
    }
    no(&error.to_string())
}

fn no(words: &str) -> NotAdmitted {
    NotAdmitted { words: words.to_owned() }
}
