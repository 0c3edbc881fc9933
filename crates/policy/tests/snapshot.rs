//! The snapshot against Cedar: the same rules, asks and instants, decided by the compiled engine over numbered facts and by
//! Cedar's authorizer over a request spelled out from the schema. And the stages of a rule on its way to binding.

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use safeconduct_model::{Application, Ask, Asset, Check, Timestamp};
use safeconduct_policy::engine::{Cedar, Entities, Request, Rules, Schema};
use safeconduct_policy::{
    Bulk, Denial, Grounds, LEAST_ASKED, PolicyText, Rollout, SCHEMA, Snapshot, Sources, Stage, Verdict, shadowed,
};
use serde_json::{Value, json};

const NOW: i64 = 1_790_776_920_000; // Wednesday, 2026-09-30 13:22 UTC

fn applications() -> Vec<Application> {
    let app = |id: &str, assets: &[&str], class: &str| {
        json!({ "id": id, "name": id, "hosts": [format!("{id}.test")], "upstream": "http://127.0.0.1:1", "assets": assets,
            "class": class, "mode": "enforce", "routes": [],
            "hardening": { "allow_encoded_slash": false, "merge_slashes": false, "allow_semicolon": false, "drop_underscore_headers": false } })
    };
    let all =
        [app("wiki", &[], "moderate"), app("ledger", &["books"], "high"), app("pay", &["books", "cash"], "critical")];
    all.into_iter().map(|a| serde_json::from_value(a).expect("the text is an application")).collect()
}

fn assets() -> Vec<Asset> {
    let asset = |id: &str, class: &str| json!({ "id": id, "name": id, "kind": "data", "class": class, "note": "" });
    let all = [asset("books", "high"), asset("cash", "critical")];
    all.into_iter().map(|a| serde_json::from_value(a).expect("the text is an asset")).collect()
}

fn snapshot(text: &str) -> Snapshot {
    let policies = vec![PolicyText { file: "p.cedar".into(), text: text.into() }];
    let sources = Sources { policies, applications: applications(), assets: assets(), zone: jiff::tz::TimeZone::UTC };
    Snapshot::build(1, sources).map_err(|faults| faults[0].to_string()).expect("the rules are valid")
}

const CONDITIONS: [&str; 22] = [
    "context.auth.mfa",
    "context.auth.phishing_resistant",
    "context.auth.age < 600",
    "context.method == \"GET\"",
    "context.path like \"/reports/*\"",
    "context.time >= 1790776920000",
    "[1, 2, 3].contains(context.weekday)",
    "context.minute >= 480 && context.minute < 1080",
    "context.device.compliant",
    "context.device.managed || context.device.known",
    "context.device == context.device",
    "context.net.ip.isInRange(ip(\"10.0.0.0/8\"))",
    "context.net.zone == \"office\"",
    "context.net has country && [\"CH\", \"DE\"].contains(context.net.country)",
    "context has net.country",
    "context.granted",
    "context has purpose && context.purpose == \"close\"",
    "context has purpose && context has ticket",
    "if context.auth.mfa then context.minute < 900 else context.device.firewall",
    "resource.class == \"critical\"",
    "principal in Group::\"audit\"",
    "context.minute * 9223372036854775807 < 0",
];

fn rule() -> impl Strategy<Value = String> {
    let who = select(vec![
        "principal",
        "principal in Group::\"staff\"",
        "principal == Person::\"ann\"",
        "principal is Workload",
        "principal is Person in Group::\"audit\"",
    ]);
    let what = select(vec!["action", "action == Action::\"read\"", "action in [Action::\"read\", Action::\"write\"]"]);
    let which = select(vec![
        "resource",
        "resource == Application::\"wiki\"",
        "resource in Asset::\"books\"",
        "resource is Application in Asset::\"cash\"",
    ]);
    let parts = subsequence(CONDITIONS.to_vec(), 0..4);
    let lift = prop::option::of(select(CONDITIONS.to_vec()));
    (select(vec!["permit", "permit", "permit", "forbid"]), who, what, which, parts, lift).prop_map(
        |(effect, who, what, which, parts, lift)| {
            let when: String = parts.iter().map(|c| format!(" when {{ {c} }}")).collect();
            let unless = lift.map_or_else(String::new, |c| format!(" unless {{ {c} }}"));
            format!("{effect}({who}, {what}, {which}){when}{unless};\n")
        },
    )
}

