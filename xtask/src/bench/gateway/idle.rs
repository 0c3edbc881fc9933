//! Memory with many idle WebSockets.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::contestant::{HOST, Who};
use super::measure::memory;
use super::ours::{self, Can};
use super::peers::Place;
use super::process::{Talking, pinned};
use super::report::rounded;
use crate::terminal::say;

/// What the goal is about.
const WANTED: f64 = 10_000.0;
/// Descriptors of the gateway that are not those of a WebSocket.
const SPARE: usize = 300;
/// From one address come so many at most, as the gateway's limit for an address has it.
const PER_ADDRESS: usize = 900;

/// What was measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Idle {
    pub sockets: usize,
    /// Memory before and after they were opened, in MB, with what is shared counted in parts.
    pub before_mb: f64,
    pub after_mb: f64,
}

impl Idle {
    /// The memory at ten thousand, in proportion where the system allowed fewer.
    pub(crate) fn at_ten_thousand_mb(&self) -> f64 {
        self.before_mb + self.each_mb() * WANTED
    }

    fn each_mb(&self) -> f64 {
        (self.after_mb - self.before_mb) / (self.sockets.max(1) as f64)
    }

    pub(crate) fn rows(&self) -> Vec<Value> {
        let case = format!("{} idle WebSockets, TLS on", self.sockets);
        let row = |metric: &str, unit: &str, ours: f64| json!({ "case": case, "metric": metric, "unit": unit, "ours": rounded(ours), "peers": {} });
        vec![
            row("memory before them (PSS)", "MB", self.before_mb),
            row("memory with them (PSS)", "MB", self.after_mb),
            row("for each of them", "KB", self.each_mb() * 1_024.0),
            row("in proportion, for 10 000", "MB", self.at_ten_thousand_mb()),
        ]
    }
}

/// Opens them and looks. None if they could not be opened, which is said.
pub(crate) fn run(place: &Place, program: &Path, bench: &Path, can: Can, wanted: usize) -> Result<Option<Idle>> {
    match held(place, program, bench, can, wanted) {
        Ok(idle) => Ok(Some(idle)),
        Err(error) => {
            say(format!("missing: idle WebSockets: {error:#}"));
            Ok(None)
        }
    }
}

fn held(place: &Place, program: &Path, bench: &Path, can: Can, wanted: usize) -> Result<Idle> {
    // One descriptor to the client, one to the upstream.
    let sockets = wanted.min(descriptors()?.saturating_sub(SPARE) / 2);
    say(format!("{sockets} idle WebSockets ..."));
    let mut upstream = Talking::start("the upstream", pinned(place.cores.others.as_deref(), bench).arg("serve"))?;
    let told: Value = serde_json::from_str(&upstream.hear()?)?;
    let at = told["at"].as_str().context("the upstream did not say where it is")?.parse()?;
    // One of its own, so that the memory is not that of an earlier load.
    let ours = ours::contestant(place, program, Who::One, can, at)?;
    let before = memory(bench, ours.running.pid())?.1;
    let mut holder = Talking::start("the clients", pinned(place.cores.others.as_deref(), bench).arg("hold"))?;
    let from: Vec<String> = (0..=sockets / PER_ADDRESS).map(|n| format!("127.0.1.{}", n + 1)).collect();
    let order = json!({ "open": {
        "name": "idle", "kind": "websocket", "path": "/ws-idle", "at": ours.tls, "ca": ours.ca, "count": sockets,
        "authority": format!("{HOST}:{}", ours.tls.port()), "headers": ours.credentials, "from": from,
    } });
    let told: Value = serde_json::from_str(&holder.ask(&order.to_string())?)?;
    let open = told["open"].as_u64().and_then(|n| usize::try_from(n).ok()).unwrap_or(0);
    ensure!(open == sockets, "{open} of {sockets} could be opened: {}", told["words"]);
    // What only the handshakes needed may be given back.
    std::thread::sleep(std::time::Duration::from_secs(3));
    let after = memory(bench, ours.running.pid())?.1;
    Ok(Idle { sockets, before_mb: before, after_mb: after })
}

/// How many descriptors a program may have here.
pub(crate) fn descriptors() -> Result<usize> {
    let output = Command::new("bash").args(["-c", "ulimit -Hn"]).output().context("cannot run bash")?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    Ok(text.parse().unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fewer_are_counted_up_in_proportion() {
        let idle = Idle { sockets: 5_000, before_mb: 20.0, after_mb: 70.0 };
        assert_eq!(idle.at_ten_thousand_mb(), 120.0);
        assert_eq!(idle.rows()[2]["ours"].as_f64(), Some(10.24));
    }
}
