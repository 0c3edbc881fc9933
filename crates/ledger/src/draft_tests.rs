//! A draft leaves the bytes that serde writes for the whole record.

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use safeconduct_model::{
    Action, Ask, Auth, Check, DeviceFacts, Duration, Entry, Failing, Method, Mode, Outcome, Place, Principal, Reason,
    Remedy, Stated, What, Who, Why, Would,
};

use super::*;
use crate::{Chain, MAX_LINE};

/// Texts with everything that JSON escapes, and with the words of the record itself.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        Just("\",\"took_us\":7,\"decided\":".to_owned()),
        Just("/a\\b\u{7f}\u{0}\n\u{1f}é/\u{2028}".to_owned()),
        "/[a-z0-9/._%-]{0,40}",
    ]
}

fn id<T>() -> impl Strategy<Value = T>
where
    T: std::str::FromStr<Err: std::fmt::Debug> + std::fmt::Debug,
{
    prop_oneof!["[a-z0-9][a-z0-9._+@-]{0,40}", Just("request".to_owned()), Just("path".to_owned())]
        .prop_map(|text| text.parse().expect("an id"))
}

fn device() -> impl Strategy<Value = DeviceFacts> {
    (id(), any::<bool>(), proptest::option::of(0..9_i64)).prop_map(|(id, managed, reported)| DeviceFacts {
        id,
        managed,
        reported: reported.map(Timestamp::from_millis),
        max_age: Duration::from_secs(9),
        passed: Check::ALL.into(),
        required: BTreeSet::new(),
    })
}

fn outcome() -> impl Strategy<Value = Outcome> {
    let failing = text().prop_map(|words| Failing { condition: words.clone(), words, found: String::new() });
    let remedy = prop_oneof![
        Just(Remedy::SignIn),
        text().prop_map(|owner| Remedy::AskOwner { owner: Some(owner) }),
        Just(Remedy::StatePurpose { accepted: vec![] })
    ];
    let deny = (proptest::collection::vec(failing, 0..2), proptest::collection::vec(remedy, 0..2));
    prop_oneof![
        any::<u32>().prop_map(|until| Outcome::Permit { until: Timestamp::from_millis(until.into()) }),
        deny.prop_map(|(failing, remedies)| Outcome::Deny { reason: Reason::NoRule, failing, remedies }),
    ]
}

prop_compose! {
    fn who()(principal in prop_oneof![
            id().prop_map(Principal::Person), id().prop_map(Principal::Workload), Just(Principal::Nobody)],
        groups in proptest::collection::btree_set(id(), 0..3), session in proptest::option::of(id())) -> Who {
        let auth = session.map(|session| Auth {
            session, methods: [Method::Passkey].into(), at: Timestamp::default(), until: Timestamp::MAX });
        Who { principal, groups, auth }
    }
}

prop_compose! {
    fn access()(request in id(), who in who(), app in id(), method in text(), path in text(),
        network in proptest::option::of(text()), device in proptest::option::of(device()),
        purpose in proptest::option::of(text()), outcome in outcome(), (decided, revision) in (any::<i64>(), any::<u64>()),
        rules in proptest::collection::vec(id(), 0..3), facts in proptest::collection::vec(text(), 0..3),
        (took_us, again, permits) in (any::<u32>(), any::<bool>(), proptest::option::of(any::<bool>()))) -> Access {
        let place = Place { ip: "::1".parse().expect("an address"), network, country: None, device };
        let why = Why { stated: purpose.map(|purpose| Stated { purpose, ticket: None }), grant: None };
        Access {
            ask: Ask { request, who, what: What { app, action: Action::Read, method, path }, place, why, lock: None },
            decided: Timestamp::from_millis(decided),
            outcome, mode: Mode::Enforce, revision,
            would: permits.map(|permits| Would { permits, rules: rules.clone() }),
            rules, facts, took_us, again,
        }
    }
}

/// The line of a draft, and that of serde.
fn lines(draft: Draft, record: Record) -> (Vec<u8>, Vec<u8>) {
    let (mut chain, mut out) = (Chain::begin([1; 32]), Vec::new());
    chain.open_segment(&mut out);
    out.clear();
    let at = Timestamp::from_millis(1_790_776_920_000);
    chain.append(draft, at, &mut out).expect("fits");
    let serde = serde_json::to_vec(&Entry { seq: 0, at, record }).expect("JSON");
    (out[65..out.len() - 1].to_vec(), serde)
}

proptest! {
    #[test]
    fn a_verdict_by_its_pattern_is_written_as_serde_writes_the_whole(first in access(), own in access()) {
        let Access { ask: Ask { request, what, .. }, decided, took_us, .. } = own;
        let mut whole = first.clone();
        (whole.ask.request, whole.ask.what.method) = (request.clone(), what.method.clone());
        (whole.ask.what.path, whole.decided, whole.took_us) = (what.path.clone(), decided, took_us);
        let pattern = Arc::new(Pattern::of(first.clone()));
        prop_assert_eq!(pattern.access(), &first);
        let draft = Draft::Like {
            pattern, request, method: method_text(&what.method), path: what.path.into(), decided, took_us };
        let record = Record::Access(Box::new(whole));
        prop_assert_eq!(&draft.record(), &record);
        let (ours, serde) = lines(draft, record.clone());
        prop_assert_eq!(String::from_utf8(ours).expect("UTF-8"), String::from_utf8(serde).expect("UTF-8"));
        let (ours, serde) = lines(record.clone().into(), record);
        prop_assert_eq!(ours, serde);
    }
}

#[test]
fn a_verdict_with_a_path_that_fits_into_no_line_is_refused_and_leaves_no_trace() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let first = access().new_tree(&mut runner).expect("an access").current();
    let pattern = Pattern::of(first.clone());
    let fits = |path: &str| {
        let texts = Texts {
            path,
            ..(&Varying { request: &first.ask.request, method: "GET", path: "", decided: first.decided, took_us: 1 })
                .into()
        };
        let told = crate::Body::fits(&pattern, &texts).is_ok();
        let (mut chain, mut out) = (Chain::begin([1; 32]), Vec::new());
        chain.open_segment(&mut out);
        let before = (chain.head(), out.len());
        let at = Timestamp::MAX;
        let done = chain.append_body(&crate::Body::Like(&pattern, texts), at, &mut out).is_ok();
        assert_eq!(done, (chain.head(), out.len()) != before);
        // What is said to fit does fit.
        assert!(done || !told, "{}", path.len());
        told
    };
    assert!(fits(&"x".repeat(MAX_LINE / 2)) && fits(&"\u{1}".repeat(MAX_LINE / 8)));
    assert!(!fits(&"x".repeat(MAX_LINE)) && !fits(&"\u{1}".repeat(MAX_LINE / 6)));
    let edge = MAX_LINE - pattern.access().ask.request.as_str().len();
    for len in (edge - 4_000..edge).step_by(3) {
        fits(&"x".repeat(len));
    }
}
