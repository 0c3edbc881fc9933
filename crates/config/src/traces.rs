//! `[traces]`: where spans are sent, if anywhere.

use crate::reader::{Faults, Table};

/// The collector of traces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Traces {
    /// Where OTLP over HTTP is taken, whole: `https://collector.example.com/v1/traces`. Plain HTTP on loopback only.
    pub endpoint: String,
    /// One of how many traces that begin here is recorded; those of trusted hops are if the hop says so.
    pub every: u64,
    /// More certificates to trust when talking to it, PEM.
    pub ca_file: Option<String>,
}

/// The addresses to which plain HTTP may be spoken.
const LOOPBACK: [&str; 3] = ["http://localhost:", "http://127.0.0.1:", "http://[::1]:"];
/// Of how many traces one is recorded where the file does not say.
const EVERY: u64 = 100;
/// The fewest traces.
const MOST_SELDOM: u64 = 1_000_000;

/// Reads `[traces]`.
pub(crate) fn read(t: Option<Table<'_>>, faults: &mut Faults) -> Option<Traces> {
    let mut t = t?;
    let endpoint =
        t.required::<String>("endpoint", "name where OTLP is taken, as in \"http://127.0.0.1:4318/v1/traces\"", faults);
    let every = t.number("every", 1..MOST_SELDOM + 1, faults).unwrap_or(EVERY);
    let ca_file = t.parsed("ca_file", "name a PEM file", faults);
    if let Some(endpoint) = &endpoint
        && !endpoint.starts_with("https://")
        && !LOOPBACK.iter().any(|l| endpoint.starts_with(l))
    {
        let what = "`endpoint` must begin with https://; plain HTTP is for a collector on this machine alone";
        faults.tell(&t.at, what, "run a collector on this machine, as in \"http://127.0.0.1:4318/v1/traces\"");
    }
    t.done(faults);
    Some(Traces { endpoint: endpoint?, every, ca_file })
}
