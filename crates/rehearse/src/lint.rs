//! What is odd about a rule although it is valid: it does nothing, it lets in everybody, nobody answers for it, nobody needs it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use safeconduct_model::{Access, Class, Duration, Mode, RuleId, Timestamp};
use safeconduct_policy::{Effect, Expr, Rule, Scope, Snapshot, Stage};
use serde::Serialize;

use crate::prove::{Because, RuleAt, unreachable};

/// How long ahead the end of a rule is told.
pub const EXPIRES_SOON: Duration = Duration::from_days(30);

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Worth a look.
    Warning,
    /// Wrong.
    Error,
}

/// One finding about one rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Lint {
    /// How bad it is.
    pub level: Level,
    /// The stable name of the lint.
    pub name: &'static str,
    /// The rule.
    #[serde(flatten)]
    pub rule: RuleAt,
    /// What is odd.
    pub what: String,
    /// What to do.
    pub remedy: String,
}

/// When rules decided something, from the ledger.
#[derive(Clone, Debug, Default)]
pub struct Matches {
    /// The instants of the first and the last verdict.
    pub window: Option<(Timestamp, Timestamp)>,
    /// How often each rule decided, and when last.
    pub rules: BTreeMap<RuleId, (u64, Timestamp)>,
}

impl Matches {
    /// Adds a recorded verdict.
    pub fn add(&mut self, access: &Access) {
        let at = access.decided;
        let (first, last) = self.window.unwrap_or((at, at));
        self.window = Some((first.min(at), last.max(at)));
        for rule in &access.rules {
            let seen = self.rules.entry(rule.clone()).or_insert((0, at));
            *seen = (seen.0 + 1, seen.1.max(at));
        }
    }
}

/// What rules are held against.
#[derive(Clone, Debug)]
pub struct Linting<'l> {
    /// The instant.
    pub now: Timestamp,
    /// What the ledger says.
    pub matches: &'l Matches,
    /// How long a rule may decide nothing.
    pub idle_after: Duration,
    /// Every group that the estate knows; `None` where a directory knows them.
    pub groups: Option<BTreeSet<String>>,
}

/// Every finding, by file and line.
#[must_use]
pub fn lint(snapshot: &Snapshot, against: &Linting<'_>) -> Vec<Lint> {
    let mut found = Vec::new();
    for idle in unreachable(snapshot, against.now) {
        let (level, remedy) = match &idle.because {
            Because::NoApplication => (Level::Warning, "remove it, or lead an application to what it names"),
            Because::Contradiction => (Level::Error, "correct the conditions, or remove the rule"),
            Because::Covered(_) => (Level::Warning, "remove it, or narrow the others"),
            Because::Forbidden(_) => (Level::Warning, "remove it, or lift the forbid where it should hold"),
        };
        let what = format!("it does nothing: {}", idle.because.words());
        found.push(Lint { level, name: "unreachable", rule: idle.rule, what, remedy: remedy.to_owned() });
    }
    for rule in snapshot.rules() {
        let mut tell = |level, name, what: String, remedy: &str| {
            found.push(Lint { level, name, rule: RuleAt::of(rule), what, remedy: remedy.to_owned() });
        };
        if let Some((level, what)) = too_broad(rule, snapshot) {
            tell(level, "over-broad", what, "name a group, as in principal in Group::\"…\"");
        }
        if rule.note("owner").is_none() {
            tell(Level::Warning, "no-owner", "nobody answers for it".to_owned(), "add @owner(\"…\")");
        }
        if rule.note("why").is_none() {
            tell(Level::Warning, "no-why", "it does not say what it is for".to_owned(), "add @why(\"…\")");
        }
        if let Some(text) = rule.note("expires") {
            match ends(text, snapshot.zone()) {
                None => {
                    let what = format!("`{text}` is no date");
                    tell(Level::Error, "expires", what, "write it as in @expires(\"2027-03-31\")");
                }
                Some(end) if end <= against.now => {
                    tell(Level::Error, "expires", format!("it expired on {text}"), "remove it, or renew the date");
                }
                Some(end) if end <= against.now + EXPIRES_SOON => {
                    tell(Level::Warning, "expires", format!("it expires on {text}"), "renew the date, or let it go");
                }
                Some(_) => {}
            }
        }
        if let Some(what) = never_matched(rule, against) {
            tell(Level::Warning, "unused", what, "remove it, or keep it with a sentence in @why that says for when");
        }
        for group in against.groups.iter().flat_map(|known| groups(rule).into_iter().filter(|g| !known.contains(g))) {
            let what = format!("it speaks of Group `{group}`, which the estate does not know");
            tell(Level::Warning, "unknown-name", what, "correct the name, or add the group to estate/");
        }
    }
    found.sort_by(|a, b| (&a.rule.file, a.rule.line, a.name).cmp(&(&b.rule.file, b.rule.line, b.name)));
    found
}

