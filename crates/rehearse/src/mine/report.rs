//! A proposal as a file with its reasons on top, and as a report.

use std::fmt::Write as _;

use safeconduct_model::Application;

use super::draft::{Draft, Target};
use super::left_out::LeftOut;
use super::measure::{Figures, Measured};
use super::propose::{Baseline, Proposal};
use super::season::Season;
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
            "under-privilege: rules from the part before would have denied {} of the last part ({} of {})",
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

fn measured(m: &Measured) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(n) = &m.next {
        lines.push(format!(
            "over-privilege: of {} combinations granted by rules from {} days, {} were not used in the {} days after ({})",
            n.granted,
            n.train_days,
            n.unused,
            n.test_days,
            percent(n.unused, n.granted)
        ));
    }
    // The last week may be the last part, which was told already.
    for w in m.weeks.iter().filter(|w| m.next.as_ref() != Some(w)) {
        lines.push(format!(
            "  week after {} days: {} denied of {} needed ({}), {} unused of {} granted ({})",
            w.train_days,
            w.denied,
            w.needed,
            percent(w.denied, w.needed),
            w.unused,
            w.granted,
            percent(w.unused, w.granted)
        ));
    }
    let reliability = m.least_reliability.map_or("–".to_owned(), |r| format!("{r:.2}"));
    lines.push(format!(
        "complexity: {}; least reliability: {reliability}; weight of the application: {}",
        m.complexity, m.weight
    ));
    lines.push(match m.stable_after {
        Some(days) => format!("stable: the rules came out alike from day {days} on"),
        None => "stable: not yet, the rules still changed at the end of the window".to_owned(),
    });
    lines
}

fn seasons(s: &Season) -> Vec<String> {
    let mut lines = Vec::new();
    if s.kept > 0 {
        let named =
            s.examples.iter().map(|k| format!("{} to {} ({}, last {})", k.who, k.action, k.period.words(), k.last));
        let named: Vec<String> = named.take(FILE_EXAMPLES).collect();
        lines.push(format!("kept because it recurs: {} rights, such as {}", s.kept, tame(&named.join(", "))));
    }
    if !s.unseen.is_empty() {
        let periods: Vec<&str> = s.unseen.iter().map(|p| p.words()).collect();
        lines.push(format!("cannot judge {} use: nothing that was observed is as long as that", periods.join(", ")));
    }
    if let Some(n) = s.unjudged.filter(|n| *n > 0) {
        lines.push(format!("cuts {n} rights that exist now and that nobody was seen using"));
    }
    lines
}

fn narrowing(p: &Proposal) -> Vec<String> {
    let n = &p.narrowing;
    let words = match n.baseline {
        Baseline::None => "narrowing: not held against what binds now".to_owned(),
        Baseline::Observed => {
            "narrowing: verdicts do not bind here yet, so whatever the rules say is narrower".to_owned()
        }
        Baseline::Rules => format!(
            "narrowing: every rule is one of now with more conditions; {} recorded asks compared, {} newly permitted",
            n.compared, n.widened
        ),
        Baseline::Widening => {
            format!("WIDENING, as asked: {} of {} recorded asks would be newly permitted", n.widened, n.compared)
        }
    };
    let remaining = (!n.remaining.is_empty()).then(|| {
        let named: Vec<String> = n.remaining.iter().map(ToString::to_string).collect();
        format!(
            "goes on beside it: {}, for more than one application; what that lets pass is not narrowed",
            named.join(", ")
        )
    });
    std::iter::once(words).chain(remaining).collect()
}

/// What is kept, what cannot be judged, and whether it only narrows, one line each.
pub(crate) fn notes(p: &Proposal) -> Vec<String> {
    seasons(&p.season).into_iter().chain(narrowing(p)).collect()
}

/// The Cedar file.
pub(crate) fn file(
    app: &Application,
    f: &Figures,
    m: &Measured,
    season: &Season,
    left_out: &[LeftOut],
    drafts: &[Draft],
    texts: &[String],
) -> String {
    let mut text =
        format!("// Proposed rules for {}, from observed use. They bind nobody until they are published.\n", app.id);
    for line in figures(f).into_iter().chain(measured(m)).chain(seasons(season)) {
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
    let lines = figures(&p.figures).into_iter().chain(measured(&p.measured)).chain(seasons(&p.season));
    for line in lines.chain(narrowing(p)) {
        let _ = writeln!(text, "  {line}");
    }
    text.push_str("rules\n");
    for rule in &p.rules {
        let _ = writeln!(text, "  {}: {}", rule.draft.id, rule.words);
        let r = &rule.reliability;
        let worst = r.worst.as_ref().map(|w| format!(", least {w}")).unwrap_or_default();
        let _ = writeln!(
            text,
            "    {} uses by {} of {} who may; precision {:.2}, reliability {:.2}{worst}",
            rule.uses, rule.people, rule.granted, r.precision, r.reliability
        );
    }
    text.push_str("what this does not show\n");
    for line in &p.measured.blind {
        let _ = writeln!(text, "  {line}");
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
