//! Addresses: encoding, and which of them may stand in a page.

use std::fmt::Write;

use crate::view::Frame;

/// The text as a value inside a query or a path segment.
pub(crate) fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    for b in text.bytes() {
        if b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(b));
        } else {
            let _ = write!(out, "%{b:02X}");
        }
    }
    out
}

/// Whether an address is a path of this host or a plain web address: nothing that runs as script.
pub(crate) fn is_plain(href: &str) -> bool {
    let local = href.starts_with('/') && !href.starts_with("//") && !href.starts_with("/\\");
    let anchor = href.starts_with('#') || href.starts_with('?');
    let web = href.starts_with("https://") || href.starts_with("http://");
    (local || anchor || web) && !href.chars().any(char::is_control)
}

/// Whether an address stays on this host.
pub(crate) fn is_local(href: &str) -> bool {
    href.starts_with('/') && is_plain(href)
}

/// The address of the same page with some keys set or, where empty, removed. The page number and the format go unless set.
pub(crate) fn with(frame: &Frame, set: &[(&str, &str)]) -> String {
    let kept = frame
        .query
        .iter()
        .filter(|(k, v)| {
            !v.is_empty() && !matches!(k.as_str(), "page" | "format" | "before") && !set.iter().any(|(s, _)| s == k)
        })
        .map(|(k, v)| (k.as_str(), v.as_str()));
    query(&frame.path, kept.chain(set.iter().copied().filter(|(_, v)| !v.is_empty())))
}

/// A path with a query.
pub(crate) fn query<'a>(path: &str, pairs: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let mut out = path.to_owned();
    for (i, (k, v)) in pairs.enumerate() {
        let _ = write!(out, "{}{}={}", if i == 0 { '?' } else { '&' }, encode(k), encode(v));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_run_or_lead_astray_are_not_plain() {
        for good in ["/", "/a?b=c", "https://x.example/", "#top", "?q=1"] {
            assert!(is_plain(good), "{good}");
        }
        for bad in ["javascript:alert(1)", "//evil.example", "/\\evil.example", "data:text/html,x", "", "/a\nb", "x"] {
            assert!(!is_plain(bad), "{bad:?}");
        }
        assert!(!is_local("https://x.example/"));
    }

    #[test]
    fn everything_but_unreserved_characters_is_encoded() {
        assert_eq!(encode("a b&c=d/é~"), "a%20b%26c%3Dd%2F%C3%A9~");
    }
}
