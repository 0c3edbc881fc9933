//! A house around the gateway: a control with real policy, an upstream that logs every byte, a client that speaks raw bytes.
#![allow(dead_code, unreachable_pub, missing_docs, reason = "each test file uses a part of it")]

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use safeconduct_gateway::*;
use safeconduct_model::{
    Access, AppId, Application, Auth, Class, Cut, DeviceFacts, Host, Mode, Principal, Reason, Record, Refusal,
    RequestId, Timestamp, Who, Why,
};
use safeconduct_policy::{PolicyText, Snapshot, Sources};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

pub const RULES: &str = r#"
    @id("staff")
    permit(principal in Group::"staff", action, resource)
    unless { context.path like "/admin*" };
"#;

/// The secret of Ada's session.
pub const ADA: &str = "cookie: sc=ada\r\n";

pub struct House {
    pub control: Arc<Fake>,
    pub gateway: Gateway,
    pub upstream: Upstream,
    pub addr: SocketAddr,
    pub stop: CancellationToken,
    pub serving: tokio::task::JoinHandle<()>,
}

pub struct Fake {
    pub now: AtomicI64,
    pub clock_ok: AtomicBool,
    pub snapshot: ArcSwap<Snapshot>,
    pub sessions: Mutex<HashMap<String, Identity>>,
    pub records: Arc<Mutex<Vec<Record>>>,
    /// What happened in which order: `durable`, and what the upstream logs.
    pub order: Arc<Mutex<Vec<String>>>,
    pub refuse_records: AtomicBool,
    pub refuse_receipts: Arc<AtomicBool>,
    pub panics: AtomicBool,
    pub durable_ms: AtomicU64,
    pub ids: AtomicU64,
    /// Called once, while somebody is being identified.
    pub meanwhile: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

pub fn identity(person: &str, device: Option<DeviceFacts>) -> Identity {
    let auth = Auth {
        session: format!("s-{person}").parse().unwrap(),
        methods: BTreeSet::new(),
        at: Timestamp::default(),
        until: Timestamp::MAX,
    };
    let groups = if person == "eve" { BTreeSet::new() } else { ["staff".parse().unwrap()].into() };
    let who = Who { principal: Principal::Person(person.parse().unwrap()), groups, auth: Some(auth) };
    Identity { who, device, why: Why::default(), lock: None, network: None, country: None }
}

pub fn application(id: &str, upstream: &str, class: Class) -> Application {
    Application {
        id: id.parse().unwrap(),
        name: id.into(),
        hosts: vec![format!("{id}.test").parse().unwrap()],
        upstream: upstream.into(),
        connector: None,
        mode: Mode::Enforce,
        class,
        assets: BTreeSet::new(),
        owner: None,
        routes: vec![],
        hardening: safeconduct_model::Hardening::default(),
    }
}

pub fn snapshot(revision: u64, rules: &str, applications: Vec<Application>) -> Snapshot {
    let policies = vec![PolicyText { file: "test.cedar".into(), text: rules.into() }];
    Snapshot::build(revision, Sources { policies, applications, assets: vec![], zone: jiff::tz::TimeZone::UTC })
        .unwrap()
}

impl Fake {
    pub fn new(snapshot: Snapshot, order: Arc<Mutex<Vec<String>>>) -> Self {
        let sessions = ["ada", "bob", "eve"].map(|p| (p.to_owned(), identity(p, None))).into();
        Self {
            now: AtomicI64::new(1_790_000_000_000),
            clock_ok: true.into(),
            snapshot: ArcSwap::from_pointee(snapshot),
            sessions: Mutex::new(sessions),
            records: Arc::default(),
            order,
            refuse_records: false.into(),
            refuse_receipts: Arc::default(),
            panics: false.into(),
            durable_ms: 0.into(),
            ids: 0.into(),
            meanwhile: Mutex::default(),
        }
    }

    pub fn records(&self) -> Vec<Record> {
        self.records.lock().unwrap().clone()
    }

