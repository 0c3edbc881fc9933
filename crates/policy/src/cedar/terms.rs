//! From Cedar's public syntax tree to the engine's terms.

use super::pst::{self, BinaryOp, EntityOrSlot, EntityUID, Literal, PatternElem, UnaryOp};
use crate::engine::term::{Actions, Anchor, Binary, Clause, Piece, Side, Term, Unary, Var};

/// How deep conditions may be nested; deeper ones stay with Cedar.
const MAX_DEPTH: usize = 200;
/// How much of the depth `e is T in g` takes for its `e`, which its term says twice: else terms grow by powers of two.
const DOUBLED: usize = crate::engine::parse::DOUBLED as usize;

/// A policy as a clause, or nothing if it says something that the engine does not know.
pub(super) fn clause(id: &str, policy: &pst::Template) -> Option<Clause> {
    use pst::{ActionConstraint as A, PrincipalConstraint as P, ResourceConstraint as R};
    let side = |kind: Option<&pst::EntityType>, anchor: Anchor| Side { kind: kind.map(ToString::to_string), anchor };
    let principal = match &policy.principal {
        P::Any => side(None, Anchor::Any),
        P::Eq(e) => side(None, is(e)?),
        P::In(e) => side(None, within(e)?),
        P::Is(kind) => side(Some(kind), Anchor::Any),
        P::IsIn(kind, e) => side(Some(kind), within(e)?),
    };
    let resource = match &policy.resource {
        R::Any => side(None, Anchor::Any),
        R::Eq(e) => side(None, is(e)?),
        R::In(e) => side(None, within(e)?),
        R::Is(kind) => side(Some(kind), Anchor::Any),
        R::IsIn(kind, e) => side(Some(kind), within(e)?),
    };
    let actions = match &policy.action {
        A::Any => Actions::Any,
        A::Eq(uid) => {
            let (kind, id) = pair(uid);
            Actions::Is(kind, id)
        }
        A::In(uids) => Actions::In(uids.iter().map(pair).collect()),
    };
    let mut conditions = Vec::new();
    for clause in policy.clauses() {
        match clause {
            pst::Clause::When(e) => flatten(e, BinaryOp::And, 0, &mut conditions)?,
            pst::Clause::Unless(e) => conditions.push(not(term(e, 0)?)),
        }
    }
    let permits = match policy.effect {
        pst::Effect::Permit => true,
        pst::Effect::Forbid => false,
    };
    Some(Clause { id: id.to_owned(), permits, principal, actions, resource, condition: Term::All(conditions) })
}

fn pair(uid: &EntityUID) -> (String, String) {
    (uid.ty.to_string(), uid.eid.to_string())
}

fn uid(e: &EntityOrSlot) -> Option<(String, String)> {
    match e {
        EntityOrSlot::Entity(uid) => Some(pair(uid)),
        EntityOrSlot::Slot(_) => None,
    }
}

fn is(e: &EntityOrSlot) -> Option<Anchor> {
    uid(e).map(|(kind, id)| Anchor::Is(kind, id))
}

fn within(e: &EntityOrSlot) -> Option<Anchor> {
    uid(e).map(|(kind, id)| Anchor::In(kind, id))
}

fn not(term: Term) -> Term {
    Term::Unary(Unary::Not, Box::new(term))
}

/// The parts of a chain of `&&` or `||`, left to right. Chains are long on the left, so that side is a loop.
fn flatten(e: &pst::Expr, op: BinaryOp, depth: usize, parts: &mut Vec<Term>) -> Option<()> {
    let mut rights = Vec::new();
    let mut here = e;
    while let pst::Expr::BinaryOp { op: found, left, right } = here {
        if *found != op {
            break;
        }
        rights.push(right.as_ref());
        here = left;
    }
    parts.push(term(here, depth + 1)?);
    for right in rights.into_iter().rev() {
        parts.push(term(right, depth + 1)?);
    }
    Some(())
}

