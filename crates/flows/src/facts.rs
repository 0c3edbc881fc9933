//! What held when somebody used something, under the names that policies use.

use std::collections::BTreeSet;

use jiff::tz::TimeZone;
use safeconduct_model::{Access, Ask, Auth, Check, DeviceFacts, Timestamp};

/// The facts of one ask at one instant.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is one independent fact with a name of its own")]
pub struct Facts {
    /// Whether the identity was proven and the session had not ended.
    pub proven: bool,
    /// Two factors at least.
    pub mfa: bool,
    /// A sign-in that a look-alike site cannot relay.
    pub phishing_resistant: bool,
    /// Whole seconds since the last proof; `i64::MAX` without one.
    pub auth_age: i64,
    /// The local weekday, 1 = Monday.
    pub weekday: u8,
    /// The minute of the local day.
    pub minute: u16,
    /// The number of the local day, counted from 1970-01-01.
    pub day: i32,
    /// A device proved itself in the session.
    pub known: bool,
    /// The organisation manages it.
    pub managed: bool,
    /// Every required check passed in a report that still counted.
    pub compliant: bool,
    /// The checks that passed in a report that still counted.
    pub passed: BTreeSet<Check>,
    /// The named network; `None` for all others.
    pub network: Option<String>,
    /// The purpose, stated or granted.
    pub purpose: Option<String>,
    /// A dated grant held.
    pub granted: bool,
}

impl Facts {
    /// The facts of a recorded access at the instant of its decision.
    #[must_use]
    pub fn of(access: &Access, zone: &TimeZone) -> Self {
        Self::at(&access.ask, access.decided, zone)
    }

    /// The facts of an ask at `now`.
    #[must_use]
    pub fn at(ask: &Ask, now: Timestamp, zone: &TimeZone) -> Self {
        let (weekday, minute, day) = local(now, zone);
        let auth = ask.who.auth.as_ref();
        let device = ask.place.device.as_ref();
        let passes = |check: &Check| device.is_some_and(|d| d.passes(*check, now));
        Self {
            proven: auth.is_some_and(|a| now < a.until),
            mfa: auth.is_some_and(Auth::is_mfa),
            phishing_resistant: auth.is_some_and(Auth::is_phishing_resistant),
            auth_age: auth.map_or(i64::MAX, |a| i64::try_from(now.since(a.at).secs()).unwrap_or(i64::MAX)),
            weekday,
            minute,
            day,
            known: device.is_some(),
            managed: device.is_some_and(|d| d.managed),
            compliant: device.is_some_and(|d: &DeviceFacts| d.is_compliant(now)),
            passed: Check::ALL.into_iter().filter(passes).collect(),
            network: ask.place.network.clone(),
            purpose: ask.why.purpose(now).map(str::to_owned),
            granted: ask.why.live_grant(now).is_some(),
        }
    }
}

/// The local weekday (1 = Monday), the minute of the local day, and the number of that day since 1970-01-01.
#[must_use]
pub fn local(now: Timestamp, zone: &TimeZone) -> (u8, u16, i32) {
    let zoned = jiff::Timestamp::from_millisecond(now.millis())
        .expect("a model timestamp lies between 1970 and 9999")
        .to_zoned(zone.clone());
    let weekday = u8::try_from(zoned.weekday().to_monday_one_offset()).unwrap_or(1);
    let minute = i32::from(zoned.hour()) * 60 + i32::from(zoned.minute());
    let local_ms = now.millis() + i64::from(zoned.offset().seconds()) * 1_000;
    let day = i32::try_from(local_ms.div_euclid(86_400_000)).unwrap_or(i32::MAX);
    (weekday, u16::try_from(minute).unwrap_or(0), day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_local_clock_is_that_of_the_zone() {
        let zone = TimeZone::get("Europe/Berlin").expect("bundled");
        // 2026-09-30T22:30:00Z is Thursday 00:30 in Berlin.
        let late = Timestamp::from_millis(1_790_807_400_000);
        assert_eq!(local(late, &TimeZone::UTC), (3, 22 * 60 + 30, 20_726));
        assert_eq!(local(late, &zone), (4, 30, 20_727));
    }
}
