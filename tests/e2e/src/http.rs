//! The little HTTP/1.1 that talks to chromedriver: JSON there and back, one connection a request, loopback only.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// How long one answer may take: more than the browser is given for a command.
const LONGEST: Duration = Duration::from_secs(150);

/// Asks and returns status and body.
pub(crate) fn ask(at: SocketAddr, method: &str, path: &str, body: Option<&Value>) -> Result<(u16, Value)> {
    let body = body.map(Value::to_string).unwrap_or_default();
    let mut stream = TcpStream::connect_timeout(&at, LONGEST).with_context(|| format!("cannot reach {at}"))?;
    stream.set_read_timeout(Some(LONGEST))?;
    stream.set_write_timeout(Some(LONGEST))?;
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {at}\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(body.as_bytes())?;
    let mut answer = Vec::new();
    // chromedriver leaves the connection open whatever it was asked, so the end is where the length says.
    while read(&answer)?.is_none() {
        let mut piece = [0; 16 * 1024];
        let n = stream.read(&mut piece).with_context(|| format!("{method} {path}: no whole answer"))?;
        ensure!(n > 0, "{method} {path}: the answer ends early");
        answer.extend_from_slice(&piece[..n]);
    }
    read(&answer)?.with_context(|| format!("{method} {path}: no answer"))
}

/// Reads an answer of known length; none as long as it is not whole.
fn read(answer: &[u8]) -> Result<Option<(u16, Value)>> {
    let Some(end) = answer.windows(4).position(|w| w == b"\r\n\r\n") else { return Ok(None) };
    let head = std::str::from_utf8(&answer[..end])?;
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|l| l.split(' ').nth(1)).context("the answer has no status")?.parse()?;
    let length = lines.filter_map(|l| l.split_once(':')).find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let length: usize = length.context("the answer has no length")?.1.trim().parse()?;
    match answer.get(end + 4..end + 4 + length) {
        Some(body) => Ok(Some((status, serde_json::from_slice(body)?))),
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_and_half_of_one_is_not() {
        let whole =
            b"HTTP/1.1 404 Not Found\r\nContent-Type: application/json\r\ncontent-length: 13\r\n\r\n{\"value\":\"x\"}";
        let (status, body) = read(whole).unwrap().unwrap();
        assert_eq!((status, body["value"].as_str()), (404, Some("x")));
        assert!(read(&whole[..whole.len() - 1]).unwrap().is_none());
        assert!(read(b"HTTP/1.1 200 OK\r\n").unwrap().is_none());
        assert!(read(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
    }
}
