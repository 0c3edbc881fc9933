//! Bytes that wait for their turn, and no memory when there are none.

/// Bytes from the front of which some may be taken.
#[derive(Default)]
pub(super) struct Kept {
    bytes: Vec<u8>,
    at: usize,
}

impl Kept {
    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.at == self.bytes.len()
    }

    /// What waits.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[self.at..]
    }

    /// Adds bytes to the end.
    pub(super) fn keep(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.bytes.reserve_exact(bytes.len());
            self.bytes.extend_from_slice(bytes);
        }
    }

    /// Where bytes are added to the end.
    pub(super) fn behind(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Takes so many bytes off the front. The memory is given back with the last.
    pub(super) fn take(&mut self, n: usize) {
        self.at = self.bytes.len().min(self.at + n);
        if self.is_empty() {
            *self = Self::default();
        }
    }

    /// How much memory it holds.
    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.bytes.capacity()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_leaves_in_order_and_nothing_holds_no_memory() {
        let mut kept = Kept::default();
        kept.keep(b"");
        assert_eq!((kept.is_empty(), kept.capacity()), (true, 0));
        kept.keep(b"abc");
        kept.take(2);
        kept.keep(b"de");
        assert_eq!(kept.bytes(), b"cde");
        kept.take(2);
        assert!(!kept.is_empty());
        kept.take(9);
        assert_eq!((kept.is_empty(), kept.bytes(), kept.capacity()), (true, &b""[..], 0));
    }
}
