//! From a knock to an open tunnel: prove, identify, decide, lease, record, dial.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use http::header::{self, HeaderValue};
use http::{Response, StatusCode};
use safeconduct_model::{Ask, Class, CutCause, Mode, Reason, Record, Refusal, Remedy, TCP_SCHEME, What};
use safeconduct_policy::{Denial, Permit, Verdict};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

use super::relay::{Carrier, relay};
use super::token::{BoundToken, TokenRefused, TokenShown, shown};
use super::{ASKED_PATH, Knock, METHOD};
use crate::answer;
use crate::body::Body;
use crate::gateway::{Core, micros};
use crate::lease::Lease;
use crate::live::{About, Entry, LiveKind};
use crate::ports::{Credentials, Identity, Receipt};
use crate::standing::{Given, Standing};

/// How often a decision is made anew because a signal overtook it.
const ROUNDS: usize = 16;
/// What a program is told that showed no token, or none that counts.
const CHALLENGE: &str = "DPoP algs=\"ES256\"";
const CHALLENGE_INVALID: &str = "DPoP error=\"invalid_token\", algs=\"ES256\"";

/// A tunnel whose upstream is connected, and which waits for the client's side.
pub(crate) struct Opened {
    core: Arc<Core>,
    lease: Lease,
    upstream: TcpStream,
    _place: OwnedSemaphorePermit,
}

impl Opened {
    /// The live connection.
    pub(crate) fn entry(&self) -> &Arc<Entry> {
        self.lease.entry()
    }

    /// Carries bytes until the tunnel ends. Dropping the lease at the end records how.
    pub(crate) async fn carry<C: Carrier + 'static>(self, client: C) {
        let Self { core, lease, upstream, _place } = self;
        let entry = Arc::clone(lease.entry());
        let ended = relay(client, upstream, lease, core.limits.tunnel_idle).await;
        let (up, down) = (entry.up.load(Ordering::Relaxed), entry.down.load(Ordering::Relaxed));
        tracing::debug!(request = %entry.about.request, ?ended, up, down, "a tunnel ended");
    }
}

/// A permit with its lease, recorded or about to be.
struct Decided {
    permit: Permit,
    lease: Lease,
    receipt: Box<dyn Receipt>,
}

/// Opens a tunnel, or answers why not. Whatever the answer is, it was recorded.
pub(super) async fn open(core: &Arc<Core>, knock: &Knock<'_>) -> Result<Opened, Response<Body>> {
    if !knock.client.tls || !knock.app.is_tcp() {
        return Err(refuse(core, knock, 404, Reason::UnknownApplication, "no_tunnel"));
    }
    let token = match prove(core, knock) {
        Ok(token) => token,
        Err(TokenRefused(code)) => return Err(unproven(core, knock, code)),
    };
    let Ok(place) = Arc::clone(&core.tunnels).try_acquire_owned() else {
        return Err(refuse(core, knock, 503, Reason::LimitReached, "too_many_tunnels"));
    };
    let Decided { permit, lease, mut receipt } = match decide(core, knock, token.as_ref()) {
        Ok(decided) => *decided,
        Err(denial) => return Err(deny(knock, *denial).await),
    };
    // No record, no access: nothing is dialled before the record is kept.
    let recorded = match permit.target().class == Class::Critical {
        true => receipt.durable().await,
        false => receipt.written().await,
    };
    if let Err(refused) = recorded {
        tracing::warn!(error = %refused, "a tunnel could not be recorded");
        let denial = Denial::plain(Reason::RecordUnavailable, vec![Remedy::Nothing]);
        return Err(told(knock, &denial));
    }
    let dialled = tokio::select! {
        biased;
        () = lease.entry().lost() => Err((403, Reason::Forbidden)),
        dialled = timeout(core.limits.connect, dial(&permit)) => match dialled {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(error)) => {
                tracing::info!(app = %knock.app.id, request = %knock.id, %error, "the upstream took no tunnel");
                Err((502, Reason::UpstreamUnavailable))
            }
            Err(_) => Err((504, Reason::UpstreamTimeout)),
        },
    };
    match dialled {
        Ok(upstream) => Ok(Opened { core: Arc::clone(core), lease, upstream, _place: place }),
        Err((status, reason)) => {
            if status != 403 {
                core.note(lease.end_record(CutCause::UpstreamFailed, None));
            }
            Err(answer::refusal(knock.id, status, reason))
        }
    }
}

