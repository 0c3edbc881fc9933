//! A backend of sample data, for the preview and the tests: a trading company with a fortnight behind it.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::type_complexity,
    clippy::too_many_lines,
    reason = "shared by a test and an example; sample data is long"
)]

use std::collections::BTreeSet;

use futures_util::stream;
use safeconduct_access::Visitor;
use safeconduct_console::{Answer, Backend, Events, Trouble, view::*};
use safeconduct_model::{
    Action, AppId, AssetKind, Auth, Check, Class, ConnectorName, CutCause, DeviceId, Duration, Failing, Method, Mode,
    PersonId, Reason, Remedy, SessionId, Timestamp,
};

/// The instant at which the sample is looked at.
pub const NOW: i64 = 1_790_776_920_000 + 11 * 60_000;
/// The form token of the sample visitor.
pub const CSRF: &str = "csrf-token-of-the-sample";

const CEDAR: &str = r#"@id("q3-close")
permit (
  principal in Group::"accountants",
  action == Action::"read",
  resource == Application::"q3-finance"
) when {
  // from a managed laptop with current endpoint protection
  context.device.managed &&
  context.device.passed.contains("endpoint_protection") &&
  context.weekday >= 1 && context.weekday <= 5 &&
  context.minute >= 480 && context.minute < 1080 &&
  context.purpose == "quarter-end-close"
};
"#;

const APPS: [(&str, &str, Mode, Class, Option<(&str, &str)>, u64); 8] = [
    ("q3-finance", "Q3 ledger", Mode::Enforce, Class::Critical, Some(("ines", "Ines Moreau")), 3),
    ("payroll", "Payroll", Mode::Enforce, Class::Critical, Some(("ines", "Ines Moreau")), 2),
    ("crm", "Customers", Mode::Enforce, Class::High, Some(("tomasz", "Tomasz Zieliński")), 4),
    ("wiki", "Wiki", Mode::Observe, Class::Low, Some(("ada", "Ada Lovelace")), 0),
    ("desk", "Trading desk", Mode::Enforce, Class::High, Some(("bo", "Bo Lindqvist")), 3),
    ("git", "Source code", Mode::Observe, Class::High, None, 0),
    ("stock", "Warehouse stock", Mode::Observe, Class::Moderate, Some(("yusuf", "Yusuf Demir")), 1),
    ("chat", "Team chat", Mode::Enforce, Class::Moderate, Some(("ada", "Ada Lovelace")), 1),
];

/// Sample data: full, empty, hostile (every name tries to be markup), or ten times as much.
#[derive(Clone, Copy, Default)]
pub struct Sample {
    pub empty: bool,
    pub hostile: bool,
    pub big: bool,
}

fn t(ms_ago: u64) -> Timestamp {
    Timestamp::from_millis(NOW) - Duration::from_millis(ms_ago)
}
fn mins(n: u64) -> Timestamp {
    t(n * 60_000)
}
fn days(n: u64) -> Timestamp {
    t(n * 86_400_000)
}
fn id<T: std::str::FromStr>(text: &str) -> T
where
    T::Err: std::fmt::Debug,
{
    text.parse().expect("a sample id is canonical")
}

pub fn visitor(operator: bool) -> Visitor {
    Visitor {
        person: id("ada"),
        name: "Ada Lovelace".into(),
        auth: Auth {
            session: id("s-81"),
            methods: [Method::Passkey].into(),
            at: mins(50),
            until: mins(0) + Duration::from_hours(7),
        },
        device: Some(id("lt-07")),
        csrf: CSRF.into(),
        operator,
    }
}

impl Sample {
    /// A name as it comes from outside.
    fn n(self, text: &str) -> String {
        if self.hostile {
            format!("{text}<script>alert(1)</script>\"'><img src=x onerror=alert(1)>")
        } else {
            text.to_owned()
        }
    }
    fn who(self, pid: &str, name: &str) -> Link {
        Link::person(&id(pid), self.n(name))
    }
    fn app_link(self, aid: &str) -> Link {
        let name = APPS.iter().find(|a| a.0 == aid).map_or(aid, |a| a.1);
        Link::app(&id(aid), self.n(name))
    }
    fn list<T>(self, rows: Vec<T>) -> Vec<T> {
        if self.empty { Vec::new() } else { rows }
    }
    fn times(self) -> u64 {
        if self.big { 10 } else { 1 }
    }

    fn verdicts(self) -> Vec<VerdictRow> {
        let row = |i: u64, answered, who: (&str, &str), app: &str, action, what: &str, device: Option<&str>, reason| {
            VerdictRow {
                seq: 48_213 - i,
                at: t(i * 21_000 + 4_000),
                answered,
                who: self.who(who.0, who.1),
                app: self.app_link(app),
                action,
                what: self.n(what),
                device: device.map(|d| Link::device(&id(d), self.n(d))),
                reason,
                took_us: 38 + u32::try_from(i * 7 % 90).unwrap_or(0),
            }
        };
        use Action::{Read, Write};
        let mut all = Vec::new();
        for k in 0..5 * self.times() {
            let i = k * 8;
            all.extend([
                row(
                    i,
                    Answered::Allowed,
                    ("ada", "Ada Lovelace"),
                    "q3-finance",
                    Some(Read),
                    "GET /reports/q3",
                    Some("lt-07"),
                    None,
                ),
                row(
                    i + 1,
                    Answered::Denied,
                    ("marek", "Marek Novák"),
                    "q3-finance",
                    Some(Read),
                    "GET /reports/q3",
                    Some("byod-3"),
                    Some(Reason::DeviceNotManaged),
                ),
                row(
                    i + 2,
                    Answered::Allowed,
                    ("bo", "Bo Lindqvist"),
                    "desk",
                    Some(Write),
                    "GET /stream (WebSocket)",
                    Some("ws-02"),
                    None,
                ),
                row(
                    i + 3,
                    Answered::WouldDeny,
                    ("lin", "Lin Wei"),
                    "wiki",
                    Some(Read),
                    "GET /pages/onboarding",
                    None,
                    Some(Reason::NoRule),
                ),
                row(
                    i + 4,
                    Answered::Allowed,
                    ("tomasz", "Tomasz Zieliński"),
                    "crm",
                    Some(Write),
                    "POST /accounts/4711/notes",
                    Some("lt-12"),
                    None,
                ),
                row(
                    i + 5,
                    Answered::Refused,
                    ("nobody", "nobody"),
                    "crm",
                    None,
                    "GET /..%2f..%2fetc/passwd",
                    None,
                    Some(Reason::BadRequest),
                ),
                row(
                    i + 6,
                    Answered::Denied,
                    ("ines", "Ines Moreau"),
                    "payroll",
                    Some(Write),
                    "PUT /runs/2026-09",
                    Some("lt-03"),
                    Some(Reason::OutsideHours),
                ),
                row(
                    i + 7,
                    Answered::WouldDeny,
                    ("yusuf", "Yusuf Demir"),
                    "git",
                    Some(Read),
                    "GET /warehouse/robots.git/info/refs",
                    Some("lt-19"),
                    Some(Reason::NoRule),
                ),
            ]);
        }
        self.list(all)
    }

