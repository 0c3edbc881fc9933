//! The index answers as the ledger says, whatever happens to it.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use safeconduct_model::{
    Change, Cut, CutCause, Duration, Principal, Reason, Record, Refusal, SessionEvent, SessionEventKind, Timestamp,
};

use super::*;
use crate::testing::{access, at, event, writer};
use crate::{LedgerWriter, Options};

const HOUR: i64 = 3_600_000;

struct House {
    dir: tempfile::TempDir,
}

impl House {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().expect("a directory") }
    }

    fn ledger(&self) -> PathBuf {
        self.dir.path().join("ledger")
    }

    fn file(&self) -> PathBuf {
        self.dir.path().join("index.db")
    }

    fn writer(&self) -> LedgerWriter {
        writer(
            self.dir.path(),
            Options { segment_bytes: 8_000, clock_tolerance: Duration::from_days(99), ..Options::default() },
        )
    }

    async fn index(&self) -> Index {
        let index = Index::open(&self.ledger(), &self.file()).await.expect("opens");
        index.catch_up().await.expect("catches up");
        index
    }
}

async fn put(writer: &LedgerWriter, ms: i64, record: Record) -> u64 {
    writer.append(at(ms), record).expect("queued").written().await.expect("written")
}

/// One of everything, and accesses of two people to two applications over three hours.
async fn a_day(writer: &LedgerWriter) {
    let id = "valid";
    put(writer, 0, event("start")).await;
    let session = SessionEvent {
        session: "s-ada".parse().expect(id),
        person: "ada".parse().expect(id),
        event: SessionEventKind::Began,
        methods: vec![safeconduct_model::Method::Passkey],
        device: None,
        ip: "10.0.0.7".parse().expect(id),
    };
    put(writer, 1, Record::Session(session.clone())).await;
    for i in 0..30_i64 {
        let person = if i % 3 == 0 { "ben" } else { "ada" };
        let app = if i % 5 == 0 { "wiki" } else { "q3" };
        let denied = (i % 4 == 0).then_some(Reason::OutsideHours);
        let ms = i * HOUR / 10;
        put(writer, ms, access(&format!("r{i}"), person, app, ms, denied)).await;
    }
    let cut = Cut {
        request: "r3".parse().expect(id),
        principal: Principal::Person("ben".parse().expect(id)),
        app: "q3".parse().expect(id),
        cause: CutCause::DeviceChanged,
        lasted: Duration::from_secs(9),
        delay: Some(Duration::from_millis(4)),
        bytes: None,
    };
    put(writer, 3 * HOUR, Record::Cut(cut)).await;
    let change = Change {
        by: "ada".into(),
        verb: "policy.publish".into(),
        object: "revision 3".into(),
        detail: String::new(),
        app: None,
        action: None,
    };
    put(writer, 3 * HOUR, Record::Change(change)).await;
    let refusal = Refusal {
        request: "x1".parse().expect(id),
        ip: "::1".parse().expect(id),
        reason: Reason::BadRequest,
        detail: "two Host headers".into(),
        app: None,
    };
    put(writer, 3 * HOUR, Record::Refusal(refusal)).await;
    put(writer, 3 * HOUR, Record::Session(SessionEvent { event: SessionEventKind::SignedOut, ..session })).await;
}

/// Everything that the index says, as text.
async fn all(index: &Index) -> String {
    let page = Page { limit: MAX_PAGE, ..Page::default() };
    let filter = AccessFilter { page, ..AccessFilter::default() };
    format!(
        "{:#?}",
        (
            index.totals().await.expect("totals"),
            index.accesses(&filter).await.expect("accesses"),
            index.edges(&EdgeFilter::default()).await.expect("edges"),
            index.apps().await.expect("apps"),
            index.denials(Timestamp::default(), None).await.expect("denials"),
            index.series(Per::Hour, Timestamp::default(), Timestamp::MAX, None).await.expect("series"),
            index.session_events(None, page).await.expect("sessions"),
            index.changes(None, page).await.expect("changes"),
            index.cuts(page).await.expect("cuts"),
            index.refusals(page).await.expect("refusals"),
            index.system_events(page).await.expect("systems"),
        )
    )
}

