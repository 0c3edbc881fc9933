//! A server with two applications behind tunnels, a way to its portal, and command lines of people.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use p256::ecdsa::signature::Signer;
use p256::ecdsa::{Signature, SigningKey};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use safeconduct_e2e::{Company, Server, program};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

/// How long anything may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Everything of one test.
pub(crate) struct Stage {
    pub(crate) server: Server,
    folder: TempDir,
}

/// An application that sends back what it gets, and at the end of it how much that was.
fn echo() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let (mut buffer, mut all) = ([0; 8192], 0);
                while let Ok(n @ 1..) = stream.read(&mut buffer) {
                    all += n;
                    if stream.write_all(&buffer[..n]).is_err() {
                        return;
                    }
                }
                let _ = stream.write_all(format!("\nthat was {all}\n").as_bytes());
                let _ = stream.shutdown(Shutdown::Write);
            });
        }
    });
    port
}

const APPLICATIONS: &str = r#"
[[application]]
id = "db"
name = "Database"
hosts = ["db.harbour.localhost"]
upstream = "tcp://127.0.0.1:PORT"
class = "high"
owner = "mira"

[[application]]
id = "queue"
name = "Queue"
hosts = ["queue.harbour.localhost"]
upstream = "tcp://127.0.0.1:PORT"
owner = "mira"

[[application]]
id = "vault"
name = "Vault"
hosts = ["vault.harbour.localhost"]
upstream = "tcp://127.0.0.1:PORT"
owner = "mira"
"#;

pub(crate) const DB: &str = r#"@id("db-staff") @owner("mira") @why("Work on the database")
permit(principal in Group::"staff", action == Action::"write", resource == Application::"db");
"#;
const QUEUE: &str = r#"@id("queue-staff") @owner("mira") @why("Work on the queue")
permit(principal in Group::"staff", action == Action::"write", resource == Application::"queue");
"#;
const VAULT: &str = r#"@id("vault-audit") @owner("mira") @why("Audit of the vault")
permit(principal in Group::"staff", action == Action::"write", resource == Application::"vault")
when { context has purpose && context.purpose == "audit" };
"#;

/// A colleague in no group.
const NOEL: &str = "\n[[person]]\nid = \"noel\"\n";

/// Starts everything; none where the binary was not built, which is said.
pub(crate) fn stage() -> Option<Stage> {
    stage_with(|_| {})
}

/// Starts everything, with more in the folder of the configuration.
pub(crate) fn stage_with(more: impl FnOnce(&Path)) -> Option<Stage> {
    if !program().is_ok_and(|p| p.is_file()) {
        assert!(std::env::var_os("SAFECONDUCT_E2E").is_none(), "missing: the binary (cargo build -p safeconduct)");
        eprintln!("ignored, missing: the binary (cargo build -p safeconduct)");
        return None;
    }
    let server = Server::up(|folder| {
        Company { upstream: 9, ..Company::default() }.write(folder)?;
        let surface = folder.join("estate/surface.toml");
        let text = fs::read_to_string(&surface)? + &APPLICATIONS.replace("PORT", &echo().to_string());
        fs::write(surface, text)?;
        fs::write(folder.join("policies/db.cedar"), DB)?;
        fs::write(folder.join("policies/queue.cedar"), QUEUE)?;
        fs::write(folder.join("policies/vault.cedar"), VAULT)?;
        let people = folder.join("estate/people.toml");
        let text = fs::read_to_string(&people)? + NOEL;
        fs::write(people, text)?;
        more(folder);
        Ok(())
    });
    Some(Stage { server: server.unwrap(), folder: tempfile::tempdir().unwrap() })
}

/// An answer of the server.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Page {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }

    /// The forgery token of the page.
    pub(crate) fn csrf(&self) -> String {
        let after = self.body.split_once("name=\"csrf-token\" content=\"").map(|(_, rest)| rest);
        after.and_then(|rest| rest.split_once('"')).map(|(token, _)| token.to_owned()).unwrap_or_default()
    }
}

impl Stage {
    pub(crate) fn ca(&self) -> PathBuf {
        self.server.config().join("data/ca.pem")
    }

    /// The address of the portal, without a slash at its end.
    pub(crate) fn portal(&self) -> String {
        self.server.portal.trim_end_matches('/').to_owned()
    }

