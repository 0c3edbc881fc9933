//! Where an application is and what it speaks, as its `upstream` says.

/// Where an application is and what it speaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// `host:port`.
    pub(crate) address: String,
    /// The name that its certificate must carry.
    pub(crate) name: String,
    /// Whether it is reached over TLS.
    pub(crate) tls: bool,
    /// Whether it speaks HTTP/2, else HTTP/1.1.
    pub(crate) h2: bool,
}

/// Whether an application is spoken to in HTTP/2.
pub(crate) fn is_h2(upstream: &str) -> bool {
    upstream.starts_with("h2://") || upstream.starts_with("h2c://")
}

impl Target {
    /// Reads `http://host:port`, `https://…`, `h2://…` (HTTP/2 over TLS) or `h2c://…` (HTTP/2 without).
    pub(crate) fn of(upstream: &str) -> Option<Self> {
        let (scheme, rest) = upstream.split_once("://")?;
        let (tls, h2, port) = match scheme {
            "http" => (false, false, 80),
            "https" => (true, false, 443),
            "h2" => (true, true, 443),
            "h2c" => (false, true, 80),
            _ => return None,
        };
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        if authority.is_empty() || authority.contains(['/', '@', '?', '#']) {
            return None;
        }
        let with_port = authority.rsplit_once(':').filter(|(_, port)| port.parse::<u16>().is_ok());
        let (host, address) = match with_port {
            Some((host, _)) => (host, authority.to_owned()),
            None => (authority, format!("{authority}:{port}")),
        };
        let name = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        Some(Self { address, name, tls, h2 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upstream_is_a_protocol_a_host_and_a_port() {
        let of = |text: &str| Target::of(text).map(|t| (t.address, t.name, t.tls, t.h2));
        let told = |address: &str, name: &str, tls, h2| Some((address.to_owned(), name.to_owned(), tls, h2));
        assert_eq!(of("http://127.0.0.1:81"), told("127.0.0.1:81", "127.0.0.1", false, false));
        assert_eq!(of("http://wiki.internal/"), told("wiki.internal:80", "wiki.internal", false, false));
        assert_eq!(of("https://wiki.internal"), told("wiki.internal:443", "wiki.internal", true, false));
        assert_eq!(of("h2://[::1]:50051"), told("[::1]:50051", "::1", true, true));
        assert_eq!(of("h2c://grpc:50051"), told("grpc:50051", "grpc", false, true));
        for bad in ["ftp://a", "http://", "http://a/b", "http://u@a:1", "a:80", "tcp://a:1"] {
            assert_eq!(of(bad), None, "{bad}");
        }
    }
}
