//! Deciding again: what rests on a standing when something changed. Those that lose their permit are let go before anything is
//! written about it, so that thousands of them end together; what may go on goes on only when that is recorded.

use std::collections::{BTreeMap, HashMap, hash_map};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use safeconduct_ledger::{Pattern, Varying};
use safeconduct_model::{Access, Ask, CutCause, Mode, Timestamp};
use safeconduct_policy::{Snapshot, Verdict};
use tokio::runtime::Handle;

use crate::crowd::Crowd;
use crate::gateway::{Core, micros};
use crate::live::{About, Entries, Entry};
use crate::ports::{CookieToken, Credentials, Receipt, RecordRefused};
use crate::standing::Standing;

/// A verdict, and the exchanges that it is about.
struct Judged {
    verdict: Verdict,
    about: Entries,
    took_us: u32,
    ask: Ask,
    /// Until when they may go on; nothing if they may not.
    holds: Option<Timestamp>,
}

/// What was decided again about standings that are alike.
struct Again {
    judged: Vec<Judged>,
    /// The facts as they are now.
    ask: Ask,
    mode: Mode,
    now: Timestamp,
}

/// How many verdicts about what was let go are recorded at a time; between two times others have their turn.
const RECORDED_AT_ONCE: usize = 8;

/// Standings about which policy says the same, since nothing that it may look at tells them apart, and what rests on them.
struct Alike<'a> {
    standings: Vec<&'a Arc<Standing>>,
    attached: Vec<Arc<Entry>>,
}

/// Puts together what is alike: each tunnel has a standing of its own, and a person may have hundreds. What nothing rests on that
/// still holds is retired, since the next request is decided anew in any case.
fn alike(standings: &[Arc<Standing>]) -> impl Iterator<Item = Alike<'_>> {
    let mut found: HashMap<_, Alike<'_>> = HashMap::new();
    for standing in standings {
        let mut attached = standing.attached();
        attached.retain(|e| !e.is_lost());
        if attached.is_empty() {
            standing.retire();
            continue;
        }
        let Credentials { cookie, token, certificate, peer, host } = &standing.credentials;
        let proof = (cookie.as_ref().map(CookieToken::expose), token.as_ref().map(|t| (&t.session, &t.key)));
        let place = (certificate.as_ref().map(|c| c.sha256), peer, host);
        let asked = (Arc::as_ptr(&standing.target), standing.action, standing.ask().who.principal.clone());
        let home = standing.home.as_ref().map(Handle::id);
        match found.entry((proof, place, asked, home)) {
            hash_map::Entry::Occupied(mut alike) => {
                alike.get_mut().standings.push(standing);
                alike.get_mut().attached.append(&mut attached);
            }
            hash_map::Entry::Vacant(first) => drop(first.insert(Alike { standings: vec![standing], attached })),
        }
    }
    found.into_values()
}

impl Core {
    /// Asks policy once more about what rests on these standings; anything but a recorded yes cuts it. All verdicts fall before
    /// anything is let go, since who is let go keeps the machine busy; and all that must go is told before anything is recorded
    /// about it.
    pub(crate) fn decide_again(self: &Arc<Self>, standings: &[Arc<Standing>], cause: CutCause, since: Instant) {
        let (mut judged, mut lost) = (Vec::new(), Vec::new());
        for Alike { standings, attached } in alike(standings) {
            let (one, attached) = (standings[0], Arc::new(attached));
            let again = catch_unwind(AssertUnwindSafe(|| self.judge_again(one, &attached))).unwrap_or_else(|_| {
                self.alarm("a panic while a live connection was decided again; it was cut");
                None
            });
            match again {
                None => lost.push((one, attached)),
                Some(again) => {
                    lost.extend(again.lost().map(|entries| (one, entries)));
                    judged.push((standings, again));
                }
            }
        }
        self.live.kill_all(&lost, cause, since);
        let mut crowd = Crowd::default();
        for (standings, again) in judged {
            let all: Vec<_> = again.judged.iter().map(|j| (standings[0], Arc::clone(&j.about))).collect();
            let recording = AssertUnwindSafe(|| self.record_again(&standings, again, &mut crowd, (cause, since)));
            if catch_unwind(recording).is_err() {
                self.live.kill_all(&all, cause, since);
                self.alarm("a panic while a live connection was recorded again; it was cut");
            }
        }
    }

    /// Decides what rests on a standing; there is no verdict if time itself is in doubt.
    fn judge_again(&self, standing: &Arc<Standing>, attached: &Entries) -> Option<Again> {
        let control = &*self.control;
        let (now, clock_ok) = control.reading();
        if !clock_ok {
            return None;
        }
        let snapshot = control.snapshot();
        let target = &standing.target;
        let identity = control.identify(&standing.credentials, &target.id, now);
        let mut ask = (*standing.ask()).clone();
        let same_asker = identity.who.principal == ask.who.principal;
        ask.place = identity.place(standing.credentials.peer);
        ask.who = identity.who;
        ask.why = identity.why;
        ask.lock = identity.lock;
        let mode = snapshot.application(&target.id).map_or(Mode::Enforce, |a| a.mode);
        let mut judged = judge(&snapshot, &ask, attached, now);
        for verdict in &mut judged {
            verdict.holds = match &verdict.verdict {
                Verdict::Denial(_) => None,
                Verdict::Permit(permit) => (same_asker
                    && now < permit.until()
                    && permit.target().upstream == target.upstream
                    && permit.target().connector == target.connector
                    && permit.target().hosts.contains(&standing.credentials.host))
                .then(|| permit.until()),
            };
        }
        Some(Again { judged, ask, mode, now })
    }

