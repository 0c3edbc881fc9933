//! The two doors: `CONNECT` over HTTP/2, and the upgrade to a WebSocket.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{self, HeaderValue};
use http::{HeaderMap, HeaderName, Response, StatusCode};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use safeconduct_http::{Authority, Head, Refused};
use safeconduct_model::{Application, Reason};
use sha1::{Digest as _, Sha1};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::Knock;
use super::admit::{Opened, open};
use super::stream::{Stream, answering};
use crate::answer;
use crate::body::{Body, empty};
use crate::exchange::Exchange;

/// How long a client may take to change the protocol, once it was told that it may.
const UPGRADE: std::time::Duration = std::time::Duration::from_secs(10);
/// What makes an answer to a WebSocket of a key (RFC 6455, 1.3).
const ACCEPT: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// A `CONNECT` over HTTP/2. What does not name an application with tunnels is told what every unknown host is told. `busy` is
/// held for as long as the tunnel lives.
pub(crate) async fn connect<B: Send + 'static>(
    exchange: &Exchange<'_>,
    head: &Head,
    headers: &HeaderMap,
    busy: B,
    on_upgrade: OnUpgrade,
) -> Response<Body> {
    let (core, client, id) = (&exchange.worker.core, exchange.client, &exchange.id);
    let nowhere = Refused { status: 404, reason: Reason::UnknownApplication, code: "unknown_host" };
    let authority = match head.authority() {
        Ok(authority) => authority,
        Err(bad) => return exchange.refuse(&bad, None),
    };
    let app = core.routes.find(&core.control.snapshot(), &authority.host).filter(|a| a.is_tcp());
    let Some(app) = app.filter(|_| !core.control.is_portal(&authority.host)) else {
        return exchange.refuse(&nowhere, None);
    };
    let knock = Knock { id, app: &app, authority: &authority, headers, method: "CONNECT", client };
    let opened = match open(core, &knock).await {
        Ok(opened) => opened,
        Err(answer) => return answer,
    };
    let reset = CancellationToken::new();
    let token = reset.clone();
    opened.entry().open();
    core.tasks.spawn(async move {
        let _busy = busy;
        let upgraded = tokio::select! {
            biased;
            () = opened.entry().lost() => return reset.cancel(),
            upgraded = timeout(UPGRADE, on_upgrade) => upgraded,
        };
        if let Ok(Ok(upgraded)) = upgraded {
            opened.carry(Stream { io: TokioIo::new(upgraded), reset }).await;
        }
    });
    let mut response = Response::new(empty());
    *response.status_mut() = StatusCode::OK;
    let response = answer::stamp(response, id);
    // Nothing may be waited for between this and the answer.
    answering(token);
    response
}

/// A request for [`PATH`](super::PATH) on the host of an application with tunnels: the open tunnel and the head that says so.
pub(crate) async fn websocket(
    exchange: &Exchange<'_>,
    app: &Arc<Application>,
    authority: &Authority,
    head: &Head,
) -> Result<(Opened, Response<Body>), Response<Body>> {
    let id = &exchange.id;
    let headers = raw_headers(head);
    let Some(accept) = accept(&headers).filter(|_| head.is_method("GET")) else {
        return Err(exchange.refuse(&Refused::bad("no_websocket"), Some(app)));
    };
    let knock = Knock { id, app, authority, headers: &headers, method: "GET", client: exchange.client };
    let opened = open(&exchange.worker.core, &knock).await?;
    opened.entry().open();
    let mut response = Response::new(empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let fields = response.headers_mut();
    fields.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    fields.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    fields.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    Ok((opened, answer::stamp(response, id)))
}

/// The fields of a request as it came.
fn raw_headers(head: &Head) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value, _) in head.raw_fields() {
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_bytes(value)) {
            headers.append(name, value);
        }
    }
    headers
}

/// The answer that a request for a WebSocket over HTTP/1.1 waits for; nothing if it asks for none.
pub(crate) fn accepted(head: &Head) -> Option<HeaderValue> {
    accept(&raw_headers(head)).filter(|_| head.is_method("GET"))
}

/// The answer to the key of a WebSocket; nothing if the request asks for none, or for another version.
fn accept(headers: &HeaderMap) -> Option<HeaderValue> {
    let one = |name| {
        let mut all = headers.get_all(name).iter();
        all.next().filter(|_| all.next().is_none())
    };
    let asks = one(header::UPGRADE)?.as_bytes().eq_ignore_ascii_case(b"websocket");
    let version = one(header::SEC_WEBSOCKET_VERSION)?.as_bytes() == b"13";
    let key = one(header::SEC_WEBSOCKET_KEY)?.as_bytes();
    let whole = STANDARD.decode(key).is_ok_and(|bytes| bytes.len() == 16);
    if !asks || !version || !whole {
        return None;
    }
    let digest = Sha1::new().chain_update(key).chain_update(ACCEPT).finalize();
    HeaderValue::from_str(&STANDARD.encode(digest)).ok()
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn asked(fields: &[(&'static str, &'static str)]) -> Option<HeaderValue> {
        let mut request = Request::get("/.safeconduct/tunnel");
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        accept(request.body(()).unwrap().headers())
    }

    #[test]
    fn the_answer_to_a_key_is_that_of_the_standard() {
        let good = [
            ("upgrade", "WebSocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ];
        assert_eq!(asked(&good).unwrap(), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        for i in 0..good.len() {
            let mut less = good.to_vec();
            less.remove(i);
            assert_eq!(asked(&less), None, "without {}", good[i].0);
            let mut twice = good.to_vec();
            twice.push(good[i]);
            assert_eq!(asked(&twice), None, "{} twice", good[i].0);
        }
        let short = [good[0], good[1], ("sec-websocket-key", "c2hvcnQ=")];
        assert_eq!(asked(&short), None);
    }
}
