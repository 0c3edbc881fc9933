//! One request on its way, from its canonical head to a permit with its lease or to a denial that explains itself. Both front
//! ends, HTTP/1.1 and HTTP/2, come here.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use http::{Request, Response, Version};
use safeconduct_http::{Authority, Head, Refused, Upgrade};
use safeconduct_model::{
    Application, Ask, CutCause, Mode, Reason, Record, Refusal, Remedy, RequestId, Timestamp, What,
};
use safeconduct_policy::{Denial, Verdict};

use crate::RESERVED_PREFIX;
use crate::answer::{self, Denied};
use crate::body::Body;
use crate::gateway::{Core, micros};
use crate::lease::Lease;
use crate::live::{About, LiveKind};
use crate::ports::{ClientCertificate, CookieToken, Credentials, Identity, PortalRequest, Receipt, RecordRefused};
use crate::span::Told;
use crate::standing::{Fits, Given, Standing};
use crate::trace::{Outcome, Trace};
use crate::upstream::ForwardError;
use crate::worker::Worker;

/// How often a decision is made anew because a signal overtook it.
const ROUNDS: usize = 16;
/// How many standings a connection remembers.
const REMEMBERED: usize = 4;

/// What is known about a connection.
pub(crate) struct Client {
    pub(crate) peer: SocketAddr,
    /// The address as text.
    pub(crate) address: String,
    pub(crate) certificate: Option<ClientCertificate>,
    pub(crate) tls: bool,
}

impl Client {
    pub(crate) fn new(peer: SocketAddr) -> Self {
        Self { peer, address: peer.ip().to_string(), certificate: None, tls: false }
    }

    /// The same connection, once more.
    pub(crate) fn of_connection(&self) -> Self {
        Self { peer: self.peer, address: self.address.clone(), certificate: self.certificate.clone(), tls: self.tls }
    }

    pub(crate) fn scheme(&self) -> &'static str {
        if self.tls { "https" } else { "http" }
    }
}

impl Client {
    /// The client of one request, where a trusted hop speaks for several; nothing where the connection is the client's own.
    pub(crate) fn behind(&self, head: &Head, core: &Core) -> Result<Option<Self>, Refused> {
        if core.hops.trusted.is_empty() {
            return Ok(None);
        }
        let ip = core.hops.behind(self.peer.ip(), head.raw("x-forwarded-for"));
        let ip = ip.map_err(|_| Refused::bad("forwarded_for"))?;
        let other = || Self {
            peer: SocketAddr::new(ip, 0),
            address: ip.to_string(),
            certificate: self.certificate.clone(),
            tls: self.tls,
        };
        Ok((ip != self.peer.ip()).then(other))
    }

    /// The trace that a request belongs to, unless it is one of its own that nobody collects.
    pub(crate) fn trace(&self, id: &RequestId, head: &Head, core: &Core) -> Option<Trace> {
        let every = core.spans.as_ref().map_or(0, |s| s.every);
        let trusted = core.hops.trusts(self.peer.ip());
        if every == 0 && !trusted {
            return None;
        }
        Trace::of(id, trusted, head.raw("traceparent"), head.raw("tracestate"), every)
    }
}

/// What a connection remembers of its requests, so that the next one of the same kind need not look it up.
#[derive(Default)]
pub(crate) struct Memory {
    host: Vec<u8>,
    known: Option<(Authority, Arc<str>)>,
    standings: Vec<Arc<Standing>>,
}

/// A permit with everything that was decided on.
pub(crate) struct Decided {
    pub(crate) lease: Lease,
    pub(crate) receipt: Box<dyn Receipt>,
}

/// A denial on its way to the client.
pub(crate) struct Refusing {
    ask: Ask,
    denial: Denial,
    now: Timestamp,
    /// `None` if the verdict itself could not be recorded and the denial says so.
    receipt: Option<Result<Box<dyn Receipt>, RecordRefused>>,
}

impl Refusing {
    /// The permit could not be recorded: no record, no access.
    pub(crate) fn unrecorded(lease: &Lease, refused: RecordRefused) -> Self {
        let mut ask = (*lease.standing.ask()).clone();
        let about = &lease.entry().about;
        ask.request = about.request.clone();
        ask.what.method = about.method.to_string();
        ask.what.path = about.path.to_string();
        let denial = Denial::plain(Reason::RecordUnavailable, vec![Remedy::Nothing]);
        Self { ask, denial, now: about.since, receipt: Some(Err(refused)) }
    }
}

