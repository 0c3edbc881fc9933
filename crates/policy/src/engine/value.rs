//! What an expression evaluates to.

use std::net::IpAddr;
use std::sync::Arc;

/// A text as a number: equal numbers are equal texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Sym(pub u32);

/// An entity as a number: equal numbers are the same type and id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct EntityId(pub u32);

/// A value of the policy language. Sets are sorted and without duplicates, records are sorted by name, so that equality
/// of the parts is equality of the values.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Value {
    Bool(bool),
    Long(i64),
    Text(Sym),
    Entity(EntityId),
    /// In ten-thousandths.
    Decimal(i64),
    Ip(Net),
    /// Milliseconds since 1970.
    Datetime(i64),
    /// Milliseconds.
    Duration(i64),
    Set(Arc<[Value]>),
    Record(Arc<[(Sym, Value)]>),
}

/// An address with its prefix; one address alone has the longest prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Net {
    pub addr: IpAddr,
    pub prefix: u8,
}

impl Value {
    pub(crate) fn set(mut items: Vec<Self>) -> Self {
        items.sort_unstable();
        items.dedup();
        Self::Set(items.into())
    }

    /// The names must differ.
    pub(crate) fn record(mut fields: Vec<(Sym, Self)>) -> Self {
        fields.sort_unstable_by_key(|(name, _)| *name);
        Self::Record(fields.into())
    }
}

/// The field of a sorted record.
pub(crate) fn field(fields: &[(Sym, Value)], name: Sym) -> Option<&Value> {
    /// Below this a scan is faster than a search.
    const SHORT: usize = 8;
    if fields.len() <= SHORT {
        return fields.iter().find(|(n, _)| *n == name).map(|(_, value)| value);
    }
    fields.binary_search_by_key(&name, |(n, _)| *n).ok().and_then(|at| fields.get(at)).map(|(_, value)| value)
}

/// Whether two sorted sets have an item in common.
pub(crate) fn overlap(a: &[Value], b: &[Value]) -> bool {
    let (few, many) = if a.len() <= b.len() { (a, b) } else { (b, a) };
    few.iter().any(|item| many.binary_search(item).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_know_neither_order_nor_repetition() {
        let long = Value::Long;
        assert_eq!(Value::set(vec![long(2), long(1), long(2)]), Value::set(vec![long(1), long(2)]));
        assert_ne!(Value::set(vec![long(1)]), Value::set(vec![Value::Duration(1)]));
    }

    #[test]
    fn a_field_is_found_in_short_and_long_records() {
        for n in [3_u32, 40] {
            let Value::Record(fields) = Value::record((0..n).rev().map(|i| (Sym(i), Value::Bool(i == 2))).collect())
            else {
                panic!("a record is a record")
            };
            assert_eq!(field(&fields, Sym(2)), Some(&Value::Bool(true)));
            assert_eq!(field(&fields, Sym(n)), None);
        }
    }

    #[test]
    fn a_value_stays_small() {
        assert!(size_of::<Value>() <= 24, "{}", size_of::<Value>());
    }
}
