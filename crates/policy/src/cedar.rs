//! Everything that touches the Cedar crate. No other file names it; the rooms below take its types from here.

pub(crate) mod sets;

pub(crate) use sets::nesting;
mod terms;

use std::collections::{BTreeMap, BTreeSet};

use cedar_policy::pst::{self, BinaryOp, Clause, EntityOrSlot, Literal, PatternElem, UnaryOp, Var};
use cedar_policy::{
    AuthorizationError, Authorizer, Context, Decision, Effect as Permission, Entities, Entity, EntityId,
    EntityTypeName, EntityUid, EvalResult, ParseErrors, Policy, PolicyId, PolicySet, Request, Response, Schema,
    SchemaFragment, SlotId, Template, ValidationMode, Validator,
};
use safeconduct_model::Action;

use crate::engine::term::Term;
use crate::expr::{Compare, Expr, Path};
use crate::rule::{Effect, Rule, Scope, Stage};

/// The schema that every policy is checked against.
pub const SCHEMA: &str = include_str!("../../../policies/five_ws.cedarschema");

/// How deep a policy may follow references (RFC 76).
const MAX_LEVEL: u32 = 2;

/// The parsed schema.
pub(crate) struct Door {
    validator: Validator,
}

/// A rule that Cedar read, on its way to the compiler.
#[derive(Clone)]
pub(crate) struct Ready {
    policy: Policy,
    /// The whole rule; the id is the caller's.
    pub clause: crate::engine::term::Clause,
    /// Each of the rule's `when`, in its order.
    pub when: Vec<Term>,
    /// The parts of each of the rule's `unless`.
    pub unless: Vec<Vec<Term>>,
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
        let ready = ready(policy, &rule, &template);
        Ok((rule, ready.ok_or_else(|| Refused::plain("the rule is nested too deeply".to_owned()))?))
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

// ---- from Cedar's public syntax tree to ours ----

fn translate(template: &pst::Template, text: &str) -> Result<Rule, String> {
    let mut when = Vec::new();
    let mut unless = Vec::new();
    for clause in template.clauses() {
        match clause {
            Clause::When(e) => when.extend(conjuncts(e).into_iter().map(expr)),
            Clause::Unless(e) => unless.push(expr(e)),
        }
    }
    let annotations: BTreeMap<String, String> =
        template.annotations.iter().map(|(k, v)| (k.clone(), v.to_string())).collect();
    let id = annotations.get("id").ok_or("a rule needs an `@id(\"…\")` in front of it")?;
    let stage = match annotations.get("mode") {
        None => Stage::default(),
        Some(text) => {
            let unknown = || format!("`@mode({text:?})` is no mode; write \"shadow\", \"canary:10\" or \"enforce\"");
            Stage::parse(text).ok_or_else(unknown)?
        }
    };
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
        stage,
        annotations,
        file: String::new(),
        line: 0,
        text: text.to_owned(),
    })
}

/// The rule for the compiler, beside the reader's; nothing if it is nested too deeply.
fn ready(policy: Policy, rule: &Rule, template: &pst::Template) -> Option<Ready> {
    let clause = terms::clause(rule.id.as_str(), template)?;
    let parts = |e: &pst::Expr| conjuncts(e).into_iter().map(|e| terms::term(e, 0)).collect::<Option<Vec<_>>>();
    let (mut when, mut unless) = (Vec::new(), Vec::new());
    for clause in template.clauses() {
        match clause {
            Clause::When(e) => when.extend(parts(e)?),
            Clause::Unless(e) => unless.push(parts(e)?),
        }
    }
    Some(Ready { policy, clause, when, unless })
}

/// The parts of a chain of `&&`, left to right.
fn conjuncts(e: &pst::Expr) -> Vec<&pst::Expr> {
    match e {
        pst::Expr::BinaryOp { op: BinaryOp::And, left, right } => {
            let mut all = conjuncts(left);
            all.extend(conjuncts(right));
            all
        }
        other => vec![other],
    }
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
