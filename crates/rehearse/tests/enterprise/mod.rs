//! A generated enterprise with a known truth: teams, shifts, devices, monthly and quarterly jobs, holidays, people who move
//! from one team to another, overtime, and curious accesses that nobody needs. All of it passes under rules that are far too wide.

#![allow(dead_code, reason = "the tests and the bench each use a part")]
#![allow(clippy::panic, reason = "what is generated is valid, or the run is worth nothing")]

pub(crate) mod judge;

use std::collections::BTreeSet;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use safeconduct_model::{
    Access, Action, Application, Ask, Auth, Check, Class, DeviceFacts, Duration, Entry, Group, GroupId, Hardening,
    Method, Mode, Outcome, Person, Place, Principal, Record, Stated, Timestamp, What, Who, Why,
};
use safeconduct_policy::{PolicyText, Snapshot, Sources};
use safeconduct_rehearse::Directory;

/// Monday.
const FIRST_DAY: (i16, i8, i8) = (2026, 6, 1);
/// The rules of the enterprise so far: everybody may do everything from a known device.
pub(crate) const WIDE: &str =
    r#"@id("wide") permit(principal in Group::"staff", action, resource) when { context.device.known };"#;
/// Of a thousand accesses, how many nobody needs.
const NOISE_PER_MILLE: u64 = 2;
/// Of a thousand accesses that are needed, how many fall up to two hours behind the usual time.
const OVERTIME_PER_MILLE: u64 = 2;
/// Of a hundred weeks of a person, how many are holidays.
const HOLIDAY_PERCENT: u64 = 8;

/// Splitmix64: small, and the same everywhere.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn of(seed: u64) -> Self {
        Self(seed)
    }
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
    pub(crate) fn percent(&mut self, p: u64) -> bool {
        self.below(100) < p
    }
}

/// When a job is done.
#[derive(Clone, Copy)]
pub(crate) enum Days {
    Weekdays,
    All,
    /// On the 25th to the 27th.
    Monthly,
    /// In the last four days of a quarter.
    Quarterly,
}

/// One line of the truth: a team does this.
pub(crate) struct Job {
    pub(crate) team: &'static str,
    pub(crate) not: Option<&'static str>,
    pub(crate) app: &'static str,
    pub(crate) action: Action,
    pub(crate) days: Days,
    pub(crate) hours: (u64, u64),
    /// How often a member does it on such a day, at most.
    pub(crate) times: u64,
    pub(crate) office: bool,
    pub(crate) compliant: bool,
    pub(crate) purpose: Option<&'static str>,
}

const fn job(team: &'static str, app: &'static str, action: Action, hours: (u64, u64), times: u64) -> Job {
    let (days, not, purpose) = (Days::Weekdays, None, None);
    Job { team, not, app, action, days, hours, times, office: false, compliant: false, purpose }
}

/// The truth.
pub(crate) fn truth() -> Vec<Job> {
    use Action::{Admin, Read, Write};
    vec![
        job("staff", "wiki", Read, (7, 19), 1),
        job("engineering", "wiki", Write, (8, 19), 1),
        Job { compliant: true, ..job("sales", "crm", Read, (8, 18), 2) },
        Job { compliant: true, ..job("sales", "crm", Write, (8, 18), 1) },
        Job { days: Days::All, ..job("support-early", "crm", Read, (6, 14), 2) },
        Job { days: Days::All, ..job("support-late", "crm", Read, (14, 22), 2) },
        Job { office: true, compliant: true, ..job("finance", "books", Read, (8, 18), 2) },
        Job { office: true, compliant: true, ..job("finance", "books", Write, (8, 18), 1) },
        Job {
            days: Days::Quarterly,
            compliant: true,
            purpose: Some("close"),
            ..job("leads", "books", Admin, (8, 20), 3)
        },
        Job { compliant: true, ..job("hr", "payroll", Read, (8, 17), 2) },
        Job { compliant: true, ..job("hr", "payroll", Write, (8, 17), 1) },
        Job { days: Days::Monthly, compliant: true, ..job("finance", "payroll", Read, (9, 17), 2) },
        Job { not: Some("contractors"), compliant: true, ..job("engineering", "prod", Read, (8, 20), 2) },
        Job { days: Days::All, office: true, ..job("night", "prod", Admin, (0, 6), 2) },
    ]
}

const APPS: [(&str, Class); 5] = [
    ("wiki", Class::Low),
    ("crm", Class::Moderate),
    ("books", Class::High),
    ("payroll", Class::Critical),
    ("prod", Class::High),
];

