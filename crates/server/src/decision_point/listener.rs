//! The listener of the decision point: connections, TLS, bounds in number and time.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::response::IntoResponse;
use futures_util::FutureExt;
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use rustls::ServerConfig;
use safeconduct_api::{CertificateNames, Client};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use crate::house::new_request_id;

/// The most connections at once.
const CONNECTIONS: usize = 1_024;
/// The most requests at once on one connection.
const STREAMS: u32 = 256;
/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long the head of a request may be awaited; a connection at rest ends then too.
const HEAD: Duration = Duration::from_secs(60);
/// The longest head of a request, in bytes.
const MAX_HEAD: usize = 64 * 1024;
/// How long an answer may take, from the head of the request on.
const ANSWER: Duration = Duration::from_secs(10);
/// How long open requests may go on when it stops.
const DRAIN: Duration = Duration::from_secs(5);
/// How long it rests when the system gives no connection.
const PAUSE: Duration = Duration::from_millis(50);

/// Serves until it is stopped.
pub(crate) async fn serve(
    listener: TcpListener,
    tls: Option<Arc<ServerConfig>>,
    router: Router,
    stop: CancellationToken,
) {
    let (places, tasks) = (Arc::new(Semaphore::new(CONNECTIONS)), TaskTracker::new());
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(pair) => pair,
            Err(error) => {
                tracing::warn!(%error, "the decision point could not accept a connection");
                sleep(PAUSE).await;
                continue;
            }
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            tracing::debug!(%peer, "too many connections");
            continue;
        };
        let (tls, router, stop) = (tls.clone(), router.clone(), stop.clone());
        tasks.spawn(async move {
            connection(stream, peer, tls, router, stop).await;
            drop(place);
        });
    }
    tasks.close();
    if timeout(DRAIN, tasks.wait()).await.is_err() {
        tracing::debug!("requests to the decision point were cut");
    }
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    tls: Option<Arc<ServerConfig>>,
    router: Router,
    stop: CancellationToken,
) {
    let _ = stream.set_nodelay(true);
    let Some(config) = tls else { return http(stream, peer, CertificateNames::default(), router, stop).await };
    match timeout(HANDSHAKE, TlsAcceptor::from(config).accept(stream)).await {
        Ok(Ok(stream)) => {
            let leaf = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
            let names = leaf.map(|leaf| names(leaf)).unwrap_or_default();
            http(stream, peer, names, router, stop).await;
        }
        Ok(Err(error)) => tracing::debug!(%peer, %error, "no TLS"),
        Err(_) => tracing::debug!(%peer, "a slow handshake"),
    }
}

/// The DNS names and URIs of a certificate that TLS verified.
fn names(leaf: &[u8]) -> CertificateNames {
    let Ok((_, certificate)) = X509Certificate::from_der(leaf) else { return CertificateNames::default() };
    let alternative = certificate.subject_alternative_name().ok().flatten();
    let named = alternative.into_iter().flat_map(|names| &names.value.general_names);
    let texts = named.filter_map(|name| match name {
        GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
        GeneralName::URI(uri) => Some((*uri).to_owned()),
        _ => None,
    });
    CertificateNames(texts.collect())
}

async fn http<S>(stream: S, peer: SocketAddr, names: CertificateNames, router: Router, stop: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request: Request<Incoming>| {
        let (router, names) = (router.clone(), names.clone());
        async move { Ok::<_, Infallible>(answer(router, request, peer, names).await) }
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD).max_buf_size(MAX_HEAD);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(u32::try_from(MAX_HEAD).unwrap_or(u32::MAX))
        .keep_alive_interval(HEAD)
        .keep_alive_timeout(HANDSHAKE);
    let serving = builder.serve_connection(TokioIo::new(stream), service);
    let mut serving = std::pin::pin!(serving);
    let ended = tokio::select! {
        ended = serving.as_mut() => ended,
        () = stop.cancelled() => {
            serving.as_mut().graceful_shutdown();
            timeout(DRAIN, serving).await.unwrap_or(Ok(()))
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, %error, "a connection to the decision point broke");
    }
}

/// One request: never longer than its time, and a panic ends nothing but it.
async fn answer(
    router: Router,
    request: Request<Incoming>,
    peer: SocketAddr,
    names: CertificateNames,
) -> Response<axum::body::Body> {
    let mut request = request.map(axum::body::Body::new);
    request.extensions_mut().insert(Client { ip: peer.ip(), request: new_request_id() });
    request.extensions_mut().insert(names);
    let work = AssertUnwindSafe(timeout(ANSWER, router.oneshot(request))).catch_unwind();
    match work.await {
        Ok(Ok(Ok(response))) => response,
        Ok(Ok(Err(never))) => match never {},
        Ok(Err(_)) => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        Err(_) => {
            tracing::warn!("a panic while a question was answered; it was not answered");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_of_a_certificate_are_its_dns_names_and_uris() {
        let key = rcgen::KeyPair::generate().expect("a key");
        let mut params = rcgen::CertificateParams::new(vec!["Edge.Example.com".to_owned()]).expect("names");
        let uri = "spiffe://acme/edge".try_into().expect("a URI");
        params.subject_alt_names.push(rcgen::SanType::URI(uri));
        params.distinguished_name.push(rcgen::DnType::CommonName, "common.example.com");
        let certificate = params.self_signed(&key).expect("a certificate");
        assert_eq!(*names(certificate.der()).0, ["edge.example.com", "spiffe://acme/edge"]);
        assert!(names(b"nothing").0.is_empty());
    }
}
