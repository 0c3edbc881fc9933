//! Rule sets of the five-Ws shape with one rule edited, so that the truth is known: shared by tests and the bench.

use std::collections::BTreeSet;

use jiff::tz::TimeZone;
use safeconduct_model::{
    Action, Application, Ask, Auth, Check, Class, DeviceFacts, Duration, Hardening, Method, Mode, Place, Principal,
    Stated, Timestamp, What, Who, Why,
};
use safeconduct_policy::{PolicyText, Sources};

/// Dice that fall the same way for the same seed (xorshift64*).
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// A number below `n`.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let n = u64::try_from(n).expect("small");
        usize::try_from((self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % n).expect("small")
    }

    pub(crate) fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    pub(crate) fn pick<'t, T>(&mut self, from: &'t [T]) -> &'t T {
        &from[self.below(from.len())]
    }
}

/// A rule in parts, so that one of them can be edited.
#[derive(Clone, Debug)]
pub(crate) struct Made {
    forbid: bool,
    group: usize,
    app: usize,
    actions: usize,
    /// Minutes of the day; the whole day is no condition.
    hours: (usize, usize),
    /// The second and third byte of a network below 10.0.0.0/8 and its prefix; 0 is no condition.
    network: (usize, usize, usize),
    flags: Vec<usize>,
    purposes: Vec<usize>,
    path: Option<usize>,
    unless: Option<usize>,
}

const FLAGS: [&str; 6] = [
    "context.auth.mfa",
    "context.device.managed",
    "context.device.compliant",
    "context.device.disk_encrypted",
    "context.granted",
    "context.auth.phishing_resistant",
];
const ACTIONS: [&str; 3] = ["action == Action::\"read\"", "action in [Action::\"read\", Action::\"write\"]", "action"];
const PURPOSES: [&str; 4] = ["support", "close", "audit", "release"];
const UNLESS: [&str; 3] = ["context.net.zone == \"guest\"", "context.weekday >= 6", "context.auth.age > 36000"];
/// 2026-08-31T00:00:00Z.
const MONDAY: i64 = 1_788_134_400_000;
/// How many rules lie on one application.
const RULES_PER_APP: usize = 25;
/// How many groups there are for each rule; few, so that rules meet.
const RULES_PER_GROUP: usize = 10;

/// Whether an edit can only open or only close.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Looser,
    Tighter,
}

/// The kinds of edits, by name.
pub(crate) const EDITS: [&str; 8] =
    ["condition", "hours", "network", "purposes", "actions", "everybody", "unless", "rule"];

impl Made {
    fn roll(dice: &mut Dice, size: usize) -> Self {
        let apps = size.div_ceil(RULES_PER_APP);
        let mut flags: Vec<usize> = (0..FLAGS.len()).filter(|_| dice.one_in(3)).collect();
        flags.truncate(3);
        Self {
            forbid: dice.one_in(10),
            group: 1 + dice.below((size / RULES_PER_GROUP).max(3)),
            app: dice.below(apps),
            actions: dice.below(ACTIONS.len()),
            hours: if dice.one_in(2) { (420 + 30 * dice.below(8), 960 + 30 * dice.below(10)) } else { (0, 1_440) },
            network: if dice.one_in(3) { (dice.below(8), dice.below(8), *dice.pick(&[8, 16, 24])) } else { (0, 0, 0) },
            flags,
            purposes: if dice.one_in(3) { (0..PURPOSES.len()).filter(|_| dice.one_in(2)).collect() } else { vec![] },
            path: dice.one_in(4).then(|| dice.below(4)),
            unless: dice.one_in(5).then(|| dice.below(UNLESS.len())),
        }
    }

