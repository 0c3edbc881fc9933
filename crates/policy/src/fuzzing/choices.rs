//! Bytes as choices: the same bytes make the same policies, entities and requests, and a changed byte changes one choice.

use serde_json::{Value, json};

/// How many entities of each type there are; groups have smaller numbers above them, so that there is no cycle.
const EACH: usize = 4;
/// How deep expressions go.
const DEPTH: usize = 5;
const MOST_POLICIES: usize = 6;
const MOST_REQUESTS: usize = 4;

/// Where the bytes have been read to. After the last one every choice is the first.
pub struct Choices<'b> {
    bytes: &'b [u8],
}

type Words = &'static [&'static str];

const LEAVES: Words = &[
    "true",
    "principal",
    "action",
    "resource",
    "context",
    "false",
    "context.n",
    "context.s",
    "context.r.flag",
    "context.ip",
    "context.at",
    "context.set",
    "principal.n",
    "principal.s",
    "resource.owner",
    "resource.owner.n",
    "resource[\"odd name\"]",
    "principal.dec",
    "context.r",
    "context.none",
    "0",
    "1",
    "-3",
    "- 4",
    "9223372036854775807",
    "-9223372036854775808",
    "\"a\"",
    "\"ab\"",
    "\"*\"",
    "\"\\u{61}\\n\\0\"",
    "[]",
    "{}",
    "ip(\"10.0.0.1\")",
    "ip(\"10.0.0.0/8\")",
    "ip(\"::1\")",
    "ip(\"x\")",
    "decimal(\"1.5\")",
    "decimal(\"1.50\",)",
    "datetime(\"2024-01-01\")",
    "datetime(\"1969-12-31T23:59:59.999Z\")",
    "duration(\"1d2h\")",
    "duration(\"-1ms\")",
    "ip()",
    "unknown(\"a\")",
];
const INFIX: Words = &["==", "!=", "<", "<=", ">", ">=", "&&", "||", "+", "-", "*", "in", "&&", "||"];
const METHODS: Words = &[
    "contains",
    "containsAll",
    "containsAny",
    "isInRange",
    "offset",
    "durationSince",
    "lessThan",
    "greaterThan",
    "lessThanOrEqual",
    "greaterThanOrEqual",
    "hasTag",
    "getTag",
];
const QUESTIONS: Words = &[
    "isEmpty",
    "isIpv4",
    "isIpv6",
    "isLoopback",
    "isMulticast",
    "toDate",
    "toTime",
    "toMilliseconds",
    "toSeconds",
    "toMinutes",
    "toHours",
    "toDays",
];
const ACTIONS: Words = &[
    "action",
    "action == Action::\"read\"",
    "action in Action::\"all\"",
    "action in []",
    "action in (Action::\"read\")",
    "action in [Action::\"read\", (Action::\"all\"),]",
    "action == Action::\"all\"",
    "action == A::Action::\"b\"",
    "action in [A::B::Action::\"c\"]",
    "action",
    "action == User::\"b\"",
];

impl<'b> Choices<'b> {
    /// Begins at the first byte.
    pub fn new(bytes: &'b [u8]) -> Self {
        Self { bytes }
    }

    fn below(&mut self, n: usize) -> usize {
        let Some((first, rest)) = self.bytes.split_first() else { return 0 };
        self.bytes = rest;
        usize::from(*first) % n.max(1)
    }

