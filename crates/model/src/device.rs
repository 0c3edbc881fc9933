//! Devices and what is known about their health.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{DeviceId, Duration, Timestamp};

/// One property of a device that a posture report states.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Check {
    /// Every fixed disk is encrypted.
    DiskEncrypted,
    /// Endpoint protection runs and its signatures are current.
    EndpointProtection,
    /// The operating system has no overdue security update.
    OsCurrent,
    /// A host firewall is active.
    Firewall,
    /// The screen locks on its own.
    ScreenLock,
}

impl Check {
    /// Every check there is.
    pub const ALL: [Self; 5] =
        [Self::DiskEncrypted, Self::EndpointProtection, Self::OsCurrent, Self::Firewall, Self::ScreenLock];

    /// The stable name, as policies and reports spell it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::DiskEncrypted => "disk_encrypted",
            Self::EndpointProtection => "endpoint_protection",
            Self::OsCurrent => "os_current",
            Self::Firewall => "firewall",
            Self::ScreenLock => "screen_lock",
        }
    }

    /// The check with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|c| c.name() == name)
    }

    /// What to do when it fails, for the person at the device.
    #[must_use]
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::DiskEncrypted => "turn on disk encryption",
            Self::EndpointProtection => "start the endpoint protection and let it update",
            Self::OsCurrent => "install the pending operating system updates",
            Self::Firewall => "turn on the firewall",
            Self::ScreenLock => "turn on the automatic screen lock",
        }
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A verified posture report: who says what about a device, and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The device it speaks of.
    pub device: DeviceId,
    /// When the device measured itself.
    pub at: Timestamp,
    /// The checks that passed. A check that is absent failed.
    pub passed: BTreeSet<Check>,
}

/// The facts about a device that a verdict may read. Absence of a report is not compliance.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct DeviceFacts {
    /// Which device.
    pub id: DeviceId,
    /// Whether the organisation manages it.
    pub managed: bool,
    /// When its last report was made; `None` if it never reported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reported: Option<Timestamp>,
    /// How long a report counts.
    pub max_age: Duration,
    /// The checks that passed in that report.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub passed: BTreeSet<Check>,
    /// The checks that the organisation requires of a compliant device.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub required: BTreeSet<Check>,
}

impl DeviceFacts {
    /// The instant at which the report stops counting; `None` if there is no report.
    #[must_use]
    pub fn fresh_until(&self) -> Option<Timestamp> {
        self.reported.map(|at| at + self.max_age)
    }

    /// Whether a report counts at `now`.
    #[must_use]
    pub fn is_fresh(&self, now: Timestamp) -> bool {
        self.fresh_until().is_some_and(|until| now < until)
    }

    /// Whether `check` passed in a report that counts at `now`.
    #[must_use]
    pub fn passes(&self, check: Check, now: Timestamp) -> bool {
        self.is_fresh(now) && self.passed.contains(&check)
    }

    /// Whether every required check passed in a report that counts at `now`.
    #[must_use]
    pub fn is_compliant(&self, now: Timestamp) -> bool {
        self.is_fresh(now) && self.required.is_subset(&self.passed)
    }

    /// The required checks that do not pass at `now`.
    #[must_use]
    pub fn failing(&self, now: Timestamp) -> BTreeSet<Check> {
        self.required.iter().copied().filter(|c| !self.passes(*c, now)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(reported: Option<i64>) -> DeviceFacts {
        DeviceFacts {
            id: "lt-7".parse().expect("id"),
            managed: true,
            reported: reported.map(Timestamp::from_millis),
            max_age: Duration::from_millis(100),
            passed: [Check::Firewall, Check::OsCurrent].into(),
            required: [Check::Firewall].into(),
        }
    }

    #[test]
    fn no_report_or_an_old_one_is_not_compliant() {
        assert!(!device(None).is_compliant(Timestamp::from_millis(0)));
        let d = device(Some(1_000));
        assert!(d.is_compliant(Timestamp::from_millis(1_099)));
        assert!(!d.is_compliant(Timestamp::from_millis(1_100)), "the bound itself is too old");
        assert_eq!(d.failing(Timestamp::from_millis(1_100)), [Check::Firewall].into());
    }

    #[test]
    fn every_check_has_its_own_name() {
        for c in Check::ALL {
            assert_eq!(Check::from_name(c.name()), Some(c));
            assert_eq!(serde_json::to_string(&c).ok(), Some(format!("\"{}\"", c.name())));
        }
        assert_eq!(Check::from_name("antivirus"), None);
    }
}
