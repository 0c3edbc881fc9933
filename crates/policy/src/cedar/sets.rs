//! Whole policy sets, entities and requests in Cedar's own types: what the compiled engine is made from, and its oracle.

use std::collections::HashMap;
use std::str::FromStr;
use std::sync::Arc;

use super::terms;
use super::{
    AuthorizationError, Authorizer, Context, Decision, EntityUid, EvalResult, Policy, PolicyId, PolicySet, SlotId,
    Template, ValidationMode, Validator, pst,
};
use crate::engine::Answer;
use crate::engine::ext;
use crate::engine::names::Names;
use crate::engine::program::Program;
use crate::engine::request::Asked;
use crate::engine::term::Clause;
use crate::engine::value::{EntityId, Value};
use crate::engine::world::{Land, Row};

/// A text that is not what it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct Unreadable {
    /// The line in the text, from 1; 0 if it concerns the whole.
    pub line: u32,
    /// What is wrong.
    pub what: String,
}

impl Unreadable {
    fn of(error: &(dyn std::error::Error + 'static)) -> Self {
        // Cedar's outer errors only say that there is one; what it is stands in the sources.
        let mut what = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            let text = cause.to_string();
            if !what.contains(&text) {
                what = format!("{what}: {text}");
            }
            source = cause.source();
        }
        Self { line: 0, what }
    }

    fn plain(what: impl Into<String>) -> Self {
        Self { line: 0, what: what.into() }
    }

    pub(crate) fn at(self, line: u32) -> Self {
        Self { line: self.line + line, ..self }
    }
}

/// A schema in Cedar's syntax or in JSON.
pub struct Schema {
    inner: super::Schema,
}

impl Schema {
    /// Reads a schema.
    ///
    /// # Errors
    /// If it is not one.
    pub fn parse(text: &str) -> Result<Self, Unreadable> {
        let inner = if text.trim_start().starts_with('{') {
            super::Schema::from_json_str(text).map_err(|e| Unreadable::of(&e))?
        } else {
            super::Schema::from_cedarschema_str(text).map_err(|e| Unreadable::of(&e))?.0
        };
        Ok(Self { inner })
    }
}

/// Cedar takes a policy apart by recursion, without looking at the stack. Up to this nesting any stack suffices.
const NESTED: usize = 40;
/// Up to this nesting [`STACK`] suffices; beyond it a rule is not taken apart, and Cedar evaluates it.
const MOST_NESTED: usize = 2_000;
/// For nested rules: 64 KiB a level, twice of what it needs without optimisation. Only what is used is ever there.
const STACK: usize = MOST_NESTED * 64 * 1024;

/// No less than how deep the expressions of a text are nested: brackets, and everything that makes a chain.
pub(crate) fn nesting(text: &str) -> usize {
    let (mut depth, mut deepest, mut chained) = (0_usize, 0, 0);
    for byte in text.bytes() {
        match byte {
            b'(' | b'[' | b'{' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            b'.' | b'+' | b'-' | b'*' | b'!' => chained += 1,
            _ => {}
        }
    }
    // An index is a link of a chain as well as a bracket.
    let chains = ["&&", "||", "if", "["].into_iter().map(|link| text.matches(link).count());
    deepest + chained + chains.sum::<usize>()
}

fn translate(policy: &Policy) -> Option<Clause> {
    match policy.to_pst().ok()? {
        pst::Policy::Static(policy) => terms::clause(policy.id().0.as_str(), policy.body()),
        pst::Policy::Linked(link) => {
            let policy = link.into_static_policy().ok()?;
            terms::clause(link.id().0.as_str(), policy.body())
        }
    }
}

/// One statement of a policy text.
pub(crate) enum Statement<'s> {
    Read(Box<Policy>),
    /// A rule of a set.
    Kept(&'s Policy),
    /// It decides nothing until it is linked.
    Template(Box<Template>),
}

impl Statement<'_> {
    /// Reads one statement. The line in the error counts from 0 and is relative to the text.
    pub(crate) fn parse(text: &str, number: usize) -> Result<Self, Unreadable> {
        let id = PolicyId::new(format!("policy{number}"));
        match Policy::parse(Some(id.clone()), text) {
            Ok(policy) => Ok(Self::Read(Box::new(policy))),
            Err(error) => match Template::parse(Some(id), text) {
                Ok(template) => Ok(Self::Template(Box::new(template))),
                Err(_) => {
                    let refused = super::Refused::syntax(text, &error);
                    Err(Unreadable { line: refused.line, what: refused.what })
                }
            },
        }
    }

    /// The statement for the compiler, or for Cedar if the compiler does not cover it; nothing for a template.
    pub(crate) fn clause(&self) -> Option<Result<Clause, Single>> {
        let policy = match self {
            Self::Read(policy) => policy,
            Self::Kept(policy) => *policy,
            Self::Template(_) => return None,
        };
        let nesting = policy.to_cedar().map_or(MOST_NESTED, |text| nesting(&text));
        let clause = if nesting <= NESTED {
            translate(policy)
        } else if nesting <= MOST_NESTED {
            std::thread::scope(|scope| {
                let thread = std::thread::Builder::new().stack_size(STACK).spawn_scoped(scope, || translate(policy));
                thread.ok()?.join().ok()?
            })
        } else {
            None
        };
        Some(clause.ok_or_else(|| Single::of(policy)))
    }
}

