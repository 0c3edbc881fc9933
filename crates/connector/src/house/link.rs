//! One link: a connector that dialled in, and the streams that it carries.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use h2::client::{Connection, SendRequest};
use http::{HeaderValue, Method, Request, StatusCode, Uri};
use safeconduct_model::{AppId, ConnectorName, Timestamp};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::{DialError, LinkView, Member, Stream};
use crate::bounds::{ABOUT_BYTES, HEAD_BYTES, LINK_WINDOW, PING, PONG, SEND_BUFFER, STREAM_WINDOW, STREAMS};
use crate::words::{ABOUT_PATH, About, LEAVE_PATH, REFUSAL, Refusal, WARRANT};

/// What a connector is asked through.
type Sender = SendRequest<Bytes>;

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
    pub(super) cut: CancellationToken,
}

/// Begins HTTP/2 with the roles turned, and asks the connector about itself. What is returned drives the link: it ends when
/// the link does, however that came about.
pub(super) async fn begin<S>(
    stream: S,
    arrival: Arrival,
) -> Result<(Arc<Link>, impl Future<Output = Result<(), Unfit>> + Send), Unfit>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let Arrival { id, member, from, leaf, since, cut } = arrival;
    let (sender, connection) = h2::client::Builder::new()
        .enable_push(false)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(LINK_WINDOW)
        .max_header_list_size(HEAD_BYTES)
        .max_send_buffer_size(SEND_BUFFER)
        .handshake::<_, Bytes>(stream)
        .await?;
    let mut driver = Box::pin(drive(connection, cut.clone()));
    let about = tokio::select! {
        about = ask(sender.clone()) => about?,
        ended = driver.as_mut() => return Err(ended.err().unwrap_or(Unfit::Silent)),
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

/// Drives a link until it ends, is cut, or answers no ping in time.
async fn drive<S>(mut connection: Connection<S, Bytes>, cut: CancellationToken) -> Result<(), Unfit>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut pings = connection.ping_pong().ok_or(Unfit::Silent)?;
    let silent = async {
        loop {
            sleep(PING).await;
            match timeout(PONG, pings.ping(h2::Ping::opaque())).await {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => return Unfit::Http(error),
                Err(_) => return Unfit::Silent,
            }
        }
    };
    tokio::select! {
        biased;
        () = cut.cancelled() => Ok(()),
        ended = connection => Ok(ended?),
        silent = silent => Err(silent),
    }
}

/// Why what came is no connector, or is one no more.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unfit {
    #[error("{0}")]
    Http(#[from] h2::Error),
    #[error("it does not answer")]
    Silent,
}

async fn ask(sender: Sender) -> Result<About, Unfit> {
    let (answer, _) = sender.ready().await?.send_request(plain(ABOUT_PATH), true)?;
    let answer = answer.await?;
    if answer.status() != StatusCode::OK {
        return Err(Unfit::Silent);
    }
    let (mut body, mut text) = (answer.into_body(), Vec::new());
    while let Some(piece) = body.data().await {
        let piece = piece?;
        if text.len() + piece.len() > ABOUT_BYTES {
            return Err(Unfit::Silent);
        }
        text.extend_from_slice(&piece);
        body.flow_control().release_capacity(piece.len())?;
    }
    let mut about: About = serde_json::from_slice(&text).map_err(|_| Unfit::Silent)?;
    about.version.retain(|c| c.is_ascii_graphic());
    about.version.truncate(64);
    Ok(about)
}

fn plain(path: &'static str) -> Request<()> {
    let uri = Uri::builder().scheme("https").authority("connector").path_and_query(path).build();
    let mut request = Request::new(());
    *request.uri_mut() = uri.expect("fixed parts make an address");
    request
}

impl Link {
    /// Whether it takes one more stream.
    pub(super) fn has_room(&self) -> bool {
        !self.leaving.is_cancelled() && !self.cut.is_cancelled() && self.load() < STREAMS as usize
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
    pub(super) async fn until_it_leaves(&self) -> Result<(), Unfit> {
        let (answer, _) = self.sender.clone().ready().await?.send_request(plain(LEAVE_PATH), true)?;
        answer.await?;
        Ok(())
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
        let mut request = Request::new(());
        *request.method_mut() = Method::CONNECT;
        *request.uri_mut() = Uri::builder().authority(app.as_str()).build().map_err(|_| DialError::NoSite)?;
        let warrant = HeaderValue::from_str(warrant).map_err(|_| DialError::NoSite)?;
        request.headers_mut().insert(WARRANT, warrant);
        let asking = async {
            let (answer, up) = self.sender.clone().ready().await?.send_request(request, false)?;
            Ok::<_, h2::Error>((answer.await?, up))
        };
        let (answer, up) = asking.await.map_err(|error| {
            tracing::debug!(connector = %self.name, %error, "no stream");
            lost()
        })?;
        if answer.status() == StatusCode::OK {
            return Ok(Stream::new(up, answer.into_body(), load));
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
