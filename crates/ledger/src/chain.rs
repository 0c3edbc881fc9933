//! The writer's side of the chain: records in, lines out.

use safeconduct_model::{Duration, Record, Timestamp};
use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::hash::{hex, write_hex};
use crate::text::{push_number, push_signed};
use crate::{Draft, FORMAT_VERSION, Hash, MAX_LINE, Pattern, Texts, Varying};

/// How far the time of a record may lie before the record in front of it. Those who ask at the same moment reach the ledger
/// in any order, so a small step back is ordinary: the record is stamped with the time of the one in front. A larger step
/// means that the clock went back, and the record is refused.
pub const BACKSTEP_TOLERANCE: Duration = Duration::from_secs(2);

/// Bytes of a hash in hexadecimal and the blank behind it.
const PREFIX: usize = 65;

/// Bytes around a body at most: the hash, `{"seq":N,"at":T,` and the line feed.
const ENVELOPE: usize = PREFIX + 56;

/// The end of a ledger: all that is needed to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// The number of the last segment.
    pub segment: u32,
    /// The `seq` of the next record, which is the count of the records so far.
    pub next_seq: u64,
    /// The hash of the last line.
    pub hash: Hash,
    /// The time of the last record; the epoch if there is none.
    pub last_at: Timestamp,
}

/// Why a record was not appended. The chain is then as it was before.
#[derive(Debug, Error)]
pub enum AppendError {
    /// The clock went back by more than [`BACKSTEP_TOLERANCE`].
    #[error(
        "the clock went back: the record is of {at}, but the ledger already holds one of {last}; set the clock right (check NTP)"
    )]
    ClockWentBack {
        /// The time of the record.
        at: Timestamp,
        /// The time of the last record in the ledger.
        last: Timestamp,
    },
    /// The record is too long.
    #[error(
        "the record has {len} bytes, more than the {MAX_LINE} that a line of the ledger may have; shorten its texts"
    )]
    TooLong {
        /// How long the line would be.
        len: usize,
    },
    /// The record cannot be written as JSON.
    #[error("the record cannot be written as JSON: {0}")]
    Encode(#[from] serde_json::Error),
}

/// The place that a record got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed {
    /// Its number.
    pub seq: u64,
    /// Its time, which is not before that of the record in front.
    pub at: Timestamp,
}

/// A record as it is about to be written: what stands in its line behind `"at":T,`.
#[derive(Clone, Copy, Debug)]
pub enum Body<'a> {
    /// What [`Body::write`] wrote.
    Json(&'a [u8]),
    /// A verdict like others.
    Like(&'a Pattern, Texts<'a>),
}

impl Body<'_> {
    /// Appends the body of a record to `out`, and nothing if there is none or it fits into no line.
    ///
    /// # Errors
    /// If the record is too long.
    pub fn write(record: &Record, out: &mut Vec<u8>) -> Result<(), AppendError> {
        let start = out.len();
        let encoded = serde_json::to_writer(&mut *out, record);
        let len = out.len() - start + ENVELOPE;
        if encoded.is_ok() && len <= MAX_LINE {
            // The brace in front is that of the record alone: in a line the number and the time stand behind it.
            out.remove(start);
            return Ok(());
        }
        out.truncate(start);
        encoded?;
        Err(AppendError::TooLong { len })
    }

    /// Whether a verdict like others fits into a line.
    ///
    /// # Errors
    /// If it is too long.
    pub fn fits(pattern: &Pattern, varying: &Texts<'_>) -> Result<(), AppendError> {
        let texts = varying.request.len() + varying.method.len() + varying.path.len();
        if pattern.room(texts) + ENVELOPE <= MAX_LINE {
            return Ok(());
        }
        let mut body = Vec::new();
        pattern.write(varying, &mut body);
        let len = body.len() + ENVELOPE;
        if len <= MAX_LINE { Ok(()) } else { Err(AppendError::TooLong { len }) }
    }
}

/// A ledger that is being written.
#[derive(Clone, Debug)]
pub struct Chain {
    key: [u8; 32],
    head: Head,
    last_record: Option<Head>,
    opened: bool,
}

impl Chain {
    /// A ledger without a record, under the public key of its checkpoints. [`Self::open_segment`] comes first.
    #[must_use]
    pub fn begin(key: [u8; 32]) -> Self {
        let head = Head { segment: 0, next_seq: 0, hash: Hash::default(), last_at: Timestamp::default() };
        Self { key, head, last_record: None, opened: false }
    }

    /// Goes on in the last segment of a ledger that ends with `head`; `last_record` is the end of its last record, if that is
    /// known ([`crate::Report`] has both).
    #[must_use]
    pub fn resume(key: [u8; 32], head: Head, last_record: Option<Head>) -> Self {
        Self { key, head, last_record, opened: true }
    }

    /// Where the ledger stands.
    #[must_use]
    pub fn head(&self) -> Head {
        self.head
    }

    /// Where the ledger stood right behind its last record: what a checkpoint signs. It differs from the head when a new
    /// segment was opened since.
    #[must_use]
    pub fn last_record(&self) -> Option<Head> {
        self.last_record
    }

    /// Writes the header of the next segment to `out`; the first call begins segment 0.
    pub fn open_segment(&mut self, out: &mut Vec<u8>) {
        if self.opened {
            self.head.segment += 1;
        }
        self.opened = true;
        let Head { segment, next_seq, hash, last_at } = self.head;
        let json = format!(
            r#"{{"safeconduct_ledger":{FORMAT_VERSION},"segment":{segment},"first_seq":{next_seq},"after":{},"key":"{}","prev":"{hash}"}}"#,
            last_at.millis(),
            hex(&self.key),
        );
        let start = reserve(out);
        out.extend_from_slice(json.as_bytes());
        self.seal(start, out);
    }

