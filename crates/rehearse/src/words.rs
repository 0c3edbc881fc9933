//! Rehearsals and requests in words.

use std::fmt::Write as _;

use jiff::tz::TimeZone;
use safeconduct_model::{Ask, Principal, Timestamp};

use crate::replay::{Changes, Rehearsal};

/// The longest text of a stranger that is shown, in characters.
const MAX_SHOWN: usize = 120;
/// How many names a list of a report shows.
const MAX_LISTED: usize = 10;

#[expect(clippy::cast_precision_loss, reason = "counts beyond 2^52 do not occur, and a share needs no more digits")]
pub(crate) fn ratio(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

/// A share in percent with one digit, rounded towards zero so that nothing short of all reads as 100 %.
pub(crate) fn percent(part: u64, whole: u64) -> String {
    if whole == 0 {
        return "–".to_owned();
    }
    let permille = u128::from(part) * 1_000 / u128::from(whole);
    format!("{}.{} %", permille / 10, permille % 10)
}

/// A text of a stranger, fit to be shown on one line.
pub(crate) fn tame(text: &str) -> String {
    let mut shown: String = text.chars().take(MAX_SHOWN).map(|c| if c.is_control() { '?' } else { c }).collect();
    if text.chars().nth(MAX_SHOWN).is_some() {
        shown.push('…');
    }
    shown
}

/// The local date.
pub(crate) fn date(at: Timestamp, zone: &TimeZone) -> String {
    let instant = jiff::Timestamp::from_millisecond(at.millis()).unwrap_or_default();
    instant.to_zoned(zone.clone()).date().to_string()
}

/// A recorded ask in one sentence.
pub(crate) fn sentence(ask: &Ask, now: Timestamp) -> String {
    let who = match &ask.who.principal {
        Principal::Nobody => "somebody who is not signed in".to_owned(),
        other => other.to_string(),
    };
    let device = match &ask.place.device {
        None => "an unknown device".to_owned(),
        Some(d) => {
            let managed = if d.managed { "managed" } else { "not managed" };
            let compliant = if d.is_compliant(now) { "compliant" } else { "not compliant" };
            format!("{} ({managed}, {compliant})", d.id)
        }
    };
    let network = ask.place.network.as_deref().map(|n| format!(" in {}", tame(n))).unwrap_or_default();
    let purpose = ask.why.purpose(now).map(|p| format!(" for {}", tame(p))).unwrap_or_default();
    let what = &ask.what;
    format!("{who}: {} {} {}{purpose}, from {device}{network}, at {now}", what.action, what.app, tame(&what.path))
}

pub(crate) fn rehearsal(r: &Rehearsal) -> String {
    let c = &r.coverage;
    let mut text = format!(
        "decided again: {} of {} recorded verdicts ({})\n",
        c.sufficient,
        c.records,
        percent(c.sufficient, c.records)
    );
    for (fact, count) in &c.missing {
        let _ = writeln!(text, "  {count} lack {fact}, which the candidate reads; they are compared with nothing");
    }
    if let Some((from, to)) = r.window {
        let _ = writeln!(text, "window: {from} to {to}");
    }
    let _ = writeln!(text, "same: {}", r.same);
    changes(&mut text, "newly denied", &r.newly_denied);
    changes(&mut text, "newly allowed", &r.newly_allowed);
    changes(&mut text, "denied for another reason", &r.reason_changed);
    changes(&mut text, "got through an observed application and would be denied once it is enforced", &r.would_break);
    changes(&mut text, "did not get through and would", &r.would_open);
    text
}

fn changes(text: &mut String, name: &str, changes: &Changes) {
    let _ = writeln!(text, "{name}: {}", changes.total);
    if changes.total == 0 {
        return;
    }
    let list = |items: Vec<(String, u64)>| {
        let more = items.len().saturating_sub(MAX_LISTED);
        let mut shown: Vec<String> =
            items.into_iter().take(MAX_LISTED).map(|(name, count)| format!("{name} {count}")).collect();
        if more > 0 {
            shown.push(format!("and {more} more"));
        }
        shown.join(", ")
    };
    let people = changes.by_person.most_frequent().into_iter().map(|(p, n)| (p.to_string(), n)).collect();
    let apps = changes.by_app.most_frequent().into_iter().map(|(a, n)| (a.to_string(), n)).collect();
    let mut reasons: Vec<_> = changes.by_reason.iter().map(|(r, n)| (r.to_string(), *n)).collect();
    reasons.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    let _ = writeln!(text, "  by person: {}", list(people));
    let _ = writeln!(text, "  by application: {}", list(apps));
    let owners: Vec<_> = changes.by_owner.most_frequent().into_iter().map(|(o, n)| (o.to_string(), n)).collect();
    if !owners.is_empty() {
        let _ = writeln!(text, "  by owner: {}", list(owners));
    }
    let _ = writeln!(text, "  by reason: {}", list(reasons));
    for e in &changes.examples {
        let _ = writeln!(text, "  #{} {}: {} -> {}", e.seq, e.sentence, e.before, e.after);
    }
}
