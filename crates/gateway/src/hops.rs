//! Hops in front of us: whose word about the address of a client counts. An empty list trusts nobody.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use thiserror::Error;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::limits::Limits;
use crate::proxy_protocol::{self, Header, ReadFault};

/// The most hops that one request may tell of.
const MOST_HOPS: usize = 32;

/// The trusted hops, and how they speak. The default trusts nobody.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hops {
    /// Their networks.
    pub trusted: Vec<IpNet>,
    /// Whether every connection begins with a PROXY protocol header.
    pub proxy_protocol: bool,
}

/// Why a connection is refused before its first byte.
#[derive(Debug, Error)]
pub(crate) enum NoClient {
    /// Not a trusted hop, on a listener for hops alone.
    #[error("{0} is not a trusted hop; name it in [listen] trusted_proxies")]
    Stranger(IpAddr),
    /// The header is refused.
    #[error(transparent)]
    Header(#[from] ReadFault),
    /// The header did not come in time.
    #[error("the PROXY header did not come in time")]
    Slow,
}

/// A trusted hop sent a list of addresses that cannot be read.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("X-Forwarded-For of a trusted hop is not a list of addresses")]
pub(crate) struct Unreadable;

impl Hops {
    /// Whether this address is a trusted hop.
    #[must_use]
    pub fn trusts(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        self.trusted.iter().any(|net| net.contains(&ip))
    }

    /// The client of a new connection: the peer, or whom a trusted hop names in its header.
    pub(crate) async fn client(
        &self,
        stream: &mut TcpStream,
        peer: SocketAddr,
        limits: &Limits,
    ) -> Result<SocketAddr, NoClient> {
        if !self.proxy_protocol {
            return Ok(peer);
        }
        if !self.trusts(peer.ip()) {
            return Err(NoClient::Stranger(peer.ip()));
        }
        match timeout(limits.handshake, proxy_protocol::read(stream)).await {
            Ok(Ok(Header::Client(client))) => Ok(client),
            Ok(Ok(Header::Local)) => Ok(peer),
            Ok(Err(fault)) => Err(fault.into()),
            Err(_) => Err(NoClient::Slow),
        }
    }

    /// The client of a request: the peer, or if that is a trusted hop, the rightmost address in its `X-Forwarded-For` that is not
    /// one. `lines` are the values of the field in the order of arrival. What a stranger says is not even read.
    pub(crate) fn behind<'v>(
        &self,
        peer: IpAddr,
        lines: impl DoubleEndedIterator<Item = &'v [u8]>,
    ) -> Result<IpAddr, Unreadable> {
        let mut client = peer.to_canonical();
        let told = lines.rev().flat_map(|line| line.rsplit(|b| *b == b','));
        for (at, told) in told.enumerate() {
            if !self.trusts(client) {
                return Ok(client);
            }
            if at >= MOST_HOPS {
                return Err(Unreadable);
            }
            client = address(told)?;
        }
        Ok(client)
    }
}

/// One address, perhaps with a port, as hops write it: `192.0.2.7`, `192.0.2.7:80`, `2001:db8::9`, `[2001:db8::9]:80`.
fn address(text: &[u8]) -> Result<IpAddr, Unreadable> {
    let text = std::str::from_utf8(text).map_err(|_| Unreadable)?.trim_matches([' ', '\t']);
    let bare = || text.strip_prefix('[')?.strip_suffix(']')?.parse::<std::net::Ipv6Addr>().ok().map(IpAddr::V6);
    let ip = text
        .parse::<IpAddr>()
        .ok()
        .or_else(|| text.parse::<SocketAddr>().ok().map(|a| a.ip()))
        .or_else(bare)
        .ok_or(Unreadable)?
        .to_canonical();
    if ip.is_unspecified() || ip.is_multicast() { Err(Unreadable) } else { Ok(ip) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hops(trusted: &[&str]) -> Hops {
        Hops { trusted: trusted.iter().map(|n| n.parse().unwrap()).collect(), proxy_protocol: false }
    }

    fn behind(trusted: &[&str], peer: &str, lines: &[&str]) -> Option<String> {
        let told = hops(trusted).behind(peer.parse().unwrap(), lines.iter().map(|l| l.as_bytes()));
        told.ok().map(|ip| ip.to_string())
    }

    #[test]
    fn nt_04_an_empty_list_trusts_nobody() {
        assert_eq!(behind(&[], "127.0.0.1", &["192.0.2.7"]).as_deref(), Some("127.0.0.1"));
        assert_eq!(behind(&[], "127.0.0.1", &["nonsense"]).as_deref(), Some("127.0.0.1"), "not even read");
        assert!(!Hops::default().trusts("127.0.0.1".parse().unwrap()));
    }

    #[test]
    fn the_rightmost_address_that_is_not_trusted_is_the_client() {
        let trusted = &["10.0.0.0/8", "fd00::/8"];
        for (peer, lines, client) in [
            ("10.0.0.1", &["192.0.2.7"][..], "192.0.2.7"),
            ("10.0.0.1", &["203.0.113.1, 192.0.2.7"], "192.0.2.7"),
            ("10.0.0.1", &["203.0.113.1", "192.0.2.7, 10.0.0.2"], "192.0.2.7"),
            ("10.0.0.1", &["nonsense, 192.0.2.7"], "192.0.2.7"),
            ("10.0.0.1", &["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
            ("10.0.0.1", &[], "10.0.0.1"),
            ("::ffff:10.0.0.1", &["192.0.2.7:4711"], "192.0.2.7"),
            ("fd00::1", &["[2001:db8::9]:80 , ::ffff:10.1.1.1"], "2001:db8::9"),
            ("192.0.2.9", &["10.0.0.1"], "192.0.2.9"),
        ] {
            assert_eq!(behind(trusted, peer, lines).as_deref(), Some(client), "{peer} {lines:?}");
        }
    }

    #[test]
    fn what_a_trusted_hop_says_must_be_an_address() {
        let long = vec!["10.0.0.2"; MOST_HOPS + 1].join(",");
        for line in
            ["", "unknown", "_hidden", "192.0.2", "192.0.2.7,", "0.0.0.0", "ff02::1", "192.0.2.7 192.0.2.8", &long]
        {
            assert_eq!(behind(&["10.0.0.0/8"], "10.0.0.1", &[line]), None, "{line}");
        }
        let broken = hops(&["10.0.0.0/8"]).behind("10.0.0.1".parse().unwrap(), [&b"\xff"[..]].into_iter());
        assert_eq!(broken, Err(Unreadable));
    }
}
