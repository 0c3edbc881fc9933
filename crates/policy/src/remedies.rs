//! What would help: for every condition that failed, the cheapest thing that satisfies it.

use std::collections::BTreeSet;

use safeconduct_model::{Ask, Check, DeviceFacts, Failing, Reason, Remedy, Timestamp};

use crate::ends;
use crate::snapshot::{App, Snapshot};

/// What the asker can do about everything that failed.
pub(crate) fn of(
    snapshot: &Snapshot,
    app: &App,
    ask: &Ask,
    now: Timestamp,
    failing: &[(Reason, Failing)],
) -> Vec<Remedy> {
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

fn steps(device: &DeviceFacts, failed: &Failing, now: Timestamp) -> Vec<String> {
    if !device.is_fresh(now) {
        return vec!["let the device send a new health report".to_owned()];
    }
    let named = Check::ALL.into_iter().filter(|c| failed.condition.contains(c.name()));
    let failing: BTreeSet<Check> = named.chain(device.failing(now)).filter(|c| !device.passes(*c, now)).collect();
    failing.into_iter().map(|c| c.remedy().to_owned()).collect()
}
