//! The door: one request to join or to renew, one answer, and the connection is over.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Serialize;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;

use super::House;
use crate::bounds::{JOIN_BYTES, JOIN_TIME};
use crate::words::{JOIN_PATH, NotAdmitted, RENEW_PATH};

/// Answers one request. `leaf` is the certificate that came through the handshake, if there was one.
pub(super) async fn serve<S>(house: Arc<dyn House>, stream: S, leaf: Option<Vec<u8>>, from: SocketAddr)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (house, leaf) = (&house, &leaf);
    let service = service_fn(move |request| async move {
        Ok::<_, std::convert::Infallible>(answer(&**house, request, leaf.as_deref(), from).await)
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(JOIN_TIME)
        .keep_alive(false)
        .max_headers(32)
        .serve_connection(TokioIo::new(stream), service);
    match timeout(JOIN_TIME, serving).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%from, %error, "the door"),
        Err(_) => tracing::info!(%from, "a connector took too long to join"),
    }
}

async fn answer(
    house: &dyn House,
    request: Request<Incoming>,
    leaf: Option<&[u8]>,
    from: SocketAddr,
) -> Response<Full<Bytes>> {
    let path = request.uri().path().to_owned();
    if request.method() != Method::POST {
        return no(StatusCode::METHOD_NOT_ALLOWED, "Only POST is answered here.");
    }
    let Ok(body) = Limited::new(request.into_body(), JOIN_BYTES).collect().await else {
        return no(StatusCode::PAYLOAD_TOO_LARGE, "The request is too long, or broke off.");
    };
    let body = body.to_bytes();
    let bad = || no(StatusCode::BAD_REQUEST, "The request is not understood; are both programs of one version?");
    let admitted = match path.as_str() {
        JOIN_PATH => match serde_json::from_slice(&body) {
            Ok(join) => house.redeem(join, from).await,
            Err(_) => return bad(),
        },
        RENEW_PATH => match (serde_json::from_slice(&body), leaf.and_then(|leaf| house.member(leaf))) {
            (Ok(renew), Some(member)) => house.renew(member, renew).await,
            (Ok(_), None) => return no(StatusCode::FORBIDDEN, "Only a connector with a certificate renews one."),
            (Err(_), _) => return bad(),
        },
        _ => return no(StatusCode::NOT_FOUND, "There is nothing here."),
    };
    match admitted {
        Ok(admitted) => told(StatusCode::OK, &admitted),
        Err(refused) => told(StatusCode::FORBIDDEN, &refused),
    }
}

fn no(status: StatusCode, words: &str) -> Response<Full<Bytes>> {
    told(status, &NotAdmitted { words: words.to_owned() })
}

fn told(status: StatusCode, body: &impl Serialize) -> Response<Full<Bytes>> {
    let body = serde_json::to_vec(body).expect("plain data is JSON");
    let mut answer = Response::new(Full::from(body));
    *answer.status_mut() = status;
    answer.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    answer
}
