//! `[listen]` and `[gateway]`: where is served, for whom others may speak, and on how many threads.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use ipnet::IpNet;

use crate::reader::{Faults, Table};

/// The most data-plane threads.
pub const MAX_THREADS: u64 = 256;
/// The most networks of trusted hops.
const MAX_TRUSTED: usize = 64;

/// Where is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// TLS, for everybody.
    pub https: SocketAddr,
    /// Plain HTTP on a loopback address, for a sidecar or a program on the same machine that ends TLS.
    pub plain: Option<SocketAddr>,
    /// Plain HTTP that knows one answer: the same address over HTTPS.
    pub redirect: Option<SocketAddr>,
    /// Health, readiness and metrics, in plain HTTP and to probes only.
    pub health: Option<SocketAddr>,
    /// The hops in front of us that are believed about the address of the client. Nobody, if empty.
    pub trusted_proxies: Vec<IpNet>,
    /// Whether every connection to `https`, `plain` and `redirect` begins with a PROXY protocol header of version 2.
    pub proxy_protocol: bool,
}

impl Default for Listen {
    fn default() -> Self {
        Self {
            https: SocketAddr::from(([127, 0, 0, 1], 8443)),
            plain: None,
            redirect: None,
            health: None,
            trusted_proxies: Vec::new(),
            proxy_protocol: false,
        }
    }
}

const PLACE: &str = "write address and port, as in \"127.0.0.1:8080\"";
const NETWORKS: &str = "write networks as in [\"10.0.0.0/8\"]";

/// Reads `[listen]`.
pub(crate) fn read(t: Option<Table<'_>>, faults: &mut Faults) -> Listen {
    let mut listen = Listen::default();
    let Some(mut t) = t else { return listen };
    let told = faults.0.len();
    listen.https = t.parsed("https", PLACE, faults).unwrap_or(listen.https);
    listen.plain = t.parsed("plain", PLACE, faults);
    listen.redirect = t.parsed("redirect", PLACE, faults);
    listen.health = t.parsed("health", PLACE, faults);
    if let Some(plain) = listen.plain.filter(|at| !at.ip().is_loopback()) {
        let what = format!("`plain`: {plain} can be reached from other machines, and plain HTTP shows every secret");
        faults.tell(&t.at, what, "use a loopback address, as in \"127.0.0.1:8080\", and `https` for everybody else");
    }
    listen.trusted_proxies = t.list("trusted_proxies", NETWORKS, faults).unwrap_or_default();
    for net in listen.trusted_proxies.iter().filter(|n| holds_everybody(n)) {
        let what = format!("`trusted_proxies`: {net} trusts everybody to say who is asking");
        faults.tell(&t.at, what, "name the hops that stand in front, as in \"10.1.2.3/32\"");
    }
    if listen.trusted_proxies.len() > MAX_TRUSTED {
        let what = format!("`trusted_proxies` names more than {MAX_TRUSTED} networks");
        faults.tell(&t.at, what, "name larger networks");
    }
    listen.proxy_protocol = t.flag("proxy_protocol", faults).unwrap_or(false);
    if listen.proxy_protocol && listen.trusted_proxies.is_empty() && faults.0.len() == told {
        let what = "`proxy_protocol` without `trusted_proxies`: an empty list trusts nobody, so nobody could connect";
        faults.tell(&t.at, what, "name the hops that send the header in trusted_proxies");
    }
    t.done(faults);
    listen
}

/// Reads `[gateway]`: how many threads; none where the number of cores decides.
pub(crate) fn threads(t: Option<Table<'_>>, faults: &mut Faults) -> Option<usize> {
    let mut t = t?;
    let threads = t.number("threads", 1..MAX_THREADS + 1, faults).and_then(|n| usize::try_from(n).ok());
    t.done(faults);
    threads
}

/// Whether a network is everybody, in either version, or everybody of version 4 in the dress of version 6.
fn holds_everybody(net: &IpNet) -> bool {
    match net {
        IpNet::V4(net) => net.prefix_len() == 0,
        IpNet::V6(net) => {
            let mapped = Ipv4Addr::UNSPECIFIED.to_ipv6_mapped();
            net.prefix_len() == 0 || (net.prefix_len() <= 96 && net.contains(&mapped))
        }
    }
}

impl Listen {
    /// Whether this address is a hop that is believed about the address of the client.
    #[must_use]
    pub fn trusts(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        self.trusted_proxies.iter().any(|net| net.contains(&ip))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_is_everybody_in_every_spelling() {
        for all in ["0.0.0.0/0", "::/0", "::ffff:0.0.0.0/96", "::/64", "10.0.0.0/0"] {
            assert!(holds_everybody(&all.parse().unwrap()), "{all}");
        }
        for some in ["0.0.0.0/1", "10.0.0.0/8", "fd00::/8", "::1/128", "::ffff:10.0.0.0/104"] {
            assert!(!holds_everybody(&some.parse().unwrap()), "{some}");
        }
    }

    #[test]
    fn an_empty_list_trusts_nobody() {
        let nobody = Listen::default();
        assert!(!nobody.trusts(IpAddr::from([127, 0, 0, 1])));
        let some = Listen { trusted_proxies: vec!["10.0.0.0/8".parse().unwrap()], ..Listen::default() };
        assert!(some.trusts("::ffff:10.1.2.3".parse().unwrap()) && !some.trusts(IpAddr::from([11, 0, 0, 1])));
    }
}
