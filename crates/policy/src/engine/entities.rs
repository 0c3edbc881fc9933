//! Entities read straight into the world: Cedar's JSON without a schema, value by value, with nothing in between. Whatever is
//! not plainly right is left to Cedar's reader, which says what is wrong.

use std::collections::HashMap;
use std::fmt;

use serde::de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::ext;
use super::names::{Known, Names};
use super::value::{EntityId, Sym, Value};
use super::world::{Land, Row};

/// It is not plainly right.
#[derive(Debug)]
pub(super) struct Unclear;

/// Words that are no names.
const RESERVED: [&str; 10] = ["true", "false", "if", "then", "else", "in", "is", "like", "has", "__cedar"];

/// Reads a list of entities.
pub(super) fn read(json: &str) -> Result<Land, Unclear> {
    let mut land = Land::default();
    let mut read = Read { names: &mut land.names, rows: HashMap::new(), order: Vec::new() };
    let mut reader = serde_json::Deserializer::from_str(json);
    reader.deserialize_seq(&mut read).map_err(|_| Unclear)?;
    reader.end().map_err(|_| Unclear)?;
    let Read { mut rows, order, .. } = read;
    let parents: HashMap<EntityId, Vec<EntityId>> =
        rows.iter_mut().map(|(entity, raw)| (*entity, std::mem::take(&mut raw.parents))).collect();
    let mut above = HashMap::new();
    for entity in order {
        let raw = rows.remove(&entity).ok_or(Unclear)?;
        let ancestors = closure(entity, &parents, &mut above)?.into();
        land.world.put(entity, Row { ancestors, attributes: raw.attributes.into(), tags: raw.tags.into() });
    }
    Ok(land)
}

/// Everything that an entity is in, sorted. Entities that are in themselves are not plainly right.
fn closure(
    entity: EntityId,
    parents: &HashMap<EntityId, Vec<EntityId>>,
    above: &mut HashMap<EntityId, Vec<EntityId>>,
) -> Result<Vec<EntityId>, Unclear> {
    let mut found: Vec<EntityId> = Vec::new();
    let mut open: Vec<EntityId> = parents.get(&entity).cloned().unwrap_or_default();
    while let Some(parent) = open.pop() {
        if parent == entity {
            return Err(Unclear);
        }
        if found.contains(&parent) {
            continue;
        }
        found.push(parent);
        match above.get(&parent) {
            Some(known) => open.extend(known),
            None => open.extend(parents.get(&parent).into_iter().flatten()),
        }
    }
    found.sort_unstable();
    if parents.contains_key(&entity) {
        above.insert(entity, found.clone());
    }
    Ok(found)
}

struct Raw {
    parents: Vec<EntityId>,
    attributes: Vec<(Sym, Value)>,
    tags: Vec<(Sym, Value)>,
}

struct Read<'l> {
    names: &'l mut Known,
    rows: HashMap<EntityId, Raw>,
    order: Vec<EntityId>,
}

impl<'de> Visitor<'de> for &mut Read<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of entities")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while list.next_element_seed(One(self))?.is_some() {}
        Ok(())
    }
}

/// One entity.
struct One<'r, 'l>(&'r mut Read<'l>);

