//! An instant whose local weekday and minute fit: the calendar joins three facts that rules read one by one.

use jiff::Span;
use jiff::tz::TimeZone;
use safeconduct_model::Timestamp;

use super::numbers::Numbers;

/// How many days are searched from one bound on. Every weekday comes five times, so that no single day on which the clock is
/// put forward hides a minute.
const DAYS: i32 = 36;
/// How many intervals of instants are searched.
const MAX_INTERVALS: usize = 16;

/// What the search came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Instant {
    /// This one fits.
    At(Timestamp),
    /// None does: every candidate was looked at.
    Never,
    /// None was found, and not all were looked at.
    Unknown,
}

/// Where to look.
pub(crate) struct Wanted<'s> {
    pub(crate) times: &'s Numbers,
    pub(crate) weekdays: &'s Numbers,
    pub(crate) minutes: &'s Numbers,
}

/// An instant in the sets, the first one from `liked` on where possible.
pub(crate) fn find(wanted: &Wanted<'_>, zone: &TimeZone, liked: Timestamp) -> Instant {
    if wanted.weekdays.is_empty() || wanted.minutes.is_empty() {
        return Instant::Never;
    }
    let liked = u128::from(liked.millis().unsigned_abs());
    let intervals = wanted.times.intervals();
    let ahead = intervals.iter().filter(|(_, high)| *high >= liked).map(|(low, high)| (*low.max(&liked), *high));
    let mut whole = intervals.len() <= MAX_INTERVALS;
    for (low, high) in ahead.chain(intervals.iter().copied()).take(2 * MAX_INTERVALS) {
        match within(wanted, zone, millis(low), millis(high)) {
            Instant::At(at) => return Instant::At(at),
            Instant::Never => {}
            Instant::Unknown => whole = false,
        }
    }
    if whole { Instant::Never } else { Instant::Unknown }
}

fn millis(n: u128) -> i64 {
    i64::try_from(n).unwrap_or(Timestamp::MAX.millis())
}

/// The fitting instants of an interval begin at its low end, where a run of wanted minutes begins, at midnight, or where the
/// clock is put forward or back.
fn within(wanted: &Wanted<'_>, zone: &TimeZone, low: i64, high: i64) -> Instant {
    let fits = |ms: i64| {
        let Ok(at) = jiff::Timestamp::from_millisecond(ms) else { return false };
        let local = at.to_zoned(zone.clone());
        let minute = u128::from(local.hour().unsigned_abs()) * 60 + u128::from(local.minute().unsigned_abs());
        wanted.weekdays.contains(u128::from(local.weekday().to_monday_one_offset().unsigned_abs()))
            && wanted.minutes.contains(minute)
    };
    if fits(low) {
        return Instant::At(Timestamp::from_millis(low));
    }
    let Ok(start) = jiff::Timestamp::from_millisecond(low) else { return Instant::Unknown };
    let first = start.to_zoned(zone.clone()).date();
    let begins: Vec<i32> = wanted.minutes.intervals().iter().filter_map(|(m, _)| i32::try_from(*m).ok()).collect();
    let mut candidates = Vec::new();
    let mut complete = false;
    // The day before too: where a zone lies far from Greenwich, the local day began before the instant.
    for day in -1..=DAYS {
        let Ok(date) = first.checked_add(Span::new().days(day)) else {
            complete = true;
            break;
        };
        for minute in begins.iter().copied().chain([0]) {
            let time = date.to_datetime(jiff::civil::Time::midnight());
            let Ok(time) = time.checked_add(Span::new().minutes(minute)) else { continue };
            let zoned = zone.to_ambiguous_zoned(time);
            let both = [zoned.clone().earlier(), zoned.later()];
            candidates.extend(both.into_iter().filter_map(Result::ok).map(|z| z.timestamp().as_millisecond()));
        }
        let Ok(next) = date.to_zoned(zone.clone()) else { continue };
        if next.timestamp().as_millisecond() > high {
            complete = true;
            break;
        }
    }
    let end = candidates.iter().copied().max().unwrap_or(low);
    let shifts = zone.following(start).map(|t| t.timestamp().as_millisecond()).take_while(|t| *t <= end).take(16);
    candidates.extend(shifts);
    candidates.retain(|t| low <= *t && *t <= high);
    candidates.sort_unstable();
    match candidates.into_iter().find(|t| fits(*t)) {
        Some(at) => Instant::At(Timestamp::from_millis(at)),
        None if complete => Instant::Never,
        None => Instant::Unknown,
    }
}

