//! Cookies, kept by host: enough for `__Host-` cookies, which never travel.

use std::collections::BTreeMap;

use http::{HeaderMap, header};

/// The cookies of one browser.
#[derive(Default)]
pub(crate) struct Jar(BTreeMap<String, BTreeMap<String, String>>);

impl Jar {
    /// Takes what an answer sets.
    pub(crate) fn take(&mut self, host: &str, headers: &HeaderMap) {
        for line in headers.get_all(header::SET_COOKIE).iter().filter_map(|v| v.to_str().ok()) {
            let mut parts = line.split(';').map(str::trim);
            let Some((name, value)) = parts.next().and_then(|pair| pair.split_once('=')) else { continue };
            let attributes: Vec<String> = parts.map(str::to_ascii_lowercase).collect();
            let bound = attributes.iter().any(|a| a == "secure")
                && attributes.iter().any(|a| a == "path=/")
                && !attributes.iter().any(|a| a.starts_with("domain="));
            // A browser drops a __Host- cookie that is not bound to its host, and so does this one.
            if name.starts_with("__Host-") && !bound {
                continue;
            }
            let cookies = self.0.entry(host.to_owned()).or_default();
            if attributes.iter().any(|a| a == "max-age=0") {
                cookies.remove(name);
            } else {
                cookies.insert(name.to_owned(), value.to_owned());
            }
        }
    }

    /// The `Cookie` header for a host.
    pub(crate) fn header(&self, host: &str) -> Option<String> {
        let cookies = self.0.get(host).filter(|c| !c.is_empty())?;
        Some(cookies.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(jar: &mut Jar, host: &str, line: &'static str) {
        let mut headers = HeaderMap::new();
        headers.append(header::SET_COOKIE, line.parse().expect("a value"));
        jar.take(host, &headers);
    }

    #[test]
    fn a_cookie_stays_with_its_host_until_it_is_forgotten() {
        let mut jar = Jar::default();
        set(&mut jar, "a", "__Host-s=1; Path=/; Secure; HttpOnly");
        set(&mut jar, "a", "theme=dark; Path=/");
        assert_eq!(jar.header("a").as_deref(), Some("__Host-s=1; theme=dark"));
        assert_eq!(jar.header("b"), None);
        set(&mut jar, "a", "__Host-s=; Path=/; Secure; Max-Age=0");
        assert_eq!(jar.header("a").as_deref(), Some("theme=dark"));
    }

    #[test]
    fn a_host_cookie_that_is_not_bound_is_dropped() {
        let mut jar = Jar::default();
        for bad in ["__Host-s=1; Path=/", "__Host-s=1; Path=/x; Secure", "__Host-s=1; Path=/; Secure; Domain=a"] {
            set(&mut jar, "a", bad);
        }
        assert_eq!(jar.header("a"), None);
    }
}
