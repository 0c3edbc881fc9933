//! A candidate tried on history.

use std::borrow::Borrow;
use std::collections::BTreeMap;

use safeconduct_flows::Tally;
use safeconduct_model::{Action, AppId, Entry, Mode, PersonId, Principal, Reason, Record, Timestamp};
use safeconduct_policy::Snapshot;
use serde::Serialize;

use crate::answer::Answer;
use crate::history::{History, Row};
use crate::words;

/// How many people or applications each list tells apart.
pub const MAX_NAMES: usize = 5_000;
/// How many examples are kept of each kind of change, unless the caller says otherwise.
pub const EXAMPLES: usize = 20;
/// How many verdicts are held in memory at once while a ledger is read, unless the caller says otherwise.
pub const AT_ONCE: usize = 100_000;

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
    /// How many verdicts are held in memory at once; after each lot, progress is told.
    pub at_once: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { examples: EXAMPLES, at_once: AT_ONCE }
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
    /// By who answers for the application.
    pub by_owner: Tally<PersonId, MAX_NAMES>,
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
    let (mut history, mut read) = (History::default(), 0_u64);
    for entry in entries {
        let entry = entry.borrow();
        read += 1;
        let Record::Access(access) = &entry.record else { continue };
        history.push(entry.seq, access);
        if history.len() >= options.at_once.max(1) {
            history.rehearse(against, candidate, options, &mut found);
            history = History::default();
            progress(read);
        }
    }
    history.rehearse(against, candidate, options, &mut found);
    progress(read);
    found
}

impl History {
    /// Decides every verdict again and adds what is found to a rehearsal.
    pub fn rehearse(&self, against: Against<'_>, candidate: &Snapshot, options: Options, found: &mut Rehearsal) {
        let mut new = self.put_to(candidate);
        let mut old = match against {
            Against::Recorded => None,
            Against::Snapshot(current) => Some((current, self.put_to(current))),
        };
        let lacks = Lacks::of(candidate, self);
        for row in self.rows() {
            let now = row.line.now;
            found.coverage.records += 1;
            let (first, last) = found.window.unwrap_or((now, now));
            found.window = Some((first.min(now), last.max(now)));
            if let Some(fact) = lacks.of_row(self, row) {
                *found.coverage.missing.entry(fact.to_owned()).or_default() += 1;
                continue;
            }
            found.coverage.sufficient += 1;
            let before = match &mut old {
                None => row.refused,
                Some((_, old)) => old.refuses(&row.line),
            };
            let after = new.refuses(&row.line);
            let opens = after.is_none();
            let breaks = row.observed && row.passed && !opens;
            if before == after && !breaks && (row.passed || !opens) {
                found.same += 1;
                continue;
            }
            let enforced = new.application(row.line.what).is_none_or(|a| a.mode == Mode::Enforce);
            let change = Change { history: self, row, before, after, candidate, against, examples: options.examples };
            if breaks && enforced {
                found.would_break.add(&change);
            }
            if !row.passed && opens {
                found.would_open.add(&change);
            }
            found.add(&change);
        }
    }
}

/// One verdict that would go another way, or be felt where it was not.
struct Change<'h> {
    history: &'h History,
    row: &'h Row,
    before: Option<Reason>,
    after: Option<Reason>,
    candidate: &'h Snapshot,
    against: Against<'h>,
    examples: usize,
}

impl Rehearsal {
    fn add(&mut self, change: &Change<'_>) {
        let changes = match (change.before, change.after) {
            (None, Some(_)) => &mut self.newly_denied,
            (Some(_), None) => &mut self.newly_allowed,
            (Some(before), Some(after)) if before != after => &mut self.reason_changed,
            _ => {
                self.same += 1;
                return;
            }
        };
        changes.add(change);
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
    fn add(&mut self, change: &Change<'_>) {
        let Change { history, row, .. } = *change;
        self.total += 1;
        let (who, what) = (history.who(row), history.what(row));
        self.by_person.add(&who.principal);
        self.by_app.add(&what.app);
        if let Some(owner) = change.candidate.application(&what.app).and_then(|app| app.owner.as_ref()) {
            self.by_owner.add(owner);
        }
        if let Some(reason) = change.after.or(change.before) {
            *self.by_reason.entry(reason).or_default() += 1;
        }
        if self.examples.len() < change.examples {
            self.examples.push(change.example());
        }
    }
}

impl Change<'_> {
    fn example(&self) -> Example {
        let (row, now) = (self.row, self.row.line.now);
        let ask = self.history.ask(row);
        let before = match self.against {
            Against::Recorded => Answer {
                permitted: row.refused.is_none(),
                reason: row.refused,
                rules: self.history.rules(row).to_vec(),
            },
            Against::Snapshot(current) => Answer::of(current, &ask, now),
        };
        Example {
            seq: row.seq,
            at: now,
            who: ask.who.principal.clone(),
            app: ask.what.app.clone(),
            action: ask.what.action,
            sentence: words::sentence(&ask, now),
            before: before.words(),
            after: Answer::of(self.candidate, &ask, now).words(),
        }
    }
}

/// What a record may lack for a candidate: facts that were not gathered at the time, so that their absence says nothing.
struct Lacks {
    /// Beside the different things that were asked for: whether a rule about them reads the country.
    country: Vec<bool>,
}

impl Lacks {
    fn of(candidate: &Snapshot, history: &History) -> Self {
        let reads = |path: &str| path == "net.country" || path == "net";
        let reading: Vec<_> = candidate.rules().iter().filter(|r| r.reads().iter().any(|p| reads(p))).collect();
        let country = history.whats().map(|what| {
            let Some(app) = candidate.application(&what.app) else { return false };
            reading.iter().any(|r| r.actions.contains(&what.action) && r.covers_application(app))
        });
        Self { country: country.collect() }
    }

    fn of_row(&self, history: &History, row: &Row) -> Option<&'static str> {
        if row.line.auth.is_none() && history.who(row).principal != Principal::Nobody {
            return Some("auth");
        }
        let wanted = self.country.get(row.line.what as usize).copied().unwrap_or_default();
        (wanted && history.place(row).country.is_none()).then_some("net.country")
    }
}
