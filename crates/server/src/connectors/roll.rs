//! The roll: connectors that joined, and the open tokens. What is kept of a token is its hash.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{PoisonError, RwLock};

use anyhow::Context;
use safeconduct_authn::one_time::{Purpose, Token};
use safeconduct_connector::JoinToken;
use safeconduct_connector::house::Member;
use safeconduct_connector::words::{Admitted, Join, Renew};
use safeconduct_gateway::ca::{ConnectorLeaf, connector_of};
use safeconduct_model::{ConnectorName, Duration, SiteId, Timestamp};
use safeconduct_store::Control;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use thiserror::Error;

use super::NewToken;
use crate::certificates::serial;
use crate::clock;
use crate::house::{House, new_token};

/// The kind of the documents that hold connectors.
const CONNECTOR: &str = "connector";
/// The kind of the documents that hold open tokens.
const TOKEN: &str = "connector-token";
/// How long a token counts.
const TOKEN_LIFE: Duration = Duration::from_hours(1);
/// How long a certificate of a connector holds.
const LIFE: Duration = Duration::from_hours(24);
/// How many tokens may be open.
const MAX_TOKENS: usize = 1_000;
/// How many connectors may be known.
const MAX_CONNECTORS: usize = 10_000;

/// A connector, as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Known {
    /// Its name.
    pub(crate) name: ConnectorName,
    /// The SHA-256 of its public key, in hexadecimal digits. No other key is it.
    key: String,
    /// Who made the token that it joined with.
    pub(crate) by: String,
    /// When it joined.
    pub(crate) joined: Timestamp,
    /// The address it joined from.
    pub(crate) from: IpAddr,
    /// When its certificate ends.
    pub(crate) until: Timestamp,
    /// When it was revoked.
    pub(crate) revoked: Option<Timestamp>,
}

/// An open token.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Open {
    site: SiteId,
    by: String,
    until: Timestamp,
}

/// Why something about a connector was not done.
#[derive(Debug, Error)]
pub(crate) enum RollError {
    /// No such site.
    #[error("there is no site `{0}`; add [[site]] with this id to the estate")]
    NoSite(SiteId),
    /// No such connector.
    #[error("no connector is called `{0}`")]
    Unknown(ConnectorName),
    /// The token does not count.
    #[error(
        "the token is unknown, used, too old, or for another site; make a new one with `safeconduct connector token`"
    )]
    Token,
    /// The name is in use.
    #[error("a connector `{0}` is there already; choose another name, or revoke that one first")]
    Taken(ConnectorName),
    /// The request does not fit.
    #[error("the signing request is not usable: {0}")]
    Request(String),
    /// Too many.
    #[error("there are too many; revoke or use some first")]
    Full,
    /// It was revoked.
    #[error("this connector was revoked; join it again with a new token")]
    Revoked,
    /// It is locked, or its site is.
    #[error("this connector is locked; ask whoever runs the gateway")]
    Locked,
    /// Something failed on our side.
    #[error("the gateway could not do it at this moment")]
    Failed(#[from] anyhow::Error),
}

/// Connectors that joined.
#[derive(Default)]
pub(super) struct Roll {
    known: RwLock<BTreeMap<ConnectorName, Known>>,
    /// Held while somebody joins or is revoked: who reads the roll to write it, writes what was read.
    changing: tokio::sync::Mutex<()>,
}

impl Roll {
    pub(super) fn all(&self) -> Vec<Known> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    fn get(&self, name: &ConnectorName) -> Option<Known> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    fn put(&self, known: Known) {
        self.known.write().unwrap_or_else(PoisonError::into_inner).insert(known.name.clone(), known);
    }
}

impl super::Connectors {
    /// Reads what is kept.
    pub(crate) async fn load(control: &Control) -> anyhow::Result<Self> {
        let connectors = Self::default();
        for doc in control.load(CONNECTOR).await? {
            connectors.roll.put(serde_json::from_value(doc.body).context("a kept connector is not readable")?);
        }
        Ok(connectors)
    }
}

fn digest(public_key: &[u8]) -> String {
    Sha256::digest(public_key).iter().fold(String::with_capacity(64), |mut text, b| {
        use std::fmt::Write;
        let _ = write!(text, "{b:02x}");
        text
    })
}

impl House {
    /// Makes a token for a site.
    pub(crate) async fn connector_token(&self, by: &str, site: &SiteId) -> Result<NewToken, RollError> {
        if !self.current().config.estate.sites.contains_key(site) {
            return Err(RollError::NoSite(site.clone()));
        }
        let now = self.now();
        let mut open = 0;
        for doc in self.control.load(TOKEN).await.map_err(anyhow::Error::from)? {
            match serde_json::from_value::<Open>(doc.body) {
                Ok(token) if now < token.until => open += 1,
                _ => self.keep::<Open>(TOKEN, &doc.id, None).await?,
            }
        }
        if open >= MAX_TOKENS {
            return Err(RollError::Full);
        }
        let token = new_token()?;
        let until = now + TOKEN_LIFE;
        let id = token.digest(Purpose::ConnectorJoin).to_hex();
        self.keep(TOKEN, &id, Some(&Open { site: site.clone(), by: by.to_owned(), until })).await?;
        self.record_change(by, "connector.token", site.as_str(), "").await.map_err(anyhow::Error::from)?;
        let authority = Sha256::digest(self.authority.certificate()).into();
        Ok(NewToken { text: JoinToken::new(&token.reveal(), authority).reveal(), until })
    }