    fn sessions(self) -> Vec<SessionRow> {
        let row =
            |sid: &str, who: (&str, &str), device: Option<&str>, methods: &[Method], apps: &[(&str, u64)]| SessionRow {
                id: id(sid),
                person: self.who(who.0, who.1),
                device: device.map(|d| Link::device(&id(d), self.n(d))),
                methods: methods.to_vec(),
                since: mins(50),
                until: mins(0) + Duration::from_hours(7),
                ip: "10.20.4.17".parse().expect("address"),
                connections: apps.iter().map(|(a, n)| (self.app_link(a), *n)).collect(),
            };
        self.list(vec![
            row("s-81", ("ada", "Ada Lovelace"), Some("lt-07"), &[Method::Passkey], &[("q3-finance", 2), ("chat", 1)]),
            row("s-82", ("bo", "Bo Lindqvist"), Some("ws-02"), &[Method::Passkey], &[("desk", 1)]),
            row("s-90", ("marek", "Marek Novák"), None, &[Method::Password, Method::Totp], &[]),
        ])
    }

    fn cuts(self) -> Vec<CutRow> {
        let row = |seq, who: (&str, &str), app: &str, cause, lasted, delay: Option<u64>| CutRow {
            seq,
            at: mins(48_300 - seq),
            who: self.who(who.0, who.1),
            app: self.app_link(app),
            cause,
            lasted: Duration::from_secs(lasted),
            delay: delay.map(Duration::from_millis),
        };
        self.list(vec![
            row(48_190, ("bo", "Bo Lindqvist"), "desk", CutCause::DeviceChanged, 5_120, Some(41)),
            row(47_020, ("marek", "Marek Novák"), "crm", CutCause::SessionEnded, 610, Some(18)),
            row(46_411, ("lin", "Lin Wei"), "chat", CutCause::Closed, 86, None),
        ])
    }

    fn device_rows(self) -> Vec<DeviceRow> {
        let row =
            |did: &str, name: &str, who: Option<(&str, &str)>, managed, failing: &[Check], reported: Option<u64>| {
                DeviceRow {
                    id: id(did),
                    name: self.n(name),
                    owner: who.map(|w| self.who(w.0, w.1)),
                    managed,
                    compliant: failing.is_empty() && reported.is_some(),
                    reported: reported.map(mins),
                    failing: failing.iter().copied().collect(),
                    last: reported.map(mins),
                }
            };
        let mut all = vec![
            row("lt-07", "Ada's laptop", Some(("ada", "Ada Lovelace")), true, &[], Some(3)),
            row(
                "ws-02",
                "Desk workstation 2",
                Some(("bo", "Bo Lindqvist")),
                true,
                &[Check::EndpointProtection],
                Some(9),
            ),
            row("lt-12", "Tomasz's laptop", Some(("tomasz", "Tomasz Zieliński")), true, &[], Some(6)),
            row(
                "byod-3",
                "Marek's own tablet",
                Some(("marek", "Marek Novák")),
                false,
                &[Check::DiskEncrypted, Check::OsCurrent],
                None,
            ),
        ];
        for i in 0..self.times() * 18 {
            all.push(row(&format!("lt-{}", 20 + i), &format!("Laptop {}", 20 + i), None, true, &[], Some(4 + i % 9)));
        }
        self.list(all)
    }

    fn app_row(self, i: usize) -> AppRow {
        let (aid, name, mode, class, owner, rules) = APPS[i % APPS.len()];
        let covered =
            if mode == Mode::Enforce { Share::new(9_812 - i as u64 * 400, 10_040) } else { Share::new(0, 3_412) };
        AppRow {
            id: id(aid),
            name: self.n(name),
            address: format!("https://{aid}.halden.example/"),
            mode,
            class,
            owner: owner.map(|o| self.who(o.0, o.1)),
            rules,
            people: 12 + i as u64 * 3,
            covered,
        }
    }

    fn person_row(self, i: usize) -> PersonRow {
        const PEOPLE: [(&str, &str, &str); 8] = [
            ("ada", "Ada Lovelace", "accountants"),
            ("bo", "Bo Lindqvist", "traders"),
            ("ines", "Ines Moreau", "finance-leads"),
            ("lin", "Lin Wei", "engineers"),
            ("marek", "Marek Novák", "contractors"),
            ("tomasz", "Tomasz Zieliński", "sales"),
            ("yusuf", "Yusuf Demir", "warehouse"),
            ("zoe", "Zoë Okonkwo", "engineers"),
        ];
        let (pid, name, group) = PEOPLE[i % PEOPLE.len()];
        PersonRow {
            id: if i < PEOPLE.len() { id(pid) } else { id(&format!("{pid}-{i}")) },
            name: self.n(name),
            groups: vec![Link::group(&id(group), self.n(group))],
            active: i != 4,
            methods: if i.is_multiple_of(3) {
                [Method::Passkey].into()
            } else {
                [Method::Password, Method::Totp].into()
            },
            devices: 1,
            sessions: u64::from(i < 3),
            last: (i != 7).then(|| mins(i as u64 * 40)),
        }
    }

    fn facts(self) -> Vec<Fact> {
        let fact = |name: &str, value: &str, source: &str, at| Fact {
            name: name.into(),
            value: Link::plain(self.n(value)),
            source: self.n(source),
            since: at,
        };
        vec![
            fact("Name", "Ada Lovelace", "directory", Some(days(40))),
            fact("Groups", "accountants, all staff", "directory", Some(days(3))),
            fact("Last proof", "passkey", "session s-81", Some(mins(50))),
            fact("Risk", "none known", "signals", Some(mins(2))),
        ]
    }

    fn ws(self) -> FiveWs {
        FiveWs {
            who: Some(self.n("people of Accountants")),
            what: Some(self.n("read the Q3 ledger")),
            when: Some("Monday to Friday from 08:00 to 18:00".into()),
            place: Some("from a managed device with current endpoint protection".into()),
            why: Some(self.n("for the quarter-end close")),
        }
    }

    fn cedar(self) -> String {
        if self.hostile { format!("{CEDAR}// <script>alert(1)</script>") } else { CEDAR.to_owned() }
    }

    fn failing(self) -> Vec<Failing> {
        vec![Failing {
            condition: "context.device.passed.contains(\"endpoint_protection\")".into(),
            words: self.n("The device has current endpoint protection."),
            found: self.n("the report of 14:01 says that it is off"),
        }]
    }

