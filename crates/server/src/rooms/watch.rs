//! What happens: verdicts, live sessions, and connections that ended.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use futures_util::StreamExt;
use safeconduct_access::Session;
use safeconduct_console::view::{Answered, CutRow, Link, SessionRow, VerdictRow, Watch, WatchQuery};
use safeconduct_console::{Events, Trouble};
use safeconduct_gateway::LiveView;
use safeconduct_model::{Access, AppId, DeviceId, Entry, PersonId, Reason, Record, Timestamp};
use safeconduct_store::{AccessFilter, AccessRow, Happened, MAX_PAGE, Page, RefusalRow, Verdict, Written};
use tokio::sync::broadcast::error::RecvError;

use crate::house::House;
use crate::rooms::links::{Naming, answered};
use crate::rooms::unavailable;

/// How many pieces of the index are looked through for rows that the index itself cannot pick.
const MAX_PIECES: usize = 20;
/// How many ended connections are listed.
const CUTS: u32 = 50;

/// Which verdicts, with its names read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wanted {
    pub(crate) app: Option<AppId>,
    pub(crate) person: Option<PersonId>,
    pub(crate) device: Option<DeviceId>,
    pub(crate) answered: Option<Answered>,
    pub(crate) reason: Option<Reason>,
    pub(crate) before: Option<u64>,
    pub(crate) limit: usize,
}

impl Wanted {
    /// Reads a query; `None` if it names what cannot exist, so that nothing can match.
    fn of(query: &WatchQuery) -> Option<Self> {
        Some(Self {
            app: query.app.as_deref().map(str::parse).transpose().ok()?,
            person: query.person.as_deref().map(str::parse).transpose().ok()?,
            device: query.device.clone(),
            answered: query.answered,
            reason: query.reason,
            before: query.before,
            limit: query.limit as usize,
        })
    }

    fn is_everything(&self) -> bool {
        self.app.is_none()
            && self.person.is_none()
            && self.device.is_none()
            && self.answered.is_none()
            && self.reason.is_none()
    }

    /// Whether a refused request can match: it has no person and no device.
    fn takes_refusals(&self) -> bool {
        self.person.is_none() && self.device.is_none() && matches!(self.answered, None | Some(Answered::Refused))
    }

    fn takes_row(&self, row: &AccessRow) -> bool {
        let answer = answered(row.verdict == Verdict::Permit, row.mode, &row.principal);
        self.answered.is_none_or(|a| a == answer) && self.device.as_ref().is_none_or(|d| row.device.as_ref() == Some(d))
    }

    fn takes_record(&self, record: &Record) -> bool {
        match record {
            Record::Access(access) => self.takes_access(access),
            Record::Refusal(r) => {
                self.takes_refusals() && self.is_app(r.app.as_ref()) && self.reason.is_none_or(|w| w == r.reason)
            }
            _ => false,
        }
    }

    fn is_app(&self, app: Option<&AppId>) -> bool {
        self.app.as_ref().is_none_or(|a| app == Some(a))
    }

    fn takes_access(&self, a: &Access) -> bool {
        let who = &a.ask.who.principal;
        let device = a.ask.place.device.as_ref().map(|d| &d.id);
        self.is_app(Some(&a.ask.what.app))
            && self.person.as_ref().is_none_or(|p| who.person() == Some(p))
            && self.device.as_ref().is_none_or(|d| device == Some(d))
            && self.answered.is_none_or(|w| w == answered(a.permitted(), a.mode, who))
            && self.reason.is_none_or(|r| a.reason() == Some(r))
    }

    /// Whether an entry fits, before it is made whole: nothing that a filter reads differs among verdicts of one pattern.
    fn takes(&self, written: &Written<'_>) -> bool {
        match written.what {
            Happened::Whole(record) => self.takes_record(record),
            Happened::Like(pattern, _) => self.takes_access(pattern.access()),
        }
    }
}

/// A verdict in a list.
pub(crate) fn verdict_row(names: &dyn Naming, row: &AccessRow) -> VerdictRow {
    VerdictRow {
        seq: row.seq,
        at: row.decided,
        answered: answered(row.verdict == Verdict::Permit, row.mode, &row.principal),
        who: names.principal(&row.principal),
        app: names.app(&row.app),
        action: Some(row.action),
        what: format!("{} {}", row.method, row.path),
        device: row.device.as_ref().map(|d| names.device(d)),
        reason: row.reason,
        took_us: row.took_us,
    }
}

fn refusal_row(names: &dyn Naming, row: &RefusalRow) -> VerdictRow {
    refused(names, row.seq, row.at, (row.ip, row.reason, &row.detail, row.app.as_ref()))
}

