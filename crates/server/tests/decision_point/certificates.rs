//! Clients that prove themselves by a certificate.

use std::fs;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::stage::{Stage, WIKI, exchange, status};

const PORTAL: &str = "portal.acme.localhost";

type Identity = (CertificateDer<'static>, PrivateKeyDer<'static>);

/// An authority, and a certificate of it for a name.
struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::<String>::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).expect("a certificate").pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    fn identity(&self, name: &str) -> Identity {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        (certificate.der().clone(), PrivateKeyDer::try_from(key.serialize_der()).expect("PKCS #8"))
    }
}

/// Asks whether nobody may read the wiki; `None` if the handshake is refused.
async fn ask(stage: &Stage, identity: Option<Identity>) -> Option<u16> {
    let builder = rustls::ClientConfig::builder().with_root_certificates(stage.roots());
    let config = match identity {
        Some((certificate, key)) => builder.with_client_auth_cert(vec![certificate], key).expect("a pair"),
        None => builder.with_no_client_auth(),
    };
    let stream = TcpStream::connect(stage.point).await.expect("it listens");
    let name = ServerName::try_from(PORTAL).expect("a name");
    let tls = TlsConnector::from(Arc::new(config)).connect(name, stream).await.ok()?;
    let request = format!(
        "GET /forward-auth HTTP/1.1\r\nhost: {PORTAL}\r\nconnection: close\r\nx-forwarded-method: GET\r\n\
         x-forwarded-proto: https\r\nx-forwarded-host: {WIKI}\r\nx-forwarded-uri: /page\r\nx-forwarded-for: 10.0.0.7\r\n\
         accept: text/html\r\n\r\n"
    );
    let answer = exchange(tls, &request).await;
    (!answer.is_empty()).then(|| status(&answer))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_of_the_named_authority_and_the_named_client_is_believed() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let stage = Stage::put_up_with(|dir| {
        fs::write(dir.join("clients/ca.pem"), &ours.pem).expect("written");
        let main = dir.join("safeconduct.toml");
        let text =
            fs::read_to_string(&main).expect("readable").replace("tls = false", "client_ca = \"clients/ca.pem\"");
        let client = "\n[decision_point.clients.edge]\ncertificate = \"edge.test\"\nmay = [\"forward_auth\"]\n";
        fs::write(&main, text + client).expect("written");
    })
    .await;
    assert_eq!(ask(&stage, Some(ours.identity("edge.test"))).await, Some(302), "decided: nobody is signed in");
    assert_eq!(ask(&stage, Some(ours.identity("other.test"))).await, Some(401), "another client of the authority");
    assert_eq!(ask(&stage, None).await, Some(401));
    assert_eq!(ask(&stage, Some(theirs.identity("edge.test"))).await, None, "another authority");
    assert_eq!(stage.accesses("/page").len(), 1);
    stage.take_down().await;
}
