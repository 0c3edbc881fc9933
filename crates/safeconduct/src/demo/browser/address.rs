//! Addresses, as far as the demo needs them: `https://host:port/path?query`.

use std::fmt;
use std::str::FromStr;

use anyhow::{Context, Result, bail};

/// Where a request goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    /// The host name.
    pub(crate) host: String,
    /// The port.
    pub(crate) port: u16,
    /// Path and query.
    pub(crate) path: String,
}

impl Address {
    /// `host:port`, or the host alone on the port of HTTPS.
    pub(crate) fn authority(&self) -> String {
        if self.port == 443 { self.host.clone() } else { format!("{}:{}", self.host, self.port) }
    }

    /// `https://host:port`.
    pub(crate) fn origin(&self) -> String {
        format!("https://{}", self.authority())
    }

    /// The address that a link on this page leads to.
    pub(crate) fn join(&self, link: &str) -> Result<Self> {
        match link.strip_prefix('/') {
            Some(rest) if !rest.starts_with('/') => Ok(Self { path: link.to_owned(), ..self.clone() }),
            _ => link.parse(),
        }
    }
}

impl FromStr for Address {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let Some(rest) = text.strip_prefix("https://") else { bail!("`{text}` does not begin with https://") };
        let (authority, path) = match rest.find(['/', '?']) {
            Some(at) => rest.split_at(at),
            None => (rest, "/"),
        };
        let (host, port) = match authority.split_once(':') {
            Some((host, port)) => (host, port.parse().with_context(|| format!("`{text}` has no port"))?),
            None => (authority, 443),
        };
        Ok(Self { host: host.to_owned(), port, path: path.to_owned() })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.origin(), self.path)
    }
}

/// Percent-encodes a value of a query or a form.
pub(crate) fn encode(text: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut out, b| {
        if b.is_ascii_alphanumeric() || b"-._~".contains(&b) {
            out.push(char::from(b));
        } else {
            out.push_str(&format!("%{b:02X}"));
        }
        out
    })
}

/// The body of a form.
pub(crate) fn form(fields: &[(&str, &str)]) -> String {
    fields.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect::<Vec<_>>().join("&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_reads_joins_and_prints() {
        let at: Address = "https://a.localhost:8443/x?to=%2Fy%3Fz%3D1".parse().expect("an address");
        assert_eq!((at.host.as_str(), at.port), ("a.localhost", 8443));
        assert_eq!(at.join("/in").map(|a| a.to_string()).ok().as_deref(), Some("https://a.localhost:8443/in"));
        assert_eq!(at.join("https://b/").map(|a| a.origin()).ok().as_deref(), Some("https://b"));
        assert!("http://a/".parse::<Address>().is_err() && at.join("//evil").is_err());
    }

    #[test]
    fn a_form_is_encoded() {
        assert_eq!(form(&[("a", "x y&z"), ("b", "ä")]), "a=x%20y%26z&b=%C3%A4");
    }
}
