//! A small outgoing HTTP client for OpenID providers: one request per connection, no redirects, bounded in size and time.
//!
//! The addresses come from configuration and from the provider's own documents, so they are not trusted to be harmless:
//! only `https` is spoken, and a name that resolves to a link-local or (unless allowed) loopback address is refused. The
//! address that was checked is the one that is connected to.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::rt::TokioIo;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// How long a whole exchange may take.
const EXCHANGE_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(10);
/// How long the answer's body may be, in bytes.
const MAX_ANSWER_BYTES: usize = 256 * 1024;
/// How long the answer's head may be, in bytes.
const MAX_HEAD_BYTES: usize = 16 * 1024;

/// Why an exchange did not happen.
#[derive(Debug, Error)]
pub enum HttpsError {
    /// A root certificate is not readable, or TLS cannot be set up.
    #[error("the root certificates for OpenID providers are not usable: {0}")]
    Roots(String),
    /// The address may not be asked.
    #[error("`{0}` may not be asked: use https and a host that is neither link-local nor loopback")]
    Address(String),
    /// The host could not be reached.
    #[error("`{0}` does not answer: {1}")]
    Unreachable(String, String),
    /// The answer is too long, malformed, or too late.
    #[error("`{0}` gave no usable answer: {1}")]
    Answer(String, String),
}

/// The client.
#[derive(Clone)]
pub struct HttpsClient {
    tls: Arc<ClientConfig>,
    allow_loopback: bool,
}

/// An answer to come.
type Answer = crate::BoxFuture<'static, Result<http::Response<Vec<u8>>, HttpsError>>;