    /// Writes a draft to `out` as the next line.
    ///
    /// Its time is the given one, or that of the record in front if that is later by at most [`BACKSTEP_TOLERANCE`].
    ///
    /// # Errors
    /// If the clock went back further, or the record is too long. Nothing is written then.
    pub fn append(&mut self, draft: impl Into<Draft>, at: Timestamp, out: &mut Vec<u8>) -> Result<Placed, AppendError> {
        match draft.into() {
            Draft::Whole(record) => {
                let mut json = Vec::new();
                Body::write(&record, &mut json)?;
                self.append_body(&Body::Json(&json), at, out)
            }
            Draft::Like { pattern, request, method, path, decided, took_us } => {
                let varying = Varying { request: &request, method: &method, path: &path, decided, took_us };
                self.append_body(&Body::Like(&pattern, (&varying).into()), at, out)
            }
        }
    }

    /// Writes a body to `out` as the next line; like [`Self::append`].
    ///
    /// # Errors
    /// As [`Self::append`].
    pub fn append_body(&mut self, body: &Body<'_>, at: Timestamp, out: &mut Vec<u8>) -> Result<Placed, AppendError> {
        let last = self.head.last_at;
        if last.since(at) > BACKSTEP_TOLERANCE {
            return Err(AppendError::ClockWentBack { at, last });
        }
        let placed = Placed { seq: self.head.next_seq, at: at.max(last) };
        let start = reserve(out);
        out.extend_from_slice(b"{\"seq\":");
        push_number(placed.seq, out);
        out.extend_from_slice(b",\"at\":");
        push_signed(placed.at.millis(), out);
        out.push(b',');
        match body {
            Body::Json(json) => out.extend_from_slice(json),
            Body::Like(pattern, varying) => pattern.write(varying, out),
        }
        let len = out.len() - start + 1;
        if len > MAX_LINE {
            out.truncate(start);
            return Err(AppendError::TooLong { len });
        }
        self.seal(start, out);
        self.head.next_seq += 1;
        self.head.last_at = placed.at;
        self.last_record = Some(self.head);
        Ok(placed)
    }

    /// Hashes the JSON behind `start`, puts the hash in front of it and ends the line.
    fn seal(&mut self, start: usize, out: &mut Vec<u8>) {
        let digest = Sha256::new().chain_update(self.head.hash.0).chain_update(&out[start + PREFIX..]).finalize();
        self.head.hash = Hash(digest.into());
        write_hex(&self.head.hash.0, &mut out[start..start + PREFIX - 1]);
        out.push(b'\n');
    }
}

/// Makes room for the hash and its blank; returns where the line starts.
fn reserve(out: &mut Vec<u8>) -> usize {
    let start = out.len();
    out.extend_from_slice(&[b' '; PREFIX]);
    start
}

#[cfg(test)]
mod tests {
    use super::*;
    use safeconduct_model::SystemEvent;

    fn event(detail: &str) -> Record {
        Record::System(SystemEvent { event: "alarm".into(), detail: detail.into() })
    }

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millis(ms)
    }

    #[test]
    fn the_bytes_of_a_small_ledger_are_the_documented_ones() {
        let (mut chain, mut out) = (Chain::begin([1; 32]), Vec::new());
        chain.open_segment(&mut out);
        chain.append(event("a"), at(5), &mut out).expect("fits");
        let text = String::from_utf8(out).expect("UTF-8");
        let (zeros, key) = ("0".repeat(64), "01".repeat(32));
        let json: Vec<_> = text.lines().map(|l| &l[65..]).collect();
        assert_eq!(
            json,
            [
                format!(
                    r#"{{"safeconduct_ledger":1,"segment":0,"first_seq":0,"after":0,"key":"{key}","prev":"{zeros}"}}"#
                ),
                r#"{"seq":0,"at":5,"kind":"system","event":"alarm","detail":"a"}"#.to_owned(),
            ]
        );
        assert!(text.ends_with('\n') && chain.head().hash.to_string() == text.lines().last().expect("two lines")[..64]);
    }

    #[test]
    fn a_small_step_back_is_stamped_forward_and_a_large_one_is_refused() {
        let (mut chain, mut out) = (Chain::begin([1; 32]), Vec::new());
        chain.open_segment(&mut out);
        assert_eq!(chain.append(event("a"), at(10_000), &mut out).expect("first").at, at(10_000));
        assert_eq!(chain.append(event("b"), at(8_000), &mut out).expect("small step").at, at(10_000));
        let (before, len) = (chain.head(), out.len());
        let error = chain.append(event("c"), at(7_999), &mut out).expect_err("large step").to_string();
        assert!(error.contains("the clock went back") && error.contains("NTP"), "{error}");
        assert_eq!((chain.head(), out.len()), (before, len));
    }

    #[test]
    fn a_record_that_is_too_long_leaves_no_trace() {
        let (mut chain, mut out) = (Chain::begin([1; 32]), Vec::new());
        chain.open_segment(&mut out);
        let (before, len) = (chain.head(), out.len());
        let error = chain.append(event(&"x".repeat(MAX_LINE)), at(0), &mut out);
        assert!(matches!(error, Err(AppendError::TooLong { .. })));
        assert_eq!((chain.head(), out.len()), (before, len));
    }
}
