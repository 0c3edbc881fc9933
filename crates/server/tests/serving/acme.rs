//! Public certificates, from Pebble (Debian package `pebble`): a real authority of RFC 8555 that looks at our listener itself.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use safeconduct_server::clock::Clock;
use safeconduct_server::{Running, Start, start};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::bench::{DOMAIN, configured};

/// Programs that end with the test.
struct Children(Vec<Child>);

impl Drop for Children {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn free_ports<const N: usize>() -> [u16; N] {
    let held: [TcpListener; N] = std::array::from_fn(|_| TcpListener::bind("127.0.0.1:0").expect("a free port"));
    held.map(|l| l.local_addr().expect("an address").port())
}

/// Pebble and its DNS, or nothing where they are not installed. Our listener is to be at `tls`; its directory and its roots.
struct Pebble {
    _children: Children,
    directory: String,
    management: SocketAddr,
}

fn pebble(dir: &Path, tls: u16) -> Option<Pebble> {
    let installed = |p: &str| Command::new(p).arg("-h").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    if !installed("pebble") || !installed("pebble-challtestsrv") {
        return None;
    }
    let [acme, management, dns, control, http] = free_ports();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("made");
    fs::write(dir.join("pebble.pem"), made.cert.pem()).expect("written");
    fs::write(dir.join("pebble.key"), made.signing_key.serialize_pem()).expect("written");
    let config = serde_json::json!({ "pebble": {
        "listenAddress": format!("127.0.0.1:{acme}"), "managementListenAddress": format!("127.0.0.1:{management}"),
        "certificate": dir.join("pebble.pem"), "privateKey": dir.join("pebble.key"),
        "httpPort": http, "tlsPort": tls, "ocspResponderURL": "", "externalAccountBindingRequired": false,
    }});
    fs::write(dir.join("pebble.json"), config.to_string()).expect("written");
    let mut children = Children(Vec::new());
    let mut spawn = |command: &mut Command| {
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
        children.0.push(child);
    };
    spawn(Command::new("pebble-challtestsrv").args(["-defaultIPv4", "127.0.0.1", "-defaultIPv6", ""]).args([
        "-dns01",
        &format!("127.0.0.1:{dns}"),
        "-management",
        &format!("127.0.0.1:{control}"),
        "-http01",
        "",
        "-https01",
        "",
        "-tlsalpn01",
        "",
    ]));
    spawn(
        Command::new("pebble")
            .arg("-config")
            .arg(dir.join("pebble.json"))
            .args(["-dnsserver", &format!("127.0.0.1:{dns}")])
            .envs([("PEBBLE_VA_ALWAYS_VALID", "0"), ("PEBBLE_VA_NOSLEEP", "1"), ("PEBBLE_WFE_NONCEREJECT", "25")]),
    );
    let management = SocketAddr::from(([127, 0, 0, 1], management));
    Some(Pebble { _children: children, directory: format!("https://localhost:{acme}/dir"), management })
}

/// Waits until something listens there.
async fn listens(at: SocketAddr) {
    for _ in 0..200 {
        if TcpStream::connect(at).await.is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("nothing listens at {at}");
}

/// The issuer of the certificate that a host is served with, and whether the protocol was taken.
async fn issuer(at: SocketAddr, host: &str) -> String {
    let (_, chain) = handshake(at, host, &[]).await.expect("a handshake");
    let (_, leaf) = X509Certificate::from_der(&chain[0]).expect("a certificate");
    assert!(leaf.validity().is_valid());
    leaf.issuer().to_string()
}

async fn handshake(
    at: SocketAddr,
    host: &str,
    protocols: &[&[u8]],
) -> Result<(Option<Vec<u8>>, Vec<CertificateDer<'static>>), std::io::Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody))
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|p| p.to_vec()).collect();
    let name = ServerName::try_from(host.to_owned()).expect("a name");
    let tls = TlsConnector::from(Arc::new(config)).connect(name, TcpStream::connect(at).await?).await?;
    let session = tls.get_ref().1;
    let chain = session.peer_certificates().expect("a chain").iter().map(|c| c.clone().into_owned()).collect();
    Ok((session.alpn_protocol().map(<[u8]>::to_vec), chain))
}

/// Looks at certificates and trusts them all: what is looked at here is who issued them.
#[derive(Debug)]
struct Anybody;

impl rustls::client::danger::ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: rustls::pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }
    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }
    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }
    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

