//! One day of the company: who comes when, what each asks for, in the order of time.

use jiff::civil::{Date, Weekday};
use safeconduct_model::{
    Ask, Auth, Check, Cut, CutCause, DeviceFacts, Duration, Method, Place, Principal, Record, SessionEvent,
    SessionEventKind, Stated, SystemEvent, Timestamp, What, Who, Why,
};

use super::staff::{DEVICES, Device, Kind, State, device_of, methods_of};
use super::{Employee, Simulation};
use crate::demo::dice::Dice;

/// What happens at an instant.
pub(crate) struct Event {
    /// When.
    pub(crate) at: Timestamp,
    /// What.
    pub(crate) what: Happening,
}

/// Something that happens.
pub(crate) enum Happening {
    /// Someone asks; policy has to answer.
    Ask(Box<Ask>),
    /// Anything else that the ledger keeps.
    Other(Box<Record>),
}

/// From where and how a person works on a day.
#[derive(Clone)]
pub(crate) struct Desk {
    /// The session of the day.
    pub(crate) auth: Auth,
    /// The address.
    pub(crate) ip: std::net::IpAddr,
    /// The device, as it is on this day.
    pub(crate) device: Option<DeviceFacts>,
    /// Whether the person signed in with a password only and has stepped up since.
    pub(crate) methods: Vec<Method>,
}

/// The day on which the endpoint protection of one laptop stopped updating.
const PROTECTION_STOPPED: (i8, i8) = (9, 21);
/// How long a session holds.
const SESSION: Duration = Duration::from_hours(12);
/// How long before the end of the simulation everybody signs out.
const LAST_MINUTES: Duration = Duration::from_mins(3);

impl Simulation {
    /// Everything that happens on a day, in the order of time.
    pub(crate) fn day(&self, date: Date) -> Vec<Event> {
        let mut events = Vec::new();
        self.reports(date, &mut events);
        for employee in &self.staff {
            let mut dice = Dice::for_purpose(self.seed, &format!("{} {date}", employee.id));
            if let Some((from, to)) = works(employee, date, &mut dice) {
                self.work(employee, date, (from, to), &mut dice, &mut events);
            }
        }
        self.planted(date, &mut events);
        events.retain(|e| e.at < self.until);
        events.sort_by_key(|e| e.at);
        events
    }

    /// Every device reports once in the morning, as far as it reports.
    fn reports(&self, date: Date, events: &mut Vec<Event>) {
        for device in DEVICES.iter().filter(|d| d.state != State::Silent) {
            let mut dice = Dice::for_purpose(self.seed, &format!("{} {date}", device.id));
            let at = self.instant(date, 5 * 60, dice.between(0, 1_200));
            let passed: Vec<&str> = passed(device, date).map(Check::name).collect();
            let detail = format!("{} passes: {}", device.id, passed.join(" "));
            events.push(other(at, Record::System(SystemEvent { event: "posture".into(), detail })));
        }
    }

    fn work(&self, who: &Employee, date: Date, (from, to): (i64, i64), dice: &mut Dice, events: &mut Vec<Event>) {
        let begins = self.instant(date, from, dice.between(0, 59));
        let ends = self
            .instant(date, to, dice.between(0, 59))
            .min(self.until - Duration::from_secs(dice.below(LAST_MINUTES.secs()) + 1));
        if ends <= begins + LAST_MINUTES {
            return;
        }
        let away = dice.chance(18) && !matches!(who.kind, Kind::People | Kind::Logistics | Kind::Trader);
        let desk = self.desk(who, date, begins, away || who.kind == Kind::Board, dice);
        events.push(session(begins, who, &desk, SessionEventKind::Began));
        let (_, _, about) = who.kind.hours();
        let asks = about + dice.between(-about / 5, about / 5);
        for _ in 0..asks {
            let Some((app, method, path)) = want(who, date, dice) else { continue };
            let minute = busy_minute(from, to, dice);
            let at = self.instant(date, minute, dice.between(0, 59));
            if at <= begins || ends <= at {
                continue;
            }
            let why = purpose(app, who, dice);
            events.push(self.ask(at, who, &desk, (app, method, path), why, dice));
        }
        if who.kind == Kind::Trader {
            self.streams(who, &desk, (begins, ends), dice, events);
        }
        events.push(session(ends, who, &desk, SessionEventKind::SignedOut));
    }

