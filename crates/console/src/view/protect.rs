//! The protect surface.

use safeconduct_model::{AssetId, AssetKind, Class, Timestamp};

use super::Link;

/// The protect surface.
#[derive(Clone, Debug, Default)]
pub struct Protect {
    /// Every asset.
    pub assets: Vec<AssetRow>,
}

/// One asset.
#[derive(Clone, Debug)]
pub struct AssetRow {
    /// Its id.
    pub id: AssetId,
    /// Its name.
    pub name: String,
    /// One sentence about it.
    pub note: String,
    /// What it is.
    pub kind: AssetKind,
    /// How bad a loss would be.
    pub class: Class,
    /// Who answers for it.
    pub owner: Option<Link>,
    /// The applications that lead to it.
    pub apps: Vec<Link>,
    /// How it can be reached.
    pub exposure: Exposure,
    /// How many people reached it in the last 30 days.
    pub people: u64,
    /// The last use.
    pub last: Option<Timestamp>,
}

/// How an asset can be reached, as far as Safeconduct knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exposure {
    /// Every application that leads to it enforces policy.
    Enforced,
    /// An application that leads to it only observes.
    Observed,
    /// No application behind the gateway leads to it: how it is reached is not known.
    Unknown,
}

impl Exposure {
    /// All of them, the best first.
    pub const ALL: [Self; 3] = [Self::Enforced, Self::Observed, Self::Unknown];

    /// In a word or two.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Enforced => "policy enforced",
            Self::Observed => "observed only",
            Self::Unknown => "not behind the gateway",
        }
    }
}
