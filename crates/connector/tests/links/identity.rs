//! Who comes in, and who does not.

use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{aws_lc_rs, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use safeconduct_connector::JoinToken;
use safeconduct_connector::house::What;
use safeconduct_connector::site::{Connector, JoinError, StartError};
use safeconduct_connector::words::{DOOR, LINK};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::common::{Echo, Gateway, Outpost, app, until};

#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }
    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("TLS 1.2".into()))
    }
    fn verify_tls13_signature(
        &self,
        m: &[u8],
        c: &CertificateDer<'_>,
        d: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(m, c, d, &aws_lc_rs::default_provider().signature_verification_algorithms)
    }
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

type Chain = Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>;

/// Whether the gateway speaks to whoever shows this chain.
async fn comes_in(gateway: &Gateway, protocol: &[u8], chain: Chain) -> bool {
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody));
    let mut config = match chain {
        Some((chain, key)) => builder.with_client_auth_cert(chain, key).unwrap(),
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![protocol.to_vec()];
    let stream = TcpStream::connect(gateway.at).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let Ok(mut tls) = TlsConnector::from(Arc::new(config)).connect(name, stream).await else { return false };
    if protocol == DOOR {
        tls.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    }
    // HTTP/2 begins with the client, and that is the gateway: its first bytes show that it took us.
    let mut first = [0; 8];
    matches!(tokio::time::timeout(Duration::from_secs(5), tls.read(&mut first)).await, Ok(Ok(1..)))
}

#[tokio::test(flavor = "multi_thread")]
async fn nt_31_only_the_certificate_of_a_connector_on_the_roll_links() {
    let gateway = Gateway::start(&[]).await;
    let roll = &gateway.roll;
    let uri = "spiffe://safeconduct.local/connector/berlin/a";
    let (good, key) = roll.leaf(uri, 3_600);
    let one = |c: &CertificateDer<'static>, k: &PrivateKeyDer<'static>| Some((vec![c.clone()], k.clone_key()));
    assert!(!comes_in(&gateway, LINK, one(&good, &key)).await, "signed by us, and not on the roll");
    let public = |c: &CertificateDer<'_>| {
        use x509_parser::prelude::FromDer;
        let (_, c) = x509_parser::certificate::X509Certificate::from_der(c).unwrap();
        c.public_key().raw.to_vec()
    };
    roll.members.lock().unwrap().insert("berlin/a".parse().unwrap(), public(&good));
    assert!(comes_in(&gateway, LINK, one(&good, &key)).await);

    assert!(!comes_in(&gateway, LINK, None).await, "no certificate");
    let (twin, twin_key) = roll.leaf(uri, 3_600);
    assert!(!comes_in(&gateway, LINK, one(&twin, &twin_key)).await, "the name with another key");
    let (device, device_key) = roll.leaf("spiffe://safeconduct.local/device/berlin", 3_600);
    assert!(!comes_in(&gateway, LINK, one(&device, &device_key)).await, "a device");
    let (old, old_key) = roll.leaf(uri, -60);
    roll.members.lock().unwrap().insert("berlin/old".parse().unwrap(), public(&old));
    assert!(!comes_in(&gateway, LINK, one(&old, &old_key)).await, "expired");
    let foreign = Gateway::start(&[]).await;
    let (theirs, their_key) = foreign.roll.leaf(uri, 3_600);
    assert!(!comes_in(&gateway, LINK, one(&theirs, &their_key)).await, "another authority");
    // The attacker's leaf with the victim's certificate behind it, and in front of it.
    let chain = Some((vec![device.clone(), good.clone()], device_key.clone_key()));
    assert!(!comes_in(&gateway, LINK, chain).await, "attacker leaf, valid victim behind");
    let chain = Some((vec![good.clone(), device], key.clone_key()));
    assert!(!comes_in(&gateway, LINK, chain).await, "anything behind a leaf");
    assert!(!comes_in(&gateway, b"h2", one(&good, &key)).await, "another protocol");
    roll.revoked.lock().unwrap().insert("berlin/a".parse().unwrap());
    assert!(!comes_in(&gateway, LINK, one(&good, &key)).await, "revoked");
    assert!(comes_in(&gateway, DOOR, None).await, "the door answers who has none yet");
    assert!(!comes_in(&gateway, DOOR, one(&good, &key)).await, "and not one who was revoked");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_connector_is_cut_with_all_its_streams() {
    let echo = Echo::start().await;
    let (gateway, dir) = (Gateway::start(&[echo.at]).await, tempfile::tempdir().unwrap());
    let _outpost = gateway.connector(&dir, "berlin/a").await;
    let mut stream = gateway.sites.dial(&app(echo.at)).await.unwrap();
    gateway.roll.revoked.lock().unwrap().insert("berlin/a".parse().unwrap());
    gateway.sites.review();
    let ended = tokio::time::timeout(Duration::from_secs(1), stream.read(&mut [0; 1])).await;
    assert!(!matches!(ended, Ok(Ok(1..)) | Err(_)), "{ended:?}");
    until(|| gateway.roll.said(What::Cut) == 1 && gateway.sites.views().is_empty()).await;
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert!(gateway.sites.views().is_empty(), "it knocks in vain");
}

#[tokio::test(flavor = "multi_thread")]
async fn nt_39_a_token_opens_once_whoever_holds_it() {
    let (gateway, dir) = (Gateway::start(&[]).await, tempfile::tempdir().unwrap());
    drop(gateway.roll.token("one"));
    let pin = *gateway.roll.token("other").authority();
    let settings = |n: usize| gateway.settings(&dir, &format!("berlin/c{n}"), Some(JoinToken::new("one", pin)));
    let joining = (0..20).map(|n| Connector::start(settings(n)));
    let joined = futures_util::future::join_all(joining).await;
    let won = joined.iter().filter(|j| j.is_ok()).count();
    assert_eq!(won, 1);
    for lost in joined.into_iter().filter_map(Result::err) {
        assert!(matches!(lost, StartError::Join(JoinError::Refused(_))), "{lost}");
    }
    let none = Connector::start(gateway.settings(&dir, "berlin/x", None)).await.err().unwrap();
    assert!(none.to_string().contains("safeconduct connector token berlin"), "{none}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_never_shown_to_a_gateway_of_another_authority() {
    let (gateway, other) = (Gateway::start(&[]).await, Gateway::start(&[]).await);
    let dir = tempfile::tempdir().unwrap();
    let token = gateway.roll.token("mine");
    other.roll.tokens.lock().unwrap().insert("mine".into(), "berlin".into());
    let error = Connector::start(other.settings(&dir, "berlin/a", Some(token))).await.err().unwrap();
    assert!(matches!(error, StartError::Join(JoinError::Gateway(..))), "{error}");
    assert!(other.roll.tokens.lock().unwrap().contains_key("mine"), "it was not redeemed there");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_connector_has_few_links_however_often_it_knocks() {
    let (gateway, dir) = (Gateway::start(&[]).await, tempfile::tempdir().unwrap());
    let _first = gateway.connector(&dir, "berlin/a").await;
    let mut more = Vec::new();
    for _ in 0..10 {
        let settings = gateway.settings(&dir, "berlin/a", None);
        more.push(Outpost::run(Connector::start(settings).await.unwrap()));
    }
    until(|| gateway.roll.said(What::TooMany) >= 1).await;
    assert!(gateway.sites.views().len() <= safeconduct_connector::bounds::LINKS_OF_ONE);
}
