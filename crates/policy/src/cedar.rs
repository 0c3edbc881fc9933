//! Everything that touches the Cedar crate. No other file names it; the rooms below take its types from here.

pub(crate) mod sets;

pub(crate) use sets::nesting;
mod terms;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::IpAddr;
use std::str::FromStr;

use cedar_policy::pst::{self, BinaryOp, Clause, EntityOrSlot, Literal, PatternElem, UnaryOp, Var};
use cedar_policy::{
    AuthorizationError, Authorizer, Context, Decision, Effect as Permission, Entities, Entity, EntityId,
    EntityTypeName, EntityUid, EvalResult, Policy, PolicyId, PolicySet, Request, Response, RestrictedExpression,
    Schema, SchemaFragment, Template, ValidationMode, Validator,
};
use safeconduct_model::{Action, Application, Ask, Class, Principal, RuleId};

use crate::expr::{Compare, Expr, Path};
use crate::facts::Facts;
use crate::rule::{Effect, Rule, Scope};

/// The schema that every policy is checked against.
pub const SCHEMA: &str = include_str!("../../../policies/five_ws.cedarschema");

/// How deep a policy may follow references (RFC 76).
const MAX_LEVEL: u32 = 2;

/// The parsed schema.
pub(crate) struct Door {
    validator: Validator,
}

/// A rule that Cedar accepts, ready to be evaluated.
#[derive(Clone)]
pub(crate) struct Ready {
    policy: Policy,
}

/// What Cedar said about a set of rules.
pub(crate) struct Said {
    pub allowed: bool,
    pub rules: Vec<RuleId>,
    pub errors: Vec<String>,
}

impl Door {
    pub(crate) fn open() -> Self {
        let (schema, _) = Schema::from_cedarschema_str(SCHEMA).expect("the schema of the product is valid Cedar");
        Self { validator: Validator::new(schema) }
    }

    /// Parses one statement. The position in the error is relative to the text.
    pub(crate) fn parse(&self, text: &str) -> Result<(Rule, Ready), Refused> {
        let fallback = PolicyId::new("rule");
        let policy = Policy::parse(Some(fallback), text).map_err(|e| Refused::syntax(text, &e))?;
        let template = match policy.to_pst() {
            Ok(p) => p.body().clone(),
            Err(e) => return Err(Refused::plain(e.to_string())),
        };
        let rule = translate(&template, text).map_err(Refused::plain)?;
        Ok((rule, Ready { policy }))
    }

    /// Strict validation of one rule: types, and how deep it follows references.
    pub(crate) fn validate(&self, ready: &Ready) -> Vec<String> {
        let mut set = PolicySet::new();
        if let Err(e) = set.add(ready.policy.clone()) {
            return vec![e.to_string()];
        }
        let result = self.validator.validate_with_level(&set, ValidationMode::Strict, MAX_LEVEL);
        // The same fault is found once for every action that a rule speaks of; a reader needs it once.
        let told: BTreeSet<String> = result.validation_errors().map(|e| plain(&e.to_string())).collect();
        told.into_iter().collect()
    }
}

/// Why Cedar refused a text.
pub(crate) struct Refused {
    pub line: u32,
    pub what: String,
}

impl Refused {
    fn plain(what: String) -> Self {
        Self { line: 0, what }
    }

    fn syntax(text: &str, errors: &cedar_policy::ParseErrors) -> Self {
        let label = errors.iter().find_map(|e| {
            let offset = miette_offset(e)?;
            Some(u32::try_from(text.get(..offset)?.matches('\n').count()).unwrap_or(0))
        });
        Self { line: label.unwrap_or(0), what: errors.to_string() }
    }
}

fn miette_offset(error: &cedar_policy::ParseError) -> Option<usize> {
    use miette::Diagnostic;
    error.labels()?.next().map(|label| label.offset())
}

/// Cedar's message without the internal rule name in front and the action behind.
fn plain(text: &str) -> String {
    let text = match text.split_once("`: ").or_else(|| text.split_once("`, ")) {
        Some((head, rest)) if head.contains("policy `") => rest,
        _ => text,
    };
    let mut text = text.to_owned();
    for action in Action::ALL {
        text = text.replace(&format!(" for Action::\"{action}\""), "");
    }
    text
}

/// The rules that may speak about one action on one application, ready for Cedar.
pub(crate) struct Bucket {
    set: PolicySet,
}

impl Bucket {
    pub(crate) fn of<'r>(rules: impl Iterator<Item = (&'r RuleId, &'r Ready)>) -> Self {
        let mut set = PolicySet::new();
        for (id, ready) in rules {
            set.add(ready.policy.new_id(PolicyId::new(id.as_str()))).expect("rule ids are unique in a snapshot");
        }
        Self { set }
    }
}

