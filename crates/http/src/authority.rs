//! The host that a request came for.

use std::fmt;

use safeconduct_model::Host;

use crate::Refused;

/// A host name with the port that the client wrote, if any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authority {
    /// The name, lower case.
    pub host: Host,
    /// The port, if it was written.
    pub port: Option<u16>,
}

impl Authority {
    /// Parses `host` or `host:port`. User information, IPv6 literals and trailing dots are not accepted.
    pub fn parse(bytes: &[u8]) -> Result<Self, Refused> {
        let bad = || Refused::bad("bad_host");
        let text = std::str::from_utf8(bytes).map_err(|_| bad())?;
        let (name, port) = match text.split_once(':') {
            Some((name, digits)) => (name, Some(port(digits).ok_or_else(bad)?)),
            None => (text, None),
        };
        let host = name.to_ascii_lowercase().parse().map_err(|_| bad())?;
        Ok(Self { host, port })
    }
}

fn port(digits: &str) -> Option<u16> {
    let plain = !digits.is_empty() && digits.len() <= 5 && digits.bytes().all(|b| b.is_ascii_digit());
    digits.parse().ok().filter(|port| plain && *port != 0)
}

impl fmt::Display for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            Some(port) => write!(f, "{}:{port}", self.host),
            None => self.host.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_one_name_and_at_most_one_port() {
        for (given, canonical) in
            [("Wiki.Example.com", "wiki.example.com"), ("localhost:8443", "localhost:8443"), ("127.0.0.1", "127.0.0.1")]
        {
            assert_eq!(Authority::parse(given.as_bytes()).map(|a| a.to_string()), Ok(canonical.to_owned()));
        }
        for bad in [
            "",
            "a b",
            "a@b",
            "user@a:80",
            "[::1]",
            "a:",
            "a:0",
            "a:+80",
            "a:80:80",
            "a:99999",
            "a.",
            "a_b",
            "a/b",
            "é",
            "a,b",
        ] {
            assert!(Authority::parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
