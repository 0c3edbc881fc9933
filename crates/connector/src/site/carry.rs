//! One link, seen from the site: the gateway asks, this end answers, dials and relays.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{Either, Empty, Full};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use ipnet::IpNet;
use safeconduct_model::{AppId, ConnectorName, Timestamp};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::dial::{UpstreamTls, reach};
use super::relay::relay;
use crate::bounds::{DRAIN, HEAD_BYTES, LINK_WINDOW, PING, PONG, SEND_BUFFER, STREAM_WINDOW, STREAMS, WARRANTS};
use crate::tasks::Tasks;
use crate::words::{ABOUT_PATH, About, LEAVE_PATH, REFUSAL, Refusal, WARRANT};
use crate::{HouseKey, Warrant, WarrantError};

/// What an answer carries.
type Body = Either<Empty<Bytes>, Full<Bytes>>;

/// What all links of a connector share.
pub(super) struct Carrier {
    name: ConnectorName,
    house: HouseKey,
    only: Option<Vec<IpNet>>,
    tls: UpstreamTls,
    clock: fn() -> Timestamp,
    about: Bytes,
    newest: Mutex<HashMap<AppId, Seen>>,
}

/// The newest warrant of an application.
struct Seen {
    text: Box<str>,
    warrant: Arc<Warrant>,
}

impl Carrier {
    pub(super) fn new(
        name: ConnectorName,
        house: HouseKey,
        only: Option<Vec<IpNet>>,
        tls: UpstreamTls,
        clock: fn() -> Timestamp,
        version: &str,
    ) -> Self {
        let about = About { version: version.to_owned() };
        let about = serde_json::to_vec(&about).expect("plain data is JSON").into();
        Self { name, house, only, tls, clock, about, newest: Mutex::default() }
    }

    /// The warrant of a stream, verified. One that was verified before only has to hold still.
    fn warrant(&self, app: &str, text: &str) -> Result<Arc<Warrant>, WarrantError> {
        let now = (self.clock)();
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        let app: AppId = app.parse().map_err(|_| WarrantError::Malformed)?;
        let seen = newest.get(&app);
        if let Some(seen) = seen.filter(|seen| *seen.text == *text && now < seen.warrant.until) {
            return Ok(Arc::clone(&seen.warrant));
        }
        let warrant = Warrant::open(text, &self.house, &self.name.site, app.as_str(), now)?;
        // Two gateways sign the same at different times. Only what was replaced is old.
        if let Some(seen) = seen.filter(|seen| warrant.signed < seen.warrant.signed) {
            return if warrant.says_as(&seen.warrant) { Ok(Arc::new(warrant)) } else { Err(WarrantError::Old) };
        }
        if newest.len() >= WARRANTS && !newest.contains_key(&app) {
            newest.retain(|_, seen| now < seen.warrant.until);
        }
        let warrant = Arc::new(warrant);
        if newest.len() < WARRANTS || newest.contains_key(&app) {
            newest.insert(app, Seen { text: text.into(), warrant: Arc::clone(&warrant) });
        }
        Ok(warrant)
    }
}

/// One link from its first to its last stream. `linked` is told once the gateway has taken it; `leave` asks it to go when its
/// streams have ended.
pub(super) async fn carry<S>(
    carrier: Arc<Carrier>,
    stream: S,
    linked: watch::Sender<bool>,
    leave: CancellationToken,
) -> hyper::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let relays = TaskTracker::new();
    let tasks = Tasks { tracker: TaskTracker::new(), cut: CancellationToken::new() };
    let _cut = tasks.cut.clone().drop_guard();
    let link = Link { carrier, linked, leave: leave.clone(), relays: relays.clone(), tasks: tasks.clone() };
    let service = service_fn(move |request| {
        let link = link.clone();
        async move { Ok::<_, std::convert::Infallible>(link.answer(request).await) }
    });
    let mut builder = http2::Builder::new(tasks.clone());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(LINK_WINDOW)
        .max_header_list_size(HEAD_BYTES)
        .max_send_buf_size(SEND_BUFFER)
        .keep_alive_interval(PING)
        .keep_alive_timeout(PONG);
    let mut serving = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service));
    tokio::select! {
        ended = serving.as_mut() => return ended,
        () = leave.cancelled() => {}
    }
    // The gateway was told, and opens nothing more here. What runs may end.
    relays.close();
    let patience = async {
        tokio::select! {
            () = relays.wait() => {}
            () = tokio::time::sleep(DRAIN) => {}
        }
    };
    tokio::select! {
        ended = serving.as_mut() => return ended,
        () = patience => {}
    }
    serving.as_mut().graceful_shutdown();
    match tokio::time::timeout(PONG, serving).await {
        Ok(ended) => ended,
        Err(_) => Ok(()),
    }
}

#[derive(Clone)]
struct Link {
    carrier: Arc<Carrier>,
    linked: watch::Sender<bool>,
    leave: CancellationToken,
    relays: TaskTracker,
    tasks: Tasks,
}

impl Link {
    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        match (request.method(), request.uri().path()) {
            (&Method::CONNECT, _) => match self.open(request).await {
                Ok(answer) => answer,
                Err(refusal) => refused(refusal),
            },
            (&Method::GET, ABOUT_PATH) => {
                self.linked.send_replace(true);
                Response::new(Either::Right(Full::new(self.carrier.about.clone())))
            }
            (&Method::GET, LEAVE_PATH) => {
                self.leave.cancelled().await;
                Response::new(Either::Left(Empty::new()))
            }
            _ => refused(Refusal::Request),
        }
    }

    async fn open(&self, request: Request<Incoming>) -> Result<Response<Body>, Refusal> {
        if self.leave.is_cancelled() {
            return Err(Refusal::Draining);
        }
        let app = request.uri().authority().ok_or(Refusal::Request)?.as_str();
        let mut fields = request.headers().get_all(WARRANT).iter();
        let (Some(text), None) = (fields.next().and_then(|v| v.to_str().ok()), fields.next()) else {
            return Err(Refusal::Warrant);
        };
        let warrant = self.carrier.warrant(app, text).map_err(|error| {
            tracing::warn!(app, %error, "a warrant does not hold");
            Refusal::Warrant
        })?;
        let application = reach(&warrant, self.carrier.only.as_deref(), &self.carrier.tls).await?;
        let held = self.relays.token();
        self.tasks.spawn(async move {
            if let Ok(upgraded) = hyper::upgrade::on(request).await {
                relay(TokioIo::new(upgraded), application).await;
            }
            drop(held);
        });
        Ok(Response::new(Either::Left(Empty::new())))
    }
}

fn refused(refusal: Refusal) -> Response<Body> {
    let mut answer = Response::new(Either::Left(Empty::new()));
    *answer.status_mut() = refusal.status();
    debug_assert_ne!(answer.status(), StatusCode::OK);
    answer.headers_mut().insert(REFUSAL, HeaderValue::from_static(refusal.code()));
    answer
}
