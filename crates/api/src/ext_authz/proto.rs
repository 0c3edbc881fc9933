//! The few messages of `envoy.service.auth.v3` that are needed, read and written by hand.

use std::collections::BTreeMap;

/// The most header fields of one request.
const MAX_FIELDS: usize = 256;

/// Why bytes are not the expected message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// What a `CheckRequest` says about the request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Check {
    pub method: String,
    pub scheme: String,
    pub host: String,
    pub path: String,
    /// The address of the peer of the proxy, or of the client behind trusted hops, as the proxy worked it out.
    pub source: String,
    pub headers: Vec<(String, String)>,
}

/// A field of a message.
enum Field<'b> {
    Number,
    Bytes(&'b [u8]),
}

/// Reads the fields of a message one by one.
struct Reader<'b>(&'b [u8]);

impl<'b> Reader<'b> {
    fn byte(&mut self) -> Result<u8, Malformed> {
        let (first, rest) = self.0.split_first().ok_or(Malformed)?;
        self.0 = rest;
        Ok(*first)
    }

    fn varint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Malformed)
    }

    fn take(&mut self, len: u64) -> Result<&'b [u8], Malformed> {
        let len = usize::try_from(len).map_err(|_| Malformed)?;
        let (taken, rest) = self.0.split_at_checked(len).ok_or(Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    fn next(&mut self) -> Result<Option<(u64, Field<'b>)>, Malformed> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let key = self.varint()?;
        let field = match key & 7 {
            0 => {
                self.varint()?;
                Field::Number
            }
            1 => {
                self.take(8)?;
                Field::Number
            }
            2 => {
                let len = self.varint()?;
                Field::Bytes(self.take(len)?)
            }
            5 => {
                self.take(4)?;
                Field::Number
            }
            _ => return Err(Malformed),
        };
        Ok(Some((key >> 3, field)))
    }
}

/// Every text, message or map entry of a message, with its number.
fn parts(message: &[u8]) -> Result<Vec<(u64, &[u8])>, Malformed> {
    let (mut reader, mut parts) = (Reader(message), Vec::new());
    while let Some((number, field)) = reader.next()? {
        if let Field::Bytes(bytes) = field {
            parts.push((number, bytes));
        }
    }
    Ok(parts)
}

/// The last message of a number: an absent one is empty.
fn inner(message: &[u8], number: u64) -> Result<&[u8], Malformed> {
    let found = parts(message)?.into_iter().rfind(|(n, _)| *n == number);
    Ok(found.map_or(&[], |(_, bytes)| bytes))
}

fn text(bytes: &[u8]) -> Result<String, Malformed> {
    String::from_utf8(bytes.to_vec()).map_err(|_| Malformed)
}

impl Check {
    /// Reads a `CheckRequest`.
    pub(crate) fn read(message: &[u8]) -> Result<Self, Malformed> {
        let attributes = inner(message, 1)?;
        // AttributeContext.source → Peer.address → Address.socket_address → SocketAddress.address
        let socket = inner(inner(inner(attributes, 1)?, 1)?, 1)?;
        let mut check = Self { source: text(inner(socket, 2)?)?, ..Self::default() };
        // AttributeContext.request → Request.http
        let http = inner(inner(attributes, 4)?, 2)?;
        let mut merged = BTreeMap::new();
        let mut raw = Vec::new();
        for (number, bytes) in parts(http)? {
            match number {
                2 => check.method = text(bytes)?,
                3 => {
                    merged.insert(text(inner(bytes, 1)?)?, text(inner(bytes, 2)?)?);
                }
                4 => check.path = text(bytes)?,
                5 => check.host = text(bytes)?,
                6 => check.scheme = text(bytes)?,
                13 => {
                    for (_, field) in parts(bytes)?.into_iter().filter(|(n, _)| *n == 1) {
                        let (plain, exact) = (inner(field, 2)?, inner(field, 3)?);
                        let value = if exact.is_empty() { plain } else { exact };
                        raw.push((text(inner(field, 1)?)?, text(value)?));
                    }
                }
                _ => {}
            }
            if merged.len() + raw.len() > MAX_FIELDS {
                return Err(Malformed);
            }
        }
        check.headers = if raw.is_empty() { merged.into_iter().collect() } else { raw };
        Ok(check)
    }
}

