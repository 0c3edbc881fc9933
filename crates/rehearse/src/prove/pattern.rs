//! Patterns in which `*` stands for any run: whether a text matches, and a shortest text that matches some and not others.

use std::collections::{BTreeSet, HashSet, VecDeque};

/// How many states the search for a text may visit.
const MAX_STATES: usize = 20_000;

/// Whether `text` matches `pattern`.
pub(crate) fn matches(pattern: &str, text: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let mut at = closure(&pattern, vec![0]);
    for c in text.chars() {
        at = step(&pattern, &at, c);
    }
    at.contains(&pattern.len())
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooComplex;

/// A shortest text that matches all of `like` and none of `unlike`; `None` if there is none. Exact: it walks all patterns at
/// once, over the characters that they name and one that none of them names.
pub(crate) fn find(like: &[&str], unlike: &[&str]) -> Result<Option<String>, TooComplex> {
    let patterns: Vec<Vec<char>> = like.iter().chain(unlike).map(|p| p.chars().collect()).collect();
    let mut alphabet: BTreeSet<char> = patterns.iter().flatten().copied().filter(|c| *c != '*').collect();
    // Any character that no pattern names behaves like any other such character.
    let fresh = ('a'..='z').chain('0'..='9').chain('\u{e000}'..).find(|c| !alphabet.contains(c));
    alphabet.extend(fresh);
    let wanted = like.len();
    type State = Vec<Vec<usize>>;
    let accepts = |state: &State| {
        let end = |i: usize| state[i].contains(&patterns[i].len());
        (0..wanted).all(end) && !(wanted..patterns.len()).any(end)
    };
    let hopeless = |state: &State| state[..wanted].iter().any(Vec::is_empty);
    let first: State = patterns.iter().map(|p| closure(p, vec![0])).collect();
    let (mut seen, mut queue) = (HashSet::from([first.clone()]), VecDeque::from([(first, String::new())]));
    while let Some((state, text)) = queue.pop_front() {
        if accepts(&state) {
            return Ok(Some(text));
        }
        for c in &alphabet {
            let next: State = patterns.iter().zip(&state).map(|(p, at)| step(p, at, *c)).collect();
            if !hopeless(&next) && seen.insert(next.clone()) {
                if seen.len() > MAX_STATES {
                    return Err(TooComplex);
                }
                let mut longer = text.clone();
                longer.push(*c);
                queue.push_back((next, longer));
            }
        }
    }
    Ok(None)
}

/// The positions that can be reached without a character: a star may stand for nothing.
fn closure(pattern: &[char], mut at: Vec<usize>) -> Vec<usize> {
    let mut i = 0;
    while let Some(position) = at.get(i).copied() {
        if pattern.get(position) == Some(&'*') && !at.contains(&(position + 1)) {
            at.push(position + 1);
        }
        i += 1;
    }
    at.sort_unstable();
    at
}

fn step(pattern: &[char], at: &[usize], c: char) -> Vec<usize> {
    let mut next: Vec<usize> = Vec::with_capacity(at.len() + 1);
    for position in at {
        let to = match pattern.get(*position) {
            Some('*') => *position,
            Some(p) if *p == c => position + 1,
            _ => continue,
        };
        if !next.contains(&to) {
            next.push(to);
        }
    }
    closure(pattern, next)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_text_is_found_where_there_is_one() {
        let found = |like: &[&str], unlike: &[&str]| find(like, unlike).expect("small");
        assert_eq!(found(&["/api/*"], &["/api/admin/*"]).as_deref(), Some("/api/"));
        assert_eq!(found(&["/api/*", "*.json"], &[]).as_deref(), Some("/api/.json"));
        assert_eq!(found(&["/api/admin/*"], &["/api/*"]), None);
        assert_eq!(found(&["/a*"], &["*"]), None);
        assert_eq!(found(&["*"], &["*a*", ""]).map(|t| t.contains('a')), Some(false));
        assert_eq!(found(&["/x"], &["/y"]).as_deref(), Some("/x"));
        assert_eq!(found(&["a*b*c", "*d*"], &["*bd*"]).as_deref(), Some("adbc"));
    }

    /// All texts over `a`, `b` and a third character, up to a length that suffices for the patterns of the test.
    fn texts() -> Vec<String> {
        let mut all = vec![String::new()];
        let mut last = all.clone();
        for _ in 0..6 {
            last = last.iter().flat_map(|t| ["a", "b", "c"].map(|c| format!("{t}{c}"))).collect();
            all.extend(last.clone());
        }
        all
    }

    fn naive(pattern: &str, text: &str) -> bool {
        match pattern.split_at_checked(1) {
            None => text.is_empty(),
            Some(("*", rest)) => (0..=text.len()).any(|i| naive(rest, &text[i..])),
            Some((c, rest)) => text.strip_prefix(c).is_some_and(|t| naive(rest, t)),
        }
    }

    proptest! {
        #[test]
        fn the_search_agrees_with_trying_every_text(
            like in prop::collection::vec("[ab*]{0,3}", 0..3),
            unlike in prop::collection::vec("[ab*]{0,3}", 0..3),
        ) {
            let refs = |v: &'static [String]| v.iter().map(String::as_str).collect::<Vec<_>>();
            let (like, unlike): (&'static [String], &'static [String]) = (like.leak(), unlike.leak());
            let fits = |t: &String| like.iter().all(|p| naive(p, t)) && !unlike.iter().any(|p| naive(p, t));
            let found = find(&refs(like), &refs(unlike)).expect("small");
            prop_assert_eq!(found.is_some(), texts().iter().any(fits));
            if let Some(text) = found {
                prop_assert!(fits(&text));
                prop_assert!(like.iter().all(|p| matches(p, &text)) && !unlike.iter().any(|p| matches(p, &text)));
            }
        }
    }
}
