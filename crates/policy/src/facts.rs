//! The facts of an ask at one instant: what the five Ws come to when the clock shows `now`.

use std::net::IpAddr;

use jiff::tz::TimeZone;
use safeconduct_model::{Ask, Check, Timestamp};

use crate::calendar::Calendar;

/// Every value that a condition may read, under the names of the schema.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Facts {
    pub mfa: bool,
    pub phishing_resistant: bool,
    pub auth_age: i64,
    pub method: String,
    pub path: String,
    pub time: i64,
    pub weekday: i64,
    pub minute: i64,
    pub device: [(&'static str, bool); 8],
    pub ip: IpAddr,
    pub zone: String,
    pub country: Option<String>,
    pub granted: bool,
    pub purpose: Option<String>,
    pub ticket: Option<String>,
}

/// The name of every network that the configuration does not name.
pub const OTHER_NETWORK: &str = "other";

impl Facts {
    pub(crate) fn of(ask: &Ask, now: Timestamp, calendar: &Calendar) -> Self {
        let local = calendar.local(now);
        let auth = ask.who.auth.as_ref();
        let device = ask.place.device.as_ref();
        let check = |c: Check| (c.name(), device.is_some_and(|d| d.passes(c, now)));
        Self {
            mfa: auth.is_some_and(safeconduct_model::Auth::is_mfa),
            phishing_resistant: auth.is_some_and(safeconduct_model::Auth::is_phishing_resistant),
            auth_age: auth.map_or(i64::MAX, |a| i64::try_from(now.since(a.at).secs()).unwrap_or(i64::MAX)),
            method: ask.what.method.clone(),
            path: ask.what.path.clone(),
            time: now.millis(),
            weekday: local.weekday,
            minute: local.minute,
            device: [
                ("known", device.is_some()),
                ("managed", device.is_some_and(|d| d.managed)),
                ("compliant", device.is_some_and(|d| d.is_compliant(now))),
                check(Check::DiskEncrypted),
                check(Check::EndpointProtection),
                check(Check::OsCurrent),
                check(Check::Firewall),
                check(Check::ScreenLock),
            ],
            ip: ask.place.ip,
            zone: ask.place.network.clone().unwrap_or_else(|| OTHER_NETWORK.to_owned()),
            country: ask.place.country.clone(),
            granted: ask.why.live_grant(now).is_some(),
            purpose: ask.why.purpose(now).map(str::to_owned),
            ticket: ask.why.ticket(now).map(str::to_owned),
        }
    }

    /// The value at a context path, in words for a reader.
    pub(crate) fn show(&self, path: &str) -> String {
        let yes = |b: bool| if b { "yes" } else { "no" }.to_owned();
        match path {
            "auth.mfa" => yes(self.mfa),
            "auth.phishing_resistant" => yes(self.phishing_resistant),
            "auth.age" => format!("{} s ago", self.auth_age),
            "method" => self.method.clone(),
            "path" => self.path.clone(),
            "time" => Timestamp::from_millis(self.time).to_string(),
            "weekday" => crate::words::weekday(self.weekday).to_owned(),
            "minute" => crate::words::clock(self.minute),
            "net.ip" => self.ip.to_string(),
            "net.zone" => self.zone.clone(),
            "net.country" => self.country.clone().unwrap_or_else(|| "unknown".to_owned()),
            "granted" => yes(self.granted),
            "purpose" => self.purpose.clone().unwrap_or_else(|| "none stated".to_owned()),
            "ticket" => self.ticket.clone().unwrap_or_else(|| "none given".to_owned()),
            other => match other.strip_prefix("device.").and_then(|n| self.device.iter().find(|(k, _)| *k == n)) {
                Some((_, value)) => yes(*value),
                None => String::new(),
            },
        }
    }
}

/// The local wall clock at `now`.
pub(crate) fn local(now: Timestamp, zone: &TimeZone) -> jiff::Zoned {
    jiff::Timestamp::from_millisecond(now.millis())
        .expect("a model timestamp lies between 1970 and 9999")
        .to_zoned(zone.clone())
}
