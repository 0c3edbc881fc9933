//! One proposal, judged by its rehearsal and its tests; and what publishing it does.

use std::collections::BTreeSet;
use std::sync::Arc;

use safeconduct_access::Visitor;
use safeconduct_config::CONSOLE;
use safeconduct_console::Trouble;
use safeconduct_console::view::{
    Done, Example, Link, LiveEffect, Measured, Proposal, ProposalState, ProposedRule, Rehearsal, Share, Shift, Split,
    Tests,
};
use safeconduct_gateway::{Identity, LiveKind, LiveView};
use safeconduct_model::{AppId, Ask, Fault, Mode, Place, Principal, Reason, What};
use safeconduct_policy::{PolicyText, Snapshot, Sources};
use safeconduct_rehearse::{Changes, ProposeError};

use crate::files::{self, Built};
use crate::house::{Current, House};
use crate::proposals::{self, State, told, with_proposal};
use crate::rooms::links::{Naming, count, plural};
use crate::rooms::policy::{effect, failure, sentence, state};
use crate::rooms::watch::live;
use crate::rooms::{not_found, refused, settled, unavailable, unkept};

/// How many names and examples of a shift are shown.
const SHOWN: usize = 8;

/// The page.
pub(crate) async fn view(house: &Arc<House>, id: &str) -> Result<Proposal, Trouble> {
    let kept = house.proposals.get(id).ok_or_else(not_found)?;
    let current = house.current();
    let open = kept.state == State::Open;
    let enforces = current.config.estate.applications.get(&kept.app).is_some_and(|a| a.mode == Mode::Observe);
    let candidate = if open { Some(candidate(house, &kept).await?) } else { None };
    let rehearsal = match &candidate {
        Some(Ok(_)) => {
            let replayed = house.rehearsal_of(&kept).await.map_err(|e| unkept(&e))?;
            Some(rehearsal(&**house, &replayed, enforces))
        }
        _ => None,
    };
    let (tests, effect_now) = match &candidate {
        None => (Tests::default(), LiveEffect::default()),
        Some(Ok(built)) => {
            let tests = Tests { passed: count(built.fixtures.len()), failed: vec![] };
            (tests, live_effect(house, &built.snapshot))
        }
        Some(Err(faults)) => (failed(&current, &kept, faults), LiveEffect::default()),
    };
    Ok(Proposal {
        id: kept.id.clone(),
        app: house.app(&kept.app),
        made: kept.made,
        by: house.actor(&kept.by).text,
        state: state(kept.state),
        rules: rules(&current, &kept),
        since: kept.since,
        coverage: Share::new(kept.covered.0, kept.covered.1),
        over_grant: Share::new(kept.unused.0, kept.unused.1),
        measured: kept.measured.as_ref().map(|m| measured(m, &kept.notes, &kept.proof)),
        rehearsal,
        tests,
        live: effect_now,
        enforces: open && enforces,
        barred: barred(state(kept.state)).or_else(|| {
            (!house.trusted.is_empty())
                .then(|| format!("{}: {}.", crate::publish::ONLY_SIGNED, crate::publish::SIGN_IT))
        }),
    })
}

