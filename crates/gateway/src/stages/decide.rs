//! Identify, decide, record: from a canonical request to a permit with its lease, or to a denial that explains itself.

use std::sync::Arc;
use std::time::Instant;

use safeconduct_model::{Application, Ask, Cut, CutCause, Duration, Mode, Reason, Record, Remedy, Timestamp, What};
use safeconduct_policy::{Denial, Permit, Verdict};

use super::{Answer, Exchange};
use crate::answer::Denied;
use crate::forward::Lease;
use crate::gateway::{Core, lasted, micros};
use crate::live::{Entry, LiveKind, interests};
use crate::normal::{Authority, CanonicalRequest, Upgrade};
use crate::ports::{Credentials, Identity, Receipt, RecordRefused};

/// How often a decision is made anew because a signal overtook it.
const ROUNDS: usize = 16;

/// A permit with everything that was decided on.
pub(super) struct Decided {
    pub(super) permit: Permit,
    pub(super) ask: Ask,
    pub(super) lease: Lease,
    pub(super) receipt: Box<dyn Receipt>,
    pub(super) now: Timestamp,
}

/// A denial on its way to the client.
pub(super) struct Refusing {
    ask: Ask,
    denial: Denial,
    now: Timestamp,
    /// `None` if the verdict itself could not be recorded and the denial says so.
    receipt: Option<Result<Box<dyn Receipt>, RecordRefused>>,
}

impl Refusing {
    /// The permit could not be recorded: no record, no access.
    pub(super) fn unrecorded(ask: Ask, now: Timestamp, refused: RecordRefused) -> Self {
        let denial = Denial::plain(Reason::RecordUnavailable, vec![Remedy::Nothing]);
        Self { ask, denial, now, receipt: Some(Err(refused)) }
    }
}

impl Exchange<'_> {
    /// Identifies, decides, takes a lease and hands the verdict to the ledger. A decision that a signal overtook does not count.
    pub(super) fn decide(
        &self,
        canonical: &CanonicalRequest,
        app: &Arc<Application>,
    ) -> Result<Box<Decided>, Box<Refusing>> {
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
            token: None,
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
            (LiveKind::WebSocket | LiveKind::Tunnel, _) => {}
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

    pub(super) async fn deny(
        &self,
        canonical: &CanonicalRequest,
        app: &Arc<Application>,
        refusing: Refusing,
    ) -> Answer {
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
}

/// The record of an end.
pub(super) fn end_of(core: &Core, entry: &Entry, cause: CutCause, delay: Option<Duration>) -> Record {
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
