//! Random rules over few facts, where every request that can make a difference is tried.

use safeconduct_model::{
    Action, Ask, Auth, Check, DeviceFacts, Duration, GrantFacts, Method, Place, Principal, Stated, Timestamp, What,
    Who, Why,
};
use safeconduct_policy::{PolicyText, Snapshot};
use safeconduct_rehearse::prove::{Because, Invariants, Outcome, overlaps, permits_no_more, unreachable};

use crate::common::{MONDAY, snapshot, sources};
use crate::generator::Dice;

/// A request and its instant.
type Moment = (Ask, Timestamp);

/// One W or a part of it: the conditions that rules may set, and settings that meet every combination of them that can be.
struct Part {
    conditions: &'static [&'static str],
    settings: fn() -> Vec<Setting>,
}

/// Sets some facts of a request.
type Setting = Box<dyn Fn(&mut Moment)>;

fn each<T: Clone + 'static>(values: &[T], set: fn(&mut Moment, T)) -> Vec<Setting> {
    let make = |v: &T| {
        let v = v.clone();
        Box::new(move |m: &mut Moment| set(m, v.clone())) as Setting
    };
    values.iter().map(make).collect()
}

fn pairs<A: Clone, B: Clone>(a: &[A], b: &[B]) -> Vec<(A, B)> {
    a.iter().flat_map(|x| b.iter().map(move |y| (x.clone(), y.clone()))).collect()
}

const NEW_YEAR: i64 = 1_798_761_600_000;

const PARTS: [Part; 9] = [
    Part {
        conditions: &[
            "context.auth.mfa",
            "context.auth.phishing_resistant",
            "context.auth.age < 3600",
            "context.auth.mfa == false",
        ],
        settings: || {
            let methods = [vec![Method::Password], vec![Method::Password, Method::Totp], vec![Method::Passkey]];
            each(&pairs(&methods, &[60, 7_200]), |m, (methods, age)| {
                let auth = m.0.who.auth.as_mut().expect("signed in");
                auth.methods = methods.into_iter().collect();
                auth.at = m.1 - Duration::from_secs(age);
            })
        },
    },
    Part {
        conditions: &[
            "context.device.known",
            "context.device.managed",
            "context.device.compliant",
            "context.device.firewall",
            "context.device.managed == true",
        ],
        settings: || {
            let mut all: Vec<Option<(bool, (bool, bool))>> = vec![None];
            all.extend(pairs(&[true, false], &pairs(&[true, false], &[true, false])).into_iter().map(Some));
            each(&all, |m, device| {
                m.0.place.device = device.map(|(managed, (compliant, firewall))| DeviceFacts {
                    id: "lt-1".parse().expect("id"),
                    managed,
                    reported: (compliant || firewall).then_some(m.1),
                    max_age: Duration::from_hours(1),
                    passed: if firewall { [Check::Firewall].into() } else { [].into() },
                    required: if compliant { [].into() } else { [Check::ScreenLock].into() },
                });
            })
        },
    },
    Part {
        conditions: &[
            "context.method == \"GET\"",
            "[\"GET\", \"POST\"].contains(context.method)",
            "context.method != \"PUT\"",
        ],
        settings: || each(&["GET", "POST", "PUT", "PATCH"], |m, t| m.0.what.method = t.into()),
    },
    Part {
        conditions: &[
            "context.path like \"/a/*\"",
            "context.path like \"*.json\"",
            "context.path == \"/a\"",
            "context.path like \"/a*\"",
        ],
        settings: || {
            let paths = ["/", "/a", "/a/x", "/a/x.json", "/b.json", "/ab", "/ab.json"];
            each(&paths, |m, t| m.0.what.path = t.into())
        },
    },
    Part {
        conditions: &[
            "context.net.zone == \"office\"",
            "context.net.zone != \"lab\"",
            "[\"office\", \"lab\"].contains(context.net.zone)",
        ],
        settings: || each(&[None, Some("office"), Some("lab")], |m, z| m.0.place.network = z.map(Into::into)),
    },
    Part {
        conditions: &[
            "context.net.ip.isInRange(ip(\"10.0.0.0/8\"))",
            "context.net.ip.isInRange(ip(\"10.1.0.0/16\"))",
            "context.net.ip.isInRange(ip(\"2001:db8::/32\"))",
            "context.net.ip == ip(\"10.1.0.5\")",
            "context.net.ip.isInRange(ip(\"::/0\"))",
        ],
        settings: || {
            let all = ["10.0.0.5", "10.1.0.5", "10.1.0.6", "192.0.2.1", "2001:db8::1", "fe80::1"];
            each(&all, |m, t| m.0.place.ip = t.parse().expect("address"))
        },
    },
    Part {
        conditions: &[
            "context.net has country && context.net.country == \"NL\"",
            "context.net has country",
            "!(context.net has country && [\"NL\", \"DE\"].contains(context.net.country))",
        ],
        settings: || each(&[None, Some("NL"), Some("DE"), Some("US")], |m, c| m.0.place.country = c.map(Into::into)),
    },
    Part {
        conditions: &[
            "context.granted",
            "context has purpose",
            "context has purpose && context.purpose == \"close\"",
            "context has purpose && context.purpose != \"support\"",
            "context has ticket",
            "!(context has ticket && context.ticket == \"T-1\")",
        ],
        settings: || {
            let some = pairs(&["support", "close", "other"], &pairs(&[None, Some("T-1"), Some("T-2")], &[true, false]));
            let all: Vec<Option<_>> = [None].into_iter().chain(some.into_iter().map(Some)).collect();
            each(&all, |m, why| {
                let Some((purpose, (ticket, granted))) = why else { return };
                let (purpose, ticket) = (purpose.to_owned(), ticket.map(str::to_owned));
                m.0.why = if granted {
                    let (from, until) = (m.1, m.1 + Duration::from_hours(1));
                    Why {
                        stated: None,
                        grant: Some(GrantFacts { id: "g".parse().expect("id"), purpose, ticket, from, until }),
                    }
                } else {
                    Why { stated: Some(Stated { purpose, ticket }), grant: None }
                };
            })
        },
    },
    Part {
        conditions: &[
            "context.minute >= 480 && context.minute < 1080",
            "context.minute >= 600",
            "context.weekday <= 5",
            "[1, 6].contains(context.weekday)",
            "context.time < 1798761600000",
            "context.minute < 480 || context.minute >= 1080",
        ],
        settings: || {
            let days = [0_i64, 2, 5, 6];
            each(
                &pairs(&[0, NEW_YEAR - MONDAY.millis()], &pairs(&days, &[0_i64, 480, 600, 1_080])),
                |m, (far, (day, minute))| {
                    // 2027-01-01 is a Friday: three days on is the next Monday.
                    let monday = MONDAY.millis() + if far > 0 { far + 3 * 86_400_000 } else { 0 };
                    let now = Timestamp::from_millis(monday + day * 86_400_000 + minute * 60_000);
                    let shift = now.since(m.1);
                    m.1 = now;
                    let auth = m.0.who.auth.as_mut().expect("signed in");
                    auth.at = auth.at + shift;
                    auth.until = auth.until + shift;
                },
            )
        },
    },
];

