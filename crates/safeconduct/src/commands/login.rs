//! `login`: this machine signs in as a person, and its tokens count beside its key alone.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;
use safeconduct_authn::code_grant::challenge;
use safeconduct_authn::dpop::Thumbprint;
use safeconduct_authn::one_time::same_text;
use safeconduct_server::clock;
use serde::Deserialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use crate::out::{Answer, aside, say, table};
use crate::program::{Home, Issued, Keyring, Net, OAuth, Portal, Session, Told, form, random_text};

/// How long a person may take to answer in the browser.
const ANSWER: Duration = Duration::from_secs(600);
/// The longest head of a request that the browser sends back.
const MAX_HEAD_BYTES: usize = 8 * 1024;
/// How long the browser may take to send it.
const HEAD: Duration = Duration::from_secs(5);
/// How many requests are looked at: browsers ask for pictures too.
const MAX_REQUESTS: usize = 100;
/// The longest pause between two looks, in seconds.
const MAX_INTERVAL: u64 = 60;

/// Signs this machine in, through the browser.
#[derive(Args)]
pub(crate) struct Login {
    /// The portal, such as `https://portal.example:8443`; the last one if it is not named.
    #[arg(long)]
    portal: Option<String>,
    /// The authority that the portal's certificate comes from; it is kept. Without it those of the system are trusted.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Show a code for a browser on any machine, instead of opening one here.
    #[arg(long)]
    device: bool,
    /// What this machine calls itself.
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Say who this machine is signed in as. Exit 1 if it is not.
    #[arg(long, conflicts_with_all = ["out", "device", "name"])]
    status: bool,
    /// Sign out: the session ends, tokens and key are forgotten.
    #[arg(long, conflicts_with_all = ["device", "name"])]
    out: bool,
}

pub(crate) async fn login(asked: &Login) -> Result<Answer> {
    let home = Home::of(asked.portal.as_deref())?;
    if !asked.status && !asked.out {
        home.begin()?;
        if let Some(file) = &asked.ca {
            let pem = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
            // It is looked at before it is kept.
            Net::new(Some(file))?;
            home.trust(&pem)?;
        }
    }
    let net = Net::new(home.authority().as_deref())?;
    if asked.status || asked.out {
        let keyring = match Keyring::open(home, net) {
            Ok(keyring) => keyring,
            Err(error) => return no(error),
        };
        return if asked.status { status(&keyring).await } else { out(&keyring).await };
    }
    let portal = Portal::new(home.portal.clone(), net);
    let keyring = Keyring::new(home.clone(), portal, home.key()?);
    let name = asked.name.clone().unwrap_or_else(own_name);
    let browser = if asked.device { None } else { opener() };
    let issued = match browser {
        Some(opener) => with_browser(&keyring, &name, &opener).await,
        None => with_code(&keyring, &name).await,
    };
    match issued {
        Ok(issued) => {
            home.save(&issued.saved(clock::system()))?;
            status(&keyring).await
        }
        Err(error) => match error.downcast_ref::<OAuth>() {
            Some(no) if matches!(no.code.as_str(), "access_denied" | "expired_token" | "invalid_grant") => {
                aside(format!("not signed in: {no}"));
                Ok(Answer::No)
            }
            _ => Err(error),
        },
    }
}

async fn status(keyring: &Keyring) -> Result<Answer> {
    let session = match keyring.session().await {
        Ok(session) => session,
        Err(error) => return no(error),
    };
    let Session { person, name, session, methods, until, applications } = session;
    say(format!("{} at {}", if name.is_empty() { &person } else { &name }, keyring.home.portal));
    say(format!("session {session}, proven by {}, until {until}", methods.join(" and ")));
    if !applications.is_empty() {
        let rows: Vec<Vec<String>> = applications.into_iter().map(|a| vec![a.id, a.name, a.address]).collect();
        table(&["application", "name", "address"], &rows);
    }
    Ok(Answer::Done)
}

/// No is an answer, not a failure.
fn no(error: anyhow::Error) -> Result<Answer> {
    match error.downcast::<Told>() {
        Ok(told) => {
            aside(told.to_string());
            Ok(Answer::No)
        }
        Err(error) => Err(error),
    }
}

async fn out(keyring: &Keyring) -> Result<Answer> {
    let told = match keyring.home.saved() {
        Some(saved) => {
            let fields = [("token", saved.refresh_token.as_str())];
            keyring.portal.post::<serde_json::Value>(&keyring.key, "/oauth/revoke", &fields, None).await.map(|_| ())
        }
        None => Ok(()),
    };
    keyring.home.forget()?;
    told.context("tokens and key are forgotten here, but the portal was not told; end the session there")?;
    say("signed out");
    Ok(Answer::Done)
}

