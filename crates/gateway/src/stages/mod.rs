//! The five stages of a request: accept (here), identify, decide and record (`decide`), forward (`send`).

mod decide;
mod judge;
mod send;

pub use judge::{Elsewhere, Judgement};

use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;
use http::{Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use safeconduct_model::{Application, Reason, Record, Refusal, RequestId};
use tokio_util::sync::CancellationToken;

use crate::RESERVED_PREFIX;
use crate::answer;
use crate::body::{Body, boxed, holding};
use crate::gateway::Core;
use crate::normal::scan::STAND_IN;
use crate::normal::{self, CanonicalRequest, Refused};
use crate::ports::{ClientCertificate, PortalRequest};
use crate::wire::{Busy, Next, WireState};

/// What a stage knows about the connection.
pub(crate) struct Client {
    pub(crate) peer: SocketAddr,
    pub(crate) certificate: Option<ClientCertificate>,
    pub(crate) tls: bool,
    /// Whether it speaks HTTP/1.1, behind the scanner.
    pub(crate) h1: bool,
    /// What the scanner and the stages tell each other.
    pub(crate) wire: Arc<WireState>,
    /// Ends the connection.
    pub(crate) cut: CancellationToken,
}

impl Client {
    fn scheme(&self) -> &'static str {
        if self.tls { "https" } else { "http" }
    }
}

/// A refused, denied or failed request ends in an answer, and so does a permitted one.
type Answer = Response<Body>;

/// One request, from its head to the head of its answer. Never fails, never panics.
pub(crate) async fn serve(core: Arc<Core>, client: Arc<Client>, request: Request<Incoming>) -> Answer {
    let asked = asks_for_upgrade(&request);
    let work = AssertUnwindSafe(handle(&core, &client, request)).catch_unwind();
    let answer = work.await.unwrap_or_else(|_| {
        core.alarm("a panic while a request was served; it was denied");
        answer::last_resort()
    });
    if client.h1 && asked {
        client.wire.answered(if answer.status() == StatusCode::SWITCHING_PROTOCOLS { Next::Raw } else { Next::Http });
    }
    answer
}

/// The same question that the scanner asks: is it unknown what follows this head?
fn asks_for_upgrade(request: &Request<Incoming>) -> bool {
    let has = |name| request.headers().contains_key(name);
    has(http::header::UPGRADE) && !has(http::header::CONTENT_LENGTH) && !has(http::header::TRANSFER_ENCODING)
}

async fn handle(core: &Arc<Core>, client: &Arc<Client>, request: Request<Incoming>) -> Answer {
    let busy = Some(client.wire.begin());
    let id = core.control.new_request_id();
    if request.method() == http::Method::CONNECT
        && request.version() == Version::HTTP_2
        && request.extensions().get::<hyper::ext::Protocol>().is_none()
    {
        return crate::tunnel::connect(core, client, &id, client.wire.begin(), request).await;
    }
    let exchange = Exchange { core, client, id, busy };
    exchange.run(request).await
}

/// One request on its way through the stages.
struct Exchange<'a> {
    core: &'a Arc<Core>,
    client: &'a Arc<Client>,
    id: RequestId,
    busy: Option<Busy>,
}

impl Exchange<'_> {
    async fn run(mut self, request: Request<Incoming>) -> Answer {
        if request.method().as_str() == STAND_IN
            && let Some(refused) = self.client.wire.refused()
        {
            return self.refuse(&refused, None);
        }
        // Accept.
        let (mut parts, body) = request.into_parts();
        let authority = match normal::authority(&parts) {
            Ok(authority) => authority,
            Err(refused) => return self.refuse(&refused, None),
        };
        let snapshot = self.core.control.snapshot();
        let portal = self.core.control.is_portal(&authority.host);
        let app = if portal { None } else { self.core.routes.find(&snapshot, &authority.host) };
        // What is reached by tunnels alone is nowhere for every other request.
        let app = app.filter(|a| !a.is_tcp() || parts.uri.path() == crate::tunnel::PATH);
        if !portal && app.is_none() {
            let nowhere = Refused { status: 404, reason: Reason::UnknownApplication, code: "unknown_host" };
            return self.refuse(&nowhere, None);
        }
        let hardening = app.as_ref().map(|a| a.hardening).unwrap_or_default();
        let canonical = match normal::canonical(&parts, authority, hardening, &self.core.limits, &self.core.cookies) {
            Ok(canonical) => canonical,
            Err(refused) => return self.refuse(&refused, app.as_ref()),
        };
        if let Some(app) = app.as_ref().filter(|a| a.is_tcp()) {
            let on_upgrade = parts.extensions.remove::<hyper::upgrade::OnUpgrade>();
            let (core, authority) = (self.core, &canonical.authority);
            return crate::tunnel::websocket(core, self.client, &self.id, app, authority, &parts, on_upgrade).await;
        }
        let Some(app) = app.filter(|_| !canonical.path.starts_with(RESERVED_PREFIX)) else {
            let app = self.core.routes.find(&snapshot, &canonical.authority.host);
            return self.portal(&parts, &canonical, body, app).await;
        };
        // Identify, decide, record.
        let decided = match self.decide(&canonical, &app) {
            Ok(decided) => *decided,
            Err(denied) => return self.deny(&canonical, &app, *denied).await,
        };
        // Forward.
        let on_upgrade = parts.extensions.remove::<hyper::upgrade::OnUpgrade>();
        self.forward(canonical, &app, decided, body, on_upgrade).await
    }

    fn refuse(&self, refused: &Refused, app: Option<&Arc<Application>>) -> Answer {
        self.core.note(Record::Refusal(Refusal {
            request: self.id.clone(),
            ip: self.client.peer.ip(),
            reason: refused.reason,
            detail: refused.code.into(),
            app: app.map(|a| a.id.clone()),
        }));
        let mut answer = answer::refusal(&self.id, refused.status, refused.reason);
        if self.client.h1 {
            answer.headers_mut().insert(http::header::CONNECTION, http::HeaderValue::from_static("close"));
        }
        answer
    }

    async fn portal(
        &mut self,
        parts: &http::request::Parts,
        canonical: &CanonicalRequest,
        body: Incoming,
        app: Option<Arc<Application>>,
    ) -> Answer {
        let mut request = Request::new(boxed(body));
        *request.method_mut() = parts.method.clone();
        let Ok(uri) = canonical.target().parse() else {
            return self.refuse(&Refused::bad("target"), app.as_ref());
        };
        *request.uri_mut() = uri;
        *request.version_mut() = Version::HTTP_11;
        let fields = request.headers_mut();
        // The portal is our own: it gets its cookies, in the order of arrival, and nothing that a proxy would set.
        for (name, value) in &parts.headers {
            let name_text = name.as_str();
            let kept = !normal::headers::is_hop_by_hop(name_text)
                && !normal::headers::is_protected(name_text)
                && !name_text.contains('_');
            if kept {
                fields.append(name.clone(), value.clone());
            }
        }
        if let Ok(host) = http::HeaderValue::from_str(&canonical.authority.to_string()) {
            fields.insert(http::header::HOST, host);
        }
        let portal = PortalRequest {
            request,
            id: self.id.clone(),
            host: canonical.authority.host.clone(),
            peer: self.client.peer,
            certificate: self.client.certificate.clone(),
            app: app.map(|a| a.id.clone()),
            tls: self.client.tls,
        };
        let answer = self.core.control.portal(portal).await;
        let busy = self.busy.take();
        answer::stamp(answer.map(|body| holding(body, busy)), &self.id)
    }
}
