//! What the tests stand on: a configuration with free ports, a session that is kept, an application, a client that keeps its
//! connection.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use safeconduct_access::{Sessions, TokenHash};
use safeconduct_authn::one_time::Token;
use safeconduct_config::{Config, Texts, starter};
use safeconduct_model::Method;
use safeconduct_server::clock::{self, Clock};
use safeconduct_server::{Running, Start, StartError, files, start};
use safeconduct_store::{Control, DocChange};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

pub(crate) const DOMAIN: &str = "acme.localhost";

/// A configuration on free ports of loopback, with plain HTTP and probes; `more` is added to the main file.
pub(crate) fn configured(more: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a temporary folder");
    files::init(dir.path(), &starter(DOMAIN)).expect("written");
    edit(dir.path(), "safeconduct.toml", |text| {
        text.replace("health = \"127.0.0.1:9443\"", "health = \"127.0.0.1:0\"\nplain = \"127.0.0.1:0\"") + more
    });
    dir
}

pub(crate) fn edit(dir: &Path, file: &str, change: impl FnOnce(String) -> String) {
    let path = dir.join(file);
    let text = fs::read_to_string(&path).expect("readable");
    files::write_whole(&path, &change(text)).expect("written");
}

pub(crate) async fn try_run(dir: &Path) -> Result<Running, StartError> {
    start(Start { dir: dir.to_owned(), clock: Clock::system(), https: Some(([127, 0, 0, 1], 0).into()) }).await
}

pub(crate) async fn run(dir: &Path) -> Running {
    try_run(dir).await.unwrap_or_else(|error| panic!("{error}"))
}

/// Keeps a session of the administrator for the wiki, as one that was signed in before the start; its cookie.
pub(crate) async fn session(dir: &Path) -> String {
    let config = Config::check(&Texts::from_files(starter(DOMAIN))).expect("the starter holds");
    let token = Token::from_random([7; 32]);
    let mut sessions = Sessions::new(config.settings.lifetimes);
    let (session, _) = sessions
        .begin(
            "s1".parse().expect("an id"),
            "admin".parse().expect("an id"),
            [Method::Passkey].into(),
            format!("wiki.{DOMAIN}").parse().expect("a host"),
            TokenHash::of(token.reveal().as_bytes()),
            IpAddr::from([127, 0, 0, 1]),
            clock::system(),
        )
        .expect("the first session");
    fs::create_dir_all(dir.join("data")).expect("made");
    let control = Control::open(&dir.join("data/control.db")).await.expect("opened");
    let body = Some(serde_json::to_value(&session).expect("a session is JSON"));
    let change = DocChange { kind: "session".to_owned(), id: "s1".to_owned(), body };
    control.append(None, &[change], clock::system()).await.expect("kept");
    control.close().await;
    format!("{}={}", safeconduct_api::Cookie::SESSION, token.reveal())
}

/// An application that answers every request with its path, until the test ends; `/hang` is never answered.
pub(crate) async fn application() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let at = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut stream = BufReader::new(stream);
                while let Some((first, _)) = head(&mut stream).await {
                    let body = first.split(' ').nth(1).unwrap_or_default().to_owned();
                    if body == "/hang" {
                        std::future::pending::<()>().await;
                    }
                    let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
                    if stream.get_mut().write_all(answer.as_bytes()).await.is_err() {
                        break;
                    }
                }
            });
        }
    });
    at
}

/// The first line and the other lines of a head; nothing if the connection ended.
async fn head<S: tokio::io::AsyncRead + Unpin>(stream: &mut BufReader<S>) -> Option<(String, Vec<String>)> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let first = lines.first()?.clone();
    Some((first, lines.split_off(1)))
}

/// A client that keeps its connection, as long as the server does.
pub(crate) struct Client {
    at: SocketAddr,
    stream: Option<BufReader<TcpStream>>,
    /// How many connections it opened.
    pub(crate) opened: usize,
}

impl Client {
    pub(crate) fn new(at: SocketAddr) -> Self {
        Self { at, stream: None, opened: 0 }
    }

    /// The status and the body of a `GET`. An answer that says `close` is believed; any other end is an error.
    pub(crate) async fn get(&mut self, host: &str, path: &str, fields: &str) -> Result<(u16, String), String> {
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => {
                self.opened += 1;
                BufReader::new(TcpStream::connect(self.at).await.map_err(|e| format!("not connected: {e}"))?)
            }
        };
        let request = format!("GET {path} HTTP/1.1\r\nhost: {host}\r\n{fields}\r\n");
        stream.get_mut().write_all(request.as_bytes()).await.map_err(|e| format!("not sent: {e}"))?;
        let (first, fields) = head(&mut stream).await.ok_or("no answer")?;
        let status = first.split(' ').nth(1).and_then(|s| s.parse().ok()).ok_or(first)?;
        let field = |name: &str| fields.iter().find_map(|f| f.to_lowercase().strip_prefix(name).map(str::to_owned));
        let mut body = Vec::new();
        match field("content-length: ").and_then(|n| n.trim().parse().ok()) {
            Some(length) => {
                body.resize(length, 0);
                stream.read_exact(&mut body).await.map_err(|e| format!("half an answer: {e}"))?;
            }
            None => {
                stream.read_to_end(&mut body).await.map_err(|e| format!("half an answer: {e}"))?;
                return Ok((status, String::from_utf8_lossy(&body).into_owned()));
            }
        }
        if !field("connection: ").is_some_and(|c| c.contains("close")) {
            self.stream = Some(stream);
        }
        Ok((status, String::from_utf8_lossy(&body).into_owned()))
    }
}

/// One request of its own.
pub(crate) async fn get(at: SocketAddr, path: &str) -> Result<(u16, String), String> {
    Client::new(at).get("probe", path, "connection: close\r\n").await
}
