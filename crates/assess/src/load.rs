//! From a framework file to a framework, or to every fault in it.

use std::collections::{BTreeMap, BTreeSet};

use safeconduct_model::Fault;
use toml::de::DeTable;

use crate::framework::{
    Bar, Class, Condition, Criterion, Framework, Kind, Metric, Pillar, Quantifiers, Row, Source, Stage, Statistic,
    Test, Unit,
};
use crate::read::{Reader, Table};

/// The largest framework file, in bytes.
pub const MAX_FILE: usize = 4 * 1024 * 1024;
/// A smaller population decides nothing, unless the criterion says otherwise.
const MIN_POPULATION: u64 = 1;
/// For how many hours a figure counts, unless the metric says otherwise.
const FRESH_HOURS: u64 = 24;
/// The id of the pillar that holds the rows of the whole enterprise.
const ENTERPRISE: &str = "enterprise";

/// The stages that need proof, with the words of framework files.
const STAGES: [(&str, Stage); 3] =
    [("initial", Stage::Initial), ("advanced", Stage::Advanced), ("optimal", Stage::Optimal)];

/// Reads a framework file. `file` is its name, as the person knows it.
pub fn load_framework(file: &str, text: &str) -> Result<Framework, Vec<Fault>> {
    let mut r = Reader::new(file, text);
    if text.len() > MAX_FILE {
        r.fault_of_file("the file is larger than 4 MiB", "split the framework");
        return Err(r.faults());
    }
    let root = match DeTable::parse(text) {
        Ok(root) => root,
        Err(e) => {
            r.fault(e.span().map_or(0, |s| s.start), e.message().to_owned(), "see https://toml.io for the syntax");
            return Err(r.faults());
        }
    };
    let root = Table::root(root.get_ref());
    r.only(root, &["framework", "quantifiers", "pillar", "metric", "row"]);

    let (mut id, mut name, mut edition, mut note, mut count) = Default::default();
    if let Some(head) = r.table(root, "framework") {
        r.only(head, &["id", "name", "edition", "note", "rows"]);
        id = r.text(head, "id").unwrap_or_default();
        name = r.text(head, "name").unwrap_or_default();
        edition = r.text(head, "edition").unwrap_or_default();
        note = r.text(head, "note").unwrap_or_default();
        count = r.whole_if_any(head, "rows");
    }
    let quantifiers = quantifiers(&mut r, root);
    let pillars: Vec<Pillar> = r
        .tables(root, "pillar")
        .into_iter()
        .filter_map(|t| {
            r.only(t, &["id", "name"]);
            Some(Pillar { id: r.text(t, "id")?, name: r.text(t, "name")? })
        })
        .collect();
    let mut metrics = BTreeMap::new();
    for t in r.tables(root, "metric") {
        if let Some(metric) = metric(&mut r, t)
            && let Some(twice) = metrics.insert(metric.id.clone(), metric)
        {
            r.fault(t.start(), format!("metric `{}` stands already above", twice.id), "give one of them another id");
        }
    }
    let mut seen = BTreeSet::new();
    let mut rows = Vec::new();
    let tables = r.tables(root, "row");
    let written = tables.len() as u64;
    for t in tables {
        let Some(row) = row(&mut r, t, &mut metrics) else { continue };
        if !seen.insert(row.id.clone()) {
            r.fault(t.start(), format!("row `{}` stands already above", row.id), "give one of them another id");
        }
        if !pillars.iter().any(|p| p.id == row.pillar) {
            let known: Vec<&str> = pillars.iter().map(|p| p.id.as_str()).collect();
            let remedy = format!("use one of: {}", known.join(", "));
            r.fault(
                t.start(),
                format!("row `{}` names a pillar that does not exist: `{}`", row.id, row.pillar),
                remedy,
            );
        }
        if (row.kind == Kind::Enterprise) != (row.pillar == ENTERPRISE) {
            let what = format!("row `{}` is of kind {} in the pillar `{}`", row.id, row.kind.label(), row.pillar);
            r.fault(t.start(), what, "rows of kind `enterprise`, and no others, belong to the pillar `enterprise`");
        }
        rows.push(row);
    }
    if let Some(count) = count.filter(|n| *n != written) {
        let what = format!("the file says that it has {count} rows, but it has {written}");
        r.fault_of_file(what, "add the missing rows, or correct `rows`");
    }
    r.done(Framework { id, name, edition, note, quantifiers, pillars, metrics, rows })
}

fn quantifiers<'t>(r: &mut Reader<'t>, root: Table<'_, 't>) -> Quantifiers {
    let mut found = Quantifiers { some: 1.0, half: 1.0, most: 1.0, all_events: 1.0, all_exceptions: 0.0 };
    if let Some(t) = r.table(root, "quantifiers") {
        r.only(t, &["some", "half", "most", "all_events", "all_exceptions"]);
        let mut share = |key: &str, into: &mut f64| {
            if let Some(n) = r.number(t, key) {
                if (0.0..=1.0).contains(&n) {
                    *into = n;
                } else {
                    r.fault(t.start(), format!("`{key}` is not a share"), "write a number from 0 to 1");
                }
            }
        };
        share("some", &mut found.some);
        share("half", &mut found.half);
        share("most", &mut found.most);
        share("all_events", &mut found.all_events);
        share("all_exceptions", &mut found.all_exceptions);
    }
    found
}

