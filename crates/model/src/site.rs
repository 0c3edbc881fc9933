//! Sites: places where applications live that nothing dials into. A connector of the site dials out, and carries them.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{ConnectorId, SiteId};

/// What stands in front of site and name in the certificate of a connector.
const CONNECTOR_URI: &str = "spiffe://safeconduct.local/connector/";

/// A place where applications live.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Site {
    /// Its id.
    pub id: SiteId,
    /// Its name, as people say it.
    pub name: String,
    /// The special addresses (loopback, link-local, metadata) that applications of this site may have all the same.
    pub special: Vec<SpecialAddress>,
}

/// Which connector: its site and its name there. Its certificate says so, and nothing else does.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ConnectorName {
    /// The site whose applications it may carry.
    pub site: SiteId,
    /// Its name there.
    pub name: ConnectorId,
}

impl ConnectorName {
    /// The URI that stands in its certificate.
    #[must_use]
    pub fn uri(&self) -> String {
        format!("{CONNECTOR_URI}{self}")
    }

    /// The connector of a URI; `None` unless it is exactly of that form.
    #[must_use]
    pub fn from_uri(uri: &str) -> Option<Self> {
        uri.strip_prefix(CONNECTOR_URI)?.parse().ok()
    }
}

impl fmt::Display for ConnectorName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.site, self.name)
    }
}

/// Why a text does not name a connector.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("`{0}` does not name a connector; write SITE/NAME")]
pub struct ConnectorNameError(String);

impl FromStr for ConnectorName {
    type Err = ConnectorNameError;

    fn from_str(text: &str) -> Result<Self, ConnectorNameError> {
        let bad = || ConnectorNameError(text.to_owned());
        let (site, name) = text.split_once('/').ok_or_else(bad)?;
        Ok(Self { site: site.parse().map_err(|_| bad())?, name: name.parse().map_err(|_| bad())? })
    }
}

/// A special address that a site may use: an address, on one port or on every port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SpecialAddress {
    ip: IpAddr,
    port: Option<u16>,
}

/// Why a text is not a special address.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum SpecialAddressError {
    /// It is no address.
    #[error("`{0}` is not an address; write it as in 127.0.0.1:8080 or 127.0.0.1")]
    NoAddress(String),
    /// It needs no permission.
    #[error("`{0}` is an ordinary address, which needs no permission; leave it out")]
    Ordinary(String),
}

impl SpecialAddress {
    /// Whether it speaks of this address and port.
    #[must_use]
    pub fn names(&self, ip: IpAddr, port: u16) -> bool {
        self.ip == plain(ip) && self.port.is_none_or(|p| p == port)
    }
}

impl FromStr for SpecialAddress {
    type Err = SpecialAddressError;

    fn from_str(text: &str) -> Result<Self, SpecialAddressError> {
        let bad = || SpecialAddressError::NoAddress(text.to_owned());
        let (ip, port) = match text.parse::<std::net::SocketAddr>() {
            Ok(at) if at.port() != 0 => (at.ip(), Some(at.port())),
            Ok(_) => return Err(bad()),
            Err(_) => (text.parse().map_err(|_| bad())?, None),
        };
        let ip = plain(ip);
        if !is_special(ip) {
            return Err(SpecialAddressError::Ordinary(text.to_owned()));
        }
        Ok(Self { ip, port })
    }
}

impl fmt::Display for SpecialAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            Some(port) => write!(f, "{}", std::net::SocketAddr::new(self.ip, port)),
            None => write!(f, "{}", self.ip),
        }
    }
}

impl TryFrom<String> for SpecialAddress {
    type Error = SpecialAddressError;
    fn try_from(text: String) -> Result<Self, SpecialAddressError> {
        text.parse()
    }
}

impl From<SpecialAddress> for String {
    fn from(address: SpecialAddress) -> Self {
        address.to_string()
    }
}

/// The services of clouds that hand out credentials on addresses which look ordinary.
const METADATA: [IpAddr; 5] = [
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x0254)),
    IpAddr::V6(Ipv6Addr::new(0xfd20, 0x00ce, 0, 0, 0, 0, 0, 0x0254)),
];

