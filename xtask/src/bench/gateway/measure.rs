//! One measurement: the load generator against one contestant, in a process of its own.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::contestant::{Case, Contestant, HOST, Http, Who};
use super::process::{Cores, behind};

/// Connections of HTTP/1.1.
const CONNECTIONS: usize = 64;
/// Connections of HTTP/2, and what goes on at a time on each.
const CONNECTIONS_2: usize = 16;
const STREAMS: usize = 8;

/// How long a measurement takes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    pub warm_ms: u64,
    pub window_ms: u64,
}

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Measured {
    pub answers: u64,
    pub left: u64,
    pub per_second: f64,
    /// CPU time of the proxy for one answer, in microseconds, and how much of it the kernel took.
    pub cpu_us: f64,
    pub system_share: f64,
    /// The share of a core that the proxy used; and load generator and upstream together.
    pub busy: f64,
    pub own_busy: f64,
    pub p50_us: f64,
    pub p99_us: f64,
    pub p999_us: f64,
    pub max_us: f64,
    pub rss_mb: f64,
    pub pss_mb: f64,
    pub errors: Vec<String>,
    pub seconds: f64,
    /// What the watch of the cores came to; none where there was none, and in the closed loop.
    pub watched: Option<Watched>,
    /// Why there was no watch.
    pub unwatched_because: Option<String>,
}

/// The figures without the time in which the machine took a core away, and how much that was.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Watched {
    /// Of the answers that were due in undisturbed time; none if there was none.
    pub calm: Option<Calm>,
    /// The part of the window that is left out.
    pub disturbed_share: f64,
    pub stalls: u64,
    pub longest_stall_ms: f64,
}

/// Latencies in undisturbed time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Calm {
    pub answers: u64,
    pub p50_us: f64,
    pub p99_us: f64,
    pub p999_us: f64,
}

impl Measured {
    pub(crate) fn calm(&self) -> Option<Calm> {
        self.watched?.calm
    }
}

/// The load generator.
pub(crate) struct Generator<'a> {
    pub program: &'a Path,
    pub cores: &'a Cores,
    /// The upstream, which has the same core.
    pub upstream: u32,
}

impl Generator<'_> {
    /// Measures; `rate` requests a second, or as fast as answers come. None if the contestant does not serve this case.
    pub(crate) fn run(&self, on: &Contestant, case: Case, rate: Option<f64>, times: Times) -> Result<Option<Measured>> {
        let Some(spec) = spec(on, case, rate, times, self) else { return Ok(None) };
        let mut command = behind(self.cores.others.as_deref(), self.program);
        let output = command.args(["load", &spec.to_string()]).stderr(Stdio::inherit()).output();
        let output = output.context("the load generator cannot run")?;
        ensure!(output.status.success(), "the load generator failed on {}, {}", on.who.name(), case.name());
        Ok(Some(read(&serde_json::from_slice(&output.stdout).context("the load generator told no figures")?)))
    }
}

/// The memory of a program and its children, in MB: resident, and with what is shared counted in parts.
pub(crate) fn memory(bench: &Path, pid: u32) -> Result<(f64, f64)> {
    let output = Command::new(bench).args(["memory", &pid.to_string()]).output()?;
    let told: Value = serde_json::from_slice(&output.stdout).context("no memory was told")?;
    let mb = |key: &str| told[key].as_f64().unwrap_or(0.0) / 1_024.0;
    Ok((mb("rss_kb"), mb("pss_kb")))
}

fn spec(on: &Contestant, case: Case, rate: Option<f64>, times: Times, by: &Generator<'_>) -> Option<Value> {
    let at = on.at(case)?;
    let two = case.http == Http::Two;
    let mut headers = browser();
    headers.extend(on.credentials.iter().cloned());
    if !two {
        headers.insert(0, ("connection".to_owned(), "keep-alive".to_owned()));
    }
    Some(json!({
        "at": at, "ca": case.tls.then(|| on.ca.display().to_string()), "http": if two { 2 } else { 1 },
        "authority": format!("{HOST}:{}", at.port()), "path": case.size.path(), "headers": headers,
        "length": case.size.bytes(), "connections": if two { CONNECTIONS_2 } else { CONNECTIONS },
        "streams": if two { STREAMS } else { 1 }, "rate": rate, "warm_ms": times.warm_ms, "window_ms": times.window_ms,
        "pid": on.running.pid(), "beside": (on.who != Who::Direct).then_some(by.upstream),
        "watch": if rate.is_some() { by.cores.each() } else { Vec::new() },
    }))
}

