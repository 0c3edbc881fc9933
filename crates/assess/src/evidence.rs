//! What is known: measurements, connected sources, attestations, scope decisions.

use std::collections::{BTreeMap, BTreeSet};

use safeconduct_model::{PersonId, Timestamp};
use serde::Serialize;

use crate::framework::{Source, Statistic};

/// One figure with everything that is needed to doubt it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Measurement {
    /// How many meet it.
    pub num: u64,
    /// How many there are, those included of which it is not known. Zero decides nothing.
    pub den: u64,
    /// How many of `den` have an approved exception; they are no part of `num`.
    pub excepted: u64,
    /// How many were taken out of the population beforehand; for display.
    pub excluded: u64,
    /// Of how many in `den` it is not known whether they meet it.
    pub unknown: u64,
    /// Percentiles; durations in milliseconds.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub statistics: BTreeMap<Statistic, u64>,
    /// The window that was looked at.
    pub window: (Timestamp, Timestamp),
    /// When it was computed.
    pub computed_at: Timestamp,
}

impl Measurement {
    /// `num` of `den`, over a window that ends when it was computed.
    #[must_use]
    pub fn share(num: u64, den: u64, window: (Timestamp, Timestamp)) -> Self {
        Self {
            num,
            den,
            excepted: 0,
            excluded: 0,
            unknown: 0,
            statistics: BTreeMap::new(),
            window,
            computed_at: window.1,
        }
    }
}

/// A statement by a named person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Attestation {
    /// Who says it.
    pub by: PersonId,
    /// Who reviewed it; never the same person.
    pub reviewer: PersonId,
    /// What is said.
    pub statement: String,
    /// From when it counts.
    pub from: Timestamp,
    /// Until when it counts; the instant itself is too late.
    pub until: Timestamp,
}

/// A decision that a criterion does not concern the organisation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OutOfScope {
    /// Who decided.
    pub by: PersonId,
    /// Why.
    pub reason: String,
    /// Until when it counts; the instant itself is too late.
    pub until: Timestamp,
}

/// Everything that is known at one time.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize)]
pub struct Evidence {
    /// Measurements by metric, `K10` or `K10(privileged)`.
    pub measurements: BTreeMap<String, Measurement>,
    /// The sources that deliver.
    pub connected: BTreeSet<Source>,
    /// Attestations by criterion id.
    pub attestations: BTreeMap<String, Attestation>,
    /// Scope decisions by criterion id.
    pub out_of_scope: BTreeMap<String, OutOfScope>,
}
