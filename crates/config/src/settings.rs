//! `safeconduct.toml`: listeners, sessions, devices, networks, identity providers.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;
use jiff::tz::TimeZone;
use safeconduct_access::Lifetimes;
use safeconduct_model::{Check, Duration, GroupId, Host};

use crate::acme::{self, Acme};
use crate::decision_point::{self, DecisionPoint};
use crate::limits::{self, Limits};
use crate::listen::{self, Listen};
use crate::reader::{At, Faults, Table, Text, parse};
use crate::traces::{self, Traces};

/// What `safeconduct.toml` says.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The name of the organisation.
    pub organisation: String,
    /// The zone in which hours and weekdays are meant.
    pub zone: TimeZone,
    /// The folder for keys, ledger and state, relative to the configuration.
    pub data: String,
    /// The host name of the portal: sign-in, console, the pages of the end users.
    pub portal: Host,
    /// Where is served, and whose word about addresses counts.
    pub listen: Listen,
    /// How many data-plane threads; none where the number of cores decides.
    pub threads: Option<usize>,
    /// Certificate files, where the local authority should not issue them.
    pub tls: Option<TlsFiles>,
    /// Where public certificates come from, if the local authority should not issue all of them.
    pub acme: Option<Acme>,
    /// How long sessions live.
    pub lifetimes: Lifetimes,
    /// How long a posture report counts.
    pub report_max_age: Duration,
    /// What a compliant device passes.
    pub required_checks: BTreeSet<Check>,
    /// Named networks, most specific first.
    pub networks: Vec<Network>,
    /// Purposes that people may state.
    pub purposes: Vec<String>,
    /// Ed25519 keys by which policies must be signed; none where policies need no signature.
    pub trusted_keys: Vec<[u8; 32]>,
    /// A MaxMind country database.
    pub geoip: Option<String>,
    /// Identity providers.
    pub oidc: Vec<OidcProvider>,
    /// Whose members may become the first administrator and operate the console by the starter policy.
    pub operators: GroupId,
    /// Authorities, PEM, that sign the certificates of applications, beside those that everybody trusts.
    pub upstream_ca: Option<String>,
    /// Every bound of the gateway.
    pub limits: Limits,
    /// How long ledger records may wait for the disk where nothing waits for them.
    pub ledger_sync: Duration,
    /// Where spans are sent, if anywhere.
    pub traces: Option<Traces>,
    /// The decision point for other programs and gateways, if there is one.
    pub decision_point: Option<DecisionPoint>,
}

/// A named network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    /// Its name, as policies spell it.
    pub name: String,
    /// What belongs to it.
    pub ranges: Vec<IpNet>,
}

/// Certificate and key, PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The chain, leaf first.
    pub certificate: String,
    /// The key.
    pub key: String,
}

/// How a first sign-in through a provider finds its person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Link {
    /// By an e-mail address that the provider has verified and exactly one person has.
    Email,
    /// By a claim that holds the person id.
    Claim(String),
    /// Not at all: an operator links accounts.
    Never,
}

/// An OpenID provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OidcProvider {
    /// Its id, part of the redirect URI.
    pub id: String,
    /// Its name on the sign-in page.
    pub name: String,
    /// The issuer, exactly as in its discovery document.
    pub issuer: String,
    /// Our client id there.
    pub client_id: String,
    /// The file that holds our client secret; none for a public client.
    pub client_secret_file: Option<String>,
    /// How a first sign-in finds its person.
    pub link: Link,
    /// Whether it is believed about several and phishing-resistant factors (`amr`, `acr`).
    pub trust_methods: bool,
    /// Whether the issuer may be plain HTTP on loopback.
    pub allow_http_loopback: bool,
    /// More certificates to trust when talking to it, PEM.
    pub ca_file: Option<String>,
}

impl Settings {
    /// The name of the network that holds an address.
    #[must_use]
    pub fn network_of(&self, ip: IpAddr) -> Option<&str> {
        let holding = self.networks.iter().filter_map(|n| {
            let longest = n.ranges.iter().filter(|r| r.contains(&ip)).map(IpNet::prefix_len).max()?;
            Some((longest, n.name.as_str()))
        });
        holding.max_by_key(|(longest, _)| *longest).map(|(_, name)| name)
    }
}

const SPAN_HELP: &str = "";

