//! A house in memory, a listener before it, an application that echoes.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration as Span;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, SanType, SigningKey,
};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use safeconduct_connector::house::{Event, House, Member, Sites, What};
use safeconduct_connector::site::{Connector, Settings, StartError};
use safeconduct_connector::words::{Admitted, DOOR_NAME, Join, NotAdmitted, Renew};
use safeconduct_connector::{JoinToken, Warrant};
use safeconduct_model::{Application, Class, ConnectorName, Hardening, Mode, Site, Timestamp};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::LazyConfigAcceptor;
use tokio_util::sync::CancellationToken;

/// The time by which TLS judges certificates.
pub(crate) fn now() -> Timestamp {
    let seconds = rustls::pki_types::UnixTime::now().as_secs();
    Timestamp::from_millis(i64::try_from(seconds).unwrap() * 1_000)
}

pub(crate) struct Roll {
    key: KeyPair,
    certificate: CertificateDer<'static>,
    pub(crate) tokens: Mutex<HashMap<String, String>>,
    pub(crate) members: Mutex<HashMap<ConnectorName, Vec<u8>>>,
    pub(crate) revoked: Mutex<HashSet<ConnectorName>>,
    pub(crate) events: Mutex<Vec<(String, What)>>,
    pub(crate) life_s: AtomicI64,
    pub(crate) renewals: AtomicUsize,
    pub(crate) site: Mutex<Site>,
    serial: AtomicU64,
    /// Warrants are signed for this address instead of the application's.
    pub(crate) lie: Mutex<Option<String>>,
}

impl Roll {
    fn new(special: &[SocketAddr]) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let certificate = params.self_signed(&key).unwrap().der().clone();
        let special = special.iter().map(|s| s.to_string().parse().unwrap()).collect();
        Self {
            key,
            certificate,
            tokens: Mutex::default(),
            members: Mutex::default(),
            revoked: Mutex::default(),
            events: Mutex::default(),
            life_s: 3_600.into(),
            renewals: 0.into(),
            site: Mutex::new(Site { id: "berlin".parse().unwrap(), name: "Berlin".into(), special }),
            serial: 1.into(),
            lie: Mutex::default(),
        }
    }

    fn issuer(&self) -> Issuer<'_, &KeyPair> {
        Issuer::from_ca_cert_der(&self.certificate, &self.key).unwrap()
    }

    fn params(&self, uri: &str, life_s: i64) -> CertificateParams {
        let mut params = CertificateParams::default();
        params.subject_alt_names.push(SanType::URI(uri.to_owned().try_into().unwrap()));
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.serial_number = Some(self.serial.fetch_add(1, Ordering::SeqCst).into());
        let at = |ms: i64| rcgen::date_time_ymd(1970, 1, 1) + Span::from_millis(ms.unsigned_abs());
        params.not_before = at(now().millis() - 2_000 - if life_s < 0 { 3_600_000 } else { 0 });
        params.not_after = at(now().millis() + life_s * 1_000);
        params
    }

    pub(crate) fn issue(&self, name: &ConnectorName, request: &str, life_s: i64) -> (String, CertificateDer<'static>) {
        let mut request = CertificateSigningRequestParams::from_pem(request).unwrap();
        request.params = self.params(&name.uri(), life_s);
        let certificate = request.signed_by(&self.issuer()).unwrap();
        (certificate.pem(), certificate.der().clone())
    }

    /// A leaf of this authority with any URI, and its key.
    pub(crate) fn leaf(&self, uri: &str, life_s: i64) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
        let key = KeyPair::generate().unwrap();
        let certificate = self.params(uri, life_s).signed_by(&key, &self.issuer()).unwrap();
        (certificate.der().clone(), PrivateKeyDer::try_from(key.serialize_der()).unwrap())
    }

    pub(crate) fn token(&self, secret: &str) -> JoinToken {
        self.tokens.lock().unwrap().insert(secret.into(), "berlin".into());
        JoinToken::new(secret, Sha256::digest(&self.certificate).into())
    }

    pub(crate) fn said(&self, what: What) -> usize {
        self.events.lock().unwrap().iter().filter(|(_, w)| *w == what).count()
    }

    fn public_key(leaf: &[u8]) -> Option<(ConnectorName, Vec<u8>, Timestamp)> {
        use x509_parser::prelude::FromDer;
        let (_, c) = x509_parser::certificate::X509Certificate::from_der(leaf).ok()?;
        let names = c.subject_alternative_name().ok()??;
        let [x509_parser::extensions::GeneralName::URI(uri)] = names.value.general_names.as_slice() else {
            return None;
        };
        let until = Timestamp::from_millis(c.validity().not_after.timestamp() * 1_000);
        Some((ConnectorName::from_uri(uri)?, c.public_key().raw.to_vec(), until))
    }
}

