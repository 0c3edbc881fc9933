//! Connectors as the administration sees them.

use safeconduct_api::{ApiError, ConnectorLink, ConnectorRow};

use super::{RollError, Row};

/// What is wrong, as an answer.
pub(crate) fn refused(error: &RollError) -> ApiError {
    match error {
        RollError::NoSite(_) | RollError::Unknown(_) => ApiError::not_found(format!("{error}.")),
        RollError::Failed(cause) => {
            tracing::warn!(error = format!("{cause:#}"), "an administrative request about connectors failed");
            ApiError::unavailable(format!("{error}."))
        }
        other => ApiError::refused(format!("{other}.")),
    }
}

impl From<Row> for ConnectorRow {
    fn from(row: Row) -> Self {
        let link = |l: safeconduct_connector::house::LinkView| ConnectorLink {
            from: l.from,
            since: l.since,
            version: l.about.version,
            streams: l.streams as u64,
            leaves: l.leaves,
        };
        Self {
            connector: row.known.name.to_string(),
            by: row.known.by,
            joined: row.known.joined,
            until: row.known.until,
            revoked: row.known.revoked,
            applications: row.applications,
            links: row.links.into_iter().map(link).collect(),
        }
    }
}
