//! What can be wrong with a ledger, in words.

use std::fmt;

use safeconduct_model::Timestamp;

/// The first bad place of a ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The name of the file.
    pub file: String,
    /// The line in it, from 1.
    pub line: u64,
    /// The byte at which the line begins.
    pub offset: u64,
    /// The record that was expected there.
    pub seq: u64,
    /// What is wrong.
    pub fault: Fault,
}

/// What is wrong at a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The bytes of the line do not give its hash.
    Changed,
    /// Records were taken out; the last one that is missing here is `to`.
    Missing {
        /// The last missing record.
        to: u64,
    },
    /// Another record stands in this place.
    Reordered {
        /// The record that stands here.
        found: u64,
    },
    /// A record stands here once more.
    Repeated {
        /// The record that stands here.
        found: u64,
    },
    /// The hash is right, but the line is not one of this format.
    Malformed {
        /// What is wrong with it.
        what: &'static str,
    },
    /// The segment does not begin with a header.
    HeaderMissing,
    /// A header stands within a segment.
    HeaderMisplaced,
    /// The header belongs to another ledger, or to another history of this one.
    HeaderForeign {
        /// What differs.
        what: &'static str,
    },
    /// A whole segment is not there.
    SegmentMissing {
        /// The number of the segment that comes instead; `None` if there is none.
        found: Option<u32>,
    },
    /// The time is before that of the record in front.
    TimeWentBack {
        /// The time of the record in front.
        before: Timestamp,
        /// The time of this record.
        at: Timestamp,
    },
    /// A segment ends within a line although more was written after it.
    BrokenOff,
    /// A checkpoint covers records that are not there.
    Truncated {
        /// The last record that a checkpoint covers.
        to: u64,
    },
    /// The last line has no end, and nothing says that it was ever complete: the writer was killed while it wrote.
    IncompleteLastWrite {
        /// How many bytes of it are there.
        bytes: u64,
    },
    /// The chain is whole but is not the one that was signed.
    Rewritten {
        /// The last record that a checkpoint confirms.
        confirmed: Option<u64>,
    },
    /// The line of a checkpoint is not one of this format.
    CheckpointMalformed,
    /// The signature of a checkpoint does not verify.
    CheckpointSignature,
    /// A checkpoint stands behind a later one.
    CheckpointOrder,
    /// The last checkpoint has no end: the writer was killed while it wrote.
    IncompleteLastCheckpoint {
        /// How many bytes of it are there.
        bytes: u64,
    },
    /// The public key is no Ed25519 key.
    BadKey,
}

impl Fault {
    /// Whether this is what a crash leaves behind, so that nothing was lost that had been confirmed: the next start of the
    /// server repairs it.
    #[must_use]
    pub fn is_recoverable(&self) -> bool {
        matches!(self, Self::IncompleteLastWrite { .. } | Self::IncompleteLastCheckpoint { .. })
    }

    /// A stable name for programs.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Changed => "changed",
            Self::Missing { .. } => "missing",
            Self::Reordered { .. } => "reordered",
            Self::Repeated { .. } => "repeated",
            Self::Malformed { .. } => "malformed",
            Self::HeaderMissing => "header_missing",
            Self::HeaderMisplaced => "header_misplaced",
            Self::HeaderForeign { .. } => "header_foreign",
            Self::SegmentMissing { .. } => "segment_missing",
            Self::TimeWentBack { .. } => "time_went_back",
            Self::BrokenOff => "broken_off",
            Self::Truncated { .. } => "truncated",
            Self::IncompleteLastWrite { .. } => "incomplete_last_write",
            Self::Rewritten { .. } => "rewritten",
            Self::CheckpointMalformed => "checkpoint_malformed",
            Self::CheckpointSignature => "checkpoint_signature",
            Self::CheckpointOrder => "checkpoint_order",
            Self::IncompleteLastCheckpoint { .. } => "incomplete_last_checkpoint",
            Self::BadKey => "bad_key",
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::IncompleteLastWrite { .. } | Self::IncompleteLastCheckpoint { .. } => {
                "nothing that was confirmed is lost; the next start of the server removes the incomplete line"
            }
            Self::HeaderForeign { .. } | Self::BadKey => {
                "verify with the public key of this ledger, and put back the segment files that belong to it"
            }
            Self::SegmentMissing { .. } => "put the missing segment file back from a backup",
            Self::CheckpointMalformed | Self::CheckpointSignature | Self::CheckpointOrder => {
                "compare the file `checkpoints` with a copy kept elsewhere; until then nothing behind this line is confirmed"
            }
            _ => {
                "keep the files as they are, compare them with a backup, and find out who could write to the directory"
            }
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Changed => f.write_str("the line was changed after it was written: its bytes do not give its hash"),
            Self::Missing { to } => write!(f, "records up to {to} are missing: they were dropped, or moved elsewhere"),
            Self::Reordered { found } => write!(f, "the order was changed: record {found} stands in this place"),
            Self::Repeated { found } => write!(f, "record {found} stands here once more"),
            Self::Malformed { what } => write!(f, "the hash is right, but {what}: this was not written by Safeconduct"),
            Self::HeaderMissing => {
                f.write_str("the segment does not begin with its header: the first line was dropped or changed")
            }
            Self::HeaderMisplaced => f.write_str("a header stands within the segment: it was inserted or repeated"),
            Self::HeaderForeign { what } => write!(f, "the segment belongs elsewhere: {what}"),
            Self::SegmentMissing { found: Some(found) } => {
                write!(
                    f,
                    "the segment file is missing: the next one that is there is {}",
                    super::walk::file_name(*found)
                )
            }
            Self::SegmentMissing { found: None } => f.write_str("the segment file is missing"),
            Self::TimeWentBack { before, at } => {
                write!(f, "time goes back: the record is of {at}, the one in front of it of {before}")
            }
            Self::BrokenOff => f.write_str("the segment breaks off within this line although later segments are there"),
            Self::Truncated { to } => {
                write!(f, "the end was cut off: a checkpoint proves that records up to {to} were there")
            }
            Self::IncompleteLastWrite { bytes } => {
                write!(f, "the last write is incomplete: {bytes} bytes without a line end, as a crash leaves them")
            }
            Self::Rewritten { confirmed: Some(seq) } => {
                write!(
                    f,
                    "history was written anew: this is not the record that was signed; record {seq} is the last confirmed one"
                )
            }
            Self::Rewritten { confirmed: None } => f.write_str(
                "history was written anew: this is not the record that was signed, and no earlier one is confirmed",
            ),
            Self::CheckpointMalformed => f.write_str("the checkpoint is not readable: the line was changed"),
            Self::CheckpointSignature => {
                f.write_str("the signature of the checkpoint does not verify with this public key")
            }
            Self::CheckpointOrder => f.write_str("the checkpoint stands behind a later one"),
            Self::IncompleteLastCheckpoint { bytes } => {
                write!(f, "the last checkpoint is incomplete: {bytes} bytes without a line end, as a crash leaves them")
            }
            Self::BadKey => f.write_str("the public key is not an Ed25519 key"),
        }
    }
}

impl fmt::Display for Finding {
    /// `00000002.seg line 17, record 4711: what is wrong; what to do`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, seq, fault, .. } = self;
        write!(f, "{file} line {line}, record {seq}: {fault}; {}", fault.remedy())
    }
}
