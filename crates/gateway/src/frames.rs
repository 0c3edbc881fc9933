//! Follows WebSocket frames (RFC 6455, 5.2) just far enough to know where one ends.

/// The close frame that tells a client that its access ended: unmasked, status 1008.
pub(crate) const CLOSE: &[u8] = b"\x88\x0e\x03\xf0access ended";

/// The place in a stream of frames.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    head: Vec<u8>,
    payload: u64,
}

impl Frames {
    /// Goes on over `bytes`.
    pub(crate) fn follow(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.payload > 0 {
                let n = usize::try_from(self.payload).unwrap_or(usize::MAX).min(bytes.len());
                self.payload -= n as u64;
                bytes = &bytes[n..];
                continue;
            }
            self.head.push(bytes[0]);
            bytes = &bytes[1..];
            if let Some(payload) = payload(&self.head) {
                self.payload = payload;
                self.head.clear();
            }
        }
    }

    /// Whether a frame may begin here.
    pub(crate) fn at_boundary(&self) -> bool {
        self.head.is_empty() && self.payload == 0
    }
}

/// The length of the payload, once the head is whole.
fn payload(head: &[u8]) -> Option<u64> {
    let second = *head.get(1)?;
    let mask = if second & 0x80 == 0 { 0 } else { 4 };
    let length_bytes = match second & 0x7f {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    let extended = head.get(2..2 + length_bytes)?;
    head.get(..2 + length_bytes + mask)?;
    match length_bytes {
        0 => Some(u64::from(second & 0x7f)),
        _ => Some(extended.iter().fold(0, |n, b| n << 8 | u64::from(*b))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_boundary_is_found_whatever_the_read_sizes_are() {
        let mut frame_200 = vec![0x82, 126, 0, 200];
        frame_200.extend([7; 200]);
        let mut masked = vec![0x81, 0x83, 1, 2, 3, 4];
        masked.extend(b"abc");
        let mut long = vec![0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0];
        long.extend(vec![1; 65_536]);
        for frame in [b"\x81\x02hi".to_vec(), b"\x89\x00".to_vec(), frame_200, masked, long, CLOSE.to_vec()] {
            for step in [1, 3, 100_000] {
                let mut frames = Frames::default();
                let (last, rest) = frame.split_last().unwrap();
                rest.chunks(step).for_each(|c| frames.follow(c));
                assert!(!frames.at_boundary());
                frames.follow(&[*last]);
                assert!(frames.at_boundary(), "{} bytes by {step}", frame.len());
            }
        }
    }
}
