//! The local wall clock by arithmetic: every shift of a time zone up to the year 2100 is looked up once, when it is built.

use jiff::tz::TimeZone;
use safeconduct_model::Timestamp;

/// Beyond this instant the zone itself is asked: 2100-01-01.
const ENDS: i64 = 4_102_444_800_000;
const DAY: i64 = 86_400_000;
const MINUTE: i64 = 60_000;

/// A time zone, ready to be asked often.
#[derive(Debug)]
pub(crate) struct Calendar {
    zone: TimeZone,
    /// From which instant on the local time is ahead by how much, both in milliseconds; sorted.
    shifts: Box<[(i64, i64)]>,
}

/// What a clock on the wall shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Local {
    /// 1 is Monday.
    pub weekday: i64,
    /// Of the day, 0 to 1439.
    pub minute: i64,
}

impl Calendar {
    pub(crate) fn of(zone: &TimeZone) -> Self {
        let start = jiff::Timestamp::UNIX_EPOCH;
        let ahead = |offset: jiff::tz::Offset| i64::from(offset.seconds()) * 1000;
        let mut shifts = vec![(i64::MIN, ahead(zone.to_offset(start)))];
        let later = zone.following(start).map(|t| (t.timestamp().as_millisecond(), ahead(t.offset())));
        shifts.extend(later.take_while(|(at, _)| *at < ENDS));
        Self { zone: zone.clone(), shifts: shifts.into() }
    }

    pub(crate) fn zone(&self) -> &TimeZone {
        &self.zone
    }

    pub(crate) fn local(&self, now: Timestamp) -> Local {
        let ms = now.millis();
        let ahead = if ms < ENDS {
            let at = self.shifts.partition_point(|(from, _)| *from <= ms);
            self.shifts.get(at.saturating_sub(1)).map_or(0, |(_, ahead)| *ahead)
        } else {
            let then = jiff::Timestamp::from_millisecond(ms).unwrap_or(jiff::Timestamp::MAX);
            i64::from(self.zone.to_offset(then).seconds()) * 1000
        };
        let local = ms + ahead;
        // 1970 began on a Thursday.
        Local { weekday: (local.div_euclid(DAY) + 3).rem_euclid(7) + 1, minute: local.rem_euclid(DAY) / MINUTE }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn arithmetic_shows_what_the_zone_shows(
            name in prop::sample::select(vec!["UTC", "Europe/Zurich", "America/St_Johns", "Australia/Lord_Howe", "Asia/Kathmandu"]),
            ms in prop_oneof![0_i64..253_402_207_200_000, 1_700_000_000_000_i64..1_900_000_000_000],
        ) {
            let zone = TimeZone::get(name).expect("the zone is bundled");
            let now = Timestamp::from_millis(ms);
            let wall = crate::facts::local(now, &zone);
            let local = Calendar::of(&zone).local(now);
            prop_assert_eq!(local.weekday, i64::from(wall.weekday().to_monday_one_offset()));
            prop_assert_eq!(local.minute, i64::from(wall.hour()) * 60 + i64::from(wall.minute()));
        }
    }
}
