//! The text format of Prometheus (0.0.4): families with their help, samples with their labels.

use std::fmt::Write as _;

use super::histogram::{ENDS_US, Sum};

/// The media type of the format.
pub const MEDIA_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A page of metrics that is being written.
#[derive(Debug, Default)]
pub struct Text(String);

/// What a family holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only rises.
    Counter,
    /// Rises and falls.
    Gauge,
    /// Buckets, sum and count.
    Histogram,
}

impl Text {
    /// Begins a family: its samples follow. A counter's name ends in `_total`.
    pub fn family(&mut self, name: &str, kind: Kind, help: &str) {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        let _ =
            writeln!(self.0, "# HELP {name} {}\n# TYPE {name} {kind}", help.replace('\\', "\\\\").replace('\n', "\\n"));
    }

    /// One sample.
    pub fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl std::fmt::Display) {
        self.0.push_str(name);
        let mut open = '{';
        for (label, text) in labels {
            let text = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let _ = write!(self.0, "{open}{label}=\"{text}\"");
            open = ',';
        }
        if open == ',' {
            self.0.push('}');
        }
        let _ = writeln!(self.0, " {value}");
    }

    /// A family of one sample without labels.
    pub fn one(&mut self, name: &str, kind: Kind, help: &str, value: impl std::fmt::Display) {
        self.family(name, kind, help);
        self.sample(name, &[], value);
    }

    pub(super) fn histogram(&mut self, name: &str, labels: &[(&str, &str)], sum: &Sum) {
        let bucket = format!("{name}_bucket");
        let mut so_far = 0;
        for (end, count) in ENDS_US.iter().zip(&sum.buckets) {
            so_far += count;
            let end = seconds(end * 1_000);
            self.sample(&bucket, &[labels, &[("le", &end)]].concat(), so_far);
        }
        let count = sum.count();
        self.sample(&bucket, &[labels, &[("le", "+Inf")]].concat(), count);
        self.sample(&format!("{name}_sum"), labels, seconds(sum.nanos));
        self.sample(&format!("{name}_count"), labels, count);
    }

    /// The page.
    #[must_use]
    pub fn finish(self) -> String {
        self.0
    }
}

/// Nanoseconds as a decimal fraction of a second, exactly.
fn seconds(nanos: u64) -> String {
    let text = format!("{}.{:09}", nanos / 1_000_000_000, nanos % 1_000_000_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_escaped_and_fractions_are_exact() {
        let mut text = Text::default();
        text.one("a", Kind::Gauge, "what\nit is", 7);
        text.sample("b_total", &[("app", "a\"b\\c\nd"), ("x", "")], 1.5);
        let said = "# HELP a what\\nit is\n# TYPE a gauge\na 7\nb_total{app=\"a\\\"b\\\\c\\nd\",x=\"\"} 1.5\n";
        assert_eq!(text.finish(), said);
        assert_eq!([0, 1_000, 2_500_000, 60_000_000_000].map(seconds), ["0", "0.000001", "0.0025", "60"]);
    }
}