/// Who rules may speak of, and everybody who can make a difference.
const PRINCIPALS: [&str; 7] = [
    "principal",
    "principal == Person::\"ada\"",
    "principal in Group::\"staff\"",
    "principal in Group::\"ops\"",
    "principal is Person",
    "principal is Workload in Group::\"ops\"",
    "principal is Person in Group::\"staff\"",
];
const WHO: [&str; 4] = [
    "principal in Group::\"ops\"",
    "principal == Person::\"ada\"",
    "principal in [Group::\"staff\", Group::\"ops\"]",
    "principal is Workload",
];
const RESOURCES: [&str; 4] =
    ["resource", "resource == Application::\"books\"", "resource in Asset::\"ledger\"", "resource is Application"];
const WHAT: [&str; 3] =
    ["resource.class == \"critical\"", "resource in Asset::\"ledger\"", "action == Action::\"read\""];

fn everybody() -> Vec<Who> {
    let principals = [
        Principal::Person("ada".parse().expect("id")),
        Principal::Person("bob".parse().expect("id")),
        Principal::Workload("ci".parse().expect("id")),
    ];
    let groups: [&[&str]; 4] = [&[], &["staff"], &["ops"], &["staff", "ops"]];
    let auth = Auth {
        session: "s".parse().expect("id"),
        methods: [Method::Password].into(),
        at: MONDAY - Duration::from_secs(60),
        until: MONDAY + Duration::from_hours(8),
    };
    let who = |(principal, groups): (Principal, &[&str])| Who {
        principal,
        groups: groups.iter().map(|g| g.parse().expect("id")).collect(),
        auth: Some(auth.clone()),
    };
    pairs(&principals, &groups).into_iter().map(who).collect()
}

/// Every request that can make a difference for rules over these parts.
fn universe(parts: &[usize]) -> Vec<Moment> {
    let mut all = Vec::new();
    for who in everybody() {
        for (app, action) in pairs(&["books", "wiki"], &Action::ALL) {
            let what = What { app: app.parse().expect("id"), action, method: "GET".into(), path: "/".into() };
            let place = Place { ip: [10, 0, 0, 1].into(), network: None, country: None, device: None };
            let request = "r".parse().expect("id");
            all.push((Ask { request, who: who.clone(), what, place, why: Why::default(), lock: None }, MONDAY));
        }
    }
    // The clock first: other settings count from it.
    let mut parts = parts.to_vec();
    parts.sort_unstable_by(|a, b| b.cmp(a));
    for part in parts {
        let settings = (PARTS[part].settings)();
        all = all
            .iter()
            .flat_map(|m| {
                settings.iter().map(move |set| {
                    let mut m = m.clone();
                    set(&mut m);
                    m
                })
            })
            .collect();
    }
    all
}

