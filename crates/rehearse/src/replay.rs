//! A candidate tried on history.

use std::borrow::Borrow;
use std::collections::BTreeMap;

use safeconduct_flows::Tally;
use safeconduct_model::{Access, Action, AppId, Entry, Mode, Principal, Reason, Record, Timestamp};
use safeconduct_policy::Snapshot;
use serde::Serialize;

use crate::answer::{Answer, Decider};
use crate::words;

/// How many people or applications each list tells apart.
pub const MAX_NAMES: usize = 5_000;
/// How many examples are kept of each kind of change, unless the caller says otherwise.
pub const EXAMPLES: usize = 20;
/// After how many entries progress is told, unless the caller says otherwise.
pub const PROGRESS_EVERY: u64 = 10_000;

/// What the candidate is compared with.
#[derive(Clone, Copy)]
pub enum Against<'s> {
    /// What policy said at the time.
    Recorded,
    /// What this snapshot says to the same asks.
    Snapshot(&'s Snapshot),
}

/// How to rehearse.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How many examples are kept of each kind of change.
    pub examples: usize,
    /// After how many entries progress is told.
    pub progress_every: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { examples: EXAMPLES, progress_every: PROGRESS_EVERY }
    }
}

/// What would have happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Default)]
pub struct Rehearsal {
    /// How much of history could be decided again.
    pub coverage: Coverage,
    /// The instants of the first and the last verdict.
    pub window: Option<(Timestamp, Timestamp)>,
    /// How many answers stay as they are.
    pub same: u64,
    /// From yes to no.
    pub newly_denied: Changes,
    /// From no to yes.
    pub newly_allowed: Changes,
    /// Still no, for another reason.
    pub reason_changed: Changes,
    /// What got through an application that was only observed, and would be denied because the candidate enforces it.
    /// It overlaps with the others: it compares with what happened, they compare with what policy said.
    pub would_break: Changes,
    /// What did not get through, and would with the candidate. Like `would_break`, it compares with what happened.
    pub would_open: Changes,
}

/// How much of history could be decided again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Default)]
pub struct Coverage {
    /// Recorded verdicts.
    pub records: u64,
    /// Those whose facts suffice for the candidate.
    pub sufficient: u64,
    /// What the others lack, by the name of the fact. They are compared with nothing.
    pub missing: BTreeMap<String, u64>,
}

/// Changes of one kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Default)]
pub struct Changes {
    /// How many.
    pub total: u64,
    /// By asker.
    pub by_person: Tally<Principal, MAX_NAMES>,
    /// By application.
    pub by_app: Tally<AppId, MAX_NAMES>,
    /// By the reason of the new answer, or of the old one where the new one is yes.
    pub by_reason: BTreeMap<Reason, u64>,
    /// The first ones.
    pub examples: Vec<Example>,
}

/// One request that would go another way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Example {
    /// Its place in the ledger.
    pub seq: u64,
    /// When it was decided.
    pub at: Timestamp,
    /// Who asked.
    pub who: Principal,
    /// For which application.
    pub app: AppId,
    /// For which kind of use.
    pub action: Action,
    /// The request in words.
    pub sentence: String,
    /// The old answer in words.
    pub before: String,
    /// The new answer in words.
    pub after: String,
}

/// Decides every recorded ask again, at its instant, and compares with what policy said then.
pub fn replay<E: Borrow<Entry>>(entries: impl IntoIterator<Item = E>, candidate: &Snapshot) -> Rehearsal {
    rehearse(entries, Against::Recorded, candidate, Options::default(), &mut |_| {})
}

/// Decides every recorded ask with both snapshots and compares the answers.
pub fn compare<E: Borrow<Entry>>(
    entries: impl IntoIterator<Item = E>,
    current: &Snapshot,
    candidate: &Snapshot,
) -> Rehearsal {
    rehearse(entries, Against::Snapshot(current), candidate, Options::default(), &mut |_| {})
}