impl<'de> DeserializeSeed<'de> for One<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for One<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an entity")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let read = self.0;
        let (mut uid, mut parents, mut attributes, mut tags) = (None, None, None, None);
        while let Some(key) = map.next_key::<String>()? {
            let twice = match key.as_str() {
                "uid" => uid.replace(map.next_value_seed(Uid(read.names))?).is_some(),
                "parents" => parents.replace(map.next_value_seed(Uids(read.names))?).is_some(),
                "attrs" => attributes.replace(map.next_value_seed(Fields(read.names))?).is_some(),
                "tags" => tags.replace(map.next_value_seed(Fields(read.names))?).is_some(),
                _ => true,
            };
            if twice {
                return Err(A::Error::custom("a field that is unknown, or stands twice"));
            }
        }
        let (Some(uid), Some(parents), Some(attributes)) = (uid, parents, attributes) else {
            return Err(A::Error::custom("a field is missing"));
        };
        let raw = Raw { parents, attributes, tags: tags.unwrap_or_default() };
        if read.rows.insert(uid, raw).is_some() {
            return Err(A::Error::custom("an entity stands twice"));
        }
        read.order.push(uid);
        Ok(())
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Plain {
    #[serde(rename = "type")]
    kind: String,
    id: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Call {
    r#fn: String,
    arg: String,
}

impl Plain {
    fn number<E: Error>(&self, names: &mut Known) -> Result<EntityId, E> {
        let name = |part: &str| {
            let mut bytes = part.bytes();
            let head = bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
            head && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_') && !RESERVED.contains(&part)
        };
        if !self.kind.split("::").all(name) {
            return Err(E::custom("not plainly a type"));
        }
        Ok(names.entity(&self.kind, &self.id))
    }
}

/// `{"type", "id"}`, or the same below `__entity`.
struct Uid<'l>(&'l mut Known);

#[derive(Deserialize)]
#[serde(untagged)]
enum EitherUid {
    Escaped(Escaped),
    Plain(Plain),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Escaped {
    __entity: Plain,
}

impl<'de> DeserializeSeed<'de> for Uid<'_> {
    type Value = EntityId;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<EntityId, D::Error> {
        match EitherUid::deserialize(from)? {
            EitherUid::Plain(plain) | EitherUid::Escaped(Escaped { __entity: plain }) => plain.number(self.0),
        }
    }
}

struct Uids<'l>(&'l mut Known);

impl<'de> DeserializeSeed<'de> for Uids<'_> {
    type Value = Vec<EntityId>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Vec<EntityId>, D::Error> {
        from.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Uids<'_> {
    type Value = Vec<EntityId>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of entities")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<EntityId>, A::Error> {
        let mut all = Vec::new();
        while let Some(uid) = list.next_element_seed(Uid(self.0))? {
            all.push(uid);
        }
        Ok(all)
    }
}

/// Names and values, sorted; no name twice.
struct Fields<'l>(&'l mut Known);

impl<'de> DeserializeSeed<'de> for Fields<'_> {
    type Value = Vec<(Sym, Value)>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Vec<(Sym, Value)>, D::Error> {
        from.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Fields<'_> {
    type Value = Vec<(Sym, Value)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("names and values")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Vec<(Sym, Value)>, A::Error> {
        let mut fields = Vec::new();
        while let Some(name) = map.next_key::<String>()? {
            fields.push((self.0.sym(&name), map.next_value_seed(Plainly(self.0))?));
        }
        sorted(fields)
    }
}

fn sorted<E: Error>(mut fields: Vec<(Sym, Value)>) -> Result<Vec<(Sym, Value)>, E> {
    fields.sort_unstable_by_key(|(name, _)| *name);
    if fields.windows(2).any(|pair| pair[0].0 == pair[1].0) {
        return Err(E::custom("a name stands twice"));
    }
    Ok(fields)
}

/// A value.
struct Plainly<'l>(&'l mut Known);

