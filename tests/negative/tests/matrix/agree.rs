//! The property above all rows, for one request: what policy saw is what the web server received.

use anyhow::{Context, Result, ensure};
use safeconduct_negative::{House, Request};
use serde_json::Value;

/// Views of one permitted request, which agree.
pub(crate) struct Views {
    /// What policy saw.
    pub(crate) record: Value,
    /// What stood on the wire behind the gateway, and what the web server understood.
    pub(crate) wire: Request,
}

/// Holds the views of a request against each other. `strict`: the web server acts on the very path that policy saw.
pub(crate) fn agree(house: &House, label: &str, id: &str, strict: bool) -> Result<Views> {
    let record = house.ledger.of(id)?;
    ensure!(record["kind"] == "access" && record["verdict"] == "permit", "it was not permitted: {record}");
    let what = &record["ask"]["what"];
    ensure!(what["app"] == label, "policy saw another application: {what}");
    let (method, path) = (what["method"].as_str().unwrap_or_default(), what["path"].as_str().unwrap_or_default());
    let mut on_wire = house.tap(label).requests(id)?;
    ensure!(on_wire.len() == 1, "{} requests on the wire carry the id {id}", on_wire.len());
    let wire = on_wire.remove(0);
    ensure!(wire.method == method, "policy saw {method}, the wire {}", wire.method);
    ensure!(wire.path() == path, "policy saw {path}, the wire {}", wire.path());
    for once in ["host", "x-request-id", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto"] {
        wire.header(once).with_context(|| format!("not exactly one {once}: {wire:?}"))?;
    }
    wire.header("x-safeconduct-assertion").context("not exactly one assertion")?;
    let host = wire.header("host").unwrap_or_default().to_owned();
    ensure!(host.split(':').next() == Some(&safeconduct_negative::host(label)), "another host on the wire: {host}");
    ensure!(wire.header("x-forwarded-host") == Some(&host), "two hosts are told: {wire:?}");
    ensure!(wire.header("x-request-id") == Some(id), "the id comes from us alone: {wire:?}");
    let Ok(stack) = house.stack(label) else { return Ok(Views { record, wire }) };
    let seen = stack.saw(id)?;
    let line = format!("{method} {} HTTP/1.1", wire.target);
    // Python takes the first of several slashes away before its application sees the path.
    ensure!(seen.line == line.as_bytes(), "{label} read the line `{}`, not `{line}`", seen.line.escape_ascii());
    ensure!(seen.host == host, "{label} read the host {}, not {host}", seen.host);
    let nt = wire.header("x-nt").unwrap_or_default().as_bytes();
    ensure!(seen.nt == nt || (nt.is_empty() && seen.nt == b"-"), "{label} read another field: {:?}", seen.nt);
    if strict {
        let acted = seen.path.escape_ascii().to_string();
        ensure!(seen.path == decoded(path), "policy saw {path}, {label} acts on {acted}");
    }
    Ok(Views { record, wire })
}

/// A path with its encodings taken back once.
pub(crate) fn decoded(path: &str) -> Vec<u8> {
    let escaped: String = path.replace('\\', "\\\\");
    let mut text = String::new();
    let mut rest = escaped.as_str();
    while let Some((before, after)) = rest.split_once('%') {
        text.push_str(before);
        text.push_str("\\x");
        text.push_str(after.get(..2).unwrap_or_default());
        rest = after.get(2..).unwrap_or_default();
    }
    text.push_str(rest);
    safeconduct_negative::unescape(&text)
}