    pub fn verdicts(&self) -> Vec<Access> {
        self.records().into_iter().filter_map(|r| if let Record::Access(a) = r { Some(*a) } else { None }).collect()
    }

    pub fn refusals(&self) -> Vec<Refusal> {
        self.records().into_iter().filter_map(|r| if let Record::Refusal(a) = r { Some(a) } else { None }).collect()
    }

    pub fn cuts(&self) -> Vec<Cut> {
        self.records().into_iter().filter_map(|r| if let Record::Cut(a) = r { Some(a) } else { None }).collect()
    }
}

pub struct Kept {
    order: Arc<Mutex<Vec<String>>>,
    refuse: Arc<AtomicBool>,
    durable: std::pin::Pin<Box<tokio::time::Sleep>>,
}

impl Receipt for Kept {
    fn poll_written(&mut self, _: &mut Context<'_>) -> Poll<Result<(), RecordRefused>> {
        Poll::Ready(if self.refuse.load(Ordering::SeqCst) { Err(RecordRefused("full".into())) } else { Ok(()) })
    }

    fn poll_durable(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), RecordRefused>> {
        std::task::ready!(self.durable.as_mut().poll(cx));
        let written = self.poll_written(cx);
        self.order.lock().unwrap().push("durable".into());
        written
    }
}

impl Control for Fake {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.now.load(Ordering::SeqCst))
    }
    fn clock_ok(&self) -> bool {
        self.clock_ok.load(Ordering::SeqCst)
    }
    fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }
    fn is_portal(&self, host: &Host) -> bool {
        host.as_str() == "portal.test"
    }
    fn identify(&self, credentials: &Credentials, _: &AppId, _: Timestamp) -> Identity {
        assert!(!self.panics.load(Ordering::SeqCst), "injected");
        let found = {
            let sessions = self.sessions.lock().unwrap();
            let token = credentials.token.as_ref().and_then(|t| t.session.as_str().strip_prefix("s-"));
            let cookie = credentials.cookie.as_ref().map(CookieToken::expose);
            token.or(cookie).and_then(|name| sessions.get(name).cloned())
        };
        let meanwhile = self.meanwhile.lock().unwrap().take();
        if let Some(meanwhile) = meanwhile {
            meanwhile();
        }
        found.unwrap_or_else(Identity::nobody)
    }
    fn prove_token(&self, shown: &TokenShown<'_>, _: Timestamp) -> Result<BoundToken, TokenRefused> {
        self.order.lock().unwrap().push(format!("prove {} {}", shown.method, shown.uri));
        match shown.proof {
            "good" => Ok(BoundToken { session: format!("s-{}", shown.token).parse().unwrap(), key: "k".into() }),
            _ => Err(TokenRefused("proof_time")),
        }
    }
    fn record(&self, record: Record) -> Result<Box<dyn Receipt>, RecordRefused> {
        if self.refuse_records.load(Ordering::SeqCst) {
            return Err(RecordRefused("full".into()));
        }
        self.records.lock().unwrap().push(record);
        Ok(Box::new(Kept {
            order: Arc::clone(&self.order),
            refuse: Arc::clone(&self.refuse_receipts),
            durable: Box::pin(tokio::time::sleep(Duration::from_millis(self.durable_ms.load(Ordering::SeqCst)))),
        }))
    }
    fn portal(&self, request: PortalRequest) -> BoxFuture<'static, http::Response<Body>> {
        let text = format!(
            "portal {} {} app={:?} cookie={:?} device={}",
            request.request.method(),
            request.request.uri(),
            request.app.map(|a| a.to_string()),
            request.request.headers().get("cookie").and_then(|c| c.to_str().ok()),
            request.certificate.is_some(),
        );
        async move { http::Response::new(full(text)) }.boxed()
    }
    fn sign_in_url(&self, app: &AppId, return_to: &str) -> String {
        format!("https://portal.test/sign-in?app={app}&to={return_to}")
    }
    fn denial_page(&self, page: &DenialPage) -> String {
        format!("<h1>denied {} {}</h1>", page.reason, page.path)
    }
    fn problem_page(&self, problem: &Problem) -> String {
        format!("<h1>problem {} {}</h1>", problem.status, problem.request)
    }
    fn new_request_id(&self) -> RequestId {
        format!("{:032x}", self.ids.fetch_add(1, Ordering::SeqCst)).parse().unwrap()
    }
}

