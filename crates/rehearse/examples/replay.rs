//! How fast history is decided again: verdicts of a generated organisation against a set with one changed rule.
//!
//! `cargo run --release -p safeconduct-rehearse --example replay [-- VERDICTS]` prints one JSON object. Verdicts are generated
//! into a [`History`] first, which is timed apart; then they are decided with the changed set and compared with what was
//! recorded, which is what the recorded set said.
#![expect(clippy::print_stdout, reason = "an example prints")]

use std::collections::BTreeSet;
use std::error::Error;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use jiff::tz::TimeZone;
use safeconduct_model::{
    Access, Action, Application, Ask, Auth, Check, Class, DeviceFacts, Hardening, Method, Mode, Outcome, Place,
    Principal, Stated, Timestamp, What, Who, Why,
};
use safeconduct_policy::{PolicyText, Snapshot, Sources};
use safeconduct_rehearse::{Against, History, Options, Rehearsal};

const PEOPLE: usize = 5_000;
const GROUPS: usize = 200;
const GROUPS_EACH: usize = 20;
const APPLICATIONS: usize = 100;
const RULES: usize = 400;
/// Monday, 2026-08-31T00:00:00Z.
const START: i64 = 1_788_134_400_000;

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

fn rules(changed: bool) -> String {
    let mut dice = Dice(1);
    let mut text = String::new();
    for i in 0..RULES {
        let (app, group) = (dice.below(APPLICATIONS), dice.below(GROUPS));
        let from = 360 + 30 * dice.below(6);
        let until = if changed && i == 7 { from } else { 1_200 };
        let _ = writeln!(
            text,
            "@id(\"r{i}\") permit(principal in Group::\"g{group}\", action in [Action::\"read\", Action::\"write\"], \
             resource == Application::\"a{app}\") when {{ context.device.compliant && context.auth.mfa && \
             context.minute >= {from} && context.minute < {until} && [1, 2, 3, 4, 5].contains(context.weekday) && \
             context.net.ip.isInRange(ip(\"10.0.0.0/8\")) && context has purpose && \
             [\"close\", \"audit\"].contains(context.purpose) }};"
        );
    }
    for app in 0..APPLICATIONS {
        let _ = writeln!(
            text,
            "@id(\"base{app}\") permit(principal in Group::\"g{}\", action == Action::\"read\", \
             resource == Application::\"a{app}\") when {{ context.device.managed }};",
            app % GROUPS
        );
    }
    text
}

fn snapshot(changed: bool) -> Result<Snapshot, Box<dyn Error>> {
    let app = |n: usize| -> Result<Application, Box<dyn Error>> {
        Ok(Application {
            id: format!("a{n}").parse()?,
            name: format!("a{n}"),
            hosts: vec![],
            upstream: "http://127.0.0.1:1".into(),
            connector: None,
            mode: Mode::Enforce,
            class: Class::Moderate,
            assets: BTreeSet::new(),
            owner: None,
            routes: vec![],
            hardening: Hardening::default(),
        })
    };
    let sources = Sources {
        policies: vec![PolicyText { file: "rules.cedar".into(), text: rules(changed) }],
        applications: (0..APPLICATIONS).map(app).collect::<Result<_, _>>()?,
        assets: vec![],
        zone: TimeZone::get("Europe/Zurich")?,
    };
    Snapshot::build(1, sources).map_err(|faults| faults[0].to_string().into())
}

