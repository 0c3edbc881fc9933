//! Mines generated enterprises and prints the figures as JSON: `mine SEEDS WEEKS`. `cargo xtask bench mine` calls it.

#[path = "../tests/enterprise/mod.rs"]
mod enterprise;

use std::io::Write as _;

use enterprise::generate;
use enterprise::judge::{Judged, judge};
use safeconduct_model::Duration;
use safeconduct_rehearse::Settings;

fn main() -> std::io::Result<()> {
    let numbers: Vec<u32> = std::env::args().skip(1).filter_map(|a| a.parse().ok()).collect();
    let (seeds, weeks) = match numbers.as_slice() {
        [seeds, weeks] => (*seeds, *weeks),
        _ => (5, 22),
    };
    let mut rows = Vec::new();
    for seed in 1..=u64::from(seeds) {
        let e = generate(seed, i32::try_from(weeks).unwrap_or(22));
        let judged = judge(&e, &Settings::default(), e.last - Duration::from_days(28));
        rows.push(row(seed, e.entries.len(), &judged));
    }
    writeln!(std::io::stdout(), "{}", serde_json::Value::Array(rows))
}

fn row(seed: u64, records: usize, j: &Judged) -> serde_json::Value {
    serde_json::json!({
        "seed": seed, "records": records, "needed": j.needed, "denied": j.denied, "under": j.under(),
        "granted": j.granted, "idle_month": j.idle_month, "over": j.over(), "over_in_a_week": j.over_in_a_week(),
        "pairs": j.pairs, "pairs_idle_month": j.pairs_idle_month, "noise": j.noise,
        "noise_permitted": j.noise_permitted, "rules": j.rules, "complexity": j.complexity,
        "least_reliability": j.least_reliability,
    })
}
