//! A WebSocket over HTTP/2 (RFC 8441). To the application it is the upgrade that every WebSocket server knows.

use std::sync::Arc;

use base64::Engine;
use bytes::BytesMut;
use http::{HeaderName, HeaderValue, Response, StatusCode};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use safeconduct_http::Head;
use safeconduct_model::Class;
use tokio::time::timeout;

use super::Shared;
use super::forward::{Exchanging, permitted};
use crate::answer;
use crate::body::{Body, empty};
use crate::exchange::{Decided, Exchange, Refusing};
use crate::lease::Lease;
use crate::relay::relay;
use crate::upstream::socket::{self, Said};
use crate::upstream::{ForwardError, Up, is_h2};

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
    if is_h2(&decided.lease.standing.target.upstream) {
        return open_h2(shared, exchange, head, (host, trace), decided, upgrade).await;
    }
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
    up.patience.clear();
    carry(shared, up, lease, upgrade);
    answer::stamp(response, &exchange.id)
}

/// Opens a WebSocket with an application that speaks HTTP/2 too.
async fn open_h2(
    shared: &Arc<Shared>,
    exchange: &Exchange<'_>,
    head: &Head,
    place: (&str, &[u8]),
    decided: Decided,
    upgrade: OnUpgrade,
) -> Response<Body> {
    let Decided { lease, mut receipt } = decided;
    let app = Arc::clone(&lease.standing.target);
    if app.class == Class::Critical
        && let Err(refused) = receipt.durable().await
    {
        return exchange.deny(head, place.0, &app, Refusing::unrecorded(&lease, refused)).await;
    }
    let said = socket::open(exchange, head, place, &lease).await;
    if let Err(refused) = receipt.written().await {
        return exchange.deny(head, place.0, &app, Refusing::unrecorded(&lease, refused)).await;
    }
    let mut response = Response::new(empty());
    match said {
        Ok(Said::Yes(fields, up)) => {
            *response.headers_mut() = fields;
            carry(shared, *up, lease, upgrade);
        }
        Ok(Said::No(status, fields)) => {
            lease.answered(status.as_u16());
            *response.status_mut() = status;
            *response.headers_mut() = fields;
        }
        Err(error) => return exchange.failed(head, &lease, &error),
    }
    answer::stamp(response, &exchange.id)
}

/// Relays from the answer on.
fn carry(shared: &Arc<Shared>, up: Up, lease: Lease, upgrade: OnUpgrade) {
    lease.entry().open();
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
        let Up { io, input, open, .. } = up;
        relay((TokioIo::new(client), BytesMut::new()), (io, input), lease).await;
        drop(open);
        drop(busy);
    });
}
