//! From rules to an engine: each is compiled alone, the index is built over all. A change keeps what it does not touch.

use std::collections::HashSet;
use std::sync::Arc;

use super::decide::Engine;
use super::entities;
use super::index::{Index, Key};
use super::names::Names;
use super::parse;
use super::program::At;
use super::term::{Actions, Anchor, Clause, Side, Term};
use super::value::{EntityId, Sym};
use super::world::Land;
use crate::cedar::sets::{Entities, Rules, Statement, Unreadable};

/// No entity and no type.
pub(super) const NONE: u32 = u32::MAX;

/// What a rule asks after its anchors fit.
#[derive(Clone, Copy)]
pub(super) struct Rule {
    pub body: Body,
    pub principal_kind: u32,
    pub resource_kind: u32,
    /// The very principal, action and resource; not one below it.
    pub exact: [u32; 3],
}

/// One side of the scope of a rule, in numbers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fits {
    pub kind: Option<Sym>,
    pub exact: Option<EntityId>,
    pub within: Option<EntityId>,
}

#[derive(Clone, Copy)]
pub(super) enum Body {
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
        Ok(Self { engine, permits: Vec::new(), forbids: Vec::new() })
    }

    /// Begins with entities in Cedar's JSON, without a schema. They are read straight into numbers; Cedar reads them where a
    /// rule needs Cedar, and where something is wrong with them.
    ///
    /// # Errors
    /// If a cycle or a wrong value is in it.
    pub fn read(json: &str) -> Result<Self, Unreadable> {
        match entities::read(json) {
            Ok(land) => {
                let engine = Engine { land, told: Some(json.into()), ..Engine::default() };
                Ok(Self { engine, permits: Vec::new(), forbids: Vec::new() })
            }
            Err(entities::Unclear) => Self::new(&Entities::parse(json, None)?),
        }
    }

    /// Begins with entities of our own.
    pub(crate) fn over(land: Land) -> Self {
        let engine = Engine { land, ..Engine::default() };
        Self { engine, permits: Vec::new(), forbids: Vec::new() }
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
            let number = self.engine.next;
            if let Ok(parsed) = parse::statement(statement.text) {
                if let Some(mut clause) = parsed.clause {
                    clause.id = format!("policy{number}");
                    self.compile(&clause);
                }
            } else {
                let read = Statement::parse_safely(statement.text, number).map_err(|e| e.at(statement.line))?;
                self.engine.reread += 1;
                self.add(&read);
                self.let_cedar_see()?;
            }
            self.engine.next = number + 1;
        }
        Ok(())
    }

    /// Lets Cedar read the entities, once a rule needs it.
    fn let_cedar_see(&mut self) -> Result<(), Unreadable> {
        let engine = &mut self.engine;
        if let (false, None, Some(told)) = (engine.elsewhere.is_empty(), &engine.entities, &engine.told) {
            engine.entities = Some(Entities::parse(told, None)?);
        }
        Ok(())
    }

    pub(super) fn add(&mut self, statement: &Statement) {
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
                self.engine.elsewhere.push(Arc::new(single));
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
            self.permits.extend(keys);
        } else {
            self.forbids.extend(keys);
        }
        Some(rule)
    }

    /// Builds the index.
    pub fn finish(self) -> Engine {
        let mut engine = self.engine;
        if engine.elsewhere.is_empty() {
            engine.entities = None;
            engine.told = None;
        }
        engine.program.close();
        engine.permits = Index::build(self.permits);
        engine.forbids = Index::build(self.forbids);
        engine.rules.shrink_to_fit();
        engine
    }
}

impl Engine {
    fn put(&mut self, id: &str, rule: Rule) -> u32 {
        self.rules.push(rule);
        self.ids.push(id.into());
        u32::try_from(self.rules.len() - 1).expect("rules fit into memory")
    }

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

    /// The same set without the rules with these ids and with those of a text, which are numbered on. This engine stays as it
    /// is, and so does everything that the change does not touch: no other rule is read or compiled again. An id that no rule
    /// has changes nothing.
    ///
    /// # Errors
    /// At the first rule of the text that is not Cedar, or that only Cedar can evaluate: a changed set has none of those
    /// unless it was compiled with one.
    pub fn change(&self, without: &[&str], with: &str) -> Result<Self, Unreadable> {
        let without: HashSet<&str> = without.iter().copied().collect();
        let gone: HashSet<u32> =
            (0_u32..).zip(&self.ids).filter(|(_, id)| without.contains(&***id)).map(|(n, _)| n).collect();
        let mut engine = self.clone();
        engine.program.open();
        let stays = |key: &Key| !gone.contains(&key.rule);
        let permits: Vec<Key> = self.permits.keys().filter(stays).collect();
        let forbids: Vec<Key> = self.forbids.keys().filter(stays).collect();
        let indexed: HashSet<u32> = self.permits.keys().chain(self.forbids.keys()).map(|key| key.rule).collect();
        engine.gone += gone.intersection(&indexed).count();
        let mut builder = Builder { engine, permits, forbids };
        builder.add_text(with)?;
        if builder.engine.elsewhere.len() > self.elsewhere.len() && self.entities.is_none() {
            let what = "a rule is nested so deeply that only Cedar can evaluate it; compile the whole set anew";
            return Err(Unreadable { line: 0, what: what.into() });
        }
        Ok(builder.finish())
    }
}
