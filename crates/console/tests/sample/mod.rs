//! A backend of sample data, for the preview and the tests: a trading company with a fortnight behind it.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::type_complexity,
    clippy::too_many_lines,
    reason = "shared by a test and an example; sample data is long"
)]

mod apps;
mod assess;
mod connectors;
mod devices;
mod health;
mod locks;
mod map;
mod me;
mod overview;
mod people;
mod policy;
mod protect;
mod watch;

use std::collections::BTreeSet;

use futures_util::stream;
use safeconduct_access::Visitor;
use safeconduct_console::{Answer, Backend, Events, Trouble, view::*};
use safeconduct_model::{
    Action, AppId, AssetKind, Auth, Check, Class, ConnectorName, CutCause, DeviceId, Duration, Failing, LockId, Method,
    Mode, PersonId, Reason, Remedy, SessionId, Timestamp,
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

    fn failing(self) -> Vec<Failing> {
        vec![Failing {
            condition: "context.device.passed.contains(\"endpoint_protection\")".into(),
            words: self.n("The device has current endpoint protection."),
            found: self.n("the report of 14:01 says that it is off"),
        }]
    }
}

fn ok<'a, T: Send + 'a>(value: T) -> Answer<'a, T> {
    Box::pin(async move { Ok(value) })
}
fn gone<'a, T: Send + 'a>() -> Answer<'a, T> {
    Box::pin(async { Err(Trouble::NotFound) })
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
        ok(overview::overview(*self))
    }
    fn protect<'a>(&'a self, _: &'a Visitor) -> Answer<'a, Protect> {
        ok(protect::protect(*self))
    }
    fn map<'a>(&'a self, _: &'a Visitor, query: &'a MapQuery) -> Answer<'a, Map> {
        ok(map::map(*self, query))
    }
    fn policy<'a>(&'a self, _: &'a Visitor) -> Answer<'a, Policy> {
        ok(policy::policy(*self))
    }
    fn proposal<'a>(&'a self, _: &'a Visitor, pid: &'a str) -> Answer<'a, Proposal> {
        if self.empty {
            return gone();
        }
        ok(policy::proposal(*self, pid))
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
        ok(watch::watch(*self, query))
    }
    fn events<'a>(&'a self, _: &'a Visitor, _: &'a WatchQuery) -> Answer<'a, Events> {
        let newer = |r: VerdictRow| VerdictRow { seq: r.seq + 1_000, ..r };
        let rows: Vec<_> = self.verdicts().into_iter().take(3).rev().map(newer).collect();
        ok(Box::pin(stream::iter(rows)) as Events)
    }
    fn verdict<'a>(&'a self, _: &'a Visitor, seq: u64, again: bool) -> Answer<'a, Verdict> {
        if self.empty {
            return gone();
        }
        ok(watch::verdict(*self, seq, again))
    }
    fn assess<'a>(&'a self, _: &'a Visitor) -> Answer<'a, Assess> {
        ok(assess::assess(*self))
    }
    fn apps<'a>(&'a self, _: &'a Visitor) -> Answer<'a, Vec<AppRow>> {
        ok(self.list((0..8).map(|i| self.app_row(i)).collect()))
    }
    fn app<'a>(&'a self, _: &'a Visitor, _: &'a AppId) -> Answer<'a, App> {
        ok(apps::app(*self))
    }
    fn people<'a>(&'a self, _: &'a Visitor) -> Answer<'a, Vec<PersonRow>> {
        let n = usize::try_from(self.times()).unwrap_or(1) * 40;
        ok(self.list((0..n).map(|i| self.person_row(i)).collect()))
    }
    fn person<'a>(&'a self, _: &'a Visitor, _: &'a PersonId) -> Answer<'a, Person> {
        ok(people::person(*self))
    }
    fn devices<'a>(&'a self, _: &'a Visitor) -> Answer<'a, Vec<DeviceRow>> {
        ok(Sample::device_rows(*self))
    }
    fn device<'a>(&'a self, _: &'a Visitor, _: &'a DeviceId) -> Answer<'a, Device> {
        ok(devices::device(*self))
    }
    fn connectors<'a>(&'a self, _: &'a Visitor) -> Answer<'a, Vec<ConnectorRow>> {
        ok(connectors::connectors(*self))
    }
    fn revoke_connector<'a>(&'a self, _: &'a Visitor, _: &'a ConnectorName) -> Answer<'a, Done> {
        done("berlin/rack-1 is revoked.")
    }
    fn locks<'a>(&'a self, _: &'a Visitor) -> Answer<'a, Vec<LockRow>> {
        ok(if self.empty { vec![] } else { locks::rows(*self) })
    }
    fn place_lock<'a>(&'a self, _: &'a Visitor, form: &'a LockForm) -> Answer<'a, LockPlaced> {
        ok(match form.name.as_str() {
            "nobody" => LockPlaced::Again { error: "no person nobody is known here; correct the name.".to_owned() },
            _ => LockPlaced::Done(Done {
                title: "The person Marek Novák is locked, until it is lifted.".to_owned(),
                details: vec!["What was live and rests on it was cut.".to_owned()],
                next: Link::to("All locks", "/console/locks"),
            }),
        })
    }
    fn lift_lock<'a>(&'a self, _: &'a Visitor, _: &'a LockId) -> Answer<'a, Done> {
        done("The lock on the person Marek Novák is lifted.")
    }
    fn cut_session<'a>(&'a self, _: &'a Visitor, _: &'a SessionId) -> Answer<'a, Done> {
        done("Cut 1 session of Ada Lovelace: 3 connections ended.")
    }
    fn end_sessions<'a>(&'a self, _: &'a Visitor, _: &'a PersonId) -> Answer<'a, Done> {
        done("Ended 1 session and 3 connections of Ada Lovelace.")
    }
    fn health<'a>(&'a self, _: &'a Visitor) -> Answer<'a, Health> {
        ok(health::health(*self))
    }
    fn home<'a>(&'a self, _: &'a Visitor) -> Answer<'a, Home> {
        ok(me::home(*self))
    }
    fn security<'a>(&'a self, _: &'a Visitor) -> Answer<'a, Security> {
        ok(me::security(*self))
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
        if self.empty || request == "gone" { gone() } else { ok(self.denied()) }
    }
    fn state_purpose<'a>(&'a self, _: &'a Visitor, form: &'a PurposeForm) -> Answer<'a, Outcome> {
        if form.ticket.is_empty() {
            ok(Outcome::Again { error: self.n("A ticket is needed.") })
        } else {
            redirect(&form.return_to)
        }
    }
    fn setup<'a>(&'a self, token: &'a str) -> Answer<'a, Setup> {
        if token == "gone" { gone() } else { ok(Setup { until: mins(0) + Duration::from_hours(1), person: None }) }
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

    /// A denial by a lock.
    pub fn locked_out(self) -> Denied {
        let found = "your access is locked: Your laptop was reported stolen. Call the security desk, 7-300.";
        Denied {
            reason: Reason::Locked,
            failing: vec![Failing {
                condition: "lock 3fa09c0001".into(),
                words: "no lock in force".into(),
                found: self.n(found),
            }],
            remedies: vec![
                Remedy::WaitUntil { at: Timestamp::from_millis(NOW) + Duration::from_hours(8) },
                Remedy::AskOperators,
            ],
            ..self.denied()
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
