//! When a permit ends: the first instant at which the clock alone turns it into a denial.
//!
//! Time enters a verdict in few places: comparisons of the clock in the candidate rules, the age of the sign-in, the age of
//! the device's report, the ends of grant and session. Each gives instants at which the answer may change; between two of
//! them it cannot. So asking again at each of them, in order, finds the end exactly.

use std::collections::BTreeSet;

use safeconduct_model::{Ask, DeviceFacts, Duration, Timestamp};

use crate::calendar::Calendar;
use crate::engine::Prepared;
use crate::expr::Expr;
use crate::facts::local;
use crate::rule::Rule;
use crate::snapshot::{App, Snapshot, proven_until};
use crate::view::View;

/// How many instants are tried before the lease is simply ended and asked for anew.
const MAX_STEPS: usize = 256;
/// How far ahead the calendar is searched for an opening. Longer than a week, so that every weekly window is met.
const HORIZON: Duration = Duration::from_days(8);

/// The instant at which a permit given at `now` ends; the view is that of the ask.
pub(crate) fn until(snapshot: &Snapshot, app: &App, ask: &Ask, now: Timestamp, mut view: View<'_>) -> Timestamp {
    let Some(proven) = proven_until(ask, now) else { return now };
    let clocks = Clocks::of(snapshot, view.at(ask, now));
    let mut last = now;
    for _ in 0..MAX_STEPS {
        let Some(at) = clocks.next(ask, last, snapshot.calendar()).filter(|at| *at < proven) else { return proven };
        if snapshot.judge_at(app, ask, at, &mut view).is_err() {
            return at;
        }
        last = at;
    }
    last
}

/// The first instant after `now` at which the ask is permitted, if the calendar alone brings one within the horizon.
pub(crate) fn opens(snapshot: &Snapshot, app: &App, ask: &Ask, now: Timestamp) -> Option<Timestamp> {
    // Waiting would outlive the session, the report and the sign-in: a person who comes back renews them, so they are
    // held fresh while the calendar is searched.
    let mut later = ask.clone();
    later.who.auth.as_mut()?.until = Timestamp::MAX;
    let mut view = snapshot.view(app, ask)?;
    let clocks = Clocks::of(snapshot, view.at(ask, now));
    let mut last = now;
    for _ in 0..MAX_STEPS {
        let at = clocks.next(ask, last, snapshot.calendar()).filter(|at| *at < now + HORIZON)?;
        if let Some(auth) = later.who.auth.as_mut() {
            auth.at = at - now.since(ask.who.auth.as_ref()?.at);
        }
        if let (Some(device), Some(first)) = (later.place.device.as_mut(), ask.place.device.as_ref()) {
            device.reported = first.reported.map(|r| at - now.since(r));
        }
        if snapshot.judge_at(app, &later, at, &mut view).is_ok() {
            return Some(at);
        }
        last = at;
    }
    None
}

/// The clocks of the rules that may speak about one ask.
struct Clocks<'s>(Vec<&'s Clock>);

impl<'s> Clocks<'s> {
    fn of(snapshot: &'s Snapshot, prepared: &Prepared<'_>) -> Self {
        let mut numbers = Vec::new();
        prepared.candidates(&mut numbers);
        let clocks = numbers.into_iter().map(|number| &snapshot.kept(number).1.clock);
        Self(clocks.filter(|clock| !clock.is_still()).collect())
    }

    /// The first instant after `from` at which one of the rules may answer otherwise.
    fn next(&self, ask: &Ask, from: Timestamp, calendar: &Calendar) -> Option<Timestamp> {
        let device = ask.place.device.as_ref().and_then(DeviceFacts::fresh_until);
        let grant = ask.why.grant.iter().flat_map(|g| [g.from, g.until]);
        let dated = self.0.iter().filter_map(|c| after(&c.instants, from.millis()).map(Timestamp::from_millis));
        let ages = ask.who.auth.iter().flat_map(|auth| {
            let ages = self.0.iter().flat_map(|c| &c.ages);
            ages.map(|secs| auth.at + Duration::from_secs(*secs))
        });
        let all = device.into_iter().chain(grant).chain(dated).chain(ages).chain(self.daily(from, calendar));
        all.filter(|at| *at > from).min()
    }