    /// A trader keeps the prices open, with a break at noon.
    fn streams(
        &self,
        who: &Employee,
        desk: &Desk,
        (begins, ends): (Timestamp, Timestamp),
        dice: &mut Dice,
        events: &mut Vec<Event>,
    ) {
        let noon = begins + Duration::from_mins(260 + dice.below(60));
        let spans = [
            (begins + Duration::from_secs(40 + dice.below(90)), noon),
            (noon + Duration::from_mins(35 + dice.below(20)), ends),
        ];
        for (opened, closed) in spans {
            let closed = closed.min(ends);
            if closed <= opened {
                continue;
            }
            let event = self.ask(opened, who, desk, ("desk", "GET", "/live".to_owned()), Why::default(), dice);
            let Happening::Ask(ask) = &event.what else { continue };
            let cut = Cut {
                request: ask.request.clone(),
                principal: ask.who.principal.clone(),
                app: ask.what.app.clone(),
                cause: CutCause::Closed,
                lasted: closed.since(opened),
                delay: None,
                bytes: None,
            };
            events.push(other(closed, Record::Cut(cut)));
            events.push(event);
        }
    }

    /// Where a person sits on a day, signed in at `begins`.
    pub(crate) fn desk(&self, who: &Employee, date: Date, begins: Timestamp, away: bool, dice: &mut Dice) -> Desk {
        let last = u8::try_from(dice.between(2, 250)).unwrap_or(2);
        let ip = match (who.kind, away) {
            (Kind::Logistics, _) => [10, 30, 4, last],
            (Kind::Contractor, _) => [198, 51, 100, last],
            (_, true) => [203, 0, 113, last],
            (_, false) => [10, 20, 8, last],
        };
        let methods = methods_of(who.id.as_str(), who.kind).to_vec();
        let auth = Auth {
            session: dice.hex(16).parse().expect("hexadecimal digits are an id"),
            methods: methods.iter().copied().collect(),
            at: begins,
            until: begins + SESSION,
        };
        let device = device_of(who.id.as_str()).map(|d| self.facts(d, date, begins));
        Desk { auth, ip: ip.into(), device, methods }
    }

    fn facts(&self, device: &Device, date: Date, begins: Timestamp) -> DeviceFacts {
        let reported = match device.state {
            State::Silent => begins - Duration::from_days(9),
            _ => begins - Duration::from_mins(7),
        };
        let passed = match device.state {
            State::Silent => Check::ALL.into(),
            _ => passed(device, date).collect(),
        };
        DeviceFacts {
            id: device.id.parse().expect("device ids are ids"),
            managed: true,
            reported: Some(reported),
            max_age: self.report_max_age,
            passed,
            required: self.required.clone(),
        }
    }

    /// A person asks for something.
    pub(crate) fn ask(
        &self,
        at: Timestamp,
        who: &Employee,
        desk: &Desk,
        (app, method, path): (&'static str, &'static str, String),
        why: Why,
        dice: &mut Dice,
    ) -> Event {
        let action = self.action(app, method, &path);
        let ask = Ask {
            request: dice.hex(32).parse().expect("hexadecimal digits are an id"),
            who: Who {
                principal: Principal::Person(who.id.clone()),
                groups: who.groups.clone(),
                auth: Some(desk.auth.clone()),
            },
            what: What { app: app.parse().expect("application ids are ids"), action, method: method.to_owned(), path },
            place: Place { ip: desk.ip, network: self.network(desk.ip), country: None, device: desk.device.clone() },
            why,
            lock: None,
        };
        Event { at, what: Happening::Ask(Box::new(ask)) }
    }

    /// An instant of a day in the company's zone: minute of the day, and seconds after it.
    pub(crate) fn instant(&self, date: Date, minute: i64, seconds: i64) -> Timestamp {
        let midnight = date.to_zoned(self.zone.clone()).map_or(0, |z| z.timestamp().as_millisecond());
        // The days of the demo have 24 hours; a change of the clock shifts a day by an hour and disturbs nobody.
        Timestamp::from_millis(midnight + (minute * 60 + seconds) * 1_000)
    }
}

/// Something that happens without an ask.
pub(crate) fn other(at: Timestamp, record: Record) -> Event {
    Event { at, what: Happening::Other(Box::new(record)) }
}

/// A session begins or ends.
pub(crate) fn session(at: Timestamp, who: &Employee, desk: &Desk, event: SessionEventKind) -> Event {
    let record = SessionEvent {
        session: desk.auth.session.clone(),
        person: who.id.clone(),
        event,
        methods: desk.methods.clone(),
        device: desk.device.as_ref().map(|d| d.id.clone()),
        ip: desk.ip,
    };
    other(at, Record::Session(record))
}

