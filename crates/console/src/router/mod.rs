//! Addresses to pages. The only place that knows a request.

pub(crate) mod assets;
mod console;
mod events;
mod guard;
pub(crate) mod headers;
mod machine;
mod me;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn, map_response};
use axum::routing::{get, post};

use crate::Backend;

/// The longest form that is read, in bytes.
const MAX_FORM_BYTES: usize = 64 * 1024;

/// What every handler gets.
#[derive(Clone)]
pub(crate) struct Shared {
    backend: Arc<dyn Backend>,
    streams: events::Streams,
}

/// Every page of the portal and the console. Each answer carries the headers of [`protect`](crate::protect).
pub fn router(backend: Arc<dyn Backend>) -> Router {
    let shared = Shared { backend, streams: events::Streams::default() };
    Router::new()
        .merge(console_routes())
        .merge(portal_routes())
        .route("/assets/{name}", get(assets::serve))
        .fallback(me::nothing)
        .layer(DefaultBodyLimit::max(MAX_FORM_BYTES))
        .layer(from_fn(guard::same_site))
        .layer(map_response(headers::on_response))
        .with_state(shared)
}

fn console_routes() -> Router<Shared> {
    Router::new()
        .route("/console", get(console::overview))
        .route("/console/protect", get(console::protect))
        .route("/console/map", get(console::map))
        .route("/console/policy", get(console::policy))
        .route("/console/policy/propose", post(console::propose))
        .route("/console/policy/proposals/{id}", get(console::proposal))
        .route("/console/policy/proposals/{id}/publish", post(console::publish))
        .route("/console/policy/proposals/{id}/discard", post(console::discard))
        .route("/console/watch", get(console::watch))
        .route("/console/events", get(events::stream))
        .route("/console/verdicts/{seq}", get(console::verdict))
        .route("/console/assess", get(console::assess))
        .route("/console/apps", get(console::apps))
        .route("/console/apps/{id}", get(console::app))
        .route("/console/people", get(console::people))
        .route("/console/people/{id}", get(console::person))
        .route("/console/people/{id}/end-sessions", post(console::end_sessions))
        .route("/console/devices", get(console::devices))
        .route("/console/devices/{id}", get(console::device))
        .route("/console/connectors", get(console::connectors))
        .route("/console/connectors/{site}/{name}/revoke", post(console::revoke_connector))
        .route("/console/locks", get(console::locks).post(console::place_lock))
        .route("/console/locks/{id}/lift", post(console::lift_lock))
        .route("/console/sessions/{id}/cut", post(console::cut))
        .route("/console/health", get(console::health))
}

fn portal_routes() -> Router<Shared> {
    Router::new()
        .route("/", get(me::home))
        .route("/me/security", get(me::security))
        .route("/me/password", post(me::set_password))
        .route("/me/totp/begin", post(me::totp_begin))
        .route("/me/totp/finish", post(me::totp_finish))
        .route("/me/totp/remove", post(me::totp_remove))
        .route("/me/passkeys/{id}/remove", post(me::passkey_remove))
        .route("/me/devices", get(me::devices))
        .route("/me/sessions/{id}/end", post(me::end_session))
        .route("/sign-in", get(me::sign_in))
        .route("/sign-in/password", post(me::sign_in_password))
        .route("/sign-out", post(me::sign_out))
        .route("/signed-out", get(me::signed_out))
        .route("/step-up", get(me::step_up))
        .route("/why", get(me::why).post(me::state_purpose))
        .route("/setup/{token}", get(me::setup).post(me::set_up))
        .route("/device/prove", get(me::prove))
        .route("/activate", get(machine::by_code).post(machine::answer_code))
        .route("/oauth/authorize", get(machine::by_browser).post(machine::answer_browser))
}
