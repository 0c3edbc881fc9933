//! Entries into rows.

use std::collections::BTreeMap;

use safeconduct_model::{Access, Entry, Outcome, Principal, Record};
use serde::Serialize;
use sqlx::sqlite::SqlitePool;
use sqlx::{QueryBuilder, Row as _, Sqlite, Transaction};

use super::{IndexError, Mark};
use crate::reader::{Located, Position};

/// How many rows one statement inserts: SQLite takes 32 766 values at most.
const ROWS: usize = 500;

/// Milliseconds of an hour.
pub(super) const HOUR: i64 = 3_600_000;

type Tx = Transaction<'static, Sqlite>;

/// Up to where the ledger is indexed.
pub(super) async fn mark(pool: &SqlitePool) -> Result<Mark, IndexError> {
    let row = sqlx::query(
        "SELECT next_seq, last_segment, last_offset, next_segment, next_offset, hash FROM position WHERE id = 0",
    )
    .fetch_optional(pool)
    .await?;
    let Some(row) = row else { return Ok(Mark::default()) };
    let number = |i: usize| row.try_get::<i64, _>(i).map(i64::unsigned_abs);
    let position = |segment, offset| Position { segment: u32::try_from(segment).unwrap_or(u32::MAX), offset };
    Ok(Mark {
        next_seq: number(0)?,
        last: position(number(1)?, number(2)?),
        next: position(number(3)?, number(4)?),
        hash: row.try_get(5)?,
    })
}

/// Indexes a batch and moves the mark behind it, or does neither.
pub(super) async fn batch(pool: &SqlitePool, batch: &[Located], mark: &Mark) -> Result<(), IndexError> {
    let mut tx = pool.begin_with("BEGIN IMMEDIATE").await?;
    for part in batch.chunks(ROWS) {
        lines(&mut tx, part).await?;
        details(&mut tx, part).await?;
    }
    roll_up(&mut tx, batch).await?;
    sqlx::query("INSERT OR REPLACE INTO position VALUES (0, $1, $2, $3, $4, $5, $6)")
        .bind(int(mark.next_seq))
        .bind(i64::from(mark.last.segment))
        .bind(int(mark.last.offset))
        .bind(i64::from(mark.next.segment))
        .bind(int(mark.next.offset))
        .bind(mark.hash.clone())
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(())
}

async fn lines(tx: &mut Tx, part: &[Located]) -> Result<(), IndexError> {
    let mut insert = QueryBuilder::<Sqlite>::new("INSERT INTO lines (seq, at, segment, place, kind, request) ");
    insert.push_values(part, |mut row, Located { entry, position, .. }| {
        row.push_bind(int(entry.seq))
            .push_bind(entry.at.millis())
            .push_bind(i64::from(position.segment))
            .push_bind(int(position.offset))
            .push_bind(kind(&entry.record))
            .push_bind(request(&entry.record).map(str::to_owned));
    });
    insert.build().execute(&mut **tx).await?;
    Ok(())
}

/// The word for a kind of record, as the ledger spells it.
pub(super) const fn kind(record: &Record) -> &'static str {
    match record {
        Record::Access(_) => "access",
        Record::Refusal(_) => "refusal",
        Record::Cut(_) => "cut",
        Record::Session(_) => "session",
        Record::Change(_) => "change",
        Record::System(_) => "system",
        Record::Question(_) => "question",
    }
}

fn request(record: &Record) -> Option<&str> {
    match record {
        Record::Access(a) => Some(a.ask.request.as_str()),
        Record::Refusal(r) => Some(r.request.as_str()),
        Record::Cut(c) => Some(c.request.as_str()),
        Record::Question(q) => Some(q.request.as_str()),
        Record::Session(_) | Record::Change(_) | Record::System(_) => None,
    }
}

async fn details(tx: &mut Tx, part: &[Located]) -> Result<(), IndexError> {
    accesses(tx, part).await?;
    for Located { entry, .. } in part {
        other(tx, entry).await?;
    }
    Ok(())
}

