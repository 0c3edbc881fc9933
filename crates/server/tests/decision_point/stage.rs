//! A server with a decision point on loopback, a person who signed in, and an application that echoes what reaches it.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use safeconduct_config::starter;
use safeconduct_model::{Access, Question, Record};
use safeconduct_server::clock::Clock;
use safeconduct_server::{Running, Start, files, start};
use safeconduct_store::Entries;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;

pub(crate) const WIKI: &str = "wiki.acme.localhost";
/// The host of the portal.
pub(crate) const PORTAL: &str = "portal.acme.localhost";
/// The tokens of the clients; their digests stand in the configuration.
pub(crate) const PROGRAM: &str = "program";
pub(crate) const GATEWAY: &str = "gateway";

const POINT: &str = r#"
[decision_point]
listen = "127.0.0.1:0"
tls = false
default_store = "certification"

[decision_point.stores.certification]
[decision_point.stores.cluster]
[decision_point.stores.safeconduct]

[decision_point.clients.program]
token_sha256 = "PROGRAM_SHA"
stores = ["certification", "cluster", "safeconduct"]
may = ["evaluate", "search", "review"]

[decision_point.clients.gateway]
token_sha256_file = "clients/gateway.sha256"
may = ["ext_authz", "forward_auth", "auth_request"]
"#;

const RULES: &str = r#"@id("wiki-staff")
@owner("admin")
@why("Daily work")
permit(principal in Group::"staff", action in [Action::"read", Action::"write"], resource == Application::"wiki")
unless { context.path like "/secret*" };
"#;

pub(crate) struct Stage {
    pub(crate) running: Running,
    pub(crate) dir: tempfile::TempDir,
    pub(crate) point: SocketAddr,
}

fn sha256(text: &str) -> String {
    use sha2::Digest;
    sha2::Sha256::digest(text).iter().map(|b| format!("{b:02x}")).collect()
}

/// The folder of a store of the repository.
pub(crate) fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

impl Stage {
    pub(crate) async fn put_up() -> Self {
        Self::put_up_with(|_| {}).await
    }

    /// A stage whose configuration a function changes before the start.
    pub(crate) async fn put_up_with(change: impl FnOnce(&Path)) -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        files::init(dir.path(), &starter("acme.localhost")).expect("written");
        let main = dir.path().join("safeconduct.toml");
        let text = fs::read_to_string(&main).expect("readable").replace("health = ", "# health = ");
        fs::write(&main, text + &POINT.replace("PROGRAM_SHA", &sha256(PROGRAM))).expect("written");
        let put = |path: &str, text: &str| {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            fs::write(path, text).expect("written");
        };
        put("clients/gateway.sha256", &format!("{}  -\n", sha256(GATEWAY)));
        put("policies/wiki.cedar", RULES);
        put(
            "estate/surface.toml",
            &fs::read_to_string(dir.path().join("estate/surface.toml"))
                .expect("readable")
                .replace("observe", "enforce"),
        );
        for store in ["certification", "cluster"] {
            for entry in fs::read_dir(repository("tests/stores").join(store)).expect("the store is there") {
                let entry = entry.expect("readable");
                let name = entry.file_name().into_string().expect("UTF-8");
                put(&format!("stores/{store}/{name}"), &fs::read_to_string(entry.path()).expect("readable"));
            }
        }
        change(dir.path());
        let asked =
            Start { dir: dir.path().to_owned(), clock: Clock::system(), https: Some(([127, 0, 0, 1], 0).into()) };
        let running = start(asked).await.unwrap_or_else(|error| panic!("{error}"));
        let point = running.decision_point.expect("it is configured");
        Self { running, dir, point }
    }

    /// A request to the decision point.
    pub(crate) async fn ask(&self, request: &str) -> String {
        let stream = TcpStream::connect(self.point).await.expect("it listens");
        exchange(stream, request).await
    }

    /// A JSON body to the decision point, from the program.
    pub(crate) async fn post(&self, path: &str, body: &serde_json::Value) -> (u16, serde_json::Value) {
        let body = body.to_string();
        let head = format!(
            "authorization: Bearer {PROGRAM}\r\ncontent-type: application/json\r\ncontent-length: {}",
            body.len()
        );
        let answer =
            self.ask(&format!("POST {path} HTTP/1.1\r\nhost: pdp\r\nconnection: close\r\n{head}\r\n\r\n{body}")).await;
        (status(&answer), serde_json::from_str(body_of(&answer)).unwrap_or_default())
    }

    /// The authority of the server.
    pub(crate) fn roots(&self) -> rustls::RootCertStore {
        let pem = fs::read(self.running.house.data.join("ca.pem")).expect("the authority is there");
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(&pem).expect("PEM")).expect("a certificate");
        roots
    }

    /// A request to the gateway, over TLS.
    async fn visit(&self, host: &str, request: &str) -> String {
        let config = rustls::ClientConfig::builder().with_root_certificates(self.roots()).with_no_client_auth();
        let stream = TcpStream::connect(self.running.https).await.expect("it listens");
        let name = ServerName::try_from(host.to_owned()).expect("a name");
        let tls = TlsConnector::from(Arc::new(config)).connect(name, stream).await.expect("the certificate holds");
        exchange(tls, request).await
    }

    /// Signs the first administrator in, and carries the session to the wiki's host: its cookie there, `name=value`.
    pub(crate) async fn cookie(&self) -> String {
        let (arrive, arrival) = self.code().await;
        cookie_of(&self.at_wiki(&arrive, &arrival).await)
    }

    /// A way to the wiki's host with a code that carries a session, and the cookie of the browser that asked for it there.
    pub(crate) async fn code(&self) -> (String, String) {
        let link = self.running.setup_link.clone().expect("nobody has an account yet");
        let path = link.strip_prefix(&self.running.house.origin).expect("a link to the portal");
        let form = "person=&name=";
        let head = format!("host: {PORTAL}\r\nconnection: close\r\ncontent-type: application/x-www-form-urlencoded");
        let request = format!("POST {path} HTTP/1.1\r\n{head}\r\ncontent-length: {}\r\n\r\n{form}", form.len());
        let at_portal = cookie_of(&self.visit(PORTAL, &request).await);
        let to = format!("https%3A%2F%2F{WIKI}%3A{}%2F", self.running.https.port());
        // The portal does not know yet which browser asks on the wiki's host, so it sends it there to say so.
        let onward = self.at_portal(&format!("/continue?return={to}"), &at_portal).await;
        let asks = self.at_wiki(&location(&onward, WIKI), "a=1").await;
        let arrival = cookie_of(&asks);
        let sent = self.at_portal(&location(&asks, PORTAL), &at_portal).await;
        (location(&sent, WIKI), arrival)
    }

    async fn at_portal(&self, path: &str, cookie: &str) -> String {
        self.visit(PORTAL, &get(PORTAL, path, cookie)).await
    }

    pub(crate) async fn at_wiki(&self, path: &str, cookie: &str) -> String {
        self.visit(WIKI, &get(WIKI, path, cookie)).await
    }

    fn records(&self) -> Vec<Record> {
        let entries = Entries::from_seq(&self.dir.path().join("data/ledger"), 0).expect("readable");
        entries.filter_map(Result::ok).map(|located| located.entry.record).collect()
    }

    pub(crate) fn questions(&self) -> Vec<Question> {
        self.records().into_iter().filter_map(|r| if let Record::Question(q) = r { Some(*q) } else { None }).collect()
    }

    /// Verdicts about a path of the wiki.
    pub(crate) fn accesses(&self, path: &str) -> Vec<Access> {
        let records = self.records().into_iter();
        let accesses = records.filter_map(|r| if let Record::Access(a) = r { Some(*a) } else { None });
        accesses.filter(|a| a.ask.what.path == path).collect()
    }

    pub(crate) async fn take_down(self) {
        self.running.stop().await.expect("stopped");
    }
}

