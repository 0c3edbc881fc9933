//! What a field name means to a gateway.

/// What a gateway does with a request field of this name. Names are lower case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name {
    /// Goes on to the application.
    EndToEnd,
    /// `host`.
    Host,
    /// `content-length`.
    ContentLength,
    /// `transfer-encoding`.
    TransferEncoding,
    /// `connection`.
    Connection,
    /// `upgrade`.
    Upgrade,
    /// `te`.
    Te,
    /// `expect`.
    Expect,
    /// `cookie`.
    Cookie,
    /// Speaks about one connection only (RFC 9110, 7.6.1).
    HopByHop,
    /// Only the gateway may set it.
    Protected,
    /// Has an underscore, which some applications read as a hyphen.
    Underscore,
}

/// Prefixes of fields by which a gateway tells an application who asks and how. A client never sets them.
const PROTECTED_PREFIXES: [&str; 10] = [
    "x-safeconduct-",
    "x-forwarded-",
    "x-auth-request-",
    "x-original-",
    "x-remote-",
    "x-authenticated-",
    "x-webauth-",
    "x-goog-authenticated-",
    "x-goog-iap-",
    "x-envoy-",
];

/// Whole names of the same kind, and those that would let the application see another method than policy saw.
const PROTECTED_NAMES: [&str; 17] = [
    "traceparent",
    "tracestate",
    "forwarded",
    "x-forwarded",
    "x-real-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "true-client-ip",
    "cf-connecting-ip",
    "remote-user",
    "x-user-id",
    "x-rewrite-url",
    "x-request-id",
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "x-accel-redirect",
];

/// Makes a field name lower case and says what it is to a gateway.
pub(crate) fn lower(spelled: &mut [u8]) -> Name {
    let mut underscore = false;
    for byte in &mut *spelled {
        underscore |= *byte == b'_';
        byte.make_ascii_lowercase();
    }
    if underscore { Name::Underscore } else { name_of_hyphens(spelled) }
}

/// What a request field of this name, in lower case, is to a gateway.
#[must_use]
pub fn name(lower: &[u8]) -> Name {
    if lower.contains(&b'_') { Name::Underscore } else { name_of_hyphens(lower) }
}

fn name_of_hyphens(lower: &[u8]) -> Name {
    // The first letter sorts out most names before anything is compared.
    match lower.first() {
        Some(b'h') if lower == b"host" => return Name::Host,
        Some(b'c') => match lower {
            b"cookie" => return Name::Cookie,
            b"connection" => return Name::Connection,
            b"content-length" => return Name::ContentLength,
            _ => {}
        },
        Some(b't') => match lower {
            b"te" => return Name::Te,
            b"transfer-encoding" => return Name::TransferEncoding,
            _ => {}
        },
        Some(b'u') if lower == b"upgrade" => return Name::Upgrade,
        Some(b'e') if lower == b"expect" => return Name::Expect,
        _ => {}
    }
    match lower.first() {
        Some(b'h' | b'k' | b'p') if is_hop_by_hop(lower) => Name::HopByHop,
        Some(b'c' | b'f' | b'r' | b't' | b'x') if is_protected_spelling(lower) => Name::Protected,
        _ => Name::EndToEnd,
    }
}

/// Whether a name, in lower case, speaks about one connection only (RFC 9110, 7.6.1).
#[must_use]
pub fn is_hop_by_hop(lower: &[u8]) -> bool {
    matches!(
        lower,
        b"connection"
            | b"keep-alive"
            | b"proxy-connection"
            | b"proxy-authenticate"
            | b"proxy-authorization"
            | b"te"
            | b"transfer-encoding"
            | b"upgrade"
            | b"http2-settings"
    )
}

/// Whether only the gateway may set a field of this name, whatever its spelling.
#[must_use]
pub fn is_protected(name: &str) -> bool {
    is_protected_spelling(normal(name).as_bytes())
}

/// Whether a response field, in lower case, belongs to the gateway.
#[must_use]
pub fn is_ours(lower: &str) -> bool {
    lower == "x-request-id" || (lower.starts_with('x') && normal(lower).starts_with("x-safeconduct-"))
}

fn is_protected_spelling(normal: &[u8]) -> bool {
    PROTECTED_PREFIXES.iter().any(|p| normal.starts_with(p.as_bytes()))
        || PROTECTED_NAMES.iter().any(|n| n.as_bytes() == normal)
}

/// Lower case, `_` as `-`: the spelling in which applications confuse names.
fn normal(name: &str) -> String {
    name.to_ascii_lowercase().replace('_', "-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nt_06_protected_names_are_found_in_every_spelling() {
        for name in [
            "X-Safeconduct-Assertion",
            "x_safeconduct_user",
            "X-Forwarded_For",
            "X_FORWARDED_PROTO",
            "Forwarded",
            "X-Real-IP",
        ] {
            assert!(is_protected(name), "{name}");
        }
        for name in ["accept", "x-user", "authorization", "x-requested-with"] {
            assert!(!is_protected(name), "{name}");
        }
    }

    #[test]
    fn the_quick_sorting_agrees_with_the_plain_lists() {
        let all = PROTECTED_NAMES.iter().map(|n| (*n).to_owned());
        for text in all.chain(PROTECTED_PREFIXES.iter().map(|p| format!("{p}any"))) {
            assert_eq!(name(text.as_bytes()), Name::Protected, "{text}");
            let spelled = text.replace('-', "_");
            assert!(spelled == text || name(spelled.as_bytes()) == Name::Underscore, "{text}");
        }
        for text in ["keep-alive", "proxy-connection", "proxy-authenticate", "proxy-authorization", "http2-settings"] {
            assert_eq!(name(text.as_bytes()), Name::HopByHop, "{text}");
        }
        for text in ["accept", "x-user", "cache-control", "referer", "host2", "teapot", "upgrade-insecure-requests"] {
            assert_eq!(name(text.as_bytes()), Name::EndToEnd, "{text}");
        }
    }
}
