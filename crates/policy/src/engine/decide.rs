//! The engine: a compiled policy set over a store of entities, and its decisions.

use std::sync::Arc;

use super::eval::{Fails, Frame};
use super::index::{Above, Index, Key};
use super::names::{Behind, Known, Names, Strange};
use super::parse;
use super::program::{At, Program};
use super::request::{Asked, Facts, Slot};
use super::term::{Actions, Anchor, Clause, Side, Term};
use super::value::{EntityId, Sym, Value};
use super::world::Land;
use crate::cedar::sets::{Entities, Request, Rules, Single, Statement, Unreadable};

/// No entity and no type.
const NONE: u32 = u32::MAX;

/// How far a decision looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Every candidate is evaluated, and a rule that cannot be evaluated is skipped and named: exactly what Cedar does.
    Exhaustive,
    /// Stops at the first rule that decides, forbids first. A rule that cannot be evaluated and is met before that denies.
    EarlyExit,
}

/// What a decision came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A permit holds and no forbid does.
    Permit,
    /// A forbid holds.
    Forbid,
    /// No rule speaks of it.
    NoMatch,
    /// A rule could not be evaluated, and the mode is [`Mode::EarlyExit`].
    Error,
}

impl Outcome {
    /// Whether the request may go ahead.
    pub fn allows(self) -> bool {
        self == Self::Permit
    }
}

/// A decision in words, as both engines give it; ids are sorted.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Answer {
    /// `allow` or `deny`.
    pub decision: &'static str,
    /// The rules that decided.
    pub determining: Vec<String>,
    /// The rules that could not be evaluated.
    pub errors: Vec<String>,
}

impl Answer {
    pub(crate) fn new(allows: bool, mut determining: Vec<String>, mut errors: Vec<String>) -> Self {
        determining.sort_unstable();
        errors.sort_unstable();
        errors.dedup();
        Self { decision: if allows { "allow" } else { "deny" }, determining, errors }
    }
}

/// What was compiled, and what was not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Metrics {
    /// Rules, with the links of templates.
    pub rules: usize,
    /// Rules that no request can match, which are not kept.
    pub dead: usize,
    /// Rules that Cedar evaluates, because the compiler does not cover them.
    pub fallbacks: usize,
    /// Rules and templates of texts that the engine's own parser refused and Cedar's read.
    pub reread: usize,
    /// Different steps of all conditions together.
    pub nodes: usize,
    /// Entities that are described.
    pub entities: usize,
}

/// What a rule asks after its anchors fit.
struct Rule {
    body: Body,
    principal_kind: u32,
    resource_kind: u32,
    /// The very principal, action and resource; not one below it.
    exact: [u32; 3],
}

/// One side of the scope of a rule, in numbers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fits {
    kind: Option<Sym>,
    exact: Option<EntityId>,
    within: Option<EntityId>,
}

#[derive(Clone, Copy)]
enum Body {
    Always,
    Condition(At),
    /// Cedar evaluates it.
    Elsewhere(u32),
}

/// Compiles rules one by one. See [`Engine`].
pub struct Builder {
    engine: Engine,
    permits: Vec<Key>,
    forbids: Vec<Key>,
    next: usize,
}

/// A compiled policy set over a store of entities; immutable.
#[derive(Default)]
pub struct Engine {
    pub(super) land: Land,
    program: Program,
    rules: Vec<Rule>,
    ids: Vec<Box<str>>,
    pub(super) permits: Index,
    forbids: Index,
    elsewhere: Vec<Single>,
    entities: Option<Entities>,
    dead: usize,
    reread: usize,
}

impl Builder {
    /// Begins with the entities.
    ///
    /// # Errors
    /// If a value of an entity is not a plain value.
    pub fn new(entities: &Entities) -> Result<Self, Unreadable> {
        let mut engine = Engine::default();
        entities.describe(&mut engine.land)?;
        engine.entities = Some(entities.clone());
        Ok(Self { engine, permits: Vec::new(), forbids: Vec::new(), next: 0 })
    }

    /// Begins with entities of our own.
    pub(crate) fn over(land: Land) -> Self {
        let engine = Engine { land, ..Engine::default() };
        Self { engine, permits: Vec::new(), forbids: Vec::new(), next: 0 }
    }

    /// Compiles a single condition, to be asked about with [`Prepared::truth`]. What rules say as well stands once.
    pub(crate) fn atom(&mut self, term: &Term) -> At {
        self.engine.program.compile(term, &mut self.engine.land)
    }

