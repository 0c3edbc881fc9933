//! A WebSocket over HTTP/2 (RFC 8441). To the application it is the upgrade that every WebSocket server knows.

use std::sync::Arc;

use base64::Engine;
use bytes::BytesMut;
use http::{HeaderName, HeaderValue, Response, StatusCode};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use safeconduct_http::Head;
use tokio::time::timeout;

use super::Shared;
use super::forward::{Exchanging, permitted};
use crate::answer;
use crate::body::{Body, empty};
use crate::exchange::{Decided, Exchange};
use crate::relay::relay;
use crate::upstream::ForwardError;

/// How long the client may take to change the protocol.
const UPGRADE: std::time::Duration = std::time::Duration::from_secs(10);

/// Opens a WebSocket with the application and answers the extended CONNECT.
pub(super) async fn open(
    shared: &Arc<Shared>,
    exchange: &Exchange<'_>,
    head: &mut Head,
    (host, trace): (&str, &[u8]),
    decided: Decided,
    upgrade: OnUpgrade,
) -> Response<Body> {
    // The key proves nothing over HTTP/2, and a server over HTTP/1.1 asks for one.
    let key =
        base64::prelude::BASE64_STANDARD.encode(&exchange.id.as_str().as_bytes()[..16.min(exchange.id.as_str().len())]);
    head.add_websocket_key(&key);
    let (exchanging, lease) = match permitted(shared, exchange, head, (host, trace), decided, None).await {
        Ok(pair) => pair,
        Err(answer) => return answer,
    };
    let Exchanging { mut up, answer, .. } = exchanging;
    let mut response = Response::new(empty());
    for (name, value) in answer.fields(&shared.worker.core.cookies) {
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_bytes(value))
            && name != http::header::SEC_WEBSOCKET_ACCEPT
        {
            response.headers_mut().append(name, value);
        }
    }
    if !answer.is_websocket() {
        // The application did not agree: its status tells, its body is not passed on.
        if answer.status() < 300 {
            return exchange.failed(head, &lease, &ForwardError::WrongUpgrade);
        }
        *response.status_mut() = StatusCode::from_u16(answer.status()).unwrap_or(StatusCode::BAD_GATEWAY);
        return answer::stamp(response, &exchange.id);
    }
    lease.entry().open();
    up.patience.clear();
    let busy = shared.rest.begin();
    shared.worker.core.tasks.spawn(async move {
        let client = tokio::select! {
            biased;
            () = lease.entry().lost() => return,
            upgraded = timeout(UPGRADE, upgrade) => match upgraded {
                Ok(Ok(client)) => client,
                Ok(Err(_)) | Err(_) => return,
            },
        };
        let mut client = TokioIo::new(client);
        relay(&mut client, &mut BytesMut::new(), &mut up.io, &mut up.input, &lease, true).await;
        drop(busy);
    });
    answer::stamp(response, &exchange.id)
}
