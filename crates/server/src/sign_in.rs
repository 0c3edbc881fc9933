//! From a proof to a session, and from a session to its end. Each step is kept, recorded, and told to the live connections.

use std::collections::BTreeSet;
use std::net::IpAddr;

use anyhow::{Context, Result};
use safeconduct_access::{Session, SessionError, Signal, Visitor};
use safeconduct_authn::one_time::{Digest, Token};
use safeconduct_authn::return_to::{OwnOrigin, ReturnTo};
use safeconduct_directory::Proven;
use safeconduct_model::{
    AppId, DeviceId, Duration, Host, Method, PersonId, Record, SessionEvent, SessionEventKind, SessionId, Stated,
};

use crate::house::{House, SESSION, new_session_id, new_token, session_hash};

impl House {
    /// Opens a session for a person who proved who they are; its secret for the portal.
    pub(crate) async fn open_session(&self, proven: Proven, device: Option<DeviceId>, ip: IpAddr) -> Result<Token> {
        anyhow::ensure!(self.is_active(&proven.person), "{} is not an active person of the estate", proven.person);
        if let Err(locked) = self.lock_on_sign_in(&proven.person, device.as_ref()) {
            self.record_failed_sign_in(proven.person.as_str(), ip);
            return Err(locked.into());
        }
        let now = self.now();
        let token = new_token()?;
        let id = new_session_id()?;
        let portal = self.current().config.settings.portal.clone();
        let begun = {
            let mut sessions = self.sessions();
            let begun =
                sessions.begin(id.clone(), proven.person, proven.methods, portal, session_hash(&token), ip, now)?;
            match device {
                Some(device) => (sessions.bind_device(&id, device, now)?, begun.1),
                None => begun,
            }
        };
        let (session, gave_way) = begun;
        if let Some(old) = gave_way {
            self.after_end(old, SessionEventKind::Ended).await?;
        }
        self.keep_session(&session).await?;
        self.record_session(&session, SessionEventKind::Began)?.durable().await?;
        Ok(token)
    }

    /// The person of a session proved more. The secret of the portal rotates.
    pub(crate) async fn step_up(&self, id: &SessionId, proven: Proven) -> Result<Token> {
        let now = self.now();
        let token = new_token()?;
        let portal = self.current().config.settings.portal.clone();
        let session = {
            let mut sessions = self.sessions();
            let person = &sessions.get(id, now).ok_or(SessionError::Ended)?.person;
            anyhow::ensure!(*person == proven.person, "a step-up never changes the person");
            sessions.step_up(id, proven.methods, portal, session_hash(&token), now)?
        };
        self.keep_session(&session).await?;
        self.record_session(&session, SessionEventKind::SteppedUp)?.durable().await?;
        // The old secret is gone: nothing may rest on it.
        self.signal(&Signal::PersonChanged(session.person));
        Ok(token)
    }

    /// Binds a device that proved itself to a session.
    pub(crate) async fn bind_device(&self, id: &SessionId, device: DeviceId) -> Result<Session> {
        let now = self.now();
        let person = self.sessions().get(id, now).ok_or(SessionError::Ended)?.person.clone();
        self.lock_on_sign_in(&person, Some(&device))?;
        let session = self.sessions().bind_device(id, device, now)?;
        self.keep_session(&session).await?;
        self.record_session(&session, SessionEventKind::SteppedUp)?.durable().await?;
        self.signal(&Signal::PersonChanged(session.person.clone()));
        Ok(session)
    }

    /// Keeps the purpose that a person stated for an application.
    pub(crate) async fn state_purpose(&self, id: &SessionId, app: AppId, stated: Stated) -> Result<()> {
        let now = self.now();
        let session = self.sessions().state(id, app.clone(), stated.clone(), now)?;
        self.keep_session(&session).await?;
        let ticket = stated.ticket.map(|t| format!(", ticket {t}")).unwrap_or_default();
        let detail = format!("{}{ticket}", stated.purpose);
        self.record_change(session.person.as_str(), "purpose.state", app.as_str(), &detail).await?;
        self.signal(&Signal::PersonChanged(session.person));
        Ok(())
    }

