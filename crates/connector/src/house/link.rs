//! One link: a connector that dialled in, and the streams that it carries.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioIo, TokioTimer};
use safeconduct_model::{AppId, ConnectorName, Timestamp};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::{DialError, LinkView, Member, Stream};
use crate::bounds::{ABOUT_BYTES, HEAD_BYTES, LINK_WINDOW, PING, PONG, SEND_BUFFER, STREAM_WINDOW, STREAMS};
use crate::tasks::Tasks;
use crate::words::{ABOUT_PATH, About, LEAVE_PATH, REFUSAL, Refusal, WARRANT};

/// What a connector is asked through.
type Sender = http2::SendRequest<Empty<Bytes>>;

/// A connector that is linked.
pub(super) struct Link {
    pub(super) id: u64,
    pub(super) name: ConnectorName,
    pub(super) from: SocketAddr,
    /// The leaf that it showed, DER.
    pub(super) leaf: Vec<u8>,
    since: Timestamp,
    until: Timestamp,
    about: About,
    sender: Sender,
    streams: AtomicUsize,
    emptied: Notify,
    /// Cancelled when it says that it leaves, and when it is lost.
    leaving: CancellationToken,
    /// Cancelling it ends the link and every stream on it.
    cut: CancellationToken,
}

/// What is known of a link before it is one.
pub(super) struct Arrival {
    pub(super) id: u64,
    pub(super) member: Member,
    pub(super) from: SocketAddr,
    pub(super) leaf: Vec<u8>,
    pub(super) since: Timestamp,
    pub(super) tasks: Tasks,
}

/// Begins HTTP/2 with the roles turned, and asks the connector about itself.
pub(super) async fn begin<S>(
    stream: S,
    arrival: Arrival,
) -> Result<(Arc<Link>, impl Future<Output = hyper::Result<()>>), Unfit>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let Arrival { id, member, from, leaf, since, tasks } = arrival;
    let cut = tasks.cut.clone();
    let (mut sender, driver) = http2::Builder::new(tasks)
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(LINK_WINDOW)
        .max_header_list_size(HEAD_BYTES)
        .max_send_buf_size(SEND_BUFFER)
        .keep_alive_interval(PING)
        .keep_alive_timeout(PONG)
        .keep_alive_while_idle(true)
        .handshake(TokioIo::new(stream))
        .await?;
    let mut driver = Box::pin(driver);
    let about = tokio::select! {
        about = ask(&mut sender) => about?,
        ended = driver.as_mut() => return Err(ended.err().map_or(Unfit::Silent, Unfit::Http)),
    };
    let link = Link {
        id,
        name: member.name,
        from,
        leaf,
        since,
        until: member.until,
        about,
        sender,
        streams: AtomicUsize::new(0),
        emptied: Notify::new(),
        leaving: CancellationToken::new(),
        cut,
    };
    Ok((Arc::new(link), driver))
}

/// Why what came is no connector.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unfit {
    #[error("{0}")]
    Http(#[from] hyper::Error),
    #[error("it tells nothing of itself")]
    Silent,
}

async fn ask(sender: &mut Sender) -> Result<About, Unfit> {
    let answer = sender.send_request(plain(ABOUT_PATH)).await?;
    if answer.status() != StatusCode::OK {
        return Err(Unfit::Silent);
    }
    let body = Limited::new(answer.into_body(), ABOUT_BYTES).collect().await.map_err(|_| Unfit::Silent)?;
    let mut about: About = serde_json::from_slice(&body.to_bytes()).map_err(|_| Unfit::Silent)?;
    about.version.retain(|c| c.is_ascii_graphic());
    about.version.truncate(64);
    Ok(about)
}

fn plain(path: &'static str) -> Request<Empty<Bytes>> {
    let uri = Uri::builder().scheme("https").authority("connector").path_and_query(path).build();
    let mut request = Request::new(Empty::new());
    *request.uri_mut() = uri.expect("fixed parts make an address");
    request
}

impl Link {
    /// Whether it takes one more stream.
    pub(super) fn has_room(&self) -> bool {
        !self.leaving.is_cancelled() && !self.sender.is_closed() && self.load() < STREAMS as usize
    }

    /// How many streams it carries.
    pub(super) fn load(&self) -> usize {
        self.streams.load(Ordering::Relaxed)
    }

    /// Cancelled when it leaves or is lost.
    pub(super) fn leaving(&self) -> CancellationToken {
        self.leaving.clone()
    }

    /// Ends it and every stream on it.
    pub(super) fn cut(&self) {
        self.leaving.cancel();
        self.cut.cancel();
    }

    pub(super) fn is_cut(&self) -> bool {
        self.cut.is_cancelled()
    }

    /// Waits until it says that it leaves. An error means that it is lost.
    pub(super) async fn until_it_leaves(&self) -> hyper::Result<()> {
        self.sender.clone().send_request(plain(LEAVE_PATH)).await.map(|_| ())
    }

    /// Waits until the last stream has ended.
    pub(super) async fn until_empty(&self) {
        loop {
            let emptied = self.emptied.notified();
            if self.load() == 0 {
                return;
            }
            emptied.await;
        }
    }

    /// Opens a stream to an application.
    pub(super) async fn open(self: &Arc<Self>, app: &AppId, warrant: &str) -> Result<Stream, DialError> {
        let load = Load::on(self);
        let lost = || DialError::Lost(self.name.site.clone());
        let mut request = Request::new(Empty::new());
        *request.method_mut() = Method::CONNECT;
        *request.uri_mut() = Uri::builder().authority(app.as_str()).build().map_err(|_| DialError::NoSite)?;
        let warrant = HeaderValue::from_str(warrant).map_err(|_| DialError::NoSite)?;
        request.headers_mut().insert(WARRANT, warrant);
        let mut answer = self.sender.clone().send_request(request).await.map_err(|error| {
            tracing::debug!(connector = %self.name, %error, "no stream");
            lost()
        })?;
        if answer.status() == StatusCode::OK {
            let io = hyper::upgrade::on(&mut answer).await.map_err(|_| lost())?;
            return Ok(Stream::new(io, load));
        }
        let code = answer.headers().get(REFUSAL).and_then(|v| v.to_str().ok()).and_then(Refusal::from_code);
        Err(DialError::Refused(self.name.clone(), code.unwrap_or(Refusal::Request)))
    }

    pub(super) fn view(&self) -> LinkView {
        LinkView {
            name: self.name.clone(),
            from: self.from,
            since: self.since,
            until: self.until,
            about: self.about.clone(),
            streams: self.load(),
            leaves: self.leaving.is_cancelled(),
        }
    }
}

/// One stream on a link, counted as long as it is held.
pub(super) struct Load(Arc<Link>);

impl Load {
    fn on(link: &Arc<Link>) -> Self {
        link.streams.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(link))
    }

    pub(super) fn link(&self) -> &Arc<Link> {
        &self.0
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        if self.0.streams.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.0.emptied.notify_waiters();
        }
    }
}
