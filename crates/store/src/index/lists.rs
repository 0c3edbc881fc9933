//! Questions that are answered from blocks: verdicts, refusals, single entries, and what belongs to a request.

use std::sync::Arc;

use safeconduct_model::{Entry, RequestId};
use sqlx::{Row as _, SqliteConnection};

use super::block::{Block, Shape};
use super::filter::{About, Filter, Member};
use super::load::int;
use super::questions::{AccessFilter, Page, Sql};
use super::rows::{AccessRow, RefusalRow};
use super::{Index, IndexError, MAX_PAGE};
use crate::reader::{Entries, Position};

/// How many summaries of blocks are looked at together: few at first, since the newest block may do,
const FIRST_BLOCKS: u32 = 4;

/// and no more than this.
const MOST_BLOCKS: u32 = 256;

impl AccessFilter {
    fn takes(&self, shape: &Shape) -> bool {
        let Some(access) = shape.access() else { return false };
        self.person.as_ref().is_none_or(|p| access.principal.person() == Some(p))
            && self.app.as_ref().is_none_or(|a| access.app == *a)
            && self.verdict.is_none_or(|v| access.verdict == v)
            && self.reason.is_none_or(|r| access.reason == Some(r))
            && self.session.as_ref().is_none_or(|s| access.session.as_ref() == Some(s))
    }

    /// What a block must be about to have such verdicts.
    fn terms(&self) -> Vec<Member> {
        let mut terms = Vec::new();
        terms.extend(self.person.as_ref().map(|p| Member::of(About::Person, p.as_str())));
        terms.extend(self.app.as_ref().map(|a| Member::of(About::App, a.as_str())));
        terms.extend(self.verdict.map(|v| Member::of(About::Verdict, v.name())));
        terms.extend(self.reason.map(|r| Member::of(About::Reason, r.code())));
        terms.extend(self.session.as_ref().map(|s| Member::of(About::Session, s.as_str())));
        terms
    }
}

/// A list of entries of some shapes, latest first, as far as it is read.
struct Sought<T, S, M> {
    page: Page,
    since: Option<safeconduct_model::Timestamp>,
    takes: S,
    make: M,
    found: Vec<T>,
}

impl<T, S, M> Sought<T, S, M>
where
    S: Fn(&Shape) -> bool,
    M: Fn(&Block, u64) -> Result<Option<T>, IndexError>,
{
    /// Takes what fits from a block, which must be older than those before; `true` if that is enough.
    fn look(&mut self, block: &Block) -> Result<bool, IndexError> {
        let wanted: Vec<_> = block.shapes.iter().map(&self.takes).collect();
        if !wanted.contains(&true) {
            return Ok(self.found.len() >= self.page.rows());
        }
        let before = self.page.before_seq.unwrap_or(u64::MAX).saturating_sub(block.first_seq);
        let rows = &block.rows[..usize::try_from(before).unwrap_or(usize::MAX).min(block.rows.len())];
        for (i, row) in rows.iter().enumerate().rev() {
            // Times never decrease.
            if self.since.is_some_and(|since| row.at < since) || self.found.len() >= self.page.rows() {
                return Ok(true);
            }
            if wanted[row.shape as usize] {
                self.found.extend((self.make)(block, block.first_seq + i as u64)?);
            }
        }
        Ok(self.found.len() >= self.page.rows())
    }
}

