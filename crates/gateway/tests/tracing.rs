//! Trace context on the wire: who may continue a trace, what the application is told, what is collected.
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::panic, reason = "these are tests")]

mod common;

use common::{Setup, house};
use safeconduct_gateway::Hops;
use safeconduct_gateway::trace::Spans;

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn hop() -> Hops {
    Hops { trusted: vec!["127.0.0.1/32".parse().unwrap()], proxy_protocol: false }
}

/// The value of a field as the application got it.
fn told(log: &str, field: &str) -> Vec<String> {
    log.lines().filter_map(|l| l.strip_prefix(&format!("{field}: "))).map(|v| v.trim_end().to_owned()).collect()
}

/// Our span: the first half of the request id that is not zero.
fn span(request: &str) -> &str {
    let (first, second) = request.split_at(16);
    if first == "0".repeat(16) { second } else { first }
}

#[tokio::test]
async fn a_stranger_cannot_continue_a_trace_and_the_request_id_is_the_new_one() {
    let house = house(Setup::default()).await;
    let fields = format!("traceparent: {PARENT}\r\ntracestate: evil=1\r\n");
    assert_eq!(house.get("/a", &fields).await.status(), 200);
    let log = house.upstream.log();
    let (parents, request) = (told(&log, "traceparent"), told(&log, "x-request-id"));
    assert_eq!(parents, [format!("00-{}-{}-00", request[0], span(&request[0]))], "{log}");
    assert!(!log.contains("tracestate") && !log.contains("4bf92f"), "{log}");
}

#[tokio::test]
async fn a_trusted_hop_continues_its_trace_and_the_request_id_stays_ours() {
    let house = house(Setup { hops: hop(), ..Setup::default() }).await;
    let fields = format!("traceparent: {PARENT}\r\ntracestate: rojo=1\r\ntracestate: congo=2\r\n");
    assert_eq!(house.get("/a", &fields).await.status(), 200);
    let log = house.upstream.log();
    let request = told(&log, "x-request-id");
    assert_eq!(told(&log, "traceparent"), [format!("00-4bf92f3577b34da6a3ce929d0e0e4736-{}-01", span(&request[0]))]);
    assert_eq!(told(&log, "tracestate"), ["rojo=1,congo=2"]);
    assert_ne!(request[0], "4bf92f3577b34da6a3ce929d0e0e4736", "nobody else names our records");
}

#[tokio::test]
async fn a_span_tells_of_an_exchange_and_a_full_queue_delays_nobody() {
    let (spans, mut collected) = Spans::new(1, 1);
    let house = house(Setup { hops: hop(), spans: Some(spans), ..Setup::default() }).await;
    for _ in 0..3 {
        assert_eq!(house.get("/secret", &format!("traceparent: {PARENT}\r\n")).await.status(), 200);
    }
    let span = collected.recv().await.unwrap();
    assert_eq!((span.method.as_str(), span.status, span.parent.unwrap()[7]), ("GET", 200, 0xb7));
    assert!(!format!("{span:?}").contains("secret") && !format!("{span:?}").contains("ada"), "{span:?}");
    assert!(collected.try_recv().is_err(), "the others were dropped");
    let mut text = safeconduct_gateway::metrics::Text::default();
    house.gateway.metrics().write(&mut text);
    assert!(text.finish().contains("safeconduct_spans_total{outcome=\"dropped\"} 2"));
}
