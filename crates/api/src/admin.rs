//! The routes for operators and for the command line on the local socket.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, FromRequestParts, Path, State};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Router, middleware};
use futures_util::StreamExt as _;
use http::request::Parts;
use http::{Method, StatusCode};
use safeconduct_access::Visitor;
use safeconduct_model::{Entry, PersonId, Reason, SessionId};
use serde_json::{Value, json};

use crate::error::{finish, no_method, no_route};
use crate::guard::meant;
use crate::request::{Asked, Json, MAX_BODY_BYTES};
use crate::{
    Actor, Administration, ApiError, LocalSocket, NewDevice, PublishFrom, Published, SessionRow, VerdictQuery,
};

type Shared = Arc<dyn Administration>;
type Backend = State<Shared>;

/// The routes of administration. Every request must carry [`LocalSocket`] or a [`Visitor`] who is an operator; any other
/// is refused.
pub fn admin(backend: Arc<dyn Administration>) -> Router {
    Router::new()
        .route("/api/v1/sessions", get(sessions))
        .route("/api/v1/sessions/{id}/cut", post(cut_session))
        .route("/api/v1/people/{id}/end-sessions", post(end_sessions))
        .route("/api/v1/people/{id}/setup-link", post(setup_link))
        .route("/api/v1/verdicts", get(verdicts))
        .route("/api/v1/events", get(events))
        .route("/api/v1/policy/publish", post(publish))
        .route("/api/v1/devices", post(add_device))
        .route("/api/v1/health", get(health))
        .merge(crate::connectors::routes())
        .merge(crate::locks::routes())
        .fallback(no_route)
        .method_not_allowed_fallback(no_method)
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(middleware::from_fn(finish))
        .with_state(backend)
}

/// Proof that the request may administer.
impl FromRequestParts<Shared> for Actor {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, backend: &Shared) -> Result<Self, ApiError> {
        if let Some(visitor) = parts.extensions.get::<Visitor>() {
            if !visitor.operator {
                return Err(ApiError::forbidden(Reason::Forbidden));
            }
            if parts.method != Method::GET {
                meant(&parts.headers, backend.origin(), visitor)?;
            }
            return Ok(Self::Operator(visitor.person.clone()));
        }
        match parts.extensions.get::<LocalSocket>() {
            Some(LocalSocket) => Ok(Self::Cli),
            None => Err(ApiError::sign_in_required()),
        }
    }
}

async fn sessions(State(backend): Backend, _: Actor) -> Result<axum::Json<Vec<SessionRow>>, ApiError> {
    backend.sessions().await.map(axum::Json)
}

async fn cut_session(
    State(backend): Backend,
    actor: Actor,
    Path(id): Path<String>,
) -> Result<axum::Json<Value>, ApiError> {
    let id: SessionId = id.parse().map_err(|e| ApiError::bad_request(format!("{e}")))?;
    let cut = backend.cut_session(actor, id).await?;
    Ok(axum::Json(json!({ "connections_cut": cut })))
}

async fn end_sessions(
    State(backend): Backend,
    actor: Actor,
    Path(id): Path<String>,
) -> Result<axum::Json<Value>, ApiError> {
    let ended = backend.end_sessions(actor, person(&id)?).await?;
    Ok(axum::Json(json!({ "sessions_ended": ended })))
}

async fn setup_link(
    State(backend): Backend,
    actor: Actor,
    Path(id): Path<String>,
) -> Result<axum::Json<Value>, ApiError> {
    let url = backend.setup_link(actor, person(&id)?).await?;
    Ok(axum::Json(json!({ "url": url })))
}

fn person(id: &str) -> Result<PersonId, ApiError> {
    id.parse().map_err(|e| ApiError::bad_request(format!("{e}")))
}

async fn verdicts(
    State(backend): Backend,
    _: Actor,
    Asked(query): Asked<VerdictQuery>,
) -> Result<axum::Json<Vec<Entry>>, ApiError> {
    backend.verdicts(query).await.map(axum::Json)
}

async fn events(State(backend): Backend, _: Actor) -> Result<Response, ApiError> {
    let events = backend.events().await?.map(|entry| {
        let event = Event::default().event("verdict").id(entry.seq.to_string());
        Ok::<_, Infallible>(event.json_data(&entry).unwrap_or_else(|_| Event::default().comment("unreadable entry")))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::default()).into_response())
}

async fn publish(
    State(backend): Backend,
    actor: Actor,
    Json(from): Json<PublishFrom>,
) -> Result<axum::Json<Published>, ApiError> {
    backend.publish(actor, from).await.map(axum::Json)
}

async fn add_device(State(backend): Backend, actor: Actor, Json(new): Json<NewDevice>) -> Result<Response, ApiError> {
    let device = backend.add_device(actor, new).await?;
    Ok((StatusCode::CREATED, axum::Json(json!({ "device": device }))).into_response())
}

async fn health(State(backend): Backend, _: Actor) -> Result<Response, ApiError> {
    let health = backend.health().await?;
    let status = if health.healthy { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    Ok((status, axum::Json(health)).into_response())
}
