//! Regions of the space of facts: one set of values for each fact that is constrained, and every value for the others.

use std::sync::Arc;

use safeconduct_model::{RuleId, Timestamp};

use super::numbers::Numbers;
use super::pattern::TooComplex;
use super::texts::Texts;

/// One fact that a rule may read, or one thing that it may ask of the asker.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Dim {
    /// Whether the asker is a person, and not a workload.
    Person,
    /// Whether the asker belongs to a group.
    Group(Arc<str>),
    /// The id of the asker.
    Id,
    Method,
    Path,
    Zone,
    Ip,
    Country,
    Purpose,
    Ticket,
    Age,
    Time,
    Weekday,
    Minute,
    /// A fact that is true or false, by its context path.
    Flag(&'static str),
    /// Whether a rule in canary, with this share, binds the asker.
    Canary(RuleId, u8),
    /// A condition outside the fragment, as it is and as it is shown: true or false, and nothing is known about when. Two
    /// conditions may be shown alike and mean two things.
    Opaque(Arc<str>, Arc<str>),
}

/// Every fact that is true or false.
pub(crate) const FLAGS: [&str; 11] = [
    "auth.mfa",
    "auth.phishing_resistant",
    "device.known",
    "device.managed",
    "device.compliant",
    "device.disk_encrypted",
    "device.endpoint_protection",
    "device.os_current",
    "device.firewall",
    "device.screen_lock",
    "granted",
];

impl Dim {
    /// The fact at a context path, without the leading `context`.
    pub(crate) fn of_path(path: &str) -> Option<Self> {
        Some(match path {
            "auth.age" => Self::Age,
            "method" => Self::Method,
            "path" => Self::Path,
            "time" => Self::Time,
            "weekday" => Self::Weekday,
            "minute" => Self::Minute,
            "net.ip" => Self::Ip,
            "net.zone" => Self::Zone,
            "net.country" => Self::Country,
            "purpose" => Self::Purpose,
            "ticket" => Self::Ticket,
            other => Self::Flag(FLAGS.into_iter().find(|f| *f == other)?),
        })
    }

    /// Every value that the fact can take.
    pub(crate) fn domain(&self) -> Set {
        let millis = u128::from(Timestamp::MAX.millis().unsigned_abs());
        let upto = |n| Set::Numbers(Numbers::between(0, n));
        match self {
            Self::Person | Self::Group(_) | Self::Flag(_) | Self::Canary(..) | Self::Opaque(..) => Set::Both,
            Self::Id | Self::Method | Self::Path | Self::Zone => Set::Texts(Texts::present()),
            Self::Country | Self::Purpose | Self::Ticket => Set::Texts(Texts::all()),
            Self::Ip => upto(u128::MAX),
            Self::Age => upto(millis / 1_000),
            // A session must outlive the instant, so the last one is out of reach.
            Self::Time => upto(millis - 1),
            Self::Weekday => Set::Numbers(Numbers::between(1, 7)),
            Self::Minute => upto(1_439),
        }
    }

    /// Whether any value of it goes with any value of every other fact. The id of the asker does where no canary asks for it.
    pub(crate) fn is_independent(&self) -> bool {
        matches!(
            self,
            Self::Person
                | Self::Group(_)
                | Self::Id
                | Self::Method
                | Self::Path
                | Self::Zone
                | Self::Ip
                | Self::Country
        )
    }
}

/// A set of values of one fact.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Set {
    /// True and false.
    Both,
    /// One of them.
    One(bool),
    Numbers(Numbers),
    Texts(Texts),
}

impl Set {
    pub(crate) fn is_empty(&self) -> Result<bool, TooComplex> {
        match self {
            Self::Both | Self::One(_) => Ok(false),
            Self::Numbers(set) => Ok(set.is_empty()),
            Self::Texts(set) => set.is_empty(),
        }
    }

    /// `None` if nothing is in both.
    pub(crate) fn intersection(&self, other: &Self) -> Result<Option<Self>, TooComplex> {
        let both = match (self, other) {
            (Self::Both, set) | (set, Self::Both) => set.clone(),
            (Self::One(a), Self::One(b)) if a == b => Self::One(*a),
            (Self::Numbers(a), Self::Numbers(b)) => Self::Numbers(a.intersection(b)),
            (Self::Texts(a), Self::Texts(b)) => Self::Texts(a.intersection(b)),
            _ => return Ok(None),
        };
        Ok((!both.is_empty()?).then_some(both))
    }

