//! Asking the portal: forms there, JSON back, a proof of the key with each.

use std::time::Duration;

use anyhow::{Context, Result};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use safeconduct_authn::SigningKey;
use safeconduct_authn::dpop::{self, Expected};
use safeconduct_server::clock;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::net::{Address, Net};

/// The largest answer that is read, in bytes.
const MAX_BODY_BYTES: usize = 1024 * 1024;
/// How long one exchange may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// A refusal of the portal, in its words.
#[derive(Debug, thiserror::Error)]
#[error("{words}")]
pub(crate) struct OAuth {
    pub(crate) code: String,
    pub(crate) words: String,
}

/// The portal.
#[derive(Clone)]
pub(crate) struct Portal {
    pub(crate) at: Address,
    net: Net,
}

/// A proof of the key for one request.
pub(crate) fn proof(key: &SigningKey, method: &str, uri: &str, token: Option<&str>) -> Result<String> {
    Ok(dpop::sign(key, &Expected { method, uri, token }, &random_text()?, clock::system()))
}

/// Random text that stands in addresses and tokens as it is: 256 bits.
pub(crate) fn random_text() -> Result<String> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|e| anyhow::anyhow!("the system gives no random bytes: {e}"))?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

/// Percent-encodes the fields of a form or a query.
pub(crate) fn form(fields: &[(&str, &str)]) -> String {
    let plain = |text: &str| {
        text.bytes().fold(String::with_capacity(text.len()), |mut out, b| {
            if b.is_ascii_alphanumeric() || b"-._~".contains(&b) {
                out.push(char::from(b));
            } else {
                out.push_str(&format!("%{b:02X}"));
            }
            out
        })
    };
    fields.iter().map(|(name, value)| format!("{}={}", plain(name), plain(value))).collect::<Vec<_>>().join("&")
}

impl Portal {
    pub(crate) fn new(at: Address, net: Net) -> Self {
        Self { at, net }
    }

    /// Sends a form. What the portal refuses is an [`OAuth`] error.
    pub(crate) async fn post<T: DeserializeOwned>(
        &self,
        key: &SigningKey,
        path: &str,
        fields: &[(&str, &str)],
        token: Option<&str>,
    ) -> Result<T> {
        self.ask(key, Method::POST, path, Some(form(fields)), token).await
    }

    /// Asks for something with a token.
    pub(crate) async fn get<T: DeserializeOwned>(&self, key: &SigningKey, path: &str, token: &str) -> Result<T> {
        self.ask(key, Method::GET, path, None, Some(token)).await
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        key: &SigningKey,
        method: Method,
        path: &str,
        body: Option<String>,
        token: Option<&str>,
    ) -> Result<T> {
        let uri = format!("{}{path}", self.at.origin());
        let mut request = Request::builder()
            .method(&method)
            .uri(path)
            .header(header::HOST, self.at.authority())
            .header("dpop", proof(key, method.as_str(), &uri, token)?);
        if let Some(token) = token {
            request = request.header(header::AUTHORIZATION, format!("DPoP {token}"));
        }
        if body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        }
        let request = request.body(Full::new(Bytes::from(body.unwrap_or_default())))?;
        let exchange = Box::pin(self.exchange(request));
        let (status, bytes) =
            tokio::time::timeout(PATIENCE, exchange).await.with_context(|| format!("{uri} takes too long"))??;
        let value: Value = match bytes.is_empty() {
            true => Value::Null,
            false => {
                serde_json::from_slice(&bytes).with_context(|| format!("{uri} does not answer as a portal does"))?
            }
        };
        if status.is_success() {
            return serde_json::from_value(value).with_context(|| format!("{uri} does not answer as a portal does"));
        }
        let text = |pointer: &str| value.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        let code = text("/error").or_else(|| text("/error/code")).unwrap_or_else(|| status.as_u16().to_string());
        let words = text("/error_description").or_else(|| text("/error/words"));
        Err(OAuth { code, words: words.unwrap_or_else(|| format!("{uri} answers {status}")) }.into())
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<(StatusCode, Bytes)> {
        let stream = self.net.connect(&self.at, &["http/1.1"]).await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let driver = tokio::spawn(connection);
        let answer = sender.send_request(request).await.with_context(|| format!("{} does not answer", self.at))?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), MAX_BODY_BYTES).collect().await;
        let body = body.map_err(|e| anyhow::anyhow!("the answer of {} broke off: {e}", self.at))?.to_bytes();
        driver.abort();
        Ok((status, body))
    }
}
