//! Where to go after sign-in: to one of our own origins, or to the default. Never anywhere else.
//!
//! The text comes from a query string, so it is an attacker's. It is not handed to a general URL parser, because browsers and
//! parsers disagree about `\`, tabs, empty authorities and user information; instead only a narrow form is read, every byte
//! of which means the same to everyone: `/path?query` or `https://own.host[:port]/path?query`.

use std::fmt;

/// The longest address to return to, in bytes.
pub const MAX_RETURN_BYTES: usize = 2_048;

/// An origin of our own, `https://host[:port]`, in canonical form.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OwnOrigin(String);

impl OwnOrigin {
    /// From `host` or `host:port`; port 443 is left out. `None` unless the host is a plain lower-case name or address.
    #[must_use]
    pub fn from_host(host: &str) -> Option<Self> {
        let (name, port) = match host.split_once(':') {
            Some((name, port)) => (name, Some(port)),
            None => (host, None),
        };
        let label =
            |l: &str| !l.is_empty() && l.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if name.len() > 253 || !name.split('.').all(label) {
            return None;
        }
        match port {
            None | Some("443") => Some(Self(format!("https://{name}"))),
            Some(port) => {
                let number: u16 = port.parse().ok()?;
                (number > 0 && number.to_string() == port).then(|| Self(format!("https://{name}:{port}")))
            }
        }
    }

    /// The origin as browsers spell it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for OwnOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An address that is safe to redirect to: a path of the same origin, or an absolute address at one of our own origins.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReturnTo(String);

impl ReturnTo {
    /// The start page.
    #[must_use]
    pub fn start() -> Self {
        Self("/".to_owned())
    }

    /// Reads `text`; whatever is not plainly our own becomes the start page.
    #[must_use]
    pub fn read(text: &str, own: &[OwnOrigin]) -> Self {
        Self::parse(text, own).unwrap_or_else(Self::start)
    }

    /// Reads `text`; `None` for whatever is not plainly our own.
    #[must_use]
    pub fn parse(text: &str, own: &[OwnOrigin]) -> Option<Self> {
        if text.len() > MAX_RETURN_BYTES {
            return None;
        }
        let tail = if text.starts_with('/') {
            text
        } else {
            // The longest match is the only one: after an origin comes `/` or the end, so `https://own` never fits `https://own.evil`.
            own.iter().find_map(|o| match text.strip_prefix(o.as_str()) {
                Some("") => Some("/"),
                Some(tail) if tail.starts_with('/') => Some(tail),
                _ => None,
            })?
        };
        plain_path_and_query(tail).then(|| Self(text.to_owned()))
    }

