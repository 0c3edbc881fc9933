//! The checkpoints, one after the other, each with its signature checked before anything of it is believed.

use std::io::{self, BufRead};

use ed25519_dalek::{Signature, VerifyingKey};

use super::fault::Fault;
use super::line::{Got, Scan, read};

/// A checkpoint whose signature is right.
#[derive(Clone, Copy)]
pub(super) struct Mark {
    pub(super) seq: u64,
    pub(super) at: u64,
    pub(super) segment: u64,
    pub(super) hash: [u8; 32],
}

/// Where a checkpoint stands in its file.
#[derive(Clone, Copy, Default)]
pub(super) struct MarkPlace {
    pub(super) line: u64,
    pub(super) offset: u64,
}

/// Why there is no further checkpoint.
pub(super) struct BadMark {
    pub(super) place: MarkPlace,
    /// The record it speaks of, as far as it can be read.
    pub(super) seq: Option<u64>,
    pub(super) fault: Fault,
}

/// The file of checkpoints while it is read.
pub(super) struct Marks<C> {
    key: VerifyingKey,
    key_digits: String,
    reader: C,
    buffer: Vec<u8>,
    place: MarkPlace,
    last_seq: u64,
    /// Checkpoints of records before this one are passed over without a look at their signatures.
    pub(super) unchecked_below: u64,
}

impl<C: BufRead> Marks<C> {
    pub(super) fn new(key: VerifyingKey, reader: C) -> Self {
        let key_digits = key.as_bytes().iter().map(|b| format!("{b:02x}")).collect();
        let place = MarkPlace { line: 1, offset: 0 };
        Self { key, key_digits, reader, buffer: Vec::new(), place, last_seq: 0, unchecked_below: 0 }
    }

    /// The next checkpoint; `Ok(None)` at the end of the file.
    pub(super) fn next(&mut self) -> io::Result<Result<Option<Mark>, BadMark>> {
        let got = read(&mut self.reader, &mut self.buffer)?;
        let place = self.place;
        let bytes = u64::try_from(self.buffer.len()).unwrap_or(u64::MAX);
        self.place = MarkPlace { line: place.line + 1, offset: place.offset + bytes + 1 };
        let bad = |seq, fault| Ok(Err(BadMark { place, seq, fault }));
        match got {
            Got::End => return Ok(Ok(None)),
            Got::Torn => return bad(None, Fault::IncompleteLastCheckpoint { bytes }),
            Got::TooLong => return bad(None, Fault::CheckpointMalformed),
            Got::Line => {}
        }
        let Some((mark, sig)) = parse(&self.buffer) else { return bad(None, Fault::CheckpointMalformed) };
        let checked = mark.seq >= self.unchecked_below;
        if checked && self.key.verify_strict(self.signed_text(&mark).as_bytes(), &sig).is_err() {
            return bad(Some(mark.seq), Fault::CheckpointSignature);
        }
        if mark.seq < self.last_seq {
            return bad(Some(mark.seq), Fault::CheckpointOrder);
        }
        self.last_seq = mark.seq;
        Ok(Ok(Some(mark)))
    }

    /// The text under the signature, as the format describes it.
    fn signed_text(&self, mark: &Mark) -> String {
        let hash: String = mark.hash.iter().map(|b| format!("{b:02x}")).collect();
        let lines = [
            "safeconduct ledger checkpoint v1".to_owned(),
            format!("key {}", self.key_digits),
            format!("seq {}", mark.seq),
            format!("at {}", mark.at),
            format!("segment {}", mark.segment),
            format!("hash {hash}"),
        ];
        lines.map(|l| l + "\n").concat()
    }
}

fn parse(line: &[u8]) -> Option<(Mark, Signature)> {
    let mut scan = Scan(line);
    scan.text("{\"seq\":")?;
    let seq = scan.number()?;
    scan.text(",\"at\":")?;
    let at = scan.number()?;
    scan.text(",\"segment\":")?;
    let segment = scan.number()?;
    scan.text(",\"hash\":\"")?;
    let hash = scan.hex()?;
    scan.text("\",\"sig\":\"")?;
    let sig: [u8; 64] = scan.hex()?;
    scan.text("\"}")?;
    scan.end()?;
    Some((Mark { seq, at, segment, hash }, Signature::from_bytes(&sig)))
}