fn condition(dice: &mut Dice, parts: &[usize], depth: usize) -> String {
    if depth > 0 && dice.one_in(3) {
        let (a, b) = (condition(dice, parts, depth - 1), condition(dice, parts, depth - 1));
        return match dice.below(3) {
            0 => format!("({a}) || ({b})"),
            1 => format!("!(({a}) && ({b}))"),
            _ => format!("({a}) && ({b})"),
        };
    }
    match dice.below(6) {
        0 => (*dice.pick(&WHO)).to_owned(),
        1 if dice.one_in(2) => (*dice.pick(&WHAT)).to_owned(),
        _ => {
            let part = *dice.pick(parts);
            (*dice.pick(PARTS[part].conditions)).to_owned()
        }
    }
}

/// One rule without its id.
fn rule(dice: &mut Dice, parts: &[usize]) -> String {
    let effect = if dice.one_in(4) { "forbid" } else { "permit" };
    let action =
        *dice.pick(&["action", "action == Action::\"read\"", "action in [Action::\"read\", Action::\"write\"]"]);
    let mut text = format!("{effect}({}, {action}, {})", dice.pick(&PRINCIPALS), dice.pick(&RESOURCES));
    for _ in 0..dice.below(3) {
        text += &format!(" when {{ {} }}", condition(dice, parts, 2));
    }
    if dice.one_in(4) {
        text += &format!(" unless {{ {} }}", condition(dice, parts, 1));
    }
    text + ";"
}

fn numbered(rules: &[String]) -> String {
    rules.iter().enumerate().map(|(i, r)| format!("@id(\"r{i}\") {r}\n")).collect()
}

/// Two sets that have most in common.
fn two_sets(dice: &mut Dice, parts: &[usize]) -> (Vec<String>, Vec<String>) {
    let old: Vec<String> = (0..2 + dice.below(4)).map(|_| rule(dice, parts)).collect();
    let mut new = old.clone();
    for _ in 0..1 + dice.below(2) {
        let at = dice.below(new.len());
        match dice.below(4) {
            0 => new[at] = rule(dice, parts),
            1 if new.len() > 1 => {
                new.remove(at);
            }
            2 => new.push(rule(dice, parts)),
            _ => {
                let more = format!(" when {{ {} }};", condition(dice, parts, 1));
                let cut = new[at].trim_end_matches(';').to_owned();
                new[at] = cut + &more;
            }
        }
    }
    if dice.one_in(2) { (old, new) } else { (new, old) }
}

fn parts(dice: &mut Dice) -> Vec<usize> {
    let first = dice.below(PARTS.len());
    let second = dice.below(PARTS.len());
    if first == second { vec![first] } else { vec![first, second] }
}

fn permits(snapshot: &Snapshot, (ask, now): &Moment) -> bool {
    snapshot.opinion(ask, *now).is_ok()
}