/// A rule that Cedar evaluates alone.
pub(crate) struct Single {
    id: String,
    permits: bool,
    set: PolicySet,
}

impl Single {
    fn of(policy: &Policy) -> Self {
        let set = PolicySet::from_policies([policy.clone()]).or_else(|_| {
            // A link comes alone only as the policy that it amounts to. The public syntax tree cannot say every policy; JSON can.
            let json = policy.to_json().map_err(|_| ())?;
            let alone = Policy::from_json(Some(policy.id().clone()), json).map_err(|_| ())?;
            PolicySet::from_policies([alone]).map_err(|_| ())
        });
        let permits = policy.effect() == super::Permission::Permit;
        // A set that stays empty makes the rule an error, which denies or is named.
        Self { id: policy.id().to_string(), permits, set: set.unwrap_or_default() }
    }

    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    pub(crate) fn permits(&self) -> bool {
        self.permits
    }

    /// Whether it holds; nothing if it cannot be evaluated.
    pub(crate) fn holds(&self, request: &Request, entities: &Entities) -> Option<bool> {
        if self.set.is_empty() {
            return None;
        }
        let response = Authorizer::new().is_authorized(&request.inner, &self.set, &entities.inner);
        if response.diagnostics().errors().next().is_some() {
            return None;
        }
        Some(response.diagnostics().reason().next().is_some())
    }
}

/// A policy set as Cedar holds it. Rules are called `policy0`, `policy1`, … in the order in which they come.
#[derive(Default)]
pub struct Rules {
    set: PolicySet,
    next: usize,
}

impl Rules {
    /// Adds the rules and templates of a text.
    ///
    /// # Errors
    /// At the first rule that is not Cedar.
    pub fn add_text(&mut self, text: &str) -> Result<(), Unreadable> {
        for statement in crate::load::statements(text) {
            let added = match Statement::parse(statement.text, self.next).map_err(|e| e.at(statement.line))? {
                Statement::Read(policy) => self.set.add(*policy),
                Statement::Kept(policy) => self.set.add(policy.clone()),
                Statement::Template(template) => self.set.add_template(*template),
            };
            added.map_err(|e| Unreadable::of(&e).at(statement.line))?;
            self.next += 1;
        }
        Ok(())
    }

    /// Adds a set in Cedar's JSON, with the ids, templates and links that it names.
    ///
    /// # Errors
    /// If it is not one, or if it names an id that stands already.
    pub fn add_json(&mut self, text: &str) -> Result<(), Unreadable> {
        let set = PolicySet::from_json_str(text).map_err(|e| Unreadable::of(&e))?;
        self.set.merge(&set, false).map_err(|e| Unreadable::of(&e))?;
        Ok(())
    }

    /// Links a template of the set under a new id; the entities that stand in for its slots as `Type::"id"`.
    ///
    /// # Errors
    /// If there is no such template, if the id stands already, or if the entities do not fit the slots.
    pub fn link(
        &mut self,
        template: &str,
        id: &str,
        principal: Option<&str>,
        resource: Option<&str>,
    ) -> Result<(), Unreadable> {
        let mut values = HashMap::new();
        for (slot, entity) in [(SlotId::principal(), principal), (SlotId::resource(), resource)] {
            if let Some(entity) = entity {
                values.insert(slot, EntityUid::from_str(entity).map_err(|e| Unreadable::of(&e))?);
            }
        }
        self.set.link(PolicyId::new(template), PolicyId::new(id), values).map_err(|e| Unreadable::of(&e))
    }

    /// Reads one whole text as Cedar itself does. That takes far more memory and time than [`Rules::add_text`].
    ///
    /// # Errors
    /// If it is not Cedar.
    pub fn parse_whole(text: &str) -> Result<Self, Unreadable> {
        let set: PolicySet = text.parse().map_err(|e: super::ParseErrors| Unreadable::of(&e))?;
        let next = set.num_of_policies() + set.num_of_templates();
        Ok(Self { set, next })
    }

    /// How many rules there are, with the links of templates.
    pub fn len(&self) -> usize {
        self.set.num_of_policies()
    }

