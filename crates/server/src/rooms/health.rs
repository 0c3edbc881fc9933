//! How the parts of the system are, with numbers, and what to do where one is not well.

use std::path::Path;

use safeconduct_console::Trouble;
use safeconduct_console::view::{Health, Part, PartState};
use safeconduct_model::Timestamp;

use crate::house::House;
use crate::rooms::links::plural;

/// How many records may wait for the disk before someone should look.
const MANY_UNSYNCED: u64 = 4_096;
/// How many entries the index may be behind before someone should look.
const MANY_UNINDEXED: u64 = 20_000;

/// Whether a part does its work.
pub(crate) trait Works {
    /// A degraded part still works.
    fn works(&self) -> bool;
}

impl Works for Part {
    fn works(&self) -> bool {
        self.state != PartState::Fails
    }
}

fn part(name: &str, state: PartState, detail: String, remedy: Option<&str>, at: Timestamp) -> Part {
    Part { name: name.to_owned(), state, detail, remedy: remedy.map(str::to_owned), at: Some(at) }
}

/// The parts of the system as they are now.
pub(crate) async fn parts(house: &House) -> Vec<Part> {
    let now = house.now();
    let health = house.ledger.health();
    let data = house.data.clone();
    let disk = tokio::task::spawn_blocking(move || disk(&data, now)).await;
    let mut parts = vec![
        ledger(&health, now),
        signatures(&health, now),
        index(health.written, house.index.indexed(), now),
        clock(house.clock.is_reliable(), now),
        control(house.control.rev().await, now),
        gateway(house, now),
        policy(house, now),
        providers(house, now),
    ];
    parts.extend(disk);
    parts
}

fn ledger(health: &safeconduct_store::Health, now: Timestamp) -> Part {
    let unsynced = health.written.saturating_sub(health.durable);
    let said = format!(
        "{} written, {unsynced} of them not yet known to be on the disk; {} refused since the start",
        plural(health.written, "record", "records"),
        health.refused
    );
    match &health.failure {
        Some(why) => {
            let remedy =
                "Free space or repair the disk; writing goes on by itself. Until then critical assets stay shut.";
            part("Ledger", PartState::Fails, format!("{why}; {said}"), Some(remedy), now)
        }
        None if health.refused > 0 => {
            let remedy =
                "Records were refused and their requests denied. Look at the disk and at the load of that time.";
            part("Ledger", PartState::Degraded, said, Some(remedy), now)
        }
        None if unsynced > MANY_UNSYNCED => {
            part("Ledger", PartState::Degraded, said, Some("The disk is slow. Look at its load."), now)
        }
        None => part("Ledger", PartState::Works, said, None, now),
    }
}

fn signatures(health: &safeconduct_store::Health, now: Timestamp) -> Part {
    let said = format!("checkpoints cover {} of {} records", health.signed, health.written);
    part("Checkpoints", PartState::Works, said, None, now)
}

fn index(written: u64, indexed: u64, now: Timestamp) -> Part {
    let behind = written.saturating_sub(indexed);
    let said = format!("{indexed} of {written} records indexed, {behind} behind");
    if behind > MANY_UNINDEXED {
        let remedy = "Lists are older than they should be. It catches up by itself; verdicts do not wait for it.";
        part("Index", PartState::Degraded, said, Some(remedy), now)
    } else {
        part("Index", PartState::Works, said, None, now)
    }
}

fn clock(reliable: bool, now: Timestamp) -> Part {
    if reliable {
        part("Clock", PartState::Works, "it never stepped back beyond tolerance since the start".to_owned(), None, now)
    } else {
        let said = "the system's clock stepped back, so nothing can be dated and everything is denied".to_owned();
        part("Clock", PartState::Fails, said, Some("Set the clock right and check the time server."), now)
    }
}

fn control(rev: Result<safeconduct_store::Rev, safeconduct_store::ControlError>, now: Timestamp) -> Part {
    match rev {
        Ok(rev) => part("Control state", PartState::Works, format!("revision {} is kept", rev.0), None, now),
        Err(error) => {
            let remedy = "Free space or repair the disk. Sessions and devices cannot be kept until then.";
            part("Control state", PartState::Fails, error.to_string(), Some(remedy), now)
        }
    }
}

