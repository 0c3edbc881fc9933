//! The index against a model that reads the whole ledger for every question.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use safeconduct_ledger::{Pattern, Varying};
use safeconduct_model::{
    Access, Cut, CutCause, Duration, Entry, Outcome, Principal, Question, Reason, Record, Refusal, Said, SessionEvent,
    SessionEventKind, Timestamp,
};

use super::*;
use crate::testing::{access, at, event, writer};
use crate::{Entries, LedgerWriter, Options};

const HOUR: i64 = 3_600_000;

/// Numbers that look random and are the same in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }

    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[usize::try_from(self.roll(of.len() as u64)).expect("small")]
    }

    fn maybe<T: std::str::FromStr>(&mut self, of: &[&str]) -> Option<T> {
        (self.roll(2) == 0).then(|| self.one(of).parse().ok()).flatten()
    }
}

const PEOPLE: [&str; 4] = ["ada", "ben", "cleo", "nobody-knows-me"];
const APPS: [&str; 4] = ["wiki", "q3", "crm", "empty"];

fn record(dice: &mut Dice, i: u64, now: i64) -> Record {
    let id = "valid";
    let (person, app) = (dice.one(&PEOPLE[..3]), dice.one(&APPS[..3]));
    // Some requests have several entries, and some ids are the 32 digits that are kept shorter.
    let n = dice.roll(i + 1);
    let request = if n.is_multiple_of(2) { format!("{n:032x}") } else { format!("r{n}") };
    let reasons = [None, None, None, Some(Reason::NoRule), Some(Reason::OutsideHours)];
    let denied = reasons[usize::try_from(dice.roll(5)).expect("small")];
    match dice.roll(24) {
        0 => event(&format!("e{i}")),
        1 => Record::Refusal(Refusal {
            request: request.parse().expect(id),
            ip: "::1".parse().expect(id),
            reason: Reason::BadRequest,
            detail: format!("d{i}"),
            app: dice.maybe(&APPS),
        }),
        2 => Record::Cut(Cut {
            request: request.parse().expect(id),
            principal: Principal::Person(person.parse().expect(id)),
            app: app.parse().expect(id),
            cause: CutCause::PolicyPublished,
            lasted: Duration::from_millis(i),
            delay: None,
            bytes: None,
        }),
        3 => Record::Session(SessionEvent {
            session: format!("s-{person}").parse().expect(id),
            person: person.parse().expect(id),
            event: SessionEventKind::Began,
            methods: vec![],
            device: None,
            ip: "10.0.0.7".parse().expect(id),
        }),
        4 => Record::Change(safeconduct_model::Change {
            by: person.into(),
            verb: dice.one(&["policy.publish", "policy", "policies.x", "person.add"]).into(),
            object: "o".into(),
            detail: String::new(),
            app: None,
            action: None,
        }),
        5 => Record::Question(Box::new(Question {
            request: request.parse().expect(id),
            client: "c".into(),
            store: "s".into(),
            subject: "user:a".into(),
            action: "read".into(),
            resource: "doc:b".into(),
            said: Said::Permit,
            rules: vec![],
            revision: "1".into(),
            stated: String::new(),
        })),
        _ => {
            let Record::Access(mut a) =
                access(&request, person, app, now - i64::try_from(dice.roll(5_000)).expect("small"), denied)
            else {
                panic!("an access")
            };
            if dice.roll(9) == 0 {
                (a.ask.who.principal, a.ask.who.auth) = (Principal::Nobody, None);
            }
            a.again = dice.roll(7) == 0;
            a.ask.what.path = format!("/p/{i}?é");
            Record::Access(a)
        }
    }
}

fn entries(ledger: &Path) -> Vec<Entry> {
    Entries::from_seq(ledger, 0).expect("readable").map(|l| l.expect("an entry").entry).collect()
}

fn row(entry: &Entry) -> Option<AccessRow> {
    let Record::Access(a) = &entry.record else { return None };
    let Access { ask, decided, outcome, mode, revision, rules, took_us, again, .. } = (**a).clone();
    let (verdict, until) = match outcome {
        Outcome::Permit { until } => (Verdict::Permit, Some(until)),
        Outcome::Deny { .. } => (Verdict::Deny, None),
    };
    Some(AccessRow {
        seq: entry.seq,
        at: entry.at,
        decided,
        request: ask.request,
        session: ask.who.auth.map(|auth| auth.session),
        principal: ask.who.principal,
        app: ask.what.app,
        action: ask.what.action,
        method: ask.what.method,
        path: ask.what.path,
        verdict,
        mode,
        reason: a.reason(),
        device: ask.place.device.map(|d| d.id),
        ip: ask.place.ip,
        network: ask.place.network,
        until,
        revision,
        rules,
        took_us,
        again,
    })
}