/// An expression as a term.
pub(super) fn term(e: &pst::Expr, depth: usize) -> Option<Term> {
    if depth > MAX_DEPTH {
        return None;
    }
    let inner = |e: &pst::Expr| term(e, depth + 1);
    let boxed = |e: &pst::Expr| inner(e).map(Box::new);
    Some(match e {
        pst::Expr::Literal(Literal::Bool(truth)) => Term::Bool(*truth),
        pst::Expr::Literal(Literal::Long(n)) => Term::Long(*n),
        pst::Expr::Literal(Literal::String(text)) => Term::Text(text.to_string()),
        pst::Expr::Literal(Literal::EntityUID(uid)) => {
            let (kind, id) = pair(uid);
            Term::Entity(kind, id)
        }
        pst::Expr::Var(var) => Term::Var(match var {
            pst::Var::Principal => Var::Principal,
            pst::Var::Action => Var::Action,
            pst::Var::Resource => Var::Resource,
            pst::Var::Context => Var::Context,
        }),
        pst::Expr::UnaryOp { op, expr } => Term::Unary(unary(*op)?, boxed(expr)?),
        pst::Expr::BinaryOp { op: op @ (BinaryOp::And | BinaryOp::Or), .. } => {
            let mut parts = Vec::new();
            flatten(e, *op, depth, &mut parts)?;
            if *op == BinaryOp::And { Term::All(parts) } else { Term::Any(parts) }
        }
        pst::Expr::BinaryOp { op, left, right } => binary(*op, inner(left)?, inner(right)?)?,
        pst::Expr::GetAttr { expr, attr } => Term::Get(boxed(expr)?, attr.to_string()),
        pst::Expr::HasAttr { expr, attrs } => Term::Has(boxed(expr)?, attrs.iter().map(ToString::to_string).collect()),
        pst::Expr::Like { expr, pattern } => {
            let piece = |p: &PatternElem| if let PatternElem::Char(c) = p { Piece::Char(*c) } else { Piece::AnyRun };
            Term::Like(boxed(expr)?, pattern.iter().map(piece).collect())
        }
        pst::Expr::Is { expr, entity_type, in_expr } => {
            let is = |of: Term| Term::Is(Box::new(of), entity_type.to_string());
            match in_expr {
                None => is(inner(expr)?),
                Some(group) => {
                    let of = term(expr, depth + 1 + DOUBLED)?;
                    Term::All(vec![is(of.clone()), binary(BinaryOp::In, of, inner(group)?)?])
                }
            }
        }
        pst::Expr::IfThenElse { cond, then_expr, else_expr } => {
            Term::If(Box::new([inner(cond)?, inner(then_expr)?, inner(else_expr)?]))
        }
        pst::Expr::Set(items) => Term::Set(items.iter().map(|e| inner(e)).collect::<Option<_>>()?),
        pst::Expr::Record(fields) => {
            Term::Record(fields.iter().map(|(name, e)| Some((name.clone(), inner(e)?))).collect::<Option<_>>()?)
        }
        _ => return None,
    })
}

fn unary(op: UnaryOp) -> Option<Unary> {
    Some(match op {
        UnaryOp::Not => Unary::Not,
        UnaryOp::Neg => Unary::Neg,
        UnaryOp::IsEmpty => Unary::IsEmpty,
        UnaryOp::Datetime => Unary::Datetime,
        UnaryOp::Decimal => Unary::Decimal,
        UnaryOp::Duration => Unary::Duration,
        UnaryOp::Ip => Unary::Ip,
        UnaryOp::IsIPv4 => Unary::IsIpv4,
        UnaryOp::IsIPV6 => Unary::IsIpv6,
        UnaryOp::IsLoopback => Unary::IsLoopback,
        UnaryOp::IsMulticast => Unary::IsMulticast,
        UnaryOp::ToDate => Unary::ToDate,
        UnaryOp::ToTime => Unary::ToTime,
        UnaryOp::ToMilliseconds => Unary::ToMilliseconds,
        UnaryOp::ToSeconds => Unary::ToSeconds,
        UnaryOp::ToMinutes => Unary::ToMinutes,
        UnaryOp::ToHours => Unary::ToHours,
        UnaryOp::ToDays => Unary::ToDays,
        _ => return None,
    })
}

fn binary(op: BinaryOp, left: Term, right: Term) -> Option<Term> {
    let same = |op, left, right| Some(Term::Binary(op, Box::new([left, right])));
    match op {
        BinaryOp::Eq => same(Binary::Eq, left, right),
        BinaryOp::NotEq => same(Binary::Eq, left, right).map(not),
        BinaryOp::Less => same(Binary::Less, left, right),
        BinaryOp::LessEq => same(Binary::LessEq, left, right),
        BinaryOp::Greater => same(Binary::Less, right, left),
        BinaryOp::GreaterEq => same(Binary::LessEq, right, left),
        BinaryOp::Add => same(Binary::Add, left, right),
        BinaryOp::Sub => same(Binary::Sub, left, right),
        BinaryOp::Mul => same(Binary::Mul, left, right),
        BinaryOp::In => same(Binary::In, left, right),
        BinaryOp::Contains => same(Binary::Contains, left, right),
        BinaryOp::ContainsAll => same(Binary::ContainsAll, left, right),
        BinaryOp::ContainsAny => same(Binary::ContainsAny, left, right),
        BinaryOp::GetTag => same(Binary::GetTag, left, right),
        BinaryOp::HasTag => same(Binary::HasTag, left, right),
        BinaryOp::IsInRange => same(Binary::IsInRange, left, right),
        BinaryOp::Offset => same(Binary::Offset, left, right),
        BinaryOp::DurationSince => same(Binary::DurationSince, left, right),
        BinaryOp::DecimalLessThan => same(Binary::DecimalLess, left, right),
        BinaryOp::DecimalLessEq => same(Binary::DecimalLessEq, left, right),
        BinaryOp::DecimalGreater => same(Binary::DecimalLess, right, left),
        BinaryOp::DecimalGreaterEq => same(Binary::DecimalLessEq, right, left),
        _ => None,
    }
}