    fn one(&mut self, words: Words) -> &'static str {
        words.get(self.below(words.len())).copied().unwrap_or_default()
    }

    fn entity(&mut self) -> String {
        let kind = self.one(&["User", "Group", "N::App"]);
        format!("{kind}::\"{}\"", self.below(EACH + 1))
    }

    /// An operand: in brackets more often than needed, without them now and then although they are needed.
    fn inner(&mut self, depth: usize) -> String {
        let inside = self.expression(depth.saturating_sub(1));
        if self.below(12) == 1 { inside } else { format!("({inside})") }
    }

    /// An expression in Cedar's syntax.
    pub fn expression(&mut self, depth: usize) -> String {
        if depth == 0 || self.bytes.is_empty() {
            return if self.below(4) == 3 { self.entity() } else { self.one(LEAVES).to_owned() };
        }
        let a = |it: &mut Self| it.inner(depth);
        match self.below(20) {
            0..=5 => {
                let mut text = a(self);
                for _ in 0..=self.below(3) {
                    let (op, b) = (self.one(INFIX), a(self));
                    text = format!("{text} {op} {b}");
                    if !matches!(op, "&&" | "||" | "+" | "-" | "*") {
                        break;
                    }
                }
                text
            }
            6..=8 => format!("{}.{}({})", a(self), self.one(METHODS), a(self)),
            9 => format!("{}.{}()", a(self), self.one(QUESTIONS)),
            10 => format!("{}{}", self.one(&["!", "-", "!!", "--", "!!!!", "-----"]), a(self)),
            11 => format!("{}({})", self.one(&["ip", "decimal", "datetime", "duration"]), a(self)),
            12 => format!("{}{}", a(self), self.one(&[".n", ".owner", ".flag", ".r", "[\"odd name\"]"])),
            13 => format!(
                "{} has {}",
                a(self),
                self.one(&["n", "owner", "r.flag", "owner.n", "\"odd name\"", "s", "context", "a.in"])
            ),
            14 => format!(
                "{} like \"{}\"",
                a(self),
                self.one(&["a*", "*b", "\\*", "*", "", "a*b*", "**", "\\u{2a}", "x\\x2a", "\\"])
            ),
            15 => format!("{} is {}", a(self), self.one(&["User", "Group", "N::App", "Nothing", "principal", "in"])),
            16 => format!("{} is {} in {}", a(self), self.one(&["User", "N::App"]), a(self)),
            17 => format!("if {} then {} else {}", a(self), a(self), a(self)),
            18 => {
                let items: Vec<String> = (0..self.below(4)).map(|_| a(self)).collect();
                format!("[{}]", items.join(", "))
            }
            _ => format!(
                "{{{}: {}, \"odd name\": {}}}",
                self.one(&["n", "\"n\"", "zz", "\"odd name\""]),
                a(self),
                a(self)
            ),
        }
    }

    fn side(&mut self, name: &str) -> String {
        match self.below(10) {
            0..=4 => name.to_owned(),
            5 => format!("{name} == {}", self.entity()),
            6 | 7 => format!("{name} in {}", self.entity()),
            8 => format!("{name} is {}", self.one(&["User", "N::App"])),
            _ => format!("{name} is User in ({})", self.entity()),
        }
    }

    /// A policy in Cedar's syntax; mostly a valid one.
    pub fn policy(&mut self) -> String {
        let notes = self.one(&["", "", "@id(\"a\") ", "@id @owner(\"\\u{41}\") ", "", "@if ", "@id @id "]);
        let effect = self.one(&["permit", "permit", "forbid"]);
        let (principal, action, resource) = (self.side("principal"), self.one(ACTIONS), self.side("resource"));
        let mut text = format!("{notes}{effect}({principal}, {action}, {resource})");
        for _ in 0..self.below(3) {
            let (word, condition) = (self.one(&["when", "unless"]), self.expression(DEPTH));
            text = format!("{text} {word} {{ {condition} }}");
        }
        text.push(';');
        text
    }

    /// Several policies.
    pub fn policies(&mut self) -> Vec<String> {
        (0..=self.below(MOST_POLICIES)).map(|_| self.policy()).collect()
    }

    fn plain(&mut self) -> Option<Value> {
        let ext = |name: &str, argument: &str| json!({ "__extn": { "fn": name, "arg": argument } });
        Some(match self.below(20) {
            0 => json!(0),
            1 => json!(7),
            2 => json!(i64::MAX),
            3 => json!("a"),
            4 => json!("ab"),
            5 => json!(true),
            6 => json!([1, "a", 1]),
            7 => json!({ "flag": true }),
            8 => json!({ "__entity": { "type": "User", "id": "1" } }),
            9 => json!([{ "__entity": { "type": "Group", "id": "0" } }]),
            10 => ext("ip", "10.0.0.1"),
            11 => ext("ip", "10.0.0.1/32"),
            12 => ext("decimal", "1.5"),
            13 => ext("datetime", "2024-01-01"),
            14 => ext("duration", "1d2h"),
            15 => json!("10.0.0.1"),
            16 => json!({ "flag": { "n": 1 } }),
            _ => return None,
        })
    }

    fn fields(&mut self, names: Words) -> Value {
        Value::Object(names.iter().filter_map(|name| Some(((*name).to_owned(), self.plain()?))).collect())
    }

    /// Entities in Cedar's JSON.
    pub fn entities(&mut self) -> Value {
        let mut all = vec![
            json!({ "uid": { "type": "Action", "id": "read" }, "attrs": {}, "parents": [{ "type": "Action", "id": "all" }] }),
            json!({ "uid": { "type": "Action", "id": "all" }, "attrs": {}, "parents": [] }),
        ];
        for (kind, n) in ["User", "Group", "N::App"].into_iter().flat_map(|kind| (0..EACH).map(move |n| (kind, n))) {
            if self.below(5) == 4 {
                continue;
            }
            let parents = self.below(1 << EACH);
            let above = (0..EACH).filter(|p| parents & (1 << p) != 0 && (kind != "Group" || *p < n));
            let parents: Vec<Value> = above.map(|p| json!({ "type": "Group", "id": p.to_string() })).collect();
            let (attrs, tags) = (self.fields(&["n", "s", "owner", "odd name", "dec"]), self.fields(&["a", "ab", "n"]));
            all.push(json!({ "uid": { "type": kind, "id": n.to_string() }, "attrs": attrs, "tags": tags, "parents": parents }));
        }
        Value::Array(all)
    }

    /// Requests as the engine reads them.
    pub fn requests(&mut self) -> Vec<Value> {
        let one = |it: &mut Self| {
            let action = it.one(&["Action::\"read\"", "Action::\"all\"", "Action::\"other\""]);
            json!({
                "principal": it.entity(), "action": action, "resource": it.entity(),
                "context": it.fields(&["n", "s", "r", "ip", "at", "set"]),
            })
        };
        (0..=self.below(MOST_REQUESTS)).map(|_| one(self)).collect()
    }
}