    fn text(&self, id: usize) -> String {
        let effect = if self.forbid { "forbid" } else { "permit" };
        let who = match self.group {
            0 => "principal".to_owned(),
            g => format!("principal in Group::\"g{g}\""),
        };
        let mut when: Vec<String> = self.flags.iter().map(|f| FLAGS[*f].to_owned()).collect();
        let (from, to) = self.hours;
        if (from, to) != (0, 1_440) {
            when.push(format!("context.minute >= {from} && context.minute < {to}"));
        }
        let (a, b, prefix) = self.network;
        if prefix > 0 {
            let address = match prefix {
                8 => "10.0.0.0".to_owned(),
                16 => format!("10.{a}.0.0"),
                _ => format!("10.{a}.{b}.0"),
            };
            when.push(format!("context.net.ip.isInRange(ip(\"{address}/{prefix}\"))"));
        }
        if !self.purposes.is_empty() {
            let list: Vec<String> = self.purposes.iter().map(|p| format!("\"{}\"", PURPOSES[*p])).collect();
            when.push(format!("context has purpose && [{}].contains(context.purpose)", list.join(", ")));
        }
        if let Some(path) = self.path {
            when.push(format!("context.path like \"/part-{path}/*\""));
        }
        let mut text = format!(
            "@id(\"r{id}\")\n{effect}({who}, {}, resource == Application::\"app-{}\")",
            ACTIONS[self.actions], self.app
        );
        if !when.is_empty() {
            text += &format!("\nwhen {{ {} }}", when.join(" && "));
        }
        if let Some(unless) = self.unless {
            text += &format!("\nunless {{ {} }}", UNLESS[unless]);
        }
        text + ";\n"
    }

    /// The same rule, speaking of more or of less; `None` where this kind of edit does not apply.
    fn edited(&self, kind: &str, more: bool, dice: &mut Dice) -> Option<Self> {
        let mut new = self.clone();
        match (kind, more) {
            ("condition", true) => {
                let at = (!new.flags.is_empty()).then(|| dice.below(new.flags.len()))?;
                new.flags.remove(at);
            }
            ("condition", false) => {
                let missing: Vec<usize> = (0..FLAGS.len()).filter(|f| !new.flags.contains(f)).collect();
                new.flags.push(*dice.pick(&missing));
            }
            ("hours", true) => {
                (new.hours != (0, 1_440)).then_some(())?;
                new.hours =
                    if dice.one_in(2) { (new.hours.0 - 60, new.hours.1) } else { (new.hours.0, new.hours.1 + 60) };
            }
            ("hours", false) => new.hours = (new.hours.0 + 30, new.hours.1),
            ("network", true) => match new.network.2 {
                24 | 16 => new.network.2 -= 8,
                8 => new.network.2 = 0,
                _ => return None,
            },
            ("network", false) => match new.network.2 {
                24 => return None,
                0 => new.network = (0, 0, 8),
                _ => new.network.2 += 8,
            },
            ("purposes", true) => {
                let missing: Vec<usize> = (0..PURPOSES.len()).filter(|p| !new.purposes.contains(p)).collect();
                (!new.purposes.is_empty() && !missing.is_empty()).then_some(())?;
                new.purposes.push(*dice.pick(&missing));
            }
            ("purposes", false) => match new.purposes.len() {
                0 => new.purposes = vec![0, 1],
                1 => return None,
                _ => {
                    new.purposes.pop();
                }
            },
            ("actions", true) => new.actions = (new.actions < 2).then_some(new.actions + 1)?,
            ("actions", false) => new.actions = new.actions.checked_sub(1)?,
            ("everybody", true) => new.group = (new.group > 0).then_some(0)?,
            ("unless", true) => new.unless = new.unless.is_some().then_some(None)?,
            ("unless", false) => new.unless = new.unless.is_none().then(|| Some(dice.below(UNLESS.len())))?,
            _ => return None,
        }
        Some(new)
    }
}

/// A rule set, its edited copy, and what is known about the two.
pub(crate) struct Pair {
    pub(crate) current: Sources,
    pub(crate) candidate: Sources,
    pub(crate) way: Way,
    /// Whether the edited rule is alone on its application, so that nothing else hides the edit.
    pub(crate) alone: bool,
    /// Which rule was edited.
    pub(crate) edited: String,
}

