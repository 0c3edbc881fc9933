//! What a schema declares, and how plain JSON fits it: what is not declared is left out, for no rule can read it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value as Json, json};

/// How deep types may name other types.
const MAX_DEPTH: usize = 16;

/// The declarations of a schema.
#[derive(Debug, Default)]
pub(super) struct Shapes {
    /// By type name, with its namespace.
    entities: BTreeMap<String, Fields>,
    actions: Vec<Action>,
}

/// An action, as the schema declares it.
#[derive(Debug)]
pub(super) struct Action {
    /// `Action`, with its namespace.
    pub kind: String,
    pub id: String,
    pub principals: BTreeSet<String>,
    pub resources: BTreeSet<String>,
    pub context: Fields,
}

/// Declared members, and whether each must be there.
pub(super) type Fields = BTreeMap<String, (Shape, bool)>;

/// A type.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Shape {
    Bool,
    Long,
    Text,
    Entity(String),
    /// By the name of its constructor.
    Extension(&'static str),
    Set(Box<Shape>),
    Record(Fields),
}

impl Shapes {
    /// Reads a schema in Cedar's JSON, which was accepted as a schema before.
    pub(super) fn read(outline: &Json) -> Result<Self, String> {
        let reader = Reader { outline };
        let mut shapes = Self::default();
        for (space, declared) in outline.as_object().into_iter().flatten() {
            for (name, entity) in members(declared, "entityTypes") {
                let fields = entity.get("shape").map(|shape| reader.fields(space, shape, 0)).transpose()?;
                shapes.entities.insert(qualified(space, name), fields.unwrap_or_default());
            }
            for (id, action) in members(declared, "actions") {
                let applies = action.get("appliesTo");
                let kinds = |side: &str| -> BTreeSet<String> {
                    let named = applies.and_then(|a| a.get(side)).and_then(Json::as_array).into_iter().flatten();
                    named.filter_map(Json::as_str).map(|name| reader.entity(space, name)).collect()
                };
                let context = applies.and_then(|a| a.get("context")).map(|c| reader.fields(space, c, 0)).transpose()?;
                shapes.actions.push(Action {
                    kind: qualified(space, "Action"),
                    id: id.clone(),
                    principals: kinds("principalTypes"),
                    resources: kinds("resourceTypes"),
                    context: context.unwrap_or_default(),
                });
            }
        }
        Ok(shapes)
    }

    /// The attributes of an entity type; `None` if the schema has no such type.
    pub(super) fn entity(&self, kind: &str) -> Option<&Fields> {
        self.entities.get(kind)
    }

    /// The name of an entity type, if it is declared.
    pub(super) fn entity_name(&self, kind: &str) -> Option<&str> {
        self.entities.get_key_value(kind).map(|(name, _)| name.as_str())
    }

    /// Every action, with its namespace.
    pub(super) fn actions(&self) -> &[Action] {
        &self.actions
    }
}

fn members<'j>(of: &'j Json, name: &str) -> impl Iterator<Item = (&'j String, &'j Json)> {
    of.get(name).and_then(Json::as_object).into_iter().flatten()
}

fn qualified(space: &str, name: &str) -> String {
    if space.is_empty() || name.contains("::") { name.to_owned() } else { format!("{space}::{name}") }
}

/// Follows the names of types.
struct Reader<'j> {
    outline: &'j Json,
}