    /// The next minute of the local day at which a rule may change its mind, or the next shift of the clocks: there the
    /// minute jumps without passing a bound.
    fn daily(&self, from: Timestamp, calendar: &Calendar) -> impl Iterator<Item = Timestamp> {
        let bounds: Vec<&Clock> = self.0.iter().copied().filter(|c| !c.minutes.is_empty()).collect();
        let found = (!bounds.is_empty()).then(|| {
            let zone = calendar.zone();
            let here = local(from, zone);
            let mut minute = i64::from(here.hour()) * 60 + i64::from(here.minute());
            let mut date = Some(here.date());
            let bound = std::iter::from_fn(|| {
                let next = bounds.iter().filter_map(|c| after(&c.minutes, minute)).min();
                minute = next.unwrap_or(-1);
                if next.is_none() {
                    date = date?.tomorrow().ok();
                }
                Some((next, date?))
            });
            // Where the clocks go back, a bound of the first hour lies before `from` when the second hour has begun.
            let at = |(minute, date): (Option<i64>, jiff::civil::Date)| {
                let minute = minute?;
                let (hour, minute) = (i8::try_from(minute / 60).ok()?, i8::try_from(minute % 60).ok()?);
                let zoned = date.at(hour, minute, 0, 0).to_zoned(zone.clone()).ok()?;
                Some(Timestamp::from_millis(zoned.timestamp().as_millisecond()))
            };
            let bound = bound.take(MAX_STEPS).filter_map(at).find(|at| *at > from);
            let shift = zone.following(here.timestamp()).next();
            bound.into_iter().chain(shift.map(|t| Timestamp::from_millis(t.timestamp().as_millisecond())))
        });
        found.into_iter().flatten()
    }
}

/// The first number of a sorted list behind another.
fn after(sorted: &[i64], from: i64) -> Option<i64> {
    sorted.get(sorted.partition_point(|n| *n <= from)).copied()
}

/// The constants with which the conditions of one rule compare the clock, each sorted.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    /// Minutes of the day at which something may change; midnight if a weekday matters.
    minutes: Box<[i64]>,
    /// Instants in milliseconds.
    instants: Box<[i64]>,
    /// Ages of the sign-in, in seconds.
    ages: Box<[u64]>,
}

impl Clock {
    pub(crate) fn of(rule: &Rule) -> Self {
        let (mut minutes, mut instants, mut ages) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        for condition in rule.when.iter().chain(&rule.unless) {
            let reads = condition.reads();
            // Who reads the context as a whole reads every name in it.
            let has = |p: &str| reads.iter().any(|r| r == p || p.starts_with(&format!("{r}.")));
            if !(has("minute") || has("weekday") || has("time") || has("auth.age")) {
                continue;
            }
            let mut numbers = BTreeSet::new();
            let mut opaque = false;
            condition.walk(&mut |e| match e {
                Expr::Long(n) => numbers.extend([*n, n.saturating_add(1)]),
                Expr::Other { .. } => opaque = true,
                _ => {}
            });
            if has("weekday") || has("minute") {
                minutes.insert(0);
            }
            if has("minute") {
                minutes.extend(numbers.iter().filter(|n| (0..1440).contains(*n)));
                if opaque {
                    minutes.extend(0..1440);
                }
            }
            if has("time") {
                instants.extend(&numbers);
            }
            if has("auth.age") {
                ages.extend(numbers.iter().filter_map(|n| u64::try_from(*n).ok()));
            }
        }
        Self {
            minutes: minutes.into_iter().collect(),
            instants: instants.into_iter().collect(),
            ages: ages.into_iter().collect(),
        }
    }

    fn is_still(&self) -> bool {
        self.minutes.is_empty() && self.instants.is_empty() && self.ages.is_empty()
    }
}
