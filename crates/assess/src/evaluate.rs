//! From a framework and evidence to intervals.

use std::collections::{BTreeMap, BTreeSet};

use safeconduct_model::{Duration, Timestamp};
use serde::Serialize;

use crate::evidence::{Evidence, Measurement};
use crate::framework::{
    Bar, Class, Condition, Criterion, Framework, Kind, Quantifiers, Row, Source, Stage, Test, Unit,
};

/// What is known about a criterion.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Truth {
    /// It is met.
    True,
    /// It is not met.
    False,
    /// No source says so, or the population is empty or too small.
    Unknown,
    /// The last figure is too old; it counts as unknown.
    Stale,
    /// It does not concern the organisation, by a decision that names person, reason and end.
    NotApplicable,
}

/// What was found about one criterion.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The criterion.
    pub id: String,
    /// Its stage.
    pub stage: Stage,
    /// In words.
    pub text: String,
    /// What is known.
    pub truth: Truth,
    /// Whether a statement, and no figure, makes it true.
    pub attested: bool,
    /// Whether a statement says yes where the figures say no.
    pub contradiction: bool,
    /// The figures, or why there are none.
    pub found: String,
    /// The sources that would decide it, where it is not decided.
    pub would_decide: BTreeSet<Source>,
}

/// One row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RowResult {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its pillar.
    pub pillar: String,
    /// What kind of row it is.
    pub kind: Kind,
    /// How far evidence decides it.
    pub class: Class,
    /// The highest stage of which every criterion is met, and those of all stages below.
    pub proven: Stage,
    /// The highest stage with no failed criterion at or below it.
    pub possible: Stage,
    /// Whether the proven stage rests on a statement somewhere.
    pub attested: bool,
    /// The criteria.
    pub findings: Vec<Finding>,
    /// The sources that would decide what is open between proven and possible.
    pub would_decide: BTreeSet<Source>,
}

/// How many rows stand where. A profile and a floor, never a mean: a mean hides gaps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RollUp {
    /// The pillar's id; `all` for everything.
    pub id: String,
    /// Its name.
    pub name: String,
    /// How many rows it has.
    pub rows: usize,
    /// How many rows are proven at each stage, from Traditional.
    pub proven: [usize; 4],
    /// How many rows could be at each stage.
    pub possible: [usize; 4],
    /// The lowest proven stage.
    pub floor: Stage,
    /// The lowest possible stage.
    pub possible_floor: Stage,
}

/// What the criteria rest on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Default)]
pub struct Mix {
    /// Met or failed by figures.
    pub measured: usize,
    /// Met by a statement.
    pub attested: usize,
    /// Unknown.
    pub unknown: usize,
    /// Too old.
    pub stale: usize,
    /// Out of scope.
    pub not_applicable: usize,
}

/// A framework held against evidence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Assessment {
    /// The framework's id.
    pub framework: String,
    /// Its name and edition.
    pub title: String,
    /// What readers must know.
    pub note: String,
    /// At which time.
    pub as_of: Timestamp,
    /// The rows, in order.
    pub rows: Vec<RowResult>,
    /// The pillars, in order, the enterprise last.
    pub pillars: Vec<RollUp>,
    /// All rows together.
    pub all: RollUp,
    /// What the criteria rest on.
    pub mix: Mix,
    /// For each source that is not connected, the rows that it would help to decide.
    pub would_decide: BTreeMap<Source, Vec<String>>,
}

