//! Evaluation of compiled conditions. It allocates only for sets and records that are put together from parts of the request.

use super::ext;
use super::program::{At, Node, Program};
use super::request::{Facts, Slot};
use super::term::{Binary, Piece, Unary, Var};
use super::value::{EntityId, Net, Sym, Value, field, overlap};
use super::world::{Land, Row};

/// An expression could not be evaluated: a wrong type, something missing, or an overflow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fails;

/// Everything that an evaluation reads.
#[derive(Clone, Copy)]
pub(crate) struct Frame<'a> {
    program: &'a Program,
    land: &'a Land,
    facts: Option<&'a Facts>,
}

/// A value that stands somewhere, or a fresh one.
enum Got<'a> {
    There(&'a Value),
    Fresh(Value),
}

impl Got<'_> {
    fn as_ref(&self) -> &Value {
        match self {
            Self::There(value) => value,
            Self::Fresh(value) => value,
        }
    }

    fn bool(&self) -> Result<bool, Fails> {
        if let Value::Bool(truth) = self.as_ref() { Ok(*truth) } else { Err(Fails) }
    }

    fn long(&self) -> Result<i64, Fails> {
        if let Value::Long(n) = self.as_ref() { Ok(*n) } else { Err(Fails) }
    }

    fn text(&self) -> Result<Sym, Fails> {
        if let Value::Text(sym) = self.as_ref() { Ok(*sym) } else { Err(Fails) }
    }

    fn entity(&self) -> Result<EntityId, Fails> {
        if let Value::Entity(id) = self.as_ref() { Ok(*id) } else { Err(Fails) }
    }

    fn set(&self) -> Result<&[Value], Fails> {
        if let Value::Set(items) = self.as_ref() { Ok(items) } else { Err(Fails) }
    }

    fn decimal(&self) -> Result<i64, Fails> {
        if let Value::Decimal(n) = self.as_ref() { Ok(*n) } else { Err(Fails) }
    }

    fn ip(&self) -> Result<Net, Fails> {
        if let Value::Ip(net) = self.as_ref() { Ok(*net) } else { Err(Fails) }
    }

    fn datetime(&self) -> Result<i64, Fails> {
        if let Value::Datetime(n) = self.as_ref() { Ok(*n) } else { Err(Fails) }
    }

    fn duration(&self) -> Result<i64, Fails> {
        if let Value::Duration(n) = self.as_ref() { Ok(*n) } else { Err(Fails) }
    }
}

impl<'a> Frame<'a> {
    pub(crate) fn new(program: &'a Program, land: &'a Land, facts: &'a Facts) -> Self {
        Self { program, land, facts: Some(facts) }
    }

    /// For constant expressions, which read no variable.
    pub(crate) fn constant(program: &'a Program, land: &'a Land) -> Self {
        Self { program, land, facts: None }
    }