impl Reader<'_> {
    fn fields(&self, space: &str, shape: &Json, depth: usize) -> Result<Fields, String> {
        match self.shape(space, shape, depth)? {
            Shape::Record(fields) => Ok(fields),
            other => Err(format!("a record was expected where {other:?} stands")),
        }
    }

    fn shape(&self, space: &str, shape: &Json, depth: usize) -> Result<Shape, String> {
        if depth > MAX_DEPTH {
            return Err(format!("types name other types more than {MAX_DEPTH} deep"));
        }
        let word = shape.get("type").and_then(Json::as_str).ok_or("a type has no name")?;
        let name = shape.get("name").and_then(Json::as_str);
        match (word, name) {
            ("Record", _) => {
                let mut fields = Fields::new();
                for (name, field) in members(shape, "attributes") {
                    let required = field.get("required").and_then(Json::as_bool).unwrap_or(true);
                    fields.insert(name.clone(), (self.shape(space, field, depth + 1)?, required));
                }
                Ok(Shape::Record(fields))
            }
            ("Set", _) => {
                let element = shape.get("element").ok_or("a set has no element")?;
                Ok(Shape::Set(Box::new(self.shape(space, element, depth + 1)?)))
            }
            ("Entity", Some(name)) => Ok(Shape::Entity(self.entity(space, name))),
            ("Extension", Some(name)) => extension(name).ok_or_else(|| format!("no extension is called {name}")),
            ("EntityOrCommon", Some(name)) | (name, None) => self.named(space, name, depth),
            (other, Some(_)) => Err(format!("no type is called {other}")),
        }
    }

    /// A name is a common type, an entity type or a type of the language, looked for in this order.
    fn named(&self, space: &str, name: &str, depth: usize) -> Result<Shape, String> {
        let places = |name: &str| -> Vec<(String, String)> {
            match name.rsplit_once("::") {
                Some((space, name)) => vec![(space.to_owned(), name.to_owned())],
                None => vec![(space.to_owned(), name.to_owned()), (String::new(), name.to_owned())],
            }
        };
        for (space, name) in places(name) {
            let declared = self.outline.get(&space);
            if let Some(common) = declared.and_then(|d| d.get("commonTypes")).and_then(|c| c.get(&name)) {
                return self.shape(&space, common, depth + 1);
            }
            if declared.and_then(|d| d.get("entityTypes")).and_then(|c| c.get(&name)).is_some() {
                return Ok(Shape::Entity(qualified(&space, &name)));
            }
        }
        match name.strip_prefix("__cedar::").unwrap_or(name) {
            "Bool" | "Boolean" => Ok(Shape::Bool),
            "Long" => Ok(Shape::Long),
            "String" => Ok(Shape::Text),
            other => extension(other).ok_or_else(|| format!("no type is called {name}")),
        }
    }

    /// An entity type by its name in a namespace.
    fn entity(&self, space: &str, name: &str) -> String {
        let own = self.outline.get(space).and_then(|d| d.get("entityTypes")).and_then(|e| e.get(name)).is_some();
        if own { qualified(space, name) } else { name.to_owned() }
    }
}

fn extension(name: &str) -> Option<Shape> {
    let constructor = match name.strip_prefix("__cedar::").unwrap_or(name) {
        "ipaddr" => "ip",
        "decimal" => "decimal",
        "datetime" => "datetime",
        "duration" => "duration",
        _ => return None,
    };
    Some(Shape::Extension(constructor))
}

/// Members as the schema declares them, with Cedar's escapes; those that it does not declare are left out. With `whole` every
/// required member must be there.
pub(super) fn fit(fields: &Fields, given: &Map<String, Json>, whole: bool, path: &str) -> Result<Json, String> {
    let mut fitted = Map::new();
    for (name, (shape, required)) in fields {
        let here = format!("{path}.{name}");
        match given.get(name).filter(|value| !value.is_null()) {
            Some(value) => {
                fitted.insert(name.clone(), value_of(shape, value, &here)?);
            }
            None if *required && whole => return Err(format!("`{here}` is missing")),
            None => {}
        }
    }
    Ok(Json::Object(fitted))
}