/// Where a request goes.
pub(crate) enum Route {
    /// To an application.
    Application(Arc<Application>),
    /// To an application that is reached by tunnels alone, at the door for them.
    Tunnel(Arc<Application>),
    /// To ourselves; the application on whose host it is, if it is one.
    Portal(Option<Arc<Application>>),
}

impl Route {
    /// The application that answers, if one does.
    pub(crate) fn application(&self) -> Option<&Arc<Application>> {
        match self {
            Self::Application(app) | Self::Tunnel(app) => Some(app),
            Self::Portal(_) => None,
        }
    }
}

/// Where a request goes, the host that it came for, and that as text.
type Routed = (Route, Authority, Arc<str>);

/// One request on its way.
pub(crate) struct Exchange<'a> {
    pub(crate) worker: &'a Arc<Worker>,
    pub(crate) client: &'a Client,
    pub(crate) id: RequestId,
}

impl Exchange<'_> {
    fn core(&self) -> &Arc<Core> {
        &self.worker.core
    }

    /// Finds out where a request goes and makes it canonical. The text is the canonical authority.
    pub(crate) fn route(
        &self,
        head: &mut Head,
        memory: &mut Memory,
    ) -> Result<Routed, (Refused, Option<Arc<Application>>)> {
        let core = self.core();
        let nothing = |refused| (refused, None);
        let (authority, text) = memory.authority(head).map_err(nothing)?;
        let snapshot = core.control.snapshot();
        let portal = core.control.is_portal(&authority.host);
        let app = if portal { None } else { core.routes.find(&snapshot, &authority.host) };
        // What is reached by tunnels alone is nowhere for every other request.
        let app = app.filter(|a| !a.is_tcp() || head.raw_path() == crate::tunnel::PATH);
        if !portal && app.is_none() {
            let nowhere = Refused { status: 404, reason: Reason::UnknownApplication, code: "unknown_host" };
            return Err((nowhere, None));
        }
        let opt_outs = app.as_ref().map(|a| a.opt_outs()).unwrap_or_default();
        if let Err(refused) = head.settle(opt_outs, &core.cookies, &core.bounds) {
            return Err((refused, app));
        }
        let route = match app {
            Some(app) if app.is_tcp() => Route::Tunnel(app),
            Some(app) if !head.path().starts_with(RESERVED_PREFIX) => Route::Application(app),
            app => Route::Portal(app),
        };
        Ok((route, authority, text))
    }

    /// Identifies, decides, takes a lease and hands the verdict to the ledger. A decision that a signal overtook does not count.
    pub(crate) fn decide(
        &self,
        head: &Head,
        authority: &Authority,
        app: &Arc<Application>,
        memory: &mut Memory,
    ) -> Result<Decided, Box<Refusing>> {
        let (core, control) = (self.core(), &*self.core().control);
        let (method, path) = (head.method(), head.path());
        let two_way = head.upgrade() == Upgrade::WebSocket;
        let action = app.action(method, path, two_way);
        let kind = if two_way { LiveKind::WebSocket } else { LiveKind::Exchange };
        for _ in 0..ROUNDS {
            let epoch = core.live.epoch();
            let (now, clock_ok) = control.reading();
            let about =
                About { request: self.id.clone(), method: method_text(method), path: path.into(), kind, since: now };
            let asked = Fits {
                epoch,
                now,
                cookie: head.session(),
                certificate: self.client.certificate.as_ref(),
                peer: self.client.peer.ip(),
                host: &authority.host,
                app,
                action,
                method,
                path,
            };
            if clock_ok && let Some(standing) = memory.standing(&asked).or_else(|| self.worker.standing(&asked)) {
                core.metrics.standing(true);
                memory.remember(&standing);
                match self.take(standing, about, epoch, 0) {
                    Some(taken) => return taken,
                    None => continue,
                }
            }
            let snapshot = control.snapshot();
            let credentials = self.credentials(head, authority);
            let identity = if clock_ok { control.identify(&credentials, &app.id, now) } else { Identity::nobody() };
            let ask = self.ask(head, app, action, identity);
            let started = Instant::now();
            let verdict = match clock_ok {
                true => snapshot.decide(&ask, now),
                false => Verdict::Denial(Denial::plain(Reason::ClockUnreliable, vec![Remedy::Nothing])),
            };
            let took = micros(started);
            core.metrics.decided(started.elapsed());
            let mode = snapshot.application(&app.id).map_or(Mode::Enforce, |a| a.mode);
            let record = verdict.record(&ask, now, mode, took);
            match verdict {
                Verdict::Denial(denial) => {
                    core.metrics.app(&app.id).denied(denial.reason);
                    let receipt = control.record(Record::Access(Box::new(record)));
                    return Err(Box::new(Refusing { ask, denial, now, receipt: Some(receipt) }));
                }
                Verdict::Permit(permit) => {
                    core.metrics.standing(false);
                    let assertion = core.signer.as_ref().and_then(|s| s.assert(&ask, permit.obligations(), now));
                    let metrics = core.metrics.app(&app.id);
                    let given =
                        Given { metrics, permit: &permit, ask, credentials, access: record, assertion, epoch, now };
                    let standing = Standing::register(&core.live, given);
                    self.worker.keep(&standing, epoch, now);
                    memory.remember(&standing);
                    match self.take(standing, about, epoch, took) {
                        Some(taken) => return taken,
                        None => continue,
                    }
                }
            }
        }
        let ask = self.ask(head, app, action, Identity::nobody());
        let denial = Denial::plain(Reason::InternalError, vec![Remedy::Nothing]);
        core.alarm("a decision was overtaken by signals again and again; it was denied");
        Err(Box::new(Refusing { ask, denial, now: control.now(), receipt: None }))
    }

    /// Lets the exchange rest on a standing and records the verdict; nothing if a signal overtook the decision.
    fn take(
        &self,
        standing: Arc<Standing>,
        about: About,
        epoch: u64,
        took_us: u32,
    ) -> Option<Result<Decided, Box<Refusing>>> {
        let core = self.core();
        let entry = standing.attach(about);
        let lease = Lease::new(Arc::clone(core), standing, entry);
        let control = &*core.control;
        if core.live.epoch() != epoch {
            lease.discard();
            return None;
        }
        Some(match lease.standing.record(control, &lease.entry().about, took_us) {
            Ok(receipt) => Ok(Decided { lease, receipt }),
            Err(refused) => {
                let refusing = Refusing::unrecorded(&lease, refused);
                lease.discard();
                Err(Box::new(refusing))
            }
        })
    }

    fn credentials(&self, head: &Head, authority: &Authority) -> Credentials {
        Credentials {
            cookie: head.session().map(CookieToken::new),
            token: None,
            certificate: self.client.certificate.clone(),
            peer: self.client.peer.ip(),
            host: authority.host.clone(),
        }
    }

    fn ask(&self, head: &Head, app: &Application, action: safeconduct_model::Action, identity: Identity) -> Ask {
        Ask {
            request: self.id.clone(),
            what: What { app: app.id.clone(), action, method: head.method().to_owned(), path: head.path().to_owned() },
            place: identity.place(self.client.peer.ip()),
            who: identity.who,
            why: identity.why,
            lock: identity.lock,
        }
    }

    /// The answer to a denied request, once the denial is recorded.
    pub(crate) async fn deny(
        &self,
        head: &Head,
        authority: &str,
        app: &Arc<Application>,
        refusing: Refusing,
    ) -> Response<Body> {
        let Refusing { ask, mut denial, now, receipt } = refusing;
        let recorded = match receipt {
            Some(Ok(mut receipt)) => receipt.written().await,
            Some(Err(refused)) => Err(refused),
            None => Ok(()),
        };
        if let Err(refused) = recorded {
            tracing::warn!(error = %refused, "a denial could not be recorded");
            denial = Denial::plain(Reason::RecordUnavailable, vec![Remedy::Nothing]);
        }
        let denied = Denied { app, ask: &ask, denial: &denial, now, scheme: self.client.scheme(), authority };
        denied.answer(&*self.core().control, head)
    }

    /// The answer to a request that could not be read in one way.
    pub(crate) fn refuse(&self, refused: &Refused, app: Option<&Arc<Application>>) -> Response<Body> {
        self.core().metrics.refused(refused.code);
        self.core().note(Record::Refusal(Refusal {
            request: self.id.clone(),
            ip: self.client.peer.ip(),
            reason: refused.reason,
            detail: refused.code.into(),
            app: app.map(|a| a.id.clone()),
        }));
        answer::refusal(&self.id, refused.status, refused.reason)
    }

    /// The answer when the application, the client or the lease failed before there was a head.
    pub(crate) fn failed(&self, head: &Head, lease: &Lease, error: &ForwardError) -> Response<Body> {
        let app = &lease.standing.target;
        if let ForwardError::Client(broken) = error {
            return self.refuse(broken, Some(app));
        }
        let (status, reason) = match error {
            ForwardError::Lost => (403, Reason::Forbidden),
            ForwardError::Site(no) => no.status(),
            ForwardError::NoWebSocket => (502, Reason::UpstreamNoWebsocket),
            ForwardError::ConnectTimeout | ForwardError::FirstByteTimeout => (504, Reason::UpstreamTimeout),
            _ => (502, Reason::UpstreamUnavailable),
        };
        if !matches!(error, ForwardError::Lost) {
            tracing::info!(app = %app.id, request = %self.id, %error, "the upstream failed");
            self.core().note(lease.end_record(CutCause::UpstreamFailed, None));
        }
        let told = answer::problem(&*self.core().control, Some(head), &self.id, status, reason, Some(&app.id));
        match error {
            ForwardError::Lost => Told::put(told, Outcome::Denied, reason),
            _ => told,
        }
    }

    /// The request as the portal gets it: its own cookies, in the order of arrival, and nothing that a proxy would set.
    pub(crate) fn portal_request(
        &self,
        head: &Head,
        authority: &Authority,
        text: &str,
        app: Option<&Arc<Application>>,
        body: Body,
    ) -> Result<PortalRequest, Refused> {
        let mut request = Request::new(body);
        let bad = |_| Refused::bad("target");
        *request.method_mut() =
            http::Method::from_bytes(head.method().as_bytes()).map_err(|_| Refused::bad("method"))?;
        *request.uri_mut() = head.path_and_query().parse().map_err(bad)?;
        *request.version_mut() = Version::HTTP_11;
        let fields = request.headers_mut();
        use safeconduct_http::names::Name;
        for (name, value, kind) in head.raw_fields() {
            let kept = matches!(kind, Name::EndToEnd | Name::Cookie | Name::ContentLength | Name::Expect);
            if kept
                && let Ok(name) = http::HeaderName::from_bytes(name.as_bytes())
                && let Ok(value) = http::HeaderValue::from_bytes(value)
            {
                fields.append(name, value);
            }
        }
        if let Ok(host) = http::HeaderValue::from_str(text) {
            fields.insert(http::header::HOST, host);
        }
        Ok(PortalRequest {
            request,
            id: self.id.clone(),
            host: authority.host.clone(),
            peer: self.client.peer,
            certificate: self.client.certificate.clone(),
            app: app.map(|a| a.id.clone()),
            tls: self.client.tls,
        })
    }
}