impl HttpsClient {
    /// A client that trusts the public roots and `extra_roots` (DER). `allow_loopback` is for tests and demos: it lets
    /// plain `http` and loopback addresses pass, and nothing else.
    ///
    /// # Errors
    /// [`HttpsError::Roots`].
    pub fn new(extra_roots: &[Vec<u8>], allow_loopback: bool) -> Result<Self, HttpsError> {
        let mut roots = RootCertStore::empty();
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        for root in extra_roots {
            roots.add(CertificateDer::from(root.clone())).map_err(|e| HttpsError::Roots(e.to_string()))?;
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|e| HttpsError::Roots(e.to_string()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { tls: Arc::new(tls), allow_loopback })
    }

    /// The client as a function, for libraries that want one. It owns what it needs, so that its futures may move.
    pub(crate) fn sender(&self) -> impl Fn(http::Request<Vec<u8>>) -> Answer + use<> {
        let client = self.clone();
        move |request| {
            let client = client.clone();
            Box::pin(async move { client.send(request).await })
        }
    }

    /// Sends a request and reads the whole answer, whatever its status.
    ///
    /// # Errors
    /// [`HttpsError`].
    pub async fn send(&self, request: http::Request<Vec<u8>>) -> Result<http::Response<Vec<u8>>, HttpsError> {
        let host = request.uri().host().unwrap_or_default().to_owned();
        match tokio::time::timeout(EXCHANGE_TIMEOUT, self.exchange(request, &host)).await {
            Ok(answer) => answer,
            Err(_) => Err(HttpsError::Answer(host, "it took too long".to_owned())),
        }
    }

    async fn exchange(
        &self,
        request: http::Request<Vec<u8>>,
        host: &str,
    ) -> Result<http::Response<Vec<u8>>, HttpsError> {
        let uri = request.uri().clone();
        let refused = || HttpsError::Address(uri.to_string());
        let secure = match uri.scheme_str() {
            Some("https") => true,
            Some("http") if self.allow_loopback => false,
            _ => return Err(refused()),
        };
        let authority = uri.authority().ok_or_else(refused)?;
        if authority.as_str().contains('@') {
            return Err(refused());
        }
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let port = authority.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let stream = self.connect(bare, port, secure).await?;
        let path = uri.path_and_query().map_or("/", |p| p.as_str()).to_owned();
        let (mut parts, body) = request.into_parts();
        parts.uri = path.parse().map_err(|_| refused())?;
        parts.version = http::Version::HTTP_11;
        let value = http::HeaderValue::from_str(authority.as_str()).map_err(|_| refused())?;
        parts.headers.insert(http::header::HOST, value);
        let request = http::Request::from_parts(parts, Full::new(Bytes::from(body)));
        if secure {
            let name = ServerName::try_from(bare.to_owned()).map_err(|_| refused())?;
            let tls = TlsConnector::from(Arc::clone(&self.tls)).connect(name, stream).await;
            speak(tls.map_err(|e| HttpsError::Unreachable(host.to_owned(), e.to_string()))?, request, host).await
        } else {
            speak(stream, request, host).await
        }
    }

    /// Resolves, checks and connects. Plain text is for loopback alone.
    async fn connect(&self, host: &str, port: u16, secure: bool) -> Result<TcpStream, HttpsError> {
        let unreachable = |e: std::io::Error| HttpsError::Unreachable(host.to_owned(), e.to_string());
        let resolved: Vec<SocketAddr> = tokio::net::lookup_host((host, port)).await.map_err(unreachable)?.collect();
        let mut last = HttpsError::Address(host.to_owned());
        for address in resolved {
            if !may_ask(address.ip(), self.allow_loopback) || (!secure && !address.ip().to_canonical().is_loopback()) {
                continue;
            }
            match TcpStream::connect(address).await {
                Ok(stream) => return Ok(stream),
                Err(e) => last = unreachable(e),
            }
        }
        Err(last)
    }
}

/// Whether an address may be asked. Private networks may: many organisations run their provider there.
fn may_ask(ip: IpAddr, allow_loopback: bool) -> bool {
    let ip = ip.to_canonical();
    let link_local = match ip {
        IpAddr::V4(v4) => v4.is_link_local() || v4.is_broadcast() || v4.octets()[0] == 0,
        IpAddr::V6(v6) => v6.is_unicast_link_local() || v6.segments()[..4] == [0xfd00, 0xec2, 0, 0],
    };
    !link_local && !ip.is_unspecified() && !ip.is_multicast() && (allow_loopback || !ip.is_loopback())
}

async fn speak<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    request: http::Request<Full<Bytes>>,
    host: &str,
) -> Result<http::Response<Vec<u8>>, HttpsError> {
    let answer = |e: hyper::Error| HttpsError::Answer(host.to_owned(), e.to_string());
    let (mut sender, connection) = hyper::client::conn::http1::Builder::new()
        .max_buf_size(MAX_HEAD_BYTES)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(answer)?;
    let exchange = async {
        let response = sender.send_request(request).await.map_err(answer)?;
        let (parts, body) = response.into_parts();
        let body = Limited::new(body, MAX_ANSWER_BYTES).collect().await;
        let body = body.map_err(|e| HttpsError::Answer(host.to_owned(), e.to_string()))?;
        Ok(http::Response::from_parts(parts, body.to_bytes().to_vec()))
    };
    // The connection is driven here and nowhere else, so it ends when the exchange does.
    let mut connection = std::pin::pin!(connection);
    let mut exchange = std::pin::pin!(exchange);
    tokio::select! {
        done = &mut exchange => done,
        ended = &mut connection => match ended {
            Ok(()) => exchange.await,
            Err(e) => Err(answer(e)),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nt_37_metadata_and_loopback_addresses_may_not_be_asked() {
        for bad in
            ["169.254.169.254", "127.0.0.1", "::1", "fe80::1", "0.0.0.0", "::ffff:169.254.169.254", "fd00:ec2::254"]
        {
            assert!(!may_ask(bad.parse().expect("address"), false), "{bad}");
        }
        for good in ["10.1.2.3", "192.0.2.1", "2001:db8::1"] {
            assert!(may_ask(good.parse().expect("address"), false), "{good}");
        }
        assert!(may_ask("127.0.0.1".parse().expect("address"), true));
        assert!(!may_ask("169.254.169.254".parse().expect("address"), true));
    }

    #[tokio::test]
    async fn nt_37_other_schemes_and_plain_text_are_refused() {
        let client = HttpsClient::new(&[], false).expect("roots");
        for bad in
            ["http://id.example/", "ftp://id.example/", "https://user@id.example/", "/relative", "https://127.0.0.1:1/"]
        {
            let request = http::Request::builder().uri(bad).body(Vec::new()).expect("request");
            assert!(matches!(client.send(request).await, Err(HttpsError::Address(_))), "{bad}");
        }
    }

    /// A TLS server on loopback that answers every request with `head` and a body of `length` bytes.
    async fn tls_server(head: &'static str, length: usize) -> (Vec<u8>, u16) {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("certificate");
        let root = made.cert.der().to_vec();
        let key = rustls::pki_types::PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
        let config =
            rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
                .with_safe_default_protocol_versions()
                .expect("versions")
                .with_no_client_auth()
                .with_single_cert(vec![made.cert.der().clone()], key.into())
                .expect("key");
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        let listener = tokio::net::TcpListener::bind("localhost:0").await.expect("loopback");
        let port = listener.local_addr().expect("bound").port();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let Ok(mut stream) = acceptor.accept(stream).await else { continue };
                let mut buffer = [0; 1_024];
                let _ = stream.read(&mut buffer).await;
                let answer = format!("HTTP/1.1 {head}\r\ncontent-length: {length}\r\n\r\n{}", "x".repeat(length));
                let _ = stream.write_all(answer.as_bytes()).await;
                let _ = stream.shutdown().await;
            }
        });
        (root, port)
    }

    async fn get(client: &HttpsClient, port: u16) -> Result<http::Response<Vec<u8>>, HttpsError> {
        let uri = format!("https://localhost:{port}/x");
        client.send(http::Request::builder().uri(uri).body(Vec::new()).expect("request")).await
    }

    #[tokio::test]
    async fn only_a_known_root_is_spoken_to() {
        let (root, port) = tls_server("200 OK", 5).await;
        let knows = HttpsClient::new(&[root], true).expect("root");
        assert_eq!(get(&knows, port).await.expect("known").body(), b"xxxxx");
        let stranger = HttpsClient::new(&[], true).expect("roots");
        assert!(matches!(get(&stranger, port).await, Err(HttpsError::Unreachable(..))));
        assert!(matches!(HttpsClient::new(&[vec![1, 2, 3]], true), Err(HttpsError::Roots(_))));
    }

    #[tokio::test]
    async fn nt_37_a_redirect_is_an_answer_and_is_not_followed() {
        let (root, port) = tls_server("302 Found\r\nlocation: http://169.254.169.254/", 0).await;
        let client = HttpsClient::new(&[root], true).expect("root");
        assert_eq!(get(&client, port).await.expect("answer").status(), 302);
    }

    #[tokio::test]
    async fn nt_12_an_answer_is_bounded() {
        let (root, port) = tls_server("200 OK", MAX_ANSWER_BYTES + 1).await;
        let client = HttpsClient::new(&[root], true).expect("root");
        assert!(matches!(get(&client, port).await, Err(HttpsError::Answer(..))));
    }
}
