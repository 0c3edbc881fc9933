//! The routes about connectors: tokens, the list, revocation.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http::StatusCode;
use safeconduct_model::{AppId, ConnectorName, SiteId, Timestamp};
use serde::Serialize;
use serde_json::json;

use crate::{Actor, Administration, ApiError};

type Shared = Arc<dyn Administration>;
type Backend = State<Shared>;

/// A token that lets one connector join a site, once. It does not print.
#[derive(Clone, Serialize)]
pub struct ConnectorToken {
    /// The text to hand over. It is shown once.
    pub token: String,
    /// When it ends.
    pub until: Timestamp,
}

/// A connector.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ConnectorRow {
    /// Which one: `site/name`.
    pub connector: String,
    /// Who made the token that it joined with.
    pub by: String,
    /// When it joined.
    pub joined: Timestamp,
    /// When its certificate ends.
    pub until: Timestamp,
    /// When it was revoked.
    pub revoked: Option<Timestamp>,
    /// The applications that it may carry.
    pub applications: Vec<AppId>,
    /// Its links at this moment.
    pub links: Vec<ConnectorLink>,
}

/// A link of a connector.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ConnectorLink {
    /// The address it comes from.
    pub from: SocketAddr,
    /// Since when.
    pub since: Timestamp,
    /// The version of its program.
    pub version: String,
    /// How many streams it carries.
    pub streams: u64,
    /// Whether it leaves.
    pub leaves: bool,
}

/// The routes.
pub(crate) fn routes() -> Router<Shared> {
    Router::new()
        .route("/api/v1/connectors", get(list))
        .route("/api/v1/sites/{site}/connector-token", post(token))
        .route("/api/v1/connectors/{site}/{name}/revoke", post(revoke))
}

async fn list(State(backend): Backend, _: Actor) -> Result<Response, ApiError> {
    Ok(axum::Json(backend.connectors().await?).into_response())
}

async fn token(State(backend): Backend, actor: Actor, Path(site): Path<String>) -> Result<Response, ApiError> {
    let site: SiteId = site.parse().map_err(|e| ApiError::bad_request(format!("{e}.")))?;
    let made = backend.connector_token(actor, site).await?;
    Ok((StatusCode::CREATED, axum::Json(made)).into_response())
}

async fn revoke(
    State(backend): Backend,
    actor: Actor,
    Path((site, name)): Path<(String, String)>,
) -> Result<Response, ApiError> {
    let name: ConnectorName = format!("{site}/{name}").parse().map_err(|e| ApiError::bad_request(format!("{e}.")))?;
    let cut = backend.revoke_connector(actor, name).await?;
    Ok(axum::Json(json!({ "links_cut": cut })).into_response())
}