/// Whether an address is one on which no application is meant unless somebody says so: loopback, link-local, the metadata
/// services of clouds, no address at all, everybody's address. However it is written: an IPv6 form of such an address counts.
#[must_use]
pub fn is_special(ip: IpAddr) -> bool {
    let ip = plain(ip);
    if METADATA.contains(&ip) {
        return true;
    }
    match ip {
        IpAddr::V4(v4) => {
            v4.is_loopback() || v4.is_link_local() || v4.is_multicast() || v4.octets()[0] == 0 || v4.octets()[0] >= 240
        }
        IpAddr::V6(v6) => {
            let link_local = v6.segments()[0] & 0xffc0 == 0xfe80;
            let site_local = v6.segments()[0] & 0xffc0 == 0xfec0;
            v6.is_loopback() || v6.is_unspecified() || v6.is_multicast() || link_local || site_local
        }
    }
}

/// An address without its disguises: IPv4 in IPv6, whether mapped, compatible, translated (NAT64) or tunnelled (6to4).
fn plain(ip: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = ip else { return ip };
    let s = v6.segments();
    let four = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        IpAddr::V4(Ipv4Addr::new(a, b, c, d))
    };
    match s {
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x0064, 0xff9b, 0, 0, 0, 0, high, low] => four(high, low),
        // `::` and `::1` have names of their own.
        [0, 0, 0, 0, 0, 0, high, low] if (high, low) != (0, 0) && (high, low) != (0, 1) => four(high, low),
        [0x2002, high, low, ..] => four(high, low),
        _ => ip,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connector_has_one_name_and_one_uri() {
        let name: ConnectorName = "berlin/rack-1".parse().expect("a name");
        assert_eq!(name.uri(), "spiffe://safeconduct.local/connector/berlin/rack-1");
        assert_eq!(ConnectorName::from_uri(&name.uri()), Some(name));
        for bad in ["berlin", "berlin/", "/a", "berlin/a/b", "Berlin/a", ""] {
            assert!(bad.parse::<ConnectorName>().is_err(), "{bad}");
        }
        for bad in ["spiffe://safeconduct.local/device/berlin/a", "spiffe://other/connector/berlin/a", "berlin/a"] {
            assert_eq!(ConnectorName::from_uri(bad), None, "{bad}");
        }
    }

    #[test]
    fn nt_37_special_addresses_are_known_in_every_disguise() {
        for special in [
            "127.0.0.1",
            "127.9.9.9",
            "0.0.0.0",
            "0.1.2.3",
            "169.254.169.254",
            "168.63.129.16",
            "100.100.100.200",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "fe80::1",
            "fd00:ec2::254",
            "ff02::1",
            "::ffff:127.0.0.1",
            "::127.0.0.1",
            "64:ff9b::a9fe:a9fe",
            "2002:7f00:1::",
        ] {
            assert!(is_special(special.parse().expect("an address")), "{special}");
        }
        for ordinary in ["10.0.0.1", "192.168.1.1", "172.16.0.9", "100.64.0.1", "8.8.8.8", "fd12::1", "2001:db8::1"] {
            assert!(!is_special(ordinary.parse().expect("an address")), "{ordinary}");
        }
    }

    #[test]
    fn a_permission_speaks_of_one_address_and_perhaps_one_port() {
        let one: SpecialAddress = "127.0.0.1:8080".parse().expect("special");
        let ip = |t: &str| t.parse::<IpAddr>().expect("an address");
        assert!(one.names(ip("127.0.0.1"), 8080) && one.names(ip("::ffff:127.0.0.1"), 8080));
        assert!(!one.names(ip("127.0.0.1"), 8081) && !one.names(ip("127.0.0.2"), 8080));
        let every: SpecialAddress = "::1".parse().expect("special");
        assert!(every.names(ip("::1"), 1) && every.names(ip("::1"), 9));
        assert_eq!(one.to_string().parse(), Ok(one));
        for bad in ["", "localhost", "127.0.0.1:0", "10.0.0.1", "10.0.0.1:80", "127.0.0.0/8"] {
            assert!(bad.parse::<SpecialAddress>().is_err(), "{bad}");
        }
    }
}