fn refused(
    names: &dyn Naming,
    seq: u64,
    at: Timestamp,
    (ip, reason, detail, app): (std::net::IpAddr, Reason, &str, Option<&AppId>),
) -> VerdictRow {
    VerdictRow {
        seq,
        at,
        answered: Answered::Refused,
        who: Link::plain(format!("a client at {ip}")),
        app: app.map_or_else(|| Link::plain("no known host"), |a| names.app(a)),
        action: None,
        what: detail.to_owned(),
        device: None,
        reason: Some(reason),
        took_us: 0,
    }
}

/// The row of an entry, if it is a verdict or a refusal.
pub(crate) fn entry_row(names: &dyn Naming, entry: &Entry) -> Option<VerdictRow> {
    match &entry.record {
        Record::Access(access) => {
            let (ask, who) = (&access.ask, &access.ask.who.principal);
            Some(VerdictRow {
                seq: entry.seq,
                at: access.decided,
                answered: answered(access.permitted(), access.mode, who),
                who: names.principal(who),
                app: names.app(&ask.what.app),
                action: Some(ask.what.action),
                what: format!("{} {}", ask.what.method, ask.what.path),
                device: ask.place.device.as_ref().map(|d| names.device(&d.id)),
                reason: access.reason(),
                took_us: access.took_us,
            })
        }
        Record::Refusal(r) => Some(refused(names, entry.seq, entry.at, (r.ip, r.reason, &r.detail, r.app.as_ref()))),
        _ => None,
    }
}

/// The newest verdicts that match, and whether there are more.
pub(crate) async fn verdicts(house: &House, wanted: &Wanted) -> Result<(Vec<VerdictRow>, bool), Trouble> {
    let take = wanted.limit + 1;
    let mut rows: Vec<VerdictRow> = Vec::new();
    let mut more = false;
    if wanted.answered != Some(Answered::Refused) {
        let sifts = wanted.device.is_some() || matches!(wanted.answered, Some(Answered::Denied | Answered::WouldDeny));
        let piece = if sifts { MAX_PAGE } else { u32::try_from(take).unwrap_or(MAX_PAGE) };
        let mut before = wanted.before;
        for round in 0..=MAX_PIECES {
            let filter = AccessFilter {
                person: wanted.person.clone(),
                app: wanted.app.clone(),
                verdict: wanted.answered.map(|a| if a == Answered::Allowed { Verdict::Permit } else { Verdict::Deny }),
                reason: wanted.reason,
                page: Page { before_seq: before, limit: piece },
                ..AccessFilter::default()
            };
            let found = house.index.accesses(&filter).await.map_err(|e| unavailable("The index", &e))?;
            let whole = found.len() < piece.min(MAX_PAGE) as usize;
            before = found.last().map(|r| r.seq);
            rows.extend(found.iter().filter(|r| wanted.takes_row(r)).map(|r| verdict_row(house, r)));
            if whole || rows.len() >= take {
                break;
            }
            if round == MAX_PIECES {
                more = true;
            }
        }
    }
    if wanted.takes_refusals() {
        rows.extend(refusals(house, wanted, take).await?);
    }
    rows.sort_by_key(|r| std::cmp::Reverse(r.seq));
    more |= rows.len() > wanted.limit;
    rows.truncate(wanted.limit);
    Ok((rows, more))
}

async fn refusals(house: &House, wanted: &Wanted, take: usize) -> Result<Vec<VerdictRow>, Trouble> {
    let mut rows = Vec::new();
    let mut before = wanted.before;
    for _ in 0..MAX_PIECES {
        let page = Page { before_seq: before, limit: MAX_PAGE };
        let found = house.index.refusals(page).await.map_err(|e| unavailable("The index", &e))?;
        before = found.last().map(|r| r.seq);
        let fits = |r: &&RefusalRow| {
            wanted.app.as_ref().is_none_or(|a| r.app.as_ref() == Some(a)) && wanted.reason.is_none_or(|w| w == r.reason)
        };
        rows.extend(found.iter().filter(fits).map(|r| refusal_row(house, r)));
        if found.len() < MAX_PAGE as usize || rows.len() >= take {
            break;
        }
    }
    rows.truncate(take);
    Ok(rows)
}

/// Sessions as rows, with the live connections that rest on each.
pub(crate) fn session_rows<'s>(
    names: &dyn Naming,
    sessions: impl IntoIterator<Item = &'s Session>,
    live: &[LiveView],
) -> Vec<SessionRow> {
    let row = |s: &Session| {
        let mut by_app: BTreeMap<&AppId, u64> = BTreeMap::new();
        for view in live.iter().filter(|l| l.session.as_ref() == Some(&s.id)) {
            *by_app.entry(&view.app).or_default() += 1;
        }
        SessionRow {
            id: s.id.clone(),
            person: names.person(&s.person),
            device: s.device.as_ref().map(|d| names.device(d)),
            methods: s.methods.iter().copied().collect(),
            since: s.began,
            until: s.until,
            ip: s.ip,
            connections: by_app.into_iter().map(|(app, n)| (names.app(app), n)).collect(),
        }
    };
    sessions.into_iter().map(row).collect()
}

