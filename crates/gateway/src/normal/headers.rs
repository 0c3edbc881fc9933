//! Header fields: which are refused, which are dropped, which go on.

use http::request::Parts;
use http::{HeaderName, Version};
use safeconduct_model::Hardening;

use super::Refused;
use crate::limits::Limits;
use crate::ports::CookieToken;

/// One end-to-end field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// The name, lower case.
    pub(crate) name: String,
    /// The value.
    pub(crate) value: Vec<u8>,
}

/// What the fields of a request came to.
#[derive(Debug)]
pub(crate) struct Fields {
    pub(crate) headers: Vec<Header>,
    pub(crate) cookie: Option<CookieToken>,
    pub(crate) length: Option<u64>,
    pub(crate) websocket: bool,
    pub(crate) expects_continue: bool,
}

/// Fields that speak about one connection only (RFC 9110, 7.6.1).
const HOP_BY_HOP: [&str; 9] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "transfer-encoding",
    "upgrade",
    "http2-settings",
];

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
const PROTECTED_NAMES: [&str; 15] = [
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

/// Whether a name speaks about one connection only.
pub(crate) fn is_hop_by_hop(name: &str) -> bool {
    HOP_BY_HOP.contains(&name)
}

/// Whether only the gateway may set a field of this name, whatever its spelling.
pub(crate) fn is_protected(name: &str) -> bool {
    let name = normal_name(name);
    PROTECTED_PREFIXES.iter().any(|p| name.starts_with(p)) || PROTECTED_NAMES.contains(&name.as_str())
}

/// Whether a response field belongs to the gateway.
pub(crate) fn is_ours(name: &str) -> bool {
    normal_name(name).starts_with("x-safeconduct-") || name == "x-request-id"
}

/// Lower case, `_` as `-`: the spelling in which upstreams confuse names.
fn normal_name(name: &str) -> String {
    name.to_ascii_lowercase().replace('_', "-")
}

/// Checks and sorts the fields of a request.
pub(crate) fn canonical(
    parts: &Parts,
    hardening: Hardening,
    limits: &Limits,
    cookies: &[String],
) -> Result<Fields, Refused> {
    let is_h2 = parts.version == Version::HTTP_2;
    check_size(parts, limits)?;
    let nominated = nominated(parts)?;
    if is_h2 && !nominated.is_empty() {
        return Err(Refused::bad("h2_connection_field"));
    }
    let mut fields =
        Fields { headers: Vec::new(), cookie: None, length: None, websocket: false, expects_continue: false };
    let mut cookie_text: Option<String> = None;
    let upgrades = nominated.iter().any(|n| n == "upgrade");
    for (name, value) in &parts.headers {
        let name = name.as_str();
        if name.contains('_') {
            match hardening.drop_underscore_headers {
                true => continue,
                false => return Err(Refused::bad("underscore_in_name")),
            }
        }
        match name {
            "te" if is_h2 && value != "trailers" => return Err(Refused::bad("h2_te")),
            "connection" | "keep-alive" | "proxy-connection" | "transfer-encoding" | "upgrade" if is_h2 => {
                return Err(Refused::bad("h2_connection_field"));
            }
            "upgrade" if upgrades && value.as_bytes().eq_ignore_ascii_case(b"websocket") => fields.websocket = true,
            "content-length" => {
                let length = length(value.as_bytes())?;
                if fields.length.replace(length).is_some() {
                    return Err(Refused::bad("two_content_lengths"));
                }
            }
            "expect" => match value.as_bytes().eq_ignore_ascii_case(b"100-continue") {
                true => fields.expects_continue = true,
                false => return Err(Refused { status: 417, ..Refused::bad("expect") }),
            },
            "cookie" => {
                let text = value.to_str().map_err(|_| Refused::bad("cookie_not_ascii"))?;
                match &mut cookie_text {
                    Some(all) => {
                        all.push_str("; ");
                        all.push_str(text);
                    }
                    None => cookie_text = Some(text.to_owned()),
                }
            }
            "host" => {}
            _ if is_hop_by_hop(name) || is_protected(name) || nominated.iter().any(|n| n == name) => {}
            _ => fields.headers.push(Header { name: name.to_owned(), value: value.as_bytes().to_vec() }),
        }
    }
    if let Some(text) = cookie_text {
        let (ours, rest) = take_cookies(&text, cookies);
        fields.cookie = ours;
        if let Some(rest) = rest {
            fields.headers.push(Header { name: "cookie".into(), value: rest.into_bytes() });
        }
    }
    Ok(fields)
}

/// Whether the fields are within their bounds.
pub(crate) fn check_size(parts: &Parts, limits: &Limits) -> Result<(), Refused> {
    let bytes: usize = parts.headers.iter().map(|(n, v)| n.as_str().len() + v.len() + 4).sum();
    if parts.headers.len() > limits.header_count {
        return Err(Refused::limit(431, "too_many_headers"));
    }
    if bytes > limits.head_bytes {
        return Err(Refused::limit(431, "head_too_long"));
    }
    Ok(())
}

/// The names that `Connection` nominates. Nominating a field that only the gateway may set is an attack (NT-07).
fn nominated(parts: &Parts) -> Result<Vec<String>, Refused> {
    let mut names = Vec::new();
    for value in parts.headers.get_all(http::header::CONNECTION) {
        let text = value.to_str().map_err(|_| Refused::bad("bad_connection"))?;
        for name in text.split(',').map(|n| n.trim_matches([' ', '\t']).to_ascii_lowercase()).filter(|n| !n.is_empty())
        {
            let known = HeaderName::from_bytes(name.as_bytes()).map_err(|_| Refused::bad("bad_connection"))?;
            if is_protected(known.as_str())
                || matches!(known.as_str(), "host" | "cookie" | "authorization" | "content-length")
            {
                return Err(Refused::bad("connection_names_protected_field"));
            }
            names.push(name);
        }
    }
    Ok(names)
}

/// A length is digits and nothing else.
pub(crate) fn length(value: &[u8]) -> Result<u64, Refused> {
    let plain = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    let text = std::str::from_utf8(value).unwrap_or_default();
    text.parse().ok().filter(|_| plain).ok_or(Refused::bad("bad_content_length"))
}

/// Takes our cookies out: the session secret, if there is exactly one, and what is left for the application.
fn take_cookies(text: &str, cookies: &[String]) -> (Option<CookieToken>, Option<String>) {
    let mut session = Vec::new();
    let mut rest = Vec::new();
    for pair in text.split(';').map(str::trim).filter(|p| !p.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        match cookies.iter().position(|c| c == name.trim_end()) {
            Some(0) => session.push(value),
            Some(_) => {}
            None => rest.push(pair),
        }
    }
    let token = match session.as_slice() {
        [one] => Some(CookieToken::new(one)),
        _ => None,
    };
    (token, (!rest.is_empty()).then(|| rest.join("; ")))
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

    fn over_h2(name: &str, value: &str) -> Result<Fields, &'static str> {
        let request = http::Request::get("https://a/").version(Version::HTTP_2).header(name, value).body(()).unwrap();
        let (parts, ()) = request.into_parts();
        canonical(&parts, Hardening::default(), &Limits::default(), &[]).map_err(|r| r.code)
    }

    #[test]
    fn http_2_knows_no_fields_about_a_connection() {
        for (name, value, code) in [
            ("connection", "close", "h2_connection_field"),
            ("keep-alive", "1", "h2_connection_field"),
            ("proxy-connection", "close", "h2_connection_field"),
            ("transfer-encoding", "chunked", "h2_connection_field"),
            ("upgrade", "websocket", "h2_connection_field"),
            ("te", "gzip", "h2_te"),
            ("te", "trailers, gzip", "h2_te"),
            ("content-length", "+1", "bad_content_length"),
        ] {
            assert_eq!(over_h2(name, value).err(), Some(code), "{name}: {value}");
        }
        assert!(over_h2("te", "trailers").is_ok_and(|f| f.headers.is_empty()));
    }

    #[test]
    fn nt_50_a_length_is_digits_only() {
        assert_eq!(length(b"5"), Ok(5));
        for bad in ["", "+5", "-1", " 5", "5, 5", "0x5", "5a", "99999999999999999999999"] {
            assert!(length(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn our_cookies_never_reach_the_application() {
        let ours = ["__Host-sc".to_owned(), "__Host-sc-state".to_owned()];
        let (token, rest) = take_cookies("a=1; __Host-sc=secret; b=2; __Host-sc-state=x", &ours);
        assert_eq!((token.as_ref().map(CookieToken::expose), rest.as_deref()), (Some("secret"), Some("a=1; b=2")));
        assert_eq!(take_cookies("__Host-sc=1; __Host-sc=2", &ours), (None, None), "two session cookies prove nothing");
    }
}
