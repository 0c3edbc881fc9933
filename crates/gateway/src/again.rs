//! Deciding again: what rests on a standing when something changed. Those that lose their permit are let go before anything is
//! written about it, so that thousands of them end together; what may go on goes on only when that is recorded.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use safeconduct_ledger::{Pattern, Varying};
use safeconduct_model::{Access, Ask, CutCause, Mode, Timestamp};
use safeconduct_policy::{Snapshot, Verdict};

use crate::gateway::{Core, micros};
use crate::live::Entry;
use crate::standing::Standing;

/// Which line a verdict is about; nothing where no rule reads it and one verdict is about all of them.
type Line = Option<(Arc<str>, Arc<str>)>;

/// A verdict, and the exchanges that it is about.
struct Judged<'a> {
    verdict: Verdict,
    about: Vec<&'a Arc<Entry>>,
    took_us: u32,
    ask: Ask,
}

impl Core {
    /// Asks policy once more about what rests on a standing; anything but a recorded yes cuts it.
    pub(crate) fn decide_again(&self, standing: &Arc<Standing>, cause: CutCause, since: Instant) {
        let attached = standing.attached();
        if attached.is_empty() {
            // The next request is decided anew in any case.
            return standing.retire();
        }
        let attached: Vec<_> = attached.into_iter().filter(|e| !e.is_lost()).collect();
        let again = catch_unwind(AssertUnwindSafe(|| self.judge_again(standing, &attached, cause, since)));
        if again.is_err() {
            self.live.kill_all(standing, attached, cause, since);
            self.alarm("a panic while a live connection was decided again; it was cut");
        }
    }

    fn judge_again(&self, standing: &Arc<Standing>, attached: &[Arc<Entry>], cause: CutCause, since: Instant) {
        let control = &*self.control;
        if !control.clock_ok() {
            return self.live.kill_all(standing, attached.to_vec(), cause, since);
        }
        let (now, snapshot) = (control.now(), control.snapshot());
        let target = &standing.target;
        let identity = control.identify(&standing.credentials, &target.id, now);
        let mut ask = (*standing.ask()).clone();
        let same_asker = identity.who.principal == ask.who.principal;
        ask.place = identity.place(standing.credentials.peer);
        ask.who = identity.who;
        ask.why = identity.why;
        ask.lock = identity.lock;
        let mode = snapshot.application(&target.id).map_or(Mode::Enforce, |a| a.mode);
        let judged = judge(&snapshot, &ask, attached, now);
        let holds = |verdict: &Verdict| match verdict {
            Verdict::Denial(_) => None,
            Verdict::Permit(permit) => (same_asker
                && now < permit.until()
                && permit.target().upstream == target.upstream
                && permit.target().connector == target.connector
                && permit.target().hosts.contains(&standing.credentials.host))
            .then(|| permit.until()),
        };
        let lost = judged.iter().filter(|j| holds(&j.verdict).is_none()).flat_map(|j| &j.about);
        self.live.kill_all(standing, lost.copied().cloned().collect(), cause, since);
        let mut until: Option<Timestamp> = None;
        for Judged { verdict, about, took_us, ask } in &judged {
            let access = Access { again: true, ..verdict.record(ask, now, mode, *took_us) };
            let pattern = Arc::new(Pattern::of(access));
            let end = holds(verdict);
            for entry in about {
                let about = &entry.about;
                let varying = Varying {
                    request: &about.request,
                    method: &about.method,
                    path: &about.path,
                    decided: now,
                    took_us: *took_us,
                };
                let recorded = control.record_like(&pattern, &varying);
                if let Some(end) = end {
                    match recorded {
                        Ok(_) => until = Some(until.map_or(end, |u| u.min(end))),
                        Err(_) => drop(self.live.kill(entry, cause, since)),
                    }
                }
            }
        }
        if let Some(until) = until {
            standing.extend(ask, now, until);
        }
    }
}

/// Asks policy about each of the exchanges: once where no rule that looks at them reads their method or path, since nothing else
/// tells them apart.
fn judge<'a>(snapshot: &Snapshot, ask: &Ask, attached: &'a [Arc<Entry>], now: Timestamp) -> Vec<Judged<'a>> {
    let mut found: BTreeMap<Line, Judged<'a>> = BTreeMap::new();
    let mut same = false;
    for entry in attached {
        let line = (!same).then(|| (Arc::clone(&entry.about.method), Arc::clone(&entry.about.path)));
        if let Some(judged) = found.get_mut(&line) {
            judged.about.push(entry);
            continue;
        }
        let mut ask = ask.clone();
        ask.request = entry.about.request.clone();
        ask.what.method = entry.about.method.to_string();
        ask.what.path = entry.about.path.to_string();
        let started = Instant::now();
        let verdict = snapshot.decide(&ask, now);
        let took_us = micros(started);
        // With one application, principal and action the same rules look at all of them.
        let reads = &verdict.grounds().facts;
        same = found.is_empty() && !reads.contains("method") && !reads.contains("path");
        let line = if same { None } else { line };
        found.insert(line, Judged { verdict, about: vec![entry], took_us, ask });
    }
    found.into_values().collect()
}