/// A person at work, for most requests with everything that a rule asks for.
fn ask(dice: &mut Dice, groups: &[Vec<usize>]) -> Result<(Ask, Timestamp), Box<dyn Error>> {
    let person = dice.below(PEOPLE);
    let now = Timestamp::from_millis(START + i64::try_from(dice.below(86_400_000 * 28))?);
    let methods = if dice.below(20) > 0 { Method::Passkey } else { Method::Password };
    let device = DeviceFacts {
        id: format!("lt-{person}").parse()?,
        managed: !person.is_multiple_of(17),
        reported: Some(now - safeconduct_model::Duration::from_secs(dice.below(1_000) as u64)),
        max_age: safeconduct_model::Duration::from_mins(15),
        passed: [Check::DiskEncrypted, Check::Firewall].into(),
        required: [Check::DiskEncrypted].into(),
    };
    // People use what their groups are for, most of the time.
    let groups_of = groups.get(person).ok_or("every person has groups")?;
    let app = if dice.below(10) > 0 {
        groups_of[dice.below(groups_of.len())] % APPLICATIONS
    } else {
        dice.below(APPLICATIONS)
    };
    let action = if dice.below(10) > 1 { Action::Read } else { Action::Write };
    Ok((
        Ask {
            request: "r".parse()?,
            who: Who {
                principal: Principal::Person(format!("p{person}").parse()?),
                groups: groups_of.iter().map(|g| format!("g{g}").parse()).collect::<Result<_, _>>()?,
                auth: Some(Auth {
                    session: "s".parse()?,
                    methods: [methods].into(),
                    at: now - safeconduct_model::Duration::from_mins(dice.below(480) as u64),
                    until: now + safeconduct_model::Duration::from_hours(1),
                }),
            },
            what: What {
                app: format!("a{app}").parse()?,
                action,
                method: if action == Action::Read { "GET" } else { "POST" }.into(),
                path: format!("/items/{}", dice.below(500)),
            },
            place: Place {
                ip: [10, 0, 0, u8::try_from(dice.below(200))?].into(),
                network: (dice.below(3) > 0).then(|| "office".into()),
                country: None,
                device: Some(device),
            },
            why: Why {
                stated: (dice.below(4) > 0).then(|| Stated { purpose: "close".into(), ticket: None }),
                grant: None,
            },
            lock: None,
        },
        now,
    ))
}

/// CPU time of this process, user and system.
fn cpu() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks: u64 = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
    Some(Duration::from_millis(ticks * 10).as_secs_f64())
}

fn main() -> Result<(), Box<dyn Error>> {
    let verdicts: u64 = match std::env::args().nth(1) {
        Some(n) => n.parse()?,
        None => 10_000_000,
    };
    let (current, candidate) = (snapshot(false)?, snapshot(true)?);
    let mut dice = Dice(2);
    let groups: Vec<Vec<usize>> = (0..PEOPLE).map(|_| (0..GROUPS_EACH).map(|_| dice.below(GROUPS)).collect()).collect();
    let (mut history, mut pushing) = (History::default(), Duration::ZERO);
    for seq in 0..verdicts {
        let (ask, now) = ask(&mut dice, &groups)?;
        let outcome = match current.opinion(&ask, now) {
            Ok(_) => Outcome::Permit { until: now },
            Err(denial) => Outcome::Deny { reason: denial.reason, failing: vec![], remedies: vec![] },
        };
        let access = Access {
            ask,
            decided: now,
            outcome,
            mode: Mode::Enforce,
            revision: 1,
            rules: vec![],
            facts: vec![],
            took_us: 0,
            again: false,
            would: None,
        };
        let start = Instant::now();
        history.push(seq, &access);
        pushing += start.elapsed();
    }
    let mut found = Rehearsal::default();
    let (start, before) = (Instant::now(), cpu());
    history.rehearse(Against::Recorded, &candidate, Options::default(), &mut found);
    let wall = start.elapsed().as_secs_f64();
    let used = cpu().zip(before).map_or(wall, |(after, before)| after - before);
    let rate = |n: u64, secs: f64| (n as f64 / secs.max(1e-9)).round();
    println!(
        "{}",
        serde_json::json!({
            "verdicts": verdicts, "rules": RULES + APPLICATIONS, "people": PEOPLE, "wall_s": wall, "cpu_s": used,
            "per_cpu_second": rate(verdicts, used), "put_in_per_second": rate(verdicts, pushing.as_secs_f64()),
            "same": found.same, "newly_denied": found.newly_denied.total, "newly_allowed": found.newly_allowed.total,
            "denied_for_another_reason": found.reason_changed.total,
        })
    );
    Ok(())
}
