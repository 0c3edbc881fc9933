//! What rules do while they come to bind: a canary that denies too much goes back into shadow, and a rule that cannot be
//! evaluated raises an alarm.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use safeconduct_config::Texts;
use safeconduct_ledger::{Draft, Pattern, Varying};
use safeconduct_model::{Access, Fault, Outcome, Reason, Record, RuleId};
use safeconduct_policy::{Rollback, Rollout, Snapshot, shadowed};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio_util::sync::CancellationToken;

use crate::house::{Current, House};

/// Watches verdicts as they are recorded.
pub(crate) struct Rollouts {
    /// No rule is a canary, so that most verdicts need no look.
    idle: AtomicBool,
    watch: Mutex<Watch>,
    found: UnboundedSender<Found>,
    finds: Mutex<Option<UnboundedReceiver<Found>>>,
}

struct Watch {
    revision: u64,
    rollout: Rollout,
    /// Rules of this revision of which an alarm was raised.
    broken: BTreeSet<String>,
}

impl Watch {
    fn of(snapshot: &Snapshot) -> Self {
        Self { revision: snapshot.revision(), rollout: Rollout::of(snapshot), broken: BTreeSet::new() }
    }
}

/// What somebody has to act on.
enum Found {
    Rollback(Rollback),
    /// A rule that cannot be evaluated.
    Broken(String),
}

impl Rollouts {
    pub(crate) fn of(snapshot: &Snapshot) -> Self {
        let (found, finds) = unbounded_channel();
        let watch = Watch::of(snapshot);
        let idle = AtomicBool::new(watch.rollout.is_idle());
        Self { idle, watch: Mutex::new(watch), found, finds: Mutex::new(Some(finds)) }
    }

    /// Another snapshot binds.
    pub(crate) fn turn(&self, snapshot: &Snapshot) {
        let mut watch = self.watch.lock().unwrap_or_else(PoisonError::into_inner);
        *watch = Watch::of(snapshot);
        self.idle.store(watch.rollout.is_idle(), Ordering::Release);
    }

    /// Takes what is recorded, if it is a verdict. One like others is made whole only where somebody looks at it.
    pub(crate) fn see_draft(&self, draft: &Draft) {
        match (draft, draft.verdict()) {
            (_, Some(access)) if self.passes_over(access) => {}
            (Draft::Whole(Record::Access(access)), _) => self.see(access),
            (Draft::Like { .. }, _) => {
                if let Record::Access(access) = draft.record() {
                    self.see(&access);
                }
            }
            (Draft::Whole(_), _) => {}
        }
    }

    /// Takes a verdict like others.
    pub(crate) fn see_like(&self, pattern: &Pattern, varying: &Varying<'_>) {
        if !self.passes_over(pattern.access()) {
            self.see(&pattern.with(varying));
        }
    }

    fn passes_over(&self, access: &Access) -> bool {
        self.idle.load(Ordering::Acquire) && access.reason() != Some(Reason::EvaluationError)
    }

    /// Takes a verdict.
    pub(crate) fn see(&self, access: &Access) {
        if self.passes_over(access) {
            return;
        }
        let mut watch = self.watch.lock().unwrap_or_else(PoisonError::into_inner);
        if access.revision != watch.revision {
            return;
        }
        if let Outcome::Deny { reason: Reason::EvaluationError, failing, .. } = &access.outcome {
            for rule in failing {
                if watch.broken.insert(rule.condition.clone()) {
                    let _ = self.found.send(Found::Broken(rule.condition.clone()));
                }
            }
        }
        if !watch.rollout.is_idle()
            && let Some(rollback) = watch.rollout.see(access)
        {
            let _ = self.found.send(Found::Rollback(rollback));
        }
    }
}

/// Acts on what is found, until the server stops.
pub(crate) async fn look_after(house: Arc<House>, stop: CancellationToken) {
    let finds = house.rollouts.finds.lock().unwrap_or_else(PoisonError::into_inner).take();
    let Some(mut finds) = finds else { return };
    loop {
        let found = tokio::select! {
            found = finds.recv() => found,
            () = stop.cancelled() => return,
        };
        match found {
            None => return,
            Some(Found::Broken(rule)) => {
                tracing::error!(rule, "a rule cannot be evaluated; everything that it speaks of is denied");
                house.record_system("alarm", &format!("rule {rule} cannot be evaluated; what it speaks of is denied"));
            }
            Some(Found::Rollback(rollback)) => {
                tracing::warn!(%rollback, "a canary goes back into shadow");
                if let Err(faults) = house.roll_back(&rollback).await {
                    let why = faults.first().map(ToString::to_string).unwrap_or_default();
                    tracing::error!(%rollback, why, "a canary denies too much and could not be rolled back");
                    house.record_system("alarm", &format!("{rollback}; it could not be rolled back: {why}"));
                }
            }
        }
    }
}

