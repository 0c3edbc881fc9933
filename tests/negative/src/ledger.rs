//! The records of the ledger, read as the format in its documentation says: one JSON object a line, behind its hash.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use safeconduct_e2e::wait::until;
use serde_json::Value;

/// How long a record may take to be there.
const PATIENCE: Duration = Duration::from_secs(8);

/// A ledger that grows while it is read.
pub struct Ledger {
    folder: PathBuf,
    read: Mutex<Read>,
}

#[derive(Default)]
struct Read {
    segment: u32,
    offset: usize,
    records: Vec<Value>,
}

impl Ledger {
    /// The ledger in a folder.
    #[must_use]
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), read: Mutex::default() }
    }

    /// The records that satisfy, of all that are there now.
    pub fn all(&self, wanted: impl Fn(&Value) -> bool) -> Result<Vec<Value>> {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let path = self.folder.join(format!("{:08}.seg", read.segment));
            let bytes = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
            let fresh = bytes.get(read.offset..).unwrap_or_default();
            let whole = fresh.iter().rposition(|b| *b == b'\n').map_or(0, |n| n + 1);
            for line in fresh[..whole].split(|b| *b == b'\n').filter(|l| !l.is_empty()) {
                let json = line.get(65..).context("a line without a hash")?;
                read.records.push(serde_json::from_slice(json)?);
            }
            read.offset += whole;
            if !self.folder.join(format!("{:08}.seg", read.segment + 1)).is_file() {
                break;
            }
            read.segment += 1;
            read.offset = 0;
        }
        Ok(read.records.iter().filter(|r| wanted(r)).cloned().collect())
    }

    /// The record of a request: its verdict, or its refusal.
    pub fn of(&self, request: &str) -> Result<Value> {
        until(&format!("a record of the request {request}"), PATIENCE, || {
            let of = |r: &Value| request_of(r) == Some(request) && ["access", "refusal"].iter().any(|k| r["kind"] == *k);
            Ok(self.all(of)?.into_iter().next())
        })
    }

    /// Verdicts and refusals of everything that came from an address, once there are so many.
    pub fn from(&self, client: Ipv4Addr, at_least: usize) -> Result<Vec<Value>> {
        let ip = client.to_string();
        let of = |r: &Value| {
            (r["kind"] == "refusal" && r["ip"] == *ip) || (r["kind"] == "access" && r["ask"]["place"]["ip"] == *ip)
        };
        until(&format!("{at_least} records of {ip}"), PATIENCE, || {
            let found = self.all(of)?;
            Ok((found.len() >= at_least).then_some(found))
        })
    }
}

fn request_of(record: &Value) -> Option<&str> {
    record["ask"]["request"].as_str().or(record["request"].as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_growing_ledger_is_read_to_the_last_whole_line() {
        let folder = tempfile::tempdir().unwrap();
        let hash = "0".repeat(64);
        let line = |id: &str| format!("{hash} {{\"kind\":\"refusal\",\"request\":\"{id}\",\"ip\":\"127.0.0.9\"}}\n");
        let first = folder.path().join("00000000.seg");
        fs::write(&first, line("a") + &line("b")[..40]).unwrap();
        let ledger = Ledger::new(folder.path());
        assert_eq!(ledger.all(|_| true).unwrap().len(), 1);
        fs::write(&first, line("a") + &line("b")).unwrap();
        fs::write(folder.path().join("00000001.seg"), line("c")).unwrap();
        assert_eq!(ledger.of("c").unwrap()["kind"], "refusal");
        assert_eq!(ledger.from(Ipv4Addr::new(127, 0, 0, 9), 3).unwrap().len(), 3);
    }
}
