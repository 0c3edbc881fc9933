//! `[[site]]`: places whose applications are reached through connectors, and which addresses they may have there.

use std::collections::BTreeMap;
use std::net::IpAddr;

use safeconduct_model::{Application, Site, SiteId, SpecialAddress, is_special};

use crate::estate::Written;
use crate::reader::{Faults, Table};

const SPECIAL_HELP: &str = "write addresses as in [\"127.0.0.1:8080\"]";

/// Reads one site.
pub(crate) fn site(mut t: Table<'_>, faults: &mut Faults) -> Option<Written<Site>> {
    let id = t.required::<SiteId>("id", "give the site an id", faults);
    let name = t.parsed::<String>("name", "", faults);
    let special = t.list::<SpecialAddress>("special", SPECIAL_HELP, faults).unwrap_or_default();
    let at = t.at.clone();
    t.done(faults);
    let id = id?;
    Some(Written { at, thing: Site { name: name.unwrap_or_else(|| id.to_string()), id, special } })
}

/// Every application of a site must name one that is there, and an address that a connector may dial. A name is looked up by
/// the connector, and its addresses are held against the same list there.
pub(crate) fn check<'a>(
    sites: &BTreeMap<SiteId, Written<Site>>,
    applications: impl Iterator<Item = &'a Written<Application>>,
    faults: &mut Faults,
) {
    for w in applications {
        let Some(id) = &w.thing.connector else { continue };
        let Some(site) = sites.get(id) else {
            faults.tell(
                &w.at,
                format!("there is no site `{id}`"),
                "add a [[site]] with this id, or correct the name after `connector`",
            );
            continue;
        };
        if let Some((ip, port)) = literal(&w.thing.upstream)
            && is_special(ip)
            && !site.thing.special.iter().any(|s| s.names(ip, port))
        {
            let at = std::net::SocketAddr::new(ip, port);
            faults.tell(
                &w.at,
                format!("the upstream {at} is an address that connectors do not dial (loopback, link-local, metadata)"),
                format!("if it is meant, name it at the site: special = [\"{at}\"] in [[site]] `{id}`"),
            );
        }
    }
}

/// Address and port of an upstream that names no host.
fn literal(upstream: &str) -> Option<(IpAddr, u16)> {
    let (_, authority) = upstream.split_once("://")?;
    let (host, port) = authority.rsplit_once(':')?;
    let ip = host.trim_matches(['[', ']']).parse().ok()?;
    Some((ip, port.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upstream_of_digits_is_an_address_and_a_name_is_not() {
        assert_eq!(literal("http://127.0.0.1:80"), Some(([127, 0, 0, 1].into(), 80)));
        assert_eq!(literal("http://[::1]:80"), Some(("::1".parse().expect("an address"), 80)));
        assert_eq!(literal("http://wiki.internal:80"), None);
    }
}
