//! Verdict fixtures: `policies/tests/*.toml` say what must be permitted and what must be denied, and why. They are asserted
//! before a snapshot may serve.

use std::collections::BTreeSet;
use std::net::IpAddr;

use safeconduct_model::{
    Action, AppId, Ask, Auth, Check, DeviceFacts, DeviceId, Duration, Fault, GrantFacts, GrantId, GroupId, Method,
    PersonId, Place, Principal, Reason, Remedy, RuleId, Stated, Timestamp, What, Who, Why,
};
use serde::Deserialize;

use crate::snapshot::Snapshot;

/// One file of fixtures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FixtureText {
    /// The file, as the person knows it.
    pub file: String,
    /// Its content.
    pub text: String,
}

/// Who belongs to which groups, transitively. The directory answers it; in a core crate it is handed in.
pub type People<'p> = &'p dyn Fn(&PersonId) -> Option<BTreeSet<GroupId>>;

/// One assertion about a verdict.
#[derive(Clone, Debug)]
pub struct Fixture {
    /// What it says, as a sentence.
    pub name: String,
    /// Where it stands.
    pub file: String,
    /// The line of its name.
    pub line: u32,
    ask: Ask,
    at: Timestamp,
    expect: Expect,
    rules: Option<BTreeSet<RuleId>>,
    remedies: Option<BTreeSet<String>>,
}

impl Fixture {
    /// What is asked.
    #[must_use]
    pub fn ask(&self) -> &Ask {
        &self.ask
    }

    /// When it is asked.
    #[must_use]
    pub fn at(&self) -> Timestamp {
        self.at
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expect {
    Permit,
    Deny(Option<Reason>),
}

/// A fixture that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FixtureFailure {
    /// Its name.
    pub name: String,
    /// Where it stands and what came instead.
    pub fault: Fault,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    test: Vec<toml::Spanned<Row>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    name: String,
    who: PersonId,
    #[serde(default)]
    groups: Option<BTreeSet<GroupId>>,
    #[serde(default)]
    methods: BTreeSet<Method>,
    #[serde(default)]
    signed_in_secs_ago: u64,
    app: AppId,
    #[serde(default = "read")]
    action: Action,
    #[serde(default = "root")]
    path: String,
    #[serde(default)]
    method: Option<String>,
    at: String,
    #[serde(default)]
    device: Option<Device>,
    #[serde(default)]
    ip: Option<IpAddr>,
    #[serde(default)]
    network: Option<String>,
    #[serde(default)]
    country: Option<String>,
    #[serde(default)]
    purpose: Option<String>,
    #[serde(default)]
    ticket: Option<String>,
    #[serde(default)]
    grant: Option<Grant>,
    expect: Answer,
    #[serde(default)]
    reason: Option<Reason>,
    #[serde(default)]
    rules: Option<BTreeSet<RuleId>>,
    #[serde(default)]
    remedies: Option<BTreeSet<String>>,
}

/// A dated grant, as seen from the instant of the ask.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Grant {
    #[serde(default = "fixture_grant")]
    id: GrantId,
    purpose: String,
    #[serde(default)]
    ticket: Option<String>,
    #[serde(default)]
    from_secs_ago: u64,
    #[serde(default = "an_hour")]
    for_secs: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Device {
    #[serde(default)]
    managed: bool,
    #[serde(default)]
    passed: BTreeSet<Check>,
    #[serde(default)]
    required: BTreeSet<Check>,
    #[serde(default)]
    report_secs_ago: u64,
    #[serde(default = "fixture_device")]
    id: DeviceId,
    #[serde(default = "a_quarter_of_an_hour")]
    max_age_secs: u64,
}

#[derive(Deserialize, PartialEq)]
#[serde(rename_all = "snake_case")]
enum Answer {
    Permit,
    Deny,
}

fn read() -> Action {
    Action::Read
}
fn root() -> String {
    "/".to_owned()
}
fn fixture_grant() -> GrantId {
    "fixture".parse().expect("a fixed id is valid")
}
fn fixture_device() -> DeviceId {
    "fixture".parse().expect("a fixed id is valid")
}
fn an_hour() -> u64 {
    3_600
}
fn a_quarter_of_an_hour() -> u64 {
    900
}

/// The kinds of remedy, as fixtures name them.
const REMEDIES: [&str; 9] = [
    "sign_in",
    "step_up",
    "state_purpose",
    "fix_device",
    "other_device",
    "wait_until",
    "other_network",
    "ask_owner",
    "nothing",
];

fn kind(remedy: &Remedy) -> &'static str {
    match remedy {
        Remedy::SignIn => "sign_in",
        Remedy::StepUp { .. } => "step_up",
        Remedy::StatePurpose { .. } => "state_purpose",
        Remedy::FixDevice { .. } => "fix_device",
        Remedy::OtherDevice => "other_device",
        Remedy::WaitUntil { .. } => "wait_until",
        Remedy::OtherNetwork => "other_network",
        Remedy::AskOwner { .. } => "ask_owner",
        Remedy::AskOperators => "ask_operators",
        Remedy::Nothing => "nothing",
    }
}

