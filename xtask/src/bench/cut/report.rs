//! From what the clients saw to figures and goals.

use serde_json::{Value, json};

use super::Pulled;
use crate::bench::gateway::process::Cores;
use crate::bench::gateway::rounded;
use crate::bench::machine;
use crate::bench::svg::{Chart, Series};
use crate::terminal::spaced;

/// How the times of tunnels are to be read.
const BEHIND: &str = "the end of a tunnel is seen behind `safeconduct connect`, as its user sees it: that program's share of the \
                      clients' core is in the time, and not in the CPU of the clients";

/// The whole report.
pub(crate) fn report(
    pulled: &[Pulled],
    connections: usize,
    errors: usize,
    cores: &Cores,
    load: &str,
    quick: bool,
) -> Value {
    let (mut rows, mut goals) = (Vec::new(), Vec::new());
    let mut sums = Sums::default();
    let most = pulled.iter().map(|one| one.at_once).max().unwrap_or(0);
    for one in pulled {
        let case = one.name();
        let mut row = |metric: &str, unit: &str, ours: f64| {
            rows.push(json!({ "case": case, "metric": metric, "unit": unit, "ours": rounded(ours), "peers": {} }));
        };
        let mut all = Vec::new();
        let (mut open, mut early) = (0, 0);
        for group in one.told["ended"].as_array().into_iter().flatten() {
            let took = took(group);
            open += group["open"].as_u64().unwrap_or(0);
            early += group["early"].as_u64().unwrap_or(0);
            if one.at_once == most {
                row(&format!("{}: p99", kind(group)), "ms", at(&took, 990));
            }
            all.extend(took);
        }
        all.sort_by(f64::total_cmp);
        let missed = open.saturating_sub(all.len() as u64 + early);
        row("connections that rested on it", "", open as f64);
        row("p50", "ms", at(&all, 500));
        row("p99", "ms", at(&all, 990));
        row("max", "ms", at(&all, 1_000));
        // With what the load beside it took meanwhile. On a shared machine these two say more than the times.
        let each = |key: &str| one.told[key].as_f64().unwrap_or(0.0) / 1e3 / all.len().max(1) as f64;
        if one.at_once == most {
            row("CPU of the gateway for each", "µs", each("cpu_ns"));
            row("CPU of the clients for each", "µs", each("own_cpu_ns"));
        }
        row("not cut", "", missed as f64);
        let wrongly = one.told["wrongly_ended"].as_object().map_or(0, |m| m.values().filter_map(Value::as_u64).sum());
        row("wrongly cut", "", (wrongly + early) as f64);
        let probe = |name: &str, key: &str| {
            let found = one.told["probes"].as_array().and_then(|all| all.iter().find(|p| p["name"] == name));
            found.and_then(|p| p[key].as_f64())
        };
        let late = probe("ending", "yes_after_a_second").unwrap_or(f64::MAX);
        row("served on old facts after 1 s", "requests", late);
        if let Some(last) = probe("ending", "last_yes_ms") {
            row("last request served on old facts, after", "ms", last);
        }
        // A probe that was never let in proves nothing when it is refused.
        let probed = probe("ending", "yes_before").is_some_and(|n| n > 0.0);
        let refused =
            probe("staying", "no_after").unwrap_or(f64::MAX) + one.load["errors"].as_array().map_or(1, Vec::len) as f64;
        row("requests wrongly refused", "", refused);
        row("requests beside it", "", one.load["answers"].as_f64().unwrap_or(0.0));
        goals.push(goal(&format!("p99, {case}"), Some(at(&all, 990)).filter(|_| missed == 0 && open > 0), 100.0, "ms"));
        goals.push(goal(
            &format!("max, {case}"),
            Some(at(&all, 1_000)).filter(|_| missed == 0 && open > 0),
            1_000.0,
            "ms",
        ));
        sums.missed += missed as f64;
        sums.wrongly += (wrongly + early) as f64;
        sums.late += if probed { late } else { f64::MAX };
        sums.refused += refused;
    }
    let sum = |value: f64| Some(value).filter(|v| *v < f64::MAX / 2.0 && !pulled.is_empty());
    goals.push(goal("connections that should have been cut and were not", sum(sums.missed), 0.0, "connections"));
    goals.push(goal("connections cut that still held", sum(sums.wrongly), 0.0, "connections"));
    goals.push(goal("requests served on the old facts after 1 s", sum(sums.late), 0.0, "requests"));
    goals.push(goal("requests refused that were still permitted", sum(sums.refused), 0.0, "requests"));
    goals.push(goal("ERROR lines in the log of the gateway", sum(errors as f64), 0.0, "lines"));
    json!({
        "name": "cut", "machine": machine(), "load_before": load, "cores": cores.words(), "quick": quick,
        "connections": connections, "missing": [], "invalid": [], "notes": [BEHIND], "rows": rows, "goals": goals,
    })
}