    fn usage(self) -> Vec<Usage> {
        self.list(vec![
            Usage { other: self.app_link("q3-finance"), allowed: 412, denied: 3, last: Some(mins(2)) },
            Usage { other: self.app_link("wiki"), allowed: 98, denied: 0, last: Some(mins(200)) },
        ])
    }

    fn my_devices_list(self) -> Vec<MyDevice> {
        self.list(vec![
            MyDevice {
                id: "lt-07".into(),
                name: self.n("Ada's laptop"),
                this: true,
                managed: true,
                compliant: true,
                reported: Some(mins(3)),
                failing: vec![],
            },
            MyDevice {
                id: "ph-7".into(),
                name: self.n("Phone"),
                this: false,
                managed: false,
                compliant: false,
                reported: Some(mins(400)),
                failing: vec![Check::OsCurrent, Check::ScreenLock],
            },
        ])
    }
}

fn ok<'a, T: Send + 'a>(value: T) -> Answer<'a, T> {
    Box::pin(async move { Ok(value) })
}
fn done<'a>(title: &str) -> Answer<'a, Done> {
    ok(Done {
        title: title.into(),
        details: vec!["2 connections ended after 18 and 21 ms.".into()],
        next: Link::to("Back to Watch", "/console/watch"),
    })
}
fn redirect<'a>(to: &str) -> Answer<'a, Outcome> {
    ok(Outcome::Redirect { to: to.into(), cookies: vec!["__Host-session=x; Path=/; Secure; HttpOnly".into()] })
}

