//! Random schemas, policies, templates, entities and requests: what the compiled engine and Cedar are both asked about.
//!
//! One number makes one case. Half of the cases keep to their schema, which is then given to both; the others stray from it, with
//! values of other types, missing attributes and entities, constructors that refuse their argument.

mod check;
mod expr;
mod kinds;
mod shrink;

use std::fmt;

use serde_json::{Value, json};

use crate::dice::Dice;
pub(crate) use check::{Tally, check};
use expr::Scope;
use kinds::{ACT_GROUPS, ACTS, IDS, Kind, Schema, TAGS, TYPES, quoted, uid, uid_json};
pub(crate) use shrink::shrink;

/// How deep conditions go.
const DEPTH: usize = 3;
/// How many requests have the same context.
const SAME_CONTEXT: usize = 5;

/// The dice, and how much a case strays.
pub(crate) struct Random {
    dice: Dice,
    wild: bool,
}

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.dice.below(n)
    }

    fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    fn one<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())].clone()
    }
}

/// An expression as a text with operands in it, so that a smaller one can be made of it.
#[derive(Clone)]
pub(crate) struct Expr {
    /// One more than there are operands.
    parts: Vec<String>,
    kids: Vec<Expr>,
}

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, part) in self.parts.iter().enumerate() {
            f.write_str(part)?;
            if let Some(kid) = self.kids.get(at) {
                kid.fmt(f)?;
            }
        }
        Ok(())
    }
}

/// A policy, or a template with its links.
#[derive(Clone)]
pub(crate) struct Policy {
    effect: &'static str,
    /// Principal, action, resource.
    scope: [String; 3],
    clauses: Vec<(&'static str, Expr)>,
    /// For each link what stands in for the slots of principal and resource.
    links: Vec<[Option<String>; 2]>,
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({})", self.effect, self.scope.join(", "))?;
        self.clauses.iter().try_for_each(|(word, e)| write!(f, " {word} {{ {e} }}"))?;
        f.write_str(";")
    }
}

/// Everything that one comparison needs.
#[derive(Clone)]
pub(crate) struct Case {
    /// Given to both engines, if the case keeps to it.
    schema: Option<String>,
    pub(crate) policies: Vec<Policy>,
    entities: Vec<Value>,
    pub(crate) requests: Vec<Value>,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(schema) = &self.schema {
            writeln!(f, "schema:\n{schema}")?;
        }
        for (number, policy) in self.policies.iter().enumerate() {
            writeln!(f, "policy{number}: {policy}")?;
            for [principal, resource] in &policy.links {
                writeln!(f, "    linked with {principal:?}, {resource:?}")?;
            }
        }
        self.entities.iter().try_for_each(|e| writeln!(f, "entity: {e}"))?;
        self.requests.iter().try_for_each(|r| writeln!(f, "request: {r}"))
    }
}

impl Case {
    /// The case behind a number, with so many requests.
    pub(crate) fn of(seed: u64, requests: usize) -> Self {
        let mut random = Random { dice: Dice::new(seed), wild: seed % 2 == 1 };
        let schema = Schema::random(&mut random);
        let policies = (0..1 + random.below(12)).map(|_| random.policy(&schema)).collect();
        let entities = random.entities(&schema);
        let mut context = Value::Null;
        let mut request = |n: usize| {
            if n.is_multiple_of(SAME_CONTEXT) {
                context = random.record_json(&schema.context);
            }
            random.request(&schema, &context)
        };
        let requests = (0..requests).map(&mut request).collect();
        Self { schema: (!random.wild).then(|| schema.text()), policies, entities, requests }
    }
}

impl Random {
    fn policy(&mut self, schema: &Schema) -> Policy {
        let act = self.below(ACTS.len());
        let (principal, resource) = (self.one(&schema.acts[act].principals), self.one(&schema.acts[act].resources));
        let permits = self.chance(93);
        let template = self.chance(15);
        let mut links = Vec::new();
        let mut sides = Vec::new();
        for (name, kind) in [("principal", principal), ("resource", resource)] {
            sides.push(self.side(name, kind, template));
        }
        let slots: Vec<bool> = sides.iter().map(|s| s.contains('?')).collect();
        if slots.contains(&true) {
            for _ in 0..self.below(4) {
                let mut value = |slot: bool| {
                    slot.then(|| {
                        uid({
                            let kind = self.below(TYPES.len());
                            self.entity(kind)
                        })
                    })
                };
                links.push([value(slots[0]), value(slots[1])]);
            }
        }
        let mut clauses = Vec::new();
        let scope = Scope::new(schema, principal, resource);
        for _ in 0..self.one(&[0, 0, 1, 1, 1, 1, 2, 3]) {
            let word = self.one(&["when", "when", "unless"]);
            let depth = 1 + self.below(DEPTH);
            clauses.push((word, self.expr(&scope, &Kind::Bool, depth, &mut Vec::new())));
        }
        let resource = sides.pop().unwrap_or_default();
        let principal = sides.pop().unwrap_or_default();
        let effect = if permits { "permit" } else { "forbid" };
        Policy { effect, scope: [principal, self.action(act), resource], clauses, links }
    }

