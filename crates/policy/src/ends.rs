//! When a permit ends: the first instant at which the clock alone turns it into a denial.
//!
//! Time enters a verdict in few places: comparisons of the clock in the candidate rules, the age of the sign-in, the age of
//! the device's report, the ends of grant and session. Each gives instants at which the answer may change; between two of
//! them it cannot. So asking again at each of them, in order, finds the end exactly.

use std::collections::BTreeSet;

use safeconduct_model::{Ask, Timestamp};

use crate::expr::Expr;
use crate::facts::local;
use crate::snapshot::{App, Snapshot, proven_until};

/// How many instants are tried before the lease is simply ended and asked for anew.
const MAX_STEPS: usize = 256;
/// How far ahead the calendar is searched, in days. Longer than a week, so that every weekly window is met.
const HORIZON_DAYS: i32 = 8;

/// The instant at which a permit given at `now` ends.
pub(crate) fn until(snapshot: &Snapshot, app: &App, ask: &Ask, now: Timestamp) -> Timestamp {
    let Some(proven) = proven_until(ask, now) else { return now };
    let mut last = proven;
    for (steps, at) in instants(snapshot, app, ask, now).into_iter().enumerate() {
        if at >= proven {
            break;
        }
        if steps >= MAX_STEPS {
            last = at;
            break;
        }
        if snapshot.judge(app, ask, at).is_err() {
            return at;
        }
    }
    last
}

/// The first instant after `now` at which the ask is permitted, if the calendar alone brings one within the horizon.
pub(crate) fn opens(snapshot: &Snapshot, app: &App, ask: &Ask, now: Timestamp) -> Option<Timestamp> {
    // Waiting would outlive the session, the report and the sign-in: a person who comes back renews them, so they are
    // held fresh while the calendar is searched.
    let mut later = ask.clone();
    let auth = later.who.auth.as_mut()?;
    auth.until = Timestamp::MAX;
    for at in instants(snapshot, app, ask, now).into_iter().take(MAX_STEPS) {
        if let Some(auth) = later.who.auth.as_mut() {
            auth.at = at - now.since(ask.who.auth.as_ref()?.at);
        }
        if let (Some(device), Some(first)) = (later.place.device.as_mut(), ask.place.device.as_ref()) {
            device.reported = first.reported.map(|r| at - now.since(r));
        }
        if snapshot.judge(app, &later, at).is_ok() {
            return Some(at);
        }
    }
    None
}

fn instants(snapshot: &Snapshot, app: &App, ask: &Ask, now: Timestamp) -> BTreeSet<Timestamp> {
    let mut clock = Clock::default();
    for rule in snapshot.candidates(app, ask.what.action) {
        for condition in rule.when.iter().chain(&rule.unless) {
            clock.collect(condition);
        }
    }
    let mut at: BTreeSet<Timestamp> = clock.instants.iter().map(|ms| Timestamp::from_millis(*ms)).collect();
    if let Some(auth) = &ask.who.auth {
        at.extend(clock.ages.iter().map(|s| auth.at + safeconduct_model::Duration::from_secs(*s)));
        at.insert(auth.until);
    }
    at.extend(ask.place.device.as_ref().and_then(safeconduct_model::DeviceFacts::fresh_until));
    at.extend(ask.why.grant.iter().flat_map(|g| [g.from, g.until]));
    if !clock.minutes.is_empty() {
        let today = local(now, snapshot.zone()).date();
        for days in 0..=HORIZON_DAYS {
            let Ok(date) = today.checked_add(jiff::Span::new().days(days)) else { continue };
            for minute in &clock.minutes {
                let (hour, minute) = (minute / 60, minute % 60);
                let (Ok(hour), Ok(minute)) = (i8::try_from(hour), i8::try_from(minute)) else { continue };
                if let Ok(zoned) = date.at(hour, minute, 0, 0).to_zoned(snapshot.zone().clone()) {
                    at.insert(Timestamp::from_millis(zoned.timestamp().as_millisecond()));
                }
            }
        }
        // Where clocks are put forward or back, the minute of the day jumps without passing a bound.
        let start = jiff::Timestamp::from_millisecond(now.millis()).unwrap_or_default();
        let shift = snapshot.zone().following(start).next();
        at.extend(shift.map(|t| Timestamp::from_millis(t.timestamp().as_millisecond())));
    }
    at.retain(|t| *t > now);
    at
}

/// The constants with which conditions compare the clock.
#[derive(Default)]
struct Clock {
    /// Minutes of the day at which something may change; midnight if a weekday matters.
    minutes: BTreeSet<i64>,
    /// Instants in milliseconds.
    instants: BTreeSet<i64>,
    /// Ages of the sign-in, in seconds.
    ages: BTreeSet<u64>,
}

impl Clock {
    fn collect(&mut self, condition: &Expr) {
        let reads = condition.reads();
        let has = |p: &str| reads.iter().any(|r| r == p);
        if !(has("minute") || has("weekday") || has("time") || has("auth.age")) {
            return;
        }
        let mut numbers = BTreeSet::new();
        let mut opaque = false;
        condition.walk(&mut |e| match e {
            Expr::Long(n) => numbers.extend([*n, n.saturating_add(1)]),
            Expr::Other { .. } => opaque = true,
            _ => {}
        });
        if has("weekday") || has("minute") {
            self.minutes.insert(0);
        }
        if has("minute") {
            self.minutes.extend(numbers.iter().filter(|n| (0..1440).contains(*n)));
            if opaque {
                self.minutes.extend(0..1440);
            }
        }
        if has("time") {
            self.instants.extend(&numbers);
        }
        if has("auth.age") {
            self.ages.extend(numbers.iter().filter_map(|n| u64::try_from(*n).ok()));
        }
    }
}
