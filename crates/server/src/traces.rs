//! Spans to a collector: OTLP over HTTP in JSON, in batches from a bounded queue. Nothing here delays a request, and a collector
//! that is gone costs spans, nothing else.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use http::header::CONTENT_TYPE;
use safeconduct_config::Traces;
use safeconduct_directory::HttpsClient;
use safeconduct_gateway::trace::{Parent, Span, Spans};
use serde_json::{Value, json};
use tokio::sync::mpsc::Receiver;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::certificates::roots;

/// How many spans may wait.
const QUEUE: usize = 4_096;
/// How many are sent at once.
const BATCH: usize = 512;
/// How long a batch waits for more.
const WAIT: Duration = Duration::from_secs(2);
/// How long until a failed batch is tried once more.
const AGAIN: Duration = Duration::from_secs(1);
/// How long the log is silent about a collector that fails.
const SILENCE: Duration = Duration::from_secs(60);

/// The collector and the spans on their way to it.
pub(crate) struct Exporter {
    client: HttpsClient,
    endpoint: http::Uri,
    spans: Receiver<Span>,
}

/// The two ends of the way, if there is a collector.
pub(crate) fn open(dir: &Path, settings: Option<&Traces>) -> Result<(Option<Spans>, Option<Exporter>)> {
    let Some(settings) = settings else { return Ok((None, None)) };
    let roots = settings.ca_file.as_ref().map(|file| roots(dir, "[traces]", file)).transpose()?;
    let client = HttpsClient::new(&roots.unwrap_or_default(), true).context("[traces] the roots are not usable")?;
    let endpoint = settings.endpoint.parse().context("[traces] endpoint is not an address")?;
    let (sender, spans) = Spans::new(QUEUE, settings.every);
    Ok((Some(sender), Some(Exporter { client, endpoint, spans })))
}

impl Exporter {
    /// Sends what comes, until `stop`; what waits then is sent once.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let mut told: Option<Instant> = None;
        let mut stopping = false;
        while !stopping {
            let mut batch = Vec::new();
            tokio::select! {
                () = stop.cancelled() => stopping = true,
                got = self.spans.recv_many(&mut batch, BATCH) => if got == 0 { return },
            }
            let until = Instant::now() + WAIT;
            while !stopping && batch.len() < BATCH {
                let room = BATCH - batch.len();
                tokio::select! {
                    () = stop.cancelled() => stopping = true,
                    got = timeout_at(until, self.spans.recv_many(&mut batch, room)) => if got.is_err() { break },
                }
            }
            while stopping && batch.len() < BATCH {
                let Ok(span) = self.spans.try_recv() else { break };
                batch.push(span);
            }
            if batch.is_empty() {
                continue;
            }
            let body = encode(&batch).to_string().into_bytes();
            let mut sent = self.send(body.clone()).await;
            if sent.is_err() && !stopping {
                sleep(AGAIN).await;
                sent = self.send(body).await;
            }
            if let Err(error) = sent
                && told.is_none_or(|at| at.elapsed() >= SILENCE)
            {
                told = Some(Instant::now());
                tracing::warn!(
                    error = format!("{error:#}"),
                    lost = batch.len(),
                    "the collector of traces took no spans"
                );
            }
        }
    }

    async fn send(&self, body: Vec<u8>) -> Result<()> {
        let request = http::Request::post(self.endpoint.clone()).header(CONTENT_TYPE, "application/json").body(body)?;
        let answer = self.client.send(request).await?;
        anyhow::ensure!(answer.status().is_success(), "it answered {}", answer.status());
        Ok(())
    }
}

/// The message `ExportTraceServiceRequest` in the JSON form of OTLP 1.
fn encode(spans: &[Span]) -> Value {
    json!({ "resourceSpans": [{
        "resource": { "attributes": [text("service.name", "safeconduct")] },
        "scopeSpans": [{
            "scope": { "name": "safeconduct.gateway", "version": env!("CARGO_PKG_VERSION") },
            "spans": spans.iter().map(span).collect::<Vec<_>>(),
        }],
    }]})
}

/// `SPAN_KIND_SERVER` and `STATUS_CODE_ERROR`.
const SERVER: u8 = 2;
const ERROR: u8 = 2;

/// The methods that the conventions know.
const METHODS: [&str; 9] = ["CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"];

