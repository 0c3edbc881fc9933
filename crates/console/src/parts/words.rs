//! Numbers and names of the model, as people say them.

use safeconduct_model::{Action, Check, Class, CutCause, Method};

/// A number with thin spaces between thousands.
pub(crate) fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + 4);
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push('\u{202f}');
        }
        out.push(c);
    }
    out
}

/// "1 request", "3 requests".
pub(crate) fn plural(n: u64, one: &str, many: &str) -> String {
    format!("{} {}", count(n), if n == 1 { one } else { many })
}

/// A share in per cent, rounded down, so that 100 % means all.
pub(crate) fn percent(s: crate::view::Share) -> String {
    match s.all {
        0 => "–".to_owned(),
        all => format!("{} %", u128::from(s.of) * 100 / u128::from(all)),
    }
}

/// The past tense of an action.
pub(crate) const fn did(a: Action) -> &'static str {
    match a {
        Action::Read => "read",
        Action::Write => "changed",
        Action::Admin => "administered",
    }
}

/// The infinitive of an action.
pub(crate) const fn to_do(a: Action) -> &'static str {
    match a {
        Action::Read => "read",
        Action::Write => "change",
        Action::Admin => "administer",
    }
}

/// 1 to 4.
pub(crate) const fn class_level(c: Class) -> u8 {
    match c {
        Class::Low => 1,
        Class::Moderate => 2,
        Class::High => 3,
        Class::Critical => 4,
    }
}

/// A way to prove an identity.
pub(crate) const fn method(m: Method) -> &'static str {
    match m {
        Method::Password => "password",
        Method::Totp => "one-time code",
        Method::Passkey => "passkey",
        Method::Oidc => "identity provider",
        Method::OidcMfa => "identity provider, several factors",
        Method::OidcPhishingResistant => "identity provider, phishing-resistant",
        Method::Certificate => "client certificate",
        Method::SetupLink => "set-up link",
    }
}

/// Ways to prove an identity, joined.
pub(crate) fn methods<'a>(all: impl IntoIterator<Item = &'a Method>) -> String {
    let words: Vec<_> = all.into_iter().map(|m| method(*m)).collect();
    if words.is_empty() { "nothing".to_owned() } else { words.join(" + ") }
}

/// A property of a device.
pub(crate) const fn check(c: Check) -> &'static str {
    match c {
        Check::DiskEncrypted => "disk encryption",
        Check::EndpointProtection => "endpoint protection",
        Check::OsCurrent => "system updates",
        Check::Firewall => "firewall",
        Check::ScreenLock => "screen lock",
    }
}

/// Why a connection ended.
pub(crate) const fn cause(c: CutCause) -> &'static str {
    match c {
        CutCause::Closed => "closed by a peer",
        CutCause::SessionEnded => "the session ended",
        CutCause::PersonChanged => "the person's rights changed",
        CutCause::DeviceChanged => "the device changed",
        CutCause::Locked => "a lock was placed",
        CutCause::PolicyPublished => "a policy was published",
        CutCause::TimePassed => "its time was over",
        CutCause::UpstreamFailed => "the application failed",
        CutCause::Shutdown => "the server stopped",
    }
}

/// What an opt-out means, in a sentence.
pub(crate) const fn opt_out(name: &str) -> &'static str {
    match name.as_bytes() {
        b"allow_encoded_slash" => {
            "A path with an encoded slash (%2F, %5C) is passed on as it is. Routes and rules take it for data; the application may take it for a slash."
        }
        b"merge_slashes" => "Slashes in a row are made one. This is what is decided on, and what the application gets.",
        b"allow_semicolon" => {
            "A path with a semicolon is passed on. Routes and rules take it for a part of the name; the application may cut the name there."
        }
        b"drop_underscore_headers" => {
            "Header fields with an underscore in the name are left out, where the request would be refused."
        }
        _ => "",
    }
}

/// A name with its first letter raised.
pub(crate) fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |c| c.to_uppercase().chain(chars).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::Share;

    #[test]
    fn a_hundred_per_cent_means_all() {
        assert_eq!(percent(Share::new(999, 1_000)), "99 %");
        assert_eq!(percent(Share::new(0, 0)), "–");
        assert_eq!(percent(Share::new(u64::MAX, u64::MAX)), "100 %");
    }

    #[test]
    fn thousands_are_set_apart() {
        assert_eq!(count(1_234_567), "1\u{202f}234\u{202f}567");
        assert_eq!(count(12), "12");
        assert_eq!(plural(1, "request", "requests"), "1 request");
    }
}
