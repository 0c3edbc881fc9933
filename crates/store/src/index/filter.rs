//! Sets that may say yes by mistake and never no: what need not be looked through is passed over.

/// Bits for each member, and
const BITS: usize = 10;

/// how many of them a member sets: one of a hundred strangers is taken for a member.
const PROBES: u64 = 7;

/// The fewest bits of a set.
const LEAST_BITS: usize = 512;

/// What a member is about: equal texts about different things are different members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum About {
    Person = 1,
    App,
    Verdict,
    Reason,
    Session,
    Request,
}

/// A set of members, as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Filter(Vec<u8>);

/// What of a member the set knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Member(u64);

impl Member {
    pub(super) fn of(about: About, text: &str) -> Self {
        // FNV-1a, then mixed so that every bit counts.
        let start = 0xcbf2_9ce4_8422_2325 ^ about as u64;
        let mut h = text.bytes().fold(start, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
        h = (h ^ (h >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        h = (h ^ (h >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Self(h ^ (h >> 31))
    }

    /// The bits of this member in a set of `bits`.
    fn bits(self, bits: usize) -> impl Iterator<Item = usize> {
        let step = (self.0 >> 32) | 1;
        // The upper bits of a product rather than the rest of a division, which takes ten times as long.
        let probe = move |i: u64| self.0.wrapping_add(i.wrapping_mul(step)) & u64::from(u32::MAX);
        (0..PROBES).map(move |i| ((probe(i) * bits as u64) >> 32) as usize)
    }
}

impl Filter {
    pub(super) fn of(members: &[Member]) -> Self {
        let bits = (members.len() * BITS).max(LEAST_BITS).next_multiple_of(8);
        let mut set = vec![0_u8; bits / 8];
        for member in members {
            for bit in member.bits(bits) {
                set[bit / 8] |= 1 << (bit % 8);
            }
        }
        Self(set)
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether a kept set may have this member. One that is damaged may have any.
    pub(super) fn may_have(set: &[u8], member: Member) -> bool {
        set.is_empty() || member.bits(set.len() * 8).all(|bit| set[bit / 8] & (1 << (bit % 8)) != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_is_always_found_and_a_stranger_seldom() {
        for n in [0, 1, 7, 4_096] {
            let members: Vec<_> = (0..n).map(|i| Member::of(About::Request, &format!("{i:032x}"))).collect();
            let set = Filter::of(&members);
            assert!(members.iter().all(|m| Filter::may_have(set.bytes(), *m)));
            let strangers = (0..10_000).map(|i| Member::of(About::Request, &format!("s{i}")));
            let mistaken = strangers.filter(|m| Filter::may_have(set.bytes(), *m)).count();
            assert!(mistaken < 250, "{n}: {mistaken} of 10 000");
        }
        let ada = Filter::of(&[Member::of(About::Person, "ada")]);
        assert!(!Filter::may_have(ada.bytes(), Member::of(About::App, "ada")));
        assert!(Filter::may_have(&[], Member::of(About::App, "ada")));
    }
}
