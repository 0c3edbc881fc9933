//! What was observed of one application, small enough to keep a long window in memory.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use jiff::tz::TimeZone;
use safeconduct_flows::Facts;
use safeconduct_model::{Access, Action, AppId, Check, Entry, GroupId, Principal, Reason, Record, RuleId, Timestamp};

use super::today::{Today, is_break_glass};

/// How many uses are kept; beyond it the oldest go, and the proposal says how many.
pub const MAX_USES: usize = 2_000_000;

/// One recorded ask, reduced to what a proposal reads. Names stand in tables.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is one independent fact with a name of its own")]
pub(crate) struct Use {
    pub seq: u64,
    pub at: Timestamp,
    pub who: u32,
    pub groups: u32,
    pub action: Action,
    pub weekday: u8,
    pub minute: u16,
    pub day: i32,
    pub proven: bool,
    pub mfa: bool,
    pub known: bool,
    pub managed: bool,
    pub compliant: bool,
    pub checks: u8,
    pub network: Option<u32>,
    pub purpose: Option<u32>,
    /// It got through, and no rule forbade it.
    pub passed: bool,
    /// It got through although a rule forbade it.
    pub forbidden: bool,
    /// It rests on a dated grant or on breaking the glass: an exception, and no evidence for a standing rule.
    pub exception: bool,
    /// What binds now lets it pass, with the groups of the time.
    pub allowed: bool,
    /// A rule of now forbids it.
    pub shut: bool,
    /// What binds now lets it pass, with the groups of today.
    pub exists: bool,
    /// The rules that let it pass now.
    pub rules: u32,
}

/// Names that occur again and again, each stored once.
#[derive(Clone, Debug)]
pub(crate) struct Names<T: Ord> {
    index: BTreeMap<T, u32>,
    list: Vec<T>,
}

impl<T: Ord> Default for Names<T> {
    fn default() -> Self {
        Self { index: BTreeMap::new(), list: Vec::new() }
    }
}

impl<T: Ord + Clone> Names<T> {
    fn number(&mut self, name: &T) -> u32 {
        if let Some(n) = self.index.get(name) {
            return *n;
        }
        let n = u32::try_from(self.list.len()).unwrap_or(u32::MAX);
        self.index.insert(name.clone(), n);
        self.list.push(name.clone());
        n
    }

    pub(crate) fn name(&self, number: u32) -> &T {
        &self.list[number as usize]
    }
}

/// The observed use of one application.
#[derive(Clone, Debug)]
pub struct Observed {
    app: AppId,
    zone: TimeZone,
    uses: VecDeque<Use>,
    dropped: u64,
    pub(crate) people: Names<Principal>,
    pub(crate) group_sets: Names<BTreeSet<GroupId>>,
    pub(crate) networks: Names<String>,
    pub(crate) purposes: Names<String>,
    pub(crate) rule_sets: Names<BTreeSet<RuleId>>,
}

impl Observed {
    /// Nothing yet, about `app`, with hours in `zone`.
    #[must_use]
    pub fn new(app: AppId, zone: TimeZone) -> Self {
        Self {
            app,
            zone,
            uses: VecDeque::new(),
            dropped: 0,
            people: Names::default(),
            group_sets: Names::default(),
            networks: Names::default(),
            purposes: Names::default(),
            rule_sets: Names::default(),
        }
    }

    /// Adds one entry of the ledger. Only verdicts about the application count, and no live connection that was merely
    /// decided again.
    pub fn add(&mut self, entry: &Entry) {
        self.take(entry, None);
    }

    /// The same, and asks what binds now whether it lets the ask pass: needed for a proposal that may only narrow.
    pub fn add_under(&mut self, entry: &Entry, today: &mut Today<'_>) {
        self.take(entry, Some(today));
    }

    fn take(&mut self, entry: &Entry, today: Option<&mut Today<'_>>) {
        match &entry.record {
            // What a lock denied says nothing about who needs what.
            Record::Access(access) if access.reason() == Some(Reason::Locked) => {}
            Record::Access(access) if access.ask.what.app == self.app && !access.again => {
                self.push(entry.seq, access, today);
            }
            _ => {}
        }
    }

    fn push(&mut self, seq: u64, access: &Access, today: Option<&mut Today<'_>>) {
        let judged = today.map(|t| t.judge(access)).unwrap_or_default();
        let facts = Facts::of(access, &self.zone);
        let forbidden = access.reason() == Some(Reason::Forbidden);
        let one = Use {
            seq,
            at: access.decided,
            who: self.people.number(&access.ask.who.principal),
            groups: self.group_sets.number(&access.ask.who.groups),
            action: access.ask.what.action,
            weekday: facts.weekday,
            minute: facts.minute,
            day: facts.day,
            proven: facts.proven,
            mfa: facts.mfa,
            known: facts.known,
            managed: facts.managed,
            compliant: facts.compliant,
            checks: facts.passed.iter().map(|c| bit(*c)).fold(0, |all, b| all | b),
            network: facts.network.as_ref().map(|n| self.networks.number(n)),
            purpose: facts.purpose.as_ref().map(|p| self.purposes.number(p)),
            passed: access.passed() && !forbidden,
            forbidden: access.passed() && forbidden,
            exception: facts.granted || is_break_glass(access) || judged.break_glass,
            allowed: judged.allowed,
            shut: judged.shut,
            exists: judged.exists,
            rules: self.rule_sets.number(&judged.rules),
        };
        if self.uses.len() >= MAX_USES {
            self.uses.pop_front();
            self.dropped += 1;
        }
        self.uses.push_back(one);
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Use> {
        self.uses.iter()
    }

    /// How many older asks found no room.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// The application.
    #[must_use]
    pub fn app(&self) -> &AppId {
        &self.app
    }

    /// The zone of hours.
    #[must_use]
    pub fn zone(&self) -> &TimeZone {
        &self.zone
    }

    pub(crate) fn principal(&self, one: &Use) -> &Principal {
        self.people.name(one.who)
    }

    /// The use in one sentence.
    pub(crate) fn sentence(&self, one: &Use) -> String {
        const DAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
        let device = match (one.known, one.managed, one.compliant) {
            (false, ..) => "an unknown device",
            (_, true, true) => "a managed, compliant device",
            (_, true, false) => "a managed device that is not compliant",
            (_, false, true) => "a compliant device that is not managed",
            (_, false, false) => "a device that is neither managed nor compliant",
        };
        let day = DAYS.get(usize::from(one.weekday.saturating_sub(1))).copied().unwrap_or("no day");
        let network = one.network.map(|n| format!(", network {}", crate::words::tame(self.networks.name(n))));
        format!(
            "{} {} on {day} {} at {:02}:{:02}, from {device}{}{}",
            self.principal(one),
            one.action,
            crate::words::date(one.at, &self.zone),
            one.minute / 60,
            one.minute % 60,
            network.unwrap_or_default(),
            if one.mfa { "" } else { ", one factor" },
        )
    }
}

pub(crate) fn bit(check: Check) -> u8 {
    Check::ALL.iter().position(|c| *c == check).map_or(0, |i| 1 << i)
}
