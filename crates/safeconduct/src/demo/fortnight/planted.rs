//! Things worth finding, put among the days on purpose.

use jiff::civil::Date;
use safeconduct_model::{
    Change, Cut, CutCause, Duration, Reason, Record, Refusal, SessionEvent, SessionEventKind, Stated, Why,
};

use super::Simulation;
use super::day::{Event, Happening, other, session};
use crate::demo::dice::Dice;

/// The month of the story.
const SEPTEMBER: i8 = 9;
/// The year of the story.
const YEAR: i16 = 2_026;

/// A minute of the day.
const fn at(hour: i64, minute: i64) -> i64 {
    hour * 60 + minute
}

impl Simulation {
    /// What happens on a day beside the usual.
    pub(crate) fn planted(&self, date: Date, events: &mut Vec<Event>) {
        if date == self.first {
            self.opening(date, events);
        }
        if (date.year(), date.month()) != (YEAR, SEPTEMBER) {
            return;
        }
        let mut dice = Dice::for_purpose(self.seed, &format!("planted {date}"));
        match date.day() {
            // The whole customer base, at night, by a contractor, from a device that nobody knows.
            24 => {
                let asks = [("GET", "/"), ("GET", "/export/customers.csv"), ("GET", "/export/customers.csv")];
                self.visit("gus", date, at(1, 12), 90, "crm", &asks, &Why::default(), &mut dice, events);
            }
            // Somebody of sales reads customer after customer at night.
            22 | 28 => {
                let ids: Vec<String> = (1_001..=1_012).map(|n| format!("/customers/{n}")).collect();
                let asks: Vec<(&'static str, &str)> = ids.iter().map(|id| ("GET", id.as_str())).collect();
                self.visit("quinn", date, at(23, 8), 35, "crm", &asks, &Why::default(), &mut dice, events);
            }
            // Somebody of IT tries the door of payroll again and again.
            25 => {
                let asks: Vec<(&'static str, &str)> =
                    ["/", "/runs/2209", "/export", "/runs/2210", "/people", "/", "/runs/2209", "/bank", "/"]
                        .into_iter()
                        .map(|path| ("GET", path))
                        .collect();
                let why = Why { stated: Some(Stated { purpose: "maintenance".into(), ticket: None }), grant: None };
                self.visit("pavel", date, at(19, 41), 21, "payroll", &asks, &why, &mut dice, events);
            }
            // Another accountant looks whether the quarter is open to everybody.
            23 => self.visit(
                "bruno",
                date,
                at(10, 22),
                15,
                "q3-finance",
                &[("GET", "/"), ("GET", "/ledger")],
                &Why::default(),
                &mut dice,
                events,
            ),
            // A contractor looks beyond the project.
            17 => self.visit(
                "hana",
                date,
                at(11, 5),
                30,
                "wiki",
                &[("GET", "/pages/security"), ("GET", "/pages/close")],
                &Why::default(),
                &mut dice,
                events,
            ),
            // Somebody guesses the password of a board member.
            19 => self.guesses("emil", date, &mut dice, events),
            // A stream is cut because a workstation lost its protection; and something knocks from outside.
            18 => {
                self.lost_protection(date, &mut dice, events);
                self.knocks(date, &mut dice, events);
            }
            _ => {}
        }
    }

    /// The devices become known, and the first rules bind.
    fn opening(&self, date: Date, events: &mut Vec<Event>) {
        let change = |verb: &str, object: &str, detail: &str| {
            Record::Change(Change {
                by: "mira".into(),
                verb: verb.into(),
                object: object.into(),
                detail: detail.into(),
                app: None,
                action: None,
            })
        };
        let devices = super::staff::DEVICES.iter().zip(0..);
        let all = devices.map(|(d, n)| (n, change("device.enrol", d.id, &format!("{}, managed", d.id))));
        let first = self.instant(date, at(4, 20), 0).max(self.from);
        events.extend(all.map(|(n, record)| other(first + Duration::from_secs(n), record)));
        events.push(other(first + Duration::from_mins(2), change("policy.publish", "revision 1", "the first rules")));
    }

    #[expect(clippy::too_many_arguments, reason = "a visit is exactly this")]
    fn visit(
        &self,
        person: &str,
        date: Date,
        minute: i64,
        every: i64,
        app: &'static str,
        asks: &[(&'static str, &str)],
        why: &Why,
        dice: &mut Dice,
        events: &mut Vec<Event>,
    ) {
        let Some(who) = self.staff.iter().find(|e| e.id.as_str() == person) else { return };
        let begins = self.instant(date, minute, 0);
        let desk = self.desk(who, date, begins, true, dice);
        events.push(session(begins, who, &desk, SessionEventKind::Began));
        let mut now = begins;
        for (method, path) in asks {
            now = now + Duration::from_secs(dice.between(every / 2, every).unsigned_abs().max(1));
            events.push(self.ask(now, who, &desk, (app, method, (*path).to_owned()), why.clone(), dice));
        }
        events.push(session(now + Duration::from_mins(1), who, &desk, SessionEventKind::SignedOut));
    }

    fn guesses(&self, person: &str, date: Date, dice: &mut Dice, events: &mut Vec<Event>) {
        for n in 0..7 {
            let record = SessionEvent {
                session: "none".parse().expect("a fixed id is valid"),
                person: person.parse().expect("a fixed id is valid"),
                event: SessionEventKind::Failed,
                methods: vec![],
                device: None,
                ip: [192, 0, 2, 77].into(),
            };
            events.push(other(self.instant(date, at(3, 30) + n, dice.between(0, 59)), Record::Session(record)));
        }
    }

    fn lost_protection(&self, date: Date, dice: &mut Dice, events: &mut Vec<Event>) {
        let Some(who) = self.staff.iter().find(|e| e.id.as_str() == "wim") else { return };
        let begins = self.instant(date, at(18, 2), 0);
        let desk = self.desk(who, date, begins, false, dice);
        events.push(session(begins, who, &desk, SessionEventKind::Began));
        let opened = begins + Duration::from_secs(30);
        let event = self.ask(opened, who, &desk, ("desk", "GET", "/live".to_owned()), Why::default(), dice);
        if let Happening::Ask(ask) = &event.what {
            let lasted = Duration::from_mins(11);
            let cut = Cut {
                request: ask.request.clone(),
                principal: ask.who.principal.clone(),
                app: ask.what.app.clone(),
                cause: CutCause::DeviceChanged,
                lasted,
                delay: Some(Duration::from_millis(14)),
                bytes: None,
            };
            events.push(other(opened + lasted, Record::Cut(cut)));
        }
        events.push(event);
        events.push(session(begins + Duration::from_mins(20), who, &desk, SessionEventKind::SignedOut));
    }

    fn knocks(&self, date: Date, dice: &mut Dice, events: &mut Vec<Event>) {
        let kinds = [
            (Reason::UnknownApplication, "unknown_host"),
            (Reason::BadRequest, "two_content_lengths"),
            (Reason::BadRequest, "encoded_slash"),
            (Reason::UnknownApplication, "unknown_host"),
        ];
        for (n, (reason, detail)) in kinds.into_iter().cycle().take(24).enumerate() {
            let refusal = Refusal {
                request: dice.hex(32).parse().expect("hexadecimal digits are an id"),
                ip: [192, 0, 2, 140].into(),
                reason,
                detail: detail.into(),
                app: None,
            };
            let seconds = i64::try_from(n * 3).unwrap_or(0);
            events.push(other(self.instant(date, at(4, 11), seconds), Record::Refusal(refusal)));
        }
    }
}
