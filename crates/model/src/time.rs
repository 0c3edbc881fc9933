//! Instants and spans in whole milliseconds. Core crates get them handed in.

use std::fmt;
use std::ops::{Add, Sub};
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// An instant: milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default)]
#[serde(transparent)]
pub struct Timestamp(i64);

/// A span of time in milliseconds. Never negative.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default)]
#[serde(transparent)]
pub struct Duration(u64);

impl Timestamp {
    /// The last representable instant: "until further notice".
    pub const MAX: Self = Self(253_402_207_200_000);

    /// From milliseconds since the epoch, clamped to the years 1970 to 9999.
    #[must_use]
    pub const fn from_millis(ms: i64) -> Self {
        let ms = if ms < 0 { 0 } else { ms };
        Self(if ms > Self::MAX.0 { Self::MAX.0 } else { ms })
    }

    /// Milliseconds since the epoch.
    #[must_use]
    pub const fn millis(self) -> i64 {
        self.0
    }

    /// How long ago `earlier` was; zero if it lies ahead.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration(if self.0 > earlier.0 { (self.0 - earlier.0).unsigned_abs() } else { 0 })
    }
}

/// Why a text is not a span of time.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("`{0}` is no span of time; write a number and a unit, as in 90s, 15min, 8h or 7d")]
pub struct DurationError(String);

impl FromStr for Duration {
    type Err = DurationError;

    /// `250ms`, `90s`, `15 min`, `12h`, `7 d`.
    fn from_str(text: &str) -> Result<Self, DurationError> {
        let wrong = || DurationError(text.to_owned());
        let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?);
        let n: u64 = number.parse().map_err(|_| wrong())?;
        Ok(match unit.trim() {
            "ms" => Self::from_millis(n),
            "s" => Self::from_secs(n),
            "min" | "m" => Self::from_mins(n),
            "h" => Self::from_hours(n),
            "d" => Self::from_days(n),
            _ => return Err(wrong()),
        })
    }
}

impl Duration {
    /// No time at all.
    pub const ZERO: Self = Self(0);

    /// A span of `ms` milliseconds.
    #[must_use]
    pub const fn from_millis(ms: u64) -> Self {
        Self(ms)
    }
    /// A span of `s` seconds.
    #[must_use]
    pub const fn from_secs(s: u64) -> Self {
        Self(s.saturating_mul(1_000))
    }
    /// A span of `m` minutes.
    #[must_use]
    pub const fn from_mins(m: u64) -> Self {
        Self::from_secs(m.saturating_mul(60))
    }
    /// A span of `h` hours.
    #[must_use]
    pub const fn from_hours(h: u64) -> Self {
        Self::from_mins(h.saturating_mul(60))
    }
    /// A span of `d` days of 24 hours.
    #[must_use]
    pub const fn from_days(d: u64) -> Self {
        Self::from_hours(d.saturating_mul(24))
    }
    /// In milliseconds.
    #[must_use]
    pub const fn millis(self) -> u64 {
        self.0
    }
    /// In whole seconds, rounded down.
    #[must_use]
    pub const fn secs(self) -> u64 {
        self.0 / 1_000
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;
    fn add(self, span: Duration) -> Self {
        Self::from_millis(self.0.saturating_add(i64::try_from(span.0).unwrap_or(i64::MAX)))
    }
}

impl Sub<Duration> for Timestamp {
    type Output = Self;
    fn sub(self, span: Duration) -> Self {
        Self::from_millis(self.0.saturating_sub(i64::try_from(span.0).unwrap_or(i64::MAX)))
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC with milliseconds, `2026-09-30T14:02:00.000Z`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(t) => write!(f, "{t:.3}"),
            Err(_) => write!(f, "{} ms", self.0),
        }
    }
}

impl fmt::Display for Duration {
    /// The two largest units: `2 d 3 h`, `14 min 5 s`, `870 ms`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (ms, s) = (self.0 % 1_000, self.0 / 1_000);
        let units = [(s / 86_400, "d"), (s / 3_600 % 24, "h"), (s / 60 % 60, "min"), (s % 60, "s"), (ms, "ms")];
        let Some(first) = units.iter().position(|(n, _)| *n > 0) else { return f.write_str("0 s") };
        write!(f, "{} {}", units[first].0, units[first].1)?;
        match units.get(first + 1) {
            Some((n, unit)) if *n > 0 && first < 3 => write!(f, " {n} {unit}"),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_prints_as_rfc_3339_and_stays_in_range() {
        assert_eq!(Timestamp::from_millis(1_790_776_920_000).to_string(), "2026-09-30T14:02:00.000Z");
        assert_eq!(Timestamp::from_millis(-5), Timestamp::default());
        assert_eq!(Timestamp::MAX + Duration::from_days(1), Timestamp::MAX);
        assert_eq!(Timestamp::MAX.to_string(), "9999-12-30T22:00:00.000Z");
    }

    #[test]
    fn a_span_prints_its_two_largest_units() {
        for (ms, text) in
            [(0, "0 s"), (870, "870 ms"), (845_000, "14 min 5 s"), (183_600_000, "2 d 3 h"), (5_120, "5 s")]
        {
            assert_eq!(Duration::from_millis(ms).to_string(), text);
        }
    }

    #[test]
    fn nothing_is_before_zero() {
        let early = Timestamp::from_millis(10);
        assert_eq!(early.since(Timestamp::from_millis(50)), Duration::ZERO);
        assert_eq!((early - Duration::from_secs(1)).millis(), 0);
    }
}
