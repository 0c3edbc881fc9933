//! From measurements to figures: medians over rounds, ratios within a round, goals.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::contestant::{Case, Http, Size, Who};
use super::idle::Idle;
use super::measure::{Measured, Watched};
use super::process::Cores;
use super::rounds::{LEVELS, Level, Results, median};
use crate::bench::machine;
use crate::terminal::spaced;

/// The share of requests of the open loop that may be without an answer at its end before it counts as overrun.
const OVERRUN: f64 = 0.02;
/// What may be added to the p99 at half of saturation.
const ADDED_MS: f64 = 1.0;
/// Where load generator and upstream are busier than this, their core may be what is measured; and where the proxy is not
/// as busy as this.
const GENERATOR_BUSY: f64 = 0.97;
const PROXY_BUSY: f64 = 0.9;
/// What people look at in the open loop.
const OPEN_TOLD: [&str; 8] =
    ["rate", "p50", "p99", "p99.9", "added p99", "p99, undisturbed", "added p99, undisturbed", "disturbed time"];
const LIMIT: &str =
    "the core of load generator and upstream was the limit, so answers a second are not the proxy's own";
const BEHIND: &str = "the rate could not be kept, and what was late counts as late";

/// The metrics of the closed loop: name, unit, and where it is read.
type Metric = (&'static str, &'static str, fn(&Measured) -> f64);
const CLOSED: [Metric; 8] = [
    ("CPU per request", "µs", |m| m.cpu_us),
    ("of it in the kernel", "%", |m| 100.0 * m.system_share),
    ("answers", "1/s", |m| m.per_second),
    ("core used by the proxy", "%", |m| 100.0 * m.busy),
    ("p50", "µs", |m| m.p50_us),
    ("p99", "µs", |m| m.p99_us),
    ("p99.9", "µs", |m| m.p999_us),
    ("memory (PSS)", "MB", |m| m.pss_mb),
];
const OPEN: [Metric; 4] = [
    ("p50", "µs", |m| m.p50_us),
    ("p99", "µs", |m| m.p99_us),
    ("p99.9", "µs", |m| m.p999_us),
    ("CPU per request", "µs", |m| m.cpu_us),
];

/// The metrics of undisturbed time in the open loop; a measurement has none where nobody watched.
type CalmMetric = (&'static str, &'static str, fn(&Measured) -> Option<f64>);
const WATCHED: [CalmMetric; 4] = [
    ("p50, undisturbed", "µs", |m| Some(m.calm()?.p50_us)),
    ("p99, undisturbed", "µs", |m| Some(m.calm()?.p99_us)),
    ("p99.9, undisturbed", "µs", |m| Some(m.calm()?.p999_us)),
    ("disturbed time", "%", |m| Some(100.0 * m.watched?.disturbed_share)),
];

/// The whole report.
pub(crate) fn report(
    results: &Results,
    idle: Option<&Idle>,
    missing: &[String],
    cores: &Cores,
    load: &str,
    quick: bool,
) -> Value {
    let mut rows = Vec::new();
    for case in Case::all() {
        for (metric, unit, read) in CLOSED {
            let figure = |who| figure(results.closed.get(&(case, who)), read);
            rows.extend(row(&format!("{}, closed loop", case.name()), metric, unit, figure));
        }
        for level in LEVELS {
            let name = format!("{}, open loop at {level} %", case.name());
            let of = |who| results.open.get(&(case, who, level));
            rows.extend(row(&name, "rate", "1/s", |who| of(who).map(|l: &Level| l.rate)));
            let rounds = |who: Who| match who {
                Who::Direct => of(Who::One).map(|l| &l.direct),
                who => of(who).map(|l| &l.rounds),
            };
            for (metric, unit, read) in OPEN {
                rows.extend(row(&name, metric, unit, |who| figure(rounds(who), read)));
            }
            for (metric, unit, read) in WATCHED {
                rows.extend(row(&name, metric, unit, |who| watched(rounds(who)?, read)));
            }
            let raw = |who| of(who).and_then(|level| added_ms(level, |m| Some(m.p99_us)));
            rows.extend(row(&name, "added p99", "ms", raw));
            let watched = |who| of(who).filter(|level| level.watched());
            let calm = |who| watched(who).and_then(|level| added_ms(level, |m| Some(m.calm()?.p99_us)));
            rows.extend(row(&name, "added p99, undisturbed", "ms", calm));
        }
    }
    if let Some(idle) = idle {
        rows.extend(idle.rows());
    }
    json!({
        "name": "gateway", "machine": machine(), "load_before": load, "cores": cores.words(), "quick": quick,
        "missing": missing, "invalid": invalid(results), "notes": notes(results), "rows": rows, "goals": goals(results, idle),
    })
}

