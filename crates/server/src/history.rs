//! What the ledger comes to: the map of use and the metrics, kept up to date behind the requests, never in their way.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration as StdDuration;

use anyhow::Result;
use safeconduct_assess::Metrics;
use safeconduct_flows::Map;
use safeconduct_store::Entries;
use tokio_util::sync::CancellationToken;

use crate::house::House;

/// How often new entries are looked for.
const STEP: StdDuration = StdDuration::from_millis(250);
/// How many entries are read before others get the processor.
const BATCH: usize = 2_000;

/// What was read so far.
pub(crate) struct Digested {
    /// Who uses what.
    pub map: Map,
    /// What the gateway can prove.
    pub metrics: Metrics,
    /// The entries up to this one are in it.
    pub next_seq: u64,
}

/// The digest of the ledger.
#[derive(Default)]
pub(crate) struct History(Mutex<Option<Digested>>);

impl History {
    pub(crate) fn get(&self) -> MutexGuard<'_, Option<Digested>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads new entries of the ledger; how many there were.
    pub(crate) fn digest(&self, ledger: &Path, zone: &jiff::tz::TimeZone) -> Result<usize> {
        let from = self.get().as_ref().map_or(0, |d| d.next_seq);
        let mut batch = Vec::new();
        for entry in Entries::from_seq(ledger, from)?.take(BATCH) {
            batch.push(entry?.entry);
        }
        let mut digested = self.get();
        let all = digested.get_or_insert_with(|| Digested {
            map: Map::new(zone.clone()),
            metrics: Metrics::default(),
            next_seq: 0,
        });
        for entry in &batch {
            all.map.add(entry);
            all.metrics.add(entry);
            all.next_seq = entry.seq + 1;
        }
        Ok(batch.len())
    }
}

/// Keeps the digest up to date until the server stops.
pub(crate) async fn follow(house: std::sync::Arc<House>, stop: CancellationToken) {
    let ledger = house.data.join("ledger");
    loop {
        let (reader, folder) = (std::sync::Arc::clone(&house), ledger.clone());
        let zone = house.current().config.settings.zone.clone();
        let read = tokio::task::spawn_blocking(move || reader.history.digest(&folder, &zone)).await;
        let wait = match read {
            Ok(Ok(BATCH)) => StdDuration::ZERO,
            Ok(Ok(_)) => STEP,
            Ok(Err(error)) => {
                tracing::warn!(%error, "the ledger could not be read for the map");
                STEP * 20
            }
            Err(error) => {
                tracing::warn!(%error, "reading the ledger for the map broke off");
                STEP * 20
            }
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(wait) => {}
        }
    }
}
