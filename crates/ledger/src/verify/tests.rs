//! Ledgers are written, spoilt in every simple way, and verified: the first bad place must be named.

use proptest::prelude::*;
use safeconduct_model::{Record, SystemEvent, Timestamp};

use super::{Fault, Report, verify, verify_from_header};
use crate::{Chain, CheckpointKey};

/// The bytes of a ledger in memory.
#[derive(Clone)]
struct Files {
    segments: Vec<Vec<u8>>,
    checkpoints: Vec<u8>,
}

fn key() -> CheckpointKey {
    CheckpointKey::from_seed([9; 32])
}

/// A ledger with these many records in each segment, and a checkpoint behind each segment.
fn ledger(sizes: &[usize]) -> Files {
    written_as(&key(), sizes, "r")
}

fn written_as(key: &CheckpointKey, sizes: &[usize], word: &str) -> Files {
    let mut chain = Chain::begin(key.public());
    let mut files = Files { segments: vec![], checkpoints: vec![] };
    for size in sizes {
        let mut out = Vec::new();
        chain.open_segment(&mut out);
        for _ in 0..*size {
            let at = Timestamp::from_millis(1_000 + i64::try_from(chain.head().next_seq).expect("small") * 3);
            let detail = format!("{word}{}", chain.head().next_seq);
            let record = Record::System(SystemEvent { event: "alarm".into(), detail });
            chain.append(record, at, &mut out).expect("fits");
        }
        files.segments.push(out);
        if let Some(end) = chain.last_record() {
            files.checkpoints.extend(key.checkpoint(end).line());
        }
    }
    files
}

fn check(files: &Files) -> Report {
    let segments = (0..).zip(&files.segments).map(|(n, s)| Ok((n, &s[..])));
    verify(&key().public(), &files.checkpoints[..], segments).expect("in memory")
}

/// The finding as `file:line fault`.
fn verdict(files: &Files) -> String {
    match check(files).finding {
        Some(f) => format!("{}:{} {}", f.file, f.line, f.fault.name()),
        None => "right".to_owned(),
    }
}

fn lines(bytes: &[u8]) -> Vec<Vec<u8>> {
    bytes.split_inclusive(|b| *b == b'\n').map(<[u8]>::to_vec).collect()
}

/// The ledger with the lines of one segment changed.
fn with_lines(files: &Files, segment: usize, change: impl FnOnce(&mut Vec<Vec<u8>>)) -> Files {
    let mut files = files.clone();
    let mut all = lines(&files.segments[segment]);
    change(&mut all);
    files.segments[segment] = all.concat();
    files
}

/// The finding in words.
fn text_of(files: &Files) -> String {
    check(files).finding.expect("a finding").to_string()
}

#[test]
fn a_ledger_as_written_is_right() {
    let report = check(&ledger(&[3, 2, 4]));
    assert_eq!(report.finding, None);
    assert_eq!((report.records, report.segments, report.checkpoints, report.signed_to), (9, 3, 3, Some(8)));
    assert_eq!(report.head.last_at, Timestamp::from_millis(1_024));
    assert_eq!(report.bytes, ledger(&[3, 2, 4]).segments.iter().map(|s| s.len() as u64).sum::<u64>());
}

#[test]
fn an_empty_ledger_is_right() {
    assert_eq!(verdict(&Files { segments: vec![], checkpoints: vec![] }), "right");
    assert_eq!(verdict(&ledger(&[0])), "right");
}

#[test]
fn a_flipped_bit_is_told_in_plain_words() {
    let files = with_lines(&ledger(&[3, 3]), 1, |l| {
        let at = l[2].len() - 5;
        l[2][at] ^= 1;
    });
    assert_eq!(
        text_of(&files),
        "00000001.seg line 3, record 4: the line was changed after it was written: its bytes do not give its hash; keep the \
         files as they are, compare them with a backup, and find out who could write to the directory"
    );
}

#[test]
fn a_changed_number_is_a_change_and_not_another_record() {
    for digit in *b"0123567899x" {
        let files = with_lines(&ledger(&[8]), 0, |l| {
            let at = l[5].windows(6).position(|w| w == b"\"seq\":").expect("a record") + 6;
            assert_eq!(l[5][at], b'4');
            l[5][at] = digit;
        });
        assert_eq!(verdict(&files), "00000000.seg:6 changed");
    }
}