/// A row with ours and everybody else's figure; none if nobody has one.
fn row(case: &str, metric: &str, unit: &str, figure: impl Fn(Who) -> Option<f64>) -> Option<Value> {
    let mut peers = Map::new();
    for who in Who::ALL.into_iter().filter(|who| *who != Who::One) {
        if let Some(value) = figure(who) {
            peers.insert(who.name().to_owned(), json!(rounded(value)));
        }
    }
    let ours = figure(Who::One).map(rounded);
    (ours.is_some() || !peers.is_empty())
        .then(|| json!({ "case": case, "metric": metric, "unit": unit, "ours": ours, "peers": peers }))
}

/// The median of the rounds; none if one of them is not valid.
fn figure(rounds: Option<&Vec<Measured>>, read: fn(&Measured) -> f64) -> Option<f64> {
    let rounds = rounds?;
    if rounds.iter().any(|m| fault(m).is_some()) {
        return None;
    }
    median(rounds.iter().map(read).collect())
}

/// The same of what was watched. A round that has no figure, because all of it was disturbed, is left out; where a round was not
/// watched there is none.
fn watched(rounds: &[Measured], read: fn(&Measured) -> Option<f64>) -> Option<f64> {
    if rounds.iter().any(|m| fault(m).is_some() || m.watched.is_none()) {
        return None;
    }
    median(rounds.iter().filter_map(read).collect())
}

/// Why a measurement says nothing.
fn fault(measured: &Measured) -> Option<String> {
    if let Some(error) = measured.errors.first() {
        return Some(format!("{} errors, the first: {error}", measured.errors.len()));
    }
    if measured.answers == 0 {
        return Some("no answers".to_owned());
    }
    None
}

/// Every measurement that says nothing.
fn invalid(results: &Results) -> Vec<String> {
    let mut told = Vec::new();
    for ((case, who), rounds) in &results.closed {
        let at = format!("{}, {}, closed loop", who.name(), case.name());
        told.extend(rounds.iter().filter_map(fault).map(|f| format!("{at}: {f}")));
    }
    for ((case, who, level), open) in &results.open {
        let at = format!("{}, {}, open loop at {level} %", who.name(), case.name());
        told.extend(open.rounds.iter().chain(&open.direct).filter_map(fault).map(|f| format!("{at}: {f}")));
    }
    told.dedup();
    told
}

/// What says less than it seems to: for each case who it is about.
fn notes(results: &Results) -> Vec<String> {
    let mut about: BTreeMap<(String, &str), Vec<&str>> = BTreeMap::new();
    for ((case, who), rounds) in &results.closed {
        let at_its_limit = |m: &Measured| m.own_busy > GENERATOR_BUSY && m.busy < PROXY_BUSY;
        if *who != Who::Direct && rounds.iter().any(at_its_limit) {
            let at = format!("{}, closed loop", case.name());
            about.entry((at, LIMIT)).or_default().push(who.name());
        }
    }
    for ((case, who, level), open) in &results.open {
        let overrun = |m: &Measured| m.left as f64 > OVERRUN * (m.answers + m.left) as f64;
        if open.rounds.iter().any(overrun) {
            let at = format!("{}, open loop at {level} %", case.name());
            about.entry((at, BEHIND)).or_default().push(who.name());
        }
    }
    let mut told: Vec<String> =
        about.into_iter().map(|((at, what), who)| format!("{at}: {what}: {}", who.join("; "))).collect();
    told.extend(disturbed(results));
    told
}

