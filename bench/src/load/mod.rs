//! `load SPEC`: a load generator that costs little, so that it can share a machine with what it measures. One process and one
//! thread for each measurement; the answer is one line of JSON.
//!
//! It accounts for the measured program too, because the window of the accounting must be the window of the load.

mod accounting;
mod calm;
mod driver;
mod histogram;
mod http1;
mod http2;
mod line;
mod stalls;
mod watch;

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde::Deserialize;
use serde_json::{Value, json};

use driver::{Connection, Driver, FREE, Plan, Seen, Talk};
use http1::Http1;
use http2::Http2;
use line::Line;
use stalls::Stall;
use watch::Watch;

/// One measurement.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Spec {
    /// Where to connect to.
    at: SocketAddr,
    /// The authority to check the certificate of the other side against; none for plain connections.
    #[serde(default)]
    ca: Option<PathBuf>,
    /// 1 or 2.
    http: u8,
    authority: String,
    path: String,
    headers: Vec<(String, String)>,
    /// The bytes that each answer must have.
    length: u64,
    connections: usize,
    /// Requests at a time on each connection of HTTP/2.
    #[serde(default = "one")]
    streams: usize,
    /// Requests a second of the open loop.
    #[serde(default)]
    rate: Option<f64>,
    warm_ms: u64,
    window_ms: u64,
    /// The program that is measured.
    pid: u32,
    /// A program on the core of the load generator.
    #[serde(default)]
    beside: Option<u32>,
    /// Addresses to connect from, in turn.
    #[serde(default)]
    from: Vec<IpAddr>,
    /// Cores to watch for time that the machine takes from them; of the open loop only.
    #[serde(default)]
    watch: Vec<String>,
}

fn one() -> usize {
    1
}

/// Measures.
pub(crate) fn run(spec: &str) -> Result<Value> {
    let spec: Spec = serde_json::from_str(spec).context("SPEC is not a measurement")?;
    ensure!(spec.http == 1 || spec.http == 2, "`http` is 1 or 2");
    let closed = spec.rate.is_none();
    let cores = spec.watch.iter().map(|core| core.parse().with_context(|| format!("{core} in `watch` is no core")));
    let cores = cores.collect::<Result<Vec<u32>>>()?;
    let watch = if closed { Watch::none() } else { Watch::start(&cores) };
    let driver = Driver::new(connections(&spec, closed)?, closed)?;
    let plan = Plan {
        rate: spec.rate,
        warm: Duration::from_millis(spec.warm_ms),
        window: Duration::from_millis(spec.window_ms),
    };
    let mut marks = Vec::new();
    let seen = driver.run(plan, || marks.push((accounting::cpu(spec.pid), beside(&spec, &watch), watch.cpu_ns())))?;
    let watched = watch.end(seen.window);
    let memory = accounting::memory(spec.pid);
    let (cpu, own, watch_cpu) = match marks.as_slice() {
        [begin, end] => (end.0.since(begin.0), end.1.saturating_sub(begin.1), end.2.saturating_sub(begin.2)),
        _ => Default::default(),
    };
    let latencies = &seen.latencies;
    let mut told = json!({
        "answers": latencies.total() - seen.left, "left": seen.left, "seconds": seen.seconds, "errors": seen.errors,
        "cpu_ns": cpu.run_ns, "user_ticks": cpu.user_ticks, "system_ticks": cpu.system_ticks, "beside_cpu_ns": own,
        "p50_ns": latencies.at(500), "p99_ns": latencies.at(990), "p999_ns": latencies.at(999), "max_ns": latencies.max(),
        "rss_kb": memory.rss_kb, "pss_kb": memory.pss_kb, "histogram": latencies.sparse(),
        "watch_cpu_ns": watch_cpu,
    });
    if let (Value::Object(told), Value::Object(more)) = (&mut told, undisturbed(&seen, &watched)) {
        told.extend(more);
    }
    Ok(told)
}