#[test]
fn dropped_repeated_and_moved_lines_are_told_apart() {
    let files = ledger(&[4, 4]);
    for (expected, spoilt) in [
        ("00000000.seg:3 missing", with_lines(&files, 0, |l| drop(l.remove(2)))),
        ("00000000.seg:2 missing", with_lines(&files, 0, |l| drop(l.drain(1..3)))),
        ("00000000.seg:5 missing", with_lines(&files, 0, |l| drop(l.remove(4)))),
        ("00000001.seg:5 truncated", with_lines(&files, 1, |l| drop(l.remove(4)))),
        ("00000000.seg:1 header_missing", with_lines(&files, 0, |l| drop(l.remove(0)))),
        ("00000001.seg:1 header_missing", with_lines(&files, 1, |l| drop(l.remove(0)))),
        ("00000000.seg:3 reordered", with_lines(&files, 0, |l| l.swap(2, 3))),
        ("00000000.seg:4 reordered", with_lines(&files, 0, |l| l.swap(3, 4))),
        ("00000000.seg:2 reordered", with_lines(&files, 0, |l| l.swap(1, 4))),
        ("00000000.seg:4 repeated", with_lines(&files, 0, |l| l.insert(3, l[2].clone()))),
        ("00000001.seg:6 repeated", with_lines(&files, 1, |l| l.push(l[1].clone()))),
        ("00000000.seg:2 header_misplaced", with_lines(&files, 0, |l| l.insert(1, l[0].clone()))),
    ] {
        assert_eq!(verdict(&spoilt), expected);
    }
    let text = text_of(&with_lines(&files, 0, |l| drop(l.drain(1..3))));
    assert!(text.contains("record 0: records up to 1 are missing"), "{text}");
}

#[test]
fn a_missing_segment_is_named() {
    let files = ledger(&[2, 2, 2]);
    let segments = [Ok((0, &files.segments[0][..])), Ok((2, &files.segments[2][..]))];
    let report = verify(&key().public(), &files.checkpoints[..], segments).expect("in memory");
    let text = report.finding.expect("a gap").to_string();
    assert!(text.starts_with("00000001.seg line 1, record 2: the segment file is missing"), "{text}");
    let mut files = files;
    files.segments.pop();
    assert_eq!(verdict(&files), "00000001.seg:4 truncated");
    files.segments.clear();
    assert_eq!(verdict(&files), "00000000.seg:1 truncated");
}

#[test]
fn a_segment_of_another_ledger_is_foreign() {
    let mut files = ledger(&[2, 2]);
    files.segments[1] = written_as(&key(), &[2, 2], "x").segments[1].clone();
    assert_eq!(verdict(&files), "00000001.seg:1 header_foreign");
    files.segments[1] = written_as(&CheckpointKey::from_seed([1; 32]), &[2, 2], "r").segments[1].clone();
    assert!(text_of(&files).contains("written under another key"));
    files.segments[1] = files.segments[0].clone();
    assert!(text_of(&files).contains("number of another segment"));
}

#[test]
fn a_history_that_was_written_anew_does_not_match_its_checkpoints() {
    let files = ledger(&[3, 3]);
    let mut anew = written_as(&key(), &[3, 3], "x");
    anew.checkpoints = files.checkpoints.clone();
    assert_eq!(verdict(&anew), "00000000.seg:4 rewritten");
    // With checkpoints that the forger signed himself.
    let forged = written_as(&CheckpointKey::from_seed([1; 32]), &[3, 3], "r").checkpoints;
    assert_eq!(verdict(&Files { checkpoints: forged, ..files }), "checkpoints:1 checkpoint_signature");
}

#[test]
fn time_that_goes_back_is_found() {
    let (key, mut out) = (key(), Vec::new());
    let mut chain = Chain::begin(key.public());
    chain.open_segment(&mut out);
    let event = || Record::System(SystemEvent { event: "alarm".into(), detail: String::new() });
    chain.append(event(), Timestamp::from_millis(5_000), &mut out).expect("fits");
    let head = crate::Head { last_at: Timestamp::default(), ..chain.head() };
    let mut broken = Chain::resume(key.public(), head, None);
    broken.append(event(), Timestamp::from_millis(4_999), &mut out).expect("fits");
    let text = text_of(&Files { segments: vec![out], checkpoints: vec![] });
    assert!(text.contains("line 3, record 1: time goes back: the record is of 1970-01-01T00:00:04.999Z"), "{text}");
}

