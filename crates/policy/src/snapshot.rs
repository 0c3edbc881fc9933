//! The snapshot: policies and applications at a revision, checked as a whole, and the one function that decides.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use jiff::tz::TimeZone;
use safeconduct_model::{
    Action, AppId, Application, Ask, Asset, Class, Fault, Mode, Principal, Reason, Remedy, RuleId, Timestamp,
};

use crate::cedar::{Bucket, Conditions, Question, ReadyApp, Said};
use crate::ends;
use crate::explain;
use crate::facts::Facts;
use crate::load::{Loaded, PolicyText, load};
use crate::rule::{Effect, Rule};
use crate::verdict::{Basis, Denial, Grounds, Permit, Verdict};

/// What a snapshot is made of.
#[derive(Clone, Debug)]
pub struct Sources {
    /// The policy files.
    pub policies: Vec<PolicyText>,
    /// The applications behind the gateway.
    pub applications: Vec<Application>,
    /// The protect surface.
    pub assets: Vec<Asset>,
    /// The time zone in which weekdays and hours are meant.
    pub zone: TimeZone,
}

/// Policies and applications at a revision. Immutable; a change makes a new one.
pub struct Snapshot {
    revision: u64,
    zone: TimeZone,
    apps: HashMap<AppId, App>,
    rules: Vec<Arc<Rule>>,
    sources: Sources,
}

/// An application with the rules that may speak about it.
pub(crate) struct App {
    pub(crate) application: Arc<Application>,
    pub(crate) ready: ReadyApp,
    by_action: HashMap<Action, Candidates>,
    /// Every permit that covers the application, whatever the action, for explanations.
    pub(crate) permits: Vec<Explainable>,
}

/// The rules that may speak about one action on one application.
struct Candidates {
    bucket: Bucket,
    rules: Vec<Arc<Rule>>,
    facts: BTreeSet<String>,
}

/// A rule with its conditions ready to be tried one by one.
pub(crate) struct Explainable {
    pub(crate) rule: Arc<Rule>,
    pub(crate) conditions: Conditions,
}

impl Snapshot {
    /// Checks everything and builds the snapshot, or tells every fault.
    pub fn build(revision: u64, sources: Sources) -> Result<Self, Vec<Fault>> {
        let Loaded { rules } = load(&sources.policies)?;
        let faults = unknown_names(rules.iter().map(|(r, _)| r), &sources);
        if !faults.is_empty() {
            return Err(faults);
        }
        let classes: BTreeMap<String, Class> = sources.assets.iter().map(|a| (a.id.to_string(), a.class)).collect();
        let rules: Vec<_> = rules.into_iter().map(|(rule, ready)| (Arc::new(rule), ready)).collect();
        let apps = sources.applications.iter().map(|app| {
            let about: Vec<_> = rules.iter().filter(|(rule, _)| rule.covers_application(app)).collect();
            let by_action = Action::ALL.into_iter().map(|action| {
                let speaking = || about.iter().filter(move |(rule, _)| rule.actions.contains(&action));
                let candidates = Candidates {
                    bucket: Bucket::of(speaking().map(|(rule, ready)| (&rule.id, ready))),
                    rules: speaking().map(|(rule, _)| Arc::clone(rule)).collect(),
                    facts: speaking().flat_map(|(rule, _)| rule.reads()).collect(),
                };
                (action, candidates)
            });
            let permits = about.iter().filter(|(rule, _)| rule.effect == Effect::Permit);
            let app = App {
                application: Arc::new(app.clone()),
                ready: ReadyApp::of(app, &classes),
                by_action: by_action.collect(),
                permits: permits
                    .map(|(rule, _)| Explainable { rule: Arc::clone(rule), conditions: Conditions::of(&rule.when) })
                    .collect(),
            };
            (app.application.id.clone(), app)
        });
        Ok(Self {
            revision,
            zone: sources.zone.clone(),
            apps: apps.collect(),
            rules: rules.iter().map(|(rule, _)| Arc::clone(rule)).collect(),
            sources,
        })
    }

    /// The revision.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// The same under another revision. Whoever keeps count across restarts numbers what was built.
    #[must_use]
    pub fn with_revision(mut self, revision: u64) -> Self {
        self.revision = revision;
        self
    }

    /// What it was built from.
    #[must_use]
    pub fn sources(&self) -> &Sources {
        &self.sources
    }

    /// Every rule, in file order.
    #[must_use]
    pub fn rules(&self) -> &[Arc<Rule>] {
        &self.rules
    }

    /// The rule with this id.
    #[must_use]
    pub fn rule(&self, id: &RuleId) -> Option<&Arc<Rule>> {
        self.rules.iter().find(|r| r.id == *id)
    }

    /// The application with this id.
    #[must_use]
    pub fn application(&self, id: &AppId) -> Option<&Arc<Application>> {
        self.apps.get(id).map(|a| &a.application)
    }

