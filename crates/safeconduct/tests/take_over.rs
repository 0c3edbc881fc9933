//! A new process takes every listener over, with the real program.
#![expect(clippy::panic, reason = "a test that cannot go on panics")]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(40);

const MAIN: &str = r#"organisation = "Acme"
zone = "Europe/Berlin"
operators = "operators"

[portal]
host = "portal.acme.localhost"

[listen]
https = "127.0.0.1:0"
health = "127.0.0.1:0"

[decision_point]
listen = "127.0.0.1:0"
tls = false
default_store = "safeconduct"

[decision_point.stores.safeconduct]

[decision_point.clients.program]
token_sha256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
stores = ["safeconduct"]
may = ["evaluate"]
"#;

const PEOPLE: &str = "[[group]]\nid = \"operators\"\n\n[[person]]\nid = \"admin\"\ngroups = [\"operators\"]\n";

/// A program that serves and is killed with the test.
struct Up {
    child: Child,
    lines: Receiver<String>,
}

impl Up {
    fn start(config: &Path, more: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_safeconduct"));
        command.args(["up", "--config"]).arg(config).args(more);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("it starts");
        let out = child.stdout.take().expect("it is piped");
        let (tell, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                if tell.send(line).is_err() {
                    return;
                }
            }
        });
        Self { child, lines }
    }

    /// Where it says that it listens: HTTPS, health, the decision point.
    fn places(&self) -> [SocketAddr; 3] {
        let mut rest = Vec::new();
        let mut find = |before: &str, behind: &str| loop {
            let line = match rest.iter().position(|l: &String| l.starts_with(before)) {
                Some(at) => rest.swap_remove(at),
                None => self.lines.recv_timeout(PATIENCE).unwrap_or_else(|e| panic!("{before}: {e}")),
            };
            match line.strip_prefix(before) {
                Some(found) => {
                    let text = found.split(behind).next().unwrap_or_default();
                    return text.parse().unwrap_or_else(|e| panic!("{line}: {e}"));
                }
                None => rest.push(line),
            }
        };
        [find("It listens on ", ";"), find("Health: http://", "/"), find("Decision point: ", "\n")]
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether somebody takes a connection there; where bytes are asked for, whether an answer begins.
fn answers(at: SocketAddr, asked: &[u8]) -> Result<(), String> {
    let mut stream = TcpStream::connect_timeout(&at, PATIENCE).map_err(|e| format!("{at} refused: {e}"))?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(|e| e.to_string())?;
    stream.write_all(asked).map_err(|e| format!("{at} not sent: {e}"))?;
    let mut first = [0];
    match asked.is_empty() || stream.read(&mut first).is_ok_and(|n| n == 1) {
        true => Ok(()),
        false => Err(format!("{at} gave no answer")),
    }
}

#[test]
fn every_listener_is_handed_over_and_none_refuses_a_connection_meanwhile() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    for (file, text) in [("safeconduct.toml", MAIN), ("estate/people.toml", PEOPLE)] {
        let path = dir.path().join(file);
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::write(path, text).expect("written");
    }
    let mut old = Up::start(dir.path(), &[]);
    let [https, health, point] = old.places();
    let over = Arc::new(AtomicBool::new(false));
    let asking: Vec<_> =
        [(https, ""), (health, ""), (point, "GET /x HTTP/1.1\r\nhost: p\r\nconnection: close\r\n\r\n")]
            .into_iter()
            .map(|(at, asked)| {
                let over = Arc::clone(&over);
                std::thread::spawn(move || {
                    let mut asks = 0_u32;
                    while !over.load(Ordering::Relaxed) {
                        answers(at, asked.as_bytes())?;
                        asks += 1;
                        std::thread::sleep(Duration::from_millis(1));
                    }
                    Ok::<_, String>(asks)
                })
            })
            .collect();
    std::thread::sleep(Duration::from_millis(200));
    let new = Up::start(dir.path(), &["--take-over"]);
    assert_eq!(new.places(), [https, health, point], "the very sockets");
    let until = Instant::now() + PATIENCE;
    let left = loop {
        match old.child.try_wait().expect("it can be looked at") {
            Some(status) => break status,
            None if Instant::now() < until => std::thread::sleep(Duration::from_millis(20)),
            None => panic!("the old one does not go"),
        }
    };
    assert!(left.success(), "the old one went in good order: {left}");
    std::thread::sleep(Duration::from_millis(200));
    over.store(true, Ordering::Relaxed);
    for thread in asking {
        let asks = thread.join().expect("no panic").unwrap_or_else(|why| panic!("{why}"));
        assert!(asks > 10, "{asks} connections");
    }
}
