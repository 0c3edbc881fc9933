//! The tour: one calm page on loopback that leads through the story. Its buttons sign in as people of the company, with their
//! software passkeys and over the real interfaces, and send the visitor's browser to the portal with that session.

mod page;

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use axum::extract::{Form, Query, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Router, middleware};
use safeconduct_model::{Check, SessionId};
use serde::Deserialize;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::browser::encode;
use super::stage::{Stage, local};

/// The tour, open.
pub(crate) struct Tour {
    at: SocketAddr,
    stop: CancellationToken,
    tasks: TaskTracker,
}

/// Who to be, and where to go.
#[derive(Deserialize)]
struct As {
    person: String,
    #[serde(default)]
    device: String,
    to: String,
}

/// What to do.
#[derive(Deserialize)]
struct Deed {
    deed: String,
}

/// What was done.
#[derive(Deserialize)]
struct Done {
    #[serde(default)]
    done: String,
}

impl Tour {
    /// Opens the tour on the port after that of the portal; on any free port if that one is taken.
    pub(crate) async fn open(stage: &Arc<Stage>, port: u16) -> Result<Self> {
        let next = port.checked_add(1).filter(|_| port != 0).unwrap_or(0);
        let wanted = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], next))).await;
        let listener = match wanted {
            Ok(listener) => listener,
            Err(_) => {
                TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.context("no free port for the tour")?
            }
        };
        let at = listener.local_addr()?;
        let router = Router::new()
            .route("/", get(show))
            .route("/as", post(become_someone))
            .route("/do", post(act))
            .route("/tour.css", get(|| async { ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], page::STYLE) }))
            .layer(from_fn(move |request: Request, next: Next| only_here(at.port(), request, next)))
            .layer(middleware::map_response(with_headers))
            .with_state(Arc::clone(stage));
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let stopped = stop.clone();
        tasks.spawn(async move {
            tokio::select! {
                served = async { axum::serve(listener, router).await } => if let Err(error) = served {
                    tracing::warn!(%error, "the tour ended");
                },
                () = stopped.cancelled() => {}
            }
        });
        Ok(Self { at, stop, tasks })
    }

    /// Where it is.
    pub(crate) fn address(&self) -> String {
        format!("http://localhost:{}", self.at.port())
    }

    /// Closes it.
    pub(crate) async fn close(self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// The tour acts for whoever asks, so it listens to pages of its own only: a name of this machine in `Host`, and nothing that
/// another site sends.
async fn only_here(port: u16, request: Request, next: Next) -> Response {
    if is_own(port, request.method(), request.headers()) {
        next.run(request).await
    } else {
        (StatusCode::FORBIDDEN, "The tour is reached from its own page only.\n").into_response()
    }
}

fn is_own(port: u16, method: &Method, headers: &HeaderMap) -> bool {
    let text = |name: header::HeaderName| headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let own = [format!("localhost:{port}"), format!("127.0.0.1:{port}")];
    let host_is_own = own.iter().any(|h| h == text(header::HOST));
    let origin_is_own = own.iter().any(|h| text(header::ORIGIN) == format!("http://{h}"));
    host_is_own && (*method == Method::GET || origin_is_own)
}

async fn with_headers(mut answer: Response) -> Response {
    let headers = answer.headers_mut();
    let policy = "default-src 'none'; style-src 'self'; frame-ancestors 'none'; base-uri 'none'";
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // Chromium sends `Origin: null` with forms of a page that withholds its referrer.
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    answer
}

async fn show(State(stage): State<Arc<Stage>>, Query(done): Query<Done>) -> axum::response::Html<String> {
    axum::response::Html(page::page(&stage, &done.done).into_string())
}

async fn become_someone(State(stage): State<Arc<Stage>>, Form(form): Form<As>) -> Response {
    match sign_in(&stage, &form).await {
        Ok(link) => Redirect::to(&link).into_response(),
        Err(error) => failed(&error),
    }
}

/// Signs in as a person, and makes the link that carries the session to the visitor's browser.
async fn sign_in(stage: &Stage, form: &As) -> Result<String> {
    let browser = stage.cast.sign_in(&form.person, form.device != "none").await?;
    let me = stage.cast.whoami(&browser).await?;
    let session: SessionId = me["session"].as_str().context("the session has no name")?.parse()?;
    let to = match form.to.split_once(':') {
        Some((app, path)) => format!("/continue?return={}", encode(&stage.cast.app(app, path))),
        None => form.to.clone(),
    };
    stage.running.portal_link(&session, &to)
}

async fn act(State(stage): State<Arc<Stage>>, Form(form): Form<Deed>) -> Response {
    match deed(&stage, &form.deed).await {
        Ok(done) => Redirect::to(&format!("/?done={}", encode(&done))).into_response(),
        Err(error) => failed(&error),
    }
}

/// Does something to the company; says what was done.
async fn deed(stage: &Stage, deed: &str) -> Result<String> {
    let without_protection = || Check::ALL.into_iter().filter(|c| *c != Check::EndpointProtection).collect();
    let jumped = |to| {
        local(to, &stage.zone).strftime("The clock shows %A, %H:%M, and everything live was decided again.").to_string()
    };
    Ok(match deed {
        "ada-off" => {
            stage.cast.report("lt-ada", without_protection()).await?;
            "Ada's laptop reported that its endpoint protection is off.".to_owned()
        }
        "ada-on" => {
            stage.cast.report("lt-ada", Check::ALL.into()).await?;
            "Ada's laptop reported that it is well again.".to_owned()
        }
        "desk-off" => {
            stage.cast.report("ws-desk-2", without_protection()).await?;
            "Tara's workstation reported that its endpoint protection is off. Her stream was cut.".to_owned()
        }
        "desk-on" => {
            stage.cast.report("ws-desk-2", Check::ALL.into()).await?;
            "Tara's workstation reported that it is well again.".to_owned()
        }
        "evening" => jumped(stage.jump(18, 1)?),
        "morning" => {
            let morning = jumped(stage.jump_to_morning()?);
            // A report counts for a day: the devices report again, as they do every morning.
            stage.cast.report("lt-ada", Check::ALL.into()).await?;
            stage.cast.report("ws-desk-2", Check::ALL.into()).await?;
            morning
        }
        other => bail!("the tour does not know `{other}`"),
    })
}

fn failed(error: &anyhow::Error) -> Response {
    (StatusCode::BAD_GATEWAY, axum::response::Html(page::failure(&format!("{error:#}")).into_string())).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(method: &Method, host: &'static str, origin: Option<&'static str>) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::from_static(host));
        if let Some(origin) = origin {
            headers.insert(header::ORIGIN, HeaderValue::from_static(origin));
        }
        is_own(8_444, method, &headers)
    }

    #[test]
    fn another_site_cannot_make_the_tour_act() {
        assert!(own(&Method::GET, "localhost:8444", None));
        assert!(own(&Method::POST, "127.0.0.1:8444", Some("http://127.0.0.1:8444")));
        assert!(!own(&Method::POST, "localhost:8444", None), "a form of a page always says where it comes from");
        assert!(!own(&Method::POST, "localhost:8444", Some("https://evil.example")));
        assert!(!own(&Method::GET, "evil.example:8444", None), "a name that was made to point here");
    }
}
