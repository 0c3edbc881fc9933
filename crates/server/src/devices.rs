//! Devices that the organisation knows: who they are, how they prove themselves, how they are.

use std::collections::{BTreeMap, BTreeSet};

use safeconduct_authn::device::DeviceKey;
use safeconduct_authn::posture::{self, PostureError};
use safeconduct_model::{Check, DeviceFacts, DeviceId, Duration, PersonId, Report, Timestamp};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// How many devices there may be.
pub(crate) const MAX_DEVICES: usize = 200_000;

/// A device, as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Device {
    /// Its id.
    pub id: DeviceId,
    /// Its name, as people say it.
    pub name: String,
    /// Whose it is.
    pub owner: Option<PersonId>,
    /// Whether the organisation manages it.
    pub managed: bool,
    /// The public key with which it proves itself and signs reports: SubjectPublicKeyInfo in base64url.
    pub public_key: String,
    /// How it proves itself in a session.
    pub proof: Proof,
    /// When it was enrolled.
    pub enrolled: Timestamp,
    /// The last report.
    pub report: Option<Report>,
}

/// How a device proves itself in a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Proof {
    /// By a client certificate of the local authority, on every connection.
    Certificate,
    /// By a key that the browser cannot give away, at sign-in and step-up.
    Browser,
}

/// Why a device is not taken or not believed.
#[derive(Debug, Error)]
pub(crate) enum DeviceError {
    /// No such device.
    #[error("no device is called `{0}`; enrol it first")]
    Unknown(String),
    /// It exists.
    #[error("a device `{0}` exists already; choose another name")]
    Taken(DeviceId),
    /// Too many.
    #[error("there are {MAX_DEVICES} devices already; retire some first")]
    Full,
    /// The key is not one.
    #[error("the public key is not a P-256 key: {0}")]
    Key(String),
    /// The report does not hold.
    #[error("the report was not accepted: {0}")]
    Report(#[from] PostureError),
    /// An older report, or the same again.
    #[error("the report is not newer than the last one")]
    Replayed,
}

/// Every device, in memory.
#[derive(Debug, Default)]
pub(crate) struct Devices(BTreeMap<DeviceId, Device>);

impl Devices {
    /// Puts a device back that was kept.
    pub(crate) fn restore(&mut self, device: Device) {
        self.0.insert(device.id.clone(), device);
    }

    /// Checks that a device may be enrolled.
    pub(crate) fn admit(&self, device: &Device) -> Result<(), DeviceError> {
        DeviceKey::from_base64url(&device.public_key).map_err(|e| DeviceError::Key(e.to_string()))?;
        if self.0.contains_key(&device.id) {
            return Err(DeviceError::Taken(device.id.clone()));
        }
        if self.0.len() >= MAX_DEVICES { Err(DeviceError::Full) } else { Ok(()) }
    }

    /// The device with this id.
    #[must_use]
    pub(crate) fn get(&self, id: &DeviceId) -> Option<&Device> {
        self.0.get(id)
    }

    /// Every device.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Device> {
        self.0.values()
    }

    /// The key of a device.
    pub(crate) fn key(&self, id: &DeviceId) -> Result<DeviceKey, DeviceError> {
        let device = self.0.get(id).ok_or_else(|| DeviceError::Unknown(id.to_string()))?;
        DeviceKey::from_base64url(&device.public_key).map_err(|e| DeviceError::Key(e.to_string()))
    }

    /// Verifies a report with the key of its device; the device with the report in it, to be kept. A report must be newer
    /// than the last one, so none is believed twice.
    pub(crate) fn believe(&self, token: &str, now: Timestamp, max_age: Duration) -> Result<Device, DeviceError> {
        let id = posture::claimed_device(token)?;
        let key = self.key(&id)?;
        let (report, _) = posture::verify(token, &id, &key, now, max_age)?;
        let mut device = self.0.get(&id).ok_or_else(|| DeviceError::Unknown(id.to_string()))?.clone();
        if device.report.as_ref().is_some_and(|last| report.at <= last.at) {
            return Err(DeviceError::Replayed);
        }
        device.report = Some(report);
        Ok(device)
    }
}

impl Device {
    /// The facts that a verdict may read.
    #[must_use]
    pub(crate) fn facts(&self, required: &BTreeSet<Check>, max_age: Duration) -> DeviceFacts {
        DeviceFacts {
            id: self.id.clone(),
            managed: self.managed,
            reported: self.report.as_ref().map(|r| r.at),
            max_age,
            passed: self.report.as_ref().map(|r| r.passed.clone()).unwrap_or_default(),
            required: required.clone(),
        }
    }
}
