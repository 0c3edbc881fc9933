//! From what was seen to figures and goals.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::Run;
use super::samples::Sample;
use crate::bench::gateway::process::Cores;
use crate::bench::gateway::rounded;
use crate::bench::machine;
use crate::bench::svg::{Chart, Series};

/// At rest after the run it may hold so much more than at rest before: caches and indexes that fill up to their bounds, and what the
/// allocator keeps.
const MEMORY_MB: f64 = 32.0;
/// In the second half of the load everything that fills up has filled up, so it grows less.
const HALF_MB: f64 = 16.0;
/// The rest at the end, in seconds.
const REST: f64 = super::REST.as_secs() as f64;
/// Files of the ledger and of its index that are opened on the way.
const DESCRIPTORS: f64 = 8.0;
/// Helper threads for files, which come and go.
const THREADS: f64 = 4.0;
/// What must be gone when nobody is there but `safeconduct connect`, which keeps its way to the gateway. Resting connections to
/// applications are closed by their limit.
const LIVE: [&str; 4] = ["connection", "exchange", "websocket", "tunnel"];

/// A figure of a sample.
type Of = fn(&Sample) -> f64;

/// The whole report.
pub(crate) fn report(run: &Run, cores: &Cores, load: &str, debug: bool) -> Value {
    let mut rows = Vec::new();
    let mut row = |case: &str, metric: &str, unit: &str, ours: f64| {
        rows.push(json!({ "case": case, "metric": metric, "unit": unit, "ours": rounded(ours), "peers": {} }));
    };
    let highest = |of: Of| run.samples.iter().map(of).fold(0.0, f64::max);
    let held: [(&str, &str, Of); 4] = [
        ("resident memory", "MB", |s| s.rss_mb),
        ("proportional memory", "MB", |s| s.pss_mb),
        ("descriptors", "", |s| s.descriptors),
        ("threads", "", |s| s.threads),
    ];
    for (metric, unit, of) in held {
        row("at rest before", metric, unit, of(&run.before));
        row("highest", metric, unit, highest(of));
        row("at rest after", metric, unit, of(&run.after));
    }
    for (kind, live) in &run.after.live {
        row("at rest after", &format!("live: {kind}"), "", *live);
    }
    for (happening, count) in &run.happened {
        row("happened", happening.name(), "times", f64::from(*count));
    }
    for (what, count) in seen(&run.told["counts"]) {
        row("seen by clients", &what, "", count);
    }
    row("ledger", "records", "", run.found.records as f64);
    row("ledger", "answers with an id", "", run.found.answered as f64);
    row("log", "warnings", "lines", run.warnings as f64);
    let seconds = 60.0 * run.minutes as f64;
    row("load", "requests", "per second", (run.after.requests - run.before.requests) / seconds);
    json!({
        "name": "soak", "machine": machine(), "load_before": load, "cores": cores.words(), "quick": debug || run.minutes < 10,
        "minutes": run.minutes, "missing": [], "invalid": [], "notes": notes(run), "counts": run.told["counts"], "rows": rows, "goals": goals(run),
        "series": run.samples.iter().map(|s| json!({
            "seconds": rounded(s.seconds), "rss_mb": rounded(s.rss_mb), "pss_mb": rounded(s.pss_mb),
            "descriptors": s.descriptors, "threads": s.threads, "requests": s.requests, "live": s.live,
        })).collect::<Vec<_>>(),
    })
}

/// What clients saw, whoever they were: the counts name who, what and how it came out.
fn seen(counts: &Value) -> BTreeMap<String, f64> {
    let mut sums = BTreeMap::new();
    for (what, count) in counts.as_object().into_iter().flatten() {
        let parts: Vec<&str> = what.splitn(3, ": ").collect();
        let name = match parts.as_slice() {
            [_, what, outcome] => format!("{what}: {outcome}"),
            _ => what.clone(),
        };
        *sums.entry(name).or_default() += count.as_f64().unwrap_or(f64::NAN);
    }
    sums
}

