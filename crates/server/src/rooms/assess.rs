//! Maturity, proven and possible, from what the gateway can prove.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration as StdDuration;

use safeconduct_assess::{
    Assessment, Condition, Evidence, Finding, Framework, Integrity, Measurement, Source, Test, Unit, evaluate,
};
use safeconduct_console::Trouble;
use safeconduct_console::view::{self, Assess, EvidenceMix, Share, Truth};
use safeconduct_model::{Duration, Timestamp};
use safeconduct_store::{LedgerKey, verify_ledger};

use crate::evidence;
use crate::rooms::Rooms;
use crate::rooms::links::count;

/// How long the verification of the ledger counts before it is made again.
const VERIFY_EVERY: Duration = Duration::from_hours(1);
/// How long a page waits for a verification; a longer one is there at the next look.
const PATIENCE: StdDuration = StdDuration::from_secs(2);
/// The last verification of the ledger, and whether one is under way.
#[derive(Debug, Default)]
pub(crate) struct Checked(Mutex<(Option<Integrity>, bool)>);

/// A verification under way: ends with whoever makes it, however that ends.
struct Verifying(Arc<Checked>);

impl Drop for Verifying {
    fn drop(&mut self) {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner).1 = false;
    }
}

/// The verification of the ledger, made anew where the last one is too old.
async fn integrity(rooms: &Rooms) -> Option<Integrity> {
    let now = rooms.house.now();
    {
        let mut checked = rooms.integrity.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (last, under_way) = *checked;
        if under_way || last.is_some_and(|l| now.since(l.at) < VERIFY_EVERY) {
            return last;
        }
        checked.1 = true;
    }
    let (house, under_way) = (Arc::clone(&rooms.house), Verifying(Arc::clone(&rooms.integrity)));
    let verifying = tokio::task::spawn_blocking(move || {
        if let Some(found) = verified(&house.ledger_dir(), &house.data.join("keys/ledger.key"), now) {
            under_way.0.0.lock().unwrap_or_else(PoisonError::into_inner).0 = Some(found);
        }
    });
    let _ = tokio::time::timeout(PATIENCE, verifying).await;
    rooms.integrity.0.lock().unwrap_or_else(PoisonError::into_inner).0
}

/// Verifies a ledger; `None` if it could not be done. The last line of a ledger that is being written may be incomplete.
fn verified(ledger: &Path, key: &Path, at: Timestamp) -> Option<Integrity> {
    let key = LedgerKey::load_public(&LedgerKey::public_path(key))
        .inspect_err(|error| tracing::warn!(%error, "the ledger cannot be verified"))
        .ok()?;
    let report = verify_ledger(ledger, &key, None)
        .inspect_err(|error| tracing::warn!(%error, "the ledger cannot be verified"))
        .ok()?;
    let bad = report.finding.as_ref().filter(|f| !f.fault.is_recoverable());
    if let Some(finding) = bad {
        tracing::warn!(
            file = finding.file,
            line = finding.line,
            fault = finding.fault.name(),
            "the ledger does not verify"
        );
    }
    let segments = u64::from(report.segments);
    Some(Integrity { segments, verified: segments - u64::from(bad.is_some()).min(segments), at })
}

/// The figures that can be proven now; nothing before the ledger was read.
pub(crate) async fn measurements(rooms: &Rooms) -> BTreeMap<String, Measurement> {
    let estate = evidence::estate(&rooms.house.current(), integrity(rooms).await);
    let now = rooms.house.now();
    rooms.digest(move |d| d.metrics.finish(&estate, now)).await.unwrap_or_default()
}

/// The page.
pub(crate) async fn view(rooms: &Rooms) -> Result<Assess, Trouble> {
    let framework = evidence::framework();
    let figures = measurements(rooms).await;
    let reporting = rooms.house.devices().all().any(|d| d.report.is_some());
    let connected = evidence::connected(reporting, &figures);
    let evidence = Evidence { measurements: figures, connected, ..Evidence::default() };
    Ok(shown(framework, &evidence, &evaluate(framework, &evidence, rooms.house.now())))
}

/// The assessment as the page shows it.
fn shown(framework: &Framework, evidence: &Evidence, assessment: &Assessment) -> Assess {
    let conditions: BTreeMap<&str, &Condition> =
        framework.rows.iter().flat_map(|r| &r.criteria).map(|c| (c.id.as_str(), &c.condition)).collect();
    let criterion = |f: &Finding| {
        let condition = conditions.get(f.id.as_str()).copied();
        view::Criterion {
            stage: stage(f.stage),
            words: f.text.clone(),
            truth: truth(f),
            found: condition.and_then(|c| found(framework, evidence, c)),
            source: source(framework, f, condition),
        }
    };
    let row = |r: &safeconduct_assess::RowResult| view::MaturityRow {
        id: r.id.clone(),
        name: r.name.clone(),
        kind: match r.class {
            safeconduct_assess::Class::Decidable => view::Kind::Decidable,
            safeconduct_assess::Class::Mixed => view::Kind::Mixed,
            safeconduct_assess::Class::Attested => view::Kind::Attested,
        },
        proven: stage(r.proven),
        possible: stage(r.possible),
        criteria: r.findings.iter().map(criterion).collect(),
    };
    let pillar = |p: &safeconduct_assess::RollUp| view::Pillar {
        name: p.name.clone(),
        rows: assessment.rows.iter().filter(|r| r.pillar == p.id).map(row).collect(),
        proven: stage(p.floor),
        possible: stage(p.possible_floor),
    };
    let mix = &assessment.mix;
    Assess {
        framework: assessment.title.clone(),
        pillars: assessment.pillars.iter().map(pillar).collect(),
        mix: EvidenceMix {
            measured: count(mix.measured),
            attested: count(mix.attested),
            stale: count(mix.stale),
            unknown: count(mix.unknown),
        },
        sources: waiting(evidence, assessment),
    }
}

