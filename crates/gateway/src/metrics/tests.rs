//! What is recorded on any thread stands on the page once, under labels of fixed lists.

use super::*;

fn page(metrics: &Metrics) -> String {
    let mut text = Text::default();
    metrics.write(&mut text);
    text.finish()
}

fn app(id: &str) -> AppId {
    id.parse().unwrap()
}

#[test]
fn what_several_threads_record_adds_up() {
    let metrics = Metrics::new(3);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let wiki = metrics.app(&app("wiki"));
                for _ in 0..1_000 {
                    wiki.permitted(200);
                    wiki.ended(Duration::from_micros(300), 1, 10);
                    metrics.decided(Duration::from_micros(3));
                }
                wiki.denied(Reason::OutsideHours);
                metrics.refused("two_hosts");
                metrics.opened(Living::WebSocket);
            });
        }
    });
    metrics.closed(Living::WebSocket);
    metrics.cut(CutCause::PolicyPublished, Some(Duration::from_millis(2)));
    let page = page(&metrics);
    for line in [
        "safeconduct_requests_total{app=\"wiki\",verdict=\"permit\",reason=\"\",status=\"2xx\"} 8000",
        "safeconduct_requests_total{app=\"wiki\",verdict=\"deny\",reason=\"outside_hours\",status=\"\"} 8",
        "safeconduct_request_seconds_bucket{app=\"wiki\",le=\"0.00025\"} 0",
        "safeconduct_request_seconds_bucket{app=\"wiki\",le=\"0.0005\"} 8000",
        "safeconduct_request_seconds_sum{app=\"wiki\"} 2.4",
        "safeconduct_request_seconds_count{app=\"wiki\"} 8000",
        "safeconduct_body_bytes_total{app=\"wiki\",direction=\"down\"} 80000",
        "safeconduct_decision_seconds_bucket{le=\"0.000005\"} 8000",
        "safeconduct_refusals_total{code=\"two_hosts\"} 8",
        "safeconduct_live{kind=\"websocket\"} 7",
        "safeconduct_cuts_total{cause=\"policy_published\"} 1",
        "safeconduct_cut_delay_seconds_bucket{le=\"0.0025\"} 1",
    ] {
        assert!(page.lines().any(|l| l == line), "{line}\n{page}");
    }
}

#[test]
fn every_line_is_of_the_format_and_every_family_is_told_once() {
    let metrics = Metrics::new(1);
    metrics.app(&app("wiki")).permitted(0);
    metrics.app(&app("wiki")).permitted(999);
    metrics.accepted();
    metrics.handshake(Handshake::Slow);
    metrics.met(Met::Idle);
    let page = page(&metrics);
    let mut families = Vec::new();
    for line in page.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            families.push(rest.split(' ').next().unwrap().to_owned());
        } else if !line.starts_with('#') {
            let (series, value) = line.rsplit_once(' ').unwrap();
            let name = series.split('{').next().unwrap();
            assert!(value.parse::<f64>().is_ok(), "{line}");
            assert!(name.starts_with(families.last().unwrap().as_str()), "{line} belongs to the family before it");
        }
    }
    let told = families.len();
    families.sort();
    families.dedup();
    assert_eq!(families.len(), told);
    let none = "safeconduct_requests_total{app=\"wiki\",verdict=\"permit\",reason=\"\",status=\"none\"} 2";
    assert!(page.contains(none), "{page}");
}

#[test]
fn applications_beyond_the_bound_share_one_series() {
    let metrics = Metrics::new(1);
    for n in 0..MOST_APPS + 5 {
        metrics.app(&app(&format!("a{n}"))).permitted(200);
    }
    metrics.app(&app("a7")).permitted(200);
    let page = page(&metrics);
    assert!(page.contains("app=\"(other)\",verdict=\"permit\",reason=\"\",status=\"2xx\"} 5"));
    assert!(page.contains("app=\"a7\",verdict=\"permit\",reason=\"\",status=\"2xx\"} 2"));
    assert!("(other)".parse::<AppId>().is_err(), "no application can take the name");
}

#[test]
fn every_cause_has_a_series_of_its_own() {
    let metrics = Metrics::new(1);
    for (cause, _) in CAUSES {
        metrics.cut(cause, None);
    }
    assert_eq!(page(&metrics).matches("safeconduct_cuts_total{").count(), CAUSES.len());
    for (cause, label) in CAUSES {
        assert_eq!(serde_json::to_value(cause).unwrap(), label, "the word of the ledger");
        assert!(page(&metrics).contains(&format!("safeconduct_cuts_total{{cause=\"{label}\"}} 1")));
    }
}