/// How much of the open loop was disturbed, overall.
fn disturbed(results: &Results) -> Vec<String> {
    let all: Vec<&Measured> = results.open.values().flat_map(|l| l.rounds.iter().chain(&l.direct)).collect();
    let pairs: Vec<(&Measured, Watched)> = all.iter().filter_map(|m| Some((*m, m.watched?))).collect();
    let mut told = Vec::new();
    if !pairs.is_empty() {
        let seconds: f64 = pairs.iter().map(|(m, _)| m.seconds).sum();
        let disturbed: f64 = pairs.iter().map(|(m, w)| m.seconds * w.disturbed_share).sum();
        let stalls: u64 = pairs.iter().map(|(_, w)| w.stalls).sum();
        let longest = pairs.iter().map(|(_, w)| w.longest_stall_ms).fold(0.0, f64::max);
        told.push(format!(
            "open loop: {:.1} % of {seconds:.0} s was disturbed and is left out of what is called undisturbed: {stalls} times \
             a core was away, {longest:.1} ms at most",
            100.0 * disturbed / seconds.max(1e-9)
        ));
    }
    let unwatched = all.len() - pairs.len();
    if unwatched > 0 {
        let why = all.iter().find_map(|m| m.unwatched_because.as_deref()).unwrap_or("nothing was said");
        told.push(format!("open loop: {unwatched} of {} measurements were not watched: {why}", all.len()));
    }
    told
}

fn goals(results: &Results, idle: Option<&Idle>) -> Vec<Value> {
    let mut goals = Vec::new();
    let cpu: fn(&Measured) -> f64 = |m| m.cpu_us;
    // A quick run leaves cases out; where everybody was asked for and only ours is missing, the goal does not hold.
    let measured = |case: &Case| results.closed.keys().any(|(c, _)| c == case);
    for case in Case::all().into_iter().filter(measured) {
        let (nginx, most) = if case.http == Http::One { (0.95, Some(0.4)) } else { (1.2, None) };
        let against = |who| ratio(results, case, Who::One, who, cpu);
        goals.push(goal(&format!("CPU per request / nginx's, {}", case.name()), against(Who::Nginx), nginx, "times"));
        if let Some(most) = most {
            goals.push(goal(
                &format!("CPU per request / Envoy's, {}", case.name()),
                against(Who::Envoy),
                most,
                "times",
            ));
        }
    }
    let rules = Case::all().into_iter().filter(|c| c.size == Size::Small);
    let rules = rules.flat_map(|case| ratios(results, case, Who::Many, Who::One, cpu));
    goals.push(goal("CPU per request with 10 000 rules / with one", median(rules.collect()), 1.03, "times"));
    for case in Case::all().into_iter().filter(measured).filter(|c| c.size == Size::Small) {
        goals.push(added_goal(results.open.get(&(case, Who::One, 50)), case));
    }
    goals.push(goal("memory with 10 000 idle WebSockets", idle.map(Idle::at_ten_thousand_mb), 120.0, "MB"));
    goals
}

/// Judged without the disturbed time where that is known, and on everything where it is not; the name says which.
fn added_goal(level: Option<&Level>, case: Case) -> Value {
    let name = "added p99 at half of saturation";
    if level.is_some_and(Level::watched) {
        let added = level.and_then(|level| added_ms(level, |m| Some(m.calm()?.p99_us)));
        return goal(&format!("{name}, undisturbed time, {}", case.name()), added, ADDED_MS, "ms");
    }
    let added = level.and_then(|level| added_ms(level, |m| Some(m.p99_us)));
    goal(&format!("{name}, {}", case.name()), added, ADDED_MS, "ms")
}