/// An upstream that logs every byte.
#[derive(Clone)]
pub struct Upstream {
    pub addr: SocketAddr,
    pub bytes: Arc<Mutex<Vec<u8>>>,
    pub connections: Arc<AtomicU64>,
    pub closed: Arc<AtomicU64>,
}

impl Upstream {
    pub async fn start(order: Arc<Mutex<Vec<String>>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let this = Self {
            addr: listener.local_addr().unwrap(),
            bytes: Arc::default(),
            connections: Arc::default(),
            closed: Arc::default(),
        };
        let up = this.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                up.connections.fetch_add(1, Ordering::SeqCst);
                let (up, order) = (up.clone(), Arc::clone(&order));
                tokio::spawn(async move {
                    up.talk(stream, order).await;
                    up.closed.fetch_add(1, Ordering::SeqCst);
                });
            }
        });
        this
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    pub fn log(&self) -> String {
        String::from_utf8_lossy(&self.bytes.lock().unwrap()).into_owned()
    }

    /// The request targets that arrived.
    pub fn targets(&self) -> Vec<String> {
        self.log()
            .lines()
            .filter_map(|l| l.strip_suffix(" HTTP/1.1")?.split_once(' ').map(|(_, t)| t.to_owned()))
            .collect()
    }

    async fn talk(&self, mut stream: TcpStream, order: Arc<Mutex<Vec<String>>>) {
        let mut buffer = Vec::new();
        loop {
            let head = loop {
                if let Some(end) = buffer.windows(4).position(|w| w == b"\r\n\r\n") {
                    break String::from_utf8_lossy(&buffer.drain(..end + 4).collect::<Vec<_>>()).to_ascii_lowercase();
                }
                if !self.read(&mut stream, &mut buffer, &order).await {
                    return;
                }
            };
            let body = if let Some((_, rest)) = head.split_once("content-length: ") {
                let n: usize = rest.split("\r\n").next().unwrap().parse().unwrap();
                while buffer.len() < n {
                    if !self.read(&mut stream, &mut buffer, &order).await {
                        return;
                    }
                }
                buffer.drain(..n).collect::<Vec<_>>()
            } else if head.contains("transfer-encoding: chunked") {
                let end = loop {
                    let at = buffer.windows(5).position(|w| w == b"0\r\n\r\n").map(|n| n + 5);
                    let with_trailers =
                        buffer.windows(3).position(|w| w == b"0\r\n").filter(|_| buffer.ends_with(b"\r\n\r\n"));
                    match (at, with_trailers) {
                        (Some(at), _) => break at,
                        (None, Some(_)) => break buffer.len(),
                        _ => {}
                    }
                    if !self.read(&mut stream, &mut buffer, &order).await {
                        return;
                    }
                };
                buffer.drain(..end).collect::<Vec<_>>()
            } else {
                Vec::new()
            };
            let target = head.split(' ').nth(1).unwrap_or_default().to_owned();
            match target.as_str() {
                "/ws" => return self.websocket(stream, &head).await,
                "/fake-upgrade" => {
                    let _ = stream
                        .write_all(
                            b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
                        )
                        .await;
                    return;
                }
                "/events" => return Self::events(stream).await,
                "/hang" => tokio::time::sleep(Duration::from_secs(60)).await,
                "/head" => {
                    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\n").await.unwrap();
                }
                "/big-head" => {
                    let head = format!("HTTP/1.1 200 OK\r\nx: {}\r\ncontent-length: 0\r\n\r\n", "x".repeat(20_000));
                    let _ = stream.write_all(head.as_bytes()).await;
                }
                "/once" => {
                    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
                    return;
                }
                "/none" => {
                    stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
                }
                "/drop" => return,
                "/echo" => {
                    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
                    stream.write_all(head.as_bytes()).await.unwrap();
                    stream.write_all(&body).await.unwrap();
                }
                "/negotiate" => {
                    stream
                        .write_all(b"HTTP/1.1 401 X\r\nwww-authenticate: Negotiate\r\ncontent-length: 0\r\n\r\n")
                        .await
                        .unwrap();
                }
                "/loud" => {
                    let answer = b"HTTP/1.1 200 OK\r\nx-safeconduct-assertion: forged\r\nconnection: x-hop\r\nx-hop: 1\r\nalt-svc: h3\r\nset-cookie: sc=stolen\r\nset-cookie: own=1\r\ncontent-length: 2\r\n\r\nok";
                    stream.write_all(answer).await.unwrap();
                }
                _ => {
                    if stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.is_err() {
                        return;
                    }
                }
            }
        }
    }

    async fn read(&self, stream: &mut TcpStream, buffer: &mut Vec<u8>, order: &Mutex<Vec<String>>) -> bool {
        let mut space = [0; 4096];
        let n = stream.read(&mut space).await.unwrap_or(0);
        if n > 0 {
            order.lock().unwrap().push("byte".into());
        }
        self.bytes.lock().unwrap().extend(&space[..n]);
        buffer.extend(&space[..n]);
        n > 0
    }

    /// Agrees, then ticks and logs what comes.
    async fn websocket(&self, mut stream: TcpStream, head: &str) {
        assert!(head.contains("upgrade: websocket"), "{head}");
        let agreed = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: x\r\n\r\n";
        stream.write_all(agreed.as_bytes()).await.unwrap();
        let (mut read, mut write) = stream.split();
        let ticking = async {
            loop {
                if write.write_all(b"\x81\x04tick").await.is_err() {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let reading = async {
            let mut space = [0; 1024];
            while let Ok(n @ 1..) = read.read(&mut space).await {
                self.bytes.lock().unwrap().extend(&space[..n]);
            }
        };
        tokio::select! { () = ticking => {}, () = reading => {} }
    }

    async fn events(mut stream: TcpStream) {
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
        stream.write_all(head.as_bytes()).await.unwrap();
        while stream.write_all(b"a\r\ndata: hi\n\n\r\n").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

pub struct Setup {
    pub limits: Limits,
    pub hops: Hops,
    pub spans: Option<trace::Spans>,
    pub class: Class,
    pub rules: String,
    pub hardening: safeconduct_model::Hardening,
    pub tls: Option<Arc<rustls::ServerConfig>>,
    pub upstream_tls: Option<Arc<rustls::ClientConfig>>,
    /// More applications.
    pub more: Vec<Application>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            hops: Hops::default(),
            spans: None,
            class: Class::Moderate,
            rules: RULES.into(),
            hardening: safeconduct_model::Hardening::default(),
            tls: None,
            upstream_tls: None,
            more: Vec::new(),
        }
    }
}

/// Applications `wiki` and `shop` on one upstream, `down` on none.
pub async fn house(setup: Setup) -> House {
    let order = Arc::<Mutex<Vec<String>>>::default();
    let upstream = Upstream::start(Arc::clone(&order)).await;
    let mut apps = vec![
        application("wiki", &upstream.url(), setup.class),
        application("shop", &upstream.url(), setup.class),
        application("down", "http://127.0.0.1:1", setup.class),
    ];
    apps.extend(setup.more);
    apps.iter_mut().for_each(|a| a.hardening = setup.hardening);
    let control = Arc::new(Fake::new(snapshot(1, &setup.rules, apps), order));
    let config = GatewayConfig {
        limits: setup.limits,
        threads: 1,
        hops: setup.hops,
        spans: setup.spans,
        signer: Some(Signer::new("https://portal.test", &assertion_key()).unwrap()),
        cookies: vec!["sc".into(), "sc-state".into()],
        sites: None,
        upstream_tls: setup.upstream_tls,
    };
    let gateway = Gateway::new(config, Arc::clone(&control) as Arc<dyn Control>);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let (serving, shutdown) = (gateway.clone(), stop.clone());
    let serving = tokio::spawn(async move { serving.serve(listener, setup.tls, shutdown).await });
    House { control, gateway, upstream, addr, stop, serving }
}

pub fn assertion_key() -> String {
    rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap().serialize_pem()
}

impl House {
    pub async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.addr).await.unwrap()
    }

    /// Sends raw bytes, then reads until the gateway closes (or nothing comes for a while).
    pub async fn raw(&self, bytes: impl AsRef<[u8]>) -> Heard {
        let mut stream = self.connect().await;
        stream.write_all(bytes.as_ref()).await.unwrap();
        listen(&mut stream).await
    }

    /// A `GET` by Ada that closes the connection afterwards.
    pub async fn get(&self, path: &str, fields: &str) -> Heard {
        self.raw(format!("GET {path} HTTP/1.1\r\nhost: wiki.test\r\n{ADA}connection: close\r\n{fields}\r\n")).await
    }

    /// Waits until `condition` holds, for a second at most.
    pub async fn until(&self, condition: impl Fn(&Self) -> bool) {
        let started = Instant::now();
        while !condition(self) {
            assert!(
                started.elapsed() < Duration::from_secs(2),
                "it never held; records: {:#?}",
                self.control.records()
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    pub fn publish(&self, rules: &str) {
        let old = self.control.snapshot();
        let apps = old.sources().applications.clone();
        self.control.snapshot.store(Arc::new(snapshot(old.revision() + 1, rules, apps)));
    }
}

/// What a client heard.
#[derive(Debug)]
pub struct Heard {
    pub text: String,
    pub closed: bool,
}

impl Heard {
    pub fn status(&self) -> u16 {
        self.text.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0)
    }
    pub fn answers(&self) -> usize {
        self.text.matches("HTTP/1.1 ").count()
    }
    pub fn field(&self, name: &str) -> Option<String> {
        let head = self.text.split("\r\n\r\n").next()?;
        head.lines().find_map(|l| l.split_once(": ").filter(|(n, _)| *n == name).map(|(_, v)| v.to_owned()))
    }
    pub fn reason(&self) -> Option<Reason> {
        let body = self.text.split_once("\r\n\r\n")?.1;
        let json: serde_json::Value = serde_json::from_str(body).ok()?;
        Reason::from_code(json["error"]["code"].as_str()?)
    }
}

pub async fn listen(stream: &mut TcpStream) -> Heard {
    let mut all = Vec::new();
    let mut space = [0; 8192];
    loop {
        match tokio::time::timeout(Duration::from_secs(2), stream.read(&mut space)).await {
            Ok(Ok(0) | Err(_)) => return Heard { text: String::from_utf8_lossy(&all).into_owned(), closed: true },
            Ok(Ok(n)) => all.extend(&space[..n]),
            Err(_) => return Heard { text: String::from_utf8_lossy(&all).into_owned(), closed: false },
        }
    }
}

/// Reads until `text` has come.
pub async fn hear(stream: &mut TcpStream, text: &str) -> String {
    let mut all = Vec::new();
    let mut space = [0; 8192];
    while !String::from_utf8_lossy(&all).contains(text) {
        let n = tokio::time::timeout(Duration::from_secs(2), stream.read(&mut space)).await.expect("in time").unwrap();
        assert!(n > 0, "closed before {text:?}: {}", String::from_utf8_lossy(&all));
        all.extend(&space[..n]);
    }
    String::from_utf8_lossy(&all).into_owned()
}

pub fn loopback() -> IpAddr {
    [127, 0, 0, 1].into()
}