    /// Records what was decided again. What may go on and cannot be recorded is let go too.
    fn record_again(
        self: &Arc<Self>,
        standings: &[&Arc<Standing>],
        again: Again,
        crowd: &mut Crowd,
        (cause, since): (CutCause, Instant),
    ) {
        let Again { judged, ask, mode, now } = again;
        let mut until: Option<Timestamp> = None;
        for Judged { verdict, about, took_us, ask, holds } in judged {
            let repeated = Repeated { pattern: OnceLock::new(), verdict, ask, mode, now, took_us };
            let Some(end) = holds else {
                self.record_lost(&Arc::new(repeated), &about);
                continue;
            };
            for entry in about.iter() {
                match crowd.take(|| repeated.record(self, entry)) {
                    Ok(()) => until = Some(until.map_or(end, |u| u.min(end))),
                    Err(_) => drop(self.live.kill(entry, cause, since)),
                }
            }
        }
        if let Some(until) = until {
            standings.iter().for_each(|standing| standing.extend(ask.clone(), now, until));
        }
    }

    /// Records the verdicts about what was let go, once it was told: in front of everything that is cleared up behind it.
    fn record_lost(self: &Arc<Self>, repeated: &Arc<Repeated>, about: &Entries) {
        for from in (0..about.len()).step_by(RECORDED_AT_ONCE) {
            let (core, repeated, about) = (Arc::clone(self), Arc::clone(repeated), Arc::clone(about));
            self.aftermath.leave(&self.tasks, async move {
                let recording = AssertUnwindSafe(|| {
                    let part = about.iter().skip(from).take(RECORDED_AT_ONCE);
                    for refused in part.filter_map(|entry| repeated.record(&core, entry).err()) {
                        tracing::warn!(error = %refused, "a verdict about what was let go was not recorded");
                    }
                });
                if catch_unwind(recording).is_err() {
                    core.alarm("a panic while the end of live connections was recorded");
                }
            });
        }
    }
}

impl Again {
    /// Those that lost their permit.
    fn lost(&self) -> impl Iterator<Item = Entries> {
        self.judged.iter().filter(|j| j.holds.is_none()).map(|j| Arc::clone(&j.about))
    }
}

/// A verdict that several exchanges got. Its record is made of it with the first of them.
struct Repeated {
    pattern: OnceLock<Arc<Pattern>>,
    verdict: Verdict,
    ask: Ask,
    mode: Mode,
    now: Timestamp,
    took_us: u32,
}

impl Repeated {
    /// Takes it into the ledger about one of them.
    fn record(&self, core: &Core, entry: &Entry) -> Result<Box<dyn Receipt>, RecordRefused> {
        let About { request, method, path, .. } = &entry.about;
        let varying = Varying { request, method, path, decided: self.now, took_us: self.took_us };
        core.control.record_like(self.pattern(), &varying)
    }

    fn pattern(&self) -> &Arc<Pattern> {
        self.pattern.get_or_init(|| {
            let access = self.verdict.record(&self.ask, self.now, self.mode, self.took_us);
            Arc::new(Pattern::of(Access { again: true, ..access }))
        })
    }
}

/// Asks policy about each of the exchanges: once where no rule that looks at them reads their method or path, since nothing else
/// tells them apart.
fn judge(snapshot: &Snapshot, ask: &Ask, attached: &Entries, now: Timestamp) -> Vec<Judged> {
    let Some(first) = attached.first() else { return Vec::new() };
    let judged = judge_one(snapshot, ask, first, now);
    // With one application, principal and action the same rules look at all of them.
    let reads = &judged.verdict.grounds().facts;
    if !reads.contains("method") && !reads.contains("path") {
        return vec![Judged { about: Arc::clone(attached), ..judged }];
    }
    let mut lines: BTreeMap<_, Vec<Arc<Entry>>> = BTreeMap::new();
    for entry in attached.iter() {
        lines.entry((&entry.about.method, &entry.about.path)).or_default().push(Arc::clone(entry));
    }
    let judged = lines.into_values().filter_map(|about| {
        let judged = judge_one(snapshot, ask, about.first()?, now);
        Some(Judged { about: Arc::new(about), ..judged })
    });
    judged.collect()
}

/// Asks policy about one of the exchanges.
fn judge_one(snapshot: &Snapshot, ask: &Ask, entry: &Entry, now: Timestamp) -> Judged {
    let mut ask = ask.clone();
    ask.request = entry.about.request.clone();
    ask.what.method = entry.about.method.to_string();
    ask.what.path = entry.about.path.to_string();
    let started = Instant::now();
    let verdict = snapshot.decide(&ask, now);
    Judged { verdict, about: Arc::default(), took_us: micros(started), ask, holds: None }
}
