use std::fs;
use std::path::Path;
use std::time::Instant;

use safeconduct_config::starter;
use safeconduct_model::{Duration, LockTarget, PersonId, Record, SessionEventKind, SessionId, Timestamp};
use safeconduct_store::{Control, DocChange, Entries};

use super::{KEPT, LOCK, LockError, LockedOut, NewLock};
use crate::clock::{self, Clock};
use crate::house::House;
use crate::{Running, Start, StartError, files, start};

const PEOPLE: &str = "
[[person]]
id = \"bo\"
groups = [\"operators\"]
";

fn configured() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a temporary folder");
    files::init(dir.path(), &starter("acme.localhost")).expect("written");
    fs::write(dir.path().join("estate/more.toml"), PEOPLE).expect("written");
    let main = dir.path().join("safeconduct.toml");
    let text = fs::read_to_string(&main).expect("readable").replace("health = ", "# health = ");
    fs::write(main, text).expect("written");
    dir
}

async fn run(dir: &Path, clock: Clock) -> Result<Running, StartError> {
    Box::pin(start(Start { dir: dir.to_owned(), clock, https: Some(([127, 0, 0, 1], 0).into()) })).await
}

async fn running(dir: &Path, clock: Clock) -> Running {
    run(dir, clock).await.unwrap_or_else(|error| panic!("{error}"))
}

fn new(kind: &str, name: &str) -> NewLock {
    let target = LockTarget::of(kind, name).expect("a target");
    NewLock { target, message: "Call 7-300.".parse().expect("a message"), lasts: None, force: false }
}

fn person(id: &str) -> PersonId {
    id.parse().expect("an id")
}

