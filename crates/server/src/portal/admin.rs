//! Administration by JSON: for the command line on the local socket, and for operators.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::Arc;

use futures_util::StreamExt;
use safeconduct_api::{
    Actor, Administration, Answer, ApiError, ConnectorRow, ConnectorToken, Events, Health, NewDevice, NewLock,
    ProvesBy, PublishFrom, Published, SessionRow, VerdictQuery,
};
use safeconduct_model::{
    ConnectorName, DeviceId, Duration, Fault, Lock, LockId, PersonId, Reason, SessionEventKind, SessionId, SiteId,
};
use safeconduct_store::{AccessFilter, Page, Verdict};

use crate::connectors;
use crate::devices::{Device, DeviceError, Proof};
use crate::house::House;
use crate::locks::{self, LockError};
use crate::publish::Binds;
use crate::rooms::health::{self, Works};

/// How many verdicts are listed where nobody says.
const LIMIT: u32 = 100;

/// The desk for operators.
pub(crate) struct Desk(pub(crate) Arc<House>);

/// Who acts, as the ledger names it.
pub(crate) fn name(actor: &Actor) -> String {
    match actor {
        Actor::Cli => "cli".to_owned(),
        Actor::Operator(person) => person.to_string(),
    }
}

impl Administration for Desk {
    fn origin(&self) -> &str {
        &self.0.origin
    }

