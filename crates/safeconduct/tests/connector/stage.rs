//! A house with two sites, applications that only connectors reach, and people with browsers.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::SinkExt;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Message;

use crate::browser::{Browser, Net, Page};

const DOMAIN: &str = "acme.localhost";

/// Everything of one test.
pub(crate) struct Stage {
    pub(crate) application: Application,
    pub(crate) feed: Feed,
    dir: tempfile::TempDir,
    net: Net,
    portal: String,
    serial: AtomicUsize,
    _up: Process,
}

impl Stage {
    pub(crate) async fn start() -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let (application, feed, safe) = (Application::start().await, Feed::start().await, Safe::start().await);
        fs::write(dir.path().join("site-ca.pem"), &safe.authority).expect("written");
        let config = dir.path().join("house");
        for (file, text) in [
            ("safeconduct.toml", MAIN.to_owned()),
            ("estate/people.toml", PEOPLE.to_owned()),
            (
                "estate/surface.toml",
                SURFACE
                    .replace("WIKI", &application.at.to_string())
                    .replace("FEED", &feed.at.to_string())
                    .replace("SAFEPORT", &safe.at.port().to_string())
                    .replace("SAFE", &safe.at.to_string()),
            ),
            ("policies/rules.cedar", RULES.to_owned()),
        ] {
            let path = config.join(file);
            fs::create_dir_all(path.parent().expect("it has a folder")).expect("made");
            fs::write(path, text).expect("written");
        }
        let mut up = Process::start(program().args(["up", "--config"]).arg(&config));
        let portal = up.line(|l| l.strip_prefix("The portal is at ").map(str::to_owned)).await;
        let port: u16 = portal.rsplit(':').next().and_then(|p| p.parse().ok()).expect("a port");
        // The last line that is always there comes after the socket.
        up.line(|l| l.starts_with("It listens on").then_some(())).await;
        let net = Net::new(&config.join("data/ca.pem"), ([127, 0, 0, 1], port).into()).expect("a net");
        Self { application, feed, dir, net, portal, serial: AtomicUsize::new(0), _up: up }
    }

    /// A number that no load had before.
    pub(crate) fn serial(&self) -> usize {
        self.serial.fetch_add(1, Ordering::SeqCst)
    }

    /// The origin of an application.
    pub(crate) fn address(&self, app: &str) -> String {
        format!("https://{app}.{DOMAIN}:{}", self.net.port())
    }

    /// Runs the program on the configuration of the house: its exit code and all that it says.
    pub(crate) fn safeconduct(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let config = self.dir.path().join("house");
        let output = program().args(arguments).arg("--config").arg(config).output().expect("it runs");
        let out = String::from_utf8_lossy(&output.stdout).into_owned();
        let told = if output.status.success() { out } else { out + &String::from_utf8_lossy(&output.stderr) };
        (output.status.code(), told)
    }

    /// Browsers that are signed in at the wiki.
    pub(crate) async fn browsers(&self, n: usize) -> Vec<Browser> {
        let mut browsers = Vec::new();
        for _ in 0..n {
            browsers.push(self.browser("admin").await);
        }
        assert!(self.portal.starts_with("https://portal."));
        browsers
    }

    /// A browser of a person, signed in at the wiki.
    pub(crate) async fn browser(&self, person: &str) -> Browser {
        let (browser, page) = self.signs_in(person).await;
        assert!(page.status.is_success(), "{} {}", page.status, page.body);
        browser.open(&format!("{}/", self.address("wiki"))).await.expect("the session arrives");
        browser
    }

    /// A browser with which a person uses a one-time link, and the page that comes of it.
    pub(crate) async fn signs_in(&self, person: &str) -> (Browser, Page) {
        let link = self.safeconduct(&["person", "setup-link", person]).1.trim().to_owned();
        let browser = Browser::new(self.net.clone());
        let page = browser.open(&link).await.expect("the link opens");
        let fields = [("person", person), ("name", person), ("csrf", page.token())];
        let page = browser.submit(&link, &fields).await.expect("the form is taken");
        (browser, page)
    }

    /// The folder of the configuration.
    pub(crate) fn config(&self) -> PathBuf {
        self.dir.path().join("house")
    }

    pub(crate) fn token(&self, site: &str) -> String {
        let (code, token) = self.safeconduct(&["connector", "token", site]);
        assert_eq!(code, Some(0), "{token}");
        token.trim().to_owned()
    }

    /// What is listed of a connector.
    pub(crate) fn listed(&self, name: &str) -> Option<Value> {
        let (_, rows) = self.safeconduct(&["connector", "list", "--json"]);
        let rows: Value = serde_json::from_str(&rows).ok()?;
        rows.as_array()?.iter().find(|r| r["connector"] == name).cloned()
    }

    fn state(&self, name: &str) -> PathBuf {
        self.dir.path().join(format!("state-{name}"))
    }

    fn command(&self, name: &str, site: &str, state: &str) -> Command {
        let mut command = program();
        let gateway = format!("https://127.0.0.1:{}", self.net.port());
        command.args(["connector", "--gateway", &gateway, "--site", site, "--name", name, "--state"]);
        command.arg(self.state(state)).arg("--upstream-ca").arg(self.dir.path().join("site-ca.pem"));
        command
    }

    /// A connector of Berlin that joins with a token of its own, linked.
    pub(crate) async fn connector(&self, name: &str) -> Process {
        self.joined(name, "berlin", &self.token("berlin")).await
    }

    /// A connector that joins with this token, linked.
    pub(crate) async fn joined(&self, name: &str, site: &str, token: &str) -> Process {
        let mut process = Process::start(self.command(name, site, name).args(["--join", token]));
        process.line(|l| l.starts_with("linked to").then_some(())).await;
        process
    }

    /// A connector of Berlin that has joined before, linked.
    pub(crate) async fn again(&self, name: &str) -> Process {
        let mut process = Process::start(&mut self.command(name, "berlin", name));
        process.line(|l| l.starts_with("linked to").then_some(())).await;
        process
    }

    /// A connector that is not let in: its exit code and what it says.
    pub(crate) async fn refused(&self, name: &str, site: &str, token: &str) -> (Option<i32>, String) {
        self.ended(self.command(name, site, name).args(["--join", token])).await
    }

    /// Another machine that takes the name of a connector.
    pub(crate) async fn twin(&self, name: &str, token: &str) -> (Option<i32>, String) {
        self.ended(self.command(name, "berlin", &format!("{name}-twin")).args(["--join", token])).await
    }

    async fn ended(&self, command: &mut Command) -> (Option<i32>, String) {
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it runs");
        let waited = tokio::task::spawn_blocking(move || child.wait_with_output());
        let output = tokio::time::timeout(Duration::from_secs(30), waited).await;
        let output = output.expect("it ends").expect("joined").expect("waited");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_safeconduct"))
}