    fn words(&self, sym: Sym) -> Result<&'a str, Fails> {
        let strange = || self.facts.and_then(|facts| facts.strange.text(sym));
        self.land.names.text(sym).or_else(strange).ok_or(Fails)
    }

    /// The type of an entity, whether or not anything describes it.
    pub(crate) fn kind(&self, entity: EntityId) -> Option<Sym> {
        self.land.names.kind(entity).or_else(|| self.facts?.strange.kind(entity))
    }

    /// What is known of an entity: what the request says of it stands before what the snapshot says.
    fn row(&self, entity: EntityId) -> Option<&'a Row> {
        let own = self.facts.and_then(|facts| facts.own(entity));
        own.or_else(|| self.land.world.row(entity))
    }

    /// Sorted, transitive, without the entity itself.
    pub(crate) fn ancestors(&self, entity: EntityId) -> &'a [EntityId] {
        self.row(entity).map_or(&[], |row| &row.ancestors)
    }

    pub(crate) fn within(&self, entity: EntityId, other: EntityId) -> bool {
        entity == other || self.ancestors(entity).binary_search(&other).is_ok()
    }

    /// An attribute of an entity: as the request states it, else as it is known.
    fn attribute(&self, entity: EntityId, name: Sym) -> Option<&'a Value> {
        let stated = self.facts.and_then(|facts| facts.stated(entity, name));
        stated.or_else(|| field(&self.row(entity)?.attributes, name))
    }

    fn tag(&self, entity: EntityId, name: Sym) -> Option<&'a Value> {
        field(&self.row(entity)?.tags, name)
    }

    /// Follows a path of attributes from a value; what is not there is absent, and what has no attributes is wrong.
    pub(crate) fn walk(&self, from: &'a Value, path: &[Sym]) -> Slot {
        let mut here = from;
        for name in path {
            match self.part(here, *name) {
                Ok(Some(next)) => here = next,
                Ok(None) => return Slot::Absent,
                Err(Fails) => return Slot::Wrong,
            }
        }
        Slot::Is(here.clone())
    }

    pub(crate) fn value(&self, at: At) -> Result<Value, Fails> {
        Ok(match self.get(at)? {
            Got::There(value) => value.clone(),
            Got::Fresh(value) => value,
        })
    }

    fn get(&self, at: At) -> Result<Got<'a>, Fails> {
        let fresh = |value| Ok(Got::Fresh(value));
        match self.program.node(at) {
            Node::Const(n) => Ok(Got::There(self.program.constant(n))),
            Node::Fail => Err(Fails),
            Node::Var(var) => {
                let facts = self.facts.ok_or(Fails)?;
                Ok(Got::There(match var {
                    Var::Principal => &facts.principal,
                    Var::Action => &facts.action,
                    Var::Resource => &facts.resource,
                    Var::Context => &facts.context,
                }))
            }
            Node::Path(n) => match self.facts.and_then(|facts| facts.slot(n)) {
                Some(Slot::Is(value)) => Ok(Got::There(value)),
                _ => Err(Fails),
            },
            Node::If(cond, then, other) => self.get(if self.truth(cond)? { then } else { other }),
            Node::Get(of, name) => match self.get(of)? {
                Got::There(value) => self.part(value, name)?.map(Got::There).ok_or(Fails),
                Got::Fresh(value) => match value {
                    Value::Entity(id) => self.attribute(id, name).map(Got::There).ok_or(Fails),
                    Value::Record(fields) => field(&fields, name).cloned().map(Got::Fresh).ok_or(Fails),
                    _ => Err(Fails),
                },
            },
            Node::Set(span) => {
                let items = self.program.list(span).iter().map(|at| self.value(At(*at)));
                fresh(Value::set(items.collect::<Result<_, _>>()?))
            }
            Node::Record(span) => {
                let (pairs, _) = self.program.list(span).as_chunks::<2>();
                let fields = pairs.iter().map(|[name, at]| Ok((Sym(*name), self.value(At(*at))?)));
                fresh(Value::record(fields.collect::<Result<_, _>>()?))
            }
            Node::Unary(op, of) => self.unary(op, of).map(Got::Fresh),
            Node::Binary(op, left, right) => self.binary(op, left, right),
            Node::All(_) | Node::Any(_) | Node::Has(..) | Node::HasPath(_) | Node::Like(..) | Node::Is(..) => {
                self.truth(at).map(|truth| Got::Fresh(Value::Bool(truth)))
            }
        }
    }

    /// An attribute of an entity: as the request states it, else as it is stored.
    /// A field of a record or an attribute of an entity, if it is there; an error for anything else.
    fn part(&self, of: &'a Value, name: Sym) -> Result<Option<&'a Value>, Fails> {
        match of {
            Value::Record(fields) => Ok(field(fields, name)),
            Value::Entity(id) => Ok(self.attribute(*id, name)),
            _ => Err(Fails),
        }
    }

    /// Whether a condition holds.
    pub(crate) fn truth(&self, at: At) -> Result<bool, Fails> {
        match self.program.node(at) {
            Node::All(span) => {
                for item in self.program.list(span) {
                    if !self.truth(At(*item))? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            Node::Any(span) => {
                for item in self.program.list(span) {
                    if self.truth(At(*item))? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            Node::Unary(Unary::Not, of) => self.truth(of).map(|truth| !truth),
            Node::Binary(Binary::Eq, left, right) => Ok(self.get(left)?.as_ref() == self.get(right)?.as_ref()),
            Node::Has(of, path) => {
                let (of, names) = (self.get(of)?, self.program.list(path));
                match &of {
                    Got::There(value) => self.has(value, names),
                    Got::Fresh(value) => self.has(value, names),
                }
            }
            Node::HasPath(n) => match self.facts.and_then(|facts| facts.slot(n)) {
                Some(Slot::Is(_)) => Ok(true),
                Some(Slot::Absent) => Ok(false),
                Some(Slot::Wrong) | None => Err(Fails),
            },
            Node::Like(of, pattern) => Ok(like(self.words(self.get(of)?.text()?)?, self.program.pattern(pattern))),
            Node::Is(of, kind) => Ok(self.kind(self.get(of)?.entity()?) == Some(kind)),
            _ => self.get(at)?.bool(),
        }
    }

    fn has(&self, of: &Value, names: &[u32]) -> Result<bool, Fails> {
        let mut here = of;
        for name in names {
            let next = match here {
                Value::Record(fields) => field(fields, Sym(*name)),
                Value::Entity(id) => self.attribute(*id, Sym(*name)),
                _ => return Err(Fails),
            };
            match next {
                Some(next) => here = next,
                None => return Ok(false),
            }
        }
        Ok(true)
    }

    fn unary(&self, op: Unary, of: At) -> Result<Value, Fails> {
        let of = self.get(of)?;
        let words = || self.words(of.text()?);
        Ok(match op {
            Unary::Not => Value::Bool(!of.bool()?),
            Unary::Neg => Value::Long(of.long()?.checked_neg().ok_or(Fails)?),
            Unary::IsEmpty => Value::Bool(of.set()?.is_empty()),
            Unary::Decimal => Value::Decimal(ext::decimal(words()?).ok_or(Fails)?),
            Unary::Ip => Value::Ip(ext::ip(words()?).ok_or(Fails)?),
            Unary::Datetime => Value::Datetime(ext::datetime(words()?).ok_or(Fails)?),
            Unary::Duration => Value::Duration(ext::duration(words()?).ok_or(Fails)?),
            Unary::IsIpv4 => Value::Bool(of.ip()?.is_v4()),
            Unary::IsIpv6 => Value::Bool(!of.ip()?.is_v4()),
            Unary::IsLoopback => Value::Bool(of.ip()?.is_loopback()),
            Unary::IsMulticast => Value::Bool(of.ip()?.is_multicast()),
            Unary::ToDate => Value::Datetime(ext::to_date(of.datetime()?).ok_or(Fails)?),
            Unary::ToTime => Value::Duration(ext::to_time(of.datetime()?)),
            Unary::ToMilliseconds => Value::Long(of.duration()?),
            Unary::ToSeconds => Value::Long(of.duration()? / 1000),
            Unary::ToMinutes => Value::Long(of.duration()? / 60_000),
            Unary::ToHours => Value::Long(of.duration()? / 3_600_000),
            Unary::ToDays => Value::Long(of.duration()? / 86_400_000),
        })
    }

    fn binary(&self, op: Binary, left: At, right: At) -> Result<Got<'a>, Fails> {
        let (l, r) = (self.get(left)?, self.get(right)?);
        let long = |n: Option<i64>| n.map(Value::Long).ok_or(Fails);
        Ok(Got::Fresh(match op {
            Binary::Eq => Value::Bool(l.as_ref() == r.as_ref()),
            Binary::Less => Value::Bool(compare(l.as_ref(), r.as_ref(), |a, b| a < b)?),
            Binary::LessEq => Value::Bool(compare(l.as_ref(), r.as_ref(), |a, b| a <= b)?),
            Binary::Add => long(l.long()?.checked_add(r.long()?))?,
            Binary::Sub => long(l.long()?.checked_sub(r.long()?))?,
            Binary::Mul => long(l.long()?.checked_mul(r.long()?))?,
            Binary::In => Value::Bool(self.is_in(l.entity()?, r.as_ref())?),
            Binary::Contains => Value::Bool(l.set()?.binary_search(r.as_ref()).is_ok()),
            Binary::ContainsAll => {
                let (l, r) = (l.set()?, r.set()?);
                Value::Bool(r.iter().all(|item| l.binary_search(item).is_ok()))
            }
            Binary::ContainsAny => Value::Bool(overlap(l.set()?, r.set()?)),
            Binary::GetTag => {
                let tag = self.tag(l.entity()?, r.text()?);
                return tag.map(Got::There).ok_or(Fails);
            }
            Binary::HasTag => Value::Bool(self.tag(l.entity()?, r.text()?).is_some()),
            Binary::IsInRange => Value::Bool(l.ip()?.is_in(r.ip()?)),
            Binary::Offset => Value::Datetime(l.datetime()?.checked_add(r.duration()?).ok_or(Fails)?),
            Binary::DurationSince => Value::Duration(l.datetime()?.checked_sub(r.datetime()?).ok_or(Fails)?),
            Binary::DecimalLess => Value::Bool(l.decimal()? < r.decimal()?),
            Binary::DecimalLessEq => Value::Bool(l.decimal()? <= r.decimal()?),
        }))
    }

    fn is_in(&self, entity: EntityId, of: &Value) -> Result<bool, Fails> {
        match of {
            Value::Entity(other) => Ok(self.within(entity, *other)),
            Value::Set(items) => {
                // Every item must be an entity, also those behind the one that decides.
                let mut found = false;
                for item in items.iter() {
                    let Value::Entity(other) = item else { return Err(Fails) };
                    found = found || self.within(entity, *other);
                }
                Ok(found)
            }
            _ => Err(Fails),
        }
    }
}

/// Only numbers, instants and spans of time have an order, each among themselves.
fn compare(l: &Value, r: &Value, holds: impl Fn(i64, i64) -> bool) -> Result<bool, Fails> {
    match (l, r) {
        (Value::Long(a), Value::Long(b))
        | (Value::Datetime(a), Value::Datetime(b))
        | (Value::Duration(a), Value::Duration(b)) => Ok(holds(*a, *b)),
        _ => Err(Fails),
    }
}

/// Whether a text matches a pattern. A failed match goes back to the last run only, so the time is bounded by the product of
/// the two lengths.
fn like(text: &str, pattern: &[Piece]) -> bool {
    let (mut rest, mut pieces) = (text.chars(), pattern);
    let mut last: Option<(std::str::Chars<'_>, &[Piece])> = None;
    loop {
        match pieces.split_first() {
            Some((Piece::AnyRun, [])) => return true,
            Some((Piece::AnyRun, after)) => {
                last = Some((rest.clone(), after));
                pieces = after;
                continue;
            }
            Some((Piece::Char(wanted), after)) => {
                let mut ahead = rest.clone();
                if ahead.next() == Some(*wanted) {
                    (rest, pieces) = (ahead, after);
                    continue;
                }
            }
            None if rest.as_str().is_empty() => return true,
            None => {}
        }
        let Some((mut from, after)) = last.take() else { return false };
        if from.next().is_none() {
            return false;
        }
        (rest, pieces) = (from.clone(), after);
        last = Some((from, after));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_their_runs_allow() {
        let pattern = |text: &str| -> Vec<Piece> {
            text.chars().map(|c| if c == '*' { Piece::AnyRun } else { Piece::Char(c) }).collect()
        };
        for (text, of) in
            [("foo bar", "foo*bar"), ("", ""), ("", "*"), ("abab", "*ab"), ("aXbXc", "a*b*c"), ("yé", "y*")]
        {
            assert!(like(text, &pattern(of)), "{text} like {of}");
        }
        for (text, of) in [("foo", ""), ("", "a"), ("aba", "*ab"), ("foo bar", "*foo"), ("ab", "a*b*c"), ("bar", "ba")]
        {
            assert!(!like(text, &pattern(of)), "{text} like {of}");
        }
    }

    #[test]
    fn only_like_kinds_of_numbers_have_an_order() {
        let less = |a, b| compare(&a, &b, |a, b| a < b);
        assert_eq!(less(Value::Long(1), Value::Long(2)), Ok(true));
        assert_eq!(less(Value::Datetime(2), Value::Datetime(2)), Ok(false));
        assert_eq!(less(Value::Long(1), Value::Duration(2)), Err(Fails));
        assert_eq!(less(Value::Decimal(1), Value::Decimal(2)), Err(Fails));
    }
}