/// One question in Cedar's own types. Built once per ask; time-dependent facts are in `facts`.
pub(crate) struct Question {
    request: Request,
    entities: Entities,
}

impl Question {
    pub(crate) fn of(ask: &Ask, action: Action, facts: &Facts, app: &ReadyApp) -> Option<Self> {
        let (kind, id) = match &ask.who.principal {
            Principal::Person(id) => ("Person", id.as_str()),
            Principal::Workload(id) => ("Workload", id.as_str()),
            Principal::Nobody => return None,
        };
        let principal = uid(kind, id);
        let groups: HashSet<EntityUid> = ask.who.groups.iter().map(|g| uid("Group", g.as_str())).collect();
        let asker = Entity::new_no_attrs(principal.clone(), groups);
        let entities = Entities::from_entities([asker].into_iter().chain(app.entities.iter().cloned()), None).ok()?;
        let request =
            Request::new(principal, uid("Action", action.name()), app.uid.clone(), context(facts), None).ok()?;
        Some(Self { request, entities })
    }

    pub(crate) fn put_to(&self, bucket: &Bucket) -> Said {
        let response = Authorizer::new().is_authorized(&self.request, &bucket.set, &self.entities);
        let rule = |id: &PolicyId| id.to_string().parse::<RuleId>().ok();
        Said {
            allowed: response.decision() == Decision::Allow,
            rules: response.diagnostics().reason().filter_map(rule).collect(),
            errors: response.diagnostics().errors().map(ToString::to_string).collect(),
        }
    }

    /// Whether each of the conditions holds; a condition that cannot be evaluated does not.
    pub(crate) fn holds(&self, conditions: &Conditions) -> Vec<bool> {
        let response = Authorizer::new().is_authorized(&self.request, &conditions.set, &self.entities);
        let satisfied: HashSet<String> = response.diagnostics().reason().map(ToString::to_string).collect();
        (0..conditions.count).map(|i| satisfied.contains(&i.to_string())).collect()
    }
}

/// Single conditions of a rule, each as a policy of its own, to see which one fails.
pub(crate) struct Conditions {
    set: PolicySet,
    count: usize,
}

impl Conditions {
    pub(crate) fn of(conditions: &[Expr]) -> Self {
        let mut set = PolicySet::new();
        for (i, condition) in conditions.iter().enumerate() {
            let text = format!("permit(principal, action, resource) when {{ {condition} }};");
            let policy = Policy::parse(Some(PolicyId::new(i.to_string())), text)
                .expect("a condition prints as the Cedar it was read from");
            set.add(policy).expect("the ids are counted");
        }
        Self { set, count: conditions.len() }
    }
}

/// An application with its assets as Cedar entities.
pub(crate) struct ReadyApp {
    uid: EntityUid,
    entities: Vec<Entity>,
}

impl ReadyApp {
    pub(crate) fn of(app: &Application, assets: &BTreeMap<String, Class>) -> Self {
        let class =
            |c: Class| HashMap::from([("class".to_owned(), RestrictedExpression::new_string(c.name().to_owned()))]);
        let parents: HashSet<EntityUid> = app.assets.iter().map(|a| uid("Asset", a.as_str())).collect();
        let entity = |id: EntityUid, c: Class, parents| {
            Entity::new(id, class(c), parents).expect("a plain text attribute always evaluates")
        };
        let own = uid("Application", app.id.as_str());
        let mut entities = vec![entity(own.clone(), app.class, parents)];
        for asset in &app.assets {
            let known = assets.get(asset.as_str()).copied().unwrap_or_default();
            entities.push(entity(uid("Asset", asset.as_str()), known, HashSet::new()));
        }
        Self { uid: own, entities }
    }
}

fn uid(kind: &str, id: &str) -> EntityUid {
    let name = EntityTypeName::from_str(kind).expect("the entity types of the schema are valid names");
    EntityUid::from_type_name_and_id(name, EntityId::new(id))
}

