//! `assess run`.

use std::path::Path;

use anyhow::Result;
use safeconduct_assess::{Integrity, Metrics};
use safeconduct_model::Record;
use safeconduct_server::{clock, evidence};
use safeconduct_store::{Entries, LedgerKey, verify_ledger};

use crate::commands::offline;
use crate::out::{self, Answer, put};

pub(crate) fn run(config: &Path, json: bool) -> Result<Answer> {
    let offline = offline!(config);
    let mut metrics = Metrics::default();
    let (mut last, mut reporting) = (None, false);
    for located in Entries::from_seq(&offline.ledger(), 0)? {
        let entry = located?.entry;
        metrics.add(&entry);
        reporting |= matches!(&entry.record, Record::System(event) if event.event == "posture");
        last = Some(entry.at);
    }
    // The report speaks of the ledger's own time: it can be recomputed from the same files at any later day.
    let as_of = last.unwrap_or_else(clock::system);
    let key = LedgerKey::public_path(&offline.data().join("keys/ledger.key"));
    let verified = LedgerKey::load_public(&key).ok().and_then(|key| verify_ledger(&offline.ledger(), &key, None).ok());
    let integrity = verified.map(|report| Integrity {
        segments: u64::from(report.segments),
        verified: if report.finding.is_none() { u64::from(report.segments) } else { 0 },
        at: as_of,
    });
    let assessment = evidence::assess(&offline.current, &metrics, integrity, reporting, as_of);
    if json {
        out::json(&assessment)?;
    } else {
        put(assessment.report());
    }
    Ok(Answer::Done)
}
