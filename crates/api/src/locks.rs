//! The routes about locks: those in force, placing, lifting.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http::StatusCode;
use safeconduct_model::{Lock, LockId, LockMessage, LockTarget};
use serde::Deserialize;

use crate::request::Json;
use crate::{Actor, Administration, ApiError};

type Shared = Arc<dyn Administration>;
type Backend = State<Shared>;

/// What a lock is to be.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewLock {
    /// What it is on: an object with one member, such as `{"person": "ada"}`.
    pub target: LockTarget,
    /// What whoever is refused is told.
    pub message: LockMessage,
    /// For how many seconds; without it until it is lifted.
    #[serde(default)]
    pub seconds: Option<u64>,
    /// Also if the target is not known, or the lock shuts out whoever could lift it in the console. For the command line alone.
    #[serde(default)]
    pub force: bool,
}

/// The routes.
pub(crate) fn routes() -> Router<Shared> {
    Router::new().route("/api/v1/locks", get(list).post(place)).route("/api/v1/locks/{id}/lift", post(lift))
}

async fn list(State(backend): Backend, _: Actor) -> Result<axum::Json<Vec<Lock>>, ApiError> {
    backend.locks().await.map(axum::Json)
}

async fn place(State(backend): Backend, actor: Actor, Json(new): Json<NewLock>) -> Result<Response, ApiError> {
    let lock = backend.place_lock(actor, new).await?;
    Ok((StatusCode::CREATED, axum::Json(lock)).into_response())
}

async fn lift(State(backend): Backend, actor: Actor, Path(id): Path<String>) -> Result<axum::Json<Lock>, ApiError> {
    let id: LockId = id.parse().map_err(|e| ApiError::bad_request(format!("{e}.")))?;
    backend.lift_lock(actor, id).await.map(axum::Json)
}
