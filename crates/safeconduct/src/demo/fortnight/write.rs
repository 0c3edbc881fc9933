//! The simulation, decided and written.

use std::path::Path;
use std::time::{Duration as StdDuration, Instant};

use anyhow::{Context, Result, ensure};
use safeconduct_model::{Mode, Record, Timestamp};
use safeconduct_store::{LedgerKey, LedgerWriter, Options, WriteError};

use super::Simulation;
use super::day::Happening;

/// How long the writer is given when its queue is full.
const BREATH: StdDuration = StdDuration::from_millis(1);

/// What was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Written {
    /// Records.
    pub(crate) records: u64,
    /// Those of them that are verdicts.
    pub(crate) accesses: u64,
    /// Verdicts that were no.
    pub(crate) denied: u64,
    /// The time of the last record.
    pub(crate) last: Timestamp,
}

/// Writes the simulation into the data folder `data`, at most `most` records. Blocks.
pub(crate) fn write(simulation: &Simulation, data: &Path, most: u64) -> Result<Written> {
    let keys = data.join("keys");
    std::fs::create_dir_all(&keys).with_context(|| format!("cannot make {}", keys.display()))?;
    let key = LedgerKey::load_or_create(&keys.join("ledger.key"))?;
    let writer = LedgerWriter::open(&data.join("ledger"), &key, Timestamp::MAX, Options::default())?;
    let mut written = Written::default();
    'days: for date in simulation.days() {
        for event in simulation.day(date).into_iter().filter(|e| e.at >= simulation.from) {
            if written.records >= most {
                break 'days;
            }
            let record = match event.what {
                Happening::Other(record) => *record,
                Happening::Ask(ask) => {
                    let mode = simulation.snapshot.application(&ask.what.app).map_or(Mode::Enforce, |a| a.mode);
                    let started = Instant::now();
                    let verdict = simulation.snapshot.decide(&ask, event.at);
                    let took = u32::try_from(started.elapsed().as_micros()).unwrap_or(u32::MAX);
                    written.accesses += 1;
                    written.denied += u64::from(!verdict.is_permit());
                    Record::Access(Box::new(verdict.record(&ask, event.at, mode, took)))
                }
            };
            append(&writer, event.at, &record)?;
            written.records += 1;
            written.last = event.at;
        }
    }
    writer.close();
    let health = writer.health();
    let failure = health.failure.filter(|_| health.written < written.records).unwrap_or_default();
    ensure!(
        health.written >= written.records,
        "the ledger took {} of {} records: {failure}",
        health.written,
        written.records
    );
    Ok(written)
}

/// Hands a record to the writer, and waits while its queue is full.
fn append(writer: &LedgerWriter, at: Timestamp, record: &Record) -> Result<()> {
    loop {
        match writer.append(at, record.clone()) {
            Ok(receipt) => {
                // The writer is closed before anybody relies on it, and says then what it wrote.
                drop(receipt);
                return Ok(());
            }
            Err(WriteError::QueueFull { .. }) => std::thread::sleep(BREATH),
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use safeconduct_model::Duration;
    use safeconduct_store::{Entries, verify_ledger};

    use super::*;
    use crate::demo::{START, company};

    #[test]
    fn what_is_written_verifies_and_stops_where_it_is_told_to() {
        let data = tempfile::tempdir().expect("a folder");
        let simulation = Simulation::of(company::built().expect("holds"), START - Duration::from_days(2), START);
        let written = write(&simulation, data.path(), 700).expect("written");
        assert_eq!(written.records, 700);
        let key = LedgerKey::load_or_create(&data.path().join("keys/ledger.key")).expect("the key");
        let report = verify_ledger(&data.path().join("ledger"), &key.public(), None).expect("readable");
        assert_eq!((report.records, report.finding), (700, None));
        let entries = Entries::from_seq(&data.path().join("ledger"), 0).expect("readable");
        assert_eq!(
            entries.filter(|e| matches!(&e.as_ref().expect("an entry").entry.record, Record::Access(_))).count() as u64,
            written.accesses
        );
    }
}
