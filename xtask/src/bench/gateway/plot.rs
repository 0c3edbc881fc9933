//! Latency over load, as a drawing that a page can show: one line for each contestant, both axes logarithmic or plain as fits.

use serde_json::Value;

use super::contestant::{Case, Http, Size, Who};
use super::rounds::LEVELS;
use crate::bench::svg::{Chart, Series};

/// Colours that are told apart by those who see fewer of them, in the order of the contestants.
const COLOURS: [&str; 7] = ["#666666", "#0072b2", "#56b4e9", "#e69f00", "#009e73", "#d55e00", "#cc79a7"];

/// The drawing: p99 over requests a second, of the case that is plain if it was measured, else of that with TLS.
pub(crate) fn latency(report: &Value) -> String {
    let case = |tls| Case { http: Http::One, tls, size: Size::Small };
    let plain = points(report, case(false), Who::One);
    let case = if plain.is_empty() { case(true) } else { case(false) };
    let series = Who::ALL.into_iter().zip(COLOURS).map(|(who, colour)| Series {
        name: who.name().to_owned(),
        colour,
        points: points(report, case, who),
    });
    Chart {
        title: format!("p99 over load: {}, open loop at 25, 50 and 75 % of saturation", case.name()),
        across: "requests a second".to_owned(),
        up: "p99, µs".to_owned(),
        series: series.filter(|s| !s.points.is_empty()).collect(),
    }
    .draw()
}

fn points(report: &Value, case: Case, who: Who) -> Vec<(f64, f64)> {
    let of = |level: u32, metric: &str| {
        let name = format!("{}, open loop at {level} %", case.name());
        let row = report["rows"].as_array()?.iter().find(|r| r["case"] == name.as_str() && r["metric"] == metric)?;
        let found = if who == Who::One { &row["ours"] } else { &row["peers"][who.name()] };
        // Without a proxy it was measured at the rates of the one that is judged.
        let found = if who == Who::Direct && metric == "rate" { &row["ours"] } else { found };
        found.as_f64()
    };
    LEVELS.into_iter().filter_map(|level| Some((of(level, "rate")?, of(level, "p99")?))).collect()
}