fn context(facts: &Facts) -> Context {
    let text = |t: &str| RestrictedExpression::new_string(t.to_owned());
    let flag = RestrictedExpression::new_bool;
    let number = RestrictedExpression::new_long;
    let record = |pairs: Vec<(String, RestrictedExpression)>| {
        RestrictedExpression::new_record(pairs).expect("the names in a record are distinct")
    };
    let mut pairs: Vec<(String, RestrictedExpression)> = vec![
        (
            "auth".into(),
            record(vec![
                ("mfa".into(), flag(facts.mfa)),
                ("phishing_resistant".into(), flag(facts.phishing_resistant)),
                ("age".into(), number(facts.auth_age)),
            ]),
        ),
        ("method".into(), text(&facts.method)),
        ("path".into(), text(&facts.path)),
        ("time".into(), number(facts.time)),
        ("weekday".into(), number(facts.weekday)),
        ("minute".into(), number(facts.minute)),
        ("device".into(), record(facts.device.iter().map(|(k, v)| ((*k).to_owned(), flag(*v))).collect())),
        ("granted".into(), flag(facts.granted)),
    ];
    let ip: IpAddr = facts.ip;
    let mut net = vec![("ip".into(), RestrictedExpression::new_ip(ip.to_string())), ("zone".into(), text(&facts.zone))];
    net.extend(facts.country.as_deref().map(|c| ("country".into(), text(c))));
    pairs.push(("net".into(), record(net)));
    pairs.extend(facts.purpose.as_deref().map(|p| ("purpose".into(), text(p))));
    pairs.extend(facts.ticket.as_deref().map(|t| ("ticket".into(), text(t))));
    Context::from_pairs(pairs).expect("the names in the context are distinct and its values are constants")
}

// ---- from Cedar's public syntax tree to ours ----

fn translate(template: &pst::Template, text: &str) -> Result<Rule, String> {
    let mut when = Vec::new();
    let mut unless = Vec::new();
    for clause in template.clauses() {
        match clause {
            Clause::When(e) => when.extend(expr(e).conjuncts().into_iter().cloned()),
            Clause::Unless(e) => unless.push(expr(e)),
        }
    }
    let annotations: BTreeMap<String, String> =
        template.annotations.iter().map(|(k, v)| (k.clone(), v.to_string())).collect();
    let id = annotations.get("id").ok_or("a rule needs an `@id(\"…\")` in front of it")?;
    Ok(Rule {
        id: id.parse().map_err(|e| format!("{e}"))?,
        effect: match template.effect {
            pst::Effect::Permit => Effect::Permit,
            pst::Effect::Forbid => Effect::Forbid,
        },
        principal: principal_scope(&template.principal)?,
        actions: actions(&template.action)?,
        resource: resource_scope(&template.resource)?,
        when,
        unless,
        annotations,
        file: String::new(),
        line: 0,
        text: text.to_owned(),
    })
}

fn entity(e: &EntityOrSlot) -> Result<(String, String), String> {
    match e {
        EntityOrSlot::Entity(uid) => Ok((uid.ty.to_string(), uid.eid.to_string())),
        EntityOrSlot::Slot(slot) => Err(format!("`{slot}` stands for something to be filled in; name it")),
    }
}

fn principal_scope(constraint: &pst::PrincipalConstraint) -> Result<Scope, String> {
    use pst::PrincipalConstraint as P;
    Ok(match constraint {
        P::Any => Scope::Any,
        P::Eq(e) => entity(e).map(|(t, i)| Scope::Is(t, i))?,
        P::In(e) => entity(e).map(|(t, i)| Scope::In(t, i))?,
        P::Is(t) => Scope::Kind(t.to_string(), None),
        P::IsIn(t, e) => Scope::Kind(t.to_string(), Some(entity(e)?)),
    })
}

fn resource_scope(constraint: &pst::ResourceConstraint) -> Result<Scope, String> {
    use pst::ResourceConstraint as R;
    Ok(match constraint {
        R::Any => Scope::Any,
        R::Eq(e) => entity(e).map(|(t, i)| Scope::Is(t, i))?,
        R::In(e) => entity(e).map(|(t, i)| Scope::In(t, i))?,
        R::Is(t) => Scope::Kind(t.to_string(), None),
        R::IsIn(t, e) => Scope::Kind(t.to_string(), Some(entity(e)?)),
    })
}

fn actions(constraint: &pst::ActionConstraint) -> Result<BTreeSet<Action>, String> {
    let one = |uid: &pst::EntityUID| {
        Action::from_name(&uid.eid).ok_or_else(|| format!("`{}` is not an action; use read, write or admin", uid.eid))
    };
    match constraint {
        pst::ActionConstraint::Any => Ok(Action::ALL.into()),
        pst::ActionConstraint::Eq(uid) => Ok([one(uid)?].into()),
        pst::ActionConstraint::In(uids) => uids.iter().map(one).collect(),
    }
}

