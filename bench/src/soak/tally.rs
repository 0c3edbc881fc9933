//! What came of everything that was asked, held open, or kept slow; and the id of every request that was answered.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::expect::{Came, Expect, Timeline};

/// So many wrong answers are told in words, and so many that differ in numbers only.
const TOLD: usize = 20;
const ALIKE: u32 = 2;

/// Shared by everybody.
#[derive(Clone)]
pub(crate) struct Tally(Arc<Mutex<Inner>>);

struct Inner {
    expected: BTreeMap<String, Timeline>,
    counts: BTreeMap<String, u64>,
    wrong: u64,
    words: Vec<String>,
    /// How often each kind of words was said.
    kinds: BTreeMap<String, u32>,
    answered: u64,
    ids: BufWriter<File>,
    began: Instant,
}

impl Tally {
    pub(crate) fn new(ids: &Path) -> Result<Self> {
        let file = File::create(ids).with_context(|| format!("cannot write {}", ids.display()))?;
        Ok(Self(Arc::new(Mutex::new(Inner {
            expected: BTreeMap::new(),
            counts: BTreeMap::new(),
            wrong: 0,
            words: Vec::new(),
            kinds: BTreeMap::new(),
            answered: 0,
            ids: BufWriter::new(file),
            began: Instant::now(),
        }))))
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn expect(&self, who: &str, expect: Expect) {
        let now = Instant::now();
        let mut inner = self.inner();
        inner
            .expected
            .entry(who.to_owned())
            .and_modify(|t| t.now(now, expect))
            .or_insert_with(|| Timeline::from(now, expect));
    }

    /// An answer with its id, or none.
    pub(crate) fn answered(&self, who: &str, what: &str, asked: Instant, came: Came, id: Option<&str>) {
        let now = Instant::now();
        let mut inner = self.inner();
        let outcome = match came {
            Came::Right => "right".to_owned(),
            Came::Wrong => "wrong".to_owned(),
            Came::Status(status) => status.to_string(),
            Came::Nothing => "nothing".to_owned(),
        };
        inner.count(&format!("{who}: {what}: {outcome}"));
        if came != Came::Nothing {
            inner.id(who, what, id, &outcome);
        }
        let allowed = inner.expected.get(who).is_some_and(|t| t.allows(asked, now, came));
        if !allowed {
            inner.wrong(&format!("{who}: {what}: {outcome} after {} ms", (now - asked).as_millis()));
        }
    }

    /// The answer to something that is refused anyway, or may be.
    pub(crate) fn noted(&self, what: &str, outcome: &str, id: Option<&str>) {
        let mut inner = self.inner();
        inner.count(&format!("{what}: {outcome}"));
        if id.is_some() {
            inner.id(what, what, id, outcome);
        }
    }

    /// What came through a tunnel. It has no id of its own, and one that is not let through just ends.
    pub(crate) fn carried(&self, who: &str, asked: Instant, came: Came) {
        let now = Instant::now();
        let mut inner = self.inner();
        inner.count(&format!("{who}: tunnel: {}", if came == Came::Right { "right" } else { "nothing or wrong" }));
        let allowed = inner.expected.get(who).is_some_and(|t| t.allows(asked, now, came));
        if !allowed {
            inner.wrong(&format!("{who}: tunnel: {came:?} after {} ms", (now - asked).as_millis()));
        }
    }

    /// Something that lived has ended.
    pub(crate) fn ended(&self, who: &str, what: &str, leeway: std::time::Duration) {
        let now = Instant::now();
        let mut inner = self.inner();
        inner.count(&format!("{who}: {what}: ended"));
        let held = inner
            .expected
            .get(who)
            .is_some_and(|t| t.only(now.checked_sub(leeway).unwrap_or(now), now, Expect::Served));
        if held {
            inner.wrong(&format!("{who}: {what}: it ended though it held"));
        }
    }

    /// Whether what lives should have ended long since.
    pub(crate) fn outlives(&self, who: &str, longer: std::time::Duration) -> bool {
        self.inner().expected.get(who).is_some_and(|t| t.refused_for(Instant::now(), longer))
    }

    pub(crate) fn wrong(&self, words: &str) {
        self.inner().wrong(words);
    }

    pub(crate) fn tell(&self) -> Result<Value> {
        let mut inner = self.inner();
        inner.ids.flush()?;
        Ok(json!({
            "counts": inner.counts, "wrong": inner.wrong, "words": inner.words, "answered": inner.answered,
        }))
    }
}

impl Inner {
    fn count(&mut self, what: &str) {
        match self.counts.get_mut(what) {
            Some(count) => *count += 1,
            None => drop(self.counts.insert(what.to_owned(), 1)),
        }
    }

    fn wrong(&mut self, words: &str) {
        self.wrong += 1;
        let kind: String = words.chars().filter(|c| !c.is_ascii_digit()).collect();
        let alike = self.kinds.entry(kind).or_default();
        *alike += 1;
        if *alike <= ALIKE && self.words.len() < TOLD {
            self.words.push(format!("{:.1} s: {words}", self.began.elapsed().as_secs_f64()));
        }
    }

    fn id(&mut self, who: &str, what: &str, id: Option<&str>, outcome: &str) {
        match id {
            Some(id) => {
                self.answered += 1;
                if writeln!(self.ids, "{id} {outcome}").is_err() {
                    self.wrong("the ids cannot be written");
                }
            }
            None => self.wrong(&format!("{who}: {what}: {outcome}, and the answer has no id")),
        }
    }
}