/// How much the resident memory grew from the middle of the load to its end.
fn second_half(run: &Run) -> f64 {
    let loaded = run.samples.iter().filter(|s| s.seconds > run.before.seconds && s.seconds < run.after.seconds - REST);
    let loaded: Vec<f64> = loaded.map(|s| s.rss_mb).collect();
    match (loaded.get(loaded.len() / 2), loaded.last()) {
        (Some(half), Some(end)) => end - half,
        _ => f64::NAN,
    }
}

fn goals(run: &Run) -> Vec<Value> {
    let more = |of: Of| of(&run.after) - of(&run.before);
    let told = |key: &str| run.told[key].as_f64().unwrap_or(f64::INFINITY);
    let counted = |what: &str| run.told["counts"][what].as_f64().unwrap_or(0.0);
    let all = super::Happening::ALL.len() - run.happened.len();
    let mut goals = vec![
        goal("proportional memory more than before", more(|s| s.pss_mb), MEMORY_MB, "MB"),
        goal("resident memory more than half-way through", second_half(run), HALF_MB, "MB"),
        goal("descriptors more than before", more(|s| s.descriptors), DESCRIPTORS, ""),
        goal("threads more than before", more(|s| s.threads), THREADS, ""),
    ];
    for kind in LIVE {
        let of = |sample: &Sample| sample.live.get(kind).copied();
        let left = of(&run.after).zip(of(&run.before)).map_or(f64::INFINITY, |(after, before)| after - before);
        goals.push(goal(&format!("live at rest more than before: {kind}"), left, 0.0, ""));
    }
    goals.extend([
        goal("wrong answers, and connections that ended or lived wrongly", told("wrong"), 0.0, ""),
        goal(
            "half-open handshakes that were closed before their time",
            counted("half-open handshake: closed before its time"),
            0.0,
            "",
        ),
        goal("ERROR lines in the log", run.errors.len() as f64, 0.0, "lines"),
        goal("times that the metrics could not be read", run.unseen as f64, 0.0, ""),
        goal("answered requests without a record", run.found.missing as f64, 0.0, ""),
        goal("answered requests whose record says otherwise", run.found.other as f64, 0.0, ""),
        goal("request ids that two answers had", run.found.twice as f64, 0.0, ""),
        goal("ledgers that do not verify", if run.found.verified { 0.0 } else { 1.0 }, 0.0, ""),
        goal("ends of the program that were not in good order", if run.ended_well { 0.0 } else { 1.0 }, 0.0, ""),
        goal("kinds of happenings that did not happen", all as f64, 0.0, ""),
    ]);
    // A run in which nobody was answered proves nothing.
    let nobody = if told("answered") > 1_000.0 && run.found.answered > 1_000 { 0.0 } else { 1.0 };
    goals.push(goal("runs with fewer than a thousand answers", nobody, 0.0, ""));
    goals
}

fn goal(name: &str, value: f64, goal: f64, unit: &str) -> Value {
    let value_told = value.is_finite().then(|| rounded(value));
    json!({ "name": name, "value": value_told, "op": "<=", "goal": goal, "unit": unit, "holds": value <= goal })
}

fn notes(run: &Run) -> Vec<String> {
    let words = run.told["words"].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned);
    let mut notes = vec![format!("ledger verify: {}", run.found.told)];
    notes.extend(words.map(|w| format!("wrong: {w}")));
    notes.extend(run.found.words.iter().cloned());
    notes.extend(run.errors.iter().take(10).cloned());
    notes
}

/// Memory, descriptors and requests a second, over the time.
pub(crate) fn drawing(samples: &[Sample]) -> String {
    let series = |name: &str, colour: &'static str, of: Of| Series {
        name: name.to_owned(),
        colour,
        points: samples.iter().map(|s| (s.seconds, of(s))).collect(),
    };
    let rate = samples.windows(2).map(|w| {
        let (before, after) = (&w[0], &w[1]);
        (after.seconds, (after.requests - before.requests) / (after.seconds - before.seconds).max(0.1))
    });
    let rate = Series {
        name: "requests a second".to_owned(),
        colour: "#009e73",
        points: rate.map(|(at, n)| (at, n.max(1.0))).collect(),
    };
    Chart {
        title: "What the program holds while everything around it fails".to_owned(),
        across: "seconds".to_owned(),
        up: "MB, descriptors, threads, requests a second".to_owned(),
        series: vec![
            series("resident memory, MB", "#0072b2", |s| s.rss_mb),
            series("descriptors", "#d55e00", |s| s.descriptors),
            series("threads", "#999999", |s| s.threads),
            rate,
        ],
    }
    .draw()
}

