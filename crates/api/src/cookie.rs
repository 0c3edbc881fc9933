//! Cookies: only `__Host-` ones, out of reach of scripts.

use std::fmt;

use http::{HeaderMap, header};
use safeconduct_model::Duration;

/// A cookie to set. Its value does not print.
#[derive(Clone, PartialEq, Eq)]
pub struct Cookie {
    name: &'static str,
    value: String,
    max_age: Option<Duration>,
}

impl Cookie {
    /// The cookie that proves a session.
    pub const SESSION: &'static str = "__Host-safeconduct";
    /// The cookie that binds a session's journey to the host of an application to the browser that asked for it.
    pub const ARRIVAL: &'static str = "__Host-safeconduct-arrival";
    /// The cookie that binds a sign-in at an OpenID provider to the browser that began it.
    pub const FLOW: &'static str = "__Host-safeconduct-flow";

    /// A cookie with this value. Without `max_age` it goes when the browser closes.
    ///
    /// # Panics
    /// If the name does not begin with `__Host-` or the value is not plain: both come from the program, not from outside.
    #[must_use]
    pub fn new(name: &'static str, value: String, max_age: Option<Duration>) -> Self {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.~=".contains(&b);
        assert!(name.starts_with("__Host-") && name.bytes().all(plain), "cookies are bound to one host");
        assert!(value.bytes().all(plain), "cookie values are tokens");
        Self { name, value, max_age }
    }

    /// The order to forget a cookie.
    #[must_use]
    pub fn forget(name: &'static str) -> Self {
        Self::new(name, String::new(), Some(Duration::ZERO))
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.name
    }

    /// The value of a `Set-Cookie` header.
    #[must_use]
    pub fn to_header(&self) -> String {
        let age = self.max_age.map(|age| format!("; Max-Age={}", age.secs())).unwrap_or_default();
        format!("{}={}; Path=/; Secure; HttpOnly; SameSite=Lax{age}", self.name, self.value)
    }

    /// The value of a cookie in a request. One that is sent twice counts as absent: nobody knows which one is ours.
    #[must_use]
    pub fn read(headers: &HeaderMap, name: &str) -> Option<String> {
        let mut values = headers
            .get_all(header::COOKIE)
            .iter()
            .filter_map(|line| line.to_str().ok())
            .flat_map(|line| line.split(';'))
            .filter_map(|pair| pair.trim().split_once('='))
            .filter(|(key, _)| *key == name)
            .map(|(_, value)| value);
        match (values.next(), values.next()) {
            (Some(value), None) => Some(value.to_owned()),
            _ => None,
        }
    }
}

impl fmt::Debug for Cookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cookie({}=[redacted])", self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[&'static str]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(header::COOKIE, http::HeaderValue::from_static(line));
        }
        Cookie::read(&headers, Cookie::FLOW)
    }

    #[test]
    fn a_cookie_is_read_once_or_not_at_all() {
        assert_eq!(read(&["a=b; __Host-safeconduct-flow=x; c=d"]), Some("x".to_owned()));
        assert_eq!(read(&["__Host-safeconduct=x"]), None);
        assert_eq!(read(&["__Host-safeconduct-flow=x; __Host-safeconduct-flow=y"]), None);
        assert_eq!(read(&["__Host-safeconduct-flow=x", "__Host-safeconduct-flow=y"]), None);
        assert_eq!(read(&[]), None);
    }

    #[test]
    fn forgetting_is_immediate() {
        assert_eq!(
            Cookie::forget(Cookie::FLOW).to_header(),
            "__Host-safeconduct-flow=; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=0"
        );
    }

    #[test]
    #[should_panic(expected = "cookie values are tokens")]
    fn a_value_cannot_add_attributes() {
        let _ = Cookie::new(Cookie::FLOW, "x; Domain=example.com".to_owned(), None);
    }
}
