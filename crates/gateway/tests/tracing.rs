//! Trace context on the wire: who may continue a trace, what the application is told, what is collected.
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::panic, reason = "these are tests")]

mod common;

use common::{ADA, Setup, application, house};
use safeconduct_gateway::Hops;
use safeconduct_gateway::trace::{Outcome, Spans};
use safeconduct_model::{Action, Class, Reason, RouteRule};

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

#[tokio::test]
async fn a_span_names_application_route_outcome_and_reason_over_both_versions() {
    let (spans, mut collected) = Spans::new(64, 1);
    let mut api = application("api", "http://127.0.0.1:1", Class::Moderate);
    api.routes = vec![RouteRule {
        methods: ["GET".into()].into(),
        path: "/secret/*".into(),
        action: Some(Action::Read),
        hardening: None,
    }];
    let house = house(Setup { spans: Some(spans), more: vec![api], ..Setup::default() }).await;
    let api = |cookie: &str| format!("GET /secret/42 HTTP/1.1\r\nhost: api.test\r\n{cookie}connection: close\r\n\r\n");
    house.get("/a", "").await;
    house.get("/admin", "").await;
    house.raw(api(ADA)).await;
    house.raw(api("")).await;
    house.raw("GET / HTTP/1.1\r\nhost: nobody.test\r\n\r\n").await;
    house.raw("GET / HTTP/1.1\r\nhost: portal.test\r\nconnection: close\r\n\r\n").await;
    let stream = tokio::net::TcpStream::connect(house.addr).await.unwrap();
    let (mut client, driver) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(driver);
    for (host, cookie) in [("wiki", "sc=ada"), ("api", "sc=ada"), ("wiki", "sc=eve"), ("nobody", "")] {
        let request = http::Request::get(format!("http://{host}.test/secret/42")).header("cookie", cookie);
        client.send_request(request.body(()).unwrap(), true).unwrap().0.await.unwrap();
    }
    let mut told = Vec::new();
    while let Ok(span) = collected.try_recv() {
        assert!(!format!("{span:?}").contains("secret/42"), "no path: {span:?}");
        let app = span.app.map(|a| a.to_string()).unwrap_or_default();
        told.push((span.version, app, span.route.unwrap_or_default(), span.outcome, span.reason, span.status));
    }
    let row = |version, app: &str, outcome, reason, status| {
        let route = if app == "api" { "/secret/*" } else { "" };
        (version, app.to_owned(), route.to_owned(), outcome, reason, status)
    };
    use Outcome::{Denied, Failed, Own, Permitted, Refused};
    let expected = [
        row("1.1", "wiki", Permitted, None, 200),
        row("1.1", "wiki", Denied, Some(Reason::PathNotAllowed), 403),
        row("1.1", "api", Failed, Some(Reason::UpstreamUnavailable), 502),
        row("1.1", "api", Denied, Some(Reason::SignInRequired), 401),
        row("1.1", "", Refused, Some(Reason::UnknownApplication), 404),
        row("1.1", "", Own, None, 200),
        row("2", "wiki", Permitted, None, 200),
        row("2", "api", Failed, Some(Reason::UpstreamUnavailable), 502),
        row("2", "wiki", Denied, Some(Reason::NoRule), 403),
        row("2", "", Refused, Some(Reason::UnknownApplication), 404),
    ];
    assert_eq!(told, expected);
}
