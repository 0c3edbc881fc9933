//! The work: rules of the five-Ws shape, people in about twenty groups each, applications, requests. The same in every run.

use std::fmt::Write;

use serde_json::{Value, json};

use crate::dice::Dice;

/// People in every workload.
pub(crate) const PEOPLE: usize = 10_000;
/// Resources in every workload.
pub(crate) const RESOURCES: usize = 10_000;
/// What applications belong to.
const DATA_SETS: usize = 20;
/// Requests in every workload.
pub(crate) const REQUESTS: usize = 20_000;

/// How large a workload is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    pub rules: usize,
    pub groups: usize,
    pub apps: usize,
}

impl Size {
    /// The workload with so many rules.
    pub(crate) fn of(rules: usize) -> Self {
        let (groups, apps) = match rules {
            0..=99 => (5, 5),
            100..=4_999 => (100, 100),
            5_000..=49_999 => (500, 1_000),
            50_000..=499_999 => (2_000, 5_000),
            _ => (5_000, 10_000),
        };
        Self { rules, groups, apps }
    }
}

const ACTIONS: [&str; 3] = ["read", "write", "admin"];
const PURPOSES: [&str; 4] = ["support", "audit", "release", "close"];
/// 2026-01-01T00:00:00Z.
const DAY_MS: i64 = 1_767_225_600_000;
const HOUR_MS: i64 = 3_600_000;

/// One rule, not in any language yet.
pub(crate) struct Rule {
    pub permits: bool,
    group: usize,
    app: usize,
    action: &'static str,
    purpose: &'static str,
    from: usize,
    net: usize,
}

/// The rules, one at a time: a million of them as one text would fill the memory that is measured.
pub(crate) fn rules(size: Size) -> impl Iterator<Item = Rule> {
    let mut dice = Dice::new(size.rules as u64);
    (0..size.rules).map(move |i| Rule {
        permits: i % 50 != 49,
        group: dice.below(size.groups),
        app: dice.below(size.apps),
        action: ACTIONS[dice.below(3)],
        purpose: PURPOSES[dice.below(4)],
        from: dice.below(10),
        net: dice.below(4),
    })
}

impl Rule {
    pub(crate) fn cedar(&self) -> String {
        let Self { group, app, action, purpose, from, net, .. } = self;
        let effect = if self.permits { "permit" } else { "forbid" };
        format!(
            "{effect}(principal in Group::\"{group}\", action == Action::\"{action}\", resource in App::\"{app}\") when {{ \
             context.device.compliant && context.auth.mfa && context.time >= datetime(\"2026-01-01T00:00:00Z\") && \
             context.time.toTime() >= duration(\"{from}h\") && context.time.toTime() < duration(\"20h\") && \
             context.ip.isInRange(ip(\"10.{net}.0.0/16\")) && [\"{purpose}\", \"audit\"].contains(context.purpose) }};\n"
        )
    }

    /// The same in Rego. Groups and applications above a request are in the input, so that nothing is looked up.
    pub(crate) fn rego(&self) -> String {
        let Self { group, app, action, purpose, from, net, .. } = self;
        let effect = if self.permits { "permit" } else { "forbid" };
        let (first, last) = (*from as i64 * HOUR_MS, 20 * HOUR_MS);
        format!(
            "{effect} if {{ input.action == \"{action}\"; \"{app}\" in input.apps; \"{group}\" in input.groups; \
             input.device.compliant; input.auth.mfa; input.time >= {DAY_MS}; input.time_of_day >= {first}; \
             input.time_of_day < {last}; net.cidr_contains(\"10.{net}.0.0/16\", input.ip); \
             input.purpose in [\"{purpose}\", \"audit\"] }}\n"
        )
    }
}

/// Who is in which groups, directly and through others; what is in which application.
pub(crate) struct Estate {
    size: Size,
    groups: Vec<Vec<usize>>,
    people: Vec<Vec<usize>>,
    resources: Vec<usize>,
}

impl Estate {
    pub(crate) fn of(size: Size) -> Self {
        let mut dice = Dice::new(size.rules as u64 ^ 0xe57a7e);
        // A group may be in two with a smaller number, so that eight direct groups become about twenty.
        let groups = (0..size.groups).map(|g| {
            let above = (0..2).map(|_| dice.below(g.min(size.groups / 10).max(1)));
            above.filter(|p| *p < g && g % 2 == 0).collect()
        });
        let groups = groups.collect();
        let people = (0..PEOPLE).map(|_| (0..8).map(|_| dice.below(size.groups)).collect()).collect();
        let resources = (0..RESOURCES).map(|_| dice.below(size.apps)).collect();
        Self { size, groups, people, resources }
    }