fn expr(e: &pst::Expr) -> Expr {
    known(e).unwrap_or_else(|| {
        let mut reads = Vec::new();
        collect_paths(e, &mut reads);
        Expr::Other { text: e.to_string(), reads }
    })
}

fn known(e: &pst::Expr) -> Option<Expr> {
    let boxed = |e: &pst::Expr| Box::new(expr(e));
    Some(match e {
        pst::Expr::Literal(Literal::Bool(b)) => Expr::Bool(*b),
        pst::Expr::Literal(Literal::Long(n)) => Expr::Long(*n),
        pst::Expr::Literal(Literal::String(t)) => Expr::Text(t.to_string()),
        pst::Expr::Literal(Literal::EntityUID(uid)) => Expr::Entity(uid.ty.to_string(), uid.eid.to_string()),
        pst::Expr::Var(_) | pst::Expr::GetAttr { .. } => Expr::Path(path(e)?),
        pst::Expr::HasAttr { expr, attrs } => {
            let mut full = path(expr)?;
            full.extend(attrs.iter().map(ToString::to_string));
            Expr::Has(full)
        }
        pst::Expr::UnaryOp { op: UnaryOp::Not, expr } => Expr::Not(boxed(expr)),
        pst::Expr::UnaryOp { op: UnaryOp::Ip, expr } => Expr::Constant("ip", text(expr)?),
        pst::Expr::UnaryOp { op: UnaryOp::Datetime, expr } => Expr::Constant("datetime", text(expr)?),
        pst::Expr::BinaryOp { op, left, right } => {
            let (l, r) = (boxed(left), boxed(right));
            match op {
                BinaryOp::And => Expr::And(l, r),
                BinaryOp::Or => Expr::Or(l, r),
                BinaryOp::Eq => Expr::Compare(Compare::Eq, l, r),
                BinaryOp::NotEq => Expr::Compare(Compare::Ne, l, r),
                BinaryOp::Less => Expr::Compare(Compare::Lt, l, r),
                BinaryOp::LessEq => Expr::Compare(Compare::Le, l, r),
                BinaryOp::Greater => Expr::Compare(Compare::Gt, l, r),
                BinaryOp::GreaterEq => Expr::Compare(Compare::Ge, l, r),
                BinaryOp::Contains => Expr::Contains(l, r),
                BinaryOp::In => Expr::In(l, r),
                BinaryOp::IsInRange => Expr::InRange(l, r),
                _ => return None,
            }
        }
        pst::Expr::Like { expr: of, pattern } => {
            if pattern.contains(&PatternElem::Char('*')) {
                return None;
            }
            let pattern = pattern.iter().map(|p| if let PatternElem::Char(c) = p { *c } else { '*' }).collect();
            Expr::Like(boxed(of), pattern)
        }
        pst::Expr::Set(items) => Expr::Set(items.iter().map(|e| expr(e)).collect()),
        _ => return None,
    })
}

fn text(e: &pst::Expr) -> Option<String> {
    if let pst::Expr::Literal(Literal::String(t)) = e { Some(t.to_string()) } else { None }
}

fn path(e: &pst::Expr) -> Option<Path> {
    match e {
        pst::Expr::Var(v) => Some(vec![
            match v {
                Var::Principal => "principal",
                Var::Action => "action",
                Var::Resource => "resource",
                Var::Context => "context",
            }
            .to_owned(),
        ]),
        pst::Expr::GetAttr { expr, attr } => {
            let plain = !attr.is_empty() && attr.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
            let mut full = path(expr).filter(|_| plain)?;
            full.push(attr.to_string());
            Some(full)
        }
        _ => None,
    }
}

fn collect_paths(e: &pst::Expr, found: &mut Vec<Path>) {
    if let Some(p) = path(e) {
        found.push(p);
        return;
    }
    let mut go = |e: &pst::Expr| collect_paths(e, found);
    match e {
        pst::Expr::UnaryOp { expr, .. }
        | pst::Expr::GetAttr { expr, .. }
        | pst::Expr::HasAttr { expr, .. }
        | pst::Expr::Like { expr, .. } => go(expr),
        pst::Expr::BinaryOp { left, right, .. } => {
            go(left);
            go(right);
        }
        pst::Expr::Is { expr, in_expr, .. } => {
            go(expr);
            in_expr.iter().for_each(|e| go(e));
        }
        pst::Expr::IfThenElse { cond, then_expr, else_expr } => {
            go(cond);
            go(then_expr);
            go(else_expr);
        }
        pst::Expr::Set(items) => items.iter().for_each(|e| go(e)),
        pst::Expr::Record(items) => items.values().for_each(|e| go(e)),
        _ => {}
    }
}
