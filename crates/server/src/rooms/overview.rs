//! How far the organisation is, and what is next.

use std::collections::{BTreeMap, BTreeSet};

use safeconduct_config::{CONSOLE, Estate};
use safeconduct_console::Trouble;
use safeconduct_console::view::{Answered, Exposure, Overview, Room, Share, Step, Today};
use safeconduct_model::{AppId, Application, Class, CutCause, Duration, Mode, PersonId, Principal, Timestamp};
use safeconduct_store::{AccessFilter, MAX_PAGE, Page, Per, Verdict};

use crate::house::{Current, House};
use crate::proposals::State;
use crate::rooms::digest::{Digest, day_of};
use crate::rooms::figures::{Seen, figures, trends};
use crate::rooms::health::{self, Works};
use crate::rooms::links::{Naming, answered, count};
use crate::rooms::moves::{Observed, OpenProposal, Signs, moves};
use crate::rooms::people::facts_of;
use crate::rooms::protect::exposure;
use crate::rooms::things::{AppUse, by_app};
use crate::rooms::today::under_todays_policy;
use crate::rooms::{Rooms, WINDOW_DAYS, assess, unavailable, window};

/// An hour, in milliseconds: the index counts by the hour.
const HOUR: i64 = 3_600_000;
/// How many pieces of denials of one day are told apart.
const MAX_PIECES: usize = 100;

/// The page.
pub(crate) async fn view(rooms: &Rooms) -> Result<Overview, Trouble> {
    let house = &rooms.house;
    let current = house.current();
    let since = day_of(window(house.now(), WINDOW_DAYS));
    let enforcing: BTreeSet<AppId> =
        apps(&current.config.estate).filter(|a| a.mode == Mode::Enforce).map(|a| a.id.clone()).collect();
    let (used, seen, spoken) = rooms
        .digest(move |digest| {
            let seen = Seen { flows: flows(digest, since, &enforcing), trends: trends(digest) };
            let spoken: BTreeSet<_> =
                digest.rules.iter().filter(|(_, r)| r.since(since) > 0).map(|(id, _)| id.clone()).collect();
            (by_app(digest, since), seen, spoken)
        })
        .await?;
    let used = under_todays_policy(rooms, used).await;
    let measured = assess::measurements(rooms).await;
    let explained = measured.get("K72").map_or_else(Share::default, |m| Share::new(m.num, m.den));
    let silent = current.snapshot.rules().iter().filter(|r| !spoken.contains(&r.id)).count();
    let rules = Share::new(count(silent), count(current.snapshot.rules().len()));
    let mut signs = signs(house, &current, &used);
    // A ledger that is younger than the window says nothing about rules that did not speak.
    signs.silent_rules = if reaches(house, since).await? { rules } else { Share::default() };
    signs.failing = health::parts(house)
        .await
        .into_iter()
        .filter(|p| !p.works())
        .map(|p| (p.name, p.remedy.unwrap_or(p.detail)))
        .collect();
    Ok(Overview {
        steps: steps(&current.config.estate, &used, explained),
        next: moves(&signs),
        figures: figures(&measured, &seen),
        today: today(house).await?,
    })
}

/// The applications of the organisation; the console is one of ours.
fn apps(estate: &Estate) -> impl Iterator<Item = &Application> {
    estate.applications.values().filter(|a| a.id.as_str() != CONSOLE)
}

/// Uses on enforcing applications that policy always allowed, of all uses of people and workloads.
fn flows(digest: &Digest, since: i64, enforcing: &BTreeSet<AppId>) -> Share {
    let mut by_use: BTreeMap<_, (u64, u64)> = BTreeMap::new();
    for (key, counts) in digest.uses(since) {
        if key.who == Principal::Nobody || key.app.as_str() == CONSOLE {
            continue;
        }
        let found = by_use.entry((&key.app, &key.who, key.action)).or_default();
        found.0 += counts.allowed;
        found.1 += counts.would_deny + counts.denied;
    }
    // What was only ever denied is no use.
    let used =
        by_use.iter().filter(|((app, ..), (allowed, other))| *allowed > 0 || (*other > 0 && !enforcing.contains(app)));
    let covered =
        |((app, ..), (_, other)): (&(&AppId, &Principal, _), &(u64, u64))| enforcing.contains(*app) && *other == 0;
    let (mut of, mut all) = (0, 0);
    for item in used {
        all += 1;
        of += u64::from(covered(item));
    }
    Share::new(of, all)
}

/// The five steps with their progress.
fn steps(estate: &Estate, used: &BTreeMap<AppId, AppUse>, explained: Share) -> Vec<Step> {
    let all = count(apps(estate).count());
    let owned = count(estate.assets.values().filter(|a| a.owner.is_some()).count());
    let seen = count(apps(estate).filter(|a| used.get(&a.id).is_some_and(|u| !u.people.is_empty())).count());
    let enforced = count(apps(estate).filter(|a| a.mode == Mode::Enforce).count());
    let mut covered = Share::default();
    for used in apps(estate).filter_map(|a| used.get(&a.id)) {
        covered = Share::new(covered.of + used.covered.of, covered.all + used.covered.all);
    }
    let step = |room, done, words: &str| Step { room, done, words: words.to_owned() };
    vec![
        step(Room::Protect, Share::new(owned, count(estate.assets.len())), "assets with an owner"),
        step(Room::Map, Share::new(seen, all), "applications with observed use"),
        step(Room::Build, Share::new(enforced, all), "applications that enforce policy"),
        step(Room::Policy, covered, "observed requests that today's rules allow"),
        step(Room::Watch, explained, "verdicts that can be explained"),
    ]
}

