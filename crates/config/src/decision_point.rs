//! `[decision_point]`: where other programs and gateways ask, who may ask what, and the stores that answer.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use safeconduct_model::AppId;

use crate::reader::{Faults, Table, Text};

/// The store that answers from the policies of the gateway itself.
pub const BUILT_IN: &str = "safeconduct";
/// The folder of all stores.
const STORES: &str = "stores/";

/// What `[decision_point]` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecisionPoint {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Whether it speaks TLS; without, it listens on loopback only.
    pub tls: bool,
    /// The origin under which clients reach it; `None` is the portal's host, or the address where it speaks no TLS.
    pub url: Option<String>,
    /// Authorities of client certificates, PEM.
    pub client_ca: Option<String>,
    /// Ports at which other gateways serve applications to browsers, beside our own; someone who signed in may go back there.
    pub ports: BTreeSet<u16>,
    /// The store that answers where a request names none.
    pub default_store: Option<String>,
    /// Who may ask.
    pub clients: BTreeMap<String, DecisionClient>,
    /// Who answers.
    pub stores: BTreeMap<String, DecisionStore>,
}

/// A program or gateway that may ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecisionClient {
    /// The digest of its token.
    pub token: Option<TokenDigest>,
    /// The DNS name or URI in its certificate.
    pub certificate: Option<String>,
    /// Which stores it may ask.
    pub stores: BTreeSet<String>,
    /// What it may ask.
    pub may: BTreeSet<Surface>,
}

/// A store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DecisionStore {
    /// Its folder, relative to the configuration; `None` for the built-in one.
    pub folder: Option<String>,
    /// Entity types by the type that callers name.
    pub types: BTreeMap<String, String>,
}

/// What a client may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Surface {
    /// AuthZEN evaluations.
    Evaluate,
    /// AuthZEN searches.
    Search,
    /// Envoy's external authorization.
    ExtAuthz,
    /// Traefik's forwardAuth and Caddy's `forward_auth`.
    ForwardAuth,
    /// nginx's `auth_request`.
    AuthRequest,
    /// Kubernetes' SubjectAccessReview.
    Review,
}

impl Surface {
    const NAMES: [(&'static str, Self); 6] = [
        ("evaluate", Self::Evaluate),
        ("search", Self::Search),
        ("ext_authz", Self::ExtAuthz),
        ("forward_auth", Self::ForwardAuth),
        ("auth_request", Self::AuthRequest),
        ("review", Self::Review),
    ];
    const WORDS: &'static str = "evaluate, search, ext_authz, forward_auth, auth_request, review";

    /// Its name in the configuration.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(_, s)| *s == self).map_or("", |(name, _)| name)
    }

    fn asks_stores(self) -> bool {
        matches!(self, Self::Evaluate | Self::Search | Self::Review)
    }
}

impl FromStr for Surface {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::NAMES.iter().find(|(name, _)| *name == text);
        found.map(|(_, surface)| *surface).ok_or_else(|| format!("`{text}` is none of {}", Self::WORDS))
    }
}

/// The SHA-256 of a token. It does not print.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TokenDigest([u8; 32]);

impl TokenDigest {
    /// The bytes, for comparison in constant time.
    #[must_use]
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl FromStr for TokenDigest {
    type Err = &'static str;
    /// 64 hexadecimal digits, alone or as the first word, as `sha256sum` writes them.
    fn from_str(text: &str) -> Result<Self, &'static str> {
        let digits = text.split_ascii_whitespace().next().unwrap_or_default();
        let fault = "not a SHA-256 in 64 hexadecimal digits";
        if digits.len() != 64 || !digits.is_ascii() {
            return Err(fault);
        }
        let mut bytes = [0; 32];
        for (at, byte) in bytes.iter_mut().enumerate() {
            *byte = digits.get(2 * at..2 * at + 2).and_then(|d| u8::from_str_radix(d, 16).ok()).ok_or(fault)?;
        }
        Ok(Self(bytes))
    }
}

impl fmt::Debug for TokenDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