#[tokio::test]
async fn every_question_is_answered_as_the_ledger_says() {
    let house = House::new();
    let w = house.writer();
    a_day(&w).await;
    let index = house.index().await;
    assert_eq!(index.indexed(), 36);

    let t = index.totals().await.expect("totals");
    assert_eq!(
        (t.entries, t.permitted, t.denied, t.refusals, t.cuts, t.sessions, t.changes, t.systems),
        (36, 22, 8, 1, 1, 2, 1, 1)
    );
    assert_eq!((t.first_at, t.last_at), (Some(at(0)), Some(at(3 * HOUR))));

    let ada = || Some("ada".parse().expect("id"));
    let denied = AccessFilter { person: ada(), verdict: Some(Verdict::Deny), ..AccessFilter::default() };
    let rows = index.accesses(&denied).await.expect("rows");
    assert_eq!(rows.iter().map(|r| r.request.as_str()).collect::<Vec<_>>(), ["r28", "r20", "r16", "r8", "r4"]);
    assert!(rows.iter().all(|r| r.reason == Some(Reason::OutsideHours) && r.until.is_none()));
    let page = Page { before_seq: Some(rows[1].seq), limit: 2 };
    let next = index.accesses(&AccessFilter { page, ..denied }).await.expect("rows");
    assert_eq!(next[..], rows[2..4]);

    // A naive count over the same rule as `a_day`.
    let mut naive = BTreeMap::<(&str, &str), (u64, u64)>::new();
    for i in 0..30 {
        let sum =
            naive.entry((if i % 5 == 0 { "wiki" } else { "q3" }, if i % 3 == 0 { "ben" } else { "ada" })).or_default();
        *if i % 4 == 0 { &mut sum.1 } else { &mut sum.0 } += 1;
    }
    let edges = index.edges(&EdgeFilter::default()).await.expect("edges");
    let told: BTreeMap<_, _> = edges
        .iter()
        .map(|e| ((e.app.as_str(), e.principal.person().expect("a person").as_str()), (e.permitted, e.denied)))
        .collect();
    assert_eq!(told, naive);
    let one = EdgeFilter { person: ada(), app: Some("wiki".parse().expect("id")), ..EdgeFilter::default() };
    let one = index.edges(&one).await.expect("edges");
    assert_eq!((one.len(), one[0].first_at, one[0].last_at), (1, at(5 * HOUR / 10), at(25 * HOUR / 10)));

    let apps = index.apps().await.expect("apps");
    assert_eq!(
        apps.iter().map(|a| (a.app.as_str(), a.permitted + a.denied, a.principals)).collect::<Vec<_>>(),
        [("q3", 24, 2), ("wiki", 6, 2)]
    );
    let denials = index.denials(at(HOUR), None).await.expect("denials");
    assert_eq!(denials, [DenialCount { reason: Reason::OutsideHours, count: 5 }]);
    let hours = index.series(Per::Hour, at(0), at(2 * HOUR), None).await.expect("series");
    assert_eq!(
        hours.iter().map(|b| (b.start.millis() / HOUR, b.permitted, b.denied)).collect::<Vec<_>>(),
        [(0, 7, 3), (1, 8, 2)]
    );
    let days = index.series(Per::Day, at(0), Timestamp::MAX, None).await.expect("series");
    assert_eq!(days, [Bucket { start: at(0), permitted: 22, denied: 8 }]);

    let timeline = index.session(&"s-ada".parse().expect("id")).await.expect("session");
    assert_eq!(
        timeline.iter().map(|s| s.event).collect::<Vec<_>>(),
        [SessionEventKind::Began, SessionEventKind::SignedOut]
    );
    assert_eq!(index.changes(Some("policy"), Page::default()).await.expect("changes").len(), 1);
    assert_eq!(index.changes(Some("pol"), Page::default()).await.expect("changes").len(), 0);
    assert_eq!(index.cuts(Page::default()).await.expect("cuts")[0].delay, Some(Duration::from_millis(4)));

    let story = index.by_request(&"r3".parse().expect("id")).await.expect("entries");
    assert!(matches!((&story[0].record, &story[1].record), (Record::Access(_), Record::Cut(_))) && story.len() == 2);
    assert_eq!(index.access(story[0].seq).await.expect("row").map(|r| r.seq), Some(story[0].seq));
    assert_eq!(index.entry(99).await.expect("no entry"), None);
}

#[tokio::test]
async fn an_index_that_is_lost_damaged_or_foreign_is_rebuilt_equal() {
    let house = House::new();
    let w = house.writer();
    a_day(&w).await;
    let index = house.index().await;
    let right = all(&index).await;
    index.close().await;

    fs::remove_file(house.file()).expect("removed");
    let index = house.index().await;
    assert_eq!(all(&index).await, right);
    index.close().await;

    fs::write(house.file(), b"this is no database, and it is long enough to look at".repeat(200)).expect("written");
    let index = house.index().await;
    assert_eq!(all(&index).await, right);
    index.close().await;

    let other = House::new();
    let w = other.writer();
    for i in 0..3 {
        put(&w, i, event("other")).await;
    }
    let index = other.index().await;
    index.close().await;
    fs::copy(other.file(), house.file()).expect("copied");
    let index = house.index().await;
    assert_eq!(all(&index).await, right);
}

#[tokio::test]
async fn an_index_goes_on_where_it_stopped_and_counts_nothing_twice() {
    let house = House::new();
    let w = house.writer();
    put(&w, 0, access("a", "ada", "q3", 0, None)).await;
    let index = house.index().await;
    index.close().await;
    for i in 1..2_500 {
        let receipt = w.append(at(i), access("b", "ada", "q3", i, None)).expect("queued");
        if i == 2_499 {
            receipt.written().await.expect("written");
        }
    }
    let index = house.index().await;
    assert_eq!(index.catch_up().await.expect("again"), 2_500);
    let edges = index.edges(&EdgeFilter::default()).await.expect("edges");
    assert_eq!((edges.len(), edges[0].permitted, edges[0].first_seq, edges[0].last_seq), (1, 2_500, 0, 2_499));
}

#[tokio::test]
async fn a_follower_indexes_what_is_written_and_stops() {
    let house = House::new();
    let w = house.writer();
    let index = Index::open(&house.ledger(), &house.file()).await.expect("opens");
    let follower = index.follow(w.subscribe());
    for i in 0..5 {
        let seq = put(&w, i, access(&format!("r{i}"), "ada", "q3", i, None)).await;
        let reached = tokio::time::timeout(StdDuration::from_secs(5), index.reached(seq));
        reached.await.expect("indexed within five seconds");
    }
    put(&w, 9, event("last")).await;
    follower.stop().await;
    assert_eq!(index.indexed(), 6);
}

#[tokio::test]
async fn texts_from_outside_are_data_and_never_sql() {
    let house = House::new();
    let w = house.writer();
    a_day(&w).await;
    let index = house.index().await;
    let verb = "x' OR 1=1 --";
    assert_eq!(index.changes(Some(verb), Page::default()).await.expect("changes"), []);
    let page = Page { before_seq: None, limit: u32::MAX };
    assert_eq!(index.accesses(&AccessFilter { page, ..AccessFilter::default() }).await.expect("rows").len(), 30);
}
