//! Verdict fixtures: `policies/tests/*.toml` say what must be permitted and what must be denied, and why. They are asserted
//! before a snapshot may serve.

use std::collections::BTreeSet;
use std::net::IpAddr;

use safeconduct_model::{
    Action, AppId, Ask, Auth, Check, DeviceFacts, Duration, Fault, GroupId, Method, PersonId, Place, Principal, Reason,
    Stated, Timestamp, What, Who, Why,
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
    expect: Answer,
    #[serde(default)]
    reason: Option<Reason>,
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
            Ok((name, ask, at, expect)) => {
                fixtures.push(Fixture { name, file: source.file.clone(), line, ask, at, expect });
            }
            Err((what, remedy)) => faults.push(Fault::new(&source.file, line, what, remedy)),
        }
    }
    if faults.is_empty() { Ok(fixtures) } else { Err(faults) }
}

type Bad = (String, &'static str);

fn fixture(row: Row, people: People<'_>) -> Result<(String, Ask, Timestamp, Expect), Bad> {
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
    let method = row.method.unwrap_or_else(|| if row.action == Action::Read { "GET" } else { "POST" }.to_owned());
    let auth = (!row.methods.is_empty()).then(|| Auth {
        session: "fixture".parse().expect("a fixed id is valid"),
        methods: row.methods,
        at: at - Duration::from_secs(row.signed_in_secs_ago),
        until: Timestamp::MAX,
    });
    let device = row.device.map(|d| DeviceFacts {
        id: "fixture".parse().expect("a fixed id is valid"),
        managed: d.managed,
        reported: Some(at - Duration::from_secs(d.report_secs_ago)),
        max_age: Duration::from_mins(15),
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
        why: Why { stated, grant: None },
    };
    Ok((row.name, ask, at, expect))
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
    (wanted != got).then(|| FixtureFailure {
        name: fixture.name.clone(),
        fault: Fault::new(
            &fixture.file,
            fixture.line,
            format!("test `{}`: expected {wanted}, got {got}", fixture.name),
            "change the rules, or the test if the rules are right",
        ),
    })
}