type Team = (&'static str, usize, &'static [(&'static str, usize)]);

/// Team, and how many; a team within another is written behind it.
const TEAMS: [Team; 6] = [
    ("sales", 32, &[]),
    ("support", 24, &[("support-early", 12), ("support-late", 12)]),
    ("finance", 14, &[("leads", 4)]),
    ("hr", 6, &[]),
    ("engineering", 40, &[("contractors", 8)]),
    ("night", 5, &[]),
];

/// Everything that happened, and what was needed.
pub(crate) struct Enterprise {
    pub(crate) entries: Vec<Entry>,
    /// The places in the ledger of what the truth asks for.
    pub(crate) needed: BTreeSet<u64>,
    pub(crate) directory: Directory,
    pub(crate) apps: Vec<Application>,
    pub(crate) current: Snapshot,
    pub(crate) last: Timestamp,
}

struct Staff {
    id: String,
    groups: BTreeSet<GroupId>,
    managed: bool,
}

fn gid(id: &str) -> GroupId {
    id.parse().expect("id")
}

fn recruit() -> Vec<Staff> {
    let mut staff = Vec::new();
    for (team, size, inner) in TEAMS {
        let mut inside: Vec<&str> = inner.iter().flat_map(|(name, n)| std::iter::repeat_n(*name, *n)).collect();
        inside.resize(size.max(inside.len()), "");
        for (n, inner) in inside.into_iter().enumerate() {
            let mut groups: BTreeSet<GroupId> = [gid("staff"), gid(team)].into();
            if !inner.is_empty() {
                groups.insert(gid(inner));
            }
            staff.push(Staff { id: format!("{team}-{n}"), groups, managed: inner != "contractors" });
        }
    }
    staff
}

/// Somebody moves from sales to support, or the other way.
fn transfer(staff: &mut [Staff], dice: &mut Dice) {
    let (from, to) = if dice.percent(50) { ("sales", "support-early") } else { ("support-late", "sales") };
    let Some(mover) = staff.iter_mut().filter(|s| s.groups.contains(&gid(from))).last() else { return };
    mover.groups.retain(|g| *g == gid("staff"));
    mover.groups.insert(gid(to));
    if to.starts_with("support") {
        mover.groups.insert(gid("support"));
    }
}

fn on(days: Days, date: Date) -> bool {
    match days {
        Days::All => true,
        Days::Weekdays => date.weekday().to_monday_one_offset() <= 5,
        Days::Monthly => (25..=27).contains(&date.day()),
        Days::Quarterly => date.month() % 3 == 0 && date.day() > date.days_in_month() - 4,
    }
}

fn application((id, class): (&str, Class)) -> Application {
    Application {
        id: id.parse().expect("id"),
        name: id.into(),
        hosts: vec![],
        upstream: "http://127.0.0.1:1".into(),
        connector: None,
        mode: Mode::Enforce,
        class,
        assets: BTreeSet::new(),
        owner: None,
        routes: vec![],
        hardening: Hardening::default(),
    }
}

fn access(who: &Staff, job: &Job, at: Timestamp, seq: u64) -> Entry {
    let checks: BTreeSet<Check> =
        if job.compliant || who.managed { [Check::DiskEncrypted].into() } else { BTreeSet::new() };
    let ask = Ask {
        request: format!("r{seq}").parse().expect("id"),
        who: Who {
            principal: Principal::Person(who.id.parse().expect("id")),
            groups: who.groups.clone(),
            auth: Some(Auth {
                session: "s".parse().expect("id"),
                methods: [Method::Passkey].into(),
                at: at - Duration::from_mins(5),
                until: at + Duration::from_hours(8),
            }),
        },
        what: What { app: job.app.parse().expect("id"), action: job.action, method: "GET".into(), path: "/".into() },
        place: Place {
            ip: [10, 0, 0, 1].into(),
            network: job.office.then(|| "office".to_owned()),
            country: None,
            device: Some(DeviceFacts {
                id: "lt".parse().expect("id"),
                managed: who.managed,
                reported: Some(at - Duration::from_mins(1)),
                max_age: Duration::from_mins(15),
                passed: checks,
                required: [Check::DiskEncrypted].into(),
            }),
        },
        why: Why { stated: job.purpose.map(|p| Stated { purpose: p.into(), ticket: None }), grant: None },
        lock: None,
    };
    let access = Access {
        ask,
        decided: at,
        outcome: Outcome::Permit { until: at + Duration::from_hours(1) },
        mode: Mode::Enforce,
        revision: 1,
        rules: vec!["wide".parse().expect("id")],
        facts: vec![],
        took_us: 0,
        again: false,
        would: None,
    };
    Entry { seq, at, record: Record::Access(Box::new(access)) }
}

/// When, who, which line of the truth if any, with which groups, and a number that makes a curious access what it is.
type Deed = (Timestamp, usize, Option<usize>, BTreeSet<GroupId>, u64);

/// The enterprise over this many weeks. The same seed makes the same.
pub(crate) fn generate(seed: u64, weeks: i32) -> Enterprise {
    let mut dice = Dice::of(seed);
    let mut staff = recruit();
    let jobs = truth();
    let first = Date::new(FIRST_DAY.0, FIRST_DAY.1, FIRST_DAY.2).expect("a date");
    let mut found: Vec<Deed> = Vec::new();
    let mut away: Vec<bool> = vec![];
    for day in 0..weeks * 7 {
        if day % 7 == 0 {
            away = staff.iter().map(|_| dice.percent(HOLIDAY_PERCENT)).collect();
            if day % 21 == 14 {
                transfer(&mut staff, &mut dice);
            }
        }
        let date = first.checked_add(jiff::Span::new().days(day)).expect("a date");
        let midnight = date.to_zoned(TimeZone::UTC).expect("a day").timestamp().as_millisecond();
        for (n, person) in staff.iter().enumerate() {
            // Nobody is on holiday when the quarter is closed or wages are paid.
            for (j, job) in jobs.iter().enumerate().filter(|(_, j)| on(j.days, date)) {
                let rare = matches!(job.days, Days::Monthly | Days::Quarterly);
                let in_team =
                    person.groups.contains(&gid(job.team)) && !job.not.is_some_and(|g| person.groups.contains(&gid(g)));
                if !in_team || (away[n] && !rare) {
                    continue;
                }
                for _ in 0..=dice.below(job.times) {
                    if !dice.percent(70) {
                        continue;
                    }
                    let minute = match dice.below(1_000) < OVERTIME_PER_MILLE {
                        false => job.hours.0 * 60 + dice.below((job.hours.1 - job.hours.0) * 60),
                        true => (job.hours.1 * 60 + dice.below(120)).min(1_439),
                    };
                    let at = Timestamp::from_millis(
                        midnight + i64::try_from(minute * 60_000 + dice.below(60_000)).expect("small"),
                    );
                    found.push((at, n, Some(j), person.groups.clone(), 0));
                    if dice.below(1_000) < NOISE_PER_MILLE {
                        let at = at + Duration::from_secs(dice.below(3_600));
                        let curious = usize::try_from(dice.below(staff.len() as u64)).expect("small");
                        found.push((at, curious, None, staff[curious].groups.clone(), dice.next()));
                    }
                }
            }
        }
    }
    found.sort_by_key(|(at, n, job, _, _)| (*at, *n, *job));
    let mut needed = BTreeSet::new();
    let mut entries = Vec::with_capacity(found.len());
    for (seq, (at, n, which, groups, chance)) in (0u64..).zip(found) {
        let person = Staff { id: staff[n].id.clone(), groups, managed: staff[n].managed };
        let odd = job(
            "staff",
            APPS[(chance % 5) as usize].0,
            Action::ALL[(chance / 5 % Action::ALL.len() as u64) as usize],
            (0, 24),
            1,
        );
        let entry = access(&person, which.map_or(&odd, |j| &jobs[j]), at, seq);
        // A curious access may hit what the truth allows anyway.
        if which.is_some() {
            needed.insert(seq);
        }
        entries.push(entry);
    }
    let groups: BTreeSet<&GroupId> = staff.iter().flat_map(|s| &s.groups).collect();
    let groups: Vec<Group> =
        groups.iter().map(|g| Group { id: (*g).clone(), name: g.to_string(), parents: BTreeSet::new() }).collect();
    let people: Vec<Person> = staff
        .iter()
        .map(|s| Person {
            id: s.id.parse().expect("id"),
            name: s.id.clone(),
            email: None,
            groups: s.groups.clone(),
            active: true,
        })
        .collect();
    let apps: Vec<Application> = APPS.into_iter().map(application).collect();
    let sources = Sources {
        policies: vec![PolicyText { file: "wide.cedar".into(), text: WIDE.into() }],
        applications: apps.clone(),
        assets: vec![],
        zone: TimeZone::UTC,
    };
    let current = Snapshot::build(1, sources).unwrap_or_else(|f| panic!("{}", f[0]));
    let last = entries.last().map(|e| e.at).unwrap_or_default();
    Enterprise { entries, needed, directory: Directory::of(&people, &groups), apps, current, last }
}
