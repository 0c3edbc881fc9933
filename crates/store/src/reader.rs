//! Reading a ledger from any record on, one line at a time.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use safeconduct_ledger::{MAX_LINE, segment_name};
use safeconduct_model::Entry;
use serde::Deserialize;
use thiserror::Error;

use crate::segments;

/// Bytes that are read at once.
const READ_BYTES: usize = 64 << 10;

/// Bytes of the hash and the blank in front of the JSON.
const PREFIX: usize = 65;

/// The entries of a ledger, in order, with little memory.
///
/// It reads what is there, a ledger that is being written too, and ends in front of an incomplete last line; calling `next`
/// again later goes on from there. It does not verify: `safeconduct_ledger::verify` does.
#[derive(Debug)]
pub struct Entries {
    dir: PathBuf,
    open: Option<Open>,
    /// Entries before this one are passed over.
    from: u64,
    line: Vec<u8>,
    position: Position,
}

/// A place in the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Position {
    /// The segment.
    pub segment: u32,
    /// The byte at which a line begins.
    pub offset: u64,
}

/// An entry with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Located {
    /// What the line says.
    pub entry: Entry,
    /// Where the line begins.
    pub position: Position,
    /// How many bytes it has, with its line feed.
    pub len: u64,
    /// The hash of the line, in hexadecimal.
    pub hash: String,
}

/// Why a ledger cannot be read.
#[derive(Debug, Error)]
pub enum ReadError {
    /// A file could not be read.
    #[error("cannot read the ledger: {path}: {source}", path = path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A line holds no entry.
    #[error("{file} has no record at byte {offset}: {why}; run `safeconduct ledger verify`", file = path.display())]
    Malformed {
        /// Which file.
        path: PathBuf,
        /// Where.
        offset: u64,
        /// What is wrong.
        why: String,
    },
}

#[derive(Debug)]
struct Open {
    path: PathBuf,
    reader: BufReader<File>,
}

/// The header, as far as a reader needs it.
#[derive(Deserialize)]
struct Header {
    first_seq: u64,
}

/// The front of an entry, to pass over it without reading it all.
fn seq_of(json: &[u8]) -> Option<u64> {
    let rest = json.strip_prefix(b"{\"seq\":")?;
    let digits = rest.split(|b| *b == b',').next()?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

impl Entries {
    /// The entries of the ledger in `dir` from `seq` on.
    ///
    /// # Errors
    /// If the directory or a header cannot be read. A directory without a ledger is one without entries.
    pub fn from_seq(dir: &Path, seq: u64) -> Result<Self, ReadError> {
        let numbers = segments::list(dir).map_err(|source| ReadError::Io { path: dir.to_owned(), source })?;
        // The last segment whose first record is not behind `seq`.
        let (mut low, mut high) = (0, numbers.len());
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            match first_seq(dir, numbers[middle])? {
                Some(first) if first <= seq => low = middle,
                _ => high = middle,
            }
        }
        let segment = numbers.get(low).copied().unwrap_or(0);
        Ok(Self { from: seq, ..Self::from_position(dir, Position { segment, offset: 0 }) })
    }

    /// The entries from a place on, at which a line must begin.
    #[must_use]
    pub fn from_position(dir: &Path, position: Position) -> Self {
        Self { dir: dir.to_owned(), open: None, from: 0, line: Vec::new(), position }
    }

    /// The entries from `seq` on, which stands at `position` or behind it.
    #[must_use]
    pub(crate) fn from_place(dir: &Path, position: Position, seq: u64) -> Self {
        Self { from: seq, ..Self::from_position(dir, position) }
    }

    /// Where the next line begins.
    #[must_use]
    pub fn position(&self) -> Position {
        self.position
    }

    fn step(&mut self) -> Result<Option<Located>, ReadError> {
        loop {
            if !self.read_line()? && !self.next_segment()? {
                return Ok(None);
            }
            if self.line.is_empty() {
                continue;
            }
            let position = self.position;
            let len = self.line.len() as u64;
            self.position.offset += len;
            let text = &self.line[..self.line.len() - 1];
            let malformed = |why: String| {
                let path = self.dir.join(segment_name(position.segment));
                ReadError::Malformed { path, offset: position.offset, why }
            };
            let (hash, json) =
                text.split_at_checked(PREFIX).ok_or_else(|| malformed("the line is too short".to_owned()))?;
            if position.offset == 0 || seq_of(json).is_some_and(|seq| seq < self.from) {
                continue;
            }
            let entry = serde_json::from_slice(json).map_err(|e| malformed(e.to_string()))?;
            let hash = String::from_utf8_lossy(&hash[..PREFIX - 1]).into_owned();
            return Ok(Some(Located { entry, position, len, hash }));
        }
    }

    /// Reads the line at the position; `false` and an empty line if there is no whole line yet.
    fn read_line(&mut self) -> Result<bool, ReadError> {
        self.line.clear();
        let path = self.dir.join(segment_name(self.position.segment));
        let io = |path: PathBuf| move |source| ReadError::Io { path, source };
        if self.open.is_none() {
            let mut file = match File::open(&path) {
                Ok(file) => file,
                Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(false),
                Err(e) => return Err(io(path)(e)),
            };
            file.seek(SeekFrom::Start(self.position.offset)).map_err(io(path.clone()))?;
            self.open = Some(Open { path, reader: BufReader::with_capacity(READ_BYTES, file) });
        }
        let Some(open) = &mut self.open else { return Ok(false) };
        let bound = MAX_LINE as u64;
        open.reader.by_ref().take(bound).read_until(b'\n', &mut self.line).map_err(io(open.path.clone()))?;
        if self.line.last() == Some(&b'\n') {
            return Ok(true);
        }
        if self.line.len() as u64 == bound {
            let why = "the line is too long".to_owned();
            return Err(ReadError::Malformed { path: open.path.clone(), offset: self.position.offset, why });
        }
        // Whatever is there of the line is read again when there is more.
        self.line.clear();
        self.open = None;
        Ok(false)
    }

    /// Goes to the next segment if there is one and nothing came into this one meanwhile; `false` if this is the end.
    fn next_segment(&mut self) -> Result<bool, ReadError> {
        let next = self.position.segment.saturating_add(1);
        if !self.dir.join(segment_name(next)).exists() {
            return Ok(false);
        }
        // The writer begins a segment only after the one before it is whole, so this look is the last one.
        if self.read_line()? {
            return Ok(true);
        }
        self.position = Position { segment: next, offset: 0 };
        Ok(true)
    }
}

impl Iterator for Entries {
    type Item = Result<Located, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.step().transpose()
    }
}

/// The first record of a segment, as its header says; `None` if it has no whole header yet.
fn first_seq(dir: &Path, number: u32) -> Result<Option<u64>, ReadError> {
    let path = dir.join(segment_name(number));
    let file = File::open(&path).map_err(|source| ReadError::Io { path: path.clone(), source })?;
    let mut line = Vec::new();
    let read = BufReader::new(file).take(MAX_LINE as u64).read_until(b'\n', &mut line);
    read.map_err(|source| ReadError::Io { path: path.clone(), source })?;
    if line.last() != Some(&b'\n') {
        return Ok(None);
    }
    let malformed = |why: String| ReadError::Malformed { path: path.clone(), offset: 0, why };
    let json = line.get(PREFIX..).ok_or_else(|| malformed("the line is too short".to_owned()))?;
    let header: Header = serde_json::from_slice(json).map_err(|e| malformed(e.to_string()))?;
    Ok(Some(header.first_seq))
}
