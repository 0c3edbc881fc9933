//! The map as rows: for a terminal, for JSON, for a drawing.

use std::fmt::Write as _;

use safeconduct_model::{Action, AppId, Reason, Timestamp};
use serde::Serialize;

use crate::groups::{Asker, Edge};
use crate::paths::{PathLine, summarise};
use crate::stats::Standing;

/// How many lines of paths a row shows.
pub const PATH_LINES: usize = 5;

/// One edge, ready to be shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Row {
    /// Who: `ada`, or `accountants (7 of 8)`.
    pub who: String,
    /// Whether that is a group.
    pub group: bool,
    /// Which application.
    pub app: AppId,
    /// Which kind of use.
    pub action: Action,
    /// What it comes to.
    pub standing: Standing,
    /// Asks that got through.
    pub passed: u64,
    /// Asks that were denied.
    pub denied: u64,
    /// Asks that got through although policy said no.
    pub would_be_denied: u64,
    /// The first ask.
    pub first: Timestamp,
    /// The last ask.
    pub last: Timestamp,
    /// When it is used: `Mon-Fri 08-18`.
    pub hours: String,
    /// What held for every use: `managed, compliant, two factors`.
    pub always: Vec<String>,
    /// The paths, cut to a few lines.
    pub paths: Vec<PathLine>,
    /// The most frequent reason of denials.
    pub reason: Option<Reason>,
    /// Which bounds were hit.
    pub incomplete: Vec<&'static str>,
}

impl Row {
    /// The row of an edge.
    #[must_use]
    pub fn of(edge: &Edge) -> Self {
        let stats = &edge.stats;
        let (who, group) = match &edge.who {
            Asker::Group { id, using, members } => (format!("{id} ({using} of {members})"), true),
            Asker::One(principal) => (principal.to_string(), false),
        };
        Self {
            who,
            group,
            app: edge.app.clone(),
            action: edge.action,
            standing: stats.standing(),
            passed: stats.passed,
            denied: stats.denied,
            would_be_denied: stats.would_be_denied,
            first: stats.first,
            last: stats.last,
            hours: stats.week.words(),
            always: always(edge),
            paths: summarise(stats.paths.iter(), PATH_LINES),
            reason: stats.reasons.iter().max_by_key(|(_, count)| **count).map(|(reason, _)| *reason),
            incomplete: stats.bounds_hit(),
        }
    }
}

/// What held for every use that got through.
fn always(edge: &Edge) -> Vec<String> {
    let stats = &edge.stats;
    if stats.passed == 0 {
        return Vec::new();
    }
    let all = |count: u64| count == stats.passed;
    let mut words = Vec::new();
    match (all(stats.devices.managed), all(stats.devices.known)) {
        (true, _) => words.push("managed device".to_owned()),
        (false, true) => words.push("known device".to_owned()),
        _ => {}
    }
    if all(stats.devices.compliant) {
        words.push("compliant".to_owned());
    }
    if all(stats.proofs.phishing_resistant) {
        words.push("phishing-resistant sign-in".to_owned());
    } else if all(stats.proofs.mfa) {
        words.push("two factors".to_owned());
    }
    if let [(network, count)] = stats.networks.iter().collect::<Vec<_>>().as_slice()
        && all(*count)
        && network.as_str() != crate::stats::OTHER_NETWORK
    {
        words.push(format!("network {network}"));
    }
    if let [(purpose, count)] = stats.purposes.iter().collect::<Vec<_>>().as_slice()
        && all(*count)
    {
        words.push(format!("for {purpose}"));
    }
    words
}

/// The rows of these edges.
#[must_use]
pub fn rows(edges: &[Edge]) -> Vec<Row> {
    edges.iter().map(Row::of).collect()
}

/// The rows as a table for a terminal. Control characters in names are shown as `?`.
#[must_use]
pub fn table(rows: &[Row]) -> String {
    const HEAD: [&str; 8] = ["WHO", "APPLICATION", "ACTION", "PASSED", "DENIED", "STANDING", "HOURS", "ALWAYS"];
    let cells = |r: &Row| {
        [
            r.who.clone(),
            r.app.to_string(),
            r.action.to_string(),
            r.passed.to_string(),
            r.denied.to_string(),
            r.standing.words().to_owned(),
            r.hours.clone(),
            r.always.join(", "),
        ]
        .map(|cell| cell.chars().map(|c| if c.is_control() { '?' } else { c }).collect::<String>())
    };
    let body: Vec<[String; 8]> = rows.iter().map(cells).collect();
    let width = |i: usize| body.iter().map(|r| r[i].chars().count()).chain([HEAD[i].len()]).max().unwrap_or(0);
    let widths: Vec<usize> = (0..HEAD.len()).map(width).collect();
    let mut text = String::new();
    for line in std::iter::once(HEAD.map(str::to_owned)).chain(body) {
        let mut row = String::new();
        for (cell, width) in line.iter().zip(&widths) {
            let _ = write!(row, "{cell:<width$}  ");
        }
        text.push_str(row.trim_end());
        text.push('\n');
    }
    text
}