/// Accesses are nearly everything, so they go in together.
async fn accesses(tx: &mut Tx, part: &[Located]) -> Result<(), IndexError> {
    let accesses: Vec<_> = part.iter().filter_map(|l| access(&l.entry).map(|a| (&l.entry, a))).collect();
    if accesses.is_empty() {
        return Ok(());
    }
    let mut insert = QueryBuilder::<Sqlite>::new("INSERT INTO access ");
    insert.push_values(accesses, |mut row, (entry, a)| {
        let (principal_kind, principal) = principal(&a.ask.who.principal);
        let until = match a.outcome {
            Outcome::Permit { until } => Some(until.millis()),
            Outcome::Deny { .. } => None,
        };
        let rules: Vec<_> = a.rules.iter().map(|r| r.as_str()).collect();
        row.push_bind(int(entry.seq))
            .push_bind(entry.at.millis())
            .push_bind(a.decided.millis())
            .push_bind(a.ask.request.to_string())
            .push_bind(a.ask.who.auth.as_ref().map(|auth| auth.session.to_string()))
            .push_bind(principal_kind)
            .push_bind(principal)
            .push_bind(a.ask.what.app.to_string())
            .push_bind(a.ask.what.action.name())
            .push_bind(a.ask.what.method.clone())
            .push_bind(a.ask.what.path.clone())
            .push_bind(if a.permitted() { "permit" } else { "deny" })
            .push_bind(a.mode.name())
            .push_bind(a.reason().map(safeconduct_model::Reason::code))
            .push_bind(a.ask.place.device.as_ref().map(|d| d.id.to_string()))
            .push_bind(a.ask.place.ip.to_string())
            .push_bind(a.ask.place.network.clone())
            .push_bind(until)
            .push_bind(int(a.revision))
            .push_bind(rules.join(" "))
            .push_bind(i64::from(a.took_us))
            .push_bind(a.again);
    });
    insert.build().execute(&mut **tx).await?;
    Ok(())
}

async fn other(tx: &mut Tx, entry: &Entry) -> Result<(), IndexError> {
    let (seq, at) = (int(entry.seq), entry.at.millis());
    let insert = match &entry.record {
        // Questions are found by their lines.
        Record::Access(_) | Record::Question(_) => return Ok(()),
        Record::Session(s) => sqlx::query("INSERT INTO sessions VALUES ($1, $2, $3, $4, $5, $6, $7, $8)")
            .bind(seq)
            .bind(at)
            .bind(s.session.to_string())
            .bind(s.person.to_string())
            .bind(word(&s.event))
            .bind(s.methods.iter().map(word).collect::<Vec<_>>().join(" "))
            .bind(s.device.as_ref().map(ToString::to_string))
            .bind(s.ip.to_string()),
        Record::Change(c) => sqlx::query("INSERT INTO changes VALUES ($1, $2, $3, $4, $5, $6, $7, $8)")
            .bind(seq)
            .bind(at)
            .bind(c.by.clone())
            .bind(c.verb.clone())
            .bind(c.object.clone())
            .bind(c.detail.clone())
            .bind(c.app.as_ref().map(ToString::to_string))
            .bind(c.action.map(safeconduct_model::Action::name)),
        Record::Cut(c) => {
            let (principal_kind, principal) = principal(&c.principal);
            sqlx::query("INSERT INTO cuts VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)")
                .bind(seq)
                .bind(at)
                .bind(c.request.to_string())
                .bind(principal_kind)
                .bind(principal)
                .bind(c.app.to_string())
                .bind(word(&c.cause))
                .bind(int(c.lasted.millis()))
                .bind(c.delay.map(|d| int(d.millis())))
        }
        Record::Refusal(r) => sqlx::query("INSERT INTO refusals VALUES ($1, $2, $3, $4, $5, $6, $7)")
            .bind(seq)
            .bind(at)
            .bind(r.request.to_string())
            .bind(r.ip.to_string())
            .bind(r.reason.code())
            .bind(r.detail.clone())
            .bind(r.app.as_ref().map(ToString::to_string)),
        Record::System(s) => sqlx::query("INSERT INTO systems VALUES ($1, $2, $3, $4)")
            .bind(seq)
            .bind(at)
            .bind(s.event.clone())
            .bind(s.detail.clone()),
    };
    insert.execute(&mut **tx).await?;
    Ok(())
}

