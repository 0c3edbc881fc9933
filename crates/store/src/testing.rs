//! Records for the tests of this crate.

use std::path::Path;

use safeconduct_ledger::Report;
use safeconduct_model::{
    Access, Action, Ask, Auth, Method, Mode, Outcome, Place, Principal, Reason, Record, SystemEvent, Timestamp, What,
    Who, Why,
};

use crate::{LedgerKey, LedgerWriter, Options};

/// An instant by its milliseconds.
pub(crate) fn at(ms: i64) -> Timestamp {
    Timestamp::from_millis(ms)
}

/// A small record.
pub(crate) fn event(detail: &str) -> Record {
    Record::System(SystemEvent { event: "alarm".into(), detail: detail.into() })
}

/// An access of `person` to `app` with the request id `request`.
pub(crate) fn access(request: &str, person: &str, app: &str, decided: i64, denied: Option<Reason>) -> Record {
    let id = "valid in tests";
    let auth = Auth {
        session: format!("s-{person}").parse().expect(id),
        methods: [Method::Passkey].into(),
        at: at(1),
        until: Timestamp::MAX,
    };
    let who = Who {
        principal: Principal::Person(person.parse().expect(id)),
        groups: ["staff".parse().expect(id)].into(),
        auth: Some(auth),
    };
    let what = What { app: app.parse().expect(id), action: Action::Read, method: "GET".into(), path: "/q3".into() };
    let place =
        Place { ip: "10.0.0.7".parse().expect(id), network: Some("office".into()), country: None, device: None };
    let outcome = match denied {
        None => Outcome::Permit { until: at(decided + 60_000) },
        Some(reason) => Outcome::Deny { reason, failing: vec![], remedies: vec![] },
    };
    Record::Access(Box::new(Access {
        ask: Ask { request: request.parse().expect(id), who, what, place, why: Why::default(), lock: None },
        decided: at(decided),
        outcome,
        mode: Mode::Enforce,
        revision: 3,
        rules: vec!["r1".parse().expect(id)],
        facts: vec!["context.network".into()],
        took_us: 11,
        again: false,
        would: None,
    }))
}

/// The key of a test directory.
pub(crate) fn key(dir: &Path) -> LedgerKey {
    LedgerKey::load_or_create(&dir.join("ledger.key")).expect("a key")
}

/// Opens the ledger of a test directory.
pub(crate) fn writer(dir: &Path, options: Options) -> LedgerWriter {
    LedgerWriter::open(&dir.join("ledger"), &key(dir), at(1_000_000), options).expect("opens")
}

/// Verifies a ledger directory.
pub(crate) fn verified(dir: &Path, key: &LedgerKey) -> Report {
    crate::verify_ledger(dir, &key.public(), None).expect("readable")
}