    /// As Cedar's JSON, written without a tree of it: the tree would be in the memory that is measured.
    pub(crate) fn json(&self) -> String {
        let mut text = String::from("[");
        let mut row = |kind: &str, n: usize, above: &str, parents: &[usize]| {
            let comma = if text.len() > 1 { ",\n" } else { "" };
            let _ = write!(text, r#"{comma}{{"uid":{{"type":"{kind}","id":"{n}"}},"attrs":{{}},"parents":["#);
            for (i, parent) in parents.iter().enumerate() {
                let comma = if i > 0 { "," } else { "" };
                let _ = write!(text, r#"{comma}{{"type":"{above}","id":"{parent}"}}"#);
            }
            text.push_str("]}");
        };
        self.groups.iter().enumerate().for_each(|(g, above)| row("Group", g, "Group", above));
        self.people.iter().enumerate().for_each(|(u, above)| row("User", u, "Group", above));
        self.resources.iter().enumerate().for_each(|(r, app)| row("Resource", r, "App", &[*app]));
        (0..self.size.apps).for_each(|a| row("App", a, "DataSet", &[a % DATA_SETS]));
        text.push(']');
        text
    }

    fn all_groups(&self, person: usize) -> Vec<String> {
        let (mut found, mut open) = (std::collections::BTreeSet::new(), self.people[person].clone());
        while let Some(group) = open.pop() {
            if found.insert(group) {
                open.extend(&self.groups[group]);
            }
        }
        found.into_iter().map(|g| g.to_string()).collect()
    }

    /// In how many groups people are, on average.
    pub(crate) fn groups_each(&self) -> f64 {
        let all: usize = (0..PEOPLE).step_by(100).map(|p| self.all_groups(p).len()).sum();
        all as f64 / (PEOPLE / 100) as f64
    }
}

/// One request, not in any format yet.
pub(crate) struct Ask {
    person: usize,
    action: &'static str,
    resource: usize,
    compliant: bool,
    mfa: bool,
    day: usize,
    hour: usize,
    net: usize,
    purpose: &'static str,
}

pub(crate) fn asks(size: Size) -> impl Iterator<Item = Ask> {
    let mut dice = Dice::new(size.rules as u64 ^ 0xa5c);
    (0..REQUESTS).map(move |_| Ask {
        person: dice.below(PEOPLE),
        action: ACTIONS[dice.below(3)],
        resource: dice.below(RESOURCES),
        compliant: dice.below(10) > 0,
        mfa: dice.below(10) > 0,
        day: dice.below(9),
        hour: dice.below(24),
        net: dice.below(4),
        purpose: PURPOSES[dice.below(4)],
    })
}

impl Ask {
    pub(crate) fn cedar(&self) -> Value {
        let ext = |name: &str, argument: String| json!({ "__extn": { "fn": name, "arg": argument } });
        json!({
            "principal": { "type": "User", "id": self.person.to_string() },
            "action": { "type": "Action", "id": self.action },
            "resource": { "type": "Resource", "id": self.resource.to_string() },
            "context": {
                "device": { "compliant": self.compliant }, "auth": { "mfa": self.mfa },
                "time": ext("datetime", format!("2026-05-0{}T{:02}:30:00Z", 1 + self.day, self.hour)),
                "ip": ext("ip", format!("10.{}.3.4", self.net)), "purpose": self.purpose,
            },
        })
    }

    pub(crate) fn rego(&self, estate: &Estate) -> Value {
        let of_day = self.hour as i64 * HOUR_MS + HOUR_MS / 2;
        // 2026-05-01 is the 121st day of its year.
        let time = DAY_MS + (120 + self.day as i64) * 24 * HOUR_MS + of_day;
        json!({
            "groups": estate.all_groups(self.person), "apps": [estate.resources[self.resource].to_string()],
            "action": self.action, "device": { "compliant": self.compliant }, "auth": { "mfa": self.mfa },
            "time": time, "time_of_day": of_day, "ip": format!("10.{}.3.4", self.net), "purpose": self.purpose,
        })
    }
}
