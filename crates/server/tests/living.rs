//! The running server: reload, refusal of what is broken, locks and clocks.
#![expect(clippy::panic, reason = "a test that cannot go on panics")]

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use safeconduct_config::starter;
use safeconduct_model::{Record, Timestamp};
use safeconduct_server::clock::{self, Clock};
use safeconduct_server::{Running, Start, StartError, files, start};
use safeconduct_store::Entries;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

const DOMAIN: &str = "acme.localhost";

fn configured() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a temporary folder");
    files::init(dir.path(), &starter(DOMAIN)).expect("written");
    let main = dir.path().join("safeconduct.toml");
    let text = fs::read_to_string(&main).expect("readable").replace("health = ", "# health = ");
    fs::write(main, text).expect("written");
    dir
}

async fn run(dir: &Path, clock: Clock) -> Result<Running, StartError> {
    start(Start { dir: dir.to_owned(), clock, https: Some(([127, 0, 0, 1], 0).into()) }).await
}

async fn running(dir: &Path) -> Running {
    match run(dir, Clock::system()).await {
        Ok(running) => running,
        Err(error) => panic!("{error}"),
    }
}

/// One request over TLS, its whole answer as text.
async fn get(running: &Running, host: &str, path: &str) -> String {
    let pem = fs::read(running.house.data.join("ca.pem")).expect("the authority is there");
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(&pem).expect("PEM")).expect("a certificate");
    let config = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let stream = TcpStream::connect(running.https).await.expect("it listens");
    let name = ServerName::try_from(host.to_owned()).expect("a name");
    let mut tls = TlsConnector::from(Arc::new(config)).connect(name, stream).await.expect("the certificate holds");
    let request = format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
    tls.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = Vec::new();
    let _ = tls.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

/// Waits until something is so; at most ten seconds.
async fn until(mut holds: impl FnMut() -> bool) {
    for _ in 0..200 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("it did not come to be so within ten seconds");
}

fn verbs(dir: &Path) -> Vec<String> {
    let entries = Entries::from_seq(&dir.join("data/ledger"), 0).expect("readable");
    let verb = |r: Record| match r {
        Record::Change(c) => Some(format!("{} {}", c.verb, c.by)),
        Record::System(s) => Some(s.event),
        _ => None,
    };
    entries.filter_map(Result::ok).filter_map(|l| verb(l.entry.record)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_good_change_binds_and_a_broken_one_is_refused_told_and_changes_nothing() {
    let dir = configured();
    let running = running(dir.path()).await;
    let policy = dir.path().join("policies/wiki.cedar");
    let good = fs::read_to_string(&policy).expect("readable");
    assert_eq!(running.house.current().snapshot.revision(), 1);

    fs::write(&policy, "permit(principal, action, resource").expect("written");
    until(|| verbs(dir.path()).contains(&"config.refused".to_owned())).await;
    let current = running.house.current();
    assert_eq!((current.snapshot.revision(), current.snapshot.rules().len()), (1, 2), "the old one keeps serving");

    fs::write(&policy, good.replace("wiki-staff", "wiki-all")).expect("written");
    until(|| running.house.current().snapshot.revision() == 2).await;
    assert!(verbs(dir.path()).contains(&"policy.publish files".to_owned()));
    assert!(running.house.current().snapshot.rules().iter().any(|r| r.id.as_str() == "wiki-all"));
    running.stop().await.expect("stopped");
    let again = self::running(dir.path()).await;
    assert_eq!(again.house.current().snapshot.revision(), 2, "the same texts keep their number across a restart");
    again.stop().await.expect("stopped");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_application_is_served_without_a_restart_and_an_unpublished_name_gets_no_certificate() {
    let dir = configured();
    let running = running(dir.path()).await;
    assert!(get(&running, &format!("wiki.{DOMAIN}"), "/").await.starts_with("HTTP/1.1 401"));
    let more =
        format!("[[application]]\nid = \"crm\"\nhosts = [\"crm.{DOMAIN}\"]\nupstream = \"http://127.0.0.1:1\"\n");
    fs::write(dir.path().join("estate/more.toml"), more).expect("written");
    until(|| running.house.current().config.estate.applications.len() == 3).await;
    assert!(get(&running, &format!("crm.{DOMAIN}"), "/").await.starts_with("HTTP/1.1 401"));
    let stream = TcpStream::connect(running.https).await.expect("it listens");
    let pem = fs::read(running.house.data.join("ca.pem")).expect("the authority is there");
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(&pem).expect("PEM")).expect("a certificate");
    let config = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let name = ServerName::try_from(format!("ghost.{DOMAIN}")).expect("a name");
    assert!(TlsConnector::from(Arc::new(config)).connect(name, stream).await.is_err());
    running.stop().await.expect("stopped");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_on_one_data_folder_are_refused() {
    let dir = configured();
    let running = running(dir.path()).await;
    let told = run(dir.path(), Clock::system()).await.map(|_| ()).expect_err("the folder is taken").to_string();
    assert!(told.contains("process") && told.contains(&std::process::id().to_string()), "{told}");
    running.stop().await.expect("stopped");
    let again = run(dir.path(), Clock::system()).await.unwrap_or_else(|e| panic!("it is free again: {e}"));
    again.stop().await.expect("stopped");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_behind_the_ledger_is_refused() {
    let dir = configured();
    running(dir.path()).await.stop().await.expect("stopped");
    let yesterday = Timestamp::from_millis(clock::system().millis() - 86_400_000);
    let told =
        run(dir.path(), Clock::shifted(yesterday)).await.map(|_| ()).expect_err("the clock is behind").to_string();
    assert!(told.contains("clock"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_configuration_does_not_start_and_all_faults_are_told() {
    let dir = configured();
    fs::write(dir.path().join("estate/more.toml"), "[[person]]\nid = \"A\"\n").expect("written");
    fs::write(
        dir.path().join("policies/more.cedar"),
        "@id(\"x\") permit(principal, action, resource) when { context.nope };",
    )
    .expect("written");
    match run(dir.path(), Clock::system()).await {
        Err(StartError::Faults(faults)) => assert_eq!(faults.len(), 2, "{faults:?}"),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it started"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_index_is_built_again_from_the_ledger() {
    let dir = configured();
    let first = running(dir.path()).await;
    get(&first, &format!("wiki.{DOMAIN}"), "/a").await;
    first.stop().await.expect("stopped");
    for file in ["index.db", "index.db-wal", "index.db-shm"] {
        let _ = fs::remove_file(dir.path().join("data").join(file));
    }
    let again = running(dir.path()).await;
    let lines = Entries::from_seq(&dir.path().join("data/ledger"), 0).expect("readable").count();
    assert!(lines >= 3, "start, access, stop, start");
    again.stop().await.expect("stopped");
}