/// Holds the framework against the evidence, as of an instant.
#[must_use]
pub fn evaluate(framework: &Framework, evidence: &Evidence, as_of: Timestamp) -> Assessment {
    let judge = Judge { framework, evidence, as_of };
    let rows: Vec<RowResult> = framework.rows.iter().map(|row| judge.row(row)).collect();
    let pillars = framework.pillars.iter().map(|p| roll_up(&p.id, &p.name, rows.iter().filter(|r| r.pillar == p.id)));
    let mut mix = Mix::default();
    for finding in rows.iter().flat_map(|r| &r.findings) {
        *match finding.truth {
            Truth::True if finding.attested => &mut mix.attested,
            Truth::True | Truth::False => &mut mix.measured,
            Truth::Unknown => &mut mix.unknown,
            Truth::Stale => &mut mix.stale,
            Truth::NotApplicable => &mut mix.not_applicable,
        } += 1;
    }
    let mut would_decide: BTreeMap<Source, Vec<String>> = BTreeMap::new();
    for row in &rows {
        for source in row.would_decide.iter().filter(|s| !evidence.connected.contains(s)) {
            would_decide.entry(*source).or_default().push(row.id.clone());
        }
    }
    Assessment {
        framework: framework.id.clone(),
        title: format!("{}, {}", framework.name, framework.edition),
        note: framework.note.clone(),
        as_of,
        pillars: pillars.collect(),
        all: roll_up("all", "All rows", rows.iter()),
        rows,
        mix,
        would_decide,
    }
}

fn roll_up<'r>(id: &str, name: &str, rows: impl Iterator<Item = &'r RowResult>) -> RollUp {
    let mut found = RollUp {
        id: id.to_owned(),
        name: name.to_owned(),
        rows: 0,
        proven: [0; 4],
        possible: [0; 4],
        floor: Stage::Traditional,
        possible_floor: Stage::Traditional,
    };
    for row in rows {
        found.rows += 1;
        found.proven[row.proven as usize] += 1;
        found.possible[row.possible as usize] += 1;
    }
    let lowest = |profile: &[usize; 4]| {
        Stage::ALL.iter().copied().find(|s| profile[*s as usize] > 0).unwrap_or(Stage::Traditional)
    };
    found.floor = lowest(&found.proven);
    found.possible_floor = lowest(&found.possible);
    found
}

struct Judge<'a> {
    framework: &'a Framework,
    evidence: &'a Evidence,
    as_of: Timestamp,
}

