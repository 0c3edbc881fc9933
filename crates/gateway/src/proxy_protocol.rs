//! The PROXY protocol, version 2: who a connection is from, told by the hop in front of us before its first byte.
//!
//! The parser is pure and strict: the binary form only, a stream over IP only, every length within the header. What it does not
//! understand it refuses; it never guesses an address. What the hop adds beside the address (TLVs) is checked for its framing and
//! skipped.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt};

/// The first bytes of every header: no protocol of ours begins with them.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// The part of the header that is always there.
const FIXED: usize = 16;
/// The most bytes after the fixed part. A hop that tells more than this tells more than anyone needs.
const MOST: usize = 4_096;
/// The bytes of two addresses and two ports.
const TCP_4: usize = 12;
const TCP_6: usize = 36;
/// The bytes before the value of a TLV.
const TLV_HEAD: usize = 3;

/// What a header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Header {
    /// The hop speaks for itself, to see whether we live: its own address counts.
    Local,
    /// The hop speaks for this client.
    Client(SocketAddr),
}

/// Why a header is refused.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum Fault {
    /// Something else came.
    #[error("the connection does not begin with a PROXY header of version 2")]
    NoHeader,
    /// The text form, whose end is looked for in what the client may have sent.
    #[error("the PROXY header is of version 1; let the hop send version 2")]
    Version1,
    /// Another version, or a command that does not exist.
    #[error("the PROXY header has an unknown version or command")]
    Version,
    /// No stream over IP: no address that a rule could read.
    #[error("the PROXY header tells no address of a TCP client")]
    Family,
    /// More than anyone needs.
    #[error("the PROXY header is longer than {MOST} bytes")]
    TooLong,
    /// Shorter than its addresses, or a TLV that does not end with it.
    #[error("the lengths in the PROXY header do not fit together")]
    Length,
    /// Nobody has this address.
    #[error("the PROXY header tells an address that no client has")]
    Address,
}