/// The checks that a device passes on a day.
fn passed(device: &Device, date: Date) -> impl Iterator<Item = Check> {
    let still_well = device.state == State::OldProtection && (date.month(), date.day()) < PROTECTION_STOPPED;
    if still_well { State::Well.passed() } else { device.state.passed() }
}

/// From when until when a person works on a day, in minutes of it.
fn works(who: &Employee, date: Date, dice: &mut Dice) -> Option<(i64, i64)> {
    let (from, to, _) = who.kind.hours();
    let (from, to) = (from + dice.between(-14, 18), to + dice.between(-25, 20));
    let absent = dice.chance(5);
    let weekend = matches!(date.weekday(), Weekday::Saturday | Weekday::Sunday);
    match who.kind {
        Kind::Logistics => {
            let late = (date.iso_week_date().week() + i8::try_from(who.id.as_str().len() % 2).unwrap_or(0)) % 2 == 0;
            match date.weekday() {
                Weekday::Sunday => None,
                Weekday::Saturday => dice.chance(50).then_some((from + 60, from + 7 * 60)),
                _ if absent => None,
                _ if late => Some((from + 8 * 60, to + 7 * 60 + 30)),
                _ => Some((from, to)),
            }
        }
        _ if weekend => None,
        // One of the contractors has not been seen since spring.
        Kind::Contractor => (who.id.as_str() != "ivan" && dice.chance(45)).then_some((from, to)),
        Kind::Board => dice.chance(70).then_some((from, to)),
        _ => (!absent).then_some((from, to)),
    }
}

/// A minute of work: rarely at lunch.
fn busy_minute(from: i64, to: i64, dice: &mut Dice) -> i64 {
    let minute = dice.between(from, to);
    let lunch = (12 * 60..13 * 60).contains(&minute);
    if lunch && dice.chance(70) { dice.between(from, to) } else { minute }
}

/// What a person wants next.
fn want(who: &Employee, date: Date, dice: &mut Dice) -> Option<(&'static str, &'static str, String)> {
    let person = who.id.as_str();
    if who.kind == Kind::It && ["mira", "jonas"].contains(&person) && dice.chance(14) {
        let pages = ["/console", "/console/watch", "/console/map", "/console/policy", "/console/people"];
        return Some(("safeconduct", "GET", (*dice.pick(&pages)?).to_owned()));
    }
    if person == "ada" && closing(date) && dice.chance(22) {
        return Some(("q3-finance", "GET", (*dice.pick(&["/", "/ledger", "/accruals"])?).to_owned()));
    }
    if person == "ines" && date.weekday() == Weekday::Monday && dice.chance(5) {
        return Some(("crm", "GET", "/export/pipeline.csv".to_owned()));
    }
    let wants = who.kind.wants();
    let mut at = dice.below(wants.iter().map(|w| w.weight).sum());
    let want = wants.iter().find(|w| {
        let here = at < w.weight;
        at = at.saturating_sub(w.weight);
        here
    })?;
    // The busy days of payroll are those before the run; on the others it is looked at now and then.
    if want.app == "payroll" && !(18..=28).contains(&date.day()) && !dice.chance(30) {
        return None;
    }
    // Accountants write the monthly reports around the turn of the month.
    if want.app == "reports" && who.kind == Kind::Accountant && (8..=23).contains(&date.day()) && !dice.chance(60) {
        return None;
    }
    if person == "ada" && want.app == "crm" {
        return None;
    }
    let pages = ["onboarding", "travel", "security", "close", "hall-2", "erp"];
    let path = want
        .path
        .replace("{c}", &format!("{}", 1_001 + dice.below(12)))
        .replace("{n}", &format!("{}", 2_200 + dice.below(40)))
        .replace("{p}", dice.pick(&pages)?);
    Some((want.app, want.method, path))
}

/// Whether a quarter is being closed.
fn closing(date: Date) -> bool {
    date.month() % 3 == 0 && date.day() >= 23
}

/// What for.
fn purpose(app: &str, who: &Employee, dice: &mut Dice) -> Why {
    let purpose = match app {
        // Now and then she forgets, is told, and states it.
        "q3-finance" if who.id.as_str() == "ada" && !dice.chance(6) => "quarter-end-close",
        "payroll" if who.kind == Kind::People => "payroll-run",
        _ => return Why::default(),
    };
    Why { stated: Some(Stated { purpose: purpose.to_owned(), ticket: None }), grant: None }
}
