//! A browser without a screen: cookies by host, redirects, forms, the headers that browsers send, WebSockets. People of the
//! demo use it, so that they come in by the same door as everyone else.

mod address;
mod jar;
mod net;
mod socket;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::sync::Mutex as AsyncMutex;

pub(crate) use address::{Address, encode, form};
use jar::Jar;
pub(crate) use net::Net;
pub(crate) use socket::Socket;

/// How many redirects are followed.
const MAX_REDIRECTS: usize = 12;
/// The largest answer that is read, in bytes.
const MAX_BODY_BYTES: usize = 8 * 1024 * 1024;
/// How long one exchange may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// The connection to a host that is kept open, if there is one; whoever holds the lock uses it.
type Kept = Arc<AsyncMutex<Option<SendRequest<Full<Bytes>>>>>;

/// One browser of one person.
pub(crate) struct Browser {
    net: Net,
    jar: Mutex<Jar>,
    connections: AsyncMutex<HashMap<String, Kept>>,
}

/// An answer, whole.
pub(crate) struct Page {
    /// Where it came from, after all redirects.
    pub(crate) address: Address,
    /// Its status.
    pub(crate) status: StatusCode,
    /// Its headers.
    pub(crate) headers: HeaderMap,
    /// Its body.
    pub(crate) body: String,
}

/// How a request comes about, as `Sec-Fetch-*` tells it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum From {
    /// Typed, or a link followed.
    Navigation,
    /// A form of the page.
    Form,
    /// A script of the page.
    Script,
}

impl Browser {
    /// A browser without cookies.
    pub(crate) fn new(net: Net) -> Self {
        Self { net, jar: Mutex::default(), connections: AsyncMutex::default() }
    }

    /// How it reaches the hosts.
    pub(crate) fn net(&self) -> &Net {
        &self.net
    }

    /// Opens an address and follows redirects, as a person does.
    pub(crate) async fn open(&self, address: &str) -> Result<Page> {
        let address: Address = address.parse()?;
        let page = self.send(Method::GET, &address, From::Navigation, &[], Bytes::new()).await?;
        self.follow(page).await
    }

    /// Sends a form and follows where it leads.
    pub(crate) async fn submit(&self, address: &str, fields: &[(&str, &str)]) -> Result<Page> {
        let address: Address = address.parse()?;
        let kind = [("content-type", "application/x-www-form-urlencoded")];
        let page = self.send(Method::POST, &address, From::Form, &kind, form(fields).into()).await?;
        self.follow(page).await
    }

