//! The file of `safeconduct connector`: where the gateway is, which site it stands at, and what it may dial at all.

use std::fmt;
use std::str::FromStr;

use ipnet::IpNet;
use safeconduct_model::{ConnectorId, Fault, Host, SiteId};
use thiserror::Error;

use crate::reader::{Faults, Table, Text, parse};

/// The most gateways that one connector keeps a link to.
const MAX_GATEWAYS: usize = 16;

/// What the file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectorFile {
    /// Every address of the gateway; the connector keeps a link to each.
    pub gateways: Vec<GatewayAddress>,
    /// The site that it stands at.
    pub site: SiteId,
    /// Its name there; `None` where the host's own name will do.
    pub name: Option<ConnectorId>,
    /// The folder of its key and certificate, relative to the file.
    pub state: String,
    /// The file that holds the join token, relative to the file; needed once.
    pub join_file: Option<String>,
    /// Authorities of applications over TLS, beside the public ones: a file of certificates, PEM.
    pub ca_file: Option<String>,
    /// The only networks in which it dials; `None` where the gateway's list alone says so.
    pub only: Option<Vec<IpNet>>,
}

impl ConnectorFile {
    /// Reads the file, or tells every fault.
    pub fn check(source: &Text) -> Result<Self, Vec<Fault>> {
        let mut faults = Faults::default();
        let document = parse(source, &mut faults);
        let root = Table::new(source, "the file", document.get_ref(), 0);
        match read(root, &mut faults) {
            Some(file) if faults.0.is_empty() => Ok(file),
            _ => {
                faults.0.sort();
                Err(faults.0)
            }
        }
    }
}

fn read(mut root: Table<'_>, faults: &mut Faults) -> Option<ConnectorFile> {
    const GATEWAY_HELP: &str = "write it as in [\"https://gateway.example.com\"]";
    let before = faults.0.len();
    let gateways = root.list::<GatewayAddress>("gateway", GATEWAY_HELP, faults).unwrap_or_default();
    if faults.0.len() == before && (gateways.is_empty() || gateways.len() > MAX_GATEWAYS) {
        faults.tell(&root.at, format!("`gateway` must name 1 to {MAX_GATEWAYS} addresses"), GATEWAY_HELP);
    }
    let site = root.required::<SiteId>("site", "name the site, as the estate calls it", faults);
    let name = root.parsed::<ConnectorId>("name", "a short name, unique at its site", faults);
    let state = root.parsed::<String>("state", "", faults).unwrap_or_else(|| "connector-state".to_owned());
    let join_file = root.parsed::<String>("join_file", "", faults);
    let before = faults.0.len();
    let ca_file = root.parsed::<String>("ca_file", "", faults);
    let only = root.list::<IpNet>("only", "write networks as in [\"10.1.0.0/16\"]", faults);
    // An empty list would read as "nothing" to one and as "no bound" to another.
    if faults.0.len() == before && only.as_ref().is_some_and(Vec::is_empty) {
        faults.tell(&root.at, "`only` names no network", "name one, or remove the line");
    }
    root.done(faults);
    Some(ConnectorFile { gateways, site: site?, name, state, join_file, ca_file, only })
}

/// Where a gateway listens: `https://host[:port]`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GatewayAddress {
    /// Its name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
}

/// Why a text is not the address of a gateway.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("`{0}` is not of the form https://host or https://host:port")]
pub struct GatewayAddressError(String);

impl FromStr for GatewayAddress {
    type Err = GatewayAddressError;

    fn from_str(text: &str) -> Result<Self, GatewayAddressError> {
        let bad = || GatewayAddressError(text.to_owned());
        let rest = text.strip_prefix("https://").ok_or_else(bad)?;
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (host, port) = match rest.strip_prefix('[').and_then(|r| r.split_once(']')) {
            Some((six, rest)) => {
                six.parse::<std::net::Ipv6Addr>().map_err(|_| bad())?;
                (six, if rest.is_empty() { None } else { Some(rest.strip_prefix(':').ok_or_else(bad)?) })
            }
            None => {
                let (host, port) = rest.split_once(':').map_or((rest, None), |(h, p)| (h, Some(p)));
                host.parse::<Host>().map_err(|_| bad())?;
                (host, port)
            }
        };
        let port = match port.map_or(Ok(443), str::parse) {
            Ok(port @ 1..) => port,
            _ => return Err(bad()),
        };
        Ok(Self { host: host.to_owned(), port })
    }
}

impl fmt::Display for GatewayAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "https://[{}]:{}", self.host, self.port)
        } else {
            write!(f, "https://{}:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> Result<ConnectorFile, String> {
        ConnectorFile::check(&Text { file: "c.toml".into(), text: text.into() })
            .map_err(|f| f.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
    }

    #[test]
    fn a_file_says_where_the_gateway_is_and_who_stands_here() {
        let file = check(
            "gateway = [\"https://gw.example.com\", \"https://[::1]:8443\"]\nsite = \"berlin\"\nname = \"rack-1\"\nonly = [\"10.0.0.0/8\"]\n",
        )
        .expect("it holds");
        let told: Vec<String> = file.gateways.iter().map(ToString::to_string).collect();
        assert_eq!(told, ["https://gw.example.com:443", "https://[::1]:8443"]);
        assert_eq!((file.state.as_str(), file.only.map(|o| o.len())), ("connector-state", Some(1)));
    }

    #[test]
    fn every_fault_is_told_and_an_empty_list_is_one() {
        let told = check("gateway = []\nonly = []\nsyte = \"x\"\n").expect_err("four faults");
        for part in ["`gateway` must name", "`only` names no network", "needs `site`", "did you mean `site`"] {
            assert!(told.contains(part), "{part} in {told}");
        }
    }

    #[test]
    fn a_gateway_is_reached_over_tls_and_nothing_else() {
        for bad in
            ["http://a", "https://", "https://a:0", "https://a/b", "https://u@a", "https://a:x", "a", "https://[a]"]
        {
            assert!(bad.parse::<GatewayAddress>().is_err(), "{bad}");
        }
    }
}
