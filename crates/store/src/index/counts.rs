//! Questions that are answered from roll-ups: those of the database, and those of the entries that it does not have yet.

use std::collections::{BTreeMap, BTreeSet};

use safeconduct_model::{AppId, Principal, Timestamp};
use sqlx::Row as _;

use super::load::principal;
use super::questions::{EdgeFilter, Per, Sql, read};
use super::recent::Part;
use super::rolls::{HOUR, Rolls};
use super::rows::{AppCount, Bucket, Columns, DenialCount, Edge, Totals};
use super::{Index, IndexError, MAX_PAGE};

/// Hours of a day.
const DAY_HOURS: i64 = 24;

/// The roll-ups of all parts.
fn rolls(parts: &[&Part]) -> Rolls {
    let mut rolls = Rolls::default();
    parts.iter().for_each(|part| rolls.add(part.block()));
    rolls
}

impl Index {
    /// How much there is of everything.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn totals(&self) -> Result<Totals, IndexError> {
        let (mut tx, (recent, first, last)) = self
            .view(|parts| {
                let mut rows = parts.iter().flat_map(|part| &part.block().rows).map(|row| row.at);
                (rolls(parts), rows.next(), rows.next_back())
            })
            .await?;
        let row = sqlx::query(
            "SELECT (SELECT coalesce(sum(count), 0) FROM hours WHERE reason = '') AS permitted,
                    (SELECT coalesce(sum(count), 0) FROM hours WHERE reason <> '') AS denied,
                    (SELECT first_at FROM blocks ORDER BY first_seq LIMIT 1) AS first_at,
                    (SELECT last_at FROM blocks ORDER BY first_seq DESC LIMIT 1) AS last_at",
        )
        .fetch_one(&mut *tx)
        .await?;
        let c = Columns(&row);
        let time = |name| row.try_get::<Option<i64>, _>(name).map(|t| t.map(Timestamp::from_millis));
        let mut totals = Totals {
            permitted: c.number("permitted")?,
            denied: c.number("denied")?,
            first_at: time("first_at")?.or(first),
            last_at: last.or(first).or(time("last_at")?),
            ..Totals::default()
        };
        for ((_, _, reason), count) in &recent.hours {
            *if reason.is_none() { &mut totals.permitted } else { &mut totals.denied } += count;
        }
        let mut kinds: Vec<_> = recent.kinds.iter().map(|(kind, count)| (kind.name().to_owned(), *count)).collect();
        for row in sqlx::query("SELECT kind, count FROM kinds").fetch_all(&mut *tx).await? {
            kinds.push((Columns(&row).text("kind")?, Columns(&row).number("count")?));
        }
        for (kind, count) in kinds {
            totals.entries += count;
            match kind.as_str() {
                "refusal" => totals.refusals += count,
                "cut" => totals.cuts += count,
                "session" => totals.sessions += count,
                "change" => totals.changes += count,
                "system" => totals.systems += count,
                _ => {}
            }
        }
        Ok(totals)
    }

    /// Who uses what in which way, [`MAX_PAGE`] at once, ordered by application and principal.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn edges(&self, filter: &EdgeFilter) -> Result<Vec<Edge>, IndexError> {
        let EdgeFilter { person, app, since, offset } = filter;
        let (mut tx, recent) = self.view(rolls).await?;
        let mut newer = Vec::new();
        for (key, sum) in recent.edges {
            let (of_app, who, action) = &key;
            if person.as_ref().is_some_and(|p| who.person() != Some(p)) || app.as_ref().is_some_and(|a| a != of_app) {
                continue;
            }
            let (principal_kind, principal) = principal(who);
            let mut sql = Sql::new("SELECT * FROM edges WHERE principal_kind = ");
            sql.push_bind(principal_kind).push(" AND principal = ").push_bind(principal).push(" AND app = ");
            sql.push_bind(of_app.to_string()).push(" AND action = ").push_bind(action.name());
            let before = read(&mut tx, sql, |c| c.edge()).await?.pop();
            newer.push(sum.edge(key, before.as_ref()));
        }
        let mut sql = Sql::new("SELECT * FROM edges WHERE 1");
        if let Some(person) = person {
            sql.push(" AND principal_kind = 'person' AND principal = ").push_bind(person.to_string());
        }
        if let Some(app) = app {
            sql.push(" AND app = ").push_bind(app.to_string());
        }
        if let Some(since) = since {
            sql.push(" AND last_at >= ").push_bind(since.millis());
        }
        let end = i64::from(*offset) + i64::from(MAX_PAGE) + i64::try_from(newer.len()).unwrap_or(i64::MAX);
        sql.push(" ORDER BY app, principal_kind, principal, action LIMIT ").push_bind(end);
        let mut edges: BTreeMap<_, _> =
            read(&mut tx, sql, |c| c.edge()).await?.into_iter().map(|edge| (order(&edge), edge)).collect();
        for edge in newer {
            if since.is_none_or(|since| edge.last_at >= since) {
                edges.insert(order(&edge), edge);
            }
        }
        Ok(edges.into_values().skip(*offset as usize).take(MAX_PAGE as usize).collect())
    }

    /// How often each application was asked for, [`MAX_PAGE`] at most.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn apps(&self) -> Result<Vec<AppCount>, IndexError> {
        let (mut tx, recent) = self.view(rolls).await?;
        let mut sql = Sql::new(
            "SELECT app, sum(permitted) AS permitted, sum(denied) AS denied, max(last_at) AS last_at,
                count(DISTINCT CASE principal_kind WHEN 'nobody' THEN NULL ELSE principal_kind || ' ' || principal END) AS principals
             FROM edges GROUP BY app ORDER BY app LIMIT ",
        );
        sql.push_bind(i64::from(MAX_PAGE));
        let mut apps: BTreeMap<AppId, AppCount> =
            read(&mut tx, sql, |c| c.app_count()).await?.into_iter().map(|count| (count.app.clone(), count)).collect();
        let mut asked = BTreeSet::new();
        for ((app, who, _), sum) in recent.edges {
            let none =
                AppCount { app: app.clone(), permitted: 0, denied: 0, principals: 0, last_at: Timestamp::default() };
            let count = apps.entry(app.clone()).or_insert(none);
            count.permitted += sum.permitted;
            count.denied += sum.denied;
            count.last_at = count.last_at.max(sum.last_at);
            if who != Principal::Nobody {
                asked.insert((app, who));
            }
        }
        for (app, who) in asked {
            let (principal_kind, principal) = principal(&who);
            let known: Option<i64> = sqlx::query_scalar(
                "SELECT 1 FROM edges WHERE principal_kind = $1 AND principal = $2 AND app = $3 LIMIT 1",
            )
            .bind(principal_kind)
            .bind(principal)
            .bind(app.to_string())
            .fetch_optional(&mut *tx)
            .await?;
            if known.is_none()
                && let Some(count) = apps.get_mut(&app)
            {
                count.principals += 1;
            }
        }
        Ok(apps.into_values().take(MAX_PAGE as usize).collect())
    }

    /// How often there was which reason since an instant, rounded down to the hour; the most frequent first.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn denials(&self, since: Timestamp, app: Option<&AppId>) -> Result<Vec<DenialCount>, IndexError> {
        let (mut tx, recent) = self.view(rolls).await?;
        let first = since.millis() / HOUR;
        let mut sql = Sql::new("SELECT reason, sum(count) AS count FROM hours WHERE reason <> '' AND hour >= ");
        sql.push_bind(first);
        if let Some(app) = app {
            sql.push(" AND app = ").push_bind(app.to_string());
        }
        sql.push(" GROUP BY reason");
        let mut counts = read(&mut tx, sql, |c| c.denial_count()).await?;
        for ((hour, of_app, reason), count) in recent.hours {
            let Some(reason) = reason.filter(|_| hour >= first && app.is_none_or(|a| *a == of_app)) else { continue };
            match counts.iter_mut().find(|there| there.reason == reason) {
                Some(there) => there.count += count,
                None => counts.push(DenialCount { reason, count }),
            }
        }
        counts.sort_by_key(|c| (std::cmp::Reverse(c.count), c.reason.code()));
        Ok(counts)
    }

    /// How often policy said yes and no in each hour or day from `since` to before `until`, oldest first, [`MAX_PAGE`] at
    /// most. Buckets without an access are left out.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn series(
        &self,
        per: Per,
        since: Timestamp,
        until: Timestamp,
        app: Option<&AppId>,
    ) -> Result<Vec<Bucket>, IndexError> {
        let (mut tx, recent) = self.view(rolls).await?;
        let hours = match per {
            Per::Hour => 1,
            Per::Day => DAY_HOURS,
        };
        let first = since.millis() / HOUR;
        let mut sql = Sql::new("SELECT hour / ");
        sql.push_bind(hours).push(" AS bucket, sum(iif(reason = '', count, 0)) AS permitted, ");
        sql.push("sum(iif(reason = '', 0, count)) AS denied FROM hours WHERE hour >= ");
        sql.push_bind(first).push(" AND hour * 3600000 < ").push_bind(until.millis());
        if let Some(app) = app {
            sql.push(" AND app = ").push_bind(app.to_string());
        }
        sql.push(" GROUP BY bucket ORDER BY bucket LIMIT ").push_bind(i64::from(MAX_PAGE));
        let kept =
            read(&mut tx, sql, |c| Ok((c.number("bucket")?, (c.number("permitted")?, c.number("denied")?)))).await?;
        let mut buckets: BTreeMap<i64, (u64, u64)> =
            kept.into_iter().map(|(bucket, counts)| (i64::try_from(bucket).unwrap_or(i64::MAX), counts)).collect();
        for ((hour, of_app, reason), count) in recent.hours {
            if hour >= first && hour * HOUR < until.millis() && app.is_none_or(|a| *a == of_app) {
                let (permitted, denied) = buckets.entry(hour / hours).or_default();
                *if reason.is_none() { permitted } else { denied } += count;
            }
        }
        let bucket = |(bucket, (permitted, denied)): (i64, _)| {
            let start = Timestamp::from_millis(bucket.saturating_mul(hours * HOUR));
            Bucket { start, permitted, denied }
        };
        Ok(buckets.into_iter().take(MAX_PAGE as usize).map(bucket).collect())
    }
}

/// What edges are ordered by, as the database does it.
fn order(edge: &Edge) -> (AppId, (&'static str, String), &'static str) {
    (edge.app.clone(), principal(&edge.principal), edge.action.name())
}
