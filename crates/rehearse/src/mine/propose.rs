//! From observed use to a proposal.

use std::collections::{BTreeMap, BTreeSet};

use safeconduct_model::{
    AppId, Application, Duration, Fault, Group, GroupId, Mode, Person, PersonId, Principal, RuleId,
};
use safeconduct_policy::{PolicyText, Snapshot, Sources};
use serde::Serialize;
use thiserror::Error;

use super::draft::{Draft, Mine};
use super::left_out::LeftOut;
use super::measure::{self, Figures, Measured};
use super::observe::{Observed, Use};
use super::reliable::{self, Reliability};
use super::season::{self, Season};
use super::{fixtures, report, today, within, write};
use crate::words;

/// The window from which rules are written, in days, unless a person asks for another.
pub const WINDOW_DAYS: u64 = 90;
/// A shorter window than this cuts no right: it did not see every day of the week.
pub const LEAST_WINDOW_DAYS: u64 = 7;
/// A group of which some significant part is less precise than this does not stand for its members.
pub const MIN_RELIABILITY: f64 = 0.4;
/// How many rules or rights an error names.
const MAX_NAMED: usize = 5;

/// Who belongs to which group now, transitively.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Directory {
    /// Everybody who may act.
    pub people: BTreeSet<PersonId>,
    /// The members of each group, directly or through another group.
    pub members: BTreeMap<GroupId, BTreeSet<PersonId>>,
}

impl Directory {
    /// The active people and their groups, followed to the top.
    #[must_use]
    pub fn of(people: &[Person], groups: &[Group]) -> Self {
        let parents: BTreeMap<&GroupId, &BTreeSet<GroupId>> = groups.iter().map(|g| (&g.id, &g.parents)).collect();
        let mut found = Self::default();
        for person in people.iter().filter(|p| p.active) {
            found.people.insert(person.id.clone());
            let mut open: Vec<&GroupId> = person.groups.iter().collect();
            let mut seen: BTreeSet<&GroupId> = BTreeSet::new();
            while let Some(group) = open.pop() {
                if seen.insert(group) {
                    open.extend(parents.get(group).into_iter().flat_map(|p| p.iter()));
                    found.members.entry(group.clone()).or_default().insert(person.id.clone());
                }
            }
        }
        found
    }

    pub(crate) fn groups_of(&self, person: &PersonId) -> BTreeSet<GroupId> {
        self.members.iter().filter(|(_, m)| m.contains(person)).map(|(g, _)| g.clone()).collect()
    }
}

/// How to mine.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The cost of each person who would be let in without ever having used the application.
    pub over_grant: f64,
    /// The cost of each user who would be missed.
    pub missed: f64,
    /// The cost of each rule.
    pub size: f64,
    /// The least share of a group's members that must be users.
    pub min_group_share: f64,
    /// The least number of users that make a group stand for them.
    pub min_group_users: usize,
    /// The least number of uses that count as support, for a kind of use by one person.
    pub min_uses: usize,
    /// The least number of uses from which hours are derived.
    pub min_uses_for_hours: usize,
    /// The least number of days from which hours are derived.
    pub min_days_for_hours: usize,
    /// The longest window that is worth a condition, in minutes.
    pub longest_window: u16,
    /// A gap of more minutes than this separates the working day from far-off uses.
    pub gap_minutes: u16,
    /// The share of a rule's uses that may stand out and be left out.
    pub outlier_share: f64,
    /// The share of a rule's uses by one single person that may stand out and be left out.
    pub one_person_share: f64,
    /// From how many people on one of them may stand out.
    pub people_for_outlier: usize,
    /// The most purposes that are worth a condition.
    pub max_purposes: usize,
    /// Below this number of uses hours are taken half an hour wider on both sides: few uses do not show the edges.
    pub uses_for_sharp_hours: usize,
    /// Principals whose use is no evidence: no rule rests on it, and no rule lets them in.
    pub flagged: BTreeSet<Principal>,
    /// How far back from the last use rules are written from; what lies before it serves the seasonal guard.
    pub window: Duration,
    /// In a shorter window no right is cut.
    pub least_window: Duration,
    /// How many people make a part of a group significant.
    pub significant_people: usize,
    /// Below this reliability a group is narrowed.
    pub min_reliability: f64,
    /// A person asked for it: the proposal may permit what the rules of now deny.
    pub widen: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            over_grant: 1.0,
            missed: 2.0,
            size: 1.0,
            min_group_share: 0.5,
            min_group_users: 2,
            min_uses: 3,
            min_uses_for_hours: 20,
            min_days_for_hours: 5,
            longest_window: 14 * 60,
            gap_minutes: 90,
            outlier_share: 0.02,
            one_person_share: 0.05,
            people_for_outlier: 3,
            max_purposes: 3,
            uses_for_sharp_hours: 200,
            flagged: BTreeSet::new(),
            window: Duration::from_days(WINDOW_DAYS),
            least_window: Duration::from_days(LEAST_WINDOW_DAYS),
            significant_people: 4,
            min_reliability: MIN_RELIABILITY,
            widen: false,
        }
    }
}

