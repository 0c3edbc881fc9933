//! The records of the ledger, read as the format in its documentation says: one JSON object a line, behind its hash.

use std::collections::HashMap;
use std::fs;
use std::io::{Read as _, Seek, SeekFrom};
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
    offset: u64,
    records: Vec<Value>,
    /// The verdicts and refusals, by the id of the request and by the address of the client.
    by_request: HashMap<String, usize>,
    by_client: HashMap<String, Vec<usize>>,
}

impl Read {
    /// Reads what was written since the last time.
    fn on(&mut self, folder: &Path) -> Result<()> {
        loop {
            let path = folder.join(format!("{:08}.seg", self.segment));
            let mut file = fs::File::open(&path).with_context(|| format!("cannot read {}", path.display()))?;
            file.seek(SeekFrom::Start(self.offset))?;
            let mut fresh = Vec::new();
            file.read_to_end(&mut fresh)?;
            let whole = fresh.iter().rposition(|b| *b == b'\n').map_or(0, |n| n + 1);
            for line in fresh[..whole].split(|b| *b == b'\n').filter(|l| !l.is_empty()) {
                let json = line.get(65..).context("a line without a hash")?;
                self.keep(serde_json::from_slice(json)?);
            }
            self.offset += whole as u64;
            if !folder.join(format!("{:08}.seg", self.segment + 1)).is_file() {
                return Ok(());
            }
            self.segment += 1;
            self.offset = 0;
        }
    }

    fn keep(&mut self, record: Value) {
        let at = self.records.len();
        let (request, client) = match record["kind"].as_str() {
            Some("access") => (&record["ask"]["request"], &record["ask"]["place"]["ip"]),
            Some("refusal") => (&record["request"], &record["ip"]),
            _ => (&Value::Null, &Value::Null),
        };
        if let (Some(request), Some(client)) = (request.as_str(), client.as_str()) {
            self.by_request.entry(request.to_owned()).or_insert(at);
            self.by_client.entry(client.to_owned()).or_default().push(at);
        }
        self.records.push(record);
    }
}

impl Ledger {
    /// The ledger in a folder.
    #[must_use]
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), read: Mutex::default() }
    }

    /// Looks at everything that is there now.
    fn look<T>(&self, look: impl FnOnce(&Read) -> T) -> Result<T> {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        read.on(&self.folder)?;
        Ok(look(&read))
    }

    /// The first record of a request: its verdict, or its refusal.
    pub fn of(&self, request: &str) -> Result<Value> {
        until(&format!("a record of the request {request}"), PATIENCE, || {
            self.look(|read| read.by_request.get(request).map(|at| read.records[*at].clone()))
        })
    }

    /// Verdicts and refusals of everything that came from an address, once there are so many.
    pub fn from(&self, client: Ipv4Addr, at_least: usize) -> Result<Vec<Value>> {
        let ip = client.to_string();
        until(&format!("{at_least} records of {ip}"), PATIENCE, || {
            self.look(|read| {
                let found = read.by_client.get(&ip).map(Vec::as_slice).unwrap_or_default();
                (found.len() >= at_least).then(|| found.iter().map(|at| read.records[*at].clone()).collect())
            })
        })
    }
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
        assert_eq!(ledger.from(Ipv4Addr::new(127, 0, 0, 9), 1).unwrap().len(), 1);
        fs::write(&first, line("a") + &line("b")).unwrap();
        fs::write(folder.path().join("00000001.seg"), line("c")).unwrap();
        assert_eq!(ledger.of("c").unwrap()["kind"], "refusal");
        assert_eq!(ledger.from(Ipv4Addr::new(127, 0, 0, 9), 3).unwrap().len(), 3);
    }
}