impl House {
    /// Puts a canary back into shadow, in its file and in what binds.
    async fn roll_back(self: &Arc<Self>, rollback: &Rollback) -> Result<u64, Vec<Fault>> {
        let make = |current: &Current| in_shadow(current, &rollback.rule);
        self.publish("safeconduct", make, &format!("rolled back: {rollback}"), None).await.map(|binds| binds.revision)
    }
}

/// The texts that bind, with one rule in shadow.
fn in_shadow(current: &Current, id: &RuleId) -> Result<Texts, Vec<Fault>> {
    let mut texts = current.texts.clone();
    let gone =
        || vec![Fault::new("policies", 0, format!("rule `{id}` is no canary any more"), "nothing is to be done")];
    let rule = current.snapshot.rule(id).ok_or_else(gone)?;
    let file = texts.policies.iter_mut().find(|text| text.file == rule.file).ok_or_else(gone)?;
    file.text = shadowed(&file.text, rule).ok_or_else(gone)?;
    Ok(texts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use safeconduct_model::{Ask, Mode, Timestamp};
    use safeconduct_policy::{PolicyText, Sources};

    const NOW: i64 = 1_790_776_920_000;

    fn snapshot(rules: &str) -> Snapshot {
        let app = serde_json::json!({ "id": "wiki", "name": "Wiki", "hosts": [], "upstream": "http://127.0.0.1:1",
            "mode": "enforce", "class": "low", "assets": [], "routes": [], "hardening": {
                "allow_encoded_slash": false, "merge_slashes": false, "allow_semicolon": false, "drop_underscore_headers": false } });
        let policies = vec![PolicyText { file: "p.cedar".into(), text: rules.into() }];
        let applications = vec![serde_json::from_value(app).expect("the text is an application")];
        let sources = Sources { policies, applications, assets: vec![], zone: jiff::tz::TimeZone::UTC };
        Snapshot::build(3, sources).unwrap_or_else(|faults| panic!("{}", faults[0]))
    }

    fn verdict(snapshot: &Snapshot, person: usize) -> Access {
        let ask = serde_json::json!({ "request": "r", "what": { "app": "wiki", "action": "read", "method": "GET", "path": "/" },
            "place": { "ip": "10.0.0.1" }, "who": { "principal": { "person": format!("p{person}") }, "auth": {
                "session": "s", "methods": ["passkey"], "at": NOW, "until": NOW + 1000 } } });
        let ask: Ask = serde_json::from_value(ask).expect("the text is an ask");
        let now = Timestamp::from_millis(NOW);
        snapshot.decide(&ask, now).record(&ask, now, Mode::Enforce, 0)
    }

    fn found(rollouts: &Rollouts) -> Vec<String> {
        let mut finds = rollouts.finds.lock().unwrap();
        let finds = finds.as_mut().expect("nobody took them");
        std::iter::from_fn(|| finds.try_recv().ok())
            .map(|found| match found {
                Found::Rollback(rollback) => format!("back: {}", rollback.rule),
                Found::Broken(rule) => format!("broken: {rule}"),
            })
            .collect()
    }

    #[test]
    fn a_canary_that_denies_too_much_is_found_once_and_only_by_verdicts_of_what_binds() {
        let rules = "@id(\"all\") permit(principal, action, resource);\n\
            @id(\"shut\") @mode(\"canary:50\") forbid(principal, action, resource);";
        let canary = snapshot(rules);
        let rollouts = Rollouts::of(&canary);
        for n in 0..200 {
            rollouts.see(&Access { revision: 2, ..verdict(&canary, n) });
        }
        assert_eq!(found(&rollouts), Vec::<String>::new());
        for n in 0..200 {
            rollouts.see(&verdict(&canary, n));
        }
        assert_eq!(found(&rollouts), ["back: shut"]);
        rollouts.turn(&snapshot("@id(\"all\") permit(principal, action, resource);"));
        assert!(rollouts.idle.load(Ordering::Acquire));
    }

    #[test]
    fn a_rule_that_cannot_be_evaluated_raises_one_alarm() {
        let rules = "@id(\"all\") permit(principal, action, resource);\n\
            @id(\"bad\") forbid(principal, action, resource) when { context.time * 9223372036854775807 < 0 };";
        let broken = snapshot(rules);
        let rollouts = Rollouts::of(&broken);
        for n in 0..3 {
            assert!(!verdict(&broken, n).permitted());
            rollouts.see(&verdict(&broken, n));
        }
        assert_eq!(found(&rollouts), ["broken: bad"]);
    }
}
