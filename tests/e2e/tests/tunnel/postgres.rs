//! PostgreSQL through tunnels: the real server, and `psql`.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::stage::{PATIENCE, Stage, stage_with};

/// How long a cut may take, with the start of the command line that asks for it.
const AT_MOST: Duration = Duration::from_secs(2);
/// Where Debian keeps the programs of the server, by version.
const DEBIAN: &str = "/usr/lib/postgresql";
/// Who the server runs as where the tests are root: it refuses to be root itself.
const USER: &str = "postgres";

const APPLICATION: &str = r#"
[[application]]
id = "journal"
name = "Journal"
hosts = ["journal.harbour.localhost"]
upstream = "tcp://127.0.0.1:PORT"
owner = "mira"
"#;
const RULE: &str = r#"@id("journal-staff") @owner("mira") @why("Work on the books")
permit(principal in Group::"staff", action == Action::"write", resource == Application::"journal");
"#;

/// A server of its own, in a folder of its own. It is ended when dropped.
struct Postgres {
    child: Child,
    port: u16,
    folder: TempDir,
}

/// The program of this name; nothing where it is not installed.
fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let versions = fs::read_dir(DEBIAN).ok().into_iter().flatten().flatten().map(|v| v.path().join("bin"));
    let mut folders: Vec<PathBuf> = versions.collect();
    folders.sort();
    folders.reverse();
    folders.into_iter().chain(std::env::split_paths(&path)).map(|f| f.join(name)).find(|file| file.is_file())
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|o| o.stdout.trim_ascii() == b"0")
}

