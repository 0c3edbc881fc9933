//! What the two ends say to each other.

use safeconduct_model::ConnectorName;
use serde::{Deserialize, Serialize};

/// The protocol of a link.
pub const LINK: &[u8] = b"safeconduct-connector/1";
/// The protocol of the door where connectors join and renew.
pub const DOOR: &[u8] = b"safeconduct-join/1";
/// The name in the certificate that the gateway shows to connectors, whatever address they reach it by.
pub const DOOR_NAME: &str = "connectors.safeconduct.internal";
/// Where a token is redeemed.
pub const JOIN_PATH: &str = "/join";
/// Where a certificate is renewed.
pub const RENEW_PATH: &str = "/renew";
/// Where a connector tells of itself.
pub const ABOUT_PATH: &str = "/about";
/// Where a connector answers once it wants to leave.
pub const LEAVE_PATH: &str = "/leave";
/// The field that carries the warrant of a stream.
pub const WARRANT: &str = "safeconduct-warrant";
/// The field in which a connector says why it opened no stream.
pub const REFUSAL: &str = "safeconduct-refusal";

/// A wish to join.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Join {
    /// The secret of the token.
    pub token: String,
    /// Who wants to join.
    pub name: ConnectorName,
    /// The signing request, PEM.
    pub request: String,
}

/// A wish for a new certificate for the key that has one.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Renew {
    /// The signing request, PEM.
    pub request: String,
}

/// The answer to both.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Admitted {
    /// The certificate, PEM.
    pub certificate: String,
}

/// The answer where there is no certificate.
#[derive(Serialize, Deserialize)]
pub struct NotAdmitted {
    /// Why, in words for the person who joins a connector.
    pub words: String,
}

/// What a connector tells of itself. It is shown to people, and decides nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// The version of its program.
    pub version: String,
}

/// Why a connector opened no stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It carries out no such request.
    Request,
    /// The warrant does not hold.
    Warrant,
    /// The address is one that it does not dial.
    Address,
    /// The name has no address.
    Name,
    /// The application took no connection.
    Unreachable,
    /// The application shows no certificate that counts here.
    Untrusted,
    /// The application took too long.
    Slow,
    /// It takes no more streams.
    Draining,
}

impl Refusal {
    /// Every refusal there is.
    pub const ALL: [Self; 8] = [
        Self::Request,
        Self::Warrant,
        Self::Address,
        Self::Name,
        Self::Unreachable,
        Self::Untrusted,
        Self::Slow,
        Self::Draining,
    ];

    /// The word on the wire.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Warrant => "warrant",
            Self::Address => "address",
            Self::Name => "name",
            Self::Unreachable => "unreachable",
            Self::Untrusted => "untrusted",
            Self::Slow => "slow",
            Self::Draining => "draining",
        }
    }

    /// The refusal of a word.
    #[must_use]
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|r| r.code() == code)
    }

    /// The status that goes with it.
    #[must_use]
    pub const fn status(self) -> http::StatusCode {
        match self {
            Self::Request => http::StatusCode::BAD_REQUEST,
            Self::Warrant | Self::Address => http::StatusCode::FORBIDDEN,
            Self::Name | Self::Unreachable | Self::Untrusted => http::StatusCode::BAD_GATEWAY,
            Self::Slow => http::StatusCode::GATEWAY_TIMEOUT,
            Self::Draining => http::StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_has_a_word_of_its_own_and_is_no_success() {
        for refusal in Refusal::ALL {
            assert_eq!(Refusal::from_code(refusal.code()), Some(refusal));
            assert!(!refusal.status().is_success());
        }
        assert_eq!(Refusal::from_code(""), None);
    }
}