/// The figures of the time in which the machine took no core away; none where nobody watched.
fn undisturbed(seen: &Seen, watched: &Result<Vec<Stall>, String>) -> Value {
    let calm = watched.as_ref().map(|stalls| calm::calm(stalls, &seen.samples, seen.window));
    let (calm, fault) = (calm.as_ref().ok(), calm.as_ref().err());
    json!({
        "watched": calm.is_some(), "unwatched_because": fault,
        "calm_p50_ns": calm.and_then(|c| c.at(500)), "calm_p99_ns": calm.and_then(|c| c.at(990)),
        "calm_p999_ns": calm.and_then(|c| c.at(999)), "calm_answers": calm.map(|c| c.latencies.total()),
        "disturbed_share": calm.map(|c| c.disturbed_share), "stalls": calm.map(|c| c.stalls),
        "longest_stall_ns": calm.map(|c| c.longest_stall),
    })
}

/// `stalls`: what the machine takes from the core that this runs on, until the input ends.
pub(crate) fn stalls() -> Result<Value> {
    Ok(serde_json::to_value(stalls::watch()?)?)
}

/// Nanoseconds that a program with its children has run.
pub(crate) fn cpu_ns(pid: u32) -> u64 {
    accounting::cpu(pid).run_ns
}

/// Nanoseconds of the load generator, without its watchers, and of what shares its core.
fn beside(spec: &Spec, watch: &Watch) -> u64 {
    let own = cpu_ns(std::process::id()).saturating_sub(watch.cpu_ns());
    own + spec.beside.map_or(0, cpu_ns)
}

/// What one process holds, without any load.
pub(crate) fn memory(pid: &str) -> Result<Value> {
    let memory = accounting::memory(pid.parse().context("PID is a number")?);
    Ok(json!({ "rss_kb": memory.rss_kb, "pss_kb": memory.pss_kb }))
}

fn connections(spec: &Spec, closed: bool) -> Result<Vec<Connection>> {
    let tls = match &spec.ca {
        None => None,
        Some(ca) => {
            let host = spec.authority.rsplit_once(':').map_or(spec.authority.as_str(), |(host, _)| host);
            let name = ServerName::try_from(host.to_owned()).context("`authority` is no host name")?;
            Some((Arc::new(client_config(ca, spec.http, None)?), name))
        }
    };
    let request = Rc::new(http1::request(&spec.path, &spec.authority, &spec.headers));
    let mut all = Vec::with_capacity(spec.connections);
    for n in 0..spec.connections {
        let from = (!spec.from.is_empty()).then(|| spec.from[n % spec.from.len()]);
        let line = Line::open(spec.at, from, tls.as_ref().map(|(config, name)| (config, name)))?;
        if tls.is_some() && spec.http == 2 {
            ensure!(line.agreed() == Some(b"h2"), "{} does not speak HTTP/2 over TLS", spec.at);
        }
        let (talk, out, places) = if spec.http == 1 {
            (Talk::One(Http1::new(spec.length), Rc::clone(&request)), Vec::new(), 1)
        } else {
            let (talk, out) =
                Http2::new(&spec.path, &spec.authority, tls.is_some(), &spec.headers, spec.streams, spec.length);
            (Talk::Two(Box::new(talk)), out, spec.streams)
        };
        let since = vec![if closed { 0 } else { FREE }; places];
        all.push(Connection { line, talk, since, out, waits: false });
    }
    Ok(all)
}

/// Trusts one authority, and shows the certificate of a device with its key. One suite, so that every contestant encrypts alike.
pub(crate) fn client_config(ca: &Path, http: u8, device: Option<(&Path, &Path)>) -> Result<ClientConfig> {
    let pem = fs::read(ca).with_context(|| format!("cannot read {}", ca.display()))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        roots.add(certificate.context("the authority is not PEM")?)?;
    }
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    provider.cipher_suites = vec![rustls::crypto::aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256];
    let config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots);
    let mut config = match device {
        None => config.with_no_client_auth(),
        Some((certificate, key)) => {
            let chain = CertificateDer::pem_file_iter(certificate)?.collect::<Result<Vec<_>, _>>()?;
            config.with_client_auth_cert(chain, PrivateKeyDer::from_pem_file(key)?)?
        }
    };
    config.alpn_protocols = vec![if http == 2 { b"h2".to_vec() } else { b"http/1.1".to_vec() }];
    Ok(config)
}