/// An ask as JSON, and what Cedar is told of it.
fn ask() -> impl Strategy<Value = (Value, Value)> {
    let flags = prop::array::uniform4(any::<bool>());
    let passed = subsequence(Check::ALL.to_vec(), 0..=Check::ALL.len());
    let who = (
        select(vec![("person", "Person", "ann"), ("person", "Person", "bob"), ("workload", "Workload", "job")]),
        subsequence(vec!["audit", "staff", "elsewhere"], 0..3),
    );
    let what = (
        select(vec!["wiki", "ledger", "pay"]),
        select(vec!["read", "write", "admin"]),
        select(vec!["/", "/reports/q3"]),
    );
    let place = (
        select(vec!["10.1.2.3", "192.0.2.1", "2001:db8::1"]),
        prop::option::of(select(vec!["office", "home"])),
        prop::option::of(select(vec!["CH", "FR"])),
    );
    let why = (prop::option::of(select(vec!["close", "audit"])), any::<bool>());
    (flags, passed, who, what, place, why, 0_i64..1200).prop_map(|([mfa, passkey, managed, known], passed, (who, groups), (app, action, path), (ip, zone, country), (purpose, ticket), age)| {
        let (tag, kind, id) = who;
        let passed: BTreeSet<Check> = passed.into_iter().collect();
        let mut methods = vec!["password"];
        methods.extend(mfa.then_some("totp"));
        methods.extend(passkey.then_some("passkey"));
        let required = [Check::DiskEncrypted, Check::Firewall];
        let device = known.then(|| json!({ "id": "d1", "managed": managed, "reported": NOW - 60_000, "max_age": 900_000, "passed": passed, "required": required }));
        let stated = purpose.map(|p| json!({ "purpose": p, "ticket": ticket.then_some("T-1") }));
        let ask = json!({
            "request": "r1",
            "who": { "principal": { tag: id }, "groups": groups,
                "auth": { "session": "s1", "methods": methods, "at": NOW - age * 1000, "until": NOW + 3_600_000 } },
            "what": { "app": app, "action": action, "method": "GET", "path": path },
            "place": { "ip": ip, "network": zone, "country": country, "device": device },
            "why": { "stated": stated },
        });
        let holds = |c: Check| known && passed.contains(&c);
        let mut net = json!({ "ip": { "__extn": { "fn": "ip", "arg": ip } }, "zone": zone.unwrap_or("other") });
        if let Some(country) = country {
            net["country"] = json!(country);
        }
        let mut context = json!({
            "auth": { "mfa": mfa || passkey, "phishing_resistant": passkey, "age": age },
            "method": "GET", "path": path, "time": NOW, "weekday": 3, "minute": 13 * 60 + 22,
            "device": { "known": known, "managed": known && managed, "compliant": required.iter().all(|c| holds(*c)),
                "disk_encrypted": holds(Check::DiskEncrypted), "endpoint_protection": holds(Check::EndpointProtection),
                "os_current": holds(Check::OsCurrent), "firewall": holds(Check::Firewall), "screen_lock": holds(Check::ScreenLock) },
            "net": net, "granted": false,
        });
        if let Some(purpose) = purpose {
            context["purpose"] = json!(purpose);
            if ticket {
                context["ticket"] = json!("T-1");
            }
        }
        let told = json!({
            "principal": { "type": kind, "id": id }, "action": { "type": "Action", "id": action },
            "resource": { "type": "Application", "id": app }, "context": context,
            "groups": groups,
        });
        (ask, told)
    })
}

/// Cedar over the same rules; rules are called `policy0`, `policy1`, …
fn cedar(text: &str, told: &Value) -> (bool, Vec<String>, Vec<String>) {
    thread_local! {
        static FIVE_WS: Schema = Schema::parse(SCHEMA).expect("the schema of the product is one");
    }
    FIVE_WS.with(|schema| cedar_with(schema, text, told))
}

fn cedar_with(schema: &Schema, text: &str, told: &Value) -> (bool, Vec<String>, Vec<String>) {
    let uid = |kind: &str, id: &str| json!({ "type": kind, "id": id });
    let groups = told["groups"].as_array().cloned().unwrap_or_default();
    let mut entities = vec![json!({ "uid": told["principal"], "attrs": {},
        "parents": groups.iter().map(|g| uid("Group", g.as_str().unwrap_or_default())).collect::<Vec<_>>() })];
    for asset in assets() {
        entities.push(
            json!({ "uid": uid("Asset", asset.id.as_str()), "attrs": { "class": asset.class.name() }, "parents": [] }),
        );
    }
    for app in applications() {
        let parents: Vec<_> = app.assets.iter().map(|a| uid("Asset", a.as_str())).collect();
        entities.push(json!({ "uid": uid("Application", app.id.as_str()), "attrs": { "class": app.class.name() }, "parents": parents }));
    }
    let entities =
        Entities::parse(&Value::Array(entities).to_string(), Some(schema)).expect("the entities fit the schema");
    let request = Request::from_json(told, Some(schema)).expect("the request is one");
    assert_eq!(request.validate(schema), None);
    let mut rules = Rules::default();
    rules.add_text(text).expect("the rules are Cedar");
    let answer = Cedar::new(rules, entities).answer(&request);
    (answer.decision == "allow", answer.determining, answer.errors)
}

