//! What the page of connectors shows and does.

use safeconduct_access::Visitor;
use safeconduct_console::Trouble;
use safeconduct_console::view::{ConnectorRow, ConnectorState, Done, Link};
use safeconduct_model::ConnectorName;

use crate::connectors::{RollError, Row};
use crate::house::House;
use crate::rooms::links::{Naming, count, plural};
use crate::rooms::not_found;

/// Every connector.
pub(crate) fn list(house: &House) -> Vec<ConnectorRow> {
    let current = house.current();
    let row = |row: Row| {
        let Row { known, links, applications } = row;
        let state = match (known.revoked, links.as_slice()) {
            (Some(_), _) => ConnectorState::Revoked,
            (None, []) => ConnectorState::Away,
            (None, links) if links.iter().all(|l| l.leaves) => ConnectorState::Leaves,
            (None, _) => ConnectorState::Linked,
        };
        let site = current.config.estate.sites.get(&known.name.site);
        ConnectorRow {
            site: site.map_or_else(|| known.name.site.to_string(), |s| s.name.clone()),
            state,
            version: links.first().map(|l| l.about.version.clone()),
            from: links.first().map(|l| l.from.to_string()),
            since: links.first().map_or(known.joined, |l| l.since),
            streams: links.iter().map(|l| l.streams as u64).sum(),
            applications: applications.iter().map(|a| house.app(a)).collect(),
            until: known.until,
            name: known.name,
        }
    };
    house.connectors().into_iter().map(row).collect()
}

/// Lets a connector in no more, and says what that did.
pub(crate) async fn revoke(house: &House, by: &Visitor, name: &ConnectorName) -> Result<Done, Trouble> {
    let cut = house.revoke_connector(by.person.as_str(), name).await.map_err(|error| match error {
        RollError::Unknown(_) => not_found(),
        other => Trouble::Unavailable { what: format!("The connector could not be revoked: {other}.") },
    })?;
    Ok(Done {
        title: format!("{name} is revoked."),
        details: vec![format!("{} ended with it.", plural(count(cut), "link", "links"))],
        next: Link::to("All connectors", "/console/connectors"),
    })
}
