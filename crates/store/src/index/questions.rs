//! The fixed questions.

use safeconduct_model::{AppId, Entry, PersonId, Reason, RequestId, SessionId, Timestamp};
use sqlx::{QueryBuilder, Row as _, Sqlite};

use super::load::{HOUR, int};
use super::rows::{
    AccessRow, AppCount, Bucket, ChangeRow, Columns, CutRow, DenialCount, Edge, RefusalRow, SessionRow, SystemRow,
    Totals, Verdict,
};
use super::{Index, IndexError, MAX_PAGE};
use crate::reader::{Entries, Position};

/// Hours of a day.
const DAY_HOURS: i64 = 24;

/// A piece of a list, latest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// Only entries before this one: the last `seq` of the page in front.
    pub before_seq: Option<u64>,
    /// How many at most; never more than [`MAX_PAGE`].
    pub limit: u32,
}

impl Default for Page {
    fn default() -> Self {
        Self { before_seq: None, limit: 100 }
    }
}

/// Which accesses. `None` does not restrict.
#[derive(Clone, Debug, Default)]
pub struct AccessFilter {
    /// Of this person.
    pub person: Option<PersonId>,
    /// To this application.
    pub app: Option<AppId>,
    /// With this answer.
    pub verdict: Option<Verdict>,
    /// For this reason.
    pub reason: Option<Reason>,
    /// In this session.
    pub session: Option<SessionId>,
    /// Written at or after this instant.
    pub since: Option<Timestamp>,
    /// Which piece of the list.
    pub page: Page,
}

/// Which edges. `None` does not restrict.
#[derive(Clone, Debug, Default)]
pub struct EdgeFilter {
    /// Of this person.
    pub person: Option<PersonId>,
    /// To this application.
    pub app: Option<AppId>,
    /// Last used at or after this instant.
    pub since: Option<Timestamp>,
    /// How many to pass over.
    pub offset: u32,
}

/// The length of a bucket. Days are those of UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Per {
    /// An hour.
    Hour,
    /// A day.
    Day,
}

type Sql = QueryBuilder<Sqlite>;