    fn side(&mut self, name: &str, kind: usize, template: bool) -> String {
        let of = TYPES[kind];
        if template && self.chance(75) {
            let form = self.one(&["_ == ?_", "_ in ?_", "_ in ?_", "_ is T in ?_"]);
            return form.replace('_', name).replace('T', of);
        }
        match self.below(10) {
            0..4 => format!("{name} is {of}"),
            4..7 if self.chance(80) => name.to_owned(),
            6 => format!("{name} == {}", uid(self.entity(kind))),
            7 | 8 => {
                let above = self.below(TYPES.len());
                format!("{name} in {}", uid(self.entity(above)))
            }
            _ => {
                let above = self.below(TYPES.len());
                format!("{name} is {of} in {}", uid(self.entity(above)))
            }
        }
    }

    fn action(&mut self, act: usize) -> String {
        let name = |id: &str| format!("Action::{}", quoted(id));
        let (own, group) = (name(ACTS[act]), name(self.one(&ACT_GROUPS)));
        match self.below(8) {
            0..4 => "action".to_owned(),
            4 => format!("action == {own}"),
            5 => format!("action in {group}"),
            6 => format!("action in [{own}, {}]", name(self.one(&ACTS))),
            _ => format!("action in [{group}, {own}, {group}]"),
        }
    }

    fn entities(&mut self, schema: &Schema) -> Vec<Value> {
        let mut all: Vec<Value> = Vec::new();
        if self.wild {
            all.extend(ACT_GROUPS.map(|g| json!({ "uid": { "type": "Action", "id": g }, "attrs": {}, "parents": [] })));
            for (id, act) in ACTS.iter().zip(&schema.acts) {
                let parents: Vec<Value> = act.groups.iter().map(|g| json!({ "type": "Action", "id": g })).collect();
                all.push(json!({ "uid": { "type": "Action", "id": id }, "attrs": {}, "parents": parents }));
            }
        }
        // What stands above others comes before them, so there is no cycle.
        let mut before: Vec<(usize, &str)> = Vec::new();
        for id in IDS {
            for (kind, of) in schema.types.iter().enumerate() {
                if self.chance(8) {
                    continue;
                }
                let fit = |p: &&(usize, &str)| self.wild || of.within.contains(&p.0);
                let fit: Vec<(usize, &str)> = before.iter().filter(fit).copied().collect();
                let parents: Vec<Value> =
                    (0..self.below(3)).filter_map(|_| fit.get(self.below(fit.len()))).map(|p| uid_json(*p)).collect();
                let mut tags = serde_json::Map::new();
                if let Some(kind) = &of.tags {
                    for tag in TAGS {
                        if self.chance(50) {
                            tags.insert(tag.to_owned(), self.json(kind));
                        }
                    }
                }
                let attrs = self.record_json(&of.fields);
                all.push(json!({ "uid": uid_json((kind, id)), "attrs": attrs, "tags": tags, "parents": parents }));
                before.push((kind, id));
            }
        }
        all
    }

    fn request(&mut self, schema: &Schema, context: &Value) -> Value {
        let at = self.below(ACTS.len());
        let act = &schema.acts[at];
        let mut kind = |of: &[usize]| if self.wild && self.chance(10) { self.below(TYPES.len()) } else { self.one(of) };
        let (principal, resource) = (kind(&act.principals), kind(&act.resources));
        let id = if self.wild && self.chance(5) { self.one(&["all", "unknown"]) } else { ACTS[at] };
        json!({
            "principal": uid_json(self.entity(principal)), "action": { "type": "Action", "id": id },
            "resource": uid_json(self.entity(resource)), "context": context,
        })
    }
}