/// Whether two zones are the same as far as weekdays and minutes go: by name, or both at one offset.
pub(crate) fn same_zone(a: &TimeZone, b: &TimeZone) -> bool {
    let fixed = |z: &TimeZone| z.to_fixed_offset().ok();
    match (a.iana_name(), b.iana_name(), fixed(a), fixed(b)) {
        (Some(a), Some(b), ..) if a == b => true,
        (_, _, Some(a), Some(b)) => a == b,
        _ => a == b,
    }
}

#[cfg(test)]
mod tests {
    use jiff::tz::Offset;

    use super::*;

    /// Monday, 2026-08-31T00:00:00Z.
    const MONDAY: i64 = 1_788_134_400_000;

    fn all() -> Numbers {
        Numbers::between(0, u128::from(Timestamp::MAX.millis().unsigned_abs()) - 1)
    }

    fn at(times: &Numbers, days: &[u128], minutes: (u128, u128), zone: &TimeZone) -> Instant {
        let wanted = Wanted {
            times,
            weekdays: &Numbers::of(days.iter().copied()),
            minutes: &Numbers::between(minutes.0, minutes.1),
        };
        find(&wanted, zone, Timestamp::from_millis(MONDAY))
    }

    fn zone(name: &str) -> TimeZone {
        TimeZone::get(name).expect("bundled")
    }

    #[test]
    fn the_next_fitting_instant_is_found() {
        let wednesday = Instant::At(Timestamp::from_millis(MONDAY + 2 * 86_400_000 + 480 * 60_000));
        assert_eq!(at(&all(), &[3], (480, 1_079), &TimeZone::UTC), wednesday);
        let local = Instant::At(Timestamp::from_millis(MONDAY + 2 * 86_400_000 + 360 * 60_000));
        assert_eq!(at(&all(), &[3], (480, 1_079), &zone("Europe/Amsterdam")), local);
    }

    #[test]
    fn a_window_that_the_calendar_never_meets_is_told() {
        let low = u128::try_from(MONDAY).expect("after 1970");
        let monday = Numbers::between(low, low + 86_399_999);
        assert_eq!(at(&monday, &[2], (0, 1_439), &TimeZone::UTC), Instant::Never);
        let morning = Numbers::between(low, low + 3_600_000);
        assert_eq!(at(&morning, &[1], (61, 1_439), &TimeZone::UTC), Instant::Never);
        assert!(matches!(at(&morning, &[1], (60, 1_439), &TimeZone::UTC), Instant::At(_)));
    }

    #[test]
    fn a_minute_that_a_spring_night_leaves_out_is_found_on_another() {
        // 2026-03-29 in Amsterdam goes from 02:00 to 03:00.
        let sunday = u128::try_from(
            jiff::civil::date(2026, 3, 29)
                .to_zoned(zone("Europe/Amsterdam"))
                .expect("a day")
                .timestamp()
                .as_millisecond(),
        )
        .expect("after 1970");
        let night = Numbers::between(sunday, sunday + 6 * 3_600_000);
        assert_eq!(at(&night, &[7], (120, 179), &zone("Europe/Amsterdam")), Instant::Never);
        let later = Numbers::between(sunday, sunday + 8 * 86_400_000);
        assert!(matches!(at(&later, &[7], (120, 179), &zone("Europe/Amsterdam")), Instant::At(_)));
        // In the autumn the hour comes twice.
        let autumn = jiff::civil::date(2026, 10, 25).to_zoned(zone("Europe/Amsterdam")).expect("a day");
        let second = u128::try_from(autumn.timestamp().as_millisecond()).expect("after 1970") + 3 * 3_600_000;
        let hour = Numbers::between(second, second + 1_000);
        assert!(matches!(at(&hour, &[7], (120, 120), &zone("Europe/Amsterdam")), Instant::At(_)));
    }

    #[test]
    fn zones_are_compared_by_what_they_say() {
        assert!(same_zone(&zone("Europe/Amsterdam"), &zone("Europe/Amsterdam")));
        assert!(same_zone(&TimeZone::UTC, &TimeZone::fixed(Offset::UTC)));
        assert!(!same_zone(&TimeZone::UTC, &zone("Europe/Amsterdam")));
    }
}
