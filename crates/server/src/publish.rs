//! Making a change bind: the files are written, read again, checked whole, and swapped in. A faulty version changes nothing.

use std::path::Path;
use std::sync::Arc;

use safeconduct_access::Signal;
use safeconduct_config::{Counts, Texts};
use safeconduct_ledger::{Bundle, LastBound};
use safeconduct_model::{Fault, SessionEventKind};
use safeconduct_rehearse::difference;

use crate::files::{self, Built, Glance};
use crate::house::{Current, House};
use crate::proposals::{Proposal, State, told, with_proposal};
use crate::signed;

/// The settings that only a start reads.
const AT_START: &str = "listeners, threads, collector of traces, ACME, TLS files, portal host, data folder, GeoIP file and trusted keys take effect at the next start";
/// Why an unsigned change is refused.
pub(crate) const ONLY_SIGNED: &str = "[policy] trusted_keys lets only signed policies bind";
/// What to do then.
pub(crate) const SIGN_IT: &str = "write it out with `safeconduct policy propose APP --out DIR`, let the holder of a trusted key \
     run `safeconduct policy bundle DIR --out FILE --key KEYFILE`, then `safeconduct policy publish FILE`";

/// What binds now, and what bound before.
pub(crate) struct Binds {
    pub(crate) revision: u64,
    before: Arc<Current>,
    now: Arc<Current>,
}

impl Binds {
    /// What differs, in words.
    pub(crate) fn difference(&self) -> String {
        difference(&self.before.snapshot, &self.now.snapshot).report()
    }
}

impl House {
    /// Publishes a proposal; the revision that binds.
    pub(crate) async fn publish_proposal(self: &Arc<Self>, by: &str, id: &str) -> Result<Binds, Vec<Fault>> {
        let proposal = self
            .proposals
            .get(id)
            .ok_or_else(|| one(id, "there is no such proposal", "list them with `safeconduct policy proposals`"))?;
        if proposal.state != State::Open {
            return Err(one(id, "the proposal is closed", "propose anew; use has gone on since"));
        }
        let make = |current: &Current| Ok(with_proposal(current, &proposal.app, &proposal.cedar, &proposal.fixtures));
        let bound = self.publish(by, make, &format!("proposal {id}"), None).await?;
        self.close_proposal(proposal, State::Published).await?;
        Ok(bound)
    }

    /// Sets a proposal aside.
    pub(crate) async fn discard_proposal(&self, by: &str, id: &str) -> Result<(), Vec<Fault>> {
        let proposal = self.proposals.get(id).ok_or_else(|| one(id, "there is no such proposal", ""))?;
        self.record_change(by, "policy.discard", proposal.app.as_str(), &format!("proposal {id}"))
            .await
            .map_err(|e| one(id, &e.to_string(), "see the health page"))?;
        self.close_proposal(proposal, State::Discarded).await
    }

    async fn close_proposal(&self, mut proposal: Proposal, state: State) -> Result<(), Vec<Fault>> {
        proposal.state = state;
        let id = proposal.id.clone();
        self.keep_proposal(proposal).await.map_err(|e| one(&id, &e.to_string(), "see the health page"))
    }

    /// Publishes the policies of a folder; the revision that binds.
    pub(crate) async fn publish_folder(self: &Arc<Self>, by: &str, folder: &Path) -> Result<Binds, Vec<Fault>> {
        let (policies, tests) = files::read_candidate(folder)?;
        let make = |current: &Current| {
            let mut texts = current.texts.clone();
            texts.policies = policies;
            if !tests.is_empty() {
                texts.tests = tests;
            }
            Ok(texts)
        };
        self.publish(by, make, &folder.display().to_string(), None).await
    }

    /// Publishes a signed bundle; the revision that binds.
    pub(crate) async fn publish_bundle(self: &Arc<Self>, by: &str, path: &Path) -> Result<Binds, Vec<Fault>> {
        let shown = path.display().to_string();
        let last = self.last_bundle().await?;
        let opened = signed::open(path, &shown, &self.trusted, last.as_ref())?;
        let (policies, tests) = signed::texts(&opened.0);
        let make = |current: &Current| Ok(Texts { policies, tests, ..current.texts.clone() });
        let bundle = opened.0.contents().revision;
        let from = format!("bundle {bundle}, signed by {}", signed::short(opened.0.key()));
        self.publish(by, make, &from, Some(opened)).await
    }

