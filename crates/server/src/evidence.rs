//! From what stands and what happened to a statement of maturity.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use safeconduct_assess::{
    Assessment, CISA_ZTMM, Estate, Evidence, Framework, GrantSpan, Integrity, Metrics, RuleShape, Source, evaluate,
    load_framework,
};
use safeconduct_model::{Action, AppId, Duration, Mode, Timestamp};
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

/// Holds the framework against the evidence of this installation.
#[must_use]
pub fn assess(current: &Current, metrics: &Metrics, integrity: Option<Integrity>, as_of: Timestamp) -> Assessment {
    let evidence = Evidence {
        measurements: metrics.finish(&estate(current, integrity), as_of),
        // The gateway, the policy store and the ledger are this installation itself; devices report to it. Nothing else is
        // connected, and what it would decide stays unknown.
        connected: BTreeSet::from([Source::Gateway, Source::Policies, Source::Audit, Source::Devices]),
        ..Evidence::default()
    };
    evaluate(framework(), &evidence, as_of)
}

fn estate(current: &Current, integrity: Option<Integrity>) -> Estate {
    let applications = &current.config.estate.applications;
    let enforced = |rule: &&std::sync::Arc<Rule>| {
        applications.values().any(|a| a.mode == Mode::Enforce && rule.covers_application(a))
    };
    Estate {
        applications: applications.values().map(|a| (a.id.clone(), a.mode)).collect::<std::collections::BTreeMap<AppId, Mode>>(),
        rules: current.snapshot.rules().iter().filter(enforced).map(|r| (r.id.clone(), shape(r))).collect(),
        grants: current.config.estate.grants.iter().map(|g| GrantSpan { from: g.from, until: g.until }).collect(),
        max_grant: MAX_GRANT,
        integrity,
    }
}

fn shape(rule: &Rule) -> RuleShape {
    let reads = rule.reads();
    RuleShape {
        permits: rule.effect == Effect::Permit,
        principal: !matches!(rule.principal, Scope::Any | Scope::Kind(_, None)),
        action: rule.actions.len() < Action::ALL.len(),
        resource: !matches!(rule.resource, Scope::Any | Scope::Kind(_, None)),
        why: rule.note("why").is_some() || reads.iter().any(|p| p == "purpose" || p == "ticket" || p == "granted"),
        reads,
    }
}
