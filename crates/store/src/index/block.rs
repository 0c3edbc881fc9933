//! A stretch of the ledger as the index holds it: one row for each entry, and what many rows share only once.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use safeconduct_ledger::{Pattern, Texts};
use safeconduct_model::{
    Access, Action, AppId, DeviceId, Mode, Outcome, Principal, Reason, Record, Refusal, RuleId, SessionId, Timestamp,
};
use serde::{Deserialize, Serialize};

use super::filter::{About, Filter, Member};
use super::{AccessRow, IndexError, RefusalRow, Verdict};
use crate::reader::Position;
use crate::writer::Happened;

/// Every so many rows the place of the line is kept; the lines between are counted off.
const PLACE_ROWS: u32 = 16;

/// A stretch of the ledger.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Block {
    pub(super) first_seq: u64,
    /// One for each entry, in order.
    pub(super) rows: Vec<Row>,
    pub(super) shapes: Vec<Shape>,
    /// The texts of the rows, one behind the other.
    pub(super) text: String,
    /// Where the lines of some rows begin.
    pub(super) places: Vec<(u32, Position)>,
}

/// What an entry has of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) at: Timestamp,
    /// Which of the shapes it has.
    pub(super) shape: u32,
    pub(super) decided: Timestamp,
    pub(super) until: Option<Timestamp>,
    pub(super) took_us: u32,
    /// Where its texts begin, and how long each is: the request, the method, and the path or what else there is to say.
    pub(super) start: u32,
    pub(super) request: u32,
    pub(super) method: u32,
    pub(super) path: u32,
}

/// What entries share.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Shape {
    Access(Box<AccessShape>),
    Refusal { ip: IpAddr, reason: Reason, app: Option<AppId> },
    Other(Kind),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct AccessShape {
    pub(super) session: Option<SessionId>,
    pub(super) principal: Principal,
    pub(super) app: AppId,
    pub(super) action: Action,
    pub(super) verdict: Verdict,
    pub(super) mode: Mode,
    pub(super) reason: Option<Reason>,
    pub(super) device: Option<DeviceId>,
    pub(super) ip: IpAddr,
    pub(super) network: Option<String>,
    pub(super) revision: u64,
    pub(super) rules: Vec<RuleId>,
    pub(super) again: bool,
}

/// A kind of record, as the ledger spells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    Access,
    Refusal,
    Cut,
    Session,
    Change,
    System,
    Question,
}

impl Kind {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Access => "access",
            Self::Refusal => "refusal",
            Self::Cut => "cut",
            Self::Session => "session",
            Self::Change => "change",
            Self::System => "system",
            Self::Question => "question",
        }
    }
}

impl Shape {
    fn of(access: &Access) -> Self {
        Self::Access(Box::new(AccessShape {
            session: access.ask.who.auth.as_ref().map(|auth| auth.session.clone()),
            principal: access.ask.who.principal.clone(),
            app: access.ask.what.app.clone(),
            action: access.ask.what.action,
            verdict: if access.permitted() { Verdict::Permit } else { Verdict::Deny },
            mode: access.mode,
            reason: access.reason(),
            device: access.ask.place.device.as_ref().map(|d| d.id.clone()),
            ip: access.ask.place.ip,
            network: access.ask.place.network.clone(),
            revision: access.revision,
            rules: access.rules.clone(),
            again: access.again,
        }))
    }

    pub(super) fn kind(&self) -> Kind {
        match self {
            Self::Access(_) => Kind::Access,
            Self::Refusal { .. } => Kind::Refusal,
            Self::Other(kind) => *kind,
        }
    }

    pub(super) fn access(&self) -> Option<&AccessShape> {
        match self {
            Self::Access(access) => Some(access),
            _ => None,
        }
    }
}

/// A block that grows.
#[derive(Debug, Default)]
pub(super) struct Growing {
    pub(super) block: Block,
    /// The shapes of verdicts that were written by a pattern. The pattern is held, so that no other gets its address.
    by_pattern: HashMap<usize, (Arc<Pattern>, u32)>,
    by_shape: HashMap<Shape, u32>,
}