/// A message that is being written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(u8::try_from(value & 0x7f).unwrap_or(0) | 0x80);
            value >>= 7;
        }
        self.0.push(u8::try_from(value).unwrap_or(0));
    }

    pub(crate) fn number(mut self, field: u64, value: u64) -> Self {
        self.varint(field << 3);
        self.varint(value);
        self
    }

    pub(crate) fn bytes(mut self, field: u64, value: &[u8]) -> Self {
        self.varint((field << 3) | 2);
        self.varint(value.len() as u64);
        self.0.extend_from_slice(value);
        self
    }

    pub(crate) fn message(self, field: u64, value: &Self) -> Self {
        self.bytes(field, &value.0)
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

/// `google.rpc.Code`.
pub(crate) const OK: u64 = 0;
pub(crate) const PERMISSION_DENIED: u64 = 7;
pub(crate) const UNAUTHENTICATED: u64 = 16;

fn status(code: u64) -> Message {
    if code == OK { Message::default() } else { Message::default().number(1, code) }
}

/// A `HeaderValueOption` that replaces what the client sent under the same name.
fn field(name: &str, value: &[u8]) -> Message {
    const OVERWRITE_IF_EXISTS_OR_ADD: u64 = 2;
    let header = Message::default().bytes(1, name.as_bytes()).bytes(2, value);
    Message::default().message(1, &header).number(3, OVERWRITE_IF_EXISTS_OR_ADD)
}

/// A `CheckResponse` that lets the request pass with these fields, and without those.
pub(crate) fn allowed(fields: &[(&str, &[u8])], without: &[&str]) -> Message {
    let ok = fields.iter().fold(Message::default(), |ok, (name, value)| ok.message(2, &field(name, value)));
    let ok = without.iter().fold(ok, |ok, name| ok.bytes(5, name.as_bytes()));
    Message::default().message(1, &status(OK)).message(3, &ok)
}

/// A `CheckResponse` that answers the client instead.
pub(crate) fn denied(code: u64, http: u16, fields: &[(&str, &[u8])], body: &[u8]) -> Message {
    let denied = Message::default().message(1, &Message::default().number(1, http.into()));
    let denied = fields.iter().fold(denied, |d, (name, value)| d.message(2, &field(name, value)));
    Message::default().message(1, &status(code)).message(2, &denied.bytes(3, body))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> Message {
        let entry = |k: &str, v: &str| Message::default().bytes(1, k.as_bytes()).bytes(2, v.as_bytes());
        let http = Message::default()
            .bytes(2, b"GET")
            .message(3, &entry("accept", "text/html"))
            .message(3, &entry(":path", "/a?b=c"))
            .bytes(4, b"/a?b=c")
            .bytes(5, b"wiki.test")
            .bytes(6, b"https")
            .number(9, 300);
        let socket = Message::default().bytes(2, b"192.0.2.7").number(3, 4711);
        let peer = Message::default().message(1, &Message::default().message(1, &socket));
        let attributes = Message::default().message(1, &peer).message(4, &Message::default().message(2, &http));
        Message::default().message(1, &attributes)
    }

    #[test]
    fn a_check_is_read_from_its_nested_messages() {
        let check = Check::read(&request().into_bytes()).unwrap();
        assert_eq!((check.method.as_str(), check.path.as_str(), check.host.as_str()), ("GET", "/a?b=c", "wiki.test"));
        assert_eq!((check.scheme.as_str(), check.source.as_str()), ("https", "192.0.2.7"));
        assert_eq!(check.headers.len(), 2);
    }

    #[test]
    fn no_cut_of_a_message_panics() {
        let whole = request().into_bytes();
        let read = (0..whole.len()).filter(|n| Check::read(&whole[..*n]).is_ok()).count();
        assert_eq!(read, 1, "only nothing at all is a message too");
        assert_eq!(Check::read(&[0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]), Err(Malformed));
        assert_eq!(Check::read(&[0x0b]), Err(Malformed), "groups are gone from the wire format");
    }

    #[test]
    fn answers_have_the_bytes_of_the_format() {
        let bytes = denied(PERMISSION_DENIED, 403, &[], b"no").into_bytes();
        assert_eq!(bytes, [0x0a, 2, 0x08, 7, 0x12, 9, 0x0a, 3, 0x08, 0x93, 3, 0x1a, 2, b'n', b'o']);
        assert_eq!(allowed(&[], &["cookie"]).into_bytes(), b"\x0a\x00\x1a\x08\x2a\x06cookie");
    }
}