impl House for Roll {
    fn now(&self) -> Timestamp {
        now()
    }
    fn authority(&self) -> CertificateDer<'static> {
        self.certificate.clone()
    }
    fn door_key(&self) -> Option<Arc<CertifiedKey>> {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![DOOR_NAME.to_owned()]).unwrap();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let leaf = params.signed_by(&key, &self.issuer()).unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let signer = aws_lc_rs::sign::any_supported_type(&key).unwrap();
        Some(Arc::new(CertifiedKey::new(vec![leaf.der().clone(), self.certificate.clone()], signer)))
    }
    fn member(&self, leaf: &[u8]) -> Option<Member> {
        let (name, key, until) = Self::public_key(leaf)?;
        let known = self.members.lock().unwrap().get(&name) == Some(&key);
        let holds = known && !self.revoked.lock().unwrap().contains(&name) && now() < until;
        holds.then_some(Member { name, until })
    }
    fn redeem(&self, join: Join, _: SocketAddr) -> BoxFuture<'_, Result<Admitted, NotAdmitted>> {
        async move {
            let site = self.tokens.lock().unwrap().remove(&join.token);
            if site.as_deref() != Some(join.name.site.as_str()) {
                return Err(NotAdmitted { words: "the token does not count".into() });
            }
            let (pem, der) = self.issue(&join.name, &join.request, self.life_s.load(Ordering::SeqCst));
            self.members.lock().unwrap().insert(join.name, Self::public_key(&der).unwrap().1);
            Ok(Admitted { certificate: pem })
        }
        .boxed()
    }
    fn renew(&self, member: Member, renew: Renew) -> BoxFuture<'_, Result<Admitted, NotAdmitted>> {
        async move {
            self.renewals.fetch_add(1, Ordering::SeqCst);
            let (pem, _) = self.issue(&member.name, &renew.request, self.life_s.load(Ordering::SeqCst));
            Ok(Admitted { certificate: pem })
        }
        .boxed()
    }
    fn warrant(&self, app: &Application) -> Option<Arc<str>> {
        let site = self.site.lock().unwrap().clone();
        let mut warrant = Warrant::of(app, &site, now())?;
        if let Some(at) = self.lie.lock().unwrap().clone() {
            warrant.at = at;
        }
        Some(warrant.seal(|text| self.key.sign(text)).unwrap().into())
    }
    fn happened(&self, event: &Event) {
        self.events.lock().unwrap().push((event.name.to_string(), event.what));
    }
}

