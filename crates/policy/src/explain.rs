//! Why not, and what would help: the nearest permit, its failing conditions, and the cheapest way to satisfy them.

use std::collections::BTreeSet;
use std::sync::Arc;

use safeconduct_model::{Action, Ask, Failing, Reason, Remedy, Timestamp};

use crate::ends;
use crate::engine::Prepared;
use crate::engine::program::At;
use crate::engine::value::EntityId;
use crate::expr::Expr;
use crate::facts::Facts;
use crate::rule::Rule;
use crate::snapshot::{App, Kept, Refusal, Snapshot};
use crate::verdict::Denial;
use crate::words;

/// One condition of a rule, ready to be asked about alone.
pub(crate) struct Atom {
    at: At,
    topic: Topic,
    /// It only asks whether something is there, and another condition of the rule reads that very thing: when both fail,
    /// the other says more.
    said_elsewhere: bool,
}

/// What a condition is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Topic {
    Proof,
    Purpose,
    Ticket,
    Grant,
    Hours,
    Period,
    Path,
    Method,
    Country,
    Network,
    Managed,
    Known,
    Device,
    Other,
}

/// What a reason depends on beside the condition that failed.
#[derive(Clone, Copy)]
pub(crate) struct Present {
    pub purpose: bool,
    pub device: bool,
}

impl Atom {
    pub(crate) fn of(condition: &Expr, at: At, rule: &Rule) -> Self {
        let said_elsewhere = match condition {
            Expr::Has(path) => {
                let path = path.join(".");
                let others = rule.when.iter().filter(|other| *other != condition);
                others.map(ToString::to_string).any(|other| other.contains(&path))
            }
            _ => false,
        };
        Self { at, topic: Topic::of(condition), said_elsewhere }
    }

    /// Whether it holds; what cannot be evaluated does not.
    fn holds(&self, prepared: &Prepared<'_>) -> bool {
        prepared.truth(self.at) == Some(true)
    }
}

impl Topic {
    fn of(condition: &Expr) -> Self {
        let reads = condition.reads();
        match reads.first().map(String::as_str).unwrap_or_default() {
            p if p.starts_with("auth.") => Self::Proof,
            "purpose" => Self::Purpose,
            "ticket" => Self::Ticket,
            "granted" => Self::Grant,
            "weekday" | "minute" => Self::Hours,
            "time" => Self::Period,
            "path" => Self::Path,
            "method" => Self::Method,
            "net.country" => Self::Country,
            p if p.starts_with("net.") => Self::Network,
            "device.managed" => Self::Managed,
            "device.known" => Self::Known,
            p if p.starts_with("device.") => Self::Device,
            _ => Self::Other,
        }
    }

    fn reason(self, present: Present) -> Reason {
        match self {
            Self::Proof => Reason::StepUpRequired,
            Self::Purpose if present.purpose => Reason::PurposeNotAccepted,
            Self::Purpose => Reason::PurposeRequired,
            Self::Ticket => Reason::TicketRequired,
            Self::Grant => Reason::GrantRequired,
            Self::Hours => Reason::OutsideHours,
            Self::Period => Reason::OutsidePeriod,
            Self::Path => Reason::PathNotAllowed,
            Self::Method => Reason::ActionNotAllowed,
            Self::Country => Reason::CountryNotAllowed,
            Self::Network => Reason::NetworkNotAllowed,
            Self::Managed | Self::Known | Self::Device if !present.device => Reason::DeviceUnknown,
            Self::Managed => Reason::DeviceNotManaged,
            Self::Known => Reason::DeviceUnknown,
            Self::Device => Reason::DeviceNotCompliant,
            Self::Other => Reason::NoRule,
        }
    }
}

/// Something that keeps a rule from letting an ask pass.
#[derive(Clone, Copy)]
pub(crate) struct Miss<'s> {
    pub reason: Reason,
    what: Missed<'s>,
}