    /// The time zone of weekdays and hours.
    #[must_use]
    pub fn zone(&self) -> &TimeZone {
        &self.zone
    }

    /// Whether a person may pass, under which rules and until when; or why not and what would help.
    ///
    /// Total: every ask has an answer. Absence denies: no such application, nobody signed in, an ended session, no rule.
    /// A rule that fails while it is evaluated denies too, whatever the others say.
    pub fn decide(&self, ask: &Ask, now: Timestamp) -> Verdict {
        let Some(app) = self.apps.get(&ask.what.app) else {
            return Verdict::Denial(self.nothing_there());
        };
        match self.judge(app, ask, now) {
            Ok(grounds) => {
                let until = ends::until(self, app, ask, now);
                Verdict::Permit(Permit { target: Arc::clone(&app.application), until, basis: Basis::Rules, grounds })
            }
            Err(refusal) => {
                let denial = explain::denial(self, app, ask, now, refusal);
                let observed = app.application.mode == Mode::Observe && proven_until(ask, now).is_some();
                match proven_until(ask, now) {
                    Some(until) if observed => {
                        let grounds = denial.grounds.clone();
                        let target = Arc::clone(&app.application);
                        Verdict::Permit(Permit { target, until, basis: Basis::Observed(denial), grounds })
                    }
                    _ => Verdict::Denial(denial),
                }
            }
        }
    }

    /// What the rules say, as words only: it opens nothing and knows no end. For rehearsals and pages, which ask often.
    pub fn opinion(&self, ask: &Ask, now: Timestamp) -> Result<Grounds, Denial> {
        let Some(app) = self.apps.get(&ask.what.app) else {
            return Err(self.nothing_there());
        };
        self.judge(app, ask, now).map_err(|refusal| explain::denial(self, app, ask, now, refusal))
    }

    fn nothing_there(&self) -> Denial {
        let mut denial = Denial::plain(Reason::UnknownApplication, vec![Remedy::Nothing]);
        denial.grounds.revision = self.revision;
        denial
    }

    /// The bare answer of the rules, without the end of the lease and without an explanation.
    pub(crate) fn judge(&self, app: &App, ask: &Ask, now: Timestamp) -> Result<Grounds, Refusal> {
        if proven_until(ask, now).is_none() {
            return Err(Refusal::NotSignedIn);
        }
        let facts = Facts::of(ask, now, &self.zone);
        let candidates = &app.by_action[&ask.what.action];
        let Some(question) = Question::of(ask, ask.what.action, &facts, &app.ready) else {
            return Err(Refusal::NotSignedIn);
        };
        let Said { allowed, rules, errors } = question.put_to(&candidates.bucket);
        let grounds = Grounds { revision: self.revision, rules, facts: candidates.facts.clone() };
        if !errors.is_empty() {
            return Err(Refusal::Errors { errors, grounds });
        }
        if allowed {
            return Ok(grounds);
        }
        if grounds.rules.is_empty() { Err(Refusal::NoPermit { grounds }) } else { Err(Refusal::Forbidden { grounds }) }
    }

    /// The rules that may speak about this action on this application.
    pub(crate) fn candidates<'a>(&self, app: &'a App, action: Action) -> &'a [Arc<Rule>] {
        &app.by_action[&action].rules
    }
}

/// Why the rules do not let an ask pass.
pub(crate) enum Refusal {
    NotSignedIn,
    NoPermit { grounds: Grounds },
    Forbidden { grounds: Grounds },
    Errors { errors: Vec<String>, grounds: Grounds },
}

/// Until when the identity of the asker is proven; `None` if it is not.
pub(crate) fn proven_until(ask: &Ask, now: Timestamp) -> Option<Timestamp> {
    match (&ask.who.principal, &ask.who.auth) {
        (Principal::Nobody, _) | (_, None) => None,
        (_, Some(auth)) => Some(auth.until).filter(|until| now < *until),
    }
}

/// A rule that names an application or asset which does not exist would sleep for ever: that is a fault.
fn unknown_names<'r>(rules: impl Iterator<Item = &'r Rule>, sources: &Sources) -> Vec<Fault> {
    use crate::rule::Scope;
    let mut faults = Vec::new();
    for rule in rules {
        let (Scope::Is(kind, id) | Scope::In(kind, id) | Scope::Kind(_, Some((kind, id)))) = &rule.resource else {
            continue;
        };
        let known = match kind.as_str() {
            "Application" => sources.applications.iter().any(|a| a.id.as_str() == id),
            "Asset" => sources.assets.iter().any(|a| a.id.as_str() == id),
            _ => true,
        };
        if !known {
            let what = format!("rule `{}` speaks of {kind} `{id}`, which does not exist", rule.id);
            faults.push(Fault::new(&rule.file, rule.line, what, "correct the name, or add it to estate/"));
        }
    }
    faults
}