impl Index {
    /// How much there is of everything.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn totals(&self) -> Result<Totals, IndexError> {
        let row = sqlx::query(
            "SELECT (SELECT coalesce(sum(count), 0) FROM hours WHERE reason = '') AS permitted,
                    (SELECT coalesce(sum(count), 0) FROM hours WHERE reason <> '') AS denied,
                    (SELECT min(at) FROM lines WHERE seq = 0) AS first_at,
                    (SELECT at FROM lines ORDER BY seq DESC LIMIT 1) AS last_at",
        )
        .fetch_one(&self.readers)
        .await?;
        let c = Columns(&row);
        let time = |name| row.try_get::<Option<i64>, _>(name).map(|t| t.map(Timestamp::from_millis));
        let mut totals = Totals {
            permitted: c.number("permitted")?,
            denied: c.number("denied")?,
            first_at: time("first_at")?,
            last_at: time("last_at")?,
            ..Totals::default()
        };
        for row in sqlx::query("SELECT kind, count FROM kinds").fetch_all(&self.readers).await? {
            let c = Columns(&row);
            let count = c.number("count")?;
            totals.entries += count;
            match c.text("kind")?.as_str() {
                "refusal" => totals.refusals = count,
                "cut" => totals.cuts = count,
                "session" => totals.sessions = count,
                "change" => totals.changes = count,
                "system" => totals.systems = count,
                _ => {}
            }
        }
        Ok(totals)
    }

    /// Accesses, latest first.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn accesses(&self, filter: &AccessFilter) -> Result<Vec<AccessRow>, IndexError> {
        let AccessFilter { person, app, verdict, reason, session, since, page } = filter;
        let mut sql = Sql::new("SELECT * FROM access WHERE 1");
        if let Some(person) = person {
            sql.push(" AND principal_kind = 'person' AND principal = ").push_bind(person.to_string());
        }
        if let Some(app) = app {
            sql.push(" AND app = ").push_bind(app.to_string());
        }
        if let Some(verdict) = verdict {
            sql.push(" AND verdict = ").push_bind(verdict.name());
        }
        if let Some(reason) = reason {
            sql.push(" AND reason = ").push_bind(reason.code());
        }
        if let Some(session) = session {
            sql.push(" AND session = ").push_bind(session.to_string());
        }
        self.page(sql, *since, *page, |c| c.access()).await
    }

    /// One access; `None` if the entry is not there or is another kind of record.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn access(&self, seq: u64) -> Result<Option<AccessRow>, IndexError> {
        let row =
            sqlx::query("SELECT * FROM access WHERE seq = $1").bind(int(seq)).fetch_optional(&self.readers).await?;
        row.map(|row| Columns(&row).access()).transpose()
    }

    /// One whole entry, from the ledger; `None` if it is not there (yet).
    ///
    /// # Errors
    /// If the database fails or the ledger cannot be read.
    pub async fn entry(&self, seq: u64) -> Result<Option<Entry>, IndexError> {
        let row = sqlx::query("SELECT segment, place FROM lines WHERE seq = $1")
            .bind(int(seq))
            .fetch_optional(&self.readers)
            .await?;
        let Some(row) = row else { return Ok(None) };
        let (segment, place) = (Columns(&row).number("segment")?, Columns(&row).number("place")?);
        let position = Position { segment: u32::try_from(segment).unwrap_or(u32::MAX), offset: place };
        let mut entries = Entries::from_position(&self.ledger, position);
        let located = tokio::task::spawn_blocking(move || entries.next()).await?.transpose()?;
        match located {
            Some(located) if located.entry.seq == seq => Ok(Some(located.entry)),
            _ => Err(IndexError::Damaged { what: "the place of an entry", value: seq.to_string() }),
        }
    }

    /// Everything that was recorded of a request, in order: its access, later decisions about it, its end.
    ///
    /// # Errors
    /// If the database fails or the ledger cannot be read.
    pub async fn by_request(&self, request: &RequestId) -> Result<Vec<Entry>, IndexError> {
        let seqs: Vec<i64> = sqlx::query_scalar("SELECT seq FROM lines WHERE request = $1 ORDER BY seq LIMIT $2")
            .bind(request.to_string())
            .bind(i64::from(MAX_PAGE))
            .fetch_all(&self.readers)
            .await?;
        let mut entries = Vec::with_capacity(seqs.len());
        for seq in seqs {
            entries.extend(self.entry(seq.unsigned_abs()).await?);
        }
        Ok(entries)
    }

    /// Who uses what in which way, [`MAX_PAGE`] at once, ordered by application and principal.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn edges(&self, filter: &EdgeFilter) -> Result<Vec<Edge>, IndexError> {
        let EdgeFilter { person, app, since, offset } = filter;
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
        sql.push(" ORDER BY app, principal_kind, principal, action LIMIT ").push_bind(i64::from(MAX_PAGE));
        sql.push(" OFFSET ").push_bind(i64::from(*offset));
        self.rows(sql, |c| c.edge()).await
    }

    /// How often each application was asked for, [`MAX_PAGE`] at most.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn apps(&self) -> Result<Vec<AppCount>, IndexError> {
        let mut sql = Sql::new(
            "SELECT app, sum(permitted) AS permitted, sum(denied) AS denied, max(last_at) AS last_at,
                count(DISTINCT CASE principal_kind WHEN 'nobody' THEN NULL ELSE principal_kind || ' ' || principal END) AS principals
             FROM edges GROUP BY app ORDER BY app LIMIT ",
        );
        sql.push_bind(i64::from(MAX_PAGE));
        self.rows(sql, |c| c.app_count()).await
    }

    /// How often there was which reason since an instant, rounded down to the hour; the most frequent first.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn denials(&self, since: Timestamp, app: Option<&AppId>) -> Result<Vec<DenialCount>, IndexError> {
        let mut sql = Sql::new("SELECT reason, sum(count) AS count FROM hours WHERE reason <> '' AND hour >= ");
        sql.push_bind(since.millis() / HOUR);
        if let Some(app) = app {
            sql.push(" AND app = ").push_bind(app.to_string());
        }
        sql.push(" GROUP BY reason ORDER BY count DESC, reason");
        self.rows(sql, |c| c.denial_count()).await
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
        let hours = match per {
            Per::Hour => 1,
            Per::Day => DAY_HOURS,
        };
        let mut sql = Sql::new("SELECT hour / ");
        sql.push_bind(hours).push(" AS bucket, sum(iif(reason = '', count, 0)) AS permitted, ");
        sql.push("sum(iif(reason = '', 0, count)) AS denied FROM hours WHERE hour >= ");
        sql.push_bind(since.millis() / HOUR).push(" AND hour * 3600000 < ").push_bind(until.millis());
        if let Some(app) = app {
            sql.push(" AND app = ").push_bind(app.to_string());
        }
        sql.push(" GROUP BY bucket ORDER BY bucket LIMIT ").push_bind(i64::from(MAX_PAGE));
        self.rows(sql, |c| {
            let start = int(c.number("bucket")?).saturating_mul(hours * HOUR);
            let (permitted, denied) = (c.number("permitted")?, c.number("denied")?);
            Ok(Bucket { start: Timestamp::from_millis(start), permitted, denied })
        })
        .await
    }

    /// What happened to a session, oldest first, [`MAX_PAGE`] at most.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn session(&self, session: &SessionId) -> Result<Vec<SessionRow>, IndexError> {
        let mut sql = Sql::new("SELECT * FROM sessions WHERE session = ");
        sql.push_bind(session.to_string()).push(" ORDER BY seq LIMIT ").push_bind(i64::from(MAX_PAGE));
        self.rows(sql, |c| c.session()).await
    }

    /// Events of sessions, latest first, of one person or of all.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn session_events(&self, person: Option<&PersonId>, page: Page) -> Result<Vec<SessionRow>, IndexError> {
        let mut sql = Sql::new("SELECT * FROM sessions WHERE 1");
        if let Some(person) = person {
            sql.push(" AND person = ").push_bind(person.to_string());
        }
        self.page(sql, None, page, |c| c.session()).await
    }

    /// Changes, latest first; `verb` may be a whole verb or its first word (`policy` for `policy.publish`).
    ///
    /// # Errors
    /// If the database fails.
    pub async fn changes(&self, verb: Option<&str>, page: Page) -> Result<Vec<ChangeRow>, IndexError> {
        let mut sql = Sql::new("SELECT * FROM changes WHERE 1");
        if let Some(verb) = verb {
            let prefix = format!("{verb}.");
            sql.push(" AND (verb = ").push_bind(verb.to_owned()).push(" OR substr(verb, 1, length(");
            sql.push_bind(prefix.clone()).push(")) = ").push_bind(prefix).push(")");
        }
        self.page(sql, None, page, |c| c.change()).await
    }

    /// Ends of live connections, latest first.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn cuts(&self, page: Page) -> Result<Vec<CutRow>, IndexError> {
        self.page(Sql::new("SELECT * FROM cuts WHERE 1"), None, page, |c| c.cut()).await
    }

    /// Refused requests, latest first.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn refusals(&self, page: Page) -> Result<Vec<RefusalRow>, IndexError> {
        self.page(Sql::new("SELECT * FROM refusals WHERE 1"), None, page, |c| c.refusal()).await
    }

    /// Events of the system, latest first.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn system_events(&self, page: Page) -> Result<Vec<SystemRow>, IndexError> {
        self.page(Sql::new("SELECT * FROM systems WHERE 1"), None, page, |c| c.system()).await
    }

    /// The rows of a question that ends in `WHERE …`, latest first, one page of them.
    async fn page<T>(
        &self,
        mut sql: Sql,
        since: Option<Timestamp>,
        page: Page,
        read: impl Fn(Columns<'_>) -> Result<T, IndexError>,
    ) -> Result<Vec<T>, IndexError> {
        if let Some(since) = since {
            sql.push(" AND at >= ").push_bind(since.millis());
        }
        if let Some(before) = page.before_seq {
            sql.push(" AND seq < ").push_bind(int(before));
        }
        sql.push(" ORDER BY seq DESC LIMIT ").push_bind(i64::from(page.limit.min(MAX_PAGE)));
        self.rows(sql, read).await
    }

    async fn rows<T>(
        &self,
        mut sql: Sql,
        read: impl Fn(Columns<'_>) -> Result<T, IndexError>,
    ) -> Result<Vec<T>, IndexError> {
        let rows = sql.build().fetch_all(&self.readers).await?;
        rows.iter().map(|row| read(Columns(row))).collect()
    }
}
