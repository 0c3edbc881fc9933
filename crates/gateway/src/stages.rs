//! The five stages of a request: accept, identify, decide, forward, record.

use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use futures_util::FutureExt;
use http::{Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use safeconduct_model::{
    Application, Ask, Class, Cut, CutCause, Duration, Mode, Reason, Record, Refusal, Remedy, RequestId, Timestamp, What,
};
use safeconduct_policy::{Denial, Permit, Verdict};
use tokio_util::sync::CancellationToken;

use crate::RESERVED_PREFIX;
use crate::answer::{self, Denied};
use crate::body::{Body, boxed, empty, holding};
use crate::forward::{
    Download, ForwardError, Lease, OwnHeaders, Upload, Uploaded, clean_response, is_websocket_answer, outgoing, tunnel,
};
use crate::gateway::{Core, lasted, micros};
use crate::live::{Entry, LiveKind, interests};
use crate::normal::scan::STAND_IN;
use crate::normal::{self, Authority, CanonicalRequest, Refused, Upgrade};
use crate::ports::{ClientCertificate, Credentials, Identity, PortalRequest, RecordRefused};
use crate::wire::{Busy, Next, WireState};

/// How often a decision is made anew because a signal overtook it.
const ROUNDS: usize = 16;

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

/// A permit with everything that was decided on.
struct Decided {
    permit: Permit,
    ask: Ask,
    lease: Lease,
    receipt: Box<dyn crate::ports::Receipt>,
    now: Timestamp,
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
        if !portal && app.is_none() {
            let nowhere = Refused { status: 404, reason: Reason::UnknownApplication, code: "unknown_host" };
            return self.refuse(&nowhere, None);
        }
        let hardening = app.as_ref().map(|a| a.hardening).unwrap_or_default();
        let canonical = match normal::canonical(&parts, authority, hardening, &self.core.limits, &self.core.cookies) {
            Ok(canonical) => canonical,
            Err(refused) => return self.refuse(&refused, app.as_ref()),
        };
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

    /// Identifies, decides, takes a lease and hands the verdict to the ledger. A decision that a signal overtook does not count.
    fn decide(&self, canonical: &CanonicalRequest, app: &Arc<Application>) -> Result<Box<Decided>, Box<Refusing>> {
        let control = &*self.core.control;
        for _ in 0..ROUNDS {
            let epoch = self.core.live.epoch();
            let (now, snapshot) = (control.now(), control.snapshot());
            let credentials = self.credentials(&canonical.authority, canonical);
            let clock_ok = control.clock_ok();
            let identity = if clock_ok { control.identify(&credentials, &app.id, now) } else { Identity::nobody() };
            let ask = self.ask(canonical, app, identity);
            let started = Instant::now();
            let verdict = match clock_ok {
                true => snapshot.decide(&ask, now),
                false => Verdict::Denial(Denial::plain(Reason::ClockUnreliable, vec![Remedy::Nothing])),
            };
            let took = micros(started);
            let mode = snapshot.application(&app.id).map_or(Mode::Enforce, |a| a.mode);
            let record = Record::Access(Box::new(verdict.record(&ask, now, mode, took)));
            match verdict {
                Verdict::Denial(denial) => {
                    let receipt = control.record(record);
                    return Err(Box::new(Refusing { ask, denial, now, receipt: Some(receipt) }));
                }
                Verdict::Permit(permit) => {
                    let lease = self.lease(canonical, &ask, credentials, &permit, now);
                    if self.core.live.epoch() != epoch {
                        lease.entry().discard();
                        continue;
                    }
                    return match control.record(record) {
                        Ok(receipt) => Ok(Box::new(Decided { permit, ask, lease, receipt, now })),
                        Err(refused) => Err(Box::new(Refusing::unrecorded(ask, now, refused))),
                    };
                }
            }
        }
        let ask = self.ask(canonical, app, Identity::nobody());
        let denial = Denial::plain(Reason::InternalError, vec![Remedy::Nothing]);
        self.core.alarm("a decision was overtaken by signals again and again; it was denied");
        Err(Box::new(Refusing { ask, denial, now: control.now(), receipt: None }))
    }

    fn credentials(&self, authority: &Authority, canonical: &CanonicalRequest) -> Credentials {
        Credentials {
            cookie: canonical.cookie.clone(),
            certificate: self.client.certificate.clone(),
            peer: self.client.peer.ip(),
            host: authority.host.clone(),
        }
    }

    fn ask(&self, canonical: &CanonicalRequest, app: &Application, identity: Identity) -> Ask {
        let two_way = canonical.upgrade == Upgrade::WebSocket;
        Ask {
            request: self.id.clone(),
            what: What {
                app: app.id.clone(),
                action: app.action(&canonical.method, &canonical.path, two_way),
                method: canonical.method.clone(),
                path: canonical.path.clone(),
            },
            place: identity.place(self.client.peer.ip()),
            who: identity.who,
            why: identity.why,
        }
    }

    fn lease(
        &self,
        canonical: &CanonicalRequest,
        ask: &Ask,
        credentials: Credentials,
        permit: &Permit,
        now: Timestamp,
    ) -> Lease {
        let kind = match canonical.upgrade {
            Upgrade::WebSocket => LiveKind::WebSocket,
            Upgrade::None => LiveKind::Exchange,
        };
        let entry = Arc::new(Entry::new(ask.clone(), credentials, Arc::clone(permit.target()), kind, now));
        match (kind, self.client.h1) {
            (LiveKind::WebSocket, _) => {}
            (LiveKind::Exchange, true) => entry.end_with(self.client.cut.clone()),
            // Other streams share the connection: it ends only if this one does not end by itself.
            (LiveKind::Exchange, false) => entry.end_late_with(self.client.cut.clone()),
        }
        let id = self.core.live.register(interests(ask, now, permit.until()), Arc::clone(&entry));
        let core = Arc::clone(self.core);
        Lease::new(entry, move |entry| {
            core.live.remove(id);
            let cut = entry.end();
            // An exchange that ended by itself is told by its verdict; a stream tells its end in any case.
            let streamed = kind == LiveKind::WebSocket && entry.opened();
            let (cause, delay) = match cut {
                Some((cause, since)) => (cause, Some(millis(since))),
                None if streamed => (CutCause::Closed, None),
                None => return,
            };
            let end = end_of(&core, entry, cause, delay);
            core.note(end);
        })
    }

    async fn deny(&self, canonical: &CanonicalRequest, app: &Arc<Application>, refusing: Refusing) -> Answer {
        let Refusing { ask, mut denial, now, receipt } = refusing;
        let recorded = match receipt {
            Some(Ok(receipt)) => receipt.written().await,
            Some(Err(refused)) => Err(refused),
            None => Ok(()),
        };
        if let Err(refused) = recorded {
            tracing::warn!(error = %refused, "a denial could not be recorded");
            denial = Denial::plain(Reason::RecordUnavailable, vec![Remedy::Nothing]);
        }
        let denied = Denied { app, ask: &ask, denial: &denial, now, scheme: self.client.scheme() };
        denied.answer(&*self.core.control, canonical)
    }

    async fn forward(
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
                assertion: self.core.signer.as_ref().and_then(|s| s.assert(&ask, now)),
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

/// A denial on its way to the client.
struct Refusing {
    ask: Ask,
    denial: Denial,
    now: Timestamp,
    /// `None` if the verdict itself could not be recorded and the denial says so.
    receipt: Option<Result<Box<dyn crate::ports::Receipt>, RecordRefused>>,
}

impl Refusing {
    /// The permit could not be recorded: no record, no access.
    fn unrecorded(ask: Ask, now: Timestamp, refused: RecordRefused) -> Self {
        let denial = Denial::plain(Reason::RecordUnavailable, vec![Remedy::Nothing]);
        Self { ask, denial, now, receipt: Some(Err(refused)) }
    }
}

fn end_of(core: &Core, entry: &Entry, cause: CutCause, delay: Option<Duration>) -> Record {
    Record::Cut(Cut {
        request: entry.ask.request.clone(),
        principal: entry.ask.who.principal.clone(),
        app: entry.target.id.clone(),
        cause,
        lasted: lasted(&*core.control, entry.since),
        delay,
    })
}

fn millis(since: Instant) -> Duration {
    Duration::from_millis(u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX))
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