    /// Redeems a token. Of any number of connectors that hold it at the same time exactly one gets a certificate.
    pub(super) async fn join_connector(&self, join: Join, from: IpAddr) -> Result<Admitted, RollError> {
        let token: Token = join.token.parse().map_err(|_| RollError::Token)?;
        let id = token.digest(Purpose::ConnectorJoin).to_hex();
        let _changing = self.connectors.roll.changing.lock().await;
        let now = self.now();
        // What is wrong with the wish is told before the token is used up.
        let open = self.control.get(TOKEN, &id).await.map_err(anyhow::Error::from)?.ok_or(RollError::Token)?;
        let open: Open = serde_json::from_value(open.body).map_err(|_| RollError::Token)?;
        if open.site != join.name.site || open.until <= now {
            return Err(RollError::Token);
        }
        if !self.current().config.estate.sites.contains_key(&open.site) {
            return Err(RollError::NoSite(open.site));
        }
        // The token stays good for the time after the lock.
        if self.is_connector_locked(&join.name) {
            return Err(RollError::Locked);
        }
        match self.connectors.roll.get(&join.name) {
            Some(known) if known.revoked.is_none() && clock::system() < known.until => {
                return Err(RollError::Taken(join.name));
            }
            None if self.connectors.roll.all().len() >= MAX_CONNECTORS => return Err(RollError::Full),
            _ => {}
        }
        let (certificate, leaf) = self.certify(&join.name, &join.request)?;
        // Here the token is used up, in one transaction.
        let taken = self.control.take(TOKEN, &id, now).await.map_err(anyhow::Error::from)?;
        if taken.is_none() {
            return Err(RollError::Token);
        }
        let known = Known {
            key: digest(&leaf.public_key),
            by: open.by,
            joined: now,
            from,
            until: leaf.until,
            revoked: None,
            name: join.name,
        };
        let told = format!("from {from}, key {}", known.key.get(..16).unwrap_or_default());
        self.record_change(&known.by, "connector.join", &known.name.to_string(), &told)
            .await
            .map_err(anyhow::Error::from)?;
        self.keep_connector(known).await?;
        Ok(Admitted { certificate })
    }

    /// A new certificate for the key that a member has.
    pub(super) async fn renew_connector(&self, member: &Member, renew: &Renew) -> Result<Admitted, RollError> {
        let _changing = self.connectors.roll.changing.lock().await;
        let known = self.connectors.roll.get(&member.name).filter(|k| k.revoked.is_none());
        let known = known.ok_or(RollError::Revoked)?;
        let (certificate, leaf) = self.certify(&member.name, &renew.request)?;
        if digest(&leaf.public_key) != known.key {
            return Err(RollError::Request("it is for another key than the one that joined".to_owned()));
        }
        self.record_system("connector.renewed", &known.name.to_string());
        self.keep_connector(Known { until: leaf.until, ..known }).await?;
        Ok(Admitted { certificate })
    }

    fn certify(&self, name: &ConnectorName, request: &str) -> Result<(String, ConnectorLeaf), RollError> {
        let now = clock::system();
        let issued = self
            .authority
            .issue_connector(name, request, serial()?, now, LIFE)
            .map_err(|e| RollError::Request(e.to_string()))?;
        let leaf =
            connector_of(&issued.certificate, now).context("a new certificate of a connector is not readable")?;
        Ok((issued.certificate_pem, leaf))
    }

    async fn keep_connector(&self, known: Known) -> Result<(), RollError> {
        self.keep(CONNECTOR, &known.name.to_string(), Some(&known)).await?;
        self.connectors.roll.put(known);
        Ok(())
    }

    /// Marks a connector as revoked: no handshake and no link of it holds from now on.
    pub(super) async fn mark_revoked(&self, by: &str, name: &ConnectorName, now: Timestamp) -> Result<(), RollError> {
        let _changing = self.connectors.roll.changing.lock().await;
        let known = self.connectors.roll.get(name).ok_or_else(|| RollError::Unknown(name.clone()))?;
        self.record_change(by, "connector.revoke", &name.to_string(), "").await.map_err(anyhow::Error::from)?;
        let revoked = known.revoked.or(Some(now));
        self.keep_connector(Known { revoked, ..known }).await
    }

    /// The connector of a leaf that TLS verified, if it is on the roll with this very key.
    pub(super) fn connector_shown(&self, leaf: &[u8]) -> Option<Member> {
        let leaf = connector_of(leaf, clock::system())?;
        let known = self.connectors.roll.get(&leaf.name)?;
        let holds = known.revoked.is_none() && known.key == digest(&leaf.public_key);
        let has_site = self.current().config.estate.sites.contains_key(&leaf.name.site);
        let locked = self.is_connector_locked(&leaf.name);
        (holds && has_site && !locked).then_some(Member { name: leaf.name, until: leaf.until })
    }
}
