//! The ten board figures: measured where the gateway can measure, and else with the source that is missing.

use std::collections::BTreeMap;

use safeconduct_assess::{Measurement, Statistic};
use safeconduct_console::view::{Better, Figure, Measure, Share};
use safeconduct_model::Duration;

use crate::rooms::digest::{Day, Digest};

/// How many days a trend shows.
const TREND_DAYS: usize = 30;

/// The trends, one value for each day on which something was counted, oldest first.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Trends {
    covered: Vec<f64>,
    resistant: Vec<f64>,
    revoke: Vec<f64>,
}

/// The trends of the last days.
pub(crate) fn trends(digest: &Digest) -> Trends {
    let skip = digest.days.len().saturating_sub(TREND_DAYS);
    let days = || digest.days.values().skip(skip);
    let resistant = |d: &Day| {
        let strong = d.sessions.values().filter(|(_, resistant)| *resistant).count();
        Share::new(strong as u64, d.sessions.len() as u64).ratio()
    };
    Trends {
        covered: days().filter_map(|d| d.covered.ratio()).collect(),
        resistant: days().filter_map(resistant).collect(),
        revoke: days().filter_map(|d| p95(&d.delays)).collect(),
    }
}

/// The 95th percentile, in milliseconds.
#[expect(clippy::cast_precision_loss, reason = "a picture needs no more than 52 bits")]
fn p95(delays: &[u64]) -> Option<f64> {
    let mut sorted = delays.to_vec();
    sorted.sort_unstable();
    sorted.get((sorted.len() * 95).div_ceil(100).saturating_sub(1)).map(|ms| *ms as f64)
}

/// What the figures are made of, beside the measurements.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    /// Uses (person, application, kind) of which policy allowed every request on an enforcing application, of all uses.
    pub(crate) flows: Share,
    pub(crate) trends: Trends,
}

/// The figures in their order.
pub(crate) fn figures(measured: &BTreeMap<String, Measurement>, seen: &Seen) -> Vec<Figure> {
    let share = |key: &str, source: &str| match measured.get(key) {
        Some(m) if m.den > 0 => Measure::Share(Share::new(m.num, m.den)),
        _ => Measure::Unknown { source: source.to_owned() },
    };
    let figure = |code: &str, name: &str, measure: Measure, better: Better, trend: &[f64], meaning: &str| Figure {
        code: code.to_owned(),
        name: name.to_owned(),
        measure,
        better,
        trend: trend.to_vec(),
        meaning: meaning.to_owned(),
    };
    let unknown = |source: &str| Measure::Unknown { source: source.to_owned() };
    let flows =
        if seen.flows.all > 0 { Measure::Share(seen.flows) } else { unknown("a first use through the gateway") };
    let revoke = measured.get("K26").and_then(|m| Some((m.statistics.get(&Statistic::P95)?, m.den)));
    let revoke = revoke.map_or_else(
        || unknown("a first connection that was cut because a fact changed"),
        |(ms, cases)| Measure::Span { span: Duration::from_millis(*ms), cases },
    );
    let t = &seen.trends;
    use Better::{Higher, Lower};
    vec![
        figure(
            "K01",
            "Application coverage",
            share("K01", "a first application"),
            Higher,
            &[],
            "Applications that enforce policy, of all applications of the configuration. Inside view: what does not pass the gateway is not seen.",
        ),
        figure(
            "K03",
            "Use covered by policy",
            flows,
            Higher,
            &t.covered,
            "Uses (who, application, kind) on enforcing applications of which policy allowed every request, of all uses seen. Trend: requests allowed, by day. Inside view.",
        ),
        figure(
            "K05",
            "User coverage",
            unknown("flow sensors"),
            Higher,
            &[],
            "People all of whose access passes the gateway, of all with access. What passes elsewhere only a sensor tells.",
        ),
        figure(
            "K10p",
            "Two factors, privileged",
            share("K10(privileged)", "a first privileged session"),
            Higher,
            &[],
            "Sessions with administrative use that two factors had proven, of all such sessions.",
        ),
        figure(
            "K11",
            "Phishing-resistant sign-ins",
            share("K11", "a first session"),
            Higher,
            &t.resistant,
            "Sessions proven by a method that a look-alike site cannot relay, of all sessions. Trend: sessions in use, by day.",
        ),
        figure(
            "K20",
            "Standing privilege",
            unknown("cloud and cluster entitlements"),
            Lower,
            &[],
            "Privileged grants that are always active, of all privileged grants.",
        ),
        figure(
            "K23",
            "Unused entitlements",
            unknown("cloud and cluster entitlements"),
            Lower,
            &[],
            "Entitlements that nobody used for 90 days, of all that are older.",
        ),
        figure(
            "K26",
            "Time to revoke, 95th percentile",
            revoke,
            Lower,
            &t.revoke,
            "From a change to the end of the live connections that rested on it; 95 of 100 were faster.",
        ),
        figure(
            "K41",
            "Blast radius, 95th percentile",
            unknown("the reach of each identity, from policy and flow sensors"),
            Lower,
            &[],
            "Services that one identity can reach.",
        ),
        figure(
            "K74",
            "Attack tests blocked and told",
            unknown("attack tests and the detection engine"),
            Higher,
            &[],
            "Simulated techniques that were blocked and raised an alarm, of all that were run.",
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rooms::digest::testing::entry;
    use safeconduct_model::Timestamp;

    #[test]
    fn what_cannot_be_measured_names_the_source_that_is_missing() {
        let all = figures(&BTreeMap::new(), &Seen::default());
        assert_eq!(all.len(), 10);
        assert!(all.iter().all(|f| matches!(&f.measure, Measure::Unknown { source } if !source.is_empty())));
    }

    #[test]
    fn what_is_measured_keeps_its_denominator() {
        let now = Timestamp::from_millis(1_790_000_000_000);
        let mut measured = BTreeMap::from([("K11".to_owned(), Measurement::share(3, 4, (now, now)))]);
        let mut revoke = Measurement::share(7, 7, (now, now));
        revoke.statistics.insert(Statistic::P95, 41);
        measured.insert("K26".to_owned(), revoke);
        measured.insert("K01".to_owned(), Measurement::share(0, 0, (now, now)));
        let all = figures(&measured, &Seen::default());
        let of = |code: &str| &all.iter().find(|f| f.code == code).expect("a board figure").measure;
        assert!(matches!(of("K11"), Measure::Share(s) if *s == Share::new(3, 4)));
        assert!(matches!(of("K26"), Measure::Span { span, cases: 7 } if span.millis() == 41));
        assert!(matches!(of("K01"), Measure::Unknown { .. }), "none of nothing is not known");
    }

    #[test]
    fn a_trend_has_one_value_for_each_day_with_use() {
        let mut digest = Digest::default();
        let day = 86_400_000;
        for (seq, at, permit) in [(0, 20_000 * day, true), (1, 20_000 * day + 1, false), (2, 20_003 * day, true)] {
            digest.add(&entry(seq, at, "ada", "wiki", permit, "observe"));
        }
        let found = trends(&digest);
        assert_eq!(found.covered, [0.5, 1.0]);
        assert_eq!(found.resistant, [1.0, 1.0]);
        assert_eq!(p95(&[]), None);
        assert_eq!(p95(&[5, 1, 3]), Some(5.0));
    }
}
