//! JSON as a security protocol needs it: no member name twice, bounded depth (RFC 7493).
//!
//! Readers disagree about which of two equal names counts; a token with two `sub` claims could mean two people.

use std::collections::BTreeSet;
use std::fmt;

use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

/// How deep values may nest.
const MAX_DEPTH: usize = 16;

/// Why a text was refused: it is not JSON, not of the expected shape, or ambiguous. The text itself is not repeated.
#[derive(Debug, thiserror::Error)]
#[error("line {line}, column {column}: {what}")]
pub struct JsonError {
    line: usize,
    column: usize,
    what: &'static str,
}

/// Reads a value; no object at any depth may hold a member name twice.
///
/// # Errors
/// [`JsonError`] says where.
pub fn from_slice<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, JsonError> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    Unambiguous { depth: 0 }.deserialize(&mut reader).and_then(|()| reader.end()).map_err(told)?;
    serde_json::from_slice(bytes).map_err(told)
}

#[expect(clippy::needless_pass_by_value, reason = "serves as the function of map_err")]
fn told(error: serde_json::Error) -> JsonError {
    use serde_json::error::Category;
    let what = match error.classify() {
        Category::Data => "a member is missing, unknown, repeated, nested too deep, or of the wrong type",
        Category::Syntax => "not JSON",
        Category::Eof | Category::Io => "the text ends too early",
    };
    JsonError { line: error.line(), column: error.column(), what }
}

#[derive(Clone, Copy)]
struct Unambiguous {
    depth: usize,
}

impl Unambiguous {
    fn deeper<E: serde::de::Error>(self) -> Result<Self, E> {
        if self.depth < MAX_DEPTH { Ok(Self { depth: self.depth + 1 }) } else { Err(E::custom("nested too deep")) }
    }
}

impl<'de> DeserializeSeed<'de> for Unambiguous {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Unambiguous {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }
    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }
    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }
    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }
    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }
    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }
    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let inner = self.deeper()?;
        while items.next_element_seed(inner)?.is_some() {}
        Ok(())
    }
    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let inner = self.deeper()?;
        let mut names = BTreeSet::new();
        while let Some(name) = members.next_key::<String>()? {
            if !names.insert(name) {
                return Err(A::Error::custom("a member name appears twice"));
            }
            members.next_value_seed(inner)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn a_repeated_name_is_refused_at_any_depth_however_it_is_spelled() {
        for bad in [r#"{"a":1,"a":1}"#, r#"{"x":[{"a":1,"a":2}]}"#, r#"{"a":1,"\u0061":2}"#, "{", "{}x", ""] {
            assert!(from_slice::<Value>(bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(from_slice::<Value>(br#"{"a":{"a":1},"b":[1,2.5,null,true,"a"]}"#).is_ok());
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
        assert!(from_slice::<Value>(nested(MAX_DEPTH).as_bytes()).is_ok());
        assert!(from_slice::<Value>(nested(MAX_DEPTH + 1).as_bytes()).is_err());
    }

    #[test]
    fn the_error_does_not_repeat_the_text() {
        let error = from_slice::<u8>(br#""canary""#).expect_err("not a number").to_string();
        assert!(!error.contains("canary") && error.contains("line 1"), "{error}");
    }
}