fn span(span: &Span) -> Value {
    let Parent { trace, span: id, .. } = span.own;
    let from = i128::from(span.from.millis()) * 1_000_000;
    let to = from + i128::from(span.took_us) * 1_000;
    // The semantic conventions for HTTP servers, without what would tell of a person: address, path, query, user agent. A
    // method that they do not know is told as they ask, without its text.
    let method = if METHODS.contains(&span.method.as_str()) { &*span.method } else { "_OTHER" };
    let mut attributes = vec![
        text("http.request.method", method),
        json!({ "key": "http.response.status_code", "value": { "intValue": span.status.to_string() } }),
        text("url.scheme", span.scheme),
        text("network.protocol.name", "http"),
        text("network.protocol.version", span.version),
        text("safeconduct.request", span.request.as_str()),
        text("safeconduct.outcome", span.outcome.name()),
    ];
    attributes.extend(span.host.as_ref().map(|host| text("server.address", host)));
    attributes.extend(span.route.as_ref().map(|route| text("http.route", route)));
    attributes.extend(span.app.as_ref().map(|app| text("safeconduct.app", app.as_str())));
    if span.status >= 500 {
        let kind = span.reason.map_or_else(|| span.status.to_string(), |reason| reason.code().to_owned());
        attributes.push(text("error.type", &kind));
    }
    attributes.extend(span.reason.map(|reason| text("safeconduct.reason", reason.code())));
    let name = if method == "_OTHER" { "HTTP" } else { method };
    let mut value = json!({
        "traceId": hex(&trace),
        "spanId": hex(&id),
        "name": span.route.as_ref().map_or_else(|| name.to_owned(), |route| format!("{name} {route}")),
        "kind": SERVER,
        "startTimeUnixNano": from.to_string(),
        "endTimeUnixNano": to.to_string(),
        "attributes": attributes,
        "status": if span.status >= 500 { json!({ "code": ERROR }) } else { json!({}) },
    });
    if let (Some(parent), Some(fields)) = (span.parent, value.as_object_mut()) {
        fields.insert("parentSpanId".to_owned(), hex(&parent).into());
    }
    value
}

fn text(key: &str, value: &str) -> Value {
    json!({ "key": key, "value": { "stringValue": value } })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use safeconduct_gateway::trace::Outcome;
    use safeconduct_model::{Reason, Timestamp};

    use super::*;

    #[test]
    fn a_span_is_told_as_otlp_has_it() {
        let told = encode(&[Span {
            own: Parent { trace: [0xab; 16], span: [1; 8], sampled: true },
            parent: Some([2; 8]),
            request: "0af7651916cd43dd8448eb211c80319c".parse().expect("an id"),
            from: Timestamp::from_millis(1_790_000_000_123),
            took_us: 1_500,
            method: "GET".into(),
            status: 503,
            scheme: "https",
            version: "2",
            host: Some("wiki.acme.localhost".into()),
            app: Some("wiki".parse().expect("an id")),
            route: Some("/api/*".into()),
            outcome: Outcome::Denied,
            reason: Some(Reason::ClockUnreliable),
        }]);
        let span = &told["resourceSpans"][0]["scopeSpans"][0]["spans"][0];
        for (key, value) in [
            ("traceId", "ab".repeat(16)),
            ("spanId", "01".repeat(8)),
            ("parentSpanId", "02".repeat(8)),
            ("startTimeUnixNano", "1790000000123000000".to_owned()),
            ("endTimeUnixNano", "1790000000124500000".to_owned()),
        ] {
            assert_eq!(span[key], value, "{key}");
        }
        assert_eq!((&span["kind"], &span["status"]["code"]), (&json!(2), &json!(2)));
        assert_eq!(span["name"], "GET /api/*");
        let attributes = span["attributes"].as_array().expect("a list");
        for (key, value) in [
            ("http.request.method", "GET"),
            ("http.route", "/api/*"),
            ("url.scheme", "https"),
            ("network.protocol.version", "2"),
            ("server.address", "wiki.acme.localhost"),
            ("error.type", "clock_unreliable"),
            ("safeconduct.app", "wiki"),
            ("safeconduct.outcome", "denied"),
            ("safeconduct.reason", "clock_unreliable"),
        ] {
            assert!(attributes.contains(&text(key, value)), "{key}: {attributes:?}");
        }
    }
}
