//! Past use under today's policy: what was decided under older revisions is decided again, once for each revision.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration as StdDuration;

use safeconduct_console::view::Share;
use safeconduct_model::{AppId, Duration, Entry, Record, Timestamp};
use safeconduct_policy::Snapshot;
use safeconduct_rehearse::{Against, Options, rehearse};
use safeconduct_store::{Entries, ReadError};

use crate::rooms::digest::day_of;
use crate::rooms::things::AppUse;
use crate::rooms::{Rooms, WINDOW_DAYS, window};

/// How long the answers count, since the window moves on.
const FRESH: Duration = Duration::from_hours(1);
/// How long a page waits for them; until they are there, it shows what was decided at the time.
const PATIENCE: StdDuration = StdDuration::from_secs(5);

/// How many requests go from no to yes and from yes to no, by application.
type Shifts = BTreeMap<AppId, (u64, u64)>;

/// Of which policy, from when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    since: Timestamp,
    made: Timestamp,
}

/// The shifts that were found last, and whether they are being looked for.
#[derive(Debug, Default)]
pub(crate) struct Today(Mutex<(Option<(Stamp, Shifts)>, bool)>);

/// Looking for them: ends with whoever looks, however that ends.
struct Looking(Arc<Today>);

impl Drop for Looking {
    fn drop(&mut self) {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner).1 = false;
    }
}

/// The same use, with every request answered by the policy that binds now.
pub(crate) async fn under_todays_policy(rooms: &Rooms, mut used: BTreeMap<AppId, AppUse>) -> BTreeMap<AppId, AppUse> {
    for (app, (gained, lost)) in shifts(rooms).await {
        if let Some(seen) = used.get_mut(&app) {
            seen.covered = shifted(seen.covered, gained, lost);
        }
    }
    used
}

/// A share after some requests went either way; never out of bounds, whatever came in meanwhile.
fn shifted(covered: Share, gained: u64, lost: u64) -> Share {
    Share::new((covered.of + gained).saturating_sub(lost).min(covered.all), covered.all)
}

async fn shifts(rooms: &Rooms) -> Shifts {
    let (current, now) = (rooms.house.current(), rooms.house.now());
    let stamp = Stamp { since: current.since, made: now };
    {
        let mut today = rooms.today.0.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = today.0.as_ref().filter(|(s, _)| s.since == stamp.since && now.since(s.made) < FRESH);
        if let Some((_, shifts)) = fits {
            return shifts.clone();
        }
        if today.1 {
            return Shifts::new();
        }
        today.1 = true;
    }
    let (looking, ledger) = (Looking(Arc::clone(&rooms.today)), rooms.house.ledger_dir());
    let from = day_of(window(now, WINDOW_DAYS));
    let deciding = tokio::task::spawn_blocking(move || match decide(&ledger, from, &current.snapshot) {
        Ok(found) => looking.0.0.lock().unwrap_or_else(PoisonError::into_inner).0 = Some((stamp, found)),
        Err(error) => tracing::warn!(%error, "past use could not be decided again"),
    });
    let _ = tokio::time::timeout(PATIENCE, deciding).await;
    let today = rooms.today.0.lock().unwrap_or_else(PoisonError::into_inner);
    today.0.as_ref().filter(|(s, _)| s.since == stamp.since).map(|(_, shifts)| shifts.clone()).unwrap_or_default()
}

/// Decides the uses since the day `from` again. A live connection that was decided again is no use of its own.
fn decide(ledger: &Path, from: i64, snapshot: &Snapshot) -> Result<Shifts, ReadError> {
    let mut broken = None;
    let entries = Entries::from_seq(ledger, 0)?.map_while(|located| match located {
        Ok(located) => Some(located.entry),
        Err(error) => {
            broken = Some(error);
            None
        }
    });
    let is_use = |entry: &Entry| matches!(&entry.record, Record::Access(a) if !a.again && day_of(a.decided) >= from);
    let options = Options { examples: 0, ..Options::default() };
    let found = rehearse(entries.filter(is_use), Against::Recorded, snapshot, options, &mut |_| {});
    if let Some(error) = broken {
        return Err(error);
    }
    let mut shifts = Shifts::new();
    for (app, n) in found.newly_allowed.by_app.iter() {
        shifts.entry(app.clone()).or_default().0 = n;
    }
    for (app, n) in found.newly_denied.by_app.iter() {
        shifts.entry(app.clone()).or_default().1 = n;
    }
    Ok(shifts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_moves_both_ways_and_stays_a_share() {
        assert_eq!(shifted(Share::new(10, 60), 50, 0), Share::new(60, 60));
        assert_eq!(shifted(Share::new(10, 60), 0, 4), Share::new(6, 60));
        assert_eq!(shifted(Share::new(10, 60), 90, 0), Share::new(60, 60));
        assert_eq!(shifted(Share::new(1, 60), 0, 9), Share::new(0, 60));
    }
}