    /// A TLS connection to a host.
    pub(crate) fn tls(&self, host: &str) -> rustls::StreamOwned<rustls::ClientConnection, TcpStream> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(self.ca()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config =
            rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = Arc::new(config.with_root_certificates(roots).with_no_client_auth());
        let stream = TcpStream::connect(("127.0.0.1", self.server.port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let name = ServerName::try_from(host.to_owned()).unwrap();
        rustls::StreamOwned::new(rustls::ClientConnection::new(config, name).unwrap(), stream)
    }

    /// One exchange over a connection of its own.
    pub(crate) fn ask(&self, host: &str, method: &str, path: &str, fields: &[(&str, &str)], body: &str) -> Page {
        let mut stream = self.tls(host);
        let mut text = format!("{method} {path} HTTP/1.1\r\nhost: {host}:{}\r\n", self.server.port);
        for (name, value) in fields {
            text += &format!("{name}: {value}\r\n");
        }
        if !fields.iter().any(|(n, _)| *n == "connection") {
            text += "connection: close\r\n";
        }
        if method == "POST" {
            text += &format!("content-type: application/x-www-form-urlencoded\r\ncontent-length: {}\r\n", body.len());
        }
        text += "\r\n";
        stream.write_all(text.as_bytes()).unwrap();
        stream.write_all(body.as_bytes()).unwrap();
        let (mut answer, mut piece) = (Vec::new(), [0; 16 * 1024]);
        // A connection may stay open whatever was asked, so the end is where the length says.
        while !is_whole(&answer) {
            match stream.read(&mut piece) {
                Ok(n @ 1..) => answer.extend_from_slice(&piece[..n]),
                Ok(0) | Err(_) => break,
            }
        }
        read(&answer)
    }

    /// Signs a person in with a one-time link; the cookie.
    pub(crate) fn sign_in(&self, person: &str) -> String {
        let link = self.server.setup_link(person).unwrap();
        let path = format!("/setup/{}", link.rsplit('/').next().unwrap());
        let page = self.ask("portal.harbour.localhost", "POST", &path, &[], &format!("person={person}&name={person}"));
        let cookie = page.header("set-cookie").unwrap_or_else(|| panic!("no session: {page:?}"));
        cookie.split(';').next().unwrap().to_owned()
    }

    /// Answers the machine that shows a code, on the page of the portal.
    pub(crate) fn answer_code(&self, cookie: &str, code: &str, answer: &str) -> (Page, Page) {
        let host = "portal.harbour.localhost";
        let asked = self.ask(host, "GET", &format!("/activate?user_code={code}"), &[("cookie", cookie)], "");
        let body = format!("csrf={}&user_code={code}&answer={answer}", asked.csrf());
        let done = self.ask(host, "POST", "/activate", &[("cookie", cookie)], &body);
        (asked, done)
    }

    /// The command line of somebody.
    pub(crate) fn terminal(&self, name: &str) -> Terminal {
        let home = self.folder.path().join(name);
        fs::create_dir_all(&home).unwrap();
        Terminal { home, name: name.to_owned() }
    }

    /// Signs a command line in as a person, by a code.
    pub(crate) fn signed_in(&self, person: &str) -> (Terminal, String) {
        let (terminal, cookie) = (self.terminal(person), self.sign_in(person));
        let mut login = self.login(&terminal);
        let code = login.line(|l| l.trim().split_once('-').map(|_| l.trim().to_owned()).filter(|c| c.len() == 9));
        let (_, done) = self.answer_code(&cookie, &code, "yes");
        assert_eq!(done.status, 303, "{}", done.body);
        let output = login.end();
        assert!(output.status.success(), "{output:?}");
        (terminal, cookie)
    }

    /// Begins a sign-in by a code.
    pub(crate) fn login(&self, terminal: &Terminal) -> Running {
        let (portal, ca) = (self.portal(), self.ca());
        terminal.start(&[
            "login",
            "--portal",
            &portal,
            "--ca",
            ca.to_str().unwrap(),
            "--device",
            "--name",
            &terminal.name,
        ])
    }

    /// The records of the ledger about a request; waits for one.
    pub(crate) fn records(&self, request: &str) -> Vec<Value> {
        let until = Instant::now() + PATIENCE;
        loop {
            let text = self.server.command(&["ledger", "export"]).unwrap();
            let all = text.lines().filter_map(|l| serde_json::from_str::<Value>(l).ok());
            let about = |v: &Value| v["request"] == request || v["ask"]["request"] == request;
            let found: Vec<Value> = all.filter(about).collect();
            if !found.is_empty() || Instant::now() > until {
                return found;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

fn is_whole(answer: &[u8]) -> bool {
    let Some(end) = answer.windows(4).position(|w| w == b"\r\n\r\n") else { return false };
    let page = read(answer);
    page.header("content-length").and_then(|l| l.parse::<usize>().ok()).is_some_and(|l| answer.len() >= end + 4 + l)
}

fn read(answer: &[u8]) -> Page {
    let end = answer.windows(4).position(|w| w == b"\r\n\r\n").unwrap_or(answer.len());
    let head = String::from_utf8_lossy(&answer[..end]).into_owned();
    let mut lines = head.lines();
    let status = lines.next().and_then(|l| l.split(' ').nth(1)).and_then(|s| s.parse().ok()).unwrap_or(0);
    let headers = lines.filter_map(|l| l.split_once(": ")).map(|(n, v)| (n.to_lowercase(), v.to_owned())).collect();
    Page { status, headers, body: String::from_utf8_lossy(answer.get(end + 4..).unwrap_or_default()).into_owned() }
}

/// The command line of one person, with a folder of its own.
pub(crate) struct Terminal {
    home: PathBuf,
    name: String,
}

impl Terminal {
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(program().unwrap());
        command.args(arguments).env("XDG_CONFIG_HOME", &self.home).env("SAFECONDUCT_LOG", "warn");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    pub(crate) fn start(&self, arguments: &[&str]) -> Running {
        Running::of(self.command(arguments).spawn().unwrap())
    }

    /// Runs to its end, with this on standard input.
    pub(crate) fn run(&self, arguments: &[&str], input: &[u8]) -> Output {
        let mut child = self.command(arguments).spawn().unwrap();
        let (mut stdin, input) = (child.stdin.take().unwrap(), input.to_vec());
        let writer = std::thread::spawn(move || {
            let _ = stdin.write_all(&input);
        });
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap();
        output
    }

    fn file(&self, name: &str) -> PathBuf {
        let folder = fs::read_dir(self.home.join("safeconduct")).unwrap().flatten().find(|e| e.path().is_dir());
        folder.unwrap().path().join(name)
    }

    /// What it keeps of its tokens.
    pub(crate) fn tokens(&self) -> Value {
        serde_json::from_slice(&fs::read(self.file("session.json")).unwrap()).unwrap()
    }

    pub(crate) fn keep_tokens(&self, tokens: &Value) {
        fs::write(self.file("session.json"), tokens.to_string()).unwrap();
    }

    /// Its key.
    pub(crate) fn key(&self) -> SigningKey {
        let text = fs::read_to_string(self.file("key")).unwrap();
        SigningKey::from_slice(&URL_SAFE_NO_PAD.decode(text.lines().nth(1).unwrap()).unwrap()).unwrap()
    }

    pub(crate) fn home(&self) -> &Path {
        &self.home
    }
}

/// A program that runs beside the test. It is ended when dropped.
pub(crate) struct Running {
    child: Child,
    lines: BufReader<std::process::ChildStdout>,
}

impl Running {
    fn of(mut child: Child) -> Self {
        let lines = BufReader::new(child.stdout.take().unwrap());
        Self { child, lines }
    }

    /// Reads lines until one says something.
    pub(crate) fn line<T>(&mut self, read: impl Fn(&str) -> Option<T>) -> T {
        let mut all = String::new();
        loop {
            let mut line = String::new();
            if self.lines.read_line(&mut line).unwrap() == 0 {
                let mut errors = String::new();
                let _ = self.child.stderr.take().unwrap().read_to_string(&mut errors);
                panic!("the program ended after: {all}{errors}");
            }
            if let Some(found) = read(&line) {
                return found;
            }
            all += &line;
        }
    }

    /// The port that `connect --listen` tells.
    pub(crate) fn listens(&mut self) -> SocketAddr {
        self.line(|l| l.split_once(" is at ").and_then(|(_, at)| at.trim().parse().ok()))
    }

    pub(crate) fn end(mut self) -> Output {
        let mut stdout = Vec::new();
        self.lines.read_to_end(&mut stdout).unwrap();
        let mut stderr = Vec::new();
        self.child.stderr.take().unwrap().read_to_end(&mut stderr).unwrap();
        Output { status: self.child.wait().unwrap(), stdout, stderr }
    }

    /// Asks it to stop, and returns what it told meanwhile.
    pub(crate) fn stop(self) -> Output {
        let _ = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status();
        self.end()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A proof, made by hand.
pub(crate) struct Proof<'a> {
    pub(crate) key: &'a SigningKey,
    pub(crate) method: &'a str,
    pub(crate) uri: String,
    pub(crate) token: Option<&'a str>,
    pub(crate) jti: &'a str,
    pub(crate) age: i64,
}

impl Proof<'_> {
    pub(crate) fn text(&self) -> String {
        let point = self.key.verifying_key().to_sec1_point(false);
        let part = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let (x, y) = point.as_bytes()[1..].split_at(32);
        let jwk = json!({ "kty": "EC", "crv": "P-256", "x": part(x), "y": part(y) });
        let header = json!({ "typ": "dpop+jwt", "alg": "ES256", "jwk": jwk });
        let now = Command::new("date").arg("+%s").output().unwrap().stdout;
        let now: i64 = String::from_utf8_lossy(&now).trim().parse().unwrap();
        let mut claims: BTreeMap<&str, Value> = BTreeMap::new();
        claims.insert("jti", json!(self.jti));
        claims.insert("htm", json!(self.method));
        claims.insert("htu", json!(self.uri));
        claims.insert("iat", json!(now - self.age));
        if let Some(token) = self.token {
            claims.insert("ath", json!(part(&Sha256::digest(token))));
        }
        let claims = serde_json::to_vec(&claims).unwrap();
        let signed = format!("{}.{}", part(header.to_string().as_bytes()), part(&claims));
        let signature: Signature = self.key.sign(signed.as_bytes());
        format!("{signed}.{}", part(&signature.to_bytes()))
    }
}
