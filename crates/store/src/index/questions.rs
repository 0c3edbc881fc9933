//! The fixed questions: what can be asked for, and the kinds of entries that are kept as rows.

use safeconduct_model::{AppId, PersonId, Reason, SessionId, Timestamp};
use sqlx::{QueryBuilder, Sqlite};

use super::load::int;
use super::recent::Rare;
use super::rows::{ChangeRow, Columns, CutRow, SessionRow, SystemRow, Verdict};
use super::{Index, IndexError, MAX_PAGE};

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

/// A statement in the making.
pub(super) type Sql = QueryBuilder<Sqlite>;

impl Page {
    /// How many at most.
    pub(super) fn rows(self) -> usize {
        self.limit.min(MAX_PAGE) as usize
    }

    /// Whether an entry is in this piece of the list or behind it.
    fn reaches(self, seq: u64) -> bool {
        self.before_seq.is_none_or(|before| seq < before)
    }
}

impl Index {
    /// What happened to a session, oldest first, [`MAX_PAGE`] at most.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn session(&self, session: &SessionId) -> Result<Vec<SessionRow>, IndexError> {
        let (mut tx, recent) = self
            .view(|parts| {
                let all = parts.iter().flat_map(|part| &part.rare.sessions);
                all.filter(|row| row.session == *session).cloned().collect::<Vec<_>>()
            })
            .await?;
        let mut sql = Sql::new("SELECT * FROM sessions WHERE session = ");
        sql.push_bind(session.to_string()).push(" ORDER BY seq LIMIT ").push_bind(i64::from(MAX_PAGE));
        let mut rows = read(&mut tx, sql, |c| c.session()).await?;
        rows.extend(recent);
        rows.truncate(MAX_PAGE as usize);
        Ok(rows)
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
        let fits = |row: &SessionRow| person.is_none_or(|p| row.person == *p);
        self.page(sql, page, |rare| &rare.sessions, |row| row.seq, fits, |c| c.session()).await
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
        let fits = |row: &ChangeRow| {
            let rest = |verb| row.verb.strip_prefix(verb);
            verb.is_none_or(|verb| rest(verb).is_some_and(|rest| rest.is_empty() || rest.starts_with('.')))
        };
        self.page(sql, page, |rare| &rare.changes, |row| row.seq, fits, |c| c.change()).await
    }

    /// Ends of live connections, latest first.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn cuts(&self, page: Page) -> Result<Vec<CutRow>, IndexError> {
        let sql = Sql::new("SELECT * FROM cuts WHERE 1");
        self.page(sql, page, |rare| &rare.cuts, |row| row.seq, |_| true, |c| c.cut()).await
    }

    /// Events of the system, latest first.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn system_events(&self, page: Page) -> Result<Vec<SystemRow>, IndexError> {
        let sql = Sql::new("SELECT * FROM systems WHERE 1");
        self.page(sql, page, |rare| &rare.systems, |row| row.seq, |_| true, |c| c.system()).await
    }

    /// One page of rows, latest first: the newest from memory, the rest by a statement that ends in `WHERE …`.
    async fn page<T: Clone>(
        &self,
        mut sql: Sql,
        page: Page,
        of: impl Fn(&Rare) -> &Vec<T>,
        seq: impl Fn(&T) -> u64,
        fits: impl Fn(&T) -> bool,
        row: impl Fn(Columns<'_>) -> Result<T, IndexError>,
    ) -> Result<Vec<T>, IndexError> {
        let (mut tx, mut rows) = self
            .view(|parts| {
                let all = parts.iter().rev().flat_map(|part| of(&part.rare).iter().rev());
                all.filter(|row| page.reaches(seq(row)) && fits(row)).take(page.rows()).cloned().collect::<Vec<_>>()
            })
            .await?;
        if rows.len() < page.rows() {
            if let Some(before) = page.before_seq {
                sql.push(" AND seq < ").push_bind(int(before));
            }
            sql.push(" ORDER BY seq DESC LIMIT ").push_bind(int((page.rows() - rows.len()) as u64));
            rows.extend(read(&mut tx, sql, row).await?);
        }
        Ok(rows)
    }
}

/// The rows of a statement.
pub(super) async fn read<T>(
    db: &mut sqlx::SqliteConnection,
    mut sql: Sql,
    row: impl Fn(Columns<'_>) -> Result<T, IndexError>,
) -> Result<Vec<T>, IndexError> {
    let rows = sql.build().fetch_all(db).await?;
    rows.iter().map(|found| row(Columns(found))).collect()
}