impl Memory {
    /// The authority of a request, and its text.
    fn authority(&mut self, head: &Head) -> Result<(Authority, Arc<str>), Refused> {
        let raw = head.raw_host();
        if let Some(known) = &self.known
            && !head.names_host_twice()
            && self.host == raw
        {
            return Ok(known.clone());
        }
        let authority = head.authority()?;
        let text: Arc<str> = authority.to_string().into();
        self.host.clear();
        self.host.extend_from_slice(raw);
        Ok(self.known.insert((authority, text)).clone())
    }

    fn standing(&self, asked: &Fits<'_>) -> Option<Arc<Standing>> {
        self.standings.iter().find(|s| s.fits(asked)).cloned()
    }

    fn remember(&mut self, standing: &Arc<Standing>) {
        if self.standings.iter().any(|s| Arc::ptr_eq(s, standing)) {
            return;
        }
        if self.standings.len() >= REMEMBERED {
            self.standings.remove(0);
        }
        self.standings.push(Arc::clone(standing));
    }
}

/// The usual methods are not copied.
fn method_text(method: &str) -> Arc<str> {
    thread_local! {
        static GET: Arc<str> = "GET".into();
        static POST: Arc<str> = "POST".into();
    }
    match method {
        "GET" => GET.with(Arc::clone),
        "POST" => POST.with(Arc::clone),
        other => other.into(),
    }
}