    /// Asks as a script of a page does: no redirects, errors as JSON.
    pub(crate) async fn fetch(
        &self,
        method: Method,
        address: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Result<Page> {
        let address: Address = address.parse()?;
        self.send(method, &address, From::Script, headers, body.to_owned().into()).await
    }

    /// Sends JSON with the forgery token of the session, and takes JSON back. What is refused is an error with its words.
    pub(crate) async fn post_json(&self, address: &str, token: &str, body: &Value) -> Result<Value> {
        let mut headers = vec![("content-type", "application/json"), ("accept", "application/json")];
        if !token.is_empty() {
            headers.push(("x-csrf-token", token));
        }
        let page = self.fetch(Method::POST, address, &headers, &body.to_string()).await?;
        page.json()
    }

    /// The cookies for a host, as a header.
    fn cookies(&self, host: &str) -> Option<String> {
        self.jar.lock().unwrap_or_else(PoisonError::into_inner).header(host)
    }

    async fn follow(&self, mut page: Page) -> Result<Page> {
        for _ in 0..MAX_REDIRECTS {
            let Some(next) = page.leads_to()? else { return Ok(page) };
            page = self.send(Method::GET, &next, From::Navigation, &[], Bytes::new()).await?;
        }
        bail!("{} leads in circles", page.address)
    }

    async fn send(
        &self,
        method: Method,
        to: &Address,
        from: From,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Result<Page> {
        let request = || self.request(&method, to, from, headers, body.clone());
        let sent = tokio::time::timeout(PATIENCE, Box::pin(self.exchange(to, &method, &request))).await;
        let answer = sent.with_context(|| format!("{method} {to} took too long"))??;
        let (head, body) = answer;
        self.jar.lock().unwrap_or_else(PoisonError::into_inner).take(&to.host, &head.headers);
        let body = String::from_utf8_lossy(&body).into_owned();
        Ok(Page { address: to.clone(), status: head.status, headers: head.headers, body })
    }

    fn request(
        &self,
        method: &Method,
        to: &Address,
        from: From,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Result<Request<Full<Bytes>>> {
        let (mode, site, dest) = match from {
            From::Navigation => ("navigate", "none", "document"),
            From::Form => ("navigate", "same-origin", "document"),
            From::Script => ("cors", "same-origin", "empty"),
        };
        let mut request = Request::builder()
            .method(method)
            .uri(&to.path)
            .header(header::HOST, to.authority())
            .header(header::USER_AGENT, "Safeconduct demo browser")
            .header("sec-fetch-mode", mode)
            .header("sec-fetch-site", site)
            .header("sec-fetch-dest", dest);
        if from != From::Script {
            request = request.header(header::ACCEPT, "text/html");
        }
        if *method != Method::GET {
            request = request.header(header::ORIGIN, to.origin());
        }
        if let Some(cookies) = self.cookies(&to.host) {
            request = request.header(header::COOKIE, cookies);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Ok(request.body(Full::new(body))?)
    }

    /// One exchange over the kept connection of the host, or over a new one where that was closed meanwhile.
    async fn exchange(
        &self,
        to: &Address,
        method: &Method,
        request: &(dyn Fn() -> Result<Request<Full<Bytes>>> + Sync),
    ) -> Result<(http::response::Parts, Bytes)> {
        let slot = Arc::clone(self.connections.lock().await.entry(to.host.clone()).or_default());
        let mut kept = slot.lock().await;
        let reused = kept.take().filter(|sender| !sender.is_closed());
        let was_reused = reused.is_some();
        let mut sender = match reused {
            Some(sender) => sender,
            None => self.dial(&to.host).await?,
        };
        let answered = match sender.ready().await {
            Ok(()) => sender.send_request(request()?).await,
            Err(error) => Err(error),
        };
        let answered = match answered {
            // The other side closed the connection while it rested.
            Err(_) if was_reused && (method.is_safe() || sender.is_closed()) => {
                sender = self.dial(&to.host).await?;
                sender.ready().await?;
                sender.send_request(request()?).await
            }
            other => other,
        };
        let answer = answered.with_context(|| format!("{method} {to} got no answer"))?;
        let (head, body) = answer.into_parts();
        let body = Limited::new(body, MAX_BODY_BYTES).collect().await;
        let body = body.map_err(|e| anyhow::anyhow!("the answer of {to} broke off: {e}"))?.to_bytes();
        *kept = Some(sender);
        Ok((head, body))
    }

    async fn dial(&self, host: &str) -> Result<SendRequest<Full<Bytes>>> {
        let stream = self.net.connect(host).await?;
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(sender)
    }
}

impl Page {
    /// Where the answer sends a browser: a redirect, or a page that leads on.
    fn leads_to(&self) -> Result<Option<Address>> {
        if self.status.is_redirection() {
            let location = self.headers.get(header::LOCATION).and_then(|l| l.to_str().ok());
            return location.map(|l| self.address.join(l)).transpose();
        }
        let refresh = self.body.split_once("http-equiv=\"refresh\" content=\"0; url=").map(|(_, rest)| rest);
        let to = refresh.and_then(|rest| rest.split_once('"')).map(|(to, _)| to.replace("&amp;", "&"));
        to.map(|to| self.address.join(&to)).transpose()
    }

    /// The forgery token of the page; empty if it has none.
    pub(crate) fn token(&self) -> &str {
        let after = self.body.split_once("name=\"csrf-token\" content=\"").map(|(_, rest)| rest);
        after.and_then(|rest| rest.split_once('"')).map_or("", |(token, _)| token)
    }

    /// The body as JSON; what was refused is an error with the words of the refusal.
    pub(crate) fn json(&self) -> Result<Value> {
        let value: Value = if self.body.is_empty() { Value::Null } else { serde_json::from_str(&self.body)? };
        if self.status.is_success() {
            return Ok(value);
        }
        let words = value.pointer("/error/words").and_then(Value::as_str).unwrap_or("no words");
        bail!("{} answered {}: {words}", self.address, self.status)
    }

    /// The reason code of a denial; empty if it is none.
    pub(crate) fn code(&self) -> String {
        let value: Value = serde_json::from_str(&self.body).unwrap_or_default();
        value.pointer("/error/code").and_then(Value::as_str).unwrap_or_default().to_owned()
    }

    /// The id under which the gateway recorded it.
    pub(crate) fn request_id(&self) -> Option<&str> {
        self.headers.get("x-request-id").and_then(|v| v.to_str().ok())
    }
}
