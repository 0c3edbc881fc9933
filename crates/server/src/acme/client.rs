//! One order at an authority, from the account to the chain (RFC 8555), with the challenge tls-alpn-01 (RFC 8737).

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::{CONTENT_TYPE, LOCATION};
use http::{HeaderMap, Response};
use safeconduct_directory::HttpsClient;
use safeconduct_model::Host;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::account::{AccountKey, Signer};

/// How often a message is signed anew because its nonce was not taken.
const NONCES: usize = 6;
/// How often an order or an authorisation is looked at.
const LOOKS: u32 = 30;
/// How long it rests between two looks, at first and at most.
const FIRST_LOOK: Duration = Duration::from_millis(250);
const LAST_LOOK: Duration = Duration::from_secs(5);
/// The name of the challenge.
const CHALLENGE: &str = "tls-alpn-01";

/// Where a challenge is answered: in the TLS of our own listener.
pub(super) trait Answers {
    /// From now on, who asks for this host by `acme-tls/1` gets a certificate with this digest.
    fn answer(&self, host: &Host, digest: [u8; 32]) -> Result<()>;
    /// No longer.
    fn forget(&self, host: &Host);
}

/// An account at an authority.
pub(super) struct Client {
    http: HttpsClient,
    key: AccountKey,
    directory: Directory,
    account: String,
    nonce: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Directory {
    new_nonce: String,
    new_account: String,
    new_order: String,
}

#[derive(Deserialize)]
struct Order {
    status: String,
    #[serde(default)]
    authorizations: Vec<String>,
    finalize: String,
    certificate: Option<String>,
    error: Option<Value>,
}

#[derive(Deserialize)]
struct Authorisation {
    status: String,
    #[serde(default)]
    challenges: Vec<Challenge>,
}

#[derive(Deserialize)]
struct Challenge {
    r#type: String,
    url: String,
    #[serde(default)]
    token: String,
    error: Option<Value>,
}

impl Client {
    /// Reads the directory and opens the account, or finds the one that the key has.
    pub(super) async fn open(
        http: HttpsClient,
        key: AccountKey,
        directory: &str,
        contact: Option<&str>,
    ) -> Result<Self> {
        let request = http::Request::get(directory).body(Vec::new()).context("[acme] directory is not an address")?;
        let answer = http.send(request).await?;
        ensure!(answer.status().is_success(), "the directory answered {}", answer.status());
        let directory = serde_json::from_slice(answer.body()).context("the directory is not one of ACME")?;
        let mut client = Self { http, key, directory, account: String::new(), nonce: None };
        let contact: Vec<String> = contact.iter().map(|c| format!("mailto:{c}")).collect();
        let wish = json!({ "termsOfServiceAgreed": true, "contact": contact });
        let url = client.directory.new_account.clone();
        let answer = client.post(&url, Some(&wish)).await.context("no account")?;
        client.account = location(answer.headers()).context("the account has no address")?;
        Ok(client)
    }

    /// The chain for a host, PEM, to a signing request in DER.
    pub(super) async fn order(&mut self, host: &Host, request: &[u8], answers: &impl Answers) -> Result<String> {
        let url = self.directory.new_order.clone();
        let wish = json!({ "identifiers": [{ "type": "dns", "value": host.as_str() }] });
        let answer = self.post(&url, Some(&wish)).await.context("no order")?;
        let address = location(answer.headers()).context("the order has no address")?;
        let order: Order = body(&answer)?;
        for authorisation in &order.authorizations {
            let done = self.authorise(authorisation, host, answers).await;
            answers.forget(host);
            done?;
        }
        let finalize = json!({ "csr": URL_SAFE_NO_PAD.encode(request) });
        let answer = self.post(&order.finalize, Some(&finalize)).await.context("the order was not taken")?;
        let mut order: Order = body(&answer)?;
        let mut looks = Looks::default();
        while order.status != "valid" {
            ensure!(order.status != "invalid", "the order failed: {}", told(order.error.as_ref()));
            looks.rest().await.context("the order is not done")?;
            order = body(&self.post(&address, None).await?)?;
        }
        let chain = self.post(&order.certificate.context("the order has no certificate")?, None).await?;
        String::from_utf8(chain.into_body()).context("the chain is not PEM")
    }