pub(crate) fn read(mut t: Table<'_>, tokens: &[Text], faults: &mut Faults) -> Option<DecisionPoint> {
    let listen = t.required::<SocketAddr>("listen", "write address and port, as in \"127.0.0.1:8445\"", faults);
    let tls = t.flag("tls", faults).unwrap_or(true);
    if let (Some(at), false) = (listen, tls)
        && !at.ip().is_loopback()
    {
        faults.tell(&t.at, "without TLS the decision point may listen on loopback only", "take `tls = false` out");
    }
    let url = t.parsed::<String>("url", "", faults);
    if let Some(url) = &url {
        let scheme = if tls { "https://" } else { "http" };
        let rest = url.split_once("://").map_or("", |(_, rest)| rest);
        if !url.starts_with(scheme) || rest.is_empty() || rest.contains(['/', '?', '#', '@']) {
            let remedy = "write scheme, host and perhaps port, as in \"https://pdp.example.com\"";
            faults.tell(&t.at, format!("`url`: `{url}` is not an origin"), remedy);
        }
    }
    let client_ca = t.parsed::<String>("client_ca", "", faults);
    if client_ca.is_some() && !tls {
        faults.tell(&t.at, "`client_ca` needs TLS", "take `tls = false` out");
    }
    let ports = t.list::<u16>("ports", "write ports as in [\"443\"]", faults);
    let default_store = t.parsed::<String>("default_store", "", faults);
    let stores: BTreeMap<_, _> =
        t.named_tables("stores", faults).into_iter().filter_map(|(name, t)| store(name, t, faults)).collect();
    let mut clients = BTreeMap::new();
    for (name, table) in t.named_tables("clients", faults) {
        if let Some(client) = client(&name, table, &stores, tokens, client_ca.is_some(), faults) {
            clients.insert(name, client);
        }
    }
    if let Some(name) = default_store.as_ref().filter(|name| !stores.contains_key(*name)) {
        faults.tell(
            &t.at,
            format!("`default_store`: there is no store `{name}`"),
            "name one of [decision_point.stores]",
        );
    }
    t.done(faults);
    // One store is the default without saying so.
    let only = stores.keys().next().filter(|_| stores.len() == 1).cloned();
    Some(DecisionPoint {
        listen: listen?,
        tls,
        url,
        client_ca,
        ports: ports.map_or_else(|| BTreeSet::from([443]), |ports| ports.into_iter().collect()),
        default_store: default_store.or(only),
        clients,
        stores,
    })
}

fn store(name: String, mut t: Table<'_>, faults: &mut Faults) -> Option<(String, DecisionStore)> {
    if let Err(e) = name.parse::<AppId>() {
        faults.tell(&t.at, e.to_string().replace("application", "store"), "rename the store");
    }
    let at = t.at.clone();
    let folder = t.parsed::<String>("folder", "", faults);
    let types = t.named_texts("types", faults).into_iter().collect();
    t.done(faults);
    if name == BUILT_IN {
        if folder.is_some() {
            let what = format!("the store `{BUILT_IN}` is built in and has no folder");
            faults.tell(&at, what, "take `folder` out, or choose another name");
        }
        return Some((name, DecisionStore::default()));
    }
    let folder = folder.unwrap_or_else(|| format!("{STORES}{name}"));
    let below =
        folder.strip_prefix(STORES).filter(|rest| !rest.is_empty() && !rest.contains(['/', '\\']) && *rest != "..");
    if below.is_none() {
        faults.tell(&at, format!("`folder`: `{folder}` is not a folder in `stores`"), "write it as in \"stores/todo\"");
    }
    Some((name, DecisionStore { folder: Some(folder), types }))
}

fn client(
    name: &str,
    mut t: Table<'_>,
    stores: &BTreeMap<String, DecisionStore>,
    tokens: &[Text],
    certificates: bool,
    faults: &mut Faults,
) -> Option<DecisionClient> {
    let hint = "write what `printf %s TOKEN | sha256sum` prints";
    let mut token = t.parsed::<TokenDigest>("token_sha256", hint, faults);
    let at = t.at.clone();
    if let Some(file) = t.parsed::<String>("token_sha256_file", "", faults) {
        let read = tokens.iter().find(|text| text.file == file).map(|text| text.text.parse::<TokenDigest>());
        match read {
            None => {
                let remedy = "put it into the folder `clients`, as in \"clients/todo.sha256\"";
                faults.tell(&at, format!("`token_sha256_file`: there is no file `{file}`"), remedy);
            }
            Some(Err(what)) => faults.tell(&at, format!("`token_sha256_file`: {file} is {what}"), hint),
            Some(Ok(_)) if token.is_some() => {
                faults.tell(&at, "`token_sha256` and `token_sha256_file` are both there", "keep one of them");
            }
            Some(Ok(digest)) => token = Some(digest),
        }
        token = token.or(Some(TokenDigest([0; 32])));
    }
    let certificate = t.parsed::<String>("certificate", "", faults);
    if certificate.is_some() && !certificates {
        faults.tell(
            &at,
            "`certificate` needs the authority of client certificates",
            "add client_ca to [decision_point]",
        );
    }
    if token.is_none() && certificate.is_none() {
        let remedy = "add token_sha256, token_sha256_file or certificate";
        faults.tell(&at, format!("the client `{name}` has nothing to prove itself with"), remedy);
    }
    let may: BTreeSet<Surface> =
        t.list::<Surface>("may", "name what it may ask", faults).unwrap_or_default().into_iter().collect();
    if may.is_empty() {
        faults.tell(
            &at,
            format!("the client `{name}` may ask nothing"),
            format!("add may = [...] with {}", Surface::WORDS),
        );
    }
    let asked: BTreeSet<String> =
        t.list::<String>("stores", "name stores", faults).unwrap_or_default().into_iter().collect();
    for store in asked.iter().filter(|s| !stores.contains_key(*s)) {
        faults.tell(
            &at,
            format!("`stores`: there is no store `{store}`"),
            format!("add [decision_point.stores.{store}]"),
        );
    }
    let about_stores = may.iter().any(|s| s.asks_stores());
    if about_stores && asked.is_empty() {
        faults.tell(
            &at,
            format!("the client `{name}` may ask no store"),
            "add stores = [\"NAME\"]; an empty list is none",
        );
    }
    t.done(faults);
    Some(DecisionClient { token, certificate, stores: asked, may })
}