    /// Whether there is no rule.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What strict validation says about the set; nothing if it is valid.
    pub fn validate(&self, schema: &Schema) -> Vec<String> {
        let result = Validator::new(schema.inner.clone()).validate(&self.set, ValidationMode::Strict);
        result.validation_errors().map(ToString::to_string).collect()
    }

    pub(crate) fn statements(&self) -> impl Iterator<Item = Statement<'_>> {
        self.set.policies().map(Statement::Kept)
    }
}

/// A store of entities as Cedar holds it; cheap to clone.
#[derive(Clone)]
pub struct Entities {
    inner: Arc<super::Entities>,
}

impl Entities {
    /// Reads entities in Cedar's JSON. With a schema they are checked, and its actions are added.
    ///
    /// # Errors
    /// If a cycle, an unknown type or a wrong value is in it.
    pub fn parse(json: &str, schema: Option<&Schema>) -> Result<Self, Unreadable> {
        let inner = super::Entities::from_json_str(json, schema.map(|s| &s.inner)).map_err(|e| Unreadable::of(&e))?;
        Ok(Self { inner: Arc::new(inner) })
    }

    pub(crate) fn describe(&self, land: &mut Land) -> Result<(), Unreadable> {
        // Numbers depend on the entities alone and not on the order in which a map gives them, so that the early exit meets the
        // rules in the same order in every process.
        let mut all: Vec<_> = self.inner.iter().map(|entity| (entity.uid(), entity)).collect();
        all.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        for (own, _) in &all {
            number(own, &mut land.names);
        }
        for (own, entity) in all {
            let number = number(&own, &mut land.names);
            let mut row = Row::default();
            if let Some(ancestors) = self.inner.ancestors(&own) {
                let mut ancestors: Vec<&EntityUid> = ancestors.collect();
                ancestors.sort_unstable();
                row.ancestors = ancestors.into_iter().map(|uid| self::number(uid, &mut land.names)).collect();
            }
            let mut field = |(name, result): (&str, Result<EvalResult, _>)| {
                let result =
                    result.map_err(|_| Unreadable::plain(format!("`{name}` of {own} is not a plain value")))?;
                Ok((land.names.sym(name), value(&result, &mut land.names)?))
            };
            let mut attributes: Vec<_> = entity.attrs().map(|(n, v)| (n, v.map_err(|_| ()))).collect();
            attributes.sort_unstable_by_key(|(name, _)| *name);
            row.attributes = attributes.into_iter().map(&mut field).collect::<Result<_, _>>()?;
            let mut tags: Vec<_> = entity.tags().map(|(n, v)| (n, v.map_err(|_| ()))).collect();
            tags.sort_unstable_by_key(|(name, _)| *name);
            row.tags = tags.into_iter().map(&mut field).collect::<Result<_, _>>()?;
            land.world.put(number, row);
        }
        Ok(())
    }
}

/// A request as Cedar holds it; cheap to clone.
#[derive(Clone)]
pub struct Request {
    inner: Arc<super::Request>,
    uids: Arc<[EntityUid; 3]>,
    context: Context,
}

impl Request {
    /// Reads `{"principal", "action", "resource", "context"}`; entities as `{"type", "id"}` or as `Type::"id"`. With a schema
    /// the context is read as the action declares it.
    ///
    /// # Errors
    /// If a part is missing or not what it should be.
    pub fn from_json(json: &serde_json::Value, schema: Option<&Schema>) -> Result<Self, Unreadable> {
        let uids = Self::uids(json)?;
        let context = match json.get("context").filter(|c| !c.is_null()) {
            None => Context::empty(),
            Some(context) => Context::from_json_value(context.clone(), schema.map(|s| (&s.inner, &uids[1])))
                .map_err(|e| Unreadable::plain(format!("`context`: {}", Unreadable::of(&e).what)))?,
        };
        Self::new(uids, context)
    }

    /// The same context with the principal, action and resource of another request.
    ///
    /// # Errors
    /// If one of the three is missing or no entity.
    pub fn with(&self, json: &serde_json::Value) -> Result<Self, Unreadable> {
        Self::new(Self::uids(json)?, self.context.clone())
    }

    fn uids(json: &serde_json::Value) -> Result<[EntityUid; 3], Unreadable> {
        let part = |name: &str| {
            let uid = json.get(name).ok_or_else(|| Unreadable::plain(format!("`{name}` is missing")))?;
            let read = match uid.as_str() {
                Some(text) => EntityUid::from_str(text).map_err(|e| Unreadable::of(&e)),
                None => EntityUid::from_json(uid.clone()).map_err(|e| Unreadable::of(&e)),
            };
            read.map_err(|e| Unreadable::plain(format!("`{name}`: {}", e.what)))
        };
        Ok([part("principal")?, part("action")?, part("resource")?])
    }

