//! A line of earlier values, without axes.

use std::fmt::Write;

use maud::{Markup, html};

const WIDTH: f64 = 120.0;
const HEIGHT: f64 = 28.0;
/// More values than this are not told apart.
const MAX_POINTS: usize = 120;

/// The trend. The last point is marked; the words say whether it went the better way.
pub(crate) fn line(values: &[f64], higher_is_better: bool, name: &str) -> Markup {
    let values: Vec<f64> = values.iter().copied().filter(|v| v.is_finite()).collect();
    let values = values.get(values.len().saturating_sub(MAX_POINTS)..).unwrap_or_default();
    let (Some(first), Some(last)) = (values.first(), values.last()) else {
        return html! { p.spark-none { "no trend yet" } };
    };
    let points = points(values);
    let way = if (last - first).abs() < f64::EPSILON {
        "unchanged"
    } else if (last > first) == higher_is_better {
        "better"
    } else {
        "worse"
    };
    let end = points.last().copied().unwrap_or_default();
    html! {
        svg class=(format!("spark {way}")) viewBox="0 0 128 32" width="128" height="32" role="img" aria-label=(format!("Trend of {name}: {way}")) {
            title { "Trend over " (values.len()) " values: " (way) }
            polyline fill="none" points=(text(&points)) {}
            circle cx=(format!("{:.1}", end.0)) cy=(format!("{:.1}", end.1)) r="2.5" {}
        }
    }
}

fn points(values: &[f64]) -> Vec<(f64, f64)> {
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let range = if high - low > f64::EPSILON { high - low } else { 1.0 };
    let flat = high - low <= f64::EPSILON;
    #[expect(clippy::cast_precision_loss, reason = "there are at most MAX_POINTS values")]
    let step = WIDTH / values.len().saturating_sub(1).max(1) as f64;
    #[expect(clippy::cast_precision_loss, reason = "there are at most MAX_POINTS values")]
    let point = |(i, v): (usize, &f64)| {
        let y = if flat { HEIGHT / 2.0 } else { HEIGHT - (v - low) / range * HEIGHT };
        (i as f64 * step + 2.0, y + 2.0)
    };
    values.iter().enumerate().map(point).collect()
}

fn text(points: &[(f64, f64)]) -> String {
    points.iter().fold(String::new(), |mut out, (x, y)| {
        let _ = write!(out, "{x:.1},{y:.1} ");
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trend_knows_which_way_is_better() {
        let drawn = |v: &[f64], higher| line(v, higher, "x").into_string();
        assert!(drawn(&[1.0, 2.0], true).contains("spark better"));
        assert!(drawn(&[1.0, 2.0], false).contains("spark worse"));
        assert!(drawn(&[3.0, 3.0], true).contains("spark unchanged"));
        assert!(drawn(&[], true).contains("no trend yet"));
        assert!(!drawn(&[f64::NAN, 1.0, f64::INFINITY], true).contains("NaN"));
    }
}