/// What the ledger says of the system.
fn events(dir: &Path) -> Vec<String> {
    let entries = safeconduct_store::Entries::from_seq(&dir.join("data/ledger"), 0).expect("readable");
    let told = |r: safeconduct_model::Record| match r {
        safeconduct_model::Record::System(s) => Some(format!("{}: {}", s.event, s.detail)),
        _ => None,
    };
    entries.filter_map(Result::ok).filter_map(|l| told(l.entry.record)).collect()
}

async fn run(dir: &Path, tls: u16) -> Running {
    let https = Some(SocketAddr::from(([127, 0, 0, 1], tls)));
    start(Start { dir: dir.to_owned(), clock: Clock::system(), https }).await.unwrap_or_else(|e| panic!("{e}"))
}

fn section(pebble: &Pebble, host: &str) -> String {
    let directory = &pebble.directory;
    format!(
        "\n[acme]\ndirectory = \"{directory}\"\ncontact = \"ops@example.com\"\nterms_agreed = true\n\
         hosts = [\"{host}\"]\nca_file = \"pebble.pem\"\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_public_certificate_is_ordered_served_kept_and_taken_up_again() {
    let dir = configured("");
    let [tls] = free_ports();
    let Some(pebble) = pebble(dir.path(), tls) else {
        return eprintln!("skipped: the Debian package pebble is not installed");
    };
    let host = format!("wiki.{DOMAIN}");
    crate::bench::edit(dir.path(), "safeconduct.toml", |text| text + &section(&pebble, &host));
    listens(pebble.management).await;
    let running = run(dir.path(), tls).await;
    let at = running.https;
    let (mut by, mut looks) = (issuer(at, &host).await, 0);
    while !by.contains("Pebble") {
        let told = || events(dir.path());
        assert!(by.contains("local authority") && looks < 200, "until then the local one serves: {by}; {:?}", told());
        tokio::time::sleep(Duration::from_millis(100)).await;
        (by, looks) = (issuer(at, &host).await, looks + 1);
    }
    let others = issuer(at, &format!("portal.{DOMAIN}")).await;
    assert!(others.contains("local authority"), "only the hosts that are named: {others}");
    for file in ["keys/acme.key", &format!("acme/{host}.pem")] {
        let mode = fs::metadata(dir.path().join("data").join(file)).expect("it is kept").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
    let refused = handshake(at, &host, &[b"acme-tls/1"]).await;
    assert!(refused.is_err(), "no challenge is open, so nobody gets its certificate");
    let both = handshake(at, &host, &[b"acme-tls/1", b"http/1.1"]).await.expect("an ordinary client").0;
    assert_eq!(both.as_deref(), Some(&b"http/1.1"[..]));
    running.stop().await.expect("stopped");

    // The authority is gone; what was kept is served from the first handshake on.
    drop(pebble);
    let running = run(dir.path(), tls).await;
    assert!(issuer(running.https, &host).await.contains("Pebble"));
    let pem = fs::read(dir.path().join(format!("data/acme/{host}.pem"))).expect("readable");
    assert!(CertificateDer::pem_slice_iter(&pem).count() >= 2, "the chain is whole");
    running.stop().await.expect("stopped");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authority_that_cannot_see_us_gives_nothing_and_the_local_one_serves_on() {
    let dir = configured("");
    let [tls, elsewhere] = free_ports();
    let Some(pebble) = pebble(dir.path(), elsewhere) else {
        return eprintln!("skipped: the Debian package pebble is not installed");
    };
    let host = format!("wiki.{DOMAIN}");
    crate::bench::edit(dir.path(), "safeconduct.toml", |text| text + &section(&pebble, &host));
    listens(pebble.management).await;
    let running = run(dir.path(), tls).await;
    let failed = || events(dir.path()).iter().any(|e| e.starts_with("acme.failed") && e.contains("could not see wiki"));
    for _ in 0..300 {
        if failed() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(failed(), "the failure is recorded");
    assert!(issuer(running.https, &host).await.contains("local authority"));
    assert!(!dir.path().join(format!("data/acme/{host}.pem")).exists());
    running.stop().await.expect("stopped");
}
