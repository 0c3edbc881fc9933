//! Who uses what, as flows. The drawing, the matrix and the table are made from the same list.

use safeconduct_model::{Action, AppId, AssetId, Class, Mode, Timestamp};

use super::Link;

/// Which part of the map is shown. Comes from the URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MapQuery {
    /// Only this application.
    pub app: Option<String>,
    /// Only people of this group.
    pub group: Option<String>,
    /// How many days back.
    pub days: u32,
}

impl Default for MapQuery {
    fn default() -> Self {
        Self { app: None, group: None, days: 14 }
    }
}

/// The map.
#[derive(Clone, Debug, Default)]
pub struct Map {
    /// The applications that exist, used or not.
    pub apps: Vec<MapApp>,
    /// What was observed.
    pub flows: Vec<Flow>,
    /// The groups to choose from: id and name.
    pub groups: Vec<(String, String)>,
    /// How many requests the flows stand for.
    pub requests: u64,
}

/// An application on the map.
#[derive(Clone, Debug)]
pub struct MapApp {
    /// Its id.
    pub id: AppId,
    /// Its name.
    pub name: String,
    /// Whether verdicts bind.
    pub mode: Mode,
    /// The assets behind it.
    pub assets: Vec<MapAsset>,
    /// How many rules speak of it.
    pub rules: u64,
}

/// An asset on the map.
#[derive(Clone, Debug)]
pub struct MapAsset {
    /// Its id.
    pub id: AssetId,
    /// Its name.
    pub name: String,
    /// How bad a loss would be.
    pub class: Class,
}

/// People of one kind who use one application in one way.
#[derive(Clone, Debug)]
pub struct Flow {
    /// Who: a group, or a person where no group fits.
    pub who: Asker,
    /// From which kind of device.
    pub via: Via,
    /// Which application.
    pub app: AppId,
    /// What kind of use.
    pub action: Action,
    /// How many different people.
    pub people: u64,
    /// Requests that policy allowed.
    pub allowed: u64,
    /// Requests that got through only because the application observes.
    pub would_deny: u64,
    /// Requests that were denied.
    pub denied: u64,
    /// The first of them.
    pub first: Timestamp,
    /// The last of them.
    pub last: Timestamp,
    /// Whether nothing like it was seen before the last days.
    pub new: bool,
}

/// Who uses something.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Asker {
    /// A key that is the same whenever it is the same asker: `group:finance`, `person:ada`.
    pub key: String,
    /// The name, with its page.
    pub name: Link,
    /// Whether it is a group.
    pub group: bool,
}

/// From which kind of device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Via {
    /// Managed and compliant.
    Compliant,
    /// Managed, but a check fails or the report is old.
    Failing,
    /// Known, not managed.
    Unmanaged,
    /// No device proved itself.
    Unknown,
}

impl Via {
    /// All of them, the best first.
    pub const ALL: [Self; 4] = [Self::Compliant, Self::Failing, Self::Unmanaged, Self::Unknown];

    /// In words.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Compliant => "managed, compliant",
            Self::Failing => "managed, check fails",
            Self::Unmanaged => "known, not managed",
            Self::Unknown => "no known device",
        }
    }
}
