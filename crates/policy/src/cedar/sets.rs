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
use crate::engine::request::{Asked, Overlay};
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

    /// A schema in Cedar's JSON, whichever way it is written.
    pub(crate) fn outline(text: &str) -> Result<serde_json::Value, Unreadable> {
        if text.trim_start().starts_with('{') {
            return serde_json::from_str(text).map_err(|e| Unreadable::of(&e));
        }
        let (fragment, _) = super::SchemaFragment::from_cedarschema_str(text).map_err(|e| Unreadable::of(&e))?;
        fragment.to_json_value().map_err(|e| Unreadable::of(&e))
    }
}

/// Cedar reads a policy and takes it apart by recursion, without looking at the stack. Up to this nesting any stack suffices.
const NESTED: usize = 40;
/// Up to this nesting [`STACK`] suffices; beyond it a text is not read.
const MOST_NESTED: usize = 2_000;
/// For nested rules: 64 KiB a level, twice of what it needs without optimisation. Only what is used is ever there.
const STACK: usize = MOST_NESTED * 64 * 1024;

/// No less than how deep the expressions of a text are nested: brackets, and everything that makes a chain.
pub(crate) fn nesting(text: &str) -> usize {
    let (mut depth, mut deepest, mut chained) = (0_usize, 0, 0);
    let (mut quoted, mut escaped, mut comment) = (false, false, false);
    let bytes = text.as_bytes();
    for (i, byte) in bytes.iter().enumerate() {
        match byte {
            b'\n' | b'\r' if comment => comment = false,
            _ if comment => {}
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ if quoted => {}
            b'/' if bytes.get(i + 1) == Some(&b'/') => comment = true,
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

/// Runs it on a stack that suffices for so much nesting; nothing if there is no memory for one.
fn with_stack<T: Send>(nesting: usize, run: impl FnOnce() -> T + Send) -> Option<T> {
    if nesting <= NESTED {
        return Some(run());
    }
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(STACK).spawn_scoped(scope, run);
        thread.ok()?.join().ok()
    })
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
    /// Reads one statement on a stack that suffices for it; one that is too deep for any is refused. The line in the error
    /// counts from 0 and is relative to the text.
    pub(crate) fn parse_safely(text: &str, number: usize) -> Result<Self, Unreadable> {
        let nesting = nesting(text);
        if nesting > MOST_NESTED {
            let what = format!("the rule is nested too deeply: more than {MOST_NESTED} brackets, operators and paths");
            return Err(Unreadable::plain(what));
        }
        with_stack(nesting, || Self::parse(text, number))
            .unwrap_or_else(|| Err(Unreadable::plain("there is no memory to read the rule")))
    }

    /// Reads one statement on the stack of the caller.
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

    /// Names and values of the annotations, sorted.
    pub(crate) fn annotations(&self) -> Vec<(&str, &str)> {
        let mut found: Vec<_> = match self {
            Self::Read(policy) => policy.annotations().collect(),
            Self::Kept(policy) => policy.annotations().collect(),
            Self::Template(template) => template.annotations().collect(),
        };
        found.sort_unstable();
        found
    }

    /// The statement for the compiler, or for Cedar if the compiler does not cover it; nothing for a template.
    pub(crate) fn clause(&self) -> Option<Result<Clause, Single>> {
        let policy = match self {
            Self::Read(policy) => policy,
            Self::Kept(policy) => *policy,
            Self::Template(_) => return None,
        };
        let nesting = policy.to_cedar().map_or(MOST_NESTED, |text| nesting(&text));
        let clause = if nesting <= MOST_NESTED { with_stack(nesting, || translate(policy)).flatten() } else { None };
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
        let overlaid =
            if request.properties.iter().any(Option::is_some) { Some(entities.under(request)?) } else { None };
        let entities = overlaid.as_ref().unwrap_or(&entities.inner);
        let response = Authorizer::new().is_authorized(&request.inner, &self.set, entities);
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

    /// What strict validation says, each with the number of its rule where it names one.
    pub(crate) fn findings(&self, schema: &Schema) -> Vec<(Option<usize>, String)> {
        let result = Validator::new(schema.inner.clone()).validate(&self.set, ValidationMode::Strict);
        let number = |id: &PolicyId| id.to_string().strip_prefix("policy").and_then(|n| n.parse().ok());
        let mut found: Vec<_> =
            result.validation_errors().map(|e| (number(e.policy_id()), super::plain(&e.to_string()))).collect();
        found.sort();
        found.dedup();
        found
    }

    /// An annotation of a rule.
    pub(crate) fn note(&self, number: usize, name: &str) -> Option<String> {
        self.set.annotation(&PolicyId::new(format!("policy{number}")), name).map(str::to_owned)
    }

    /// Whether there are templates, which decide nothing until they are linked.
    pub(crate) fn has_templates(&self) -> bool {
        self.set.templates().next().is_some()
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

    /// The entities as a request sees them: what it states of principal and resource goes before what is stored.
    fn under(&self, request: &Request) -> Option<super::Entities> {
        let [principal, _, resource] = request.uids.as_ref();
        let mut entities = self.inner.as_ref().clone();
        // What is said of the principal goes first where both are one.
        for (uid, stated) in [(resource, &request.properties[1]), (principal, &request.properties[0])] {
            let Some(stated) = stated else { continue };
            let (mut attributes, parents, tags) = match entities.get(uid) {
                Some(entity) => {
                    let json = entity.to_json_value().ok()?;
                    let attributes = Context::from_json_value(json.get("attrs")?.clone(), None).ok()?;
                    let tags = json.get("tags").cloned().unwrap_or_else(|| serde_json::json!({}));
                    let tags = Context::from_json_value(tags, None).ok()?;
                    let parents = entities.ancestors(uid)?.cloned().collect::<Vec<_>>();
                    (attributes.into_iter().collect::<HashMap<_, _>>(), parents, tags.into_iter().collect::<Vec<_>>())
                }
                None => (HashMap::new(), Vec::new(), Vec::new()),
            };
            attributes.extend(stated.clone());
            let entity = super::Entity::new_with_tags(uid.clone(), attributes, parents, tags).ok()?;
            entities = entities.upsert_entities([entity], None).ok()?;
        }
        Some(entities)
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
                let numbered = ancestors.into_iter().map(|uid| self::number(uid, &mut land.names));
                let mut numbered: Vec<EntityId> = numbered.collect();
                numbered.sort_unstable();
                row.ancestors = numbered.into();
            }
            let mut field = |(name, result): (&str, Result<EvalResult, _>)| {
                let result =
                    result.map_err(|_| Unreadable::plain(format!("`{name}` of {own} is not a plain value")))?;
                Ok((land.names.sym(name), value(&result, &mut land.names)?))
            };
            let mut attributes: Vec<_> = entity.attrs().map(|(n, v)| (n, v.map_err(|_| ()))).collect();
            let mut tags: Vec<_> = entity.tags().map(|(n, v)| (n, v.map_err(|_| ()))).collect();
            attributes.sort_unstable_by_key(|(name, _)| *name);
            tags.sort_unstable_by_key(|(name, _)| *name);
            let mut attributes: Vec<_> = attributes.into_iter().map(&mut field).collect::<Result<_, _>>()?;
            let mut tags: Vec<_> = tags.into_iter().map(&mut field).collect::<Result<_, _>>()?;
            for fields in [&mut attributes, &mut tags] {
                fields.sort_unstable_by_key(|(name, _)| *name);
            }
            (row.attributes, row.tags) = (attributes.into(), tags.into());
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
    /// What it states of principal and resource, before what is stored.
    properties: [Option<Context>; 2],
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
        Self::of(uids, context, [None, None])
    }

    /// The same context with the principal, action and resource of another request.
    ///
    /// # Errors
    /// If one of the three is missing or no entity.
    pub fn with(&self, json: &serde_json::Value) -> Result<Self, Unreadable> {
        Self::of(Self::uids(json)?, self.context.clone(), self.properties.clone())
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

    fn of(uids: [EntityUid; 3], context: Context, properties: [Option<Context>; 2]) -> Result<Self, Unreadable> {
        let [principal, action, resource] = uids.clone();
        let inner =
            super::Request::new(principal, action, resource, context.clone(), None).map_err(|e| Unreadable::of(&e))?;
        Ok(Self { inner: Arc::new(inner), uids: Arc::new(uids), context, properties })
    }

    /// Adds attributes of the principal and of the resource that count for this request only, before the stored ones; as
    /// JSON objects with Cedar's escapes.
    ///
    /// # Errors
    /// If one of them is not an object of plain values.
    pub fn with_properties(
        mut self,
        principal: Option<serde_json::Value>,
        resource: Option<serde_json::Value>,
    ) -> Result<Self, Unreadable> {
        for (slot, json, name) in [(0, principal, "principal"), (1, resource, "resource")] {
            let Some(json) = json else { continue };
            let read = Context::from_json_value(json, None);
            let read =
                read.map_err(|e| Unreadable::plain(format!("attributes of the {name}: {}", Unreadable::of(&e).what)))?;
            self.properties[slot] = Some(read);
        }
        Ok(self)
    }

    /// The same request with another principal (0), action (1) or resource (2). `None` if that is no entity.
    pub(crate) fn turned(&self, slot: usize, kind: &str, id: &str) -> Option<Self> {
        let mut uids = self.uids.as_ref().clone();
        let kind = super::EntityTypeName::from_str(kind).ok()?;
        *uids.get_mut(slot)? = EntityUid::from_type_name_and_id(kind, super::EntityId::new(id));
        Self::of(uids, self.context.clone(), self.properties.clone()).ok()
    }

    pub(crate) fn overlay(&self, names: &mut dyn Names) -> Result<Option<Overlay>, Unreadable> {
        if self.properties.iter().all(Option::is_none) {
            return Ok(None);
        }
        let mut side = |slot: usize| self.properties[slot].as_ref().map(|c| record(c, names)).transpose();
        Ok(Some(Overlay { principal: side(0)?, resource: side(1)? }))
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
        record(&self.context, names)
    }
}

fn record(context: &Context, names: &mut dyn Names) -> Result<Value, Unreadable> {
    let keys = context.clone().into_iter().map(|(key, _)| key);
    let mut fields = Vec::new();
    for key in keys {
        let found = context.get(&key);
        let found = found.ok_or_else(|| Unreadable::plain(format!("`{key}` in the context is not a plain value")))?;
        fields.push((names.sym(&key), value(&found, names)?));
    }
    Ok(Value::record(fields))
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
        self.respond(request).is_some_and(|response| response.decision() == Decision::Allow)
    }

    /// Nothing if the attributes that the request states cannot be put before the stored ones.
    fn respond(&self, request: &Request) -> Option<super::Response> {
        if request.properties.iter().all(Option::is_none) {
            return Some(self.authorizer.is_authorized(&request.inner, &self.rules.set, &self.entities.inner));
        }
        let entities = self.entities.under(request)?;
        Some(self.authorizer.is_authorized(&request.inner, &self.rules.set, &entities))
    }

    /// What Cedar says.
    pub fn answer(&self, request: &Request) -> Answer {
        let Some(response) = self.respond(request) else {
            return Answer::new(false, Vec::new(), Vec::new());
        };
        let determining = response.diagnostics().reason().map(ToString::to_string).collect();
        let errors = response
            .diagnostics()
            .errors()
            .map(|AuthorizationError::PolicyEvaluationError(e)| e.policy_id().to_string());
        Answer::new(response.decision() == Decision::Allow, determining, errors.collect())
    }
}
