//! The map: who uses what, in which way.

use std::collections::{BTreeMap, BTreeSet};

use jiff::tz::TimeZone;
use safeconduct_model::{Access, Action, AppId, Entry, PersonId, Principal, Record};
use serde::Serialize;

use crate::facts::Facts;
use crate::stats::Stats;

/// How many edges a map keeps. With a full set of facts an edge takes about 5 KB.
pub const MAX_EDGES: usize = 50_000;

/// What an edge connects.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Key {
    /// Which application.
    pub app: AppId,
    /// Which kind of use.
    pub action: Action,
    /// Who.
    pub principal: Principal,
}

/// Who uses what, built from the ledger. It keeps the edges that come first in their order and counts the rest, so that
/// neither the order of entries nor the way they were cut into parts changes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Map {
    zone: TimeZone,
    max_edges: usize,
    edges: BTreeMap<Key, Stats>,
    beyond: u64,
    records: u64,
}

impl Default for Map {
    /// An empty map whose hours are those of UTC.
    fn default() -> Self {
        Self::new(TimeZone::UTC)
    }
}

impl Map {
    /// An empty map whose hours are those of `zone`.
    #[must_use]
    pub fn new(zone: TimeZone) -> Self {
        Self::with_bound(zone, MAX_EDGES)
    }

    /// An empty map with a bound of its own.
    #[must_use]
    pub fn with_bound(zone: TimeZone, max_edges: usize) -> Self {
        Self { zone, max_edges, edges: BTreeMap::new(), beyond: 0, records: 0 }
    }

    /// A map of all these entries.
    pub fn of<'e>(zone: TimeZone, entries: impl IntoIterator<Item = &'e Entry>) -> Self {
        let mut map = Self::new(zone);
        entries.into_iter().for_each(|entry| map.add(entry));
        map
    }

    /// Adds one entry of the ledger. Only verdicts count.
    pub fn add(&mut self, entry: &Entry) {
        if let Record::Access(access) = &entry.record {
            self.add_access(access);
        }
    }

    fn add_access(&mut self, access: &Access) {
        self.records += 1;
        let what = &access.ask.what;
        let key = Key { app: what.app.clone(), action: what.action, principal: access.ask.who.principal.clone() };
        let facts = Facts::of(access, &self.zone);
        self.edges.entry(key).or_default().add(access, &facts);
        self.keep_the_bound();
    }

    fn keep_the_bound(&mut self) {
        while self.edges.len() > self.max_edges {
            let Some((_, stats)) = self.edges.pop_last() else { return };
            self.beyond += stats.passed + stats.denied + stats.again;
        }
    }

    /// Adds everything that `other` holds. Both must count hours in the same zone.
    pub fn merge(&mut self, other: &Self) {
        for (key, stats) in &other.edges {
            self.edges.entry(key.clone()).or_default().merge(stats);
        }
        self.beyond += other.beyond;
        self.records += other.records;
        self.keep_the_bound();
    }

    /// The zone in which hours are counted.
    #[must_use]
    pub fn zone(&self) -> &TimeZone {
        &self.zone
    }

    /// Every edge, by application, kind of use and principal.
    pub fn edges(&self) -> impl Iterator<Item = (&Key, &Stats)> {
        self.edges.iter()
    }

    /// One edge.
    #[must_use]
    pub fn edge(&self, principal: &Principal, app: &AppId, action: Action) -> Option<&Stats> {
        self.edges.get(&Key { app: app.clone(), action, principal: principal.clone() })
    }

    /// How many edges there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.edges.len()
    }

    /// Whether nothing was seen.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.edges.is_empty()
    }

    /// How many verdicts were counted.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.records
    }

    /// How many verdicts belong to edges that found no room.
    #[must_use]
    pub fn beyond(&self) -> u64 {
        self.beyond
    }

    /// Everybody who got through somewhere.
    #[must_use]
    pub fn people(&self) -> BTreeSet<PersonId> {
        self.edges.keys().filter_map(|key| key.principal.person()).cloned().collect()
    }

    /// Which bounds were hit, in words; empty if the map is complete.
    #[must_use]
    pub fn gaps(&self) -> Vec<String> {
        let mut gaps = Vec::new();
        if self.beyond > 0 {
            gaps.push(format!("{} verdicts lie beyond the bound of {} edges", self.beyond, self.max_edges));
        }
        let mut by_name: BTreeMap<&str, usize> = BTreeMap::new();
        for name in self.edges.values().flat_map(Stats::bounds_hit) {
            *by_name.entry(name).or_default() += 1;
        }
        gaps.extend(by_name.iter().map(|(name, edges)| format!("{edges} edges have more {name} than are kept")));
        gaps
    }
}