/// Every live connection; none before the gateway is there.
pub(crate) fn live(house: &House) -> Vec<LiveView> {
    house.gateway().map(|g| g.live()).unwrap_or_default()
}

/// The live sessions that fit, oldest first.
pub(crate) fn sessions(house: &House, fits: impl Fn(&Session) -> bool) -> Vec<SessionRow> {
    let all: Vec<Session> = house.sessions().all().into_iter().filter(|s| fits(s)).cloned().collect();
    session_rows(house, &all, &live(house))
}

/// The newest ended connections that fit.
pub(crate) async fn cuts(
    house: &House,
    fits: impl Fn(&safeconduct_store::CutRow) -> bool,
) -> Result<Vec<CutRow>, Trouble> {
    let page = Page { before_seq: None, limit: MAX_PAGE };
    let found = house.index.cuts(page).await.map_err(|e| unavailable("The index", &e))?;
    let row = |c: &safeconduct_store::CutRow| CutRow {
        seq: c.seq,
        at: c.at,
        who: house.principal(&c.principal),
        app: house.app(&c.app),
        cause: c.cause,
        lasted: c.lasted,
        delay: c.delay,
    };
    Ok(found.iter().filter(|c| fits(c)).take(CUTS as usize).map(row).collect())
}

/// The page.
pub(crate) async fn view(house: &House, query: &WatchQuery) -> Result<Watch, Trouble> {
    let apps =
        house.current().config.estate.applications.values().map(|a| (a.id.to_string(), a.name.clone())).collect();
    let Some(wanted) = Wanted::of(query) else {
        return Ok(Watch { apps, total: Some(0), ..Watch::default() });
    };
    let (verdicts, more) = verdicts(house, &wanted).await?;
    let total = if wanted.is_everything() {
        let totals = house.index.totals().await.map_err(|e| unavailable("The index", &e))?;
        Some(totals.permitted + totals.denied + totals.refusals)
    } else {
        None
    };
    let fits = |s: &Session| {
        wanted.person.as_ref().is_none_or(|p| s.person == *p)
            && wanted.device.as_ref().is_none_or(|d| s.device.as_ref() == Some(d))
    };
    let cut_fits = |c: &safeconduct_store::CutRow| {
        wanted.app.as_ref().is_none_or(|a| c.app == *a)
            && wanted.person.as_ref().is_none_or(|p| c.principal.person() == Some(p))
    };
    let sessions = sessions(house, fits);
    Ok(Watch { verdicts, total, more, sessions, cuts: cuts(house, cut_fits).await?, apps })
}

/// Verdicts as they happen.
pub(crate) fn events(house: &Arc<House>, query: &WatchQuery) -> Events {
    let Some(wanted) = Wanted::of(query) else { return futures_util::stream::pending().boxed() };
    let state = (house.ledger.subscribe(), VecDeque::new(), Arc::clone(house), wanted);
    let rows = futures_util::stream::unfold(state, |(mut batches, mut rows, house, wanted)| async move {
        loop {
            if let Some(row) = rows.pop_front() {
                return Some((row, (batches, rows, house, wanted)));
            }
            match batches.recv().await {
                Ok(batch) => {
                    let taken = batch.iter().filter(|written| wanted.takes(written));
                    rows.extend(taken.filter_map(|written| entry_row(&*house, &written.entry())));
                }
                // Who reads too slowly loses rows of the live list; the ledger and the next look have them all.
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return None,
            }
        }
    });
    rows.boxed()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rooms::digest::testing::entry;
    use crate::rooms::links::testing::Few;

    fn wanted(answered: Option<Answered>, app: Option<&str>) -> Wanted {
        Wanted { answered, app: app.map(|a| a.parse().expect("id")), ..Wanted::default() }
    }

    #[test]
    fn a_live_row_passes_only_the_filter_that_it_fits() {
        let let_through = entry(4, 1_000, "ada", "ledger", false, "observe");
        assert!(wanted(None, None).takes_record(&let_through.record));
        assert!(wanted(Some(Answered::WouldDeny), Some("ledger")).takes_record(&let_through.record));
        assert!(!wanted(Some(Answered::Denied), None).takes_record(&let_through.record));
        assert!(!wanted(None, Some("wiki")).takes_record(&let_through.record));
        let row = entry_row(&Few, &let_through).expect("a verdict");
        assert_eq!(
            (row.who.text.as_str(), row.app.text.as_str(), row.what.as_str()),
            ("Ada Lovelace", "The Q3 ledger", "GET /")
        );
        assert_eq!((row.answered, row.reason), (Answered::WouldDeny, Some(Reason::NoRule)));
    }

    #[test]
    fn a_query_that_names_no_id_matches_nothing() {
        assert!(Wanted::of(&WatchQuery { app: Some("A B".into()), ..WatchQuery::default() }).is_none());
        assert!(Wanted::of(&WatchQuery { person: Some("ada".into()), ..WatchQuery::default() }).is_some());
    }
}