/// `user@host`, as far as this machine knows.
fn own_name() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let host = host.or_else(|| std::env::var("HOSTNAME").ok()).map(|h| h.trim().to_owned());
    let user = std::env::var("USER").ok().filter(|u| !u.is_empty());
    match (user, host.filter(|h| !h.is_empty())) {
        (Some(user), Some(host)) => format!("{user}@{host}"),
        (Some(one), None) | (None, Some(one)) => one,
        (None, None) => String::new(),
    }
}

/// The program that opens an address in a browser of this machine, if there is one.
fn opener() -> Option<String> {
    let set = |name: &str| std::env::var(name).ok().filter(|v| !v.is_empty());
    if let Some(browser) = set("BROWSER") {
        return Some(browser);
    }
    // Someone who came over SSH sits in front of another machine.
    if set("SSH_CONNECTION").is_some() {
        return None;
    }
    let name = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
    let has_screen = cfg!(target_os = "macos") || set("DISPLAY").or_else(|| set("WAYLAND_DISPLAY")).is_some();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).any(|folder| folder.join(name).is_file());
    (has_screen && found).then(|| name.to_owned())
}

#[derive(Deserialize)]
struct Begun {
    device_code: String,
    user_code: String,
    verification_uri: String,
    verification_uri_complete: String,
    expires_in: u64,
    interval: u64,
}

/// The device authorisation grant (RFC 8628).
async fn with_code(keyring: &Keyring, name: &str) -> Result<Issued> {
    let fields = [("client_id", "safeconduct"), ("machine", name)];
    let begun: Begun = keyring.portal.post(&keyring.key, "/oauth/device_authorization", &fields, None).await?;
    say(format!("Open {} on any machine where you sign in, and type the code", begun.verification_uri));
    say(format!("  {}", begun.user_code));
    say(format!("or open {}", begun.verification_uri_complete));
    let mut interval = begun.interval.clamp(1, MAX_INTERVAL);
    let fields = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:device_code"),
        ("device_code", begun.device_code.as_str()),
        ("client_id", "safeconduct"),
    ];
    let looking = async {
        loop {
            tokio::time::sleep(Duration::from_secs(interval)).await;
            match keyring.portal.post::<Issued>(&keyring.key, "/oauth/token", &fields, None).await {
                Ok(issued) => return Ok(issued),
                Err(error) => match error.downcast_ref::<OAuth>().map(|e| e.code.as_str()) {
                    Some("authorization_pending") => {}
                    Some("slow_down") => interval = (interval + 5).min(MAX_INTERVAL),
                    Some(_) => return Err(error),
                    // The network may come back before the code expires.
                    None => tracing::debug!(%error, "the portal does not answer"),
                },
            }
        }
    };
    let expired = || OAuth { code: "expired_token".into(), words: "Nobody answered. Begin the sign-in again.".into() };
    match timeout(Duration::from_secs(begun.expires_in), looking).await {
        Ok(issued) => issued,
        Err(_) => Err(expired().into()),
    }
}

/// The authorisation code with PKCE, which the browser brings back to a port of this machine (RFC 8252).
async fn with_browser(keyring: &Keyring, name: &str, opener: &str) -> Result<Issued> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.context("cannot listen on loopback")?;
    let redirect = format!("http://127.0.0.1:{}/", listener.local_addr()?.port());
    let (verifier, state) = (random_text()?, random_text()?);
    let (challenge, key) = (challenge(&verifier), Thumbprint::of(keyring.key.verifying_key()));
    let query = form(&[
        ("response_type", "code"),
        ("client_id", "safeconduct"),
        ("redirect_uri", &redirect),
        ("code_challenge", &challenge),
        ("code_challenge_method", "S256"),
        ("dpop_jkt", key.as_str()),
        ("state", &state),
        ("machine", name),
    ]);
    let origin = keyring.home.portal.origin();
    let address = format!("{origin}/oauth/authorize?{query}");
    say(format!("Answer in the browser. If none opens, open this address on this machine:\n  {address}"));
    let mut command = std::process::Command::new(opener);
    command.arg(&address).stdin(std::process::Stdio::null()).stdout(std::process::Stdio::null());
    if let Err(error) = command.stderr(std::process::Stdio::null()).spawn() {
        aside(format!("no browser could be opened ({opener}: {error})"));
    }
    let waiting = Box::pin(wait_for_code(&listener, &state, &origin));
    let code = timeout(ANSWER, waiting).await.context("nobody answered in the browser within ten minutes")??;
    let fields = [
        ("grant_type", "authorization_code"),
        ("code", code.as_str()),
        ("code_verifier", verifier.as_str()),
        ("redirect_uri", redirect.as_str()),
        ("client_id", "safeconduct"),
    ];
    keyring.portal.post(&keyring.key, "/oauth/token", &fields, None).await
}

