//! The engine: a compiled policy set over a store of entities, and its decisions.

use super::eval::{Facts, Fails, Frame};
use super::index::{Asked, Index, Key};
use super::names::{Behind, Names};
use super::program::{At, Program};
use super::term::{Actions, Anchor, Clause, Side};
use super::value::{EntityId, Value};
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

    /// Adds the rules of a text, one at a time; they are called `policy0`, `policy1`, … through all texts. Templates take a
    /// number and decide nothing.
    ///
    /// # Errors
    /// At the first rule that is not Cedar.
    pub fn add_text(&mut self, text: &str) -> Result<(), Unreadable> {
        for statement in crate::load::statements(text) {
            let read = Statement::parse(statement.text, self.next).map_err(|e| e.at(statement.line))?;
            self.next += 1;
            self.add(&read);
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

    fn compile(&mut self, clause: &Clause) {
        let engine = &mut self.engine;
        let at = engine.program.compile(&clause.condition, &mut engine.land);
        let body = match engine.program.as_bool(at) {
            Some(true) => Body::Always,
            Some(false) => {
                engine.dead += 1;
                return;
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
        if clause.permits { self.permits.extend(keys) } else { self.forbids.extend(keys) }
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
        let facts = Facts {
            principal: Value::Entity(asked.principal),
            action: Value::Entity(asked.action),
            resource: Value::Entity(asked.resource),
            context,
            overlay: request.overlay(&mut names)?.map(Box::new),
            strange: names.finish(),
        };
        let original = (!self.elsewhere.is_empty()).then(|| request.clone());
        Ok(Prepared { engine: self, asked, facts, original })
    }
}

/// Lists that decisions fill and leave to the next one, so that none allocates.
#[derive(Default)]
pub struct Scratch {
    permits: Vec<u32>,
    forbids: Vec<u32>,
    errors: Vec<u32>,
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

impl Prepared<'_> {
    /// Decides. Which rules decided is in `scratch` until the next decision; see [`Prepared::answer`].
    pub fn decide(&self, mode: Mode, scratch: &mut Scratch) -> Outcome {
        let Scratch { permits, forbids, errors } = scratch;
        permits.clear();
        forbids.clear();
        errors.clear();
        let early = mode == Mode::EarlyExit;
        let (rules, world) = (&self.engine.rules, &self.engine.land.world);
        let frame = Frame::new(&self.engine.program, &self.engine.land, &self.facts);
        for (index, hits) in [(&self.engine.forbids, &mut *forbids), (&self.engine.permits, &mut *permits)] {
            let mut visit = |rule: u32| {
                match self.holds(&rules[rule as usize], frame) {
                    Ok(false) => return true,
                    Ok(true) => hits.push(rule),
                    Err(Fails) => errors.push(rule),
                }
                !early
            };
            if !index.walk(self.asked, world, &mut visit) {
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
