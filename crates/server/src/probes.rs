//! The listener of probes: is it well, may it be sent requests, what did it count. Plain HTTP, on an address of its own, and the
//! last thing that stops, so that a probe can see the server drain.

use std::sync::Arc;

use http::StatusCode;
use http::header::CONTENT_TYPE;
use safeconduct_gateway::metrics::{Kind, MEDIA_TYPE, Text};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::acme::PublicCertificates;
use crate::house::House;
use crate::rooms::health::{self, Works};

/// What the probes ask about.
#[derive(Clone)]
struct Desk {
    house: Arc<House>,
    /// Cancelled when the server is asked to stop, before it stops to accept.
    leaving: CancellationToken,
    public: Option<Arc<PublicCertificates>>,
}

/// Answers probes until `stop`.
pub(crate) async fn serve(
    house: Arc<House>,
    listener: TcpListener,
    leaving: CancellationToken,
    public: Option<Arc<PublicCertificates>>,
    stop: CancellationToken,
) {
    use axum::extract::State;
    use axum::routing::get;
    let router = axum::Router::new()
        .route("/healthz", get(|State(desk): State<Desk>| async move { desk.well().await }))
        .route("/readyz", get(|State(desk): State<Desk>| async move { desk.ready() }))
        .route(
            "/metrics",
            get(|State(desk): State<Desk>| async move { ([(CONTENT_TYPE, MEDIA_TYPE)], desk.metrics()) }),
        )
        .with_state(Desk { house, leaving, public });
    let served = axum::serve(listener, router).with_graceful_shutdown(async move { stop.cancelled().await }).await;
    if let Err(error) = served {
        tracing::warn!(%error, "the listener of probes ended");
    }
}

impl Desk {
    /// Whether everything works: 200, or 503 and nothing that an outsider could use.
    async fn well(&self) -> (StatusCode, &'static str) {
        match health::parts(&self.house).await.iter().all(Works::works) {
            true => (StatusCode::OK, "ok\n"),
            false => (StatusCode::SERVICE_UNAVAILABLE, "not well\n"),
        }
    }

    /// Whether requests should come here: what a request needs is there, and nobody asked us to stop. It waits for nothing.
    fn ready(&self) -> (StatusCode, String) {
        let wants = self.wants();
        if wants.is_empty() {
            (StatusCode::OK, "ready\n".to_owned())
        } else {
            (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {}\n", wants.join(", ")))
        }
    }

    /// What a request would lack.
    fn wants(&self) -> Vec<&'static str> {
        let house = &self.house;
        let checks = [
            ("it is draining", self.leaving.is_cancelled()),
            ("it does not serve yet", house.gateway().is_none()),
            ("the ledger takes no record", house.ledger.health().failure.is_some()),
            ("no snapshot is loaded", house.current().snapshot.revision() == 0),
            ("the clock is not reliable", !house.clock.is_reliable()),
        ];
        checks.into_iter().filter(|(_, lacking)| *lacking).map(|(what, _)| what).collect()
    }

    fn metrics(&self) -> String {
        let house = &self.house;
        let mut text = Text::default();
        let version = env!("CARGO_PKG_VERSION");
        text.family("safeconduct_info", Kind::Gauge, "The version that runs.");
        text.sample("safeconduct_info", &[("version", version)], 1);
        let ready = u8::from(self.wants().is_empty());
        text.one("safeconduct_ready", Kind::Gauge, "Whether requests should come here.", ready);
        let revision = house.current().snapshot.revision();
        text.one("safeconduct_snapshot_revision", Kind::Gauge, "The revision of the policies that bind.", revision);
        let reliable = u8::from(house.clock.is_reliable());
        text.one("safeconduct_clock_reliable", Kind::Gauge, "Whether the clock can be trusted.", reliable);
        let uptime = house.clock.uptime().millis();
        let uptime = format!("{}.{:03}", uptime / 1_000, uptime % 1_000);
        text.one("safeconduct_uptime_seconds", Kind::Gauge, "How long the process has run.", uptime);
        ledger(house, &mut text);
        if let Some(end) = self.public.as_ref().and_then(|p| p.first_end()) {
            let name = "safeconduct_public_certificate_ends_seconds";
            text.one(name, Kind::Gauge, "When the first public certificate ends, as Unix time.", end.millis() / 1_000);
        }
        if let Some(gateway) = house.gateway() {
            gateway.metrics().write(&mut text);
        }
        process(&mut text);
        text.finish()
    }
}

fn ledger(house: &House, text: &mut Text) {
    let health = house.ledger.health();
    let indexed = house.index.indexed();
    let name = "safeconduct_ledger_records_total";
    text.family(name, Kind::Counter, "Records of the ledger by how far they are.");
    let states = [("written", health.written), ("durable", health.durable), ("signed", health.signed)];
    for (state, count) in states.into_iter().chain([("indexed", indexed)]) {
        text.sample(name, &[("state", state)], count);
    }
    let refused = health.refused;
    text.one("safeconduct_ledger_refused_total", Kind::Counter, "Records that the ledger did not take.", refused);
    let lag = health.written.saturating_sub(health.durable);
    text.one("safeconduct_ledger_undurable", Kind::Gauge, "Records that a loss of power would lose.", lag);
    let lag = health.written.saturating_sub(indexed);
    text.one("safeconduct_ledger_unindexed", Kind::Gauge, "Records that pages do not show yet.", lag);
    let writes = u8::from(health.failure.is_none());
    text.one("safeconduct_ledger_writable", Kind::Gauge, "Whether the ledger takes records.", writes);
}

/// Memory and descriptors, where the system tells them.
fn process(text: &mut Text) {
    if let Ok(status) = std::fs::read_to_string("/proc/self/status") {
        let kilobytes = |key: &str| {
            let line = status.lines().find_map(|l| l.strip_prefix(key))?;
            line.trim().trim_end_matches("kB").trim().parse::<u64>().ok()
        };
        if let Some(resident) = kilobytes("VmRSS:") {
            let help = "Memory that is in use.";
            text.one("process_resident_memory_bytes", Kind::Gauge, help, resident.saturating_mul(1_024));
        }
        if let Some(threads) = kilobytes("Threads:") {
            text.one("process_threads", Kind::Gauge, "Threads.", threads);
        }
    }
    if let Ok(open) = std::fs::read_dir("/proc/self/fd") {
        text.one("process_open_fds", Kind::Gauge, "Descriptors that are open.", open.count());
    }
}