#[test]
fn a_torn_last_line_is_recoverable_unless_it_was_signed() {
    let files = ledger(&[3, 3]);
    let mut torn = files.clone();
    let len = torn.segments[1].len();
    torn.segments[1].truncate(len - 7);
    assert_eq!(verdict(&torn), "00000001.seg:4 truncated");
    torn.checkpoints = lines(&files.checkpoints)[0].clone();
    let report = check(&torn);
    let finding = report.finding.expect("a torn line");
    assert!(finding.fault.is_recoverable() && finding.to_string().contains("the last write is incomplete"));
    assert_eq!((report.records, report.tail, report.signed_to), (5, finding.offset, Some(2)));
    // Cut there, the ledger is right again.
    let mut cut = torn.clone();
    cut.segments[1].truncate(usize::try_from(finding.offset).expect("small"));
    assert_eq!(verdict(&cut), "right");
    // In the middle of a ledger it is no crash.
    let mut middle = files.clone();
    let len = middle.segments[0].len();
    middle.segments[0].truncate(len - 7);
    assert_eq!(verdict(&middle), "00000000.seg:4 broken_off");
}

#[test]
fn a_torn_last_checkpoint_is_recoverable() {
    let mut files = ledger(&[2, 2]);
    files.checkpoints.truncate(files.checkpoints.len() - 3);
    let report = check(&files);
    assert!(report.finding.is_some_and(|f| f.fault.is_recoverable() && f.file == "checkpoints" && f.line == 2));
    assert_eq!((report.records, report.signed_to), (4, Some(1)));
}

#[test]
fn the_end_of_a_ledger_verifies_on_its_own() {
    let files = ledger(&[3, 3, 2]);
    let tail = |checkpoints: &[u8], segment: &[u8]| {
        verify_from_header(&key().public(), checkpoints, [Ok((2, segment))]).expect("in memory")
    };
    let report = tail(&files.checkpoints, &files.segments[2]);
    assert_eq!((report.finding, report.records, report.head), (None, 2, check(&files).head));
    assert_eq!(report.last_record, check(&files).last_record);
    let other = written_as(&key(), &[3, 3, 2], "x");
    let report = tail(&files.checkpoints, &other.segments[2]);
    assert_eq!(report.finding.map(|f| f.fault.name()), Some("header_foreign"));
}

#[test]
fn a_bad_key_and_arbitrary_bytes_are_findings() {
    let report = verify(&[0xff; 32], &b""[..], [Ok((0, &b"x"[..]))]).expect("in memory");
    assert!(report.finding.is_some());
    let nul = Files { segments: vec![vec![0; 4_096]], checkpoints: vec![] };
    assert_eq!(verdict(&nul), "00000000.seg:1 incomplete_last_write");
}