#[derive(Clone, Copy)]
enum Missed<'s> {
    /// It does not hold.
    Condition(&'s Expr),
    /// It holds, and lifts the permit.
    Lift(&'s Expr),
    /// The rule speaks of other kinds of use.
    Action(&'s Rule),
}

/// Turns a refusal into a denial that explains itself.
pub(crate) fn denial(snapshot: &Snapshot, app: &App, ask: &Ask, now: Timestamp, refusal: Refusal) -> Denial {
    let owner = || Remedy::AskOwner { owner: app.application.owner.as_ref().map(ToString::to_string) };
    let (misses, otherwise, grounds) = match refusal {
        Refusal::NotSignedIn => {
            let mut denial = Denial::plain(Reason::SignInRequired, vec![Remedy::SignIn]);
            denial.grounds.revision = snapshot.revision();
            return denial;
        }
        Refusal::Errors { errors, grounds } => {
            let failing = errors.into_iter().map(|rule| Failing {
                condition: rule.to_string(),
                words: "a rule could not be evaluated".into(),
                found: String::new(),
            });
            let failing = failing.collect();
            return Denial { reason: Reason::EvaluationError, failing, remedies: vec![owner()], grounds };
        }
        Refusal::Forbidden { grounds } => {
            let rules = snapshot.named(&grounds.rules);
            let misses =
                look(snapshot, app, ask, now, |prepared, _, present| lifts(rules.into_iter(), prepared, present));
            (misses, Reason::Forbidden, grounds)
        }
        Refusal::NoPermit { grounds } => {
            let nearest = look(snapshot, app, ask, now, |prepared, who, present| {
                nearest(snapshot, app, prepared, who, ask.what.action, present)
            });
            match nearest.flatten() {
                None => return Denial { reason: Reason::NoRule, failing: vec![], remedies: vec![owner()], grounds },
                Some(misses) => (Some(misses), Reason::NoRule, grounds),
            }
        }
    };
    let misses = misses.unwrap_or_default();
    let facts = Facts::of(ask, now, snapshot.calendar());
    let failing: Vec<(Reason, Failing)> = misses.iter().map(|m| (m.reason, m.told(ask, &facts))).collect();
    let remedies = remedies(snapshot, app, ask, now, &failing);
    let reason = reason(&misses).unwrap_or(otherwise);
    Denial { reason, failing: failing.into_iter().map(|(_, f)| f).collect(), remedies, grounds }
}

/// Looks at the rules through the eyes of an ask; nothing if nobody asks.
fn look<T>(
    snapshot: &Snapshot,
    app: &App,
    ask: &Ask,
    now: Timestamp,
    see: impl FnOnce(&Prepared<'_>, EntityId, Present) -> T,
) -> Option<T> {
    let mut view = snapshot.view(app, ask)?;
    let who = view.principal();
    let present = Present { purpose: ask.why.purpose(now).is_some(), device: ask.place.device.is_some() };
    Some(see(view.at(ask, now), who, present))
}

/// The reason that weighs most.
pub(crate) fn reason(misses: &[Miss<'_>]) -> Option<Reason> {
    misses.iter().map(|m| m.reason).max_by_key(|r| cost(*r))
}

/// The permit that would cost the asker least, by what it misses. Permits that do not speak of the asker are not looked at,
/// so nobody learns of rules for others.
pub(crate) fn nearest<'s>(
    snapshot: &'s Snapshot,
    app: &'s App,
    prepared: &Prepared<'_>,
    who: EntityId,
    action: Action,
    present: Present,
) -> Option<Vec<Miss<'s>>> {
    let permits = snapshot.permits(app).filter(|(_, kept)| prepared.fits(kept.who, who));
    permits
        .map(|(rule, kept)| misses(rule, kept, prepared, action, present))
        .min_by_key(|m| (m.iter().map(|m| cost(m.reason)).max(), m.len()))
}

/// Everything about a permit that does not hold.
fn misses<'s>(rule: &'s Rule, kept: &Kept, prepared: &Prepared<'_>, action: Action, present: Present) -> Vec<Miss<'s>> {
    let mut found = Vec::new();
    if !rule.actions.contains(&action) {
        found.push(Miss { reason: Reason::ActionNotAllowed, what: Missed::Action(rule) });
    }
    found.extend(missed(rule.when.iter(), &kept.when, prepared, present));
    for (lift, atoms) in rule.unless.iter().zip(&kept.unless) {
        // The permit does not apply because an `unless` holds; there is nothing to satisfy, only something to leave.
        if let Some(first) = atoms.first()
            && atoms.iter().all(|atom| atom.holds(prepared))
        {
            found.push(Miss { reason: first.topic.reason(present), what: Missed::Lift(lift) });
        }
    }
    found
}

/// The conditions of the `unless` of forbids that do not hold.
pub(crate) fn lifts<'s>(
    forbids: impl Iterator<Item = (&'s Arc<Rule>, &'s Kept)>,
    prepared: &Prepared<'_>,
    present: Present,
) -> Vec<Miss<'s>> {
    let mut found = Vec::new();
    for (rule, kept) in forbids {
        for (lift, atoms) in rule.unless.iter().zip(&kept.unless) {
            found.extend(missed(lift.conjuncts().into_iter(), atoms, prepared, present));
        }
    }
    found
}

fn missed<'s>(
    conditions: impl Iterator<Item = &'s Expr>,
    atoms: &[Atom],
    prepared: &Prepared<'_>,
    present: Present,
) -> Vec<Miss<'s>> {
    let failing = conditions.zip(atoms).filter(|(_, atom)| !atom.holds(prepared) && !atom.said_elsewhere);
    failing.map(|(c, atom)| Miss { reason: atom.topic.reason(present), what: Missed::Condition(c) }).collect()
}

impl Miss<'_> {
    fn told(&self, ask: &Ask, facts: &Facts) -> Failing {
        match self.what {
            Missed::Condition(condition) => told(condition, facts),
            Missed::Lift(lift) => told(&Expr::Not(Box::new(lift.clone())), facts),
            Missed::Action(rule) => action_failing(rule, ask),
        }
    }
}

fn action_failing(rule: &Rule, ask: &Ask) -> Failing {
    let names: Vec<&str> = rule.actions.iter().map(|a| a.name()).collect();
    Failing {
        condition: format!("action in [{}]", names.join(", ")),
        words: format!("only {}", names.join(" and ")),
        found: ask.what.action.name().to_owned(),
    }
}

fn told(condition: &Expr, facts: &Facts) -> Failing {
    let words = match words::condition(condition) {
        text if text.is_empty() => condition.to_string(),
        text => text,
    };
    let found =
        condition.reads().iter().map(|p| facts.show(p)).filter(|t| !t.is_empty()).collect::<Vec<_>>().join(", ");
    Failing { condition: condition.to_string(), words, found }
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
