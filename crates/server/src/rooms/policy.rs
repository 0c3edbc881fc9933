//! The rules that bind, their tests, and the proposals.

use safeconduct_console::Trouble;
use safeconduct_console::view::{
    Effect, FiveWs, Policy, ProposalRow, ProposalState, ProposeApp, RuleRow, Share, TestFailure, Tests,
};
use safeconduct_model::{Duration, Fault, Timestamp};
use safeconduct_policy::{Rule, Stage, run_fixtures};
use safeconduct_store::{ChangeRow, Page};

use crate::house::{Current, House};
use crate::proposals::{Proposal, State};
use crate::rooms::digest::day_of;
use crate::rooms::links::{Naming, count};
use crate::rooms::things::{AppUse, by_app};
use crate::rooms::today::under_todays_policy;
use crate::rooms::{Rooms, WINDOW_DAYS, unavailable, window};

/// How long it takes at most from the record of a publication until it binds.
const BINDS_WITHIN: Duration = Duration::from_mins(1);

/// A rule as one sentence of five parts.
pub(crate) fn sentence(rule: &Rule) -> FiveWs {
    let words = rule.five_ws();
    let said = |text: &str| Some(text.trim()).filter(|t| !t.is_empty()).map(str::to_owned);
    // The page says "may" or "may not" itself.
    let what = words.what.strip_prefix("may never ").or_else(|| words.what.strip_prefix("may ")).unwrap_or(&words.what);
    FiveWs {
        who: said(&words.who),
        what: said(what),
        when: said(&words.when),
        place: said(&words.place),
        why: said(&words.why),
    }
}

/// Whether a rule opens or shuts.
pub(crate) fn effect(rule: &Rule) -> Effect {
    match rule.effect {
        safeconduct_policy::Effect::Permit => Effect::Permit,
        safeconduct_policy::Effect::Forbid => Effect::Forbid,
    }
}

/// What became of a proposal.
pub(crate) fn state(state: State) -> ProposalState {
    match state {
        State::Open => ProposalState::Open,
        State::Published => ProposalState::Published,
        State::Discarded => ProposalState::Discarded,
    }
}

/// A fault of a candidate as a test that does not hold: a fixture tells what it expected, anything else where it stands.
pub(crate) fn failure(fault: &Fault) -> TestFailure {
    let fixture = fault.what.strip_prefix("test `").and_then(|rest| {
        let (name, rest) = rest.split_once("`: expected ")?;
        let (expected, got) = rest.split_once(", got ")?;
        Some(TestFailure { name: name.to_owned(), expected: expected.to_owned(), got: got.to_owned() })
    });
    fixture.unwrap_or_else(|| TestFailure {
        name: format!("{}:{}", fault.file, fault.line),
        expected: "a version without faults".to_owned(),
        got: fault.what.clone(),
    })
}

/// The tests of what binds now, asserted once more.
pub(crate) fn tests(current: &Current) -> Tests {
    let failures = run_fixtures(&current.snapshot, &current.fixtures);
    Tests {
        passed: count(current.fixtures.len().saturating_sub(failures.len())),
        failed: failures.iter().map(|f| failure(&f.fault)).collect(),
    }
}

/// When what binds now was published, and by whom; `None` if it came with the start.
async fn published(house: &House, current: &Current) -> Result<Option<(Timestamp, String)>, Trouble> {
    let page = Page { before_seq: None, limit: 1 };
    let changes = house.index.changes(Some("policy.publish"), page).await.map_err(|e| unavailable("The index", &e))?;
    let object = format!("revision {}", current.snapshot.revision());
    // It is recorded first and binds a moment later; a start counts revisions anew.
    let bound =
        |c: &&ChangeRow| c.object == object && c.at <= current.since && current.since.since(c.at) < BINDS_WITHIN;
    Ok(changes.first().filter(bound).map(|c| (c.at, house.actor(&c.by).text)))
}

fn proposal_row(house: &House, p: &Proposal) -> ProposalRow {
    ProposalRow {
        id: p.id.clone(),
        app: house.app(&p.app),
        made: p.made,
        by: house.actor(&p.by).text,
        state: state(p.state),
        rules: count(p.basis.len()),
        coverage: Share::new(p.covered.0, p.covered.1),
    }
}

