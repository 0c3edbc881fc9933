//! The engine: a compiled policy set over a store of entities, and its decisions.

use std::sync::Arc;

use super::builder::{Body, Fits, NONE, Rule};
use super::eval::{Fails, Frame};
use super::index::{Above, Index};
use super::names::{Behind, Known, Strange};
use super::program::{At, Program};
use super::request::{Asked, Facts, Slot};
use super::value::{EntityId, Sym, Value};
use super::world::Land;
use crate::cedar::sets::{Entities, Request, Single, Unreadable};

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

/// A compiled policy set over a store of entities; immutable.
#[derive(Clone, Default)]
pub struct Engine {
    pub(super) land: Land,
    pub(super) program: Program,
    pub(super) rules: Vec<Rule>,
    pub(super) ids: Vec<Arc<str>>,
    pub(super) permits: Index,
    pub(super) forbids: Index,
    pub(super) elsewhere: Vec<Arc<Single>>,
    pub(super) entities: Option<Entities>,
    /// The text that they were read from without Cedar, for rules that only Cedar can evaluate.
    pub(super) told: Option<Arc<str>>,
    pub(super) dead: usize,
    /// Rules that were taken out and still hold their number.
    pub(super) gone: usize,
    /// The number behind the last rule that came as text.
    pub(super) next: usize,
    pub(super) reread: usize,
}

impl Engine {
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

    /// What was compiled, and what was not.
    pub fn metrics(&self) -> Metrics {
        Metrics {
            rules: self.rules.len() + self.dead - self.gone,
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
