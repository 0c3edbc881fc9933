//! The plain HTTP listener: it knows one answer, the same address over HTTPS.

use std::sync::Arc;

use http::header::{HeaderValue, LOCATION};
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use crate::body::{Body, empty};
use crate::gateway::Core;
use crate::normal::{self, Refused};
use crate::wire::{Wire, WireState};

pub(crate) async fn serve(core: &Arc<Core>, stream: TcpStream, port: u16, shutdown: CancellationToken) {
    let state = Arc::<WireState>::default();
    let wire = Wire::new(stream, Arc::clone(&state), Arc::clone(&core.limits));
    let service = service_fn(move |request: Request<Incoming>| {
        let answer = redirect(core, &state, request, port);
        async { Ok::<_, std::convert::Infallible>(answer) }
    });
    let serving = http1::Builder::new().keep_alive(false).serve_connection(TokioIo::new(wire), service);
    tokio::select! {
        ended = serving => if let Err(e) = ended {
            tracing::debug!(error = %e, "connection ended");
        },
        () = shutdown.cancelled() => {}
    }
}

fn redirect(core: &Core, state: &WireState, request: Request<Incoming>, port: u16) -> Response<Body> {
    let (parts, _) = request.into_parts();
    let mut response = Response::new(empty());
    *response.status_mut() = match state.refused().map_or_else(|| target(core, &parts, port), Err) {
        Ok(location) => {
            response.headers_mut().insert(LOCATION, location);
            StatusCode::PERMANENT_REDIRECT
        }
        Err(refused) => StatusCode::from_u16(refused.status).unwrap_or(StatusCode::BAD_REQUEST),
    };
    response
}

fn target(core: &Core, parts: &http::request::Parts, port: u16) -> Result<HeaderValue, Refused> {
    let authority = normal::authority(parts)?;
    let host = authority.host.clone();
    let app = core.routes.find(&core.control.snapshot(), &host);
    if app.is_none() && !core.control.is_portal(&host) {
        return Err(Refused { status: 404, ..Refused::bad("unknown_host") });
    }
    let hardening = app.map(|a| a.hardening).unwrap_or_default();
    let canonical = normal::canonical(parts, authority, hardening, &core.limits, &core.cookies)?;
    let place = if port == 443 { host.to_string() } else { format!("{host}:{port}") };
    HeaderValue::from_str(&format!("https://{place}{}", canonical.target())).map_err(|_| Refused::bad("target"))
}