/// What a browser sends with a page.
fn browser() -> Vec<(String, String)> {
    let headers = [
        ("sec-ch-ua", "\"Chromium\";v=\"140\", \"Not=A?Brand\";v=\"24\""),
        ("sec-ch-ua-mobile", "?0"),
        ("sec-ch-ua-platform", "\"Linux\""),
        ("upgrade-insecure-requests", "1"),
        (
            "user-agent",
            "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36",
        ),
        ("accept", "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"),
        ("sec-fetch-site", "same-origin"),
        ("sec-fetch-mode", "navigate"),
        ("sec-fetch-user", "?1"),
        ("sec-fetch-dest", "document"),
        ("accept-encoding", "gzip, deflate, br, zstd"),
        ("accept-language", "en-GB,en;q=0.9,de;q=0.8"),
    ];
    headers.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec()
}

fn read(told: &Value) -> Measured {
    let number = |key: &str| told[key].as_f64().unwrap_or(0.0);
    let (answers, seconds) = (number("answers"), number("seconds").max(1e-9));
    let ticks = (number("user_ticks") + number("system_ticks")).max(1.0);
    Measured {
        answers: told["answers"].as_u64().unwrap_or(0),
        left: told["left"].as_u64().unwrap_or(0),
        per_second: answers / seconds,
        cpu_us: number("cpu_ns") / 1e3 / answers.max(1.0),
        system_share: number("system_ticks") / ticks,
        busy: number("cpu_ns") / 1e9 / seconds,
        own_busy: number("beside_cpu_ns") / 1e9 / seconds,
        p50_us: number("p50_ns") / 1e3,
        p99_us: number("p99_ns") / 1e3,
        p999_us: number("p999_ns") / 1e3,
        max_us: number("max_ns") / 1e3,
        rss_mb: number("rss_kb") / 1_024.0,
        pss_mb: number("pss_kb") / 1_024.0,
        errors: told["errors"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|e| e.as_str().unwrap_or_default().to_owned())
            .collect(),
        seconds,
        watched: watched(told),
        unwatched_because: told["unwatched_because"].as_str().map(str::to_owned),
    }
}

fn watched(told: &Value) -> Option<Watched> {
    if told["watched"] != Value::Bool(true) {
        return None;
    }
    let us = |key: &str| told[key].as_f64().map(|ns| ns / 1e3);
    let calm = || {
        let answers = told["calm_answers"].as_u64()?;
        Some(Calm { answers, p50_us: us("calm_p50_ns")?, p99_us: us("calm_p99_ns")?, p999_us: us("calm_p999_ns")? })
    };
    Some(Watched {
        calm: calm(),
        disturbed_share: told["disturbed_share"].as_f64()?,
        stalls: told["stalls"].as_u64()?,
        longest_stall_ms: told["longest_stall_ns"].as_f64()? / 1e6,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_is_told_for_each_answer() {
        let told = json!({ "answers": 1_000, "seconds": 0.5, "cpu_ns": 20_000_000, "user_ticks": 1, "system_ticks": 3,
            "p99_ns": 1_500_000, "rss_kb": 2_048, "errors": ["x"] });
        let measured = read(&told);
        assert_eq!((measured.cpu_us, measured.per_second, measured.busy), (20.0, 2_000.0, 0.04));
        assert_eq!((measured.system_share, measured.p99_us, measured.rss_mb), (0.75, 1_500.0, 2.0));
        assert_eq!(measured.errors, ["x"]);
        assert_eq!(measured.watched, None);
    }

    #[test]
    fn where_all_was_disturbed_there_is_a_watch_and_no_figure() {
        let mut told = json!({ "watched": true, "calm_answers": 900, "calm_p50_ns": 100_000, "calm_p99_ns": 300_000,
            "calm_p999_ns": 400_000, "disturbed_share": 0.1, "stalls": 3, "longest_stall_ns": 4_000_000 });
        let calm = Calm { answers: 900, p50_us: 100.0, p99_us: 300.0, p999_us: 400.0 };
        let watched = Watched { calm: Some(calm), disturbed_share: 0.1, stalls: 3, longest_stall_ms: 4.0 };
        assert_eq!(read(&told).watched, Some(watched));
        for key in ["calm_p50_ns", "calm_p99_ns", "calm_p999_ns"] {
            told[key] = Value::Null;
        }
        told["calm_answers"] = json!(0);
        told["disturbed_share"] = json!(1.0);
        assert_eq!(read(&told).watched, Some(Watched { calm: None, disturbed_share: 1.0, ..watched }));
        told["watched"] = json!(false);
        assert_eq!(read(&told).watched, None);
    }
}