/// What the browser brought back.
#[derive(Debug, PartialEq, Eq)]
enum Brought {
    Code(String),
    Denied,
    /// Something else: a picture that a browser asks for, or a page of someone else that guesses our port.
    Nothing,
}

async fn wait_for_code(listener: &TcpListener, state: &str, origin: &str) -> Result<String> {
    for _ in 0..MAX_REQUESTS {
        let (mut stream, _) = listener.accept().await?;
        let Ok(Some(target)) = timeout(HEAD, target(&mut stream)).await else { continue };
        let (status, words, brought) = match brought(&target, state, origin) {
            Brought::Code(code) => ("200 OK", "Signed in. You may close this page.", Ok(Some(code))),
            Brought::Denied => {
                let no = OAuth { code: "access_denied".into(), words: "You said no in the browser.".into() };
                ("200 OK", "Not signed in. You may close this page.", Err(no))
            }
            Brought::Nothing => ("404 Not Found", "There is nothing here.", Ok(None)),
        };
        let answer = format!(
            "HTTP/1.1 {status}\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: {}\r\ncache-control: no-store\r\n\
             referrer-policy: no-referrer\r\nconnection: close\r\n\r\n{words}",
            words.len()
        );
        let _ = stream.write_all(answer.as_bytes()).await;
        let _ = stream.shutdown().await;
        if let Some(code) = brought? {
            return Ok(code);
        }
    }
    bail!("too many requests came to this machine's port, and none of them from the portal")
}

/// The target of a request, from its first line.
async fn target(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    let mut piece = [0; 1024];
    while !head.windows(4).any(|w| w == b"\r\n\r\n") {
        let n = stream.read(&mut piece).await.ok().filter(|n| *n > 0)?;
        head.extend_from_slice(&piece[..n]);
        if head.len() > MAX_HEAD_BYTES {
            return None;
        }
    }
    let line = std::str::from_utf8(&head).ok()?.lines().next()?;
    line.strip_prefix("GET ")?.split(' ').next().map(str::to_owned)
}

/// Reads what the browser brought: only the answer to our own question, from our own portal (RFC 9207).
fn brought(target: &str, state: &str, origin: &str) -> Brought {
    let Some(query) = target.strip_prefix("/?") else { return Brought::Nothing };
    let one = |name: &str| {
        let mut all = query.split('&').filter_map(|p| p.split_once('=')).filter(|(k, _)| *k == name).map(|(_, v)| v);
        all.next().filter(|_| all.next().is_none())
    };
    let ours = one("state").is_some_and(|s| same_text(s, state));
    let theirs = form(&[("iss", origin)]);
    let issuer = one("iss").is_some_and(|i| format!("iss={}", i.replace("/", "%2F").replace(':', "%3A")) == theirs);
    match (ours && issuer, one("code"), one("error")) {
        (true, Some(code), None) => Brought::Code(code.to_owned()),
        (true, None, Some(_)) => Brought::Denied,
        _ => Brought::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_answer_to_our_own_question_counts() {
        let origin = "https://portal.acme.com:8443";
        let read = |target: &str| brought(target, "s1", origin);
        let iss = "iss=https%3A//portal.acme.com%3A8443";
        assert_eq!(read(&format!("/?code=c&state=s1&{iss}")), Brought::Code("c".into()));
        assert_eq!(read("/?code=c&state=s1&iss=https%3A%2F%2Fportal.acme.com%3A8443"), Brought::Code("c".into()));
        assert_eq!(read(&format!("/?error=access_denied&state=s1&{iss}")), Brought::Denied);
        for foreign in [
            "/favicon.ico".to_owned(),
            "/?code=c&state=s1".to_owned(),
            format!("/?code=c&{iss}"),
            format!("/?code=c&state=s2&{iss}"),
            format!("/?code=c&code=d&state=s1&{iss}"),
            format!("/?code=c&error=x&state=s1&{iss}"),
            "/?code=c&state=s1&iss=https%3A//evil.example".to_owned(),
            format!("/other?code=c&state=s1&{iss}"),
        ] {
            assert_eq!(read(&foreign), Brought::Nothing, "{foreign}");
        }
    }
}