/// How many undecided criteria wait for each source that is not connected, the most first.
fn waiting(evidence: &Evidence, assessment: &Assessment) -> Vec<(String, u64)> {
    let mut by_source: BTreeMap<Source, u64> = BTreeMap::new();
    let undecided = assessment.rows.iter().flat_map(|r| &r.findings);
    for finding in
        undecided.filter(|f| matches!(f.truth, safeconduct_assess::Truth::Unknown | safeconduct_assess::Truth::Stale))
    {
        for source in finding.would_decide.difference(&evidence.connected) {
            *by_source.entry(*source).or_default() += 1;
        }
    }
    let mut all: Vec<(Source, u64)> = by_source.into_iter().collect();
    all.sort_by_key(|(source, n)| (std::cmp::Reverse(*n), *source));
    all.into_iter().map(|(source, n)| (source.label().to_owned(), n)).collect()
}

fn stage(stage: safeconduct_assess::Stage) -> view::Stage {
    match stage {
        safeconduct_assess::Stage::Traditional => view::Stage::Traditional,
        safeconduct_assess::Stage::Initial => view::Stage::Initial,
        safeconduct_assess::Stage::Advanced => view::Stage::Advanced,
        safeconduct_assess::Stage::Optimal => view::Stage::Optimal,
    }
}

fn truth(finding: &Finding) -> Truth {
    match finding.truth {
        safeconduct_assess::Truth::True if finding.attested => Truth::Attested,
        safeconduct_assess::Truth::True => Truth::True,
        safeconduct_assess::Truth::False => Truth::False,
        safeconduct_assess::Truth::Unknown => Truth::Unknown,
        safeconduct_assess::Truth::Stale => Truth::Stale,
        safeconduct_assess::Truth::NotApplicable => Truth::NotApplicable,
    }
}

fn tests(condition: &Condition) -> &[Test] {
    match condition {
        Condition::Metric(test) => std::slice::from_ref(test),
        Condition::AnyOf(tests) => tests,
        Condition::Attest => &[],
    }
}

/// The share that was measured for a criterion, if its figure is one and there was something to measure.
fn found(framework: &Framework, evidence: &Evidence, condition: &Condition) -> Option<Share> {
    tests(condition).iter().find_map(|test| {
        let metric = framework.metrics.get(&test.metric)?;
        let is_share = matches!(metric.unit, Unit::ShareOfItems | Unit::ShareOfEvents);
        let m = evidence.measurements.get(&test.key()).filter(|m| is_share && m.den > 0)?;
        Some(Share::new(m.num, m.den))
    })
}

/// Which source decides a criterion, or would.
fn source(framework: &Framework, finding: &Finding, condition: Option<&Condition>) -> String {
    let labels = |sources: &BTreeSet<Source>| sources.iter().map(|s| s.label()).collect::<Vec<_>>().join(", ");
    if matches!(finding.truth, safeconduct_assess::Truth::Unknown | safeconduct_assess::Truth::Stale) {
        return labels(&finding.would_decide);
    }
    let tests = condition.map(tests).unwrap_or_default();
    let sources: BTreeSet<Source> =
        tests.iter().filter_map(|t| framework.metrics.get(&t.metric)).flat_map(|m| m.sources.iter().copied()).collect();
    let inside = if finding.found.contains("inside view") { "; seen from inside the gateway only" } else { "" };
    format!("{}{inside}", labels(&sources))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_evidence_nothing_is_proven_and_sources_are_named() {
        let framework = evidence::framework();
        let nothing = Evidence::default();
        let assess = shown(framework, &nothing, &evaluate(framework, &nothing, Timestamp::default()));
        assert!(!assess.pillars.is_empty());
        assert!(
            assess.pillars.iter().all(|p| p.proven == view::Stage::Traditional && p.possible == view::Stage::Optimal)
        );
        assert_eq!((assess.mix.measured, assess.mix.attested), (0, 0));
        assert!(
            assess.sources.iter().any(|(name, n)| name == "the gateway's ledger" && *n > 0),
            "{:?}",
            assess.sources
        );
        assert!(assess.sources.is_sorted_by(|a, b| a.1 >= b.1));
    }

    #[test]
    fn a_figure_comes_with_its_denominator() {
        let framework = evidence::framework();
        let now = Timestamp::from_millis(1_790_000_000_000);
        let mut evidence = Evidence { connected: [Source::Gateway].into(), ..Evidence::default() };
        evidence.measurements.insert("K10".into(), Measurement::share(9, 10, (Timestamp::default(), now)));
        let assess = shown(framework, &evidence, &evaluate(framework, &evidence, now));
        let shares: Vec<Share> =
            assess.pillars.iter().flat_map(|p| &p.rows).flat_map(|r| &r.criteria).filter_map(|c| c.found).collect();
        assert!(shares.contains(&Share::new(9, 10)), "{shares:?}");
    }
}