/// Opens a session for a person as a one-time link does; or why it is not opened.
async fn sign_in(house: &House, who: &str) -> anyhow::Result<SessionId> {
    let secret = house.setup_links.make(&person(who), house.now()).await?;
    let proven = house.setup_links.redeem(&secret.to_string(), house.now()).await?;
    house.open_session(proven, None, [127, 0, 0, 1].into()).await?;
    Ok(house.sessions().of(&person(who)).last().expect("it was opened").id.clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_locks_others_and_not_themselves_by_any_name() {
    let dir = configured();
    let running = running(dir.path(), Clock::system()).await;
    let house = &running.house;
    let mine = sign_in(house, "admin").await.expect("signed in");
    let other = sign_in(house, "bo").await.expect("signed in");
    house.sessions().bind_device(&mine, "lt-1".parse().expect("an id"), house.now()).expect("bound");
    let device = crate::devices::Device {
        id: "lt-1".parse().expect("an id"),
        name: "A laptop".to_owned(),
        owner: None,
        managed: true,
        public_key: "none".to_owned(),
        proof: crate::devices::Proof::Browser,
        enrolled: house.now(),
        report: None,
    };
    house.keep_device(device).await.expect("kept");
    let me = person("admin");
    for (kind, name) in [
        ("person", "admin"),
        ("group", "operators"),
        ("group", "staff"),
        ("session", mine.as_str()),
        ("device", "lt-1"),
        ("application", "safeconduct"),
    ] {
        let refused = house.place_lock("admin", Some(&me), new(kind, name)).await;
        assert!(matches!(refused, Err(LockError::Yourself)), "{kind} {name}: {refused:?}");
    }
    assert!(house.locks().is_empty());
    for (kind, name) in [("session", other.as_str()), ("person", "bo"), ("application", "wiki")] {
        let placed = house.place_lock("admin", Some(&me), new(kind, name)).await;
        assert_eq!(placed.map(|lock| lock.by).map_err(|e| e.to_string()), Ok("admin".to_owned()), "{kind} {name}");
    }
    // Who is left is the last one, and nobody else may shut them out by mistake.
    let last = house.place_lock("cli", None, new("person", "admin")).await;
    assert!(matches!(last, Err(LockError::LastOperator)), "{last:?}");
    running.stop().await.expect("stopped");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_person_opens_no_session_and_the_attempt_is_recorded() {
    let dir = configured();
    let running = running(dir.path(), Clock::system()).await;
    let house = &running.house;
    let session = sign_in(house, "bo").await.expect("signed in");
    let lock = house.place_lock("cli", None, new("group", "operators")).await;
    assert!(matches!(lock, Err(LockError::LastOperator)));
    let lock = house.place_lock("cli", None, new("person", "bo")).await.expect("placed");
    let refused = sign_in(house, "bo").await.expect_err("locked out");
    let told = refused.downcast_ref::<LockedOut>().expect("because of the lock").to_string();
    assert!(told.contains("your access is locked") && told.contains("Call 7-300."), "{told}");
    assert_eq!(house.sessions().of(&person("bo")).len(), 1, "the session that was there is still there");
    let bound = house.bind_device(&session, "lt-9".parse().expect("an id")).await;
    assert!(bound.is_err_and(|e| e.downcast_ref::<LockedOut>().is_some()), "it is given no device");
    sign_in(house, "admin").await.expect("nobody else is kept out");
    house.lift_lock("cli", &lock.id).await.expect("lifted");
    sign_in(house, "bo").await.expect("signed in");
    let ledger = house.ledger_dir();
    running.stop().await.expect("stopped");
    let failed = Entries::from_seq(&ledger, 0).expect("readable").filter(|line| {
        let record = &line.as_ref().expect("whole").entry.record;
        matches!(record, Record::Session(s) if s.event == SessionEventKind::Failed && s.person.as_str() == "bo")
    });
    assert_eq!(failed.count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_that_cannot_be_read_stops_the_start() {
    let dir = configured();
    running(dir.path(), Clock::system()).await.stop().await.expect("stopped");
    let control = Control::open(&dir.path().join("data/control.db")).await.expect("opened");
    let body = Some(serde_json::json!({ "id": "l1", "target": { "persona": "ada" } }));
    let change = DocChange { kind: LOCK.to_owned(), id: "l1".to_owned(), body };
    control.append(None, &[change], clock::system()).await.expect("kept");
    control.close().await;
    let told = run(dir.path(), Clock::system()).await.map(|_| ()).expect_err("it does not start").to_string();
    assert!(told.contains("lock `l1`"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_that_ended_is_kept_for_a_while_and_then_forgotten() {
    let dir = configured();
    let running = running(dir.path(), Clock::shifted(clock::system())).await;
    let house = &running.house;
    let short = NewLock { lasts: Some(Duration::from_hours(1)), ..new("person", "bo") };
    let short = house.place_lock("cli", None, short).await.expect("placed").id;
    let ids = |house: &House| house.locks().all().map(|l| l.id.clone()).collect::<Vec<_>>();
    let later = |span: Duration| house.clock.advance(house.now() + span);
    later(Duration::from_hours(2));
    assert_eq!(house.locks().in_force(house.now()).count(), 0);
    let second = house.place_lock("cli", None, new("application", "wiki")).await.expect("placed").id;
    assert!(ids(house).contains(&short), "for a clock that is set back");
    later(KEPT);
    let third = house.place_lock("cli", None, new("session", "none"));
    assert!(third.await.is_err(), "no such session");
    let third = house.place_lock("cli", None, new("workload", "robot")).await.expect("placed").id;
    let mut expected = vec![second, third];
    expected.sort_unstable();
    assert_eq!(ids(house), expected);
    let kept = house.control.load(LOCK).await.expect("loaded");
    assert_eq!(kept.iter().map(|d| d.id.as_str()).collect::<Vec<_>>(), [expected[0].as_str(), expected[1].as_str()]);
    running.stop().await.expect("stopped");
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_locks_at_the_same_time_are_ten() {
    let dir = configured();
    let running = running(dir.path(), Clock::system()).await;
    let began = Instant::now();
    let placing = (0..10).map(|n| {
        let house = std::sync::Arc::clone(&running.house);
        tokio::spawn(async move { house.place_lock("cli", None, new("workload", &format!("w{n}"))).await })
    });
    for placed in placing.collect::<Vec<_>>() {
        let lock = placed.await.expect("joined").expect("placed");
        assert!(lock.placed > Timestamp::default() && lock.until.is_none());
    }
    assert!(began.elapsed().as_secs() < 20);
    assert_eq!(running.house.locks().all().count(), 10);
    assert_eq!(running.house.control.load(LOCK).await.expect("loaded").len(), 10);
    running.stop().await.expect("stopped");
}