/// What the proxy adds to a latency without it, round by round. A round in which one of the two has no figure is left out.
fn added_ms(level: &Level, read: fn(&Measured) -> Option<f64>) -> Option<f64> {
    if level.rounds.iter().chain(&level.direct).any(|m| fault(m).is_some()) {
        return None;
    }
    let pairs = level.rounds.iter().zip(&level.direct);
    median(pairs.filter_map(|(with, without)| Some((read(with)? - read(without)?) / 1e3)).collect())
}

/// The ratios of two contestants in a case, one for each round.
fn ratios(results: &Results, case: Case, of: Who, to: Who, read: fn(&Measured) -> f64) -> Vec<f64> {
    let rounds = |who| results.closed.get(&(case, who)).filter(|all| all.iter().all(|m| fault(m).is_none()));
    let (Some(of), Some(to)) = (rounds(of), rounds(to)) else { return Vec::new() };
    of.iter().zip(to).filter(|(_, to)| read(to) > 0.0).map(|(of, to)| read(of) / read(to)).collect()
}

fn ratio(results: &Results, case: Case, of: Who, to: Who, read: fn(&Measured) -> f64) -> Option<f64> {
    median(ratios(results, case, of, to, read))
}

/// A figure that must not be larger. What was not measured does not hold.
fn goal(name: &str, value: Option<f64>, goal: f64, unit: &str) -> Value {
    let holds = value.is_some_and(|value| value <= goal);
    json!({ "name": name, "value": value.map(rounded), "op": "<=", "goal": goal, "unit": unit, "holds": holds })
}

pub(crate) fn rounded(value: f64) -> f64 {
    let places = if value.abs() < 100.0 { 1e3 } else { 1.0 };
    (value * places).round() / places
}

/// Whether a row is among those that people look at; the others are for programs.
pub(crate) fn told(row: &Value) -> bool {
    let (case, metric) = (row["case"].as_str().unwrap_or_default(), row["metric"].as_str().unwrap_or_default());
    let closed =
        case.ends_with("closed loop") && ["CPU per request", "answers", "p99", "memory (PSS)"].contains(&metric);
    let open = case.ends_with("open loop at 50 %") && OPEN_TOLD.contains(&metric);
    closed || open || case.contains("WebSockets")
}

/// A table for people.
pub(crate) fn table(report: &Value) -> Vec<Vec<String>> {
    let mut head = vec!["case".to_owned(), "metric".to_owned(), "unit".to_owned(), Who::One.name().to_owned()];
    let peers: Vec<&str> = Who::ALL.into_iter().filter(|w| *w != Who::One).map(Who::name).collect();
    head.extend(peers.iter().map(|p| (*p).to_owned()));
    let mut lines = vec![head];
    for row in report["rows"].as_array().into_iter().flatten().filter(|row| told(row)) {
        let word = |key: &str| row[key].as_str().unwrap_or_default().to_owned();
        let mut line = vec![word("case"), word("metric"), word("unit"), shown(&row["ours"])];
        line.extend(peers.iter().map(|p| shown(&row["peers"][*p])));
        lines.push(line);
    }
    lines
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "figures of a table are small and positive"
)]
pub(crate) fn shown(value: &Value) -> String {
    match value.as_f64() {
        None => "-".to_owned(),
        Some(value) if value >= 1_000.0 => spaced(value.round() as u64),
        Some(value) if value.abs() >= 100.0 => format!("{value:.0}"),
        Some(value) if value.abs() >= 10.0 => format!("{value:.1}"),
        Some(value) => format!("{value:.2}"),
    }
}

