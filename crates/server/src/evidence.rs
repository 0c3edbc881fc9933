//! From what stands and what happened to a statement of maturity.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use safeconduct_assess::{
    Assessment, CISA_ZTMM, Estate, Evidence, Framework, GrantSpan, Integrity, Measurement, Metrics, RuleShape, Source,
    evaluate, load_framework,
};
use safeconduct_config::CONSOLE;
use safeconduct_model::{Action, Duration, Mode, Timestamp};
use safeconduct_policy::{Effect, Rule, Scope};

use crate::house::Current;

/// The longest grant that counts as expiring.
const MAX_GRANT: Duration = Duration::from_days(90);

/// The framework that is shipped.
pub fn framework() -> &'static Framework {
    static CISA: LazyLock<Framework> = LazyLock::new(|| {
        load_framework("frameworks/cisa-ztmm-2.0.toml", CISA_ZTMM).expect("the framework file of the product is valid")
    });
    &CISA
}

/// Holds the framework against the evidence of this installation. `reporting`: devices send posture reports.
#[must_use]
pub fn assess(
    current: &Current,
    metrics: &Metrics,
    integrity: Option<Integrity>,
    reporting: bool,
    as_of: Timestamp,
) -> Assessment {
    let measurements = metrics.finish(&estate(current, integrity), as_of);
    let connected = connected(reporting, &measurements);
    evaluate(framework(), &Evidence { measurements, connected, ..Evidence::default() }, as_of)
}

/// The sources that deliver. The directory of this house is none for identities: it knows who signs in here, not elsewhere.
#[must_use]
pub fn connected(reporting: bool, measurements: &BTreeMap<String, Measurement>) -> BTreeSet<Source> {
    let mut sources = BTreeSet::from([Source::Gateway, Source::Policies]);
    sources.extend(reporting.then_some(Source::Devices));
    sources.extend(measurements.contains_key("K73").then_some(Source::Audit));
    sources
}

/// What stands now. The console is not counted among the applications: it always enforces, and would flatter the share.
/// Rules count where they bind.
#[must_use]
pub fn estate(current: &Current, integrity: Option<Integrity>) -> Estate {
    let config = &current.config.estate;
    let applications: Vec<_> = config.applications.values().filter(|a| a.id.as_str() != CONSOLE).collect();
    let binds = |rule: &Rule| applications.iter().any(|a| a.mode == Mode::Enforce && rule.covers_application(a));
    Estate {
        applications: applications.iter().map(|a| (a.id.clone(), a.mode)).collect(),
        rules: current.snapshot.rules().iter().filter(|r| binds(r)).map(|r| (r.id.clone(), shape(r))).collect(),
        grants: config.grants.iter().map(|g| GrantSpan { from: g.from, until: g.until }).collect(),
        max_grant: MAX_GRANT,
        integrity,
    }
}

/// What a rule constrains, as far as figures care.
fn shape(rule: &Rule) -> RuleShape {
    let names = |scope: &Scope| !matches!(scope, Scope::Any | Scope::Kind(_, None));
    let reads = rule.reads();
    let asks_why = ["purpose", "ticket", "granted"].iter().any(|p| reads.contains(*p));
    RuleShape {
        permits: rule.effect == Effect::Permit,
        principal: names(&rule.principal),
        action: !rule.actions.is_empty() && rule.actions.len() < Action::ALL.len(),
        resource: names(&rule.resource),
        why: asks_why || rule.note("why").is_some(),
        reads,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use safeconduct_policy::{PolicyText, Snapshot, Sources};

    #[test]
    fn a_rule_is_measured_by_what_it_constrains() {
        let text = "@id(\"a\") @why(\"close\") permit(principal in Group::\"g\", action == Action::\"read\", resource) \
                    when { context.device.managed };";
        let policies = vec![PolicyText { file: "policies/x.cedar".into(), text: text.into() }];
        let sources = Sources { policies, applications: vec![], assets: vec![], zone: jiff::tz::TimeZone::UTC };
        let snapshot = Snapshot::build(1, sources).unwrap_or_else(|f| panic!("{}", f[0]));
        let shape = shape(&snapshot.rules()[0]);
        assert!(shape.permits && shape.principal && shape.action && !shape.resource && shape.why);
        assert!(shape.reads.contains("device.managed"));
    }
}
