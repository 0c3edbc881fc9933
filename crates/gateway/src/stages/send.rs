//! Forward: one exchange or one WebSocket with the application that the permit opens.

use std::sync::Arc;

use http::Response;
use hyper::body::Incoming;
use safeconduct_model::{Application, Class, CutCause, Reason};

use super::decide::{Decided, Refusing, end_of};
use super::{Answer, Exchange};
use crate::answer;
use crate::body::{Body, boxed, empty};
use crate::forward::{
    Download, ForwardError, Lease, OwnHeaders, Upload, Uploaded, clean_response, is_websocket_answer, outgoing, tunnel,
};
use crate::normal::{CanonicalRequest, Refused, Upgrade};

impl Exchange<'_> {
    pub(super) async fn forward(
        &mut self,
        canonical: CanonicalRequest,
        app: &Arc<Application>,
        decided: Decided,
        body: Incoming,
        on_upgrade: Option<hyper::upgrade::OnUpgrade>,
    ) -> Answer {
        let Decided { permit, ask, lease, receipt, now } = decided;
        let critical = permit.target().class == Class::Critical;
        let unrecorded = |refused| Refusing::unrecorded(ask.clone(), now, refused);
        let entry = Arc::clone(lease.entry());
        let uploaded = Arc::<Uploaded>::default();
        let exchange = async {
            let body: Body = match canonical.upgrade {
                Upgrade::WebSocket => empty(),
                Upgrade::None => {
                    boxed(Upload::new(body, Arc::clone(&uploaded), Arc::clone(&entry), self.core.limits.body_bytes))
                }
            };
            let own = OwnHeaders {
                client: self.client.peer.ip(),
                proto: self.client.scheme(),
                request: self.id.as_str(),
                assertion: self.core.signer.as_ref().and_then(|s| s.assert(&ask, permit.obligations(), now)),
            };
            let request = outgoing(&canonical, own, body)?;
            self.core.upstreams.exchange(&permit, request, &lease, &uploaded).await
        };
        let exchanged = if critical {
            if let Err(refused) = receipt.durable().await {
                return self.deny(&canonical, app, unrecorded(refused)).await;
            }
            exchange.await
        } else {
            let (exchanged, written) = tokio::join!(exchange, receipt.written());
            if let Err(refused) = written {
                return self.deny(&canonical, app, unrecorded(refused)).await;
            }
            exchanged
        };
        let (mut response, connection) = match exchanged {
            Ok(pair) => pair,
            Err(error) => return self.failed(&canonical, app, &error, &uploaded, &lease),
        };
        let websocket = match is_websocket_answer(&response, canonical.upgrade) {
            Ok(websocket) => websocket,
            Err(error) => return self.failed(&canonical, app, &error, &uploaded, &lease),
        };
        let from_upstream = websocket.then(|| hyper::upgrade::on(&mut response));
        let bound = carries_login(&canonical, &response);
        let (mut head, incoming) = response.into_parts();
        clean_response(&mut head, &self.core.cookies);
        let body = match (from_upstream, on_upgrade) {
            (Some(upstream), Some(client)) => {
                head.headers.insert(http::header::CONNECTION, http::HeaderValue::from_static("upgrade"));
                head.headers.insert(http::header::UPGRADE, http::HeaderValue::from_static("websocket"));
                entry.open();
                self.core.tasks.spawn(tunnel(client, upstream, lease));
                empty()
            }
            _ => {
                let pool = (!bound).then(|| Arc::clone(&self.core.upstreams));
                boxed(Download::new(incoming, lease, connection, uploaded, pool, self.busy.take()))
            }
        };
        answer::stamp(Response::from_parts(head, body), &self.id)
    }

    /// The answer when the upstream, the client or the lease failed before there was a head.
    fn failed(
        &self,
        canonical: &CanonicalRequest,
        app: &Arc<Application>,
        error: &ForwardError,
        uploaded: &Uploaded,
        lease: &Lease,
    ) -> Answer {
        if uploaded.failed() {
            let broken = self.client.wire.refused().unwrap_or(Refused::bad("broken_body"));
            return self.refuse(&broken, Some(app));
        }
        let (status, reason) = match error {
            ForwardError::Lost => (403, Reason::Forbidden),
            ForwardError::Site(no) => no.status(),
            ForwardError::ConnectTimeout | ForwardError::FirstByteTimeout => (504, Reason::UpstreamTimeout),
            ForwardError::Address(_)
            | ForwardError::Connect(_)
            | ForwardError::Broken(_)
            | ForwardError::WrongUpgrade => (502, Reason::UpstreamUnavailable),
        };
        if !matches!(error, ForwardError::Lost) {
            tracing::info!(app = %app.id, request = %self.id, %error, "the upstream failed");
            self.core.note(end_of(self.core, lease.entry(), CutCause::UpstreamFailed, None));
        }
        answer::problem(&*self.core.control, Some(canonical), &self.id, status, reason, Some(&app.id))
    }
}

/// Whether the upstream connection may carry a login of its own (NTLM, Negotiate), so that nobody else may use it.
fn carries_login(request: &CanonicalRequest, response: &Response<Incoming>) -> bool {
    let bound = |text: &str| {
        let scheme = text.trim_start().split([' ', ',']).next().unwrap_or_default();
        scheme.eq_ignore_ascii_case("ntlm") || scheme.eq_ignore_ascii_case("negotiate")
    };
    let challenged = response.headers().get_all(http::header::WWW_AUTHENTICATE);
    request.header("authorization").is_some_and(bound)
        || challenged.iter().any(|v| v.to_str().is_ok_and(|t| t.split(',').any(bound)))
}