/// Each goal in one line, and what is missing or not valid.
pub(crate) fn goals_told(report: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    for key in ["missing", "invalid", "notes"] {
        let told = report[key].as_array().into_iter().flatten();
        lines.extend(told.map(|t| format!("{key}: {}", t.as_str().unwrap_or_default())));
    }
    for goal in report["goals"].as_array().into_iter().flatten() {
        let mark = match (goal["holds"] == Value::Bool(true), goal["value"].is_null()) {
            (true, _) => "ok   ",
            (false, true) => "none ",
            (false, false) => "SHORT",
        };
        let (name, unit) = (goal["name"].as_str().unwrap_or_default(), goal["unit"].as_str().unwrap_or_default());
        let op = goal["op"].as_str().unwrap_or_default();
        lines.push(format!("{mark} {name}: {} {unit} (goal {op} {})", shown(&goal["value"]), goal["goal"]));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::super::measure::Calm;
    use super::*;

    const CASE: Case = Case { http: Http::One, tls: true, size: Size::Small };

    fn measured(cpu_us: f64, p99_us: f64) -> Measured {
        Measured { answers: 1_000, per_second: 10_000.0, cpu_us, p99_us, ..Measured::default() }
    }

    fn results() -> Results {
        let mut results = Results::default();
        // The machine was slow in the second round, and alike for all.
        results.closed.insert((CASE, Who::Nginx), [20.0, 40.0, 20.0].map(|cpu| measured(cpu, 900.0)).into());
        results.closed.insert((CASE, Who::One), [18.0, 36.0, 18.0].map(|cpu| measured(cpu, 900.0)).into());
        results.closed.insert((CASE, Who::Many), [18.9, 37.8, 18.9].map(|cpu| measured(cpu, 900.0)).into());
        let level = Level { rate: 5_000.0, rounds: vec![measured(20.0, 900.0)], direct: vec![measured(9.0, 300.0)] };
        results.open.insert((CASE, Who::One, 50), level);
        results
    }

    fn goal_of(goals: &[Value], name: &str) -> Value {
        goals.iter().find(|g| g["name"].as_str().is_some_and(|n| n.starts_with(name))).expect("there is one").clone()
    }

    #[test]
    fn goals_are_medians_of_ratios_within_a_round() {
        let goals = goals(&results(), None);
        let nginx = goal_of(&goals, &format!("CPU per request / nginx's, {}", CASE.name()));
        assert_eq!((nginx["value"].as_f64(), nginx["holds"].as_bool()), (Some(0.9), Some(true)));
        let rules = goal_of(&goals, "CPU per request with 10 000");
        assert_eq!((rules["value"].as_f64(), rules["holds"].as_bool()), (Some(1.05), Some(false)));
        let added = goal_of(&goals, &format!("added p99 at half of saturation, {}", CASE.name()));
        assert_eq!((added["value"].as_f64(), added["holds"].as_bool()), (Some(0.6), Some(true)));
        assert!(!added["name"].as_str().expect("a name").contains("undisturbed"), "nobody watched");
    }

    fn seen(p99_us: f64, calm_us: Option<f64>) -> Measured {
        let calm = calm_us.map(|p99_us| Calm { answers: 900, p50_us: 90.0, p99_us, p999_us: 2_000.0 });
        let share = if calm.is_some() { 0.1 } else { 1.0 };
        let watched = Watched { calm, disturbed_share: share, stalls: 2, longest_stall_ms: 4.0 };
        Measured { watched: Some(watched), seconds: 1.0, ..measured(20.0, p99_us) }
    }

    fn watched_results(rounds: Vec<Measured>, direct: Vec<Measured>) -> Results {
        let mut results = results();
        results.open.insert((CASE, Who::One, 50), Level { rate: 5_000.0, rounds, direct });
        results
    }

    fn added_of(results: &Results) -> (String, Option<f64>, bool) {
        let goal = goal_of(&goals(results, None), "added p99 at half of saturation");
        (goal["name"].as_str().unwrap_or_default().to_owned(), goal["value"].as_f64(), goal["holds"] == true)
    }

    #[test]
    fn what_was_watched_is_judged_without_the_disturbed_time_and_both_are_told() {
        let results =
            watched_results(vec![seen(9_300.0, Some(800.0)), seen(900.0, None)], vec![seen(1_300.0, Some(400.0)); 2]);
        let (name, value, holds) = added_of(&results);
        assert_eq!(name, format!("added p99 at half of saturation, undisturbed time, {}", CASE.name()));
        assert_eq!((value, holds), (Some(0.4), true), "the round without a figure is left out");
        let told = report(&results, None, &[], &Cores { proxy: None, others: None }, "0", true);
        let rows = told["rows"].as_array().expect("rows");
        let ours = |metric: &str| {
            let row = rows.iter().find(|r| r["metric"] == metric && told_of(r)).expect("a row that is told");
            row["ours"].as_f64()
        };
        assert_eq!((ours("p99, undisturbed"), ours("added p99, undisturbed")), (Some(800.0), Some(0.4)));
        // 8.0 and -0.4.
        assert_eq!((ours("added p99"), ours("disturbed time")), (Some(3.8), Some(55.0)));
        let note = told["notes"][0].as_str().expect("a note");
        assert!(note.starts_with("open loop: 32.5 % of 4 s was disturbed") && note.contains("8 times"), "{note}");
    }

    fn told_of(row: &Value) -> bool {
        row["case"].as_str().is_some_and(|case| case.ends_with("open loop at 50 %")) && super::told(row)
    }

    #[test]
    fn where_all_rounds_are_disturbed_no_goal_holds() {
        let results = watched_results(vec![seen(900.0, None)], vec![seen(300.0, Some(300.0))]);
        assert_eq!((added_of(&results).1, added_of(&results).2), (None, false));
    }

    #[test]
    fn where_one_was_not_watched_everything_counts() {
        let mut blind = measured(20.0, 1_900.0);
        blind.unwatched_because = Some("chrt cannot run".to_owned());
        let results = watched_results(vec![seen(1_900.0, Some(800.0)), blind], vec![seen(400.0, Some(400.0)); 2]);
        let (name, value, holds) = added_of(&results);
        assert_eq!((value, holds), (Some(1.5), false));
        assert!(!name.contains("undisturbed"), "{name}");
        let notes = notes(&results);
        assert!(notes[1].contains("1 of 4 measurements were not watched: chrt cannot run"), "{notes:?}");
        let told = report(&results, None, &[], &Cores { proxy: None, others: None }, "0", true);
        let mut rows = told["rows"].as_array().expect("rows").iter();
        assert!(rows.all(|row| row["metric"] != "added p99, undisturbed"), "no figure of which a part was not watched");
    }

    #[test]
    fn what_was_not_measured_does_not_hold() {
        let mut results = Results::default();
        results.closed.insert((CASE, Who::Nginx), vec![measured(20.0, 900.0)]);
        let goals = goals(&results, None);
        assert_eq!(goals.len(), 5);
        assert!(goals.iter().all(|g| g["holds"] == false && g["value"].is_null()));
    }

    #[test]
    fn an_error_makes_a_case_invalid() {
        let mut results = results();
        let rounds = results.closed.get_mut(&(CASE, Who::Nginx)).expect("measured");
        rounds[1].errors.push("the answer HTTP/1.1 502".to_owned());
        assert_eq!(
            invalid(&results),
            [format!("nginx, {}, closed loop: 1 errors, the first: the answer HTTP/1.1 502", CASE.name())]
        );
        assert!(
            goal_of(&goals(&results, None), &format!("CPU per request / nginx's, {}", CASE.name()))["value"].is_null()
        );
        let told = report(&results, None, &[], &Cores { proxy: None, others: None }, "0", true);
        let row =
            told["rows"].as_array().expect("rows").iter().find(|r| r["metric"] == "CPU per request").expect("one");
        assert_eq!((row["ours"].as_f64(), row["peers"].get("nginx")), (Some(18.0), None));
    }
}