    async fn last_bundle(&self) -> Result<Option<LastBound>, Vec<Fault>> {
        signed::last(&self.control).await.map_err(|e| one("control.db", &format!("{e:#}"), "see the health page"))
    }

    async fn keep_bundle(&self, bundle: &Bundle) -> Result<(), Vec<Fault>> {
        let kept = signed::keep(&self.control, &bundle.bound(), self.now()).await;
        kept.map_err(|e| {
            one("control.db", &format!("the bundle cannot be kept, so it does not bind: {e}"), "see the health page")
        })
    }

    /// Makes texts from what binds now, checks them whole, writes what differs, and lets it bind.
    pub(crate) async fn publish(
        self: &Arc<Self>,
        by: &str,
        make: impl FnOnce(&Current) -> Result<Texts, Vec<Fault>> + Send,
        from: &str,
        signed: Option<(Bundle, String)>,
    ) -> Result<Binds, Vec<Fault>> {
        if !self.trusted.is_empty() && signed.is_none() {
            return Err(one(from, ONLY_SIGNED, SIGN_IT));
        }
        let _alone = self.files.lock().await;
        let current = self.current();
        let texts = make(&current)?;
        if let Some((bundle, _)) = &signed {
            // Another may have bound while this one waited for its turn.
            let may = bundle.may_bind(&signed::schema(), self.last_bundle().await?.as_ref());
            may.map_err(|e| one(from, &e.to_string(), e.remedy()))?;
        }
        let revision = current.snapshot.revision() + 1;
        let built = files::build(texts.clone(), revision)?;
        self.record_change(by, "policy.publish", &format!("revision {revision}"), from).await.map_err(|e| {
            one("ledger", &format!("the change cannot be recorded, so it is not made: {e}"), "see the health page")
        })?;
        for estate in texts.estate.iter().filter(|t| !current.texts.estate.contains(t)) {
            files::write_whole(&self.dir.join(&estate.file), &estate.text)
                .map_err(|e| one(&estate.file, &format!("cannot be written: {e}"), "check the folder's permissions"))?;
        }
        if let Some((_, text)) = &signed {
            files::write_whole(&self.dir.join(signed::BUNDLE), text).map_err(|e| {
                one(signed::BUNDLE, &format!("cannot be written: {e}"), "check the folder's permissions")
            })?;
        }
        files::replace_policies(&self.dir, &texts.policies, &texts.tests).map_err(|f| vec![f])?;
        if let Some((bundle, _)) = &signed {
            self.keep_bundle(bundle).await?;
        }
        self.number(revision, &built).await?;
        let now = Arc::new(Current::of(built, self.now()));
        self.bind(Arc::clone(&now));
        Ok(Binds { revision, before: current, now })
    }

    /// Reads the files again. `None` if nothing changed, else the revision that binds now.
    pub(crate) async fn reload(self: &Arc<Self>) -> Result<Option<u64>, Vec<Fault>> {
        let _alone = self.files.lock().await;
        let texts = files::read(&self.dir)?;
        let current = self.current();
        if texts == current.texts {
            return Ok(None);
        }
        let revision = current.snapshot.revision() + 1;
        let bundle = signed::check(&self.dir, &self.trusted, &texts, self.last_bundle().await?.as_ref())?;
        let built = files::build(texts, revision)?;
        let fixed = |c: &safeconduct_config::Settings| {
            let point = c.decision_point.as_ref().map(|d| (d.listen, d.tls, d.url.clone(), d.client_ca.clone()));
            (
                (c.listen.clone(), c.threads, c.portal.clone(), c.data.clone(), point),
                (c.acme.clone(), c.traces.clone(), c.tls.clone(), c.geoip.clone(), c.trusted_keys.clone()),
            )
        };
        if fixed(&built.config.settings) != fixed(&current.config.settings) {
            tracing::warn!("{AT_START}");
        }
        let providers_changed = built.config.settings.oidc != current.config.settings.oidc;
        self.record_change("files", "policy.publish", &format!("revision {revision}"), "reloaded from the files")
            .await
            .map_err(|e| {
                one("ledger", &format!("the change cannot be recorded, so it is not made: {e}"), "see the health page")
            })?;
        if let Some(bundle) = &bundle {
            self.keep_bundle(bundle).await?;
        }
        self.number(revision, &built).await?;
        let limits = (current.config.settings.limits.clone(), built.config.settings.limits.clone());
        self.bind(Arc::new(Current::of(built, self.now())));
        self.take_limits(&limits.0, &limits.1);
        if providers_changed {
            match crate::oidc::providers(&self.dir, &self.origin, &self.accounts, &self.current) {
                Ok(providers) => self.providers.store(Arc::new(providers)),
                Err(error) => tracing::warn!(error = format!("{error:#}"), "the identity providers stay as they were"),
            }
        }
        self.end_sessions_of_the_gone().await;
        Ok(Some(revision))
    }

