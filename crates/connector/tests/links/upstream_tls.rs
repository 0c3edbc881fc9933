//! Applications over TLS: the certificate is checked at the site, and plain text is never a way out.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use safeconduct_connector::house::DialError;
use safeconduct_connector::site::Connector;
use safeconduct_connector::words::Refusal;
use safeconduct_model::Application;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::common::{Gateway, Outpost, app, until};

/// An application over TLS that echoes, with a certificate for this name and these protocols.
struct Secure {
    at: SocketAddr,
    certificate: CertificateDer<'static>,
    /// How many connections came, and how many handshakes went well.
    came: Arc<AtomicUsize>,
    shook: Arc<AtomicUsize>,
}

async fn secure(name: &str, protocols: &[&str]) -> Secure {
    let key = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
    let certificate = key.cert.der().clone();
    let private = PrivateKeyDer::Pkcs8(key.signing_key.serialize_der().into());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut config = builder.with_no_client_auth().with_single_cert(vec![certificate.clone()], private).unwrap();
    config.alpn_protocols = protocols.iter().map(|p| p.as_bytes().to_vec()).collect();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let this = Secure { at: listener.local_addr().unwrap(), certificate, came: Arc::default(), shook: Arc::default() };
    let (came, shook) = (Arc::clone(&this.came), Arc::clone(&this.shook));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            came.fetch_add(1, Ordering::SeqCst);
            let (acceptor, shook) = (acceptor.clone(), Arc::clone(&shook));
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                shook.fetch_add(1, Ordering::SeqCst);
                let mut buffer = [0; 1024];
                while let Ok(n @ 1..) = stream.read(&mut buffer).await {
                    if stream.write_all(&buffer[..n]).await.is_err() {
                        return;
                    }
                }
                let _ = stream.write_all(b"bye").await;
                let _ = stream.shutdown().await;
            });
        }
    });
    this
}

fn over(scheme: &str, name: &str, at: SocketAddr) -> Application {
    Application { upstream: format!("{scheme}://{name}:{}", at.port()), ..app(at) }
}

/// A connector that trusts these authorities beside the public ones.
async fn connector(gateway: &Gateway, dir: &tempfile::TempDir, authorities: Vec<CertificateDer<'static>>) -> Outpost {
    let token = gateway.roll.token("t");
    let mut settings = gateway.settings(dir, "berlin/a", Some(token));
    settings.authorities = authorities;
    let outpost = Outpost::run(Connector::start(settings).await.unwrap());
    until(|| gateway.sites.views().len() == 1).await;
    outpost
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_reach_an_application_over_tls_whose_authority_the_site_names() {
    let echo = secure("localhost", &["http/1.1"]).await;
    let (gateway, dir) = (Gateway::start(&[echo.at]).await, tempfile::tempdir().unwrap());
    let _outpost = connector(&gateway, &dir, vec![echo.certificate.clone()]).await;
    let mut stream = gateway.sites.dial(&over("https", "localhost", echo.at)).await.unwrap();
    stream.write_all(b"hello").await.unwrap();
    let mut five = [0; 5];
    stream.read_exact(&mut five).await.unwrap();
    assert_eq!(&five, b"hello");
    stream.shutdown().await.unwrap();
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.unwrap();
    assert_eq!((rest.as_slice(), echo.shook.load(Ordering::SeqCst)), (&b"bye"[..], 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_does_not_count_at_the_site_opens_no_stream() {
    let echo = secure("localhost", &["http/1.1"]).await;
    let other = secure("other.internal", &["http/1.1"]).await;
    let (gateway, dir) = (Gateway::start(&[echo.at, other.at]).await, tempfile::tempdir().unwrap());
    // It trusts the one of the wrong name, and not the other.
    let _outpost = connector(&gateway, &dir, vec![other.certificate.clone()]).await;
    for (what, application) in [
        ("an unknown authority", over("https", "localhost", echo.at)),
        ("another name", over("https", "localhost", other.at)),
        ("an address instead of a name", over("https", "127.0.0.1", other.at)),
    ] {
        let refused = gateway.sites.dial(&application).await;
        let Err(DialError::Refused(_, said)) = refused else { panic!("{what}: {refused:?}") };
        assert_eq!(said, Refusal::Untrusted, "{what}");
    }
    assert_eq!(echo.shook.load(Ordering::SeqCst) + other.shook.load(Ordering::SeqCst), 0);
    assert_eq!(
        echo.came.load(Ordering::SeqCst) + other.came.load(Ordering::SeqCst),
        3,
        "each was tried once, over TLS"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn http_2_over_tls_is_agreed_on_or_not_spoken() {
    let (old, new) = (secure("localhost", &["http/1.1"]).await, secure("localhost", &["h2"]).await);
    let none = secure("localhost", &[]).await;
    let (gateway, dir) = (Gateway::start(&[old.at, new.at, none.at]).await, tempfile::tempdir().unwrap());
    let authorities = [&old, &new, &none].map(|s| s.certificate.clone()).to_vec();
    let _outpost = connector(&gateway, &dir, authorities).await;
    assert!(gateway.sites.dial(&over("h2", "localhost", new.at)).await.is_ok());
    for at in [old.at, none.at] {
        let refused = gateway.sites.dial(&over("h2", "localhost", at)).await;
        assert!(matches!(refused, Err(DialError::Refused(_, Refusal::Untrusted))), "{refused:?}");
    }
}