fn request_of(record: &Record) -> Option<&str> {
    match record {
        Record::Access(a) => Some(a.ask.request.as_str()),
        Record::Refusal(r) => Some(r.request.as_str()),
        Record::Cut(c) => Some(c.request.as_str()),
        Record::Question(q) => Some(q.request.as_str()),
        _ => None,
    }
}

/// Asks everything once, with random filters and pages.
async fn compare(index: &Index, all: &[Entry], dice: &mut Dice) {
    let rows: Vec<_> = all.iter().rev().filter_map(row).collect();
    let last = all.len() as u64;
    for _ in 0..12 {
        let limit = [0, 1, 7, 50, MAX_PAGE][usize::try_from(dice.roll(5)).expect("small")];
        let page = Page { before_seq: (dice.roll(2) == 0).then(|| dice.roll(last + 3)), limit };
        let reached = |seq: u64| page.before_seq.is_none_or(|before| seq < before);
        let filter = AccessFilter {
            person: dice.maybe(&PEOPLE),
            app: dice.maybe(&APPS),
            verdict: [None, Some(Verdict::Permit), Some(Verdict::Deny)][usize::try_from(dice.roll(3)).expect("small")],
            reason: (dice.roll(3) == 0).then_some(Reason::NoRule),
            session: (dice.roll(4) == 0).then(|| "s-ada".parse().expect("id")),
            since: (dice.roll(3) == 0).then(|| all[usize::try_from(dice.roll(last)).expect("small")].at),
            page,
        };
        let fits = |r: &&AccessRow| {
            reached(r.seq)
                && filter.person.as_ref().is_none_or(|p| r.principal.person() == Some(p))
                && filter.app.as_ref().is_none_or(|a| r.app == *a)
                && filter.verdict.is_none_or(|v| r.verdict == v)
                && filter.reason.is_none_or(|v| r.reason == Some(v))
                && filter.session.as_ref().is_none_or(|s| r.session.as_ref() == Some(s))
                && filter.since.is_none_or(|s| r.at >= s)
        };
        let naive: Vec<_> = rows.iter().filter(fits).take(limit as usize).cloned().collect();
        assert_eq!(index.accesses(&filter).await.expect("rows"), naive, "{filter:?}");

        let seqs = |kind: fn(&Record) -> bool| -> Vec<u64> {
            let fits = all.iter().rev().filter(|e| kind(&e.record) && reached(e.seq));
            fits.take(limit as usize).map(|e| e.seq).collect()
        };
        let got: Vec<_> = index.refusals(page).await.expect("rows").iter().map(|r| r.seq).collect();
        assert_eq!(got, seqs(|r| matches!(r, Record::Refusal(_))));
        let got: Vec<_> = index.cuts(page).await.expect("rows").iter().map(|r| r.seq).collect();
        assert_eq!(got, seqs(|r| matches!(r, Record::Cut(_))));
        let got: Vec<_> = index.system_events(page).await.expect("rows").iter().map(|r| r.seq).collect();
        assert_eq!(got, seqs(|r| matches!(r, Record::System(_))));
        let got: Vec<_> = index.session_events(None, page).await.expect("rows").iter().map(|r| r.seq).collect();
        assert_eq!(got, seqs(|r| matches!(r, Record::Session(_))));
        let got: Vec<_> = index.changes(Some("policy"), page).await.expect("rows").iter().map(|r| r.seq).collect();
        assert_eq!(got, seqs(|r| matches!(r, Record::Change(c) if c.verb.split('.').next() == Some("policy"))));

        let seq = dice.roll(last + 2);
        let there = usize::try_from(seq).ok().and_then(|i| all.get(i));
        assert_eq!(index.entry(seq).await.expect("an entry").as_ref(), there, "{seq}");
        assert_eq!(index.access(seq).await.expect("a row"), there.and_then(row), "{seq}");
        if let Some(request) = there.and_then(|e| request_of(&e.record)) {
            let naive: Vec<_> = all.iter().filter(|e| request_of(&e.record) == Some(request)).cloned().collect();
            assert_eq!(index.by_request(&request.parse().expect("id")).await.expect("entries"), naive);
        }
    }
    counts(index, all, &rows, dice).await;
}

