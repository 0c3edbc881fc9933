//! Roll-ups of a stretch of the ledger, so that no page counts rows.

use std::collections::BTreeMap;

use safeconduct_model::{Action, AppId, Principal, Reason, Timestamp};

use super::block::{Block, Kind};
use super::{Edge, Verdict};

/// Milliseconds of an hour.
pub(super) const HOUR: i64 = 3_600_000;

/// What makes an edge.
pub(super) type EdgeKey = (AppId, Principal, Action);

/// What makes a count of an hour: which hour, application and reason; none where policy said yes.
pub(super) type HourKey = (i64, AppId, Option<Reason>);

/// How often there was what.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Rolls {
    pub(super) edges: BTreeMap<EdgeKey, Sum>,
    pub(super) hours: BTreeMap<HourKey, u64>,
    pub(super) kinds: BTreeMap<Kind, u64>,
}

/// What is summed up of an edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sum {
    pub(super) permitted: u64,
    pub(super) denied: u64,
    pub(super) first_seq: u64,
    pub(super) last_seq: u64,
    pub(super) first_at: Timestamp,
    pub(super) last_at: Timestamp,
}

impl Sum {
    fn merge(&mut self, other: &Self) {
        self.permitted += other.permitted;
        self.denied += other.denied;
        self.first_seq = self.first_seq.min(other.first_seq);
        self.last_seq = self.last_seq.max(other.last_seq);
        self.first_at = self.first_at.min(other.first_at);
        self.last_at = self.last_at.max(other.last_at);
    }

    /// The edge with these sums, and with those that there were before.
    pub(super) fn edge(&self, (app, principal, action): EdgeKey, before: Option<&Edge>) -> Edge {
        let mut sum = *self;
        if let Some(e) = before {
            let Edge { permitted, denied, first_seq, last_seq, first_at, last_at, .. } = *e;
            sum.merge(&Self { permitted, denied, first_seq, last_seq, first_at, last_at });
        }
        let Self { permitted, denied, first_seq, last_seq, first_at, last_at } = sum;
        Edge { principal, app, action, permitted, denied, first_seq, last_seq, first_at, last_at }
    }
}

impl Rolls {
    pub(super) fn add(&mut self, block: &Block) {
        // By shape first: there are few of them, and comparing their names for every row would cost more than all else.
        let mut sums: Vec<Option<Sum>> = vec![None; block.shapes.len()];
        let mut hours = BTreeMap::<(u32, i64), u64>::new();
        let mut last_hour = (u32::MAX, 0, 0_u64);
        let mut kinds = vec![0_u64; block.shapes.len()];
        for (seq, row) in (block.first_seq..).zip(&block.rows) {
            let shape = row.shape as usize;
            kinds[shape] += 1;
            let Some(access) = block.shapes[shape].access() else { continue };
            let permitted = u64::from(access.verdict == Verdict::Permit);
            let (first_at, last_at) = (row.decided, row.decided);
            let sum = Sum { permitted, denied: 1 - permitted, first_seq: seq, last_seq: seq, first_at, last_at };
            match &mut sums[shape] {
                Some(there) => there.merge(&sum),
                none => *none = Some(sum),
            }
            let hour = row.decided.millis() / HOUR;
            if (last_hour.0, last_hour.1) == (row.shape, hour) {
                last_hour.2 += 1;
            } else {
                if last_hour.2 > 0 {
                    *hours.entry((last_hour.0, last_hour.1)).or_default() += last_hour.2;
                }
                last_hour = (row.shape, hour, 1);
            }
        }
        if last_hour.2 > 0 {
            *hours.entry((last_hour.0, last_hour.1)).or_default() += last_hour.2;
        }
        for ((shape, sum), count) in block.shapes.iter().zip(sums).zip(kinds) {
            *self.kinds.entry(shape.kind()).or_default() += count;
            let (Some(access), Some(sum)) = (shape.access(), sum) else { continue };
            let key = (access.app.clone(), access.principal.clone(), access.action);
            self.edges.entry(key).and_modify(|there| there.merge(&sum)).or_insert(sum);
        }
        for ((shape, hour), count) in hours {
            let Some(access) = block.shapes[shape as usize].access() else { continue };
            *self.hours.entry((hour, access.app.clone(), access.reason)).or_default() += count;
        }
        self.kinds.retain(|_, count| *count > 0);
    }
}
