//! `hold`: keeps many connections open, and says when they ended. It is told what to do line by line, as JSON, and answers each
//! line with one; it ends when its input ends.

pub(crate) mod group;
pub(crate) mod kinds;
mod probe;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};

use group::{Group, Order};
use probe::Probe;

/// How often those that must end are looked at.
const LOOK: Duration = Duration::from_millis(20);
/// What lives says something more often than this; what does not is as good as gone.
const SILENCE: Duration = Duration::from_secs(6);

/// What it can be told.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Told {
    /// Open connections.
    Open(Order),
    /// Ask again and again.
    Probe(Order),
    /// Something happens now, or at an instant of the wall clock in milliseconds; to the program with this number.
    Mark { at_ms: Option<i64>, pid: u32 },
    /// Wait until these groups have ended, or so long; then so long for what comes too late; and tell.
    Tell { ending: Vec<String>, staying: Vec<String>, wait_ms: u64, settle_ms: u64 },
    /// Forget groups and probes; their connections end.
    Forget { names: Vec<String> },
}

/// Listens and answers until there is nothing more to hear.
pub(crate) async fn run(mut say: impl FnMut(String)) -> Result<()> {
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    let mut held =
        Held { groups: BTreeMap::new(), probes: BTreeMap::new(), mark: Instant::now(), pid: 0, before: (0, 0) };
    while let Some(line) = lines.next_line().await? {
        let told = serde_json::from_str(&line).with_context(|| format!("not understood: {line}"))?;
        say(held.hear(told).await?.to_string());
    }
    Ok(())
}

struct Held {
    groups: BTreeMap<String, Group>,
    probes: BTreeMap<String, Probe>,
    mark: Instant,
    /// The program that lets go, and what it and this one had taken at the mark.
    pid: u32,
    before: (u64, u64),
}

impl Held {
    async fn hear(&mut self, told: Told) -> Result<Value> {
        match told {
            Told::Open(order) => {
                let name = order.name.clone();
                let (group, failed, words) = Group::open(order).await?;
                let open = group.open;
                self.groups.insert(name, group);
                Ok(json!({ "open": open, "failed": failed, "words": words }))
            }
            Told::Probe(order) => {
                let name = order.name.clone();
                self.probes.insert(name, Probe::begin(order)?);
                Ok(json!({}))
            }
            Told::Mark { at_ms, pid } => {
                (self.pid, self.mark) = (pid, Instant::now());
                self.before = self.cpu();
                if let Some(at) = at_ms {
                    let ahead = u64::try_from(at - wall_ms()).unwrap_or(0);
                    self.mark += Duration::from_millis(ahead);
                }
                Ok(json!({}))
            }
            Told::Tell { ending, staying, wait_ms, settle_ms } => {
                if self.mark > Instant::now() {
                    tokio::time::sleep_until(self.mark.into()).await;
                    self.before = self.cpu();
                }
                self.wait(&ending, self.mark + Duration::from_millis(wait_ms)).await;
                let (after, before) = (self.cpu(), self.before);
                tokio::time::sleep(Duration::from_millis(settle_ms)).await;
                let mut told = self.tell(&ending, &staying);
                told["cpu_ns"] = json!(after.0.saturating_sub(before.0));
                told["own_cpu_ns"] = json!(after.1.saturating_sub(before.1));
                Ok(told)
            }
            Told::Forget { names } => {
                // The connections end with the process; what is asked again and again ends now.
                for name in names {
                    self.probes.remove(&name);
                    self.groups.remove(&name);
                }
                Ok(json!({}))
            }
        }
    }

    /// What the program and this one have taken, in nanoseconds.
    fn cpu(&self) -> (u64, u64) {
        (crate::load::cpu_ns(self.pid), crate::load::cpu_ns(std::process::id()))
    }

    async fn wait(&self, ending: &[String], until: Instant) {
        let over = || {
            let mut groups = ending.iter().filter_map(|name| self.groups.get(name));
            groups.all(|g| g.ended().len() >= g.open)
        };
        while Instant::now() < until && !over() {
            tokio::time::sleep(LOOK).await;
        }
    }

    fn tell(&self, ending: &[String], staying: &[String]) -> Value {
        let ended: Vec<Value> =
            ending.iter().filter_map(|name| Some(self.ended(name, self.groups.get(name)?))).collect();
        let wrongly: BTreeMap<&String, usize> = staying
            .iter()
            .filter_map(|name| Some((name, self.groups.get(name)?)))
            .map(|(name, group)| (name, group.ended().len().max(group.silent(SILENCE))))
            .filter(|(_, cut)| *cut > 0)
            .collect();
        let second = self.mark + Duration::from_secs(1);
        let mut probes = Vec::new();
        for (name, probe) in &self.probes {
            let asked = probe.asked();
            let yes = |from: Instant| asked.iter().filter(|a| a.sent >= from && a.status == Some(200)).count();
            let no = |from: Instant| asked.iter().filter(|a| a.sent >= from && a.status != Some(200)).count();
            let last_yes = asked.iter().filter(|a| a.status == Some(200)).map(|a| a.sent).max();
            let last_yes = last_yes.and_then(|at| at.checked_duration_since(self.mark));
            let early = asked.iter().filter(|a| a.sent < self.mark && a.status == Some(200)).count();
            probes.push(json!({
                "name": name, "asked": asked.len(), "yes_before": early, "yes_after_a_second": yes(second),
                "no_after": no(self.mark), "last_yes_ms": last_yes.map(|d| d.as_secs_f64() * 1e3),
                "last_status": asked.last().and_then(|a| a.status),
            }));
        }
        json!({ "ended": ended, "wrongly_ended": wrongly, "probes": probes })
    }

    /// One group that should have ended: how long each took since the mark, in microseconds. What ended before the mark was
    /// lost for another reason.
    fn ended(&self, name: &str, group: &Group) -> Value {
        let ended = group.ended();
        let early = ended.iter().filter(|at| **at < self.mark).count();
        let took: Vec<u64> = ended
            .iter()
            .filter_map(|at| at.checked_duration_since(self.mark))
            .map(|d| u64::try_from(d.as_micros()).unwrap_or(u64::MAX))
            .collect();
        json!({ "name": name, "kind": format!("{:?}", group.kind), "open": group.open, "early": early, "took_us": took })
    }
}

/// The wall clock: a trigger that it pulls is told in its time.
fn wall_ms() -> i64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
    now.tv_sec * 1_000 + now.tv_nsec / 1_000_000
}