    async fn authorise(&mut self, url: &str, host: &Host, answers: &impl Answers) -> Result<()> {
        let known: Authorisation = body(&self.post(url, None).await?)?;
        if known.status == "valid" {
            return Ok(());
        }
        let challenge = known.challenges.into_iter().find(|c| c.r#type == CHALLENGE);
        let challenge = challenge.with_context(|| format!("the authority offers no {CHALLENGE} for {host}"))?;
        let of_token = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        ensure!(!challenge.token.is_empty() && challenge.token.bytes().all(of_token), "the challenge has no token");
        let answer = self.key.authorisation(&challenge.token);
        answers.answer(host, Sha256::digest(answer).into())?;
        self.post(&challenge.url, Some(&json!({}))).await.context("the challenge was not begun")?;
        let mut looks = Looks::default();
        loop {
            let now: Authorisation = body(&self.post(url, None).await?)?;
            match now.status.as_str() {
                "valid" => return Ok(()),
                "pending" => looks.rest().await.context("the authority did not look")?,
                other => {
                    let error = now.challenges.iter().find_map(|c| c.error.as_ref());
                    bail!("the authority could not see {host} here ({other}): {}", told(error));
                }
            }
        }
    }

    /// A signed message; its answer, if that is good. A nonce that was not taken is replaced.
    async fn post(&mut self, url: &str, payload: Option<&Value>) -> Result<Response<Vec<u8>>> {
        for _ in 0..NONCES {
            let nonce = match self.nonce.take() {
                Some(nonce) => nonce,
                None => self.new_nonce().await?,
            };
            let by = if self.account.is_empty() { Signer::Key } else { Signer::Account(&self.account) };
            let message = self.key.sign(by, &nonce, url, payload)?;
            let request = http::Request::post(url).header(CONTENT_TYPE, "application/jose+json").body(message)?;
            let answer = self.http.send(request).await?;
            self.nonce = replay_nonce(answer.headers());
            if answer.status().is_success() {
                return Ok(answer);
            }
            let problem: Value = serde_json::from_slice(answer.body()).unwrap_or_default();
            if problem["type"] != "urn:ietf:params:acme:error:badNonce" {
                bail!("the authority answered {}: {}", answer.status(), told(Some(&problem)));
            }
        }
        bail!("the authority took none of {NONCES} nonces of its own")
    }

    async fn new_nonce(&self) -> Result<String> {
        let request = http::Request::head(self.directory.new_nonce.as_str()).body(Vec::new())?;
        let answer = self.http.send(request).await?;
        replay_nonce(answer.headers()).context("the authority gave no nonce")
    }
}

/// Looks that come less and less often, and not for ever.
#[derive(Default)]
struct Looks(u32);

impl Looks {
    async fn rest(&mut self) -> Result<()> {
        ensure!(self.0 < LOOKS, "it was looked at {LOOKS} times");
        tokio::time::sleep((FIRST_LOOK * 2_u32.pow(self.0.min(8))).min(LAST_LOOK)).await;
        self.0 += 1;
        Ok(())
    }
}

fn body<T: DeserializeOwned>(answer: &Response<Vec<u8>>) -> Result<T> {
    serde_json::from_slice(answer.body()).context("the answer of the authority cannot be read")
}

fn location(headers: &HeaderMap) -> Option<String> {
    headers.get(LOCATION)?.to_str().ok().map(str::to_owned)
}

fn replay_nonce(headers: &HeaderMap) -> Option<String> {
    headers.get("replay-nonce")?.to_str().ok().map(str::to_owned)
}

/// What a problem document says, for the log.
fn told(problem: Option<&Value>) -> String {
    let detail = problem.and_then(|p| p["detail"].as_str()).unwrap_or("it gave no reason");
    detail.chars().filter(|c| !c.is_control()).take(500).collect()
}