/// A permit for whoever comes, on an application that matters and is enforced.
fn too_broad(rule: &Rule, snapshot: &Snapshot) -> Option<(Level, String)> {
    let mut names_somebody = false;
    for condition in &rule.when {
        condition.walk(&mut |e| names_somebody |= matches!(e, Expr::Path(p) if p == &["principal"]));
    }
    let anybody = matches!(rule.principal, Scope::Any | Scope::Kind(_, None));
    if rule.effect == Effect::Forbid || rule.stage == Stage::Shadow || !anybody || names_somebody {
        return None;
    }
    let apps = &snapshot.sources().applications;
    let enforced = apps.iter().filter(|app| app.mode == Mode::Enforce && rule.covers_application(app));
    let app = enforced.max_by_key(|app| app.class).filter(|app| app.class >= Class::High)?;
    let level = if app.class == Class::Critical { Level::Error } else { Level::Warning };
    Some((level, format!("it lets in everybody, and {} is of class {}", app.id, app.class)))
}

fn never_matched(rule: &Rule, against: &Linting<'_>) -> Option<String> {
    let (from, _) = against.matches.window?;
    let since = against.now - against.idle_after;
    let days = against.idle_after.secs() / 86_400;
    // A ledger that is younger says nothing.
    if from > since || rule.stage == Stage::Shadow {
        return None;
    }
    match against.matches.rules.get(&rule.id) {
        None => Some(format!("it decided nothing in {days} days")),
        Some((count, last)) if *last < since => {
            Some(format!("it decided nothing in {days} days; before that {count} times, last at {last}"))
        }
        Some(_) => None,
    }
}

/// The instant at which a rule expires: the end of a day, or an instant.
fn ends(text: &str, zone: &TimeZone) -> Option<Timestamp> {
    let millis = match text.parse::<Date>() {
        Ok(day) if text.len() == 10 => day.tomorrow().ok()?.to_zoned(zone.clone()).ok()?.timestamp(),
        _ => text.parse::<jiff::Timestamp>().ok()?,
    };
    Some(Timestamp::from_millis(millis.as_millisecond()))
}

/// Every group that a rule names.
fn groups(rule: &Rule) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    if let Scope::In(kind, id) | Scope::Kind(_, Some((kind, id))) = &rule.principal
        && kind == "Group"
    {
        found.insert(id.clone());
    }
    for condition in rule.when.iter().chain(&rule.unless) {
        condition.walk(&mut |e| {
            if let Expr::Entity(kind, id) = e
                && kind == "Group"
            {
                found.insert(id.clone());
            }
        });
    }
    found
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Warning => "warning",
            Self::Error => "error",
        })
    }
}

impl fmt::Display for Lint {
    /// `policies/x.cedar:3: warning: rule r1: what (name)` and the remedy on a line of its own.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { level, name, rule, what, remedy } = self;
        write!(f, "{}:{}: {level}: rule {}: {what} ({name})\n    {remedy}", rule.file, rule.line, rule.id)
    }
}