    /// What is in this set and not in the other, as a union.
    pub(crate) fn without(&self, other: &Self) -> Result<Vec<Self>, TooComplex> {
        Ok(match (self, other) {
            (_, Self::Both) => vec![],
            (Self::Both, Self::One(b)) => vec![Self::One(!b)],
            (Self::One(a), Self::One(b)) if a == b => vec![],
            (Self::Numbers(a), Self::Numbers(b)) => {
                Some(a.without(b)).filter(|n| !n.is_empty()).map(Self::Numbers).into_iter().collect()
            }
            (Self::Texts(a), Self::Texts(b)) => a.without(b)?.into_iter().map(Self::Texts).collect(),
            (same, _) => vec![same.clone()],
        })
    }

    pub(crate) fn is_subset(&self, other: &Self) -> Result<bool, TooComplex> {
        match (self, other) {
            (_, Self::Both) => Ok(true),
            (Self::One(a), Self::One(b)) => Ok(a == b),
            (Self::Numbers(a), Self::Numbers(b)) => Ok(a.is_subset(b)),
            (Self::Texts(a), Self::Texts(b)) => a.is_subset(b),
            _ => Ok(false),
        }
    }

    pub(crate) fn is_disjoint(&self, other: &Self) -> Result<bool, TooComplex> {
        match (self, other) {
            (Self::Numbers(a), Self::Numbers(b)) => Ok(a.is_disjoint(b)),
            (Self::Texts(a), Self::Texts(b)) => a.is_disjoint(b),
            (Self::One(a), Self::One(b)) => Ok(a != b),
            _ => Ok(false),
        }
    }
}

/// A box: all points whose facts lie in the sets. Never empty as a product; whether one of its points can occur is another
/// question.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Region {
    sets: Vec<(Dim, Arc<Set>)>,
}

impl Region {
    /// Everything.
    pub(crate) fn whole() -> Self {
        Self::default()
    }

    /// The points whose fact lies in the set; `None` if there are none.
    pub(crate) fn of(dim: &Dim, set: &Set) -> Result<Option<Self>, TooComplex> {
        Self::whole().with(dim, set)
    }

    pub(crate) fn get(&self, dim: &Dim) -> Option<&Set> {
        let at = self.sets.binary_search_by(|(d, _)| d.cmp(dim)).ok()?;
        Some(self.sets[at].1.as_ref())
    }

    /// The set of a fact, whether it is constrained or not.
    pub(crate) fn set(&self, dim: &Dim) -> Set {
        self.get(dim).cloned().unwrap_or_else(|| dim.domain())
    }

    pub(crate) fn sets(&self) -> impl Iterator<Item = (&Dim, &Set)> {
        self.sets.iter().map(|(dim, set)| (dim, set.as_ref()))
    }

    /// The part whose fact lies in the set too; `None` if there is none.
    pub(crate) fn with(&self, dim: &Dim, set: &Set) -> Result<Option<Self>, TooComplex> {
        let at = self.sets.binary_search_by(|(d, _)| d.cmp(dim));
        let before = match at {
            Ok(at) => self.sets[at].1.as_ref().clone(),
            Err(_) => dim.domain(),
        };
        let Some(both) = before.intersection(set)? else { return Ok(None) };
        let mut narrower = self.clone();
        match at {
            _ if both == before => {}
            Ok(at) => narrower.sets[at].1 = Arc::new(both),
            Err(at) => narrower.sets.insert(at, (dim.clone(), Arc::new(both))),
        }
        Ok(Some(narrower))
    }

    /// What is in both; `None` if nothing is.
    pub(crate) fn intersection(&self, other: &Self) -> Result<Option<Self>, TooComplex> {
        let mut both = self.clone();
        for (dim, set) in other.sets() {
            match both.with(dim, set)? {
                Some(narrower) => both = narrower,
                None => return Ok(None),
            }
        }
        Ok(Some(both))
    }

    /// How another region lies to this one.
    pub(crate) fn against(&self, other: &Self) -> Result<Lies, TooComplex> {
        let mut open = Vec::new();
        for (dim, set) in other.sets() {
            match self.get(dim) {
                None => open.push(dim.clone()),
                Some(own) if own.is_disjoint(set)? => return Ok(Lies::Apart),
                Some(own) if own.is_subset(set)? => {}
                Some(_) => open.push(dim.clone()),
            }
        }
        Ok(if open.is_empty() { Lies::Inside } else { Lies::Across(open) })
    }

    /// The conditions outside the fragment on which this region rests.
    pub(crate) fn opaque(&self) -> impl Iterator<Item = &Arc<str>> {
        self.sets.iter().filter_map(|(dim, _)| if let Dim::Opaque(_, text) = dim { Some(text) } else { None })
    }
}

/// How a region lies to another.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Lies {
    /// They have nothing in common.
    Apart,
    /// The other holds all of it.
    Inside,
    /// The other holds a part of it: these facts decide.
    Across(Vec<Dim>),
}