/// Parses one file of fixtures, or tells every fault in it.
pub fn parse_fixtures(source: &FixtureText, people: People<'_>) -> Result<Vec<Fixture>, Vec<Fault>> {
    let line_of = |offset: usize| {
        let before = source.text.get(..offset).unwrap_or_default();
        u32::try_from(1 + before.matches('\n').count()).unwrap_or(u32::MAX)
    };
    let file: File = toml::from_str(&source.text).map_err(|e| {
        let line = e.span().map_or(0, |s| line_of(s.start));
        vec![Fault::new(
            &source.file,
            line,
            e.message(),
            "see docs/policy.md, section Fixtures, for the keys of a test",
        )]
    })?;
    let mut fixtures = Vec::new();
    let mut faults = Vec::new();
    for row in file.test {
        let line = line_of(row.span().start);
        match fixture(row.into_inner(), people) {
            Ok(fixture) => fixtures.push(Fixture { file: source.file.clone(), line, ..fixture }),
            Err((what, remedy)) => faults.push(Fault::new(&source.file, line, what, remedy)),
        }
    }
    if faults.is_empty() { Ok(fixtures) } else { Err(faults) }
}

type Bad = (String, &'static str);

fn fixture(row: Row, people: People<'_>) -> Result<Fixture, Bad> {
    let at: jiff::Timestamp = row
        .at
        .parse()
        .map_err(|_| (format!("`{}` is not an instant", row.at), "write it as in 2026-09-30T14:02:00+02:00"))?;
    let at = Timestamp::from_millis(at.as_millisecond());
    let groups = match row.groups {
        Some(groups) => groups,
        None => people(&row.who)
            .ok_or_else(|| (format!("nobody is called `{}`", row.who), "name a person of estate/, or give `groups`"))?,
    };
    let expect = match (row.expect, row.reason) {
        (Answer::Permit, None) => Expect::Permit,
        (Answer::Permit, Some(_)) => {
            return Err(("a permit has no reason".into(), "remove `reason`, or expect \"deny\""));
        }
        (Answer::Deny, reason) => Expect::Deny(reason),
    };
    if let Some(remedies) = &row.remedies {
        if expect == Expect::Permit {
            return Err(("a permit needs no remedy".into(), "remove `remedies`, or expect \"deny\""));
        }
        if let Some(unknown) = remedies.iter().find(|r| !REMEDIES.contains(&r.as_str())) {
            return Err((format!("`{unknown}` is no remedy"), "see docs/policy.md, section Fixtures, for their names"));
        }
    }
    let grant = row.grant.map(|g| GrantFacts {
        id: g.id,
        purpose: g.purpose,
        ticket: g.ticket,
        from: at - Duration::from_secs(g.from_secs_ago),
        until: at - Duration::from_secs(g.from_secs_ago) + Duration::from_secs(g.for_secs),
    });
    let method = row.method.unwrap_or_else(|| if row.action == Action::Read { "GET" } else { "POST" }.to_owned());
    let auth = (!row.methods.is_empty()).then(|| Auth {
        session: "fixture".parse().expect("a fixed id is valid"),
        methods: row.methods,
        at: at - Duration::from_secs(row.signed_in_secs_ago),
        until: Timestamp::MAX,
    });
    let device = row.device.map(|d| DeviceFacts {
        id: d.id,
        managed: d.managed,
        reported: Some(at - Duration::from_secs(d.report_secs_ago)),
        max_age: Duration::from_secs(d.max_age_secs),
        passed: d.passed,
        required: d.required,
    });
    let principal = if auth.is_some() { Principal::Person(row.who) } else { Principal::Nobody };
    let stated = row.purpose.map(|purpose| Stated { purpose, ticket: row.ticket });
    let ask = Ask {
        request: "fixture".parse().expect("a fixed id is valid"),
        who: Who { principal, groups, auth },
        what: What { app: row.app, action: row.action, method, path: row.path },
        place: Place {
            ip: row.ip.unwrap_or(IpAddr::from([127, 0, 0, 1])),
            network: row.network,
            country: row.country,
            device,
        },
        why: Why { stated, grant },
        lock: None,
    };
    let (rules, remedies) = (row.rules, row.remedies);
    Ok(Fixture { name: row.name, file: String::new(), line: 0, ask, at, expect, rules, remedies })
}

/// Asserts every fixture against a snapshot; returns those that do not hold.
#[must_use]
pub fn run_fixtures(snapshot: &Snapshot, fixtures: &[Fixture]) -> Vec<FixtureFailure> {
    fixtures.iter().filter_map(|f| run(snapshot, f)).collect()
}

fn run(snapshot: &Snapshot, fixture: &Fixture) -> Option<FixtureFailure> {
    let verdict = snapshot.decide(&fixture.ask, fixture.at);
    let wanted = match fixture.expect {
        Expect::Permit => "permit".to_owned(),
        Expect::Deny(None) => "deny".to_owned(),
        Expect::Deny(Some(reason)) => format!("deny ({reason})"),
    };
    let got = match verdict.denial() {
        None => "permit".to_owned(),
        Some(denial) if fixture.expect == Expect::Deny(None) => {
            let _ = denial;
            "deny".to_owned()
        }
        Some(denial) => format!("deny ({})", denial.reason),
    };
    let failure = |wanted: &str, got: &str| FixtureFailure {
        name: fixture.name.clone(),
        fault: Fault::new(
            &fixture.file,
            fixture.line,
            format!("test `{}`: expected {wanted}, got {got}", fixture.name),
            "change the rules, or the test if the rules are right",
        ),
    };
    if wanted != got {
        return Some(failure(&wanted, &got));
    }
    let list = |what: &str, items: Vec<String>| match items.as_slice() {
        [] => format!("no {what}"),
        _ => format!("{what} {}", items.join(", ")),
    };
    let rules: BTreeSet<RuleId> = verdict.grounds().rules.iter().cloned().collect();
    if let Some(wanted) = fixture.rules.as_ref().filter(|w| **w != rules) {
        let told = |ids: &BTreeSet<RuleId>| list("rules", ids.iter().map(ToString::to_string).collect());
        return Some(failure(&told(wanted), &told(&rules)));
    }
    let offered: BTreeSet<String> =
        verdict.denial().into_iter().flat_map(|d| &d.remedies).map(|r| kind(r).to_owned()).collect();
    let wanted = fixture.remedies.as_ref().filter(|w| **w != offered)?;
    let told = |names: &BTreeSet<String>| list("remedies", names.iter().cloned().collect());
    Some(failure(&told(wanted), &told(&offered)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Coverage, PolicyText, Sources};
    use safeconduct_model::{Application, Class, Hardening, Mode};

    const RULES: &str = r#"@id("desk") permit(principal in Group::"desk", action == Action::"read", resource == Application::"crm")
when {
    context.minute >= 480 &&
    context.device.managed
};
@id("grant") permit(principal, action == Action::"admin", resource == Application::"crm") when { context.granted };
@id("never") forbid(principal, action, resource == Application::"crm")
when { context.net has country && context.net.country == "KP" } unless { context.auth.mfa };"#;

    fn snapshot() -> Snapshot {
        let app = Application {
            id: "crm".parse().expect("id"),
            name: "CRM".into(),
            hosts: vec![],
            upstream: "http://127.0.0.1:1".into(),
            connector: None,
            mode: Mode::Enforce,
            class: Class::Low,
            assets: BTreeSet::new(),
            owner: None,
            routes: vec![],
            hardening: Hardening::default(),
        };
        let policies = vec![PolicyText { file: "crm.cedar".into(), text: RULES.into() }];
        let sources = Sources { policies, applications: vec![app], assets: vec![], zone: jiff::tz::TimeZone::UTC };
        Snapshot::build(1, sources).unwrap_or_else(|f| panic!("{}", f[0]))
    }

    fn parsed(rows: &[&str]) -> Result<Vec<Fixture>, Vec<Fault>> {
        let base = "who = \"ada\"\nmethods = [\"passkey\"]\napp = \"crm\"\nat = \"2026-09-30T10:00:00Z\"\n";
        let rows = rows.iter().enumerate().map(|(i, r)| format!("[[test]]\nname = \"{i}\"\n{base}{r}\n"));
        parse_fixtures(&FixtureText { file: "t.toml".into(), text: rows.collect() }, &|_| Some(BTreeSet::new()))
    }

    fn check(rows: &[&str]) -> Vec<String> {
        let fixtures = parsed(rows).unwrap_or_else(|f| panic!("{}", f[0]));
        run_fixtures(&snapshot(), &fixtures).into_iter().map(|f| f.fault.what).collect()
    }

    const DESK: &str =
        "groups = [\"desk\"]\ndevice = { managed = true, id = \"lt-9\", max_age_secs = 60 }\nexpect = \"permit\"";
    const GRANT: &str = "action = \"admin\"\ngrant = { purpose = \"repair\", from_secs_ago = 10, for_secs = 20 }\nexpect = \"permit\"\nrules = [\"grant\"]";
    const LATE: &str = "action = \"admin\"\ngrant = { purpose = \"repair\", from_secs_ago = 30, for_secs = 20 }\nexpect = \"deny\"\nreason = \"grant_required\"\nrules = []\nremedies = [\"ask_owner\"]";

    #[test]
    fn grants_rules_and_remedies_are_asserted() {
        assert_eq!(check(&[DESK, GRANT, LATE]), [""; 0]);
        let wrong = [
            format!("{DESK}\nrules = [\"grant\"]"),
            LATE.replace("ask_owner", "step_up"),
            GRANT.replace("for_secs = 20", "for_secs = 5"),
        ];
        let wrong: Vec<&str> = wrong.iter().map(String::as_str).collect();
        assert_eq!(
            check(&wrong),
            [
                "test `0`: expected rules grant, got rules desk",
                "test `1`: expected remedies step_up, got remedies ask_owner",
                "test `2`: expected permit, got deny (grant_required)"
            ]
        );
    }

    #[test]
    fn what_a_fixture_cannot_mean_is_a_fault() {
        let fault = |row: &str| parsed(&[row]).map(|_| ()).expect_err("a fault")[0].to_string();
        assert!(fault("expect = \"deny\"\nremedies = [\"coffee\"]").contains("`coffee` is no remedy"));
        assert!(fault("expect = \"permit\"\nremedies = [\"step_up\"]").contains("a permit needs no remedy"));
        assert!(fault("grant = { porpoise = \"x\" }\nexpect = \"deny\"").contains("porpoise"));
    }

    #[test]
    fn coverage_names_every_condition_that_no_test_tries() {
        let covered = |rows: &[&str]| {
            let fixtures = parsed(rows).unwrap_or_else(|f| panic!("{}", f[0]));
            Coverage::of(&snapshot(), fixtures.iter().map(|f| (f.ask(), f.at())))
        };
        let nothing = covered(&[]);
        assert_eq!((nothing.decided().of, nothing.sides().of, nothing.sides().all), (0, 0, 2 * (2 + 1 + 3)));
        let c = covered(&[DESK, "groups = [\"desk\"]\nexpect = \"deny\"", GRANT]);
        assert_eq!((c.decided().of, c.decided().all), (2, 3));
        assert_eq!((c.near_missed().of, c.near_missed().all), (2, 3), "{c:#?}");
        let desk = &c.rules[0];
        assert_eq!((desk.decided, desk.near_misses, desk.atoms[1].held, desk.atoms[1].failed), (1, 1, 1, 1));
        assert_eq!(desk.gaps(), ["crm.cedar:3: `desk`: no test in which when \"from 08:00\" is not met"]);
        let never = c.rules[2].gaps();
        assert_eq!(never[0], "crm.cedar:7: no test shows that `never` forbids anything");
        assert!(
            never.contains(&"crm.cedar:8: `never`: no test in which when \"from KP\" is met".to_owned()),
            "{never:?}"
        );
        assert!(
            never.contains(
                &"crm.cedar:8: `never`: no test in which unless \"with two factors\" does not lift it".to_owned()
            ),
            "{never:?}"
        );
        let full = covered(&[
            DESK,
            "groups = [\"desk\"]\nexpect = \"deny\"",
            "groups = [\"desk\"]\nsigned_in_secs_ago = 5\nexpect = \"deny\"",
            "country = \"KP\"\nexpect = \"deny\"",
        ]);
        assert_eq!(full.rules[2].decided, 0, "two factors lift it");
    }
}
