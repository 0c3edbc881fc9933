//! What the tests of proofs share.

use std::collections::BTreeSet;

use jiff::tz::TimeZone;
use safeconduct_model::{Application, Asset, AssetKind, Class, Hardening, Mode, Timestamp};
use safeconduct_policy::{PolicyText, Snapshot, Sources};

/// Monday, 2026-08-31T00:00:00Z.
pub(crate) const MONDAY: Timestamp = Timestamp::from_millis(1_788_134_400_000);

pub(crate) fn app(id: &str, class: Class, assets: &[&str]) -> Application {
    Application {
        id: id.parse().expect("id"),
        name: id.into(),
        hosts: vec![],
        upstream: "http://127.0.0.1:1".into(),
        connector: None,
        mode: Mode::Enforce,
        class,
        assets: assets.iter().map(|a| a.parse().expect("id")).collect::<BTreeSet<_>>(),
        owner: None,
        routes: vec![],
        hardening: Hardening::default(),
    }
}

pub(crate) fn asset(id: &str, class: Class) -> Asset {
    Asset {
        id: id.parse().expect("id"),
        name: id.into(),
        kind: AssetKind::Data,
        class,
        owner: None,
        note: String::new(),
    }
}

pub(crate) fn build(sources: Sources) -> Snapshot {
    match Snapshot::build(1, sources) {
        Ok(snapshot) => snapshot,
        Err(faults) => panic!("{}", faults.iter().map(|f| format!("{f}\n")).collect::<String>()),
    }
}

/// Two applications: `books` is critical and leads to `ledger`, `wiki` is of no matter.
pub(crate) fn sources(rules: &str) -> Sources {
    Sources {
        policies: vec![PolicyText { file: "p.cedar".into(), text: rules.into() }],
        applications: vec![app("books", Class::Critical, &["ledger"]), app("wiki", Class::Low, &[])],
        assets: vec![asset("ledger", Class::Critical), asset("spare", Class::High)],
        zone: TimeZone::UTC,
    }
}

pub(crate) fn snapshot(rules: &str) -> Snapshot {
    build(sources(rules))
}