pub(crate) async fn exchange(mut stream: impl AsyncRead + AsyncWrite + Unpin, request: &str) -> String {
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer);
    let _ = tokio::time::timeout(Duration::from_secs(20), read).await.expect("an answer in time");
    String::from_utf8_lossy(&answer).into_owned()
}

/// A plain request to another gateway in front of the wiki.
pub(crate) async fn through(at: SocketAddr, request: &str) -> String {
    exchange(TcpStream::connect(at).await.expect("the other gateway listens"), request).await
}

pub(crate) fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or_else(|| panic!("no status: {answer}"))
}

fn get(host: &str, path: &str, cookie: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\ncookie: {cookie}\r\n\r\n")
}

/// The path to which an answer sends a browser on a host.
fn location(answer: &str, host: &str) -> String {
    let to = header(answer, "location").unwrap_or_else(|| panic!("no way on: {answer}"));
    let path = to.split_once(&format!("//{host}")).and_then(|(_, rest)| rest.split_once('/'));
    path.map(|(_, path)| format!("/{path}")).unwrap_or_else(|| panic!("not to {host}: {to}"))
}

pub(crate) fn header(answer: &str, name: &str) -> Option<String> {
    let head = answer.split("\r\n\r\n").next()?;
    let pairs = head.lines().filter_map(|l| l.split_once(':'));
    pairs.filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.trim().to_owned()).next()
}

pub(crate) fn body_of(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").map_or("", |(_, body)| body)
}

fn cookie_of(answer: &str) -> String {
    let set = header(answer, "set-cookie").unwrap_or_else(|| panic!("no cookie: {answer}"));
    set.split(';').next().unwrap_or_default().to_owned()
}

/// An application that answers with the head of what it got.
pub(crate) async fn application() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let at = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut got = Vec::new();
                let mut byte = [0_u8; 1];
                while !got.ends_with(b"\r\n\r\n") && stream.read(&mut byte).await.is_ok_and(|n| n == 1) {
                    got.push(byte[0]);
                }
                let answer = format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", got.len());
                let _ = stream.write_all(answer.as_bytes()).await;
                let _ = stream.write_all(&got).await;
                let _ = stream.shutdown().await;
            });
        }
    });
    at
}

/// A program that runs beside the test, ended with it.
pub(crate) struct Beside(Child);

impl Drop for Beside {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts another gateway and waits until it listens.
pub(crate) async fn beside(program: &Path, arguments: &[&str], at: SocketAddr, log: &Path) -> Beside {
    let out = fs::File::create(log).expect("a log");
    let err = out.try_clone().expect("a log");
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(out).stderr(err);
    let mut child = Beside(command.spawn().unwrap_or_else(|e| panic!("cannot start {}: {e}", program.display())));
    for _ in 0..400 {
        if TcpStream::connect(at).await.is_ok() {
            return child;
        }
        let ended = child.0.try_wait().expect("it can be asked");
        assert!(ended.is_none(), "it ended: {}", fs::read_to_string(log).unwrap_or_default());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("it does not listen: {}", fs::read_to_string(log).unwrap_or_default());
}

/// A program that the test needs: in a folder of its own, or on the path.
pub(crate) fn needed(name: &str, own: &[PathBuf], remedy: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]).map(|folder| folder.join(name));
    let found = own.iter().cloned().chain(folders).find(|file| file.is_file());
    found.unwrap_or_else(|| panic!("this test needs {name}: {remedy}"))
}

pub(crate) fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}
