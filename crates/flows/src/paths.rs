//! Many paths in few lines.

use std::collections::BTreeMap;

use serde::Serialize;

/// The longest text that is counted as it is, in bytes; a longer one is cut and ends in `…`.
pub const MAX_TEXT: usize = 200;

/// A line of a summary: a path, or a prefix that ends in `*` and stands for several.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PathLine {
    /// The path or prefix.
    pub path: String,
    /// How often it was used.
    pub uses: u64,
}

pub(crate) fn clipped(text: &str) -> String {
    if text.len() <= MAX_TEXT {
        return text.to_owned();
    }
    let end = (0..=MAX_TEXT).rev().find(|i| text.is_char_boundary(*i)).unwrap_or(0);
    format!("{}…", &text[..end])
}

/// The paths in at most `lines` lines, by cutting all of them at the deepest depth that fits. The most used first.
pub fn summarise<'p>(paths: impl Iterator<Item = (&'p String, u64)>, lines: usize) -> Vec<PathLine> {
    let paths: Vec<(&str, u64)> = paths.map(|(path, uses)| (path.as_str(), uses)).collect();
    let deepest = paths.iter().map(|(path, _)| path.matches('/').count()).max().unwrap_or(0);
    let at = |depth: usize| {
        let mut found: BTreeMap<String, u64> = BTreeMap::new();
        for (path, uses) in &paths {
            *found.entry(cut(path, depth)).or_default() += uses;
        }
        found
    };
    let found = (1..=deepest).rev().map(at).find(|found| found.len() <= lines).unwrap_or_else(|| at(0));
    let mut found: Vec<PathLine> = found.into_iter().map(|(path, uses)| PathLine { path, uses }).collect();
    found.sort_by(|a, b| b.uses.cmp(&a.uses).then_with(|| a.path.cmp(&b.path)));
    found
}

/// The first `depth` segments of a path, and `/*` if there are more.
fn cut(path: &str, depth: usize) -> String {
    match path.match_indices('/').nth(depth) {
        Some((at, _)) => format!("{}/*", &path[..at]),
        None => path.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(paths: &[&str], max: usize) -> Vec<String> {
        let owned: Vec<String> = paths.iter().map(|p| (*p).to_owned()).collect();
        summarise(owned.iter().map(|p| (p, 1)), max).into_iter().map(|l| format!("{} {}", l.uses, l.path)).collect()
    }

    #[test]
    fn paths_are_cut_at_the_deepest_depth_that_fits() {
        let paths = ["/", "/p/1/a", "/p/1/b", "/p/2/a", "/q"];
        assert_eq!(lines(&paths, 9), ["1 /", "1 /p/1/a", "1 /p/1/b", "1 /p/2/a", "1 /q"]);
        assert_eq!(lines(&paths, 4), ["2 /p/1/*", "1 /", "1 /p/2/*", "1 /q"]);
        assert_eq!(lines(&paths, 3), ["3 /p/*", "1 /", "1 /q"]);
        assert_eq!(lines(&paths, 1), ["5 /*"]);
        assert!(lines(&[], 3).is_empty());
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        let cut = clipped(&"é".repeat(300));
        assert!(cut.ends_with('…') && cut.len() <= MAX_TEXT + '…'.len_utf8());
        assert_eq!(clipped("/a"), "/a");
    }
}