/// The same with options, telling how many entries were read.
pub fn rehearse<E: Borrow<Entry>>(
    entries: impl IntoIterator<Item = E>,
    against: Against<'_>,
    candidate: &Snapshot,
    options: Options,
    progress: &mut dyn FnMut(u64),
) -> Rehearsal {
    let mut found = Rehearsal::default();
    let mut new = Decider::new(candidate);
    let mut old = match against {
        Against::Recorded => None,
        Against::Snapshot(current) => Some(Decider::new(current)),
    };
    let lacks = Lacks::of(candidate);
    let mut read: u64 = 0;
    for entry in entries {
        let entry = entry.borrow();
        read += 1;
        if read.is_multiple_of(options.progress_every.max(1)) {
            progress(read);
        }
        let Record::Access(access) = &entry.record else { continue };
        found.coverage.records += 1;
        let (first, last) = found.window.unwrap_or((access.decided, access.decided));
        found.window = Some((first.min(access.decided), last.max(access.decided)));
        if let Some(fact) = lacks.of_record(access) {
            *found.coverage.missing.entry(fact.to_owned()).or_default() += 1;
            continue;
        }
        found.coverage.sufficient += 1;
        let before = match &mut old {
            None => recorded(access),
            Some(old) => old.answer(&access.ask, access.decided),
        };
        let after = new.answer(&access.ask, access.decided);
        let enforced = candidate.application(&access.ask.what.app).is_none_or(|a| a.mode == Mode::Enforce);
        if enforced && access.mode == Mode::Observe && access.passed() && !after.permitted {
            found.would_break.add(entry.seq, access, &before, &after, options.examples);
        }
        if !access.passed() && after.permitted {
            found.would_open.add(entry.seq, access, &before, &after, options.examples);
        }
        found.add(entry.seq, access, &before, &after, options.examples);
    }
    progress(read);
    found
}

/// What policy said at the time.
fn recorded(access: &Access) -> Answer {
    Answer { permitted: access.permitted(), reason: access.reason(), rules: access.rules.clone() }
}

impl Rehearsal {
    fn add(&mut self, seq: u64, access: &Access, before: &Answer, after: &Answer, examples: usize) {
        let changes = match (before.permitted, after.permitted) {
            (true, false) => &mut self.newly_denied,
            (false, true) => &mut self.newly_allowed,
            (false, false) if before.reason != after.reason => &mut self.reason_changed,
            _ => {
                self.same += 1;
                return;
            }
        };
        changes.add(seq, access, before, after, examples);
    }

    /// Whether the candidate answers all of history as before.
    #[must_use]
    pub fn changes_nothing(&self) -> bool {
        self.newly_denied.total == 0 && self.newly_allowed.total == 0
    }

    /// The whole in words, coverage first.
    #[must_use]
    pub fn report(&self) -> String {
        words::rehearsal(self)
    }
}

impl Coverage {
    /// The share of verdicts that could be decided again; `None` if there are none.
    #[must_use]
    pub fn share(&self) -> Option<f64> {
        words::ratio(self.sufficient, self.records)
    }
}

impl Changes {
    fn add(&mut self, seq: u64, access: &Access, before: &Answer, after: &Answer, examples: usize) {
        self.total += 1;
        let ask = &access.ask;
        self.by_person.add(&ask.who.principal);
        self.by_app.add(&ask.what.app);
        if let Some(reason) = after.reason.or(before.reason) {
            *self.by_reason.entry(reason).or_default() += 1;
        }
        if self.examples.len() < examples {
            self.examples.push(Example {
                seq,
                at: access.decided,
                who: ask.who.principal.clone(),
                app: ask.what.app.clone(),
                action: ask.what.action,
                sentence: words::sentence(access),
                before: before.words(),
                after: after.words(),
            });
        }
    }
}

/// What a record may lack for a candidate: facts that were not gathered at the time, so that their absence says nothing.
struct Lacks {
    /// The applications and actions whose rules read the country.
    country: Vec<(AppId, Action)>,
}

impl Lacks {
    fn of(candidate: &Snapshot) -> Self {
        let mut country = Vec::new();
        for app in &candidate.sources().applications {
            for action in Action::ALL {
                let reads = |path: &str| path == "net.country" || path == "net";
                let mut speaking =
                    candidate.rules().iter().filter(|r| r.actions.contains(&action) && r.covers_application(app));
                if speaking.any(|r| r.reads().iter().any(|p| reads(p))) {
                    country.push((app.id.clone(), action));
                }
            }
        }
        Self { country }
    }

    fn of_record(&self, access: &Access) -> Option<&'static str> {
        let ask = &access.ask;
        if ask.who.principal != Principal::Nobody && ask.who.auth.is_none() {
            return Some("auth");
        }
        let wanted = |(app, action): &(AppId, Action)| *app == ask.what.app && *action == ask.what.action;
        (ask.place.country.is_none() && self.country.iter().any(wanted)).then_some("net.country")
    }
}
