//! What values there are: kinds, a random schema over them, literals in Cedar's text and in its JSON.

use serde_json::{Value, json};

use super::Random;

/// The type of a value.
#[derive(Clone, PartialEq)]
pub(crate) enum Kind {
    Bool,
    Long,
    Text,
    Entity(usize),
    Ip,
    Decimal,
    Datetime,
    Duration,
    Set(Box<Kind>),
    Record(Vec<Field>),
}

/// An attribute, or a field of a record.
#[derive(Clone, PartialEq)]
pub(crate) struct Field {
    pub name: &'static str,
    pub kind: Kind,
    pub optional: bool,
}

/// A type of entities.
pub(crate) struct Type {
    pub within: Vec<usize>,
    pub fields: Vec<Field>,
    pub tags: Option<Kind>,
}

/// An action that requests can name.
pub(crate) struct Act {
    pub groups: Vec<&'static str>,
    pub principals: Vec<usize>,
    pub resources: Vec<usize>,
}

/// What a policy set is written for.
pub(crate) struct Schema {
    pub types: Vec<Type>,
    pub acts: Vec<Act>,
    pub context: Vec<Field>,
}

pub(crate) const TYPES: [&str; 4] = ["User", "Group", "N::App", "Deep::Er::Doc"];
pub(crate) const ACTS: [&str; 3] = ["read", "write \u{e9}", "delete"];
pub(crate) const ACT_GROUPS: [&str; 2] = ["all", "some"];
pub(crate) const IDS: [&str; 8] = ["0", "1", "ann", "\u{e9}\u{df}", "\u{65e5}\u{672c}", "a \"b\"", "\\", "\u{1f980}*"];
const NAMES: [&str; 12] =
    ["n", "s", "flag", "owner", "odd name", "if", "\u{fc}n\u{ef}", "set", "rec", "at", "ip", "has"];
pub(crate) const TAGS: [&str; 5] = ["a", "ab", "", "\u{e9}", "odd name"];
const TEXTS: [&str; 10] = ["", "a", "ab", "abab", "a*b", "*", "\u{e9}", "\u{65e5}\u{672c}", "10.0.0.1", "say \"x\\y\""];
const LONGS: [i64; 12] = [0, 1, 2, 3, -1, -3, 7, 10, i64::MAX, i64::MIN, i64::MAX - 1, 4_611_686_018_427_387_904];
const IPS: [&str; 15] = [
    "10.0.0.1",
    "10.0.0.1/32",
    "10.0.0.0/8",
    "10.255.255.255",
    "0.0.0.0/0",
    "0.0.0.0",
    "255.255.255.255",
    "127.0.0.1",
    "127.0.0.0/8",
    "224.0.0.1",
    "224.0.0.0/4",
    "::1",
    "::/0",
    "ff00::/8",
    "fe80::1/64",
];
const DECIMALS: [&str; 8] =
    ["0.0", "-0.0", "1.5", "1.50", "0.0001", "-1.25", "922337203685477.5807", "-922337203685477.5808"];
const INSTANTS: [&str; 9] = [
    "1970-01-01",
    "2024-01-01",
    "2024-02-29T23:59:59Z",
    "2024-02-29T23:59:59.999Z",
    "1969-12-31T23:59:59.999Z",
    "0000-01-01",
    "9999-12-31T23:59:59.999Z",
    "2024-01-01T00:00:00+2359",
    "2024-01-01T00:00:00.001-0100",
];
const SPANS: [&str; 9] =
    ["0ms", "1ms", "-1ms", "24h", "1d2h3m4s5ms", "-1d", "59m", "9223372036854775807ms", "-9223372036854775808ms"];
/// Arguments that constructors refuse, or nearly.
pub(crate) const STRANGE: [&str; 11] = [
    "x",
    "10.0.0.1/33",
    "01.2.3.4",
    "1.23456",
    "1.",
    "2024-02-30",
    "2024-01-01T24:00:00Z",
    "1h1d",
    "9223372036854775808ms",
    "::ffff:10.0.0.1",
    "10.0.0.1/08",
];

impl Schema {
    pub(crate) fn random(random: &mut Random) -> Self {
        let types = (0..TYPES.len())
            .map(|_| Type {
                within: (0..TYPES.len()).filter(|_| random.chance(50)).collect(),
                fields: random.fields(2, 6),
                tags: random.chance(60).then(|| random.kind(1)),
            })
            .collect();
        let some = |random: &mut Random| -> Vec<usize> {
            let few: Vec<usize> = (0..TYPES.len()).filter(|_| random.chance(50)).collect();
            if few.is_empty() { vec![0] } else { few }
        };
        let acts = ACTS.iter().map(|_| Act {
            groups: ACT_GROUPS.into_iter().filter(|_| random.chance(60)).collect(),
            principals: some(random),
            resources: some(random),
        });
        let acts = acts.collect();
        Self { types, acts, context: random.fields(3, 7) }
    }

    /// As Cedar's schema text.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        for (name, of) in TYPES.iter().zip(&self.types) {
            let (space, own) = name.rsplit_once("::").map_or((None, *name), |(space, own)| (Some(space), own));
            let within: Vec<&str> = of.within.iter().map(|t| TYPES[*t]).collect();
            let within = if within.is_empty() { String::new() } else { format!(" in [{}]", within.join(", ")) };
            let tags = of.tags.as_ref().map(|kind| format!(" tags {}", kind.text())).unwrap_or_default();
            let entity = format!("entity {own}{within} = {}{tags};", record_text(&of.fields));
            text += &space.map_or(format!("{entity}\n"), |space| format!("namespace {space} {{ {entity} }}\n"));
        }
        for group in ACT_GROUPS {
            text += &format!("action {};\n", quoted(group));
        }
        for (name, act) in ACTS.iter().zip(&self.acts) {
            let groups: Vec<String> = act.groups.iter().map(|g| format!("Action::{}", quoted(g))).collect();
            let groups = if groups.is_empty() { String::new() } else { format!(" in [{}]", groups.join(", ")) };
            let names = |types: &[usize]| types.iter().map(|t| TYPES[*t]).collect::<Vec<_>>().join(", ");
            text += &format!(
                "action {}{groups} appliesTo {{ principal: [{}], resource: [{}], context: {} }};\n",
                quoted(name),
                names(&act.principals),
                names(&act.resources),
                record_text(&self.context),
            );
        }
        text
    }
}