/// The figures of the whole split first, then the weeks, the latest first.
fn measured(m: &safeconduct_rehearse::Measured, notes: &[String], proof: &str) -> Measured {
    let split = |s: &safeconduct_rehearse::Split| Split {
        train_days: s.train_days,
        test_days: s.test_days,
        under: Share::new(s.denied, s.needed),
        over: Share::new(s.unused, s.granted),
    };
    // The last week may be the last part, which stands there already.
    let weeks = m.weeks.iter().rev().filter(|w| m.next.as_ref() != Some(w));
    Measured {
        splits: m.next.iter().chain(weeks).map(split).collect(),
        complexity: m.complexity,
        least_reliability: m.least_reliability.map(hundredths),
        stable_after: m.stable_after,
        weight: m.weight,
        notes: notes.iter().cloned().chain(proof.lines().map(str::to_owned)).collect(),
        blind: m.blind.clone(),
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share lies between nought and one")]
fn hundredths(share: f64) -> u64 {
    (share.clamp(0.0, 1.0) * 100.0) as u64
}

fn barred(state: ProposalState) -> Option<String> {
    match state {
        ProposalState::Open => None,
        ProposalState::Published => Some("It binds already.".to_owned()),
        ProposalState::Discarded => Some("It was set aside. Propose anew; use has gone on since.".to_owned()),
    }
}

/// The configuration with the proposal in place, checked whole away from the requests.
async fn candidate(house: &Arc<House>, kept: &proposals::Proposal) -> Result<Result<Built, Vec<Fault>>, Trouble> {
    let (of, kept) = (Arc::clone(house), kept.clone());
    let built = tokio::task::spawn_blocking(move || of.candidate_of(&kept));
    built.await.map_err(|e| unavailable("Checking the proposal", &e))
}

/// The tests where the candidate has faults: those that hold are the ones that are not told.
fn failed(current: &Current, kept: &proposals::Proposal, faults: &[Fault]) -> Tests {
    let texts = with_proposal(current, &kept.app, &kept.cedar, &kept.fixtures);
    let (fixtures, _) = files::fixtures(&current.config, &texts.tests);
    let of_tests = faults.iter().filter(|f| f.what.starts_with("test `")).count();
    // If something else is wrong, no test was asserted at all.
    let passed = if of_tests == faults.len() { fixtures.len().saturating_sub(of_tests) } else { 0 };
    Tests { passed: count(passed), failed: faults.iter().map(failure).collect() }
}

/// The proposed rules, read from their own text.
fn rules(current: &Current, kept: &proposals::Proposal) -> Vec<ProposedRule> {
    let estate = &current.config.estate;
    let text = PolicyText { file: files::proposal_file(&kept.app), text: kept.cedar.clone() };
    let sources = Sources {
        policies: vec![text],
        applications: estate.applications.values().cloned().collect(),
        assets: estate.assets.values().cloned().collect(),
        zone: current.config.settings.zone.clone(),
    };
    let alone = match Snapshot::build(1, sources) {
        Ok(alone) => alone,
        Err(faults) => {
            tracing::warn!(proposal = kept.id, "the rules of a proposal are not readable any more: {}", told(&faults));
            return vec![];
        }
    };
    let rule = |r: &Arc<safeconduct_policy::Rule>| ProposedRule {
        id: r.id.to_string(),
        effect: effect(r),
        sentence: sentence(r),
        cedar: r.text.clone(),
        basis: kept.basis.get(r.id.as_str()).cloned().unwrap_or_else(|| "written by hand".to_owned()),
    };
    alone.rules().iter().map(rule).collect()
}

/// What the replay found. Where publication also turns enforcement on, people lose what got through only because the
/// application observes, and gain only what did not get through; that is what counts then.
fn rehearsal(names: &dyn Naming, replayed: &safeconduct_rehearse::Rehearsal, enforces: bool) -> Rehearsal {
    let (from, to) = replayed.window.unwrap_or_default();
    let (denied, allowed) = match enforces {
        true => (&replayed.would_break, &replayed.would_open),
        false => (&replayed.newly_denied, &replayed.newly_allowed),
    };
    Rehearsal {
        from,
        to,
        replayed: replayed.coverage.sufficient,
        newly_denied: shift(names, denied),
        newly_allowed: shift(names, allowed),
    }
}

fn shift(names: &dyn Naming, changes: &Changes) -> Shift {
    let people = changes.by_person.most_frequent();
    let apps = changes.by_app.most_frequent();
    let example = |e: &safeconduct_rehearse::Example| Example {
        seq: e.seq,
        at: e.at,
        who: names.principal(&e.who),
        what: format!("{} {}", e.action, names.app(&e.app).text),
        reason: reason(&e.after),
    };
    Shift {
        count: changes.total,
        by_person: people.into_iter().take(SHOWN).map(|(p, n)| (names.principal(p), n)).collect(),
        by_app: apps.into_iter().take(SHOWN).map(|(a, n)| (names.app(a), n)).collect(),
        examples: changes.examples.iter().take(SHOWN).map(example).collect(),
    }
}

/// The reason in `denied (no_rule)`.
fn reason(answer: &str) -> Option<Reason> {
    Reason::from_code(answer.strip_prefix("denied (")?.strip_suffix(')')?)
}

/// What a live connection asks for, put together again from what it rests on; `None` if its session is gone.
fn ask_of(house: &House, view: &LiveView) -> Option<Ask> {
    let now = house.now();
    let session = house.sessions().get(view.session.as_ref()?, now)?.clone();
    let current = house.current();
    let app = current.snapshot.application(&view.app)?;
    let action = app.action(&view.method, &view.path, view.kind != LiveKind::Exchange);
    let Identity { who, device, why, lock, network, country } = house.identity_of(&session, &view.app, view.ip, now);
    let what = What { app: view.app.clone(), action, method: view.method.clone(), path: view.path.clone() };
    Some(Ask {
        request: view.request.clone(),
        who,
        what,
        place: Place { ip: view.ip, network, country, device },
        why,
        lock,
    })
}

/// What publication would do to the live connections: each is decided again under the candidate.
fn live_effect(house: &House, candidate: &Snapshot) -> LiveEffect {
    let (now, live) = (house.now(), live(house));
    let ends = |view: &&LiveView| !ask_of(house, view).is_some_and(|ask| candidate.decide(&ask, now).is_permit());
    let ending: Vec<&LiveView> = live.iter().filter(ends).collect();
    let people: BTreeSet<&Principal> = ending.iter().map(|v| &v.principal).collect();
    LiveEffect { decided_again: count(live.len()), ends: count(ending.len()), people: count(people.len()) }
}

/// Writes a proposal from observed use; its id.
pub(crate) async fn propose(house: &Arc<House>, by: &Visitor, app: &AppId) -> Result<String, Trouble> {
    if house.app_name(app).is_none() {
        return Err(not_found());
    }
    // Rules mined from use could lock the operators out of the place where they would repair it.
    if app.as_str() == CONSOLE {
        return Err(refused("Rules for the console are written by hand, in policies/console.cedar."));
    }
    match house.propose(by.person.as_str(), app).await {
        Ok(proposal) => Ok(proposal.id),
        Err(error) => match error.downcast_ref::<ProposeError>() {
            Some(why) => Err(refused(format!("{why}."))),
            None => Err(unkept(&error)),
        },
    }
}

/// Binds a proposal.
pub(crate) async fn publish(house: &Arc<House>, by: &Visitor, id: &str) -> Result<Done, Trouble> {
    let kept = house.proposals.get(id).ok_or_else(not_found)?;
    let observed = house.current().config.estate.applications.get(&kept.app).is_some_and(|a| a.mode == Mode::Observe);
    let effect = match candidate(house, &kept).await? {
        Ok(built) => live_effect(house, &built.snapshot),
        Err(faults) => return Err(refused(told(&faults))),
    };
    let binds = house.publish_proposal(by.person.as_str(), id).await.map_err(|faults| refused(told(&faults)))?;
    let revision = binds.revision;
    settled(house).await;
    let app = house.app(&kept.app);
    let mut details = Vec::new();
    if observed {
        details.push(format!("{} changed from observe to enforce.", app.text));
    }
    details.push(format!(
        "{} decided again; {} of {} did not hold.",
        plural(effect.decided_again, "live connection was", "live connections were"),
        effect.ends,
        plural(effect.people, "person", "people"),
    ));
    Ok(Done {
        title: format!(
            "Revision {revision} answers now, with {} for {}.",
            plural(count(kept.basis.len()), "published rule", "published rules"),
            app.text
        ),
        details,
        next: Link::to("See the rules that bind", "/console/policy"),
    })
}

/// Sets a proposal aside.
pub(crate) async fn discard(house: &Arc<House>, by: &Visitor, id: &str) -> Result<Done, Trouble> {
    let kept = house.proposals.get(id).ok_or_else(not_found)?;
    if kept.state != State::Open {
        return Err(refused("The proposal is closed already."));
    }
    house.discard_proposal(by.person.as_str(), id).await.map_err(|faults| refused(told(&faults)))?;
    Ok(Done {
        title: format!(
            "Set the proposal for {} aside: {}, none of which binds.",
            house.app(&kept.app).text,
            plural(count(kept.basis.len()), "rule", "rules")
        ),
        details: vec![],
        next: Link::to("Back to policy", "/console/policy"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rooms::digest::testing::entry;
    use crate::rooms::links::testing::Few;
    use safeconduct_rehearse::replay;

    fn nothing() -> Snapshot {
        let sources = Sources { policies: vec![], applications: vec![], assets: vec![], zone: jiff::tz::TimeZone::UTC };
        Snapshot::build(2, sources).unwrap_or_else(|f| panic!("{}", f[0]))
    }

    #[test]
    fn enforcing_loses_what_only_observing_let_through() {
        let at = 1_790_776_920_000;
        let entries = [
            entry(0, at, "ada", "ledger", true, "enforce"),
            entry(1, at, "ada", "ledger", false, "observe"),
            entry(2, at, "eve", "ledger", false, "observe"),
        ];
        let replayed = replay(entries, &nothing());
        let kept = rehearsal(&Few, &replayed, false);
        assert_eq!((kept.replayed, kept.newly_denied.count), (3, 1));
        let enforced = rehearsal(&Few, &replayed, true);
        assert_eq!(enforced.newly_denied.count, 2);
        assert_eq!(enforced.newly_denied.by_person[0].0.text, "Ada Lovelace");
        assert_eq!(enforced.newly_denied.examples[0].reason, Some(Reason::UnknownApplication));
    }

    #[test]
    fn a_reason_is_read_from_an_answer_in_words() {
        assert_eq!(reason("denied (no_rule)"), Some(Reason::NoRule));
        assert_eq!(reason("permitted"), None);
        assert_eq!(reason("denied (gone)"), None);
    }
}