    /// One side of a scope in numbers.
    pub(crate) fn fits(&mut self, side: &Side) -> Fits {
        let names = &mut self.engine.land.names;
        let (exact, within) = match &side.anchor {
            Anchor::Any => (None, None),
            Anchor::Is(kind, id) => (Some(names.entity(kind, id)), None),
            Anchor::In(kind, id) => (None, Some(names.entity(kind, id))),
        };
        Fits { kind: side.kind.as_deref().map(|kind| names.sym(kind)), exact, within }
    }

    /// Adds the rules of a text, one at a time; they are called `policy0`, `policy1`, … through all texts. Templates take a
    /// number and decide nothing.
    ///
    /// # Errors
    /// At the first rule that is not Cedar.
    pub fn add_text(&mut self, text: &str) -> Result<(), Unreadable> {
        for statement in crate::load::statements(text) {
            let number = self.next;
            if let Ok(parsed) = parse::statement(statement.text) {
                if let Some(mut clause) = parsed.clause {
                    clause.id = format!("policy{number}");
                    self.compile(&clause);
                }
            } else {
                let read = Statement::parse_safely(statement.text, number).map_err(|e| e.at(statement.line))?;
                self.engine.reread += 1;
                self.add(&read);
            }
            self.next = number + 1;
        }
        Ok(())
    }

    fn add(&mut self, statement: &Statement) {
        let clause = match statement.clause() {
            None => return,
            Some(Ok(clause)) => clause,
            Some(Err(single)) => {
                // Cedar evaluates the scope as well, so every request comes to it.
                let body = Body::Elsewhere(u32::try_from(self.engine.elsewhere.len()).expect("rules fit into memory"));
                let rule = Rule { body, principal_kind: NONE, resource_kind: NONE, exact: [NONE; 3] };
                let key =
                    Key { resource: None, action: None, principal: None, rule: self.engine.put(single.id(), rule) };
                if single.permits() {
                    self.permits.push(key);
                } else {
                    self.forbids.push(key);
                }
                self.engine.elsewhere.push(single);
                return;
            }
        };
        self.compile(&clause);
    }

    /// Compiles a rule and tells its number; nothing if no request can match it.
    pub(crate) fn compile(&mut self, clause: &Clause) -> Option<u32> {
        let engine = &mut self.engine;
        let at = engine.program.compile(&clause.condition, &mut engine.land);
        let body = match engine.program.as_bool(at) {
            Some(true) => Body::Always,
            Some(false) => {
                engine.dead += 1;
                return None;
            }
            None => Body::Condition(at),
        };
        let names = &mut engine.land.names;
        let kind = |side: &Side, names: &mut dyn Names| side.kind.as_deref().map_or(NONE, |kind| names.sym(kind).0);
        let (principal_kind, resource_kind) = (kind(&clause.principal, names), kind(&clause.resource, names));
        let anchor = |side: &Side, names: &mut dyn Names| match &side.anchor {
            Anchor::Any => (None, NONE),
            Anchor::In(kind, id) => (Some(names.entity(kind, id)), NONE),
            Anchor::Is(kind, id) => {
                let entity = names.entity(kind, id);
                (Some(entity), entity.0)
            }
        };
        let (principal, exact_principal) = anchor(&clause.principal, names);
        let (resource, exact_resource) = anchor(&clause.resource, names);
        let (actions, exact_action) = match &clause.actions {
            Actions::Any => (vec![None], NONE),
            Actions::Is(kind, id) => {
                let entity = names.entity(kind, id);
                (vec![Some(entity)], entity.0)
            }
            Actions::In(all) => (all.iter().map(|(kind, id)| Some(names.entity(kind, id))).collect(), NONE),
        };
        let exact = [exact_principal, exact_action, exact_resource];
        let rule = engine.put(&clause.id, Rule { body, principal_kind, resource_kind, exact });
        let keys = actions.into_iter().map(|action| Key { resource, action, principal, rule });
        if clause.permits {
            self.permits.extend(keys)
        } else {
            self.forbids.extend(keys)
        }
        Some(rule)
    }

    /// Builds the index.
    pub fn finish(self) -> Engine {
        let mut engine = self.engine;
        engine.program.close();
        engine.permits = Index::build(self.permits);
        engine.forbids = Index::build(self.forbids);
        engine.rules.shrink_to_fit();
        if engine.elsewhere.is_empty() {
            engine.entities = None;
        }
        engine
    }
}