#[cfg(test)]
mod tests {
    use super::super::ledger::Found;
    use super::*;

    fn well() -> Run {
        let rest = Sample {
            seconds: 30.0,
            rss_mb: 90.0,
            pss_mb: 80.0,
            descriptors: 40.0,
            threads: 9.0,
            requests: 5_000.0,
            live: LIVE.iter().map(|k| ((*k).to_owned(), 0.0)).collect::<BTreeMap<_, _>>(),
        };
        Run {
            minutes: 1,
            before: rest.clone(),
            after: Sample { seconds: 99.0, pss_mb: 85.0, requests: 65_000.0, ..rest.clone() },
            samples: [31.0, 50.0, 80.0].map(|seconds| Sample { seconds, ..rest.clone() }).into(),
            unseen: 0,
            happened: super::super::Happening::ALL.into_iter().map(|h| (h, 2)).collect(),
            told: json!({ "counts": {}, "wrong": 0, "words": [], "answered": 60_000 }),
            found: Found { verified: true, answered: 60_000, records: 61_000, ..Found::default() },
            errors: vec![],
            warnings: 3,
            ended_well: true,
        }
    }

    fn short(run: &Run) -> Vec<String> {
        let short = goals(run).into_iter().filter(|g| g["holds"] == Value::Bool(false));
        short.map(|g| g["name"].as_str().unwrap_or_default().to_owned()).collect()
    }

    #[test]
    fn a_good_run_falls_short_of_nothing() {
        assert_eq!(short(&well()), Vec::<String>::new());
    }

    #[test]
    fn what_clients_saw_is_counted_whoever_they_were() {
        let sums = seen(&json!({ "a: HTTP/2: right": 3, "b: HTTP/2: right": 4, "slow head: 408": 5 }));
        assert_eq!(
            sums.into_iter().collect::<Vec<_>>(),
            [("HTTP/2: right".into(), 7.0), ("slow head: 408".into(), 5.0)]
        );
    }

    #[test]
    fn each_fault_is_told() {
        type Spoil = fn(&mut Run);
        let faults: [(&str, Spoil); 14] = [
            ("resident memory more than half-way through", |r| r.samples[2].rss_mb = 107.0),
            ("proportional memory more than before", |r| r.after.pss_mb = 113.0),
            ("proportional memory more than before", |r| r.after.pss_mb = f64::NAN),
            ("descriptors more than before", |r| r.after.descriptors = 49.0),
            ("live at rest more than before: websocket", |r| r.after.live.extend([("websocket".into(), 1.0)])),
            ("live at rest more than before: tunnel", |r| r.after.live.retain(|k, _| k != "tunnel")),
            ("wrong answers, and connections that ended or lived wrongly", |r| r.told["wrong"] = json!(1)),
            ("wrong answers, and connections that ended or lived wrongly", |r| r.told["wrong"] = Value::Null),
            ("ERROR lines in the log", |r| r.errors.push("ERROR".into())),
            ("answered requests without a record", |r| r.found.missing = 1),
            ("answered requests whose record says otherwise", |r| r.found.other = 1),
            ("ledgers that do not verify", |r| r.found.verified = false),
            ("kinds of happenings that did not happen", |r| r.happened.retain(|h, _| h.name().contains("group"))),
            ("runs with fewer than a thousand answers", |r| r.told["answered"] = json!(3)),
        ];
        for (name, spoil) in faults {
            let mut run = well();
            spoil(&mut run);
            assert_eq!(short(&run), [name]);
        }
    }
}
