//! The ledger: what happened, in an order that nobody can quietly edit.
//!
//! This crate turns records into bytes ([`Chain`], [`CheckpointKey`]) and checks such bytes again ([`verify()`]). It opens no
//! files and reads no clock: the `store` crate does. The verifier shares no code with the writer, so that one mistake cannot
//! hide in both.
//!
//! What is handed in is a [`Draft`]: a whole record, or a verdict by the [`Pattern`] that it shares with others, which costs no
//! encoding but of what is its own. The bytes are the same.
//!
//! It signs and opens policy bundles too ([`BundleKey`], [`open_bundle`]): a bundle is a signed statement like a checkpoint.
//!
//! ```
//! use safeconduct_ledger::{Chain, CheckpointKey, verify};
//! use safeconduct_model::{Record, SystemEvent, Timestamp};
//!
//! let key = CheckpointKey::from_seed([7; 32]);
//! let (mut chain, mut segment) = (Chain::begin(key.public()), Vec::new());
//! chain.open_segment(&mut segment);
//! let record = Record::System(SystemEvent { event: "start".into(), detail: "first start".into() });
//! chain.append(record, Timestamp::from_millis(1_000), &mut segment)?;
//! let end = chain.last_record().expect("a record was appended");
//! let checkpoints = key.checkpoint(end).line();
//!
//! let report = verify(&key.public(), &checkpoints[..], [Ok((0, &segment[..]))])?;
//! assert_eq!((report.records, report.finding), (1, None));
//!
//! let last = segment.len() - 4;
//! segment[last] ^= 1;
//! let report = verify(&key.public(), &checkpoints[..], [Ok((0, &segment[..]))])?;
//! assert!(report.finding.expect("a flipped bit is found").to_string().starts_with("00000000.seg line 2, record 0"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # The format
//!
//! It is small enough for an auditor to write a verifier of his own. All text is UTF-8, all numbers are decimal without
//! leading zeros, all hexadecimal is lower case, all times are milliseconds since 1970-01-01T00:00:00Z. No blank stands where
//! none is shown.
//!
//! A ledger is a directory with segment files `00000000.seg`, `00000001.seg`, … (the segment number in eight digits, without
//! gaps), and one file `checkpoints`.
//!
//! **Segment file.** Every line is `HASH JSON` and a line feed (0x0A): 64 hexadecimal digits, one blank, one JSON object. `HASH`
//! is SHA-256 over the 32 *bytes* of the hash of the line before, followed by the bytes of `JSON`. The hash before the very
//! first line of segment 0 is 32 zero bytes; the line before the first line of any other segment is the last line of the
//! segment before it. A line has at most [`MAX_LINE`] bytes.
//!
//! The first line of a segment is its header, with exactly these members in this order:
//!
//! ```text
//! {"safeconduct_ledger":1,"segment":S,"first_seq":N,"after":A,"key":"K","prev":"P"}
//! ```
//!
//! `1` is the version of the format, `S` the number of the segment, `N` the `seq` of the next record, `A` the time of the record
//! before it (0 if there is none), `K` the Ed25519 public key of the ledger (64 digits), `P` the hash of the line before (64
//! digits).
//!
//! Every other line is a record and begins `{"seq":N,"at":T,`. `seq` counts from 0 through all segments without gaps. `at` never
//! decreases. The rest of the object is a [`safeconduct_model::Entry`].
//!
//! **Checkpoints.** Every line of `checkpoints` is one JSON object and a line feed, with exactly these members in this order:
//!
//! ```text
//! {"seq":N,"at":T,"segment":S,"hash":"H","sig":"G"}
//! ```
//!
//! It says that the record `seq` stood in segment `segment` at time `at` and that its line had the hash `hash`. `sig` (128
//! digits) is an Ed25519 signature (RFC 8032) by the key of the ledger over this text, every line of it ended by a line feed:
//!
//! ```text
//! safeconduct ledger checkpoint v1
//! key K
//! seq N
//! at T
//! segment S
//! hash H
//! ```
//!
//! The lines are in ascending order of `seq`. A checkpoint is written after the records that it covers are on the disk, so the
//! segments may be ahead of the last checkpoint, never behind it.
//!
//! # What it proves, and what it cannot
//!
//! The chain shows every record that was changed, dropped, repeated or moved. The checkpoints show that the tail was cut off or
//! that everything was written anew by someone without the key. Whoever can delete records *and* the checkpoints that cover
//! them shortens history unseen: keep the newest checkpoint elsewhere (it is one line of text) and append it to the file
//! that is verified. Whoever holds the private key can rewrite all of it.

mod bundle;
mod chain;
mod checkpoint;
mod draft;
mod hash;
mod layout;
mod text;
pub mod verify;

pub use bundle::{
    Bundle, BundleContents, BundleFault, BundleFile, BundleKey, LastBound, MAX_BUNDLE, MAX_BUNDLE_FILES, open_bundle,
    parse_key, text_hash,
};
pub use chain::{AppendError, BACKSTEP_TOLERANCE, Body, Chain, Head, Placed};
pub use checkpoint::{Checkpoint, CheckpointKey};
pub use draft::{Draft, Pattern, Texts, Varying, method_text};
pub use hash::Hash;
pub use layout::{CHECKPOINTS_FILE, FORMAT_VERSION, MAX_LINE, segment_name, segment_number};
pub use verify::{Fault, Finding, Report, verify, verify_from_header};