/// A program that runs beside the test and ends with it.
pub(crate) struct Process {
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Process {
    fn start(command: &mut Command) -> Self {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("it starts");
        let out = child.stdout.take().expect("it is piped");
        let lines = Arc::<Mutex<Vec<String>>>::default();
        let kept = Arc::clone(&lines);
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                kept.lock().expect("nobody panicked").push(line);
            }
        });
        Self { child, lines }
    }

    async fn line<T>(&mut self, read: impl Fn(&str) -> Option<T>) -> T {
        for _ in 0..600 {
            if let Some(found) = self.lines.lock().expect("nobody panicked").iter().find_map(|l| read(l)) {
                return found;
            }
            if let Some(status) = self.child.try_wait().expect("it can be looked at") {
                panic!("it ended ({status}) after: {}", self.lines.lock().expect("nobody panicked").join(" | "));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("it did not say so within 30 seconds: {}", self.lines.lock().expect("nobody panicked").join(" | "));
    }

    /// Dies without a word.
    pub(crate) fn kill_now(mut self) {
        self.child.kill().expect("it was alive");
        let _ = self.child.wait();
    }

    /// Asks it to stop, and says whether it ended well.
    pub(crate) async fn leave(mut self) -> bool {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().expect("kill").success());
        let waited = tokio::task::spawn_blocking(move || self.child.wait());
        tokio::time::timeout(Duration::from_secs(45), waited)
            .await
            .expect("it ends")
            .expect("joined")
            .expect("waited")
            .success()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until something is so; at most ten seconds.
pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..200 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{what}: not within ten seconds");
}

/// An application that answers `ok`, and remembers every path.
pub(crate) struct Application {
    at: SocketAddr,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Application {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let at = listener.local_addr().expect("an address");
        let seen = Arc::<Mutex<Vec<String>>>::default();
        let kept = Arc::clone(&seen);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(Self::talk(stream, Arc::clone(&kept)));
            }
        });
        Self { at, seen }
    }

    async fn talk(mut stream: TcpStream, seen: Arc<Mutex<Vec<String>>>) {
        let mut buffer = Vec::new();
        loop {
            let end = loop {
                if let Some(end) = buffer.windows(4).position(|w| w == b"\r\n\r\n") {
                    break end + 4;
                }
                if !matches!(stream.read_buf(&mut buffer).await, Ok(1..)) {
                    return;
                }
            };
            let head = String::from_utf8_lossy(&buffer[..end]).into_owned();
            buffer.drain(..end);
            seen.lock().expect("nobody panicked").extend(head.split(' ').nth(1).map(str::to_owned));
            // A request is under way for a while, so that a death finds some.
            tokio::time::sleep(Duration::from_millis(5)).await;
            if stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.is_err() {
                return;
            }
        }
    }

    pub(crate) fn seen(&self) -> Vec<String> {
        self.seen.lock().expect("nobody panicked").clone()
    }
}

