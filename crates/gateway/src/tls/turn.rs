//! What rustls wants to be done, in one place: records are opened, its own messages are told, data are sealed.

use std::io::IoSlice;

use rustls::Error;
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{ConnectionState, EncodeError, EncodeTlsData, EncryptError, UnbufferedStatus, WriteTraffic};

/// The most plaintext of one record.
pub(super) const RECORD_BYTES: usize = 16 * 1024;
/// The most plaintext that is sealed at once: a read of a body, and what stands in front of it and behind it.
pub(super) const WRITE_BYTES: usize = 68 * 1024;
/// Room for that, sealed: what is put around each record, and messages of rustls' own.
pub(super) const SEALED_BYTES: usize = WRITE_BYTES + 4 * 1024;

/// How far the state of a session went.
pub(super) struct Turn<T> {
    /// How many of the bytes that came in are done with.
    pub(super) taken: usize,
    /// Whether the other side said that it sends no more.
    pub(super) closed: bool,
    /// What was done where data may be written; `None` if none may. An error is final.
    pub(super) end: Result<Option<T>, Error>,
}

/// Opens the whole records in `wire` and goes on until there is nothing more to do: data go to `hear`, what rustls wants to say
/// goes to the end of `told`, and in the end `write` may seal data, if that is allowed at this point. After an error `told`
/// has the alert about it.
///
/// `wire` has to begin with what a turn before did not take, as that turn left it.
pub(super) fn turn<T>(
    session: &mut UnbufferedServerConnection,
    wire: &mut [u8],
    told: &mut Vec<u8>,
    mut hear: impl FnMut(&[u8]),
    write: impl FnOnce(WriteTraffic<'_, ServerConnectionData>) -> T,
) -> Turn<T> {
    let (mut taken, mut closed) = (0, false);
    let end = 'turning: loop {
        let UnbufferedStatus { discard, state } = session.process_tls_records(&mut wire[taken..]);
        taken += discard;
        match state {
            Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                while let Some(record) = traffic.next_record() {
                    match record {
                        Ok(record) => {
                            taken += record.discard;
                            hear(record.payload);
                        }
                        Err(error) => break 'turning Err(error),
                    }
                }
            }
            Ok(ConnectionState::EncodeTlsData(message)) => {
                if let Err(error) = tell(message, told) {
                    break Err(error);
                }
            }
            Ok(ConnectionState::TransmitTlsData(told)) => told.done(),
            Ok(ConnectionState::PeerClosed) => closed = true,
            Ok(ConnectionState::WriteTraffic(traffic)) => break Ok(Some(write(traffic))),
            Ok(ConnectionState::BlockedHandshake | ConnectionState::Closed) => break Ok(None),
            Ok(_) => break Err(Error::General("data came before they were asked for".into())),
            Err(error) => break Err(error),
        }
        taken = taken.min(wire.len());
    };
    taken = taken.min(wire.len());
    if end.is_err() {
        alert(session, told);
    }
    Turn { taken, closed, end }
}

/// What rustls wants to say about an error. Nothing that came in is looked at again.
fn alert(session: &mut UnbufferedServerConnection, told: &mut Vec<u8>) {
    while session.wants_write() {
        let Ok(ConnectionState::EncodeTlsData(message)) = session.process_tls_records(&mut []).state else { return };
        if tell(message, told).is_err() {
            return;
        }
    }
}

fn tell(mut message: EncodeTlsData<'_, ServerConnectionData>, told: &mut Vec<u8>) -> Result<(), Error> {
    let at = told.len();
    let Err(EncodeError::InsufficientSize(size)) = message.encode(&mut []) else { return Ok(()) };
    told.resize(at + size.required_size, 0);
    match message.encode(&mut told[at..]) {
        Ok(n) => told.truncate(at + n),
        Err(error) => {
            told.truncate(at);
            return Err(Error::General(error.to_string()));
        }
    }
    Ok(())
}

/// What was sealed.
pub(super) struct Sealed {
    /// How many bytes of the data.
    pub(super) taken: usize,
    /// How many bytes they became.
    pub(super) bytes: usize,
    /// Why not more.
    pub(super) short: Option<EncryptError>,
}

/// Seals as many of the data as go into one write, in as few records as there can be. `joined` is where a record is put together
/// whose data lie in several places.
pub(super) fn seal(
    mut traffic: WriteTraffic<'_, ServerConnectionData>,
    data: &[IoSlice<'_>],
    joined: &mut [u8],
    out: &mut [u8],
) -> Sealed {
    let mut pieces = Pieces { slices: data, at: 0 };
    let mut sealed = Sealed { taken: 0, bytes: 0, short: None };
    while sealed.taken < WRITE_BYTES {
        let piece = pieces.next(RECORD_BYTES.min(WRITE_BYTES - sealed.taken), joined);
        if piece.is_empty() {
            break;
        }
        match traffic.encrypt(piece, &mut out[sealed.bytes..]) {
            Ok(n) => sealed.bytes += n,
            Err(short) => {
                sealed.short = Some(short);
                break;
            }
        }
        sealed.taken += piece.len();
    }
    sealed
}

/// Data that lie in several places, from the front.
struct Pieces<'s> {
    slices: &'s [IoSlice<'s>],
    at: usize,
}

impl Pieces<'_> {
    /// The next bytes, at most `most`, and less only at the end: where they are if they lie in one place, or else in `joined`.
    fn next<'p>(&'p mut self, most: usize, joined: &'p mut [u8]) -> &'p [u8] {
        self.skip();
        let Some((first, behind)) = self.slices.split_first() else { return &[] };
        let first: &[u8] = &first[self.at..];
        if first.len() >= most || behind.iter().all(|s| s.is_empty()) {
            let n = first.len().min(most);
            self.at += n;
            return &first[..n];
        }
        let most = most.min(joined.len());
        let mut n = 0;
        while n < most {
            self.skip();
            let Some(first) = self.slices.first() else { break };
            let part = &first[self.at..];
            let part = &part[..part.len().min(most - n)];
            joined[n..n + part.len()].copy_from_slice(part);
            n += part.len();
            self.at += part.len();
        }
        &joined[..n]
    }

    /// Goes to the next slice that has bytes.
    fn skip(&mut self) {
        while self.slices.first().is_some_and(|s| self.at >= s.len()) {
            self.slices = &self.slices[1..];
            self.at = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn pieces_are_the_data_in_order_and_full_but_for_the_last(
            parts in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 0..6), most in 1usize..50
        ) {
            let slices: Vec<IoSlice<'_>> = parts.iter().map(|p| IoSlice::new(p)).collect();
            let (mut pieces, mut joined, mut all) = (Pieces { slices: &slices, at: 0 }, [0; 64], Vec::new());
            let mut sizes = Vec::new();
            loop {
                let piece = pieces.next(most, &mut joined);
                if piece.is_empty() {
                    break;
                }
                all.extend_from_slice(piece);
                sizes.push(piece.len());
            }
            prop_assert_eq!(all, parts.concat());
            prop_assert!(sizes.iter().rev().skip(1).all(|n| *n == most));
        }
    }
}