impl Pulled {
    /// The trigger and how much rested on it, in words.
    fn name(&self) -> String {
        format!("{}, {} at once", self.trigger.name(), spaced(self.at_once as u64))
    }
}

/// What all triggers came to together.
#[derive(Default)]
struct Sums {
    missed: f64,
    wrongly: f64,
    late: f64,
    refused: f64,
}

/// The distribution of each trigger: how many per mille had ended, over the time.
pub(crate) fn drawing(pulled: &[Pulled]) -> String {
    const COLOURS: [&str; 9] =
        ["#000000", "#0072b2", "#56b4e9", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#999999", "#7a5195"];
    let most = pulled.iter().map(|one| one.at_once).max().unwrap_or(0);
    let series = pulled.iter().filter(|one| one.at_once == most).zip(COLOURS).map(|(one, colour)| {
        let groups = one.told["ended"].as_array().into_iter().flatten();
        let mut all: Vec<f64> = groups.flat_map(took).collect();
        all.sort_by(f64::total_cmp);
        let points = (0..=100u32).map(|percent| (f64::from(percent), at(&all, u64::from(percent) * 10)));
        let points = if all.is_empty() { Vec::new() } else { points.collect() };
        Series { name: one.trigger.name().to_owned(), colour, points }
    });
    Chart {
        title: "From the trigger to the end at the client".to_owned(),
        across: "of all connections that rested on the fact, %".to_owned(),
        up: "ended after, ms".to_owned(),
        series: series.filter(|s| !s.points.is_empty()).collect(),
    }
    .draw()
}

fn took(group: &Value) -> Vec<f64> {
    let mut all: Vec<f64> =
        group["took_us"].as_array().into_iter().flatten().filter_map(Value::as_f64).map(|us| us / 1e3).collect();
    all.sort_by(f64::total_cmp);
    all
}

/// The kind of a group, as the table names it.
fn kind(group: &Value) -> &'static str {
    match group["kind"].as_str() {
        Some("Websocket") => "WebSockets, HTTP/1.1",
        Some("Websocket2") => "WebSockets, HTTP/2",
        Some("Events") => "events, HTTP/1.1",
        Some("Exchange") => "exchanges, HTTP/1.1",
        Some("Stream") => "streams, HTTP/2",
        Some("Tunnel") => "tunnels, TCP",
        _ => "of an unknown kind",
    }
}

/// The value that this part of a thousand stays within.
fn at(sorted: &[f64], per_mille: u64) -> f64 {
    let wanted = (sorted.len() as u64 * per_mille).div_ceil(1_000).max(1) - 1;
    usize::try_from(wanted).ok().and_then(|n| sorted.get(n)).copied().unwrap_or(0.0)
}

fn goal(name: &str, value: Option<f64>, goal: f64, unit: &str) -> Value {
    let holds = value.is_some_and(|value| value <= goal);
    json!({ "name": name, "value": value.map(rounded), "op": "<=", "goal": goal, "unit": unit, "holds": holds })
}

