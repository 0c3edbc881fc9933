//! The walk from line to line.

use std::io::{self, BufRead};

use ed25519_dalek::VerifyingKey;
use safeconduct_model::Timestamp;
use sha2::{Digest, Sha256};

use super::Report;
use super::fault::{Fault, Finding};
use super::line::{Front, Got, Header, front, header, looks_like_header, read, split};
use super::marks::{BadMark, Mark, MarkPlace, Marks};
use crate::{Hash, Head};

/// The version of the format that this verifier knows.
const KNOWN_VERSION: u64 = 1;

/// The largest time that a record may have: the end of the year 9999.
const LAST_INSTANT: u64 = 253_402_207_200_000;

/// The name of the checkpoint file in findings.
const MARKS_FILE: &str = "checkpoints";

/// The name of a segment file.
pub(super) fn file_name(segment: u32) -> String {
    format!("{segment:08}.seg")
}

/// Where the walk stands in the segments.
#[derive(Clone, Copy, Default)]
struct Place {
    segment: u32,
    line: u64,
    offset: u64,
}

/// A reason to stop.
enum Stop {
    Io(io::Error),
    Found(Finding),
}

impl From<io::Error> for Stop {
    fn from(e: io::Error) -> Self {
        Self::Io(e)
    }
}

/// A verification under way.
pub(super) struct Walk<C> {
    key: [u8; 32],
    marks: Option<Marks<C>>,
    /// The next checkpoint that was not reached yet.
    mark: Option<Mark>,
    /// Whether the first checkpoint was fetched.
    marks_begun: bool,
    /// A torn last checkpoint: told only if nothing worse is found.
    torn_mark: Option<Finding>,
    /// Whether the first header must be that of segment 0.
    whole: bool,
    place: Place,
    prev: [u8; 32],
    next_seq: u64,
    last_at: u64,
    last_record: Option<Head>,
    /// The first record of the walk: 0, or what the believed header says.
    first_seq: u64,
    segments: u32,
    bytes: u64,
    checkpoints: u64,
    signed_to: Option<u64>,
}

impl<C: BufRead> Walk<C> {
    pub(super) fn new(key: &[u8; 32], checkpoints: C, whole: bool) -> Self {
        let marks = VerifyingKey::from_bytes(key).ok().map(|key| Marks::new(key, checkpoints));
        Self {
            key: *key,
            marks,
            mark: None,
            marks_begun: false,
            torn_mark: None,
            whole,
            place: Place::default(),
            prev: [0; 32],
            next_seq: 0,
            last_at: 0,
            last_record: None,
            first_seq: 0,
            segments: 0,
            bytes: 0,
            checkpoints: 0,
            signed_to: None,
        }
    }

    pub(super) fn run<R: BufRead>(
        mut self,
        segments: impl IntoIterator<Item = io::Result<(u32, R)>>,
    ) -> io::Result<Report> {
        let finding = match self.walk(segments) {
            Ok(()) => self.torn_mark.take(),
            Err(Stop::Found(finding)) => Some(finding),
            Err(Stop::Io(e)) => return Err(e),
        };
        Ok(Report {
            records: self.next_seq - self.first_seq,
            segments: self.segments,
            bytes: self.bytes,
            checkpoints: self.checkpoints,
            signed_to: self.signed_to,
            head: self.head(),
            last_record: self.last_record,
            tail: self.place.offset,
            finding,
        })
    }

    fn walk<R: BufRead>(&mut self, segments: impl IntoIterator<Item = io::Result<(u32, R)>>) -> Result<(), Stop> {
        if self.marks.is_none() {
            return Err(self.found(Fault::BadKey));
        }
        if self.whole {
            self.begin_marks(0)?;
        }
        let mut segments = segments.into_iter().peekable();
        let mut number = 0;
        while let Some(next) = segments.next() {
            let (found, reader) = next?;
            if self.segments == 0 && !self.whole {
                number = found;
            }
            if found != number {
                let place = Place { segment: number, line: 1, offset: 0 };
                return Err(self.found_at(place, Fault::SegmentMissing { found: Some(found) }));
            }
            self.segment(number, reader, segments.peek().is_none())?;
            number = number.saturating_add(1);
        }
        self.finish(None)
    }