fn ids(rules: &[safeconduct_model::RuleId]) -> Vec<String> {
    let mut ids: Vec<String> = rules.iter().map(ToString::to_string).collect();
    ids.sort_unstable();
    ids
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]
    #[test]
    fn a_snapshot_says_what_cedar_says(rules in prop::collection::vec(rule(), 1..9), asks in prop::collection::vec(ask(), 1..6)) {
        let text: String = rules.concat();
        let named: String = rules.iter().enumerate().map(|(i, r)| format!("@id(\"policy{i}\") {r}")).collect();
        let snapshot = snapshot(&named);
        let mut bulk = Bulk::new(&snapshot);
        for (ask, told) in asks {
            let ask: Ask = serde_json::from_value(ask).expect("the text is an ask");
            let now = Timestamp::from_millis(NOW);
            let line = bulk.line(&ask, now);
            prop_assert_eq!(bulk.refuses(&line), snapshot.opinion(&ask, now).err().map(|d| d.reason));
            let (allows, determining, errors) = cedar(&text, &told);
            match snapshot.opinion(&ask, Timestamp::from_millis(NOW)) {
                Ok(Grounds { rules, .. }) => {
                    prop_assert!(allows && errors.is_empty(), "{named}{told}");
                    prop_assert_eq!(ids(&rules), determining);
                }
                // Where Cedar skips a rule that it cannot evaluate, we deny: that is on purpose.
                Err(Denial { failing, .. }) if !errors.is_empty() => {
                    let mut named: Vec<String> = failing.into_iter().map(|f| f.condition).collect();
                    named.sort_unstable();
                    prop_assert_eq!(named, errors);
                }
                Err(Denial { grounds, .. }) => {
                    prop_assert!(!allows, "{named}{told}");
                    prop_assert_eq!(ids(&grounds.rules), determining);
                }
            }
        }
    }
}

fn ann() -> Ask {
    person("ann")
}

fn person(id: &str) -> Ask {
    let ask = json!({
        "request": "r1", "what": { "app": "wiki", "action": "read", "method": "GET", "path": "/" }, "place": { "ip": "10.0.0.1" },
        "who": { "principal": { "person": id }, "auth": { "session": "s", "methods": ["passkey"], "at": NOW, "until": NOW + 1000 } },
    });
    serde_json::from_value(ask).expect("the text is an ask")
}

#[test]
fn a_rule_in_shadow_binds_nobody_and_says_what_it_would_change() {
    let all = "@id(\"all\") permit(principal, action, resource);";
    let shut = format!("{all}\n@id(\"shut\") @mode(\"shadow\") forbid(principal, action, resource);");
    let grounds = snapshot(&shut).opinion(&ann(), Timestamp::from_millis(NOW)).expect("a shadow does not bind");
    assert_eq!(ids(&grounds.rules), ["all"]);
    let would = grounds.would.expect("it would deny");
    assert_eq!((would.permits, ids(&would.rules)), (false, vec!["shut".to_owned()]));

    let open = "@id(\"open\") @mode(\"shadow\") permit(principal, action, resource);";
    let denial = snapshot(open).opinion(&ann(), Timestamp::from_millis(NOW)).expect_err("a shadow does not open");
    assert_eq!(denial.grounds.would.map(|w| w.permits), Some(true));

    // A rule in shadow that fails is not an alarm, and one that changes nothing says nothing.
    let fails = format!(
        "{all}\n@id(\"bad\") @mode(\"shadow\") forbid(principal, action, resource) when {{ context.minute * 9223372036854775807 < 0 }};"
    );
    assert!(snapshot(&fails).opinion(&ann(), Timestamp::from_millis(NOW)).is_ok());
    let same = format!("{all}\n@id(\"also\") @mode(\"shadow\") permit(principal, action, resource);");
    let grounds = snapshot(&same).opinion(&ann(), Timestamp::from_millis(NOW)).expect("it is permitted");
    assert_eq!(grounds.would, None);
}

#[test]
fn a_permit_carries_what_the_rules_that_decided_oblige_to() {
    let text = "@id(\"a\") @obligation(\"mask\") permit(principal, action, resource);\n\
        @id(\"b\") @obligation(\"mask\") permit(principal, action, resource);\n\
        @id(\"c\") @obligation(\"log\") permit(principal, action, resource) when { context.method == \"GET\" };\n\
        @id(\"d\") @obligation(\"never\") permit(principal, action, resource) when { context.method == \"PUT\" };\n\
        @id(\"e\") @obligation(\"shadow\") @mode(\"shadow\") permit(principal, action, resource);";
    let Verdict::Permit(permit) = snapshot(text).decide(&ann(), Timestamp::from_millis(NOW)) else {
        panic!("everybody may")
    };
    assert_eq!(permit.obligations(), ["log", "mask"]);
}