    fn sessions(&self) -> Answer<'_, Vec<SessionRow>> {
        Box::pin(async move {
            let live = self.0.gateway().map(|g| g.live()).unwrap_or_default();
            let sessions = self.0.sessions();
            let row = |s: &&safeconduct_access::Session| SessionRow {
                session: s.id.clone(),
                person: s.person.clone(),
                methods: s.methods.iter().copied().collect(),
                machine: s.bound.as_ref().map(|b| b.machine.clone()),
                device: s.device.clone(),
                since: s.began,
                until: s.until,
                ip: Some(s.ip),
                connections: live.iter().filter(|l| l.session.as_ref() == Some(&s.id)).count() as u64,
            };
            Ok(sessions.all().iter().map(row).collect())
        })
    }

    fn cut_session<'a>(&'a self, actor: Actor, session: SessionId) -> Answer<'a, u64> {
        Box::pin(async move {
            let by = name(&actor);
            let live = self.0.gateway().map(|g| g.live()).unwrap_or_default();
            let rest_on_it = live.iter().filter(|l| l.session.as_ref() == Some(&session)).count() as u64;
            let ended = self.0.end_session(&session, SessionEventKind::Ended).await.map_err(|e| failed(&e))?;
            if !ended {
                return Err(ApiError::not_found("There is no such session."));
            }
            self.recorded(&by, "session.cut", session.as_str(), "").await?;
            Ok(rest_on_it)
        })
    }

    fn end_sessions<'a>(&'a self, actor: Actor, person: PersonId) -> Answer<'a, u64> {
        Box::pin(async move {
            let ended = self.0.end_sessions_of(&person, SessionEventKind::Ended).await.map_err(|e| failed(&e))?;
            self.recorded(&name(&actor), "person.end_sessions", person.as_str(), &format!("{ended} sessions")).await?;
            Ok(ended as u64)
        })
    }

    fn verdicts(&self, query: VerdictQuery) -> Answer<'_, Vec<safeconduct_model::Entry>> {
        Box::pin(async move {
            if let Some(request) = &query.request {
                return self.0.index.by_request(request).await.map_err(|e| ApiError::unavailable(e.to_string()));
            }
            let reason = match query.reason.as_deref().map(Reason::from_code) {
                Some(None) => return Err(ApiError::bad_request("There is no such reason code.")),
                other => other.flatten(),
            };
            let verdict = match query.verdict.as_deref() {
                None => None,
                Some("permit") => Some(Verdict::Permit),
                Some("deny") => Some(Verdict::Deny),
                Some(_) => return Err(ApiError::bad_request("`verdict` is permit or deny.")),
            };
            let filter = AccessFilter {
                person: query.person,
                app: query.app,
                verdict,
                reason,
                since: query.since,
                page: Page { before_seq: query.before, limit: query.limit.unwrap_or(LIMIT) },
                ..AccessFilter::default()
            };
            let rows = self.0.index.accesses(&filter).await.map_err(|e| ApiError::unavailable(e.to_string()))?;
            let mut entries = Vec::with_capacity(rows.len());
            for row in rows {
                let entry = self.0.index.entry(row.seq).await.map_err(|e| ApiError::unavailable(e.to_string()))?;
                entries.extend(entry);
            }
            Ok(entries)
        })
    }

    fn events(&self) -> Answer<'_, Events> {
        Box::pin(async move {
            let subscription = (self.0.ledger.subscribe(), VecDeque::new());
            let entries = futures_util::stream::unfold(subscription, |(mut batches, mut entries)| async move {
                loop {
                    if let Some(entry) = entries.pop_front() {
                        return Some((entry, (batches, entries)));
                    }
                    match batches.recv().await {
                        Ok(batch) => entries.extend(batch.iter().map(|written| written.entry())),
                        // Who reads too slowly loses entries; the ledger has them all.
                        Err(tokio::sync::broadcast::error::RecvError::Lagged(_)) => {}
                        Err(tokio::sync::broadcast::error::RecvError::Closed) => return None,
                    }
                }
            });
            let events: Events = entries.boxed();
            Ok(events)
        })
    }

    fn publish<'a>(&'a self, actor: Actor, from: PublishFrom) -> Answer<'a, Published> {
        Box::pin(async move {
            let by = name(&actor);
            let published = match from {
                PublishFrom::Directory(directory) => {
                    // The path names a folder of this machine: only its own command line may say which.
                    if actor != Actor::Cli {
                        return Err(ApiError::forbidden(Reason::Forbidden));
                    }
                    self.0.publish_folder(&by, Path::new(&directory)).await
                }
                PublishFrom::Bundle(path) => {
                    if actor != Actor::Cli {
                        return Err(ApiError::forbidden(Reason::Forbidden));
                    }
                    self.0.publish_bundle(&by, Path::new(&path)).await
                }
                PublishFrom::Proposal(id) => self.0.publish_proposal(&by, &id).await,
            };
            let told = |binds: Binds| Published { revision: binds.revision, difference: binds.difference() };
            published.map(told).map_err(|faults| refused(&faults))
        })
    }

    fn add_device<'a>(&'a self, actor: Actor, device: NewDevice) -> Answer<'a, DeviceId> {
        Box::pin(async move {
            let id: DeviceId = device.name.parse().map_err(|e| ApiError::bad_request(format!("`name`: {e}.")))?;
            if let Some(owner) =
                device.person.as_ref().filter(|p| !self.0.current().config.estate.people.contains_key(*p))
            {
                return Err(ApiError::refused(format!("There is no person `{owner}`.")));
            }
            let new = Device {
                id: id.clone(),
                name: device.name,
                owner: device.person,
                managed: device.managed,
                public_key: device.public_key,
                proof: match device.proof {
                    ProvesBy::Certificate => Proof::Certificate,
                    ProvesBy::Browser => Proof::Browser,
                },
                enrolled: self.0.now(),
                report: None,
            };
            self.0.enrol(new, &name(&actor)).await.map_err(|e| match e.downcast_ref::<DeviceError>() {
                Some(DeviceError::Taken(_)) => ApiError::conflict(format!("{e}.")),
                Some(_) => ApiError::refused(format!("{e}.")),
                None => failed(&e),
            })?;
            Ok(id)
        })
    }

    fn setup_link<'a>(&'a self, actor: Actor, person: PersonId) -> Answer<'a, String> {
        Box::pin(async move {
            if !self.0.is_active(&person) {
                return Err(ApiError::not_found(format!("There is no active person `{person}` in estate/.")));
            }
            let made = self.0.setup_links.make(&person, self.0.now()).await;
            let secret = made.map_err(|e| ApiError::unavailable(format!("{e}.")))?;
            self.recorded(&name(&actor), "person.setup_link", person.as_str(), "").await?;
            Ok(format!("{}/setup/{secret}", self.0.origin))
        })
    }

    fn connectors(&self) -> Answer<'_, Vec<ConnectorRow>> {
        Box::pin(async move { Ok(self.0.connectors().into_iter().map(ConnectorRow::from).collect()) })
    }

    fn connector_token<'a>(&'a self, actor: Actor, site: SiteId) -> Answer<'a, ConnectorToken> {
        Box::pin(async move {
            let made = self.0.connector_token(&name(&actor), &site).await.map_err(|e| connectors::refused(&e))?;
            Ok(ConnectorToken { token: made.text, until: made.until })
        })
    }

    fn revoke_connector<'a>(&'a self, actor: Actor, connector: ConnectorName) -> Answer<'a, u64> {
        Box::pin(async move {
            let cut = self.0.revoke_connector(&name(&actor), &connector).await.map_err(|e| connectors::refused(&e))?;
            Ok(cut as u64)
        })
    }

    fn locks(&self) -> Answer<'_, Vec<Lock>> {
        Box::pin(async move { Ok(self.0.locks().all().cloned().collect()) })
    }

    fn place_lock<'a>(&'a self, actor: Actor, new: NewLock) -> Answer<'a, Lock> {
        Box::pin(async move {
            let operator = match &actor {
                Actor::Cli => None,
                Actor::Operator(person) => Some(person),
            };
            let wanted = locks::NewLock {
                target: new.target,
                message: new.message,
                lasts: new.seconds.map(Duration::from_secs),
                // Only who sits at this machine may shut out everybody, and lift it there again.
                force: new.force && operator.is_none(),
            };
            self.0.place_lock(&name(&actor), operator, wanted).await.map_err(|e| lock_refused(&e))
        })
    }

    fn lift_lock<'a>(&'a self, actor: Actor, id: LockId) -> Answer<'a, Lock> {
        Box::pin(async move { self.0.lift_lock(&name(&actor), &id).await.map_err(|e| lock_refused(&e)) })
    }

    fn health(&self) -> Answer<'_, Health> {
        Box::pin(async move {
            let parts = health::parts(&self.0).await;
            let healthy = parts.iter().all(Works::works);
            let parts: BTreeMap<String, String> = parts.into_iter().map(|p| (p.name, p.detail)).collect();
            Ok(Health { healthy, parts })
        })
    }
}

impl Desk {
    async fn recorded(&self, by: &str, verb: &str, object: &str, detail: &str) -> Result<(), ApiError> {
        let recorded = self.0.record_change(by, verb, object, detail).await;
        recorded.map(|_| ()).map_err(|e| ApiError::unavailable(format!("It was done, but could not be recorded: {e}.")))
    }
}

fn refused(faults: &[Fault]) -> ApiError {
    let lines: Vec<String> = faults.iter().map(ToString::to_string).collect();
    ApiError::refused(lines.join("\n"))
}

fn lock_refused(error: &LockError) -> ApiError {
    let words = format!("{error}.");
    match error {
        LockError::NotThere(_) => ApiError::not_found(words),
        LockError::NoId(_) | LockError::NotKept(_) | LockError::NotRecorded(_) | LockError::StillHolds(_) => {
            tracing::warn!(error = words, "a lock could not be placed or lifted whole");
            ApiError::unavailable(words)
        }
        _ => ApiError::refused(words),
    }
}

fn failed(error: &anyhow::Error) -> ApiError {
    tracing::warn!(error = format!("{error:#}"), "an administrative request failed");
    ApiError::unavailable(format!("{error}."))
}