impl Index {
    /// Accesses, latest first.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn accesses(&self, filter: &AccessFilter) -> Result<Vec<AccessRow>, IndexError> {
        let blocks = "SELECT first_seq, terms FROM blocks WHERE verdicts = 1";
        let takes = |shape: &Shape| filter.takes(shape);
        let (page, since, make, found) = (filter.page, filter.since, Block::access_row, Vec::new());
        self.list(blocks, &filter.terms(), || Sought { page, since, takes, make, found: found.clone() }).await
    }

    /// Refused requests, latest first.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn refusals(&self, page: Page) -> Result<Vec<RefusalRow>, IndexError> {
        let blocks = "SELECT first_seq, terms FROM blocks WHERE refusals = 1";
        let takes = |shape: &Shape| matches!(shape, Shape::Refusal { .. });
        let make = Block::refusal_row;
        self.list(blocks, &[], || Sought { page, since: None, takes, make, found: Vec::new() }).await
    }

    async fn list<T, S, M>(
        &self,
        blocks: &'static str,
        terms: &[Member],
        sought: impl Fn() -> Sought<T, S, M>,
    ) -> Result<Vec<T>, IndexError>
    where
        S: Fn(&Shape) -> bool,
        M: Fn(&Block, u64) -> Result<Option<T>, IndexError>,
    {
        let (mut tx, recent) = self
            .view(|parts| {
                let mut sought = sought();
                for part in parts.iter().rev() {
                    if sought.look(part.block())? {
                        return Ok((sought, true));
                    }
                }
                Ok::<_, IndexError>((sought, false))
            })
            .await?;
        let (mut sought, enough) = recent?;
        if enough {
            return Ok(sought.found);
        }
        let (mut before, mut many) = (int(sought.page.before_seq.unwrap_or(u64::MAX)), FIRST_BLOCKS);
        loop {
            let mut sql = Sql::new(blocks);
            sql.push(" AND first_seq < ").push_bind(before);
            if let Some(since) = sought.since {
                sql.push(" AND last_at >= ").push_bind(since.millis());
            }
            sql.push(" ORDER BY first_seq DESC LIMIT ").push_bind(i64::from(many));
            let found = sql.build().fetch_all(&mut *tx).await?;
            for row in &found {
                before = row.try_get(0)?;
                let kept: &[u8] = row.try_get(1)?;
                if terms.iter().all(|term| Filter::may_have(kept, *term)) {
                    let block = self.block(&mut tx, before).await?;
                    if sought.look(&block)? {
                        return Ok(sought.found);
                    }
                }
            }
            if found.len() < many as usize {
                return Ok(sought.found);
            }
            many = (many * 4).min(MOST_BLOCKS);
        }
    }

    /// One access; `None` if the entry is not there or is another kind of record.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn access(&self, seq: u64) -> Result<Option<AccessRow>, IndexError> {
        Ok(self.at(seq, |block| block.access_row(seq)).await?.transpose()?.flatten())
    }

    /// One whole entry, from the ledger; `None` if it is not there (yet).
    ///
    /// # Errors
    /// If the database fails or the ledger cannot be read.
    pub async fn entry(&self, seq: u64) -> Result<Option<Entry>, IndexError> {
        let place = self.at(seq, |block| block.row(seq).and_then(|_| block.place(seq))).await?;
        match place.flatten() {
            Some(place) => Ok(self.entries(vec![(seq, place)]).await?.pop()),
            None => Ok(None),
        }
    }

    /// Everything that was recorded of a request, in order: its access, later decisions about it, its end.
    ///
    /// # Errors
    /// If the database fails or the ledger cannot be read.
    pub async fn by_request(&self, request: &RequestId) -> Result<Vec<Entry>, IndexError> {
        let look = |block: &Block| {
            let seqs = block.of_request(request.as_str());
            seqs.filter_map(|seq| Some((seq, block.place(seq)?))).collect::<Vec<_>>()
        };
        let (mut tx, recent) =
            self.view(|parts| parts.iter().flat_map(|part| look(part.block())).collect::<Vec<_>>()).await?;
        let member = Member::of(About::Request, request.as_str());
        let (mut found, mut from) = (Vec::new(), 0_i64);
        loop {
            let mut sql = Sql::new("SELECT first_seq, requests FROM block_requests WHERE first_seq >= ");
            sql.push_bind(from).push(" ORDER BY first_seq LIMIT ").push_bind(i64::from(MOST_BLOCKS));
            let blocks = sql.build().fetch_all(&mut *tx).await?;
            for row in &blocks {
                let first_seq: i64 = row.try_get(0)?;
                from = first_seq + 1;
                if Filter::may_have(row.try_get(1)?, member) {
                    found.extend(look(&*self.block(&mut tx, first_seq).await?));
                }
            }
            if blocks.len() < MOST_BLOCKS as usize || found.len() >= MAX_PAGE as usize {
                break;
            }
        }
        drop(tx);
        found.extend(recent);
        found.truncate(MAX_PAGE as usize);
        self.entries(found).await
    }

    /// What a block says of an entry; `None` if no block has it.
    async fn at<T>(&self, seq: u64, look: impl Fn(&Block) -> T) -> Result<Option<T>, IndexError> {
        let (mut tx, recent) =
            self.view(|parts| parts.iter().map(|part| part.block()).find(|b| b.row(seq).is_some()).map(&look)).await?;
        if recent.is_some() {
            return Ok(recent);
        }
        let first: Option<i64> =
            sqlx::query_scalar("SELECT max(first_seq) FROM blocks WHERE first_seq <= $1 AND next_seq > $1")
                .bind(int(seq))
                .fetch_one(&mut *tx)
                .await?;
        match first {
            Some(first) => Ok(Some(look(&*self.block(&mut tx, first).await?))),
            None => Ok(None),
        }
    }

    /// A block from the database.
    async fn block(&self, db: &mut SqliteConnection, first_seq: i64) -> Result<Arc<Block>, IndexError> {
        if let Some(block) = self.blocks.find(first_seq) {
            return Ok(block);
        }
        let data: Vec<u8> = sqlx::query_scalar("SELECT data FROM block_data WHERE first_seq = $1")
            .bind(first_seq)
            .fetch_one(db)
            .await?;
        let block = Arc::new(Block::decode(&data)?);
        self.blocks.keep(Arc::clone(&block));
        Ok(block)
    }

    /// Entries from the ledger, each by a place from which it can be reached.
    async fn entries(&self, wanted: Vec<(u64, Position)>) -> Result<Vec<Entry>, IndexError> {
        let ledger = self.ledger.clone();
        let read = move || {
            let entry = |(seq, place)| match Entries::from_place(&ledger, place, seq).next().transpose()? {
                Some(located) if located.entry.seq == seq => Ok(located.entry),
                _ => Err(IndexError::Damaged { what: "the place of an entry", value: seq.to_string() }),
            };
            wanted.into_iter().map(entry).collect()
        };
        tokio::task::spawn_blocking(read).await?
    }
}