#[test]
fn a_canary_binds_its_share_and_always_the_same_people() {
    let text = |share: u8| {
        format!(
            "@id(\"all\") permit(principal, action, resource);\n@id(\"shut\") @mode(\"canary:{share}\") forbid(principal, action, resource);"
        )
    };
    let bound = |share: u8| -> BTreeSet<u32> {
        let snapshot = snapshot(&text(share));
        (0..1000)
            .filter(|n| snapshot.opinion(&person(&format!("p{n}")), Timestamp::from_millis(NOW)).is_err())
            .collect()
    };
    let (ten, thirty) = (bound(10), bound(30));
    assert!((70..=130).contains(&ten.len()) && (250..=350).contains(&thirty.len()), "{} {}", ten.len(), thirty.len());
    assert!(ten.is_subset(&thirty));
    assert_eq!(ten, bound(10));
}

/// What a ledger would hold of an ask.
fn record(snapshot: &Snapshot, ask: &Ask, at: Timestamp) -> safeconduct_model::Access {
    snapshot.decide(ask, at).record(ask, at, safeconduct_model::Mode::Enforce, 0)
}

#[test]
fn a_canary_that_denies_more_than_elsewhere_goes_back_into_shadow_once() {
    let text = "@id(\"all\") permit(principal, action, resource);\n// a comment\n\
        @id(\"shut\") @mode(\"canary:30\")\nforbid(principal, action, resource) when { context.method == \"GET\" };\n";
    let canary = snapshot(text);
    let mut rollout = Rollout::of(&canary);
    let at = |n: u32| Timestamp::from_millis(NOW + i64::from(n) * 10);
    let told: Vec<_> =
        (0..200).filter_map(|n| rollout.see(&record(&canary, &person(&format!("p{n}")), at(n)))).collect();
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!((told[0].rule.as_str(), told[0].bound.asked, told[0].bound.denied), ("shut", LEAST_ASKED, LEAST_ASKED));
    assert_eq!(told[0].others.denied, 0);

    let rule = canary.rules().iter().find(|r| r.id.as_str() == "shut").expect("it is there");
    let back = snapshot(&shadowed(text, rule).expect("it stands in its file"));
    assert_eq!(back.rules()[1].stage, Stage::Shadow);
    assert!(Rollout::of(&back).is_idle());
    assert_eq!(shadowed("elsewhere", rule), None);
}

#[test]
fn a_canary_stays_where_others_are_denied_as_much_or_where_little_was_asked() {
    let shut = "@id(\"none\") permit(principal == Person::\"nobody\", action, resource);\n\
        @id(\"shut\") @mode(\"canary:50\") forbid(principal, action, resource);";
    let deny = snapshot(shut);
    let mut rollout = Rollout::of(&deny);
    for n in 0..200 {
        let access = record(&deny, &person(&format!("p{n}")), Timestamp::from_millis(NOW + n * 10));
        assert_eq!(rollout.see(&access), None, "everybody is denied, canary or not");
    }
    let open = snapshot(
        "@id(\"all\") permit(principal, action, resource);\n\
        @id(\"shut\") @mode(\"canary:50\") forbid(principal, action, resource);",
    );
    let mut rollout = Rollout::of(&open);
    for n in 0..200 {
        // One verdict a minute: never twenty within the window.
        let ask = person(&format!("p{n}"));
        let mut access = record(&open, &ask, Timestamp::from_millis(NOW));
        access.decided = Timestamp::from_millis(NOW + n * 60_000);
        assert_eq!(rollout.see(&access), None);
    }
}

#[test]
fn a_mode_that_is_none_is_a_fault() {
    for bad in ["off", "canary", "canary:0", "canary:100", "Shadow", ""] {
        assert_eq!(Stage::parse(bad), None, "{bad}");
        let text = format!("@id(\"a\") @mode(\"{bad}\") permit(principal, action, resource);");
        let policies = vec![PolicyText { file: "p.cedar".into(), text }];
        let sources = Sources { policies, applications: vec![], assets: vec![], zone: jiff::tz::TimeZone::UTC };
        let Err(faults) = Snapshot::build(1, sources) else { panic!("{bad} was taken for a mode") };
        assert!(faults[0].to_string().contains("is no mode"), "{}", faults[0]);
    }
    for good in [Stage::Shadow, Stage::Canary(25), Stage::Enforce] {
        assert_eq!(Stage::parse(&good.to_string()), Some(good));
    }
}