    /// Walks one segment.
    fn segment<R: BufRead>(&mut self, number: u32, mut reader: R, last: bool) -> Result<(), Stop> {
        let before = self.place;
        self.place = Place { segment: number, line: 1, offset: 0 };
        self.segments += 1;
        let mut line = Vec::new();
        loop {
            match read(&mut reader, &mut line)? {
                Got::End if self.place.line == 1 && !last => return Err(self.found(Fault::HeaderMissing)),
                // A file without a byte is what a crash leaves between making a segment and writing its header.
                Got::End if self.place.line == 1 => return self.finish(Some(Fault::IncompleteLastWrite { bytes: 0 })),
                Got::End => return Ok(()),
                Got::Torn if last => {
                    let bytes = line.len() as u64;
                    return self.finish(Some(Fault::IncompleteLastWrite { bytes }));
                }
                Got::Torn => return Err(self.found(Fault::BrokenOff)),
                Got::TooLong => return Err(self.found(Fault::Changed)),
                Got::Line if self.place.line == 1 => self.header(&line, before)?,
                Got::Line => self.record(&line, &mut reader)?,
            }
            let bytes = line.len() as u64 + 1;
            self.place.line += 1;
            self.place.offset += bytes;
            self.bytes += bytes;
        }
    }

    /// Checks the first line of a segment. `before` is the end of the segment before it.
    fn header(&mut self, line: &[u8], before: Place) -> Result<(), Stop> {
        let Some((stored, json)) = split(line) else { return Err(self.found(Fault::Changed)) };
        if !looks_like_header(json) {
            // A record that stands in the first line is whole; anything else is a header whose front was changed.
            let fault = if front(json).is_some() { Fault::HeaderMissing } else { Fault::Changed };
            return Err(self.found(fault));
        }
        let Some(h) = header(json) else { return Err(self.found(Fault::Changed)) };
        if digest(&h.prev, json) != stored {
            return Err(self.found(Fault::Changed));
        }
        let foreign = |what| Fault::HeaderForeign { what };
        if h.version != KNOWN_VERSION {
            return Err(self.found(foreign("it has another version of the format")));
        }
        if h.key != self.key {
            return Err(self.found(foreign("it was written under another key")));
        }
        if h.segment != u64::from(self.place.segment) {
            return Err(self.found(foreign("its header has the number of another segment")));
        }
        if self.segments == 1 && !self.whole {
            self.believe(&h)?;
        } else if h.prev != self.prev {
            if h.first_seq > self.next_seq {
                return Err(self.found_at(before, Fault::Missing { to: h.first_seq - 1 }));
            }
            return Err(self.found(foreign("it continues another history")));
        }
        if h.first_seq != self.next_seq || h.after != self.last_at {
            return Err(self.found(foreign("its header contradicts the segment before it")));
        }
        self.prev = stored;
        Ok(())
    }

    /// Begins in the middle: takes over what the header says, and passes over the checkpoints that lie before it.
    fn believe(&mut self, h: &Header) -> Result<(), Stop> {
        self.prev = h.prev;
        self.next_seq = h.first_seq;
        self.first_seq = h.first_seq;
        self.last_at = h.after;
        self.begin_marks(h.first_seq.saturating_sub(1))?;
        while let Some(mark) = self.mark {
            if mark.seq >= h.first_seq {
                break;
            }
            if mark.seq + 1 == h.first_seq && (mark.hash != h.prev || mark.at != h.after) {
                let fault = Fault::HeaderForeign { what: "the last checkpoint before it signs another history" };
                return Err(self.found(fault));
            }
            self.checkpoints += 1;
            self.signed_to = Some(mark.seq);
            self.step_mark()?;
        }
        Ok(())
    }

    /// Checks a line that must be the next record.
    fn record<R: BufRead>(&mut self, line: &[u8], reader: &mut R) -> Result<(), Stop> {
        let Some((stored, json)) = split(line) else { return Err(self.found(Fault::Changed)) };
        let front = front(json);
        if digest(&self.prev, json) != stored {
            let fault = self.diagnose(stored, json, front, reader)?;
            return Err(self.found(fault));
        }
        let malformed = |what| Fault::Malformed { what };
        let Some(Front { seq, at, .. }) = front else {
            return Err(self.found(malformed("the line does not begin as a record")));
        };
        if json.last() != Some(&b'}') || std::str::from_utf8(json).is_err() {
            return Err(self.found(malformed("the line is not a JSON object in UTF-8")));
        }
        if seq != self.next_seq {
            return Err(self.found(malformed("its number is not the next one")));
        }
        if at > LAST_INSTANT {
            return Err(self.found(malformed("its time lies behind the year 9999")));
        }
        if at < self.last_at {
            return Err(self.found(Fault::TimeWentBack { before: instant(self.last_at), at: instant(at) }));
        }
        self.compare_marks(seq, at, &stored)?;
        self.prev = stored;
        self.next_seq += 1;
        self.last_at = at;
        self.last_record = Some(self.head());
        Ok(())
    }

