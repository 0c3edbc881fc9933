//! The control state on a real database.

use std::path::Path;
use std::sync::Arc;

use safeconduct_model::Timestamp;
use safeconduct_store::{Control, ControlError, DocChange, MAX_CHANGES, Rev};
use serde_json::{Value, json};

fn at(ms: i64) -> Timestamp {
    Timestamp::from_millis(ms)
}

fn put(kind: &str, id: &str, body: Value) -> DocChange {
    DocChange { kind: kind.into(), id: id.into(), body: Some(body) }
}

fn remove(kind: &str, id: &str) -> DocChange {
    DocChange { kind: kind.into(), id: id.into(), body: None }
}

async fn open(dir: &Path) -> Control {
    Control::open(&dir.join("control.db")).await.expect("opens")
}

async fn ids(control: &Control, kind: &str) -> Vec<String> {
    control.load(kind).await.expect("loads").into_iter().map(|d| d.id).collect()
}

#[tokio::test]
async fn what_was_appended_is_there_after_reopening() {
    let dir = tempfile::tempdir().expect("a directory");
    let control = open(dir.path()).await;
    let first = [put("grant", "g1", json!({"who": "ada"})), put("account", "ada", json!(1))];
    assert_eq!(control.append(None, &first, at(5)).await.expect("first"), Rev(1));
    let second = [put("grant", "g1", json!({"who": "ben"})), remove("account", "ada")];
    assert_eq!(control.append(Some(Rev(1)), &second, at(6)).await.expect("second"), Rev(2));
    control.close().await;

    let control = open(dir.path()).await;
    assert_eq!(control.rev().await.expect("rev"), Rev(2));
    let grant = control.get("grant", "g1").await.expect("gets").expect("there");
    assert_eq!((grant.body, grant.rev), (json!({"who": "ben"}), Rev(2)));
    assert_eq!(ids(&control, "account").await, Vec::<String>::new());
    let log = control.since(Rev(0)).await.expect("log");
    let told: Vec<_> =
        log.iter().map(|l| (l.rev.0, l.at.millis(), l.change.id.as_str(), l.change.body.is_some())).collect();
    assert_eq!(told, [(1, 5, "g1", true), (1, 5, "ada", true), (2, 6, "g1", true), (2, 6, "ada", false)]);
    assert_eq!(control.since(Rev(1)).await.expect("log").len(), 2);
}

#[tokio::test]
async fn whoever_is_late_is_told_and_changes_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let control = open(dir.path()).await;
    control.append(Some(Rev(0)), &[put("grant", "a", json!(1))], at(1)).await.expect("first");
    let late = control.append(Some(Rev(0)), &[put("grant", "b", json!(1))], at(2)).await.expect_err("late");
    assert!(matches!(late, ControlError::Conflict { expected: Rev(0), found: Rev(1) }));
    assert!(late.to_string().contains("look again and repeat"), "{late}");
    assert_eq!((ids(&control, "grant").await, control.rev().await.expect("rev")), (vec!["a".to_owned()], Rev(1)));
    let many = vec![put("grant", "c", json!(1)); MAX_CHANGES + 1];
    assert!(matches!(control.append(None, &many, at(3)).await, Err(ControlError::TooMany { .. })));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_with_the_same_expectation_one_succeeds() {
    let dir = tempfile::tempdir().expect("a directory");
    let control = Arc::new(open(dir.path()).await);
    let tasks: Vec<_> = (0..20)
        .map(|i| {
            let control = Arc::clone(&control);
            tokio::spawn(
                async move { control.append(Some(Rev(0)), &[put("grant", &i.to_string(), json!(1))], at(1)).await },
            )
        })
        .collect();
    let mut won = 0;
    for task in tasks {
        won += usize::from(task.await.expect("ran").is_ok());
    }
    assert_eq!((won, ids(&control, "grant").await.len()), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nt_39_of_a_hundred_who_redeem_one_code_at_once_exactly_one_wins() {
    let dir = tempfile::tempdir().expect("a directory");
    // Two handles, as of two processes on one file.
    let handles = [Arc::new(open(dir.path()).await), Arc::new(open(dir.path()).await)];
    for round in 0..3 {
        let id = format!("code-{round}");
        handles[0].append(None, &[put("one_time_code", &id, json!({"for": "ada"}))], at(1)).await.expect("made");
        let tasks: Vec<_> = (0..100)
            .map(|i| {
                let (control, id) = (Arc::clone(&handles[i % 2]), id.clone());
                tokio::spawn(async move { control.take("one_time_code", &id, at(2)).await.expect("asked") })
            })
            .collect();
        let mut winners = Vec::new();
        for task in tasks {
            winners.extend(task.await.expect("ran"));
        }
        assert_eq!(winners.len(), 1);
        assert_eq!(winners[0].body, json!({"for": "ada"}));
        assert_eq!(handles[1].take("one_time_code", &id, at(3)).await.expect("asked"), None);
    }
    let removals = handles[0].since(Rev(0)).await.expect("log").into_iter().filter(|l| l.change.body.is_none()).count();
    assert_eq!(removals, 3, "each redemption is one change in the log");
}

#[tokio::test]
async fn forgetting_the_log_keeps_the_documents_and_the_revision() {
    let dir = tempfile::tempdir().expect("a directory");
    let control = open(dir.path()).await;
    for i in 0..5 {
        control.append(None, &[put("grant", &i.to_string(), json!(i))], at(i)).await.expect("appended");
    }
    control.forget(Rev(99)).await.expect("forgotten");
    assert_eq!((control.rev().await.expect("rev"), ids(&control, "grant").await.len()), (Rev(5), 5));
    assert_eq!(control.since(Rev(0)).await.expect("log"), []);
    assert_eq!(control.append(Some(Rev(5)), &[remove("grant", "0")], at(9)).await.expect("next"), Rev(6));
}