/// What a batch adds to an edge.
#[derive(Clone, Copy)]
struct Sum {
    permitted: i64,
    denied: i64,
    first: (i64, i64),
    last: (i64, i64),
}

/// Adds a batch to the roll-ups.
async fn roll_up(tx: &mut Tx, batch: &[Located]) -> Result<(), IndexError> {
    let mut edges = BTreeMap::<_, Sum>::new();
    let mut hours = BTreeMap::<_, i64>::new();
    let mut kinds = BTreeMap::<_, i64>::new();
    for Located { entry, .. } in batch {
        *kinds.entry(kind(&entry.record)).or_default() += 1;
        let Some(a) = access(entry) else { continue };
        let here = (int(entry.seq), a.decided.millis());
        let edge = (principal(&a.ask.who.principal), a.ask.what.app.as_str(), a.ask.what.action.name());
        let sum = edges.entry(edge).or_insert(Sum { permitted: 0, denied: 0, first: here, last: here });
        sum.permitted += i64::from(a.permitted());
        sum.denied += i64::from(!a.permitted());
        sum.first.1 = sum.first.1.min(here.1);
        sum.last = (here.0, sum.last.1.max(here.1));
        let reason = a.reason().map_or("", safeconduct_model::Reason::code);
        *hours.entry((a.decided.millis() / HOUR, a.ask.what.app.as_str(), reason)).or_default() += 1;
    }
    for (((principal_kind, principal), app, action), Sum { permitted, denied, first, last }) in edges {
        sqlx::query(
            "INSERT INTO edges VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
             ON CONFLICT (principal_kind, principal, app, action) DO UPDATE SET
                permitted = permitted + excluded.permitted, denied = denied + excluded.denied,
                last_seq = excluded.last_seq, first_at = min(first_at, excluded.first_at),
                last_at = max(last_at, excluded.last_at)",
        )
        .bind(principal_kind)
        .bind(principal)
        .bind(app.to_owned())
        .bind(action)
        .bind(permitted)
        .bind(denied)
        .bind(first.0)
        .bind(last.0)
        .bind(first.1)
        .bind(last.1)
        .execute(&mut **tx)
        .await?;
    }
    for ((hour, app, reason), count) in hours {
        sqlx::query(
            "INSERT INTO hours VALUES ($1, $2, $3, $4)
             ON CONFLICT (hour, app, reason) DO UPDATE SET count = count + excluded.count",
        )
        .bind(hour)
        .bind(app.to_owned())
        .bind(reason)
        .bind(count)
        .execute(&mut **tx)
        .await?;
    }
    for (kind, count) in kinds {
        sqlx::query(
            "INSERT INTO kinds VALUES ($1, $2) ON CONFLICT (kind) DO UPDATE SET count = count + excluded.count",
        )
        .bind(kind)
        .bind(count)
        .execute(&mut **tx)
        .await?;
    }
    Ok(())
}

fn access(entry: &Entry) -> Option<&Access> {
    match &entry.record {
        Record::Access(access) => Some(access),
        _ => None,
    }
}

/// The kind and the id of a principal; nobody has no id.
pub(super) fn principal(principal: &Principal) -> (&'static str, String) {
    match principal {
        Principal::Person(id) => ("person", id.to_string()),
        Principal::Workload(id) => ("workload", id.to_string()),
        Principal::Nobody => ("nobody", String::new()),
    }
}

/// The word that the ledger uses for a variant.
pub(super) fn word(variant: &impl Serialize) -> String {
    match serde_json::to_value(variant) {
        Ok(serde_json::Value::String(word)) => word,
        _ => String::new(),
    }
}

pub(super) fn int(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}
