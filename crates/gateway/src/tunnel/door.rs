//! The two doors: `CONNECT` over HTTP/2, and the upgrade to a WebSocket.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{self, HeaderValue};
use http::request::Parts;
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use safeconduct_model::{Application, Reason, Record, Refusal, RequestId};
use sha1::{Digest as _, Sha1};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::Knock;
use super::admit::open;
use super::socket::Socket;
use super::stream::{Stream, answering};
use crate::answer;
use crate::body::{Body, empty};
use crate::gateway::Core;
use crate::normal::{self, Refused};
use crate::stages::Client;
use crate::wire::Busy;

/// How long a client may take to change the protocol, once it was told that it may.
const UPGRADE: std::time::Duration = std::time::Duration::from_secs(10);
/// What makes an answer to a WebSocket of a key (RFC 6455, 1.3).
const ACCEPT: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// A `CONNECT` over HTTP/2. What does not name an application with tunnels is told what every unknown host is told.
pub(crate) async fn connect(
    core: &Arc<Core>,
    client: &Client,
    id: &RequestId,
    busy: Busy,
    mut request: Request<Incoming>,
) -> Response<Body> {
    let on_upgrade = hyper::upgrade::on(&mut request);
    let (parts, _body) = request.into_parts();
    let refused = |refused: &Refused| {
        core.note(Record::Refusal(Refusal {
            request: id.clone(),
            ip: client.peer.ip(),
            reason: refused.reason,
            detail: refused.code.into(),
            app: None,
        }));
        answer::refusal(id, refused.status, refused.reason)
    };
    let nowhere = Refused { status: 404, reason: Reason::UnknownApplication, code: "unknown_host" };
    if let Err(over) = normal::headers::check_size(&parts, &core.limits) {
        return refused(&over);
    }
    let authority = match normal::authority(&parts) {
        Ok(authority) => authority,
        Err(bad) => return refused(&bad),
    };
    let app = core.routes.find(&core.control.snapshot(), &authority.host).filter(|a| a.is_tcp());
    let Some(app) = app.filter(|_| !core.control.is_portal(&authority.host)) else { return refused(&nowhere) };
    let knock = Knock { id, app: &app, authority: &authority, headers: &parts.headers, method: "CONNECT", client };
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
            () = opened.entry().lost.cancelled() => return reset.cancel(),
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

/// A request for [`PATH`](super::PATH) on the host of an application with tunnels.
pub(crate) async fn websocket(
    core: &Arc<Core>,
    client: &Client,
    id: &RequestId,
    app: &Arc<Application>,
    authority: &normal::Authority,
    parts: &Parts,
    on_upgrade: Option<OnUpgrade>,
) -> Response<Body> {
    let knock = Knock { id, app, authority, headers: &parts.headers, method: "GET", client };
    let (Some(accept), Some(on_upgrade)) = (accept(parts), on_upgrade) else {
        core.note(Record::Refusal(Refusal {
            request: id.clone(),
            ip: client.peer.ip(),
            reason: Reason::BadRequest,
            detail: "no_websocket".into(),
            app: Some(app.id.clone()),
        }));
        return answer::refusal(id, 400, Reason::BadRequest);
    };
    let opened = match open(core, &knock).await {
        Ok(opened) => opened,
        Err(answer) => return answer,
    };
    opened.entry().open();
    core.tasks.spawn(async move {
        let upgraded = tokio::select! {
            biased;
            () = opened.entry().lost.cancelled() => return,
            upgraded = timeout(UPGRADE, on_upgrade) => upgraded,
        };
        if let Ok(Ok(upgraded)) = upgraded {
            opened.carry(Socket::new(TokioIo::new(upgraded))).await;
        }
    });
    let mut response = Response::new(empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let fields = response.headers_mut();
    fields.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    fields.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    fields.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    answer::stamp(response, id)
}

/// The answer to the key of a WebSocket; nothing if the request asks for none, or for another version.
fn accept(parts: &Parts) -> Option<HeaderValue> {
    let one = |name| {
        let mut all = parts.headers.get_all(name).iter();
        all.next().filter(|_| all.next().is_none())
    };
    let asks = one(header::UPGRADE)?.as_bytes().eq_ignore_ascii_case(b"websocket");
    let version = one(header::SEC_WEBSOCKET_VERSION)?.as_bytes() == b"13";
    let key = one(header::SEC_WEBSOCKET_KEY)?.as_bytes();
    let whole = STANDARD.decode(key).is_ok_and(|bytes| bytes.len() == 16);
    if !asks || !version || !whole || parts.method != http::Method::GET {
        return None;
    }
    let digest = Sha1::new().chain_update(key).chain_update(ACCEPT).finalize();
    HeaderValue::from_str(&STANDARD.encode(digest)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(fields: &[(&'static str, &'static str)]) -> Option<HeaderValue> {
        let mut request = Request::get("/.safeconduct/tunnel");
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        accept(&request.body(()).unwrap().into_parts().0)
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
