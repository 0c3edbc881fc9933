//! HTTP/1.1 as a client that sends one prepared request again and again, and checks each answer.

/// The largest head of an answer.
const MAX_HEAD: usize = 16 * 1024;

/// What is read of the answers of one connection.
pub(crate) struct Http1 {
    expected: u64,
    head: Vec<u8>,
    /// Bytes of the body that are still to come; nothing while a head is read.
    body: Option<u64>,
}

impl Http1 {
    /// Answers must be 200 with so many bytes.
    pub(crate) fn new(expected: u64) -> Self {
        Self { expected, head: Vec::with_capacity(1024), body: None }
    }

    /// Takes bytes; how many answers ended in them.
    pub(crate) fn take(&mut self, mut bytes: &[u8]) -> Result<usize, String> {
        let mut ended = 0;
        while !bytes.is_empty() {
            let Some(left) = self.body else {
                bytes = self.head(bytes)?;
                if self.body == Some(0) {
                    self.body = None;
                    ended += 1;
                }
                continue;
            };
            let now = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
            bytes = &bytes[now..];
            self.body = match left - now as u64 {
                0 => {
                    ended += 1;
                    None
                }
                left => Some(left),
            };
        }
        Ok(ended)
    }

    fn head<'a>(&mut self, bytes: &'a [u8]) -> Result<&'a [u8], String> {
        if self.head.is_empty()
            && let Some(end) = end_of_head(bytes)
        {
            self.body = Some(length(&bytes[..end], self.expected)?);
            return Ok(&bytes[end..]);
        }
        let before = self.head.len();
        self.head.extend_from_slice(bytes);
        let Some(end) = end_of_head(&self.head) else {
            return if self.head.len() > MAX_HEAD { Err("a head without an end".to_owned()) } else { Ok(&[]) };
        };
        self.body = Some(length(&self.head[..end], self.expected)?);
        self.head.clear();
        Ok(&bytes[end - before..])
    }
}

fn end_of_head(bytes: &[u8]) -> Option<usize> {
    let mut from = 0;
    while let Some(at) = bytes[from..].iter().position(|b| *b == b'\n') {
        let at = from + at;
        if bytes[..at].ends_with(b"\r\n\r") {
            return Some(at + 1);
        }
        from = at + 1;
    }
    None
}

/// The length of the body, if it is the answer that was expected.
fn length(head: &[u8], expected: u64) -> Result<u64, String> {
    const FIELD: &[u8] = b"content-length:";
    if head.get(..12) != Some(b"HTTP/1.1 200") {
        let first = head.split(|b| *b == b'\r').next().unwrap_or_default();
        return Err(format!("the answer {}", String::from_utf8_lossy(&first[..first.len().min(40)])));
    }
    let mut lines = head.split(|b| *b == b'\n');
    let field = lines.find(|l| l.get(..FIELD.len()).is_some_and(|name| name.eq_ignore_ascii_case(FIELD)));
    let text = field.map(|l| l[FIELD.len()..].trim_ascii()).and_then(|v| std::str::from_utf8(v).ok());
    match text.and_then(|v| v.parse::<u64>().ok()) {
        Some(length) if length == expected => Ok(length),
        Some(length) => Err(format!("{length} bytes where {expected} were expected")),
        None => Err("an answer without a length".to_owned()),
    }
}

/// The bytes of the request.
pub(crate) fn request(path: &str, authority: &str, headers: &[(String, String)]) -> Vec<u8> {
    let mut text = format!("GET {path} HTTP/1.1\r\nHost: {authority}\r\n");
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str("\r\n");
    text.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nServer: x\r\ncontent-length: 4\r\n\r\nbody";

    #[test]
    fn answers_are_counted_however_they_are_cut() {
        let three = ANSWER.repeat(3);
        for cut in 0..three.len() {
            let mut reader = Http1::new(4);
            let first = reader.take(&three[..cut]).expect("good");
            assert_eq!(first + reader.take(&three[cut..]).expect("good"), 3, "{cut}");
        }
        let mut reader = Http1::new(4);
        let single: usize = three.iter().map(|b| reader.take(&[*b]).expect("good")).sum();
        assert_eq!(single, 3);
    }

    #[test]
    fn a_wrong_answer_is_an_error() {
        let told = |answer: &[u8], expected| Http1::new(expected).take(answer).expect_err("wrong");
        assert_eq!(told(ANSWER, 5), "4 bytes where 5 were expected");
        assert_eq!(
            told(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 4\r\n\r\nbody", 4),
            "the answer HTTP/1.1 403 Forbidden"
        );
        assert_eq!(told(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", 4), "an answer without a length");
        assert_eq!(Http1::new(0).take(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), Ok(1));
    }
}
