//! Judge: a request that stands at another gateway. The same canonical form, the same identity, the same decision and the same
//! record as for our own, but nothing is forwarded and nothing lives on: the other gateway asks again for each request.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use http_body_util::BodyExt;
use safeconduct_http::{Authority, Head, Refused, Upgrade};
use safeconduct_model::{Application, Ask, Class, Mode, Reason, Record, Refusal, Remedy, RequestId, What};
use safeconduct_policy::{Denial, Verdict};

use crate::RESERVED_PREFIX;
use crate::answer::{Denied, is_page_load};
use crate::body::Body;
use crate::gateway::{Core, Gateway, micros};
use crate::ports::{CookieToken, Credentials, Identity, RecordRefused};

/// A request that stands at another gateway, as that gateway tells it. Whoever hands it in has authenticated that gateway.
pub struct Elsewhere {
    /// Method, target with the path as the client sent it, and fields, `Host` among them.
    pub head: Parts,
    /// The address of the client.
    pub client: IpAddr,
    /// Whether the client came over TLS.
    pub tls: bool,
}

/// What the other gateway is told. It was recorded before.
#[derive(Debug)]
pub enum Judgement {
    /// The request may pass, with these fields instead of any of the same names.
    Allowed {
        /// What the application is told about the asker.
        headers: Vec<(&'static str, HeaderValue)>,
    },
    /// It may not.
    Denied {
        /// 401, 403 or another error.
        status: StatusCode,
        /// Why.
        reason: Reason,
        /// Where to sign in, if that would help and a person looks at the answer.
        sign_in: Option<String>,
        /// The fields of an answer that explains it.
        headers: HeaderMap,
        /// The explanation: a page for a person, JSON for a program.
        body: Bytes,
    },
}

impl Gateway {
    /// Identifies, decides and records a request that stands at another gateway.
    pub async fn judge(&self, elsewhere: Elsewhere) -> Judgement {
        let core = &self.core;
        let case = Case {
            core,
            id: core.control.new_request_id(),
            client: elsewhere.client.to_canonical(),
            tls: elsewhere.tls,
        };
        let mut head = Head::default();
        match case.canonical(&elsewhere.head, &mut head) {
            Ok((authority, app)) => case.decide(&head, &authority, &app).await,
            Err(refused) => case.refuse(&refused),
        }
    }
}

struct Case<'a> {
    core: &'a Core,
    id: RequestId,
    client: IpAddr,
    tls: bool,
}