/// The page.
pub(crate) async fn view(rooms: &Rooms) -> Result<Policy, Trouble> {
    let house = &rooms.house;
    let current = house.current();
    let since = day_of(window(house.now(), WINDOW_DAYS));
    let (spoken, used) = rooms
        .digest(move |digest| {
            let spoken: std::collections::BTreeMap<_, _> =
                digest.rules.iter().map(|(id, r)| (id.clone(), (r.since(since), r.last))).collect();
            (spoken, by_app(digest, since))
        })
        .await?;
    let used = under_todays_policy(rooms, used).await;
    let applications = &current.config.estate.applications;
    let row = |rule: &Rule| {
        let found = spoken.get(&rule.id);
        RuleRow {
            id: rule.id.clone(),
            effect: effect(rule),
            stage: match rule.stage {
                Stage::Enforce => None,
                Stage::Shadow => Some("in shadow, binds nobody".to_owned()),
                Stage::Canary(share) => Some(format!("canary, binds {share} of 100 people")),
            },
            sentence: sentence(rule),
            cedar: rule.text.clone(),
            apps: (applications.values().filter(|a| rule.covers_application(a)))
                .map(|a| (house.app(&a.id), a.mode))
                .collect(),
            matches: found.map_or(0, |(n, _)| *n),
            days: WINDOW_DAYS,
            last: found.map(|(_, last)| *last),
            source: format!("{}:{}", rule.file, rule.line),
        }
    };
    let nothing = AppUse::default();
    let to_propose = applications.values().filter(|a| a.id.as_str() != safeconduct_config::CONSOLE).map(|app| {
        let seen = used.get(&app.id).unwrap_or(&nothing);
        ProposeApp {
            id: app.id.clone(),
            name: app.name.clone(),
            mode: app.mode,
            rules: count(current.snapshot.rules().iter().filter(|r| r.covers_application(app)).count()),
            observed: seen.covered.all,
            unmatched: seen.covered.all - seen.covered.of,
        }
    });
    Ok(Policy {
        revision: current.snapshot.revision(),
        published: published(house, &current).await?,
        rules: current.snapshot.rules().iter().map(|r| row(r)).collect(),
        tests: tests(&current),
        proposals: house.proposals.list().iter().map(|p| proposal_row(house, p)).collect(),
        apps: to_propose.collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use safeconduct_policy::{PolicyText, Snapshot, Sources};

    fn rule(text: &str) -> std::sync::Arc<Rule> {
        let policies = vec![PolicyText { file: "policies/x.cedar".into(), text: text.into() }];
        let sources = Sources { policies, applications: vec![], assets: vec![], zone: jiff::tz::TimeZone::UTC };
        let snapshot = Snapshot::build(1, sources).unwrap_or_else(|f| panic!("{}", f[0]));
        std::sync::Arc::clone(&snapshot.rules()[0])
    }

    #[test]
    fn a_sentence_leaves_may_to_the_page_and_says_nothing_where_the_rule_says_nothing() {
        let ws = sentence(&rule(
            "@id(\"a\") permit(principal in Group::\"staff\", action == Action::\"read\", resource) when { context.device.managed };",
        ));
        assert_eq!(ws.who.as_deref(), Some("People in staff"));
        assert_eq!(ws.what.as_deref(), Some("read every application"));
        assert_eq!((ws.when, ws.place.as_deref(), ws.why), (None, Some("from a managed device"), None));
        let never = sentence(&rule("@id(\"b\") forbid(principal, action == Action::\"admin\", resource);"));
        assert_eq!(never.what.as_deref(), Some("admin every application"));
    }

    #[test]
    fn a_fixture_that_fails_is_told_as_a_test_and_a_fault_with_its_place() {
        let fixture = Fault::new("policies/tests/a.toml", 3, "test `ada may`: expected permit, got deny (no_rule)", "");
        assert_eq!(
            failure(&fixture),
            TestFailure { name: "ada may".into(), expected: "permit".into(), got: "deny (no_rule)".into() }
        );
        let other = failure(&Fault::new("policies/a.cedar", 7, "unexpected token", ""));
        assert_eq!((other.name.as_str(), other.got.as_str()), ("policies/a.cedar:7", "unexpected token"));
    }
}