/// A gateway with its sites.
pub(crate) struct Gateway {
    pub(crate) roll: Arc<Roll>,
    pub(crate) sites: Arc<Sites>,
    pub(crate) at: SocketAddr,
    /// Whether new connections are taken at all.
    pub(crate) open: Arc<AtomicBool>,
    stop: CancellationToken,
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Gateway {
    pub(crate) async fn start(special: &[SocketAddr]) -> Self {
        let roll = Arc::new(Roll::new(special));
        let sites = Sites::new(Arc::clone(&roll) as Arc<dyn House>, 7).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let (stop, open) = (CancellationToken::new(), Arc::new(AtomicBool::new(true)));
        {
            let (sites, stop, open) = (Arc::clone(&sites), stop.clone(), Arc::clone(&open));
            tokio::spawn(async move {
                loop {
                    let (stream, peer) = tokio::select! {
                        accepted = listener.accept() => accepted.unwrap(),
                        () = stop.cancelled() => return,
                    };
                    if !open.load(Ordering::SeqCst) {
                        continue;
                    }
                    let sites = Arc::clone(&sites);
                    tokio::spawn(async move {
                        let Ok(hello) = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), stream).await
                        else {
                            return;
                        };
                        let config = sites.tls(hello.client_hello().alpn().into_iter().flatten());
                        let Some(config) = config else { return };
                        if let Ok(stream) = hello.into_stream(config).await {
                            sites.take(stream, peer);
                        }
                    });
                }
            });
        }
        let (reviewed, ended) = (Arc::clone(&sites), stop.clone());
        tokio::spawn(async move { reviewed.look_after(ended).await });
        Self { roll, sites, at, open, stop }
    }

    pub(crate) fn settings(&self, dir: &tempfile::TempDir, name: &str, join: Option<JoinToken>) -> Settings {
        let gateway = format!("https://127.0.0.1:{}", self.at.port());
        Settings {
            gateways: vec![gateway.parse().unwrap()],
            name: name.parse().unwrap(),
            state: dir.path().join(name.replace('/', "-")),
            join,
            only: None,
            authorities: vec![],
            clock: now,
            version: "1.2.3".into(),
            tell: |_| {},
        }
    }

    /// Joins a connector and waits until it is linked.
    pub(crate) async fn connector(&self, dir: &tempfile::TempDir, name: &str) -> Outpost {
        let token = self.roll.token(&name.replace('/', "-"));
        let connector = Connector::start(self.settings(dir, name, Some(token))).await.unwrap();
        let outpost = Outpost::run(connector);
        let name: ConnectorName = name.parse().unwrap();
        until(|| self.sites.views().iter().any(|v| v.name == name)).await;
        outpost
    }

    pub(crate) async fn try_start(&self, settings: Settings) -> Result<Connector, StartError> {
        Connector::start(settings).await
    }
}

/// A connector that runs.
pub(crate) struct Outpost {
    pub(crate) stop: CancellationToken,
    pub(crate) running: tokio::task::JoinHandle<()>,
}

impl Outpost {
    pub(crate) fn run(connector: Connector) -> Self {
        let stop = CancellationToken::new();
        let running = tokio::spawn(connector.run(stop.clone()));
        Self { stop, running }
    }

    pub(crate) async fn leave(self) {
        self.stop.cancel();
        tokio::time::timeout(Span::from_secs(20), self.running).await.unwrap().unwrap();
    }
}

/// An application that echoes, and says who asks when a line is `who`.
pub(crate) struct Echo {
    pub(crate) at: SocketAddr,
    pub(crate) open: Arc<AtomicUsize>,
    pub(crate) taken: Arc<AtomicUsize>,
}

impl Echo {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let this = Self { at: listener.local_addr().unwrap(), open: Arc::default(), taken: Arc::default() };
        let (open, taken) = (Arc::clone(&this.open), Arc::clone(&this.taken));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let open = Arc::clone(&open);
                open.fetch_add(1, Ordering::SeqCst);
                taken.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(async move {
                    Self::talk(stream).await;
                    open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        this
    }

    async fn talk(mut stream: TcpStream) {
        let mut buffer = vec![0; 64 * 1024];
        loop {
            match stream.read(&mut buffer).await {
                Ok(n @ 1..) => {
                    if stream.write_all(&buffer[..n]).await.is_err() {
                        return;
                    }
                }
                Ok(0) => {
                    // What was asked is answered, however late the asker stopped asking.
                    tokio::time::sleep(Span::from_millis(100)).await;
                    let _ = stream.write_all(b"bye").await;
                    return;
                }
                _ => return,
            }
        }
    }
}

pub(crate) fn app(at: SocketAddr) -> Application {
    Application {
        id: "wiki".parse().unwrap(),
        name: "Wiki".into(),
        hosts: vec![],
        upstream: format!("http://{at}"),
        connector: Some("berlin".parse().unwrap()),
        mode: Mode::Enforce,
        class: Class::Low,
        assets: BTreeSet::new(),
        owner: None,
        routes: vec![],
        hardening: Hardening::default(),
    }
}

/// Waits until something is so; at most ten seconds.
pub(crate) async fn until(mut holds: impl FnMut() -> bool) {
    for _ in 0..1_000 {
        if holds() {
            return;
        }
        tokio::time::sleep(Span::from_millis(10)).await;
    }
    panic!("it did not come to be so within ten seconds");
}