pub(crate) fn read(source: &Text, tokens: &[Text], faults: &mut Faults) -> Option<Settings> {
    let document = parse(source, faults);
    let mut root = Table::new(source, "the file", document.get_ref(), 0);
    let organisation = root.required::<String>("organisation", "name your organisation", faults);
    let zone = root.required::<String>("zone", "name a time zone, as in \"Europe/Berlin\"", faults).and_then(|name| {
        TimeZone::get(&name)
            .map_err(|_| {
                faults.tell(
                    &root.at,
                    format!("`zone`: no time zone is called `{name}`"),
                    "use an IANA name, as in \"Europe/Berlin\"",
                );
            })
            .ok()
    });
    let data = root.parsed("data", SPAN_HELP, faults).unwrap_or_else(|| "data".to_owned());
    let purposes = root.list::<String>("purposes", "write it as in [\"support\"]", faults).unwrap_or_default();
    let operators = root.parsed("operators", "name a group", faults);
    let mut portal = root.table("portal", faults);
    let portal_host = match &mut portal {
        Some(t) => t.required::<Host>("host", "name the host of the portal, as in \"portal.example.com\"", faults),
        None => {
            faults.tell(&root.at, "the section [portal] is missing", "add [portal] with host = \"portal.example.com\"");
            None
        }
    };
    if let Some(t) = portal {
        t.done(faults);
    }

    let listen = listen::read(root.table("listen", faults), faults);
    let threads = listen::threads(root.table("gateway", faults), faults);
    let tls = root.table("tls", faults).and_then(|mut t| {
        let certificate = t.required("certificate", "name the PEM file of the chain", faults);
        let key = t.required("key", "name the PEM file of the key", faults);
        t.done(faults);
        Some(TlsFiles { certificate: certificate?, key: key? })
    });
    let mut lifetimes = Lifetimes { absolute: Duration::from_hours(12), idle: Duration::from_hours(1) };
    if let Some(mut t) = root.table("sessions", faults) {
        lifetimes.absolute = t.span("absolute", faults).unwrap_or(lifetimes.absolute);
        lifetimes.idle = t.span("idle", faults).unwrap_or(lifetimes.idle);
        if lifetimes.idle == Duration::ZERO || lifetimes.absolute < lifetimes.idle {
            faults.tell(
                &t.at,
                "`idle` must be longer than nothing and at most `absolute`",
                "for example absolute = \"12h\", idle = \"1h\"",
            );
        }
        t.done(faults);
    }
    let mut report_max_age = Duration::from_hours(24);
    let mut required_checks = BTreeSet::from([Check::DiskEncrypted, Check::EndpointProtection, Check::OsCurrent]);
    if let Some(mut t) = root.table("devices", faults) {
        report_max_age = t.span("report_max_age", faults).unwrap_or(report_max_age);
        if let Some(named) = t.list::<CheckName>("required", CHECK_HELP, faults) {
            required_checks = named.into_iter().map(|c| c.0).collect();
        }
        t.done(faults);
    }
    let upstream_ca = root.table("upstream", faults).and_then(|mut t| {
        let file =
            t.required("ca_file", "name the PEM file of the authorities that sign for your applications", faults);
        t.done(faults);
        file
    });
    let networks = networks(&mut root, faults);
    let mut trusted_keys = Vec::new();
    if let Some(mut t) = root.table("policy", faults) {
        let before = faults.0.len();
        let keys = t.list::<KeyDigits>("trusted_keys", KEYS_HELP, faults);
        // An empty list would read as "none is needed" to one and as "none is enough" to another.
        if keys.as_ref().is_some_and(Vec::is_empty) && faults.0.len() == before {
            faults.tell(
                &t.at,
                "`trusted_keys` names no key",
                "name one, or remove the line to let unsigned policies bind",
            );
        }
        trusted_keys = keys.unwrap_or_default().into_iter().map(|k| k.0).collect();
        t.done(faults);
    }
    let geoip = root.table("geoip", faults).and_then(|mut t| {
        let file = t.required("file", "name the .mmdb file", faults);
        t.done(faults);
        file
    });
    let oidc = root.tables("oidc", faults).into_iter().filter_map(|t| provider(t, faults)).collect();
    let limits = limits::read(root.table("limits", faults), faults);
    let mut ledger_sync = Duration::from_millis(200);
    if let Some(mut t) = root.table("ledger", faults) {
        ledger_sync = t.span("sync", faults).unwrap_or(ledger_sync);
        if ledger_sync > Duration::from_secs(10) {
            faults.tell(&t.at, "`sync` may be 10s at most", "a longer wait loses more records when the power fails");
        }
        t.done(faults);
    }
    let decision_point = root.table("decision_point", faults).and_then(|t| decision_point::read(t, tokens, faults));
    let acme = acme::read(root.table("acme", faults), tls.is_some(), faults);
    let traces = traces::read(root.table("traces", faults), faults);
    root.done(faults);
    Some(Settings {
        organisation: organisation?,
        zone: zone?,
        data,
        portal: portal_host?,
        listen,
        upstream_ca,
        threads,
        tls,
        acme,
        lifetimes,
        report_max_age,
        required_checks,
        networks,
        purposes,
        trusted_keys,
        geoip,
        oidc,
        operators: operators.unwrap_or_else(|| "operators".parse().expect("a fixed id is valid")),
        limits,
        ledger_sync,
        traces,
        decision_point,
    })
}

const KEYS_HELP: &str =
    "write it as in [\"64 lower-case hexadecimal digits\"]; `safeconduct policy key new FILE` prints them";

/// A public key in hexadecimal digits.
struct KeyDigits([u8; 32]);