    /// Why a line that should be the next record does not give its hash.
    fn diagnose<R: BufRead>(
        &self,
        stored: [u8; 32],
        json: &[u8],
        front: Option<Front<'_>>,
        reader: &mut R,
    ) -> io::Result<Fault> {
        if let Some(h) = header(json)
            && digest(&h.prev, json) == stored
        {
            return Ok(Fault::HeaderMisplaced);
        }
        let Some(Front { seq, behind_seq, .. }) = front else { return Ok(Fault::Changed) };
        if seq == self.next_seq {
            return Ok(Fault::Changed);
        }
        // Were only the digits of the number changed? Then the line is right with the number that belongs here.
        let mended = [b"{\"seq\":", self.next_seq.to_string().as_bytes(), behind_seq].concat();
        if digest(&self.prev, &mended) == stored {
            return Ok(Fault::Changed);
        }
        if seq < self.next_seq {
            return Ok(Fault::Repeated { found: seq });
        }
        // Where lines were dropped, the line behind goes on counting; where lines changed places, it does not.
        let mut line = Vec::new();
        let following = match read(reader, &mut line)? {
            Got::Line => split(&line).and_then(|(_, json)| self::front(json)).map(|f| f.seq),
            Got::End | Got::Torn | Got::TooLong => None,
        };
        match following {
            Some(following) if following != seq.saturating_add(1) => Ok(Fault::Reordered { found: seq }),
            _ => Ok(Fault::Missing { to: seq - 1 }),
        }
    }

    /// Compares the checkpoints of the record `seq` with it.
    fn compare_marks(&mut self, seq: u64, at: u64, hash: &[u8; 32]) -> Result<(), Stop> {
        while let Some(mark) = self.mark {
            if mark.seq > seq {
                break;
            }
            let right =
                mark.seq == seq && mark.hash == *hash && mark.at == at && mark.segment == u64::from(self.place.segment);
            if !right {
                return Err(self.found(Fault::Rewritten { confirmed: self.signed_to }));
            }
            self.checkpoints += 1;
            self.signed_to = Some(seq);
            self.step_mark()?;
        }
        Ok(())
    }

    /// Fetches the first checkpoint; those of records before `unchecked_below` are passed over without a look at their signatures.
    fn begin_marks(&mut self, unchecked_below: u64) -> Result<(), Stop> {
        self.marks_begun = true;
        if let Some(marks) = &mut self.marks {
            marks.unchecked_below = unchecked_below;
        }
        self.step_mark()
    }

    /// Fetches the next checkpoint.
    fn step_mark(&mut self) -> Result<(), Stop> {
        self.mark = None;
        let Some(marks) = &mut self.marks else { return Ok(()) };
        match marks.next()? {
            Ok(mark) => self.mark = mark,
            Err(BadMark { place: MarkPlace { line, offset }, seq, fault }) => {
                let torn = fault.is_recoverable();
                let seq = seq.unwrap_or(self.next_seq);
                let finding = Finding { file: MARKS_FILE.to_owned(), line, offset, seq, fault };
                if !torn {
                    return Err(Stop::Found(finding));
                }
                self.torn_mark = Some(finding);
            }
        }
        Ok(())
    }

    /// Ends the walk: everything that was signed must have been there. `torn` is what the last line lacks.
    fn finish(&mut self, torn: Option<Fault>) -> Result<(), Stop> {
        if !self.marks_begun {
            self.begin_marks(0)?;
        }
        let mut last = None;
        while let Some(mark) = self.mark {
            last = Some(mark);
            self.step_mark()?;
        }
        match (last, torn) {
            (Some(mark), _) if mark.seq >= self.next_seq => Err(self.found(Fault::Truncated { to: mark.seq })),
            (_, Some(torn)) => Err(self.found(torn)),
            _ => Ok(()),
        }
    }

    fn head(&self) -> Head {
        Head {
            segment: self.place.segment,
            next_seq: self.next_seq,
            hash: Hash(self.prev),
            last_at: instant(self.last_at),
        }
    }

    fn found(&self, fault: Fault) -> Stop {
        self.found_at(self.place, fault)
    }

    fn found_at(&self, place: Place, fault: Fault) -> Stop {
        let Place { segment, line, offset } = place;
        Stop::Found(Finding { file: file_name(segment), line: line.max(1), offset, seq: self.next_seq, fault })
    }
}

fn digest(prev: &[u8; 32], json: &[u8]) -> [u8; 32] {
    Sha256::new().chain_update(prev).chain_update(json).finalize().into()
}

fn instant(ms: u64) -> Timestamp {
    Timestamp::from_millis(i64::try_from(ms).unwrap_or(i64::MAX))
}