fn record_text(fields: &[Field]) -> String {
    let fields: Vec<String> = fields
        .iter()
        .map(|f| format!("{}{}: {}", quoted(f.name), if f.optional { "?" } else { "" }, f.kind.text()))
        .collect();
    format!("{{ {} }}", fields.join(", "))
}

impl Kind {
    fn text(&self) -> String {
        match self {
            Self::Bool => "Bool".into(),
            Self::Long => "Long".into(),
            Self::Text => "String".into(),
            Self::Entity(of) => TYPES[*of].into(),
            Self::Ip => "ipaddr".into(),
            Self::Decimal => "decimal".into(),
            Self::Datetime => "datetime".into(),
            Self::Duration => "duration".into(),
            Self::Set(of) => format!("Set<{}>", of.text()),
            Self::Record(fields) => record_text(fields),
        }
    }
}

/// A text as a literal of Cedar.
pub(crate) fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// An entity as a literal of Cedar.
pub(crate) fn uid((kind, id): (usize, &str)) -> String {
    format!("{}::{}", TYPES[kind], quoted(id))
}

/// An entity as Cedar's JSON.
pub(crate) fn uid_json((kind, id): (usize, &str)) -> Value {
    json!({ "type": TYPES[kind], "id": id })
}

impl Random {
    fn fields(&mut self, least: usize, most: usize) -> Vec<Field> {
        let count = least + self.below(most - least + 1);
        let mut fields: Vec<Field> = Vec::new();
        for _ in 0..count {
            let name = self.one(&NAMES);
            if fields.iter().all(|f| f.name != name) {
                let (kind, optional) = (self.kind(2), self.chance(25));
                fields.push(Field { name, kind, optional });
            }
        }
        fields
    }

    pub(crate) fn kind(&mut self, depth: usize) -> Kind {
        match self.below(if depth == 0 { 16 } else { 20 }) {
            0..3 => Kind::Bool,
            3..6 => Kind::Long,
            6..9 => Kind::Text,
            9..12 => Kind::Entity(self.below(TYPES.len())),
            12 => Kind::Ip,
            13 => Kind::Decimal,
            14 => Kind::Datetime,
            15 => Kind::Duration,
            16 | 17 => Kind::Set(Box::new(self.kind(depth - 1))),
            _ => {
                let mut fields = Vec::new();
                for name in ["n", "odd name", "in"] {
                    if self.chance(60) {
                        fields.push(Field { name, kind: self.kind(depth - 1), optional: self.chance(25) });
                    }
                }
                Kind::Record(fields)
            }
        }
    }

    /// An entity; in one case of ten one that nothing describes.
    pub(crate) fn entity(&mut self, kind: usize) -> (usize, &'static str) {
        if self.chance(4) { (kind, "nobody") } else { (kind, self.one(&IDS)) }
    }

    pub(crate) fn long(&mut self) -> i64 {
        let most = if self.chance(80) { 8 } else { LONGS.len() };
        LONGS[self.below(most)]
    }

    pub(crate) fn text(&mut self) -> &'static str {
        self.one(&TEXTS)
    }

    /// The constructor of an extension type and an argument for it.
    pub(crate) fn extension(&mut self, kind: &Kind) -> Option<(&'static str, &'static str)> {
        Some(match kind {
            Kind::Ip => ("ip", self.one(&IPS)),
            Kind::Decimal => ("decimal", self.one(&DECIMALS)),
            Kind::Datetime => ("datetime", self.one(&INSTANTS)),
            Kind::Duration => ("duration", self.one(&SPANS)),
            _ => return None,
        })
    }

    /// A value as Cedar's JSON.
    pub(crate) fn json(&mut self, kind: &Kind) -> Value {
        if self.wild && self.chance(6) {
            let other = self.kind(1);
            return self.exact_json(&other);
        }
        self.exact_json(kind)
    }

    fn exact_json(&mut self, kind: &Kind) -> Value {
        match kind {
            Kind::Bool => json!(self.chance(65)),
            Kind::Long => json!(self.long()),
            Kind::Text => json!(self.text()),
            Kind::Entity(of) => json!({ "__entity": uid_json(self.entity(*of)) }),
            Kind::Set(of) => (0..self.below(4)).map(|_| self.json(of)).collect(),
            Kind::Record(fields) => self.record_json(fields),
            Kind::Ip | Kind::Decimal | Kind::Datetime | Kind::Duration => {
                let (name, argument) = self.extension(kind).expect("the four are extensions");
                json!({ "__extn": { "fn": name, "arg": argument } })
            }
        }
    }

    pub(crate) fn record_json(&mut self, fields: &[Field]) -> Value {
        let mut record = serde_json::Map::new();
        for field in fields {
            let there = if field.optional {
                60
            } else if self.wild {
                95
            } else {
                100
            };
            if self.chance(there) {
                record.insert(field.name.to_owned(), self.json(&field.kind));
            }
        }
        Value::Object(record)
    }
}
