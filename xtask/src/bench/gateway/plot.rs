//! Latency over load, as a drawing that a page can show: one line for each contestant, both axes logarithmic or plain as fits.

use serde_json::Value;

use super::contestant::{Case, Http, Size, Who};
use super::rounds::LEVELS;
use crate::bench::svg::{Chart, Series};

/// Colours that are told apart by those who see fewer of them, in the order of the contestants.
const COLOURS: [&str; 7] = ["#666666", "#0072b2", "#56b4e9", "#e69f00", "#009e73", "#d55e00", "#cc79a7"];

/// The metrics of the report that can be drawn.
const RAW: &str = "p99";
const CALM: &str = "p99, undisturbed";

/// The drawing: p99 over requests a second, of the case that is plain if it was measured, else of that with TLS; in undisturbed time
/// if there is that figure at every level.
pub(crate) fn latency(report: &Value) -> String {
    let case = |tls| Case { http: Http::One, tls, size: Size::Small };
    let plain = points(report, case(false), Who::One, RAW);
    let case = if plain.is_empty() { case(true) } else { case(false) };
    let watched = points(report, case, Who::One, CALM).len() == LEVELS.len();
    let (metric, when) = if watched { (CALM, ", undisturbed") } else { (RAW, "") };
    let series = Who::ALL.into_iter().zip(COLOURS).map(|(who, colour)| Series {
        name: who.name().to_owned(),
        colour,
        points: points(report, case, who, metric),
    });
    Chart {
        title: format!("p99 over load{when}: {}, open loop at 25, 50 and 75 % of saturation", case.name()),
        across: "requests a second".to_owned(),
        up: "p99, µs".to_owned(),
        series: series.filter(|s| !s.points.is_empty()).collect(),
    }
    .draw()
}

fn points(report: &Value, case: Case, who: Who, metric: &str) -> Vec<(f64, f64)> {
    let of = |level: u32, metric: &str| {
        let name = format!("{}, open loop at {level} %", case.name());
        let row = report["rows"].as_array()?.iter().find(|r| r["case"] == name.as_str() && r["metric"] == metric)?;
        let found = if who == Who::One { &row["ours"] } else { &row["peers"][who.name()] };
        // Without a proxy it was measured at the rates of the one that is judged.
        let found = if who == Who::Direct && metric == "rate" { &row["ours"] } else { found };
        found.as_f64()
    };
    LEVELS.into_iter().filter_map(|level| Some((of(level, "rate")?, of(level, metric)?))).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn undisturbed_figures_are_drawn_where_every_level_has_them() {
        let name = |level: u32| format!("HTTP/1.1, 1 KB, TLS off, open loop at {level} %");
        let row = |level: u32, metric: &str, ours: f64| json!({ "case": name(level), "metric": metric, "ours": ours, "peers": {} });
        let mut rows: Vec<Value> = LEVELS.iter().flat_map(|l| [row(*l, "rate", 9_000.0), row(*l, RAW, 50.0)]).collect();
        rows.extend(LEVELS[1..].iter().map(|l| row(*l, CALM, 30.0)));
        assert!(!latency(&json!({ "rows": rows })).contains("undisturbed"));
        rows.push(row(LEVELS[0], CALM, 30.0));
        assert!(latency(&json!({ "rows": rows })).contains("p99 over load, undisturbed"));
    }
}