    fn new(uids: [EntityUid; 3], context: Context) -> Result<Self, Unreadable> {
        let [principal, action, resource] = uids.clone();
        let inner =
            super::Request::new(principal, action, resource, context.clone(), None).map_err(|e| Unreadable::of(&e))?;
        Ok(Self { inner: Arc::new(inner), uids: Arc::new(uids), context })
    }

    /// What the schema says about the request; nothing if it is valid.
    pub fn validate(&self, schema: &Schema) -> Option<String> {
        let [principal, action, resource] = self.uids.as_ref().clone();
        let checked = super::Request::new(principal, action, resource, self.context.clone(), Some(&schema.inner));
        checked.err().map(|e| Unreadable::of(&e).what)
    }

    pub(crate) fn asked(&self, names: &mut dyn Names) -> Asked {
        let [principal, action, resource] = self.uids.as_ref();
        Asked { principal: number(principal, names), action: number(action, names), resource: number(resource, names) }
    }

    pub(crate) fn context(&self, names: &mut dyn Names) -> Result<Value, Unreadable> {
        let keys = self.context.clone().into_iter().map(|(key, _)| key);
        let mut fields = Vec::new();
        for key in keys {
            let found = self.context.get(&key);
            let found =
                found.ok_or_else(|| Unreadable::plain(format!("`{key}` in the context is not a plain value")))?;
            fields.push((names.sym(&key), value(&found, names)?));
        }
        Ok(Value::record(fields))
    }
}

fn number(uid: &EntityUid, names: &mut dyn Names) -> EntityId {
    names.entity(&uid.type_name().to_string(), uid.id().unescaped())
}

fn value(result: &EvalResult, names: &mut dyn Names) -> Result<Value, Unreadable> {
    Ok(match result {
        EvalResult::Bool(truth) => Value::Bool(*truth),
        EvalResult::Long(n) => Value::Long(*n),
        EvalResult::String(text) => Value::Text(names.sym(text)),
        EvalResult::EntityUid(uid) => Value::Entity(number(uid, names)),
        EvalResult::Set(set) => Value::set(set.iter().map(|item| value(item, names)).collect::<Result<_, _>>()?),
        EvalResult::Record(record) => {
            let fields = record.iter().map(|(name, item)| Ok((names.sym(name), value(item, names)?)));
            Value::record(fields.collect::<Result<_, _>>()?)
        }
        EvalResult::ExtensionValue(text) => extension(text)
            .ok_or_else(|| Unreadable::plain(format!("`{text}` is of a type that the engine does not know")))?,
    })
}

/// The value of an extension type, which Cedar hands out as the text of its constructor.
fn extension(text: &str) -> Option<Value> {
    let plain = text.strip_suffix("\")").and_then(|t| t.split_once("(\""));
    match plain.filter(|(_, argument)| !argument.contains(['"', '\\'])) {
        Some(("ip", argument)) => ext::ip(argument).map(Value::Ip),
        Some(("decimal", argument)) => ext::decimal(argument).map(Value::Decimal),
        Some(("datetime", argument)) => ext::datetime(argument).map(Value::Datetime),
        Some(("duration", argument)) => ext::duration(argument).map(Value::Duration),
        _ => {
            // An instant that was computed comes as an expression.
            let policy =
                Policy::parse(None, format!("permit(principal, action, resource) when {{ {text} == 0 }};")).ok()?;
            let tree = policy.to_pst().ok()?;
            let pst::Clause::When(condition) = tree.body().clauses().first()? else { return None };
            let pst::Expr::BinaryOp { left, .. } = condition.as_ref() else { return None };
            let (mut program, mut land) = (Program::default(), Land::default());
            let at = program.compile(&terms::term(left, 0)?, &mut land);
            crate::engine::constant(&program, &land, at)
        }
    }
}

/// Cedar's own authorizer over a set: the oracle.
pub struct Cedar {
    authorizer: Authorizer,
    rules: Rules,
    entities: Entities,
}

impl Cedar {
    /// Puts rules and entities together.
    pub fn new(rules: Rules, entities: Entities) -> Self {
        Self { authorizer: Authorizer::new(), rules, entities }
    }

    /// Whether Cedar allows the request.
    pub fn allows(&self, request: &Request) -> bool {
        let response = self.authorizer.is_authorized(&request.inner, &self.rules.set, &self.entities.inner);
        response.decision() == Decision::Allow
    }

    /// What Cedar says.
    pub fn answer(&self, request: &Request) -> Answer {
        let response = self.authorizer.is_authorized(&request.inner, &self.rules.set, &self.entities.inner);
        let determining = response.diagnostics().reason().map(ToString::to_string).collect();
        let errors = response
            .diagnostics()
            .errors()
            .map(|AuthorizationError::PolicyEvaluationError(e)| e.policy_id().to_string());
        Answer::new(response.decision() == Decision::Allow, determining, errors.collect())
    }
}
