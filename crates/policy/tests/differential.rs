//! The compiled engine against Cedar on random policies, entities and requests, many of them ill-typed on purpose. A longer run:
//! `PROPTEST_CASES=100000 cargo test --release -p safeconduct-policy --test differential`.

use proptest::prelude::*;
use safeconduct_policy::engine::{Cedar, Engine, Entities, Mode, Outcome, Request, Rules, Scratch};
use serde_json::{Value, json};

/// How many entities of each type there are; groups have smaller numbers above them, so there is no cycle.
const EACH: usize = 4;

fn one_of(texts: &'static [&'static str]) -> impl Strategy<Value = String> + Clone {
    prop::sample::select(texts).prop_map(str::to_owned)
}

fn entity() -> impl Strategy<Value = String> + Clone {
    (prop::sample::select(&["User", "Group", "N::App"][..]), 0..EACH + 1)
        .prop_map(|(kind, n)| format!("{kind}::\"{n}\""))
}

fn leaf() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => one_of(&["principal", "action", "resource", "context"]),
        4 => one_of(&[
            "context.n", "context.s", "context.r.flag", "context.ip", "context.at", "context.set", "principal.n", "principal.s",
            "resource.owner", "resource.owner.n", "resource[\"odd name\"]", "principal.dec", "context.r", "context.none",
        ]),
        3 => one_of(&["true", "false", "0", "1", "-3", "9223372036854775807", "\"a\"", "\"ab\"", "\"*\"", "[]", "{}"]),
        2 => one_of(&[
            "ip(\"10.0.0.1\")", "ip(\"10.0.0.0/8\")", "ip(\"::1\")", "ip(\"x\")", "decimal(\"1.5\")", "decimal(\"1.50\")",
            "datetime(\"2024-01-01\")", "datetime(\"1969-12-31T23:59:59.999Z\")", "duration(\"1d2h\")", "duration(\"-1ms\")",
        ]),
        2 => entity(),
    ]
}

fn expression() -> impl Strategy<Value = String> {
    leaf().prop_recursive(4, 24, 3, |inner| {
        let e = || inner.clone();
        prop_oneof![
            6 => (e(), one_of(&["==", "!=", "<", "<=", ">", ">=", "&&", "||", "+", "-", "*", "in"]), e())
                .prop_map(|(a, op, b)| format!("(({a}) {op} ({b}))")),
            4 => (e(), one_of(&[
                "contains", "containsAll", "containsAny", "isInRange", "offset", "durationSince", "lessThan", "greaterThan",
                "lessThanOrEqual", "greaterThanOrEqual", "hasTag", "getTag",
            ]), e()).prop_map(|(a, op, b)| format!("({a}).{op}({b})")),
            2 => (e(), one_of(&[
                "isEmpty", "isIpv4", "isIpv6", "isLoopback", "isMulticast", "toDate", "toTime", "toMilliseconds", "toSeconds",
                "toMinutes", "toHours", "toDays",
            ])).prop_map(|(a, op)| format!("({a}).{op}()")),
            2 => (one_of(&["!", "-"]), e()).prop_map(|(op, a)| format!("{op}({a})")),
            1 => (one_of(&["ip", "decimal", "datetime", "duration"]), e()).prop_map(|(f, a)| format!("{f}({a})")),
            2 => (e(), one_of(&[".n", ".owner", ".flag", ".r", "[\"odd name\"]"])).prop_map(|(a, get)| format!("({a}){get}")),
            2 => (e(), one_of(&["n", "owner", "r.flag", "owner.n", "\"odd name\"", "s"])).prop_map(|(a, h)| format!("(({a}) has {h})")),
            1 => (e(), one_of(&["a*", "*b", "\\*", "*", "", "a*b*"])).prop_map(|(a, p)| format!("(({a}) like \"{p}\")")),
            2 => (e(), one_of(&["User", "Group", "N::App", "Nothing"])).prop_map(|(a, t)| format!("(({a}) is {t})")),
            1 => (e(), one_of(&["User", "N::App"]), e()).prop_map(|(a, t, b)| format!("(({a}) is {t} in ({b}))")),
            2 => (e(), e(), e()).prop_map(|(a, b, c)| format!("(if ({a}) then ({b}) else ({c}))")),
            1 => prop::collection::vec(e(), 0..3).prop_map(|items| format!("[{}]", items.join(", "))),
            1 => (e(), e()).prop_map(|(a, b)| format!("{{n: {a}, \"odd name\": {b}}}")),
        ]
    })
}

fn side(name: &'static str) -> impl Strategy<Value = String> {
    prop_oneof![
        6 => Just(name.to_owned()),
        1 => entity().prop_map(move |e| format!("{name} == {e}")),
        2 => entity().prop_map(move |e| format!("{name} in {e}")),
        1 => one_of(&["User", "N::App"]).prop_map(move |t| format!("{name} is {t}")),
        1 => entity().prop_map(move |e| format!("{name} is User in {e}")),
    ]
}