impl Engine {
    /// Compiles a whole set.
    ///
    /// # Errors
    /// If a value of an entity is not a plain value.
    pub fn compile(rules: &Rules, entities: &Entities) -> Result<Self, Unreadable> {
        let mut builder = Builder::new(entities)?;
        for statement in rules.statements() {
            builder.add(&statement);
        }
        Ok(builder.finish())
    }

    /// The names that rules and entities use.
    pub(crate) fn names(&self) -> &Known {
        &self.land.names
    }

    /// The paths below the context that rules read; facts hold one slot for each.
    pub(crate) fn paths(&self) -> &[Box<[Sym]>] {
        self.program.paths()
    }

    /// Whether a rule reads the context as a whole.
    pub(crate) fn reads_whole_context(&self) -> bool {
        self.program.reads_whole_context()
    }

    /// What stands at a path below the context of a request.
    pub(crate) fn walk(&self, facts: &Facts, path: &[Sym]) -> Slot {
        Frame::new(&self.program, &self.land, facts).walk(&facts.context, path)
    }

    fn put(&mut self, id: &str, rule: Rule) -> u32 {
        self.rules.push(rule);
        self.ids.push(id.into());
        u32::try_from(self.rules.len() - 1).expect("rules fit into memory")
    }

    /// What was compiled, and what was not.
    pub fn metrics(&self) -> Metrics {
        Metrics {
            rules: self.rules.len() + self.dead,
            dead: self.dead,
            fallbacks: self.elsewhere.len(),
            reread: self.reread,
            nodes: self.program.len(),
            entities: self.land.world.len(),
        }
    }

    /// Numbers the names of a request, once; after that it can be decided any number of times.
    ///
    /// # Errors
    /// If a value in the context is not a plain value.
    pub fn prepare<'e>(&'e self, request: &Request) -> Result<Prepared<'e>, Unreadable> {
        let mut names = Behind::new(&self.land.names);
        let asked = request.asked(&mut names);
        let context = request.context(&mut names)?;
        let overlay = request.overlay(&mut names)?;
        let mut facts = Facts::new(asked, context, names.finish());
        facts.overlay = overlay.map(Box::new);
        facts.slots = self.paths().iter().map(|path| self.walk(&facts, path)).collect();
        let original = (!self.elsewhere.is_empty()).then(|| request.clone());
        Ok(Prepared { engine: self, asked, facts, original })
    }
}

/// Lists that decisions fill and leave to the next one, so that none allocates.
#[derive(Default)]
pub struct Scratch {
    pub(crate) permits: Vec<u32>,
    pub(crate) forbids: Vec<u32>,
    pub(crate) errors: Vec<u32>,
}

impl Scratch {
    /// Whether every candidate of the last decision could be evaluated.
    pub(crate) fn is_clean(&self) -> bool {
        self.errors.is_empty()
    }
}

/// A request in the numbers of one engine.
pub struct Prepared<'e> {
    engine: &'e Engine,
    pub(super) asked: Asked,
    pub(super) facts: Facts,
    pub(super) original: Option<Request>,
}

impl<'e> Prepared<'e> {
    /// A request that says nothing yet; its facts come in the numbers of the engine.
    pub(crate) fn empty(engine: &'e Engine, strange: Strange) -> Self {
        let nobody = EntityId(NONE);
        let asked = Asked { principal: nobody, action: nobody, resource: nobody };
        let facts = Facts::new(asked, Value::Record(Arc::default()), strange);
        Self { engine, asked, facts, original: None }
    }