/// An application that speaks over WebSockets.
pub(crate) struct Feed {
    at: SocketAddr,
    open: Arc<AtomicUsize>,
}

impl Feed {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let this = Self { at: listener.local_addr().expect("an address"), open: Arc::default() };
        let open = Arc::clone(&this.open);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let open = Arc::clone(&open);
                tokio::spawn(async move {
                    let Ok(mut socket) = tokio_tungstenite::accept_async(stream).await else { return };
                    open.fetch_add(1, Ordering::SeqCst);
                    while socket.send(Message::text("tick")).await.is_ok() {
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                    open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        this
    }

    pub(crate) fn open(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }
}

/// An application over TLS and HTTP/2, with a certificate of an authority of its own.
struct Safe {
    at: SocketAddr,
    /// What its certificate is signed by, PEM.
    authority: String,
}

impl Safe {
    async fn start() -> Self {
        let key = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
        let private = rustls::pki_types::PrivateKeyDer::Pkcs8(key.signing_key.serialize_der().into());
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let builder = builder.expect("versions").with_no_client_auth();
        let mut config = builder.with_single_cert(vec![key.cert.der().clone()], private).expect("a server");
        config.alpn_protocols = vec![b"h2".to_vec()];
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let this = Self { at: listener.local_addr().expect("an address"), authority: key.cert.pem() };
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let Ok(mut connection) = h2::server::handshake(stream).await else { return };
                    while let Some(Ok((request, mut answer))) = connection.accept().await {
                        let said = format!("{} over {:?}", request.uri().path(), request.version());
                        let Ok(mut body) = answer.send_response(http::Response::new(()), false) else { return };
                        let _ = body.send_data(said.into_bytes().into(), true);
                    }
                });
            }
        });
        this
    }
}

const MAIN: &str = r#"organisation = "Acme"
zone = "Europe/Berlin"
operators = "operators"

[portal]
host = "portal.acme.localhost"

[listen]
https = "127.0.0.1:0"
"#;

const PEOPLE: &str = r#"[[group]]
id = "operators"

[[person]]
id = "admin"
groups = ["operators"]

[[group]]
id = "staff"

[[person]]
id = "ada"
groups = ["staff"]
"#;

const SURFACE: &str = r#"[[site]]
id = "berlin"
name = "The cellar in Berlin"
special = ["WIKI", "FEED", "SAFE"]

[[site]]
id = "paris"

[[application]]
id = "wiki"
hosts = ["wiki.acme.localhost"]
upstream = "http://WIKI"
connector = "berlin"

[[application]]
id = "feed"
hosts = ["feed.acme.localhost"]
upstream = "http://FEED"
connector = "berlin"

[[application]]
id = "safe"
hosts = ["safe.acme.localhost"]
upstream = "h2://localhost:SAFEPORT"
connector = "berlin"
"#;

const RULES: &str = r#"@id("all")
@owner("admin")
@why("Daily work")
permit(principal in Group::"operators", action, resource);

@id("staff")
@owner("admin")
@why("Daily work")
permit(principal in Group::"staff", action in [Action::"read", Action::"write"], resource)
unless { resource == Application::"safeconduct" };
"#;