impl std::str::FromStr for KeyDigits {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const WHAT: &str = "this is not a key of 64 lower-case hexadecimal digits";
        let digit = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if text.len() != 64 || !text.bytes().all(digit) {
            return Err(WHAT);
        }
        let mut bytes = [0; 32];
        for (i, byte) in bytes.iter_mut().enumerate() {
            let pair = text.get(2 * i..2 * i + 2).ok_or(WHAT)?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| WHAT)?;
        }
        Ok(Self(bytes))
    }
}

const CHECK_HELP: &str = "use disk_encrypted, endpoint_protection, os_current, firewall, screen_lock";

struct CheckName(Check);

impl std::str::FromStr for CheckName {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        Check::from_name(text).map(Self).ok_or_else(|| format!("no check is called `{text}`"))
    }
}

fn networks(root: &mut Table<'_>, faults: &mut Faults) -> Vec<Network> {
    let mut networks: Vec<Network> = Vec::new();
    for mut t in root.tables("network", faults) {
        let name = t.required::<String>("name", "name the network", faults);
        let ranges = t.list::<IpNet>("ranges", "write networks as in \"10.1.0.0/16\"", faults).unwrap_or_default();
        if let Some(name) = name {
            if name == "other" || networks.iter().any(|n| n.name == name) {
                faults.tell(&t.at, format!("the network name `{name}` is taken"), "choose another");
            }
            if ranges.is_empty() {
                faults.tell(&t.at, format!("the network `{name}` holds nothing"), "add ranges = [\"10.1.0.0/16\"]");
            }
            networks.push(Network { name, ranges });
        }
        t.done(faults);
    }
    networks
}

/// Whether an address is plain HTTP to this very machine: the whole host is loopback's, not only its beginning.
fn is_on_loopback(address: &str) -> bool {
    let Some(authority) = address.strip_prefix("http://").and_then(|rest| rest.split(['/', '?', '#']).next()) else {
        return false;
    };
    let after = ["localhost", "127.0.0.1", "[::1]"].iter().find_map(|host| authority.strip_prefix(host));
    match after.map(|rest| rest.strip_prefix(':').ok_or(rest)) {
        Some(Ok(port)) => port.parse::<u16>().is_ok() && port.bytes().all(|b| b.is_ascii_digit()),
        Some(Err(rest)) => rest.is_empty(),
        None => false,
    }
}

fn provider(mut t: Table<'_>, faults: &mut Faults) -> Option<OidcProvider> {
    let id = t.required::<safeconduct_model::AppId>("id", "a short name, part of the redirect URI", faults);
    let name = t.parsed::<String>("name", "", faults);
    let issuer = t.required::<String>("issuer", "the issuer URL, exactly as the provider spells it", faults);
    let client_id = t.required::<String>("client_id", "the id that the provider gave to Safeconduct", faults);
    let client_secret_file = t.parsed("client_secret_file", "", faults);
    let trust_methods = t.flag("trust_methods", faults).unwrap_or(false);
    let allow_http_loopback = t.flag("allow_http_loopback", faults).unwrap_or(false);
    let ca_file = t.parsed("ca_file", "", faults);
    let link = t.word(
        "link",
        |text| match text {
            "email" => Some(Link::Email),
            "never" => Some(Link::Never),
            other => other.strip_prefix("claim:").filter(|c| !c.is_empty()).map(|c| Link::Claim(c.to_owned())),
        },
        "email, never, claim:NAME",
        faults,
    );
    let at: At = t.at.clone();
    t.done(faults);
    if let Some(issuer) = &issuer {
        let plain = allow_http_loopback && is_on_loopback(issuer);
        if !issuer.starts_with("https://") && !plain {
            faults.tell(
                &at,
                "`issuer` must begin with https://",
                "for a provider on this machine, set allow_http_loopback = true",
            );
        }
    }
    let id = id?.to_string();
    Some(OidcProvider {
        name: name.unwrap_or_else(|| id.clone()),
        id,
        issuer: issuer?,
        client_id: client_id?,
        client_secret_file,
        link: link.unwrap_or(Link::Never),
        trust_methods,
        allow_http_loopback,
        ca_file,
    })
}

#[cfg(test)]
mod tests {
    use super::is_on_loopback;

    #[test]
    fn nt_37_only_this_very_machine_is_asked_in_plain_text() {
        for good in ["http://localhost", "http://127.0.0.1:8080/realm", "http://[::1]:1", "http://localhost/?x"] {
            assert!(is_on_loopback(good), "{good}");
        }
        for bad in [
            "http://127.0.0.1.evil.example",
            "http://localhost.evil.example/",
            "http://127.0.0.1@evil.example",
            "http://127.0.0.1:80@evil.example",
            "http://localhost:",
            "http://localhost:+80",
            "http://127.0.0.10",
            "http://169.254.169.254",
            "https://localhost",
            "ftp://localhost",
        ] {
            assert!(!is_on_loopback(bad), "{bad}");
        }
    }
}