/// What can go wrong while a header is read.
#[derive(Debug, Error)]
pub(crate) enum ReadFault {
    /// The header is refused.
    #[error(transparent)]
    Header(#[from] Fault),
    /// The connection ended or failed.
    #[error("the connection ended within the PROXY header: {0}")]
    Ended(#[from] std::io::Error),
}

/// Parses the header at the start of `bytes`. `None` means that more bytes are needed; otherwise what it says, and how many bytes
/// it has. A fault is told as soon as it can be seen.
pub fn parse(bytes: &[u8]) -> Result<Option<(Header, usize)>, Fault> {
    let begun = bytes.get(..bytes.len().min(SIGNATURE.len())).unwrap_or_default();
    if !SIGNATURE.starts_with(begun) {
        return Err(if begun.starts_with(b"PROXY") { Fault::Version1 } else { Fault::NoHeader });
    }
    let Some(&[command, family, high, low]) = bytes.get(SIGNATURE.len()..FIXED) else { return Ok(None) };
    let local = match command {
        0x20 => true,
        0x21 => false,
        _ => return Err(Fault::Version),
    };
    let length = usize::from(u16::from_be_bytes([high, low]));
    if length > MOST {
        return Err(Fault::TooLong);
    }
    let Some(body) = bytes.get(FIXED..FIXED + length) else { return Ok(None) };
    let header = if local { Header::Local } else { Header::Client(client(family, body)?) };
    Ok(Some((header, FIXED + length)))
}

fn client(family: u8, body: &[u8]) -> Result<SocketAddr, Fault> {
    let (ip, port, more) = match family {
        0x11 => {
            let (addresses, more) = body.split_first_chunk::<TCP_4>().ok_or(Fault::Length)?;
            let [a, b, c, d, _, _, _, _, high, low, _, _] = *addresses;
            (IpAddr::V4(Ipv4Addr::new(a, b, c, d)), u16::from_be_bytes([high, low]), more)
        }
        0x21 => {
            let (addresses, more) = body.split_first_chunk::<TCP_6>().ok_or(Fault::Length)?;
            let source = addresses.first_chunk::<16>().ok_or(Fault::Length)?;
            let [.., high, low, _, _] = *addresses;
            (IpAddr::V6(Ipv6Addr::from(*source)).to_canonical(), u16::from_be_bytes([high, low]), more)
        }
        _ => return Err(Fault::Family),
    };
    check_tlvs(more)?;
    if ip.is_unspecified() || ip.is_multicast() || ip == IpAddr::V4(Ipv4Addr::BROADCAST) {
        return Err(Fault::Address);
    }
    Ok(SocketAddr::new(ip, port))
}

/// Every TLV ends within the header, and the last one with it.
fn check_tlvs(mut rest: &[u8]) -> Result<(), Fault> {
    while !rest.is_empty() {
        let &[_, high, low] = rest.first_chunk::<TLV_HEAD>().ok_or(Fault::Length)?;
        let length = TLV_HEAD + usize::from(u16::from_be_bytes([high, low]));
        rest = rest.get(length..).ok_or(Fault::Length)?;
    }
    Ok(())
}

/// Reads the header and not one byte more: what follows belongs to TLS. The caller bounds the time.
pub(crate) async fn read<S: AsyncRead + Unpin>(stream: &mut S) -> Result<Header, ReadFault> {
    let mut bytes = vec![0; FIXED];
    stream.read_exact(&mut bytes).await?;
    if let Some((header, _)) = parse(&bytes)? {
        return Ok(header);
    }
    // The fixed part is whole and good: the last two bytes are a length within the bound.
    let length = bytes.last_chunk::<2>().map_or(0, |l| usize::from(u16::from_be_bytes(*l)));
    bytes.resize(FIXED + length, 0);
    stream.read_exact(bytes.get_mut(FIXED..).unwrap_or_default()).await?;
    let (header, _) = parse(&bytes)?.ok_or(Fault::Length)?;
    Ok(header)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn header(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
        let mut bytes = SIGNATURE.to_vec();
        bytes.extend([command, family]);
        bytes.extend(u16::try_from(body.len()).unwrap().to_be_bytes());
        bytes.extend(body);
        bytes
    }

    fn tcp4() -> Vec<u8> {
        vec![192, 0, 2, 7, 10, 0, 0, 1, 0x30, 0x39, 1, 187]
    }

    fn tcp6(source: &str) -> Vec<u8> {
        let source: Ipv6Addr = source.parse().unwrap();
        [&source.octets()[..], &[0; 16], &[0x30, 0x39, 1, 187]].concat()
    }

    fn says(bytes: &[u8]) -> Result<Header, Fault> {
        parse(bytes).map(|parsed| parsed.expect("it is whole").0)
    }

    #[test]
    fn it_tells_the_client_in_both_versions_of_ip() {
        assert_eq!(says(&header(0x21, 0x11, &tcp4())), Ok(Header::Client("192.0.2.7:12345".parse().unwrap())));
        let six = header(0x21, 0x21, &tcp6("2001:db8::9"));
        assert_eq!(says(&six), Ok(Header::Client("[2001:db8::9]:12345".parse().unwrap())));
        let mapped = header(0x21, 0x21, &tcp6("::ffff:192.0.2.7"));
        assert_eq!(says(&mapped), Ok(Header::Client("192.0.2.7:12345".parse().unwrap())), "one client, one address");
    }

    #[test]
    fn a_hop_that_speaks_for_itself_says_so() {
        assert_eq!(says(&header(0x20, 0x00, b"")), Ok(Header::Local));
        assert_eq!(says(&header(0x20, 0x11, &tcp4())), Ok(Header::Local), "its addresses do not count");
    }

    #[test]
    fn tlvs_are_skipped_and_must_fit() {
        let with = |tlvs: &[u8]| says(&header(0x21, 0x11, &[&tcp4()[..], tlvs].concat()));
        assert!(with(b"\x01\x00\x02h2\x04\x00\x00").is_ok());
        for bad in [&b"\x01"[..], b"\x01\x00", b"\x01\x00\x03h2", b"\x01\x00\x01h2"] {
            assert_eq!(with(bad), Err(Fault::Length), "{bad:?}");
        }
    }

    #[test]
    fn nt_04_what_is_not_understood_is_refused_and_no_address_is_guessed() {
        for (bytes, fault) in [
            (b"PROXY TCP4 192.0.2.7 10.0.0.1 12345 443\r\n".to_vec(), Fault::Version1),
            (b"GET / HTTP/1.1\r\n".to_vec(), Fault::NoHeader),
            (b"\x16\x03\x01".to_vec(), Fault::NoHeader),
            (header(0x11, 0x11, &tcp4()), Fault::Version),
            (header(0x22, 0x11, &tcp4()), Fault::Version),
            (header(0x21, 0x00, b""), Fault::Family),
            (header(0x21, 0x12, &tcp4()), Fault::Family),
            (header(0x21, 0x22, &tcp6("2001:db8::9")), Fault::Family),
            (header(0x21, 0x31, &[0; 216]), Fault::Family),
            (header(0x21, 0x11, &tcp4()[..11]), Fault::Length),
            (header(0x21, 0x21, &tcp4()), Fault::Length),
            (header(0x21, 0x11, &[0; 12]), Fault::Address),
            (header(0x21, 0x21, &tcp6("ff02::1")), Fault::Address),
            (header(0x20, 0x00, &[0; 4_097]), Fault::TooLong),
        ] {
            assert_eq!(parse(&bytes), Err(fault), "{bytes:?}");
        }
    }

    proptest! {
        /// Whatever comes first, the answer to a prefix never contradicts the answer to the whole.
        #[test]
        fn a_prefix_asks_for_more_or_says_the_same(
            noise in prop::collection::vec(any::<u8>(), 0..64),
            command in prop::sample::select(vec![0x20_u8, 0x21, 0x11]),
            family in prop::sample::select(vec![0x11_u8, 0x21, 0x00]),
            signed in any::<bool>(),
        ) {
            let bytes = if signed { header(command, family, &noise) } else { noise };
            let whole = parse(&bytes);
            for cut in 0..bytes.len() {
                let part = parse(&bytes[..cut]);
                prop_assert!(part == Ok(None) || part == whole, "{cut}: {part:?} {whole:?}");
            }
            if let Ok(Some((_, length))) = whole {
                prop_assert_eq!(length, bytes.len());
                let more = [&bytes[..], b"more"].concat();
                prop_assert_eq!(parse(&more), whole, "what follows is not read");
            }
        }
    }

    #[tokio::test]
    async fn reading_takes_the_header_and_not_one_byte_more() {
        let bytes = [header(0x21, 0x11, &[&tcp4()[..], b"\x01\x00\x02h2"].concat()), b"\x16\x03".to_vec()].concat();
        let mut stream = &bytes[..];
        assert_eq!(read(&mut stream).await.unwrap(), Header::Client("192.0.2.7:12345".parse().unwrap()));
        assert_eq!(stream, b"\x16\x03");
        let cut = header(0x21, 0x11, &tcp4());
        assert!(matches!(read(&mut &cut[..20]).await, Err(ReadFault::Ended(_))));
        assert!(matches!(read(&mut &b"GET / HTTP/1.1\r\n"[..]).await, Err(ReadFault::Header(Fault::NoHeader))));
    }
}
