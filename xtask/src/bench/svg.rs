//! Small line drawings for `docs/performance.md`: axes, lines, names. Nothing in them is written by hand.

use std::fmt::Write as _;

use crate::terminal::spaced;

const WIDTH: f64 = 920.0;
const HEIGHT: f64 = 420.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 290.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 55.0;
const MOST_TICKS: u32 = 7;

/// One line.
pub(crate) struct Series {
    pub name: String,
    pub colour: &'static str,
    pub points: Vec<(f64, f64)>,
}

/// A drawing. The upward axis is logarithmic.
pub(crate) struct Chart {
    pub title: String,
    pub across: String,
    pub up: String,
    pub series: Vec<Series>,
}

impl Chart {
    /// The drawing as a file.
    pub(crate) fn draw(&self) -> String {
        let all = || self.series.iter().flat_map(|s| s.points.iter().copied());
        let step = step(all().map(|(x, _)| x).fold(1.0, f64::max));
        let ticks = (all().map(|(x, _)| x).fold(1.0, f64::max) / step).ceil();
        let most = step * ticks;
        let (low, high) = all().fold((f64::MAX, f64::MIN), |(low, high), (_, y)| (low.min(y), high.max(y)));
        let low = 10f64.powf(low.clamp(1e-3, 1e12).log10().floor());
        let high = 10f64.powf(high.max(low * 10.0).log10().ceil());
        let x = |value: f64| LEFT + value / most * (WIDTH - LEFT - RIGHT);
        let span = (high / low).log10();
        let y = |value: f64| HEIGHT - BOTTOM - (value.max(low) / low).log10() / span * (HEIGHT - TOP - BOTTOM);
        let mut out = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"12\">\n\
             <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#ffffff\"/>\n"
        );
        text(&mut out, LEFT, 22.0, "start", &self.title);
        for value in (0..=MOST_TICKS).map(|n| step * f64::from(n)).take_while(|value| *value <= most * 1.001) {
            line(&mut out, (x(value), TOP), (x(value), HEIGHT - BOTTOM));
            text(&mut out, x(value), HEIGHT - BOTTOM + 16.0, "middle", &short(value));
        }
        let mut value = low;
        while value <= high * 1.001 {
            line(&mut out, (LEFT, y(value)), (WIDTH - RIGHT, y(value)));
            text(&mut out, LEFT - 6.0, y(value) + 4.0, "end", &short(value));
            value *= 10.0;
        }
        text(&mut out, (LEFT + WIDTH - RIGHT) / 2.0, HEIGHT - 14.0, "middle", &self.across);
        text(&mut out, LEFT, TOP - 4.0, "start", &self.up);
        for (n, series) in self.series.iter().enumerate() {
            let path: Vec<String> = series.points.iter().map(|(a, b)| format!("{:.1},{:.1}", x(*a), y(*b))).collect();
            let colour = series.colour;
            let _ = writeln!(
                out,
                "<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\" points=\"{}\"/>",
                path.join(" ")
            );
            if series.points.len() <= 20 {
                for (a, b) in &series.points {
                    let _ =
                        writeln!(out, "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"3\" fill=\"{colour}\"/>", x(*a), y(*b));
                }
            }
            let at = TOP + 14.0 + 20.0 * n as f64;
            let from = WIDTH - RIGHT + 14.0;
            let _ = writeln!(
                out,
                "<line x1=\"{from}\" y1=\"{at}\" x2=\"{}\" y2=\"{at}\" stroke=\"{colour}\" stroke-width=\"3\"/>",
                from + 18.0
            );
            text(&mut out, from + 24.0, at + 4.0, "start", &series.name);
        }
        out + "</svg>\n"
    }
}

/// A round distance of which few fit below a value.
fn step(most: f64) -> f64 {
    let ten = 10f64.powf((most / 10.0).log10().floor());
    [1.0, 2.0, 5.0, 10.0, 20.0]
        .into_iter()
        .map(|n| n * ten)
        .find(|step| most / step <= f64::from(MOST_TICKS) - 1.0)
        .unwrap_or(50.0 * ten)
}

fn line(out: &mut String, from: (f64, f64), to: (f64, f64)) {
    let _ = writeln!(
        out,
        "<line x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\" stroke=\"#dddddd\"/>",
        from.0, from.1, to.0, to.1
    );
}

fn text(out: &mut String, x: f64, y: f64, anchor: &str, words: &str) {
    let words = words.replace('&', "&amp;").replace('<', "&lt;");
    let _ = writeln!(out, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" fill=\"#222222\">{words}</text>");
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "what stands at an axis is small and positive"
)]
fn short(value: f64) -> String {
    if value >= 1_000.0 {
        spaced(value.round() as u64)
    } else if value >= 1.0 || value == 0.0 {
        format!("{value:.0}")
    } else {
        format!("{value}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_round_and_few() {
        assert_eq!([step(100.0), step(53_214.0), step(7_144.0), step(1.0)], [20.0, 10_000.0, 2_000.0, 0.2]);
    }

    #[test]
    fn every_point_lies_inside_the_axes() {
        let series =
            |points: &[(f64, f64)]| Series { name: "a < b".into(), colour: "#000000", points: points.to_vec() };
        let chart = Chart {
            title: "t".into(),
            across: "x".into(),
            up: "y".into(),
            series: vec![series(&[(0.0, 15.0), (40_000.0, 9_000.0)]), series(&[(1.0, 0.0)])],
        };
        let drawn = chart.draw();
        for circle in drawn.lines().filter(|l| l.starts_with("<circle")) {
            let number = |key: &str| {
                let (_, rest) = circle.split_once(&format!("{key}=\"")).expect("there");
                rest.split_once('"').expect("closed").0.parse::<f64>().expect("a number")
            };
            assert!((LEFT..=WIDTH - RIGHT).contains(&number("cx")), "{circle}");
            assert!((TOP..=HEIGHT - BOTTOM + 0.1).contains(&number("cy")), "{circle}");
        }
        assert_eq!(drawn.matches("<circle").count(), 3);
        assert!(drawn.contains("a &lt; b") && drawn.ends_with("</svg>\n"));
        Chart { series: vec![], ..chart }.draw();
    }
}
