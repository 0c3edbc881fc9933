//! A proposal as a file with its reasons on top, and as a report.

use std::fmt::Write as _;

use safeconduct_model::Application;

use super::propose::{Draft, Figures, LeftOut, Proposal, Target};
use crate::words::{percent, tame};

/// How many examples of each cause the file itself names.
const FILE_EXAMPLES: usize = 2;
/// A shorter window is called short.
const SHORT_WINDOW_DAYS: u64 = 14;

fn figures(f: &Figures) -> Vec<String> {
    let mut lines = vec![
        format!("observed: {} to {} ({} days), {} uses by {} people", f.dates.0, f.dates.1, f.days, f.uses, f.people),
        format!("coverage: {} of observed uses ({} of {})", percent(f.covered, f.uses), f.covered, f.uses),
        format!(
            "over-grant: {} of granted (person, action) pairs were never used ({} of {})",
            percent(f.unused_pairs, f.granted_pairs),
            f.unused_pairs,
            f.granted_pairs
        ),
    ];
    lines.push(match f.under_privilege {
        Some(_) => format!(
            "under-privilege: rules from the first three quarters would have denied {} of the last quarter ({} of {})",
            percent(f.test_denied, f.test_uses),
            f.test_denied,
            f.test_uses
        ),
        None => "under-privilege: unknown, the window is too short to be split".to_owned(),
    });
    if f.days < SHORT_WINDOW_DAYS {
        lines.push(format!("the window is shorter than {SHORT_WINDOW_DAYS} days: rare but needed use may be missing"));
    }
    if f.dropped > 0 {
        lines.push(format!("{} older asks found no room and were not looked at", f.dropped));
    }
    lines
}

/// The Cedar file.
pub(crate) fn file(app: &Application, f: &Figures, left_out: &[LeftOut], drafts: &[Draft], texts: &[String]) -> String {
    let mut text =
        format!("// Proposed rules for {}, from observed use. They bind nobody until they are published.\n", app.id);
    for line in figures(f) {
        let _ = writeln!(text, "// {line}");
    }
    let singles: Vec<String> = drafts
        .iter()
        .filter_map(|d| match &d.target {
            Target::One(principal) => Some(principal.to_string()),
            Target::Group(_) => None,
        })
        .collect::<std::collections::BTreeSet<_>>()
        .into_iter()
        .collect();
    if !singles.is_empty() {
        let _ = writeln!(text, "// no group fits these, each has a rule: {}", singles.join(", "));
    }
    if !left_out.is_empty() {
        text.push_str("// left out, worth a look:\n");
    }
    for list in left_out {
        let _ = writeln!(text, "// - {} {}", list.count, list.because.words());
        for (seq, sentence) in list.examples.iter().take(FILE_EXAMPLES) {
            let _ = writeln!(text, "//     #{seq} {}", tame(sentence));
        }
    }
    for rule in texts {
        text.push('\n');
        text.push_str(rule);
    }
    text
}

/// The proposal for a terminal.
pub(crate) fn report(p: &Proposal) -> String {
    let mut text = format!("proposal for {}\n", p.app);
    for line in figures(&p.figures) {
        let _ = writeln!(text, "  {line}");
    }
    text.push_str("rules\n");
    for rule in &p.rules {
        let _ = writeln!(text, "  {}: {}", rule.draft.id, rule.words);
        let _ = writeln!(text, "    {} uses by {} of {} who may", rule.uses, rule.people, rule.granted);
    }
    if !p.left_out.is_empty() {
        text.push_str("left out, worth a look\n");
    }
    for list in &p.left_out {
        let _ = writeln!(text, "  {} {}", list.count, list.because.words());
        for (seq, sentence) in &list.examples {
            let _ = writeln!(text, "    #{seq} {sentence}");
        }
    }
    text
}
