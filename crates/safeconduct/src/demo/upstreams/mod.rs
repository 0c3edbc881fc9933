//! The applications of the company: small, on loopback, behind the gateway. Each checks for itself who is asking.

mod crm;
mod desk;
mod desks;
mod finance;
mod page;
mod verify;
mod wiki;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, Result};
use axum::Router;
use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use maud::Markup;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::company::{APPS, Upstreams};
pub(crate) use verify::{Asker, Trust};

/// The applications, running.
pub(crate) struct Applications {
    /// Where they listen.
    pub(crate) at: Upstreams,
    /// Whom they believe about who is asking.
    pub(crate) trust: Arc<Trust>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

/// What every page of an application knows.
#[derive(Clone)]
struct App {
    id: &'static str,
    trust: Arc<Trust>,
}

impl Applications {
    /// Starts all of them on free ports.
    pub(crate) async fn start(trust: Arc<Trust>) -> Result<Self> {
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let mut at = Upstreams::new();
        for (id, _) in APPS {
            let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await;
            let listener = listener.context("no free port on loopback for an application")?;
            at.insert(id, listener.local_addr()?);
            let router = router(App { id, trust: Arc::clone(&trust) });
            let stop = stop.clone();
            tasks.spawn(async move {
                let served = axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned()).await;
                if let Err(error) = served {
                    tracing::warn!(%error, app = id, "an application of the demo ended");
                }
            });
        }
        Ok(Self { at, trust, stop, tasks })
    }

    /// Stops all of them. Streams end with the gateway, which is stopped first.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        self.tasks.close();
        let _ = tokio::time::timeout(std::time::Duration::from_secs(2), self.tasks.wait()).await;
    }
}

fn router(app: App) -> Router {
    let router = match app.id {
        "q3-finance" => finance::router(),
        "crm" => crm::router(),
        "desk" => desk::router(),
        "wiki" => wiki::router(),
        other => desks::router(other),
    };
    router.layer(from_fn_with_state(app.clone(), only_verified)).with_state(app)
}

/// Nobody comes in around the gateway: a request without a valid assertion gets nothing.
async fn only_verified(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let assertion = request.headers().get("x-safeconduct-assertion").and_then(|v| v.to_str().ok());
    let verified = match assertion {
        Some(token) => app.trust.verify(token, app.id).await,
        None => Err(anyhow::anyhow!("the request carries no assertion of the gateway")),
    };
    match verified {
        Ok(asker) => {
            request.extensions_mut().insert(asker);
            next.run(request).await
        }
        Err(error) => (
            axum::http::StatusCode::FORBIDDEN,
            format!("This application is reached through the gateway only: {error}.\n"),
        )
            .into_response(),
    }
}

impl<S: Sync> FromRequestParts<S> for Asker {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get::<Self>().cloned().unwrap_or_else(Self::nobody))
    }
}

/// A page of an application.
struct Html(Markup);

impl IntoResponse for Html {
    fn into_response(self) -> Response {
        let headers = [
            ("content-type", "text/html; charset=utf-8"),
            (
                "content-security-policy",
                "default-src 'none'; style-src 'unsafe-inline'; script-src 'self'; connect-src 'self'; form-action 'self'",
            ),
            ("cache-control", "no-store"),
        ];
        (headers, self.0.into_string()).into_response()
    }
}