/// Connects to the target of the permit. There is no other way to dial for a tunnel.
async fn dial(permit: &Permit) -> std::io::Result<TcpStream> {
    let upstream = &permit.target().upstream;
    let address = upstream.strip_prefix(TCP_SCHEME).ok_or(std::io::ErrorKind::InvalidInput)?;
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// The token that was shown, proven once. A proof is used up by this, so it is not asked for again when a signal overtakes the
/// decision.
fn prove(core: &Core, knock: &Knock<'_>) -> Result<Option<BoundToken>, TokenRefused> {
    let Some((token, proof)) = shown(knock.headers)? else { return Ok(None) };
    let uri = knock.uri();
    let peer = knock.client.peer.ip();
    let shown = TokenShown { token, proof, method: knock.method, uri: &uri, app: &knock.app.id, peer };
    core.control.prove_token(&shown, core.control.now()).map(Some)
}

/// Identifies, decides, takes a lease and hands the verdict to the ledger. A decision that a signal overtook does not count.
fn decide(core: &Arc<Core>, knock: &Knock<'_>, token: Option<&BoundToken>) -> Result<Box<Decided>, Box<Recorded>> {
    let control = &*core.control;
    for _ in 0..ROUNDS {
        let epoch = core.live.epoch();
        let (now, snapshot) = (control.now(), control.snapshot());
        let credentials = Credentials {
            cookie: None,
            token: token.cloned(),
            certificate: knock.client.certificate.clone(),
            peer: knock.client.peer.ip(),
            host: knock.authority.host.clone(),
        };
        let clock_ok = control.clock_ok();
        let identity = if clock_ok { control.identify(&credentials, &knock.app.id, now) } else { Identity::nobody() };
        let ask = ask(knock, identity);
        let started = Instant::now();
        let verdict = match clock_ok {
            true => snapshot.decide(&ask, now),
            false => Verdict::Denial(Denial::plain(Reason::ClockUnreliable, vec![Remedy::Nothing])),
        };
        let took = micros(started);
        let mode = snapshot.application(&knock.app.id).map_or(Mode::Enforce, |a| a.mode);
        core.metrics.decided(started.elapsed());
        let access = verdict.record(&ask, now, mode, took);
        let permit = match verdict {
            Verdict::Permit(permit) => permit,
            Verdict::Denial(denial) => {
                core.metrics.app(&knock.app.id).denied(denial.reason);
                return Err(Box::new(Recorded {
                    denial,
                    receipt: control.record(Record::Access(Box::new(access))).ok(),
                }));
            }
        };
        let metrics = core.metrics.app(&knock.app.id);
        let given = Given { metrics, permit: &permit, ask, credentials, access, assertion: None, epoch, now };
        let lease = lease(core, knock, given);
        if core.live.epoch() != epoch {
            lease.discard();
            continue;
        }
        return match lease.standing.record(control, &lease.entry().about, took) {
            Ok(receipt) => Ok(Box::new(Decided { permit, lease, receipt })),
            Err(_) => {
                lease.discard();
                let denial = Denial::plain(Reason::RecordUnavailable, vec![Remedy::Nothing]);
                Err(Box::new(Recorded { denial, receipt: None }))
            }
        };
    }
    core.alarm("the decision about a tunnel was overtaken by signals again and again; it was denied");
    let denial = Denial::plain(Reason::InternalError, vec![Remedy::Nothing]);
    Err(Box::new(Recorded { denial, receipt: None }))
}

/// A tunnel goes both ways, so it counts as writing unless the application says otherwise.
fn ask(knock: &Knock<'_>, identity: Identity) -> Ask {
    Ask {
        request: knock.id.clone(),
        what: What {
            app: knock.app.id.clone(),
            action: knock.app.action(METHOD, ASKED_PATH, true),
            method: METHOD.to_owned(),
            path: ASKED_PATH.to_owned(),
        },
        place: identity.place(knock.client.peer.ip()),
        who: identity.who,
        why: identity.why,
        lock: identity.lock,
    }
}

/// A tunnel rests on a standing of its own: the proof was for this one alone.
fn lease(core: &Arc<Core>, knock: &Knock<'_>, given: Given<'_>) -> Lease {
    let about = About {
        request: knock.id.clone(),
        method: METHOD.into(),
        path: ASKED_PATH.into(),
        kind: LiveKind::Tunnel,
        since: given.now,
    };
    let standing = Standing::register(&core.live, given);
    let entry = standing.attach(about);
    Lease::new(Arc::clone(core), standing, entry)
}

/// A denial, and the promise that it is recorded; without the promise it is a failure of the ledger.
struct Recorded {
    denial: Denial,
    receipt: Option<Box<dyn Receipt>>,
}

async fn deny(knock: &Knock<'_>, recorded: Recorded) -> Response<Body> {
    let written = match recorded.receipt {
        Some(mut receipt) => receipt.written().await.is_ok(),
        None => false,
    };
    if !written {
        tracing::warn!("a denial of a tunnel could not be recorded");
        let own = matches!(recorded.denial.reason, Reason::InternalError | Reason::RecordUnavailable);
        let denial = Denial::plain(Reason::RecordUnavailable, vec![Remedy::Nothing]);
        return told(knock, if own { &recorded.denial } else { &denial });
    }
    told(knock, &recorded.denial)
}

fn told(knock: &Knock<'_>, denial: &Denial) -> Response<Body> {
    let status = match denial.reason {
        Reason::SignInRequired => StatusCode::UNAUTHORIZED,
        Reason::RecordUnavailable | Reason::ClockUnreliable => StatusCode::SERVICE_UNAVAILABLE,
        Reason::InternalError => StatusCode::INTERNAL_SERVER_ERROR,
        _ => StatusCode::FORBIDDEN,
    };
    let mut response = answer::json(status, denial, knock.id);
    if status == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(CHALLENGE));
    }
    response
}

/// A token that does not count. The record has the reason, the program learns that it must sign in or refresh.
fn unproven(core: &Core, knock: &Knock<'_>, code: &'static str) -> Response<Body> {
    note_refusal(core, knock, Reason::SignInRequired, code);
    let denial = Denial::plain(Reason::SignInRequired, vec![Remedy::SignIn]);
    let mut response = answer::json(StatusCode::UNAUTHORIZED, &denial, knock.id);
    response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(CHALLENGE_INVALID));
    response
}

fn refuse(core: &Core, knock: &Knock<'_>, status: u16, reason: Reason, code: &'static str) -> Response<Body> {
    note_refusal(core, knock, reason, code);
    answer::refusal(knock.id, status, reason)
}

fn note_refusal(core: &Core, knock: &Knock<'_>, reason: Reason, code: &'static str) {
    core.note(Record::Refusal(Refusal {
        request: knock.id.clone(),
        ip: knock.client.peer.ip(),
        reason,
        detail: code.into(),
        app: Some(knock.app.id.clone()),
    }));
}
