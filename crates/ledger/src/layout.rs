//! Names and bounds of the files.

/// The version of the segment format, as the header says it.
pub const FORMAT_VERSION: u32 = 1;

/// The longest line of a segment with its line feed, in bytes.
pub const MAX_LINE: usize = 256 * 1024;

/// The name of the file that holds the checkpoints.
pub const CHECKPOINTS_FILE: &str = "checkpoints";

/// How many digits the number of a segment has in its name.
const DIGITS: usize = 8;

/// The file name of a segment.
#[must_use]
pub fn segment_name(number: u32) -> String {
    format!("{number:0DIGITS$}.seg")
}

/// The number of a segment by its file name; `None` if it is no segment.
#[must_use]
pub fn segment_number(name: &str) -> Option<u32> {
    let digits = name.strip_suffix(".seg")?;
    let number: u32 = digits.parse().ok()?;
    (segment_name(number) == name).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_segment_only_in_its_one_spelling() {
        assert_eq!(segment_number("00000042.seg"), Some(42));
        assert_eq!(segment_number(&segment_name(u32::MAX)), Some(u32::MAX));
        for bad in ["42.seg", "+0000042.seg", "00000042.seg.bak", "000000042.seg", "checkpoints", ".seg"] {
            assert_eq!(segment_number(bad), None, "{bad}");
        }
    }
}
