//! What the terminal sees.

use std::io::Write;

/// Prints one line at once, so that progress shows through a pipe too.
pub(crate) fn say(line: impl AsRef<str>) {
    let mut out = std::io::stdout();
    // A closed pipe is the reader's choice, not an error.
    let _ = writeln!(out, "{}", line.as_ref());
    let _ = out.flush();
}

/// Columns as wide as they must be, two spaces apart.
pub(crate) fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |i: usize| rows.iter().filter_map(|r| r.get(i)).map(|c| c.chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, w)| format!("{cell:<w$}", w = *w)).collect();
        cells.join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// 62472 as 62 472.
pub(crate) fn spaced(n: u64) -> String {
    let digits = n.to_string();
    let first = digits.len() % 3;
    let mut parts: Vec<&str> = if first > 0 { vec![&digits[..first]] } else { Vec::new() };
    parts.extend((first..digits.len()).step_by(3).map(|at| &digits[at..at + 3]));
    parts.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_below_each_other() {
        let rows = [["case", "ours"], ["a longer one", "5"]].map(|r| r.map(str::to_owned).to_vec());
        assert_eq!(table(&rows), "case          ours\na longer one  5");
    }

    #[test]
    fn numbers_are_read_by_thousands() {
        assert_eq!([0, 74, 999, 62_472, 10_000_000].map(spaced), ["0", "74", "999", "62 472", "10 000 000"]);
    }
}
