//! The fixtures of a proposal: for each rule one ask that it permits, and the same ask with one fact flipped at a time.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::IpAddr;

use safeconduct_model::{
    Action, Ask, Auth, Check, DeviceFacts, Duration, GroupId, Method, PersonId, Place, Principal, Stated, Timestamp,
    What, Who, Why,
};
use safeconduct_policy::Snapshot;

use super::draft::{Draft, Mine, Target};
use super::observe::Use;

/// A report of this age is too old for every device, as the fixtures of policies understand it.
const OLD_REPORT_SECS: u64 = 86_400;

/// One ask of a fixture.
#[derive(Clone)]
struct Case {
    name: String,
    who: PersonId,
    groups: BTreeSet<GroupId>,
    methods: BTreeSet<Method>,
    action: Action,
    at: Timestamp,
    device: Option<Device>,
    network: Option<String>,
    purpose: Option<String>,
}

#[derive(Clone)]
struct Device {
    managed: bool,
    passed: BTreeSet<Check>,
    required: BTreeSet<Check>,
    report_secs_ago: u64,
}

/// The file. An ask that one flipped fact does not turn into a denial, because another rule permits it, is not written.
pub(crate) fn fixtures(mine: &Mine<'_>, drafts: &[Draft], uses: &[&Use], snapshot: &Snapshot) -> String {
    let mut text = format!("# What the proposed rules for {} permit, and what they deny.\n", mine.app.id);
    for draft in drafts {
        let Some((base, one)) = base(mine, draft, uses) else { continue };
        if !snapshot.decide(&base.ask(mine), base.at).policy_permits() {
            continue;
        }
        base.write(mine, None, &mut text);
        for flipped in flips(mine, draft, &base, one) {
            let verdict = snapshot.decide(&flipped.ask(mine), flipped.at);
            if let Some(denial) = verdict.denial() {
                flipped.write(mine, Some(denial.reason.code()), &mut text);
            }
        }
    }
    text
}

/// A typical ask: the first observed use that the rule permits, from a device that just meets the conditions.
fn base<'u>(mine: &Mine<'_>, draft: &Draft, uses: &[&'u Use]) -> Option<(Case, &'u Use)> {
    let c = &draft.conditions;
    let one = uses.iter().copied().find(|u| {
        mine.permits(draft, u) && mine.seen.principal(u).person().is_some() && draft.actions.contains(&u.action)
    })?;
    let mut groups: BTreeSet<GroupId> = match &draft.target {
        Target::Group(group) => [group.clone()].into(),
        Target::One(principal) => principal.person().map(|p| mine.directory.groups_of(p)).unwrap_or_default(),
    };
    groups.extend(draft.within.as_ref().and_then(|w| w.group()).cloned());
    let device = (c.known || c.managed || c.compliant || !c.checks.is_empty()).then(|| {
        let required: BTreeSet<Check> = if c.compliant { [Check::EndpointProtection].into() } else { BTreeSet::new() };
        Device {
            managed: c.managed,
            passed: c.checks.union(&required).copied().collect(),
            required,
            report_secs_ago: 0,
        }
    });
    let methods = if c.mfa { [Method::Password, Method::Totp].into() } else { [Method::Password].into() };
    let case = Case {
        name: format!("{}: permitted", draft.id),
        who: mine.seen.principal(one).person()?.clone(),
        groups,
        methods,
        action: one.action,
        at: one.at,
        device,
        network: c.network.clone(),
        purpose: c.purposes.first().cloned(),
    };
    Some((case, one))
}

fn flips(mine: &Mine<'_>, draft: &Draft, base: &Case, one: &Use) -> Vec<Case> {
    let c = &draft.conditions;
    let mut found = Vec::new();
    let mut flip = |name: &str, change: &dyn Fn(&mut Case)| {
        let mut case = base.clone();
        case.name = format!("{}: {name}", draft.id);
        change(&mut case);
        found.push(case);
    };
    let nobody: PersonId = stranger(mine);
    flip("somebody else", &|case| {
        case.who = nobody.clone();
        case.groups = BTreeSet::new();
    });
    if let Some(other) = Action::ALL.into_iter().find(|a| !draft.actions.contains(a)) {
        flip(&format!("to {other}"), &|case| case.action = other);
    }
    if let Some((from, to)) = c.window {
        // Half an hour outside, on the side where the day has room.
        let outside = if to < 1410 { to + 30 } else { from.saturating_sub(30) };
        let shift = i64::from(outside) - i64::from(one.minute);
        flip("outside the hours", &|case| case.at = moved(base.at, shift * 60_000));
    }
    if c.weekdays {
        let days = i64::from(6 - one.weekday.min(6));
        flip("on a Saturday", &|case| case.at = moved(base.at, days * 86_400_000));
    }
    if base.device.is_some() {
        flip("from an unknown device", &|case| case.device = None);
    }
    let device = |change: &dyn Fn(&mut Device), case: &mut Case| case.device.iter_mut().for_each(change);
    if c.managed {
        flip("from a device that is not managed", &|case| device(&|d| d.managed = false, case));
    }
    if c.compliant || !c.checks.is_empty() {
        flip("with an old device report", &|case| device(&|d| d.report_secs_ago = OLD_REPORT_SECS, case));
    }
    if c.mfa {
        flip("with one factor", &|case| case.methods = [Method::Password].into());
    }
    if c.network.is_some() {
        flip("from another network", &|case| case.network = None);
    }
    if !c.purposes.is_empty() {
        flip("without a purpose", &|case| case.purpose = None);
    }
    found
}