    /// Carries a session to the host of an application: the address to go to, with a code that works once. Without a word from
    /// that host of which browser asked, the browser first goes there to get one.
    fn send_session(
        &self,
        id: &SessionId,
        host: &Host,
        return_to: &ReturnTo,
        browser: Option<Digest>,
    ) -> Result<String> {
        let origin = return_to.origin().context("the return address has no origin")?;
        let to = encode(return_to.as_str());
        let Some(browser) = browser else { return Ok(format!("{origin}/.safeconduct/arrive?to={to}")) };
        let code = self.send(id, host, Some(browser))?;
        Ok(format!("{origin}/.safeconduct/arrive?code={}&to={to}", code.reveal()))
    }

    /// A code under which a session travels to a host, once.
    pub(crate) fn send(&self, id: &SessionId, host: &Host, browser: Option<Digest>) -> Result<Token> {
        let code = new_token()?;
        let sent = self.hand_overs.send(&code, id.clone(), host.clone(), browser, self.now());
        anyhow::ensure!(sent, "too many sign-ins at once");
        Ok(code)
    }

    /// Takes a session in that arrived on the host of an application: its secret for this host.
    pub(crate) async fn receive_session(&self, code: &Token, host: &Host, browser: Option<&Token>) -> Result<Token> {
        let now = self.now();
        let id = self.hand_overs.receive(code, host, browser, now).ok_or(SessionError::Ended)?;
        let token = new_token()?;
        let session = {
            let mut sessions = self.sessions();
            sessions.carry(&id, host.clone(), session_hash(&token), now)?;
            sessions.get(&id, now).ok_or(SessionError::Ended)?.clone()
        };
        self.keep_session(&session).await?;
        Ok(token)
    }

    /// Ends a session and everything that rests on it. Says whether there was one.
    pub(crate) async fn end_session(&self, id: &SessionId, why: SessionEventKind) -> Result<bool> {
        let Some(session) = self.sessions().end(id) else { return Ok(false) };
        self.after_end(session, why).await?;
        Ok(true)
    }

    /// Ends every session of a person; how many there were.
    pub(crate) async fn end_sessions_of(&self, person: &PersonId, why: SessionEventKind) -> Result<usize> {
        let ids: Vec<SessionId> = self.sessions().of(person).iter().map(|s| s.id.clone()).collect();
        for id in &ids {
            self.end_session(id, why).await?;
        }
        Ok(ids.len())
    }

    /// Ends the sessions that grew too old.
    pub(crate) async fn expire_sessions(&self) -> Result<()> {
        let now = self.now();
        let old = self.sessions().expire(now);
        for session in old {
            self.after_end(session, SessionEventKind::Expired).await?;
        }
        Ok(())
    }

    /// Records a sign-in that failed. The name that was typed is not a person until it is proven, so only known ones are named.
    pub(crate) fn record_failed_sign_in(&self, typed: &str, ip: IpAddr) {
        let Ok(person) = typed.trim().to_ascii_lowercase().parse::<PersonId>() else { return };
        if !self.current().config.estate.people.contains_key(&person) {
            return;
        }
        let session = "none".parse().expect("a fixed id is valid");
        let event = SessionEventKind::Failed;
        let record = Record::Session(SessionEvent { session, person, event, methods: vec![], device: None, ip });
        if let Err(error) = self.record(record) {
            tracing::warn!(%error, "the ledger took no record of a failed sign-in");
        }
    }

    pub(crate) async fn after_end(&self, session: Session, why: SessionEventKind) -> Result<()> {
        // The cut comes first: an ended session must not live on because a disk is slow.
        self.signal(&Signal::SessionEnded(session.id.clone()));
        self.keep::<Session>(SESSION, session.id.as_str(), None).await?;
        self.record_session(&session, why)?.durable().await?;
        Ok(())
    }

    pub(crate) async fn keep_session(&self, session: &Session) -> Result<()> {
        self.keep(SESSION, session.id.as_str(), Some(session)).await
    }