    /// Lets changed limits hold, and says of each from when on it counts.
    fn take_limits(&self, old: &safeconduct_config::Limits, new: &safeconduct_config::Limits) {
        let changes = old.changes(new);
        if changes.is_empty() {
            return;
        }
        let taken = self.gateway().map(|gateway| gateway.set_limits(crate::limits::of(new)));
        if let Some(Err(error)) = taken {
            return tracing::warn!(%error, "the limits stay as they were");
        }
        for counts in [Counts::AtOnce, Counts::NewConnections, Counts::NextStart] {
            let told = changes.iter().filter(|(limit, ..)| limit.counts == counts);
            let told: Vec<_> = told.map(|(limit, was, is)| format!("{} {was} -> {is}", limit.name)).collect();
            let limits = told.join(", ");
            match (counts, told.is_empty()) {
                (_, true) => {}
                (Counts::AtOnce, _) => tracing::info!(limits, "limits changed, and count at once"),
                (Counts::NewConnections, _) => tracing::info!(limits, "limits changed, and count for new connections"),
                (Counts::NextStart, _) => tracing::warn!(limits, "limits changed that count at the next start"),
            }
        }
    }

    async fn number(&self, revision: u64, built: &Built) -> Result<(), Vec<Fault>> {
        let kept = crate::revision::keep(&self.control, revision, &built.texts, self.now()).await;
        kept.map_err(|e| {
            one("control.db", &format!("the revision cannot be kept, so it does not bind: {e}"), "see the health page")
        })
    }

    /// Swaps the snapshot, then decides again everything that is live.
    fn bind(&self, next: Arc<Current>) {
        let lifetimes = next.config.settings.lifetimes;
        self.rollouts.turn(&next.snapshot);
        self.current.store(next);
        self.sessions().set_lifetimes(lifetimes);
        self.signal(&Signal::PolicyPublished);
    }

    /// People who left the estate, or are no longer active, keep no session.
    async fn end_sessions_of_the_gone(&self) {
        let gone: Vec<_> = {
            let sessions = self.sessions();
            sessions.all().iter().filter(|s| !self.is_active(&s.person)).map(|s| s.id.clone()).collect()
        };
        for id in gone {
            if let Err(error) = self.end_session(&id, SessionEventKind::Ended).await {
                tracing::warn!(%error, session = %id, "a session ended but could not be kept as ended");
            }
        }
    }

    /// Looks at the files and takes what is new and whole; a faulty version is told once and changes nothing. Files that nobody
    /// has written since the last look are not read.
    pub(crate) async fn look_at_files(self: &Arc<Self>, last: &mut Looked) {
        let dir = self.dir.clone();
        let glance = tokio::task::spawn_blocking(move || crate::files::glance(&dir)).await.unwrap_or_default();
        if last.glance.as_ref() == Some(&glance) {
            return;
        }
        match self.reload().await {
            Ok(None) => {}
            Ok(Some(revision)) => {
                last.told.clear();
                tracing::info!(revision, "the configuration was reloaded");
            }
            Err(faults) => {
                let text = told(&faults);
                if text != last.told {
                    tracing::warn!("the new configuration is refused, the old one keeps serving:\n{text}");
                    self.record_system("config.refused", &text);
                    last.told = text;
                }
            }
        }
        last.glance = Some(glance);
    }
}

/// What the last look at the files saw and told.
#[derive(Debug, Default)]
pub(crate) struct Looked {
    glance: Option<Glance>,
    told: String,
}

fn one(file: &str, what: &str, remedy: &str) -> Vec<Fault> {
    vec![Fault::new(file, 0, what, remedy)]
}