/// A program of the server, as somebody who may run it.
fn of_server(name: &str) -> Option<Command> {
    let program = find(name)?;
    if !is_root() {
        return Some(Command::new(program));
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid", USER, "--regid", USER, "--clear-groups"]).arg(program);
    Some(command)
}

impl Postgres {
    /// Starts one; none where it is not installed, which is said.
    fn start() -> Option<Self> {
        let missing: Vec<&str> = ["initdb", "postgres", "psql"].into_iter().filter(|p| find(p).is_none()).collect();
        if !missing.is_empty() {
            let told = format!("not installed: {} (Debian packages postgresql, postgresql-client)", missing.join(", "));
            assert!(std::env::var_os("SAFECONDUCT_E2E").is_none(), "{told}; `cargo xtask test` brings them");
            eprintln!("ignored, {told}");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        if is_root() {
            let owned = Command::new("chown").arg(USER).arg(folder.path()).status();
            assert!(owned.is_ok_and(|s| s.success()), "the folder goes to the user {USER}");
        }
        let mut init = of_server("initdb")?;
        init.args(["--auth", "trust", "--username", "books", "--no-sync", "--pgdata"]).arg(&data);
        let init = init.current_dir(folder.path()).output().unwrap();
        assert!(init.status.success(), "{}", String::from_utf8_lossy(&init.stderr));
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut server = of_server("postgres")?;
        server.arg("-D").arg(&data).args(["-p", &port.to_string(), "-c", "listen_addresses=127.0.0.1"]);
        // It looks after clients that are gone also while it sleeps for them.
        server.args([
            "-c",
            "unix_socket_directories=",
            "-c",
            "fsync=off",
            "-c",
            "client_connection_check_interval=100ms",
        ]);
        let log = fs::File::create(folder.path().join("log")).unwrap();
        let child = server.current_dir(folder.path()).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        let this = Self { child, port, folder };
        let until = Instant::now() + PATIENCE;
        while !psql(this.here(), "SELECT 1").output().unwrap().status.success() {
            let log = fs::read_to_string(this.folder.path().join("log")).unwrap_or_default();
            assert!(Instant::now() < until, "it does not start: {log}");
            std::thread::sleep(Duration::from_millis(50));
        }
        Some(this)
    }

    fn here(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.port).into()
    }

    /// How many of its backends sleep.
    fn sleeping(&self) -> String {
        let asked = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%' AND state = 'active'";
        text(&psql(self.here(), asked).output().unwrap())
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // A fast end: it takes its own processes with it.
        let _ = Command::new("kill").args(["-INT", &self.child.id().to_string()]).status();
        let until = Instant::now() + Duration::from_secs(5);
        while Instant::now() < until && matches!(self.child.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `psql` with one statement, to a server.
fn psql(at: SocketAddr, statement: &str) -> Command {
    let mut command = Command::new(find("psql").unwrap());
    command.env_remove("PGSERVICE").env("PGCONNECT_TIMEOUT", "10").env("PSQLRC", "/dev/null");
    command.args(["--no-psqlrc", "-h", &at.ip().to_string(), "-p", &at.port().to_string()]);
    command.args(["-U", "books", "-d", "postgres", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", statement]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn text(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn with_journal(server: &Postgres) -> Option<Stage> {
    let port = server.port.to_string();
    stage_with(|folder: &Path| {
        let surface = folder.join("estate/surface.toml");
        let all = fs::read_to_string(&surface).unwrap() + &APPLICATION.replace("PORT", &port);
        fs::write(surface, all).unwrap();
        fs::write(folder.join("policies/journal.cedar"), RULE).unwrap();
    })
}

#[test]
fn psql_works_through_both_carriers_as_if_the_server_were_here() {
    let Some(server) = Postgres::start() else { return };
    let Some(stage) = with_journal(&server) else { return };
    let (ada, _) = stage.signed_in("ada");
    text(&psql(server.here(), "CREATE TABLE ledger (n int, words text)").output().unwrap());
    for (n, carrier) in ["auto", "websocket"].into_iter().enumerate() {
        let mut listening = ada.start(&["connect", "journal", "--listen", "127.0.0.1:0", "--carrier", carrier]);
        let at = listening.listens();
        assert_eq!(text(&psql(at, "SELECT 40 + 2").output().unwrap()), "42");
        let fill = format!(
            "INSERT INTO ledger SELECT i, repeat('x', 1000) FROM generate_series(1, 2000) AS i WHERE {n} = {n}"
        );
        assert_eq!(text(&psql(at, &fill).output().unwrap()), "INSERT 0 2000", "{carrier}");
        let all = text(&psql(at, "SELECT words FROM ledger LIMIT 2000").output().unwrap());
        assert_eq!(all.len(), 2000 * 1001 - 1, "{carrier}: two megabytes came whole");
        let wrong = psql(at, "SELECT nothing FROM nowhere").output().unwrap();
        assert!(String::from_utf8_lossy(&wrong.stderr).contains("does not exist"), "its own errors come through");
        let told = listening.stop();
        assert!(told.stderr.is_empty(), "{}", String::from_utf8_lossy(&told.stderr));
    }
    assert_eq!(text(&psql(server.here(), "SELECT count(*) FROM ledger").output().unwrap()), "4000");
    stage.server.ends_well().unwrap();
}

#[test]
fn a_session_that_ends_cuts_a_statement_in_its_middle_and_the_server_lets_go_of_it() {
    let Some(server) = Postgres::start() else { return };
    let Some(stage) = with_journal(&server) else { return };
    for (person, carrier) in [("ada", "auto"), ("ada", "websocket")] {
        let (ada, _) = stage.signed_in(person);
        let mut listening = ada.start(&["connect", "journal", "--listen", "127.0.0.1:0", "--carrier", carrier]);
        let asking = psql(listening.listens(), "SELECT pg_sleep(60)").spawn().unwrap();
        let until = Instant::now() + PATIENCE;
        while server.sleeping() != "1" {
            assert!(Instant::now() < until, "the statement does not run");
            std::thread::sleep(Duration::from_millis(20));
        }
        let id = ada.tokens()["session"].as_str().unwrap().to_owned();
        let since = Instant::now();
        stage.server.command(&["watch", "cut", &id]).unwrap();
        let output = asking.wait_with_output().unwrap();
        let took = since.elapsed();
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{carrier}: psql lost its connection: {words}");
        assert!(took < AT_MOST, "{carrier}: {took:?}");
        while server.sleeping() != "0" {
            assert!(since.elapsed() < PATIENCE, "{carrier}: the server sleeps on");
            std::thread::sleep(Duration::from_millis(20));
        }
        let told = String::from_utf8_lossy(&listening.stop().stderr).into_owned();
        let request = told.lines().find_map(|l| l.trim().strip_prefix("request ")).unwrap_or_else(|| panic!("{told}"));
        let until = Instant::now() + PATIENCE;
        let cut: Value = loop {
            let found = stage.records(request).into_iter().find(|r| r["kind"] == "cut");
            if let Some(found) = found {
                break found;
            }
            assert!(Instant::now() < until, "{carrier}: no record of the cut");
        };
        assert_eq!((cut["cause"].as_str(), cut["app"].as_str()), (Some("session_ended"), Some("journal")), "{cut}");
        let bytes = |way: &str| cut["bytes"][way].as_u64().unwrap_or(0);
        // The start-up message and the statement up; the parameters of the session down.
        assert!(bytes("up") > 60 && bytes("down") > 200, "{cut}");
        assert!(cut["delay"].as_u64().is_some_and(|ms| ms <= 100), "{cut}");
    }
    stage.server.ends_well().unwrap();
}
