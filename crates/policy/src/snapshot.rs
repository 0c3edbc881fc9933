//! The snapshot: policies and applications at a revision, checked as a whole, and the one function that decides.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use jiff::tz::TimeZone;
use safeconduct_model::{
    Action, AppId, Application, Ask, Asset, Class, Fault, Mode as Binding, Principal, Reason, Remedy, RuleId,
    Timestamp, Would,
};

use crate::calendar::Calendar;
use crate::cedar::Ready;
use crate::ends::{self, Clock};
use crate::engine::names::Names;
use crate::engine::term::Term;
use crate::engine::value::{EntityId, Value};
use crate::engine::world::{Land, Row};
use crate::engine::{Builder, Engine, Fits, Mode, Prepared, Scratch};
use crate::explain::{self, Atom};
use crate::expr::Expr;
use crate::load::{Loaded, PolicyText, load};
use crate::locked;
use crate::numbered::{Lens, Scene, Source};
use crate::rule::{Effect, Rule, Scope};
use crate::verdict::{Basis, Denial, Grounds, Permit, Verdict};
use crate::view::View;

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
    calendar: Calendar,
    apps: HashMap<AppId, App>,
    rules: Vec<Arc<Rule>>,
    /// Beside `rules`.
    kept: Vec<Kept>,
    /// From the engine's numbers of rules to ours.
    by_number: Vec<usize>,
    by_id: HashMap<RuleId, usize>,
    engine: Engine,
    lens: Lens,
    slots: Vec<Source>,
    sources: Sources,
}

/// An application with the rules that may speak about it.
pub(crate) struct App {
    pub(crate) application: Arc<Application>,
    pub(crate) entity: EntityId,
    /// Every permit that covers the application, whatever the action, for explanations.
    permits: Vec<usize>,
    facts: HashMap<Action, Arc<BTreeSet<String>>>,
}

/// What the compiler made of one rule, beside the rule that a reader sees.
pub(crate) struct Kept {
    /// Whom it speaks of.
    pub(crate) who: Fits,
    /// Each `when` of the rule.
    pub(crate) when: Vec<Atom>,
    /// The parts of each `unless`.
    pub(crate) unless: Vec<Vec<Atom>>,
    /// When it may change its mind.
    pub(crate) clock: Clock,
}

impl Kept {
    fn of(rule: &Rule, ready: &Ready, builder: &mut Builder) -> Self {
        let who = builder.fits(&ready.clause.principal);
        let mut atoms = |conditions: &[&Expr], terms: &[Term]| -> Vec<Atom> {
            let conditions = conditions.iter().zip(terms);
            conditions.map(|(condition, term)| Atom::of(condition, builder.atom(term), rule)).collect()
        };
        let when = atoms(&rule.when.iter().collect::<Vec<_>>(), &ready.when);
        let unless = rule.unless.iter().zip(&ready.unless);
        let unless = unless.map(|(lift, terms)| atoms(&lift.conjuncts(), terms)).collect();
        Self { who, when, unless, clock: Clock::of(rule) }
    }

    /// Every condition: first each `when`, then the parts of each `unless`.
    pub(crate) fn atoms(&self) -> impl Iterator<Item = &Atom> {
        self.when.iter().chain(self.unless.iter().flatten())
    }
}