/// A set of `size` rules and the same with one rule edited in this way; `None` if no rule of it takes such an edit. Where
/// `alone`, the edited rule is a permit and no other rule speaks of its application.
pub(crate) fn pair(seed: u64, size: usize, kind: &str, way: Way, alone: bool) -> Option<Pair> {
    let mut dice = Dice::new(seed);
    let mut rules: Vec<Made> = (0..size).map(|_| Made::roll(&mut dice, size)).collect();
    let apps = size.div_ceil(RULES_PER_APP) + 1;
    let (at, edited) = (0..200).find_map(|_| {
        let at = dice.below(size);
        let mut rule = rules[at].clone();
        if alone {
            (rule.forbid, rule.app) = (false, apps - 1);
            // Hours on weekdays only, so that no `unless` empties the edit.
            rule.unless = None;
        }
        // A permit that says more is looser; a forbid that says more is tighter.
        let more = (way == Way::Looser) != rule.forbid;
        let edited = match kind {
            "rule" => None,
            kind => Some(rule.edited(kind, more, &mut dice)?),
        };
        // A rule that comes or goes: the first set has it if less is wanted.
        rules[at] = rule;
        Some((at, edited))
    })?;
    let text = |replaced: Option<&Made>, without: bool| {
        let rules = rules.iter().enumerate().filter(|(i, _)| !(without && *i == at));
        rules.map(|(i, r)| if i == at { replaced.unwrap_or(r) } else { r }.text(i)).collect::<String>()
    };
    let (current, candidate) = match &edited {
        Some(edited) => (text(None, false), text(Some(edited), false)),
        None if (way == Way::Looser) != rules[at].forbid => (text(None, true), text(None, false)),
        None => (text(None, false), text(None, true)),
    };
    let sources = |text: String| Sources {
        policies: vec![PolicyText { file: "generated.cedar".into(), text }],
        applications: (0..apps).map(|n| app(&format!("app-{n}"))).collect(),
        assets: vec![],
        zone: TimeZone::UTC,
    };
    let edited = rules[at].text(at);
    Some(Pair { current: sources(current), candidate: sources(candidate), way, alone, edited })
}

fn app(id: &str) -> Application {
    Application {
        id: id.parse().expect("id"),
        name: id.into(),
        hosts: vec![],
        upstream: "http://127.0.0.1:1".into(),
        connector: None,
        mode: Mode::Enforce,
        class: Class::Moderate,
        assets: BTreeSet::new(),
        owner: None,
        routes: vec![],
        hardening: Hardening::default(),
    }
}

/// A random request of the kind that the generated rules are about.
pub(crate) fn request(dice: &mut Dice, apps: usize, groups: usize) -> (Ask, Timestamp) {
    let now = Timestamp::from_millis(MONDAY + i64::try_from(dice.below(7 * 1_440)).expect("small") * 60_000);
    let methods = [vec![Method::Password], vec![Method::Password, Method::Totp], vec![Method::Passkey]];
    let passed = if dice.one_in(2) { vec![Check::DiskEncrypted] } else { vec![] };
    let required = if dice.one_in(2) { vec![] } else { vec![Check::Firewall] };
    let byte = |dice: &mut Dice| u8::try_from(dice.below(8)).expect("small");
    let net = [*dice.pick(&[10, 192]), byte(dice), byte(dice), 1];
    let purposes = ["support", "close", "audit", "release", "other"];
    let ask = Ask {
        request: "r".parse().expect("id"),
        who: Who {
            principal: Principal::Person("ada".parse().expect("id")),
            groups: (0..3).map(|_| format!("g{}", 1 + dice.below(groups)).parse().expect("id")).collect(),
            auth: Some(Auth {
                session: "s".parse().expect("id"),
                methods: dice.pick(&methods).iter().copied().collect(),
                at: now - Duration::from_secs(if dice.one_in(4) { 40_000 } else { 60 }),
                until: now + Duration::from_hours(1),
            }),
        },
        what: What {
            app: format!("app-{}", dice.below(apps)).parse().expect("id"),
            action: *dice.pick(&Action::ALL),
            method: "GET".into(),
            path: format!("/part-{}/x", dice.below(5)),
        },
        place: Place {
            ip: net.into(),
            network: dice.one_in(4).then(|| "guest".into()),
            country: None,
            device: (!dice.one_in(4)).then(|| DeviceFacts {
                id: "lt-1".parse().expect("id"),
                managed: dice.one_in(2),
                reported: Some(now),
                max_age: Duration::from_hours(1),
                passed: passed.into_iter().collect(),
                required: required.into_iter().collect(),
            }),
        },
        why: Why {
            stated: dice.one_in(2).then(|| Stated { purpose: (*dice.pick(&purposes)).into(), ticket: None }),
            grant: None,
        },
        lock: None,
    };
    (ask, now)
}