/// The segment and line (from 1) of a byte.
fn line_of(bytes: &[u8], at: usize) -> usize {
    1 + bytes[..at].iter().filter(|b| **b == b'\n').count()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(debug_assertions) { 96 } else { 2_000 }))]

    #[test]
    fn any_changed_byte_is_found_in_its_line(
        sizes in prop::collection::vec(1_usize..5, 1..4), at in any::<prop::sample::Index>(), xor in 1_u8..,
    ) {
        let files = ledger(&sizes);
        let (segment, at) = {
            let mut at = at.index(files.segments.iter().map(Vec::len).sum());
            let mut segment = 0;
            while at >= files.segments[segment].len() {
                at -= files.segments[segment].len();
                segment += 1;
            }
            (segment, at)
        };
        let mut spoilt = files.clone();
        spoilt.segments[segment][at] ^= xor;
        let finding = check(&spoilt).finding.expect("found");
        let place = (finding.file, usize::try_from(finding.line).expect("small"));
        let line = line_of(&files.segments[segment], at);
        prop_assert_eq!(place, (super::walk::file_name(u32::try_from(segment).expect("small")), line));
        let last_line_feed = at + 1 == files.segments[segment].len();
        prop_assert!(last_line_feed || finding.fault == Fault::Changed, "{:?}", finding.fault);
        prop_assert!(!finding.fault.is_recoverable());
    }

    #[test]
    fn any_changed_byte_of_a_checkpoint_is_found(at in any::<prop::sample::Index>(), xor in 1_u8..) {
        let files = ledger(&[2, 3, 1]);
        let mut spoilt = files.clone();
        let at = at.index(spoilt.checkpoints.len());
        spoilt.checkpoints[at] ^= xor;
        let finding = check(&spoilt).finding.expect("found");
        prop_assert_eq!((finding.file.as_str(), finding.line), ("checkpoints", line_of(&files.checkpoints, at) as u64));
    }

    #[test]
    fn any_dropped_line_is_found_where_it_is_missing(
        sizes in prop::collection::vec(1_usize..5, 1..4), segment in any::<prop::sample::Index>(), line in any::<prop::sample::Index>(),
    ) {
        let files = ledger(&sizes);
        let segment = segment.index(sizes.len());
        let line = line.index(sizes[segment] + 1);
        let finding = check(&with_lines(&files, segment, |l| drop(l.remove(line)))).finding.expect("found");
        let place = format!("{:08}.seg:{}", segment, line + 1);
        prop_assert_eq!(format!("{}:{}", finding.file, finding.line), place);
        let name = finding.fault.name();
        let last = segment + 1 == sizes.len() && line == sizes[segment];
        prop_assert_eq!(name, if line == 0 { "header_missing" } else if last { "truncated" } else { "missing" });
    }

    #[test]
    fn any_two_lines_that_changed_places_are_found(
        size in 2_usize..8, a in any::<prop::sample::Index>(), b in any::<prop::sample::Index>(),
    ) {
        let files = ledger(&[size, 2]);
        let (a, b) = (a.index(size + 1), b.index(size + 1));
        let finding = check(&with_lines(&files, 0, |l| l.swap(a, b))).finding;
        if a == b {
            prop_assert_eq!(finding, None);
        } else {
            let finding = finding.expect("found");
            prop_assert_eq!((finding.file.as_str(), finding.line), ("00000000.seg", a.min(b) as u64 + 1));
            prop_assert_eq!(finding.fault.name(), if a.min(b) == 0 { "header_missing" } else { "reordered" });
        }
    }

    #[test]
    fn any_repeated_line_is_found(size in 1_usize..8, a in any::<prop::sample::Index>(), b in any::<prop::sample::Index>()) {
        let files = ledger(&[size, 2]);
        let a = a.index(size + 1);
        let to = a + 1 + b.index(size + 1 - a);
        let finding = check(&with_lines(&files, 0, |l| l.insert(to, l[a].clone()))).finding.expect("found");
        prop_assert_eq!(finding.line, to as u64 + 1);
        prop_assert_eq!(finding.fault.name(), if a == 0 { "header_misplaced" } else { "repeated" });
    }

    #[test]
    fn any_truncation_is_found_and_the_first_lost_line_named(
        sizes in prop::collection::vec(1_usize..5, 1..4), segment in any::<prop::sample::Index>(), at in any::<prop::sample::Index>(),
    ) {
        let files = ledger(&sizes);
        let segment = segment.index(sizes.len());
        let mut spoilt = files.clone();
        let at = at.index(spoilt.segments[segment].len());
        spoilt.segments[segment].truncate(at);
        let finding = check(&spoilt).finding.expect("found");
        let place = format!("{:08}.seg:{}", segment, line_of(&files.segments[segment], at));
        prop_assert_eq!(format!("{}:{}", finding.file, finding.line), place);
        prop_assert!(!finding.fault.is_recoverable());
    }

    #[test]
    fn truncation_without_a_checkpoint_is_at_worst_a_torn_write(at in any::<prop::sample::Index>()) {
        let mut files = ledger(&[5]);
        files.checkpoints.clear();
        let at = at.index(files.segments[0].len());
        files.segments[0].truncate(at);
        let finding = check(&files).finding;
        prop_assert!(finding.is_none_or(|f| f.fault.is_recoverable()));
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400), marks in prop::collection::vec(any::<u8>(), 0..200)) {
        check(&Files { segments: vec![bytes], checkpoints: marks });
    }
}