impl Backend for Sample {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(NOW)
    }
    fn organisation(&self) -> String {
        self.n("Halden Trading")
    }
    fn safe_return(&self, wanted: &str) -> String {
        let ours = wanted.starts_with('/') || wanted.starts_with("https://q3-finance.halden.example/");
        if ours { wanted.to_owned() } else { "/".to_owned() }
    }

    fn overview<'a>(&'a self, _: &'a Visitor) -> Answer<'a, Overview> {
        let step = |room, of, all, words: &str| Step {
            room,
            done: if self.empty { Share::new(0, 0) } else { Share::new(of, all) },
            words: self.n(words),
        };
        let figure = |code: &str, name: &str, measure, better, trend: &[f64]| Figure {
            code: code.into(),
            name: self.n(name),
            measure,
            better,
            trend: trend.to_vec(),
            meaning: self.n("what exactly is counted"),
        };
        let share = |of, all| Measure::Share(Share::new(of, all));
        let unknown = |s: &str| Measure::Unknown { source: self.n(s) };
        ok(Overview {
            steps: vec![
                step(Room::Protect, 11, 12, "assets with an owner"),
                step(Room::Map, 8, 8, "applications mapped"),
                step(Room::Build, 8, 9, "applications behind the gateway"),
                step(Room::Policy, 5, 8, "applications enforced"),
                step(Room::Watch, 1_204, 1_204, "verdicts today explained"),
            ],
            next: self.list(vec![
                Move {
                    title: self.n("Write the first rule for the wiki"),
                    because: self.n(
                        "29 people used it in 14 days and 3 412 requests had no rule; a proposal covers 98 % of them.",
                    ),
                    action: Link::to("See the proposal", "/console/policy/proposals/p-14"),
                },
                Move {
                    title: self.n("Name an owner for Source code"),
                    because: "Nobody answers for it.".into(),
                    action: Link::to("Protect", "/console/protect"),
                },
                Move {
                    title: self.n("Look at 2 devices that stopped reporting"),
                    because: "Their people are denied by 3 rules.".into(),
                    action: Link::to("Devices", "/console/devices"),
                },
            ]),
            figures: self.list(vec![
                figure(
                    "K01",
                    "Applications with enforced policy",
                    share(5, 8),
                    Better::Higher,
                    &[1.0, 2.0, 2.0, 3.0, 4.0, 5.0],
                ),
                figure(
                    "K03",
                    "Requests decided with a device fact",
                    share(9_310, 11_204),
                    Better::Higher,
                    &[0.4, 0.5, 0.52, 0.7, 0.8, 0.83],
                ),
                figure(
                    "K05",
                    "Decisions that explain themselves",
                    share(11_204, 11_204),
                    Better::Higher,
                    &[1.0, 1.0, 1.0, 1.0],
                ),
                figure(
                    "K10p",
                    "Privileged people with several factors",
                    share(4, 4),
                    Better::Higher,
                    &[0.5, 0.75, 1.0, 1.0],
                ),
                figure(
                    "K11",
                    "Sign-ins that resist phishing",
                    share(31, 40),
                    Better::Higher,
                    &[0.2, 0.4, 0.5, 0.6, 0.72, 0.78],
                ),
                figure("K20", "Standing privileged grants", share(1, 9), Better::Lower, &[0.9, 0.5, 0.4, 0.3, 0.11]),
                figure("K23", "Granted and unused", share(14, 96), Better::Lower, &[0.1, 0.12, 0.11, 0.15]),
                figure(
                    "K26",
                    "Change to cut, 95th percentile",
                    Measure::Span { span: Duration::from_millis(41), cases: 18 },
                    Better::Lower,
                    &[120.0, 80.0, 44.0, 41.0],
                ),
                figure("K41", "Paths that bypass the gateway", unknown("a flow sensor"), Better::Lower, &[]),
                figure("K74", "Attack tests stopped", unknown("an attack test run"), Better::Higher, &[]),
            ]),
            today: if self.empty {
                Today::default()
            } else {
                Today { allowed: 9_871, denied: 112, would_deny: 1_221, cut: 3, sessions: 17 }
            },
        })
    }

    fn protect<'a>(&'a self, _: &'a Visitor) -> Answer<'a, Protect> {
        let row = |aid: &str, name: &str, kind, class, owner: Option<(&str, &str)>, apps: &[&str], exposure, people| {
            AssetRow {
                id: id(aid),
                name: self.n(name),
                note: self.n("What it is, in one sentence."),
                kind,
                class,
                owner: owner.map(|o| self.who(o.0, o.1)),
                apps: apps.iter().map(|a| self.app_link(a)).collect(),
                exposure,
                people,
                last: (people > 0).then(|| mins(4)),
            }
        };
        use Exposure::{Enforced, Observed, Unknown};
        let mut assets = vec![
            row(
                "ledger-data",
                "General ledger",
                AssetKind::Data,
                Class::Critical,
                Some(("ines", "Ines Moreau")),
                &["q3-finance"],
                Enforced,
                6,
            ),
            row(
                "salaries",
                "Salaries",
                AssetKind::Data,
                Class::Critical,
                Some(("ines", "Ines Moreau")),
                &["payroll"],
                Enforced,
                3,
            ),
            row(
                "customers",
                "Customer records",
                AssetKind::Data,
                Class::High,
                Some(("tomasz", "Tomasz Zieliński")),
                &["crm"],
                Enforced,
                14,
            ),
            row(
                "orders",
                "Order book",
                AssetKind::Data,
                Class::High,
                Some(("bo", "Bo Lindqvist")),
                &["desk"],
                Enforced,
                9,
            ),
            row("source", "Source code", AssetKind::Data, Class::High, None, &["git"], Observed, 8),
            row(
                "handbook",
                "Handbook",
                AssetKind::Data,
                Class::Low,
                Some(("ada", "Ada Lovelace")),
                &["wiki"],
                Observed,
                29,
            ),
            row(
                "stock-levels",
                "Stock levels",
                AssetKind::Data,
                Class::Moderate,
                Some(("yusuf", "Yusuf Demir")),
                &["stock"],
                Observed,
                11,
            ),
            row(
                "backup",
                "Backup server",
                AssetKind::Asset,
                Class::Critical,
                Some(("lin", "Lin Wei")),
                &[],
                Unknown,
                0,
            ),
            row("dns", "Name service", AssetKind::Service, Class::High, Some(("lin", "Lin Wei")), &[], Unknown, 0),
        ];
        if self.big {
            for i in 0..120 {
                assets.push(row(
                    &format!("a-{i}"),
                    &format!("Asset {i}"),
                    AssetKind::Asset,
                    Class::Low,
                    None,
                    &[],
                    Unknown,
                    0,
                ));
            }
        }
        ok(Protect { assets: self.list(assets) })
    }

    fn map<'a>(&'a self, _: &'a Visitor, query: &'a MapQuery) -> Answer<'a, Map> {
        use Action::{Read, Write};
        let group = |g: &str, name: &str| Asker {
            key: format!("group:{g}"),
            name: Link::group(&id(g), self.n(name)),
            group: true,
        };
        let flow = |who: Asker, via, app: &str, action, people, (allowed, would_deny, denied), new| Flow {
            who,
            via,
            app: id(app),
            action,
            people,
            allowed,
            would_deny,
            denied,
            first: days(13),
            last: mins(4),
            new,
        };
        let (acc, fin, tra, sal, war, eng) = (
            group("accountants", "Accountants"),
            group("finance-leads", "Finance leads"),
            group("traders", "Traders"),
            group("sales", "Sales"),
            group("warehouse", "Warehouse"),
            group("engineers", "Engineers"),
        );
        let marek = Asker { key: "person:marek".into(), name: self.who("marek", "Marek Novák"), group: false };
        use Via::{Compliant, Failing, Unknown, Unmanaged};
        let mut flows = vec![
            flow(acc.clone(), Compliant, "q3-finance", Read, 5, (4_120, 0, 0), false),
            flow(acc.clone(), Failing, "q3-finance", Read, 2, (0, 0, 41), false),
            flow(acc.clone(), Compliant, "wiki", Read, 5, (0, 610, 0), false),
            flow(fin.clone(), Compliant, "q3-finance", Write, 2, (310, 0, 0), false),
            flow(fin, Compliant, "payroll", Write, 2, (122, 0, 6), false),
            flow(tra.clone(), Compliant, "desk", Write, 7, (8_214, 0, 0), false),
            flow(tra, Failing, "desk", Write, 1, (0, 0, 12), false),
            flow(sal.clone(), Compliant, "crm", Write, 9, (2_900, 0, 0), false),
            flow(sal, Unmanaged, "wiki", Read, 3, (0, 130, 0), false),
            flow(war.clone(), Compliant, "stock", Write, 8, (0, 1_904, 0), false),
            flow(war, Compliant, "git", Read, 1, (0, 14, 0), true),
            flow(eng.clone(), Compliant, "git", Write, 6, (0, 5_020, 0), false),
            flow(eng.clone(), Compliant, "wiki", Write, 6, (0, 802, 0), false),
            flow(eng, Compliant, "chat", Write, 6, (1_880, 0, 0), false),
            flow(acc, Compliant, "chat", Write, 5, (640, 0, 0), false),
            flow(marek.clone(), Unmanaged, "q3-finance", Read, 1, (0, 0, 19), true),
            flow(marek.clone(), Unmanaged, "crm", Read, 1, (22, 0, 0), true),
            flow(marek, Unknown, "chat", Read, 1, (0, 0, 9), false),
        ];
        if self.big {
            for i in 0..90_u64 {
                let who = Asker {
                    key: format!("person:p{i}"),
                    name: Link::person(&id(&format!("p{i}")), self.n(&format!("Person {i}"))),
                    group: false,
                };
                flows.push(flow(
                    who,
                    Compliant,
                    APPS[(i * 7 % 8) as usize].0,
                    Read,
                    1,
                    (i * 3 % 200, i % 5, i % 3),
                    i % 11 == 0,
                ));
            }
        }
        let flows: Vec<Flow> = flows
            .into_iter()
            .filter(|f| {
                query.app.as_deref().is_none_or(|a| f.app.as_str() == a)
                    && query.group.as_deref().is_none_or(|g| f.who.key == format!("group:{g}"))
            })
            .collect();
        let asset = |app: &str| -> Vec<MapAsset> {
            let all: &[(&str, &str, Class)] = match app {
                "q3-finance" => &[("ledger-data", "General ledger", Class::Critical)],
                "payroll" => {
                    &[("salaries", "Salaries", Class::Critical), ("ledger-data", "General ledger", Class::Critical)]
                }
                "crm" => &[("customers", "Customer records", Class::High)],
                "desk" => &[("orders", "Order book", Class::High), ("customers", "Customer records", Class::High)],
                "wiki" => &[("handbook", "Handbook", Class::Low)],
                "git" => &[("source", "Source code", Class::High)],
                "stock" => &[("stock-levels", "Stock levels", Class::Moderate)],
                _ => &[],
            };
            all.iter().map(|(a, n, c)| MapAsset { id: id(a), name: self.n(n), class: *c }).collect()
        };
        let apps = APPS
            .iter()
            .map(|a| MapApp { id: id(a.0), name: self.n(a.1), mode: a.2, assets: asset(a.0), rules: a.5 })
            .collect();
        ok(Map {
            apps: self.list(apps),
            requests: if self.empty { 0 } else { flows.iter().map(|f| f.allowed + f.would_deny + f.denied).sum() },
            flows: self.list(flows),
            groups: self
                .list(vec![("accountants".into(), self.n("Accountants")), ("traders".into(), self.n("Traders"))]),
        })
    }

    fn policy<'a>(&'a self, _: &'a Visitor) -> Answer<'a, Policy> {
        let rule = |rid: &str, effect, sentence, cedar: String, app: &str, mode, matches, last| RuleRow {
            id: id(rid),
            stage: (effect == Effect::Forbid).then(|| "canary, binds 10 of 100 people".to_owned()),
            effect,
            sentence,
            cedar,
            apps: vec![(self.app_link(app), mode)],
            matches,
            days: 30,
            last,
            source: self.n(&format!("policies/{rid}.cedar:1")),
        };
        let contractors = FiveWs {
            who: Some(self.n("people of Contractors")),
            what: Some("open Payroll".into()),
            ..FiveWs::default()
        };
        let chat = FiveWs {
            who: Some("all staff".into()),
            what: Some("use Team chat".into()),
            place: Some("from a known device".into()),
            ..FiveWs::default()
        };
        ok(Policy {
            revision: 13,
            published: (!self.empty).then(|| (days(2), self.n("Ines Moreau"))),
            rules: self.list(vec![
                rule("q3-close", Effect::Permit, self.ws(), self.cedar(), "q3-finance", Mode::Enforce, 4_120, Some(mins(2))),
                rule("chat-staff", Effect::Permit, chat, "@id(\"chat-staff\")\npermit (\n  principal in Group::\"staff\",\n  action,\n  resource == Application::\"chat\"\n) when { context has device };".into(), "chat", Mode::Enforce, 2_520, Some(mins(1))),
                rule("no-contractors", Effect::Forbid, contractors, "@id(\"no-contractors\")\nforbid (\n  principal in Group::\"contractors\",\n  action,\n  resource == Application::\"payroll\"\n);".into(), "payroll", Mode::Enforce, 0, None),
            ]),
            tests: if self.empty { Tests::default() } else { Tests { passed: 23, failed: vec![] } },
            proposals: self.list(vec![
                ProposalRow { id: self.n("p-14"), app: self.app_link("wiki"), made: mins(12), by: self.n("observed use"), state: ProposalState::Open, rules: 2, coverage: Share::new(3_344, 3_412) },
                ProposalRow { id: "p-11".into(), app: self.app_link("chat"), made: days(2), by: "observed use".into(), state: ProposalState::Published, rules: 1, coverage: Share::new(2_520, 2_520) },
            ]),
            apps: self.list(APPS.iter().map(|a| ProposeApp {
                id: id(a.0), name: self.n(a.1), mode: a.2, rules: a.5, observed: 3_412, unmatched: if a.5 == 0 { 3_412 } else { 68 },
            }).collect()),
        })
    }

    fn proposal<'a>(&'a self, _: &'a Visitor, pid: &'a str) -> Answer<'a, Proposal> {
        if self.empty {
            return Box::pin(async { Err(Trouble::NotFound) });
        }
        let rule = |rid: &str, who: &str, what: &str| ProposedRule {
            id: self.n(rid),
            effect: Effect::Permit,
            sentence: FiveWs {
                who: Some(self.n(who)),
                what: Some(self.n(what)),
                when: Some("Monday to Friday from 07:00 to 20:00".into()),
                place: Some("from a managed device".into()),
                why: None,
            },
            cedar: self.cedar(),
            basis: self.n("From 2 610 requests of 24 people in 14 days; every one came from a managed device."),
        };
        let shift = |count, reason: Option<Reason>| Shift {
            count,
            by_person: vec![(self.who("marek", "Marek Novák"), count * 2 / 3), (self.who("lin", "Lin Wei"), count / 3)],
            by_app: vec![(self.app_link("wiki"), count)],
            examples: vec![
                Example {
                    seq: 47_912,
                    at: days(1),
                    who: self.who("marek", "Marek Novák"),
                    what: self.n("read /pages/onboarding"),
                    reason,
                },
                Example {
                    seq: 46_020,
                    at: days(3),
                    who: self.who("lin", "Lin Wei"),
                    what: "change /pages/on-call".into(),
                    reason,
                },
            ],
        };
        ok(Proposal {
            id: pid.to_owned(),
            app: self.app_link("wiki"),
            made: mins(12),
            by: self.n("observed use"),
            state: ProposalState::Open,
            rules: vec![
                rule("wiki-read", "people of All staff", "read the Wiki"),
                rule("wiki-write", "people of Engineers", "change the Wiki"),
            ],
            since: days(14),
            coverage: Share::new(3_344, 3_412),
            over_grant: Share::new(9, 78),
            measured: Some(Measured {
                splits: vec![Split {
                    train_days: 23,
                    test_days: 7,
                    under: Share::new(3, 1_204),
                    over: Share::new(11, 78),
                }],
                complexity: 34,
                least_reliability: Some(83),
                stable_after: Some(16),
                weight: 5,
                notes: vec!["cannot judge quarterly, yearly use: nothing that was observed is as long as that".into()],
                blind: vec!["whether an observed use was right".into()],
            }),
            rehearsal: Some(Rehearsal {
                from: days(30),
                to: mins(12),
                replayed: 11_204,
                newly_denied: shift(68, Some(Reason::OutsideHours)),
                newly_allowed: Shift::default(),
            }),
            tests: if !self.hostile {
                Tests { passed: 23, failed: vec![] }
            } else {
                Tests {
                    passed: 22,
                    failed: vec![TestFailure {
                        name: self.n("marek-cannot-read-the-wiki-at-night"),
                        expected: "denied: outside_hours".into(),
                        got: self.n("allowed"),
                    }],
                }
            },
            live: LiveEffect { decided_again: 7, ends: 1, people: 1 },
            enforces: true,
            barred: None,
        })
    }
    fn propose<'a>(&'a self, _: &'a Visitor, _: &'a AppId) -> Answer<'a, String> {
        ok("p-14".into())
    }
    fn publish<'a>(&'a self, _: &'a Visitor, _: &'a str) -> Answer<'a, Done> {
        done("Published revision 14: 2 rules bind for the Wiki; 1 connection ended.")
    }
    fn discard<'a>(&'a self, _: &'a Visitor, _: &'a str) -> Answer<'a, Done> {
        done("Discarded. Nothing changed.")
    }

    fn watch<'a>(&'a self, _: &'a Visitor, query: &'a WatchQuery) -> Answer<'a, Watch> {
        let verdicts: Vec<_> =
            self.verdicts().into_iter().filter(|v| query.answered.is_none_or(|a| v.answered == a)).collect();
        ok(Watch {
            total: Some(verdicts.len() as u64),
            more: !verdicts.is_empty(),
            verdicts,
            sessions: self.sessions(),
            cuts: self.cuts(),
            apps: self.list(APPS.iter().map(|a| (a.0.to_owned(), self.n(a.1))).collect()),
        })
    }
    fn events<'a>(&'a self, _: &'a Visitor, _: &'a WatchQuery) -> Answer<'a, Events> {
        let newer = |r: VerdictRow| VerdictRow { seq: r.seq + 1_000, ..r };
        let rows: Vec<_> = self.verdicts().into_iter().take(3).rev().map(newer).collect();
        ok(Box::pin(stream::iter(rows)) as Events)
    }

    fn verdict<'a>(&'a self, _: &'a Visitor, seq: u64, again: bool) -> Answer<'a, Verdict> {
        if self.empty {
            return Box::pin(async { Err(Trouble::NotFound) });
        }
        let allowed = seq.is_multiple_of(2);
        let fact = |name: &str, value: Option<&str>, source: &str, since, read, failed| ReadFact {
            name: self.n(name),
            value: value.map(|v| self.n(v)),
            source: self.n(source),
            since,
            read,
            failed,
        };
        let five = |w, answer: Link, facts| Box5 { w, answer, facts };
        let boxes = vec![
            five(
                W::Who,
                self.who("ada", "Ada Lovelace"),
                vec![
                    fact("groups", Some("accountants, all staff"), "directory", Some(days(3)), true, false),
                    fact("proven by", Some("passkey"), "session s-81", Some(mins(50)), false, false),
                ],
            ),
            five(
                W::What,
                self.app_link("q3-finance"),
                vec![
                    fact("action", Some("read"), "request method", None, true, false),
                    fact("path", Some("/reports/q3"), "request", None, false, false),
                ],
            ),
            five(
                W::When,
                Link::plain("Wednesday, 14:02"),
                vec![
                    fact("minute of day", Some("842, Europe/Oslo"), "clock", None, true, false),
                    fact("weekday", Some("3"), "clock", None, true, false),
                ],
            ),
            five(
                W::Where,
                Link::device(&id("lt-07"), self.n("Ada's laptop")),
                vec![
                    fact("managed", Some("yes"), "estate", Some(days(120)), true, false),
                    fact(
                        "endpoint protection",
                        if allowed { Some("current") } else { Some("off") },
                        "posture report",
                        Some(mins(14)),
                        true,
                        !allowed,
                    ),
                    fact("network", Some("office"), "configuration", None, false, false),
                ],
            ),
            five(
                W::Why,
                Link::plain(self.n("quarter-end close")),
                vec![
                    fact("purpose", Some("quarter-end-close"), "grant g-9", Some(days(5)), true, false),
                    fact("ticket", None, "grant g-9", Some(days(5)), false, false),
                ],
            ),
        ];
        ok(Verdict {
            answered: if allowed { Answered::Allowed } else { Answered::Denied },
            at: mins(11),
            clock: "14:02 on Wednesday, 30 September".into(),
            who: self.who("ada", "Ada Lovelace"),
            action: Action::Read,
            app: self.app_link("q3-finance"),
            request_line: self.n("GET /reports/q3"),
            device: Some(Link::device(&id("lt-07"), self.n("her managed laptop"))),
            purpose: Some(self.n("the quarter-end close")),
            mode: Mode::Enforce,
            reason: (!allowed).then_some(Reason::DeviceNotCompliant),
            boxes,
            rules: vec![SpokenRule {
                rule: Link::rule(&id("q3-close")),
                effect: Effect::Permit,
                held: allowed,
                cedar: self.cedar(),
                failing: if allowed { vec![] } else { self.failing() },
            }],
            remedies: if allowed { vec![] } else { self.remedies() },
            lease: allowed.then(|| Lease {
                rests_on: vec![
                    Link::plain(self.n("session s-81")),
                    Link::device(&id("lt-07"), "posture of lt-07"),
                    Link::rule(&id("q3-close")),
                ],
                until: mins(0) + Duration::from_mins(47),
                ended: None,
            }),
            proof: Proof {
                seq,
                request: id("4bf92f3577b34da6a3ce929d0e0e4736"),
                revision: 13,
                hash: "9f2c4e7a1b0d83c65e44a1f07b2d9c88e3104f5a6b7c8d9e0f1a2b3c4d5e6f70".into(),
                previous: "17aa0c3be95d2f4488716e0b9d3c5a21f0e4d8b7c6a59483726150f4e3d2c1b0".into(),
                checkpoint: Some("checkpoint 482, signed 14:05:00 UTC".into()),
                took_us: 46,
            },
            again: again.then(|| Again {
                revision: 14,
                permitted: true,
                reason: None,
                rules: vec![Link::rule(&id("q3-close"))],
            }),
        })
    }

    fn assess<'a>(&'a self, _: &'a Visitor) -> Answer<'a, Assess> {
        let criterion = |stage, words: &str, truth, found, source: &str| Criterion {
            stage,
            words: self.n(words),
            truth,
            found,
            source: self.n(source),
        };
        let row = |rid: &str, name: &str, kind, proven, possible| MaturityRow {
            id: rid.into(),
            name: self.n(name),
            kind,
            proven,
            possible,
            criteria: vec![
                criterion(
                    Stage::Initial,
                    "Every privileged person signs in with several factors.",
                    Truth::True,
                    Some(Share::new(4, 4)),
                    "gateway sessions",
                ),
                criterion(
                    Stage::Advanced,
                    "Most sign-ins resist phishing.",
                    Truth::False,
                    Some(Share::new(31, 40)),
                    "gateway sessions",
                ),
                criterion(
                    Stage::Optimal,
                    "A change of risk is decided again within a minute.",
                    Truth::Unknown,
                    None,
                    "signals",
                ),
            ],
        };
        use Stage::{Advanced, Initial, Optimal, Traditional};
        let pillar = |name: &str, proven, possible| Pillar {
            name: self.n(name),
            proven,
            possible,
            rows: vec![
                row("ID-1", "Authentication", Kind::Decidable, Initial, Initial),
                row("ID-4", "Access management", Kind::Mixed, proven, possible),
                row("ID-G", "Governance", Kind::Attested, Traditional, Optimal),
            ],
        };
        ok(Assess {
            framework: self.n("CISA Zero Trust Maturity Model 2.0"),
            pillars: self.list(vec![
                pillar("Identity", Initial, Advanced),
                pillar("Devices", Traditional, Advanced),
                pillar("Networks", Traditional, Optimal),
                pillar("Applications and workloads", Initial, Optimal),
                pillar("Data", Traditional, Optimal),
                pillar("Cross-cutting", Traditional, Advanced),
            ]),
            mix: EvidenceMix { measured: 31, attested: 2, stale: 1, unknown: 86 },
            sources: self.list(vec![
                (self.n("cloud entitlements"), 19),
                ("vulnerability feed".into(), 14),
                ("flow sensor".into(), 12),
            ]),
        })
    }

    fn apps<'a>(&'a self, _: &'a Visitor) -> Answer<'a, Vec<AppRow>> {
        ok(self.list((0..8).map(|i| self.app_row(i)).collect()))
    }
    fn app<'a>(&'a self, _: &'a Visitor, _: &'a AppId) -> Answer<'a, App> {
        ok(App {
            row: self.app_row(0),
            facts: self.list(self.facts()),
            assets: self.list(vec![(Link::asset(&id("ledger-data"), self.n("General ledger")), Class::Critical)]),
            rules: self.list(vec![Link::rule(&id("q3-close"))]),
            usage: self.usage(),
            sessions: self.sessions(),
            verdicts: self.verdicts().into_iter().take(6).collect(),
        })
    }
    fn people<'a>(&'a self, _: &'a Visitor) -> Answer<'a, Vec<PersonRow>> {
        let n = usize::try_from(self.times()).unwrap_or(1) * 40;
        ok(self.list((0..n).map(|i| self.person_row(i)).collect()))
    }
    fn person<'a>(&'a self, _: &'a Visitor, _: &'a PersonId) -> Answer<'a, Person> {
        ok(Person {
            row: self.person_row(0),
            facts: self.list(self.facts()),
            usage: self.usage(),
            devices: self.device_rows().into_iter().take(1).collect(),
            sessions: self.sessions().into_iter().take(1).collect(),
            verdicts: self.verdicts().into_iter().take(6).collect(),
            cuts: self.cuts(),
        })
    }
    fn devices<'a>(&'a self, _: &'a Visitor) -> Answer<'a, Vec<DeviceRow>> {
        ok(Sample::device_rows(*self))
    }
    fn device<'a>(&'a self, _: &'a Visitor, _: &'a DeviceId) -> Answer<'a, Device> {
        let mut row = Sample { empty: false, ..*self }.device_rows().remove(1);
        row.failing = BTreeSet::from([Check::EndpointProtection]);
        ok(Device {
            row,
            facts: self.list(self.facts()),
            checks: Check::ALL
                .into_iter()
                .map(|check| CheckResult {
                    check,
                    passes: check != Check::EndpointProtection,
                    required: check != Check::ScreenLock,
                })
                .collect(),
            fresh_until: Some(mins(0) + Duration::from_mins(6)),
            sessions: self.sessions().into_iter().take(1).collect(),
            verdicts: self.verdicts().into_iter().take(6).collect(),
        })
    }
    fn connectors<'a>(&'a self, _: &'a Visitor) -> Answer<'a, Vec<ConnectorRow>> {
        let row = |name: &str, state, linked: bool| ConnectorRow {
            name: name.parse().expect("a name"),
            site: self.n("The cellar in Berlin"),
            state,
            version: linked.then(|| "0.1.0".to_owned()),
            from: linked.then(|| "10.1.2.3:50000".to_owned()),
            since: mins(90),
            streams: u64::from(linked) * 12,
            applications: vec![Link::to(self.n("Wiki"), "/console/apps/wiki")],
            until: mins(0),
        };
        let rows = vec![
            row("berlin/rack-1", ConnectorState::Linked, true),
            row("berlin/rack-2", ConnectorState::Leaves, true),
            row("berlin/rack-3", ConnectorState::Away, false),
            row("berlin/rack-4", ConnectorState::Revoked, false),
        ];
        ok(if self.empty { vec![] } else { rows })
    }
    fn revoke_connector<'a>(&'a self, _: &'a Visitor, _: &'a ConnectorName) -> Answer<'a, Done> {
        done("berlin/rack-1 is revoked.")
    }
    fn cut_session<'a>(&'a self, _: &'a Visitor, _: &'a SessionId) -> Answer<'a, Done> {
        done("Cut 1 session of Ada Lovelace: 3 connections ended.")
    }
    fn end_sessions<'a>(&'a self, _: &'a Visitor, _: &'a PersonId) -> Answer<'a, Done> {
        done("Ended 1 session and 3 connections of Ada Lovelace.")
    }
    fn health<'a>(&'a self, _: &'a Visitor) -> Answer<'a, Health> {
        let part = |name: &str, state, detail: &str, remedy: Option<&str>| Part {
            name: self.n(name),
            state,
            detail: self.n(detail),
            remedy: remedy.map(|r| self.n(r)),
            at: Some(mins(0)),
        };
        ok(Health {
            parts: self.list(vec![
                part("Gateway", PartState::Works, "8 applications, 21 connections, 46 µs median decision.", None),
                part("Ledger", PartState::Works, "48 213 records, 3 segments; last write durable after 2 ms.", None),
                part(
                    "Identity provider",
                    PartState::Degraded,
                    "The keys of the provider are 26 h old.",
                    Some("Check that the gateway reaches the provider."),
                ),
                part(
                    "Index",
                    PartState::Fails,
                    "The index lags by 4 102 records.",
                    Some("Run safeconduct ledger inspect."),
                ),
            ]),
            version: "0.1.0".into(),
            started: days(2),
        })
    }

    fn home<'a>(&'a self, _: &'a Visitor) -> Answer<'a, Home> {
        let tile = |aid: &str, note: &str, opens| Tile {
            id: id(aid),
            name: self.app_link(aid).text,
            note: self.n(note),
            address: format!("https://{aid}.halden.example/"),
            opens,
        };
        let yes = |may: &str, until: Option<u64>| Opens::Yes {
            may: self.n(may),
            until: until.map(|m| Timestamp::from_millis(NOW) + Duration::from_mins(m)),
        };
        ok(Home {
            tiles: self.list(vec![
                tile("q3-finance", "The books of the third quarter", yes("You may read", Some(227))),
                tile("wiki", "What everybody should know", yes("You may read and change", None)),
                tile("chat", "Talk to colleagues", yes("You may read and change", None)),
                tile("stock", "What is on the shelves", yes("You may read", None)),
                tile(
                    "payroll",
                    "Salaries and runs",
                    Opens::No {
                        reason: Reason::StepUpRequired,
                        failing: vec![],
                        remedies: vec![Remedy::StepUp { phishing_resistant: true }],
                    },
                ),
                tile(
                    "crm",
                    "Customers and their orders",
                    Opens::No {
                        reason: Reason::DeviceNotCompliant,
                        failing: self.failing(),
                        remedies: self.remedies(),
                    },
                ),
            ]),
            sessions: self.list(vec![
                MySession {
                    id: id("s-81"),
                    this: true,
                    machine: None,
                    device: Some(self.n("Ada's laptop")),
                    methods: vec![Method::Passkey],
                    since: mins(50),
                    until: mins(0) + Duration::from_hours(7),
                    ip: "10.20.4.17".parse().expect("address"),
                    connections: 3,
                },
                MySession {
                    id: id("s-77"),
                    this: false,
                    machine: Some(self.n("ada@workstation")),
                    device: None,
                    methods: vec![Method::Password, Method::Totp],
                    since: mins(400),
                    until: mins(0) + Duration::from_hours(1),
                    ip: "192.0.2.9".parse().expect("address"),
                    connections: 0,
                },
            ]),
            devices: self.my_devices_list(),
        })
    }
    fn security<'a>(&'a self, _: &'a Visitor) -> Answer<'a, Security> {
        ok(Security {
            passkeys: self.list(vec![Passkey {
                id: self.n("pk-1"),
                name: self.n("Laptop"),
                added: days(40),
                used: Some(mins(50)),
            }]),
            password: (!self.empty).then(|| days(90)),
            totp: if self.empty {
                Totp::Off
            } else {
                Totp::Pending {
                    secret: "JBSW Y3DP EHPK 3PXP".into(),
                    link: "otpauth://totp/Safeconduct:ada?secret=JBSWY3DPEHPK3PXP".into(),
                }
            },
        })
    }
    fn my_devices<'a>(&'a self, _: &'a Visitor) -> Answer<'a, MyDevices> {
        ok(MyDevices { devices: self.my_devices_list() })
    }
    fn sign_in(&self) -> Answer<'_, SignIn> {
        ok(SignIn {
            providers: self.list(vec![Provider { id: "corp".into(), name: self.n("Halden directory") }]),
            local: !self.empty,
        })
    }
    fn sign_in_password<'a>(&'a self, form: &'a PasswordForm) -> Answer<'a, Outcome> {
        if form.password.reveal() == "right" {
            redirect(&form.return_to)
        } else {
            ok(Outcome::Again { error: "The name, the password or the code is wrong.".into() })
        }
    }
    fn step_up<'a>(&'a self, _: &'a Visitor) -> Answer<'a, StepUp> {
        ok(StepUp { passkey: !self.empty, providers: vec![] })
    }
    fn why<'a>(&'a self, _: &'a Visitor, app: &'a AppId) -> Answer<'a, Why> {
        ok(Why {
            app: app.clone(),
            name: self.app_link(app.as_str()).text,
            purposes: self.list(vec![
                (self.n("quarter-end-close"), self.n("Quarter-end close")),
                ("audit".into(), "Audit".into()),
            ]),
            ticket: true,
        })
    }
    fn explained<'a>(&'a self, _: &'a Visitor, request: &'a str) -> Answer<'a, Denied> {
        if self.empty || request == "gone" {
            Box::pin(async { Err(Trouble::NotFound) })
        } else {
            ok(self.denied())
        }
    }
    fn state_purpose<'a>(&'a self, _: &'a Visitor, form: &'a PurposeForm) -> Answer<'a, Outcome> {
        if form.ticket.is_empty() {
            ok(Outcome::Again { error: self.n("A ticket is needed.") })
        } else {
            redirect(&form.return_to)
        }
    }
    fn setup<'a>(&'a self, token: &'a str) -> Answer<'a, Setup> {
        if token == "gone" {
            Box::pin(async { Err(Trouble::NotFound) })
        } else {
            ok(Setup { until: mins(0) + Duration::from_hours(1), person: None })
        }
    }
    fn set_up<'a>(&'a self, _: &'a str, form: &'a SetupForm) -> Answer<'a, Outcome> {
        if form.person.is_empty() {
            ok(Outcome::Again { error: "Choose an id.".into() })
        } else {
            redirect("/me/security")
        }
    }
    fn sign_out<'a>(&'a self, _: &'a Visitor) -> Answer<'a, Outcome> {
        redirect("/signed-out")
    }
    fn set_password<'a>(&'a self, _: &'a Visitor, password: &'a Hidden) -> Answer<'a, Outcome> {
        if password.reveal().len() < 12 {
            ok(Outcome::Again { error: self.n("The password is too short.") })
        } else {
            redirect("/me/security")
        }
    }
    fn totp_begin<'a>(&'a self, _: &'a Visitor) -> Answer<'a, Outcome> {
        redirect("/me/security")
    }
    fn totp_finish<'a>(&'a self, _: &'a Visitor, _: &'a Hidden) -> Answer<'a, Outcome> {
        redirect("/me/security")
    }
    fn totp_remove<'a>(&'a self, _: &'a Visitor) -> Answer<'a, Outcome> {
        redirect("/me/security")
    }
    fn passkey_remove<'a>(&'a self, _: &'a Visitor, _: &'a str) -> Answer<'a, Outcome> {
        redirect("/me/security")
    }
    fn end_my_session<'a>(&'a self, _: &'a Visitor, _: &'a SessionId) -> Answer<'a, Outcome> {
        redirect("/")
    }
    fn machine<'a>(&'a self, _: &'a Visitor, asked: &'a MachineAsked) -> Answer<'a, Machine> {
        ok(Machine {
            name: self.n("ada@workstation"),
            ip: matches!(asked, MachineAsked::Code(_)).then(|| "192.0.2.9".parse().expect("address")),
            here: false,
            since: mins(1),
            until: mins(0) + Duration::from_hours(7),
        })
    }
    fn answer_machine<'a>(&'a self, _: &'a Visitor, asked: &'a MachineAsked, _: bool) -> Answer<'a, Outcome> {
        match asked {
            MachineAsked::Code(_) => redirect("/activate?answered=yes"),
            MachineAsked::Browser(_) => redirect("http://127.0.0.1:4711/?code=c&state=s"),
        }
    }
}