/// A rule of a proposal.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ProposedRule {
    /// What it was written from.
    #[serde(flatten)]
    pub draft: Draft,
    /// In words.
    pub words: String,
    /// In Cedar.
    pub cedar: String,
    /// How many observed uses it permits.
    pub uses: u64,
    /// How many people used it.
    pub people: u64,
    /// How many people it lets in.
    pub granted: u64,
    /// How far it can be trusted where it is least precise.
    #[serde(flatten)]
    pub reliability: Reliability,
}

/// Against what a proposal was held so that it only narrows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Baseline {
    /// Against nothing: whoever asked did not say what binds now.
    None,
    /// Verdicts do not bind there yet, so that everybody who is signed in gets through: whatever is proposed is narrower.
    Observed,
    /// Against the rules of now.
    Rules,
    /// Against the rules of now, but a person asked that it may widen.
    Widening,
}

/// Whether a proposal only narrows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Narrowing {
    /// Against what it was held.
    pub baseline: Baseline,
    /// Recorded asks that were compared.
    pub compared: u64,
    /// Those of them that the proposal permits and what binds now does not.
    pub widened: u64,
    /// The proposed rules that are not, as text, a rule of now with more conditions.
    pub loose: Vec<RuleId>,
    /// Permits of now that speak of this application and of others too: they go on, and the proposal narrows nothing that
    /// they let pass.
    pub remaining: Vec<RuleId>,
}

/// A rule set that was written from observed use. It is a change not yet made: somebody else applies it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Proposal {
    /// For which application.
    pub app: AppId,
    /// The rules.
    pub rules: Vec<ProposedRule>,
    /// The whole file, ready for `policies/`.
    pub cedar: String,
    /// Its fixtures, ready for `policies/tests/`.
    pub fixtures: String,
    /// How good it is.
    pub figures: Figures,
    /// How the method did on use that it had not seen.
    pub measured: Measured,
    /// What is kept because it recurs, and what nobody can judge.
    pub season: Season,
    /// Whether it only narrows.
    pub narrowing: Narrowing,
    /// What it does not permit, worth a look.
    pub left_out: Vec<LeftOut>,
}

impl Proposal {
    /// The whole in words.
    #[must_use]
    pub fn report(&self) -> String {
        report::report(self)
    }

    /// What is kept because it recurs, what nobody can judge, and whether it only narrows: one line each.
    #[must_use]
    pub fn notes(&self) -> Vec<String> {
        report::notes(self)
    }
}

/// Why nothing is proposed.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum ProposeError {
    /// Nobody got through in the window.
    #[error("nobody used `{0}` in the window; put it in observe mode, or choose a longer window")]
    NoUse(AppId),
    /// The window is too short to take anything away.
    #[error(
        "{days} days of use cannot judge the {cut} rights of `{app}` that would be cut ({named}); observe for {least} days at least"
    )]
    WindowTooShort {
        /// For which application.
        app: AppId,
        /// The length of the window.
        days: u64,
        /// The least length.
        least: u64,
        /// How many rights would be cut.
        cut: u64,
        /// The first of them.
        named: String,
    },
    /// A proposed rule is wider than every rule of now, though nobody asked for that.
    #[error("the proposal for `{app}` would widen what binds now ({}); nothing was proposed", rules.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))]
    Widens {
        /// For which application.
        app: AppId,
        /// The rules that are wider.
        rules: Vec<RuleId>,
    },
    /// What was written does not pass the checks of policies.
    #[error("the proposal for `{app}` does not pass the checks: {}", faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Refused {
        /// For which application.
        app: AppId,
        /// What is wrong with it.
        faults: Vec<Fault>,
    },
}

/// Proposes rules for the application that was observed, held against nothing.
pub fn propose(
    seen: &Observed,
    app: &Application,
    directory: &Directory,
    settings: &Settings,
) -> Result<Proposal, ProposeError> {
    propose_within(seen, app, directory, settings, None)
}