impl Snapshot {
    /// Checks everything and builds the snapshot, or tells every fault.
    pub fn build(revision: u64, sources: Sources) -> Result<Self, Vec<Fault>> {
        let Loaded { rules } = load(&sources.policies)?;
        let faults = unknown_names(rules.iter().map(|(r, _)| r), &sources);
        if !faults.is_empty() {
            return Err(faults);
        }
        let mut land = Land::default();
        let lens = Lens::new(&mut land.names);
        let entities = settle(&sources, &mut land);
        let mut builder = Builder::over(land);
        let (mut kept, mut by_number) = (Vec::new(), Vec::new());
        for (at, (rule, ready)) in rules.iter().enumerate() {
            if builder.compile(&ready.clause).is_some() {
                by_number.push(at);
            }
            kept.push(Kept::of(rule, ready, &mut builder));
        }
        let engine = builder.finish();
        let rules: Vec<Arc<Rule>> = rules.into_iter().map(|(rule, _)| Arc::new(rule)).collect();
        let by_id = rules.iter().enumerate().map(|(at, rule)| (rule.id.clone(), at)).collect();
        let about = About::of(&rules);
        let apps = sources.applications.iter().zip(entities).map(|(app, entity)| {
            let speaking = about.application(app);
            let facts = Action::ALL.into_iter().map(|action| {
                let speaking = speaking.iter().map(|at| &rules[*at]).filter(|rule| rule.actions.contains(&action));
                (action, Arc::new(speaking.flat_map(|rule| rule.reads()).collect()))
            });
            let facts = facts.collect();
            let permits = speaking.into_iter().filter(|at| rules[*at].effect == Effect::Permit).collect();
            (app.id.clone(), App { application: Arc::new(app.clone()), entity, permits, facts })
        });
        let (apps, slots) = (apps.collect(), lens.sources(&engine));
        Ok(Self {
            revision,
            calendar: Calendar::of(&sources.zone),
            apps,
            rules,
            kept,
            by_number,
            by_id,
            engine,
            lens,
            slots,
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
        self.by_id.get(id).map(|at| &self.rules[*at])
    }

    /// The application with this id.
    #[must_use]
    pub fn application(&self, id: &AppId) -> Option<&Arc<Application>> {
        self.apps.get(id).map(|a| &a.application)
    }

    /// The time zone of weekdays and hours.
    #[must_use]
    pub fn zone(&self) -> &TimeZone {
        self.calendar.zone()
    }

    /// Whether a person may pass, under which rules and until when; or why not and what would help.
    ///
    /// Total: every ask has an answer. Absence denies: no such application, nobody signed in, an ended session, no rule.
    /// A rule that fails while it is evaluated denies too, whatever the others say. A lock denies before any rule is asked.
    pub fn decide(&self, ask: &Ask, now: Timestamp) -> Verdict {
        let Some(app) = self.apps.get(&ask.what.app) else {
            return Verdict::Denial(self.nothing_there());
        };
        if let Some(denial) = self.shut(ask, now) {
            return Verdict::Denial(denial);
        }
        let mut view = self.view(app, ask);
        match self.judge(app, ask, now, view.as_mut()) {
            Ok(grounds) => {
                let until = view.map_or(now, |view| ends::until(self, app, ask, now, view));
                let rules = grounds.rules.iter().filter_map(|id| self.rule(id));
                let mut obligations: Vec<String> =
                    rules.filter_map(|rule| rule.note("obligation")).map(str::to_owned).collect();
                obligations.sort_unstable();
                obligations.dedup();
                let target = Arc::clone(&app.application);
                Verdict::Permit(Permit { target, until, basis: Basis::Rules, grounds, obligations })
            }
            Err(refusal) => {
                let denial = self.denial(app, ask, now, refusal);
                let observed = app.application.mode == Binding::Observe && proven_until(ask, now).is_some();
                match proven_until(ask, now) {
                    Some(until) if observed => {
                        let grounds = denial.grounds.clone();
                        let target = Arc::clone(&app.application);
                        let obligations = Vec::new();
                        Verdict::Permit(Permit { target, until, basis: Basis::Observed(denial), grounds, obligations })
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
        if let Some(denial) = self.shut(ask, now) {
            return Err(denial);
        }
        let mut view = self.view(app, ask);
        self.judge(app, ask, now, view.as_mut()).map_err(|refusal| self.denial(app, ask, now, refusal))
    }

    /// The denial of a lock that shuts out whoever asks. Who is not signed in learns of no lock: they may sign in first.
    fn shut(&self, ask: &Ask, now: Timestamp) -> Option<Denial> {
        let lock = ask.shut_by(now).filter(|_| proven_until(ask, now).is_some())?;
        Some(locked::denial(lock, Grounds { revision: self.revision, ..Grounds::default() }))
    }

    /// The denial that the rules come to. If a grant would have opened this that does not count because it is locked, then the
    /// lock is the reason.
    fn denial(&self, app: &App, ask: &Ask, now: Timestamp, refusal: Refusal) -> Denial {
        let denial = explain::denial(self, app, ask, now, refusal);
        let Some((lock, grant)) = ask.withheld(now) else { return denial };
        let mut with = ask.clone();
        with.why.grant = Some(grant.clone());
        let mut view = self.view(app, &with);
        match self.judge(app, &with, now, view.as_mut()) {
            Ok(_) => locked::denial(lock, denial.grounds),
            Err(_) => denial,
        }
    }

    fn nothing_there(&self) -> Denial {
        let mut denial = Denial::plain(Reason::UnknownApplication, vec![Remedy::Nothing]);
        denial.grounds.revision = self.revision;
        denial
    }

    /// The bare answer of the rules, without the end of the lease and without an explanation.
    fn judge(&self, app: &App, ask: &Ask, now: Timestamp, view: Option<&mut View<'_>>) -> Result<Grounds, Refusal> {
        let Some(view) = view else { return Err(Refusal::NotSignedIn) };
        self.judge_at(app, ask, now, view)
    }

    /// The same, for one of several instants.
    pub(crate) fn judge_at(
        &self,
        app: &App,
        ask: &Ask,
        now: Timestamp,
        view: &mut View<'_>,
    ) -> Result<Grounds, Refusal> {
        if proven_until(ask, now).is_none() {
            return Err(Refusal::NotSignedIn);
        }
        let mut spoken = Spoken::default();
        let answered = self.hear(view.at(ask, now), &ask.who.principal, &mut spoken);
        let ids = |numbers: &[u32]| numbers.iter().map(|n| self.numbered(*n).id.clone()).collect::<Vec<_>>();
        let rules = match answered {
            Answered::Permits => &spoken.rules.permits,
            Answered::Forbids => &spoken.rules.forbids,
            Answered::Silent | Answered::Fails => &Vec::new(),
        };
        let would = (spoken.would != answered)
            .then(|| Box::new(Would { permits: spoken.would == Answered::Permits, rules: ids(&spoken.shadow) }));
        let facts = app.facts.get(&ask.what.action).cloned().unwrap_or_default();
        let grounds = Grounds { revision: self.revision, rules: ids(rules), facts, would };
        match answered {
            Answered::Permits => Ok(grounds),
            Answered::Forbids => Err(Refusal::Forbidden { grounds }),
            Answered::Silent => Err(Refusal::NoPermit { grounds }),
            Answered::Fails => Err(Refusal::Errors { errors: ids(&spoken.rules.errors), grounds }),
        }
    }

    /// What the rules that bind this principal come to, and what all of them would come to.
    pub(crate) fn hear(&self, prepared: &Prepared<'_>, principal: &Principal, spoken: &mut Spoken) -> Answered {
        let Spoken { rules, shadow, would } = spoken;
        prepared.decide(Mode::Exhaustive, rules);
        shadow.clear();
        *would = answer(rules);
        for list in [&mut rules.permits, &mut rules.forbids, &mut rules.errors] {
            list.retain(|number| {
                let rule = self.numbered(*number);
                let binds = rule.stage.binds(&rule.id, principal);
                if !binds {
                    shadow.push(*number);
                }
                binds
            });
        }
        answer(rules)
    }

    /// An ask in the numbers of the engine; nothing if nobody asks.
    pub(crate) fn view(&self, app: &App, ask: &Ask) -> Option<View<'_>> {
        View::of(self, ask, app.entity)
    }

    /// Puts a scene into a request.
    pub(crate) fn fill(&self, prepared: &mut Prepared<'_>, app: EntityId, scene: Scene<'_>) {
        self.lens.fill(prepared, app, scene, &self.calendar, &self.slots);
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    pub(crate) fn lens(&self) -> &Lens {
        &self.lens
    }

    pub(crate) fn calendar(&self) -> &Calendar {
        &self.calendar
    }

    pub(crate) fn app(&self, id: &AppId) -> Option<&App> {
        self.apps.get(id)
    }

    fn numbered(&self, number: u32) -> &Arc<Rule> {
        &self.rules[self.by_number[number as usize]]
    }

    /// A rule by the engine's number, with what the compiler made of it.
    pub(crate) fn kept(&self, number: u32) -> (&Arc<Rule>, &Kept) {
        let at = self.by_number[number as usize];
        (&self.rules[at], &self.kept[at])
    }

    /// The rules with these ids.
    pub(crate) fn named(&self, ids: &[RuleId]) -> Vec<(&Arc<Rule>, &Kept)> {
        ids.iter().filter_map(|id| self.by_id.get(id)).map(|at| (&self.rules[*at], &self.kept[*at])).collect()
    }

    /// Every rule with what the compiler made of it, in file order.
    pub(crate) fn every(&self) -> impl Iterator<Item = (&Arc<Rule>, &Kept)> {
        self.rules.iter().zip(&self.kept)
    }

    /// Every permit that covers an application, whatever the action.
    pub(crate) fn permits<'s>(&'s self, app: &'s App) -> impl Iterator<Item = (&'s Arc<Rule>, &'s Kept)> {
        app.permits.iter().map(|at| (&self.rules[*at], &self.kept[*at]))
    }
}

/// The rules that spoke about one request; a list to be filled again and again.
pub(crate) struct Spoken {
    /// Those that bind.
    pub rules: Scratch,
    /// Those in shadow.
    pub shadow: Vec<u32>,
    /// What all of them together would come to.
    would: Answered,
}

impl Default for Spoken {
    fn default() -> Self {
        Self { rules: Scratch::default(), shadow: Vec::new(), would: Answered::Silent }
    }
}

/// What a list of rules that hold comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answered {
    Permits,
    Forbids,
    Silent,
    /// A rule failed while it was evaluated: that denies, whatever the others say.
    Fails,
}

fn answer(rules: &Scratch) -> Answered {
    if !rules.errors.is_empty() {
        Answered::Fails
    } else if !rules.forbids.is_empty() {
        Answered::Forbids
    } else if !rules.permits.is_empty() {
        Answered::Permits
    } else {
        Answered::Silent
    }
}

/// Puts applications and assets into the engine's world; the numbers are those of the applications.
fn settle(sources: &Sources, land: &mut Land) -> Vec<EntityId> {
    let name = land.names.sym("class");
    let class = |land: &mut Land, class: Class| Arc::new([(name, Value::Text(land.names.sym(class.name())))]);
    let known: HashMap<&str, Class> = sources.assets.iter().map(|a| (a.id.as_str(), a.class)).collect();
    let mut entities = Vec::new();
    for app in &sources.applications {
        let entity = land.names.entity("Application", app.id.as_str());
        let mut ancestors = Vec::new();
        for asset in &app.assets {
            let above = land.names.entity("Asset", asset.as_str());
            let attributes = class(land, known.get(asset.as_str()).copied().unwrap_or_default());
            land.world.put(above, Row { attributes, ..Row::default() });
            ancestors.push(above);
        }
        ancestors.sort_unstable();
        let attributes = class(land, app.class);
        land.world.put(entity, Row { ancestors: ancestors.into(), attributes, ..Row::default() });
        entities.push(entity);
    }
    entities
}

/// Which rules speak of which application or asset.
struct About<'r> {
    every: Vec<usize>,
    named: HashMap<(&'r str, &'r str), Vec<usize>>,
    rules: &'r [Arc<Rule>],
}

impl<'r> About<'r> {
    fn of(rules: &'r [Arc<Rule>]) -> Self {
        let mut about = Self { every: Vec::new(), named: HashMap::new(), rules };
        for (at, rule) in rules.iter().enumerate() {
            match &rule.resource {
                Scope::Any | Scope::Kind(_, None) => about.every.push(at),
                Scope::Is(kind, id) | Scope::In(kind, id) | Scope::Kind(_, Some((kind, id))) => {
                    about.named.entry((kind, id)).or_default().push(at);
                }
            }
        }
        about
    }

    /// The rules that cover an application, in their order.
    fn application(&self, app: &Application) -> Vec<usize> {
        let names = [("Application", app.id.as_str())].into_iter();
        let names = names.chain(app.assets.iter().map(|a| ("Asset", a.as_str())));
        let named = names.filter_map(|name| self.named.get(&name)).flatten();
        let mut found: Vec<usize> = self.every.iter().chain(named).copied().collect();
        found.retain(|at| self.rules[*at].covers_application(app));
        found.sort_unstable();
        found.dedup();
        found
    }
}

/// Why the rules do not let an ask pass.
pub(crate) enum Refusal {
    NotSignedIn,
    NoPermit { grounds: Grounds },
    Forbidden { grounds: Grounds },
    Errors { errors: Vec<RuleId>, grounds: Grounds },
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