fn gateway(house: &House, now: Timestamp) -> Part {
    match house.gateway() {
        Some(gateway) => {
            let live = gateway.live().len() as u64;
            let max = house.current().config.settings.limits.connections;
            let said = format!(
                "{}; the bound is {max}",
                plural(live, "live connection rests on a lease", "live connections rest on leases")
            );
            part("Gateway", PartState::Works, said, None, now)
        }
        None => {
            part("Gateway", PartState::Fails, "it has not started".to_owned(), Some("Wait for the start to end."), now)
        }
    }
}

fn policy(house: &House, now: Timestamp) -> Part {
    let current = house.current();
    let said = format!(
        "revision {} answers, with {} and {}",
        current.snapshot.revision(),
        plural(current.snapshot.rules().len() as u64, "rule", "rules"),
        plural(current.fixtures.len() as u64, "test that holds", "tests that hold"),
    );
    part("Policy", PartState::Works, said, None, now)
}

fn providers(house: &House, now: Timestamp) -> Part {
    let current = house.current();
    let configured = &current.config.settings.oidc;
    let names: Vec<&str> = configured.iter().map(|p| p.name.as_str()).collect();
    let said = match names.as_slice() {
        [] => "none is configured; people sign in with local accounts".to_owned(),
        names => format!("{} configured: {}", names.len(), names.join(", ")),
    };
    let built = house.providers.load().names().count();
    if built == configured.len() {
        part("Identity providers", PartState::Works, said, None, now)
    } else {
        let said = format!("{said}; {built} of {} serve", configured.len());
        part("Identity providers", PartState::Degraded, said, Some("The log says why the others were not taken."), now)
    }
}

/// What the data folder holds. Free space is not measured, and not claimed.
fn disk(data: &Path, now: Timestamp) -> Part {
    let size = |dir: &Path| -> std::io::Result<u64> {
        std::fs::read_dir(dir)?.try_fold(0, |sum, entry| {
            let meta = entry?.metadata()?;
            Ok(sum + if meta.is_file() { meta.len() } else { 0 })
        })
    };
    match (size(data), size(&data.join("ledger"))) {
        (Ok(state), Ok(ledger)) => {
            let said = format!(
                "ledger {}, index and control state {}; free space is not measured",
                bytes(ledger),
                bytes(state)
            );
            part("Data folder", PartState::Works, said, None, now)
        }
        (Err(error), _) | (_, Err(error)) => {
            let said = format!("{} cannot be listed: {error}", data.display());
            part("Data folder", PartState::Fails, said, Some("Check that the folder exists and its permissions."), now)
        }
    }
}

/// A number of bytes for people.
fn bytes(n: u64) -> String {
    const UNITS: [&str; 4] = ["kB", "MB", "GB", "TB"];
    let (mut value, mut unit) = (n, "B");
    for next in UNITS {
        if value < 10_000 {
            break;
        }
        (value, unit) = (value / 1_000, next);
    }
    format!("{value} {unit}")
}

/// The page.
pub(crate) async fn view(house: &House) -> Result<Health, Trouble> {
    Ok(Health {
        parts: parts(house).await,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        started: house.now() - house.clock.uptime(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ledger_that_cannot_write_fails_and_one_that_refused_once_wants_a_look() {
        let well =
            safeconduct_store::Health { written: 10, durable: 9, signed: 8, ..safeconduct_store::Health::default() };
        let told = ledger(&well, Timestamp::default());
        assert!(
            told.works() && told.state == PartState::Works && told.detail.contains("1 of them not yet"),
            "{told:?}"
        );
        let busy = safeconduct_store::Health { refused: 3, ..well.clone() };
        assert_eq!(ledger(&busy, Timestamp::default()).state, PartState::Degraded);
        let broken = safeconduct_store::Health { failure: Some("no space left".into()), ..well };
        let told = ledger(&broken, Timestamp::default());
        assert!(!told.works() && told.detail.starts_with("no space left"), "{told:?}");
    }

    #[test]
    fn an_index_far_behind_is_said_to_be() {
        assert_eq!(index(10, 7, Timestamp::default()).detail, "7 of 10 records indexed, 3 behind");
        assert_eq!(index(50_000, 7, Timestamp::default()).state, PartState::Degraded);
    }

    #[test]
    fn bytes_are_rounded_down_to_a_readable_unit() {
        assert_eq!([0, 9_999, 10_000, 12_345_678].map(bytes), ["0 B", "9999 B", "10 kB", "12 MB"]);
    }
}