impl Sample {
    fn remedies(self) -> Vec<Remedy> {
        vec![
            Remedy::FixDevice { steps: vec![self.n("start the endpoint protection and let it update")] },
            Remedy::OtherDevice,
        ]
    }

    /// A denial as the gateway shows it.
    pub fn denied(self) -> Denied {
        Denied {
            assets: "/assets".into(),
            portal: "https://portal.halden.example".into(),
            organisation: self.n("Halden Trading"),
            app: (!self.empty).then(|| (id("q3-finance"), self.n("Q3 ledger"))),
            person: (!self.empty).then(|| self.n("Ada Lovelace")),
            reason: Reason::DeviceNotCompliant,
            failing: self.list(self.failing()),
            remedies: self.list(vec![
                self.remedies().remove(0),
                Remedy::StepUp { phishing_resistant: true },
                Remedy::StatePurpose { accepted: vec![self.n("quarter-end-close")] },
                Remedy::WaitUntil { at: Timestamp::from_millis(NOW) + Duration::from_hours(18) },
                Remedy::AskOwner { owner: Some(self.n("Ines Moreau")) },
            ]),
            wanted: self.n("GET /reports/q3"),
            back: "https://q3-finance.halden.example/reports/q3?x=1&y=2".into(),
            request: "4bf92f3577b34da6a3ce929d0e0e4736".into(),
            now: Timestamp::from_millis(NOW),
        }
    }

    /// A problem as the gateway shows it.
    pub fn problem(self, status: u16) -> Problem {
        Problem {
            assets: "/assets".into(),
            status,
            detail: self.hostile.then(|| self.n("x")),
            next: None,
            request: Some(self.n("4bf92f35")),
            now: Timestamp::from_millis(NOW),
        }
    }
}