    /// The text for the `Location` header.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The own origin that it points to; `None` for a path of the origin that redirects.
    #[must_use]
    pub fn origin(&self) -> Option<&str> {
        let rest = self.0.strip_prefix("https://")?;
        let end = rest.find('/').unwrap_or(rest.len());
        Some(&self.0[.."https://".len() + end])
    }
}

impl fmt::Display for ReturnTo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether `tail` begins with exactly one slash and holds only characters of a path and a query (RFC 3986), with whole
/// percent escapes, none of which hides a slash, a backslash or a control character in the path.
fn plain_path_and_query(tail: &str) -> bool {
    let (path, query) = tail.split_once('?').unwrap_or((tail, ""));
    let path_char = |b: u8| b.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/%".contains(&b);
    let query_char = |b: u8| path_char(b) || b == b'?';
    path.starts_with('/')
        && !path.contains("//")
        && path.bytes().all(path_char)
        && query.bytes().all(query_char)
        && escapes(path).is_some_and(|bytes| bytes.iter().all(|b| !matches!(b, b'/' | b'\\' | b'.' | 0..=0x1f | 0x7f)))
        && escapes(query).is_some_and(|bytes| bytes.iter().all(|b| !matches!(b, 0..=0x1f | 0x7f)))
        && !path.split('/').any(|segment| segment == "." || segment == "..")
}

/// The bytes that the escapes of `text` stand for; `None` if one is not whole.
fn escapes(text: &str) -> Option<Vec<u8>> {
    text.split('%').skip(1).map(|after| u8::from_str_radix(hex_pair(after)?, 16).ok()).collect()
}

fn hex_pair(text: &str) -> Option<&str> {
    text.get(..2).filter(|pair| pair.bytes().all(|b| b.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn own() -> Vec<OwnOrigin> {
        ["portal.example.com", "wiki.example.com:8443", "example.com"]
            .map(|host| OwnOrigin::from_host(host).expect("plain"))
            .into()
    }

    #[test]
    fn own_addresses_pass_unchanged() {
        for good in [
            "/",
            "/reports/q3?page=2&sort=-date",
            "/a%20b?q=%2F%2F",
            "https://portal.example.com",
            "https://portal.example.com/",
            "https://wiki.example.com:8443/x?y=https://elsewhere.example/",
            "/@user:name;v=1",
        ] {
            assert_eq!(ReturnTo::read(good, &own()).as_str(), good);
        }
        assert_eq!(
            ReturnTo::read("https://wiki.example.com:8443/x", &own()).origin(),
            Some("https://wiki.example.com:8443")
        );
        assert_eq!(ReturnTo::read("/x", &own()).origin(), None);
    }

    #[test]
    fn nt_21_everything_else_becomes_the_start_page() {
        for bad in [
            "",
            "//evil.example",
            "///evil.example",
            "/\\evil.example",
            "\\\\evil.example",
            "\\/evil.example",
            "/\\/evil.example",
            "/%5cevil.example",
            "/%2fevil.example",
            "/%2Fevil.example",
            "/x//evil.example",
            "/./x",
            "/.//evil.example",
            "/..//evil.example",
            "/%2e%2e/x",
            "/\tevil",
            "/\t/evil.example",
            "\t//evil.example",
            " //evil.example",
            "/\n/evil.example",
            "/x\r\nSet-Cookie: a=b",
            "/x%0d%0aSet-Cookie:%20a=b",
            "/x?y=%0d%0aLocation:%20evil",
            "/x\u{0}",
            "/%00",
            "/%",
            "/%4",
            "/%zz",
            "/%+1",
            "/é",
            "/x#//evil.example",
            "https:/evil.example",
            "https:evil.example",
            "https:///evil.example",
            "https://evil.example",
            "https://evil-example.com/",
            "https://portal.example.com.evil.example/",
            "https://portal.example.com@evil.example/",
            "https://portal.example.com:443@evil.example/",
            "https://user:secret@portal.example.com/",
            "https://@portal.example.com/",
            "https://portal.example.com:8443/",
            "https://portal.example.com:/",
            "https://portal.example.com?x",
            "https://portal.example.com\\@evil.example/",
            "https://portal.example.com\t/",
            "https://wiki.example.com/",
            "https://wiki.example.com:84433/",
            "https://notexample.com/",
            "https://sub.example.com/",
            "https://xn--exmple-cua.com/",
            "https://portal.exаmple.com/",
            "https://portal.example.com./",
            "HTTPS://portal.example.com/",
            "https://PORTAL.example.com/",
            "http://portal.example.com/",
            "javascript:alert(1)",
            "javascript://portal.example.com/%0aalert(1)",
            "data:text/html,x",
            "evil.example",
            "@evil.example",
            "?x",
            "https://portal.example.com//evil.example",
        ] {
            assert_eq!(ReturnTo::read(bad, &own()), ReturnTo::start(), "{bad:?}");
        }
        assert_eq!(ReturnTo::parse(&format!("/{}", "x".repeat(MAX_RETURN_BYTES)), &own()), None);
    }

    #[test]
    fn an_empty_list_of_origins_allows_none() {
        assert_eq!(ReturnTo::parse("https://portal.example.com/", &[]), None);
    }

    #[test]
    fn origins_are_plain_hosts() {
        assert_eq!(OwnOrigin::from_host("a.example:443").map(|o| o.to_string()), Some("https://a.example".to_owned()));
        for bad in
            ["", "A.example", "a..b", "a.example:0", "a.example:08443", "a.example:x", "a/b", "a@b", "a.example:99999"]
        {
            assert_eq!(OwnOrigin::from_host(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn nt_21_whatever_passes_is_one_slash_or_an_own_origin(text in "[/\\\\@:.?#%a-f0-9\t\r\n ]{0,24}", prefix in prop_oneof![
            Just(""), Just("/"), Just("//"), Just("https://portal.example.com"), Just("https://example.com"), Just("https://")
        ]) {
            if let Some(to) = ReturnTo::parse(&format!("{prefix}{text}"), &own()) {
                let to = to.as_str();
                let ours = own().iter().any(|o| to == o.as_str() || to.starts_with(&format!("{o}/")));
                prop_assert!(ours || (to.starts_with('/') && !to.starts_with("//") && !to.starts_with("/\\")), "{to}");
                prop_assert!(to.bytes().all(|b| (0x21..0x7f).contains(&b) && b != b'\\'), "{to:?}");
            }
        }
    }
}