impl Growing {
    pub(super) fn at(first_seq: u64) -> Self {
        Self { block: Block { first_seq, ..Block::default() }, ..Self::default() }
    }

    /// Takes the next entry in.
    pub(super) fn push(&mut self, at: Timestamp, what: Happened<'_>, place: Position) {
        let row = u32::try_from(self.block.rows.len()).expect("a block is bounded");
        let elsewhere = self.block.places.last().is_none_or(|(_, last)| last.segment != place.segment);
        if elsewhere || row.is_multiple_of(PLACE_ROWS) {
            self.block.places.push((row, place));
        }
        match what {
            Happened::Like(pattern, texts) => {
                let key = Arc::as_ptr(pattern) as usize;
                let shape = match self.by_pattern.get(&key) {
                    Some((_, shape)) => *shape,
                    None => {
                        let shape = self.shape(Shape::of(pattern.access()));
                        self.by_pattern.insert(key, (Arc::clone(pattern), shape));
                        shape
                    }
                };
                self.verdict(at, shape, until(pattern.access()), &texts);
            }
            Happened::Whole(Record::Access(access)) => {
                let shape = self.shape(Shape::of(access));
                let (request, what) = (access.ask.request.as_str(), &access.ask.what);
                let (method, path) = (what.method.as_str(), what.path.as_str());
                let texts = Texts { request, method, path, decided: access.decided, took_us: access.took_us };
                self.verdict(at, shape, until(access), &texts);
            }
            Happened::Whole(Record::Refusal(Refusal { request, ip, reason, detail, app })) => {
                let shape = self.shape(Shape::Refusal { ip: *ip, reason: *reason, app: app.clone() });
                self.row(at, shape, request.as_str(), detail);
            }
            Happened::Whole(Record::Cut(c)) => self.other(at, Kind::Cut, c.request.as_str()),
            Happened::Whole(Record::Question(q)) => self.other(at, Kind::Question, q.request.as_str()),
            Happened::Whole(Record::Session(_)) => self.other(at, Kind::Session, ""),
            Happened::Whole(Record::Change(_)) => self.other(at, Kind::Change, ""),
            Happened::Whole(Record::System(_)) => self.other(at, Kind::System, ""),
        }
    }

    fn shape(&mut self, shape: Shape) -> u32 {
        if let Some(known) = self.by_shape.get(&shape) {
            return *known;
        }
        let next = u32::try_from(self.block.shapes.len()).expect("a block is bounded");
        self.block.shapes.push(shape.clone());
        self.by_shape.insert(shape, next);
        next
    }

    fn other(&mut self, at: Timestamp, kind: Kind, request: &str) {
        let shape = self.shape(Shape::Other(kind));
        self.row(at, shape, request, "");
    }

    fn row(&mut self, at: Timestamp, shape: u32, request: &str, path: &str) {
        self.verdict(at, shape, None, &Texts { request, method: "", path, decided: at, took_us: 0 });
    }

    fn verdict(&mut self, at: Timestamp, shape: u32, until: Option<Timestamp>, texts: &Texts<'_>) {
        let Texts { request, method, path, decided, took_us } = *texts;
        let len = |text: &str| u32::try_from(text.len()).expect("a line is bounded");
        let start = u32::try_from(self.block.text.len()).expect("a block is bounded");
        for text in [request, method, path] {
            self.block.text.push_str(text);
        }
        let (request, method, path) = (len(request), len(method), len(path));
        self.block.rows.push(Row { at, shape, decided, until, took_us, start, request, method, path });
    }
}

fn until(access: &Access) -> Option<Timestamp> {
    match access.outcome {
        Outcome::Permit { until } => Some(until),
        Outcome::Deny { .. } => None,
    }
}

impl Block {
    pub(super) fn next_seq(&self) -> u64 {
        self.first_seq + self.rows.len() as u64
    }

