//! How long a decision takes: rules of the five-Ws shape at 10 to 100 000, the compiled engine beside Cedar.
//!
//! `cargo run --release -p safeconduct-policy --example decide [-- --cedar-up-to N]`; Cedar takes part up to 10 000 rules unless
//! told otherwise. Both engines get the same rules, entities and requests; median and 99th percentile of single decisions.
#![expect(clippy::print_stdout, reason = "an example prints")]

use std::error::Error;
use std::fmt::Write;
use std::hint::black_box;
use std::time::{Duration, Instant};

use safeconduct_policy::engine::{Builder, Cedar, Entities, Mode, Outcome, Prepared, Request, Rules, Scratch};
use serde_json::{Value, json};

/// Rules, groups, applications.
const SIZES: [(usize, usize, usize); 4] =
    [(10, 5, 5), (1_000, 100, 100), (10_000, 500, 1_000), (100_000, 2_000, 5_000)];
const PEOPLE: usize = 10_000;
const RESOURCES: usize = 10_000;
const REQUESTS: usize = 20_000;
/// Cedar is measured for so long at most, and at least on so many requests.
const PATIENCE: Duration = Duration::from_secs(10);
const AT_LEAST: usize = 20;

/// Numbers that are the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        // splitmix64
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % n.max(1) as u64).unwrap_or(0)
    }
}

const ACTIONS: [&str; 3] = ["read", "write", "admin"];
const PURPOSES: [&str; 4] = ["support", "audit", "release", "close"];
const DAY: &str = "2026-01-01T00:00:00Z";

fn rules(count: usize, groups: usize, apps: usize, dice: &mut Dice) -> String {
    let mut text = String::new();
    for i in 0..count {
        let effect = if i % 50 == 49 { "forbid" } else { "permit" };
        let (group, app) = (dice.below(groups), dice.below(apps));
        let (action, purpose) = (ACTIONS[dice.below(3)], PURPOSES[dice.below(4)]);
        let (from, net) = (dice.below(10), dice.below(4));
        let _ = writeln!(
            text,
            "{effect}(principal in Group::\"{group}\", action == Action::\"{action}\", resource in App::\"{app}\") when {{ \
             context.device.compliant && context.auth.mfa && context.time >= datetime(\"{DAY}\") && \
             context.time.toTime() >= duration(\"{from}h\") && context.time.toTime() < duration(\"20h\") && \
             context.ip.isInRange(ip(\"10.{net}.0.0/16\")) && [\"{purpose}\", \"audit\"].contains(context.purpose) }};"
        );
    }
    text
}

fn entities(groups: usize, apps: usize, dice: &mut Dice) -> Value {
    let uid = |kind: &str, n: usize| json!({ "type": kind, "id": n.to_string() });
    let row =
        |kind: &str, n: usize, parents: Vec<Value>| json!({ "uid": uid(kind, n), "attrs": {}, "parents": parents });
    let mut all = Vec::new();
    // A group may be in two with a smaller number, so that eight direct groups become about twenty.
    for g in 0..groups {
        let parents = (0..2).map(|_| dice.below(g.min(groups / 10).max(1))).filter(|p| *p < g && g % 2 == 0);
        all.push(row("Group", g, parents.map(|p| uid("Group", p)).collect()));
    }
    for u in 0..PEOPLE {
        all.push(row("User", u, (0..8).map(|_| uid("Group", dice.below(groups))).collect()));
    }
    for r in 0..RESOURCES {
        all.push(row("Resource", r, vec![uid("App", dice.below(apps))]));
    }
    for a in 0..apps {
        all.push(row("App", a, vec![uid("DataSet", a % 20)]));
    }
    Value::Array(all)
}

fn request(dice: &mut Dice) -> Value {
    let ext = |name: &str, argument: String| json!({ "__extn": { "fn": name, "arg": argument } });
    json!({
        "principal": { "type": "User", "id": dice.below(PEOPLE).to_string() },
        "action": { "type": "Action", "id": ACTIONS[dice.below(3)] },
        "resource": { "type": "Resource", "id": dice.below(RESOURCES).to_string() },
        "context": {
            "device": { "compliant": dice.below(10) > 0 }, "auth": { "mfa": dice.below(10) > 0 },
            "time": ext("datetime", format!("2026-05-0{}T{:02}:30:00Z", 1 + dice.below(9), dice.below(24))),
            "ip": ext("ip", format!("10.{}.3.4", dice.below(4))), "purpose": PURPOSES[dice.below(4)],
        },
    })
}

fn each<T>(items: &[T], patience: Duration, mut decide: impl FnMut(&T) -> bool) -> (f64, f64, usize) {
    let (begin, mut times, mut allowed) = (Instant::now(), Vec::new(), 0);
    for item in items {
        let start = Instant::now();
        let allows = black_box(decide(item));
        times.push(start.elapsed());
        allowed += usize::from(allows);
        if begin.elapsed() > patience && times.len() >= AT_LEAST {
            break;
        }
    }
    times.sort_unstable();
    let at = |percent: usize| times.get(times.len() * percent / 100).map_or(0.0, |d| d.as_secs_f64() * 1e6);
    (at(50), at(99), allowed)
}

/// Resident memory in MB, where the system tells it.
fn resident() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse::<f64>().unwrap_or(0.0) / 1024.0
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let cedar_up_to = match arguments.iter().position(|a| a == "--cedar-up-to") {
        Some(at) => arguments.get(at + 1).ok_or("--cedar-up-to needs a number")?.parse()?,
        None => 10_000,
    };
    println!("rules | engine | load ms | median us | p99 us | allowed | grown by MB");
    for (count, groups, apps) in SIZES {
        let mut dice = Dice(count as u64);
        let text = rules(count, groups, apps, &mut dice);
        let entities = Entities::parse(&entities(groups, apps, &mut dice).to_string(), None)?;
        let requests: Vec<Request> =
            (0..REQUESTS).map(|_| Request::from_json(&request(&mut dice), None)).collect::<Result<_, _>>()?;

        let (start, before) = (Instant::now(), resident());
        let mut builder = Builder::new(&entities)?;
        builder.add_text(&text)?;
        let engine = builder.finish();
        let (load, grown) = (start.elapsed().as_secs_f64() * 1e3, resident() - before);
        let prepared: Vec<Prepared<'_>> = requests.iter().map(|r| engine.prepare(r)).collect::<Result<_, _>>()?;
        let mut scratch = Scratch::default();
        for mode in [Mode::Exhaustive, Mode::EarlyExit] {
            // Once to warm up, once to measure.
            let mut decide = |p: &Prepared<'_>| p.decide(mode, &mut scratch) == Outcome::Permit;
            each(&prepared, PATIENCE, &mut decide);
            let (median, p99, allowed) = each(&prepared, PATIENCE, &mut decide);
            println!("{count} | ours, {mode:?} | {load:.0} | {median:.3} | {p99:.3} | {allowed} | {grown:.1}");
        }
        if count <= cedar_up_to {
            let start = Instant::now();
            let mut rules = Rules::default();
            rules.add_text(&text)?;
            let load = start.elapsed().as_secs_f64() * 1e3;
            let cedar = Cedar::new(rules, entities);
            let (median, p99, allowed) = each(&requests, PATIENCE, |r| cedar.allows(r));
            println!("{count} | Cedar | {load:.0} | {median:.3} | {p99:.3} | {allowed} | ");
        }
    }
    Ok(())
}