impl Judge<'_> {
    fn row(&self, row: &Row) -> RowResult {
        let findings: Vec<Finding> = row.criteria.iter().map(|c| self.criterion(row, c)).collect();
        let (proven, possible) = interval(findings.iter().map(|f| (f.stage, f.truth)));
        let open = |f: &&Finding| f.stage > proven && f.stage <= possible;
        RowResult {
            id: row.id.clone(),
            name: row.name.clone(),
            pillar: row.pillar.clone(),
            kind: row.kind,
            class: row.class,
            proven,
            possible,
            attested: findings.iter().any(|f| f.attested && f.stage <= proven),
            would_decide: findings.iter().filter(open).flat_map(|f| f.would_decide.iter().copied()).collect(),
            findings,
        }
    }

    fn criterion(&self, row: &Row, criterion: &Criterion) -> Finding {
        let mut finding = Finding {
            id: criterion.id.clone(),
            stage: criterion.stage,
            text: criterion.text.clone(),
            truth: Truth::Unknown,
            attested: false,
            contradiction: false,
            found: String::new(),
            would_decide: BTreeSet::new(),
        };
        if let Some(scope) = self.evidence.out_of_scope.get(&criterion.id).filter(|s| self.as_of < s.until) {
            finding.truth = Truth::NotApplicable;
            finding.found = format!("not applicable by decision of {}: {}", scope.by, scope.reason);
            return finding;
        }
        match &criterion.condition {
            Condition::Attest => {
                "no statement".clone_into(&mut finding.found);
                finding.would_decide.insert(Source::Attestation);
            }
            Condition::Metric(test) => self.tests(std::slice::from_ref(test), &mut finding),
            Condition::AnyOf(tests) => self.tests(tests, &mut finding),
        }
        self.attest(row, criterion, &mut finding);
        finding
    }

    /// The best of several conditions, as Kleene's "or" says.
    fn tests(&self, tests: &[Test], finding: &mut Finding) {
        let told: Vec<Told> = tests.iter().map(|t| self.test(t, finding.stage)).collect();
        finding.truth = any_of(told.iter().map(|t| t.truth));
        finding.found = told.iter().map(|t| t.found.as_str()).collect::<Vec<_>>().join("; ");
        if matches!(finding.truth, Truth::Unknown | Truth::Stale) {
            finding.would_decide = told.into_iter().flat_map(|t| t.would_decide).collect();
        }
    }

    /// A statement makes an undecided criterion true, within the limits of the row's class. It never overrules a figure.
    fn attest(&self, row: &Row, criterion: &Criterion, finding: &mut Finding) {
        let Some(said) = self.evidence.attestations.get(&criterion.id) else { return };
        let holds = said.from <= self.as_of && self.as_of < said.until && said.by != said.reviewer;
        let carries = row.class != Class::Decidable || criterion.stage == Stage::Initial;
        match finding.truth {
            Truth::False if holds => finding.contradiction = true,
            Truth::Unknown | Truth::Stale if holds && carries => {
                finding.truth = Truth::True;
                finding.attested = true;
                finding.found = format!("attested by {} until {}: {}", said.by, said.until, said.statement);
                finding.would_decide.clear();
            }
            _ => {}
        }
    }

    fn test(&self, test: &Test, stage: Stage) -> Told {
        let Some(metric) = self.framework.metrics.get(&test.metric) else {
            return Told::open(format!("no metric `{}`", test.metric), BTreeSet::new());
        };
        let all: BTreeSet<Source> = metric.sources.iter().copied().collect();
        let missing: BTreeSet<Source> = all.difference(&self.evidence.connected).copied().collect();
        let needed = if missing.is_empty() { all } else { missing.clone() };
        let Some(m) = self.evidence.measurements.get(&test.key()) else {
            let why = if missing.is_empty() { "connected, but no figure yet" } else { "not measured" };
            return Told::open(format!("{}: {why}", test.key()), needed);
        };
        let found = format!("{}: {}", test.key(), figures(m, test, metric.unit));
        if m.computed_at > self.as_of {
            return Told::open(format!("{found}, from the future"), needed);
        }
        if self.as_of.since(m.computed_at) > Duration::from_hours(metric.fresh_hours) {
            return Told { truth: Truth::Stale, found: format!("{found}, too old"), would_decide: needed };
        }
        let truth = compare(m, test, metric.unit, &self.framework.quantifiers);
        match truth {
            // Seen from one side only. That suffices to begin with and to fail, but not for more.
            Truth::True if !missing.is_empty() && stage > Stage::Initial => {
                Told::open(format!("{found} (inside view: only what passes the gateway)"), missing)
            }
            Truth::True if !missing.is_empty() => {
                Told { truth, found: format!("{found} (inside view)"), would_decide: missing }
            }
            Truth::Unknown => Told::open(found, needed),
            _ => Told { truth, found, would_decide: BTreeSet::new() },
        }
    }
}

/// What one condition comes to.
struct Told {
    truth: Truth,
    found: String,
    would_decide: BTreeSet<Source>,
}

impl Told {
    fn open(found: String, would_decide: BTreeSet<Source>) -> Self {
        Self { truth: Truth::Unknown, found, would_decide }
    }
}

/// Proven and possible stage of a row.
pub(crate) fn interval(findings: impl Iterator<Item = (Stage, Truth)>) -> (Stage, Stage) {
    let mut by_stage: BTreeMap<Stage, Vec<Truth>> = BTreeMap::new();
    for (stage, truth) in findings {
        by_stage.entry(stage).or_default().push(truth);
    }
    let (mut proven, mut possible) = (Stage::Traditional, Stage::Traditional);
    let mut holds = true;
    for stage in [Stage::Initial, Stage::Advanced, Stage::Optimal] {
        let truth = all_of(by_stage.remove(&stage).unwrap_or_default().into_iter());
        if truth == Truth::False {
            break;
        }
        possible = stage;
        holds &= truth == Truth::True;
        if holds {
            proven = stage;
        }
    }
    (proven, possible)
}

/// Kleene's "and". What is not applicable is skipped; where nothing else is left, nothing is proven.
pub(crate) fn all_of(truths: impl Iterator<Item = Truth>) -> Truth {
    let mut met = false;
    let mut open = false;
    for truth in truths {
        match truth {
            Truth::False => return Truth::False,
            Truth::Unknown | Truth::Stale => open = true,
            Truth::True => met = true,
            Truth::NotApplicable => {}
        }
    }
    if met && !open { Truth::True } else { Truth::Unknown }
}