    /// Changes who asks for what.
    pub(crate) fn ask(&mut self, asked: Asked) -> &'e Engine {
        self.asked = asked;
        self.facts.principal = Value::Entity(asked.principal);
        self.facts.action = Value::Entity(asked.action);
        self.facts.resource = Value::Entity(asked.resource);
        self.engine
    }

    /// The facts, to be changed.
    pub(crate) fn facts_mut(&mut self) -> &mut Facts {
        &mut self.facts
    }

    /// Reads the paths below the context anew: one may lead through an entity of which the request states something.
    pub(super) fn refill(&mut self) {
        self.facts.slots = self.engine.paths().iter().map(|path| self.engine.walk(&self.facts, path)).collect();
    }

    fn frame(&self) -> Frame<'_> {
        Frame::new(&self.engine.program, &self.engine.land, &self.facts)
    }

    /// Whether a condition holds; nothing if it cannot be evaluated.
    pub(crate) fn truth(&self, at: At) -> Option<bool> {
        self.frame().truth(at).ok()
    }

    /// Whether an entity is one that a side of a scope speaks of.
    pub(crate) fn fits(&self, side: Fits, entity: EntityId) -> bool {
        let frame = self.frame();
        side.kind.is_none_or(|kind| frame.kind(entity) == Some(kind))
            && side.exact.is_none_or(|exact| exact == entity)
            && side.within.is_none_or(|group| frame.within(entity, group))
    }

    /// Every rule whose principal, action and resource may fit, in no order; some come twice.
    pub(crate) fn candidates(&self, found: &mut Vec<u32>) {
        let above = self.above(self.frame());
        for index in [&self.engine.forbids, &self.engine.permits] {
            let mut visit = |rule: u32| {
                found.push(rule);
                true
            };
            index.walk(self.asked, above, &mut visit);
        }
    }

    fn above<'f>(&self, frame: Frame<'f>) -> Above<'f> {
        let Asked { principal, action, resource } = self.asked;
        let [principal, action, resource] = [principal, action, resource].map(|entity| frame.ancestors(entity));
        Above { principal, action, resource }
    }

    /// Decides. Which rules decided is in `scratch` until the next decision; see [`Prepared::answer`].
    pub fn decide(&self, mode: Mode, scratch: &mut Scratch) -> Outcome {
        let Scratch { permits, forbids, errors } = scratch;
        permits.clear();
        forbids.clear();
        errors.clear();
        let early = mode == Mode::EarlyExit;
        let rules = &self.engine.rules;
        let frame = self.frame();
        let above = self.above(frame);
        for (index, hits) in [(&self.engine.forbids, &mut *forbids), (&self.engine.permits, &mut *permits)] {
            let mut visit = |rule: u32| {
                match self.holds(&rules[rule as usize], frame) {
                    Ok(false) => return true,
                    Ok(true) => hits.push(rule),
                    Err(Fails) => errors.push(rule),
                }
                !early
            };
            if !index.walk(self.asked, above, &mut visit) {
                break;
            }
        }
        // A rule that names several actions can have come twice.
        for list in [&mut *permits, &mut *forbids, &mut *errors] {
            if list.len() > 1 {
                list.sort_unstable();
                list.dedup();
            }
        }
        if early && !errors.is_empty() {
            Outcome::Error
        } else if !forbids.is_empty() {
            Outcome::Forbid
        } else if !permits.is_empty() {
            Outcome::Permit
        } else {
            Outcome::NoMatch
        }
    }

    /// Whether a rule whose anchors fit holds.
    fn holds(&self, rule: &Rule, frame: Frame<'_>) -> Result<bool, Fails> {
        let Asked { principal, action, resource } = self.asked;
        let exact = |wanted: u32, is: EntityId| wanted == NONE || wanted == is.0;
        let kind = |wanted: u32, is: EntityId| wanted == NONE || frame.kind(is).is_some_and(|kind| kind.0 == wanted);
        let [p, a, r] = rule.exact;
        let scope = exact(p, principal)
            && exact(a, action)
            && exact(r, resource)
            && kind(rule.principal_kind, principal)
            && kind(rule.resource_kind, resource);
        if !scope {
            return Ok(false);
        }
        match rule.body {
            Body::Always => Ok(true),
            Body::Condition(at) => frame.truth(at),
            Body::Elsewhere(number) => {
                let single = self.engine.elsewhere.get(number as usize).ok_or(Fails)?;
                let (Some(request), Some(entities)) = (&self.original, &self.engine.entities) else {
                    return Err(Fails);
                };
                single.holds(request, entities).ok_or(Fails)
            }
        }
    }

    /// The ids behind the last decision on `scratch`.
    pub fn answer(&self, outcome: Outcome, scratch: &Scratch) -> Answer {
        let names = |rules: &[u32]| rules.iter().map(|r| self.engine.ids[*r as usize].to_string()).collect();
        let determining = match outcome {
            Outcome::Permit => names(&scratch.permits),
            Outcome::Forbid => names(&scratch.forbids),
            Outcome::NoMatch | Outcome::Error => Vec::new(),
        };
        Answer::new(outcome.allows(), determining, names(&scratch.errors))
    }
}
