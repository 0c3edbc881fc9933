//! Decisions allocate nothing, once a request is prepared and the lists of the scratch are as long as they become.

#[expect(dead_code, reason = "regorus has no place here")]
#[path = "../../../bench/src/shape.rs"]
mod shape;

mod dice;
#[path = "../../../bench/src/scenarios.rs"]
mod scenarios;

use safeconduct_policy::engine::{Builder, Engine, Entities, Mode, Outcome, Prepared, Request, Scratch};
use serde_json::Value;

/// Rules of the five-Ws shape: enough for long lists and several candidates.
const RULES: usize = 1_000;
/// Requests that are decided.
const REQUESTS: usize = 500;

fn engine<'t>(entities: &str, rules: impl Iterator<Item = std::borrow::Cow<'t, str>>) -> Engine {
    let mut builder =
        Builder::new(&Entities::parse(entities, None).expect("they are entities")).expect("all are plain");
    rules.for_each(|rule| builder.add_text(&rule).expect("they are rules"));
    builder.finish()
}

/// Decides every request in both modes, twice; the second time is counted. Says how many were permitted.
fn permitted_without_allocation(engine: &Engine, requests: impl Iterator<Item = Value>) -> usize {
    assert_eq!(engine.metrics().fallbacks, 0);
    let requests: Vec<Request> = requests.map(|r| Request::from_json(&r, None).expect("they are requests")).collect();
    let prepared: Vec<Prepared<'_>> = requests.iter().map(|r| engine.prepare(r).expect("all are plain")).collect();
    let mut scratch = Scratch::default();
    let mut decide = || {
        let mut permits = 0;
        for mode in [Mode::EarlyExit, Mode::Exhaustive] {
            permits += prepared.iter().filter(|p| p.decide(mode, &mut scratch) == Outcome::Permit).count();
        }
        permits
    };
    let first = decide();
    let mut second = 0;
    let counted = allocation_counter::measure(|| second = decide());
    assert_eq!(counted.count_total, 0, "{counted:?}");
    assert_eq!(second, first);
    first / 2
}

#[test]
fn rules_over_the_five_ws_are_decided_without_an_allocation() {
    let size = shape::Size::of(RULES);
    let rules = shape::rules(size).map(|rule| rule.cedar().into());
    let engine = engine(&shape::Estate::of(size).json(), rules);
    let permitted = permitted_without_allocation(&engine, shape::asks(size).take(REQUESTS).map(|ask| ask.cedar()));
    assert!(permitted > 0 && permitted < REQUESTS, "{permitted}");
}

#[test]
fn shared_documents_repositories_and_lists_are_decided_without_an_allocation() {
    for name in ["gdrive", "github", "tinytodo"] {
        let store = scenarios::store(name, 30, 1).expect("there is such a scenario");
        let engine = engine(&store.entities.to_string(), std::iter::once(store.rules.into()));
        let permitted = permitted_without_allocation(&engine, store.requests.into_iter());
        assert!(permitted > 50 && permitted < 500, "{name}: {permitted}");
    }
}

#[test]
fn an_allocation_would_be_seen() {
    assert_eq!(allocation_counter::measure(|| drop(std::hint::black_box(vec![1_u8]))).count_total, 1);
}