/// Kleene's "or".
pub(crate) fn any_of(truths: impl Iterator<Item = Truth>) -> Truth {
    let (mut open, mut stale, mut failed) = (false, false, false);
    for truth in truths {
        match truth {
            Truth::True => return Truth::True,
            Truth::Unknown => open = true,
            Truth::Stale => stale = true,
            Truth::False => failed = true,
            Truth::NotApplicable => {}
        }
    }
    match (open, stale, failed) {
        (false, true, _) => Truth::Stale,
        (false, false, true) => Truth::False,
        _ => Truth::Unknown,
    }
}

/// A figure against a bar. What is unknown inside the population could go either way, so both ends are compared.
#[expect(clippy::cast_precision_loss, reason = "counts beyond 2^52 do not occur")]
fn compare(m: &Measurement, test: &Test, unit: Unit, q: &Quantifiers) -> Truth {
    if m.den < test.min_population.max(1) || m.num > m.den && unit != Unit::Count {
        return Truth::Unknown;
    }
    let decide = |low: bool, high: bool| match (low, high) {
        (true, true) => Truth::True,
        (false, false) => Truth::False,
        _ => Truth::Unknown,
    };
    let den = m.den as f64;
    let most = if unit == Unit::Count { m.num + m.unknown } else { (m.num + m.unknown).min(m.den) };
    let reaches = |num: u64, share: f64| num as f64 >= share * den;
    let meets = |num: u64| match test.bar {
        Bar::Some => num >= 1 && reaches(num, q.some),
        Bar::Half => reaches(num, q.half),
        Bar::Most => reaches(num, q.most),
        Bar::All if unit == Unit::ShareOfEvents => reaches(num, q.all_events),
        Bar::All => num + m.excepted >= m.den && m.excepted as f64 <= q.all_exceptions * den,
        Bar::Number(n) if unit == Unit::Count => num as f64 >= n,
        Bar::Number(n) => reaches(num, n),
    };
    let stays = |num: u64| match test.bar {
        Bar::Number(n) if unit == Unit::Count => num as f64 <= n,
        Bar::Number(n) => num as f64 <= n * den,
        _ => false,
    };
    match (unit, test.statistic) {
        (Unit::Duration | Unit::Level, Some(statistic)) => {
            let (Some(value), Bar::Number(n)) = (m.statistics.get(&statistic), test.bar) else { return Truth::Unknown };
            let bar = if unit == Unit::Duration { n * 1_000.0 } else { n };
            let holds = if test.at_least { *value as f64 >= bar } else { *value as f64 <= bar };
            // Events of which nothing is known could move any percentile.
            if m.unknown > 0 { Truth::Unknown } else { decide(holds, holds) }
        }
        (Unit::Duration | Unit::Level, None) => Truth::Unknown,
        _ if test.at_least => decide(meets(m.num), meets(most)),
        _ => decide(stays(m.num), stays(most)),
    }
}

/// The figures in words.
fn figures(m: &Measurement, test: &Test, unit: Unit) -> String {
    let mut text = match (unit, test.statistic) {
        _ if m.den == 0 => "nothing to measure yet".to_owned(),
        (Unit::Duration, Some(s)) => match m.statistics.get(&s) {
            Some(ms) => format!("{} over {} events", Duration::from_millis(*ms), m.den),
            None => "no figure".to_owned(),
        },
        (Unit::Level, Some(s)) => match m.statistics.get(&s) {
            Some(value) => format!("{value} over {} events", m.den),
            None => "no figure".to_owned(),
        },
        (Unit::Count, _) => format!("{} (of {} looked at)", m.num, m.den),
        _ => {
            let permille = u128::from(m.num) * 1_000 / u128::from(m.den);
            format!("{}.{} % ({} of {})", permille / 10, permille % 10, m.num, m.den)
        }
    };
    for (count, what) in [(m.unknown, "unknown"), (m.excepted, "excepted"), (m.excluded, "excluded")] {
        if count > 0 {
            text.push_str(&format!(", {count} {what}"));
        }
    }
    text
}
