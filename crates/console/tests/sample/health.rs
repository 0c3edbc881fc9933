//! The health page.

use super::*;

pub(super) fn health(sample: Sample) -> Health {
    let part = |name: &str, state, detail: &str, remedy: Option<&str>| Part {
        name: sample.n(name),
        state,
        detail: sample.n(detail),
        remedy: remedy.map(|r| sample.n(r)),
        at: Some(mins(0)),
    };
    Health {
        parts: sample.list(vec![
            part("Gateway", PartState::Works, "8 applications, 21 connections, 46 µs median decision.", None),
            part("Ledger", PartState::Works, "48 213 records, 3 segments; last write durable after 2 ms.", None),
            part(
                "Identity provider",
                PartState::Degraded,
                "The keys of the provider are 26 h old.",
                Some("Check that the gateway reaches the provider."),
            ),
            part(
                "Index",
                PartState::Fails,
                "The index lags by 4 102 records.",
                Some("Run safeconduct ledger inspect."),
            ),
        ]),
        version: "0.1.0".into(),
        started: days(2),
    }
}
