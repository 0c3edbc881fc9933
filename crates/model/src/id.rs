//! Identifiers: canonical, short, and of different types, so that a device never stands where a person should.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize, Serializer};
use thiserror::Error;

/// The longest identifier, in bytes.
const MAX_LEN: usize = 128;

/// Why a text is not an identifier.
#[derive(Debug, Error, PartialEq, Eq, Clone)]
pub enum IdError {
    /// The text is empty.
    #[error("a {0} id must not be empty")]
    Empty(&'static str),
    /// The text is too long.
    #[error("a {0} id may have {MAX_LEN} characters at most")]
    TooLong(&'static str),
    /// A character is outside the alphabet.
    #[error(
        "`{text}` is not a {kind} id: `{bad}` is not allowed; use a-z, 0-9 and . _ - + @, and begin with a letter or digit"
    )]
    BadCharacter {
        /// What was to be named.
        kind: &'static str,
        /// The text as given.
        text: String,
        /// The offending character.
        bad: char,
    },
}

fn check(kind: &'static str, text: &str) -> Result<(), IdError> {
    if text.is_empty() {
        return Err(IdError::Empty(kind));
    }
    if text.len() > MAX_LEN {
        return Err(IdError::TooLong(kind));
    }
    // Without a branch in the loop, so that it runs over many bytes at once.
    let plain = text.bytes().fold(true, |all, b| all & (b.is_ascii_lowercase() | b.is_ascii_digit()));
    if plain {
        return Ok(());
    }
    let fits = |(i, c): &(usize, char)| {
        c.is_ascii_lowercase() || c.is_ascii_digit() || (*i > 0 && matches!(c, '.' | '_' | '-' | '+' | '@'))
    };
    match text.char_indices().find(|at| !fits(at)) {
        Some((_, bad)) => Err(IdError::BadCharacter { kind, text: text.to_owned(), bad }),
        None => Ok(()),
    }
}

macro_rules! id {
    ($($(#[$doc:meta])* $name:ident, $kind:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
        #[serde(try_from = "String")]
        pub struct $name(Arc<str>);

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl $name {
            /// The text of the id.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                check($kind, text)?;
                Ok(Self(text.into()))
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;
            fn try_from(text: String) -> Result<Self, IdError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0.as_ref().to_owned()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}

id! {
    /// A person of the organisation.
    PersonId, "person";
    /// A group of people.
    GroupId, "group";
    /// A workload: software that asks on its own behalf.
    WorkloadId, "workload";
    /// A device that the organisation knows.
    DeviceId, "device";
    /// An application behind the gateway.
    AppId, "application";
    /// An element of the protect surface: data, application, asset or service.
    AssetId, "asset";
    /// A policy rule, from its `@id` annotation.
    RuleId, "rule";
    /// A grant: a dated permission with a purpose.
    GrantId, "grant";
    /// The public name of a session. Never the secret that proves it.
    SessionId, "session";
    /// A place where applications live, reached through its connectors.
    SiteId, "site";
    /// A connector, within its site.
    ConnectorId, "connector";
    /// A lock.
    LockId, "lock";
    /// One request; also its W3C trace id when it is 32 hexadecimal digits.
    RequestId, "request";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_canonical() {
        for good in ["ada", "ada@clinic.example", "q3-finance", "0", "a+b_c.d"] {
            assert_eq!(good.parse::<PersonId>().map(String::from), Ok(good.to_owned()));
        }
        for bad in ["", "Ada", "-a", "a b", "a/b", "é", "a\u{0}", &"x".repeat(129)] {
            assert!(bad.parse::<PersonId>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn the_error_names_the_character_and_the_remedy() {
        let text = "Ada".parse::<GroupId>().expect_err("upper case").to_string();
        assert!(text.contains("`Ada` is not a group id") && text.contains("`A`") && text.contains("a-z"), "{text}");
    }

    #[test]
    fn an_invalid_id_does_not_deserialise() {
        assert!(serde_json::from_str::<AppId>("\"A B\"").is_err());
        assert_eq!(serde_json::from_str::<AppId>("\"wiki\"").map(|a| a.to_string()).ok(), Some("wiki".to_owned()));
    }
}
