//! An assessment as text.

use std::fmt::Write as _;

use serde::Serialize;

use crate::evaluate::{Assessment, RollUp, Truth};
use crate::framework::Stage;

/// A row that moved between two assessments.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Move {
    /// Which row.
    pub row: String,
    /// Its name.
    pub name: String,
    /// The interval before; `None` if the row is new.
    pub before: Option<(Stage, Stage)>,
    /// The interval after; `None` if the row is gone.
    pub after: Option<(Stage, Stage)>,
}

/// Which rows moved.
#[must_use]
pub fn compare(before: &Assessment, after: &Assessment) -> Vec<Move> {
    let of = |a: &Assessment, id: &str| a.rows.iter().find(|r| r.id == id).map(|r| (r.proven, r.possible));
    let gone = before.rows.iter().filter(|r| of(after, &r.id).is_none());
    after
        .rows
        .iter()
        .chain(gone)
        .map(|r| Move { row: r.id.clone(), name: r.name.clone(), before: of(before, &r.id), after: of(after, &r.id) })
        .filter(|m| m.before != m.after)
        .collect()
}

/// Four cells, from Traditional: `#` is proven, `-` is possible, `.` is ruled out.
#[must_use]
pub fn bar(proven: Stage, possible: Stage) -> String {
    let cell = |s: &Stage| match *s {
        s if s <= proven => '#',
        s if s <= possible => '-',
        _ => '.',
    };
    Stage::ALL.iter().map(cell).collect()
}

fn profile(counts: &[usize; 4]) -> String {
    let names = ["T", "I", "A", "O"];
    names.iter().zip(counts).map(|(name, count)| format!("{count} {name}")).collect::<Vec<_>>().join("  ")
}

impl Assessment {
    /// The whole as text: the mix of evidence first, then pillars as intervals, then rows with what would decide them.
    #[must_use]
    pub fn report(&self) -> String {
        let m = &self.mix;
        let mut text = format!("{} as of {}\n{}\n", self.title, self.as_of, self.note);
        let _ = writeln!(
            text,
            "criteria: {} measured, {} attested, {} unknown, {} stale, {} not applicable",
            m.measured, m.attested, m.unknown, m.stale, m.not_applicable
        );
        text.push_str("cells from Traditional to Optimal: # proven, - possible, . ruled out\n\n");
        for pillar in self.pillars.iter().chain([&self.all]) {
            self.pillar(pillar, &mut text);
        }
        for pillar in &self.pillars {
            let _ = writeln!(text, "\n{}", pillar.name);
            for row in self.rows.iter().filter(|r| r.pillar == pillar.id) {
                let attested = if row.attested { " (attested)" } else { "" };
                let _ = writeln!(
                    text,
                    "  [{}] {:5} {}: proven {}{attested}, possible {}",
                    bar(row.proven, row.possible),
                    row.id,
                    row.name,
                    row.proven,
                    row.possible
                );
                for f in row.findings.iter().filter(|f| f.contradiction) {
                    let _ = writeln!(text, "         contradiction at {}: attested, but {}", f.id, f.found);
                }
                for f in row.findings.iter().filter(|f| f.truth == Truth::False) {
                    let _ = writeln!(text, "         not met ({}): {} — {}", f.stage, f.text, f.found);
                }
                if !row.would_decide.is_empty() {
                    let sources: Vec<&str> = row.would_decide.iter().map(|s| s.label()).collect();
                    let _ = writeln!(text, "         would decide it: {}", sources.join(", "));
                }
            }
        }
        if !self.would_decide.is_empty() {
            text.push_str("\nnot connected, and the rows that each would help to decide\n");
            let mut sources: Vec<_> = self.would_decide.iter().collect();
            sources.sort_by_key(|(source, rows)| (std::cmp::Reverse(rows.len()), **source));
            for (source, rows) in sources {
                let _ = writeln!(text, "  {:3} {}: {}", rows.len(), source.label(), rows.join(" "));
            }
        }
        text.push_str(
            "\nself-assessed by evidence; thresholds are an interpretation, and nobody certifies this model\n",
        );
        text
    }

    fn pillar(&self, p: &RollUp, text: &mut String) {
        let _ = writeln!(
            text,
            "[{}] {:26} proven {}   possible {}",
            bar(p.floor, p.possible_floor),
            p.name,
            profile(&p.proven),
            profile(&p.possible)
        );
    }
}