impl Case<'_> {
    fn canonical(&self, parts: &Parts, head: &mut Head) -> Result<(Authority, Arc<Application>), Refused> {
        let nowhere = Refused { status: 404, reason: Reason::UnknownApplication, code: "unknown_host" };
        let (core, control) = (self.core, &*self.core.control);
        head.read_elsewhere(parts, &core.bounds)?;
        let authority = head.authority()?;
        let snapshot = control.snapshot();
        if control.is_portal(&authority.host) {
            return Err(nowhere);
        }
        let app = core.routes.find(&snapshot, &authority.host).filter(|a| !a.is_tcp()).ok_or(nowhere.clone())?;
        head.settle(app.opt_outs(), &core.cookies, &core.bounds)?;
        // The other gateway forwards the path as it came: what was not decided on must not be what is forwarded.
        if head.path() != head.raw_path() {
            return Err(Refused::bad("path_not_canonical"));
        }
        if head.path().starts_with(RESERVED_PREFIX) {
            return Err(nowhere);
        }
        Ok((authority, app))
    }

    async fn decide(&self, head: &Head, authority: &Authority, app: &Arc<Application>) -> Judgement {
        let control = &*self.core.control;
        let (now, snapshot, clock_ok) = (control.now(), control.snapshot(), control.clock_ok());
        let credentials = Credentials {
            cookie: head.session().map(CookieToken::new),
            token: None,
            certificate: None,
            peer: self.client,
            host: authority.host.clone(),
        };
        let identity = if clock_ok { control.identify(&credentials, &app.id, now) } else { Identity::nobody() };
        let ask = self.ask(head, app, identity);
        let started = Instant::now();
        let verdict = match clock_ok {
            true => snapshot.decide(&ask, now),
            false => Verdict::Denial(Denial::plain(Reason::ClockUnreliable, vec![Remedy::Nothing])),
        };
        let mode = snapshot.application(&app.id).map_or(Mode::Enforce, |a| a.mode);
        let record = Record::Access(Box::new(verdict.record(&ask, now, mode, micros(started))));
        let recorded = self.keep(record, app.class == Class::Critical && verdict.is_permit()).await;
        let denial = match (recorded, verdict) {
            (Ok(()), Verdict::Permit(permit)) => {
                let assertion = self.core.signer.as_ref().and_then(|s| s.assert(&ask, permit.obligations(), now));
                // The cookies of the application alone: the secret of the session is none of its business.
                let cookies = head.cookies().map(str::to_owned);
                let id = Some(self.id.to_string());
                let fields = [("x-safeconduct-assertion", assertion), ("x-request-id", id), ("cookie", cookies)];
                let value = |(name, text): (_, Option<String>)| Some((name, HeaderValue::from_str(&text?).ok()?));
                return Judgement::Allowed { headers: fields.into_iter().filter_map(value).collect() };
            }
            (Ok(()), Verdict::Denial(denial)) => denial,
            (Err(refused), _) => {
                tracing::warn!(error = %refused, "a verdict for another gateway could not be recorded");
                Denial::plain(Reason::RecordUnavailable, vec![Remedy::Nothing])
            }
        };
        let scheme = if self.tls { "https" } else { "http" };
        let page = is_page_load(head);
        let sign_in = (page && denial.reason == Reason::SignInRequired).then(|| {
            let return_to = format!("{scheme}://{authority}{}", head.path_and_query());
            control.sign_in_url(&app.id, &return_to)
        });
        let text = authority.to_string();
        let answer = Denied { app, ask: &ask, denial: &denial, now, scheme, authority: &text }.answer(control, head);
        self.denied(denial.reason, sign_in, answer).await
    }

    /// The same reasons of the verdict as at our own door.
    fn ask(&self, head: &Head, app: &Application, identity: Identity) -> Ask {
        let two_way = head.upgrade() == Upgrade::WebSocket;
        Ask {
            request: self.id.clone(),
            what: What {
                app: app.id.clone(),
                action: app.action(head.method(), head.path(), two_way),
                method: head.method().to_owned(),
                path: head.path().to_owned(),
            },
            place: identity.place(self.client),
            who: identity.who,
            why: identity.why,
            lock: identity.lock,
        }
    }

    async fn keep(&self, record: Record, durable: bool) -> Result<(), RecordRefused> {
        let mut receipt = self.core.control.record(record)?;
        if durable { receipt.durable().await } else { receipt.written().await }
    }

    fn refuse(&self, refused: &Refused) -> Judgement {
        self.core.note(Record::Refusal(Refusal {
            request: self.id.clone(),
            ip: self.client,
            reason: refused.reason,
            detail: refused.code.into(),
            app: None,
        }));
        let answer = crate::answer::refusal(&self.id, refused.status, refused.reason);
        // There is nothing that waits in this body.
        let (head, _) = answer.into_parts();
        let body = serde_json::json!({ "error": { "code": refused.reason, "words": refused.reason.words(), "request": self.id } });
        Judgement::Denied {
            status: head.status,
            reason: refused.reason,
            sign_in: None,
            headers: head.headers,
            body: body.to_string().into(),
        }
    }

    async fn denied(&self, reason: Reason, sign_in: Option<String>, answer: Response<Body>) -> Judgement {
        let (head, body) = answer.into_parts();
        let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
        let mut headers = head.headers;
        headers.remove(http::header::LOCATION);
        // Where there is a way to sign in, the answer was a redirect; each gateway has its own way to tell it.
        let status = if reason == Reason::SignInRequired { StatusCode::UNAUTHORIZED } else { head.status };
        Judgement::Denied { status, reason, sign_in, headers, body }
    }
}