    pub(crate) fn record_session(
        &self,
        session: &Session,
        event: SessionEventKind,
    ) -> Result<safeconduct_store::Receipt> {
        let record = Record::Session(SessionEvent {
            session: session.id.clone(),
            person: session.person.clone(),
            event,
            methods: session.methods.iter().copied().collect::<Vec<Method>>(),
            device: session.device.clone(),
            ip: session.ip,
        });
        Ok(self.record(record)?)
    }

    /// Reads an address to come back to: a path of the portal, or a page on the host of an application. Anything else is `/`.
    pub(crate) fn return_to(&self, wanted: &str) -> ReturnTo {
        ReturnTo::read(wanted, &self.own_origins())
    }

    /// An address to come back to as a place on the portal: the host of an application is reached over the hand-over.
    pub(crate) fn place(&self, wanted: &str) -> String {
        let back = self.return_to(wanted);
        match back.origin() {
            None => back.as_str().to_owned(),
            Some(origin) if origin == self.origin => back.as_str()[origin.len()..].to_owned(),
            Some(_) => format!("/continue?return={}", encode(back.as_str())),
        }
    }

    fn own_origins(&self) -> Vec<OwnOrigin> {
        let port = self.origin.rsplit_once(':').map(|(_, p)| p).filter(|p| p.bytes().all(|b| b.is_ascii_digit()));
        let current = self.current();
        let hosts: BTreeSet<&Host> = current.config.estate.applications.values().flat_map(|a| &a.hosts).collect();
        let with_port = |h: &&Host| OwnOrigin::from_host(&port.map_or(h.to_string(), |p| format!("{h}:{p}")));
        // Other gateways that ask us serve the same hosts at ports of their own.
        let elsewhere = current.config.settings.decision_point.iter().flat_map(|d| &d.ports);
        let at_port = |h: &Host, p: u16| if p == 443 { h.to_string() } else { format!("{h}:{p}") };
        let elsewhere = elsewhere.flat_map(|p| hosts.iter().filter_map(|h| OwnOrigin::from_host(&at_port(h, *p))));
        hosts.iter().filter_map(with_port).chain(elsewhere).collect()
    }

    /// Where a browser goes after a sign-in: over the hand-over if it wants the host of an application. On its way it passes
    /// the page that lets a known device prove itself.
    pub(crate) fn onward(&self, session: &SessionId, return_to: &ReturnTo, browser: Option<Digest>) -> Result<String> {
        let Some(origin) = return_to.origin().filter(|o| *o != self.origin) else {
            return Ok(return_to.as_str().to_owned());
        };
        let host = origin.strip_prefix("https://").and_then(|h| h.split(':').next()).context("an origin has a host")?;
        self.send_session(session, &host.parse()?, return_to, browser)
    }
}

/// How fresh a proof must be to change how someone signs in.
const FRESH: Duration = Duration::from_mins(15);

impl House {
    /// Whether a visitor may add or remove a way to sign in: only with a proof of the last minutes, and with the strongest
    /// that the account has, so that a stolen session does not become a stolen account. The error says what to do.
    pub(crate) fn may_change_sign_in(&self, visitor: &Visitor) -> Result<(), &'static str> {
        let account = self.accounts.summary(&visitor.person);
        if self.now().since(visitor.auth.at) > FRESH {
            return Err("Changing how you sign in needs a proof of the last 15 minutes. Sign in again first.");
        }
        if (account.totp || !account.passkeys.is_empty()) && !visitor.auth.is_mfa() {
            return Err("Changing how you sign in needs your passkey or one-time code. Step up first.");
        }
        Ok(())
    }
}

/// Percent-encodes a value of a query.
pub(crate) fn encode(text: &str) -> String {
    use std::fmt::Write;
    text.bytes().fold(String::with_capacity(text.len()), |mut out, b| {
        if b.is_ascii_alphanumeric() || b"-._~/".contains(&b) {
            out.push(char::from(b));
        } else {
            let _ = write!(out, "%{b:02X}");
        }
        out
    })
}
