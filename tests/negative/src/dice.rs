//! Chance that can be repeated.

/// A generator of small numbers from one seed (SplitMix64).
#[derive(Clone, Debug)]
pub struct Dice(u64);

/// Makes every search longer and begins it elsewhere, as in `SAFECONDUCT_ROUNDS=50`.
const ROUNDS: &str = "SAFECONDUCT_ROUNDS";

/// How many times longer than usual the searches are.
fn longer() -> u64 {
    std::env::var(ROUNDS).ok().and_then(|n| n.parse().ok()).filter(|n| (1..=10_000).contains(n)).unwrap_or(1)
}

/// How many rounds a search has that usually has so many.
#[must_use]
pub fn rounds(usual: u64) -> u64 {
    usual * longer()
}

impl Dice {
    /// The dice of a search: another one for another length.
    #[must_use]
    pub fn search(seed: u64) -> Self {
        Self(seed.wrapping_add((longer() - 1) << 32))
    }

    /// The same seed gives the same numbers.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`, which is not 0.
    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// One of these.
    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        let at = self.below(of.len() as u64);
        &of[usize::try_from(at).unwrap_or(0)]
    }

    /// Cuts bytes into pieces at random places.
    pub fn cut<'a>(&mut self, mut bytes: &'a [u8], pieces: u64) -> Vec<&'a [u8]> {
        let mut cut = Vec::new();
        for _ in 1..pieces {
            if bytes.len() < 2 {
                break;
            }
            let at = 1 + usize::try_from(self.below(bytes.len() as u64 - 1)).unwrap_or(0);
            let (piece, rest) = bytes.split_at(at);
            cut.push(piece);
            bytes = rest;
        }
        cut.push(bytes);
        cut
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_make_the_whole_again() {
        let mut dice = Dice::new(1);
        for pieces in 1..40 {
            assert_eq!(dice.cut(b"GET / HTTP/1.1", pieces).concat(), b"GET / HTTP/1.1");
        }
        assert_eq!(dice.cut(b"", 3), [b""]);
    }
}