impl<'de> DeserializeSeed<'de> for Plainly<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Value, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Plainly<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a truth value, a whole number, a text, a list or a record")
    }

    fn visit_bool<E: Error>(self, truth: bool) -> Result<Value, E> {
        Ok(Value::Bool(truth))
    }

    fn visit_i64<E: Error>(self, n: i64) -> Result<Value, E> {
        Ok(Value::Long(n))
    }

    fn visit_u64<E: Error>(self, n: u64) -> Result<Value, E> {
        i64::try_from(n).map(Value::Long).map_err(E::custom)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Text(self.0.sym(text)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element_seed(Plainly(self.0))? {
            items.push(item);
        }
        Ok(Value::set(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut fields = Vec::new();
        while let Some(name) = map.next_key::<String>()? {
            match name.as_str() {
                "__entity" if fields.is_empty() => {
                    let uid = map.next_value::<Plain>()?.number(self.0)?;
                    return alone(&mut map, Value::Entity(uid));
                }
                "__extn" if fields.is_empty() => {
                    let Call { r#fn, arg } = map.next_value()?;
                    let value = match r#fn.as_str() {
                        "ip" => ext::ip(&arg).map(Value::Ip),
                        "decimal" => ext::decimal(&arg).map(Value::Decimal),
                        "datetime" => ext::datetime(&arg).map(Value::Datetime),
                        "duration" => ext::duration(&arg).map(Value::Duration),
                        _ => None,
                    };
                    return alone(&mut map, value.ok_or_else(|| A::Error::custom("not plainly a value"))?);
                }
                "__entity" | "__extn" | "__expr" => return Err(A::Error::custom("an escape among names")),
                _ => fields.push((self.0.sym(&name), map.next_value_seed(Plainly(self.0))?)),
            }
        }
        Ok(Value::Record(sorted(fields)?.into()))
    }
}

/// Nothing may stand beside an escape.
fn alone<'de, A: MapAccess<'de>>(map: &mut A, value: Value) -> Result<Value, A::Error> {
    match map.next_key::<String>()? {
        None => Ok(value),
        Some(_) => Err(A::Error::custom("something stands beside an escape")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Entities;
    use proptest::prelude::*;
    use serde_json::{Value as Json, json};
    use std::collections::BTreeMap;

    /// Everything that a land knows, in words.
    fn told(land: &Land) -> BTreeMap<String, String> {
        let name = |sym: Sym| land.names.text(sym).unwrap_or_default().to_owned();
        let entity = |id: EntityId| {
            format!("{}::{}", land.names.kind(id).map(name).unwrap_or_default(), land.names.id(id).unwrap_or_default())
        };
        fn value(v: &Value, name: &dyn Fn(Sym) -> String, entity: &dyn Fn(EntityId) -> String) -> String {
            match v {
                Value::Text(sym) => format!("{:?}", name(*sym)),
                Value::Entity(id) => entity(*id),
                Value::Set(items) => {
                    let mut items: Vec<String> = items.iter().map(|i| value(i, name, entity)).collect();
                    items.sort_unstable();
                    format!("{items:?}")
                }
                Value::Record(fields) => fields_of(fields, name, entity),
                other => format!("{other:?}"),
            }
        }
        fn fields_of(
            fields: &[(Sym, Value)],
            name: &dyn Fn(Sym) -> String,
            entity: &dyn Fn(EntityId) -> String,
        ) -> String {
            let fields: BTreeMap<String, String> =
                fields.iter().map(|(n, v)| (name(*n), value(v, name, entity))).collect();
            format!("{fields:?}")
        }
        let rows = land.names.entities().filter_map(|(id, _)| Some((id, land.world.row(id)?)));
        rows.map(|(id, row)| {
            let mut above: Vec<String> = row.ancestors.iter().map(|a| entity(*a)).collect();
            above.sort_unstable();
            let of = |fields: &[(Sym, Value)]| fields_of(fields, &name, &entity);
            (entity(id), format!("{above:?} {} {}", of(&row.attributes), of(&row.tags)))
        })
        .collect()
    }

    /// By Cedar's reader.
    fn by_cedar(json: &str) -> Option<BTreeMap<String, String>> {
        let mut land = Land::default();
        Entities::parse(json, None).ok()?.describe(&mut land).ok()?;
        Some(told(&land))
    }

    fn value() -> impl Strategy<Value = Json> {
        let leaf = prop_oneof![
            any::<bool>().prop_map(Json::from),
            prop_oneof![any::<i64>(), -2_i64..3].prop_map(Json::from),
            prop::sample::select(vec!["", "a", "é\"\\\n", "10.0.0.1"]).prop_map(Json::from),
            prop::sample::select(vec![
                json!({ "__entity": { "type": "User", "id": "a" } }),
                json!({ "__extn": { "fn": "ip", "arg": "10.0.0.0/8" } }),
                json!({ "__extn": { "fn": "ip", "arg": "nowhere" } }),
                json!({ "__extn": { "fn": "decimal", "arg": "1.25" } }),
                json!({ "__extn": { "fn": "datetime", "arg": "2026-01-01" } }),
                json!({ "__extn": { "fn": "duration", "arg": "1h5m" } }),
                json!({ "__extn": { "fn": "nothing", "arg": "" } }),
                json!({ "__entity": { "type": "User", "id": "a" }, "b": 1 }),
                json!({ "__expr": "1" }),
                Json::Null,
                json!(1.5),
                json!(18_446_744_073_709_551_615_u64),
            ]),
        ];
        leaf.prop_recursive(3, 12, 3, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Json::from),
                prop::collection::btree_map(
                    prop::sample::select(vec!["a", "b c", ""]).prop_map(str::to_owned),
                    inner,
                    0..3
                )
                .prop_map(|m| Json::Object(m.into_iter().collect())),
            ]
        })
    }

    fn uid() -> impl Strategy<Value = Json> {
        let kind =
            prop::sample::select(vec!["User", "Shop::Group", "User", "Shop::Group", "User", "in", "9", "A::", ""]);
        (kind, 0..5_u8, any::<bool>()).prop_map(|(kind, id, escaped)| {
            let plain = json!({ "type": kind, "id": id.to_string() });
            if escaped { json!({ "__entity": plain }) } else { plain }
        })
    }

    fn entity() -> impl Strategy<Value = Json> {
        let fields = || {
            prop::collection::btree_map(
                prop::sample::select(vec!["age", "name"]).prop_map(str::to_owned),
                value(),
                0..3,
            )
        };
        (uid(), prop::collection::vec(uid(), 0..3), fields(), prop::option::of(fields()), 0..40_u8).prop_map(
            |(uid, parents, attrs, tags, odd)| {
                let mut entity = json!({ "uid": uid, "parents": parents, "attrs": attrs });
                if let Some(tags) = tags {
                    entity["tags"] = json!(tags);
                }
                match odd {
                    0 => entity["beside"] = json!(1),
                    1 => drop(entity.as_object_mut().and_then(|e| e.remove("attrs"))),
                    2 => drop(entity.as_object_mut().and_then(|e| e.remove("parents"))),
                    _ => {}
                }
                entity
            },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]
        #[test]
        fn what_is_read_here_is_what_cedar_reads(all in prop::collection::vec(entity(), 0..5)) {
            let json = Json::Array(all).to_string();
            if let Ok(land) = read(&json) {
                prop_assert_eq!(Some(told(&land)), by_cedar(&json), "{}", json);
            }
        }
    }

    #[test]
    fn the_ordinary_is_read_here_and_the_odd_is_left_to_cedar() {
        let ordinary = json!([
            { "uid": { "type": "User", "id": "ann" }, "parents": [{ "type": "Group", "id": "a" }],
              "attrs": { "age": 30, "tags": ["x", "x"], "at": { "__extn": { "fn": "ip", "arg": "10.0.0.1" } } } },
            { "uid": { "type": "Group", "id": "a" }, "parents": [{ "__entity": { "type": "Group", "id": "b" } }], "attrs": {} },
        ]).to_string();
        let land = read(&ordinary).expect("it is ordinary");
        let told = told(&land);
        assert_eq!(Some(&told), by_cedar(&ordinary).as_ref());
        assert!(told["User::ann"].starts_with("[\"Group::a\", \"Group::b\"]"), "{told:?}");
        let row = |id: &str, parent: &str| json!({ "uid": { "type": "G", "id": id }, "parents": [{ "type": "G", "id": parent }], "attrs": {} });
        for odd in [
            json!([row("a", "b"), row("b", "a")]).to_string(),
            json!([row("a", "a")]).to_string(),
            json!([row("a", "b"), row("a", "b")]).to_string(),
            r#"[{"uid": {"type": "G", "id": "a"}, "parents": [], "attrs": {"x": 1, "x": 2}}]"#.to_owned(),
            "[] []".to_owned(),
            "{}".to_owned(),
        ] {
            assert!(read(&odd).is_err(), "{odd}");
        }
    }
}