fn value_of(shape: &Shape, value: &Json, path: &str) -> Result<Json, String> {
    let wrong = |expected: &str| Err(format!("`{path}` is not {expected}"));
    match shape {
        Shape::Bool if value.is_boolean() => Ok(value.clone()),
        Shape::Bool => wrong("true or false"),
        Shape::Long if value.is_i64() => Ok(value.clone()),
        Shape::Long => wrong("a whole number"),
        Shape::Text if value.is_string() => Ok(value.clone()),
        Shape::Text => wrong("a text"),
        Shape::Extension(constructor) => match value.as_str() {
            Some(text) => Ok(json!({ "__extn": { "fn": constructor, "arg": text } })),
            None => wrong(&format!("a text for {constructor}")),
        },
        Shape::Entity(kind) => {
            let id = value.get("id").and_then(Json::as_str).filter(|_| value.get("type") == Some(&json!(kind)));
            match id.or_else(|| value.as_str()) {
                Some(id) => Ok(json!({ "__entity": { "type": kind, "id": id } })),
                None => wrong(&format!("the id of a {kind}")),
            }
        }
        Shape::Set(element) => match value.as_array() {
            Some(items) => {
                items.iter().map(|item| value_of(element, item, path)).collect::<Result<_, _>>().map(Json::Array)
            }
            None => wrong("a list"),
        },
        Shape::Record(fields) => match value.as_object() {
            Some(given) => fit(fields, given, true, path),
            None => wrong("an object"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Schema;

    const SCHEMA: &str = r#"namespace Shop {
        type Place = { ip: ipaddr, floor?: Long };
        entity Team;
        entity User in [Team] = { role?: String, place: Place, teams: Set<Team>, pay: decimal };
        action read, write appliesTo { principal: [User], resource: [Team], context: Place };
    }
    entity Guest;
    action enter appliesTo { principal: [Guest, Shop::User], resource: [Shop::Team] };"#;

    fn shapes() -> Shapes {
        Schema::parse(SCHEMA).unwrap();
        Shapes::read(&Schema::outline(SCHEMA).unwrap()).unwrap()
    }

    fn told(kind: &str, given: &Json, whole: bool) -> String {
        let shapes = shapes();
        let fitted = fit(shapes.entity(kind).unwrap(), given.as_object().unwrap(), whole, "subject");
        fitted.map_or_else(|e| e, |json| json.to_string())
    }

    #[test]
    fn names_are_followed_through_namespaces() {
        let shapes = shapes();
        let read = shapes.actions().iter().find(|a| a.id == "read").unwrap();
        assert_eq!(
            (read.kind.as_str(), read.principals.iter().map(String::as_str).collect::<Vec<_>>()),
            ("Shop::Action", vec!["Shop::User"])
        );
        assert_eq!(read.context["ip"], (Shape::Extension("ip"), true));
        let enter = shapes.actions().iter().find(|a| a.id == "enter").unwrap();
        assert_eq!(enter.principals.iter().collect::<Vec<_>>(), ["Guest", "Shop::User"]);
        let teams = &shapes.entity("Shop::User").unwrap()["teams"].0;
        assert_eq!(*teams, Shape::Set(Box::new(Shape::Entity("Shop::Team".into()))));
        assert!(shapes.entity("User").is_none());
    }

    #[test]
    fn what_is_not_declared_is_left_out_and_what_does_not_fit_is_told() {
        let given = json!({ "role": "admin", "shoe": 44, "place": { "ip": "10.0.0.1", "x": 1 }, "teams": ["a", { "type": "Shop::Team", "id": "b" }] });
        let fitted = r#"{"place":{"ip":{"__extn":{"arg":"10.0.0.1","fn":"ip"}}},"role":"admin","teams":[{"__entity":{"id":"a","type":"Shop::Team"}},{"__entity":{"id":"b","type":"Shop::Team"}}]}"#;
        assert_eq!(
            serde_json::from_str::<Json>(&told("Shop::User", &given, false)).unwrap(),
            serde_json::from_str::<Json>(fitted).unwrap()
        );
        assert_eq!(told("Shop::User", &given, true), "`subject.pay` is missing");
        assert_eq!(told("Shop::User", &json!({ "role": 1 }), false), "`subject.role` is not a text");
        assert_eq!(told("Shop::User", &json!({ "place": {} }), false), "`subject.place.ip` is missing");
        assert_eq!(
            told("Shop::User", &json!({ "teams": [{ "type": "Guest", "id": "b" }] }), false),
            "`subject.teams` is not the id of a Shop::Team"
        );
        assert_eq!(told("Shop::User", &json!({ "role": null }), false), "{}");
    }
}
