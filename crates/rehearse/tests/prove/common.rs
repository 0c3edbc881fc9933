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
        mode: Mode::Enforce,
        class,
        assets: assets.iter().map(|a| a.parse().expect("id")).collect::<BTreeSet<_>>(),
        owner: None,
        routes: vec![],
        hardening: Hardening::default(),
    }
}

pub(crate) fn asset(id: &str, class: Class) -> Asset {
    Asset { id: id.parse().expect("id"), name: id.into(), kind: AssetKind::Data, class, owner: None, note: String::new() }
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

/// Dice that fall the same way for the same seed (xorshift64*).
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// A number below `n`.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let n = u64::try_from(n).expect("small");
        usize::try_from((self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % n).expect("small")
    }

    pub(crate) fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    pub(crate) fn pick<'t, T>(&mut self, from: &'t [T]) -> &'t T {
        &from[self.below(from.len())]
    }
}