async fn counts(index: &Index, all: &[Entry], rows: &[AccessRow], dice: &mut Dice) {
    let t = index.totals().await.expect("totals");
    let permitted = rows.iter().filter(|r| r.verdict == Verdict::Permit).count() as u64;
    assert_eq!((t.entries, t.permitted, t.permitted + t.denied), (all.len() as u64, permitted, rows.len() as u64));
    assert_eq!((t.first_at, t.last_at), (all.first().map(|e| e.at), all.last().map(|e| e.at)));
    let refusals = all.iter().filter(|e| matches!(e.record, Record::Refusal(_))).count() as u64;
    assert_eq!(t.refusals, refusals);

    let since =
        (dice.roll(2) == 0).then(|| rows[usize::try_from(dice.roll(rows.len() as u64)).expect("small")].decided);
    let filter = EdgeFilter { person: dice.maybe(&PEOPLE), app: dice.maybe(&APPS), since, offset: 0 };
    let mut naive = BTreeMap::new();
    for r in rows.iter().rev() {
        let (kind, name) = load::principal(&r.principal);
        let key = (r.app.to_string(), kind, name, r.action.name());
        let edge = naive.entry(key).or_insert(Edge {
            principal: r.principal.clone(),
            app: r.app.clone(),
            action: r.action,
            permitted: 0,
            denied: 0,
            first_seq: r.seq,
            last_seq: r.seq,
            first_at: r.decided,
            last_at: r.decided,
        });
        *if r.verdict == Verdict::Permit { &mut edge.permitted } else { &mut edge.denied } += 1;
        (edge.last_seq, edge.first_at) = (r.seq, edge.first_at.min(r.decided));
        edge.last_at = edge.last_at.max(r.decided);
    }
    let fits = |e: &&Edge| {
        filter.person.as_ref().is_none_or(|p| e.principal.person() == Some(p))
            && filter.app.as_ref().is_none_or(|a| e.app == *a)
            && filter.since.is_none_or(|s| e.last_at >= s)
    };
    let wanted: Vec<_> = naive.values().filter(fits).cloned().collect();
    assert_eq!(index.edges(&filter).await.expect("edges"), wanted, "{filter:?}");
    let offset = EdgeFilter { offset: 2, ..filter };
    assert_eq!(index.edges(&offset).await.expect("edges"), wanted[2.min(wanted.len())..]);

    for app in index.apps().await.expect("apps") {
        let of_app: Vec<_> = rows.iter().filter(|r| r.app == app.app).collect();
        let who: BTreeSet<_> = of_app.iter().map(|r| &r.principal).filter(|p| **p != Principal::Nobody).collect();
        assert_eq!((app.permitted + app.denied, app.principals), (of_app.len() as u64, who.len() as u64));
        assert_eq!(Some(app.last_at), of_app.iter().map(|r| r.decided).max());
    }

    let since = rows[usize::try_from(dice.roll(rows.len() as u64)).expect("small")].decided;
    let app: Option<safeconduct_model::AppId> = dice.maybe(&APPS);
    let hour = |t: Timestamp| t.millis() / HOUR;
    let of = || rows.iter().filter(|r| hour(r.decided) >= hour(since) && app.as_ref().is_none_or(|a| r.app == *a));
    let mut naive = BTreeMap::<&str, u64>::new();
    of().filter_map(|r| r.reason).for_each(|reason| *naive.entry(reason.code()).or_default() += 1);
    let mut naive: Vec<_> = naive.into_iter().collect();
    naive.sort_by_key(|(code, n)| (std::cmp::Reverse(*n), *code));
    let got = index.denials(since, app.as_ref()).await.expect("denials");
    assert_eq!(got.iter().map(|d| (d.reason.code(), d.count)).collect::<Vec<_>>(), naive);
    for (per, length) in [(Per::Hour, HOUR), (Per::Day, 24 * HOUR)] {
        let mut naive = BTreeMap::<i64, u64>::new();
        of().for_each(|r| *naive.entry(r.decided.millis() / length * length).or_default() += 1);
        let got = index.series(per, since, Timestamp::MAX, app.as_ref()).await.expect("series");
        let got: Vec<_> = got.iter().map(|b| (b.start.millis(), b.permitted + b.denied)).collect();
        assert_eq!(got, naive.into_iter().collect::<Vec<_>>());
    }
}

