//! A refusal before policy is asked.

use std::fmt;

use safeconduct_model::Reason;

/// A request that is refused before policy is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The HTTP status.
    pub status: u16,
    /// The reason of the record.
    pub reason: Reason,
    /// The stable detail code of the record. The client is not told.
    pub code: &'static str,
}

impl Refused {
    /// Malformed or ambiguous.
    #[must_use]
    pub const fn bad(code: &'static str) -> Self {
        Self { status: 400, reason: Reason::BadRequest, code }
    }

    /// Over a bound.
    #[must_use]
    pub const fn limit(status: u16, code: &'static str) -> Self {
        Self { status, reason: Reason::LimitReached, code }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.status, self.code)
    }
}

impl std::error::Error for Refused {}