    /// The row of an entry.
    pub(super) fn row(&self, seq: u64) -> Option<&Row> {
        self.rows.get(usize::try_from(seq.checked_sub(self.first_seq)?).ok()?)
    }

    pub(super) fn shape(&self, row: &Row) -> &Shape {
        &self.shapes[row.shape as usize]
    }

    /// The request, the method, and the path or what else there is to say.
    pub(super) fn texts(&self, row: &Row) -> (&str, &str, &str) {
        let (request, rest) = self.text[row.start as usize..].split_at(row.request as usize);
        let (method, rest) = rest.split_at(row.method as usize);
        (request, method, &rest[..row.path as usize])
    }

    /// From where the line of an entry can be reached.
    pub(super) fn place(&self, seq: u64) -> Option<Position> {
        let row = u32::try_from(seq.checked_sub(self.first_seq)?).ok()?;
        let behind = self.places.partition_point(|(at, _)| *at <= row);
        Some(self.places.get(behind.checked_sub(1)?)?.1)
    }

    /// The entries of a request, in order.
    pub(super) fn of_request<'a>(&'a self, request: &'a str) -> impl Iterator<Item = u64> + 'a {
        let len = request.len();
        let same = move |row: &Row| row.request as usize == len && self.texts(row).0 == request;
        (self.first_seq..).zip(&self.rows).filter(move |(_, row)| same(row)).map(|(seq, _)| seq)
    }

    /// One verdict; `None` if it is another kind of entry.
    pub(super) fn access_row(&self, seq: u64) -> Result<Option<AccessRow>, IndexError> {
        let Some(row) = self.row(seq) else { return Ok(None) };
        let Some(shape) = self.shape(row).access().cloned() else { return Ok(None) };
        let (request, method, path) = self.texts(row);
        Ok(Some(AccessRow {
            seq,
            at: row.at,
            decided: row.decided,
            request: parse(request)?,
            session: shape.session,
            principal: shape.principal,
            app: shape.app,
            action: shape.action,
            method: method.to_owned(),
            path: path.to_owned(),
            verdict: shape.verdict,
            mode: shape.mode,
            reason: shape.reason,
            device: shape.device,
            ip: shape.ip,
            network: shape.network,
            until: row.until,
            revision: shape.revision,
            rules: shape.rules,
            took_us: row.took_us,
            again: shape.again,
        }))
    }

    /// One refusal; `None` if it is another kind of entry.
    pub(super) fn refusal_row(&self, seq: u64) -> Result<Option<RefusalRow>, IndexError> {
        let Some(row) = self.row(seq) else { return Ok(None) };
        let Shape::Refusal { ip, reason, app } = self.shape(row).clone() else { return Ok(None) };
        let (request, _, detail) = self.texts(row);
        Ok(Some(RefusalRow { seq, at: row.at, request: parse(request)?, ip, reason, detail: detail.to_owned(), app }))
    }

    /// What its verdicts are about, as far as a question can ask for it.
    pub(super) fn terms(&self) -> Filter {
        let mut members = Vec::new();
        for access in self.shapes.iter().filter_map(Shape::access) {
            members.extend(access.principal.person().map(|p| Member::of(About::Person, p.as_str())));
            members.push(Member::of(About::App, access.app.as_str()));
            members.push(Member::of(About::Verdict, access.verdict.name()));
            members.extend(access.reason.map(|r| Member::of(About::Reason, r.code())));
            members.extend(access.session.as_ref().map(|s| Member::of(About::Session, s.as_str())));
        }
        members.sort_unstable();
        members.dedup();
        Filter::of(&members)
    }

    /// Its requests.
    pub(super) fn requests(&self) -> Filter {
        let requests = self.rows.iter().map(|row| self.texts(row).0).filter(|request| !request.is_empty());
        Filter::of(&requests.map(|request| Member::of(About::Request, request)).collect::<Vec<_>>())
    }
}

fn parse<T: std::str::FromStr>(text: &str) -> Result<T, IndexError> {
    text.parse().map_err(|_| IndexError::Damaged { what: "a request", value: text.to_owned() })
}