/// How many sets each test draws; `SAFECONDUCT_PROOF_CASES` asks for more.
fn cases() -> u64 {
    std::env::var("SAFECONDUCT_PROOF_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(16)
}

#[test]
fn permits_no_more_agrees_with_trying_every_request() {
    let (mut proved, mut refuted) = (0, 0);
    for seed in 0..cases() {
        let mut dice = Dice::new(seed + 1);
        let parts = parts(&mut dice);
        let (old, new) = two_sets(&mut dice, &parts);
        let (old, new) = (numbered(&old), numbered(&new));
        let (current, candidate) = (snapshot(&old), snapshot(&new));
        let newly = universe(&parts).into_iter().find(|m| !permits(&current, m) && permits(&candidate, m));
        let proof = permits_no_more(&current, &candidate, MONDAY);
        let about = || format!("seed {seed}\n--- current\n{old}--- candidate\n{new}--- {newly:?}\n{:?}", proof.outcome);
        match &proof.outcome {
            Outcome::Proved => {
                proved += 1;
                assert!(newly.is_none(), "wrongly proved: {}", about());
            }
            Outcome::Refuted(shown) => {
                refuted += 1;
                assert!(newly.is_some(), "not in the universe: {}", about());
                let moment = (shown.moment.ask.clone(), shown.moment.now);
                assert!(!permits(&current, &moment) && permits(&candidate, &moment), "not confirmed: {}", about());
            }
            Outcome::NotProven { .. } => panic!("everything here is inside the fragment: {}", about()),
        }
    }
    assert!(proved * 8 > cases() && refuted * 8 > cases(), "too one-sided to tell: {proved} proved, {refuted} refuted");
}

#[test]
fn rules_that_are_told_to_do_nothing_do_nothing_and_all_others_do_something() {
    let mut told = 0;
    for seed in 0..cases() / 2 {
        let mut dice = Dice::new(seed + 1_000_001);
        let parts = parts(&mut dice);
        let rules: Vec<String> = (0..3 + dice.below(4)).map(|_| rule(&mut dice, &parts)).collect();
        let text = numbered(&rules);
        let whole = snapshot(&text);
        let idle = unreachable(&whole, MONDAY);
        told += idle.len();
        let lines: Vec<&str> = text.lines().collect();
        let idle_at: Vec<usize> = idle.iter().map(|u| usize::try_from(u.rule.line - 1).expect("small")).collect();
        let without = |gone: &[usize]| {
            let left = lines.iter().enumerate().filter(|(i, _)| !gone.contains(i)).map(|(_, l)| format!("{l}\n"));
            snapshot(&left.collect::<String>())
        };
        let all = universe(&parts);
        let reduced = without(&idle_at);
        let differs = |a: &Snapshot, b: &Snapshot| all.iter().any(|m| permits(a, m) != permits(b, m));
        assert!(!differs(&whole, &reduced), "seed {seed}: a rule that was told does something\n{text}{idle:#?}");
        for at in (0..lines.len()).filter(|at| !idle_at.contains(at)) {
            // A forbid that nothing needs is told only where other forbids cover it, so permits alone are asked.
            if lines[at].contains(" permit(") {
                let gone: Vec<usize> = idle_at.iter().copied().chain([at]).collect();
                assert!(differs(&reduced, &without(&gone)), "seed {seed}: {} does nothing\n{text}", lines[at]);
            }
        }
        for u in idle.iter().filter(|u| matches!(u.because, Because::Contradiction)) {
            let alone = lines[usize::try_from(u.rule.line - 1).expect("small")].replace(" forbid(", " permit(");
            let alone = snapshot(&alone);
            assert!(!all.iter().any(|m| permits(&alone, m)), "seed {seed}: {} speaks", u.rule.id);
        }
    }
    assert!(told > 0, "no set had an idle rule");
}

#[test]
fn invariants_agree_with_trying_every_request() {
    let (mut proved, mut refuted) = (0, 0);
    for seed in 0..cases() / 2 {
        let mut dice = Dice::new(seed + 2_000_001);
        let parts = parts(&mut dice);
        let rules: Vec<String> = (0..2 + dice.below(3)).map(|_| rule(&mut dice, &parts)).collect();
        let snapshot = snapshot(&numbered(&rules));
        let never = rule(&mut dice, &parts).replace("permit(", "forbid(");
        let text = format!("@id(\"never\") @why(\"a test\") {never}");
        let source = PolicyText { file: "never.cedar".into(), text: text.clone() };
        let invariants = Invariants::read(vec![source], snapshot.sources()).unwrap_or_else(|f| panic!("{}", f[0]));
        let told = invariants.under(&snapshot, MONDAY).unwrap_or_else(|f| panic!("{}", f[0]));
        let covered =
            crate::common::build(sources(&format!("{text} @id(\"all\") permit(principal, action, resource);")));
        let broken = universe(&parts).iter().any(|m| permits(&snapshot, m) && !permits(&covered, m));
        match &told[0].proof.outcome {
            Outcome::Proved => proved += 1,
            Outcome::Refuted(_) => refuted += 1,
            Outcome::NotProven { because } => panic!("seed {seed}: {because:?}"),
        }
        let seen = !told[0].proof.holds();
        assert_eq!(seen, broken, "seed {seed}\n{}{text}\n{:?}", numbered(&rules), told[0].proof.outcome);
    }
    assert!(proved > 0 && refuted > 0, "too one-sided to tell: {proved} proved, {refuted} refuted");
}

#[test]
fn two_rules_overlap_where_a_request_meets_both() {
    for seed in 0..cases() / 2 {
        let mut dice = Dice::new(seed + 3_000_001);
        let parts = parts(&mut dice);
        let rules: Vec<String> = (0..2).map(|_| rule(&mut dice, &parts).replace("forbid(", "permit(")).collect();
        let each: Vec<Snapshot> = rules.iter().map(|r| snapshot(&format!("@id(\"x\") {r}"))).collect();
        let both = universe(&parts).iter().any(|m| each.iter().all(|s| permits(s, m)));
        let told = overlaps(&snapshot(&numbered(&rules)), MONDAY, 10);
        assert_eq!(told.len(), usize::from(both), "seed {seed}\n{}", numbered(&rules));
    }
}