fn metric<'t>(r: &mut Reader<'t>, t: Table<'_, 't>) -> Option<Metric> {
    r.only(t, &["id", "name", "unit", "sources", "fresh_hours"]);
    let (id, name, unit) = (r.text(t, "id"), r.text(t, "name"), r.word(t, "unit", &Unit::NAMES));
    let sources = sources(r, t);
    let fresh_hours = r.whole_if_any(t, "fresh_hours").unwrap_or(FRESH_HOURS);
    Some(Metric { id: id?, name: name?, unit: unit?, sources, fresh_hours })
}

fn sources<'t>(r: &mut Reader<'t>, t: Table<'_, 't>) -> Vec<Source> {
    let found = r.words(t, "sources", &names(Source::ALL, Source::name));
    if found.is_empty() && t.has("sources") {
        r.fault(t.start(), "`sources` names nothing that could decide it", "name at least one source");
    }
    found
}

fn names<T: Copy>(all: &[T], name: fn(T) -> &'static str) -> Vec<(&'static str, T)> {
    all.iter().map(|v| (name(*v), *v)).collect()
}

fn row<'t>(r: &mut Reader<'t>, t: Table<'_, 't>, metrics: &mut BTreeMap<String, Metric>) -> Option<Row> {
    let texts = ["traditional", "initial", "advanced", "optimal"];
    let mut keys = vec!["id", "pillar", "kind", "class", "name", "attested", "criteria"];
    keys.extend(texts);
    r.only(t, &keys);
    let id = r.text(t, "id");
    let pillar = r.text(t, "pillar");
    let kind = r.word(t, "kind", &names(Kind::ALL, Kind::name));
    let class = r.word(t, "class", &names(Class::ALL, Class::name));
    let name = r.text(t, "name");
    let stages = texts.map(|key| r.text(t, key).unwrap_or_default());
    let attested = r.text_if_any(t, "attested").unwrap_or_default();
    let row_id = id.clone().unwrap_or_default();
    let mut criteria: Vec<Criterion> = Vec::new();
    let mut declared = BTreeSet::new();
    for c in r.tables(t, "criteria") {
        let Some(stage) = r.word(c, "stage", &STAGES) else { continue };
        declared.insert(stage);
        criteria.extend(criterion(r, c, stage, &row_id, &criteria, metrics));
    }
    for stage in [Stage::Initial, Stage::Advanced, Stage::Optimal] {
        let here: Vec<&Criterion> = criteria.iter().filter(|c| c.stage == stage).collect();
        if !declared.contains(&stage) {
            let what = format!("row `{row_id}` has no criterion for the stage {}", stage.label());
            r.fault(t.start(), what, "add one: what no figure decides is `attest`");
        }
        let attests = here.iter().any(|c| c.condition == Condition::Attest);
        if attests && class == Some(Class::Decidable) && stage > Stage::Initial {
            let what = format!("row `{row_id}` is decidable, but its stage {} asks for an attestation", stage.label());
            r.fault(t.start(), what, "an attestation carries a decidable row no further than Initial");
        }
    }
    Some(Row { id: id?, pillar: pillar?, kind: kind?, class: class?, name: name?, stages, attested, criteria })
}

fn criterion<'t>(
    r: &mut Reader<'t>,
    t: Table<'_, 't>,
    stage: Stage,
    row: &str,
    before: &[Criterion],
    metrics: &mut BTreeMap<String, Metric>,
) -> Option<Criterion> {
    const KEYS: [&str; 13] = [
        "stage",
        "text",
        "metric",
        "count",
        "share",
        "test",
        "attest",
        "any_of",
        "slice",
        "statistic",
        "at_least",
        "at_most",
        "min_population",
    ];
    let mut keys = KEYS.to_vec();
    keys.push("sources");
    r.only(t, &keys);
    let text = r.text_if_any(t, "text");
    let number = 1 + before.iter().filter(|c| c.stage == stage).count();
    let letter = stage.label().chars().next().unwrap_or('?');
    let id = format!("{row}.{letter}.{number}");
    let kinds: Vec<&str> =
        ["metric", "count", "share", "test", "attest", "any_of"].into_iter().filter(|k| t.has(k)).collect();
    let (condition, said) = match kinds.as_slice() {
        ["metric"] | ["count"] | ["share"] | ["test"] => {
            let test = test(r, t, row, text.as_deref(), metrics)?;
            let said = words(&test, metrics);
            (Condition::Metric(test), said)
        }
        ["attest"] => (Condition::Attest, r.text(t, "attest")?),
        ["any_of"] => {
            let tests: Vec<Test> = r
                .tables(t, "any_of")
                .into_iter()
                .filter_map(|one| {
                    r.only(one, &["metric", "slice", "statistic", "at_least", "at_most", "min_population"]);
                    test(r, one, row, None, metrics)
                })
                .collect();
            let said: Vec<String> = tests.iter().map(|t| words(t, metrics)).collect();
            (Condition::AnyOf(tests), said.join(", or "))
        }
        _ => {
            let what = format!("criterion `{id}` must have exactly one of metric, count, share, test, attest, any_of");
            r.fault(t.start(), what, "say what decides it, and only that");
            return None;
        }
    };
    Some(Criterion { id, stage, text: text.unwrap_or(said), condition })
}