fn action() -> impl Strategy<Value = String> {
    one_of(&[
        "action",
        "action",
        "action == Action::\"read\"",
        "action in Action::\"all\"",
        "action in []",
        "action in [Action::\"read\", Action::\"all\"]",
        "action == Action::\"all\"",
    ])
}

fn policy() -> impl Strategy<Value = String> {
    let clause = (one_of(&["when", "unless"]), expression()).prop_map(|(w, e)| format!("{w} {{ {e} }}"));
    let effect = one_of(&["permit", "permit", "forbid"]);
    (effect, side("principal"), action(), side("resource"), prop::collection::vec(clause, 0..3))
        .prop_map(|(effect, p, a, r, clauses)| format!("{effect}({p}, {a}, {r}) {};", clauses.join(" ")))
}

fn plain() -> impl Strategy<Value = Value> {
    let ext = |name: &str, argument: &str| json!({ "__extn": { "fn": name, "arg": argument } });
    prop::sample::select(vec![
        json!(0),
        json!(7),
        json!(i64::MAX),
        json!("a"),
        json!("ab"),
        json!(true),
        json!([1, "a", 1]),
        json!({ "flag": true }),
        json!({ "__entity": { "type": "User", "id": "1" } }),
        json!([{ "__entity": { "type": "Group", "id": "0" } }]),
        ext("ip", "10.0.0.1"),
        ext("ip", "10.0.0.1/32"),
        ext("decimal", "1.5"),
        ext("datetime", "2024-01-01"),
        ext("duration", "1d2h"),
        json!("10.0.0.1"),
        json!({ "flag": { "n": 1 } }),
    ])
}

fn fields(names: &'static [&'static str]) -> impl Strategy<Value = Value> {
    prop::collection::vec(prop::option::of(plain()), names.len()).prop_map(|values| {
        let pairs = names.iter().zip(values).filter_map(|(name, value)| Some(((*name).to_owned(), value?)));
        Value::Object(pairs.collect())
    })
}

fn entities() -> impl Strategy<Value = Value> {
    let one = (
        fields(&["n", "s", "owner", "odd name", "dec"]),
        fields(&["a", "ab", "n"]),
        prop::bits::u8::masked(0x0f),
        prop::bool::weighted(0.8),
    );
    prop::collection::vec(one, 3 * EACH).prop_map(|rows| {
        let mut all = vec![
            json!({ "uid": { "type": "Action", "id": "read" }, "attrs": {}, "parents": [{ "type": "Action", "id": "all" }] }),
            json!({ "uid": { "type": "Action", "id": "all" }, "attrs": {}, "parents": [] }),
        ];
        for (i, (attrs, tags, parents, _)) in rows.into_iter().enumerate().filter(|(_, (.., there))| *there) {
            let (kind, n) = (["User", "Group", "N::App"][i / EACH], i % EACH);
            let above = (0..EACH).filter(|p| parents & (1 << p) != 0 && (kind != "Group" || *p < n));
            let parents: Vec<Value> = above.map(|p| json!({ "type": "Group", "id": p.to_string() })).collect();
            all.push(json!({ "uid": { "type": kind, "id": n.to_string() }, "attrs": attrs, "tags": tags, "parents": parents }));
        }
        Value::Array(all)
    })
}

fn request() -> impl Strategy<Value = Value> {
    let actions = prop::sample::select(&["Action::\"read\"", "Action::\"all\"", "Action::\"other\""][..]);
    (entity(), actions, entity(), fields(&["n", "s", "r", "ip", "at", "set"])).prop_map(
        |(principal, action, resource, context)| json!({ "principal": principal, "action": action, "resource": resource, "context": context }),
    )
}

proptest! {
    #[test]
    fn the_engine_says_what_cedar_says(
        policies in prop::collection::vec(policy(), 1..8),
        entities in entities(),
        requests in prop::collection::vec(request(), 1..8),
    ) {
        let mut rules = Rules::default();
        for policy in &policies {
            rules.add_text(policy).expect("generated policies are policies");
        }
        let entities = Entities::parse(&entities.to_string(), None).expect("generated entities are entities");
        let engine = Engine::compile(&rules, &entities).expect("generated values are plain");
        prop_assert_eq!(engine.metrics().fallbacks, 0);
        let cedar = Cedar::new(rules, entities);
        let mut scratch = Scratch::default();
        for json in requests {
            let request = Request::from_json(&json, None).expect("generated requests are requests");
            let prepared = engine.prepare(&request).expect("generated values are plain");
            let outcome = prepared.decide(Mode::Exhaustive, &mut scratch);
            let answer = prepared.answer(outcome, &scratch);
            prop_assert_eq!(&answer, &cedar.answer(&request), "{}", json);
            let early = prepared.decide(Mode::EarlyExit, &mut scratch);
            if early == Outcome::Error {
                prop_assert!(!answer.errors.is_empty());
            } else {
                prop_assert_eq!(early.allows(), outcome.allows());
            }
        }
    }
}
