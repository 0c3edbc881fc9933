//! A browser without a screen: cookies by host, redirects, forms. People come in by the same door as everyone else.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context, Result, bail};

use crate::client::{Door, Heard};

/// How many redirects are followed.
const MAX_REDIRECTS: usize = 12;

/// The browser of one person.
pub struct Browser {
    door: Arc<Door>,
    /// The cookies, by host and name.
    pub jar: BTreeMap<String, BTreeMap<String, String>>,
}

/// An answer with its place.
#[derive(Clone, Debug)]
pub struct Page {
    /// The host.
    pub host: String,
    /// The target that was asked for.
    pub target: String,
    /// What came back.
    pub heard: Heard,
}

impl Page {
    /// The forgery token of the page; empty if it has none.
    #[must_use]
    pub fn token(&self) -> &str {
        let after = self.heard.text.split_once("name=\"csrf-token\" content=\"").map(|(_, rest)| rest);
        after.and_then(|rest| rest.split_once('"')).map_or("", |(token, _)| token)
    }

    /// Where it leads: host and target.
    #[must_use]
    pub fn leads_to(&self) -> Option<(String, String)> {
        let refresh = self.heard.text.split_once("http-equiv=\"refresh\" content=\"0; url=").map(|(_, rest)| rest);
        let refresh = refresh.and_then(|rest| rest.split_once('"')).map(|(to, _)| to.replace("&amp;", "&"));
        let to = self.heard.header("location").map(str::to_owned).or(refresh)?;
        match to.strip_prefix("https://") {
            None => Some((self.host.clone(), to)),
            Some(rest) => {
                let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
                let host = authority.split(':').next().unwrap_or_default();
                Some((host.to_owned(), format!("/{path}")))
            }
        }
    }
}

impl Browser {
    /// A browser without cookies.
    #[must_use]
    pub fn new(door: Arc<Door>) -> Self {
        Self { door, jar: BTreeMap::new() }
    }

    /// The `Cookie` line for a host, with its end; empty if there is none.
    #[must_use]
    pub fn cookie_line(&self, host: &str) -> String {
        let Some(cookies) = self.jar.get(host).filter(|c| !c.is_empty()) else { return String::new() };
        let pairs: Vec<String> = cookies.iter().map(|(n, v)| format!("{n}={v}")).collect();
        format!("cookie: {}\r\n", pairs.join("; "))
    }

    /// Asks once, and keeps the cookies of the answer.
    pub fn get(&mut self, host: &str, target: &str) -> Result<Page> {
        self.send(host, "GET", target, "accept: text/html\r\nsec-fetch-mode: navigate\r\nsec-fetch-site: none\r\n", "")
    }

    /// Opens a page and follows redirects.
    pub fn open(&mut self, host: &str, target: &str) -> Result<Page> {
        let page = self.get(host, target)?;
        self.follow(page)
    }

    /// Sends a form as its page does.
    pub fn submit(&mut self, host: &str, target: &str, form: &str) -> Result<Page> {
        let port = self.door.port;
        let fields = format!(
            "content-type: application/x-www-form-urlencoded\r\norigin: https://{host}:{port}\r\nsec-fetch-site: same-origin\r\nsec-fetch-mode: navigate\r\naccept: text/html\r\n"
        );
        self.send(host, "POST", target, &fields, form)
    }

    /// Sends anything, with the cookies of the host.
    pub fn send(&mut self, host: &str, method: &str, target: &str, fields: &str, body: &str) -> Result<Page> {
        let mut visit = self.door.open(host)?;
        let port = self.door.port;
        let length = if method == "GET" { String::new() } else { format!("content-length: {}\r\n", body.len()) };
        let cookies = self.cookie_line(host);
        visit.send(format!(
            "{method} {target} HTTP/1.1\r\nhost: {host}:{port}\r\n{cookies}{fields}{length}connection: close\r\n\r\n{body}"
        ))?;
        let heard = visit.listen();
        self.keep(host, &heard);
        Ok(Page { host: host.to_owned(), target: target.to_owned(), heard })
    }

    fn follow(&mut self, mut page: Page) -> Result<Page> {
        for _ in 0..MAX_REDIRECTS {
            let Some((host, target)) = page.leads_to() else { return Ok(page) };
            page = self.get(&host, &target)?;
        }
        bail!("{}{} leads in circles", page.host, page.target)
    }

    fn keep(&mut self, host: &str, heard: &Heard) {
        let head = heard.text.split("\r\n\r\n").next().unwrap_or_default();
        let pairs = head.lines().filter_map(|l| l.split_once(": "));
        for (_, line) in pairs.filter(|(name, _)| name.eq_ignore_ascii_case("set-cookie")) {
            let mut parts = line.split(';').map(str::trim);
            let Some((name, value)) = parts.next().and_then(|pair| pair.split_once('=')) else { continue };
            let gone = parts.any(|a| a.eq_ignore_ascii_case("max-age=0"));
            let cookies = self.jar.entry(host.to_owned()).or_default();
            if gone {
                cookies.remove(name);
            } else {
                cookies.insert(name.to_owned(), value.to_owned());
            }
        }
    }

    /// Uses a one-time link.
    pub fn use_link(&mut self, link: &str) -> Result<Page> {
        let rest = link.strip_prefix("https://").context("the link is one of the portal")?;
        let (authority, path) = rest.split_once('/').context("the link has a path")?;
        let host = authority.split(':').next().unwrap_or_default().to_owned();
        let page = self.submit(&host, &format!("/{path}"), "person=&name=")?;
        if self.jar.get(&host).is_none_or(|c| !c.contains_key(Self::SESSION)) {
            bail!("the link opened no session: {}", page.heard.text);
        }
        Ok(page)
    }

    /// The name of the cookie that holds a session.
    pub const SESSION: &str = "__Host-safeconduct";

    /// The secret of the session on a host.
    pub fn secret(&self, host: &str) -> Result<&str> {
        let of = self.jar.get(host).and_then(|c| c.get(Self::SESSION));
        of.map(String::as_str).with_context(|| format!("there is no session on {host}"))
    }
}
