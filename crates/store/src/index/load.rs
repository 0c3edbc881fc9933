//! Parts into the database.

use safeconduct_model::Principal;
use serde::Serialize;
use sqlx::sqlite::SqlitePool;
use sqlx::{QueryBuilder, Row as _, Sqlite, SqliteConnection, Transaction};

use super::block::{Block, Kind, Shape};
use super::recent::{Part, Rare};
use super::rolls::Rolls;
use super::{IndexError, Mark};
use crate::reader::Position;

/// How many rows one statement inserts: SQLite takes 32 766 values at most.
const ROWS: usize = 500;

type Tx = Transaction<'static, Sqlite>;

/// Up to where the ledger is in the database.
pub(super) async fn mark(db: &mut SqliteConnection) -> Result<Mark, IndexError> {
    let row = sqlx::query(
        "SELECT next_seq, last_segment, last_offset, next_segment, next_offset, hash FROM position WHERE id = 0",
    )
    .fetch_optional(db)
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

/// Keeps a part and moves the mark behind it, or does neither.
pub(super) async fn keep(pool: &SqlitePool, part: &Part) -> Result<(), IndexError> {
    let mut tx = pool.begin_with("BEGIN IMMEDIATE").await?;
    block(&mut tx, part.block()).await?;
    rare(&mut tx, &part.rare).await?;
    roll_up(&mut tx, part.rolls()).await?;
    let mark = &part.mark;
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

async fn block(tx: &mut Tx, block: &Block) -> Result<(), IndexError> {
    let (Some(first), Some(last)) = (block.rows.first(), block.rows.last()) else { return Ok(()) };
    let count = |kind| block.shapes.iter().filter(|s| s.kind() == kind).count();
    let has_refusals = block.shapes.iter().any(|s| matches!(s, Shape::Refusal { .. }));
    sqlx::query("INSERT INTO blocks VALUES ($1, $2, $3, $4, $5, $6, $7)")
        .bind(int(block.first_seq))
        .bind(int(block.next_seq()))
        .bind(first.at.millis())
        .bind(last.at.millis())
        .bind(count(Kind::Access) > 0)
        .bind(has_refusals)
        .bind(block.terms().bytes().to_vec())
        .execute(&mut **tx)
        .await?;
    for (table, data) in [
        ("INSERT INTO block_requests VALUES ($1, $2)", block.requests().bytes().to_vec()),
        ("INSERT INTO block_data VALUES ($1, $2)", block.encode()),
    ] {
        sqlx::query(table).bind(int(block.first_seq)).bind(data).execute(&mut **tx).await?;
    }
    Ok(())
}

async fn rare(tx: &mut Tx, rare: &Rare) -> Result<(), IndexError> {
    for part in rare.sessions.chunks(ROWS) {
        let mut insert = QueryBuilder::<Sqlite>::new("INSERT INTO sessions ");
        insert.push_values(part, |mut row, s| {
            row.push_bind(int(s.seq))
                .push_bind(s.at.millis())
                .push_bind(s.session.to_string())
                .push_bind(s.person.to_string())
                .push_bind(word(&s.event))
                .push_bind(s.methods.iter().map(word).collect::<Vec<_>>().join(" "))
                .push_bind(s.device.as_ref().map(ToString::to_string))
                .push_bind(s.ip.to_string());
        });
        insert.build().execute(&mut **tx).await?;
    }
    for part in rare.changes.chunks(ROWS) {
        let mut insert = QueryBuilder::<Sqlite>::new("INSERT INTO changes ");
        insert.push_values(part, |mut row, c| {
            row.push_bind(int(c.seq))
                .push_bind(c.at.millis())
                .push_bind(c.by.clone())
                .push_bind(c.verb.clone())
                .push_bind(c.object.clone())
                .push_bind(c.detail.clone())
                .push_bind(c.app.as_ref().map(ToString::to_string))
                .push_bind(c.action.map(safeconduct_model::Action::name));
        });
        insert.build().execute(&mut **tx).await?;
    }
    for part in rare.cuts.chunks(ROWS) {
        let mut insert = QueryBuilder::<Sqlite>::new("INSERT INTO cuts ");
        insert.push_values(part, |mut row, c| {
            let (principal_kind, principal) = principal(&c.principal);
            row.push_bind(int(c.seq))
                .push_bind(c.at.millis())
                .push_bind(c.request.to_string())
                .push_bind(principal_kind)
                .push_bind(principal)
                .push_bind(c.app.to_string())
                .push_bind(word(&c.cause))
                .push_bind(int(c.lasted.millis()))
                .push_bind(c.delay.map(|d| int(d.millis())));
        });
        insert.build().execute(&mut **tx).await?;
    }
    for part in rare.systems.chunks(ROWS) {
        let mut insert = QueryBuilder::<Sqlite>::new("INSERT INTO systems ");
        insert.push_values(part, |mut row, s| {
            row.push_bind(int(s.seq)).push_bind(s.at.millis()).push_bind(s.event.clone()).push_bind(s.detail.clone());
        });
        insert.build().execute(&mut **tx).await?;
    }
    Ok(())
}

/// Adds a part to the roll-ups.
async fn roll_up(tx: &mut Tx, rolls: Rolls) -> Result<(), IndexError> {
    let Rolls { edges, hours, kinds } = rolls;
    let edges: Vec<_> = edges.into_iter().collect();
    for part in edges.chunks(ROWS) {
        let mut insert = QueryBuilder::<Sqlite>::new("INSERT INTO edges ");
        insert.push_values(part, |mut row, ((app, who, action), sum)| {
            let (principal_kind, principal) = principal(who);
            row.push_bind(principal_kind)
                .push_bind(principal)
                .push_bind(app.to_string())
                .push_bind(action.name())
                .push_bind(int(sum.permitted))
                .push_bind(int(sum.denied))
                .push_bind(int(sum.first_seq))
                .push_bind(int(sum.last_seq))
                .push_bind(sum.first_at.millis())
                .push_bind(sum.last_at.millis());
        });
        insert.push(
            " ON CONFLICT (principal_kind, principal, app, action) DO UPDATE SET
                permitted = permitted + excluded.permitted, denied = denied + excluded.denied,
                last_seq = excluded.last_seq, first_at = min(first_at, excluded.first_at),
                last_at = max(last_at, excluded.last_at)",
        );
        insert.build().execute(&mut **tx).await?;
    }
    let hours: Vec<_> = hours.into_iter().collect();
    for part in hours.chunks(ROWS) {
        let mut insert = QueryBuilder::<Sqlite>::new("INSERT INTO hours ");
        insert.push_values(part, |mut row, ((hour, app, reason), count)| {
            row.push_bind(*hour)
                .push_bind(app.to_string())
                .push_bind(reason.map_or("", safeconduct_model::Reason::code))
                .push_bind(int(*count));
        });
        insert.push(" ON CONFLICT (hour, app, reason) DO UPDATE SET count = count + excluded.count");
        insert.build().execute(&mut **tx).await?;
    }
    for (kind, count) in kinds {
        sqlx::query(
            "INSERT INTO kinds VALUES ($1, $2) ON CONFLICT (kind) DO UPDATE SET count = count + excluded.count",
        )
        .bind(kind.name())
        .bind(int(count))
        .execute(&mut **tx)
        .await?;
    }
    Ok(())
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
fn word(variant: &impl Serialize) -> String {
    match serde_json::to_value(variant) {
        Ok(serde_json::Value::String(word)) => word,
        _ => String::new(),
    }
}

pub(super) fn int(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}