/// A condition on a metric. `count`, `share` and `test` declare a metric of the row itself.
fn test<'t>(
    r: &mut Reader<'t>,
    t: Table<'_, 't>,
    row: &str,
    text: Option<&str>,
    metrics: &mut BTreeMap<String, Metric>,
) -> Option<Test> {
    let slice = r.text_if_any(t, "slice");
    let statistic = r.word_if_any(t, "statistic", &Statistic::NAMES);
    let floor = r.number_or_word(t, "at_least", &Bar::NAMES, &Bar::Number);
    let ceiling = r.number_or_word(t, "at_most", &Bar::NAMES, &Bar::Number);
    let min_population = r.whole_if_any(t, "min_population").unwrap_or(MIN_POPULATION).max(1);
    let metric = if t.has("metric") {
        let id = r.text(t, "metric")?;
        if !metrics.contains_key(&id) {
            r.fault(
                t.start(),
                format!("no metric is called `{id}`"),
                "declare it under [[metric]], or correct the name",
            );
            return None;
        }
        if t.has("sources") {
            r.fault(t.start(), format!("the sources of `{id}` stand at the metric"), "remove `sources` here");
        }
        id
    } else {
        let (local, fresh_hours) = match r.text_if_any(t, "test") {
            Some(test) => (test, 30 * 24),
            None if t.has("share") => (r.text(t, "share")?, FRESH_HOURS),
            None => (r.text(t, "count")?, FRESH_HOURS),
        };
        let is_test = t.has("test");
        let sources = if is_test { vec![Source::Tests] } else { sources(r, t) };
        let id = if is_test { format!("test {local}") } else { format!("{row}.{local}") };
        let name = text.map_or_else(|| format!("acceptance case {local} passes"), str::to_owned);
        let unit = if is_test || t.has("share") { Unit::ShareOfItems } else { Unit::Count };
        metrics.entry(id.clone()).or_insert(Metric { id: id.clone(), name, unit, sources, fresh_hours });
        id
    };
    let unit = metrics.get(&metric)?.unit;
    let default = if t.has("test") { Bar::All } else { Bar::Number(1.0) };
    let (at_least, bar) = match (floor, ceiling) {
        (Some(bar), None) => (true, bar),
        (None, Some(bar)) => (false, bar),
        (None, None) if !t.has("metric") && !t.has("share") && !t.has("at_least") && !t.has("at_most") => {
            (true, default)
        }
        _ => {
            r.fault(t.start(), format!("`{metric}` needs exactly one bar"), "write `at_least` or `at_most`");
            return None;
        }
    };
    let share = matches!(unit, Unit::ShareOfItems | Unit::ShareOfEvents);
    let needs_statistic = matches!(unit, Unit::Duration | Unit::Level);
    if needs_statistic != statistic.is_some() {
        let remedy = "durations and levels need `statistic = \"p50\"`, \"p95\" or \"max\"; shares and counts have none";
        r.fault(t.start(), format!("`{metric}` and its statistic do not fit"), remedy);
    }
    match bar {
        Bar::Number(n) if share && !(0.0..=1.0).contains(&n) => {
            r.fault(t.start(), format!("`{metric}` is a share, {n} is none"), "write a number from 0 to 1");
        }
        Bar::Number(_) => {}
        _ if !share || !at_least => {
            r.fault(t.start(), format!("`{metric}` cannot be compared with a quantifier here"), "write a number");
        }
        _ => {}
    }
    Some(Test { metric, slice, statistic, at_least, bar, min_population })
}

/// A condition in words.
fn words(test: &Test, metrics: &BTreeMap<String, Metric>) -> String {
    let Some(metric) = metrics.get(&test.metric) else { return test.key() };
    let slice = test.slice.as_ref().map(|s| format!(" ({})", s.replace('_', " "))).unwrap_or_default();
    let statistic = match test.statistic {
        Some(Statistic::P50) => ", median",
        Some(Statistic::P95) => ", 95th percentile",
        Some(Statistic::Max) => ", largest",
        None => "",
    };
    let side = if test.at_least { "at least" } else { "at most" };
    let bar = match (test.bar, metric.unit) {
        (Bar::Some, _) => "for some".to_owned(),
        (Bar::Half, _) => "for half".to_owned(),
        (Bar::Most, _) => "for most".to_owned(),
        (Bar::All, _) => "for all".to_owned(),
        (Bar::Number(n), Unit::ShareOfItems | Unit::ShareOfEvents) => format!("{side} {} %", n * 100.0),
        (Bar::Number(n), Unit::Duration) => format!("{side} {n} s"),
        (Bar::Number(n), Unit::Count | Unit::Level) => format!("{side} {n}"),
    };
    format!("{}{slice}{statistic}: {bar}", metric.name)
}