fn stranger(mine: &Mine<'_>) -> PersonId {
    let free = |id: &PersonId| !mine.directory.people.contains(id);
    let names = std::iter::once("somebody-else".to_owned()).chain((0u32..).map(|n| format!("somebody-else-{n}")));
    names
        .map(|n| n.parse::<PersonId>().expect("a name of letters, digits and dashes is an id"))
        .find(free)
        .expect("a directory is finite")
}

fn moved(at: Timestamp, ms: i64) -> Timestamp {
    Timestamp::from_millis(at.millis().saturating_add(ms))
}

impl Case {
    /// The ask as the fixtures of policies build it.
    fn ask(&self, mine: &Mine<'_>) -> Ask {
        let auth = Auth {
            session: "fixture".parse().expect("a fixed id is valid"),
            methods: self.methods.clone(),
            at: self.at,
            until: Timestamp::MAX,
        };
        let device = self.device.as_ref().map(|d| DeviceFacts {
            id: "fixture".parse().expect("a fixed id is valid"),
            managed: d.managed,
            reported: Some(self.at - Duration::from_secs(d.report_secs_ago)),
            max_age: Duration::from_mins(15),
            passed: d.passed.clone(),
            required: d.required.clone(),
        });
        Ask {
            request: "fixture".parse().expect("a fixed id is valid"),
            who: Who { principal: Principal::Person(self.who.clone()), groups: self.groups.clone(), auth: Some(auth) },
            what: What {
                app: mine.app.id.clone(),
                action: self.action,
                method: if self.action == Action::Read { "GET" } else { "POST" }.to_owned(),
                path: "/".to_owned(),
            },
            place: Place { ip: IpAddr::from([127, 0, 0, 1]), network: self.network.clone(), country: None, device },
            why: Why { stated: self.purpose.clone().map(|purpose| Stated { purpose, ticket: None }), grant: None },
            lock: None,
        }
    }

    fn write(&self, mine: &Mine<'_>, denied: Option<&str>, text: &mut String) {
        let list = |items: Vec<String>| items.iter().map(|i| quoted(i)).collect::<Vec<_>>().join(", ");
        let names = |checks: &BTreeSet<Check>| list(checks.iter().map(ToString::to_string).collect());
        let methods = self.methods.iter().map(|m| if *m == Method::Totp { "totp" } else { "password" }.to_owned());
        let _ = writeln!(text, "\n[[test]]\nname = {}", quoted(&self.name));
        let _ = writeln!(text, "who = {}", quoted(self.who.as_str()));
        let _ = writeln!(text, "groups = [{}]", list(self.groups.iter().map(ToString::to_string).collect()));
        let _ = writeln!(text, "methods = [{}]", list(methods.collect()));
        let _ = writeln!(text, "app = {}\naction = \"{}\"", quoted(mine.app.id.as_str()), self.action);
        let _ = writeln!(text, "at = \"{}\"", self.at);
        if let Some(d) = &self.device {
            let _ = writeln!(
                text,
                "device = {{ managed = {}, passed = [{}], required = [{}], report_secs_ago = {} }}",
                d.managed,
                names(&d.passed),
                names(&d.required),
                d.report_secs_ago
            );
        }
        if let Some(network) = &self.network {
            let _ = writeln!(text, "network = {}", quoted(network));
        }
        if let Some(purpose) = &self.purpose {
            let _ = writeln!(text, "purpose = {}", quoted(purpose));
        }
        let _ = match denied {
            None => writeln!(text, "expect = \"permit\""),
            Some(reason) => writeln!(text, "expect = \"deny\"\nreason = \"{reason}\""),
        };
    }
}

/// A text as a TOML basic string.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if c.is_control() => {
                let _ = write!(out, "\\U{:08X}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
