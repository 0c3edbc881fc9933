//! Connectors: who may join, who is a member, what they may dial, and what became of them.

mod desk;
mod door;
mod links;
mod roll;

use std::sync::{Arc, OnceLock};

use anyhow::{Context, Result};
use safeconduct_connector::house::{LinkView, Sites};
use safeconduct_model::{AppId, ConnectorName, Timestamp};

use crate::house::House;

pub(crate) use desk::refused;
pub(crate) use links::Links;
pub(crate) use roll::{Known, RollError};

/// The connectors of this house.
#[derive(Default)]
pub(crate) struct Connectors {
    roll: roll::Roll,
    sites: OnceLock<Arc<Sites>>,
}

/// A connector as people see it.
pub(crate) struct Row {
    /// What is kept of it.
    pub(crate) known: Known,
    /// Its links at this moment.
    pub(crate) links: Vec<LinkView>,
    /// The applications that it may carry.
    pub(crate) applications: Vec<AppId>,
}

impl House {
    /// Lets the links in. Called once, at start.
    pub(crate) fn open_sites(self: &Arc<Self>) -> Result<Arc<Sites>> {
        let mut seed = [0; 8];
        getrandom::fill(&mut seed).map_err(|e| anyhow::anyhow!("the system gives no random bytes: {e}"))?;
        let door = Arc::new(door::Door::of(self));
        let sites = Sites::new(door, u64::from_ne_bytes(seed)).context("the door for connectors cannot open")?;
        let first = self.connectors.sites.set(Arc::clone(&sites)).is_ok();
        debug_assert!(first, "there is one door");
        Ok(sites)
    }

    /// Every connector that joined and was not forgotten, with its links.
    pub(crate) fn connectors(&self) -> Vec<Row> {
        let links = self.connectors.sites.get().map(|s| s.views()).unwrap_or_default();
        let current = self.current();
        let row = |known: Known| {
            let applications = current.config.estate.applications.values();
            let of_site = applications.filter(|a| a.connector.as_ref() == Some(&known.name.site));
            Row {
                links: links.iter().filter(|l| l.name == known.name).cloned().collect(),
                applications: of_site.map(|a| a.id.clone()).collect(),
                known,
            }
        };
        self.connectors.roll.all().into_iter().map(row).collect()
    }

    /// Revokes a connector and cuts its links at once. Says how many there were.
    pub(crate) async fn revoke_connector(&self, by: &str, name: &ConnectorName) -> Result<usize, RollError> {
        let live = |h: &Self| h.connectors().into_iter().find(|r| r.known.name == *name).map_or(0, |r| r.links.len());
        let cut = live(self);
        self.mark_revoked(by, name, self.now()).await?;
        self.review_connectors();
        Ok(cut)
    }

    /// Cuts the links of every connector that may not be linked any more.
    pub(crate) fn review_connectors(&self) {
        if let Some(sites) = self.connectors.sites.get() {
            sites.review();
        }
    }
}

/// What a token is worth: the text to hand over, and until when it counts.
pub(crate) struct NewToken {
    /// The text. It is shown once.
    pub(crate) text: String,
    /// When it ends.
    pub(crate) until: Timestamp,
}

#[cfg(test)]
mod tests;
