//! Which of several connectors carries the next stream: of two taken by chance, the one that carries less.

/// A cheap source of numbers that need not be secret (SplitMix64). The seed comes from outside.
#[derive(Debug)]
pub(crate) struct Dice(std::sync::atomic::AtomicU64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.into())
    }

    /// The next number.
    pub(crate) fn roll(&self) -> u64 {
        const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
        let state = self.0.fetch_add(STEP, std::sync::atomic::Ordering::Relaxed).wrapping_add(STEP);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

/// The index of the one to take, of those with these loads; `None` if there is none.
pub(crate) fn choose(loads: &[usize], dice: &Dice) -> Option<usize> {
    let n = u64::try_from(loads.len()).ok()?;
    match n {
        0 => None,
        1 => Some(0),
        _ => {
            let one = dice.roll() % n;
            // Of the others, each with the same chance.
            let other = (one + 1 + dice.roll() % (n - 1)) % n;
            let (one, other) = (usize::try_from(one).ok()?, usize::try_from(other).ok()?);
            Some(if loads.get(other)? < loads.get(one)? { other } else { one })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_no_choice_of_none_and_none_of_one() {
        let dice = Dice::new(1);
        assert_eq!((choose(&[], &dice), choose(&[9], &dice)), (None, Some(0)));
    }

    #[test]
    fn of_two_the_one_that_carries_less_is_taken_always() {
        let dice = Dice::new(2);
        for _ in 0..100 {
            assert_eq!(choose(&[5, 4], &dice), Some(1));
            assert_eq!(choose(&[4, 5], &dice), Some(0));
        }
    }

    #[test]
    fn the_one_that_carries_most_of_many_is_never_taken_and_all_others_are() {
        let dice = Dice::new(3);
        let mut taken = [0; 4];
        for _ in 0..4_000 {
            taken[choose(&[0, 0, 0, 1], &dice).expect("one of four")] += 1;
        }
        assert_eq!(taken[3], 0);
        assert!(taken[..3].iter().all(|n| (1_000..1_700).contains(n)), "{taken:?}");
    }

    #[test]
    fn a_thousand_streams_over_three_are_spread_evenly() {
        let dice = Dice::new(4);
        let mut loads = [0_usize; 3];
        for _ in 0..999 {
            let i = choose(&loads, &dice).expect("one of three");
            loads[i] += 1;
        }
        assert!(loads.iter().all(|n| (325..=341).contains(n)), "{loads:?}");
    }
}