/// Proposes rules for the application that was observed, which permit no more than what binds now unless the settings say
/// otherwise. The uses must have been added with [`Observed::add_under`] the same snapshot.
pub fn propose_within(
    seen: &Observed,
    app: &Application,
    directory: &Directory,
    settings: &Settings,
    current: Option<&Snapshot>,
) -> Result<Proposal, ProposeError> {
    let no_use = || ProposeError::NoUse(app.id.clone());
    let all: Vec<&Use> = seen.all().filter(|u| u.passed).collect();
    let (_, to) = measure::span(&all).ok_or_else(no_use)?;
    let start = to - settings.window;
    let uses: Vec<&Use> = all.iter().copied().filter(|u| start <= u.at).collect();
    let (from, to) = measure::span(&uses).ok_or_else(no_use)?;

    let baseline = match current.and_then(|c| c.application(&app.id).map(|a| a.mode)) {
        None => Baseline::None,
        Some(_) if settings.widen => Baseline::Widening,
        Some(Mode::Observe) => Baseline::Observed,
        Some(_) => Baseline::Rules,
    };
    let bounds = current.filter(|_| baseline == Baseline::Rules).map(|c| within::bounds(c, app));
    let narrow = matches!(baseline, Baseline::Rules | Baseline::Observed);
    let mine = Mine { seen, app, directory, settings, bounds: bounds.as_ref(), narrow };
    let (drafts, kept) = mine.until(&all, to);
    let rights = current.filter(|_| bounds.is_some()).map(|c| today::rights(c, app, directory));
    let season = season::told(&mine, &drafts, &all, kept, rights.as_ref());
    if bounds.is_some() && to.since(from) < settings.least_window {
        refuse_to_cut(&mine, &drafts, &season, measure::days(from, to))?;
    }

    let evidence: Vec<&Use> = all.iter().copied().filter(|u| mine.counts(u)).collect();
    let reliability: Vec<Reliability> = drafts.iter().map(|d| reliable::of(&mine, d, &evidence)).collect();
    let least = reliability.iter().map(|r| r.reliability).min_by(f64::total_cmp);
    let measured = mine.measured(&all, &drafts, (from, to), least);
    let figures = mine.figures(&all, &uses, &drafts, &measured);
    let why = |draft: &Draft| {
        let (count, people) = mine.used(draft, &evidence);
        let noun = if people == 1 { "person" } else { "people" };
        let what = if draft.seasonal { "recurring use" } else { "observed use" };
        format!(
            "{what}, {count} accesses by {people} {noun}, from {} to {}",
            words::date(from, seen.zone()),
            words::date(to, seen.zone())
        )
    };
    let texts: Vec<String> = drafts.iter().map(|d| write::rule(d, app, &why(d))).collect();
    let left_out = mine.left_out(&drafts, start);
    let mut narrowing = compared(&mine, &drafts, baseline, current);
    let cedar = report::file(app, &figures, &measured, &season, &left_out, &drafts, &texts);
    let snapshot = alone(app, seen, &cedar)?;
    if let (Baseline::Rules, Some(current)) = (baseline, current) {
        let loose = snapshot.rules().iter().filter(|r| !within::is_below_now(r, current, app));
        narrowing.loose = loose.map(|r| r.id.clone()).collect();
        if !narrowing.loose.is_empty() || narrowing.widened > 0 {
            return Err(ProposeError::Widens { app: app.id.clone(), rules: narrowing.loose });
        }
    }
    let fixtures = fixtures::fixtures(&mine, &drafts, &uses, &snapshot);
    let rules = drafts.into_iter().zip(texts).zip(reliability).map(|((draft, cedar), reliability)| {
        let (uses, people) = mine.used(&draft, &uses);
        let words = snapshot.rule(&draft.id).map(|r| r.five_ws().sentence()).unwrap_or_default();
        let granted = mine.granted(&draft).len() as u64;
        ProposedRule { draft, words, cedar, uses, people, granted, reliability }
    });
    let rules = rules.collect();
    Ok(Proposal { app: app.id.clone(), rules, cedar, fixtures, figures, measured, season, narrowing, left_out })
}

/// The proposed rules and nothing else, checked.
fn alone(app: &Application, seen: &Observed, cedar: &str) -> Result<Snapshot, ProposeError> {
    let file = format!("policies/{}.cedar", app.id);
    let sources = Sources {
        policies: vec![PolicyText { file, text: cedar.to_owned() }],
        applications: vec![app.clone()],
        assets: vec![],
        zone: seen.zone().clone(),
    };
    Snapshot::build(1, sources).map_err(|faults| ProposeError::Refused { app: app.id.clone(), faults })
}

/// What a window that is too short cannot judge must not be cut.
fn refuse_to_cut(mine: &Mine<'_>, drafts: &[Draft], season: &Season, days: u64) -> Result<(), ProposeError> {
    let cut = season.unjudged.unwrap_or(0);
    if cut == 0 && !drafts.is_empty() {
        return Ok(());
    }
    let named = season.unjudged_examples.iter().take(MAX_NAMED).map(|(who, action)| format!("{who} to {action}"));
    Err(ProposeError::WindowTooShort {
        app: mine.app.id.clone(),
        days,
        least: mine.settings.least_window.millis() / Duration::from_days(1).millis(),
        cut,
        named: named.collect::<Vec<_>>().join(", "),
    })
}

/// Every recorded ask, denied ones too, under the proposal and under what binds now. What a rule forbids stays forbidden.
fn compared(mine: &Mine<'_>, drafts: &[Draft], baseline: Baseline, current: Option<&Snapshot>) -> Narrowing {
    let mut found = Narrowing { baseline, compared: 0, widened: 0, loose: vec![], remaining: vec![] };
    if baseline == Baseline::None {
        return found;
    }
    let remaining = current.into_iter().flat_map(|c| today::standing(c, mine.app));
    found.remaining = remaining.filter(|r| !today::is_superseded(r, &mine.app.id)).map(|r| r.id.clone()).collect();
    for one in mine.seen.all().filter(|u| !u.shut) {
        found.compared += 1;
        found.widened += u64::from(!one.allowed && drafts.iter().any(|d| mine.permits(d, one)));
    }
    found
}
