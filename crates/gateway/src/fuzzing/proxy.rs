//! The PROXY header against a naive reading of the specification.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use crate::proxy_protocol::{Header, parse};

/// The fixed part: signature, command, family, length.
const FIXED: usize = 16;
/// The longest header.
const MOST: usize = FIXED + 4_096;

/// Parses the header at the front; whether there is one.
///
/// # Errors
/// If something differs, in words.
pub fn proxy(bytes: &[u8]) -> Result<bool, String> {
    let whole = parse(bytes);
    for cut in 0..bytes.len().min(64) {
        let part = parse(&bytes[..cut]);
        // What is refused early may be called otherwise: `P` is no header, `PROXY` is one of version 1.
        if part != Ok(None) && part != whole && !(part.is_err() && whole.is_err()) {
            return Err(format!("the first {cut} bytes say {part:?}, all say {whole:?}"));
        }
    }
    let naive = naive(bytes);
    match whole {
        Ok(Some(found)) if naive == Some(found) => {}
        Ok(None) if naive.is_none() && bytes.len() < MOST => return Ok(false),
        Err(_) if naive.is_none() => return Ok(false),
        _ => return Err(format!("{whole:?}, naively {naive:?}: {}", bytes.escape_ascii())),
    }
    let Ok(Some((header, length))) = whole else { return Ok(false) };
    if parse(&bytes[..length]) != whole || length > MOST {
        return Err(format!("{length} bytes alone say {:?}", parse(&bytes[..length])));
    }
    let again = written(header);
    if parse(&again) != Ok(Some((header, again.len()))) {
        return Err(format!("{header:?} is written and read as {:?}", parse(&again)));
    }
    Ok(true)
}

/// A whole header that may be believed, as section 2.2 of the specification has it.
fn naive(bytes: &[u8]) -> Option<(Header, usize)> {
    let after = bytes.strip_prefix(b"\x0d\x0a\x0d\x0a\x00\x0d\x0a\x51\x55\x49\x54\x0a")?;
    let (&[command, family, high, low], after) = after.split_first_chunk::<4>()?;
    let length = usize::from(high) * 256 + usize::from(low);
    let body = after.get(..length).filter(|b| b.len() + FIXED <= MOST)?;
    if command == 0x20 {
        return Some((Header::Local, FIXED + length));
    }
    let bytes_of_ip = match (command, family) {
        (0x21, 0x11) => 4,
        (0x21, 0x21) => 16,
        _ => return None,
    };
    let source = body.get(..bytes_of_ip)?;
    let ports = body.get(2 * bytes_of_ip..2 * bytes_of_ip + 4)?;
    let mut more = &body[2 * bytes_of_ip + 4..];
    while let [_, high, low, value @ ..] = more {
        more = value.get(usize::from(*high) * 256 + usize::from(*low)..)?;
    }
    let wide: [u8; 16] = match bytes_of_ip {
        4 => [&[0; 10][..], &[0xff; 2], source].concat().try_into().ok()?,
        _ => source.try_into().ok()?,
    };
    // An IPv4 address and the same within IPv6 are one client.
    let ip = Ipv6Addr::from(wide).to_canonical();
    let nobody = match ip {
        IpAddr::V4(four) => four.octets() == [0; 4] || four.octets() == [255; 4] || four.octets()[0] & 0xf0 == 0xe0,
        IpAddr::V6(six) => six.octets() == [0; 16] || six.octets()[0] == 0xff,
    };
    let client = SocketAddr::new(ip, u16::from(ports[0]) << 8 | u16::from(ports[1]));
    Some((Header::Client(client), FIXED + length)).filter(|_| more.is_empty() && !nobody)
}

/// A header that says this.
fn written(header: Header) -> Vec<u8> {
    let (command, family, body) = match header {
        Header::Local => (0x20, 0, Vec::new()),
        Header::Client(at) => {
            let (family, source) = match at.ip() {
                IpAddr::V4(four) => (0x11, four.octets().to_vec()),
                IpAddr::V6(six) => (0x21, six.octets().to_vec()),
            };
            (0x21, family, [&source[..], &vec![1; source.len()], &at.port().to_be_bytes(), &[1, 187]].concat())
        }
    };
    let length = u8::try_from(body.len()).unwrap_or(0);
    [b"\r\n\r\n\0\r\nQUIT\n", &[command, family, 0, length][..], &body].concat()
}
