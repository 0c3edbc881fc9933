//! Why not, and what would help: the nearest permit, its failing conditions, and the cheapest way to satisfy them.

use std::collections::BTreeSet;

use safeconduct_model::{Ask, Failing, Reason, Remedy, Timestamp};

use crate::ends;
use crate::engine::Prepared;
use crate::engine::program::At;
use crate::expr::Expr;
use crate::facts::Facts;
use crate::rule::Rule;
use crate::snapshot::{App, Kept, Refusal, Snapshot};
use crate::verdict::Denial;
use crate::words;

/// Turns a refusal into a denial that explains itself.
pub(crate) fn denial(snapshot: &Snapshot, app: &App, ask: &Ask, now: Timestamp, refusal: Refusal) -> Denial {
    let owner = || Remedy::AskOwner { owner: app.application.owner.as_ref().map(ToString::to_string) };
    match refusal {
        Refusal::NotSignedIn => {
            let mut denial = Denial::plain(Reason::SignInRequired, vec![Remedy::SignIn]);
            denial.grounds.revision = snapshot.revision();
            denial
        }
        Refusal::Errors { errors, grounds } => {
            let failing = errors.into_iter().map(|rule| Failing {
                condition: rule.to_string(),
                words: "a rule could not be evaluated".into(),
                found: String::new(),
            });
            Denial { reason: Reason::EvaluationError, failing: failing.collect(), remedies: vec![owner()], grounds }
        }
        Refusal::Forbidden { grounds } => {
            let facts = Facts::of(ask, now, snapshot.zone());
            let failing = snapshot.view(app, ask).map_or_else(Vec::new, |mut view| {
                let prepared = view.at(&facts);
                let mut lifts = Vec::new();
                for (rule, kept) in snapshot.named(&grounds.rules) {
                    for (lift, atoms) in rule.unless.iter().zip(&kept.unless) {
                        let parts = lift.conjuncts().into_iter().zip(atoms);
                        let missed = parts.filter(|(_, atom)| !holds(prepared, **atom));
                        lifts.extend(missed.map(|(part, _)| classified(part, &facts)));
                    }
                }
                merge_hasses(lifts)
            });
            let reason = failing.iter().map(|(r, _)| *r).max_by_key(|r| cost(*r)).unwrap_or(Reason::Forbidden);
            let remedies = remedies(snapshot, app, ask, now, &failing);
            Denial { reason, failing: failing.into_iter().map(|(_, f)| f).collect(), remedies, grounds }
        }
        Refusal::NoPermit { grounds } => {
            let facts = Facts::of(ask, now, snapshot.zone());
            let nearest = snapshot.view(app, ask).and_then(|mut view| {
                let prepared = view.at(&facts);
                let permits = snapshot.permits(app).filter(|(rule, _)| rule.covers_principal(ask));
                permits
                    .map(|(rule, kept)| misses(rule, kept, prepared, ask, &facts))
                    .min_by_key(|m| (m.iter().map(|(r, _)| cost(*r)).max(), m.len()))
            });
            match nearest {
                None => Denial { reason: Reason::NoRule, failing: vec![], remedies: vec![owner()], grounds },
                Some(failing) => {
                    let reason = failing.iter().map(|(r, _)| *r).max_by_key(|r| cost(*r)).unwrap_or(Reason::NoRule);
                    let remedies = remedies(snapshot, app, ask, now, &failing);
                    Denial { reason, failing: failing.into_iter().map(|(_, f)| f).collect(), remedies, grounds }
                }
            }
        }
    }
}

/// Whether a condition holds; one that cannot be evaluated does not.
fn holds(prepared: &Prepared<'_>, atom: At) -> bool {
    prepared.truth(atom) == Some(true)
}

/// Everything about a permit that does not hold for this ask.
fn misses(rule: &Rule, kept: &Kept, prepared: &Prepared<'_>, ask: &Ask, facts: &Facts) -> Vec<(Reason, Failing)> {
    let mut found = Vec::new();
    if !rule.actions.contains(&ask.what.action) {
        found.push((Reason::ActionNotAllowed, action_failing(rule, ask)));
    }
    let missed = rule.when.iter().zip(&kept.when).filter(|(_, atom)| !holds(prepared, **atom));
    found.extend(missed.map(|(condition, _)| classified(condition, facts)));
    for (lift, atoms) in rule.unless.iter().zip(&kept.unless) {
        // The permit does not apply because an `unless` holds; there is nothing to satisfy, only something to leave.
        if atoms.iter().all(|atom| holds(prepared, *atom)) {
            found.push(classified(&Expr::Not(Box::new(lift.clone())), facts));
        }
    }
    merge_hasses(found)
}

/// `context has purpose` and `context.purpose == …` fail together; the second one says more.
fn merge_hasses(mut found: Vec<(Reason, Failing)>) -> Vec<(Reason, Failing)> {
    let missing: BTreeSet<String> =
        found.iter().filter_map(|(_, f)| f.condition.strip_prefix("context has ").map(str::to_owned)).collect();
    for path in missing {
        let says_more = |f: &Failing| f.condition.contains(&format!("context.{path}"));
        if found.iter().any(|(_, f)| says_more(f)) {
            found.retain(|(_, f)| f.condition != format!("context has {path}"));
        }
    }
    found
}

