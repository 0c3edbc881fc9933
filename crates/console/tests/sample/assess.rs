//! The maturity page.

use super::*;

pub(super) fn assess(sample: Sample) -> Assess {
    let criterion = |stage, words: &str, truth, found, source: &str| Criterion {
        stage,
        words: sample.n(words),
        truth,
        found,
        source: sample.n(source),
    };
    let row = |rid: &str, name: &str, kind, proven, possible| MaturityRow {
        id: rid.into(),
        name: sample.n(name),
        kind,
        proven,
        possible,
        criteria: vec![
            criterion(
                Stage::Initial,
                "Every privileged person signs in with several factors.",
                Truth::True,
                Some(Share::new(4, 4)),
                "gateway sessions",
            ),
            criterion(
                Stage::Advanced,
                "Most sign-ins resist phishing.",
                Truth::False,
                Some(Share::new(31, 40)),
                "gateway sessions",
            ),
            criterion(
                Stage::Optimal,
                "A change of risk is decided again within a minute.",
                Truth::Unknown,
                None,
                "signals",
            ),
        ],
    };
    use Stage::{Advanced, Initial, Optimal, Traditional};
    let pillar = |name: &str, proven, possible| Pillar {
        name: sample.n(name),
        proven,
        possible,
        rows: vec![
            row("ID-1", "Authentication", Kind::Decidable, Initial, Initial),
            row("ID-4", "Access management", Kind::Mixed, proven, possible),
            row("ID-G", "Governance", Kind::Attested, Traditional, Optimal),
        ],
    };
    Assess {
        framework: sample.n("CISA Zero Trust Maturity Model 2.0"),
        pillars: sample.list(vec![
            pillar("Identity", Initial, Advanced),
            pillar("Devices", Traditional, Advanced),
            pillar("Networks", Traditional, Optimal),
            pillar("Applications and workloads", Initial, Optimal),
            pillar("Data", Traditional, Optimal),
            pillar("Cross-cutting", Traditional, Advanced),
        ]),
        mix: EvidenceMix { measured: 31, attested: 2, stale: 1, unknown: 86 },
        sources: sample.list(vec![
            (sample.n("cloud entitlements"), 19),
            ("vulnerability feed".into(), 14),
            ("flow sensor".into(), 12),
        ]),
    }
}