fn signs(house: &House, current: &Current, used: &BTreeMap<AppId, AppUse>) -> Signs {
    let estate = &current.config.estate;
    let open: Vec<_> = house.proposals.list().into_iter().filter(|p| p.state == State::Open).collect();
    let nothing = AppUse::default();
    let observed = apps(estate).filter(|a| a.mode == Mode::Observe).map(|app| {
        let seen = used.get(&app.id).unwrap_or(&nothing);
        Observed {
            id: app.id.clone(),
            name: app.name.clone(),
            class: app.class,
            covered: seen.covered,
            people: count(seen.people.len()),
            proposed: open.iter().any(|p| p.app == app.id),
        }
    });
    let guarded = |id| exposure(estate.applications.values().filter(|a| a.assets.contains(id))) == Exposure::Enforced;
    let severe = estate.assets.values().filter(|a| a.class >= Class::High);
    let (now, single) = (house.now(), single_factor(house));
    let managed: Vec<_> = house.devices().all().filter(|d| d.managed).cloned().collect();
    let failing = managed.iter().filter(|d| !facts_of(house, d).is_compliant(now)).count();
    Signs {
        applications: count(apps(estate).count()),
        proposals: (open.iter())
            .map(|p| OpenProposal {
                id: p.id.clone(),
                app: house.app(&p.app).text,
                coverage: Share::new(p.covered.0, p.covered.1),
            })
            .collect(),
        observed: observed.collect(),
        unowned: (
            estate.assets.values().filter(|a| a.owner.is_none()).map(|a| a.name.clone()).collect(),
            count(estate.assets.len()),
        ),
        exposed: severe.filter(|a| !guarded(&a.id)).map(|a| a.name.clone()).collect(),
        single_factor: single,
        failing_devices: Share::new(count(failing), count(managed.len())),
        days: WINDOW_DAYS,
        ..Signs::default()
    }
}

/// Live sessions of one factor, their people, and all live sessions.
fn single_factor(house: &House) -> (u64, u64, u64) {
    let sessions = house.sessions();
    let all = sessions.all();
    let single: Vec<_> = all.iter().filter(|s| !s.auth().is_mfa()).collect();
    let people: BTreeSet<&PersonId> = single.iter().map(|s| &s.person).collect();
    (count(single.len()), count(people.len()), count(all.len()))
}

/// Whether the ledger reaches back to the day `since`.
async fn reaches(house: &House, since: i64) -> Result<bool, Trouble> {
    let totals = house.index.totals().await.map_err(|e| unavailable("The index", &e))?;
    Ok(totals.first_at.is_some_and(|first| day_of(first) <= since))
}

/// The last 24 hours, from the full hour in which they began.
async fn today(house: &House) -> Result<Today, Trouble> {
    let now = house.now();
    let start = now - Duration::from_days(1);
    let since = Timestamp::from_millis(start.millis() - start.millis().rem_euclid(HOUR));
    let index = &house.index;
    let hours = index.series(Per::Hour, since, now, None).await.map_err(|e| unavailable("The index", &e))?;
    let mut today = Today {
        allowed: hours.iter().map(|h| h.permitted).sum(),
        sessions: count(house.sessions().all().len()),
        ..Today::default()
    };
    let mut before = None;
    for _ in 0..MAX_PIECES {
        let page = Page { before_seq: before, limit: MAX_PAGE };
        let filter = AccessFilter { verdict: Some(Verdict::Deny), since: Some(since), page, ..AccessFilter::default() };
        let rows = index.accesses(&filter).await.map_err(|e| unavailable("The index", &e))?;
        for row in &rows {
            *match answered(false, row.mode, &row.principal) {
                Answered::WouldDeny => &mut today.would_deny,
                _ => &mut today.denied,
            } += 1;
        }
        before = rows.last().map(|r| r.seq);
        if rows.len() < MAX_PAGE as usize {
            break;
        }
    }
    let cuts =
        index.cuts(Page { before_seq: None, limit: MAX_PAGE }).await.map_err(|e| unavailable("The index", &e))?;
    let changed = |c: CutCause| !matches!(c, CutCause::Closed | CutCause::UpstreamFailed | CutCause::Shutdown);
    today.cut = count(cuts.iter().filter(|c| c.at >= since && changed(c.cause)).count());
    Ok(today)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rooms::digest::testing::entry;

    #[test]
    fn a_use_counts_as_covered_only_where_policy_binds_and_always_allowed() {
        let mut digest = Digest::default();
        let at = 1_790_000_000_000;
        for (seq, who, app, permit, mode) in [
            (0, "ada", "ledger", true, "enforce"),
            (1, "bob", "ledger", true, "enforce"),
            (2, "bob", "ledger", false, "enforce"),
            (3, "eve", "ledger", false, "enforce"),
            (4, "ada", "wiki", true, "observe"),
            (5, "bob", "wiki", false, "observe"),
        ] {
            digest.add(&entry(seq, at, who, app, permit, mode));
        }
        let enforcing = BTreeSet::from(["ledger".parse().expect("id")]);
        assert_eq!(flows(&digest, 0, &enforcing), Share::new(1, 4), "Eve was denied and used nothing");
    }
}
