//! What the program holds, looked at once a second: its own metrics, and what the operating system says.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{JoinHandle, sleep};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

const EVERY: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(10);

/// One look.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sample {
    pub seconds: f64,
    pub rss_mb: f64,
    pub pss_mb: f64,
    pub descriptors: f64,
    pub threads: f64,
    /// Requests so far.
    pub requests: f64,
    /// What lives, by kind.
    pub live: BTreeMap<String, f64>,
}

impl Sample {
    /// Looks.
    pub(crate) fn look(pid: u32, health: SocketAddr, seconds: f64) -> Result<Self> {
        let text = metrics(health)?;
        let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).context("the memory cannot be seen")?;
        let kb = |name: &str| {
            let line = rollup.lines().find_map(|l| l.strip_prefix(name)).unwrap_or_default();
            line.split_whitespace().next().and_then(|n| n.parse::<f64>().ok()).unwrap_or(f64::NAN)
        };
        let sum = |name: &str| values(&text, name).map(|(_, value)| value).sum();
        Ok(Self {
            seconds,
            rss_mb: kb("Rss:") / 1_024.0,
            pss_mb: kb("Pss:") / 1_024.0,
            descriptors: fs::read_dir(format!("/proc/{pid}/fd"))?.count() as f64,
            threads: fs::read_dir(format!("/proc/{pid}/task"))?.count() as f64,
            requests: sum("safeconduct_requests_total"),
            live: values(&text, "safeconduct_live").map(|(labels, value)| (kind(labels), value)).collect(),
        })
    }
}

fn kind(labels: &str) -> String {
    labels.split('"').nth(1).unwrap_or(labels).to_owned()
}

/// The samples of one name, with their labels.
fn values<'a>(text: &'a str, name: &'a str) -> impl Iterator<Item = (&'a str, f64)> {
    text.lines().filter_map(move |line| {
        let rest = line.strip_prefix(name)?;
        let (labels, value) = rest.rsplit_once(' ')?;
        (labels.is_empty() || labels.starts_with('{')).then_some(())?;
        Some((labels, value.parse().ok()?))
    })
}

fn metrics(health: SocketAddr) -> Result<String> {
    let mut stream = TcpStream::connect_timeout(&health, PATIENCE).context("/metrics takes no connection")?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(format!("GET /metrics HTTP/1.1\r\nHost: {health}\r\nConnection: close\r\n\r\n").as_bytes())?;
    let mut text = String::new();
    stream.read_to_string(&mut text).context("/metrics does not answer")?;
    ensure!(text.starts_with("HTTP/1.1 200"), "/metrics: {}", text.lines().next().unwrap_or_default());
    Ok(text)
}

/// Somebody who looks once a second, until it is asked what it saw.
pub(crate) struct Watcher {
    stop: Arc<AtomicBool>,
    seen: Arc<Mutex<(Vec<Sample>, u64)>>,
    thread: Option<JoinHandle<()>>,
}

impl Watcher {
    pub(crate) fn begin(pid: u32, health: SocketAddr, began: Instant) -> Self {
        let (stop, seen) = (Arc::new(AtomicBool::new(false)), Arc::<Mutex<(Vec<Sample>, u64)>>::default());
        let (stopped, notes) = (Arc::clone(&stop), Arc::clone(&seen));
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                let sample = Sample::look(pid, health, began.elapsed().as_secs_f64());
                let mut seen = notes.lock().unwrap_or_else(PoisonError::into_inner);
                match sample {
                    Ok(sample) => seen.0.push(sample),
                    Err(_) => seen.1 += 1,
                }
                drop(seen);
                sleep(EVERY);
            }
        });
        Self { stop, seen, thread: Some(thread) }
    }

    /// The last look.
    pub(crate) fn last(&self) -> Sample {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).0.last().cloned().unwrap_or_default()
    }

    /// All that was seen, and how often nothing could be.
    pub(crate) fn end(mut self) -> (Vec<Sample>, u64) {
        self.finish();
        std::mem::take(&mut *self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn finish(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.finish();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_by_their_whole_name() {
        let text = "# HELP a x\na{kind=\"b\"} 3\na{kind=\"c d\"} 4\na_sum 9\na 5\n";
        let found: Vec<_> = values(text, "a").collect();
        assert_eq!(found, [("{kind=\"b\"}", 3.0), ("{kind=\"c d\"}", 4.0), ("", 5.0)]);
        assert_eq!(kind("{kind=\"c d\"}"), "c d");
    }
}