fn action_failing(rule: &Rule, ask: &Ask) -> Failing {
    let names: Vec<&str> = rule.actions.iter().map(|a| a.name()).collect();
    Failing {
        condition: format!("action in [{}]", names.join(", ")),
        words: format!("only {}", names.join(" and ")),
        found: ask.what.action.name().to_owned(),
    }
}

fn classified(condition: &Expr, facts: &Facts) -> (Reason, Failing) {
    let reads = condition.reads();
    let first = reads.first().map(String::as_str).unwrap_or_default();
    let reason = match first {
        p if p.starts_with("auth.") => Reason::StepUpRequired,
        "purpose" if facts.purpose.is_some() => Reason::PurposeNotAccepted,
        "purpose" => Reason::PurposeRequired,
        "ticket" => Reason::TicketRequired,
        "granted" => Reason::GrantRequired,
        "weekday" | "minute" => Reason::OutsideHours,
        "time" => Reason::OutsidePeriod,
        "path" => Reason::PathNotAllowed,
        "method" => Reason::ActionNotAllowed,
        "net.country" => Reason::CountryNotAllowed,
        p if p.starts_with("net.") => Reason::NetworkNotAllowed,
        p if p.starts_with("device.") => device_reason(p, facts),
        _ => Reason::NoRule,
    };
    let words = match words::condition(condition) {
        text if text.is_empty() => condition.to_string(),
        text => text,
    };
    let found = reads.iter().map(|p| facts.show(p)).filter(|t| !t.is_empty()).collect::<Vec<_>>().join(", ");
    (reason, Failing { condition: condition.to_string(), words, found })
}

fn device_reason(path: &str, facts: &Facts) -> Reason {
    let is = |name: &str| facts.device.iter().any(|(k, v)| *k == name && *v);
    match path {
        _ if !is("known") => Reason::DeviceUnknown,
        "device.managed" => Reason::DeviceNotManaged,
        "device.known" => Reason::DeviceUnknown,
        _ => Reason::DeviceNotCompliant,
    }
}

/// What a failing condition costs the asker, cheapest first: what can be done at once, then elsewhere, then later, then
/// only through somebody else.
fn cost(reason: Reason) -> u8 {
    use Reason as R;
    match reason {
        R::StepUpRequired => 1,
        R::PurposeRequired | R::TicketRequired => 2,
        R::PurposeNotAccepted => 3,
        R::DeviceNotCompliant => 4,
        R::DeviceNotManaged | R::DeviceUnknown => 5,
        R::NetworkNotAllowed => 6,
        R::CountryNotAllowed => 7,
        R::OutsideHours => 8,
        R::OutsidePeriod => 9,
        R::GrantRequired => 10,
        R::PathNotAllowed => 11,
        R::ActionNotAllowed => 12,
        _ => 13,
    }
}

fn remedies(snapshot: &Snapshot, app: &App, ask: &Ask, now: Timestamp, failing: &[(Reason, Failing)]) -> Vec<Remedy> {
    let owner = || Remedy::AskOwner { owner: app.application.owner.as_ref().map(ToString::to_string) };
    let mut found: BTreeSet<Remedy> = BTreeSet::new();
    for (reason, failed) in failing {
        found.insert(match reason {
            Reason::StepUpRequired => {
                Remedy::StepUp { phishing_resistant: failed.condition.contains("phishing_resistant") }
            }
            Reason::PurposeRequired | Reason::PurposeNotAccepted | Reason::TicketRequired => {
                Remedy::StatePurpose { accepted: accepted_purposes(snapshot, app, ask) }
            }
            Reason::DeviceNotCompliant => match &ask.place.device {
                Some(device) => Remedy::FixDevice { steps: steps(device, failed, now) },
                None => Remedy::OtherDevice,
            },
            Reason::DeviceUnknown | Reason::DeviceNotManaged => Remedy::OtherDevice,
            Reason::NetworkNotAllowed | Reason::CountryNotAllowed => Remedy::OtherNetwork,
            Reason::OutsideHours | Reason::OutsidePeriod => match ends::opens(snapshot, app, ask, now) {
                Some(at) => Remedy::WaitUntil { at },
                None => owner(),
            },
            Reason::Forbidden => Remedy::Nothing,
            _ => owner(),
        });
    }
    if found.is_empty() {
        found.insert(owner());
    }
    // Statements of purpose from several conditions become one.
    found.into_iter().collect()
}

fn accepted_purposes(snapshot: &Snapshot, app: &App, ask: &Ask) -> Vec<String> {
    let mut accepted = BTreeSet::new();
    let permits = snapshot.permits(app).map(|(rule, _)| rule);
    for rule in permits.filter(|r| r.covers_principal(ask) && r.actions.contains(&ask.what.action)) {
        for condition in &rule.when {
            if let Some((path, texts)) = condition.as_text_choice()
                && path == "purpose"
            {
                accepted.extend(texts);
            }
        }
    }
    accepted.into_iter().collect()
}

fn steps(device: &safeconduct_model::DeviceFacts, failed: &Failing, now: Timestamp) -> Vec<String> {
    use safeconduct_model::Check;
    if !device.is_fresh(now) {
        return vec!["let the device send a new health report".to_owned()];
    }
    let named = Check::ALL.into_iter().filter(|c| failed.condition.contains(c.name()));
    let failing: BTreeSet<Check> = named.chain(device.failing(now)).filter(|c| !device.passes(*c, now)).collect();
    failing.into_iter().map(|c| c.remedy().to_owned()).collect()
}
