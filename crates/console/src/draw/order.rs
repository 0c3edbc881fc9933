//! Ordering of columns so that lines cross little: each node moves to the weighted mean place of its neighbours.

use std::collections::BTreeMap;

/// How often both sides are ordered. More sweeps change little.
const SWEEPS: usize = 8;

/// Orders two columns by the lines between them. Both come in and go out as keys; ties are broken by the order that came in.
pub(crate) fn barycentre<'a>(
    mut left: Vec<&'a str>,
    mut right: Vec<&'a str>,
    lines: &[(&'a str, &'a str, f64)],
) -> (Vec<&'a str>, Vec<&'a str>) {
    for _ in 0..SWEEPS {
        let before = (left.clone(), right.clone());
        right = sorted(&right, &left, lines.iter().map(|(l, r, w)| (*r, *l, *w)));
        left = sorted(&left, &right, lines.iter().map(|(l, r, w)| (*l, *r, *w)));
        if (&left, &right) == (&before.0, &before.1) {
            break;
        }
    }
    (left, right)
}

#[expect(clippy::cast_precision_loss, reason = "a drawing has far fewer nodes than 2^52")]
fn sorted<'a>(
    own: &[&'a str],
    other: &[&'a str],
    lines: impl Iterator<Item = (&'a str, &'a str, f64)>,
) -> Vec<&'a str> {
    let place: BTreeMap<&str, f64> = other.iter().enumerate().map(|(i, k)| (*k, i as f64)).collect();
    let mut mean: BTreeMap<&str, (f64, f64)> = BTreeMap::new();
    for (key, to, weight) in lines {
        if let Some(at) = place.get(to) {
            let (sum, all) = mean.entry(key).or_default();
            *sum += at * weight;
            *all += weight;
        }
    }
    let scale = other.len().max(1) as f64 / own.len().max(1) as f64;
    let mut keyed: Vec<(f64, &str)> = own
        .iter()
        .enumerate()
        .map(|(i, k)| match mean.get(k) {
            Some((sum, all)) if *all > 0.0 => (sum / all, *k),
            // A node without a line keeps its relative place.
            _ => (i as f64 * scale, *k),
        })
        .collect();
    keyed.sort_by(|a, b| a.0.total_cmp(&b.0));
    keyed.into_iter().map(|(_, k)| k).collect()
}

/// How many pairs of lines cross.
#[cfg(test)]
fn crossings(left: &[&str], right: &[&str], lines: &[(&str, &str, f64)]) -> usize {
    let at = |all: &[&str], k: &str| all.iter().position(|x| *x == k).unwrap_or(0);
    let ends: Vec<_> = lines.iter().map(|(l, r, _)| (at(left, l), at(right, r))).collect();
    let cross = |a: &(usize, usize), b: &(usize, usize)| (a.0 < b.0 && a.1 > b.1) || (a.0 > b.0 && a.1 < b.1);
    (0..ends.len()).map(|i| (i + 1..ends.len()).filter(|j| cross(&ends[i], &ends[*j])).count()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordering_untangles_and_never_loses_a_node() {
        let lines = [("a", "3", 1.0), ("b", "2", 1.0), ("c", "1", 1.0), ("a", "2", 1.0)];
        let (l0, r0) = (vec!["a", "b", "c", "idle"], vec!["1", "2", "3"]);
        let before = crossings(&l0, &r0, &lines);
        let (l, r) = barycentre(l0.clone(), r0.clone(), &lines);
        assert!(crossings(&l, &r, &lines) < before);
        let sorted = |mut v: Vec<&'static str>| {
            v.sort_unstable();
            v
        };
        assert_eq!((sorted(l), sorted(r)), (sorted(l0), sorted(r0)));
    }
}
