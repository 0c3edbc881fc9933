//! Sets of whole numbers as intervals: ages, instants, weekdays, minutes, and addresses.

/// A set of whole numbers: intervals with both ends inside, in order, with a gap between any two.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Numbers(Vec<(u128, u128)>);

impl Numbers {
    /// From `low` to `high`, both inside; empty where `low` lies above `high`.
    pub(crate) fn between(low: u128, high: u128) -> Self {
        if low > high { Self(Vec::new()) } else { Self(vec![(low, high)]) }
    }

    /// Exactly these numbers.
    pub(crate) fn of(numbers: impl IntoIterator<Item = u128>) -> Self {
        Self::from_intervals(numbers.into_iter().map(|n| (n, n)).collect())
    }

    fn from_intervals(mut intervals: Vec<(u128, u128)>) -> Self {
        intervals.sort_unstable();
        let mut merged: Vec<(u128, u128)> = Vec::with_capacity(intervals.len());
        for (low, high) in intervals {
            match merged.last_mut() {
                Some(last) if low <= last.1.saturating_add(1) => last.1 = last.1.max(high),
                _ => merged.push((low, high)),
            }
        }
        Self(merged)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn intervals(&self) -> &[(u128, u128)] {
        &self.0
    }

    pub(crate) fn contains(&self, n: u128) -> bool {
        self.0.iter().any(|(low, high)| *low <= n && n <= *high)
    }

    pub(crate) fn lowest(&self) -> Option<u128> {
        self.0.first().map(|(low, _)| *low)
    }

    pub(crate) fn intersection(&self, other: &Self) -> Self {
        let (mut i, mut j, mut both) = (0, 0, Vec::new());
        while let (Some((a, b)), Some((c, d))) = (self.0.get(i), other.0.get(j)) {
            let (low, high) = (*a.max(c), *b.min(d));
            if low <= high {
                both.push((low, high));
            }
            if b < d { i += 1 } else { j += 1 }
        }
        Self(both)
    }

    pub(crate) fn without(&self, other: &Self) -> Self {
        let mut left = Vec::new();
        for &(low, high) in &self.0 {
            let mut from = Some(low);
            for &(a, b) in other.0.iter().filter(|(a, b)| *b >= low && *a <= high) {
                let Some(at) = from else { break };
                if a > at {
                    left.push((at, a - 1));
                }
                from = b.checked_add(1).filter(|next| *next <= high);
            }
            left.extend(from.map(|at| (at, high)));
        }
        Self(left)
    }

    pub(crate) fn is_subset(&self, other: &Self) -> bool {
        self.0.iter().all(|(low, high)| other.0.iter().any(|(a, b)| a <= low && high <= b))
    }

    pub(crate) fn is_disjoint(&self, other: &Self) -> bool {
        self.intersection(other).is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TOP: u128 = 20;

    fn some() -> impl Strategy<Value = (Numbers, Vec<bool>)> {
        prop::collection::vec(any::<bool>(), usize::try_from(TOP).expect("small") + 1).prop_map(|bits| {
            let members = bits.iter().zip(0..).filter(|(b, _)| **b).map(|(_, n)| n);
            (Numbers::of(members), bits)
        })
    }

    fn bits(set: &Numbers) -> Vec<bool> {
        (0..=TOP).map(|n| set.contains(n)).collect()
    }

    proptest! {
        #[test]
        fn intervals_agree_with_a_list_of_flags((a, x) in some(), (b, y) in some()) {
            let zip = |f: fn(bool, bool) -> bool| x.iter().zip(&y).map(|(p, q)| f(*p, *q)).collect::<Vec<_>>();
            prop_assert_eq!(bits(&a), x.clone());
            prop_assert_eq!(bits(&a.intersection(&b)), zip(|p, q| p && q));
            prop_assert_eq!(bits(&a.without(&b)), zip(|p, q| p && !q));
            prop_assert_eq!(a.is_subset(&b), zip(|p, q| !p || q).iter().all(|t| *t));
            prop_assert_eq!(a.is_disjoint(&b), zip(|p, q| !(p && q)).iter().all(|t| *t));
            prop_assert_eq!(a.without(&b).is_empty(), a.is_subset(&b));
        }
    }

    #[test]
    fn the_ends_of_the_range_are_no_exception() {
        let all = Numbers::between(0, u128::MAX);
        assert!(all.without(&all).is_empty());
        assert_eq!(all.without(&Numbers::of([u128::MAX])), Numbers::between(0, u128::MAX - 1));
        assert_eq!(all.without(&Numbers::of([0])), Numbers::between(1, u128::MAX));
        assert!(Numbers::between(3, 2).is_empty());
    }
}
