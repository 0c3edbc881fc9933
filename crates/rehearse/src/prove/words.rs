//! Proofs in words.

use std::fmt::Write as _;

use jiff::tz::TimeZone;
use safeconduct_model::{Principal, Timestamp};
use safeconduct_policy::{Denial, Grounds, Snapshot};

use super::more::rules_at;
use super::outcome::{Counterexample, Outcome, Proof, Unproven};
use super::witness::Moment;
use crate::words::tame;

/// A request that the first snapshot denies and the second permits, as a reader wants it.
pub(crate) fn counterexample(before: &Snapshot, after: &Snapshot, moment: Moment, cause: String) -> Counterexample {
    let (old, new) = (before.opinion(&moment.ask, moment.now), after.opinion(&moment.ask, moment.now));
    let rules = new.as_ref().map(|g| rules_at(after, &g.rules)).unwrap_or_default();
    Counterexample {
        sentence: sentence(&moment, after.zone()),
        before: answer(&old),
        after: answer(&new),
        cause,
        rules,
        moment,
    }
}

/// An opinion in words.
pub(crate) fn answer(opinion: &Result<Grounds, Denial>) -> String {
    let list = |ids: &[safeconduct_model::RuleId]| ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    match opinion {
        Ok(grounds) => format!("permitted by {}", list(&grounds.rules)),
        Err(denial) if denial.grounds.rules.is_empty() => format!("denied ({})", denial.reason),
        Err(denial) => format!("denied ({}) by {}", denial.reason, list(&denial.grounds.rules)),
    }
}

/// A made-up request in words: who, what, why, where, when.
pub(crate) fn sentence(moment: &Moment, zone: &TimeZone) -> String {
    let Moment { ask, now } = moment;
    let kind = match &ask.who.principal {
        Principal::Workload(_) => "workload",
        Principal::Person(_) | Principal::Nobody => "person",
    };
    let groups: Vec<&str> = ask.who.groups.iter().map(|g| g.as_str()).collect();
    let groups = if groups.is_empty() { "in no group".to_owned() } else { format!("in {}", groups.join(", ")) };
    let mut text = format!("{} (a {kind} {groups}", ask.who.principal);
    if let Some(auth) = &ask.who.auth {
        let how = match (auth.is_phishing_resistant(), auth.is_mfa()) {
            (true, _) => "with a passkey",
            (false, true) => "with two factors",
            (false, false) => "with one factor",
        };
        let _ = write!(text, ", signed in {how} {} ago)", now.since(auth.at));
    }
    let what = &ask.what;
    let _ = write!(text, ": {} {}, {} {}", what.action, what.app, tame(&what.method), tame(&what.path));
    if let Some(purpose) = ask.why.purpose(*now) {
        let _ = write!(text, ", for {}", tame(purpose));
    }
    if let Some(ticket) = ask.why.ticket(*now) {
        let _ = write!(text, " with ticket {}", tame(ticket));
    }
    if ask.why.live_grant(*now).is_some() {
        text.push_str(" under a dated grant");
    }
    match &ask.place.device {
        None => text.push_str(", from an unknown device"),
        Some(device) => {
            let managed = if device.managed { "managed" } else { "unmanaged" };
            let compliant = if device.is_compliant(*now) { "compliant" } else { "not compliant" };
            let _ = write!(text, ", from a known device ({managed}, {compliant}");
            for check in safeconduct_model::Check::ALL.into_iter().filter(|c| device.passes(*c, *now)) {
                let _ = write!(text, ", {}", check.name().replace('_', " "));
            }
            text.push(')');
        }
    }
    let network = ask.place.network.as_deref().unwrap_or(safeconduct_policy::OTHER_NETWORK);
    let _ = write!(text, " at {} in the network {}", ask.place.ip, tame(network));
    if let Some(country) = &ask.place.country {
        let _ = write!(text, " in {}", tame(country));
    }
    let _ = write!(text, ", on {}", local(*now, zone));
    text
}

fn local(at: Timestamp, zone: &TimeZone) -> String {
    let instant = jiff::Timestamp::from_millisecond(at.millis()).unwrap_or_default();
    instant.to_zoned(zone.clone()).strftime("%A %Y-%m-%d %H:%M").to_string()
}

impl Unproven {
    /// In words, with the place of the rule.
    #[must_use]
    pub fn words(&self) -> String {
        match &self.rule {
            Some(rule) => format!("{}:{}: rule {rule}: {}", self.file, self.line, self.why),
            None => self.why.clone(),
        }
    }
}

impl Counterexample {
    /// In words, several lines.
    #[must_use]
    pub fn report(&self) -> String {
        let mut text = format!("  {}\n", self.sentence);
        let _ = writeln!(text, "  {} -> {}", self.before, self.after);
        let _ = writeln!(text, "  because {}", self.cause);
        for rule in &self.rules {
            let _ = writeln!(text, "  {}:{}: {}", rule.file, rule.line, rule.words);
        }
        text
    }
}

impl Proof {
    /// The answer in words: `yes` where it is proved, `no` in front of the request that shows the contrary.
    #[must_use]
    pub fn report(&self, yes: &str, no: &str) -> String {
        let mut text = String::new();
        match &self.outcome {
            Outcome::Proved => {
                let _ = writeln!(text, "proved: {yes}");
            }
            Outcome::Refuted(shown) => {
                let _ = writeln!(text, "{no}:\n{}", shown.report().trim_end());
            }
            Outcome::NotProven { because } => {
                for reason in because {
                    let _ = writeln!(text, "not proven: {}", reason.words());
                }
            }
        }
        text
    }
}