#[cfg(test)]
mod tests {
    use super::super::triggers::Trigger;
    use super::*;

    fn pulled(took_us: &[u64], open: u64, late: u64, wrongly: u64) -> Pulled {
        let told = json!({
            "ended": [{ "name": "x", "kind": "Websocket", "open": open, "early": 0, "took_us": took_us }],
            "wrongly_ended": { "staying websocket": wrongly },
            "probes": [
                { "name": "ending", "yes_before": 9, "yes_after_a_second": late, "last_yes_ms": 12.0 },
                { "name": "staying", "no_after": 0 },
            ],
        });
        Pulled { trigger: Trigger::LeftGroup, at_once: 2, told, load: json!({ "answers": 100, "errors": [] }) }
    }

    fn holds(pulled: &Pulled) -> Vec<bool> {
        let told = report(std::slice::from_ref(pulled), 10, 0, &Cores { proxy: None, others: None }, "0", true);
        told["goals"].as_array().expect("goals").iter().map(|g| g["holds"] == true).collect()
    }

    #[test]
    fn each_way_to_fall_short_is_seen() {
        assert_eq!(holds(&pulled(&[5_000, 9_000], 2, 0, 0)), [true; 7]);
        assert_eq!(holds(&pulled(&[5_000, 500_000], 2, 0, 0)), [false, true, true, true, true, true, true]);
        assert_eq!(holds(&pulled(&[5_000], 2, 0, 0)), [false, false, false, true, true, true, true], "one was not cut");
        assert_eq!(holds(&pulled(&[5_000, 9_000], 2, 1, 0)), [true, true, true, true, false, true, true]);
        assert_eq!(holds(&pulled(&[5_000, 9_000], 2, 0, 3)), [true, true, true, false, true, true, true]);
    }

    #[test]
    fn each_kind_has_a_row_of_its_own() {
        let mut one = pulled(&[], 0, 0, 0);
        // As the clients name them, in the order in which they are opened.
        let kinds = ["Websocket", "Events", "Exchange", "Stream", "Websocket2", "Tunnel"];
        let ended = |kind: &str| json!({ "name": kind, "kind": kind, "open": 1, "early": 0, "took_us": [1_000] });
        one.told["ended"] = kinds.into_iter().map(ended).collect();
        let told = report(&[one], 6, 0, &Cores { proxy: None, others: None }, "0", true);
        let rows = told["rows"].as_array().expect("rows").iter();
        let names: Vec<&str> = rows.filter_map(|r| r["metric"].as_str()?.strip_suffix(": p99")).collect();
        let different: std::collections::BTreeSet<&str> = names.iter().copied().collect();
        assert_eq!((names.len(), different.len()), (kinds.len(), kinds.len()), "{names:?}");
        assert!(!names.contains(&"of an unknown kind"), "{names:?}");
        assert_eq!(kinds.map(str::to_lowercase).as_slice(), super::super::KINDS);
    }

    #[test]
    fn a_probe_that_was_never_let_in_proves_nothing() {
        let mut one = pulled(&[5_000, 9_000], 2, 0, 0);
        one.told["probes"][0]["yes_before"] = json!(0);
        assert!(!holds(&one)[4]);
    }

    #[test]
    fn nothing_measured_is_nothing_reached() {
        let told = report(&[], 0, 0, &Cores { proxy: None, others: None }, "0", true);
        assert!(told["goals"].as_array().expect("goals").iter().all(|g| g["holds"] == false));
    }

    #[test]
    fn parts_of_a_thousand_are_those_of_the_sorted_values() {
        let all: Vec<f64> = (1..=1_000u32).map(f64::from).collect();
        assert_eq!([at(&all, 500), at(&all, 990), at(&all, 1_000), at(&all, 0)], [500.0, 990.0, 1_000.0, 1.0]);
        assert_eq!(at(&[], 990), 0.0);
    }
}