/// Hands in some records, verdicts by their patterns as often as whole, and waits until they are written.
async fn write(w: &LedgerWriter, dice: &mut Dice, from: u64, count: u64) -> u64 {
    let mut last = 0;
    for i in from..from + count {
        let now = 10 * HOUR + i64::try_from(i).expect("small") * HOUR / 50;
        let receipt = match record(dice, i, now) {
            Record::Access(a) if dice.roll(3) > 0 => {
                let varying = Varying {
                    request: &a.ask.request,
                    method: &a.ask.what.method,
                    path: &a.ask.what.path,
                    decided: a.decided,
                    took_us: a.took_us,
                };
                let pattern = Arc::new(Pattern::of((*a).clone()));
                w.append_like(at(now), &pattern, varying)
            }
            record => w.append(at(now), record),
        };
        let receipt = receipt.expect("queued");
        if dice.roll(5) == 0 || i + 1 == from + count {
            last = receipt.written().await.expect("written");
        }
    }
    last
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_question_is_answered_as_by_reading_the_whole_ledger() {
    for seed in [3, 0x5afe_c0de, 77] {
        let mut dice = Dice(seed);
        let dir = tempfile::tempdir().expect("a directory");
        let (ledger, file) = (dir.path().join("ledger"), dir.path().join("index.db"));
        let options = Options { segment_bytes: 30_000, clock_tolerance: Duration::from_days(99), ..Options::default() };
        let w = writer(dir.path(), options);
        let mut written = 0;
        for round in 0..6 {
            let index = Index::open(&ledger, &file).await.expect("opens");
            let follower = index.follow(w.subscribe());
            for _ in 0..3 {
                let count = dice.roll(80) + 1;
                let last = write(&w, &mut dice, written, count).await;
                written += count;
                let reached = tokio::time::timeout(StdDuration::from_secs(10), index.reached(last));
                reached.await.expect("indexed");
                compare(&index, &entries(&ledger), &mut dice).await;
            }
            follower.stop().await;
            index.close().await;
            if round == 3 {
                fs::remove_file(&file).expect("removed");
            }
            // What comes while nobody follows is read from the ledger later.
            let count = dice.roll(90) + 1;
            write(&w, &mut dice, written, count).await;
            written += count;
        }
        assert_eq!(entries(&ledger).len() as u64, written);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn questions_while_entries_come_see_each_of_them_once() {
    let dir = tempfile::tempdir().expect("a directory");
    let w = Arc::new(writer(dir.path(), Options::default()));
    let index = Index::open(&dir.path().join("ledger"), &dir.path().join("index.db")).await.expect("opens");
    let follower = index.follow(w.subscribe());
    let writing = {
        let w = Arc::clone(&w);
        tokio::spawn(async move {
            for i in 0..3_000 {
                let receipt = w.append(at(i), access(&format!("r{i}"), "ada", "q3", i, None)).expect("queued");
                if i % 10 == 0 {
                    receipt.written().await.expect("written");
                    tokio::time::sleep(StdDuration::from_millis(1)).await;
                }
            }
        })
    };
    let mut asked = 0;
    while !writing.is_finished() || asked < 20 {
        asked += 1;
        let page = Page { limit: MAX_PAGE, ..Page::default() };
        let rows = index.accesses(&AccessFilter { page, ..AccessFilter::default() }).await.expect("rows");
        let seqs: Vec<_> = rows.iter().rev().map(|r| r.seq).collect();
        assert!(seqs.windows(2).all(|two| two[0] + 1 == two[1]), "{seqs:?}");
        let totals = index.totals().await.expect("totals");
        let edges = index.edges(&EdgeFilter::default()).await.expect("edges");
        assert_eq!(totals.entries, totals.permitted);
        assert!(edges.iter().all(|e| e.permitted == e.last_seq + 1 && e.permitted >= totals.permitted), "{edges:?}");
    }
    writing.await.expect("ran");
    follower.stop().await;
    assert_eq!(index.totals().await.expect("totals").permitted, 3_000);
}
